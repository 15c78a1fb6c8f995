//! What `/proc` tells of a process's reading and writing, of where it sleeps, of its locks and of what it has mapped.

use guest::{c, clean, close, fork, say, scratch, wait};
use libc::{F_RDLCK, F_SETLK, F_WRLCK, LOCK_SH, O_CREAT, O_RDWR, SEEK_SET};
use std::os::unix::fs::MetadataExt;

fn text(path: &str) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|e| format!("{:?}", e.kind()))
}

fn open(path: &str) -> i32 {
    // SAFETY: a terminated string.
    unsafe { libc::open(c(path).as_ptr(), O_CREAT | O_RDWR, 0o600) }
}

/// A counter of `/proc/self/io`.
fn counter(name: &str) -> u64 {
    let text = text("/proc/self/io");
    let line = text.lines().find_map(|l| l.strip_prefix(name)?.strip_prefix(": "));
    line.and_then(|v| v.parse().ok()).unwrap_or(u64::MAX)
}

fn input_and_output() {
    let fd = open("data");
    let data = [7u8; 1000];
    let before = ["wchar", "syscw"].map(counter);
    // SAFETY: the data.
    unsafe {
        libc::write(fd, data.as_ptr().cast(), 600);
        libc::pwrite(fd, data.as_ptr().cast(), 400, 100);
        libc::write(fd, data.as_ptr().cast(), 0);
    }
    let after = ["wchar", "syscw"].map(counter);
    say!("written: {} bytes, {} calls", after[0].wrapping_sub(before[0]), after[1].wrapping_sub(before[1]));
    let before = counter("syscr");
    let mut room = [0u8; 100];
    // SAFETY: room for the data.
    unsafe {
        libc::pread(fd, room.as_mut_ptr().cast(), 100, 0);
        libc::pread(fd, room.as_mut_ptr().cast(), 100, 5000);
    }
    // Reading the counters takes calls too: the same number each time.
    let between = counter("syscr");
    let idle = counter("syscr") - between;
    say!("read calls: {}", between - before - idle);
    let names: Vec<String> = text("/proc/self/io").lines().map(|l| l.split(':').next().unwrap_or("").into()).collect();
    say!("names: {}", names.join(" "));
    close(fd);
}

fn sleeping() {
    let mut ends = [0; 2];
    // SAFETY: room for two descriptors.
    unsafe { libc::pipe(ends.as_mut_ptr()) };
    let pid = fork(|| {
        close(ends[1]);
        let mut byte = [0u8; 3];
        // SAFETY: room for three bytes.
        unsafe { libc::read(ends[0], byte.as_mut_ptr().cast(), 3) as i32 }
    });
    close(ends[0]);
    let line = loop {
        let line = text(&format!("/proc/{pid}/syscall"));
        let number = line.split(' ').next().and_then(|n| n.parse::<i64>().ok());
        if number == Some(libc::SYS_read) {
            break line;
        }
        std::thread::yield_now();
    };
    let fields: Vec<&str> = line.trim().split(' ').collect();
    say!("sleeps in read: {} fields, descriptor {}, length {}", fields.len(), fields[1] == format!("{:#x}", ends[0]), fields[3]);
    let state = text(&format!("/proc/{pid}/stat"));
    say!("state: {}", state.rsplit(") ").next().and_then(|s| s.split(' ').next()).unwrap_or(""));
    close(ends[1]);
    say!("end: {}", wait(pid));
}

/// The lines about a file, with `me` for the process and without numbers that differ.
fn locks_of(file: &str, path: &str) {
    let ino = std::fs::metadata(file).expect("the file").ino().to_string();
    let me = std::process::id().to_string();
    let mut lines: Vec<String> = text(path)
        .lines()
        .filter(|l| l.contains(&format!(":{ino} ")))
        .map(|l| {
            let words = l.split_whitespace().skip_while(|w| !w.contains("POSIX") && !w.contains("FLOCK") && !w.contains("OFD"));
            let shown = words.map(|w| match w {
                w if w == me => "me",
                w if w.ends_with(&format!(":{ino}")) => "file",
                w => w,
            });
            shown.collect::<Vec<_>>().join(" ")
        })
        .collect();
    lines.sort();
    for line in lines {
        say!("  {line}");
    }
}

fn locks() {
    let (a, b) = (open("locked"), open("locked"));
    let lock = |fd: i32, command: i32, kind: i32, start: i64, len: i64| {
        // SAFETY: a valid structure.
        unsafe {
            let mut l: libc::flock = std::mem::zeroed();
            (l.l_type, l.l_whence) = (kind as i16, SEEK_SET as i16);
            (l.l_start, l.l_len) = (start, len);
            libc::fcntl(fd, command, &l)
        }
    };
    lock(a, F_SETLK, F_WRLCK, 10, 5);
    lock(a, F_SETLK, F_RDLCK, 100, 0);
    lock(b, libc::F_OFD_SETLK, F_RDLCK, 50, 1);
    // SAFETY: a plain call.
    unsafe { libc::flock(b, LOCK_SH) };
    say!("all locks:");
    locks_of("locked", "/proc/locks");
    say!("of the one description:");
    locks_of("locked", &format!("/proc/self/fdinfo/{a}"));
    close(b);
    close(a);
    say!("closed:");
    locks_of("locked", "/proc/locks");
}

fn mappings() {
    let exe = std::fs::metadata("/proc/self/exe").expect("the program");
    let maps = text("/proc/self/maps");
    let line = maps.lines().next().unwrap_or("");
    let ino = line.split_whitespace().nth(4).unwrap_or("");
    say!("the program's inode in maps: {}", ino == exe.ino().to_string());
    let device = line.split_whitespace().nth(3).unwrap_or("");
    let (major, minor) = (libc::major(exe.dev()), libc::minor(exe.dev()));
    say!("its device: {}", device == format!("{major:02x}:{minor:02x}"));
}

fn descriptors() {
    // SAFETY: a terminated string; the stream is closed below.
    let dir = unsafe { libc::opendir(c"/proc/self/fd".as_ptr()) };
    // SAFETY: an open stream.
    let own = unsafe { libc::dirfd(dir) }.to_string();
    let later = open("data");
    let mut names = Vec::new();
    loop {
        // SAFETY: an open stream; the entry is used before the next call.
        let Some(entry) = (unsafe { libc::readdir(dir).as_ref() }) else {
            break;
        };
        // SAFETY: the name is terminated.
        let name = unsafe { std::ffi::CStr::from_ptr(entry.d_name.as_ptr()) };
        names.push(name.to_string_lossy().into_owned());
    }
    say!("the listing's own descriptor: {}", names.contains(&own));
    say!("one opened before the listing was read: {}", names.contains(&later.to_string()));
    close(later);
    // SAFETY: an open stream.
    unsafe { libc::closedir(dir) };
}

fn main() {
    let dir = scratch("procfs");
    input_and_output();
    sleeping();
    locks();
    mappings();
    descriptors();
    clean(&dir);
}
