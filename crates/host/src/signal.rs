//! Signals that this process gets from its host, handed to ordinary code.
//!
//! The handlers do the least that is useful: they write one byte to a pipe. The reactor reads it and calls the owner.

use std::{
    fmt, io,
    os::fd::{AsRawFd, IntoRawFd},
    sync::{
        Arc, OnceLock,
        atomic::{AtomicI32, Ordering},
    },
};

use tuxlet_sync::Wake;

use crate::poll::{Reactor, Watch};

/// A signal of the host, by what it means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum HostSignal {
    /// The terminal hung up.
    Hangup,
    /// Ctrl-C on the controlling terminal.
    Interrupt,
    /// Ctrl-\ on the controlling terminal.
    Quit,
    /// A polite request to end.
    Terminate,
    /// The terminal's window changed its size.
    WindowChange,
}

impl HostSignal {
    fn number(self) -> libc::c_int {
        match self {
            Self::Hangup => libc::SIGHUP,
            Self::Interrupt => libc::SIGINT,
            Self::Quit => libc::SIGQUIT,
            Self::Terminate => libc::SIGTERM,
            Self::WindowChange => libc::SIGWINCH,
        }
    }
}

/// Where the handler writes; -1 until [`watch`] was called.
static PIPE: AtomicI32 = AtomicI32::new(-1);

extern "C" fn notify(signal: libc::c_int) {
    let fd = PIPE.load(Ordering::Relaxed);
    let byte = signal.to_le_bytes()[0];
    // SAFETY: write(2) is async-signal-safe, `byte` lives across the call, and the descriptor is never closed. errno is restored,
    // since the interrupted code may be about to read it.
    unsafe {
        let errno = errno_location();
        let saved = *errno;
        libc::write(fd, (&raw const byte).cast(), 1);
        *errno = saved;
    }
}

#[cfg(target_os = "linux")]
fn errno_location() -> *mut libc::c_int {
    // SAFETY: always returns the calling thread's errno.
    unsafe { libc::__errno_location() }
}

#[cfg(not(target_os = "linux"))]
fn errno_location() -> *mut libc::c_int {
    // SAFETY: always returns the calling thread's errno.
    unsafe { libc::__error() }
}

/// What reads the pipe.
struct Listener<F> {
    reader: Arc<io::PipeReader>,
    watched: Vec<HostSignal>,
    f: F,
}

/// Keeps the pipe watched.
static WATCH: OnceLock<Watch> = OnceLock::new();

impl<F: Fn(HostSignal) + Send + Sync> Wake for Listener<F> {
    fn wake(&self, _events: u32) {
        let mut bytes = [0; 64];
        while let Ok(n @ 1..) = rustix::io::read(&*self.reader, &mut bytes) {
            for byte in &bytes[..n] {
                let is_it = |s: &&HostSignal| s.number() == libc::c_int::from(*byte);
                if let Some(&signal) = self.watched.iter().find(is_it) {
                    (self.f)(signal);
                }
            }
        }
        if let Some(watch) = WATCH.get() {
            // Fails only if the reactor is broken, and then nothing else comes either.
            let _ = watch.arm(true, false);
        }
    }
}

impl<F> fmt::Debug for Listener<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Listener({:?})", self.watched)
    }
}

/// Calls `f`, on the reactor's thread, for each of `signals` that arrives from now on, instead of what it did before. Can be called
/// once in a process.
///
/// # Errors
/// `AlreadyExists` the second time, and those of pipe(2), sigaction(2) and the reactor.
pub fn watch(
    signals: &[HostSignal],
    f: impl Fn(HostSignal) + Send + Sync + 'static,
) -> io::Result<()> {
    let (reader, writer) = io::pipe()?;
    // A full pipe must not block a handler; the lost byte is one of many alike. Nor does the reactor block.
    rustix::io::ioctl_fionbio(&writer, true)?;
    rustix::io::ioctl_fionbio(&reader, true)?;
    if PIPE
        .compare_exchange(-1, writer.as_raw_fd(), Ordering::Relaxed, Ordering::Relaxed)
        .is_err()
    {
        return Err(io::ErrorKind::AlreadyExists.into());
    }
    // It stays open for as long as handlers may run.
    let _ = writer.into_raw_fd();
    let reader = Arc::new(reader);
    let listener = Arc::new(Listener {
        reader: Arc::clone(&reader),
        watched: signals.to_vec(),
        f,
    });
    // Armed only when the listener can arm it again.
    let watch = Reactor::global()?.watch(reader, false, false, listener)?;
    WATCH.get_or_init(|| watch).arm(true, false)?;
    for signal in signals {
        // SAFETY: the action is fully initialised (zero is an empty mask and no flags), and its handler is async-signal-safe.
        let result = unsafe {
            let mut action: libc::sigaction = std::mem::zeroed();
            action.sa_sigaction = notify as extern "C" fn(libc::c_int) as usize;
            action.sa_flags = libc::SA_RESTART;
            libc::sigaction(signal.number(), &raw const action, std::ptr::null_mut())
        };
        if result != 0 {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::{sync::mpsc, time::Duration};

    use super::*;

    #[test]
    fn signals_arrive_on_the_thread() {
        let (sender, receiver) = mpsc::channel();
        watch(&[HostSignal::WindowChange], move |s| {
            sender.send(s).unwrap_or(())
        })
        .unwrap();
        rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::WINCH)
            .unwrap();
        assert_eq!(
            receiver.recv_timeout(Duration::from_secs(5)),
            Ok(HostSignal::WindowChange)
        );
        assert!(watch(&[], |_| {}).is_err());
    }
}
