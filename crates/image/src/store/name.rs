//! The names of images and machines.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::Error;

/// The name of an image: `debian`, `debian:bookworm`, `docker.io/library/alpine:3.20`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ImageName(String);

const IMAGE_RULE: &str = "names are lower-case letters, digits, `.`, `_`, `-`, with `/` between parts and one `:TAG` at the end";
const MACHINE_RULE: &str =
    "names are letters, digits, `.`, `_`, `-`, and start with a letter or digit";
/// So that names with an ending fit into a file name.
const NAME_MAX: usize = 200;

impl ImageName {
    /// The name without its tag.
    pub fn repository(&self) -> &str {
        self.0
            .split_once(':')
            .map_or(&self.0, |(repository, _)| repository)
    }

    /// What stands after the colon.
    pub fn tag(&self) -> Option<&str> {
        self.0.split_once(':').map(|(_, tag)| tag)
    }

    /// The name as one path component.
    pub(super) fn file_name(&self) -> String {
        self.0.replace('/', "%2F")
    }
}

impl FromStr for ImageName {
    type Err = Error;

    fn from_str(name: &str) -> Result<ImageName, Error> {
        let (repository, tag) = name
            .split_once(':')
            .map_or((name, None), |(r, t)| (r, Some(t)));
        let part = |part: &str| {
            part.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit())
                && part
                    .bytes()
                    .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"._-".contains(&b))
        };
        let good =
            name.len() <= NAME_MAX && repository.split('/').all(part) && tag.is_none_or(is_plain);
        // `tmp-` marks unfinished files of the store.
        if good && !name.starts_with("tmp-") {
            Ok(ImageName(name.to_owned()))
        } else {
            Err(Error::BadName {
                what: "image",
                name: name.to_owned(),
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
            "docker.io/library/alpine:3.20",
            "a_b-c.d",
        ] {
            assert_eq!(good.parse::<ImageName>().unwrap().to_string(), good);
        }
        for bad in [
            "", ".", "..", "../x", "a//b", "/a", "a/", "A", "a:b:c", "a:", "a:../b", "tmp-1",
            "a b", "a\0", "-x",
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
    }
}
