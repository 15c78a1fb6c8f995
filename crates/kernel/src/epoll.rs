//! Event polling: epoll(7).
//!
//! Each watched file has an `Item` that sits on the file's wait queues and puts itself on the set's ready list
//! when it is woken. A wait looks at the ready list only. Locks, in order: `items`, then those of the files, and
//! `ready` last, under which nothing else is called.

use parking_lot::{Mutex, MutexGuard};
use std::{
    any::Any,
    collections::{BTreeMap, VecDeque},
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering},
    },
};
use tuxlet_sync::{WaitQueue, Wake};
use tuxlet_uapi::{
    epoll::{EPOLLET, EPOLLEXCLUSIVE, EPOLLONESHOT, EPOLLWAKEUP, EpollEvent},
    errno::{Errno, Result},
    fcntl::OpenFlags,
};
use tuxlet_vfs::{Attr, Cx, Events, File, FileOps, PollTable};

/// Reported whether asked for or not.
const ALWAYS: u32 = Events::ERR.union(Events::HUP).bits();
/// How a set behaves, as opposed to what it waits for.
const MODES: u32 = EPOLLET | EPOLLONESHOT | EPOLLEXCLUSIVE | EPOLLWAKEUP;
/// What may stand beside `EPOLLEXCLUSIVE`.
const WITH_EXCLUSIVE: u32 =
    Events::IN.union(Events::OUT).bits() | ALWAYS | EPOLLWAKEUP | EPOLLET | EPOLLEXCLUSIVE;
/// Deepest nesting of sets.
const MAX_NESTS: usize = 5;

/// Fewest items at which closed files are looked for.
const PRUNE_MIN: usize = 64;

/// A watched file: descriptor number and open file description together, as in Linux.
type ItemKey = (i32, u64);

#[derive(Debug)]
struct Item {
    me: Weak<Item>,
    set: Weak<Epoll>,
    file: Weak<File>,
    key: ItemKey,
    /// Events and modes; only modes are left after `EPOLLONESHOT` has struck.
    events: AtomicU32,
    data: AtomicU64,
    /// On the ready list.
    queued: AtomicBool,
    removed: AtomicBool,
}

impl Item {
    fn interest(&self) -> u32 {
        self.events.load(Ordering::SeqCst) & !MODES
    }

    fn has_mode(&self, mode: u32) -> bool {
        self.events.load(Ordering::SeqCst) & mode != 0
    }

    /// What is ready of what is wanted.
    fn check(&self, cx: &Cx) -> u32 {
        let interest = self.interest();
        if interest == 0 || self.removed.load(Ordering::SeqCst) {
            return 0;
        }
        self.file
            .upgrade()
            .map_or(0, |file| file.poll(cx, None).bits() & interest)
    }

    fn is_gone(&self) -> bool {
        self.removed.load(Ordering::SeqCst) || self.file.strong_count() == 0
    }
}

impl Wake for Item {
    fn wake(&self, events: u32) {
        if events & self.interest() != 0
            && let (Some(set), Some(item)) = (self.set.upgrade(), self.me.upgrade())
        {
            set.make_ready(item);
        }
    }
}

#[derive(Debug)]
struct Entry {
    item: Arc<Item>,
    /// Keeps the item on the file's queues.
    _table: PollTable,
}

/// A set of watched files.
#[derive(Debug)]
pub struct Epoll {
    me: Weak<Self>,
    items: Mutex<BTreeMap<ItemKey, Entry>>,
    ready: Mutex<VecDeque<Arc<Item>>>,
    /// Woken when something becomes ready.
    changed: WaitQueue,
    /// Number of items at which closed files are looked for next.
    prune_at: AtomicUsize,
    /// Sets that watch this one.
    parents: Mutex<Vec<Weak<Epoll>>>,
    attr: Attr,
}

/// Serialises the changes that nest sets.
static NESTING: Mutex<()> = Mutex::new(());

/// A file for an empty set.
#[must_use]
pub fn open(cx: &Cx, flags: OpenFlags) -> Arc<File> {
    let ops = Arc::new_cyclic(|me| Epoll {
        me: Weak::clone(me),
        items: Mutex::default(),
        ready: Mutex::default(),
        changed: WaitQueue::new(),
        prune_at: AtomicUsize::new(PRUNE_MIN),
        parents: Mutex::default(),
        attr: crate::anon::attr(cx),
    });
    File::anonymous(cx, ops, b"anon_inode:[eventpoll]", flags | OpenFlags::RDWR)
}

impl Epoll {
    /// Woken when something becomes ready.
    #[must_use]
    pub fn changed(&self) -> &WaitQueue {
        &self.changed
    }

    fn make_ready(&self, item: Arc<Item>) {
        if !item.queued.swap(true, Ordering::SeqCst) {
            self.ready.lock().push_back(item);
        }
        self.changed.wake_all(Events::READABLE.bits());
    }

    /// `EPOLL_CTL_ADD`.
    pub fn add(&self, cx: &Cx, fd: i32, file: &Arc<File>, event: &EpollEvent) -> Result<()> {
        if event.events & EPOLLEXCLUSIVE != 0 && event.events & !WITH_EXCLUSIVE != 0 {
            return Err(Errno::EINVAL);
        }
        let nested = file.ops_as::<Self>();
        if nested.is_some() && event.events & EPOLLEXCLUSIVE != 0 {
            return Err(Errno::EINVAL);
        }
        let _nesting = nested.map(|inner| self.nest(inner)).transpose()?;
        let key = (fd, file.id());
        let mut items = self.items.lock();
        if items.get(&key).is_some_and(|e| !e.item.is_gone()) {
            return Err(Errno::EEXIST);
        }
        if items.len() >= self.prune_at.load(Ordering::Relaxed) {
            items.retain(|_, e| !e.item.is_gone());
            self.prune_at
                .store((items.len() * 2).max(PRUNE_MIN), Ordering::Relaxed);
        }
        let item = Arc::new_cyclic(|me| Item {
            me: Weak::clone(me),
            set: Weak::clone(&self.me),
            file: Arc::downgrade(file),
            key,
            events: AtomicU32::new(event.events | ALWAYS),
            data: AtomicU64::new(event.data),
            queued: AtomicBool::new(false),
            removed: AtomicBool::new(false),
        });
        let mut table = PollTable::new(item.clone());
        let ready = file.poll(cx, Some(&mut table)).bits() & item.interest();
        items.insert(
            key,
            Entry {
                item: Arc::clone(&item),
                _table: table,
            },
        );
        drop(items);
        if ready != 0 {
            self.make_ready(item);
        }
        Ok(())
    }

    /// `EPOLL_CTL_MOD`.
    pub fn modify(&self, cx: &Cx, fd: i32, file: &Arc<File>, event: &EpollEvent) -> Result<()> {
        let item = {
            let items = self.items.lock();
            Arc::clone(&items.get(&(fd, file.id())).ok_or(Errno::ENOENT)?.item)
        };
        if event.events & EPOLLEXCLUSIVE != 0 || item.has_mode(EPOLLEXCLUSIVE) {
            return Err(Errno::EINVAL);
        }
        item.data.store(event.data, Ordering::SeqCst);
        item.events.store(event.events | ALWAYS, Ordering::SeqCst);
        if item.check(cx) != 0 {
            self.make_ready(item);
        }
        Ok(())
    }

    /// `EPOLL_CTL_DEL`.
    pub fn remove(&self, fd: i32, file: &File) -> Result<()> {
        let entry = self
            .items
            .lock()
            .remove(&(fd, file.id()))
            .ok_or(Errno::ENOENT)?;
        entry.item.removed.store(true, Ordering::SeqCst);
        if let Some(inner) = file.ops_as::<Self>() {
            let mut parents = inner.parents.lock();
            if let Some(at) = parents.iter().position(|p| p.ptr_eq(&self.me)) {
                parents.swap_remove(at);
            }
        }
        // The item leaves the queues outside the lock.
        drop(entry);
        Ok(())
    }

    /// Checks that watching `inner` neither closes a loop nor nests too deep, and notes it. The guard is to be
    /// held until the item is in.
    fn nest(&self, inner: &Self) -> Result<MutexGuard<'static, ()>> {
        let guard = NESTING.lock();
        let below = inner.height(self, 0)?;
        let above = self.depth(0)?;
        if below + above + 1 > MAX_NESTS {
            return Err(Errno::ELOOP);
        }
        inner.parents.lock().push(Weak::clone(&self.me));
        Ok(guard)
    }

    /// How many levels of sets are below this one; `ELOOP` if `forbidden` is among them.
    fn height(&self, forbidden: &Self, level: usize) -> Result<usize> {
        if std::ptr::eq(self, forbidden) || level > MAX_NESTS {
            return Err(Errno::ELOOP);
        }
        let files: Vec<Arc<File>> = self
            .items
            .lock()
            .values()
            .filter_map(|e| e.item.file.upgrade())
            .collect();
        let mut height = 0;
        for inner in files.iter().filter_map(|f| f.ops_as::<Self>()) {
            height = height.max(inner.height(forbidden, level + 1)? + 1);
        }
        Ok(height)
    }

    /// How many levels of sets are above this one.
    fn depth(&self, level: usize) -> Result<usize> {
        if level > MAX_NESTS {
            return Err(Errno::ELOOP);
        }
        let parents: Vec<_> = self
            .parents
            .lock()
            .iter()
            .filter_map(Weak::upgrade)
            .collect();
        let mut depth = 0;
        for parent in parents {
            depth = depth.max(parent.depth(level + 1)? + 1);
        }
        Ok(depth)
    }

    /// Takes up to `max` events: epoll_wait(2) without the waiting.
    #[must_use]
    pub fn collect(&self, cx: &Cx, max: usize) -> Vec<EpollEvent> {
        let mut events = Vec::new();
        let listed = self.ready.lock().len();
        for _ in 0..listed {
            if events.len() == max {
                break;
            }
            let Some(item) = self.ready.lock().pop_front() else {
                break;
            };
            // Before looking: a wake-up that comes now puts it on the list again.
            item.queued.store(false, Ordering::SeqCst);
            if item.file.strong_count() == 0 {
                let entry = self.items.lock().remove(&item.key);
                drop(entry);
                continue;
            }
            let ready = item.check(cx);
            if ready == 0 {
                continue;
            }
            events.push(EpollEvent {
                events: ready,
                data: item.data.load(Ordering::SeqCst),
                ..EpollEvent::default()
            });
            if item.has_mode(EPOLLONESHOT) {
                item.events.fetch_and(MODES, Ordering::SeqCst);
            } else if !item.has_mode(EPOLLET) && !item.queued.swap(true, Ordering::SeqCst) {
                // Still ready as far as we know; behind the others, so that all get their turn.
                self.ready.lock().push_back(item);
            }
        }
        if !events.is_empty() && !self.ready.lock().is_empty() {
            // Another waiter may have found the list empty meanwhile.
            self.changed.wake_all(Events::READABLE.bits());
        }
        events
    }

    /// The watched descriptors with events and data, for `/proc/PID/fdinfo`.
    #[must_use]
    pub fn list(&self) -> Vec<(i32, u32, u64)> {
        let items = self.items.lock();
        let live = items.values().map(|e| &e.item).filter(|i| !i.is_gone());
        live.map(|i| {
            (
                i.key.0,
                i.events.load(Ordering::SeqCst),
                i.data.load(Ordering::SeqCst),
            )
        })
        .collect()
    }
}

impl FileOps for Epoll {
    fn as_any(&self) -> &dyn Any {
        self
    }

    fn attr(&self, _cx: &Cx) -> Result<Attr> {
        Ok(self.attr)
    }

    fn seekable(&self) -> bool {
        false
    }

    fn own_seek(&self, _offset: i64, _whence: u32) -> Option<Result<u64>> {
        Some(Ok(0))
    }

    fn pollable(&self) -> bool {
        true
    }

    fn poll(&self, cx: &Cx, table: Option<&mut PollTable>) -> Events {
        if let Some(table) = table {
            table.add(&self.changed);
        }
        let listed: Vec<_> = self.ready.lock().iter().cloned().collect();
        if listed.iter().any(|item| item.check(cx) != 0) {
            Events::READABLE
        } else {
            Events::empty()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tuxlet_uapi::epoll::{EPOLLIN, EPOLLOUT};
    use tuxlet_vfs::{Cred, Time};

    fn cx() -> Cx {
        Cx {
            cred: Arc::new(Cred::root()),
            umask: 0,
            now: Time { sec: 0, nsec: 0 },
            fsize_limit: u64::MAX,
            tgid: 1,
            tid: 1,
            context: 0,
        }
    }

    fn set() -> Arc<File> {
        open(&cx(), OpenFlags::empty())
    }

    fn ops(file: &File) -> &Epoll {
        file.ops_as::<Epoll>().unwrap()
    }

    fn counter(count: u32) -> Arc<File> {
        crate::eventfd::open(&cx(), count, false, OpenFlags::empty())
    }

    fn event(events: u32, data: u64) -> EpollEvent {
        EpollEvent {
            events,
            data,
            ..EpollEvent::default()
        }
    }

    fn put(file: &File) {
        let one = 1u64.to_le_bytes();
        let mut from = &one[..];
        file.write(&cx(), &mut from).unwrap();
    }

    fn take(file: &File) {
        let mut buf = [0u8; 8];
        let mut to = &mut buf[..];
        file.read(&cx(), &mut to).unwrap();
    }

    fn collected(set: &File) -> Vec<(u32, u64)> {
        ops(set)
            .collect(&cx(), 8)
            .iter()
            .map(|e| (e.events, e.data))
            .collect()
    }

    #[test]
    fn level_triggered_repeats_and_edge_triggered_does_not() {
        let (s, level, edge) = (set(), counter(0), counter(0));
        ops(&s).add(&cx(), 3, &level, &event(EPOLLIN, 1)).unwrap();
        ops(&s)
            .add(&cx(), 4, &edge, &event(EPOLLIN | EPOLLET, 2))
            .unwrap();
        assert!(collected(&s).is_empty());
        put(&level);
        put(&edge);
        assert_eq!(collected(&s), [(EPOLLIN, 1), (EPOLLIN, 2)]);
        assert_eq!(collected(&s), [(EPOLLIN, 1)]);
        put(&edge);
        assert_eq!(collected(&s), [(EPOLLIN, 1), (EPOLLIN, 2)]);
        take(&level);
        assert!(collected(&s).is_empty());
    }

    #[test]
    fn one_shot_waits_for_a_modification() {
        let (s, c) = (set(), counter(1));
        ops(&s)
            .add(&cx(), 3, &c, &event(EPOLLIN | EPOLLONESHOT, 7))
            .unwrap();
        assert_eq!(collected(&s), [(EPOLLIN, 7)]);
        put(&c);
        assert!(collected(&s).is_empty());
        ops(&s)
            .modify(&cx(), 3, &c, &event(EPOLLIN | EPOLLOUT, 8))
            .unwrap();
        assert_eq!(collected(&s), [(EPOLLIN | EPOLLOUT, 8)]);
    }

    #[test]
    fn a_closed_file_leaves_the_set() {
        let (s, c) = (set(), counter(1));
        ops(&s).add(&cx(), 3, &c, &event(EPOLLIN, 1)).unwrap();
        assert_eq!(
            ops(&s).add(&cx(), 3, &c, &event(EPOLLIN, 1)),
            Err(Errno::EEXIST)
        );
        ops(&s).add(&cx(), 4, &c, &event(EPOLLIN, 2)).unwrap();
        drop(c);
        assert!(collected(&s).is_empty());
        assert!(ops(&s).list().is_empty());
    }

    #[test]
    fn removed_items_are_silent() {
        let (s, c) = (set(), counter(1));
        ops(&s).add(&cx(), 3, &c, &event(EPOLLIN, 1)).unwrap();
        ops(&s).remove(3, &c).unwrap();
        assert_eq!(ops(&s).remove(3, &c), Err(Errno::ENOENT));
        assert!(collected(&s).is_empty());
    }

    #[test]
    fn sets_nest_but_not_in_a_circle_and_not_too_deep() {
        let (outer, inner, c) = (set(), set(), counter(0));
        ops(&inner).add(&cx(), 3, &c, &event(EPOLLIN, 1)).unwrap();
        ops(&outer)
            .add(&cx(), 4, &inner, &event(EPOLLIN, 2))
            .unwrap();
        assert_eq!(
            ops(&inner).add(&cx(), 5, &outer, &event(EPOLLIN, 3)),
            Err(Errno::ELOOP)
        );
        put(&c);
        assert_eq!(collected(&outer), [(EPOLLIN, 2)]);
        take(&c);
        assert!(collected(&outer).is_empty());

        let mut chain = vec![inner];
        let result = (0..10).try_for_each(|i| {
            let below = set();
            let last = chain.last().unwrap();
            let added = ops(last).add(&cx(), 10 + i, &below, &event(EPOLLIN, 0));
            chain.push(below);
            added
        });
        assert_eq!(result, Err(Errno::ELOOP));
    }

    #[test]
    fn a_full_array_leaves_the_rest_for_the_next_call() {
        let s = set();
        let counters: Vec<_> = (0..4).map(|_| counter(1)).collect();
        for (i, c) in counters.iter().enumerate() {
            ops(&s)
                .add(&cx(), i as i32, c, &event(EPOLLIN | EPOLLET, i as u64))
                .unwrap();
        }
        let first = ops(&s).collect(&cx(), 3).len();
        assert_eq!((first, collected(&s).len()), (3, 1));
    }
}
