//! Allocation of small numbers.

use crate::Mutex;

/// Hands out numbers from `min..=max`, each at most once at a time.
///
/// [`allocate`](Self::allocate) goes round, as Linux does for pids, so that a freed number is not reused at
/// once; [`allocate_lowest`](Self::allocate_lowest) gives the lowest free number, as for pty indexes.
#[derive(Debug)]
pub struct IdAllocator {
    min: u32,
    max: u32,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// One bit per number from `min` on, grown on demand.
    used: Vec<u64>,
    /// The offset from `min` where the next search starts.
    next: u32,
    count: u32,
}

impl IdAllocator {
    /// An allocator of `min..=max`.
    #[must_use]
    pub const fn new(min: u32, max: u32) -> Self {
        assert!(min <= max);
        Self {
            min,
            max,
            state: Mutex::new(State {
                used: Vec::new(),
                next: 0,
                count: 0,
            }),
        }
    }

    /// The next free number after the one allocated last, wrapping; `None` when all are taken.
    pub fn allocate(&self) -> Option<u32> {
        let mut s = self.state.lock();
        let span = self.max - self.min;
        let start = s.next;
        let offset = s.find(start, span).or_else(|| s.find(0, span))?;
        s.set(offset);
        s.next = if offset == span { 0 } else { offset + 1 };
        Some(self.min + offset)
    }

    /// The lowest free number; `None` when all are taken.
    pub fn allocate_lowest(&self) -> Option<u32> {
        let mut s = self.state.lock();
        let offset = s.find(0, self.max - self.min)?;
        s.set(offset);
        Some(self.min + offset)
    }

    /// Takes exactly `id`; false if it is out of range or taken.
    pub fn reserve(&self, id: u32) -> bool {
        if id < self.min || id > self.max {
            return false;
        }
        let mut s = self.state.lock();
        let offset = id - self.min;
        if s.is_used(offset) {
            return false;
        }
        s.set(offset);
        true
    }

    /// Returns a number. Freeing what is not allocated does nothing.
    pub fn free(&self, id: u32) {
        if id < self.min || id > self.max {
            return;
        }
        let mut s = self.state.lock();
        let offset = id - self.min;
        if s.is_used(offset) {
            s.used[offset as usize / 64] &= !(1 << (offset % 64));
            s.count -= 1;
        }
    }

    /// How many numbers are taken.
    pub fn count(&self) -> u32 {
        self.state.lock().count
    }
}

impl State {
    fn is_used(&self, offset: u32) -> bool {
        self.used
            .get(offset as usize / 64)
            .is_some_and(|w| w >> (offset % 64) & 1 == 1)
    }

    fn set(&mut self, offset: u32) {
        let word = offset as usize / 64;
        if word >= self.used.len() {
            self.used.resize(word + 1, 0);
        }
        self.used[word] |= 1 << (offset % 64);
        self.count += 1;
    }

    /// The first free offset in `from..=to`.
    fn find(&self, from: u32, to: u32) -> Option<u32> {
        let mut offset = from;
        while offset <= to {
            let Some(&word) = self.used.get(offset as usize / 64) else {
                return Some(offset);
            };
            let free = !word & (!0 << (offset % 64));
            let base = offset & !63;
            if free != 0 {
                let found = base + free.trailing_zeros();
                return (found <= to).then_some(found);
            }
            offset = base.checked_add(64)?;
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn goes_round_before_reusing() {
        let ids = IdAllocator::new(1, 3);
        assert_eq!(ids.allocate(), Some(1));
        assert_eq!(ids.allocate(), Some(2));
        ids.free(1);
        assert_eq!(ids.allocate(), Some(3));
        assert_eq!(ids.allocate(), Some(1));
        assert_eq!(ids.allocate(), None);
        ids.free(2);
        assert_eq!(ids.allocate(), Some(2));
    }

    #[test]
    fn lowest_fills_holes_across_words() {
        let ids = IdAllocator::new(0, 199);
        for i in 0..200 {
            assert_eq!(ids.allocate_lowest(), Some(i));
        }
        assert_eq!(ids.allocate_lowest(), None);
        ids.free(130);
        ids.free(64);
        assert_eq!(ids.allocate_lowest(), Some(64));
        assert_eq!(ids.allocate_lowest(), Some(130));
        assert_eq!(ids.count(), 200);
    }

    #[test]
    fn reserve_refuses_taken_and_foreign_numbers() {
        let ids = IdAllocator::new(5, 9);
        assert!(ids.reserve(7));
        assert!(!ids.reserve(7));
        assert!(!ids.reserve(4));
        assert!(!ids.reserve(10));
        ids.free(100);
        assert_eq!(ids.allocate_lowest(), Some(5));
    }

    #[test]
    fn the_whole_range_of_u32_works() {
        let ids = IdAllocator::new(u32::MAX - 1, u32::MAX);
        assert_eq!(ids.allocate(), Some(u32::MAX - 1));
        assert_eq!(ids.allocate(), Some(u32::MAX));
        assert_eq!(ids.allocate(), None);
    }
}
