//! The point of no return of execve(2).

use super::{elf::Loaded, image::Image};
use crate::task::{CurrentTask, disabled_stack};
use std::sync::{Arc, atomic::Ordering};
use tuxlet_cpu::CpuState;
use tuxlet_uapi::{
    errno::{Errno, Result},
    mount::MS_NOSUID,
};
use tuxlet_vfs::{Attr, Cred, Path, cx::CAP_FULL, file_caps::FileCaps};

const S_ISUID: u32 = 0o4000;
const S_ISGID: u32 = 0o2000;
const S_IXGRP: u32 = 0o010;

/// `SECBIT_NOROOT`: the superuser is nobody special.
const SECBIT_NOROOT: u32 = 1;

/// The transformation of the sets that capabilities(7) gives; whether the program gets rights that a caller who is
/// not root lacks. `EPERM` if the file demands what the bounding set forbids.
fn apply_capabilities(new: &mut Cred, file: Option<FileCaps>, changes_id: bool) -> Result<bool> {
    let noroot = new.securebits & SECBIT_NOROOT != 0;
    // A set-user-id-root program with capabilities of its own gets only these.
    let superuser = new.user_ns.global_uid(0);
    let is_root = |id: u32| Some(id) == superuser;
    let own = file.is_some() && !is_root(new.uid) && is_root(new.euid);
    let root = !noroot && !own && (is_root(new.euid) || is_root(new.uid));
    if file.is_some() || changes_id {
        new.cap_ambient = 0;
    }
    let (from_file, effective) = match file {
        Some(f) => (
            (new.cap_inheritable & f.inheritable) | (f.permitted & new.cap_bounding),
            f.effective,
        ),
        None => (0, false),
    };
    if let Some(f) = file
        && effective
        && !root
        && f.permitted & CAP_FULL & !from_file != 0
    {
        return Err(Errno::EPERM);
    }
    let from_root = if root {
        (CAP_FULL & new.cap_bounding) | new.cap_inheritable
    } else {
        0
    };
    new.cap_permitted = from_root | (from_file & CAP_FULL) | new.cap_ambient;
    new.cap_effective = if effective || (root && is_root(new.euid)) {
        new.cap_permitted
    } else {
        new.cap_ambient
    };
    Ok(!is_root(new.uid) && !root && (effective || new.cap_permitted & !new.cap_ambient != 0))
}

impl CurrentTask {
    /// The credentials that a program runs with, and whether they give it rights that its caller lacks
    /// (`AT_SECURE`): execve(2), capabilities(7).
    pub(super) fn exec_cred(&self, attr: &Attr, path: &Path) -> Result<(Cred, bool)> {
        let old = self.task.cred();
        let mut new = (*old).clone();
        // Ids without meaning in the caller's namespace give nobody anything.
        let mapped = old.user_ns.maps_uid(attr.uid) && old.user_ns.maps_gid(attr.gid);
        let honours_set_id = !old.no_new_privs
            && self.tracer_allows_privileges()
            && u64::from(path.mount.flags().bits()) & MS_NOSUID == 0;
        if honours_set_id && mapped && attr.mode & S_ISUID != 0 {
            new.euid = attr.uid;
        }
        if honours_set_id && mapped && attr.mode & (S_ISGID | S_IXGRP) == S_ISGID | S_IXGRP {
            new.egid = attr.gid;
        }
        (new.suid, new.fsuid) = (new.euid, new.euid);
        (new.sgid, new.fsgid) = (new.egid, new.egid);
        let file = if honours_set_id {
            FileCaps::of(&self.cx(), path.inode())?
        } else {
            None
        };
        let changes_id = new.euid != old.euid || new.egid != old.egid;
        let gained = apply_capabilities(&mut new, file, changes_id)?;
        let secure = new.euid != old.uid || new.egid != old.gid || gained;
        Ok((new, secure))
    }

    /// Swaps in the new program. `called_as` is the path that execve(2) was given, which names the thread.
    pub(super) fn commit_exec(
        &mut self,
        loaded: Loaded,
        called_as: &[u8],
        image: &Image,
    ) -> Result<()> {
        let (cred, secure) = self.exec_cred(&image.attr, &image.path)?;
        let old_tid = self.become_only_thread()?;

        if self.clear_child_tid != 0 {
            let addr = std::mem::take(&mut self.clear_child_tid);
            if Arc::strong_count(&self.mm) > 1 && self.mm.space.write::<u32>(addr, &0).is_ok() {
                crate::futex::wake_addr(self, addr, 1);
            }
        }
        crate::futex::exit_robust_list(self);
        self.kernel.futexes.release_pi_locks(self.task.tid());
        self.leave_rings();
        self.rseq = None;
        self.restart = None;
        self.ns = self.ns.with_childrens_time();
        self.switch_mm(Arc::clone(&loaded.mm));
        if let Some(done) = self.vfork_done.take() {
            done.complete();
        }

        // From here on the old program is gone; nothing below can fail.
        let group = Arc::clone(self.task.group());
        self.unshare_sighand(&group);
        self.unshare_fds();
        let cx = self.cx();
        self.fds.close_for_exec(&cx);
        self.task.signals.lock().alt_stack = disabled_stack();
        group.timers.clear_posix();
        group.dumpable.store(!secure, Ordering::Relaxed);
        self.task.pdeath_signal.store(
            if secure {
                0
            } else {
                self.task.pdeath_signal.load(Ordering::Relaxed)
            },
            Ordering::Relaxed,
        );
        self.task.set_cred(cred);
        self.task
            .set_comm(called_as.rsplit(|b| *b == b'/').next().unwrap_or(called_as));
        if let Some(node) = self.kernel.tree.lock().node_mut(group.tgid()) {
            node.execed = true;
        }
        *self.cpu = CpuState {
            pc: loaded.entry,
            sp: loaded.stack,
            ..CpuState::new()
        };
        self.ptrace_exec(old_tid);
        Ok(())
    }

    /// Kills the other threads and waits until they are gone; the caller takes over the leader's id. Gives back the
    /// id that it had.
    fn become_only_thread(&mut self) -> Result<u32> {
        let group = Arc::clone(self.task.group());
        let own = self.task.tid();
        {
            let mut shared = group.signals.lock();
            if shared.group_exit.is_some() || shared.exec_by.is_some() {
                return Err(Errno::ERESTARTNOINTR);
            }
            shared.exec_by = Some(own);
        }
        let others = || -> Vec<_> {
            let tree = self.kernel.tree.lock();
            let threads = tree
                .node(group.tgid())
                .map(|n| n.threads.clone())
                .unwrap_or_default();
            threads.into_iter().filter(|t| t.tid() != own).collect()
        };
        for task in others() {
            task.kill();
        }
        let waiter = Arc::clone(self.task.waiter());
        let mut table = tuxlet_vfs::PollTable::new(waiter.clone());
        table.add(&group.thread_exit);
        while !others().is_empty() {
            if group.signals.lock().group_exit.is_some() {
                group.signals.lock().exec_by = None;
                return Err(Errno::EINTR);
            }
            waiter.wait(None);
        }
        group.signals.lock().exec_by = None;
        if own != group.tgid() {
            self.task.set_tid(group.tgid());
            self.kernel.tree.lock().become_leader(&self.task, own);
        }
        Ok(own)
    }

    fn unshare_sighand(&self, group: &crate::task::ThreadGroup) {
        let mut sighand = group.sighand.write();
        let own = sighand.copy();
        own.reset_handlers();
        *sighand = Arc::new(own);
    }

    /// Gives the task a descriptor table of its own.
    pub(crate) fn unshare_fds(&mut self) {
        if Arc::strong_count(&self.fds) > 1 {
            self.fds = Arc::new(self.fds.copy());
            self.publish_resources();
        }
    }
}
