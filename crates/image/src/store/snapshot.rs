//! States of machines: renaming, cloning, snapshots, reset, images of machines, patches.
//!
//! All of them move layers, none copies files. A machine's writable layer becomes a read-only one by a rename, and the machine
//! goes on with an empty one: that is a snapshot. What it costs is one more layer to look through. Every change of a machine is one
//! write of its record, so that a process killed at any moment leaves the state before or the one after.

use std::fs;

use super::{
    Image, ImageConfig, ImageName, Lifetime, Machine, MachineRecord, NamesLock, NewLayer, Snapshot,
    Store, list, name::check_machine, now, remove_tree, sync_dir, unique_id, write_json,
};
use crate::{
    Error, Result,
    tree::{fakefs::FakefsSource, settled},
};

/// Most layers below a machine: each costs every path walk a little.
const LAYERS_MAX: usize = 500;

impl Store {
    /// Gives a machine another name.
    ///
    /// # Errors
    /// [`Error::MachineBusy`] while it is running.
    pub fn rename_machine(&self, from: &str, to: &str) -> Result<Machine> {
        check_machine(to)?;
        let _names = self.lock_names()?;
        let mut machine = self.machine(from)?;
        let _lock = machine.lock()?;
        if self.machine_dir(to).is_some() {
            return Err(Error::MachineExists(to.to_owned()));
        }
        let path = self.home.join("machines").join(to);
        fs::rename(&machine.path, &path).map_err(|e| Error::io("make", &path, e))?;
        sync_dir(&self.home.join("machines"))?;
        machine.path = path;
        // A machine is named by its directory; what the record says follows.
        machine.record.name = to.to_owned();
        machine.save()?;
        Ok(machine)
    }

    /// Makes the machine `to` that is as `from` is now. Both go on apart from here. Volumes do not come along.
    ///
    /// # Errors
    /// [`Error::MachineBusy`] while `from` is running.
    pub fn clone_machine(&self, from: &str, to: &str) -> Result<Machine> {
        check_machine(to)?;
        let names = self.lock_names()?;
        let mut machine = self.machine(from)?;
        let _lock = machine.lock()?;
        if self.machine_dir(to).is_some() {
            return Err(Error::MachineExists(to.to_owned()));
        }
        self.freeze(&names, &mut machine)?;
        let record = MachineRecord {
            name: to.to_owned(),
            snapshots: Vec::new(),
            upper: "fs".to_owned(),
            created: now(),
            ..machine.record.clone()
        };
        let (machine, _claim) = self.add_machine(record, Lifetime::Kept)?;
        Ok(machine)
    }

    /// Remembers how a machine is now. An older snapshot of that name is replaced.
    ///
    /// # Errors
    /// [`Error::MachineBusy`] while it is running.
    pub fn snapshot(&self, machine: &str, name: &str) -> Result<()> {
        check_machine(name)?;
        let names = self.lock_names()?;
        let mut machine = self.machine(machine)?;
        let _lock = machine.lock()?;
        self.freeze(&names, &mut machine)?;
        let record = &mut machine.record;
        record.snapshots.retain(|s| s.name != name);
        let snapshot = Snapshot {
            name: name.to_owned(),
            created: now(),
            layers: record.layers(),
            patches: record.patches.clone(),
        };
        record.snapshots.push(snapshot);
        machine.save()?;
        self.clean(&names)
    }

    /// Makes a machine as it was; what it has written since is gone.
    ///
    /// # Errors
    /// [`Error::NoSnapshot`], [`Error::MachineBusy`].
    pub fn restore(&self, machine: &str, name: &str) -> Result<()> {
        let find =
            |record: &MachineRecord| record.snapshots.iter().find(|s| s.name == name).cloned();
        self.go_back(machine, |record| {
            let snapshot = find(record).ok_or_else(|| Error::NoSnapshot {
                machine: record.name.clone(),
                snapshot: name.to_owned(),
            })?;
            record.patches = snapshot.patches;
            Ok(snapshot.layers)
        })
    }

    /// Forgets a snapshot.
    ///
    /// # Errors
    /// [`Error::NoSnapshot`], [`Error::MachineBusy`].
    pub fn remove_snapshot(&self, machine: &str, name: &str) -> Result<()> {
        let names = self.lock_names()?;
        let mut machine = self.machine(machine)?;
        let _lock = machine.lock()?;
        let before = machine.record.snapshots.len();
        machine.record.snapshots.retain(|s| s.name != name);
        if machine.record.snapshots.len() == before {
            return Err(Error::NoSnapshot {
                machine: machine.record.name,
                snapshot: name.to_owned(),
            });
        }
        machine.save()?;
        self.clean(&names)
    }

    /// Makes a machine as it was when it was made. Snapshots stay.
    ///
    /// # Errors
    /// [`Error::MachineBusy`] while it is running.
    pub fn reset(&self, machine: &str) -> Result<()> {
        self.go_back(machine, |record| {
            record.patches.clear();
            Ok(record.base_layers())
        })
    }

    /// Throws a machine's writable layer away and puts it on the layers that `choose` says.
    fn go_back(
        &self,
        machine: &str,
        choose: impl FnOnce(&mut MachineRecord) -> Result<Vec<String>>,
    ) -> Result<()> {
        let names = self.lock_names()?;
        let mut machine = self.machine(machine)?;
        let _lock = machine.lock()?;
        self.finish_freezing(&mut machine)?;
        let record = &mut machine.record;
        let base = record.base_layers();
        let layers = choose(record)?;
        self.layer_paths(&layers)?;
        record.base = if layers == base { Vec::new() } else { base };
        record.set_layers(layers);
        record.upper = format!("fs-{}", unique_id());
        machine.save()?;
        machine.remove_old_uppers()?;
        self.clean(&names)
    }

    /// Makes the image `name` of a machine as it is now; `config` is how its commands run. Volumes are left out.
    ///
    /// # Errors
    /// [`Error::MachineBusy`] while it is running.
    pub fn commit_machine(
        &self,
        machine: &str,
        name: &ImageName,
        config: ImageConfig,
    ) -> Result<Image> {
        let layers = {
            let names = self.lock_names()?;
            let mut machine = self.machine(machine)?;
            let _lock = machine.lock()?;
            self.freeze(&names, &mut machine)?;
            machine.record.layers()
        };
        let mut size = 0;
        for path in self.layer_paths(&layers)? {
            size += FakefsSource::open(&path)?.bytes()?;
        }
        let image = Image {
            config,
            size,
            ..Image::new(name.clone(), format!("machine {machine}")).with_layers(layers)
        };
        self.commit_image(Vec::new(), &image)?;
        Ok(image)
    }

    /// Puts a layer that was made over a machine's own, in one step with what `note` changes in its record. The caller holds the
    /// machine's lock.
    pub(crate) fn add_layer(
        &self,
        machine: &mut Machine,
        layer: NewLayer,
        note: impl FnOnce(&mut MachineRecord),
    ) -> Result<()> {
        let names = self.lock_names()?;
        machine.record = self.machine(&machine.record.name)?.record;
        self.freeze(&names, machine)?;
        let id = unique_id();
        // A layer without a user goes with the next cleaning, which waits for the names lock.
        layer.publish(&names, &id)?;
        let record = &mut machine.record;
        let base = record.base_layers();
        let mut layers = record.layers();
        layers.insert(0, id);
        record.base = base;
        record.set_layers(layers);
        note(record);
        machine.save()
    }

    /// Makes a machine's writable layer the topmost of its read-only ones. Nothing happens where nothing has been written.
    fn freeze(&self, names: &NamesLock, machine: &mut Machine) -> Result<()> {
        let _ = names;
        self.finish_freezing(machine)?;
        let upper = machine.fs_dir();
        if !upper.exists() {
            return Ok(());
        }
        let layers = machine.record.layers();
        if layers.len() >= LAYERS_MAX {
            return Err(Error::Store {
                path: machine.path.clone(),
                reason: format!(
                    "this machine stands on {LAYERS_MAX} layers already; make one of them with `tuxlet export {0} | tuxlet import - NAME`",
                    machine.record.name
                ),
            });
        }
        settled(&upper, &self.layer_paths(&layers)?)?;
        machine.record.freezing = Some(unique_id());
        machine.save()?;
        self.finish_freezing(machine)
    }

    /// Does what is left of [`Store::freeze`] after its first write, also that of a process which was killed.
    fn finish_freezing(&self, machine: &mut Machine) -> Result<()> {
        let (Some(id), Some(target)) = (machine.record.freezing.clone(), machine.frozen_dir())
        else {
            return Ok(());
        };
        let source = machine.path.join(&machine.record.upper);
        if !target.exists() {
            let layer = target.parent().unwrap_or(&target);
            fs::create_dir_all(layer).map_err(|e| Error::io("make", layer, e))?;
            fs::rename(&source, &target).map_err(|e| Error::io("make", &target, e))?;
            sync_dir(layer)?;
            sync_dir(&self.home.join("layers"))?;
            sync_dir(&machine.path)?;
        }
        let record = &mut machine.record;
        if record.base.is_empty() {
            record.base = record.layers();
        }
        let mut layers = record.layers();
        layers.insert(0, id);
        record.set_layers(layers);
        record.freezing = None;
        machine.save()
    }
}

impl Machine {
    /// Writes the record, in one step.
    pub(super) fn save(&self) -> Result<()> {
        write_json(&self.path.join("machine.json"), &self.record)
    }

    /// Removes writable layers that are not used any more.
    fn remove_old_uppers(&self) -> Result<()> {
        for path in list(&self.path)? {
            let name = path
                .file_name()
                .and_then(|n| n.to_str())
                .unwrap_or_default();
            if (name == "fs" || name.starts_with("fs-")) && name != self.record.upper {
                remove_tree(&path)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        Quiet, import_tar,
        tree::{
            Meta, TreeBuilder, TreeSource, fakefs::FakefsSink, memory::MemoryTree,
            merged::MergedSource,
        },
    };

    fn store() -> (tempfile::TempDir, Store) {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&dir.path().join("home")).unwrap();
        let mut builder = ::tar::Builder::new(Vec::new());
        let mut header = ::tar::Header::new_ustar();
        header.set_size(0);
        header.set_mode(0o644);
        builder.append_data(&mut header, "image", &b""[..]).unwrap();
        let data = builder.into_inner().unwrap();
        let image = import_tar(&store, &"i".parse().unwrap(), "i", &data[..], &Quiet).unwrap();
        let made = store.create_machine("m", Some(&image), serde_json::Value::Null, Lifetime::Kept);
        assert!(made.is_ok());
        (dir, store)
    }

    /// Writes a file in a machine, as if it ran.
    fn write(store: &Store, machine: &str, name: &str) {
        let machine = store.machine(machine).unwrap();
        assert!(!machine.fs_dir().exists());
        let mut sink = FakefsSink::create(&machine.fs_dir()).unwrap();
        let mut tree = TreeBuilder::new(&mut sink).unwrap();
        tree.file(name.as_bytes(), &Meta::root(0o600), 0, &mut &b""[..])
            .unwrap();
        tree.finish().unwrap();
    }

    fn names(store: &Store, machine: &str) -> Vec<String> {
        let machine = store.machine(machine).unwrap();
        let mut layers = store.layer_paths(&machine.record.layers()).unwrap();
        if machine.fs_dir().exists() {
            layers.insert(0, machine.fs_dir());
        }
        let mut tree = MemoryTree::default();
        MergedSource::open(&layers)
            .unwrap()
            .copy_to(&mut tree)
            .unwrap();
        let names = tree
            .items
            .into_keys()
            .map(|k| String::from_utf8(k).unwrap());
        names.filter(|name| !name.is_empty()).collect()
    }

    #[test]
    fn a_process_killed_while_freezing_loses_nothing() {
        let (_dir, store) = store();
        write(&store, "m", "a");
        // After the first write.
        let mut machine = store.machine("m").unwrap();
        machine.record.freezing = Some("layer-1".to_owned());
        machine.save().unwrap();
        let again = Store::open(store.home()).unwrap();
        assert_eq!(names(&again, "m"), ["a", "image"]);
        // After the move.
        let target = machine.frozen_dir().unwrap();
        fs::create_dir_all(target.parent().unwrap()).unwrap();
        fs::rename(machine.path.join("fs"), &target).unwrap();
        let again = Store::open(store.home()).unwrap();
        assert_eq!(names(&again, "m"), ["a", "image"]);
        assert_eq!(again.machine("m").unwrap().fs_dir(), target);
        // The next change does the rest.
        again.clone_machine("m", "n").unwrap();
        let machine = again.machine("m").unwrap();
        assert!(machine.record.freezing.is_none());
        assert_eq!(machine.record.layers()[0], "layer-1");
        assert_eq!(names(&again, "m"), ["a", "image"]);
        assert_eq!(names(&again, "n"), ["a", "image"]);
        // Both go on apart.
        write(&again, "n", "b");
        write(&again, "m", "c");
        assert_eq!(names(&again, "n"), ["a", "b", "image"]);
        assert_eq!(names(&again, "m"), ["a", "c", "image"]);
        // Each has what it needs when the other goes.
        again.remove_machine("m").unwrap();
        assert_eq!(names(&again, "n"), ["a", "b", "image"]);
    }

    #[test]
    fn going_back_is_one_step() {
        let (_dir, store) = store();
        write(&store, "m", "a");
        store.snapshot("m", "s").unwrap();
        write(&store, "m", "b");
        store.snapshot("m", "t").unwrap();
        store.restore("m", "s").unwrap();
        assert_eq!(names(&store, "m"), ["a", "image"]);
        write(&store, "m", "c");
        store.restore("m", "t").unwrap();
        assert_eq!(names(&store, "m"), ["a", "b", "image"]);
        store.reset("m").unwrap();
        assert_eq!(names(&store, "m"), ["image"]);
        // Nothing is left of what was thrown away.
        let machine = store.machine("m").unwrap();
        let left = list(&machine.path).unwrap();
        assert!(
            left.iter()
                .all(|p| !p.file_name().unwrap().to_str().unwrap().starts_with("fs")),
            "{left:?}"
        );
        store.remove_snapshot("m", "s").unwrap();
        store.remove_snapshot("m", "t").unwrap();
        assert!(matches!(
            store.remove_snapshot("m", "t"),
            Err(Error::NoSnapshot { .. })
        ));
        assert_eq!(list(&store.home.join("layers")).unwrap().len(), 1);
        let lock = machine.lock().unwrap();
        assert!(matches!(store.reset("m"), Err(Error::MachineBusy(_))));
        drop(lock);
        assert!(matches!(
            store.rename_machine("m", "../x"),
            Err(Error::BadName { .. })
        ));
        store.rename_machine("m", "n").unwrap();
        assert!(matches!(store.machine("m"), Err(Error::NoMachine(_))));
        assert_eq!(names(&store, "n"), ["image"]);
    }
}
