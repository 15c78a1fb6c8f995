//! A writable layer over read-only layers: overlayfs.
//!
//! The upper layer has the format of Linux' overlayfs: whiteouts are character devices 0:0, a directory that
//! hides what lies below carries `trusted.overlay.opaque`. A directory with lower parts is copied up as a whole
//! before it is renamed. What differs is the value of `trusted.overlay.origin` (layer and inode number instead of a file handle).
//!
//! - [`OverlayFs`] is the file system, `node` its inodes: one in memory per object, whichever layer holds it.
//! - `options` are those of mount(2), for overlays that a guest mounts; [`Options`] is what they come to.
//! - `lookup` merges names, `listing` merges directories, `change` makes and removes names, `copy_up` brings an
//!   object to the upper layer before its first change, `file` are open files.
//!
//! Inode numbers are those of the layer where an object comes from, with the layer's index in the top 16 bits;
//! they survive copying up. Hard links in a lower layer stay links: the first copy is also entered in the index
//! directory under its origin, where the other names find it.

#![forbid(unsafe_code)]

mod change;
mod copy_up;
mod file;
mod listing;
mod lookup;
mod node;
mod options;
mod rename;
mod settle;
mod xattr;

pub use options::{Parameter, check, mount};
pub use xattr::Attributes;

use lookup::Key;
use node::Node;
use parking_lot::Mutex;
use rustc_hash::FxHashMap;
use std::{
    sync::{
        Arc, OnceLock, Weak,
        atomic::{AtomicU64, Ordering},
    },
    time::{SystemTime, UNIX_EPOCH},
};
use tuxlet_uapi::{
    errno::{Errno, Result},
    stat::OVERLAYFS_SUPER_MAGIC,
};
use tuxlet_vfs::{
    Cx, DeviceId, DirEntry, FileSystem, FileType, InodeRef, NewInode, NewKind, StatFs, Time,
};

/// The name of the work directory in the upper layer's root, where [`OverlayFs::new`] puts it. The guest does
/// not see it, and whoever reads the upper layer by itself has to pass over it.
pub const WORK_DIR: &[u8] = b".tuxlet-overlay";

/// The writable layer: two directories of one file system.
#[derive(Clone, Debug)]
pub struct Upper {
    /// The layer's root.
    pub root: InodeRef,
    /// A directory outside of `root` for work in progress and the index of hard links; nobody else may use it.
    /// Without one, [`WORK_DIR`] in the root is made when it is first needed.
    pub work: Option<InodeRef>,
}

/// The writable layer in use.
#[derive(Debug)]
struct UpperLayer {
    root: InodeRef,
    fs: Arc<dyn FileSystem>,
    /// Outside of the root, if the caller gave one.
    given: Option<InodeRef>,
    work: OnceLock<Work>,
}

/// The work directories.
#[derive(Debug)]
pub(crate) struct Work {
    /// Where new objects are prepared before they appear.
    tmp: InodeRef,
    /// Copied-up files with several names, by origin; `None` where copying up breaks links.
    index: Option<InodeRef>,
}

/// How an overlay behaves. The default is for layers that nobody else changes, as those of images.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where notes are kept.
    pub attributes: Attributes,
    /// Whether hard links of lower layers stay links when they are copied up.
    pub index: bool,
    /// Whether directories of lower layers can be renamed, which copies all that is in them; `EXDEV` otherwise.
    pub move_directories: bool,
    /// Whether the upper layer has always been over these lower ones: what it says about inode numbers is believed.
    pub own_upper: bool,
    /// Whether sync(2) and fsync(2) do nothing.
    pub volatile: bool,
    /// What `/proc/mounts` shows, empty or beginning with a comma.
    pub shown: String,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            attributes: Attributes::Trusted,
            index: true,
            move_directories: true,
            own_upper: true,
            volatile: false,
            shown: String::new(),
        }
    }
}

impl UpperLayer {
    fn work(&self, cx: &Cx, index: bool) -> Result<&Work> {
        if let Some(work) = self.work.get() {
            return Ok(work);
        }
        let dir = match &self.given {
            Some(dir) => Arc::clone(dir),
            None => {
                let before = self.root.attr(cx)?;
                let dir = subdirectory(cx, &self.root, WORK_DIR)?;
                self.root.set_attr(cx, &copy_up::times(&before))?;
                dir
            }
        };
        let tmp = subdirectory(cx, &dir, b"work")?;
        let index = index
            .then(|| subdirectory(cx, &dir, b"index"))
            .transpose()?;
        Ok(self.work.get_or_init(|| Work { tmp, index }))
    }
}

/// An overlay file system.
#[derive(Debug)]
pub struct OverlayFs {
    dev: DeviceId,
    upper: Option<UpperLayer>,
    /// Roots of the read-only layers, topmost first.
    lowers: Vec<InodeRef>,
    /// The root's inode number. The root itself holds the file system, so it is found again like any other.
    root_ino: OnceLock<u64>,
    options: Options,
    /// How many overlays are on top of each other, this one included.
    depth: u32,
    /// The inodes in memory.
    nodes: Mutex<FxHashMap<Key, Weak<Node>>>,
    /// Serialises every change of the upper layer.
    tree: Mutex<()>,
    next_tmp: AtomicU64,
    myself: Weak<Self>,
}

/// Whether an inode says that its name does not exist: a character device 0:0.
pub(crate) fn is_whiteout(cx: &Cx, inode: &InodeRef) -> Result<bool> {
    Ok(inode.kind() == FileType::CharDevice && inode.attr(cx)?.rdev == DeviceId::new(0, 0))
}

/// What a whiteout is created as.
pub(crate) const WHITEOUT: NewInode<'static> = NewInode {
    kind: NewKind::CharDevice(DeviceId::new(0, 0)),
    mode: 0,
    uid: 0,
    gid: 0,
};

/// The entries of a real directory, without `.` and `..`.
pub(crate) fn read_real_dir(
    cx: &Cx,
    dir: &InodeRef,
    mut each: impl FnMut(&DirEntry<'_>),
) -> Result<()> {
    let ops = dir.open(cx, tuxlet_uapi::fcntl::O_DIRECTORY)?;
    let mut pos = 0;
    loop {
        let mut count = 0u32;
        let next = ops.read_dir(cx, pos, &mut |e: DirEntry<'_>| {
            count += 1;
            if e.name != b"." && e.name != b".." {
                each(&e);
            }
            true
        })?;
        if count == 0 || next == pos {
            return Ok(());
        }
        pos = next;
    }
}

/// The directory `name` in `dir`, made if it is missing.
fn subdirectory(cx: &Cx, dir: &InodeRef, name: &[u8]) -> Result<InodeRef> {
    match dir.lookup(cx, name) {
        Err(Errno::ENOENT) => {
            let new = NewInode {
                kind: NewKind::Directory,
                mode: 0o700,
                uid: 0,
                gid: 0,
            };
            dir.create(cx, name, &new)
        }
        found => found,
    }
}

impl OverlayFs {
    /// The whole of `upper`, written, over the whole of each of `lowers`, topmost first.
    pub fn new(upper: Arc<dyn FileSystem>, lowers: Vec<Arc<dyn FileSystem>>) -> Result<Arc<Self>> {
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        let now = Time {
            sec: now.as_secs() as i64,
            nsec: now.subsec_nanos(),
        };
        let upper = Upper {
            root: upper.root(),
            work: None,
        };
        let lowers = lowers.iter().map(|fs| fs.root()).collect();
        Self::with_layers(&Cx::host(now), Some(upper), lowers, Options::default())
    }

    /// A file system of `upper` (none makes it read-only) over `lowers`, topmost first. Leftovers of an
    /// interrupted change are removed from the work directory.
    pub fn with_layers(
        cx: &Cx,
        upper: Option<Upper>,
        lowers: Vec<InodeRef>,
        options: Options,
    ) -> Result<Arc<Self>> {
        if lowers.len() >= 0xffff || (upper.is_none() && lowers.is_empty()) {
            return Err(Errno::EINVAL);
        }
        let uppers = upper
            .iter()
            .flat_map(|u| std::iter::once(&u.root).chain(&u.work));
        if uppers
            .chain(&lowers)
            .any(|dir| dir.kind() != FileType::Directory)
        {
            return Err(Errno::ENOTDIR);
        }
        if let Some(Upper {
            root,
            work: Some(work),
        }) = &upper
            && root.id().dev != work.id().dev
        {
            return Err(Errno::EINVAL);
        }
        let below = upper.iter().map(|u| &u.root).chain(&lowers);
        let depth = 1 + below.map(|dir| dir.fs().stack_depth()).max().unwrap_or(0);
        let upper = upper.map(|u| UpperLayer {
            fs: u.root.fs(),
            root: u.root,
            given: u.work,
            work: OnceLock::new(),
        });
        let fs = Arc::new_cyclic(|myself| Self {
            dev: DeviceId::anonymous(),
            upper,
            lowers,
            root_ino: OnceLock::new(),
            options,
            depth,
            nodes: Mutex::default(),
            tree: Mutex::new(()),
            next_tmp: AtomicU64::new(1),
            myself: Weak::clone(myself),
        });
        if let Some(upper) = &fs.upper
            && (upper.given.is_some() || upper.root.lookup(cx, WORK_DIR).is_ok())
        {
            fs.clear_directory(cx, &upper.work(cx, fs.options.index)?.tmp)?;
        }
        let root = fs.make_root(cx)?;
        fs.root_ino.get_or_init(|| root.ino);
        Ok(fs)
    }

    /// The work directories; `EROFS` without an upper layer.
    pub(crate) fn work(&self, cx: &Cx) -> Result<&Work> {
        let upper = self.upper.as_ref().ok_or(Errno::EROFS)?;
        upper.work(cx, self.options.index)
    }

    /// The index of hard links, if there is one yet.
    pub(crate) fn known_index(&self) -> Option<&InodeRef> {
        self.upper.as_ref()?.work.get()?.index.as_ref()
    }

    /// Whether this is the name of a layer's work directory, which does not exist for the guest.
    pub(crate) fn is_work_name(&self, dir: &Node, name: &[u8]) -> bool {
        name == WORK_DIR && self.root_ino.get() == Some(&dir.ino)
    }

    /// The inode number of an object of a lower layer.
    pub(crate) fn lower_ino(layer: usize, ino: u64) -> u64 {
        (ino & ((1 << 48) - 1)) | (layer as u64 + 1) << 48
    }

    /// A name in the work directory that is free.
    pub(crate) fn tmp_name(&self) -> Vec<u8> {
        format!("#{:x}", self.next_tmp.fetch_add(1, Ordering::Relaxed)).into_bytes()
    }

    /// Removes everything in a real directory of the upper layer.
    pub(crate) fn clear_directory(&self, cx: &Cx, dir: &InodeRef) -> Result<()> {
        let mut names = Vec::new();
        read_real_dir(cx, dir, |e| names.push((e.name.to_vec(), e.kind)))?;
        for (name, kind) in names {
            if kind == FileType::Directory {
                self.clear_directory(cx, &dir.lookup(cx, &name)?)?;
                dir.rmdir(cx, &name)?;
            } else {
                dir.unlink(cx, &name)?;
            }
        }
        Ok(())
    }
}

impl FileSystem for OverlayFs {
    fn name(&self) -> &'static str {
        "overlay"
    }
    fn root(&self) -> InodeRef {
        match self.make_root(&Cx::host(Time::default())) {
            Ok(root) => root,
            // It was read before, so the host has failed since; the layer fails the same way.
            Err(errno) => {
                tracing::error!(%errno, "reading the root of an overlay");
                let upper = self.upper.as_ref().map(|u| &u.root);
                Arc::clone(upper.unwrap_or(&self.lowers[0]))
            }
        }
    }
    fn dev(&self) -> DeviceId {
        self.dev
    }
    fn statfs(&self) -> Result<StatFs> {
        let real = match &self.upper {
            Some(upper) => upper.fs.statfs(),
            None => self.lowers[0].fs().statfs(),
        };
        Ok(StatFs {
            magic: OVERLAYFS_SUPER_MAGIC,
            fsid: self.dev.encode(),
            ..real?
        })
    }
    fn sync(&self) -> Result<()> {
        match &self.upper {
            Some(upper) if !self.options.volatile => upper.fs.sync(),
            _ => Ok(()),
        }
    }
    fn read_only(&self) -> bool {
        self.upper.is_none()
    }
    fn show_options(&self) -> String {
        self.options.shown.clone()
    }
    fn stack_depth(&self) -> u32 {
        self.depth
    }
}
