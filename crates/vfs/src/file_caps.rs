//! Capabilities of program files: the attribute `security.capability` of capabilities(7).

use crate::{cx::Cx, inode::InodeRef};
use std::sync::atomic::{AtomicU64, Ordering};
use tuxlet_uapi::errno::{Errno, Result};

/// The attribute.
pub const NAME: &[u8] = b"security.capability";

const REVISION_MASK: u32 = 0xff00_0000;
const REVISION_1: u32 = 0x0100_0000;
const REVISION_2: u32 = 0x0200_0000;
const REVISION_3: u32 = 0x0300_0000;
const EFFECTIVE: u32 = 1;

/// How often a file has been given capabilities: who has found none need not look again before that changes.
static GENERATION: AtomicU64 = AtomicU64::new(1);

/// What a program file gives to who executes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileCaps {
    /// Permitted set.
    pub permitted: u64,
    /// Inheritable set.
    pub inheritable: u64,
    /// Whether what the program may use it has at once.
    pub effective: bool,
}

impl FileCaps {
    /// Reads the attribute's value. `EINVAL` for one that is not well-formed. The user namespace of revision 3 is
    /// not looked at: there is one only.
    pub fn parse(value: &[u8]) -> Result<Self> {
        let (words, rest) = value.as_chunks::<4>();
        let mut words = words.iter().map(|w| u32::from_le_bytes(*w));
        let magic = words
            .next()
            .filter(|_| rest.is_empty())
            .ok_or(Errno::EINVAL)?;
        let len = match magic & REVISION_MASK {
            REVISION_1 => 12,
            REVISION_2 => 20,
            REVISION_3 => 24,
            _ => return Err(Errno::EINVAL),
        };
        if value.len() != len || magic & !REVISION_MASK & !EFFECTIVE != 0 {
            return Err(Errno::EINVAL);
        }
        let mut caps = Self {
            permitted: 0,
            inheritable: 0,
            effective: magic & EFFECTIVE != 0,
        };
        let halves = if len == 12 { 1 } else { 2 };
        for half in 0..halves {
            let mut next = || u64::from(words.next().unwrap_or_default()) << (32 * half);
            caps.permitted |= next();
            caps.inheritable |= next();
        }
        Ok(caps)
    }

    /// Those of a file; `None` without any. A value that makes no sense gives none, as in Linux.
    pub fn of(cx: &Cx, inode: &InodeRef) -> Result<Option<Self>> {
        match inode.get_xattr(cx, NAME) {
            Ok(value) => Ok(Self::parse(&value).ok()),
            Err(Errno::ENODATA | Errno::EOPNOTSUPP) => Ok(None),
            Err(e) => Err(e),
        }
    }
}

/// To be called before a file is given capabilities.
pub(crate) fn will_be_set() {
    GENERATION.fetch_add(1, Ordering::AcqRel);
}

/// A change of content or owner takes a file's capabilities away, whoever changes it. `checked` remembers between
/// the calls of one open file that there are none.
pub(crate) fn drop_from(cx: &Cx, inode: &InodeRef, checked: &AtomicU64) -> Result<()> {
    let now = GENERATION.load(Ordering::Acquire);
    if checked.load(Ordering::Relaxed) == now {
        return Ok(());
    }
    drop_now(cx, inode)?;
    checked.store(now, Ordering::Relaxed);
    Ok(())
}

/// As [`drop_from`], without memory.
pub(crate) fn drop_now(cx: &Cx, inode: &InodeRef) -> Result<()> {
    match inode.get_xattr(cx, NAME) {
        Ok(_) => match inode.remove_xattr(cx, NAME) {
            Err(Errno::ENODATA) => Ok(()),
            other => other,
        },
        Err(Errno::ENODATA | Errno::EOPNOTSUPP) => Ok(()),
        Err(e) => Err(e),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_revisions_are_read() {
        let v2 = [
            &[1, 0, 0, 2, 0, 4, 0, 0, 1, 0, 0, 0][..],
            &[0x80, 0, 0, 0, 0, 0, 0, 0],
        ]
        .concat();
        let caps = FileCaps {
            permitted: 0x80_0000_0400,
            inheritable: 1,
            effective: true,
        };
        assert_eq!(FileCaps::parse(&v2), Ok(caps));
        let mut v3 = [&v2[..], &[0, 0, 0, 0]].concat();
        v3[3] = 3;
        assert_eq!(FileCaps::parse(&v3), Ok(caps));
        let v1 = [0, 0, 0, 1, 0, 4, 0, 0, 1, 0, 0, 0];
        assert_eq!(FileCaps::parse(&v1).map(|c| c.permitted), Ok(0x400));
    }

    #[test]
    fn other_values_are_refused() {
        assert_eq!(FileCaps::parse(b""), Err(Errno::EINVAL));
        assert_eq!(FileCaps::parse(&[0; 20]), Err(Errno::EINVAL));
        assert_eq!(FileCaps::parse(&[0, 0, 0, 2, 0]), Err(Errno::EINVAL));
        let mut odd = [0; 20];
        (odd[0], odd[3]) = (2, 2);
        assert_eq!(FileCaps::parse(&odd), Err(Errno::EINVAL));
    }
}
