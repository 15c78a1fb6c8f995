//! The host's kernel, in a chroot of the calling thread.

use crate::world::{Answer, Flags, Op, Stat, Step, Value, World};
use std::{collections::BTreeMap, ffi::CString, path::Path};

type Res<T> = Result<T, i32>;

/// A system call by number. Pointers are to live buffers of the callers below.
fn call(nr: libc::c_long, args: &[usize]) -> Res<usize> {
    let a = |i: usize| args.get(i).copied().unwrap_or(0);
    // SAFETY: every caller passes addresses of buffers that live across the call, with their lengths, or numbers.
    let ret = unsafe { libc::syscall(nr, a(0), a(1), a(2), a(3), a(4), a(5)) };
    if ret < 0 {
        Err(std::io::Error::last_os_error().raw_os_error().unwrap_or(0))
    } else {
        Ok(ret as usize)
    }
}

const CWD: usize = libc::AT_FDCWD as usize;

fn c(path: &[u8]) -> CString {
    CString::new(path).expect("no NUL in test paths")
}

fn p(path: &CString) -> usize {
    path.as_ptr() as usize
}

/// The host side of the comparison.
pub(crate) struct Host;

impl Host {
    /// Puts the calling thread alone into `dir`; `Err` without the right to.
    pub(crate) fn enter(dir: &Path) -> Res<Self> {
        call(libc::SYS_unshare, &[libc::CLONE_FS as usize])?;
        let dir = c(dir.as_os_str().as_encoded_bytes());
        call(libc::SYS_chroot, &[p(&dir)])?;
        call(libc::SYS_chdir, &[p(&c(b"/"))])?;
        call(libc::SYS_setgroups, &[0, 0])?;
        Ok(Self)
    }

    fn open(&self, path: &[u8], f: Flags, mode: u32) -> Res<usize> {
        let mut flags = f.access as i32;
        for (on, bit) in [
            (f.creat, libc::O_CREAT),
            (f.excl, libc::O_EXCL),
            (f.trunc, libc::O_TRUNC),
            (f.append, libc::O_APPEND),
            (f.directory, libc::O_DIRECTORY),
            (f.nofollow, libc::O_NOFOLLOW),
            (f.path, libc::O_PATH),
            (f.tmpfile, libc::O_TMPFILE),
        ] {
            if on {
                flags |= bit;
            }
        }
        // Nobody may wait for a FIFO's other end here.
        flags |= if f.path {
            libc::O_CLOEXEC
        } else {
            libc::O_NONBLOCK | libc::O_CLOEXEC
        };
        let path = c(path);
        let fd = if f.resolve == 0 {
            call(
                libc::SYS_openat,
                &[CWD, p(&path), flags as usize, mode as usize],
            )?
        } else {
            let mode = if f.creat || f.tmpfile {
                u64::from(mode)
            } else {
                0
            };
            let how = [flags as u64, mode, f.resolve];
            call(
                libc::SYS_openat2,
                &[CWD, p(&path), how.as_ptr() as usize, 24],
            )?
        };
        let Ok(Value::Stat(stat)) = self.stat(fd, b"", libc::AT_EMPTY_PATH) else {
            return Ok(fd);
        };
        if !f.path && !matches!(stat.mode & 0o170000, 0o100000 | 0o040000) {
            // A FIFO or device: that is the kernel's part, not the VFS's.
            call(libc::SYS_close, &[fd])?;
            return Err(libc::ENXIO);
        }
        Ok(fd)
    }

    fn stat(&self, fd: usize, path: &[u8], flags: i32) -> Answer {
        let mut buf = [0u64; 18];
        call(
            libc::SYS_newfstatat,
            &[fd, p(&c(path)), buf.as_mut_ptr() as usize, flags as usize],
        )?;
        // struct stat of x86-64 in words: dev ino nlink mode|uid gid rdev size blksize blocks atime...
        let mode_uid = buf[3];
        let stat = Stat {
            nlink: buf[2] as u32,
            mode: mode_uid as u32,
            uid: (mode_uid >> 32) as u32,
            gid: buf[4] as u32,
            rdev: buf[5],
            size: buf[6],
            atime: buf[9] as i64,
            mtime: buf[11] as i64,
        };
        Ok(Value::Stat(stat.normal()))
    }

    fn step(&self, fd: usize, step: &Step) -> Answer {
        let number = |n: usize| Value::Number(n as i64);
        match step {
            Step::Read(len) => {
                let mut buf = vec![0u8; *len];
                let n = call(libc::SYS_read, &[fd, buf.as_mut_ptr() as usize, *len])?;
                buf.truncate(n);
                Ok(Value::Bytes(buf.into()))
            }
            Step::PRead(at, len) => {
                let mut buf = vec![0u8; *len];
                let n = call(
                    libc::SYS_pread64,
                    &[fd, buf.as_mut_ptr() as usize, *len, *at as usize],
                )?;
                buf.truncate(n);
                Ok(Value::Bytes(buf.into()))
            }
            Step::Write(data) => {
                call(libc::SYS_write, &[fd, data.as_ptr() as usize, data.len()]).map(number)
            }
            Step::PWrite(at, data) => {
                let args = [fd, data.as_ptr() as usize, data.len(), *at as usize];
                call(libc::SYS_pwrite64, &args).map(number)
            }
            Step::Seek(offset, whence) => {
                call(libc::SYS_lseek, &[fd, *offset as usize, *whence as usize]).map(number)
            }
            Step::Truncate(size) => {
                call(libc::SYS_ftruncate, &[fd, *size as usize]).map(|_| Value::Done)
            }
            Step::Fallocate(mode, at, len) => {
                let args = [fd, *mode as usize, *at as usize, *len as usize];
                call(libc::SYS_fallocate, &args).map(|_| Value::Done)
            }
            Step::Stat => self.stat(fd, b"", libc::AT_EMPTY_PATH),
            Step::LinkAs(path) => {
                let (empty, path) = (c(b""), c(path));
                let args = [fd, p(&empty), CWD, p(&path), libc::AT_EMPTY_PATH as usize];
                call(libc::SYS_linkat, &args).map(|_| Value::Done)
            }
            Step::List => {
                let mut names = BTreeMap::new();
                let mut buf = vec![0u8; 4096];
                loop {
                    let args = [fd, buf.as_mut_ptr() as usize, buf.len()];
                    let n = call(libc::SYS_getdents64, &args)?;
                    if n == 0 {
                        return Ok(Value::Names(names));
                    }
                    let mut at = 0;
                    while at < n {
                        let reclen = u16::from_le_bytes([buf[at + 16], buf[at + 17]]) as usize;
                        let kind = buf[at + 18];
                        let name = &buf[at + 19..at + reclen];
                        let len = name.iter().position(|&b| b == 0).unwrap_or(name.len());
                        names.insert(name[..len].to_vec().into(), kind);
                        at += reclen;
                    }
                }
            }
        }
    }
}

fn time(t: Option<i64>) -> [i64; 2] {
    match t {
        None => [0, libc::UTIME_OMIT],
        Some(0) => [0, libc::UTIME_NOW],
        Some(s) => [s, 0],
    }
}

impl World for Host {
    fn run(&mut self, op: &Op) -> Answer {
        let done = |_: usize| Value::Done;
        match op {
            Op::Be(uid, umask) => {
                call(libc::SYS_umask, &[*umask as usize])?;
                // First back to the superuser, who may become anyone.
                call(libc::SYS_setresuid, &[0, 0, 0])?;
                call(libc::SYS_setresgid, &[*uid as usize; 3])?;
                call(libc::SYS_setresuid, &[*uid as usize, *uid as usize, 0]).map(done)
            }
            Op::Mkdir(path, mode) => {
                call(libc::SYS_mkdirat, &[CWD, p(&c(path)), *mode as usize]).map(done)
            }
            Op::Rmdir(path) => {
                let flag = libc::AT_REMOVEDIR as usize;
                call(libc::SYS_unlinkat, &[CWD, p(&c(path)), flag]).map(done)
            }
            Op::Unlink(path) => call(libc::SYS_unlinkat, &[CWD, p(&c(path)), 0]).map(done),
            Op::Mknod(path, mode) => call(
                libc::SYS_mknodat,
                &[CWD, p(&c(path)), *mode as usize, 0x103],
            )
            .map(done),
            Op::Symlink(target, path) => {
                call(libc::SYS_symlinkat, &[p(&c(target)), CWD, p(&c(path))]).map(done)
            }
            Op::Readlink(path) => {
                let mut buf = vec![0u8; 4096];
                let path = c(path);
                let args = [CWD, p(&path), buf.as_mut_ptr() as usize, buf.len()];
                let n = call(libc::SYS_readlinkat, &args)?;
                buf.truncate(n);
                Ok(Value::Bytes(buf.into()))
            }
            Op::Link(from, to, follow) => {
                let flag = if *follow { libc::AT_SYMLINK_FOLLOW } else { 0 };
                let (from, to) = (c(from), c(to));
                call(
                    libc::SYS_linkat,
                    &[CWD, p(&from), CWD, p(&to), flag as usize],
                )
                .map(done)
            }
            Op::Rename(from, to, flags) => {
                let (from, to) = (c(from), c(to));
                let args = [CWD, p(&from), CWD, p(&to), *flags as usize];
                call(libc::SYS_renameat2, &args).map(done)
            }
            Op::Stat(path, follow) => self.stat(
                CWD,
                path,
                if *follow {
                    0
                } else {
                    libc::AT_SYMLINK_NOFOLLOW
                },
            ),
            Op::Chmod(path, mode) => {
                call(libc::SYS_fchmodat, &[CWD, p(&c(path)), *mode as usize]).map(done)
            }
            Op::Chown(path, uid, gid, follow) => {
                let id = |id: &Option<u32>| id.unwrap_or(u32::MAX) as usize;
                let flag = if *follow {
                    0
                } else {
                    libc::AT_SYMLINK_NOFOLLOW
                };
                let path = c(path);
                call(
                    libc::SYS_fchownat,
                    &[CWD, p(&path), id(uid), id(gid), flag as usize],
                )
                .map(done)
            }
            Op::Truncate(path, size) => {
                call(libc::SYS_truncate, &[p(&c(path)), *size as usize]).map(done)
            }
            Op::Utimens(path, atime, mtime, follow) => {
                let times = [time(*atime), time(*mtime)];
                let flag = if *follow {
                    0
                } else {
                    libc::AT_SYMLINK_NOFOLLOW
                };
                let path = c(path);
                let args = [CWD, p(&path), times.as_ptr() as usize, flag as usize];
                call(libc::SYS_utimensat, &args).map(done)
            }
            Op::Access(path, mode) => {
                call(libc::SYS_faccessat, &[CWD, p(&c(path)), *mode as usize]).map(done)
            }
            Op::GetXattr(path, name) => {
                let mut buf = vec![0u8; 4096];
                let (path, name) = (c(path), c(name));
                let args = [p(&path), p(&name), buf.as_mut_ptr() as usize, buf.len()];
                let n = call(libc::SYS_getxattr, &args)?;
                buf.truncate(n);
                Ok(Value::Bytes(buf.into()))
            }
            Op::SetXattr(path, name, value, flags) => {
                let (path, name) = (c(path), c(name));
                let args = [
                    p(&path),
                    p(&name),
                    value.as_ptr() as usize,
                    value.len(),
                    *flags as usize,
                ];
                call(libc::SYS_setxattr, &args).map(done)
            }
            Op::ListXattr(path) => {
                let mut buf = vec![0u8; 4096];
                let path = c(path);
                let n = call(
                    libc::SYS_listxattr,
                    &[p(&path), buf.as_mut_ptr() as usize, buf.len()],
                )?;
                buf.truncate(n);
                let names = buf.split(|&b| b == 0).filter(|n| !n.is_empty());
                Ok(Value::Names(
                    names.map(|n| (n.to_vec().into(), 0)).collect(),
                ))
            }
            Op::RemoveXattr(path, name) => {
                let (path, name) = (c(path), c(name));
                call(libc::SYS_removexattr, &[p(&path), p(&name)]).map(done)
            }
            Op::Open(path, flags, mode, steps) => {
                let fd = self.open(path, *flags, *mode)?;
                let answers = steps.iter().map(|s| self.step(fd, s)).collect();
                call(libc::SYS_close, &[fd])?;
                Ok(Value::Steps(answers))
            }
            Op::Chdir(path) => call(libc::SYS_chdir, &[p(&c(path))]).map(done),
            Op::Getcwd => {
                let mut buf = vec![0u8; 4096];
                let n = call(libc::SYS_getcwd, &[buf.as_mut_ptr() as usize, buf.len()])?;
                buf.truncate(n - 1);
                Ok(Value::Bytes(buf.into()))
            }
        }
    }
}
