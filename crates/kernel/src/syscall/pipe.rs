//! pipe2(2).

use super::{Flags, UserPtr};
use crate::{pipe::Pipe, task::CurrentTask};
use tuxlet_uapi::{
    errno::Result,
    fcntl::{O_CLOEXEC, O_DIRECT, O_NONBLOCK, OpenFlags},
};

pub(super) fn sys_pipe2(
    task: &mut CurrentTask,
    fds: UserPtr<[i32; 2]>,
    flags: Flags,
) -> Result<()> {
    flags.only(O_CLOEXEC | O_NONBLOCK | O_DIRECT)?;
    let (reader, writer) = Pipe::pair(&task.cx(), OpenFlags::from_bits_truncate(flags.0));
    let close_on_exec = flags.has(O_CLOEXEC);
    let cx = task.cx();
    let read_fd = task.install_fd(reader, close_on_exec)?;
    // No descriptor may be left behind that the caller never learnt of.
    let write_fd = match task.install_fd(writer, close_on_exec) {
        Ok(fd) => fd,
        Err(errno) => {
            task.fds.close(&cx, read_fd)?;
            return Err(errno);
        }
    };
    fds.write(task, &[read_fd, write_fd]).inspect_err(|_| {
        for fd in [read_fd, write_fd] {
            let _ = task.fds.close(&cx, fd);
        }
    })
}
