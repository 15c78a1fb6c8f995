//! The cpu controller: how much CPU time a group's tasks get in each period.
//!
//! Time is read from the clocks of the tasks' host threads. While tasks of a limited group run, a timer looks when
//! the time that is left could be spent at the earliest; once it is, all tasks of the group rest until the next period.
//! What they have used in excess by then is taken off later periods. The timer exists only while somebody runs or rests
//! for it: a task that is about to run starts it ([`Cpu::start`]), and when nobody runs it is not armed again.

use super::Cgroup;
use crate::{
    freezer::rests,
    kernel::Kernel,
    task::{RunState, Task, work},
    timer::{Expire, Key},
};
use parking_lot::Mutex;
use std::{
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};
use tuxlet_uapi::errno::{Errno, Result};

/// `cpu.weight` of a new group.
const DEFAULT_WEIGHT: u32 = 100;
/// Microseconds: `cpu.max` of a new group.
const DEFAULT_PERIOD: u64 = 100_000;
const MIN_PERIOD: u64 = 1000;
const MAX_PERIOD: u64 = 1_000_000;
/// The timer does not look more often.
const SLICE: Duration = Duration::from_millis(1);

/// What `cpu.max` and `cpu.max.burst` say, in microseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Limit {
    quota: u64,
    period: u64,
    burst: u64,
}

#[derive(Debug)]
struct Bandwidth {
    limit: Option<Limit>,
    /// Kept while there is no limit.
    period: u64,
    burst: u64,
    /// Nanoseconds left; below zero if more was used than there was.
    left: i64,
    /// The group's CPU time when it was looked at last.
    seen: u64,
    period_end: Instant,
    throttled_since: Option<Instant>,
    key: Option<Key>,
    periods: u64,
    /// How many of them ended while the tasks rested.
    throttles: u64,
    throttled_ns: u64,
}

/// The controller's part of a group.
#[derive(Debug)]
pub(super) struct Cpu {
    group: Weak<Cgroup>,
    /// CPU time of tasks that have left the group or one below it, in nanoseconds.
    past_ns: AtomicU64,
    weight: AtomicU32,
    limited: AtomicBool,
    throttled: AtomicBool,
    armed: AtomicBool,
    bandwidth: Mutex<Bandwidth>,
}

fn signed(n: u64) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

impl Cpu {
    pub(super) fn new(group: Weak<Cgroup>) -> Arc<Self> {
        Arc::new(Self {
            group,
            past_ns: AtomicU64::new(0),
            weight: AtomicU32::new(DEFAULT_WEIGHT),
            limited: AtomicBool::new(false),
            throttled: AtomicBool::new(false),
            armed: AtomicBool::new(false),
            bandwidth: Mutex::new(Bandwidth {
                limit: None,
                period: DEFAULT_PERIOD,
                burst: 0,
                left: 0,
                seen: 0,
                period_end: Instant::now(),
                throttled_since: None,
                key: None,
                periods: 0,
                throttles: 0,
                throttled_ns: 0,
            }),
        })
    }

    /// The group that it belongs to.
    pub(super) fn cgroup(&self) -> Option<Arc<Cgroup>> {
        self.group.upgrade()
    }

    pub(super) fn is_limited(&self) -> bool {
        self.limited.load(Ordering::SeqCst)
    }

    pub(super) fn is_throttled(&self) -> bool {
        self.throttled.load(Ordering::SeqCst)
    }

    /// Counts the time of a task that leaves, here and above.
    pub(super) fn add_past(&self, ns: u64) {
        let Some(group) = self.cgroup() else { return };
        for above in group.up() {
            above.cpu.past_ns.fetch_add(ns, Ordering::Relaxed);
        }
    }

    /// A task of the group is about to run.
    pub(super) fn start(self: &Arc<Self>, kernel: &Kernel) {
        if self.is_limited() && !self.armed.swap(true, Ordering::SeqCst) {
            self.look(kernel, true);
        }
    }

    /// Sets the limit of a group whose tasks, if it has any, are told by the caller.
    pub(super) fn set_limit(&self, limit: Option<Limit>) {
        let seen = self.cgroup().map_or(0, |g| g.cpu_ns());
        let mut b = self.bandwidth.lock();
        let now = Instant::now();
        b.limit = limit;
        if let Some(limit) = limit {
            (b.period, b.burst) = (limit.period, limit.burst);
            (b.left, b.seen, b.period_end) = (signed(limit.quota * 1000), seen, now);
            b.period_end += Duration::from_micros(limit.period);
        }
        if let Some(since) = b.throttled_since.take() {
            b.throttled_ns += (now - since).as_nanos() as u64;
        }
        self.throttled.store(false, Ordering::SeqCst);
        self.limited.store(limit.is_some(), Ordering::SeqCst);
    }

    /// As a new group.
    pub(super) fn reset(&self) {
        self.weight.store(DEFAULT_WEIGHT, Ordering::Relaxed);
        self.set_limit(None);
        let mut b = self.bandwidth.lock();
        (b.period, b.burst) = (DEFAULT_PERIOD, 0);
    }

    pub(super) fn weight(&self) -> u32 {
        self.weight.load(Ordering::Relaxed)
    }

    pub(super) fn set_weight(&self, text: &str) -> Result<()> {
        let weight: u64 = text.parse().map_err(|_| Errno::EINVAL)?;
        if !(1..=10_000).contains(&weight) {
            return Err(Errno::ERANGE);
        }
        self.weight.store(weight as u32, Ordering::Relaxed);
        Ok(())
    }

    pub(super) fn show_max(&self) -> String {
        let b = self.bandwidth.lock();
        match b.limit {
            Some(limit) => format!("{} {}\n", limit.quota, limit.period),
            None => format!("max {}\n", b.period),
        }
    }

    pub(super) fn show_burst(&self) -> String {
        format!("{}\n", self.bandwidth.lock().burst)
    }

    /// Sees how much time is left, and arms the timer again if anybody needs it.
    fn look(self: &Arc<Self>, kernel: &Kernel, starts: bool) {
        let Some(group) = self.cgroup() else { return };
        let used = group.cpu_ns();
        let mut b = self.bandwidth.lock();
        if let Some(key) = b.key.take() {
            kernel.timers.cancel(key);
        }
        let Some(limit) = b.limit else {
            self.armed.store(false, Ordering::SeqCst);
            return;
        };
        let now = Instant::now();
        b.left -= signed(used.saturating_sub(b.seen));
        b.seen = b.seen.max(used);
        let period = Duration::from_micros(limit.period);
        if now >= b.period_end {
            let ended = (now - b.period_end).as_nanos() / period.as_nanos() + 1;
            let ended = u32::try_from(ended).unwrap_or(u32::MAX);
            b.period_end = now + period
                - Duration::from_nanos(
                    (now - b.period_end).as_nanos() as u64 % period.as_nanos() as u64,
                );
            let counted = if starts { 1 } else { u64::from(ended) };
            b.periods += counted;
            if b.throttled_since.is_some() {
                b.throttles += counted;
            }
            let quota = signed(limit.quota * 1000);
            let most = signed((limit.quota + limit.burst) * 1000);
            b.left = b
                .left
                .saturating_add(quota.saturating_mul(ended.into()))
                .min(most);
        }
        let next = if b.left <= 0 {
            if b.throttled_since.is_none() {
                b.throttled_since = Some(now);
                self.throttled.store(true, Ordering::SeqCst);
                tell(&group.tasks_of(kernel, true));
            }
            b.period_end
        } else {
            if let Some(since) = b.throttled_since.take() {
                b.throttled_ns += (now - since).as_nanos() as u64;
                self.throttled.store(false, Ordering::SeqCst);
                tell(&group.tasks_of(kernel, true));
            }
            let running = |tasks: &[Arc<Task>]| tasks.iter().filter(|t| runs(t)).count();
            let mut count = running(&group.tasks_of(kernel, true));
            if count == 0 && !starts {
                // Whoever starts to run from now on arms the timer; who has started just before is seen here.
                self.armed.store(false, Ordering::SeqCst);
                count = running(&group.tasks_of(kernel, true));
                if count == 0 || self.armed.swap(true, Ordering::SeqCst) {
                    return;
                }
            }
            let share = b.left.cast_unsigned() / count.max(1) as u64;
            b.period_end
                .min(now + Duration::from_nanos(share).max(SLICE))
        };
        let me = Arc::downgrade(self) as Weak<dyn Expire>;
        b.key = Some(kernel.timers.arm(next, me));
    }

    fn stat(&self) -> String {
        let b = self.bandwidth.lock();
        format!(
            "nr_periods {}\nnr_throttled {}\nthrottled_usec {}\n",
            b.periods,
            b.throttles,
            b.throttled_ns / 1000,
        )
    }
}

impl Expire for Cpu {
    fn expire(self: Arc<Self>) {
        let kernel = self.cgroup().and_then(|g| g.kernel().ok());
        if let Some(kernel) = kernel {
            self.look(&kernel, false);
        }
    }
}

fn runs(task: &Task) -> bool {
    task.run_state() == RunState::Running && !rests(task)
}

/// Lets tasks see that they are to rest, or not any more.
fn tell(tasks: &[Arc<Task>]) {
    for task in tasks {
        task.notify(work::THROTTLE);
    }
}

impl Cgroup {
    /// CPU time of the group and all below, in nanoseconds.
    pub(super) fn cpu_ns(self: &Arc<Self>) -> u64 {
        let Ok(kernel) = self.kernel() else { return 0 };
        let tree = kernel.tree.lock();
        let all = tree.groups().flat_map(|(_, n)| n.threads.iter());
        let live = all.filter_map(|task| {
            let own = task.cgroup.lock();
            let counts = own.live && own.group.is_within(self);
            counts.then(|| task.cpu_ns().saturating_sub(own.cpu_base))
        });
        live.sum::<u64>() + self.cpu.past_ns.load(Ordering::Relaxed)
    }

    /// DEVIATION: all time counts as user time, as in `/proc/PID/stat`.
    pub(super) fn cpu_stat(self: &Arc<Self>, controlled: bool) -> String {
        let usec = self.cpu_ns() / 1000;
        let mut text = format!("usage_usec {usec}\nuser_usec {usec}\nsystem_usec 0\n");
        if controlled {
            text.push_str(&self.cpu.stat());
        }
        text
    }

    pub(super) fn set_cpu_max(self: &Arc<Self>, text: &str) -> Result<()> {
        let mut words = text.split_whitespace();
        let quota = match words.next().ok_or(Errno::EINVAL)? {
            "max" => None,
            word => Some(word.parse::<u64>().map_err(|_| Errno::EINVAL)?),
        };
        let (old, burst) = {
            let b = self.cpu.bandwidth.lock();
            (b.period, b.burst)
        };
        let period = words.next().map_or(Ok(old), str::parse);
        let period = period.map_err(|_| Errno::EINVAL)?;
        self.limit_cpu(quota, period, burst)
    }

    pub(super) fn set_cpu_burst(self: &Arc<Self>, text: &str) -> Result<()> {
        let burst = text.parse().map_err(|_| Errno::EINVAL)?;
        let (quota, period) = {
            let b = self.cpu.bandwidth.lock();
            (b.limit.map(|l| l.quota), b.period)
        };
        self.limit_cpu(quota, period, burst)
    }

    fn limit_cpu(self: &Arc<Self>, quota: Option<u64>, period: u64, burst: u64) -> Result<()> {
        let kernel = self.kernel()?;
        let _lock = self.lock_live()?;
        if !(MIN_PERIOD..=MAX_PERIOD).contains(&period) {
            return Err(Errno::EINVAL);
        }
        let limit = quota.map(|quota| Limit {
            quota,
            period,
            burst,
        });
        // Linux counts in 44 bits of nanoseconds at the most.
        if limit.is_some_and(|l| l.quota < MIN_PERIOD || l.quota >= 1 << 33 || l.burst > l.quota) {
            return Err(Errno::EINVAL);
        }
        self.cpu.set_limit(limit);
        {
            let mut b = self.cpu.bandwidth.lock();
            (b.period, b.burst) = (period, burst);
        }
        for task in self.tasks_of(&kernel, true) {
            task.cpu_limited.store(true, Ordering::SeqCst);
        }
        self.release_throttled();
        Ok(())
    }

    /// Lets the tasks of the group see that its limit is another one.
    pub(super) fn release_throttled(self: &Arc<Self>) {
        if let Ok(kernel) = self.kernel() {
            tell(&self.tasks_of(&kernel, true));
        }
    }
}
