//! Commands that run natively instead of being emulated: functions of the embedder, and programs of the host.

#[cfg(not(target_os = "ios"))]
mod host;

#[cfg(not(target_os = "ios"))]
pub use host::{HostProgram, Staged};

use std::sync::Arc;
use tuxlet_kernel::native::{NativeCall as Call, NativeProgram};
use tuxlet_uapi::{Errno, fcntl::OpenFlags};

type Result<T> = std::result::Result<T, Errno>;

/// Bytes moved in one step.
const CHUNK: usize = 64 << 10;

/// A native command's hold on the guest process that it runs as. `EINTR` from any of its functions means that the process is to end: the
/// command returns then, and its exit code does not matter any more.
#[derive(Debug)]
pub struct NativeCall<'a, 'b>(&'a mut Call<'b>);

impl NativeCall<'_, '_> {
    /// Arguments, the command's name first. Bytes that are not UTF-8 are replaced.
    #[must_use]
    pub fn args(&self) -> Vec<String> {
        self.0.args().iter().map(|a| crate::text(a)).collect()
    }

    /// A variable of the environment.
    #[must_use]
    pub fn env(&self, name: &str) -> Option<String> {
        let mut all = self.0.env().iter().map(|v| crate::text(v));
        all.find_map(|v| Some(v.strip_prefix(name)?.strip_prefix('=')?.to_owned()))
    }

    /// The working directory, as getcwd(2) tells it: `ENOENT` in a directory that has been removed. Bytes that are not UTF-8 are replaced.
    pub fn cwd(&self) -> Result<String> {
        let at = self.0.at();
        Ok(crate::text(&at.dir.getcwd(&at.root)?))
    }

    /// Process id inside the machine.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.0.pid()
    }

    /// For commands that work long without reading or writing: rests while the process is stopped, and tells when it is to end.
    pub fn check(&mut self) -> Result<()> {
        self.0.check()
    }

    /// Reads from a descriptor, 0 being the standard input; 0 bytes at the end.
    pub fn read(&mut self, fd: i32, buf: &mut [u8]) -> Result<usize> {
        self.0.read(fd, buf)
    }

    /// Writes all of it to a descriptor, 1 being the standard output and 2 that for errors.
    pub fn write(&mut self, fd: i32, data: &[u8]) -> Result<()> {
        self.0.write(fd, data)
    }

    /// Reads a whole guest file, with the rights and from the working directory of the process.
    pub fn read_file(&mut self, path: &str) -> Result<Vec<u8>> {
        let file = self.0.open(path.as_bytes(), OpenFlags::empty(), 0)?;
        let (cx, mut data) = (self.0.cx(), Vec::new());
        loop {
            self.0.check()?;
            let start = data.len();
            data.resize(start + CHUNK, 0);
            let mut room = &mut data[start..];
            let n = file.read(&cx, &mut room)?;
            data.truncate(start + n);
            if n == 0 {
                return Ok(data);
            }
        }
    }

    /// Replaces a guest file, with the rights and from the working directory of the process. The mode is that of a new file, before the
    /// umask.
    pub fn write_file(&mut self, path: &str, mode: u32, data: &[u8]) -> Result<()> {
        let flags = OpenFlags::WRONLY | OpenFlags::CREAT | OpenFlags::TRUNC;
        let file = self.0.open(path.as_bytes(), flags, mode)?;
        let (cx, mut rest) = (self.0.cx(), data);
        while !rest.is_empty() {
            self.0.check()?;
            let mut piece = &rest[..rest.len().min(CHUNK)];
            let n = file.write(&cx, &mut piece)?;
            rest = &rest[n..];
        }
        Ok(())
    }
}

/// A function as a program.
pub(crate) fn program(
    function: impl Fn(&mut NativeCall<'_, '_>) -> u8 + Send + Sync + 'static,
) -> NativeProgram {
    Arc::new(move |call| function(&mut NativeCall(call)))
}
