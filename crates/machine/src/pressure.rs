//! Memory that runs short.

use crate::{Machine, Stats};
use std::sync::{Arc, mpsc};
use tuxlet_mem::MemoryBudget;

/// What a listener is told: bytes in use, and the machine's limit.
pub(crate) type Listener = Box<dyn Fn(u64, u64) + Send>;

/// Lets `listener` hear, on a thread of its own, when a machine's memory use rises above a part of the limit, in percent.
pub(crate) fn watch(budget: &Arc<MemoryBudget>, percent: u8, listener: Listener) {
    let limit = budget.limit_pages();
    let percent = usize::from(percent.min(100));
    let high = limit / 100 * percent + limit % 100 * percent / 100;
    // It is told again once a tenth of that has become free meanwhile.
    let low = high - high / 10;
    // One message that waits is enough. The thread ends with the budget, which owns the sender.
    let (sender, receiver) = mpsc::sync_channel(1);
    let tell = move |used: usize| {
        let _ = sender.try_send(used);
    };
    let started = std::thread::Builder::new()
        .name("memory-pressure".into())
        .spawn(move || {
            for used in receiver {
                listener(used as u64 * 4096, limit as u64 * 4096);
            }
        });
    match started {
        Ok(_) => budget.watch_pressure(high, low, Box::new(tell)),
        Err(error) => tracing::error!(%error, "nobody will hear of memory that runs short"),
    }
}

impl Machine {
    /// Gives back memory that holds nothing but copies of files: for a host that runs short itself. Returns how many bytes.
    pub fn trim(&self) -> u64 {
        let Stats { memory, .. } = self.stats();
        self.inner.kernel.budget.reclaim(usize::MAX);
        memory.saturating_sub(self.stats().memory)
    }
}

#[cfg(test)]
mod tests {
    use crate::{Machine, Root};
    use std::{sync::mpsc, time::Duration};

    #[test]
    fn the_listener_hears_once_for_each_rise() {
        let (sender, told) = mpsc::channel();
        let machine = Machine::builder()
            .root(Root::Memory)
            .memory(64 << 20)
            .on_memory_pressure(50, move |used, limit| sender.send((used, limit)).unwrap())
            .build()
            .unwrap();
        let half = vec![1; 33 << 20];
        for _ in 0..2 {
            machine.write_file("/large", 0o644, &half).unwrap();
            let (used, limit) = told.recv_timeout(Duration::from_secs(60)).unwrap();
            assert_eq!(limit, 64 << 20);
            assert!(used > 32 << 20 && used < limit, "{used}");
            machine.write_file("/small", 0o644, b"x").unwrap();
            assert!(told.try_recv().is_err(), "told twice");
            machine.remove("/large").unwrap();
        }
    }
}
