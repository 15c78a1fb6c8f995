//! Files of a machine.

use crate::{
    error::{Result, borrow, bytes, store, text},
    machine::Machine,
};
use std::ffi::c_char;

functions! {
    /// Reads a whole file.
    fn tux_read_file(
        machine: *mut Machine,
        path: *const c_char,
        data: *mut *mut u8,
        len: *mut usize,
    ) {
        give_bytes(data, len, || {
            Ok(borrow(machine)?.0.read_file(text(path)?)?)
        })
    }
}

/// Gives bytes to C, which frees them with [`tux_bytes_free`]; where there are none, null.
///
/// # Safety
/// `data` and `len` are null or point to places for the result.
pub(crate) unsafe fn give_bytes(
    data: *mut *mut u8,
    len: *mut usize,
    make: impl FnOnce() -> Result<Vec<u8>>,
) -> Result<()> {
    // SAFETY: the caller's promise.
    unsafe {
        store(data, std::ptr::null_mut())?;
        store(len, 0)?;
        let contents = make()?;
        store(len, contents.len())?;
        store(data, Box::into_raw(contents.into_boxed_slice()).cast())
    }
}

functions! {
    /// Reads a part of a file.
    fn tux_read_range(
        machine: *mut Machine,
        path: *const c_char,
        offset: u64,
        most: usize,
        data: *mut *mut u8,
        len: *mut usize,
    ) {
        give_bytes(data, len, || {
            Ok(borrow(machine)?.0.read_range(text(path)?, offset, most)?)
        })
    }

    /// Replaces a file.
    fn tux_write_file(
        machine: *mut Machine,
        path: *const c_char,
        mode: u32,
        data: *const u8,
        len: usize,
    ) {
        let data = bytes(data, len)?;
        Ok(borrow(machine)?.0.write_file(text(path)?, mode, data)?)
    }
}

/// Frees what [`tux_read_file`] gave.
///
/// # Safety
/// `data` and `len` are those that it gave, once.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tux_bytes_free(data: *mut u8, len: usize) {
    if data.is_null() {
        return;
    }
    // SAFETY: the caller's promise: a boxed slice of that length.
    drop(unsafe { Box::from_raw(std::ptr::slice_from_raw_parts_mut(data, len)) });
}
