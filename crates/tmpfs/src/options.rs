//! Mount options: tmpfs(5).

use std::fmt::Write as _;
use tuxlet_uapi::errno::{Errno, Result};

/// Limits and the root's attributes.
#[derive(Clone, Debug)]
pub struct Options {
    /// Size limit in pages of 4 KiB; `None` is half of the memory.
    pub pages: Option<u64>,
    /// Limit of inodes; `None` is as many as half of the memory has pages.
    pub inodes: Option<u64>,
    /// Mode of the root directory.
    pub mode: u32,
    /// Owner of the root directory.
    pub uid: u32,
    /// Group of the root directory.
    pub gid: u32,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            pages: None,
            inodes: None,
            mode: 0o1777,
            uid: 0,
            gid: 0,
        }
    }
}

impl Options {
    /// Without limits: for memfd and shared memory.
    #[must_use]
    pub fn unlimited() -> Self {
        Self {
            pages: Some(u64::MAX),
            inodes: Some(u64::MAX),
            ..Self::default()
        }
    }

    /// Applies a comma separated option string; `EINVAL` for what tmpfs(5) does not know.
    pub fn parse(mut self, options: &str, memory_pages: u64) -> Result<Self> {
        for option in options.split(',').filter(|o| !o.is_empty()) {
            let (key, value) = option.split_once('=').unwrap_or((option, ""));
            match key {
                "size" => {
                    let pages = match value.strip_suffix('%') {
                        Some(percent) => {
                            let percent: u64 = percent.parse().map_err(|_| Errno::EINVAL)?;
                            (u128::from(memory_pages) * u128::from(percent) / 100) as u64
                        }
                        None => size(value)?.div_ceil(4096),
                    };
                    self.pages = Some(unlimited_if_zero(pages));
                }
                "nr_blocks" => self.pages = Some(unlimited_if_zero(size(value)?)),
                "nr_inodes" => self.inodes = Some(unlimited_if_zero(size(value)?)),
                "mode" => {
                    self.mode = u32::from_str_radix(value, 8).map_err(|_| Errno::EINVAL)? & 0o7777;
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
        if let Some(pages) = self.pages.filter(|&p| p < u64::MAX / 4) {
            let _ = write!(out, ",size={}k", pages * 4);
        }
        if let Some(inodes) = self.inodes.filter(|&i| i != u64::MAX) {
            let _ = write!(out, ",nr_inodes={inodes}");
        }
        if self.mode != 0o1777 {
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

fn unlimited_if_zero(limit: u64) -> u64 {
    if limit == 0 { u64::MAX } else { limit }
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
        let o = Options::default()
            .parse("size=64k,mode=755,uid=5,nr_inodes=1k", 1000)
            .unwrap();
        assert_eq!(
            (o.pages, o.inodes, o.mode, o.uid),
            (Some(16), Some(1024), 0o755, 5)
        );
        assert_eq!(o.show(), ",size=64k,nr_inodes=1024,mode=755,uid=5");
        assert_eq!(
            Options::default().parse("size=50%", 1000).unwrap().pages,
            Some(500)
        );
        assert_eq!(
            Options::default().parse("sise=1", 1000).unwrap_err(),
            Errno::EINVAL
        );
        assert_eq!(
            Options::default().parse("size=1x", 1000).unwrap_err(),
            Errno::EINVAL
        );
    }
}
