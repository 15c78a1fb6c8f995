//! Mounts: bind, move, remount, propagation, the descriptor based calls, statmount(2). Needs the right to mount; where
//! a real Linux judges it, a mount namespace of its own.

use guest::{c, clean, close, errno, error_name, ok, say, scratch, show};
use libc::{
    AT_EMPTY_PATH, AT_FDCWD, AT_RECURSIVE, MNT_DETACH, MS_BIND, MS_MOVE, MS_NODEV, MS_NOEXEC, MS_PRIVATE, MS_RDONLY,
    MS_REC, MS_REMOUNT, MS_SHARED, MS_SLAVE, MS_UNBINDABLE, O_CREAT, O_RDONLY, O_WRONLY,
};
use std::collections::BTreeMap;

const FSCONFIG_SET_FLAG: u32 = 0;
const FSCONFIG_SET_STRING: u32 = 1;
const FSCONFIG_CMD_CREATE: u32 = 6;
const OPEN_TREE_CLONE: u32 = 1;
const MOVE_MOUNT_F_EMPTY_PATH: u32 = 4;
const ATTR_RDONLY: u64 = 1;
const ATTR_NOATIME: u64 = 0x10;
const ATTR_STRICTATIME: u64 = 0x20;
const ATTR_ATIME: u64 = 0x70;

fn mount(source: &str, target: &str, kind: &str, flags: u64, data: &str) -> String {
    // SAFETY: terminated strings.
    let r = unsafe {
        libc::mount(c(source).as_ptr(), c(target).as_ptr(), c(kind).as_ptr(), flags, c(data).as_ptr().cast())
    };
    show(r)
}

fn tmpfs(target: &str) -> String {
    mount("none", target, "tmpfs", 0, "")
}

fn bind(from: &str, to: &str, more: u64) -> String {
    mount(from, to, "", MS_BIND | more, "")
}

fn change(target: &str, flags: u64) -> String {
    mount("", target, "", flags, "")
}

fn umount(target: &str, flags: i32) -> String {
    // SAFETY: a terminated string.
    show(unsafe { libc::umount2(c(target).as_ptr(), flags) })
}

fn touch(path: &str) -> String {
    // SAFETY: a terminated string.
    let fd = unsafe { libc::open(c(path).as_ptr(), O_CREAT | O_WRONLY, 0o644) };
    let s = ok(fd);
    close(fd);
    s
}

fn exists(path: &str) -> String {
    // SAFETY: a terminated string.
    show(unsafe { libc::access(c(path).as_ptr(), 0) })
}

fn dirs(names: &[&str]) {
    for name in names {
        std::fs::create_dir_all(name).expect("a directory");
    }
}

/// The lines of mountinfo at or below a directory, peer groups numbered in the order of their appearance.
fn list(below: &str) {
    let text = std::fs::read_to_string("/proc/self/mountinfo").expect("mountinfo");
    let mut lines: Vec<(usize, Vec<&str>)> = text
        .lines()
        .map(|l| l.split(' ').collect::<Vec<_>>())
        .filter(|f| f[4] == below || f[4].starts_with(&format!("{below}/")))
        .enumerate()
        .collect();
    lines.sort_by_key(|(i, f)| (f[4].to_owned(), *i));
    let mut groups = BTreeMap::new();
    for (_, fields) in lines {
        let dash = fields.iter().position(|f| *f == "-").expect("a dash");
        let tags: Vec<String> = fields[6..dash]
            .iter()
            .map(|tag| match tag.split_once(':') {
                Some((name, id)) => {
                    let next = groups.len() + 1;
                    format!("{name}:{}", groups.entry(id.to_owned()).or_insert(next))
                }
                None => (*tag).to_owned(),
            })
            .collect();
        let place = fields[4].strip_prefix(below).expect("below");
        say!("  .{place} {} {} {} [{}]", fields[3], fields[5], fields[dash + 1], tags.join(" "));
    }
}

fn classic(base: &str) {
    say!("-- bind, remount, move");
    dirs(&["a/sub", "b", "c", "d"]);
    touch("a/f");
    touch("b/f");
    say!("bind: {} {}", bind("a", "b", 0), exists("b/sub"));
    say!("file on directory: {}", bind("a/f", "c", 0));
    say!("directory on file: {}", bind("a", "a/f", 0));
    say!("of nothing: {}", bind("nothing", "c", 0));
    say!("subdirectory: {} {}", tmpfs("a/sub"), touch("a/sub/x"));
    say!("not seen by the bind: {}", exists("b/sub/x"));
    say!("rbind: {} {}", bind("a", "c", MS_REC), exists("c/sub/x"));
    list(base);
    say!("read-only bind: {} {} {}", change("b", MS_REMOUNT | MS_BIND | MS_RDONLY), touch("b/g"), touch("a/g"));
    say!("options: {}", change("b", MS_REMOUNT | MS_BIND | MS_NODEV | MS_NOEXEC));
    list(&format!("{base}/b"));
    // SAFETY: a terminated string.
    let fd = unsafe { libc::open(c("b/f").as_ptr(), O_CREAT | O_WRONLY, 0o644) };
    say!("busy with a writer: {} {}", change("b", MS_REMOUNT | MS_BIND | MS_RDONLY), umount("b", 0));
    close(fd);
    say!("then: {}", change("b", MS_REMOUNT | MS_BIND | MS_RDONLY));
    say!("remount of no mount: {}", change("d", MS_REMOUNT | MS_RDONLY));
    say!("move: {} {} {}", mount("c", "d", "", MS_MOVE, ""), exists("d/sub/x"), exists("c/sub"));
    say!("move of no mount: {}", mount("c", "b", "", MS_MOVE, ""));
    say!("move below itself: {}", mount("d", "d/sub", "", MS_MOVE, ""));
    say!("move onto a file: {}", mount("d", "a/f", "", MS_MOVE, ""));
    say!("umount with mounts below: {}", umount("d", 0));
    say!("of no mount: {} {}", umount("c", 0), umount("a/f", 0));
    say!("odd flags: {} {}", umount("b", 64), umount("b", 4 | 2));
    say!("unknown type: {}", mount("none", "c", "nofs", 0, ""));
    say!("bad options: {}", mount("none", "c", "tmpfs", 0, "size=x"));
    say!("two propagations: {}", change("b", MS_SHARED | MS_PRIVATE));
    for place in ["d", "a/sub", "b"] {
        say!("umount {place}: {}", umount(place, MNT_DETACH));
    }
    list(base);
}

/// What inotify(7) tells of the end of a mount.
fn watched() {
    say!("-- watches");
    dirs(&["n", "bound"]);
    tmpfs("n");
    dirs(&["n/d"]);
    touch("n/f");
    // SAFETY: no memory is involved.
    let fd = unsafe { libc::inotify_init1(libc::IN_NONBLOCK) };
    for name in ["n", "n/f", "n/d"] {
        // SAFETY: a terminated string.
        say!("{name}: {}", show(unsafe { libc::inotify_add_watch(fd, c(name).as_ptr(), libc::IN_DELETE_SELF) }));
    }
    let tell = |what: &str| {
        let mut buffer = [0u8; 1024];
        // SAFETY: the buffer has that size.
        let n = unsafe { libc::read(fd, buffer.as_mut_ptr().cast(), buffer.len()) };
        let word = |e: &[u8], at: usize| u32::from_ne_bytes(e[at..at + 4].try_into().expect("four bytes"));
        let mut events: Vec<_> = buffer[..n.max(0) as usize].chunks(16).map(|e| (word(e, 0), word(e, 4))).collect();
        // Which inode comes first is not for anybody to know.
        events.sort_by_key(|(wd, _)| *wd);
        let events: Vec<_> = events.iter().map(|(wd, mask)| format!("{wd}:{mask:x}")).collect();
        say!("{what}: {}", events.join(" "));
    };
    let directory = std::fs::File::open("n/d").expect("the directory");
    std::fs::remove_dir("n/d").expect("removed");
    tell("an open directory removed");
    drop(directory);
    tell("closed");
    dirs(&["n/d"]);
    // SAFETY: a terminated string.
    say!("n/d: {}", show(unsafe { libc::inotify_add_watch(fd, c("n/d").as_ptr(), libc::IN_CREATE) }));
    say!("{}", bind("n", "bound", 0));
    say!("umount: {}", umount("n", 0));
    tell("still bound");
    say!("umount: {}", umount("bound", 0));
    tell("gone");
    close(fd);
}

fn propagation(base: &str) {
    say!("-- propagation");
    dirs(&["s", "peer", "slave", "priv", "other"]);
    tmpfs("s");
    dirs(&["s/x", "s/y", "s/z"]);
    say!("shared: {} {}", change("s", MS_SHARED), bind("s", "peer", 0));
    say!("slave: {} {}", bind("s", "slave", 0), change("slave", MS_SLAVE));
    say!("private: {} {}", bind("s", "priv", 0), change("priv", MS_PRIVATE));
    list(base);
    say!("mount in the shared one: {}", tmpfs("s/x"));
    touch("s/x/f");
    say!("seen: {} {} {}", exists("peer/x/f"), exists("slave/x/f"), exists("priv/x/f"));
    say!("mount in the slave: {}", tmpfs("slave/y"));
    touch("slave/y/f");
    say!("seen: {} {}", exists("s/y/f"), exists("peer/y/f"));
    list(base);
    say!("umount in the peer: {}", umount("peer/x", 0));
    list(base);
    say!("slave and shared: {}", change("slave", MS_SHARED));
    dirs(&["below"]);
    say!("its peer: {} {}", bind("slave", "below", 0), tmpfs("s/z"));
    list(base);
    say!("move out of a shared one: {}", mount("s/z", "other", "", MS_MOVE, ""));
    say!("lazily: {}", umount("s/z", MNT_DETACH));
    list(base);
    say!("unbindable: {} {}", change("priv", MS_UNBINDABLE), bind("priv", "other", 0));
    list(&format!("{base}/priv"));
    say!("the last peers go: {} {}", umount("peer", 0), umount("s", 0));
    list(base);
    say!("recursively: {}", change(base, MS_REC | MS_PRIVATE));
    for place in ["below", "slave/y", "slave", "priv"] {
        say!("umount {place}: {}", umount(place, 0));
    }
    list(base);
}

fn call(number: i64, args: [i64; 5]) -> i64 {
    // SAFETY: the callers pass what the calls expect.
    unsafe { libc::syscall(number, args[0], args[1], args[2], args[3], args[4]) }
}

fn ptr(text: &std::ffi::CString) -> i64 {
    text.as_ptr() as i64
}

fn config(fd: i64, command: u32, key: Option<&str>, value: Option<&str>) -> String {
    let (key, value) = (key.map(c), value.map(c));
    let pointer = |s: &Option<std::ffi::CString>| s.as_ref().map_or(0, ptr);
    show(call(libc::SYS_fsconfig, [fd, command.into(), pointer(&key), pointer(&value), 0]))
}

fn move_mount(fd: i64, to: &str) -> String {
    let (empty, to) = (c(""), c(to));
    let args = [fd, ptr(&empty), AT_FDCWD.into(), ptr(&to), MOVE_MOUNT_F_EMPTY_PATH.into()];
    show(call(libc::SYS_move_mount, args))
}

fn set_attr(path: &str, flags: i32, set: u64, clear: u64, propagation: u64) -> String {
    let attr = [set, clear, propagation, 0];
    let path = c(path);
    let args = [AT_FDCWD.into(), ptr(&path), flags.into(), attr.as_ptr() as i64, 32];
    show(call(libc::SYS_mount_setattr, args))
}

fn descriptors(base: &str) {
    say!("-- by descriptor");
    dirs(&["m", "n", "o"]);
    let (kind, unknown) = (c("tmpfs"), c("nofs"));
    say!("unknown type: {}", show(call(libc::SYS_fsopen, [ptr(&unknown), 0, 0, 0, 0])));
    say!("odd flags: {}", show(call(libc::SYS_fsopen, [ptr(&kind), 2, 0, 0, 0])));
    let fs = call(libc::SYS_fsopen, [ptr(&kind), 1, 0, 0, 0]);
    say!("fsopen: {}", ok(fs));
    say!("fsmount too early: {}", show(call(libc::SYS_fsmount, [fs, 0, 0, 0, 0])));
    say!("source: {}", config(fs, FSCONFIG_SET_STRING, Some("source"), Some("mine")));
    say!("size: {}", config(fs, FSCONFIG_SET_STRING, Some("size"), Some("64k")));
    say!("flag with a value: {}", config(fs, FSCONFIG_SET_FLAG, Some("ro"), Some("x")));
    say!("no key: {}", config(fs, FSCONFIG_SET_STRING, None, Some("x")));
    say!("unknown command: {}", config(fs, 99, None, None));
    say!("create: {}", config(fs, FSCONFIG_CMD_CREATE, None, None));
    say!("create again: {}", config(fs, FSCONFIG_CMD_CREATE, None, None));
    say!("odd attributes: {}", show(call(libc::SYS_fsmount, [fs, 0, 0x30, 0, 0])));
    let made = call(libc::SYS_fsmount, [fs, 1, 8, 0, 0]);
    say!("fsmount: {}", ok(made));
    say!("fsmount again: {}", show(call(libc::SYS_fsmount, [fs, 0, 0, 0, 0])));
    say!("move_mount: {} {}", move_mount(made, "m"), touch("m/f"));
    list(&format!("{base}/m"));
    // SAFETY: room for the answer.
    let blocks = unsafe {
        let mut s: libc::statfs = std::mem::zeroed();
        libc::statfs(c("m").as_ptr(), &mut s);
        s.f_blocks * s.f_bsize as u64
    };
    say!("its size: {blocks}");
    close(made as i32);
    close(fs as i32);
    dirs(&["m/sub"]);
    tmpfs("m/sub");
    touch("m/sub/g");
    let from = c("m");
    let tree = |flags: u32| call(libc::SYS_open_tree, [AT_FDCWD.into(), ptr(&from), flags.into(), 0, 0]);
    say!("recursive without clone: {}", show(tree(AT_RECURSIVE as u32)));
    let plain = tree(0);
    say!("open_tree: {} {}", ok(plain), move_mount(plain, "m"));
    close(plain as i32);
    let copy = tree(OPEN_TREE_CLONE | AT_RECURSIVE as u32);
    let inside = c("sub/g");
    // SAFETY: a terminated string.
    let fd = unsafe { libc::openat(copy as i32, inside.as_ptr(), O_RDONLY) };
    say!("clone: {} {}", ok(copy), ok(fd));
    close(fd);
    say!("attach: {} {}", move_mount(copy, "n"), exists("n/sub/g"));
    say!("attached it moves: {} {} {}", move_mount(copy, "o"), exists("n/sub/g"), exists("o/sub/g"));
    close(copy as i32);
    say!("read-only, all: {}", set_attr("o", AT_RECURSIVE, ATTR_RDONLY, 0, 0));
    say!("effect: {} {} {}", touch("o/f"), touch("o/sub/g"), touch("m/f"));
    say!("one only: {} {}", set_attr("o", 0, 0, ATTR_RDONLY, 0), touch("o/f"));
    say!("access times: {}", set_attr("o", 0, ATTR_NOATIME, ATTR_ATIME, 0));
    say!("half a policy: {}", set_attr("o", 0, ATTR_NOATIME, 0, 0));
    say!("strict: {}", set_attr("o/sub", 0, ATTR_STRICTATIME, ATTR_ATIME, MS_SHARED));
    say!("odd attribute: {} {}", set_attr("o", 0, 1 << 40, 0, 0), set_attr("o", 0, 0, 0, MS_RDONLY));
    say!("no mount: {}", set_attr("m/f", 0, ATTR_RDONLY, 0, 0));
    list(&format!("{base}/o"));
    let _ = AT_EMPTY_PATH;
    say!("umount: {} {}", umount("o", MNT_DETACH), umount("m", MNT_DETACH));
    list(base);
}

/// statmount(2) and listmount(2) of one mount.
fn statmount(base: &str) {
    say!("-- statmount");
    dirs(&["q/w"]);
    tmpfs("q");
    dirs(&["q/w"]);
    tmpfs("q/w");
    let id = |path: &str| -> u64 {
        // SAFETY: room for the answer; 0x4000 asks for the unique id.
        unsafe {
            let mut s: libc::statx = std::mem::zeroed();
            libc::statx(AT_FDCWD, c(path).as_ptr(), 0, 0x4000, &mut s);
            s.stx_mnt_id
        }
    };
    let (outer, inner) = (id("q"), id("q/w"));
    say!("different: {}", outer != inner);
    let mut request = [24u64, outer, 0, 0];
    let mut ids = [0u64; 8];
    let n = call(458, [request.as_ptr() as i64, ids.as_mut_ptr() as i64, 8, 0, 0]);
    if n < 0 && errno() == libc::ENOSYS {
        say!("no listmount: {}", error_name(errno()));
    } else {
        say!("listmount: {n} {}", ids[0] == inner);
    }
    request[2] = 0x2 | 0x8 | 0x10 | 0x20;
    let mut out = [0u8; 1024];
    let r = call(457, [request.as_ptr() as i64, out.as_mut_ptr() as i64, 1024, 0, 0]);
    let word = |at: usize| u32::from_le_bytes(out[at..at + 4].try_into().expect("four bytes"));
    let long = |at: usize| u64::from_le_bytes(out[at..at + 8].try_into().expect("eight bytes"));
    let text = |at: usize| {
        let from = 512 + word(at) as usize;
        let len = out[from..].iter().position(|b| *b == 0).unwrap_or(0);
        String::from_utf8_lossy(&out[from..from + len]).into_owned()
    };
    say!("statmount: {} mask {:#x} id {}", show(r), long(8), long(40) == outer);
    say!("type {} root {} place {}", text(36), text(104), text(108).strip_prefix(base).unwrap_or("elsewhere"));
    request[1] = 1;
    say!("unknown: {}", show(call(457, [request.as_ptr() as i64, out.as_mut_ptr() as i64, 1024, 0, 0])));
    request = [24, outer, 0x10, 0];
    say!("no room: {}", show(call(457, [request.as_ptr() as i64, out.as_mut_ptr() as i64, 512, 0, 0])));
    umount("q", MNT_DETACH);
}

fn main() {
    let base = scratch("mounts");
    say!("base: {} {}", tmpfs(&base), change(&base, MS_PRIVATE));
    std::env::set_current_dir(&base).expect("the mount");
    list(&base);
    classic(&base);
    watched();
    propagation(&base);
    descriptors(&base);
    statmount(&base);
    std::env::set_current_dir("/").expect("the root");
    say!("end: {}", umount(&base, MNT_DETACH));
    clean(&base);
}
