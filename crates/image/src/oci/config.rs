//! The configuration of an image: what it is for, how it runs, which layers it has.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::manifest::{Platform, parse_digest};
use crate::{
    Error, Result,
    store::{Digest, ImageConfig},
};

/// Largest configuration in bytes.
pub(super) const CONFIG_MAX: u64 = 8 << 20;

#[derive(Debug, Deserialize, Serialize)]
struct Document {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    created: Option<String>,
    #[serde(flatten)]
    platform: Platform,
    #[serde(default)]
    config: Option<Settings>,
    rootfs: RootFs,
}

#[derive(Debug, Deserialize, Serialize)]
struct RootFs {
    #[serde(rename = "type")]
    kind: String,
    /// Checksums of the layers' tar archives, lowest first.
    #[serde(default)]
    diff_ids: Option<Vec<String>>,
}

/// Keys whose values do not matter.
type Set = BTreeMap<String, serde_json::Value>;

#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "PascalCase", default)]
struct Settings {
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    exposed_ports: Option<Set>,
    #[serde(skip_serializing_if = "Option::is_none")]
    env: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    entrypoint: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cmd: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    volumes: Option<Set>,
    #[serde(skip_serializing_if = "Option::is_none")]
    working_dir: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    labels: Option<BTreeMap<String, String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stop_signal: Option<String>,
}

/// What an image's configuration says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Parsed {
    /// How it runs.
    pub(super) config: ImageConfig,
    /// Checksums of its layers' tar archives, lowest first.
    pub(super) diff_ids: Vec<Digest>,
}

/// Understands the configuration of an image of so many layers, and refuses what does not run here.
pub(super) fn parse(what: &str, bytes: &[u8], layers: usize) -> Result<Parsed> {
    let wrong = |reason: String| Error::image(what, reason);
    let document: Document = serde_json::from_slice(bytes).map_err(|e| {
        wrong(format!(
            "its configuration is broken, or it is no image: {e}"
        ))
    })?;
    if !document.platform.is_ours() {
        let platform = document.platform.text();
        return Err(wrong(format!(
            "it is for {platform}; tuxlet runs linux/arm64"
        )));
    }
    if document.rootfs.kind != "layers" {
        return Err(wrong(format!(
            "its root file system is of type {:?}",
            document.rootfs.kind
        )));
    }
    let diff_ids = document.rootfs.diff_ids.unwrap_or_default();
    if diff_ids.len() != layers {
        return Err(wrong(format!(
            "its configuration has {} layers, its manifest {layers}",
            diff_ids.len()
        )));
    }
    let diff_ids = diff_ids.iter().map(|id| parse_digest(what, id));
    let diff_ids = diff_ids.collect::<Result<Vec<_>>>()?;
    let settings = document.config.unwrap_or_default();
    let workdir = settings.working_dir.filter(|dir| !dir.is_empty());
    let workdir = workdir.unwrap_or_else(|| "/".to_owned());
    let keys = |set: Option<Set>| set.unwrap_or_default().into_keys().collect();
    let config = ImageConfig {
        entrypoint: settings.entrypoint.unwrap_or_default(),
        command: settings.cmd.unwrap_or_default(),
        env: settings.env.unwrap_or_default(),
        // Relative ones are meant from the root.
        workdir: if workdir.starts_with('/') {
            workdir
        } else {
            format!("/{workdir}")
        },
        user: settings.user.unwrap_or_default(),
        volumes: keys(settings.volumes),
        exposed_ports: keys(settings.exposed_ports),
        stop_signal: settings.stop_signal.filter(|signal| !signal.is_empty()),
        labels: settings.labels.unwrap_or_default(),
    };
    Ok(Parsed { config, diff_ids })
}

/// The configuration as a document. `created` is in seconds since 1970.
pub(super) fn write(config: &ImageConfig, diff_ids: &[Digest], created: u64) -> Result<Vec<u8>> {
    let set = |keys: &[String]| -> Option<Set> {
        let empty = || serde_json::Value::Object(serde_json::Map::new());
        (!keys.is_empty()).then(|| keys.iter().map(|key| (key.clone(), empty())).collect())
    };
    let words = |words: &[String]| (!words.is_empty()).then(|| words.to_vec());
    let text = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    let document = Document {
        created: Some(rfc3339(created)),
        platform: Platform {
            architecture: "arm64".to_owned(),
            os: "linux".to_owned(),
            variant: Some("v8".to_owned()),
        },
        config: Some(Settings {
            user: text(&config.user),
            exposed_ports: set(&config.exposed_ports),
            env: words(&config.env),
            entrypoint: words(&config.entrypoint),
            cmd: words(&config.command),
            volumes: set(&config.volumes),
            working_dir: text(&config.workdir),
            labels: (!config.labels.is_empty()).then(|| config.labels.clone()),
            stop_signal: config.stop_signal.clone(),
        }),
        rootfs: RootFs {
            kind: "layers".to_owned(),
            diff_ids: Some(diff_ids.iter().map(|d| format!("sha256:{d}")).collect()),
        },
    };
    serde_json::to_vec(&document).map_err(|e| Error::image("configuration", e.to_string()))
}

/// A time in seconds since 1970 as RFC 3339 has it.
pub(super) fn rfc3339(secs: u64) -> String {
    let (days, rest) = (secs / 86_400, secs % 86_400);
    // Days to a date: eras of 400 years that begin in March.
    let z = days + 719_468;
    let (era, day) = (z / 146_097, z % 146_097);
    let year_of_era = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day_of_year = day - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * day_of_year + 2) / 153;
    let (day, month) = (
        day_of_year - (153 * month + 2) / 5 + 1,
        if month < 10 { month + 3 } else { month - 9 },
    );
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    let (hour, minute, second) = (rest / 3600, rest / 60 % 60, rest % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn full() -> ImageConfig {
        let words =
            |text: &str| -> Vec<String> { text.split_whitespace().map(str::to_owned).collect() };
        ImageConfig {
            entrypoint: words("/entry x"),
            command: words("a b"),
            env: words("A=1 B="),
            workdir: "/w".into(),
            user: "u:g".into(),
            volumes: words("/data /v"),
            exposed_ports: words("53/udp 80/tcp"),
            stop_signal: Some("SIGQUIT".into()),
            labels: BTreeMap::from([("k".into(), "v".into())]),
        }
    }

    #[test]
    fn what_is_written_is_read() {
        let diff_ids = [Digest::of(b"1"), Digest::of(b"2")];
        for config in [full(), ImageConfig::default()] {
            let bytes = write(&config, &diff_ids, 0).unwrap();
            let parsed = parse("x", &bytes, 2).unwrap();
            assert_eq!(
                (parsed.config, &parsed.diff_ids[..]),
                (config, &diff_ids[..])
            );
        }
    }

    #[test]
    fn configurations_of_others_are_read() {
        let digest = Digest::of(b"");
        let text = |platform: &str, config: &str| {
            format!(
                r#"{{{platform},"config":{config},"rootfs":{{"type":"layers","diff_ids":["sha256:{digest}"]}},"history":[]}}"#
            )
        };
        let arm = r#""architecture":"arm64","os":"linux","variant":"v8""#;
        for config in [
            "null",
            "{}",
            r#"{"Env":null,"Cmd":null,"Volumes":null,"WorkingDir":"","User":"","Healthcheck":{}}"#,
        ] {
            let parsed = parse("x", text(arm, config).as_bytes(), 1).unwrap();
            assert_eq!(parsed.config, ImageConfig::default());
        }
        let relative = parse("x", text(arm, r#"{"WorkingDir":"app"}"#).as_bytes(), 1).unwrap();
        assert_eq!(relative.config.workdir, "/app");
        for (platform, layers, reason) in [
            (r#""architecture":"amd64","os":"linux""#, 1, "linux/amd64"),
            (
                r#""architecture":"arm64","os":"windows""#,
                1,
                "windows/arm64",
            ),
            (arm, 2, "1 layers, its manifest 2"),
            (r#""os":"linux""#, 1, "broken"),
        ] {
            let error = parse("x", text(platform, "{}").as_bytes(), layers).unwrap_err();
            assert!(error.to_string().contains(reason), "{error}");
        }
    }

    #[test]
    fn times_are_dates() {
        for (secs, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (1_709_251_199, "2024-02-29T23:59:59Z"),
            (4_102_444_800, "2100-01-01T00:00:00Z"),
        ] {
            assert_eq!(rfc3339(secs), text);
        }
    }
}
