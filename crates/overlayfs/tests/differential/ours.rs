//! Our VFS over some file system.

use crate::world::{Answer, Flags, Op, Stat, Step, Value, World};
use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};
use tuxlet_uapi::fcntl::OpenFlags;
use tuxlet_vfs::{
    Attr, Cred, Cx, DeviceId, DirEntry, Errno, File, FileSystem, FsContext, LookupFlags,
    MountFlags, MountNamespace, NewKind, Path, RenameFlags, SetTime, Time, access, create, link,
    open::{self, How, Opened},
    rename,
    resolver::lookup,
    setattr, unlink, xattr,
};

type Res<T> = Result<T, Errno>;

/// Our side of the comparison.
pub(crate) struct Ours {
    #[expect(dead_code, reason = "keeps the mounts alive")]
    namespace: Arc<MountNamespace>,
    fs: FsContext,
    cred: Arc<Cred>,
}

pub(crate) fn now() -> Time {
    let t = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    Time {
        sec: t.as_secs() as i64,
        nsec: t.subsec_nanos(),
    }
}

impl Ours {
    pub(crate) fn new(fs: &Arc<dyn FileSystem>) -> Self {
        let namespace = MountNamespace::new(fs, MountFlags::empty(), b"none");
        let fs = FsContext::new(namespace.root(), 0o22);
        Self {
            namespace,
            fs,
            cred: Arc::new(Cred::root()),
        }
    }

    fn cx(&self) -> Cx {
        Cx {
            cred: Arc::clone(&self.cred),
            umask: self.fs.umask(),
            ..Cx::host(now())
        }
    }

    fn find(&self, path: &[u8], follow: bool) -> Res<Path> {
        let flags = if follow {
            LookupFlags::FOLLOW
        } else {
            LookupFlags::empty()
        };
        lookup(&self.cx(), &self.fs.at_cwd(), path, flags)
    }

    fn open(&self, path: &[u8], f: Flags, mode: u32) -> Res<Arc<File>> {
        let mut flags = OpenFlags::from_bits_retain(f.access);
        for (on, bit) in [
            (f.creat, OpenFlags::CREAT),
            (f.excl, OpenFlags::EXCL),
            (f.trunc, OpenFlags::TRUNC),
            (f.append, OpenFlags::APPEND),
            (f.directory, OpenFlags::DIRECTORY),
            (f.nofollow, OpenFlags::NOFOLLOW),
            (f.path, OpenFlags::PATH),
            (f.tmpfile, OpenFlags::TMPFILE),
        ] {
            if on {
                flags |= bit;
            }
        }
        let how = How {
            flags,
            mode,
            resolve: LookupFlags::from_bits_retain(f.resolve),
        };
        match open::open(&self.cx(), &self.fs.at_cwd(), path, &how)? {
            Opened::File(file) => Ok(file),
            // What Linux says to O_NONBLOCK without a reader, and for a device without a driver.
            Opened::Special(_) => Err(Errno::ENXIO),
        }
    }

    fn step(&self, file: &Arc<File>, step: &Step) -> Res<Value> {
        let cx = self.cx();
        let number = |n: usize| Value::Number(n as i64);
        match step {
            Step::Read(len) => {
                let mut buf = vec![0u8; *len];
                let n = file.read(&cx, &mut &mut buf[..])?;
                buf.truncate(n);
                Ok(Value::Bytes(buf.into()))
            }
            Step::PRead(at, len) => {
                let mut buf = vec![0u8; *len];
                let n = file.pread(&cx, *at, &mut &mut buf[..])?;
                buf.truncate(n);
                Ok(Value::Bytes(buf.into()))
            }
            Step::Write(data) => file.write(&cx, &mut &data[..]).map(number),
            Step::PWrite(at, data) => file.pwrite(&cx, *at, &mut &data[..], false).map(number),
            Step::Seek(offset, whence) => file
                .seek(&cx, *offset, *whence)
                .map(|n| Value::Number(n as i64)),
            Step::Truncate(size) => setattr::ftruncate(&cx, file, *size).map(|()| Value::Done),
            Step::Fallocate(mode, at, len) => {
                file.fallocate(&cx, *mode, *at, *len).map(|()| Value::Done)
            }
            Step::Stat => file.attr(&cx).map(|a| Value::Stat(stat(&a))),
            Step::LinkAs(path) => {
                let target = file.path().ok_or(Errno::EBADF)?;
                link::link(&cx, target, &self.fs.at_cwd(), path).map(|()| Value::Done)
            }
            Step::List => {
                let mut names = BTreeMap::new();
                loop {
                    let mut room = 3;
                    file.read_dir(&cx, &mut |e: DirEntry<'_>| {
                        if room == 0 {
                            return false;
                        }
                        room -= 1;
                        names.insert(e.name.to_vec().into(), e.kind.dirent_type());
                        true
                    })?;
                    if room == 3 {
                        return Ok(Value::Names(names));
                    }
                }
            }
        }
    }

    fn answer(&mut self, op: &Op) -> Res<Value> {
        let cx = self.cx();
        let at = self.fs.at_cwd();
        let done = |()| Value::Done;
        match op {
            Op::Be(uid, umask) => {
                self.fs.set_umask(*umask);
                self.cred = Arc::new(Cred::user(*uid, *uid));
                Ok(Value::Done)
            }
            Op::Mkdir(path, mode) => create::mkdir(&cx, &at, path, *mode).map(|_| Value::Done),
            Op::Rmdir(path) => unlink::rmdir(&cx, &at, path).map(done),
            Op::Unlink(path) => unlink::unlink(&cx, &at, path).map(done),
            Op::Mknod(path, mode) => {
                let kind = match mode & 0o170000 {
                    0o010000 => NewKind::Fifo,
                    0o020000 => NewKind::CharDevice(DeviceId::decode(0x103)),
                    0o140000 => NewKind::Socket,
                    _ => NewKind::Regular,
                };
                create::mknod(&cx, &at, path, kind, *mode & 0o7777).map(|_| Value::Done)
            }
            Op::Symlink(target, path) => {
                create::symlink(&cx, &at, target, path).map(|_| Value::Done)
            }
            Op::Readlink(path) => {
                link::readlink(&cx, &self.find(path, false)?).map(|b| Value::Bytes(b.into()))
            }
            Op::Link(from, to, follow) => {
                link::link(&cx, &self.find(from, *follow)?, &at, to).map(done)
            }
            Op::Rename(from, to, flags) => {
                let flags = RenameFlags::from_bits_retain(*flags);
                rename::rename(&cx, &at, from, &at, to, flags).map(done)
            }
            Op::Stat(path, follow) => self
                .find(path, *follow)?
                .attr(&cx)
                .map(|a| Value::Stat(stat(&a))),
            Op::Chmod(path, mode) => setattr::chmod(&cx, &self.find(path, true)?, *mode).map(done),
            Op::Chown(path, uid, gid, follow) => {
                setattr::chown(&cx, &self.find(path, *follow)?, *uid, *gid).map(done)
            }
            Op::Truncate(path, size) => {
                setattr::truncate(&cx, &self.find(path, true)?, *size).map(done)
            }
            Op::Utimens(path, atime, mtime, follow) => {
                let time = |t: &Option<i64>| {
                    t.map(|s| match s {
                        0 => SetTime::Now,
                        sec => SetTime::At(Time { sec, nsec: 0 }),
                    })
                };
                if atime.is_none() && mtime.is_none() {
                    return Ok(Value::Done);
                }
                let path = self.find(path, *follow)?;
                setattr::utimens(&cx, &path, time(atime), time(mtime)).map(done)
            }
            Op::Access(path, mode) => {
                access::access(&cx, &at, path, *mode, LookupFlags::FOLLOW, false).map(done)
            }
            Op::GetXattr(path, name) => {
                xattr::get(&cx, &self.find(path, true)?, name).map(|b| Value::Bytes(b.into()))
            }
            Op::SetXattr(path, name, value, flags) => {
                xattr::set(&cx, &self.find(path, true)?, name, value, *flags).map(done)
            }
            Op::ListXattr(path) => {
                let list = xattr::list(&cx, &self.find(path, true)?)?;
                let names = list.split(|&b| b == 0).filter(|n| !n.is_empty());
                Ok(Value::Names(
                    names.map(|n| (n.to_vec().into(), 0)).collect(),
                ))
            }
            Op::RemoveXattr(path, name) => {
                xattr::remove(&cx, &self.find(path, true)?, name).map(done)
            }
            Op::Open(path, flags, mode, steps) => {
                let file = self.open(path, *flags, *mode)?;
                let answers = steps
                    .iter()
                    .map(|s| self.step(&file, s).map_err(Errno::raw))
                    .collect();
                Ok(Value::Steps(answers))
            }
            Op::Chdir(path) => {
                let path = self.find(path, true)?;
                access::may_chdir(&cx, &path)?;
                self.fs.set_cwd(path);
                Ok(Value::Done)
            }
            Op::Getcwd => self
                .fs
                .cwd()
                .getcwd(&self.fs.root())
                .map(|b| Value::Bytes(b.into())),
        }
    }
}

fn stat(a: &Attr) -> Stat {
    Stat {
        mode: a.st_mode(),
        nlink: a.nlink,
        uid: a.uid,
        gid: a.gid,
        size: a.size,
        rdev: a.rdev.encode(),
        atime: a.atime.sec,
        mtime: a.mtime.sec,
    }
    .normal()
}

impl World for Ours {
    fn run(&mut self, op: &Op) -> Answer {
        self.answer(op).map_err(Errno::raw)
    }
}
