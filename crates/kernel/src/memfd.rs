//! Files in memory and their seals: memfd_create(2), fcntl(2) `F_ADD_SEALS`.

use crate::task::CurrentTask;
use parking_lot::Mutex;
use std::{
    any::Any,
    fmt,
    sync::{
        Arc, OnceLock, Weak,
        atomic::{AtomicU32, Ordering},
    },
};
use tuxlet_mem::{IoRead, IoWrite, MemoryObject, Prot, ShmObject, VmaFlags};
use tuxlet_uapi::{
    errno::{Errno, Result},
    fcntl::{
        F_SEAL_EXEC, F_SEAL_FUTURE_WRITE, F_SEAL_GROW, F_SEAL_SEAL, F_SEAL_SHRINK, F_SEAL_WRITE,
        FALLOC_FL_KEEP_SIZE, FALLOC_FL_PUNCH_HOLE, FALLOC_FL_ZERO_RANGE, OpenFlags,
    },
};
use tuxlet_vfs::{
    Anchor, Attr, Cx, File, FileOps, FileSystem, FileType, Inode, InodeId, Mount, MountFlags, Path,
    SetAttr,
    pseudo::{Node, PseudoFs},
};

/// All seals.
const KNOWN: u32 =
    F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_FUTURE_WRITE | F_SEAL_EXEC;
/// Seals against writing.
const NO_WRITE: u32 = F_SEAL_WRITE | F_SEAL_FUTURE_WRITE;
/// `TMPFS_MAGIC`, which statfs(2) shows for memory files.
const TMPFS_MAGIC: u64 = 0x0102_1994;
/// `SEEK_DATA`.
const SEEK_DATA: u32 = 3;

/// The mount that memory files are on; nobody can walk to it.
#[derive(Default)]
pub struct MemFdMount(OnceLock<(Arc<PseudoFs>, Arc<Mount>)>);

impl fmt::Debug for MemFdMount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MemFdMount")
    }
}

impl MemFdMount {
    fn get(&self, cx: &Cx) -> &(Arc<PseudoFs>, Arc<Mount>) {
        self.0.get_or_init(|| {
            let fs = PseudoFs::new("tmpfs", TMPFS_MAGIC, cx.now, true, |fs| {
                fs.dir(0o755, Vec::new())
            });
            let as_dyn: Arc<dyn FileSystem> = Arc::clone(&fs) as _;
            let mount = Mount::new(&as_dyn, MountFlags::empty(), b"tmpfs");
            (fs, mount)
        })
    }
}

/// The inode of a memory file.
#[derive(Debug)]
pub struct MemInode {
    me: Weak<Self>,
    node: Node,
    object: Arc<ShmObject>,
    seals: AtomicU32,
    /// Serialises changes of the size and of the seals.
    change: Mutex<()>,
}

/// A file for a new, empty memory file. Without `sealing` it can never be sealed.
pub fn open(task: &CurrentTask, name: &[u8], sealing: bool, no_exec: bool) -> Arc<File> {
    let cx = task.cx();
    let (fs, mount) = task.kernel.memfds.get(&cx);
    let mode = if no_exec { 0o666 } else { 0o777 };
    let node = fs
        .node(FileType::Regular, mode)
        .owned(cx.cred.fsuid, cx.cred.fsgid);
    let label = [b"memfd:", name].concat();
    let shown = [b"/", label.as_slice(), b" (deleted)"].concat();
    let id = (node.id().dev.encode(), node.id().ino);
    let mut seals = if sealing { 0 } else { F_SEAL_SEAL };
    if no_exec {
        seals |= F_SEAL_EXEC;
    }
    let inode = Arc::new_cyclic(|me| MemInode {
        me: Weak::clone(me),
        node,
        object: ShmObject::new(&task.kernel.budget, id, &shown),
        seals: AtomicU32::new(seals),
        change: Mutex::new(()),
    });
    let ops = Arc::new(MemFile(Arc::clone(&inode)));
    let path = Path::nameless(mount, inode, &label);
    File::new(&cx, ops, path, OpenFlags::RDWR | OpenFlags::LARGEFILE)
}

/// The memory file behind a file, if it is one.
#[must_use]
pub fn of(file: &File) -> Option<&Arc<MemInode>> {
    file.ops_as::<MemFile>().map(|f| &f.0)
}

impl MemInode {
    /// The seals: `F_GET_SEALS`.
    #[must_use]
    pub fn seals(&self) -> u32 {
        self.seals.load(Ordering::SeqCst)
    }

    fn sealed(&self, seals: u32) -> bool {
        self.seals() & seals != 0
    }

    /// Adds seals: `F_ADD_SEALS`. `EPERM` after `F_SEAL_SEAL`, `EBUSY` against writing while somebody has the
    /// file mapped shared and writable.
    pub fn add_seals(&self, task: &CurrentTask, seals: u32) -> Result<()> {
        if seals & !KNOWN != 0 {
            return Err(Errno::EINVAL);
        }
        let _change = self.change.lock();
        if self.sealed(F_SEAL_SEAL) {
            return Err(Errno::EPERM);
        }
        if seals & F_SEAL_WRITE != 0 && !self.sealed(F_SEAL_WRITE) && self.is_mapped_writable(task)
        {
            return Err(Errno::EBUSY);
        }
        self.seals.fetch_or(seals, Ordering::SeqCst);
        Ok(())
    }

    fn is_mapped_writable(&self, task: &CurrentTask) -> bool {
        let id = self.object.id();
        let tasks: Vec<_> = {
            let tree = task.kernel.tree.lock();
            tree.groups()
                .filter_map(|(_, n)| n.threads.first().cloned())
                .collect()
        };
        let writes = |v: &tuxlet_mem::VmaInfo| {
            v.id == id && v.flags.contains(VmaFlags::SHARED) && v.max_prot.contains(Prot::WRITE)
        };
        tasks
            .iter()
            .filter_map(|t| t.resources())
            .any(|r| r.mm.space.vmas().iter().any(writes))
    }

    /// Whether a shared mapping with this protection may be made; says whether it may become writable.
    pub fn may_map_shared(&self, prot: Prot) -> Result<bool> {
        if !self.sealed(NO_WRITE) {
            return Ok(true);
        }
        if prot.contains(Prot::WRITE) {
            Err(Errno::EPERM)
        } else {
            Ok(false)
        }
    }

    fn set_size(&self, cx: &Cx, size: u64) -> Result<()> {
        let _change = self.change.lock();
        let old = self.object.size();
        if (size < old && self.sealed(F_SEAL_SHRINK)) || (size > old && self.sealed(F_SEAL_GROW)) {
            return Err(Errno::EPERM);
        }
        self.object.set_size(size);
        self.touch(cx)
    }

    fn touch(&self, cx: &Cx) -> Result<()> {
        let mtime = Some(tuxlet_vfs::SetTime::At(cx.now));
        self.node.set_attr(
            cx,
            &SetAttr {
                mtime,
                ..SetAttr::default()
            },
        )
    }
}

impl Inode for MemInode {
    fn fs(&self) -> Arc<dyn FileSystem> {
        self.node.fs()
    }

    fn id(&self) -> InodeId {
        self.node.id()
    }

    fn kind(&self) -> FileType {
        FileType::Regular
    }

    fn attr(&self, _cx: &Cx) -> Result<Attr> {
        let blocks = self.object.page_count() * 8;
        Ok(Attr {
            size: self.object.size(),
            blocks,
            nlink: 0,
            ..self.node.attr()
        })
    }

    fn anchor(&self) -> &Anchor {
        self.node.anchor()
    }

    fn as_any(&self) -> &dyn Any {
        self
    }

    fn set_attr(&self, cx: &Cx, set: &SetAttr) -> Result<()> {
        const EXEC: u32 = 0o111;
        if let Some(mode) = set.mode
            && (mode ^ self.node.attr().mode) & EXEC != 0
            && self.sealed(F_SEAL_EXEC)
        {
            return Err(Errno::EPERM);
        }
        if let Some(size) = set.size {
            self.set_size(cx, size)?;
        }
        self.node.set_attr(cx, set)
    }

    /// Through `/proc/PID/fd`: another description of the same file.
    fn open(&self, _cx: &Cx, _flags: u32) -> Result<Arc<dyn FileOps>> {
        let me = self.me.upgrade().ok_or(Errno::ENOENT)?;
        Ok(Arc::new(MemFile(me)))
    }
}

/// An open memory file.
#[derive(Debug)]
struct MemFile(Arc<MemInode>);

impl FileOps for MemFile {
    fn as_any(&self) -> &dyn Any {
        self
    }

    fn attr(&self, cx: &Cx) -> Result<Attr> {
        Inode::attr(&*self.0, cx)
    }

    fn read_at(&self, _cx: &Cx, offset: u64, to: &mut dyn IoWrite) -> Result<usize> {
        self.0.object.read_at(offset, to)
    }

    fn write_at(&self, cx: &Cx, offset: u64, from: &mut dyn IoRead) -> Result<usize> {
        let inode = &self.0;
        if inode.sealed(NO_WRITE) {
            return Err(Errno::EPERM);
        }
        let n = if inode.sealed(F_SEAL_GROW) {
            let room = inode.object.size().saturating_sub(offset);
            if room == 0 {
                return Err(Errno::EPERM);
            }
            let mut data = vec![
                0;
                from.remaining()
                    .min(usize::try_from(room).unwrap_or(usize::MAX))
            ];
            let n = from.read_into(&mut data)?;
            inode.object.write_at(offset, &mut &data[..n])?
        } else {
            inode.object.write_at(offset, from)?
        };
        inode.touch(cx)?;
        Ok(n)
    }

    fn truncate(&self, cx: &Cx, size: u64) -> Result<()> {
        self.0.set_size(cx, size)
    }

    fn fallocate(&self, cx: &Cx, mode: u32, offset: u64, len: u64) -> Result<()> {
        let inode = &self.0;
        let end = offset
            .checked_add(len)
            .filter(|e| *e <= i64::MAX as u64)
            .ok_or(Errno::EFBIG)?;
        let punches = mode & FALLOC_FL_PUNCH_HOLE != 0;
        if punches || mode & FALLOC_FL_ZERO_RANGE != 0 {
            if inode.sealed(NO_WRITE) {
                return Err(Errno::EPERM);
            }
            if !punches || mode != FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE {
                return Err(Errno::EOPNOTSUPP);
            }
            inode
                .object
                .punch_hole(offset..end.min(inode.object.size()).max(offset));
            return inode.touch(cx);
        }
        if mode & !FALLOC_FL_KEEP_SIZE != 0 {
            return Err(Errno::EOPNOTSUPP);
        }
        let grows = mode & FALLOC_FL_KEEP_SIZE == 0 && end > inode.object.size();
        if grows && inode.sealed(F_SEAL_GROW) {
            return Err(Errno::EPERM);
        }
        inode.object.allocate(offset..end)?;
        if grows {
            inode.set_size(cx, end)
        } else {
            Ok(())
        }
    }

    fn seek_extent(&self, _cx: &Cx, offset: u64, whence: u32) -> Result<u64> {
        self.0
            .object
            .seek(offset, whence == SEEK_DATA)
            .ok_or(Errno::ENXIO)
    }

    fn fsync(&self, _cx: &Cx, _data_only: bool) -> Result<()> {
        Ok(())
    }

    fn mmap_object(&self, _cx: &Cx) -> Result<Arc<dyn MemoryObject>> {
        Ok(Arc::clone(&self.0.object) as _)
    }
}
