//! Hints, barriers, PSTATE, system registers and operations (Arm ARM C4.1.94).

use tuxlet_a64 as a64;

use crate::cx::{Cx, Monitor, Step};
use crate::{CpuState, hostfp, idregs, random};

macro_rules! nothing {
    ($($(#[$doc:meta])* $name:ident $row:ident;)*) => {$(
        $(#[$doc])*
        #[inline(always)]
        pub(crate) fn $name<C: Cx>(_c: &mut C, _i: a64::$row) -> Step {
            Ok(())
        }
    )*};
}
nothing! {
    /// NOP.
    nop Nop;
    /// WFI: wakes at once.
    wfi Wfi;
    /// SEV: nobody sleeps in WFE.
    sev Sev;
    /// SEVL: nobody sleeps in WFE.
    sevl Sevl;
    /// CSDB: no speculation to bound.
    csdb Csdb;
    /// BTI: no guarded pages.
    bti Bti;
    /// Hints without effect here, among them the hint-space PAC instructions.
    hint Hint;
    /// WFIT: wakes at once.
    wfit Wfit;
}

/// YIELD.
#[inline(always)]
pub(crate) fn yield_hint<C: Cx>(_c: &mut C, _i: a64::YieldHint) -> Step {
    core::hint::spin_loop();
    Ok(())
}

/// WFE: gives the host processor away once; a spurious wake-up is always allowed.
#[inline(always)]
pub(crate) fn wfe<C: Cx>(_c: &mut C, _i: a64::Wfe) -> Step {
    std::thread::yield_now();
    Ok(())
}

/// WFET.
#[inline(always)]
pub(crate) fn wfet<C: Cx>(_c: &mut C, _i: a64::Wfet) -> Step {
    std::thread::yield_now();
    Ok(())
}

/// CLREX.
#[inline(always)]
pub(crate) fn clrex<C: Cx>(c: &mut C, _i: a64::Clrex) -> Step {
    c.set_monitor(Monitor::OPEN);
    Ok(())
}

macro_rules! barrier {
    ($($(#[$doc:meta])* $name:ident $row:ident;)*) => {$(
        $(#[$doc])*
        #[inline(always)]
        pub(crate) fn $name<C: Cx>(_c: &mut C, _i: a64::$row) -> Step {
            core::sync::atomic::fence(core::sync::atomic::Ordering::SeqCst);
            Ok(())
        }
    )*};
}
barrier! {
    /// DSB.
    dsb Dsb;
    /// DSB nXS.
    dsb_nxs DsbNxs;
    /// SB.
    sb Sb;
}

/// DMB. Barriers of loads only order what an acquire fence orders, those of stores what a release
/// fence orders.
#[inline(always)]
pub(crate) fn dmb<C: Cx>(_c: &mut C, i: a64::Dmb) -> Step {
    use core::sync::atomic::{Ordering, fence};
    match i.crm & 3 {
        1 => fence(Ordering::Acquire),
        2 => fence(Ordering::Release),
        _ => fence(Ordering::SeqCst),
    }
    Ok(())
}

/// ISB: code that was changed is seen from here.
#[inline(always)]
pub(crate) fn isb<C: Cx>(c: &mut C, _i: a64::Isb) -> Step {
    c.synchronize_context()
}

/// CFINV.
#[inline(always)]
pub(crate) fn cfinv<C: Cx>(c: &mut C, _i: a64::Cfinv) -> Step {
    let flags = c.nzcv();
    c.set_nzcv(flags ^ 1 << 29);
    Ok(())
}

/// XAFLAG.
#[inline(always)]
pub(crate) fn xaflag<C: Cx>(c: &mut C, _i: a64::Xaflag) -> Step {
    let f = c.nzcv();
    let (z, cy) = (f >> 30 & 1, f >> 29 & 1);
    let n = !cy & !z & 1;
    let v = !cy & z & 1;
    c.set_nzcv(n << 31 | (z & cy) << 30 | (cy | z) << 29 | v << 28);
    Ok(())
}

/// AXFLAG.
#[inline(always)]
pub(crate) fn axflag<C: Cx>(c: &mut C, _i: a64::Axflag) -> Step {
    let f = c.nzcv();
    let (z, cy, v) = (f >> 30 & 1, f >> 29 & 1, f >> 28 & 1);
    c.set_nzcv((z | v) << 30 | (cy & !v & 1) << 29);
    Ok(())
}

/// MSR DIT, #imm.
#[inline(always)]
pub(crate) fn msr_dit<C: Cx>(c: &mut C, i: a64::MsrDit) -> Step {
    c.set_dit(i.crm & 1 != 0);
    Ok(())
}

/// MSR DIT, Xt.
#[inline(always)]
pub(crate) fn msr_reg_dit<C: Cx>(c: &mut C, i: a64::MsrRegDit) -> Step {
    let v = c.x(i.rt);
    c.set_dit(v & CpuState::DIT != 0);
    Ok(())
}

/// MRS Xt, DIT.
#[inline(always)]
pub(crate) fn mrs_dit<C: Cx>(c: &mut C, i: a64::MrsDit) -> Step {
    let v = if c.dit() { CpuState::DIT } else { 0 };
    c.set_x(i.rt, v);
    Ok(())
}

/// MRS Xt, CNTVCTSS_EL0: the counter, read in program order.
#[inline(always)]
pub(crate) fn mrs_cntvctss<C: Cx>(c: &mut C, i: a64::MrsCntvctss) -> Step {
    core::sync::atomic::fence(core::sync::atomic::Ordering::SeqCst);
    c.set_x(i.rt, idregs::counter());
    Ok(())
}

/// MRS Xt, RNDR and RNDRRS: NZCV is 0b0100 when there is no random number.
pub(crate) fn mrs_rndr<C: Cx>(c: &mut C, i: a64::MrsRndr) -> Step {
    let number = if i.reseeded {
        random::fresh()
    } else {
        random::number()
    };
    c.set_nzcv(if number.is_some() { 0 } else { 1 << 30 });
    c.set_x(i.rt, number.unwrap_or(0));
    Ok(())
}

/// MSR (immediate): the PSTATE fields that EL0 may write belong to features not offered.
#[inline(always)]
pub(crate) fn msr_imm<C: Cx>(c: &mut C, _i: a64::MsrImm) -> Step {
    Err(c.undefined())
}

/// op0, op1, CRn, CRm, op2 as one number, in the instruction's layout.
const fn reg(op0: u32, op1: u32, crn: u32, crm: u32, op2: u32) -> u32 {
    op0 << 14 | op1 << 11 | crn << 7 | crm << 3 | op2
}

const NZCV: u32 = reg(3, 3, 4, 2, 0);
const FPCR: u32 = reg(3, 3, 4, 4, 0);
const FPSR: u32 = reg(3, 3, 4, 4, 1);
const TPIDR_EL0: u32 = reg(3, 3, 13, 0, 2);
const TPIDRRO_EL0: u32 = reg(3, 3, 13, 0, 3);
const CTR_EL0: u32 = reg(3, 3, 0, 0, 1);
const DCZID_EL0: u32 = reg(3, 3, 0, 0, 7);
const CNTFRQ_EL0: u32 = reg(3, 3, 14, 0, 0);
const CNTVCT_EL0: u32 = reg(3, 3, 14, 0, 2);

/// Bits of FPCR that exist: AHP, DN, FZ, RMode, FZ16. No trap enables.
const FPCR_BITS: u32 = 0x07c8_0000;
/// Bits of FPSR that exist: QC and the cumulative exceptions.
const FPSR_BITS: u32 = 0x0800_009f;

/// MSR (register).
#[inline(always)]
pub(crate) fn msr_reg<C: Cx>(c: &mut C, i: a64::MsrReg) -> Step {
    let v = c.x(i.rt);
    let op0 = 2 + u32::from(i.o0);
    match reg(op0, i.op1.into(), i.crn.into(), i.crm.into(), i.op2.into()) {
        TPIDR_EL0 => c.set_tpidr(v),
        NZCV => c.set_nzcv(v as u32 & 0xf000_0000),
        FPCR => c.set_fpcr(v as u32 & FPCR_BITS),
        FPSR => {
            hostfp::clear();
            c.set_fpsr(v as u32 & FPSR_BITS);
        }
        _ => return Err(c.undefined()),
    }
    Ok(())
}

/// MRS. EL1 identification registers read as Linux emulates them for EL0.
#[inline(always)]
pub(crate) fn mrs<C: Cx>(c: &mut C, i: a64::Mrs) -> Step {
    let op0 = 2 + u32::from(i.o0);
    let v = match reg(op0, i.op1.into(), i.crn.into(), i.crm.into(), i.op2.into()) {
        TPIDR_EL0 => c.tpidr(),
        TPIDRRO_EL0 => 0,
        NZCV => c.nzcv().into(),
        FPCR => c.fpcr().into(),
        FPSR => (c.fpsr() | hostfp::raised()).into(),
        CTR_EL0 => idregs::CTR_EL0,
        DCZID_EL0 => idregs::DCZID_EL0,
        CNTFRQ_EL0 => idregs::COUNTER_HZ,
        CNTVCT_EL0 => idregs::counter(),
        _ if op0 == 3 && i.op1 == 0 && i.crn == 0 => match idregs::read(i.crm, i.op2) {
            Some(v) => v,
            None => return Err(c.undefined()),
        },
        _ => return Err(c.undefined()),
    };
    c.set_x(i.rt, v);
    Ok(())
}

/// DC ZVA.
#[inline(always)]
pub(crate) fn dc_zva<C: Cx>(c: &mut C, i: a64::DcZva) -> Step {
    let argument = c.x(i.rt);
    // A fault is at the address of the argument (Arm ARM, FAR_ELx); the block is within its page.
    c.probe_write(argument, 1)?;
    let addr = argument & !(idregs::ZVA_BYTES - 1);
    for at in (0..idregs::ZVA_BYTES).step_by(16) {
        c.store(addr.wrapping_add(at), 0u128)?;
    }
    Ok(())
}

/// DC CVAC, CVAU, CIVAC: caches are coherent, but the address must be readable.
#[inline(always)]
pub(crate) fn dc_cva<C: Cx>(c: &mut C, i: a64::DcCva) -> Step {
    c.probe_read(c.x(i.rt), 1)
}

/// DC CVAP: as [`dc_cva`].
#[inline(always)]
pub(crate) fn dc_cvap<C: Cx>(c: &mut C, i: a64::DcCvap) -> Step {
    c.probe_read(c.x(i.rt), 1)
}

/// DC CVADP: as [`dc_cva`].
#[inline(always)]
pub(crate) fn dc_cvadp<C: Cx>(c: &mut C, i: a64::DcCvadp) -> Step {
    c.probe_read(c.x(i.rt), 1)
}

/// IC IVAU: translations of the line are dropped.
#[inline(always)]
pub(crate) fn ic_ivau<C: Cx>(c: &mut C, i: a64::IcIvau) -> Step {
    let addr = c.x(i.rt) & !(idregs::LINE_BYTES - 1);
    c.invalidate_code(addr, idregs::LINE_BYTES)
}

/// SYS: the operations without a row of their own are not for EL0.
#[inline(always)]
pub(crate) fn sys<C: Cx>(c: &mut C, _i: a64::Sys) -> Step {
    Err(c.undefined())
}

/// SYSL: not for EL0.
#[inline(always)]
pub(crate) fn sysl<C: Cx>(c: &mut C, _i: a64::Sysl) -> Step {
    Err(c.undefined())
}
