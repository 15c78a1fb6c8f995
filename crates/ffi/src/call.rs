//! Commands of the embedder that run natively.

use crate::{
    error::{Error, Failure, Result, borrow, borrow_mut, bytes, guard, room, text},
    files::give_bytes,
    hooks::{Drop, User, missing},
    machine::Builder,
};
use std::ffi::{CString, c_char, c_int, c_void};
use tuxlet::NativeCall;

/// `tux_call`: the process that a native command runs as, for the time that it does.
#[derive(Debug)]
pub struct Call<'a, 'b, 'c> {
    call: &'a mut NativeCall<'b, 'c>,
    args: Vec<CString>,
    /// Texts that were given out.
    kept: Vec<CString>,
}

type Native = unsafe extern "C" fn(call: *mut Call<'_, '_, '_>, user: *mut c_void) -> c_int;

/// Guest texts of the environment have no zero in them.
fn c_text(text: String) -> CString {
    CString::new(text).unwrap_or_default()
}

impl Call<'_, '_, '_> {
    fn keep(&mut self, text: String) -> *const c_char {
        let text = c_text(text);
        let place = text.as_ptr();
        self.kept.push(text);
        place
    }
}

functions! {
    /// Registers a native command.
    fn tux_builder_native(
        builder: *mut Builder,
        name: *const c_char,
        function: Option<Native>,
        user: *mut c_void,
        drop: Drop,
    ) {
        let user = User::new(user, drop);
        let (name, function) = (text(name)?, function.ok_or_else(missing)?);
        let run = move |call: &mut NativeCall<'_, '_>| {
            let mut call = Call {
                args: call.args().into_iter().map(c_text).collect(),
                kept: Vec::new(),
                call,
            };
            // As exit(3) has it.
            (function(&raw mut call, user.get()) & 0xff) as u8
        };
        borrow_mut(builder)?.change(|b| b.native(name, run))
    }
}

/// How many arguments there are.
///
/// # Safety
/// As the header says of calls.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tux_call_argc(call: *const Call<'_, '_, '_>) -> c_int {
    // SAFETY: the caller's promise.
    unsafe { borrow(call) }.map_or(0, |c| c.args.len() as c_int)
}

/// An argument.
///
/// # Safety
/// As the header says of calls.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tux_call_arg(
    call: *const Call<'_, '_, '_>,
    index: c_int,
) -> *const c_char {
    // SAFETY: the caller's promise.
    let call = unsafe { borrow(call) };
    let arg = call.ok().zip(usize::try_from(index).ok());
    arg.and_then(|(call, index)| call.args.get(index))
        .map_or(std::ptr::null(), |arg| arg.as_ptr())
}

/// A variable of the environment.
///
/// # Safety
/// As the header says of calls and texts.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tux_call_env(
    call: *mut Call<'_, '_, '_>,
    name: *const c_char,
) -> *const c_char {
    // SAFETY: the caller's promise.
    let (Ok(call), Ok(name)) = (unsafe { borrow_mut(call) }, unsafe { text(name) }) else {
        return std::ptr::null();
    };
    match call.call.env(name) {
        Some(value) => call.keep(value),
        None => std::ptr::null(),
    }
}

/// The working directory.
///
/// # Safety
/// As the header says of calls.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tux_call_cwd(call: *mut Call<'_, '_, '_>) -> *const c_char {
    // SAFETY: the caller's promise.
    let Ok(call) = (unsafe { borrow_mut(call) }) else {
        return std::ptr::null();
    };
    match call.call.cwd() {
        Ok(dir) => call.keep(dir),
        Err(_) => std::ptr::null(),
    }
}

/// Process id in the machine.
///
/// # Safety
/// As the header says of calls.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tux_call_pid(call: *const Call<'_, '_, '_>) -> u32 {
    // SAFETY: the caller's promise.
    unsafe { borrow(call) }.map_or(0, |c| c.call.pid())
}

/// Runs `body` with the process of a call.
///
/// # Safety
/// As for [`borrow_mut`].
unsafe fn with<'a, 'b: 'a, 'c: 'a, T>(
    call: *mut Call<'a, 'b, 'c>,
    body: impl FnOnce(&mut NativeCall<'b, 'c>) -> std::result::Result<T, tuxlet::Errno>,
) -> Result<T> {
    // SAFETY: the caller's promise.
    let call = unsafe { borrow_mut(call) }?;
    body(call.call).map_err(Failure::of_call)
}

functions! {
    /// Whether the process goes on.
    fn tux_call_check(call: *mut Call<'_, '_, '_>) {
        with(call, |c| c.check())
    }
}

/// Reads from a descriptor.
///
/// # Safety
/// As the header says of calls and errors; `buffer` points to `len` bytes that nothing else uses during the call.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tux_call_read(
    call: *mut Call<'_, '_, '_>,
    fd: c_int,
    buffer: *mut u8,
    len: usize,
    error: *mut Error,
) -> i64 {
    // SAFETY: the caller's promise.
    unsafe {
        guard(error, || {
            let buffer = room(buffer, len)?;
            Ok(with(call, |c| c.read(fd, buffer))? as i64)
        })
    }
}

functions! {
    /// Writes to a descriptor.
    fn tux_call_write(call: *mut Call<'_, '_, '_>, fd: c_int, data: *const u8, len: usize) {
        let data = bytes(data, len)?;
        with(call, |c| c.write(fd, data))
    }

    /// Reads a whole guest file.
    fn tux_call_read_file(
        call: *mut Call<'_, '_, '_>,
        path: *const c_char,
        data: *mut *mut u8,
        len: *mut usize,
    ) {
        give_bytes(data, len, || {
            let path = text(path)?;
            with(call, |c| c.read_file(path))
        })
    }

    /// Replaces a guest file.
    fn tux_call_write_file(
        call: *mut Call<'_, '_, '_>,
        path: *const c_char,
        mode: u32,
        data: *const u8,
        len: usize,
    ) {
        let (path, data) = (text(path)?, bytes(data, len)?);
        with(call, |c| c.write_file(path, mode, data))
    }
}
