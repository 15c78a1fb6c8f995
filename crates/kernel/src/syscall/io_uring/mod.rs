//! io_uring_setup(2), io_uring_enter(2), io_uring_register(2).

mod perform;
mod prep;
mod register;
mod run;

pub(super) use register::sys_io_uring_register;

use super::{Flags, UserPtr, poll::temporary_mask};
use crate::{
    clock::{instant_after, timespec_ns},
    io_uring::{Chain, Held, Prepared, Request, Ring},
    task::CurrentTask,
    wait::WaitError,
};
use std::{
    sync::{Arc, atomic::Ordering},
    time::Instant,
};
use tuxlet_uapi::{
    errno::{Errno, Result},
    io_uring::*,
    signal::SigSet,
    time::Timespec,
};
use tuxlet_vfs::cx::cap;

/// Most submissions of a ring.
const MAX_ENTRIES: u32 = 32_768;
/// Most completions.
const MAX_CQ_ENTRIES: u32 = 2 * MAX_ENTRIES;
/// Flags of io_uring_setup(2) that are known.
///
/// `IORING_SETUP_IOPOLL` is for devices that are asked instead of telling; there are none.
const SETUP_FLAGS: u32 = IORING_SETUP_SQPOLL
    | IORING_SETUP_SQ_AFF
    | IORING_SETUP_CQSIZE
    | IORING_SETUP_CLAMP
    | IORING_SETUP_ATTACH_WQ
    | IORING_SETUP_R_DISABLED
    | IORING_SETUP_SUBMIT_ALL
    | TASKRUN_FLAGS
    | IORING_SETUP_SQE128
    | IORING_SETUP_CQE32
    | IORING_SETUP_SINGLE_ISSUER
    | IORING_SETUP_NO_SQARRAY;
const TASKRUN_FLAGS: u32 =
    IORING_SETUP_COOP_TASKRUN | IORING_SETUP_TASKRUN_FLAG | IORING_SETUP_DEFER_TASKRUN;
/// What rings can do.
const FEATURES: u32 = IORING_FEAT_SINGLE_MMAP
    | IORING_FEAT_NODROP
    | IORING_FEAT_SUBMIT_STABLE
    | IORING_FEAT_RW_CUR_POS
    | IORING_FEAT_CUR_PERSONALITY
    | IORING_FEAT_FAST_POLL
    | IORING_FEAT_POLL_32BITS
    | IORING_FEAT_SQPOLL_NONFIXED
    | IORING_FEAT_EXT_ARG
    | IORING_FEAT_CQE_SKIP
    | IORING_FEAT_LINKED_FILE
    | IORING_FEAT_REG_REG_RING;

/// A ring's size: a power of two. `EINVAL` for 0 and for more than there may be, unless it is to be cut.
fn size(wanted: u32, max: u32, clamp: bool) -> Result<u32> {
    match wanted {
        0 => Err(Errno::EINVAL),
        n if n <= max => Ok(n.next_power_of_two()),
        _ if clamp => Ok(max),
        _ => Err(Errno::EINVAL),
    }
}

pub(super) fn sys_io_uring_setup(
    task: &mut CurrentTask,
    entries: u32,
    params: UserPtr<IoUringParams>,
) -> Result<i32> {
    match task.kernel.io_uring_disabled.load(Ordering::Relaxed) {
        0 => {}
        1 if task.task.cred().has_cap(cap::SYS_ADMIN) => {}
        _ => return Err(Errno::EPERM),
    }
    let mut p = params.read(task)?;
    let flags = p.flags;
    if p.resv != [0; 3] || flags & !SETUP_FLAGS != 0 {
        return Err(Errno::EINVAL);
    }
    let has = |bits| flags & bits != 0;
    let sq = size(entries, MAX_ENTRIES, has(IORING_SETUP_CLAMP))?;
    let cq = if has(IORING_SETUP_CQSIZE) {
        let cq = size(p.cq_entries, MAX_CQ_ENTRIES, has(IORING_SETUP_CLAMP))?;
        if cq < sq {
            return Err(Errno::EINVAL);
        }
        cq
    } else {
        2 * sq
    };
    let wrong = (has(IORING_SETUP_SQPOLL) && has(TASKRUN_FLAGS))
        || (has(IORING_SETUP_TASKRUN_FLAG)
            && !has(IORING_SETUP_COOP_TASKRUN | IORING_SETUP_DEFER_TASKRUN))
        || (has(IORING_SETUP_DEFER_TASKRUN) && !has(IORING_SETUP_SINGLE_ISSUER))
        || (has(IORING_SETUP_SQ_AFF) && !has(IORING_SETUP_SQPOLL));
    if wrong {
        return Err(Errno::EINVAL);
    }
    if has(IORING_SETUP_ATTACH_WQ) {
        // There are no workers to share, but it has to be a ring.
        let other = task
            .fds
            .get(p.wq_fd.cast_signed())
            .map_err(|_| Errno::ENXIO)?;
        other.ops_as::<Ring>().ok_or(Errno::EINVAL)?;
    }
    let file = Ring::open(task, sq, cq, flags)?;
    let ring = file.ops_as::<Ring>().ok_or(Errno::EINVAL)?;
    (p.sq_off, p.cq_off) = ring.offsets();
    (p.sq_entries, p.cq_entries, p.features) = (sq, cq, FEATURES);
    if has(IORING_SETUP_SINGLE_ISSUER) && !has(IORING_SETUP_R_DISABLED) {
        ring.issuer.store(task.task.tid(), Ordering::Relaxed);
    }
    params.write(task, &p)?;
    task.install_fd(file, true)
}

/// Whether the thread may submit. `EEXIST` if another one is the only one that may.
fn check_issuer(task: &CurrentTask, ring: &Ring) -> Result<()> {
    if ring.flags & IORING_SETUP_SINGLE_ISSUER == 0 {
        return Ok(());
    }
    let me = task.task.tid();
    let first = ring
        .issuer
        .compare_exchange(0, me, Ordering::SeqCst, Ordering::SeqCst);
    match first {
        Ok(_) => Ok(()),
        Err(issuer) if issuer == me => Ok(()),
        Err(_) => Err(Errno::EEXIST),
    }
}

pub(super) fn sys_io_uring_enter(
    task: &mut CurrentTask,
    fd: i32,
    to_submit: u32,
    min_complete: u32,
    flags: Flags,
    arg: u64,
    arg_size: usize,
) -> Result<u32> {
    flags.only(
        IORING_ENTER_GETEVENTS
            | IORING_ENTER_SQ_WAKEUP
            | IORING_ENTER_SQ_WAIT
            | IORING_ENTER_EXT_ARG
            | IORING_ENTER_REGISTERED_RING,
    )?;
    let file = register::ring_file(task, fd, flags.has(IORING_ENTER_REGISTERED_RING))?;
    let ring = file.ops_as::<Ring>().ok_or(Errno::EOPNOTSUPP)?.strong()?;
    if !ring.is_enabled() {
        return Err(Errno::EBADFD);
    }
    let submitted = if ring.flags & IORING_SETUP_SQPOLL != 0 {
        // The thread that sleeps is only woken by this, and sleeps again when it has taken everything.
        if flags.has(IORING_ENTER_SQ_WAKEUP) {
            submit(task, &ring, u32::MAX);
        }
        to_submit
    } else if to_submit > 0 {
        check_issuer(task, &ring)?;
        let submitted = submit(task, &ring, to_submit);
        if submitted != to_submit {
            return Ok(submitted);
        }
        submitted
    } else {
        0
    };
    if !flags.has(IORING_ENTER_GETEVENTS) {
        return Ok(submitted);
    }
    let waited = get_events(task, &ring, min_complete, flags, arg, arg_size);
    match waited {
        Err(errno) if submitted == 0 => Err(errno),
        _ => Ok(submitted),
    }
}

/// Waits until so many results are there.
fn get_events(
    task: &mut CurrentTask,
    ring: &Arc<Ring>,
    min_complete: u32,
    flags: Flags,
    arg: u64,
    arg_size: usize,
) -> Result<()> {
    if ring.flags & IORING_SETUP_DEFER_TASKRUN != 0 {
        check_issuer(task, ring)?;
    }
    let mut deadline: Option<Instant> = None;
    let (mut mask, mut mask_size) = (arg, arg_size);
    if flags.has(IORING_ENTER_EXT_ARG) {
        if arg_size != size_of::<IoUringGeteventsArg>() {
            return Err(Errno::EINVAL);
        }
        let more = UserPtr::<IoUringGeteventsArg>::new(arg).read(task)?;
        if more.pad != 0 {
            return Err(Errno::EINVAL);
        }
        (mask, mask_size) = (more.sigmask, more.sigmask_sz as usize);
        if let Some(ts) = UserPtr::<Timespec>::new(more.ts).read_opt(task)? {
            deadline = Some(instant_after(timespec_ns(&ts)?));
        }
    }
    let want = min_complete.min(ring.cq_entries());
    run_deferred(task, ring);
    ring.flush_overflow();
    if ring.unseen() >= want {
        return Ok(());
    }
    temporary_mask(task, UserPtr::<SigSet>::new(mask), mask_size)?;
    let waited = task.wait_until(deadline, |task, table| {
        if let Some(table) = table {
            table.add(ring.changed());
        }
        run_deferred(task, ring);
        (ring.unseen() >= want).then_some(())
    });
    ring.flush_overflow();
    let result = match waited {
        Ok(()) => Ok(()),
        // What is there is a success.
        Err(_) if ring.unseen() > 0 => Ok(()),
        Err(WaitError::TimedOut) => Err(Errno::ETIME),
        Err(WaitError::Interrupted) => Err(Errno::EINTR),
    };
    if waited != Err(WaitError::Interrupted) {
        task.end_temporary_mask();
    }
    result
}

/// Lets requests go on that were left until now.
fn run_deferred(task: &mut CurrentTask, ring: &Arc<Ring>) {
    while let Some(id) = ring.take_deferred() {
        run::resume(task, ring, id);
    }
}

/// Takes up to so many submissions; how many.
fn submit(task: &mut CurrentTask, ring: &Arc<Ring>, max: u32) -> u32 {
    let count = ring.submitted().min(max);
    let mut chain = Chain::new();
    let mut taken = 0;
    while taken < count {
        taken += 1;
        let Some(sqe) = ring.take_submission() else {
            // Linux stops here, and the entry counts as taken by nobody.
            taken -= 1;
            break;
        };
        let request = request(task, ring, sqe, chain.back());
        let refused = request.refused.is_some();
        let linked = sqe.flags & (IOSQE_IO_LINK | IOSQE_IO_HARDLINK) != 0;
        chain.push_back(request);
        if linked {
            continue;
        }
        begin(task, ring, std::mem::take(&mut chain));
        if refused && ring.flags & IORING_SETUP_SUBMIT_ALL == 0 {
            break;
        }
    }
    if !chain.is_empty() {
        begin(task, ring, chain);
    }
    taken
}

/// Starts a chain; one with a refused request in it fails as a whole.
fn begin(task: &mut CurrentTask, ring: &Arc<Ring>, mut chain: Chain) {
    if chain.len() > 1 && chain.iter().any(|r| r.refused.is_some()) {
        for request in &mut chain {
            request.refused.get_or_insert(run::code(Errno::ECANCELED));
        }
    }
    run::submit(task, ring, chain);
}

fn request(task: &CurrentTask, ring: &Ring, sqe: IoUringSqe, before: Option<&Request>) -> Request {
    let cred = if sqe.personality == 0 {
        Ok(None)
    } else {
        let found = ring.with(|state| state.personalities.get(&sqe.personality).cloned());
        found.map(Some).ok_or(Errno::EINVAL)
    };
    let placed = match before {
        _ if sqe.opcode != IORING_OP_LINK_TIMEOUT => Ok(()),
        Some(b) if b.sqe.opcode != IORING_OP_LINK_TIMEOUT => Ok(()),
        // There is nothing that it could limit.
        _ => Err(Errno::EINVAL),
    };
    let prepared = prep::prepare(task, ring, &sqe);
    let prepared = prepared.and_then(|p| placed.map(|()| p));
    let (prepared, cred, refused) = match (prepared, cred) {
        (Ok(prepared), Ok(cred)) => (prepared, cred, None),
        (Err(errno), _) | (_, Err(errno)) => (Prepared::None, None, Some(run::code(errno))),
    };
    Request {
        sqe,
        prepared,
        file: Held::None,
        cred,
        refused,
        begun: false,
        done: 0,
        waited: false,
        rest: Chain::new(),
        timeout: None,
    }
}
