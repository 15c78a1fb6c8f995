//! Pipes and FIFOs: pipe(7), fifo(7).

use parking_lot::Mutex;
use std::{any::Any, collections::VecDeque, sync::Arc};
use tuxlet_mem::{AddressSpace, IoRead, IoWrite};
use tuxlet_sync::WaitQueue;
use tuxlet_uapi::{
    errno::{Errno, Result},
    fcntl::OpenFlags,
    ioctl::FIONREAD,
};
use tuxlet_vfs::{Attr, Cx, Events, File, FileOps, FileType, PollTable};

/// Capacity of a new pipe in bytes.
pub const DEFAULT_CAPACITY: usize = 64 << 10;
/// `/proc/sys/fs/pipe-max-size`.
pub const MAX_CAPACITY: usize = 1 << 20;
/// Writes up to this size are atomic.
pub const PIPE_BUF: usize = 4096;

#[derive(Debug)]
struct State {
    data: VecDeque<u8>,
    /// Lengths of the packets in `data`, in packet mode (`O_DIRECT`).
    packets: VecDeque<usize>,
    capacity: usize,
    readers: usize,
    writers: usize,
    /// Opens of each end ever, so that a FIFO's open can wait for a partner that has come and gone.
    reader_opens: u64,
    writer_opens: u64,
}

/// The buffer behind the two ends.
#[derive(Debug)]
pub struct Pipe {
    state: Mutex<State>,
    /// Waiters for data or hang-up.
    readable: WaitQueue,
    /// Waiters for room or the loss of all readers.
    writable: WaitQueue,
}

impl Default for Pipe {
    fn default() -> Self {
        let state = State {
            data: VecDeque::new(),
            packets: VecDeque::new(),
            capacity: DEFAULT_CAPACITY,
            readers: 0,
            writers: 0,
            reader_opens: 0,
            writer_opens: 0,
        };
        Self {
            state: Mutex::new(state),
            readable: WaitQueue::new(),
            writable: WaitQueue::new(),
        }
    }
}

/// One end, or both (a FIFO opened for reading and writing).
#[derive(Debug)]
pub struct PipeEnd {
    pipe: Arc<Pipe>,
    reads: bool,
    writes: bool,
    packet_mode: Mutex<bool>,
    attr: EndAttr,
}

/// Where the attributes come from.
#[derive(Debug)]
enum EndAttr {
    Anonymous(Box<Attr>),
    Fifo(tuxlet_vfs::InodeRef),
}

impl Pipe {
    fn end(
        self: &Arc<Self>,
        reads: bool,
        writes: bool,
        packet_mode: bool,
        attr: EndAttr,
    ) -> Arc<PipeEnd> {
        let mut state = self.state.lock();
        if reads {
            state.readers += 1;
            state.reader_opens += 1;
        }
        if writes {
            state.writers += 1;
            state.writer_opens += 1;
        }
        drop(state);
        self.readable.wake_all(!0);
        self.writable.wake_all(!0);
        Arc::new(PipeEnd {
            pipe: Arc::clone(self),
            reads,
            writes,
            packet_mode: Mutex::new(packet_mode),
            attr,
        })
    }

    /// A new anonymous pipe: the reading and the writing file.
    #[must_use]
    pub fn pair(cx: &Cx, flags: OpenFlags) -> (Arc<File>, Arc<File>) {
        let pipe = Arc::new(Self::default());
        let attr = Attr {
            kind: FileType::Fifo,
            ..crate::anon::attr(cx)
        };
        let packets = flags.contains(OpenFlags::DIRECT);
        let status = flags & (OpenFlags::NONBLOCK | OpenFlags::DIRECT);
        let name = format!("pipe:[{}]", attr.ino).into_bytes();
        let reader = pipe.end(true, false, packets, EndAttr::Anonymous(Box::new(attr)));
        let writer = pipe.end(false, true, packets, EndAttr::Anonymous(Box::new(attr)));
        (
            File::anonymous(cx, reader, &name, status),
            File::anonymous(cx, writer, &name, status | OpenFlags::WRONLY),
        )
    }

    /// An end of a FIFO, and whether its partner is missing: then a blocking open waits with
    /// [`PipeEnd::partner_arrived`].
    pub fn open_fifo(
        inode: &tuxlet_vfs::InodeRef,
        flags: OpenFlags,
    ) -> Result<(Arc<PipeEnd>, Option<Partner>)> {
        let pipe = inode.anchor().get_or_insert(Self::default);
        let (reads, writes) = match flags.access_mode() {
            0 => (true, false),
            1 => (false, true),
            _ => (true, true),
        };
        let nonblock = flags.contains(OpenFlags::NONBLOCK);
        let (has_reader, has_writer, seen) = {
            let state = pipe.state.lock();
            let seen = if reads {
                state.writer_opens
            } else {
                state.reader_opens
            };
            (state.readers > 0, state.writers > 0, seen)
        };
        // Nobody would ever read it: fifo(7).
        if writes && !reads && nonblock && !has_reader {
            return Err(Errno::ENXIO);
        }
        let end = pipe.end(reads, writes, false, EndAttr::Fifo(Arc::clone(inode)));
        let missing =
            (reads != writes) && !nonblock && !(if reads { has_writer } else { has_reader });
        Ok((end, missing.then_some(Partner { seen })))
    }
}

/// How many times the other end of a FIFO had been opened when the wait for it began.
#[derive(Clone, Copy, Debug)]
pub struct Partner {
    seen: u64,
}

impl PipeEnd {
    /// Whether the other end has been opened since.
    pub fn partner_arrived(&self, partner: Partner, table: Option<&mut PollTable>) -> bool {
        if let Some(table) = table {
            table.add(&self.pipe.readable);
        }
        let state = self.pipe.state.lock();
        let opens = if self.reads {
            state.writer_opens
        } else {
            state.reader_opens
        };
        opens != partner.seen
    }

    /// How many bytes can be written now. `EPIPE` without readers.
    pub fn room(&self) -> Result<usize> {
        let state = self.pipe.state.lock();
        if state.readers == 0 {
            return Err(Errno::EPIPE);
        }
        Ok(state.capacity.saturating_sub(state.data.len()))
    }

    /// Up to `max` bytes without taking them: tee(2). Empty without writers, otherwise `EAGAIN` if there are none.
    pub fn peek(&self, max: usize) -> Result<Vec<u8>> {
        let state = self.pipe.state.lock();
        if state.data.is_empty() && state.writers > 0 {
            return Err(Errno::EAGAIN);
        }
        Ok(state.data.iter().take(max).copied().collect())
    }

    /// Whether two ends belong to one pipe.
    #[must_use]
    pub fn same_pipe(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.pipe, &other.pipe)
    }

    /// The buffer's size: `F_GETPIPE_SZ`.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.pipe.state.lock().capacity
    }

    /// Changes the buffer's size; rounded up to a power of two of at least a page: `F_SETPIPE_SZ`.
    pub fn set_capacity(&self, size: usize, privileged: bool) -> Result<usize> {
        let size = size
            .max(PIPE_BUF)
            .checked_next_power_of_two()
            .ok_or(Errno::EINVAL)?;
        if size > 1 << 31 {
            return Err(Errno::EINVAL);
        }
        let mut state = self.pipe.state.lock();
        if size > MAX_CAPACITY && size > state.capacity && !privileged {
            return Err(Errno::EPERM);
        }
        if size < state.data.len() {
            return Err(Errno::EBUSY);
        }
        state.capacity = size;
        drop(state);
        self.pipe.writable.wake_all(!0);
        Ok(size)
    }
}

impl Drop for PipeEnd {
    fn drop(&mut self) {
        let mut state = self.pipe.state.lock();
        if self.reads {
            state.readers -= 1;
        }
        if self.writes {
            state.writers -= 1;
        }
        // A FIFO nobody has open forgets what was not read.
        if state.readers == 0 && state.writers == 0 {
            state.data.clear();
            state.packets.clear();
        }
        drop(state);
        self.pipe.readable.wake_all(!0);
        self.pipe.writable.wake_all(!0);
    }
}

impl FileOps for PipeEnd {
    fn as_any(&self) -> &dyn Any {
        self
    }

    fn seekable(&self) -> bool {
        false
    }

    fn pollable(&self) -> bool {
        true
    }

    fn attr(&self, cx: &Cx) -> Result<Attr> {
        match &self.attr {
            EndAttr::Anonymous(attr) => Ok(**attr),
            EndAttr::Fifo(inode) => inode.attr(cx),
        }
    }

    fn read_at(&self, _cx: &Cx, _offset: u64, to: &mut dyn IoWrite) -> Result<usize> {
        if !self.reads {
            return Err(Errno::EBADF);
        }
        if to.remaining() == 0 {
            return Ok(0);
        }
        let mut state = self.pipe.state.lock();
        if state.data.is_empty() {
            return if state.writers == 0 {
                Ok(0)
            } else {
                Err(Errno::EAGAIN)
            };
        }
        let packet = state.packets.front().copied();
        let want = to
            .remaining()
            .min(packet.unwrap_or(usize::MAX))
            .min(state.data.len());
        let (head, tail) = state.data.as_slices();
        let first = want.min(head.len());
        let mut done = to.write_from(&head[..first])?;
        if done == first && want > first {
            // A fault in the second half is a short read.
            done += to.write_from(&tail[..want - first]).unwrap_or(0);
        }
        // What does not fit of a packet is lost: pipe(2), O_DIRECT.
        let consumed = packet.unwrap_or(done);
        state.data.drain(..consumed);
        if packet.is_some() {
            state.packets.pop_front();
        }
        drop(state);
        self.pipe.writable.wake_all(Events::WRITABLE.bits());
        Ok(done)
    }

    fn write_at(&self, _cx: &Cx, _offset: u64, from: &mut dyn IoRead) -> Result<usize> {
        if !self.writes {
            return Err(Errno::EBADF);
        }
        let mut state = self.pipe.state.lock();
        if state.readers == 0 {
            return Err(Errno::EPIPE);
        }
        let len = from.remaining();
        if len == 0 {
            return Ok(0);
        }
        let room = state.capacity.saturating_sub(state.data.len());
        if room == 0 || (len <= PIPE_BUF && room < len) {
            return Err(Errno::EAGAIN);
        }
        let packets = *self.packet_mode.lock();
        let want = if packets {
            len.min(PIPE_BUF)
        } else {
            len.min(room)
        };
        let mut chunk = vec![0; want];
        let n = from.read_into(&mut chunk)?;
        state.data.extend(&chunk[..n]);
        if packets && n > 0 {
            state.packets.push_back(n);
        }
        drop(state);
        self.pipe.readable.wake_all(Events::READABLE.bits());
        Ok(n)
    }

    fn poll(&self, _cx: &Cx, table: Option<&mut PollTable>) -> Events {
        if let Some(table) = table {
            if self.reads {
                table.add(&self.pipe.readable);
            }
            if self.writes {
                table.add(&self.pipe.writable);
            }
        }
        let state = self.pipe.state.lock();
        let mut events = Events::empty();
        if self.reads {
            if !state.data.is_empty() {
                events |= Events::READABLE;
            }
            // A FIFO that never had a writer is not hung up.
            if state.writers == 0 && state.writer_opens > 0 {
                events |= Events::HUP;
            }
        }
        if self.writes {
            if state.capacity - state.data.len().min(state.capacity) >= PIPE_BUF {
                events |= Events::WRITABLE;
            }
            if state.readers == 0 {
                events |= Events::ERR;
            }
        }
        events
    }

    fn ioctl(&self, _cx: &Cx, request: u32, arg: u64, mm: &AddressSpace) -> Result<i64> {
        if request != FIONREAD {
            return Err(Errno::ENOTTY);
        }
        let len = self.pipe.state.lock().data.len() as i32;
        mm.write_bytes(arg, &len.to_le_bytes())?;
        Ok(0)
    }

    fn set_flags(&self, flags: u32) -> Result<()> {
        *self.packet_mode.lock() = flags & OpenFlags::DIRECT.bits() != 0 && self.writes;
        Ok(())
    }
}
