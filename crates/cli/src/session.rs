//! The user's terminal and a guest program's, connected.

use std::{
    io::{self, IsTerminal, Read, Write},
    os::fd::AsFd,
    sync::Arc,
    thread,
};

use tuxlet::{Terminal, WindowSize};
use tuxlet_host::{signal::HostSignal, terminal::RawMode};

/// What a window without a size counts as.
const DEFAULT_SIZE: WindowSize = WindowSize {
    rows: 24,
    cols: 80,
    width_px: 0,
    height_px: 0,
};

/// The other end of a session: the program's terminal, here or in another process.
pub(crate) trait Line: Send + Sync + 'static {
    /// Input for the program.
    fn input(&self) -> impl Write;
    /// What the program shows.
    fn output(&self) -> impl Read;
    /// No more input will ever come: the user's terminal has gone.
    fn hang_up(&self);
    /// The program has ended: nothing is to be waited for, only what is on its way.
    fn finish(&self);
}

impl Line for Terminal {
    fn input(&self) -> impl Write {
        self
    }

    fn output(&self) -> impl Read {
        self
    }

    fn hang_up(&self) {
        Terminal::hang_up(self);
    }

    fn finish(&self) {
        Terminal::finish(self);
    }
}

/// The size of the user's window.
pub(crate) fn window_size() -> WindowSize {
    [io::stdout().as_fd(), io::stdin().as_fd()]
        .into_iter()
        .find_map(|fd| tuxlet_host::terminal::window_size(fd).ok())
        .filter(|size| size.rows > 0 && size.cols > 0)
        .unwrap_or(DEFAULT_SIZE)
}

/// Connects the user's terminal, in raw mode, with the program's while `wait` waits for the program's end. Without `interactive`
/// nothing is typed, and the user's terminal stays as it is.
pub(crate) fn attach<T>(
    line: &Arc<impl Line>,
    interactive: bool,
    wait: impl FnOnce() -> T,
) -> io::Result<T> {
    let raw = if interactive {
        Some(RawMode::enter(io::stdin().as_fd())?)
    } else {
        None
    };
    let shown = Arc::clone(line);
    let screen = thread::Builder::new()
        .name("screen".to_owned())
        .spawn(move || forward(shown.output(), io::stdout().lock()))?;
    if interactive {
        let typed = Arc::clone(line);
        // Never joined: it waits for the user, and ends with this process.
        thread::Builder::new()
            .name("keyboard".to_owned())
            .spawn(move || {
                forward(io::stdin().lock(), typed.input());
                typed.hang_up();
            })?;
    }
    let result = wait();
    line.finish();
    // What a panic there was about has been reported already.
    let _ = screen.join();
    drop(raw);
    Ok(result)
}

/// Moves bytes until one side ends.
pub(crate) fn forward(mut from: impl Read, mut to: impl Write) {
    let mut buffer = vec![0; 1 << 16];
    loop {
        match from.read(&mut buffer) {
            Ok(0) => return,
            Ok(n) => {
                if let Err(error) = to.write_all(&buffer[..n]).and_then(|()| to.flush()) {
                    tracing::debug!("the other side of a terminal has gone: {error}");
                    return;
                }
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => {
                tracing::debug!("a terminal has gone: {error}");
                return;
            }
        }
    }
}

/// Fails where `-i -t` cannot work.
pub(crate) fn check_terminal(interactive: bool, tty: bool) -> anyhow::Result<()> {
    if interactive && tty && !io::stdin().is_terminal() {
        anyhow::bail!("-t with -i needs a terminal as standard input; leave -t out");
    }
    Ok(())
}

/// What signals to this process are passed on to.
pub(crate) trait Remote: Send + Sync + 'static {
    /// Sends the guest's program a signal by its number.
    fn signal(&self, number: i32);
    /// Tells its terminal, if it has one, the window's size.
    fn resize(&self, size: WindowSize);
}

impl Remote for tuxlet::Process {
    fn signal(&self, number: i32) {
        if let Err(error) = self.kill(number) {
            tracing::debug!("signal {number}: {error}");
        }
    }

    fn resize(&self, size: WindowSize) {
        if let Some(terminal) = self.terminal() {
            terminal.resize(size);
        }
    }
}

/// Passes signals and the window's size on to a guest's program for as long as it is there.
pub(crate) fn pass_signals_on(remote: &Arc<impl Remote>) -> io::Result<()> {
    use HostSignal::{Hangup, Interrupt, Quit, Terminate, WindowChange};
    let watched = [Hangup, Interrupt, Quit, Terminate, WindowChange];
    let weak = Arc::downgrade(remote);
    tuxlet_host::signal::watch(&watched, move |signal| {
        let Some(remote) = weak.upgrade() else {
            return;
        };
        match signal {
            Hangup => remote.signal(1),
            Interrupt => remote.signal(2),
            Quit => remote.signal(3),
            Terminate => remote.signal(15),
            WindowChange => remote.resize(window_size()),
        }
    })?;
    // It may have changed before anybody watched.
    remote.resize(window_size());
    Ok(())
}
