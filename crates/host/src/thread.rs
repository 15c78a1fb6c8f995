//! Threads: one carries one guest task.

use std::{io, num::NonZero, thread};

pub use std::thread::{JoinHandle, yield_now};

/// Starts a thread called `name` (shown by the host's tools, cut to what the host allows) with `stack_size`
/// bytes of stack.
pub fn spawn<T: Send + 'static>(
    name: &str,
    stack_size: usize,
    body: impl FnOnce() -> T + Send + 'static,
) -> io::Result<JoinHandle<T>> {
    // A NUL would make the builder panic, and names come from guests.
    let name = name.replace('\0', "?");
    thread::Builder::new()
        .name(name)
        .stack_size(stack_size)
        .spawn(body)
}

/// How many processors this process may use.
pub fn processors() -> usize {
    thread::available_parallelism().map_or(1, NonZero::get)
}

/// The host's numbers of the processors that this process could use when it was first asked, in order. Everybody else
/// numbers them by their places in this list.
#[cfg(target_os = "linux")]
fn host_cpus() -> &'static [usize] {
    static CPUS: std::sync::OnceLock<Vec<usize>> = std::sync::OnceLock::new();
    CPUS.get_or_init(|| {
        let set = rustix::thread::sched_getaffinity(None).unwrap_or_default();
        (0..rustix::thread::CpuSet::MAX_CPU)
            .filter(|cpu| set.is_set(*cpu))
            .collect()
    })
}

/// The processor that the calling thread runs on, counted among those of this process; 0 where the host does not tell.
#[must_use]
pub fn current_cpu() -> u32 {
    #[cfg(target_os = "linux")]
    {
        let cpu = rustix::thread::sched_getcpu();
        let place = host_cpus().iter().position(|c| *c == cpu);
        place.unwrap_or(0) as u32
    }
    #[cfg(not(target_os = "linux"))]
    {
        0
    }
}

/// A thread of this process, as the host's scheduler names it.
#[derive(Clone, Copy, Debug)]
pub struct HostThread(#[cfg(target_os = "linux")] rustix::thread::Pid);

impl HostThread {
    /// The calling thread.
    #[cfg(target_os = "linux")]
    #[must_use]
    pub fn current() -> Self {
        Self(rustix::thread::gettid())
    }

    /// The calling thread.
    #[cfg(not(target_os = "linux"))]
    #[must_use]
    pub fn current() -> Self {
        Self()
    }

    /// Lets the thread run only on some processors, by their places among those of this process. Does nothing where
    /// the host cannot do that.
    #[cfg(target_os = "linux")]
    pub fn set_affinity(self, places: u64) -> io::Result<()> {
        let mut set = rustix::thread::CpuSet::new();
        for (place, cpu) in host_cpus().iter().enumerate().take(64) {
            if places >> place & 1 != 0 {
                set.set(*cpu);
            }
        }
        Ok(rustix::thread::sched_setaffinity(Some(self.0), &set)?)
    }

    /// Lets the thread run only on some processors, by their places among those of this process. Does nothing where
    /// the host cannot do that.
    #[cfg(not(target_os = "linux"))]
    pub fn set_affinity(self, _places: u64) -> io::Result<()> {
        Ok(())
    }
}

/// The processor-time clock of one thread, readable from every other.
#[derive(Clone, Copy, Debug)]
pub struct CpuClock(Clock);

#[cfg(target_os = "linux")]
type Clock = libc::clockid_t;
#[cfg(not(target_os = "linux"))]
type Clock = libc::mach_port_t;

impl CpuClock {
    /// The clock of the calling thread.
    #[cfg(target_os = "linux")]
    pub fn current() -> Option<Self> {
        let mut clock: libc::clockid_t = 0;
        // SAFETY: pthread_self is valid for the duration of the call, and `clock` is a place to write to.
        let error = unsafe { libc::pthread_getcpuclockid(libc::pthread_self(), &raw mut clock) };
        (error == 0).then_some(Self(clock))
    }

    /// The nanoseconds used so far; `None` once the thread is gone.
    #[cfg(target_os = "linux")]
    pub fn read(self) -> Option<u64> {
        let mut t = libc::timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        // SAFETY: `t` is a place to write to; a stale clock id makes the call fail.
        if unsafe { libc::clock_gettime(self.0, &raw mut t) } != 0 {
            return None;
        }
        let (s, ns) = (
            u64::try_from(t.tv_sec).ok()?,
            u64::try_from(t.tv_nsec).ok()?,
        );
        Some(s * 1_000_000_000 + ns)
    }

    /// The clock of the calling thread.
    #[cfg(not(target_os = "linux"))]
    pub fn current() -> Option<Self> {
        // SAFETY: pthread_self is valid for the duration of the call.
        Some(Self(unsafe {
            libc::pthread_mach_thread_np(libc::pthread_self())
        }))
    }

    /// The nanoseconds used so far; `None` once the thread is gone.
    #[cfg(not(target_os = "linux"))]
    pub fn read(self) -> Option<u64> {
        // SAFETY: all zero is a valid value of this plain C struct.
        let mut info: libc::thread_basic_info = unsafe { std::mem::zeroed() };
        let mut count = libc::THREAD_BASIC_INFO_COUNT;
        // SAFETY: `info` has room for `count` words; a stale port makes the call fail.
        let error = unsafe {
            libc::thread_info(
                self.0,
                libc::THREAD_BASIC_INFO as libc::thread_flavor_t,
                (&raw mut info).cast(),
                &raw mut count,
            )
        };
        if error != 0 {
            return None;
        }
        let us = |t: libc::time_value_t| {
            Some(u64::try_from(t.seconds).ok()? * 1_000_000 + u64::try_from(t.microseconds).ok()?)
        };
        Some((us(info.user_time)? + us(info.system_time)?) * 1000)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_stays_where_it_is_sent() {
        let last = processors().min(64) - 1;
        let at = thread::spawn(move || {
            HostThread::current().set_affinity(1 << last).unwrap();
            yield_now();
            current_cpu()
        });
        if cfg!(target_os = "linux") {
            assert_eq!(at.join().unwrap(), last as u32);
        }
    }

    #[test]
    fn the_cpu_clock_counts_its_own_thread_only() {
        let (send, receive) = std::sync::mpsc::channel();
        let t = spawn("burner\0x", 256 << 10, move || {
            send.send(CpuClock::current().unwrap()).unwrap();
            let until = std::time::Instant::now() + std::time::Duration::from_millis(30);
            while std::time::Instant::now() < until {
                std::hint::spin_loop();
            }
            CpuClock::current().unwrap().read().unwrap()
        })
        .unwrap();
        let clock = receive.recv().unwrap();
        let total = t.join().unwrap();
        assert!(total > 1_000_000, "{total}");
        assert!(clock.read().is_none_or(|ns| ns >= total));
    }
}
