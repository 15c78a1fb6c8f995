//! Access to user memory by the kernel.

use super::AddressSpace;
use crate::{Access, Fault, FaultKind, PAGE_MASK, PAGE_SIZE, PageRef, Why, page_down, racy};
use smallvec::SmallVec;

impl AddressSpace {
    /// Copies from user memory and returns how much: less than asked if a later page cannot be read; a fault
    /// only if nothing can.
    pub fn copy_in(&self, addr: u64, buf: &mut [u8]) -> Result<usize, Fault> {
        let base = buf.as_mut_ptr();
        self.each_page(addr, buf.len(), Access::Read, |host, done, len| {
            // SAFETY: M2, M3: `host` is a page of ours under the lock; done + len <= buf.len().
            unsafe { racy::copy(base.add(done), host, len) };
        })
    }

    /// Copies to user memory; results as those of [`copy_in`](Self::copy_in).
    pub fn copy_out(&self, addr: u64, data: &[u8]) -> Result<usize, Fault> {
        let base = data.as_ptr();
        self.each_page(addr, data.len(), Access::Write, |host, done, len| {
            // SAFETY: M2, M3: `host` is a writable page of ours under the lock; done + len <= data.len().
            unsafe { racy::copy(host, base.add(done), len) };
        })
    }

    /// Clears user memory; results as those of [`copy_in`](Self::copy_in).
    pub fn clear(&self, addr: u64, len: usize) -> Result<usize, Fault> {
        self.each_page(addr, len, Access::Write, |host, _, len| {
            // SAFETY: M2, M3: `host` is a writable page of ours under the lock.
            unsafe { racy::zero(host, len) };
        })
    }

    /// Copies to user memory even where it is not writable, as ptrace(2) and `/proc/PID/mem` do: private pages
    /// get a copy of their own, shared ones must be writable. Results as those of [`copy_in`](Self::copy_in).
    pub fn poke(&self, addr: u64, data: &[u8]) -> Result<usize, Fault> {
        let mut done = 0;
        while done < data.len() {
            let at = addr.wrapping_add(done as u64);
            let to_page_end = (PAGE_SIZE - (at & PAGE_MASK)) as usize;
            let part = &data[done..data.len().min(done + to_page_end)];
            let result = match self.copy_out(at, part) {
                Err(fault) if fault.kind == FaultKind::AccErr => self.own_page(at).map(|frame| {
                    frame.write((at & PAGE_MASK) as usize, part);
                    // Another thread may have translated the old code since the page was made our own.
                    self.notify(page_down(at), page_down(at) + PAGE_SIZE, Why::Written);
                }),
                other => other.map(drop),
            };
            match result {
                Ok(()) => done += part.len(),
                Err(fault) if done == 0 => return Err(fault),
                Err(_) => break,
            }
        }
        Ok(done)
    }

    /// Copies from user memory even where it is not readable, as ptrace(2) does; shared mappings must be readable.
    /// Results as those of [`copy_in`](Self::copy_in).
    pub fn peek(&self, addr: u64, buf: &mut [u8]) -> Result<usize, Fault> {
        let mut done = 0;
        while done < buf.len() {
            let at = addr.wrapping_add(done as u64);
            let to_page_end = (PAGE_SIZE - (at & PAGE_MASK)) as usize;
            let end = buf.len().min(done + to_page_end);
            let part = &mut buf[done..end];
            let result = match self.copy_in(at, part) {
                Err(fault) if fault.kind == FaultKind::AccErr => self
                    .own_page(at)
                    .map(|frame| frame.read((at & PAGE_MASK) as usize, part)),
                other => other.map(drop),
            };
            match result {
                Ok(()) => done = end,
                Err(fault) if done == 0 => return Err(fault),
                Err(_) => break,
            }
        }
        Ok(done)
    }

    /// References to the frames of a range, for the given access. Writes through a pinned frame after a fork or
    /// an unmapping do not reach the process.
    pub fn pin(&self, addr: u64, len: usize, access: Access) -> Result<Vec<PageRef>, Fault> {
        let Some(last) = (len as u64).checked_sub(1) else {
            return Ok(Vec::new());
        };
        let last = addr.saturating_add(last);
        let mut frames = Vec::new();
        let mut page = page_down(addr);
        loop {
            let frame = self.with_page(page.max(addr), access, None, |_, pte, _| {
                // SAFETY: M2: called under the read lock.
                Some(unsafe { pte.pin() })
            })?;
            frames.push(frame);
            if page >= page_down(last) {
                return Ok(frames);
            }
            page += PAGE_SIZE;
        }
    }

    /// Reads up to and without the first zero byte, at most `max` bytes. `Ok(None)` if there is none among
    /// them.
    pub fn copy_in_cstr(&self, addr: u64, max: usize) -> Result<Option<Vec<u8>>, Fault> {
        let mut out = Vec::new();
        let mut at = addr;
        let mut chunk: SmallVec<[u8; 256]> = SmallVec::new();
        while out.len() < max {
            // Never over a page's end, so that only what is needed is touched.
            let to_page_end = (PAGE_SIZE - (at & PAGE_MASK)) as usize;
            let len = to_page_end.min(256).min(max - out.len());
            chunk.resize(len, 0);
            self.copy_in(at, &mut chunk)?;
            if let Some(end) = chunk.iter().position(|&b| b == 0) {
                out.extend_from_slice(&chunk[..end]);
                return Ok(Some(out));
            }
            out.extend_from_slice(&chunk);
            at = at.wrapping_add(len as u64);
        }
        Ok(None)
    }

    /// Calls `f(host address, bytes done, bytes here)` for each page's part of a range, under the lock.
    fn each_page(
        &self,
        addr: u64,
        len: usize,
        access: Access,
        mut f: impl FnMut(*mut u8, usize, usize),
    ) -> Result<usize, Fault> {
        let mut done = 0;
        while done < len {
            let at = addr.wrapping_add(done as u64);
            let offset = at & PAGE_MASK;
            let part = (len - done).min((PAGE_SIZE - offset) as usize);
            let result = self.with_page(at, access, None, |_, pte, _| {
                f((pte.frame() + offset) as *mut u8, done, part);
                Some(())
            });
            match result {
                Ok(()) => done += part,
                Err(fault) if done == 0 => return Err(fault),
                Err(_) => break,
            }
        }
        Ok(done)
    }
}
