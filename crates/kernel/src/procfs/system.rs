//! The files of `/proc` that are about the whole machine.

use super::{Shared, fd::lock_lines, sysvipc};
use crate::{
    arch::hwcap, clock::NSEC_PER_SEC, fd::FdTable, ipc::Ipc, kernel::Kernel, ns::NsProxy,
    task::RunState,
};
use std::{collections::BTreeMap, sync::Arc, time::Instant};
use tuxlet_uapi::{
    auxv::{HWCAP, HWCAP2},
    errno::Result,
};
use tuxlet_vfs::{
    Cx, InodeRef, Link,
    locks::{FileLocks, LockOwner},
    pseudo::PseudoFs,
};

/// Makes a file's content.
type Make = fn(&Shared, &Kernel) -> Result<String>;

/// Makes a file's content for a reader in some namespaces.
type MakeFor = fn(&Kernel, &NsProxy) -> Result<String>;

/// Files that anyone may read.
const FILES: &[(&str, Make)] = &[
    ("cgroups", cgroups),
    ("cmdline", |_, _| Ok("\n".into())),
    ("consoles", |_, _| Ok(String::new())),
    ("cpuinfo", cpuinfo),
    ("devices", devices),
    ("diskstats", |_, _| Ok(String::new())),
    ("filesystems", filesystems),
    ("interrupts", interrupts),
    ("iomem", |_, _| Ok(String::new())),
    ("ioports", |_, _| Ok(String::new())),
    ("loadavg", loadavg),
    ("locks", locks),
    ("meminfo", meminfo),
    ("misc", |_, _| Ok(String::new())),
    ("modules", |_, _| Ok(String::new())),
    ("partitions", |_, _| {
        Ok("major minor  #blocks  name\n\n".into())
    }),
    ("swaps", |_, _| {
        Ok("Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n".into())
    }),
    ("version", version),
    ("vmstat", vmstat),
];

/// The controllers with the numbers of their hierarchies (0: version 2) and of groups.
fn cgroups(_: &Shared, kernel: &Kernel) -> Result<String> {
    let groups = kernel.cgroups.count();
    let mut text = String::from("#subsys_name\thierarchy\tnum_cgroups\tenabled\n");
    for name in ["cpu", "memory", "pids"] {
        text.push_str(&format!("{name}\t0\t{groups}\t1\n"));
    }
    Ok(text)
}

/// All entries of the top directory but processes and `sys`.
pub(super) fn entries(fs: &Arc<PseudoFs>, shared: &Arc<Shared>) -> Vec<(&'static str, InodeRef)> {
    let mut all: Vec<(&'static str, InodeRef)> = Vec::new();
    for (name, make) in FILES {
        let shared = Arc::clone(shared);
        let file = fs.file(0o444, move |_| {
            let kernel = shared.kernel()?;
            make(&shared, &kernel).map(String::into_bytes)
        });
        all.push((name, file));
    }
    // Times depend on the reader's clocks.
    for (name, make) in [("stat", stat as MakeFor), ("uptime", uptime)] {
        let shared = Arc::clone(shared);
        let file = fs.file(0o444, move |cx| {
            let kernel = shared.kernel()?;
            let ns = kernel.namespaces_of(cx);
            make(&kernel, &ns).map(String::into_bytes)
        });
        all.push((name, file));
    }
    for (name, target) in [("mounts", "self/mounts"), ("net", "self/net")] {
        let link = fs.symlink(move |_| Ok(Link::Path(target.as_bytes().to_vec())));
        all.push((name, link));
    }
    let table = |make: fn(&Kernel, &Ipc, &Cx) -> String| {
        let shared = Arc::clone(shared);
        fs.file(0o444, move |cx| {
            let kernel = shared.kernel()?;
            let ns = kernel.namespaces_of(cx);
            Ok(make(&kernel, &ns.ipc.objects, cx).into_bytes())
        })
    };
    let tables = vec![
        ("msg", table(sysvipc::msg)),
        ("sem", table(sysvipc::sem)),
        ("shm", table(sysvipc::shm)),
    ];
    all.push(("sysvipc", fs.dir(0o555, tables)));
    let drivers = fs.file(0o444, |_: &Cx| Ok(TTY_DRIVERS.as_bytes().to_vec()));
    all.push(("tty", fs.dir(0o555, vec![("drivers", drivers)])));
    all
}

const TTY_DRIVERS: &str = "\
/dev/tty             /dev/tty        5       0 system:/dev/tty
/dev/console         /dev/console    5       1 system:console
/dev/ptmx            /dev/ptmx       5       2 system
pty_slave            /dev/pts      136 0-1048575 pty:slave
pty_master           /dev/ptm      128 0-1048575 pty:master
";

fn cpuinfo(_: &Shared, kernel: &Kernel) -> Result<String> {
    let names = |table: &[(&str, u64)], bits: u64, prefix: &str| -> String {
        table
            .iter()
            .filter(|(_, bit)| bits & bit != 0)
            .map(|(name, _)| {
                let name = name.strip_prefix(prefix).unwrap_or(name);
                format!("{} ", name.to_ascii_lowercase())
            })
            .collect()
    };
    let features =
        names(HWCAP, hwcap::hwcap(), "HWCAP_") + &names(HWCAP2, hwcap::hwcap2(), "HWCAP2_");
    let features = features.trim_end();
    // Twice the frequency of the counter, 1 GHz, as arm64 computes it; then MIDR_EL1 in parts.
    Ok((0..kernel.config.processors)
        .map(|n| {
            format!(
                "processor\t: {n}\nBogoMIPS\t: 2000.00\nFeatures\t: {features}\n\
                 CPU implementer\t: 0x00\nCPU architecture: 8\nCPU variant\t: 0x0\n\
                 CPU part\t: 0x054\nCPU revision\t: 0\n\n"
            )
        })
        .collect())
}

fn devices(_: &Shared, _: &Kernel) -> Result<String> {
    Ok("Character devices:\n  1 mem\n  4 /dev/vc/0\n  5 /dev/tty\n  5 /dev/console\n  5 /dev/ptmx\n\
        128 ptm\n136 pts\n\nBlock devices:\n"
        .into())
}

fn filesystems(_: &Shared, _: &Kernel) -> Result<String> {
    Ok([
        "sysfs", "tmpfs", "proc", "cgroup2", "devpts", "mqueue", "overlay",
    ]
    .map(|name| format!("nodev\t{name}\n"))
    .concat())
}

/// All file locks: those of the files that some process has open, since without one no lock lives.
fn locks(_: &Shared, kernel: &Kernel) -> Result<String> {
    let processes: Vec<(u32, Arc<FdTable>)> = {
        let tree = kernel.tree.lock();
        let threads = tree
            .groups()
            .filter_map(|(id, node)| Some((id, Arc::clone(node.threads.first()?))));
        let threads: Vec<_> = threads.collect();
        drop(tree);
        threads
            .into_iter()
            .filter_map(|(id, task)| Some((id, task.resources()?.fds)))
            .collect()
    };
    let mut files = BTreeMap::new();
    let mut holders = BTreeMap::new();
    for (id, fds) in processes {
        for (_, file, _) in fds.snapshot() {
            let Some(inode) = file.inode() else { continue };
            if let Some(found) = FileLocks::existing(inode.anchor()) {
                holders.entry(file.id()).or_insert(id);
                files.entry(inode.id()).or_insert(found);
            }
        }
    }
    let mut lines = Vec::new();
    for (id, found) in files {
        // A description's locks are shown with the process that has it open.
        let (_, whole) = found.list();
        lines.extend(lock_lines(id, &found, 0, |owner| {
            !whole
                .iter()
                .any(|(file, _)| *owner == LockOwner::Description(*file))
        }));
        for (file, _) in whole {
            let holder = holders.get(&file).copied().unwrap_or_default();
            let only = |owner: &LockOwner| *owner == LockOwner::Description(file);
            lines.extend(lock_lines(id, &found, holder, only));
        }
    }
    let numbered = lines.iter().enumerate();
    Ok(numbered.map(|(i, l)| format!("{}: {l}\n", i + 1)).collect())
}

fn interrupts(_: &Shared, kernel: &Kernel) -> Result<String> {
    let columns: String = (0..kernel.config.processors)
        .map(|n| format!("{:<11}", format!("CPU{n}")))
        .collect();
    Ok(format!("           {}\n", columns.trim_end()))
}

/// Load averages, brought forward at each look. Nobody samples in between, so a look counts for the whole time
/// since the one before.
#[derive(Debug, Default)]
pub(super) struct Load {
    last: Option<Instant>,
    averages: [f64; 3],
}

impl Load {
    fn update(&mut self, now: Instant, runnable: f64) -> [f64; 3] {
        let elapsed = self.last.map_or(0.0, |l| (now - l).as_secs_f64());
        for (average, period) in self.averages.iter_mut().zip([60.0, 300.0, 900.0]) {
            let keep = (-elapsed / period).exp();
            *average = *average * keep + runnable * (1.0 - keep);
        }
        self.last = Some(now);
        self.averages
    }
}

/// Running and all live tasks.
fn task_counts(kernel: &Kernel) -> (usize, usize) {
    let tree = kernel.tree.lock();
    let (mut running, mut all) = (0, 0);
    for (_, node) in tree.groups() {
        all += node.threads.len();
        let now = node.threads.iter();
        running += now.filter(|t| t.run_state() == RunState::Running).count();
    }
    (running, all)
}

fn loadavg(shared: &Shared, kernel: &Kernel) -> Result<String> {
    let (running, all) = task_counts(kernel);
    // The reader itself does not count.
    let others = running.saturating_sub(1) as f64;
    let [one, five, fifteen] = shared.load.lock().update(Instant::now(), others);
    let last = kernel.tree.lock().last_pid();
    Ok(format!(
        "{one:.2} {five:.2} {fifteen:.2} {running}/{all} {last}\n"
    ))
}

fn meminfo(_: &Shared, kernel: &Kernel) -> Result<String> {
    let total = kernel.budget.limit_pages() as u64 * 4;
    let free = total.saturating_sub(kernel.budget.used_pages() as u64 * 4);
    let (anon, shmem, file) = {
        let tasks: Vec<_> = {
            let tree = kernel.tree.lock();
            tree.groups()
                .filter_map(|(_, n)| n.threads.first().cloned())
                .collect()
        };
        let mut sums = (0, 0, 0);
        for usage in tasks
            .iter()
            .filter_map(|t| t.resources())
            .map(|r| r.mm.space.usage())
        {
            sums.0 += usage.rss_anon * 4;
            sums.1 += usage.rss_shmem * 4;
            sums.2 += usage.rss_file * 4;
        }
        sums
    };
    let used = total - free;
    let cached = used.saturating_sub(anon);
    let rows = [
        ("MemTotal", total),
        ("MemFree", free),
        ("MemAvailable", free + file.min(cached)),
        ("Buffers", 0),
        ("Cached", cached),
        ("SwapCached", 0),
        ("Active", used),
        ("Inactive", 0),
        ("Active(anon)", anon),
        ("Inactive(anon)", 0),
        ("Active(file)", cached),
        ("Inactive(file)", 0),
        ("Unevictable", 0),
        ("Mlocked", 0),
        ("SwapTotal", 0),
        ("SwapFree", 0),
        ("Dirty", 0),
        ("Writeback", 0),
        ("AnonPages", anon),
        ("Mapped", file + shmem),
        ("Shmem", shmem),
        ("KReclaimable", 0),
        ("Slab", 0),
        ("SReclaimable", 0),
        ("SUnreclaim", 0),
        ("KernelStack", 0),
        ("PageTables", 0),
        ("CommitLimit", total),
        ("Committed_AS", used),
        ("VmallocTotal", 0),
        ("VmallocUsed", 0),
        ("VmallocChunk", 0),
    ];
    let mut text: String = rows
        .iter()
        .map(|(name, kib)| format!("{:<15} {kib:>8} kB\n", format!("{name}:")))
        .collect();
    text += "HugePages_Total:       0\nHugePages_Free:        0\nHugePages_Rsvd:        0\n\
             HugePages_Surp:        0\nHugepagesize:       2048 kB\n";
    Ok(text)
}

/// Time that the machine's processes have used, and time since the start, in nanoseconds.
fn busy_and_up(kernel: &Kernel) -> (u64, u64) {
    let tree = kernel.tree.lock();
    let busy = tree.groups().fold(0, |sum, (_, node)| {
        let (user, system) = crate::task::usage::node_times(node);
        let children = &node.group.child_times;
        sum + user + system + children.user_ns() + children.system_ns()
    });
    drop(tree);
    (busy, kernel.clock.boottime_ns())
}

fn stat(kernel: &Kernel, ns: &NsProxy) -> Result<String> {
    let (busy, up) = busy_and_up(kernel);
    let processors = kernel.config.processors as u64;
    let tick = super::status::NS_PER_TICK;
    let idle = (up * processors).saturating_sub(busy);
    let cpu = |name: &str, busy: u64, idle: u64| {
        format!("{name} {} 0 0 {} 0 0 0 0 0 0\n", busy / tick, idle / tick)
    };
    let mut text = cpu("cpu ", busy, idle);
    for n in 0..processors {
        // Which processor it was is the host's secret.
        text += &cpu(&format!("cpu{n}"), busy / processors, idle / processors);
    }
    let (running, _) = task_counts(kernel);
    let up = ns.time.shown_boottime(up);
    let boot = kernel.clock.realtime_ns() - up.cast_signed();
    let boot = boot.div_euclid(NSEC_PER_SEC.cast_signed());
    let forks = kernel.tree.lock().last_pid();
    text += &format!(
        "intr 0\nctxt 0\nbtime {boot}\nprocesses {forks}\nprocs_running {running}\n\
         procs_blocked 0\nsoftirq 0 0 0 0 0 0 0 0 0 0 0\n"
    );
    Ok(text)
}

fn uptime(kernel: &Kernel, ns: &NsProxy) -> Result<String> {
    let (busy, up) = busy_and_up(kernel);
    let idle = (up * kernel.config.processors as u64).saturating_sub(busy);
    let show = |ns: u64| format!("{}.{:02}", ns / NSEC_PER_SEC, ns / 10_000_000 % 100);
    let up = ns.time.shown_boottime(up);
    Ok(format!("{} {}\n", show(up), show(idle)))
}

fn version(_: &Shared, kernel: &Kernel) -> Result<String> {
    let release = &kernel.config.release;
    Ok(format!("Linux version {release} (tuxlet) #1 SMP Tuxlet\n"))
}

fn vmstat(_: &Shared, kernel: &Kernel) -> Result<String> {
    let limit = kernel.budget.limit_pages();
    let used = kernel.budget.used_pages();
    Ok(format!(
        "nr_free_pages {}\npgpgin 0\npgpgout 0\npswpin 0\npswpout 0\n",
        limit.saturating_sub(used)
    ))
}

#[cfg(test)]
mod tests {
    use super::Load;
    use std::time::{Duration, Instant};

    #[test]
    fn load_approaches_the_number_of_runnable_tasks() {
        let mut load = Load::default();
        let start = Instant::now();
        assert_eq!(load.update(start, 2.0), [0.0; 3]);
        let [one, five, fifteen] = load.update(start + Duration::from_secs(60), 2.0);
        assert!(one > 1.2 && one < 1.3);
        assert!(five < one && fifteen < five && fifteen > 0.0);
    }
}
