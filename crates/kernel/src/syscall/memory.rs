//! mmap(2), munmap(2), mprotect(2), mremap(2), brk(2), madvise(2), msync(2), mlock(2), mincore(2).

use super::Flags;
use crate::task::CurrentTask;
use tuxlet_mem::{MapRequest, PAGE_MASK, Placement, Prot, VmaFlags};
use tuxlet_uapi::{
    errno::{Errno, Result},
    mman::{
        MAP_ANONYMOUS, MAP_FIXED, MAP_FIXED_NOREPLACE, MAP_GROWSDOWN, MAP_HUGETLB, MAP_LOCKED,
        MAP_NORESERVE, MAP_POPULATE, MAP_PRIVATE, MAP_SHARED, MAP_SHARED_VALIDATE, MAP_SYNC,
        MAP_TYPE, MCL_CURRENT, MCL_FUTURE, MCL_ONFAULT, PROT_BTI, PROT_EXEC, PROT_GROWSDOWN,
        PROT_GROWSUP, PROT_MTE, PROT_READ, PROT_SEM, PROT_WRITE,
    },
};
use tuxlet_vfs::MountFlags;

/// Flags that `MAP_SHARED_VALIDATE` knows.
const MAP_KNOWN: u32 = MAP_TYPE
    | MAP_FIXED
    | MAP_ANONYMOUS
    | MAP_GROWSDOWN
    | 0x800
    | 0x1000
    | MAP_LOCKED
    | MAP_NORESERVE
    | MAP_POPULATE
    | 0x1_0000
    | 0x2_0000
    | MAP_HUGETLB
    | MAP_FIXED_NOREPLACE;

fn prot_of(bits: u32) -> Prot {
    Prot::from_bits_truncate(bits & (PROT_READ | PROT_WRITE | PROT_EXEC))
}

pub(super) fn sys_mmap(
    task: &mut CurrentTask,
    addr: u64,
    len: u64,
    prot: u32,
    flags: Flags,
    fd: i32,
    offset: u64,
) -> Result<u64> {
    if offset & PAGE_MASK != 0 {
        return Err(Errno::EINVAL);
    }
    let file = if flags.has(MAP_ANONYMOUS) {
        None
    } else {
        Some(task.fds.get(fd)?)
    };
    let mapped = file.clone();
    if len == 0 {
        return Err(Errno::EINVAL);
    }
    let shared = match flags.0 & MAP_TYPE {
        MAP_PRIVATE => false,
        MAP_SHARED => true,
        MAP_SHARED_VALIDATE => {
            if flags.has(!MAP_KNOWN | MAP_SYNC) {
                return Err(Errno::EOPNOTSUPP);
            }
            true
        }
        _ => return Err(Errno::EINVAL),
    };
    if flags.has(MAP_HUGETLB) {
        // No huge pages are set aside, as on most machines.
        return Err(Errno::ENOMEM);
    }
    let mut request = MapRequest::anonymous(len, prot_of(prot));
    request.placement = if flags.has(MAP_FIXED_NOREPLACE) {
        Placement::FixedNoReplace(addr)
    } else if flags.has(MAP_FIXED) {
        Placement::Fixed(addr)
    } else if addr == 0 {
        Placement::Any
    } else {
        Placement::Hint(addr)
    };
    request.flags.set(VmaFlags::SHARED, shared);
    request
        .flags
        .set(VmaFlags::NORESERVE, flags.has(MAP_NORESERVE));
    request.flags.set(VmaFlags::LOCKED, flags.has(MAP_LOCKED));
    request.populate = flags.has(MAP_POPULATE | MAP_LOCKED);
    match file {
        None => request
            .flags
            .set(VmaFlags::GROWSDOWN, flags.has(MAP_GROWSDOWN) && !shared),
        Some(file) => {
            if !file.readable() || (shared && prot & PROT_WRITE != 0 && !file.writable()) {
                return Err(Errno::EACCES);
            }
            if flags.has(MAP_GROWSDOWN) {
                return Err(Errno::EINVAL);
            }
            if let Some(path) = file.path()
                && path.mount.flags().contains(MountFlags::NOEXEC)
            {
                if prot & PROT_EXEC != 0 {
                    return Err(Errno::EPERM);
                }
                request.max_prot.remove(Prot::EXEC);
            }
            if shared && !file.writable() {
                request.max_prot.remove(Prot::WRITE);
            }
            if shared
                && let Some(memory) = crate::memfd::of(&file)
                && !memory.may_map_shared(prot_of(prot))?
            {
                request.max_prot.remove(Prot::WRITE);
            }
            if let Some(ring) = file.ops_as::<crate::io_uring::Ring>() {
                ring.may_map(offset, len)?;
            }
            request.object = Some(file.ops().mmap_object(&task.cx())?);
            request.offset = offset;
            request.name = Some(file.d_path(&task.fs.root()).into());
            request.file_id = file.inode().map(|i| (i.id().dev.encode(), i.id().ino));
        }
    }
    task.sync_memory_limits();
    let at = task.mm.space.map(request)?;
    if let Some(file) = mapped {
        file.was_mapped(&task.cx());
    }
    Ok(at)
}

pub(super) fn sys_munmap(task: &mut CurrentTask, addr: u64, len: u64) -> Result<()> {
    task.mm.space.unmap(addr, len)
}

pub(super) fn sys_mprotect(task: &mut CurrentTask, addr: u64, len: u64, prot: u32) -> Result<()> {
    if prot & (PROT_GROWSDOWN | PROT_GROWSUP) == PROT_GROWSDOWN | PROT_GROWSUP {
        return Err(Errno::EINVAL);
    }
    // Alignment and length are looked at first, by the address space too.
    let known = PROT_READ
        | PROT_WRITE
        | PROT_EXEC
        | PROT_SEM
        | PROT_BTI
        | PROT_MTE
        | PROT_GROWSDOWN
        | PROT_GROWSUP;
    if len != 0 && prot & !known != 0 {
        return Err(Errno::EINVAL);
    }
    task.mm
        .space
        .protect(addr, len, prot_of(prot), prot & PROT_GROWSDOWN != 0)
}

pub(super) fn sys_mremap(
    task: &mut CurrentTask,
    old: u64,
    old_len: u64,
    new_len: u64,
    flags: u32,
    new: u64,
) -> Result<u64> {
    task.sync_memory_limits();
    task.mm.space.remap(old, old_len, new_len, flags, new)
}

pub(super) fn sys_brk(task: &mut CurrentTask, end: u64) -> Result<u64> {
    task.sync_memory_limits();
    Ok(task.mm.space.brk(end))
}

pub(super) fn sys_madvise(task: &mut CurrentTask, addr: u64, len: u64, advice: u32) -> Result<()> {
    task.mm.space.advise(addr, len, advice)
}

pub(super) fn sys_msync(task: &mut CurrentTask, addr: u64, len: u64, flags: u32) -> Result<()> {
    task.mm.space.msync(addr, len, flags)
}

pub(super) fn sys_mincore(task: &mut CurrentTask, addr: u64, len: u64, vec: u64) -> Result<()> {
    let pages = task.mm.space.mincore(addr, len)?;
    task.mm.space.write_bytes(vec, &pages)
}

pub(super) fn sys_mlock(task: &mut CurrentTask, addr: u64, len: u64) -> Result<()> {
    task.sync_memory_limits();
    task.mm.space.lock(addr, len, false)
}

pub(super) fn sys_mlock2(task: &mut CurrentTask, addr: u64, len: u64, flags: Flags) -> Result<()> {
    const MLOCK_ONFAULT: u32 = 1;
    flags.only(MLOCK_ONFAULT)?;
    task.sync_memory_limits();
    task.mm.space.lock(addr, len, flags.has(MLOCK_ONFAULT))
}

pub(super) fn sys_munlock(task: &mut CurrentTask, addr: u64, len: u64) -> Result<()> {
    task.mm.space.unlock(addr, len)
}

pub(super) fn sys_mlockall(task: &mut CurrentTask, flags: Flags) -> Result<()> {
    if flags.only(MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT)? & (MCL_CURRENT | MCL_FUTURE) == 0 {
        return Err(Errno::EINVAL);
    }
    task.sync_memory_limits();
    task.mm.space.lock_all(
        flags.has(MCL_CURRENT),
        flags.has(MCL_FUTURE),
        flags.has(MCL_ONFAULT),
    )
}

pub(super) fn sys_munlockall(task: &mut CurrentTask) -> Result<()> {
    task.mm.space.unlock_all();
    Ok(())
}
