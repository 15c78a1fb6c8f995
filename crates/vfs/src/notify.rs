//! Who wants to hear of changes: the hooks that inotify(7) is built on.

use crate::{
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
    IN_ATTRIB, IN_DELETE, IN_DELETE_SELF, IN_ISDIR, IN_MODIFY, IN_MOVE_SELF, IN_MOVED_FROM,
    IN_MOVED_TO,
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

/// The watches of one inode, in its [`Anchor`].
#[derive(Debug, Default)]
struct Watches(Mutex<Vec<Weak<dyn Watch>>>);

/// Watches in the whole process: without any, the hooks cost one load.
static WATCHES: AtomicUsize = AtomicUsize::new(0);
static COOKIE: AtomicU32 = AtomicU32::new(0);

/// Adds a watch to an inode; the caller keeps both alive.
pub fn add(anchor: &Anchor, watch: &Arc<dyn Watch>) {
    WATCHES.fetch_add(1, Ordering::SeqCst);
    anchor
        .get_or_insert(Watches::default)
        .0
        .lock()
        .push(Arc::downgrade(watch));
}

/// Removes a watch that was added.
pub fn remove(anchor: &Anchor, watch: &Arc<dyn Watch>) {
    let Some(watches) = anchor.get::<Watches>() else {
        return;
    };
    let mut list = watches.0.lock();
    let before = list.len();
    list.retain(|w| !std::ptr::addr_eq(w.as_ptr(), Arc::as_ptr(watch)));
    WATCHES.fetch_sub(before - list.len(), Ordering::SeqCst);
}

fn active() -> bool {
    WATCHES.load(Ordering::Relaxed) != 0
}

fn tell(inode: &InodeRef, event: &Event<'_>) {
    let Some(watches) = inode.anchor().get::<Watches>() else {
        return;
    };
    let listeners: Vec<_> = watches.0.lock().iter().filter_map(Weak::upgrade).collect();
    for watch in listeners {
        watch.event(event);
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
    tell(
        dentry.inode(),
        &Event {
            mask,
            cookie: 0,
            name: None,
            unlinked: false,
        },
    );
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

/// Tells of a removed entry and of what that means for its inode.
pub(crate) fn removed(cx: &Cx, dir: &Arc<Dentry>, child: &Arc<Dentry>) {
    if !active() {
        return;
    }
    on_entry(dir, &child.name(), child.is_dir(), IN_DELETE);
    replaced(cx, child);
}

/// Tells an inode's watchers that it has lost a name.
pub(crate) fn replaced(cx: &Cx, child: &Arc<Dentry>) {
    if !active() {
        return;
    }
    let last = child.is_dir() || child.inode().attr(cx).map_or(true, |a| a.nlink == 0);
    if !child.is_dir() {
        tell(
            child.inode(),
            &Event {
                mask: IN_ATTRIB,
                cookie: 0,
                name: None,
                unlinked: false,
            },
        );
    }
    if last {
        tell(
            child.inode(),
            &Event {
                mask: IN_DELETE_SELF,
                cookie: 0,
                name: None,
                unlinked: false,
            },
        );
    }
}

/// Tells of a rename.
pub(crate) fn moved(
    from: &Arc<Dentry>,
    old: &[u8],
    to: &Arc<Dentry>,
    new: &[u8],
    child: &Arc<Dentry>,
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
    tell(
        child.inode(),
        &Event {
            mask: IN_MOVE_SELF,
            cookie: 0,
            name: None,
            unlinked: false,
        },
    );
}
