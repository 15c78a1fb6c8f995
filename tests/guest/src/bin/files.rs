//! Files on a tmpfs: opening, directories, links, renames, modes, locks, holes, extended attributes.

use guest::{c, close, errno, error_name, fork, ok, read, say, scratch, show, wait, write};
use libc::{AT_FDCWD, O_APPEND, O_CREAT, O_DIRECTORY, O_EXCL, O_NOFOLLOW, O_PATH, O_RDONLY, O_RDWR, O_TMPFILE, O_TRUNC, O_WRONLY};
use std::{collections::BTreeSet, mem::zeroed};

fn open(path: &str, flags: i32, mode: u32) -> i32 {
    // SAFETY: a terminated string.
    unsafe { libc::open(c(path).as_ptr(), flags, mode) }
}

/// Opens and closes: how that went.
fn try_open(path: &str, flags: i32) -> String {
    let fd = open(path, flags, 0o644);
    let s = ok(fd);
    close(fd);
    s
}

fn stat(path: &str) -> Result<libc::stat, String> {
    // SAFETY: room for the answer.
    unsafe {
        let mut s = zeroed();
        match libc::lstat(c(path).as_ptr(), &mut s) {
            0 => Ok(s),
            _ => Err(error_name(errno())),
        }
    }
}

fn mode(path: &str) -> String {
    stat(path).map_or_else(|e| e, |s| format!("{:o}", s.st_mode))
}

fn links(path: &str) -> String {
    stat(path).map_or_else(|e| e, |s| s.st_nlink.to_string())
}

fn size(path: &str) -> String {
    stat(path).map_or_else(|e| e, |s| s.st_size.to_string())
}

fn put(path: &str, text: &str) {
    std::fs::write(path, text).expect("a small file");
}

fn get(path: &str) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|e| error_name(e.raw_os_error().unwrap_or(0)))
}

fn rename(a: &str, b: &str, flags: u32) -> String {
    // SAFETY: terminated strings.
    show(unsafe { libc::syscall(libc::SYS_renameat2, AT_FDCWD, c(a).as_ptr(), AT_FDCWD, c(b).as_ptr(), flags) })
}

fn lock(fd: i32, cmd: i32, kind: i32, start: i64, len: i64) -> String {
    // SAFETY: a valid structure.
    unsafe {
        let mut l: libc::flock = zeroed();
        l.l_type = kind as i16;
        l.l_start = start;
        l.l_len = len;
        let r = libc::fcntl(fd, cmd, &mut l);
        if cmd == libc::F_GETLK && r == 0 {
            return format!("type {} start {} len {}", l.l_type, l.l_start, l.l_len);
        }
        show(r)
    }
}

fn main() {
    let dir = scratch("files");
    // SAFETY: one thread; valid pointers.
    unsafe {
        libc::umask(0o22);
        // Opening.
        say!("open missing: {}", try_open("a", O_RDONLY));
        say!("create: {} {}", try_open("a", O_CREAT | O_WRONLY), mode("a"));
        say!("excl: {}", try_open("a", O_CREAT | O_EXCL | O_WRONLY));
        say!("directory flag: {}", try_open("a", O_DIRECTORY));
        say!("through a file: {}", try_open("a/b", O_RDONLY));
        say!("trailing slash: {}", try_open("a/", O_RDONLY));
        say!("write a directory: {}", try_open(".", O_WRONLY));
        say!("create a directory: {}", try_open("./", O_CREAT | O_RDWR));
        say!("create with slash: {}", try_open("new/", O_CREAT | O_RDWR));
        say!("empty path: {}", try_open("", O_RDONLY));
        say!("long name: {} {}", try_open(&"n".repeat(255), O_CREAT | O_RDWR), try_open(&"n".repeat(256), O_CREAT | O_RDWR));
        say!("long path: {} {}", try_open(&"./".repeat(2040), O_RDONLY), try_open(&"./".repeat(2048), O_RDONLY));
        libc::unlink(c(&"n".repeat(255)).as_ptr());
        put("a", "0123456789");
        let fd = open("a", O_RDWR | O_APPEND, 0);
        say!("append: {} at {}", write(fd, b"AB"), libc::lseek(fd, 0, libc::SEEK_CUR));
        libc::lseek(fd, 0, libc::SEEK_SET);
        write(fd, b"C");
        say!("append again: {}", get("a"));
        say!("pwrite appends: {} {}", libc::pwrite(fd, c("D").as_ptr().cast(), 1, 0), get("a"));
        close(fd);
        let fd = open("a", O_RDWR | O_TRUNC, 0);
        say!("truncated: {}", size("a"));
        say!("read: {}", read(fd, 10));
        close(fd);
        let fd = open("a", O_WRONLY, 0);
        say!("read a write-only: {}", read(fd, 1));
        close(fd);
        let fd = open("a", O_RDONLY, 0);
        say!("write a read-only: {}", show(write(fd, b"x")));
        say!("truncate a read-only: {}", show(libc::ftruncate(fd, 1)));
        say!("status flags: {:o}", libc::fcntl(fd, libc::F_GETFL) & libc::O_ACCMODE);
        close(fd);
        say!("closed: {}", show(close(fd)));
        let fd = open("a", O_PATH, 0);
        say!("O_PATH: read {} fstat {} fchmod {}", read(fd, 1), { let mut s: libc::stat = zeroed(); show(libc::fstat(fd, &mut s)) }, show(libc::syscall(libc::SYS_fchmod, fd, 0o600)));
        close(fd);
        let fd = open(".", O_TMPFILE | O_RDWR, 0o600);
        say!("tmpfile: {} links {}", write(fd, b"secret"), { let mut s: libc::stat = zeroed(); libc::fstat(fd, &mut s); s.st_nlink });
        say!("give it a name: {} {}", show(libc::linkat(AT_FDCWD, c(&format!("/proc/self/fd/{fd}")).as_ptr(), AT_FDCWD, c("named").as_ptr(), libc::AT_SYMLINK_FOLLOW)), get("named"));
        close(fd);

        // Seeking and holes.
        let fd = open("h", O_RDWR | O_CREAT, 0o600);
        say!("seek beyond: {}", libc::lseek(fd, 1 << 20, libc::SEEK_SET));
        say!("write there: {} size {}", write(fd, b"end"), size("h"));
        say!("few blocks: {}", stat("h").expect("a file").st_blocks <= 8);
        say!("data: {} hole: {}", show(libc::lseek(fd, 0, libc::SEEK_DATA)), show(libc::lseek(fd, 0, libc::SEEK_HOLE)));
        say!("hole after data: {}", show(libc::lseek(fd, 1 << 20, libc::SEEK_HOLE)));
        say!("data at the end: {}", show(libc::lseek(fd, (1 << 20) + 3, libc::SEEK_DATA)));
        say!("seek errors: {} {}", show(libc::lseek(fd, -1, libc::SEEK_SET)), show(libc::lseek(fd, 0, 99)));
        say!("relative: {} {}", libc::lseek(fd, 100, libc::SEEK_SET), libc::lseek(fd, -50, libc::SEEK_CUR));
        let mut b = [9u8; 4];
        say!("hole reads zero: {} {b:?}", libc::pread(fd, b.as_mut_ptr().cast(), 4, 1000));
        say!("hole reads zero: {b:?}");
        say!("punch: {} {} size {}", show(libc::fallocate(fd, libc::FALLOC_FL_PUNCH_HOLE | libc::FALLOC_FL_KEEP_SIZE, 1 << 20, 2)),
            { libc::pread(fd, b.as_mut_ptr().cast(), 3, 1 << 20); format!("{:?}", &b[..3]) }, size("h"));
        say!("allocate: {} size {}", show(libc::fallocate(fd, 0, 2 << 20, 4096)), size("h"));
        say!("allocate, errors: {} {} {}", show(libc::fallocate(fd, 0, 0, 0)), show(libc::fallocate(fd, 0, -1, 5)), show(libc::fallocate(fd, libc::FALLOC_FL_PUNCH_HOLE, 0, 5)));
        say!("truncate: {} {}; {}", show(libc::ftruncate(fd, 10)), size("h"), show(libc::ftruncate(fd, -1)));
        say!("pread errors: {}", show(libc::pread(fd, b.as_mut_ptr().cast(), 4, -1)));
        close(fd);
        let (r, w) = guest::pipe();
        say!("seek a pipe: {}", show(libc::lseek(r, 0, libc::SEEK_CUR)));
        say!("pwrite a pipe: {}", show(libc::pwrite(w, c("x").as_ptr().cast(), 1, 0)));

        // Vectors.
        let fd = open("v", O_RDWR | O_CREAT, 0o600);
        let parts = [c("one"), c(""), c("three")];
        let iov: Vec<_> = parts.iter().map(|p| libc::iovec { iov_base: p.as_ptr() as *mut _, iov_len: p.as_bytes().len() }).collect();
        say!("writev: {} {}", libc::writev(fd, iov.as_ptr(), 3), get("v"));
        say!("writev errors: {} {}", show(libc::writev(fd, iov.as_ptr(), -1)), show(libc::writev(fd, iov.as_ptr(), 1025)));
        say!("pwritev: {} {}", libc::pwritev(fd, iov.as_ptr(), 1, 3), get("v"));
        let mut off = 0i64;
        let out = open("w", O_RDWR | O_CREAT, 0o600);
        say!("sendfile: {} at {off} {}", libc::sendfile(out, fd, &mut off, 4), get("w"));
        say!("copy_file_range: {} {}", libc::syscall(libc::SYS_copy_file_range, fd, &mut off, out, 0, 100, 0), get("w"));
        close(out);
        close(fd);

        // Links and names.
        put("f", "f");
        say!("link: {} {}", show(libc::link(c("f").as_ptr(), c("g").as_ptr())), links("f"));
        say!("link again: {}", show(libc::link(c("f").as_ptr(), c("g").as_ptr())));
        libc::mkdir(c("d").as_ptr(), 0o777);
        say!("link a directory: {}", show(libc::link(c("d").as_ptr(), c("e").as_ptr())));
        say!("same inode: {}", stat("f").expect("f").st_ino == stat("g").expect("g").st_ino);
        say!("unlink: {} {}", show(libc::unlink(c("f").as_ptr())), links("g"));
        say!("symlink: {} {}", show(libc::symlink(c("g").as_ptr(), c("s").as_ptr())), mode("s"));
        let mut buf = [0u8; 64];
        say!("readlink: {} {}", libc::readlink(c("s").as_ptr(), buf.as_mut_ptr().cast(), 64), size("s"));
        say!("readlink of a file: {}", show(libc::readlink(c("g").as_ptr(), buf.as_mut_ptr().cast(), 64)));
        say!("nofollow: {}", try_open("s", O_NOFOLLOW));
        say!("through it: {}", get("s"));
        libc::symlink(c("l2").as_ptr(), c("l1").as_ptr());
        libc::symlink(c("l1").as_ptr(), c("l2").as_ptr());
        say!("loop: {}", try_open("l1", O_RDONLY));
        libc::symlink(c("made").as_ptr(), c("dangling").as_ptr());
        say!("dangling: {} excl {} create {}", try_open("dangling", O_RDONLY), try_open("dangling", O_CREAT | O_EXCL), try_open("dangling", O_CREAT));
        say!("made: {}", mode("made"));
        for i in 0..41 {
            let to = if i == 0 { "g".into() } else { format!("c{}", i - 1) };
            libc::symlink(c(&to).as_ptr(), c(&format!("c{i}")).as_ptr());
        }
        say!("40 links: {} 41: {}", try_open("c39", O_RDONLY), try_open("c40", O_RDONLY));
        say!("empty target: {}", show(libc::symlink(c("").as_ptr(), c("x").as_ptr())));
        say!("trailing slash on a link to a file: {}", try_open("s/", O_RDONLY));

        // Directories.
        say!("mkdir: {} {}", show(libc::mkdir(c("d").as_ptr(), 0o777)), mode("d"));
        say!("mkdir with slash: {} {}", show(libc::mkdir(c("d/sub/").as_ptr(), 0o700)), links("d"));
        say!("rmdir full: {}", show(libc::rmdir(c("d").as_ptr())));
        say!("rmdir a file: {}", show(libc::rmdir(c("g").as_ptr())));
        say!("rmdir dot: {} dotdot: {}", show(libc::rmdir(c("d/.").as_ptr())), show(libc::rmdir(c("d/..").as_ptr())));
        say!("unlink a directory: {}", show(libc::unlink(c("d").as_ptr())));
        say!("mkdir in nowhere: {}", show(libc::mkdir(c("no/where").as_ptr(), 0o777)));
        let here = open(".", O_RDONLY, 0);
        libc::mkdir(c("gone").as_ptr(), 0o777);
        libc::chdir(c("gone").as_ptr());
        libc::rmdir(c("../gone").as_ptr());
        say!("in a removed directory: open {} create {} getcwd {}", try_open("x", O_RDONLY), try_open("x", O_CREAT), {
            let r = libc::getcwd(buf.as_mut_ptr().cast(), 64);
            if r.is_null() { error_name(errno()) } else { "ok".into() }
        });
        libc::fchdir(here);
        say!("getcwd small: {}", {
            let r = libc::getcwd(buf.as_mut_ptr().cast(), 2);
            if r.is_null() { error_name(errno()) } else { "ok".into() }
        });
        say!("chdir: {} {}", show(libc::chdir(c("g").as_ptr())), show(libc::chdir(c("none").as_ptr())));
        libc::mkdir(c("many").as_ptr(), 0o755);
        for i in 0..300 {
            put(&format!("many/file-with-a-long-name-{i}"), "");
        }
        let mut names = BTreeSet::new();
        let mut twice = 0;
        for (n, entry) in std::fs::read_dir("many").expect("a directory").enumerate() {
            let name = entry.expect("an entry").file_name();
            twice += i32::from(!names.insert(name.clone()));
            if n % 3 == 0 {
                libc::unlink(c(&format!("many/{}", name.to_string_lossy())).as_ptr());
            }
        }
        say!("listed while removing: {} twice: {twice} left: {}", names.len(), std::fs::read_dir("many").expect("a directory").count());
        let d = open("many", O_RDONLY, 0);
        let mut room = [0u8; 4096];
        say!("getdents small: {}", show(libc::syscall(libc::SYS_getdents64, d, room.as_mut_ptr(), 10)));
        say!("getdents of a file: {}", { let f = open("g", O_RDONLY, 0); let s = show(libc::syscall(libc::SYS_getdents64, f, room.as_mut_ptr(), 4096)); close(f); s });
        say!("read a directory: {}", read(d, 10));
        close(d);
        let dots: Vec<String> = {
            let d = libc::opendir(c("d").as_ptr());
            let mut v = Vec::new();
            loop {
                let e = libc::readdir(d);
                if e.is_null() { break; }
                v.push(format!("{}:{}", std::ffi::CStr::from_ptr((*e).d_name.as_ptr()).to_string_lossy(), (*e).d_type));
            }
            libc::closedir(d);
            v.sort();
            v
        };
        say!("entries: {dots:?}");

        // Renames.
        put("r1", "1");
        put("r2", "2");
        say!("over a file: {} {} {}", rename("r1", "r2", 0), get("r2"), get("r1"));
        put("r1", "one");
        say!("noreplace: {} exchange: {} {}", rename("r1", "r2", 1), rename("r1", "r2", 2), get("r1"));
        say!("exchange with nothing: {} odd flags: {} both: {}", rename("r1", "none", 2), rename("r1", "x", 64), rename("r1", "x", 3));
        say!("file over directory: {}", rename("r1", "d", 0));
        say!("directory over file: {}", rename("d", "r1", 0));
        say!("into itself: {}", rename("d", "d/sub/x", 0));
        libc::mkdir(c("e").as_ptr(), 0o755);
        say!("over an empty directory: {}", rename("e", "d/sub", 0));
        libc::mkdir(c("e").as_ptr(), 0o755);
        say!("over a full directory: {}", rename("e", "d", 0));
        say!("same file: {} {}", { libc::link(c("r1").as_ptr(), c("r3").as_ptr()); rename("r1", "r3", 0) }, links("r1"));
        say!("missing: {} dot: {}", rename("none", "x", 0), rename("d/.", "x", 0));

        // Modes, owners, times.
        put("m", "m");
        say!("chmod: {} {}", show(libc::chmod(c("m").as_ptr(), 0o6755)), mode("m"));
        say!("chown drops them: {} {}", show(libc::chown(c("m").as_ptr(), 1, 1)), mode("m"));
        say!("utimens: {}", { let t = [libc::timespec { tv_sec: 5, tv_nsec: 7 }, libc::timespec { tv_sec: 0, tv_nsec: libc::UTIME_OMIT as _ }];
            let before = stat("m").expect("m").st_mtime;
            let r = show(libc::utimensat(AT_FDCWD, c("m").as_ptr(), t.as_ptr(), 0));
            let s = stat("m").expect("m");
            format!("{r} {} {} {}", s.st_atime, s.st_atime_nsec, s.st_mtime == before) });
        say!("utimens bad: {}", { let t = [libc::timespec { tv_sec: 5, tv_nsec: 1_000_000_000 }; 2]; show(libc::utimensat(AT_FDCWD, c("m").as_ptr(), t.as_ptr(), 0)) });
        let pid = fork(|| {
            libc::setgid(1000);
            libc::setuid(1000);
            say!("as a user: read {} write {} chmod {} chown {} access {}", { libc::seteuid(1000); try_open("m", O_RDONLY) }, try_open("m", O_WRONLY),
                show(libc::chmod(c("m").as_ptr(), 0o777)), show(libc::chown(c("m").as_ptr(), 1000, 1000)), show(libc::access(c("m").as_ptr(), libc::W_OK)));
            say!("as a user: create {} unlink {} setuid {}", try_open("mine", O_CREAT | O_WRONLY), show(libc::unlink(c("m").as_ptr())), show(libc::setuid(0)));
            0
        });
        wait(pid);
        libc::chmod(c(".").as_ptr(), 0o1777);
        let pid = fork(|| {
            libc::setgid(1000);
            libc::setuid(1000);
            say!("sticky: create {} own {} other's {}", try_open("mine", O_CREAT | O_WRONLY), show(libc::unlink(c("mine").as_ptr())), show(libc::unlink(c("m").as_ptr())));
            0
        });
        wait(pid);
        libc::mkdir(c("sg").as_ptr(), 0o755);
        libc::chown(c("sg").as_ptr(), 0, 33);
        libc::chmod(c("sg").as_ptr(), 0o2755);
        put("sg/x", "");
        libc::mkdir(c("sg/y").as_ptr(), 0o755);
        say!("set-gid directory: {} {} {}", stat("sg/x").expect("x").st_gid, stat("sg/y").expect("y").st_gid, mode("sg/y"));
        say!("mknod: {} {} {}", show(libc::mknod(c("fifo").as_ptr(), libc::S_IFIFO | 0o644, 0)), mode("fifo"), show(libc::mknod(c("fifo").as_ptr(), libc::S_IFIFO, 0)));
        say!("fifo, no reader: {}", try_open("fifo", O_WRONLY | libc::O_NONBLOCK));
        let rd = open("fifo", O_RDONLY | libc::O_NONBLOCK, 0);
        let wr = open("fifo", O_WRONLY, 0);
        write(wr, b"through");
        say!("fifo: {} then {}", read(rd, 20), read(rd, 20));
        close(wr);
        say!("fifo end: {}", read(rd, 20));
        close(rd);

        // Extended attributes.
        let set = |n: &str, v: &str, f: i32| show(libc::setxattr(c("m").as_ptr(), c(n).as_ptr(), v.as_ptr().cast(), v.len(), f));
        let getx = |n: &str, len: usize| { let mut b = [0u8; 64]; show(libc::getxattr(c("m").as_ptr(), c(n).as_ptr(), b.as_mut_ptr().cast(), len)) };
        say!("setxattr: {} {} size {}", set("user.a", "value", 0), getx("user.a", 64), getx("user.a", 0));
        say!("create: {} replace: {} {}", set("user.a", "x", 1), set("user.b", "x", 2), set("user.a", "longer value", 2));
        say!("small: {} missing: {} no prefix: {}", getx("user.a", 3), getx("user.none", 64), set("plain", "x", 0));
        set("user.b", "", 0);
        let mut list = [0u8; 64];
        let n = libc::listxattr(c("m").as_ptr(), list.as_mut_ptr().cast(), 64);
        let mut names: Vec<_> = list[..n.max(0) as usize].split(|b| *b == 0).filter(|s| !s.is_empty()).map(String::from_utf8_lossy).collect();
        names.sort();
        say!("list: {names:?}");
        say!("list small: {} remove: {} {}", show(libc::listxattr(c("m").as_ptr(), list.as_mut_ptr().cast(), 3)), show(libc::removexattr(c("m").as_ptr(), c("user.a").as_ptr())), show(libc::removexattr(c("m").as_ptr(), c("user.a").as_ptr())));
        say!("on a symlink: {}", show(libc::lsetxattr(c("s").as_ptr(), c("user.a").as_ptr(), c("x").as_ptr().cast(), 1, 0)));

        // Locks.
        let fd = open("lock", O_RDWR | O_CREAT, 0o600);
        say!("lock: {}", lock(fd, libc::F_SETLK, libc::F_WRLCK as i32, 10, 10));
        say!("own lock: {}", lock(fd, libc::F_GETLK, libc::F_WRLCK as i32, 0, 0));
        let pid = fork(|| {
            say!("seen by a child: {}", lock(fd, libc::F_GETLK, libc::F_RDLCK as i32, 0, 0));
            say!("refused: {} beside: {}", lock(fd, libc::F_SETLK, libc::F_RDLCK as i32, 15, 10), lock(fd, libc::F_SETLK, libc::F_RDLCK as i32, 20, 10));
            0
        });
        wait(pid);
        lock(fd, libc::F_SETLK, libc::F_UNLCK as i32, 12, 2);
        let pid = fork(|| {
            say!("split: {}", lock(fd, libc::F_GETLK, libc::F_WRLCK as i32, 0, 0));
            say!("split: {}", lock(fd, libc::F_GETLK, libc::F_WRLCK as i32, 12, 0));
            say!("free: {}", lock(fd, libc::F_SETLK, libc::F_WRLCK as i32, 12, 2));
            0
        });
        wait(pid);
        let (r, w) = guest::pipe();
        let pid = fork(|| {
            write(w, b"x");
            let r = lock(fd, libc::F_SETLKW, libc::F_WRLCK as i32, 10, 1);
            say!("waited for: {r}");
            0
        });
        read(r, 1);
        let other = open("lock", O_RDWR, 0);
        close(other); // drops all locks of the process
        wait(pid);
        let fd2 = open("lock", O_RDWR, 0);
        say!("flock: {} {}", show(libc::flock(fd, libc::LOCK_EX)), show(libc::flock(fd2, libc::LOCK_EX | libc::LOCK_NB)));
        say!("flock: {} {} {}", show(libc::flock(fd, libc::LOCK_SH)), show(libc::flock(fd2, libc::LOCK_SH | libc::LOCK_NB)), show(libc::flock(fd2, 77)));
        say!("lock errors: {} {}", lock(999, libc::F_SETLK, 0, 0, 0), lock(fd, libc::F_SETLK, libc::F_WRLCK as i32, -5, 1));

        // Descriptors.
        let fd = open("g", O_RDONLY | libc::O_CLOEXEC, 0);
        say!("cloexec: {} dup: {}", libc::fcntl(fd, libc::F_GETFD), { let n = libc::dup(fd); let f = libc::fcntl(n, libc::F_GETFD); close(n); f });
        say!("dupfd: {} {}", { let n = libc::fcntl(fd, libc::F_DUPFD, 100); let s = show(n); close(n); s }, show(libc::fcntl(fd, libc::F_DUPFD, -1)));
        say!("dup3 same: {} dup2 same: {}", show(libc::dup3(fd, fd, 0)), libc::dup2(fd, fd) == fd);
        say!("fcntl errors: {} {}", show(libc::fcntl(999, libc::F_GETFD)), show(libc::fcntl(fd, 9999)));
        say!("ioctl on a file: {}", show(libc::ioctl(fd, 0x5401, buf.as_mut_ptr())));
        close(fd);
        let mut x: libc::statx = zeroed();
        say!("statx: {} size {} mask {}", show(libc::statx(AT_FDCWD, c("g").as_ptr(), 0, libc::STATX_BASIC_STATS, &mut x)), x.stx_size, x.stx_mask & libc::STATX_BASIC_STATS == libc::STATX_BASIC_STATS);
        say!("statx errors: {} {}", show(libc::statx(AT_FDCWD, c("").as_ptr(), 0, 0, &mut x)), show(libc::statx(AT_FDCWD, c("").as_ptr(), libc::AT_EMPTY_PATH, 0, &mut x)));
        let mut fs: libc::statfs = zeroed();
        libc::statfs(c(".").as_ptr(), &mut fs);
        say!("statfs: {:x} names {}", fs.f_type, fs.f_namelen);
        // What an unlinked file keeps.
        let fd = open("u", O_RDWR | O_CREAT, 0o600);
        write(fd, b"still here");
        libc::unlink(c("u").as_ptr());
        libc::lseek(fd, 0, libc::SEEK_SET);
        say!("unlinked: {}", read(fd, 20));
        // File size limit.
        let pid = fork(|| {
            guest::disposition(libc::SIGXFSZ, libc::SIG_IGN);
            let l = libc::rlimit { rlim_cur: 5, rlim_max: 5 };
            libc::setrlimit(libc::RLIMIT_FSIZE, &l);
            let fd = open("limited", O_RDWR | O_CREAT, 0o600);
            say!("file size limit: {} then {} truncate {}", show(write(fd, b"12345678")), show(write(fd, b"9")), show(libc::ftruncate(fd, 6)));
            0
        });
        wait(pid);
        let limited = |change: fn(i32) -> i32| {
            fork(|| {
                let l = libc::rlimit { rlim_cur: 5, rlim_max: 5 };
                libc::setrlimit(libc::RLIMIT_FSIZE, &l);
                change(open("limited", O_RDWR | O_CREAT, 0o600))
            })
        };
        say!("beyond it: write {}", wait(limited(|fd| write(fd, b"123456") as i32)));
        say!("ftruncate {}", wait(limited(|fd| libc::ftruncate(fd, 6))));
        say!("fallocate {}", wait(limited(|fd| libc::fallocate(fd, 0, 0, 6))));
    }
    guest::clean(&dir);
}
