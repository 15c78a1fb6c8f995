//! HTTP and WebSocket: who is let in, and that messages arrive.

use serde_json::{Value, json};
use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    thread,
};
use tungstenite::{Message, client::IntoClientRequest};
use tuxlet::{Machine, Root};
use tuxlet_rpc::{
    Limits, Token,
    http::{self, Config},
};

const TOKEN: &str = "0123456789abcdef0123";

fn server() -> SocketAddr {
    let machine = Machine::builder().root(Root::Memory).build().unwrap();
    let programs = tuxlet_test_support::programs(env!("CARGO_TARGET_TMPDIR"));
    let shell = std::fs::read(programs.join("sh")).unwrap();
    machine.write_file("/bin/sh", 0o755, &shell).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let config = Config {
        token: Token::new(TOKEN).unwrap(),
        origins: vec!["https://good.example".to_owned()],
        limits: Limits {
            message: 1 << 20,
            ..Limits::default()
        },
    };
    // Serves until the test's process ends.
    thread::spawn(move || http::serve(listener, machine, config));
    address
}

/// One request as it is on the wire; the status and the whole answer.
fn raw(address: SocketAddr, head: &str, body: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(address).unwrap();
    let length = body.len();
    let request = format!("{head}Content-Length: {length}\r\nConnection: close\r\n\r\n{body}");
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let status = answer.split(' ').nth(1).unwrap().parse().unwrap();
    (status, answer)
}

const EXEC: &str = r#"{"id":1,"method":"guest.exec","params":{"command":"echo owned"}}"#;

#[test]
fn only_who_has_the_token_and_no_foreign_page_gets_in() {
    let address = server();
    let head = |lines: &str| {
        format!("POST / HTTP/1.1\r\nHost: {address}\r\nContent-Type: application/json\r\n{lines}")
    };
    let good = format!("Authorization: Bearer {TOKEN}\r\n");

    let (status, answer) = raw(address, &head(&good), EXEC);
    assert_eq!(status, 200, "{answer}");
    assert!(answer.contains(r#""output":"owned\n""#), "{answer}");
    assert!(
        !answer.to_lowercase().contains("access-control"),
        "{answer}"
    );
    let allowed = format!("{good}Origin: https://good.example\r\n");
    assert_eq!(raw(address, &head(&allowed), EXEC).0, 200);
    let (status, answer) = raw(address, &head(&good), r#"{"method":"ping"}"#);
    assert_eq!(status, 204, "{answer}");

    let refused = [
        // No token, a wrong one, half of it.
        (401, head("")),
        (401, head("Authorization: Bearer 0123456789abcdef0124\r\n")),
        (401, head("Authorization: Bearer 0123456789\r\n")),
        (401, head(&format!("Authorization: Basic {TOKEN}\r\n"))),
        // A page of somebody else's, even if it knows the token.
        (
            403,
            head(&format!("{good}Origin: https://evil.example\r\n")),
        ),
        (403, head(&format!("{good}Origin: null\r\n"))),
        // A name of somebody else's that leads to this host.
        (
            403,
            format!(
                "POST / HTTP/1.1\r\nHost: evil.example\r\nContent-Type: application/json\r\n{good}"
            ),
        ),
        // What a form can send.
        (
            415,
            format!("POST / HTTP/1.1\r\nHost: {address}\r\nContent-Type: text/plain\r\n{good}"),
        ),
        (405, format!("GET / HTTP/1.1\r\nHost: {address}\r\n{good}")),
        (
            405,
            format!("OPTIONS / HTTP/1.1\r\nHost: {address}\r\nOrigin: https://evil.example\r\n"),
        ),
        (404, format!("GET /x HTTP/1.1\r\nHost: {address}\r\n{good}")),
    ];
    for (expected, head) in refused {
        let (status, answer) = raw(address, &head, EXEC);
        assert_eq!(status, expected, "{head}{answer}");
        assert!(!answer.contains("owned"), "{answer}");
        assert!(
            !answer.to_lowercase().contains("access-control"),
            "{answer}"
        );
    }
    let large = format!(
        r#"{{"id":1,"method":"ping","params":{{"x":"{}"}}}}"#,
        "x".repeat(1 << 20)
    );
    // The server may close before all is sent.
    let mut stream = TcpStream::connect(address).unwrap();
    let head = head(&good);
    let _ = write!(
        stream,
        "{head}Content-Length: {}\r\nConnection: close\r\n\r\n{large}",
        large.len()
    );
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"HTTP/1.1 413");
}

#[test]
fn websockets_stream() {
    let address = server();
    let connect = |lines: &[(&'static str, String)]| {
        let mut request = format!("ws://{address}/ws").into_client_request().unwrap();
        for (name, value) in lines {
            request.headers_mut().insert(*name, value.parse().unwrap());
        }
        let stream = TcpStream::connect(address).unwrap();
        tungstenite::client(request, stream).map_err(|e| e.to_string())
    };
    assert!(connect(&[]).is_err());
    assert!(connect(&[("Sec-WebSocket-Protocol", "tuxlet, bearer.wrong".into())]).is_err());
    let origin = ("Origin", "https://evil.example".to_owned());
    let bearer = ("Authorization", format!("Bearer {TOKEN}"));
    assert!(connect(&[bearer.clone(), origin]).is_err());

    for credentials in [
        bearer,
        ("Sec-WebSocket-Protocol", format!("tuxlet, bearer.{TOKEN}")),
    ] {
        let (mut socket, _) = connect(&[credentials]).unwrap();
        let send = |message: Value, socket: &mut tungstenite::WebSocket<TcpStream>| {
            socket.send(Message::text(message.to_string())).unwrap();
        };
        fn next(socket: &mut tungstenite::WebSocket<TcpStream>) -> Value {
            loop {
                if let Message::Text(text) = socket.read().unwrap() {
                    return serde_json::from_str(&text).unwrap();
                }
            }
        }
        let spawn = json!({ "id": 1, "method": "guest.spawn", "params": { "command": "lines", "stdin": true } });
        send(spawn, &mut socket);
        let process = next(&mut socket)["result"]["process"].clone();
        for line in ["one\n", "two\n"] {
            let write =
                json!({ "method": "guest.write", "params": { "process": process, "data": line } });
            send(write, &mut socket);
            assert_eq!(next(&mut socket)["params"]["data"], line.to_uppercase());
        }
        send(
            json!({ "method": "guest.write", "params": { "process": process, "end": true } }),
            &mut socket,
        );
        assert_eq!(next(&mut socket)["method"], "guest.exit");
        // What it leaves running ends with it.
        send(
            json!({ "id": 2, "method": "guest.spawn", "params": { "command": "hang" } }),
            &mut socket,
        );
        assert!(next(&mut socket)["result"]["pid"].is_number());
        socket.close(None).unwrap();
    }
    // The processes of both connections are gone, in the end.
    let (mut socket, _) = connect(&[("Authorization", format!("Bearer {TOKEN}"))]).unwrap();
    loop {
        let stats = json!({ "id": 3, "method": "machine.stats" });
        socket.send(Message::text(stats.to_string())).unwrap();
        let Message::Text(text) = socket.read().unwrap() else {
            continue;
        };
        let reply: Value = serde_json::from_str(&text).unwrap();
        if reply["result"]["processes"] == 0 {
            break;
        }
        thread::yield_now();
    }
}
