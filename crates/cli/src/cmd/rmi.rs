//! `tuxlet rmi`

use tuxlet_image::store::Store;

use crate::args::RmiArgs;

pub(crate) fn run(args: &RmiArgs) -> anyhow::Result<()> {
    let store = Store::open_default()?;
    for name in &args.images {
        store.remove_image(name)?;
        println!("{name}");
    }
    Ok(())
}
