//! The same program in our interpreter, under a kernel of two system calls.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

use tuxlet_cpu::{CpuState, Engine, Exit, Interpreter, Options, Vcpu};
use tuxlet_mem::{AddressSpace, MapRequest, MemoryBudget, Placement, Prot};

use crate::image::{CODE, E, Image, W};

const WRITE: u64 = 64;

/// What the program writes to its standard output.
pub(crate) fn run(image: &Image, options: Options) -> Result<Vec<u8>, String> {
    let (mm, mut vcpu) = load(image, options)?;
    finish(&mm, vcpu.as_mut())
}

/// The same while another thread sends the virtual CPU out of guest mode all the time.
pub(crate) fn run_interrupted(image: &Image, options: Options) -> Result<Vec<u8>, String> {
    let (mm, mut vcpu) = load(image, options)?;
    let kicker = vcpu.kicker();
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut pause = 1u32;
            while !over.load(Ordering::Relaxed) {
                kicker.kick();
                // It is to get on between two kicks.
                pause = pause.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                for _ in 0..200 + (pause >> 20) {
                    std::hint::spin_loop();
                }
            }
        });
        let out = finish(&mm, vcpu.as_mut());
        over.store(true, Ordering::Relaxed);
        out
    })
}

fn load(image: &Image, options: Options) -> Result<(Arc<AddressSpace>, Box<dyn Vcpu>), String> {
    let error = |e: &dyn core::fmt::Debug| format!("{e:?}");
    let mm = AddressSpace::new(&MemoryBudget::unlimited()).map_err(|e| error(&e))?;
    for (addr, data, len, flags) in image.segments() {
        let may = |flag, prot| {
            if flags & flag != 0 {
                prot
            } else {
                Prot::empty()
            }
        };
        let prot = Prot::READ | may(W, Prot::WRITE) | may(E, Prot::EXEC);
        mm.map(MapRequest::anonymous(len, prot).at(Placement::Fixed(addr)))
            .map_err(|e| error(&e))?;
        mm.poke(addr, &data).map_err(|e| error(&e))?;
    }
    let vcpu = Interpreter::new(options).vcpu(mm.clone());
    Ok((mm, vcpu))
}

fn finish(mm: &Arc<AddressSpace>, vcpu: &mut dyn Vcpu) -> Result<Vec<u8>, String> {
    let mut state = CpuState {
        pc: CODE,
        ..CpuState::new()
    };
    let mut out = Vec::new();
    loop {
        match run_once(vcpu, &mut state) {
            Exit::Syscall if state.x[8] == WRITE => {
                let at = out.len();
                out.resize(at + state.x[2] as usize, 0);
                mm.copy_in(state.x[1], &mut out[at..])
                    .map_err(|e| format!("{e:?}"))?;
                state.x[0] = state.x[2];
            }
            Exit::Syscall => return Ok(out),
            exit => return Err(describe(mm, &state, &exit)),
        }
    }
}

fn run_once(vcpu: &mut dyn Vcpu, state: &mut CpuState) -> Exit {
    loop {
        match vcpu.run(state) {
            Exit::Kicked | Exit::Watchpoint { .. } => {}
            exit => return exit,
        }
    }
}

fn describe(mm: &Arc<AddressSpace>, state: &CpuState, exit: &Exit) -> String {
    let mut bytes = [0; 4];
    let text = match mm.copy_in(state.pc, &mut bytes) {
        Ok(4) => tuxlet_a64::disassemble(u32::from_le_bytes(bytes), state.pc),
        _ => String::from("?"),
    };
    format!("{exit:?} at {:#x}: {text}", state.pc)
}
