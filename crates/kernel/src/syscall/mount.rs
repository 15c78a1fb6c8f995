//! mount(2), umount2(2), pivot_root(2).

use super::{Flags, UserPath, UserPtr, fsmount::propagation_of};
use crate::{kernel::NewFileSystem, task::CurrentTask};
use tuxlet_uapi::{
    errno::{Errno, Result},
    mount::{
        MNT_DETACH, MNT_EXPIRE, MNT_FORCE, MS_BIND, MS_MGC_MSK, MS_MGC_VAL, MS_MOVE, MS_PRIVATE,
        MS_REC, MS_REMOUNT, MS_SHARED, MS_SILENT, MS_SLAVE, MS_UNBINDABLE, UMOUNT_NOFOLLOW,
    },
};
use tuxlet_vfs::{LookupFlags, MountFlags, Path, resolver};

/// Most bytes of the file system's own options.
const DATA_MAX: usize = 4096;
/// The flags that change who hears of mounts below.
const PROPAGATION: u64 = MS_SHARED | MS_PRIVATE | MS_SLAVE | MS_UNBINDABLE;

impl CurrentTask {
    fn mount_path(&self, path: UserPath, extra: LookupFlags) -> Result<Path> {
        resolver::lookup(&self.cx(), &self.fs.at_cwd(), &path.read(self)?, extra)
    }

    pub(super) fn must_be_admin(&self) -> Result<()> {
        crate::ns::must_be_admin_of(&self.task.cred(), self.ns.mnt.owner())
    }
}

pub(super) fn sys_mount(
    task: &mut CurrentTask,
    source: UserPtr<u8>,
    target: UserPath,
    kind: UserPtr<u8>,
    flags: u64,
    data: UserPtr<u8>,
) -> Result<()> {
    let string = |task: &CurrentTask, at: UserPtr<u8>, max: usize| {
        if at.is_null() {
            Ok(None)
        } else {
            task.mm.space.read_cstr(at.addr(), max).map(Some)
        }
    };
    let kind = string(task, kind, DATA_MAX)?;
    let source_name = string(task, source, DATA_MAX)?;
    // Not a string for every file system; what cannot be read is not there.
    let options = string(task, data, DATA_MAX)
        .unwrap_or_default()
        .unwrap_or_default();
    let target = task.mount_path(target, LookupFlags::FOLLOW)?;
    task.must_be_admin()?;
    let flags = if flags & MS_MGC_MSK == MS_MGC_VAL {
        flags & !MS_MGC_MSK
    } else {
        flags
    };
    let mount_flags = MountFlags::from_bits_truncate(flags as u32);
    let cx = task.cx();
    let mounts = std::sync::Arc::clone(&task.ns.mnt);
    if flags & MS_REMOUNT != 0 {
        return mounts.remount(&cx, &target, mount_flags, flags & MS_BIND != 0);
    }
    if flags & (MS_BIND | MS_MOVE) != 0 {
        let from = source_name.ok_or(Errno::EINVAL)?;
        let from = resolver::lookup(&cx, &task.fs.at_cwd(), &from, LookupFlags::FOLLOW)?;
        return if flags & MS_BIND != 0 {
            mounts
                .bind(&cx, &from, &target, flags & MS_REC != 0)
                .map(drop)
        } else {
            mounts.move_mount(&cx, &from, &target)
        };
    }
    if flags & PROPAGATION != 0 {
        let to = propagation_of(flags & !(MS_REC | MS_SILENT))?;
        return mounts.set_propagation(&cx, &target, to, flags & MS_REC != 0);
    }
    let kind = kind.ok_or(Errno::EINVAL)?;
    let source = source_name.unwrap_or_else(|| b"none".to_vec());
    let new = NewFileSystem {
        kind: &kind,
        source: &source,
        parameters: &task.kernel.mount_options(&kind, &options),
        at: &task.fs.at_cwd(),
    };
    let fs = task.kernel.make_file_system(&cx, &new)?;
    mounts
        .mount(&cx, &fs, &target, mount_flags.with_default_atime(), &source)
        .map(drop)
}

pub(super) fn sys_umount2(task: &mut CurrentTask, target: UserPath, flags: Flags) -> Result<()> {
    flags.only(MNT_FORCE | MNT_DETACH | MNT_EXPIRE | UMOUNT_NOFOLLOW)?;
    if flags.has(MNT_EXPIRE) && flags.has(MNT_FORCE | MNT_DETACH) {
        return Err(Errno::EINVAL);
    }
    let mut lookup = LookupFlags::FOLLOW;
    lookup.set(LookupFlags::FOLLOW, !flags.has(UMOUNT_NOFOLLOW));
    // Also of "." what is mounted on top.
    let target = task.mount_path(target, lookup)?.cross_mounts();
    task.must_be_admin()?;
    if flags.has(MNT_EXPIRE) {
        // DEVIATION: mounts do not expire; EAGAIN is what the first call answers.
        return Err(Errno::EAGAIN);
    }
    task.ns
        .mnt
        .umount(&task.cx(), target, flags.has(MNT_DETACH))
}

pub(super) fn sys_pivot_root(
    task: &mut CurrentTask,
    new_root: UserPath,
    put_old: UserPath,
) -> Result<()> {
    task.must_be_admin()?;
    let directory = LookupFlags::FOLLOW | LookupFlags::DIRECTORY;
    let new_root = task.mount_path(new_root, directory)?;
    let put_old = task.mount_path(put_old, directory)?;
    let current = task.fs.root();
    let pivoted = task
        .ns
        .mnt
        .pivot_root(&task.cx(), &new_root, &put_old, &current)?;
    // Everybody whose root or working directory was the old root moves along: pivot_root(2).
    let tasks: Vec<_> = {
        let tree = task.kernel.tree.lock();
        tree.groups().flat_map(|(_, n)| n.threads.clone()).collect()
    };
    for resources in tasks.iter().filter_map(|t| t.resources()) {
        resources
            .fs
            .replace(|path| path.is(&pivoted.old_root).then(|| pivoted.new_root.clone()));
    }
    Ok(())
}
