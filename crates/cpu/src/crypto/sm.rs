//! SM3 and SM4 steps. `d`, `n`, `m` and `a` are the registers of the instruction.

fn words(v: u128) -> [u32; 4] {
    core::array::from_fn(|i| (v >> (32 * i)) as u32)
}

fn join(w: [u32; 4]) -> u128 {
    (0..4).fold(0, |v, i| v | u128::from(w[i]) << (32 * i))
}

fn top(v: u128) -> u32 {
    (v >> 96) as u32
}

/// SM3SS1.
pub(crate) fn sm3_ss1(n: u128, m: u128, a: u128) -> u128 {
    let sum = top(n)
        .rotate_left(12)
        .wrapping_add(top(m))
        .wrapping_add(top(a));
    u128::from(sum.rotate_left(7)) << 96
}

/// SM3TT1A and, with `majority`, SM3TT1B.
pub(crate) fn sm3_tt1(d: u128, n: u128, w: u32, majority: bool) -> u128 {
    let [d0, d1, d2, d3] = words(d);
    let f = if majority {
        d3 & d1 | d3 & d2 | d1 & d2
    } else {
        d1 ^ d2 ^ d3
    };
    let ss2 = top(n) ^ d3.rotate_left(12);
    let tt1 = f.wrapping_add(d0).wrapping_add(ss2).wrapping_add(w);
    join([d1, d2.rotate_left(9), d3, tt1])
}

/// SM3TT2A and, with `choose`, SM3TT2B.
pub(crate) fn sm3_tt2(d: u128, n: u128, w: u32, choose: bool) -> u128 {
    let [d0, d1, d2, d3] = words(d);
    let f = if choose {
        d3 & d2 | !d3 & d1
    } else {
        d1 ^ d2 ^ d3
    };
    let tt2 = f.wrapping_add(d0).wrapping_add(top(n)).wrapping_add(w);
    join([
        d1,
        d2.rotate_left(19),
        d3,
        tt2 ^ tt2.rotate_left(9) ^ tt2.rotate_left(17),
    ])
}

fn p1(x: u32) -> u32 {
    x ^ x.rotate_left(15) ^ x.rotate_left(23)
}

/// SM3PARTW1.
pub(crate) fn sm3_partw1(d: u128, n: u128, m: u128) -> u128 {
    let (mut r, m) = (words(d ^ n), words(m));
    for i in 0..4 {
        let from = if i < 3 { m[i + 1] } else { r[0] };
        r[i] = p1(r[i] ^ from.rotate_left(15));
    }
    join(r)
}

/// SM3PARTW2.
pub(crate) fn sm3_partw2(d: u128, n: u128, m: u128) -> u128 {
    let t = n ^ join(words(m).map(|w| w.rotate_left(7)));
    d ^ t ^ u128::from(p1((t as u32).rotate_left(15))) << 96
}

/// The affine map of the SM4 S-box: bit i is the parity of the input under 0xd3 rotated.
const fn affine(x: u8) -> u8 {
    let mut r = 0;
    let mut i = 0;
    while i < 8 {
        r |= ((x & 0xa7u8.rotate_left(i)).count_ones() as u8 & 1) << i;
        i += 1;
    }
    r ^ 0xd3
}

/// The product modulo the SM4 polynomial 0x1f5.
const fn multiply(a: u8, b: u8) -> u8 {
    let mut r = 0;
    let mut a = a;
    let mut i = 0;
    while i < 8 {
        if b >> i & 1 != 0 {
            r ^= a;
        }
        a = (a << 1) ^ ((a >> 7) * 0xf5);
        i += 1;
    }
    r
}

pub(super) const SBOX: [u8; 256] = {
    let mut table = [0; 256];
    let mut i = 0;
    while i < 256 {
        // The inverse is the 254th power.
        let x = affine(i as u8);
        let mut power = 1;
        let mut k = 0;
        while k < 254 {
            power = multiply(power, x);
            k += 1;
        }
        table[i] = affine(power);
        i += 1;
    }
    table
};

fn rounds(state: u128, keys: u128, linear: impl Fn(u32) -> u32) -> u128 {
    let mut s = words(state);
    for key in words(keys) {
        let t = s[3] ^ s[2] ^ s[1] ^ key;
        let t = u32::from_le_bytes(t.to_le_bytes().map(|b| SBOX[b as usize]));
        s = [s[1], s[2], s[3], s[0] ^ linear(t)];
    }
    join(s)
}

/// SM4E.
pub(crate) fn sm4_encrypt(d: u128, n: u128) -> u128 {
    rounds(d, n, |t| {
        t ^ t.rotate_left(2) ^ t.rotate_left(10) ^ t.rotate_left(18) ^ t.rotate_left(24)
    })
}

/// SM4EKEY.
pub(crate) fn sm4_key(n: u128, m: u128) -> u128 {
    rounds(n, m, |t| t ^ t.rotate_left(13) ^ t.rotate_left(23))
}
