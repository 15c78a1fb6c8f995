//! Stands for `/bin/sh` in tests of the interfaces to machines: `sh -c LINE` runs simple commands separated by `;`. It is no
//! program of the transcripts.
//!
//! `echo TEXT`, `warn TEXT` (to standard error), `cat`, `exit N`, `kill N` (itself), `pwd`, `id`, `env NAME`, `hang` (waits
//! for ever), `daemon` (leaves a child behind that keeps the streams open), `flood N` (N bytes), `size` (of the terminal), `lines`
//! (each line read, in capitals).

use std::io::{BufRead, Read, Write, stdin, stdout};

fn main() {
    let line = std::env::args().nth(2).unwrap_or_default();
    for command in line.split(';') {
        let command = command.trim();
        let (name, rest) = command.split_once(' ').unwrap_or((command, ""));
        run(name, rest);
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
        "wait-byte" => drop(stdin().read(&mut [0])),
        "" => {}
        other => {
            eprintln!("sh: {other}: not found");
            std::process::exit(127);
        }
    }
}
