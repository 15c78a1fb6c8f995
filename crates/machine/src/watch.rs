//! Hearing of changes to guest files: the host's side of what inotify(7) is for guests.

use crate::{Error, Machine, Result};
use std::sync::Arc;
use tuxlet_uapi::inotify::{
    IN_ATTRIB, IN_CLOSE_WRITE, IN_CREATE, IN_DELETE, IN_DELETE_SELF, IN_ISDIR, IN_MODIFY,
    IN_MOVE_SELF, IN_MOVED_FROM, IN_MOVED_TO,
};
use tuxlet_vfs::{At, InodeRef, LookupFlags, notify, resolver};

/// What happened to a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ChangeKind {
    /// It was made in the watched directory.
    Created,
    /// Its contents changed.
    Modified,
    /// Somebody who could write it closed it.
    Closed,
    /// Its permissions, owner, times or number of links changed.
    Attributes,
    /// It was removed.
    Removed,
    /// It was renamed away from its name.
    MovedFrom,
    /// It was renamed to its name.
    MovedTo,
}

/// A change.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Change {
    /// What happened.
    pub kind: ChangeKind,
    /// The entry's name in the watched directory; `None` if it happened to what is watched itself.
    pub name: Option<String>,
    /// Whether it happened to a directory.
    pub directory: bool,
    /// Joins the two halves of a rename; otherwise 0.
    pub cookie: u32,
}

/// Watches until it is dropped.
#[derive(Debug)]
pub struct Watcher {
    inode: InodeRef,
    watch: Arc<dyn notify::Watch>,
}

impl Drop for Watcher {
    fn drop(&mut self) {
        notify::remove(self.inode.anchor(), &self.watch);
    }
}

struct Listener<F>(F);

impl<F> std::fmt::Debug for Listener<F> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Listener")
    }
}

impl<F: Fn(Change) + Send + Sync> notify::Watch for Listener<F> {
    fn event(&self, event: &notify::Event<'_>) {
        let kind = match event.mask & !IN_ISDIR {
            IN_CREATE => ChangeKind::Created,
            IN_MODIFY => ChangeKind::Modified,
            IN_CLOSE_WRITE => ChangeKind::Closed,
            IN_ATTRIB => ChangeKind::Attributes,
            IN_DELETE | IN_DELETE_SELF => ChangeKind::Removed,
            IN_MOVED_FROM | IN_MOVE_SELF => ChangeKind::MovedFrom,
            IN_MOVED_TO => ChangeKind::MovedTo,
            // Opening and reading change nothing.
            _ => return,
        };
        (self.0)(Change {
            kind,
            name: event
                .name
                .map(|name| String::from_utf8_lossy(name).into_owned()),
            directory: event.mask & IN_ISDIR != 0,
            cookie: event.cookie,
        });
    }
}

impl Machine {
    /// Tells `listener` of changes to a file, or to a directory and the entries right in it, until the watcher is dropped: of
    /// those that are made inside the machine, and in a host's directory of those that others make (on hosts with Linux'
    /// inotify). The listener is called by the thread that makes or hears of the change: it must return soon and not use
    /// the machine's files.
    pub fn watch(
        &self,
        path: &str,
        listener: impl Fn(Change) + Send + Sync + 'static,
    ) -> Result<Watcher> {
        let kernel = &self.inner.kernel;
        let at = At::root(kernel.mounts.root());
        let found = resolver::lookup(&kernel.host_cx(), &at, path.as_bytes(), LookupFlags::FOLLOW)
            .map_err(|errno| Error::File {
                path: path.into(),
                errno,
            })?;
        let inode = Arc::clone(found.inode());
        let watch: Arc<dyn notify::Watch> = Arc::new(Listener(listener));
        // Changes outside are told by the reactor's thread.
        let _ = notify::add(&inode, &watch);
        Ok(Watcher { inode, watch })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Root;
    use std::sync::mpsc;

    #[test]
    fn changes_are_told_until_the_watcher_goes() {
        let machine = Machine::builder().root(Root::Memory).build().unwrap();
        machine.create_dir("/srv/sub").unwrap();
        let (sender, told) = mpsc::channel();
        let watcher = machine
            .watch("/srv", move |change| sender.send(change).unwrap())
            .unwrap();
        machine.write_file("/srv/a", 0o644, b"x").unwrap();
        machine.rename("/srv/a", "/srv/b").unwrap();
        machine.remove("/srv/b").unwrap();
        machine.remove("/srv/sub").unwrap();
        machine.write_file("/elsewhere", 0o644, b"x").unwrap();
        drop(watcher);
        machine.write_file("/srv/late", 0o644, b"x").unwrap();
        let all: Vec<_> = told.iter().collect();
        let kinds: Vec<_> = all
            .iter()
            .map(|c| (c.kind, c.name.as_deref().unwrap_or(""), c.directory))
            .collect();
        use ChangeKind::{Closed, Created, Modified, MovedFrom, MovedTo, Removed};
        let expected = [
            (Created, "a", false),
            (Modified, "a", false),
            (Closed, "a", false),
            (MovedFrom, "a", false),
            (MovedTo, "b", false),
            (Removed, "b", false),
            (Removed, "sub", true),
        ];
        assert_eq!(kinds, expected);
        assert_ne!(all[3].cookie, 0);
        assert_eq!(all[3].cookie, all[4].cookie);
        assert!(machine.watch("/none", |_| ()).is_err());
    }
}
