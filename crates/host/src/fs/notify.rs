//! What happens to host files, whoever does it: inotify(7) of Linux hosts.
//!
//! One inotify instance serves the whole process, because a user may have only some hundred. What the host has queued
//! reaches the listeners by the reactor, or at once by [`Watched::collect`].

use super::{Dir, Stat};
use std::{fmt::Debug, sync::Arc};
use tuxlet_uapi::errno::Result;

/// A change of a watched file.
#[derive(Clone, Copy, Debug)]
pub struct Change<'a> {
    /// `IN_*` bits.
    pub mask: u32,
    /// Joins the two halves of a rename; otherwise 0.
    pub cookie: u32,
    /// The entry's name, if it happened in the watched directory.
    pub name: Option<&'a [u8]>,
}

/// Who wants to know.
pub trait Listener: Send + Sync + Debug {
    /// Takes a change. Called on the reactor's thread or on one that collects.
    fn changed(&self, change: &Change<'_>);
}

impl Dir {
    /// Watches a name of this directory for the `IN_*` events in `mask`, until the result is dropped, and says which file that is.
    /// `ENOSYS` on hosts without inotify, `ENOSPC` when the user's watches are all used.
    pub fn watch(
        &self,
        name: &[u8],
        mask: u32,
        listener: Arc<dyn Listener>,
    ) -> Result<(Watched, Stat)> {
        imp::watch(self, name, mask, listener)
    }
}

/// A file that is being watched.
#[derive(Debug)]
pub struct Watched(imp::Watched);

impl Watched {
    /// Tells all listeners of the process what the host knows by now, before it returns.
    pub fn collect(&self) {
        self.0.collect();
    }
}

#[cfg(target_os = "linux")]
mod imp {
    use super::{Change, Dir, Listener, Stat};
    use crate::{errno::from_host, poll};
    use rustix::{
        fd::{AsRawFd, OwnedFd},
        fs::inotify::{self, CreateFlags, Reader, WatchFlags},
        io::Errno as HostErrno,
    };
    use std::{
        collections::HashMap,
        mem::MaybeUninit,
        sync::{Arc, OnceLock, Weak},
    };
    use tuxlet_sync::{Mutex, Wake};
    use tuxlet_uapi::{
        errno::{Errno, Result},
        inotify::{IN_IGNORED, IN_Q_OVERFLOW},
    };

    type Listeners = Vec<Arc<dyn Listener>>;

    #[derive(Debug)]
    struct Notifier {
        fd: Arc<OwnedFd>,
        by_wd: Mutex<HashMap<i32, Listeners>>,
        /// Held while events are read and told, so that they are told in order.
        reading: Mutex<()>,
        watch: OnceLock<poll::Watch>,
    }

    #[derive(Debug)]
    struct Bell(Weak<Notifier>);

    impl Wake for Bell {
        fn wake(&self, _events: u32) {
            if let Some(notifier) = self.0.upgrade() {
                notifier.collect();
                if let Some(watch) = notifier.watch.get() {
                    // Fails only if the reactor is broken, and then nothing else comes either.
                    let _ = watch.arm(true, false);
                }
            }
        }
    }

    #[derive(Debug)]
    pub(super) struct Watched {
        notifier: Arc<Notifier>,
        wd: i32,
        listener: Arc<dyn Listener>,
    }

    impl Watched {
        pub(super) fn collect(&self) {
            self.notifier.collect();
        }
    }

    impl Drop for Watched {
        fn drop(&mut self) {
            let mut by_wd = self.notifier.by_wd.lock();
            let Some(listeners) = by_wd.get_mut(&self.wd) else {
                return;
            };
            listeners.retain(|l| !Arc::ptr_eq(l, &self.listener));
            if listeners.is_empty() {
                by_wd.remove(&self.wd);
                // It may have gone with its file.
                let _ = inotify::remove_watch(&*self.notifier.fd, self.wd);
            }
        }
    }

    impl Notifier {
        /// The one of this process, made when it is first needed.
        fn global() -> Result<Arc<Self>> {
            static GLOBAL: Mutex<Option<Arc<Notifier>>> = Mutex::new(None);
            let mut global = GLOBAL.lock();
            if let Some(notifier) = &*global {
                return Ok(Arc::clone(notifier));
            }
            let fd =
                inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK).map_err(from_host)?;
            let notifier = Arc::new(Self {
                fd: Arc::new(fd),
                by_wd: Mutex::default(),
                reading: Mutex::default(),
                watch: OnceLock::new(),
            });
            let bell = Arc::new(Bell(Arc::downgrade(&notifier)));
            let io = |e: std::io::Error| crate::errno::from_io(&e);
            let reactor = poll::Reactor::global().map_err(io)?;
            let watch = reactor
                .watch(Arc::clone(&notifier.fd), false, false, bell)
                .map_err(io)?;
            // Armed once it can be armed again by the bell.
            let watch = notifier.watch.get_or_init(|| watch);
            watch.arm(true, false).map_err(io)?;
            *global = Some(Arc::clone(&notifier));
            Ok(notifier)
        }

        fn collect(&self) {
            let _reading = self.reading.lock();
            let mut buffer = [MaybeUninit::uninit(); 8192];
            let mut reader = Reader::new(&*self.fd, &mut buffer);
            loop {
                let event = match reader.next() {
                    Ok(event) => event,
                    Err(HostErrno::INTR) => continue,
                    // All has been read.
                    Err(_) => return,
                };
                let mask = event.events().bits();
                let change = Change {
                    mask,
                    cookie: event.cookie(),
                    name: event.file_name().map(std::ffi::CStr::to_bytes),
                };
                let listeners: Listeners = {
                    let mut by_wd = self.by_wd.lock();
                    if mask & IN_Q_OVERFLOW != 0 {
                        by_wd.values().flatten().cloned().collect()
                    } else if mask & IN_IGNORED != 0 {
                        by_wd.remove(&event.wd()).unwrap_or_default()
                    } else {
                        by_wd.get(&event.wd()).cloned().unwrap_or_default()
                    }
                };
                for listener in listeners {
                    listener.changed(&change);
                }
            }
        }
    }

    pub(super) fn watch(
        dir: &Dir,
        name: &[u8],
        mask: u32,
        listener: Arc<dyn Listener>,
    ) -> Result<(super::Watched, Stat)> {
        let (fd, stat) = dir.open_path(name)?;
        let notifier = Notifier::global()?;
        // The same file has the same descriptor again: held, so that nobody removes it meanwhile.
        let mut by_wd = notifier.by_wd.lock();
        let path = format!("/proc/self/fd/{}", fd.as_raw_fd());
        let flags = WatchFlags::from_bits_retain(mask) | WatchFlags::MASK_ADD;
        let wd = match inotify::add_watch(&*notifier.fd, path, flags) {
            Ok(wd) => wd,
            // Without /proc there is no way from a descriptor to inotify.
            Err(HostErrno::NOENT) => return Err(Errno::ENOSYS),
            Err(e) => return Err(from_host(e)),
        };
        by_wd.entry(wd).or_default().push(Arc::clone(&listener));
        drop(by_wd);
        let watched = Watched {
            notifier,
            wd,
            listener,
        };
        Ok((super::Watched(watched), stat))
    }
}

#[cfg(not(target_os = "linux"))]
mod imp {
    use super::{Dir, Listener, Stat};
    use std::sync::Arc;
    use tuxlet_uapi::errno::{Errno, Result};

    #[derive(Debug)]
    pub(super) enum Watched {}

    impl Watched {
        pub(super) fn collect(&self) {
            match *self {}
        }
    }

    pub(super) fn watch(
        _: &Dir,
        _: &[u8],
        _: u32,
        _: Arc<dyn Listener>,
    ) -> Result<(super::Watched, Stat)> {
        Err(Errno::ENOSYS)
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;
    use std::sync::mpsc;
    use tuxlet_uapi::inotify::{IN_CREATE, IN_DELETE, IN_MODIFY, IN_MOVED_FROM, IN_MOVED_TO};

    #[derive(Debug)]
    struct Tell(mpsc::Sender<(u32, Vec<u8>)>);
    impl Listener for Tell {
        fn changed(&self, change: &Change<'_>) {
            let name = change.name.unwrap_or_default().to_vec();
            // The test may have ended.
            let _ = self.0.send((change.mask, name));
        }
    }

    const ALL: u32 = IN_CREATE | IN_MODIFY | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO;

    #[test]
    fn changes_are_told_to_all_who_watch_until_they_stop() {
        let temp = tempfile::tempdir().unwrap();
        let dir = Dir::open(temp.path()).unwrap();
        let (a, heard_a) = mpsc::channel();
        let (b, heard_b) = mpsc::channel();
        let (first, stat) = dir.watch(b".", ALL, Arc::new(Tell(a))).unwrap();
        let (second, again) = dir.watch(b".", ALL, Arc::new(Tell(b))).unwrap();
        assert_eq!((stat.dev, stat.ino), (again.dev, again.ino));
        std::fs::write(temp.path().join("x"), "1").unwrap();
        first.collect();
        drop(second);
        std::fs::rename(temp.path().join("x"), temp.path().join("y")).unwrap();
        first.collect();
        let entry = |mask: u32, name: &[u8]| (mask, name.to_vec());
        let made = [entry(IN_CREATE, b"x"), entry(IN_MODIFY, b"x")];
        assert_eq!(heard_b.iter().collect::<Vec<_>>(), made);
        drop(first);
        let all: Vec<_> = heard_a.iter().collect();
        assert_eq!(all[..2], made);
        let moved = [entry(IN_MOVED_FROM, b"x"), entry(IN_MOVED_TO, b"y")];
        assert_eq!(all[2..], moved);
    }

    #[test]
    fn the_reactor_tells_when_nobody_collects() {
        let temp = tempfile::tempdir().unwrap();
        let dir = Dir::open(temp.path()).unwrap();
        std::fs::write(temp.path().join("x"), "1").unwrap();
        let (sender, heard) = mpsc::channel();
        let (_watched, _) = dir.watch(b"x", ALL, Arc::new(Tell(sender))).unwrap();
        std::fs::write(temp.path().join("x"), "2").unwrap();
        assert_eq!(heard.recv().unwrap(), (IN_MODIFY, Vec::new()));
    }
}
