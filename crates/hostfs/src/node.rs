//! A host file, known by device and inode number, and how to get at it.

use crate::{file::Backed, fs::Shared};
use parking_lot::Mutex;
use std::{
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};
use tuxlet_host::fs::{Dir, File, OpenFile, Stat};
use tuxlet_mem::FilePages;
use tuxlet_uapi::errno::{Errno, Result};
use tuxlet_vfs::{Anchor, Attr, Cx, DeviceId, FileType, Time};

/// Identity of a host file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Key {
    pub(crate) dev: u64,
    pub(crate) ino: u64,
}

impl Key {
    pub(crate) fn of(stat: &Stat) -> Self {
        Self {
            dev: stat.dev,
            ino: stat.ino,
        }
    }
}

/// A name in a directory. Without a parent: in the top.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    pub(crate) parent: Option<Arc<Node>>,
    pub(crate) name: Vec<u8>,
}

/// An inode.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) shared: Arc<Shared>,
    this: Weak<Self>,
    pub(crate) key: Key,
    pub(crate) ino: u64,
    pub(crate) kind: FileType,
    /// Where it was seen last.
    place: Mutex<Place>,
    /// The open directory.
    dir: Mutex<Option<Arc<Dir>>>,
    /// The regular file as guests have it open: it can be reached even without a name.
    handles: Mutex<Vec<Handle>>,
    /// What a host call told in the present system call.
    fresh: Mutex<Option<Fresh>>,
    /// Held by guests' changes of data and size.
    pub(crate) change: Mutex<()>,
    /// A guest's write is under way: the page cache may grow the file.
    pub(crate) growing: AtomicBool,
    /// The page cache, once the file has been mapped, and the file behind it.
    pub(crate) cache: Mutex<Option<(Weak<FilePages>, Weak<Backed>)>>,
    kept: AtomicBool,
    /// Changes are told by the host. Its directory does not stay open, because the host tells of its end only then.
    pub(crate) watched: AtomicBool,
    pub(crate) anchor: Anchor,
}

/// An open host file, and whether it can be written.
type Handle = (Weak<File>, bool);

#[derive(Clone, Copy, Debug)]
struct Fresh {
    call: (Time, u32),
    at: Instant,
    stat: Stat,
}

/// The longest that a system call may use what it was told.
const FRESH: Duration = Duration::from_millis(2);

impl Node {
    pub(crate) fn new(
        shared: &Arc<Shared>,
        key: Key,
        ino: u64,
        kind: FileType,
        place: Place,
    ) -> Arc<Self> {
        Arc::new_cyclic(|this| Self {
            shared: Arc::clone(shared),
            this: this.clone(),
            key,
            ino,
            kind,
            place: Mutex::new(place),
            dir: Mutex::new(None),
            handles: Mutex::default(),
            fresh: Mutex::new(None),
            change: Mutex::new(()),
            growing: AtomicBool::new(false),
            cache: Mutex::new(None),
            kept: AtomicBool::new(false),
            watched: AtomicBool::new(false),
            anchor: Anchor::default(),
        })
    }

    pub(crate) fn strong(&self) -> Arc<Self> {
        // A node is only ever reached through an Arc, and not from its own end.
        self.this
            .upgrade()
            .unwrap_or_else(|| unreachable!("used while it ends"))
    }

    /// Whether the node is to be kept in memory from now on (and was not before).
    pub(crate) fn keep(&self) -> bool {
        !self.kept.swap(true, Ordering::Relaxed)
    }

    pub(crate) fn keep_no_longer(&self) {
        self.kept.store(false, Ordering::Relaxed);
    }

    /// Notes where the file is now.
    pub(crate) fn moved(&self, place: Place) {
        let old = {
            let mut now = self.place.lock();
            if now.name == place.name
                && match (&now.parent, &place.parent) {
                    (Some(a), Some(b)) => Arc::ptr_eq(a, b),
                    (None, None) => true,
                    _ => false,
                }
            {
                return;
            }
            std::mem::replace(&mut *now, place)
        };
        // The former parent may end here.
        drop(old);
    }

    pub(crate) fn place(&self) -> Place {
        self.place.lock().clone()
    }

    /// The number of `..`.
    pub(crate) fn parent_ino(&self) -> u64 {
        self.place
            .lock()
            .parent
            .as_ref()
            .map_or(self.ino, |p| p.ino)
    }

    /// The directory, opened if need be from the nearest open one above.
    pub(crate) fn dir(&self) -> Result<Arc<Dir>> {
        if self.kind != FileType::Directory {
            return Err(Errno::ENOTDIR);
        }
        if let Some(dir) = &*self.dir.lock() {
            return Ok(Arc::clone(dir));
        }
        // Up to an open one, then down; not by recursion, because paths may be deep.
        let mut closed = vec![self.strong()];
        let mut at = loop {
            let next = closed.last().and_then(|n| n.place.lock().parent.clone());
            match next {
                None => break Arc::clone(&self.shared.top),
                Some(parent) => {
                    let open = parent.dir.lock().clone();
                    match open {
                        Some(dir) => break dir,
                        None => closed.push(parent),
                    }
                }
            }
        };
        while let Some(node) = closed.pop() {
            let name = node.place.lock().name.clone();
            let dir = at.open_dir(&name)?;
            if Key::of(&dir.stat(b".")?) != node.key {
                return Err(Errno::ESTALE);
            }
            at = Arc::new(dir);
            if !node.watched.load(Ordering::Relaxed) {
                *node.dir.lock() = Some(Arc::clone(&at));
                self.shared.dir_opened(node.this.clone());
            }
        }
        Ok(at)
    }

    /// Closes the directory until it is needed again.
    pub(crate) fn close_dir(&self) {
        let old = self.dir.lock().take();
        drop(old);
    }

    /// The directory and name to use in host calls about this file, after making sure that it is this file.
    pub(crate) fn host_name(&self) -> Result<(Arc<Dir>, Vec<u8>)> {
        let (dir, name) = self.last_name()?;
        match dir.stat(&name) {
            Ok(stat) if Key::of(&stat) == self.key => Ok((dir, name)),
            Ok(_) | Err(Errno::ENOENT) => Err(Errno::ESTALE),
            Err(e) => Err(e),
        }
    }

    pub(crate) fn last_name(&self) -> Result<(Arc<Dir>, Vec<u8>)> {
        let place = self.place();
        let dir = match &place.parent {
            Some(parent) => parent.dir()?,
            None => Arc::clone(&self.shared.top),
        };
        Ok((dir, place.name))
    }

    /// Opens the regular file.
    pub(crate) fn open_file(&self, cx: &Cx, read: bool, write: bool) -> Result<Arc<File>> {
        // Looks at the type first: to open a device might act on it.
        self.stat_once(cx)?;
        let (dir, name) = self.last_name()?;
        let how = OpenFile {
            read,
            write,
            ..OpenFile::default()
        };
        let (file, stat) = dir.open_file_stat(&name, how)?;
        if Key::of(&stat) != self.key {
            return Err(Errno::ESTALE);
        }
        Ok(self.opened(file, write))
    }

    /// Notes a file of this inode that was opened.
    pub(crate) fn opened(&self, file: File, write: bool) -> Arc<File> {
        let file = Arc::new(file);
        let mut handles = self.handles.lock();
        handles.retain(|(h, _)| h.strong_count() > 0);
        handles.push((Arc::downgrade(&file), write));
        file
    }

    /// The file as somebody has it open.
    pub(crate) fn handle(&self) -> Option<Arc<File>> {
        self.handles.lock().iter().find_map(|(h, _)| h.upgrade())
    }

    /// The file as somebody has it open for writing.
    fn writable_handle(&self) -> Option<Arc<File>> {
        let handles = self.handles.lock();
        let mut writable = handles.iter().filter(|(_, write)| *write);
        writable.find_map(|(h, _)| h.upgrade())
    }

    /// Sets the size of the regular file. Whether that has changed it: the host then has set its times.
    pub(crate) fn resize(&self, cx: &Cx, size: u64) -> Result<bool> {
        let file = match self.writable_handle() {
            Some(file) => file,
            None => self.open_file(cx, false, true)?,
        };
        self.changed();
        if file.stat()?.size == size {
            return Ok(false);
        }
        self.truncate(&file, size)?;
        Ok(true)
    }

    /// The host's attributes.
    pub(crate) fn stat(&self) -> Result<Stat> {
        let open = self.dir.lock().clone();
        if let Some(dir) = open {
            return dir.stat(b".");
        }
        let named = self.last_name().and_then(|(dir, name)| dir.stat(&name));
        match named {
            Ok(stat) if Key::of(&stat) == self.key => Ok(stat),
            Ok(_) | Err(Errno::ENOENT | Errno::ESTALE | Errno::ENOTDIR) => {
                // Without its name it can be asked only if it is open.
                self.handle().ok_or(Errno::ESTALE)?.stat()
            }
            Err(e) => Err(e),
        }
    }

    /// The host's attributes, asked for at most once in a system call.
    pub(crate) fn stat_once(&self, cx: &Cx) -> Result<Stat> {
        let call = (cx.now, cx.tid);
        if let Some(fresh) = &*self.fresh.lock()
            && fresh.call == call
            && fresh.at.elapsed() < FRESH
        {
            return Ok(fresh.stat);
        }
        let stat = self.stat()?;
        self.told(cx, stat);
        Ok(stat)
    }

    /// Notes what the host told in this system call.
    pub(crate) fn told(&self, cx: &Cx, stat: Stat) {
        *self.fresh.lock() = Some(Fresh {
            call: (cx.now, cx.tid),
            at: Instant::now(),
            stat,
        });
    }

    /// The attributes have changed.
    pub(crate) fn changed(&self) {
        *self.fresh.lock() = None;
    }

    /// The guest's view of the host's attributes.
    pub(crate) fn guest_attr(&self, s: &Stat) -> Attr {
        let (uid, gid) = self.shared.owners.to_guest(s.uid, s.gid);
        let time = |(sec, nsec)| Time { sec, nsec };
        let rdev = match self.kind {
            FileType::CharDevice | FileType::BlockDevice => {
                let (major, minor) = s.rdev_parts();
                DeviceId::new(major, minor)
            }
            _ => DeviceId::default(),
        };
        Attr {
            dev: self.shared.options.dev,
            ino: self.ino,
            kind: self.kind,
            mode: s.mode & 0o7777,
            nlink: u32::try_from(s.nlink).unwrap_or(u32::MAX),
            uid,
            gid,
            rdev,
            size: s.size,
            blksize: s.blksize,
            blocks: s.blocks,
            atime: time(s.atime),
            mtime: time(s.mtime),
            ctime: time(s.ctime),
            btime: None,
        }
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.shared.forget(self);
        // A long chain of parents ends one by one, not by recursion.
        let mut parent = self.place.get_mut().parent.take();
        while let Some(node) = parent {
            parent = Arc::into_inner(node).and_then(|mut n| n.place.get_mut().parent.take());
        }
    }
}
