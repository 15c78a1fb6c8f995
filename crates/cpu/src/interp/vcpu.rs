//! The interpreter behind the engine seam.

use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::{Arc, Weak};

use parking_lot::Mutex;
use rustc_hash::FxHashMap;
use tuxlet_a64 as a64;
use tuxlet_mem::{AddressSpace, PAGE_MASK, Tlb};

use super::cache::CodeCache;
use super::control::enter;
use super::cpu::{Cpu, Gate, NO_ADDR};
use super::op::Op;
use super::pinned::Pinned;
use super::rows::row;
use super::stack;
use super::translate::Options;
use crate::cx::Monitor;
use crate::engine::{Engine, Exit, Kicker, Vcpu, Watch};
use crate::{CpuState, flags::Flags, hostfp};

/// The threaded-code interpreter.
#[derive(Default)]
pub struct Interpreter {
    options: Options,
    /// Translated code by [`AddressSpace::id`].
    caches: Mutex<FxHashMap<u64, Weak<CodeCache>>>,
}

impl Interpreter {
    /// An interpreter with the given options.
    pub fn new(options: Options) -> Self {
        Interpreter {
            options,
            caches: Mutex::default(),
        }
    }

    fn cache(&self, mm: &AddressSpace) -> Arc<CodeCache> {
        let mut caches = self.caches.lock();
        if let Some(cache) = caches.get(&mm.id()).and_then(Weak::upgrade) {
            return cache;
        }
        caches.retain(|_, cache| cache.strong_count() != 0);
        let cache = Arc::new(CodeCache::new(self.options));
        caches.insert(mm.id(), Arc::downgrade(&cache));
        mm.set_notifier(cache.clone());
        cache
    }
}

impl Engine for Interpreter {
    fn vcpu(&self, mm: Arc<AddressSpace>) -> Box<dyn Vcpu> {
        let code = self.cache(&mm);
        let mut tlb = Tlb::new();
        mm.attach(&mut tlb);
        let gate = Arc::new(Gate {
            link: tlb.link.clone(),
            running: AtomicBool::new(false),
            seen: AtomicU64::new(0),
        });
        code.register(&gate);
        Box::new(Interp {
            cpu: Cpu::new(tlb, gate, mm, code),
        })
    }
}

impl Cpu {
    fn new(
        tlb: Box<Tlb>,
        gate: Arc<Gate>,
        mm: Arc<AddressSpace>,
        code: Arc<CodeCache>,
    ) -> Box<Cpu> {
        let kick = &raw const gate.link.kick;
        let mut cpu = Box::<Cpu>::new_uninit();
        let p = cpu.as_mut_ptr();
        // SAFETY: every field is written before the value is used; large ones in place, so that
        // they need not pass over the stack.
        unsafe {
            (&raw mut (*p).regs).write_bytes(0, 1);
            (&raw mut (*p).flags).write(Flags::from_nzcv(0));
            (&raw mut (*p).pins).write(code.pins());
            (&raw mut (*p).mask).write(0);
            (&raw mut (*p).kick).write(kick);
            (&raw mut (*p).fpcr).write(0);
            (&raw mut (*p).fpsr).write(0);
            (&raw mut (*p).dit).write(false);
            (&raw mut (*p).tpidr).write(0);
            (&raw mut (*p).v).write_bytes(0, 1);
            (&raw mut (*p).tlb).write(*tlb);
            (&raw mut (*p).jumps).write_bytes(0, 1);
            (&raw mut (*p).jump_to).write(NO_ADDR);
            (&raw mut (*p).ip).write(core::ptr::null());
            (&raw mut (*p).monitor).write(Monitor::OPEN);
            (&raw mut (*p).watches).write(Vec::new());
            (&raw mut (*p).exit).write(None);
            (&raw mut (*p).pc).write(0);
            (&raw mut (*p).resume).write(core::ptr::null());
            (&raw mut (*p).resume_pc).write(NO_ADDR);
            (&raw mut (*p).resume_pins).write(code.pins());
            (&raw mut (*p).resume_flags).write(Flags::from_nzcv(0));
            (&raw mut (*p).generation).write(0);
            (&raw mut (*p).gate).write(gate);
            (&raw mut (*p).mm).write(mm);
            (&raw mut (*p).code).write(code);
            let mut cpu = cpu.assume_init();
            cpu.forget_code();
            cpu
        }
    }

    /// Enters guest mode with `f`, which returns the first op to run or null.
    fn guest(
        &mut self,
        state: &mut CpuState,
        f: impl FnOnce(&mut Cpu) -> *const Op,
    ) -> Option<Exit> {
        self.load_state(state);
        self.monitor = Monitor::OPEN;
        self.exit = None;
        self.gate.running.store(true, Ordering::SeqCst);
        self.tlb.enter_guest();
        hostfp::clear();
        // A bug of ours must not leave the mode in which other threads wait for this one.
        let ran = catch_unwind(AssertUnwindSafe(|| {
            let first = f(self);
            // SAFETY: this thread's.
            unsafe { Pinned::load_home(self) }.spill();
            drive(self, first);
        }));
        self.fpsr |= hostfp::raised();
        self.tlb.leave_guest();
        self.gate.running.store(false, Ordering::SeqCst);
        self.store_state(state);
        if let Err(bug) = ran {
            resume_unwind(bug);
        }
        self.exit.take()
    }
}

/// Runs ops until one leaves guest mode.
fn drive(cpu: &mut Cpu, first: *const Op) {
    let cpu: *mut Cpu = cpu;
    let mut ip = first;
    while !ip.is_null() {
        // SAFETY: `ip` is an op of this CPU's code cache; `cpu` is not used otherwise meanwhile.
        ip = unsafe {
            let c = Pinned::reload(cpu);
            ((*ip).handler)(ip, cpu, c.p0, c.p1, c.p2, c.p3)
        };
    }
}

struct Interp {
    cpu: Box<Cpu>,
}

impl Vcpu for Interp {
    fn run(&mut self, state: &mut CpuState) -> Exit {
        loop {
            let exit = self.cpu.guest(state, |cpu| {
                if stack::is_misaligned(cpu) && !stack::run_misaligned(cpu) {
                    core::ptr::null()
                } else if cpu.resume_pc == cpu.pc
                    && cpu.resume_flags.nzcv() == cpu.flags.nzcv()
                    && cpu.code.generation() == cpu.generation
                {
                    cpu.pins = cpu.resume_pins;
                    cpu.flags = cpu.resume_flags;
                    cpu.resume
                } else {
                    enter(cpu, cpu.pc)
                }
            });
            // Ops return null without a reason only where SP has become misaligned.
            if let Some(exit) = exit {
                return exit;
            }
        }
    }

    fn kicker(&self) -> Kicker {
        Kicker::new(self.cpu.gate.link.clone())
    }

    fn step(&mut self, state: &mut CpuState) -> Option<Exit> {
        self.cpu.guest(state, |cpu| {
            step(cpu);
            core::ptr::null()
        })
    }

    fn step_watched(&mut self, state: &mut CpuState, watches: &[Watch]) -> Option<Exit> {
        self.cpu.watches.extend_from_slice(watches);
        for watch in watches {
            self.cpu
                .forget_watched(watch.start, watch.end - watch.start);
        }
        let exit = self.step(state);
        self.cpu.watches.clear();
        exit
    }
}

/// Executes the instruction at `pc` with the full context.
pub(crate) fn step(cpu: &mut Cpu) {
    let pc = cpu.pc;
    cpu.ip = core::ptr::null();
    cpu.jump_to = NO_ADDR;
    if pc & 3 != 0 {
        cpu.exit = Some(Exit::Unaligned { addr: pc });
        return;
    }
    let page = match cpu.mm.fetch_page(&mut cpu.tlb, pc) {
        Ok(page) => page,
        Err(fault) => {
            cpu.exit = Some(Exit::Fault(fault));
            return;
        }
    };
    let mut bytes = [0; 4];
    page.read((pc & PAGE_MASK) as usize, &mut bytes);
    let word = u32::from_le_bytes(bytes);
    let id = a64::decode(word);
    let done = match id.and_then(row) {
        Some(_)
            if stack::is_misaligned(cpu) && id.is_some_and(|id| stack::is_checked(id, word)) =>
        {
            cpu.exit = Some(Exit::MisalignedStack);
            false
        }
        // SAFETY: the body gets this thread's `Cpu`.
        Some(row) => unsafe { (row.body)(cpu, word) },
        None => {
            cpu.exit = Some(Exit::Undefined { word });
            false
        }
    };
    if done {
        cpu.pc = if cpu.jump_to == NO_ADDR {
            pc.wrapping_add(4)
        } else {
            cpu.jump_to
        };
        cpu.jump_to = NO_ADDR;
    } else {
        match &mut cpu.exit {
            Some(Exit::Syscall) => cpu.pc = pc.wrapping_add(4),
            Some(Exit::Undefined { word: w }) => *w = word,
            _ => {}
        }
    }
}
