//! The file-descriptor based mount calls: fsopen(2), fsconfig(2), fsmount(2), fspick(2), move_mount(2), open_tree(2),
//! mount_setattr(2).

use super::{Flags, UserPath, UserPtr};
use crate::{
    fs_context::{self, FsConfig, Phase},
    kernel::NewFileSystem,
    task::CurrentTask,
};
use std::sync::Arc;
use tuxlet_uapi::{
    errno::{Errno, Result},
    fcntl::{
        AT_EMPTY_PATH, AT_FDCWD, AT_NO_AUTOMOUNT, AT_RECURSIVE, AT_SYMLINK_NOFOLLOW, OpenFlags,
    },
    mount::{
        FSCONFIG_CMD_CREATE, FSCONFIG_CMD_RECONFIGURE, FSCONFIG_SET_BINARY, FSCONFIG_SET_FD,
        FSCONFIG_SET_FLAG, FSCONFIG_SET_PATH, FSCONFIG_SET_PATH_EMPTY, FSCONFIG_SET_STRING,
        FSMOUNT_CLOEXEC, FSOPEN_CLOEXEC, FSPICK_CLOEXEC, FSPICK_EMPTY_PATH, FSPICK_NO_AUTOMOUNT,
        FSPICK_SYMLINK_NOFOLLOW, MOUNT_ATTR_NOATIME, MOUNT_ATTR_NODEV, MOUNT_ATTR_NODIRATIME,
        MOUNT_ATTR_NOEXEC, MOUNT_ATTR_NOSUID, MOUNT_ATTR_NOSYMFOLLOW, MOUNT_ATTR_RDONLY,
        MOUNT_ATTR_STRICTATIME, MOVE_MOUNT_F_AUTOMOUNTS, MOVE_MOUNT_F_EMPTY_PATH,
        MOVE_MOUNT_F_SYMLINKS, MOVE_MOUNT_T_AUTOMOUNTS, MOVE_MOUNT_T_EMPTY_PATH,
        MOVE_MOUNT_T_SYMLINKS, MS_PRIVATE, MS_SHARED, MS_SLAVE, MS_UNBINDABLE, MountAttr,
        OPEN_TREE_CLOEXEC, OPEN_TREE_CLONE,
    },
};
use tuxlet_vfs::{
    File, LookupFlags, MountFlags, MountNamespace, Path,
    open::{self, Opened},
    propagation::Propagation,
    resolver,
};

/// Longest key or string value: what strndup_user is given in Linux.
const STRING_MAX: usize = 256;
/// Largest binary value.
const BINARY_MAX: i32 = 1 << 20;
/// Size of the first version of `struct mount_attr`.
const MOUNT_ATTR_SIZE_VER0: usize = 32;
/// The bits of an access time policy: `MOUNT_ATTR__ATIME`.
const ATTR_ATIME: u64 = 0x70;

/// Mount attributes and the flags that they stand for; the access time policy is a number and not among them.
const ATTRS: [(u64, MountFlags); 6] = [
    (MOUNT_ATTR_RDONLY, MountFlags::RDONLY),
    (MOUNT_ATTR_NOSUID, MountFlags::NOSUID),
    (MOUNT_ATTR_NODEV, MountFlags::NODEV),
    (MOUNT_ATTR_NOEXEC, MountFlags::NOEXEC),
    (MOUNT_ATTR_NODIRATIME, MountFlags::NODIRATIME),
    (MOUNT_ATTR_NOSYMFOLLOW, MountFlags::NOSYMFOLLOW),
];
const ATIME: MountFlags = MountFlags::NOATIME
    .union(MountFlags::RELATIME)
    .union(MountFlags::STRICTATIME);

/// The attributes of a mount, as statmount(2) tells them.
pub(super) fn attributes(flags: MountFlags) -> u64 {
    let atime = if flags.contains(MountFlags::NOATIME) {
        MOUNT_ATTR_NOATIME
    } else if flags.contains(MountFlags::RELATIME) {
        0
    } else {
        MOUNT_ATTR_STRICTATIME
    };
    let rest = ATTRS.iter().filter(|(_, flag)| flags.contains(*flag));
    rest.fold(atime, |all, (attr, _)| all | attr)
}

/// The flags that attributes other than the access time policy stand for. `EINVAL` for others.
fn flags_of(attrs: u64) -> Result<MountFlags> {
    let known = ATTRS.iter().fold(ATTR_ATIME, |all, (attr, _)| all | attr);
    if attrs & !known != 0 {
        return Err(Errno::EINVAL);
    }
    let set = ATTRS.iter().filter(|(attr, _)| attrs & attr != 0);
    Ok(set.fold(MountFlags::empty(), |all, (_, flag)| all | *flag))
}

fn atime_of(attrs: u64) -> Result<MountFlags> {
    match attrs & ATTR_ATIME {
        0 => Ok(MountFlags::RELATIME),
        MOUNT_ATTR_NOATIME => Ok(MountFlags::NOATIME),
        MOUNT_ATTR_STRICTATIME => Ok(MountFlags::STRICTATIME),
        _ => Err(Errno::EINVAL),
    }
}

impl CurrentTask {
    /// A path relative to a descriptor; with `empty` the descriptor's own file.
    fn place(&self, dirfd: i32, path: UserPath, follow: bool, empty: bool) -> Result<Path> {
        let path = path.read(self)?;
        let mut lookup = LookupFlags::empty();
        lookup.set(LookupFlags::FOLLOW, follow);
        lookup.set(LookupFlags::EMPTY_PATH, empty);
        if path.is_empty() && empty && dirfd != AT_FDCWD {
            return self.fds.get(dirfd)?.path().cloned().ok_or(Errno::EINVAL);
        }
        resolver::lookup(&self.cx(), &self.at_for(dirfd, &path)?, &path, lookup)
    }

    /// A descriptor that only stands for a place: `O_PATH`.
    fn install_place(&self, path: Path, close_on_exec: bool) -> Result<i32> {
        match open::open_path(&self.cx(), path, OpenFlags::PATH)? {
            Opened::File(file) => self.install_fd(file, close_on_exec),
            Opened::Special(_) => Err(Errno::EINVAL),
        }
    }

    /// Takes a parameter of a configuration.
    fn set_parameter(&self, context: &FsConfig, key: &[u8], value: Option<&[u8]>) -> Result<()> {
        context.config.lock().set(key, value, |parameters| {
            let new = NewFileSystem {
                kind: &context.kind,
                source: b"",
                parameters,
                at: &self.fs.at_cwd(),
            };
            self.kernel.check_parameter(&self.cx(), &new)
        })
    }

    fn string(&self, at: UserPtr<u8>) -> Result<Vec<u8>> {
        match self.mm.space.copy_in_cstr(at.addr(), STRING_MAX)? {
            Some(text) => Ok(text),
            None => Err(Errno::EINVAL),
        }
    }
}

pub(super) fn sys_open_tree(
    task: &mut CurrentTask,
    dirfd: i32,
    path: UserPath,
    flags: Flags,
) -> Result<i32> {
    flags.only(
        AT_EMPTY_PATH
            | AT_NO_AUTOMOUNT
            | AT_RECURSIVE
            | AT_SYMLINK_NOFOLLOW
            | OPEN_TREE_CLONE
            | OPEN_TREE_CLOEXEC,
    )?;
    if flags.has(AT_RECURSIVE) && !flags.has(OPEN_TREE_CLONE) {
        return Err(Errno::EINVAL);
    }
    if flags.has(OPEN_TREE_CLONE) {
        task.must_be_admin()?;
    }
    let follow = !flags.has(AT_SYMLINK_NOFOLLOW);
    let mut place = task.place(dirfd, path, follow, flags.has(AT_EMPTY_PATH))?;
    if flags.has(OPEN_TREE_CLONE) {
        let mounts = &task.ns.mnt;
        place = mounts.clone_tree(&task.cx(), &place, flags.has(AT_RECURSIVE))?;
    }
    task.install_place(place, flags.has(OPEN_TREE_CLOEXEC))
}

pub(super) fn sys_fsopen(task: &mut CurrentTask, kind: UserPtr<u8>, flags: Flags) -> Result<i32> {
    task.must_be_admin()?;
    flags.only(FSOPEN_CLOEXEC)?;
    // PAGE_SIZE is what Linux reads of a type's name.
    let kind = match task.mm.space.copy_in_cstr(kind.addr(), 4096)? {
        Some(kind) => kind,
        None => return Err(Errno::EINVAL),
    };
    if !task.kernel.knows_file_system(&kind) {
        return Err(Errno::ENODEV);
    }
    let file = fs_context::open(&task.cx(), kind, Phase::Creating);
    task.install_fd(file, flags.has(FSOPEN_CLOEXEC))
}

pub(super) fn sys_fspick(
    task: &mut CurrentTask,
    dirfd: i32,
    path: UserPath,
    flags: Flags,
) -> Result<i32> {
    task.must_be_admin()?;
    flags
        .only(FSPICK_CLOEXEC | FSPICK_SYMLINK_NOFOLLOW | FSPICK_NO_AUTOMOUNT | FSPICK_EMPTY_PATH)?;
    let follow = !flags.has(FSPICK_SYMLINK_NOFOLLOW);
    let place = task.place(dirfd, path, follow, flags.has(FSPICK_EMPTY_PATH))?;
    if !place.is_mount_root() {
        return Err(Errno::EINVAL);
    }
    let kind = place.mount.fs().name().as_bytes().to_vec();
    let file = fs_context::open(&task.cx(), kind, Phase::Reconfiguring(place));
    task.install_fd(file, flags.has(FSPICK_CLOEXEC))
}

fn configuration(file: &File) -> Result<&FsConfig> {
    file.ops_as::<FsConfig>().ok_or(Errno::EINVAL)
}

pub(super) fn sys_fsconfig(
    task: &mut CurrentTask,
    fd: i32,
    command: u32,
    key: UserPtr<u8>,
    value: UserPtr<u8>,
    aux: i32,
) -> Result<()> {
    if fd < 0 {
        return Err(Errno::EINVAL);
    }
    let (has_key, has_value) = (!key.is_null(), !value.is_null());
    let well_formed = match command {
        FSCONFIG_SET_FLAG => has_key && !has_value && aux == 0,
        FSCONFIG_SET_STRING => has_key && has_value && aux == 0,
        FSCONFIG_SET_BINARY => has_key && has_value && (1..=BINARY_MAX).contains(&aux),
        FSCONFIG_SET_PATH | FSCONFIG_SET_PATH_EMPTY => {
            has_key && has_value && (aux == AT_FDCWD || aux >= 0)
        }
        FSCONFIG_SET_FD => has_key && !has_value && aux >= 0,
        FSCONFIG_CMD_CREATE | FSCONFIG_CMD_RECONFIGURE => !has_key && !has_value && aux == 0,
        _ => return Err(Errno::EOPNOTSUPP),
    };
    if !well_formed {
        return Err(Errno::EINVAL);
    }
    let file = task.fds.get(fd)?;
    let context = configuration(&file)?;
    match command {
        FSCONFIG_SET_FLAG => {
            let key = task.string(key)?;
            task.set_parameter(context, &key, None)
        }
        FSCONFIG_SET_STRING => {
            let (key, value) = (task.string(key)?, task.string(value)?);
            task.set_parameter(context, &key, Some(&value))
        }
        FSCONFIG_CMD_CREATE => create(task, context),
        FSCONFIG_CMD_RECONFIGURE => reconfigure(task, context),
        // No file system here has parameters of these kinds.
        _ => Err(Errno::EINVAL),
    }
}

fn create(task: &CurrentTask, context: &FsConfig) -> Result<()> {
    let mut config = context.config.lock();
    if !matches!(config.phase, Phase::Creating) {
        return Err(Errno::EBUSY);
    }
    task.must_be_admin()?;
    let source = config.source.clone().unwrap_or_else(|| b"none".to_vec());
    let new = NewFileSystem {
        kind: &context.kind,
        source: &source,
        parameters: &config.parameters,
        at: &task.fs.at_cwd(),
    };
    let made = task.kernel.make_file_system(&task.cx(), &new);
    config.phase = match &made {
        Ok(fs) => Phase::Created(Arc::clone(fs)),
        Err(_) => Phase::Done,
    };
    made.map(drop)
}

fn reconfigure(task: &CurrentTask, context: &FsConfig) -> Result<()> {
    let config = context.config.lock();
    let Phase::Reconfiguring(place) = &config.phase else {
        return Err(Errno::EBUSY);
    };
    task.must_be_admin()?;
    if !config.parameters.is_empty() {
        // The sizes of a file system are for its life.
        return Err(Errno::EINVAL);
    }
    if config.read_only && !place.mount.super_block().read_only() && place.mount.has_writers() {
        return Err(Errno::EBUSY);
    }
    place.mount.super_block().set_read_only(config.read_only);
    Ok(())
}

pub(super) fn sys_fsmount(
    task: &mut CurrentTask,
    fd: i32,
    flags: Flags,
    attrs: u32,
) -> Result<i32> {
    task.must_be_admin()?;
    flags.only(FSMOUNT_CLOEXEC)?;
    let attrs = u64::from(attrs);
    let mut mount_flags = flags_of(attrs)? | atime_of(attrs)?;
    let file = task.fds.get(fd)?;
    let context = configuration(&file)?;
    let mut config = context.config.lock();
    let fs = match &config.phase {
        Phase::Created(fs) => Arc::clone(fs),
        Phase::Creating => return Err(Errno::EINVAL),
        Phase::Reconfiguring(_) | Phase::Done => return Err(Errno::EBUSY),
    };
    config.phase = Phase::Done;
    if config.read_only {
        mount_flags |= MountFlags::RDONLY;
    }
    let source = config.source.clone().unwrap_or_else(|| b"none".to_vec());
    drop(config);
    let place = MountNamespace::detached(&fs, mount_flags, &source);
    task.install_place(place, flags.has(FSMOUNT_CLOEXEC))
}

pub(super) fn sys_move_mount(
    task: &mut CurrentTask,
    from_dirfd: i32,
    from: UserPath,
    to_dirfd: i32,
    to: UserPath,
    flags: Flags,
) -> Result<()> {
    task.must_be_admin()?;
    // DEVIATION: MOVE_MOUNT_SET_GROUP and MOVE_MOUNT_BENEATH are unknown, as to older kernels.
    flags.only(
        MOVE_MOUNT_F_SYMLINKS
            | MOVE_MOUNT_F_AUTOMOUNTS
            | MOVE_MOUNT_F_EMPTY_PATH
            | MOVE_MOUNT_T_SYMLINKS
            | MOVE_MOUNT_T_AUTOMOUNTS
            | MOVE_MOUNT_T_EMPTY_PATH,
    )?;
    let from = task.place(
        from_dirfd,
        from,
        flags.has(MOVE_MOUNT_F_SYMLINKS),
        flags.has(MOVE_MOUNT_F_EMPTY_PATH),
    )?;
    let to = task.place(
        to_dirfd,
        to,
        flags.has(MOVE_MOUNT_T_SYMLINKS),
        flags.has(MOVE_MOUNT_T_EMPTY_PATH),
    )?;
    task.ns.mnt.move_mount(&task.cx(), &from, &to)
}

/// The propagation type of an `MS_*` bit. `EINVAL` for anything but one of the four.
pub(super) fn propagation_of(bits: u64) -> Result<Propagation> {
    match bits {
        MS_SHARED => Ok(Propagation::Shared),
        MS_PRIVATE => Ok(Propagation::Private),
        MS_SLAVE => Ok(Propagation::Slave),
        MS_UNBINDABLE => Ok(Propagation::Unbindable),
        _ => Err(Errno::EINVAL),
    }
}

pub(super) fn sys_mount_setattr(
    task: &mut CurrentTask,
    dirfd: i32,
    path: UserPath,
    flags: Flags,
    attr: UserPtr<MountAttr>,
    size: usize,
) -> Result<()> {
    flags.only(AT_EMPTY_PATH | AT_RECURSIVE | AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT)?;
    if size > 4096 {
        return Err(Errno::E2BIG);
    }
    if size < MOUNT_ATTR_SIZE_VER0 {
        return Err(Errno::EINVAL);
    }
    task.must_be_admin()?;
    let attr: MountAttr = task.read_extensible(attr.addr(), size)?;
    if attr.attr_set == 0 && attr.attr_clr == 0 && attr.propagation == 0 {
        return Ok(());
    }
    let propagation = match attr.propagation {
        0 => None,
        bits => Some(propagation_of(bits)?),
    };
    let set = flags_of(attr.attr_set)?;
    let clear = flags_of(attr.attr_clr)?;
    // A policy is changed by clearing all of it.
    let atime = match attr.attr_clr & ATTR_ATIME {
        0 if attr.attr_set & ATTR_ATIME == 0 => None,
        ATTR_ATIME => Some(atime_of(attr.attr_set)?),
        _ => return Err(Errno::EINVAL),
    };
    let follow = !flags.has(AT_SYMLINK_NOFOLLOW);
    let place = task.place(dirfd, path, follow, flags.has(AT_EMPTY_PATH))?;
    let change = |flags: MountFlags| {
        let kept = (flags - clear) | set;
        match atime {
            Some(atime) => (kept - ATIME) | atime,
            None => kept,
        }
    };
    task.ns.mnt.set_attr(
        &task.cx(),
        &place,
        flags.has(AT_RECURSIVE),
        change,
        propagation,
    )
}
