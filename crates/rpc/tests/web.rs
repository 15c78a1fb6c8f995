//! The terminal in the browser, without a browser: who is let in, terminals that stay, files.

use serde_json::{Value, json};
use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::Arc,
    thread,
};
use tungstenite::{Message, WebSocket, client::IntoClientRequest, stream::MaybeTlsStream};
use tuxlet::{Command, Machine, Root};
use tuxlet_rpc::{
    Limits, Token,
    http::{self, Config},
};

const TOKEN: &str = "0123456789abcdef0123";

/// A server whose terminals run a line of the shell.
fn server(line: &'static str) -> SocketAddr {
    let machine = Machine::builder().root(Root::Memory).build().unwrap();
    let programs = tuxlet_test_support::programs(env!("CARGO_TARGET_TMPDIR"));
    let shell = std::fs::read(programs.join("sh")).unwrap();
    machine.write_file("/bin/sh", 0o755, &shell).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let config = Config {
        token: Token::new(TOKEN).unwrap(),
        origins: Vec::new(),
        limits: Limits {
            running: 3,
            ..Limits::default()
        },
    };
    let make = Arc::new(move || Command::new("/bin/sh").arg("-c").arg(line));
    // Serves until the test's process ends.
    thread::spawn(move || http::serve_web(listener, machine, config, make));
    address
}

/// One request as it is on the wire; the status and the whole answer.
fn raw(address: SocketAddr, line: &str, headers: &str, body: &[u8]) -> (u16, String) {
    let mut stream = TcpStream::connect(address).unwrap();
    let head = format!(
        "{line} HTTP/1.1\r\n{headers}Content-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).unwrap();
    stream.write_all(body).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    let answer = String::from_utf8_lossy(&answer).into_owned();
    let status = answer.split(' ').nth(1).unwrap().parse().unwrap();
    (status, answer)
}

struct Viewer(WebSocket<MaybeTlsStream<TcpStream>>);

impl Viewer {
    fn try_new(address: SocketAddr, token: &str, origin: &str) -> tungstenite::Result<Self> {
        let mut request = format!("ws://{address}/terminal").into_client_request()?;
        let protocols = format!("tuxlet-terminal, bearer.{token}");
        let headers = request.headers_mut();
        headers.insert("Sec-WebSocket-Protocol", protocols.parse().unwrap());
        headers.insert("Origin", origin.parse().unwrap());
        tungstenite::connect(request).map(|(socket, response)| {
            assert_eq!(
                response.headers()["Sec-WebSocket-Protocol"],
                "tuxlet-terminal"
            );
            let MaybeTlsStream::Plain(stream) = socket.get_ref() else {
                panic!("no plain connection");
            };
            stream.set_nodelay(true).unwrap();
            Self(socket)
        })
    }

    fn new(address: SocketAddr) -> Self {
        Self::try_new(address, TOKEN, &format!("http://{address}")).unwrap()
    }

    fn say(&mut self, word: Value) {
        self.0.send(Message::text(word.to_string())).unwrap();
    }

    fn type_in(&mut self, text: &str) {
        self.0
            .send(Message::binary(text.as_bytes().to_vec()))
            .unwrap();
    }

    fn word(&mut self) -> Value {
        match self.0.read().unwrap() {
            Message::Text(text) => serde_json::from_str(&text).unwrap(),
            other => panic!("{other:?}"),
        }
    }

    /// What is shown until that ends with `end`.
    fn read_to(&mut self, end: &str) -> String {
        let mut shown = Vec::new();
        while !shown.ends_with(end.as_bytes()) {
            match self.0.read().unwrap() {
                Message::Binary(bytes) => shown.extend_from_slice(&bytes),
                other => panic!("{other:?} after {:?}", String::from_utf8_lossy(&shown)),
            }
        }
        String::from_utf8(shown).unwrap()
    }
}

#[test]
fn pages_are_for_everybody_and_the_machine_is_not() {
    let address = server("hang");
    let host = format!("Host: {address}\r\n");
    let good = format!("{host}Authorization: Bearer {TOKEN}\r\n");
    for path in [
        "/",
        "/app.js",
        "/app.css",
        "/xterm.js",
        "/xterm.css",
        "/addon-fit.js",
    ] {
        let (status, answer) = raw(address, &format!("GET {path}"), &host, b"");
        assert_eq!(status, 200, "{path}");
        let lower = answer.to_lowercase();
        assert!(lower.contains("content-security-policy: default-src 'none'"));
        assert!(lower.contains("x-content-type-options: nosniff"));
        assert!(!lower.contains("access-control"));
        assert!(!answer.contains(TOKEN));
    }
    // A name of somebody else's that leads here.
    let foreign = "Host: evil.example\r\n".to_owned();
    let bearer = format!("Authorization: Bearer {TOKEN}\r\n");
    let own = format!("Origin: http://{address}\r\n");
    let evil = "Origin: http://evil.example\r\n";
    for (expected, line, headers) in [
        (403, "GET /", foreign.clone()),
        (403, "GET /terminals", format!("{foreign}{bearer}")),
        (401, "GET /terminals", host.clone()),
        (401, "GET /file?path=/bin/sh", host.clone()),
        (401, "PUT /file?path=/x", format!("{host}{own}")),
        (403, "PUT /file?path=/x", format!("{good}{evil}")),
        (403, "GET /terminals", format!("{good}{evil}")),
        (403, "PUT /file?path=/x", format!("{good}Origin: null\r\n")),
        (
            403,
            "PUT /file?path=/x",
            format!("{good}Origin: https://{address}\r\n"),
        ),
        (200, "GET /terminals", good.clone()),
        (200, "GET /terminals", format!("{good}{own}")),
        (404, "GET /file?path=/x", good.clone()),
        (409, "GET /file?path=/bin", good.clone()),
        (409, "PUT /file?path=/bin", good.clone()),
        (405, "DELETE /file?path=/bin/sh", good.clone()),
        (404, "GET /../etc/passwd", host.clone()),
    ] {
        let (status, answer) = raw(address, line, &headers, b"");
        assert_eq!(status, expected, "{line} {headers}{answer}");
        assert!(
            !answer.to_lowercase().contains("access-control"),
            "{answer}"
        );
    }
    for (token, origin) in [
        ("0123456789abcdef0124", format!("http://{address}")),
        (TOKEN, "http://evil.example".to_owned()),
        (TOKEN, "null".to_owned()),
    ] {
        assert!(
            Viewer::try_new(address, token, &origin).is_err(),
            "{origin}"
        );
    }
    let (_, answer) = raw(address, "GET /terminals", &good, b"");
    assert!(answer.ends_with(r#"{"terminals":[]}"#), "{answer}");
}

#[test]
fn files_go_in_and_out() {
    let address = server("hang");
    let good = format!("Host: {address}\r\nAuthorization: Bearer {TOKEN}\r\n");
    let data: Vec<u8> = (0..700_000u32).map(|n| b'a' + (n % 26) as u8).collect();
    let (status, answer) = raw(address, "PUT /file?path=/srv/a%20b%2B", &good, &data);
    assert_eq!(status, 204, "{answer}");
    let (status, answer) = raw(address, "GET /file?path=/srv/a%20b%2B", &good, b"");
    assert_eq!(status, 200);
    assert!(
        answer
            .to_lowercase()
            .contains("content-disposition: attachment")
    );
    // In chunks.
    let text: String = answer.split_once("\r\n\r\n").unwrap().1.to_owned();
    let letters = text.split("\r\n").skip(1).step_by(2).collect::<String>();
    assert_eq!(letters.as_bytes(), data);
}

#[test]
fn terminals_stay_when_viewers_go() {
    let address = server("size;lines");
    let mut first = Viewer::new(address);
    first.say(json!({ "open": { "rows": 30, "cols": 100 } }));
    let hello = first.word();
    assert_eq!(hello, json!({ "terminal": { "id": 1, "offset": 0 } }));
    let shown = first.read_to("0 30 100\r\n");
    first.type_in("héllo\r");
    assert_eq!(first.read_to("HÉLLO\r\n"), "héllo\r\nHÉLLO\r\n");
    // Two look at the same.
    let mut second = Viewer::new(address);
    second.say(json!({ "attach": { "id": 1, "rows": 31, "cols": 101 } }));
    assert_eq!(second.word()["terminal"]["offset"], 0);
    assert_eq!(
        second.read_to("HÉLLO\r\n"),
        format!("{shown}héllo\r\nHÉLLO\r\n")
    );
    drop(first);
    second.type_in("two\r");
    second.read_to("TWO\r\n");
    drop(second);
    // Nobody looks; what has been seen does not come again.
    let (_, answer) = raw(
        address,
        "GET /terminals",
        &format!("Host: {address}\r\nAuthorization: Bearer {TOKEN}\r\n"),
        b"",
    );
    assert!(answer.ends_with(r#"{"terminals":[1]}"#), "{answer}");
    let seen = (shown.len() + "héllo\r\nHÉLLO\r\n".len()) as u64;
    let mut third = Viewer::new(address);
    third.say(json!({ "attach": { "id": 1, "offset": seen, "rows": 30, "cols": 100 } }));
    assert_eq!(third.word()["terminal"]["offset"], seen);
    assert_eq!(third.read_to("TWO\r\n"), "two\r\nTWO\r\n");
    // The end of the input ends the program, and the terminal.
    third.type_in("\u{4}");
    assert_eq!(third.word(), json!({ "ended": { "code": 0 } }));
    let mut late = Viewer::new(address);
    late.say(json!({ "attach": { "id": 1, "rows": 1, "cols": 1 } }));
    assert_eq!(late.word(), json!({ "error": "there is no terminal 1" }));

    let mut wrong = Viewer::new(address);
    wrong.say(json!({ "resize": { "rows": 1, "cols": 1 } }));
    assert!(wrong.word()["error"].is_string());
    // No more than are allowed; a closed one makes room.
    let mut open: Vec<Viewer> = Vec::new();
    for _ in 0..3 {
        let mut viewer = Viewer::new(address);
        viewer.say(json!({ "open": { "rows": 24, "cols": 80 } }));
        assert!(viewer.word()["terminal"]["id"].is_u64());
        open.push(viewer);
    }
    let mut more = Viewer::new(address);
    more.say(json!({ "open": { "rows": 24, "cols": 80 } }));
    assert_eq!(
        more.word(),
        json!({ "error": "3 terminals at once are the most" })
    );
    let mut closed = open.pop().unwrap();
    closed.say(json!({ "close": true }));
    while closed.0.read().is_ok_and(|m| !m.is_close()) {}
    let mut again = Viewer::new(address);
    again.say(json!({ "open": { "rows": 24, "cols": 80 } }));
    assert!(again.word()["terminal"]["id"].is_u64());
}

#[test]
fn programs_wait_for_viewers_that_get_on_and_not_for_others() {
    // Four times what is kept.
    let address = server("flood 4000000;lines");
    let mut viewer = Viewer::new(address);
    viewer.say(json!({ "open": { "rows": 24, "cols": 80 } }));
    viewer.word();
    let mut shown = 0;
    while shown < 4_000_000 {
        match viewer.0.read().unwrap() {
            Message::Binary(bytes) => shown += bytes.len(),
            other => panic!("{other:?}: something was missed"),
        }
        viewer.say(json!({ "shown": shown }));
    }
    assert_eq!(shown, 4_000_000);

    // One that never says that it has shown anything holds the program for a moment only, misses the middle, and learns of it.
    viewer.say(json!({ "close": true }));
    let mut silent = Viewer::new(address);
    silent.say(json!({ "open": { "rows": 24, "cols": 80 } }));
    let id = silent.word()["terminal"]["id"].clone();
    let mut viewer = Viewer::new(address);
    viewer.say(json!({ "attach": { "id": id, "rows": 24, "cols": 80 } }));
    viewer.word();
    let mut shown = 0;
    while shown < 4_000_000 {
        match viewer.0.read().unwrap() {
            Message::Binary(bytes) => shown += bytes.len() as u64,
            Message::Text(text) => {
                let word: Value = serde_json::from_str(&text).unwrap();
                shown = word["missed"].as_u64().unwrap();
            }
            other => panic!("{other:?}"),
        }
        viewer.say(json!({ "shown": shown }));
    }
    let mut at = 0;
    let missed = loop {
        match silent.0.read().unwrap() {
            Message::Binary(bytes) => at += bytes.len(),
            Message::Text(text) => {
                let word: Value = serde_json::from_str(&text).unwrap();
                break word["missed"].as_u64().unwrap();
            }
            other => panic!("{other:?}"),
        }
        // The other viewer has seen the end: what is kept does not begin before this.
        silent.say(json!({ "shown": at }));
    };
    assert!(
        missed >= 4_000_000 - (1 << 20) && missed > at as u64,
        "{missed}"
    );
}
