//! `tuxlet run`

use std::{
    ffi::OsString,
    io::{self, IsTerminal},
    process::ExitCode,
    sync::Arc,
};

use anyhow::{Context, bail};
use tuxlet::{Bind, Builder, Command, Machine, Root, Stdio};
use tuxlet_image::{
    Error,
    config::Config,
    debian,
    store::{self, Image, ImageName, Store},
};

use crate::{
    args::{ProcessArgs, RunArgs, without_dashes},
    cmd::pull,
    guest, session,
};

pub(crate) fn run(args: RunArgs) -> anyhow::Result<ExitCode> {
    let mut builder = Machine::builder();
    for volume in &args.volume {
        builder = builder.bind(Bind {
            host: volume.host.clone(),
            guest: volume.guest.clone(),
            read_only: volume.read_only,
        });
    }
    if let Some(size) = args.memory {
        builder = builder.memory(size.0);
    }
    if let Some(filter) = &args.strace {
        let names = filter
            .split(',')
            .map(str::trim)
            .filter(|n| !n.is_empty())
            .map(str::to_owned)
            .collect();
        builder = builder.strace(names).events(Arc::new(guest::Trace));
    }
    if let Some(directory) = args.rootfs {
        if args.name.is_some() {
            bail!("--name goes with images; a machine on --rootfs ends with its command");
        }
        let command = texts(without_dashes(args.rest))?;
        if command.is_empty() {
            bail!("--rootfs needs a command");
        }
        if let Some(name) = &args.hostname {
            builder = builder.hostname(name);
        }
        let machine = builder.root(Root::HostDir(directory)).build()?;
        return start(&machine, &args.process, &command, &[]);
    }

    let mut rest = args.rest.into_iter();
    let Some(image) = rest.next() else {
        bail!("run needs an image, or --rootfs; `tuxlet run --help` has examples");
    };
    let image: ImageName = image.to_string_lossy().parse()?;
    let given = texts(without_dashes(rest.collect()))?;
    let store = Store::open_default()?;
    let image = find_image(&store, &image)?;
    let mut process = args.process;
    if given.is_empty()
        && !process.interactive
        && !process.tty
        && io::stdin().is_terminal()
        && io::stdout().is_terminal()
    {
        (process.interactive, process.tty) = (true, true);
    }
    let command = if given.is_empty() {
        image.command.clone()
    } else {
        given
    };

    let config = serde_json::json!({ "command": &command, "hostname": &args.hostname });
    let record = create(&store, args.name.as_deref(), &image, config)?;
    let name = record.record.name.clone();
    if args.rm {
        builder = builder.short_lived();
    }
    let lock = record.lock()?;
    builder = builder.hostname(args.hostname.as_deref().unwrap_or(&name));
    let status = (|| {
        let machine = builder.root(root(&store, &record)?).build()?;
        guest::share_name_servers(&machine);
        if process.workdir.is_none() && image.workdir != "/" {
            process.workdir = Some(image.workdir.clone());
        }
        if process.user.is_none() && !image.user.is_empty() {
            process.user = Some(image.user.clone());
        }
        start(&machine, &process, &command, &image.env)
    })();
    drop(lock);
    if args.rm {
        store.remove_machine(&name)?;
    }
    status
}

/// The layers a machine stands on, as a root file system.
pub(crate) fn root(store: &Store, machine: &store::Machine) -> anyhow::Result<Root> {
    Ok(match &machine.record.layer {
        Some(layer) => Root::Layers {
            upper: machine.fs_dir(),
            lower: vec![store.layer_path(layer)?],
        },
        None => Root::Store(machine.fs_dir()),
    })
}

/// The image, which is made where it is missing and can be.
fn find_image(store: &Store, name: &ImageName) -> anyhow::Result<Image> {
    match store.image(name) {
        Err(Error::NoImage(_)) if pull::is_known(name) => {
            eprintln!("There is no image {name} yet; making it from Debian's packages");
            pull::pull(
                store,
                name,
                name,
                debian::Options::new(&Config::load()?),
                false,
            )
        }
        other => Ok(other?),
    }
}

/// Makes the machine, under a name of its own where none is given.
fn create(
    store: &Store,
    name: Option<&str>,
    image: &Image,
    config: serde_json::Value,
) -> anyhow::Result<store::Machine> {
    if let Some(name) = name {
        return Ok(store.create_machine(name, Some(image), config)?);
    }
    let base = image
        .name
        .repository()
        .rsplit('/')
        .next()
        .unwrap_or("machine")
        .to_owned();
    let mut number = std::process::id();
    loop {
        match store.create_machine(&format!("{base}-{number:x}"), Some(image), config.clone()) {
            Err(Error::MachineExists(_)) => number = number.wrapping_mul(31).wrapping_add(7),
            other => return Ok(other?),
        }
    }
}

/// Runs a command to its end; the exit status is its own.
pub(crate) fn start(
    machine: &Machine,
    args: &ProcessArgs,
    command: &[String],
    image_env: &[String],
) -> anyhow::Result<ExitCode> {
    let Some((program, rest)) = command.split_first() else {
        bail!("there is no command to run");
    };
    let mut run = Command::new(program).args(rest);
    for variable in image_env {
        if let Some((name, value)) = variable.split_once('=') {
            run = run.env(name, value);
        }
    }
    if args.tty {
        run = run.env(
            "TERM",
            std::env::var("TERM").unwrap_or_else(|_| "xterm".to_owned()),
        );
    }
    for variable in &args.env {
        match variable
            .value
            .clone()
            .or_else(|| std::env::var(&variable.name).ok())
        {
            Some(value) => run = run.env(&variable.name, value),
            None => tracing::debug!("{} is not set here and so not there", variable.name),
        }
    }
    if let Some(directory) = &args.workdir {
        run = run.cwd(directory);
    }
    if let Some(user) = &args.user {
        run = run.user(user);
    }
    session::check_terminal(args.interactive, args.tty)?;
    if args.tty {
        run = run.terminal(session::window_size());
    } else {
        if args.interactive {
            run = run.stdin(Stdio::inherit(io::stdin())?);
        }
        run = run
            .stdout(Stdio::inherit(io::stdout())?)
            .stderr(Stdio::inherit(io::stderr())?);
    }
    match machine.exec(run) {
        Ok(process) => {
            let process = Arc::new(process);
            session::pass_signals_on(&process).context("cannot watch signals")?;
            let status = match process.terminal() {
                Some(terminal) => session::attach(terminal, args.interactive, || process.wait())
                    .context("cannot use the terminal")?,
                None => process.wait(),
            };
            Ok(ExitCode::from(status.code()))
        }
        Err(error) => {
            let (status, text) = guest::explain(machine, &error);
            eprintln!("tuxlet: {text}");
            Ok(ExitCode::from(status))
        }
    }
}

/// Words of the command line as text.
pub(crate) fn texts(words: Vec<OsString>) -> anyhow::Result<Vec<String>> {
    words
        .into_iter()
        .map(|word| {
            word.into_string()
                .map_err(|w| anyhow::anyhow!("{} is not UTF-8", w.to_string_lossy()))
        })
        .collect()
}

/// The builder for a machine that exists, as its record remembers it.
pub(crate) fn builder_of(machine: &store::Machine) -> Builder {
    let name = machine
        .record
        .config
        .get("hostname")
        .and_then(|n| n.as_str());
    Machine::builder().hostname(name.unwrap_or(&machine.record.name))
}
