//! The Model Context Protocol, as an agent speaks it.

use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Write, pipe};
use tuxlet::{Machine, Root};
use tuxlet_rpc::{lines, mcp};

#[test]
fn an_agent_runs_reads_writes_and_lists() {
    let machine = Machine::builder().root(Root::Memory).build().unwrap();
    let programs = tuxlet_test_support::programs(env!("CARGO_TARGET_TMPDIR"));
    let shell = std::fs::read(programs.join("sh")).unwrap();
    machine.write_file("/bin/sh", 0o755, &shell).unwrap();
    let (their_input, mut input) = pipe().unwrap();
    let (output, their_output) = pipe().unwrap();
    let server = std::thread::spawn(move || {
        lines::serve(
            BufReader::new(their_input),
            their_output,
            1 << 20,
            |outbox| {
                let server = mcp::Server::new(machine, "test", outbox);
                move |line: &str| server.handle(line)
            },
        )
    });
    let mut output = BufReader::new(output);
    let mut ask = |method: &str, params: Value| {
        let request = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params });
        writeln!(input, "{request}").unwrap();
        let mut line = String::new();
        output.read_line(&mut line).unwrap();
        serde_json::from_str::<Value>(&line).unwrap()
    };
    let hello = ask(
        "initialize",
        json!({ "protocolVersion": "2025-03-26", "capabilities": {} }),
    );
    assert_eq!(hello["result"]["protocolVersion"], "2025-03-26");
    assert!(hello["result"]["capabilities"]["tools"].is_object());
    let newer = ask("initialize", json!({ "protocolVersion": "2999-01-01" }));
    assert_eq!(newer["result"]["protocolVersion"], "2025-06-18");
    let tools = ask("tools/list", json!({}));
    let names: Vec<_> = tools["result"]["tools"]
        .as_array()
        .unwrap()
        .iter()
        .map(|t| {
            assert_eq!(t["inputSchema"]["type"], "object");
            t["name"].as_str().unwrap()
        })
        .collect();
    assert_eq!(names, ["run", "read_file", "write_file", "list_directory"]);

    let mut call = |name: &str, arguments: Value| {
        let reply = ask(
            "tools/call",
            json!({ "name": name, "arguments": arguments }),
        );
        let result = &reply["result"];
        let text = result["content"][0]["text"].as_str();
        let text = text.unwrap_or_else(|| panic!("{reply}")).to_owned();
        (text, result["isError"].as_bool().unwrap())
    };
    let ok = |text: &str| (text.to_owned(), false);
    let failed = |text: &str| (text.to_owned(), true);
    assert_eq!(
        call("run", json!({ "command": "echo a; warn b" })),
        ok("a\nb\n")
    );
    assert_eq!(
        call("run", json!({ "command": "cat", "stdin": "x" })),
        ok("x")
    );
    let status = call("run", json!({ "command": "echo a; exit 3" }));
    assert_eq!(status, failed("a\n[exit status 3]\n"));
    let hung = call("run", json!({ "command": "hang", "timeout": 0 }));
    assert_eq!(hung, failed("[killed after 0 seconds]\n"));
    let write = json!({ "path": "/srv/x", "content": "text", "executable": true });
    assert_eq!(call("write_file", write), ok("4 bytes written to /srv/x"));
    assert_eq!(
        call("read_file", json!({ "path": "/srv/x", "offset": 1 })),
        ok("ext")
    );
    let bytes = json!({ "path": "/srv/b", "content": "/w==", "encoding": "base64" });
    assert_eq!(call("write_file", bytes), ok("1 bytes written to /srv/b"));
    let read = call("read_file", json!({ "path": "/srv/b" }));
    assert_eq!(read, ok("[not UTF-8; 1 bytes in base64]\n/w=="));
    assert_eq!(
        call("list_directory", json!({ "path": "/srv" })),
        ok("b\nx")
    );
    assert_eq!(
        call("list_directory", json!({ "path": "/" })),
        ok("bin/\ndev/\nproc/\nsrv/\nsys/")
    );
    let (text, is_error) = call("read_file", json!({ "path": "/none" }));
    assert!(is_error && text.contains("/none"), "{text}");

    let code = |reply: Value| reply["error"]["code"].as_i64().unwrap();
    assert_eq!(code(ask("tools/call", json!({ "name": "none" }))), -32602);
    assert_eq!(
        code(ask(
            "tools/call",
            json!({ "name": "run", "arguments": { "cmd": "x" } })
        )),
        -32602
    );
    assert_eq!(code(ask("resources/list", json!({}))), -32601);
    drop(input);
    server.join().unwrap().unwrap();
}
