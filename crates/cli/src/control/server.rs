//! The side that answers, in the process that runs the machine.

use std::{
    fs, io,
    net::Shutdown,
    os::{
        fd::OwnedFd,
        unix::{
            fs::PermissionsExt,
            net::{UnixListener, UnixStream},
        },
    },
    path::{Path, PathBuf},
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use tuxlet::{Machine, Process, Stdio};

use super::{Event, ProcessRow, Reply, Request, client::shut};
use crate::{guest, process::Spec, session};

/// Most connections at once.
const MAX_SESSIONS: usize = 64;
const PAUSE: Duration = Duration::from_millis(10);

/// The thread that listens, until [`Server::stop`].
#[derive(Debug)]
pub(crate) struct Server {
    dir: PathBuf,
    machine: Machine,
    main: Main,
    stopping: Arc<AtomicBool>,
    thread: JoinHandle<Vec<Session>>,
}

/// The machine's command, once it runs.
pub(crate) type Main = Arc<OnceLock<Arc<Process>>>;

#[derive(Debug)]
struct Session {
    thread: JoinHandle<()>,
    socket: UnixStream,
}

impl Server {
    /// Listens in the machine's directory. The machine must be claimed by this process.
    pub(crate) fn start(directory: &Path, machine: &Machine) -> io::Result<Server> {
        let dir = super::prepare(directory)?;
        let listener = super::with_address(&dir, |path| {
            let listener = UnixListener::bind(path)?;
            fs::set_permissions(path, fs::Permissions::from_mode(0o600))?;
            Ok(listener)
        })?;
        let stopping = Arc::new(AtomicBool::new(false));
        let main = Main::default();
        let (served, stop) = ((machine.clone(), Arc::clone(&main)), Arc::clone(&stopping));
        let thread = thread::Builder::new()
            .name("control".to_owned())
            .spawn(move || listen(&listener, &served, &stop))?;
        Ok(Server {
            dir,
            machine: machine.clone(),
            main,
            stopping,
            thread,
        })
    }

    /// Where the machine's command is to be put when it runs.
    pub(crate) fn main(&self) -> Main {
        Arc::clone(&self.main)
    }

    /// Kills what runs in the machine and waits until everybody who asked for it knows.
    pub(crate) fn stop(self) {
        self.stopping.store(true, Ordering::SeqCst);
        // Wakes the thread; it is gone already where this fails.
        let _ = super::with_address(&self.dir, |path| UnixStream::connect(path));
        let sessions = self.thread.join().unwrap_or_default();
        // A command may be starting just now.
        while sessions.iter().any(|s| !s.thread.is_finished()) {
            self.machine.kill_all();
            thread::sleep(PAUSE);
            for session in sessions.iter().filter(|s| !s.thread.is_finished()) {
                // One that does not ask or does not listen; what was sent to it still arrives.
                shut(&session.socket, Shutdown::Read);
            }
        }
        if let Err(error) = fs::remove_dir_all(&self.dir) {
            tracing::debug!("{}: {error}", self.dir.display());
        }
    }
}

fn listen(
    listener: &UnixListener,
    served: &(Machine, Main),
    stopping: &AtomicBool,
) -> Vec<Session> {
    let mut sessions: Vec<Session> = Vec::new();
    for connection in listener.incoming() {
        if stopping.load(Ordering::SeqCst) {
            break;
        }
        sessions.retain(|s| !s.thread.is_finished());
        let opened = connection.and_then(|socket| {
            if sessions.len() == MAX_SESSIONS {
                return Err(io::Error::other("too many connections"));
            }
            let (ours, (machine, main)) = (socket.try_clone()?, served.clone());
            let thread = thread::Builder::new()
                .name("session".to_owned())
                .spawn(move || {
                    if let Err(error) = serve(&machine, &main, &ours) {
                        tracing::debug!("a request to the machine: {error}");
                    }
                    shut(&ours, Shutdown::Both);
                })?;
            Ok(Session { thread, socket })
        });
        match opened {
            Ok(session) => sessions.push(session),
            Err(error) => {
                tracing::warn!("a request to the machine: {error}");
                // Not in a loop at full speed where descriptors are used up.
                thread::sleep(PAUSE);
            }
        }
    }
    sessions
}

fn serve(machine: &Machine, main: &Main, socket: &UnixStream) -> io::Result<()> {
    let Some((request, fds)) = super::receive(socket)? else {
        return Ok(());
    };
    let copied = |result: tuxlet::Result<Vec<String>>| match result {
        Ok(skipped) => Reply::Copied { skipped },
        Err(error) => Reply::Failed {
            reason: error.to_string(),
        },
    };
    let reply = match request {
        Request::Exec {
            spec,
            interactive,
            terminal,
        } => {
            return exec(
                machine,
                socket,
                spec,
                interactive,
                terminal.map(Into::into),
                fds,
            );
        }
        Request::Signal { number } => match main.get().map(|command| command.kill(number)) {
            Some(Ok(())) => Reply::Done,
            Some(Err(error)) => Reply::Failed {
                reason: error.to_string(),
            },
            None => Reply::Starting,
        },
        Request::KillAll => {
            machine.kill_all();
            Reply::Done
        }
        Request::Processes => Reply::Processes(
            machine
                .processes()
                .into_iter()
                .map(|p| ProcessRow {
                    pid: p.pid,
                    parent: p.parent,
                    name: p.name,
                    zombie: p.zombie,
                })
                .collect(),
        ),
        Request::CopyOut { from, to } => copied(machine.copy_out(&from, &to)),
        Request::CopyIn { from, to } => copied(machine.copy_in(&from, &to)),
    };
    super::send(socket, &reply, &[])
}

fn exec(
    machine: &Machine,
    socket: &UnixStream,
    spec: Spec,
    interactive: bool,
    terminal: Option<tuxlet::WindowSize>,
    fds: Vec<OwnedFd>,
) -> io::Result<()> {
    let mut fds = fds.into_iter();
    let mut next = || fds.next().ok_or(io::ErrorKind::InvalidInput);
    let mut command = spec.command();
    let mut wire = None;
    if let Some(size) = terminal {
        wire = Some(Arc::new(UnixStream::from(next()?)));
        command = command.terminal(size);
    } else {
        if interactive {
            command = command.stdin(Stdio::Host(next()?));
        }
        command = command.stdout(Stdio::Host(next()?));
        command = command.stderr(Stdio::Host(next()?));
    }
    let process = match machine.exec(command) {
        Ok(process) => Arc::new(process),
        Err(error) => {
            let (status, reason) = guest::explain(machine, &error);
            return super::send(socket, &Reply::Refused { status, reason }, &[]);
        }
    };
    super::send(socket, &Reply::Started, &[])?;
    let ended = Arc::new(AtomicBool::new(false));
    let (events, theirs, over) = (
        socket.try_clone()?,
        Arc::clone(&process),
        Arc::clone(&ended),
    );
    let listener = thread::Builder::new()
        .name("events".to_owned())
        .spawn(move || pass_events_on(&events, &theirs, &over))?;
    let mut typist = None;
    let mut screen = None;
    if let (Some(terminal), Some(wire)) = (process.terminal(), &wire) {
        let (typed, from) = (Arc::clone(terminal), Arc::clone(wire));
        typist = Some(thread::spawn(move || {
            session::forward(&*from, &*typed);
            typed.hang_up();
        }));
        let (shown, to) = (Arc::clone(terminal), Arc::clone(wire));
        screen = Some(thread::spawn(move || session::forward(&*shown, &*to)));
    }
    let status = process.wait();
    ended.store(true, Ordering::SeqCst);
    if let Some(terminal) = process.terminal() {
        terminal.finish();
    }
    // Panics have been reported where they happened.
    let _ = screen.map(JoinHandle::join);
    if let Some(wire) = &wire {
        shut(wire, Shutdown::Both);
    }
    let _ = typist.map(JoinHandle::join);
    let sent = super::send(
        socket,
        &Reply::Exited {
            status: status.code(),
        },
        &[],
    );
    shut(socket, Shutdown::Both);
    let _ = listener.join();
    sent
}

/// Passes signals and sizes on; who goes away hangs up.
fn pass_events_on(socket: &UnixStream, process: &Process, ended: &AtomicBool) {
    loop {
        let signal = match super::receive::<Event>(socket) {
            Ok(Some((Event::Resize(size), _))) => {
                if let Some(terminal) = process.terminal() {
                    terminal.resize(size.into());
                }
                continue;
            }
            Ok(Some((Event::Signal(number), _))) => Some(number),
            Ok(None) | Err(_) => None,
        };
        // The number of a process that has ended may be another's.
        if !ended.load(Ordering::SeqCst)
            && let Err(error) = process.kill(signal.unwrap_or(1))
        {
            tracing::debug!("signal {signal:?}: {error}");
        }
        if signal.is_none() {
            return;
        }
    }
}
