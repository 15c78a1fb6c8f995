//! The auxiliary vector: getauxval(3).

use super::image::Image;
use crate::{arch::hwcap, task::CurrentTask};
use tuxlet_uapi::{
    auxv::{
        AT_BASE, AT_CLKTCK, AT_EGID, AT_ENTRY, AT_EUID, AT_EXECFN, AT_FLAGS, AT_GID, AT_HWCAP,
        AT_HWCAP2, AT_MINSIGSTKSZ, AT_NULL, AT_PAGESZ, AT_PHDR, AT_PHENT, AT_PHNUM, AT_PLATFORM,
        AT_RANDOM, AT_SECURE, AT_SYSINFO_EHDR, AT_UID,
    },
    elf::Elf64Phdr,
    errno::Result,
    signal::{FrameRecord, RtSigframe},
};

/// What the loader knows.
#[derive(Debug)]
pub(super) struct AuxInput {
    pub(super) headers: u64,
    pub(super) header_count: u64,
    pub(super) base: u64,
    pub(super) entry: u64,
    pub(super) vdso: u64,
}

/// What the stack builder knows.
#[derive(Debug)]
pub(super) struct AuxStrings {
    pub(super) random: u64,
    pub(super) platform: u64,
    pub(super) filename: u64,
}

/// Clock ticks a second: `USER_HZ`.
const USER_HZ: u64 = 100;

/// The pairs, `AT_NULL` last.
pub(super) fn build(
    task: &CurrentTask,
    image: &Image,
    input: &AuxInput,
    strings: &AuxStrings,
) -> Result<Vec<(u64, u64)>> {
    let (cred, secure) = task.exec_cred(&image.attr, &image.path)?;
    let mut pairs = Vec::with_capacity(24);
    if input.vdso != 0 {
        pairs.push((AT_SYSINFO_EHDR, input.vdso));
    }
    let frame = (size_of::<RtSigframe>() + size_of::<FrameRecord>()) as u64;
    pairs.extend([
        (AT_MINSIGSTKSZ, frame),
        (AT_HWCAP, hwcap::hwcap()),
        (AT_PAGESZ, 4096),
        (AT_CLKTCK, USER_HZ),
        (AT_PHDR, input.headers),
        (AT_PHENT, size_of::<Elf64Phdr>() as u64),
        (AT_PHNUM, input.header_count),
        (AT_BASE, input.base),
        (AT_FLAGS, 0),
        (AT_ENTRY, input.entry),
        (AT_UID, u64::from(cred.uid)),
        (AT_EUID, u64::from(cred.euid)),
        (AT_GID, u64::from(cred.gid)),
        (AT_EGID, u64::from(cred.egid)),
        (AT_SECURE, u64::from(secure)),
        (AT_RANDOM, strings.random),
        (AT_HWCAP2, hwcap::hwcap2()),
        (AT_EXECFN, strings.filename),
        (AT_PLATFORM, strings.platform),
        (AT_NULL, 0),
    ]);
    Ok(pairs)
}
