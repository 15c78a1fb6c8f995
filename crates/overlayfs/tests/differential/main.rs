//! Random sequences of operations, done by our VFS on tmpfs or overlayfs and by the host's kernel on its tmpfs:
//! every answer and every errno must be the same.
//!
//! Needs root and a tmpfs at `/dev/shm` on an x86-64 Linux host, and says so when it skips. `DIFF_SEEDS=N` runs more sequences,
//! `DIFF_SEED=S` only that one.

#![cfg(all(target_os = "linux", target_arch = "x86_64"))]

mod host;
mod ours;
mod world;

use host::Host;
use ours::Ours;
use std::{
    fmt::Write as _,
    sync::{
        Arc,
        mpsc::{Receiver, Sender, channel},
    },
};
use tuxlet_mem::MemoryBudget;
use tuxlet_overlayfs::OverlayFs;
use tuxlet_tmpfs::{Options, Tmpfs};
use tuxlet_vfs::{Cx, FileSystem};
use world::{Answer, Bytes, Flags, Op, Step, Value, World};

/// A small random generator (xorshift64*), so that a seed names a sequence for ever.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }
    fn below(&mut self, n: u64) -> u64 {
        (self.next() >> 11) % n
    }
    fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }
    fn of<T: Clone>(&mut self, list: &[T]) -> T {
        list[self.below(list.len() as u64) as usize].clone()
    }
    fn name(&mut self) -> Vec<u8> {
        if self.one_in(200) {
            return vec![b'x'; 256];
        }
        vec![self.of(b"abcd")]
    }
    fn path(&mut self) -> Bytes {
        if self.one_in(150) {
            let odd: [&[u8]; 5] = [b"", b"/", b".", b"..", b"/.."];
            return self.of(&odd).to_vec().into();
        }
        let mut path = Vec::new();
        if self.one_in(6) {
            path.push(b'/');
        }
        for i in 0..=self.of(&[0, 0, 0, 1, 1, 2]) {
            if i > 0 {
                let slashes: [&[u8]; 5] = [b"/", b"/", b"/", b"/", b"//"];
                path.extend_from_slice(self.of(&slashes));
            }
            path.append(&mut self.name());
            if self.one_in(15) {
                path.extend_from_slice(b"/..");
                if self.one_in(2) {
                    path.push(b'/');
                    path.append(&mut self.name());
                }
            } else if self.one_in(25) {
                path.extend_from_slice(b"/.");
            }
        }
        if self.one_in(20) {
            path.push(b'/');
        }
        path.into()
    }
    fn mode(&mut self) -> u32 {
        self.of(&[
            0o777, 0o755, 0o700, 0o644, 0o666, 0o600, 0o000, 0o1777, 0o2775, 0o4755, 0o6755,
            0o2644, 0o070,
        ])
    }
    fn time(&mut self) -> Option<i64> {
        self.of(&[None, Some(0), Some(1000), Some(2000)])
    }
    fn id(&mut self) -> Option<u32> {
        self.of(&[None, Some(0), Some(1000), Some(1001)])
    }
    fn xattr(&mut self) -> Bytes {
        let names: [&[u8]; 6] = [
            b"user.a",
            b"user.b",
            b"trusted.t",
            b"security.s",
            b"other.x",
            b"user.c",
        ];
        self.of(&names).to_vec().into()
    }
    fn data(&mut self) -> Bytes {
        let len = self.of(&[0usize, 1, 5, 100, 4096, 5000]);
        let byte = self.of(b"0123456789");
        vec![byte; len].into()
    }
    fn offset(&mut self) -> u64 {
        self.of(&[0, 1, 3, 100, 4095, 4096, 4097, 8192, 10000, 20000])
    }
    fn step(&mut self) -> Step {
        match self.below(12) {
            0 | 1 => Step::Read(self.of(&[1, 10, 5000, 20000])),
            2 | 3 => Step::Write(self.data()),
            4 => Step::PWrite(self.offset(), self.data()),
            5 => Step::PRead(self.offset(), 6000),
            6 => Step::Seek(self.offset() as i64 - 50, self.below(6) as u32),
            7 => Step::Truncate(self.offset()),
            8 => {
                let mode = self.of(&[0, 1, 3, 2]);
                Step::Fallocate(mode, self.offset(), self.offset())
            }
            9 => Step::Stat,
            10 if self.one_in(3) => Step::LinkAs(self.path()),
            _ => Step::List,
        }
    }
    fn flags(&mut self) -> Flags {
        let mut f = Flags {
            access: self.below(3) as u32,
            ..Flags::default()
        };
        f.creat = self.one_in(2);
        f.excl = self.one_in(6);
        f.trunc = self.one_in(5);
        f.append = self.one_in(5);
        f.nofollow = self.one_in(8);
        if self.one_in(6) {
            f.directory = true;
            f.creat = false;
        }
        f.path = !f.creat && self.one_in(12);
        if self.one_in(25) {
            f = Flags {
                access: f.access,
                tmpfile: true,
                ..Flags::default()
            };
        }
        if self.one_in(6) {
            f.resolve = self.of(&[1, 2, 4, 8, 8, 0x10, 0x10, 0x0c, 0x14]);
            if f.path {
                // openat2(2) refuses what O_PATH ignores.
                let Flags {
                    directory,
                    nofollow,
                    path,
                    resolve,
                    ..
                } = f;
                f = Flags {
                    directory,
                    nofollow,
                    path,
                    resolve,
                    ..Flags::default()
                };
            }
        }
        // O_EXCL without O_CREAT is undefined.
        f.excl &= f.creat;
        f
    }
    fn op(&mut self) -> Op {
        match self.below(40) {
            0 => {
                let umask = self.of(&[0o22, 0, 0o77]);
                Op::Be(self.of(&[0, 0, 1000, 1001]), umask)
            }
            1..=4 => Op::Mkdir(self.path(), self.mode() | 0o300),
            5 | 6 => Op::Rmdir(self.path()),
            7..=9 => Op::Unlink(self.path()),
            10 => {
                let kind = self.of(&[0o010000, 0o020000, 0o140000, 0o100000]);
                Op::Mknod(self.path(), kind | self.mode())
            }
            11 | 12 => Op::Symlink(self.path(), self.path()),
            13 => Op::Readlink(self.path()),
            14 | 15 => Op::Link(self.path(), self.path(), self.one_in(3)),
            16..=19 => Op::Rename(
                self.path(),
                self.path(),
                self.of(&[0, 0, 0, 0, 1, 2, 2, 4, 3]),
            ),
            20..=22 => Op::Stat(self.path(), self.one_in(2)),
            23 | 24 => Op::Chmod(self.path(), self.mode()),
            25 => Op::Chown(self.path(), self.id(), self.id(), self.one_in(2)),
            26 => Op::Truncate(self.path(), self.offset()),
            27 => Op::Utimens(self.path(), self.time(), self.time(), self.one_in(2)),
            28 => Op::Access(self.path(), self.below(9) as u32),
            29 => Op::GetXattr(self.path(), self.xattr()),
            30 => Op::SetXattr(
                self.path(),
                self.xattr(),
                self.of(b"xyz").to_string().into_bytes().into(),
                self.below(3) as u32,
            ),
            31 => Op::ListXattr(self.path()),
            32 => Op::RemoveXattr(self.path(), self.xattr()),
            33 if self.one_in(3) => Op::Chdir(self.path()),
            34 if self.one_in(3) => Op::Getcwd,
            35 => {
                let flags = Flags {
                    directory: true,
                    ..Flags::default()
                };
                Op::Open(self.path(), flags, 0, vec![Step::List])
            }
            _ => {
                let mut steps: Vec<_> = (0..=self.below(5)).map(|_| self.step()).collect();
                if steps.iter().any(|s| matches!(s, Step::List)) {
                    // Positions in directories are each file system's own.
                    for step in &mut steps {
                        if let Step::Seek(offset, whence) = step {
                            (*offset, *whence) = (0, 0);
                        }
                    }
                }
                Op::Open(self.path(), self.flags(), self.mode(), steps)
            }
        }
    }
}

/// Our side in a thread of its own: the other one changes its identity and root directory, which a file system
/// over host files must not see.
struct Remote {
    ops: Sender<Op>,
    answers: Receiver<Answer>,
}

impl Remote {
    fn new(fs: &Arc<dyn FileSystem>) -> Self {
        let (ops, todo) = channel::<Op>();
        let (done, answers) = channel();
        let fs = Arc::clone(fs);
        std::thread::spawn(move || {
            let mut ours = Ours::new(&fs);
            for op in todo {
                if done.send(ours.run(&op)).is_err() {
                    return;
                }
            }
        });
        Self { ops, answers }
    }
}

impl World for Remote {
    fn run(&mut self, op: &Op) -> Answer {
        self.ops.send(op.clone()).expect("our side lives");
        self.answers.recv().expect("our side answers")
    }
}

/// Runs one sequence on both sides; `Err` tells the first difference and how it came about.
fn compare(
    seed: u64,
    len: usize,
    fs: &Arc<dyn FileSystem>,
    prepare: &[Op],
    strict: bool,
) -> Result<(), String> {
    let dir = tempfile::Builder::new()
        .prefix("tuxlet-diff-")
        .tempdir_in("/dev/shm")
        .map_err(|e| format!("cannot make a directory: {e}"))?;
    std::fs::set_permissions(
        dir.path(),
        std::os::unix::fs::PermissionsExt::from_mode(0o755),
    )
    .map_err(|e| e.to_string())?;
    let base = dir.path().to_owned();
    let prepare = prepare.to_vec();
    // Made here, before the next thread becomes somebody else.
    let mut ours = Remote::new(fs);
    let thread = std::thread::spawn(move || {
        let mut host = Host::enter(&base).map_err(|e| format!("cannot chroot: errno {e}"))?;
        for op in &prepare {
            let answer = host.run(op);
            if let Err(e) = answer {
                assert!(e == libc::ENOENT, "preparing: {op:?}: {e}");
            }
        }
        let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        let mut log = String::new();
        for i in 0..len {
            let mut op = random.op();
            if !strict {
                loosen(&mut op);
            }
            let (mut theirs, mut mine) = (host.run(&op), ours.run(&op));
            if !strict {
                // Reading leaves lower layers alone.
                forget_atime(&mut theirs);
                forget_atime(&mut mine);
            }
            if theirs != mine {
                return Err(format!(
                    "seed {seed}, operation {i}\n{log}{op:?}\n  Linux: {theirs:?}\n  ours:  {mine:?}"
                ));
            }
            // Failures change nothing: the log is easier to read without them.
            if mine.is_ok() && !matches!(op, Op::Stat(..) | Op::Access(..) | Op::Readlink(..)) {
                let _ = writeln!(log, "{op:?} = {}", if mine.is_ok() { "ok" } else { "err" });
            }
        }
        Ok(())
    });
    thread.join().map_err(|e| {
        let text = e.downcast_ref::<String>().map_or("?", |s| s.as_str());
        format!("seed {seed}: panic: {text}")
    })?
}

/// Takes out of an operation what only tmpfs does as Linux' tmpfs.
fn loosen(op: &mut Op) {
    match op {
        // Overlayfs has no RENAME_WHITEOUT.
        Op::Rename(_, _, flags) => *flags &= !4,
        // Holes are those of the host's file system.
        Op::Open(_, _, _, steps) => {
            for step in steps {
                if let Step::Seek(_, whence) = step {
                    *whence %= 3;
                }
            }
        }
        _ => {}
    }
}

fn forget_atime(answer: &mut Answer) {
    match answer {
        Ok(Value::Stat(stat)) => stat.atime = 0,
        Ok(Value::Steps(steps)) => steps.iter_mut().for_each(forget_atime),
        _ => {}
    }
}

fn may_run() -> bool {
    let root =
        std::fs::metadata("/proc/self").is_ok_and(|m| std::os::unix::fs::MetadataExt::uid(&m) == 0);
    let shm = std::path::Path::new("/dev/shm").is_dir();
    if !(root && shm) {
        eprintln!("skipped: needs root and /dev/shm");
    }
    root && shm
}

fn seeds(default: u64) -> std::ops::Range<u64> {
    let number = |name: &str| std::env::var(name).ok().and_then(|s| s.parse::<u64>().ok());
    match number("DIFF_SEED") {
        Some(seed) => seed..seed + 1,
        None => 1..1 + number("DIFF_SEEDS").unwrap_or(default),
    }
}

/// Compares many sequences and reports every seed that differs, the shortest way to a difference in full.
fn compare_all(count: u64, fs: impl Fn() -> Arc<dyn FileSystem>, prepare: &[Op], strict: bool) {
    let failed: Vec<String> = seeds(count)
        .filter_map(|seed| compare(seed, 600, &fs(), prepare, strict).err())
        .collect();
    let Some(shortest) = failed.iter().min_by_key(|text| text.len()) else {
        return;
    };
    let last = |text: &String| text.lines().rev().take(3).collect::<Vec<_>>().join("\n");
    let all: Vec<_> = failed.iter().map(last).collect();
    panic!("{}\n\nshortest:\n{shortest}", all.join("\n"));
}

fn cx() -> Cx {
    Cx::host(ours::now())
}

fn tmpfs() -> Arc<dyn FileSystem> {
    let options = Options {
        mode: 0o755,
        ..Options::default()
    };
    Tmpfs::new(&cx(), &MemoryBudget::unlimited(), options)
}

#[test]
fn tmpfs_answers_as_linux_does() {
    if !may_run() {
        return;
    }
    compare_all(60, tmpfs, &[], true);
}

/// A tree to begin with, in lower layers on our side.
fn first_tree() -> Vec<Op> {
    let text = |s: &str| Bytes::from(s.as_bytes().to_vec());
    let file = |path: &str, mode: u32, data: &str| {
        let flags = Flags {
            access: 1,
            creat: true,
            ..Flags::default()
        };
        Op::Open(text(path), flags, mode, vec![Step::Write(text(data))])
    };
    vec![
        Op::Be(0, 0o22),
        Op::Mkdir(text("a"), 0o755),
        Op::Mkdir(text("a/b"), 0o777),
        Op::Mkdir(text("a/c"), 0o700),
        file("a/a", 0o644, "first"),
        file("a/b/a", 0o755, "program"),
        file("a/b/b", 0o600, "secret"),
        file("a/c/d", 0o644, &"long".repeat(2000)),
        Op::Symlink(text("a/b"), text("b")),
        Op::Link(text("a/a"), text("a/d"), false),
        Op::Link(text("a/a"), text("c"), false),
        Op::Mknod(text("a/b/c"), 0o010644),
        Op::SetXattr(text("a/a"), text("user.a"), text("value"), 0),
        Op::Chown(text("a/b/b"), Some(1000), Some(1000), false),
        Op::Chmod(text("a/b/a"), 0o4755),
        Op::Utimens(text("a/a"), Some(1000), Some(2000), true),
        Op::Mkdir(text("d"), 0o1777),
        file("d/a", 0o666, "of all"),
    ]
}

/// What the topmost of two lower layers changes in the tree.
fn second_tree() -> Vec<Op> {
    let text = |s: &str| Bytes::from(s.as_bytes().to_vec());
    let file = |path: &str, data: &str| {
        let flags = Flags {
            access: 1,
            creat: true,
            ..Flags::default()
        };
        Op::Open(text(path), flags, 0o640, vec![Step::Write(text(data))])
    };
    vec![
        file("a/b/d", "of the second layer"),
        file("a/b/b", " and more"),
        Op::Unlink(text("a/b/a")),
        Op::Rmdir(text("d/x")),
        Op::Unlink(text("d/a")),
        Op::Rmdir(text("d")),
        Op::Mkdir(text("d"), 0o777),
        Op::Rename(text("a/c"), text("d/c"), 0),
    ]
}

/// Does operations on a file system by our VFS.
fn apply(fs: &Arc<dyn FileSystem>, ops: &[Op]) {
    let mut ours = Ours::new(fs);
    for op in ops {
        let _ = ours.run(op);
    }
}

#[test]
fn an_empty_overlay_answers_as_linux_does() {
    if !may_run() {
        return;
    }
    let fs = || OverlayFs::new(tmpfs(), vec![tmpfs()]).expect("an overlay") as Arc<dyn FileSystem>;
    compare_all(40, fs, &[], false);
}

#[test]
fn an_overlay_over_a_tree_answers_as_linux_does() {
    if !may_run() {
        return;
    }
    let fs = || {
        let lower = tmpfs();
        apply(&lower, &first_tree());
        OverlayFs::new(tmpfs(), vec![lower]).expect("an overlay") as Arc<dyn FileSystem>
    };
    compare_all(60, fs, &first_tree(), false);
}

#[test]
fn an_overlay_over_two_layers_answers_as_linux_does() {
    if !may_run() {
        return;
    }
    let fs = || {
        let (lower, middle) = (tmpfs(), tmpfs());
        apply(&lower, &first_tree());
        let below = OverlayFs::new(Arc::clone(&middle), vec![Arc::clone(&lower)]);
        apply(
            &(below.expect("an overlay") as Arc<dyn FileSystem>),
            &second_tree(),
        );
        OverlayFs::new(tmpfs(), vec![middle, lower]).expect("an overlay") as Arc<dyn FileSystem>
    };
    let tree = [first_tree(), second_tree()].concat();
    compare_all(60, fs, &tree, false);
}

/// An empty store in a directory of its own, which is removed with the last use of the store.
fn fakefs(dir: &std::path::Path) -> Arc<dyn FileSystem> {
    let store = dir.join("store");
    tuxlet_fakefs::FakeFs::create(&store).expect("a new store");
    tuxlet_fakefs::FakeFs::open(&store, &tuxlet_fakefs::Options::default()).expect("the store")
}

#[test]
fn fakefs_answers_as_linux_does() {
    if !may_run() {
        return;
    }
    let dir = tempfile::tempdir().expect("a directory");
    let fs = || {
        fakefs(
            &tempfile::tempdir_in(dir.path())
                .expect("a directory")
                .keep(),
        )
    };
    compare_all(20, fs, &[], false);
}

#[test]
fn an_overlay_over_fakefs_answers_as_linux_does() {
    if !may_run() {
        return;
    }
    let dir = tempfile::tempdir().expect("a directory");
    let new = || {
        fakefs(
            &tempfile::tempdir_in(dir.path())
                .expect("a directory")
                .keep(),
        )
    };
    let fs = || {
        let lower = new();
        apply(&lower, &first_tree());
        OverlayFs::new(new(), vec![lower]).expect("an overlay") as Arc<dyn FileSystem>
    };
    compare_all(20, fs, &first_tree(), false);
}
