//! Terminals that stay while their viewers come and go.

use crate::process::{Input, Typing, window};
use parking_lot::{Condvar, Mutex};
use std::{
    collections::{BTreeMap, VecDeque},
    io::Read,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};
use tokio::sync::watch;
use tuxlet::{Command, Machine, Process};

/// Bytes of output that are kept for viewers who come later.
const KEPT: usize = 1 << 20;
/// Bytes that may be on their way to a viewer.
pub(super) const AHEAD: u64 = 256 << 10;
/// How long a program waits for a viewer that does not say that it has shown anything.
const PATIENCE: Duration = Duration::from_secs(2);

/// Makes the command of a new terminal.
pub type MakeCommand = Arc<dyn Fn() -> Command + Send + Sync>;

/// The terminals of a server.
pub(super) struct Terminals {
    machine: Machine,
    make: MakeCommand,
    most: usize,
    table: Mutex<Table>,
}

impl std::fmt::Debug for Terminals {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Terminals").finish_non_exhaustive()
    }
}

#[derive(Debug, Default)]
struct Table {
    last: u64,
    all: BTreeMap<u64, Arc<Shown>>,
}

/// How a terminal's program ended.
#[derive(Clone, Copy, Debug, serde::Serialize)]
pub(super) struct Ended {
    code: u8,
    #[serde(skip_serializing_if = "Option::is_none")]
    signal: Option<i32>,
}

/// A terminal and what it has shown.
#[derive(Debug)]
pub(super) struct Shown {
    pub(super) id: u64,
    process: Arc<Process>,
    input: Input,
    state: Mutex<State>,
    /// Viewers wait for more with this.
    grown: watch::Sender<()>,
    /// The reader waits for viewers with this.
    seen: Condvar,
}

#[derive(Debug, Default)]
struct State {
    ring: VecDeque<u8>,
    /// Bytes since the beginning.
    total: u64,
    ended: Option<Ended>,
    viewers: BTreeMap<u64, View>,
    last_viewer: u64,
}

/// A viewer, as the terminal knows it.
#[derive(Clone, Copy, Debug)]
struct View {
    /// Up to where it has shown everything.
    at: u64,
    /// It did not get on for a while: nobody waits for it until it does.
    stuck: bool,
}

/// What a viewer is to be sent next.
pub(super) enum Next {
    /// Bytes that begin at an offset: not where the viewer is, if it has missed some.
    Bytes(u64, Vec<u8>),
    /// Nothing yet.
    Nothing,
    /// Nothing any more.
    End(Ended),
}

impl Terminals {
    pub(super) fn new(machine: Machine, make: MakeCommand, most: usize) -> Self {
        Self {
            machine,
            make,
            most,
            table: Mutex::default(),
        }
    }

    pub(super) fn ids(&self) -> Vec<u64> {
        self.table.lock().all.keys().copied().collect()
    }

    pub(super) fn get(&self, id: u64) -> Option<Arc<Shown>> {
        self.table.lock().all.get(&id).cloned()
    }

    /// Hangs the terminal up, if there is still one of that number.
    pub(super) fn close(&self, id: u64) {
        let shown = self.table.lock().all.remove(&id);
        if let Some(shown) = shown {
            shown.hang_up();
        }
    }

    /// Starts a program on a new terminal.
    pub(super) fn open(&self, rows: u16, cols: u16) -> Result<Arc<Shown>, String> {
        let id = {
            let mut table = self.table.lock();
            table.all.retain(|_, shown| !shown.is_forgotten());
            if table.all.len() >= self.most {
                return Err(format!("{} terminals at once are the most", self.most));
            }
            table.last += 1;
            table.last
        };
        let command = (self.make)().terminal(window(rows, cols));
        let process = self.machine.exec(command).map_err(|e| e.to_string())?;
        let terminal = process.terminal().cloned();
        let terminal = terminal.ok_or("the program has no terminal")?;
        let input = Input::start(Typing(Arc::clone(&terminal)), None);
        let shown = Arc::new(Shown {
            id,
            process: Arc::new(process),
            input: input.map_err(|e| e.to_string())?,
            state: Mutex::default(),
            grown: watch::Sender::new(()),
            seen: Condvar::new(),
        });
        let (reading, waiting) = (Arc::clone(&shown), Arc::clone(&shown));
        let thread = || thread::Builder::new().name("terminal".to_owned());
        let started = thread().spawn(move || {
            let mut chunk = vec![0; 16 << 10];
            while let Ok(n @ 1..) = (&*terminal).read(&mut chunk) {
                reading.grow(&chunk[..n]);
            }
        });
        let started = started.and_then(|reader| {
            thread().spawn(move || {
                let status = waiting.process.wait();
                if let Some(terminal) = waiting.process.terminal() {
                    terminal.finish();
                }
                // It does nothing that panics.
                let _ = reader.join();
                waiting.state.lock().ended = Some(Ended {
                    code: status.code(),
                    signal: status.signal(),
                });
                waiting.grown.send_replace(());
            })
        });
        if let Err(error) = started {
            shown.hang_up();
            return Err(format!("no thread can be started: {error}"));
        }
        self.table.lock().all.insert(id, Arc::clone(&shown));
        Ok(shown)
    }
}

impl Shown {
    fn hang_up(&self) {
        if let Some(terminal) = self.process.terminal() {
            terminal.hang_up();
        }
    }

    /// Whether it has ended and nobody looks at it.
    fn is_forgotten(&self) -> bool {
        let state = self.state.lock();
        state.ended.is_some() && state.viewers.is_empty()
    }

    pub(super) fn resize(&self, rows: u16, cols: u16) {
        if let Some(terminal) = self.process.terminal() {
            terminal.resize(window(rows, cols));
        }
    }

    /// Types; what finds no room is lost, as it is on a serial line.
    pub(super) fn type_in(&self, bytes: Vec<u8>) {
        if let Err(error) = self.input.push(bytes, false) {
            tracing::debug!("input for terminal {} is lost: {error:?}", self.id);
        }
    }

    /// Adds output. Waits for viewers that are far behind, as long as they get on.
    fn grow(&self, bytes: &[u8]) {
        let mut state = self.state.lock();
        let surplus = (state.ring.len() + bytes.len()).saturating_sub(KEPT);
        let surplus = surplus.min(state.ring.len());
        state.ring.drain(..surplus);
        state.ring.extend(bytes);
        state.total += bytes.len() as u64;
        self.grown.send_replace(());
        let limit = state.total.saturating_sub(AHEAD);
        let slowest = |state: &State| {
            let views = state.viewers.values().filter(|v| !v.stuck);
            views.map(|v| v.at).min().filter(|at| *at < limit)
        };
        while let Some(before) = slowest(&state) {
            let until = Instant::now() + PATIENCE;
            let late = self.seen.wait_until(&mut state, until).timed_out();
            if late && slowest(&state) == Some(before) {
                let all = state.viewers.values_mut();
                all.filter(|v| v.at == before).for_each(|v| v.stuck = true);
            }
        }
    }

    /// A viewer that has shown everything up to an offset.
    pub(super) fn view(self: &Arc<Self>, from: u64) -> Viewer {
        let mut state = self.state.lock();
        state.last_viewer += 1;
        let number = state.last_viewer;
        // One of another server's life knows nothing.
        let from = if from <= state.total { from } else { 0 };
        let view = View {
            at: from,
            stuck: false,
        };
        state.viewers.insert(number, view);
        Viewer {
            shown: Arc::clone(self),
            number,
            sent: from,
            grown: self.grown.subscribe(),
        }
    }

    /// What a viewer has shown.
    pub(super) fn acknowledge(&self, viewer: u64, offset: u64) {
        let mut state = self.state.lock();
        let total = state.total;
        if let Some(view) = state.viewers.get_mut(&viewer) {
            view.at = offset.clamp(view.at, total);
            view.stuck = false;
        }
        drop(state);
        self.grown.send_replace(());
        self.seen.notify_one();
    }
}

/// Somebody who looks at a terminal.
#[derive(Debug)]
pub(super) struct Viewer {
    pub(super) shown: Arc<Shown>,
    pub(super) number: u64,
    sent: u64,
    grown: watch::Receiver<()>,
}

impl Drop for Viewer {
    fn drop(&mut self) {
        self.shown.state.lock().viewers.remove(&self.number);
        self.shown.seen.notify_one();
    }
}

impl Viewer {
    /// Where the viewer is.
    pub(super) fn offset(&self) -> u64 {
        self.sent
    }

    /// What to send now.
    pub(super) fn next(&mut self) -> Next {
        const PIECE: usize = 32 << 10;
        // Before looking: what comes meanwhile is news.
        self.grown.mark_unchanged();
        let state = self.shown.state.lock();
        let first = state.total - state.ring.len() as u64;
        let at = self.sent.max(first);
        let shown = state.viewers.get(&self.number).map_or(at, |v| v.at);
        let skip = (at - first) as usize;
        if skip < state.ring.len() {
            if self.sent > shown + AHEAD {
                return Next::Nothing;
            }
            let bytes: Vec<u8> = state.ring.iter().skip(skip).take(PIECE).copied().collect();
            self.sent = at + bytes.len() as u64;
            return Next::Bytes(at, bytes);
        }
        match state.ended {
            Some(ended) => Next::End(ended),
            None => Next::Nothing,
        }
    }

    /// Waits until [`Viewer::next`] may have something else to say.
    pub(super) async fn wait(&mut self) {
        // The sender is in `shown`, which is ours, too.
        let _ = self.grown.changed().await;
    }
}
