//! Threads: mutexes, condition variables, thread-local storage, futexes, exits, signals to threads.

use guest::{errno, error_name, fork, handle, ok, say, set, show, wait};
use std::{
    cell::Cell,
    ptr::null_mut,
    sync::{
        Arc, Barrier, Condvar, Mutex, RwLock,
        atomic::{AtomicI32, AtomicU32, AtomicU64, AtomicUsize, Ordering::SeqCst},
        mpsc,
    },
    thread,
    time::Duration,
};

thread_local! {
    static MINE: Cell<u64> = const { Cell::new(7) };
    static DROPPED: Noisy = const { Noisy };
}

static DROPS: AtomicUsize = AtomicUsize::new(0);

struct Noisy;

impl Drop for Noisy {
    fn drop(&mut self) {
        DROPS.fetch_add(1, SeqCst);
    }
}

fn futex(word: &AtomicU32, op: i32, value: u32, timeout: *const libc::timespec, other: Option<&AtomicU32>, v3: u32) -> i64 {
    let other = other.map_or(null_mut(), AtomicU32::as_ptr);
    // SAFETY: all pointers are valid or null.
    unsafe { libc::syscall(libc::SYS_futex, word.as_ptr(), op, value, timeout, other, v3) }
}

static GOT: AtomicI32 = AtomicI32::new(0);
static GOT_BY: AtomicI32 = AtomicI32::new(0);

fn tid() -> i32 {
    // SAFETY: no arguments.
    unsafe { libc::syscall(libc::SYS_gettid) as i32 }
}

extern "C" fn note(n: i32, _: *mut libc::siginfo_t, _: *mut libc::c_void) {
    GOT_BY.store(tid(), SeqCst);
    GOT.store(n, SeqCst);
}

fn main() {
    // A mutex under load.
    let total = Arc::new(Mutex::new(0u64));
    let threads: Vec<_> = (0..8)
        .map(|i| {
            let total = total.clone();
            thread::spawn(move || {
                for _ in 0..2000 {
                    *total.lock().expect("not poisoned") += i;
                }
            })
        })
        .collect();
    for t in threads {
        t.join().expect("no panic");
    }
    say!("mutex: {}", total.lock().expect("not poisoned"));

    // A bounded queue with two condition variables: 4 producers, 4 consumers.
    type Queue = (Mutex<(Vec<u64>, usize)>, Condvar, Condvar);
    let queue: Arc<Queue> = Arc::new((Mutex::new((Vec::new(), 0)), Condvar::new(), Condvar::new()));
    let sum = Arc::new(AtomicU64::new(0));
    let threads: Vec<_> = (0..8u64)
        .map(|i| {
            let (queue, sum) = (queue.clone(), sum.clone());
            thread::spawn(move || {
                let (state, not_empty, not_full) = &*queue;
                if i < 4 {
                    for n in 0..500 {
                        let mut s = not_full.wait_while(state.lock().expect("lock"), |s| s.0.len() >= 4).expect("lock");
                        s.0.push(i * 1000 + n);
                        not_empty.notify_one();
                    }
                    state.lock().expect("lock").1 += 1;
                    not_empty.notify_all();
                } else {
                    loop {
                        let mut s =
                            not_empty.wait_while(state.lock().expect("lock"), |s| s.0.is_empty() && s.1 < 4).expect("lock");
                        let Some(n) = s.0.pop() else { break };
                        sum.fetch_add(n, SeqCst);
                        not_full.notify_one();
                    }
                }
            })
        })
        .collect();
    for t in threads {
        t.join().expect("no panic");
    }
    say!("queue: {}", sum.load(SeqCst));

    // Other primitives.
    let barrier = Arc::new(Barrier::new(8));
    let leaders: usize = (0..8)
        .map(|_| {
            let b = barrier.clone();
            thread::spawn(move || (0..50).filter(|_| b.wait().is_leader()).count())
        })
        .collect::<Vec<_>>()
        .into_iter()
        .map(|t| t.join().expect("no panic"))
        .sum();
    say!("barrier leaders: {leaders}");
    let lock = Arc::new(RwLock::new(0));
    let threads: Vec<_> = (0..4)
        .map(|i| {
            let lock = lock.clone();
            thread::spawn(move || {
                for _ in 0..300 {
                    if i == 0 {
                        *lock.write().expect("lock") += 1;
                    } else {
                        assert!(*lock.read().expect("lock") <= 300);
                    }
                }
            })
        })
        .collect();
    for t in threads {
        t.join().expect("no panic");
    }
    say!("rwlock: {}", lock.read().expect("lock"));
    let (tx, rx) = mpsc::channel();
    for i in 0..4 {
        let tx = tx.clone();
        thread::spawn(move || (0..100).for_each(|n| tx.send(i * n).expect("receiver")));
    }
    drop(tx);
    say!("channel: {}", rx.iter().sum::<i32>());

    // Thread-local storage and its destructors.
    let values: Vec<u64> = (0..8)
        .map(|i| {
            thread::spawn(move || {
                DROPPED.with(|_| {});
                MINE.set(MINE.get() + i);
                thread::yield_now();
                MINE.get()
            })
        })
        .collect::<Vec<_>>()
        .into_iter()
        .map(|t| t.join().expect("no panic"))
        .collect();
    say!("tls: {values:?} main: {} destructors: {}", MINE.get(), DROPS.load(SeqCst));

    let n: u64 = (0..200).map(|i| thread::spawn(move || i).join().expect("no panic")).sum();
    say!("200 threads in turn: {n}");
    let many: Vec<_> = (0..64).map(|i| thread::spawn(move || i)).collect();
    say!("64 at once: {}", many.into_iter().map(|t| t.join().expect("no panic")).sum::<u64>());

    // Futexes.
    let word = AtomicU32::new(5);
    let soon = libc::timespec { tv_sec: 0, tv_nsec: 1_000_000 };
    let private = libc::FUTEX_PRIVATE_FLAG;
    say!("wait on another value: {}", show(futex(&word, libc::FUTEX_WAIT, 4, std::ptr::null(), None, 0)));
    say!("wait timeout: {}", show(futex(&word, libc::FUTEX_WAIT | private, 5, &soon, None, 0)));
    say!("wait bitset 0: {}", show(futex(&word, libc::FUTEX_WAIT_BITSET, 5, std::ptr::null(), None, 0)));
    let bad = libc::timespec { tv_sec: 0, tv_nsec: 2_000_000_000 };
    say!("odd timeout: {}", show(futex(&word, libc::FUTEX_WAIT, 5, &bad, None, 0)));
    say!("wake nobody: {}", show(futex(&word, libc::FUTEX_WAKE, 10, std::ptr::null(), None, 0)));
    // SAFETY: the kernel refuses both addresses.
    unsafe {
        say!("misaligned: {}", show(libc::syscall(libc::SYS_futex, word.as_ptr() as usize + 1, libc::FUTEX_WAIT, 0, 0, 0, 0)));
        say!("unmapped: {}", show(libc::syscall(libc::SYS_futex, 4096, libc::FUTEX_WAIT, 0, 0, 0, 0)));
        say!("unknown: {}", show(libc::syscall(libc::SYS_futex, word.as_ptr(), 99, 0, 0, 0, 0)));
    }
    // Requeue: 4 sleep on `a`; one is woken, three are moved to `b` and woken there.
    let (a, b) = (Arc::new(AtomicU32::new(0)), Arc::new(AtomicU32::new(0)));
    let sleepers: Vec<_> = (0..4)
        .map(|_| {
            let a = a.clone();
            thread::spawn(move || futex(&a, libc::FUTEX_WAIT | private, 0, std::ptr::null(), None, 0))
        })
        .collect();
    let mut moved = 0;
    let mut woken = 0;
    while moved + woken < 4 {
        let max = 3usize as *const libc::timespec;
        let wake = u32::from(woken == 0);
        let r = futex(&a, libc::FUTEX_CMP_REQUEUE | private, wake, max, Some(&b), 0);
        if r > 0 && woken == 0 {
            woken = 1;
            moved += r - 1;
        } else {
            moved += r;
        }
        thread::yield_now();
    }
    say!("requeued: woken {woken} moved {moved}");
    let mut freed = 0;
    while freed < 3 {
        freed += futex(&b, libc::FUTEX_WAKE | private, 10, std::ptr::null(), None, 0);
    }
    let results: Vec<_> = sleepers.into_iter().map(|t| t.join().expect("no panic")).collect();
    say!("freed {freed} results {results:?}");
    let stale = futex(&a, libc::FUTEX_CMP_REQUEUE, 1, 1usize as *const _, Some(&b), 77);
    say!("requeue, other value: {}", show(stale));
    // FUTEX_WAKE_OP: b = b + 3, and wake waiters of b if it was 0.
    let op = (libc::FUTEX_OP_ADD << 28) | (libc::FUTEX_OP_CMP_EQ << 24) | (3 << 12);
    let r = futex(&a, libc::FUTEX_WAKE_OP, 1, 1usize as *const _, Some(&b), op as u32);
    say!("wake op: {} b {}", show(r), b.load(SeqCst));
    // Shared between processes.
    // SAFETY: a fresh shared page.
    let shared = unsafe {
        let p = libc::mmap(null_mut(), 4096, 3, libc::MAP_SHARED | libc::MAP_ANONYMOUS, -1, 0);
        &*p.cast::<AtomicU32>()
    };
    let pid = fork(|| {
        while shared.load(SeqCst) == 0 {
            futex(shared, libc::FUTEX_WAIT, 0, std::ptr::null(), None, 0);
        }
        shared.load(SeqCst) as i32
    });
    thread::sleep(Duration::from_millis(20));
    shared.store(33, SeqCst);
    futex(shared, libc::FUTEX_WAKE, 1, std::ptr::null(), None, 0);
    say!("across processes: {}", wait(pid));

    // SAFETY: handlers and masks of this process.
    unsafe {
        // A signal to one thread.
        handle(libc::SIGUSR1, 0, &[], note);
        let (tx, rx) = mpsc::channel();
        let target = thread::spawn(move || {
            tx.send(tid()).expect("receiver");
            while GOT.load(SeqCst) == 0 {
                thread::yield_now();
            }
        });
        let t = rx.recv().expect("sender");
        libc::syscall(libc::SYS_tgkill, libc::getpid(), t, libc::SIGUSR1);
        target.join().expect("no panic");
        say!("tgkill: right thread {}", GOT_BY.load(SeqCst) == t);
        // It is joined a moment before it is gone.
        while libc::syscall(libc::SYS_tgkill, libc::getpid(), t, 0) == 0 {
            thread::yield_now();
        }
        say!("tgkill, gone: {}", error_name(errno()));
        say!("tgkill, wrong group: {}", ok(libc::syscall(libc::SYS_tgkill, libc::getppid(), tid(), 0)));

        // A signal to the process goes to a thread that does not block it.
        GOT.store(0, SeqCst);
        libc::pthread_sigmask(libc::SIG_BLOCK, &set(&[libc::SIGUSR1]), null_mut());
        let (tx, rx) = mpsc::channel();
        let open = thread::spawn(move || {
            libc::pthread_sigmask(libc::SIG_UNBLOCK, &set(&[libc::SIGUSR1]), null_mut());
            tx.send(tid()).expect("receiver");
            while GOT.load(SeqCst) == 0 {
                thread::yield_now();
            }
        });
        let t = rx.recv().expect("sender");
        libc::kill(libc::getpid(), libc::SIGUSR1);
        open.join().expect("no panic");
        say!("kill: to the open thread {}", GOT_BY.load(SeqCst) == t);

        // Threads see each other's directory, umask and descriptors.
        libc::umask(0o77);
        thread::spawn(|| libc::umask(0o22)).join().expect("no panic");
        say!("shared umask: {:o}", libc::umask(0o22));
    }

    // How processes with threads end.
    let many = |f: fn() -> i32| {
        fork(move || {
            for _ in 0..3 {
                thread::spawn(|| {
                    loop {
                        thread::sleep(Duration::from_secs(100));
                    }
                });
            }
            f()
        })
    };
    say!("exit with threads: {}", wait(many(|| 4)));
    let pid = many(|| {
        let _ = thread::spawn(|| std::process::exit(8)).join();
        1
    });
    say!("exit of another thread: {}", wait(pid));
    let pid = many(|| {
        // SAFETY: a fatal signal for the whole group.
        unsafe { libc::kill(libc::getpid(), libc::SIGTERM) };
        thread::sleep(Duration::from_secs(100));
        1
    });
    say!("signal with threads: {}", wait(pid));
    let pid = fork(|| {
        thread::spawn(|| {
            thread::sleep(Duration::from_millis(20));
            std::process::exit(12)
        });
        // SAFETY: ends the main thread only.
        unsafe { libc::syscall(libc::SYS_exit, 0) };
        1
    });
    say!("main thread leaves first: {}", wait(pid));
}
