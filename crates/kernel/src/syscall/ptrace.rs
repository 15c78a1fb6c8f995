//! ptrace(2).

use crate::{ptrace::request, task::CurrentTask};
use tuxlet_uapi::errno::Result;

pub(super) fn sys_ptrace(
    task: &mut CurrentTask,
    operation: u64,
    tid: u32,
    addr: u64,
    data: u64,
) -> Result<u64> {
    request::ptrace(task, operation, tid, addr, data)
}
