//! SHA-1, SHA-256 and SHA-512 steps. `d`, `n` and `m` are the registers of the instruction.

use super::sha_host;

fn words(v: u128) -> [u32; 4] {
    core::array::from_fn(|i| (v >> (32 * i)) as u32)
}

fn join(w: [u32; 4]) -> u128 {
    (0..4).fold(0, |v, i| v | u128::from(w[i]) << (32 * i))
}

fn halves(v: u128) -> (u64, u64) {
    (v as u64, (v >> 64) as u64)
}

fn pair(low: u64, high: u64) -> u128 {
    u128::from(low) | u128::from(high) << 64
}

/// What hosts have instructions for, without them.
pub(super) mod portable {
    use super::{join, words};

    /// SHA1C's function.
    fn choose(x: u32, y: u32, z: u32) -> u32 {
        (y ^ z) & x ^ z
    }

    /// SHA1M's function.
    fn majority(x: u32, y: u32, z: u32) -> u32 {
        x & y | (x | y) & z
    }

    /// SHA1P's function.
    fn parity(x: u32, y: u32, z: u32) -> u32 {
        x ^ y ^ z
    }

    /// SHA1C, SHA1M and SHA1P: four rounds with the function `f`.
    #[inline(always)]
    fn sha1_rounds(d: u128, n: u32, m: u128, f: impl Fn(u32, u32, u32) -> u32) -> u128 {
        let ([mut a, mut b, mut c, mut d], mut e) = (words(d), n);
        for w in words(m) {
            let t = e
                .wrapping_add(a.rotate_left(5))
                .wrapping_add(f(b, c, d))
                .wrapping_add(w);
            (a, b, c, d, e) = (t, a, b.rotate_left(30), c, d);
        }
        join([a, b, c, d])
    }

    /// SHA1C.
    pub(in crate::crypto) fn sha1_choose(d: u128, n: u32, m: u128) -> u128 {
        sha1_rounds(d, n, m, choose)
    }

    /// SHA1P.
    pub(in crate::crypto) fn sha1_parity(d: u128, n: u32, m: u128) -> u128 {
        sha1_rounds(d, n, m, parity)
    }

    /// SHA1M.
    pub(in crate::crypto) fn sha1_majority(d: u128, n: u32, m: u128) -> u128 {
        sha1_rounds(d, n, m, majority)
    }

    fn sha256_rounds(x: u128, y: u128, w: u128) -> (u128, u128) {
        let ([mut a, mut b, mut c, mut d], [mut e, mut f, mut g, mut h]) = (words(x), words(y));
        for w in words(w) {
            let sigma1 = e.rotate_right(6) ^ e.rotate_right(11) ^ e.rotate_right(25);
            let t = h
                .wrapping_add(sigma1)
                .wrapping_add(choose(e, f, g))
                .wrapping_add(w);
            let sigma0 = a.rotate_right(2) ^ a.rotate_right(13) ^ a.rotate_right(22);
            let u = t.wrapping_add(sigma0).wrapping_add(majority(a, b, c));
            (a, b, c, d, e, f, g, h) = (u, a, b, c, d.wrapping_add(t), e, f, g);
        }
        (join([a, b, c, d]), join([e, f, g, h]))
    }

    /// SHA256H.
    pub(in crate::crypto) fn sha256_hash(d: u128, n: u128, m: u128) -> u128 {
        sha256_rounds(d, n, m).0
    }

    /// SHA256H2.
    pub(in crate::crypto) fn sha256_hash2(d: u128, n: u128, m: u128) -> u128 {
        sha256_rounds(n, d, m).1
    }

    /// SHA256SU0.
    pub(in crate::crypto) fn sha256_schedule0(d: u128, n: u128) -> u128 {
        let (t, w) = (words(n << 96 | d >> 32), words(d));
        join(core::array::from_fn(|i| {
            let s = t[i].rotate_right(7) ^ t[i].rotate_right(18) ^ t[i] >> 3;
            w[i].wrapping_add(s)
        }))
    }

    /// SHA256SU1.
    pub(in crate::crypto) fn sha256_schedule1(d: u128, n: u128, m: u128) -> u128 {
        let (w, t0, t1) = (words(d), words(m << 96 | n >> 32), words(m));
        let sigma = |x: u32| x.rotate_right(17) ^ x.rotate_right(19) ^ x >> 10;
        let mut r = [0u32; 4];
        for i in 0..4 {
            let from = if i < 2 { t1[i + 2] } else { r[i - 2] };
            r[i] = w[i].wrapping_add(t0[i]).wrapping_add(sigma(from));
        }
        join(r)
    }
}

super::detected! {
    /// SHA1C.
    sha1_choose(d: u128, n: u32, m: u128) -> u128, sha_host has_sha1, else portable::sha1_choose;
    /// SHA1P.
    sha1_parity(d: u128, n: u32, m: u128) -> u128, sha_host has_sha1, else portable::sha1_parity;
    /// SHA1M.
    sha1_majority(d: u128, n: u32, m: u128) -> u128, sha_host has_sha1, else portable::sha1_majority;
    /// SHA256H.
    sha256_hash(d: u128, n: u128, m: u128) -> u128, sha_host has_sha256, else portable::sha256_hash;
    /// SHA256H2.
    sha256_hash2(d: u128, n: u128, m: u128) -> u128, sha_host has_sha256, else portable::sha256_hash2;
    /// SHA256SU0.
    sha256_schedule0(d: u128, n: u128) -> u128, sha_host has_sha256, else portable::sha256_schedule0;
    /// SHA256SU1.
    sha256_schedule1(d: u128, n: u128, m: u128) -> u128, sha_host has_sha256, else portable::sha256_schedule1;
}

/// SHA1SU0.
pub(crate) fn sha1_schedule0(d: u128, n: u128, m: u128) -> u128 {
    (n << 64 | d >> 64) ^ d ^ m
}

/// SHA1SU1.
pub(crate) fn sha1_schedule1(d: u128, n: u128) -> u128 {
    let t = words(d ^ n >> 32);
    let mut r = t.map(|w| w.rotate_left(1));
    r[3] ^= t[0].rotate_left(2);
    join(r)
}

/// SHA512H.
pub(crate) fn sha512_hash(d: u128, n: u128, m: u128) -> u128 {
    let ((w0, w1), (x0, x1), (y0, y1)) = (halves(d), halves(n), halves(m));
    let sigma = |y: u64| y.rotate_right(14) ^ y.rotate_right(18) ^ y.rotate_right(41);
    let high = (y1 & x0 ^ !y1 & x1)
        .wrapping_add(sigma(y1))
        .wrapping_add(w1);
    let t = high.wrapping_add(y0);
    let low = (t & y1 ^ !t & x0).wrapping_add(sigma(t)).wrapping_add(w0);
    pair(low, high)
}

/// SHA512H2.
pub(crate) fn sha512_hash2(d: u128, n: u128, m: u128) -> u128 {
    let ((w0, w1), (x0, _), (y0, y1)) = (halves(d), halves(n), halves(m));
    let sigma = |y: u64| y.rotate_right(28) ^ y.rotate_right(34) ^ y.rotate_right(39);
    let high = (x0 & y1 ^ x0 & y0 ^ y1 & y0)
        .wrapping_add(sigma(y0))
        .wrapping_add(w1);
    let low = (high & y0 ^ high & y1 ^ y1 & y0)
        .wrapping_add(sigma(high))
        .wrapping_add(w0);
    pair(low, high)
}

/// SHA512SU0.
pub(crate) fn sha512_schedule0(d: u128, n: u128) -> u128 {
    let ((w0, w1), (x0, _)) = (halves(d), halves(n));
    let sigma = |x: u64| x.rotate_right(1) ^ x.rotate_right(8) ^ x >> 7;
    pair(w0.wrapping_add(sigma(w1)), w1.wrapping_add(sigma(x0)))
}

/// SHA512SU1.
pub(crate) fn sha512_schedule1(d: u128, n: u128, m: u128) -> u128 {
    let ((w0, w1), (x0, x1), (y0, y1)) = (halves(d), halves(n), halves(m));
    let sigma = |x: u64| x.rotate_right(19) ^ x.rotate_right(61) ^ x >> 6;
    let next = |w: u64, x: u64, y: u64| w.wrapping_add(sigma(x)).wrapping_add(y);
    pair(next(w0, x0, y0), next(w1, x1, y1))
}
