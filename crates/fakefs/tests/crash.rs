//! A process that works on a store is killed at random moments; what it had been promised must be there.
//!
//! The child is this test program again. It writes down each promise (in a host file, which a kill does not
//! undo) after the fsync that made it, and each intention before it acts.

mod support;

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    io::Write as _,
    path::Path,
    process::{Command, Stdio},
    time::{Duration, Instant},
};
use support::*;
use tuxlet_fakefs::check;
use tuxlet_vfs::{Errno, FileSystem as _};

const STORE: &str = "TUXLET_CRASH_STORE";
const SEED: &str = "TUXLET_CRASH_SEED";
const ROUNDS: u64 = 40;

struct Random(u64);

impl Random {
    fn below(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % n
    }
}

/// The contents that belong to a number.
fn contents(seed: u64) -> Vec<u8> {
    let len = (seed.wrapping_mul(7919) % 20_000) as usize + 1;
    (0..len)
        .map(|i| (seed.wrapping_mul(31) as usize + i * 7 + (i >> 8)) as u8)
        .collect()
}

/// Not a test by itself: the process that gets killed.
#[test]
fn child() {
    let Some(store) = std::env::var_os(STORE) else {
        return;
    };
    let store = Path::new(&store);
    let seed: u64 = std::env::var(SEED).unwrap().parse().unwrap();
    let mut random = Random(seed | 1);
    let mut log = std::fs::File::options()
        .append(true)
        .create(true)
        .open(store.with_extension("log"))
        .unwrap();
    let mut say = |line: String| log.write_all(format!("{line}\n").as_bytes()).unwrap();
    let fs = open(store);
    let root = fs.root();
    let work = match root.lookup(&cx(), b"work") {
        Ok(dir) => dir,
        Err(_) => mkdir(&root, "work").unwrap(),
    };
    say("started".into());
    for n in seed * 1_000_000.. {
        match random.below(10) {
            0..=2 => {
                let f = write_file(&work, &format!("f{n}"), &contents(n));
                ops(&f).fsync(&cx(), n % 2 == 0).unwrap();
                say(format!("file f{n} {n}"));
            }
            3..=5 => {
                let k = random.below(4);
                let f = write_file(&work, &format!("tmp{n}"), &contents(n));
                ops(&f).fsync(&cx(), false).unwrap();
                say(format!("replacing t{k} {n}"));
                rename(&work, &format!("tmp{n}"), &root, &format!("t{k}")).unwrap();
                if random.below(2) == 0 {
                    ops(&root).fsync(&cx(), false).unwrap();
                    say(format!("replaced t{k} {n}"));
                }
            }
            6 => {
                let all = names(&work);
                if let Some(name) = all.iter().rev().find(|n| n.starts_with('f')) {
                    say(format!("removing {name}"));
                    work.unlink(&cx(), name.as_bytes()).unwrap();
                    if random.below(2) == 0 {
                        fs.sync().unwrap();
                        say(format!("removed {name}"));
                    }
                }
            }
            7 => {
                let d = mkdir(&root, &format!("d{n}")).unwrap();
                let f = write_file(&d, "in", &contents(n));
                d.link(&cx(), b"in2", &f).unwrap();
                ops(&d).fsync(&cx(), false).unwrap();
                say(format!("dir d{n} {n}"));
            }
            _ => {
                // Noise without promises.
                let f = write_file(&work, &format!("noise{n}"), &contents(n));
                ops(&f).truncate(&cx(), n % 1000).unwrap();
                for old in names(&work)
                    .iter()
                    .filter(|n| n.starts_with("noise"))
                    .take(3)
                {
                    let _ = work.unlink(&cx(), old.as_bytes());
                }
            }
        }
    }
}

#[derive(Default)]
struct Promises {
    /// Files that must have these contents, unless their removal was under way.
    files: BTreeMap<String, (u64, bool)>,
    removed: Vec<String>,
    /// Names of which one of these contents must be there: the last made durable, or any later one.
    replaced: BTreeMap<String, (bool, Vec<u64>)>,
    dirs: Vec<(String, u64)>,
}

fn promises(log: &str) -> Promises {
    let mut p = Promises::default();
    for line in log.lines() {
        let words: Vec<_> = line.split(' ').collect();
        let number = || words[2].parse::<u64>().unwrap();
        match words[0] {
            "file" => {
                p.files.insert(words[1].into(), (number(), false));
            }
            "removing" => p
                .files
                .get_mut(words[1])
                .into_iter()
                .for_each(|f| f.1 = true),
            "removed" => {
                p.files.remove(words[1]);
                p.removed.push(words[1].into());
            }
            "replacing" => {
                p.replaced
                    .entry(words[1].into())
                    .or_default()
                    .1
                    .push(number());
            }
            "replaced" => {
                p.replaced.insert(words[1].into(), (true, vec![number()]));
            }
            "dir" => p.dirs.push((words[1].into(), number())),
            _ => {}
        }
    }
    p
}

fn verify(store: &Path, log: &str) {
    let fs = open(store);
    let p = promises(log);
    for (name, (seed, removing)) in &p.files {
        match walk(&fs, &format!("work/{name}")) {
            Ok(f) => assert!(read(&f) == contents(*seed), "{name} has other contents"),
            Err(e) => assert!(*removing && e == Errno::ENOENT, "{name}: {e}"),
        }
    }
    for name in &p.removed {
        assert!(
            walk(&fs, &format!("work/{name}")).is_err(),
            "{name} is back"
        );
    }
    for (name, (must, seeds)) in &p.replaced {
        match walk(&fs, name) {
            Ok(f) => {
                let data = read(&f);
                assert!(
                    seeds.iter().any(|s| contents(*s) == data),
                    "{name} has other contents"
                );
            }
            Err(e) => assert!(!must, "{name}: {e}"),
        }
    }
    for (name, seed) in &p.dirs {
        for file in ["in", "in2"] {
            assert!(read(&walk(&fs, &format!("{name}/{file}")).unwrap()) == contents(*seed));
        }
    }
    drop(fs);
    let report = check(store).unwrap();
    assert!(report.problems.is_empty(), "{:#?}", report.problems);
}

#[test]
fn what_was_fsynced_survives_a_kill() {
    let t = tempfile::tempdir().unwrap();
    let store = t.path().join("store");
    drop(fresh(&store));
    let log = store.with_extension("log");
    let mut random = Random(0x9e37_79b9_7f4a_7c15 ^ u64::from(std::process::id()));
    let begun = Instant::now();
    let mut rounds = String::new();
    for round in 1..=ROUNDS {
        let delay = Duration::from_millis(random.below(90) + 2);
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "child", "--nocapture", "--test-threads=1"])
            .env(STORE, &store)
            .env(SEED, round.to_string())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        // Some kills hit the opening and its recovery, most the work.
        if round % 5 != 0 {
            let marks = |l: &str| l.lines().filter(|l| *l == "started").count();
            let before = marks(&rounds);
            while marks(&std::fs::read_to_string(&log).unwrap_or_default()) == before {
                assert!(
                    begun.elapsed() < Duration::from_secs(120),
                    "the child does not start"
                );
                std::thread::sleep(Duration::from_millis(2));
            }
        }
        std::thread::sleep(delay);
        child.kill().unwrap();
        child.wait().unwrap();
        rounds = std::fs::read_to_string(&log).unwrap_or_default();
        verify(&store, &rounds);
        if begun.elapsed() > Duration::from_secs(20) {
            break;
        }
    }
    let mut summary = String::new();
    let p = promises(&rounds);
    let _ = write!(
        summary,
        "{} files, {} removed, {} directories",
        p.files.len(),
        p.removed.len(),
        p.dirs.len()
    );
    println!("{summary}");
    assert!(
        p.files.len() + p.dirs.len() > 10,
        "too little happened: {summary}"
    );
}
