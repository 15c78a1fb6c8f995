//! Memory: mappings, protection, faults, files, remapping, brk.

use guest::{c, close, errno, error_name, fork, handle, ok, say, scratch, show, wait, write};
use libc::{
    MAP_ANONYMOUS, MAP_FAILED, MAP_FIXED, MAP_FIXED_NOREPLACE, MAP_NORESERVE, MAP_PRIVATE, MAP_SHARED, PROT_NONE,
    PROT_READ, PROT_WRITE, c_void,
};
use std::sync::atomic::{AtomicI32, AtomicUsize, Ordering::SeqCst};

const RW: i32 = PROT_READ | PROT_WRITE;
const PAGE: usize = 4096;

static CODE: AtomicI32 = AtomicI32::new(0);
static SIGNAL: AtomicI32 = AtomicI32::new(0);
static ADDR: AtomicUsize = AtomicUsize::new(0);

/// Notes the fault and makes the page accessible by a new mapping, so that the access succeeds when it is repeated.
extern "C" fn fault(n: i32, info: *mut libc::siginfo_t, _: *mut c_void) {
    // SAFETY: the kernel's information; mapping over the faulting page is what this test wants.
    unsafe {
        SIGNAL.store(n, SeqCst);
        CODE.store((*info).si_code, SeqCst);
        let at = (*info).si_addr() as usize;
        ADDR.store(at, SeqCst);
        let page = (at & !(PAGE - 1)) as *mut c_void;
        libc::mmap(page, PAGE, RW, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
    }
}

/// What a fault said, relative to an address.
fn seen(base: usize) -> String {
    let n = SIGNAL.swap(0, SeqCst);
    if n == 0 {
        return "no fault".into();
    }
    let at = ADDR.load(SeqCst) as isize - base as isize;
    format!("SIG{} code {} at {at:+}", guest::signal_name(n), CODE.load(SeqCst))
}

fn map(at: usize, len: usize, prot: i32, flags: i32, fd: i32, off: i64) -> *mut u8 {
    // SAFETY: callers pass addresses of their own.
    unsafe { libc::mmap(at as *mut c_void, len, prot, flags, fd, off).cast() }
}

fn anon(pages: usize) -> *mut u8 {
    let p = map(0, pages * PAGE, RW, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert!(p as *mut c_void != MAP_FAILED);
    p
}

fn why(p: *mut u8) -> String {
    if p as *mut c_void == MAP_FAILED { error_name(errno()) } else { "ok".into() }
}

fn main() {
    let dir = scratch("memory");
    handle(libc::SIGSEGV, 0, &[], fault);
    handle(libc::SIGBUS, 0, &[], fault);
    // SAFETY: every pointer is one of the mappings made here.
    unsafe {
        // Anonymous.
        let p = anon(4);
        say!("zeroed: {}", (0..4 * PAGE).all(|i| *p.add(i) == 0));
        p.write_volatile(1);
        libc::mprotect(p.cast(), PAGE, PROT_READ);
        p.write_volatile(2);
        say!("write to read-only: {} now {}", seen(p as usize), p.read_volatile());
        libc::mprotect(p.add(PAGE).cast(), PAGE, PROT_NONE);
        p.add(PAGE + 5).read_volatile();
        say!("read of none: {}", seen(p as usize));
        libc::munmap(p.add(2 * PAGE).cast(), PAGE);
        p.add(2 * PAGE + 9).read_volatile();
        say!("read of a hole: {}", seen(p as usize));
        libc::munmap(p.add(2 * PAGE).cast(), PAGE);
        p.add(2 * PAGE - 3).cast::<u64>().write_unaligned(!0);
        say!("store across into a hole: {}", seen(p as usize));
        (0x1_0008 as *const u8).read_volatile();
        say!("low address: {}", seen(0x1_0000));
        say!("errors: {} {} {} {} {}",
            why(map(0, 0, RW, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)),
            why(map(1, PAGE, RW, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0)),
            why(map(0, PAGE, RW, MAP_ANONYMOUS, -1, 0)),
            why(map(0, PAGE, RW, MAP_PRIVATE, 999, 0)),
            why(map(0, PAGE, RW, MAP_PRIVATE | MAP_ANONYMOUS, -1, 1)));
        say!("noreplace: {}", why(map(p as usize, PAGE, RW, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0)));
        say!("munmap odd: {} {} {}", show(libc::munmap(p.add(1).cast(), PAGE)), show(libc::munmap(p.cast(), 0)),
            show(libc::munmap(p.cast(), PAGE)));
        say!("mprotect hole: {}", show(libc::mprotect(p.cast(), PAGE, RW)));
        say!("mprotect odd: {} {}", show(libc::syscall(libc::SYS_mprotect, p.add(1), PAGE, RW)), show(libc::syscall(libc::SYS_mprotect, p.add(PAGE), 0, RW)));
        let big = map(0, 1 << 40, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        say!("a terabyte: {}", why(big));
        libc::mprotect(big.add(1 << 39).cast(), PAGE, RW);
        big.add(1 << 39).write_volatile(9);
        say!("in the middle: {} {}", seen(0), big.add(1 << 39).read_volatile());
        say!("gone: {}", show(libc::munmap(big.cast(), 1 << 40)));

        // Files.
        let fd = libc::open(c"file".as_ptr(), libc::O_RDWR | libc::O_CREAT, 0o600);
        write(fd, &vec![b'a'; PAGE + 100]);
        let shared = map(0, 3 * PAGE, RW, MAP_SHARED, fd, 0);
        let private = map(0, 3 * PAGE, RW, MAP_PRIVATE, fd, 0);
        *shared = b'S';
        let mut buf = [0u8; 8];
        libc::pread(fd, buf.as_mut_ptr().cast(), 4, 0);
        say!("shared store, read: {:?}", String::from_utf8_lossy(&buf[..4]));
        say!("private sees it: {}", *private as char);
        *private.add(1) = b'P';
        libc::pread(fd, buf.as_mut_ptr().cast(), 4, 0);
        say!("private store, read: {:?} shared {}", String::from_utf8_lossy(&buf[..4]), *shared.add(1) as char);
        libc::pwrite(fd, c"xyz".as_ptr().cast(), 3, 2);
        say!("write seen: shared {}{} private {}", *shared.add(2) as char, *shared.add(4) as char, *private.add(2) as char);
        say!("tail is zero: {}", *shared.add(PAGE + 100));
        *shared.add(PAGE + 200) = 5;
        say!("size: {}", libc::lseek(fd, 0, libc::SEEK_END));
        shared.add(2 * PAGE).read_volatile();
        say!("beyond the end: {}", seen(shared as usize));
        let shared = {
            libc::munmap(shared.cast(), 3 * PAGE);
            map(0, 3 * PAGE, RW, MAP_SHARED, fd, 0)
        };
        libc::ftruncate(fd, 3 * PAGE as i64);
        *shared.add(2 * PAGE) = 7;
        say!("grown: {} {}", seen(shared as usize), *shared.add(2 * PAGE));
        libc::ftruncate(fd, 10);
        shared.add(PAGE).write_volatile(1);
        say!("shrunk: {}", seen(shared as usize));
        say!("tail after shrinking: {} {}", *shared.add(9) as char, *shared.add(10));
        say!("msync: {} {}", show(libc::msync(shared.cast(), PAGE, libc::MS_SYNC)), show(libc::msync(shared.cast(), PAGE, 64)));
        let ro = libc::open(c"file".as_ptr(), libc::O_RDONLY);
        say!("shared writable of a read-only descriptor: {}", why(map(0, PAGE, RW, MAP_SHARED, ro, 0)));
        let rshared = map(0, PAGE, PROT_READ, MAP_SHARED, ro, 0);
        say!("mprotect it: {}", show(libc::mprotect(rshared.cast(), PAGE, RW)));
        say!("private writable of it: {}", why(map(0, PAGE, RW, MAP_PRIVATE, ro, 0)));
        let wo = libc::open(c"file".as_ptr(), libc::O_WRONLY);
        say!("of a write-only descriptor: {}", why(map(0, PAGE, PROT_READ, MAP_SHARED, wo, 0)));
        let d = libc::open(c".".as_ptr(), libc::O_RDONLY);
        say!("of a directory: {}", why(map(0, PAGE, PROT_READ, MAP_PRIVATE, d, 0)));
        let (r, _w) = guest::pipe();
        say!("of a pipe: {}", why(map(0, PAGE, PROT_READ, MAP_PRIVATE, r, 0)));
        close(fd);
        libc::unlink(c"file".as_ptr());
        say!("lives after close and unlink: {}", *shared as char);

        // Between processes.
        let both = map(0, PAGE, RW, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        let own = anon(1);
        let pid = fork(|| {
            *both = 1;
            *own = 1;
            0
        });
        wait(pid);
        say!("after fork: shared {} private {}", *both, *own);

        // mremap.
        let p = anon(2);
        *p = 1;
        *p.add(PAGE) = 2;
        let q = libc::mremap(p.cast(), 2 * PAGE, 64 * PAGE, libc::MREMAP_MAYMOVE).cast::<u8>();
        say!("grown: {} {} {}", *q, *q.add(PAGE), *q.add(63 * PAGE));
        let q2 = libc::mremap(q.cast(), 64 * PAGE, PAGE, 0).cast::<u8>();
        say!("shrunk in place: {} {}", q2 == q, *q2);
        q.add(PAGE).read_volatile();
        say!("cut off: {}", seen(q as usize));
        let target = anon(4);
        *target = 9;
        let moved = libc::mremap(q.cast(), PAGE, PAGE, libc::MREMAP_MAYMOVE | libc::MREMAP_FIXED, target).cast::<u8>();
        say!("moved onto another: {} {}", moved == target, *moved);
        q.read_volatile();
        say!("old place: {}", seen(q as usize));
        let p = anon(3);
        say!("no room in place: {}", ok(libc::mremap(p.cast(), PAGE, 3 * PAGE, 0) as isize));
        say!("errors: {} {} {}", ok(libc::mremap(p.add(1).cast(), PAGE, PAGE, 0) as isize), ok(libc::mremap(p.cast(), PAGE, 0, 0) as isize),
            ok(libc::mremap(8 as *mut c_void, PAGE, PAGE, 0) as isize));

        // madvise.
        let p = anon(2);
        p.write_bytes(7, 2 * PAGE);
        say!("dontneed: {} {} {}", show(libc::madvise(p.cast(), PAGE, libc::MADV_DONTNEED)), *p, *p.add(PAGE));
        say!("madvise errors: {} {} {}", show(libc::madvise(p.add(1).cast(), PAGE, libc::MADV_DONTNEED)), show(libc::madvise(p.cast(), PAGE, 12345)),
            show(libc::madvise(p.cast(), 0, libc::MADV_NORMAL)));
        libc::munmap(p.cast(), PAGE);
        say!("madvise hole: {}", show(libc::madvise(p.cast(), 2 * PAGE, libc::MADV_DONTNEED)));
        let mut vec = [9u8; 2];
        say!("mincore hole: {}", show(libc::mincore(p.cast(), 2 * PAGE, vec.as_mut_ptr().cast())));
        p.add(PAGE).write_volatile(1);
        say!("mincore: {} {}", show(libc::mincore(p.add(PAGE).cast(), PAGE, vec.as_mut_ptr().cast())), vec[0] & 1);

        // brk.
        let start = libc::syscall(libc::SYS_brk, 0);
        let end = libc::syscall(libc::SYS_brk, start + 3 * PAGE as i64);
        say!("brk: {}", end - start);
        let heap = start as *mut u8;
        heap.add(3 * PAGE - 1).write_volatile(4);
        say!("usable: {} {}", heap.add(3 * PAGE - 1).read_volatile(), seen(0));
        libc::syscall(libc::SYS_brk, start + PAGE as i64);
        libc::syscall(libc::SYS_brk, start + 3 * PAGE as i64);
        say!("zero again: {}", heap.add(3 * PAGE - 1).read_volatile());
        say!("refused: {}", libc::syscall(libc::SYS_brk, 1) - start);

        // System calls and bad addresses.
        let (r, w) = guest::pipe();
        say!("write from a hole: {}", show(libc::syscall(libc::SYS_write, w, 4096, 10)));
        guest::write(w, b"data");
        say!("read to a hole: {}", show(libc::syscall(libc::SYS_read, r, 4096, 4)));
        let p = anon(2);
        libc::munmap(p.add(PAGE).cast(), PAGE);
        let fd = libc::open(c"part".as_ptr(), libc::O_RDWR | libc::O_CREAT, 0o600);
        say!("write up to a hole: {}", show(libc::write(fd, p.add(PAGE - 10).cast(), 100)));
        say!("path at a hole: {}", show(libc::syscall(libc::SYS_openat, libc::AT_FDCWD, 4096, 0, 0)));
        p.add(PAGE - 5).copy_from(c"part".as_ptr().cast(), 5);
        say!("path at the edge: {}", ok(libc::open(p.add(PAGE - 5).cast(), libc::O_RDONLY)));
        p.add(PAGE - 5).write_bytes(b'p', 5);
        say!("path across the edge: {}", ok(libc::syscall(libc::SYS_openat, libc::AT_FDCWD, p.add(PAGE - 5), 0, 0)));

        // Stack growth.
        fn deep(n: u32) -> u64 {
            let room = [u64::from(n); 100];
            if n == 0 { 0 } else { std::hint::black_box(&room)[n as usize % 100] + deep(n - 1) }
        }
        say!("deep recursion: {}", deep(6000));
        let pid = fork(|| {
            guest::disposition(libc::SIGSEGV, libc::SIG_DFL);
            (deep(100_000_000) & 1) as i32
        });
        say!("endless recursion: {}", wait(pid));

        // Limits.
        let pid = fork(|| {
            let limit = libc::rlimit { rlim_cur: 64 << 20, rlim_max: 64 << 20 };
            libc::setrlimit(libc::RLIMIT_AS, &limit);
            say!("address space limit: {}", why(map(0, 128 << 20, RW, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)));
            0
        });
        wait(pid);
        let m = libc::memfd_create(c("m").as_ptr(), libc::MFD_ALLOW_SEALING);
        libc::ftruncate(m, 4096);
        let p = map(0, PAGE, RW, MAP_SHARED, m, 0);
        say!("seal while mapped: {}", show(libc::fcntl(m, libc::F_ADD_SEALS, libc::F_SEAL_WRITE)));
        libc::munmap(p.cast(), PAGE);
        say!("seal: {} {}", show(libc::fcntl(m, libc::F_ADD_SEALS, libc::F_SEAL_WRITE | libc::F_SEAL_SHRINK)), libc::fcntl(m, libc::F_GET_SEALS));
        say!("write sealed: {} map sealed: {} shrink: {} grow: {}", show(write(m, b"x")), why(map(0, PAGE, RW, MAP_SHARED, m, 0)),
            show(libc::ftruncate(m, 1)), show(libc::ftruncate(m, 8192)));
    }
    guest::clean(&dir);
}
