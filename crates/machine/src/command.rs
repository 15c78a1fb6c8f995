//! What to run.

use std::os::fd::OwnedFd;
use tuxlet_host::terminal::WindowSize;

/// Where a standard stream leads.
#[derive(Debug, Default)]
pub enum Stdio {
    /// The guest's `/dev/null`.
    #[default]
    Null,
    /// A descriptor of the host.
    Host(OwnedFd),
    /// A pipe whose other end the [`crate::Process`] has.
    Pipe,
    /// For the standard error output: where the standard output leads. For others the same as [`Stdio::Null`].
    Stdout,
}

impl Stdio {
    /// This process's own stream.
    pub fn inherit(fd: impl std::os::fd::AsFd) -> std::io::Result<Self> {
        fd.as_fd().try_clone_to_owned().map(Self::Host)
    }
}

/// A program to run with its arguments and surroundings.
#[derive(Debug)]
pub struct Command {
    pub(crate) program: String,
    pub(crate) args: Vec<String>,
    pub(crate) env: Vec<(String, String)>,
    pub(crate) cwd: Option<String>,
    pub(crate) user: Option<String>,
    pub(crate) stdin: Stdio,
    pub(crate) stdout: Stdio,
    pub(crate) stderr: Stdio,
    pub(crate) terminal: Option<WindowSize>,
    pub(crate) context: u64,
}

impl Command {
    /// A program by path, or by name to be found in `PATH`.
    pub fn new(program: impl Into<String>) -> Self {
        Self {
            program: program.into(),
            args: Vec::new(),
            env: Vec::new(),
            cwd: None,
            user: None,
            stdin: Stdio::Null,
            stdout: Stdio::Null,
            stderr: Stdio::Null,
            terminal: None,
            context: 0,
        }
    }

    /// Adds an argument.
    #[must_use]
    pub fn arg(mut self, arg: impl Into<String>) -> Self {
        self.args.push(arg.into());
        self
    }

    /// Adds arguments.
    #[must_use]
    pub fn args<S: Into<String>>(mut self, args: impl IntoIterator<Item = S>) -> Self {
        self.args.extend(args.into_iter().map(Into::into));
        self
    }

    /// Sets a variable of the environment.
    #[must_use]
    pub fn env(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        let name = name.into();
        self.env.retain(|(n, _)| *n != name);
        self.env.push((name, value.into()));
        self
    }

    /// Sets the working directory; the default is the user's home, or `/`.
    #[must_use]
    pub fn cwd(mut self, dir: impl Into<String>) -> Self {
        self.cwd = Some(dir.into());
        self
    }

    /// Runs as another user: `NAME`, `UID`, `NAME:GROUP` or `UID:GID`. The default is root.
    #[must_use]
    pub fn user(mut self, user: impl Into<String>) -> Self {
        self.user = Some(user.into());
        self
    }

    /// Sets the standard input.
    #[must_use]
    pub fn stdin(mut self, stdin: Stdio) -> Self {
        self.stdin = stdin;
        self
    }

    /// Sets the standard output.
    #[must_use]
    pub fn stdout(mut self, stdout: Stdio) -> Self {
        self.stdout = stdout;
        self
    }

    /// Gives the program a terminal of its own for all three standard streams, as its controlling terminal; the other end is
    /// [`crate::Process::terminal`].
    #[must_use]
    pub fn terminal(mut self, size: WindowSize) -> Self {
        self.terminal = Some(size);
        self
    }

    /// A number of the embedder's own for the command and all processes that descend from it. It is told with the changes that they make
    /// ([`crate::Machine::track_changes`]), with the processes that they ask for ([`crate::Builder::fork_guard`]), and says where
    /// [`crate::Builder::path_hook`] leads them.
    #[must_use]
    pub fn context(mut self, context: u64) -> Self {
        self.context = context;
        self
    }

    /// Sets the standard error output.
    #[must_use]
    pub fn stderr(mut self, stderr: Stdio) -> Self {
        self.stderr = stderr;
        self
    }
}
