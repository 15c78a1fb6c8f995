//! Processes.

use crate::{
    command::window,
    error::{Code, Error, Failure, Result, borrow, bytes, guard, room, store},
};
use parking_lot::Mutex;
use std::{
    ffi::c_int,
    io::{Read, Write},
    sync::Arc,
    time::Duration,
};
use tuxlet::{PipeReader, PipeWriter};

/// `tux_process`.
#[derive(Debug)]
pub struct Process {
    process: tuxlet::Process,
    streams: Mutex<Streams>,
}

/// The embedder's ends of the pipes. Who uses one holds it without the lock, so that others can close it meanwhile.
#[derive(Debug)]
struct Streams {
    stdin: Option<Arc<PipeWriter>>,
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
        let streams = Streams {
            stdin: process.take_stdin().map(Arc::new),
            stdout: process.take_stdout(),
            stderr: process.take_stderr(),
        };
        Self {
            process,
            streams: Mutex::new(streams),
        }
    }

    fn read(&self, stream: c_int, buffer: &mut [u8], timeout: u64) -> Result<usize> {
        if let (1, Some(terminal)) = (stream, self.process.terminal()) {
            return Ok((&**terminal).read(buffer)?);
        }
        let pipe = match stream {
            1 => self.streams.lock().stdout.clone(),
            2 => self.streams.lock().stderr.clone(),
            _ => return Err(Failure::new(Code::Invalid, "no stream that can be read")),
        };
        let mut pipe = pipe.ok_or_else(closed)?;
        if timeout == u64::MAX {
            return Ok(pipe.read(buffer)?);
        }
        pipe.read_timeout(buffer, Duration::from_millis(timeout))?
            .ok_or_else(|| Failure::new(Code::Timeout, "nothing was printed in time"))
    }

    fn write(&self, data: &[u8]) -> Result<()> {
        if let Some(terminal) = self.process.terminal() {
            return Ok((&**terminal).write_all(data)?);
        }
        let pipe = self.streams.lock().stdin.clone().ok_or_else(closed)?;
        Ok((&*pipe).write_all(data)?)
    }

    fn close(&self, stream: c_int) -> Result<()> {
        if let (1, Some(terminal)) = (stream, self.process.terminal()) {
            terminal.hang_up();
            return Ok(());
        }
        let mut streams = self.streams.lock();
        // Whoever waits with it is told, and lets go of it then.
        match stream {
            0 => streams.stdin.take().map(|pipe| pipe.finish()),
            1 => streams.stdout.take().map(|pipe| pipe.finish()),
            2 => streams.stderr.take().map(|pipe| pipe.finish()),
            _ => return Err(Failure::new(Code::Invalid, "no such tux_stream")),
        }
        .ok_or_else(closed)
    }

    fn finish(&self) {
        if let Some(terminal) = self.process.terminal() {
            terminal.finish();
        }
        let streams = self.streams.lock();
        for pipe in [&streams.stdout, &streams.stderr].into_iter().flatten() {
            pipe.finish();
        }
    }
}

fn closed() -> Failure {
    Failure::new(Code::Closed, "the stream is no pipe, or has been closed")
}

frees! {
    /// Frees a process.
    fn tux_process_free(process: *mut Process);
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

functions! {
    /// Waits for the end.
    fn tux_process_wait(process: *mut Process, timeout_ms: u64, status: *mut Status) {
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
    }

    /// Sends a signal.
    fn tux_process_kill(process: *mut Process, signal: c_int) {
        Ok(borrow(process)?.process.kill(signal)?)
    }

    /// Sends a signal to its process group.
    fn tux_process_kill_group(process: *mut Process, signal: c_int) {
        Ok(borrow(process)?.process.kill_group(signal)?)
    }
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

functions! {
    /// Writes to the standard input, or types.
    fn tux_process_write(process: *mut Process, data: *const u8, len: usize) {
        borrow(process)?.write(bytes(data, len)?)
    }

    /// Closes this end of a stream.
    fn tux_process_close(process: *mut Process, stream: c_int) {
        borrow(process)?.close(stream)
    }

    /// Lets reading end.
    fn tux_process_finish(process: *mut Process) {
        borrow(process)?.finish();
        Ok(())
    }

    /// Changes the terminal's size.
    fn tux_process_resize(process: *mut Process, rows: u16, cols: u16) {
        let terminal = borrow(process)?.process.terminal();
        terminal.ok_or_else(closed)?.resize(window(rows, cols));
        Ok(())
    }
}
