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
    let pages = kernel.budget.limit_pages() as u64;
    let mut dev = tuxlet_tmpfs::Options::new(pages);
    dev.mode = 0o755;
    let shm = tuxlet_tmpfs::Options::new(pages);
    vec![
        (
            "/dev",
            Tmpfs::new(cx, &kernel.budget, dev),
            MountFlags::NOSUID | MountFlags::RELATIME,
        ),
        ("/dev/shm", Tmpfs::new(cx, &kernel.budget, shm), plain),
    ]
}
