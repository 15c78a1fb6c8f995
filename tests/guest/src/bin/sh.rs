//! Stands for `/bin/sh` in tests of the interfaces to machines: `sh -c LINE` runs simple commands separated by `;`. It is no
//! program of the transcripts.
//!
//! `echo TEXT`, `warn TEXT` (to standard error), `cat`, `exit N`, `kill N` (itself), `pwd`, `id`, `env NAME`, `hang` (waits
//! for ever), `daemon` (leaves a child behind that keeps the streams open), `flood N` (N bytes), `size` (of the terminal), `lines`
//! (each line read, in capitals), `write FILE TEXT`, `read FILE`, `mv FROM TO`, `rm FILE`, `fork` (says whether it can), `spawn PROGRAM
//! ARG...` (as a child; says how it ended), `pipe PROGRAM ARG... | PROGRAM ARG...` (the same with two, the status of the second one),
//! `same FILE` (whether stat(2) and fstat(2) agree), `serve N` (says at which port, and `hello` to N connections).

use std::io::{BufRead, Read, Write, stdin, stdout};
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, ExitStatus, Stdio};

fn main() {
    let line = std::env::args().nth(2).unwrap_or_default();
    for command in line.split(';') {
        let command = command.trim();
        let (name, rest) = command.split_once(' ').unwrap_or((command, ""));
        run(name, rest);
    }
}

fn program(words: &str) -> Command {
    let mut words = words.split(' ');
    let mut command = Command::new(words.next().expect("a program"));
    command.args(words);
    command
}

fn report(status: std::io::Result<ExitStatus>) {
    match status {
        Ok(status) => match status.signal() {
            Some(signal) => println!("signal {signal}"),
            None => println!("status {}", status.code().unwrap_or(-1)),
        },
        Err(e) => println!("{}", guest::error_name(e.raw_os_error().unwrap_or(0))),
    }
}

fn run(name: &str, rest: &str) {
    let mut out = stdout();
    match name {
        "echo" => println!("{rest}"),
        "warn" => eprintln!("{rest}"),
        "cat" => drop(std::io::copy(&mut stdin(), &mut out)),
        "exit" => std::process::exit(rest.parse().expect("a number")),
        // SAFETY: kill(2) takes numbers.
        "kill" => drop(unsafe { libc::kill(libc::getpid(), rest.parse().expect("a number")) }),
        "pwd" => println!("{}", std::env::current_dir().expect("a directory").display()),
        // SAFETY: they take nothing.
        "id" => println!("{} {}", unsafe { libc::getuid() }, unsafe { libc::getgid() }),
        "env" => println!("{}", std::env::var(rest).unwrap_or_default()),
        "hang" => loop {
            // SAFETY: pause(2) takes nothing.
            unsafe { libc::pause() };
        },
        // SAFETY: one thread.
        "daemon" => {
            if unsafe { libc::fork() } == 0 {
                // SAFETY: they take nothing.
                unsafe {
                    libc::setsid();
                    loop {
                        libc::pause();
                    }
                }
            }
        }
        "flood" => {
            let mut left: usize = rest.parse().expect("a number");
            let chunk = [b'x'; 4096];
            while left > 0 {
                let n = left.min(chunk.len());
                out.write_all(&chunk[..n]).expect("room");
                left -= n;
            }
        }
        "size" => {
            // SAFETY: all zeros are a size.
            let mut size: libc::winsize = unsafe { std::mem::zeroed() };
            // SAFETY: the ioctl writes one `winsize`.
            let result = unsafe { libc::ioctl(1, libc::TIOCGWINSZ, &mut size) };
            println!("{result} {} {}", size.ws_row, size.ws_col);
        }
        "lines" => {
            for line in stdin().lock().lines() {
                println!("{}", line.expect("a line").to_uppercase());
                out.flush().expect("a reader");
            }
        }
        "write" => {
            let (file, text) = rest.split_once(' ').expect("a file and a text");
            match std::fs::write(file, text) {
                Ok(()) => {}
                Err(e) => println!("{file}: {}", guest::error_name(e.raw_os_error().unwrap_or(0))),
            }
        }
        "read" => match std::fs::read_to_string(rest) {
            Ok(text) => println!("{text}"),
            Err(e) => println!("{rest}: {}", guest::error_name(e.raw_os_error().unwrap_or(0))),
        },
        "mv" => {
            let (from, to) = rest.split_once(' ').expect("two files");
            std::fs::rename(from, to).expect("renamed");
        }
        "rm" => std::fs::remove_file(rest).expect("removed"),
        // SAFETY: one thread, and the child does nothing but end.
        "fork" => match unsafe { libc::fork() } {
            -1 => println!("fork: {}", guest::error_name(guest::errno())),
            0 => std::process::exit(0),
            child => {
                // SAFETY: no status is asked for.
                unsafe { libc::waitpid(child, std::ptr::null_mut(), 0) };
                println!("fork: ok");
            }
        },
        "spawn" => {
            out.flush().expect("a reader");
            report(program(rest).status());
        }
        "pipe" => {
            let (first, second) = rest.split_once(" | ").expect("two programs");
            let first = program(first).stdout(Stdio::piped()).spawn();
            let status = first.and_then(|mut first| {
                let from = first.stdout.take().expect("piped");
                let status = program(second).stdin(from).status();
                first.wait()?;
                status
            });
            report(status);
        }
        "serve" => {
            let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
            let port = listener.local_addr().expect("a name").port();
            println!("{port}");
            out.flush().expect("a reader");
            for _ in 0..rest.parse().expect("a number") {
                let (mut peer, _) = listener.accept().expect("a connection");
                peer.write_all(b"hello").expect("a peer");
            }
        }
        "same" => {
            use std::os::unix::fs::MetadataExt;
            let named = std::fs::metadata(rest).expect("a file");
            let file = std::fs::File::open(rest).expect("a file");
            let open = file.metadata().expect("a file");
            let facts = |m: &std::fs::Metadata| (m.dev(), m.ino(), m.rdev(), m.mode(), m.nlink());
            println!("{rest}: {}", facts(&named) == facts(&open));
        }
        "wait-byte" => drop(stdin().read(&mut [0])),
        "" => {}
        other => {
            eprintln!("sh: {other}: not found");
            std::process::exit(127);
        }
    }
}
