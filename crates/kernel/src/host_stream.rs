//! Standard streams that are the embedder's descriptors.

use std::{
    any::Any,
    sync::{Arc, OnceLock},
};
use tuxlet_host::{
    poll::{Reactor, Watch},
    stream::Stream,
};
use tuxlet_mem::{IoRead, IoWrite};
use tuxlet_sync::{WaitQueue, Wake};
use tuxlet_uapi::{errno::Result, fcntl::OpenFlags};
use tuxlet_vfs::{Attr, Cx, Events, File, FileOps, FileType, PollTable};

/// Bytes moved in one step.
const CHUNK: usize = 64 << 10;

/// Passes the reactor's reports on to guest waiters.
#[derive(Debug)]
struct Readiness(WaitQueue);

impl Wake for Readiness {
    fn wake(&self, events: u32) {
        self.0.wake_all(events);
    }
}

/// A host descriptor as a guest file.
#[derive(Debug)]
pub struct HostStream {
    stream: Arc<Stream>,
    queue: Arc<Readiness>,
    /// Made at the first wait; absent for what the host cannot watch, which is always ready.
    watch: OnceLock<Option<Watch>>,
    attr: Attr,
}

impl HostStream {
    /// A guest file around a host descriptor.
    #[must_use]
    pub fn file(cx: &Cx, stream: Stream, flags: OpenFlags) -> Arc<File> {
        let kind = if stream.is_regular() {
            FileType::Regular
        } else if stream.is_device() {
            FileType::CharDevice
        } else {
            FileType::Fifo
        };
        let attr = Attr {
            kind,
            ..crate::anon::attr(cx)
        };
        let name = format!("pipe:[{}]", attr.ino).into_bytes();
        let ops = Self {
            stream: Arc::new(stream),
            queue: Arc::new(Readiness(WaitQueue::new())),
            watch: OnceLock::new(),
            attr,
        };
        File::anonymous(cx, Arc::new(ops), &name, flags)
    }

    fn arm(&self, readable: bool, writable: bool) {
        let watch = self.watch.get_or_init(|| {
            let wake: Arc<dyn Wake> = self.queue.clone();
            Reactor::global()
                .ok()?
                .watch(Arc::clone(&self.stream), readable, writable, wake)
                .ok()
        });
        if let Some(watch) = watch
            && let Err(error) = watch.arm(readable, writable)
        {
            tracing::warn!("a standard stream can no longer be watched: {error}");
        }
    }
}

impl FileOps for HostStream {
    fn as_any(&self) -> &dyn Any {
        self
    }

    fn seekable(&self) -> bool {
        false
    }

    fn pollable(&self) -> bool {
        !self.stream.is_regular()
    }

    fn attr(&self, _cx: &Cx) -> Result<Attr> {
        Ok(self.attr)
    }

    fn read_at(&self, _cx: &Cx, _offset: u64, to: &mut dyn IoWrite) -> Result<usize> {
        let mut buf = vec![0; to.remaining().min(CHUNK)];
        if buf.is_empty() {
            return Ok(0);
        }
        let n = self.stream.read(&mut buf)?;
        to.write_from(&buf[..n])
    }

    fn write_at(&self, _cx: &Cx, _offset: u64, from: &mut dyn IoRead) -> Result<usize> {
        // A peek first: what the host does not take must stay with the writer.
        let mut done = 0;
        while from.remaining() > 0 {
            let mut buf = vec![0; from.remaining().min(CHUNK)];
            let n = from.peek(&mut buf)?;
            match self.stream.write(&buf[..n]) {
                Ok(written) => {
                    from.skip(written);
                    done += written;
                }
                Err(_) if done > 0 => break,
                Err(errno) => return Err(errno),
            }
        }
        Ok(done)
    }

    fn poll(&self, _cx: &Cx, table: Option<&mut PollTable>) -> Events {
        if self.stream.is_regular() {
            return Events::READABLE | Events::WRITABLE;
        }
        if let Some(table) = table {
            table.add(&self.queue.0);
        }
        let ready = self.stream.ready();
        let mut events = Events::empty();
        events.set(Events::READABLE, ready.readable);
        events.set(Events::WRITABLE, ready.writable);
        events.set(Events::HUP, ready.hung_up);
        events.set(Events::ERR, ready.error);
        self.arm(!ready.readable, !ready.writable);
        events
    }
}
