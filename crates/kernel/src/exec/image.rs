//! A program file opened for execution.

use std::sync::Arc;
use tuxlet_mem::MemoryObject;
use tuxlet_uapi::{
    errno::{Errno, Result},
    fcntl::O_RDONLY,
};
use tuxlet_vfs::{Attr, Cx, FileOps, FileType, Path, access, text_busy::DenyWrite};

/// Bytes that tell the format: `BINPRM_BUF_SIZE`.
const HEAD_LEN: usize = 256;

/// An executable file.
#[derive(Debug)]
pub(super) struct Image {
    /// Where it is.
    pub(super) path: Path,
    /// Its attributes when it was opened.
    pub(super) attr: Attr,
    /// Keeps the file from being written.
    pub(super) deny_write: Arc<DenyWrite>,
    ops: Arc<dyn FileOps>,
    cx: Cx,
    head: Vec<u8>,
}

impl Image {
    /// Opens a file that the caller may execute. `EACCES` for anything but a regular file with an `x` bit.
    pub(super) fn open(cx: &Cx, path: &Path) -> Result<Self> {
        let attr = path.attr(cx)?;
        if attr.kind != FileType::Regular {
            return Err(Errno::EACCES);
        }
        access::may_exec(cx, path)?;
        let deny_write = DenyWrite::of(path.inode())?;
        let ops = path.inode().open(cx, O_RDONLY)?;
        let mut image = Self {
            path: path.clone(),
            attr,
            deny_write,
            ops,
            cx: cx.clone(),
            head: Vec::new(),
        };
        image.head = image.read(0, HEAD_LEN)?;
        Ok(image)
    }

    /// The first bytes of the file.
    pub(super) fn head(&self) -> Result<&[u8]> {
        if self.head.is_empty() {
            Err(Errno::ENOEXEC)
        } else {
            Ok(&self.head)
        }
    }

    /// Up to `len` bytes at `offset`.
    pub(super) fn read(&self, offset: u64, len: usize) -> Result<Vec<u8>> {
        let mut bytes = vec![0; len];
        let mut filled = 0;
        while filled < len {
            let mut rest = &mut bytes[filled..];
            let n = self
                .ops
                .read_at(&self.cx, offset + filled as u64, &mut rest)?;
            if n == 0 {
                break;
            }
            filled += n;
        }
        bytes.truncate(filled);
        Ok(bytes)
    }

    /// The object to map.
    pub(super) fn object(&self) -> Result<Arc<dyn MemoryObject>> {
        self.ops.mmap_object(&self.cx)
    }
}
