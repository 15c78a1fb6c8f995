//! Who the user is at registries: our own file, and Docker's.
//!
//! Both have the form of Docker's `config.json`: `{"auths": {"HOST": {"auth": "BASE64(USER:PASSWORD)"}}}`. Of Docker's file only
//! `auths` is read; its credential helpers are programs, and not run.

use std::{
    collections::BTreeMap,
    env, fmt,
    fs::{self, File},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use base64::{Engine, engine::general_purpose::STANDARD as BASE64};
use serde::{Deserialize, Serialize};

use super::reference::registry_name;
use crate::{Error, Result, config::Config};

/// Docker's name for its own registry in such files.
const DOCKER_INDEX: &str = "https://index.docker.io/v1/";

/// A user and a password or token.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// The user.
    pub user: String,
    /// The password.
    pub password: String,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials")
            .field("user", &self.user)
            .finish_non_exhaustive()
    }
}

impl Credentials {
    /// The `Authorization` header of the Basic scheme.
    pub(super) fn basic(&self) -> String {
        format!("Basic {}", self.encoded())
    }

    fn encoded(&self) -> String {
        BASE64.encode(format!("{}:{}", self.user, self.password))
    }

    fn decode(text: &str) -> Option<Credentials> {
        let bytes = BASE64.decode(text.trim()).ok()?;
        let text = String::from_utf8(bytes).ok()?;
        let (user, password) = text.split_once(':')?;
        Some(Credentials {
            user: user.to_owned(),
            // Docker pads with NULs.
            password: password.trim_end_matches('\0').to_owned(),
        })
    }
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct Entry {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    auth: Option<String>,
    #[serde(default, skip_serializing)]
    username: Option<String>,
    #[serde(default, skip_serializing)]
    password: Option<String>,
}

impl Entry {
    fn credentials(&self) -> Option<Credentials> {
        if let Some(auth) = self.auth.as_deref().filter(|auth| !auth.is_empty()) {
            return Credentials::decode(auth);
        }
        Some(Credentials {
            user: self.username.clone()?,
            password: self.password.clone()?,
        })
    }
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct Contents {
    #[serde(default)]
    auths: BTreeMap<String, Entry>,
}

fn read(path: &Path) -> Result<Contents> {
    match fs::read(path) {
        Ok(text) => serde_json::from_slice(&text).map_err(|e| Error::Syntax {
            what: path.display().to_string(),
            line: e.line(),
            reason: e.to_string(),
        }),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(Contents::default()),
        Err(e) => Err(Error::io("read", path, e)),
    }
}

/// The files of credentials.
#[derive(Debug, Clone)]
pub struct CredentialStore {
    /// Ours.
    own: PathBuf,
    /// Docker's.
    docker: Option<PathBuf>,
}

impl CredentialStore {
    /// `credentials.json` beside the configuration file, and after it `$DOCKER_CONFIG/config.json` or `~/.docker/config.json`.
    pub fn of_user() -> Result<CredentialStore> {
        let own = Config::path().ok_or_else(|| Error::Store {
            path: PathBuf::from("$HOME"),
            reason: "not set; there is no place for credentials".to_owned(),
        })?;
        let set = |name: &str| {
            env::var_os(name)
                .filter(|v| !v.is_empty())
                .map(PathBuf::from)
        };
        let docker = set("DOCKER_CONFIG").or_else(|| set("HOME").map(|home| home.join(".docker")));
        Ok(CredentialStore {
            own: own.with_file_name("credentials.json"),
            docker: docker.map(|dir| dir.join("config.json")),
        })
    }

    /// These files.
    pub fn of_files(own: PathBuf, docker: Option<PathBuf>) -> CredentialStore {
        CredentialStore { own, docker }
    }

    /// Where ours are.
    pub fn path(&self) -> &Path {
        &self.own
    }

    /// Who the user is at a registry, named as people do.
    pub fn find(&self, registry: &str) -> Result<Option<Credentials>> {
        if let Some(found) = find(&read(&self.own)?, registry) {
            return Ok(Some(found));
        }
        let Some(docker) = &self.docker else {
            return Ok(None);
        };
        match read(docker) {
            Ok(contents) => Ok(find(&contents, registry)),
            // Somebody else's file.
            Err(error) => {
                tracing::warn!("{error}; it is passed over");
                Ok(None)
            }
        }
    }

    /// Remembers who the user is at a registry.
    pub fn set(&self, registry: &str, credentials: &Credentials) -> Result<()> {
        let mut contents = read(&self.own)?;
        let entry = Entry {
            auth: Some(credentials.encoded()),
            ..Entry::default()
        };
        contents.auths.insert(registry_name(registry), entry);
        self.write(&contents)
    }

    /// Forgets it; whether there was anything.
    pub fn remove(&self, registry: &str) -> Result<bool> {
        let mut contents = read(&self.own)?;
        let name = registry_name(registry);
        let before = contents.auths.len();
        contents.auths.retain(|host, _| registry_name(host) != name);
        if contents.auths.len() == before {
            return Ok(false);
        }
        self.write(&contents)?;
        Ok(true)
    }

    /// Writes our file in one step, for its user alone.
    fn write(&self, contents: &Contents) -> Result<()> {
        let directory = self.own.parent().unwrap_or(Path::new("."));
        fs::create_dir_all(directory).map_err(|e| Error::io("make", directory, e))?;
        let temporary = self
            .own
            .with_extension(format!("json.{}", std::process::id()));
        let write = || -> io::Result<()> {
            let _ = fs::remove_file(&temporary);
            let mut file = File::options()
                .write(true)
                .create_new(true)
                .mode(0o600)
                .open(&temporary)?;
            serde_json::to_writer_pretty(&mut file, contents)?;
            file.write_all(b"\n")?;
            file.sync_all()?;
            fs::rename(&temporary, &self.own)
        };
        write().map_err(|e| {
            let _ = fs::remove_file(&temporary);
            Error::io("write", &self.own, e)
        })
    }
}

fn find(contents: &Contents, registry: &str) -> Option<Credentials> {
    let name = registry_name(registry);
    let exact = contents.auths.get(&name);
    let others = contents.auths.iter();
    let alike = others
        .filter(|(host, _)| {
            registry_name(host) == name || (name == "docker.io" && *host == DOCKER_INDEX)
        })
        .map(|(_, entry)| entry);
    exact.into_iter().chain(alike).find_map(Entry::credentials)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn credentials(user: &str, password: &str) -> Credentials {
        Credentials {
            user: user.to_owned(),
            password: password.to_owned(),
        }
    }

    #[test]
    fn ours_go_before_dockers_and_are_private() {
        let dir = tempfile::tempdir().unwrap();
        let docker = dir.path().join("docker.json");
        let index = BASE64.encode("d:p:w\0\0");
        let text = format!(
            r#"{{"auths": {{"{DOCKER_INDEX}": {{"auth": "{index}"}}, "https://h.example/v2/": {{"username": "n", "password": "q"}},
               "helped.example": {{}}, "bad.example": {{"auth": "?"}}}}, "credsStore": "desktop"}}"#
        );
        fs::write(&docker, text).unwrap();
        let own = dir.path().join("new/credentials.json");
        let store = CredentialStore::of_files(own.clone(), Some(docker));
        assert_eq!(
            store.find("docker.io").unwrap(),
            Some(credentials("d", "p:w"))
        );
        assert_eq!(
            store.find("h.example").unwrap(),
            Some(credentials("n", "q"))
        );
        for none in ["helped.example", "bad.example", "x.example"] {
            assert_eq!(store.find(none).unwrap(), None, "{none}");
        }
        store
            .set("docker.io", &credentials("me", "secret"))
            .unwrap();
        store.set("localhost:5000", &credentials("a", "b")).unwrap();
        assert_eq!(
            fs::metadata(&own).unwrap().permissions().mode() & 0o777,
            0o600
        );
        assert_eq!(
            store.find("docker.io").unwrap(),
            Some(credentials("me", "secret"))
        );
        assert!(!format!("{:?}", store.find("docker.io").unwrap()).contains("secret"));
        assert!(store.remove("docker.io").unwrap());
        assert!(!store.remove("docker.io").unwrap());
        assert_eq!(
            store.find("docker.io").unwrap(),
            Some(credentials("d", "p:w"))
        );
        assert_eq!(
            store.find("localhost:5000").unwrap(),
            Some(credentials("a", "b"))
        );
    }

    #[test]
    fn a_damaged_file_of_ours_is_an_error_and_one_of_dockers_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let broken = dir.path().join("broken.json");
        fs::write(&broken, "{").unwrap();
        let none = dir.path().join("none");
        let store = CredentialStore::of_files(broken.clone(), None);
        assert!(matches!(store.find("x.example"), Err(Error::Syntax { .. })));
        let store = CredentialStore::of_files(none, Some(broken));
        assert_eq!(store.find("x.example").unwrap(), None);
    }
}
