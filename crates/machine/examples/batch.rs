//! Runs static AArch64 programs of the host one after the other, each in a machine of its own.
//!
//! Reads a path per line and answers with the program's exit code (128 + number for a signal), or
//! `error: ...` when it cannot be started. A program that takes longer than the seconds in
//! `argv[1]` is killed and answered with `timeout`.

use std::{
    error::Error,
    io::{BufRead, Write},
    sync::mpsc,
    time::Duration,
};
use tuxlet::{Command, Machine, Root};

fn main() -> Result<(), Box<dyn Error>> {
    let seconds = std::env::args().nth(1).map_or(Ok(60), |s| s.parse())?;
    let mut out = std::io::stdout().lock();
    for path in std::io::stdin().lock().lines() {
        match run(&path?, Duration::from_secs(seconds)) {
            Ok(Some(code)) => writeln!(out, "{code}")?,
            Ok(None) => writeln!(out, "timeout")?,
            Err(error) => writeln!(out, "error: {error}")?,
        }
        out.flush()?;
    }
    Ok(())
}

/// The exit code of the program, or `None` if it had to be killed.
fn run(path: &str, limit: Duration) -> Result<Option<u8>, Box<dyn Error>> {
    let machine = Machine::builder()
        .root(Root::Memory)
        .short_lived()
        .build()?;
    machine.write_file("/program", 0o755, &std::fs::read(path)?)?;
    machine.write_file("/tmp/.keep", 0o644, b"")?;
    let process = machine.exec(Command::new("/program").cwd("/tmp"))?;
    let (ended, end) = mpsc::channel::<()>();
    std::thread::scope(|scope| {
        let process = &process;
        let watch = scope.spawn(move || {
            let late = end.recv_timeout(limit) == Err(mpsc::RecvTimeoutError::Timeout);
            late && process.kill(9).is_ok()
        });
        let status = process.wait();
        drop(ended);
        let killed = watch.join().map_err(|_| "the watching thread panicked")?;
        Ok((!killed).then(|| status.code()))
    })
}
