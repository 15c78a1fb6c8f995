//! The host's clocks. All values are nanoseconds.

use rustix::time::{ClockId, Timespec, clock_gettime};
use std::{io, sync::Arc};
use tuxlet_sync::Wake;

fn ns(t: Timespec) -> i64 {
    t.tv_sec
        .saturating_mul(1_000_000_000)
        .saturating_add(t.tv_nsec)
}

fn unsigned(clock: ClockId) -> u64 {
    u64::try_from(ns(clock_gettime(clock))).unwrap_or(0)
}

/// Time since some fixed point, never going back; stands still while the host is suspended. This is the clock
/// of [`std::time::Instant`].
#[inline]
pub fn monotonic() -> u64 {
    #[cfg(target_os = "macos")]
    return unsigned(ClockId::Monotonic);
    #[cfg(not(target_os = "macos"))]
    unsigned(ClockId::Monotonic)
}

/// Time since some fixed point, going on while the host is suspended.
pub fn boottime() -> u64 {
    #[cfg(target_os = "linux")]
    return unsigned(ClockId::Boottime);
    #[cfg(not(target_os = "linux"))]
    unsigned(ClockId::Monotonic)
}

/// Time since 1970-01-01 00:00 UTC; negative before.
#[inline]
pub fn realtime() -> i64 {
    ns(clock_gettime(ClockId::Realtime))
}

/// Processor time used by the whole host process.
pub fn process_cpu() -> u64 {
    unsigned(ClockId::ProcessCPUTime)
}

/// Processor time used by the calling thread.
pub fn thread_cpu() -> u64 {
    unsigned(ClockId::ThreadCPUTime)
}

/// Tells of jumps of [`realtime`]; dropping it ends that.
#[cfg(target_os = "linux")]
#[derive(Debug)]
pub struct RealtimeWatch {
    _watch: Arc<crate::poll::Watch>,
}

/// Tells of jumps of [`realtime`]; there is none on this host.
#[cfg(not(target_os = "linux"))]
#[derive(Debug)]
pub struct RealtimeWatch;

/// Calls `wake` on the reactor's thread whenever the host's realtime clock is set or has jumped over a suspension.
/// `Unsupported` where the host does not tell.
#[cfg(target_os = "linux")]
pub fn watch_realtime(wake: Arc<dyn Wake>) -> io::Result<RealtimeWatch> {
    use rustix::time::{TimerfdClockId, TimerfdFlags, timerfd_create};
    let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
    let timer = Arc::new(timerfd_create(TimerfdClockId::Realtime, flags)?);
    arm(&timer)?;
    let relay = Arc::new(Relay {
        timer: Arc::clone(&timer),
        wake,
        watch: std::sync::OnceLock::new(),
    });
    let reactor = crate::poll::Reactor::global()?;
    let target = Arc::clone(&relay) as Arc<dyn Wake>;
    let watch = Arc::new(reactor.watch(timer, true, false, target)?);
    // A jump before this line is reported and not waited for again; so short a time after the start nobody has read
    // the clock yet.
    let _ = relay.watch.set(Arc::downgrade(&watch));
    Ok(RealtimeWatch { _watch: watch })
}

/// Calls `wake` on the reactor's thread whenever the host's realtime clock is set or has jumped over a suspension.
/// `Unsupported` where the host does not tell.
#[cfg(not(target_os = "linux"))]
pub fn watch_realtime(_wake: Arc<dyn Wake>) -> io::Result<RealtimeWatch> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Lets a timer wait for a time that never comes, so that only a jump of the clock ends it.
#[cfg(target_os = "linux")]
fn arm(timer: &impl std::os::fd::AsFd) -> io::Result<()> {
    use rustix::time::{Itimerspec, TimerfdTimerFlags, timerfd_settime};
    let zero = Timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    let never = Itimerspec {
        it_interval: zero,
        it_value: Timespec {
            tv_sec: i64::MAX,
            ..zero
        },
    };
    let flags = TimerfdTimerFlags::ABSTIME | TimerfdTimerFlags::CANCEL_ON_SET;
    match timerfd_settime(timer, flags, &never) {
        // The clock has jumped since the last setting; the new one holds.
        Err(rustix::io::Errno::CANCELED) => Ok(()),
        other => Ok(other.map(drop)?),
    }
}

/// What the reactor calls.
#[cfg(target_os = "linux")]
#[derive(Debug)]
struct Relay {
    timer: Arc<std::os::fd::OwnedFd>,
    wake: Arc<dyn Wake>,
    watch: std::sync::OnceLock<std::sync::Weak<crate::poll::Watch>>,
}

#[cfg(target_os = "linux")]
impl Wake for Relay {
    fn wake(&self, bits: u32) {
        // Takes the event; its value is that the clock was set.
        let _ = rustix::io::read(&*self.timer, &mut [0u8; 8]);
        // Both can only fail for want of host memory; then the next jump is missed.
        let _ = arm(&*self.timer);
        if let Some(watch) = self.watch.get().and_then(std::sync::Weak::upgrade) {
            let _ = watch.arm(true, false);
        }
        self.wake.wake(bits);
    }
}
