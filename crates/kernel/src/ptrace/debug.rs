//! Debug registers: `NT_ARM_HW_BREAK`, `NT_ARM_HW_WATCH`; Arm ARM D2.8, D2.10. A thread that uses them runs instruction
//! by instruction.

use tuxlet_cpu::Watch;
use tuxlet_uapi::{
    elf::NT_ARM_HW_WATCH,
    errno::{Errno, Result},
    ptrace::{HwdebugReg, UserHwdebugState},
};

/// Architecture version of the debug registers, Armv8.
const VERSION: u32 = 6;
/// How many breakpoints and how many watchpoints there are.
const BREAKPOINTS: usize = 6;
/// See [`BREAKPOINTS`].
const WATCHPOINTS: usize = 4;

/// `E` of a control register.
const ENABLED: u32 = 1;
/// `LSC`: loads.
const LOAD: u32 = 1 << 3;
/// `LSC`: stores.
const STORE: u32 = 2 << 3;
/// Byte address select.
const BAS_SHIFT: u32 = 5;

/// The debug registers of a thread.
#[derive(Clone, Debug, Default)]
pub(crate) struct DebugRegisters {
    breaks: [HwdebugReg; BREAKPOINTS],
    watches: [HwdebugReg; WATCHPOINTS],
}

fn enabled(reg: &&HwdebugReg) -> bool {
    reg.ctrl & ENABLED != 0
}

impl DebugRegisters {
    /// Whether any is in use.
    pub(crate) fn in_use(&self) -> bool {
        self.breaks.iter().chain(&self.watches).any(|r| enabled(&r))
    }

    /// Whether there is a breakpoint on an instruction.
    pub(crate) fn breaks_at(&self, pc: u64) -> bool {
        self.breaks.iter().filter(enabled).any(|r| r.addr == pc)
    }

    /// The watched ranges.
    pub(crate) fn watches(&self) -> Vec<Watch> {
        let range = |reg: &HwdebugReg| {
            let bytes = reg.ctrl >> BAS_SHIFT & 0xff;
            let start = reg.addr + u64::from(bytes.trailing_zeros());
            Watch {
                start,
                end: start + u64::from(bytes.count_ones()),
                load: reg.ctrl & LOAD != 0,
                store: reg.ctrl & STORE != 0,
            }
        };
        self.watches.iter().filter(enabled).map(range).collect()
    }

    /// The registers of a set as a debugger reads them.
    pub(super) fn get(&self, kind: u32) -> UserHwdebugState {
        let regs = if kind == NT_ARM_HW_WATCH {
            &self.watches[..]
        } else {
            &self.breaks[..]
        };
        let mut state = UserHwdebugState {
            dbg_info: VERSION << 8 | regs.len() as u32,
            ..UserHwdebugState::default()
        };
        state.dbg_regs[..regs.len()].copy_from_slice(regs);
        state
    }

    /// Sets the registers of a set. `EINVAL` for what makes no sense, `ENOSPC` for more than there are.
    pub(super) fn set(&mut self, kind: u32, new: &UserHwdebugState) -> Result<()> {
        let watch = kind == NT_ARM_HW_WATCH;
        let own = if watch {
            &mut self.watches[..]
        } else {
            &mut self.breaks[..]
        };
        let (known, more) = new.dbg_regs.split_at(own.len());
        if more.iter().any(|r| enabled(&r)) {
            return Err(Errno::ENOSPC);
        }
        for reg in known.iter().filter(enabled) {
            let bytes = reg.ctrl >> BAS_SHIFT & 0xff;
            let run = bytes >> bytes.trailing_zeros().min(31);
            let access = reg.ctrl & (LOAD | STORE);
            let right = if watch {
                bytes != 0 && (run + 1).is_power_of_two() && access != 0 && reg.addr % 8 == 0
            } else {
                bytes == 0xf && access == 0 && reg.addr % 4 == 0
            };
            if !right || reg.addr >= tuxlet_mem::TASK_SIZE {
                return Err(Errno::EINVAL);
            }
        }
        own.copy_from_slice(known);
        Ok(())
    }
}
