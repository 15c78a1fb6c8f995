//! Commands.

use crate::error::{Code, Failure, Result, borrow_mut, give, text};
use std::ffi::{c_char, c_int};
use tuxlet::{Stdio, WindowSize};

/// `tux_command`.
#[derive(Debug)]
pub struct Command(pub(crate) Option<tuxlet::Command>);

impl Command {
    fn change(&mut self, change: impl FnOnce(tuxlet::Command) -> tuxlet::Command) -> Result<()> {
        let command = self.0.take();
        let command =
            command.ok_or_else(|| Failure::new(Code::Invalid, "the command is used up"))?;
        self.0 = Some(change(command));
        Ok(())
    }
}

/// A new command; NULL if the program's name is NULL or not UTF-8.
///
/// # Safety
/// As the header says of texts.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tux_command_new(program: *const c_char) -> *mut Command {
    // SAFETY: the caller's promise.
    match unsafe { text(program) } {
        Ok(program) => give(Command(Some(tuxlet::Command::new(program)))),
        Err(_) => std::ptr::null_mut(),
    }
}

frees! {
    /// Frees a command.
    fn tux_command_free(command: *mut Command);
}

functions! {
    /// Adds an argument.
    fn tux_command_arg(command: *mut Command, arg: *const c_char) {
        let arg = text(arg)?;
        borrow_mut(command)?.change(|c| c.arg(arg))
    }

    /// Sets a variable of the environment.
    fn tux_command_env(command: *mut Command, name: *const c_char, value: *const c_char) {
        let (name, value) = variable(name, value)?;
        borrow_mut(command)?.change(|c| c.env(name, value))
    }
}

/// A variable of the environment from C.
///
/// # Safety
/// As for [`text`].
pub(crate) unsafe fn variable<'a>(
    name: *const c_char,
    value: *const c_char,
) -> Result<(&'a str, &'a str)> {
    // SAFETY: the caller's promise.
    let (name, value) = unsafe { (text(name)?, text(value)?) };
    if name.is_empty() || name.contains('=') {
        return Err(Failure::new(
            Code::Invalid,
            "a variable cannot have that name",
        ));
    }
    Ok((name, value))
}

functions! {
    /// Sets the embedder's number of the command.
    fn tux_command_context(command: *mut Command, context: u64) {
        borrow_mut(command)?.change(|c| c.context(context))
    }

    /// Sets the working directory.
    fn tux_command_cwd(command: *mut Command, dir: *const c_char) {
        let dir = text(dir)?;
        borrow_mut(command)?.change(|c| c.cwd(dir))
    }

    /// Sets the user.
    fn tux_command_user(command: *mut Command, user: *const c_char) {
        let user = text(user)?;
        borrow_mut(command)?.change(|c| c.user(user))
    }

    /// Says where a stream leads.
    fn tux_command_stdio(command: *mut Command, stream: c_int, stdio: c_int) {
        let to = match (stdio, stream) {
            (0, _) => Stdio::Null,
            (1, _) => Stdio::Pipe,
            (2, 2) => Stdio::Stdout,
            _ => {
                return Err(Failure::new(
                    Code::Invalid,
                    "no such tux_stdio for the stream",
                ));
            }
        };
        let command = borrow_mut(command)?;
        match stream {
            0 => command.change(|c| c.stdin(to)),
            1 => command.change(|c| c.stdout(to)),
            2 => command.change(|c| c.stderr(to)),
            _ => Err(Failure::new(Code::Invalid, "no such tux_stream")),
        }
    }

    /// Gives the program a terminal.
    fn tux_command_terminal(command: *mut Command, rows: u16, cols: u16) {
        let size = window(rows, cols);
        borrow_mut(command)?.change(|c| c.terminal(size))
    }
}

pub(crate) fn window(rows: u16, cols: u16) -> WindowSize {
    WindowSize {
        rows,
        cols,
        width_px: 0,
        height_px: 0,
    }
}
