//! Standard streams in the embedder's hands.

use std::{
    io::{Read, Write},
    time::{Duration, Instant},
};
use tuxlet::{Command, Limits, Machine, Root, Stdio};

fn machine() -> Machine {
    let machine = Machine::builder().root(Root::Memory).build().unwrap();
    let programs = tuxlet_test_support::programs(env!("CARGO_TARGET_TMPDIR"));
    let shell = std::fs::read(programs.join("sh")).unwrap();
    machine.write_file("/bin/sh", 0o755, &shell).unwrap();
    machine
}

fn line(text: &str) -> Command {
    Command::new("/bin/sh").arg("-c").arg(text)
}

#[test]
fn output_is_whole_and_apart_or_in_order() {
    let machine = machine();
    let apart = machine
        .output(
            line("echo a; warn b; echo c; exit 3"),
            b"",
            &Limits::default(),
        )
        .unwrap();
    assert_eq!(
        (&apart.stdout[..], &apart.stderr[..]),
        (&b"a\nc\n"[..], &b"b\n"[..])
    );
    assert_eq!((apart.status.code(), apart.status.signal()), (3, None));
    assert!(!apart.timed_out && !apart.truncated);

    let merged = Limits {
        merged: true,
        ..Limits::default()
    };
    let merged = machine
        .output(line("echo a; warn b; echo c; kill 15"), b"", &merged)
        .unwrap();
    assert_eq!(merged.stdout, b"a\nb\nc\n");
    assert_eq!(merged.status.signal(), Some(15));

    // Much more than pipes hold, both ways.
    let input = vec![b'y'; 3 << 20];
    let all = machine
        .output(line("cat; flood 1000000"), &input, &Limits::default())
        .unwrap();
    assert_eq!(all.stdout.len(), input.len() + 1_000_000);
    assert_eq!(all.stdout[..input.len()], input);
}

#[test]
fn limits_hold() {
    let machine = machine();
    let limits = Limits {
        bytes: 10,
        timeout: Some(Duration::from_millis(200)),
        ..Limits::default()
    };
    let output = machine
        .output(line("flood 100000; hang"), b"", &limits)
        .unwrap();
    assert!(output.timed_out && output.truncated);
    assert_eq!(output.stdout, b"xxxxxxxxxx");
    assert_eq!(output.status.signal(), Some(9));
    assert!(output.duration >= Duration::from_millis(200));
}

#[test]
fn what_stays_behind_is_not_waited_for() {
    let machine = machine();
    let output = machine
        .output(line("daemon; echo done"), b"unread", &Limits::default())
        .unwrap();
    assert_eq!(output.stdout, b"done\n");
    assert_eq!(machine.stats().processes, 1);
}

#[test]
fn pipes_stream_and_processes_can_be_left() {
    let machine = machine();
    let process = machine
        .exec(line("lines").stdin(Stdio::Pipe).stdout(Stdio::Pipe))
        .unwrap();
    let (mut input, mut output) = (
        process.take_stdin().unwrap(),
        process.take_stdout().unwrap(),
    );
    assert!(process.take_stdin().is_none() && process.take_stderr().is_none());
    let mut chunk = [0; 100];
    for _ in 0..3 {
        input.write_all(b"hello\n").unwrap();
        let n = output.read(&mut chunk).unwrap();
        assert_eq!(&chunk[..n], b"HELLO\n");
    }
    let short = Duration::from_millis(10);
    assert_eq!(output.read_timeout(&mut chunk, short).unwrap(), None);
    assert_eq!(process.try_wait(), None);
    assert_eq!(process.wait_timeout(short), None);
    drop(input);
    assert_eq!(process.wait().code(), 0);
    assert_eq!(process.wait().code(), 0, "again");
    assert_eq!(output.read(&mut chunk).unwrap(), 0);
    assert!(process.kill(9).is_err());

    // One that nobody waits for leaves nothing behind.
    let left = machine.exec(line("hang")).unwrap();
    let pid = left.pid();
    drop(left);
    machine.kill(pid, 9).unwrap();
    let patience = Instant::now() + Duration::from_secs(60);
    while machine.processes().iter().any(|p| p.pid == pid) {
        assert!(Instant::now() < patience, "a zombie stays");
        std::thread::yield_now();
    }
}

#[test]
fn waiting_with_pipes_can_be_given_up() {
    let machine = machine();
    let process = machine.exec(line("hang").stdin(Stdio::Pipe)).unwrap();
    let pipe = process.take_stdin().unwrap();
    let much = vec![0; 1 << 20];
    std::thread::scope(|threads| {
        // Nobody reads: it is still waiting, or comes too late.
        let writer = threads.spawn(|| (&pipe).write_all(&much));
        pipe.finish();
        let error = writer.join().unwrap().unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::BrokenPipe);
    });
    process.kill_group(9).unwrap();
    assert_eq!(process.wait().signal(), Some(9));
    assert!(process.kill_group(9).is_err());
}
