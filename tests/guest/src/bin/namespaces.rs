//! Namespaces: unshare(2), setns(2), clone(2) with `CLONE_NEW*`, id maps, process ids, what belongs to whom. Needs to be the
//! superuser; where a real Linux judges it, a mount namespace of its own.

use guest::{c, clean, close, errno, error_name, fork, ok, pipe, read, say, scratch, show, signal_name, wait, write};
use libc::{
    CLONE_FS, CLONE_NEWCGROUP, CLONE_NEWIPC, CLONE_NEWNS, CLONE_NEWPID, CLONE_NEWUSER, CLONE_NEWUTS, CLONE_SIGHAND,
    CLONE_THREAD, CLONE_VM, MNT_DETACH, MS_PRIVATE, MS_REC, O_RDONLY, O_RDWR, SIGKILL, SIGTERM,
};
use std::{fs, os::unix::fs::MetadataExt};

const NS_GET_USERNS: u64 = 0xb701;
const NS_GET_PARENT: u64 = 0xb702;
const NS_GET_NSTYPE: u64 = 0xb703;
const NS_GET_OWNER_UID: u64 = 0xb704;

fn unshare(flags: i32) -> String {
    // SAFETY: the programs have one thread.
    show(unsafe { libc::unshare(flags) })
}

fn setns(fd: i32, kind: i32) -> String {
    // SAFETY: no memory is touched.
    show(unsafe { libc::setns(fd, kind) })
}

fn open(path: &str) -> i32 {
    // SAFETY: a terminated string.
    unsafe { libc::open(c(path).as_ptr(), O_RDONLY) }
}

fn set_name(name: &str) -> String {
    // SAFETY: the name has that length.
    show(unsafe { libc::sethostname(name.as_ptr().cast(), name.len()) })
}

fn name() -> String {
    fs::read_to_string("/proc/sys/kernel/hostname").map_or_else(|e| e.to_string(), |s| s.trim().into())
}

fn mount(source: &str, target: &str, kind: &str, flags: u64, data: &str) -> String {
    // SAFETY: terminated strings.
    let r = unsafe {
        libc::mount(c(source).as_ptr(), c(target).as_ptr(), c(kind).as_ptr(), flags, c(data).as_ptr().cast())
    };
    show(r)
}

fn put(path: &str, text: &str) -> String {
    // SAFETY: a terminated string.
    let fd = unsafe { libc::open(c(path).as_ptr(), O_RDWR) };
    if fd < 0 {
        return error_name(errno());
    }
    let r = show(write(fd, text.as_bytes()));
    close(fd);
    r
}

fn get(path: &str) -> String {
    let text = fs::read_to_string(path).unwrap_or_else(|e| error_name(e.raw_os_error().unwrap_or(0)));
    let lines: Vec<String> = text.lines().map(|l| l.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
    lines.join("; ")
}

fn link(kind: &str) -> String {
    fs::read_link(format!("/proc/self/ns/{kind}")).map_or_else(|e| e.to_string(), |p| p.display().to_string())
}

/// `/proc/self` may lie outside of the namespace; the numbers of the others do not matter.
fn ids() -> String {
    // SAFETY: no memory is touched.
    unsafe { format!("uid {} {} gid {} {}", libc::getuid(), libc::geteuid(), libc::getgid(), libc::getegid()) }
}

/// Runs `f` in a child and says how that ended.
fn child(f: impl FnOnce()) {
    let pid = fork(|| {
        f();
        0
    });
    say!("child: {}", wait(pid));
}

fn become_user(id: u32) {
    // SAFETY: no memory is touched.
    unsafe {
        libc::syscall(libc::SYS_setgroups, 0, 0);
        libc::syscall(libc::SYS_setresgid, id, id, id);
        libc::syscall(libc::SYS_setresuid, id, id, id);
        libc::prctl(libc::PR_SET_DUMPABLE, 1, 0, 0, 0);
    }
}

fn uts() {
    say!("= uts");
    let before = name();
    let first = open("/proc/self/ns/uts");
    child(|| {
        say!("{} {}", unshare(CLONE_NEWUTS), name() == before);
        say!("{} {}", set_name("inner"), name());
        say!("wrong kind {}", setns(first, CLONE_NEWIPC));
        say!("back {} {}", setns(first, CLONE_NEWUTS), name() == before);
    });
    say!("{}", name() == before);
    say!("not a namespace {}", setns(open("/dev/null"), 0));
    say!("not open {}", setns(99, 0));
    close(first);
}

fn ipc() {
    say!("= ipc");
    // SAFETY: no memory is touched.
    unsafe {
        let id = libc::msgget(0x7475_786c, libc::IPC_CREAT | 0o600);
        say!("made {}", ok(id));
        child(|| {
            say!("found {}", ok(libc::msgget(0x7475_786c, 0)));
            say!("{}", unshare(CLONE_NEWIPC));
            say!("not found {}", ok(libc::msgget(0x7475_786c, 0)));
        });
        say!("removed {}", show(libc::msgctl(id, libc::IPC_RMID, std::ptr::null_mut())));
    }
}

fn user(dir: &str) {
    say!("= user");
    fs::write(format!("{dir}/roots"), "x").expect("a file");
    // SAFETY: a terminated string.
    unsafe {
        libc::chmod(c(&format!("{dir}/roots")).as_ptr(), 0o600);
        libc::chmod(c(dir).as_ptr(), 0o777);
    }
    child(|| {
        become_user(1000);
        fs::write(format!("{dir}/mine"), "x").expect("a file");
        say!("uts needs rights {}", unshare(CLONE_NEWUTS));
        say!("{} {}", unshare(CLONE_NEWUSER), ids());
        say!("maps: [{}] [{}] {}", get("/proc/self/uid_map"), get("/proc/self/gid_map"), get("/proc/self/setgroups"));
        say!("two ids {}", put("/proc/self/uid_map", "0 1000 2"));
        say!("another's {}", put("/proc/self/uid_map", "0 0 1"));
        say!("nonsense {}", put("/proc/self/uid_map", "0 1000"));
        say!("own {}", put("/proc/self/uid_map", "0 1000 1\n"));
        say!("again {}", put("/proc/self/uid_map", "0 1000 1\n"));
        say!("group {}", put("/proc/self/gid_map", "0 1000 1"));
        say!("deny {}", put("/proc/self/setgroups", "deny"));
        say!("group {}", put("/proc/self/gid_map", "0 1000 1"));
        say!("allow {}", put("/proc/self/setgroups", "allow"));
        say!("maps: [{}] [{}] {}", get("/proc/self/uid_map"), get("/proc/self/gid_map"), get("/proc/self/setgroups"));
        say!("{}", ids());
        // SAFETY: no memory is touched but by terminated strings.
        unsafe {
            say!("setuid to a stranger {}", show(libc::syscall(libc::SYS_setuid, 5)));
            say!("setgroups {}", show(libc::syscall(libc::SYS_setgroups, 0, 0)));
            say!("chown to a stranger {}", show(libc::chown(c(&format!("{dir}/mine")).as_ptr(), 5, u32::MAX)));
            say!("chown {}", show(libc::chown(c(&format!("{dir}/mine")).as_ptr(), 0, 0)));
            say!("root's file {}", show(libc::access(c(&format!("{dir}/roots")).as_ptr(), libc::R_OK)));
            say!("chmod of root's file {}", show(libc::chmod(c(&format!("{dir}/roots")).as_ptr(), 0o666)));
            say!("device {}", show(libc::mknod(c(&format!("{dir}/null")).as_ptr(), libc::S_IFCHR | 0o666, 0x103)));
            say!("kill init {}", show(libc::kill(libc::getppid(), 0)));
        }
        for file in ["mine", "roots"] {
            let meta = fs::metadata(format!("{dir}/{file}")).expect("it is there");
            say!("{file}: {} {}", meta.uid(), meta.gid());
        }
        let status = fs::read_to_string("/proc/self/status").expect("status");
        for line in status.lines().filter(|l| l.starts_with("Uid") || l.starts_with("CapInh")) {
            say!("{}", line.split_whitespace().collect::<Vec<_>>().join(" "));
        }
        say!("name {}", set_name("outer"));
        say!("{} {}", unshare(CLONE_NEWUTS), set_name("inner"));
        say!("mount {}", mount("none", dir, "tmpfs", 0, ""));
        say!("{} {}", unshare(CLONE_NEWNS), mount("none", dir, "tmpfs", 0, ""));
        // SAFETY: a terminated string.
        say!("inherited mount {}", show(unsafe { libc::umount2(c("/dev/shm").as_ptr(), MNT_DETACH) }));
        let meta = fs::metadata(dir).expect("it is there");
        say!("its root: {} {}", meta.uid(), meta.gid());
        say!("device {}", mount("/dev/null", dir, "ext2", 0, "") == "0");
        say!("{} {}", unshare(CLONE_NEWUSER), ids());
        say!("map {}", put("/proc/self/uid_map", "7 0 1"));
        say!("{}", ids());
    });
    child(|| {
        // The superuser maps what it wants, from outside.
        let (from, to) = pipe();
        let (go, start) = pipe();
        let pid = fork(|| {
            say!("{}", unshare(CLONE_NEWUSER));
            write(to, b"x");
            read(go, 1);
            say!("{}", ids());
            // SAFETY: no memory is touched.
            unsafe {
                say!("setresuid {}", show(libc::syscall(libc::SYS_setresuid, 1, 2, 3)));
                say!("{}", ids());
                let group = 4u32;
                say!("setgroups without rights {}", show(libc::syscall(libc::SYS_setgroups, 1, &raw const group)));
            }
            0
        });
        read(from, 1);
        say!("{}", put(&format!("/proc/{pid}/uid_map"), "0 100000 10\n10 0 1\n"));
        say!("{}", put(&format!("/proc/{pid}/gid_map"), "0 100000 10\n10 0 1\n"));
        say!("{}", get(&format!("/proc/{pid}/uid_map")));
        write(start, b"x");
        say!("{}", wait(pid));
    });
}

fn clone3(args: &mut [u64; 11]) -> i64 {
    // SAFETY: a child without new memory is like one of fork(2).
    unsafe { libc::syscall(libc::SYS_clone3, args.as_mut_ptr(), size_of_val(args)) as i64 }
}

fn pid() {
    say!("= pid");
    child(|| {
        say!("{}", unshare(CLONE_NEWPID));
        say!("again {}", unshare(CLONE_NEWPID));
        say!("thread {}", {
            let flags = CLONE_VM | CLONE_SIGHAND | CLONE_THREAD;
            // SAFETY: it fails.
            ok(unsafe { libc::syscall(libc::SYS_clone, flags, 0, 0, 0, 0) })
        });
        let (from, to) = pipe();
        // SAFETY: no memory is touched.
        let first = fork(|| unsafe {
            say!("first: {} parent {}", libc::getpid(), libc::getppid());
            say!("group {} session {}", libc::getpgid(0), libc::getsid(0));
            let second = fork(|| {
                say!("second: {} parent {}", libc::getpid(), libc::getppid());
                let (gone, go) = pipe();
                let third = fork(|| {
                    close(go);
                    read(gone, 1);
                    while libc::getppid() != 1 {
                        libc::sched_yield();
                    }
                    say!("orphan {} adopted by {}", libc::getpid(), libc::getppid());
                    say!("kill first {} {}", show(libc::kill(1, SIGTERM)), show(libc::kill(1, SIGKILL)));
                    say!("group {}", libc::getpgid(0));
                    write(to, b"x");
                    9
                });
                say!("third: {third}");
                3
            });
            let end = wait(second);
            read(from, 1);
            say!("second is {second}: {end}");
            let mut status = 0;
            say!("waited for {} {}", libc::waitpid(-1, &mut status, 0), libc::WEXITSTATUS(status));
            let mut args = [0u64; 11];
            let ids = [77i32];
            (args[4], args[8], args[9]) = (libc::SIGCHLD as u64, &raw const ids as u64, 1);
            let wanted = clone3(&mut args);
            if wanted == 0 {
                say!("wanted {}", libc::getpid());
                libc::_exit(0);
            }
            say!("wanted {wanted}: {}", wait(wanted as i32));
            let last = fork(|| {
                libc::kill(libc::getpid(), libc::SIGSTOP);
                0
            });
            let mut info: libc::siginfo_t = std::mem::zeroed();
            let r = libc::waitid(libc::P_ALL, 0, &mut info, libc::WSTOPPED | libc::WEXITED | libc::WNOWAIT);
            say!("waitid {} {} {}", show(r), info.si_pid() == last, signal_name(info.si_status()));
            say!("setsid {}", libc::setsid());
            say!("{} {} {}", libc::getsid(0), libc::getpgid(0), libc::getpgid(last));
            // The stopped one does not outlive it.
            5
        });
        say!("first: {}", wait(first));
        let pid = fork(|| 0);
        say!("after it {}", if pid < 0 { error_name(errno()) } else { wait(pid) });
    });
    // The end of a namespace is told by a signal; the machine goes on.
    for (name, command) in [
        ("restart", libc::LINUX_REBOOT_CMD_RESTART),
        ("power off", libc::LINUX_REBOOT_CMD_POWER_OFF),
        ("halt", libc::LINUX_REBOOT_CMD_HALT),
        ("cad on", libc::LINUX_REBOOT_CMD_CAD_ON),
    ] {
        child(|| {
            unshare(CLONE_NEWPID);
            let first = fork(|| {
                // SAFETY: no memory is touched.
                if unsafe { libc::getpid() } != 1 {
                    // Anything but a namespace of its own.
                    return 1;
                }
                let second = fork(|| {
                    // SAFETY: no memory is touched; it is in a process id namespace that was made above.
                    say!("{}", show(unsafe { libc::reboot(command) }));
                    7
                });
                say!("second {}", wait(second));
                8
            });
            say!("{name}: {}", wait(first));
        });
    }
    child(|| {
        // All members end with the first; the pipe's end shows it.
        unshare(CLONE_NEWPID);
        let (from, to) = pipe();
        let (ready, tell) = pipe();
        let first = fork(|| {
            for _ in 0..3 {
                fork(|| {
                    write(tell, b"x");
                    loop {
                        // SAFETY: no memory is touched.
                        unsafe { libc::pause() };
                    }
                });
            }
            loop {
                // SAFETY: no memory is touched.
                unsafe { libc::pause() };
            }
        });
        close(to);
        for _ in 0..3 {
            read(ready, 1);
        }
        // SAFETY: no memory is touched.
        say!("kill {}", show(unsafe { libc::kill(first, SIGKILL) }));
        say!("{} {}", wait(first), read(from, 1));
    });
}

fn proc(dir: &str) {
    say!("= proc");
    child(|| {
        say!("{}", unshare(CLONE_NEWNS | CLONE_NEWPID));
        say!("{}", mount("none", "/", "", MS_REC | MS_PRIVATE, ""));
        let first = fork(|| {
            say!("{}", mount("proc", dir, "proc", 0, ""));
            let second = fork(|| {
                let mut all: Vec<u32> = fs::read_dir(dir)
                    .expect("proc")
                    .filter_map(|e| e.ok()?.file_name().to_str()?.parse().ok())
                    .collect();
                all.sort_unstable();
                say!("{all:?} self {}", fs::read_link(format!("{dir}/self")).expect("a link").display());
                let stat = fs::read_to_string(format!("{dir}/self/stat")).expect("stat");
                let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or("").split_whitespace().collect();
                say!("parent {} group {}", fields[1], fields[2]);
                let status = fs::read_to_string(format!("{dir}/self/status")).expect("status");
                for line in status.lines().filter(|l| {
                    ["Pid:", "Tgid:", "PPid:", "NSpid:", "NSsid:"].iter().any(|k| l.starts_with(k))
                }) {
                    say!("{}", line.split_whitespace().collect::<Vec<_>>().join(" "));
                }
                0
            });
            say!("{}", wait(second));
            0
        });
        say!("{}", wait(first));
    });
}

fn mounts(dir: &str) {
    say!("= mounts");
    fs::create_dir(format!("{dir}/new")).expect("a directory");
    child(|| {
        say!("{}", unshare(CLONE_NEWNS));
        say!("{}", mount("none", "/", "", MS_REC | MS_PRIVATE, ""));
        let new = format!("{dir}/new");
        say!("{}", mount("none", &new, "tmpfs", 0, "mode=755"));
        fs::create_dir(format!("{new}/inside")).expect("a directory");
        std::env::set_current_dir(&new).expect("the new root");
        // SAFETY: terminated strings.
        unsafe {
            say!("pivot {}", show(libc::syscall(libc::SYS_pivot_root, c(".").as_ptr(), c(".").as_ptr())));
            say!("detach {}", show(libc::umount2(c(".").as_ptr(), MNT_DETACH)));
        }
        std::env::set_current_dir("/").expect("the root");
        let names: Vec<_> = fs::read_dir("/").expect("the root").filter_map(|e| e.ok()).map(|e| e.file_name()).collect();
        say!("{names:?}");
    });
    say!("outside: {}", fs::read_dir(format!("{dir}/new")).expect("it is there").count());
}

fn files() {
    say!("= files");
    for kind in ["cgroup", "ipc", "mnt", "pid", "user", "uts"] {
        let fd = open(&format!("/proc/self/ns/{kind}"));
        let ino = fs::metadata(format!("/proc/self/ns/{kind}")).expect("a file").ino();
        // SAFETY: these requests take no memory.
        let (kind_of, owner) = unsafe { (libc::ioctl(fd, NS_GET_NSTYPE as _), libc::ioctl(fd, NS_GET_USERNS as _)) };
        say!("{kind} {} {:#x} {}", link(kind) == format!("{kind}:[{ino}]"), kind_of, ok(owner));
        close(owner);
        close(fd);
    }
    let fd = open("/proc/self/ns/uts");
    // SAFETY: none of these succeeds in touching memory but the last, which has room.
    unsafe {
        say!("parent of uts {}", ok(libc::ioctl(fd, NS_GET_PARENT as _)));
        let mut uid = 0u32;
        say!("owner of uts {}", ok(libc::ioctl(fd, NS_GET_OWNER_UID as _, &raw mut uid)));
        say!("nonsense {}", ok(libc::ioctl(fd, 0xb7ff as _)));
    }
    child(|| {
        become_user(1000);
        unshare(CLONE_NEWUSER);
        put("/proc/self/uid_map", "3 1000 1");
        let (fd, mut uid) = (open("/proc/self/ns/user"), 0u32);
        // SAFETY: there is room for a number.
        unsafe {
            say!("owner {} {uid}", show(libc::ioctl(fd, NS_GET_OWNER_UID as _, &raw mut uid)));
            say!("owner is {uid}");
            say!("parent {}", ok(libc::ioctl(fd, NS_GET_PARENT as _)));
        }
        say!("oneself {}", setns(fd, CLONE_NEWUSER));
    });
    child(|| {
        let (ready, tell) = pipe();
        let (wait_for, end) = pipe();
        let pid = fork(|| {
            close(end);
            unshare(CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWCGROUP);
            set_name("other");
            write(tell, b"x");
            read(wait_for, 1);
            0
        });
        read(ready, 1);
        // SAFETY: no memory is touched.
        let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) } as i32;
        say!("none {}", setns(fd, 0));
        say!("two {} {}", setns(fd, CLONE_NEWUTS | CLONE_NEWIPC), name());
        close(end);
        close(wait_for);
        say!("{}", wait(pid));
    });
}

fn errors() {
    say!("= errors");
    say!("{}", unshare(0x40));
    child(|| {
        become_user(1000);
        for flags in [CLONE_NEWNS, CLONE_NEWIPC, CLONE_NEWPID, CLONE_NEWCGROUP] {
            say!("{}", unshare(flags));
        }
    });
    for flags in [
        CLONE_NEWUSER | CLONE_FS,
        CLONE_NEWNS | CLONE_FS,
        CLONE_NEWPID | CLONE_THREAD | CLONE_SIGHAND | CLONE_VM,
    ] {
        // SAFETY: it fails.
        say!("{}", ok(unsafe { libc::syscall(libc::SYS_clone, flags, 0, 0, 0, 0) }));
    }
}

fn main() {
    let dir = scratch("namespaces");
    uts();
    ipc();
    user(&dir);
    pid();
    proc(&dir);
    mounts(&dir);
    files();
    errors();
    clean(&dir);
}
