//! timer_create(2), timer_settime(2), timer_gettime(2), timer_getoverrun(2), timer_delete(2), setitimer(2),
//! getitimer(2).

use super::{Flags, UserPtr};
use crate::{
    clock::{ns_timespec, timespec_ns},
    task::CurrentTask,
    timer::{Notify, Setting, SignalTimer, TimerClock},
};
use std::sync::Arc;
use tuxlet_uapi::{
    errno::{Errno, Result},
    signal::{SIGEV_NONE, SIGEV_SIGNAL, SIGEV_THREAD_ID, SigEvent, Signal},
    time::{Itimerspec, Itimerval, TIMER_ABSTIME, Timeval},
};

pub(super) fn sys_timer_create(
    task: &mut CurrentTask,
    clock: u32,
    event: UserPtr<SigEvent>,
    id: UserPtr<i32>,
) -> Result<()> {
    let event = event.read_opt(task)?;
    let clock = TimerClock::of(task, clock)?;
    let how = match event {
        // As if SIGEV_SIGNAL with SIGALRM and the timer's id as value.
        None => None,
        Some(event) => Some((event, target_of(task, &event)?)),
    };
    let group = Arc::clone(task.task.group());
    let kernel = Arc::clone(&task.kernel);
    let made = group.timers.create(|id| {
        let notify = match how {
            None => Notify::Posix {
                id,
                signal: Signal::SIGALRM,
                value: id as u64,
                thread: None,
            },
            Some((event, Target::Signal(signal, thread))) => Notify::Posix {
                id,
                signal,
                value: event.sigev_value,
                thread,
            },
            Some((_, Target::Nothing)) => Notify::Nothing,
        };
        SignalTimer::new(&kernel, &group, clock, notify)
    })?;
    id.write(task, &made).inspect_err(|_| {
        // It was just made.
        let _ = group.timers.delete(made);
    })
}

enum Target {
    Nothing,
    Signal(Signal, Option<std::sync::Weak<crate::task::Task>>),
}

fn target_of(task: &CurrentTask, event: &SigEvent) -> Result<Target> {
    match event.sigev_notify {
        SIGEV_NONE => Ok(Target::Nothing),
        SIGEV_SIGNAL => Ok(Target::Signal(Signal::new(event.sigev_signo)?, None)),
        SIGEV_THREAD_ID => {
            let tid = task
                .given_pid(event._tid.cast_unsigned())
                .map_err(|_| Errno::EINVAL)?;
            let thread = task.kernel.tree.lock().task(tid).cloned();
            let thread = thread
                .filter(|t| t.tgid() == task.task.tgid())
                .ok_or(Errno::EINVAL)?;
            Ok(Target::Signal(
                Signal::new(event.sigev_signo)?,
                Some(Arc::downgrade(&thread)),
            ))
        }
        _ => Err(Errno::EINVAL),
    }
}

/// A value and an interval in nanoseconds, as the structure has them.
pub(super) fn itimerspec((value, interval): (u64, u64)) -> Itimerspec {
    Itimerspec {
        it_interval: ns_timespec(interval),
        it_value: ns_timespec(value),
    }
}

/// What a new setting asks for. `EINVAL` for a bad time.
pub(super) fn setting_of(new: &Itimerspec, absolute: bool) -> Result<Setting> {
    Ok(Setting {
        value: timespec_ns(&new.it_value)?,
        interval: timespec_ns(&new.it_interval)?,
        absolute,
    })
}

pub(super) fn sys_timer_settime(
    task: &mut CurrentTask,
    id: i32,
    flags: Flags,
    new: UserPtr<Itimerspec>,
    old: UserPtr<Itimerspec>,
) -> Result<()> {
    if new.is_null() {
        return Err(Errno::EINVAL);
    }
    let new = new.read(task)?;
    // The times are checked before the timer is looked up.
    let setting = setting_of(&new, flags.has(TIMER_ABSTIME))?;
    let group = Arc::clone(task.task.group());
    let timer = group.timers.get(id)?;
    task.discard_timer_signal(id);
    let setting = setting.in_namespace(timer.clock(), &task.ns.time);
    let before = timer.set(&task.kernel, setting);
    old.write_opt(task, &itimerspec(before))
}

pub(super) fn sys_timer_gettime(
    task: &mut CurrentTask,
    id: i32,
    to: UserPtr<Itimerspec>,
) -> Result<()> {
    let timer = task.task.group().timers.get(id)?;
    to.write(task, &itimerspec(timer.remaining(&task.kernel)))
}

pub(super) fn sys_timer_getoverrun(task: &mut CurrentTask, id: i32) -> Result<i32> {
    Ok(task.task.group().timers.get(id)?.overrun())
}

pub(super) fn sys_timer_delete(task: &mut CurrentTask, id: i32) -> Result<()> {
    task.task.group().timers.delete(id)?;
    task.discard_timer_signal(id);
    Ok(())
}

impl CurrentTask {
    /// Takes a POSIX timer's signal out of the queues.
    fn discard_timer_signal(&self, id: i32) {
        let group = self.task.group();
        let threads = self.kernel.threads_of(group.tgid());
        group.signals.lock().queue.discard_timer(id);
        for thread in threads {
            thread.signals.lock().queue.discard_timer(id);
        }
    }
}

fn timeval_ns(tv: &Timeval) -> Result<u64> {
    if tv.is_valid() {
        Ok(tv.to_nanos())
    } else {
        Err(Errno::EINVAL)
    }
}

/// A time as setitimer(2) shows it: rounded up, so that an armed timer never looks disarmed.
fn ns_timeval(ns: u64) -> Timeval {
    Timeval::from_nanos(ns.div_ceil(1000).saturating_mul(1000))
}

fn itimerval((value, interval): (u64, u64)) -> Itimerval {
    Itimerval {
        it_interval: ns_timeval(interval),
        it_value: ns_timeval(value),
    }
}

pub(super) fn sys_getitimer(
    task: &mut CurrentTask,
    which: u32,
    to: UserPtr<Itimerval>,
) -> Result<()> {
    let group = Arc::clone(task.task.group());
    let timer = group.timers.interval(&task.kernel, &group, which)?;
    to.write(task, &itimerval(timer.remaining(&task.kernel)))
}

pub(super) fn sys_setitimer(
    task: &mut CurrentTask,
    which: u32,
    new: UserPtr<Itimerval>,
    old: UserPtr<Itimerval>,
) -> Result<()> {
    // A null pointer disarms: a quirk that Linux keeps.
    let new = new.read_opt(task)?.unwrap_or_default();
    let value = timeval_ns(&new.it_value)?;
    let interval = timeval_ns(&new.it_interval)?;
    let group = Arc::clone(task.task.group());
    let timer = group.timers.interval(&task.kernel, &group, which)?;
    let setting = Setting {
        value,
        interval,
        absolute: false,
    };
    let before = timer.set(&task.kernel, setting);
    old.write_opt(task, &itimerval(before))
}
