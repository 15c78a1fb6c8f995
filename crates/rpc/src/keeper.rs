//! What is served: a machine, and the store that it is kept in.

use std::{fmt::Debug, sync::Arc};
use tuxlet::Machine;

pub use crate::types::{StoredImage, StoredMachine, StoredSnapshot};

/// A store of images and machines, as clients of a machine use it. Where `machine` is `None`, the machine that is served is meant. Errors
/// are words for people.
pub trait Keeper: Send + Sync + Debug {
    /// All images.
    fn images(&self) -> Result<Vec<StoredImage>, String>;
    /// All machines.
    fn machines(&self) -> Result<Vec<StoredMachine>, String>;
    /// Remembers how a machine is now.
    fn snapshot(&self, machine: Option<&str>, name: &str) -> Result<(), String>;
    /// Makes a machine as it was.
    fn restore(&self, machine: Option<&str>, name: &str) -> Result<(), String>;
    /// Forgets a snapshot.
    fn remove_snapshot(&self, machine: Option<&str>, name: &str) -> Result<(), String>;
    /// Makes another machine that is as one is now.
    fn clone_machine(&self, machine: Option<&str>, to: &str) -> Result<(), String>;
}

/// A machine for clients.
#[derive(Clone, Debug)]
pub struct Served {
    /// The machine.
    pub machine: Machine,
    /// The store that it is kept in, if clients may use that.
    pub keeper: Option<Arc<dyn Keeper>>,
}

impl From<Machine> for Served {
    fn from(machine: Machine) -> Self {
        Self {
            machine,
            keeper: None,
        }
    }
}
