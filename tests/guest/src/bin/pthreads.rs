//! Eight threads on the C library's own mutexes, condition variables and barriers: nobody is lost, nothing is counted twice.

use guest::say;
use libc::{pthread_barrier_t, pthread_cond_t, pthread_mutex_t, pthread_t};
use std::{
    cell::UnsafeCell,
    ffi::c_void,
    mem::{MaybeUninit, zeroed},
    ptr::{null, null_mut},
};

const THREADS: usize = 8;
const ROUNDS: u32 = 500;
const SLOTS: usize = 4;

struct Shared {
    mutex: pthread_mutex_t,
    turned: pthread_cond_t,
    filled: pthread_cond_t,
    emptied: pthread_cond_t,
    barrier: pthread_barrier_t,
    /// Guarded by `mutex`, as all below.
    turn: usize,
    turns: u32,
    slots: [u32; SLOTS],
    head: usize,
    tail: usize,
    sum: u32,
}

struct Cell(UnsafeCell<MaybeUninit<Shared>>);

// SAFETY: what the threads change is guarded by the mutex in it.
unsafe impl Sync for Cell {}

static SHARED: Cell = Cell(UnsafeCell::new(MaybeUninit::uninit()));

/// Passes a turn round all threads.
unsafe fn ring(s: *mut Shared, me: usize) {
    unsafe {
        for _ in 0..ROUNDS {
            libc::pthread_mutex_lock(&raw mut (*s).mutex);
            while (*s).turn != me {
                libc::pthread_cond_wait(&raw mut (*s).turned, &raw mut (*s).mutex);
            }
            (*s).turn = (me + 1) % THREADS;
            (*s).turns += 1;
            libc::pthread_cond_broadcast(&raw mut (*s).turned);
            libc::pthread_mutex_unlock(&raw mut (*s).mutex);
        }
    }
}

/// Half of the threads produce what the other half consumes.
unsafe fn queue(s: *mut Shared, me: usize) {
    unsafe {
        for n in 0..ROUNDS {
            libc::pthread_mutex_lock(&raw mut (*s).mutex);
            if me % 2 == 1 {
                while (*s).head - (*s).tail == SLOTS {
                    libc::pthread_cond_wait(&raw mut (*s).emptied, &raw mut (*s).mutex);
                }
                (*s).slots[(*s).head % SLOTS] = n;
                (*s).head += 1;
                libc::pthread_cond_signal(&raw mut (*s).filled);
            } else {
                while (*s).head == (*s).tail {
                    libc::pthread_cond_wait(&raw mut (*s).filled, &raw mut (*s).mutex);
                }
                (*s).sum += (*s).slots[(*s).tail % SLOTS];
                (*s).tail += 1;
                libc::pthread_cond_signal(&raw mut (*s).emptied);
            }
            libc::pthread_mutex_unlock(&raw mut (*s).mutex);
        }
    }
}

extern "C" fn thread(me: *mut c_void) -> *mut c_void {
    let s = SHARED.0.get().cast::<Shared>();
    let me = me as usize;
    // SAFETY: `main` has initialised all of it, and joins before it goes on.
    unsafe {
        libc::pthread_barrier_wait(&raw mut (*s).barrier);
        ring(s, me);
        libc::pthread_barrier_wait(&raw mut (*s).barrier);
        queue(s, me);
    }
    null_mut()
}

fn main() {
    let s = SHARED.0.get().cast::<Shared>();
    // SAFETY: no other thread yet; zero is the initial value of the numbers, and each object is initialised by its own function.
    unsafe {
        s.write(zeroed());
        libc::pthread_mutex_init(&raw mut (*s).mutex, null());
        for cond in [&raw mut (*s).turned, &raw mut (*s).filled, &raw mut (*s).emptied] {
            libc::pthread_cond_init(cond, null());
        }
        libc::pthread_barrier_init(&raw mut (*s).barrier, null(), THREADS as u32);
        let mut threads: [pthread_t; THREADS] = zeroed();
        for (me, t) in threads.iter_mut().enumerate() {
            assert_eq!(libc::pthread_create(t, null(), thread, me as *mut c_void), 0);
        }
        for t in threads {
            assert_eq!(libc::pthread_join(t, null_mut()), 0);
        }
        say!("turns: {}", (*s).turns);
        say!("queue: {} in, {} out, sum {}", (*s).head, (*s).tail, (*s).sum);
    }
}
