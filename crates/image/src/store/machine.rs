//! Machines: a name, the layer they stand on and a writable layer of their own.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use super::{
    Image, ImageName, Store, is_temporary, list, name::check_machine, now, read_json, remove_tree,
    sync_dir, temporary_name, try_lock, write_json,
};
use crate::{Error, Result};

/// What is kept about a machine in `machine.json`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct MachineRecord {
    /// Its name.
    pub name: String,
    /// The image it was made from.
    pub image: Option<ImageName>,
    /// The layer it stands on.
    pub layer: Option<String>,
    /// When it was made, in seconds since 1970.
    pub created: u64,
    /// What its owner wants to remember about it (command, environment, mounts).
    #[serde(default)]
    pub config: serde_json::Value,
}

/// A machine's directory.
#[derive(Debug, Clone)]
pub struct Machine {
    /// What is kept about it.
    pub record: MachineRecord,
    path: PathBuf,
}

impl Machine {
    /// Its directory, for whatever belongs to it.
    pub fn dir(&self) -> &Path {
        &self.path
    }

    /// Where its writable layer is; made by whoever runs it first.
    pub fn fs_dir(&self) -> PathBuf {
        self.path.join("fs")
    }

    /// Claims the machine for this process, until the returned file is closed.
    ///
    /// # Errors
    /// [`Error::MachineBusy`] while it is running.
    pub fn lock(&self) -> Result<File> {
        try_lock(&self.path)?.ok_or_else(|| Error::MachineBusy(self.record.name.clone()))
    }

    /// Whether a process has claimed it.
    pub fn is_running(&self) -> Result<bool> {
        Ok(try_lock(&self.path)?.is_none())
    }
}

impl Store {
    /// Makes a machine that stands on `image`.
    pub fn create_machine(
        &self,
        name: &str,
        image: Option<&Image>,
        config: serde_json::Value,
    ) -> Result<Machine> {
        check_machine(name)?;
        let _names = self.lock_names()?;
        let machines = self.home.join("machines");
        let path = machines.join(name);
        if path.exists() {
            return Err(Error::MachineExists(name.to_owned()));
        }
        if let Some(image) = image {
            // It may have been removed since the caller looked it up.
            self.layer_path(&image.layer)?;
        }
        let record = MachineRecord {
            name: name.to_owned(),
            image: image.map(|i| i.name.clone()),
            layer: image.map(|i| i.layer.clone()),
            created: now(),
            config,
        };
        let temporary = machines.join(temporary_name());
        fs::create_dir(&temporary).map_err(|e| Error::io("make", &temporary, e))?;
        write_json(&temporary.join("machine.json"), &record)?;
        fs::rename(&temporary, &path).map_err(|e| Error::io("make", &path, e))?;
        sync_dir(&machines)?;
        Ok(Machine { record, path })
    }

    /// The machine of that name.
    pub fn machine(&self, name: &str) -> Result<Machine> {
        check_machine(name)?;
        let path = self.home.join("machines").join(name);
        let record = read_json(&path.join("machine.json"))?
            .ok_or_else(|| Error::NoMachine(name.to_owned()))?;
        Ok(Machine { record, path })
    }

    /// All machines, sorted by name.
    pub fn machines(&self) -> Result<Vec<Machine>> {
        let mut machines = Vec::new();
        for path in list(&self.home.join("machines"))? {
            if !is_temporary(&path)
                && let Some(record) = read_json(&path.join("machine.json"))?
            {
                machines.push(Machine { record, path });
            }
        }
        Ok(machines)
    }

    /// Removes a machine and all it has written.
    ///
    /// # Errors
    /// [`Error::MachineBusy`] while it is running.
    pub fn remove_machine(&self, name: &str) -> Result<()> {
        let names = self.lock_names()?;
        let machine = self.machine(name)?;
        let lock = machine.lock()?;
        // Out of sight in one step; a half-removed machine must not be started.
        let machines = self.home.join("machines");
        let doomed = machines.join(temporary_name());
        fs::rename(&machine.path, &doomed).map_err(|e| Error::io("remove", &machine.path, e))?;
        sync_dir(&machines)?;
        remove_tree(&doomed)?;
        drop(lock);
        self.clean(&names)
    }
}
