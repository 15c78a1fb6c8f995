//! The terminal that this process runs in.

use std::{
    io,
    os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
    ptr,
    sync::atomic::{AtomicPtr, Ordering},
};

use rustix::termios::{self, OptionalActions, Termios};

/// The size of a terminal's window.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct WindowSize {
    /// Lines of text.
    pub rows: u16,
    /// Columns of text.
    pub cols: u16,
    /// Width in pixels, 0 where unknown.
    pub width_px: u16,
    /// Height in pixels, 0 where unknown.
    pub height_px: u16,
}

/// The size of the terminal's window.
///
/// # Errors
/// `ENOTTY` where `fd` is no terminal.
pub fn window_size(fd: impl AsFd) -> io::Result<WindowSize> {
    let size = termios::tcgetwinsize(fd)?;
    Ok(WindowSize {
        rows: size.ws_row,
        cols: size.ws_col,
        width_px: size.ws_xpixel,
        height_px: size.ws_ypixel,
    })
}

/// Faults and aborts: the ends of a process that no destructor sees.
const CRASHES: [libc::c_int; 7] = [
    libc::SIGSEGV,
    libc::SIGBUS,
    libc::SIGILL,
    libc::SIGFPE,
    libc::SIGABRT,
    libc::SIGTRAP,
    libc::SIGSYS,
];

/// What a crash handler has to put back.
struct Saved {
    fd: OwnedFd,
    termios: libc::termios,
    actions: [libc::sigaction; CRASHES.len()],
}

/// The state of the one [`RawMode`] there is; set while it lives.
static SAVED: AtomicPtr<Saved> = AtomicPtr::new(ptr::null_mut());

/// Keeps a terminal in raw mode (cfmakeraw(3)): every byte as it is typed, nothing interpreted. Dropping it restores the terminal,
/// and so does a crash of the process.
#[derive(Debug)]
pub struct RawMode {
    saved: *mut Saved,
    original: Termios,
}

// SAFETY: the pointer is only compared and freed by its owner; what it points to is not changed after it was published.
unsafe impl Send for RawMode {}

impl RawMode {
    /// Puts the terminal `fd` into raw mode.
    ///
    /// # Errors
    /// `ENOTTY` where it is no terminal; `AlreadyExists` while another one is raw.
    pub fn enter(fd: BorrowedFd<'_>) -> io::Result<Self> {
        let original = termios::tcgetattr(fd)?;
        // SAFETY: zero is a valid value of both plain C structures; tcgetattr fills the first.
        let (mut plain, none) = unsafe {
            (
                std::mem::zeroed::<libc::termios>(),
                std::mem::zeroed::<libc::sigaction>(),
            )
        };
        // SAFETY: the descriptor is open and `plain` is a place to write to.
        if unsafe { libc::tcgetattr(fd.as_raw_fd(), &raw mut plain) } != 0 {
            return Err(io::Error::last_os_error());
        }
        let saved = Box::into_raw(Box::new(Saved {
            fd: fd.try_clone_to_owned()?,
            termios: plain,
            actions: [none; CRASHES.len()],
        }));
        if SAVED
            .compare_exchange(ptr::null_mut(), saved, Ordering::AcqRel, Ordering::Acquire)
            .is_err()
        {
            // SAFETY: just made from a box, and not published.
            drop(unsafe { Box::from_raw(saved) });
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let mode = Self { saved, original };
        for (slot, signal) in CRASHES.into_iter().enumerate() {
            // SAFETY: the new action is fully initialised, its handler async-signal-safe; the old one goes to its own slot, which
            // nothing reads before a handler for this signal can run.
            unsafe {
                let mut action: libc::sigaction = std::mem::zeroed();
                let handler: extern "C" fn(libc::c_int, *mut libc::siginfo_t, *mut libc::c_void) =
                    restore_and_crash;
                action.sa_sigaction = handler as usize;
                // On the alternate stack, where the thread has one: it may be the stack that overflowed.
                action.sa_flags = libc::SA_ONSTACK | libc::SA_SIGINFO;
                libc::sigaction(signal, &raw const action, &raw mut (*saved).actions[slot]);
            }
        }
        let mut raw = mode.original.clone();
        raw.make_raw();
        termios::tcsetattr(fd, OptionalActions::Flush, &raw)?;
        Ok(mode)
    }
}

impl Drop for RawMode {
    fn drop(&mut self) {
        // SAFETY: `saved` is valid until it is freed below, which only happens here.
        let saved = unsafe { &*self.saved };
        // Nothing is left to be done where this fails: the terminal is gone.
        let _ = termios::tcsetattr(&saved.fd, OptionalActions::Drain, &self.original);
        for (signal, action) in CRASHES.into_iter().zip(&saved.actions) {
            // SAFETY: `action` is what was installed before.
            unsafe { libc::sigaction(signal, action, ptr::null_mut()) };
        }
        SAVED.store(ptr::null_mut(), Ordering::Release);
        // Not freed: a handler on another thread may just be looking at it. One leak per session of a terminal.
    }
}

/// Restores the terminal and lets the crash go on as it would have.
extern "C" fn restore_and_crash(
    signal: libc::c_int,
    info: *mut libc::siginfo_t,
    _: *mut libc::c_void,
) {
    let saved = SAVED.load(Ordering::Acquire);
    // SAFETY: the pointer is null or to a `Saved` that is never freed once it was published; tcsetattr, sigaction and raise are
    // async-signal-safe; `info` is what the system gave the handler.
    unsafe {
        if let Some(saved) = saved.as_ref() {
            libc::tcsetattr(
                saved.fd.as_raw_fd(),
                libc::TCSANOW,
                &raw const saved.termios,
            );
            for (slot, other) in CRASHES.into_iter().enumerate() {
                libc::sigaction(other, &raw const saved.actions[slot], ptr::null_mut());
            }
        }
        // The standard library's handler of faults takes one that was only sent, by kill(2), for its last warning.
        let sent = info.as_ref().is_none_or(|i| i.si_code <= 0);
        if saved.is_null() || sent {
            libc::signal(signal, libc::SIG_DFL);
        }
        // A fault happens again on return, and an abort raises again; this is for signals sent from outside.
        libc::raise(signal);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pty() -> OwnedFd {
        let master =
            rustix::pty::openpt(rustix::pty::OpenptFlags::RDWR | rustix::pty::OpenptFlags::NOCTTY)
                .unwrap();
        rustix::pty::grantpt(&master).unwrap();
        rustix::pty::unlockpt(&master).unwrap();
        master
    }

    #[test]
    fn raw_mode_comes_and_goes() {
        let master = pty();
        let is_raw = || {
            !termios::tcgetattr(&master)
                .unwrap()
                .local_modes
                .contains(termios::LocalModes::ICANON)
        };
        assert!(!is_raw());
        let mode = RawMode::enter(master.as_fd()).unwrap();
        assert!(is_raw());
        assert!(RawMode::enter(master.as_fd()).is_err());
        drop(mode);
        assert!(!is_raw());
        drop(RawMode::enter(master.as_fd()).unwrap());
        let (reader, _writer) = io::pipe().unwrap();
        assert!(RawMode::enter(reader.as_fd()).is_err());
        assert!(window_size(&reader).is_err());
        assert_eq!(window_size(&master).unwrap().rows, 0);
    }
}
