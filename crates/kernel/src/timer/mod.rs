//! Timers: timer_create(2), setitimer(2), timerfd_create(2), and the thread that they expire on.
//!
//! One host thread per machine ([`TimerQueue`]) sleeps until the earliest deadline. What expires is an
//! [`Expire`]; it computes from its own clock how often it is due ([`Schedule`]), so that a late or early call
//! does no harm.

mod clock;
mod process;
mod queue;
mod schedule;
mod signal;

pub use clock::TimerClock;
pub use process::ProcessTimers;
pub use queue::{Expire, Key, TimerQueue};
pub use schedule::{Schedule, Setting};
pub use signal::{Notify, SignalTimer};
