//! What the guest can mount: mount(2).

use std::sync::Arc;
use tuxlet_kernel::{
    Kernel,
    kernel::{FileSystemFactory, NewFileSystem},
    procfs,
};
use tuxlet_tmpfs::Tmpfs;
use tuxlet_uapi::errno::{Errno, Result};
use tuxlet_vfs::{Cx, FileSystem, LookupFlags, Path, cx::cap, resolver};

/// Types of which every mount is a new one.
const MADE: &[&[u8]] = &[b"tmpfs", b"ramfs"];
/// The control groups, from the caller's namespace's top.
const CGROUP: &[u8] = b"cgroup2";
/// The POSIX message queues of the caller's IPC namespace.
const MQUEUE: &[u8] = b"mqueue";
/// Layers of the guest's own choice.
const OVERLAY: &[u8] = b"overlay";
/// Types that exist once per machine: another mount shows the one that is there already.
const SINGLE: &[&[u8]] = &[b"proc", b"sysfs", b"devpts", b"devtmpfs"];

/// An id that nobody has.
const NOT_GIVEN: u32 = u32::MAX;

/// Makes the file systems that need nothing from the host.
pub(crate) struct Mountable;

impl FileSystemFactory for Mountable {
    fn knows(&self, kind: &[u8]) -> bool {
        let known = [CGROUP, MQUEUE, OVERLAY];
        MADE.contains(&kind) || SINGLE.contains(&kind) || known.contains(&kind)
    }

    fn quotes_commas(&self, kind: &[u8]) -> bool {
        kind == OVERLAY
    }

    fn check_last(&self, cx: &Cx, new: &NewFileSystem<'_>) -> Result<()> {
        if new.kind == OVERLAY {
            tuxlet_overlayfs::check(new.parameters, &|path| directory(cx, new, path))?;
        }
        Ok(())
    }

    fn make(
        &self,
        kernel: &Arc<Kernel>,
        cx: &Cx,
        new: &NewFileSystem<'_>,
    ) -> Result<Arc<dyn FileSystem>> {
        let kind = new.kind;
        let options = &*new.text();
        match kind {
            kind if kind == OVERLAY => {
                let resolve = |path: &[u8]| directory(cx, new, path);
                Ok(tuxlet_overlayfs::mount(cx, new.parameters, &resolve)?)
            }
            kind if MADE.contains(&kind) => {
                let text = std::str::from_utf8(options).map_err(|_| Errno::EINVAL)?;
                let pages = kernel.budget.limit_pages() as u64;
                let mut options = tuxlet_tmpfs::Options {
                    uid: NOT_GIVEN,
                    gid: NOT_GIVEN,
                    ..tuxlet_tmpfs::Options::default()
                };
                options = options.parse(text, pages)?;
                options.uid = match options.uid {
                    NOT_GIVEN => cx.cred.fsuid,
                    id => cx.cred.user_ns.global_uid(id).ok_or(Errno::EINVAL)?,
                };
                options.gid = match options.gid {
                    NOT_GIVEN => cx.cred.fsgid,
                    id => cx.cred.user_ns.global_gid(id).ok_or(Errno::EINVAL)?,
                };
                Ok(Tmpfs::new(cx, &kernel.budget, options))
            }
            kind if kind == CGROUP => {
                let namespaces = kernel.namespaces_of(cx);
                let root = &namespaces.cgroup.root;
                kernel.cgroups.mountable(root, options)
            }
            kind if kind == MQUEUE => {
                let ipc = Arc::clone(&kernel.namespaces_of(cx).ipc);
                if !cx.cred.has_cap_in(&ipc.id.owner, cap::SYS_ADMIN) {
                    return Err(Errno::EPERM);
                }
                if !options.is_empty() {
                    return Err(Errno::EINVAL);
                }
                Ok(ipc.objects.queues.file_system())
            }
            b"proc" if kernel.pid_ns_of(cx).level() > 0 => {
                Ok(procfs::new(kernel, &kernel.pid_ns_of(cx)))
            }
            b"devtmpfs" => mounted(kernel, |_, place| place == b"/dev"),
            kind if SINGLE.contains(&kind) => mounted(kernel, |fs, _| fs.name().as_bytes() == kind),
            _ => Err(Errno::ENODEV),
        }
    }
}

/// A path among a file system's options.
fn directory(cx: &Cx, new: &NewFileSystem<'_>, path: &[u8]) -> Result<Path> {
    resolver::lookup(cx, new.at, path, LookupFlags::FOLLOW)
}

/// A file system that is mounted somewhere. `ENODEV` if there is none like it.
fn mounted(
    kernel: &Kernel,
    is_it: impl Fn(&dyn FileSystem, &[u8]) -> bool,
) -> Result<Arc<dyn FileSystem>> {
    let all = kernel.mounts.list(&kernel.mounts.root());
    let found = all
        .iter()
        .find(|info| is_it(&**info.mount.fs(), &info.mountpoint));
    found
        .map(|info| Arc::clone(info.mount.fs()))
        .ok_or(Errno::ENODEV)
}
