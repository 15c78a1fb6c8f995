//! A vector program in our interpreter, under a kernel of a few system calls and signals.

use std::sync::Arc;

use tuxlet_cpu::{CpuState, Engine, Exit, Interpreter, Options};
use tuxlet_mem::{AddressSpace, FaultKind, MapRequest, MemoryBudget, Placement, Prot};

use crate::image::{CODE, CONTROL, Image, W};
use crate::program::{NOTE, WRITE};

/// What the program writes to its standard output.
pub(crate) fn run(image: &Image, optimise: bool) -> Result<Vec<u8>, String> {
    let error = |e: &dyn core::fmt::Debug| format!("{e:?}");
    let mm = AddressSpace::new(&MemoryBudget::unlimited()).map_err(|e| error(&e))?;
    for (addr, data, len, flags) in image.segments() {
        let prot = if flags & W != 0 {
            Prot::RW
        } else {
            Prot::READ | Prot::EXEC
        };
        mm.map(MapRequest::anonymous(len, prot).at(Placement::Fixed(addr)))
            .map_err(|e| error(&e))?;
        mm.poke(addr, &data).map_err(|e| error(&e))?;
    }
    let mut vcpu = Interpreter::new(Options {
        optimise,
        ..Options::default()
    })
    .vcpu(mm.clone());
    let mut state = CpuState {
        pc: CODE,
        ..CpuState::new()
    };
    let mut out = Vec::new();
    loop {
        let exit = vcpu.run(&mut state);
        match exit {
            Exit::Kicked => {}
            Exit::Syscall if state.x[8] == WRITE => {
                let at = out.len();
                out.resize(at + state.x[2] as usize, 0);
                mm.copy_in(state.x[1], &mut out[at..])
                    .map_err(|e| error(&e))?;
                state.x[0] = state.x[2];
            }
            // The signal stack and the handlers: signals are noted without them.
            Exit::Syscall if matches!(state.x[8], 132 | 134) => state.x[0] = 0,
            Exit::Syscall => return Ok(out),
            exit => {
                let Some(note) = signal(&exit, state.pc, state.sp) else {
                    return Err(describe(&mm, &state, &exit));
                };
                let bytes: Vec<u8> = note.iter().flat_map(|w| w.to_le_bytes()).collect();
                mm.poke(CONTROL + u64::from(NOTE), &bytes)
                    .map_err(|e| error(&e))?;
                state.pc += 4;
            }
        }
    }
}

/// Signal number, code and address, as Linux makes them of an exception.
fn signal(exit: &Exit, pc: u64, sp: u64) -> Option<[u64; 3]> {
    const SIGILL: u64 = 4;
    const SIGTRAP: u64 = 5;
    const SIGBUS: u64 = 7;
    const SIGSEGV: u64 = 11;
    Some(match exit {
        Exit::Undefined { .. } => [SIGILL, 1, pc],
        Exit::Breakpoint(_) => [SIGTRAP, 1, pc],
        Exit::Unaligned { addr } => [SIGBUS, 1, *addr],
        Exit::MisalignedStack => [SIGBUS, 1, sp],
        Exit::Fault(fault) => match fault.kind {
            FaultKind::MapErr => [SIGSEGV, 1, fault.addr],
            FaultKind::AccErr => [SIGSEGV, 2, fault.addr],
            FaultKind::BusAdrErr => [SIGBUS, 2, fault.addr],
            FaultKind::Oom => return None,
        },
        Exit::Syscall | Exit::Kicked | Exit::Watchpoint { .. } => return None,
    })
}

fn describe(mm: &Arc<AddressSpace>, state: &CpuState, exit: &Exit) -> String {
    let mut bytes = [0; 4];
    let text = match mm.copy_in(state.pc, &mut bytes) {
        Ok(4) => tuxlet_a64::disassemble(u32::from_le_bytes(bytes), state.pc),
        _ => String::from("?"),
    };
    format!("{exit:?} at {:#x}: {text}", state.pc)
}
