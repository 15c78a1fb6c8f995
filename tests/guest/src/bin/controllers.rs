//! The controllers of control groups: pids, memory, cpu, and the rules of `cgroup.subtree_control`. The transcript was
//! written by hand from the kernel's admin-guide/cgroup-v2, since hosts rarely have them all to spare.

use guest::{c, close, errno, error_name, fork, pipe, read, say, show, wait, write};
use libc::{MAP_ANONYMOUS, MAP_FAILED, MAP_PRIVATE, O_WRONLY, PROT_READ, PROT_WRITE};
use std::{fs, ptr};

const TOP: &str = "/sys/fs/cgroup";
const MIB: usize = 1 << 20;

fn put(path: &str, text: &str) -> String {
    // SAFETY: a terminated string.
    let fd = unsafe { libc::open(c(&format!("{TOP}/{path}")).as_ptr(), O_WRONLY) };
    if fd < 0 {
        return format!("open {}", error_name(errno()));
    }
    let r = write(fd, text.as_bytes());
    let r = if r == text.len() as isize { "ok".into() } else { show(r) };
    close(fd);
    r
}

fn get(path: &str) -> String {
    let text = fs::read_to_string(format!("{TOP}/{path}"));
    let text = text.unwrap_or_else(|e| error_name(e.raw_os_error().unwrap_or(0)));
    text.lines().collect::<Vec<_>>().join("; ")
}

/// One number of a file with names and numbers.
fn number(path: &str, name: &str) -> u64 {
    let text = fs::read_to_string(format!("{TOP}/{path}")).expect("the file");
    let line = text.lines().find_map(|l| l.strip_prefix(name)?.strip_prefix(' '));
    line.expect("the name").parse().expect("a number")
}

fn mkdir(path: &str) -> String {
    show(fs::create_dir(format!("{TOP}/{path}")).map_or(-1, |()| 0))
}

fn rmdir(path: &str) -> String {
    show(fs::remove_dir(format!("{TOP}/{path}")).map_or(-1, |()| 0))
}

fn has(path: &str) -> bool {
    fs::metadata(format!("{TOP}/{path}")).is_ok()
}

/// Runs `f` in a child that is in a group, and says how that ended.
fn within(group: &str, f: impl FnOnce() -> i32) -> String {
    let pid = fork(|| {
        put(&format!("{group}/cgroup.procs"), "0");
        f()
    });
    wait(pid)
}

fn subtree() {
    say!("= subtree_control");
    say!("{}", get("cgroup.controllers"));
    say!("[{}]", get("cgroup.subtree_control"));
    say!("{} {}", mkdir("a"), mkdir("a/b"));
    say!("[{}] {}", get("a/cgroup.controllers"), has("a/pids.max"));
    say!("not on {}", put("a/cgroup.subtree_control", "+pids"));
    for bad in ["pids", "+", "+io", "+pids,+cpu"] {
        say!("wrong {bad} {}", put("cgroup.subtree_control", bad));
    }
    say!("on {}", put("cgroup.subtree_control", "+pids +memory"));
    say!("[{}] {}", get("a/cgroup.controllers"), has("a/pids.max"));
    say!("[{}] {}", get("a/b/cgroup.controllers"), has("a/b/pids.max"));
    say!("below {}", put("a/cgroup.subtree_control", "+pids +memory"));
    say!("used {}", put("cgroup.subtree_control", "-pids"));
    say!("last counts {}", put("a/cgroup.subtree_control", "+pids -pids"));
    say!("[{}] {}", get("a/cgroup.subtree_control"), has("a/b/pids.max"));
    say!("inner {}", within("a", || i32::from(put("a/cgroup.procs", "0") != "EBUSY")));
    let busy = || {
        say!("tasks {}", put("a/b/cgroup.procs", "0"));
        say!("tasks {}", put("a/b/cgroup.subtree_control", "+memory"));
        0
    };
    say!("{}", wait(fork(busy)));
    say!("off {}", put("a/cgroup.subtree_control", "-memory"));
    say!("off {}", put("cgroup.subtree_control", "-memory -pids"));
    say!("{} {} {}", has("a/memory.max"), rmdir("a/b"), rmdir("a"));
}

fn pids() {
    say!("= pids");
    say!("{} {}", put("cgroup.subtree_control", "+pids"), mkdir("a"));
    say!("{} {} {}", get("a/pids.max"), get("a/pids.current"), get("a/pids.events"));
    for bad in ["-1", "x", "99999999"] {
        say!("wrong {bad} {}", put("a/pids.max", bad));
    }
    say!("max {} {}", put("a/pids.max", "2"), get("a/pids.max"));
    let full = || {
        let (from, to) = pipe();
        let first = fork(|| {
            close(to);
            read(from, 1);
            0
        });
        say!("current {}", get("a/pids.current"));
        // SAFETY: the child, which there should not be, ends at once.
        let second = unsafe { libc::fork() };
        if second == 0 {
            return 9;
        }
        say!("fork {}", show(second));
        let thread = std::thread::Builder::new().spawn(|| ());
        say!("thread {}", thread.map_or_else(|e| error_name(e.raw_os_error().unwrap_or(0)), |_| "made".into()));
        close(to);
        say!("{}", wait(first));
        say!("again {}", wait(fork(|| 3)));
        0
    };
    say!("{}", within("a", full));
    say!("{} {} {}", get("a/pids.current"), get("a/pids.peak"), get("a/pids.events"));
    // A process may be moved in although there is no room.
    say!("none {}", put("a/pids.max", "0"));
    say!("{}", within("a", || i32::from(get("a/pids.current") != "1")));
    say!("{}", rmdir("a"));
}

/// Touches so many bytes of new memory.
fn touch(bytes: usize) -> i32 {
    // SAFETY: new memory of that size.
    unsafe {
        let at = libc::mmap(ptr::null_mut(), bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if at == MAP_FAILED {
            return 1;
        }
        for i in (0..bytes).step_by(4096) {
            at.cast::<u8>().add(i).write_volatile(1);
        }
    }
    0
}

fn memory() {
    say!("= memory");
    say!("{} {}", put("cgroup.subtree_control", "+memory"), mkdir("a"));
    say!("{} {} {}", get("a/memory.max"), get("a/memory.high"), get("a/memory.current"));
    for bad in ["-1", "x", "1q"] {
        say!("wrong {bad} {}", put("a/memory.max", bad));
    }
    say!("{} {}", put("a/memory.max", "16M"), get("a/memory.max"));
    say!("{} {}", put("a/memory.max", "8388609"), get("a/memory.max"));
    let fits = || {
        let code = touch(2 * MIB);
        let current: usize = get("a/memory.current").parse().expect("a number");
        say!("counted {}", (2 * MIB..8 * MIB).contains(&current));
        say!("anonymous {}", (2 * MIB..8 * MIB).contains(&(number("a/memory.stat", "anon") as usize)));
        code
    };
    say!("fits {}", within("a", fits));
    say!("given back {}", get("a/memory.current"));
    say!("too much {}", within("a", || touch(32 * MIB)));
    let count = |name| number("a/memory.events", name);
    say!("{} {} {}", count("max") > 0, count("oom"), count("oom_kill"));
    let peak: usize = get("a/memory.peak").parse().expect("a number");
    say!("peak {}", (8 * MIB - 65_536..=8 * MIB).contains(&peak));
    // What the group does not own does not count.
    say!("outside {}", wait(fork(|| touch(32 * MIB))));
    let shared = || {
        let data = vec![1u8; MIB];
        for i in 0..32 {
            if let Err(e) = fs::write(format!("/dev/shm/full{i}"), &data) {
                return e.raw_os_error().unwrap_or(0);
            }
        }
        0
    };
    say!("files {}", within("a", shared));
    say!("kept {}", number("a/memory.stat", "shmem") > 0);
    for i in 0..32 {
        let _ = fs::remove_file(format!("/dev/shm/full{i}"));
    }
    say!("given back {}", get("a/memory.current"));

    say!("below {} {}", put("a/cgroup.subtree_control", "+memory"), mkdir("a/b"));
    let kills = count("oom_kill");
    say!("limit above {}", within("a/b", || touch(32 * MIB)));
    say!("{} {}", count("oom_kill") - kills, number("a/b/memory.events", "oom_kill"));
    say!("local {}", number("a/memory.events.local", "oom_kill") == kills);
    say!("group {}", put("a/b/memory.oom.group", "1"));
    let both = || {
        let (from, to) = pipe();
        let other = fork(|| {
            close(to);
            read(from, 1);
            0
        });
        // The pipe's other end goes with the process that is killed; its child is killed with it.
        let _ = other;
        touch(32 * MIB)
    };
    say!("all {}", within("a/b", both));
    while number("a/b/cgroup.events", "populated") != 0 {
        std::thread::yield_now();
    }
    say!("{} {}", number("a/b/memory.events", "oom_group_kill"), get("a/b/cgroup.procs"));
    say!("{} {}", rmdir("a/b"), rmdir("a"));
}

fn cpu_time() -> u64 {
    let mut t = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: a place for the time.
    unsafe { libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &mut t) };
    t.tv_sec as u64 * 1_000_000_000 + t.tv_nsec as u64
}

fn cpu() {
    say!("= cpu");
    say!("{} {}", put("cgroup.subtree_control", "+cpu"), mkdir("a"));
    say!("{} {} {}", get("a/cpu.max"), get("a/cpu.weight"), get("a/cpu.max.burst"));
    for bad in ["x", "", "10", "1000 10", "2000 2000000", "-1"] {
        say!("wrong {bad:?} {}", put("a/cpu.max", bad));
    }
    say!("wrong {} {}", put("a/cpu.weight", "0"), put("a/cpu.weight", "10001"));
    say!("weight {} {}", put("a/cpu.weight", "50"), get("a/cpu.weight"));
    say!("max {} {}", put("a/cpu.max", "2000 20000"), get("a/cpu.max"));
    say!("keeps its period {} {}", put("a/cpu.max", "2000"), get("a/cpu.max"));
    say!("burst {} {}", put("a/cpu.max.burst", "3000"), put("a/cpu.max.burst", "1000"));
    // A fiftieth of a processor, which a process gets on busy hosts too. How much it uses before it is made to rest
    // depends on the host, so it goes on until it was.
    put("a/cpu.max", "1000 50000");
    let work = || {
        let start = cpu_time();
        loop {
            let spent = cpu_time() - start;
            if spent > 10_000_000 && number("a/cpu.stat", "nr_throttled") > 1 {
                return 0;
            }
            if spent > 2_000_000_000 {
                return 1;
            }
        }
    };
    say!("{}", within("a", work));
    let stat = |name| number("a/cpu.stat", name);
    say!("throttled {} {}", stat("nr_throttled") > 0, stat("throttled_usec") > 0);
    say!("periods {}", stat("nr_periods") >= stat("nr_throttled"));
    say!("usage {}", stat("usage_usec") > 8_000);
    say!("free {} {}", put("a/cpu.max", "max"), get("a/cpu.max"));
    say!("{}", within("a", || 0));
    say!("{}", rmdir("a"));
}

fn main() {
    subtree();
    pids();
    memory();
    cpu();
    let table = fs::read_to_string("/proc/cgroups").expect("the table");
    for line in table.lines() {
        say!("{}", line.split('\t').take(1).collect::<String>());
    }
}
