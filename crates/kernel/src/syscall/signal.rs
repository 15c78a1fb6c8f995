//! kill(2), tgkill(2), rt_sigaction(2) and the rest of the signal calls.

use super::UserPtr;
use crate::{
    arch::sigframe,
    clock::{instant_after, timespec_ns},
    signal::{begin_broadcast, send_to_group, send_to_task},
    task::{CurrentTask, Task, ThreadGroup, disabled_stack},
    wait::WaitError,
};
use std::sync::Arc;
use tuxlet_uapi::{
    errno::{Errno, Result},
    signal::{
        MINSIGSTKSZ, SA_UNSUPPORTED, SI_TKILL, SI_USER, SIG_BLOCK, SIG_SETMASK, SIG_UNBLOCK,
        SS_AUTODISARM, SS_DISABLE, SS_ONSTACK, SigAction, SigInfo, SigSet, Signal, StackT,
    },
    time::Timespec,
};
use tuxlet_vfs::cx::cap;

/// Size of the only signal set there is.
fn check_set_size(size: usize) -> Result<()> {
    if size == size_of::<SigSet>() {
        Ok(())
    } else {
        Err(Errno::EINVAL)
    }
}

/// kill(2), "For a process to have permission to send a signal".
pub(super) fn may_signal(task: &CurrentTask, target: &Task, signal: Option<Signal>) -> Result<()> {
    let own = task.task.cred();
    let other = target.cred();
    let same_user = [own.euid, own.uid]
        .iter()
        .any(|id| *id == other.suid || *id == other.uid);
    if same_user || own.has_cap_in(&other.user_ns, cap::KILL) {
        return Ok(());
    }
    if signal == Some(Signal::SIGCONT) {
        let tree = task.kernel.tree.lock();
        let sid = |tgid| tree.node(tgid).map(|n| n.sid);
        if sid(task.task.tgid()) == sid(target.tgid()) {
            return Ok(());
        }
    }
    Err(Errno::EPERM)
}

pub(super) fn optional_signal(number: i32) -> Result<Option<Signal>> {
    if number == 0 {
        Ok(None)
    } else {
        Signal::new(number).map(Some)
    }
}

/// What a signal tells its receiver of the caller.
pub(super) fn info_for(task: &CurrentTask, target: &Task, signal: Signal, code: i32) -> SigInfo {
    let pid = target.group().pid_ns.shown(task.task.tgid());
    let uid = target.cred().user_ns.shown_uid(task.task.cred().uid);
    SigInfo::kill(signal, code, pid.cast_signed(), uid)
}

/// Whether a signal of the caller does nothing to the first process of a namespace: pid_namespaces(7), "The namespace init
/// process".
fn is_shielded(task: &CurrentTask, group: &ThreadGroup, signal: Signal) -> bool {
    if group.own_tgid() != 1 || group.pid_ns.level() == 0 {
        return false;
    }
    let action = group.sighand.read().get(signal);
    let unhandled = action.is_default() || matches!(signal, Signal::SIGKILL | Signal::SIGSTOP);
    unhandled && task.task.group().pid_ns.is_within(&group.pid_ns)
}

/// Sends the caller's signal to a process.
pub(super) fn send_to_process(
    task: &CurrentTask,
    target: &Arc<Task>,
    signal: Signal,
    info: SigInfo,
) -> Result<()> {
    if is_shielded(task, target.group(), signal) {
        return Ok(());
    }
    send_to_group(&task.kernel, target.group(), info)
}

/// Sends the caller's signal to a thread.
pub(super) fn send_to_thread(
    task: &CurrentTask,
    target: &Arc<Task>,
    signal: Signal,
    info: SigInfo,
) -> Result<()> {
    if is_shielded(task, target.group(), signal) {
        return Ok(());
    }
    send_to_task(&task.kernel, target, info)
}

pub(super) fn sys_kill(task: &mut CurrentTask, pid: i32, number: i32) -> Result<()> {
    let signal = optional_signal(number)?;
    match pid {
        1.. => {
            let target = leader(task, task.given_pid(pid.cast_unsigned())?)?;
            may_signal(task, &target, signal)?;
            signal.map_or(Ok(()), |signal| {
                let info = info_for(task, &target, signal, SI_USER);
                send_to_process(task, &target, signal, info)
            })
        }
        i32::MIN => Err(Errno::ESRCH),
        0 => kill_group(task, task.pgid(), signal, None),
        -1 => kill_everybody(task, signal),
        _ => kill_group(task, task.given_pid(pid.unsigned_abs())?, signal, None),
    }
}

/// A task of a process, alive or zombie.
fn leader(task: &CurrentTask, pid: u32) -> Result<Arc<Task>> {
    let tree = task.kernel.tree.lock();
    let node = tree.node(pid).ok_or(Errno::ESRCH)?;
    node.threads
        .first()
        .or_else(|| tree.task(pid))
        .cloned()
        .ok_or(Errno::ESRCH)
}

pub(super) fn kill_group(
    task: &CurrentTask,
    pgid: u32,
    signal: Option<Signal>,
    given: Option<SigInfo>,
) -> Result<()> {
    let _no_fork = signal.map(|_| begin_broadcast(&task.kernel));
    let (members, zombies): (Vec<Arc<Task>>, bool) = {
        let tree = task.kernel.tree.lock();
        let members = tree.process_group(pgid);
        (
            members.filter_map(|n| n.threads.first().cloned()).collect(),
            tree.process_group(pgid).next().is_some(),
        )
    };
    if members.is_empty() && zombies {
        // They can be signalled, to no effect.
        return Ok(());
    }
    kill_many(task, &members, signal, given)
}

fn kill_everybody(task: &CurrentTask, signal: Option<Signal>) -> Result<()> {
    let own = task.task.group();
    let _no_fork = signal.map(|_| begin_broadcast(&task.kernel));
    let members: Vec<Arc<Task>> = {
        let tree = task.kernel.tree.lock();
        let others = tree
            .groups()
            .filter(|(_, n)| own.pid_ns.shown(n.group.tgid()) > 1 && !Arc::ptr_eq(&n.group, own));
        others
            .filter_map(|(_, n)| n.threads.first().cloned())
            .collect()
    };
    kill_many(task, &members, signal, None)
}

/// Success if at least one could be signalled.
fn kill_many(
    task: &CurrentTask,
    members: &[Arc<Task>],
    signal: Option<Signal>,
    given: Option<SigInfo>,
) -> Result<()> {
    let mut outcome = Err(Errno::ESRCH);
    for member in members {
        let sent = may_signal(task, member, signal).and_then(|()| {
            signal.map_or(Ok(()), |signal| {
                let info = given.unwrap_or_else(|| info_for(task, member, signal, SI_USER));
                send_to_process(task, member, signal, info)
            })
        });
        if outcome.is_err() {
            outcome = sent;
        }
    }
    outcome
}

pub(super) fn sys_tkill(task: &mut CurrentTask, tid: i32, number: i32) -> Result<()> {
    if tid <= 0 {
        return Err(Errno::EINVAL);
    }
    signal_thread(task, None, tid, number, None)
}

pub(super) fn sys_tgkill(task: &mut CurrentTask, tgid: i32, tid: i32, number: i32) -> Result<()> {
    if tgid <= 0 || tid <= 0 {
        return Err(Errno::EINVAL);
    }
    signal_thread(task, Some(tgid), tid, number, None)
}

fn signal_thread(
    task: &CurrentTask,
    tgid: Option<i32>,
    tid: i32,
    number: i32,
    info: Option<SigInfo>,
) -> Result<()> {
    let signal = optional_signal(number)?;
    let id = task.given_pid(tid.cast_unsigned())?;
    let target = task.kernel.tree.lock().task(id).cloned();
    let target = target.ok_or(Errno::ESRCH)?;
    if tgid.is_some_and(|t| task.given_pid(t.cast_unsigned()) != Ok(target.tgid())) {
        return Err(Errno::ESRCH);
    }
    may_signal(task, &target, signal)?;
    let Some(signal) = signal else { return Ok(()) };
    let info = info.unwrap_or_else(|| info_for(task, &target, signal, SI_TKILL));
    send_to_thread(task, &target, signal, info)
}

/// A process may pretend to be the kernel or kill(2) only towards itself: rt_sigqueueinfo(2).
fn check_queue_info(task: &CurrentTask, tgid: i32, info: &SigInfo) -> Result<()> {
    let forged = info.si_code >= 0 || info.si_code == SI_TKILL;
    if forged && tgid.cast_unsigned() != task.task.group().own_tgid() {
        Err(Errno::EPERM)
    } else {
        Ok(())
    }
}

pub(super) fn sys_rt_sigqueueinfo(
    task: &mut CurrentTask,
    tgid: i32,
    number: i32,
    info: UserPtr<SigInfo>,
) -> Result<()> {
    let info = SigInfo {
        si_signo: number,
        ..info.read(task)?
    };
    check_queue_info(task, tgid, &info)?;
    let signal = optional_signal(number)?;
    let target = leader(task, task.given_pid(tgid.cast_unsigned())?)?;
    may_signal(task, &target, signal)?;
    signal.map_or(Ok(()), |signal| {
        send_to_process(task, &target, signal, info)
    })
}

pub(super) fn sys_rt_tgsigqueueinfo(
    task: &mut CurrentTask,
    tgid: i32,
    tid: i32,
    number: i32,
    info: UserPtr<SigInfo>,
) -> Result<()> {
    let info = SigInfo {
        si_signo: number,
        ..info.read(task)?
    };
    if tgid <= 0 || tid <= 0 {
        return Err(Errno::EINVAL);
    }
    check_queue_info(task, tgid, &info)?;
    signal_thread(task, Some(tgid), tid, number, Some(info))
}

pub(super) fn sys_rt_sigaction(
    task: &mut CurrentTask,
    number: i32,
    new: UserPtr<SigAction>,
    old: UserPtr<SigAction>,
    size: usize,
) -> Result<()> {
    check_set_size(size)?;
    let signal = Signal::new(number)?;
    let new = new.read_opt(task)?;
    if new.is_some() && SigSet::UNBLOCKABLE.contains(signal) {
        return Err(Errno::EINVAL);
    }
    let group = Arc::clone(task.task.group());
    let before = match new {
        None => group.sighand.read().get(signal),
        Some(mut action) => {
            action.sa_mask = SigSet(action.sa_mask).difference(SigSet::UNBLOCKABLE).0;
            action.sa_flags &= !SA_UNSUPPORTED;
            let sighand = group.sighand.read();
            let before = sighand.set(signal, action);
            // Pending signals that are now ignored are dropped: POSIX, "Signal Actions".
            if sighand.ignores(signal) {
                discard_pending(task, signal);
            }
            before
        }
    };
    old.write_opt(task, &before)
}

fn discard_pending(task: &CurrentTask, signal: Signal) {
    let group = task.task.group();
    let threads = task.kernel.threads_of(group.tgid());
    group.signals.lock().queue.discard(SigSet::of(signal));
    for thread in threads {
        thread.signals.lock().queue.discard(SigSet::of(signal));
    }
    group.timers.discarded(signal);
}

pub(super) fn sys_rt_sigprocmask(
    task: &mut CurrentTask,
    how: u32,
    set: UserPtr<SigSet>,
    old: UserPtr<SigSet>,
    size: usize,
) -> Result<()> {
    check_set_size(size)?;
    let blocked = task.task.signals.lock().blocked;
    if let Some(set) = set.read_opt(task)? {
        task.set_blocked(match how {
            SIG_BLOCK => blocked.union(set),
            SIG_UNBLOCK => blocked.difference(set),
            SIG_SETMASK => set,
            _ => return Err(Errno::EINVAL),
        });
    }
    old.write_opt(task, &blocked)
}

pub(super) fn sys_rt_sigpending(
    task: &mut CurrentTask,
    set: UserPtr<SigSet>,
    size: usize,
) -> Result<()> {
    if size > size_of::<SigSet>() {
        return Err(Errno::EINVAL);
    }
    let shared = task.task.group().signals.lock().queue.pending();
    let pending = {
        let own = task.task.signals.lock();
        own.queue.pending().union(shared).intersection(own.blocked)
    };
    set.write(task, &pending)
}

pub(super) fn sys_rt_sigsuspend(
    task: &mut CurrentTask,
    set: UserPtr<SigSet>,
    size: usize,
) -> Result<()> {
    check_set_size(size)?;
    let mask = set.read(task)?;
    task.set_temporary_mask(mask);
    // Nothing but a signal ends it.
    let _ = task.wait_until(None, |_, _| None::<()>);
    Err(Errno::ERESTARTNOHAND)
}

pub(super) fn sys_rt_sigtimedwait(
    task: &mut CurrentTask,
    set: UserPtr<SigSet>,
    info: UserPtr<SigInfo>,
    timeout: UserPtr<Timespec>,
    size: usize,
) -> Result<i32> {
    check_set_size(size)?;
    let wanted = set.read(task)?.difference(SigSet::UNBLOCKABLE);
    let deadline = match timeout.read_opt(task)? {
        Some(ts) => Some(instant_after(timespec_ns(&ts)?)),
        None => None,
    };
    task.task.signals.lock().waiting_for = wanted;
    let taken = task.wait_until(deadline, |task, _| {
        let mut shared = task.task.group().signals.lock();
        let mut own = task.task.signals.lock();
        own.queue.take(wanted).or_else(|| shared.queue.take(wanted))
    });
    task.task.signals.lock().waiting_for = SigSet::EMPTY;
    let found = match taken {
        Ok(found) => task.task.group().timers.delivered(found),
        Err(WaitError::TimedOut) => return Err(Errno::EAGAIN),
        Err(WaitError::Interrupted) => return Err(Errno::EINTR),
    };
    info.write_opt(task, &found)?;
    Ok(found.si_signo)
}

pub(super) fn sys_rt_sigreturn(task: &mut CurrentTask) -> Result<u64> {
    if sigframe::pop(task).is_err() {
        task.force_signal(SigInfo::kernel(Signal::SIGSEGV));
    }
    // The result register is one of those restored.
    Ok(task.cpu.x[0])
}

pub(super) fn sys_sigaltstack(
    task: &mut CurrentTask,
    new: UserPtr<StackT>,
    old: UserPtr<StackT>,
) -> Result<()> {
    let sp = task.cpu.sp;
    let mut before = task.task.signals.lock().alt_stack;
    if let Some(stack) = new.read_opt(task)? {
        if sigframe::on_alt_stack(sp, &before) {
            return Err(Errno::EPERM);
        }
        task.set_alt_stack(&stack)?;
    }
    if sigframe::on_alt_stack(sp, &before) {
        before.ss_flags |= SS_ONSTACK;
    }
    old.write_opt(task, &before)
}

impl CurrentTask {
    /// Sets the alternate stack: sigaltstack(2).
    pub(crate) fn set_alt_stack(&mut self, stack: &StackT) -> Result<()> {
        if sigframe::on_alt_stack(self.cpu.sp, &self.task.signals.lock().alt_stack) {
            return Err(Errno::EPERM);
        }
        let mode = stack.ss_flags & !SS_AUTODISARM;
        if !matches!(mode, 0 | SS_DISABLE | SS_ONSTACK) {
            return Err(Errno::EINVAL);
        }
        let new = if mode == SS_DISABLE {
            disabled_stack()
        } else if stack.ss_size < MINSIGSTKSZ {
            return Err(Errno::ENOMEM);
        } else {
            StackT {
                ss_flags: stack.ss_flags & SS_AUTODISARM,
                ..*stack
            }
        };
        self.task.signals.lock().alt_stack = new;
        Ok(())
    }

    /// The process group of the calling process.
    #[must_use]
    pub fn pgid(&self) -> u32 {
        self.kernel
            .tree
            .lock()
            .node(self.task.tgid())
            .map_or(0, |n| n.pgid)
    }
}
