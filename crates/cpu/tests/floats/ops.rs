//! The instructions under test: encodings and models.

use std::rc::Rc;

use rustc_apfloat::Round;

use crate::lanes;
use crate::model::{self, Binary, Env, Fmt};

/// Where the result is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Out {
    /// The lowest lane of V4; the others become zero.
    Scalar,
    /// All lanes of V4.
    Vector,
    /// X4.
    General,
    /// The condition flags, and X4 where the word writes it.
    Flags,
}

type LaneModel = dyn Fn([u64; 3], &mut Env) -> u64;
type WholeModel = dyn Fn([u128; 3], &mut Env) -> u128;

/// What an instruction should do.
#[derive(Clone)]
pub(crate) enum Model {
    /// One lane after the other: operands in V0 (or X3), V1 and V2, and V4 as it was, which is V2.
    Lane(Rc<LaneModel>),
    /// The whole V4 from V0, V1 and V2.
    Whole(Rc<WholeModel>),
}

#[derive(Clone)]
pub(crate) struct Op {
    pub(crate) name: String,
    pub(crate) word: u32,
    /// Format of the operands; `None` for integers.
    pub(crate) from: Option<Fmt>,
    /// Format of the third operand.
    pub(crate) third: Option<Fmt>,
    /// Width of a result lane.
    pub(crate) width: u32,
    pub(crate) sources: usize,
    pub(crate) out: Out,
    /// Whether FPCR.AHP matters.
    pub(crate) alternative: bool,
    pub(crate) model: Model,
}

pub(crate) const RD: u32 = 4;
pub(crate) const RM: u32 = 1 << 16;
const RA: u32 = 2 << 10;
pub(crate) const FORMATS: [Fmt; 3] = [Fmt::H, Fmt::S, Fmt::D];

fn kind(fmt: Fmt) -> u32 {
    match fmt {
        Fmt::S => 0,
        Fmt::D => 1 << 22,
        _ => 3 << 22,
    }
}

/// The vector form for `fmt` of a word for 4S with three registers.
pub(crate) fn same(word: u32, fmt: Fmt) -> u32 {
    match fmt {
        Fmt::S => word,
        Fmt::D => word | 1 << 22,
        _ => word & !0x0020_c000 | 1 << 22,
    }
}

/// The vector form for `fmt` of a word for 4S with two registers.
fn misc(word: u32, fmt: Fmt) -> u32 {
    match fmt {
        Fmt::S => word,
        Fmt::D => word | 1 << 22,
        _ => word | 0x0058_0000,
    }
}

/// From a vector to a scalar form.
pub(crate) const SCALAR: u32 = 1 << 28;

#[derive(Default)]
pub(crate) struct List(pub(crate) Vec<Op>);

impl List {
    fn add(
        &mut self,
        name: &str,
        fmt: Fmt,
        word: u32,
        (sources, out): (usize, Out),
        model: impl Fn([u64; 3], &mut Env) -> u64 + 'static,
    ) {
        self.0.push(Op {
            name: format!("{name} {fmt:?} {out:?}"),
            word: word | RD,
            from: Some(fmt),
            third: Some(fmt),
            width: fmt.bits(),
            sources,
            out,
            alternative: false,
            model: Model::Lane(Rc::new(model)),
        });
    }

    /// A vector instruction with two sources and perhaps its scalar form.
    fn three_same(
        &mut self,
        name: &str,
        word: u32,
        scalar: bool,
        model: fn(Fmt, [u64; 3], &mut Env) -> u64,
    ) {
        for fmt in FORMATS {
            let word = same(word, fmt) | RM;
            self.add(name, fmt, word, (3, Out::Vector), move |v, e| {
                model(fmt, v, e)
            });
            if scalar {
                let word = word | SCALAR;
                self.add(name, fmt, word, (3, Out::Scalar), move |v, e| {
                    model(fmt, v, e)
                });
            }
        }
    }

    fn two_misc(
        &mut self,
        name: &str,
        word: u32,
        scalar: bool,
        model: fn(Fmt, u64, &mut Env) -> u64,
    ) {
        for fmt in FORMATS {
            let word = misc(word, fmt);
            self.add(name, fmt, word, (1, Out::Vector), move |v, e| {
                model(fmt, v[0], e)
            });
            if scalar {
                let word = word | SCALAR;
                self.add(name, fmt, word, (1, Out::Scalar), move |v, e| {
                    model(fmt, v[0], e)
                });
            }
        }
    }
}

fn neg(fmt: Fmt, a: u64) -> u64 {
    a ^ fmt.sign_bit()
}

fn all(fmt: Fmt, yes: bool) -> u64 {
    if yes {
        u64::MAX >> (64 - fmt.bits())
    } else {
        0
    }
}

/// FPCompareEQ, FPCompareGE, FPCompareGT.
fn mask(fmt: Fmt, [a, b, _]: [u64; 3], equal: bool, greater: bool, env: &mut Env) -> u64 {
    let flags = model::compare(fmt, a, b, greater, env);
    all(
        fmt,
        equal && flags == 0x6000_0000 || greater && flags == 0x2000_0000,
    )
}

fn size(fmt: Fmt, a: u64) -> u64 {
    a & !fmt.sign_bit()
}

/// All instructions under test.
pub(crate) fn ops() -> Vec<Op> {
    let mut list = List::default();
    arithmetic(&mut list);
    unary(&mut list);
    comparisons(&mut list);
    conversions(&mut list);
    integers(&mut list);
    fixed(&mut list);
    // Half as many lanes, where there is more than one.
    let short = |op: &&Op| op.out == Out::Vector && op.word & 1 << 30 != 0 && op.width < 64;
    let half: Vec<Op> = list.0.iter().filter(short).cloned().collect();
    list.0.extend(half.into_iter().map(|op| Op {
        name: format!("{}, 64 bits", op.name),
        word: op.word & !(1 << 30),
        ..op
    }));
    lanes::add(&mut list);
    list.0
}

fn arithmetic(list: &mut List) {
    let scalar = 0x1e20_0800;
    for fmt in FORMATS {
        let two =
            |list: &mut List, name: &str, opcode: u32, f: fn(Fmt, u64, u64, &mut Env) -> u64| {
                let word = scalar | kind(fmt) | opcode << 12 | RM;
                list.add(name, fmt, word, (2, Out::Scalar), move |v, e| {
                    f(fmt, v[0], v[1], e)
                });
            };
        two(list, "fmul", 0, |f, a, b, e| {
            model::binary(Binary::Mul, f, a, b, e)
        });
        two(list, "fdiv", 1, |f, a, b, e| {
            model::binary(Binary::Div, f, a, b, e)
        });
        two(list, "fadd", 2, |f, a, b, e| {
            model::binary(Binary::Add, f, a, b, e)
        });
        two(list, "fsub", 3, |f, a, b, e| {
            model::binary(Binary::Sub, f, a, b, e)
        });
        two(list, "fmax", 4, |f, a, b, e| {
            model::extreme(f, a, b, true, false, e)
        });
        two(list, "fmin", 5, |f, a, b, e| {
            model::extreme(f, a, b, false, false, e)
        });
        two(list, "fmaxnm", 6, |f, a, b, e| {
            model::extreme(f, a, b, true, true, e)
        });
        two(list, "fminnm", 7, |f, a, b, e| {
            model::extreme(f, a, b, false, true, e)
        });
        two(list, "fnmul", 8, |f, a, b, e| {
            neg(f, model::binary(Binary::Mul, f, a, b, e))
        });
        for (name, bits, negate_a, negate_c) in [
            ("fmadd", 0, false, false),
            ("fmsub", 1 << 15, true, false),
            ("fnmadd", 1 << 21, true, true),
            ("fnmsub", 1 << 21 | 1 << 15, false, true),
        ] {
            let word = 0x1f00_0000 | kind(fmt) | bits | RM | RA;
            list.add(name, fmt, word, (3, Out::Scalar), move |[a, b, c], e| {
                let a = if negate_a { neg(fmt, a) } else { a };
                let c = if negate_c { neg(fmt, c) } else { c };
                model::mul_add(fmt, c, a, b, e)
            });
        }
    }
    list.three_same("fadd", 0x4e20_d400, false, |f, v, e| {
        model::binary(Binary::Add, f, v[0], v[1], e)
    });
    list.three_same("fsub", 0x4ea0_d400, false, |f, v, e| {
        model::binary(Binary::Sub, f, v[0], v[1], e)
    });
    list.three_same("fmul", 0x6e20_dc00, false, |f, v, e| {
        model::binary(Binary::Mul, f, v[0], v[1], e)
    });
    list.three_same("fdiv", 0x6e20_fc00, false, |f, v, e| {
        model::binary(Binary::Div, f, v[0], v[1], e)
    });
    list.three_same("fmax", 0x4e20_f400, false, |f, v, e| {
        model::extreme(f, v[0], v[1], true, false, e)
    });
    list.three_same("fmin", 0x4ea0_f400, false, |f, v, e| {
        model::extreme(f, v[0], v[1], false, false, e)
    });
    list.three_same("fmaxnm", 0x4e20_c400, false, |f, v, e| {
        model::extreme(f, v[0], v[1], true, true, e)
    });
    list.three_same("fminnm", 0x4ea0_c400, false, |f, v, e| {
        model::extreme(f, v[0], v[1], false, true, e)
    });
    list.three_same("fabd", 0x6ea0_d400, true, |f, v, e| {
        size(f, model::binary(Binary::Sub, f, v[0], v[1], e))
    });
    list.three_same("fmulx", 0x4e20_dc00, true, |f, v, e| {
        model::mulx(f, v[0], v[1], e)
    });
    list.three_same("frecps", 0x4e20_fc00, true, |f, v, e| {
        model::step(f, v[0], v[1], false, e)
    });
    list.three_same("frsqrts", 0x4ea0_fc00, true, |f, v, e| {
        model::step(f, v[0], v[1], true, e)
    });
    list.three_same("fmla", 0x4e20_cc00, false, |f, v, e| {
        model::mul_add(f, v[2], v[0], v[1], e)
    });
    list.three_same("fmls", 0x4ea0_cc00, false, |f, v, e| {
        model::mul_add(f, v[2], neg(f, v[0]), v[1], e)
    });
}

/// The rounding modes that instructions name; `None` is FPCR's.
const ROUNDINGS: [(&str, Option<Round>); 6] = [
    ("n", Some(Round::NearestTiesToEven)),
    ("p", Some(Round::TowardPositive)),
    ("m", Some(Round::TowardNegative)),
    ("z", Some(Round::TowardZero)),
    ("a", Some(Round::NearestTiesToAway)),
    ("i", None),
];

fn unary(list: &mut List) {
    for fmt in FORMATS {
        let mut one = |name: &str, opcode: u32, f: fn(Fmt, u64, &mut Env) -> u64| {
            let word = 0x1e20_4000 | kind(fmt) | opcode << 15;
            list.add(name, fmt, word, (1, Out::Scalar), move |v, e| {
                f(fmt, v[0], e)
            });
        };
        one("fabs", 1, |f, a, _| size(f, a));
        one("fneg", 2, |f, a, _| neg(f, a));
        one("fsqrt", 3, model::sqrt);
        one("frintx", 14, |f, a, e| {
            model::round_int(f, a, e.mode(), true, e)
        });
        if fmt != Fmt::H {
            one("frint32z", 16, |f, a, e| {
                model::round_int_sized(f, a, Round::TowardZero, 32, e)
            });
            one("frint32x", 17, |f, a, e| {
                model::round_int_sized(f, a, e.mode(), 32, e)
            });
            one("frint64z", 18, |f, a, e| {
                model::round_int_sized(f, a, Round::TowardZero, 64, e)
            });
            one("frint64x", 19, |f, a, e| {
                model::round_int_sized(f, a, e.mode(), 64, e)
            });
        }
        for ((name, mode), opcode) in ROUNDINGS.into_iter().zip([8, 9, 10, 11, 12, 15]) {
            let word = 0x1e20_4000 | kind(fmt) | opcode << 15;
            let name = format!("frint{name}");
            list.add(&name, fmt, word, (1, Out::Scalar), move |v, e| {
                model::round_int(fmt, v[0], mode.unwrap_or(e.mode()), false, e)
            });
        }
        let vector = [
            0x4e21_8800,
            0x4ea1_8800,
            0x4e21_9800,
            0x4ea1_9800,
            0x6e21_8800,
            0x6ea1_9800,
        ];
        for ((name, mode), word) in ROUNDINGS.into_iter().zip(vector) {
            let name = format!("frint{name}");
            list.add(
                &name,
                fmt,
                misc(word, fmt),
                (1, Out::Vector),
                move |v, e| model::round_int(fmt, v[0], mode.unwrap_or(e.mode()), false, e),
            );
        }
        let word = misc(0x4ea1_f800, fmt) | SCALAR;
        list.add("frecpx", fmt, word, (1, Out::Scalar), move |v, e| {
            model::recip_exponent(fmt, v[0], e)
        });
    }
    list.two_misc("fabs", 0x4ea0_f800, false, |f, a, _| size(f, a));
    list.two_misc("fneg", 0x6ea0_f800, false, |f, a, _| neg(f, a));
    list.two_misc("fsqrt", 0x6ea1_f800, false, model::sqrt);
    list.two_misc("frintx", 0x6e21_9800, false, |f, a, e| {
        model::round_int(f, a, e.mode(), true, e)
    });
    for (name, word, size, mode) in [
        ("frint32z", 0x4e21_e800, 32, Some(Round::TowardZero)),
        ("frint32x", 0x6e21_e800, 32, None),
        ("frint64z", 0x4e21_f800, 64, Some(Round::TowardZero)),
        ("frint64x", 0x6e21_f800, 64, None),
    ] {
        for fmt in [Fmt::S, Fmt::D] {
            list.add(name, fmt, misc(word, fmt), (1, Out::Vector), move |v, e| {
                model::round_int_sized(fmt, v[0], mode.unwrap_or(e.mode()), size, e)
            });
        }
    }
    list.two_misc("frecpe", 0x4ea1_d800, true, model::recip_estimate);
    list.two_misc("frsqrte", 0x6ea1_d800, true, model::rsqrt_estimate);
}

fn comparisons(list: &mut List) {
    for fmt in FORMATS {
        for (name, word, zero, signalling) in [
            ("fcmp", 0x1e20_2000 | RM, false, false),
            ("fcmpe", 0x1e20_2010 | RM, false, true),
            ("fcmp #0", 0x1e20_2008, true, false),
            ("fcmpe #0", 0x1e20_2018, true, true),
            // The flags are clear before: NE holds, EQ does not.
            ("fccmp ne", 0x1e20_1400 | RM, false, false),
            ("fccmpe ne", 0x1e20_1410 | RM, false, true),
        ] {
            let word = word | kind(fmt);
            list.0.push(Op {
                name: format!("{name} {fmt:?}"),
                word,
                from: Some(fmt),
                third: Some(fmt),
                width: fmt.bits(),
                sources: 2,
                out: Out::Flags,
                alternative: false,
                model: Model::Lane(Rc::new(move |v, e| {
                    let other = if zero { 0 } else { v[1] };
                    u64::from(model::compare(fmt, v[0], other, signalling, e)) << 32
                })),
            });
        }
    }
    for (name, word, holds) in [
        ("fcmgt #0", 0x4ea0_c800, [false, false, true]),
        ("fcmge #0", 0x6ea0_c800, [false, true, true]),
        ("fcmeq #0", 0x4ea0_d800, [false, true, false]),
        ("fcmle #0", 0x6ea0_d800, [true, true, false]),
        ("fcmlt #0", 0x4ea0_e800, [true, false, false]),
    ] {
        for (fmt, bit, out) in FORMATS.into_iter().flat_map(|fmt| {
            [(0, Out::Vector), (SCALAR, Out::Scalar)].map(|(bit, out)| (fmt, bit, out))
        }) {
            let word = misc(word, fmt) | bit;
            list.add(name, fmt, word, (1, out), move |v, e| {
                let signalling = holds != [false, true, false];
                let flags = model::compare(fmt, v[0], 0, signalling, e);
                let orders = [0x8000_0000, 0x6000_0000, 0x2000_0000];
                all(fmt, (0..3).any(|i| holds[i] && flags == orders[i]))
            });
        }
    }
    list.three_same("fcmeq", 0x4e20_e400, true, |f, v, e| {
        mask(f, v, true, false, e)
    });
    list.three_same("fcmge", 0x6e20_e400, true, |f, v, e| {
        mask(f, v, true, true, e)
    });
    list.three_same("fcmgt", 0x6ea0_e400, true, |f, [a, b, _], e| {
        all(f, model::compare(f, a, b, true, e) == 0x2000_0000)
    });
    list.three_same("facge", 0x6e20_ec00, true, |f, [a, b, c], e| {
        mask(f, [size(f, a), size(f, b), c], true, true, e)
    });
    list.three_same("facgt", 0x6ea0_ec00, true, |f, [a, b, _], e| {
        all(
            f,
            model::compare(f, size(f, a), size(f, b), true, e) == 0x2000_0000,
        )
    });
}

fn conversions(list: &mut List) {
    for from in FORMATS {
        for (to, opcode) in [(Fmt::S, 4), (Fmt::D, 5), (Fmt::H, 7)] {
            if from != to {
                list.0.push(Op {
                    name: format!("fcvt {from:?} to {to:?}"),
                    word: 0x1e20_4000 | kind(from) | opcode << 15 | RD,
                    from: Some(from),
                    third: Some(from),
                    width: to.bits(),
                    sources: 1,
                    out: Out::Scalar,
                    alternative: from == Fmt::H || to == Fmt::H,
                    model: Model::Lane(Rc::new(move |v, e| model::convert(from, to, v[0], e))),
                });
            }
        }
    }
    let mut special = |name: &str, word: u32, from, width, out, model: fn(u64, &mut Env) -> u64| {
        list.0.push(Op {
            name: name.to_owned(),
            word: word | RD,
            from: Some(from),
            third: Some(from),
            width,
            sources: 1,
            out,
            alternative: false,
            model: Model::Lane(Rc::new(move |v, e| model(v[0], e))),
        });
    };
    special(
        "bfcvt",
        0x1e63_4000,
        Fmt::S,
        16,
        Out::Scalar,
        model::to_bf16,
    );
    special(
        "fcvtxn",
        0x7e61_6800,
        Fmt::D,
        32,
        Out::Scalar,
        model::to_odd,
    );
    special("fjcvtzs", 0x1e7e_0000, Fmt::D, 64, Out::Flags, |a, e| {
        let (integer, zero) = model::to_fixed_js(a, e);
        integer | u64::from(zero) << 62
    });
}

fn integers(list: &mut List) {
    // As in the encoding: rounding mode and opcode.
    let to_integer = [(0, 0), (1, 0), (2, 0), (3, 0), (0, 4)];
    for fmt in FORMATS {
        for sf in [0, 1] {
            let width = 32 << sf;
            for ((name, mode), (rmode, opcode)) in ROUNDINGS.into_iter().zip(to_integer) {
                for signed in [true, false] {
                    let unsigned = u32::from(!signed);
                    let word = sf << 31
                        | 0x1e20_0000
                        | kind(fmt)
                        | rmode << 19
                        | (opcode | unsigned) << 16;
                    let mode = mode.unwrap_or(Round::TowardZero);
                    list.0.push(Op {
                        name: format!(
                            "fcvt{name}{} {fmt:?} to {width}",
                            if signed { 's' } else { 'u' }
                        ),
                        word: word | RD,
                        from: Some(fmt),
                        third: Some(fmt),
                        width,
                        sources: 1,
                        out: Out::General,
                        alternative: false,
                        model: Model::Lane(Rc::new(move |v, e| {
                            model::to_fixed((fmt, v[0]), width, 0, signed, mode, e)
                        })),
                    });
                }
            }
            for signed in [true, false] {
                let unsigned = u32::from(!signed);
                for fraction in [0, 1, 7, width / 2, width] {
                    let form = match fraction {
                        0 => 1 << 21,
                        _ => (64 - fraction) << 10,
                    };
                    let word = sf << 31 | 0x1e00_0000 | kind(fmt) | form | unsigned << 16;
                    list.0.push(Op {
                        name: format!(
                            "{}cvtf {width} #{fraction} to {fmt:?}",
                            if signed { 's' } else { 'u' }
                        ),
                        word: word | 2 << 16 | 3 << 5 | RD,
                        from: None,
                        third: None,
                        width: fmt.bits(),
                        sources: 1,
                        out: Out::Scalar,
                        alternative: false,
                        model: Model::Lane(Rc::new(move |v, e| {
                            model::from_fixed(fmt, v[0], width, fraction, signed, e)
                        })),
                    });
                    if fraction != 0 {
                        list.0.push(Op {
                            name: format!(
                                "fcvtz{} {fmt:?} to {width} #{fraction}",
                                if signed { 's' } else { 'u' }
                            ),
                            word: word | 3 << 19 | RD,
                            from: Some(fmt),
                            third: Some(fmt),
                            width,
                            sources: 1,
                            out: Out::General,
                            alternative: false,
                            model: Model::Lane(Rc::new(move |v, e| {
                                model::to_fixed(
                                    (fmt, v[0]),
                                    width,
                                    fraction,
                                    signed,
                                    Round::TowardZero,
                                    e,
                                )
                            })),
                        });
                    }
                }
            }
        }
        let vectors = [
            ("fcvtns", 0x4e21_a800, Some(Round::NearestTiesToEven), true),
            ("fcvtnu", 0x6e21_a800, Some(Round::NearestTiesToEven), false),
            ("fcvtps", 0x4ea1_a800, Some(Round::TowardPositive), true),
            ("fcvtpu", 0x6ea1_a800, Some(Round::TowardPositive), false),
            ("fcvtms", 0x4e21_b800, Some(Round::TowardNegative), true),
            ("fcvtmu", 0x6e21_b800, Some(Round::TowardNegative), false),
            ("fcvtzs", 0x4ea1_b800, Some(Round::TowardZero), true),
            ("fcvtzu", 0x6ea1_b800, Some(Round::TowardZero), false),
            ("fcvtas", 0x4e21_c800, Some(Round::NearestTiesToAway), true),
            ("fcvtau", 0x6e21_c800, Some(Round::NearestTiesToAway), false),
            ("scvtf", 0x4e21_d800, None, true),
            ("ucvtf", 0x6e21_d800, None, false),
        ];
        for (name, word, mode, signed) in vectors {
            for (bit, out) in [(0, Out::Vector), (SCALAR, Out::Scalar)] {
                let word = misc(word, fmt) | bit;
                list.add(name, fmt, word, (1, out), move |v, e| match mode {
                    Some(mode) => model::to_fixed((fmt, v[0]), fmt.bits(), 0, signed, mode, e),
                    None => model::from_fixed(fmt, v[0], fmt.bits(), 0, signed, e),
                });
            }
        }
    }
}

/// Vector conversions from and to fixed point.
fn fixed(list: &mut List) {
    for fmt in FORMATS {
        let size = fmt.bits();
        for fraction in [1, size / 2, size] {
            let form = (2 * size - fraction) << 16;
            for (signed, bit) in [(true, 0), (false, 1 << 29)] {
                for (scalar, out) in [(0, Out::Vector), (SCALAR, Out::Scalar)] {
                    let bits = form | bit | scalar;
                    let sign = if signed { 's' } else { 'u' };
                    let name = format!("{sign}cvtf #{fraction}");
                    list.add(&name, fmt, 0x4f00_e400 | bits, (1, out), move |v, e| {
                        model::from_fixed(fmt, v[0], size, fraction, signed, e)
                    });
                    let name = format!("fcvtz{sign} #{fraction}");
                    list.add(&name, fmt, 0x4f00_fc00 | bits, (1, out), move |v, e| {
                        let zero = Round::TowardZero;
                        model::to_fixed((fmt, v[0]), size, fraction, signed, zero, e)
                    });
                }
            }
        }
    }
}
