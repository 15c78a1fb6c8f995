//! Patches of root file systems: a few files with a version, put over machines that have an older one.
//!
//! A patch is a directory with a manifest, `patch.toml`:
//!
//! ```toml
//! name = "motd"
//! version = 3
//!
//! [[files]]
//! path = "/etc/motd"       # where it goes; links in its directories are followed inside the machine
//! source = "motd"          # a file in the patch's directory
//! mode = "0644"            # the default; directories have 0755
//! owner = "0:0"            # the default
//!
//! [[files]]
//! path = "/etc/mail"
//! target = "/var/mail"     # a symbolic link
//!
//! [[files]]
//! path = "/srv/data"
//! directory = true
//!
//! [[files]]
//! path = "/etc/old"
//! remove = true
//! ```
//!
//! It is applied as one layer over the machine's others, together with the note of its version: all of it or nothing.

use std::{
    fs::{self, File},
    path::{Component, Path, PathBuf},
};

use serde::Deserialize;

use crate::{
    Error, Result,
    store::{Machine, Store, now},
    tree::{Meta, Mtime, TreeBuilder, fakefs::FakefsSink, merged::MergedSource, settled},
};

/// The manifest's name.
const MANIFEST: &str = "patch.toml";

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Manifest {
    name: String,
    version: u64,
    #[serde(default)]
    files: Vec<Entry>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    path: String,
    source: Option<PathBuf>,
    target: Option<String>,
    #[serde(default)]
    directory: bool,
    #[serde(default)]
    remove: bool,
    mode: Option<String>,
    owner: Option<String>,
}

#[derive(Debug)]
enum Kind {
    File(PathBuf),
    Link(String),
    Directory,
    Remove,
}

#[derive(Debug)]
struct Change {
    path: String,
    kind: Kind,
    meta: Meta,
}

/// A patch that has been read and checked.
#[derive(Debug)]
pub struct Patch {
    name: String,
    version: u64,
    changes: Vec<Change>,
}

impl Patch {
    /// Reads the patch in a directory. All that is wrong with it is said at once.
    pub fn read(directory: &Path) -> Result<Patch> {
        let path = directory.join(MANIFEST);
        let text = fs::read_to_string(&path).map_err(|e| Error::io("read", &path, e))?;
        let manifest: Manifest = toml::from_str(&text).map_err(|e| Error::Syntax {
            what: path.display().to_string(),
            line: e.span().map_or(1, |span| {
                text.as_bytes()
                    .iter()
                    .take(span.start)
                    .filter(|&&b| b == b'\n')
                    .count()
                    + 1
            }),
            reason: e.message().to_owned(),
        })?;
        let mut problems = Vec::new();
        if manifest.name.is_empty() || manifest.version == 0 {
            problems.push("it needs a name, and a version from 1".to_owned());
        }
        let mut changes = Vec::new();
        for entry in &manifest.files {
            match entry.check(directory) {
                Ok(change) => changes.push(change),
                Err(problem) => problems.push(format!("{}: {problem}", entry.path)),
            }
        }
        if !problems.is_empty() {
            return Err(Error::image(
                path.display().to_string(),
                problems.join("; "),
            ));
        }
        Ok(Patch {
            name: manifest.name,
            version: manifest.version,
            changes,
        })
    }

    /// What it is called; versions are of one name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its version.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// Applies it to a machine that the caller has locked, unless that has this version or a newer one; returns whether it did.
    pub fn apply(&self, store: &Store, machine: &mut Machine) -> Result<bool> {
        let has = machine.record.patches.get(&self.name);
        if has.is_some_and(|version| *version >= self.version) {
            return Ok(false);
        }
        let mut layers = store.layer_paths(&machine.record.layers())?;
        let upper = machine.fs_dir();
        if upper.exists() {
            settled(&upper, &layers)?;
            layers.insert(0, upper);
        }
        let layer = store.new_layer()?;
        {
            let below = MergedSource::open(&layers)?;
            let mut sink = FakefsSink::create(&layer.fs_dir())?;
            let mut tree = TreeBuilder::new(&mut sink)?.over(&below)?;
            for change in &self.changes {
                change.write(&below, &mut tree)?;
            }
            tree.finish()?;
        }
        store.add_layer(machine, layer, |record| {
            record.patches.insert(self.name.clone(), self.version);
        })?;
        Ok(true)
    }
}

impl Entry {
    fn check(&self, directory: &Path) -> std::result::Result<Change, String> {
        let kinds = [
            self.source.is_some(),
            self.target.is_some(),
            self.directory,
            self.remove,
        ];
        if kinds.into_iter().filter(|&k| k).count() != 1 {
            return Err("it needs just one of source, target, directory and remove".to_owned());
        }
        let parts = self.path.strip_prefix('/').map(|rest| rest.split('/'));
        if !parts.is_some_and(|mut p| p.all(|part| !["", ".", ".."].contains(&part))) {
            return Err("the path must begin with `/` and have no `.` or `..`".to_owned());
        }
        let mode = match &self.mode {
            None if self.directory => 0o755,
            None => 0o644,
            Some(text) => u32::from_str_radix(text, 8)
                .ok()
                .filter(|mode| *mode <= 0o7777)
                .ok_or("the mode must be octal, up to 7777")?,
        };
        let (uid, gid) = match &self.owner {
            None => (0, 0),
            Some(text) => text
                .split_once(':')
                .and_then(|(uid, gid)| Some((uid.parse().ok()?, gid.parse().ok()?)))
                .ok_or("the owner must be UID:GID in numbers")?,
        };
        let kind = match (&self.source, &self.target) {
            (Some(source), _) => {
                if !source
                    .components()
                    .all(|c| matches!(c, Component::Normal(_)))
                {
                    return Err("the source must be a path in the patch's directory".to_owned());
                }
                let path = directory.join(source);
                match fs::metadata(&path) {
                    Ok(found) if found.is_file() => Kind::File(path),
                    Ok(_) => return Err(format!("{} is no file", path.display())),
                    Err(e) => return Err(format!("{}: {e}", path.display())),
                }
            }
            (_, Some(target)) => Kind::Link(target.clone()),
            _ if self.directory => Kind::Directory,
            _ => Kind::Remove,
        };
        let mtime = Mtime {
            secs: i64::try_from(now()).unwrap_or(0),
            nanos: 0,
        };
        Ok(Change {
            path: self.path.clone(),
            kind,
            meta: Meta {
                mode,
                uid,
                gid,
                mtime,
                xattrs: Vec::new(),
            },
        })
    }
}

impl Change {
    fn write(&self, below: &MergedSource, tree: &mut TreeBuilder<'_>) -> Result<()> {
        let path = below.resolve(self.path.as_bytes())?;
        match &self.kind {
            Kind::Directory => tree.directory(&path, &self.meta),
            Kind::Link(target) => tree.symlink(&path, &self.meta, target.as_bytes()),
            Kind::Remove => tree.whiteout(&path),
            Kind::File(source) => {
                let read = |e| Error::io("read", source, e);
                let mut file = File::open(source).map_err(read)?;
                let size = file.metadata().map_err(read)?.len();
                tree.file(&path, &self.meta, size, &mut file)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Lifetime;
    use crate::{
        Quiet, import_tar,
        store::Image,
        tree::{TreeSource, memory::Item, memory::MemoryTree},
    };

    fn store() -> (tempfile::TempDir, Store, Image) {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&dir.path().join("home")).unwrap();
        let mut builder = ::tar::Builder::new(Vec::new());
        for (name, text) in [
            ("etc/old", "old"),
            ("usr/lib/x", "x"),
            ("etc/motd", "hello"),
        ] {
            let mut header = ::tar::Header::new_ustar();
            header.set_size(text.len() as u64);
            header.set_mode(0o600);
            builder
                .append_data(&mut header, name, text.as_bytes())
                .unwrap();
        }
        let mut header = ::tar::Header::new_ustar();
        header.set_entry_type(::tar::EntryType::Symlink);
        header.set_size(0);
        builder.append_link(&mut header, "lib", "usr/lib").unwrap();
        let data = builder.into_inner().unwrap();
        let name = "i".parse().unwrap();
        let image = import_tar(&store, &name, "i.tar", &data[..], &Quiet).unwrap();
        (dir, store, image)
    }

    fn tree(store: &Store, machine: &str) -> MemoryTree {
        let machine = store.machine(machine).unwrap();
        let layers = store.layer_paths(&machine.record.layers()).unwrap();
        let mut tree = MemoryTree::default();
        MergedSource::open(&layers)
            .unwrap()
            .copy_to(&mut tree)
            .unwrap();
        tree
    }

    fn write(dir: &Path, version: u64) -> PathBuf {
        let patch = dir.join("patch");
        fs::create_dir_all(&patch).unwrap();
        let text = format!(
            "name = 'p'\nversion = {version}\n[[files]]\npath = '/lib/new'\nsource = 'new'\nmode = '4711'\nowner = '5:6'\n\
             [[files]]\npath = '/etc/old'\nremove = true\n[[files]]\npath = '/etc/motd'\ntarget = '../x'\n\
             [[files]]\npath = '/srv/a/b'\ndirectory = true\n"
        );
        fs::write(patch.join(MANIFEST), text).unwrap();
        fs::write(patch.join("new"), format!("version {version}")).unwrap();
        patch
    }

    #[test]
    fn patches_are_applied_once_and_whole() {
        let (dir, store, image) = store();
        let mut machine = store
            .create_machine("m", Some(&image), serde_json::Value::Null, Lifetime::Kept)
            .unwrap()
            .0;
        let path = write(dir.path(), 2);
        let patch = Patch::read(&path).unwrap();
        assert!(patch.apply(&store, &mut machine).unwrap());
        assert!(!patch.apply(&store, &mut machine).unwrap());
        let after = tree(&store, "m");
        assert_eq!(after.text("usr/lib/new"), "version 2");
        let Some(Item::File(meta, _)) = after.get("usr/lib/new") else {
            panic!("no file")
        };
        assert_eq!((meta.mode, meta.uid, meta.gid), (0o4711, 5, 6));
        assert!(after.get("etc/old").is_none() && after.get("srv/a/b").is_some());
        assert!(
            matches!(after.get("etc/motd"), Some(Item::Symlink(_, target)) if target == b"../x")
        );
        assert!(matches!(after.get("lib"), Some(Item::Symlink(..))));
        // Older ones do nothing, newer ones replace.
        for (version, applies, text) in [(1, false, "version 2"), (3, true, "version 3")] {
            let patch = Patch::read(&write(dir.path(), version)).unwrap();
            let mut machine = store.machine("m").unwrap();
            assert_eq!(patch.apply(&store, &mut machine).unwrap(), applies);
            assert_eq!(tree(&store, "m").text("usr/lib/new"), text);
        }
        assert_eq!(store.machine("m").unwrap().record.patches["p"], 3);
        // A reset machine has none, until it is started.
        store.reset("m").unwrap();
        assert_eq!(tree(&store, "m").text("etc/old"), "old");
        assert!(store.machine("m").unwrap().record.patches.is_empty());
    }

    #[test]
    fn all_that_is_wrong_is_said_and_nothing_done() {
        let (dir, store, image) = store();
        let path = write(dir.path(), 1);
        let text = "name = 'p'\nversion = 1\n[[files]]\npath = 'x'\nremove = true\n[[files]]\npath = '/a/../b'\nremove = true\n\
             [[files]]\npath = '/one'\nsource = '../x'\n[[files]]\npath = '/two'\nsource = 'none'\n[[files]]\npath = '/three'\n\
             [[files]]\npath = '/four'\ndirectory = true\nmode = '9'\n[[files]]\npath = '/five'\ndirectory = true\nowner = 'root'\n";
        fs::write(path.join(MANIFEST), text).unwrap();
        let error = Patch::read(&path).unwrap_err().to_string();
        for part in [
            "x: the path",
            "/a/../b: the path",
            "/one: the source",
            "none",
            "/three: it needs",
            "/four: the mode",
            "/five: the owner",
        ] {
            assert!(error.contains(part), "{part}: {error}");
        }
        fs::write(path.join(MANIFEST), "name = 'p'\nversion = 'x'\n").unwrap();
        assert!(matches!(
            Patch::read(&path),
            Err(Error::Syntax { line: 2, .. })
        ));
        // What only turns out when it is applied leaves the machine as it was.
        let text = "name = 'p'\nversion = 1\n[[files]]\npath = '/new'\ndirectory = true\n[[files]]\npath = '/etc/motd/x'\nsource = 'new'\n\
             [[files]]\npath = '/new'\ntarget = ''\n";
        fs::write(path.join(MANIFEST), text).unwrap();
        let mut machine = store
            .create_machine("m", Some(&image), serde_json::Value::Null, Lifetime::Kept)
            .unwrap()
            .0;
        assert!(
            Patch::read(&path)
                .unwrap()
                .apply(&store, &mut machine)
                .is_err()
        );
        assert!(tree(&store, "m").get("new").is_none());
        let record = store.machine("m").unwrap().record;
        assert!(record.patches.is_empty() && record.layers().len() == 1);
    }
}
