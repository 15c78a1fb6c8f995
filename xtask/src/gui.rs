//! `cargo xtask gui`: an X server, a window manager and a terminal in a machine, seen and used from the host over VNC.

use anyhow::{Context, Result, bail, ensure};
use std::{
    fs,
    io::{BufRead as _, BufReader, Write as _},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};
use tokio::{net::TcpStream, time};
use vnc::{PixelFormat, VncClient, VncConnector, VncEncoding, VncEvent, X11Event};

/// The machine that has the programs.
const BASE: &str = "gui-base";
const SESSION: &str = "gui-session";
const PASSWORD: &str = "secret77";
/// What tests/gui/session.sh paints the screen and the terminal with.
const SCREEN: [u8; 3] = [0x20, 0x30, 0x40];
const TERMINAL: [u8; 3] = [0xc0, 0x20, 0x40];
/// What a command that is typed into the terminal paints the screen with then.
const PAINTED: [u8; 3] = [0x10, 0xa0, 0xf0];

#[derive(clap::Args)]
pub(crate) struct Args {
    /// The tuxlet command.
    #[arg(long, value_name = "PROGRAM", default_value = "target/release/tuxlet")]
    tuxlet: PathBuf,
    /// The image that the machine is made of, a Debian.
    #[arg(long, default_value = "debian")]
    image: String,
    /// The port of the X server's screen.
    #[arg(long, default_value_t = 5977)]
    port: u16,
    /// Longest time for the screen to look as it must, in seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 180)]
    timeout: u64,
    /// Where to leave pictures of the screen.
    #[arg(long, value_name = "DIR", default_value = "target/gui")]
    pictures: PathBuf,
}

/// The session's command, which ends whatever happens, and its machine with it.
struct Session {
    child: Child,
    tuxlet: PathBuf,
}

impl Drop for Session {
    fn drop(&mut self) {
        // Its end takes everything in the machine with it; what is left is told by the next run.
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = quiet(&self.tuxlet, &["rm", "-f", SESSION]);
    }
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let tuxlet = args
        .tuxlet
        .canonicalize()
        .with_context(|| format!("no {}: build it or name it", args.tuxlet.display()))?;
    prepare(&tuxlet, &args.image)?;
    let session = start(&tuxlet, args.port)?;
    fs::create_dir_all(&args.pictures)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let used = use_it(args.port, &args.pictures);
    runtime.block_on(async {
        let limit = Duration::from_secs(args.timeout);
        match time::timeout(limit, used).await {
            Ok(used) => used,
            Err(_) => bail!("the screen does not look as it must"),
        }
    })?;
    drop(session);
    println!(
        "the screen is seen and used: pictures are in {}",
        args.pictures.display()
    );
    Ok(())
}

fn quiet(tuxlet: &Path, arguments: &[&str]) -> Result<bool> {
    let mut command = Command::new(tuxlet);
    command.args(arguments).stdout(Stdio::null());
    Ok(command.stderr(Stdio::null()).status()?.success())
}

fn script(name: &str) -> Result<String> {
    let path = Path::new("tests/gui").join(name);
    fs::read_to_string(&path).with_context(|| path.display().to_string())
}

/// Makes the machine with the programs, unless it is there.
fn prepare(tuxlet: &Path, image: &str) -> Result<()> {
    if quiet(tuxlet, &["inspect", BASE])? {
        return Ok(());
    }
    println!("preparing the machine {BASE}");
    let prepare = script("prepare.sh")?;
    let mut run = Command::new(tuxlet);
    run.args(["run", "--name", BASE, image, "--", "sh", "-c", &prepare]);
    if !run.stdout(Stdio::null()).status()?.success() {
        quiet(tuxlet, &["rm", BASE])?;
        bail!("{BASE} could not be prepared");
    }
    Ok(())
}

/// Starts the session in a clone and waits until it says that it is ready.
fn start(tuxlet: &Path, port: u16) -> Result<Session> {
    quiet(tuxlet, &["rm", "-f", SESSION])?;
    ensure!(
        quiet(tuxlet, &["clone", BASE, SESSION])?,
        "cannot clone {BASE}"
    );
    let mut child = Command::new(tuxlet)
        .args([
            "exec",
            "-i",
            SESSION,
            "sh",
            "-s",
            &port.to_string(),
            PASSWORD,
        ])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()?;
    let (input, output) = (child.stdin.take(), child.stdout.take());
    let session = Session {
        child,
        tuxlet: tuxlet.to_owned(),
    };
    input
        .context("no standard input")?
        .write_all(script("session.sh")?.as_bytes())?;
    let lines = BufReader::new(output.context("no standard output")?).lines();
    let ready = lines.map_while(Result::ok).any(|line| line == "ready");
    ensure!(ready, "the session has ended");
    Ok(session)
}

/// A VNC viewer.
struct Viewer {
    client: VncClient,
    width: usize,
    height: usize,
    pixels: Vec<[u8; 3]>,
}

impl Viewer {
    async fn connect(port: u16) -> Result<Self> {
        let stream = TcpStream::connect(("127.0.0.1", port)).await?;
        let connector = VncConnector::new(stream)
            .set_auth_method(async move { Ok(PASSWORD.to_owned()) })
            .add_encoding(VncEncoding::Zrle)
            .add_encoding(VncEncoding::Raw)
            .allow_shared(true)
            .set_pixel_format(PixelFormat::bgra());
        let client = connector.build()?.try_start().await?.finish()?;
        client.input(X11Event::FullRefresh).await?;
        Ok(Self {
            client,
            width: 0,
            height: 0,
            pixels: Vec::new(),
        })
    }

    fn count(&self, colour: [u8; 3]) -> usize {
        self.pixels.iter().filter(|p| **p == colour).count()
    }

    /// Follows the screen until it is as wanted.
    async fn until(&mut self, wanted: impl Fn(&Self) -> bool) -> Result<()> {
        while !wanted(self) {
            self.client.input(X11Event::Refresh).await?;
            match self.client.recv_event().await? {
                VncEvent::SetResolution(size) => {
                    (self.width, self.height) = (size.width.into(), size.height.into());
                    self.pixels = vec![[0; 3]; self.width * self.height];
                }
                VncEvent::RawImage(rect, bytes) => {
                    let (left, top) = (usize::from(rect.x), usize::from(rect.y));
                    for (at, p) in bytes.chunks_exact(4).enumerate() {
                        let (x, y) = (at % usize::from(rect.width), at / usize::from(rect.width));
                        self.pixels[(top + y) * self.width + left + x] = [p[2], p[1], p[0]];
                    }
                }
                VncEvent::Error(error) => bail!("{error}"),
                _ => {}
            }
        }
        Ok(())
    }

    async fn type_in(&self, text: &str) -> Result<()> {
        for c in text.chars() {
            let key = if c == '\n' { 0xff0d } else { c.into() };
            for down in [true, false] {
                let event = X11Event::KeyEvent((key, down).into());
                self.client.input(event).await?;
            }
        }
        Ok(())
    }

    fn save(&self, path: &Path) -> Result<()> {
        let file = fs::File::create(path)?;
        let mut encoder = png::Encoder::new(file, self.width as u32, self.height as u32);
        encoder.set_color(png::ColorType::Rgb);
        let mut writer = encoder.write_header()?;
        writer.write_image_data(self.pixels.as_flattened())?;
        Ok(())
    }
}

/// Looks at the screen, and types into the terminal.
async fn use_it(port: u16, pictures: &Path) -> Result<()> {
    let mut viewer = Viewer::connect(port).await?;
    // The window, and a frame in neither of the colours around it.
    let shown = |v: &Viewer| {
        let (screen, terminal) = (v.count(SCREEN), v.count(TERMINAL));
        screen > 200_000 && terminal > 20_000 && v.pixels.len() - screen - terminal > 2_000
    };
    viewer.until(shown).await?;
    ensure!((viewer.width, viewer.height) == (640, 480), "another size");
    viewer.save(&pictures.join("session.png"))?;
    // The window that the mouse is in gets the keys.
    let event = X11Event::PointerEvent((200, 150, 0).into());
    viewer.client.input(event).await?;
    viewer.type_in("xsetroot -solid '#10a0f0'\n").await?;
    viewer.until(|v| v.count(PAINTED) > 200_000).await?;
    viewer.save(&pictures.join("painted.png"))
}
