//! Properties of the whole table: rows are disjoint, and decode, encode and the random
//! generator agree with one another.

use tuxlet_a64::{
    Feature, Insn, OpId, arbitrary, decode, disassemble, for_each_done_insn, for_each_insn,
};

/// xorshift; any bits will do.
fn rng(mut state: u32) -> impl FnMut() -> u32 {
    move || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state
    }
}

#[test]
fn arbitrary_words_decode_to_their_row() {
    let mut rng = rng(1);
    for op in OpId::all() {
        for _ in 0..50 {
            let word = arbitrary(op, &mut rng);
            assert_eq!(decode(word), Some(op), "{} {word:#010x}", op.name());
        }
    }
}

fn round_trip<I: Insn>() {
    let mut rng = rng(7);
    for _ in 0..200 {
        let word = arbitrary(I::OP, &mut rng);
        let insn = I::from_word(word);
        assert_eq!(insn.to_word(), word, "{insn:?}");
    }
}

macro_rules! round_trips {
    ($(($row:ident, $snake:ident))*) => { $(round_trip::<tuxlet_a64::$row>();)* };
}

#[test]
fn fields_round_trip() {
    for_each_insn!(round_trips);
}

/// A word that matches several rows must decode to the one that is a special case of the others.
#[test]
fn overlapping_rows_are_nested() {
    let mut rng = rng(3);
    for (i, a) in OpId::all().enumerate() {
        for b in OpId::all().skip(i + 1) {
            let ((ma, va), (mb, vb)) = (a.fixed_bits(), b.fixed_bits());
            if (va ^ vb) & ma & mb != 0 {
                continue;
            }
            let nested = ma & mb == ma || ma & mb == mb;
            for _ in 0..2000 {
                let word = (rng() & !(ma | mb)) | va | vb;
                let both = a.matches(word) && b.matches(word);
                assert!(
                    !both || nested,
                    "{} and {}: {word:#010x}",
                    a.name(),
                    b.name()
                );
            }
        }
    }
}

#[test]
fn decode_finds_every_match() {
    let mut rng = rng(5);
    for op in OpId::all() {
        let (mask, value) = op.fixed_bits();
        for _ in 0..50 {
            let word = (rng() & !mask) | value;
            assert!(
                !op.matches(word) || decode(word).is_some(),
                "{} {word:#010x}",
                op.name()
            );
        }
    }
}

#[test]
fn every_row_prints() {
    let mut rng = rng(9);
    for op in OpId::all() {
        for _ in 0..50 {
            let word = arbitrary(op, &mut rng);
            let text = disassemble(word, 0x1000);
            assert!(
                text.starts_with(|c: char| c.is_ascii_lowercase()) && !text.contains('?'),
                "{}: {text}",
                op.name()
            );
        }
    }
}

#[test]
fn prints_standard_syntax() {
    for (word, text) in [
        (0xd503_201f, "nop"),
        (0x9100_03fd, "mov x29, sp"),
        (0xa9bf_7bfd, "stp x29, x30, [sp, #-16]!"),
        (0xd65f_03c0, "ret"),
        (0x9400_0000, "bl 0x1000"),
        (0x54ff_ffe1, "b.ne 0xffc"),
        (0xf940_0441, "ldr x1, [x2, #8]"),
        (0x3861_6840, "ldrb w0, [x2, x1]"),
        (0xd280_0020, "mov x0, #0x1"),
        (0xeb01_001f, "cmp x0, x1"),
        (0xd53b_d040, "mrs x0, tpidr_el0"),
        (0x9b01_7c00, "mul x0, x0, x1"),
        (0x0000_0000, "udf #0x0"),
    ] {
        assert_eq!(disassemble(word, 0x1000), text);
    }
}

#[test]
fn a_feature_is_complete_when_all_its_rows_are_done() {
    for &feature in Feature::ALL {
        let done = OpId::all()
            .filter(|op| op.features().contains(&feature))
            .all(OpId::is_done);
        assert_eq!(feature.is_complete(), done, "{feature:?}");
    }
    assert!(
        !Feature::Pauth.is_complete(),
        "pointer authentication is only decoded"
    );
}

macro_rules! done_names {
    ($(($row:ident, $snake:ident))*) => { [$(OpId::$row),*] };
}

#[test]
fn the_done_list_is_the_status_column() {
    let listed: Vec<OpId> = for_each_done_insn!(done_names).into();
    assert!(listed.is_sorted(), "run `cargo xtask isa`");
    assert!(OpId::all().filter(|op| op.is_done()).eq(listed));
}
