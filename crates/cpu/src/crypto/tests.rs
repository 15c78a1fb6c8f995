use super::*;

#[test]
fn aes_of_the_host_equals_the_portable_one() {
    let mut x = 0x0123_4567_89ab_cdef_1122_3344_5566_7788u128;
    for _ in 0..200 {
        x = x
            .wrapping_mul(0x2545_f491_4f6c_dd1d_0000_0000_0000_0001)
            .rotate_left(37)
            ^ 0x5bd1;
        assert_eq!(aes::encrypt(x), aes::encrypt_portable(x));
        assert_eq!(aes::decrypt(x), aes::decrypt_portable(x));
        assert_eq!(aes::mix_columns(x), aes::mix_columns_portable(x));
        assert_eq!(aes::inv_mix_columns(x), aes::inv_mix_columns_portable(x));
        assert_eq!(aes::decrypt_portable(aes::encrypt_portable(x)), x);
        assert_eq!(
            aes::inv_mix_columns_portable(aes::mix_columns_portable(x)),
            x
        );
        let (a, b) = (x as u64, (x >> 64) as u64);
        assert_eq!(aes::multiply(a, b), aes::multiply_portable(a, b));
    }
}

#[test]
fn sha_of_the_host_equals_the_portable_one() {
    let mut x = 0x0123_4567_89ab_cdef_1122_3344_5566_7788u128;
    let mut next = || {
        x = x
            .wrapping_mul(0x2545_f491_4f6c_dd1d_0000_0000_0000_0001)
            .rotate_left(37)
            ^ 0x5bd1;
        x
    };
    for _ in 0..2000 {
        let (d, n, m) = (next(), next(), next());
        let e = next() as u32;
        use sha::portable as p;
        assert_eq!(sha::sha1_choose(d, e, m), p::sha1_choose(d, e, m));
        assert_eq!(sha::sha1_parity(d, e, m), p::sha1_parity(d, e, m));
        assert_eq!(sha::sha1_majority(d, e, m), p::sha1_majority(d, e, m));
        assert_eq!(sha::sha256_hash(d, n, m), p::sha256_hash(d, n, m));
        assert_eq!(sha::sha256_hash2(d, n, m), p::sha256_hash2(d, n, m));
        assert_eq!(sha::sha256_schedule0(d, n), p::sha256_schedule0(d, n));
        assert_eq!(sha::sha256_schedule1(d, n, m), p::sha256_schedule1(d, n, m));
    }
}

#[test]
fn crc_of_the_host_equals_the_portable_one() {
    let bitwise = |poly: u32, acc: u32, v: u64, size: u8| {
        (0..8 << size).fold(acc, |acc, bit| {
            let carry = (acc ^ (v >> bit) as u32) & 1;
            acc >> 1 ^ if carry != 0 { poly } else { 0 }
        })
    };
    let mut v = 0x9e37_79b9_7f4a_7c15u64;
    for round in 0..4000u32 {
        v = v.rotate_left(23).wrapping_mul(0x2545_f491_4f6c_dd1d);
        let (acc, size) = ((v >> 17) as u32 ^ round, (round & 3) as u8);
        let want = bitwise(0xedb8_8320, acc, v, size);
        assert_eq!(crc::crc32_portable(acc, v, size), want);
        assert_eq!(crc::crc32(acc, v, size), want);
        let want = bitwise(0x82f6_3b78, acc, v, size);
        assert_eq!(crc::crc32c_portable(acc, v, size), want);
        assert_eq!(crc::crc32c(acc, v, size), want);
    }
    // The check values of both: the CRC of "123456789".
    let check = |f: fn(u32, u64, u8) -> u32| {
        !b"123456789"
            .iter()
            .fold(!0, |acc, &byte| f(acc, byte.into(), 0))
    };
    assert_eq!(check(crc::crc32), 0xcbf4_3926);
    assert_eq!(check(crc::crc32c), 0xe306_9283);
}

#[test]
fn sm4_sbox_ends() {
    assert_eq!(
        sm::SBOX[..8],
        [0xd6, 0x90, 0xe9, 0xfe, 0xcc, 0xe1, 0x3d, 0xb7]
    );
    assert_eq!(sm::SBOX[254..], [0x39, 0x48]);
}

#[test]
fn sha256_of_nothing() {
    let k: [u32; 64] = {
        // Fractional parts of the cube roots of the first primes.
        let primes = (2u32..).filter(|n| (2..*n).all(|d| n % d != 0)).take(64);
        let mut k = [0; 64];
        for (k, p) in k.iter_mut().zip(primes) {
            let n = u128::from(p) << 96;
            let mut root = 0u128;
            for bit in (0..40).rev() {
                let next = root | 1 << bit;
                if next * next * next <= n {
                    root = next;
                }
            }
            *k = root as u32;
        }
        k
    };
    let block: [u128; 4] = [0x8000_0000, 0, 0, 0];
    let start = (
        0xa54ff53a_3c6ef372_bb67ae85_6a09e667u128,
        0x5be0cd19_1f83d9ab_9b05688c_510e527fu128,
    );
    let add = |a: u128, b: u128| {
        (0..4).fold(0, |v, i| {
            let (x, y) = ((a >> (32 * i)) as u32, (b >> (32 * i)) as u32);
            v | u128::from(x.wrapping_add(y)) << (32 * i)
        })
    };
    let mut w = block;
    let (mut abcd, mut efgh) = start;
    for round in 0..16 {
        let keys = (0..4).fold(0, |v, i| v | u128::from(k[round * 4 + i]) << (32 * i));
        let wk = add(w[0], keys);
        let old = abcd;
        abcd = sha::sha256_hash(abcd, efgh, wk);
        efgh = sha::sha256_hash2(efgh, old, wk);
        let next = sha::sha256_schedule1(sha::sha256_schedule0(w[0], w[1]), w[2], w[3]);
        w = [w[1], w[2], w[3], next];
    }
    assert_eq!(add(start.0, abcd), 0x996fb924_9afbf4c8_98fc1c14_e3b0c442);
    assert_eq!(add(start.1, efgh), 0x7852b855_a495991b_649b934c_27ae41e4);
}
