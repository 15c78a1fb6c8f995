//! The reactor: one thread that waits for the readiness of host descriptors.
//!
//! A [`Watch`] reports once per arming; whoever is woken tries its (non-blocking) operation and calls
//! [`Watch::arm`] when that gives `EAGAIN`.
//!
//! Invariant P1: a descriptor stays open while it is registered with the poller. A `Watch` owns its
//! descriptor, and deregisters it before letting it go.

use polling::{Event, Events, Poller};
use std::{
    collections::HashMap,
    fmt::{self, Debug},
    io,
    os::fd::AsFd,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};
use tuxlet_sync::Mutex;
pub use tuxlet_sync::Wake;

/// `POLLIN | POLLRDNORM`.
const READABLE: u32 = 0x1 | 0x40;
/// `POLLOUT | POLLWRNORM`.
const WRITABLE: u32 = 0x4 | 0x100;
/// `POLLERR`.
const ERROR: u32 = 0x8;
/// `POLLHUP`.
const HANG_UP: u32 = 0x10;

const STACK_SIZE: usize = 256 << 10;

struct Shared {
    poller: Poller,
    targets: Mutex<HashMap<usize, Arc<dyn Wake>>>,
    next_key: AtomicUsize,
    stop: AtomicBool,
}

/// The thread that waits; stopped when the last handle goes.
pub struct Reactor {
    shared: Arc<Shared>,
}

impl Reactor {
    /// Starts a reactor thread.
    pub fn new() -> io::Result<Self> {
        let shared = Arc::new(Shared {
            poller: Poller::new()?,
            targets: Mutex::default(),
            next_key: AtomicUsize::new(0),
            stop: AtomicBool::new(false),
        });
        let theirs = Arc::clone(&shared);
        crate::thread::spawn("reactor", STACK_SIZE, move || theirs.run())?;
        Ok(Self { shared })
    }

    /// The reactor that everything in this process shares.
    pub fn global() -> io::Result<&'static Self> {
        static GLOBAL: Mutex<Option<&'static Reactor>> = Mutex::new(None);
        let mut global = GLOBAL.lock();
        if let Some(reactor) = *global {
            return Ok(reactor);
        }
        let reactor: &'static Self = Box::leak(Box::new(Self::new()?));
        *global = Some(reactor);
        Ok(reactor)
    }

    /// Registers a descriptor and arms it for the given directions; `wake` is called on the reactor's thread
    /// with `POLL*` bits (errors and hang-ups come with any direction).
    ///
    /// A descriptor can be in one watch at a time. Fails with `EPERM` for what the host cannot poll (regular
    /// files on Linux): such are always ready.
    pub fn watch<F: AsFd + Send + Sync + 'static>(
        &self,
        fd: Arc<F>,
        readable: bool,
        writable: bool,
        wake: Arc<dyn Wake>,
    ) -> io::Result<Watch> {
        let key = self.shared.next_key.fetch_add(1, Ordering::Relaxed);
        self.shared.targets.lock().insert(key, wake);
        let event = Event::new(key, readable, writable);
        // SAFETY: P1: the watch made below owns `fd` and deletes the registration before dropping it.
        if let Err(error) = unsafe { self.shared.poller.add(&fd.as_fd(), event) } {
            self.shared.targets.lock().remove(&key);
            return Err(error);
        }
        Ok(Watch {
            shared: Arc::clone(&self.shared),
            key,
            fd,
        })
    }
}

impl Drop for Reactor {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::SeqCst);
        // Without the notification the thread would only linger until the next event.
        let _ = self.shared.poller.notify();
    }
}

impl Debug for Reactor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Reactor({} watched)", self.shared.targets.lock().len())
    }
}

impl Shared {
    fn run(&self) {
        let mut events = Events::new();
        while !self.stop.load(Ordering::SeqCst) {
            events.clear();
            match self.poller.wait(&mut events, None) {
                Ok(_) => {}
                // By a signal of the embedder's.
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(_) => {
                    // The poller is broken (somebody has closed its descriptor), and will not mend. Those who wait
                    // learn what is wrong when they try.
                    let targets: Vec<_> = self.targets.lock().values().cloned().collect();
                    for target in targets {
                        target.wake(READABLE | WRITABLE | ERROR);
                    }
                    return;
                }
            }
            for event in events.iter() {
                let target = self.targets.lock().get(&event.key).cloned();
                if let Some(wake) = target {
                    let bit = |set: bool, bits: u32| if set { bits } else { 0 };
                    wake.wake(
                        bit(event.readable, READABLE)
                            | bit(event.writable, WRITABLE)
                            | bit(event.is_err() == Some(true), ERROR)
                            | bit(event.is_interrupt(), HANG_UP),
                    );
                }
            }
        }
    }
}

/// A registered descriptor; dropping it ends the registration (a wake-up may still be under way).
pub struct Watch {
    shared: Arc<Shared>,
    key: usize,
    fd: Arc<dyn AsFdSync>,
}

/// A descriptor that the reactor's thread may share.
trait AsFdSync: AsFd + Send + Sync {}
impl<F: AsFd + Send + Sync> AsFdSync for F {}

impl Watch {
    /// Asks for the next report, replacing what is armed: at once if a direction is already ready. No
    /// direction disarms.
    pub fn arm(&self, readable: bool, writable: bool) -> io::Result<()> {
        self.shared
            .poller
            .modify(self.fd.as_fd(), Event::new(self.key, readable, writable))
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        // P1. Deleting a registered, open descriptor does not fail.
        let _ = self.shared.poller.delete(self.fd.as_fd());
        self.shared.targets.lock().remove(&self.key);
    }
}

impl Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Watch({})", self.key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{io::Write, os::unix::net::UnixStream, sync::mpsc, time::Duration};

    #[derive(Debug)]
    struct Report(mpsc::Sender<u32>);
    impl Wake for Report {
        fn wake(&self, events: u32) {
            let _ = self.0.send(events);
        }
    }

    #[test]
    fn reports_once_per_arming() {
        let reactor = Reactor::new().unwrap();
        let (mut a, b) = UnixStream::pair().unwrap();
        b.set_nonblocking(true).unwrap();
        let (send, receive) = mpsc::channel();
        let watch = reactor
            .watch(Arc::new(b), true, false, Arc::new(Report(send)))
            .unwrap();
        let short = Duration::from_millis(30);
        assert!(receive.recv_timeout(short).is_err());
        a.write_all(b"x").unwrap();
        let events = receive.recv_timeout(Duration::from_secs(10)).unwrap();
        assert_eq!(events & (READABLE | WRITABLE), READABLE);
        a.write_all(b"y").unwrap();
        assert!(receive.recv_timeout(short).is_err());
        watch.arm(true, false).unwrap();
        assert!(receive.recv_timeout(Duration::from_secs(10)).is_ok());
        watch.arm(true, true).unwrap();
        let events = receive.recv_timeout(Duration::from_secs(10)).unwrap();
        assert_ne!(events & WRITABLE, 0);
        drop(watch);
        // The reactor dropped its handle of the sender with the watch.
        assert!(receive.recv_timeout(Duration::from_secs(10)).is_err());
    }

    #[test]
    fn a_regular_file_cannot_be_watched_on_linux() {
        let reactor = Reactor::new().unwrap();
        let file =
            std::fs::File::open("/proc/self/exe").or_else(|_| std::fs::File::open("/bin/sh"));
        let (send, _receive) = mpsc::channel();
        let watch = reactor.watch(Arc::new(file.unwrap()), true, false, Arc::new(Report(send)));
        if cfg!(target_os = "linux") {
            assert_eq!(watch.unwrap_err().kind(), io::ErrorKind::PermissionDenied);
        }
    }
}
