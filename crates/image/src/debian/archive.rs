//! An archive on a mirror: its release files and package indices.

use super::{
    ARCHITECTURE,
    packages::Index,
    release::{Keyring, Release},
};
use crate::{
    Error, Result, compress,
    http::Fetcher,
    progress::{Progress, Stage},
    store::BlobCache,
};

/// Largest release file; Debian's are some 150 kB.
const RELEASE_MAX: u64 = 16 << 20;

/// What it takes to read archives.
pub(super) struct Archive<'a> {
    pub(super) fetcher: &'a Fetcher,
    pub(super) cache: &'a BlobCache,
    pub(super) keyring: &'a Keyring,
    pub(super) now: u64,
    pub(super) check_valid_until: bool,
    pub(super) progress: &'a dyn Progress,
}

/// A suite of an archive, its release file verified.
#[derive(Debug)]
pub(super) struct Suite {
    /// The archive's address.
    pub(super) uri: String,
    /// The suite's name, as in the address.
    pub(super) name: String,
    pub(super) release: Release,
}

impl Suite {
    pub(super) fn release_url(&self) -> String {
        release_url(&self.uri, &self.name)
    }
}

fn release_url(uri: &str, suite: &str) -> String {
    format!("{uri}/dists/{suite}/InRelease")
}

impl Archive<'_> {
    /// Opens a suite; `None` where the archive does not have it.
    pub(super) fn open(&self, uri: &str, suite: &str) -> Result<Option<Suite>> {
        let url = release_url(uri, suite);
        self.progress.item(Stage::Index, &url);
        let Some(data) = self.fetcher.small(&url, RELEASE_MAX)? else {
            return Ok(None);
        };
        self.progress.advance(Stage::Index, data.len() as u64);
        let text = self.keyring.open_clearsigned(&url, &data, self.now)?;
        let release = Release::parse(&url, &text, suite, self.now, self.check_valid_until)?;
        Ok(Some(Suite {
            uri: uri.to_owned(),
            name: suite.to_owned(),
            release,
        }))
    }

    /// Opens a suite on the first archive where it is in order; the first error where there is none.
    pub(super) fn open_first(&self, uris: &[String], suite: &str) -> Result<Suite> {
        let mut first = None;
        for uri in uris {
            match self.open(uri, suite) {
                // From here on its codename is used, which does not come to mean another release some day.
                Ok(Some(found)) => {
                    return Ok(Suite {
                        name: found.release.codename.clone(),
                        ..found
                    });
                }
                Ok(None) => {
                    let reason = format!("there is no suite called {suite} here");
                    first.get_or_insert(Error::Fetch {
                        url: release_url(uri, suite),
                        reason,
                    });
                }
                Err(error) => {
                    first.get_or_insert(error);
                }
            }
        }
        Err(first.unwrap_or_else(|| Error::Fetch {
            url: suite.to_owned(),
            reason: "no archive is known".to_owned(),
        }))
    }

    /// Reads the package index of the suite's `main` component.
    pub(super) fn load_index(&self, suite: &Suite, number: usize, index: &mut Index) -> Result<()> {
        let base = format!("{}/dists/{}", suite.uri, suite.name);
        let wanted = format!("main/binary-{ARCHITECTURE}/Packages");
        let (name, expected) = suite.release.index(&wanted).ok_or_else(|| Error::Release {
            what: suite.release_url(),
            reason: format!("it lists no {wanted}"),
        })?;
        let plain = format!("{base}/{name}");
        let mut urls = Vec::new();
        if suite.release.by_hash {
            let directory = plain
                .rsplit_once('/')
                .map_or(base.as_str(), |(directory, _)| directory);
            urls.push(format!("{directory}/by-hash/SHA256/{}", expected.digest));
        }
        urls.push(plain.clone());
        self.progress.item(Stage::Index, &plain);
        let advance = |n| self.progress.advance(Stage::Index, n);
        let file = self.fetcher.blob(self.cache, &urls, expected, &advance)?;
        let (stream, _) = compress::decompress(&plain, file)?;
        index.add(&plain, number, stream)
    }
}
