//! Pulls from a registry that the test itself serves, and archives of images.

mod server;

use std::{
    collections::BTreeMap,
    fs,
    sync::{Arc, Mutex},
};

use server::{Auth, Fault, Served};

use super::{
    Limits, Reference,
    archive::import_archive,
    credentials::Credentials,
    pull::{Pulled, pull_with},
    registry::check_login,
    save,
};
use crate::{
    Error, Progress, Quiet, Result, Stage,
    compress::tests::{gzip, zstd},
    export_image,
    http::Fetcher,
    provision::import_file,
    store::{Digest, Image, ImageName, Store},
    tar,
    tree::{TreeSource, memory::Item, memory::MemoryTree, merged::MergedSource},
};

const LAYER: &str = "application/vnd.oci.image.layer.v1.tar+gzip";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";

/// A layer's archive: a name that ends with `/` is a directory, `a -> b` a link, `a = b` a hard link, all else a file of its name.
fn layer(names: &[&str]) -> Vec<u8> {
    let mut builder = ::tar::Builder::new(Vec::new());
    for name in names {
        let mut header = ::tar::Header::new_ustar();
        header.set_mode(0o644);
        header.set_uid(7);
        header.set_mtime(1000);
        header.set_size(0);
        if let Some((name, target)) = name.split_once(" -> ") {
            header.set_entry_type(::tar::EntryType::Symlink);
            builder.append_link(&mut header, name, target).unwrap();
        } else if let Some((name, target)) = name.split_once(" = ") {
            header.set_entry_type(::tar::EntryType::Link);
            builder.append_link(&mut header, name, target).unwrap();
        } else if name.ends_with('/') {
            header.set_entry_type(::tar::EntryType::Directory);
            header.set_mode(0o711);
            builder.append_data(&mut header, name, &b""[..]).unwrap();
        } else {
            let text = name.rsplit('/').next().unwrap_or(name);
            header.set_size(text.len() as u64);
            // Written by hand: the library refuses names that lead elsewhere.
            header.as_mut_bytes()[..name.len()].copy_from_slice(name.as_bytes());
            header.set_cksum();
            builder.append(&header, text.as_bytes()).unwrap();
        }
    }
    builder.into_inner().unwrap()
}

fn plain(data: &[u8]) -> Vec<u8> {
    data.to_vec()
}

type Pack = fn(&[u8]) -> Vec<u8>;

fn descriptor(media_type: &str, data: &[u8]) -> serde_json::Value {
    serde_json::json!({ "mediaType": media_type, "digest": format!("sha256:{}", Digest::of(data)), "size": data.len() })
}

fn config_of(layers: &[Vec<u8>], architecture: &str) -> Vec<u8> {
    let ids: Vec<_> = layers
        .iter()
        .map(|l| format!("sha256:{}", Digest::of(l)))
        .collect();
    serde_json::json!({
        "architecture": architecture, "os": "linux",
        "config": { "Entrypoint": ["/entry"], "Cmd": ["arg"], "Env": ["A=b"], "WorkingDir": "/w", "User": "7:8",
                    "Volumes": { "/data": {} }, "ExposedPorts": { "80/tcp": {} }, "StopSignal": "SIGQUIT" },
        "rootfs": { "type": "layers", "diff_ids": ids },
    })
    .to_string()
    .into_bytes()
}

/// Puts an image into a repository; returns its manifest.
fn push(
    served: &Served,
    repository: &str,
    layers: &[(Vec<u8>, Pack)],
    architecture: &str,
) -> Vec<u8> {
    let tars: Vec<Vec<u8>> = layers.iter().map(|(data, _)| data.clone()).collect();
    let config = config_of(&tars, architecture);
    served.blob(repository, &config);
    let mut parts = Vec::new();
    for (data, pack) in layers {
        let packed = pack(data);
        parts.push(descriptor(LAYER, &packed));
        served.blob(repository, &packed);
    }
    let manifest = serde_json::json!({
        "schemaVersion": 2, "config": descriptor("application/vnd.oci.image.config.v1+json", &config), "layers": parts,
    });
    let manifest = manifest.to_string().into_bytes();
    served.manifest(
        repository,
        &format!("sha256:{}", Digest::of(&manifest)),
        MANIFEST,
        &manifest,
    );
    manifest
}

struct Home {
    _dir: tempfile::TempDir,
    store: Store,
}

impl Home {
    fn new() -> Home {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&dir.path().join("home")).unwrap();
        Home { _dir: dir, store }
    }

    fn pull(&self, served: &Served, what: &str) -> Result<Pulled> {
        self.pull_as(served, what, None, Limits::default(), &Quiet)
    }

    fn pull_as(
        &self,
        served: &Served,
        what: &str,
        credentials: Option<&Credentials>,
        limits: Limits,
        progress: &dyn Progress,
    ) -> Result<Pulled> {
        let text = format!("{}/{what}", served.host());
        let reference: Reference = text.parse().unwrap();
        let fetcher = Some(Fetcher::impatient());
        let name = text.parse().unwrap();
        pull_with(
            &self.store,
            &name,
            &reference,
            credentials.cloned(),
            fetcher,
            limits,
            progress,
        )
    }

    fn tree(&self, image: &Image) -> MemoryTree {
        let mut tree = MemoryTree::default();
        let layers = self.store.layer_dirs(image).unwrap();
        MergedSource::open(&layers)
            .unwrap()
            .copy_to(&mut tree)
            .unwrap();
        tree
    }

    fn names(&self, image: &Image) -> Vec<String> {
        let keys = self.tree(image).items.into_keys();
        keys.map(|k| String::from_utf8(k).unwrap()).collect()
    }

    fn layers(&self) -> Vec<String> {
        let entries = fs::read_dir(self.store.home().join("layers")).unwrap();
        let mut names: Vec<_> = entries
            .map(|e| e.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    /// Nothing of an image is there.
    fn assert_empty(&self) {
        assert_eq!(self.store.images().unwrap(), []);
        assert_eq!(self.layers(), Vec::<String>::new());
    }
}

fn three_layers() -> Vec<(Vec<u8>, Pack)> {
    vec![
        (
            layer(&[
                "etc/",
                "etc/a",
                "etc/b",
                "hidden/",
                "hidden/old",
                "bin -> usr/bin",
                "usr/bin/",
                "usr/bin/sh",
                "usr/bin/ash = usr/bin/sh",
                "dir/",
                "dir/x",
            ]),
            gzip as Pack,
        ),
        // Directories that are not mentioned are as they were; `etc` keeps its mode.
        (
            layer(&[
                "etc/.wh.a",
                "etc/c",
                "hidden/.wh..wh..opq",
                "hidden/new",
                ".wh.dir",
                "dir2/y",
            ]),
            zstd as Pack,
        ),
        (layer(&["dir/", "dir/z", "etc/b"]), plain as Pack),
    ]
}

#[test]
fn images_are_pulled_with_tokens_for_our_platform() {
    let served = Served::new(Auth::Bearer(None));
    let arm = push(&served, "a/b", &three_layers(), "arm64");
    let amd = push(&served, "a/b", &[(layer(&["amd"]), gzip as Pack)], "amd64");
    let platform = |manifest: &[u8], architecture: &str| {
        let mut d = descriptor(MANIFEST, manifest);
        d["platform"] = serde_json::json!({ "os": "linux", "architecture": architecture });
        d
    };
    let index = serde_json::json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": [platform(&amd, "amd64"), platform(&arm, "arm64")] });
    let index = index.to_string().into_bytes();
    served.manifest("a/b", "v1", INDEX, &index);
    let home = Home::new();
    let Pulled { image, fresh } = home.pull(&served, "a/b:v1").unwrap();
    assert!(fresh);
    assert_eq!(image.digest, Some(format!("sha256:{}", Digest::of(&index))));
    let config = &image.config;
    assert_eq!(
        (
            &config.entrypoint[0][..],
            &config.command[0][..],
            &config.user[..]
        ),
        ("/entry", "arg", "7:8")
    );
    assert_eq!(
        (&config.volumes[0][..], &config.exposed_ports[0][..]),
        ("/data", "80/tcp")
    );
    assert_eq!(
        (config.stop_signal.as_deref(), &config.workdir[..]),
        (Some("SIGQUIT"), "/w")
    );
    assert_eq!(
        home.names(&image),
        [
            "",
            "bin",
            "dir",
            "dir/z",
            "dir2",
            "dir2/y",
            "etc",
            "etc/b",
            "etc/c",
            "hidden",
            "hidden/new",
            "usr",
            "usr/bin",
            "usr/bin/ash",
            "usr/bin/sh"
        ]
    );
    let tree = home.tree(&image);
    for directory in ["etc", "hidden"] {
        let Some(Item::Directory(meta)) = tree.get(directory) else {
            panic!("{directory}")
        };
        assert_eq!(
            (meta.mode, meta.uid, meta.xattrs.len()),
            (0o711, 7, 0),
            "{directory}"
        );
    }
    assert_eq!(tree.text("usr/bin/ash"), "sh");
    assert_eq!(home.layers().len(), 3);
    let log = served.log();
    let token = log.iter().find(|line| line.contains("/token")).unwrap();
    assert!(
        token.contains("service=test") && token.contains("scope=repository:a/b:pull"),
        "{token}"
    );
    assert_eq!(
        log.iter().filter(|l| l.contains("/blobs/")).count(),
        4,
        "{log:#?}"
    );
    // Blobs are of no use any more.
    assert_eq!(
        fs::read_dir(home.store.home().join("cache/blobs/sha256"))
            .unwrap()
            .count(),
        0
    );

    // Again: nothing is fetched but what says so.
    let again = home.pull(&served, "a/b:v1").unwrap();
    assert!(!again.fresh);
    assert_eq!(again.image, image);

    // Another image on the same base fetches what it has of its own.
    let mut other = three_layers();
    other[2] = (layer(&["own"]), gzip as Pack);
    let manifest = push(&served, "a/b", &other, "arm64");
    served.manifest("a/b", "v2", DOCKER_MANIFEST, &manifest);
    let before = served.log().len();
    let second = home.pull(&served, "a/b:v2").unwrap().image;
    let fetched: Vec<String> = served.log()[before..]
        .iter()
        .filter(|l| l.contains("/blobs/"))
        .cloned()
        .collect();
    assert_eq!(
        fetched.len(),
        2,
        "configuration and one layer: {fetched:#?}"
    );
    assert_eq!(second.layers()[1..], image.layers()[1..]);
    assert_eq!(home.layers().len(), 4);
    // Layers go with their last image.
    home.store.remove_image(&image.name).unwrap();
    assert_eq!(home.layers().len(), 3);
    assert!(home.names(&second).contains(&"own".to_owned()));
    home.store.remove_image(&second.name).unwrap();
    home.assert_empty();
}

#[test]
fn failures_of_the_way_are_overcome_and_downloads_resumed() {
    let served = Served::new(Auth::Bearer(None));
    let big: Vec<String> = (0..4000).map(|n| format!("file-{n}")).collect();
    let names: Vec<&str> = big.iter().map(String::as_str).collect();
    let data = layer(&names);
    let manifest = push(&served, "r", &[(data.clone(), plain as Pack)], "arm64");
    served.manifest("r", "latest", MANIFEST, &manifest);
    let blob = format!("/v2/r/blobs/sha256:{}", Digest::of(&data));
    served.fault("/v2/r/manifests/latest", Fault::Status(429));
    served.fault("/v2/r/manifests/latest", Fault::Status(503));
    served.fault(&blob, Fault::Cut(100_000));
    served.fault(&blob, Fault::Status(500));
    served.fault(&blob, Fault::Expired);
    let home = Home::new();
    let seen = Seen::default();
    let pulled = home
        .pull_as(&served, "r", None, Limits::default(), &seen)
        .unwrap();
    assert_eq!(home.names(&pulled.image).len(), 4001);
    let ranges: Vec<String> = served
        .log()
        .into_iter()
        .filter(|l| l.contains("bytes=100000-"))
        .collect();
    assert!(ranges.len() >= 2, "{:#?}", served.log());
    // The whole layer is reported, once.
    let short: String = Digest::of(&data).to_string().chars().take(12).collect();
    let parts = seen.0.lock().unwrap();
    assert_eq!(
        parts.get(&short),
        Some(&(data.len() as u64, data.len() as u64))
    );
}

/// Remembers how far parts are.
#[derive(Default)]
struct Seen(Mutex<BTreeMap<String, (u64, u64)>>);

impl Progress for Seen {
    fn begin(&self, _: Stage, _: u64) {}
    fn advance(&self, _: Stage, _: u64) {}
    fn item(&self, _: Stage, _: &str) {}
    fn end(&self, _: Stage) {}
    fn part(&self, _: Stage, name: &str, done: u64, total: u64) {
        self.0
            .lock()
            .unwrap()
            .insert(name.to_owned(), (done, total));
    }
}

#[test]
fn what_is_not_as_promised_leaves_nothing() {
    let served = Served::new(Auth::None);
    let layers = three_layers();
    let manifest = push(&served, "r", &layers, "arm64");
    served.manifest("r", "latest", MANIFEST, &manifest);
    let home = Home::new();
    let packed = gzip(&layers[0].0);
    let blob = format!("/v2/r/blobs/sha256:{}", Digest::of(&packed));
    served.fault(&blob, Fault::Corrupt);
    assert!(matches!(home.pull(&served, "r"), Err(Error::Hash { .. })));
    home.assert_empty();
    // A layer's end never comes.
    for _ in 0..20 {
        served.fault(&blob, Fault::Cut(0));
    }
    assert!(matches!(home.pull(&served, "r"), Err(Error::Fetch { .. })));
    home.assert_empty();
    served.clear_faults();

    let config = config_of(
        &layers.iter().map(|l| l.0.clone()).collect::<Vec<_>>(),
        "arm64",
    );
    served.fault(
        &format!("/v2/r/blobs/sha256:{}", Digest::of(&config)),
        Fault::Corrupt,
    );
    assert!(matches!(home.pull(&served, "r"), Err(Error::Hash { .. })));
    // A digest in the name is held against what comes.
    let other = format!("r@sha256:{}", Digest::of(b"other"));
    served.manifest(
        "r",
        &format!("sha256:{}", Digest::of(b"other")),
        MANIFEST,
        &manifest,
    );
    assert!(matches!(
        home.pull(&served, &other),
        Err(Error::Hash { .. })
    ));
    // The archive is right, its content is not what the configuration says.
    let mut wrong: Vec<Vec<u8>> = layers.iter().map(|l| l.0.clone()).collect();
    wrong[1] = layer(&["else"]);
    let config = config_of(&wrong, "arm64");
    served.blob("r", &config);
    let mut lying: serde_json::Value = serde_json::from_slice(&manifest).unwrap();
    lying["config"] = descriptor("application/vnd.oci.image.config.v1+json", &config);
    served.manifest("r", "lying", MANIFEST, lying.to_string().as_bytes());
    let error = home.pull(&served, "r:lying").unwrap_err();
    assert!(
        matches!(&error, Error::Hash { what, .. } if what.contains("content of layer")),
        "{error}"
    );
    home.assert_empty();

    let error = home.pull(&served, "r:none").unwrap_err().to_string();
    assert!(error.contains("no such image"), "{error}");
    let amd = push(&served, "amd", &[(layer(&["x"]), gzip as Pack)], "amd64");
    served.manifest("amd", "latest", MANIFEST, &amd);
    let error = home.pull(&served, "amd").unwrap_err().to_string();
    assert!(error.contains("linux/amd64"), "{error}");
    served.manifest(
        "r",
        "index",
        MANIFEST,
        br#"{"schemaVersion":2,"manifests":[]}"#,
    );
    assert!(matches!(
        home.pull(&served, "r:index"),
        Err(Error::Image { .. })
    ));
    home.assert_empty();

    // And all is well when it is well.
    let right = format!("r@sha256:{}", Digest::of(&manifest));
    assert!(home.pull(&served, &right).unwrap().fresh);
}

#[test]
fn an_interrupted_pull_goes_on_where_it_was() {
    let served = Served::new(Auth::None);
    let layers = three_layers();
    let manifest = push(&served, "r", &layers, "arm64");
    served.manifest("r", "latest", MANIFEST, &manifest);
    let last = format!("/v2/r/blobs/sha256:{}", Digest::of(&layers[2].0));
    served.fault(&last, Fault::Cut(700));
    for _ in 0..10 {
        served.fault(&last, Fault::Status(404));
    }
    let home = Home::new();
    assert!(home.pull(&served, "r").is_err());
    home.assert_empty();
    served.clear_faults();
    // What was there is there: this part's beginning, and whichever others were complete.
    let cached = fs::read_dir(home.store.home().join("cache/blobs/sha256"))
        .unwrap()
        .count();
    let before = served.log().len();
    assert!(home.pull(&served, "r").unwrap().fresh);
    let log = &served.log()[before..];
    assert!(
        log.iter()
            .any(|l| l.contains(&last) && l.contains("bytes=700-")),
        "{log:#?}"
    );
    let blobs = log.iter().filter(|l| l.contains("/blobs/")).count();
    assert_eq!(blobs, 1 + 3 - cached, "{log:#?}");
}

#[test]
fn hostile_layers_are_refused() {
    let served = Served::new(Auth::None);
    let home = Home::new();
    let small = Limits {
        tree: tar::Limits {
            entries: 10,
            bytes: 1 << 20,
        },
        archive: 100_000,
    };
    let zeros = vec![0; 1 << 20];
    let many: Vec<String> = (0..20).map(|n| n.to_string()).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    for (tag, data, kind) in [
        ("up", layer(&["a/../../x"]), "path"),
        ("whiteout", layer(&["a/.wh..."]), "path"),
        ("bad-whiteout", layer(&["a/.wh.."]), "path"),
        ("link", layer(&["l -> ../../..", "l/.wh.x", "l/y"]), "fine"),
        ("hard", layer(&["h = /etc/passwd"]), "path"),
        ("bomb", [layer(&["a"]), zeros].concat(), "archive"),
        ("many", layer(&many), "archive"),
        ("nonsense", b"nonsense".repeat(200), "archive"),
    ] {
        let manifest = push(&served, "r", &[(data, gzip as Pack)], "arm64");
        served.manifest("r", tag, MANIFEST, &manifest);
        let result = home.pull_as(&served, &format!("r:{tag}"), None, small, &Quiet);
        let got = match &result {
            Ok(pulled) => {
                home.store.remove_image(&pulled.image.name).unwrap();
                "fine"
            }
            Err(Error::UnsafePath { .. }) => "path",
            Err(Error::Archive { .. }) => "archive",
            Err(_) => "other",
        };
        assert_eq!(got, kind, "{tag}: {result:?}");
        home.assert_empty();
    }
}

#[test]
fn registries_are_told_who_asks() {
    let user = Credentials {
        user: "me".to_owned(),
        password: "se:cret".to_owned(),
    };
    let stranger = Credentials {
        user: "me".to_owned(),
        password: "wrong".to_owned(),
    };
    for auth in [Auth::Basic(user.clone()), Auth::Bearer(Some(user.clone()))] {
        let served = Served::new(auth);
        let manifest = push(&served, "r", &three_layers(), "arm64");
        served.manifest("r", "latest", MANIFEST, &manifest);
        let home = Home::new();
        let pull =
            |who: Option<&Credentials>| home.pull_as(&served, "r", who, Limits::default(), &Quiet);
        for who in [None, Some(&stranger)] {
            let error = pull(who).unwrap_err();
            assert!(
                matches!(error, Error::Login { .. } | Error::Fetch { .. }),
                "{error}"
            );
        }
        home.assert_empty();
        // What is in the way of the blobs does not learn who asks.
        let elsewhere = Served::new(Auth::None);
        for (data, pack) in three_layers() {
            let data = pack(&data);
            let path = format!("/v2/r/blobs/sha256:{}", Digest::of(&data));
            elsewhere.blob("r", &data);
            served.fault(
                &path,
                Fault::Redirect(format!("http://{}{path}", elsewhere.host())),
            );
        }
        assert!(pull(Some(&user)).unwrap().fresh);
        assert!(
            elsewhere.log().iter().all(|l| !l.contains("authorization")),
            "{:#?}",
            elsewhere.log()
        );
        assert_eq!(elsewhere.log().len(), 3);

        check_login(served.host(), &user).unwrap();
        assert!(matches!(
            check_login(served.host(), &stranger),
            Err(Error::Login { .. })
        ));
    }
    let open = Served::new(Auth::None);
    check_login(open.host(), &user).unwrap();
}

#[test]
fn archives_of_images_go_out_and_come_back() {
    let served = Served::new(Auth::None);
    let manifest = push(&served, "r", &three_layers(), "arm64");
    served.manifest("r", "v1", MANIFEST, &manifest);
    let home = Home::new();
    let image = home.pull(&served, "r:v1").unwrap().image;
    let mut archive = Vec::new();
    save(&home.store, std::slice::from_ref(&image.name), &mut archive).unwrap();
    let mut again = Vec::new();
    save(&home.store, std::slice::from_ref(&image.name), &mut again).unwrap();
    assert!(archive == again, "the same image gives the same bytes");

    let export = |home: &Home, name: &ImageName| {
        let mut tar = Vec::new();
        export_image(&home.store, name, &mut tar).unwrap();
        tar
    };
    // An OCI layout, the same as Docker's archive, and packed; its name is in it.
    let without = |name: &str| {
        let mut from = ::tar::Archive::new(&archive[..]);
        let mut to = ::tar::Builder::new(Vec::new());
        for entry in from.entries().unwrap() {
            let entry = entry.unwrap();
            let header = entry.header().clone();
            if entry.path().unwrap().to_str() != Some(name) {
                to.append(&header, entry).unwrap();
            }
        }
        to.into_inner().unwrap()
    };
    for data in [
        archive.clone(),
        without("index.json"),
        gzip(&without("manifest.json")),
    ] {
        let other = Home::new();
        let path = other.store.home().join("../archive");
        fs::write(&path, &data).unwrap();
        let images = import_file(&other.store, None, &path, &Quiet).unwrap();
        assert_eq!(images.len(), 1);
        assert_eq!(images[0].name, image.name);
        assert_eq!(images[0].config, image.config);
        assert_eq!(images[0].layers().len(), 3);
        assert!(export(&other, &images[0].name) == export(&home, &image.name));
        // Under a name of one's own, on the same layers.
        let name: ImageName = "own:1".parse().unwrap();
        let images = import_file(&other.store, Some(&name), &path, &Quiet).unwrap();
        assert_eq!(images[0].name, name);
        assert_eq!(other.layers().len(), 3);
    }
    // Damage.
    let other = Home::new();
    let find = |needle: &[u8]| {
        archive
            .windows(needle.len())
            .position(|w| w == needle)
            .unwrap()
    };
    let mut broken = archive.clone();
    broken[find(b"SIGQUIT")] = b'X';
    let import = |data: &[u8]| import_archive(&other.store, None, "x", data, &Quiet);
    assert!(matches!(import(&broken), Err(Error::Hash { .. })));
    assert!(matches!(
        import(&archive[..archive.len() / 2]),
        Err(Error::Archive { .. })
    ));
    assert!(matches!(
        import(&layer(&["etc/x"])),
        Err(Error::Archive { .. })
    ));
    other.assert_empty();
}

#[test]
fn old_archives_of_docker_are_read() {
    let base = layer(&["etc/", "etc/a"]);
    let top = layer(&["etc/.wh.a", "etc/b"]);
    let config = config_of(&[base.clone(), top.clone()], "arm64");
    let (one, two) = ("1".repeat(64), "2".repeat(64));
    let manifest = serde_json::json!([{
        "Config": "c.json", "RepoTags": ["x:1", "docker.io/library/y:latest"],
        "Layers": [format!("{one}/layer.tar"), format!("{two}/layer.tar")],
    }]);
    let mut builder = ::tar::Builder::new(Vec::new());
    let mut put = |name: &str, data: &[u8]| {
        let mut header = ::tar::Header::new_gnu();
        header.set_size(data.len() as u64);
        header.set_mode(0o644);
        builder.append_data(&mut header, name, data).unwrap();
    };
    put("shared/layer.tar", &base);
    put(&format!("{two}/layer.tar"), &top);
    put("c.json", &config);
    put("manifest.json", manifest.to_string().as_bytes());
    let mut header = ::tar::Header::new_gnu();
    header.set_entry_type(::tar::EntryType::Symlink);
    header.set_size(0);
    let link = format!("{one}/layer.tar");
    builder
        .append_link(&mut header, link, "../shared/layer.tar")
        .unwrap();
    let data = builder.into_inner().unwrap();
    let home = Home::new();
    let images = import_archive(&home.store, None, "x", &data[..], &Quiet).unwrap();
    let names: Vec<_> = images.iter().map(|i| i.name.to_string()).collect();
    assert_eq!(names, ["x:1", "y"]);
    assert_eq!(home.names(&images[0]), ["", "etc", "etc/b"]);
    assert_eq!(home.layers().len(), 2);
}

#[test]
fn several_pulls_at_once_make_one_image() {
    let served = Served::new(Auth::Bearer(None));
    let manifest = push(&served, "r", &three_layers(), "arm64");
    served.manifest("r", "latest", MANIFEST, &manifest);
    let home = Arc::new(Home::new());
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| home.pull(&served, "r").unwrap());
        }
    });
    assert_eq!(home.layers().len(), 3);
    assert_eq!(home.store.images().unwrap().len(), 1);
}

#[test]
fn damaged_documents_never_panic() {
    let layers: Vec<Vec<u8>> = three_layers().into_iter().map(|l| l.0).collect();
    let config = config_of(&layers, "arm64");
    let part = descriptor(LAYER, &layers[0]);
    let manifest = serde_json::json!({ "schemaVersion": 2, "mediaType": MANIFEST, "config": part, "layers": [part, part] });
    let index = serde_json::json!({ "schemaVersion": 2, "manifests": [{ "digest": "sha256:x", "size": 1, "platform": { "os": "linux", "architecture": "arm64" } }] });
    let challenge =
        r#"Bearer realm="https://a.example/t",service="s \"q\"",scope=x, Basic realm=y"#;
    let seeds: [Vec<u8>; 5] = [
        config,
        manifest.to_string().into(),
        index.to_string().into(),
        challenge.into(),
        b"h.example:5000/a/b__c:tag@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef".to_vec(),
    ];
    let mut state = 0x2545_f491_4f6c_dd1du64;
    let mut random = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 11) as usize
    };
    for _ in 0..4000 {
        let mut data = seeds[random() % seeds.len()].clone();
        for _ in 0..1 + random() % 3 {
            let at = random() % data.len();
            match random() % 3 {
                0 => data[at] = random() as u8,
                1 => data[at] = b"\"{}[],:\\0-e/@ "[random() % 14],
                _ => data.truncate(at + 1),
            }
        }
        let text = String::from_utf8_lossy(&data);
        let _ = super::config::parse("x", &data, 3);
        let _ = super::challenge::parse(&text);
        if let Ok(reference) = text.parse::<Reference>() {
            let long = reference.to_string();
            assert_eq!(long.parse::<Reference>().unwrap().to_string(), long);
        }
        if let Ok(super::manifest::Manifest::Index(all)) =
            super::manifest::Manifest::parse("x", &data, None)
        {
            let _ = super::manifest::choose("x", &all).map(|d| d.digest("x"));
        }
    }
}
