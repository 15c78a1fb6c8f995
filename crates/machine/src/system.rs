//! The file systems that every machine has beside its root.

use std::sync::Arc;
use tuxlet_kernel::Kernel;
use tuxlet_tmpfs::Tmpfs;
use tuxlet_vfs::{Cx, FileSystem, MountFlags};

/// Where to mount what, parents first. `/dev` is filled once it is mounted.
pub(crate) fn mounts(
    kernel: &Arc<Kernel>,
    cx: &Cx,
) -> Vec<(&'static str, Arc<dyn FileSystem>, MountFlags)> {
    let plain = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::RELATIME;
    let dev = tuxlet_tmpfs::Options {
        mode: 0o755,
        ..tuxlet_tmpfs::Options::default()
    };
    let shm = tuxlet_tmpfs::Options::default();
    vec![
        (
            "/proc",
            tuxlet_kernel::procfs::new(kernel, &kernel.namespaces.pid_for_children),
            plain | MountFlags::NOEXEC,
        ),
        (
            "/sys",
            tuxlet_kernel::sysfs::new(kernel),
            plain | MountFlags::NOEXEC,
        ),
        (
            "/sys/fs/cgroup",
            kernel.cgroups.whole(),
            plain | MountFlags::NOEXEC,
        ),
        (
            "/dev",
            Tmpfs::new(cx, &kernel.budget, dev),
            MountFlags::NOSUID | MountFlags::RELATIME,
        ),
        (
            "/dev/pts",
            kernel.devpts(),
            MountFlags::NOSUID | MountFlags::NOEXEC | MountFlags::RELATIME,
        ),
        ("/dev/shm", Tmpfs::new(cx, &kernel.budget, shm), plain),
        (
            "/dev/mqueue",
            kernel.namespaces.ipc.objects.queues.file_system(),
            plain | MountFlags::NOEXEC,
        ),
    ]
}
