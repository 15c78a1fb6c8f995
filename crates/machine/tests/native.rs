//! Commands that run natively, seen from the guest programs that start them.

use std::{
    io::{Read, Write},
    path::PathBuf,
    time::{Duration, Instant},
};
use tuxlet::{
    Builder, Command, HostProgram, Limits, Machine, NativeCall, Process, Root, Staged, Stdio,
};

fn build(builder: Builder) -> Machine {
    let machine = builder.root(Root::Memory).build().unwrap();
    let programs = tuxlet_test_support::programs(env!("CARGO_TARGET_TMPDIR"));
    let shell = std::fs::read(programs.join("sh")).unwrap();
    machine.write_file("/bin/sh", 0o755, &shell).unwrap();
    machine
}

fn sh(line: &str) -> Command {
    Command::new("/bin/sh").arg("-c").arg(line)
}

fn line(machine: &Machine, text: &str) -> String {
    let limits = Limits {
        merged: true,
        ..Limits::default()
    };
    let output = machine.output(sh(text), b"", &limits).unwrap();
    String::from_utf8(output.stdout).unwrap()
}

/// `upper [FILE]`: what it reads in capitals; its exit code is the number of arguments.
fn upper(call: &mut NativeCall<'_, '_>) -> u8 {
    let args = call.args();
    let mut data = Vec::new();
    match args.get(1) {
        Some(path) => match call.read_file(path) {
            Ok(read) => data = read,
            Err(errno) => {
                let text = format!("upper: {errno}\n");
                let _ = call.write(2, text.as_bytes());
                return 1;
            }
        },
        None => {
            let mut chunk = [0; 100];
            while let Ok(n @ 1..) = call.read(0, &mut chunk) {
                data.extend_from_slice(&chunk[..n]);
            }
        }
    }
    data.make_ascii_uppercase();
    let _ = call.write(1, &data);
    args.len() as u8
}

#[test]
fn functions_run_as_processes() {
    let machine = build(Machine::builder().native("/usr/bin/upper", upper).native(
        "anywhere",
        |call| {
            let dir = call.cwd().unwrap();
            let text = format!("{} {:?} {dir}\n", call.args()[0], call.env("NAME"));
            let _ = call.write(1, text.as_bytes());
            let made = call.write_file("made", 0o600, b"by a native command");
            u8::from(made.is_err())
        },
    ));
    machine.write_file("/srv/a", 0o644, b"text\n").unwrap();
    machine.write_file("/opt/anywhere", 0o755, b"").unwrap();
    let shown = line(
        &machine,
        "spawn /usr/bin/upper /srv/a;spawn /usr/bin/upper /none;pipe /bin/sh -c pwd | /usr/bin/upper",
    );
    assert_eq!(
        shown,
        "TEXT\nstatus 2\nupper: No such file or directory\nstatus 1\n/\nstatus 1\n"
    );
    let run = Command::new("/opt/anywhere")
        .env("NAME", "value")
        .cwd("/srv");
    let output = machine.output(run, b"", &Limits::default()).unwrap();
    assert_eq!(output.stdout, b"/opt/anywhere Some(\"value\") /srv\n");
    assert_eq!(output.status.code(), 0);
    assert_eq!(
        machine.read_file("/srv/made").unwrap(),
        b"by a native command"
    );
    assert_eq!(machine.metadata("/srv/made").unwrap().mode, 0o600);
    // Not executable, not run.
    machine.write_file("/tmp/anywhere", 0o644, b"").unwrap();
    assert!(machine.exec(Command::new("/tmp/anywhere")).is_err());
}

fn running(machine: &Machine, command: Command) -> Process {
    machine
        .exec(command.stdin(Stdio::Pipe).stdout(Stdio::Pipe))
        .unwrap()
}

#[test]
fn signals_reach_functions() {
    let machine = build(
        Machine::builder()
            .native("/bin/busy", |call| {
                let _ = call.write(1, b"on\n");
                while call.check().is_ok() {
                    std::thread::yield_now();
                }
                0
            })
            .native("/bin/echoes", |call| {
                let mut byte = [0];
                while let Ok(1) = call.read(0, &mut byte) {
                    let _ = call.write(1, &byte);
                }
                7
            }),
    );
    let mut byte = [0; 3];
    let busy = running(&machine, Command::new("/bin/busy"));
    busy.take_stdout().unwrap().read_exact(&mut byte).unwrap();
    let ps = machine.processes();
    assert!(ps.iter().any(|p| p.pid == busy.pid() && p.name == "busy"));
    busy.kill(15).unwrap();
    assert_eq!(busy.wait().signal(), Some(15));

    let echoes = running(&machine, Command::new("/bin/echoes"));
    let (mut input, mut output) = (echoes.take_stdin().unwrap(), echoes.take_stdout().unwrap());
    input.write_all(b"a").unwrap();
    output.read_exact(&mut byte[..1]).unwrap();
    // Stopped, it does nothing; continued, it goes on with what it was doing.
    echoes.kill(19).unwrap();
    let patience = Instant::now() + Duration::from_secs(60);
    let stat = format!("/proc/{}/stat", echoes.pid());
    while !String::from_utf8_lossy(&machine.read_file(&stat).unwrap()).contains(") T ") {
        assert!(Instant::now() < patience, "it does not stop");
        std::thread::yield_now();
    }
    input.write_all(b"b").unwrap();
    let nothing = output.read_timeout(&mut byte, Duration::from_millis(30));
    assert_eq!(nothing.unwrap(), None);
    echoes.kill(18).unwrap();
    output.read_exact(&mut byte[..1]).unwrap();
    assert_eq!(byte[0], b'b');
    drop(input);
    assert_eq!(echoes.wait().code(), 7);
}

/// A program of the host, or a loud word that the test does without.
fn host(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path)
        .map(|d| d.join(name))
        .find(|p| p.is_file());
    if found.is_none() {
        eprintln!("SKIPPED: the host has no {name}");
    }
    found
}

#[test]
fn programs_of_the_host_run_as_processes() {
    let (Some(gzip), Some(cat), Some(shell)) = (host("gzip"), host("cat"), host("sh")) else {
        return;
    };
    // Shaped as a converter: `gz IN OUT`.
    let script = "test \"$2\" = bad && exit 9; exec \"$0\" -9nc < \"$1\" > \"$2\"";
    let gz = HostProgram::new(&shell).staging(|_| vec![Staged::Input(4), Staged::Output(5)]);
    let sleeps = HostProgram::new(&shell).timeout(Duration::from_millis(50));
    let machine = build(
        Machine::builder()
            .native_host("/bin/gz", gz)
            .native_host("/bin/hcat", HostProgram::new(cat))
            .native_host(
                "/bin/hsh",
                HostProgram::new(&shell).pass_env("NAME").env("OWN", "1"),
            )
            .native_host("/bin/hshort", sleeps)
            .native_host("/bin/absent", HostProgram::new("/nonexistent/program")),
    );
    let text = b"a line of text\n".repeat(20_000);
    machine.write_file("/srv/in.txt", 0o644, &text).unwrap();
    let run = Command::new("/bin/gz")
        .arg("-c")
        .arg(script)
        .arg(gzip.to_str().unwrap());
    let run = run.cwd("/srv").arg("in.txt").arg("out/in.gz");
    let missing = machine.output(run, b"", &Limits::default()).unwrap();
    let told = String::from_utf8_lossy(&missing.stderr).into_owned();
    assert_eq!(missing.status.code(), 126, "{told}");
    assert!(told.contains("out/in.gz: No such"), "{told}");

    machine.create_dir("/srv/out").unwrap();
    let log = machine.track_changes(10);
    let run = Command::new("/bin/gz")
        .arg("-c")
        .arg(script)
        .arg(gzip.to_str().unwrap());
    let run = run.cwd("/srv").arg("in.txt").arg("out/in.gz");
    let done = machine.output(run, b"", &Limits::default()).unwrap();
    assert_eq!((done.status.code(), &done.stderr[..]), (0, &b""[..]));
    let packed = machine.read_file("/srv/out/in.gz").unwrap();
    assert!(packed.starts_with(&[0x1f, 0x8b]) && packed.len() < 5000);
    let last = std::iter::from_fn(|| log.try_next()).last().unwrap();
    assert_eq!(last.to.as_deref(), Some("/srv/out/in.gz"), "in one step");
    let left = machine.read_dir("/srv/out").unwrap();
    assert_eq!(left.len(), 1, "{left:?}");

    // Much more than pipes hold, both ways.
    let echoed = machine.output(Command::new("/bin/hcat"), &text, &Limits::default());
    assert!(echoed.unwrap().stdout == text);
    let shown = line(
        &machine,
        "pipe /bin/sh -c pwd | /bin/hcat;spawn /bin/absent",
    );
    assert_eq!(shown.lines().take(2).collect::<Vec<_>>(), ["/", "status 0"]);
    assert!(shown.ends_with("status 126\n"), "{shown}");
    let code = |text: &str| {
        let command = Command::new("/bin/hsh")
            .arg("-c")
            .arg(text)
            .env("NAME", "n");
        let output = machine.output(command.env("SECRET", "x"), b"", &Limits::default());
        let output = output.unwrap();
        let shown = String::from_utf8_lossy(&output.stdout).into_owned();
        (output.status.code(), shown)
    };
    assert_eq!(code("echo $NAME$OWN$SECRET; exit 5"), (5, "n1\n".into()));
    assert_eq!(code("exec >&- 2>&-; exit 6"), (6, String::new()));
    assert_eq!(code("kill -9 $$").0, 137);
    let late = Command::new("/bin/hshort").arg("-c").arg("exec cat");
    let late = running(&machine, late);
    assert_eq!(late.wait().code(), 124);
}

#[test]
fn programs_of_the_host_end_with_their_processes() {
    let Some(shell) = host("sh") else { return };
    let machine = build(Machine::builder().native_host("/bin/hsh", HostProgram::new(shell)));
    let run = Command::new("/bin/hsh").arg("-c").arg("echo $$; exec cat");
    let process = running(&machine, run);
    let (mut input, mut output) = (
        process.take_stdin().unwrap(),
        process.take_stdout().unwrap(),
    );
    let mut text = Vec::new();
    while !text.ends_with(b"\n") {
        let mut byte = [0];
        output.read_exact(&mut byte).unwrap();
        text.push(byte[0]);
    }
    let host_pid: u32 = String::from_utf8_lossy(&text).trim().parse().unwrap();
    input.write_all(b"a").unwrap();
    output.read_exact(&mut [0]).unwrap();
    process.kill(15).unwrap();
    assert_eq!(process.wait().signal(), Some(15));
    if cfg!(target_os = "linux") {
        let left = std::path::Path::new("/proc").join(host_pid.to_string());
        assert!(!left.exists(), "the program of the host still runs");
    }
}
