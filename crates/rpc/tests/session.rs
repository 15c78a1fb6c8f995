//! The methods, without a transport.

use serde_json::{Value, json};
use std::{
    sync::{Arc, mpsc},
    time::Duration,
};
use tuxlet::{Machine, Root};
use tuxlet_rpc::{Limits, Outbox, Session};

const PATIENCE: Duration = Duration::from_secs(60);

#[derive(Debug)]
struct Queue(mpsc::Sender<String>);

impl Outbox for Queue {
    fn send(&self, message: String) -> bool {
        self.0.send(message).is_ok()
    }

    fn try_send(&self, message: String) -> bool {
        self.send(message)
    }
}

fn machine() -> Machine {
    let machine = Machine::builder().root(Root::Memory).build().unwrap();
    let programs = tuxlet_test_support::programs(env!("CARGO_TARGET_TMPDIR"));
    let shell = std::fs::read(programs.join("sh")).unwrap();
    machine.write_file("/bin/sh", 0o755, &shell).unwrap();
    machine
}

/// A client of a machine.
struct Client {
    session: Arc<Session>,
    messages: mpsc::Receiver<String>,
}

impl Client {
    fn new(limits: Limits) -> Self {
        let (sender, messages) = mpsc::channel();
        let session = Session::new(machine(), limits, Arc::new(Queue(sender)));
        Self { session, messages }
    }

    fn next(&self) -> Value {
        let text = self.messages.recv_timeout(PATIENCE).expect("a message");
        serde_json::from_str(&text).unwrap()
    }

    /// The reply to a request; nothing else may come before it.
    fn ask(&self, method: &str, params: Value) -> Value {
        let request = json!({ "jsonrpc": "2.0", "id": 7, "method": method, "params": params });
        self.session.handle(&request.to_string());
        let reply = self.next();
        assert_eq!(reply["id"], 7, "{reply}");
        reply
    }

    fn result(&self, method: &str, params: Value) -> Value {
        let mut reply = self.ask(method, params);
        assert!(reply.get("error").is_none(), "{method}: {reply}");
        reply["result"].take()
    }

    fn code(&self, method: &str, params: Value) -> i64 {
        let reply = self.ask(method, params);
        reply["error"]["code"]
            .as_i64()
            .unwrap_or_else(|| panic!("{reply}"))
    }
}

#[test]
fn files() {
    let client = Client::new(Limits::default());
    let written = client.result("fs.write", json!({ "path": "/srv/a/b", "data": "héllo\n" }));
    assert_eq!(written, json!({ "written": 7 }));
    let stat = client.result("fs.stat", json!({ "path": "/srv/a/b" }));
    assert_eq!(
        (
            &stat["size"],
            &stat["mode"],
            &stat["type"],
            &stat["uid"],
            &stat["nlink"]
        ),
        (
            &json!(7),
            &json!("0644"),
            &json!("file"),
            &json!(0),
            &json!(1)
        )
    );
    let read = client.result("fs.read", json!({ "path": "/srv/a/b", "offset": 3 }));
    assert_eq!(
        read,
        json!({ "encoding": "base64", "size": 4, "data": "bGxvCg==" })
    );
    let entries = client.result("fs.readdir", json!({ "path": "/srv/a" }));
    assert_eq!(
        (&entries[0]["name"], &entries[0]["type"]),
        (&json!("b"), &json!("file"))
    );
    assert_eq!(entries.as_array().unwrap().len(), 1);
    let dump = client.result("fs.hexdump", json!({ "path": "/srv/a/b", "length": 3 }));
    assert_eq!(
        dump[0],
        "00000000  68 c3 a9                                         |h..|"
    );
    assert_eq!(
        client.result("fs.exists", json!({ "path": "/srv/a/b" })),
        true
    );
    assert_eq!(
        client.result("fs.exists", json!({ "path": "/srv/a/c" })),
        false
    );
    client.result("fs.mkdir", json!({ "path": "/srv/d" }));
    client.result("fs.remove", json!({ "path": "/srv/d" }));
    let zeros = json!({ "path": "/z", "data_base64": "AAD/", "mode": 0o755 });
    client.result("fs.write", zeros);
    assert_eq!(
        client.result("fs.lstat", json!({ "path": "/z" }))["mode"],
        "0755"
    );

    let reply = client.ask("fs.stat", json!({ "path": "/none" }));
    assert_eq!(reply["error"]["code"], -1);
    assert_eq!(reply["error"]["data"]["errno"], "ENOENT");
    assert_eq!(client.code("fs.write", json!({ "path": "/x" })), -32602);
    assert_eq!(
        client.code("fs.write", json!({ "path": "/x", "data_base64": "!" })),
        -32602
    );
    assert_eq!(client.code("fs.stat", json!({ "file": "/x" })), -32602);
    assert_eq!(client.code("fs.stat", json!(["/x"])), -32602);
    assert_eq!(client.code("fs.none", json!({})), -32601);
}

#[test]
fn commands() {
    let client = Client::new(Limits {
        output: 1000,
        ..Limits::default()
    });
    let exec = |params| client.result("guest.exec", params);
    let result = exec(json!({ "command": "echo a; warn b; exit 3" }));
    assert_eq!(
        (&result["output"], &result["exit_code"]),
        (&json!("a\nb\n"), &json!(3))
    );
    assert_eq!(
        (&result["timed_out"], &result["truncated"]),
        (&json!(false), &json!(false))
    );
    let result = exec(json!({ "cmd": "echo a; warn b", "separate": true }));
    assert_eq!(
        (&result["stdout"], &result["stderr"]),
        (&json!("a\n"), &json!("b\n"))
    );
    let result = exec(json!({ "argv": ["/bin/sh", "-c", "cat"], "stdin": "in" }));
    assert_eq!(result["output"], "in");
    let where_and_who =
        json!({ "command": "pwd; id; env X", "cwd": "/bin", "user": "7:8", "env": { "X": "y" } });
    assert_eq!(exec(where_and_who)["output"], "/bin\n7 8\ny\n");
    let result = exec(json!({ "command": "flood 5000; hang", "timeout": 100 }));
    assert_eq!(
        (&result["timed_out"], &result["truncated"]),
        (&json!(true), &json!(true))
    );
    assert_eq!(
        (&result["signal"], &result["exit_code"]),
        (&json!(9), &json!(137))
    );
    assert_eq!(result["output"].as_str().unwrap().len(), 1000);

    for wrong in [
        json!({}),
        json!({ "argv": [] }),
        json!({ "command": "echo", "argv": ["x"] }),
        json!({ "command": "echo", "env": { "A=B": "x" } }),
        json!({ "command": "echo", "stdin": "a", "stdin_base64": "YQ==" }),
    ] {
        assert_eq!(client.code("guest.exec", wrong), -32602);
    }
    let reply = client.ask("guest.exec", json!({ "argv": ["/none"] }));
    assert_eq!(reply["error"]["data"]["errno"], "ENOENT");
}

#[test]
fn streams_input_and_signals() {
    let client = Client::new(Limits::default());
    let spawned = client.result(
        "guest.spawn",
        json!({ "command": "lines; warn end", "stdin": true }),
    );
    let process = spawned["process"].clone();
    // As notifications: a reply may come before what the command prints, or after it.
    let write = |data: &str, end: bool| {
        let params = json!({ "process": process, "data": data, "end": end });
        let request = json!({ "method": "guest.write", "params": params });
        client.session.handle(&request.to_string());
    };
    write("ä", false);
    write("\n", false);
    let output = client.next();
    assert_eq!(output["method"], "guest.output");
    let expected = json!({ "process": process, "stream": "stdout", "data": "Ä\n" });
    assert_eq!(output["params"], expected);
    assert_eq!(
        client.code(
            "guest.resize",
            json!({ "process": process, "rows": 1, "cols": 1 })
        ),
        -32602
    );
    write("", true);
    // How output is cut into messages is not promised.
    let mut errors = String::new();
    let exit = loop {
        let message = client.next();
        if message["method"] != "guest.output" {
            break message;
        }
        assert_eq!(message["params"]["stream"], "stderr");
        errors += message["params"]["data"].as_str().unwrap();
    };
    assert_eq!(errors, "end\n");
    assert_eq!(exit["method"], "guest.exit");
    assert_eq!(
        exit["params"],
        json!({ "process": process, "exit_code": 0 })
    );
    assert_eq!(
        client.code("guest.write", json!({ "process": process })),
        -32602
    );

    let spawned = client.result("guest.spawn", json!({ "command": "hang" }));
    let pid = &spawned["pid"];
    let info = client.result("task.info", json!({ "pid": pid }));
    assert_eq!((&info["comm"], &info["uid"]), (&json!("sh"), &json!(0)));
    let list = client.result("task.list", json!({}));
    assert!(list.as_array().unwrap().iter().any(|t| t["pid"] == *pid));
    let request =
        json!({ "id": 1, "method": "guest.kill", "params": { "pid": pid, "signal": 10 } });
    client.session.handle(&request.to_string());
    // The reply and the news of the end may come in either order.
    let both = [client.next(), client.next()];
    let exit = both.iter().find(|m| m["method"] == "guest.exit").unwrap();
    assert_eq!(
        (&exit["params"]["signal"], &exit["params"]["exit_code"]),
        (&json!(10), &json!(138))
    );
    let killed = client.result("guest.kill", json!({ "pid": 99_999 }));
    assert_eq!(
        killed,
        json!({ "pid": 99_999, "found": false, "signal": 9 })
    );
    assert_eq!(
        client.code("guest.kill", json!({ "pid": 1, "signal": 99 })),
        -1
    );
}

#[test]
fn terminals() {
    let client = Client::new(Limits::default());
    let spawn = json!({ "command": "wait-byte; size", "terminal": { "rows": 30, "cols": 100 } });
    let spawned = client.result("guest.spawn", spawn);
    let process = spawned["process"].clone();
    client.result(
        "guest.resize",
        json!({ "process": process, "rows": 31, "cols": 101 }),
    );
    let write =
        json!({ "id": 2, "method": "guest.write", "params": { "process": process, "data": "\n" } });
    client.session.handle(&write.to_string());
    let mut shown = String::new();
    loop {
        let message = client.next();
        match message["method"].as_str() {
            Some("guest.output") => {
                assert_eq!(message["params"]["stream"], "terminal");
                shown += message["params"]["data"].as_str().unwrap();
            }
            Some("guest.exit") => break,
            _ => assert_eq!(message["id"], 2),
        }
    }
    assert_eq!(shown, "\r\n0 31 101\r\n");
}

#[test]
fn watches() {
    let client = Client::new(Limits::default());
    client.result("fs.mkdir", json!({ "path": "/srv" }));
    let watch = client.result("fs.watch", json!({ "path": "/srv" }))["watch"].clone();
    let write = json!({ "method": "fs.write", "params": { "path": "/srv/a", "data": "x" } });
    client.session.handle(&write.to_string());
    for kind in ["created", "modified", "closed"] {
        let change = client.next();
        assert_eq!(change["method"], "fs.change");
        let expected =
            json!({ "watch": watch, "kind": kind, "name": "a", "directory": false, "cookie": 0 });
        assert_eq!(change["params"], expected);
    }
    assert_eq!(client.result("fs.unwatch", json!({ "watch": watch })), true);
    assert_eq!(
        client.result("fs.unwatch", json!({ "watch": watch })),
        false
    );
    client.session.handle(&write.to_string());
    assert_eq!(
        client.result("ping", json!({})),
        "pong",
        "and nothing before it"
    );
}

#[test]
fn records_of_changes() {
    let client = Client::new(Limits::default());
    let track = client.result("fs.track", json!({ "capacity": 3 }))["track"].clone();
    client.result(
        "guest.exec",
        json!({ "command": "write /a x; mv /a /b; rm /b", "context": 5 }),
    );
    let changes =
        |timeout| client.result("fs.changes", json!({ "track": track, "timeout": timeout }));
    let told = changes(0);
    assert_eq!(told["dropped"], 1, "{told}");
    let all = told["changes"].as_array().unwrap();
    let kinds: Vec<_> = all.iter().map(|c| c["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["written", "renamed", "removed"]);
    assert_eq!(
        (&all[1]["path"], &all[1]["to"]),
        (&json!("/a"), &json!("/b"))
    );
    assert!(all.iter().all(|c| c["context"] == 5 && c["pid"] != 0));
    assert_eq!(changes(1), json!({ "changes": [], "dropped": 0 }));
    assert_eq!(client.result("fs.untrack", json!({ "track": track })), true);
    assert_eq!(
        client.result("fs.untrack", json!({ "track": track })),
        false
    );
    assert_eq!(client.code("fs.changes", json!({ "track": track })), -32602);
}

#[test]
fn suspended_machines_start_nothing() {
    let client = Client::new(Limits::default());
    client.result("machine.suspend", json!({}));
    let refused = client.ask("guest.exec", json!({ "command": "echo hi" }));
    assert_eq!(refused["error"]["message"], "the machine is suspended");
    client.result("machine.resume", json!({}));
    let output = client.result("guest.exec", json!({ "command": "echo hi" }));
    assert_eq!(output["output"], "hi\n");
}

#[test]
fn limits() {
    let client = Client::new(Limits {
        running: 1,
        rate: 5,
        ..Limits::default()
    });
    client.result("guest.spawn", json!({ "command": "hang" }));
    assert_eq!(
        client.code("guest.spawn", json!({ "command": "hang" })),
        -32000
    );
    let busy = (0..100).filter(|_| client.ask("ping", Value::Null)["error"]["code"] == -32000);
    assert!(busy.count() > 50);
    // Batches count by their requests.
    let batch = Value::Array(vec![json!({ "id": 1, "method": "ping" }); 50]);
    client.session.handle(&batch.to_string());
    let replies = client.next();
    let refused = replies.as_array().unwrap().iter();
    assert!(refused.filter(|r| r["error"]["code"] == -32000).count() > 30);
}

#[test]
fn batches_and_notifications() {
    let client = Client::new(Limits::default());
    let batch = json!([
        { "jsonrpc": "2.0", "id": "a", "method": "ping" },
        { "jsonrpc": "2.0", "method": "ping" },
        1,
        { "jsonrpc": "2.0", "id": "b", "method": "guest.exec", "params": { "command": "echo x" } },
    ]);
    client.session.handle(&batch.to_string());
    let replies = client.next();
    assert_eq!(replies.as_array().unwrap().len(), 3, "{replies}");
    assert_eq!(replies[0]["result"], "pong");
    assert_eq!(replies[1]["error"]["code"], -32600);
    assert_eq!(replies[2]["result"]["output"], "x\n");
    client
        .session
        .handle(&json!([{ "method": "ping" }]).to_string());
    assert_eq!(client.result("ping", json!({})), "pong");
}

#[test]
fn a_client_that_goes_takes_its_processes_along() {
    let machine = machine();
    let (sender, messages) = mpsc::channel();
    let session = Session::new(machine.clone(), Limits::default(), Arc::new(Queue(sender)));
    let spawn = json!({ "id": 1, "method": "guest.spawn", "params": { "command": "hang" } });
    session.handle(&spawn.to_string());
    messages.recv_timeout(PATIENCE).unwrap();
    assert_eq!(machine.stats().processes, 1);
    session.close();
    let exit: Value = serde_json::from_str(&messages.recv_timeout(PATIENCE).unwrap()).unwrap();
    assert_eq!(exit["params"]["signal"], 9);
}

#[test]
fn requests_alone_get_no_streams() {
    let session = Session::without_notifications(machine(), Limits::default());
    let ask = |method: &str, params: Value| {
        let request = json!({ "id": 1, "method": method, "params": params });
        let reply = session.answer(&request.to_string()).unwrap();
        serde_json::from_str::<Value>(&reply).unwrap()
    };
    assert_eq!(
        ask("guest.exec", json!({ "command": "echo x" }))["result"]["output"],
        "x\n"
    );
    assert_eq!(
        ask("guest.spawn", json!({ "command": "hang" }))["error"]["code"],
        -32602
    );
    assert_eq!(
        ask("fs.watch", json!({ "path": "/" }))["error"]["code"],
        -32602
    );
    assert_eq!(session.answer(r#"{"method":"ping"}"#), None);
    let document = ask("rpc.discover", Value::Null);
    let methods = document["result"]["methods"].as_array().unwrap();
    assert!(methods.iter().any(|m| m["name"] == "guest.spawn"));
}
