//! Runs a static AArch64 executable that needs no kernel but write(1, ..) and exit: compute kernels
//! for timing the engine. Usage: `freestanding FILE [reference]`.

use std::io::Write as _;
use std::process::ExitCode;

use tuxlet_cpu::{CpuState, Engine, Exit, Interpreter, Options};
use tuxlet_mem::{AddressSpace, MapRequest, MemoryBudget, Placement, Prot};

const STACK_TOP: u64 = 0x7fff_0000;
const STACK_SIZE: u64 = 1 << 20;

fn field<const N: usize>(elf: &[u8], at: usize) -> [u8; N] {
    elf.get(at..at + N)
        .and_then(|b| b.try_into().ok())
        .unwrap_or([0; N])
}

fn main() -> ExitCode {
    let mut args = std::env::args().skip(1);
    let Some(elf) = args.next().and_then(|path| std::fs::read(path).ok()) else {
        eprintln!("usage: freestanding FILE [reference]");
        return ExitCode::FAILURE;
    };
    let optimise = args.next().is_none();
    let mm = AddressSpace::new(&MemoryBudget::unlimited()).expect("an empty address space");
    let map = |start: u64, end: u64| {
        let request = MapRequest::anonymous(end - start, Prot::RWX);
        mm.map(request.at(Placement::Fixed(start))).expect("room");
    };
    let headers = u64::from_le_bytes(field(&elf, 32)) as usize;
    for i in 0..usize::from(u16::from_le_bytes(field(&elf, 56))) {
        let at = headers + 56 * i;
        let number = |offset| u64::from_le_bytes(field(&elf, at + offset));
        if u32::from_le_bytes(field(&elf, at)) == 1 {
            let (offset, addr, size) = (number(8) as usize, number(16), number(32) as usize);
            map(addr & !4095, (addr + number(40) + 4095) & !4095);
            let data = elf.get(offset..offset + size).unwrap_or_default();
            mm.poke(addr, data).expect("mapped above");
        }
    }
    map(STACK_TOP - STACK_SIZE, STACK_TOP);
    let mut state = CpuState {
        pc: u64::from_le_bytes(field(&elf, 24)),
        sp: STACK_TOP,
        ..CpuState::new()
    };
    let mut vcpu = Interpreter::new(Options {
        optimise,
        ..Options::default()
    })
    .vcpu(mm.clone());
    loop {
        match (vcpu.run(&mut state), state.x[8]) {
            (Exit::Syscall, 64) => {
                let mut text = vec![0; state.x[2] as usize];
                mm.copy_in(state.x[1], &mut text).expect("mapped");
                std::io::stdout().write_all(&text).expect("stdout");
                state.x[0] = state.x[2];
            }
            (Exit::Syscall, 93) => return ExitCode::from(state.x[0] as u8),
            (exit, _) => {
                eprintln!("{exit:x?} at {:#x}", state.pc);
                return ExitCode::FAILURE;
            }
        }
    }
}
