//! Machines by the `tuxlet` command, as a user has them.

use super::rows::Row;
use anyhow::{Context, Result, ensure};
use std::{
    fs,
    io::Read,
    mem::MaybeUninit,
    os::unix::process::{CommandExt as _, ExitStatusExt as _},
    path::{Path, PathBuf},
    process::{Command, ExitStatus, Stdio},
    time::{Duration, Instant},
};

/// Where a row's files are in the machine.
pub(super) const ROW_DIR: &str = "/root/row";
/// Where the files of an installation are.
pub(super) const INSTALL_DIR: &str = "/root/install";
/// Output that is kept of a row, in bytes.
const OUTPUT_LIMIT: u64 = 16 << 20;

/// The command and what all machines are made of.
pub(super) struct Tuxlet {
    program: PathBuf,
    image: String,
    host_ca: bool,
}

/// How a script ended.
pub(super) struct Outcome {
    /// `None` if it took too long.
    pub(super) status: Option<ExitStatus>,
    /// Standard output.
    pub(super) output: Vec<u8>,
    /// Standard error.
    pub(super) errors: Vec<u8>,
    /// Elapsed time.
    pub(super) wall: Duration,
    /// User and system time.
    pub(super) cpu: Duration,
    /// Most memory that the process had, in KiB.
    pub(super) memory: u64,
}

impl Tuxlet {
    pub(super) fn new(program: &Path, image: &str, host_ca: bool) -> Result<Self> {
        ensure!(
            program.exists(),
            "{} is missing: cargo build --release -p tuxlet-cli",
            program.display()
        );
        Ok(Self {
            program: program.to_owned(),
            image: image.to_owned(),
            host_ca,
        })
    }

    /// Whether there is a machine of this name.
    pub(super) fn has(&self, name: &str) -> Result<bool> {
        let output = self.command(&["ps", "-a", "-q"]).output()?;
        Ok(String::from_utf8_lossy(&output.stdout)
            .lines()
            .any(|line| line == name))
    }

    /// Makes a machine of the image.
    pub(super) fn create(&self, name: &str) -> Result<()> {
        let mut args = vec!["create", "--name", name];
        if self.host_ca {
            args.push("--host-ca");
        }
        args.push(&self.image);
        self.done(&args)
    }

    /// Makes a machine as another one is.
    pub(super) fn clone_machine(&self, from: &str, name: &str) -> Result<()> {
        self.done(&["clone", from, name])
    }

    /// Removes a machine if there is one of the name.
    pub(super) fn remove(&self, name: &str) -> Result<()> {
        if self.has(name)? {
            self.done(&["rm", name])?;
        }
        Ok(())
    }

    /// Puts the row's files and its script into a new directory of the machine.
    pub(super) fn put(&self, name: &str, row: &Row, into: &str) -> Result<()> {
        let dir = std::env::temp_dir().join(name);
        fs::create_dir_all(&dir)?;
        for (file, text) in row
            .files
            .iter()
            .chain([&("run".to_owned(), row.run.clone())])
        {
            let path = dir.join(file);
            if let Some(parent) = path.parent() {
                fs::create_dir_all(parent)?;
            }
            fs::write(path, text)?;
        }
        let put = self.done(&["cp", &dir.to_string_lossy(), &format!("{name}:{into}")]);
        fs::remove_dir_all(&dir)?;
        put
    }

    /// Runs the script that was put there, in a process group that is killed at the end of the time.
    pub(super) fn run(&self, name: &str, dir: &str, timeout: Duration) -> Result<Outcome> {
        let mut command = self.command(&["exec", "-w", dir, name, "--", "sh", "-eu", "./run"]);
        command.stdin(Stdio::null()).process_group(0);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let started = Instant::now();
        let mut child = command.spawn()?;
        let output = reader(child.stdout.take());
        let errors = reader(child.stderr.take());
        let group = i32::try_from(child.id())?;
        let mut waited = wait(group, libc::WNOHANG)?;
        while waited.is_none() && started.elapsed() < timeout {
            std::thread::sleep(Duration::from_millis(20));
            waited = wait(group, libc::WNOHANG)?;
        }
        let in_time = waited.is_some();
        let wall = started.elapsed();
        if !in_time {
            // SAFETY: kill(2) has no memory effects; the group's leader is ours and not waited for.
            unsafe { libc::kill(-group, libc::SIGKILL) };
            waited = wait(group, 0)?;
        }
        let (status, usage) = waited.context("it has not ended")?;
        Ok(Outcome {
            status: in_time.then_some(status),
            output: output.join().unwrap_or_default(),
            errors: errors.join().unwrap_or_default(),
            wall,
            cpu: span(usage.ru_utime) + span(usage.ru_stime),
            memory: u64::try_from(usage.ru_maxrss)?,
        })
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command.args(args);
        command
    }

    fn done(&self, args: &[&str]) -> Result<()> {
        let output = self.command(args).output()?;
        ensure!(
            output.status.success(),
            "tuxlet {}: {}",
            args.join(" "),
            String::from_utf8_lossy(&output.stderr).trim()
        );
        Ok(())
    }
}

/// Reads a stream to its end in a thread of its own.
fn reader(stream: Option<impl Read + Send + 'static>) -> std::thread::JoinHandle<Vec<u8>> {
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(mut stream) = stream {
            let _ = stream.by_ref().take(OUTPUT_LIMIT).read_to_end(&mut bytes);
            // Whoever still writes must not block.
            let _ = std::io::copy(&mut stream, &mut std::io::sink());
        }
        bytes
    })
}

fn wait(pid: i32, flags: i32) -> Result<Option<(ExitStatus, libc::rusage)>> {
    let mut status = 0;
    let mut usage = MaybeUninit::<libc::rusage>::zeroed();
    // SAFETY: both pointers are to locals of the right types.
    let waited = unsafe { libc::wait4(pid, &raw mut status, flags, usage.as_mut_ptr()) };
    ensure!(waited >= 0, "wait4: {}", std::io::Error::last_os_error());
    // SAFETY: all of it is zero or filled by wait4, both of which are valid.
    let usage = unsafe { usage.assume_init() };
    Ok((waited == pid).then(|| (ExitStatus::from_raw(status), usage)))
}

fn span(time: libc::timeval) -> Duration {
    let seconds = u64::try_from(time.tv_sec).unwrap_or_default();
    Duration::from_secs(seconds)
        + Duration::from_micros(u64::try_from(time.tv_usec).unwrap_or_default())
}
