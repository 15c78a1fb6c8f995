//! `/proc/PID/uid_map`, `gid_map` and `setgroups`: user_namespaces(7), "User and group ID mappings".

use std::fmt::Write;
use tuxlet_uapi::errno::{Errno, Result};
use tuxlet_vfs::{
    Cred, UserNs,
    cx::cap,
    user_ns::{IdExtent, IdMap, IdMaps},
};

/// Most lines of a map.
const MAX_EXTENTS: usize = 340;
/// A write must be shorter than a page.
const MAX_LEN: usize = 4096;

/// Which of the two maps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Which {
    User,
    Group,
}

impl Which {
    fn of(self, maps: &IdMaps) -> &IdMap {
        match self {
            Self::User => &maps.uid,
            Self::Group => &maps.gid,
        }
    }
}

/// The map as a reader sees it: the outer ids are those of the reader's namespace, or of the parent if it is the reader's own.
pub(crate) fn show(ns: &UserNs, which: Which, reader: &UserNs) -> String {
    let outer = if *ns == *reader {
        ns.parent().map_or(ns, |p| p)
    } else {
        reader
    };
    let extents = ns.with_maps(|maps| which.of(maps).extents().to_vec());
    let mut text = String::new();
    for extent in extents {
        let lower = if outer.is_initial() {
            extent.global
        } else {
            outer
                .with_maps(|maps| which.of(maps).of_global(extent.global))
                .unwrap_or(u32::MAX)
        };
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{:10} {:10} {:10}", extent.first, lower, extent.count);
    }
    text
}

/// A line: first id inside, first id outside, count.
fn parse_line(line: &str) -> Result<[u32; 3]> {
    let mut numbers = [0u32; 3];
    let mut words = line.split_ascii_whitespace();
    for number in &mut numbers {
        let word = words.next().ok_or(Errno::EINVAL)?;
        *number = word.parse().map_err(|_| Errno::EINVAL)?;
    }
    let [first, lower, count] = numbers;
    let ends = first.checked_add(count).is_some() && lower.checked_add(count).is_some();
    if words.next().is_some() || first == u32::MAX || lower == u32::MAX || count == 0 || !ends {
        return Err(Errno::EINVAL);
    }
    Ok(numbers)
}

fn parse(data: &[u8]) -> Result<Vec<[u32; 3]>> {
    if data.len() >= MAX_LEN {
        return Err(Errno::EINVAL);
    }
    let text = std::str::from_utf8(data).map_err(|_| Errno::EINVAL)?;
    let mut lines: Vec<[u32; 3]> = Vec::new();
    for line in text.strip_suffix('\n').unwrap_or(text).split('\n') {
        let [first, lower, count] = parse_line(line)?;
        let overlaps = |a: u32, b: &u32, n: &u32| a < b + n && *b < a + count;
        if lines
            .iter()
            .any(|[f, l, n]| overlaps(first, f, n) || overlaps(lower, l, n))
            || lines.len() == MAX_EXTENTS
        {
            return Err(Errno::EINVAL);
        }
        lines.push([first, lower, count]);
    }
    Ok(lines)
}

/// Whether the writer may set this map.
fn permitted(
    ns: &UserNs,
    parent: &UserNs,
    which: Which,
    writer: &Cred,
    lines: &[[u32; 3]],
) -> bool {
    // One's own id.
    if let [[_, lower, 1]] = lines
        && ns.owner().0 == writer.euid
    {
        let own = match which {
            Which::User => parent.global_uid(*lower) == Some(writer.euid),
            Which::Group => ns.setgroups_denied() && parent.global_gid(*lower) == Some(writer.egid),
        };
        if own {
            return true;
        }
    }
    let needed = match which {
        Which::User => cap::SETUID,
        Which::Group => cap::SETGID,
    };
    writer.has_cap_in(parent, needed)
}

/// Writes a map, once. `EPERM`, `EINVAL` as user_namespaces(7) says.
pub(crate) fn store(ns: &UserNs, which: Which, writer: &Cred, data: &[u8]) -> Result<()> {
    let parent = ns.parent().ok_or(Errno::EPERM)?;
    if *writer.user_ns != *ns && writer.user_ns != *parent {
        return Err(Errno::EPERM);
    }
    if ns.with_maps(|maps| !which.of(maps).extents().is_empty()) {
        return Err(Errno::EPERM);
    }
    if !writer.has_cap_in(ns, cap::SYS_ADMIN) {
        return Err(Errno::EPERM);
    }
    let lines = parse(data)?;
    if !permitted(ns, parent, which, writer, &lines) {
        return Err(Errno::EPERM);
    }
    let mut extents = Vec::with_capacity(lines.len());
    for [first, lower, count] in lines {
        let global = |id| match which {
            Which::User => parent.global_uid(id),
            Which::Group => parent.global_gid(id),
        };
        // The whole range lies in one extent of the parent.
        let start = global(lower).ok_or(Errno::EPERM)?;
        let end = global(lower + (count - 1)).ok_or(Errno::EPERM)?;
        if end - start != count - 1 {
            return Err(Errno::EPERM);
        }
        extents.push(IdExtent {
            first,
            global: start,
            count,
        });
    }
    ns.change_maps(|maps| {
        let map = match which {
            Which::User => &mut maps.uid,
            Which::Group => &mut maps.gid,
        };
        if !map.extents().is_empty() {
            return Err(Errno::EPERM);
        }
        *map = IdMap::new(extents);
        Ok(())
    })
}

/// What `/proc/PID/setgroups` shows.
pub(crate) fn show_setgroups(ns: &UserNs) -> &'static [u8] {
    if ns.setgroups_denied() {
        b"deny\n"
    } else {
        b"allow\n"
    }
}

/// Writes `/proc/PID/setgroups`. `EPERM` once the map of groups is set, or for allowing what was denied.
pub(crate) fn store_setgroups(ns: &UserNs, writer: &Cred, data: &[u8]) -> Result<()> {
    if !writer.has_cap_in(ns, cap::SYS_ADMIN) {
        return Err(Errno::EACCES);
    }
    match data.trim_ascii_end() {
        b"allow" if ns.setgroups_denied() => Err(Errno::EPERM),
        b"allow" => Ok(()),
        b"deny" => {
            if ns.with_maps(|maps| !maps.gid.extents().is_empty()) && !ns.setgroups_denied() {
                return Err(Errno::EPERM);
            }
            ns.deny_setgroups();
            Ok(())
        }
        _ => Err(Errno::EINVAL),
    }
}

/// Whether setgroups(2) is possible: the map of groups is set, and nobody has forbidden it.
pub(crate) fn may_setgroups(ns: &UserNs) -> bool {
    ns.is_initial()
        || (!ns.setgroups_denied() && ns.with_maps(|maps| !maps.gid.extents().is_empty()))
}

#[cfg(test)]
mod tests {
    use super::parse;
    use tuxlet_uapi::errno::Errno;

    #[test]
    fn maps_are_read_as_linux_reads_them() {
        assert_eq!(parse(b"0 1000 1"), Ok(vec![[0, 1000, 1]]));
        assert_eq!(
            parse(b"  0 1000 1\n1\t2000   5\n"),
            Ok(vec![[0, 1000, 1], [1, 2000, 5]])
        );
        for wrong in [
            &b""[..],
            b"\n",
            b"0 1000",
            b"0 1000 0",
            b"0 1000 1 2",
            b"0 x 1",
            b"4294967295 0 1",
            b"0 4294967295 1",
            b"1 0 4294967295",
            b"0 0 2\n1 5 1",
            b"0 0 2\n5 1 1",
            b"0 0 1\n\n",
        ] {
            assert_eq!(parse(wrong), Err(Errno::EINVAL), "{wrong:?}");
        }
    }
}
