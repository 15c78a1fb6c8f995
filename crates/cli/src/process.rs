//! What to run in a machine, and running it.

use std::{
    io,
    os::{fd::AsFd, unix::net::UnixStream},
    process::ExitCode,
    sync::Arc,
};

use anyhow::{Context, bail};
use serde::{Deserialize, Serialize};
use tuxlet::{Command, Machine, Process, Stdio};
use tuxlet_image::store;

use crate::{
    args::ProcessArgs,
    control::{self, Reply, Request},
    guest, session,
    settings::Settings,
};

/// A command with its surroundings, standard streams apart.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Spec {
    command: Vec<String>,
    env: Vec<(String, String)>,
    workdir: Option<String>,
    user: Option<String>,
}

impl Spec {
    /// What the command line says, and where it says nothing, the machine's settings.
    pub(crate) fn new(
        args: &ProcessArgs,
        settings: &Settings,
        command: Vec<String>,
    ) -> anyhow::Result<Spec> {
        if command.is_empty() {
            bail!("there is no command to run");
        }
        let mut env = settings.env.clone();
        if args.tty {
            let term = std::env::var("TERM").unwrap_or_else(|_| "xterm".to_owned());
            env.push(("TERM".to_owned(), term));
        }
        env.extend(guest::variables(&args.env));
        Ok(Spec {
            command,
            env,
            workdir: args.workdir.clone().or_else(|| settings.workdir.clone()),
            user: args.user.clone().or_else(|| settings.user.clone()),
        })
    }

    /// For a machine of this process.
    pub(crate) fn command(self) -> Command {
        let mut words = self.command.into_iter();
        let mut command = Command::new(words.next().unwrap_or_default()).args(words);
        for (name, value) in self.env {
            command = command.env(name, value);
        }
        if let Some(directory) = self.workdir {
            command = command.cwd(directory);
        }
        if let Some(user) = self.user {
            command = command.user(user);
        }
        command
    }
}

/// Runs a command to its end in a machine of this process; the exit status is its own.
/// `started` hears of it when it runs.
pub(crate) fn run(
    machine: &Machine,
    args: &ProcessArgs,
    spec: Spec,
    started: impl FnOnce(&Arc<Process>),
) -> anyhow::Result<ExitCode> {
    session::check_terminal(args.interactive, args.tty)?;
    let mut command = spec.command();
    if args.tty {
        command = command.terminal(session::window_size());
    } else {
        if args.interactive {
            command = command.stdin(Stdio::inherit(io::stdin())?);
        }
        command = command
            .stdout(Stdio::inherit(io::stdout())?)
            .stderr(Stdio::inherit(io::stderr())?);
    }
    match machine.exec(command) {
        Ok(process) => {
            let process = Arc::new(process);
            started(&process);
            session::pass_signals_on(&process).context("cannot watch signals")?;
            let status = match process.terminal() {
                Some(terminal) => session::attach(terminal, args.interactive, || process.wait())
                    .context("cannot use the terminal")?,
                None => process.wait(),
            };
            Ok(ExitCode::from(status.code()))
        }
        Err(error) => {
            let (status, text) = guest::explain(machine, &error);
            eprintln!("tuxlet: {text}");
            Ok(ExitCode::from(status))
        }
    }
}

/// Runs a command to its end in a machine that another process runs.
pub(crate) fn run_elsewhere(
    machine: &store::Machine,
    args: &ProcessArgs,
    spec: Spec,
) -> anyhow::Result<ExitCode> {
    session::check_terminal(args.interactive, args.tty)?;
    let connection = Arc::new(control::connect(machine)?);
    let request = Request::Exec {
        spec,
        interactive: args.interactive,
        terminal: args.tty.then(|| session::window_size().into()),
    };
    let mut line = None;
    if args.tty {
        let (ours, theirs) = UnixStream::pair()?;
        connection.send(&request, &[theirs.as_fd()])?;
        line = Some(Arc::new(ours));
    } else {
        let (stdin, stdout, stderr) = (io::stdin(), io::stdout(), io::stderr());
        let fds = [stdin.as_fd(), stdout.as_fd(), stderr.as_fd()];
        connection.send(&request, &fds[usize::from(!args.interactive)..])?;
    }
    match connection.receive()? {
        Reply::Started => {}
        Reply::Refused { status, reason } => {
            eprintln!("tuxlet: {reason}");
            return Ok(ExitCode::from(status));
        }
        other => bail!("the machine answers {other:?}"),
    }
    session::pass_signals_on(&connection).context("cannot watch signals")?;
    let wait = || connection.receive();
    let reply = match &line {
        Some(line) => {
            session::attach(line, args.interactive, wait).context("cannot use the terminal")?
        }
        None => wait(),
    };
    match reply? {
        Reply::Exited { status } => Ok(ExitCode::from(status)),
        other => bail!("the machine answers {other:?}"),
    }
}
