//! Processes.

use crate::{
    command::window,
    error::{self, Code, Error, Failure, Result, borrow, bytes, guard, guard_int, room, store},
};
use parking_lot::Mutex;
use std::{
    ffi::c_int,
    io::{Read, Write},
    time::Duration,
};
use tuxlet::{PipeReader, PipeWriter};

/// `tux_process`.
#[derive(Debug)]
pub struct Process {
    process: tuxlet::Process,
    stdin: Mutex<Option<PipeWriter>>,
    stdout: Option<PipeReader>,
    stderr: Option<PipeReader>,
}

/// `struct tux_status`.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct Status {
    code: i32,
    signal: i32,
}

impl Process {
    pub(crate) fn new(process: tuxlet::Process) -> Self {
        Self {
            stdin: Mutex::new(process.take_stdin()),
            stdout: process.take_stdout(),
            stderr: process.take_stderr(),
            process,
        }
    }

    fn read(&self, stream: c_int, buffer: &mut [u8], timeout: u64) -> Result<usize> {
        if let (1, Some(terminal)) = (stream, self.process.terminal()) {
            return Ok((&**terminal).read(buffer)?);
        }
        let pipe = match stream {
            1 => self.stdout.as_ref(),
            2 => self.stderr.as_ref(),
            _ => return Err(Failure::new(Code::Invalid, "no stream that can be read")),
        };
        let pipe = pipe.ok_or_else(closed)?;
        if timeout == u64::MAX {
            return Ok(pipe.clone().read(buffer)?);
        }
        pipe.read_timeout(buffer, Duration::from_millis(timeout))?
            .ok_or_else(|| Failure::new(Code::Timeout, "nothing was printed in time"))
    }
}

fn closed() -> Failure {
    Failure::new(Code::Closed, "the stream is no pipe, or has been closed")
}

/// Frees a process.
///
/// # Safety
/// As the header says of handles.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tux_process_free(process: *mut Process) {
    // SAFETY: the caller's promise.
    drop(unsafe { error::take(process) });
}

/// Process id in the machine; 0 for NULL.
///
/// # Safety
/// As the header says of handles.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tux_process_pid(process: *const Process) -> u32 {
    // SAFETY: the caller's promise.
    unsafe { borrow(process) }.map_or(0, |p| p.process.pid())
}

/// Waits for the end.
///
/// # Safety
/// As the header says of handles and errors; `status` is null or points to a `tux_status`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tux_process_wait(
    process: *mut Process,
    timeout_ms: u64,
    status: *mut Status,
    error: *mut Error,
) -> c_int {
    // SAFETY: the caller's promise.
    unsafe {
        guard_int(error, || {
            let process = &borrow(process)?.process;
            let ended = if timeout_ms == u64::MAX {
                Some(process.wait())
            } else {
                process.wait_timeout(Duration::from_millis(timeout_ms))
            };
            let ended =
                ended.ok_or_else(|| Failure::new(Code::Timeout, "the process still runs"))?;
            if status.is_null() {
                return Ok(());
            }
            let ended = Status {
                code: ended.code().into(),
                signal: ended.signal().unwrap_or(0),
            };
            store(status, ended)
        })
    }
}

/// Sends a signal.
///
/// # Safety
/// As the header says of handles and errors.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tux_process_kill(
    process: *mut Process,
    signal: c_int,
    error: *mut Error,
) -> c_int {
    // SAFETY: the caller's promise.
    unsafe { guard_int(error, || Ok(borrow(process)?.process.kill(signal)?)) }
}

/// Reads what a program prints.
///
/// # Safety
/// As the header says of handles and errors; `buffer` points to `len` bytes that nothing else uses during the call.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tux_process_read(
    process: *mut Process,
    stream: c_int,
    buffer: *mut u8,
    len: usize,
    timeout_ms: u64,
    error: *mut Error,
) -> i64 {
    // SAFETY: the caller's promise.
    unsafe {
        guard(error, || {
            let n = borrow(process)?.read(stream, room(buffer, len)?, timeout_ms)?;
            Ok(n as i64)
        })
    }
}

/// Writes to the standard input, or types.
///
/// # Safety
/// As the header says of handles and errors; `data` points to `len` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tux_process_write(
    process: *mut Process,
    data: *const u8,
    len: usize,
    error: *mut Error,
) -> c_int {
    // SAFETY: the caller's promise.
    unsafe {
        guard_int(error, || {
            let (process, data) = (borrow(process)?, bytes(data, len)?);
            if let Some(terminal) = process.process.terminal() {
                return Ok((&**terminal).write_all(data)?);
            }
            let mut stdin = process.stdin.lock();
            Ok(stdin.as_mut().ok_or_else(closed)?.write_all(data)?)
        })
    }
}

/// Ends the standard input.
///
/// # Safety
/// As the header says of handles and errors.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tux_process_close_stdin(
    process: *mut Process,
    error: *mut Error,
) -> c_int {
    // SAFETY: the caller's promise.
    unsafe {
        guard_int(error, || {
            let pipe = borrow(process)?.stdin.lock().take();
            pipe.map(drop).ok_or_else(closed)
        })
    }
}

/// Lets reading end.
///
/// # Safety
/// As the header says of handles and errors.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tux_process_finish(process: *mut Process, error: *mut Error) -> c_int {
    // SAFETY: the caller's promise.
    unsafe {
        guard_int(error, || {
            let process = borrow(process)?;
            if let Some(terminal) = process.process.terminal() {
                terminal.finish();
            }
            for pipe in [&process.stdout, &process.stderr].into_iter().flatten() {
                pipe.finish();
            }
            Ok(())
        })
    }
}

/// Changes the terminal's size.
///
/// # Safety
/// As the header says of handles and errors.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tux_process_resize(
    process: *mut Process,
    rows: u16,
    cols: u16,
    error: *mut Error,
) -> c_int {
    // SAFETY: the caller's promise.
    unsafe {
        guard_int(error, || {
            let terminal = borrow(process)?.process.terminal();
            terminal.ok_or_else(closed)?.resize(window(rows, cols));
            Ok(())
        })
    }
}
