//! Control groups without controllers: the tree, membership, events, the freezer, threaded groups, kill, namespaces.
//! Needs to be the superuser; where a real Linux judges it, a mount namespace of its own.

use guest::{c, clean, close, errno, error_name, fork, pipe, read, say, scratch, show, wait, write};
use libc::{
    CLONE_NEWCGROUP, IN_MODIFY, IN_NONBLOCK, MNT_DETACH, O_RDONLY, O_RDWR, O_WRONLY, POLLERR, POLLIN, POLLPRI, SIGKILL,
};
use std::fs;

fn put(path: &str, text: &str) -> String {
    // SAFETY: a terminated string.
    let fd = unsafe { libc::open(c(path).as_ptr(), O_WRONLY) };
    if fd < 0 {
        return format!("open {}", error_name(errno()));
    }
    let r = show(write(fd, text.as_bytes()));
    close(fd);
    r
}

fn get(path: &str) -> String {
    let text = fs::read_to_string(path).unwrap_or_else(|e| error_name(e.raw_os_error().unwrap_or(0)));
    text.lines().collect::<Vec<_>>().join("; ")
}

fn mkdir(path: &str) -> String {
    // SAFETY: a terminated string.
    show(unsafe { libc::mkdir(c(path).as_ptr(), 0o755) })
}

fn rmdir(path: &str) -> String {
    // SAFETY: a terminated string.
    show(unsafe { libc::rmdir(c(path).as_ptr()) })
}

fn open(path: &str, flags: i32) -> i32 {
    // SAFETY: a terminated string.
    unsafe { libc::open(c(path).as_ptr(), flags) }
}

fn poll(fd: i32, timeout: i32) -> String {
    let mut p = libc::pollfd { fd, events: POLLPRI, revents: 0 };
    // SAFETY: one descriptor.
    let n = unsafe { libc::poll(&mut p, 1, timeout) };
    let names = [(POLLIN, "IN"), (POLLPRI, "PRI"), (POLLERR, "ERR")];
    let got: Vec<&str> = names.iter().filter(|(bit, _)| p.revents & bit != 0).map(|(_, n)| *n).collect();
    format!("{n} {}", got.join("|"))
}

/// Reads a file again from its start.
fn again(fd: i32) -> String {
    // SAFETY: no memory is touched.
    unsafe { libc::lseek(fd, 0, libc::SEEK_SET) };
    read(fd, 200)
}

fn mount(target: &str) -> String {
    // SAFETY: terminated strings.
    show(unsafe {
        libc::mount(c("none").as_ptr(), c(target).as_ptr(), c("cgroup2").as_ptr(), 0, std::ptr::null())
    })
}

/// The line of the second version, relative to the test's group.
fn mine(path: &str) -> String {
    let text = fs::read_to_string(path).unwrap_or_default();
    text.lines().filter(|l| l.starts_with("0::")).collect::<Vec<_>>().join("; ")
}

/// A child that waits until it is told to end, or is killed.
struct Sleeper {
    pid: i32,
    tell: i32,
}

impl Sleeper {
    fn start() -> Self {
        let (from, to) = pipe();
        let pid = fork(|| {
            close(to);
            read(from, 1);
            7
        });
        close(from);
        Self { pid, tell: to }
    }

    fn end(self) -> String {
        close(self.tell);
        wait(self.pid)
    }
}

fn tree(top: &str) {
    say!("= tree");
    let a = format!("{top}/a");
    say!("mkdir {} {} {}", mkdir(&a), mkdir(&a), mkdir(&format!("{a}/b")));
    say!("line end {}", mkdir(&format!("{top}/x\ny")));
    say!("as a file {}", mkdir(&format!("{a}/cgroup.procs")));
    say!("not empty {}", rmdir(&a));
    say!("file {}", rmdir(&format!("{a}/cgroup.procs")));
    // SAFETY: terminated strings.
    unsafe {
        say!("unlink {}", show(libc::unlink(c(&format!("{a}/cgroup.procs")).as_ptr())));
        let new = c(&format!("{a}/new"));
        say!("create {}", show(libc::open(new.as_ptr(), libc::O_CREAT | O_RDWR, 0o600)));
        say!("symlink {}", show(libc::symlink(c("x").as_ptr(), new.as_ptr())));
        let mut s: libc::statfs = std::mem::zeroed();
        libc::statfs(c(top).as_ptr(), &mut s);
        say!("magic {:#x}", s.f_type);
        let mut s: libc::stat = std::mem::zeroed();
        libc::stat(c(&a).as_ptr(), &mut s);
        say!("links {} mode {:o}", s.st_nlink, s.st_mode);
        libc::stat(c(&format!("{a}/cgroup.kill")).as_ptr(), &mut s);
        say!("mode {:o}", s.st_mode);
        libc::stat(c(&format!("{a}/cgroup.procs")).as_ptr(), &mut s);
        say!("mode {:o}", s.st_mode);
    }
    say!("read-only {}", put(&format!("{a}/cgroup.stat"), "1"));
    say!("write-only {}", get(&format!("{a}/cgroup.kill")));
    say!("depth {} {}", get(&format!("{a}/cgroup.max.depth")), get(&format!("{a}/cgroup.max.descendants")));
    say!("set {} {}", put(&format!("{a}/cgroup.max.descendants"), "1"), mkdir(&format!("{a}/c")));
    say!("{} {}", put(&format!("{a}/cgroup.max.descendants"), "max"), put(&format!("{a}/cgroup.max.depth"), "1\n"));
    say!("deep {} {}", mkdir(&format!("{a}/b/c")), mkdir(&format!("{a}/c")));
    say!("wrong {} {}", put(&format!("{a}/cgroup.max.depth"), "-1"), put(&format!("{a}/cgroup.max.depth"), "x"));
    say!("gone {} {} {}", rmdir(&format!("{a}/c")), rmdir(&format!("{a}/b")), rmdir(&format!("{a}/b")));
    let fd = open(&format!("{a}/cgroup.procs"), O_RDWR);
    say!("rmdir {}", rmdir(&a));
    say!("read {} write {}", read(fd, 10), show(write(fd, b"0")));
    close(fd);
}

fn members(top: &str) {
    say!("= members");
    let (a, b) = (format!("{top}/a"), format!("{top}/b"));
    mkdir(&a);
    mkdir(&b);
    let s = Sleeper::start();
    let id = s.pid.to_string();
    say!("{} {}", get(&format!("{a}/cgroup.events")), get(&format!("{a}/cgroup.procs")));
    say!("join {}", show(put(&format!("{a}/cgroup.procs"), &id).parse::<usize>().unwrap_or(0) == id.len()));
    say!("{} {}", get(&format!("{a}/cgroup.events")), get(&format!("{a}/cgroup.procs")) == id);
    say!("threads {}", get(&format!("{a}/cgroup.threads")) == id);
    say!("path {}", mine(&format!("/proc/{id}/cgroup")).ends_with("/tuxlet-test/a"));
    say!("busy {}", rmdir(&a));
    for bad in ["x", "-1", "", "1 2", "4194303"] {
        say!("wrong {bad:?} {}", put(&format!("{b}/cgroup.procs"), bad));
    }
    let fd = open(&format!("{a}/cgroup.events"), O_RDONLY);
    say!("first {}", poll(fd, 0));
    say!("{}", again(fd));
    say!("then {}", poll(fd, 0));
    // SAFETY: terminated strings.
    let notes = unsafe {
        let notes = libc::inotify_init1(IN_NONBLOCK);
        libc::inotify_add_watch(notes, c(&format!("{a}/cgroup.events")).as_ptr(), IN_MODIFY);
        notes
    };
    say!("move {}", put(&format!("{b}/cgroup.procs"), &id) == id.len().to_string());
    say!("told {} {}", poll(fd, 10_000), again(fd));
    let mut event = [0u8; 64];
    // SAFETY: the buffer has that size.
    let n = unsafe {
        let mut p = libc::pollfd { fd: notes, events: POLLIN, revents: 0 };
        libc::poll(&mut p, 1, 10_000);
        libc::read(notes, event.as_mut_ptr().cast(), event.len())
    };
    say!("noted {n} {}", i32::from_ne_bytes(event[4..8].try_into().expect("four bytes")));
    close(notes);
    say!("quiet {}", poll(fd, 0));
    say!("free {}", rmdir(&a));
    close(fd);
    say!("end {}", s.end());
    say!("{} {}", get(&format!("{b}/cgroup.procs")), rmdir(&b));
}

fn freezer(top: &str) {
    say!("= freezer");
    let (a, b) = (format!("{top}/a"), format!("{top}/a/b"));
    mkdir(&a);
    mkdir(&b);
    let s = Sleeper::start();
    put(&format!("{b}/cgroup.procs"), &s.pid.to_string());
    for bad in ["2", "x", "-1"] {
        say!("wrong {bad:?} {}", put(&format!("{a}/cgroup.freeze"), bad));
    }
    let fd = open(&format!("{a}/cgroup.events"), O_RDONLY);
    again(fd);
    say!("freeze {}", put(&format!("{a}/cgroup.freeze"), "1"));
    say!("told {}", poll(fd, 10_000));
    say!("{}; below {}", again(fd), get(&format!("{b}/cgroup.events")));
    say!("flags {} {}", get(&format!("{a}/cgroup.freeze")), get(&format!("{b}/cgroup.freeze")));
    let (pid, tell) = (s.pid, s.tell);
    close(tell);
    // SAFETY: no memory is touched.
    say!("still there {}", unsafe { libc::usleep(20_000); libc::waitpid(pid, std::ptr::null_mut(), libc::WNOHANG) });
    say!("thaw {}", put(&format!("{a}/cgroup.freeze"), "0"));
    say!("end {}", wait(pid));
    say!("{}", get(&format!("{a}/cgroup.events")));

    say!("empty {} {}", put(&format!("{b}/cgroup.freeze"), "1"), get(&format!("{b}/cgroup.events")));
    let s = Sleeper::start();
    put(&format!("{b}/cgroup.procs"), &s.pid.to_string());
    let fd = open(&format!("{b}/cgroup.events"), O_RDONLY);
    while !again(fd).contains("frozen 1") {
        poll(fd, 1000);
    }
    // SAFETY: no memory is touched.
    unsafe { libc::kill(s.pid, SIGKILL) };
    say!("killed {}", wait(s.pid));
    close(s.tell);
    say!("{}", get(&format!("{b}/cgroup.events")));
    say!("{} {}", rmdir(&b), rmdir(&a));
}

fn kill(top: &str) {
    say!("= kill");
    let (a, b) = (format!("{top}/a"), format!("{top}/a/b"));
    mkdir(&a);
    mkdir(&b);
    let (s, t) = (Sleeper::start(), Sleeper::start());
    put(&format!("{a}/cgroup.procs"), &s.pid.to_string());
    put(&format!("{b}/cgroup.procs"), &t.pid.to_string());
    for bad in ["0", "2", "x"] {
        say!("wrong {bad:?} {}", put(&format!("{a}/cgroup.kill"), bad));
    }
    say!("kill {}", put(&format!("{a}/cgroup.kill"), "1"));
    say!("{} {}", wait(s.pid), wait(t.pid));
    say!("{} {} {}", get(&format!("{a}/cgroup.events")), rmdir(&b), rmdir(&a));
}

fn threaded(top: &str) {
    say!("= threaded");
    let (a, b) = (format!("{top}/a"), format!("{top}/a/b"));
    mkdir(&a);
    mkdir(&b);
    say!("{} {}", get(&format!("{a}/cgroup.type")), get(&format!("{b}/cgroup.type")));
    say!("wrong {} {}", put(&format!("{b}/cgroup.type"), "domain"), put(&format!("{b}/cgroup.type"), "x"));
    let s = Sleeper::start();
    let id = s.pid.to_string();
    put(&format!("{b}/cgroup.procs"), &id);
    say!("populated {}", put(&format!("{b}/cgroup.type"), "threaded"));
    put(&format!("{a}/cgroup.procs"), &id);
    say!("threaded {}", put(&format!("{b}/cgroup.type"), "threaded"));
    say!("{} {}", get(&format!("{a}/cgroup.type")), get(&format!("{b}/cgroup.type")));
    let other = format!("{a}/c");
    mkdir(&other);
    say!("{} {}", get(&format!("{other}/cgroup.type")), put(&format!("{other}/cgroup.procs"), &id));
    say!("thread {}", put(&format!("{b}/cgroup.threads"), &id) == id.len().to_string());
    say!("procs {} {}", get(&format!("{b}/cgroup.procs")), get(&format!("{a}/cgroup.procs")) == id);
    let stranger = Sleeper::start();
    say!("stranger {}", put(&format!("{b}/cgroup.threads"), &stranger.pid.to_string()));
    say!("kill {}", put(&format!("{b}/cgroup.kill"), "1"));
    // It has the other's pipe, too.
    say!("{}", stranger.end());
    say!("{}", s.end());
    say!("{} {} {}", rmdir(&other), rmdir(&b), rmdir(&a));
}

#[repr(C)]
#[derive(Default)]
struct CloneArgs {
    flags: u64,
    pidfd: u64,
    child_tid: u64,
    parent_tid: u64,
    exit_signal: u64,
    stack: u64,
    stack_size: u64,
    tls: u64,
    set_tid: u64,
    set_tid_size: u64,
    cgroup: u64,
}

fn clone_into(fd: i32, f: impl FnOnce() -> i32) -> Result<i32, String> {
    let args = CloneArgs {
        flags: 0x2_0000_0000,
        exit_signal: libc::SIGCHLD as u64,
        cgroup: fd as u64,
        ..CloneArgs::default()
    };
    // SAFETY: a fork with another first group; the child only calls what is allowed there.
    match unsafe { libc::syscall(libc::SYS_clone3, &args, size_of::<CloneArgs>()) } {
        0 => {
            let code = f();
            // SAFETY: ends the child.
            unsafe { libc::_exit(code) }
        }
        -1 => Err(error_name(errno())),
        pid => Ok(pid as i32),
    }
}

fn birth(top: &str) {
    say!("= birth");
    let a = format!("{top}/a");
    mkdir(&a);
    let fd = open(&a, O_RDONLY);
    let born = clone_into(fd, || i32::from(mine("/proc/self/cgroup").ends_with("/tuxlet-test/a")));
    say!("born {}", born.map_or_else(|e| e, wait));
    let file = open(&format!("{a}/cgroup.procs"), O_RDONLY);
    say!("file {:?}", clone_into(file, || 0).map(|_| ()));
    say!("elsewhere {:?}", clone_into(open("/", O_RDONLY), || 0).map(|_| ()));
    say!("nothing {:?}", clone_into(99, || 0).map(|_| ()));
    say!("rmdir {}", rmdir(&a));
    say!("removed {:?}", clone_into(fd, || 0).map(|_| ()));
}

fn namespace(top: &str, dir: &str) {
    say!("= namespace");
    let (a, b) = (format!("{top}/a"), format!("{top}/a/b"));
    mkdir(&a);
    mkdir(&b);
    let s = Sleeper::start();
    put(&format!("{top}/cgroup.procs"), &s.pid.to_string());
    let pid = fork(|| {
        put(&format!("{a}/cgroup.procs"), "0");
        // SAFETY: no memory is touched.
        say!("unshare {}", show(unsafe { libc::unshare(CLONE_NEWCGROUP) }));
        say!("{}", mine("/proc/self/cgroup"));
        say!("{}", mine(&format!("/proc/{}/cgroup", s.pid)));
        put(&format!("{b}/cgroup.procs"), "0");
        say!("{}", mine("/proc/self/cgroup"));
        let inner = format!("{dir}/inner");
        fs::create_dir(&inner).expect("a directory");
        say!("mount {}", mount(&inner));
        say!("top {}", fs::metadata(format!("{inner}/b")).is_ok());
        say!("{}", get(&format!("{inner}/b/cgroup.procs")) == unsafe { libc::getpid() }.to_string());
        let line = fs::read_to_string("/proc/self/mountinfo").expect("the mounts");
        let line = line.lines().find(|l| l.contains("/inner ")).expect("the mount").to_owned();
        say!("root {}", line.split(' ').nth(3).expect("a field"));
        // SAFETY: a terminated string.
        unsafe { libc::umount2(c(&inner).as_ptr(), MNT_DETACH) };
        0
    });
    say!("{}", wait(pid));
    say!("{}", s.end());
    say!("{} {}", rmdir(&b), rmdir(&a));
}

fn main() {
    let dir = scratch("cgroups");
    let dir = dir.as_str();
    let whole = format!("{dir}/whole");
    fs::create_dir(&whole).expect("a directory");
    say!("mount {}", mount(&whole));
    let top = format!("{whole}/tuxlet-test");
    say!("mkdir {}", mkdir(&top));
    tree(&top);
    members(&top);
    freezer(&top);
    kill(&top);
    threaded(&top);
    birth(&top);
    namespace(&top, dir);
    say!("rmdir {}", rmdir(&top));
    // SAFETY: a terminated string.
    unsafe { libc::umount2(c(&whole).as_ptr(), MNT_DETACH) };
    clean(dir);
}
