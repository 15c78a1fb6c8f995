//! What `/proc/PID` shows of memory: maps, smaps, mem, cmdline, environ, auxv.

use super::{Snapshot, Target};
use std::{any::Any, sync::Arc};
use tuxlet_mem::{AddressSpace, IoRead, IoWrite, Prot, Shares, VmaFlags, VmaInfo};
use tuxlet_uapi::errno::{Errno, Result};
use tuxlet_vfs::{Attr, Cx, DeviceId, FileOps, Inode, InodeRef, SetAttr, node_inode, pseudo::Node};

/// Most bytes of `/proc/PID/cmdline` and `environ`.
const STRINGS_MAX: u64 = 2 << 20;
/// Bytes of `/proc/PID/mem` moved in one step.
const CHUNK: usize = 64 << 10;
/// Column at which the names in `maps` begin.
const NAME_COLUMN: usize = 73;

fn read_range(space: &AddressSpace, (start, end): (u64, u64)) -> Vec<u8> {
    let len = end.saturating_sub(start).min(STRINGS_MAX);
    let mut bytes = vec![0; len as usize];
    let n = space.copy_in(start, &mut bytes).unwrap_or(0);
    bytes.truncate(n);
    bytes
}

pub(super) fn cmdline(s: &Snapshot, _: &Cx) -> Result<Vec<u8>> {
    let Some(resources) = s.resources() else {
        return Ok(Vec::new());
    };
    let mm = resources.mm;
    let layout = mm.layout.lock().clone();
    let mut args = read_range(&mm.space, layout.args);
    // A program that has overwritten its arguments may go on into the environment: setproctitle(3).
    if args.last().is_some_and(|b| *b != 0) {
        let first = args.iter().position(|b| *b == 0);
        if let Some(end) = first {
            args.truncate(end + 1);
        } else {
            let env = read_range(&mm.space, layout.env);
            let end = env
                .iter()
                .position(|b| *b == 0)
                .map_or(env.len(), |e| e + 1);
            args.extend_from_slice(&env[..end]);
        }
    }
    Ok(args)
}

pub(super) fn environ(s: &Snapshot, cx: &Cx) -> Result<Vec<u8>> {
    s.may_inspect(cx)?;
    let Some(resources) = s.resources() else {
        return Ok(Vec::new());
    };
    let env = resources.mm.layout.lock().env;
    Ok(read_range(&resources.mm.space, env))
}

pub(super) fn auxv(s: &Snapshot, cx: &Cx) -> Result<Vec<u8>> {
    s.may_inspect(cx)?;
    let auxv = s.resources().map(|r| r.mm.layout.lock().auxv.clone());
    Ok(auxv.unwrap_or_default())
}

fn head(vma: &VmaInfo) -> Vec<u8> {
    let bit = |p: Prot, c: char| if vma.prot.contains(p) { c } else { '-' };
    let dev = DeviceId::decode(vma.id.0);
    let line = format!(
        "{:08x}-{:08x} {}{}{}{} {:08x} {:02x}:{:02x} {} ",
        vma.start,
        vma.end,
        bit(Prot::READ, 'r'),
        bit(Prot::WRITE, 'w'),
        bit(Prot::EXEC, 'x'),
        if vma.flags.contains(VmaFlags::SHARED) {
            's'
        } else {
            'p'
        },
        vma.offset,
        dev.major,
        dev.minor,
        vma.id.1,
    );
    let mut line = line.into_bytes();
    if !vma.path.is_empty() {
        while line.len() < NAME_COLUMN {
            line.push(b' ');
        }
        for byte in &vma.path {
            match byte {
                b'\n' => line.extend_from_slice(b"\\012"),
                other => line.push(*other),
            }
        }
    }
    line.push(b'\n');
    line
}

fn vmas(s: &Snapshot, cx: &Cx) -> Result<Vec<VmaInfo>> {
    s.may_inspect(cx)?;
    Ok(s.resources().map(|r| r.mm.space.vmas()).unwrap_or_default())
}

pub(super) fn maps(s: &Snapshot, cx: &Cx) -> Result<Vec<u8>> {
    Ok(vmas(s, cx)?.iter().flat_map(head).collect())
}

/// Sums over mappings, in KiB.
#[derive(Clone, Copy, Debug, Default)]
struct Sizes {
    rss: u64,
    anon: u64,
    locked: u64,
    shares: Shares,
}

impl Sizes {
    fn add(&mut self, vma: &VmaInfo) {
        let rss = vma.rss_pages * 4;
        self.rss += rss;
        self.anon += vma.anon_pages * 4;
        self.shares += vma.shares;
        if vma.flags.contains(VmaFlags::LOCKED) {
            self.locked += rss;
        }
    }

    fn lines(self) -> String {
        let shares = self.shares;
        let rows = [
            ("Rss", self.rss),
            ("Pss", shares.pss / 1024),
            ("Pss_Dirty", shares.pss_dirty / 1024),
            ("Shared_Clean", shares.shared_clean * 4),
            ("Shared_Dirty", shares.shared_dirty * 4),
            ("Private_Clean", shares.private_clean * 4),
            ("Private_Dirty", shares.private_dirty * 4),
            ("Referenced", self.rss),
            ("Anonymous", self.anon),
            ("LazyFree", 0),
            ("AnonHugePages", 0),
            ("ShmemPmdMapped", 0),
            ("FilePmdMapped", 0),
            ("Shared_Hugetlb", 0),
            ("Private_Hugetlb", 0),
            ("Swap", 0),
            ("SwapPss", 0),
            ("Locked", self.locked),
        ];
        rows.iter().map(|(name, kib)| row(name, *kib)).collect()
    }
}

fn row(name: &str, kib: u64) -> String {
    format!("{:<16}{kib:>8} kB\n", format!("{name}:"))
}

fn vm_flags(vma: &VmaInfo) -> String {
    let mut out = String::from("VmFlags: ");
    for (bit, name) in [
        (Prot::READ, "rd "),
        (Prot::WRITE, "wr "),
        (Prot::EXEC, "ex "),
    ] {
        if vma.prot.contains(bit) {
            out += name;
        }
    }
    if vma.flags.contains(VmaFlags::SHARED) {
        out += "sh ";
    }
    for (bit, name) in [
        (Prot::READ, "mr "),
        (Prot::WRITE, "mw "),
        (Prot::EXEC, "me "),
    ] {
        if vma.max_prot.contains(bit) {
            out += name;
        }
    }
    for (bit, name) in [
        (VmaFlags::GROWSDOWN, "gd "),
        (VmaFlags::LOCKED, "lo "),
        (VmaFlags::SEQUENTIAL, "sr "),
        (VmaFlags::RANDOM, "rr "),
        (VmaFlags::DONTFORK, "dc "),
        (VmaFlags::NORESERVE, "nr "),
        (VmaFlags::WIPEONFORK, "wf "),
        (VmaFlags::DONTDUMP, "dd "),
        (VmaFlags::HUGEPAGE, "hg "),
        (VmaFlags::NOHUGEPAGE, "nh "),
        (VmaFlags::MERGEABLE, "mg "),
    ] {
        if vma.flags.contains(bit) {
            out += name;
        }
    }
    out.push('\n');
    out
}

pub(super) fn smaps(s: &Snapshot, cx: &Cx) -> Result<Vec<u8>> {
    let mut out = Vec::new();
    for vma in vmas(s, cx)? {
        out.extend(head(&vma));
        let mut sizes = Sizes::default();
        sizes.add(&vma);
        let text = [
            row("Size", (vma.end - vma.start) / 1024),
            row("KernelPageSize", 4),
            row("MMUPageSize", 4),
            sizes.lines(),
            "THPeligible:           0\n".to_owned(),
            vm_flags(&vma),
        ]
        .concat();
        out.extend_from_slice(text.as_bytes());
    }
    Ok(out)
}

pub(super) fn smaps_rollup(s: &Snapshot, cx: &Cx) -> Result<Vec<u8>> {
    let all = vmas(s, cx)?;
    let (Some(first), Some(last)) = (all.first(), all.last()) else {
        return Err(Errno::ESRCH);
    };
    let whole = VmaInfo {
        start: first.start,
        end: last.end,
        prot: Prot::NONE,
        flags: VmaFlags::empty(),
        offset: 0,
        id: (0, 0),
        path: b"[rollup]".to_vec(),
        ..first.clone()
    };
    let mut sizes = Sizes::default();
    all.iter().for_each(|vma| sizes.add(vma));
    let mut out = head(&whole);
    out.extend_from_slice(sizes.lines().as_bytes());
    Ok(out)
}

/// `/proc/PID/mem`: the memory as a file.
#[derive(Debug)]
struct MemInode {
    node: Node,
    target: Target,
}

pub(super) fn mem(node: Node, target: Target) -> InodeRef {
    Arc::new(MemInode { node, target })
}

impl Inode for MemInode {
    node_inode!();

    fn attr(&self, _cx: &Cx) -> Result<Attr> {
        Ok(self.node.attr())
    }

    fn set_attr(&self, _cx: &Cx, _set: &SetAttr) -> Result<()> {
        Err(Errno::EPERM)
    }

    fn open(&self, cx: &Cx, _flags: u32) -> Result<Arc<dyn FileOps>> {
        let snapshot = self.target.snapshot()?;
        snapshot.may_inspect(cx)?;
        let space = snapshot.resources().map(|r| Arc::clone(&r.mm.space));
        let attr = self.node.attr();
        Ok(Arc::new(MemFile { attr, space }))
    }
}

/// The memory that the process had when the file was opened.
#[derive(Debug)]
struct MemFile {
    attr: Attr,
    space: Option<Arc<AddressSpace>>,
}

impl FileOps for MemFile {
    fn as_any(&self) -> &dyn Any {
        self
    }

    fn attr(&self, _cx: &Cx) -> Result<Attr> {
        Ok(self.attr)
    }

    fn read_at(&self, _cx: &Cx, offset: u64, to: &mut dyn IoWrite) -> Result<usize> {
        let Some(space) = &self.space else {
            return Ok(0);
        };
        let mut buf = vec![0; to.remaining().min(CHUNK)];
        let n = space.copy_in(offset, &mut buf).map_err(|_| Errno::EIO)?;
        if n == 0 && !buf.is_empty() {
            return Err(Errno::EIO);
        }
        to.write_from(&buf[..n])
    }

    fn write_at(&self, _cx: &Cx, offset: u64, from: &mut dyn IoRead) -> Result<usize> {
        let Some(space) = &self.space else {
            return Ok(0);
        };
        let mut buf = vec![0; from.remaining().min(CHUNK)];
        let n = from.read_into(&mut buf)?;
        let done = space.poke(offset, &buf[..n]).map_err(|_| Errno::EIO)?;
        if done == 0 && n > 0 {
            return Err(Errno::EIO);
        }
        Ok(done)
    }
}
