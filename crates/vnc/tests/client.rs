//! A client that others have written (vnc-rs) against the server: compressed pixels, sizes, the clipboard, the mouse.

use std::{
    net::{SocketAddr, TcpListener},
    path::{Path, PathBuf},
    sync::Arc,
    thread::{self, JoinHandle},
};
use tokio::net::TcpStream;
use tuxlet::{Command, ExitStatus, Machine, Root};
use tuxlet_vnc::{Config, Password, Screen};
use vnc::{PixelFormat, ResizeError, VncClient, VncConnector, VncEncoding, VncEvent, X11Event};

const PASSWORD: &str = "secret77";
const ROWS: usize = 8;
const COLS: usize = 30;
/// How much a colour may differ from the expected one: floating point differs from host to host.
const TOLERANCE: u8 = 6;

fn screen(line: &str) -> (SocketAddr, JoinHandle<ExitStatus>) {
    let machine = Machine::builder().root(Root::Memory).build().unwrap();
    let programs = tuxlet_test_support::programs(env!("CARGO_TARGET_TMPDIR"));
    let shell = std::fs::read(programs.join("sh")).unwrap();
    machine.write_file("/bin/sh", 0o755, &shell).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let config = Config {
        rows: ROWS as u16,
        cols: COLS as u16,
        font_size: 16,
        password: Password::new(PASSWORD).unwrap(),
        name: "a screen".to_owned(),
    };
    let command = Command::new("/bin/sh").arg("-c").arg(line);
    let screen = Screen::new(config).unwrap();
    let running = thread::spawn(move || screen.run(listener, &machine, command).unwrap());
    (address, running)
}

/// Waits for a program while the clients' tasks go on.
async fn ended(running: JoinHandle<ExitStatus>) -> ExitStatus {
    let joined = tokio::task::spawn_blocking(|| running.join());
    joined.await.unwrap().unwrap()
}

struct Viewer {
    client: Arc<VncClient>,
    width: usize,
    height: usize,
    pixels: Vec<[u8; 3]>,
    /// Bytes of pixels that have come.
    seen: usize,
    bells: usize,
    pointer: Option<(u16, u16)>,
    text: Option<String>,
}

impl Viewer {
    async fn connect(address: SocketAddr, encodings: &[VncEncoding]) -> Self {
        let stream = TcpStream::connect(address).await.unwrap();
        let mut connector = VncConnector::new(stream)
            .set_auth_method(async move { Ok(PASSWORD.to_owned()) })
            .allow_shared(true)
            .set_pixel_format(PixelFormat::bgra());
        for encoding in encodings {
            connector = connector.add_encoding(*encoding);
        }
        let client = connector.build().unwrap().try_start().await.unwrap();
        let mut viewer = Self {
            client: Arc::new(client.finish().unwrap()),
            width: 0,
            height: 0,
            pixels: Vec::new(),
            seen: 0,
            bells: 0,
            pointer: None,
            text: None,
        };
        viewer.input(X11Event::FullRefresh).await;
        viewer
            .until(|v| v.seen >= v.pixels.len() && v.seen > 0)
            .await;
        viewer
    }

    async fn input(&self, event: X11Event) {
        self.client.input(event).await.unwrap();
    }

    /// Takes what the server sends until the picture, or what else it says, is as wanted.
    async fn until(&mut self, wanted: impl Fn(&Self) -> bool) {
        while !wanted(self) {
            self.input(X11Event::Refresh).await;
            let event = self.client.recv_event().await.unwrap();
            self.take(event);
        }
    }

    /// Asks for another size; it is the client's rule that somebody takes what comes meanwhile.
    async fn resize(&mut self, width: u16, height: u16) -> Result<(u16, u16), ResizeError> {
        let client = Arc::clone(&self.client);
        let resized = tokio::spawn(async move { client.resize_desktop(width, height).await });
        while !resized.is_finished() {
            match self.client.poll_event().await.unwrap() {
                Some(event) => self.take(event),
                None => tokio::task::yield_now().await,
            }
        }
        resized.await.unwrap().map(|l| (l.width, l.height))
    }

    fn take(&mut self, event: VncEvent) {
        match event {
            VncEvent::SetResolution(size) => {
                self.set_size(size.width.into(), size.height.into());
            }
            VncEvent::DesktopUpdate(update) => {
                if let Some(layout) = update.layout {
                    self.set_size(layout.width.into(), layout.height.into());
                }
            }
            VncEvent::RawImage(rect, bytes) => {
                let width = usize::from(rect.width);
                for (at, p) in bytes.chunks(4).enumerate() {
                    let (x, y) = (
                        usize::from(rect.x) + at % width,
                        usize::from(rect.y) + at / width,
                    );
                    self.pixels[y * self.width + x] = [p[2], p[1], p[0]];
                }
                self.seen += bytes.len() / 4;
            }
            VncEvent::SetCursor(rect, bytes) => {
                assert_eq!(bytes.len(), usize::from(rect.width * rect.height) * 4);
                self.pointer = Some((rect.x, rect.y));
            }
            VncEvent::Bell => self.bells += 1,
            VncEvent::Text(text) => self.text = Some(text),
            VncEvent::Error(error) => panic!("{error}"),
            _ => {}
        }
    }

    fn set_size(&mut self, width: usize, height: usize) {
        if (self.width, self.height) != (width, height) {
            (self.width, self.height) = (width, height);
            self.pixels = vec![[0; 3]; width * height];
        }
    }

    async fn key(&self, key: u32) {
        for down in [true, false] {
            self.input(X11Event::KeyEvent((key, down).into())).await;
        }
    }

    async fn type_in(&self, text: &str) {
        for c in text.chars() {
            let key = match c {
                '\r' => 0xff0d,
                '\x1b' => 0xff1b,
                '\x04' => {
                    self.input(X11Event::KeyEvent((0xffe3, true).into())).await;
                    self.key('d'.into()).await;
                    self.input(X11Event::KeyEvent((0xffe3, false).into())).await;
                    continue;
                }
                c => c.into(),
            };
            self.key(key).await;
        }
    }

    /// Pixels of a colour in a row of cells, at the first size of the screen.
    fn in_row(&self, row: usize, color: [u8; 3]) -> usize {
        let height = self.cell().1;
        let row = &self.pixels[row * height * self.width..][..height * self.width];
        row.iter().filter(|p| **p == color).count()
    }

    fn cell(&self) -> (usize, usize) {
        (self.width / COLS, self.height / ROWS)
    }

    /// Compares the picture with the one in the repository.
    fn compare(&self, name: &str) {
        let path = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("tests")
            .join(name);
        if std::env::var_os("TUXLET_BLESS").is_some() {
            return self.save(&path);
        }
        let file = std::io::BufReader::new(std::fs::File::open(&path).unwrap());
        let mut reader = png::Decoder::new(file).read_info().unwrap();
        let mut bytes = vec![0; reader.output_buffer_size().unwrap()];
        let info = reader.next_frame(&mut bytes).unwrap();
        assert_eq!(
            (info.width, info.height),
            (self.width as u32, self.height as u32)
        );
        let wrong = bytes
            .chunks(3)
            .zip(&self.pixels)
            .filter(|(a, b)| a.iter().zip(*b).any(|(a, b)| a.abs_diff(*b) > TOLERANCE));
        let wrong = wrong.count();
        if wrong > 0 {
            let seen = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
            self.save(&seen);
            panic!(
                "{wrong} pixels differ from {}: {}",
                path.display(),
                seen.display()
            );
        }
    }

    fn save(&self, path: &Path) {
        let file = std::fs::File::create(path).unwrap();
        let mut encoder = png::Encoder::new(file, self.width as u32, self.height as u32);
        encoder.set_color(png::ColorType::Rgb);
        let mut writer = encoder.write_header().unwrap();
        writer.write_image_data(self.pixels.as_flattened()).unwrap();
    }
}

const GREEN: [u8; 3] = [0, 205, 0];

#[tokio::test]
async fn a_client_of_others_sees_the_picture() {
    let (address, running) = screen("cat");
    let compressed = [
        VncEncoding::Zrle,
        VncEncoding::Raw,
        VncEncoding::CursorPseudo,
        VncEncoding::ExtendedDesktopSizePseudo,
    ];
    let mut viewer = Viewer::connect(address, &compressed).await;
    assert_eq!((viewer.width, viewer.height), (COLS * 10, ROWS * 19));
    viewer.until(|v| v.pointer.is_some()).await;
    assert_eq!(viewer.pointer, Some((4, 8)));
    // cat(1) sends the line back when it has ended: over the echo, so that the picture has nothing that comes in between.
    viewer
        .type_in(
            "\x1b[H\x1b[JTuxlet \x1b[1;31mbold\x1b[m \x1b[4mline\x1b[m \x1b[7minverse\x1b[m\\\r",
        )
        .await;
    let inverse = |v: &Viewer| v.in_row(0, [0xd8; 3]) >= 4 * 190;
    viewer.until(inverse).await;
    viewer
        .type_in("gr\u{fc}n: \x1b[42m    \x1b[m\x1b[38;2;250;180;40m ~{}@#\x1b[m\r")
        .await;
    viewer
        .until(|v| (0..ROWS).any(|r| v.in_row(r, GREEN) >= 4 * 190))
        .await;
    // The end of what is shown: nothing moves afterwards.
    viewer
        .type_in("\x1b[7;1Hend\x1b[?25l\x1b[48;2;1;2;3m \x1b[m\r")
        .await;
    viewer
        .until(|v| (0..ROWS).any(|r| v.in_row(r, [1, 2, 3]) == 190))
        .await;
    viewer.compare("expected.png");

    // The same without compression.
    let mut plain = Viewer::connect(address, &[VncEncoding::Raw]).await;
    assert!(plain.pixels == viewer.pixels);
    assert_eq!(plain.pointer, None);

    // Sound, and the clipboard in both directions: \x5c is what OSC 52 ends with.
    viewer.type_in("\x1b]52;c;Y29waWVk\x1b\\\r").await;
    viewer.until(|v| v.text.is_some()).await;
    assert_eq!(viewer.text.as_deref(), Some("copied"));
    plain.until(|v| v.text.is_some()).await;

    // Another size, as a window that is dragged: it is as wanted, and the other client keeps its own.
    assert_eq!(viewer.resize(405, 100).await, Ok((405, 100)));
    viewer.until(|v| v.width == 405).await;
    // All of it has come when none of it is as a new picture is.
    viewer.until(|v| !v.pixels.contains(&[0; 3])).await;
    let refused = viewer.resize(5, 5).await;
    assert!(matches!(refused, Err(ResizeError::Denied(_))));
    assert_eq!(plain.width, COLS * 10);

    viewer.type_in("\r\x04").await;
    assert_eq!(ended(running).await.code(), 0);
}

#[tokio::test]
async fn what_is_copied_can_be_pasted_and_the_mouse_is_told() {
    let (address, running) = screen("cat");
    let mut viewer = Viewer::connect(address, &[VncEncoding::Zrle]).await;
    // What is pasted is seen by its colour, because cat(1) sends it back.
    viewer.type_in("\x1b[48;2;9;8;7m").await;
    viewer.input(X11Event::CopyText("xx\n".to_owned())).await;
    viewer
        .input(X11Event::KeyEvent((0xffe1, true).into()))
        .await;
    viewer.key(0xff63).await;
    viewer
        .input(X11Event::KeyEvent((0xffe1, false).into()))
        .await;
    viewer.until(|v| v.pixels.contains(&[9, 8, 7])).await;
    viewer.type_in("\x1b[48;2;7;8;9m").await;
    for buttons in [2, 0] {
        let event = X11Event::PointerEvent((3, 3, buttons).into());
        viewer.input(event).await;
    }
    viewer.until(|v| v.pixels.contains(&[7, 8, 9])).await;
    viewer.type_in("\r\x04").await;
    assert_eq!(ended(running).await.code(), 0);
}
