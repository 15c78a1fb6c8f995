//! Machines that hold still and let go of their stores.

use std::{
    io::{Read, Write},
    path::Path,
    time::Duration,
};
use tuxlet::{Command, Error, Machine, Process, Root, Stdio};
use tuxlet_fakefs::{FakeFs, Options};

const PATIENCE: Duration = Duration::from_secs(60);

fn machine(store: &Path) -> Machine {
    let root = Root::Layers {
        upper: store.to_owned(),
        lower: Vec::new(),
    };
    let machine = Machine::builder().root(root).build().unwrap();
    let programs = tuxlet_test_support::programs(env!("CARGO_TARGET_TMPDIR"));
    let shell = std::fs::read(programs.join("sh")).unwrap();
    machine.write_file("/bin/sh", 0o755, &shell).unwrap();
    machine
}

fn start(machine: &Machine, line: &str) -> Process {
    let command = Command::new("/bin/sh").arg("-c").arg(line);
    let command = command.stdin(Stdio::Pipe).stdout(Stdio::Pipe);
    machine.exec(command).unwrap()
}

#[test]
fn a_suspended_machine_holds_still_and_no_locks() {
    let dir = tempfile::tempdir().unwrap();
    let store = dir.path().join("store");
    let machine = machine(&store);
    let echo = start(&machine, "lines");
    let (mut input, mut output) = (echo.take_stdin().unwrap(), echo.take_stdout().unwrap());
    let mut line = [0; 10];
    input.write_all(b"a\n").unwrap();
    assert_eq!(output.read(&mut line).unwrap(), 2);
    machine.write_file("/kept", 0o644, b"before").unwrap();
    let busy = FakeFs::open(&store, &Options::default());
    assert!(busy.is_err(), "a running machine holds its store");

    machine.suspend(PATIENCE).unwrap();
    machine.suspend(PATIENCE).unwrap();
    input.write_all(b"b\n").unwrap();
    let nothing = output.read_timeout(&mut line, Duration::from_millis(50));
    assert_eq!(nothing.unwrap(), None, "it runs");
    assert!(matches!(
        machine.exec(Command::new("/bin/sh")),
        Err(Error::Suspended)
    ));
    let change = machine.write_file("/new", 0o644, b"x").unwrap_err();
    assert_eq!(change.errno_name(), Some("EAGAIN"));
    let free = could_be_locked(&store);
    assert!(free, "the store is still locked");

    machine.resume().unwrap();
    assert_eq!(output.read(&mut line).unwrap(), 2);
    assert_eq!(&line[..2], b"B\n");
    machine.write_file("/new", 0o644, b"after").unwrap();
    drop(input);
    assert_eq!(echo.wait().code(), 0);
    drop((echo, machine, output));

    // What was written on both sides of it is there.
    let again = Machine::builder().root(Root::Store(store)).build().unwrap();
    assert_eq!(again.read_file("/kept").unwrap(), b"before");
    assert_eq!(again.read_file("/new").unwrap(), b"after");
}

/// Whether somebody else could lock the store now.
fn could_be_locked(store: &Path) -> bool {
    let file = std::fs::File::open(store.join("lock")).unwrap();
    let free = file.try_lock().is_ok();
    if free {
        file.unlock().unwrap();
    }
    free
}

#[test]
fn all_kinds_of_threads_come_to_rest() {
    let dir = tempfile::tempdir().unwrap();
    let machine = machine(&dir.path().join("store"));
    // Asleep, in the engine, waiting for a child, stopped.
    let all = ["hang", "flood 1000000000", "spawn /bin/sh -c hang"];
    let processes: Vec<_> = all.iter().map(|line| start(&machine, line)).collect();
    let stopped = start(&machine, "hang");
    stopped.kill(19).unwrap();
    for _ in 0..5 {
        machine.suspend(PATIENCE).unwrap();
        machine.resume().unwrap();
    }
    machine.suspend(PATIENCE).unwrap();
    for process in processes.iter().chain([&stopped]) {
        process.kill(9).unwrap();
        assert_eq!(process.wait().signal(), Some(9), "the suspended die, too");
    }
}

#[test]
fn a_store_that_others_changed_is_not_resumed() {
    let dir = tempfile::tempdir().unwrap();
    let store = dir.path().join("store");
    let machine = machine(&store);
    machine.suspend(PATIENCE).unwrap();
    let other = Machine::builder().root(Root::Store(store.clone()));
    let other = other.build().unwrap();
    let busy = machine.resume().unwrap_err();
    assert!(busy.to_string().contains("in use"), "{busy}");
    other.write_file("/theirs", 0o644, b"x").unwrap();
    drop(other);
    let changed = machine.resume().unwrap_err();
    assert!(changed.to_string().contains("changed"), "{changed}");
    assert!(machine.resume().is_err());
    drop(machine);
    // The machine that was let go of has not touched it at its end.
    let last = Machine::builder().root(Root::Store(store)).build().unwrap();
    assert_eq!(last.read_file("/theirs").unwrap(), b"x");
}

#[test]
fn a_machine_that_ends_leaves_its_store_to_others() {
    let dir = tempfile::tempdir().unwrap();
    for (number, suspend) in [false, true].into_iter().enumerate() {
        let store = dir.path().join(number.to_string());
        let machine = machine(&store);
        assert_eq!(start(&machine, "exit 3").wait().code(), 3);
        machine.sync().unwrap();
        if suspend {
            machine.suspend(PATIENCE).unwrap();
            machine.resume().unwrap();
        }
        assert!(!could_be_locked(&store));
        drop(machine);
        assert!(could_be_locked(&store), "suspended: {suspend}");
    }
}

/// Ends the sockets of this process that listen at a port, as iOS does it with those of apps in the background: their descriptors stay, and
/// lead nowhere.
#[cfg(target_os = "linux")]
fn end_listeners(port: u16) -> usize {
    use rustix::{net, process};
    let own = process::pidfd_open(process::getpid(), process::PidfdFlags::empty()).unwrap();
    let mut ended = 0;
    for entry in std::fs::read_dir("/proc/self/fd").unwrap() {
        let name = entry.unwrap().file_name();
        let number = name.to_str().unwrap().parse().unwrap();
        let copied = process::pidfd_getfd(&own, number, process::PidfdGetfdFlags::empty());
        // Some may be gone by now.
        let Ok(copy) = copied else { continue };
        if !net::sockopt::socket_acceptconn(&copy).unwrap_or(false) {
            continue;
        }
        let listener = std::net::TcpListener::from(copy);
        if listener.local_addr().is_ok_and(|a| a.port() == port) {
            net::shutdown(&listener, net::Shutdown::Both).unwrap();
            ended += 1;
        }
    }
    ended
}

#[cfg(target_os = "linux")]
#[test]
fn listeners_that_the_host_has_ended_listen_again() {
    let dir = tempfile::tempdir().unwrap();
    let machine = machine(&dir.path().join("store"));
    let server = start(&machine, "serve 3");
    let mut output = server.take_stdout().unwrap();
    let mut port = String::new();
    while !port.ends_with('\n') {
        let mut byte = [0];
        output.read_exact(&mut byte).unwrap();
        port.push(byte[0].into());
    }
    let port: u16 = port.trim().parse().unwrap();
    let hello = || {
        let mut said = String::new();
        let mut peer = std::net::TcpStream::connect(("127.0.0.1", port))?;
        peer.read_to_string(&mut said).map(|_| said)
    };
    assert_eq!(hello().unwrap(), "hello");
    // One that is alive stays.
    machine.suspend(PATIENCE).unwrap();
    machine.resume().unwrap();
    assert_eq!(hello().unwrap(), "hello");

    machine.suspend(PATIENCE).unwrap();
    assert_eq!(end_listeners(port), 1);
    assert!(hello().is_err(), "it still listens");
    machine.resume().unwrap();
    // The guest waits in the same accept(2) as before.
    assert_eq!(hello().unwrap(), "hello");
    assert_eq!(server.wait().code(), 0);
}
