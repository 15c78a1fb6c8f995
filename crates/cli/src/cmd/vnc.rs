//! `tuxlet vnc`: a terminal of a machine as a screen.

use std::{
    fs,
    net::{SocketAddr, TcpListener},
    process::{self, Stdio},
};

use anyhow::Context;
use tuxlet_vnc::{Config, Password, Screen};

use crate::{
    args::VncArgs,
    cmd::serve::{warn_of_strangers, with_machine},
    shell::Shell,
};

pub(crate) fn vnc(args: VncArgs) -> anyhow::Result<()> {
    let (password, text) = match &args.password_file {
        Some(path) => {
            let text = fs::read_to_string(path).with_context(|| path.display().to_string())?;
            let password = Password::new(&text).map_err(anyhow::Error::msg);
            let password = password.with_context(|| path.display().to_string())?;
            (password, text.trim().to_owned())
        }
        None => Password::random()?,
    };
    let listener = TcpListener::bind(args.listen)
        .with_context(|| format!("cannot listen on {}", args.listen))?;
    let address = listener.local_addr()?;
    with_machine(args.served, |served, name| {
        let screen = Screen::new(Config {
            rows: args.rows,
            cols: args.cols,
            font_size: args.font_size,
            password,
            name: format!("tuxlet {name}"),
        });
        let screen = screen.context("the screen cannot have that size")?;
        eprintln!("Machine {name} is shown at vnc://{address}");
        // Whoever has given it knows it; others must not read it over a shoulder.
        if args.password_file.is_none() {
            eprintln!("Password: {text}");
        }
        warn_of_strangers(address);
        if args.window {
            open_window(address, &text)?;
        }
        let shell = Shell::new(&served.machine, args.shell.as_deref());
        let run = screen.run(listener, &served.machine, shell.command());
        run.map(drop).map_err(|e| anyhow::anyhow!("{e}"))
    })
}

/// Starts a viewer of the host's, which goes when the screen does.
fn open_window(address: SocketAddr, password: &str) -> anyhow::Result<()> {
    let port = address.port();
    let host = if address.ip().is_unspecified() {
        "127.0.0.1".to_owned()
    } else {
        address.ip().to_string()
    };
    let mut viewer = if cfg!(target_os = "macos") {
        let mut viewer = process::Command::new("open");
        viewer.arg(format!("vnc://:{password}@{host}:{port}"));
        viewer
    } else {
        let mut viewer = process::Command::new("vncviewer");
        // Two colons: a port, not the number of a display. TigerVNC takes the password from the environment.
        viewer
            .arg(format!("{host}::{port}"))
            .env("VNC_PASSWORD", password);
        viewer
    };
    viewer
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .map(drop)
        .with_context(|| format!("cannot open a window with {:?}", viewer.get_program()))
}
