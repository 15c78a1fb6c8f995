//! io_uring_register(2): files, buffers and what else a ring keeps for its requests.

use super::{
    super::{Flags, UserPtr},
    prep::{LAST_OP, is_known},
};
use crate::{
    eventfd::EventFd,
    io_uring::{Group, Ring},
    task::CurrentTask,
};
use std::sync::Arc;
use tuxlet_mem::{IoVec, PAGE_MASK};
use tuxlet_uapi::{
    errno::{Errno, Result},
    io_uring::*,
};
use tuxlet_vfs::File;

/// Most registered files.
const MAX_FILES: usize = 1 << 15;
/// Most registered buffers.
const MAX_BUFFERS: u32 = 1 << 14;
/// Longest registered buffer.
const MAX_BUFFER: u64 = 1 << 30;
/// Rings that a thread may register in place of descriptors.
const MAX_RINGS: usize = 16;
/// Most entries of a ring of buffers.
const MAX_RING_BUFFERS: u32 = 1 << 15;

/// A registered file. `EBADF`.
pub(super) fn fixed_file(ring: &Ring, index: i32) -> Result<Arc<File>> {
    let index = usize::try_from(index).map_err(|_| Errno::EBADF)?;
    ring.with(|state| state.files.as_ref()?.get(index)?.clone())
        .ok_or(Errno::EBADF)
}

/// Puts a new file at a descriptor, or into the slot of registered files that an index other than 0 means.
pub(super) fn install(
    task: &CurrentTask,
    ring: &Ring,
    file: Arc<File>,
    index: u32,
    close_on_exec: bool,
) -> Result<i32> {
    if index == 0 {
        return task.install_fd(file, close_on_exec);
    }
    let (result, old) = ring.with(|state| {
        let Some(files) = &mut state.files else {
            return (Err(Errno::ENXIO), None);
        };
        if index == IORING_FILE_INDEX_ALLOC {
            let Some(free) = files.iter().position(Option::is_none) else {
                return (Err(Errno::ENFILE), None);
            };
            return (Ok(free as i32), files[free].replace(file));
        }
        match files.get_mut(index as usize - 1) {
            Some(slot) => (Ok(0), slot.replace(file)),
            None => (Err(Errno::EINVAL), None),
        }
    });
    drop(old);
    result
}

/// Empties a slot of registered files. `ENXIO`, `EINVAL`, `EBADF`.
pub(super) fn remove_file(ring: &Ring, index: u32) -> Result<()> {
    let removed = ring.with(|state| {
        let files = state.files.as_mut().ok_or(Errno::ENXIO)?;
        let slot = files.get_mut(index as usize).ok_or(Errno::EINVAL)?;
        slot.take().ok_or(Errno::EBADF)
    });
    removed.map(drop)
}

/// A file that may be registered; -1 is an empty slot. `EBADF` for what is none, and for rings.
fn registrable(task: &CurrentTask, fd: i32) -> Result<Option<Arc<File>>> {
    if fd == -1 {
        return Ok(None);
    }
    let file = task.fds.get(fd)?;
    if file.is_path_only() || file.ops_as::<Ring>().is_some() {
        return Err(Errno::EBADF);
    }
    Ok(Some(file))
}

/// Replaces registered files from an index on; how many. `ENXIO` without files, `EINVAL` beyond the last.
pub(super) fn update_files(
    task: &CurrentTask,
    ring: &Ring,
    offset: u64,
    fds: &[i32],
) -> Result<i32> {
    let count = ring.with(|state| state.files.as_ref().map(Vec::len));
    let count = count.ok_or(Errno::ENXIO)?;
    let offset = usize::try_from(offset).map_err(|_| Errno::EINVAL)?;
    if offset.checked_add(fds.len()).is_none_or(|end| end > count) {
        return Err(Errno::EINVAL);
    }
    for (done, fd) in fds.iter().enumerate() {
        if fd.cast_unsigned() == IORING_REGISTER_FILES_SKIP {
            continue;
        }
        let file = match registrable(task, *fd) {
            Err(errno) if done == 0 => return Err(errno),
            Err(_) => return Ok(done as i32),
            Ok(file) => file,
        };
        let old = ring.with(|state| {
            let slot = state.files.as_mut()?.get_mut(offset + done)?;
            std::mem::replace(slot, file)
        });
        drop(old);
    }
    Ok(fds.len() as i32)
}

/// The file of a ring's descriptor, or of an index of registered rings. `EBADF`, `EOPNOTSUPP`.
pub(super) fn ring_file(task: &CurrentTask, fd: i32, registered: bool) -> Result<Arc<File>> {
    let file = if registered {
        let index = usize::try_from(fd).map_err(|_| Errno::EINVAL)?;
        if index >= MAX_RINGS {
            return Err(Errno::EINVAL);
        }
        let rings = task.task.rings.lock();
        let found = rings.registered.get(index).cloned().flatten();
        found.ok_or(Errno::EBADF)?
    } else {
        task.fds.get(fd)?
    };
    file.ops_as::<Ring>().ok_or(Errno::EOPNOTSUPP)?;
    Ok(file)
}

/// Set in the operation: the descriptor is an index of registered rings.
const USE_REGISTERED_RING: u32 = 1 << 31;

pub(in super::super) fn sys_io_uring_register(
    task: &mut CurrentTask,
    fd: i32,
    op: Flags,
    arg: u64,
    count: u32,
) -> Result<i32> {
    let registered = op.has(USE_REGISTERED_RING);
    let op = op.0 & !USE_REGISTERED_RING;
    if op > IORING_REGISTER_FILE_ALLOC_RANGE {
        return Err(Errno::EINVAL);
    }
    let file = ring_file(task, fd, registered)?;
    let ring = file.ops_as::<Ring>().ok_or(Errno::EOPNOTSUPP)?;
    let nothing = |()| 0;
    let no_argument = || {
        if arg != 0 || count != 0 {
            Err(Errno::EINVAL)
        } else {
            Ok(())
        }
    };
    match op {
        IORING_REGISTER_BUFFERS => {
            if arg == 0 {
                return Err(Errno::EFAULT);
            }
            register_buffers(task, ring, arg, count).map(nothing)
        }
        IORING_UNREGISTER_BUFFERS => {
            no_argument()?;
            let old = ring.with(|state| state.buffers.take());
            old.map(|_| 0).ok_or(Errno::ENXIO)
        }
        IORING_REGISTER_FILES => {
            if arg == 0 {
                return Err(Errno::EFAULT);
            }
            let fds = UserPtr::<i32>::new(arg);
            register_files(task, ring, count, |n| fds.offset(n).read(task)).map(nothing)
        }
        IORING_UNREGISTER_FILES => {
            no_argument()?;
            let old = ring.with(|state| state.files.take());
            old.map(|_| 0).ok_or(Errno::ENXIO)
        }
        IORING_REGISTER_FILES_UPDATE => {
            if count == 0 {
                return Err(Errno::EINVAL);
            }
            let update = UserPtr::<IoUringFilesUpdate>::new(arg).read(task)?;
            if update.resv != 0 {
                return Err(Errno::EINVAL);
            }
            let fds = UserPtr::<i32>::new(update.fds).read_vec(task, count as usize)?;
            update_files(task, ring, update.offset.into(), &fds)
        }
        IORING_REGISTER_EVENTFD | IORING_REGISTER_EVENTFD_ASYNC => {
            if count != 1 {
                return Err(Errno::EINVAL);
            }
            let fd = UserPtr::<i32>::new(arg).read(task)?;
            let counter = task.fds.get(fd)?;
            counter.ops_as::<EventFd>().ok_or(Errno::EINVAL)?;
            let only_waited = op == IORING_REGISTER_EVENTFD_ASYNC;
            ring.with(|state| {
                if state.eventfd.is_some() {
                    return Err(Errno::EBUSY);
                }
                state.eventfd = Some((counter, only_waited));
                Ok(0)
            })
        }
        IORING_UNREGISTER_EVENTFD => {
            no_argument()?;
            let old = ring.with(|state| state.eventfd.take());
            old.map(|_| 0).ok_or(Errno::ENXIO)
        }
        IORING_REGISTER_PROBE => probe(task, arg, count).map(nothing),
        IORING_REGISTER_PERSONALITY => {
            no_argument()?;
            let cred = task.task.cred();
            ring.with(|state| {
                let free = (1..u16::MAX).find(|id| !state.personalities.contains_key(id));
                let id = free.ok_or(Errno::ENOSPC)?;
                state.personalities.insert(id, cred);
                Ok(i32::from(id))
            })
        }
        IORING_UNREGISTER_PERSONALITY => {
            if arg != 0 {
                return Err(Errno::EINVAL);
            }
            let id = u16::try_from(count).map_err(|_| Errno::EINVAL)?;
            let old = ring.with(|state| state.personalities.remove(&id));
            old.map(|_| 0).ok_or(Errno::EINVAL)
        }
        IORING_REGISTER_ENABLE_RINGS => {
            no_argument()?;
            if ring.is_enabled() {
                return Err(Errno::EBADFD);
            }
            ring.enable();
            Ok(0)
        }
        IORING_REGISTER_RING_FDS => register_rings(task, arg, count),
        IORING_UNREGISTER_RING_FDS => unregister_rings(task, arg, count),
        IORING_REGISTER_PBUF_RING => {
            if arg == 0 || count != 1 {
                return Err(Errno::EINVAL);
            }
            register_buffer_ring(task, ring, arg).map(nothing)
        }
        IORING_UNREGISTER_PBUF_RING => {
            if arg == 0 || count != 1 {
                return Err(Errno::EINVAL);
            }
            unregister_buffer_ring(task, ring, arg).map(nothing)
        }
        // Not there.
        _ => Err(Errno::EINVAL),
    }
}

fn register_buffers(task: &CurrentTask, ring: &Ring, arg: u64, count: u32) -> Result<()> {
    if ring.with(|state| state.buffers.is_some()) {
        return Err(Errno::EBUSY);
    }
    if !(1..=MAX_BUFFERS).contains(&count) {
        return Err(Errno::EINVAL);
    }
    let buffers = UserPtr::<IoVec>::new(arg).read_vec(task, count as usize)?;
    for buffer in &buffers {
        if buffer.base == 0 {
            // An empty slot.
            if buffer.len != 0 {
                return Err(Errno::EFAULT);
            }
            continue;
        }
        if buffer.len == 0 || buffer.len > MAX_BUFFER {
            return Err(Errno::EFAULT);
        }
        // It has to be there, as Linux keeps its pages.
        let mut byte = [0];
        let last = buffer.base.checked_add(buffer.len - 1);
        let last = last.ok_or(Errno::EOVERFLOW)?;
        for at in (buffer.base..=last).step_by(4096).chain([last]) {
            task.mm.space.read_bytes(at, &mut byte)?;
        }
    }
    ring.with(|state| state.buffers = Some(buffers));
    Ok(())
}

fn register_files(
    task: &CurrentTask,
    ring: &Ring,
    count: u32,
    fd: impl Fn(u64) -> Result<i32>,
) -> Result<()> {
    if ring.with(|state| state.files.is_some()) {
        return Err(Errno::EBUSY);
    }
    if count == 0 {
        return Err(Errno::EINVAL);
    }
    let count = count as usize;
    if count > MAX_FILES || count as u64 > task.max_fds() {
        return Err(Errno::EMFILE);
    }
    let files: Result<Vec<_>> = (0..count as u64)
        .map(|n| registrable(task, fd(n)?))
        .collect();
    let files = files?;
    ring.with(|state| state.files = Some(files));
    Ok(())
}

fn probe(task: &CurrentTask, arg: u64, count: u32) -> Result<()> {
    /// Bytes before the array of `struct io_uring_probe`.
    const HEADER: usize = 16;
    if arg == 0 || count > 256 {
        return Err(Errno::EINVAL);
    }
    let count = count.min(u32::from(LAST_OP) + 1) as usize;
    let mut old = vec![0; HEADER + count * size_of::<IoUringProbeOp>()];
    task.mm.space.read_bytes(arg, &mut old)?;
    if old.iter().any(|b| *b != 0) {
        return Err(Errno::EINVAL);
    }
    let mut bytes = vec![LAST_OP, count as u8];
    bytes.resize(HEADER, 0);
    for op in 0..count as u8 {
        let entry = IoUringProbeOp {
            op,
            flags: if is_known(op) {
                IO_URING_OP_SUPPORTED as u16
            } else {
                0
            },
            ..IoUringProbeOp::default()
        };
        bytes.extend_from_slice(zerocopy::IntoBytes::as_bytes(&entry));
    }
    task.mm.space.write_bytes(arg, &bytes)
}

fn register_rings(task: &CurrentTask, arg: u64, count: u32) -> Result<i32> {
    if count == 0 || count as usize > MAX_RINGS {
        return Err(Errno::EINVAL);
    }
    let pointer = UserPtr::<IoUringRsrcUpdate>::new(arg);
    for done in 0..u64::from(count) {
        let one = || -> Result<()> {
            let at = pointer.offset(done);
            let mut update = at.read(task)?;
            if update.resv != 0 {
                return Err(Errno::EINVAL);
            }
            let fd = i32::try_from(update.data).map_err(|_| Errno::EBADF)?;
            let file = ring_file(task, fd, false)?;
            let mut rings = task.task.rings.lock();
            rings.registered.resize(MAX_RINGS, None);
            let slots = &mut rings.registered;
            let index = if update.offset == u32::MAX {
                slots.iter().position(Option::is_none).ok_or(Errno::EBUSY)?
            } else {
                update.offset as usize
            };
            let slot = slots.get_mut(index).ok_or(Errno::EINVAL)?;
            if slot.is_some() {
                return Err(Errno::EBUSY);
            }
            *slot = Some(file);
            drop(rings);
            update.offset = index as u32;
            at.write(task, &update)
        };
        match one() {
            Err(errno) if done == 0 => return Err(errno),
            Err(_) => return Ok(done as i32),
            Ok(()) => {}
        }
    }
    Ok(count as i32)
}

fn unregister_rings(task: &CurrentTask, arg: u64, count: u32) -> Result<i32> {
    if count == 0 || count as usize > MAX_RINGS {
        return Err(Errno::EINVAL);
    }
    let pointer = UserPtr::<IoUringRsrcUpdate>::new(arg);
    for done in 0..u64::from(count) {
        let update = pointer.offset(done).read(task)?;
        if update.resv != 0 || update.data != 0 || update.offset as usize >= MAX_RINGS {
            return Err(Errno::EINVAL);
        }
        let mut rings = task.task.rings.lock();
        let slot = rings.registered.get_mut(update.offset as usize);
        let old = slot.and_then(Option::take);
        drop(rings);
        drop(old);
    }
    Ok(count as i32)
}

fn register_buffer_ring(task: &CurrentTask, ring: &Ring, arg: u64) -> Result<()> {
    let reg = UserPtr::<IoUringBufReg>::new(arg).read(task)?;
    if reg.pad != 0 || reg.resv != [0; 3] {
        return Err(Errno::EINVAL);
    }
    if reg.ring_addr == 0 {
        return Err(Errno::EFAULT);
    }
    let entries = reg.ring_entries;
    if reg.ring_addr & PAGE_MASK != 0 || !entries.is_power_of_two() || entries > MAX_RING_BUFFERS {
        return Err(Errno::EINVAL);
    }
    ring.with(|state| match state.groups.get(&reg.bgid) {
        Some(Group::Listed(list)) if list.is_empty() => {
            state
                .groups
                .insert(reg.bgid, Group::Ring(reg.ring_addr, entries, 0));
            Ok(())
        }
        Some(_) => Err(Errno::EEXIST),
        None => {
            state
                .groups
                .insert(reg.bgid, Group::Ring(reg.ring_addr, entries, 0));
            Ok(())
        }
    })
}

fn unregister_buffer_ring(task: &CurrentTask, ring: &Ring, arg: u64) -> Result<()> {
    let reg = UserPtr::<IoUringBufReg>::new(arg).read(task)?;
    if reg.pad != 0 || reg.resv != [0; 3] {
        return Err(Errno::EINVAL);
    }
    ring.with(|state| match state.groups.get(&reg.bgid) {
        None => Err(Errno::ENOENT),
        Some(Group::Listed(_)) => Err(Errno::EINVAL),
        Some(Group::Ring(..)) => {
            state.groups.remove(&reg.bgid);
            Ok(())
        }
    })
}
