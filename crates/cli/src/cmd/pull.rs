//! `tuxlet pull`

use anyhow::bail;
use tuxlet_image::{
    alpine,
    config::Config,
    debian,
    oci::{self, Reference, credentials::CredentialStore},
    pull_debian,
    store::{Image, ImageName, Store},
};

use crate::{args::PullArgs, guest::Guest, progress::progress, table};

pub(crate) fn run(args: PullArgs) -> anyhow::Result<()> {
    let config = Config::load()?;
    let name = match &args.name {
        Some(name) => name.clone(),
        None => args.image.parse()?,
    };
    let given = args.mirror.is_some()
        || !args.include.is_empty()
        || !args.keyring.is_empty()
        || args.ignore_valid_until;
    let source = match Source::of(&args.image, &config, args.registry, args.mirror.as_deref())? {
        Source::Debian(options) => Source::Debian(debian::Options {
            include: args.include,
            keyrings: args.keyring,
            check_valid_until: !args.ignore_valid_until,
            ..options
        }),
        Source::Alpine(_) if !args.include.is_empty() || !args.keyring.is_empty() => {
            bail!("--include and --keyring are for Debian; install more with apk")
        }
        Source::Registry(_) if given => bail!(
            "{} comes from a registry; --mirror, --include, --keyring and --ignore-valid-until are for `debian` and `alpine`",
            args.image
        ),
        other => other,
    };
    pull(&Store::open_default()?, &name, source, args.quiet)?;
    Ok(())
}

/// Where an image comes from.
#[derive(Debug)]
pub(crate) enum Source {
    /// Debian's packages.
    Debian(debian::Options),
    /// Alpine's root file system.
    Alpine(alpine::Options),
    /// A registry.
    Registry(Reference),
}

impl Source {
    /// Where what is called `image` comes from: distributions that a mirror is known for from there, unless the registry is asked
    /// for; all else from a registry.
    pub(crate) fn of(
        image: &str,
        config: &Config,
        registry: bool,
        mirror: Option<&str>,
    ) -> anyhow::Result<Source> {
        let (name, tag) = image
            .split_once(':')
            .map_or((image, None), |(n, t)| (n, Some(t)));
        let tag = tag.filter(|tag| *tag != "latest").map(str::to_owned);
        let mirror = mirror.map(str::to_owned);
        // Tags that are versions or variants are those of the registry's images.
        let suite = tag.as_deref().is_none_or(|tag| {
            tag.starts_with(|c: char| c.is_ascii_lowercase()) && !tag.ends_with("-slim")
        });
        if name == "debian" && suite && !registry {
            let options = debian::Options {
                suite: tag.clone(),
                mirror: mirror.clone(),
                ..debian::Options::new(config)
            };
            if options.knows_mirror() {
                return Ok(Source::Debian(options));
            }
            eprintln!("No Debian mirror is known here; taking docker.io's image of that name");
        }
        let version = tag.as_deref().is_none_or(alpine::is_version);
        if name == "alpine" && version && !registry {
            let options = alpine::Options {
                version: tag,
                mirror,
                ..alpine::Options::new(config)
            };
            if options.known_mirror().is_some() {
                return Ok(Source::Alpine(options));
            }
            eprintln!("No Alpine mirror is known here; taking docker.io's image of that name");
        }
        Ok(Source::Registry(image.parse()?))
    }
}

/// Makes the image `name`.
pub(crate) fn pull(
    store: &Store,
    name: &ImageName,
    source: Source,
    quiet: bool,
) -> anyhow::Result<Image> {
    let progress = progress(quiet);
    let image = match source {
        Source::Debian(options) => pull_debian(store, name, &options, &mut Guest, &*progress)?,
        Source::Alpine(options) => alpine::pull(store, name, &options, &*progress)?,
        Source::Registry(reference) => {
            let credentials = CredentialStore::of_user()?.find(reference.registry())?;
            let pulled = oci::pull(store, name, &reference, credentials, &*progress)?;
            if !pulled.fresh && !quiet {
                eprintln!("Image {name} is up to date");
                return Ok(pulled.image);
            }
            pulled.image
        }
    };
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources() {
        let config = Config::default();
        let source = |image: &str, registry| match Source::of(
            image,
            &config,
            registry,
            Some("http://m.example/x"),
        )
        .unwrap()
        {
            Source::Debian(o) => format!("debian {:?}", o.suite),
            Source::Alpine(o) => format!("alpine {:?}", o.version),
            Source::Registry(reference) => reference.to_string(),
        };
        for (image, registry, from) in [
            ("debian", false, "debian None"),
            ("debian:latest", false, "debian None"),
            ("debian:bookworm", false, "debian Some(\"bookworm\")"),
            ("debian:bookworm", true, "docker.io/library/debian:bookworm"),
            (
                "debian:bookworm-slim",
                false,
                "docker.io/library/debian:bookworm-slim",
            ),
            ("debian:12", false, "docker.io/library/debian:12"),
            ("alpine:3.20", false, "alpine Some(\"3.20\")"),
            ("alpine:3", false, "docker.io/library/alpine:3"),
            (
                "docker.io/library/alpine",
                false,
                "docker.io/library/alpine:latest",
            ),
            (
                "localhost:5000/debian",
                false,
                "localhost:5000/debian:latest",
            ),
        ] {
            assert_eq!(source(image, registry), from, "{image}");
        }
        assert!(Source::of("A", &config, false, None).is_err());
    }
}
