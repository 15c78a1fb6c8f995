//! Typed and streaming access to user memory, for code without `unsafe`.

use crate::{AddressSpace, IoRead, IoWrite, TASK_SIZE};
use smallvec::{SmallVec, smallvec};
use tuxlet_uapi::errno::{Errno, Result};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// The most bytes that one read or write moves (`MAX_RW_COUNT`).
const MAX_RW_COUNT: u64 = 0x7fff_f000;
/// The most segments of a vector (`UIO_MAXIOV`).
const UIO_MAXIOV: usize = 1024;

/// `struct iovec`.
#[repr(C)]
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
pub struct IoVec {
    /// Start address.
    pub base: u64,
    /// Length in bytes.
    pub len: u64,
}

impl AddressSpace {
    /// Reads exactly `buf.len()` bytes, or `EFAULT`.
    pub fn read_bytes(&self, addr: u64, buf: &mut [u8]) -> Result<()> {
        if self.copy_in(addr, buf)? == buf.len() {
            Ok(())
        } else {
            Err(Errno::EFAULT)
        }
    }

    /// Writes exactly `data.len()` bytes, or `EFAULT` (after writing what was possible).
    pub fn write_bytes(&self, addr: u64, data: &[u8]) -> Result<()> {
        if self.copy_out(addr, data)? == data.len() {
            Ok(())
        } else {
            Err(Errno::EFAULT)
        }
    }

    /// Clears exactly `len` bytes, or `EFAULT`.
    pub fn clear_bytes(&self, addr: u64, len: usize) -> Result<()> {
        if self.clear(addr, len)? == len {
            Ok(())
        } else {
            Err(Errno::EFAULT)
        }
    }

    /// Reads a value.
    pub fn read<T: FromBytes>(&self, addr: u64) -> Result<T> {
        let mut bytes: SmallVec<[u8; 256]> = smallvec![0; size_of::<T>()];
        self.read_bytes(addr, &mut bytes)?;
        T::read_from_bytes(&bytes).map_err(|_| Errno::EFAULT)
    }

    /// Writes a value.
    pub fn write<T: IntoBytes + Immutable + ?Sized>(&self, addr: u64, value: &T) -> Result<()> {
        self.write_bytes(addr, value.as_bytes())
    }

    /// Reads `count` values that follow each other.
    pub fn read_slice<T: FromBytes + IntoBytes>(&self, addr: u64, count: usize) -> Result<Vec<T>> {
        // Nothing is allocated for a length that no user memory can have.
        let len = (count as u64)
            .checked_mul(size_of::<T>() as u64)
            .ok_or(Errno::EFAULT)?;
        check_access(addr, len)?;
        let mut values = Vec::new();
        values.try_reserve_exact(count).map_err(|_| Errno::ENOMEM)?;
        values.extend((0..count).map(|_| T::new_zeroed()));
        self.read_bytes(addr, values.as_mut_slice().as_mut_bytes())?;
        Ok(values)
    }

    /// Writes values that follow each other.
    pub fn write_slice<T: IntoBytes + Immutable>(&self, addr: u64, values: &[T]) -> Result<()> {
        self.write_bytes(addr, values.as_bytes())
    }

    /// Reads a string up to its zero byte, which is not part of the result; `ENAMETOOLONG` if there is none in
    /// the first `max` bytes (`PATH_MAX` for paths).
    pub fn read_cstr(&self, addr: u64, max: usize) -> Result<Vec<u8>> {
        self.copy_in_cstr(addr, max)?.ok_or(Errno::ENAMETOOLONG)
    }

    /// Reads an array of `struct iovec` as readv(2) does: `EINVAL` for too many segments or a length that is
    /// negative, `EFAULT` for a segment outside user space; the total is cut to `MAX_RW_COUNT`.
    pub fn read_iovec(&self, addr: u64, count: usize) -> Result<Vec<IoVec>> {
        if count > UIO_MAXIOV {
            return Err(Errno::EINVAL);
        }
        let mut iov: Vec<IoVec> = self.read_slice(addr, count)?;
        let mut total = 0;
        for segment in &mut iov {
            if segment.len > i64::MAX as u64 {
                return Err(Errno::EINVAL);
            }
            check_access(segment.base, segment.len)?;
            segment.len = segment.len.min(MAX_RW_COUNT - total);
            total += segment.len;
        }
        Ok(iov)
    }
}

/// `EFAULT` for a range that leaves user space (access_ok).
fn check_access(addr: u64, len: u64) -> Result<()> {
    match addr.checked_add(len) {
        Some(end) if end <= TASK_SIZE => Ok(()),
        _ => Err(Errno::EFAULT),
    }
}

/// A position in a list of segments.
#[derive(Clone, Debug)]
struct Segments {
    list: SmallVec<[IoVec; 4]>,
    next: usize,
    remaining: u64,
}

impl Segments {
    fn new(list: SmallVec<[IoVec; 4]>) -> Self {
        let remaining = list.iter().map(|s| s.len).sum();
        Self {
            list,
            next: 0,
            remaining,
        }
    }

    fn single(addr: u64, len: u64) -> Result<Self> {
        check_access(addr, len)?;
        Ok(Self::new(smallvec![IoVec {
            base: addr,
            len: len.min(MAX_RW_COUNT)
        }]))
    }

    fn current(&mut self) -> Option<IoVec> {
        while let Some(segment) = self.list.get(self.next) {
            if segment.len != 0 {
                return Some(*segment);
            }
            self.next += 1;
        }
        None
    }

    fn advance(&mut self, n: u64) {
        if let Some(segment) = self.list.get_mut(self.next) {
            segment.base += n;
            segment.len -= n;
            self.remaining -= n;
        }
    }

    /// Moves up to `len` bytes by `copy(address, done, here)`, which returns how many it moved.
    fn each(
        &mut self,
        len: usize,
        mut copy: impl FnMut(u64, usize, usize) -> core::result::Result<usize, crate::Fault>,
    ) -> Result<usize> {
        let mut done = 0;
        while done < len
            && let Some(segment) = self.current()
        {
            let here = usize::try_from(segment.len)
                .unwrap_or(usize::MAX)
                .min(len - done);
            match copy(segment.base, done, here) {
                Ok(n) => {
                    self.advance(n as u64);
                    done += n;
                    if n < here {
                        break;
                    }
                }
                Err(fault) if done == 0 => return Err(fault.into()),
                Err(_) => break,
            }
        }
        Ok(done)
    }
}

/// Reads user memory piece by piece: the data of a write(2).
#[derive(Clone, Debug)]
pub struct UserReader<'a> {
    space: &'a AddressSpace,
    segments: Segments,
}

impl<'a> UserReader<'a> {
    /// A reader of one buffer. `EFAULT` if it leaves user space; lengths are cut to `MAX_RW_COUNT`.
    pub fn new(space: &'a AddressSpace, addr: u64, len: u64) -> Result<Self> {
        Ok(Self {
            space,
            segments: Segments::single(addr, len)?,
        })
    }

    /// A reader of several buffers, from [`AddressSpace::read_iovec`].
    #[must_use]
    pub fn vectored(space: &'a AddressSpace, iov: &[IoVec]) -> Self {
        Self {
            space,
            segments: Segments::new(iov.into()),
        }
    }
}

impl IoRead for UserReader<'_> {
    fn read_into(&mut self, buf: &mut [u8]) -> Result<usize> {
        let space = self.space;
        self.segments.each(buf.len(), |addr, done, here| {
            space.copy_in(addr, &mut buf[done..done + here])
        })
    }

    fn peek(&mut self, buf: &mut [u8]) -> Result<usize> {
        self.clone().read_into(buf)
    }

    fn remaining(&self) -> usize {
        usize::try_from(self.segments.remaining).unwrap_or(usize::MAX)
    }

    fn skip(&mut self, n: usize) {
        // Copying nothing, so there is no error.
        let _ = self.segments.each(n, |_, _, here| Ok(here));
    }
}

/// Writes user memory piece by piece: the destination of a read(2).
#[derive(Clone, Debug)]
pub struct UserWriter<'a> {
    space: &'a AddressSpace,
    segments: Segments,
}

impl<'a> UserWriter<'a> {
    /// A writer of one buffer. `EFAULT` if it leaves user space; lengths are cut to `MAX_RW_COUNT`.
    pub fn new(space: &'a AddressSpace, addr: u64, len: u64) -> Result<Self> {
        Ok(Self {
            space,
            segments: Segments::single(addr, len)?,
        })
    }

    /// A writer of several buffers, from [`AddressSpace::read_iovec`].
    #[must_use]
    pub fn vectored(space: &'a AddressSpace, iov: &[IoVec]) -> Self {
        Self {
            space,
            segments: Segments::new(iov.into()),
        }
    }
}

impl IoWrite for UserWriter<'_> {
    fn write_from(&mut self, data: &[u8]) -> Result<usize> {
        let space = self.space;
        self.segments.each(data.len(), |addr, done, here| {
            space.copy_out(addr, &data[done..done + here])
        })
    }

    fn remaining(&self) -> usize {
        usize::try_from(self.segments.remaining).unwrap_or(usize::MAX)
    }

    fn write_zeros(&mut self, n: usize) -> Result<usize> {
        let space = self.space;
        self.segments
            .each(n, |addr, _, here| space.clear(addr, here))
    }
}
