//! Users by name: passwd(5), group(5).

use crate::{Error, Result};
use std::sync::Arc;
use tuxlet_kernel::Kernel;
use tuxlet_uapi::fcntl::OpenFlags;
use tuxlet_vfs::{
    At, Cred, Cx, LookupFlags,
    open::{How, Opened, open},
};

/// Longest user database that is looked at.
const MAX_FILE: usize = 4 << 20;

/// Who runs a command.
#[derive(Clone, Debug)]
pub(crate) struct User {
    pub(crate) cred: Cred,
    pub(crate) name: Option<String>,
    pub(crate) home: String,
}

/// A text file of the guest; empty if it cannot be read.
fn read_file(kernel: &Arc<Kernel>, cx: &Cx, path: &str) -> String {
    let at = At::root(kernel.mounts.root());
    let how = How {
        flags: OpenFlags::empty(),
        mode: 0,
        resolve: LookupFlags::empty(),
    };
    let Ok(Opened::File(file)) = open(cx, &at, path.as_bytes(), &how) else {
        return String::new();
    };
    let mut text = Vec::new();
    let mut chunk = vec![0u8; 64 << 10];
    while text.len() < MAX_FILE {
        let mut room = &mut chunk[..];
        match file.read(cx, &mut room) {
            Ok(n) if n > 0 => text.extend_from_slice(&chunk[..n]),
            _ => break,
        }
    }
    String::from_utf8_lossy(&text).into_owned()
}

/// The identity that `NAME`, `UID`, `NAME:GROUP` or `UID:GID` stands for; root without one.
pub(crate) fn resolve(kernel: &Arc<Kernel>, cx: &Cx, spec: Option<&str>) -> Result<User> {
    let spec = spec.unwrap_or("0");
    let (user, group) = spec
        .split_once(':')
        .map_or((spec, None), |(u, g)| (u, Some(g)));
    let passwd = read_file(kernel, cx, "/etc/passwd");
    let number = user.parse::<u32>().ok();
    let entry = passwd
        .lines()
        .map(|l| l.split(':').collect::<Vec<_>>())
        .find(|f| {
            f.len() >= 7 && (f[0] == user || (number.is_some() && f[2].parse().ok() == number))
        });
    let unknown = || Error::NoUser(spec.into());
    let uid = entry
        .as_ref()
        .and_then(|f| f[2].parse().ok())
        .or(number)
        .ok_or_else(unknown)?;
    let groups = read_file(kernel, cx, "/etc/group");
    let group_fields: Vec<Vec<&str>> = groups.lines().map(|l| l.split(':').collect()).collect();
    let gid = match group {
        Some(group) => group_fields
            .iter()
            .find(|f| f.len() >= 3 && f[0] == group)
            .and_then(|f| f[2].parse().ok())
            .or_else(|| group.parse().ok())
            .ok_or_else(unknown)?,
        None => entry.as_ref().and_then(|f| f[3].parse().ok()).unwrap_or(0),
    };
    let name = entry.as_ref().map(|f| f[0].to_owned());
    let mut cred = Cred::user(uid, gid);
    if let Some(name) = &name {
        let member = |f: &&Vec<&str>| f.len() >= 4 && f[3].split(',').any(|m| m == name);
        cred.groups = group_fields
            .iter()
            .filter(member)
            .filter_map(|f| f[2].parse().ok())
            .collect();
    }
    if !cred.groups.contains(&gid) {
        cred.groups.insert(0, gid);
    }
    let home = entry
        .map(|f| f[5].to_owned())
        .filter(|h| !h.is_empty())
        .unwrap_or_else(|| "/".into());
    Ok(User { cred, name, home })
}
