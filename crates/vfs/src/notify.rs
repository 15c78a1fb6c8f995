//! Who wants to hear of changes: the hooks that inotify(7) is built on.

use crate::{
    attr::{FileType, Time},
    cx::Cx,
    dentry::Dentry,
    inode::{Anchor, InodeRef},
};
use parking_lot::Mutex;
use std::{
    fmt::Debug,
    sync::{
        Arc, Weak,
        atomic::{AtomicU32, AtomicUsize, Ordering},
    },
};
use tuxlet_uapi::inotify::{
    IN_ATTRIB, IN_CLOSE_WRITE, IN_CREATE, IN_DELETE, IN_DELETE_SELF, IN_ISDIR, IN_MODIFY,
    IN_MOVE_SELF, IN_MOVED_FROM, IN_MOVED_TO,
};

/// Something that happened.
#[derive(Clone, Copy, Debug)]
pub struct Event<'a> {
    /// One `IN_*` event, and perhaps [`IN_ISDIR`].
    pub mask: u32,
    /// Joins the two halves of a rename; otherwise 0.
    pub cookie: u32,
    /// The entry's name, if the watched inode is the directory that holds it.
    pub name: Option<&'a [u8]>,
    /// The name is not in the watched directory any more: what `IN_EXCL_UNLINK` does not want to hear of.
    pub unlinked: bool,
}

/// A listener on an inode. Called without VFS locks of the subject held, but it must not call back into the VFS.
pub trait Watch: Send + Sync + Debug {
    /// Takes an event.
    fn event(&self, event: &Event<'_>);
}

/// An inode's changes as they are told from outside the machine: see [`crate::Inode::watch_outside`]. They end with the value.
pub trait Outside: Send + Sync + Debug {
    /// Tells what is known by now before it returns, for a reader who must see his own changes.
    fn collect(&self);
}

/// The events that [`Outside`] tells of, whoever causes them, in place of the VFS.
pub const OUTSIDE: u32 = IN_ATTRIB
    | IN_CLOSE_WRITE
    | IN_CREATE
    | IN_DELETE
    | IN_DELETE_SELF
    | IN_MODIFY
    | IN_MOVE_SELF
    | IN_MOVED_FROM
    | IN_MOVED_TO;

/// The watches of one inode, in its [`Anchor`].
#[derive(Debug, Default)]
struct Watches {
    list: Mutex<Vec<Weak<dyn Watch>>>,
    outside: Mutex<Option<Arc<dyn Outside>>>,
}

/// Watches in the whole process: without any, the hooks cost one load.
static WATCHES: AtomicUsize = AtomicUsize::new(0);
static COOKIE: AtomicU32 = AtomicU32::new(0);

/// Adds a watch to an inode; the caller keeps both alive. Returns what tells of the inode's changes, if not the VFS.
pub fn add(inode: &InodeRef, watch: &Arc<dyn Watch>) -> Option<Arc<dyn Outside>> {
    WATCHES.fetch_add(1, Ordering::SeqCst);
    let watches = inode.anchor().get_or_insert(Watches::default);
    // Before the list: whoever removes the last watch meanwhile waits, and then finds this one.
    let mut outside = watches.outside.lock();
    if outside.is_none() {
        *outside = inode.watch_outside();
    }
    watches.list.lock().push(Arc::downgrade(watch));
    outside.clone()
}

/// Removes a watch that was added.
pub fn remove(anchor: &Anchor, watch: &Arc<dyn Watch>) {
    let Some(watches) = anchor.get::<Watches>() else {
        return;
    };
    let mut outside = watches.outside.lock();
    let mut list = watches.list.lock();
    let before = list.len();
    list.retain(|w| !std::ptr::addr_eq(w.as_ptr(), Arc::as_ptr(watch)));
    WATCHES.fetch_sub(before - list.len(), Ordering::SeqCst);
    let unused = list.is_empty().then(|| outside.take());
    drop((list, outside));
    drop(unused);
}

/// Tells an inode's watchers of a change that came from outside.
pub fn from_outside(anchor: &Anchor, event: &Event<'_>) {
    if let Some(watches) = anchor.get::<Watches>() {
        watches.tell(event);
    }
}

fn active() -> bool {
    WATCHES.load(Ordering::Relaxed) != 0
}

fn tell(inode: &InodeRef, event: &Event<'_>) {
    let Some(watches) = inode.anchor().get::<Watches>() else {
        return;
    };
    let outside = watches.outside.lock().clone();
    match outside {
        Some(_) if event.mask & OUTSIDE != 0 => return,
        // What came before is told before.
        Some(outside) => outside.collect(),
        None => {}
    }
    watches.tell(event);
}

impl Watches {
    fn tell(&self, event: &Event<'_>) {
        let listeners: Vec<_> = self.list.lock().iter().filter_map(Weak::upgrade).collect();
        for watch in listeners {
            watch.event(event);
        }
    }
}

/// Tells the inode's watchers, and those of the directory that holds its name.
pub fn on_dentry(dentry: &Arc<Dentry>, mask: u32) {
    if !active() {
        return;
    }
    let mask = if dentry.is_dir() {
        mask | IN_ISDIR
    } else {
        mask
    };
    let (name, parent) = dentry.place();
    if let Some(parent) = parent {
        tell(
            parent.inode(),
            &Event {
                mask,
                cookie: 0,
                name: Some(&name),
                unlinked: dentry.is_unlinked(),
            },
        );
    }
    on_inode(dentry.inode(), mask);
}

/// Tells the watchers of a file, and of the directory that it is in under this name, that it reads otherwise than before.
pub fn modified(inode: &InodeRef, directory: &InodeRef, name: &[u8]) {
    if !active() {
        return;
    }
    for (subject, name) in [(directory, Some(name)), (inode, None)] {
        tell(
            subject,
            &Event {
                mask: IN_MODIFY,
                cookie: 0,
                name,
                unlinked: false,
            },
        );
    }
}

/// Tells a directory's watchers of an entry.
pub(crate) fn on_entry(dir: &Arc<Dentry>, name: &[u8], is_dir: bool, mask: u32) {
    if !active() {
        return;
    }
    let mask = if is_dir { mask | IN_ISDIR } else { mask };
    tell(
        dir.inode(),
        &Event {
            mask,
            cookie: 0,
            name: Some(name),
            unlinked: false,
        },
    );
}

/// Tells an inode's watchers alone.
pub(crate) fn on_inode(inode: &InodeRef, mask: u32) {
    if active() {
        tell(
            inode,
            &Event {
                mask,
                cookie: 0,
                name: None,
                unlinked: false,
            },
        );
    }
}

/// Tells of a removed entry and of what that means for its inode, in Linux' order.
pub(crate) fn removed(dir: &Arc<Dentry>, child: &Arc<Dentry>) {
    if !active() {
        return;
    }
    if !child.is_dir() {
        on_inode(child.inode(), IN_ATTRIB);
    }
    unused(child);
    on_entry(dir, &child.name(), child.is_dir(), IN_DELETE);
}

/// Tells of a removed inode's end if nobody but the caller uses the name: otherwise the last one tells.
fn unused(child: &Arc<Dentry>) {
    if Arc::strong_count(child) == 1 {
        child.tell_end();
    }
}

/// Tells an inode's watchers that it has lost its last name, if so.
pub(crate) fn ended(inode: &InodeRef) {
    if !active() || inode.anchor().get::<Watches>().is_none() {
        return;
    }
    let is_dir = inode.kind() == FileType::Directory;
    if is_dir
        || inode
            .attr(&Cx::host(Time::default()))
            .map_or(true, |a| a.nlink == 0)
    {
        on_inode(inode, IN_DELETE_SELF);
    }
}

/// Tells of a rename, perhaps to the name of another file.
pub(crate) fn moved(
    (from, old): (&Arc<Dentry>, &[u8]),
    (to, new): (&Arc<Dentry>, &[u8]),
    child: &Arc<Dentry>,
    replaced: Option<&Arc<Dentry>>,
) {
    if !active() {
        return;
    }
    let dir = if child.is_dir() { IN_ISDIR } else { 0 };
    let cookie = COOKIE.fetch_add(1, Ordering::Relaxed).wrapping_add(1);
    tell(
        from.inode(),
        &Event {
            mask: IN_MOVED_FROM | dir,
            cookie,
            name: Some(old),
            unlinked: false,
        },
    );
    tell(
        to.inode(),
        &Event {
            mask: IN_MOVED_TO | dir,
            cookie,
            name: Some(new),
            unlinked: false,
        },
    );
    if let Some(replaced) = replaced {
        on_inode(replaced.inode(), IN_ATTRIB);
    }
    on_inode(child.inode(), IN_MOVE_SELF);
    if let Some(replaced) = replaced {
        unused(replaced);
    }
}
