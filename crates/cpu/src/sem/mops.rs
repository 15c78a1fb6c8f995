//! Memory copy and memory set (FEAT_MOPS, Arm ARM C6.2, "CPYP" and "SETP" and following).
//!
//! Both algorithms are the architecture's option A: the prologue turns the size negative and
//! moves the addresses to the end (a backward copy keeps the start and a positive size), the
//! registers alone tell what is left, and PSTATE.C is 0. The prologue transfers nothing, the
//! main part all but a limit per round, the epilogue what is left. A fault leaves registers that
//! tell exactly what has been done, and the instruction can be executed again.

use tuxlet_a64 as a64;
use tuxlet_mem::{PAGE_MASK, PAGE_SIZE};

use crate::cx::{Cx, Step};

/// Bytes after which an instruction lets others have a look at the thread; it is executed again
/// for the rest, as after an interrupt.
const ROUND: u64 = 64 << 10;

/// The largest size of a copy that may go either way.
const COPY_LIMIT: u64 = (1 << 55) - 1;
/// The largest size of a set and of a forward-only copy.
const LIMIT: u64 = i64::MAX as u64;

/// PSTATE.N and PSTATE.C.
const N: u32 = 1 << 31;
const C: u32 = 1 << 29;

/// Where an instruction stands in its sequence of three.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    Main,
    Epilogue,
}

/// The registers of a copy.
#[derive(Clone, Copy)]
struct Copy {
    rd: u8,
    rs: u8,
    rn: u8,
}

/// Bytes up to the end of the page of `addr`.
fn to_page_end(addr: u64) -> u64 {
    PAGE_SIZE - (addr & PAGE_MASK)
}

/// Bytes from the start of the page up to `end`, which is exclusive.
fn to_page_start(end: u64) -> u64 {
    (end.wrapping_sub(1) & PAGE_MASK) + 1
}

/// An address without its tag.
fn address(x: u64) -> u64 {
    x & ((1 << 56) - 1)
}

/// Sets the registers up as option A's main part takes them.
fn copy_prologue<C: Cx>(c: &mut C, r: Copy, forward_only: bool) -> Step {
    let (to, from) = (c.x(r.rd), c.x(r.rs));
    let limit = if forward_only { LIMIT } else { COPY_LIMIT };
    let size = c.x(r.rn).min(limit);
    let (d, s) = (address(to), address(from));
    // Only a destination inside the source asks for the backward direction.
    let backward = !forward_only && s < d && d - s < size;
    c.set_nzcv(0);
    if backward {
        c.set_x(r.rn, size);
    } else {
        c.set_x(r.rd, to.wrapping_add(size));
        c.set_x(r.rs, from.wrapping_add(size));
        c.set_x(r.rn, size.wrapping_neg());
    }
    Ok(())
}

/// Takes the registers of the other option back to what its prologue takes, and goes there: what
/// Linux does about the exception that this implementation would raise.
fn restart<C: Cx>(c: &mut C, stage: Stage) {
    let back = if stage == Stage::Main { 4 } else { 8 };
    let pc = c.pc().wrapping_sub(back);
    c.jump(pc);
}

fn copy_main<C: Cx>(c: &mut C, r: Copy, stage: Stage) -> Step {
    if c.nzcv() & C != 0 {
        if c.nzcv() & N != 0 {
            // A backward copy of option B has its addresses at the end of what is left.
            let left = c.x(r.rn);
            c.set_x(r.rd, c.x(r.rd).wrapping_sub(left));
            c.set_x(r.rs, c.x(r.rs).wrapping_sub(left));
        }
        restart(c, stage);
        return Ok(());
    }
    let mut round = ROUND;
    loop {
        let left = c.x(r.rn) as i64;
        if left == 0 {
            return Ok(());
        }
        if round == 0 {
            let pc = c.pc();
            c.jump(pc);
            return Ok(());
        }
        let (to, from) = (
            c.x(r.rd).wrapping_add(left as u64),
            c.x(r.rs).wrapping_add(left as u64),
        );
        let n = if left < 0 {
            let n = left
                .unsigned_abs()
                .min(round)
                .min(to_page_end(to))
                .min(to_page_end(from));
            c.copy_bytes(to, from, n, false)?;
            c.set_x(r.rn, (left as u64).wrapping_add(n));
            n
        } else {
            let n = (left as u64)
                .min(round)
                .min(to_page_start(to))
                .min(to_page_start(from));
            c.copy_bytes(to.wrapping_sub(n), from.wrapping_sub(n), n, true)?;
            c.set_x(r.rn, left as u64 - n);
            n
        };
        round -= n;
    }
}

fn set_prologue<C: Cx>(c: &mut C, rd: u8, rn: u8) -> Step {
    let size = c.x(rn).min(LIMIT);
    c.set_nzcv(0);
    c.set_x(rd, c.x(rd).wrapping_add(size));
    c.set_x(rn, size.wrapping_neg());
    Ok(())
}

fn set_main<C: Cx>(c: &mut C, (rd, rn, rs): (u8, u8, u8), stage: Stage) -> Step {
    if c.nzcv() & C != 0 {
        restart(c, stage);
        return Ok(());
    }
    let byte = c.x(rs) as u8;
    let mut round = ROUND;
    loop {
        let left = c.x(rn) as i64;
        if left >= 0 {
            return Ok(());
        }
        if round == 0 {
            let pc = c.pc();
            c.jump(pc);
            return Ok(());
        }
        let to = c.x(rd).wrapping_add(left as u64);
        let n = left.unsigned_abs().min(round).min(to_page_end(to));
        c.fill_bytes(to, n, byte)?;
        c.set_x(rn, (left as u64).wrapping_add(n));
        round -= n;
    }
}

macro_rules! copies {
    ($($(#[$doc:meta])* $name:ident $row:ident |$c:ident, $r:ident| $e:expr;)*) => {$(
        $(#[$doc])*
        pub(crate) fn $name<C: Cx>($c: &mut C, i: a64::$row) -> Step {
            let $r = Copy { rd: i.rd, rs: i.rs, rn: i.rn };
            $e
        }
    )*};
}
// The options ask for unprivileged and non-temporal accesses: neither matters at EL0.
copies! {
    /// CPYFP and its options.
    cpyfp Cpyfp |c, r| copy_prologue(c, r, true);
    /// CPYFM and its options.
    cpyfm Cpyfm |c, r| copy_main(c, r, Stage::Main);
    /// CPYFE and its options.
    cpyfe Cpyfe |c, r| copy_main(c, r, Stage::Epilogue);
    /// CPYP and its options.
    cpyp Cpyp |c, r| copy_prologue(c, r, false);
    /// CPYM and its options.
    cpym Cpym |c, r| copy_main(c, r, Stage::Main);
    /// CPYE and its options.
    cpye Cpye |c, r| copy_main(c, r, Stage::Epilogue);
}

/// SETP and its options.
pub(crate) fn setp<C: Cx>(c: &mut C, i: a64::Setp) -> Step {
    set_prologue(c, i.rd, i.rn)
}

/// SETM and its options.
pub(crate) fn setm<C: Cx>(c: &mut C, i: a64::Setm) -> Step {
    set_main(c, (i.rd, i.rn, i.rs), Stage::Main)
}

/// SETE and its options.
pub(crate) fn sete<C: Cx>(c: &mut C, i: a64::Sete) -> Step {
    set_main(c, (i.rd, i.rn, i.rs), Stage::Epilogue)
}
