//! statmount(2), listmount(2): mounts one by one instead of the whole of `/proc/self/mountinfo`.

use super::{Flags, UserPtr, fsmount};
use crate::task::CurrentTask;
use tuxlet_uapi::{
    errno::{Errno, Result},
    mount::{MS_PRIVATE, MS_SHARED, MS_SLAVE, MS_UNBINDABLE},
};
use tuxlet_vfs::{MountFlags, namespace::MountInfo, propagation::Propagation};

/// Added to a mount's id for one that is never used again: `STATX_MNT_ID_UNIQUE`.
pub(super) const UNIQUE_OFFSET: u64 = 1 << 32;
/// Size of the first version of `struct mnt_id_req`.
const MNT_ID_REQ_SIZE_VER0: u32 = 24;
/// The id that stands for the root of the namespace: `LSMT_ROOT`.
const LSMT_ROOT: u64 = u64::MAX;
/// What is asked for and answered: the `STATMOUNT_*` bits.
const STATMOUNT_SB_BASIC: u64 = 0x1;
const STATMOUNT_MNT_BASIC: u64 = 0x2;
const STATMOUNT_PROPAGATE_FROM: u64 = 0x4;
const STATMOUNT_MNT_ROOT: u64 = 0x8;
const STATMOUNT_MNT_POINT: u64 = 0x10;
const STATMOUNT_FS_TYPE: u64 = 0x20;
const STATMOUNT_MNT_NS_ID: u64 = 0x40;
const STATMOUNT_MNT_OPTS: u64 = 0x80;
/// Size of `struct statmount`.
const FIXED: usize = 512;
/// Most ids that one listmount(2) returns.
const LIST_MAX: usize = 1_000_000;

/// A `struct mnt_id_req`.
struct Request {
    id: u64,
    param: u64,
}

fn request(task: &CurrentTask, at: UserPtr<[u64; 4]>) -> Result<Request> {
    let size: u32 = UserPtr::new(at.addr()).read(task)?;
    if size > 4096 {
        return Err(Errno::E2BIG);
    }
    if size < MNT_ID_REQ_SIZE_VER0 {
        return Err(Errno::EINVAL);
    }
    // Size and a spare word, then the mount's id, the parameter and the namespace's id.
    let [head, id, param, namespace]: [u64; 4] = task.read_extensible(at.addr(), size as usize)?;
    if head >> 32 != 0 {
        return Err(Errno::EINVAL);
    }
    if id <= UNIQUE_OFFSET {
        return Err(Errno::EINVAL);
    }
    if namespace != 0 && namespace != task.ns.mnt.id() {
        return Err(Errno::ENOENT);
    }
    Ok(Request { id, param })
}

fn mounts(task: &CurrentTask) -> Vec<MountInfo> {
    task.ns.mnt.list(&task.fs.root())
}

pub(super) fn sys_listmount(
    task: &mut CurrentTask,
    at: UserPtr<[u64; 4]>,
    ids: UserPtr<u64>,
    count: usize,
    flags: Flags,
) -> Result<usize> {
    /// `LISTMOUNT_REVERSE`.
    const REVERSE: u32 = 1;
    flags.only(REVERSE)?;
    if count > LIST_MAX {
        return Err(Errno::EOVERFLOW);
    }
    let request = request(task, at)?;
    let all = mounts(task);
    let top = match request.id {
        LSMT_ROOT => None,
        id => Some(
            all.iter()
                .find(|m| m.id + UNIQUE_OFFSET == id)
                .ok_or(Errno::ENOENT)?
                .id,
        ),
    };
    // Below what was asked for, which itself is not listed unless it is the root of all.
    let is_below = |info: &MountInfo| match top {
        None => true,
        Some(top) => {
            let mut at = info.mount.attached();
            while let Some(up) = at {
                if up.mount.id() == top {
                    return true;
                }
                at = up.mount.attached();
            }
            false
        }
    };
    let mut found: Vec<u64> = all
        .iter()
        .filter(|m| is_below(m))
        .map(|m| m.id + UNIQUE_OFFSET)
        .collect();
    if flags.has(REVERSE) {
        found.reverse();
    }
    // `param` is the last id of the call before.
    if request.param != 0 {
        found.retain(|id| {
            if flags.has(REVERSE) {
                *id < request.param
            } else {
                *id > request.param
            }
        });
    }
    found.truncate(count);
    for (i, id) in found.iter().enumerate() {
        ids.offset(i as u64).write(task, id)?;
    }
    Ok(found.len())
}

/// A `struct statmount` in the making: the fixed part and the strings behind it.
#[derive(Default)]
struct Answer {
    fixed: Vec<u8>,
    strings: Vec<u8>,
    mask: u64,
}

impl Answer {
    fn u32(&mut self, value: u32) {
        self.fixed.extend_from_slice(&value.to_le_bytes());
    }
    fn u64(&mut self, value: u64) {
        self.fixed.extend_from_slice(&value.to_le_bytes());
    }
    /// The place of a string among the strings.
    fn string(&mut self, wanted: u64, bit: u64, text: &[u8]) -> u32 {
        if wanted & bit == 0 {
            return 0;
        }
        self.mask |= bit;
        let at = self.strings.len() as u32;
        self.strings.extend_from_slice(text);
        self.strings.push(0);
        at
    }
}

pub(super) fn sys_statmount(
    task: &mut CurrentTask,
    at: UserPtr<[u64; 4]>,
    buf: UserPtr<u8>,
    size: usize,
    flags: Flags,
) -> Result<()> {
    flags.only(0)?;
    let request = request(task, at)?;
    let wanted = request.param;
    let all = mounts(task);
    let info = all
        .iter()
        .find(|m| m.id + UNIQUE_OFFSET == request.id)
        .ok_or(Errno::ENOENT)?;
    let bytes = describe(info, wanted, task.ns.mnt.id())?;
    // As much of the fixed part as there is room for, but strings only as a whole.
    if bytes.len() > FIXED && size < bytes.len() {
        return Err(Errno::EOVERFLOW);
    }
    let len = size.min(bytes.len());
    task.mm.space.write_bytes(buf.addr(), &bytes[..len])
}

fn describe(info: &MountInfo, wanted: u64, namespace: u64) -> Result<Vec<u8>> {
    let (mount, fs) = (&info.mount, info.mount.fs());
    let mut out = Answer {
        // Strings are counted from their common start, where an empty one stands for all that were not asked for.
        strings: vec![0],
        ..Answer::default()
    };
    let options = fs.show_options();
    let options = out.string(
        wanted,
        STATMOUNT_MNT_OPTS,
        options.trim_start_matches(',').as_bytes(),
    );
    let fs_type = out.string(wanted, STATMOUNT_FS_TYPE, fs.name().as_bytes());
    let root = out.string(wanted, STATMOUNT_MNT_ROOT, &info.root);
    let point = out.string(wanted, STATMOUNT_MNT_POINT, &info.mountpoint);
    let numbers =
        STATMOUNT_SB_BASIC | STATMOUNT_MNT_BASIC | STATMOUNT_PROPAGATE_FROM | STATMOUNT_MNT_NS_ID;
    out.mask |= wanted & numbers;
    let sb = wanted & STATMOUNT_SB_BASIC != 0;
    let basic = wanted & STATMOUNT_MNT_BASIC != 0;
    let if_u32 = |on: bool, value: u32| if on { value } else { 0 };
    let if_u64 = |on: bool, value: u64| if on { value } else { 0 };
    let (peers, master, kind) = mount.propagation();
    let kind = match kind {
        Propagation::Private => MS_PRIVATE,
        Propagation::Shared => MS_SHARED,
        Propagation::Slave => MS_SLAVE,
        Propagation::Unbindable => MS_UNBINDABLE,
    };
    let mask = out.mask;
    let has_strings = out.strings.len() > 1;
    let size = if has_strings {
        FIXED + out.strings.len()
    } else {
        FIXED
    };
    out.u32(size as u32);
    out.u32(options);
    out.u64(mask);
    let dev = fs.dev();
    out.u32(if_u32(sb, dev.major));
    out.u32(if_u32(sb, dev.minor));
    out.u64(if_u64(sb, fs.statfs()?.magic));
    let read_only = mount.super_block().read_only();
    out.u32(if_u32(sb && read_only, MountFlags::RDONLY.bits()));
    out.u32(fs_type);
    out.u64(if_u64(basic, info.id + UNIQUE_OFFSET));
    out.u64(if_u64(basic, info.parent_id + UNIQUE_OFFSET));
    out.u32(if_u32(basic, info.id as u32));
    out.u32(if_u32(basic, info.parent_id as u32));
    out.u64(if_u64(basic, fsmount::attributes(mount.flags())));
    out.u64(if_u64(basic, kind));
    out.u64(if_u64(basic, peers.into()));
    out.u64(if_u64(basic, master.into()));
    out.u64(0);
    out.u32(root);
    out.u32(point);
    out.u64(if_u64(wanted & STATMOUNT_MNT_NS_ID != 0, namespace));
    let mut bytes = out.fixed;
    bytes.resize(FIXED, 0);
    if has_strings {
        bytes.extend_from_slice(&out.strings);
    }
    Ok(bytes)
}
