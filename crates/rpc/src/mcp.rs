//! The Model Context Protocol over lines: agents get a Linux to run commands in and to keep files.
//!
//! Revision 2025-06-18 of the protocol, the part that serves tools. Clients that ask for an older revision that has the same form
//! of these messages get that.

use crate::{
    encoding::{base64, from_base64},
    message::{
        INVALID_PARAMS, INVALID_REQUEST, Incoming, METHOD_NOT_FOUND, Request, RpcError, reply,
    },
    session::{LONGEST, Outbox},
};
use schemars::{JsonSchema, schema_for};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Value, json};
use std::{fmt::Write as _, sync::Arc, thread, time::Duration};
use tuxlet::{Command, FileType, Limits, Machine, Output};

/// Revisions that differ in nothing that is used here, newest first.
const REVISIONS: [&str; 3] = ["2025-06-18", "2025-03-26", "2024-11-05"];
/// Bytes of output that a tool gives; models read no more.
const MAX_OUTPUT: usize = 64 << 10;
/// Bytes that `read_file` gives.
const MAX_READ: usize = 256 << 10;
/// Seconds that a command may take if nobody says.
const DEFAULT_TIMEOUT: u64 = 120;

/// A server for one client.
#[derive(Debug)]
pub struct Server {
    machine: Machine,
    /// What the machine runs, for the description that the model reads.
    name: String,
    outbox: Arc<dyn Outbox>,
}

/// Runs a shell command.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Run {
    /// A command line for /bin/sh.
    command: String,
    /// Directory to start in; the user's home if not given.
    cwd: Option<String>,
    /// Text for its standard input.
    stdin: Option<String>,
    /// Seconds until it is killed; 120 if not given, at most 3600.
    timeout: Option<u64>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct ReadFile {
    /// Absolute path.
    path: String,
    /// First byte; 0 if not given.
    #[serde(default)]
    offset: u64,
    /// Bytes; at most 262144, and that if not given.
    length: Option<usize>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct WriteFile {
    /// Absolute path. Directories that are missing are made.
    path: String,
    /// The new contents.
    content: String,
    /// `utf-8`, or `base64` for what is no text.
    encoding: Option<String>,
    /// Whether the file is to be executable.
    #[serde(default)]
    executable: bool,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct ListDirectory {
    /// Absolute path.
    path: String,
}

/// What a tool gives: text for the model, and whether that says that it failed.
type Outcome = Result<String, String>;

impl Server {
    /// A server for a client that is reached by `outbox`.
    #[must_use]
    pub fn new(machine: Machine, name: impl Into<String>, outbox: Arc<dyn Outbox>) -> Arc<Self> {
        Arc::new(Self {
            machine,
            name: name.into(),
            outbox,
        })
    }

    /// Takes a message; replies go to the outbox.
    pub fn handle(self: &Arc<Self>, text: &str) {
        let request = match Incoming::parse(text) {
            Ok(Incoming::One(Ok(request))) => request,
            Err(reply) | Ok(Incoming::One(Err(reply))) => return self.send(&reply),
            Ok(Incoming::Batch(_)) => {
                let error = RpcError::new(INVALID_REQUEST, "batches are not part of the protocol");
                return self.send(&reply(&Value::Null, Err(error)));
            }
        };
        let Some(id) = request.id.clone() else {
            // Notifications: initialized, cancelled. Nothing hangs on them here.
            return;
        };
        if request.method != "tools/call" {
            return self.send(&reply(&id, self.quick(&request)));
        }
        let server = Arc::clone(self);
        let worker = thread::Builder::new().name("mcp-tool".to_owned());
        let own_id = id.clone();
        let started = worker.spawn(move || {
            let result = server.call(request);
            server.send(&reply(&own_id, result));
        });
        if let Err(error) = started {
            let error = RpcError::new(crate::message::BUSY, format!("no thread: {error}"));
            self.send(&reply(&id, Err(error)));
        }
    }

    fn send(&self, message: &Value) {
        // A client that has gone wants no replies.
        let _ = self.outbox.send(message.to_string());
    }

    fn quick(&self, request: &Request) -> Result<Value, RpcError> {
        match request.method.as_str() {
            "initialize" => {
                let asked = request
                    .params
                    .get("protocolVersion")
                    .and_then(Value::as_str);
                let revision = REVISIONS
                    .into_iter()
                    .find(|r| Some(*r) == asked)
                    .unwrap_or(REVISIONS[0]);
                Ok(json!({
                    "protocolVersion": revision,
                    "capabilities": { "tools": {} },
                    "serverInfo": { "name": "tuxlet", "version": env!("CARGO_PKG_VERSION") },
                    "instructions": format!(
                        "A Linux machine of its own ({}, AArch64, you are root). Files persist between calls; nothing of the user's computer is reachable but what has been shared as a volume.",
                        self.name
                    ),
                }))
            }
            "ping" => Ok(json!({})),
            "tools/list" => Ok(json!({ "tools": tools() })),
            other => Err(RpcError::new(
                METHOD_NOT_FOUND,
                format!("no method {other:?}"),
            )),
        }
    }

    fn call(&self, mut request: Request) -> Result<Value, RpcError> {
        let name = request.params.get("name").and_then(Value::as_str);
        let name = name
            .ok_or_else(|| RpcError::params("no tool is named"))?
            .to_owned();
        let arguments = request
            .params
            .get_mut("arguments")
            .map_or_else(|| json!({}), Value::take);
        let outcome = match name.as_str() {
            "run" => self.run(read(arguments)?),
            "read_file" => self.read_file(&read(arguments)?),
            "write_file" => self.write_file(&read(arguments)?),
            "list_directory" => self.list_directory(&read(arguments)?),
            other => return Err(RpcError::params(format!("no tool {other:?}"))),
        };
        let (text, failed) = match outcome {
            Ok(text) => (text, false),
            Err(text) => (text, true),
        };
        Ok(json!({ "content": [{ "type": "text", "text": text }], "isError": failed }))
    }

    fn run(&self, args: Run) -> Outcome {
        let mut command = Command::new("/bin/sh").arg("-c").arg(args.command);
        if let Some(dir) = args.cwd {
            command = command.cwd(dir);
        }
        let seconds = args.timeout.unwrap_or(DEFAULT_TIMEOUT);
        let limits = Limits {
            timeout: Some(Duration::from_secs(seconds).min(LONGEST)),
            bytes: MAX_OUTPUT,
            merged: true,
        };
        let input = args.stdin.unwrap_or_default();
        let output = self
            .machine
            .output(command, input.as_bytes(), &limits)
            .map_err(|e| e.to_string())?;
        let text = describe(&output, seconds);
        if output.status.code() == 0 && !output.timed_out {
            Ok(text)
        } else {
            Err(text)
        }
    }

    fn read_file(&self, args: &ReadFile) -> Outcome {
        let length = args.length.unwrap_or(MAX_READ).min(MAX_READ);
        let data = self
            .machine
            .read_range(&args.path, args.offset, length)
            .map_err(|e| e.to_string())?;
        Ok(match String::from_utf8(data) {
            Ok(text) => text,
            Err(error) => format!(
                "[not UTF-8; {} bytes in base64]\n{}",
                error.as_bytes().len(),
                base64(error.as_bytes())
            ),
        })
    }

    fn write_file(&self, args: &WriteFile) -> Outcome {
        let data = match args.encoding.as_deref() {
            None | Some("utf-8") => args.content.clone().into_bytes(),
            Some("base64") => from_base64(&args.content)?,
            Some(other) => return Err(format!("no encoding {other:?}: utf-8 and base64 are")),
        };
        let mode = if args.executable { 0o755 } else { 0o644 };
        let failed = |e: tuxlet::Error| e.to_string();
        self.machine
            .write_file(&args.path, mode, &data)
            .map_err(failed)?;
        if args.executable {
            // A file that was there keeps its mode otherwise.
            self.machine.set_mode(&args.path, mode).map_err(failed)?;
        }
        Ok(format!("{} bytes written to {}", data.len(), args.path))
    }

    fn list_directory(&self, args: &ListDirectory) -> Outcome {
        let mut entries = self
            .machine
            .read_dir(&args.path)
            .map_err(|e| e.to_string())?;
        entries.sort_by(|a, b| a.name.cmp(&b.name));
        let mark = |kind| match kind {
            FileType::Directory => "/",
            FileType::Symlink => "@",
            FileType::Socket => "=",
            FileType::Fifo => "|",
            _ => "",
        };
        let lines: Vec<String> = entries
            .iter()
            .map(|e| format!("{}{}", e.name, mark(e.kind)))
            .collect();
        Ok(lines.join("\n"))
    }
}

fn read<T: DeserializeOwned>(arguments: Value) -> Result<T, RpcError> {
    serde_json::from_value(arguments).map_err(|e| RpcError::new(INVALID_PARAMS, e.to_string()))
}

/// What a command printed, and how it ended if that was not well.
fn describe(output: &Output, seconds: u64) -> String {
    let mut text = String::from_utf8_lossy(&output.stdout).into_owned();
    let mut note = |line: String| {
        if !text.is_empty() && !text.ends_with('\n') {
            text.push('\n');
        }
        // Writing to a string does not fail.
        let _ = writeln!(text, "[{line}]");
    };
    if output.truncated {
        note(format!(
            "more than {MAX_OUTPUT} bytes: the rest is left out"
        ));
    }
    if output.timed_out {
        note(format!("killed after {seconds} seconds"));
    } else if let Some(signal) = output.status.signal() {
        note(format!("killed by signal {signal}"));
    } else if output.status.code() != 0 {
        note(format!("exit status {}", output.status.code()));
    }
    text
}

fn tools() -> Value {
    let tool = |name: &str, description: &str, schema: schemars::Schema| json!({ "name": name, "description": description, "inputSchema": schema });
    json!([
        tool(
            "run",
            "Runs a shell command and gives what it prints (standard output and errors together) and its exit status if that is not 0.",
            schema_for!(Run)
        ),
        tool(
            "read_file",
            "Reads a file. What is not UTF-8 comes as base64.",
            schema_for!(ReadFile)
        ),
        tool(
            "write_file",
            "Replaces a file's contents, or makes the file.",
            schema_for!(WriteFile)
        ),
        tool(
            "list_directory",
            "Lists a directory, sorted; `/` after a name marks directories, `@` symbolic links.",
            schema_for!(ListDirectory)
        ),
    ])
}
