//! The page of kernel code in every process: the signal return trampoline.

use std::sync::Arc;
use tuxlet_mem::{AddressSpace, MapRequest, PAGE_SIZE, Prot, VmaFlags};
use tuxlet_uapi::{errno::Result, nr};

/// Where things are.
#[derive(Clone, Copy, Debug)]
pub struct Vdso {
    /// Address of the ELF header for `AT_SYSINFO_EHDR`; 0 for none.
    pub base: u64,
    /// Address of the signal return trampoline.
    pub sigreturn: u64,
}

/// `movz x8, #imm16`.
const fn movz_x8(value: u32) -> u32 {
    0xd280_0008 | value << 5
}

/// `svc #0`.
const SVC: u32 = 0xd400_0001;

/// Maps the page into a new memory.
pub fn map(space: &Arc<AddressSpace>) -> Result<Vdso> {
    let mut request = MapRequest::anonymous(PAGE_SIZE, Prot::RW);
    request.flags = VmaFlags::SPECIAL;
    request.name = Some(b"[vdso]".as_slice().into());
    let at = space.map(request)?;
    // Unwinders know the trampoline by these two instructions.
    for (i, word) in [movz_x8(nr::RT_SIGRETURN), SVC].into_iter().enumerate() {
        space.write::<u32>(at + i as u64 * 4, &word)?;
    }
    space.protect(at, PAGE_SIZE, Prot::RX, false)?;
    Ok(Vdso {
        base: 0,
        sigreturn: at,
    })
}
