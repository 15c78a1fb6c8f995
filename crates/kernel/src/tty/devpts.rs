//! `/dev/pts`, and the drivers of terminal devices: pts(4), tty(4).

use super::{
    PTS_MAJOR, TTY_MAJOR, TTYAUX_MAJOR, Tty,
    file::{MasterFile, SlaveFile},
};
use crate::{
    kernel::Kernel,
    special::{CharDevice, DeviceTable},
    task::CurrentTask,
};
use std::sync::{Arc, Weak};
use tuxlet_uapi::{
    errno::{Errno, Result},
    fcntl::OpenFlags,
};
use tuxlet_vfs::{
    Attr, Cx, DeviceId, FileOps, FileSystem, FileType, Inode, InodeRef, SetAttr, node_inode,
    pseudo::{Node, PseudoFs, SnapshotDir},
};

/// `DEVPTS_SUPER_MAGIC`: statfs(2).
pub const DEVPTS_MAGIC: u64 = 0x1cd1;

/// The group that owns terminals: `tty` in all distributions.
const TTY_GROUP: u32 = 5;
/// Permissions of a new terminal: the group may write, as write(1) expects.
const PTS_MODE: u32 = 0o620;
/// Minor numbers of [`TTYAUX_MAJOR`].
const TTY_MINOR: u32 = 0;
const CONSOLE_MINOR: u32 = 1;
const PTMX_MINOR: u32 = 2;

/// The one instance of the file system.
pub(super) fn instance(kernel: &Arc<Kernel>) -> Arc<PseudoFs> {
    let made = kernel.terminals.devpts.get_or_init(|| {
        let now = kernel.clock.realtime_vfs();
        PseudoFs::new("devpts", DEVPTS_MAGIC, now, false, |fs| {
            fs.set_options(format!(",gid={TTY_GROUP},mode={PTS_MODE:o},ptmxmode=666"));
            let ptmx = fs
                .node(FileType::CharDevice, 0o666)
                .device(DeviceId::new(TTYAUX_MAJOR, PTMX_MINOR));
            Arc::new(Root {
                node: fs.node(FileType::Directory, 0o755),
                ptmx: Arc::new(PtsInode { node: ptmx }),
                kernel: Arc::downgrade(kernel),
            })
        })
    });
    Arc::clone(made)
}

impl Kernel {
    /// The file system of pseudo-terminals, for `/dev/pts`.
    #[must_use]
    pub fn devpts(self: &Arc<Self>) -> Arc<dyn FileSystem> {
        instance(self)
    }
}

/// The directory of slaves.
#[derive(Debug)]
struct Root {
    node: Node,
    ptmx: InodeRef,
    kernel: Weak<Kernel>,
}

impl Root {
    fn live(&self) -> Vec<Arc<Tty>> {
        let Some(kernel) = self.kernel.upgrade() else {
            return Vec::new();
        };
        let all: Vec<Arc<Tty>> = {
            let ptys = kernel.terminals.ptys.lock();
            ptys.values().filter_map(Weak::upgrade).collect()
        };
        all.into_iter().filter(|t| !t.hung_up()).collect()
    }
}

impl Inode for Root {
    node_inode!();

    fn attr(&self, _cx: &Cx) -> Result<Attr> {
        Ok(self.node.attr())
    }

    fn lookup(&self, _cx: &Cx, name: &[u8]) -> Result<InodeRef> {
        if name == b"ptmx" {
            return Ok(Arc::clone(&self.ptmx));
        }
        let kernel = self.kernel.upgrade().ok_or(Errno::ENOENT)?;
        let text = std::str::from_utf8(name).map_err(|_| Errno::ENOENT)?;
        let number: u32 = text.parse().map_err(|_| Errno::ENOENT)?;
        if number.to_string() != text {
            return Err(Errno::ENOENT);
        }
        let tty = kernel.terminals.pty(number).ok_or(Errno::ENOENT)?;
        Ok(tty.inode.clone())
    }

    fn open(&self, _cx: &Cx, _flags: u32) -> Result<Arc<dyn FileOps>> {
        let mut entries = vec![(b"ptmx".to_vec(), self.ptmx.id().ino, FileType::CharDevice)];
        for tty in self.live() {
            let name = tty.number.to_string().into_bytes();
            entries.push((name, tty.inode.id().ino, FileType::CharDevice));
        }
        Ok(Arc::new(SnapshotDir::new(self.node.attr(), entries)))
    }
}

impl super::Terminals {
    /// How many pseudo-terminals there are.
    pub(crate) fn count(&self) -> usize {
        self.ptys.lock().len()
    }

    /// A pseudo-terminal whose master is open.
    fn pty(&self, number: u32) -> Option<Arc<Tty>> {
        let tty = self.ptys.lock().get(&number)?.upgrade()?;
        (!tty.hung_up()).then_some(tty)
    }
}

/// A device node in the file system, of a slave or `ptmx`; its driver opens it.
#[derive(Debug)]
pub(super) struct PtsInode {
    node: Node,
}

impl PtsInode {
    pub(super) fn new(fs: &PseudoFs, number: u32, cx: &Cx) -> Arc<Self> {
        let node = fs
            .node(FileType::CharDevice, PTS_MODE)
            .owned(cx.cred.fsuid, TTY_GROUP)
            .device(DeviceId::new(PTS_MAJOR, number));
        Arc::new(Self { node })
    }

    pub(super) fn attributes(&self) -> Attr {
        self.node.attr()
    }

    /// Changes the owner.
    pub(super) fn give_to(&self, cx: &Cx, uid: u32) {
        let owner = SetAttr {
            uid: Some(uid),
            ..SetAttr::default()
        };
        // Nothing can be wrong with a node in memory.
        let _ = self.node.set_attr(cx, &owner);
    }
}

impl Inode for PtsInode {
    node_inode!();

    fn attr(&self, _cx: &Cx) -> Result<Attr> {
        Ok(self.node.attr())
    }

    fn set_attr(&self, cx: &Cx, set: &SetAttr) -> Result<()> {
        self.node.set_attr(cx, set)
    }

    fn open(&self, _cx: &Cx, _flags: u32) -> Result<Arc<dyn FileOps>> {
        Err(Errno::ENXIO)
    }
}

#[derive(Debug)]
struct Slaves;

#[derive(Debug)]
struct Auxiliary;

#[derive(Debug)]
struct VirtualConsole;

/// Registers the drivers.
pub(crate) fn register(devices: &DeviceTable) {
    devices.register(PTS_MAJOR, None, Arc::new(Slaves));
    devices.register(TTYAUX_MAJOR, None, Arc::new(Auxiliary));
    devices.register(TTY_MAJOR, Some(0), Arc::new(VirtualConsole));
}

/// Device nodes of `/dev`: name, major and minor number, mode.
pub(crate) const NODES: &[(&str, u32, u32, u32)] = &[
    ("tty", TTYAUX_MAJOR, TTY_MINOR, 0o666),
    ("console", TTYAUX_MAJOR, CONSOLE_MINOR, 0o600),
    ("ptmx", TTYAUX_MAJOR, PTMX_MINOR, 0o666),
    ("tty0", TTY_MAJOR, 0, 0o620),
];

fn device_attr(cx: &Cx, major: u32, minor: u32, mode: u32) -> Attr {
    Attr {
        kind: FileType::CharDevice,
        mode,
        rdev: DeviceId::new(major, minor),
        ..crate::anon::attr(cx)
    }
}

impl CharDevice for Slaves {
    fn open(
        &self,
        task: &mut CurrentTask,
        minor: u32,
        flags: OpenFlags,
    ) -> Result<Arc<dyn FileOps>> {
        let tty = task.kernel.terminals.pty(minor).ok_or(Errno::EIO)?;
        Ok(SlaveFile::open(tty, &task.cx(), flags, None)?)
    }
}

/// Opens the terminal that stands in for a console. `ENXIO` if there is none.
fn open_console(task: &CurrentTask, flags: OpenFlags, attr: Attr) -> Result<Arc<dyn FileOps>> {
    let console = task.kernel.terminals.console.lock().upgrade();
    let tty = console.ok_or(Errno::ENXIO)?;
    Ok(SlaveFile::open(tty, &task.cx(), flags, Some(attr))?)
}

impl CharDevice for Auxiliary {
    fn open(
        &self,
        task: &mut CurrentTask,
        minor: u32,
        flags: OpenFlags,
    ) -> Result<Arc<dyn FileOps>> {
        let cx = task.cx();
        let attr = |mode| device_attr(&cx, TTYAUX_MAJOR, minor, mode);
        match minor {
            TTY_MINOR => {
                let tty = task.kernel.terminals.of_process(&task.kernel, &cx);
                let tty = tty.ok_or(Errno::ENXIO)?;
                Ok(SlaveFile::open(tty, &cx, flags, Some(attr(0o666)))?)
            }
            CONSOLE_MINOR => open_console(task, flags, attr(0o600)),
            PTMX_MINOR => {
                let tty = Tty::create(&task.kernel, &cx)?;
                Ok(MasterFile::new(tty, attr(0o666)))
            }
            _ => Err(Errno::ENXIO),
        }
    }
}

impl CharDevice for VirtualConsole {
    fn open(
        &self,
        task: &mut CurrentTask,
        minor: u32,
        flags: OpenFlags,
    ) -> Result<Arc<dyn FileOps>> {
        let attr = device_attr(&task.cx(), TTY_MAJOR, minor, 0o620);
        open_console(task, flags, attr)
    }
}
