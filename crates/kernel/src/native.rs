//! Programs that run natively in place of guest programs: what execve(2) finds at a registered path is a function of the embedder's.
//!
//! The process is a guest process in every other respect: it has an id, an image (that maps no code), descriptors, dispositions, a
//! parent that waits for it. The function runs on the thread that would run guest code, and it sees signals where a guest program
//! would: at each call of [`NativeCall`].

use crate::{
    exec::ExecRequest,
    task::{CurrentTask, ExitKind, WaitStatus, work},
};
use rustc_hash::FxHashMap;
use std::{fmt, sync::Arc, time::Instant};
use tuxlet_uapi::{
    errno::{Errno, Result},
    signal::Signal,
};
use tuxlet_vfs::{
    At, Cx, Events, File, LookupFlags, PollTable,
    open::{How, Opened, open},
};

/// A function that runs as a process. Its result is the exit code.
pub type NativeProgram = Arc<dyn Fn(&mut NativeCall<'_>) -> u8 + Send + Sync>;

/// Registered programs: by the absolute path that execve(2) ends at, or by the last component of the path that it is given.
#[derive(Default)]
pub struct NativePrograms(FxHashMap<Vec<u8>, NativeProgram>);

impl fmt::Debug for NativePrograms {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = self.0.keys().map(|name| String::from_utf8_lossy(name));
        f.debug_set().entries(names).finish()
    }
}

impl NativePrograms {
    /// Registers a program, in place of the one of that name before. A name with a slash is an absolute path.
    pub fn add(&mut self, name: &[u8], program: NativeProgram) {
        self.0.insert(name.to_vec(), program);
    }

    fn find(&self, request: &ExecRequest) -> Option<NativeProgram> {
        let name = request.filename.rsplit(|b| *b == b'/').next()?;
        let found = self.0.get(&request.path.absolute());
        found.or_else(|| self.0.get(name)).cloned()
    }
}

/// What the process is to do when it runs next.
pub(crate) struct NativeStart {
    program: NativeProgram,
    args: Vec<Vec<u8>>,
    env: Vec<Vec<u8>>,
}

/// A native program's hold on the process that it runs as.
pub struct NativeCall<'a> {
    task: &'a mut CurrentTask,
    args: Vec<Vec<u8>>,
    env: Vec<Vec<u8>>,
    ended: Option<ExitKind>,
}

impl fmt::Debug for NativeCall<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NativeCall")
            .field("task", &self.task)
            .finish_non_exhaustive()
    }
}

impl CurrentTask {
    /// The native program in place of one that is to be executed.
    pub(crate) fn native_program(&self, request: &ExecRequest) -> Option<NativeProgram> {
        self.kernel.hooks.native.get()?.find(request)
    }

    /// After execve(2) has replaced the old program.
    pub(crate) fn start_native(&mut self, program: NativeProgram, request: ExecRequest) {
        self.native = Some(NativeStart {
            program,
            args: request.args,
            env: request.env,
        });
    }

    /// Runs the native program to its end.
    pub(crate) fn run_native(&mut self, start: NativeStart) -> ExitKind {
        let mut call = NativeCall {
            task: self,
            args: start.args,
            env: start.env,
            ended: None,
        };
        let code = (start.program)(&mut call);
        // A signal that came last still counts.
        let _ = call.check();
        call.ended
            .unwrap_or(ExitKind::Group(WaitStatus::Exited(code)))
    }
}

impl NativeCall<'_> {
    /// Arguments, the program's name first.
    #[must_use]
    pub fn args(&self) -> &[Vec<u8>] {
        &self.args
    }

    /// The environment, `NAME=value`.
    #[must_use]
    pub fn env(&self) -> &[Vec<u8>] {
        &self.env
    }

    /// Process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.task.task.tgid()
    }

    /// The context for operations on guest files: the process's rights.
    #[must_use]
    pub fn cx(&self) -> Cx {
        self.task.cx()
    }

    /// Where relative and absolute paths of the process begin.
    #[must_use]
    pub fn at(&self) -> At {
        self.task.fs.at_cwd()
    }

    /// Deals with pending signals; a stop ends in here. `EINTR` once the process is to end: the program returns then, and its exit code
    /// does not matter any more.
    pub fn check(&mut self) -> Result<()> {
        if self.ended.is_none() && self.task.task.pending_work() != 0 {
            self.ended = self.task.do_work(None);
        }
        if self.ended.is_some() {
            Err(Errno::EINTR)
        } else {
            Ok(())
        }
    }

    /// Whether the process is about to stop: what runs for it elsewhere should hold still during the next [`NativeCall::check`].
    #[must_use]
    pub fn stops(&self) -> bool {
        let signals = self.task.task.pending_work() & (work::SIGNAL | work::STOP | work::FREEZE);
        self.ended.is_none() && signals != 0
    }

    /// The open file of a descriptor: `EBADF`.
    pub fn file(&self, fd: i32) -> Result<Arc<File>> {
        self.task.fds.get(fd)
    }

    /// Deals with signals, then sleeps until `ready` gives a value, as system calls do: see `CurrentTask::wait_until`. `None` after the
    /// deadline, and when there is another signal; `EINTR` as from [`NativeCall::check`].
    pub fn wait<T>(
        &mut self,
        deadline: Option<Instant>,
        mut ready: impl FnMut(&Cx, Option<&mut PollTable>) -> Option<T>,
    ) -> Result<Option<T>> {
        self.check()?;
        let cx = self.cx();
        match self.task.wait_until(deadline, |_, table| ready(&cx, table)) {
            Ok(value) => Ok(Some(value)),
            Err(_) => Ok(None),
        }
    }

    fn transfer(
        &mut self,
        file: &Arc<File>,
        want: Events,
        mut op: impl FnMut(&Cx) -> Result<usize>,
    ) -> Result<usize> {
        loop {
            self.check()?;
            let nonblock = file.nonblocking();
            let done = self
                .task
                .block_on_file(file, want, nonblock, None, |task| op(&task.cx()));
            match done {
                Err(errno) if errno.is_restart() || errno == Errno::EINTR => {}
                other => return other,
            }
        }
    }

    /// Reads from a descriptor, waiting for something to read; 0 at the end.
    pub fn read(&mut self, fd: i32, buf: &mut [u8]) -> Result<usize> {
        let file = self.file(fd)?;
        self.transfer(&file, Events::READABLE, |cx| {
            let mut room: &mut [u8] = buf;
            file.read(cx, &mut room)
        })
    }

    /// Writes all of it to a descriptor. `EPIPE`, with `SIGPIPE` to the process, if nobody reads.
    pub fn write(&mut self, fd: i32, data: &[u8]) -> Result<()> {
        let file = self.file(fd)?;
        let mut rest = data;
        while !rest.is_empty() {
            let written = self.transfer(&file, Events::WRITABLE, |cx| {
                let mut piece = rest;
                file.write(cx, &mut piece)
            });
            match written {
                Ok(n) => rest = &rest[n..],
                Err(Errno::EPIPE) => {
                    self.task.send_self(Signal::SIGPIPE);
                    self.check()?;
                    return Err(Errno::EPIPE);
                }
                Err(errno) => return Err(errno),
            }
        }
        Ok(())
    }

    /// Opens a guest file with the rights of the process: open(2). `ENXIO` for what is no file of a file system.
    pub fn open(
        &self,
        path: &[u8],
        flags: tuxlet_uapi::fcntl::OpenFlags,
        mode: u32,
    ) -> Result<Arc<File>> {
        let how = How {
            flags,
            mode,
            resolve: LookupFlags::empty(),
        };
        match open(&self.cx(), &self.at(), path, &how)? {
            Opened::File(file) => Ok(file),
            Opened::Special(_) => Err(Errno::ENXIO),
        }
    }
}
