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
