//! A file exerciser: random operations on one file, each compared with a model in memory. Arguments: a directory
//! (default: scratch), a seed and a count of operations; so it also runs for hours on any file system.

use guest::{c, clean, close, errno, error_name, say, scratch};
use libc::{
    FALLOC_FL_COLLAPSE_RANGE, FALLOC_FL_INSERT_RANGE, FALLOC_FL_KEEP_SIZE, FALLOC_FL_PUNCH_HOLE, FALLOC_FL_ZERO_RANGE,
    MAP_FAILED, MAP_SHARED, MS_SYNC, O_CREAT, O_RDONLY, O_RDWR, O_TRUNC, PROT_READ, PROT_WRITE, SEEK_DATA, SEEK_HOLE,
};
use std::ptr::null_mut;

/// The file is never longer.
const MAX: usize = 512 << 10;
const PAGE: usize = 4096;

struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }
    fn below(&mut self, n: usize) -> usize {
        (self.next() % n.max(1) as u64) as usize
    }
    /// A range within `0..limit`, at times aligned to pages, not empty.
    fn range(&mut self, limit: usize) -> (usize, usize) {
        let mut at = self.below(limit);
        let longest = if self.below(4) == 0 { 100_000 } else { 9_000 };
        let mut len = 1 + self.below(longest);
        if self.below(3) == 0 {
            at &= !(PAGE - 1);
            len = (len + PAGE - 1) & !(PAGE - 1);
        }
        (at, len.min(limit - at))
    }
}

struct Exerciser {
    path: String,
    fd: i32,
    /// A shared mapping of all that the file may become.
    map: *mut u8,
    model: Vec<u8>,
    random: Random,
    log: Vec<String>,
}

impl Exerciser {
    fn open(&mut self) {
        // SAFETY: a terminated string; a mapping of a file that this process keeps open.
        unsafe {
            self.fd = libc::open(c(&self.path).as_ptr(), O_RDWR);
            self.must(i64::from(self.fd), "open");
            let map = libc::mmap(null_mut(), MAX, PROT_READ | PROT_WRITE, MAP_SHARED, self.fd, 0);
            self.must(if map == MAP_FAILED { -1 } else { 0 }, "mmap");
            self.map = map.cast();
        }
    }

    fn close(&mut self) {
        // SAFETY: the mapping is not used any more.
        unsafe { libc::munmap(self.map.cast(), MAX) };
        close(self.fd);
    }

    fn fail(&self, what: &str) -> ! {
        say!("fsx: {what}");
        for line in &self.log[self.log.len().saturating_sub(40)..] {
            say!("  {line}");
        }
        std::process::exit(1);
    }

    fn must(&self, r: i64, what: &str) -> i64 {
        if r < 0 {
            self.fail(&format!("{what}: {}", error_name(errno())));
        }
        r
    }

    fn pattern(&mut self, len: usize) -> Vec<u8> {
        let seed = self.random.next() as u8 | 1;
        (0..len).map(|i| (i as u8).wrapping_mul(3).wrapping_add(seed) | 1).collect()
    }

    fn compare(&self, at: usize, got: &[u8], by: &str) {
        let want = self.model.get(at..at + got.len()).unwrap_or_default();
        if let Some(i) = (0..want.len()).find(|&i| got[i] != want[i]) {
            let bad = (i..got.len()).filter(|&i| got[i] != want[i]).count();
            let place = at + i;
            self.fail(&format!(
                "{by}: {bad} bytes from {place:#x} on differ, {:#04x} instead of {:#04x}, size {:#x}",
                got[i],
                want[i],
                self.model.len()
            ));
        }
    }

    fn check_read(&self, at: usize, len: usize) {
        let mut got = vec![0xee; len];
        // SAFETY: room for the data.
        let n = self.must(unsafe { libc::pread(self.fd, got.as_mut_ptr().cast(), len, at as i64) } as i64, "pread");
        let want = self.model.len().saturating_sub(at).min(len);
        if n as usize != want {
            self.fail(&format!("pread({at:#x}, {len:#x}) gave {n:#x}, not {want:#x}"));
        }
        self.compare(at, &got[..want], "pread");
    }

    fn mapped(&self, at: usize, len: usize) -> Vec<u8> {
        // SAFETY: within the mapping and within the file, and this process has no other thread.
        (0..len).map(|i| unsafe { self.map.add(at + i).read_volatile() }).collect()
    }

    fn check_all(&self) {
        // SAFETY: room for the answer.
        let size = unsafe {
            let mut s: libc::stat = std::mem::zeroed();
            self.must(libc::fstat(self.fd, &mut s).into(), "fstat");
            s.st_size as usize
        };
        if size != self.model.len() {
            self.fail(&format!("the size is {size:#x}, not {:#x}", self.model.len()));
        }
        self.check_read(0, MAX);
        self.compare(0, &self.mapped(0, size), "mapping");
        // The rest of the last page is zeros.
        let rest = size.next_multiple_of(PAGE) - size;
        if self.mapped(size, rest).iter().any(|b| *b != 0) {
            self.fail("the last page does not end in zeros");
        }
    }

    /// What lies in a hole must be zeros.
    fn check_holes(&self) {
        let mut at = 0;
        while at < self.model.len() {
            // SAFETY: plain calls.
            let hole = self.must(unsafe { libc::lseek(self.fd, at as i64, SEEK_HOLE) }, "SEEK_HOLE") as usize;
            if hole >= self.model.len() {
                return;
            }
            // SAFETY: as above.
            let data = match unsafe { libc::lseek(self.fd, hole as i64, SEEK_DATA) } {
                -1 if errno() == libc::ENXIO => self.model.len(),
                n => self.must(n, "SEEK_DATA") as usize,
            };
            if hole < at || data <= hole {
                self.fail(&format!("extents do not advance: {at:#x} {hole:#x} {data:#x}"));
            }
            if self.model[hole..data].iter().any(|b| *b != 0) {
                self.fail(&format!("{hole:#x}..{data:#x} is no hole"));
            }
            at = data;
        }
    }

    fn fallocate(&self, mode: i32, at: usize, len: usize) -> bool {
        // SAFETY: a plain call.
        match unsafe { libc::fallocate(self.fd, mode, at as i64, len as i64) } {
            -1 if errno() == libc::EOPNOTSUPP => false,
            n => self.must(n.into(), "fallocate") == 0,
        }
    }

    fn grow(&mut self, to: usize) {
        if self.model.len() < to {
            self.model.resize(to, 0);
        }
    }

    fn step(&mut self) {
        let size = self.model.len();
        let kind = self.random.below(20);
        match kind {
            0..=3 => {
                let (at, len) = self.random.range(MAX);
                let data = self.pattern(len);
                self.log.push(format!("pwrite {at:#x} {len:#x}"));
                // SAFETY: the data.
                let n = self.must(unsafe { libc::pwrite(self.fd, data.as_ptr().cast(), len, at as i64) } as i64, "pwrite");
                if n as usize != len {
                    self.fail("a short write");
                }
                self.grow(at + len);
                self.model[at..at + len].copy_from_slice(&data);
            }
            4 | 5 => {
                let (at, len) = self.random.range(MAX);
                self.check_read(at, len);
            }
            6 | 7 if size > 0 => {
                let (at, len) = self.random.range(size);
                self.compare(at, &self.mapped(at, len), "mapping");
            }
            8..=10 if size > 0 => {
                let (at, len) = self.random.range(size);
                let data = self.pattern(len);
                self.log.push(format!("store {at:#x} {len:#x}"));
                for (i, byte) in data.iter().enumerate() {
                    // SAFETY: within the mapping and the file.
                    unsafe { self.map.add(at + i).write_volatile(*byte) };
                }
                self.model[at..at + len].copy_from_slice(&data);
                if self.random.below(3) == 0 {
                    // SAFETY: the mapping.
                    self.must(unsafe { libc::msync(self.map.cast(), MAX, MS_SYNC) }.into(), "msync");
                }
            }
            11 | 12 => {
                let to = if self.random.below(3) == 0 { self.random.below(PAGE) } else { self.random.below(MAX) };
                self.log.push(format!("truncate {to:#x}"));
                // SAFETY: plain calls.
                let r = unsafe {
                    if self.random.below(2) == 0 {
                        libc::ftruncate(self.fd, to as i64)
                    } else {
                        libc::truncate(c(&self.path).as_ptr(), to as i64)
                    }
                };
                self.must(r.into(), "truncate");
                self.model.resize(to, 0);
            }
            13 => {
                let (at, len) = self.random.range(MAX);
                self.log.push(format!("punch {at:#x} {len:#x}"));
                if self.fallocate(FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, at, len) && at < size {
                    let end = (at + len).min(size);
                    self.model[at..end].fill(0);
                }
            }
            14 => {
                let (at, len) = self.random.range(MAX);
                let keep = self.random.below(2) == 0;
                self.log.push(format!("zero {at:#x} {len:#x} {keep}"));
                let mode = FALLOC_FL_ZERO_RANGE | if keep { FALLOC_FL_KEEP_SIZE } else { 0 };
                if self.fallocate(mode, at, len) {
                    if !keep {
                        self.grow(at + len);
                    }
                    let size = self.model.len();
                    self.model[at.min(size)..(at + len).min(size)].fill(0);
                }
            }
            15 => {
                let (at, len) = self.random.range(MAX);
                let keep = self.random.below(2) == 0;
                self.log.push(format!("allocate {at:#x} {len:#x} {keep}"));
                if self.fallocate(if keep { FALLOC_FL_KEEP_SIZE } else { 0 }, at, len) && !keep {
                    self.grow(at + len);
                }
            }
            16 if size > 3 * PAGE => {
                let at = self.random.below(size - 2 * PAGE) & !(PAGE - 1);
                let len = PAGE * (1 + self.random.below(3));
                if at + len < size && self.random.below(2) == 0 {
                    self.log.push(format!("collapse {at:#x} {len:#x}"));
                    if self.fallocate(FALLOC_FL_COLLAPSE_RANGE, at, len) {
                        self.model.drain(at..at + len);
                    }
                } else if size + len <= MAX {
                    self.log.push(format!("insert {at:#x} {len:#x}"));
                    if self.fallocate(FALLOC_FL_INSERT_RANGE, at, len) {
                        self.model.splice(at..at, std::iter::repeat_n(0, len));
                    }
                }
            }
            17 if size > 0 => {
                let (from, len) = self.random.range(size);
                let to = self.random.below(MAX - len);
                if from < to + len && to < from + len {
                    return;
                }
                self.log.push(format!("copy {from:#x} {to:#x} {len:#x}"));
                let (mut a, mut b, mut left) = (from as i64, to as i64, len);
                while left > 0 {
                    // SAFETY: the positions are ours.
                    let n = unsafe { libc::copy_file_range(self.fd, &mut a, self.fd, &mut b, left, 0) };
                    match self.must(n as i64, "copy_file_range") as usize {
                        0 => self.fail("copy_file_range ends early"),
                        n => left -= n,
                    }
                }
                self.grow(to + len);
                self.model.copy_within(from..from + len, to);
            }
            18 => {
                if self.random.below(4) == 0 {
                    self.log.push("reopen".into());
                    self.close();
                    self.open();
                } else {
                    self.log.push("fsync".into());
                    // SAFETY: a plain call.
                    self.must(unsafe { libc::fsync(self.fd) }.into(), "fsync");
                }
            }
            _ => self.check_holes(),
        }
    }
}

fn main() {
    let mut args = std::env::args().skip(1);
    let given = args.next();
    let dir = given.clone().unwrap_or_else(|| scratch("fsx"));
    let mut number = |or: u64| args.next().map_or(or, |a| a.parse().expect("a number"));
    let (seed, count) = (number(1), number(600));
    let path = format!("{dir}/exercised");
    // SAFETY: a terminated string.
    close(unsafe { libc::open(c(&path).as_ptr(), O_CREAT | O_TRUNC | O_RDONLY, 0o600) });
    let mut x = Exerciser {
        path: path.clone(),
        fd: -1,
        map: null_mut(),
        model: Vec::new(),
        random: Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1),
        log: Vec::new(),
    };
    x.open();
    for i in 0..count {
        x.step();
        if i % 16 == 0 {
            x.check_all();
        }
    }
    x.check_all();
    x.close();
    std::fs::remove_file(&path).expect("removing the file");
    if given.is_none() {
        clean(&dir);
    }
    say!("fsx: {count} operations agree with the model");
}
