//! The states of machines: `tuxlet rename`, `clone`, `snapshot`, `restore`, `reset`, `commit`.

use tuxlet_image::store::{ImageConfig, Machine, Store};

use crate::{
    args::{CloneArgs, CommitArgs, RenameArgs, ResetArgs, RestoreArgs, SnapshotArgs},
    settings::Settings,
    table,
};

pub(crate) fn rename(args: &RenameArgs) -> anyhow::Result<()> {
    Store::open_default()?.rename_machine(&args.machine, &args.name)?;
    Ok(())
}

pub(crate) fn clone(args: &CloneArgs) -> anyhow::Result<()> {
    let machine = Store::open_default()?.clone_machine(&args.machine, &args.name)?;
    println!("{}", machine.record.name);
    Ok(())
}

pub(crate) fn snapshot(args: &SnapshotArgs) -> anyhow::Result<()> {
    let store = Store::open_default()?;
    match &args.snapshot {
        Some(name) if args.remove => store.remove_snapshot(&args.machine, name)?,
        Some(name) => store.snapshot(&args.machine, name)?,
        None => {
            let machine = store.machine(&args.machine)?;
            let mut rows = vec![vec!["SNAPSHOT".to_owned(), "TAKEN".to_owned()]];
            for snapshot in machine.record.snapshots {
                rows.push(vec![snapshot.name, table::age(snapshot.created)]);
            }
            table::print(&rows)?;
        }
    }
    Ok(())
}

pub(crate) fn restore(args: &RestoreArgs) -> anyhow::Result<()> {
    Ok(Store::open_default()?.restore(&args.machine, &args.snapshot)?)
}

pub(crate) fn reset(args: &ResetArgs) -> anyhow::Result<()> {
    Ok(Store::open_default()?.reset(&args.machine)?)
}

pub(crate) fn commit(args: &CommitArgs) -> anyhow::Result<()> {
    let store = Store::open_default()?;
    let machine = store.machine(&args.machine)?;
    let config = config_of(&store, &machine)?;
    let image = store.commit_machine(&args.machine, &args.image, config)?;
    println!("{}", image.name);
    Ok(())
}

/// How the commands of a machine run, as an image says that.
fn config_of(store: &Store, machine: &Machine) -> anyhow::Result<ImageConfig> {
    let settings = Settings::of(&machine.record.config)?;
    let image = machine.record.image.as_ref();
    // It may be gone, or another one by now; then its labels are lost.
    let image = image.and_then(|name| store.image(name).ok());
    let base = image
        .filter(|image| image.layers() == machine.record.base_layers())
        .map(|image| image.config)
        .unwrap_or_default();
    let mut config = ImageConfig {
        env: settings
            .env
            .iter()
            .map(|(n, v)| format!("{n}={v}"))
            .collect(),
        workdir: settings.workdir.unwrap_or_else(|| "/".to_owned()),
        user: settings.user.unwrap_or_default(),
        volumes: base.volumes,
        stop_signal: settings.stop_signal,
        exposed_ports: base.exposed_ports,
        labels: base.labels,
        ..ImageConfig::default()
    };
    let entrypoint = base.entrypoint;
    match settings.command.strip_prefix(&entrypoint[..]) {
        Some(rest) => {
            config.command = rest.to_vec();
            config.entrypoint = entrypoint;
        }
        None => config.command = settings.command,
    }
    Ok(config)
}
