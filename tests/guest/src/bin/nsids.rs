//! Ids of users and processes that one namespace tells another: Unix sockets, System V IPC, file locks. Needs to be the
//! superuser.

use guest::{clean, close, fork, pipe, read, say, scratch, show, wait, write};
use std::{fs, mem::zeroed};

fn name(id: i64, who: &[(&str, i32)]) -> String {
    who.iter().find(|(_, n)| i64::from(*n) == id).map_or_else(|| id.to_string(), |(name, _)| (*name).into())
}

fn control() -> (libc::msghdr, Box<[u64; 8]>) {
    // SAFETY: zero is a valid header.
    let mut m: libc::msghdr = unsafe { zeroed() };
    let mut space = Box::new([0u64; 8]);
    m.msg_control = space.as_mut_ptr().cast();
    m.msg_controllen = 64;
    (m, space)
}

/// Who a message says that it is from.
fn sender(fd: i32, who: &[(&str, i32)]) -> String {
    let (mut m, _space) = control();
    let mut byte = 0u8;
    let mut iov = libc::iovec { iov_base: (&raw mut byte).cast(), iov_len: 1 };
    m.msg_iov = &mut iov;
    m.msg_iovlen = 1;
    // SAFETY: valid structures.
    unsafe {
        if libc::recvmsg(fd, &mut m, 0) < 0 {
            return show(-1);
        }
        let head = libc::CMSG_FIRSTHDR(&m);
        if head.is_null() {
            return "nobody".into();
        }
        let c = *libc::CMSG_DATA(head).cast::<libc::ucred>();
        format!("{} {} {}", name(c.pid.into(), who), c.uid, c.gid)
    }
}

fn send_as(fd: i32, pid: i32, uid: u32, gid: u32) -> String {
    let (mut m, _space) = control();
    let mut byte = b'x';
    let mut iov = libc::iovec { iov_base: (&raw mut byte).cast(), iov_len: 1 };
    m.msg_iov = &mut iov;
    m.msg_iovlen = 1;
    // SAFETY: valid structures.
    unsafe {
        m.msg_controllen = libc::CMSG_SPACE(12) as _;
        let head = libc::CMSG_FIRSTHDR(&m);
        (*head).cmsg_level = libc::SOL_SOCKET;
        (*head).cmsg_type = libc::SCM_CREDENTIALS;
        (*head).cmsg_len = libc::CMSG_LEN(12) as _;
        *libc::CMSG_DATA(head).cast() = libc::ucred { pid, uid, gid };
        show(libc::sendmsg(fd, &m, 0) as i64)
    }
}

fn peer(fd: i32, who: &[(&str, i32)]) -> String {
    let mut c = libc::ucred { pid: 7, uid: 7, gid: 7 };
    let mut len = 12;
    // SAFETY: room for the result.
    match unsafe { libc::getsockopt(fd, libc::SOL_SOCKET, libc::SO_PEERCRED, (&raw mut c).cast(), &mut len) } {
        0 => format!("{} {} {}", name(c.pid.into(), who), c.uid.cast_signed(), c.gid.cast_signed()),
        _ => show(-1),
    }
}

fn lock_owner(fd: i32, who: &[(&str, i32)]) -> String {
    // SAFETY: a valid structure.
    unsafe {
        let mut lock: libc::flock = zeroed();
        lock.l_type = libc::F_WRLCK as i16;
        match libc::fcntl(fd, libc::F_GETLK, &mut lock) {
            0 if i32::from(lock.l_type) == libc::F_UNLCK => "nobody".into(),
            0 => name(lock.l_pid.into(), who),
            _ => show(-1),
        }
    }
}

fn lock(fd: i32, start: i64) {
    // SAFETY: a valid structure.
    unsafe {
        let mut lock: libc::flock = zeroed();
        lock.l_type = libc::F_WRLCK as i16;
        lock.l_start = start;
        lock.l_len = 1;
        assert_eq!(libc::fcntl(fd, libc::F_SETLK, &lock), 0);
    }
}

fn segment(id: i32, who: &[(&str, i32)]) -> String {
    // SAFETY: room for the result.
    unsafe {
        let mut ds: libc::shmid_ds = zeroed();
        match libc::shmctl(id, libc::IPC_STAT, &mut ds) {
            0 => format!("owner {} {} maker {} {} by {}", ds.shm_perm.uid, ds.shm_perm.gid, ds.shm_perm.cuid, ds.shm_perm.cgid, name(ds.shm_cpid.into(), who)),
            _ => show(-1),
        }
    }
}

fn give(id: i32, uid: u32) -> String {
    // SAFETY: a valid structure.
    unsafe {
        let mut ds: libc::shmid_ds = zeroed();
        libc::shmctl(id, libc::IPC_STAT, &mut ds);
        ds.shm_perm.uid = uid;
        show(libc::shmctl(id, libc::IPC_SET, &mut ds))
    }
}

fn listed(id: i32) -> String {
    let text = fs::read_to_string("/proc/sysvipc/shm").expect("the list");
    let line = text.lines().map(|l| l.split_whitespace().collect::<Vec<_>>()).find(|l| l.get(1) == Some(&id.to_string().as_str()));
    line.map_or_else(|| "absent".into(), |l| l[7..11].join(" "))
}

fn main() {
    let dir = scratch("nsids");
    // SAFETY: valid pointers everywhere.
    unsafe {
        let mut pair = [0; 2];
        libc::socketpair(libc::AF_UNIX, libc::SOCK_DGRAM, 0, pair.as_mut_ptr());
        let on = 1;
        for fd in pair {
            libc::setsockopt(fd, libc::SOL_SOCKET, libc::SO_PASSCRED, (&raw const on).cast(), 4);
        }
        let me = libc::getpid();
        let id = libc::shmget(libc::IPC_PRIVATE, 4096, 0o600);
        let outer = [("parent", me)];
        say!("outside: {} and {}", segment(id, &outer), listed(id));
        fs::write("file", b"12").expect("a file");
        let file = libc::open(c"file".as_ptr(), libc::O_RDWR);
        lock(file, 0);
        let (mapped, map) = pipe();
        let (go, tell) = pipe();
        write(pair[0], b"p");
        // The inner ids are others: 100 and 200 are the superuser.
        let middle = fork(|| {
            say!("unshare: {}", show(libc::unshare(libc::CLONE_NEWUSER | libc::CLONE_NEWPID)));
            write(map, b"1");
            read(go, 1);
            let child = fork(|| {
                say!("inside: {} {} {}", libc::getpid(), libc::getuid(), libc::getgid());
                say!("peer: {}", peer(pair[1], &[]));
                say!("from outside: {}", sender(pair[1], &[]));
                say!("as itself: {}", send_as(pair[1], 1, 100, 200));
                say!("not as: {} {} {}", send_as(pair[1], 1, 0, 200), send_as(pair[1], 1, 100, 7), send_as(pair[1], 99, 100, 200));
                say!("segment: {}", segment(id, &[]));
                say!("give: {} {}", give(id, 0), give(id, 100));
                say!("locked by: {}", lock_owner(file, &[]));
                lock(file, 1);
                write(map, b"2");
                read(go, 1);
                0
            });
            say!("inner: {}", wait(child));
            0
        });
        read(mapped, 1);
        for (file, text) in [("setgroups", "deny"), ("uid_map", "100 0 1"), ("gid_map", "200 0 1")] {
            fs::write(format!("/proc/{middle}/{file}"), text).expect("a map");
        }
        write(tell, b"1");
        read(mapped, 1);
        let children = fs::read_to_string(format!("/proc/{middle}/task/{middle}/children")).expect("children");
        let child: i32 = children.trim().parse().expect("one child");
        let who = [("parent", me), ("child", child)];
        say!("from inside: {}", sender(pair[0], &who));
        // Its own lock does not count.
        say!("locked by: {}", lock_owner(file, &who));
        write(tell, b"2");
        say!("middle: {}", wait(middle));
        libc::shmctl(id, libc::IPC_RMID, std::ptr::null_mut());
        close(file);
    }
    clean(&dir);
}
