//! `tuxlet start`, `stop` and `logs`: machines that run by themselves.

use std::{
    fs::File,
    io::{self, Read, Write},
    os::{fd::AsFd, unix::process::CommandExt},
    process::{Command, ExitCode},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, bail};
use tuxlet_image::{
    Error,
    store::{self, Store},
};

use crate::{
    args::{BackgroundArgs, LogsArgs, ProcessArgs, StartArgs, StopArgs},
    cmd::run,
    control::{self, Reply, Request},
    process::Spec,
    settings::Settings,
};

/// What asks a command to end where neither its image nor its owner says another.
const STOP_SIGNAL: &str = "SIGTERM";
/// Where the output of a machine without a terminal goes, in its directory.
const LOG: &str = "log";
/// What the process of [`detach`] says when its command runs.
const STARTED: u8 = b'\n';
const PAUSE: Duration = Duration::from_millis(20);

pub(crate) fn start(args: &StartArgs) -> anyhow::Result<ExitCode> {
    let store = Store::open_default()?;
    if args.attach || args.interactive {
        let [name] = &args.machines[..] else {
            bail!("only one machine can be attached to");
        };
        return run_command(&store, name, args.interactive, || {});
    }
    for name in &args.machines {
        detach(&store.machine(name)?, false)?;
        println!("{name}");
    }
    Ok(ExitCode::SUCCESS)
}

/// Runs the command of a machine in this process.
fn run_command(
    store: &Store,
    name: &str,
    interactive: bool,
    started: impl FnOnce(),
) -> anyhow::Result<ExitCode> {
    let record = store.machine(name)?;
    let settings = Settings::of(&record.record.config)?;
    let args = ProcessArgs {
        interactive,
        tty: settings.tty && interactive,
        env: Vec::new(),
        workdir: None,
        user: None,
    };
    let spec = Spec::new(&args, &settings, settings.command.clone())?;
    let mut claim = record.lock()?;
    let builder = settings.builder(name);
    run::run_in(store, &record, &mut claim, builder, &args, spec, started)
}

/// What the process of [`detach`] does. That waits for [`STARTED`] on what is standard input here.
pub(crate) fn background(args: &BackgroundArgs) -> anyhow::Result<ExitCode> {
    let store = Store::open_default()?;
    let mut told = File::from(io::stdin().as_fd().try_clone_to_owned()?);
    let started = move || {
        // Whoever started this machine may not want to know any more.
        let _ = told.write_all(&[STARTED]);
    };
    let status = run_command(&store, &args.machine, false, started);
    if args.rm {
        store.remove_machine(&args.machine)?;
    }
    status
}

/// Runs the command of a machine in a process of its own, which outlives this one. Returns when it runs.
pub(crate) fn detach(machine: &store::Machine, remove: bool) -> anyhow::Result<()> {
    if machine.is_running()? {
        return Err(Error::MachineBusy(machine.record.name.clone()).into());
    }
    let path = machine.dir().join(LOG);
    let log = File::options()
        .create(true)
        .append(true)
        .open(&path)
        .with_context(|| format!("cannot make {}", path.display()))?;
    let mut command = Command::new(std::env::current_exe()?);
    command.arg("background").arg(&machine.record.name);
    if remove {
        command.arg("--rm");
    }
    let (mut told, tell) = io::pipe()?;
    // A group of its own: what is typed on this terminal is not for it.
    let mut child = command
        .stdin(tell)
        .stdout(log.try_clone()?)
        .stderr(log)
        .process_group(0)
        .spawn()?;
    // Until that goes, its end of the pipe stands open here.
    drop(command);
    if told.read(&mut [0])? == 0 {
        child.wait()?;
        bail!(
            "the machine did not start; `tuxlet logs {}` says why",
            machine.record.name
        );
    }
    Ok(())
}

pub(crate) fn stop(args: &StopArgs) -> anyhow::Result<()> {
    let store = Store::open_default()?;
    for name in &args.machines {
        let machine = store.machine(name)?;
        let signal = args.signal.as_deref();
        halt(&machine, signal, Duration::from_secs(args.time))?;
        println!("{name}");
    }
    Ok(())
}

/// Ends what runs in a machine: asks its command by a signal, and after a time kills all. Returns when the machine is at rest.
pub(crate) fn halt(
    machine: &store::Machine,
    signal: Option<&str>,
    patience: Duration,
) -> anyhow::Result<()> {
    let settings = Settings::of(&machine.record.config)?;
    let signal = signal
        .or(settings.stop_signal.as_deref())
        .unwrap_or(STOP_SIGNAL);
    let number =
        tuxlet::signal_number(signal).with_context(|| format!("{signal:?} is no signal"))?;
    let since = Instant::now();
    let (mut asked, mut killed) = (false, false);
    while machine.is_running()? {
        if !killed && since.elapsed() >= patience {
            killed = ask(machine, &Request::KillAll)?;
        } else if !asked && !killed {
            asked = ask(machine, &Request::Signal { number })?;
        }
        thread::sleep(PAUSE);
    }
    Ok(())
}

/// Asks the process that runs a machine for something; whether it has done that.
fn ask(machine: &store::Machine, request: &Request) -> anyhow::Result<bool> {
    let answer = control::connect(machine).and_then(|connection| {
        connection.send(request, &[])?;
        connection.receive()
    });
    match answer {
        Ok(Reply::Done) => Ok(true),
        Ok(Reply::Starting) => Ok(false),
        Ok(other) => bail!("the machine answers {other:?}"),
        // It may have ended meanwhile.
        Err(_) if !machine.is_running()? => Ok(true),
        Err(error) => Err(error),
    }
}

pub(crate) fn logs(args: &LogsArgs) -> anyhow::Result<()> {
    let store = Store::open_default()?;
    let machine = store.machine(&args.machine)?;
    let mut file = match File::open(machine.dir().join(LOG)) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error.into()),
    };
    let mut stdout = io::stdout().lock();
    let mut buffer = vec![0; 1 << 16];
    loop {
        // Asked before what may be the last of the output is read.
        let running = args.follow && machine.is_running()?;
        loop {
            let n = file.read(&mut buffer)?;
            if n == 0 {
                break;
            }
            stdout.write_all(&buffer[..n])?;
        }
        stdout.flush()?;
        if !running {
            return Ok(());
        }
        thread::sleep(PAUSE * 5);
    }
}
