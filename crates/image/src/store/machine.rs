//! Machines: a name, the layer they stand on and a writable layer of their own.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use super::{
    Image, ImageName, Store, is_temporary, list, name::check_machine, now, open_lock, read_json,
    remove_tree, sync_dir, temporary_name, to_json, try_lock, write_json,
};
use crate::{Error, Result};

/// What is kept about a machine in `machine.json`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct MachineRecord {
    /// Its name.
    pub name: String,
    /// The image it was made from.
    pub image: Option<ImageName>,
    /// The topmost layer it stands on.
    pub layer: Option<String>,
    /// The layers below that, topmost first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub lower: Vec<String>,
    /// The layers it was made with, topmost first, where it stands on others now.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub base: Vec<String>,
    /// The directory of its writable layer.
    #[serde(default = "first_upper", skip_serializing_if = "is_first_upper")]
    pub(super) upper: String,
    /// The layer that the writable one is about to become: it is there already if that exists.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) freezing: Option<String>,
    /// States to come back to.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub snapshots: Vec<Snapshot>,
    /// The versions of the patches that it has.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub patches: BTreeMap<String, u64>,
    /// When it was made, in seconds since 1970.
    pub created: u64,
    /// What its owner wants to remember about it (command, environment, mounts).
    #[serde(default)]
    pub config: serde_json::Value,
}

/// A state of a machine's root file system.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot {
    /// Its name.
    pub name: String,
    /// When it was taken, in seconds since 1970.
    pub created: u64,
    /// Its layers, topmost first.
    pub layers: Vec<String>,
    /// The versions of the patches in it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub patches: BTreeMap<String, u64>,
}

fn first_upper() -> String {
    "fs".to_owned()
}

fn is_first_upper(upper: &str) -> bool {
    upper == "fs"
}

impl MachineRecord {
    /// The layers it stands on, topmost first.
    pub fn layers(&self) -> Vec<String> {
        self.layer.iter().chain(&self.lower).cloned().collect()
    }

    pub(super) fn set_layers(&mut self, layers: Vec<String>) {
        let mut layers = layers.into_iter();
        self.layer = layers.next();
        self.lower = layers.collect();
    }

    /// The layers it was made with, topmost first.
    pub fn base_layers(&self) -> Vec<String> {
        if self.base.is_empty() {
            self.layers()
        } else {
            self.base.clone()
        }
    }

    /// Every layer that it needs.
    pub(super) fn all_layers(&self) -> Vec<String> {
        let mut all = self.layers();
        all.extend(self.base.iter().cloned());
        all.extend(self.freezing.iter().cloned());
        for snapshot in &self.snapshots {
            all.extend(snapshot.layers.iter().cloned());
        }
        all
    }
}

/// A machine's directory.
#[derive(Debug, Clone)]
pub struct Machine {
    /// What is kept about it.
    pub record: MachineRecord,
    pub(super) path: PathBuf,
}

impl Machine {
    /// Its directory, for whatever belongs to it.
    pub fn dir(&self) -> &Path {
        &self.path
    }

    /// Where its writable layer is; made by whoever runs it first.
    pub fn fs_dir(&self) -> PathBuf {
        self.frozen_dir()
            .filter(|dir| dir.exists())
            .unwrap_or_else(|| self.path.join(&self.record.upper))
    }

    /// Where the writable layer goes that is becoming a read-only one.
    pub(super) fn frozen_dir(&self) -> Option<PathBuf> {
        let id = self.record.freezing.as_ref()?;
        let home = self.path.parent()?.parent()?;
        Some(home.join("layers").join(id).join("fs"))
    }

    /// Where the file system store of its volume of that number is.
    pub fn volume_dir(&self, number: usize) -> PathBuf {
        self.path.join("volumes").join(number.to_string())
    }

    /// Claims the machine for this process, until the returned claim is dropped.
    ///
    /// # Errors
    /// [`Error::MachineBusy`] while it is running, or about to.
    pub fn lock(&self) -> Result<Claim> {
        self.try_claim()?
            .ok_or_else(|| Error::MachineBusy(self.record.name.clone()))
    }

    /// Whether a process has claimed it; one that has been removed meanwhile is not.
    pub fn is_running(&self) -> Result<bool> {
        let ask = || {
            let _turn = self.turn()?;
            Ok(try_lock(&self.path)?.is_none())
        };
        match ask() {
            Err(Error::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => Ok(false),
            running => running,
        }
    }

    fn try_claim(&self) -> Result<Option<Claim>> {
        let _turn = self.turn()?;
        let Some(lock) = try_lock(&self.path)? else {
            return Ok(None);
        };
        // Held by nobody for long who has not claimed the machine.
        let starting = lock_file(&self.path.join(STARTING))?;
        Ok(Some(Claim {
            _lock: lock,
            starting: Some(starting),
        }))
    }

    /// Waits until a process that has claimed the machine runs it, or has given up.
    pub fn wait_until_started(&self) -> Result<()> {
        // Whoever is about to claim it has both locks after its turn.
        drop(self.turn()?);
        lock_file(&self.path.join(STARTING)).map(drop)
    }

    /// Waits for the turn to look at the machine's locks. To ask whether a lock is free is to take it: without turns, who only
    /// asks would now and then keep another from claiming the machine.
    fn turn(&self) -> Result<File> {
        let open = File::open(&self.path).map_err(|e| Error::io("open", &self.path, e))?;
        open.lock()
            .map_err(|e| Error::io("lock", &self.path, e))
            .map(|()| open)
    }
}

/// Waits for the lock `path`.
fn lock_file(path: &Path) -> Result<File> {
    let file = open_lock(path)?;
    file.lock().map_err(|e| Error::io("lock", path, e))?;
    Ok(file)
}

/// Locked by who has claimed a machine, until it answers.
const STARTING: &str = "starting";

/// A machine that this process has to itself.
#[derive(Debug)]
pub struct Claim {
    _lock: File,
    starting: Option<File>,
}

impl Claim {
    /// The machine runs, and answers those who now learn that it is claimed ([`Machine::wait_until_started`]).
    pub fn started(&mut self) {
        self.starting = None;
    }
}

/// How long a machine lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lifetime {
    /// Until it is removed.
    Kept,
    /// As long as the claim of the process that makes it, whatever ends that.
    Process,
}

impl Lifetime {
    /// The directory of such machines in the store.
    fn place(self) -> &'static str {
        match self {
            Self::Kept => "machines",
            Self::Process => "ephemeral",
        }
    }
}

impl Store {
    /// Makes a machine that stands on `image`, and claims it.
    pub fn create_machine(
        &self,
        name: &str,
        image: Option<&Image>,
        config: serde_json::Value,
        lifetime: Lifetime,
    ) -> Result<(Machine, Claim)> {
        check_machine(name)?;
        let _names = self.lock_names()?;
        let mut record = MachineRecord {
            name: name.to_owned(),
            image: image.map(|i| i.name.clone()),
            layer: None,
            lower: Vec::new(),
            base: Vec::new(),
            upper: first_upper(),
            freezing: None,
            snapshots: Vec::new(),
            patches: BTreeMap::new(),
            created: now(),
            config,
        };
        record.set_layers(image.map(Image::layers).unwrap_or_default());
        self.add_machine(record, lifetime)
    }

    /// Makes the machine of a record, and claims it; the names lock is the caller's.
    pub(super) fn add_machine(
        &self,
        record: MachineRecord,
        lifetime: Lifetime,
    ) -> Result<(Machine, Claim)> {
        if self.machine_dir(&record.name).is_some() {
            return Err(Error::MachineExists(record.name));
        }
        // They may have been removed since the caller looked them up.
        self.layer_paths(&record.all_layers())?;
        let machines = self.home.join(lifetime.place());
        let path = machines.join(&record.name);
        let temporary = machines.join(temporary_name());
        fs::create_dir(&temporary).map_err(|e| Error::io("make", &temporary, e))?;
        let file = temporary.join("machine.json");
        match lifetime {
            Lifetime::Kept => write_json(&file, &record)?,
            Lifetime::Process => {
                fs::write(&file, to_json(&file, &record)?)
                    .map_err(|e| Error::io("write", &file, e))?;
            }
        }
        let mut machine = Machine {
            record,
            path: temporary,
        };
        // Before anybody can see it: free, it would be taken for one that has ended.
        let claim = machine.lock()?;
        fs::rename(&machine.path, &path).map_err(|e| Error::io("make", &path, e))?;
        machine.path = path;
        if lifetime == Lifetime::Kept {
            sync_dir(&machines)?;
        }
        Ok((machine, claim))
    }

    /// Where the machine of that name is.
    pub(super) fn machine_dir(&self, name: &str) -> Option<PathBuf> {
        [Lifetime::Kept, Lifetime::Process]
            .map(|lifetime| self.home.join(lifetime.place()).join(name))
            .into_iter()
            .find(|path| path.is_dir())
    }

    /// Removes a machine that lives with this process ([`Lifetime::Process`]), before this process ends.
    pub fn end_machine(&self, machine: &Machine, mut claim: Claim) -> Result<()> {
        // Somebody who holds the names may be waiting for it.
        claim.started();
        let _names = self.lock_names()?;
        let doomed = self
            .home
            .join(Lifetime::Process.place())
            .join(temporary_name());
        fs::rename(&machine.path, &doomed).map_err(|e| Error::io("remove", &machine.path, e))?;
        remove_tree(&doomed)?;
        drop(claim);
        Ok(())
    }

    /// The machine of that name.
    pub fn machine(&self, name: &str) -> Result<Machine> {
        check_machine(name)?;
        let path = self
            .machine_dir(name)
            .ok_or_else(|| Error::NoMachine(name.to_owned()))?;
        let mut record: MachineRecord = read_json(&path.join("machine.json"))?
            .ok_or_else(|| Error::NoMachine(name.to_owned()))?;
        // The directory's name counts: a process that renames may have been killed.
        record.name = name.to_owned();
        Ok(Machine { record, path })
    }

    /// All machines, sorted by name.
    pub fn machines(&self) -> Result<Vec<Machine>> {
        let mut machines = Vec::new();
        for lifetime in [Lifetime::Kept, Lifetime::Process] {
            for path in list(&self.home.join(lifetime.place()))? {
                if !is_temporary(&path)
                    && let Some(name) = path.file_name().and_then(|n| n.to_str())
                    && let Some(mut record) =
                        read_json::<MachineRecord>(&path.join("machine.json"))?
                {
                    record.name = name.to_owned();
                    machines.push(Machine { record, path });
                }
            }
        }
        machines.sort_by(|a, b| a.record.name.cmp(&b.record.name));
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
