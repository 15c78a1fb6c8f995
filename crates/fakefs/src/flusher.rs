//! The thread that commits at least every second while there is something to commit, and removes the data of
//! files that are gone.

use crate::{data::Files, store::Store};
use parking_lot::{Condvar, Mutex};
use std::{
    sync::{Arc, Weak},
    thread::ThreadId,
    time::{Duration, Instant},
};

/// The longest that a change stays uncommitted.
const PERIOD: Duration = Duration::from_secs(1);

#[derive(Debug, Default)]
struct State {
    running: bool,
    thread: Option<ThreadId>,
    /// Since when something waits to be committed.
    work: Option<Instant>,
    hurry: bool,
    /// When what guests wrote through mappings is to be written back.
    write_back: Option<Instant>,
    stop: bool,
    /// Inodes that are gone, whose data are to be removed.
    gone: Vec<u64>,
}

/// Wakes and ends the flusher thread of a store.
#[derive(Debug, Default)]
pub(crate) struct Flusher {
    state: Mutex<State>,
    cond: Condvar,
    /// Held while data are removed.
    removing: Mutex<()>,
}

enum Task {
    Commit,
    WriteBack,
    Remove,
    Stop,
}

impl Flusher {
    /// Something waits to be committed: within the period, or at once.
    pub(crate) fn wake(self: &Arc<Self>, store: &Weak<Store>, hurry: bool) {
        let mut s = self.state.lock();
        s.work.get_or_insert_with(Instant::now);
        s.hurry |= hurry;
        self.notify(&mut s, store);
    }

    /// A page has been written through a mapping: it is written back after `period`, with all that follow until then.
    pub(crate) fn pages_dirtied(self: &Arc<Self>, store: &Weak<Store>, period: Duration) {
        let mut s = self.state.lock();
        if s.write_back.is_none() {
            s.write_back = Some(Instant::now() + period);
            self.notify(&mut s, store);
        }
    }

    /// The data of an inode are to be removed. On some hosts that takes long, so nobody waits for it.
    pub(crate) fn remove_data(self: &Arc<Self>, store: &Weak<Store>, ino: u64) {
        let mut s = self.state.lock();
        s.gone.push(ino);
        self.notify(&mut s, store);
    }

    fn notify(self: &Arc<Self>, s: &mut State, store: &Weak<Store>) {
        if s.running {
            self.cond.notify_all();
            return;
        }
        if s.stop {
            return;
        }
        let (flusher, store) = (Arc::clone(self), store.clone());
        let spawned = std::thread::Builder::new()
            .name("fakefs-flush".into())
            .stack_size(512 << 10)
            .spawn(move || flusher.run(&store));
        match spawned {
            Ok(_) => s.running = true,
            // fsync and unmount still do the work; the next change tries again.
            Err(error) => tracing::error!(%error, "starting the flusher of a store"),
        }
    }

    /// Removes what waits to be removed, then does `last`, during which nothing is removed.
    pub(crate) fn remove_now<T>(&self, files: &Files, last: impl FnOnce() -> T) -> T {
        let _removing = self.removing.lock();
        let gone = std::mem::take(&mut self.state.lock().gone);
        for ino in gone {
            if let Err(errno) = files.remove_data(ino) {
                tracing::warn!(ino, %errno, "removing the data of an unlinked file");
            }
        }
        last()
    }

    /// Lets the thread end.
    pub(crate) fn stop(&self) {
        self.state.lock().stop = true;
        self.cond.notify_all();
    }

    /// Lets the thread end and waits until it no longer holds the store. The next change starts another.
    pub(crate) fn halt(&self) {
        let mut s = self.state.lock();
        if s.thread == Some(std::thread::current().id()) {
            return;
        }
        while s.running {
            s.stop = true;
            self.cond.notify_all();
            self.cond.wait(&mut s);
        }
    }

    fn next(&self) -> Task {
        let mut s = self.state.lock();
        loop {
            if s.stop {
                return Task::Stop;
            }
            if !s.gone.is_empty() {
                return Task::Remove;
            }
            let now = Instant::now();
            if s.write_back.is_some_and(|at| at <= now) {
                s.write_back = None;
                return Task::WriteBack;
            }
            let commit = s.work.map(|since| since + PERIOD);
            if commit.is_some_and(|at| s.hurry || at <= now) {
                (s.work, s.hurry) = (None, false);
                return Task::Commit;
            }
            match commit.into_iter().chain(s.write_back).min() {
                Some(at) => {
                    self.cond.wait_until(&mut s, at);
                }
                None => self.cond.wait(&mut s),
            }
        }
    }

    fn run(&self, store: &Weak<Store>) {
        self.state.lock().thread = Some(std::thread::current().id());
        self.work_until_stopped(store);
        let mut s = self.state.lock();
        (s.running, s.stop, s.thread) = (false, false, None);
        self.cond.notify_all();
    }

    fn work_until_stopped(&self, store: &Weak<Store>) {
        loop {
            let task = self.next();
            let Some(store) = store.upgrade() else { return };
            match task {
                Task::Stop => return,
                Task::WriteBack => {
                    if let Err(errno) = store.write_back_pages() {
                        tracing::warn!(%errno, "writing mapped pages back");
                        let period = store.write_back;
                        store.flusher.pages_dirtied(&store.this, period);
                    }
                }
                Task::Remove => self.remove_now(&store.files, || ()),
                Task::Commit => {
                    if store.commit_all(store.durable()).is_err() {
                        // Reported; what could not be written waits for the next turn.
                        self.state.lock().work = Some(Instant::now());
                    }
                }
            }
        }
    }
}
