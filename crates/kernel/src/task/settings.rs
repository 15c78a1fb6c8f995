//! Settings of a thread that change nothing but what is asked for again: sched(7), prctl(2), personality(2).

use tuxlet_uapi::sched::{SCHED_FIFO, SCHED_NORMAL, SCHED_RR};

/// Default timer slack in nanoseconds.
const TIMER_SLACK_NS: u64 = 50_000;

/// Scheduling policy and other settings of a thread; inherited by its children.
///
/// The host schedules the threads: policy and priority are kept and shown, not enforced.
#[derive(Clone, Copy, Debug)]
pub struct TaskSettings {
    /// `SCHED_*`.
    pub policy: u32,
    /// Real-time priority, 0 without a real-time policy.
    pub priority: u32,
    /// `SCHED_RESET_ON_FORK`.
    pub reset_on_fork: bool,
    /// personality(2).
    pub personality: u32,
    /// `PR_SET_TIMERSLACK`, in nanoseconds.
    pub timer_slack: u64,
    /// What `PR_SET_TIMERSLACK` with 0 goes back to.
    pub default_timer_slack: u64,
    /// `PR_SET_TAGGED_ADDR_CTRL`.
    pub tagged_addr: u64,
    /// `PR_SET_THP_DISABLE`.
    pub thp_disable: bool,
    /// ioprio_set(2).
    pub io_priority: u32,
}

impl Default for TaskSettings {
    fn default() -> Self {
        Self {
            policy: SCHED_NORMAL,
            priority: 0,
            reset_on_fork: false,
            personality: 0,
            timer_slack: TIMER_SLACK_NS,
            default_timer_slack: TIMER_SLACK_NS,
            tagged_addr: 0,
            thp_disable: false,
            io_priority: 0,
        }
    }
}

impl TaskSettings {
    /// Whether the policy is a real-time one.
    #[must_use]
    pub fn is_realtime(&self) -> bool {
        matches!(self.policy, SCHED_FIFO | SCHED_RR)
    }

    /// What a child gets.
    #[must_use]
    pub fn for_child(&self) -> Self {
        let mut child = *self;
        child.default_timer_slack = self.timer_slack;
        if self.reset_on_fork {
            if self.is_realtime() {
                (child.policy, child.priority) = (SCHED_NORMAL, 0);
            }
            child.reset_on_fork = false;
        }
        child
    }
}
