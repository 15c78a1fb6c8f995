//! Process, group and session ids, user and group ids: credentials(7).

use super::UserPtr;
use crate::task::CurrentTask;
use std::sync::atomic::Ordering;
use tuxlet_uapi::errno::{Errno, Result};
use tuxlet_vfs::{Cred, cx::cap};

/// Linux has room for so many groups.
const NGROUPS_MAX: i32 = 65_536;
/// "Leave this one as it is".
const KEEP: u32 = u32::MAX;

pub(super) fn sys_getpid(task: &mut CurrentTask) -> Result<u32> {
    Ok(task.task.group().own_tgid())
}

pub(super) fn sys_gettid(task: &mut CurrentTask) -> Result<u32> {
    Ok(task.task.own_tid())
}

pub(super) fn sys_getppid(task: &mut CurrentTask) -> Result<u32> {
    let tree = task.kernel.tree.lock();
    let parent = tree.node(task.task.tgid()).map_or(0, |n| n.parent);
    Ok(task.shown_pid(parent))
}

pub(super) fn sys_set_tid_address(task: &mut CurrentTask, addr: u64) -> Result<u32> {
    task.clear_child_tid = addr;
    Ok(task.task.own_tid())
}

/// The process of an id, the caller's for 0. `ESRCH`.
fn process_or_own(task: &CurrentTask, pid: u32) -> Result<u32> {
    if pid == 0 {
        Ok(task.task.tgid())
    } else {
        task.given_pid(pid)
    }
}

pub(super) fn sys_getpgid(task: &mut CurrentTask, pid: u32) -> Result<u32> {
    let pid = process_or_own(task, pid)?;
    let tree = task.kernel.tree.lock();
    let node = tree.node(pid).ok_or(Errno::ESRCH)?;
    Ok(task.shown_pid(node.pgid))
}

pub(super) fn sys_getsid(task: &mut CurrentTask, pid: u32) -> Result<u32> {
    let pid = process_or_own(task, pid)?;
    let tree = task.kernel.tree.lock();
    let node = tree.node(pid).ok_or(Errno::ESRCH)?;
    Ok(task.shown_pid(node.sid))
}

pub(super) fn sys_setpgid(task: &mut CurrentTask, pid: i32, pgid: i32) -> Result<()> {
    if pgid < 0 || (pgid == 0 && pid < 0) {
        return Err(Errno::EINVAL);
    }
    let own = task.task.tgid();
    let pid = process_or_own(task, pid.cast_unsigned())?;
    let pgid = match pgid.cast_unsigned() {
        0 => pid,
        pgid => task.given_pid(pgid).map_err(|_| Errno::EPERM)?,
    };
    let mut tree = task.kernel.tree.lock();
    let own_sid = tree.node(own).map(|n| n.sid).ok_or(Errno::ESRCH)?;
    let target = tree
        .node(pid)
        .filter(|n| n.zombie.is_none())
        .ok_or(Errno::ESRCH)?;
    if pid != own {
        if target.parent != own {
            return Err(Errno::ESRCH);
        }
        if target.sid != own_sid {
            return Err(Errno::EPERM);
        }
        if target.execed {
            return Err(Errno::EACCES);
        }
    }
    // A session leader stays where it is.
    if target.sid == pid {
        return Err(Errno::EPERM);
    }
    if pgid != pid && !tree.process_group(pgid).any(|n| n.sid == own_sid) {
        return Err(Errno::EPERM);
    }
    if let Some(node) = tree.node_mut(pid) {
        let old = std::mem::replace(&mut node.pgid, pgid);
        tree.forget_id(&task.task.group().pid_ns, old);
    }
    Ok(())
}

pub(super) fn sys_setsid(task: &mut CurrentTask) -> Result<u32> {
    let own = task.task.tgid();
    let mut tree = task.kernel.tree.lock();
    if tree.process_group(own).next().is_some() {
        return Err(Errno::EPERM);
    }
    let node = tree.node_mut(own).ok_or(Errno::ESRCH)?;
    let old = [node.pgid, node.sid];
    node.pgid = own;
    node.sid = own;
    node.group.gave_up_tty.store(false, Ordering::Relaxed);
    for id in old {
        tree.forget_id(&task.task.group().pid_ns, id);
    }
    Ok(task.task.group().own_tgid())
}

pub(super) fn sys_getuid(task: &mut CurrentTask) -> Result<u32> {
    let cred = task.task.cred();
    Ok(cred.user_ns.shown_uid(cred.uid))
}

pub(super) fn sys_geteuid(task: &mut CurrentTask) -> Result<u32> {
    let cred = task.task.cred();
    Ok(cred.user_ns.shown_uid(cred.euid))
}

pub(super) fn sys_getgid(task: &mut CurrentTask) -> Result<u32> {
    let cred = task.task.cred();
    Ok(cred.user_ns.shown_gid(cred.gid))
}

pub(super) fn sys_getegid(task: &mut CurrentTask) -> Result<u32> {
    let cred = task.task.cred();
    Ok(cred.user_ns.shown_gid(cred.egid))
}

pub(super) fn sys_getresuid(
    task: &mut CurrentTask,
    real: UserPtr<u32>,
    effective: UserPtr<u32>,
    saved: UserPtr<u32>,
) -> Result<()> {
    let cred = task.task.cred();
    real.write(task, &cred.user_ns.shown_uid(cred.uid))?;
    effective.write(task, &cred.user_ns.shown_uid(cred.euid))?;
    saved.write(task, &cred.user_ns.shown_uid(cred.suid))
}

pub(super) fn sys_getresgid(
    task: &mut CurrentTask,
    real: UserPtr<u32>,
    effective: UserPtr<u32>,
    saved: UserPtr<u32>,
) -> Result<()> {
    let cred = task.task.cred();
    real.write(task, &cred.user_ns.shown_gid(cred.gid))?;
    effective.write(task, &cred.user_ns.shown_gid(cred.egid))?;
    saved.write(task, &cred.user_ns.shown_gid(cred.sgid))
}

impl CurrentTask {
    /// Changes user ids with the effect that this has on capabilities: capabilities(7), "Effect of user ID
    /// changes on capabilities".
    fn commit_uids(&mut self, mut new: Cred) {
        let old = self.task.cred();
        let root = old.user_ns.global_uid(0);
        let is_root = |id: u32| Some(id) == root;
        let any_root = |c: &Cred| is_root(c.uid) || is_root(c.euid) || is_root(c.suid);
        const KEEP_CAPS: u32 = 1 << 4;
        const NO_SETUID_FIXUP: u32 = 1 << 2;
        if new.securebits & NO_SETUID_FIXUP == 0 {
            if any_root(&old) && !any_root(&new) && new.securebits & KEEP_CAPS == 0 {
                new.cap_permitted = 0;
                new.cap_effective = 0;
                new.cap_ambient = 0;
            }
            if is_root(old.euid) && !is_root(new.euid) {
                new.cap_effective = 0;
            }
            if !is_root(old.euid) && is_root(new.euid) {
                new.cap_effective = new.cap_permitted;
            }
        }
        new.fsuid = new.euid;
        self.task.set_cred(new);
    }

    fn commit_gids(&mut self, mut new: Cred) {
        new.fsgid = new.egid;
        self.task.set_cred(new);
    }
}

/// User ids as the kernel has them; `KEEP` stays. `EINVAL` for one that the caller's namespace does not map.
fn given_uids<const N: usize>(task: &CurrentTask, ids: [u32; N]) -> Result<[u32; N]> {
    let ns = &task.task.cred().user_ns;
    let mut all = ids;
    for id in all.iter_mut().filter(|id| **id != KEEP) {
        *id = ns.global_uid(*id).ok_or(Errno::EINVAL)?;
    }
    Ok(all)
}

/// The same for group ids.
fn given_gids<const N: usize>(task: &CurrentTask, ids: [u32; N]) -> Result<[u32; N]> {
    let ns = &task.task.cred().user_ns;
    let mut all = ids;
    for id in all.iter_mut().filter(|id| **id != KEEP) {
        *id = ns.global_gid(*id).ok_or(Errno::EINVAL)?;
    }
    Ok(all)
}

pub(super) fn sys_setuid(task: &mut CurrentTask, uid: u32) -> Result<()> {
    let mut new = (*task.task.cred()).clone();
    if uid == KEEP {
        return Err(Errno::EINVAL);
    }
    let [uid] = given_uids(task, [uid])?;
    if new.has_own_cap(cap::SETUID) {
        (new.uid, new.suid) = (uid, uid);
    } else if uid != new.uid && uid != new.suid {
        return Err(Errno::EPERM);
    }
    new.euid = uid;
    task.commit_uids(new);
    Ok(())
}

pub(super) fn sys_setgid(task: &mut CurrentTask, gid: u32) -> Result<()> {
    let mut new = (*task.task.cred()).clone();
    if gid == KEEP {
        return Err(Errno::EINVAL);
    }
    let [gid] = given_gids(task, [gid])?;
    if new.has_own_cap(cap::SETGID) {
        (new.gid, new.sgid) = (gid, gid);
    } else if gid != new.gid && gid != new.sgid {
        return Err(Errno::EPERM);
    }
    new.egid = gid;
    task.commit_gids(new);
    Ok(())
}

pub(super) fn sys_setreuid(task: &mut CurrentTask, real: u32, effective: u32) -> Result<()> {
    let [real, effective] = given_uids(task, [real, effective])?;
    let old = task.task.cred();
    let mut new = (*old).clone();
    let privileged = old.has_own_cap(cap::SETUID);
    if real != KEEP {
        if real != old.uid && real != old.euid && !privileged {
            return Err(Errno::EPERM);
        }
        new.uid = real;
    }
    if effective != KEEP {
        if ![old.uid, old.euid, old.suid].contains(&effective) && !privileged {
            return Err(Errno::EPERM);
        }
        new.euid = effective;
    }
    if real != KEEP || (effective != KEEP && effective != old.uid) {
        new.suid = new.euid;
    }
    task.commit_uids(new);
    Ok(())
}

pub(super) fn sys_setregid(task: &mut CurrentTask, real: u32, effective: u32) -> Result<()> {
    let [real, effective] = given_gids(task, [real, effective])?;
    let old = task.task.cred();
    let mut new = (*old).clone();
    let privileged = old.has_own_cap(cap::SETGID);
    if real != KEEP {
        if real != old.gid && real != old.egid && !privileged {
            return Err(Errno::EPERM);
        }
        new.gid = real;
    }
    if effective != KEEP {
        if ![old.gid, old.egid, old.sgid].contains(&effective) && !privileged {
            return Err(Errno::EPERM);
        }
        new.egid = effective;
    }
    if real != KEEP || (effective != KEEP && effective != old.gid) {
        new.sgid = new.egid;
    }
    task.commit_gids(new);
    Ok(())
}

/// Unprivileged, each new id must be one of the old three.
fn may_set_three(old: [u32; 3], new: [u32; 3], privileged: bool) -> bool {
    privileged || new.iter().all(|id| *id == KEEP || old.contains(id))
}

pub(super) fn sys_setresuid(
    task: &mut CurrentTask,
    real: u32,
    effective: u32,
    saved: u32,
) -> Result<()> {
    let [real, effective, saved] = given_uids(task, [real, effective, saved])?;
    let old = task.task.cred();
    if !may_set_three(
        [old.uid, old.euid, old.suid],
        [real, effective, saved],
        old.has_own_cap(cap::SETUID),
    ) {
        return Err(Errno::EPERM);
    }
    let mut new = (*old).clone();
    for (to, from) in [
        (&mut new.uid, real),
        (&mut new.euid, effective),
        (&mut new.suid, saved),
    ] {
        if from != KEEP {
            *to = from;
        }
    }
    task.commit_uids(new);
    Ok(())
}

pub(super) fn sys_setresgid(
    task: &mut CurrentTask,
    real: u32,
    effective: u32,
    saved: u32,
) -> Result<()> {
    let [real, effective, saved] = given_gids(task, [real, effective, saved])?;
    let old = task.task.cred();
    if !may_set_three(
        [old.gid, old.egid, old.sgid],
        [real, effective, saved],
        old.has_own_cap(cap::SETGID),
    ) {
        return Err(Errno::EPERM);
    }
    let mut new = (*old).clone();
    for (to, from) in [
        (&mut new.gid, real),
        (&mut new.egid, effective),
        (&mut new.sgid, saved),
    ] {
        if from != KEEP {
            *to = from;
        }
    }
    task.commit_gids(new);
    Ok(())
}

pub(super) fn sys_setfsuid(task: &mut CurrentTask, uid: u32) -> Result<u32> {
    let old = task.task.cred();
    let shown = old.user_ns.shown_uid(old.fsuid);
    let Ok([uid]) = given_uids(task, [uid]) else {
        return Ok(shown);
    };
    if [old.uid, old.euid, old.suid, old.fsuid].contains(&uid)
        || (uid != KEEP && old.has_own_cap(cap::SETUID))
    {
        task.task.set_cred(Cred {
            fsuid: uid,
            ..(*old).clone()
        });
    }
    Ok(shown)
}

pub(super) fn sys_setfsgid(task: &mut CurrentTask, gid: u32) -> Result<u32> {
    let old = task.task.cred();
    let shown = old.user_ns.shown_gid(old.fsgid);
    let Ok([gid]) = given_gids(task, [gid]) else {
        return Ok(shown);
    };
    if [old.gid, old.egid, old.sgid, old.fsgid].contains(&gid)
        || (gid != KEEP && old.has_own_cap(cap::SETGID))
    {
        task.task.set_cred(Cred {
            fsgid: gid,
            ..(*old).clone()
        });
    }
    Ok(shown)
}

pub(super) fn sys_getgroups(
    task: &mut CurrentTask,
    size: i32,
    list: UserPtr<u32>,
) -> Result<usize> {
    let cred = task.task.cred();
    if size < 0 {
        return Err(Errno::EINVAL);
    }
    if size > 0 {
        if cred.groups.len() > size as usize {
            return Err(Errno::EINVAL);
        }
        for (i, gid) in cred.groups.iter().enumerate() {
            list.offset(i as u64)
                .write(task, &cred.user_ns.shown_gid(*gid))?;
        }
    }
    Ok(cred.groups.len())
}

pub(super) fn sys_setgroups(task: &mut CurrentTask, size: i32, list: UserPtr<u32>) -> Result<()> {
    let old = task.task.cred();
    if !old.has_own_cap(cap::SETGID) || !crate::ns::idmap::may_setgroups(&old.user_ns) {
        return Err(Errno::EPERM);
    }
    if !(0..=NGROUPS_MAX).contains(&size) {
        return Err(Errno::EINVAL);
    }
    let mut groups = list.read_vec(task, size as usize)?;
    for gid in &mut groups {
        *gid = old.user_ns.global_gid(*gid).ok_or(Errno::EINVAL)?;
    }
    task.task.set_cred(Cred {
        groups: groups.into(),
        ..(*old).clone()
    });
    Ok(())
}
