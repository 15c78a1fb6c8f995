//! wait4(2), waitid(2).

use super::UserPtr;
use crate::task::{CurrentTask, WaitFor, WaitOptions, WaitStatus};
use tuxlet_uapi::{
    errno::{Errno, Result},
    resource::Rusage,
    signal::{
        CLD_CONTINUED, CLD_DUMPED, CLD_EXITED, CLD_KILLED, CLD_STOPPED, CLD_TRAPPED, SigInfo,
    },
    wait::{
        __WALL, __WCLONE, __WNOTHREAD, P_ALL, P_PGID, P_PID, P_PIDFD, WCONTINUED, WEXITED, WNOHANG,
        WNOWAIT, WSTOPPED, WUNTRACED,
    },
};

/// The initial namespace's id of a child; 0, which nobody has, for an id without meaning.
fn child(task: &CurrentTask, id: u32) -> u32 {
    task.given_pid(id).unwrap_or(0)
}

pub(super) fn sys_wait4(
    task: &mut CurrentTask,
    pid: i32,
    status: UserPtr<i32>,
    options: u32,
    usage: UserPtr<Rusage>,
) -> Result<u32> {
    if options & !(WNOHANG | WUNTRACED | WCONTINUED | __WNOTHREAD | __WCLONE | __WALL) != 0 {
        return Err(Errno::EINVAL);
    }
    let whom = match pid {
        i32::MIN => return Err(Errno::ESRCH),
        -1 => WaitFor::Any,
        0 => WaitFor::Group(task.pgid()),
        p if p > 0 => WaitFor::Pid(child(task, p.cast_unsigned())),
        p => WaitFor::Group(child(task, p.unsigned_abs())),
    };
    let options = WaitOptions {
        exited: true,
        stopped: options & WUNTRACED != 0,
        continued: options & WCONTINUED != 0,
        nohang: options & WNOHANG != 0,
        nowait: false,
        clone_only: options & __WCLONE != 0,
        all: options & __WALL != 0,
        own_thread: options & __WNOTHREAD != 0,
    };
    let Some(result) = task.wait_for_child(whom, options)? else {
        return Ok(0);
    };
    status.write_opt(task, &result.status.raw())?;
    usage.write_opt(task, &result.usage)?;
    Ok(result.shown)
}

pub(super) fn sys_waitid(
    task: &mut CurrentTask,
    id_type: u32,
    id: i32,
    info: UserPtr<SigInfo>,
    options: u32,
    usage: UserPtr<Rusage>,
) -> Result<()> {
    let known =
        WNOHANG | WNOWAIT | WEXITED | WSTOPPED | WCONTINUED | __WNOTHREAD | __WCLONE | __WALL;
    if options & !known != 0 || options & (WEXITED | WSTOPPED | WCONTINUED) == 0 {
        return Err(Errno::EINVAL);
    }
    let whom = match id_type {
        P_ALL => WaitFor::Any,
        P_PID if id > 0 => WaitFor::Pid(child(task, id.cast_unsigned())),
        P_PGID if id > 0 => WaitFor::Group(child(task, id.cast_unsigned())),
        P_PGID if id == 0 => WaitFor::Group(task.pgid()),
        P_PIDFD if id >= 0 => WaitFor::Pid(process_of(task, id)?),
        _ => return Err(Errno::EINVAL),
    };
    let options = WaitOptions {
        exited: options & WEXITED != 0,
        stopped: options & WSTOPPED != 0,
        continued: options & WCONTINUED != 0,
        nohang: options & WNOHANG != 0,
        nowait: options & WNOWAIT != 0,
        clone_only: options & __WCLONE != 0,
        all: options & __WALL != 0,
        own_thread: options & __WNOTHREAD != 0,
    };
    let news = task.wait_for_child(whom, options)?;
    let report = match news {
        // Nothing happened: POSIX wants the signal number zeroed.
        None => SigInfo::default(),
        Some(result) => {
            let (code, status) = match result.status {
                WaitStatus::Exited(code) => (CLD_EXITED, i32::from(code)),
                WaitStatus::Signaled(sig, true) => (CLD_DUMPED, sig.number()),
                WaitStatus::Signaled(sig, false) => (CLD_KILLED, sig.number()),
                WaitStatus::Stopped(sig) => (CLD_STOPPED, sig.number()),
                WaitStatus::Traced(code) => (CLD_TRAPPED, code),
                WaitStatus::Continued => (CLD_CONTINUED, tuxlet_uapi::signal::SIGCONT.number()),
            };
            usage.write_opt(task, &result.usage)?;
            let pid = result.shown.cast_signed();
            let uid = task.task.cred().user_ns.shown_uid(result.uid);
            SigInfo::chld(code, pid, uid, status, 0, 0)
        }
    };
    info.write_opt(task, &report)
}

fn process_of(task: &CurrentTask, fd: i32) -> Result<u32> {
    let file = task.fds.get(fd)?;
    crate::pidfd::process_of(&file)
}
