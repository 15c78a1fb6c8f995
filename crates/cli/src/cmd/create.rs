//! `tuxlet create`

use tuxlet_image::store::{Lifetime, Store};

use crate::{args::CreateArgs, cmd::run};

pub(crate) fn run(args: CreateArgs) -> anyhow::Result<()> {
    let store = Store::open_default()?;
    let (record, _, _) = run::create(
        &store,
        &args.machine,
        &args.process,
        args.rest,
        Lifetime::Kept,
    )?;
    println!("{}", record.record.name);
    Ok(())
}
