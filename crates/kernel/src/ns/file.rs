//! Files that stand for namespaces: `/proc/PID/ns/*`, ioctl_ns(2), and what setns(2) takes.

use super::{CgroupNs, IpcNs, NetNs, UtsNs, pid::PidNs, time::TimeNs};
use std::{any::Any, sync::Arc};
use tuxlet_uapi::{
    errno::{Errno, Result},
    sched::{
        CLONE_NEWCGROUP, CLONE_NEWIPC, CLONE_NEWNET, CLONE_NEWNS, CLONE_NEWPID, CLONE_NEWTIME,
        CLONE_NEWUSER, CLONE_NEWUTS,
    },
};
use tuxlet_vfs::{Attr, Cx, DeviceId, File, FileOps, FileType, MountNamespace, UserNs};

/// The device of namespace files.
const NSFS: DeviceId = DeviceId::new(0, 4);

/// A namespace of some kind.
#[derive(Clone, Debug)]
pub(crate) enum Namespace {
    Uts(Arc<UtsNs>),
    Ipc(Arc<IpcNs>),
    Mnt(Arc<MountNamespace>),
    Pid(Arc<PidNs>),
    Cgroup(Arc<CgroupNs>),
    User(Arc<UserNs>),
    Time(Arc<TimeNs>),
    Net(Arc<NetNs>),
}

impl Namespace {
    /// The name of the kind, as in `/proc/PID/ns`.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::Uts(_) => "uts",
            Self::Ipc(_) => "ipc",
            Self::Mnt(_) => "mnt",
            Self::Pid(_) => "pid",
            Self::Cgroup(_) => "cgroup",
            Self::User(_) => "user",
            Self::Time(_) => "time",
            Self::Net(_) => "net",
        }
    }

    /// The `CLONE_NEW*` flag of the kind.
    pub(crate) fn flag(&self) -> u64 {
        match self {
            Self::Uts(_) => CLONE_NEWUTS,
            Self::Ipc(_) => CLONE_NEWIPC,
            Self::Mnt(_) => CLONE_NEWNS,
            Self::Pid(_) => CLONE_NEWPID,
            Self::Cgroup(_) => CLONE_NEWCGROUP,
            Self::User(_) => CLONE_NEWUSER,
            Self::Time(_) => CLONE_NEWTIME,
            Self::Net(_) => CLONE_NEWNET,
        }
    }

    /// The inode number.
    pub(crate) fn number(&self) -> u64 {
        match self {
            Self::Uts(ns) => ns.id.number,
            Self::Ipc(ns) => ns.id.number,
            Self::Mnt(ns) => ns.id(),
            Self::Pid(ns) => ns.id.number,
            Self::Cgroup(ns) => ns.id.number,
            Self::User(ns) => ns.number(),
            Self::Time(ns) => ns.id.number,
            Self::Net(ns) => ns.id.number,
        }
    }

    /// The user namespace that it belongs to; of a user namespace, its parent.
    pub(crate) fn owner(&self) -> Option<&Arc<UserNs>> {
        match self {
            Self::Uts(ns) => Some(&ns.id.owner),
            Self::Ipc(ns) => Some(&ns.id.owner),
            Self::Mnt(ns) => Some(ns.owner()),
            Self::Pid(ns) => Some(&ns.id.owner),
            Self::Cgroup(ns) => Some(&ns.id.owner),
            Self::User(ns) => ns.parent(),
            Self::Time(ns) => Some(&ns.id.owner),
            Self::Net(ns) => Some(&ns.id.owner),
        }
    }

    /// As a link of `/proc/PID/ns` shows it.
    pub(crate) fn shown(&self) -> Vec<u8> {
        format!("{}:[{}]", self.kind(), self.number()).into_bytes()
    }

    /// What stat(2) shows.
    pub(crate) fn attr(&self, cx: &Cx) -> Attr {
        Attr {
            dev: NSFS,
            ino: self.number(),
            kind: FileType::Regular,
            mode: 0o444,
            nlink: 1,
            uid: 0,
            gid: 0,
            rdev: DeviceId::default(),
            size: 0,
            blksize: 4096,
            blocks: 0,
            atime: cx.now,
            mtime: cx.now,
            ctime: cx.now,
            btime: None,
        }
    }
}

/// The operations of an open namespace file.
#[derive(Debug)]
pub(crate) struct NsFile(pub(crate) Namespace);

impl FileOps for NsFile {
    fn as_any(&self) -> &dyn Any {
        self
    }

    fn attr(&self, cx: &Cx) -> Result<Attr> {
        Ok(self.0.attr(cx))
    }

    fn seekable(&self) -> bool {
        false
    }
}

/// The namespace behind an open file. `EINVAL` if it is no namespace file.
pub(crate) fn of(file: &File) -> Result<Namespace> {
    let file = file.ops_as::<NsFile>().ok_or(Errno::EINVAL)?;
    Ok(file.0.clone())
}
