//! System calls: the table, dispatch, and one file per family.

mod adjtime;
mod aio;
pub mod arg;
mod dir;
mod eventfd;
mod eventpoll;
mod fcntl;
mod fsmount;
mod futex;
mod ids;
mod inotify;
mod io_uring;
mod ioctl;
mod ipc;
mod limits;
mod memory;
mod misc;
mod mount;
mod mqueue;
mod namespaces;
mod open;
mod pidfd;
mod pipe;
mod poll;
mod prctl;
mod process;
mod ptrace;
mod rw;
mod sched;
mod seccomp;
mod signal;
mod socket;
mod sockmsg;
mod splice;
mod stat;
mod statmount;
mod strace;
mod system;
mod table;
mod time;
mod timer;
mod wait;
mod xattr;

pub use arg::{Flags, FromArg, IntoRet, UserPath, UserPtr};
pub use table::{Level, Row, rows};

use crate::task::{CurrentTask, ExitKind};
use std::sync::atomic::Ordering;
use tuxlet_uapi::errno::{Errno, Result};

/// Performs the system call that the registers ask for. `Err` ends the task.
pub(crate) fn dispatch(task: &mut CurrentTask) -> std::result::Result<Result<u64>, ExitKind> {
    let nr = u64::from(task.syscall_nr.cast_unsigned());
    let args = [
        task.cpu.x[0],
        task.cpu.x[1],
        task.cpu.x[2],
        task.cpu.x[3],
        task.cpu.x[4],
        task.cpu.x[5],
    ];
    let row = u32::try_from(nr).ok().and_then(table::row);
    let traced = task.kernel.config.strace.is_some();
    let entered = traced
        .then(|| strace::enter(task, nr, row, &args))
        .flatten();
    task.task.in_syscall.store(nr as u32, Ordering::Relaxed);
    let result = match row.and_then(|r| r.handler) {
        Some(handler) => handler(task, &args),
        None => {
            task.kernel.note_absent(nr, row.map(|r| r.name));
            Err(Errno::ENOSYS)
        }
    };
    task.task.in_syscall.store(u32::MAX, Ordering::Relaxed);
    if let Some(call) = entered {
        strace::leave(task, &call, &result);
    }
    match task.exit_request.take() {
        Some(kind) => Err(kind),
        None => Ok(result),
    }
}
