//! Time: clocks, sleeps, timers.

use guest::{block, fork, handle, read, say, set, show, wait, write};
use libc::timespec;
use std::{
    mem::zeroed,
    ptr::null_mut,
    sync::atomic::{AtomicI32, AtomicUsize, Ordering::SeqCst},
    thread,
};

static COUNT: AtomicUsize = AtomicUsize::new(0);
static VALUE: AtomicI32 = AtomicI32::new(0);
static CODE: AtomicI32 = AtomicI32::new(0);

extern "C" fn tick(_: i32, info: *mut libc::siginfo_t, _: *mut libc::c_void) {
    COUNT.fetch_add(1, SeqCst);
    // SAFETY: the kernel's information.
    unsafe {
        CODE.store((*info).si_code, SeqCst);
        VALUE.store((*info).si_value().sival_ptr as usize as i32, SeqCst);
    }
}

fn now(clock: i32) -> i128 {
    // SAFETY: room for the time.
    unsafe {
        let mut t: timespec = zeroed();
        assert_eq!(libc::clock_gettime(clock, &mut t), 0);
        i128::from(t.tv_sec) * 1_000_000_000 + i128::from(t.tv_nsec)
    }
}

fn ms(n: i64) -> timespec {
    timespec { tv_sec: n / 1000, tv_nsec: n % 1000 * 1_000_000 }
}

fn main() {
    // SAFETY: valid pointers everywhere.
    unsafe {
        for clock in [libc::CLOCK_REALTIME, libc::CLOCK_MONOTONIC, libc::CLOCK_BOOTTIME, libc::CLOCK_MONOTONIC_RAW] {
            let mut last = now(clock);
            let mut back = 0;
            for _ in 0..2000 {
                let t = now(clock);
                back += i32::from(t < last);
                last = t;
            }
            let mut res: timespec = zeroed();
            say!("clock {clock}: went back {back} times, resolution {}", { libc::clock_getres(clock, &mut res); res.tv_nsec });
        }
        say!("this century: {}", now(libc::CLOCK_REALTIME) > 1_700_000_000 * 1_000_000_000);
        let mut t: timespec = zeroed();
        say!("bad clock: {} bad address: {}", show(libc::clock_gettime(77, &mut t)), show(libc::syscall(libc::SYS_clock_gettime, 0, 8)));
        let raw = {
            let before = now(libc::CLOCK_MONOTONIC);
            let mut t: timespec = zeroed();
            libc::syscall(libc::SYS_clock_gettime, libc::CLOCK_MONOTONIC, &mut t);
            let raw = i128::from(t.tv_sec) * 1_000_000_000 + i128::from(t.tv_nsec);
            before <= raw && raw <= now(libc::CLOCK_MONOTONIC)
        };
        say!("vdso and system call agree: {raw}");

        // CPU time passes while computing, and (almost) not while sleeping.
        let cpu = now(libc::CLOCK_PROCESS_CPUTIME_ID);
        let mut x = 1u64;
        while now(libc::CLOCK_PROCESS_CPUTIME_ID) - cpu < 5_000_000 {
            x = std::hint::black_box(x.wrapping_mul(6364136223846793005).wrapping_add(1));
        }
        say!("process time passes: {}", x != 0);
        let mine = now(libc::CLOCK_THREAD_CPUTIME_ID);
        libc::nanosleep(&ms(100), null_mut());
        say!("not while sleeping: {}", now(libc::CLOCK_THREAD_CPUTIME_ID) - mine < 90_000_000);
        let mut usage: libc::rusage = zeroed();
        libc::getrusage(libc::RUSAGE_SELF, &mut usage);
        say!("rusage: {}", usage.ru_utime.tv_sec + usage.ru_stime.tv_sec > 0 || usage.ru_utime.tv_usec + usage.ru_stime.tv_usec >= 4000);

        // Sleeps last at least as long as asked, and end in order.
        let start = now(libc::CLOCK_MONOTONIC);
        libc::nanosleep(&ms(20), null_mut());
        say!("long enough: {}", now(libc::CLOCK_MONOTONIC) - start >= 20_000_000);
        let (r, w) = guest::pipe();
        let sleepers: Vec<_> = [b'c', b'a', b'b']
            .into_iter()
            .map(|name| {
                thread::spawn(move || {
                    let n = i64::from(name - b'a');
                    let mut at: timespec = zeroed();
                    libc::clock_gettime(libc::CLOCK_MONOTONIC, &mut at);
                    at.tv_nsec += 20_000_000 + n * 300_000_000;
                    at.tv_sec += at.tv_nsec / 1_000_000_000;
                    at.tv_nsec %= 1_000_000_000;
                    libc::clock_nanosleep(libc::CLOCK_MONOTONIC, libc::TIMER_ABSTIME, &at, null_mut());
                    write(w, &[name]);
                })
            })
            .collect();
        for s in sleepers {
            s.join().expect("no panic");
        }
        say!("order: {}", read(r, 10));
        let bad = timespec { tv_sec: 0, tv_nsec: 1_000_000_000 };
        say!("bad: {} negative: {}", show(libc::nanosleep(&bad, null_mut())), show(libc::nanosleep(&timespec { tv_sec: -1, tv_nsec: 0 }, null_mut())));
        say!("clock_nanosleep: past {} bad clock {}", libc::clock_nanosleep(libc::CLOCK_MONOTONIC, libc::TIMER_ABSTIME, &ms(1), null_mut()),
            guest::error_name(libc::clock_nanosleep(99, 0, &ms(1), null_mut())));

        // Interval timers.
        handle(libc::SIGALRM, 0, &[], tick);
        let t = libc::timeval { tv_sec: 0, tv_usec: 2000 };
        let every = libc::itimerval { it_interval: t, it_value: t };
        libc::setitimer(libc::ITIMER_REAL, &every, null_mut());
        while COUNT.load(SeqCst) < 5 {
            libc::pause();
        }
        let mut old: libc::itimerval = zeroed();
        let off: libc::itimerval = zeroed();
        libc::setitimer(libc::ITIMER_REAL, &off, &mut old);
        say!("itimer: code {} interval {}", CODE.load(SeqCst), old.it_interval.tv_usec);
        libc::getitimer(libc::ITIMER_REAL, &mut old);
        say!("off: {} {}", old.it_value.tv_sec, old.it_value.tv_usec);
        say!("alarm: {} {}", libc::alarm(100), libc::alarm(0));
        for (which, signal) in [(libc::ITIMER_VIRTUAL, libc::SIGVTALRM), (libc::ITIMER_PROF, libc::SIGPROF)] {
            COUNT.store(0, SeqCst);
            handle(signal, 0, &[], tick);
            libc::setitimer(which, &every, null_mut());
            let mut x = 1u64;
            while COUNT.load(SeqCst) < 2 {
                x = std::hint::black_box(x.wrapping_mul(3));
            }
            libc::setitimer(which, &off, null_mut());
            say!("cpu timer: {}", COUNT.load(SeqCst) >= 2);
        }
        let pid = fork(|| {
            guest::disposition(libc::SIGALRM, libc::SIG_DFL);
            libc::setitimer(libc::ITIMER_REAL, &every, null_mut());
            loop {
                libc::pause();
            }
        });
        say!("killed by a timer: {}", wait(pid));

        // POSIX timers, by their system calls (C libraries differ in what they accept).
        let mut event: libc::sigevent = zeroed();
        event.sigev_notify = libc::SIGEV_SIGNAL;
        event.sigev_signo = libc::SIGUSR1;
        event.sigev_value = libc::sigval { sival_ptr: 1234 as *mut _ };
        handle(libc::SIGUSR1, 0, &[], tick);
        COUNT.store(0, SeqCst);
        let mut timer = 0i32;
        say!("create: {}", show(libc::syscall(libc::SYS_timer_create, libc::CLOCK_MONOTONIC, &mut event, &mut timer)));
        let once = libc::itimerspec { it_interval: ms(0), it_value: ms(3) };
        libc::syscall(libc::SYS_timer_settime, timer, 0, &once, 0);
        while COUNT.load(SeqCst) < 1 {
            libc::pause();
        }
        say!("fired: code {} value {}", CODE.load(SeqCst), VALUE.load(SeqCst));
        block(&[libc::SIGUSR1]);
        let often = libc::itimerspec { it_interval: ms(1), it_value: ms(1) };
        libc::syscall(libc::SYS_timer_settime, timer, 0, &often, 0);
        libc::nanosleep(&ms(30), null_mut());
        let mut info: libc::siginfo_t = zeroed();
        let r = libc::sigtimedwait(&set(&[libc::SIGUSR1]), &mut info, &ms(1000));
        let over = libc::syscall(libc::SYS_timer_getoverrun, timer);
        say!("overrun: {r} {}", over >= 5);
        let mut left: libc::itimerspec = zeroed();
        libc::syscall(libc::SYS_timer_gettime, timer, &mut left);
        say!("left: {} interval {}", left.it_value.tv_nsec <= 1_000_000, left.it_interval.tv_nsec);
        say!("delete: {} again: {}", show(libc::syscall(libc::SYS_timer_delete, timer)), show(libc::syscall(libc::SYS_timer_delete, timer)));
        event.sigev_signo = 99;
        say!("bad signal: {} bad clock: {}", show(libc::syscall(libc::SYS_timer_create, libc::CLOCK_MONOTONIC, &mut event, &mut timer)),
            { event.sigev_signo = 10; show(libc::syscall(libc::SYS_timer_create, 99, &mut event, &mut timer)) });
        let r = libc::sigtimedwait(&set(&[libc::SIGUSR2]), &mut info, &ms(5));
        say!("sigtimedwait times out: {}", show(r));
        let mut tms: libc::tms = zeroed();
        let a = libc::times(&mut tms);
        libc::nanosleep(&ms(30), null_mut());
        let ticks = libc::times(&mut tms) - a;
        say!("ticks: {} {}", libc::sysconf(libc::_SC_CLK_TCK), ticks >= 2);
    }
}
