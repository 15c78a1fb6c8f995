//! Timers as files: timerfd_create(2).

use crate::{
    kernel::Kernel,
    task::CurrentTask,
    timer::{Expire, Key, Schedule, Setting, TimerClock},
};
use parking_lot::Mutex;
use std::{
    any::Any,
    sync::{Arc, Weak},
};
use tuxlet_mem::{AddressSpace, IoWrite};
use tuxlet_sync::WaitQueue;
use tuxlet_uapi::{
    errno::{Errno, Result},
    fcntl::OpenFlags,
    timerfd::TFD_IOC_SET_TICKS,
};
use tuxlet_vfs::{Attr, Cx, Events, File, FileOps, PollTable};

#[derive(Debug)]
struct State {
    schedule: Schedule,
    /// The clock that the schedule is of: a relative setting does not follow a clock that is set.
    clock: TimerClock,
    key: Option<Key>,
    /// Expiries seen and not read. The timer rests while there are any: a reader that comes late asks the clock.
    ticks: u64,
    /// `TFD_TIMER_CANCEL_ON_SET` is on.
    cancel_on_set: bool,
    /// The clock was set since.
    cancelled: bool,
}

/// A timer.
#[derive(Debug)]
pub struct TimerFd {
    kernel: Weak<Kernel>,
    me: Weak<Self>,
    clock: TimerClock,
    state: Mutex<State>,
    expired: WaitQueue,
    attr: Attr,
}

/// A file for a new, disarmed timer.
pub fn open(task: &CurrentTask, clock: TimerClock, flags: OpenFlags) -> Arc<File> {
    let cx = task.cx();
    let ops = Arc::new_cyclic(|me: &Weak<TimerFd>| TimerFd {
        kernel: Arc::downgrade(&task.kernel),
        me: Weak::clone(me),
        state: Mutex::new(State {
            schedule: Schedule::default(),
            clock: clock.clone(),
            key: None,
            ticks: 0,
            cancel_on_set: false,
            cancelled: false,
        }),
        clock,
        expired: WaitQueue::new(),
        attr: crate::anon::attr(&cx),
    });
    File::anonymous(&cx, ops, b"anon_inode:[timerfd]", flags | OpenFlags::RDWR)
}

impl TimerFd {
    /// The timer's clock.
    #[must_use]
    pub fn clock(&self) -> &TimerClock {
        &self.clock
    }

    /// The time to the next expiry and the interval in nanoseconds: timerfd_gettime(2).
    #[must_use]
    pub fn remaining(&self, kernel: &Kernel) -> (u64, u64) {
        let state = self.state.lock();
        let left = match state.ticks {
            // Expired once, and not again.
            1.. if state.schedule.next().is_none() => 0,
            _ => state.schedule.remaining(state.clock.now(kernel)),
        };
        (left, state.schedule.interval())
    }

    /// Sets or disarms the timer; returns what [`TimerFd::remaining`] was. `ECANCELED` if the clock jumped since
    /// the last setting with `cancel_on_set`; the new setting holds even so.
    pub fn set(
        &self,
        kernel: &Kernel,
        setting: Setting,
        cancel_on_set: bool,
    ) -> Result<(u64, u64)> {
        let before = self.remaining(kernel);
        let mut state = self.state.lock();
        let was_cancelled = std::mem::take(&mut state.cancelled) && cancel_on_set;
        (state.clock, state.schedule) = setting.on(&self.clock, kernel);
        state.ticks = 0;
        state.cancel_on_set = cancel_on_set;
        self.arm(kernel, &mut state);
        if was_cancelled {
            Err(Errno::ECANCELED)
        } else {
            Ok(before)
        }
    }

    fn arm(&self, kernel: &Kernel, state: &mut State) {
        if let Some(key) = state.key.take() {
            kernel.timers.cancel(key);
        }
        if let Some(at) = state.schedule.next() {
            let target: Weak<dyn Expire> = Weak::clone(&self.me) as _;
            state.key = Some(kernel.timers.arm(state.clock.instant(kernel, at), target));
        }
    }
}

impl Expire for TimerFd {
    fn expire(self: Arc<Self>) {
        let Some(kernel) = self.kernel.upgrade() else {
            return;
        };
        let mut state = self.state.lock();
        state.key = None;
        let now = state.clock.now(&kernel);
        let count = state.schedule.advance(now);
        state.ticks += count;
        if count == 0 {
            self.arm(&kernel, &mut state);
            return;
        }
        drop(state);
        self.expired.wake_all(Events::READABLE.bits());
    }

    fn clock_was_set(self: Arc<Self>) {
        let Some(kernel) = self.kernel.upgrade() else {
            return;
        };
        let mut state = self.state.lock();
        state.cancelled = state.cancel_on_set;
        if state.clock.is_settable() && state.key.is_some() {
            self.arm(&kernel, &mut state);
        }
        let cancelled = state.cancelled;
        drop(state);
        if cancelled {
            self.expired.wake_all(Events::READABLE.bits());
        }
    }
}

impl Drop for TimerFd {
    fn drop(&mut self) {
        if let Some(key) = self.state.get_mut().key
            && let Some(kernel) = self.kernel.upgrade()
        {
            kernel.timers.cancel(key);
        }
    }
}

impl FileOps for TimerFd {
    fn as_any(&self) -> &dyn Any {
        self
    }

    fn attr(&self, _cx: &Cx) -> Result<Attr> {
        Ok(self.attr)
    }

    fn seekable(&self) -> bool {
        false
    }

    fn own_seek(&self, _offset: i64, _whence: u32) -> Option<Result<u64>> {
        Some(Ok(0))
    }

    fn pollable(&self) -> bool {
        true
    }

    fn read_at(&self, _cx: &Cx, _offset: u64, to: &mut dyn IoWrite) -> Result<usize> {
        if to.remaining() < 8 {
            return Err(Errno::EINVAL);
        }
        let kernel = self.kernel.upgrade().ok_or(Errno::EIO)?;
        let mut state = self.state.lock();
        if std::mem::take(&mut state.cancelled) {
            state.ticks = 0;
            return Err(Errno::ECANCELED);
        }
        let now = state.clock.now(&kernel);
        let missed = state.schedule.advance(now);
        let ticks = std::mem::take(&mut state.ticks) + missed;
        if ticks == 0 {
            return Err(Errno::EAGAIN);
        }
        self.arm(&kernel, &mut state);
        drop(state);
        to.write_from(&ticks.to_le_bytes())
    }

    fn poll(&self, _cx: &Cx, table: Option<&mut PollTable>) -> Events {
        if let Some(table) = table {
            table.add(&self.expired);
        }
        let state = self.state.lock();
        if state.ticks > 0 || state.cancelled {
            Events::READABLE
        } else {
            Events::empty()
        }
    }

    fn ioctl(&self, _cx: &Cx, request: u32, arg: u64, mm: &AddressSpace) -> Result<i64> {
        if request != TFD_IOC_SET_TICKS {
            return Err(Errno::ENOTTY);
        }
        let mut ticks = [0; 8];
        mm.read_bytes(arg, &mut ticks)?;
        let ticks = u64::from_le_bytes(ticks);
        if ticks == 0 {
            return Err(Errno::EINVAL);
        }
        let mut state = self.state.lock();
        if state.cancelled {
            return Err(Errno::ECANCELED);
        }
        state.ticks = ticks;
        drop(state);
        self.expired.wake_all(Events::READABLE.bits());
        Ok(0)
    }
}
