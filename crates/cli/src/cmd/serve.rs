//! `tuxlet serve` and `tuxlet mcp`: a machine for programs.

use std::{
    fs,
    io::{self, BufReader},
    net::{SocketAddr, TcpListener},
    os::unix::{
        fs::{DirBuilderExt, PermissionsExt},
        net::UnixListener,
    },
    path::Path,
    sync::Arc,
    thread,
};

use anyhow::{Context, bail};
use tuxlet::Root;
use tuxlet_image::{
    Error,
    store::{self, Lifetime, Store},
};
use tuxlet_rpc::{
    Limits, Served, Session, Token,
    http::{self, Config},
    lines, mcp,
};

use crate::{
    args::{McpArgs, ProcessArgs, ServeArgs, ServedArgs},
    cmd::run,
    control::Server,
    keeper::Kept,
    settings::Settings,
};

pub(crate) fn serve(args: ServeArgs) -> anyhow::Result<()> {
    let (listen, origins) = (args.listen, args.allow_origin);
    if args.stdio {
        return with_machine(args.served, |served, _| {
            talk(served, io::stdin().lock(), io::stdout())
        });
    }
    if let Some(path) = args.socket {
        return with_machine(args.served, |served, _| serve_socket(served, &path));
    }
    let token = token(args.token_file.as_deref())?;
    // Before the machine is there: what is in use should not cost one.
    let listener =
        TcpListener::bind(listen).with_context(|| format!("cannot listen on {listen}"))?;
    let address = listener.local_addr()?;
    with_machine(args.served, |served, name| {
        eprintln!("Machine {name} is served on http://{address}/ and ws://{address}/ws");
        if args.token_file.is_none() {
            eprintln!("Token: {}", token.reveal());
        }
        warn_of_strangers(address);
        let config = Config {
            token,
            origins,
            limits: Limits::default(),
        };
        http::serve(listener, served.clone(), config).context("serving failed")
    })
}

/// The token of a file, or a new one.
pub(super) fn token(file: Option<&Path>) -> anyhow::Result<Token> {
    let Some(path) = file else {
        return Ok(Token::random()?);
    };
    let text = fs::read_to_string(path).with_context(|| path.display().to_string())?;
    Token::new(&text)
        .map_err(anyhow::Error::msg)
        .with_context(|| path.display().to_string())
}

/// Tells whoever listens to more than this computer what that means.
pub(super) fn warn_of_strangers(address: SocketAddr) {
    if !address.ip().is_loopback() {
        eprintln!(
            "Others on the network can reach it, and read what goes over it: it is not encrypted"
        );
    }
}

pub(crate) fn mcp(args: McpArgs) -> anyhow::Result<()> {
    with_machine(args.served, |served, name| {
        let limit = Limits::default().message;
        let make = |outbox| {
            let server = mcp::Server::new(served.machine.clone(), name, outbox);
            move |line: &str| server.handle(line)
        };
        lines::serve(io::stdin().lock(), io::stdout(), limit, make)?;
        Ok(())
    })
}

/// Talks to one client by lines until it goes.
fn talk(
    served: &Served,
    input: impl io::BufRead,
    output: impl io::Write + Send,
) -> anyhow::Result<()> {
    let limits = Limits::default();
    let limit = limits.message;
    lines::serve(input, output, limit, |outbox| {
        let session = Session::new(served.clone(), limits, outbox);
        move |line: &str| session.handle(line)
    })?;
    Ok(())
}

fn serve_socket(served: &Served, path: &Path) -> anyhow::Result<()> {
    let shown = path.display();
    if path.exists() {
        bail!("{shown} is there already; remove it if nothing serves it any more");
    }
    let listener = private_socket(path).with_context(|| format!("cannot listen on {shown}"))?;
    eprintln!("Listening on {shown}");
    for connection in listener.incoming() {
        let connection = connection?;
        let input = BufReader::new(connection.try_clone()?);
        let served = served.clone();
        thread::Builder::new()
            .name("client".to_owned())
            .spawn(move || {
                if let Err(error) = talk(&served, input, connection) {
                    tracing::warn!("a client: {error:#}");
                }
            })?;
    }
    Ok(())
}

/// A socket that only this user can connect to, from the beginning: it is made in a directory of its own and then moved.
fn private_socket(path: &Path) -> io::Result<UnixListener> {
    let mut hidden = path.as_os_str().to_owned();
    hidden.push(format!(".{}", std::process::id()));
    let hidden = Path::new(&hidden);
    fs::DirBuilder::new().mode(0o700).create(hidden)?;
    let inside = hidden.join("s");
    let made = UnixListener::bind(&inside).and_then(|listener| {
        fs::set_permissions(&inside, fs::Permissions::from_mode(0o600))?;
        fs::rename(&inside, path)?;
        Ok(listener)
    });
    fs::remove_dir(hidden).or_else(|_| fs::remove_dir_all(hidden))?;
    made
}

/// Runs a machine for as long as `serve` does. What `exec`, `cp` and `ps` ask for is done, too.
pub(super) fn with_machine(
    args: ServedArgs,
    serve: impl FnOnce(&Served, &str) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let Some(image) = args.image else {
        let directory = args.rootfs.context("there is no image")?;
        let settings = Settings::new(&args.machine, &ProcessArgs::default(), None, Vec::new())?;
        let builder = settings.builder(run::ROOTFS_NAME);
        let machine = builder.root(Root::HostDir(directory)).build()?;
        return serve(&machine.into(), run::ROOTFS_NAME);
    };
    let store = Store::open_default()?;
    let (record, mut claim) = match existing(&store, &image.to_string_lossy())? {
        Some(record) => {
            let claim = record.lock()?;
            (record, claim)
        }
        None => {
            let process = ProcessArgs::default();
            let made = run::create(&store, &args.machine, &process, vec![image], Lifetime::Kept)?;
            (made.0, made.1)
        }
    };
    let settings = Settings::of(&record.record.config)?;
    let name = &record.record.name;
    let mut builder = settings.builder(name);
    if args.rm {
        builder = builder.short_lived();
    }
    let machine = run::placed(&store, &run::patched(&store, &record)?, builder)?.build()?;
    let control = Server::start(record.dir(), &machine)
        .inspect_err(|e| tracing::warn!("`tuxlet exec` will not reach this machine: {e}"))
        .ok();
    claim.started();
    let served = Served {
        machine: machine.clone(),
        keeper: Some(Arc::new(Kept {
            store: store.clone(),
            machine: machine.clone(),
            name: name.clone(),
            short_lived: args.rm,
        })),
    };
    let result = serve(&served, name);
    drop(served);
    if let Some(control) = control {
        control.stop();
    }
    drop(machine);
    drop(claim);
    if args.rm {
        store.remove_machine(name)?;
    }
    result
}

fn existing(store: &Store, name: &str) -> anyhow::Result<Option<store::Machine>> {
    match store.machine(name) {
        Ok(machine) => Ok(Some(machine)),
        Err(Error::NoMachine(_) | Error::BadName { .. }) => Ok(None),
        Err(error) => Err(error.into()),
    }
}
