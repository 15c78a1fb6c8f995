//! How requests run: at once, or when their file is ready or their time has come.

use super::{perform::perform, register};
use crate::{
    clock::instant_after,
    io_uring::{Chain, Moment, Prepared, Request, Ring, Waiting, Which},
    task::{CurrentTask, work},
};
use std::{
    collections::VecDeque,
    sync::{Arc, Weak},
    time::Instant,
};
use tuxlet_uapi::{
    errno::{Errno, Result},
    io_uring::*,
};
use tuxlet_vfs::{Events, File};

/// What came of a request.
pub(super) enum Outcome {
    /// A result; `failed` breaks links.
    Done { res: i32, flags: u32, failed: bool },
    /// A result of more to come.
    More { res: i32, flags: u32 },
    /// Nothing before the file has one of the events.
    Wait(Arc<File>, Events),
    /// Nothing before a time, or before so many completions.
    Time(Moment, Option<u64>),
}

impl Outcome {
    /// A result that is what was asked for.
    pub(super) fn done(res: impl TryInto<i32>) -> Self {
        Self::Done {
            res: res.try_into().unwrap_or(i32::MAX),
            flags: 0,
            failed: false,
        }
    }
}

/// What a program sees of an error: requests are not started again after a signal.
pub(super) fn code(errno: Errno) -> i32 {
    -if errno.is_restart() {
        Errno::EINTR
    } else {
        errno
    }
    .raw()
}

impl CurrentTask {
    /// Lets the thread's requests go on that are ready.
    pub(crate) fn run_io_uring(&mut self) {
        self.task.clear_work(work::IO_URING);
        while let Some((ring, id)) = self.next_ring_work() {
            if let Some(ring) = Weak::upgrade(&ring) {
                resume(self, &ring, id);
            }
        }
    }
}

/// Starts requests that depend on each other.
pub(super) fn submit(task: &mut CurrentTask, ring: &Arc<Ring>, chain: Chain) {
    if let Some(chain) = ring.admit(chain) {
        start(task, ring, chain);
    }
    settle(task, ring);
}

fn start(task: &mut CurrentTask, ring: &Arc<Ring>, mut chain: Chain) {
    while let Some(mut request) = chain.pop_front() {
        request.rest = chain;
        chain = advance(task, ring, request, None);
    }
}

/// What the end of requests has made possible.
fn settle(task: &mut CurrentTask, ring: &Arc<Ring>) {
    loop {
        if let Some(waiting) = ring.counted_timeout().and_then(|id| ring.take_waiting(id)) {
            let rest = end_timer(task, ring, waiting, 0, false);
            start(task, ring, rest);
        } else if let Some(chain) = ring.next_drained() {
            start(task, ring, chain);
        } else {
            return;
        }
    }
}

/// A waiting request may go on.
pub(super) fn resume(task: &mut CurrentTask, ring: &Arc<Ring>, id: u64) {
    // Not there: it was cancelled meanwhile.
    let Some(waiting) = ring.take_waiting(id) else {
        return;
    };
    let rest = if waiting.timer.is_some() {
        expire(task, ring, id, waiting)
    } else if is_multishot_poll(&waiting.request) {
        report_poll(task, ring, id, waiting);
        Chain::new()
    } else {
        let Waiting { mut request, .. } = waiting;
        request.waited = true;
        advance(task, ring, request, Some(id))
    };
    start(task, ring, rest);
    settle(task, ring);
}

fn is_multishot_poll(request: &Request) -> bool {
    request.sqe.opcode == IORING_OP_POLL_ADD && request.sqe.len & IORING_POLL_ADD_MULTI != 0
}

/// Tells of events once more and goes on waiting.
fn report_poll(task: &mut CurrentTask, ring: &Arc<Ring>, id: u64, waiting: Waiting) {
    let want = Events::from_bits_truncate(waiting.request.sqe.rw_flags) | Events::ERR | Events::HUP;
    let user_data = waiting.request.sqe.user_data;
    let file = waiting.request.file.get();
    if let Some(waker) = &waiting.waker {
        waker.rearm();
    }
    ring.put_back(id, waiting);
    let Some(file) = file else { return };
    let now = file.poll(&task.cx(), None) & want;
    if !now.is_empty() {
        let cqe = IoUringCqe {
            user_data,
            res: now.bits().cast_signed(),
            flags: IORING_CQE_F_MORE,
        };
        ring.post(cqe, true, true);
    }
}

/// Runs a request as far as it goes; the requests that may start now.
fn advance(
    task: &mut CurrentTask,
    ring: &Arc<Ring>,
    mut request: Request,
    id: Option<u64>,
) -> Chain {
    loop {
        match attempt(task, ring, &mut request) {
            Outcome::Done { res, flags, failed } => {
                return finish(task, ring, request, res, flags, failed);
            }
            Outcome::More { res, flags } => {
                let cqe = IoUringCqe {
                    user_data: request.sqe.user_data,
                    res,
                    flags: flags | IORING_CQE_F_MORE,
                };
                ring.post(cqe, true, request.waited);
            }
            Outcome::Wait(file, events) => {
                let limit = take_limit(&mut request);
                let id = ring.wait_for_file(task, id, request, &file, events);
                if let Some(limit) = limit {
                    arm_limit(task, ring, limit, id);
                }
                return Chain::new();
            }
            Outcome::Time(moment, after) => {
                let limit = take_limit(&mut request);
                let id = wait_until(task, ring, None, request, moment, after, None);
                if let Some(limit) = limit {
                    arm_limit(task, ring, limit, id);
                }
                return Chain::new();
            }
        }
    }
}

/// The timeout that is linked to a request and not armed yet.
fn take_limit(request: &mut Request) -> Option<Request> {
    let next = request.rest.front()?;
    if next.sqe.opcode == IORING_OP_LINK_TIMEOUT && next.refused.is_none() {
        request.rest.pop_front()
    } else {
        None
    }
}

fn arm_limit(task: &CurrentTask, ring: &Arc<Ring>, limit: Request, of: u64) {
    let Prepared::Time(moment) = limit.prepared else {
        return;
    };
    let timer = wait_until(task, ring, None, limit, moment, None, Some(of));
    ring.limited_by(of, timer);
}

fn wait_until(
    task: &CurrentTask,
    ring: &Arc<Ring>,
    id: Option<u64>,
    request: Request,
    moment: Moment,
    after: Option<u64>,
    limits: Option<u64>,
) -> u64 {
    // From now on it is a moment of a clock.
    let moment = match moment {
        Moment::After(ns) => Moment::At(instant_after(ns)),
        other => other,
    };
    ring.wait_for_time(task, id, request, moment, after, limits)
}

/// A timer has gone off, or its clock was set.
fn expire(task: &mut CurrentTask, ring: &Arc<Ring>, id: u64, waiting: Waiting) -> Chain {
    let Some((_, _, moment)) = &waiting.timer else {
        return Chain::new();
    };
    let moment = *moment;
    if moment.instant(&task.kernel.clock) > Instant::now() {
        let Waiting {
            request, limits, ..
        } = waiting;
        let after = waiting.after;
        ring.wait_again(task, Some(id), request, moment, after, limits);
        return Chain::new();
    }
    match waiting.limits {
        None => {
            let success = waiting.request.sqe.rw_flags & IORING_TIMEOUT_ETIME_SUCCESS != 0;
            end_timer(task, ring, waiting, code(Errno::ETIME), !success)
        }
        Some(of) => {
            let found = ring.take_waiting(of);
            let res = found.as_ref().map_or(Errno::ENOENT, |_| Errno::ETIME);
            if let Some(mut limited) = found {
                limited.request.timeout = None;
                cancel_timer(task, &limited);
                let rest = end(task, ring, limited.request, code(Errno::ECANCELED), true);
                start(task, ring, rest);
            }
            end_timer(task, ring, waiting, code(res), false)
        }
    }
}

fn end_timer(
    task: &mut CurrentTask,
    ring: &Arc<Ring>,
    waiting: Waiting,
    res: i32,
    failed: bool,
) -> Chain {
    cancel_timer(task, &waiting);
    end(task, ring, waiting.request, res, failed)
}

fn cancel_timer(task: &CurrentTask, waiting: &Waiting) {
    if let Some((_, key, _)) = &waiting.timer {
        task.kernel.timers.cancel(*key);
    }
}

fn end(
    task: &mut CurrentTask,
    ring: &Arc<Ring>,
    mut request: Request,
    res: i32,
    failed: bool,
) -> Chain {
    request.waited = true;
    finish(task, ring, request, res, 0, failed)
}

/// Tells a request's result and deals with those that are linked to it; returns those that may start.
fn finish(
    task: &mut CurrentTask,
    ring: &Arc<Ring>,
    request: Request,
    res: i32,
    flags: u32,
    failed: bool,
) -> Chain {
    let Request {
        sqe,
        waited,
        mut rest,
        timeout,
        ..
    } = request;
    let skips = |sqe: &IoUringSqe| sqe.flags & IOSQE_CQE_SKIP_SUCCESS != 0;
    let tell = |sqe: &IoUringSqe, res: i32, flags: u32| {
        let counts = sqe.opcode != IORING_OP_TIMEOUT;
        let cqe = IoUringCqe {
            user_data: sqe.user_data,
            res,
            flags,
        };
        ring.post(cqe, counts, waited);
        ring.count(0, 1);
    };
    if skips(&sqe) && !failed {
        ring.count(0, 1);
    } else {
        tell(&sqe, res, flags);
    }
    let cancelled = code(Errno::ECANCELED);
    if let Some(limit) = timeout.and_then(|id| ring.take_waiting(id)) {
        cancel_timer(task, &limit);
        if skips(&limit.request.sqe) {
            ring.count(0, 1);
        } else {
            tell(&limit.request.sqe, cancelled, 0);
        }
    }
    let unarmed = |r: &Request| r.sqe.opcode == IORING_OP_LINK_TIMEOUT && r.refused.is_none();
    if rest.front().is_some_and(unarmed)
        && let Some(limit) = rest.pop_front()
    {
        if skips(&limit.sqe) {
            ring.count(0, 1);
        } else {
            tell(&limit.sqe, cancelled, 0);
        }
    }
    if !failed || sqe.flags & IOSQE_IO_HARDLINK != 0 {
        return rest;
    }
    for request in std::mem::take(&mut rest) {
        if skips(&sqe) && skips(&request.sqe) {
            ring.count(0, 1);
        } else {
            tell(&request.sqe, request.refused.unwrap_or(cancelled), 0);
        }
    }
    VecDeque::new()
}

/// One attempt, as whoever the request acts for.
fn attempt(task: &mut CurrentTask, ring: &Arc<Ring>, request: &mut Request) -> Outcome {
    let failed = |res| Outcome::Done {
        res,
        flags: 0,
        failed: true,
    };
    if let Some(res) = request.refused {
        return failed(res);
    }
    let own = request.cred.clone().map(|cred| {
        let own = task.task.cred();
        task.task.set_cred((*cred).clone());
        own
    });
    let outcome = perform(task, ring, request);
    if let Some(own) = own {
        task.task.set_cred((*own).clone());
    }
    outcome.unwrap_or_else(|errno| failed(code(errno)))
}

/// Ends a request that waits.
fn cancel(task: &mut CurrentTask, ring: &Arc<Ring>, id: u64) -> bool {
    let Some(waiting) = ring.take_waiting(id) else {
        return false;
    };
    let rest = end_timer(task, ring, waiting, code(Errno::ECANCELED), true);
    start(task, ring, rest);
    true
}

/// `IORING_OP_ASYNC_CANCEL`: how many were cancelled if all were meant, else 0. `ENOENT`.
pub(super) fn cancel_requests(
    task: &mut CurrentTask,
    ring: &Arc<Ring>,
    sqe: &IoUringSqe,
) -> Result<i32> {
    let flags = sqe.rw_flags;
    let file;
    let which = if flags & IORING_ASYNC_CANCEL_ANY != 0 {
        Which::Any
    } else if flags & IORING_ASYNC_CANCEL_FD_FIXED != 0 {
        file = register::fixed_file(ring, sqe.fd)?;
        Which::File(&file)
    } else if flags & IORING_ASYNC_CANCEL_FD != 0 {
        file = task.fds.get(sqe.fd)?;
        Which::File(&file)
    } else {
        Which::UserData(sqe.addr)
    };
    let all = flags & (IORING_ASYNC_CANCEL_ALL | IORING_ASYNC_CANCEL_ANY) != 0;
    let mut count = 0;
    for id in ring.find(which) {
        if cancel(task, ring, id) {
            count += 1;
            if !all {
                return Ok(0);
            }
        }
    }
    if count == 0 && !all {
        return Err(Errno::ENOENT);
    }
    Ok(count)
}

/// `IORING_OP_TIMEOUT_REMOVE`.
pub(super) fn change_timeout(
    task: &mut CurrentTask,
    ring: &Arc<Ring>,
    request: &Request,
) -> Result<i32> {
    let sqe = &request.sqe;
    let which = if sqe.rw_flags & IORING_LINK_TIMEOUT_UPDATE != 0 {
        Which::LinkTimeout(sqe.addr)
    } else {
        Which::Timeout(sqe.addr)
    };
    let id = ring.find(which).first().copied().ok_or(Errno::ENOENT)?;
    let Prepared::Time(moment) = request.prepared else {
        cancel(task, ring, id);
        return Ok(0);
    };
    let old = ring.take_waiting(id).ok_or(Errno::ENOENT)?;
    cancel_timer(task, &old);
    let Waiting {
        request, limits, ..
    } = old;
    let moment = match moment {
        Moment::After(ns) => Moment::At(instant_after(ns)),
        other => other,
    };
    // A new time is all that counts from now on.
    ring.wait_again(task, Some(id), request, moment, None, limits);
    Ok(0)
}

/// `IORING_OP_POLL_REMOVE`.
pub(super) fn change_poll(
    task: &mut CurrentTask,
    ring: &Arc<Ring>,
    sqe: &IoUringSqe,
) -> Result<i32> {
    let id = ring
        .find(Which::Poll(sqe.addr))
        .first()
        .copied()
        .ok_or(Errno::ENOENT)?;
    if sqe.len & (IORING_POLL_UPDATE_EVENTS | IORING_POLL_UPDATE_USER_DATA) == 0 {
        cancel(task, ring, id);
        return Ok(0);
    }
    let Waiting { mut request, .. } = ring.take_waiting(id).ok_or(Errno::ENOENT)?;
    if sqe.len & IORING_POLL_UPDATE_EVENTS != 0 {
        request.sqe.rw_flags = sqe.rw_flags;
        request.sqe.len = sqe.len & IORING_POLL_ADD_MULTI;
    }
    if sqe.len & IORING_POLL_UPDATE_USER_DATA != 0 {
        request.sqe.user_data = sqe.off;
    }
    let rest = advance(task, ring, request, Some(id));
    start(task, ring, rest);
    Ok(0)
}
