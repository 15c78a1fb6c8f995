//! `tuxlet rm`

use tuxlet_image::store::Store;

use crate::args::RmArgs;

pub(crate) fn run(args: &RmArgs) -> anyhow::Result<()> {
    let store = Store::open_default()?;
    for name in &args.machines {
        store.remove_machine(name)?;
        println!("{name}");
    }
    Ok(())
}
