//! inotify(7): what it tells of one's own changes. `watch DIRECTORY` does that in a new directory; `watch DIRECTORY FILE` makes FILE when
//! it watches DIRECTORY, and tells what others do there until it is gone.

use guest::{c, clean, fork, say, scratch, show, wait};
use libc::{
    IN_ACCESS, IN_ALL_EVENTS, IN_ATTRIB, IN_CLOSE_NOWRITE, IN_CLOSE_WRITE, IN_CREATE, IN_DELETE, IN_DELETE_SELF, IN_IGNORED, IN_ISDIR,
    IN_MASK_ADD, IN_MASK_CREATE, IN_MODIFY, IN_MOVE_SELF, IN_MOVED_FROM, IN_MOVED_TO, IN_NONBLOCK, IN_ONESHOT, IN_ONLYDIR, IN_OPEN,
    IN_Q_OVERFLOW,
};
use std::{fs, os::unix::fs::PermissionsExt};

const NAMES: [(u32, &str); 15] = [
    (IN_ACCESS, "ACCESS"),
    (IN_MODIFY, "MODIFY"),
    (IN_ATTRIB, "ATTRIB"),
    (IN_CLOSE_WRITE, "CLOSE_WRITE"),
    (IN_CLOSE_NOWRITE, "CLOSE_NOWRITE"),
    (IN_OPEN, "OPEN"),
    (IN_MOVED_FROM, "MOVED_FROM"),
    (IN_MOVED_TO, "MOVED_TO"),
    (IN_CREATE, "CREATE"),
    (IN_DELETE, "DELETE"),
    (IN_DELETE_SELF, "DELETE_SELF"),
    (IN_MOVE_SELF, "MOVE_SELF"),
    (IN_Q_OVERFLOW, "Q_OVERFLOW"),
    (IN_IGNORED, "IGNORED"),
    (IN_ISDIR, "ISDIR"),
];

struct Watcher {
    fd: i32,
}

struct Event {
    wd: i32,
    mask: u32,
    text: String,
}

impl Watcher {
    fn new(flags: i32) -> Self {
        // SAFETY: no memory is involved.
        let fd = unsafe { libc::inotify_init1(flags) };
        assert!(fd >= 0, "an inotify instance");
        Self { fd }
    }

    fn add(&self, path: &str, mask: u32) -> i32 {
        // SAFETY: a terminated string.
        unsafe { libc::inotify_add_watch(self.fd, c(path).as_ptr(), mask) }
    }

    /// The events of one read.
    fn read(&self) -> Vec<Event> {
        let mut buffer = [0u8; 8192];
        // SAFETY: the buffer has that size.
        let n = unsafe { libc::read(self.fd, buffer.as_mut_ptr().cast(), buffer.len()) };
        let mut rest = &buffer[..n.max(0) as usize];
        let mut events = Vec::new();
        while rest.len() >= 16 {
            let word = |at: usize| u32::from_ne_bytes(rest[at..at + 4].try_into().expect("four bytes"));
            let (wd, mask, cookie, len) = (word(0) as i32, word(4), word(8), word(12) as usize);
            let name = rest[16..16 + len].split(|&b| b == 0).next().unwrap_or_default();
            let bits: Vec<&str> = NAMES.iter().filter(|(bit, _)| mask & bit != 0).map(|(_, name)| *name).collect();
            let mut text = bits.join("|");
            if !name.is_empty() {
                text = format!("{text} {}", String::from_utf8_lossy(name));
            }
            if cookie != 0 {
                text += " cookie";
            }
            events.push(Event { wd, mask, text });
            rest = &rest[16 + len..];
        }
        events
    }

    /// Prints what has happened.
    fn tell(&self, what: &str) {
        let mut all = Vec::new();
        loop {
            let events = self.read();
            if events.is_empty() {
                break;
            }
            all.extend(events.into_iter().map(|e| format!("{}: {}", e.wd, e.text)));
        }
        say!("{what}: {}", all.join(", "));
    }
}

fn others(directory: &str, ready: &str) {
    let watcher = Watcher::new(0);
    let wd = watcher.add(directory, IN_ALL_EVENTS & !(IN_OPEN | IN_CLOSE_NOWRITE | IN_ACCESS));
    assert!(wd > 0, "the directory is watched");
    fs::write(ready, "").expect("the file that says so");
    loop {
        for event in watcher.read() {
            say!("{}", event.text);
            if event.mask & IN_IGNORED != 0 {
                return;
            }
        }
    }
}

fn own() {
    let watcher = Watcher::new(IN_NONBLOCK);
    fs::create_dir("d").expect("a directory");
    say!("watch: {}", watcher.add("d", IN_ALL_EVENTS));
    watcher.tell("nothing");
    fs::write("d/a", "text").expect("a file");
    watcher.tell("write");
    fs::read("d/a").expect("the file");
    watcher.tell("read");
    fs::set_permissions("d/a", fs::Permissions::from_mode(0o600)).expect("chmod");
    watcher.tell("chmod");
    fs::OpenOptions::new().write(true).open("d/a").expect("the file").set_len(1).expect("shorter");
    watcher.tell("truncate");
    fs::hard_link("d/a", "d/b").expect("a link");
    watcher.tell("link");
    std::os::unix::fs::symlink("a", "d/s").expect("a symbolic link");
    watcher.tell("symlink");
    fs::create_dir("d/sub").expect("a directory");
    watcher.tell("mkdir");
    fs::rename("d/a", "d/c").expect("renamed");
    watcher.tell("rename");
    fs::rename("d/c", "e").expect("renamed");
    watcher.tell("out");
    fs::rename("e", "d/b").expect("two names of one file");
    watcher.tell("two names");
    fs::remove_file("e").expect("removed");
    watcher.tell("elsewhere");
    say!("watch file: {}", watcher.add("d/b", IN_ALL_EVENTS));
    fs::write("d/b", "more").expect("the file");
    watcher.tell("both");
    fs::remove_file("d/s").expect("removed");
    fs::remove_dir("d/sub").expect("removed");
    watcher.tell("removed");
    say!("again: {}", watcher.add("d/b", IN_MASK_CREATE | IN_OPEN).min(0));
    say!("add: {}", show(watcher.add("d/b", IN_MASK_ADD | IN_OPEN)));
    say!("only a directory: {}", show(watcher.add("d/b", IN_ONLYDIR | IN_OPEN)));
    fs::remove_file("d/b").expect("removed");
    watcher.tell("file gone");
    say!("once: {}", show(watcher.add("d", IN_CREATE | IN_ONESHOT)));
    fs::write("d/x", "").expect("a file");
    fs::write("d/y", "").expect("a file");
    watcher.tell("once");
    say!("directory: {}", show(watcher.add("d", IN_CREATE | IN_DELETE | IN_MOVE_SELF | IN_DELETE_SELF)));
    // By another process.
    wait(fork(|| i32::from(fs::remove_file("d/x").is_err())));
    watcher.tell("child");
    fs::rename("d", "f").expect("renamed");
    fs::remove_file("f/y").expect("removed");
    watcher.tell("moved");
    fs::remove_dir("f").expect("removed");
    watcher.tell("directory gone");
    fs::write("open", "").expect("a file");
    fs::hard_link("open", "name").expect("a link");
    let file = fs::File::open("open").expect("the file");
    say!("open file: {}", watcher.add("open", IN_ALL_EVENTS));
    fs::remove_file("open").expect("removed");
    watcher.tell("one name gone");
    fs::remove_file("name").expect("removed");
    watcher.tell("the last name gone");
    drop(file);
    watcher.tell("closed");
    fs::write("open", "").expect("a file");
    let file = fs::File::open("open").expect("the file");
    say!("open file with one name: {}", watcher.add("open", IN_DELETE_SELF));
    fs::remove_file("open").expect("removed");
    watcher.tell("gone");
    drop(file);
    watcher.tell("closed");
    // SAFETY: no memory is involved.
    say!("remove: {}", show(unsafe { libc::inotify_rm_watch(watcher.fd, 1) }));
}

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match &args[..] {
        [directory, ready] => others(directory, ready),
        [directory] => {
            fs::create_dir(directory).expect("a new directory");
            std::env::set_current_dir(directory).expect("the directory");
            own();
        }
        _ => {
            let directory = scratch("watch");
            own();
            clean(&directory);
        }
    }
}
