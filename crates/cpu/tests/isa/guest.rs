//! A guest without a kernel: code, data, and a virtual CPU for each thread.

use std::sync::Arc;

use tuxlet_cpu::{CpuState, Engine, Exit, Interpreter, Options, Vcpu};
use tuxlet_mem::{AddressSpace, MapRequest, MemoryBudget, Placement, Prot};

/// Where the code is.
pub(crate) const CODE: u64 = 0x10_0000;
/// Where the data is; the pages before and behind it are not mapped.
pub(crate) const DATA: u64 = 0x20_0000;
/// Bytes of data.
pub(crate) const DATA_LEN: u64 = 0x20_0000;
/// `BRK #0`, the end of programs.
pub(crate) const BRK: u32 = 0xd420_0000;

/// An address space and the engine that runs it.
pub(crate) struct Guest {
    pub(crate) mm: Arc<AddressSpace>,
    engine: Interpreter,
}

/// One thread.
pub(crate) struct Thread {
    vcpu: Box<dyn Vcpu>,
    pub(crate) state: CpuState,
}

impl Guest {
    /// A guest with `code` at [`CODE`], run by the optimised or the plain engine.
    pub(crate) fn new(optimise: bool, code: &[u32]) -> Guest {
        let mm = AddressSpace::new(&MemoryBudget::unlimited()).expect("address space");
        let bytes: Vec<u8> = code.iter().flat_map(|w| w.to_le_bytes()).collect();
        let code_len = (bytes.len() as u64).next_multiple_of(0x1000);
        for (at, len, prot) in [
            (CODE, code_len, Prot::READ | Prot::EXEC),
            (DATA, DATA_LEN, Prot::RW),
        ] {
            mm.map(MapRequest::anonymous(len, prot).at(Placement::Fixed(at)))
                .expect("map");
        }
        mm.poke(CODE, &bytes).expect("code fits");
        Guest {
            mm,
            engine: Interpreter::new(Options {
                optimise,
                ..Options::default()
            }),
        }
    }

    /// A thread that starts at [`CODE`].
    pub(crate) fn thread(&self) -> Thread {
        Thread {
            vcpu: self.engine.vcpu(self.mm.clone()),
            state: CpuState {
                pc: CODE,
                sp: DATA + 0x1000,
                ..CpuState::new()
            },
        }
    }

    /// Guest memory.
    pub(crate) fn read(&self, at: u64, len: usize) -> Vec<u8> {
        let mut bytes = vec![0; len];
        assert_eq!(self.mm.copy_in(at, &mut bytes), Ok(len));
        bytes
    }

    /// Writes guest memory.
    pub(crate) fn write(&self, at: u64, bytes: &[u8]) {
        self.mm.poke(at, bytes).expect("mapped");
    }
}

impl Thread {
    /// Runs until something other than a kick happens.
    pub(crate) fn run(&mut self) -> Exit {
        loop {
            match self.vcpu.run(&mut self.state) {
                Exit::Kicked => {}
                exit => return exit,
            }
        }
    }

    /// Runs to the `BRK` at the end.
    pub(crate) fn finish(&mut self) {
        let exit = self.run();
        assert_eq!(exit, Exit::Breakpoint(0), "{:x?}", self.state);
    }

    /// Executes one instruction.
    pub(crate) fn step(&mut self) -> Option<Exit> {
        self.vcpu.step(&mut self.state)
    }

    /// Asks the thread to return.
    pub(crate) fn kick(&self) {
        self.vcpu.kicker().kick();
    }

    /// Runs until anything happens, a kick too.
    pub(crate) fn run_once(&mut self) -> Exit {
        self.vcpu.run(&mut self.state)
    }
}

/// Runs a test with the optimised and with the plain engine.
pub(crate) fn both(code: &[u32], test: impl Fn(&Guest)) {
    for optimise in [true, false] {
        test(&Guest::new(optimise, code));
    }
}

/// xorshift64*.
pub(crate) struct Rng(pub u64);

impl Rng {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    pub(crate) fn below(&mut self, n: u64) -> u64 {
        (self.next() >> 11) % n
    }
}
