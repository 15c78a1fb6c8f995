//! `/proc/PID/fd` and `/proc/PID/fdinfo`, and links that lead straight to a file.

use super::{
    DynDir, Entries, Listing, Snapshot, Target,
    pid::{TAG_FD, TAG_FDINFO},
};
use crate::{epoll::Epoll, host_stream::HostStream};
use std::{fmt, sync::Arc};
use tuxlet_uapi::{
    errno::{Errno, Result},
    fcntl::OpenFlags,
};
use tuxlet_vfs::{
    Attr, Cx, File, FileOps, FileType, Inode, InodeId, InodeRef, Link, Path,
    locks::{FileLocks, LockKind, LockOwner},
    node_inode,
    pseudo::{GeneratedFile, Node},
};

/// Computes where a link leads.
type Lead = Box<dyn Fn(&Cx) -> Result<Link> + Send + Sync>;

/// A symbolic link whose target is computed by the reader's rights.
struct MagicLink {
    node: Node,
    lead: Lead,
}

impl fmt::Debug for MagicLink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MagicLink")
            .field("node", &self.node)
            .finish_non_exhaustive()
    }
}

/// A link inode.
pub(super) fn magic_link(
    node: Node,
    lead: impl Fn(&Cx) -> Result<Link> + Send + Sync + 'static,
) -> InodeRef {
    Arc::new(MagicLink {
        node,
        lead: Box::new(lead),
    })
}

impl Inode for MagicLink {
    node_inode!();

    fn attr(&self, _cx: &Cx) -> Result<Attr> {
        Ok(self.node.attr())
    }

    fn readlink(&self, cx: &Cx) -> Result<Link> {
        (self.lead)(cx)
    }

    fn open(&self, _cx: &Cx, _flags: u32) -> Result<Arc<dyn FileOps>> {
        Err(Errno::ELOOP)
    }
}

/// An open file without a path, such as a pipe, as something that can be opened again.
#[derive(Debug)]
struct Reopen {
    node: Node,
    file: Arc<File>,
}

impl Inode for Reopen {
    node_inode!();

    fn attr(&self, cx: &Cx) -> Result<Attr> {
        self.file.attr(cx)
    }

    fn open(&self, _cx: &Cx, _flags: u32) -> Result<Arc<dyn FileOps>> {
        // What has no file behind it cannot be opened by name: sockets, epoll files and so on.
        let ops = self.file.ops();
        let nothing_behind =
            self.node.kind() == FileType::Regular && self.file.ops_as::<HostStream>().is_none();
        if ops.as_socket().is_some() || nothing_behind {
            return Err(Errno::ENXIO);
        }
        Ok(Arc::clone(ops))
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum What {
    Links,
    Infos,
}

/// The descriptors of a process.
#[derive(Debug)]
struct FdDir {
    target: Target,
    what: What,
}

fn make(target: &Target, ino: u64, mode: u32, owner: (u32, u32), what: What) -> Result<InodeRef> {
    let fs = target.shared.fs()?;
    let node = fs
        .node_with_ino(ino, FileType::Directory, mode)
        .owned(owner.0, owner.1);
    let target = target.clone();
    Ok(DynDir::inode(node, FdDir { target, what }))
}

/// `/proc/PID/fd`.
pub(super) fn directory(
    target: &Target,
    ino: u64,
    mode: u32,
    owner: (u32, u32),
) -> Result<InodeRef> {
    make(target, ino, mode, owner, What::Links)
}

/// `/proc/PID/fdinfo`.
pub(super) fn info_directory(
    target: &Target,
    ino: u64,
    mode: u32,
    owner: (u32, u32),
) -> Result<InodeRef> {
    make(target, ino, mode, owner, What::Infos)
}

impl FdDir {
    fn ino(&self, fd: i32) -> u64 {
        let tag = match self.what {
            What::Links => TAG_FD,
            What::Infos => TAG_FDINFO,
        };
        self.target.ino(tag, u64::from(fd.cast_unsigned()))
    }
}

fn open_file(s: &Snapshot, fd: i32) -> Result<(Arc<File>, bool)> {
    let fds = s.resources().ok_or(Errno::ENOENT)?.fds;
    let file = fds.get(fd).map_err(|_| Errno::ENOENT)?;
    let close_on_exec = fds.close_on_exec(fd).unwrap_or(false);
    Ok((file, close_on_exec))
}

impl Listing for FdDir {
    fn lookup(&self, _cx: &Cx, name: &[u8]) -> Result<InodeRef> {
        let fd = super::number(name)
            .and_then(|n| i32::try_from(n).ok())
            .ok_or(Errno::ENOENT)?;
        let snapshot = self.target.snapshot().map_err(|_| Errno::ENOENT)?;
        let (file, _) = open_file(&snapshot, fd)?;
        let owner = snapshot.owner();
        let fs = self.target.shared.fs()?;
        let target = self.target.clone();
        match self.what {
            What::Links => {
                let mut mode = 0o100;
                mode |= if file.readable() { 0o400 } else { 0 };
                mode |= if file.writable() { 0o200 } else { 0 };
                let node = fs
                    .node_with_ino(self.ino(fd), FileType::Symlink, mode)
                    .owned(owner.0, owner.1);
                Ok(magic_link(node, move |cx| lead(&target, cx, fd)))
            }
            What::Infos => {
                let node = fs
                    .node_with_ino(self.ino(fd), FileType::Regular, 0o444)
                    .owned(owner.0, owner.1);
                Ok(GeneratedFile::read_only(node, move |cx| {
                    info(&target.snapshot()?, cx, fd)
                }))
            }
        }
    }

    fn list(&self, _cx: &Cx) -> Result<Entries> {
        let snapshot = self.target.snapshot().map_err(|_| Errno::ENOENT)?;
        let kind = match self.what {
            What::Links => FileType::Symlink,
            What::Infos => FileType::Regular,
        };
        let open = snapshot.resources().map(|r| r.fds.snapshot());
        Ok(open
            .unwrap_or_default()
            .into_iter()
            .map(|(fd, _, _)| (fd.to_string().into_bytes(), self.ino(fd), kind))
            .collect())
    }

    fn allows(&self, cx: &Cx) -> bool {
        let snapshot = self.target.snapshot();
        snapshot.is_ok_and(|s| s.group.tgid() == cx.tgid)
    }
}

fn lead(target: &Target, cx: &Cx, fd: i32) -> Result<Link> {
    let snapshot = target.snapshot().map_err(|_| Errno::ENOENT)?;
    snapshot.may_inspect(cx)?;
    let (file, _) = open_file(&snapshot, fd)?;
    let shown = file.d_path(&super::reader_root(&snapshot.kernel, cx));
    if let Some(path) = file.path() {
        return Ok(Link::Jump(path.clone(), shown));
    }
    let kind = file.attr(cx)?.kind;
    let node = target
        .shared
        .fs()?
        .node_with_ino(file.attr(cx)?.ino, kind, 0o600);
    let inode = Arc::new(Reopen { node, file });
    let mount = snapshot.kernel.mounts.root().mount;
    Ok(Link::Jump(Path::nameless(&mount, inode, &shown), shown))
}

fn info(s: &Snapshot, cx: &Cx, fd: i32) -> Result<Vec<u8>> {
    s.may_inspect(cx)?;
    let (file, close_on_exec) = open_file(s, fd)?;
    let mut flags = file.flags();
    flags.set(OpenFlags::CLOEXEC, close_on_exec);
    let mount = file.path().map_or(0, |p| p.mount.id());
    let mut text = format!(
        "pos:\t{}\nflags:\t0{:o}\nmnt_id:\t{mount}\nino:\t{}\n",
        file.pos(),
        flags.bits(),
        file.attr(cx)?.ino,
    );
    if let Some(locks) = file
        .inode()
        .and_then(|i| FileLocks::existing(i.anchor()).map(|l| (i.id(), l)))
    {
        // DEVIATION: a process's record locks show with each of its descriptions of the file; through which one they
        // were taken is not noted.
        let (id, locks) = locks;
        let mine = |owner: &LockOwner| match owner {
            LockOwner::Process(tgid) => *tgid == s.group.tgid(),
            LockOwner::Description(of) => *of == file.id(),
        };
        for (n, line) in lock_lines(id, &locks, s.group.tgid(), mine)
            .iter()
            .enumerate()
        {
            text += &format!("lock:\t{}: {line}\n", n + 1);
        }
    }
    if let Some(epoll) = file.ops_as::<Epoll>() {
        for (fd, events, data) in epoll.list() {
            text += &format!("tfd: {fd:8} events: {events:8x} data: {data:16x}\n");
        }
    }
    Ok(text.into_bytes())
}

/// Locks of a file as `/proc/locks` and `fdinfo` show them, those whose owner is `wanted`. The process that holds a
/// flock(2) lock is not noted with it: `holder` is shown.
pub(super) fn lock_lines(
    id: InodeId,
    locks: &FileLocks,
    holder: u32,
    wanted: impl Fn(&LockOwner) -> bool,
) -> Vec<String> {
    let kind = |kind| match kind {
        LockKind::Shared => "READ ",
        LockKind::Exclusive => "WRITE",
    };
    let place = format!("{:02x}:{:02x}:{}", id.dev.major, id.dev.minor, id.ino);
    let (records, whole) = locks.list();
    let records = records.iter().filter(|l| wanted(&l.owner)).map(|lock| {
        let class = match lock.owner {
            LockOwner::Process(_) => "POSIX ",
            LockOwner::Description(_) => "OFDLCK",
        };
        let end = match lock.end {
            u64::MAX => "EOF".to_owned(),
            end => end.to_string(),
        };
        let (kind, pid, start) = (kind(lock.kind), lock.pid, lock.start);
        format!("{class} ADVISORY  {kind} {pid} {place} {start} {end}")
    });
    let whole = whole
        .iter()
        .filter(|(file, _)| wanted(&LockOwner::Description(*file)))
        .map(|(_, held)| format!("FLOCK  ADVISORY  {} {holder} {place} 0 EOF", kind(*held)));
    records.chain(whole).collect()
}
