//! Clients of a screen.

use crate::{
    font::BadSize,
    keys::Held,
    mouse::Mouse,
    rfb::{self, Area, Encodings, Hello, Message, Part, Password, PixelFormat, Resized},
    screen::{self, BACKGROUND, Span},
};
use parking_lot::{Condvar, Mutex};
use std::{
    collections::BTreeMap,
    io::{self, Read, Write},
    net::{Shutdown, TcpListener, TcpStream},
    ops::RangeInclusive,
    sync::{Arc, mpsc},
    thread,
    time::Duration,
};
use tuxlet::{Command, ExitStatus, Machine, Terminal, WindowSize};

/// Clients at once, before and after they have shown the password.
const MOST_CLIENTS: usize = 8;
/// How long a client may take to show it.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long a client that has guessed wrong waits for the answer.
const PENANCE: Duration = Duration::from_secs(1);
/// Rows and columns that a screen can have.
const ROWS: RangeInclusive<u16> = 1..=300;
const COLS: RangeInclusive<u16> = 2..=500;
/// Keys that wait for the program to read them.
const TYPED_AHEAD: usize = 256;

/// How a screen looks and who may see it.
#[derive(Clone, Debug)]
pub struct Config {
    /// Rows of characters: 1 to 300.
    pub rows: u16,
    /// Columns of characters: 2 to 500.
    pub cols: u16,
    /// Height of the font in pixels: 6 to 72.
    pub font_size: u16,
    /// What clients have to know.
    pub password: Password,
    /// The title of viewers' windows.
    pub name: String,
}

/// A screen for a program.
#[derive(Debug)]
pub struct Screen {
    shared: Arc<Shared>,
    size: WindowSize,
}

#[derive(Debug)]
struct Shared {
    config: Config,
    state: Mutex<State>,
    /// Something has changed, or somebody wants to know.
    news: Condvar,
}

#[derive(Debug)]
struct State {
    screen: screen::Screen,
    /// Of the screen in pixels: all cells, and less than a cell to the right of them and below.
    width: u16,
    height: u16,
    /// What has been copied last, by the program or a client.
    clipboard: String,
    clients: BTreeMap<u64, Client>,
    last_client: u64,
    ended: bool,
}

/// What a client has not seen yet, and what it wants.
#[derive(Debug)]
struct Client {
    changed: Vec<Span>,
    /// What lies beside the cells, too.
    margins: bool,
    wants: bool,
    format: PixelFormat,
    encodings: Encodings,
    /// The size of its picture, which is that of the screen unless it cannot be told.
    size: (u16, u16),
    resized: Option<Resized>,
    cursor: bool,
    bell: bool,
    copied: bool,
}

impl Client {
    fn has_news(&self) -> bool {
        self.margins
            || self.resized.is_some()
            || self.cursor
            || self.changed.iter().any(Option::is_some)
    }

    /// The screen has another size.
    fn resize(&mut self, (width, height): (u16, u16), screen: &screen::Screen, why: Resized) {
        self.changed = vec![Some((0, screen.cols())); screen.rows().into()];
        self.margins = true;
        if self.encodings.extended_desktop_size || self.encodings.desktop_size {
            self.size = (width, height);
            self.resized = Some(why);
        }
    }
}

fn join(a: Span, b: Span) -> Span {
    match (a, b) {
        (Some((a, b)), Some((c, d))) => Some((a.min(c), b.max(d))),
        (some, None) | (None, some) => some,
    }
}

impl Screen {
    /// An empty one.
    ///
    /// # Errors
    /// The size of the font, or of the screen, is out of range.
    pub fn new(config: Config) -> Result<Self, BadSize> {
        if !ROWS.contains(&config.rows) || !COLS.contains(&config.cols) {
            return Err(BadSize);
        }
        let screen = screen::Screen::new(config.rows, config.cols, config.font_size)?;
        let (width, height) = screen.cell();
        let pixels =
            |cells: u16, size: usize| u16::try_from(usize::from(cells) * size).map_err(|_| BadSize);
        let (width, height) = (pixels(config.cols, width)?, pixels(config.rows, height)?);
        let size = WindowSize {
            rows: config.rows,
            cols: config.cols,
            width_px: width,
            height_px: height,
        };
        let state = State {
            screen,
            width,
            height,
            clipboard: String::new(),
            clients: BTreeMap::new(),
            last_client: 0,
            ended: false,
        };
        let shared = Shared {
            config,
            state: Mutex::new(state),
            news: Condvar::new(),
        };
        Ok(Self {
            shared: Arc::new(shared),
            size,
        })
    }

    /// Runs a command on the screen and serves clients until it has ended.
    ///
    /// # Errors
    /// The command or a thread cannot be started.
    pub fn run(
        self,
        listener: TcpListener,
        machine: &Machine,
        command: Command,
    ) -> Result<ExitStatus, Box<dyn std::error::Error + Send + Sync>> {
        let process = machine.exec(command.terminal(self.size))?;
        let terminal = process
            .terminal()
            .cloned()
            .ok_or("the program has no terminal")?;
        let (typed, keys) = mpsc::sync_channel::<Vec<u8>>(TYPED_AHEAD);
        let thread = |name: &str| thread::Builder::new().name(name.to_owned());
        let typing = Arc::clone(&terminal);
        thread("vnc-typing").spawn(move || {
            for keys in keys {
                if (&*typing).write_all(&keys).is_err() {
                    return;
                }
            }
        })?;
        let shared = Arc::clone(&self.shared);
        let (reading, replies) = (Arc::clone(&terminal), typed.clone());
        let reader = thread("vnc-terminal").spawn(move || read(&shared, &reading, &replies))?;
        let shared = Arc::clone(&self.shared);
        // It ends with the process that it is in: accept(2) does not hear of the program's end.
        let program = Program {
            terminal: Arc::clone(&terminal),
            typed,
        };
        thread("vnc-clients").spawn(move || accept(&listener, &shared, &program))?;
        let status = process.wait();
        terminal.finish();
        // It does nothing that panics.
        let _ = reader.join();
        self.shared.state.lock().ended = true;
        self.shared.news.notify_all();
        Ok(status)
    }
}

/// What clients do to the program.
#[derive(Clone, Debug)]
struct Program {
    terminal: Arc<Terminal>,
    typed: mpsc::SyncSender<Vec<u8>>,
}

impl Program {
    fn type_in(&self, bytes: Vec<u8>) {
        // As on a serial line, what finds no room is lost.
        if !bytes.is_empty() && self.typed.try_send(bytes).is_err() {
            tracing::debug!("a key is lost");
        }
    }
}

/// Shows what the program prints, to its end.
fn read(shared: &Shared, mut terminal: &Terminal, replies: &mpsc::SyncSender<Vec<u8>>) {
    let mut chunk = vec![0; 16 << 10];
    while let Ok(n @ 1..) = terminal.read(&mut chunk) {
        let mut state = shared.state.lock();
        let (said, spans) = state.screen.print(&chunk[..n]);
        let copied = said.copied.is_some();
        if let Some(text) = said.copied {
            state.clipboard = text;
        }
        for client in state.clients.values_mut() {
            client.bell |= said.bell;
            client.copied |= copied;
            for (old, new) in client.changed.iter_mut().zip(&spans) {
                *old = join(*old, *new);
            }
        }
        drop(state);
        shared.news.notify_all();
        if !said.replies.is_empty() {
            // A program that asks and does not read gets no answers.
            let _ = replies.try_send(said.replies);
        }
    }
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>, program: &Program) {
    let inside = Arc::new(());
    for stream in listener.incoming() {
        let stream = match stream {
            Ok(stream) => stream,
            Err(error) => {
                tracing::warn!("a client cannot be let in: {error}");
                continue;
            }
        };
        // Each thread of a client has one.
        let counted = Arc::clone(&inside);
        if Arc::strong_count(&inside) > 1 + MOST_CLIENTS {
            continue;
        }
        let (shared, program) = (Arc::clone(shared), program.clone());
        let started = thread::Builder::new()
            .name("vnc-client".to_owned())
            .spawn(move || {
                let _counted = counted;
                if let Err(error) = serve(stream, &shared, &program) {
                    tracing::debug!("a client: {error}");
                }
            });
        if let Err(error) = started {
            tracing::warn!("a client cannot be served: {error}");
        }
    }
}

fn serve(mut stream: TcpStream, shared: &Arc<Shared>, program: &Program) -> io::Result<()> {
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let password = &shared.config.password;
    let known = rfb::authenticate(&mut stream, password, || thread::sleep(PENANCE))?;
    if !known {
        return Ok(());
    }
    let number = {
        let mut state = shared.state.lock();
        let rows = usize::from(state.screen.rows());
        let size = (state.width, state.height);
        let client = Client {
            changed: vec![None; rows],
            margins: false,
            wants: false,
            format: PixelFormat::NATURAL,
            encodings: Encodings::default(),
            size,
            resized: None,
            cursor: false,
            bell: false,
            copied: false,
        };
        let hello = Hello {
            width: size.0,
            height: size.1,
            name: &shared.config.name,
        };
        // Before anything else, and with the size that the client is to have; it fits into the socket's buffer.
        rfb::welcome(&mut stream, &hello)?;
        state.last_client += 1;
        let number = state.last_client;
        state.clients.insert(number, client);
        number
    };
    stream.set_read_timeout(None)?;
    let (writing, writer) = (Arc::clone(shared), stream.try_clone()?);
    let drawing = thread::Builder::new()
        .name("vnc-drawing".to_owned())
        .spawn(move || {
            let drawn = draw(&writing, number, &writer);
            // The reading side learns of it.
            let _ = writer.shutdown(Shutdown::Both);
            drawn
        });
    let listened = drawing.and_then(|drawing| {
        let listened = listen(&mut io::BufReader::new(&stream), shared, number, program);
        shared.state.lock().clients.remove(&number);
        shared.news.notify_all();
        // It does nothing that panics.
        let _ = drawing.join();
        listened
    });
    shared.state.lock().clients.remove(&number);
    listened
}

/// Hears what a client says, to its end.
fn listen(from: &mut impl Read, shared: &Shared, number: u64, program: &Program) -> io::Result<()> {
    let (mut held, mut mouse) = (Held::default(), Mouse::default());
    loop {
        let message = Message::read(from)?;
        let mut state = shared.state.lock();
        let State {
            screen,
            clients,
            clipboard,
            ..
        } = &mut *state;
        let Some(client) = clients.get_mut(&number) else {
            return Ok(());
        };
        match message {
            Message::Format(format) => client.format = format,
            Message::Encodings(encodings) => {
                client.cursor |= encodings.cursor && !client.encodings.cursor;
                // Thereby it learns that it can ask for one.
                if encodings.extended_desktop_size && !client.encodings.extended_desktop_size {
                    client.resized = Some(Resized::News);
                }
                client.encodings = encodings;
            }
            Message::Update { incremental, area } => {
                if !incremental {
                    mark(client, screen, area);
                }
                client.wants = true;
                shared.news.notify_all();
            }
            Message::Key { down, key } => {
                let bytes = if down && held.pastes(key) {
                    screen.pasted(clipboard)
                } else {
                    held.key(key, down, screen.application_cursor())
                };
                drop(state);
                program.type_in(bytes);
            }
            Message::Pointer { buttons, x, y } => {
                let (width, height) = screen.cell();
                let now = Mouse {
                    buttons,
                    col: ((usize::from(x) / width) as u16).min(screen.cols() - 1),
                    row: ((usize::from(y) / height) as u16).min(screen.rows() - 1),
                };
                let (mode, encoding) = screen.mouse();
                let bytes = if mode == vt100::MouseProtocolMode::None && mouse.pastes(now) {
                    screen.pasted(clipboard)
                } else {
                    mouse.reports(now, mode, encoding, held)
                };
                mouse = now;
                drop(state);
                program.type_in(bytes);
            }
            Message::CutText(text) => *clipboard = text,
            Message::Size { width, height } => {
                resize(&mut state, number, (width, height), &program.terminal);
                drop(state);
                shared.news.notify_all();
            }
        }
    }
}

/// Gives the screen the size in pixels that a client wants, if it can have it.
fn resize(state: &mut State, number: u64, (width, height): (u16, u16), terminal: &Terminal) {
    let (cell_width, cell_height) = state.screen.cell();
    let cols = (usize::from(width) / cell_width) as u16;
    let rows = (usize::from(height) / cell_height) as u16;
    if !ROWS.contains(&rows) || !COLS.contains(&cols) {
        if let Some(client) = state.clients.get_mut(&number) {
            client.resized = Some(Resized::Refused);
        }
        return;
    }
    state.screen.resize(rows, cols);
    (state.width, state.height) = (width, height);
    for (other, client) in &mut state.clients {
        let why = if *other == number {
            Resized::AsWanted
        } else {
            Resized::ByOther
        };
        client.resize((width, height), &state.screen, why);
    }
    terminal.resize(WindowSize {
        rows,
        cols,
        width_px: width,
        height_px: height,
    });
}

/// All of an area counts as changed.
fn mark(client: &mut Client, screen: &screen::Screen, area: Area) {
    let (width, height) = screen.cell();
    let cells = |from: u16, length: u16, size: usize, most: u16| {
        let first = usize::from(from) / size;
        let end = (usize::from(from) + usize::from(length)).div_ceil(size);
        (first.min(most.into()), end.min(most.into()))
    };
    let (first, end) = cells(area.y, area.height, height, screen.rows());
    let (left, right) = cells(area.x, area.width, width, screen.cols());
    if left < right {
        for span in &mut client.changed[first..end] {
            *span = join(*span, Some((left as u16, right as u16)));
        }
    }
    client.margins = true;
}

/// Sends a client what it wants, to its end.
fn draw(shared: &Shared, number: u64, mut to: &TcpStream) -> io::Result<()> {
    let mut writer = rfb::Writer::default();
    loop {
        let mut bytes = Vec::new();
        let (parts, format, encodings) = {
            let mut state = shared.state.lock();
            loop {
                let Some(client) = state.clients.get(&number) else {
                    return Ok(());
                };
                if client.bell || client.copied || client.wants && client.has_news() {
                    break;
                }
                if state.ended && !client.has_news() {
                    return Ok(());
                }
                shared.news.wait(&mut state);
            }
            let State {
                screen,
                clients,
                clipboard,
                width,
                height,
                ..
            } = &mut *state;
            let Some(client) = clients.get_mut(&number) else {
                return Ok(());
            };
            if std::mem::take(&mut client.bell) {
                bytes.extend(rfb::BELL);
            }
            if std::mem::take(&mut client.copied) {
                bytes.extend(rfb::cut_text(clipboard));
            }
            let parts = if client.wants {
                client.wants = false;
                parts(client, screen, (*width, *height))
            } else {
                Vec::new()
            };
            (parts, client.format, client.encodings)
        };
        if !parts.is_empty() {
            bytes.extend(writer.update(&parts, format, encodings)?);
        }
        to.write_all(&bytes)?;
    }
}

/// What a client has not seen yet, which counts as seen then.
fn parts(
    client: &mut Client,
    screen: &mut screen::Screen,
    (width, height): (u16, u16),
) -> Vec<Part> {
    // Alone, because pixels of the same update would be of one size or the other.
    if let Some(resized) = client.resized.take() {
        return vec![if client.encodings.extended_desktop_size {
            Part::ExtendedDesktopSize(width, height, resized)
        } else {
            Part::DesktopSize(width, height)
        }];
    }
    let mut parts = Vec::new();
    if std::mem::take(&mut client.cursor) {
        parts.push(Part::Cursor);
    }
    let (cell_width, cell_height) = screen.cell();
    let mut changed = std::mem::take(&mut client.changed);
    for (row, span) in changed.iter_mut().enumerate() {
        *span = span.map(|span| screen.whole(row as u16, span));
    }
    let mut row = 0;
    for rows in changed.chunk_by(|a, b| a == b) {
        let first = row;
        row += rows.len() as u16;
        let Some((left, right)) = rows[0] else {
            continue;
        };
        let pixels = (first..row).flat_map(|row| screen.draw(row, (left, right)));
        let corner = (
            usize::from(left) * cell_width,
            usize::from(first) * cell_height,
        );
        let lines = rows.len() * cell_height;
        let columns = usize::from(right - left) * cell_width;
        let pixels = pixels.collect();
        parts.extend(cropped(client.size, corner, (columns, lines), pixels));
    }
    client.changed = vec![None; changed.len()];
    if std::mem::take(&mut client.margins) {
        let right = usize::from(screen.cols()) * cell_width;
        let bottom = usize::from(screen.rows()) * cell_height;
        let (width, height) = (usize::from(client.size.0), usize::from(client.size.1));
        let beside = (width.saturating_sub(right), height.min(bottom));
        let below = (width, height.saturating_sub(bottom));
        for (corner, size) in [((right, 0), beside), ((0, bottom), below)] {
            let pixels = vec![BACKGROUND; size.0 * size.1];
            parts.extend(cropped(client.size, corner, size, pixels));
        }
    }
    parts
}

/// What lies in a client's picture of an area.
fn cropped(
    (width, height): (u16, u16),
    (x, y): (usize, usize),
    (columns, lines): (usize, usize),
    mut pixels: Vec<screen::Rgb>,
) -> Option<Part> {
    let kept = columns.min(usize::from(width).saturating_sub(x));
    let lines = lines.min(usize::from(height).saturating_sub(y));
    if kept == 0 || lines == 0 {
        return None;
    }
    pixels.truncate(lines * columns);
    if kept < columns {
        pixels = pixels
            .chunks(columns)
            .flat_map(|line| &line[..kept])
            .copied()
            .collect();
    }
    let area = Area {
        x: x as u16,
        y: y as u16,
        width: kept as u16,
        height: lines as u16,
    };
    Some(Part::Pixels(area, pixels))
}
