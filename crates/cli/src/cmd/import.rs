//! `tuxlet import`

use anyhow::bail;
use tuxlet_image::{import_fakefs_v3, import_file, store::Store};

use crate::{args::ImportArgs, progress::progress, table};

pub(crate) fn run(args: &ImportArgs) -> anyhow::Result<()> {
    let store = Store::open_default()?;
    let images = if args.archive.join("meta.db").is_file() {
        let Some(name) = &args.name else {
            bail!("a fakefs store has no name of its own; give it one");
        };
        vec![import_fakefs_v3(&store, name, &args.archive)?]
    } else {
        let progress = progress(args.quiet);
        import_file(&store, args.name.as_ref(), &args.archive, &*progress)?
    };
    for image in images.iter().filter(|_| !args.quiet) {
        eprintln!(
            "Image {} is ready ({}); try `tuxlet run {0}`",
            image.name,
            table::size(image.size)
        );
    }
    Ok(())
}
