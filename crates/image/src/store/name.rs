//! The names of images and machines.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::Error;

/// The name of an image: `debian`, `debian:bookworm`, `registry.example/owner/thing:1.2`, `localhost:5000/thing@sha256:...`.
///
/// One image has one name: `docker.io/library/alpine:latest` is `alpine`, as with Docker.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ImageName(String);

const IMAGE_RULE: &str = "names are lower-case letters, digits, `.`, `_`, `-`, with `/` between parts, the first of which may be HOST:PORT, and \
     one `:TAG` or `@sha256:DIGEST` at the end";
const MACHINE_RULE: &str =
    "names are letters, digits, `.`, `_`, `-`, and start with a letter or digit";
/// So that names with an ending fit into a file name.
const NAME_MAX: usize = 200;

impl ImageName {
    /// The name without its tag or digest.
    pub fn repository(&self) -> &str {
        split(&self.0).0
    }

    /// What stands after the colon.
    pub fn tag(&self) -> Option<&str> {
        split(&self.0).1
    }

    /// The name as one path component.
    pub(super) fn file_name(&self) -> String {
        self.0.replace('/', "%2F")
    }
}

impl FromStr for ImageName {
    type Err = Error;

    fn from_str(name: &str) -> Result<ImageName, Error> {
        let short = shortened(name);
        let (name, given) = (short, name);
        let (rest, digest) = match name.split_once("@sha256:") {
            Some((rest, digest)) => (rest, Some(digest)),
            None => (name, None),
        };
        let (repository, tag) = split(rest);
        let plain = |part: &str| {
            part.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit())
                && part
                    .bytes()
                    .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"._-".contains(&b))
        };
        let mut parts = repository.split('/');
        let first = parts.next().unwrap_or_default();
        let host = match first.split_once(':') {
            Some((host, port)) => {
                plain(host) && port.parse::<u16>().is_ok() && repository.contains('/')
            }
            None => plain(first),
        };
        let good = name.len() <= NAME_MAX
            && !rest.contains('@')
            && host
            && parts.all(plain)
            && tag.is_none_or(is_plain)
            && digest.is_none_or(|d| d.parse::<super::Digest>().is_ok());
        // `tmp-` marks unfinished files of the store.
        if good && !name.starts_with("tmp-") {
            Ok(ImageName(name.to_owned()))
        } else {
            Err(Error::BadName {
                what: "image",
                name: given.to_owned(),
                rule: IMAGE_RULE,
            })
        }
    }
}

impl TryFrom<String> for ImageName {
    type Error = Error;

    fn try_from(name: String) -> Result<ImageName, Error> {
        name.parse()
    }
}

impl From<ImageName> for String {
    fn from(name: ImageName) -> String {
        name.0
    }
}

impl fmt::Display for ImageName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A name without what goes without saying.
fn shortened(name: &str) -> &str {
    let name = name.strip_prefix("docker.io/").unwrap_or(name);
    let name = match name.strip_prefix("library/") {
        Some(rest) if !rest.contains('/') => rest,
        _ => name,
    };
    name.strip_suffix(":latest").unwrap_or(name)
}

/// The repository and the tag; the colon of a port is none of a tag.
fn split(name: &str) -> (&str, Option<&str>) {
    let name = name.split_once('@').map_or(name, |(rest, _)| rest);
    match name.rsplit_once(':') {
        Some((repository, tag)) if !tag.contains('/') => (repository, Some(tag)),
        _ => (name, None),
    }
}

fn is_plain(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && name
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
}

/// Checks a machine's name.
pub(super) fn check_machine(name: &str) -> Result<(), Error> {
    if is_plain(name) && name.len() <= NAME_MAX && !name.starts_with("tmp-") {
        Ok(())
    } else {
        Err(Error::BadName {
            what: "machine",
            name: name.to_owned(),
            rule: MACHINE_RULE,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_cannot_leave_their_directory() {
        for good in [
            "debian",
            "debian:trixie",
            "registry.example/owner/alpine:3.20",
            "localhost:5000/a/b",
            "localhost:5000/a/b:1",
            "a@sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
            "a_b-c.d",
        ] {
            assert_eq!(good.parse::<ImageName>().unwrap().to_string(), good);
        }
        for bad in [
            "",
            ".",
            "..",
            "../x",
            "a//b",
            "/a",
            "a/",
            "A",
            "a:b:c",
            "a:",
            "a:../b",
            "tmp-1",
            "a b",
            "a\0",
            "-x",
            "a:1/",
            "a:99999/b",
            "a:x/b",
            "a@sha256:1",
            "a@b",
        ] {
            assert!(bad.parse::<ImageName>().is_err(), "{bad:?}");
        }
        for bad in ["", ".", "..", "a/b", "tmp-1", "-x"] {
            assert!(check_machine(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn parts() {
        let name: ImageName = "a/debian:sid".parse().unwrap();
        assert_eq!((name.repository(), name.tag()), ("a/debian", Some("sid")));
        assert_eq!(name.file_name(), "a%2Fdebian:sid");
        let name: ImageName = "localhost:5000/x".parse().unwrap();
        assert_eq!((name.repository(), name.tag()), ("localhost:5000/x", None));
        for (long, short) in [
            ("docker.io/library/alpine:latest", "alpine"),
            ("docker.io/library/alpine:3", "alpine:3"),
            ("library/alpine", "alpine"),
            ("docker.io/grafana/grafana", "grafana/grafana"),
            (
                "registry.example/library/x:latest",
                "registry.example/library/x",
            ),
        ] {
            assert_eq!(long.parse::<ImageName>().unwrap().to_string(), short);
        }
    }
}
