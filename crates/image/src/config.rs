//! The user's configuration file, `$XDG_CONFIG_HOME/tuxlet/config.toml`.

use std::{
    env, fs, io,
    path::{Path, PathBuf},
};

use serde::Deserialize;

use crate::{Error, Result};

/// The configuration; every part may be missing.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Where Debian comes from.
    pub debian: DebianConfig,
    /// Where Alpine comes from.
    pub alpine: AlpineConfig,
}

/// The `[alpine]` table.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AlpineConfig {
    /// Address of the mirror (the directory with `v3.NN/` and `edge/`).
    pub mirror: Option<String>,
}

/// The `[debian]` table.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DebianConfig {
    /// Address of the archive (the directory with `dists/` and `pool/`).
    pub mirror: Option<String>,
    /// Address of the security archive, where it does not stand beside the archive.
    pub security_mirror: Option<String>,
    /// The suite that `debian` without a suite means.
    pub suite: Option<String>,
}

impl Config {
    /// Where the user's file is; `None` where there is no home.
    pub fn path() -> Option<PathBuf> {
        let set = |name: &str| {
            env::var_os(name)
                .map(PathBuf::from)
                .filter(|p| p.is_absolute())
        };
        let base =
            set("XDG_CONFIG_HOME").or_else(|| set("HOME").map(|home| home.join(".config")))?;
        Some(base.join("tuxlet/config.toml"))
    }

    /// Reads the user's file; a missing one is empty.
    pub fn load() -> Result<Config> {
        Config::path().map_or_else(|| Ok(Config::default()), |path| Config::read(&path))
    }

    /// Reads a file; a missing one is empty.
    pub fn read(path: &Path) -> Result<Config> {
        let text = match fs::read_to_string(path) {
            Ok(text) => text,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Config::default()),
            Err(e) => return Err(Error::io("read", path, e)),
        };
        toml::from_str(&text).map_err(|e| {
            let line = e.span().map_or(1, |span| {
                text[..span.start.min(text.len())].matches('\n').count() + 1
            });
            Error::Syntax {
                what: path.display().to_string(),
                line,
                reason: e.message().to_owned(),
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_read_and_errors_located() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("config.toml");
        assert_eq!(Config::read(&path).unwrap(), Config::default());
        fs::write(&path, "[debian]\nmirror = \"http://m/debian\"\n").unwrap();
        assert_eq!(
            Config::read(&path).unwrap().debian.mirror.as_deref(),
            Some("http://m/debian")
        );
        fs::write(&path, "[debian]\n\nmirrors = 1\n").unwrap();
        assert!(matches!(
            Config::read(&path),
            Err(Error::Syntax { line: 3, .. })
        ));
    }
}
