//! `tuxlet images`

use tuxlet_image::store::Store;

use crate::{args::ImagesArgs, table};

pub(crate) fn run(args: &ImagesArgs) -> anyhow::Result<()> {
    let images = Store::open_default()?.images()?;
    let mut rows = Vec::new();
    if !args.quiet {
        rows.push(
            ["IMAGE", "FROM", "CREATED", "SIZE"]
                .map(str::to_owned)
                .to_vec(),
        );
    }
    for image in images {
        let name = image.name.to_string();
        rows.push(if args.quiet {
            vec![name]
        } else {
            vec![
                name,
                image.origin,
                table::age(image.created),
                table::size(image.size),
            ]
        });
    }
    Ok(table::print(&rows)?)
}
