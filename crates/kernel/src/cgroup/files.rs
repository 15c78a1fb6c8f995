//! The files of a group.

use super::{
    Cgroup,
    control::Controllers,
    memory::{parse_pages, show_pages},
};
use parking_lot::Mutex;
use std::{
    any::Any,
    sync::{
        Arc, Weak,
        atomic::{AtomicU64, Ordering},
    },
};
use tuxlet_mem::{IoRead, IoWrite};
use tuxlet_sync::WaitQueue;
use tuxlet_uapi::errno::{Errno, Result};
use tuxlet_vfs::{
    Attr, Cx, Events, FileOps, FileType, Inode, PollTable,
    attr::SetAttr,
    node_inode,
    pseudo::{Node, PseudoFs, read_slice},
};

type Show = fn(&Arc<Cgroup>, &Cx) -> Result<String>;
type Store = fn(&Arc<Cgroup>, &Cx, &str) -> Result<()>;

/// What a file is.
#[derive(Debug)]
struct Spec {
    name: &'static str,
    on_root: bool,
    /// The controller whose file it is; empty for files that are always there.
    controller: Controllers,
    show: Option<Show>,
    store: Option<Store>,
}

const fn always(
    name: &'static str,
    on_root: bool,
    show: Option<Show>,
    store: Option<Store>,
) -> Spec {
    Spec {
        name,
        on_root,
        controller: Controllers::empty(),
        show,
        store,
    }
}

const fn of(
    controller: Controllers,
    name: &'static str,
    show: Option<Show>,
    store: Option<Store>,
) -> Spec {
    Spec {
        name,
        on_root: false,
        controller,
        show,
        store,
    }
}

const CPU: Controllers = Controllers::CPU;
const MEMORY: Controllers = Controllers::MEMORY;
const PIDS: Controllers = Controllers::PIDS;

/// All files, in any order.
const FILES: &[Spec] = &[
    always(
        "cgroup.controllers",
        true,
        Some(|g, _| Ok(g.controllers().list())),
        None,
    ),
    always("cgroup.events", false, Some(|g, _| Ok(events(g))), None),
    always(
        "cgroup.freeze",
        false,
        Some(|g, _| Ok(flag(g.freeze.load(Ordering::SeqCst)))),
        Some(|g, _, text| g.set_freeze(parse_flag(text)?)),
    ),
    always("cgroup.kill", false, None, Some(|g, _, text| kill(g, text))),
    always(
        "cgroup.max.depth",
        true,
        Some(|g, _| Ok(show_max(g.state.lock().max_depth))),
        Some(|g, _, text| {
            g.state.lock().max_depth = parse_max(text)?;
            Ok(())
        }),
    ),
    always(
        "cgroup.max.descendants",
        true,
        Some(|g, _| Ok(show_max(g.state.lock().max_descendants))),
        Some(|g, _, text| {
            g.state.lock().max_descendants = parse_max(text)?;
            Ok(())
        }),
    ),
    always(
        "cgroup.procs",
        true,
        Some(|g, cx| g.list_tasks(cx, true)),
        Some(|g, cx, text| g.attach(cx, text, true)),
    ),
    always("cgroup.stat", true, Some(|g, _| Ok(stat(g))), None),
    always(
        "cgroup.subtree_control",
        true,
        Some(|g, _| Ok(g.subtree_control().list())),
        Some(|g, _, text| g.write_subtree_control(text)),
    ),
    always(
        "cgroup.threads",
        true,
        Some(|g, cx| g.list_tasks(cx, false)),
        Some(|g, cx, text| g.attach(cx, text, false)),
    ),
    always(
        "cgroup.type",
        false,
        Some(|g, _| Ok(g.show_type().into())),
        Some(|g, _, text| match text {
            "threaded" => g.become_threaded(),
            _ => Err(Errno::EINVAL),
        }),
    ),
    always(
        "cpu.stat",
        true,
        Some(|g, _| Ok(g.cpu_stat(!g.is_root() && g.controllers().contains(CPU)))),
        None,
    ),
    of(
        CPU,
        "cpu.max",
        Some(|g, _| Ok(g.cpu.show_max())),
        Some(|g, _, text| g.set_cpu_max(text)),
    ),
    of(
        CPU,
        "cpu.max.burst",
        Some(|g, _| Ok(g.cpu.show_burst())),
        Some(|g, _, text| g.set_cpu_burst(text)),
    ),
    of(
        CPU,
        "cpu.weight",
        Some(|g, _| Ok(format!("{}\n", g.cpu.weight()))),
        Some(|g, _, text| g.cpu.set_weight(text)),
    ),
    of(
        MEMORY,
        "memory.current",
        Some(|g, _| Ok(show_pages(g.mem_group()?.used_pages()))),
        None,
    ),
    of(
        MEMORY,
        "memory.events",
        Some(|g, _| g.memory_events(true)),
        None,
    ),
    of(
        MEMORY,
        "memory.events.local",
        Some(|g, _| g.memory_events(false)),
        None,
    ),
    of(
        MEMORY,
        "memory.high",
        Some(|g, _| Ok(show_pages(g.mem_group()?.high_pages()))),
        Some(|g, _, text| {
            g.mem_group()?.set_high_pages(parse_pages(text)?);
            Ok(())
        }),
    ),
    of(
        MEMORY,
        "memory.max",
        Some(|g, _| Ok(show_pages(g.mem_group()?.limit_pages()))),
        Some(|g, _, text| g.set_memory_max(text)),
    ),
    of(
        MEMORY,
        "memory.oom.group",
        Some(|g, _| Ok(flag(g.memory.oom_group.load(Ordering::Relaxed)))),
        Some(|g, _, text| {
            let on = text.parse().map_err(|_| Errno::EINVAL)?;
            let on = match on {
                0u32 => false,
                1 => true,
                _ => return Err(Errno::EINVAL),
            };
            g.memory.oom_group.store(on, Ordering::Relaxed);
            Ok(())
        }),
    ),
    of(
        MEMORY,
        "memory.peak",
        Some(|g, _| Ok(show_pages(g.mem_group()?.peak_pages()))),
        None,
    ),
    of(
        MEMORY,
        "memory.reclaim",
        None,
        Some(|g, _, text| g.reclaim_memory(text)),
    ),
    of(MEMORY, "memory.stat", Some(|g, _| g.memory_stat()), None),
    of(
        PIDS,
        "pids.current",
        Some(|g, _| Ok(format!("{}\n", g.pids.current()))),
        None,
    ),
    of(
        PIDS,
        "pids.events",
        Some(|g, _| Ok(format!("max {}\n", g.pids.refused().0))),
        None,
    ),
    of(
        PIDS,
        "pids.events.local",
        Some(|g, _| Ok(format!("max {}\n", g.pids.refused().1))),
        None,
    ),
    of(
        PIDS,
        "pids.max",
        Some(|g, _| Ok(show_max(g.pids.max()))),
        Some(|g, _, text| {
            let max = match text {
                "max" => None,
                number => Some(number.parse().map_err(|_| Errno::EINVAL)?),
            };
            // More than any machine can have.
            if max.is_some_and(|max: u64| max > 1 << 22) {
                return Err(Errno::EINVAL);
            }
            g.pids.set_max(max);
            Ok(())
        }),
    ),
    of(
        PIDS,
        "pids.peak",
        Some(|g, _| Ok(format!("{}\n", g.pids.peak()))),
        None,
    ),
];

fn flag(on: bool) -> String {
    format!("{}\n", u8::from(on))
}

/// 0 or 1: `ERANGE` for another number.
fn parse_flag(text: &str) -> Result<bool> {
    match text.parse::<i32>().map_err(|_| Errno::EINVAL)? {
        0 => Ok(false),
        1 => Ok(true),
        _ => Err(Errno::ERANGE),
    }
}

fn kill(group: &Arc<Cgroup>, text: &str) -> Result<()> {
    match text.parse::<i32>().map_err(|_| Errno::EINVAL)? {
        1 => group.kill(),
        _ => Err(Errno::ERANGE),
    }
}

fn show_max<T: std::fmt::Display>(max: Option<T>) -> String {
    max.map_or_else(|| "max\n".into(), |max| format!("{max}\n"))
}

fn parse_max(text: &str) -> Result<Option<u32>> {
    if text == "max" {
        return Ok(None);
    }
    let number: i32 = text.parse().map_err(|_| Errno::EINVAL)?;
    u32::try_from(number).map(Some).map_err(|_| Errno::ERANGE)
}

fn events(group: &Arc<Cgroup>) -> String {
    let populated = group.tasks.load(Ordering::SeqCst) != 0;
    let frozen = group.frozen.load(Ordering::SeqCst);
    format!(
        "populated {}\nfrozen {}\n",
        u8::from(populated),
        u8::from(frozen)
    )
}

fn stat(group: &Arc<Cgroup>) -> String {
    let below = group.descendants.load(Ordering::Relaxed);
    format!("nr_descendants {below}\nnr_dying_descendants 0\n")
}

impl Cgroup {
    /// Makes the files that the group is to have and has not.
    pub(super) fn make_files(self: &Arc<Self>, fs: &PseudoFs, owner: (u32, u32)) {
        let on = self.controllers();
        let mut state = self.state.lock();
        for spec in FILES {
            let wanted = on.contains(spec.controller) && (spec.on_root || !self.is_root());
            if wanted && !state.files.contains_key(spec.name) {
                let file = CgroupFile::new(fs, self, spec, owner);
                state.files.insert(spec.name, file);
            }
        }
    }

    /// Removes the files of controllers.
    pub(super) fn remove_files(&self, of: Controllers) {
        let gone = |name: &str| {
            let spec = FILES.iter().find(|s| s.name == name);
            spec.is_some_and(|s| s.controller.intersects(of))
        };
        self.state.lock().files.retain(|name, _| !gone(name));
    }
}

/// A file of a group.
#[derive(Debug)]
pub(super) struct CgroupFile {
    node: Node,
    spec: &'static Spec,
    group: Weak<Cgroup>,
    myself: Weak<Self>,
    /// Counts changes that somebody may wait for.
    version: AtomicU64,
    waiting: WaitQueue,
}

impl CgroupFile {
    fn new(
        fs: &PseudoFs,
        group: &Arc<Cgroup>,
        spec: &'static Spec,
        owner: (u32, u32),
    ) -> Arc<Self> {
        let mode = match (spec.show.is_some(), spec.store.is_some()) {
            (true, true) => 0o644,
            (true, false) => 0o444,
            (false, _) => 0o200,
        };
        Arc::new_cyclic(|myself| Self {
            node: fs.node(FileType::Regular, mode).owned(owner.0, owner.1),
            spec,
            group: Arc::downgrade(group),
            myself: Weak::clone(myself),
            version: AtomicU64::new(1),
            waiting: WaitQueue::new(),
        })
    }

    /// Wakes those who poll for `POLLPRI`.
    pub(super) fn changed(&self) {
        self.version.fetch_add(1, Ordering::SeqCst);
        self.waiting.wake_all(!0);
    }

    /// The group. `ENODEV` once it is removed.
    fn group(&self) -> Result<Arc<Cgroup>> {
        let group = self.group.upgrade().ok_or(Errno::ENODEV)?;
        if group.removed.load(Ordering::Acquire) {
            return Err(Errno::ENODEV);
        }
        Ok(group)
    }
}

impl Inode for CgroupFile {
    node_inode!();

    fn attr(&self, _cx: &Cx) -> Result<Attr> {
        Ok(self.node.attr())
    }

    fn set_attr(&self, cx: &Cx, set: &SetAttr) -> Result<()> {
        self.node.set_attr(cx, set)
    }

    fn open(&self, _cx: &Cx, _flags: u32) -> Result<Arc<dyn FileOps>> {
        let file = self.myself.upgrade().ok_or(Errno::ENODEV)?;
        Ok(Arc::new(OpenCgroupFile {
            file,
            content: Mutex::default(),
            seen: AtomicU64::new(0),
        }))
    }
}

#[derive(Debug)]
struct OpenCgroupFile {
    file: Arc<CgroupFile>,
    content: Mutex<Option<String>>,
    /// The version that was read last.
    seen: AtomicU64,
}

impl FileOps for OpenCgroupFile {
    fn as_any(&self) -> &dyn Any {
        self
    }

    fn attr(&self, _cx: &Cx) -> Result<Attr> {
        Ok(self.file.node.attr())
    }

    fn read_at(&self, cx: &Cx, offset: u64, to: &mut dyn IoWrite) -> Result<usize> {
        let group = self.file.group()?;
        let show = self.file.spec.show.ok_or(Errno::EINVAL)?;
        let mut content = self.content.lock();
        if offset == 0 || content.is_none() {
            let version = self.file.version.load(Ordering::SeqCst);
            *content = Some(show(&group, cx)?);
            self.seen.store(version, Ordering::SeqCst);
        }
        let content = content.as_deref().unwrap_or_default();
        read_slice(content.as_bytes(), offset, to)
    }

    fn write_at(&self, cx: &Cx, _offset: u64, from: &mut dyn IoRead) -> Result<usize> {
        let store = self.file.spec.store.ok_or(Errno::EINVAL)?;
        let mut data = vec![0; from.remaining().min(4095)];
        let n = from.read_into(&mut data)?;
        let text = std::str::from_utf8(&data[..n]).map_err(|_| Errno::EINVAL)?;
        let group = self.file.group()?;
        store(&group, cx, text.trim())?;
        Ok(n)
    }

    fn truncate(&self, _cx: &Cx, _size: u64) -> Result<()> {
        Ok(())
    }

    fn pollable(&self) -> bool {
        true
    }

    fn poll(&self, _cx: &Cx, table: Option<&mut PollTable>) -> Events {
        if let Some(table) = table {
            table.add(&self.file.waiting);
        }
        let always = Events::READABLE | Events::WRITABLE;
        if self.file.version.load(Ordering::SeqCst) == self.seen.load(Ordering::SeqCst) {
            always
        } else {
            always | Events::PRI | Events::ERR
        }
    }
}
