//! `/proc/sys`: sysctl(8). What can be written takes effect; the rest is read-only.

use super::{PID_MAX, Shared};
use crate::kernel::{Kernel, UtsNames};
use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
};
use tuxlet_uapi::{
    errno::{Errno, Result},
    utsname::UTS_LEN,
};
use tuxlet_vfs::{
    Cx, FileType, InodeRef,
    pseudo::{GeneratedFile, PseudoFs},
};

/// Computes a value.
type Make = fn(&Shared, &Kernel) -> String;

enum Value {
    /// Always the same.
    Fixed(&'static str),
    Computed(Make),
    /// A number that takes effect when it is written, up to a highest one.
    Setting(fn(&Kernel) -> &AtomicU32, u32),
    /// One of the names of the caller's UTS namespace.
    Name(fn(&mut UtsNames) -> &mut Vec<u8>),
}

use Value::{Computed, Fixed, Name, Setting};

/// Names below `/proc/sys` and their values.
const VALUES: &[(&str, Value)] = &[
    ("fs/aio-max-nr", Fixed("65536")),
    ("fs/aio-nr", Computed(|_, k| k.aio_total.get().to_string())),
    ("fs/epoll/max_user_watches", Fixed("1048576")),
    ("fs/file-max", Fixed("9223372036854775807")),
    ("fs/file-nr", Computed(file_nr)),
    ("fs/inotify/max_queued_events", Fixed("16384")),
    ("fs/inotify/max_user_instances", Fixed("1024")),
    ("fs/inotify/max_user_watches", Fixed("1048576")),
    ("fs/mqueue/msg_default", Fixed("10")),
    ("fs/mqueue/msg_max", Fixed("10")),
    ("fs/mqueue/msgsize_default", Fixed("8192")),
    ("fs/mqueue/msgsize_max", Fixed("8192")),
    ("fs/mqueue/queues_max", Fixed("256")),
    ("fs/nr_open", Fixed("1048576")),
    ("fs/overflowgid", Fixed("65534")),
    ("fs/overflowuid", Fixed("65534")),
    ("fs/pipe-max-size", Fixed("1048576")),
    ("fs/protected_fifos", Fixed("0")),
    ("fs/protected_hardlinks", Fixed("1")),
    ("fs/protected_regular", Fixed("0")),
    ("fs/protected_symlinks", Fixed("1")),
    ("fs/suid_dumpable", Fixed("0")),
    ("kernel/arch", Fixed("aarch64")),
    ("kernel/cap_last_cap", Fixed("40")),
    ("kernel/core_pattern", Fixed("core")),
    ("kernel/domainname", Name(|names| &mut names.domainname)),
    ("kernel/hostname", Name(|names| &mut names.hostname)),
    (
        "kernel/io_uring_disabled",
        Setting(|k| &k.io_uring_disabled, 2),
    ),
    ("kernel/io_uring_group", Fixed("-1")),
    ("kernel/kptr_restrict", Fixed("0")),
    ("kernel/msgmax", Fixed("8192")),
    ("kernel/msgmnb", Fixed("16384")),
    ("kernel/msgmni", Fixed("32000")),
    ("kernel/ngroups_max", Fixed("65536")),
    (
        "kernel/osrelease",
        Computed(|_, k| k.config.release.clone()),
    ),
    ("kernel/ostype", Fixed("Linux")),
    ("kernel/overflowgid", Fixed("65534")),
    ("kernel/overflowuid", Fixed("65534")),
    ("kernel/perf_event_paranoid", Fixed("4")),
    ("kernel/pid_max", Computed(|_, _| PID_MAX.to_string())),
    ("kernel/printk", Fixed("4\t4\t1\t7")),
    (
        "kernel/pty/max",
        Computed(|_, _| crate::tty::PTY_MAX.to_string()),
    ),
    (
        "kernel/pty/nr",
        Computed(|_, k| k.terminals.count().to_string()),
    ),
    ("kernel/random/boot_id", Computed(|s, _| s.boot_id.clone())),
    ("kernel/random/entropy_avail", Fixed("256")),
    ("kernel/random/poolsize", Fixed("256")),
    ("kernel/random/uuid", Computed(|_, _| uuid())),
    ("kernel/randomize_va_space", Fixed("2")),
    ("kernel/sched_autogroup_enabled", Fixed("0")),
    ("kernel/sched_child_runs_first", Fixed("0")),
    ("kernel/sched_rr_timeslice_ms", Fixed("100")),
    ("kernel/sched_rt_period_us", Fixed("1000000")),
    ("kernel/sched_rt_runtime_us", Fixed("950000")),
    ("kernel/sem", Fixed("32000\t1024000000\t500\t32000")),
    ("kernel/shmall", Fixed("18446744073692774399")),
    ("kernel/shmmax", Fixed("18446744073692774399")),
    ("kernel/shmmni", Fixed("4096")),
    ("kernel/tainted", Fixed("0")),
    (
        "kernel/threads-max",
        Computed(|_, k| k.config.max_tasks.to_string()),
    ),
    ("kernel/version", Fixed("#1 SMP Tuxlet")),
    ("kernel/yama/ptrace_scope", Fixed("0")),
    ("net/core/rmem_default", Fixed("212992")),
    ("net/core/rmem_max", Fixed("212992")),
    ("net/core/somaxconn", Fixed("4096")),
    ("net/core/wmem_default", Fixed("212992")),
    ("net/core/wmem_max", Fixed("212992")),
    ("net/ipv4/ip_forward", Fixed("0")),
    ("net/ipv4/ip_local_port_range", Fixed("32768\t60999")),
    ("net/ipv4/ping_group_range", Fixed("0\t2147483647")),
    ("net/ipv4/tcp_fin_timeout", Fixed("60")),
    ("net/ipv4/tcp_keepalive_intvl", Fixed("75")),
    ("net/ipv4/tcp_keepalive_probes", Fixed("9")),
    ("net/ipv4/tcp_keepalive_time", Fixed("7200")),
    ("net/ipv4/tcp_rmem", Fixed("4096\t131072\t6291456")),
    ("net/ipv4/tcp_wmem", Fixed("4096\t16384\t4194304")),
    ("net/ipv6/conf/all/disable_ipv6", Fixed("0")),
    ("net/ipv6/conf/all/forwarding", Fixed("0")),
    ("net/ipv6/conf/default/disable_ipv6", Fixed("0")),
    ("net/unix/max_dgram_qlen", Fixed("512")),
    ("vm/max_map_count", Fixed("65530")),
    ("vm/mmap_min_addr", Fixed("65536")),
    ("vm/nr_hugepages", Fixed("0")),
    ("vm/overcommit_memory", Fixed("1")),
    ("vm/overcommit_ratio", Fixed("50")),
    ("vm/swappiness", Fixed("60")),
];

/// A random UUID of version 4; of zeros if the host has no entropy.
pub(super) fn uuid() -> String {
    let mut b = [0; 16];
    let _ = tuxlet_host::entropy::fill(&mut b);
    b[6] = b[6] & 0x0f | 0x40;
    b[8] = b[8] & 0x3f | 0x80;
    let hex: String = b.iter().map(|byte| format!("{byte:02x}")).collect();
    [
        &hex[..8],
        &hex[8..12],
        &hex[12..16],
        &hex[16..20],
        &hex[20..],
    ]
    .join("-")
}

fn uts_name(data: &[u8]) -> Result<Vec<u8>> {
    let end = data
        .iter()
        .position(|b| *b == b'\n' || *b == 0)
        .unwrap_or(data.len());
    if end > UTS_LEN {
        return Err(Errno::EINVAL);
    }
    Ok(data[..end].to_vec())
}

/// Open descriptors; those shared between processes count for each.
fn file_nr(_: &Shared, kernel: &Kernel) -> String {
    let tasks: Vec<_> = {
        let tree = kernel.tree.lock();
        tree.groups()
            .filter_map(|(_, n)| n.threads.first().cloned())
            .collect()
    };
    let open: usize = tasks
        .iter()
        .filter_map(|t| t.resources())
        .map(|r| r.fds.snapshot().len())
        .sum();
    format!("{open}\t0\t9223372036854775807")
}

/// The directory.
pub(super) fn root(fs: &Arc<PseudoFs>, shared: &Arc<Shared>) -> InodeRef {
    let leaves = VALUES
        .iter()
        .map(|(path, value)| (*path, leaf(fs, shared, value)))
        .collect();
    nest(fs, leaves)
}

fn line(mut value: String) -> Vec<u8> {
    value.push('\n');
    value.into_bytes()
}

fn leaf(fs: &Arc<PseudoFs>, shared: &Arc<Shared>, value: &'static Value) -> InodeRef {
    let shared = Arc::clone(shared);
    match value {
        Fixed(text) => fs.file(0o444, |_| Ok(line((*text).to_owned()))),
        Name(which) => {
            let writer = Arc::clone(&shared);
            let node = fs.node(FileType::Regular, 0o644);
            GeneratedFile::writable(
                node,
                move |cx: &Cx| {
                    let ns = shared.kernel()?.namespaces_of(cx);
                    let mut names = ns.uts.names.read().clone();
                    let mut name = std::mem::take(which(&mut names));
                    name.push(b'\n');
                    Ok(name)
                },
                move |cx: &Cx, data: &[u8]| {
                    let ns = writer.kernel()?.namespaces_of(cx);
                    *which(&mut ns.uts.names.write()) = uts_name(data)?;
                    Ok(())
                },
            )
        }
        Setting(which, max) => {
            let (which, max) = (*which, *max);
            let writer = Arc::clone(&shared);
            GeneratedFile::writable(
                fs.node(FileType::Regular, 0o644),
                move |_| {
                    let value = which(&*shared.kernel()?).load(Ordering::Relaxed);
                    Ok(line(value.to_string()))
                },
                move |_, data: &[u8]| {
                    let text = std::str::from_utf8(data).map_err(|_| Errno::EINVAL)?;
                    let value = text.trim().parse().ok().filter(|v| *v <= max);
                    let value = value.ok_or(Errno::EINVAL)?;
                    which(&*writer.kernel()?).store(value, Ordering::Relaxed);
                    Ok(())
                },
            )
        }
        Computed(make) => fs.file(0o444, move |_| Ok(line(make(&shared, &*shared.kernel()?)))),
    }
}

/// Directories out of paths.
pub(crate) fn nest(fs: &Arc<PseudoFs>, leaves: Vec<(&str, InodeRef)>) -> InodeRef {
    let mut files = Vec::new();
    let mut dirs: BTreeMap<&str, Vec<(&str, InodeRef)>> = BTreeMap::new();
    for (path, inode) in leaves {
        match path.split_once('/') {
            Some((dir, rest)) => dirs.entry(dir).or_default().push((rest, inode)),
            None => files.push((path, inode)),
        }
    }
    let dirs = dirs
        .into_iter()
        .map(|(name, inner)| (name, nest(fs, inner)));
    files.extend(dirs);
    fs.dir(0o555, files)
}

#[cfg(test)]
mod tests {
    #[test]
    fn uuids_are_random_and_well_formed() {
        let one = super::uuid();
        assert_eq!(one.len(), 36);
        assert_eq!(one.as_bytes()[14], b'4');
        assert_ne!(one, super::uuid());
    }
}
