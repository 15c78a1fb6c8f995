//! Sources and destinations of bulk data, whether user memory or our own.

use tuxlet_uapi::errno::Result;

/// Where a write(2) takes its data from.
pub trait IoRead {
    /// Moves the next bytes into `buf` and returns how many: fewer than `buf.len()` at the end of the source
    /// or before an address that cannot be read. `EFAULT` only if not even the first byte can be read. What was
    /// moved is consumed: there is no way back, so room for it is made sure of first where that matters.
    fn read_into(&mut self, buf: &mut [u8]) -> Result<usize>;

    /// Copies the next bytes as [`read_into`](Self::read_into) does, but stays before them: for a destination
    /// that tells only afterwards how much it took.
    fn peek(&mut self, buf: &mut [u8]) -> Result<usize>;

    /// How many bytes are left.
    fn remaining(&self) -> usize;

    /// Passes over `n` bytes (at most [`remaining`](Self::remaining)) without looking at them.
    fn skip(&mut self, n: usize);
}

/// Where a read(2) puts its data.
pub trait IoWrite {
    /// Stores the next bytes and returns how many: fewer than `data.len()` at the end of the destination or
    /// before an address that cannot be written. `EFAULT` only if not even the first byte can be written.
    fn write_from(&mut self, data: &[u8]) -> Result<usize>;

    /// How much room is left.
    fn remaining(&self) -> usize;

    /// Stores `n` zero bytes; results as those of [`write_from`](Self::write_from).
    fn write_zeros(&mut self, n: usize) -> Result<usize> {
        const ZEROS: [u8; 4096] = [0; 4096];
        let mut done = 0;
        while done < n {
            let chunk = ZEROS.len().min(n - done);
            match self.write_from(&ZEROS[..chunk]) {
                Ok(stored) => {
                    done += stored;
                    if stored < chunk {
                        break;
                    }
                }
                Err(e) if done == 0 => return Err(e),
                Err(_) => break,
            }
        }
        Ok(done)
    }
}

impl IoRead for &[u8] {
    fn read_into(&mut self, buf: &mut [u8]) -> Result<usize> {
        let n = buf.len().min(self.len());
        let (head, tail) = self.split_at(n);
        buf[..n].copy_from_slice(head);
        *self = tail;
        Ok(n)
    }

    fn peek(&mut self, buf: &mut [u8]) -> Result<usize> {
        let mut copy: &[u8] = self;
        copy.read_into(buf)
    }

    fn remaining(&self) -> usize {
        self.len()
    }

    fn skip(&mut self, n: usize) {
        *self = self.get(n..).unwrap_or_default();
    }
}

impl IoWrite for &mut [u8] {
    fn write_from(&mut self, data: &[u8]) -> Result<usize> {
        let n = data.len().min(self.len());
        let (head, tail) = std::mem::take(self).split_at_mut(n);
        head.copy_from_slice(&data[..n]);
        *self = tail;
        Ok(n)
    }

    fn remaining(&self) -> usize {
        self.len()
    }
}

/// Grows without bound.
impl IoWrite for Vec<u8> {
    fn write_from(&mut self, data: &[u8]) -> Result<usize> {
        self.extend_from_slice(data);
        Ok(data.len())
    }

    fn remaining(&self) -> usize {
        isize::MAX as usize - self.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slices_end_short() {
        let mut source: &[u8] = b"hello world";
        let mut buf = [0; 4];
        assert_eq!(source.read_into(&mut buf), Ok(4));
        source.skip(3);
        assert_eq!(source.remaining(), 4);
        let mut big = [0; 9];
        assert_eq!(source.peek(&mut big), Ok(4));
        assert_eq!(source.read_into(&mut big), Ok(4));
        assert_eq!(&big[..5], b"orld\0");
        let mut room = [1u8; 6];
        let mut to: &mut [u8] = &mut room;
        assert_eq!(to.write_from(b"abc"), Ok(3));
        assert_eq!(to.write_zeros(5), Ok(3));
        assert_eq!(to.write_from(b"x"), Ok(0));
        assert_eq!(&room, b"abc\0\0\0");
    }
}
