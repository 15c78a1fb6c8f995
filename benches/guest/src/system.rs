//! System calls.

use std::{
    fs,
    io::{Read, Write},
    os::fd::FromRawFd,
    process::Command,
};

/// The cheapest call there is.
pub fn getppid(n: u32) -> u64 {
    let mut same = 0;
    // SAFETY: getppid has no preconditions.
    let first = unsafe { libc::getppid() };
    for _ in 0..n {
        // SAFETY: as above.
        same += u64::from(unsafe { libc::getppid() } == first);
    }
    same
}

/// Small reads and writes of devices.
pub fn readwrite(n: u32) -> u64 {
    let mut zero = fs::File::open("/dev/zero").expect("/dev/zero");
    let mut null = fs::File::create("/dev/null").expect("/dev/null");
    let mut buf = [1; 512];
    let mut total = 0;
    for _ in 0..n {
        total += zero.read(&mut buf).expect("read") as u64;
        total += null.write(&buf).expect("write") as u64;
    }
    total
}

/// Starting programs: vfork or fork, exec, exit, wait.
pub fn forkexec(n: u32) -> u64 {
    let me = std::env::current_exe().unwrap_or_else(|_| "/proc/self/exe".into());
    // Where the kernel below does not know this program's architecture, whoever runs it says by what it is started.
    let launch = || match std::env::var_os("BENCH_LAUNCHER") {
        Some(launcher) => {
            let mut command = Command::new(launcher);
            command.arg(&me);
            command
        }
        None => Command::new(&me),
    };
    let run = || launch().arg("start").stdout(std::process::Stdio::null()).status().expect("exec");
    (0..n).filter(|_| run().success()).count() as u64
}

/// fork, exit, wait.
pub fn fork(n: u32) -> u64 {
    let mut sum = 0;
    for i in 0..n {
        // SAFETY: the child only exits; the status is a local.
        unsafe {
            let pid = libc::fork();
            if pid == 0 {
                libc::_exit((i & 127) as i32);
            }
            let mut status = 0;
            libc::waitpid(pid, &raw mut status, 0);
            sum += libc::WEXITSTATUS(status) as u64;
        }
    }
    sum
}

/// Starting and joining threads.
pub fn threads(n: u64) -> u64 {
    (0..n).map(|i| std::thread::spawn(move || i).join().expect("join")).sum()
}

/// Creating, describing and removing files.
pub fn files(n: u32) -> u64 {
    let dir = std::env::temp_dir().join(format!("bench-{}", std::process::id()));
    fs::create_dir_all(&dir).expect("mkdir");
    let mut sum = 0;
    for i in 0..n {
        let path = dir.join(i.to_string());
        fs::write(&path, b"some content").expect("write");
        sum += fs::metadata(&path).expect("stat").len();
    }
    for i in 0..n {
        fs::remove_file(dir.join(i.to_string())).expect("unlink");
    }
    fs::remove_dir(&dir).expect("rmdir");
    sum
}

/// Passing a byte to and fro between two threads.
pub fn pipe(n: u32) -> u64 {
    let pair = || {
        let mut fds = [0; 2];
        // SAFETY: `fds` has room for two descriptors, which are then owned by the files.
        unsafe {
            assert_eq!(libc::pipe(fds.as_mut_ptr()), 0);
            (fs::File::from_raw_fd(fds[0]), fs::File::from_raw_fd(fds[1]))
        }
    };
    let (mut there_out, mut there_in) = pair();
    let (mut back_out, mut back_in) = pair();
    let other = std::thread::spawn(move || {
        let mut byte = [0];
        for _ in 0..n {
            there_out.read_exact(&mut byte).expect("read");
            byte[0] = byte[0].wrapping_add(1);
            back_in.write_all(&byte).expect("write");
        }
    });
    let mut byte = [0];
    let mut sum = 0;
    for i in 0..n {
        byte[0] = i as u8;
        there_in.write_all(&byte).expect("write");
        back_out.read_exact(&mut byte).expect("read");
        sum += u64::from(byte[0]);
    }
    other.join().expect("join");
    sum
}
