//! `tuxlet save`

use tuxlet_image::{oci, store::Store};

use crate::{args::SaveArgs, cmd::export};

pub(crate) fn run(args: &SaveArgs) -> anyhow::Result<()> {
    let store = Store::open_default()?;
    export::write(args.output.as_deref(), |output| {
        Ok(oci::save(&store, &args.images, output)?)
    })
}
