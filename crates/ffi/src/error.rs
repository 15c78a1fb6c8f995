//! Failures on their way to C.

use std::{
    any::Any,
    ffi::{CStr, c_char},
    panic::{AssertUnwindSafe, catch_unwind},
};
use tuxlet::Errno;

/// `enum tux_code`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
pub enum Code {
    /// An argument is wrong.
    Invalid = -1,
    /// The machine or the host refused.
    Failed = -2,
    /// The time was over first.
    Timeout = -3,
    /// The stream is not there, or not any more.
    Closed = -4,
    /// A bug in the library.
    Panic = -5,
    /// The process of a native command is to end.
    Ended = -6,
}

/// `struct tux_error`.
#[derive(Debug)]
#[repr(C)]
pub struct Error {
    code: i32,
    linux_errno: i32,
    message: [u8; 256],
}

/// Why a call failed, on this side.
#[derive(Debug)]
pub(crate) struct Failure {
    code: Code,
    errno: i32,
    message: String,
}

pub(crate) type Result<T> = std::result::Result<T, Failure>;

impl Failure {
    /// What a function for native commands says.
    pub(crate) fn of_call(errno: Errno) -> Self {
        if errno == Errno::EINTR {
            return Self::new(Code::Ended, "the process is to end");
        }
        errno.into()
    }

    pub(crate) fn new(code: Code, message: impl Into<String>) -> Self {
        Self {
            code,
            errno: 0,
            message: message.into(),
        }
    }

    fn panic(payload: &(dyn Any + Send)) -> Self {
        let text = payload
            .downcast_ref::<String>()
            .map(String::as_str)
            .or_else(|| payload.downcast_ref::<&str>().copied())
            .unwrap_or("a panic");
        Self::new(Code::Panic, text)
    }
}

impl From<tuxlet::Error> for Failure {
    fn from(error: tuxlet::Error) -> Self {
        Self {
            code: Code::Failed,
            errno: error.errno().unwrap_or(0),
            message: error.to_string(),
        }
    }
}

impl From<Errno> for Failure {
    fn from(errno: Errno) -> Self {
        tuxlet::Error::from(errno).into()
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        let code = if error.kind() == std::io::ErrorKind::BrokenPipe {
            Code::Closed
        } else {
            Code::Failed
        };
        Self::new(code, error.to_string())
    }
}

impl Error {
    fn fill(&mut self, failure: &Failure) {
        self.code = failure.code as i32;
        self.linux_errno = failure.errno;
        self.message = [0; 256];
        let mut len = failure.message.len().min(self.message.len() - 1);
        // Characters stay whole.
        while !failure.message.is_char_boundary(len) {
            len -= 1;
        }
        let text = &failure.message.as_bytes()[..len];
        self.message[..len].copy_from_slice(text);
        // A zero in the middle would be the end for C.
        self.message[..len]
            .iter_mut()
            .filter(|b| **b == 0)
            .for_each(|b| *b = b'?');
    }
}

/// Runs the body of a function of the interface: the number that it gives, or the code of what went wrong.
///
/// # Safety
/// `error` is null or points to a `tux_error` that nothing else uses during the call.
pub(crate) unsafe fn guard(error: *mut Error, body: impl FnOnce() -> Result<i64>) -> i64 {
    let outcome = catch_unwind(AssertUnwindSafe(body))
        .unwrap_or_else(|payload| Err(Failure::panic(&*payload)));
    match outcome {
        Ok(value) => value,
        Err(failure) => {
            // SAFETY: the caller's promise.
            if let Some(error) = unsafe { error.as_mut() } {
                error.fill(&failure);
            }
            failure.code as i64
        }
    }
}

/// As [`guard`], for functions that give 0 or a code.
///
/// # Safety
/// As for [`guard`].
pub(crate) unsafe fn guard_int(error: *mut Error, body: impl FnOnce() -> Result<()>) -> i32 {
    // SAFETY: the caller's promise.
    let value = unsafe { guard(error, || body().map(|()| 0)) };
    value as i32
}

/// What a handle stands for.
///
/// # Safety
/// `handle` is null or was made by this library for a `T`, has not been freed, and is not freed during the call.
pub(crate) unsafe fn borrow<'a, T>(handle: *const T) -> Result<&'a T> {
    // SAFETY: the caller's promise.
    unsafe { handle.as_ref() }.ok_or_else(|| Failure::new(Code::Invalid, "a handle is NULL"))
}

/// What a handle stands for, to be changed.
///
/// # Safety
/// As for [`borrow`], and nothing else uses it during the call.
pub(crate) unsafe fn borrow_mut<'a, T>(handle: *mut T) -> Result<&'a mut T> {
    // SAFETY: the caller's promise.
    unsafe { handle.as_mut() }.ok_or_else(|| Failure::new(Code::Invalid, "a handle is NULL"))
}

/// Takes a handle back.
///
/// # Safety
/// `handle` is null or was made by [`give`] for a `T` and is not used any more.
pub(crate) unsafe fn take<T>(handle: *mut T) -> Option<Box<T>> {
    // SAFETY: the caller's promise: it came from `Box::into_raw`.
    (!handle.is_null()).then(|| unsafe { Box::from_raw(handle) })
}

/// Gives a new handle to C.
pub(crate) fn give<T>(value: T) -> *mut T {
    Box::into_raw(Box::new(value))
}

/// Where C wants a result.
///
/// # Safety
/// `place` is null or points to memory for a `T` that nothing else uses during the call.
pub(crate) unsafe fn store<T>(place: *mut T, value: T) -> Result<()> {
    if place.is_null() {
        return Err(Failure::new(
            Code::Invalid,
            "the place for the result is NULL",
        ));
    }
    // SAFETY: the caller's promise; what was there is not dropped, since it may be anything.
    unsafe { place.write(value) };
    Ok(())
}

/// A text from C.
///
/// # Safety
/// `text` is null or points to bytes that end with a zero and do not change during the call.
pub(crate) unsafe fn text<'a>(text: *const c_char) -> Result<&'a str> {
    if text.is_null() {
        return Err(Failure::new(Code::Invalid, "a text is NULL"));
    }
    // SAFETY: the caller's promise.
    let bytes = unsafe { CStr::from_ptr(text) };
    bytes
        .to_str()
        .map_err(|_| Failure::new(Code::Invalid, "a text is not UTF-8"))
}

/// Room of C's to be written to.
///
/// # Safety
/// `buffer` is null or points to `len` bytes that nothing else uses during the call.
pub(crate) unsafe fn room<'a>(buffer: *mut u8, len: usize) -> Result<&'a mut [u8]> {
    if buffer.is_null() || len == 0 || isize::try_from(len).is_err() {
        return Err(Failure::new(Code::Invalid, "there is no room to read to"));
    }
    // SAFETY: the caller's promise. What C gives may never have been written, and must have been for a slice.
    unsafe {
        buffer.write_bytes(0, len);
        Ok(std::slice::from_raw_parts_mut(buffer, len))
    }
}

/// Bytes from C.
///
/// # Safety
/// `bytes` is null or points to `len` bytes that do not change during the call.
pub(crate) unsafe fn bytes<'a>(bytes: *const u8, len: usize) -> Result<&'a [u8]> {
    if len == 0 {
        return Ok(&[]);
    }
    if bytes.is_null() || isize::try_from(len).is_err() {
        return Err(Failure::new(
            Code::Invalid,
            "the bytes are NULL or too many",
        ));
    }
    // SAFETY: the caller's promise.
    Ok(unsafe { std::slice::from_raw_parts(bytes, len) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn panics_and_long_messages_stay_inside() {
        let mut error = Error {
            code: 0,
            linux_errno: 0,
            message: [1; 256],
        };
        // SAFETY: a place of our own.
        let code = unsafe { guard(&raw mut error, || panic!("{}", "é".repeat(200))) };
        assert_eq!((code, error.code), (-5, -5));
        assert_eq!(error.message[255], 0);
        let text = CStr::from_bytes_until_nul(&error.message).unwrap();
        assert_eq!(text.to_str().unwrap(), "é".repeat(127));
        // SAFETY: no place at all.
        let code = unsafe {
            guard(std::ptr::null_mut(), || {
                Err(Failure::new(Code::Closed, "x"))
            })
        };
        assert_eq!(code, -4);
    }
}
