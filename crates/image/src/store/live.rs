//! States of machines that are running: their writable layers are copied, because they go on with them.

use std::{fs, path::Path};

use super::{
    Lifetime, Machine, MachineRecord, Snapshot, Store, name::check_machine, now, sync_fs, unique_id,
};
use crate::{Error, Result, tree::settled};

impl Store {
    /// Remembers how a running machine's files are now; an older snapshot of that name is replaced. The caller runs the machine, and has
    /// suspended it: nothing may write its store meanwhile.
    ///
    /// # Errors
    /// [`Error::NoMachine`], or the host's for the copy.
    pub fn snapshot_suspended(&self, machine: &str, name: &str) -> Result<()> {
        check_machine(name)?;
        let made = self.copy_upper(&self.machine(machine)?)?;
        let names = self.lock_names()?;
        // It may have changed while it was copied, but for its layers: the caller holds its lock.
        let mut machine = self.machine(machine)?;
        let layers = made.publish(&names, &machine.record)?;
        let record = &mut machine.record;
        record.snapshots.retain(|s| s.name != name);
        record.snapshots.push(Snapshot {
            name: name.to_owned(),
            created: now(),
            layers,
            patches: record.patches.clone(),
        });
        machine.save()?;
        self.clean(&names)
    }

    /// Makes the machine `to` that is as the running machine `from` is now. As for [`Store::snapshot_suspended`].
    ///
    /// # Errors
    /// [`Error::NoMachine`], [`Error::MachineExists`], or the host's for the copy.
    pub fn clone_suspended(&self, from: &str, to: &str) -> Result<Machine> {
        check_machine(to)?;
        let from = self.machine(from)?;
        let made = self.copy_upper(&from)?;
        let names = self.lock_names()?;
        let layers = made.publish(&names, &from.record)?;
        let mut record = MachineRecord {
            name: to.to_owned(),
            base: from.record.base_layers(),
            snapshots: Vec::new(),
            upper: "fs".to_owned(),
            freezing: None,
            created: now(),
            ..from.record.clone()
        };
        record.set_layers(layers);
        let (machine, _claim) = self.add_machine(record, Lifetime::Kept)?;
        Ok(machine)
    }

    /// The writable layer of a machine as a new one.
    fn copy_upper(&self, machine: &Machine) -> Result<Copied> {
        let upper = machine.fs_dir();
        if !upper.exists() {
            return Ok(Copied(None));
        }
        let layer = self.new_layer()?;
        copy_tree(&upper, &layer.fs_dir())?;
        settled(
            &layer.fs_dir(),
            &self.layer_paths(&machine.record.layers())?,
        )?;
        sync_fs(&layer.fs_dir())?;
        Ok(Copied(Some(layer)))
    }
}

/// A copy of a writable layer, if there is one.
struct Copied(Option<super::NewLayer>);

impl Copied {
    /// Gives the copy a name; the layers of a machine that stands on it.
    fn publish(self, names: &super::NamesLock, record: &MachineRecord) -> Result<Vec<String>> {
        let mut layers = record.layers();
        if let Some(layer) = self.0 {
            let id = unique_id();
            layer.publish(names, &id)?;
            layers.insert(0, id);
        }
        Ok(layers)
    }
}

/// Copies a store: directories and regular files.
fn copy_tree(from: &Path, to: &Path) -> Result<()> {
    let failed = |path: &Path, error| Error::io("copy", path, error);
    fs::create_dir(to).map_err(|e| failed(to, e))?;
    for entry in fs::read_dir(from).map_err(|e| failed(from, e))? {
        let entry = entry.map_err(|e| failed(from, e))?;
        let (source, target) = (entry.path(), to.join(entry.file_name()));
        let kind = entry.file_type().map_err(|e| failed(&source, e))?;
        if kind.is_dir() {
            copy_tree(&source, &target)?;
        } else if kind.is_file() {
            fs::copy(&source, &target).map_err(|e| failed(&source, e))?;
        }
    }
    Ok(())
}
