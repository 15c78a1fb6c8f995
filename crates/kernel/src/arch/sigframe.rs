//! The signal frame of arm64: what a handler finds on its stack and rt_sigreturn(2) takes back.

use crate::task::CurrentTask;
use tuxlet_cpu::CpuState;
use tuxlet_uapi::{
    errno::{Errno, Result},
    signal::{
        Aarch64Ctx, ESR_MAGIC, EsrContext, FPSIMD_MAGIC, FpsimdContext, FrameRecord, RtSigframe,
        SA_ONSTACK, SA_RESTORER, SS_DISABLE, SS_ONSTACK, SigAction, SigInfo, SigSet, Signal,
        StackT,
    },
};
use zerocopy::{FromBytes, FromZeros, IntoBytes};

/// Whether a handler runs on the alternate stack that is not in use yet.
#[must_use]
pub fn uses_alt_stack(action: &SigAction, stack: &StackT) -> bool {
    action.sa_flags & SA_ONSTACK != 0 && stack.ss_flags & SS_DISABLE == 0 && stack.ss_size != 0
}

/// Whether a stack pointer is on the alternate stack: sigaltstack(2).
#[must_use]
pub fn on_alt_stack(sp: u64, stack: &StackT) -> bool {
    stack.ss_size != 0 && sp > stack.ss_sp && sp - stack.ss_sp <= stack.ss_size
}

/// Writes the frame of a handler and points the registers at the handler. On an error nothing has changed.
pub fn push(
    task: &mut CurrentTask,
    signal: Signal,
    info: &SigInfo,
    action: &SigAction,
    mask: SigSet,
    alt_stack: &StackT,
) -> Result<()> {
    let switch = uses_alt_stack(action, alt_stack) && !on_alt_stack(task.cpu.sp, alt_stack);
    let top = if switch {
        alt_stack.ss_sp.wrapping_add(alt_stack.ss_size)
    } else {
        task.cpu.sp
    };
    let record_at = (top & !15).wrapping_sub(size_of::<FrameRecord>() as u64);
    let frame_at = record_at.wrapping_sub(size_of::<RtSigframe>() as u64) & !15;
    // A frame that would run over the bottom of the alternate stack must not be written.
    if uses_alt_stack(action, alt_stack)
        && on_alt_stack(top, alt_stack)
        && frame_at < alt_stack.ss_sp
    {
        return Err(Errno::EFAULT);
    }

    let mut frame = RtSigframe::new_zeroed();
    frame.info = *info;
    frame.uc.uc_stack = StackT {
        ss_flags: alt_stack.ss_flags
            | if on_alt_stack(task.cpu.sp, alt_stack) {
                SS_ONSTACK
            } else {
                0
            },
        ..*alt_stack
    };
    frame.uc.uc_sigmask = mask.0;
    let context = &mut frame.uc.uc_mcontext;
    context.regs = task.cpu.x;
    context.sp = task.cpu.sp;
    context.pc = task.cpu.pc;
    context.pstate = task.cpu.pstate();
    let fault =
        (info.si_code > 0 && SigSet::SYNCHRONOUS.contains(signal)).then_some(task.fault_esr);
    context.fault_address = if fault.is_some() {
        task.fault_address
    } else {
        0
    };
    write_records(&mut context._reserved, &task.cpu, fault.unwrap_or(0));

    let record = FrameRecord {
        fp: task.cpu.x[29],
        lr: task.cpu.x[30],
    };
    let space = &task.mm.space;
    space.write::<FrameRecord>(record_at, &record)?;
    space.write::<RtSigframe>(frame_at, &frame)?;

    let info_at = frame_at;
    let context_at = frame_at + core::mem::offset_of!(RtSigframe, uc) as u64;
    let trampoline = if action.sa_flags & SA_RESTORER != 0 {
        action.sa_restorer
    } else {
        task.mm.layout.lock().sigreturn
    };
    let cpu = &mut task.cpu;
    cpu.x[0] = signal.number() as u64;
    cpu.x[1] = info_at;
    cpu.x[2] = context_at;
    cpu.x[29] = record_at;
    cpu.x[30] = trampoline;
    cpu.sp = frame_at;
    cpu.pc = action.sa_handler;
    task.fault_esr = 0;
    Ok(())
}

fn write_records(area: &mut [u8], cpu: &CpuState, esr: u64) {
    let mut at = 0;
    let mut put = |bytes: &[u8]| {
        area[at..at + bytes.len()].copy_from_slice(bytes);
        at += bytes.len();
    };
    let mut vregs = [[0; 2]; 32];
    for (to, from) in vregs.iter_mut().zip(cpu.v) {
        *to = [from as u64, (from >> 64) as u64];
    }
    let fpsimd = FpsimdContext {
        head: Aarch64Ctx {
            magic: FPSIMD_MAGIC,
            size: size_of::<FpsimdContext>() as u32,
        },
        fpsr: cpu.fpsr,
        fpcr: cpu.fpcr,
        vregs,
    };
    put(fpsimd.as_bytes());
    if esr != 0 {
        let head = Aarch64Ctx {
            magic: ESR_MAGIC,
            size: size_of::<EsrContext>() as u32,
        };
        put(EsrContext { head, esr }.as_bytes());
    }
    // The list ends with a record of zeros, which the area already holds.
}

/// rt_sigreturn(2): takes the registers and the mask back from the frame at the stack pointer. `EFAULT` for a
/// frame that is not one: the caller raises `SIGSEGV`.
pub fn pop(task: &mut CurrentTask) -> Result<()> {
    let frame_at = task.cpu.sp;
    if frame_at & 15 != 0 {
        return Err(Errno::EFAULT);
    }
    let frame = task.mm.space.read::<RtSigframe>(frame_at)?;
    let context = &frame.uc.uc_mcontext;
    let fpsimd = find_fpsimd(&context._reserved)?;

    let cpu = &mut task.cpu;
    cpu.x = context.regs;
    cpu.sp = context.sp;
    cpu.pc = context.pc;
    cpu.set_pstate(context.pstate);
    cpu.fpsr = fpsimd.fpsr;
    cpu.fpcr = fpsimd.fpcr;
    for (to, from) in cpu.v.iter_mut().zip(fpsimd.vregs) {
        *to = u128::from(from[0]) | u128::from(from[1]) << 64;
    }
    task.set_blocked(SigSet(frame.uc.uc_sigmask));
    // As Linux: a stack that sigaltstack(2) would refuse is left alone.
    let _ = task.set_alt_stack(&frame.uc.uc_stack);
    Ok(())
}

fn find_fpsimd(area: &[u8]) -> Result<FpsimdContext> {
    let mut rest = area;
    loop {
        let (head, _) = Aarch64Ctx::read_from_prefix(rest).map_err(|_| Errno::EFAULT)?;
        match head.magic {
            // Without the FP record the frame is not one of ours.
            0 => return Err(Errno::EFAULT),
            FPSIMD_MAGIC => {
                let (record, _) =
                    FpsimdContext::read_from_prefix(rest).map_err(|_| Errno::EFAULT)?;
                return Ok(record);
            }
            _ => {}
        }
        let size = head.size as usize;
        if size < size_of::<Aarch64Ctx>() || !size.is_multiple_of(16) || size > rest.len() {
            return Err(Errno::EFAULT);
        }
        rest = &rest[size..];
    }
}
