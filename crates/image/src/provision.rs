//! Whole jobs: an image from a distribution or an archive into the store, and back out.

use std::{
    fs::File,
    io::{self, Read, Write},
    path::Path,
};

use crate::{
    Error, Result,
    debian::{self, Bootstrap, Configure},
    oci,
    progress::{Progress, Stage},
    store::{Image, ImageConfig, ImageName, Machine, Store},
    tar::{self, TarWriter},
    tree::{TreeBuilder, TreeSink, TreeSource, fakefs::FakefsSink, merged::MergedSource, settled},
};

/// What commands get as their `PATH` and the like where nothing else is said.
const DEFAULT_ENV: &[&str] = &["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"];
/// What is read of standard input to see what kind of archive it is, in bytes.
const HEAD: u64 = 1 << 20;

fn image(name: &ImageName, origin: String, size: u64, shell: &str) -> Image {
    Image {
        size,
        config: ImageConfig {
            command: vec![shell.to_owned()],
            env: DEFAULT_ENV.iter().map(|s| (*s).to_owned()).collect(),
            ..ImageConfig::default()
        },
        ..Image::new(name.clone(), origin)
    }
}

/// Makes the image `name` from Debian's packages. `guest` runs the packages' own set-up inside the new root file system.
///
/// The image appears when all is done; whatever goes wrong before leaves nothing but verified downloads in the cache.
pub fn pull_debian(
    store: &Store,
    name: &ImageName,
    options: &debian::Options,
    guest: &mut dyn Configure,
    progress: &dyn Progress,
) -> Result<Image> {
    let cache = store.blobs();
    let bootstrap = Bootstrap::download(&cache, options, progress)?;
    let layer = store.new_layer()?;
    let mut sink = FakefsSink::create(&layer.fs_dir())?;
    let commands = bootstrap.unpack(&cache, &mut sink, progress)?;
    let size = sink.bytes();
    drop(sink);
    let packages = bootstrap.packages().count() as u64;
    debian::configure(&layer.fs_dir(), &commands, packages, guest, progress)?;
    layer.commit(image(name, bootstrap.origin(), size, "/bin/bash"))
}

/// Makes the image `name` from a tar archive, compressed or not. `what` is the archive's name for people.
pub fn import_tar(
    store: &Store,
    name: &ImageName,
    what: &str,
    archive: impl Read,
    progress: &dyn Progress,
) -> Result<Image> {
    import_tree(
        store,
        name,
        what.to_owned(),
        what,
        archive,
        |_| Ok(()),
        progress,
    )
}

/// As [`import_tar`], with what `finish` changes.
pub(crate) fn import_tree(
    store: &Store,
    name: &ImageName,
    origin: String,
    what: &str,
    archive: impl Read,
    finish: impl FnOnce(&mut TreeBuilder<'_>) -> Result<()>,
    progress: &dyn Progress,
) -> Result<Image> {
    let layer = store.new_layer()?;
    let mut sink = FakefsSink::create(&layer.fs_dir())?;
    let mut tree = TreeBuilder::new(&mut sink)?;
    let counted = Counted {
        input: archive,
        progress,
    };
    tar::import(what, counted, tar::Limits::default(), &mut tree)?;
    finish(&mut tree)?;
    let shell = ["bin/bash", "bin/ash", "bin/sh"]
        .into_iter()
        .find(|path| tree.exists(path.as_bytes()));
    tree.finish()?;
    progress.end(Stage::Import);
    let shell = format!("/{}", shell.unwrap_or("bin/sh"));
    let size = sink.bytes();
    drop(sink);
    layer.commit(image(name, origin, size, &shell))
}

/// Makes images of the archive file at `path`; `-` is standard input. What it is shows its content: the image `name` of a root file
/// system, and of an archive of images all that it holds, or its only one as `name`.
pub fn import_file(
    store: &Store,
    name: Option<&ImageName>,
    path: &Path,
    progress: &dyn Progress,
) -> Result<Vec<Image>> {
    let one = |name: Option<&ImageName>, what: &str, input: &mut dyn Read| {
        let Some(name) = name else {
            return Err(Error::image(
                what,
                "it is a root file system and has no name of its own; give it one",
            ));
        };
        import_tar(store, name, what, input, progress).map(|image| vec![image])
    };
    if path == Path::new("-") {
        let what = "standard input";
        progress.begin(Stage::Import, 0);
        let mut input = io::stdin().lock();
        let mut head = Vec::new();
        let read = |e| Error::Io {
            what: format!("cannot read {what}"),
            source: e,
        };
        input
            .by_ref()
            .take(HEAD)
            .read_to_end(&mut head)
            .map_err(read)?;
        // Where the beginning is that of an archive of images and goes on for long, it is one: nothing else looks like that.
        let images = oci::holds_images(what, &head[..])?;
        let mut all = head.chain(input);
        return match images {
            Some(false) => one(name, what, &mut all),
            _ => oci::import_archive(store, name, what, all, progress),
        };
    }
    let open = || File::open(path).map_err(|e| Error::io("open", path, e));
    let file = open()?;
    let size = file.metadata().map_or(0, |m| m.len());
    let what = path
        .file_name()
        .unwrap_or(path.as_os_str())
        .to_string_lossy()
        .into_owned();
    progress.begin(Stage::Import, size);
    if oci::holds_images(&what, file)? == Some(true) {
        let counted = Counted {
            input: open()?,
            progress,
        };
        return oci::import_archive(store, name, &what, counted, progress);
    }
    one(name, &what, &mut open()?)
}

/// Takes over a predecessor's fakefs directory (`data/` and `meta.db`) as the image `name`.
pub fn import_fakefs_v3(store: &Store, name: &ImageName, path: &Path) -> Result<Image> {
    let layer = store.new_layer()?;
    let mut sink = FakefsSink::create(&layer.fs_dir())?;
    for skipped in sink.import_v3(path)? {
        tracing::warn!("{}: {skipped}", path.display());
    }
    sink.finish()?;
    let size = sink.bytes();
    drop(sink);
    let what = format!("fakefs {}", path.display());
    layer.commit(image(name, what, size, "/bin/sh"))
}

/// Writes an image as a tar archive; the same image gives the same bytes.
pub fn export_image(store: &Store, name: &ImageName, output: impl Write) -> Result<()> {
    let image = store.image(name)?;
    let mut sink = TarWriter::new(output);
    MergedSource::open(&store.layer_dirs(&image)?)?.copy_to(&mut sink)?;
    sink.finish()
}

/// Writes a machine's root file system, its own layer over its image's, as a tar archive.
pub fn export_machine(store: &Store, machine: &Machine, output: impl Write) -> Result<()> {
    let mut claim = machine.lock()?;
    // Nobody is to wait for it to answer.
    claim.started();
    let upper = machine.fs_dir();
    let mut layers = store.layer_paths(&machine.record.layers())?;
    // A machine that never ran has no layer of its own yet.
    if upper.exists() {
        settled(&upper, &layers)?;
        layers.insert(0, upper);
    }
    let mut sink = TarWriter::new(output);
    MergedSource::open(&layers)?.copy_to(&mut sink)?;
    drop(claim);
    sink.finish()
}

/// Tells how much of the archive was read.
struct Counted<'a, R> {
    input: R,
    progress: &'a dyn Progress,
}

impl<R: Read> Read for Counted<'_, R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let n = self.input.read(buf)?;
        self.progress.advance(Stage::Import, n as u64);
        Ok(n)
    }
}
