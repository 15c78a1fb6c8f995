//! Operations that both sides can do, and what they answer.

use std::{collections::BTreeMap, fmt, ops::Deref};

/// Bytes that print shortly.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Bytes(Vec<u8>);

impl Deref for Bytes {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl From<Vec<u8>> for Bytes {
    fn from(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }
}

impl fmt::Debug for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest = &self.0[..];
        f.write_str("\"")?;
        while let Some((&first, _)) = rest.split_first() {
            let run = rest.iter().take_while(|&&b| b == first).count();
            let shown = char::from(first).escape_default();
            match run {
                1..=4 => (0..run).try_for_each(|_| write!(f, "{shown}"))?,
                _ => write!(f, "{{{shown}x{run}}}")?,
            }
            rest = &rest[run..];
        }
        f.write_str("\"")
    }
}

/// Answer of one operation.
pub(crate) type Answer = Result<Value, i32>;

/// What an operation gives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Value {
    Done,
    Number(i64),
    Bytes(Bytes),
    /// Directory entries with their types.
    Names(BTreeMap<Bytes, u8>),
    Stat(Stat),
    /// The answers of the steps on an open file.
    Steps(Vec<Answer>),
}

/// What is compared of stat(2). Times are shown as given, or as -1 for "about now".
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Stat {
    pub mode: u32,
    pub nlink: u32,
    pub uid: u32,
    pub gid: u32,
    pub size: u64,
    pub rdev: u64,
    pub atime: i64,
    pub mtime: i64,
}

impl Stat {
    /// Blanks what file systems may choose, and the present.
    pub(crate) fn normal(mut self) -> Self {
        match self.mode & 0o170000 {
            0o040000 => (self.size, self.nlink) = (0, 0),
            // Following a link touches it in Linux; we save the write.
            0o120000 => self.atime = 0,
            _ => {}
        }
        for t in [&mut self.atime, &mut self.mtime] {
            if *t > 1_000_000_000 {
                *t = -1;
            }
        }
        self
    }
}

/// Flags of open(2), in nobody's numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Flags {
    pub access: u32,
    pub creat: bool,
    pub excl: bool,
    pub trunc: bool,
    pub append: bool,
    pub directory: bool,
    pub nofollow: bool,
    pub path: bool,
    pub tmpfile: bool,
    /// `RESOLVE_*`.
    pub resolve: u64,
}

/// A step on an open file.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    Read(usize),
    Write(Bytes),
    PWrite(u64, Bytes),
    PRead(u64, usize),
    Seek(i64, u32),
    Truncate(u64),
    Fallocate(u32, u64, u64),
    Stat,
    List,
    /// Gives the open file a name: `AT_EMPTY_PATH`.
    LinkAs(Bytes),
}

/// An operation.
#[derive(Clone, Debug)]
pub(crate) enum Op {
    /// The user to be from now on, and the umask.
    Be(u32, u32),
    Mkdir(Bytes, u32),
    Rmdir(Bytes),
    Unlink(Bytes),
    Mknod(Bytes, u32),
    Symlink(Bytes, Bytes),
    Readlink(Bytes),
    Link(Bytes, Bytes, bool),
    Rename(Bytes, Bytes, u32),
    Stat(Bytes, bool),
    Chmod(Bytes, u32),
    Chown(Bytes, Option<u32>, Option<u32>, bool),
    Truncate(Bytes, u64),
    /// Times: `None` omit, `Some(0)` now, else seconds.
    Utimens(Bytes, Option<i64>, Option<i64>, bool),
    Access(Bytes, u32),
    GetXattr(Bytes, Bytes),
    SetXattr(Bytes, Bytes, Bytes, u32),
    ListXattr(Bytes),
    RemoveXattr(Bytes, Bytes),
    Open(Bytes, Flags, u32, Vec<Step>),
    Chdir(Bytes),
    Getcwd,
}

/// One side.
pub(crate) trait World {
    fn run(&mut self, op: &Op) -> Answer;
}
