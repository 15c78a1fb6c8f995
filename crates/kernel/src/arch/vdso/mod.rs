//! The vDSO: vdso(7). Reading a clock without a system call, and the signal return trampoline.
//!
//! Two pages that all processes share: a data page that the kernel writes, and behind it an ELF image (`vdso.so`, made
//! of `vdso.S` by `build.sh`). The counter register counts nanoseconds, so a clock is the counter plus an offset.

use crate::{clock::Clock, kernel::Kernel, ns::NsProxy, task::Mm};
use std::sync::Arc;
use tuxlet_mem::{
    AddressSpace, MapRequest, MemoryBudget, PAGE_SIZE, Placement, Prot, ShmObject, VmaFlags,
};
use tuxlet_uapi::{
    errno::Result,
    time::{
        CLOCK_BOOTTIME, CLOCK_MONOTONIC, CLOCK_MONOTONIC_COARSE, CLOCK_MONOTONIC_RAW,
        CLOCK_REALTIME, CLOCK_REALTIME_COARSE,
    },
};

/// The image.
static IMAGE: &[u8] = include_bytes!("vdso.so");

/// `mov x8, #139; svc #0`, the trampoline's instructions, by which it is found in the image.
const TRAMPOLINE: [u8; 8] = [0x68, 0x11, 0x80, 0xd2, 0x01, 0x00, 0x00, 0xd4];

/// Where things are in a process.
#[derive(Clone, Copy, Debug)]
pub struct Vdso {
    /// Address of the ELF header, for `AT_SYSINFO_EHDR`.
    pub base: u64,
    /// Address of the signal return trampoline.
    pub sigreturn: u64,
}

/// The two pages of a machine.
#[derive(Debug)]
pub struct VdsoPages {
    data: Arc<ShmObject>,
    /// The data page of time namespaces with offsets: it answers for no clock, so that the system call does.
    no_clocks: Arc<ShmObject>,
    code: Arc<ShmObject>,
    trampoline: u64,
}

/// What the vDSO's code reads: the clocks it may answer, and their offsets from the counter in nanoseconds.
fn data_page(clock: &Clock) -> Vec<u8> {
    let counter = tuxlet_cpu::counter().cast_signed();
    let monotonic = clock.monotonic_ns().cast_signed() - counter;
    let realtime = clock.realtime_ns() - counter;
    let boottime = clock.boottime_ns().cast_signed() - counter;
    let clocks = [
        (CLOCK_REALTIME, realtime),
        (CLOCK_REALTIME_COARSE, realtime),
        (CLOCK_MONOTONIC, monotonic),
        (CLOCK_MONOTONIC_RAW, monotonic),
        (CLOCK_MONOTONIC_COARSE, monotonic),
        (CLOCK_BOOTTIME, boottime),
    ];
    let mut mask = 0u64;
    let mut offsets = [0i64; 8];
    for (id, offset) in clocks {
        mask |= 1 << id;
        offsets[id as usize] = offset;
    }
    let mut page = mask.to_le_bytes().to_vec();
    page.extend(offsets.iter().flat_map(|o| o.to_le_bytes()));
    page
}

impl VdsoPages {
    /// The pages of a new machine.
    pub(crate) fn new(budget: &Arc<MemoryBudget>, clock: &Clock) -> Result<Self> {
        let object = |name: &[u8], content: &[u8]| -> Result<Arc<ShmObject>> {
            let object = ShmObject::new(budget, (0, 0), name);
            let mut from = content;
            object.write_at(0, &mut from)?;
            Ok(object)
        };
        let trampoline = IMAGE
            .windows(TRAMPOLINE.len())
            .position(|w| w == TRAMPOLINE)
            .unwrap_or(0) as u64;
        Ok(Self {
            data: object(b"[vvar]", &data_page(clock))?,
            no_clocks: object(b"[vvar]", &[0; 8])?,
            code: object(b"[vdso]", IMAGE)?,
            trampoline,
        })
    }

    /// Writes the offsets anew, after a clock was set here or on the host.
    pub(crate) fn update(&self, clock: &Clock) {
        let page = data_page(clock);
        let mut from = &page[..];
        // The page exists, so this cannot fail for want of memory.
        let _ = self.data.write_at(0, &mut from);
    }

    fn data_request(&self, ns: &NsProxy, len: u64) -> MapRequest {
        let first = ns.time.offset(CLOCK_MONOTONIC) == 0 && ns.time.offset(CLOCK_BOOTTIME) == 0;
        let object = if first { &self.data } else { &self.no_clocks };
        let mut data = MapRequest::shared(object.clone(), 0, len, Prot::READ);
        data.max_prot = Prot::READ;
        data.flags |= VmaFlags::SPECIAL;
        data.name = Some(b"[vvar]".as_slice().into());
        data
    }

    /// Maps both pages into a new memory of a process in some namespaces.
    pub fn map(&self, kernel: &Kernel, ns: &NsProxy, space: &Arc<AddressSpace>) -> Result<Vdso> {
        self.update(&kernel.clock);
        let at = space.map(self.data_request(ns, 2 * PAGE_SIZE))?;
        let base = at + PAGE_SIZE;
        let mut code = MapRequest::private(self.code.clone(), 0, PAGE_SIZE, Prot::RX)
            .at(Placement::Fixed(base));
        code.flags |= VmaFlags::SPECIAL;
        code.name = Some(b"[vdso]".as_slice().into());
        space.map(code)?;
        Ok(Vdso {
            base,
            sigreturn: base + self.trampoline,
        })
    }
}

impl Kernel {
    /// Maps the clocks of a time namespace into the memory of a process that enters it.
    pub(crate) fn remap_clocks(&self, mm: &Mm, ns: &NsProxy) -> Result<()> {
        let base = mm.layout.lock().vdso;
        if base == 0 {
            return Ok(());
        }
        let data = self.vdso.data_request(ns, PAGE_SIZE);
        let at = Placement::Fixed(base - PAGE_SIZE);
        mm.space.map(data.at(at)).map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_image_fits_and_holds_the_trampoline() {
        assert!(IMAGE.len() as u64 <= PAGE_SIZE);
        assert_eq!(
            IMAGE
                .windows(TRAMPOLINE.len())
                .filter(|w| *w == TRAMPOLINE)
                .count(),
            1
        );
        assert_eq!(&IMAGE[..4], b"\x7fELF");
    }
}
