//! Watching files and directories: inotify(7).

use parking_lot::Mutex;
use std::{
    any::Any,
    collections::{BTreeMap, VecDeque},
    sync::{
        Arc, Weak,
        atomic::{AtomicU32, Ordering},
    },
};
use tuxlet_mem::{AddressSpace, IoWrite};
use tuxlet_sync::WaitQueue;
use tuxlet_uapi::{
    errno::{Errno, Result},
    fcntl::OpenFlags,
    inotify::{
        IN_ALL_EVENTS, IN_DELETE_SELF, IN_EXCL_UNLINK, IN_IGNORED, IN_ISDIR, IN_MASK_ADD,
        IN_MASK_CREATE, IN_ONESHOT, IN_Q_OVERFLOW, IN_UNMOUNT, InotifyEvent,
    },
    ioctl::FIONREAD,
};
use tuxlet_vfs::{Attr, Cx, Events, File, FileOps, InodeId, InodeRef, Path, PollTable, notify};
use zerocopy::IntoBytes;

/// Most events in a queue: `/proc/sys/fs/inotify/max_queued_events`.
const MAX_QUEUED: usize = 16_384;
/// Most watches of an instance: `/proc/sys/fs/inotify/max_user_watches`.
const MAX_WATCHES: usize = 65_536;

/// An event on its way to the reader.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Queued {
    wd: i32,
    mask: u32,
    cookie: u32,
    name: Vec<u8>,
}

impl Queued {
    /// Events have been lost.
    fn overflow() -> Self {
        Self {
            wd: -1,
            mask: IN_Q_OVERFLOW,
            cookie: 0,
            name: Vec::new(),
        }
    }

    /// Bytes of the name with its zeros: a multiple of the header's size, as in Linux; none without a name.
    fn name_len(&self) -> usize {
        let header = size_of::<InotifyEvent>();
        if self.name.is_empty() {
            0
        } else {
            (self.name.len() + 1).next_multiple_of(header)
        }
    }

    fn len(&self) -> usize {
        size_of::<InotifyEvent>() + self.name_len()
    }

    fn bytes(&self) -> Vec<u8> {
        let head = InotifyEvent {
            wd: self.wd,
            mask: self.mask,
            cookie: self.cookie,
            len: self.name_len() as u32,
        };
        let mut out = head.as_bytes().to_vec();
        out.extend_from_slice(&self.name);
        out.resize(self.len(), 0);
        out
    }
}

/// The listener on one inode.
#[derive(Debug)]
struct Watch {
    wd: i32,
    mask: AtomicU32,
    to: Weak<Inotify>,
}

impl notify::Watch for Watch {
    fn event(&self, event: &notify::Event<'_>) {
        let wanted = self.mask.load(Ordering::Relaxed);
        let Some(inotify) = self.to.upgrade() else {
            return;
        };
        if event.mask & IN_Q_OVERFLOW != 0 {
            inotify.push(Queued::overflow());
        }
        let unwanted = event.unlinked && wanted & IN_EXCL_UNLINK != 0;
        if event.mask & wanted & IN_ALL_EVENTS != 0 && !unwanted {
            inotify.push(Queued {
                wd: self.wd,
                mask: event.mask & (IN_ALL_EVENTS | IN_ISDIR),
                cookie: event.cookie,
                name: event.name.unwrap_or_default().to_vec(),
            });
            if wanted & IN_ONESHOT != 0 {
                inotify.forget(self.wd);
            }
        }
        // Told whether it was asked for or not.
        if event.mask & IN_UNMOUNT != 0 {
            inotify.push(Queued {
                wd: self.wd,
                mask: event.mask & (IN_UNMOUNT | IN_ISDIR),
                cookie: 0,
                name: Vec::new(),
            });
        }
        if event.mask & (IN_DELETE_SELF | IN_UNMOUNT) != 0 {
            inotify.forget(self.wd);
        }
    }
}

#[derive(Debug)]
struct Watched {
    inode: InodeRef,
    watch: Arc<Watch>,
    listener: Arc<dyn notify::Watch>,
}

impl Drop for Watched {
    fn drop(&mut self) {
        notify::remove(self.inode.anchor(), &self.listener);
    }
}

#[derive(Debug, Default)]
struct Watches {
    by_wd: BTreeMap<i32, Watched>,
    by_inode: BTreeMap<InodeId, i32>,
    /// What tells of the changes of some inodes. One collects for all.
    outside: BTreeMap<i32, Arc<dyn notify::Outside>>,
    last_wd: i32,
}

/// An inotify instance.
#[derive(Debug)]
pub struct Inotify {
    me: Weak<Self>,
    watches: Mutex<Watches>,
    queue: Mutex<VecDeque<Queued>>,
    arrived: WaitQueue,
    attr: Attr,
}

/// A file for a new instance.
#[must_use]
pub fn open(cx: &Cx, flags: OpenFlags) -> Arc<File> {
    let ops = Arc::new_cyclic(|me| Inotify {
        me: Weak::clone(me),
        watches: Mutex::default(),
        queue: Mutex::default(),
        arrived: WaitQueue::new(),
        attr: crate::anon::attr(cx),
    });
    File::anonymous(cx, ops, b"anon_inode:inotify", flags)
}

impl Inotify {
    fn push(&self, event: Queued) {
        let mut queue = self.queue.lock();
        // An event just like the last unread one tells nothing new: inotify(7).
        if queue.back() == Some(&event) {
            return;
        }
        match queue.len() {
            MAX_QUEUED.. => return,
            n if n == MAX_QUEUED - 1 => {
                queue.push_back(Queued::overflow());
            }
            _ => queue.push_back(event),
        }
        drop(queue);
        self.arrived.wake_all(Events::READABLE.bits());
    }

    /// Watches an inode, or changes its watch; returns the watch descriptor: inotify_add_watch(2).
    pub fn add(&self, path: &Path, mask: u32) -> Result<i32> {
        let inode = path.inode();
        let kept = IN_ALL_EVENTS | IN_ONESHOT | IN_EXCL_UNLINK;
        let mut watches = self.watches.lock();
        if let Some(watched) = watches
            .by_inode
            .get(&inode.id())
            .and_then(|wd| watches.by_wd.get(wd))
        {
            if mask & IN_MASK_CREATE != 0 {
                return Err(Errno::EEXIST);
            }
            let added = if mask & IN_MASK_ADD != 0 {
                watched.watch.mask.load(Ordering::Relaxed)
            } else {
                0
            };
            watched
                .watch
                .mask
                .store(mask & kept | added, Ordering::Relaxed);
            return Ok(watched.watch.wd);
        }
        if watches.by_wd.len() >= MAX_WATCHES {
            return Err(Errno::ENOSPC);
        }
        let wd = watches.last_wd.checked_add(1).ok_or(Errno::ENOSPC)?;
        watches.last_wd = wd;
        let watch = Arc::new(Watch {
            wd,
            mask: AtomicU32::new(mask & kept),
            to: Weak::clone(&self.me),
        });
        let listener: Arc<dyn notify::Watch> = Arc::clone(&watch) as _;
        path.mount.super_block().watch(inode);
        if let Some(outside) = notify::add(inode, &listener) {
            watches.outside.insert(wd, outside);
        }
        watches.by_inode.insert(inode.id(), wd);
        watches.by_wd.insert(
            wd,
            Watched {
                inode: Arc::clone(inode),
                watch,
                listener,
            },
        );
        Ok(wd)
    }

    /// Fetches what has happened outside the VFS.
    fn collect(&self) {
        let outside = self.watches.lock().outside.values().next().cloned();
        if let Some(outside) = outside {
            outside.collect();
        }
    }

    /// Ends a watch: inotify_rm_watch(2). `EINVAL` for an unknown descriptor.
    pub fn remove(&self, wd: i32) -> Result<()> {
        if self.forget(wd) {
            Ok(())
        } else {
            Err(Errno::EINVAL)
        }
    }

    fn forget(&self, wd: i32) -> bool {
        let mut watches = self.watches.lock();
        let Some(watched) = watches.by_wd.remove(&wd) else {
            return false;
        };
        watches.by_inode.remove(&watched.inode.id());
        let outside = watches.outside.remove(&wd);
        // With the lock held: a reader who finds nothing to collect from any more must find this.
        self.push(Queued {
            wd,
            mask: IN_IGNORED,
            cookie: 0,
            name: Vec::new(),
        });
        drop(watches);
        // The inode may go with its last user: outside the lock.
        drop((outside, watched));
        true
    }

    /// The watches as descriptor, inode and mask, for `/proc/PID/fdinfo`.
    #[must_use]
    pub fn list(&self) -> Vec<(i32, InodeId, u32)> {
        let watches = self.watches.lock();
        let all = watches.by_wd.values();
        all.map(|w| {
            (
                w.watch.wd,
                w.inode.id(),
                w.watch.mask.load(Ordering::Relaxed),
            )
        })
        .collect()
    }
}

impl FileOps for Inotify {
    fn as_any(&self) -> &dyn Any {
        self
    }

    fn attr(&self, _cx: &Cx) -> Result<Attr> {
        Ok(self.attr)
    }

    fn seekable(&self) -> bool {
        false
    }

    fn own_seek(&self, _offset: i64, _whence: u32) -> Option<Result<u64>> {
        Some(Ok(0))
    }

    fn pollable(&self) -> bool {
        true
    }

    fn read_at(&self, _cx: &Cx, _offset: u64, to: &mut dyn IoWrite) -> Result<usize> {
        self.collect();
        let mut done = 0;
        loop {
            let event = {
                let mut queue = self.queue.lock();
                match queue.front() {
                    None if done == 0 => return Err(Errno::EAGAIN),
                    // Not even one fits: the error that tells to come with more room.
                    Some(event) if event.len() > to.remaining() && done == 0 => {
                        return Err(Errno::EINVAL);
                    }
                    Some(event) if event.len() <= to.remaining() => queue.pop_front(),
                    _ => None,
                }
            };
            let Some(event) = event else { return Ok(done) };
            let bytes = event.bytes();
            if to.write_from(&bytes)? < bytes.len() {
                return Err(Errno::EFAULT);
            }
            done += bytes.len();
        }
    }

    fn poll(&self, _cx: &Cx, table: Option<&mut PollTable>) -> Events {
        if let Some(table) = table {
            table.add(&self.arrived);
        }
        self.collect();
        if self.queue.lock().is_empty() {
            Events::empty()
        } else {
            Events::READABLE
        }
    }

    fn ioctl(&self, _cx: &Cx, request: u32, arg: u64, mm: &AddressSpace) -> Result<i64> {
        if request != FIONREAD {
            return Err(Errno::ENOTTY);
        }
        self.collect();
        let len: usize = self.queue.lock().iter().map(Queued::len).sum();
        mm.write_bytes(arg, &(len as i32).to_le_bytes())?;
        Ok(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_padded_to_the_size_of_a_header() {
        let event = |name: &[u8]| Queued {
            wd: 1,
            mask: 2,
            cookie: 3,
            name: name.to_vec(),
        };
        assert_eq!(event(b"").bytes().len(), 16);
        assert_eq!(event(b"a").bytes().len(), 32);
        assert_eq!(event(&[b'x'; 15]).bytes().len(), 32);
        assert_eq!(event(&[b'x'; 16]).bytes().len(), 48);
        assert_eq!(
            event(b"ab").bytes()[12..20],
            [16, 0, 0, 0, b'a', b'b', 0, 0]
        );
    }
}
