//! One client: its requests, its processes and watches, and what it may ask for.

use crate::{
    keeper::{Keeper, Served},
    message::{BUSY, Incoming, Request, RpcError, notification, reply},
    methods,
    process::Processes,
};
use parking_lot::Mutex;
use serde::Serialize;
use serde_json::Value;
use std::{
    collections::BTreeMap,
    fmt::Debug,
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};
use tuxlet::{ChangeLog, Machine, Watcher};

/// What a client may ask for.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Bytes of a message.
    pub message: usize,
    /// Bytes kept of what `guest.exec` prints.
    pub output: usize,
    /// Commands at once, and watches.
    pub running: usize,
    /// Requests in a second, on the average; twice as many may come at once.
    pub rate: u32,
}

impl Default for Limits {
    /// 16 MiB a message, 256 KiB of output, 64 commands, 1,000 requests in a second.
    fn default() -> Self {
        Self {
            message: 16 << 20,
            output: 256 << 10,
            running: 64,
            rate: 1000,
        }
    }
}

/// Where a session's replies and notifications go.
pub trait Outbox: Send + Sync + Debug {
    /// Sends a message, waiting until there is room. `false` when the client has gone.
    fn send(&self, message: String) -> bool;
    /// Sends a message if there is room at once.
    fn try_send(&self, message: String) -> bool;
}

/// How many requests may still come: a bucket that fills with time.
#[derive(Debug)]
struct Allowance {
    left: f64,
    since: Instant,
}

/// One client of a machine.
#[derive(Debug)]
pub struct Session {
    pub(crate) machine: Machine,
    pub(crate) keeper: Option<Arc<dyn Keeper>>,
    pub(crate) limits: Limits,
    /// `None`: the transport carries replies only.
    outbox: Option<Arc<dyn Outbox>>,
    allowance: Mutex<Allowance>,
    /// `guest.exec` calls that run.
    executing: AtomicUsize,
    pub(crate) processes: Processes,
    pub(crate) watches: Mutex<BTreeMap<u64, Watcher>>,
    pub(crate) tracks: Mutex<BTreeMap<u64, Arc<ChangeLog>>>,
    next_watch: AtomicU64,
}

impl Session {
    /// A session that can send notifications.
    #[must_use]
    pub fn new(served: impl Into<Served>, limits: Limits, outbox: Arc<dyn Outbox>) -> Arc<Self> {
        Self::with(served.into(), limits, Some(outbox))
    }

    /// A session for single requests, as HTTP POST carries them.
    #[must_use]
    pub fn without_notifications(served: impl Into<Served>, limits: Limits) -> Arc<Self> {
        Self::with(served.into(), limits, None)
    }

    fn with(served: Served, limits: Limits, outbox: Option<Arc<dyn Outbox>>) -> Arc<Self> {
        let allowance = Allowance {
            left: f64::from(limits.rate) * 2.0,
            since: Instant::now(),
        };
        Arc::new(Self {
            machine: served.machine,
            keeper: served.keeper,
            limits,
            outbox,
            allowance: Mutex::new(allowance),
            executing: AtomicUsize::new(0),
            processes: Processes::default(),
            watches: Mutex::default(),
            tracks: Mutex::default(),
            next_watch: AtomicU64::new(1),
        })
    }

    /// Takes a message; replies go to the outbox. What takes long goes on in a thread of its own.
    pub fn handle(self: &Arc<Self>, text: &str) {
        let incoming = match Incoming::parse(text) {
            Ok(incoming) => incoming,
            Err(reply) => return self.deliver(Some(reply.to_string())),
        };
        if !incoming.is_slow() {
            return self.deliver(self.run(incoming));
        }
        let session = Arc::clone(self);
        let worker = thread::Builder::new().name("rpc-exec".to_owned());
        let started = worker.spawn(move || session.deliver(session.run(incoming)));
        if let Err(error) = started {
            // Its reply cannot be sent any more: the request went with the thread.
            tracing::error!("no thread for a request: {error}");
        }
    }

    /// Takes a message and waits for the reply; `None` if it asks for none.
    pub fn answer(self: &Arc<Self>, text: &str) -> Option<String> {
        match Incoming::parse(text) {
            Ok(incoming) => self.run(incoming),
            Err(reply) => Some(reply.to_string()),
        }
    }

    /// The client has gone: its processes are killed, its watches end.
    pub fn close(&self) {
        self.watches.lock().clear();
        self.tracks.lock().clear();
        self.processes.kill_all();
    }

    fn deliver(&self, reply: Option<String>) {
        if let (Some(reply), Some(outbox)) = (reply, &self.outbox) {
            // A client that has gone wants no replies.
            let _ = outbox.send(reply);
        }
    }

    fn run(self: &Arc<Self>, incoming: Incoming) -> Option<String> {
        match incoming {
            Incoming::One(one) => self.run_one(one).map(|reply| reply.to_string()),
            Incoming::Batch(all) => {
                let replies: Vec<Value> = all
                    .into_iter()
                    .filter_map(|one| self.run_one(one))
                    .collect();
                (!replies.is_empty()).then(|| Value::Array(replies).to_string())
            }
        }
    }

    fn run_one(self: &Arc<Self>, request: Result<Request, Value>) -> Option<Value> {
        let request = match request {
            Ok(request) => request,
            Err(reply) => return Some(reply),
        };
        let result = if self.is_allowed() {
            methods::call(self, &request.method, request.params)
        } else {
            let text = format!("more than {} requests in a second", self.limits.rate);
            Err(RpcError::new(BUSY, text))
        };
        request.id.map(|id| reply(&id, result))
    }

    fn is_allowed(&self) -> bool {
        let rate = f64::from(self.limits.rate);
        let mut allowance = self.allowance.lock();
        let now = Instant::now();
        let passed = now.duration_since(allowance.since).as_secs_f64();
        allowance.left = (allowance.left + passed * rate).min(rate * 2.0);
        allowance.since = now;
        let allowed = allowance.left >= 1.0;
        if allowed {
            allowance.left -= 1.0;
        }
        allowed
    }

    /// The way for notifications, if there is one.
    pub(crate) fn outbox(&self) -> Result<Arc<dyn Outbox>, RpcError> {
        self.outbox.clone().ok_or_else(|| {
            RpcError::params(
                "this method sends notifications: it needs a WebSocket, a Unix socket or standard streams",
            )
        })
    }

    /// Counts a `guest.exec` for as long as what it gives is kept.
    pub(crate) fn begin_exec(&self) -> Result<Executing<'_>, RpcError> {
        let before = self.executing.fetch_add(1, Ordering::SeqCst);
        let counted = Executing(&self.executing);
        if before >= self.limits.running {
            return Err(self.too_many("commands"));
        }
        Ok(counted)
    }

    pub(crate) fn too_many(&self, what: &str) -> RpcError {
        let limit = self.limits.running;
        RpcError::new(BUSY, format!("{limit} {what} at once are the most"))
    }

    /// Adds a record of at most `capacity` changes to the machine's files.
    pub(crate) fn add_track(&self, capacity: usize) -> Result<u64, RpcError> {
        let mut tracks = self.tracks.lock();
        if tracks.len() >= self.limits.running {
            return Err(self.too_many("records of changes"));
        }
        let number = self.next_watch.fetch_add(1, Ordering::Relaxed);
        tracks.insert(number, Arc::new(self.machine.track_changes(capacity)));
        Ok(number)
    }

    /// Adds a watch that `make` makes of its number.
    pub(crate) fn add_watch(
        &self,
        make: impl FnOnce(u64) -> Result<Watcher, RpcError>,
    ) -> Result<u64, RpcError> {
        if self.watches.lock().len() >= self.limits.running {
            return Err(self.too_many("watches"));
        }
        let number = self.next_watch.fetch_add(1, Ordering::Relaxed);
        let watcher = make(number)?;
        self.watches.lock().insert(number, watcher);
        Ok(number)
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.close();
    }
}

/// A `guest.exec` that runs.
pub(crate) struct Executing<'a>(&'a AtomicUsize);

impl Drop for Executing<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Incoming {
    /// Whether some of it may take long.
    fn is_slow(&self) -> bool {
        let slow =
            |one: &Result<Request, Value>| one.as_ref().is_ok_and(|r| methods::is_slow(&r.method));
        match self {
            Self::One(one) => slow(one),
            Self::Batch(all) => all.iter().any(slow),
        }
    }
}

/// Notifications from threads that must not wait. What finds no room is counted, and the count sent as soon as there is.
#[derive(Debug)]
pub(crate) struct Impatient {
    outbox: Arc<dyn Outbox>,
    dropped: AtomicU64,
}

impl Impatient {
    pub(crate) fn new(outbox: Arc<dyn Outbox>) -> Self {
        Self {
            outbox,
            dropped: AtomicU64::new(0),
        }
    }

    /// Sends `method` with `params`, after `overflow` with what was dropped before.
    pub(crate) fn send(
        &self,
        method: &str,
        params: impl Serialize,
        overflow: impl FnOnce(u64) -> (&'static str, Value),
    ) {
        let dropped = self.dropped.swap(0, Ordering::SeqCst);
        if dropped > 0 {
            let (name, params) = overflow(dropped);
            if !self.outbox.try_send(notification(name, params)) {
                self.dropped.fetch_add(dropped + 1, Ordering::SeqCst);
                return;
            }
        }
        if !self.outbox.try_send(notification(method, params)) {
            self.dropped.fetch_add(1, Ordering::SeqCst);
        }
    }
}

/// The most that a request may wait.
pub(crate) const LONGEST: Duration = Duration::from_secs(3600);
