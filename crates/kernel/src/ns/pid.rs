//! Process id namespaces: pid_namespaces(7). Everywhere in the kernel ids are those of the initial namespace; a namespace
//! knows which of its own ids they are.

use super::Identity;
use parking_lot::Mutex;
use rustc_hash::FxHashMap;
use std::{collections::BTreeMap, sync::Arc};
use tuxlet_uapi::errno::{Errno, Result};
use tuxlet_vfs::UserNs;

/// Largest process id.
const PID_MAX: u32 = crate::task::tree::PID_MAX;
/// So many namespaces may be nested in the initial one.
const MAX_LEVEL: u32 = 32;

/// The ids of a namespace.
#[derive(Debug, Default)]
struct Ids {
    to_global: BTreeMap<u32, u32>,
    of_global: FxHashMap<u32, u32>,
    last: u32,
    /// Its first process is gone: there will be no others.
    closed: bool,
}

/// A process id namespace.
#[derive(Debug)]
pub struct PidNs {
    /// Who it is.
    pub id: Identity,
    parent: Option<Arc<Self>>,
    level: u32,
    ids: Mutex<Ids>,
}

impl PidNs {
    /// The namespace of a machine's first process: its ids are the kernel's own.
    #[must_use]
    pub(crate) fn initial() -> Arc<Self> {
        Arc::new(Self {
            id: Identity::initial(4_026_531_836),
            parent: None,
            level: 0,
            ids: Mutex::default(),
        })
    }

    /// A namespace in another one. `ENOSPC` if they are nested too deeply.
    pub(crate) fn child(parent: &Arc<Self>, owner: &Arc<UserNs>) -> Result<Arc<Self>> {
        if parent.level >= MAX_LEVEL {
            return Err(Errno::ENOSPC);
        }
        Ok(Arc::new(Self {
            id: Identity::new(owner),
            parent: Some(Arc::clone(parent)),
            level: parent.level + 1,
            ids: Mutex::default(),
        }))
    }

    /// How deeply nested, 0 for the initial one.
    #[must_use]
    pub fn level(&self) -> u32 {
        self.level
    }

    /// The namespace that this one is in.
    #[must_use]
    pub fn parent(&self) -> Option<&Arc<Self>> {
        self.parent.as_ref()
    }

    /// Whether this namespace is `other` or lies in it.
    #[must_use]
    pub fn is_within(&self, other: &Self) -> bool {
        let mut at = self;
        loop {
            if std::ptr::eq(at, other) {
                return true;
            }
            match &at.parent {
                Some(parent) => at = parent,
                None => return false,
            }
        }
    }

    /// This namespace and those that it lies in, but the initial one, innermost first.
    fn chain(self: &Arc<Self>) -> impl Iterator<Item = &Arc<Self>> {
        std::iter::successors(Some(self), |ns| ns.parent.as_ref()).filter(|ns| ns.level > 0)
    }

    /// How an id of the initial namespace is shown here; 0 if it has no meaning.
    #[must_use]
    pub fn shown(&self, global: u32) -> u32 {
        if self.level == 0 {
            return global;
        }
        self.ids.lock().of_global.get(&global).copied().unwrap_or(0)
    }

    /// The initial namespace's id for one of this namespace.
    #[must_use]
    pub fn global(&self, id: u32) -> Option<u32> {
        if self.level == 0 {
            return Some(id);
        }
        self.ids.lock().to_global.get(&id).copied()
    }

    /// The process that adopts orphans and gives the others their end: process 1.
    #[must_use]
    pub fn init(&self) -> Option<u32> {
        self.global(1)
    }

    /// Gives a task ids in this namespace and those around it. `wanted` are the ids that it is to have, innermost first;
    /// those of the initial namespace excepted. `EEXIST` if one is taken, `EINVAL` if a namespace without processes would
    /// begin with another than 1, `ENOMEM` if its first process is gone, `EAGAIN` if no id is left.
    pub(crate) fn enter(self: &Arc<Self>, global: u32, wanted: &[u32]) -> Result<()> {
        for (depth, ns) in self.chain().enumerate() {
            if let Err(errno) = ns.give(global, wanted.get(depth).copied()) {
                for ns in self.chain().take(depth) {
                    ns.forget(global);
                }
                return Err(errno);
            }
        }
        Ok(())
    }

    fn give(&self, global: u32, wanted: Option<u32>) -> Result<()> {
        let ids = &mut *self.ids.lock();
        if ids.closed {
            return Err(Errno::ENOMEM);
        }
        let id = match wanted {
            Some(id) if id == 0 || id > PID_MAX || (id != 1 && ids.last == 0) => {
                return Err(Errno::EINVAL);
            }
            Some(id) if ids.to_global.contains_key(&id) => return Err(Errno::EEXIST),
            Some(id) => id,
            None => {
                let after = (ids.last + 1..=PID_MAX).find(|id| !ids.to_global.contains_key(id));
                let id = after
                    .or_else(|| (1..=ids.last).find(|id| !ids.to_global.contains_key(id)))
                    .ok_or(Errno::EAGAIN)?;
                ids.last = id;
                id
            }
        };
        ids.last = ids.last.max(1);
        ids.to_global.insert(id, global);
        ids.of_global.insert(global, id);
        Ok(())
    }

    fn forget(&self, global: u32) {
        let ids = &mut *self.ids.lock();
        if let Some(id) = ids.of_global.remove(&global) {
            ids.to_global.remove(&id);
        }
    }

    /// An id of the initial namespace means nothing any more.
    pub(crate) fn leave(self: &Arc<Self>, global: u32) {
        for ns in self.chain() {
            ns.forget(global);
        }
    }

    /// The first process ends: nobody enters any more.
    pub(crate) fn close(&self) {
        self.ids.lock().closed = true;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_count_from_one_in_each_namespace() {
        let top = PidNs::initial();
        let outer = PidNs::child(&top, UserNs::initial()).expect("room");
        let inner = PidNs::child(&outer, UserNs::initial()).expect("room");
        outer.enter(100, &[]).expect("an id");
        inner.enter(101, &[]).expect("an id");
        assert_eq!((outer.shown(100), inner.shown(100)), (1, 0));
        assert_eq!((outer.shown(101), inner.shown(101)), (2, 1));
        assert_eq!((inner.global(1), inner.global(2)), (Some(101), None));
        assert_eq!(inner.enter(102, &[1]), Err(Errno::EEXIST));
        assert_eq!(outer.shown(102), 0);
        inner.enter(102, &[7, 9]).expect("ids");
        assert_eq!((inner.shown(102), outer.shown(102)), (7, 9));
        inner.leave(102);
        assert_eq!((inner.shown(102), outer.shown(102)), (0, 0));
        inner.close();
        assert_eq!(inner.enter(103, &[]), Err(Errno::ENOMEM));
        assert!(inner.is_within(&outer) && !outer.is_within(&inner));
    }

    #[test]
    fn the_first_process_is_number_one() {
        let ns = PidNs::child(&PidNs::initial(), UserNs::initial()).expect("room");
        assert_eq!(ns.enter(100, &[5]), Err(Errno::EINVAL));
        ns.enter(100, &[1]).expect("an id");
        ns.enter(101, &[]).expect("an id");
        assert_eq!(ns.shown(101), 2);
    }
}
