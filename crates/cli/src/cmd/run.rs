//! `tuxlet run`

use std::{
    ffi::OsString,
    io::{self, IsTerminal},
    process::ExitCode,
};

use anyhow::bail;
use tuxlet::{Builder, Root};
use tuxlet_image::{
    Error,
    config::Config,
    debian,
    store::{self, Image, ImageName, Store},
};

use crate::{
    args::{ProcessArgs, RunArgs, without_dashes},
    cmd::pull,
    control::Server,
    process::{self, Spec},
    settings::Settings,
};

/// Host name of a machine without a name.
const ROOTFS_NAME: &str = "tuxlet";

pub(crate) fn run(mut args: RunArgs) -> anyhow::Result<ExitCode> {
    let mut rest = std::mem::take(&mut args.rest);
    if let Some(directory) = &args.rootfs {
        if args.name.is_some() {
            bail!("--name goes with images; a machine on --rootfs ends with its command");
        }
        let command = texts(without_dashes(rest))?;
        if command.is_empty() {
            bail!("--rootfs needs a command");
        }
        let settings = Settings::new(&args, None, command.clone())?;
        let spec = Spec::new(&args.process, &settings, command)?;
        let builder = traced(settings.builder(ROOTFS_NAME), args.strace.as_deref());
        let machine = builder.root(Root::HostDir(directory.clone())).build()?;
        return process::run(&machine, &args.process, spec);
    }

    if rest.is_empty() {
        bail!("run needs an image, or --rootfs; `tuxlet run --help` has examples");
    }
    let name: ImageName = rest.remove(0).to_string_lossy().parse()?;
    let given = texts(without_dashes(rest))?;
    let store = Store::open_default()?;
    let image = find_image(&store, &name)?;
    if given.is_empty()
        && !args.process.interactive
        && !args.process.tty
        && io::stdin().is_terminal()
        && io::stdout().is_terminal()
    {
        (args.process.interactive, args.process.tty) = (true, true);
    }
    let command = if given.is_empty() {
        image.command.clone()
    } else {
        given
    };
    let settings = Settings::new(&args, Some(&image), command.clone())?;
    let spec = Spec::new(&args.process, &settings, command)?;
    let record = create(
        &store,
        args.name.as_deref(),
        &image,
        serde_json::to_value(&settings)?,
    )?;
    let lock = record.lock()?;
    let name = &record.record.name;
    let mut builder = traced(settings.builder(name), args.strace.as_deref());
    if args.rm {
        builder = builder.short_lived();
    }
    let status = run_in(&store, &record, builder, &args.process, spec);
    drop(lock);
    if args.rm {
        store.remove_machine(name)?;
    }
    status
}

/// Runs a command in a machine that this process has claimed, and meanwhile those that others ask for.
pub(crate) fn run_in(
    store: &Store,
    record: &store::Machine,
    builder: Builder,
    args: &ProcessArgs,
    spec: Spec,
) -> anyhow::Result<ExitCode> {
    let machine = builder.root(root(store, record)?).build()?;
    let server = Server::start(record.dir(), &machine)
        .inspect_err(|e| tracing::warn!("`tuxlet exec` will not reach this machine: {e}"))
        .ok();
    let status = process::run(&machine, args, spec);
    if let Some(server) = server {
        server.stop();
    }
    status
}

/// Adds what `--strace` says.
fn traced(builder: Builder, filter: Option<&str>) -> Builder {
    let Some(filter) = filter else {
        return builder;
    };
    let names = filter.split(',').map(str::trim).filter(|n| !n.is_empty());
    builder.strace(names.map(str::to_owned).collect())
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
