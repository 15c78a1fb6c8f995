//! pidfd_open(2), pidfd_send_signal(2), pidfd_getfd(2), kcmp(2), process_vm_readv(2), process_vm_writev(2),
//! get_robust_list(2), membarrier(2).

use super::{
    Flags, UserPtr,
    signal::{info_for, kill_group, may_signal, optional_signal, send_to_process, send_to_thread},
};
use crate::{
    pidfd::{self, PidFd},
    task::{CurrentTask, Resources},
};
use std::{cmp::Ordering, sync::Arc};
use tuxlet_mem::{IoRead, IoWrite, UserReader, UserWriter};
use tuxlet_uapi::{
    errno::{Errno, Result},
    fcntl::{O_EXCL, O_NONBLOCK, OpenFlags},
    mman::{
        MEMBARRIER_CMD_GLOBAL, MEMBARRIER_CMD_GLOBAL_EXPEDITED, MEMBARRIER_CMD_PRIVATE_EXPEDITED,
        MEMBARRIER_CMD_PRIVATE_EXPEDITED_SYNC_CORE, MEMBARRIER_CMD_QUERY,
        MEMBARRIER_CMD_REGISTER_GLOBAL_EXPEDITED, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED,
        MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED_SYNC_CORE,
    },
    sched::{KCMP_FILE, KCMP_FILES, KCMP_FS, KCMP_IO, KCMP_SIGHAND, KCMP_SYSVSEM, KCMP_VM},
    signal::{SI_TKILL, SI_USER, SigInfo},
};
use tuxlet_vfs::File;

/// Bytes that process_vm_readv(2) moves in one step.
const CHUNK: usize = 64 << 10;

/// Which of a descriptor's threads a signal is for: flags of pidfd_send_signal(2).
const PIDFD_SIGNAL_THREAD: u32 = 1;
const PIDFD_SIGNAL_THREAD_GROUP: u32 = 2;
const PIDFD_SIGNAL_PROCESS_GROUP: u32 = 4;
/// Flag of pidfd_open(2): one thread.
const PIDFD_THREAD: u32 = O_EXCL;

pub(super) fn sys_pidfd_open(task: &mut CurrentTask, pid: i32, flags: Flags) -> Result<i32> {
    flags.only(O_NONBLOCK | PIDFD_THREAD)?;
    if pid <= 0 {
        return Err(Errno::EINVAL);
    }
    let pid = task.given_pid(pid.cast_unsigned())?;
    let (group, thread) = {
        let tree = task.kernel.tree.lock();
        let thread = tree.task(pid).cloned();
        match (thread, tree.node(pid)) {
            (Some(thread), _) if flags.has(PIDFD_THREAD) => {
                (Arc::clone(thread.group()), Some(thread))
            }
            (_, Some(node)) => (Arc::clone(&node.group), None),
            (Some(_), None) => return Err(Errno::EINVAL),
            (None, None) => return Err(Errno::ESRCH),
        }
    };
    let status = OpenFlags::from_bits_truncate(flags.0) & OpenFlags::NONBLOCK;
    let file = pidfd::open(task, &group, thread, status);
    task.install_fd(file, true)
}

/// The process whose directory below `/proc` a file is: that will do for a signal, too. `EBADF`.
fn pidfd_of_directory(task: &CurrentTask, file: &File) -> Result<PidFd> {
    let pid = file
        .path()
        .and_then(|path| crate::procfs::process_of(&**path.inode()))
        .ok_or(Errno::EBADF)?;
    let tree = task.kernel.tree.lock();
    let group = &tree.node(pid).ok_or(Errno::ESRCH)?.group;
    Ok(PidFd::new(task, group, None))
}

pub(super) fn sys_pidfd_send_signal(
    task: &mut CurrentTask,
    fd: i32,
    number: i32,
    info: UserPtr<SigInfo>,
    flags: Flags,
) -> Result<()> {
    flags.only(PIDFD_SIGNAL_THREAD | PIDFD_SIGNAL_THREAD_GROUP | PIDFD_SIGNAL_PROCESS_GROUP)?;
    if flags.0.count_ones() > 1 {
        return Err(Errno::EINVAL);
    }
    let file = task.fds.get(fd)?;
    let proc_dir;
    let pidfd = match file.ops_as::<PidFd>() {
        Some(pidfd) => pidfd,
        None => {
            proc_dir = pidfd_of_directory(task, &file)?;
            &proc_dir
        }
    };
    let own = task.task.tgid();
    let given = info.read_opt(task)?;
    let to_group = flags.has(PIDFD_SIGNAL_PROCESS_GROUP);
    let to_thread = flags.has(PIDFD_SIGNAL_THREAD) || (flags.0 == 0 && pidfd.thread().is_some());
    if let Some(info) = &given {
        if info.si_signo != number {
            return Err(Errno::EINVAL);
        }
        let forged = info.si_code >= 0 || info.si_code == SI_TKILL;
        if forged && (to_group || pidfd.group().tgid() != own) {
            return Err(Errno::EPERM);
        }
    }
    let signal = optional_signal(number)?;
    let pid = pidfd.pid()?;
    let code = if to_thread { SI_TKILL } else { SI_USER };
    if to_group {
        return kill_group(task, pid, signal, given);
    }
    let target = task
        .kernel
        .tree
        .lock()
        .task(pid)
        .cloned()
        .ok_or(Errno::ESRCH)?;
    may_signal(task, &target, signal)?;
    let Some(signal) = signal else { return Ok(()) };
    let info = given.unwrap_or_else(|| info_for(task, &target, signal, code));
    if to_thread {
        send_to_thread(task, &target, signal, info)
    } else {
        send_to_process(task, &target, signal, info)
    }
}

impl CurrentTask {
    /// Another task's resources, if the caller may look into it. `ESRCH` for the dead.
    fn resources_of(&self, tid: u32) -> Result<Resources> {
        let target = self
            .kernel
            .tree
            .lock()
            .task(tid)
            .cloned()
            .ok_or(Errno::ESRCH)?;
        self.may_access(&target)?;
        target.resources().ok_or(Errno::ESRCH)
    }
}

pub(super) fn sys_pidfd_getfd(
    task: &mut CurrentTask,
    fd: i32,
    target_fd: i32,
    flags: Flags,
) -> Result<i32> {
    flags.only(0)?;
    let file = task.fds.get(fd)?;
    let pid = pidfd::process_of(&file)?;
    let found = task.resources_of(pid)?.fds.get(target_fd)?;
    task.install_fd(found, true)
}

/// 0 for the same, 1 and 2 for an order that means nothing but is stable.
fn compare<T: ?Sized>(a: &Arc<T>, b: &Arc<T>) -> u32 {
    match Arc::as_ptr(a)
        .cast::<()>()
        .cmp(&Arc::as_ptr(b).cast::<()>())
    {
        Ordering::Equal => 0,
        Ordering::Less => 1,
        Ordering::Greater => 2,
    }
}

pub(super) fn sys_kcmp(
    task: &mut CurrentTask,
    pid1: i32,
    pid2: i32,
    what: u32,
    idx1: u64,
    idx2: u64,
) -> Result<u32> {
    let find = |pid: i32| {
        let id = u32::try_from(pid).map_err(|_| Errno::ESRCH)?;
        let id = task.given_pid(id)?;
        task.kernel
            .tree
            .lock()
            .task(id)
            .cloned()
            .ok_or(Errno::ESRCH)
    };
    let (one, two) = (find(pid1)?, find(pid2)?);
    let (a, b) = (task.resources_of(one.tid())?, task.resources_of(two.tid())?);
    match what {
        KCMP_FILE => {
            let file =
                |r: &Resources, fd: u64| r.fds.get(i32::try_from(fd).map_err(|_| Errno::EBADF)?);
            Ok(compare(&file(&a, idx1)?, &file(&b, idx2)?))
        }
        KCMP_VM => Ok(compare(&a.mm, &b.mm)),
        KCMP_FILES => Ok(compare(&a.fds, &b.fds)),
        KCMP_FS => Ok(compare(&a.fs, &b.fs)),
        KCMP_SIGHAND => {
            let (a, b) = (
                one.group().sighand.read().clone(),
                two.group().sighand.read().clone(),
            );
            Ok(compare(&a, &b))
        }
        // Nobody shares an I/O context or undo list with another process.
        KCMP_IO | KCMP_SYSVSEM => Ok(compare(one.group(), two.group())),
        _ => Err(Errno::EINVAL),
    }
}

/// Moves bytes between two vectors in perhaps different memories; how many.
fn transfer(from: &mut UserReader<'_>, to: &mut UserWriter<'_>) -> Result<usize> {
    let mut done = 0;
    let mut buffer = vec![0; CHUNK.min(from.remaining()).min(to.remaining())];
    while from.remaining() > 0 && to.remaining() > 0 {
        let want = buffer.len().min(from.remaining()).min(to.remaining());
        let n = match from.read_into(&mut buffer[..want]) {
            Ok(0) => break,
            Ok(n) => n,
            Err(errno) if done == 0 => return Err(errno),
            Err(_) => break,
        };
        match to.write_from(&buffer[..n]) {
            Ok(w) => {
                done += w;
                if w < n {
                    break;
                }
            }
            Err(errno) if done == 0 => return Err(errno),
            Err(_) => break,
        }
    }
    Ok(done)
}

pub(super) fn sys_process_vm_readv(
    task: &mut CurrentTask,
    pid: u32,
    local: u64,
    local_count: usize,
    remote: u64,
    remote_count: usize,
    flags: Flags,
) -> Result<usize> {
    flags.only(0)?;
    let space = Arc::clone(&task.mm.space);
    let local = space.read_iovec(local, local_count)?;
    let remote = space.read_iovec(remote, remote_count)?;
    if remote.iter().all(|part| part.len == 0) {
        return Ok(0);
    }
    let other = task.resources_of(task.given_pid(pid)?)?.mm;
    let mut from = UserReader::vectored(&other.space, &remote);
    transfer(&mut from, &mut UserWriter::vectored(&space, &local))
}

pub(super) fn sys_process_vm_writev(
    task: &mut CurrentTask,
    pid: u32,
    local: u64,
    local_count: usize,
    remote: u64,
    remote_count: usize,
    flags: Flags,
) -> Result<usize> {
    flags.only(0)?;
    let space = Arc::clone(&task.mm.space);
    let local = space.read_iovec(local, local_count)?;
    let remote = space.read_iovec(remote, remote_count)?;
    if remote.iter().all(|part| part.len == 0) {
        return Ok(0);
    }
    let other = task.resources_of(task.given_pid(pid)?)?.mm;
    let mut from = UserReader::vectored(&space, &local);
    transfer(&mut from, &mut UserWriter::vectored(&other.space, &remote))
}

pub(super) fn sys_get_robust_list(
    task: &mut CurrentTask,
    pid: i32,
    head: UserPtr<u64>,
    len: UserPtr<u64>,
) -> Result<()> {
    /// Size of `struct robust_list_head`.
    const HEAD_SIZE: u64 = 24;
    let target = super::limits::find_task(task, pid)?;
    task.may_access(&target)?;
    len.write(task, &HEAD_SIZE)?;
    let list = target
        .robust_list
        .load(std::sync::atomic::Ordering::Relaxed);
    head.write(task, &list)
}

const REGISTRATIONS: u32 = MEMBARRIER_CMD_REGISTER_GLOBAL_EXPEDITED
    | MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED
    | MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED_SYNC_CORE;
const PRIVATE: u32 = MEMBARRIER_CMD_PRIVATE_EXPEDITED | MEMBARRIER_CMD_PRIVATE_EXPEDITED_SYNC_CORE;
const GLOBAL: u32 = MEMBARRIER_CMD_GLOBAL | MEMBARRIER_CMD_GLOBAL_EXPEDITED;

pub(super) fn sys_membarrier(
    task: &mut CurrentTask,
    command: u32,
    flags: Flags,
    _cpu: i32,
) -> Result<u32> {
    flags.only(0)?;
    if command == MEMBARRIER_CMD_QUERY {
        return Ok(REGISTRATIONS | PRIVATE | GLOBAL);
    }
    if !command.is_power_of_two() {
        return Err(Errno::EINVAL);
    }
    if command & REGISTRATIONS != 0 {
        // A registration's command is that of its barrier, shifted.
        task.mm
            .membarrier
            .fetch_or(command >> 1, std::sync::atomic::Ordering::SeqCst);
        return Ok(0);
    }
    if command & PRIVATE != 0 {
        if task.mm.membarrier.load(std::sync::atomic::Ordering::SeqCst) & command == 0 {
            return Err(Errno::EPERM);
        }
        task.mm.space.synchronize();
        return Ok(0);
    }
    if command & GLOBAL == 0 {
        return Err(Errno::EINVAL);
    }
    let spaces: Vec<_> = {
        let tree = task.kernel.tree.lock();
        let first = tree
            .groups()
            .filter_map(|(_, n)| n.threads.first().cloned());
        first.collect::<Vec<_>>()
    };
    for resources in spaces.iter().filter_map(|t| t.resources()) {
        resources.mm.space.synchronize();
    }
    Ok(0)
}
