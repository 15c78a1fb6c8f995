//! The attributes by which the upper layer remembers what it hides and where its objects come from.

use crate::OverlayFs;
use tuxlet_uapi::errno::{Errno, Result};
use tuxlet_vfs::{Cx, FileType, InodeRef};

/// Leading bytes of our origin value: Linux' begins with 0x00 0xfb.
const ORIGIN_MAGIC: &[u8] = b"TXO1";

/// Which attributes an overlay keeps its notes in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Attributes {
    /// `trusted.overlay.*`.
    #[default]
    Trusted,
    /// `user.overlay.*`, which need no privilege: the mount option `userxattr`.
    User,
    /// None, since whoever mounted it may not set trusted ones. What needs a note fails with `EIO`, as in Linux.
    Unavailable,
}

impl Attributes {
    fn prefix(self) -> &'static [u8] {
        match self {
            Self::Trusted | Self::Unavailable => b"trusted.overlay.",
            Self::User => b"user.overlay.",
        }
    }

    fn name(self, rest: &str) -> Vec<u8> {
        [self.prefix(), rest.as_bytes()].concat()
    }

    fn escaped_prefix(self) -> Vec<u8> {
        self.name("overlay.")
    }

    /// The name under which a guest's attribute is stored: an overlay inside an overlay has its own.
    pub(crate) fn escape(self, name: &[u8]) -> Vec<u8> {
        match name.strip_prefix(self.prefix()) {
            Some(rest) => [&self.escaped_prefix(), rest].concat(),
            None => name.to_vec(),
        }
    }

    /// The guest's name of a stored attribute; `None` for ours.
    pub(crate) fn unescape(self, name: Vec<u8>) -> Option<Vec<u8>> {
        match name.strip_prefix(&*self.escaped_prefix()) {
            Some(rest) => Some([self.prefix(), rest].concat()),
            None if name.starts_with(self.prefix()) => None,
            None => Some(name),
        }
    }

    /// An attribute's value; `None` if it is missing or the layer cannot have any.
    fn get(self, cx: &Cx, inode: &InodeRef, name: &str) -> Result<Option<Vec<u8>>> {
        if self == Self::Unavailable {
            return Ok(None);
        }
        match inode.get_xattr(cx, &self.name(name)) {
            Ok(value) => Ok(Some(value)),
            Err(Errno::ENODATA | Errno::EOPNOTSUPP) => Ok(None),
            Err(e) => Err(e),
        }
    }

    fn set(self, cx: &Cx, inode: &InodeRef, name: &str, value: &[u8]) -> Result<()> {
        if self == Self::Unavailable {
            return Err(Errno::EOPNOTSUPP);
        }
        inode.set_xattr(cx, &self.name(name), value, 0)
    }

    pub(crate) fn is_opaque(self, cx: &Cx, dir: &InodeRef) -> Result<bool> {
        Ok(self.get(cx, dir, "opaque")?.is_some_and(|v| v == b"y"))
    }

    pub(crate) fn set_opaque(self, cx: &Cx, dir: &InodeRef) -> Result<()> {
        match self.set(cx, dir, "opaque", b"y") {
            Err(Errno::EOPNOTSUPP) if self == Self::Unavailable => Err(Errno::EIO),
            other => other,
        }
    }

    /// Whether entries of an upper directory may have inode numbers of lower layers.
    pub(crate) fn is_impure(self, cx: &Cx, dir: &InodeRef) -> Result<bool> {
        Ok(self.get(cx, dir, "impure")?.is_some())
    }

    pub(crate) fn set_impure(self, cx: &Cx, dir: &InodeRef) -> Result<()> {
        if self == Self::Unavailable || self.is_impure(cx, dir)? {
            Ok(())
        } else {
            self.set(cx, dir, "impure", b"y")
        }
    }

    /// The layer and inode number that an upper object was copied from.
    pub(crate) fn origin(self, cx: &Cx, inode: &InodeRef) -> Result<Option<(usize, u64)>> {
        let Some(value) = self.get(cx, inode, "origin")? else {
            return Ok(None);
        };
        let Some(rest) = value.strip_prefix(ORIGIN_MAGIC) else {
            return Ok(None);
        };
        let (Some(layer), Some(ino)) = (rest.first_chunk::<4>(), rest.last_chunk::<8>()) else {
            return Ok(None);
        };
        Ok((rest.len() == 12).then(|| {
            (
                u32::from_le_bytes(*layer) as usize,
                u64::from_le_bytes(*ino),
            )
        }))
    }

    /// Notes the origin. A layer that cannot have attributes merely loses stable inode numbers.
    pub(crate) fn set_origin(
        self,
        cx: &Cx,
        inode: &InodeRef,
        layer: usize,
        ino: u64,
    ) -> Result<()> {
        // Only files and directories have user attributes: xattr(7).
        let holds = matches!(inode.kind(), FileType::Regular | FileType::Directory);
        if self == Self::User && !holds {
            return Ok(());
        }
        let value = [
            ORIGIN_MAGIC,
            &(layer as u32).to_le_bytes(),
            &ino.to_le_bytes(),
        ]
        .concat();
        match self.set(cx, inode, "origin", &value) {
            Err(Errno::EOPNOTSUPP | Errno::EPERM) => Ok(()),
            other => other,
        }
    }

    /// How many names an indexed file has, in whichever layers; `None` for one that is not in the index.
    pub(crate) fn names(self, cx: &Cx, inode: &InodeRef) -> Result<Option<u32>> {
        let value = self.get(cx, inode, "nlink")?.unwrap_or_default();
        Ok(std::str::from_utf8(&value)
            .ok()
            .and_then(|text| text.parse().ok()))
    }

    pub(crate) fn set_names(self, cx: &Cx, inode: &InodeRef, names: u32) -> Result<()> {
        self.set(cx, inode, "nlink", names.to_string().as_bytes())
    }
}

impl OverlayFs {
    /// Copies the guest's attributes; the layer's own stay behind, and those that the upper layer cannot hold.
    pub(crate) fn copy_xattrs(&self, cx: &Cx, from: &InodeRef, to: &InodeRef) -> Result<()> {
        for name in from.list_xattr(cx)? {
            if self.options.attributes.unescape(name.clone()).is_none() {
                continue;
            }
            let value = from.get_xattr(cx, &name)?;
            match to.set_xattr(cx, &name, &value, 0) {
                Ok(()) | Err(Errno::EOPNOTSUPP) => {}
                Err(e) => return Err(e),
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_attributes_are_hidden_and_nested_ones_escaped() {
        let (trusted, user) = (Attributes::Trusted, Attributes::User);
        let nested = b"trusted.overlay.overlay.opaque";
        assert_eq!(trusted.escape(b"trusted.overlay.opaque"), nested);
        assert_eq!(
            trusted.unescape(nested.to_vec()).unwrap(),
            b"trusted.overlay.opaque"
        );
        assert_eq!(trusted.unescape(b"trusted.overlay.opaque".to_vec()), None);
        assert_eq!(trusted.unescape(b"user.x".to_vec()).unwrap(), b"user.x");
        assert_eq!(trusted.escape(b"trusted.x"), b"trusted.x");
        assert_eq!(
            user.escape(b"user.overlay.opaque"),
            b"user.overlay.overlay.opaque"
        );
        assert_eq!(
            user.escape(b"trusted.overlay.opaque"),
            b"trusted.overlay.opaque"
        );
    }
}
