//! `tuxlet login` and `tuxlet logout`

use std::{
    io::{self, BufRead, IsTerminal, Read, Write},
    os::fd::AsFd,
};

use anyhow::{Context, bail};
use tuxlet_host::terminal::RawMode;
use tuxlet_image::oci::{
    check_login,
    credentials::{CredentialStore, Credentials},
};

use crate::args::{LoginArgs, LogoutArgs};

/// Longest password in bytes: tokens are long, too.
const PASSWORD_MAX: u64 = 64 << 10;

pub(crate) fn login(args: &LoginArgs) -> anyhow::Result<()> {
    let store = CredentialStore::of_user()?;
    let user = match &args.username {
        Some(user) => user.clone(),
        None if args.password_stdin => bail!("--password-stdin needs --username"),
        None => ask("User: ", false)?,
    };
    let password = if args.password_stdin {
        let mut text = String::new();
        io::stdin()
            .take(PASSWORD_MAX)
            .read_to_string(&mut text)
            .context("cannot read the password")?;
        text.trim_end_matches(['\r', '\n']).to_owned()
    } else {
        ask("Password: ", true)?
    };
    if user.is_empty() || user.contains(':') || password.is_empty() {
        bail!("a user and a password are needed, the user without a colon");
    }
    let credentials = Credentials { user, password };
    check_login(&args.registry, &credentials)?;
    store.set(&args.registry, &credentials)?;
    eprintln!(
        "Logged in to {}; the password is kept, not encrypted, in {}",
        args.registry,
        store.path().display()
    );
    Ok(())
}

pub(crate) fn logout(args: &LogoutArgs) -> anyhow::Result<()> {
    let store = CredentialStore::of_user()?;
    if store.remove(&args.registry)? {
        eprintln!("Logged out from {}", args.registry);
    } else {
        eprintln!("Not logged in to {}", args.registry);
    }
    Ok(())
}

/// Asks for a line on the terminal; a secret one is not shown.
fn ask(prompt: &str, secret: bool) -> anyhow::Result<String> {
    let stdin = io::stdin();
    if !stdin.is_terminal() {
        bail!("there is no terminal to ask on; use --username and --password-stdin");
    }
    let mut stderr = io::stderr();
    write!(stderr, "{prompt}")?;
    stderr.flush()?;
    if !secret {
        let mut line = String::new();
        stdin.lock().read_line(&mut line)?;
        return Ok(line.trim_end_matches(['\r', '\n']).to_owned());
    }
    let raw = RawMode::enter(stdin.as_fd())?;
    let mut line = Vec::new();
    let read = loop {
        let mut byte = [0];
        match stdin.lock().read(&mut byte) {
            Ok(0) => break Ok(()),
            Err(error) => break Err(error.into()),
            Ok(_) => {}
        }
        match byte[0] {
            b'\r' | b'\n' | 0x04 => break Ok(()),
            // Ctrl-C.
            0x03 => break Err(anyhow::anyhow!("interrupted")),
            0x08 | 0x7f => {
                line.pop();
            }
            other => line.push(other),
        }
    };
    drop(raw);
    writeln!(stderr)?;
    read?;
    String::from_utf8(line).context("the password is not UTF-8")
}
