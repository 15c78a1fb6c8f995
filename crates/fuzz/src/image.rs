//! What images come from: archives, packages, indices, signatures, and the files of the image store.

use std::{
    fs,
    io::{self, Read},
    sync::OnceLock,
};
use tuxlet_image::{
    Quiet, alpine,
    config::Config,
    debian::{
        ar::ArReader,
        deb, deb822,
        packages::Index,
        release::{Keyring, Release},
        sources, version,
    },
    oci,
    patch::Patch,
    store::Store,
    tar::{self, Limits, TarReader, TarWriter},
    tree::TreeBuilder,
};

/// Seconds since 1970 at which signatures are looked at.
const NOW: u64 = 1_790_000_000;
/// Most that is read of a stream that unpacks to more.
const MOST: u64 = 8 << 20;

pub(crate) fn tar(data: &[u8]) {
    let mut reader = TarReader::new(data);
    while let Ok(Some(_)) = reader.next_entry() {
        // An error ends it at the next entry, too.
        let _ = io::copy(&mut reader.data().take(MOST), &mut io::sink());
    }
    let mut sink = TarWriter::new(io::sink());
    let limits = Limits {
        entries: 1000,
        bytes: MOST,
    };
    if let Ok(mut tree) = TreeBuilder::new(&mut sink)
        && tar::import("input", data, limits, &mut tree).is_ok()
    {
        let _ = tree.finish();
    }
}

pub(crate) fn decompress(data: &[u8]) {
    if let Ok((stream, _)) = tuxlet_image::decompress("input", data) {
        let _ = io::copy(&mut stream.take(MOST), &mut io::sink());
    }
}

pub(crate) fn deb(data: &[u8]) {
    let mut members = ArReader::new(data);
    while let Ok(Some(_)) = members.next_member() {
        let _ = io::copy(&mut members.by_ref().take(MOST), &mut io::sink());
    }
    let mut sink = TarWriter::new(io::sink());
    if let Ok(mut tree) = TreeBuilder::new(&mut sink) {
        let _ = deb::unpack("input", data, &mut tree);
    }
}

pub(crate) fn deb822(data: &[u8]) {
    let mut reader = deb822::Reader::new(data);
    while let Ok(Some(Ok(paragraph))) = reader.next_paragraph() {
        // A field that is there can be asked for.
        assert!(paragraph.fields().all(|(n, _)| paragraph.get(n).is_some()));
    }
    let _ = deb822::parse(&String::from_utf8_lossy(data));
}

pub(crate) fn packages(data: &[u8]) {
    let mut index = Index::default();
    if index.add("input", 0, data).is_ok() {
        let required = index.required();
        let _ = index.closure(&required);
    }
}

pub(crate) fn version(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let (a, b) = text.split_once('\n').unwrap_or((&text, ""));
    assert_eq!(
        version::compare(a, b),
        version::compare(b, a).reverse(),
        "an order has no direction"
    );
    assert!(version::compare(a, a).is_eq());
}

pub(crate) fn sources(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let _ = sources::parse_list(&text);
    let _ = sources::parse_sources(&text);
}

fn debian() -> &'static Keyring {
    static KEYRING: OnceLock<Keyring> = OnceLock::new();
    KEYRING.get_or_init(|| match Keyring::debian() {
        Ok(keyring) => keyring,
        Err(error) => panic!("the bundled keys: {error}"),
    })
}

pub(crate) fn in_release(data: &[u8]) {
    let _ = debian().open_clearsigned("input", data, NOW);
}

pub(crate) fn release(data: &[u8]) {
    let _ = Release::parse("input", &String::from_utf8_lossy(data), "stable", NOW, true);
}

pub(crate) fn keyring(data: &[u8]) {
    let mut keyring = debian().clone();
    let _ = keyring.add("input", data);
}

/// Alpine's index of releases.
pub(crate) fn alpine_index(data: &[u8]) {
    let _ = alpine::find("index", &String::from_utf8_lossy(data));
}

pub(crate) fn config(data: &[u8]) {
    let file = tempfile::NamedTempFile::new().expect("a temporary file");
    fs::write(file.path(), data).expect("a temporary file");
    let _ = Config::read(file.path());
}

/// What is in the image store as JSON: of an image and of a machine.
pub(crate) fn record(data: &[u8]) {
    let home = tempfile::tempdir().expect("a temporary directory");
    let home = home.path();
    for directory in ["images", "layers/a/fs", "machines/m"] {
        fs::create_dir_all(home.join(directory)).expect("a directory");
    }
    for file in ["images/i.json", "machines/m/machine.json"] {
        fs::write(home.join(file), data).expect("a file");
    }
    if let Ok(store) = Store::open(home) {
        for image in store.images().unwrap_or_default() {
            let _ = store.layer_dirs(&image);
        }
        if let Ok(machine) = store.machine("m") {
            let _ = machine.is_running();
        }
    }
}

/// An archive of images: the JSON in it, the names of its parts, and its layers.
pub(crate) fn archive(data: &[u8]) {
    let home = tempfile::tempdir().expect("a temporary directory");
    let Ok(store) = Store::open(home.path()) else {
        return;
    };
    let _ = oci::import_archive(&store, None, "input", data, &Quiet);
}

/// The manifest of a patch, next to the one file that the corpus names.
pub(crate) fn patch(data: &[u8]) {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let directory = directory.path();
    fs::write(directory.join("patch.toml"), data).expect("a file");
    fs::write(directory.join("motd"), "x").expect("a file");
    let _ = Patch::read(directory);
}
