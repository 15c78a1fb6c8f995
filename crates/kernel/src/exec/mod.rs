//! execve(2): from a path to a new program in place of the old one.
//!
//! The new memory is built beside the old one; until `CurrentTask::commit_exec` every failure is just an errno.

mod aux;
mod commit;
mod elf;
mod image;
mod script;
mod stack;

use crate::task::CurrentTask;
use image::Image;
use tuxlet_uapi::errno::{Errno, Result};
use tuxlet_vfs::{Path, resolver::LookupFlags};

/// Longest chain of `#!` interpreters, as in Linux.
const MAX_INTERPRETERS: usize = 5;
/// Longest single argument or environment string: `MAX_ARG_STRLEN`.
pub const MAX_ARG_LEN: usize = 32 * 4096;

/// A program to execute with its strings.
#[derive(Debug)]
pub struct ExecRequest {
    /// The file.
    pub path: Path,
    /// The name it was called by, for `AT_EXECFN` and scripts.
    pub filename: Vec<u8>,
    /// Arguments.
    pub args: Vec<Vec<u8>>,
    /// Environment.
    pub env: Vec<Vec<u8>>,
}

impl CurrentTask {
    /// Executes the program at a path relative to the working directory.
    pub fn exec_path(
        &mut self,
        program: &[u8],
        args: Vec<Vec<u8>>,
        env: Vec<Vec<u8>>,
    ) -> Result<()> {
        let path = tuxlet_vfs::resolver::lookup(
            &self.cx(),
            &self.fs.at_cwd(),
            program,
            LookupFlags::FOLLOW,
        )?;
        self.exec(ExecRequest {
            path,
            filename: program.to_vec(),
            args,
            env,
        })
    }

    /// Executes a program: replaces memory, closes descriptors, resets handlers, sets the registers.
    pub fn exec(&mut self, mut request: ExecRequest) -> Result<()> {
        let called_as = request.filename.clone();
        for _ in 0..=MAX_INTERPRETERS {
            let image = Image::open(&self.cx(), &request.path)?;
            if let Some(program) = self.native_program(&request) {
                let loaded = elf::load_native(self, &image, &request)?;
                self.commit_exec(loaded, &called_as, &image)?;
                self.start_native(program, request);
                return Ok(());
            }
            let head = image.head()?;
            if head.starts_with(b"#!") {
                script::rewrite(self, &mut request, head)?;
                continue;
            }
            let program = elf::Program::parse(&image)?;
            let interpreter = match program.interpreter(&image)? {
                Some(name) => Some(self.open_interpreter(&name)?),
                None => None,
            };
            let loaded = elf::load(self, &image, &program, interpreter.as_ref(), &request)?;
            return self.commit_exec(loaded, &called_as, &image);
        }
        Err(Errno::ELOOP)
    }

    fn open_interpreter(&self, name: &[u8]) -> Result<(Image, elf::Program)> {
        let cx = self.cx();
        let path = tuxlet_vfs::resolver::lookup(&cx, &self.fs.at_cwd(), name, LookupFlags::FOLLOW)?;
        let image = Image::open(&cx, &path)?;
        let program = elf::Program::parse(&image).map_err(|e| {
            if e == Errno::ENOEXEC {
                Errno::ELIBBAD
            } else {
                e
            }
        })?;
        Ok((image, program))
    }
}
