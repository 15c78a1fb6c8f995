//! seccomp(2), and prctl(2) `PR_SET_SECCOMP`.

use super::{Flags, UserPtr};
use crate::{
    seccomp::bpf::{MAX_INSTRUCTIONS, Program},
    task::CurrentTask,
};
use tuxlet_uapi::{
    errno::{Errno, Result},
    prctl::{
        SECCOMP_FILTER_FLAG_LOG, SECCOMP_FILTER_FLAG_NEW_LISTENER, SECCOMP_FILTER_FLAG_SPEC_ALLOW,
        SECCOMP_FILTER_FLAG_TSYNC, SECCOMP_FILTER_FLAG_TSYNC_ESRCH,
        SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV, SECCOMP_GET_ACTION_AVAIL, SECCOMP_GET_NOTIF_SIZES,
        SECCOMP_MODE_FILTER, SECCOMP_MODE_STRICT, SECCOMP_RET_ALLOW, SECCOMP_RET_ERRNO,
        SECCOMP_RET_KILL_PROCESS, SECCOMP_RET_KILL_THREAD, SECCOMP_RET_LOG, SECCOMP_RET_TRACE,
        SECCOMP_RET_TRAP, SECCOMP_RET_USER_NOTIF, SECCOMP_SET_MODE_FILTER, SECCOMP_SET_MODE_STRICT,
        SeccompData, SeccompNotif, SeccompNotifResp, SeccompNotifSizes, SockFilter, SockFprog,
    },
};
use tuxlet_vfs::cx::cap;

const FLAGS: u32 = SECCOMP_FILTER_FLAG_TSYNC
    | SECCOMP_FILTER_FLAG_LOG
    | SECCOMP_FILTER_FLAG_SPEC_ALLOW
    | SECCOMP_FILTER_FLAG_NEW_LISTENER
    | SECCOMP_FILTER_FLAG_TSYNC_ESRCH
    | SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV;

const ACTIONS: [u32; 8] = [
    SECCOMP_RET_KILL_PROCESS,
    SECCOMP_RET_KILL_THREAD,
    SECCOMP_RET_TRAP,
    SECCOMP_RET_ERRNO,
    SECCOMP_RET_USER_NOTIF,
    SECCOMP_RET_TRACE,
    SECCOMP_RET_LOG,
    SECCOMP_RET_ALLOW,
];

pub(super) fn sys_seccomp(
    task: &mut CurrentTask,
    operation: u32,
    flags: Flags,
    args: u64,
) -> Result<u64> {
    match operation {
        SECCOMP_SET_MODE_STRICT => {
            flags.only(0)?;
            if args != 0 {
                return Err(Errno::EINVAL);
            }
            task.seccomp_strict().map(|()| 0)
        }
        SECCOMP_SET_MODE_FILTER => set_filter(task, flags, args),
        SECCOMP_GET_ACTION_AVAIL => {
            flags.only(0)?;
            let action: u32 = UserPtr::new(args).read(task)?;
            if ACTIONS.contains(&action) {
                Ok(0)
            } else {
                Err(Errno::EOPNOTSUPP)
            }
        }
        SECCOMP_GET_NOTIF_SIZES => {
            flags.only(0)?;
            let sizes = SeccompNotifSizes {
                seccomp_notif: size_of::<SeccompNotif>() as u16,
                seccomp_notif_resp: size_of::<SeccompNotifResp>() as u16,
                seccomp_data: size_of::<SeccompData>() as u16,
            };
            UserPtr::new(args).write(task, &sizes).map(|()| 0)
        }
        _ => Err(Errno::EINVAL),
    }
}

/// `PR_SET_SECCOMP`.
pub(super) fn set_mode(task: &mut CurrentTask, mode: u64, filter: u64) -> Result<u64> {
    match u32::try_from(mode) {
        Ok(SECCOMP_MODE_STRICT) => task.seccomp_strict().map(|()| 0),
        Ok(SECCOMP_MODE_FILTER) => set_filter(task, Flags(0), filter),
        _ => Err(Errno::EINVAL),
    }
}

fn set_filter(task: &mut CurrentTask, flags: Flags, args: u64) -> Result<u64> {
    let known = flags.only(FLAGS)?;
    let listens = flags.has(SECCOMP_FILTER_FLAG_NEW_LISTENER);
    // Both would have the result for themselves: a thread's id or a descriptor.
    if flags.has(SECCOMP_FILTER_FLAG_TSYNC)
        && listens
        && !flags.has(SECCOMP_FILTER_FLAG_TSYNC_ESRCH)
    {
        return Err(Errno::EINVAL);
    }
    if flags.has(SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV) && !listens {
        return Err(Errno::EINVAL);
    }
    let given: SockFprog = UserPtr::new(args).read(task)?;
    let len = usize::from(given.len);
    if len == 0 || len > MAX_INSTRUCTIONS {
        return Err(Errno::EINVAL);
    }
    let cred = task.task.cred();
    if !cred.no_new_privs && !cred.has_own_cap(cap::SYS_ADMIN) {
        return Err(Errno::EACCES);
    }
    let source = UserPtr::<SockFilter>::new(given.filter).read_vec(task, len)?;
    let program = Program::new(source)?;
    if !listens {
        return task.add_filter(program, known, None);
    }
    let (listener, fd) = task.open_listener()?;
    match task.add_filter(program, known, Some(listener)) {
        Ok(_) => Ok(i64::from(fd).cast_unsigned()),
        Err(errno) => {
            task.fds.close(&task.cx(), fd)?;
            Err(errno)
        }
    }
}
