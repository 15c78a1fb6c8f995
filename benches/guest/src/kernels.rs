//! Computation without system calls.

use std::hint::black_box;

struct Rng(u64);

impl Rng {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }
}

/// Calls and returns.
pub fn fib(n: u64) -> u64 {
    fn go(n: u64) -> u64 {
        if black_box(n) < 2 { n } else { go(n - 1) + go(n - 2) }
    }
    go(n)
}

/// Byte stores and branches.
pub fn sieve(size: usize, rounds: u32) -> u64 {
    let mut count = 0;
    let mut composite = vec![0u8; size];
    for _ in 0..rounds {
        composite.fill(0);
        let mut i = 2;
        while i * i < size {
            if composite[i] == 0 {
                let mut j = i * i;
                while j < size {
                    composite[j] = 1;
                    j += i;
                }
            }
            i += 1;
        }
        count += composite[2..].iter().filter(|c| **c == 0).count() as u64;
    }
    count
}

/// Shifts, rotates, additions.
pub fn sha256(len: usize) -> u64 {
    let mut k = [0u32; 64];
    let mut n = 0;
    let mut candidate = 2u32;
    while n < 64 {
        if (2..candidate).take_while(|d| d * d <= candidate).all(|d| candidate % d != 0) {
            k[n] = ((f64::from(candidate).cbrt().fract()) * 4_294_967_296.0) as u32;
            n += 1;
        }
        candidate += 1;
    }
    let mut h: [u32; 8] = [
        0x6a09_e667, 0xbb67_ae85, 0x3c6e_f372, 0xa54f_f53a, 0x510e_527f, 0x9b05_688c, 0x1f83_d9ab, 0x5be0_cd19,
    ];
    let mut block = [0u8; 64];
    let mut rng = Rng(88_172_645_463_325_252);
    for _ in 0..len / 64 {
        for piece in block.chunks_exact_mut(8) {
            piece.copy_from_slice(&rng.next().to_be_bytes());
        }
        let mut w = [0u32; 64];
        for (to, from) in w.iter_mut().zip(block.chunks_exact(4)) {
            *to = u32::from_be_bytes([from[0], from[1], from[2], from[3]]);
        }
        for i in 16..64 {
            let a = w[i - 15].rotate_right(7) ^ w[i - 15].rotate_right(18) ^ (w[i - 15] >> 3);
            let b = w[i - 2].rotate_right(17) ^ w[i - 2].rotate_right(19) ^ (w[i - 2] >> 10);
            w[i] = w[i - 16].wrapping_add(a).wrapping_add(w[i - 7]).wrapping_add(b);
        }
        let mut v = h;
        for i in 0..64 {
            let s1 = v[4].rotate_right(6) ^ v[4].rotate_right(11) ^ v[4].rotate_right(25);
            let ch = (v[4] & v[5]) ^ (!v[4] & v[6]);
            let t1 = v[7].wrapping_add(s1).wrapping_add(ch).wrapping_add(k[i]).wrapping_add(w[i]);
            let s0 = v[0].rotate_right(2) ^ v[0].rotate_right(13) ^ v[0].rotate_right(22);
            let maj = (v[0] & v[1]) ^ (v[0] & v[2]) ^ (v[1] & v[2]);
            let t2 = s0.wrapping_add(maj);
            v = [t1.wrapping_add(t2), v[0], v[1], v[2], v[3].wrapping_add(t1), v[4], v[5], v[6]];
        }
        for (to, from) in h.iter_mut().zip(v) {
            *to = to.wrapping_add(from);
        }
    }
    u64::from(h[0]) << 32 | u64::from(h[7])
}

/// Double-precision multiply and add.
pub fn matmul(n: usize, rounds: usize) -> u64 {
    let a: Vec<f64> = (0..n * n).map(|i| (i % 7) as f64 + 0.5).collect();
    let b: Vec<f64> = (0..n * n).map(|i| (i % 5) as f64 - 1.25).collect();
    let mut c = vec![0.0; n * n];
    for _ in 0..rounds {
        for i in 0..n {
            for j in 0..n {
                let mut sum = 0.0;
                for k in 0..n {
                    sum += black_box(a[i * n + k]) * b[k * n + j];
                }
                c[i * n + j] = sum;
            }
        }
    }
    c.iter().sum::<f64>().to_bits()
}

/// Comparisons, swaps, recursion.
pub fn sort(len: usize) -> u64 {
    let mut rng = Rng(0x9e37_79b9_7f4a_7c15);
    let mut data: Vec<u32> = (0..len).map(|_| rng.next() as u32).collect();
    data.sort_unstable();
    data.iter().enumerate().fold(0, |sum, (i, v)| sum ^ (u64::from(*v)).wrapping_mul(i as u64))
}

/// A bytecode interpreter: loads and indirect branches.
pub fn dispatch(steps: u64) -> u64 {
    let mut rng = Rng(42);
    let code: Vec<u8> = (0..4096).map(|_| (rng.next() >> 32) as u8 % 10).collect();
    let (mut a, mut b, mut at) = (1u64, 2u64, 0usize);
    for _ in 0..steps {
        match black_box(code[at]) {
            0 => a = a.wrapping_add(b),
            1 => b = b.wrapping_mul(5),
            2 => a ^= b >> 3,
            3 => b = b.wrapping_sub(a),
            4 => a = a.rotate_left(7),
            5 => b |= 1,
            6 => a = a.wrapping_mul(b),
            7 => b = b.rotate_right(9),
            8 => std::mem::swap(&mut a, &mut b),
            _ => a = !a,
        }
        at = (at + 1) & 4095;
    }
    a ^ b
}

/// What string functions do: vector code.
pub fn bytes(len: usize, rounds: usize) -> u64 {
    let mut rng = Rng(7);
    let text: Vec<u8> = (0..len).map(|_| (rng.next() >> 40) as u8 & 63).collect();
    let mut copy = vec![0; len];
    let mut sum = 0u64;
    for round in 0..rounds {
        copy.copy_from_slice(black_box(&text));
        let wanted = round as u8;
        sum += copy.iter().filter(|b| **b == wanted).count() as u64;
        sum += u64::from(copy == text);
    }
    sum
}

/// Square roots and divisions.
pub fn nbody(steps: u32) -> u64 {
    let mut p = [[0.0, 0.0, 0.0], [4.84, -1.16, -0.10], [8.34, 4.12, -0.40], [12.89, -15.11, -0.22], [15.37, -25.9, 0.17f64]];
    let mut v = [[0.0f64; 3]; 5];
    for (i, v) in v.iter_mut().enumerate() {
        *v = [0.1 * i as f64, 0.2 - 0.05 * i as f64, 0.01];
    }
    let m = [39.47, 0.03, 0.01, 0.001, 0.002];
    for _ in 0..steps {
        for i in 0..5 {
            for j in i + 1..5 {
                let d = [p[i][0] - p[j][0], p[i][1] - p[j][1], p[i][2] - p[j][2]];
                let r2 = d[0] * d[0] + d[1] * d[1] + d[2] * d[2];
                let mag = 0.001 / (r2 * r2.sqrt());
                for k in 0..3 {
                    v[i][k] -= d[k] * m[j] * mag;
                    v[j][k] += d[k] * m[i] * mag;
                }
            }
        }
        for i in 0..5 {
            for k in 0..3 {
                p[i][k] += 0.001 * v[i][k];
            }
        }
    }
    (p[0][0] + v[4][2]).to_bits()
}
