//! Inter-process communication: sysvipc(7), mq_overview(7).

pub mod mqueue;
pub mod mqueue_fs;
pub mod msg;
pub mod sem;
pub mod shm;

use parking_lot::Mutex;
use std::{collections::BTreeMap, fmt::Debug, sync::Arc};
use tuxlet_uapi::{
    errno::{Errno, Result},
    ipc::{IPC_CREAT, IPC_EXCL, IPC_PRIVATE, IpcPerm},
};
use tuxlet_vfs::{Cred, Time, cx::cap};

/// Most objects of a kind.
const MAX_OBJECTS: usize = 32_000;
/// Ids are an index plus this times a sequence number, so that an old id does not soon mean something new.
const ID_STRIDE: i32 = 32_768;

/// What every object has: owner, mode and key.
pub trait Object: Send + Sync + Debug {
    /// Permissions.
    fn perm(&self) -> &Mutex<IpcPerm>;
}

/// The objects of one kind.
#[derive(Debug)]
pub struct Registry<T> {
    state: Mutex<State<T>>,
}

#[derive(Debug)]
struct State<T> {
    objects: BTreeMap<i32, Arc<T>>,
    sequence: i32,
}

impl<T> Default for Registry<T> {
    fn default() -> Self {
        Self {
            state: Mutex::new(State {
                objects: BTreeMap::new(),
                sequence: 0,
            }),
        }
    }
}

impl<T: Object> Registry<T> {
    /// Finds the object of a key or makes one: `shmget`(2) and its kin. `fits` looks at an object that exists.
    pub fn get(
        &self,
        cred: &Cred,
        key: i32,
        flags: u32,
        fits: impl FnOnce(&T) -> Result<()>,
        make: impl FnOnce(i32, IpcPerm) -> Result<T>,
    ) -> Result<i32> {
        let mut state = self.state.lock();
        let existing = state
            .objects
            .iter()
            .find(|(_, o)| key != IPC_PRIVATE && o.perm().lock().key == key);
        if let Some((id, object)) = existing {
            if flags & IPC_CREAT != 0 && flags & IPC_EXCL != 0 {
                return Err(Errno::EEXIST);
            }
            fits(object)?;
            check(cred, &object.perm().lock(), flags)?;
            return Ok(*id);
        }
        if key != IPC_PRIVATE && flags & IPC_CREAT == 0 {
            return Err(Errno::ENOENT);
        }
        if state.objects.len() >= MAX_OBJECTS {
            return Err(Errno::ENOSPC);
        }
        let index = (0..ID_STRIDE).find(|i| !state.objects.keys().any(|id| id % ID_STRIDE == *i));
        let index = index.ok_or(Errno::ENOSPC)?;
        let id = state.sequence * ID_STRIDE + index;
        let perm = IpcPerm {
            key,
            uid: cred.euid,
            gid: cred.egid,
            cuid: cred.euid,
            cgid: cred.egid,
            mode: flags & 0o777,
            seq: state.sequence as u16,
            ..IpcPerm::default()
        };
        let object = Arc::new(make(id, perm)?);
        state.sequence = (state.sequence + 1) % (i32::MAX / ID_STRIDE);
        state.objects.insert(id, object);
        Ok(id)
    }

    /// An object by id. `EINVAL`.
    pub fn find(&self, id: i32) -> Result<Arc<T>> {
        self.state
            .lock()
            .objects
            .get(&id)
            .cloned()
            .ok_or(Errno::EINVAL)
    }

    /// The object at an index, with its id: the `*_STAT` commands. `EINVAL`.
    pub fn at_index(&self, index: i32) -> Result<(i32, Arc<T>)> {
        let state = self.state.lock();
        let mut objects = state.objects.iter();
        let found = objects.find(|(id, _)| *id % ID_STRIDE == index);
        found
            .map(|(id, o)| (*id, Arc::clone(o)))
            .ok_or(Errno::EINVAL)
    }

    /// The highest index in use, 0 without objects: what the `*_INFO` commands return.
    #[must_use]
    pub fn highest_index(&self) -> i32 {
        let state = self.state.lock();
        state
            .objects
            .keys()
            .map(|id| id % ID_STRIDE)
            .max()
            .unwrap_or(0)
    }

    /// Takes an object out.
    pub fn remove(&self, id: i32) -> Option<Arc<T>> {
        self.state.lock().objects.remove(&id)
    }

    /// All objects with their ids, ascending.
    #[must_use]
    pub fn list(&self) -> Vec<(i32, Arc<T>)> {
        self.state
            .lock()
            .objects
            .iter()
            .map(|(id, o)| (*id, Arc::clone(o)))
            .collect()
    }
}

/// Whether the mode grants the accesses in `wanted` (any of its three digits counts). `EACCES`.
pub fn check(cred: &Cred, perm: &IpcPerm, wanted: u32) -> Result<()> {
    let wanted = (wanted >> 6 | wanted >> 3 | wanted) & 7;
    let granted = if cred.euid == perm.uid || cred.euid == perm.cuid {
        perm.mode >> 6
    } else if cred.in_group(perm.gid) || cred.in_group(perm.cgid) {
        perm.mode >> 3
    } else {
        perm.mode
    };
    if wanted & !granted & 7 == 0 || cred.has_cap(cap::IPC_OWNER) {
        Ok(())
    } else {
        Err(Errno::EACCES)
    }
}

/// Whether the caller may change or remove an object: owner, creator, or `CAP_SYS_ADMIN`. `EPERM`.
pub fn may_control(cred: &Cred, perm: &IpcPerm) -> Result<()> {
    if cred.euid == perm.uid || cred.euid == perm.cuid || cred.has_cap(cap::SYS_ADMIN) {
        Ok(())
    } else {
        Err(Errno::EPERM)
    }
}

/// `IPC_SET`: owner, group and mode.
pub fn change(perm: &mut IpcPerm, new: &IpcPerm) {
    perm.uid = new.uid;
    perm.gid = new.gid;
    perm.mode = perm.mode & !0o777 | new.mode & 0o777;
}

/// System V IPC and message queues of a machine.
#[derive(Debug)]
pub struct Ipc {
    /// Shared memory.
    pub shm: Registry<shm::Segment>,
    /// Semaphores.
    pub sem: Registry<sem::SemSet>,
    /// Message queues.
    pub msg: Registry<msg::MsgQueue>,
    /// POSIX message queues.
    pub queues: mqueue_fs::MqueueFs,
}

impl Ipc {
    /// No objects.
    #[must_use]
    pub fn new(now: Time) -> Self {
        Self {
            shm: Registry::default(),
            sem: Registry::default(),
            msg: Registry::default(),
            queues: mqueue_fs::MqueueFs::new(now),
        }
    }

    /// Undoes what a dead process's `SEM_UNDO` operations did.
    pub fn process_died(&self, tgid: u32) {
        for (_, set) in self.sem.list() {
            set.undo(tgid);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug)]
    struct Thing(Mutex<IpcPerm>);

    impl Object for Thing {
        fn perm(&self) -> &Mutex<IpcPerm> {
            &self.0
        }
    }

    fn get(registry: &Registry<Thing>, cred: &Cred, key: i32, flags: u32) -> Result<i32> {
        registry.get(
            cred,
            key,
            flags,
            |_| Ok(()),
            |_, perm| Ok(Thing(Mutex::new(perm))),
        )
    }

    #[test]
    fn keys_find_and_ids_are_not_used_again_at_once() {
        let (r, root) = (Registry::default(), Cred::root());
        assert_eq!(get(&r, &root, 5, 0), Err(Errno::ENOENT));
        let id = get(&r, &root, 5, IPC_CREAT | 0o600).unwrap();
        assert_eq!(get(&r, &root, 5, 0), Ok(id));
        assert_eq!(get(&r, &root, 5, IPC_CREAT | IPC_EXCL), Err(Errno::EEXIST));
        r.remove(id);
        assert_eq!(r.find(id).unwrap_err(), Errno::EINVAL);
        assert_ne!(get(&r, &root, 5, IPC_CREAT | 0o600), Ok(id));
        assert_ne!(
            get(&r, &root, IPC_PRIVATE, 0),
            get(&r, &root, IPC_PRIVATE, 0)
        );
    }

    #[test]
    fn modes_are_checked_by_owner_group_and_others() {
        let (r, root) = (Registry::default(), Cred::root());
        get(&r, &root, 5, IPC_CREAT | 0o640).unwrap();
        assert_eq!(get(&r, &Cred::user(7, 7), 5, 0o400), Err(Errno::EACCES));
        assert!(get(&r, &Cred::user(7, 0), 5, 0o400).is_ok());
        assert_eq!(get(&r, &Cred::user(7, 0), 5, 0o600), Err(Errno::EACCES));
    }
}
