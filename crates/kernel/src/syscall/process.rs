//! clone(2), clone3(2), execve(2), execveat(2), exit(2), exit_group(2).

use super::{Flags, UserPath, UserPtr};
use crate::{
    cgroup::Cgroup,
    exec::ExecRequest,
    task::{CloneRequest, CurrentTask, ExitKind, WaitStatus},
};
use std::sync::Arc;
use tuxlet_uapi::{
    errno::{Errno, Result},
    fcntl::{AT_EMPTY_PATH, AT_SYMLINK_NOFOLLOW},
    sched::{
        CLONE_ARGS_SIZE_VER0, CLONE_ARGS_SIZE_VER2, CLONE_INTO_CGROUP, CLONE_NEWTIME, CLONE_THREAD,
        CSIGNAL, CloneArgs,
    },
};
use tuxlet_vfs::resolver::LookupFlags;
use zerocopy::FromZeros;

/// So many ids a new process may be given.
const MAX_PID_LEVEL: u64 = 32;
/// Strings of execve(2) in one array, before anything else limits them.
const MAX_STRINGS: usize = 0x7fff_ffff;

pub(super) fn sys_clone(
    task: &mut CurrentTask,
    flags: u64,
    stack: u64,
    parent_tid: u64,
    tls: u64,
    child_tid: u64,
) -> Result<u32> {
    let flags = flags & 0xffff_ffff;
    task.clone_task(&CloneRequest {
        flags: flags & !CSIGNAL,
        exit_signal: (flags & CSIGNAL) as u32,
        stack,
        tls,
        parent_tid,
        child_tid,
        // clone(2) has no pointer of its own for the descriptor.
        pidfd: parent_tid,
        set_tid: Vec::new(),
        cgroup: None,
    })
}

pub(super) fn sys_clone3(
    task: &mut CurrentTask,
    args: UserPtr<CloneArgs>,
    size: usize,
) -> Result<u32> {
    if size > 4096 {
        return Err(Errno::E2BIG);
    }
    if size < CLONE_ARGS_SIZE_VER0 as usize {
        return Err(Errno::EINVAL);
    }
    let request: CloneArgs = task.read_extensible(args.addr(), size)?;
    if request.exit_signal & !CSIGNAL != 0 || request.exit_signal > 64 {
        return Err(Errno::EINVAL);
    }
    if request.flags & CSIGNAL & !CLONE_NEWTIME != 0
        || (request.stack == 0) != (request.stack_size == 0)
    {
        return Err(Errno::EINVAL);
    }
    let into_cgroup = request.flags & CLONE_INTO_CGROUP != 0;
    if into_cgroup
        && (size < CLONE_ARGS_SIZE_VER2 as usize || i32::try_from(request.cgroup).is_err())
    {
        return Err(Errno::EINVAL);
    }
    let has_ids = request.set_tid != 0;
    if request.set_tid_size > MAX_PID_LEVEL || has_ids != (request.set_tid_size != 0) {
        return Err(Errno::EINVAL);
    }
    let set_tid = if has_ids {
        UserPtr::<u32>::new(request.set_tid).read_vec(task, request.set_tid_size as usize)?
    } else {
        Vec::new()
    };
    let cgroup = if into_cgroup {
        let whole = request.flags & CLONE_THREAD == 0;
        Some(task.birth_cgroup(request.cgroup as i32, whole)?)
    } else {
        None
    };
    task.clone_task(&CloneRequest {
        flags: request.flags,
        exit_signal: request.exit_signal as u32,
        stack: request.stack.wrapping_add(request.stack_size),
        tls: request.tls,
        parent_tid: request.parent_tid,
        child_tid: request.child_tid,
        pidfd: request.pidfd,
        set_tid,
        cgroup,
    })
}

pub(super) fn sys_execve(
    task: &mut CurrentTask,
    path: UserPath,
    args: UserPtr<u64>,
    env: UserPtr<u64>,
) -> Result<()> {
    let filename = path.read(task)?;
    let args = read_strings(task, args)?;
    let env = read_strings(task, env)?;
    task.exec_path(&filename, args, env)
}

pub(super) fn sys_execveat(
    task: &mut CurrentTask,
    dirfd: i32,
    path: UserPath,
    args: UserPtr<u64>,
    env: UserPtr<u64>,
    flags: Flags,
) -> Result<()> {
    flags.only(AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW)?;
    let name = path.read(task)?;
    let mut lookup = LookupFlags::FOLLOW;
    if flags.has(AT_SYMLINK_NOFOLLOW) {
        lookup.remove(LookupFlags::FOLLOW);
    }
    if flags.has(AT_EMPTY_PATH) {
        lookup.insert(LookupFlags::EMPTY_PATH);
    }
    let target = tuxlet_vfs::resolver::lookup(&task.cx(), &task.at(dirfd)?, &name, lookup)?;
    let filename = match (name.is_empty(), name.starts_with(b"/")) {
        (true, _) => format!("/dev/fd/{dirfd}").into_bytes(),
        (false, false) if dirfd != tuxlet_uapi::fcntl::AT_FDCWD => {
            [format!("/dev/fd/{dirfd}/").as_bytes(), &name].concat()
        }
        _ => name,
    };
    let args = read_strings(task, args)?;
    let env = read_strings(task, env)?;
    task.exec(ExecRequest {
        path: target,
        filename,
        args,
        env,
    })
}

/// An array of string pointers that ends with a null pointer.
fn read_strings(task: &CurrentTask, array: UserPtr<u64>) -> Result<Vec<Vec<u8>>> {
    let mut strings = Vec::new();
    if array.is_null() {
        return Ok(strings);
    }
    let mut total = 0;
    while strings.len() < MAX_STRINGS {
        let pointer = array.offset(strings.len() as u64).read(task)?;
        if pointer == 0 {
            return Ok(strings);
        }
        let string = match task.mm.space.read_cstr(pointer, crate::exec::MAX_ARG_LEN) {
            Err(Errno::ENAMETOOLONG) => return Err(Errno::E2BIG),
            other => other?,
        };
        total += string.len() + 9;
        // No limit on the stack allows more than this, so there is no point in reading on.
        if total > 8 << 20 {
            return Err(Errno::E2BIG);
        }
        strings.push(string);
    }
    Err(Errno::E2BIG)
}

pub(super) fn sys_exit(task: &mut CurrentTask, code: i32) -> Result<()> {
    task.exit_request = Some(ExitKind::Thread(WaitStatus::Exited(code as u8)));
    Ok(())
}

pub(super) fn sys_exit_group(task: &mut CurrentTask, code: i32) -> Result<()> {
    task.exit_request = Some(ExitKind::Group(WaitStatus::Exited(code as u8)));
    Ok(())
}

impl CurrentTask {
    /// The control group that a directory's descriptor stands for, and that a child may begin in.
    fn birth_cgroup(&self, fd: i32, whole: bool) -> Result<Arc<Cgroup>> {
        let file = self.fds.get(fd)?;
        let path = file.path().ok_or(Errno::EBADF)?;
        let group = Cgroup::of_inode(path.inode())?;
        group.may_be_born(&self.cx(), &self.task.cgroup(), whole)?;
        Ok(group)
    }

    /// Reads a structure that grows with kernel versions: what the caller does not have is zero, what we do not
    /// know must be zero (`E2BIG`): clone3(2), openat2(2), sched_setattr(2).
    pub(crate) fn read_extensible<T: FromZeros + zerocopy::FromBytes + zerocopy::IntoBytes>(
        &self,
        addr: u64,
        size: usize,
    ) -> Result<T> {
        let mut bytes = vec![0; size];
        self.mm.space.read_bytes(addr, &mut bytes)?;
        if bytes.len() > size_of::<T>() && bytes[size_of::<T>()..].iter().any(|b| *b != 0) {
            return Err(Errno::E2BIG);
        }
        bytes.resize(size_of::<T>(), 0);
        T::read_from_bytes(&bytes).map_err(|_| Errno::EINVAL)
    }
}
