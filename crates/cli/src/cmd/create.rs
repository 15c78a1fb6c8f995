//! `tuxlet create`

use tuxlet_image::store::Store;

use crate::{args::CreateArgs, cmd::run};

pub(crate) fn run(args: CreateArgs) -> anyhow::Result<()> {
    let store = Store::open_default()?;
    let (record, _) = run::create(&store, &args.machine, &args.process, args.rest)?;
    println!("{}", record.record.name);
    Ok(())
}
