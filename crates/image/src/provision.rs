//! Whole jobs: an image from a distribution or an archive into the store, and back out.

use std::{
    fs::File,
    io::{self, Read, Write},
    path::Path,
};

use crate::{
    Error, Result,
    debian::{self, Bootstrap, Configure},
    progress::{Progress, Stage},
    store::{Image, ImageName, Machine, Store, now},
    tar::{self, TarWriter},
    tree::{
        TreeBuilder, TreeSink, TreeSource,
        fakefs::{FakefsSink, FakefsSource},
        merged::MergedSource,
    },
};

/// What commands get as their `PATH` and the like where nothing else is said.
const DEFAULT_ENV: &[&str] = &["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"];

fn image(name: &ImageName, origin: String, size: u64, shell: &str) -> Image {
    Image {
        name: name.clone(),
        layer: String::new(),
        created: now(),
        origin,
        size,
        command: vec![shell.to_owned()],
        env: DEFAULT_ENV.iter().map(|s| (*s).to_owned()).collect(),
        workdir: "/".to_owned(),
        user: String::new(),
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
    let layer = store.new_layer()?;
    let mut sink = FakefsSink::create(&layer.fs_dir())?;
    let mut tree = TreeBuilder::new(&mut sink)?;
    let counted = Counted {
        input: archive,
        progress,
    };
    tar::import(what, counted, tar::Limits::default(), &mut tree)?;
    let shell = ["bin/bash", "bin/ash", "bin/sh"]
        .into_iter()
        .find(|path| tree.exists(path.as_bytes()));
    tree.finish()?;
    progress.end(Stage::Import);
    let shell = format!("/{}", shell.unwrap_or("bin/sh"));
    let size = sink.bytes();
    drop(sink);
    layer.commit(image(name, what.to_owned(), size, &shell))
}

/// Makes the image `name` from the archive file at `path`; `-` is standard input.
pub fn import_file(
    store: &Store,
    name: &ImageName,
    path: &Path,
    progress: &dyn Progress,
) -> Result<Image> {
    if path == Path::new("-") {
        progress.begin(Stage::Import, 0);
        return import_tar(store, name, "standard input", io::stdin().lock(), progress);
    }
    let file = File::open(path).map_err(|e| Error::io("open", path, e))?;
    let size = file.metadata().map_or(0, |m| m.len());
    progress.begin(Stage::Import, size);
    let what = path
        .file_name()
        .unwrap_or(path.as_os_str())
        .to_string_lossy()
        .into_owned();
    import_tar(store, name, &what, file, progress)
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
    FakefsSource::open(&store.layer_dir(&image)?)?.copy_to(&mut sink)?;
    sink.finish()
}

/// Writes a machine's root file system, its own layer over its image's, as a tar archive.
pub fn export_machine(store: &Store, machine: &Machine, output: impl Write) -> Result<()> {
    let _lock = machine.lock()?;
    let upper = machine.fs_dir();
    let mut sink = TarWriter::new(output);
    let mut source: Box<dyn TreeSource> = match &machine.record.layer {
        // A machine that never ran has no layer of its own yet.
        Some(layer) if !upper.exists() => Box::new(FakefsSource::open(&store.layer_path(layer)?)?),
        Some(layer) => Box::new(MergedSource::open(&upper, &store.layer_path(layer)?)?),
        None => Box::new(FakefsSource::open(&upper)?),
    };
    source.copy_to(&mut sink)?;
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
