//! The side that answers, in the process that runs the machine.

use std::{
    collections::HashMap,
    fmt,
    fs::{self, File},
    io,
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
        Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError, RwLock, Weak,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
};

use tuxlet::{Machine, Process, Stdio};
use tuxlet_host::poll::{Reactor, Wake, Watch};

use super::{Event, ProcessRow, Reply, Request, client::shut};
use crate::{guest, process::Spec, session};

/// Most connections at once.
const MAX_SESSIONS: usize = 64;

/// Answers in the machine's directory, until [`Server::stop`].
#[derive(Debug)]
pub(crate) struct Server {
    dir: PathBuf,
    door: Arc<Door>,
}

/// Where those who ask come in. The reactor opens.
#[derive(Debug)]
struct Door {
    listener: Arc<UnixListener>,
    state: Mutex<State>,
    /// A session has ended.
    left: Condvar,
    /// Held (read) while a session starts a command; true when none may be started any more.
    closed: RwLock<bool>,
    /// Set before the first wake-up.
    watch: OnceLock<Watch>,
}

#[derive(Debug)]
struct State {
    /// `None` from the end on.
    machine: Option<Machine>,
    /// The machine's command, while it runs.
    main: Option<Arc<Process>>,
    sessions: HashMap<u64, UnixStream>,
    next: u64,
    /// Given up for a moment when there are no descriptors left, so that those who knock can be turned away.
    spare: Option<File>,
}

/// What the reactor rings.
struct Bell(Weak<Door>);

impl fmt::Debug for Bell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Bell")
    }
}

impl Wake for Bell {
    fn wake(&self, _events: u32) {
        if let Some(door) = self.0.upgrade() {
            Door::open(&door);
        }
    }
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
        listener.set_nonblocking(true)?;
        let listener = Arc::new(listener);
        let door = Arc::new(Door {
            listener: Arc::clone(&listener),
            state: Mutex::new(State {
                machine: Some(machine.clone()),
                main: None,
                sessions: HashMap::new(),
                next: 0,
                spare: Some(File::open(&dir)?),
            }),
            left: Condvar::new(),
            closed: RwLock::new(false),
            watch: OnceLock::new(),
        });
        let bell = Arc::new(Bell(Arc::downgrade(&door)));
        let watch = Reactor::global()?.watch(listener, false, false, bell)?;
        door.watch.get_or_init(|| watch).arm(true, false)?;
        Ok(Server { dir, door })
    }

    /// The machine's command runs: signals to the machine are for it.
    pub(crate) fn command_runs(&self, command: &Arc<Process>) {
        self.door.state().main = Some(Arc::clone(command));
    }

    /// Kills what runs in the machine and waits until everybody who asked for it knows.
    pub(crate) fn stop(self) {
        let (machine, _main) = {
            let mut state = self.door.state();
            (state.machine.take(), state.main.take())
        };
        // Whoever is about to start a command has done so, or will not.
        *self
            .door
            .closed
            .write()
            .unwrap_or_else(PoisonError::into_inner) = true;
        if let Some(machine) = machine {
            machine.kill_all();
        }
        let mut state = self.door.state();
        for socket in state.sessions.values() {
            // One that does not ask or does not listen; what was sent to it still arrives.
            shut(socket, Shutdown::Read);
        }
        while !state.sessions.is_empty() {
            state = self
                .door
                .left
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
        drop(state);
        if let Err(error) = fs::remove_dir_all(&self.dir) {
            tracing::debug!("{}: {error}", self.dir.display());
        }
    }
}

impl Door {
    fn state(&self) -> MutexGuard<'_, State> {
        // A panic was reported where it happened, and left nothing half done.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets everybody in who waits.
    fn open(this: &Arc<Self>) {
        let mut state = this.state();
        while state.machine.is_some() {
            match this.listener.accept() {
                Ok((socket, _)) => this.admit(&mut state, socket),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
                Err(error) => {
                    tracing::warn!("a request to the machine: {error}");
                    // Very likely there are no descriptors left. With the spare one the caller can be turned away.
                    if state.spare.take().is_none() || this.listener.accept().is_err() {
                        tracing::error!("`tuxlet exec` no longer reaches this machine");
                        return;
                    }
                    state.spare = File::open("/dev/null").ok();
                }
            }
        }
        drop(state);
        if let Some(watch) = this.watch.get() {
            // Fails only if the reactor is broken, and then nothing else comes either.
            let _ = watch.arm(true, false);
        }
    }

    fn admit(self: &Arc<Self>, state: &mut State, socket: UnixStream) {
        let Some(machine) = state.machine.clone() else {
            return;
        };
        let number = state.next;
        let admitted = socket.set_nonblocking(false).and_then(|()| {
            if state.sessions.len() == MAX_SESSIONS {
                return Err(io::Error::other("too many connections"));
            }
            let (ours, door) = (socket.try_clone()?, Arc::clone(self));
            thread::Builder::new()
                .name("session".to_owned())
                .spawn(move || {
                    let _leaving = Leaving {
                        door: &door,
                        number,
                    };
                    // Goes before it is known that the session has ended: nobody else holds the machine then.
                    let machine = machine;
                    if let Err(error) = serve(&door, &machine, &ours) {
                        tracing::debug!("a request to the machine: {error}");
                    }
                    shut(&ours, Shutdown::Both);
                })?;
            Ok(())
        });
        match admitted {
            Ok(()) => {
                state.next += 1;
                state.sessions.insert(number, socket);
            }
            Err(error) => tracing::warn!("a request to the machine: {error}"),
        }
    }
}

/// Takes a session off the list at its end, however it ends.
struct Leaving<'a> {
    door: &'a Door,
    number: u64,
}

impl Drop for Leaving<'_> {
    fn drop(&mut self) {
        self.door.state().sessions.remove(&self.number);
        self.door.left.notify_all();
    }
}

fn serve(door: &Door, machine: &Machine, socket: &UnixStream) -> io::Result<()> {
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
                door,
                machine,
                socket,
                spec,
                interactive,
                terminal.map(Into::into),
                fds,
            );
        }
        Request::Signal { number } => {
            let main = door.state().main.clone();
            match main.map(|command| command.kill(number)) {
                Some(Ok(())) => Reply::Done,
                Some(Err(error)) => Reply::Failed {
                    reason: error.to_string(),
                },
                None => Reply::Starting,
            }
        }
        // Before the command runs there is nothing to kill, and it would run on.
        Request::KillAll if door.state().main.is_none() => Reply::Starting,
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
    door: &Door,
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
    let started = {
        let closed = door.closed.read().unwrap_or_else(PoisonError::into_inner);
        if *closed {
            let reason = "the machine is ending".to_owned();
            return super::send(socket, &Reply::Failed { reason }, &[]);
        }
        machine.exec(command)
    };
    let process = match started {
        Ok(process) => Arc::new(process),
        Err(error) => {
            let (status, reason) = guest::explain(machine, &error);
            return super::send(socket, &Reply::Refused { status, reason }, &[]);
        }
    };
    // Who has gone away before it could hear of it hangs up all the same, below.
    let told = super::send(socket, &Reply::Started, &[]);
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
    told.and(sent)
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
