//! `tuxlet serve` and `tuxlet mcp`, as programs start them.

use serde_json::{Value, json};
use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    os::unix::{fs::PermissionsExt, net::UnixStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

/// A root with a program that stands for `/bin/sh`.
fn rootfs(dir: &Path) -> PathBuf {
    let root = dir.join("root");
    fs::create_dir_all(root.join("bin")).unwrap();
    fs::create_dir_all(root.join("tmp")).unwrap();
    let shell = tuxlet_test_support::programs(env!("CARGO_TARGET_TMPDIR")).join("sh");
    fs::copy(shell, root.join("bin/sh")).unwrap();
    root
}

fn tuxlet(dir: &Path, args: &[&str]) -> Child {
    Command::new(env!("CARGO_BIN_EXE_tuxlet"))
        .args(args)
        .arg("--rootfs")
        .arg(rootfs(dir))
        .env("TUXLET_HOME", dir.join("home"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("tuxlet starts")
}

/// One line there, one line back.
fn ask(to: &mut impl Write, from: &mut impl BufRead, request: &Value) -> Value {
    writeln!(to, "{request}").unwrap();
    let mut line = String::new();
    from.read_line(&mut line).unwrap();
    serde_json::from_str(&line).unwrap_or_else(|e| panic!("{line:?}: {e}"))
}

fn exec() -> Value {
    json!({ "jsonrpc": "2.0", "id": 1, "method": "guest.exec", "params": { "command": "echo x" } })
}

#[test]
fn standard_streams_carry_requests_until_they_end() {
    let dir = tempfile::tempdir().unwrap();
    let mut child = tuxlet(dir.path(), &["serve", "--stdio"]);
    let mut input = child.stdin.take().unwrap();
    let mut output = BufReader::new(child.stdout.take().unwrap());
    assert_eq!(
        ask(&mut input, &mut output, &exec())["result"]["output"],
        "x\n"
    );
    drop(input);
    assert!(child.wait().unwrap().success());

    let mut child = tuxlet(dir.path(), &["mcp"]);
    let mut input = child.stdin.take().unwrap();
    let mut output = BufReader::new(child.stdout.take().unwrap());
    let call = json!({ "id": 1, "method": "tools/call", "params": { "name": "run", "arguments": { "command": "echo x" } } });
    let reply = ask(&mut input, &mut output, &call);
    assert_eq!(reply["result"]["content"][0]["text"], "x\n");
    drop(input);
    assert!(child.wait().unwrap().success());
}

#[test]
fn sockets_are_private() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("socket");
    let mut child = tuxlet(dir.path(), &["serve", "--socket", path.to_str().unwrap()]);
    let mut errors = BufReader::new(child.stderr.take().unwrap());
    let mut line = String::new();
    errors.read_line(&mut line).unwrap();
    assert!(line.starts_with("Listening on"), "{line}");
    let mode = fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    for _ in 0..2 {
        let mut stream = UnixStream::connect(&path).unwrap();
        let mut output = BufReader::new(stream.try_clone().unwrap());
        assert_eq!(
            ask(&mut stream, &mut output, &exec())["result"]["output"],
            "x\n"
        );
    }
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn http_asks_for_the_token() {
    let dir = tempfile::tempdir().unwrap();
    let token = dir.path().join("token");
    fs::write(&token, "0123456789abcdef\n").unwrap();
    let mut child = tuxlet(
        dir.path(),
        &["serve", "--token-file", token.to_str().unwrap()],
    );
    let mut errors = BufReader::new(child.stderr.take().unwrap());
    let mut line = String::new();
    errors.read_line(&mut line).unwrap();
    let address = line
        .split("http://")
        .nth(1)
        .and_then(|rest| rest.split('/').next());
    let address = address.unwrap_or_else(|| panic!("{line}")).to_owned();
    let post = |token: &str| {
        let body = exec().to_string();
        let mut stream = TcpStream::connect(&address).unwrap();
        write!(
            stream,
            "POST / HTTP/1.1\r\nHost: {address}\r\nContent-Type: application/json\r\nAuthorization: Bearer {token}\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        )
        .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    };
    assert!(post("0123456789abcdef").contains(r#""output":"x\n""#));
    let refused = post("0123456789abcdee");
    assert!(
        refused.starts_with("HTTP/1.1 401") && !refused.contains("output"),
        "{refused}"
    );
    child.kill().unwrap();
    child.wait().unwrap();

    fs::write(&token, "short").unwrap();
    let child = tuxlet(
        dir.path(),
        &["serve", "--token-file", token.to_str().unwrap()],
    );
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(125));
    assert!(String::from_utf8_lossy(&output.stderr).contains("at least 16"));
}

/// A server that ends with the test.
struct Served(Child);

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn example(path: &str) -> PathBuf {
    tuxlet_test_support::root().join("examples").join(path)
}

#[test]
fn states_of_machines_are_kept_and_copied_while_they_run() {
    let dir = tempfile::tempdir().unwrap();
    let root = rootfs(dir.path());
    let archive = dir.path().join("root.tar");
    let mut tar = tar::Builder::new(fs::File::create(&archive).unwrap());
    tar.append_dir_all(".", root).unwrap();
    tar.finish().unwrap();
    let tuxlet = |args: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tuxlet"));
        command
            .args(args)
            .env("TUXLET_HOME", dir.path().join("home"));
        command
    };
    let made = tuxlet(&["import", "-q", archive.to_str().unwrap(), "small"])
        .output()
        .unwrap();
    assert!(made.status.success(), "{made:?}");
    let serve = |args: &[&str]| {
        let mut command = tuxlet(&["serve", "--stdio"]);
        let mut child = command
            .args(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (input, output) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        (child, input, BufReader::new(output))
    };
    let (mut child, mut input, mut output) = serve(&["--name", "m", "small"]);
    let mut call = |method: &str, params: Value| {
        let request = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params });
        let reply = ask(&mut input, &mut output, &request);
        match reply.get("error") {
            Some(error) => error["message"].clone(),
            None => reply["result"].clone(),
        }
    };
    let images = call("image.list", json!({}));
    assert_eq!(images[0]["name"], "small", "{images}");
    let write = |text: &str| json!({ "path": "/srv/state", "data": text });
    // Before anything has been written.
    assert_eq!(
        call("snapshot.create", json!({ "name": "empty" })),
        Value::Null
    );
    call("fs.write", write("first"));
    // A process goes on over it.
    let started = call("guest.spawn", json!({ "command": "hang" }));
    assert_eq!(
        call("snapshot.create", json!({ "name": "one" })),
        Value::Null
    );
    let alive = call("guest.kill", json!({ "pid": started["pid"], "signal": 0 }));
    assert_eq!(alive["found"], true);
    call("fs.write", write("second"));
    assert_eq!(
        call("machine.clone", json!({ "name": "copy" })),
        Value::Null
    );
    call("fs.write", write("third"));
    assert_eq!(
        call("machine.clone", json!({ "name": "old", "machine": "none" })),
        "no machine named \"none\""
    );
    let taken = call("snapshot.list", json!({}));
    let names: Vec<_> = taken
        .as_array()
        .unwrap()
        .iter()
        .map(|s| s["name"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["empty", "one"]);
    let machines = call("machine.list", json!({}));
    let shown: Vec<_> = machines
        .as_array()
        .unwrap()
        .iter()
        .map(|m| {
            (
                m["name"].as_str().unwrap(),
                m["running"] == true,
                m["served"] == true,
            )
        })
        .collect();
    assert_eq!(shown, [("copy", false, false), ("m", true, true)]);
    let refused = call("snapshot.restore", json!({ "name": "one" }));
    assert!(refused.as_str().unwrap().contains("running"), "{refused}");
    drop(input);
    assert!(child.wait().unwrap().success());

    // The copy is what the machine was; what it keeps is told from a machine beside it.
    let (mut child, mut input, mut output) = serve(&["copy"]);
    let mut call = |method: &str, params: Value| {
        let request = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params });
        ask(&mut input, &mut output, &request)["result"].clone()
    };
    let read = call("guest.exec", json!({ "command": "read /srv/state" }));
    assert_eq!(read["output"], "second\n");
    for name in ["one", "empty"] {
        let back = call("snapshot.restore", json!({ "name": name, "machine": "m" }));
        assert_eq!(back, Value::Null);
        if name == "one" {
            assert_eq!(
                call("machine.clone", json!({ "name": "n", "machine": "m" })),
                Value::Null
            );
        }
    }
    assert_eq!(
        call("snapshot.remove", json!({ "name": "one", "machine": "m" })),
        Value::Null
    );
    drop(input);
    assert!(child.wait().unwrap().success());
    for (machine, text) in [("n", "first\n"), ("m", "/srv/state: ENOENT\n")] {
        let (mut child, mut input, mut output) = serve(&[machine]);
        let exec =
            json!({ "id": 1, "method": "guest.exec", "params": { "command": "read /srv/state" } });
        assert_eq!(
            ask(&mut input, &mut output, &exec)["result"]["output"],
            text,
            "{machine}"
        );
        drop(input);
        assert!(child.wait().unwrap().success());
    }
}

#[test]
fn the_python_client_works() {
    if Command::new("python3").arg("--version").output().is_err() {
        eprintln!("SKIPPED: there is no python3");
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let output = Command::new("python3")
        .args(["-B", "-X", "utf8"])
        .arg(example("python/tuxlet.py"))
        .args(["--tuxlet", env!("CARGO_BIN_EXE_tuxlet"), "--rootfs"])
        .arg(rootfs(dir.path()))
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    assert_eq!(
        String::from_utf8_lossy(&output.stdout),
        "file: grüße\nexec: 0 grüße\nstdout: streamed\nexit code: 0\nchange: created new\nerror: ENOENT\nstats: True\n"
    );
}

#[test]
fn the_typescript_client_works() {
    let node = std::env::var("TUXLET_NODE").unwrap_or_else(|_| "node".to_owned());
    let strip = "--experimental-strip-types";
    let able = Command::new(&node)
        .args([strip, "-e", "new WebSocket"])
        .output();
    let able = able.is_ok_and(|o| !String::from_utf8_lossy(&o.stderr).contains("bad option"));
    if !able {
        eprintln!(
            "SKIPPED: there is no node that runs TypeScript (22.6 or newer, in PATH or TUXLET_NODE)"
        );
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let token = dir.path().join("token");
    fs::write(&token, "0123456789abcdef\n").unwrap();
    let mut server = Served(tuxlet(
        dir.path(),
        &["serve", "--token-file", token.to_str().unwrap()],
    ));
    let mut line = String::new();
    let mut errors = BufReader::new(server.0.stderr.take().unwrap());
    errors.read_line(&mut line).unwrap();
    let address = line
        .split("http://")
        .nth(1)
        .and_then(|rest| rest.split('/').next());
    let output = Command::new(&node)
        .args([strip, "--no-warnings"])
        .arg(example("typescript/tuxlet.ts"))
        .args([
            address.unwrap_or_else(|| panic!("{line}")),
            "0123456789abcdef",
        ])
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    assert_eq!(
        String::from_utf8_lossy(&output.stdout),
        "exec: 0 grüße\nstdout: streamed\nexit code: 0\nerror: ENOENT\n"
    );
}
