//! Arithmetic: checksums over many operations, so that one wrong result shows.

use guest::say;
use std::{collections::BTreeMap, fmt::Write as _, hint::black_box};

struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// Often a number at a border.
    fn edge(&mut self) -> u64 {
        match self.next() % 8 {
            0 => 0,
            1 => u64::MAX,
            2 => 1 << (self.next() % 64),
            3 => (1u64 << (self.next() % 64)).wrapping_sub(1),
            4 => self.next() as u32 as u64,
            5 => self.next() as i32 as i64 as u64,
            _ => self.next(),
        }
    }

    fn double(&mut self) -> f64 {
        match self.next() % 16 {
            0 => 0.0,
            1 => -0.0,
            2 => f64::INFINITY,
            3 => f64::NAN,
            4 => f64::MIN_POSITIVE / 4.0,
            5 => f64::MAX,
            6 => (self.next() as i64) as f64,
            7 => f64::from_bits(self.next()),
            _ => (self.next() as i64 as f64) / 1e15,
        }
    }
}

/// Mixes a value into a checksum.
fn mix(sum: &mut u64, v: u64) {
    *sum = (sum.rotate_left(5) ^ v).wrapping_mul(0x9e37_79b9_7f4a_7c15);
}

fn bits(v: f64) -> u64 {
    if v.is_nan() { 0x7ff8_0000_0000_0000 } else { v.to_bits() }
}

fn bits32(v: f32) -> u64 {
    u64::from(if v.is_nan() { 0x7fc0_0000 } else { v.to_bits() })
}

fn main() {
    let mut r = Random(0x1234_5678_9abc_def1);
    let n = 3000;
    let mut run = |name: &str, f: &mut dyn FnMut(&mut Random, &mut u64)| {
        let mut sum = 0;
        for _ in 0..n {
            f(&mut r, &mut sum);
        }
        say!("{name}: {sum:016x}");
    };
    run("add, subtract", &mut |r, s| {
        let (a, b) = (black_box(r.edge()), black_box(r.edge()));
        for v in [a.wrapping_add(b), a.wrapping_sub(b), u64::from((a as u32).wrapping_add(b as u32)), a.saturating_sub(b)] {
            mix(s, v);
        }
        let (v, c) = a.overflowing_add(b);
        let (w, d) = (a as i64).overflowing_sub(b as i64);
        mix(s, v ^ u64::from(c) ^ (w as u64) << 1 ^ u64::from(d) << 2);
        mix(s, (a as i32).checked_add(b as i32).map_or(7, |v| v as u64));
        mix(s, (u128::from(a) << 64 | u128::from(b)).wrapping_add(u128::from(b) << 64 | u128::from(a)) as u64);
    });
    run("multiply", &mut |r, s| {
        let (a, b) = (black_box(r.edge()), black_box(r.edge()));
        let p = u128::from(a) * u128::from(b);
        mix(s, p as u64 ^ (p >> 64) as u64);
        let q = i128::from(a as i64) * i128::from(b as i64);
        mix(s, (q >> 64) as u64);
        mix(s, u64::from(a as u32) * u64::from(b as u32));
        mix(s, (i64::from(a as i32) * i64::from(b as i32)) as u64);
        mix(s, a.wrapping_mul(b).wrapping_add(a));
        mix(s, u64::from((a as u32).wrapping_mul(b as u32).wrapping_sub(a as u32)));
    });
    run("divide", &mut |r, s| {
        let (a, b) = (black_box(r.edge()), black_box(r.edge()));
        mix(s, a.checked_div(b).unwrap_or(1) ^ a.checked_rem(b).unwrap_or(2));
        mix(s, (a as i64).wrapping_div(if b == 0 { 3 } else { b as i64 }) as u64);
        mix(s, (a as i32).checked_rem(b as i32).unwrap_or(5) as u64);
        mix(s, (a as u32).checked_div(b as u32).unwrap_or(5).into());
        mix(s, ((u128::from(a) << 64 | u128::from(b)) / (u128::from(b) + 1)) as u64);
    });
    run("shifts", &mut |r, s| {
        let (a, n) = (black_box(r.edge()), black_box(r.next()) as u32);
        for v in [a.wrapping_shl(n), a.wrapping_shr(n), (a as i64).wrapping_shr(n) as u64, a.rotate_left(n), u64::from((a as u32).rotate_right(n))] {
            mix(s, v);
        }
        mix(s, ((a as i32).wrapping_shr(n)) as u64);
        mix(s, (u128::from(a) << (n & 63)) as u64 ^ ((u128::from(a) << 64) >> (n & 127)) as u64);
    });
    run("bits", &mut |r, s| {
        let a = black_box(r.edge());
        mix(s, u64::from(a.leading_zeros() ^ a.trailing_zeros() << 8 ^ a.count_ones() << 16));
        mix(s, u64::from((a as u32).leading_zeros() ^ (a as u32).count_ones() << 8));
        mix(s, a.swap_bytes() ^ a.reverse_bits());
        mix(s, u64::from((a as u32).swap_bytes() ^ (a as u32).reverse_bits() ^ u32::from((a as u16).swap_bytes())));
        mix(s, (a >> 5) & 0x3ff | (a << 7 & 0xff00));
        mix(s, (a as i8) as u64 ^ (a as i16) as u64 ^ ((a >> 3) as i32) as u64);
        mix(s, !a & 0x00ff_00ff_00ff_00ff ^ (a | !(a >> 1)));
    });
    run("compare", &mut |r, s| {
        let (a, b) = (black_box(r.edge()), black_box(r.edge()));
        let m = [a < b, a <= b, (a as i64) < (b as i64), (a as i32) > (b as i32), a == b, (a as u8) < (b as u8), a & b == 0, a & 1 << 13 != 0];
        mix(s, m.iter().fold(0, |x, b| x << 1 | u64::from(*b)));
        mix(s, a.min(b) ^ (a as i64).max(b as i64) as u64 ^ (a as i64).wrapping_abs() as u64);
        mix(s, (a as i64).clamp(-100, 100) as u64 ^ if a > b { a ^ 1 } else { !b });
    });
    run("double", &mut |r, s| {
        let (a, b) = (black_box(r.double()), black_box(r.double()));
        for v in [a + b, a - b, a * b, a / b, a.abs().sqrt(), a.mul_add(b, a), -a, a.min(b), a.max(b), a.copysign(b)] {
            mix(s, bits(v));
        }
        for v in [a.floor(), a.ceil(), a.trunc(), a.round(), a.round_ties_even()] {
            mix(s, bits(v));
        }
        mix(s, u64::from(a < b) | u64::from(a == b) << 1 | u64::from(a != b) << 2 | u64::from(a >= b) << 3);
    });
    run("float", &mut |r, s| {
        let (a, b) = (black_box(r.double() as f32), black_box(r.double() as f32));
        for v in [a + b, a - b, a * b, a / b, a.abs().sqrt(), a.mul_add(b, b), a.floor(), a.round(), a.min(b), a.max(b)] {
            mix(s, bits32(v));
        }
    });
    run("convert", &mut |r, s| {
        let (d, a) = (black_box(r.double()), black_box(r.edge()));
        for v in [d as i64 as u64, d as u64, d as i32 as u64, u64::from(d as u32), u64::from(d as u8), bits32(d as f32), bits(f64::from(d as f32))] {
            mix(s, v);
        }
        for v in [bits(a as f64), bits(a as i64 as f64), bits32(a as f32), bits32(a as i64 as f32), bits32(a as u32 as f32), bits(f64::from(a as i32))] {
            mix(s, v);
        }
        mix(s, bits((u128::from(a) * u128::from(a)) as f64));
    });
    run("functions", &mut |r, s| {
        let d = black_box((r.next() % 20_000) as f64 / 1000.0 - 10.0);
        for v in [d.sin(), d.cos(), d.tan(), d.exp(), d.abs().ln(), d.atan(), d.sinh(), d.cbrt(), d.abs().powf(1.7), d.hypot(3.0), d.abs().log10(), d.exp2()] {
            mix(s, bits(v));
        }
        mix(s, bits32((d as f32).sin()) ^ bits32((d as f32).exp()));
    });
    // Vectorised by the compiler: sums, dot products, saturation, tables.
    let ints: Vec<i32> = (0..4099).map(|_| r.next() as i32).collect();
    let bytes: Vec<u8> = ints.iter().map(|v| *v as u8).collect();
    let floats: Vec<f32> = ints.iter().map(|v| *v as f32 / 1e5).collect();
    let ints = black_box(ints);
    let bytes = black_box(bytes);
    let floats = black_box(floats);
    say!("vector sums: {} {} {}", ints.iter().fold(0i32, |a, b| a.wrapping_add(*b)), ints.iter().map(|v| i64::from(*v)).sum::<i64>(), bytes.iter().map(|v| u64::from(*v)).sum::<u64>());
    say!("vector extremes: {:?} {:?} {:?}", ints.iter().max(), ints.iter().min(), bytes.iter().max());
    let sat: Vec<u8> = bytes.iter().zip(bytes.iter().rev()).map(|(a, b)| a.saturating_add(*b)).collect();
    let avg: Vec<u16> = bytes.iter().map(|b| u16::from(*b) * 3 + 1).collect();
    let abs: Vec<u32> = ints.iter().map(|v| v.unsigned_abs() >> 3).collect();
    let shifted: Vec<i32> = ints.iter().map(|v| (v << 3) ^ (v >> 5)).collect();
    let mut s = 0;
    sat.iter().for_each(|v| mix(&mut s, u64::from(*v)));
    avg.iter().for_each(|v| mix(&mut s, u64::from(*v)));
    abs.iter().for_each(|v| mix(&mut s, u64::from(*v)));
    shifted.iter().for_each(|v| mix(&mut s, *v as u64));
    floats.iter().zip(&ints).map(|(f, i)| f * 1.5 + *i as f32).for_each(|v| mix(&mut s, bits32(v)));
    floats.iter().map(|f| *f as i32 as i64 + f64::from(*f) as i64).for_each(|v| mix(&mut s, v as u64));
    ints.chunks(3).map(|c| c.iter().rev().fold(1i64, |a, v| a * 31 + i64::from(*v))).for_each(|v| mix(&mut s, v as u64));
    say!("vector maps: {s:016x}");
    let product: f64 = floats.iter().map(|v| f64::from(*v)).zip(ints.iter()).map(|(a, b)| a * f64::from(*b)).sum();
    say!("dot product: {product:e}");
    // Text, sorting, copying.
    let mut sorted = ints.clone();
    sorted.sort_unstable();
    let mut text = String::new();
    for (i, v) in sorted.iter().enumerate().step_by(97) {
        let _ = write!(text, "{v:x}{:.3}{i:>5}", f64::from(*v) / 7.0);
    }
    let mut s = 0;
    text.bytes().for_each(|b| mix(&mut s, u64::from(b)));
    say!("text: {s:016x} {} {:?} {}", text.len(), text.find("ff"), text.to_uppercase().matches('A').count());
    let mut map = BTreeMap::new();
    for v in &ints {
        *map.entry(v % 101).or_insert(0u32) += 1;
    }
    say!("map: {} {:?}", map.len(), map.iter().max_by_key(|(k, v)| (**v, **k)));
    let mut buffer = bytes.clone();
    for i in 0..200usize {
        let (from, len, to) = (i * 7 % 1000, i * 13 % 700, i * 11 % 3000);
        buffer.copy_within(from..from + len, to);
        buffer[i * 3..i * 3 + i % 40].fill(i as u8);
    }
    let mut s = 0;
    buffer.iter().for_each(|b| mix(&mut s, u64::from(*b)));
    say!("copies: {s:016x} {}", buffer[..2000] < buffer[2000..]);
    say!("parse: {:?} {:?} {:?}", "3.14159265358979".parse::<f64>(), "1e-320".parse::<f64>(), "99999999999999999999".parse::<u64>().is_err());
    say!("print: {} {} {:e} {}", 0.1 + 0.2, f32::MAX, 1.0 / 3.0, f64::MIN_POSITIVE);
}
