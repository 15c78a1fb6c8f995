//! Release files: the signed root of a suite's checksums.

use std::{collections::HashMap, io::BufReader};

use pgp::{
    composed::{CleartextSignedMessage, Deserializable, SignedPublicKey},
    crypto::hash::HashAlgorithm,
    packet::{Signature, SignatureType},
    types::{KeyDetails, VerifyingKey},
};

use super::deb822;
use crate::{Error, Result, http::Expected};

/// The public keys of Debian's archive; see `keyrings/README.md`.
const DEBIAN_KEYS: &[&[u8]] = &[
    include_bytes!("../../keyrings/debian-archive-bullseye-automatic.gpg"),
    include_bytes!("../../keyrings/debian-archive-bullseye-security-automatic.gpg"),
    include_bytes!("../../keyrings/debian-archive-bullseye-stable.gpg"),
    include_bytes!("../../keyrings/debian-archive-bookworm-automatic.gpg"),
    include_bytes!("../../keyrings/debian-archive-bookworm-security-automatic.gpg"),
    include_bytes!("../../keyrings/debian-archive-bookworm-stable.gpg"),
    include_bytes!("../../keyrings/debian-archive-trixie-automatic.gpg"),
    include_bytes!("../../keyrings/debian-archive-trixie-security-automatic.gpg"),
    include_bytes!("../../keyrings/debian-archive-trixie-stable.gpg"),
];

/// How far a release's date may lie in the future, for clocks that are a little off, in seconds.
const CLOCK_TOLERANCE: u64 = 3600;

/// Keys whose signatures are trusted.
#[derive(Debug, Clone)]
pub struct Keyring {
    keys: Vec<SignedPublicKey>,
}

impl Keyring {
    /// Debian's own keys.
    pub fn debian() -> Result<Keyring> {
        let mut ring = Keyring { keys: Vec::new() };
        for bytes in DEBIAN_KEYS {
            ring.add("the bundled keyring", bytes)?;
        }
        Ok(ring)
    }

    /// Trusts the keys of a keyring file as well, binary or armoured.
    pub fn add(&mut self, what: &str, bytes: &[u8]) -> Result<()> {
        let bad = |error: pgp::errors::Error| Error::Signature {
            what: what.to_owned(),
            reason: format!("it is not a usable keyring ({error})"),
        };
        if bytes.starts_with(b"-----BEGIN") {
            let (keys, _) = SignedPublicKey::from_armor_many(bytes).map_err(bad)?;
            for key in keys {
                self.keys.push(key.map_err(bad)?);
            }
        } else {
            for key in SignedPublicKey::from_bytes_many(BufReader::new(bytes)).map_err(bad)? {
                self.keys.push(key.map_err(bad)?);
            }
        }
        Ok(())
    }

    /// The signed text of a clear-signed file, if one of its signatures is by a trusted key that is valid at `now` (seconds since
    /// 1970). Everything outside the signed part is an error or dropped, never returned.
    pub fn open_clearsigned(&self, what: &str, data: &[u8], now: u64) -> Result<String> {
        let refuse = |reason: String| Error::Signature {
            what: what.to_owned(),
            reason,
        };
        let text = std::str::from_utf8(data).map_err(|_| refuse("it is not text".to_owned()))?;
        let (message, _) = CleartextSignedMessage::from_string(text)
            .map_err(|e| refuse(format!("it is not a properly signed release file ({e})")))?;
        let signed = message.signed_text();
        let mut reasons = Vec::new();
        for signature in message.signatures() {
            match self.check(signature, signed.as_bytes(), now) {
                Ok(()) => return Ok(signed.replace("\r\n", "\n")),
                Err(reason) => reasons.push(reason),
            }
        }
        reasons.dedup();
        Err(refuse(if reasons.is_empty() {
            "it has no signature".to_owned()
        } else {
            reasons.join("; ")
        }))
    }

    fn check(
        &self,
        signature: &Signature,
        text: &[u8],
        now: u64,
    ) -> std::result::Result<(), String> {
        if !matches!(
            signature.typ(),
            Some(SignatureType::Binary | SignatureType::Text)
        ) {
            return Err("a signature is not one over a document".to_owned());
        }
        if !matches!(
            signature.hash_alg(),
            Some(HashAlgorithm::Sha256 | HashAlgorithm::Sha384 | HashAlgorithm::Sha512)
        ) {
            return Err("a signature uses a hash that is not trusted".to_owned());
        }
        let made = signature.created().map_or(0, |t| u64::from(t.as_secs()));
        if let Some(life) = signature
            .signature_expiration_time()
            .filter(|d| d.as_secs() != 0)
            && made + u64::from(life.as_secs()) < now
        {
            return Err("its signature has expired".to_owned());
        }
        for key in &self.keys {
            let own = key
                .details
                .users
                .iter()
                .flat_map(|user| &user.signatures)
                .chain(&key.details.direct_signatures);
            let own: Vec<&Signature> = own
                .filter(|s| s.issuer_key_id().contains(&&key.legacy_key_id()))
                .collect();
            match try_key(signature, text, &key.primary_key, &own, now) {
                Some(result) => return result,
                None => {
                    for subkey in &key.public_subkeys {
                        let bindings: Vec<&Signature> = subkey
                            .signatures
                            .iter()
                            .filter(|s| s.typ() == Some(SignatureType::SubkeyBinding))
                            .collect();
                        let signing = bindings.iter().any(|s| s.key_flags().sign());
                        if let Some(result) = try_key(signature, text, &subkey.key, &bindings, now)
                            && signing
                        {
                            return match lifetime_over(&key.primary_key, &own, now) {
                                true => Err("it is signed by a key that has expired".to_owned()),
                                false => result,
                            };
                        }
                    }
                }
            }
        }
        let issuer = signature
            .issuer_key_id()
            .first()
            .map_or_else(|| "unknown".to_owned(), |id| id.to_string().to_uppercase());
        Err(format!(
            "it is signed by key {issuer}, which is not in the keyring"
        ))
    }
}

/// `None` where the signature is not by this key.
fn try_key<K: VerifyingKey + KeyDetails>(
    signature: &Signature,
    text: &[u8],
    key: &K,
    bindings: &[&Signature],
    now: u64,
) -> Option<std::result::Result<(), String>> {
    let by_id = signature.issuer_key_id().contains(&&key.legacy_key_id());
    if !by_id && !signature.issuer_fingerprint().contains(&&key.fingerprint()) {
        return None;
    }
    Some(if signature.verify(key, text).is_err() {
        Err("its signature does not fit its content: it was changed on the way".to_owned())
    } else if lifetime_over(key, bindings, now) {
        Err("it is signed by a key that has expired".to_owned())
    } else {
        Ok(())
    })
}

/// Whether the newest of the key's own signatures says that its life is over at `now`.
fn lifetime_over<K: KeyDetails>(key: &K, bindings: &[&Signature], now: u64) -> bool {
    let newest = bindings
        .iter()
        .max_by_key(|s| s.created().map_or(0, |t| t.as_secs()));
    newest
        .and_then(|s| s.key_expiration_time())
        .filter(|life| life.as_secs() != 0)
        .is_some_and(|life| u64::from(key.created_at().as_secs()) + u64::from(life.as_secs()) < now)
}

/// What a release file says.
#[derive(Debug, Clone)]
pub struct Release {
    /// Name of the suite (`stable`).
    pub suite: String,
    /// Name of the release (`trixie`).
    pub codename: String,
    /// Version of the release (`13.1`); unstable has none.
    pub version: Option<String>,
    /// Whether files can be had by their checksum.
    pub by_hash: bool,
    architectures: Vec<String>,
    files: HashMap<String, Expected>,
}

impl Release {
    /// Reads the signed text of the release file of `suite` and checks that it is that suite's and is valid at `now`.
    pub fn parse(
        what: &str,
        text: &str,
        suite: &str,
        now: u64,
        check_valid_until: bool,
    ) -> Result<Release> {
        let refuse = |reason: String| Error::Release {
            what: what.to_owned(),
            reason,
        };
        let mut paragraphs = deb822::parse(text).map_err(|e| Error::Syntax {
            what: what.to_owned(),
            line: e.line,
            reason: e.reason,
        })?;
        let fields = paragraphs
            .drain(..)
            .next()
            .ok_or_else(|| refuse("it is empty".to_owned()))?;
        let get = |name: &str| fields.get(name).unwrap_or_default().to_owned();
        let time = |name: &str| -> Result<Option<u64>> {
            fields
                .get(name)
                .map(|v| {
                    parse_date(v).ok_or_else(|| refuse(format!("its {name} `{v}` is no date")))
                })
                .transpose()
        };
        let release_suite = get("Suite");
        let codename = get("Codename");
        if suite != release_suite && suite != codename {
            return Err(refuse(format!(
                "it is of suite {release_suite} ({codename}), not of {suite}"
            )));
        }
        let date = time("Date")?.ok_or_else(|| refuse("it has no date".to_owned()))?;
        if date > now.saturating_add(CLOCK_TOLERANCE) {
            return Err(refuse(format!(
                "its date `{}` is in the future; is this host's clock right?",
                get("Date")
            )));
        }
        if let Some(end) = time("Valid-Until")?
            && check_valid_until
            && end < now
        {
            return Err(refuse(format!(
                "it expired on {}; the mirror is out of date (or this host's clock is wrong): give another one with --mirror",
                get("Valid-Until")
            )));
        }
        let mut files = HashMap::new();
        for line in get("SHA256")
            .lines()
            .map(str::trim)
            .filter(|l| !l.is_empty())
        {
            let mut words = line.split_whitespace();
            let parsed = (|| {
                let digest = words.next()?.parse().ok()?;
                let size = words.next()?.parse().ok()?;
                Some((words.next()?.to_owned(), Expected { digest, size }))
            })();
            let (name, expected) =
                parsed.ok_or_else(|| refuse(format!("its checksum line `{line}` is malformed")))?;
            files.insert(name, expected);
        }
        Ok(Release {
            suite: release_suite,
            codename,
            version: fields.get("Version").map(str::to_owned),
            by_hash: get("Acquire-By-Hash") == "yes",
            architectures: get("Architectures")
                .split_whitespace()
                .map(str::to_owned)
                .collect(),
            files,
        })
    }

    /// Whether the suite has packages for an architecture.
    pub fn has_architecture(&self, name: &str) -> bool {
        self.architectures.iter().any(|a| a == name)
    }

    /// The smallest form of an index that can be read here: its name and checksum.
    pub(crate) fn index(&self, name: &str) -> Option<(String, Expected)> {
        [".xz", ".gz", ""].iter().find_map(|ending| {
            let name = format!("{name}{ending}");
            self.files.get(&name).map(|expected| (name, *expected))
        })
    }
}

/// A date such as `Sat, 12 Sep 2026 07:55:41 UTC`, in seconds since 1970.
fn parse_date(text: &str) -> Option<u64> {
    let mut words = text.split_once(',')?.1.split_whitespace();
    let day: u64 = words.next()?.parse().ok()?;
    let months = [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ];
    let name = words.next()?;
    let month = 1 + months.iter().position(|m| *m == name)? as u64;
    let year: u64 = words.next()?.parse().ok()?;
    let clock: Vec<u64> = words
        .next()?
        .split(':')
        .map(|n| n.parse().ok())
        .collect::<Option<_>>()?;
    let [hours, minutes, seconds] = clock[..] else {
        return None;
    };
    let in_range = (1..=31).contains(&day)
        && (1970..=9999).contains(&year)
        && hours < 24
        && minutes < 60
        && seconds <= 60;
    if !in_range || !matches!(words.next(), Some("UTC" | "GMT" | "+0000" | "Z")) {
        return None;
    }
    // Days since 1970, counting years from March so that the leap day is the last.
    let y = if month <= 2 { year - 1 } else { year };
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let days = 365 * y + y / 4 - y / 100 + y / 400 + day_of_year - 719_468;
    Some(days * 86_400 + hours * 3600 + minutes * 60 + seconds)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    const NOW: u64 = 1_795_341_600;

    #[test]
    fn dates() {
        assert_eq!(parse_date("Thu, 01 Jan 1970 00:00:00 UTC"), Some(0));
        assert_eq!(
            parse_date("Sat, 12 Sep 2026 07:55:41 UTC"),
            Some(1_789_199_741)
        );
        assert_eq!(
            parse_date("Thu, 29 Feb 2024 23:59:59 UTC"),
            Some(1_709_251_199)
        );
        for bad in [
            "",
            "Sat, 12",
            "x, 1 Foo 2020 0:0:0 UTC",
            "x, 99 Jan 2020 0:0:0 UTC",
            "x, 1 Jan 2020 0:0:0 CET",
        ] {
            assert_eq!(parse_date(bad), None, "{bad}");
        }
    }

    #[test]
    fn the_bundled_keys_are_whole() {
        let ring = Keyring::debian().unwrap();
        assert_eq!(ring.keys.len(), 9);
        for key in &ring.keys {
            for subkey in &key.public_subkeys {
                subkey.verify_bindings(&key.primary_key).unwrap();
            }
        }
    }

    const TEXT: &str = "Suite: stable\nCodename: trixie\nVersion: 13.7\nDate: Sat, 12 Sep 2026 07:55:41 UTC\n\
        Valid-Until: Sat, 28 Nov 2026 02:10:46 UTC\nAcquire-By-Hash: yes\nArchitectures: all arm64\nSHA256:\n \
        e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855        0 main/binary-arm64/Packages\n \
        f61f27bd17de546264aa58f40f3aafaac7021e0ef69c17f6b1b4cd7664a037ec       20 main/binary-arm64/Packages.gz\n";

    #[test]
    fn releases_are_checked() {
        let parse = |suite: &str, now: u64| Release::parse("x", TEXT, suite, now, true);
        let release = parse("trixie", NOW).unwrap();
        assert!(
            release.by_hash
                && release.has_architecture("arm64")
                && !release.has_architecture("amd64")
        );
        assert_eq!(
            release.index("main/binary-arm64/Packages").unwrap().0,
            "main/binary-arm64/Packages.gz"
        );
        assert!(parse("stable", NOW).is_ok());
        assert!(
            parse("bookworm", NOW)
                .unwrap_err()
                .to_string()
                .contains("not of bookworm")
        );
        assert!(
            parse("trixie", 1_000_000_000)
                .unwrap_err()
                .to_string()
                .contains("future")
        );
        assert!(
            parse("trixie", NOW + 30 * 86_400)
                .unwrap_err()
                .to_string()
                .contains("expired")
        );
        assert!(Release::parse("x", TEXT, "trixie", NOW + 30 * 86_400, false).is_ok());
        assert!(Release::parse("x", &TEXT.replace("e3b0", "zz"), "trixie", NOW, true).is_err());
    }
}
