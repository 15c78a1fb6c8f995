//! Hearing of all changes to the files of a machine: what an embedder needs to keep a copy or an index up to date.
//!
//! Unlike [`crate::notify`], which watches single inodes, a tracker hears of every file system that is mounted in the machine and gets
//! whole paths. Without any tracker in the process the hooks cost one load.

use crate::{attr::FileType, cx::Cx, dentry::Dentry, mount::Mount, path::Path};
use parking_lot::RwLock;
use std::{
    fmt::Debug,
    sync::{
        Arc, Weak,
        atomic::{AtomicUsize, Ordering},
    },
};

/// What happened to a name, or to the file that it leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChangeKind {
    /// The name was made: of a new inode, or another name of an existing one.
    Created,
    /// A file that was open for writing was closed.
    Written,
    /// The size of a file was set: truncate(2), `O_TRUNC`.
    Truncated,
    /// The name was removed.
    Removed,
    /// The name was changed to another one, in place of what that led to before.
    Renamed,
    /// The name and another one were exchanged.
    Exchanged,
}

/// Who made a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Author {
    /// [`Cx::context`].
    pub context: u64,
    /// [`Cx::tgid`].
    pub tgid: u32,
}

impl Author {
    pub(crate) fn of(cx: &Cx) -> Self {
        Self {
            context: cx.context,
            tgid: cx.tgid,
        }
    }
}

/// A change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// What happened.
    pub kind: ChangeKind,
    /// The absolute path, from the top of the mounts on.
    pub path: Vec<u8>,
    /// The other path of a rename and an exchange.
    pub to: Option<Vec<u8>>,
    /// Whether it happened to a directory.
    pub directory: bool,
    /// Who did it; of [`ChangeKind::Written`], who opened the file.
    pub author: Author,
}

/// A listener. Called by the thread that makes the change, without VFS locks of the subject held; it must not call back into the VFS.
pub trait Tracker: Send + Sync + Debug {
    /// Takes a change.
    fn changed(&self, change: &Change);
}

/// Trackers in the whole process.
static ACTIVE: AtomicUsize = AtomicUsize::new(0);

/// The trackers of a machine, which all super blocks share that are mounted there.
#[derive(Debug, Default)]
pub struct Trackers(RwLock<Vec<Weak<dyn Tracker>>>);

impl Trackers {
    /// Adds a tracker, which the caller keeps alive.
    pub fn add(&self, tracker: &Arc<dyn Tracker>) {
        self.0.write().push(Arc::downgrade(tracker));
        ACTIVE.fetch_add(1, Ordering::SeqCst);
    }

    /// Removes a tracker that was added.
    pub fn remove(&self, tracker: &Arc<dyn Tracker>) {
        let mut all = self.0.write();
        let before = all.len();
        all.retain(|t| !std::ptr::addr_eq(t.as_ptr(), Arc::as_ptr(tracker)));
        ACTIVE.fetch_sub(before - all.len(), Ordering::SeqCst);
    }

    fn tell(&self, change: &Change) {
        let all: Vec<_> = self.0.read().iter().filter_map(Weak::upgrade).collect();
        for tracker in all {
            tracker.changed(change);
        }
    }

    fn any(&self) -> bool {
        !self.0.read().is_empty()
    }
}

/// The trackers of a mount, if there are any and the file system keeps what is written to it.
fn listening(mount: &Mount) -> Option<&Arc<Trackers>> {
    if ACTIVE.load(Ordering::Relaxed) == 0 {
        return None;
    }
    let sb = mount.super_block();
    sb.trackers().filter(|t| t.any() && sb.fs().keeps_changes())
}

fn entry_path(dir: &Path, name: &[u8]) -> Vec<u8> {
    let mut path = dir.absolute();
    if path.last() != Some(&b'/') {
        path.push(b'/');
    }
    path.extend_from_slice(name);
    path
}

/// Tells of a name in a directory.
pub(crate) fn entry(cx: &Cx, dir: &Path, name: &[u8], directory: bool, kind: ChangeKind) {
    if let Some(trackers) = listening(&dir.mount) {
        trackers.tell(&Change {
            kind,
            path: entry_path(dir, name),
            to: None,
            directory,
            author: Author::of(cx),
        });
    }
}

/// Tells of a file that still has its name.
pub(crate) fn file(author: Author, path: &Path, kind: ChangeKind) {
    if path.dentry.kind() != FileType::Regular || path.dentry.is_unlinked() {
        return;
    }
    if let Some(trackers) = listening(&path.mount) {
        trackers.tell(&Change {
            kind,
            path: path.absolute(),
            to: None,
            directory: false,
            author,
        });
    }
}

/// Tells of two names that changed places, or of one that took another's.
pub(crate) fn moved(
    cx: &Cx,
    from: (&Path, &[u8]),
    to: (&Path, &[u8]),
    child: &Arc<Dentry>,
    kind: ChangeKind,
) {
    if let Some(trackers) = listening(&from.0.mount) {
        trackers.tell(&Change {
            kind,
            path: entry_path(from.0, from.1),
            to: Some(entry_path(to.0, to.1)),
            directory: child.is_dir(),
            author: Author::of(cx),
        });
    }
}
