//! `/proc/PID/mounts`, `mountinfo`, `mountstats`: proc_pid_mountinfo(5).

use super::Snapshot;
use tuxlet_uapi::errno::{Errno, Result};
use tuxlet_vfs::{Cx, MountFlags, namespace::MountInfo};

fn list(s: &Snapshot) -> Result<Vec<MountInfo>> {
    let resources = s.resources().ok_or(Errno::EINVAL)?;
    Ok(resources.ns.mnt.list(&resources.fs.root()))
}

/// Blanks, backslashes and line ends become octal escapes.
fn escape(to: &mut Vec<u8>, name: &[u8]) {
    for byte in name {
        match byte {
            b' ' | b'\t' | b'\n' | b'\\' | b'#' => {
                to.extend_from_slice(format!("\\{byte:03o}").as_bytes());
            }
            other => to.push(*other),
        }
    }
}

fn source(info: &MountInfo) -> &[u8] {
    match info.mount.source() {
        [] => b"none",
        source => source,
    }
}

pub(super) fn mounts(s: &Snapshot, _: &Cx) -> Result<Vec<u8>> {
    let mut out = Vec::new();
    for info in list(s)? {
        let fs = info.mount.fs();
        escape(&mut out, source(&info));
        out.push(b' ');
        escape(&mut out, &info.mountpoint);
        let options = info.mount.flags().options();
        let rest = format!(" {} {options}{} 0 0\n", fs.name(), fs.show_options());
        out.extend_from_slice(rest.as_bytes());
    }
    Ok(out)
}

pub(super) fn mountinfo(s: &Snapshot, _: &Cx) -> Result<Vec<u8>> {
    let mut out = Vec::new();
    for info in list(s)? {
        let fs = info.mount.fs();
        let dev = fs.dev();
        let head = format!(
            "{} {} {}:{} ",
            info.id, info.parent_id, dev.major, dev.minor
        );
        out.extend_from_slice(head.as_bytes());
        escape(&mut out, &info.root);
        out.push(b' ');
        escape(&mut out, &info.mountpoint);
        let flags = info.mount.flags();
        let fields = info.mount.propagation_fields();
        let middle = format!(" {}{fields} - {} ", flags.options(), fs.name());
        out.extend_from_slice(middle.as_bytes());
        escape(&mut out, source(&info));
        let access = if info.mount.super_block().read_only() || flags.contains(MountFlags::RDONLY) {
            "ro"
        } else {
            "rw"
        };
        let tail = format!(" {access}{}\n", fs.show_options());
        out.extend_from_slice(tail.as_bytes());
    }
    Ok(out)
}

pub(super) fn mountstats(s: &Snapshot, _: &Cx) -> Result<Vec<u8>> {
    let mut out = Vec::new();
    for info in list(s)? {
        out.extend_from_slice(b"device ");
        escape(&mut out, source(&info));
        out.extend_from_slice(b" mounted on ");
        escape(&mut out, &info.mountpoint);
        let rest = format!(" with fstype {}\n", info.mount.fs().name());
        out.extend_from_slice(rest.as_bytes());
    }
    Ok(out)
}
