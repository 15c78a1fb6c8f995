//! The record of changes to files.

use crate::{
    error::{Code, Failure, Result, borrow, give, store},
    machine::Machine,
};
use std::{
    ffi::{CString, c_char},
    time::Duration,
};
use tuxlet::{FileChange, FileChangeKind};

/// `tux_changes`.
#[derive(Debug)]
pub struct Changes(tuxlet::ChangeLog);

/// `struct tux_change`.
#[derive(Debug)]
#[repr(C)]
pub struct Change {
    kind: i32,
    directory: i32,
    pid: u32,
    context: u64,
    path: *mut c_char,
    to: *mut c_char,
}

impl Change {
    fn new(change: FileChange) -> Self {
        // A name of a file has no zero in it.
        let text = |text: String| CString::new(text).unwrap_or_default().into_raw();
        Self {
            kind: match change.kind {
                FileChangeKind::Created => 1,
                FileChangeKind::Written => 2,
                FileChangeKind::Truncated => 3,
                FileChangeKind::Removed => 4,
                FileChangeKind::Renamed => 5,
                FileChangeKind::Exchanged => 6,
            },
            directory: change.directory.into(),
            pid: change.pid,
            context: change.context,
            path: text(change.path),
            to: change.to.map_or(std::ptr::null_mut(), text),
        }
    }
}

impl Drop for Change {
    fn drop(&mut self) {
        for text in [self.path, self.to] {
            if !text.is_null() {
                // SAFETY: it came from `into_raw`, and the header forbids to change it.
                drop(unsafe { CString::from_raw(text) });
            }
        }
    }
}

functions! {
    /// Begins a record.
    fn tux_track_changes(machine: *mut Machine, capacity: usize, changes: *mut *mut Changes) {
        store(changes, std::ptr::null_mut())?;
        let log = borrow(machine)?.0.track_changes(capacity);
        store(changes, give(Changes(log)))
    }
}

frees! {
    /// Ends a record.
    fn tux_changes_free(changes: *mut Changes);
}

functions! {
    /// Takes the oldest change.
    fn tux_changes_next(changes: *mut Changes, timeout_ms: u64, change: *mut *mut Change) {
        store(change, std::ptr::null_mut())?;
        let next = next(borrow(changes)?, timeout_ms)?;
        store(change, give(Change::new(next)))
    }
}

fn next(changes: &Changes, timeout_ms: u64) -> Result<FileChange> {
    let next = if timeout_ms == u64::MAX {
        changes.0.next_timeout(Duration::MAX)
    } else {
        changes.0.next_timeout(Duration::from_millis(timeout_ms))
    };
    next.ok_or_else(|| {
        if changes.0.is_finished() {
            Failure::new(Code::Closed, "the record has been finished")
        } else {
            Failure::new(Code::Timeout, "nothing was changed in time")
        }
    })
}

frees! {
    /// Frees a change.
    fn tux_change_free(change: *mut Change);
}

functions! {
    /// Lets waiting end.
    fn tux_changes_finish(changes: *mut Changes) {
        borrow(changes)?.0.finish();
        Ok(())
    }
}

/// How many changes were lost.
///
/// # Safety
/// As the header says of handles.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tux_changes_dropped(changes: *mut Changes) -> u64 {
    // SAFETY: the caller's promise.
    unsafe { borrow(changes) }.map_or(0, |c| c.0.take_dropped())
}
