//! Register sets: `PTRACE_GETREGSET`, `PTRACE_SETREGSET`.

use super::{Ptrace, Stop};
use tuxlet_cpu::CpuState;
use tuxlet_uapi::{
    elf::{
        NT_ARM_HW_BREAK, NT_ARM_HW_WATCH, NT_ARM_SYSTEM_CALL, NT_ARM_TLS, NT_PRFPREG, NT_PRSTATUS,
    },
    errno::{Errno, Result},
    ptrace::{UserFpsimdState, UserHwdebugState, UserPtRegs},
};
use zerocopy::{FromBytes, IntoBytes};

/// What of PSTATE must not be set at EL0 in AArch64 state. The mode bits, the execution state
/// and the interrupt masks must be zero.
const PSTATE_PRIVILEGED: u64 = 0x3df;

/// Size of a register set's unit in bytes; the length of a request is a multiple of it. `EINVAL` for an unknown set.
fn unit(kind: u32) -> Result<usize> {
    match kind {
        NT_PRSTATUS | NT_ARM_TLS => Ok(8),
        NT_PRFPREG | NT_ARM_SYSTEM_CALL | NT_ARM_HW_BREAK | NT_ARM_HW_WATCH => Ok(4),
        _ => Err(Errno::EINVAL),
    }
}

fn general(regs: &CpuState) -> UserPtRegs {
    UserPtRegs {
        regs: regs.x,
        sp: regs.sp,
        pc: regs.pc,
        pstate: regs.pstate(),
    }
}

fn floating(regs: &CpuState) -> UserFpsimdState {
    let mut out = UserFpsimdState {
        fpsr: regs.fpsr,
        fpcr: regs.fpcr,
        ..UserFpsimdState::default()
    };
    for (to, from) in out.vregs.iter_mut().zip(regs.v) {
        *to = [from as u64, (from >> 64) as u64];
    }
    out
}

/// The whole of a register set. `EINVAL` for an unknown one.
fn whole(state: &Ptrace, stop: &Stop, kind: u32) -> Result<Vec<u8>> {
    let regs = &stop.regs;
    Ok(match kind {
        NT_PRSTATUS => general(regs).as_bytes().to_vec(),
        NT_PRFPREG => floating(regs).as_bytes().to_vec(),
        NT_ARM_TLS => regs.tpidr.to_ne_bytes().to_vec(),
        NT_ARM_SYSTEM_CALL => stop.syscall.to_ne_bytes().to_vec(),
        NT_ARM_HW_BREAK | NT_ARM_HW_WATCH => state.debug.get(kind).as_bytes().to_vec(),
        _ => return Err(Errno::EINVAL),
    })
}

/// Reads a register set: at most `len` bytes of it.
pub(super) fn get(state: &Ptrace, kind: u32, len: u64) -> Result<Vec<u8>> {
    let unit = unit(kind)?;
    let stop = state.stop.as_ref().ok_or(Errno::ESRCH)?;
    let len = usize::try_from(len).map_err(|_| Errno::EINVAL)?;
    if !len.is_multiple_of(unit) {
        return Err(Errno::EINVAL);
    }
    let mut bytes = whole(state, stop, kind)?;
    bytes.truncate(len);
    Ok(bytes)
}

/// How many bytes of a request of `len` bytes are taken. `EINVAL`.
pub(super) fn accepted(state: &Ptrace, kind: u32, len: u64) -> Result<usize> {
    get(state, kind, len).map(|b| b.len())
}

/// Writes the beginning of a register set; what is not given stays. `EINVAL` for values that user mode cannot have.
pub(super) fn set(state: &mut Ptrace, kind: u32, data: &[u8]) -> Result<()> {
    let stop = state.stop.as_ref().ok_or(Errno::ESRCH)?;
    let mut bytes = whole(state, stop, kind)?;
    let part = bytes.get_mut(..data.len()).ok_or(Errno::EINVAL)?;
    part.copy_from_slice(data);
    if matches!(kind, NT_ARM_HW_BREAK | NT_ARM_HW_WATCH) {
        let new = UserHwdebugState::read_from_bytes(&bytes).map_err(|_| Errno::EINVAL)?;
        return state.debug.set(kind, &new);
    }
    let stop = state.stop.as_mut().ok_or(Errno::ESRCH)?;
    let regs = &mut stop.regs;
    match kind {
        NT_PRSTATUS => {
            let new = UserPtRegs::read_from_bytes(&bytes).map_err(|_| Errno::EINVAL)?;
            if new.pstate & PSTATE_PRIVILEGED != 0 {
                return Err(Errno::EINVAL);
            }
            (regs.x, regs.sp, regs.pc) = (new.regs, new.sp, new.pc);
            regs.set_pstate(new.pstate);
        }
        NT_PRFPREG => {
            let new = UserFpsimdState::read_from_bytes(&bytes).map_err(|_| Errno::EINVAL)?;
            for (to, from) in regs.v.iter_mut().zip(new.vregs) {
                *to = u128::from(from[0]) | u128::from(from[1]) << 64;
            }
            (regs.fpsr, regs.fpcr) = (new.fpsr, new.fpcr);
        }
        NT_ARM_TLS => regs.tpidr = read(&bytes).map(u64::from_ne_bytes)?,
        NT_ARM_SYSTEM_CALL => stop.syscall = read(&bytes).map(i32::from_ne_bytes)?,
        // Other sets are unknown, and were refused.
        _ => {}
    }
    Ok(())
}

fn read<const N: usize>(bytes: &[u8]) -> Result<[u8; N]> {
    bytes.try_into().map_err(|_| Errno::EINVAL)
}
