//! Moving bulk data between user memory and a file by way of a buffer, in pieces.
//!
//! User memory is guest memory: it may fault, and other threads write to it meanwhile. So it is copied, and
//! while it is copied no lock may be held that a page fault takes.

use std::cell::Cell;
use tuxlet_mem::{IoRead, IoWrite};
use tuxlet_uapi::errno::Result;

/// The largest piece in bytes.
const PIECE: usize = 128 << 10;

/// Lends the thread's buffer; a nested call gets another.
fn with_buffer<T>(len: usize, f: impl FnOnce(&mut [u8]) -> T) -> T {
    thread_local!(static BUFFER: Cell<Vec<u8>> = const { Cell::new(Vec::new()) });
    let mut buffer = BUFFER.take();
    if buffer.len() < len {
        buffer.resize(len, 0);
    }
    let out = f(&mut buffer[..len]);
    BUFFER.set(buffer);
    out
}

/// Fills `to` by calls of `read(done, buffer)`, which returns how much it put into the buffer; less than the
/// buffer takes means the end. `done` is the number of bytes delivered before. An error is returned only if
/// nothing was delivered.
pub fn read(
    to: &mut dyn IoWrite,
    mut read: impl FnMut(usize, &mut [u8]) -> Result<usize>,
) -> Result<usize> {
    with_buffer(to.remaining().min(PIECE), |buffer| {
        let mut done = 0;
        while to.remaining() > 0 {
            let want = buffer.len().min(to.remaining());
            let moved = read(done, &mut buffer[..want]).and_then(|got| match got {
                0 => Ok((0, 0)),
                got => Ok((got, to.write_from(&buffer[..got])?)),
            });
            match moved {
                Ok((got, put)) => {
                    done += put;
                    if put < got || got < want {
                        break;
                    }
                }
                Err(e) if done == 0 => return Err(e),
                Err(_) => break,
            }
        }
        Ok(done)
    })
}

/// Empties `from` by calls of `write(done, data)`, which returns how much it took; less than given means that
/// there is no more room. `done` is the number of bytes taken before. An error is returned only if nothing was
/// taken.
pub fn write(
    from: &mut dyn IoRead,
    mut write: impl FnMut(usize, &[u8]) -> Result<usize>,
) -> Result<usize> {
    with_buffer(from.remaining().min(PIECE), |buffer| {
        let mut done = 0;
        while from.remaining() > 0 {
            let want = buffer.len().min(from.remaining());
            let moved = from
                .read_into(&mut buffer[..want])
                .and_then(|got| Ok((got, write(done, &buffer[..got])?)));
            match moved {
                Ok((got, took)) => {
                    done += took;
                    if took < got || got < want {
                        break;
                    }
                }
                Err(e) if done == 0 => return Err(e),
                Err(_) => break,
            }
        }
        Ok(done)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use tuxlet_uapi::errno::Errno;

    #[test]
    fn partial_transfers_count() {
        let file: Vec<u8> = (0..300_000).map(|i| (i % 251) as u8).collect();
        let mut out = vec![0; 400_000];
        let n = read(&mut &mut out[..], |done, buf| {
            let rest = &file[done..];
            let n = rest.len().min(buf.len());
            buf[..n].copy_from_slice(&rest[..n]);
            Ok(n)
        });
        assert_eq!(n, Ok(file.len()));
        assert_eq!(out[..file.len()], file);

        let mut took = Vec::new();
        let n = write(&mut &file[..], |done, data| {
            if done > 200_000 {
                return Err(Errno::ENOSPC);
            }
            took.extend_from_slice(data);
            Ok(data.len())
        });
        assert_eq!(n, Ok(took.len()));
        assert_eq!(took[..], file[..took.len()]);
        assert_eq!(
            write(&mut &file[..], |_, _| Err(Errno::EIO)),
            Err(Errno::EIO)
        );
    }
}
