//! Threads as vCPUs: the shootdown protocol under load.

use super::*;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64};

/// A thread that accesses memory as generated code does.
struct Cpu {
    space: Arc<AddressSpace>,
    tlb: Box<Tlb>,
}

impl Cpu {
    fn new(space: &Arc<AddressSpace>) -> Self {
        let mut tlb = Tlb::new();
        space.attach(&mut tlb);
        tlb.enter_guest();
        Self {
            space: Arc::clone(space),
            tlb,
        }
    }

    /// Polls as a block edge does.
    fn poll(&mut self) {
        if self.tlb.link.kick.load(Ordering::Relaxed) != 0 {
            self.tlb.acknowledge();
        }
    }

    fn host(&mut self, addr: u64, access: Access) -> core::result::Result<*mut u64, Fault> {
        loop {
            if let Some(host) = self.tlb.lookup(addr, 8, access == Access::Write) {
                return Ok(host.cast());
            }
            self.space.fault(&mut self.tlb, addr, access)?;
        }
    }

    fn load(&mut self, addr: u64) -> core::result::Result<u64, Fault> {
        let host = self.host(addr, Access::Read)?;
        // SAFETY: M1: in guest mode, before the next poll.
        let v = unsafe { AtomicU64::from_ptr(host) }.load(Ordering::Relaxed);
        self.poll();
        Ok(v)
    }

    fn store(&mut self, addr: u64, v: u64) -> core::result::Result<(), Fault> {
        let host = self.host(addr, Access::Write)?;
        // SAFETY: M1: in guest mode, before the next poll.
        unsafe { AtomicU64::from_ptr(host) }.store(v, Ordering::Relaxed);
        self.poll();
        Ok(())
    }
}

const ROUNDS: u64 = if cfg!(debug_assertions) { 300 } else { 8_000 };

/// While readers and writers hammer a page, it is unmapped and mapped again; a frame reused too early would
/// show another owner's mark.
#[test]
fn an_unmapped_frame_is_not_seen_again() {
    let s = space();
    let a = 0x10_0000_0000;
    let done = AtomicBool::new(false);
    let faults = AtomicU32::new(0);
    std::thread::scope(|scope| {
        for t in 1..=3u64 {
            let (s, done, faults) = (&s, &done, &faults);
            scope.spawn(move || {
                let mut cpu = Cpu::new(s);
                while !done.load(Ordering::Relaxed) {
                    match cpu.load(a) {
                        // Zero or a mark of a vCPU; never the poison of the unmapper.
                        Ok(v) => assert!(v <= 3, "{v:#x}"),
                        Err(f) => {
                            assert_eq!(f.kind, FaultKind::MapErr);
                            faults.fetch_add(1, Ordering::Relaxed);
                        }
                    }
                    let _ = cpu.store(a, t);
                }
            });
        }
        for _ in 0..ROUNDS {
            s.map(anon(1).at(Placement::Fixed(a))).unwrap();
            std::thread::yield_now();
            s.unmap(a, P).unwrap();
            // The frame that was just freed is the first to be handed out again.
            let frame = s.budget().alloc().unwrap();
            frame.write(0, &[0xff; 4096]);
            let mut back = [0; 8];
            for _ in 0..4 {
                frame.read(0, &mut back);
                assert_eq!(back, [0xff; 8], "somebody wrote to a freed page");
            }
        }
        done.store(true, Ordering::Relaxed);
    });
}

/// A store that happens after fork returned must not reach the child.
#[test]
fn fork_freezes_the_parent_for_the_child() {
    let s = space();
    let a = s.map(anon(1)).unwrap();
    let done = AtomicBool::new(false);
    let value = AtomicU64::new(0);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut cpu = Cpu::new(&s);
            let mut v = 0;
            while !done.load(Ordering::Relaxed) {
                v += 1;
                cpu.store(a, v).unwrap();
                value.store(v, Ordering::Release);
            }
        });
        for _ in 0..ROUNDS / 4 {
            let child = s.fork().unwrap();
            let first = child.read::<u64>(a).unwrap();
            let before = value.load(Ordering::Acquire);
            for _ in 0..3 {
                std::thread::yield_now();
                assert_eq!(child.read::<u64>(a).unwrap(), first);
            }
            // At most the store after the one announced was under way.
            assert!(first <= before + 1, "{first} {before}");
        }
        done.store(true, Ordering::Relaxed);
    });
}

/// After a copy on write no thread goes on reading the old frame: values never go back.
#[test]
fn copy_on_write_is_coherent_between_threads() {
    let s = space();
    let a = s.map(anon(1)).unwrap();
    let done = AtomicBool::new(false);
    let announced = AtomicU64::new(0);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                let mut cpu = Cpu::new(&s);
                while !done.load(Ordering::Relaxed) {
                    let floor = announced.load(Ordering::SeqCst);
                    let seen = cpu.load(a).unwrap();
                    assert!(seen >= floor, "read {seen} after {floor} was stored");
                }
            });
        }
        let mut cpu = Cpu::new(&s);
        for v in 1..ROUNDS / 2 {
            cpu.tlb.leave_guest();
            let child = s.fork().unwrap();
            cpu.tlb.enter_guest();
            cpu.store(a, v).unwrap();
            announced.store(v, Ordering::SeqCst);
            cpu.tlb.leave_guest();
            assert_eq!(child.read::<u64>(a), Ok(v - 1));
            drop(child);
            cpu.tlb.enter_guest();
        }
        done.store(true, Ordering::Relaxed);
    });
}

/// Two threads that protect each other's pages do not wait for each other.
#[test]
fn unmappers_do_not_wait_in_a_circle() {
    let s = space();
    let a = s.map(anon(2)).unwrap();
    std::thread::scope(|scope| {
        for t in 0..3u64 {
            let s = &s;
            scope.spawn(move || {
                let mut cpu = Cpu::new(s);
                let mine = a + (t & 1) * P;
                for i in 0..ROUNDS / 3 {
                    let _ = cpu.store(mine, i);
                    cpu.tlb.leave_guest();
                    s.protect(
                        mine,
                        P,
                        if i & 1 == 0 { Prot::READ } else { Prot::RW },
                        false,
                    )
                    .unwrap();
                    cpu.tlb.enter_guest();
                    cpu.load(mine).unwrap();
                }
            });
        }
    });
}

#[derive(Default)]
struct Log(Mutex<Vec<(u64, u64, Why)>>);
impl MmNotifier for Log {
    fn invalidate(&self, start: u64, end: u64, why: Why) {
        self.0.lock().push((start, end, why));
    }
}

#[test]
fn writes_to_code_are_announced_once_per_fetch() {
    let s = space();
    let log = Arc::new(Log::default());
    s.set_notifier(log.clone());
    let mut request = anon(3);
    request.prot = Prot::RWX;
    let a = s.map(request).unwrap();
    let mut cpu = Cpu::new(&s);
    cpu.store(a, 1).unwrap();
    assert!(cpu.tlb.lookup(a, 8, true).is_some());
    let page = s.fetch_page(&mut cpu.tlb, a + 4).unwrap();
    let mut b = [0];
    page.read(0, &mut b);
    assert_eq!(b, [1]);
    // The write entry is gone, the read entry need not be.
    assert!(cpu.tlb.lookup(a, 8, true).is_none());
    assert!(log.0.lock().is_empty());
    cpu.store(a, 2).unwrap();
    cpu.store(a, 3).unwrap();
    assert_eq!(
        std::mem::take(&mut *log.0.lock()),
        [(a, a + P, Why::Written)]
    );
    page.read(0, &mut b);
    assert_eq!(b, [3]);
    cpu.tlb.leave_guest();
    // The kernel's writes count as well.
    s.fetch_page(&mut cpu.tlb, a).unwrap();
    s.write(a + 8, &1u8).unwrap();
    assert_eq!(
        std::mem::take(&mut *log.0.lock()),
        [(a, a + P, Why::Written)]
    );
    // Pages without code do not matter.
    s.unmap(a + P, P).unwrap();
    assert!(log.0.lock().is_empty());
    s.fetch_page(&mut cpu.tlb, a).unwrap();
    s.protect(a, P, Prot::RX, false).unwrap();
    assert!(log.0.lock().is_empty());
    s.poke(a, &[9]).unwrap();
    // Before and after the write: another thread may translate the old code in between.
    assert_eq!(
        std::mem::take(&mut *log.0.lock()),
        [(a, a + P, Why::Written); 2]
    );
    s.fetch_page(&mut cpu.tlb, a).unwrap();
    s.protect(a, P, Prot::READ, false).unwrap();
    assert_eq!(
        std::mem::take(&mut *log.0.lock()),
        [(a, a + P, Why::Protected)]
    );
    s.protect(a, P, Prot::RX, false).unwrap();
    s.fetch_page(&mut cpu.tlb, a).unwrap();
    // A fork's copy on write of a page with code is a write, too.
    let child = s.fork().unwrap();
    s.unmap(a, 3 * P).unwrap();
    assert_eq!(
        std::mem::take(&mut *log.0.lock()),
        [(a, a + P, Why::Unmapped)]
    );
    assert_eq!(child.read::<u8>(a), Ok(9));
}

#[test]
fn attaching_elsewhere_empties_the_tlb() {
    let (s, t) = (space(), space());
    let a = s.map(anon(1)).unwrap();
    let mut cpu = Cpu::new(&s);
    cpu.store(a, 1).unwrap();
    assert_eq!((s.vcpus(), t.vcpus()), (1, 0));
    t.attach(&mut cpu.tlb);
    assert_eq!((s.vcpus(), t.vcpus()), (0, 1));
    assert!(cpu.tlb.lookup(a, 8, false).is_none());
    let count = Arc::strong_count(&s);
    drop(cpu);
    assert_eq!(t.vcpus(), 0);
    assert_eq!(Arc::strong_count(&s), count - 1);
}
