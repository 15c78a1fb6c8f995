//! When a timer is due: pure arithmetic on the nanoseconds of one clock.

use super::TimerClock;
use crate::{kernel::Kernel, ns::time::TimeNs};

/// The next expiry and the interval of a timer, in nanoseconds of its clock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Schedule {
    next: Option<u64>,
    interval: u64,
}

impl Schedule {
    /// A timer that expires at `first` and, unless `interval` is 0, again and again.
    #[must_use]
    pub fn new(first: u64, interval: u64) -> Self {
        Self {
            next: Some(first),
            interval,
        }
    }

    /// When it expires next; `None` if it is disarmed.
    #[must_use]
    pub fn next(&self) -> Option<u64> {
        self.next
    }

    /// The interval, 0 for a timer that expires once.
    #[must_use]
    pub fn interval(&self) -> u64 {
        self.interval
    }

    /// How often the timer has expired up to `now` and not been asked yet; a periodic one then looks ahead to
    /// its first expiry after `now`, another is disarmed.
    pub fn advance(&mut self, now: u64) -> u64 {
        let Some(next) = self.next.filter(|next| *next <= now) else {
            return 0;
        };
        if self.interval == 0 {
            self.next = None;
            return 1;
        }
        let count = (now - next) / self.interval + 1;
        self.next = next.checked_add(count.saturating_mul(self.interval));
        count
    }

    /// The time to the next expiry, 0 if disarmed. A timer that is due but has not been asked shows its next
    /// expiry, or, if it has none, the shortest time that does not mean "disarmed".
    #[must_use]
    pub fn remaining(&self, now: u64) -> u64 {
        let mut ahead = *self;
        match self.next {
            None => 0,
            Some(next) if next > now => next - now,
            Some(_) => {
                ahead.advance(now);
                ahead.next.map_or(1, |next| next - now)
            }
        }
    }
}

/// What timer_settime(2) and its kin are asked for, in nanoseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Setting {
    /// The first expiry; 0 disarms.
    pub value: u64,
    /// The interval; 0 for a timer that expires once.
    pub interval: u64,
    /// The first expiry is a time of the clock, not a distance from now.
    pub absolute: bool,
}

impl Setting {
    /// The setting with the clock's time in the first time namespace, for one of a task in another.
    #[must_use]
    pub fn in_namespace(mut self, clock: &TimerClock, ns: &TimeNs) -> Self {
        if self.absolute && self.value != 0 {
            // The start of the clock is past, but not the same as nothing.
            self.value = clock.to_host(ns, self.value).max(1);
        }
        self
    }

    /// The schedule of a timer on `clock` from now on, and the clock that it is of.
    #[must_use]
    pub fn on(&self, clock: &TimerClock, kernel: &Kernel) -> (TimerClock, Schedule) {
        if self.value == 0 {
            return (clock.clone(), Schedule::default());
        }
        if self.absolute {
            return (clock.clone(), Schedule::new(self.value, self.interval));
        }
        let clock = clock.for_relative();
        let first = clock.now(kernel).saturating_add(self.value);
        (clock, Schedule::new(first, self.interval))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_single_expiry_counts_once() {
        let mut s = Schedule::new(100, 0);
        assert_eq!((s.remaining(40), s.advance(99)), (60, 0));
        assert_eq!((s.advance(500), s.advance(600)), (1, 0));
        assert_eq!((s.next(), s.remaining(700)), (None, 0));
    }

    #[test]
    fn missed_periods_are_counted_and_the_phase_is_kept() {
        let mut s = Schedule::new(100, 30);
        assert_eq!(s.remaining(165), 25);
        assert_eq!(s.advance(165), 3);
        assert_eq!(
            (s.next(), s.advance(189), s.advance(190)),
            (Some(190), 0, 1)
        );
    }

    #[test]
    fn the_end_of_time_disarms() {
        let mut s = Schedule::new(u64::MAX - 1, 10);
        assert_eq!((s.advance(u64::MAX), s.next()), (1, None));
    }

    #[test]
    fn a_due_timer_is_not_shown_as_disarmed() {
        assert_eq!(Schedule::new(5, 0).remaining(9), 1);
    }
}
