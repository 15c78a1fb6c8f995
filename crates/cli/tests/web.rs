//! `tuxlet web` in a browser without a window: Chromium, driven over its debugging protocol.

use base64::Engine as _;
use serde_json::{Value, json};
use std::{
    fs,
    io::{BufRead, BufReader},
    net::TcpStream,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};
use tungstenite::{Message, WebSocket, stream::MaybeTlsStream};

const PATIENCE: Duration = Duration::from_secs(120);

/// Ends the process whatever happens to the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A browser, where there is one.
fn browser() -> Option<PathBuf> {
    let given = std::env::var_os("TUXLET_CHROMIUM").map(PathBuf::from);
    let names = ["chromium", "chromium-browser", "google-chrome"];
    given.or_else(|| {
        let path = std::env::var_os("PATH")?;
        let dirs: Vec<PathBuf> = std::env::split_paths(&path).collect();
        let all = names
            .iter()
            .flat_map(|n| dirs.iter().map(move |d| d.join(n)));
        all.into_iter().find(|p| p.is_file())
    })
}

/// Starts a program that says where it can be found: the rest of the line from `mark` on.
fn start(command: &mut Command, mark: &str) -> (Running, String) {
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let errors = BufReader::new(child.stderr.take().unwrap());
    let child = Running(child);
    let mut lines = errors.lines().map_while(Result::ok);
    let found = lines.find_map(|l| l.find(mark).map(|at| l[at..].to_owned()));
    let found = found.unwrap_or_else(|| panic!("{command:?} does not say {mark}"));
    // What it says later must not stop it.
    std::thread::spawn(move || lines.for_each(drop));
    (child, found)
}

/// One page of the browser.
struct Page {
    socket: WebSocket<MaybeTlsStream<TcpStream>>,
    session: Option<String>,
    last: u64,
}

impl Page {
    fn open(debugger: &str, url: &str) -> Self {
        let (socket, _) = tungstenite::connect(debugger).unwrap();
        let mut page = Page {
            socket,
            session: None,
            last: 0,
        };
        let target = page.call("Target.createTarget", json!({ "url": "about:blank" }));
        let attach = json!({ "targetId": target["targetId"], "flatten": true });
        let session = page.call("Target.attachToTarget", attach);
        page.session = session["sessionId"].as_str().map(str::to_owned);
        page.call("Page.enable", json!({}));
        page.call("Page.navigate", json!({ "url": url }));
        page
    }

    fn call(&mut self, method: &str, params: Value) -> Value {
        self.last += 1;
        let mut request = json!({ "id": self.last, "method": method, "params": params });
        if let Some(session) = &self.session {
            request["sessionId"] = json!(session);
        }
        self.socket
            .send(Message::text(request.to_string()))
            .unwrap();
        loop {
            let Message::Text(text) = self.socket.read().unwrap() else {
                continue;
            };
            let mut reply: Value = serde_json::from_str(&text).unwrap();
            if reply["id"] == self.last {
                assert!(reply.get("error").is_none(), "{method}: {reply}");
                return reply["result"].take();
            }
        }
    }

    /// The value of an expression in the page.
    fn value(&mut self, expression: &str) -> Value {
        let params =
            json!({ "expression": expression, "returnByValue": true, "awaitPromise": true });
        self.call("Runtime.evaluate", params)["result"]["value"].take()
    }

    /// Waits until an expression is true.
    fn wait(&mut self, expression: &str) {
        let start = Instant::now();
        while self.value(expression) != true {
            assert!(start.elapsed() < PATIENCE, "{expression}: {}", self.text());
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// What the terminal in front shows.
    fn text(&mut self) -> String {
        let shown = "document.querySelector('.screen.current .xterm-rows')?.innerText";
        self.value(shown).as_str().unwrap_or_default().to_owned()
    }

    fn wait_for_text(&mut self, text: &str) {
        let text = json!(text);
        self.wait(&format!(
            "document.querySelector('.screen.current .xterm-rows')?.innerText.includes({text}) === true"
        ));
    }

    fn type_in(&mut self, text: &str) {
        self.call("Input.insertText", json!({ "text": text }));
        let mut key = json!({ "type": "keyDown", "key": "Enter", "code": "Enter", "windowsVirtualKeyCode": 13, "text": "\r" });
        self.call("Input.dispatchKeyEvent", key.clone());
        key["type"] = json!("keyUp");
        self.call("Input.dispatchKeyEvent", key);
    }

    /// The picture of the page: its width, and three bytes for each pixel.
    fn screenshot(&mut self, keep: &Path) -> (usize, Vec<u8>) {
        let shot = self.call("Page.captureScreenshot", json!({ "format": "png" }));
        let data = base64::engine::general_purpose::STANDARD
            .decode(shot["data"].as_str().unwrap())
            .unwrap();
        fs::write(keep, &data).unwrap();
        let mut reader = png::Decoder::new(std::io::Cursor::new(data))
            .read_info()
            .unwrap();
        let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
        let info = reader.next_frame(&mut pixels).unwrap();
        assert_eq!(info.bit_depth, png::BitDepth::Eight);
        let size = info.color_type.samples();
        let rgb = pixels.chunks(size).flat_map(|p| p[..3].to_vec()).collect();
        (info.width as usize, rgb)
    }
}

#[test]
fn terminals_work_in_a_browser() {
    let Some(browser) = browser() else {
        eprintln!("SKIPPED: there is no Chromium (in PATH, or by TUXLET_CHROMIUM)");
        return;
    };
    let scratch = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("root");
    fs::create_dir_all(root.join("bin")).unwrap();
    let shell = tuxlet_test_support::programs(env!("CARGO_TARGET_TMPDIR")).join("sh");
    fs::copy(shell, root.join("bin/sh")).unwrap();
    let mut web = Command::new(env!("CARGO_BIN_EXE_tuxlet"));
    web.args(["web", "--shell", "size;cat", "--rootfs"])
        .arg(&root)
        .env("TUXLET_HOME", dir.path().join("home"));
    let (_web, url) = start(&mut web, "http://");
    let mut chromium = Command::new(browser);
    chromium
        .args([
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
        ])
        .args([
            "--no-first-run",
            "--hide-scrollbars",
            "--force-device-scale-factor=1",
        ])
        .args(["--window-size=1000,640", "--remote-debugging-port=0"])
        .arg(format!(
            "--user-data-dir={}",
            dir.path().join("browser").display()
        ))
        .arg("about:blank");
    let (_browser, debugger) = start(&mut chromium, "ws://");
    let mut page = Page::open(&debugger, &url);

    // The token has left the address; the program knows the window's size.
    page.wait("location.hash === '' && window.tuxlet?.tabs.length === 1");
    let size = page.value("(({rows, cols}) => `0 ${rows} ${cols}`)(tuxlet.current().terminal)");
    page.wait_for_text(size.as_str().unwrap());
    page.type_in("grüße");
    page.wait_for_text("grüße\ngrüße");
    // Colours: cat(1) sends them back as they are.
    page.type_in("\u{1b}[48;2;200;40;90m                \u{1b}[48;2;40;200;90m                \u{1b}[0mhttps://example.org");
    page.wait("[...document.querySelectorAll('.screen.current .xterm-rows span')].some(s => getComputedStyle(s).backgroundColor === 'rgb(200, 40, 90)')");
    let (width, pixels) = page.screenshot(&scratch.join("web.png"));
    assert_eq!(width, 1000);
    // Two blocks of 16 cells, beside each other.
    let count = |r: u8, g: u8, b: u8| pixels.chunks(3).filter(|p| **p == [r, g, b]).count();
    let (red, green) = (count(200, 40, 90), count(40, 200, 90));
    let cell = page.value("document.querySelector('.xterm-screen').getBoundingClientRect().width / tuxlet.current().terminal.cols");
    let height = page.value("document.querySelector('.xterm-screen').getBoundingClientRect().height / tuxlet.current().terminal.rows");
    let block = 16.0 * cell.as_f64().unwrap() * height.as_f64().unwrap();
    for (name, seen) in [("red", red), ("green", green)] {
        assert!(
            (seen as f64) > block * 0.8 && (seen as f64) < block * 1.2,
            "{name}: {seen} of {block}"
        );
    }
    // Search finds it.
    let found = "tuxlet.current().search.findPrevious('example.org')";
    assert_eq!(page.value(found), true);
    assert_eq!(
        page.value("tuxlet.current().terminal.getSelection()"),
        "example.org"
    );

    // Another tab is another terminal, and goes with its button.
    page.value("document.getElementById('new').click()");
    page.wait("tuxlet.tabs.length === 2 && tuxlet.current().id === 2");
    page.type_in("in the second");
    page.wait_for_text("in the second\nin the second");
    page.value("document.querySelectorAll('.close')[1].click()");
    page.wait("tuxlet.tabs.length === 1 && tuxlet.current().id === 1");
    page.wait_for_text("example.org");

    // A connection that breaks comes back, and goes on where it was.
    page.value("tuxlet.current().socket.close()");
    page.wait("tuxlet.current().socket.readyState === WebSocket.OPEN && !tuxlet.current().tab.classList.contains('lost')");
    page.type_in("after the break");
    page.wait_for_text("after the break\nafter the break");
    assert_eq!(page.text().matches("grüße").count(), 2);
    // So does the whole page, with what it had shown.
    page.call("Page.reload", json!({}));
    page.wait("window.tuxlet?.tabs.length === 1 && tuxlet.current().id === 1");
    page.wait_for_text("after the break\nafter the break");
    assert_eq!(page.text().matches("grüße").count(), 2);

    // Files go in.
    page.value("tuxlet.upload([new File(['uploaded'], 'a.txt')], '/srv')");
    assert_eq!(fs::read(root.join("srv/a.txt")).unwrap(), b"uploaded");
    // The end of the program is told.
    page.value("tuxlet.current().socket.send(Uint8Array.of(4))");
    page.wait_for_text("press Enter");
}
