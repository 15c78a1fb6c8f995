//! Character devices: the drivers, and what `/dev` holds.

mod kmsg;
mod mem;

use crate::kernel::Kernel;
use tuxlet_uapi::{errno::Result, fcntl::OpenFlags};
use tuxlet_vfs::{At, Cx, DeviceId, File, NewKind, create};

/// Major number of the memory devices.
pub const MEM_MAJOR: u32 = 1;

/// Device nodes: name, major and minor number, mode.
const NODES: &[(&str, u32, u32, u32)] = &[
    ("null", MEM_MAJOR, mem::NULL, 0o666),
    ("zero", MEM_MAJOR, mem::ZERO, 0o666),
    ("full", MEM_MAJOR, mem::FULL, 0o666),
    ("random", MEM_MAJOR, mem::RANDOM, 0o666),
    ("urandom", MEM_MAJOR, mem::URANDOM, 0o666),
    ("kmsg", MEM_MAJOR, kmsg::MINOR, 0o644),
];

/// Symbolic links in `/dev`.
const LINKS: &[(&str, &str)] = &[
    ("fd", "/proc/self/fd"),
    ("stdin", "/proc/self/fd/0"),
    ("stdout", "/proc/self/fd/1"),
    ("stderr", "/proc/self/fd/2"),
];

impl Kernel {
    /// Registers the drivers.
    pub(crate) fn register_devices(&self) {
        mem::register(&self.devices);
        kmsg::register(&self.devices);
        crate::tty::register(&self.devices);
    }

    /// Fills a fresh file system mounted on `/dev`.
    pub fn populate_dev(&self, cx: &Cx) -> Result<()> {
        let at = At::root(self.mounts.root());
        for (name, major, minor, mode) in NODES.iter().chain(crate::tty::NODES) {
            let kind = NewKind::CharDevice(DeviceId::new(*major, *minor));
            create::mknod(cx, &at, format!("/dev/{name}").as_bytes(), kind, *mode)?;
        }
        for (name, target) in LINKS {
            create::symlink(
                cx,
                &at,
                target.as_bytes(),
                format!("/dev/{name}").as_bytes(),
            )?;
        }
        for dir in ["pts", "shm", "mqueue"] {
            create::mkdir(cx, &at, format!("/dev/{dir}").as_bytes(), 0o755)?;
        }
        Ok(())
    }

    /// An open `/dev/null` for a process without a standard stream.
    #[must_use]
    pub fn open_null(&self, cx: &Cx, flags: OpenFlags) -> std::sync::Arc<File> {
        File::anonymous(cx, mem::null(cx), b"/dev/null", flags)
    }
}
