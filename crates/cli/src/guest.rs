//! Where the command line meets the machine.

use std::{
    io::{self, Read, Write},
    path::Path,
    thread,
};

use tuxlet::{Command, EventSink, Machine, Root, Stdio};
use tuxlet_image::{
    Error, Result,
    debian::{Configure, GuestCommand},
};

use crate::args::EnvVar;

/// Runs the set-up of packages while an image is made.
#[derive(Debug)]
pub(crate) struct Guest;

/// Ends what a command has written: comes after it in the same pipe, whoever else still holds that open.
const END_MARK: &[u8] = b"\0\x01end of output\x01\0";

impl Configure for Guest {
    fn run(
        &mut self,
        fs_dir: &Path,
        commands: &[GuestCommand],
        output: &mut dyn FnMut(&[u8]),
    ) -> Result<()> {
        let title = |c: Option<&GuestCommand>| c.map_or_else(String::new, |c| c.title.clone());
        let failed = |step: String, reason: String| Error::Configure { step, reason };
        let machine = Machine::builder()
            .root(Root::Store(fs_dir.to_owned()))
            .build()
            .map_err(|e| failed(title(commands.first()), e.to_string()))?;
        for command in commands {
            let status = run_one(&machine, command, output)
                .map_err(|e| failed(command.title.clone(), format!("{e:#}")))?;
            if status.code() != 0 {
                let reason = match status.signal() {
                    Some(signal) => {
                        format!("{} was killed by signal {signal}", command.argv.join(" "))
                    }
                    None => format!(
                        "{} ended with exit status {}",
                        command.argv.join(" "),
                        status.code()
                    ),
                };
                return Err(failed(command.title.clone(), reason));
            }
        }
        machine
            .sync()
            .map_err(|e| failed("closing the file system".to_owned(), e.to_string()))
    }
}

fn run_one(
    machine: &Machine,
    command: &GuestCommand,
    output: &mut dyn FnMut(&[u8]),
) -> anyhow::Result<tuxlet::ExitStatus> {
    let (mut reader, writer) = io::pipe()?;
    let mut end = writer.try_clone()?;
    let (program, args) = command
        .argv
        .split_first()
        .ok_or_else(|| anyhow::anyhow!("nothing to run"))?;
    let mut run = Command::new(program).args(args).cwd("/");
    for (name, value) in &command.env {
        run = run.env(name, value);
    }
    let process = machine.exec(
        run.stdout(Stdio::inherit(&writer)?)
            .stderr(Stdio::Host(writer.into())),
    )?;
    let waiter = thread::spawn(move || {
        let status = process.wait();
        // Where nobody reads any more, nobody misses it.
        let _ = end.write_all(END_MARK);
        status
    });
    let mut pending = Vec::new();
    let mut buffer = vec![0; 1 << 16];
    loop {
        let n = reader.read(&mut buffer)?;
        pending.extend_from_slice(&buffer[..n]);
        let at = pending.windows(END_MARK.len()).position(|w| w == END_MARK);
        // The mark may come in pieces.
        let ready = at.unwrap_or_else(|| pending.len().saturating_sub(END_MARK.len() - 1));
        output(&pending[..ready]);
        pending.drain(..ready);
        if at.is_some() || n == 0 {
            break;
        }
    }
    waiter
        .join()
        .map_err(|_| anyhow::anyhow!("the waiting thread panicked"))
}

/// Writes the system call trace to standard error.
#[derive(Debug)]
pub(crate) struct Trace;

impl EventSink for Trace {
    fn strace(&self, line: &str) {
        // A line at a time, whatever other threads write.
        let _ = writeln!(io::stderr().lock(), "{line}");
    }
}

/// The variables that the command line sets; those named without a value have the host's.
pub(crate) fn variables(given: &[EnvVar]) -> Vec<(String, String)> {
    let mut set = Vec::new();
    for variable in given {
        let name = &variable.name;
        match variable.value.clone().or_else(|| std::env::var(name).ok()) {
            Some(value) => set.push((name.clone(), value)),
            None => tracing::debug!("{name} is not set here and so not there"),
        }
    }
    set
}

/// The file of a program that was found in a path or is one: for messages only.
fn program_file(machine: &Machine, program: &str) -> Option<Vec<u8>> {
    if program.contains('/') {
        return machine.read_file(program).ok();
    }
    [
        "/usr/local/sbin",
        "/usr/local/bin",
        "/usr/sbin",
        "/usr/bin",
        "/sbin",
        "/bin",
    ]
    .iter()
    .find_map(|dir| machine.read_file(&format!("{dir}/{program}")).ok())
}

/// Why a program cannot be started, in words, and the exit status for it.
pub(crate) fn explain(machine: &Machine, error: &tuxlet::Error) -> (u8, String) {
    let (program, errno) = match error {
        tuxlet::Error::Exec { program, errno } => (program, errno),
        tuxlet::Error::WorkingDirectory { .. } => return (126, error.to_string()),
        _ => return (crate::FAILED, error.to_string()),
    };
    let header = program_file(machine, program);
    match errno.name() {
        Some("ENOENT") if let Some(file) = &header => {
            let name = interpreter(file)
                .map_or_else(String::new, |n| format!(" {}", String::from_utf8_lossy(n)));
            (
                127,
                format!("{program}: its interpreter{name} is not in the machine"),
            )
        }
        Some("ENOENT" | "ENOTDIR") => (127, format!("{program}: not found in the machine")),
        Some("ENOEXEC") => match header.as_deref().and_then(foreign_machine) {
            Some(name) => (
                126,
                format!(
                    "{program} is a program for {name}; tuxlet runs programs for AArch64 (64-bit)"
                ),
            ),
            None => (
                126,
                format!("{program} is no program: neither ELF nor a script with #!"),
            ),
        },
        _ => (126, error.to_string()),
    }
}

/// What a file names as its interpreter: in its `#!` line or as dynamic loader, execve(2).
fn interpreter(file: &[u8]) -> Option<&[u8]> {
    if let Some(line) = file.strip_prefix(b"#!") {
        let mut words = line
            .split(|&b| b == b'\n')
            .next()?
            .split(|b| b" \t".contains(b));
        return words.find(|w| !w.is_empty());
    }
    // e_phoff, e_phentsize, e_phnum; p_type, p_offset, p_filesz: elf(5).
    const PT_INTERP: u64 = 3;
    let number = |at: usize, len: usize| {
        let bytes = file.get(at..at.checked_add(len)?)?;
        Some(bytes.iter().rev().fold(0, |n, &b| n << 8 | u64::from(b)))
    };
    let (table, size, count) = (number(32, 8)?, number(54, 2)?, number(56, 2)?);
    let name = (0..count).find_map(|i| {
        let header = usize::try_from(table.checked_add(i * size)?).ok()?;
        (number(header, 4)? == PT_INTERP)
            .then(|| Some((number(header + 8, 8)?, number(header + 32, 8)?)))?
    })?;
    let start = usize::try_from(name.0).ok()?;
    let end = start.checked_add(usize::try_from(name.1).ok()?)?;
    file.get(start..end)?.split(|&b| b == 0).next()
}

/// The processor an ELF file is for, if that is not 64-bit little-endian Arm.
fn foreign_machine(file: &[u8]) -> Option<&'static str> {
    if file.len() < 20 || !file.starts_with(b"\x7fELF") {
        return None;
    }
    // e_ident[EI_CLASS], e_ident[EI_DATA], e_machine: elf(5).
    let machine = u16::from_le_bytes([file[18], file[19]]);
    match (file[4], file[5], machine) {
        (_, 2, _) => Some("a big-endian processor"),
        (_, _, 3) => Some("32-bit x86"),
        (2, _, 62) => Some("x86-64"),
        (_, _, 40) => Some("32-bit Arm"),
        (_, _, 243) => Some("RISC-V"),
        (2, _, 183) => None,
        _ => Some("another processor"),
    }
}
