//! Programs of the host in place of guest programs.

use super::{CHUNK, Call, NativeCall, Result};
use std::{
    fmt, fs, io,
    io::{Read, Write},
    os::unix::process::ExitStatusExt,
    path::{Path, PathBuf},
    process::Command,
    sync::Arc,
    time::{Duration, Instant},
};
use tuxlet_host::{process::HostProcess, stream::Stream};
use tuxlet_kernel::{host_stream::HostStream, native::NativeProgram};
use tuxlet_uapi::{Errno, fcntl::OpenFlags};
use tuxlet_vfs::{Cx, Events, File, PollTable, RenameFlags, rename::rename, unlink::unlink};

/// What env(1) and shells answer if a command cannot be run.
const CANNOT_RUN: u8 = 126;
/// What timeout(1) answers.
const TIMED_OUT: u8 = 124;
/// How often to ask whether a program has ended that has closed its output before.
const ASK: Duration = Duration::from_millis(5);

/// An argument that names a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Staged {
    /// The program reads the file that the argument with this index names.
    Input(usize),
    /// The program makes the file that the argument with this index names.
    Output(usize),
}

type Staging = Arc<dyn Fn(&[String]) -> Vec<Staged> + Send + Sync>;

/// A program of the host that runs in place of a guest program. It sees no guest files but those that [`HostProgram::staging`] names,
/// as copies in a directory of its own, where it also starts; but it runs with the rights of the embedder and sees the host's files, so
/// a guest must not be able to make it open others than those.
#[derive(Clone)]
pub struct HostProgram {
    path: PathBuf,
    staging: Option<Staging>,
    env: Vec<(String, String)>,
    pass_env: Vec<String>,
    timeout: Option<Duration>,
}

impl fmt::Debug for HostProgram {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HostProgram")
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}

impl HostProgram {
    /// A program by its path on the host. It gets no variables of the environment but `PATH`, `HOME`, `TMPDIR` and `LANG`.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            staging: None,
            env: Vec::new(),
            pass_env: Vec::new(),
            timeout: None,
        }
    }

    /// Says which of the arguments (the first being the program's name) are files. Inputs are copied to the host under their names before
    /// the program starts; outputs are copied to the guest when it has ended, each in one step, whatever its exit status.
    #[must_use]
    pub fn staging(
        mut self,
        staging: impl Fn(&[String]) -> Vec<Staged> + Send + Sync + 'static,
    ) -> Self {
        self.staging = Some(Arc::new(staging));
        self
    }

    /// Sets a variable of the program's environment.
    #[must_use]
    pub fn env(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.env.push((name.into(), value.into()));
        self
    }

    /// Gives the program the guest's value of a variable.
    #[must_use]
    pub fn pass_env(mut self, name: impl Into<String>) -> Self {
        self.pass_env.push(name.into());
        self
    }

    /// Kills the program after this time; the exit code is 124 then.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    pub(crate) fn program(self) -> NativeProgram {
        Arc::new(move |call| match self.run(call) {
            Ok(code) => code,
            Err(Failure::Errno(Errno::EINTR)) => CANNOT_RUN,
            Err(failure) => {
                let name = call.args().first().map(|a| crate::text(a));
                let text = format!("{}: {failure}\n", name.unwrap_or_default());
                // Nobody else could be told.
                let _ = call.write(2, text.as_bytes());
                CANNOT_RUN
            }
        })
    }

    fn run(&self, call: &mut Call<'_>) -> std::result::Result<u8, Failure> {
        let stage = tempfile::Builder::new().prefix("tuxlet-").tempdir()?;
        let mut args: Vec<String> = call.args().iter().map(|a| crate::text(a)).collect();
        let staged = self.staging.as_ref().map_or(Vec::new(), |s| s(&args));
        let mut outputs = Vec::new();
        for (number, file) in staged.into_iter().enumerate() {
            let (Staged::Input(index) | Staged::Output(index)) = file;
            let Some(arg) = args.get_mut(index).filter(|_| index > 0) else {
                continue;
            };
            let name = Path::new(arg.as_str()).file_name();
            let Some(name) = name.map(|n| Path::new(&number.to_string()).join(n)) else {
                continue;
            };
            fs::create_dir(stage.path().join(number.to_string()))?;
            let (host, guest) = (stage.path().join(&name), std::mem::take(arg));
            *arg = name.to_string_lossy().into_owned();
            if matches!(file, Staged::Input(_)) {
                export(call, &guest, &host)?;
            } else {
                outputs.push((host, guest));
            }
        }
        let code = self.run_in(call, stage.path(), &args[1.min(args.len())..])?;
        for (host, guest) in outputs {
            match fs::File::open(&host) {
                Ok(file) => import(call, file, &guest)?,
                // The program has not made it.
                Err(e) if e.kind() == io::ErrorKind::NotFound => {}
                Err(e) => return Err(e.into()),
            }
        }
        Ok(code)
    }

    fn run_in(
        &self,
        call: &mut Call<'_>,
        stage: &Path,
        args: &[String],
    ) -> std::result::Result<u8, Failure> {
        let mut command = Command::new(&self.path);
        command.args(args).current_dir(stage).env_clear();
        command.env("PATH", "/usr/local/bin:/usr/bin:/bin");
        command.env("HOME", stage).env("TMPDIR", stage);
        command.env("LANG", "C.UTF-8");
        for name in &self.pass_env {
            if let Some(value) = NativeCall(call).env(name) {
                command.env(name, value);
            }
        }
        command.envs(self.env.iter().map(|(n, v)| (n, v)));
        let (mut process, [input, output, error]) = HostProcess::start(&mut command)?;
        let cx = call.cx();
        let stream =
            |fd, flags| -> Result<_> { Ok(HostStream::file(&cx, Stream::new(fd)?, flags)) };
        let mut streams = Streams {
            input: Some(stream(input, OpenFlags::WRONLY)?),
            outputs: [
                Some(stream(output, OpenFlags::empty())?),
                Some(stream(error, OpenFlags::empty())?),
            ],
            waiting: Vec::new(),
            from: call.file(0).ok(),
        };
        let deadline = self.timeout.and_then(|t| Instant::now().checked_add(t));
        while streams.outputs.iter().any(Option::is_some) {
            rest_together(call, &process)?;
            if deadline.is_some_and(|at| at <= Instant::now()) {
                return Ok(TIMED_OUT);
            }
            streams.pass(call, deadline)?;
        }
        drop(streams);
        let status = loop {
            if let Some(status) = process.try_wait()? {
                break status;
            }
            if deadline.is_some_and(|at| at <= Instant::now()) {
                return Ok(TIMED_OUT);
            }
            rest_together(call, &process)?;
            // Programs rarely do anything after the end of their output; there is nothing to wait for but time.
            call.wait(Some(Instant::now() + ASK), |_, _| None::<()>)?;
        };
        let signal = status.signal().map_or(0, |s| 128 + s);
        Ok(u8::try_from(status.code().unwrap_or(signal)).unwrap_or(CANNOT_RUN))
    }
}

/// Deals with signals; where the process rests for one, so does the program.
fn rest_together(call: &mut Call<'_>, process: &HostProcess) -> Result<()> {
    if !call.stops() {
        return call.check();
    }
    let pause = |pause| {
        if let Err(error) = process.pause(pause) {
            tracing::debug!(%error, pause, "a program of the host cannot be paused");
        }
    };
    pause(true);
    let checked = call.check();
    pause(false);
    checked
}

/// The streams of a program on the host, and the process's own input.
struct Streams {
    /// `None` once it has been closed.
    input: Option<Arc<File>>,
    /// What waits to be written to it.
    waiting: Vec<u8>,
    outputs: [Option<Arc<File>>; 2],
    from: Option<Arc<File>>,
}

impl Streams {
    /// Waits until something can be passed on, and does it.
    fn pass(&mut self, call: &mut Call<'_>, deadline: Option<Instant>) -> Result<()> {
        let ready = call.wait(deadline, |cx, table| self.ready(cx, table).then_some(()))?;
        if ready.is_none() {
            return Ok(());
        }
        let cx = call.cx();
        self.pass_input(&cx);
        let mut chunk = vec![0; CHUNK];
        for (fd, output) in [1, 2].into_iter().zip(&mut self.outputs) {
            let Some(file) = output else { continue };
            let mut room = &mut chunk[..];
            let n = match file.read(&cx, &mut room) {
                Ok(n) => n,
                Err(Errno::EAGAIN) => continue,
                Err(_) => 0,
            };
            match call.write(fd, &chunk[..n]) {
                Ok(()) if n > 0 => {}
                Err(Errno::EINTR) => return Err(Errno::EINTR),
                // The end, or nobody wants more: the program learns that from its pipe.
                _ => *output = None,
            }
        }
        Ok(())
    }

    fn ready(&self, cx: &Cx, mut table: Option<&mut PollTable>) -> bool {
        let mut poll = |file: &Option<Arc<File>>, want: Events| {
            let want = want | Events::ERR | Events::HUP;
            file.as_ref()
                .is_some_and(|f| f.poll(cx, table.as_deref_mut()).intersects(want))
        };
        let mut ready = poll(&self.outputs[0], Events::READABLE);
        ready |= poll(&self.outputs[1], Events::READABLE);
        if self.input.is_some() {
            ready |= if self.waiting.is_empty() {
                self.from.is_none() || poll(&self.from, Events::READABLE)
            } else {
                poll(&self.input, Events::WRITABLE)
            };
        }
        ready
    }

    fn pass_input(&mut self, cx: &Cx) {
        let Some(input) = &self.input else { return };
        if self.waiting.is_empty() {
            let mut chunk = vec![0; CHUNK];
            let mut room = &mut chunk[..];
            match self.from.as_ref().map(|from| from.read(cx, &mut room)) {
                Some(Ok(n @ 1..)) => self.waiting.extend_from_slice(&chunk[..n]),
                Some(Err(Errno::EAGAIN)) => {}
                // The end, or as good as that.
                _ => self.input = None,
            }
            return;
        }
        match input.write(cx, &mut self.waiting.as_slice()) {
            Ok(n) => drop(self.waiting.drain(..n)),
            Err(Errno::EAGAIN) => {}
            Err(_) => self.input = None,
        }
    }
}

/// Copies a guest file to the host, with the rights of the process.
fn export(call: &mut Call<'_>, guest: &str, host: &Path) -> std::result::Result<(), Failure> {
    let file = call.open(guest.as_bytes(), OpenFlags::empty(), 0);
    let file = file.map_err(|errno| Failure::Guest(guest.into(), errno))?;
    let cx = call.cx();
    let mut copy = fs::File::create(host)?;
    let mut chunk = vec![0; CHUNK];
    loop {
        call.check()?;
        let mut room = &mut chunk[..];
        let n = file.read(&cx, &mut room);
        match n.map_err(|errno| Failure::Guest(guest.into(), errno))? {
            0 => return Ok(()),
            n => copy.write_all(&chunk[..n])?,
        }
    }
}

/// Makes a guest file of one of the host's, with the rights of the process, in one step.
fn import(
    call: &mut Call<'_>,
    mut host: fs::File,
    guest: &str,
) -> std::result::Result<(), Failure> {
    let failed = |errno| Failure::Guest(guest.into(), errno);
    let temporary = format!("{guest}.tuxlet-{}", call.pid());
    let (cx, at) = (call.cx(), call.at());
    let written = copy_in(call, &mut host, &temporary, guest).and_then(|()| {
        let (from, to) = (temporary.as_bytes(), guest.as_bytes());
        rename(&cx, &at, from, &at, to, RenameFlags::empty()).map_err(failed)
    });
    if written.is_err() {
        // Where it could not be made there is nothing to remove.
        let _ = unlink(&cx, &at, temporary.as_bytes());
    }
    written
}

fn copy_in(
    call: &mut Call<'_>,
    host: &mut fs::File,
    temporary: &str,
    guest: &str,
) -> std::result::Result<(), Failure> {
    let failed = |errno| Failure::Guest(guest.into(), errno);
    let flags = OpenFlags::WRONLY | OpenFlags::CREAT | OpenFlags::EXCL;
    let file = call.open(temporary.as_bytes(), flags, 0o666);
    let file = file.map_err(failed)?;
    let cx = call.cx();
    let mut chunk = vec![0; CHUNK];
    loop {
        call.check()?;
        let n = host.read(&mut chunk)?;
        if n == 0 {
            return Ok(());
        }
        let mut rest = &chunk[..n];
        while !rest.is_empty() {
            let mut piece = rest;
            let n = file.write(&cx, &mut piece).map_err(failed)?;
            rest = &rest[n..];
        }
    }
}

/// Why a program of the host did not do its work.
#[derive(Debug)]
enum Failure {
    Errno(Errno),
    Guest(String, Errno),
    Host(io::Error),
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Errno(errno) => write!(f, "{errno}"),
            Self::Guest(path, errno) => write!(f, "{path}: {errno}"),
            Self::Host(error) => write!(f, "running it on the host: {error}"),
        }
    }
}

impl From<Errno> for Failure {
    fn from(errno: Errno) -> Self {
        Self::Errno(errno)
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Host(error)
    }
}
