//! Alpine Linux by the distribution's own release index, `latest-releases.yaml`.
//!
//! The index has checksums and no signature: whoever can change what the mirror sends decides what is in the image. Give a mirror
//! by HTTPS where that matters.

use std::{
    collections::BTreeMap,
    fs,
    fs::File,
    io::{self, Seek},
    path::{Path, PathBuf},
};

use sha2::{Digest as _, Sha512};

use crate::{
    Error, Result,
    config::{AlpineConfig, Config},
    http::{Expected, Fetcher},
    progress::{Progress, Stage},
    provision,
    store::{Image, ImageName, Store},
    tree::{Meta, TreeBuilder},
};

/// The branch where nothing else is said.
const LATEST: &str = "latest-stable";
const ARCHITECTURE: &str = "aarch64";
const FLAVOR: &str = "alpine-minirootfs";
/// Largest index in bytes.
const INDEX_MAX: u64 = 4 << 20;
/// Largest root file system as it is stored; they have 4 MB.
const SIZE_MAX: u64 = 1 << 30;

/// What is to be made.
#[derive(Debug, Clone)]
pub struct Options {
    /// `3.20`, `3.20.3`, `edge`; the latest stable release where nothing is said.
    pub version: Option<String>,
    /// The mirror's address; else that of the configuration, else that of the host's own apk repositories.
    pub mirror: Option<String>,
    /// The user's configuration.
    pub config: AlpineConfig,
    /// The host's root directory, below which its apk repositories are.
    pub host_root: PathBuf,
}

impl Options {
    /// The defaults, with the user's configuration.
    pub fn new(config: &Config) -> Options {
        Options {
            version: None,
            mirror: None,
            config: config.alpine.clone(),
            host_root: PathBuf::from("/"),
        }
    }

    /// The mirror to use, if one is known.
    pub fn known_mirror(&self) -> Option<String> {
        let given = self.mirror.as_ref().or(self.config.mirror.as_ref());
        given
            .map(|uri| uri.trim_end_matches('/').to_owned())
            .or_else(|| mirror_of_host(&self.host_root))
    }
}

/// Whether a tag is a version of Alpine, or its development branch.
pub fn is_version(tag: &str) -> bool {
    let numbers: Vec<&str> = tag.split('.').collect();
    let number = |n: &&str| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit());
    tag == "edge" || (2..=3).contains(&numbers.len()) && numbers.iter().all(number)
}

/// The branch directory of a version: `v3.20` of `3.20.3`.
fn branch(version: &str) -> String {
    if version == "edge" {
        return version.to_owned();
    }
    let mut numbers = version.split('.');
    let (major, minor) = (numbers.next(), numbers.next());
    format!(
        "v{}.{}",
        major.unwrap_or_default(),
        minor.unwrap_or_default()
    )
}

/// The mirror in the apk repositories of the system below `root`.
fn mirror_of_host(root: &Path) -> Option<String> {
    let text = fs::read_to_string(root.join("etc/apk/repositories")).ok()?;
    text.lines().find_map(mirror_of_line)
}

/// `[@TAG] MIRROR/BRANCH/COMPONENT`
fn mirror_of_line(line: &str) -> Option<String> {
    let line = line.split('#').next()?.trim();
    let uri = match line.strip_prefix('@') {
        Some(rest) => rest.split_once([' ', '\t'])?.1.trim(),
        None => line,
    };
    if !["http://", "https://"].iter().any(|s| uri.starts_with(s)) {
        return None;
    }
    let (rest, component) = uri.trim_end_matches('/').rsplit_once('/')?;
    let (mirror, branch) = rest.rsplit_once('/')?;
    let release = branch.strip_prefix('v').is_some_and(is_version);
    let known = ["main", "community"].contains(&component)
        && (release || ["edge", LATEST].contains(&branch));
    known.then(|| mirror.to_owned())
}

/// What the index says about a root file system.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Release {
    version: String,
    branch: String,
    file: String,
    expected: Expected,
    sha512: Option<String>,
}

/// The items of the index. It is YAML of a simple kind: a list of flat maps, texts of several lines after `|`.
fn items(text: &str) -> Vec<BTreeMap<&str, &str>> {
    let mut items: Vec<BTreeMap<&str, &str>> = Vec::new();
    // How far the key is indented whose value is a block.
    let mut block: Option<usize> = None;
    for line in text.lines() {
        let indent = line.len() - line.trim_start().len();
        if line.trim().is_empty() || block.is_some_and(|key| indent > key) {
            continue;
        }
        block = None;
        let mut rest = line.trim();
        if let Some(first) = rest
            .strip_prefix('-')
            .filter(|r| r.is_empty() || r.starts_with(' '))
        {
            items.push(BTreeMap::new());
            rest = first.trim();
        }
        if let (Some(item), Some((key, value))) = (items.last_mut(), rest.split_once(':')) {
            let value = value.trim();
            if value.starts_with(['|', '>']) {
                block = Some(indent);
            } else {
                let plain = value.trim_matches('"').trim_matches('\'');
                item.insert(key.trim(), plain);
            }
        }
    }
    items
}

/// The root file system of an index, `latest-releases.yaml`; `what` names the index in errors.
pub fn find(what: &str, text: &str) -> Result<Release> {
    let wrong = |reason: &str| Error::Release {
        what: what.to_owned(),
        reason: reason.to_owned(),
    };
    let all = items(text);
    let item = all
        .iter()
        .find(|i| i.get("flavor") == Some(&FLAVOR) && i.get("arch") == Some(&ARCHITECTURE))
        .ok_or_else(|| wrong("it lists no root file system for aarch64"))?;
    let field = |name: &str| {
        let value = item.get(name).copied().filter(|v| !v.is_empty());
        value.ok_or_else(|| wrong(&format!("it says no {name} of the root file system")))
    };
    let file = field("file")?;
    let plain = |text: &str| {
        text.bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
            && !text.starts_with('.')
    };
    let (version, branch) = (field("version")?, field("branch")?);
    if ![file, version, branch].into_iter().all(plain) {
        return Err(wrong("a name in it has characters that it should not have"));
    }
    let digest = field("sha256")?.parse();
    let size = field("size")?.parse();
    let (Ok(digest), Ok(size)) = (digest, size) else {
        return Err(wrong(
            "its size or checksum of the root file system is none",
        ));
    };
    if size > SIZE_MAX {
        return Err(wrong("its root file system is too large to be one"));
    }
    Ok(Release {
        version: version.to_owned(),
        branch: branch.to_owned(),
        file: file.to_owned(),
        expected: Expected { digest, size },
        sha512: item.get("sha512").map(|s| s.to_ascii_lowercase()),
    })
}

/// Makes the image `name` of Alpine's minimal root file system.
pub fn pull(
    store: &Store,
    name: &ImageName,
    options: &Options,
    progress: &dyn Progress,
) -> Result<Image> {
    let mirror = options.known_mirror().ok_or_else(|| {
        let config = Config::path().unwrap_or_else(|| "~/.config/tuxlet/config.toml".into());
        Error::NoAlpineMirror { config }
    })?;
    let wanted = options.version.as_deref();
    let branch = wanted.map_or_else(|| LATEST.to_owned(), branch);
    let base = format!("{mirror}/{branch}/releases/{ARCHITECTURE}");
    let index = format!("{base}/latest-releases.yaml");
    let fetcher = Fetcher::new();
    progress.begin(Stage::Index, 0);
    let text = fetcher
        .small(&index, INDEX_MAX)?
        .ok_or_else(|| Error::Release {
            what: index.clone(),
            reason: "the mirror has no such release".to_owned(),
        })?;
    progress.advance(Stage::Index, text.len() as u64);
    progress.end(Stage::Index);
    let release = find(&index, &String::from_utf8_lossy(&text))?;
    if wanted.is_some_and(|w| w.split('.').count() == 3 && w != release.version) {
        let reason = format!(
            "its release is {} now; ask for {}",
            release.version,
            &release.branch[1..]
        );
        return Err(Error::Release {
            what: index,
            reason,
        });
    }
    let cache = store.blobs();
    let url = format!("{base}/{}", release.file);
    progress.begin(Stage::Download, release.expected.size);
    progress.item(Stage::Download, &release.file);
    let advance = |n| progress.advance(Stage::Download, n);
    let mut archive = fetcher.blob(
        &cache,
        std::slice::from_ref(&url),
        release.expected,
        &advance,
    )?;
    progress.end(Stage::Download);
    if let Some(expected) = &release.sha512 {
        check_sha512(&url, &mut archive, expected)?;
    }
    progress.begin(Stage::Import, release.expected.size);
    let origin = format!("Alpine {}", release.version);
    let repositories = format!(
        "{mirror}/{0}/main\n{mirror}/{0}/community\n",
        release.branch
    );
    let finish = |tree: &mut TreeBuilder<'_>| {
        let size = repositories.len() as u64;
        let meta = Meta::root(0o644);
        tree.file(
            b"etc/apk/repositories",
            &meta,
            size,
            &mut repositories.as_bytes(),
        )
    };
    let image = provision::import_tree(
        store,
        name,
        origin,
        &release.file,
        archive,
        finish,
        progress,
    )?;
    cache.remove(&release.expected.digest)?;
    Ok(image)
}

fn check_sha512(url: &str, archive: &mut File, expected: &str) -> Result<()> {
    let read = |source| Error::Io {
        what: format!("cannot read the download of {url}"),
        source,
    };
    let mut hash = HashWriter(Sha512::new());
    io::copy(archive, &mut hash).map_err(read)?;
    archive.rewind().map_err(read)?;
    let got: String = hash
        .0
        .finalize()
        .iter()
        .map(|b| format!("{b:02x}"))
        .collect();
    if got == expected {
        return Ok(());
    }
    Err(Error::Release {
        what: url.to_owned(),
        reason: "it does not match the sha512 checksum of the index".to_owned(),
    })
}

struct HashWriter(Sha512);

impl io::Write for HashWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Quiet, compress::tests::gzip, store::Digest, tree::fakefs::FakefsSource};

    fn index(file: &str, data: &[u8], sha512: &str) -> String {
        format!(
            "---\n-\n  title: \"Standard\"\n  desc: |\n    Alpine: as it was\n    flavor: alpine-minirootfs\n  branch: v3.20\n  arch: aarch64\n  \
             flavor: alpine-standard\n  file: x.iso\n-\n  title: \"Mini root filesystem\"\n  desc: |\n    Minimal root filesystem.\n\n    \
             For use in containers.\n  branch: v3.20\n  arch: aarch64\n  version: 3.20.9\n  flavor: alpine-minirootfs\n  file: {file}\n  \
             iso: {file}\n  date: 2024-09-06\n  time: 11:19:41\n  size: {}\n  sha256: {}\n  sha512: {sha512}\n",
            data.len(),
            Digest::of(data)
        )
    }

    fn sha512(data: &[u8]) -> String {
        Sha512::digest(data)
            .iter()
            .map(|b| format!("{b:02x}"))
            .collect()
    }

    #[test]
    fn indices_are_read() {
        let text = index("alpine-minirootfs-3.20.9-aarch64.tar.gz", b"abc", "FF");
        let release = find("x", &text).unwrap();
        assert_eq!((&*release.version, &*release.branch), ("3.20.9", "v3.20"));
        assert_eq!(release.expected.size, 3);
        assert_eq!(release.sha512.as_deref(), Some("ff"));
        for (from, to) in [
            ("file: alpine", "file: ../alpine"),
            ("alpine-minirootfs-3", ".alpine-3"),
            ("flavor: alpine-minirootfs\n  f", "flavor: other\n  f"),
            ("arch: aarch64\n  version", "arch: x86\n  version"),
            ("size: 3", "size: -3"),
            ("size: 3", "size: 99999999999999"),
            ("sha256: ", "sha256: zz"),
            ("  version: 3.20.9\n", ""),
        ] {
            let broken = text.replace(from, to);
            assert_ne!(broken, text, "{from}");
            assert!(
                matches!(find("x", &broken), Err(Error::Release { .. })),
                "{to}"
            );
        }
        for text in ["", "-", ":", "- |\n x", "\u{e9}: -"] {
            assert!(find("x", text).is_err());
        }
    }

    #[test]
    fn mirrors_are_those_of_the_host() {
        for (line, mirror) in [
            (
                "https://m.example/alpine/v3.20/main",
                Some("https://m.example/alpine"),
            ),
            (
                "@edge http://m.example/edge/community/ # x",
                Some("http://m.example"),
            ),
            (
                "http://m.example/alpine/latest-stable/main",
                Some("http://m.example/alpine"),
            ),
            ("# http://m.example/alpine/v3.20/main", None),
            ("/media/cdrom/apks", None),
            ("http://own.example/packages/x", None),
            ("", None),
        ] {
            assert_eq!(mirror_of_line(line).as_deref(), mirror, "{line}");
        }
        for (tag, version) in [
            ("3.20", true),
            ("3.20.1", true),
            ("edge", true),
            ("3", false),
            ("3.x", false),
            ("latest", false),
        ] {
            assert_eq!(is_version(tag), version, "{tag}");
        }
        assert_eq!(
            (branch("3.20.1"), branch("edge")),
            ("v3.20".into(), "edge".into())
        );
    }

    #[test]
    fn images_are_made_and_wrong_ones_refused() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&dir.path().join("home")).unwrap();
        let mut builder = ::tar::Builder::new(Vec::new());
        for (name, text) in [("bin/sh", "#!"), ("etc/apk/repositories", "elsewhere")] {
            let mut header = ::tar::Header::new_ustar();
            header.set_size(text.len() as u64);
            header.set_mode(0o755);
            builder
                .append_data(&mut header, name, text.as_bytes())
                .unwrap();
        }
        let data = gzip(&builder.into_inner().unwrap());
        let file = "alpine-minirootfs-3.20.9-aarch64.tar.gz";
        let place = |branch: &str, sha512: &str| {
            let releases = dir.path().join(branch).join("releases/aarch64");
            fs::create_dir_all(&releases).unwrap();
            fs::write(releases.join(file), &data).unwrap();
            fs::write(
                releases.join("latest-releases.yaml"),
                index(file, &data, sha512),
            )
            .unwrap();
        };
        place(LATEST, &sha512(&data));
        place("v3.20", &sha512(&data));
        place("edge", &sha512(b"other"));
        let options = |version: Option<&str>| Options {
            version: version.map(str::to_owned),
            mirror: Some(format!("file://{}/", dir.path().display())),
            ..Options::new(&Config::default())
        };
        let name: ImageName = "alpine".parse().unwrap();
        for version in [None, Some("3.20"), Some("3.20.9")] {
            let image = pull(&store, &name, &options(version), &Quiet).unwrap();
            assert_eq!(image.origin, "Alpine 3.20.9");
            assert_eq!(image.config.command, ["/bin/sh"]);
            let tree = FakefsSource::open(&store.layer_path(&image.layer).unwrap()).unwrap();
            let repositories = tree.find(b"etc/apk/repositories").unwrap().unwrap();
            assert!(repositories.size > "elsewhere".len() as u64);
        }
        for wrong in ["3.20.8", "edge", "3.99"] {
            assert!(matches!(
                pull(&store, &name, &options(Some(wrong)), &Quiet),
                Err(Error::Release { .. })
            ));
        }
        let nowhere = Options {
            mirror: None,
            host_root: dir.path().to_owned(),
            ..options(None)
        };
        assert!(matches!(
            pull(&store, &name, &nowhere, &Quiet),
            Err(Error::NoAlpineMirror { .. })
        ));
    }
}
