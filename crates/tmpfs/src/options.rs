//! Mount options: tmpfs(5).

use std::fmt::Write as _;
use tuxlet_uapi::errno::{Errno, Result};

/// Limits and the root's attributes.
#[derive(Clone, Debug)]
pub struct Options {
    /// Size limit in pages of 4 KiB.
    pub pages: u64,
    /// Limit of inodes.
    pub inodes: u64,
    /// Mode of the root directory.
    pub mode: u32,
    /// Owner of the root directory.
    pub uid: u32,
    /// Group of the root directory.
    pub gid: u32,
    /// What was set explicitly, for [`Options::show`].
    shown: Shown,
}

#[derive(Clone, Copy, Debug, Default)]
struct Shown {
    size: bool,
    inodes: bool,
    mode: bool,
}

impl Options {
    /// The defaults of a machine with so many pages of memory: half of them.
    #[must_use]
    pub fn new(memory_pages: u64) -> Self {
        let half = (memory_pages / 2).max(1);
        Self {
            pages: half,
            inodes: half,
            mode: 0o1777,
            uid: 0,
            gid: 0,
            shown: Shown::default(),
        }
    }

    /// Without limits: for memfd and shared memory.
    #[must_use]
    pub fn unlimited() -> Self {
        Self {
            inodes: u64::MAX,
            ..Self::new(u64::MAX)
        }
    }

    /// Applies a comma separated option string; `EINVAL` for what tmpfs(5) does not know.
    pub fn parse(mut self, options: &str, memory_pages: u64) -> Result<Self> {
        for option in options.split(',').filter(|o| !o.is_empty()) {
            let (key, value) = option.split_once('=').unwrap_or((option, ""));
            match key {
                "size" => {
                    self.pages = match value.strip_suffix('%') {
                        Some(percent) => {
                            let percent: u64 = percent.parse().map_err(|_| Errno::EINVAL)?;
                            (u128::from(memory_pages) * u128::from(percent) / 100) as u64
                        }
                        None => size(value)?.div_ceil(4096),
                    };
                    self.shown.size = true;
                    if self.pages == 0 {
                        self.pages = u64::MAX;
                    }
                }
                "nr_blocks" => {
                    self.pages = size(value)?;
                    self.shown.size = true;
                    if self.pages == 0 {
                        self.pages = u64::MAX;
                    }
                }
                "nr_inodes" => {
                    self.inodes = size(value)?;
                    self.shown.inodes = true;
                    if self.inodes == 0 {
                        self.inodes = u64::MAX;
                    }
                }
                "mode" => {
                    self.mode = u32::from_str_radix(value, 8).map_err(|_| Errno::EINVAL)? & 0o7777;
                    self.shown.mode = true;
                }
                "uid" => self.uid = value.parse().map_err(|_| Errno::EINVAL)?,
                "gid" => self.gid = value.parse().map_err(|_| Errno::EINVAL)?,
                "inode64" | "inode32" | "huge" | "mpol" => {}
                _ => return Err(Errno::EINVAL),
            }
        }
        Ok(self)
    }

    /// As in `/proc/mounts`, each with its comma.
    pub(crate) fn show(&self) -> String {
        let mut out = String::new();
        if self.shown.size && self.pages != u64::MAX {
            let _ = write!(out, ",size={}k", self.pages * 4);
        }
        if self.shown.inodes && self.inodes != u64::MAX {
            let _ = write!(out, ",nr_inodes={}", self.inodes);
        }
        if self.shown.mode {
            let _ = write!(out, ",mode={:o}", self.mode);
        }
        if self.uid != 0 {
            let _ = write!(out, ",uid={}", self.uid);
        }
        if self.gid != 0 {
            let _ = write!(out, ",gid={}", self.gid);
        }
        out
    }
}

/// A number with an optional `k`, `m` or `g`.
fn size(text: &str) -> Result<u64> {
    let split = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let number: u64 = text[..split].parse().map_err(|_| Errno::EINVAL)?;
    let shift = match &text[split..] {
        "" => 0,
        "k" | "K" => 10,
        "m" | "M" => 20,
        "g" | "G" => 30,
        "t" | "T" => 40,
        _ => return Err(Errno::EINVAL),
    };
    number.checked_mul(1 << shift).ok_or(Errno::EINVAL)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_parsed_and_shown() {
        let o = Options::new(1000)
            .parse("size=64k,mode=755,uid=5,nr_inodes=1k", 1000)
            .unwrap();
        assert_eq!((o.pages, o.inodes, o.mode, o.uid), (16, 1024, 0o755, 5));
        assert_eq!(o.show(), ",size=64k,nr_inodes=1024,mode=755,uid=5");
        assert_eq!(
            Options::new(1000).parse("size=50%", 1000).unwrap().pages,
            500
        );
        assert_eq!(
            Options::new(1000).parse("sise=1", 1000).unwrap_err(),
            Errno::EINVAL
        );
        assert_eq!(
            Options::new(1000).parse("size=1x", 1000).unwrap_err(),
            Errno::EINVAL
        );
    }
}
