//! apt's lists of archives (sources.list(5)), to find a mirror that the host already uses.

use std::{fs, path::Path};

use super::deb822;

/// Names of Debian's releases and their roles, without which an archive is not taken for Debian's own.
const SUITES: &[&str] = &[
    "bullseye",
    "bookworm",
    "trixie",
    "forky",
    "duke",
    "sid",
    "oldoldstable",
    "oldstable",
    "stable",
    "testing",
    "unstable",
];

/// One archive of binary packages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// Its address, without a slash at the end.
    pub uri: String,
    /// The suites taken from it.
    pub suites: Vec<String>,
    /// The components taken from them.
    pub components: Vec<String>,
}

impl Source {
    fn is_main(&self) -> bool {
        self.components.iter().any(|c| c == "main")
            && ["http://", "https://", "file:"]
                .iter()
                .any(|s| self.uri.starts_with(s))
    }

    /// Whether it looks like the Debian archive itself.
    fn is_archive(&self) -> bool {
        self.is_main()
            && self
                .suites
                .iter()
                .any(|suite| SUITES.contains(&suite.as_str()))
            && !self.uri.ends_with("-security")
    }

    /// Whether it looks like Debian's security archive.
    fn is_security(&self) -> bool {
        let base = |suite: &str| {
            SUITES
                .iter()
                .any(|known| suite.strip_prefix(known) == Some("-security"))
        };
        self.is_main() && self.suites.iter().any(|suite| base(suite))
    }
}

/// Where Debian can be had.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Mirrors {
    /// Archives, best first.
    pub archives: Vec<String>,
    /// Security archives, best first.
    pub security: Vec<String>,
}

impl Mirrors {
    /// Of the system below `root` (normally `/`), from its apt sources; empty where it has none. What cannot be read or understood
    /// is passed over: it is somebody else's file.
    pub fn of_host(root: &Path) -> Mirrors {
        let apt = root.join("etc/apt");
        let mut files = vec![apt.join("sources.list")];
        if let Ok(directory) = fs::read_dir(apt.join("sources.list.d")) {
            let mut more: Vec<_> = directory.flatten().map(|entry| entry.path()).collect();
            more.sort();
            files.extend(more);
        }
        let mut sources = Vec::new();
        for path in files {
            let Ok(bytes) = fs::read(&path) else { continue };
            let text = String::from_utf8_lossy(&bytes);
            match path.extension().and_then(|e| e.to_str()) {
                Some("list") => sources.extend(parse_list(&text)),
                Some("sources") => sources.extend(parse_sources(&text)),
                _ => {}
            }
        }
        Mirrors::of(&sources)
    }

    /// The Debian archives among these.
    fn of(sources: &[Source]) -> Mirrors {
        let mut mirrors = Mirrors::default();
        for source in sources {
            // An archive whose directory is called `debian` goes first: others may be partial or somebody's own.
            if source.is_archive() && !mirrors.archives.contains(&source.uri) {
                let at = if source.uri.ends_with("/debian") {
                    mirrors
                        .archives
                        .iter()
                        .take_while(|uri| uri.ends_with("/debian"))
                        .count()
                } else {
                    mirrors.archives.len()
                };
                mirrors.archives.insert(at, source.uri.clone());
            }
            if source.is_security() && !mirrors.security.contains(&source.uri) {
                mirrors.security.push(source.uri.clone());
            }
        }
        mirrors
    }

    /// Just this archive; its security archive stands beside it, if anywhere.
    pub fn of_uri(uri: &str) -> Mirrors {
        let uri = uri.trim_end_matches('/');
        let security = uri
            .strip_suffix("/debian")
            .map(|parent| format!("{parent}/debian-security"));
        Mirrors {
            archives: vec![uri.to_owned()],
            security: security.into_iter().collect(),
        }
    }
}

/// The one-line format: `deb [option=value ...] uri suite component...`.
pub fn parse_list(text: &str) -> Vec<Source> {
    let parse = |line: &str| {
        let line = line.split('#').next()?.trim();
        let mut rest = line
            .strip_prefix("deb")?
            .strip_prefix([' ', '\t'])?
            .trim_start();
        if let Some(options) = rest.strip_prefix('[') {
            rest = options.split_once(']')?.1;
        }
        let mut words = rest.split_whitespace().map(str::to_owned);
        let uri = words.next()?.trim_end_matches('/').to_owned();
        let suite = words.next()?;
        Some(Source {
            uri,
            suites: vec![suite],
            components: words.collect(),
        })
    };
    text.lines().filter_map(parse).collect()
}

/// The deb822 format of `.sources` files.
pub fn parse_sources(text: &str) -> Vec<Source> {
    let mut sources = Vec::new();
    let mut reader = deb822::Reader::new(text.as_bytes());
    while let Ok(Some(Ok(paragraph))) = reader.next_paragraph() {
        let words = |field: &str| -> Vec<String> {
            paragraph
                .get(field)
                .unwrap_or_default()
                .split_whitespace()
                .map(str::to_owned)
                .collect()
        };
        let disabled = paragraph
            .get("Enabled")
            .is_some_and(|v| ["no", "false", "0", "off"].contains(&v.trim()));
        if disabled || !words("Types").iter().any(|kind| kind == "deb") {
            continue;
        }
        for uri in words("URIs") {
            sources.push(Source {
                uri: uri.trim_end_matches('/').to_owned(),
                suites: words("Suites"),
                components: words("Components"),
            });
        }
    }
    sources
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIST: &str = "# deb http://no/debian sid main\n\
        deb-src http://src/debian trixie main\n\
        deb cdrom:[Debian 12]/ bookworm main\n\
        deb [arch=amd64 signed-by=/x y] https://vendor.example/debian bookworm stable\n\
        deb [ arch=arm64 ] http://one.example/debian/ bookworm main contrib # c\n\
        deb http://sec.example/debian-security bookworm-security main\n\
        deb http://flat.example/ ./\n\
        deb http://ubuntu.example/ubuntu noble main\n";

    #[test]
    fn one_line_entries() {
        let mirrors = Mirrors::of(&parse_list(LIST));
        assert_eq!(mirrors.archives, ["http://one.example/debian"]);
        assert_eq!(mirrors.security, ["http://sec.example/debian-security"]);
    }

    #[test]
    fn deb822_entries() {
        let text = "Types: deb deb-src\nURIs: http://two.example/pub/debian/\nSuites: bookworm bookworm-updates\nComponents: main\n\n\
             Enabled: no\nTypes: deb\nURIs: http://off.example/debian\nSuites: sid\nComponents: main\n\n\
             Types: deb\nURIs: http://two.example/debian-security\nSuites: bookworm-security\nComponents: main\n\
             Signed-By:\n -----BEGIN\n .\n x\n";
        let mirrors = Mirrors::of(&parse_sources(text));
        assert_eq!(mirrors.archives, ["http://two.example/pub/debian"]);
        assert_eq!(mirrors.security, ["http://two.example/debian-security"]);
    }

    #[test]
    fn archives_called_debian_go_first() {
        let sources = parse_list(
            "deb http://a/x sid main\ndeb http://b/debian sid main\ndeb http://c/debian sid main\n",
        );
        assert_eq!(
            Mirrors::of(&sources).archives,
            ["http://b/debian", "http://c/debian", "http://a/x"]
        );
    }

    #[test]
    fn hosts_are_read_from_files() {
        let root = tempfile::tempdir().unwrap();
        assert_eq!(Mirrors::of_host(root.path()), Mirrors::default());
        let apt = root.path().join("etc/apt/sources.list.d");
        fs::create_dir_all(&apt).unwrap();
        fs::write(
            apt.join("x.list"),
            b"\xff\xfe\ndeb http://m/debian stable main",
        )
        .unwrap();
        fs::write(apt.join("x.list.save"), "deb http://old/debian stable main").unwrap();
        assert_eq!(Mirrors::of_host(root.path()).archives, ["http://m/debian"]);
    }

    #[test]
    fn security_beside_the_archive() {
        let mirrors = Mirrors::of_uri("http://m/debian/");
        assert_eq!(mirrors.archives, ["http://m/debian"]);
        assert_eq!(mirrors.security, ["http://m/debian-security"]);
        assert!(Mirrors::of_uri("http://m/other").security.is_empty());
    }
}
