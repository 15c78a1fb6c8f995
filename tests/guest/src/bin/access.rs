//! Who may do what with files: access control lists, capabilities of programs, programs that run, set-id bits.

use guest::{c, clean, close, errno, error_name, fork, ok, say, scratch, show, wait};
use libc::{O_CREAT, O_PATH, O_RDONLY, O_RDWR, O_TRUNC, O_WRONLY};
use std::os::unix::fs::PermissionsExt;

const ACCESS: &str = "system.posix_acl_access";
const DEFAULT: &str = "system.posix_acl_default";
const USER_OBJ: u16 = 1;
const USER: u16 = 2;
const GROUP_OBJ: u16 = 4;
const GROUP: u16 = 8;
const MASK: u16 = 16;
const OTHER: u16 = 32;
const NO_ID: u32 = u32::MAX;

fn acl(entries: &[(u16, u16, u32)]) -> Vec<u8> {
    let mut out = 2u32.to_le_bytes().to_vec();
    for (tag, perm, id) in entries {
        out.extend(tag.to_le_bytes());
        out.extend(perm.to_le_bytes());
        out.extend(id.to_le_bytes());
    }
    out
}

fn set(path: &str, name: &str, value: &[u8], flags: i32) -> String {
    // SAFETY: terminated strings and a buffer.
    show(unsafe { libc::setxattr(c(path).as_ptr(), c(name).as_ptr(), value.as_ptr().cast(), value.len(), flags) })
}

fn get(path: &str, name: &str) -> Result<Vec<u8>, String> {
    let mut buf = [0u8; 512];
    // SAFETY: terminated strings and a buffer.
    match unsafe { libc::getxattr(c(path).as_ptr(), c(name).as_ptr(), buf.as_mut_ptr().cast(), buf.len()) } {
        -1 => Err(error_name(errno())),
        n => Ok(buf[..n as usize].to_vec()),
    }
}

fn remove(path: &str, name: &str) -> String {
    // SAFETY: terminated strings.
    show(unsafe { libc::removexattr(c(path).as_ptr(), c(name).as_ptr()) })
}

/// A list in the short form of getfacl(1).
fn list(path: &str, name: &str) -> String {
    match get(path, name) {
        Err(e) => e,
        Ok(value) => value[4..]
            .chunks(8)
            .map(|e| {
                let (tag, perm) = (u16::from_le_bytes([e[0], e[1]]), u16::from_le_bytes([e[2], e[3]]));
                let id = u32::from_le_bytes([e[4], e[5], e[6], e[7]]);
                let who = match tag {
                    USER_OBJ => "u".into(),
                    USER => format!("u{id}"),
                    GROUP_OBJ => "g".into(),
                    GROUP => format!("g{id}"),
                    MASK => "m".into(),
                    OTHER => "o".into(),
                    other => format!("?{other}"),
                };
                format!("{who}:{perm}")
            })
            .collect::<Vec<_>>()
            .join(" "),
    }
}

fn mode(path: &str) -> String {
    std::fs::metadata(path).map_or_else(|e| e.to_string(), |m| format!("{:o}", m.permissions().mode() & 0o7777))
}

fn names(path: &str) -> String {
    let mut buf = [0u8; 512];
    // SAFETY: a terminated string and a buffer.
    let n = unsafe { libc::listxattr(c(path).as_ptr(), buf.as_mut_ptr().cast(), buf.len()) };
    let text = String::from_utf8_lossy(&buf[..n.max(0) as usize]).replace('\0', " ");
    let mut all: Vec<&str> = text.split_whitespace().filter(|n| *n != "security.selinux").collect();
    all.sort_unstable();
    all.join(" ")
}

fn chmod(path: &str, mode: u32) -> String {
    // SAFETY: a terminated string.
    show(unsafe { libc::chmod(c(path).as_ptr(), mode) })
}

fn try_open(path: &str, flags: i32) -> String {
    // SAFETY: a terminated string.
    let fd = unsafe { libc::open(c(path).as_ptr(), flags, 0o666) };
    let s = ok(fd);
    close(fd);
    s
}

/// What another user may do.
fn as_user(uid: u32, gid: u32, f: impl FnOnce()) {
    wait(fork(|| {
        // SAFETY: changes only the child.
        unsafe {
            libc::setgroups(0, std::ptr::null());
            libc::setresgid(gid, gid, gid);
            libc::setresuid(uid, uid, uid);
        }
        f();
        0
    }));
}

fn may(path: &str, uid: u32, gid: u32) {
    as_user(uid, gid, || {
        say!("  {path} {uid}/{gid}: read {} write {}", try_open(path, O_RDONLY), try_open(path, O_WRONLY));
    });
}

fn lists() {
    say!("-- access control lists");
    std::fs::write("f", "text").expect("a file");
    std::fs::set_permissions("f", PermissionsExt::from_mode(0o640)).expect("its mode");
    say!("none: {} {}", list("f", ACCESS), list("f", DEFAULT));
    let small = acl(&[(USER_OBJ, 6, NO_ID), (GROUP_OBJ, 4, NO_ID), (OTHER, 4, NO_ID)]);
    say!("as the mode: {} {} {}", set("f", ACCESS, &small, 0), mode("f"), list("f", ACCESS));
    let long = [
        (USER_OBJ, 6, NO_ID),
        (USER, 6, 1000),
        (USER, 0, 1001),
        (GROUP_OBJ, 0, NO_ID),
        (GROUP, 4, 50),
        (MASK, 6, NO_ID),
        (OTHER, 4, NO_ID),
    ];
    say!("extended: {} {} {}", set("f", ACCESS, &acl(&long), 0), mode("f"), list("f", ACCESS));
    for (uid, gid) in [(1000, 9), (1001, 9), (1002, 0), (1002, 50), (1002, 9)] {
        may("f", uid, gid);
    }
    say!("chmod: {} {} {}", chmod("f", 0o604), mode("f"), list("f", ACCESS));
    for (uid, gid) in [(1000, 9), (1002, 9)] {
        may("f", uid, gid);
    }
    say!("chmod: {} {} {}", chmod("f", 0o624), mode("f"), list("f", ACCESS));
    may("f", 1000, 9);
    say!("names: {}", names("f"));
    say!("create and replace are ignored: {}", set("f", ACCESS, &acl(&long), 1));
    as_user(1000, 1000, || say!("not the owner: {} {}", set("f", ACCESS, &acl(&long), 0), remove("f", ACCESS)));
    as_user(1000, 1000, || say!("anyone may look: {}", list("f", ACCESS)));
    say!("remove: {} {} {}", remove("f", ACCESS), mode("f"), list("f", ACCESS));
    say!("remove again: {}", remove("f", ACCESS));
    let unmasked = acl(&[(USER_OBJ, 6, NO_ID), (USER, 6, 1), (GROUP_OBJ, 4, NO_ID), (OTHER, 4, NO_ID)]);
    say!("no mask: {}", set("f", ACCESS, &unmasked, 0));
    say!("odd: {} {} {}", set("f", ACCESS, b"", 0), set("f", ACCESS, b"\x01\0\0\0", 0), set("f", ACCESS, &small[..9], 0));
    say!("default of a file: {}", set("f", DEFAULT, &small, 0));
    say!("other names: {} {}", set("f", "system.odd", b"x", 0), list("f", "system.odd"));

    say!("-- inheritance");
    std::fs::create_dir("d").expect("a directory");
    let given = [
        (USER_OBJ, 7, NO_ID),
        (USER, 7, 1000),
        (GROUP_OBJ, 5, NO_ID),
        (MASK, 7, NO_ID),
        (OTHER, 0, NO_ID),
    ];
    say!("default: {} {}", set("d", DEFAULT, &acl(&given), 0), mode("d"));
    // SAFETY: changes only this process.
    unsafe { libc::umask(0o77) };
    say!("file: {}", try_open("d/f", O_CREAT | O_WRONLY));
    say!("  {} {} {}", mode("d/f"), list("d/f", ACCESS), list("d/f", DEFAULT));
    // SAFETY: a terminated string.
    say!("directory: {}", show(unsafe { libc::mkdir(c("d/sub").as_ptr(), 0o755) }));
    say!("  {} {} / {}", mode("d/sub"), list("d/sub", ACCESS), list("d/sub", DEFAULT));
    // SAFETY: a terminated string.
    say!("fifo: {} {}", show(unsafe { libc::mkfifo(c("d/p").as_ptr(), 0o600) }), mode("d/p"));
    std::os::unix::fs::symlink("f", "d/l").expect("a link");
    say!("remove: {} {}", remove("d", DEFAULT), try_open("d/g", O_CREAT | O_WRONLY));
    say!("umask again: {}", mode("d/g"));
    // SAFETY: as above.
    unsafe { libc::umask(0o22) };
}

fn copy_of_me(to: &str) {
    std::fs::copy("/proc/self/exe", to).expect("a copy of the program");
    std::fs::set_permissions(to, PermissionsExt::from_mode(0o755)).expect("its mode");
}

/// Runs a copy of this program, which then tells of its capabilities.
fn run(program: &str, what: &str) -> String {
    wait(fork(|| {
        let (program, what) = (c(program), c(what));
        let args = [program.as_ptr(), what.as_ptr(), std::ptr::null()];
        // SAFETY: terminated arrays.
        unsafe { libc::execv(program.as_ptr(), args.as_ptr()) };
        say!("  exec: {}", error_name(errno()));
        1
    }))
}

fn tell_capabilities() {
    let text = std::fs::read_to_string("/proc/self/status").expect("status");
    let sets: Vec<&str> = text
        .lines()
        .filter(|l| ["CapInh", "CapPrm", "CapEff", "CapAmb"].iter().any(|n| l.starts_with(n)))
        .map(|l| l[8..].trim_start_matches('0'))
        .collect();
    // SAFETY: a plain call.
    let secure = unsafe { libc::getauxval(libc::AT_SECURE) };
    say!("  [{}] secure {secure}", sets.join("] ["));
}

/// A value of `security.capability`, revision 2.
fn capabilities(permitted: u32, inheritable: u32, effective: bool) -> Vec<u8> {
    [0x0200_0000 | u32::from(effective), permitted, inheritable, 0, 0].iter().flat_map(|w| w.to_le_bytes()).collect()
}

fn file_capabilities() {
    say!("-- file capabilities");
    let name = "security.capability";
    copy_of_me("prog");
    as_user(1000, 1000, || say!("plain: {}", run("./prog", "caps")));
    say!("effective: {}", set("prog", name, &capabilities(0x2400, 0, true), 0));
    as_user(1000, 1000, || say!("run: {}", run("./prog", "caps")));
    say!("permitted: {}", set("prog", name, &capabilities(0x400, 0x800, false), 0));
    as_user(1000, 1000, || say!("run: {}", run("./prog", "caps")));
    as_user(1000, 1000, || {
        // SAFETY: a plain call.
        unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) };
        say!("no new privileges: {}", run("./prog", "caps"));
    });
    wait(fork(|| {
        // SAFETY: changes only the child. CAP_NET_RAW leaves the bounding set.
        unsafe { libc::prctl(libc::PR_CAPBSET_DROP, 13, 0, 0, 0) };
        set("prog", name, &capabilities(0x2400, 0, true), 0);
        as_user(1000, 1000, || say!("beyond the bounding set: {}", run("./prog", "caps")));
        0
    }));
    as_user(1000, 1000, || say!("may not set: {}", set("prog", name, &capabilities(1, 0, true), 0)));
    say!("odd values: {} {}", set("prog", name, b"odd", 0), set("prog", name, &[0; 20], 0));
    say!("there: {}", names("prog"));
    // SAFETY: a terminated string.
    let fd = unsafe { libc::open(c("prog").as_ptr(), O_WRONLY | libc::O_APPEND) };
    // SAFETY: a byte.
    say!("a write takes them away: {} [{}]", show(unsafe { libc::write(fd, b"x".as_ptr().cast(), 1) }), names("prog"));
    set("prog", name, &capabilities(0x400, 0, true), 0);
    // SAFETY: as above.
    say!("again: {} [{}]", show(unsafe { libc::write(fd, b"x".as_ptr().cast(), 1) }), names("prog"));
    close(fd);
    set("prog", name, &capabilities(0x400, 0, true), 0);
    // SAFETY: a terminated string.
    say!("chown too: {} [{}]", show(unsafe { libc::chown(c("prog").as_ptr(), 7, 7) }), names("prog"));
    set("prog", name, &capabilities(0x400, 0, true), 0);
    say!("not chmod: {} [{}]", chmod("prog", 0o755), names("prog"));
    set("prog", name, &capabilities(0x400, 0, true), 0);
    // SAFETY: a terminated string.
    say!("truncate: {} [{}]", show(unsafe { libc::truncate(c("prog").as_ptr(), 10) }), names("prog"));
}

fn busy_programs() {
    say!("-- programs that run");
    copy_of_me("busy");
    let mut pipes = [[0; 2]; 2];
    for p in &mut pipes {
        // SAFETY: room for two descriptors.
        unsafe { libc::pipe(p.as_mut_ptr()) };
    }
    let [[ready_in, ready_out], [go_in, go_out]] = pipes;
    let pid = fork(|| {
        // SAFETY: descriptors of this process and terminated arrays.
        unsafe {
            libc::dup2(go_in, 0);
            libc::dup2(ready_out, 3);
            libc::syscall(libc::SYS_close_range, 4, u32::MAX, 0);
            let (program, what) = (c("./busy"), c("wait"));
            libc::execv(program.as_ptr(), [program.as_ptr(), what.as_ptr(), std::ptr::null()].as_ptr());
        }
        1
    });
    close(ready_out);
    let mut byte = [0u8];
    // SAFETY: room for a byte.
    say!("it runs: {}", show(unsafe { libc::read(ready_in, byte.as_mut_ptr().cast(), 1) }));
    say!("open: {} {} {}", try_open("busy", O_WRONLY), try_open("busy", O_RDWR | O_TRUNC), try_open("busy", O_RDONLY));
    say!("cut at opening: {}", try_open("busy", O_RDONLY | O_TRUNC));
    // SAFETY: a terminated string.
    say!("truncate: {}", show(unsafe { libc::truncate(c("busy").as_ptr(), 0) }));
    say!("path only: {}", try_open("busy", O_PATH));
    say!("rename and mode: {} {}", chmod("busy", 0o700), ok(if std::fs::rename("busy", "gone").is_ok() { 0 } else { -1 }));
    close(go_out);
    say!("end: {}", wait(pid));
    // SAFETY: a terminated string.
    let fd = unsafe { libc::open(c("gone").as_ptr(), O_WRONLY) };
    say!("afterwards: {}", ok(fd));
    say!("open for writing: {}", run("./gone", "caps"));
    close(fd);
    say!("closed: {}", run("./gone", "nothing"));
}

fn set_id_bits() {
    say!("-- set-id bits");
    std::fs::write("s", "x").expect("a file");
    // SAFETY: terminated strings.
    unsafe { libc::chown(c("s").as_ptr(), 1000, 1000) };
    let write = |path: &str| {
        // SAFETY: a terminated string and a byte.
        unsafe {
            let fd = libc::open(c(path).as_ptr(), O_WRONLY);
            let r = show(libc::write(fd, b"y".as_ptr().cast(), 1));
            close(fd);
            r
        }
    };
    chmod("s", 0o6777);
    as_user(1000, 1000, || say!("written by the owner: {} {}", write("s"), mode("s")));
    chmod("s", 0o6777);
    say!("by root: {} {}", write("s"), mode("s"));
    chmod("s", 0o2767);
    as_user(1000, 1000, || say!("not a program, own group: {} {}", write("s"), mode("s")));
    chmod("s", 0o2767);
    as_user(1001, 1001, || say!("not a program, other group: {} {}", write("s"), mode("s")));
    chmod("s", 0o6755);
    // SAFETY: a terminated string.
    say!("chown by root: {} {}", show(unsafe { libc::chown(c("s").as_ptr(), 1001, 1001) }), mode("s"));
    chmod("s", 0o6777);
    // SAFETY: a terminated string.
    as_user(1001, 1001, || say!("truncate: {} {}", show(unsafe { libc::truncate(c("s").as_ptr(), 0) }), mode("s")));
    as_user(1001, 7, || say!("chmod, other group: {} {}", chmod("s", 0o2755), mode("s")));
    std::fs::create_dir("g").expect("a directory");
    // SAFETY: a terminated string.
    unsafe { libc::chown(c("g").as_ptr(), 0, 50) };
    chmod("g", 0o3777);
    as_user(1000, 1000, || {
        say!("in a set-group-id directory: {}", try_open("g/f", O_CREAT | O_WRONLY));
        // SAFETY: terminated strings.
        unsafe {
            say!("directory: {}", show(libc::mkdir(c("g/d").as_ptr(), 0o777)));
            let fd = libc::open(c("g/x").as_ptr(), O_CREAT | O_WRONLY, 0o2777);
            close(fd);
        }
    });
    say!("{} {} {}", mode("g/f"), mode("g/d"), mode("g/x"));
    as_user(1001, 1001, || {
        // SAFETY: terminated strings.
        unsafe {
            say!("sticky: {} {}", show(libc::unlink(c("g/f").as_ptr())), show(libc::rename(c("g/f").as_ptr(), c("g/z").as_ptr())));
        }
    });
    // SAFETY: a terminated string.
    as_user(1000, 1000, || say!("own: {}", show(unsafe { libc::unlink(c("g/f").as_ptr()) })));
}

fn main() {
    match std::env::args().nth(1).as_deref() {
        Some("caps") => return tell_capabilities(),
        Some("wait") => {
            let mut byte = [0u8];
            // SAFETY: descriptor 3 is the parent's pipe; standard input ends when it says so.
            unsafe {
                libc::write(3, byte.as_ptr().cast(), 1);
                libc::read(0, byte.as_mut_ptr().cast(), 1);
            }
            return;
        }
        Some(_) => return,
        None => {}
    }
    let dir = scratch("access");
    // Set-id bits and capabilities count here, which they may not where the scratch directory is.
    // SAFETY: terminated strings.
    unsafe { libc::mount(c("none").as_ptr(), c(&dir).as_ptr(), c("tmpfs").as_ptr(), 0, std::ptr::null()) };
    std::env::set_current_dir(&dir).expect("the mount");
    // SAFETY: changes only this process.
    unsafe { libc::umask(0o22) };
    lists();
    file_capabilities();
    busy_programs();
    set_id_bits();
    std::env::set_current_dir("/").expect("the root");
    // SAFETY: a terminated string.
    unsafe { libc::umount2(c(&dir).as_ptr(), libc::MNT_DETACH) };
    clean(&dir);
}
