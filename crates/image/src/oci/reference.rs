//! What images are called, as Docker has it: `[HOST[:PORT]/]PATH[:TAG][@DIGEST]`.

use std::{fmt, str::FromStr};

use crate::{Error, Result, store::Digest};

/// The registry of names without one.
const DEFAULT_REGISTRY: &str = "docker.io";
/// Where the registry of that name really is.
const DEFAULT_HOST: &str = "registry-1.docker.io";
/// Longest name without tag and digest.
const NAME_MAX: usize = 255;
/// Longest tag.
const TAG_MAX: usize = 128;

/// The complete name of an image in a registry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reference {
    /// The registry as people call it: `docker.io`, `registry.example`, `localhost:5000`.
    registry: String,
    /// The repository in it: `library/alpine`.
    repository: String,
    tag: Option<String>,
    digest: Option<Digest>,
}

impl Reference {
    /// The registry as people call it: `docker.io`, `localhost:5000`.
    pub fn registry(&self) -> &str {
        &self.registry
    }

    /// The repository in the registry.
    pub fn repository(&self) -> &str {
        &self.repository
    }

    /// What the manifest has to be, where the name says that.
    pub fn digest(&self) -> Option<Digest> {
        self.digest
    }

    /// What the registry is asked for: the digest, or the tag.
    pub(crate) fn version(&self) -> String {
        match (&self.digest, &self.tag) {
            (Some(digest), _) => format!("sha256:{digest}"),
            (None, Some(tag)) => tag.clone(),
            (None, None) => "latest".to_owned(),
        }
    }

    /// The host of a registry, with its port.
    pub(crate) fn host(registry: &str) -> &str {
        if registry == DEFAULT_REGISTRY {
            DEFAULT_HOST
        } else {
            registry
        }
    }
}

/// The name that people use for a registry.
pub(crate) fn registry_name(host: &str) -> String {
    let host = host
        .trim_start_matches("https://")
        .trim_start_matches("http://");
    let host = host.split('/').next().unwrap_or(host);
    match host {
        "" | "index.docker.io" | DEFAULT_HOST => DEFAULT_REGISTRY.to_owned(),
        _ => host.to_ascii_lowercase(),
    }
}

/// Whether a host, perhaps with a port, is this one: then plain HTTP may be spoken.
pub(crate) fn is_loopback(host: &str) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => name,
        _ => host,
    };
    name == "localhost"
        || name
            .parse::<std::net::Ipv4Addr>()
            .is_ok_and(|address| address.is_loopback())
}

fn is_host(text: &str) -> bool {
    let (name, port) = match text.split_once(':') {
        Some((name, port)) => (name, Some(port)),
        None => (text, None),
    };
    let part = |part: &str| {
        !part.is_empty()
            && !part.starts_with('-')
            && !part.ends_with('-')
            && part.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
    };
    name.split('.').all(part) && port.is_none_or(|p| p.parse::<u16>().is_ok_and(|p| p > 0))
}

/// `[a-z0-9]+` with `.`, `_`, `__` or any number of `-` between.
fn is_path_part(part: &str) -> bool {
    let alphanumeric = |b: &u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let bytes = part.as_bytes();
    let ends = bytes.first().is_some_and(alphanumeric) && bytes.last().is_some_and(alphanumeric);
    let separators = bytes
        .split(alphanumeric)
        .all(|s| matches!(s, b"" | b"." | b"_" | b"__") || s.iter().all(|&b| b == b'-'));
    ends && separators
}

fn is_tag(tag: &str) -> bool {
    let word = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    tag.len() <= TAG_MAX
        && tag.bytes().next().is_some_and(word)
        && tag.bytes().all(|b| word(b) || b == b'.' || b == b'-')
}

impl FromStr for Reference {
    type Err = Error;

    fn from_str(text: &str) -> Result<Reference> {
        let wrong = |rule| Error::BadName {
            what: "image",
            name: text.to_owned(),
            rule,
        };
        let (rest, digest) = match text.split_once('@') {
            Some((rest, digest)) => {
                let hex = digest
                    .strip_prefix("sha256:")
                    .ok_or_else(|| wrong("the digest after `@` must be sha256:HEX"))?;
                let digest = hex
                    .parse()
                    .map_err(|()| wrong("a digest has 64 hexadecimal digits"))?;
                (rest, Some(digest))
            }
            None => (text, None),
        };
        let (name, tag) = match rest.rsplit_once(':') {
            Some((name, tag)) if !tag.contains('/') => (name, Some(tag)),
            _ => (rest, None),
        };
        if tag.is_some_and(|tag| !is_tag(tag)) {
            return Err(wrong(
                "a tag is at most 128 letters, digits, `_`, `.` and `-`",
            ));
        }
        let (registry, path) = match name.split_once('/') {
            Some((host, path)) if host.contains(['.', ':']) || host == "localhost" => {
                if !is_host(host) {
                    return Err(wrong("the registry is HOST or HOST:PORT"));
                }
                (registry_name(host), path)
            }
            _ => (DEFAULT_REGISTRY.to_owned(), name),
        };
        if name.len() > NAME_MAX || !path.split('/').all(is_path_part) {
            return Err(wrong(
                "parts are lower-case letters and digits with single `.`, `_` or `-` between",
            ));
        }
        let repository = if registry == DEFAULT_REGISTRY && !path.contains('/') {
            format!("library/{path}")
        } else {
            path.to_owned()
        };
        Ok(Reference {
            registry,
            repository,
            tag: tag.map(str::to_owned),
            digest,
        })
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.registry, self.repository)?;
        match (&self.tag, &self.digest) {
            (Some(tag), _) => write!(f, ":{tag}")?,
            (None, None) => f.write_str(":latest")?,
            (None, Some(_)) => {}
        }
        match &self.digest {
            Some(digest) => write!(f, "@sha256:{digest}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_completed_as_docker_does() {
        let hex = "0123456789abcdef".repeat(4);
        for (short, long) in [
            ("alpine", "docker.io/library/alpine:latest".to_owned()),
            ("alpine:3.20", "docker.io/library/alpine:3.20".to_owned()),
            ("a/b", "docker.io/a/b:latest".to_owned()),
            ("index.docker.io/a/b:c", "docker.io/a/b:c".to_owned()),
            ("docker.io/x", "docker.io/library/x:latest".to_owned()),
            (
                "registry.example/a/b/c:V1_x.y-z",
                "registry.example/a/b/c:V1_x.y-z".to_owned(),
            ),
            ("localhost/x", "localhost/x:latest".to_owned()),
            ("localhost:5000/x:1", "localhost:5000/x:1".to_owned()),
            (
                "127.0.0.1:5000/a__b/c--d",
                "127.0.0.1:5000/a__b/c--d:latest".to_owned(),
            ),
            (
                &format!("x@sha256:{hex}"),
                format!("docker.io/library/x@sha256:{hex}"),
            ),
            (
                &format!("h.example/x:t@sha256:{hex}"),
                format!("h.example/x:t@sha256:{hex}"),
            ),
        ] {
            assert_eq!(short.parse::<Reference>().unwrap().to_string(), long);
            assert_eq!(long.parse::<Reference>().unwrap().to_string(), long);
        }
        let both: Reference = format!("x:t@sha256:{hex}").parse().unwrap();
        assert_eq!(both.version(), format!("sha256:{hex}"));
    }

    #[test]
    fn other_texts_are_refused() {
        for bad in [
            "",
            ":",
            "/",
            "a/",
            "/a",
            "A",
            "a:b:c",
            "a:",
            "a:-x",
            "a@b",
            "a@sha256:12",
            "a@sha512:12",
            "a..b",
            "a___b",
            "-a",
            "a-",
            "h.io/",
            "h.io:x/a",
            "h.io:0/a",
            "-h.io/a",
            "a b",
            "../a",
            "a/../b",
            "http://h/a",
            "a\n",
            "a:\u{e9}",
        ] {
            assert!(bad.parse::<Reference>().is_err(), "{bad:?}");
        }
        assert!("a/".repeat(200).parse::<Reference>().is_err());
    }

    #[test]
    fn plain_http_is_for_this_host_only() {
        for host in ["localhost", "localhost:5000", "127.0.0.1:1", "127.9.9.9"] {
            assert!(is_loopback(host), "{host}");
        }
        for host in [
            "localhost.example",
            "10.0.0.1",
            "127.0.0.1.example:5000",
            "docker.io",
        ] {
            assert!(!is_loopback(host), "{host}");
        }
    }
}
