//! A process that computes does not notice that another one interrupts it all the time, by signals.

use guest::{fork, say};

/// Loops, branches, allocations: what is wrong anywhere shows in the sum, or ends the program.
fn work(seed: u64) -> u64 {
    let mut sum = seed;
    let mut kept: Vec<Vec<u8>> = Vec::new();
    for i in 0..400u64 {
        sum = sum.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let mut v = vec![0u8; (sum >> 33) as usize % 700 + 1];
        for (j, b) in v.iter_mut().enumerate() {
            *b = (sum >> (j % 57)) as u8 ^ i as u8;
        }
        sum ^= v.iter().fold(0u64, |a, &b| a.rotate_left(5) ^ u64::from(b));
        kept.push(v);
        if kept.len() > 20 {
            kept.swap_remove((sum >> 40) as usize % 20);
        }
    }
    kept.iter().flatten().fold(sum, |a, &b| a.wrapping_mul(31).wrapping_add(u64::from(b)))
}

extern "C" fn nothing(_: i32) {}

fn main() {
    // SAFETY: a handler that does nothing.
    unsafe { libc::signal(libc::SIGUSR1, nothing as *const () as usize) };
    let want = work(7);
    let pid = fork(|| i32::from((0..40).any(|_| work(7) != want)));
    loop {
        // SAFETY: no memory is involved.
        unsafe { libc::kill(pid, libc::SIGUSR1) };
        let end = guest::wait_with(pid, libc::WNOHANG);
        if end != "nothing" {
            say!("{end}");
            break;
        }
    }
}
