//! Brings numbered things to the medium in several ways, and says so only then: `promises DIRECTORY` first looks at what is there. See
//! `tests/support/src/kill.rs` for what it prints. It never ends; a transcript of it there is not, so without a directory it says nothing.

use guest::{c, line};
use std::{
    fs::{self, File, OpenOptions},
    io::{Read, Seek, SeekFrom, Write},
    os::unix::fs::{FileExt, MetadataExt},
    path::Path,
};

/// Pages of the mapped file.
const PAGES: u64 = 16;
const PAGE: usize = 4096;
/// Directories that are kept.
const TREES: u64 = 6;

fn bad(what: &str) {
    line(format!("bad {what}"));
}

fn has(kind: &str, n: u64) {
    line(format!("has {kind} {n}"));
}

/// What thing number `n` consists of: recognised as a whole, or not at all.
fn content(n: u64, len: usize) -> Vec<u8> {
    let mut x = n.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut out = n.to_le_bytes().to_vec();
    while out.len() < len {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        out.extend_from_slice(&x.to_le_bytes());
    }
    out.truncate(len.max(8));
    out
}

/// The number of a whole thing.
fn number(data: &[u8]) -> Option<u64> {
    let n = u64::from_le_bytes(*data.first_chunk()?);
    (n > 0 && data == content(n, data.len())).then_some(n)
}

fn sync_directory(path: &Path) {
    File::open(path).and_then(|d| d.sync_all()).expect("fsync of a directory");
}

/// A log that grows: everything before the last fsync(2) stays.
struct Log(File);

const RECORD: usize = 100;

impl Log {
    fn open(dir: &Path) -> (Self, u64) {
        let mut file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(dir.join("log")).expect("the log");
        sync_directory(dir);
        let mut data = Vec::new();
        file.read_to_end(&mut data).expect("the log's records");
        let whole = data.chunks(RECORD).zip(1..).take_while(|(record, n)| number(record) == Some(*n)).count();
        // What follows was never promised.
        file.set_len((whole * RECORD) as u64).expect("a shorter log");
        file.seek(SeekFrom::End(0)).expect("the log's end");
        (Self(file), whole as u64)
    }

    fn step(&mut self, n: u64) {
        self.0.write_all(&content(n, RECORD)).expect("a record");
        self.0.sync_data().expect("fdatasync");
    }
}

/// A file that is replaced by rename(2), as editors and dpkg do.
fn state(dir: &Path) -> u64 {
    match fs::read(dir.join("state")) {
        Ok(data) => number(&data).unwrap_or_else(|| {
            bad("state is neither the old nor the new one");
            0
        }),
        Err(_) => 0,
    }
}

fn replace_state(dir: &Path, n: u64) {
    let new = dir.join("state.new");
    let mut file = File::create(&new).expect("the new state");
    file.write_all(&content(n, 3000 + (n % 20) as usize * 1000)).expect("the new state");
    file.sync_all().expect("fsync");
    fs::rename(new, dir.join("state")).expect("rename");
    sync_directory(dir);
}

/// Two places in a file that take turns.
fn in_place(dir: &Path) -> (File, u64) {
    let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(dir.join("slots")).expect("the slots");
    sync_directory(dir);
    let mut best = 0;
    for slot in 0..2 {
        let mut data = vec![0; 2 * PAGE];
        if file.read_exact_at(&mut data, slot * 3 * PAGE as u64).is_ok() {
            best = best.max(number(&data).unwrap_or(0));
        }
    }
    (file, best)
}

/// A mapped file, written by msync(2).
struct Mapped(*mut u8);

impl Mapped {
    fn open(dir: &Path) -> (Self, u64) {
        let path = dir.join("mapped");
        let len = PAGES * PAGE as u64;
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path).expect("the file");
        file.set_len(len).expect("a size");
        file.sync_all().expect("fsync");
        sync_directory(dir);
        // SAFETY: a new mapping of a file that nobody makes shorter.
        let at = unsafe {
            use std::os::fd::AsRawFd as _;
            libc::mmap(std::ptr::null_mut(), len as usize, libc::PROT_READ | libc::PROT_WRITE, libc::MAP_SHARED, file.as_raw_fd(), 0)
        };
        assert_ne!(at, libc::MAP_FAILED, "a mapping");
        let mapped = Self(at.cast());
        let best = (0..PAGES).filter_map(|page| number(mapped.page(page))).max();
        (mapped, best.unwrap_or(0))
    }

    fn page(&self, page: u64) -> &mut [u8] {
        // SAFETY: within the mapping, of which there is one thread's one slice at a time.
        unsafe { std::slice::from_raw_parts_mut(self.0.add(page as usize * PAGE), PAGE) }
    }

    fn step(&self, n: u64) {
        let page = self.page(n % PAGES);
        page.copy_from_slice(&content(n, PAGE));
        // SAFETY: the page of the mapping.
        let r = unsafe { libc::msync(page.as_mut_ptr().cast(), PAGE, libc::MS_SYNC) };
        assert_eq!(r, 0, "msync");
    }
}

fn tree_is_whole(dir: &Path, n: u64) -> bool {
    let file = |name: &str| fs::read(dir.join(name)).ok().and_then(|data| number(&data));
    let links = || {
        let (a, b) = (fs::metadata(dir.join("a")).ok()?, fs::metadata(dir.join("link")).ok()?);
        Some(a.ino() == b.ino() && fs::read_link(dir.join("symlink")).ok()? == Path::new("a"))
    };
    ["a", "b", "moved"].iter().all(|name| file(name) == Some(n)) && links() == Some(true)
}

fn make_tree(dir: &Path, n: u64) {
    let tree = dir.join(format!("tree/{n}"));
    // What an interrupted round left of it was never promised.
    let _ = fs::remove_dir_all(&tree);
    fs::create_dir_all(&tree).expect("a directory");
    for name in ["a", "b", "moved.tmp"] {
        let mut file = File::create(tree.join(name)).expect("a file");
        file.write_all(&content(n, 500)).expect("its content");
        file.sync_all().expect("fsync");
    }
    fs::rename(tree.join("moved.tmp"), tree.join("moved")).expect("rename");
    fs::hard_link(tree.join("a"), tree.join("link")).expect("a link");
    std::os::unix::fs::symlink("a", tree.join("symlink")).expect("a symbolic link");
    sync_directory(&tree);
    sync_directory(&dir.join("tree"));
    let newest = dir.join("newest");
    fs::write(&newest, content(n, 64)).expect("the newest");
    File::open(&newest).and_then(|f| f.sync_all()).expect("fsync");
    sync_directory(dir);
    if n > TREES {
        let _ = fs::remove_dir_all(dir.join(format!("tree/{}", n - TREES)));
    }
}

fn trees(dir: &Path) -> u64 {
    fs::create_dir_all(dir.join("tree")).expect("a directory");
    sync_directory(dir);
    // The last may be in the making, and older ones than are kept may have escaped their removal.
    let mut names: Vec<u64> = fs::read_dir(dir.join("tree"))
        .expect("the trees")
        .filter_map(|e| e.ok()?.file_name().to_str()?.parse().ok())
        .collect();
    names.sort_unstable();
    let whole: Vec<u64> = names.iter().copied().filter(|n| tree_is_whole(&dir.join(format!("tree/{n}")), *n)).collect();
    let last = whole.last().copied().unwrap_or(0);
    let kept = whole.iter().filter(|n| **n + TREES > last).count() as u64;
    if kept != last.min(TREES) {
        bad(&format!("trees: {names:?}, of which whole {whole:?}"));
    }
    last
}

fn main() {
    let Some(dir) = std::env::args().nth(1) else { return };
    let dir = Path::new(&dir);
    fs::create_dir_all(dir).expect("the directory");
    let (mut log, mut logged) = Log::open(dir);
    has("log", logged);
    let mut replaced = state(dir);
    has("state", replaced);
    let (slots, mut in_slots) = in_place(dir);
    has("slots", in_slots);
    let (mapped, mut synced) = Mapped::open(dir);
    has("mapped", synced);
    let mut made = trees(dir);
    has("tree", made);
    line("ready".into());
    let did = |kind: &str, n: u64| line(format!("did {kind} {n}"));
    for turn in 0u64.. {
        logged += 1;
        log.step(logged);
        did("log", logged);
        in_slots += 1;
        slots.write_all_at(&content(in_slots, 2 * PAGE), in_slots % 2 * 3 * PAGE as u64).expect("a slot");
        slots.sync_data().expect("fdatasync");
        did("slots", in_slots);
        synced += 1;
        mapped.step(synced);
        did("mapped", synced);
        replaced += 1;
        replace_state(dir, replaced);
        did("state", replaced);
        if turn % 4 == 0 {
            made += 1;
            make_tree(dir, made);
            did("tree", made);
        }
        if turn % 16 == 7 {
            // Something large that nobody asks for.
            let mut file = File::create(dir.join("large")).expect("a file");
            file.write_all(&vec![turn as u8; 3 << 20]).expect("its content");
            // SAFETY: a terminated string.
            unsafe { libc::truncate(c(&dir.join("large").to_string_lossy()).as_ptr(), 100) };
        }
    }
}
