//! Futexes beyond wait and wake: locks with priority inheritance, requeueing to them, robust lists, the newer calls.

use guest::{error_name, errno, fork, handle, say, show, wait};
use std::{
    mem::zeroed,
    ptr::{null, null_mut},
    sync::atomic::{AtomicI32, AtomicU32, AtomicU64, Ordering::SeqCst},
    thread,
};

const WAIT: i32 = 0;
const WAKE: i32 = 1;
const REQUEUE: i32 = 3;
const LOCK_PI: i32 = 6;
const UNLOCK_PI: i32 = 7;
const TRYLOCK_PI: i32 = 8;
const WAIT_REQUEUE_PI: i32 = 11;
const CMP_REQUEUE_PI: i32 = 12;
const LOCK_PI2: i32 = 13;
const PRIVATE: i32 = 128;
const CLOCK_REALTIME: i32 = 256;
const WAITERS: u32 = 0x8000_0000;
const OWNER_DIED: u32 = 0x4000_0000;
const TID_MASK: u32 = 0x3fff_ffff;

fn futex(word: &AtomicU32, op: i32, value: u32, timeout: *const libc::timespec, other: *const AtomicU32, v3: u32) -> i64 {
    // SAFETY: all pointers are valid or null.
    unsafe { libc::syscall(libc::SYS_futex, word.as_ptr(), op, value, timeout, other, v3) }
}

/// A futex command without further arguments.
fn simple(word: &AtomicU32, op: i32) -> i64 {
    futex(word, op, 0, null(), null(), 0)
}

/// Two counts instead of a timeout.
fn counts(word: &AtomicU32, op: i32, first: u32, second: i32, other: &AtomicU32, v3: u32) -> i64 {
    futex(word, op, first, second as isize as *const libc::timespec, other, v3)
}

fn tid() -> u32 {
    // SAFETY: no arguments.
    unsafe { libc::syscall(libc::SYS_gettid) as u32 }
}

fn after(clock: i32, ms: i64) -> libc::timespec {
    // SAFETY: room for the time.
    unsafe {
        let mut t: libc::timespec = zeroed();
        libc::clock_gettime(clock, &mut t);
        t.tv_nsec += ms * 1_000_000;
        t.tv_sec += t.tv_nsec / 1_000_000_000;
        t.tv_nsec %= 1_000_000_000;
        t
    }
}

/// A word's owner and flags, without the thread's number.
fn owner(word: &AtomicU32, names: &[(&str, u32)]) -> String {
    let value = word.load(SeqCst);
    let name = match value & TID_MASK {
        0 => "nobody",
        t => names.iter().find(|(_, n)| *n == t).map_or("somebody else", |(name, _)| name),
    };
    let flag = |bit, text| if value & bit != 0 { text } else { "" };
    format!("{name}{}{}", flag(WAITERS, " waiters"), flag(OWNER_DIED, " died"))
}

/// Waits until a thread sleeps in the kernel.
fn until_asleep(tid: u32) {
    loop {
        let stat = std::fs::read_to_string(format!("/proc/self/task/{tid}/stat")).unwrap_or_default();
        if stat.rsplit(") ").next().is_some_and(|rest| rest.starts_with('S')) {
            return;
        }
        thread::yield_now();
    }
}

static LOCK: AtomicU32 = AtomicU32::new(0);
static OTHER: AtomicU32 = AtomicU32::new(0);
static SLEEPER: AtomicU32 = AtomicU32::new(0);
static GOT: AtomicI32 = AtomicI32::new(0);

extern "C" fn note(n: i32, _: *mut libc::siginfo_t, _: *mut libc::c_void) {
    GOT.store(n, SeqCst);
}

/// A thread that publishes its number and runs `f`.
fn spawn(f: impl FnOnce() -> i64 + Send + 'static) -> (thread::JoinHandle<String>, u32) {
    SLEEPER.store(0, SeqCst);
    let handle = thread::spawn(move || {
        SLEEPER.store(tid(), SeqCst);
        let r = f();
        if r == -1 { error_name(errno()) } else { r.to_string() }
    });
    while SLEEPER.load(SeqCst) == 0 {
        thread::yield_now();
    }
    (handle, SLEEPER.load(SeqCst))
}

fn join(handle: thread::JoinHandle<String>) -> String {
    handle.join().expect("no panic")
}

fn uncontended() {
    let me = [("me", tid())];
    say!("lock: {} {}", show(simple(&LOCK, LOCK_PI | PRIVATE)), owner(&LOCK, &me));
    say!("again: {} try: {}", show(simple(&LOCK, LOCK_PI | PRIVATE)), show(simple(&LOCK, TRYLOCK_PI | PRIVATE)));
    say!("unlock: {} {}", show(simple(&LOCK, UNLOCK_PI | PRIVATE)), owner(&LOCK, &me));
    say!("unlock what is free: {}", show(simple(&LOCK, UNLOCK_PI | PRIVATE)));
    say!("try: {} {}", show(simple(&LOCK, TRYLOCK_PI | PRIVATE)), owner(&LOCK, &me));
    LOCK.store(0x2fff_fff0, SeqCst);
    say!("an owner that does not exist: {}", show(simple(&LOCK, LOCK_PI | PRIVATE)));
    LOCK.store(OWNER_DIED, SeqCst);
    say!("a dead owner: {} {}", show(simple(&LOCK, LOCK_PI | PRIVATE)), owner(&LOCK, &me));
    LOCK.store(0, SeqCst);
    let odd = |at: usize| unsafe { libc::syscall(libc::SYS_futex, at, LOCK_PI, 0, 0, 0, 0) };
    say!("odd address: {} none: {}", show(odd(LOCK.as_ptr() as usize + 1)), show(odd(8)));
    say!("clock flag: {}", show(simple(&LOCK, LOCK_PI | CLOCK_REALTIME)));
    say!("clock flag with wait: {}", show(simple(&LOCK, WAIT | CLOCK_REALTIME)));
    say!("no command: {}", show(simple(&LOCK, 14)));
}

fn contended() {
    for op in [LOCK_PI, LOCK_PI | PRIVATE, LOCK_PI2] {
        let unlock = UNLOCK_PI | op & PRIVATE;
        simple(&LOCK, op);
        let (waiter, number) = spawn(move || {
            let r = simple(&LOCK, op);
            let held = i64::from(LOCK.load(SeqCst) & TID_MASK == tid());
            if r == 0 { 10 * held + simple(&LOCK, unlock) } else { r }
        });
        until_asleep(number);
        say!("{op}: waited for: {}", owner(&LOCK, &[("me", tid())]));
        say!("try: {}", show(simple(&LOCK, TRYLOCK_PI | op & PRIVATE)));
        say!("plain wake: {}", show(futex(&LOCK, WAKE | op & PRIVATE, 1, null(), null(), 0)));
        say!("handed over: {} {}", show(simple(&LOCK, unlock)), join(waiter));
        say!("free: {}", owner(&LOCK, &[]));
    }
    // Timeouts, by either clock.
    simple(&LOCK, LOCK_PI);
    let (waiter, _) = spawn(|| futex(&LOCK, LOCK_PI, 0, &after(libc::CLOCK_REALTIME, 20), null(), 0));
    say!("too late: {}", join(waiter));
    let (waiter, _) = spawn(|| futex(&LOCK, LOCK_PI2, 0, &after(libc::CLOCK_MONOTONIC, 20), null(), 0));
    say!("by the other clock: {}", join(waiter));
    let bad = libc::timespec { tv_sec: 0, tv_nsec: 1_000_000_000 };
    let (waiter, _) = spawn(move || futex(&LOCK, LOCK_PI, 0, &bad, null(), 0));
    say!("bad time: {}", join(waiter));
    // A signal does not end it.
    handle(libc::SIGUSR1, 0, &[], note);
    let (waiter, number) = spawn(|| simple(&LOCK, LOCK_PI) + 10 * simple(&LOCK, UNLOCK_PI));
    until_asleep(number);
    // SAFETY: plain numbers.
    unsafe { libc::syscall(libc::SYS_tgkill, libc::getpid(), number, libc::SIGUSR1) };
    while GOT.load(SeqCst) != libc::SIGUSR1 {
        thread::yield_now();
    }
    until_asleep(number);
    simple(&LOCK, UNLOCK_PI);
    say!("through a signal: {}", join(waiter));
    say!("free: {}", owner(&LOCK, &[]));
    // Two threads, two locks, opposite order.
    simple(&LOCK, LOCK_PI);
    let (waiter, number) = spawn(|| {
        simple(&OTHER, LOCK_PI);
        let r = simple(&LOCK, LOCK_PI);
        simple(&LOCK, UNLOCK_PI);
        simple(&OTHER, UNLOCK_PI);
        r
    });
    until_asleep(number);
    say!("deadlock: {}", show(simple(&OTHER, LOCK_PI)));
    simple(&LOCK, UNLOCK_PI);
    say!("the other: {}", join(waiter));
    // The owner ends without releasing it.
    let (owner_thread, _) = spawn(|| simple(&LOCK, LOCK_PI));
    join(owner_thread);
    until_gone(LOCK.load(SeqCst) & TID_MASK);
    say!("the owner is gone: {}", show(simple(&LOCK, LOCK_PI)));
    LOCK.store(0, SeqCst);
    static GO: AtomicU32 = AtomicU32::new(0);
    let (first, holder) = spawn(|| {
        simple(&LOCK, LOCK_PI);
        futex(&GO, WAIT, 0, null(), null(), 0);
        0
    });
    while LOCK.load(SeqCst) & TID_MASK != holder {
        thread::yield_now();
    }
    let (second, heir) = spawn(|| {
        let r = simple(&LOCK, LOCK_PI);
        r + i64::from(LOCK.load(SeqCst) & OWNER_DIED != 0) + 10 * simple(&LOCK, UNLOCK_PI)
    });
    until_asleep(heir);
    GO.store(1, SeqCst);
    futex(&GO, WAKE, 1, null(), null(), 0);
    join(first);
    say!("inherited, and marked: {}", join(second));
}

fn until_gone(tid: u32) {
    // SAFETY: plain numbers.
    while unsafe { libc::syscall(libc::SYS_tgkill, libc::getpid(), tid, 0) } == 0 {
        thread::yield_now();
    }
}

fn requeued() {
    static COND: AtomicU32 = AtomicU32::new(5);
    say!("same word: {}", show(futex(&COND, WAIT_REQUEUE_PI, 5, null(), &COND, 0)));
    say!("changed: {}", show(futex(&COND, WAIT_REQUEUE_PI, 6, null(), &LOCK, 0)));
    let soon = after(libc::CLOCK_MONOTONIC, 20);
    say!("too late: {}", show(futex(&COND, WAIT_REQUEUE_PI, 5, &soon, &LOCK, 0)));
    say!("nobody: {}", show(counts(&COND, CMP_REQUEUE_PI, 1, 9, &LOCK, 5)));
    say!("two to wake: {}", show(counts(&COND, CMP_REQUEUE_PI, 2, 9, &LOCK, 5)));
    let waiter = || {
        spawn(|| {
            let r = futex(&COND, WAIT_REQUEUE_PI, 5, null(), &LOCK, 0);
            let mine = i64::from(LOCK.load(SeqCst) & TID_MASK == tid());
            r + 10 * mine + 100 * simple(&LOCK, UNLOCK_PI)
        })
    };
    let threads = [waiter(), waiter(), waiter()];
    for (_, number) in &threads {
        until_asleep(*number);
    }
    say!("not by a plain wake: {}", show(futex(&COND, WAKE, 1, null(), null(), 0)));
    say!("value: {}", show(counts(&COND, CMP_REQUEUE_PI, 1, 9, &LOCK, 4)));
    simple(&LOCK, LOCK_PI);
    say!("moved: {} lock: {}", show(counts(&COND, CMP_REQUEUE_PI, 1, 9, &LOCK, 5)), owner(&LOCK, &[("me", tid())]));
    simple(&LOCK, UNLOCK_PI);
    for (thread, _) in threads {
        say!("woken with the lock: {}", join(thread));
    }
    let (thread, number) = waiter();
    until_asleep(number);
    say!("free lock: {} {}", show(counts(&COND, CMP_REQUEUE_PI, 1, 0, &LOCK, 5)), join(thread));
    say!("negative counts: {}", show(counts(&COND, REQUEUE, 1, -1, &LOCK, 5)));
}

fn newer_calls() {
    const WAKE2: i64 = 454;
    const WAIT2: i64 = 455;
    const REQUEUE2: i64 = 456;
    const U32: u32 = 2;
    static WORD: AtomicU32 = AtomicU32::new(1);
    let wake = |mask: u64, count: i32, flags: u32| unsafe { libc::syscall(WAKE2, WORD.as_ptr(), mask, count, flags) };
    let wait2 = |value: u64, mask: u64, flags: u32, time: *const libc::timespec, clock: i32| unsafe {
        libc::syscall(WAIT2, WORD.as_ptr(), value, mask, flags, time, clock)
    };
    say!("size: {} flags: {}", show(wake(1, 1, 1)), show(wake(1, 1, U32 | 0x10)));
    say!("mask: {} {}", show(wake(0, 1, U32)), show(wake(1 << 32, 1, U32)));
    say!("value: {} changed: {}", show(wait2(1 << 32, 1, U32, null(), 0)), show(wait2(2, 1, U32, null(), 0)));
    let soon = after(libc::CLOCK_MONOTONIC, 20);
    say!("clock: {}", show(wait2(1, 1, U32, &soon, libc::CLOCK_BOOTTIME)));
    say!("too late: {}", show(wait2(1, 1, U32, &soon, libc::CLOCK_MONOTONIC)));
    let (thread, number) = spawn(move || unsafe { libc::syscall(WAIT2, WORD.as_ptr(), 1u64, 2u64, U32, null::<u8>(), 0) });
    until_asleep(number);
    say!("none: {} another bit: {} the bit: {} {}", show(wake(2, 0, U32)), show(wake(1, 1, U32)), show(wake(6, 1, U32)), join(thread));
    let pair = |second: &AtomicU32| {
        [
            [1u64, WORD.as_ptr() as u64, u64::from(U32)],
            [0, second.as_ptr() as u64, u64::from(U32)],
        ]
    };
    let (thread, number) = spawn(move || unsafe { libc::syscall(WAIT2, WORD.as_ptr(), 1u64, 1u64, U32, null::<u8>(), 0) });
    until_asleep(number);
    let requeue = |flags: u32, wake: i32, move_: i32| unsafe { libc::syscall(REQUEUE2, pair(&OTHER).as_ptr(), flags, wake, move_) };
    say!("requeue flags: {} negative: {} {}", show(requeue(1, 0, 1)), show(requeue(0, -1, 1)), show(requeue(0, 0, 1)));
    say!("moved: {} {}", show(wake(1, 1, U32)), show(futex(&OTHER, WAKE, 1, null(), null(), 0)));
    say!("woken: {}", join(thread));
    let waitv = |count: u32, clock: i32, time: *const libc::timespec| unsafe {
        libc::syscall(449, pair(&WORD).as_ptr(), count, 0, time, clock)
    };
    OTHER.store(0, SeqCst);
    say!("waitv: none {} too many {} clock {}", show(waitv(0, 0, null())), show(waitv(129, 0, null())), show(waitv(1, 7, &soon)));
    say!("late {} changed {}", show(waitv(1, 1, &soon)), show(waitv(2, 1, null())));
}

fn robust() {
    static HELD: AtomicU32 = AtomicU32::new(0);
    static LIST: [AtomicU64; 3] = [const { AtomicU64::new(0) }; 3];
    static NODE: AtomicU64 = AtomicU64::new(0);
    // A list of one lock; the word is found relative to the node.
    let take = || {
        let head = LIST.as_ptr() as u64;
        let node = NODE.as_ptr() as u64;
        LIST[0].store(node, SeqCst);
        LIST[1].store((HELD.as_ptr() as u64).wrapping_sub(node), SeqCst);
        NODE.store(head, SeqCst);
        HELD.store(tid() | WAITERS, SeqCst);
        // SAFETY: the list lives for ever.
        unsafe { libc::syscall(libc::SYS_set_robust_list, head, 24) }
    };
    say!("length: {}", show(unsafe { libc::syscall(libc::SYS_set_robust_list, LIST.as_ptr(), 23) }));
    let (thread, number) = spawn(move || take());
    join(thread);
    until_gone(number);
    say!("died with a lock: {}", owner(&HELD, &[]));
    let (mut head, mut len) = (1u64, 0u64);
    let get = |pid: i32, head: &mut u64, len: &mut u64| unsafe { libc::syscall(libc::SYS_get_robust_list, pid, head, len) };
    static STAY: AtomicU32 = AtomicU32::new(0);
    let (thread, number) = spawn(move || {
        take();
        futex(&STAY, WAIT, 0, null(), null(), 0);
        0
    });
    until_asleep(number);
    say!("another thread's: {} {} {len}", show(get(number as i32, &mut head, &mut len)), head == LIST.as_ptr() as u64);
    STAY.store(1, SeqCst);
    futex(&STAY, WAKE, 1, null(), null(), 0);
    join(thread);
    say!("nobody's: {}", show(get(0x3fff_ffff, &mut head, &mut len)));
}

fn between_processes() {
    // SAFETY: a fresh shared page.
    let shared = unsafe {
        let at = libc::mmap(null_mut(), 4096, libc::PROT_READ | libc::PROT_WRITE, libc::MAP_SHARED | libc::MAP_ANONYMOUS, -1, 0);
        &*at.cast::<[AtomicU32; 2]>()
    };
    simple(&shared[0], LOCK_PI);
    let child = fork(|| {
        shared[1].store(tid(), SeqCst);
        let r = simple(&shared[0], LOCK_PI);
        let mine = shared[0].load(SeqCst) & TID_MASK == tid();
        // Ends as the owner.
        if r == 0 && mine { 7 } else { 8 }
    });
    while shared[1].load(SeqCst) == 0 || shared[0].load(SeqCst) & WAITERS == 0 {
        thread::yield_now();
    }
    say!("to a child: {}", show(simple(&shared[0], UNLOCK_PI)));
    say!("child: {}", wait(child));
    say!("gone with it: {}", show(simple(&shared[0], LOCK_PI)));
}

fn main() {
    uncontended();
    contended();
    requeued();
    newer_calls();
    robust();
    between_processes();
}
