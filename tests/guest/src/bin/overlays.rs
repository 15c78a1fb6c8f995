//! Overlays that guests mount: mount(2) and fsconfig(2) of "overlay", whiteouts, opaque directories, copies, what is refused;
//! as root and in a user namespace. Needs the right to mount; where a real Linux judges it, a mount namespace of its own.

use guest::{c, clean, close, errno, error_name, fork, say, scratch, show, wait};
use libc::{
    AT_FDCWD, CLONE_NEWNS, CLONE_NEWUSER, MNT_DETACH, MS_BIND, MS_RDONLY, MS_REMOUNT, O_RDONLY, O_RDWR, O_TMPFILE,
};
use std::{
    fs,
    os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt},
};

const FSCONFIG_SET_FLAG: u32 = 0;
const FSCONFIG_SET_STRING: u32 = 1;
const FSCONFIG_CMD_CREATE: u32 = 6;
const MOVE_MOUNT_F_EMPTY_PATH: u32 = 4;

fn mount(source: &str, target: &str, kind: &str, flags: u64, data: &str) -> String {
    // SAFETY: terminated strings.
    let r = unsafe {
        libc::mount(c(source).as_ptr(), c(target).as_ptr(), c(kind).as_ptr(), flags, c(data).as_ptr().cast())
    };
    show(r)
}

fn overlay(data: &str) -> String {
    mount("over", "m", "overlay", 0, data)
}

/// As [`overlay`], and away with it again.
fn attempt(data: &str) -> String {
    let r = overlay(data);
    if r == "0" {
        umount("m");
    }
    r
}

fn umount(target: &str) -> String {
    // SAFETY: a terminated string.
    show(unsafe { libc::umount2(c(target).as_ptr(), 0) })
}

fn dirs(names: &[&str]) {
    for name in names {
        fs::create_dir_all(name).expect("a directory");
    }
}

fn put(path: &str, text: &str) -> String {
    result(fs::write(path, text))
}

fn result<T>(r: std::io::Result<T>) -> String {
    match r {
        Ok(_) => "ok".into(),
        Err(e) => error_name(e.raw_os_error().unwrap_or(0)),
    }
}

fn get(path: &str) -> String {
    match fs::read_to_string(path) {
        Ok(text) => text,
        Err(e) => error_name(e.raw_os_error().unwrap_or(0)),
    }
}

/// The names in a directory with a letter for what each is; `W` is a whiteout.
fn list(path: &str) -> String {
    let entries = match fs::read_dir(path) {
        Ok(entries) => entries,
        Err(e) => return error_name(e.raw_os_error().unwrap_or(0)),
    };
    let mut names: Vec<String> = entries
        .map(|e| {
            let e = e.expect("an entry");
            let m = fs::symlink_metadata(e.path()).expect("its attributes");
            let t = m.file_type();
            let letter = if t.is_dir() {
                "/"
            } else if t.is_symlink() {
                "@"
            } else if t.is_char_device() && m.rdev() == 0 {
                "W"
            } else {
                ""
            };
            format!("{}{letter}", e.file_name().to_string_lossy())
        })
        .collect();
    names.sort();
    format!("[{}]", names.join(" "))
}

fn attribute(path: &str, name: &str) -> String {
    let mut buf = [0u8; 64];
    // SAFETY: terminated strings and a buffer of that size.
    match unsafe { libc::lgetxattr(c(path).as_ptr(), c(name).as_ptr(), buf.as_mut_ptr().cast(), buf.len()) } {
        -1 => error_name(errno()),
        n => String::from_utf8_lossy(&buf[..n as usize]).into_owned(),
    }
}

fn set_attribute(path: &str, name: &str, value: &str) -> String {
    // SAFETY: terminated strings and a value of that size.
    show(unsafe { libc::lsetxattr(c(path).as_ptr(), c(name).as_ptr(), value.as_ptr().cast(), value.len(), 0) })
}

fn rename(from: &str, to: &str, flags: u32) -> String {
    // SAFETY: terminated strings.
    show(unsafe { libc::syscall(libc::SYS_renameat2, AT_FDCWD, c(from).as_ptr(), AT_FDCWD, c(to).as_ptr(), flags) })
}

/// Root, options, type, source and the file system's options of the mount on `m`, without those that are a matter of how a kernel was
/// built.
fn shown(base: &str) {
    let text = fs::read_to_string("/proc/self/mountinfo").expect("mountinfo");
    for line in text.lines().filter(|l| l.split(' ').nth(4) == Some(&format!("{base}/m"))) {
        let fields: Vec<&str> = line.split(' ').collect();
        let dash = fields.iter().position(|f| *f == "-").expect("a dash");
        let options: Vec<&str> = fields[dash + 3]
            .split(',')
            .filter(|o| !["uuid=", "xino=", "redirect_dir="].iter().any(|p| o.starts_with(p)))
            .collect();
        let options = options.join(",").replace(base, "BASE");
        say!("  {} {} {} {} {options}", fields[3], fields[5], fields[dash + 1], fields[dash + 2]);
    }
}

/// Two lower layers.
fn layers() {
    dirs(&["l1/d", "l1/opaque", "l2/d/sub", "l2/opaque/hidden", "l2/gone", "u", "w", "m"]);
    for (path, text) in [
        ("l1/a", "a1"),
        ("l2/a", "a2"),
        ("l2/b", "b2"),
        ("l1/d/x", "x1"),
        ("l2/d/x", "x2"),
        ("l2/d/y", "y2"),
        ("l2/gone/f", "f2"),
        ("l2/link1", "link"),
        ("l1/opaque/new", "new"),
    ] {
        put(path, text);
    }
    fs::hard_link("l2/link1", "l2/link2").expect("a link");
    std::os::unix::fs::symlink("b", "l2/s").expect("a symbolic link");
    fs::set_permissions("l2/b", fs::Permissions::from_mode(0o640)).expect("a mode");
}

const ALL: &str = "lowerdir=l1:l2,upperdir=u,workdir=w";

fn merged(own: &str) {
    say!("  {} {} {}", list("m"), list("m/d"), list("m/d/sub"));
    say!("  {} {} {} {} {}", get("m/a"), get("m/b"), get("m/d/x"), get("m/d/y"), get("m/s"));
    say!("attributes of the layers do not show: {} {}", attribute("m/opaque", &format!("{own}.overlay.opaque")), list("m/opaque"));
    say!("written: {} {} {}", put("m/b", "changed"), get("u/b"), get("l2/b"));
    say!("mode {:o}", fs::metadata("u/b").expect("a copy").permissions().mode() & 0o7777);
    say!("removed: {} {} {}", result(fs::remove_file("m/a")), get("m/a"), list("u"));
    say!("again: {} {} {}", put("m/a", "again"), get("m/a"), list("u"));
    say!("directory: {} {}", result(fs::remove_dir_all("m/gone")), list("u"));
    say!("made again: {} {} {}", result(fs::create_dir("m/gone")), list("m/gone"), attribute("u/gone", &format!("{own}.overlay.opaque")));
    say!("not empty: {}", result(fs::remove_dir("m/d")));
    say!("within: {} {} {}", result(fs::remove_file("m/d/x")), list("m/d"), list("u/d"));
    say!("a lower directory does not move: {}", rename("m/d", "m/e", 0));
    say!("nor by exchange: {} {}", rename("m/d", "m/gone", 2), rename("m/gone", "m/d", 2));
    say!("a new one does: {} {} {}", result(fs::create_dir("m/n")), rename("m/n", "m/o", 0), list("u"));
    say!("a file does: {} {} {}", rename("m/d/y", "m/z", 0), get("m/z"), list("u/d"));
    say!("no whiteouts by hand: {}", rename("m/z", "m/zz", 4));
    // SAFETY: a terminated string.
    let by_hand = unsafe { libc::mknod(c("m/w").as_ptr(), libc::S_IFCHR, 0) };
    say!("nor by mknod: {}", show(by_hand));
    // SAFETY: a terminated string.
    let fd = unsafe { libc::open(c("m").as_ptr(), O_TMPFILE | O_RDWR, 0o600) };
    say!("nameless: {} {}", guest::ok(fd), guest::ok(guest::write(fd, b"x")));
    close(fd);
    say!("links: {} {} {}", put("m/link1", "one"), get("m/link1"), get("m/link2"));
    // SAFETY: a terminated string.
    let fd = unsafe { libc::open(c("m/s2").as_ptr(), O_RDONLY | libc::O_CREAT, 0o600) };
    close(fd);
    say!("attributes: {} {}", set_attribute("m/d/sub", "user.k", "v"), attribute("u/d/sub", "user.k"));
    say!("an overlay's: {} {}", set_attribute("m/d/sub", &format!("{own}.overlay.opaque"), "y"), attribute("u/d/sub", &format!("{own}.overlay.opaque")));
    // SAFETY: zero is a valid statfs, and the string is terminated.
    let kind = unsafe {
        let mut s: libc::statfs = std::mem::zeroed();
        libc::statfs(c("m").as_ptr(), &mut s);
        s.f_type
    };
    say!("statfs {kind:x}");
    say!("{} {}", list("m"), list("u"));
}

fn as_root(base: &str) {
    say!("-- as root");
    layers();
    say!("{}", set_attribute("l1/opaque", "trusted.overlay.opaque", "y"));
    say!("{}", overlay(ALL));
    shown(base);
    merged("trusted");
    say!("umount: {} {} {}", umount("m"), list("m"), list("w"));
    say!("mounted again: {}", overlay(ALL));
    say!("{} {} {} {} {}", list("m"), list("m/d"), get("m/b"), get("m/a"), get("m/z"));
    say!("remount: {} {}", mount("", "m", "", MS_REMOUNT | MS_RDONLY, ""), put("m/q", ""));
    shown(base);
    say!("umount: {}", umount("m"));
    say!("without upper: {} {} {}", overlay("lowerdir=u:l1:l2"), list("m"), put("m/q", ""));
    shown(base);
    say!("umount: {}", umount("m"));
    say!("the layers' mounts may go: {}", {
        dirs(&["t"]);
        mount("t", "t", "tmpfs", 0, "");
        dirs(&["t/u", "t/w"]);
        overlay("lowerdir=l2,upperdir=t/u,workdir=t/w")
    });
    say!("{} {} {}", umount("t"), put("m/kept", "kept"), get("m/kept"));
    say!("umount: {}", umount("m"));
}

fn refused(base: &str) {
    say!("-- refused");
    dirs(&["u2", "w2", "u2/in", "f"]);
    put("file", "");
    for options in [
        "",
        "lowerdir=l1",
        "lowerdir=",
        "upperdir=u2,workdir=w2",
        "lowerdir=l1,upperdir=u2",
        "lowerdir=l1:l2,workdir=w2",
        "lowerdir=nothing:l1",
        "lowerdir=l1,upperdir=nothing,workdir=w2",
        "lowerdir=l1,upperdir=u2,workdir=nothing",
        "lowerdir=file:l1",
        "lowerdir=l1,upperdir=file,workdir=w2",
        "lowerdir=l1,upperdir=u2,workdir=file",
        "lowerdir=l1,upperdir=u2,workdir=u2",
        "lowerdir=l1,upperdir=u2,workdir=u2/in",
        "lowerdir=l1,upperdir=u2/in,workdir=u2",
        "lowerdir=l1:l1",
        "lowerdir=l1:l1/d",
        "lowerdir=u2,upperdir=u2,workdir=w2",
        "lowerdir=u2,upperdir=u2/in,workdir=w2",
        "lowerdir=w2,upperdir=u2,workdir=w2",
        "lowerdir=l1,upperdir=/dev/shm,workdir=w2",
        "lowerdir=l1:,upperdir=u2,workdir=w2",
        "lowerdir=:l1,upperdir=u2,workdir=w2",
        "lowerdir=l1,upperdir=,workdir=w2",
        "lowerdir=l1,upperdir=u2,workdir=w2,odd=1",
        "lowerdir=l1,upperdir=u2,workdir=w2,odd",
        "lowerdir=l1,upperdir=u2,workdir=w2,userxattr=1",
        "lowerdir=l1,upperdir=u2,workdir=w2,index=maybe",
        "lowerdir=l1,upperdir=u2,workdir=w2,redirect_dir=maybe",
        "lowerdir=l1,upperdir=u2,workdir=w2,userxattr,redirect_dir=on",
        "lowerdir=l1,upperdir=u2,workdir=w2,userxattr,metacopy=on",
        "lowerdir=l1,upperdir=u2,workdir=w2,default_permissions,index=off,redirect_dir=off,metacopy=off,nfs_export=off",
    ] {
        say!("{options}: {}", attempt(options));
    }
    let many: Vec<String> = (0..501).map(|n| format!("f/{n}")).collect();
    for name in &many {
        fs::create_dir(name).expect("a directory");
    }
    // Options are a page long: short names.
    std::env::set_current_dir("f").expect("a directory");
    let data = format!("lowerdir={}", many[..501].iter().map(|n| &n[2..]).collect::<Vec<_>>().join(":"));
    say!("501 layers: {}", mount("o", &format!("{base}/m"), "overlay", 0, &data));
    std::env::set_current_dir("..").expect("a directory");
    dirs(&["ro"]);
    say!("read-only upper: {} {} {}", mount("u2", "ro", "", MS_BIND, ""), mount("", "ro", "", MS_REMOUNT | MS_BIND | MS_RDONLY, ""), {
        dirs(&["u2/uu", "u2/ww"]);
        attempt("lowerdir=l1,upperdir=ro/uu,workdir=ro/ww")
    });
    say!("{}", umount("ro"));
    say!("escaped: {} {}", { dirs(&["co:lon", "com,ma"]); attempt("lowerdir=co\\:lon:com\\,ma,upperdir=u2,workdir=w2") }, attempt("lowerdir=co:lon,upperdir=u2,workdir=w2"));
    say!("on an overlay: {}", overlay("lowerdir=l1:l2,upperdir=u2,workdir=w2"));
    dirs(&["m2", "m/u", "m/w", "m3"]);
    say!("as upper: {}", mount("o", "m2", "overlay", 0, "lowerdir=l1,upperdir=m/u,workdir=m/w"));
    say!("as lower: {} {}", mount("o", "m2", "overlay", 0, "lowerdir=m:l2"), list("m2/d"));
    say!("too deep: {}", mount("o", "m3", "overlay", 0, "lowerdir=m2:l2"));
    say!("{} {}", umount("m2"), umount("m"));
}

fn call(number: libc::c_long, args: [usize; 5]) -> String {
    // SAFETY: the callers give what the call takes.
    show(unsafe { libc::syscall(number, args[0], args[1], args[2], args[3], args[4]) })
}

fn fsconfig(fd: &str, command: u32, key: &str, value: &str) -> String {
    let (key, value) = (c(key), c(value));
    let at = |s: &std::ffi::CString| if s.is_empty() { 0 } else { s.as_ptr() as usize };
    call(libc::SYS_fsconfig, [fd.parse().expect("a descriptor"), command as usize, at(&key), at(&value), 0])
}

/// Makes what has been configured, and mounts it for a moment.
fn place(base: &str, fd: &str) {
    say!("create: {}", fsconfig(fd, FSCONFIG_CMD_CREATE, "", ""));
    let mounted = call(libc::SYS_fsmount, [fd.parse().expect("a descriptor"), 0, 0, 0, 0]);
    let (empty, m) = (c(""), c("m"));
    let from = [mounted.parse().expect("a descriptor"), empty.as_ptr() as usize];
    let to = [AT_FDCWD as usize, m.as_ptr() as usize, MOVE_MOUNT_F_EMPTY_PATH as usize];
    say!("move_mount: {}", call(libc::SYS_move_mount, [from[0], from[1], to[0], to[1], to[2]]));
    shown(base);
    say!("{} {}", put("m/here", "1"), list("u3"));
    close(mounted.parse().expect("a descriptor"));
    close(fd.parse().expect("a descriptor"));
    say!("umount: {}", umount("m"));
}

fn by_descriptor(base: &str) {
    say!("-- fsconfig");
    dirs(&["u3", "w3"]);
    let open = || call(libc::SYS_fsopen, [c"overlay".as_ptr() as usize, 0, 0, 0, 0]);
    let fd = open();
    for (key, value) in [("source", "src"), ("lowerdir+", "l1"), ("lowerdir+", "l2"), ("upperdir", "u3"), ("workdir", "w3")] {
        say!("{key}={value}: {}", fsconfig(&fd, FSCONFIG_SET_STRING, key, value));
    }
    say!("lowerdir after lowerdir+: {}", fsconfig(&fd, FSCONFIG_SET_STRING, "lowerdir", "l1"));
    say!("lowerdir+ of nothing: {}", fsconfig(&fd, FSCONFIG_SET_STRING, "lowerdir+", "nothing"));
    say!("odd: {} {}", fsconfig(&fd, FSCONFIG_SET_STRING, "odd", "1"), fsconfig(&fd, FSCONFIG_SET_FLAG, "odd", ""));
    say!("upperdir as a flag: {}", fsconfig(&fd, FSCONFIG_SET_FLAG, "upperdir", ""));
    say!("upperdir of a file: {}", fsconfig(&fd, FSCONFIG_SET_STRING, "upperdir", "file"));
    place(base, &fd);
    let fd = open();
    for (key, value) in [("lowerdir+", "l1"), ("lowerdir+", "l2"), ("upperdir", "u3"), ("workdir", "w3")] {
        say!("{key}={value}: {}", fsconfig(&fd, FSCONFIG_SET_STRING, key, value));
    }
    place(base, &fd);
    let fd = open();
    say!("a layer with a comma: {} {}", fsconfig(&fd, FSCONFIG_SET_STRING, "lowerdir+", "com,ma"), fsconfig(&fd, FSCONFIG_SET_STRING, "lowerdir+", "co:lon"));
    place(base, &fd);
    let fd = open();
    say!("lowerdir+ after lowerdir: {} {}", fsconfig(&fd, FSCONFIG_SET_STRING, "lowerdir", "l1:l2"), fsconfig(&fd, FSCONFIG_SET_STRING, "lowerdir+", "l2"));
    close(fd.parse().expect("a descriptor"));
}

fn as_user(base: &str) {
    say!("-- in a user namespace");
    let tmp = format!("{base}/t");
    let child = fork(|| {
        // SAFETY: only changes the caller's namespaces.
        let r = show(unsafe { libc::unshare(CLONE_NEWUSER | CLONE_NEWNS) });
        let maps = ["/proc/self/setgroups", "/proc/self/uid_map", "/proc/self/gid_map"].map(|f| put(f, if f.ends_with("groups") { "deny" } else { "0 0 1" }));
        say!("{r} {maps:?}");
        say!("tmpfs: {}", mount("t", &tmp, "tmpfs", 0, ""));
        std::env::set_current_dir(&tmp).expect("the mount");
        layers();
        say!("{} {}", set_attribute("l1/opaque", "user.overlay.opaque", "y"), set_attribute("l2/d", "trusted.overlay.opaque", "y"));
        say!("mount: {}", overlay(&format!("{ALL},userxattr")));
        shown(&tmp);
        merged("user");
        say!("umount: {} {}", umount("m"), list("w"));
        say!("without userxattr: {}", {
            dirs(&["u2", "w2"]);
            overlay("lowerdir=l1:l2,upperdir=u2,workdir=w2")
        });
        shown(&tmp);
        say!("a whiteout: {} {}", result(fs::remove_dir_all("m/gone")), list("u2"));
        say!("a file over it: {} {}", put("m/gone", "file"), list("u2"));
        say!("a directory over another: {} {}", result(fs::remove_dir_all("m/opaque")), result(fs::create_dir("m/opaque")));
        say!("umount: {}", umount("m"));
        0
    });
    say!("{}", wait(child));
}

fn main() {
    let base = scratch("overlays");
    // SAFETY: terminated strings.
    unsafe { libc::umask(0o022) };
    as_root(&base);
    refused(&base);
    by_descriptor(&base);
    as_user(&base);
    // SAFETY: a terminated string.
    unsafe { libc::umount2(c("t").as_ptr(), MNT_DETACH) };
    clean(&base);
}
