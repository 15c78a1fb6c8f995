//! Which controllers are on where, and the types of groups: `cgroup.subtree_control`, `cgroup.type`.

use super::Cgroup;
use bitflags::bitflags;
use std::sync::{Arc, atomic::Ordering};
use tuxlet_uapi::errno::{Errno, Result};

bitflags! {
    /// Controllers.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub(super) struct Controllers: u8 {
        const CPU = 1;
        const MEMORY = 2;
        const PIDS = 4;
    }
}

/// Names in Linux' order.
const NAMES: [(&str, Controllers); 3] = [
    ("cpu", Controllers::CPU),
    ("memory", Controllers::MEMORY),
    ("pids", Controllers::PIDS),
];

impl Controllers {
    /// Those that can divide a process's threads.
    const THREADED: Self = Self::CPU.union(Self::PIDS);

    pub(super) fn list(self) -> String {
        let names = NAMES.iter().filter(|(_, c)| self.contains(*c));
        let names: Vec<&str> = names.map(|(name, _)| *name).collect();
        format!("{}\n", names.join(" "))
    }
}

/// Whether a group holds whole processes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Domain {
    #[default]
    Domain,
    Threaded,
}

impl Cgroup {
    pub(super) fn subtree_control(&self) -> Controllers {
        self.state.lock().subtree_control
    }

    pub(super) fn is_threaded(&self) -> bool {
        self.state.lock().domain == Domain::Threaded
    }

    /// The controllers that are on in this group.
    pub(super) fn controllers(&self) -> Controllers {
        match &self.parent {
            None => Controllers::all(),
            Some(parent) if self.is_threaded() => parent.subtree_control() & Controllers::THREADED,
            Some(parent) => parent.subtree_control(),
        }
    }

    fn has_threaded_children(&self) -> bool {
        self.children().iter().any(|c| c.is_threaded())
    }

    fn has_own_tasks(&self) -> bool {
        self.own_tasks.load(Ordering::SeqCst) != 0
    }

    /// Whether threads of processes of this group may be in groups below.
    pub(super) fn can_be_thread_root(&self) -> bool {
        if self.is_root() {
            return true;
        }
        let populated = |c: &Arc<Self>| !c.is_threaded() && c.tasks.load(Ordering::SeqCst) != 0;
        !self.is_threaded()
            && !self.children().iter().any(populated)
            && Controllers::THREADED.contains(self.subtree_control())
    }

    pub(super) fn is_thread_root(&self) -> bool {
        if self.is_threaded() {
            return false;
        }
        let divides = self.subtree_control().intersects(Controllers::THREADED);
        self.has_threaded_children() || (self.has_own_tasks() && divides)
    }

    /// Whether processes can be in the group: not below one that is part of a threaded tree.
    pub(super) fn is_valid_domain(self: &Arc<Self>) -> bool {
        let stops = |g: &Arc<Self>| g.is_threaded() || (!g.is_root() && g.is_thread_root());
        !self.is_threaded() && !self.up().skip(1).any(stops)
    }

    /// The group that processes belong to whose threads are in this one.
    pub(super) fn domain(self: &Arc<Self>) -> Arc<Self> {
        let found = self.up().find(|g| !g.is_threaded());
        Arc::clone(found.unwrap_or(self))
    }

    pub(super) fn show_type(self: &Arc<Self>) -> &'static str {
        if self.is_threaded() {
            "threaded\n"
        } else if !self.is_valid_domain() {
            "domain invalid\n"
        } else if self.is_thread_root() {
            "domain threaded\n"
        } else {
            "domain\n"
        }
    }

    /// Becomes part of a threaded tree, for good. `EOPNOTSUPP` where that cannot be.
    pub(super) fn become_threaded(self: &Arc<Self>) -> Result<()> {
        let _lock = self.lock_live()?;
        if self.is_threaded() {
            return Ok(());
        }
        let populated = self.tasks.load(Ordering::SeqCst) != 0;
        let divides_more = !Controllers::THREADED.contains(self.subtree_control());
        let above = self.parent.as_ref().map(Self::domain);
        let fits = above.is_some_and(|d| d.is_valid_domain() && d.can_be_thread_root());
        if populated || divides_more || !fits {
            return Err(Errno::EOPNOTSUPP);
        }
        let before = self.controllers();
        self.state.lock().domain = Domain::Threaded;
        let lost = before - self.controllers();
        self.switch_off(lost);
        Ok(())
    }

    /// Switches controllers on and off in the children: `+name` and `-name`, the last of each counts.
    pub(super) fn write_subtree_control(self: &Arc<Self>, text: &str) -> Result<()> {
        let (mut enable, mut disable) = (Controllers::empty(), Controllers::empty());
        for word in text.split_whitespace() {
            let found = |name: &str| NAMES.iter().find(|(n, _)| *n == name).map(|(_, c)| *c);
            if let Some(c) = word.strip_prefix('+').and_then(found) {
                enable |= c;
                disable -= c;
            } else if let Some(c) = word.strip_prefix('-').and_then(found) {
                disable |= c;
                enable -= c;
            } else {
                return Err(Errno::EINVAL);
            }
        }
        let _lock = self.lock_live()?;
        let on = self.subtree_control();
        (enable, disable) = (enable - on, disable & on);
        if !self.controllers().contains(enable) {
            return Err(Errno::ENOENT);
        }
        let children = self.children();
        if children
            .iter()
            .any(|c| c.subtree_control().intersects(disable))
        {
            return Err(Errno::EBUSY);
        }
        if enable.is_empty() && disable.is_empty() {
            return Ok(());
        }
        self.may_enable(enable)?;
        self.state.lock().subtree_control = (on | enable) - disable;
        let fs = self.hierarchy.fs.upgrade().ok_or(Errno::ENODEV)?;
        for child in children {
            child.switch_off(disable);
            let attr = child.node.attr();
            child.make_files(&fs, (attr.uid, attr.gid));
        }
        Ok(())
    }

    fn may_enable(self: &Arc<Self>, enable: Controllers) -> Result<()> {
        if enable.is_empty() || self.is_root() {
            return Ok(());
        }
        let whole = enable - Controllers::THREADED;
        if !whole.is_empty() && !self.domain().is_valid_domain() {
            return Err(Errno::EOPNOTSUPP);
        }
        if self.is_threaded() || self.is_thread_root() {
            return if whole.is_empty() {
                Ok(())
            } else {
                Err(Errno::EOPNOTSUPP)
            };
        }
        // Processes are only in the leaves.
        if self.has_own_tasks() {
            return Err(Errno::EBUSY);
        }
        Ok(())
    }

    /// Forgets limits and files of controllers that are not on any more.
    fn switch_off(self: &Arc<Self>, which: Controllers) {
        if which.contains(Controllers::PIDS) {
            self.pids.set_max(None);
        }
        if which.contains(Controllers::MEMORY) {
            self.memory.reset();
        }
        if which.contains(Controllers::CPU) {
            self.cpu.reset();
            self.release_throttled();
        }
        self.remove_files(which);
    }
}
