//! The record of all changes to a machine's files.

use crate::{Machine, text};
use parking_lot::{Condvar, Mutex};
use std::{
    collections::VecDeque,
    sync::Arc,
    time::{Duration, Instant},
};
pub use tuxlet_vfs::track::ChangeKind as FileChangeKind;
use tuxlet_vfs::track::{self, Trackers};

/// A change to a file of the machine.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct FileChange {
    /// What happened.
    pub kind: FileChangeKind,
    /// The absolute path in the guest; of a rename, the old one. Bytes that are not UTF-8 are replaced.
    pub path: String,
    /// The other path of a rename or an exchange.
    pub to: Option<String>,
    /// Whether it happened to a directory.
    pub directory: bool,
    /// The process that did it (of [`FileChangeKind::Written`], the one that opened the file); 0 for the embedder itself.
    pub pid: u32,
    /// [`crate::Command::context`] of the command that the process belongs to.
    pub context: u64,
}

/// What has been recorded, oldest first, and how much was lost.
#[derive(Debug, Default)]
struct Ring {
    waiting: VecDeque<FileChange>,
    dropped: u64,
    finished: bool,
}

#[derive(Debug)]
struct Recorder {
    capacity: usize,
    ring: Mutex<Ring>,
    arrived: Condvar,
}

impl track::Tracker for Recorder {
    fn changed(&self, change: &track::Change) {
        let change = FileChange {
            kind: change.kind,
            path: text(&change.path),
            to: change.to.as_deref().map(text),
            directory: change.directory,
            pid: change.author.tgid,
            context: change.author.context,
        };
        let mut ring = self.ring.lock();
        if ring.waiting.len() == self.capacity {
            ring.waiting.pop_front();
            ring.dropped += 1;
        }
        ring.waiting.push_back(change);
        drop(ring);
        self.arrived.notify_one();
    }
}

/// A record of changes, from [`Machine::track_changes`] until it is dropped. The guest never waits for its reader: what finds no room
/// takes the place of the oldest, which is counted.
#[derive(Debug)]
pub struct ChangeLog {
    recorder: Arc<Recorder>,
    tracker: Arc<dyn track::Tracker>,
    trackers: Arc<Trackers>,
}

impl Drop for ChangeLog {
    fn drop(&mut self) {
        self.trackers.remove(&self.tracker);
    }
}

impl ChangeLog {
    /// The oldest change that has not been taken yet.
    #[must_use]
    pub fn try_next(&self) -> Option<FileChange> {
        self.recorder.ring.lock().waiting.pop_front()
    }

    /// As [`ChangeLog::try_next`], waiting for a change at most so long, and not any more after [`ChangeLog::finish`].
    #[must_use]
    pub fn next_timeout(&self, timeout: Duration) -> Option<FileChange> {
        // A time too far away to be written down is for ever.
        let deadline = Instant::now().checked_add(timeout);
        let mut ring = self.recorder.ring.lock();
        loop {
            if let Some(change) = ring.waiting.pop_front() {
                return Some(change);
            }
            if ring.finished {
                return None;
            }
            match deadline {
                Some(at) if self.recorder.arrived.wait_until(&mut ring, at).timed_out() => {
                    return ring.waiting.pop_front();
                }
                Some(_) => {}
                None => self.recorder.arrived.wait(&mut ring),
            }
        }
    }

    /// Lets all waiting end, now and from now on: for another thread than the one that waits. What was recorded before can be taken.
    pub fn finish(&self) {
        self.recorder.ring.lock().finished = true;
        self.recorder.arrived.notify_all();
    }

    /// Whether waiting has been ended by [`ChangeLog::finish`].
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.recorder.ring.lock().finished
    }

    /// How many changes were lost since this was asked last: whoever keeps a copy has to look at everything again.
    #[must_use]
    pub fn take_dropped(&self) -> u64 {
        std::mem::take(&mut self.recorder.ring.lock().dropped)
    }
}

impl Machine {
    /// Records what happens to the files of all mounted file systems from now on: names made, removed and changed, files closed after
    /// they were open for writing, sizes set. At most `capacity` changes wait to be read.
    ///
    /// Not recorded are changes that the host makes in bound directories, changes of permissions, owners and times, and what is written
    /// through mappings after the file has been closed.
    ///
    /// ```no_run
    /// # let machine = tuxlet::Machine::builder().root(tuxlet::Root::Memory).build()?;
    /// use std::time::Duration;
    /// let log = machine.track_changes(1000);
    /// machine.exec(tuxlet::Command::new("/bin/touch").arg("/tmp/new"))?.wait();
    /// while let Some(change) = log.next_timeout(Duration::ZERO) {
    ///     println!("{:?} {}", change.kind, change.path);
    /// }
    /// assert_eq!(log.take_dropped(), 0);
    /// # Ok::<(), tuxlet::Error>(())
    /// ```
    #[must_use]
    pub fn track_changes(&self, capacity: usize) -> ChangeLog {
        let recorder = Arc::new(Recorder {
            capacity: capacity.max(1),
            ring: Mutex::default(),
            arrived: Condvar::new(),
        });
        let tracker: Arc<dyn track::Tracker> = recorder.clone();
        let trackers = self.inner.kernel.mounts.trackers();
        trackers.add(&tracker);
        ChangeLog {
            recorder,
            tracker,
            trackers,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Bind, Root};
    use FileChangeKind::{Created, Removed, Renamed, Truncated, Written};

    fn drain(log: &ChangeLog) -> Vec<(FileChangeKind, String)> {
        std::iter::from_fn(|| log.try_next())
            .map(|c| {
                let to = c.to.map(|to| format!(" {to}")).unwrap_or_default();
                (c.kind, format!("{}{to}", c.path))
            })
            .collect()
    }

    #[test]
    fn changes_of_all_file_systems_are_recorded_by_path() {
        let host = tempfile::tempdir().unwrap();
        let machine = Machine::builder()
            .root(Root::Memory)
            .bind(Bind {
                host: host.path().to_owned(),
                guest: "/bound".into(),
                read_only: false,
            })
            .build()
            .unwrap();
        let other = Machine::builder().root(Root::Memory).build().unwrap();
        let log = machine.track_changes(100);
        other.write_file("/elsewhere", 0o644, b"x").unwrap();
        machine.write_file("/srv/a", 0o644, b"x").unwrap();
        machine.write_file("/srv/a", 0o644, b"y").unwrap();
        machine.rename("/srv/a", "/srv/b").unwrap();
        machine.write_file("/bound/c", 0o644, b"x").unwrap();
        machine.remove("/srv/b").unwrap();
        machine.remove("/srv").unwrap();
        // A message to the kernel, not a file.
        machine
            .write_file("/proc/sys/vm/swappiness", 0o644, b"1")
            .ok();
        let told = drain(&log);
        let expected = [
            (Created, "/srv"),
            (Created, "/srv/a"),
            (Written, "/srv/a"),
            (Truncated, "/srv/a"),
            (Written, "/srv/a"),
            (Renamed, "/srv/a /srv/b"),
            (Created, "/bound/c"),
            (Written, "/bound/c"),
            (Removed, "/srv/b"),
            (Removed, "/srv"),
        ];
        assert_eq!(told, expected.map(|(kind, path)| (kind, path.to_owned())));
        assert_eq!(log.take_dropped(), 0);
        drop(log);
        machine.write_file("/late", 0o644, b"x").unwrap();
    }

    #[test]
    fn a_full_record_drops_the_oldest_and_counts() {
        let machine = Machine::builder().root(Root::Memory).build().unwrap();
        let log = machine.track_changes(2);
        for dir in ["/1", "/2", "/3", "/4"] {
            machine.create_dir(dir).unwrap();
        }
        assert_eq!(log.take_dropped(), 2);
        assert_eq!(log.take_dropped(), 0);
        let paths: Vec<_> = drain(&log).into_iter().map(|(_, path)| path).collect();
        assert_eq!(paths, ["/3", "/4"]);
        assert_eq!(log.next_timeout(Duration::from_millis(1)), None);
    }
}
