//! The system call trace: `--strace`. Derived from the table and the argument types.

use super::table::Row;
use crate::task::CurrentTask;
use tuxlet_uapi::{
    errno::Result,
    signal::{SigAction, SigInfo, Signal},
};

/// A call whose arguments have been printed as they were at entry.
pub(super) struct Call {
    text: String,
}

pub(super) fn enter(
    task: &CurrentTask,
    nr: u64,
    row: Option<&Row>,
    args: &[u64; 6],
) -> Option<Call> {
    let name = row.map_or_else(|| format!("syscall_{nr:#x}"), |r| r.name.to_owned());
    if !task.kernel.config.strace.as_ref()?.matches(&name) {
        return None;
    }
    let shown = row
        .and_then(|r| r.show)
        .map(|show| show(task, args))
        .unwrap_or_default();
    Some(Call {
        text: format!("{name}({shown})"),
    })
}

pub(super) fn leave(task: &CurrentTask, call: &Call, result: &Result<u64>) {
    let outcome = match result {
        Ok(value) if value.cast_signed() >= 0 && *value < 0x1_0000 => value.to_string(),
        Ok(value) => format!("{value:#x}"),
        Err(errno) if errno.is_restart() => "? (to be restarted)".to_owned(),
        Err(errno) => format!("-1 {} ({errno})", errno.name().unwrap_or("?")),
    };
    task.kernel
        .events
        .strace(&format!("[{}] {} = {outcome}", task.task.tid(), call.text));
}

impl CurrentTask {
    /// Shows a signal in the trace.
    pub(crate) fn trace_signal(&self, signal: Signal, info: &SigInfo, action: SigAction) {
        if self.kernel.config.strace.is_none() {
            return;
        }
        let how = if action.is_default() {
            "default"
        } else if action.is_ignore() {
            "ignored"
        } else {
            "handler"
        };
        let line = format!(
            "[{}] --- {signal} code {} ({how}) ---",
            self.task.tid(),
            info.si_code
        );
        self.kernel.events.strace(&line);
    }
}
