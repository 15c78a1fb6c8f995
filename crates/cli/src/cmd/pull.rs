//! `tuxlet pull`

use anyhow::bail;
use tuxlet_image::{
    config::Config,
    debian, pull_debian,
    store::{Image, ImageName, Store},
};

use crate::{args::PullArgs, guest::Guest, progress::progress, table};

pub(crate) fn run(args: PullArgs) -> anyhow::Result<()> {
    let name = args.name.unwrap_or_else(|| args.distribution.clone());
    let options = debian::Options {
        mirror: args.mirror,
        include: args.include,
        keyrings: args.keyring,
        check_valid_until: !args.ignore_valid_until,
        ..debian::Options::new(&Config::load()?)
    };
    pull(
        &Store::open_default()?,
        &args.distribution,
        &name,
        options,
        args.quiet,
    )?;
    Ok(())
}

/// Whether there is a way to make an image of that name.
pub(crate) fn is_known(distribution: &ImageName) -> bool {
    distribution.repository() == "debian"
}

/// Makes the image `name` from a distribution.
pub(crate) fn pull(
    store: &Store,
    distribution: &ImageName,
    name: &ImageName,
    mut options: debian::Options,
    quiet: bool,
) -> anyhow::Result<Image> {
    if !is_known(distribution) {
        bail!(
            "do not know where {distribution} comes from; `debian` and `debian:SUITE` can be pulled, `tuxlet import` takes any other root file system as a tar archive"
        );
    }
    options.suite = distribution.tag().map(str::to_owned);
    let image = pull_debian(store, name, &options, &mut Guest, &*progress(quiet))?;
    if !quiet {
        eprintln!(
            "Image {} is ready: {}, {}",
            image.name,
            image.origin,
            table::size(image.size)
        );
    }
    Ok(image)
}
