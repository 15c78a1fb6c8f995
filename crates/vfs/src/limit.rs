//! A source of data cut to a length.

use tuxlet_mem::IoRead;
use tuxlet_uapi::errno::Result;

/// At most `left` bytes of another source.
pub(crate) struct Limited<'a> {
    inner: &'a mut dyn IoRead,
    left: usize,
}

impl<'a> Limited<'a> {
    pub(crate) fn new(inner: &'a mut dyn IoRead, limit: u64) -> Self {
        Self {
            inner,
            left: usize::try_from(limit).unwrap_or(usize::MAX),
        }
    }
}

impl IoRead for Limited<'_> {
    fn read_into(&mut self, buf: &mut [u8]) -> Result<usize> {
        let len = buf.len().min(self.left);
        let n = self.inner.read_into(&mut buf[..len])?;
        self.left -= n;
        Ok(n)
    }

    fn peek(&mut self, buf: &mut [u8]) -> Result<usize> {
        let len = buf.len().min(self.left);
        self.inner.peek(&mut buf[..len])
    }

    fn remaining(&self) -> usize {
        self.inner.remaining().min(self.left)
    }

    fn skip(&mut self, n: usize) {
        let n = n.min(self.left);
        self.inner.skip(n);
        self.left -= n;
    }
}
