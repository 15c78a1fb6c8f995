//! `tuxlet web`: terminals of a machine in the browser.

use std::{net::TcpListener, sync::Arc};

use anyhow::Context;
use tuxlet_rpc::{
    Limits,
    http::{self, Config},
};

use crate::{
    args::WebArgs,
    cmd::serve::{token, warn_of_strangers, with_machine},
    shell::Shell,
};

pub(crate) fn web(args: WebArgs) -> anyhow::Result<()> {
    let token = token(args.token_file.as_deref())?;
    let listener = TcpListener::bind(args.listen)
        .with_context(|| format!("cannot listen on {}", args.listen))?;
    let address = listener.local_addr()?;
    with_machine(args.served, |served, name| {
        eprintln!("Terminals of machine {name}:");
        // Whoever has given the token can see it where it is; others must not read it over a shoulder.
        let shown = match args.token_file {
            Some(_) => "TOKEN",
            None => token.reveal(),
        };
        eprintln!("http://{address}/#token={shown}");
        warn_of_strangers(address);
        let shell = Shell::new(&served.machine, args.shell.as_deref());
        let config = Config {
            token,
            origins: Vec::new(),
            limits: Limits::default(),
        };
        let make = Arc::new(move || shell.command());
        http::serve_web(listener, served.clone(), config, make).context("serving failed")
    })
}
