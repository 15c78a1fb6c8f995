//! `tuxlet import`

use tuxlet_image::{import_fakefs_v3, import_file, store::Store};

use crate::{args::ImportArgs, progress::progress, table};

pub(crate) fn run(args: &ImportArgs) -> anyhow::Result<()> {
    let store = Store::open_default()?;
    let image = if args.archive.join("meta.db").is_file() {
        import_fakefs_v3(&store, &args.name, &args.archive)?
    } else {
        import_file(&store, &args.name, &args.archive, &*progress(args.quiet))?
    };
    if !args.quiet {
        eprintln!(
            "Image {} is ready ({}); try `tuxlet run {0}`",
            image.name,
            table::size(image.size)
        );
    }
    Ok(())
}
