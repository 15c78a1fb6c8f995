//! `tuxlet rm`

use std::time::Duration;

use tuxlet_image::store::Store;

use crate::{args::RmArgs, cmd::start};

pub(crate) fn run(args: &RmArgs) -> anyhow::Result<()> {
    let store = Store::open_default()?;
    for name in &args.machines {
        if args.force {
            start::halt(&store.machine(name)?, None, Duration::ZERO)?;
        }
        store.remove_machine(name)?;
        println!("{name}");
    }
    Ok(())
}
