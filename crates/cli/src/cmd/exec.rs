//! `tuxlet exec`

use std::process::ExitCode;

use tuxlet_image::store::Store;

use crate::{
    args::{ExecArgs, without_dashes},
    cmd::run,
    guest,
};

pub(crate) fn run(args: ExecArgs) -> anyhow::Result<ExitCode> {
    let command = run::texts(without_dashes(args.command))?;
    let store = Store::open_default()?;
    let record = store.machine(&args.machine)?;
    // A machine that nobody runs is started for the command.
    let _lock = record.lock()?;
    let machine = run::builder_of(&record)
        .root(run::root(&store, &record)?)
        .build()?;
    guest::share_name_servers(&machine);
    let env = record
        .record
        .image
        .as_ref()
        .and_then(|name| store.image(name).ok())
        .map(|image| image.env);
    run::start(&machine, &args.process, &command, &env.unwrap_or_default())
}
