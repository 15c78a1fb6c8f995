//! The mqueue file system: queues as files. Needs the right to mount and an IPC namespace without queues.

use guest::{c, clean, close, fork, ok, read, say, scratch, show, wait, write};
use libc::{O_CREAT, O_EXCL, O_NONBLOCK, O_RDONLY, O_RDWR, O_WRONLY};
use std::{mem::zeroed, ptr::null};

fn mq_open(name: &str, flags: i32, mode: u32) -> i32 {
    let name = c(name);
    let attr = [0i64, 4, 16, 0, 0, 0, 0, 0];
    // SAFETY: valid pointers.
    unsafe { libc::syscall(libc::SYS_mq_open, name.as_ptr(), flags, mode, attr.as_ptr()) as i32 }
}

fn mq_unlink(name: &str) -> String {
    // SAFETY: a terminated string.
    show(unsafe { libc::syscall(libc::SYS_mq_unlink, c(name).as_ptr()) })
}

fn send(queue: i32, text: &str) -> String {
    // SAFETY: valid pointers.
    show(unsafe { libc::syscall(libc::SYS_mq_timedsend, queue, text.as_ptr(), text.len(), 0, null::<u8>()) })
}

fn receive(queue: i32) -> String {
    let mut text = [0u8; 8192];
    // SAFETY: valid pointers.
    show(unsafe { libc::syscall(libc::SYS_mq_timedreceive, queue, text.as_mut_ptr(), text.len(), null::<u8>(), null::<u8>()) })
}

fn open(path: &str, flags: i32) -> i32 {
    // SAFETY: a terminated string.
    unsafe { libc::open(c(path).as_ptr(), flags, 0o640) }
}

fn mount(target: &str, data: &str) -> String {
    let (none, kind) = (c("none"), c("mqueue"));
    let data = c(data);
    // SAFETY: terminated strings.
    show(unsafe { libc::mount(none.as_ptr(), c(target).as_ptr(), kind.as_ptr(), 0, data.as_ptr().cast()) })
}

fn list(dir: &str) -> String {
    let mut names: Vec<_> =
        std::fs::read_dir(dir).expect("a directory").map(|e| e.expect("an entry").file_name().into_string().expect("a name")).collect();
    names.sort();
    names.join(" ")
}

fn stat(path: &str) -> String {
    // SAFETY: room for the result.
    unsafe {
        let mut s: libc::stat = zeroed();
        match libc::stat(c(path).as_ptr(), &mut s) {
            -1 => show(-1),
            _ => format!("{:o} links {} owner {} {} size {}", s.st_mode, s.st_nlink, s.st_uid, s.st_gid, s.st_size),
        }
    }
}

/// What a process other than the superuser gets.
fn as_user(f: impl FnOnce()) {
    let child = fork(|| {
        // SAFETY: nothing but numbers.
        unsafe {
            libc::setgroups(0, null());
            libc::setgid(1000);
            libc::setuid(1000);
        }
        f();
        0
    });
    wait(child);
}

fn main() {
    let dir = scratch("mqueuefs");
    for name in ["a", "b"] {
        std::fs::create_dir(name).expect("a directory");
    }
    say!("options: {}", mount("a", "size=1"));
    say!("mounts: {} {}", mount("a", ""), mount("b", ""));
    let known = std::fs::read_to_string("/proc/filesystems").expect("the list");
    say!("listed: {}", known.lines().any(|l| l == "nodev\tmqueue"));
    // SAFETY: room for the result.
    unsafe {
        let mut s: libc::statfs = zeroed();
        say!("statfs: {} {:x} {} {}", show(libc::statfs(c("a").as_ptr(), &mut s)), s.f_type, s.f_bsize, s.f_namelen);
    }
    say!("empty: {:?} {}", list("a"), stat("a"));

    // A queue shows as a file, in every mount.
    // SAFETY: a number.
    unsafe { libc::umask(0o022) };
    let q = mq_open("one", O_RDWR | O_CREAT | O_EXCL | O_NONBLOCK, 0o666);
    say!("made: {} {:?} {:?} {}", ok(q), list("a"), list("b"), stat("a"));
    say!("file: {}", stat("a/one"));
    let shown = std::fs::read_link(format!("/proc/self/fd/{q}")).expect("a link");
    say!("descriptor: {shown:?}");
    say!("send: {} {}", send(q, "hello"), send(q, "you"));
    let file = open("b/one", O_RDONLY);
    say!("text: {} then {}", read(file, 100), read(file, 100));
    // SAFETY: numbers.
    say!("again: {} {}", show(unsafe { libc::lseek(file, 6, libc::SEEK_SET) }), read(file, 4));
    say!("a file of that kind is a queue: {} {}", receive(file), send(file, "x"));
    close(file);
    let mut event = [0u64; 8];
    event[1] = 10; // SIGUSR1, SIGEV_SIGNAL
    // SAFETY: a valid structure.
    say!("notify: {}", show(unsafe { libc::syscall(libc::SYS_mq_notify, q, event.as_ptr()) }));
    let text = std::fs::read_to_string("a/one").expect("the file");
    say!("registered: {}", text.replace(&format!("{:<6}", std::process::id()), "ME    ").trim_end());
    event[1] = 1 << 32; // SIGEV_NONE
    // SAFETY: valid structures.
    unsafe {
        libc::syscall(libc::SYS_mq_notify, q, 0);
        libc::syscall(libc::SYS_mq_notify, q, event.as_ptr());
    }
    let text = std::fs::read_to_string("a/one").expect("the file");
    say!("silent: {}", text.replace(&format!("{:<6}", std::process::id()), "ME    ").trim_end());
    let w = open("a/one", O_WRONLY);
    say!("write: {} {}", ok(w), show(write(w, b"x") as i64));
    // SAFETY: numbers.
    say!("sync: {}", show(unsafe { libc::fsync(w) }));
    close(w);

    // What the directory allows.
    let made = open("a/two", O_RDWR | O_CREAT | O_EXCL);
    let mut attr = [0i64; 8];
    // SAFETY: valid pointers.
    let got = unsafe { libc::syscall(libc::SYS_mq_getsetattr, made, null::<u8>(), attr.as_mut_ptr()) };
    say!("made as a file: {} {} {:?} {}", ok(made), show(got), &attr[..4], stat("a/two"));
    close(made);
    say!("found: {}", ok(mq_open("two", O_RDONLY, 0)));
    // SAFETY: terminated strings.
    unsafe {
        say!("mkdir: {}", show(libc::mkdir(c("a/d").as_ptr(), 0o700)));
        say!("symlink: {}", show(libc::symlink(c("one").as_ptr(), c("a/s").as_ptr())));
        say!("mkfifo: {}", show(libc::mkfifo(c("a/p").as_ptr(), 0o600)));
        say!("link: {}", show(libc::link(c("a/one").as_ptr(), c("a/l").as_ptr())));
        say!("rename: {}", show(libc::rename(c("a/one").as_ptr(), c("a/r").as_ptr())));
        say!("chmod: {} {}", show(libc::chmod(c("a/one").as_ptr(), 0o600)), stat("b/one"));
        say!("chown: {} {}", show(libc::chown(c("a/two").as_ptr(), 1000, 1000)), stat("b/two"));
    }
    as_user(|| {
        say!("user: {} {}", show(mq_open("one", O_RDONLY, 0)), ok(mq_open("two", O_RDWR, 0)));
        say!("bad mode: {} {}", show(mq_open("two", 3, 0)), show(mq_open("one", 3, 0)));
        say!("not to be opened again: {} {}", ok(mq_open("mine", O_RDWR | O_CREAT, 0)), show(mq_open("mine", O_RDWR, 0)));
        say!("unlink: {} {}", mq_unlink("one"), mq_unlink("two"));
        // SAFETY: a terminated string.
        say!("unlink as a file: {} {}", show(unsafe { libc::unlink(c("a/one").as_ptr()) }), show(unsafe { libc::unlink(c("a/mine").as_ptr()) }));
        let q = mq_open("one", O_RDONLY, 0);
        say!("mode: {}", show(q));
    });
    say!("left: {:?}", list("b"));

    // Names go by either way; what is open stays.
    // SAFETY: a terminated string.
    say!("unlink: {} {}", show(unsafe { libc::unlink(c("b/one").as_ptr()) }), mq_unlink("one"));
    // SAFETY: room for the result.
    let links = unsafe {
        let mut s: libc::stat = zeroed();
        libc::fstat(q, &mut s);
        s.st_nlink
    };
    say!("still there: {links} links, {} {}", receive(q), receive(q));
    say!("odd names: {} {} {} {}", show(mq_open("", O_RDONLY, 0)), show(mq_open("x/y", O_RDONLY, 0)), show(mq_open("..", O_RDONLY, 0)), mq_unlink("none"));

    // Another namespace has queues of its own; a mount goes on showing those of its maker.
    let q = mq_open("outer", O_RDWR | O_CREAT, 0o600);
    say!("outer: {} {:?}", ok(q), list("a"));
    let child = fork(|| {
        // SAFETY: numbers.
        say!("unshare: {}", show(unsafe { libc::unshare(libc::CLONE_NEWIPC) }));
        say!("not here: {}", show(mq_open("outer", O_RDWR, 0)));
        say!("inner: {} {:?}", ok(mq_open("inner", O_RDWR | O_CREAT, 0o600)), list("a"));
        std::fs::create_dir("c").expect("a directory");
        say!("mount: {} {:?} {:?}", mount("c", ""), list("a"), list("c"));
        // SAFETY: a terminated string.
        say!("umount: {}", show(unsafe { libc::umount(c("c").as_ptr()) }));
        0
    });
    say!("child: {}", wait(child));
    say!("unlink: {} {:?}", mq_unlink("outer"), list("b"));
    for name in ["a", "b"] {
        // SAFETY: a terminated string.
        say!("umount: {}", show(unsafe { libc::umount(c(name).as_ptr()) }));
    }
    clean(&dir);
}
