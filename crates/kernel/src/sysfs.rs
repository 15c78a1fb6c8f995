//! `/sys`: processors, network interfaces, and the directories that programs look for: sysfs(5).

use crate::{
    kernel::Kernel,
    procfs::{DynDir, Entries, Listing, status::cpu_set, sysctl::nest},
};
use std::sync::{Arc, Weak};
use tuxlet_host::{
    cache::{Cache, caches},
    net::{Interface, interfaces},
};
use tuxlet_uapi::{
    errno::{Errno, Result},
    stat::SYSFS_MAGIC,
};
use tuxlet_vfs::{Cx, FileSystem, FileType, InodeRef, pseudo::PseudoFs};

/// `IFF_UP`.
const IFF_UP: u32 = 1;
/// `IFF_LOOPBACK`.
const IFF_LOOPBACK: u32 = 8;
/// `ARPHRD_ETHER`.
const ARPHRD_ETHER: u32 = 1;
/// `ARPHRD_LOOPBACK`.
const ARPHRD_LOOPBACK: u32 = 772;

/// Caches of this level and beyond are those of all processors.
///
/// DEVIATION: the host may share others, between the threads of a core or the cores of a cluster;
/// guests see neither of those.
const FIRST_SHARED_LEVEL: u32 = 3;

/// Directories without entries.
const EMPTY: &[&str] = &[
    "block",
    "bus",
    "class/block",
    "class/mem",
    "class/tty",
    "dev/block",
    "dev/char",
    "devices/virtual",
    "firmware",
    "fs/cgroup",
    "kernel/debug",
    "kernel/mm/hugepages",
    "kernel/security",
    "module",
    "power",
];

/// Files with one line that never changes.
const FIXED: &[(&str, &str)] = &[
    ("devices/system/node/has_cpu", "0"),
    ("devices/system/node/has_memory", "0"),
    ("devices/system/node/online", "0"),
    ("devices/system/node/possible", "0"),
    (
        "kernel/mm/transparent_hugepage/defrag",
        "always defer defer+madvise madvise [never]",
    ),
    (
        "kernel/mm/transparent_hugepage/enabled",
        "always madvise [never]",
    ),
    ("kernel/mm/transparent_hugepage/hpage_pmd_size", "2097152"),
    (
        "kernel/mm/transparent_hugepage/shmem_enabled",
        "always within_size advise [never] deny force",
    ),
];

/// A new sysfs for a kernel.
#[must_use]
pub fn new(kernel: &Arc<Kernel>) -> Arc<dyn FileSystem> {
    let now = kernel.clock.realtime_vfs();
    // Affinity masks have 64 bits.
    let processors = kernel.config.processors.min(64);
    PseudoFs::new("sysfs", SYSFS_MAGIC, now, false, |fs| {
        let (mask, online) = cpu_set(u64::MAX, processors);
        let mut leaves: Vec<(String, InodeRef)> = Vec::new();
        for path in EMPTY {
            leaves.push(((*path).to_owned(), fs.dir(0o555, Vec::new())));
        }
        let node = fs.node(FileType::Directory, 0o555);
        let net = NetClass(Arc::downgrade(fs));
        leaves.push(("class/net".into(), DynDir::inode(node, net)));
        for (path, value) in FIXED {
            leaves.push(((*path).to_owned(), line(fs, (*value).to_owned())));
        }
        for name in ["online", "possible", "present"] {
            let path = format!("devices/system/cpu/{name}");
            leaves.push((path, line(fs, online.clone())));
        }
        for (name, value) in [("offline", ""), ("kernel_max", "63")] {
            let path = format!("devices/system/cpu/{name}");
            leaves.push((path, line(fs, value.to_owned())));
        }
        let node0 = "devices/system/node/node0";
        leaves.push((format!("{node0}/cpulist"), line(fs, online.clone())));
        leaves.push((format!("{node0}/cpumap"), line(fs, mask.clone())));
        leaves.push((format!("{node0}/distance"), line(fs, "10".to_owned())));
        let caches = caches();
        for n in 0..processors {
            let topology = format!("devices/system/cpu/cpu{n}/topology");
            let own = cpu_set(1 << n, processors);
            for (name, value) in [
                ("core_id", n.to_string()),
                ("core_cpus", own.0.clone()),
                ("core_cpus_list", own.1.clone()),
                ("core_siblings", mask.clone()),
                ("package_cpus", mask.clone()),
                ("core_siblings_list", online.clone()),
                ("package_cpus_list", online.clone()),
                ("physical_package_id", "0".to_owned()),
                ("thread_siblings", own.0.clone()),
                ("thread_siblings_list", own.1.clone()),
            ] {
                leaves.push((format!("{topology}/{name}"), line(fs, value)));
            }
            for (index, cache) in caches.iter().enumerate() {
                let shared = if cache.level < FIRST_SHARED_LEVEL {
                    own.clone()
                } else {
                    (mask.clone(), online.clone())
                };
                let dir = format!("devices/system/cpu/cpu{n}/cache/index{index}");
                for (name, value) in cache_files(cache, shared) {
                    leaves.push((format!("{dir}/{name}"), line(fs, value)));
                }
            }
        }
        let borrowed = leaves
            .iter()
            .map(|(path, inode)| (path.as_str(), Arc::clone(inode)));
        nest(fs, borrowed.collect())
    })
}

/// The files of a cache, which the processors of a mask and a list share.
fn cache_files(cache: &Cache, shared: (String, String)) -> Vec<(&'static str, String)> {
    vec![
        ("coherency_line_size", cache.line.to_string()),
        ("level", cache.level.to_string()),
        ("number_of_sets", cache.sets.to_string()),
        ("shared_cpu_list", shared.1),
        ("shared_cpu_map", shared.0),
        ("size", format!("{}K", cache.size_kib)),
        ("type", cache.kind.clone()),
        ("ways_of_associativity", cache.ways.to_string()),
    ]
}

/// A file with one line.
fn line(fs: &PseudoFs, value: String) -> InodeRef {
    fs.file(0o444, move |_: &Cx| Ok(format!("{value}\n").into_bytes()))
}

/// `/sys/class/net`: the host's interfaces.
///
/// DEVIATION: directories, not links to `/sys/devices`; the devices behind them are the host's.
#[derive(Debug)]
struct NetClass(Weak<PseudoFs>);

impl Listing for NetClass {
    fn lookup(&self, _cx: &Cx, name: &[u8]) -> Result<InodeRef> {
        let fs = self.0.upgrade().ok_or(Errno::ENOENT)?;
        let mut all = interfaces().into_iter();
        let interface = all.find(|i| i.name.as_bytes() == name);
        let interface = interface.ok_or(Errno::ENOENT)?;
        let files: Vec<(&str, InodeRef)> = attributes(&interface)
            .into_iter()
            .map(|(name, value)| (name, line(&fs, value)))
            .collect();
        Ok(fs.dir(0o555, files))
    }

    fn list(&self, _cx: &Cx) -> Result<Entries> {
        // The numbers only have to differ; the directory is made anew at each look.
        Ok(interfaces()
            .into_iter()
            .map(|i| {
                let ino = u64::from(i.index) | 1 << 32;
                (i.name.into_bytes(), ino, FileType::Directory)
            })
            .collect())
    }
}

fn attributes(interface: &Interface) -> Vec<(&'static str, String)> {
    let hardware = if interface.hardware.is_empty() {
        "00:00:00:00:00:00".to_owned()
    } else {
        let bytes: Vec<String> = interface
            .hardware
            .iter()
            .map(|b| format!("{b:02x}"))
            .collect();
        bytes.join(":")
    };
    let loopback = interface.flags & IFF_LOOPBACK != 0;
    let state = match (loopback, interface.flags & IFF_UP != 0) {
        (true, _) => "unknown",
        (false, true) => "up",
        (false, false) => "down",
    };
    let kind = if loopback {
        ARPHRD_LOOPBACK
    } else {
        ARPHRD_ETHER
    };
    vec![
        ("address", hardware),
        ("flags", format!("{:#x}", interface.flags)),
        ("ifindex", interface.index.to_string()),
        ("mtu", interface.mtu.to_string()),
        ("operstate", state.to_owned()),
        ("type", kind.to_string()),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// PyPy's garbage collector sizes its nursery by these, and warns where they are missing.
    #[test]
    fn a_cache_has_the_files_that_linux_gives_it() {
        let cache = Cache {
            level: 2,
            kind: "Unified".into(),
            size_kib: 1024,
            line: 64,
            sets: 2048,
            ways: 8,
        };
        let files = cache_files(&cache, ("3".into(), "0-1".into()));
        let value = |name| files.iter().find(|f| f.0 == name).map(|f| f.1.as_str());
        assert_eq!(value("size"), Some("1024K"));
        assert_eq!(value("level"), Some("2"));
        assert_eq!(value("type"), Some("Unified"));
        assert_eq!(value("shared_cpu_list"), Some("0-1"));
        let names: Vec<_> = files.iter().map(|f| f.0).collect();
        assert!(names.is_sorted(), "{names:?}");
    }
}
