//! The memory controller: what [`MemGroup`] counts, and who dies when a group's limit is reached.

use super::Cgroup;
use crate::{
    kernel::Kernel,
    task::{CurrentTask, ThreadGroup, WaitStatus},
};
use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU64, Ordering},
};
use tuxlet_mem::{FrameKind, MemGroup, PAGE_SIZE};
use tuxlet_uapi::{
    errno::{Errno, Result},
    signal::Signal,
};

/// What happened in a group, and in all below it too.
#[derive(Debug, Default)]
struct Count {
    own: AtomicU64,
    tree: AtomicU64,
}

/// The controller's part of a group.
#[derive(Debug)]
pub(super) struct Memory {
    /// `None` for the root, which nothing limits.
    group: Option<Arc<MemGroup>>,
    /// `memory.oom.group`.
    pub(super) oom_group: AtomicBool,
    oom: Count,
    oom_kill: Count,
    oom_group_kill: Count,
}

impl Memory {
    pub(super) fn new(parent: Option<&Self>) -> Self {
        Self {
            group: parent.map(|p| MemGroup::new(p.group.as_ref())),
            oom_group: AtomicBool::new(false),
            oom: Count::default(),
            oom_kill: Count::default(),
            oom_group_kill: Count::default(),
        }
    }

    pub(super) fn group(&self) -> Option<&Arc<MemGroup>> {
        self.group.as_ref()
    }

    /// No limits any more.
    pub(super) fn reset(&self) {
        if let Some(group) = &self.group {
            group.set_limit_pages(usize::MAX);
            group.set_high_pages(usize::MAX);
        }
        self.oom_group.store(false, Ordering::Relaxed);
    }
}

/// A number of pages as the files show it, in bytes.
pub(super) fn show_pages(pages: usize) -> String {
    if pages == usize::MAX {
        "max\n".into()
    } else {
        format!("{}\n", pages as u64 * PAGE_SIZE)
    }
}

/// A limit in pages: `max`, or bytes, perhaps with a suffix.
pub(super) fn parse_pages(text: &str) -> Result<usize> {
    if text == "max" {
        return Ok(usize::MAX);
    }
    let bytes = parse_bytes(text)?;
    Ok(usize::try_from(bytes / PAGE_SIZE).unwrap_or(usize::MAX))
}

fn parse_bytes(text: &str) -> Result<u64> {
    let shift = match text.bytes().last().map(|b| b.to_ascii_lowercase()) {
        Some(b'k') => 10,
        Some(b'm') => 20,
        Some(b'g') => 30,
        Some(b't') => 40,
        _ => 0,
    };
    let digits = if shift == 0 {
        text
    } else {
        &text[..text.len() - 1]
    };
    let number: u64 = digits.parse().map_err(|_| Errno::EINVAL)?;
    Ok(number.saturating_mul(1 << shift))
}

impl Cgroup {
    /// The controller's counters. `ENODEV` for the root, which has none.
    pub(super) fn mem_group(&self) -> Result<&Arc<MemGroup>> {
        self.memory.group().ok_or(Errno::ENODEV)
    }

    pub(super) fn set_memory_max(self: &Arc<Self>, text: &str) -> Result<()> {
        let kernel = self.kernel()?;
        let group = self.mem_group()?;
        let max = parse_pages(text)?;
        group.set_limit_pages(max);
        while group.used_pages() > max {
            if kernel.budget.reclaim_from(group, group.used_pages() - max) == 0 {
                // DEVIATION: one process dies at once, others when they want more; Linux waits until the rest fits.
                self.out_of_memory(&kernel);
                break;
            }
        }
        Ok(())
    }

    /// `memory.reclaim`: `EAGAIN` if less than the bytes asked for could be dropped.
    pub(super) fn reclaim_memory(&self, text: &str) -> Result<()> {
        let wanted = parse_bytes(text)?.div_ceil(PAGE_SIZE) as usize;
        let kernel = self.kernel()?;
        if kernel.budget.reclaim_from(self.mem_group()?, wanted) < wanted {
            return Err(Errno::EAGAIN);
        }
        Ok(())
    }

    pub(super) fn memory_stat(&self) -> Result<String> {
        let group = self.mem_group()?;
        let bytes = |kind| group.used_for(kind) as u64 * PAGE_SIZE;
        let (shmem, tables) = (bytes(FrameKind::Shmem), bytes(FrameKind::Tables));
        Ok(format!(
            "anon {}\nfile {}\nkernel {tables}\npagetables {tables}\nshmem {shmem}\n",
            bytes(FrameKind::Anon),
            bytes(FrameKind::File) + shmem,
        ))
    }

    /// `memory.events`, of the group alone or with all below.
    pub(super) fn memory_events(&self, below: bool) -> Result<String> {
        let of = |count: &Count| {
            let value = if below { &count.tree } else { &count.own };
            value.load(Ordering::Relaxed)
        };
        let (max, high) = self.mem_group()?.hits(below);
        let m = &self.memory;
        Ok(format!(
            "low 0\nhigh {high}\nmax {max}\noom {}\noom_kill {}\noom_group_kill {}\n",
            of(&m.oom),
            of(&m.oom_kill),
            of(&m.oom_group_kill),
        ))
    }

    fn count(self: &Arc<Self>, which: impl Fn(&Memory) -> &Count) {
        which(&self.memory).own.fetch_add(1, Ordering::Relaxed);
        self.changed("memory.events.local");
        for group in self.up().filter(|g| !g.is_root()) {
            which(&group.memory).tree.fetch_add(1, Ordering::Relaxed);
            group.changed("memory.events");
        }
    }

    /// Kills the largest process of the group, or all of a group that wants to die as one; the process that was chosen.
    fn out_of_memory(self: &Arc<Self>, kernel: &Kernel) -> Option<Arc<ThreadGroup>> {
        let _one_by_one = kernel.oom.lock();
        // One that is about to die gives memory back: nobody else has to.
        let mut tasks = self.tasks_of(kernel, true).into_iter();
        if let Some(dying) = tasks.find(|t| t.group().signals.lock().group_exit.is_some()) {
            return Some(Arc::clone(dying.group()));
        }
        self.count(|m| &m.oom);
        let limit = self.mem_group().map_or(usize::MAX, |g| g.limit_pages());
        let total = kernel.budget.limit_pages().min(limit);
        let victim = kernel.oom_victim(total as u64, |task| task.cgroup().is_within(self))?;
        let member = kernel.threads_of(victim.tgid()).first()?.cgroup();
        member.count(|m| &m.oom_kill);
        kernel.log.info(
            kernel.clock.boottime_ns(),
            &format!(
                "Memory cgroup out of memory: Killed process {}",
                victim.tgid()
            ),
        );
        let as_one = |g: &&Arc<Self>| g.memory.oom_group.load(Ordering::Relaxed);
        let within = member.up().take_while(|g| g.is_within(self));
        let whole = within.filter(as_one).last();
        let mut doomed = vec![Arc::clone(&victim)];
        if let Some(whole) = whole {
            whole.count(|m| &m.oom_group_kill);
            let all = whole.tasks_of(kernel, true);
            let others = all.iter().map(|t| Arc::clone(t.group()));
            doomed.extend(others.filter(|g| g.oom_score_adj.load(Ordering::Relaxed) > -1000));
        }
        for group in doomed {
            kernel.kill_group(&group, WaitStatus::Signaled(Signal::SIGKILL, false));
        }
        Some(victim)
    }
}

impl CurrentTask {
    /// The group of the task, or above, whose limit refused a page, and the process that dies for it.
    pub(crate) fn group_out_of_memory(&self) -> Option<Arc<ThreadGroup>> {
        let refused = MemGroup::take_refusal()?;
        let own = self.task.cgroup();
        let owns = |g: &&Arc<Cgroup>| g.memory.group().is_some_and(|m| Arc::ptr_eq(m, &refused));
        let group = own.up().find(owns)?;
        group.out_of_memory(&self.kernel)
    }

    /// After a system call of a task in a group: limits that were hit are known to those who watch, and kill.
    pub(crate) fn settle_memory(&self) {
        for group in self.task.cgroup().up() {
            if group.memory.group().is_some_and(|m| m.take_news()) {
                group.changed("memory.events");
                group.changed("memory.events.local");
            }
        }
        self.group_out_of_memory();
    }
}
