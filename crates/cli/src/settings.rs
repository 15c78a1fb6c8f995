//! What a machine remembers about how it is to run.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::{Context, bail};
use serde::{Deserialize, Serialize};
use tuxlet::{Bind, Builder, Machine};
use tuxlet_image::store::Image;

use crate::{
    args::{MachineArgs, ProcessArgs},
    guest,
};

/// Where guests expect the certificates they trust.
const GUEST_CA: &str = "/etc/ssl/certs/ca-certificates.crt";
/// Where hosts have them.
const HOST_CA: [&str; 5] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
    "/usr/local/share/certs/ca-root-nss.crt",
];

/// The settings of a machine, kept in its record.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Settings {
    /// The command it was made for.
    pub(crate) command: Vec<String>,
    hostname: Option<String>,
    memory: Option<u64>,
    volumes: Vec<Mount>,
    /// Directories that have file systems of their own because the image says so; their numbers name these.
    pub(crate) image_volumes: Vec<String>,
    /// The signal that asks the command to end.
    pub(crate) stop_signal: Option<String>,
    /// Whether the command has a terminal where it is given one.
    pub(crate) tty: bool,
    /// Directories of patches that are applied at each start that needs them.
    pub(crate) patches: Vec<PathBuf>,
    /// Environment of every command.
    pub(crate) env: Vec<(String, String)>,
    /// Directory commands start in.
    pub(crate) workdir: Option<String>,
    /// Whether the directory is the image's, and made if it is missing.
    pub(crate) workdir_made: bool,
    /// Who runs commands.
    pub(crate) user: Option<String>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Mount {
    host: PathBuf,
    guest: String,
    read_only: bool,
}

impl Settings {
    /// Those of a new machine.
    pub(crate) fn new(
        args: &MachineArgs,
        process: &ProcessArgs,
        image: Option<&Image>,
        command: Vec<String>,
    ) -> anyhow::Result<Settings> {
        let mut settings = Settings {
            command,
            hostname: args.hostname.clone(),
            memory: args.memory.map(|size| size.0),
            ..Settings::default()
        };
        if let Some(image) = image {
            let config = &image.config;
            let pairs = config.env.iter().filter_map(|v| v.split_once('='));
            settings.env = pairs.map(|(n, v)| (n.to_owned(), v.to_owned())).collect();
            let given = |text: &str, default: &str| {
                (!text.is_empty() && text != default).then(|| text.to_owned())
            };
            settings.workdir = given(&config.workdir, "/");
            settings.workdir_made = process.workdir.is_none();
            settings.user = given(&config.user, "");
            settings.stop_signal.clone_from(&config.stop_signal);
            // What is mounted there by hand goes first.
            let mounted = |path: &str| {
                let plain = |path: &str| path.trim_end_matches('/').to_owned();
                args.volume.iter().any(|v| plain(&v.guest) == plain(path))
            };
            let volumes = config.volumes.iter().filter(|path| path.starts_with('/'));
            settings.image_volumes = volumes.filter(|path| !mounted(path)).cloned().collect();
        }
        if let Some(signal) = &args.stop_signal {
            if tuxlet::signal_number(signal).is_none() {
                bail!("--stop-signal: {signal:?} is no signal");
            }
            settings.stop_signal = Some(signal.clone());
        }
        for volume in &args.volume {
            let host = fs::canonicalize(&volume.host)
                .with_context(|| format!("-v {}", volume.host.display()))?;
            settings.volumes.push(Mount {
                host,
                guest: volume.guest.clone(),
                read_only: volume.read_only,
            });
        }
        if args.host_ca {
            settings.volumes.push(Mount {
                host: host_certificates()?,
                guest: GUEST_CA.to_owned(),
                read_only: true,
            });
            settings
                .env
                .push(("SSL_CERT_FILE".to_owned(), GUEST_CA.to_owned()));
        }
        settings.env.extend(guest::variables(&process.env));
        settings.tty = process.tty;
        for directory in &args.patch {
            let directory = fs::canonicalize(directory)
                .with_context(|| format!("--patch {}", directory.display()))?;
            settings.patches.push(directory);
        }
        settings.workdir = process.workdir.clone().or(settings.workdir);
        settings.user = process.user.clone().or(settings.user);
        Ok(settings)
    }

    /// Those in a machine's record.
    pub(crate) fn of(record: &serde_json::Value) -> anyhow::Result<Settings> {
        Settings::deserialize(record).context("the machine's settings are damaged")
    }

    /// The machine, but for its root.
    pub(crate) fn builder(&self, name: &str) -> Builder {
        let hostname = self.hostname.as_deref().unwrap_or(name);
        let mut builder = Machine::builder()
            .hostname(hostname)
            .events(Arc::new(guest::Trace))
            .file("/etc/hostname", 0o644, format!("{hostname}\n"))
            .file("/etc/hosts", 0o644, hosts(hostname));
        match fs::read("/etc/resolv.conf") {
            Ok(text) => builder = builder.file("/etc/resolv.conf", 0o644, text),
            Err(error) => tracing::debug!("this host has no /etc/resolv.conf: {error}"),
        }
        if let Some(bytes) = self.memory {
            builder = builder.memory(bytes);
        }
        for (name, value) in &self.env {
            builder = builder.env(name, value);
        }
        if let Some(directory) = &self.workdir {
            builder = if self.workdir_made {
                builder.made_cwd(directory)
            } else {
                builder.cwd(directory)
            };
        }
        if let Some(user) = &self.user {
            builder = builder.user(user);
        }
        for volume in &self.volumes {
            builder = builder.bind(Bind {
                host: volume.host.clone(),
                guest: volume.guest.clone(),
                read_only: volume.read_only,
            });
        }
        builder
    }
}

/// The host's own names, since guests use its network, and the guest's.
fn hosts(hostname: &str) -> String {
    let mut text = fs::read_to_string("/etc/hosts").unwrap_or_else(|_| {
        "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n".to_owned()
    });
    let named = |line: &str| {
        let line = line.split('#').next().unwrap_or_default();
        line.split_whitespace().skip(1).any(|name| name == hostname)
    };
    if !text.lines().any(named) {
        if !text.is_empty() && !text.ends_with('\n') {
            text.push('\n');
        }
        text.push_str(&format!("127.0.1.1\t{hostname}\n"));
    }
    text
}

/// The file of the certificates that the host trusts.
fn host_certificates() -> anyhow::Result<PathBuf> {
    let set = std::env::var_os("SSL_CERT_FILE").map(PathBuf::from);
    let known = HOST_CA.iter().map(PathBuf::from);
    for path in set.into_iter().chain(known) {
        if Path::is_file(&path) {
            return Ok(fs::canonicalize(path)?);
        }
    }
    bail!(
        "--host-ca: this host has no file of trusted certificates at the usual places; name it with SSL_CERT_FILE"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_of_old_and_new_machines_are_read() {
        let old = serde_json::json!({ "command": ["sh"], "hostname": null });
        assert_eq!(Settings::of(&old).unwrap().command, ["sh"]);
        let settings = Settings {
            memory: Some(1 << 30),
            volumes: vec![Mount {
                host: "/a".into(),
                guest: "/b".into(),
                read_only: true,
            }],
            env: vec![("A".into(), "b".into())],
            ..Settings::default()
        };
        let value = serde_json::to_value(&settings).unwrap();
        let back = Settings::of(&value).unwrap();
        assert_eq!(serde_json::to_value(&back).unwrap(), value);
        assert!(Settings::of(&serde_json::json!({ "memory": "much" })).is_err());
    }

    #[test]
    fn the_guests_name_is_among_its_hosts() {
        let text = hosts("a-name-nobody-has");
        assert!(text.ends_with("127.0.1.1\ta-name-nobody-has\n"), "{text}");
        assert!(text.contains("localhost"));
    }
}
