//! Functions of the embedder that the machine calls.

use crate::{
    error::{Code, Failure, borrow_mut, text},
    machine::Builder,
};
use std::ffi::{c_char, c_int, c_void};
use tuxlet::Errno;

/// `tux_drop`.
pub type Drop = Option<unsafe extern "C" fn(user: *mut c_void)>;

/// The embedder's pointer that its functions get, and what is called when they are not called any more.
#[derive(Debug)]
pub(crate) struct User {
    pointer: *mut c_void,
    drop: Drop,
}

// SAFETY: the header says that the functions that get it are called by any thread, by several at once.
unsafe impl Send for User {}
// SAFETY: as above.
unsafe impl Sync for User {}

impl User {
    /// `drop` is called once, whatever becomes of the registration.
    pub(crate) fn new(pointer: *mut c_void, drop: Drop) -> Self {
        Self { pointer, drop }
    }

    /// A closure that calls this keeps the whole of it.
    pub(crate) fn get(&self) -> *mut c_void {
        self.pointer
    }
}

impl std::ops::Drop for User {
    fn drop(&mut self) {
        if let Some(drop) = self.drop {
            // SAFETY: the embedder's function for the embedder's pointer; nothing else has it any more.
            unsafe { drop(self.pointer) };
        }
    }
}

/// `struct tux_fork`.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct Fork {
    parent: u32,
    uid: u32,
    context: u64,
    tasks: u64,
    name: [u8; 16],
}

impl From<&tuxlet::Fork> for Fork {
    fn from(fork: &tuxlet::Fork) -> Self {
        let mut name = [0; 16];
        let len = fork.comm.len().min(15);
        name[..len].copy_from_slice(&fork.comm[..len]);
        Self {
            parent: fork.parent,
            uid: fork.uid,
            context: fork.context,
            tasks: fork.tasks as u64,
            name,
        }
    }
}

type ForkGuard = unsafe extern "C" fn(fork: *const Fork, user: *mut c_void) -> c_int;
type PathHook = unsafe extern "C" fn(
    context: u64,
    target: *mut c_char,
    room: usize,
    user: *mut c_void,
) -> c_int;
type Listener = unsafe extern "C" fn(used: u64, limit: u64, user: *mut c_void);

pub(crate) fn missing() -> Failure {
    Failure::new(Code::Invalid, "the function is NULL")
}

functions! {
    /// Asks before a process makes another one.
    fn tux_builder_fork_guard(
        builder: *mut Builder,
        guard: Option<ForkGuard>,
        user: *mut c_void,
        drop: Drop,
    ) {
        let user = User::new(user, drop);
        let guard = guard.ok_or_else(missing)?;
        let asked = move |fork: &tuxlet::Fork| match guard(&Fork::from(fork), user.get()) {
            0 => Ok(()),
            errno @ 1..4096 => Err(Errno::from_raw(errno)),
            _ => Err(Errno::EPERM),
        };
        borrow_mut(builder)?.change(|b| b.fork_guard(asked))
    }

    /// Makes a path lead each context elsewhere.
    fn tux_builder_path_hook(
        builder: *mut Builder,
        path: *const c_char,
        hook: Option<PathHook>,
        user: *mut c_void,
        drop: Drop,
    ) {
        // PATH_MAX
        const ROOM: usize = 4096;
        let user = User::new(user, drop);
        let (path, hook) = (text(path)?, hook.ok_or_else(missing)?);
        let leads = move |context| {
            let mut target = vec![0u8; ROOM];
            if hook(context, target.as_mut_ptr().cast(), ROOM, user.get()) != 0 {
                return None;
            }
            let end = target.iter().position(|b| *b == 0)?;
            target.truncate(end);
            String::from_utf8(target).ok().filter(|t| !t.is_empty())
        };
        borrow_mut(builder)?.change(|b| b.path_hook(path, leads))
    }

    /// Tells of memory that runs short.
    fn tux_builder_memory_pressure(
        builder: *mut Builder,
        percent: u8,
        listener: Option<Listener>,
        user: *mut c_void,
        drop: Drop,
    ) {
        let user = User::new(user, drop);
        let listener = listener.ok_or_else(missing)?;
        let told = move |used, limit| listener(used, limit, user.get());
        borrow_mut(builder)?.change(|b| b.on_memory_pressure(percent, told))
    }
}
