//! The entries of a directory, in the order of their making.

use crate::node::Node;
use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Weak},
};

/// Positions 0 and 1 are `.` and `..`.
const FIRST: u64 = 2;

/// A directory's content.
#[derive(Debug)]
pub(crate) struct Dir {
    by_name: HashMap<Arc<[u8]>, (u64, Arc<Node>)>,
    by_position: BTreeMap<u64, Arc<[u8]>>,
    next: u64,
    /// The directory above; itself dangling for the root.
    pub(crate) parent: Weak<Node>,
    /// Removed: no entry may be added any more.
    pub(crate) dead: bool,
}

impl Default for Dir {
    fn default() -> Self {
        Self {
            by_name: HashMap::new(),
            by_position: BTreeMap::new(),
            next: FIRST,
            parent: Weak::new(),
            dead: false,
        }
    }
}

impl Dir {
    pub(crate) fn below(parent: &Arc<Node>) -> Self {
        Self {
            parent: Arc::downgrade(parent),
            ..Self::default()
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.by_name.len()
    }

    pub(crate) fn get(&self, name: &[u8]) -> Option<&Arc<Node>> {
        self.by_name.get(name).map(|(_, node)| node)
    }

    pub(crate) fn insert(&mut self, name: &[u8], node: Arc<Node>) {
        self.remove(name);
        let name: Arc<[u8]> = name.into();
        let at = self.next;
        self.next += 1;
        self.by_position.insert(at, Arc::clone(&name));
        self.by_name.insert(name, (at, node));
    }

    pub(crate) fn remove(&mut self, name: &[u8]) -> Option<Arc<Node>> {
        let (at, node) = self.by_name.remove(name)?;
        self.by_position.remove(&at);
        Some(node)
    }

    /// Puts another inode under an existing name, at the same position.
    pub(crate) fn replace(&mut self, name: &[u8], node: Arc<Node>) {
        if let Some((_, old)) = self.by_name.get_mut(name) {
            *old = node;
        }
    }

    /// Entries from a position (at least 2) on.
    pub(crate) fn from(&self, at: u64) -> impl Iterator<Item = (u64, &[u8], &Arc<Node>)> {
        self.by_position
            .range(at..)
            .filter_map(|(at, name)| Some((*at, &**name, self.get(name)?)))
    }
}
