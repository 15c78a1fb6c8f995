//! unshare(2), setns(2), and the controls of namespace files: ioctl_ns(2).

use super::UserPtr;
use crate::{
    ns::{
        NsProxy, enter_new_user_ns, enter_user_ns,
        file::{self, Namespace, NsFile},
        must_be_admin_of,
        pid::PidNs,
    },
    pidfd::PidFd,
    task::CurrentTask,
};
use std::sync::Arc;
use tuxlet_uapi::{
    errno::{Errno, Result},
    fcntl::OpenFlags,
    sched::{
        CLONE_FILES, CLONE_FS, CLONE_NEWCGROUP, CLONE_NEWIPC, CLONE_NEWNET, CLONE_NEWNS,
        CLONE_NEWPID, CLONE_NEWTIME, CLONE_NEWUSER, CLONE_NEWUTS, CLONE_SIGHAND, CLONE_SYSVSEM,
        CLONE_THREAD, CLONE_VM,
    },
};
use tuxlet_vfs::{Cred, File, FsContext, Path, cx::cap};

/// All kinds of namespaces.
const MADE: u64 = CLONE_NEWNS
    | CLONE_NEWCGROUP
    | CLONE_NEWUTS
    | CLONE_NEWIPC
    | CLONE_NEWUSER
    | CLONE_NEWPID
    | CLONE_NEWNET
    | CLONE_NEWTIME;

/// Requests of ioctl_ns(2).
const NS_GET_USERNS: u32 = 0xb701;
const NS_GET_PARENT: u32 = 0xb702;
const NS_GET_NSTYPE: u32 = 0xb703;
const NS_GET_OWNER_UID: u32 = 0xb704;

impl CurrentTask {
    /// Credentials in a user namespace of the task's own making. `EPERM` in a changed root directory.
    pub(crate) fn cred_in_new_user_ns(&self) -> Result<Cred> {
        if !self.fs.root().is(&self.ns.mnt.root()) {
            return Err(Errno::EPERM);
        }
        enter_new_user_ns(&self.task.cred())
    }

    /// The namespaces of a task with credentials `cred` after `CLONE_NEW*` flags; directories of `fs` move into a new mount
    /// namespace.
    pub(crate) fn new_namespaces(
        &self,
        flags: u64,
        cred: &Cred,
        fs: &FsContext,
    ) -> Result<Arc<NsProxy>> {
        let has = |f: u64| flags & f != 0;
        let active = &self.task.group().pid_ns;
        let elsewhere = !Arc::ptr_eq(active, &self.ns.pid_for_children);
        if elsewhere && has(CLONE_NEWUSER | CLONE_NEWPID | CLONE_THREAD) {
            return Err(Errno::EINVAL);
        }
        if !has(MADE & !CLONE_NEWUSER) {
            return Ok(Arc::clone(&self.ns));
        }
        let owner = &cred.user_ns;
        must_be_admin_of(cred, owner)?;
        let mut ns = (*self.ns).clone();
        if has(CLONE_NEWPID) {
            if !owner.is_within(&ns.pid_for_children.id.owner) {
                return Err(Errno::EINVAL);
            }
            ns.pid_for_children = PidNs::child(&ns.pid_for_children, owner)?;
        }
        if has(CLONE_NEWUTS) {
            ns.unshare_uts(owner);
        }
        if has(CLONE_NEWIPC) {
            ns.unshare_ipc(owner, self.kernel.clock.realtime_vfs());
        }
        if has(CLONE_NEWCGROUP) {
            ns.unshare_cgroup(owner, self.task.cgroup());
        }
        if has(CLONE_NEWNET) {
            ns.unshare_net(owner);
        }
        if has(CLONE_NEWTIME) {
            ns.unshare_time(owner);
        }
        if has(CLONE_NEWNS) {
            let (copy, made) = ns.mnt.copy(owner);
            ns.mnt = copy;
            fs.replace(|path| {
                made.get(&path.mount.id()).map(|mount| Path {
                    mount: Arc::clone(mount),
                    dentry: Arc::clone(&path.dentry),
                })
            });
        }
        Ok(Arc::new(ns))
    }

    fn is_threaded(&self) -> bool {
        self.kernel.threads_of(self.task.tgid()).len() > 1
    }

    /// Whether root and working directory are shared with another task: the task itself and what others see of it hold them.
    fn shares_fs(&self) -> bool {
        Arc::strong_count(&self.fs) > 2
    }

    /// Leaves the System V semaphores: their undo values apply now.
    fn leave_ipc(&self, new: &NsProxy) {
        if !Arc::ptr_eq(&self.ns.ipc, &new.ipc) {
            self.ns.ipc.objects.process_died(self.task.tgid());
        }
    }
}

pub(super) fn sys_unshare(task: &mut CurrentTask, flags: u64) -> Result<()> {
    let single = CLONE_THREAD | CLONE_SIGHAND | CLONE_VM;
    if flags & !(CLONE_FILES | CLONE_FS | CLONE_SYSVSEM | single | MADE) != 0 {
        return Err(Errno::EINVAL);
    }
    let has = |f: u64| flags & f != 0;
    if has(single | CLONE_NEWUSER | CLONE_NEWPID) && task.is_threaded() {
        return Err(Errno::EINVAL);
    }
    let fs = if has(CLONE_FS | CLONE_NEWNS | CLONE_NEWUSER) {
        Arc::new(task.fs.copy())
    } else {
        Arc::clone(&task.fs)
    };
    let cred = if has(CLONE_NEWUSER) {
        Some(task.cred_in_new_user_ns()?)
    } else {
        None
    };
    let ns = {
        let own = task.task.cred();
        task.new_namespaces(flags & !CLONE_THREAD, cred.as_ref().unwrap_or(&own), &fs)?
    };
    if has(CLONE_FILES) {
        task.unshare_fds();
    }
    task.leave_ipc(&ns);
    (task.fs, task.ns) = (fs, ns);
    task.publish_resources();
    if let Some(cred) = cred {
        task.task.set_cred(cred);
    }
    Ok(())
}

/// What setns(2) is about to change.
struct Entering {
    cred: Cred,
    ns: NsProxy,
    root: Option<Path>,
}

impl Entering {
    fn enter(&mut self, task: &CurrentTask, namespace: &Namespace) -> Result<()> {
        let cred = &self.cred;
        if let Namespace::User(ns) = namespace {
            if **ns == *cred.user_ns || task.is_threaded() || task.shares_fs() {
                return Err(Errno::EINVAL);
            }
            if !cred.has_cap_in(ns, cap::SYS_ADMIN) {
                return Err(Errno::EPERM);
            }
            self.cred = enter_user_ns(cred, ns);
            return Ok(());
        }
        must_be_admin_of(cred, &cred.user_ns)?;
        if let Some(owner) = namespace.owner() {
            must_be_admin_of(cred, owner)?;
        }
        match namespace {
            Namespace::Time(ns) => {
                if task.is_threaded() {
                    return Err(Errno::EUSERS);
                }
                self.ns.time = Arc::clone(ns);
                self.ns.time_for_children = Arc::clone(ns);
            }
            Namespace::Uts(ns) => self.ns.uts = Arc::clone(ns),
            Namespace::Ipc(ns) => self.ns.ipc = Arc::clone(ns),
            Namespace::Cgroup(ns) => self.ns.cgroup = Arc::clone(ns),
            Namespace::Pid(ns) => {
                if !ns.is_within(&task.task.group().pid_ns) {
                    return Err(Errno::EINVAL);
                }
                self.ns.pid_for_children = Arc::clone(ns);
            }
            Namespace::Mnt(ns) => {
                if !cred.has_own_cap(cap::SYS_CHROOT) {
                    return Err(Errno::EPERM);
                }
                if task.shares_fs() {
                    return Err(Errno::EINVAL);
                }
                self.root = Some(ns.root());
                self.ns.mnt = Arc::clone(ns);
            }
            Namespace::Net(ns) => self.ns.net = Arc::clone(ns),
            Namespace::User(_) => {}
        }
        Ok(())
    }
}

pub(super) fn sys_setns(task: &mut CurrentTask, fd: i32, kinds: u64) -> Result<()> {
    let file = task.fds.get(fd)?;
    let mut entering = Entering {
        cred: (*task.task.cred()).clone(),
        ns: (*task.ns).clone(),
        root: None,
    };
    if file.ops_as::<PidFd>().is_some() {
        if kinds == 0 || kinds & !MADE != 0 {
            return Err(Errno::EINVAL);
        }
        for namespace in namespaces_of(task, &file)? {
            if kinds & namespace.flag() != 0 {
                entering.enter(task, &namespace)?;
            }
        }
    } else {
        let namespace = file::of(&file)?;
        if kinds != 0 && kinds != namespace.flag() {
            return Err(Errno::EINVAL);
        }
        entering.enter(task, &namespace)?;
    }
    let Entering { cred, ns, root } = entering;
    task.leave_ipc(&ns);
    if let Some(root) = root {
        task.fs.set_root(root.clone());
        task.fs.set_cwd(root);
    }
    let other_clocks = !Arc::ptr_eq(&task.ns.time, &ns.time);
    task.ns = Arc::new(ns);
    task.publish_resources();
    if other_clocks {
        task.ns.time.freeze();
        task.kernel.remap_clocks(&task.mm, &task.ns)?;
    }
    if cred != *task.task.cred() {
        task.task.set_cred(cred);
    }
    Ok(())
}

/// The namespaces of the process behind a descriptor, in the order in which they are to be entered.
fn namespaces_of(task: &CurrentTask, file: &File) -> Result<Vec<Namespace>> {
    let pid = crate::pidfd::process_of(file)?;
    let target = task.kernel.tree.lock().task(pid).cloned();
    let target = target.ok_or(Errno::ESRCH)?;
    task.may_access(&target)?;
    let ns = target.resources().ok_or(Errno::ESRCH)?.ns;
    Ok(vec![
        Namespace::User(Arc::clone(&target.cred().user_ns)),
        Namespace::Mnt(Arc::clone(&ns.mnt)),
        Namespace::Uts(Arc::clone(&ns.uts)),
        Namespace::Ipc(Arc::clone(&ns.ipc)),
        Namespace::Pid(Arc::clone(&target.group().pid_ns)),
        Namespace::Cgroup(Arc::clone(&ns.cgroup)),
        Namespace::Net(Arc::clone(&ns.net)),
        Namespace::Time(Arc::clone(&ns.time)),
    ])
}

/// The controls of a namespace's file.
pub(super) fn ioctl(task: &CurrentTask, ns: &NsFile, request: u32, arg: u64) -> Result<i64> {
    let ns = &ns.0;
    let found = match request {
        NS_GET_NSTYPE => return Ok(ns.flag().cast_signed()),
        NS_GET_OWNER_UID => {
            let Namespace::User(ns) = ns else {
                return Err(Errno::EINVAL);
            };
            let uid = task.task.cred().user_ns.shown_uid(ns.owner().0);
            return UserPtr::<u32>::new(arg).write(task, &uid).map(|()| 0);
        }
        NS_GET_USERNS => ns.owner().cloned().map(Namespace::User),
        NS_GET_PARENT => match ns {
            Namespace::User(ns) => ns.parent().cloned().map(Namespace::User),
            Namespace::Pid(ns) => ns.parent().cloned().map(Namespace::Pid),
            _ => return Err(Errno::EINVAL),
        },
        _ => return Err(Errno::ENOTTY),
    };
    // Nobody sees what lies outside of its own namespaces.
    let visible = |found: &Namespace| match found {
        Namespace::User(ns) => ns.is_within(&task.task.cred().user_ns),
        Namespace::Pid(ns) => ns.is_within(&task.task.group().pid_ns),
        _ => true,
    };
    let found = found.filter(visible).ok_or(Errno::EPERM)?;
    let shown = found.shown();
    let ops = Arc::new(NsFile(found));
    let file = File::anonymous(&task.cx(), ops, &shown, OpenFlags::empty());
    task.install_fd(file, true).map(i64::from)
}
