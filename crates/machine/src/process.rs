//! Running processes as the host sees them.

use crate::{
    Command, Error, Machine, Result, Stdio,
    terminal::{Terminal, winsize},
    user,
};
use std::sync::Arc;
use tuxlet_kernel::{Kernel, Spawn, host_stream::HostStream, task::WaitStatus};
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

/// A process that the host started.
#[derive(Debug)]
pub struct Process {
    /// Keeps the machine alive.
    machine: Machine,
    pid: u32,
    terminal: Option<Arc<Terminal>>,
}

impl Process {
    /// Process id inside the machine.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// The host's end of its terminal, if [`Command::terminal`] gave it one.
    #[must_use]
    pub fn terminal(&self) -> Option<&Arc<Terminal>> {
        self.terminal.as_ref()
    }

    /// Waits until the process has ended.
    #[must_use]
    pub fn wait(&self) -> ExitStatus {
        let killed = WaitStatus::Signaled(Signal::SIGKILL, false);
        ExitStatus(
            self.machine
                .inner
                .kernel
                .wait_process(self.pid)
                .unwrap_or(killed),
        )
    }

    /// Sends a signal by number.
    pub fn kill(&self, signal: i32) -> Result<()> {
        let signal = Signal::new(signal)?;
        let kernel = &self.machine.inner.kernel;
        let group = kernel
            .tree
            .lock()
            .node(self.pid)
            .map(|n| Arc::clone(&n.group));
        let group = group.ok_or(Errno::ESRCH)?;
        Ok(tuxlet_kernel::signal::send_to_group(
            kernel,
            &group,
            SigInfo::kill(signal, SI_USER, 0, 0),
        )?)
    }
}

fn open_stream(kernel: &Arc<Kernel>, cx: &Cx, stdio: Stdio, flags: OpenFlags) -> Result<Arc<File>> {
    match stdio {
        Stdio::Null => Ok(kernel.open_null(cx, flags)),
        Stdio::Host(fd) => {
            let stream = tuxlet_host::stream::Stream::new(fd)?;
            Ok(HostStream::file(cx, stream, flags))
        }
    }
}

pub(crate) fn start(kernel: &Arc<Kernel>, machine: Machine, command: Command) -> Result<Process> {
    let cx = kernel.host_cx();
    let user = user::resolve(kernel, &cx, command.user.as_deref())?;
    let mut env: Vec<(String, String)> = vec![
        ("PATH".into(), DEFAULT_PATH.into()),
        ("HOME".into(), user.home.clone()),
        ("HOSTNAME".into(), kernel.config.hostname.clone()),
    ];
    if let Some(name) = &user.name {
        env.push(("USER".into(), name.clone()));
    }
    for (name, value) in command.env {
        env.retain(|(n, _)| *n != name);
        env.push((name, value));
    }
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
            let stdio = tuxlet_kernel::Stdio {
                stdin: open_stream(kernel, &cx, command.stdin, OpenFlags::empty())?,
                stdout: open_stream(kernel, &cx, command.stdout, OpenFlags::WRONLY)?,
                stderr: open_stream(kernel, &cx, command.stderr, OpenFlags::WRONLY)?,
            };
            (None, stdio)
        }
    };
    let cwd = match &command.cwd {
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
    };
    let pid = spawn_in_path(kernel, &mut spawn, &command.program, &path).map_err(|errno| {
        Error::Exec {
            program: command.program,
            errno,
        }
    })?;
    Ok(Process {
        machine,
        pid,
        terminal,
    })
}

/// As execvp(3): tries the directories of `PATH`; an error other than "not there" is reported at the end.
fn spawn_in_path(
    kernel: &Arc<Kernel>,
    spawn: &mut Spawn,
    program: &str,
    path: &str,
) -> std::result::Result<u32, Errno> {
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
