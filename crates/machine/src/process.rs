//! Running processes as the host sees them.

use crate::{
    Command, Error, Machine, PipeReader, PipeWriter, Result, Stdio,
    terminal::{Terminal, winsize},
    user,
};
use parking_lot::Mutex;
use std::{
    sync::Arc,
    time::{Duration, Instant},
};
use tuxlet_kernel::{
    Kernel, Spawn,
    host_stream::HostStream,
    task::{ThreadGroup, WaitStatus},
};
use tuxlet_uapi::{
    Errno, Signal,
    fcntl::OpenFlags,
    signal::{SI_USER, SigInfo},
};
use tuxlet_vfs::{At, Cx, File, LookupFlags, resolver};

/// What `PATH` is if nobody sets it.
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExitStatus(WaitStatus);

impl ExitStatus {
    /// The exit code as a shell shows it: 128 + number for a signal.
    #[must_use]
    pub fn code(&self) -> u8 {
        self.0.shell_code()
    }

    /// The signal that killed the process.
    #[must_use]
    pub fn signal(&self) -> Option<i32> {
        match self.0 {
            WaitStatus::Signaled(signal, _) => Some(signal.number()),
            _ => None,
        }
    }
}

/// A process that the host started. Dropping it leaves the process running; nobody learns its status then.
#[derive(Debug)]
pub struct Process {
    /// Keeps the machine alive.
    machine: Machine,
    group: Arc<ThreadGroup>,
    terminal: Option<Arc<Terminal>>,
    pipes: Mutex<Pipes>,
    status: Mutex<Option<ExitStatus>>,
}

/// The host's ends of a process's piped streams.
#[derive(Debug, Default)]
struct Pipes {
    stdin: Option<PipeWriter>,
    stdout: Option<PipeReader>,
    stderr: Option<PipeReader>,
}

impl Process {
    /// Process id inside the machine.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.group.tgid()
    }

    /// The host's end of its terminal, if [`Command::terminal`] gave it one.
    #[must_use]
    pub fn terminal(&self) -> Option<&Arc<Terminal>> {
        self.terminal.as_ref()
    }

    /// The pipe that the process reads, once, if its standard input is [`Stdio::Pipe`]. Dropping it is the end of the input.
    pub fn take_stdin(&self) -> Option<PipeWriter> {
        self.pipes.lock().stdin.take()
    }

    /// The pipe that the process writes to, once, if its standard output is [`Stdio::Pipe`]. Reading ends when nothing in the machine
    /// has the stream open any more, which may be after the process has ended.
    pub fn take_stdout(&self) -> Option<PipeReader> {
        self.pipes.lock().stdout.take()
    }

    /// As [`Process::take_stdout`], for the standard error output.
    pub fn take_stderr(&self) -> Option<PipeReader> {
        self.pipes.lock().stderr.take()
    }

    /// Waits until the process has ended. May be called by several threads, and again afterwards.
    #[must_use]
    pub fn wait(&self) -> ExitStatus {
        self.wait_until(None).unwrap_or(KILLED)
    }

    /// Waits at most so long; `None` if the process still runs.
    #[must_use]
    pub fn wait_timeout(&self, timeout: Duration) -> Option<ExitStatus> {
        // A time too far away to be written down is for ever.
        self.wait_until(Instant::now().checked_add(timeout))
    }

    /// The status, if the process has ended.
    #[must_use]
    pub fn try_wait(&self) -> Option<ExitStatus> {
        self.wait_timeout(Duration::ZERO)
    }

    fn wait_until(&self, deadline: Option<Instant>) -> Option<ExitStatus> {
        let kernel = &self.machine.inner.kernel;
        if !kernel.wait_dead(&self.group, deadline) {
            return None;
        }
        let mut status = self.status.lock();
        Some(*status.get_or_insert_with(|| kernel.reap(&self.group).map_or(KILLED, ExitStatus)))
    }

    /// Sends a signal to the process's group: its children too, unless they have made groups of their own.
    /// `ESRCH` once the process has been waited for.
    pub fn kill_group(&self, signal: i32) -> Result<()> {
        let signal = Signal::new(signal)?;
        let kernel = &self.machine.inner.kernel;
        // What has been waited for may have given its number to another process.
        let status = self.status.lock();
        let group = kernel.tree.lock().node(self.pid()).map(|n| n.pgid);
        let group = group.filter(|_| status.is_none()).ok_or(Errno::ESRCH)?;
        let info = SigInfo::kill(signal, SI_USER, 0, 0);
        tuxlet_kernel::signal::send_to_process_group(kernel, group, info);
        Ok(())
    }

    /// Sends a signal by number: kill(2). `ESRCH` once the process has been waited for.
    pub fn kill(&self, signal: i32) -> Result<()> {
        if self.status.lock().is_some() {
            return Err(Errno::ESRCH.into());
        }
        self.machine.kill(self.pid(), signal)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if self.status.get_mut().is_none() {
            self.machine.inner.kernel.disown(&self.group);
        }
    }
}

/// Where a process is gone without a status, the machine has been shut down.
const KILLED: ExitStatus = ExitStatus(WaitStatus::Signaled(Signal::SIGKILL, false));

fn host_file(cx: &Cx, fd: std::os::fd::OwnedFd, flags: OpenFlags) -> Result<Arc<File>> {
    let stream = tuxlet_host::stream::Stream::new(fd)?;
    Ok(HostStream::file(cx, stream, flags))
}

/// The guest's file for a stream that it writes; the host's end of a pipe goes to `kept`.
fn output(
    kernel: &Arc<Kernel>,
    cx: &Cx,
    stdio: Stdio,
    kept: &mut Option<PipeReader>,
) -> Result<Arc<File>> {
    match stdio {
        Stdio::Null | Stdio::Stdout => Ok(kernel.open_null(cx, OpenFlags::WRONLY)),
        Stdio::Host(fd) => host_file(cx, fd, OpenFlags::WRONLY),
        Stdio::Pipe => {
            let (host, guest) = kernel.pipe_to_host();
            *kept = Some(PipeReader::new(host));
            Ok(guest)
        }
    }
}

/// The guest's file for its standard input; the host's end of a pipe goes to `kept`.
fn input(
    kernel: &Arc<Kernel>,
    cx: &Cx,
    stdio: Stdio,
    kept: &mut Option<PipeWriter>,
) -> Result<Arc<File>> {
    match stdio {
        Stdio::Null | Stdio::Stdout => Ok(kernel.open_null(cx, OpenFlags::empty())),
        Stdio::Host(fd) => host_file(cx, fd, OpenFlags::empty()),
        Stdio::Pipe => {
            let (host, guest) = kernel.pipe_from_host();
            *kept = Some(PipeWriter::new(host));
            Ok(guest)
        }
    }
}

pub(crate) fn start(kernel: &Arc<Kernel>, machine: Machine, command: Command) -> Result<Process> {
    let cx = kernel.host_cx();
    let defaults = &machine.inner.defaults;
    let user = command.user.as_deref().or(defaults.user.as_deref());
    let user = user::resolve(kernel, &cx, user)?;
    let mut env: Vec<(String, String)> = vec![
        ("PATH".into(), DEFAULT_PATH.into()),
        ("HOME".into(), user.home.clone()),
        ("HOSTNAME".into(), kernel.config.hostname.clone()),
    ];
    if let Some(name) = &user.name {
        env.push(("USER".into(), name.clone()));
    }
    for (name, value) in defaults.env.iter().cloned().chain(command.env) {
        env.retain(|(n, _)| *n != name);
        env.push((name, value));
    }
    let mut pipes = Pipes::default();
    let (terminal, stdio) = match command.terminal {
        Some(size) => {
            let (host, slave) = kernel.open_pty(winsize(size))?;
            let stdio = tuxlet_kernel::Stdio {
                stdin: Arc::clone(&slave),
                stdout: Arc::clone(&slave),
                stderr: slave,
            };
            (Some(Arc::new(Terminal::new(host))), stdio)
        }
        None => {
            let stdout = output(kernel, &cx, command.stdout, &mut pipes.stdout)?;
            let stderr = match command.stderr {
                Stdio::Stdout => Arc::clone(&stdout),
                other => output(kernel, &cx, other, &mut pipes.stderr)?,
            };
            let stdio = tuxlet_kernel::Stdio {
                stdin: input(kernel, &cx, command.stdin, &mut pipes.stdin)?,
                stdout,
                stderr,
            };
            (None, stdio)
        }
    };
    let cwd = match command.cwd.as_ref().or(defaults.cwd.as_ref()) {
        Some(dir) => dir.clone(),
        None => kernel.first_directory(&cx, &[&user.home, "/"]),
    };
    let at = At::root(kernel.mounts.root());
    let flags = LookupFlags::FOLLOW | LookupFlags::DIRECTORY;
    if let Err(errno) = resolver::lookup(&cx, &at, cwd.as_bytes(), flags) {
        return Err(Error::WorkingDirectory { path: cwd, errno });
    }
    let path = env
        .iter()
        .find(|(n, _)| n == "PATH")
        .map_or(DEFAULT_PATH, |(_, v)| v)
        .to_owned();
    let mut args = vec![command.program.clone().into_bytes()];
    args.extend(command.args.into_iter().map(String::into_bytes));
    let mut spawn = Spawn {
        program: Vec::new(),
        args,
        env: env
            .into_iter()
            .map(|(n, v)| format!("{n}={v}").into_bytes())
            .collect(),
        cwd: cwd.into_bytes(),
        cred: user.cred,
        stdio,
        controlling_tty: terminal.is_some(),
        context: command.context,
    };
    let group = spawn_in_path(kernel, &mut spawn, &command.program, &path).map_err(|errno| {
        Error::Exec {
            program: command.program,
            errno,
        }
    })?;
    Ok(Process {
        machine,
        group,
        terminal,
        pipes: Mutex::new(pipes),
        status: Mutex::new(None),
    })
}

/// As execvp(3): tries the directories of `PATH`; an error other than "not there" is reported at the end.
fn spawn_in_path(
    kernel: &Arc<Kernel>,
    spawn: &mut Spawn,
    program: &str,
    path: &str,
) -> std::result::Result<Arc<ThreadGroup>, Errno> {
    if program.contains('/') {
        spawn.program = program.as_bytes().to_vec();
        return kernel.spawn(spawn);
    }
    let cx = kernel.host_cx();
    let at = At::root(kernel.mounts.root());
    let mut outcome = Errno::ENOENT;
    for dir in path.split(':') {
        let dir = if dir.is_empty() { "." } else { dir };
        spawn.program = format!("{dir}/{program}").into_bytes();
        // A process is only made where there is something to run: the first one gets number 1.
        let absent = |found| matches!(found, Err(Errno::ENOENT | Errno::ENOTDIR));
        let found = resolver::lookup(&cx, &at, &spawn.program, LookupFlags::FOLLOW);
        if dir.starts_with('/') && absent(found.map(drop)) {
            continue;
        }
        match kernel.spawn(spawn) {
            Err(Errno::ENOENT | Errno::ENOTDIR) => {}
            Err(errno @ Errno::EACCES) => outcome = errno,
            other => return other,
        }
    }
    Err(outcome)
}
