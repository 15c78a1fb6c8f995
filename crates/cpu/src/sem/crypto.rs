//! Cryptographic instructions; the algorithms are in [`crate::crypto`].

use tuxlet_a64 as a64;

use crate::crypto::{aes, sha, sm};
use crate::cx::{Cx, Step};
use crate::lanes::{half, lane, map1, map2};

// Vd from the registers that a row names.
macro_rules! steps {
    ($($name:ident $row:ident: |$c:ident, $i:ident| $e:expr;)*) => {$(
        pub(crate) fn $name<C: Cx>($c: &mut C, $i: a64::$row) -> Step {
            let r = $e;
            $c.set_v($i.rd, r);
            Ok(())
        }
    )*};
}
steps! {
    aese Aese: |c, i| aes::encrypt(c.v(i.rd) ^ c.v(i.rn));
    aesd Aesd: |c, i| aes::decrypt(c.v(i.rd) ^ c.v(i.rn));
    aesmc Aesmc: |c, i| aes::mix_columns(c.v(i.rn));
    aesimc Aesimc: |c, i| aes::inv_mix_columns(c.v(i.rn));
    pmull_q PmullQ: |c, i| aes::multiply(half(i.q, c.v(i.rn)) as u64, half(i.q, c.v(i.rm)) as u64);
    sha1c Sha1c: |c, i| sha::sha1_choose(c.v(i.rd), c.s(i.rn), c.v(i.rm));
    sha1p Sha1p: |c, i| sha::sha1_parity(c.v(i.rd), c.s(i.rn), c.v(i.rm));
    sha1m Sha1m: |c, i| sha::sha1_majority(c.v(i.rd), c.s(i.rn), c.v(i.rm));
    sha1h Sha1h: |c, i| u128::from(c.s(i.rn).rotate_left(30));
    sha1su0 Sha1su0: |c, i| sha::sha1_schedule0(c.v(i.rd), c.v(i.rn), c.v(i.rm));
    sha1su1 Sha1su1: |c, i| sha::sha1_schedule1(c.v(i.rd), c.v(i.rn));
    sha256h Sha256h: |c, i| sha::sha256_hash(c.v(i.rd), c.v(i.rn), c.v(i.rm));
    sha256h2 Sha256h2: |c, i| sha::sha256_hash2(c.v(i.rd), c.v(i.rn), c.v(i.rm));
    sha256su0 Sha256su0: |c, i| sha::sha256_schedule0(c.v(i.rd), c.v(i.rn));
    sha256su1 Sha256su1: |c, i| sha::sha256_schedule1(c.v(i.rd), c.v(i.rn), c.v(i.rm));
    sha512h Sha512h: |c, i| sha::sha512_hash(c.v(i.rd), c.v(i.rn), c.v(i.rm));
    sha512h2 Sha512h2: |c, i| sha::sha512_hash2(c.v(i.rd), c.v(i.rn), c.v(i.rm));
    sha512su0 Sha512su0: |c, i| sha::sha512_schedule0(c.v(i.rd), c.v(i.rn));
    sha512su1 Sha512su1: |c, i| sha::sha512_schedule1(c.v(i.rd), c.v(i.rn), c.v(i.rm));
    rax1 Rax1: |c, i| c.v(i.rn) ^ map1(c.v(i.rm), |x: u64| x.rotate_left(1));
    xar Xar: |c, i| map2(c.v(i.rn), c.v(i.rm), |x: u64, y: u64| {
        (x ^ y).rotate_right(u32::from(i.imm6))
    });
    eor3 Eor3: |c, i| c.v(i.rn) ^ c.v(i.rm) ^ c.v(i.ra);
    bcax Bcax: |c, i| c.v(i.rn) ^ c.v(i.rm) & !c.v(i.ra);
    sm3ss1 Sm3ss1: |c, i| sm::sm3_ss1(c.v(i.rn), c.v(i.rm), c.v(i.ra));
    sm3tt1a Sm3tt1a: |c, i| sm::sm3_tt1(c.v(i.rd), c.v(i.rn), word(c.v(i.rm), i.imm2), false);
    sm3tt1b Sm3tt1b: |c, i| sm::sm3_tt1(c.v(i.rd), c.v(i.rn), word(c.v(i.rm), i.imm2), true);
    sm3tt2a Sm3tt2a: |c, i| sm::sm3_tt2(c.v(i.rd), c.v(i.rn), word(c.v(i.rm), i.imm2), false);
    sm3tt2b Sm3tt2b: |c, i| sm::sm3_tt2(c.v(i.rd), c.v(i.rn), word(c.v(i.rm), i.imm2), true);
    sm3partw1 Sm3partw1: |c, i| sm::sm3_partw1(c.v(i.rd), c.v(i.rn), c.v(i.rm));
    sm3partw2 Sm3partw2: |c, i| sm::sm3_partw2(c.v(i.rd), c.v(i.rn), c.v(i.rm));
    sm4e Sm4e: |c, i| sm::sm4_encrypt(c.v(i.rd), c.v(i.rn));
    sm4ekey Sm4ekey: |c, i| sm::sm4_key(c.v(i.rn), c.v(i.rm));
}

fn word(v: u128, index: u8) -> u32 {
    lane(v, usize::from(index))
}
