//! Random numbers for RNDR and RNDRRS, from the host's generator.

use std::cell::Cell;

use tuxlet_host::entropy;

/// Numbers fetched from the host at once.
const STOCK: usize = 64;

thread_local! {
    /// Numbers not given away yet, and how many.
    static NUMBERS: Cell<([u64; STOCK], usize)> = const { Cell::new(([0; STOCK], 0)) };
}

/// A number fetched from the host now; `None` if the host has none.
pub(crate) fn fresh() -> Option<u64> {
    entropy::u64().ok()
}

/// A number from this thread's stock; `None` if the host has none.
pub(crate) fn number() -> Option<u64> {
    NUMBERS.with(|cell| {
        let (mut numbers, mut left) = cell.get();
        if left == 0 {
            let mut bytes = [0; 8 * STOCK];
            entropy::fill(&mut bytes).ok()?;
            for (number, bytes) in numbers.iter_mut().zip(bytes.as_chunks().0) {
                *number = u64::from_ne_bytes(*bytes);
            }
            left = STOCK;
        }
        left -= 1;
        // Nothing that was given away stays behind.
        let number = std::mem::take(&mut numbers[left]);
        cell.set((numbers, left));
        Some(number)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_differ() {
        let mut all: Vec<u64> = (0..3 * STOCK).filter_map(|_| number()).collect();
        all.extend((0..10).filter_map(|_| fresh()));
        let len = all.len();
        assert_eq!(len, 3 * STOCK + 10);
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), len);
    }
}
