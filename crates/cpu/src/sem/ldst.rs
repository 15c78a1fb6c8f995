//! Loads and stores of one register or a pair (Arm ARM C4.1.96).

use tuxlet_a64 as a64;

use super::dpreg::extend;
use crate::cx::{Cx, Scalar, Step};

/// Loads `1 << size` bytes (size up to 3), zero-extended.
#[inline(always)]
pub(crate) fn load_x<C: Cx>(c: &mut C, addr: u64, size: u8) -> Step<u64> {
    Ok(match size {
        0 => c.load::<u8>(addr)?.into(),
        1 => c.load::<u16>(addr)?.into(),
        2 => c.load::<u32>(addr)?.into(),
        _ => c.load::<u64>(addr)?,
    })
}

/// Loads `1 << size` bytes (size up to 2), sign-extended to 64 bits, or to 32 when `to32`.
#[inline(always)]
pub(crate) fn load_signed<C: Cx>(c: &mut C, addr: u64, size: u8, to32: bool) -> Step<u64> {
    let v = load_x(c, addr, size)?;
    let v = match size {
        0 => v as i8 as u64,
        1 => v as i16 as u64,
        _ => v as i32 as u64,
    };
    Ok(if to32 { v & 0xffff_ffff } else { v })
}

/// Stores the low `1 << size` bytes (size up to 3).
#[inline(always)]
pub(crate) fn store_x<C: Cx>(c: &mut C, addr: u64, size: u8, v: u64) -> Step {
    match size {
        0 => c.store(addr, v as u8),
        1 => c.store(addr, v as u16),
        2 => c.store(addr, v as u32),
        _ => c.store(addr, v),
    }
}

/// Loads `1 << size` bytes (size up to 4) for a V register.
#[inline(always)]
pub(crate) fn load_v<C: Cx>(c: &mut C, addr: u64, size: u8) -> Step<u128> {
    if size < 4 {
        load_x(c, addr, size).map(u128::from)
    } else {
        c.load::<u128>(addr)
    }
}

/// Stores the low `1 << size` bytes (size up to 4) of a V register.
#[inline(always)]
pub(crate) fn store_v<C: Cx>(c: &mut C, addr: u64, size: u8, v: u128) -> Step {
    if size < 4 {
        store_x(c, addr, size, v as u64)
    } else {
        c.store(addr, v)
    }
}

/// The addressing modes of single registers and pairs.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Base plus offset.
    Offset,
    /// Base; then base plus offset is written back.
    Post,
    /// Base plus offset, which is written back.
    Pre,
}

/// The address and the base's new value.
#[inline(always)]
pub(crate) fn indexed<C: Cx>(c: &C, rn: u8, offset: i64, mode: Mode) -> (u64, u64) {
    let base = c.xsp(rn);
    let sum = base.wrapping_add(offset as u64);
    (if mode == Mode::Post { base } else { sum }, sum)
}

/// Writes the base back where the mode says so.
#[inline(always)]
pub(crate) fn write_back<C: Cx>(c: &mut C, rn: u8, base: u64, mode: Mode) {
    if mode != Mode::Offset {
        c.set_xsp(rn, base);
    }
}

/// `rt = [rn + offset]`.
#[inline(always)]
pub(crate) fn ldr<C: Cx>(c: &mut C, rt: u8, rn: u8, offset: i64, size: u8, mode: Mode) -> Step {
    let (addr, base) = indexed(c, rn, offset, mode);
    let v = load_x(c, addr, size)?;
    write_back(c, rn, base, mode);
    c.set_x(rt, v);
    Ok(())
}

/// `rt = [rn + offset]`, sign-extended.
#[inline(always)]
pub(crate) fn ldrs<C: Cx>(
    c: &mut C,
    rt: u8,
    rn: u8,
    offset: i64,
    (size, to32): (u8, bool),
    mode: Mode,
) -> Step {
    let (addr, base) = indexed(c, rn, offset, mode);
    let v = load_signed(c, addr, size, to32)?;
    write_back(c, rn, base, mode);
    c.set_x(rt, v);
    Ok(())
}

/// `[rn + offset] = rt`.
#[inline(always)]
pub(crate) fn str<C: Cx>(c: &mut C, rt: u8, rn: u8, offset: i64, size: u8, mode: Mode) -> Step {
    let (addr, base) = indexed(c, rn, offset, mode);
    let v = c.x(rt);
    store_x(c, addr, size, v)?;
    write_back(c, rn, base, mode);
    Ok(())
}

/// `vt = [rn + offset]`.
#[inline(always)]
pub(crate) fn ldr_vec<C: Cx>(c: &mut C, rt: u8, rn: u8, offset: i64, size: u8, mode: Mode) -> Step {
    let (addr, base) = indexed(c, rn, offset, mode);
    let v = load_v(c, addr, size)?;
    c.set_v(rt, v);
    write_back(c, rn, base, mode);
    Ok(())
}

/// `[rn + offset] = vt`.
#[inline(always)]
pub(crate) fn str_vec<C: Cx>(c: &mut C, rt: u8, rn: u8, offset: i64, size: u8, mode: Mode) -> Step {
    let (addr, base) = indexed(c, rn, offset, mode);
    let v = c.v(rt);
    store_v(c, addr, size, v)?;
    write_back(c, rn, base, mode);
    Ok(())
}

/// The offset of an unsigned 12-bit immediate.
#[inline(always)]
fn scaled(imm12: u16, size: u8) -> i64 {
    i64::from(imm12) << size
}

macro_rules! single {
    ($($(#[$doc:meta])* $name:ident $row:ident |$i:ident| $body:ident $offset:expr, $size:expr, $mode:ident;)*) => {$(
        $(#[$doc])*
        #[inline(always)]
        pub(crate) fn $name<C: Cx>(c: &mut C, $i: a64::$row) -> Step {
            $body(c, $i.rt, $i.rn, $offset, $size, Mode::$mode)
        }
    )*};
}
single! {
    /// STRB, STRH, STR (unsigned offset).
    str_imm StrImm |i| str scaled(i.imm12, i.size), i.size, Offset;
    /// LDRB, LDRH, LDR (unsigned offset).
    ldr_imm LdrImm |i| ldr scaled(i.imm12, i.size), i.size, Offset;
    /// LDRSB, LDRSH, LDRSW (unsigned offset).
    ldrs_imm LdrsImm |i| ldrs scaled(i.imm12, i.size), (i.size, i.to32), Offset;
    /// STR of a SIMD&FP register (unsigned offset).
    str_vec_imm StrVecImm |i| str_vec scaled(i.imm12, i.size), i.size, Offset;
    /// LDR of a SIMD&FP register (unsigned offset).
    ldr_vec_imm LdrVecImm |i| ldr_vec scaled(i.imm12, i.size), i.size, Offset;
    /// STURB, STURH, STUR.
    stur Stur |i| str i.imm9.into(), i.size, Offset;
    /// LDURB, LDURH, LDUR.
    ldur Ldur |i| ldr i.imm9.into(), i.size, Offset;
    /// LDURSB, LDURSH, LDURSW.
    ldurs Ldurs |i| ldrs i.imm9.into(), (i.size, i.to32), Offset;
    /// STUR of a SIMD&FP register.
    stur_vec SturVec |i| str_vec i.imm9.into(), i.size, Offset;
    /// LDUR of a SIMD&FP register.
    ldur_vec LdurVec |i| ldr_vec i.imm9.into(), i.size, Offset;
    /// STRB, STRH, STR (post-index).
    str_post StrPost |i| str i.imm9.into(), i.size, Post;
    /// LDRB, LDRH, LDR (post-index).
    ldr_post LdrPost |i| ldr i.imm9.into(), i.size, Post;
    /// LDRSB, LDRSH, LDRSW (post-index).
    ldrs_post LdrsPost |i| ldrs i.imm9.into(), (i.size, i.to32), Post;
    /// STR of a SIMD&FP register (post-index).
    str_vec_post StrVecPost |i| str_vec i.imm9.into(), i.size, Post;
    /// LDR of a SIMD&FP register (post-index).
    ldr_vec_post LdrVecPost |i| ldr_vec i.imm9.into(), i.size, Post;
    /// STRB, STRH, STR (pre-index).
    str_pre StrPre |i| str i.imm9.into(), i.size, Pre;
    /// LDRB, LDRH, LDR (pre-index).
    ldr_pre LdrPre |i| ldr i.imm9.into(), i.size, Pre;
    /// LDRSB, LDRSH, LDRSW (pre-index).
    ldrs_pre LdrsPre |i| ldrs i.imm9.into(), (i.size, i.to32), Pre;
    /// STR of a SIMD&FP register (pre-index).
    str_vec_pre StrVecPre |i| str_vec i.imm9.into(), i.size, Pre;
    /// LDR of a SIMD&FP register (pre-index).
    ldr_vec_pre LdrVecPre |i| ldr_vec i.imm9.into(), i.size, Pre;
    /// STTRB, STTRH, STTR: ordinary stores at EL0.
    sttr Sttr |i| str i.imm9.into(), i.size, Offset;
    /// LDTRB, LDTRH, LDTR: ordinary loads at EL0.
    ldtr Ldtr |i| ldr i.imm9.into(), i.size, Offset;
    /// LDTRSB, LDTRSH, LDTRSW.
    ldtrs Ldtrs |i| ldrs i.imm9.into(), (i.size, i.to32), Offset;
}

/// The address of a register-offset access.
#[inline(always)]
fn register_offset<C: Cx>(c: &C, rn: u8, rm: u8, option: u8, scaled: bool, size: u8) -> u64 {
    c.xsp(rn)
        .wrapping_add(extend(c.x(rm), option, if scaled { size } else { 0 }))
}

/// STRB, STRH, STR (register).
#[inline(always)]
pub(crate) fn str_reg<C: Cx>(c: &mut C, i: a64::StrReg) -> Step {
    let addr = register_offset(c, i.rn, i.rm, i.option, i.scaled, i.size);
    let v = c.x(i.rt);
    store_x(c, addr, i.size, v)
}

/// LDRB, LDRH, LDR (register).
#[inline(always)]
pub(crate) fn ldr_reg<C: Cx>(c: &mut C, i: a64::LdrReg) -> Step {
    let addr = register_offset(c, i.rn, i.rm, i.option, i.scaled, i.size);
    let v = load_x(c, addr, i.size)?;
    c.set_x(i.rt, v);
    Ok(())
}

/// LDRSB, LDRSH, LDRSW (register).
#[inline(always)]
pub(crate) fn ldrs_reg<C: Cx>(c: &mut C, i: a64::LdrsReg) -> Step {
    let addr = register_offset(c, i.rn, i.rm, i.option, i.scaled, i.size);
    let v = load_signed(c, addr, i.size, i.to32)?;
    c.set_x(i.rt, v);
    Ok(())
}

/// STR of a SIMD&FP register (register).
#[inline(always)]
pub(crate) fn str_vec_reg<C: Cx>(c: &mut C, i: a64::StrVecReg) -> Step {
    let addr = register_offset(c, i.rn, i.rm, i.option, i.scaled, i.size);
    let v = c.v(i.rt);
    store_v(c, addr, i.size, v)
}

/// LDR of a SIMD&FP register (register).
#[inline(always)]
pub(crate) fn ldr_vec_reg<C: Cx>(c: &mut C, i: a64::LdrVecReg) -> Step {
    let addr = register_offset(c, i.rn, i.rm, i.option, i.scaled, i.size);
    let v = load_v(c, addr, i.size)?;
    c.set_v(i.rt, v);
    Ok(())
}

/// The address of a literal.
#[inline(always)]
fn literal<C: Cx>(c: &C, imm: i32) -> u64 {
    c.pc().wrapping_add(i64::from(imm) as u64)
}

/// LDR (literal).
#[inline(always)]
pub(crate) fn ldr_lit<C: Cx>(c: &mut C, i: a64::LdrLit) -> Step {
    let addr = literal(c, i.imm);
    let v = load_x(c, addr, if i.sf { 3 } else { 2 })?;
    c.set_x(i.rt, v);
    Ok(())
}

/// LDRSW (literal).
#[inline(always)]
pub(crate) fn ldrsw_lit<C: Cx>(c: &mut C, i: a64::LdrswLit) -> Step {
    let addr = literal(c, i.imm);
    let v = load_signed(c, addr, 2, false)?;
    c.set_x(i.rt, v);
    Ok(())
}

/// LDR of a SIMD&FP register (literal).
#[inline(always)]
pub(crate) fn ldr_vec_lit<C: Cx>(c: &mut C, i: a64::LdrVecLit) -> Step {
    let addr = literal(c, i.imm);
    let v = load_v(c, addr, i.opc + 2)?;
    c.set_v(i.rt, v);
    Ok(())
}

/// Stores two registers of 64 or 32 bits.
#[inline(always)]
pub(crate) fn stp_pair<C: Cx>(
    c: &mut C,
    sf: bool,
    (rt, rt2): (u8, u8),
    rn: u8,
    offset: i64,
    mode: Mode,
) -> Step {
    let (addr, base) = indexed(c, rn, offset, mode);
    if sf {
        c.store_pair_from::<u64>(addr, |c| c.x(rt), |c| c.x(rt2))?;
    } else {
        c.store_pair_from::<u32>(addr, |c| c.w(rt), |c| c.w(rt2))?;
    }
    write_back(c, rn, base, mode);
    Ok(())
}

/// Loads two registers of 64 or 32 bits.
#[inline(always)]
pub(crate) fn ldp_pair<C: Cx>(
    c: &mut C,
    sf: bool,
    (rt, rt2): (u8, u8),
    rn: u8,
    offset: i64,
    mode: Mode,
) -> Step {
    let (addr, base) = indexed(c, rn, offset, mode);
    let before = |c: &mut C| write_back(c, rn, base, mode);
    if sf {
        c.load_pair_to::<u64>(addr, before, |c, a| c.set_x(rt, a), |c, b| c.set_x(rt2, b))
    } else {
        c.load_pair_to::<u32>(addr, before, |c, a| c.set_w(rt, a), |c, b| c.set_w(rt2, b))
    }
}

/// Loads two sign-extended words.
#[inline(always)]
fn ldpsw_pair<C: Cx>(
    c: &mut C,
    _sf: bool,
    (rt, rt2): (u8, u8),
    rn: u8,
    offset: i64,
    mode: Mode,
) -> Step {
    let (addr, base) = indexed(c, rn, offset, mode);
    let (a, b) = c.load_pair::<u32>(addr)?;
    write_back(c, rn, base, mode);
    c.set_x(rt, a as i32 as u64);
    c.set_x(rt2, b as i32 as u64);
    Ok(())
}

macro_rules! pair {
    ($($(#[$doc:meta])* $name:ident $row:ident |$i:ident| $body:ident $sf:expr, $mode:ident;)*) => {$(
        $(#[$doc])*
        #[inline(always)]
        pub(crate) fn $name<C: Cx>(c: &mut C, $i: a64::$row) -> Step {
            let offset = i64::from($i.imm7) << if $sf { 3 } else { 2 };
            $body(c, $sf, ($i.rt, $i.rt2), $i.rn, offset, Mode::$mode)
        }
    )*};
}
pair! {
    /// STNP.
    stnp Stnp |i| stp_pair i.sf, Offset;
    /// LDNP.
    ldnp Ldnp |i| ldp_pair i.sf, Offset;
    /// STP (signed offset).
    stp_imm StpImm |i| stp_pair i.sf, Offset;
    /// LDP (signed offset).
    ldp_imm LdpImm |i| ldp_pair i.sf, Offset;
    /// LDPSW (signed offset).
    ldpsw_imm LdpswImm |i| ldpsw_pair false, Offset;
    /// STP (post-index).
    stp_post StpPost |i| stp_pair i.sf, Post;
    /// LDP (post-index).
    ldp_post LdpPost |i| ldp_pair i.sf, Post;
    /// LDPSW (post-index).
    ldpsw_post LdpswPost |i| ldpsw_pair false, Post;
    /// STP (pre-index).
    stp_pre StpPre |i| stp_pair i.sf, Pre;
    /// LDP (pre-index).
    ldp_pre LdpPre |i| ldp_pair i.sf, Pre;
    /// LDPSW (pre-index).
    ldpsw_pre LdpswPre |i| ldpsw_pair false, Pre;
}

/// Stores two SIMD&FP registers of `4 << opc` bytes.
#[inline(always)]
pub(crate) fn stp_vec<C: Cx>(
    c: &mut C,
    opc: u8,
    (rt, rt2): (u8, u8),
    rn: u8,
    offset: i64,
    mode: Mode,
) -> Step {
    #[inline(always)]
    fn store<T: Scalar, C: Cx>(c: &mut C, addr: u64, rt: u8, rt2: u8) -> Step {
        c.store_pair_from::<T>(addr, |c| T::from_u128(c.v(rt)), |c| T::from_u128(c.v(rt2)))
    }
    let (addr, base) = indexed(c, rn, offset, mode);
    match opc {
        0 => store::<u32, C>(c, addr, rt, rt2)?,
        1 => store::<u64, C>(c, addr, rt, rt2)?,
        _ => store::<u128, C>(c, addr, rt, rt2)?,
    }
    write_back(c, rn, base, mode);
    Ok(())
}

/// Loads two SIMD&FP registers of `4 << opc` bytes.
#[inline(always)]
pub(crate) fn ldp_vec<C: Cx>(
    c: &mut C,
    opc: u8,
    (rt, rt2): (u8, u8),
    rn: u8,
    offset: i64,
    mode: Mode,
) -> Step {
    #[inline(always)]
    fn load<T: Scalar, C: Cx>(
        c: &mut C,
        addr: u64,
        before: impl FnOnce(&mut C),
        (rt, rt2): (u8, u8),
    ) -> Step {
        c.load_pair_to::<T>(
            addr,
            before,
            |c, a| c.set_v(rt, a.to_u128()),
            |c, b| c.set_v(rt2, b.to_u128()),
        )
    }
    let (addr, base) = indexed(c, rn, offset, mode);
    let before = |c: &mut C| write_back(c, rn, base, mode);
    match opc {
        0 => load::<u32, C>(c, addr, before, (rt, rt2)),
        1 => load::<u64, C>(c, addr, before, (rt, rt2)),
        _ => load::<u128, C>(c, addr, before, (rt, rt2)),
    }
}

macro_rules! pair_vec {
    ($($(#[$doc:meta])* $name:ident $row:ident $body:ident $mode:ident;)*) => {$(
        $(#[$doc])*
        #[inline(always)]
        pub(crate) fn $name<C: Cx>(c: &mut C, i: a64::$row) -> Step {
            let offset = i64::from(i.imm7) << (i.opc + 2);
            $body(c, i.opc, (i.rt, i.rt2), i.rn, offset, Mode::$mode)
        }
    )*};
}
pair_vec! {
    /// STNP (SIMD&FP).
    stnp_vec StnpVec stp_vec Offset;
    /// LDNP (SIMD&FP).
    ldnp_vec LdnpVec ldp_vec Offset;
    /// STP (SIMD&FP, signed offset).
    stp_vec_imm StpVecImm stp_vec Offset;
    /// LDP (SIMD&FP, signed offset).
    ldp_vec_imm LdpVecImm ldp_vec Offset;
    /// STP (SIMD&FP, post-index).
    stp_vec_post StpVecPost stp_vec Post;
    /// LDP (SIMD&FP, post-index).
    ldp_vec_post LdpVecPost ldp_vec Post;
    /// STP (SIMD&FP, pre-index).
    stp_vec_pre StpVecPre stp_vec Pre;
    /// LDP (SIMD&FP, pre-index).
    ldp_vec_pre LdpVecPre ldp_vec Pre;
}

macro_rules! prefetch {
    ($($(#[$doc:meta])* $name:ident $row:ident;)*) => {$(
        $(#[$doc])*
        #[inline(always)]
        pub(crate) fn $name<C: Cx>(_c: &mut C, _i: a64::$row) -> Step {
            Ok(())
        }
    )*};
}
prefetch! {
    /// PRFM (literal): a hint.
    prfm_lit PrfmLit;
    /// PRFM (immediate): a hint.
    prfm_imm PrfmImm;
    /// PRFUM: a hint.
    prfum Prfum;
    /// PRFM (register): a hint.
    prfm_reg PrfmReg;
}
