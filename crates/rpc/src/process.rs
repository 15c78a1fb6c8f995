//! Commands that run while their client does other things.

use crate::{
    encoding::{Decoder, base64},
    message::{BUSY, RpcError, notification},
    session::{Outbox, Session},
    types::{ExitEvent, OutputEvent, SpawnParams, Spawned},
};
use parking_lot::Mutex;
use std::{
    collections::BTreeMap,
    io::{self, Read, Write},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
        mpsc,
    },
    thread::{self, JoinHandle},
};
use tuxlet::{Process, Stdio, Terminal, WindowSize};

/// Bytes of a notification's payload.
const CHUNK: usize = 32 << 10;
/// Bytes of input that wait for a process to read them.
const MAX_INPUT: usize = 1 << 20;
/// What a terminal's user types to end the input: the `VEOF` character.
const END_OF_INPUT: u8 = 4;

/// The processes of a session, by their number in it.
#[derive(Debug, Default)]
pub(crate) struct Processes(Mutex<Table>);

#[derive(Debug, Default)]
struct Table {
    last: u64,
    running: BTreeMap<u64, Running>,
}

#[derive(Clone, Debug)]
struct Running {
    process: Arc<Process>,
    input: Option<Input>,
}

/// Input on its way to a process, written by a thread of its own: a process may take its time.
#[derive(Clone, Debug)]
pub(crate) struct Input {
    sender: mpsc::Sender<Piece>,
    waiting: Arc<AtomicUsize>,
}

#[derive(Debug)]
enum Piece {
    Bytes(Vec<u8>),
    End,
}

impl Input {
    /// Starts the thread. `end` is what ends the input, if not dropping the writer.
    pub(crate) fn start(mut to: impl Write + Send + 'static, end: Option<u8>) -> io::Result<Self> {
        let (sender, pieces) = mpsc::channel();
        let waiting = Arc::new(AtomicUsize::new(0));
        let written = Arc::clone(&waiting);
        thread::Builder::new()
            .name("rpc-input".to_owned())
            .spawn(move || {
                for piece in pieces {
                    let outcome = match (piece, end) {
                        (Piece::Bytes(bytes), _) => {
                            let outcome = to.write_all(&bytes);
                            written.fetch_sub(bytes.len(), Ordering::SeqCst);
                            outcome
                        }
                        (Piece::End, Some(end)) => to.write_all(&[end]),
                        (Piece::End, None) => return,
                    };
                    if outcome.is_err() {
                        // Nobody reads any more; the sender learns it by the closed channel.
                        return;
                    }
                }
            })?;
        Ok(Self { sender, waiting })
    }

    pub(crate) fn push(&self, bytes: Vec<u8>, end: bool) -> Result<(), RpcError> {
        let closed =
            |_| RpcError::new(crate::message::FAILED, "the process does not read any more");
        if !bytes.is_empty() {
            let len = bytes.len();
            let before = self.waiting.fetch_add(len, Ordering::SeqCst);
            if before > 0 && before + len > MAX_INPUT {
                self.waiting.fetch_sub(len, Ordering::SeqCst);
                let text = format!(
                    "{before} bytes of input wait already; try again when the process has read"
                );
                return Err(RpcError::new(BUSY, text));
            }
            self.sender.send(Piece::Bytes(bytes)).map_err(closed)?;
        }
        if end {
            self.sender.send(Piece::End).map_err(closed)?;
        }
        Ok(())
    }
}

impl Processes {
    fn get(&self, number: u64) -> Result<Running, RpcError> {
        let table = self.0.lock();
        let found = table.running.get(&number).cloned();
        found
            .ok_or_else(|| RpcError::params(format!("no process {number} runs in this connection")))
    }

    pub(crate) fn input(&self, number: u64, bytes: Vec<u8>, end: bool) -> Result<(), RpcError> {
        let running = self.get(number)?;
        let input = running.input.ok_or_else(|| {
            RpcError::params("the process has no input: ask for it with `stdin` or `terminal`")
        })?;
        input.push(bytes, end)
    }

    pub(crate) fn resize(&self, number: u64, rows: u16, cols: u16) -> Result<(), RpcError> {
        let running = self.get(number)?;
        let terminal = running.process.terminal();
        let terminal = terminal.ok_or_else(|| RpcError::params("the process has no terminal"))?;
        terminal.resize(window(rows, cols));
        Ok(())
    }

    /// Kills what still runs.
    pub(crate) fn kill_all(&self) {
        for running in self.0.lock().running.values() {
            if let Some(terminal) = running.process.terminal() {
                terminal.hang_up();
            }
            // What has ended needs no signal.
            let _ = running.process.kill(9);
        }
    }
}

pub(crate) fn window(rows: u16, cols: u16) -> WindowSize {
    WindowSize {
        rows,
        cols,
        width_px: 0,
        height_px: 0,
    }
}

fn no_thread(error: io::Error) -> RpcError {
    RpcError::new(BUSY, format!("no thread can be started: {error}"))
}

/// A terminal for a thread of its own.
pub(crate) struct Typing(pub(crate) Arc<Terminal>);

impl Write for Typing {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        (&*self.0).write(buf)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

struct Showing(Arc<Terminal>);

impl Read for Showing {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        (&*self.0).read(buf)
    }
}

/// What sends the output of one process.
#[derive(Clone)]
struct Teller {
    outbox: Arc<dyn Outbox>,
    process: u64,
    base64: bool,
}

impl Teller {
    /// Sends a stream to its end, from a thread of its own.
    fn start(
        &self,
        stream: &'static str,
        mut from: impl Read + Send + 'static,
    ) -> Result<JoinHandle<()>, RpcError> {
        let teller = self.clone();
        let body = move || {
            let mut decoder = Decoder::default();
            let mut chunk = vec![0; CHUNK];
            while let Ok(n @ 1..) = from.read(&mut chunk) {
                let data = if teller.base64 {
                    base64(&chunk[..n])
                } else {
                    decoder.push(&chunk[..n])
                };
                // Where the client has gone the process is killed; its output is read so that it can end.
                teller.tell(stream, data);
            }
            teller.tell(stream, decoder.finish());
        };
        let thread = thread::Builder::new().name("rpc-output".to_owned());
        thread.spawn(body).map_err(no_thread)
    }

    fn tell(&self, stream: &'static str, data: String) {
        if data.is_empty() {
            return;
        }
        let event = OutputEvent {
            process: self.process,
            stream,
            data,
        };
        let _ = self.outbox.send(notification("guest.output", event));
    }
}

/// `guest.spawn`
pub(crate) fn spawn(session: &Arc<Session>, params: SpawnParams) -> Result<Spawned, RpcError> {
    let outbox = session.outbox()?;
    let number = {
        let mut table = session.processes.0.lock();
        if table.running.len() >= session.limits.running {
            return Err(session.too_many("commands"));
        }
        table.last += 1;
        table.last
    };
    let mut command = params.command.build()?;
    command = match params.terminal {
        Some(size) => command.terminal(window(size.rows, size.cols)),
        None => command
            .stdin(if params.stdin {
                Stdio::Pipe
            } else {
                Stdio::Null
            })
            .stdout(Stdio::Pipe)
            .stderr(Stdio::Pipe),
    };
    let process = Arc::new(session.machine.exec(command)?);
    let pid = process.pid();
    let streams = start_streams(&process, outbox, number, params.base64);
    let (input, readers, teller) = match streams {
        Ok(streams) => streams,
        Err(error) => {
            // Without its streams it would wait for ever.
            let _ = process.kill(9);
            return Err(error);
        }
    };
    session.processes.0.lock().running.insert(
        number,
        Running {
            process: Arc::clone(&process),
            input,
        },
    );
    let weak = Arc::downgrade(session);
    let waiter = move || {
        let status = process.wait();
        if let Some(terminal) = process.terminal() {
            terminal.finish();
        }
        for (end, reader) in readers {
            if let Some(end) = end {
                end.finish();
            }
            // It does nothing that panics.
            let _ = reader.join();
        }
        if let Some(session) = weak.upgrade() {
            session.processes.0.lock().running.remove(&number);
        }
        let event = ExitEvent {
            process: number,
            exit_code: status.code(),
            signal: status.signal(),
        };
        let _ = teller.outbox.send(notification("guest.exit", event));
    };
    let thread = thread::Builder::new().name("rpc-wait".to_owned());
    if let Err(error) = thread.spawn(waiter) {
        let running = session.processes.0.lock().running.remove(&number);
        if let Some(running) = running {
            let _ = running.process.kill(9);
        }
        return Err(no_thread(error));
    }
    Ok(Spawned {
        process: number,
        pid,
    })
}

type Reader = (Option<tuxlet::PipeReader>, JoinHandle<()>);

fn start_streams(
    process: &Arc<Process>,
    outbox: Arc<dyn Outbox>,
    number: u64,
    base64: bool,
) -> Result<(Option<Input>, Vec<Reader>, Teller), RpcError> {
    let teller = Teller {
        outbox,
        process: number,
        base64,
    };
    if let Some(terminal) = process.terminal() {
        let typing = Typing(Arc::clone(terminal));
        let input = Input::start(typing, Some(END_OF_INPUT)).map_err(no_thread)?;
        let reader = teller.start("terminal", Showing(Arc::clone(terminal)))?;
        return Ok((Some(input), vec![(None, reader)], teller));
    }
    let input = process
        .take_stdin()
        .map(|pipe| Input::start(pipe, None))
        .transpose()
        .map_err(no_thread)?;
    let pipes = [
        ("stdout", process.take_stdout()),
        ("stderr", process.take_stderr()),
    ];
    let mut readers = Vec::new();
    for (name, pipe) in pipes {
        if let Some(pipe) = pipe {
            readers.push((Some(pipe.clone()), teller.start(name, pipe)?));
        }
    }
    Ok((input, readers, teller))
}
