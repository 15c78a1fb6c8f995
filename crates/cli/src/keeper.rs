//! The store of images and machines for the clients of `tuxlet serve`.

use std::time::Duration;

use tuxlet::Machine;
use tuxlet_image::store::Store;
use tuxlet_rpc::{
    Keeper,
    keeper::{StoredImage, StoredMachine, StoredSnapshot},
};

/// How long a machine may take to come to rest.
const PATIENCE: Duration = Duration::from_secs(30);

/// The store, seen from one machine that this process runs.
#[derive(Debug)]
pub(crate) struct Kept {
    pub(crate) store: Store,
    pub(crate) machine: Machine,
    pub(crate) name: String,
    /// Whether the machine goes with this process: then its files may be nowhere but in memory.
    pub(crate) short_lived: bool,
}

impl Kept {
    /// Whether the machine that is served is meant, and the name.
    fn find<'a>(&'a self, machine: Option<&'a str>) -> (bool, &'a str) {
        let name = machine.unwrap_or(&self.name);
        (name == self.name, name)
    }

    /// Holds the served machine still during `change`.
    fn suspended<T>(&self, change: impl FnOnce() -> tuxlet_image::Result<T>) -> Result<T, String> {
        if self.short_lived {
            return Err("the machine is removed at its end; nothing of it is kept".to_owned());
        }
        let before = self.machine.is_suspended();
        self.machine.suspend(PATIENCE).map_err(|e| e.to_string())?;
        let changed = change().map_err(|e| e.to_string());
        if !before {
            self.machine.resume().map_err(|e| e.to_string())?;
        }
        changed
    }
}

impl Keeper for Kept {
    fn images(&self) -> Result<Vec<StoredImage>, String> {
        let images = self.store.images().map_err(|e| e.to_string())?;
        let stored = |image: tuxlet_image::store::Image| StoredImage {
            name: image.name.to_string(),
            origin: image.origin,
            created: image.created,
            size: image.size,
        };
        Ok(images.into_iter().map(stored).collect())
    }

    fn machines(&self) -> Result<Vec<StoredMachine>, String> {
        let machines = self.store.machines().map_err(|e| e.to_string())?;
        let stored = |machine: tuxlet_image::store::Machine| {
            let running = machine.is_running().map_err(|e| e.to_string())?;
            let record = machine.record;
            let snapshots = record.snapshots.into_iter().map(|s| StoredSnapshot {
                name: s.name,
                created: s.created,
            });
            Ok(StoredMachine {
                running,
                served: record.name == self.name,
                image: record.image.map(|name| name.to_string()),
                created: record.created,
                snapshots: snapshots.collect(),
                name: record.name,
            })
        };
        machines.into_iter().map(stored).collect()
    }

    fn snapshot(&self, machine: Option<&str>, name: &str) -> Result<(), String> {
        match self.find(machine) {
            (true, own) => self.suspended(|| self.store.snapshot_suspended(own, name)),
            (false, other) => self.store.snapshot(other, name).map_err(|e| e.to_string()),
        }
    }

    fn restore(&self, machine: Option<&str>, name: &str) -> Result<(), String> {
        let (_, machine) = self.find(machine);
        self.store.restore(machine, name).map_err(|e| e.to_string())
    }

    fn remove_snapshot(&self, machine: Option<&str>, name: &str) -> Result<(), String> {
        let (_, machine) = self.find(machine);
        let removed = self.store.remove_snapshot(machine, name);
        removed.map_err(|e| e.to_string())
    }

    fn clone_machine(&self, machine: Option<&str>, to: &str) -> Result<(), String> {
        match self.find(machine) {
            (true, own) => self.suspended(|| self.store.clone_suspended(own, to)),
            (false, other) => self
                .store
                .clone_machine(other, to)
                .map_err(|e| e.to_string()),
        }
        .map(drop)
    }
}
