//! The distribution protocol of OCI and Docker, as far as pulling needs it.

use std::{
    fmt::{self, Write},
    sync::{Arc, Mutex, PoisonError},
};

use serde::Deserialize;

use super::{
    challenge::{self, Challenge},
    credentials::Credentials,
    manifest::ACCEPT,
    reference::{Reference, is_loopback},
};
use crate::{
    Error, Result,
    http::{Authorize, Document, Fetcher},
    store::Digest,
};

/// Largest manifest; what the specification says registries should take.
const MANIFEST_MAX: u64 = 4 << 20;
/// Largest answer with a token.
const TOKEN_MAX: u64 = 1 << 20;

/// A repository of a registry.
#[derive(Debug)]
pub(super) struct Registry {
    /// `https://HOST/v2/REPOSITORY`.
    base: String,
    fetcher: Fetcher,
}

impl Registry {
    /// Finds out how the registry is spoken to. `fetcher` is how it is reached, where that is not up to this.
    pub(super) fn connect(
        reference: &Reference,
        credentials: Option<Credentials>,
        fetcher: Option<Fetcher>,
    ) -> Result<Registry> {
        let registry = reference.registry();
        let (root, fetcher) = open(registry, fetcher)?;
        let authorize = Arc::new(Authority {
            registry: registry.to_owned(),
            fetcher: fetcher.clone(),
            scope: Some(format!("repository:{}:pull", reference.repository())),
            credentials,
            header: Mutex::new(None),
        });
        Ok(Registry {
            base: format!("{root}/v2/{}", reference.repository()),
            fetcher: fetcher.authorized(ACCEPT, authorize),
        })
    }

    /// A manifest, by tag or digest; `None` where there is none.
    pub(super) fn manifest(&self, version: &str) -> Result<Option<Document>> {
        let url = format!("{}/manifests/{version}", self.base);
        self.fetcher.document(&url, MANIFEST_MAX)
    }

    /// Where a blob is.
    pub(super) fn blob_url(&self, digest: &Digest) -> String {
        format!("{}/blobs/sha256:{digest}", self.base)
    }

    /// What fetches blobs.
    pub(super) fn fetcher(&self) -> &Fetcher {
        &self.fetcher
    }
}

/// The root address of a registry, after asking it whether it is one. HTTPS, and plain HTTP only to this host.
fn open(registry: &str, fetcher: Option<Fetcher>) -> Result<(String, Fetcher)> {
    let host = Reference::host(registry);
    let local = is_loopback(host);
    let fetcher = fetcher.unwrap_or_else(|| {
        if local {
            Fetcher::direct()
        } else {
            Fetcher::new()
        }
    });
    let probe = |scheme: &str| -> Result<String> {
        let root = format!("{scheme}://{host}");
        match fetcher.probe(&format!("{root}/v2/"))? {
            // Most want to know who asks, and say so.
            200 | 401 => Ok(root),
            // Others than registries, and registries that do not like this question.
            status if status < 500 && status != 404 => Ok(root),
            status => Err(Error::Fetch {
                url: format!("{root}/v2/"),
                reason: format!("the server answers {status}; it is no registry, or out of order"),
            }),
        }
    };
    match probe("https") {
        Err(error) if local => {
            tracing::debug!("{error}; trying plain HTTP");
            probe("http")
        }
        other => other,
    }
    .map(|root| (root, fetcher))
}

/// Checks whether a registry takes these credentials.
///
/// # Errors
/// [`Error::Login`] where it does not.
pub fn check_login(registry: &str, credentials: &Credentials) -> Result<()> {
    let (root, fetcher) = open(registry, None)?;
    let authorize = Arc::new(Authority {
        registry: registry.to_owned(),
        fetcher: fetcher.clone(),
        scope: None,
        credentials: Some(credentials.clone()),
        header: Mutex::new(None),
    });
    match fetcher
        .authorized(ACCEPT, authorize)
        .probe(&format!("{root}/v2/"))?
    {
        200..300 => Ok(()),
        status => Err(Error::Login {
            registry: registry.to_owned(),
            reason: format!(
                "the server answers {status}: it does not accept this user and password"
            ),
        }),
    }
}

/// What is not for logs.
struct Secret(String);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

/// Gets and keeps what proves to a registry who asks.
#[derive(Debug)]
struct Authority {
    registry: String,
    fetcher: Fetcher,
    scope: Option<String>,
    credentials: Option<Credentials>,
    header: Mutex<Option<Secret>>,
}

#[derive(Deserialize)]
struct Token {
    token: Option<String>,
    access_token: Option<String>,
}

impl Authorize for Authority {
    fn authorization(&self) -> Option<String> {
        self.header
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .as_ref()
            .map(|secret| secret.0.clone())
    }

    fn challenged(&self, used: Option<&str>, challenges: &[String]) -> Result<()> {
        let mut header = self.header.lock().unwrap_or_else(PoisonError::into_inner);
        if header.as_ref().map(|secret| &*secret.0) != used {
            // Another thread has got a new one meanwhile.
            return Ok(());
        }
        let all: Vec<Challenge> = challenges
            .iter()
            .flat_map(|c| challenge::parse(c))
            .collect();
        let find = |scheme: &str| all.iter().find(|c| c.scheme == scheme);
        *header = if let Some(bearer) = find("bearer") {
            Some(Secret(format!("Bearer {}", self.token(bearer)?)))
        } else if find("basic").is_some() {
            match &self.credentials {
                Some(credentials) => Some(Secret(credentials.basic())),
                None => return Err(self.login("it wants to know who asks")),
            }
        } else {
            return Err(self.login("it wants to know who asks, in a way that is not supported"));
        };
        Ok(())
    }
}

impl Authority {
    fn login(&self, reason: impl Into<String>) -> Error {
        Error::Login {
            registry: self.registry.clone(),
            reason: reason.into(),
        }
    }

    /// Asks the authority that the registry names for a token.
    fn token(&self, challenge: &Challenge) -> Result<String> {
        let realm = challenge
            .get("realm")
            .ok_or_else(|| self.login("it does not say where tokens come from"))?;
        let host = realm
            .split_once("://")
            .map_or("", |(_, rest)| rest)
            .split(['/', '?', '#'])
            .next()
            .unwrap_or_default();
        let secure = realm.starts_with("https://");
        let local =
            realm.starts_with("http://") && is_loopback(host) && is_loopback(&self.registry);
        // A password in plain text goes nowhere but to this host, and nobody is asked on behalf of a stranger.
        if !(secure || local) || host.contains('@') {
            return Err(self.login(format!(
                "it wants tokens to come from {realm}, which is not secure"
            )));
        }
        let mut url = realm.to_owned();
        let mut separator = if realm.contains('?') { '&' } else { '?' };
        let mut add = |name: &str, value: &str| {
            url.push(separator);
            separator = '&';
            url.push_str(name);
            url.push('=');
            escape(value, &mut url);
        };
        if let Some(service) = challenge.get("service") {
            add("service", service);
        }
        if let Some(scope) = challenge.get("scope").or(self.scope.as_deref()) {
            add("scope", scope);
        }
        if let Some(credentials) = &self.credentials {
            add("account", &credentials.user);
        }
        let fetcher = match &self.credentials {
            Some(credentials) => self.fetcher.clone().authorized(
                "application/json",
                Arc::new(Given {
                    registry: self.registry.clone(),
                    header: Secret(credentials.basic()),
                }),
            ),
            None => self.fetcher.clone(),
        };
        let document = fetcher
            .document(&url, TOKEN_MAX)
            .map_err(|error| match error {
                Error::Fetch { reason, .. } => {
                    self.login(format!("no token from {host}: {reason}"))
                }
                other => other,
            })?;
        let token = document
            .and_then(|d| serde_json::from_slice::<Token>(&d.bytes).ok())
            .and_then(|t| t.token.or(t.access_token))
            .filter(|t| !t.is_empty() && t.bytes().all(|b| b.is_ascii_graphic()));
        token.ok_or_else(|| self.login(format!("what {host} answers has no token")))
    }
}

/// Credentials that are sent without being asked for.
#[derive(Debug)]
struct Given {
    registry: String,
    header: Secret,
}

impl Authorize for Given {
    fn authorization(&self) -> Option<String> {
        Some(self.header.0.clone())
    }

    fn challenged(&self, _: Option<&str>, _: &[String]) -> Result<()> {
        Err(Error::Login {
            registry: self.registry.clone(),
            reason: "it does not accept this user and password".to_owned(),
        })
    }
}

/// Appends a query's value.
fn escape(value: &str, url: &mut String) {
    for byte in value.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~:/,".contains(&byte) {
            url.push(char::from(byte));
        } else {
            // Writing to a string does not fail.
            let _ = write!(url, "%{byte:02X}");
        }
    }
}
