//! A small viewer against the server: the password, the picture, what changes, keys.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    path::Path,
    thread::{self, JoinHandle},
    time::Duration,
};
use tuxlet::{Command, ExitStatus, Machine, Root};
use tuxlet_vnc::{Config, Password, Screen};

const PASSWORD: &str = "secret77";

/// A screen of 10 rows and 40 columns that runs a line of the shell.
fn screen(line: &str) -> (SocketAddr, JoinHandle<ExitStatus>) {
    let machine = Machine::builder().root(Root::Memory).build().unwrap();
    let programs = tuxlet_test_support::programs(env!("CARGO_TARGET_TMPDIR"));
    let shell = std::fs::read(programs.join("sh")).unwrap();
    machine.write_file("/bin/sh", 0o755, &shell).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let config = Config {
        rows: 10,
        cols: 40,
        font_size: 16,
        password: Password::new(PASSWORD).unwrap(),
        name: "a screen".to_owned(),
    };
    let command = Command::new("/bin/sh").arg("-c").arg(line);
    let screen = Screen::new(config).unwrap();
    let running = thread::spawn(move || screen.run(listener, &machine, command).unwrap());
    (address, running)
}

struct Viewer {
    stream: TcpStream,
    width: usize,
    height: usize,
    pixels: Vec<[u8; 3]>,
}

impl Viewer {
    fn take<const N: usize>(stream: &mut TcpStream) -> [u8; N] {
        let mut bytes = [0; N];
        stream.read_exact(&mut bytes).unwrap();
        bytes
    }

    /// `None`: the password is wrong.
    fn connect(address: SocketAddr, version: &[u8; 12], password: &str) -> Option<Self> {
        let mut stream = TcpStream::connect(address).unwrap();
        stream
            .set_read_timeout(Some(Duration::from_secs(120)))
            .unwrap();
        assert_eq!(&Self::take::<12>(&mut stream), b"RFB 003.008\n");
        stream.write_all(version).unwrap();
        if version == b"RFB 003.003\n" {
            assert_eq!(Self::take(&mut stream), [0, 0, 0, 2]);
        } else {
            assert_eq!(Self::take(&mut stream), [1, 2]);
            stream.write_all(&[2]).unwrap();
        }
        let challenge: [u8; 16] = Self::take(&mut stream);
        stream.write_all(&answer(password, challenge)).unwrap();
        if Self::take::<4>(&mut stream) != [0; 4] {
            if version == b"RFB 003.008\n" {
                let length = u32::from_be_bytes(Self::take(&mut stream));
                let mut reason = vec![0; length as usize];
                stream.read_exact(&mut reason).unwrap();
                assert_eq!(reason, b"the password is wrong");
            }
            assert_eq!(stream.read(&mut [0]).unwrap(), 0);
            return None;
        }
        stream.write_all(&[1]).unwrap();
        let [a, b, c, d] = Self::take(&mut stream);
        let (width, height) = (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]));
        assert_eq!(Self::take::<16>(&mut stream)[..4], [32, 24, 0, 1]);
        let length = u32::from_be_bytes(Self::take(&mut stream));
        let mut name = vec![0; length as usize];
        stream.read_exact(&mut name).unwrap();
        assert_eq!(name, b"a screen");
        let (width, height) = (usize::from(width), usize::from(height));
        Some(Self {
            stream,
            width,
            height,
            pixels: vec![[0; 3]; width * height],
        })
    }

    fn ask(&mut self, incremental: bool) {
        let [a, b] = (self.width as u16).to_be_bytes();
        let [c, d] = (self.height as u16).to_be_bytes();
        self.stream
            .write_all(&[3, incremental.into(), 0, 0, 0, 0, a, b, c, d])
            .unwrap();
    }

    /// Takes an update into the picture: how many pixels came.
    fn update(&mut self) -> usize {
        let [kind, _, a, b] = Self::take(&mut self.stream);
        assert_eq!(kind, 0);
        let mut all = 0;
        for _ in 0..u16::from_be_bytes([a, b]) {
            let head: [u8; 12] = Self::take(&mut self.stream);
            let number = |at: usize| usize::from(u16::from_be_bytes([head[at], head[at + 1]]));
            let (x, y, width, height) = (number(0), number(2), number(4), number(6));
            assert_eq!(head[8..], [0; 4]);
            let mut pixels = vec![0; width * height * 4];
            self.stream.read_exact(&mut pixels).unwrap();
            for (at, p) in pixels.chunks(4).enumerate() {
                self.pixels[(y + at / width) * self.width + x + at % width] = [p[2], p[1], p[0]];
            }
            all += width * height;
        }
        all
    }

    /// Updates the picture until it is as wanted.
    fn wait(&mut self, wanted: impl Fn(&Self) -> bool) {
        while !wanted(self) {
            self.ask(true);
            self.update();
        }
    }

    fn count(&self, color: [u8; 3]) -> usize {
        self.pixels.iter().filter(|p| **p == color).count()
    }

    fn key(&mut self, key: u32) {
        for down in [1, 0] {
            let [a, b, c, d] = key.to_be_bytes();
            self.stream.write_all(&[4, down, 0, 0, a, b, c, d]).unwrap();
        }
    }

    fn type_in(&mut self, text: &str) {
        for c in text.chars() {
            self.key(match c {
                '\r' => 0xff0d,
                '\x1b' => 0xff1b,
                c => c.into(),
            });
        }
    }

    fn save(&self, name: &str) {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        let file = std::fs::File::create(path).unwrap();
        let mut encoder = png::Encoder::new(file, self.width as u32, self.height as u32);
        encoder.set_color(png::ColorType::Rgb);
        let bytes: Vec<u8> = self.pixels.iter().flatten().copied().collect();
        encoder
            .write_header()
            .unwrap()
            .write_image_data(&bytes)
            .unwrap();
    }
}

/// What VNC authentication wants, from another implementation: openssl's would do, but this needs nothing.
fn answer(password: &str, challenge: [u8; 16]) -> [u8; 16] {
    use des::cipher::{BlockEncrypt, KeyInit, generic_array::GenericArray};
    let mut key = [0; 8];
    key[..password.len()].copy_from_slice(password.as_bytes());
    let cipher = des::Des::new(GenericArray::from_slice(&key.map(u8::reverse_bits)));
    let mut answer = challenge;
    for block in answer.chunks_exact_mut(8) {
        cipher.encrypt_block(GenericArray::from_mut_slice(block));
    }
    answer
}

const PAPER: [u8; 3] = [0x1b, 0x1d, 0x1e];

#[test]
fn the_terminal_is_a_picture_that_changes_where_it_does() {
    let (address, running) = screen("cat");
    let mut viewer = Viewer::connect(address, b"RFB 003.008\n", PASSWORD).unwrap();
    let (cell_width, cell_height) = (viewer.width / 40, viewer.height / 10);
    let cell = cell_width * cell_height;
    viewer.ask(false);
    assert_eq!(viewer.update(), viewer.width * viewer.height);
    // Nothing but the cursor.
    assert_eq!(viewer.count(PAPER), viewer.width * viewer.height - cell);
    // A key: its echo, and the cursor one further.
    viewer.key('x'.into());
    let mut seen = 0;
    while viewer.pixels[cell_width..cell_width * 2]
        .iter()
        .all(|p| *p == PAPER)
    {
        viewer.ask(true);
        seen += viewer.update();
    }
    assert!(
        seen <= 4 * cell,
        "{seen} pixels for one character of {cell}"
    );
    // Colours, which cat(1) sends back as they are; tab and text beside them.
    viewer.type_in("\r\x1b[48;2;200;40;90m          \x1b[0m \x1b[32mgr\u{fc}n\x1b[0m\r");
    viewer.wait(|v| v.count([200, 40, 90]) >= 10 * cell);
    assert_eq!(viewer.count([200, 40, 90]), 10 * cell);
    viewer.wait(|v| v.pixels.iter().any(|p| p[1] == 205 && p[0] == 0));
    viewer.save("vnc.png");
    // Another one sees the same.
    let mut other = Viewer::connect(address, b"RFB 003.003\n", PASSWORD).unwrap();
    other.ask(false);
    other.update();
    assert_eq!(other.count([200, 40, 90]), 10 * cell);
    drop(other);
    // A pixel of one byte, for viewers on slow lines.
    let mut small = Viewer::connect(address, b"RFB 003.007\n", PASSWORD).unwrap();
    small
        .stream
        .write_all(&[0, 0, 0, 0, 8, 8, 0, 1, 0, 7, 0, 7, 0, 3, 0, 3, 6, 0, 0, 0])
        .unwrap();
    small.ask(false);
    let [_, _, a, b] = Viewer::take(&mut small.stream);
    let mut bytes = 0;
    for _ in 0..u16::from_be_bytes([a, b]) {
        let head: [u8; 12] = Viewer::take(&mut small.stream);
        let number = |at: usize| usize::from(u16::from_be_bytes([head[at], head[at + 1]]));
        let mut pixels = vec![0; number(4) * number(6)];
        small.stream.read_exact(&mut pixels).unwrap();
        bytes += pixels.len();
    }
    assert_eq!(bytes, small.width * small.height);
    // A message that makes no sense ends the connection, and nothing else.
    small.stream.write_all(&[99]).unwrap();
    while small.stream.read(&mut [0; 100]).is_ok_and(|n| n > 0) {}
    // The end of the input, typed, ends the program, and the server.
    viewer.key(0xff0d);
    for (down, key) in [(1, 0xffe3u32), (1, 0x64), (0, 0x64), (0, 0xffe3)] {
        let [a, b, c, d] = key.to_be_bytes();
        viewer
            .stream
            .write_all(&[4, down, 0, 0, a, b, c, d])
            .unwrap();
    }
    assert_eq!(running.join().unwrap().code(), 0);
}

#[test]
fn who_does_not_know_the_password_sees_nothing() {
    let (address, _running) = screen("hang");
    for version in [b"RFB 003.008\n", b"RFB 003.007\n", b"RFB 003.003\n"] {
        assert!(Viewer::connect(address, version, "secret78").is_none());
    }
    // No password at all is not offered.
    let mut stream = TcpStream::connect(address).unwrap();
    let mut hello = [0; 12];
    stream.read_exact(&mut hello).unwrap();
    stream.write_all(b"RFB 003.008\n").unwrap();
    let mut types = [0; 2];
    stream.read_exact(&mut types).unwrap();
    stream.write_all(&[1]).unwrap();
    assert_eq!(stream.read(&mut [0]).unwrap(), 0);
    for nonsense in [&b"GET / HTTP/1.1\r\n\r\n"[..], b"RFB 004.000\n"] {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.read_exact(&mut hello).unwrap();
        stream.write_all(nonsense).unwrap();
        let mut rest = Vec::new();
        // Closed, or reset because not all of it was read.
        let _ = stream.read_to_end(&mut rest);
        assert_eq!(rest, b"");
    }
    assert!(Viewer::connect(address, b"RFB 003.008\n", PASSWORD).is_some());
}
