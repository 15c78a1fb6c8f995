//! Sending signals: kill(2), tgkill(2), rt_sigqueueinfo(2), and everything inside the kernel that raises one.

use super::queue::SigQueue;
use crate::{
    kernel::Kernel,
    task::{Task, ThreadGroup, WaitStatus, work},
};
use parking_lot::RwLockWriteGuard;
use std::sync::{Arc, atomic::Ordering};
use tuxlet_uapi::{
    errno::{Errno, Result},
    resource::RLIMIT_SIGPENDING,
    signal::{DefaultAction, SI_USER, SigInfo, SigSet, Signal},
};

/// Sends a signal to a process. Returns once it is queued or dropped.
pub fn send_to_group(kernel: &Kernel, group: &Arc<ThreadGroup>, info: SigInfo) -> Result<()> {
    send(kernel, group, None, info)
}

/// Sends a signal to one thread.
pub fn send_to_task(kernel: &Kernel, task: &Arc<Task>, info: SigInfo) -> Result<()> {
    send(kernel, task.group(), Some(task), info)
}

/// Sends a signal to every member of a process group; the number of members.
pub fn send_to_process_group(kernel: &Kernel, pgid: u32, info: SigInfo) -> usize {
    let _no_fork = begin_broadcast(kernel);
    let groups: Vec<_> = {
        let tree = kernel.tree.lock();
        tree.process_group(pgid)
            .filter(|n| n.zombie.is_none())
            .map(|n| Arc::clone(&n.group))
            .collect()
    };
    for group in &groups {
        // A full queue of one member must not keep the signal from the others.
        let _ = send_to_group(kernel, group, info);
    }
    groups.len()
}

/// Before a signal is sent to several processes: until the guard is dropped no process is made that could miss it.
pub(crate) fn begin_broadcast(kernel: &Kernel) -> RwLockWriteGuard<'_, ()> {
    let guard = kernel.broadcast_lock.write();
    kernel.broadcasts.fetch_add(1, Ordering::SeqCst);
    guard
}

fn send(
    kernel: &Kernel,
    group: &Arc<ThreadGroup>,
    target: Option<&Arc<Task>>,
    info: SigInfo,
) -> Result<()> {
    let signal = Signal::new(info.si_signo)?;
    if signal == Signal::SIGKILL {
        // A stopped process needs no continuing: its end is all that its threads find when they wake.
        kernel.kill_group(group, WaitStatus::Signaled(signal, false));
        return Ok(());
    }
    let tasks = kernel.threads_of(group.tgid());
    stop_and_continue(kernel, group, &tasks, signal);

    let mut shared = group.signals.lock();
    if ignored(group, target, &tasks, signal) {
        return Ok(());
    }
    let limit = group.rlimit(RLIMIT_SIGPENDING);
    let push = |queue: &mut SigQueue| {
        // Standard signals and those of the kernel are never refused; real-time ones count: getrlimit(2).
        if signal.is_realtime() && info.si_code != SI_USER && queue.len() as u64 >= limit {
            return Err(Errno::EAGAIN);
        }
        queue.push(signal, info);
        Ok(())
    };
    match target {
        Some(task) => {
            push(&mut task.signals.lock().queue)?;
            drop(shared);
            if wants(task, signal) {
                task.notify(work::SIGNAL);
            }
        }
        None => {
            push(&mut shared.queue)?;
            drop(shared);
            // One thread that does not block it is enough; the leader is first in the list.
            if let Some(task) = tasks.iter().find(|t| wants(t, signal)) {
                task.notify(work::SIGNAL);
            }
        }
    }
    kernel.signal_notify.wake_all(!0);
    Ok(())
}

/// Whether the task takes the signal now or is in sigtimedwait(2) for it.
fn wants(task: &Task, signal: Signal) -> bool {
    let signals = task.signals.lock();
    !task.exiting.load(Ordering::Relaxed)
        && (!signals.blocked.contains(signal) || signals.waiting_for.contains(signal))
}

/// Signals that would do nothing are not queued, unless some thread blocks them: it may change its mind.
fn ignored(
    group: &ThreadGroup,
    target: Option<&Arc<Task>>,
    tasks: &[Arc<Task>],
    signal: Signal,
) -> bool {
    if !group.sighand.read().ignores(signal) {
        return false;
    }
    // A tracer may want to know even of those.
    if target.map_or_else(
        || tasks.iter().any(|t| t.is_traced()),
        |task| task.is_traced(),
    ) {
        return false;
    }
    let blocks = |task: &Arc<Task>| {
        let signals = task.signals.lock();
        signals.blocked.contains(signal) || signals.waiting_for.contains(signal)
    };
    match target {
        Some(task) => !blocks(task),
        None => !tasks.iter().any(blocks),
    }
}

/// `SIGCONT` ends a stop and cancels pending stop signals; a stop signal cancels a pending `SIGCONT`. That
/// happens when the signal is sent, whatever its disposition.
fn stop_and_continue(
    kernel: &Kernel,
    group: &Arc<ThreadGroup>,
    tasks: &[Arc<Task>],
    signal: Signal,
) {
    let discard = if signal == Signal::SIGCONT {
        SigSet::STOP
    } else if signal.default_action() == DefaultAction::Stop {
        SigSet::of(Signal::SIGCONT)
    } else {
        return;
    };
    let was_stopped = {
        let mut shared = group.signals.lock();
        shared.queue.discard(discard);
        for task in tasks {
            let mut signals = task.signals.lock();
            signals.queue.discard(discard);
            if signal == Signal::SIGCONT {
                signals.may_stop = false;
            }
        }
        signal == Signal::SIGCONT && shared.stop.take().is_some()
    };
    if signal == Signal::SIGCONT {
        tasks.iter().for_each(|task| task.trap_notify());
    }
    if !was_stopped {
        return;
    }
    for task in tasks {
        task.notify(work::SIGNAL);
    }
    kernel.report_continued(group);
}
