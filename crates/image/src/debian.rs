//! Debian root file systems from Debian's own packages, without root rights and helper programs.
//!
//! What happens is what debootstrap and mmdebstrap do for their `minbase` variant: the signed release file vouches for the package
//! indices, these for the packages; the required packages and what they need are unpacked, registered with dpkg as unpacked, and
//! configured by dpkg itself inside the guest, which the caller runs ([`Configure`]).

pub mod ar;
mod archive;
pub mod deb;
pub mod deb822;
mod dpkg;
pub mod packages;
pub mod release;
pub mod sources;
pub mod version;

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Mutex,
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
};

use archive::{Archive, Suite};
use packages::{Index, Package};
use release::Keyring;
use sources::Mirrors;

use crate::{
    Error, Result,
    config::{Config, DebianConfig},
    http::Fetcher,
    progress::{Progress, Stage},
    store::{BlobCache, now},
    tree::{Meta, Mtime, TreeBuilder, TreeSink},
};

/// The suite where nothing else is said: the current stable release.
pub const DEFAULT_SUITE: &str = "trixie";
/// The architecture of the guest.
const ARCHITECTURE: &str = "arm64";
/// Packages beside the required ones: what it takes to install more from anywhere.
const BASE: &[&str] = &["apt", "ca-certificates"];
/// Downloads at a time.
const CONNECTIONS: usize = 4;

/// What is to be built.
#[derive(Debug, Clone)]
pub struct Options {
    /// The suite: a codename or `stable` and its like.
    pub suite: Option<String>,
    /// The archive's address; else that of the configuration, else that of the host's apt sources.
    pub mirror: Option<String>,
    /// Packages to put in beside the minimal set.
    pub include: Vec<String>,
    /// Files of further keys to trust.
    pub keyrings: Vec<PathBuf>,
    /// Refuse release files that are too old (snapshots of the archive are).
    pub check_valid_until: bool,
    /// The user's configuration.
    pub config: DebianConfig,
    /// The host's root directory, below which its apt sources are.
    pub host_root: PathBuf,
}

impl Options {
    /// The defaults, with the user's configuration.
    pub fn new(config: &Config) -> Options {
        Options {
            suite: None,
            mirror: None,
            include: Vec::new(),
            keyrings: Vec::new(),
            check_valid_until: true,
            config: config.debian.clone(),
            host_root: PathBuf::from("/"),
        }
    }

    /// Whether there is a mirror to use.
    pub fn knows_mirror(&self) -> bool {
        self.mirrors().is_ok()
    }

    fn mirrors(&self) -> Result<Mirrors> {
        let given = self.mirror.as_deref().or(self.config.mirror.as_deref());
        let mut mirrors = given.map_or_else(|| Mirrors::of_host(&self.host_root), Mirrors::of_uri);
        if mirrors.archives.is_empty() {
            let config =
                Config::path().unwrap_or_else(|| PathBuf::from("~/.config/tuxlet/config.toml"));
            return Err(Error::NoMirror { config });
        }
        if let Some(uri) = &self.config.security_mirror {
            mirrors.security = vec![uri.trim_end_matches('/').to_owned()];
        } else if mirrors.security.is_empty() {
            mirrors.security = mirrors
                .archives
                .iter()
                .flat_map(|uri| Mirrors::of_uri(uri).security)
                .collect();
        }
        Ok(mirrors)
    }
}

/// A command to run inside the guest while it is being made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GuestCommand {
    /// What it does, for messages.
    pub title: String,
    /// Program and arguments.
    pub argv: Vec<String>,
    /// The whole environment.
    pub env: Vec<(String, String)>,
}

/// Runs commands inside a root file system that is being made.
pub trait Configure {
    /// Runs the commands one after the other, as root, with the file system in `fs_dir` as a writable root, `/proc`, `/dev` and
    /// `/tmp` in place and standard input empty. `output` gets what they write to standard output and error, in any portions. The
    /// first that does not exit with 0 ends it with [`Error::Configure`].
    fn run(
        &mut self,
        fs_dir: &Path,
        commands: &[GuestCommand],
        output: &mut dyn FnMut(&[u8]),
    ) -> Result<()>;
}

/// All that has to be unpacked, downloaded and verified.
#[derive(Debug)]
pub struct Bootstrap {
    suites: Vec<Suite>,
    packages: Vec<Package>,
    version: Option<String>,
    codename: String,
}

impl Bootstrap {
    /// Finds an archive, verifies its indices, decides what is needed and downloads it into the cache.
    pub fn download(
        cache: &BlobCache,
        options: &Options,
        progress: &dyn Progress,
    ) -> Result<Bootstrap> {
        let now = now();
        let mirrors = options.mirrors()?;
        let mut keyring = Keyring::debian()?;
        for path in &options.keyrings {
            let bytes = fs::read(path).map_err(|e| Error::io("read keyring", path, e))?;
            keyring.add(&path.display().to_string(), &bytes)?;
        }
        let suite = options
            .suite
            .as_deref()
            .or(options.config.suite.as_deref())
            .unwrap_or(DEFAULT_SUITE);
        let fetcher = Fetcher::new();
        let archive = Archive {
            fetcher: &fetcher,
            cache,
            keyring: &keyring,
            now,
            check_valid_until: options.check_valid_until,
            progress,
        };

        progress.begin(Stage::Index, 0);
        let main = archive.open_first(&mirrors.archives, suite)?;
        let codename = main.release.codename.clone();
        let version = main.release.version.clone();
        if !main.release.has_architecture(ARCHITECTURE) {
            let reason = format!("it has no packages for {ARCHITECTURE}");
            return Err(Error::Release {
                what: main.release_url(),
                reason,
            });
        }
        let main_uri = main.uri.clone();
        let mut suites = vec![main];
        // What a mirror need not have; but where it has it, it must be in order.
        if let Some(updates) = archive.open(&main_uri, &format!("{codename}-updates"))? {
            suites.push(updates);
        }
        for uri in &mirrors.security {
            if let Some(security) = archive.open(uri, &format!("{codename}-security"))? {
                suites.push(security);
                break;
            }
        }
        let mut index = Index::default();
        for (number, suite) in suites.iter().enumerate() {
            archive.load_index(suite, number, &mut index)?;
        }
        progress.end(Stage::Index);

        let mut names = index.required();
        names.extend(BASE);
        names.extend(options.include.iter().map(String::as_str));
        let packages: Vec<Package> = index.closure(&names)?.into_iter().cloned().collect();
        let bootstrap = Bootstrap {
            suites,
            packages,
            version,
            codename,
        };
        bootstrap.fetch_all(&fetcher, cache, progress)?;
        Ok(bootstrap)
    }

    /// Where it comes from, for people: `Debian 13.1 (trixie)`.
    pub fn origin(&self) -> String {
        match &self.version {
            Some(version) => format!("Debian {version} ({})", self.codename),
            None => format!("Debian ({})", self.codename),
        }
    }

    /// The packages that make it up: names and versions.
    pub fn packages(&self) -> impl Iterator<Item = (&str, &str)> {
        self.packages
            .iter()
            .map(|p| (p.name.as_str(), p.version.as_str()))
    }

    fn urls(&self, package: &Package) -> Vec<String> {
        vec![format!(
            "{}/{}",
            self.suites[package.archive].uri, package.filename
        )]
    }

    fn fetch_all(
        &self,
        fetcher: &Fetcher,
        cache: &BlobCache,
        progress: &dyn Progress,
    ) -> Result<()> {
        progress.begin(
            Stage::Download,
            self.packages.iter().map(|p| p.expected.size).sum(),
        );
        let next = AtomicUsize::new(0);
        let stop = AtomicBool::new(false);
        let failure: Mutex<Option<Error>> = Mutex::new(None);
        std::thread::scope(|scope| {
            for _ in 0..CONNECTIONS {
                scope.spawn(|| {
                    while !stop.load(Ordering::Relaxed)
                        && let Some(package) =
                            self.packages.get(next.fetch_add(1, Ordering::Relaxed))
                    {
                        progress.item(Stage::Download, &package.name);
                        let advance = |n| progress.advance(Stage::Download, n);
                        if let Err(error) =
                            fetcher.blob(cache, &self.urls(package), package.expected, &advance)
                        {
                            stop.store(true, Ordering::Relaxed);
                            if let Ok(mut first) = failure.lock() {
                                first.get_or_insert(error);
                            }
                        }
                    }
                });
            }
        });
        progress.end(Stage::Download);
        match failure.into_inner() {
            Ok(Some(error)) => Err(error),
            _ => Ok(()),
        }
    }

    /// Writes the root file system, up to what has to be done inside the guest: that is returned.
    pub fn unpack(
        &self,
        cache: &BlobCache,
        sink: &mut dyn TreeSink,
        progress: &dyn Progress,
    ) -> Result<Vec<GuestCommand>> {
        progress.begin(Stage::Unpack, self.packages.len() as u64);
        let mut tree = TreeBuilder::new(sink)?.keep_directory_links();
        // Releases before trixie leave the merging of /usr to the bootstrapper; in later ones base-files has the same links.
        for name in ["bin", "lib", "sbin"] {
            tree.directory(format!("usr/{name}").as_bytes(), &Meta::root(0o755))?;
            tree.symlink(
                name.as_bytes(),
                &Meta::root(0o777),
                format!("usr/{name}").as_bytes(),
            )?;
        }
        // base-files has the directories with their right modes.
        let mut order: Vec<&Package> = self.packages.iter().collect();
        order.sort_by_key(|p| p.name != "base-files");
        let fetcher = Fetcher::new();
        let mut unpacked = Vec::with_capacity(order.len());
        for package in order {
            progress.item(Stage::Unpack, &package.name);
            // From the cache, where it was verified moments ago and is verified again.
            let deb = fetcher.blob(cache, &self.urls(package), package.expected, &|_| {})?;
            let what = format!("{} {}", package.name, package.version);
            let one = deb::unpack(&what, deb, &mut tree)?;
            if one.name() != package.name || one.control.get("Version") != Some(&package.version) {
                return Err(Error::archive(
                    &what,
                    "it is another package than the index says",
                ));
            }
            unpacked.push(one);
            progress.advance(Stage::Unpack, 1);
        }
        unpacked.sort_by(|a, b| a.name().cmp(b.name()));
        let time = Mtime {
            secs: i64::try_from(now()).unwrap_or(0),
            nanos: 0,
        };
        dpkg::write_database(&unpacked, time, &mut tree)?;
        self.write_system_files(time, &mut tree)?;
        tree.finish()?;
        progress.end(Stage::Unpack);
        Ok(commands(&unpacked))
    }

    /// The few files that belong to no package.
    fn write_system_files(&self, time: Mtime, tree: &mut TreeBuilder<'_>) -> Result<()> {
        let mut put = |name: &str, text: &str| {
            let meta = Meta {
                mtime: time,
                ..Meta::root(0o644)
            };
            tree.file(
                name.as_bytes(),
                &meta,
                text.len() as u64,
                &mut text.as_bytes(),
            )
        };
        put("etc/apt/sources.list.d/debian.sources", &self.apt_sources())?;
        put("etc/hostname", "tuxlet\n")?;
        put(
            "etc/hosts",
            "127.0.0.1\tlocalhost\n::1\t\tlocalhost ip6-localhost ip6-loopback\n",
        )?;
        put("etc/fstab", "# UNCONFIGURED FSTAB FOR BASE SYSTEM\n")
    }

    fn apt_sources(&self) -> String {
        let mut text = String::new();
        let mut done: Vec<&str> = Vec::new();
        for suite in &self.suites {
            if done.contains(&suite.uri.as_str()) {
                continue;
            }
            done.push(&suite.uri);
            let names: Vec<&str> = self
                .suites
                .iter()
                .filter(|s| s.uri == suite.uri)
                .map(|s| s.name.as_str())
                .collect();
            text.push_str(&format!(
                "{}Types: deb\nURIs: {}\nSuites: {}\nComponents: main\nSigned-By: /usr/share/keyrings/debian-archive-keyring.gpg\n",
                if text.is_empty() { "" } else { "\n" },
                suite.uri,
                names.join(" ")
            ));
        }
        text
    }
}

/// Whether a preinst script may do anything for a first installation. Most consist of calls of dpkg-maintscript-helper(1), which
/// does nothing without an older version, in seconds of guest time.
fn acts_on_install(script: &[u8]) -> bool {
    String::from_utf8_lossy(script)
        .lines()
        .map(str::trim)
        .any(|line| {
            !(line.is_empty()
                || line.starts_with('#')
                || line == "set -e"
                || line.starts_with("dpkg-maintscript-helper ") && !line.contains(';'))
        })
}

/// How the packages are set up inside the guest.
fn commands(packages: &[deb::Unpacked]) -> Vec<GuestCommand> {
    let env: Vec<(String, String)> = [
        (
            "PATH",
            "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        ),
        ("HOME", "/root"),
        ("LC_ALL", "C.UTF-8"),
        ("DEBIAN_FRONTEND", "noninteractive"),
        ("DEBCONF_NONINTERACTIVE_SEEN", "true"),
    ]
    .map(|(key, value)| (key.to_owned(), value.to_owned()))
    .into();
    let mut commands = Vec::new();
    // dpkg runs these before it unpacks a package, and knows that they have run for one that is unpacked. The users and groups that
    // base-passwd makes come first.
    let mut preinsts: Vec<&deb::Unpacked> = packages
        .iter()
        .filter(|p| p.file("preinst").is_some_and(acts_on_install))
        .collect();
    preinsts.sort_by_key(|p| (p.name() != "base-passwd", p.name() != "base-files"));
    let dpkg = packages
        .iter()
        .find(|p| p.name() == "dpkg")
        .and_then(|p| p.control.get("Version"))
        .unwrap_or_default();
    for package in preinsts {
        let script = format!("/var/lib/dpkg/info/{}.preinst", package.info_name());
        let more = [
            ("DPKG_MAINTSCRIPT_NAME", "preinst"),
            ("DPKG_MAINTSCRIPT_PACKAGE", package.name()),
            ("DPKG_MAINTSCRIPT_PACKAGE_REFCOUNT", "1"),
            (
                "DPKG_MAINTSCRIPT_ARCH",
                package.control.get("Architecture").unwrap_or(ARCHITECTURE),
            ),
            ("DPKG_ADMINDIR", "/var/lib/dpkg"),
            ("DPKG_ROOT", ""),
            ("DPKG_RUNNING_VERSION", dpkg),
        ];
        let mut env = env.clone();
        env.extend(more.map(|(key, value)| (key.to_owned(), value.to_owned())));
        commands.push(GuestCommand {
            title: format!("preparing {}", package.name()),
            argv: vec![script, "install".to_owned()],
            env,
        });
    }
    commands.push(GuestCommand {
        title: "configuring the packages".to_owned(),
        argv: ["/usr/bin/dpkg", "--configure", "-a"]
            .map(str::to_owned)
            .into(),
        env,
    });
    commands
}

/// Follows what dpkg writes: counts the packages that are set up, keeps the last lines for the case of failure.
#[derive(Debug, Default)]
struct DpkgOutput {
    line: Vec<u8>,
    last: std::collections::VecDeque<String>,
}

impl DpkgOutput {
    fn feed(&mut self, bytes: &[u8], progress: &dyn Progress) {
        for &byte in bytes {
            if byte != b'\n' {
                if self.line.len() < 1000 {
                    self.line.push(byte);
                }
                continue;
            }
            let line = String::from_utf8_lossy(&self.line).trim_end().to_owned();
            self.line.clear();
            if let Some(rest) = line.strip_prefix("Setting up ") {
                progress.item(Stage::Configure, rest.split(' ').next().unwrap_or(rest));
                progress.advance(Stage::Configure, 1);
            }
            tracing::debug!(target: "dpkg", "{line}");
            if self.last.len() == 20 {
                self.last.pop_front();
            }
            self.last.push_back(line);
        }
    }

    fn tail(&self) -> String {
        self.last
            .iter()
            .map(|line| format!("\n    {line}"))
            .collect()
    }
}

/// Sets the packages up inside the guest, by the commands that [`Bootstrap::unpack`] returned.
pub fn configure(
    fs_dir: &Path,
    commands: &[GuestCommand],
    packages: u64,
    configure: &mut dyn Configure,
    progress: &dyn Progress,
) -> Result<()> {
    progress.begin(Stage::Configure, packages);
    let mut output = DpkgOutput::default();
    let result = configure.run(fs_dir, commands, &mut |bytes| output.feed(bytes, progress));
    progress.end(Stage::Configure);
    result.map_err(|error| match error {
        Error::Configure { step, reason } => Error::Configure {
            step,
            reason: reason + &output.tail(),
        },
        other => other,
    })
}

#[cfg(test)]
mod tests;
