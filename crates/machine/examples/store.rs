//! Runs a program on a fakefs store as root file system: `store [--strace] DIR PROGRAM [ARGS...]`.

use std::{error::Error, sync::Arc};
use tuxlet::{Command, EventSink, Machine, Root, Stdio};

#[derive(Debug)]
struct Trace;

impl EventSink for Trace {
    fn strace(&self, line: &str) {
        use std::io::Write;
        // A closed standard error is no reason to stop.
        let _ = writeln!(std::io::stderr(), "{line}");
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut args: Vec<String> = std::env::args().skip(1).collect();
    let traced = args.first().is_some_and(|a| a == "--strace");
    if traced {
        args.remove(0);
    }
    let [store, program, rest @ ..] = &args[..] else {
        return Err("usage: store [--strace] DIR PROGRAM [ARGS...]".into());
    };
    let mut builder = Machine::builder()
        .root(Root::Store(store.into()))
        .events(Arc::new(Trace));
    if traced {
        builder = builder.strace(Vec::new());
    }
    let machine = builder.build()?;
    let command = Command::new(program)
        .args(rest.iter().cloned())
        .env("TERM", "xterm-256color")
        .stdin(Stdio::inherit(std::io::stdin())?)
        .stdout(Stdio::inherit(std::io::stdout())?)
        .stderr(Stdio::inherit(std::io::stderr())?);
    let status = machine.exec(command)?.wait();
    drop(machine);
    std::process::exit(status.code().into());
}
