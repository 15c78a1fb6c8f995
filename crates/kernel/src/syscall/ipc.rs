//! System V IPC: shmget(2), shmat(2), shmdt(2), shmctl(2), semget(2), semtimedop(2), semctl(2), msgget(2),
//! msgsnd(2), msgrcv(2), msgctl(2).

use super::{Flags, UserPtr};
use crate::{
    clock::{instant_after, timespec_ns},
    ipc::{
        Object, change, check, may_control,
        msg::{Message, MsgQueue},
        sem::{Attempt, SemSet},
        shm::{Segment, Stamps},
    },
    kernel::Kernel,
    task::CurrentTask,
    wait::WaitError,
};
use parking_lot::Mutex;
use std::sync::Arc;
use tuxlet_mem::{MapRequest, PAGE_MASK, PAGE_SIZE, Placement, Prot};
use tuxlet_uapi::{
    errno::{Errno, Result},
    ipc::{
        GETALL, GETNCNT, GETPID, GETVAL, GETZCNT, IPC_INFO, IPC_NOWAIT, IPC_RMID, IPC_SET,
        IPC_STAT, IpcPerm, MSG_COPY, MSG_EXCEPT, MSG_INFO, MSG_STAT, MSGMAX, MSGMNB, MSGMNI,
        MsqidDs, SEM_INFO, SEM_STAT, SEMMNI, SEMMSL, SEMOPM, SEMVMX, SETALL, SETVAL, SHM_DEST,
        SHM_EXEC, SHM_HUGETLB, SHM_INFO, SHM_LOCK, SHM_RDONLY, SHM_REMAP, SHM_RND, SHM_STAT,
        SHM_UNLOCK, Sembuf, SemidDs, ShmidDs,
    },
    resource::RLIMIT_MEMLOCK,
    time::Timespec,
};
use tuxlet_vfs::cx::cap;

/// Bits for [`check`].
const READ: u32 = 0o444;
const WRITE: u32 = 0o222;
/// Set in commands by old C libraries; the 64-bit structures are the only ones.
const IPC_64: u32 = 0x100;
/// Largest segment.
const SHM_MAX: u64 = 1 << 46;

impl Kernel {
    /// How many times a segment is mapped; a mapping that was split counts once.
    pub(crate) fn attachments(&self, segment: &Segment) -> u64 {
        let tasks: Vec<_> = {
            let tree = self.tree.lock();
            tree.groups()
                .filter_map(|(_, n)| n.threads.first().cloned())
                .collect()
        };
        let id = segment.object_id();
        let count = |r: crate::task::Resources| {
            let vmas = r.mm.space.vmas();
            vmas.iter().filter(|v| v.id == id && v.offset == 0).count() as u64
        };
        tasks.iter().filter_map(|t| t.resources()).map(count).sum()
    }
}

impl CurrentTask {
    fn seconds(&self) -> i64 {
        self.kernel.clock.realtime_vfs().sec
    }

    fn pid(&self) -> i32 {
        self.task.tgid().cast_signed()
    }

    /// Forgets segments that were marked for removal and that nobody maps any more.
    fn purge_segments(&self) {
        for (id, segment) in self.ns.ipc.objects.shm.list() {
            if segment.perm().lock().mode & SHM_DEST != 0 && self.kernel.attachments(&segment) == 0
            {
                self.ns.ipc.objects.shm.remove(id);
            }
        }
    }
}

/// An object by id, or for the `*_STAT` commands by index, which for us is the id too.
fn control<T: Object>(task: &CurrentTask, object: &Arc<T>) -> Result<()> {
    may_control(&task.task.cred(), &object.perm().lock())
}

fn allowed<T: Object>(task: &CurrentTask, object: &Arc<T>, wanted: u32) -> Result<()> {
    check(&task.task.cred(), &object.perm().lock(), wanted)
}

/// Owner and mode, with the ids of the caller's user namespace.
fn perm_of(task: &CurrentTask, perm: &Mutex<IpcPerm>) -> IpcPerm {
    let perm = *perm.lock();
    let ns = &task.task.cred().user_ns;
    IpcPerm {
        uid: ns.shown_uid(perm.uid),
        gid: ns.shown_gid(perm.gid),
        cuid: ns.shown_uid(perm.cuid),
        cgid: ns.shown_gid(perm.cgid),
        ..perm
    }
}

/// A new owner and mode that the caller gives. `EINVAL` for ids that its user namespace does not map.
fn given_perm(task: &CurrentTask, given: &IpcPerm) -> Result<IpcPerm> {
    let ns = &task.task.cred().user_ns;
    Ok(IpcPerm {
        uid: ns.global_uid(given.uid).ok_or(Errno::EINVAL)?,
        gid: ns.global_gid(given.gid).ok_or(Errno::EINVAL)?,
        ..*given
    })
}

/// A process id as the caller sees it.
fn shown(task: &CurrentTask, pid: i32) -> i32 {
    task.shown_pid(pid.cast_unsigned()).cast_signed()
}

pub(super) fn sys_shmget(task: &mut CurrentTask, key: i32, size: u64, flags: Flags) -> Result<i32> {
    if flags.has(SHM_HUGETLB) {
        return Err(Errno::ENOMEM);
    }
    task.purge_segments();
    let (now, cpid) = (task.seconds(), task.pid());
    let fits = |s: &Segment| {
        if size > s.size {
            Err(Errno::EINVAL)
        } else {
            Ok(())
        }
    };
    task.ns
        .ipc
        .objects
        .shm
        .get(&task.task.cred(), key, flags.0, fits, |id, perm| {
            if size == 0 || size > SHM_MAX {
                return Err(Errno::EINVAL);
            }
            let stamps = Stamps {
                ctime: now,
                cpid,
                ..Stamps::default()
            };
            Ok(Segment::new(&task.kernel.budget, id, perm, size, stamps))
        })
}

pub(super) fn sys_shmat(task: &mut CurrentTask, id: i32, addr: u64, flags: Flags) -> Result<u64> {
    let segment = task.ns.ipc.objects.shm.find(id)?;
    let read_only = flags.has(SHM_RDONLY);
    let mut wanted = READ;
    if !read_only {
        wanted |= WRITE;
    }
    if flags.has(SHM_EXEC) {
        wanted |= 0o111;
    }
    let addr = if flags.has(SHM_RND) {
        addr & !PAGE_MASK
    } else {
        addr
    };
    if addr & PAGE_MASK != 0 || (addr == 0 && flags.has(SHM_REMAP)) {
        return Err(Errno::EINVAL);
    }
    allowed(task, &segment, wanted)?;
    let mut prot = Prot::READ;
    prot.set(Prot::WRITE, !read_only);
    prot.set(Prot::EXEC, flags.has(SHM_EXEC));
    let len = segment.size.next_multiple_of(PAGE_SIZE);
    let placement = match addr {
        0 => Placement::Any,
        _ if flags.has(SHM_REMAP) => Placement::Fixed(addr),
        _ => Placement::FixedNoReplace(addr),
    };
    let object = Arc::clone(&segment.object);
    let request = MapRequest::shared(object, 0, len, prot).at(placement);
    task.sync_memory_limits();
    let at = match task.mm.space.map(request) {
        Err(Errno::EEXIST) => return Err(Errno::EINVAL),
        at => at?,
    };
    let mut stamps = segment.stamps.lock();
    stamps.atime = task.seconds();
    stamps.lpid = task.pid();
    Ok(at)
}

pub(super) fn sys_shmdt(task: &mut CurrentTask, addr: u64) -> Result<()> {
    let segments = task.ns.ipc.objects.shm.list();
    let vmas = task.mm.space.vmas();
    let first = vmas
        .iter()
        .find(|v| v.start == addr && v.offset == 0)
        .ok_or(Errno::EINVAL)?;
    let (_, segment) = segments
        .iter()
        .find(|(_, s)| s.object_id() == first.id)
        .ok_or(Errno::EINVAL)?;
    // What is left of this attachment: pieces lie where the whole one put them.
    for vma in vmas
        .iter()
        .filter(|v| v.id == first.id && v.start >= addr && v.start - addr == v.offset)
    {
        task.mm.space.unmap(vma.start, vma.end - vma.start)?;
    }
    {
        let mut stamps = segment.stamps.lock();
        stamps.dtime = task.seconds();
        stamps.lpid = task.pid();
    }
    task.purge_segments();
    Ok(())
}

pub(super) fn sys_shmctl(
    task: &mut CurrentTask,
    id: i32,
    command: u32,
    buf: UserPtr<ShmidDs>,
) -> Result<i32> {
    let plain = command & !IPC_64;
    if matches!(plain, IPC_INFO | SHM_INFO) {
        shm_info(task, plain, buf.addr())?;
        return Ok(task.ns.ipc.objects.shm.highest_index());
    }
    let (id, segment) = if plain == SHM_STAT {
        task.ns.ipc.objects.shm.at_index(id)?
    } else {
        (id, task.ns.ipc.objects.shm.find(id)?)
    };
    match command & !IPC_64 {
        IPC_STAT | SHM_STAT => {
            allowed(task, &segment, READ)?;
            let stamps = *segment.stamps.lock();
            let ds = ShmidDs {
                shm_perm: perm_of(task, segment.perm()),
                shm_segsz: segment.size,
                shm_atime: stamps.atime,
                shm_dtime: stamps.dtime,
                shm_ctime: stamps.ctime,
                shm_cpid: shown(task, stamps.cpid),
                shm_lpid: shown(task, stamps.lpid),
                shm_nattch: task.kernel.attachments(&segment),
                ..ShmidDs::default()
            };
            buf.write(task, &ds)?;
            Ok(if command & !IPC_64 == SHM_STAT { id } else { 0 })
        }
        IPC_SET => {
            let new = buf.read(task)?;
            control(task, &segment)?;
            let perm = given_perm(task, &new.shm_perm)?;
            change(&mut segment.perm().lock(), &perm);
            segment.stamps.lock().ctime = task.seconds();
            Ok(0)
        }
        IPC_RMID => {
            control(task, &segment)?;
            {
                // It lives on without a key until the last process has let go of it.
                let mut perm = segment.perm().lock();
                perm.key = 0;
                perm.mode |= SHM_DEST;
            }
            drop(segment);
            task.purge_segments();
            Ok(0)
        }
        SHM_LOCK | SHM_UNLOCK => {
            if !task.task.cred().has_cap(cap::IPC_LOCK) {
                control(task, &segment)?;
                if command == SHM_LOCK && task.task.group().rlimit(RLIMIT_MEMLOCK) == 0 {
                    return Err(Errno::EPERM);
                }
            }
            // Guest memory is never swapped by us.
            Ok(0)
        }
        _ => Err(Errno::EINVAL),
    }
}

pub(super) fn sys_semget(
    task: &mut CurrentTask,
    key: i32,
    count: i32,
    flags: Flags,
) -> Result<i32> {
    let count = usize::try_from(count)
        .ok()
        .filter(|c| *c <= SEMMSL as usize)
        .ok_or(Errno::EINVAL)?;
    let now = task.seconds();
    let fits = |s: &SemSet| {
        if count > s.len() {
            Err(Errno::EINVAL)
        } else {
            Ok(())
        }
    };
    task.ns
        .ipc
        .objects
        .sem
        .get(&task.task.cred(), key, flags.0, fits, |_, perm| {
            if count == 0 {
                Err(Errno::EINVAL)
            } else {
                Ok(SemSet::new(perm, count, now))
            }
        })
}

pub(super) fn sys_semop(
    task: &mut CurrentTask,
    id: i32,
    ops: UserPtr<Sembuf>,
    count: usize,
) -> Result<()> {
    sys_semtimedop(task, id, ops, count, UserPtr::new(0))
}

pub(super) fn sys_semtimedop(
    task: &mut CurrentTask,
    id: i32,
    ops: UserPtr<Sembuf>,
    count: usize,
    timeout: UserPtr<Timespec>,
) -> Result<()> {
    if count == 0 {
        return Err(Errno::EINVAL);
    }
    if count > SEMOPM as usize {
        return Err(Errno::E2BIG);
    }
    let ops = ops.read_vec(task, count)?;
    let deadline = match timeout.read_opt(task)? {
        Some(ts) => Some(instant_after(timespec_ns(&ts)?)),
        None => None,
    };
    let set = task.ns.ipc.objects.sem.find(id)?;
    if ops.iter().any(|o| usize::from(o.sem_num) >= set.len()) {
        return Err(Errno::EFBIG);
    }
    let changes = ops.iter().any(|o| o.sem_op != 0);
    allowed(task, &set, if changes { WRITE } else { READ })?;
    let pid = task.task.tgid();
    let blocked = match set.attempt(&ops, pid, task.seconds())? {
        Attempt::Done => return Ok(()),
        Attempt::Blocked(at) => at,
    };
    let mut noted = set.begin_wait(&ops[blocked]);
    let waited = task.wait_until(deadline, |task, table| {
        if let Some(table) = table {
            table.add(set.changed());
        }
        match set.attempt(&ops, pid, task.seconds()) {
            Ok(Attempt::Done) => Some(Ok(())),
            Ok(Attempt::Blocked(at)) => {
                set.end_wait(noted);
                noted = set.begin_wait(&ops[at]);
                None
            }
            Err(errno) => Some(Err(errno)),
        }
    });
    set.end_wait(noted);
    match waited {
        Ok(result) => result,
        Err(WaitError::TimedOut) => Err(Errno::EAGAIN),
        // Never restarted: signal(7).
        Err(WaitError::Interrupted) => Err(Errno::EINTR),
    }
}

pub(super) fn sys_semctl(
    task: &mut CurrentTask,
    id: i32,
    index: i32,
    command: u32,
    arg: u64,
) -> Result<usize> {
    let plain = command & !IPC_64;
    if matches!(plain, IPC_INFO | SEM_INFO) {
        sem_info(task, plain, arg)?;
        return Ok(task.ns.ipc.objects.sem.highest_index() as usize);
    }
    let (id, set) = if plain == SEM_STAT {
        task.ns.ipc.objects.sem.at_index(id)?
    } else {
        (id, task.ns.ipc.objects.sem.find(id)?)
    };
    let (pid, now) = (task.task.tgid(), task.seconds());
    let at = || {
        usize::try_from(index)
            .ok()
            .filter(|i| *i < set.len())
            .ok_or(Errno::EINVAL)
    };
    let command = command & !IPC_64;
    match command {
        IPC_STAT | SEM_STAT => {
            allowed(task, &set, READ)?;
            let (sem_otime, sem_ctime) = set.times();
            let sem_nsems = set.len() as u64;
            let sem_perm = perm_of(task, set.perm());
            let ds = SemidDs {
                sem_perm,
                sem_otime,
                sem_ctime,
                sem_nsems,
                ..SemidDs::default()
            };
            UserPtr::<SemidDs>::new(arg).write(task, &ds)?;
            Ok(if command == SEM_STAT { id as usize } else { 0 })
        }
        IPC_SET => {
            let new = UserPtr::<SemidDs>::new(arg).read(task)?;
            control(task, &set)?;
            let perm = given_perm(task, &new.sem_perm)?;
            change(&mut set.perm().lock(), &perm);
            set.touch(now);
            Ok(0)
        }
        IPC_RMID => {
            control(task, &set)?;
            task.ns.ipc.objects.sem.remove(id);
            set.remove();
            Ok(0)
        }
        GETVAL | GETPID | GETNCNT | GETZCNT => {
            let at = at()?;
            allowed(task, &set, READ)?;
            let sem = set.values()[at];
            Ok(match command {
                GETVAL => usize::from(sem.value),
                GETPID => task.shown_pid(sem.pid) as usize,
                _ => set.waiters(at as u16, command == GETZCNT),
            })
        }
        GETALL => {
            allowed(task, &set, READ)?;
            for (i, sem) in set.values().iter().enumerate() {
                UserPtr::<u16>::new(arg)
                    .offset(i as u64)
                    .write(task, &sem.value)?;
            }
            Ok(0)
        }
        SETVAL => {
            let value = u16::try_from(arg as i32).map_err(|_| Errno::ERANGE)?;
            let at = at()?;
            allowed(task, &set, WRITE)?;
            set.set(at, &[value], pid, now).map(|()| 0)
        }
        SETALL => {
            allowed(task, &set, WRITE)?;
            let values = UserPtr::<u16>::new(arg).read_vec(task, set.len())?;
            set.set(0, &values, pid, now).map(|()| 0)
        }
        _ => Err(Errno::EINVAL),
    }
}

pub(super) fn sys_msgget(task: &mut CurrentTask, key: i32, flags: Flags) -> Result<i32> {
    let now = task.seconds();
    let make = |_, perm| Ok(MsgQueue::new(perm, now));
    task.ns
        .ipc
        .objects
        .msg
        .get(&task.task.cred(), key, flags.0, |_| Ok(()), make)
}

pub(super) fn sys_msgsnd(
    task: &mut CurrentTask,
    id: i32,
    message: u64,
    len: u64,
    flags: Flags,
) -> Result<()> {
    let kind = UserPtr::<i64>::new(message).read(task)?;
    if len > MSGMAX.into() || kind < 1 || id < 0 {
        return Err(Errno::EINVAL);
    }
    let mut text = vec![0; len as usize];
    task.mm
        .space
        .read_bytes(message.wrapping_add(8), &mut text)?;
    let message = Message { kind, text };
    let queue = task.ns.ipc.objects.msg.find(id)?;
    allowed(task, &queue, WRITE)?;
    let pid = task.task.tgid();
    match queue.send(&message, pid, task.seconds()) {
        Err(Errno::EAGAIN) if !flags.has(IPC_NOWAIT) => {}
        other => return other,
    }
    let waited = task.wait_until(None, |task, table| {
        if let Some(table) = table {
            table.add(queue.changed());
        }
        match queue.send(&message, pid, task.seconds()) {
            Err(Errno::EAGAIN) => None,
            other => Some(other),
        }
    });
    waited.unwrap_or(Err(Errno::EINTR))
}

pub(super) fn sys_msgrcv(
    task: &mut CurrentTask,
    id: i32,
    to: u64,
    room: u64,
    kind: i64,
    flags: Flags,
) -> Result<usize> {
    let room = usize::try_from(room)
        .ok()
        .filter(|r| r.cast_signed() >= 0)
        .ok_or(Errno::EINVAL)?;
    if id < 0 || (flags.has(MSG_COPY) && (flags.has(MSG_EXCEPT) || !flags.has(IPC_NOWAIT))) {
        return Err(Errno::EINVAL);
    }
    let queue = task.ns.ipc.objects.msg.find(id)?;
    allowed(task, &queue, READ)?;
    let pid = task.task.tgid();
    let attempt = |task: &CurrentTask| queue.receive(kind, flags.0, room, pid, task.seconds());
    let received = match attempt(task) {
        Err(Errno::ENOMSG) if !flags.has(IPC_NOWAIT) => {
            let waited = task.wait_until(None, |task, table| {
                if let Some(table) = table {
                    table.add(queue.changed());
                }
                match attempt(task) {
                    Err(Errno::ENOMSG) => None,
                    other => Some(other),
                }
            });
            waited.unwrap_or(Err(Errno::EINTR))
        }
        other => other,
    }?;
    UserPtr::<i64>::new(to).write(task, &received.kind)?;
    task.mm
        .space
        .write_bytes(to.wrapping_add(8), &received.text)?;
    Ok(received.text.len())
}

pub(super) fn sys_msgctl(
    task: &mut CurrentTask,
    id: i32,
    command: u32,
    buf: UserPtr<MsqidDs>,
) -> Result<i32> {
    let plain = command & !IPC_64;
    if matches!(plain, IPC_INFO | MSG_INFO) {
        msg_info(task, plain, buf.addr())?;
        return Ok(task.ns.ipc.objects.msg.highest_index());
    }
    let (id, queue) = if plain == MSG_STAT {
        task.ns.ipc.objects.msg.at_index(id)?
    } else {
        (id, task.ns.ipc.objects.msg.find(id)?)
    };
    let command = command & !IPC_64;
    match command {
        IPC_STAT | MSG_STAT => {
            allowed(task, &queue, READ)?;
            let stats = queue.stats();
            let ds = MsqidDs {
                msg_perm: perm_of(task, queue.perm()),
                msg_stime: stats.stime,
                msg_rtime: stats.rtime,
                msg_ctime: stats.ctime,
                msg_cbytes: stats.bytes,
                msg_qnum: stats.count,
                msg_qbytes: stats.max_bytes,
                msg_lspid: task.shown_pid(stats.sender).cast_signed(),
                msg_lrpid: task.shown_pid(stats.receiver).cast_signed(),
                ..MsqidDs::default()
            };
            buf.write(task, &ds)?;
            Ok(if command == MSG_STAT { id } else { 0 })
        }
        IPC_SET => {
            let new = buf.read(task)?;
            control(task, &queue)?;
            if new.msg_qbytes > MSGMNB.into() && !task.task.cred().has_cap(cap::SYS_RESOURCE) {
                return Err(Errno::EPERM);
            }
            let perm = given_perm(task, &new.msg_perm)?;
            change(&mut queue.perm().lock(), &perm);
            queue.set_max_bytes(new.msg_qbytes, task.seconds());
            Ok(0)
        }
        IPC_RMID => {
            control(task, &queue)?;
            task.ns.ipc.objects.msg.remove(id);
            queue.remove();
            Ok(0)
        }
        _ => Err(Errno::EINVAL),
    }
}

/// Writes numbers one behind the other.
fn write_ints(task: &CurrentTask, to: u64, ints: &[u32]) -> Result<()> {
    let bytes: Vec<u8> = ints.iter().flat_map(|i| i.to_le_bytes()).collect();
    task.mm.space.write_bytes(to, &bytes)
}

fn write_longs(task: &CurrentTask, to: u64, longs: &[u64]) -> Result<()> {
    let bytes: Vec<u8> = longs.iter().flat_map(|i| i.to_le_bytes()).collect();
    task.mm.space.write_bytes(to, &bytes)
}

/// `struct shminfo` and `struct shm_info`.
fn shm_info(task: &CurrentTask, command: u32, to: u64) -> Result<()> {
    /// `SHMMNI`, the most segments.
    const SEGMENTS: u64 = 4096;
    if command == IPC_INFO {
        return write_longs(
            task,
            to,
            &[
                SHM_MAX,
                1,
                SEGMENTS,
                SEGMENTS,
                SHM_MAX / PAGE_SIZE,
                0,
                0,
                0,
                0,
            ],
        );
    }
    let all = task.ns.ipc.objects.shm.list();
    let pages: u64 = all.iter().map(|(_, s)| s.size.div_ceil(PAGE_SIZE)).sum();
    let resident: u64 = all.iter().map(|(_, s)| s.object.page_count()).sum();
    write_longs(task, to, &[all.len() as u64, pages, resident, 0, 0, 0])
}

/// `struct seminfo`: limits, or with `SEM_INFO` in two places what is in use.
fn sem_info(task: &CurrentTask, command: u32, to: u64) -> Result<()> {
    let all = task.ns.ipc.objects.sem.list();
    let count: usize = all.iter().map(|(_, s)| s.len()).sum();
    let (sets, total) = if command == SEM_INFO {
        (all.len() as u32, count as u32)
    } else {
        (20, SEMVMX)
    };
    let most = SEMMNI * SEMMSL;
    write_ints(
        task,
        to,
        &[
            most, SEMMNI, most, most, SEMMSL, SEMOPM, SEMOPM, sets, SEMVMX, total,
        ],
    )
}

/// `struct msginfo`: limits, or with `MSG_INFO` in three places what is in use.
fn msg_info(task: &CurrentTask, command: u32, to: u64) -> Result<()> {
    let all = task.ns.ipc.objects.msg.list();
    let (pool, map, total) = if command == MSG_INFO {
        let stats: Vec<_> = all.iter().map(|(_, q)| q.stats()).collect();
        let messages: u64 = stats.iter().map(|s| s.count).sum();
        let bytes: u64 = stats.iter().map(|s| s.bytes).sum();
        (all.len() as u32, messages as u32, bytes as u32)
    } else {
        (MSGMNI * MSGMNB / 1024, MSGMNB, MSGMNB)
    };
    write_ints(
        task,
        to,
        &[pool, map, MSGMAX, MSGMNB, MSGMNI, 16, total, 0xffff],
    )
}
