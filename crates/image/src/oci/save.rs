//! Images of the store as an archive: an OCI layout that `docker load` takes, too.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{BufWriter, Read, Write},
    path::{Path, PathBuf},
};

use serde_json::json;
use tuxlet_vfs::FileType;

use super::{
    config,
    manifest::{Descriptor, OCI_CONFIG, OCI_INDEX, OCI_LAYER, OCI_MANIFEST, Platform},
    reference::Reference,
};
use crate::{
    Error, Result,
    store::{Digest, Image, ImageName, Store},
    tar::TarWriter,
    tree::{
        Meta, TreeSink,
        fakefs::FakefsSource,
        merged::{PRIVATE_XATTRS, is_whiteout, is_work},
    },
};

/// A file of the archive: its bytes, or where they are.
enum Blob {
    Bytes(Vec<u8>),
    File(PathBuf, u64),
}

/// Writes images with their layers and configuration as an OCI archive. The same images give the same bytes.
pub fn save(store: &Store, names: &[ImageName], output: impl Write) -> Result<()> {
    let scratch = store.new_layer()?;
    let mut blobs: BTreeMap<Digest, Blob> = BTreeMap::new();
    let mut layers: BTreeMap<String, Descriptor> = BTreeMap::new();
    let (mut manifests, mut docker) = (Vec::new(), Vec::new());
    for name in names {
        let image = store.image(name)?;
        let mut of_image = Vec::new();
        for id in image.layers().iter().rev() {
            if let Some(known) = layers.get(id) {
                of_image.push(known.clone());
                continue;
            }
            let path = scratch.dir().join(layers.len().to_string());
            write_layer(&store.layer_path(id)?, &path)?;
            let file = File::open(&path).map_err(|e| Error::io("open", &path, e))?;
            let (digest, size) =
                Digest::of_stream(file).map_err(|e| Error::io("read", &path, e))?;
            let descriptor = Descriptor::new(OCI_LAYER, &digest, size);
            blobs.insert(digest, Blob::File(path, size));
            layers.insert(id.clone(), descriptor.clone());
            of_image.push(descriptor);
        }
        let (manifest, entry) = describe(&image, &of_image, &mut blobs)?;
        manifests.push(manifest);
        docker.push(entry);
    }
    let json = |value: serde_json::Value| value.to_string().into_bytes();
    let index = json(json!({ "schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": manifests }));
    let mut tar = TarWriter::bare(output);
    let plain = Meta::root(0o644);
    let mut put = |name: &str, size: u64, bytes: &mut dyn Read| {
        tar.file(name.as_bytes(), &plain, size, bytes)
    };
    let layout = json(json!({ "imageLayoutVersion": "1.0.0" }));
    put("oci-layout", layout.len() as u64, &mut &layout[..])?;
    for (digest, blob) in &blobs {
        let name = format!("blobs/sha256/{digest}");
        match blob {
            Blob::Bytes(bytes) => put(&name, bytes.len() as u64, &mut &bytes[..])?,
            Blob::File(path, size) => {
                let mut file = File::open(path).map_err(|e| Error::io("open", path, e))?;
                put(&name, *size, &mut file)?;
            }
        }
    }
    put("index.json", index.len() as u64, &mut &index[..])?;
    let docker = json(serde_json::Value::Array(docker));
    put("manifest.json", docker.len() as u64, &mut &docker[..])?;
    tar.finish()
}

/// The documents of an image: its entry in the index, and that in Docker's manifest.
fn describe(
    image: &Image,
    layers: &[Descriptor],
    blobs: &mut BTreeMap<Digest, Blob>,
) -> Result<(Descriptor, serde_json::Value)> {
    let what = image.name.to_string();
    let diff_ids = layers.iter().map(|layer| layer.digest(&what));
    let diff_ids = diff_ids.collect::<Result<Vec<_>>>()?;
    let mut add = |bytes: Vec<u8>, media_type: &str| {
        let digest = Digest::of(&bytes);
        let descriptor = Descriptor::new(media_type, &digest, bytes.len() as u64);
        blobs.insert(digest, Blob::Bytes(bytes));
        (digest, descriptor)
    };
    let (config_digest, config) = add(
        config::write(&image.config, &diff_ids, image.created)?,
        OCI_CONFIG,
    );
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": config,
        "layers": layers,
    });
    let (_, mut manifest) = add(manifest.to_string().into_bytes(), OCI_MANIFEST);
    manifest.platform = Some(Platform {
        architecture: "arm64".to_owned(),
        os: "linux".to_owned(),
        variant: Some("v8".to_owned()),
    });
    let mut tags = Vec::new();
    // A name with a digest is that of another manifest than this one.
    if let Ok(reference) = what.parse::<Reference>()
        && reference.digest().is_none()
    {
        let tag = reference.version();
        manifest.annotations = Some(BTreeMap::from([
            ("io.containerd.image.name".to_owned(), reference.to_string()),
            ("org.opencontainers.image.ref.name".to_owned(), tag.clone()),
        ]));
        tags.push(format!("{}:{tag}", image.name.repository()));
    }
    let files: Vec<String> = diff_ids
        .iter()
        .map(|d| format!("blobs/sha256/{d}"))
        .collect();
    let entry = json!({
        "Config": format!("blobs/sha256/{config_digest}"),
        "RepoTags": tags,
        "Layers": files,
    });
    Ok((manifest, entry))
}

/// Writes a layer of the store as OCI has layers: what is gone as files whose names begin with `.wh.`.
fn write_layer(layer: &Path, to: &Path) -> Result<()> {
    let source = FakefsSource::open(layer)?;
    let file = File::create_new(to).map_err(|e| Error::io("make", to, e))?;
    let mut tar = TarWriter::new(BufWriter::new(file));
    let mut first = Default::default();
    source.visit(|item| {
        if is_work(&item.path) {
            return Ok(());
        }
        let (directory, name) = match item.path.iter().rposition(|&b| b == b'/') {
            Some(at) => item.path.split_at(at + 1),
            None => (&b""[..], &item.path[..]),
        };
        let mut mark = |path: Vec<u8>| tar.file(&path, &Meta::root(0), 0, &mut &b""[..]);
        if is_whiteout(item) {
            return mark([directory, b".wh.", name].concat());
        }
        if name.starts_with(b".wh.") {
            return Err(Error::unsafe_path(
                &item.path,
                "names that begin with `.wh.` cannot stand in an image's archive",
            ));
        }
        source.copy_item(item, &mut first, PRIVATE_XATTRS, &mut tar)?;
        if item.kind == FileType::Directory && source.is_opaque(item)? {
            let mut marker = item.path.clone();
            if !marker.is_empty() {
                marker.push(b'/');
            }
            marker.extend_from_slice(b".wh..wh..opq");
            return tar.file(&marker, &Meta::root(0), 0, &mut &b""[..]);
        }
        Ok(())
    })?;
    tar.finish()?;
    tar.into_inner()
        .into_inner()
        .map(drop)
        .map_err(|e| Error::io("write", to, e.into_error()))
}
