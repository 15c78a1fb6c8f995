//! Manifests and indexes: which documents and layers an image consists of.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{Error, Result, store::Digest};

pub(super) const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
pub(super) const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
pub(super) const OCI_CONFIG: &str = "application/vnd.oci.image.config.v1+json";
pub(super) const OCI_LAYER: &str = "application/vnd.oci.image.layer.v1.tar";
const DOCKER_LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";

/// What registries are asked for.
pub(super) const ACCEPT: &str = "application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json, \
     application/vnd.docker.distribution.manifest.list.v2+json, application/vnd.docker.distribution.manifest.v2+json";

/// Most layers of an image.
const LAYERS_MAX: usize = 400;
/// Largest layer as it is stored, in bytes.
const LAYER_MAX: u64 = 64 << 30;

/// What names a document or layer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Descriptor {
    #[serde(default)]
    pub(super) media_type: String,
    digest: String,
    pub(super) size: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) platform: Option<Platform>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) annotations: Option<BTreeMap<String, String>>,
}

/// What an image is made for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Platform {
    pub(super) architecture: String,
    pub(super) os: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) variant: Option<String>,
}

impl Platform {
    /// Whether programs for it run here: `linux/arm64`, as such or as `v8`.
    pub(super) fn is_ours(&self) -> bool {
        self.os == "linux"
            && self.architecture == "arm64"
            && matches!(self.variant.as_deref(), None | Some("" | "v8"))
    }

    /// As `linux/arm/v7`.
    pub(super) fn text(&self) -> String {
        let mut text = format!("{}/{}", self.os, self.architecture);
        if let Some(variant) = self.variant.as_deref().filter(|v| !v.is_empty()) {
            text = format!("{text}/{variant}");
        }
        text
    }
}

impl Descriptor {
    pub(super) fn new(media_type: &str, digest: &Digest, size: u64) -> Descriptor {
        Descriptor {
            media_type: media_type.to_owned(),
            digest: format!("sha256:{digest}"),
            size,
            platform: None,
            annotations: None,
        }
    }

    /// The checksum that it names.
    pub(super) fn digest(&self, what: &str) -> Result<Digest> {
        parse_digest(what, &self.digest)
    }

    pub(super) fn annotation(&self, name: &str) -> Option<&str> {
        self.annotations.as_ref()?.get(name).map(String::as_str)
    }
}

/// `sha256:HEX`; other algorithms are not supported.
pub(super) fn parse_digest(what: &str, text: &str) -> Result<Digest> {
    text.strip_prefix("sha256:")
        .and_then(|hex| hex.parse().ok())
        .ok_or_else(|| {
            let shown: String = text.chars().take(100).collect();
            Error::image(what, format!("{shown:?} is no sha256 digest"))
        })
}

/// A manifest of one of the two kinds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Manifest {
    /// One manifest for each platform.
    Index(Vec<Descriptor>),
    /// An image.
    Image {
        config: Descriptor,
        /// The layers, lowest first.
        layers: Vec<Descriptor>,
    },
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Document {
    #[serde(default)]
    schema_version: u32,
    media_type: Option<String>,
    config: Option<Descriptor>,
    layers: Option<Vec<Descriptor>>,
    manifests: Option<Vec<Descriptor>>,
}

impl Manifest {
    /// Understands a manifest. `media_type` is what the server says it is, if it says so.
    pub(super) fn parse(what: &str, bytes: &[u8], media_type: Option<&str>) -> Result<Manifest> {
        let document: Document = serde_json::from_slice(bytes)
            .map_err(|e| Error::image(what, format!("its manifest is broken: {e}")))?;
        if document.schema_version == 1 {
            let reason = "its manifest has the form of before 2016 (schema 1), which is not supported; its maker has to push it again";
            return Err(Error::image(what, reason));
        }
        let known = |t: &&str| [OCI_INDEX, OCI_MANIFEST, DOCKER_LIST, DOCKER_MANIFEST].contains(t);
        let says = document.media_type.as_deref().filter(known);
        let served = media_type.filter(known);
        let is_index = |t: &str| t == OCI_INDEX || t == DOCKER_LIST;
        // A document that can be read as both kinds could be checked as one and used as the other.
        let ambiguous = document.manifests.is_some() && document.layers.is_some()
            || says
                .zip(served)
                .is_some_and(|(a, b)| is_index(a) != is_index(b))
            || says
                .or(served)
                .is_some_and(|t| is_index(t) != document.manifests.is_some());
        if ambiguous {
            let reason = "its manifest is not of the kind that it is said to be";
            return Err(Error::image(what, reason));
        }
        match document {
            Document {
                manifests: Some(manifests),
                ..
            } => Ok(Manifest::Index(manifests)),
            Document {
                config: Some(config),
                layers: Some(layers),
                ..
            } => {
                check_layers(what, &layers)?;
                Ok(Manifest::Image { config, layers })
            }
            _ => Err(Error::image(
                what,
                "it is no image: its manifest names no layers",
            )),
        }
    }
}

fn check_layers(what: &str, layers: &[Descriptor]) -> Result<()> {
    if layers.is_empty() || layers.len() > LAYERS_MAX {
        let reason = format!(
            "it has {} layers; 1 to {LAYERS_MAX} are supported",
            layers.len()
        );
        return Err(Error::image(what, reason));
    }
    for layer in layers {
        // `tar`, `tar+gzip`, `tar+zstd`, Docker's `tar.gzip`, the "foreign" and "nondistributable" ones; what is in a layer is
        // recognised by its content.
        let plain = layer.media_type.is_empty()
            || layer.media_type.contains(".tar") && !layer.media_type.contains("encrypted");
        if !plain {
            let shown: String = layer.media_type.chars().take(100).collect();
            return Err(Error::image(
                what,
                format!("it is no image for containers: it has a part of type {shown:?}"),
            ));
        }
        if layer.size > LAYER_MAX {
            return Err(Error::image(
                what,
                format!("it has a layer of {} bytes", layer.size),
            ));
        }
    }
    Ok(())
}

/// The manifest for us among those of an index.
pub(super) fn choose<'a>(what: &str, manifests: &'a [Descriptor]) -> Result<&'a Descriptor> {
    let ours = |d: &&Descriptor| d.platform.as_ref().is_some_and(Platform::is_ours);
    if let Some(found) = manifests.iter().find(ours) {
        return Ok(found);
    }
    // An index of one that says nothing; its configuration will.
    if let [only] = manifests
        && only.platform.is_none()
    {
        return Ok(only);
    }
    let mut platforms: Vec<String> = manifests
        .iter()
        .filter_map(|d| d.platform.as_ref())
        // What belongs to an image without being one.
        .filter(|p| p.os != "unknown")
        .take(30)
        .map(Platform::text)
        .collect();
    platforms.sort();
    platforms.dedup();
    let reason = format!(
        "it is not there for linux/arm64, only for {}",
        platforms.join(", ")
    );
    Err(Error::image(what, reason))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn descriptor(media_type: &str) -> String {
        format!(
            r#"{{"mediaType":"{media_type}","digest":"sha256:{}","size":3}}"#,
            "a".repeat(64)
        )
    }

    fn image(layers: &str, more: &str) -> String {
        let config = descriptor(OCI_CONFIG);
        format!(r#"{{"schemaVersion":2,{more}"config":{config},"layers":[{layers}]}}"#)
    }

    fn parse(text: &str, media_type: Option<&str>) -> Result<Manifest> {
        Manifest::parse("x", text.as_bytes(), media_type)
    }

    #[test]
    fn kinds_are_told_apart_by_all_that_is_said() {
        let layer = descriptor("application/vnd.docker.image.rootfs.diff.tar.gzip");
        let plain = image(&layer, "");
        for media_type in [
            None,
            Some(OCI_MANIFEST),
            Some(DOCKER_MANIFEST),
            Some("text/plain"),
        ] {
            assert!(matches!(
                parse(&plain, media_type),
                Ok(Manifest::Image { .. })
            ));
        }
        let index = format!(r#"{{"schemaVersion":2,"manifests":[{layer}]}}"#);
        assert!(matches!(
            parse(&index, Some(DOCKER_LIST)),
            Ok(Manifest::Index(_))
        ));
        let both = image(&layer, r#""manifests":[],"#);
        let says_index = image(&layer, &format!(r#""mediaType":"{OCI_INDEX}","#));
        for (text, media_type) in [
            (&plain, Some(OCI_INDEX)),
            (&index, Some(OCI_MANIFEST)),
            (&both, None),
            (&says_index, None),
            (&says_index, Some(OCI_MANIFEST)),
        ] {
            assert!(
                matches!(parse(text, media_type), Err(Error::Image { .. })),
                "{text}"
            );
        }
    }

    #[test]
    fn what_is_no_image_is_refused_with_reasons() {
        let chart = descriptor("application/vnd.cncf.helm.chart.content.v1.tar+gzip");
        assert!(
            parse(&image(&chart, ""), None).is_ok(),
            "only its configuration tells"
        );
        for (text, reason) in [
            (image("", ""), "0 layers"),
            (
                image(&descriptor("application/wasm"), ""),
                "application/wasm",
            ),
            (image(&descriptor("x.tar+encrypted"), ""), "encrypted"),
            (r#"{"schemaVersion":1,"fsLayers":[]}"#.into(), "schema 1"),
            ("{}".into(), "no image"),
            ("[".into(), "broken"),
        ] {
            let error = parse(&text, None).unwrap_err().to_string();
            assert!(error.contains(reason), "{error}");
        }
        let many = vec![descriptor("a.tar"); LAYERS_MAX + 1].join(",");
        assert!(parse(&image(&many, ""), None).is_err());
    }

    #[test]
    fn the_platform_is_chosen() {
        let with = |text: &str| {
            let mut d = Descriptor::new(OCI_MANIFEST, &Digest::of(text.as_bytes()), 1);
            let mut parts = text.split('/').map(str::to_owned);
            d.platform = parts.next().map(|os| Platform {
                os,
                architecture: parts.next().unwrap_or_default(),
                variant: parts.next(),
            });
            d
        };
        let all: Vec<_> = [
            "linux/amd64",
            "windows/arm64",
            "linux/arm/v7",
            "linux/arm64/v9",
            "linux/arm64/v8",
            "unknown/unknown",
        ]
        .map(with)
        .to_vec();
        assert_eq!(choose("x", &all).unwrap(), &all[4]);
        let error = choose("x", &all[..4]).unwrap_err().to_string();
        assert!(error.contains("linux/amd64, linux/arm/v7"), "{error}");
        let mut alone = with("a/b");
        alone.platform = None;
        assert!(choose("x", &[alone.clone()]).is_ok());
        assert!(choose("x", &[alone.clone(), alone]).is_err());
    }
}
