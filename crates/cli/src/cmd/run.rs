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
    patch::Patch,
    store::{self, Claim, Image, ImageName, Lifetime, Store},
};

use crate::{
    args::{MachineArgs, ProcessArgs, PullWhen, RunArgs, without_dashes},
    cmd::{
        pull::{self, Source},
        start,
    },
    control::Server,
    process::{self, Spec},
    settings::Settings,
};

/// Host name of a machine without a name.
pub(crate) const ROOTFS_NAME: &str = "tuxlet";

pub(crate) fn run(mut args: RunArgs) -> anyhow::Result<ExitCode> {
    let rest = std::mem::take(&mut args.rest);
    if let Some(directory) = &args.rootfs {
        if args.machine.name.is_some() {
            bail!("--name goes with images; a machine on --rootfs ends with its command");
        }
        let command = texts(without_dashes(rest))?;
        if command.is_empty() {
            bail!("--rootfs needs a command");
        }
        let settings = Settings::new(&args.machine, &args.process, None, command.clone())?;
        let spec = Spec::new(&args.process, &settings, command)?;
        let builder = traced(settings.builder(ROOTFS_NAME), args.strace.as_deref());
        let machine = builder.root(Root::HostDir(directory.clone())).build()?;
        return process::run(&machine, &args.process, spec, |_| {});
    }

    if rest.is_empty() {
        bail!("run needs an image, or --rootfs; `tuxlet run --help` has examples");
    }
    let store = Store::open_default()?;
    if rest.len() == 1
        && !args.detach
        && !args.process.interactive
        && !args.process.tty
        && io::stdin().is_terminal()
        && io::stdout().is_terminal()
    {
        (args.process.interactive, args.process.tty) = (true, true);
    }
    // One that goes on in another process cannot end with this one.
    let lifetime = if args.rm && !args.detach {
        Lifetime::Process
    } else {
        Lifetime::Kept
    };
    let (record, mut claim, settings) =
        create(&store, &args.machine, &args.process, rest, lifetime)?;
    if args.detach {
        drop(claim);
        start::detach(&record, args.rm)?;
        println!("{}", record.record.name);
        return Ok(ExitCode::SUCCESS);
    }
    let spec = Spec::new(&args.process, &settings, settings.command.clone())?;
    let mut builder = traced(
        settings.builder(&record.record.name),
        args.strace.as_deref(),
    );
    if args.rm {
        builder = builder.short_lived();
    }
    let status = run_in(
        &store,
        &record,
        &mut claim,
        builder,
        &args.process,
        spec,
        || {},
    );
    if args.rm {
        store.end_machine(&record, claim)?;
    }
    status
}

/// Runs a command in a machine that this process has claimed, and meanwhile those that others ask for. `started` is called
/// when the command runs.
pub(crate) fn run_in(
    store: &Store,
    record: &store::Machine,
    claim: &mut Claim,
    builder: Builder,
    args: &ProcessArgs,
    spec: Spec,
    started: impl FnOnce(),
) -> anyhow::Result<ExitCode> {
    let machine = placed(store, &patched(store, record)?, builder)?.build()?;
    let server = Server::start(record.dir(), &machine)
        .inspect_err(|e| tracing::warn!("`tuxlet exec` will not reach this machine: {e}"))
        .ok();
    claim.started();
    let status = process::run(&machine, args, spec, |process| {
        if let Some(server) = &server {
            server.command_runs(process);
        }
        started();
    });
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

/// Applies the machine's patches where it has older versions of them.
pub(crate) fn patched(store: &Store, record: &store::Machine) -> anyhow::Result<store::Machine> {
    let mut machine = record.clone();
    for directory in Settings::of(&record.record.config)?.patches {
        let patch = Patch::read(&directory)?;
        if patch.apply(store, &mut machine)? {
            tracing::info!("patch {} {} applied", patch.name(), patch.version());
        }
    }
    Ok(machine)
}

/// Gives a machine that is to be built its root file system and its volumes.
pub(crate) fn placed(
    store: &Store,
    machine: &store::Machine,
    builder: Builder,
) -> anyhow::Result<Builder> {
    let layers = machine.record.layers();
    let root = if layers.is_empty() {
        Root::Store(machine.fs_dir())
    } else {
        Root::Layers {
            upper: machine.fs_dir(),
            lower: store.layer_paths(&layers)?,
        }
    };
    let mut builder = builder.root(root);
    let settings = Settings::of(&machine.record.config)?;
    for (number, path) in settings.image_volumes.iter().enumerate() {
        let volume = store.ensure_volume(machine, number, path)?;
        builder = builder.volume(volume, path);
    }
    Ok(builder)
}

/// The image, which is made where it is missing, or again where that is wanted.
fn find_image(store: &Store, text: &str, when: PullWhen) -> anyhow::Result<Image> {
    let name: ImageName = text.parse()?;
    let missing = match store.image(&name) {
        Ok(image) if when != PullWhen::Always => return Ok(image),
        Ok(_) => None,
        Err(error @ Error::NoImage(_)) => Some(error),
        Err(error) => return Err(error.into()),
    };
    match missing {
        Some(error) if when == PullWhen::Never => return Err(error.into()),
        Some(_) => eprintln!("There is no image {name} yet; pulling it"),
        None => {}
    }
    let source = Source::of(text, &Config::load()?, false, None)?;
    pull::pull(store, &name, source, false)
}

/// Makes a machine of what stands on the command line: an image, and perhaps a command.
pub(crate) fn create(
    store: &Store,
    args: &MachineArgs,
    process: &ProcessArgs,
    mut rest: Vec<OsString>,
    lifetime: Lifetime,
) -> anyhow::Result<(store::Machine, Claim, Settings)> {
    let name = rest.remove(0).to_string_lossy().into_owned();
    let given = texts(without_dashes(rest))?;
    let image = find_image(store, &name, args.pull)?;
    let command = image.config.command_line(args.entrypoint.as_deref(), given);
    if command.is_empty() {
        bail!("image {name} has no command of its own; give one");
    }
    let settings = Settings::new(args, process, Some(&image), command)?;
    let config = serde_json::to_value(&settings)?;
    let (record, claim) = add(store, args.name.as_deref(), &image, config, lifetime)?;
    Ok((record, claim, settings))
}

/// Makes the machine, under a name of its own where none is given.
fn add(
    store: &Store,
    name: Option<&str>,
    image: &Image,
    config: serde_json::Value,
    lifetime: Lifetime,
) -> anyhow::Result<(store::Machine, Claim)> {
    if let Some(name) = name {
        return Ok(store.create_machine(name, Some(image), config, lifetime)?);
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
        let name = format!("{base}-{number:x}");
        match store.create_machine(&name, Some(image), config.clone(), lifetime) {
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
