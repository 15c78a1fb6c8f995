//! The table of methods.

use crate::{
    encoding::{base64, from_base64},
    keeper::Keeper,
    message::{FAILED, INVALID_PARAMS, METHOD_NOT_FOUND, RpcError},
    process,
    session::{Impatient, LONGEST, Session},
    types::{
        ChangeEvent, Changes, ChangesParams, CloneParams, CommandParams, Contents, Entry,
        ExecParams, ExecResult, InputParams, KillParams, Killed, Mount, Nothing, PathParams,
        PidParams, ReadParams, ResizeParams, SnapshotParams, SnapshotsParams, SpawnParams, Spawned,
        Stat, Stats, StoredImage, StoredMachine, StoredSnapshot, SuspendParams, Task, TaskInfo,
        TrackParams, TrackedChange, Tracking, UntrackParams, WatchParams, Watching, WriteParams,
        Written,
    },
};
use schemars::{Schema, schema_for};
use serde_json::{Value, json};
use std::{
    sync::Arc,
    time::{Duration, UNIX_EPOCH},
};
use tuxlet::{ChangeKind, Command, FileChangeKind, FileType, Metadata};

/// Most bytes that `fs.read` gives.
const MAX_READ: usize = 1 << 20;
/// Most bytes that `fs.hexdump` shows.
const MAX_HEXDUMP: usize = 64 << 10;
/// Most entries that `fs.readdir` gives.
const MAX_ENTRIES: usize = 10_000;
/// How long `guest.exec` waits if nobody says.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(10);

/// Most changes that may wait in a record.
const MAX_TRACKED: usize = 100_000;
/// The longest that `fs.changes` waits: so long may a client that has gone keep its session.
const LONGEST_POLL: Duration = Duration::from_secs(60);
/// Most changes that `fs.changes` gives.
const MAX_CHANGES: usize = 1000;

type Answer<T> = Result<T, RpcError>;

/// A method, for the OpenRPC document.
pub(crate) struct Method {
    pub(crate) name: &'static str,
    pub(crate) summary: &'static str,
    pub(crate) params: Schema,
    pub(crate) result: Schema,
}

macro_rules! methods {
    ($( $name:literal, $speed:ident, $params:ty => $result:ty, $function:path, $summary:literal; )*) => {
        /// Calls a method by its name.
        pub(crate) fn call(session: &Arc<Session>, name: &str, params: Value) -> Answer<Value> {
            match name {
                $( $name => {
                    let result: $result = $function(session, read_params::<$params>(params)?)?;
                    serde_json::to_value(result).map_err(|e| RpcError::new(FAILED, e.to_string()))
                } )*
                _ => Err(RpcError::new(METHOD_NOT_FOUND, format!("no method {name:?}"))),
            }
        }

        /// Whether a method may take long.
        pub(crate) fn is_slow(name: &str) -> bool {
            match name {
                $( $name => methods!(@ $speed), )*
                _ => false,
            }
        }

        /// All methods.
        pub(crate) fn all() -> Vec<Method> {
            vec![ $( Method {
                name: $name,
                summary: $summary,
                params: schema_for!($params),
                result: schema_for!($result),
            } ),* ]
        }
    };
    (@ quick) => { false };
    (@ slow) => { true };
}

methods! {
    "ping", quick, Nothing => &'static str, ping, "Answers \"pong\".";
    "rpc.discover", quick, Nothing => Value, discover, "This document: OpenRPC.";
    "machine.stats", quick, Nothing => Stats, stats, "Processes and memory.";
    "machine.mounts", quick, Nothing => Vec<Mount>, mounts, "What is mounted where.";
    "machine.suspend", slow, SuspendParams => (), suspend, "Holds all threads of the machine still and lets go of its stores.";
    "machine.resume", slow, Nothing => (), resume, "Lets a suspended machine go on.";
    "machine.list", slow, Nothing => Vec<StoredMachine>, machine_list, "The machines of the server's store.";
    "machine.clone", slow, CloneParams => (), machine_clone, "Makes a machine of the store that is as another one is now; one that runs is held still meanwhile.";
    "image.list", slow, Nothing => Vec<StoredImage>, image_list, "The images of the server's store.";
    "snapshot.list", slow, SnapshotsParams => Vec<StoredSnapshot>, snapshot_list, "The snapshots of a machine, oldest first.";
    "snapshot.create", slow, SnapshotParams => (), snapshot_create, "Remembers how the files of a machine are now; one that runs is held still meanwhile.";
    "snapshot.restore", slow, SnapshotParams => (), snapshot_restore, "Makes the files of a machine as they were; it must not be running.";
    "snapshot.remove", slow, SnapshotParams => (), snapshot_remove, "Forgets a snapshot of a machine that is not running.";
    "fs.stat", quick, PathParams => Stat, fs_stat, "What a path names, symbolic links followed.";
    "fs.lstat", quick, PathParams => Stat, fs_lstat, "What a path names, a symbolic link at its end not followed.";
    "fs.readdir", quick, PathParams => Vec<Entry>, fs_readdir, "A directory's entries, at most 10,000.";
    "fs.read", quick, ReadParams => Contents, fs_read, "A range of a file.";
    "fs.write", quick, WriteParams => Written, fs_write, "Replaces a file.";
    "fs.readlink", quick, PathParams => String, fs_readlink, "Where a symbolic link points.";
    "fs.exists", quick, PathParams => bool, fs_exists, "Whether a path names anything.";
    "fs.mkdir", quick, PathParams => (), fs_mkdir, "Makes a directory, and those above it that are missing.";
    "fs.remove", quick, PathParams => (), fs_remove, "Removes a file or an empty directory.";
    "fs.hexdump", quick, ReadParams => Vec<String>, fs_hexdump, "A range of a file in lines of 16 bytes.";
    "fs.watch", quick, PathParams => Watching, fs_watch, "Sends `fs.change` for each change to a file, or to a directory and the entries right in it.";
    "fs.unwatch", quick, WatchParams => bool, fs_unwatch, "Ends a watch; whether there was one.";
    "fs.track", quick, TrackParams => Tracking, fs_track, "Begins a record of the changes to all files.";
    "fs.changes", slow, ChangesParams => Changes, fs_changes, "Takes what a record holds, waiting for it.";
    "fs.untrack", quick, UntrackParams => bool, fs_untrack, "Ends a record; whether there was one.";
    "task.list", quick, Nothing => Vec<Task>, task_list, "The processes.";
    "task.info", quick, PidParams => TaskInfo, task_info, "A process.";
    "guest.exec", slow, ExecParams => ExecResult, guest_exec, "Runs a command to its end.";
    "guest.kill", quick, KillParams => Killed, guest_kill, "Sends a signal to a process.";
    "guest.spawn", quick, SpawnParams => Spawned, process::spawn, "Starts a command; `guest.output` and `guest.exit` tell of it.";
    "guest.write", quick, InputParams => (), guest_write, "Sends input to a command.";
    "guest.resize", quick, ResizeParams => (), guest_resize, "Changes the size of a command's terminal.";
}

fn read_params<T: serde::de::DeserializeOwned>(params: Value) -> Answer<T> {
    let params = match params {
        Value::Null => json!({}),
        Value::Array(_) => return Err(RpcError::params("parameters go by name, in an object")),
        params => params,
    };
    serde_json::from_value(params).map_err(|e| RpcError::new(INVALID_PARAMS, e.to_string()))
}

/// One of two forms of the same bytes; `None` if neither is given.
fn bytes(text: Option<String>, encoded: Option<String>) -> Answer<Option<Vec<u8>>> {
    match (text, encoded) {
        (Some(text), None) => Ok(Some(text.into_bytes())),
        (None, Some(encoded)) => from_base64(&encoded).map(Some).map_err(RpcError::params),
        (None, None) => Ok(None),
        (Some(_), Some(_)) => Err(RpcError::params("give text or base64, not both")),
    }
}

impl CommandParams {
    pub(crate) fn build(self) -> Answer<Command> {
        let command = match (self.command, self.argv) {
            (Some(line), None) => Command::new("/bin/sh").arg("-c").arg(line),
            (None, Some(argv)) => {
                let mut words = argv.into_iter();
                let program = words.next().filter(|p| !p.is_empty());
                let program = program.ok_or_else(|| RpcError::params("`argv` is empty"))?;
                Command::new(program).args(words)
            }
            _ => return Err(RpcError::params("give either `command` or `argv`")),
        };
        let mut command = command.context(self.context);
        for (name, value) in self.env {
            if name.is_empty() || name.contains(['=', '\0']) || value.contains('\0') {
                return Err(RpcError::params(format!("{name:?} cannot be a variable")));
            }
            command = command.env(name, value);
        }
        if let Some(dir) = self.cwd {
            command = command.cwd(dir);
        }
        if let Some(user) = self.user {
            command = command.user(user);
        }
        Ok(command)
    }
}

fn ping(_: &Arc<Session>, _: Nothing) -> Answer<&'static str> {
    Ok("pong")
}

fn discover(_: &Arc<Session>, _: Nothing) -> Answer<Value> {
    Ok(crate::openrpc::document())
}

fn stats(session: &Arc<Session>, _: Nothing) -> Answer<Stats> {
    let stats = session.machine.stats();
    Ok(Stats {
        processes: stats.processes,
        threads: stats.threads,
        memory: stats.memory,
        memory_limit: stats.memory_limit,
    })
}

fn mounts(session: &Arc<Session>, _: Nothing) -> Answer<Vec<Mount>> {
    let all = session.machine.mounts().into_iter();
    Ok(all
        .map(|m| Mount {
            target: m.target,
            source: m.source,
            kind: m.file_system,
            read_only: m.read_only,
        })
        .collect())
}

fn suspend(session: &Arc<Session>, params: SuspendParams) -> Answer<()> {
    let timeout = params
        .timeout
        .map_or(DEFAULT_TIMEOUT, Duration::from_millis);
    Ok(session.machine.suspend(timeout.min(LONGEST))?)
}

fn resume(session: &Arc<Session>, _: Nothing) -> Answer<()> {
    Ok(session.machine.resume()?)
}

fn keeper(session: &Arc<Session>) -> Answer<&dyn Keeper> {
    let keeper = session.keeper.as_deref();
    keeper.ok_or_else(|| RpcError::new(FAILED, "the machine is not one of a store"))
}

fn kept<T>(result: Result<T, String>) -> Answer<T> {
    result.map_err(|text| RpcError::new(FAILED, text))
}

fn machine_list(session: &Arc<Session>, _: Nothing) -> Answer<Vec<StoredMachine>> {
    kept(keeper(session)?.machines())
}

fn machine_clone(session: &Arc<Session>, params: CloneParams) -> Answer<()> {
    let _counted = session.begin_exec()?;
    kept(keeper(session)?.clone_machine(params.machine.as_deref(), &params.name))
}

fn image_list(session: &Arc<Session>, _: Nothing) -> Answer<Vec<StoredImage>> {
    kept(keeper(session)?.images())
}

fn snapshot_list(session: &Arc<Session>, params: SnapshotsParams) -> Answer<Vec<StoredSnapshot>> {
    let mut all = kept(keeper(session)?.machines())?.into_iter();
    let found = match &params.machine {
        Some(name) => all.find(|m| m.name == *name),
        None => all.find(|m| m.served),
    };
    let found = found.ok_or_else(|| RpcError::new(FAILED, "there is no such machine"))?;
    Ok(found.snapshots)
}

fn snapshot_create(session: &Arc<Session>, params: SnapshotParams) -> Answer<()> {
    let _counted = session.begin_exec()?;
    kept(keeper(session)?.snapshot(params.machine.as_deref(), &params.name))
}

fn snapshot_restore(session: &Arc<Session>, params: SnapshotParams) -> Answer<()> {
    kept(keeper(session)?.restore(params.machine.as_deref(), &params.name))
}

fn snapshot_remove(session: &Arc<Session>, params: SnapshotParams) -> Answer<()> {
    kept(keeper(session)?.remove_snapshot(params.machine.as_deref(), &params.name))
}

fn kind_name(kind: FileType) -> &'static str {
    match kind {
        FileType::Regular => "file",
        FileType::Directory => "directory",
        FileType::Symlink => "symlink",
        FileType::CharDevice => "chardev",
        FileType::BlockDevice => "blockdev",
        FileType::Fifo => "fifo",
        FileType::Socket => "socket",
        _ => "unknown",
    }
}

fn stat(meta: &Metadata) -> Stat {
    let since = meta.modified.duration_since(UNIX_EPOCH);
    Stat {
        size: meta.size,
        mode: format!("{:04o}", meta.mode),
        uid: meta.uid,
        gid: meta.gid,
        kind: kind_name(meta.kind),
        nlink: meta.links,
        mtime: since.map_or(0.0, |t| t.as_secs_f64()),
        inode: meta.inode,
    }
}

fn fs_stat(session: &Arc<Session>, params: PathParams) -> Answer<Stat> {
    Ok(stat(&session.machine.metadata(&params.path)?))
}

fn fs_lstat(session: &Arc<Session>, params: PathParams) -> Answer<Stat> {
    Ok(stat(&session.machine.symlink_metadata(&params.path)?))
}

fn fs_readdir(session: &Arc<Session>, params: PathParams) -> Answer<Vec<Entry>> {
    let entries = session.machine.read_dir(&params.path)?.into_iter();
    Ok(entries
        .take(MAX_ENTRIES)
        .map(|e| Entry {
            name: e.name,
            inode: e.inode,
            kind: kind_name(e.kind),
        })
        .collect())
}

fn fs_read(session: &Arc<Session>, params: ReadParams) -> Answer<Contents> {
    let length = params.length.unwrap_or(4096).min(MAX_READ);
    let data = session
        .machine
        .read_range(&params.path, params.offset, length)?;
    Ok(Contents {
        encoding: "base64",
        size: data.len(),
        data: base64(&data),
    })
}

fn fs_write(session: &Arc<Session>, params: WriteParams) -> Answer<Written> {
    let data = bytes(params.data, params.data_base64)?
        .ok_or_else(|| RpcError::params("give `data` or `data_base64`"))?;
    let mode = params.mode.unwrap_or(0o644);
    if mode > 0o7777 {
        return Err(RpcError::params("`mode` has more than permission bits"));
    }
    session.machine.write_file(&params.path, mode, &data)?;
    Ok(Written {
        written: data.len(),
    })
}

fn fs_readlink(session: &Arc<Session>, params: PathParams) -> Answer<String> {
    Ok(session.machine.read_link(&params.path)?)
}

fn fs_exists(session: &Arc<Session>, params: PathParams) -> Answer<bool> {
    match session.machine.metadata(&params.path) {
        Ok(_) => Ok(true),
        Err(error) if matches!(error.errno_name(), Some("ENOENT" | "ENOTDIR")) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

fn fs_mkdir(session: &Arc<Session>, params: PathParams) -> Answer<()> {
    Ok(session.machine.create_dir(&params.path)?)
}

fn fs_remove(session: &Arc<Session>, params: PathParams) -> Answer<()> {
    Ok(session.machine.remove(&params.path)?)
}

fn fs_hexdump(session: &Arc<Session>, params: ReadParams) -> Answer<Vec<String>> {
    let length = params.length.unwrap_or(256).min(MAX_HEXDUMP);
    let data = session
        .machine
        .read_range(&params.path, params.offset, length)?;
    let line = |(number, row): (usize, &[u8])| {
        let hex: Vec<String> = row.iter().map(|b| format!("{b:02x}")).collect();
        let shown = |b: &u8| {
            if (b' '..=b'~').contains(b) {
                char::from(*b)
            } else {
                '.'
            }
        };
        let text: String = row.iter().map(shown).collect();
        let at = params.offset + number as u64 * 16;
        format!("{at:08x}  {:<47}  |{text}|", hex.join(" "))
    };
    Ok(data.chunks(16).enumerate().map(line).collect())
}

fn fs_watch(session: &Arc<Session>, params: PathParams) -> Answer<Watching> {
    let teller = Impatient::new(session.outbox()?);
    let machine = &session.machine;
    let watch = session.add_watch(|watch| {
        let listener = move |change: tuxlet::Change| {
            let kind = match change.kind {
                ChangeKind::Created => "created",
                ChangeKind::Modified => "modified",
                ChangeKind::Closed => "closed",
                ChangeKind::Attributes => "attributes",
                ChangeKind::Removed => "removed",
                ChangeKind::MovedFrom => "moved_from",
                ChangeKind::MovedTo => "moved_to",
                _ => "changed",
            };
            let event = ChangeEvent {
                watch,
                kind,
                name: change.name,
                directory: change.directory,
                cookie: change.cookie,
            };
            let overflow = |dropped| ("fs.overflow", json!({ "watch": watch, "dropped": dropped }));
            teller.send("fs.change", event, overflow);
        };
        Ok(machine.watch(&params.path, listener)?)
    })?;
    Ok(Watching { watch })
}

fn fs_unwatch(session: &Arc<Session>, params: WatchParams) -> Answer<bool> {
    let watcher = session.watches.lock().remove(&params.watch);
    Ok(watcher.is_some())
}

fn fs_track(session: &Arc<Session>, params: TrackParams) -> Answer<Tracking> {
    // Without a lasting connection nobody could ask for it.
    session.outbox()?;
    let capacity = params.capacity.unwrap_or(1000).min(MAX_TRACKED);
    let track = session.add_track(capacity)?;
    Ok(Tracking { track })
}

fn fs_changes(session: &Arc<Session>, params: ChangesParams) -> Answer<Changes> {
    let log = session.tracks.lock().get(&params.track).cloned();
    let log = log.ok_or_else(|| RpcError::params(format!("no record {}", params.track)))?;
    let _counted = session.begin_exec()?;
    let first = log.next_timeout(Duration::from_millis(params.timeout).min(LONGEST_POLL));
    let rest = std::iter::from_fn(|| log.try_next());
    let all = first.into_iter().chain(rest).take(MAX_CHANGES);
    let tracked = |change: tuxlet::FileChange| TrackedChange {
        kind: match change.kind {
            FileChangeKind::Created => "created",
            FileChangeKind::Written => "written",
            FileChangeKind::Truncated => "truncated",
            FileChangeKind::Removed => "removed",
            FileChangeKind::Renamed => "renamed",
            FileChangeKind::Exchanged => "exchanged",
        },
        path: change.path,
        to: change.to,
        directory: change.directory,
        pid: change.pid,
        context: change.context,
    };
    Ok(Changes {
        changes: all.map(tracked).collect(),
        dropped: log.take_dropped(),
    })
}

fn fs_untrack(session: &Arc<Session>, params: UntrackParams) -> Answer<bool> {
    let log = session.tracks.lock().remove(&params.track);
    Ok(log.is_some())
}

fn task_list(session: &Arc<Session>, _: Nothing) -> Answer<Vec<Task>> {
    let all = session.machine.processes().into_iter();
    Ok(all
        .map(|p| Task {
            pid: p.pid,
            comm: p.name,
        })
        .collect())
}

fn task_info(session: &Arc<Session>, params: PidParams) -> Answer<TaskInfo> {
    let mut all = session.machine.processes().into_iter();
    let found = all.find(|p| p.pid == params.pid);
    let found =
        found.ok_or_else(|| RpcError::params(format!("no process has the id {}", params.pid)))?;
    Ok(TaskInfo {
        pid: found.pid,
        tgid: found.pid,
        uid: found.uid,
        comm: found.name,
        zombie: found.zombie,
        parent_pid: found.parent,
    })
}

fn guest_exec(session: &Arc<Session>, params: ExecParams) -> Answer<ExecResult> {
    let _counted = session.begin_exec()?;
    let input = bytes(params.stdin, params.stdin_base64)?.unwrap_or_default();
    let timeout = params
        .timeout
        .map_or(DEFAULT_TIMEOUT, Duration::from_millis);
    let limits = tuxlet::Limits {
        timeout: Some(timeout.min(LONGEST)),
        bytes: session.limits.output,
        merged: !params.separate,
    };
    let output = session
        .machine
        .output(params.command.build()?, &input, &limits)?;
    let text = |bytes: &[u8]| {
        if params.base64 {
            base64(bytes)
        } else {
            String::from_utf8_lossy(bytes).into_owned()
        }
    };
    let stdout = text(&output.stdout);
    let (merged, stdout, stderr) = if params.separate {
        (None, Some(stdout), Some(text(&output.stderr)))
    } else {
        (Some(stdout), None, None)
    };
    Ok(ExecResult {
        pid: output.pid,
        exit_code: output.status.code(),
        signal: output.status.signal(),
        timed_out: output.timed_out,
        truncated: output.truncated,
        duration: u64::try_from(output.duration.as_millis()).unwrap_or(u64::MAX),
        output: merged,
        stdout,
        stderr,
    })
}

fn guest_kill(session: &Arc<Session>, params: KillParams) -> Answer<Killed> {
    let signal = params.signal.unwrap_or(9);
    let found = match session.machine.kill(params.pid, signal) {
        Ok(()) => true,
        Err(error) if error.errno_name() == Some("ESRCH") => false,
        Err(error) => return Err(error.into()),
    };
    Ok(Killed {
        pid: params.pid,
        found,
        signal,
    })
}

fn guest_write(session: &Arc<Session>, params: InputParams) -> Answer<()> {
    let data = bytes(params.data, params.data_base64)?.unwrap_or_default();
    session.processes.input(params.process, data, params.end)
}

fn guest_resize(session: &Arc<Session>, params: ResizeParams) -> Answer<()> {
    let (rows, cols) = (params.rows, params.cols);
    session.processes.resize(params.process, rows, cols)
}
