//! The attributes by which the upper layer remembers what it hides and where its objects come from.

use crate::OverlayFs;
use tuxlet_uapi::errno::{Errno, Result};
use tuxlet_vfs::{Cx, InodeRef};

const PREFIX: &[u8] = b"trusted.overlay.";
const ESCAPE: &[u8] = b"trusted.overlay.overlay.";
const OPAQUE: &[u8] = b"trusted.overlay.opaque";
const ORIGIN: &[u8] = b"trusted.overlay.origin";
const IMPURE: &[u8] = b"trusted.overlay.impure";
const NLINK: &[u8] = b"trusted.overlay.nlink";

/// Leading bytes of our origin value: Linux' begins with 0x00 0xfb.
const ORIGIN_MAGIC: &[u8] = b"TXO1";

/// The name under which a guest's attribute is stored: an overlay inside an overlay has its own.
pub(crate) fn escape(name: &[u8]) -> Vec<u8> {
    match name.strip_prefix(PREFIX) {
        Some(rest) => [ESCAPE, rest].concat(),
        None => name.to_vec(),
    }
}

/// The guest's name of a stored attribute; `None` for ours.
pub(crate) fn unescape(name: Vec<u8>) -> Option<Vec<u8>> {
    match name.strip_prefix(ESCAPE) {
        Some(rest) => Some([PREFIX, rest].concat()),
        None if name.starts_with(PREFIX) => None,
        None => Some(name),
    }
}

/// An attribute's value; `None` if it is missing or the layer cannot have any.
fn get(cx: &Cx, inode: &InodeRef, name: &[u8]) -> Result<Option<Vec<u8>>> {
    match inode.get_xattr(cx, name) {
        Ok(value) => Ok(Some(value)),
        Err(Errno::ENODATA | Errno::EOPNOTSUPP) => Ok(None),
        Err(e) => Err(e),
    }
}

pub(crate) fn is_opaque(cx: &Cx, dir: &InodeRef) -> Result<bool> {
    Ok(get(cx, dir, OPAQUE)?.is_some_and(|v| v == b"y"))
}

pub(crate) fn set_opaque(cx: &Cx, dir: &InodeRef) -> Result<()> {
    dir.set_xattr(cx, OPAQUE, b"y", 0)
}

/// Whether entries of an upper directory may have inode numbers of lower layers.
pub(crate) fn is_impure(cx: &Cx, dir: &InodeRef) -> Result<bool> {
    Ok(get(cx, dir, IMPURE)?.is_some())
}

pub(crate) fn set_impure(cx: &Cx, dir: &InodeRef) -> Result<()> {
    if is_impure(cx, dir)? {
        Ok(())
    } else {
        dir.set_xattr(cx, IMPURE, b"y", 0)
    }
}

/// The layer and inode number that an upper object was copied from.
pub(crate) fn origin(cx: &Cx, inode: &InodeRef) -> Result<Option<(usize, u64)>> {
    let Some(value) = get(cx, inode, ORIGIN)? else {
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
pub(crate) fn set_origin(cx: &Cx, inode: &InodeRef, layer: usize, ino: u64) -> Result<()> {
    let value = [
        ORIGIN_MAGIC,
        &(layer as u32).to_le_bytes(),
        &ino.to_le_bytes(),
    ]
    .concat();
    match inode.set_xattr(cx, ORIGIN, &value, 0) {
        Err(Errno::EOPNOTSUPP | Errno::EPERM) => Ok(()),
        other => other,
    }
}

/// How many names an indexed file has, in whichever layers; `None` for one that is not in the index.
pub(crate) fn names(cx: &Cx, inode: &InodeRef) -> Result<Option<u32>> {
    let value = get(cx, inode, NLINK)?.unwrap_or_default();
    Ok(std::str::from_utf8(&value)
        .ok()
        .and_then(|text| text.parse().ok()))
}

pub(crate) fn set_names(cx: &Cx, inode: &InodeRef, names: u32) -> Result<()> {
    inode.set_xattr(cx, NLINK, names.to_string().as_bytes(), 0)
}

impl OverlayFs {
    /// Copies the guest's attributes; the layer's own stay behind, and those that the upper layer cannot hold.
    pub(crate) fn copy_xattrs(&self, cx: &Cx, from: &InodeRef, to: &InodeRef) -> Result<()> {
        for name in from.list_xattr(cx)? {
            if name.starts_with(PREFIX) && !name.starts_with(ESCAPE) {
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
        assert_eq!(
            escape(b"trusted.overlay.opaque"),
            b"trusted.overlay.overlay.opaque"
        );
        assert_eq!(
            unescape(b"trusted.overlay.overlay.opaque".to_vec()).unwrap(),
            b"trusted.overlay.opaque"
        );
        assert_eq!(unescape(b"trusted.overlay.opaque".to_vec()), None);
        assert_eq!(unescape(b"user.x".to_vec()).unwrap(), b"user.x");
        assert_eq!(escape(b"trusted.x"), b"trusted.x");
    }
}
