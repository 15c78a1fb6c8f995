//! The path walk, the only one there is: path_resolution(7), openat2(2).

use crate::{
    access::{self, EXEC},
    attr::FileType,
    context::At,
    cx::Cx,
    dentry::Dentry,
    inode::Link,
    mount::MountFlags,
    path::Path,
};
use bitflags::bitflags;
use smallvec::SmallVec;
use std::{borrow::Cow, sync::Arc};
use tuxlet_uapi::{
    errno::{Errno, Result},
    fcntl::{
        PATH_MAX, RESOLVE_BENEATH, RESOLVE_CACHED, RESOLVE_IN_ROOT, RESOLVE_NO_MAGICLINKS,
        RESOLVE_NO_SYMLINKS, RESOLVE_NO_XDEV,
    },
};

/// Symbolic links that one walk may follow.
const MAX_LINKS: u32 = 40;

bitflags! {
    /// How to walk. The low bits are the `RESOLVE_*` flags of openat2(2).
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
    pub struct LookupFlags: u64 {
        /// Do not cross mounts: `EXDEV`.
        const NO_XDEV = RESOLVE_NO_XDEV;
        /// Do not follow magic links: `ELOOP`.
        const NO_MAGICLINKS = RESOLVE_NO_MAGICLINKS;
        /// Do not follow any symbolic link: `ELOOP`.
        const NO_SYMLINKS = RESOLVE_NO_SYMLINKS;
        /// Do not leave the starting directory: `EXDEV`.
        const BENEATH = RESOLVE_BENEATH;
        /// Treat the starting directory as the root.
        const IN_ROOT = RESOLVE_IN_ROOT;
        /// Only what is cached: `EAGAIN`.
        const CACHED = RESOLVE_CACHED;
        /// Follow a symbolic link at the end.
        const FOLLOW = 1 << 32;
        /// The result must be a directory.
        const DIRECTORY = 1 << 33;
        /// An empty path means the starting directory: `AT_EMPTY_PATH`.
        const EMPTY_PATH = 1 << 34;
    }
}

/// The last component of a path whose parent was looked up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Last {
    /// A proper name.
    Name(SmallVec<[u8; 32]>),
    /// `.`
    Dot,
    /// `..`
    DotDot,
    /// The path consists of slashes only.
    Root,
}

/// A looked-up parent directory and what remains.
#[derive(Clone, Debug)]
pub struct Parent {
    /// The directory that holds (or would hold) the last component.
    pub dir: Path,
    /// The last component.
    pub last: Last,
    /// Whether slashes follow it.
    pub trailing: bool,
}

/// Looks a path up.
pub fn lookup(cx: &Cx, at: &At, path: &[u8], flags: LookupFlags) -> Result<Path> {
    Walk::new(cx, at, flags).full(path)
}

/// Looks up all but the last component.
pub fn lookup_parent(cx: &Cx, at: &At, path: &[u8], flags: LookupFlags) -> Result<Parent> {
    Walk::new(cx, at, flags).parent(path)
}

/// A walk in progress: where it is and how many links it has followed.
pub(crate) struct Walk<'a> {
    cx: &'a Cx,
    at: &'a At,
    flags: LookupFlags,
    links: u32,
    /// Whether the walk has had to do with its root: see [`Walk::begin`].
    root_seen: bool,
    cur: Path,
}

/// A stretch of path still to be walked; a symbolic link's target lies on top of the path that it is part of.
struct Frame<'p> {
    path: Cow<'p, [u8]>,
    pos: usize,
}

impl Frame<'_> {
    fn rest(&self) -> &[u8] {
        &self.path[self.pos..]
    }
}

impl<'a> Walk<'a> {
    pub(crate) fn new(cx: &'a Cx, at: &'a At, flags: LookupFlags) -> Self {
        let root_seen = flags.intersects(LookupFlags::BENEATH | LookupFlags::IN_ROOT);
        Self {
            cx,
            at,
            flags,
            links: 0,
            root_seen,
            cur: at.dir.clone(),
        }
    }

    /// Where `..` and absolute paths end.
    fn root(&self) -> &'a Path {
        if self
            .flags
            .intersects(LookupFlags::BENEATH | LookupFlags::IN_ROOT)
        {
            &self.at.dir
        } else {
            &self.at.root
        }
    }

    fn full(mut self, path: &[u8]) -> Result<Path> {
        if path.is_empty() && self.flags.contains(LookupFlags::EMPTY_PATH) {
            return Ok(self.cur);
        }
        self.begin(path, false)?;
        self.run(path, false)?;
        Ok(self.cur)
    }

    /// Walks to the parent of the last component, from the current position on.
    pub(crate) fn parent(&mut self, path: &[u8]) -> Result<Parent> {
        self.begin(path, false)?;
        let (last, trailing) = self.run(path, true)?;
        Ok(Parent {
            dir: self.cur.clone(),
            last,
            trailing,
        })
    }

    /// The child of a looked-up parent, mounts crossed, a symbolic link at the end not followed.
    pub(crate) fn child(&mut self, parent: &Parent, name: &[u8]) -> Result<Path> {
        self.cur = parent.dir.clone();
        self.step(name)
    }

    /// Continues at the parent of a symbolic link's target; a magic link leads straight to a file.
    pub(crate) fn follow_to_parent(&mut self, parent: &Parent, link: &Path) -> Result<Followed> {
        self.cur = parent.dir.clone();
        match self.read_link(link)? {
            Link::Path(target) => {
                self.begin(&target, true)?;
                let (last, trailing) = self.run(&target, true)?;
                Ok(Followed::Parent(Parent {
                    dir: self.cur.clone(),
                    last,
                    trailing,
                }))
            }
            Link::Jump(path, _) => {
                self.jump(&path)?;
                Ok(Followed::Jumped(path))
            }
        }
    }

    /// Puts the walk at the place where a path begins.
    fn begin(&mut self, path: &[u8], link: bool) -> Result<()> {
        if path.is_empty() {
            return Err(Errno::ENOENT);
        }
        if path.len() >= PATH_MAX {
            return Err(Errno::ENAMETOOLONG);
        }
        if path[0] == b'/' {
            if self.flags.contains(LookupFlags::BENEATH) {
                return Err(Errno::EXDEV);
            }
            let root = self.root();
            // As Linux does: an absolute link counts as a mount crossed even where it leads to the same one,
            // unless the walk has met its root before.
            if link
                && self.flags.contains(LookupFlags::NO_XDEV)
                && !(self.root_seen && Arc::ptr_eq(&root.mount, &self.cur.mount))
            {
                return Err(Errno::EXDEV);
            }
            self.root_seen = true;
            self.cur = root.clone();
        }
        Ok(())
    }

    /// Walks `path`, begun already: to its end, or to the parent of its last component.
    fn run(&mut self, path: &[u8], to_parent: bool) -> Result<(Last, bool)> {
        let mut frames: SmallVec<[Frame<'_>; 2]> = SmallVec::new();
        frames.push(Frame {
            path: Cow::Borrowed(path),
            pos: 0,
        });
        let mut must_be_dir = self.flags.contains(LookupFlags::DIRECTORY) && !to_parent;
        let mut name: SmallVec<[u8; 32]> = SmallVec::new();
        while let Some(frame) = frames.last_mut() {
            let slashes = frame.rest().iter().take_while(|&&b| b == b'/').count();
            frame.pos += slashes;
            let rest = frame.rest();
            if rest.is_empty() {
                frames.pop();
                continue;
            }
            let len = rest.iter().position(|&b| b == b'/').unwrap_or(rest.len());
            name.clear();
            name.extend_from_slice(&rest[..len]);
            frame.pos += len;
            let last = frames.iter().all(|f| f.rest().iter().all(|&b| b == b'/'));
            let trailing = last && frames.iter().any(|f| !f.rest().is_empty());

            self.may_search()?;
            match &*name {
                b"." if last && to_parent => return Ok((Last::Dot, trailing)),
                b".." if last && to_parent => return Ok((Last::DotDot, trailing)),
                b"." => continue,
                b".." => {
                    self.up()?;
                    continue;
                }
                _ if last && to_parent => return Ok((Last::Name(name), trailing)),
                _ => {}
            }
            let child = self.step(&name)?;
            if child.dentry.kind() == FileType::Symlink
                && (!last || trailing || self.flags.contains(LookupFlags::FOLLOW))
            {
                match self.read_link(&child)? {
                    Link::Path(target) => {
                        self.begin(&target, true)?;
                        frames.push(Frame {
                            path: Cow::Owned(target),
                            pos: 0,
                        });
                    }
                    Link::Jump(path, _) => {
                        self.jump(&path)?;
                        self.cur = path;
                    }
                }
            } else {
                self.cur = child;
            }
            must_be_dir |= trailing;
        }
        if must_be_dir && !self.cur.dentry.is_dir() {
            return Err(Errno::ENOTDIR);
        }
        Ok((Last::Root, false))
    }

    fn may_search(&self) -> Result<()> {
        if !self.cur.dentry.is_dir() {
            return Err(Errno::ENOTDIR);
        }
        access::permission(self.cx, self.cur.inode(), EXEC)
    }

    /// The entry `name` of the current directory.
    fn step(&self, name: &[u8]) -> Result<Path> {
        let dentry = self.find(&self.cur.dentry, name)?;
        let child = Path {
            mount: Arc::clone(&self.cur.mount),
            dentry,
        };
        if !child.dentry.is_mountpoint() {
            return Ok(child);
        }
        let crossed = child.cross_mounts();
        self.same_mount(&crossed)?;
        Ok(crossed)
    }

    fn find(&self, dir: &Arc<Dentry>, name: &[u8]) -> Result<Arc<Dentry>> {
        if self.flags.contains(LookupFlags::CACHED) {
            let caches = dir.super_block().fs().caches_dentries();
            return dir
                .cached(name)
                .filter(|_| caches)
                .unwrap_or(Err(Errno::EAGAIN));
        }
        dir.lookup(self.cx, name)
    }

    fn same_mount(&self, next: &Path) -> Result<()> {
        if self.flags.contains(LookupFlags::NO_XDEV) && !Arc::ptr_eq(&next.mount, &self.cur.mount) {
            return Err(Errno::EXDEV);
        }
        Ok(())
    }

    /// Goes to the parent directory.
    pub(crate) fn up(&mut self) -> Result<()> {
        self.root_seen = true;
        let root = self.root();
        if self.cur.is(root) {
            if self.flags.contains(LookupFlags::BENEATH) {
                return Err(Errno::EXDEV);
            }
            return Ok(());
        }
        let parent = self.cur.parent(root);
        self.same_mount(&parent)?;
        self.cur = parent;
        Ok(())
    }

    fn read_link(&mut self, link: &Path) -> Result<Link> {
        self.links += 1;
        if self.links > MAX_LINKS
            || self.flags.contains(LookupFlags::NO_SYMLINKS)
            || link.mount.flags().contains(MountFlags::NOSYMFOLLOW)
        {
            return Err(Errno::ELOOP);
        }
        link.accessed(self.cx);
        link.inode().readlink(self.cx)
    }

    /// Checks that a magic link may be followed.
    fn jump(&self, to: &Path) -> Result<()> {
        if self.flags.contains(LookupFlags::NO_MAGICLINKS) {
            return Err(Errno::ELOOP);
        }
        if self
            .flags
            .intersects(LookupFlags::BENEATH | LookupFlags::IN_ROOT)
        {
            return Err(Errno::EXDEV);
        }
        self.same_mount(to)
    }
}

/// Where a link at the end of a path to be created leads.
pub(crate) enum Followed {
    /// Its target's parent, to look there again.
    Parent(Parent),
    /// Straight to a file.
    Jumped(Path),
}
