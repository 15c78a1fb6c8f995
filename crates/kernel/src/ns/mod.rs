//! Namespaces: namespaces(7). What a task sees of the machine is in its [`NsProxy`], but for its user namespace, which is
//! part of its credentials, and the process ids, which are part of its process.

pub(crate) mod file;
pub(crate) mod idmap;
pub mod pid;
pub mod time;

use crate::{cgroup::Cgroup, ipc::Ipc, kernel::UtsNames};
use parking_lot::RwLock;
use pid::PidNs;
use std::sync::Arc;
use time::TimeNs;
use tuxlet_net::Network;
use tuxlet_uapi::errno::{Errno, Result};
use tuxlet_vfs::{
    Cred, Cx, MountNamespace, Time, UserNs,
    cx::{CAP_FULL, cap},
    user_ns::next_number,
};

/// What every namespace has: an identity and an owner.
#[derive(Debug)]
pub struct Identity {
    /// Inode number of its file.
    pub number: u64,
    /// The user namespace whose capabilities count.
    pub owner: Arc<UserNs>,
}

impl Identity {
    fn initial(number: u64) -> Self {
        Self {
            number,
            owner: Arc::clone(UserNs::initial()),
        }
    }

    fn new(owner: &Arc<UserNs>) -> Self {
        Self {
            number: next_number(),
            owner: Arc::clone(owner),
        }
    }
}

/// Host and domain name: uts_namespaces(7).
#[derive(Debug)]
pub struct UtsNs {
    /// Who it is.
    pub id: Identity,
    /// The names.
    pub names: RwLock<UtsNames>,
}

/// System V IPC and POSIX message queues: ipc_namespaces(7).
#[derive(Debug)]
pub struct IpcNs {
    /// Who it is.
    pub id: Identity,
    /// The objects.
    pub objects: Ipc,
}

/// The view of the control groups: cgroup_namespaces(7).
#[derive(Debug)]
pub struct CgroupNs {
    /// Who it is.
    pub id: Identity,
    /// What is shown as the top.
    pub root: Arc<Cgroup>,
}

/// Sockets and network interfaces: network_namespaces(7).
#[derive(Debug)]
pub struct NetNs {
    /// Who it is.
    pub id: Identity,
    /// The sockets.
    pub network: Arc<Network>,
}

/// The namespaces of a task.
#[derive(Clone, Debug)]
pub struct NsProxy {
    /// Names of the machine.
    pub uts: Arc<UtsNs>,
    /// IPC objects.
    pub ipc: Arc<IpcNs>,
    /// Mounts.
    pub mnt: Arc<MountNamespace>,
    /// Where children get their process ids: `unshare(CLONE_NEWPID)` changes only this.
    pub pid_for_children: Arc<PidNs>,
    /// View of the control groups.
    pub cgroup: Arc<CgroupNs>,
    /// Sockets and network interfaces.
    pub net: Arc<NetNs>,
    /// Offsets of clocks.
    pub time: Arc<TimeNs>,
    /// Those of children and of the next program: `unshare(CLONE_NEWTIME)` changes only this.
    pub time_for_children: Arc<TimeNs>,
}

impl NsProxy {
    /// The namespaces of a machine's first process.
    #[must_use]
    pub(crate) fn initial(
        names: UtsNames,
        mnt: Arc<MountNamespace>,
        cgroups: &Arc<Cgroup>,
        network: &Arc<Network>,
        now: Time,
    ) -> Arc<Self> {
        let time = TimeNs::initial();
        Arc::new(Self {
            net: Arc::new(NetNs {
                id: Identity::initial(4_026_531_840),
                network: Arc::clone(network),
            }),
            time: Arc::clone(&time),
            time_for_children: time,
            uts: Arc::new(UtsNs {
                id: Identity::initial(4_026_531_838),
                names: RwLock::new(names),
            }),
            ipc: Arc::new(IpcNs {
                id: Identity::initial(4_026_531_839),
                objects: Ipc::new(now),
            }),
            mnt,
            pid_for_children: PidNs::initial(),
            cgroup: Arc::new(CgroupNs {
                id: Identity::initial(4_026_531_835),
                root: Arc::clone(cgroups),
            }),
        })
    }

    /// A new namespace of names, with the names as they are.
    pub(crate) fn unshare_uts(&mut self, owner: &Arc<UserNs>) {
        let names = self.uts.names.read().clone();
        self.uts = Arc::new(UtsNs {
            id: Identity::new(owner),
            names: RwLock::new(names),
        });
    }

    /// A new namespace without IPC objects.
    pub(crate) fn unshare_ipc(&mut self, owner: &Arc<UserNs>, now: Time) {
        self.ipc = Arc::new(IpcNs {
            id: Identity::new(owner),
            objects: Ipc::new(now),
        });
    }

    /// A new network, of nothing but a loopback interface.
    pub(crate) fn unshare_net(&mut self, owner: &Arc<UserNs>) {
        self.net = Arc::new(NetNs {
            id: Identity::new(owner),
            network: Network::private(owner),
        });
    }

    /// A new namespace of clocks for children.
    pub(crate) fn unshare_time(&mut self, owner: &Arc<UserNs>) {
        self.time_for_children = self.time_for_children.child(owner);
    }

    /// With the children's clocks as its own, if those are others: what a new process and a new program have.
    pub(crate) fn with_childrens_time(self: &Arc<Self>) -> Arc<Self> {
        if Arc::ptr_eq(&self.time, &self.time_for_children) {
            return Arc::clone(self);
        }
        self.time_for_children.freeze();
        Arc::new(Self {
            time: Arc::clone(&self.time_for_children),
            ..(**self).clone()
        })
    }

    /// A new view of the control groups, whose top is `root`.
    pub(crate) fn unshare_cgroup(&mut self, owner: &Arc<UserNs>, root: Arc<Cgroup>) {
        self.cgroup = Arc::new(CgroupNs {
            id: Identity::new(owner),
            root,
        });
    }
}

/// Credentials in a new user namespace: all capabilities there, none outside. `ENOSPC` if namespaces are nested too deeply,
/// `EPERM` if the caller's ids have no meaning in its own namespace.
pub(crate) fn enter_new_user_ns(old: &Cred) -> Result<Cred> {
    let parent = &old.user_ns;
    if !parent.maps_uid(old.euid) || !parent.maps_gid(old.egid) {
        return Err(Errno::EPERM);
    }
    let ns = UserNs::child(parent, (old.euid, old.egid)).ok_or(Errno::ENOSPC)?;
    Ok(enter_user_ns(old, &ns))
}

/// Credentials with all capabilities in a user namespace.
pub(crate) fn enter_user_ns(old: &Cred, ns: &Arc<UserNs>) -> Cred {
    Cred {
        securebits: 0,
        cap_inheritable: 0,
        cap_permitted: CAP_FULL,
        cap_effective: CAP_FULL,
        cap_bounding: CAP_FULL,
        cap_ambient: 0,
        user_ns: Arc::clone(ns),
        ..old.clone()
    }
}

/// `EPERM` without `CAP_SYS_ADMIN` for what a user namespace owns.
pub(crate) fn must_be_admin_of(cred: &Cred, owner: &UserNs) -> Result<()> {
    if cred.has_cap_in(owner, cap::SYS_ADMIN) {
        Ok(())
    } else {
        Err(Errno::EPERM)
    }
}

impl crate::kernel::Kernel {
    /// The namespaces of a caller: the initial ones for the host.
    #[must_use]
    pub fn namespaces_of(&self, cx: &Cx) -> Arc<NsProxy> {
        let task = self.tree.lock().task(cx.tid).cloned();
        task.and_then(|t| t.resources())
            .map_or_else(|| Arc::clone(&self.namespaces), |r| r.ns)
    }

    /// The process id namespace of a caller: the initial one for the host.
    #[must_use]
    pub fn pid_ns_of(&self, cx: &Cx) -> Arc<PidNs> {
        let task = self.tree.lock().task(cx.tid).cloned();
        task.map_or_else(
            || Arc::clone(&self.namespaces.pid_for_children),
            |t| Arc::clone(&t.group().pid_ns),
        )
    }

    /// The user namespace of a process; the initial one if it is gone.
    pub(crate) fn user_ns_of(&self, group: &crate::task::ThreadGroup) -> Arc<UserNs> {
        let tree = self.tree.lock();
        let task = tree.node(group.tgid()).and_then(|n| n.threads.first());
        task.map_or_else(
            || Arc::clone(UserNs::initial()),
            |t| Arc::clone(&t.cred().user_ns),
        )
    }
}
