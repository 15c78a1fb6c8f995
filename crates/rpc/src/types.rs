//! Parameters and results of the methods, as they are in JSON.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// No parameters.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Nothing {}

/// A guest file.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct PathParams {
    /// Absolute path in the guest.
    pub(crate) path: String,
}

/// A range of a guest file.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ReadParams {
    /// Absolute path in the guest.
    pub(crate) path: String,
    /// First byte.
    #[serde(default)]
    pub(crate) offset: u64,
    /// Bytes; at most 1 MiB (`fs.hexdump`: 64 KiB). 4096 (`fs.hexdump`: 256) if not given.
    pub(crate) length: Option<usize>,
}

/// What to write to a guest file.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct WriteParams {
    /// Absolute path in the guest. The file is replaced; directories that are missing are made.
    pub(crate) path: String,
    /// The contents as text.
    pub(crate) data: Option<String>,
    /// The contents as base64, instead.
    pub(crate) data_base64: Option<String>,
    /// Permission bits of a new file: 420 (0o644) if not given.
    pub(crate) mode: Option<u32>,
}

/// A program, where and how to run it.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
pub(crate) struct CommandParams {
    /// A line for `/bin/sh -c`.
    #[serde(alias = "cmd")]
    pub(crate) command: Option<String>,
    /// A program and its arguments, instead.
    pub(crate) argv: Option<Vec<String>>,
    /// Variables of the environment, over the machine's own.
    #[serde(default)]
    pub(crate) env: BTreeMap<String, String>,
    /// Directory to start in.
    pub(crate) cwd: Option<String>,
    /// A number for the command and what descends from it, told with the changes that they make.
    #[serde(default)]
    pub(crate) context: u64,
    /// User to run as: `NAME`, `UID`, `NAME:GROUP` or `UID:GID`.
    pub(crate) user: Option<String>,
}

/// A command to run to its end.
#[derive(Debug, Deserialize, JsonSchema)]
pub(crate) struct ExecParams {
    #[serde(flatten)]
    pub(crate) command: CommandParams,
    /// Milliseconds until the command is killed: 10,000 if not given, at most an hour.
    pub(crate) timeout: Option<u64>,
    /// Standard input, as text.
    pub(crate) stdin: Option<String>,
    /// Standard input as base64, instead.
    pub(crate) stdin_base64: Option<String>,
    /// Keep the two output streams apart: `stdout` and `stderr` instead of `output`.
    #[serde(default)]
    pub(crate) separate: bool,
    /// Give output as base64.
    #[serde(default)]
    pub(crate) base64: bool,
}

/// How a command ended.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct ExecResult {
    pub(crate) pid: u32,
    /// The exit code; 128 + number for a signal.
    pub(crate) exit_code: u8,
    /// The signal that killed it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) signal: Option<i32>,
    /// It was killed because its time was over.
    pub(crate) timed_out: bool,
    /// It printed more than the server keeps.
    pub(crate) truncated: bool,
    /// Milliseconds from start to end.
    pub(crate) duration: u64,
    /// Both output streams, in the order in which they were written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) output: Option<String>,
    /// Standard output, if asked for apart.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) stdout: Option<String>,
    /// Standard error output, if asked for apart.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) stderr: Option<String>,
}

/// A terminal's size in characters.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
pub(crate) struct Size {
    pub(crate) rows: u16,
    pub(crate) cols: u16,
}

/// A command to run while the client does other things.
#[derive(Debug, Deserialize, JsonSchema)]
pub(crate) struct SpawnParams {
    #[serde(flatten)]
    pub(crate) command: CommandParams,
    /// Give it a standard input that `guest.write` writes to; without it, it is empty.
    #[serde(default)]
    pub(crate) stdin: bool,
    /// Give it a terminal of this size for all three streams.
    pub(crate) terminal: Option<Size>,
    /// Send output as base64 (`data`); otherwise as text, without ever splitting a character.
    #[serde(default)]
    pub(crate) base64: bool,
}

/// A command that has been started.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Spawned {
    /// Number of the process in this connection, for the other methods and in notifications.
    pub(crate) process: u64,
    /// Process id in the guest.
    pub(crate) pid: u32,
}

/// Input for a process.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct InputParams {
    /// From `guest.spawn`.
    pub(crate) process: u64,
    /// The input as text.
    pub(crate) data: Option<String>,
    /// The input as base64, instead.
    pub(crate) data_base64: Option<String>,
    /// Nothing comes after this.
    #[serde(default)]
    pub(crate) end: bool,
}

/// A new size of a process's terminal.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ResizeParams {
    /// From `guest.spawn`.
    pub(crate) process: u64,
    pub(crate) rows: u16,
    pub(crate) cols: u16,
}

/// A signal for any process of the machine.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct KillParams {
    /// Process id in the guest.
    pub(crate) pid: u32,
    /// Number of the signal; 9 if not given.
    pub(crate) signal: Option<i32>,
}

#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Killed {
    pub(crate) pid: u32,
    /// Whether there was such a process.
    pub(crate) found: bool,
    pub(crate) signal: i32,
}

/// What stat(2) tells.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Stat {
    pub(crate) size: u64,
    /// Permission bits in octal, such as `0644`.
    pub(crate) mode: String,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    /// `file`, `directory`, `symlink`, `chardev`, `blockdev`, `fifo` or `socket`.
    #[serde(rename = "type")]
    pub(crate) kind: &'static str,
    pub(crate) nlink: u32,
    /// Seconds since 1970.
    pub(crate) mtime: f64,
    pub(crate) inode: u64,
}

#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Entry {
    pub(crate) name: String,
    pub(crate) inode: u64,
    /// As in `fs.stat`.
    #[serde(rename = "type")]
    pub(crate) kind: &'static str,
}

#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Contents {
    /// Always `base64`.
    pub(crate) encoding: &'static str,
    /// Bytes.
    pub(crate) size: usize,
    pub(crate) data: String,
}

#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Written {
    /// Bytes.
    pub(crate) written: usize,
}

#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Task {
    pub(crate) pid: u32,
    /// Name of the program, at most 15 bytes.
    pub(crate) comm: String,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct PidParams {
    /// Process id in the guest.
    pub(crate) pid: u32,
}

#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct TaskInfo {
    pub(crate) pid: u32,
    pub(crate) tgid: u32,
    pub(crate) uid: u32,
    pub(crate) comm: String,
    pub(crate) zombie: bool,
    pub(crate) parent_pid: u32,
}

#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Mount {
    pub(crate) target: String,
    pub(crate) source: String,
    #[serde(rename = "type")]
    pub(crate) kind: String,
    pub(crate) read_only: bool,
}

#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Stats {
    pub(crate) processes: usize,
    pub(crate) threads: usize,
    /// Bytes in use.
    pub(crate) memory: u64,
    /// The most that may be, in bytes.
    pub(crate) memory_limit: u64,
}

/// An image of the server's store.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct StoredImage {
    /// `NAME` or `NAME:TAG`.
    pub name: String,
    /// Where it came from.
    pub origin: String,
    /// Seconds since 1970.
    pub created: u64,
    /// Bytes.
    pub size: u64,
}

/// A machine of the server's store.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct StoredMachine {
    /// Its name.
    pub name: String,
    /// The image that it was made from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
    /// Some process runs it, such as this server.
    pub running: bool,
    /// It is the one that this server serves.
    pub served: bool,
    /// Seconds since 1970.
    pub created: u64,
    /// Its snapshots, oldest first.
    pub snapshots: Vec<StoredSnapshot>,
}

/// A state of a machine's files.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct StoredSnapshot {
    /// Its name.
    pub name: String,
    /// Seconds since 1970.
    pub created: u64,
}

/// A state of a machine.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SnapshotParams {
    /// Name of the snapshot.
    pub(crate) name: String,
    /// The machine; if not given, the one that is served.
    pub(crate) machine: Option<String>,
}

/// Whose snapshots.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SnapshotsParams {
    /// The machine; if not given, the one that is served.
    pub(crate) machine: Option<String>,
}

/// A copy of a machine.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct CloneParams {
    /// Name of the new machine.
    pub(crate) name: String,
    /// The machine; if not given, the one that is served.
    pub(crate) machine: Option<String>,
}

#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Watching {
    /// Number of the watch in this connection, in notifications and for `fs.unwatch`.
    pub(crate) watch: u64,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct WatchParams {
    /// From `fs.watch`.
    pub(crate) watch: u64,
}

/// How long to wait for threads to come to rest.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SuspendParams {
    /// Milliseconds: 10,000 if not given, at most an hour.
    pub(crate) timeout: Option<u64>,
}

/// What to record of changes.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct TrackParams {
    /// How many changes may wait for `fs.changes`: 1,000 if not given, at most 100,000.
    pub(crate) capacity: Option<usize>,
}

#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Tracking {
    /// Number of the record in this connection, for `fs.changes` and `fs.untrack`.
    pub(crate) track: u64,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct UntrackParams {
    /// From `fs.track`.
    pub(crate) track: u64,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ChangesParams {
    /// From `fs.track`.
    pub(crate) track: u64,
    /// Milliseconds to wait while there is nothing to tell: 0 if not given, at most a minute.
    #[serde(default)]
    pub(crate) timeout: u64,
}

/// What has happened since the last call.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Changes {
    /// At most 1,000, oldest first.
    pub(crate) changes: Vec<TrackedChange>,
    /// Older ones that were lost because nobody took them in time.
    pub(crate) dropped: u64,
}

/// A change to a file of the machine.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct TrackedChange {
    /// `created`, `written`, `truncated`, `removed`, `renamed` or `exchanged`.
    pub(crate) kind: &'static str,
    pub(crate) path: String,
    /// The other path of a rename or an exchange.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) to: Option<String>,
    pub(crate) directory: bool,
    /// The process that did it; 0 for the embedder and its clients.
    pub(crate) pid: u32,
    /// The embedder's number of the command that the process belongs to.
    pub(crate) context: u64,
}

/// `guest.output`: something that a process has printed.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct OutputEvent {
    pub(crate) process: u64,
    /// `stdout`, `stderr` or `terminal`.
    pub(crate) stream: &'static str,
    pub(crate) data: String,
}

/// `guest.exit`: a process has ended, and all its output has been sent.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct ExitEvent {
    pub(crate) process: u64,
    /// The exit code; 128 + number for a signal.
    pub(crate) exit_code: u8,
    /// The signal that killed it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) signal: Option<i32>,
}

/// `fs.change`: something has happened to what is watched.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct ChangeEvent {
    pub(crate) watch: u64,
    /// `created`, `modified`, `closed`, `attributes`, `removed`, `moved_from` or `moved_to`.
    pub(crate) kind: &'static str,
    /// The entry in the watched directory.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) name: Option<String>,
    pub(crate) directory: bool,
    /// Joins `moved_from` and `moved_to`.
    pub(crate) cookie: u32,
}
