//! Runs a static AArch64 program of the host in an otherwise empty machine: `static FILE [ARGS...]`.

use std::error::Error;
use tuxlet::{Command, Machine, Root, Stdio};

fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let file = args.next().ok_or("usage: static FILE [ARGS...]")?;
    let machine = Machine::builder().root(Root::Memory).build()?;
    machine.write_file("/program", 0o755, &std::fs::read(file)?)?;
    let command = Command::new("/program")
        .args(args)
        .stdin(Stdio::inherit(std::io::stdin())?)
        .stdout(Stdio::inherit(std::io::stdout())?)
        .stderr(Stdio::inherit(std::io::stderr())?);
    let status = machine.exec(command)?.wait();
    std::process::exit(status.code().into());
}
