//! Instructions whose result lanes are made of several lanes, of lanes of another size, or of one
//! lane of the second operand.

use std::rc::Rc;

use crate::model::{self, Binary, Env, Fmt};
use crate::ops::{self, List, Model, Op, Out, RD, RM, SCALAR};

/// Lane `i`.
fn lane(v: u128, fmt: Fmt, i: u32) -> u64 {
    (v >> (i * fmt.bits())) as u64 & (u64::MAX >> (64 - fmt.bits()))
}

/// A vector of `bits` bits whose lane `i` is `f(i)`.
fn build(fmt: Fmt, bits: u32, mut f: impl FnMut(u32) -> u64) -> u128 {
    (0..bits / fmt.bits()).fold(0, |v, i| v | u128::from(f(i)) << (i * fmt.bits()))
}

impl List {
    /// An instruction on whole vectors: V0, V1, and V4 as it was.
    fn whole(
        &mut self,
        name: String,
        (from, third): (Fmt, Fmt),
        word: u32,
        model: impl Fn([u128; 3], &mut Env) -> u128 + 'static,
    ) {
        self.0.push(Op {
            name,
            word: word | RD,
            from: Some(from),
            third: Some(third),
            width: from.bits(),
            sources: 3,
            out: Out::Vector,
            alternative: false,
            model: Model::Whole(Rc::new(model)),
        });
    }
}

/// The scalar or vector form of 64 or 128 bits: bits of the word, and of the result.
const SHAPES: [(u32, u32); 2] = [(0, 64), (1 << 30, 128)];

pub(crate) fn add(list: &mut List) {
    by_element(list);
    pairs(list);
    across(list);
    widening(list);
    complex(list);
    bf16(list);
    narrowing(list);
}

/// One lane: operands and what the destination was.
type Lane = fn(Fmt, u64, u64, u64, &mut Env) -> u64;

/// H, L and M of a lane's number among eight (half precision), four or two.
fn index(fmt: Fmt, i: u32) -> u32 {
    match fmt {
        Fmt::S => (i >> 1) << 11 | (i & 1) << 21,
        Fmt::D => i << 11,
        _ => (i >> 2) << 11 | (i >> 1 & 1) << 21 | (i & 1) << 20,
    }
}

fn by_element(list: &mut List) {
    let forms: [(&str, u32, Lane); 4] = [
        ("fmla", 0x0f00_1000, |f, a, b, c, e| {
            model::mul_add(f, c, a, b, e)
        }),
        ("fmls", 0x0f00_5000, |f, a, b, c, e| {
            model::mul_add(f, c, a ^ f.sign_bit(), b, e)
        }),
        ("fmul", 0x0f00_9000, |f, a, b, _, e| {
            model::binary(Binary::Mul, f, a, b, e)
        }),
        ("fmulx", 0x2f00_9000, |f, a, b, _, e| {
            model::mulx(f, a, b, e)
        }),
    ];
    for (name, word, lane_of) in forms {
        for (fmt, size) in [(Fmt::H, 0), (Fmt::S, 2 << 22), (Fmt::D, 3 << 22)] {
            let last = 128 / fmt.bits() - 1;
            for i in [0, last / 2, last] {
                let word = word | size | index(fmt, i) | RM;
                for (bits, len) in [(0, 64), (1 << 30, 128), (1 << 30 | SCALAR, fmt.bits())] {
                    if fmt == Fmt::D && len == 64 && bits == 0 {
                        continue;
                    }
                    let name = format!("{name} {fmt:?} by element {i}, {len} bits {bits:x}");
                    list.whole(name, (fmt, fmt), word | bits, move |[a, b, c], e| {
                        build(fmt, len, |n| {
                            lane_of(fmt, lane(a, fmt, n), lane(b, fmt, i), lane(c, fmt, n), e)
                        })
                    });
                }
            }
        }
    }
}

/// Two lanes.
type Two = fn(Fmt, u64, u64, &mut Env) -> u64;

const EXTREMES: [(&str, u32, Two); 4] = [
    ("fmax", 0x3000, |f, a, b, e| {
        model::extreme(f, a, b, true, false, e)
    }),
    ("fmin", 0x80_3000, |f, a, b, e| {
        model::extreme(f, a, b, false, false, e)
    }),
    ("fmaxnm", 0, |f, a, b, e| {
        model::extreme(f, a, b, true, true, e)
    }),
    ("fminnm", 0x80_0000, |f, a, b, e| {
        model::extreme(f, a, b, false, true, e)
    }),
];

fn pairs(list: &mut List) {
    let add: (&str, u32, Two) = ("fadd", 0x1000, |f, a, b, e| {
        model::binary(Binary::Add, f, a, b, e)
    });
    for (name, bits, two) in EXTREMES.into_iter().chain([add]) {
        for fmt in ops::FORMATS {
            let word = ops::same(0x2e20_c400 | bits, fmt) | RM;
            for (q, len) in SHAPES {
                if fmt == Fmt::D && q == 0 {
                    continue;
                }
                let name = format!("{name}p {fmt:?}, {len} bits");
                list.whole(name, (fmt, fmt), word | q, move |[a, b, _], e| {
                    let half = len / fmt.bits() / 2;
                    build(fmt, len, |n| {
                        let (v, at) = if n < half {
                            (a, 2 * n)
                        } else {
                            (b, 2 * (n - half))
                        };
                        two(fmt, lane(v, fmt, at), lane(v, fmt, at + 1), e)
                    })
                });
            }
            let word = 0x7e30_c800 | bits;
            let word = match fmt {
                Fmt::S => word,
                Fmt::D => word | 1 << 22,
                _ => word & !(1 << 29),
            };
            let name = format!("{name}p {fmt:?}, scalar");
            list.whole(name, (fmt, fmt), word, move |[a, ..], e| {
                two(fmt, lane(a, fmt, 0), lane(a, fmt, 1), e).into()
            });
        }
    }
}

/// Reduce: the halves first, the lower before the upper.
fn reduce(two: Two, fmt: Fmt, lanes: &[u64], env: &mut Env) -> u64 {
    match lanes {
        [one] => *one,
        _ => {
            let (low, high) = lanes.split_at(lanes.len() / 2);
            let low = reduce(two, fmt, low, env);
            let high = reduce(two, fmt, high, env);
            two(fmt, low, high, env)
        }
    }
}

fn across(list: &mut List) {
    for (name, bits, two) in EXTREMES {
        for (fmt, word, len) in [
            (Fmt::S, 0x6e30_c800, 128),
            (Fmt::H, 0x4e30_c800, 128),
            (Fmt::H, 0x0e30_c800, 64),
        ] {
            let name = format!("{name}v {fmt:?}, {len} bits");
            list.whole(name, (fmt, fmt), word | bits, move |[a, ..], e| {
                let lanes: Vec<u64> = (0..len / fmt.bits()).map(|n| lane(a, fmt, n)).collect();
                reduce(two, fmt, &lanes, e).into()
            });
        }
    }
}

/// FMLAL, FMLSL and their upper halves.
fn widening(list: &mut List) {
    for (name, vector, element, upper, negate) in [
        ("fmlal", 0x0e20_ec00, 0x0f80_0000, 0, false),
        ("fmlsl", 0x0ea0_ec00, 0x0f80_4000, 0, true),
        ("fmlal2", 0x2e20_cc00, 0x2f80_8000, 1, false),
        ("fmlsl2", 0x2ea0_cc00, 0x2f80_c000, 1, true),
    ] {
        for (q, len) in SHAPES {
            for by in [None, Some(0), Some(3), Some(7)] {
                let word = by.map_or(vector, |i| element | index(Fmt::H, i));
                let name = format!("{name}, {len} bits, element {by:?}");
                list.whole(
                    name,
                    (Fmt::H, Fmt::S),
                    word | RM | q,
                    move |[a, b, c], e| {
                        let first = upper * len / 32;
                        build(Fmt::S, len, |n| {
                            let a = lane(a, Fmt::H, first + n);
                            let a = if negate { a ^ 0x8000 } else { a };
                            let b = lane(b, Fmt::H, by.unwrap_or(first + n));
                            model::mul_add_half(lane(c, Fmt::S, n), a, b, e)
                        })
                    },
                );
            }
        }
    }
}

/// FCADD and FCMLA.
fn complex(list: &mut List) {
    for (fmt, size) in [(Fmt::H, 1), (Fmt::S, 2), (Fmt::D, 3)] {
        let neg = move |v: u64, negate: bool| if negate { v ^ fmt.sign_bit() } else { v };
        for (q, len) in SHAPES {
            if fmt == Fmt::D && q == 0 {
                continue;
            }
            for turn in [0, 1] {
                let word = 0x2e00_e400 | size << 22 | turn << 12 | RM | q;
                let name = format!("fcadd {fmt:?} #{}, {len} bits", 90 + 180 * turn);
                list.whole(name, (fmt, fmt), word, move |[a, b, _], e| {
                    build(fmt, len, |n| {
                        let other = neg(lane(b, fmt, n ^ 1), n & 1 == turn);
                        model::binary(Binary::Add, fmt, lane(a, fmt, n), other, e)
                    })
                });
            }
            for turn in 0..4 {
                let multiply = move |a: u128, b: [u64; 2], c: u128, n: u32, e: &mut Env| {
                    // Which part of the first operand and of the second, and the sign.
                    let odd = turn & 1;
                    let factor = lane(a, fmt, (n & !1) + odd);
                    let part = b[((n & 1) ^ odd) as usize];
                    let negate = match turn {
                        0 => false,
                        1 => n & 1 == 0,
                        2 => true,
                        _ => n & 1 == 1,
                    };
                    model::mul_add(fmt, lane(c, fmt, n), factor, neg(part, negate), e)
                };
                let word = 0x2e00_c400 | size << 22 | turn << 11 | RM | q;
                let name = format!("fcmla {fmt:?} #{}, {len} bits", 90 * turn);
                list.whole(name, (fmt, fmt), word, move |[a, b, c], e| {
                    build(fmt, len, |n| {
                        let pair = [lane(b, fmt, n & !1), lane(b, fmt, n | 1)];
                        multiply(a, pair, c, n, e)
                    })
                });
                if fmt == Fmt::D {
                    continue;
                }
                let last = len / fmt.bits() / 2 - 1;
                for i in [0, last] {
                    let at = if fmt == Fmt::H {
                        (i >> 1) << 11 | (i & 1) << 21
                    } else {
                        i << 11
                    };
                    if fmt == Fmt::S && q == 0 {
                        continue;
                    }
                    let word = 0x2f00_1000 | size << 22 | turn << 13 | at | RM | q;
                    let name = format!("fcmla {fmt:?} #{}, {len} bits, element {i}", 90 * turn);
                    list.whole(name, (fmt, fmt), word, move |[a, b, c], e| {
                        let pair = [lane(b, fmt, 2 * i), lane(b, fmt, 2 * i + 1)];
                        build(fmt, len, |n| multiply(a, pair, c, n, e))
                    });
                }
            }
        }
    }
}

fn bf16(list: &mut List) {
    let half = |v: u128, n: u32| lane(v, Fmt::B, n);
    // BFDotAdd.
    let dot = move |sum: u64, a: u128, n: u32, b: u128, m: u32| {
        let low = model::bf_mul(half(a, n), half(b, m));
        let high = model::bf_mul(half(a, n + 1), half(b, m + 1));
        model::bf_add(sum, model::bf_add(low, high))
    };
    for (q, len) in SHAPES {
        for by in [None, Some(0), Some(3)] {
            let word = match by {
                None => 0x2e40_fc00,
                Some(i) => 0x0f40_f000 | index(Fmt::S, i),
            };
            let name = format!("bfdot, {len} bits, element {by:?}");
            list.whole(
                name,
                (Fmt::B, Fmt::S),
                word | RM | q,
                move |[a, b, c], _| {
                    build(Fmt::S, len, |n| {
                        dot(lane(c, Fmt::S, n), a, 2 * n, b, 2 * by.unwrap_or(n))
                    })
                },
            );
        }
    }
    list.whole(
        "bfmmla".to_owned(),
        (Fmt::B, Fmt::S),
        0x6e40_ec00 | RM,
        move |[a, b, c], _| {
            build(Fmt::S, 128, |n| {
                let (row, column) = (n >> 1, n & 1);
                (0..2).fold(lane(c, Fmt::S, n), |sum, k| {
                    dot(sum, a, 4 * row + 2 * k, b, 4 * column + 2 * k)
                })
            })
        },
    );
    for (name, q, top) in [("bfmlalb", 0, 0), ("bfmlalt", 1 << 30, 1)] {
        for by in [None, Some(0), Some(5)] {
            let word = match by {
                None => 0x2ec0_fc00,
                Some(i) => 0x0fc0_f000 | index(Fmt::H, i),
            };
            let name = format!("{name}, element {by:?}");
            list.whole(
                name,
                (Fmt::B, Fmt::S),
                word | RM | q,
                move |[a, b, c], e| {
                    build(Fmt::S, 128, |n| {
                        let at = 2 * n + top;
                        let (a, b) = (half(a, at) << 16, half(b, by.unwrap_or(at)) << 16);
                        model::mul_add(Fmt::S, lane(c, Fmt::S, n), a, b, e)
                    })
                },
            );
        }
    }
}

/// Vector conversions to a format of another size.
fn narrowing(list: &mut List) {
    type Convert = fn(u64, &mut Env) -> u64;
    let forms: [(&str, u32, Fmt, Fmt, Convert); 4] = [
        ("fcvtn", 0x0e21_6800, Fmt::S, Fmt::H, |a, e| {
            model::convert(Fmt::S, Fmt::H, a, e)
        }),
        ("fcvtn", 0x0e61_6800, Fmt::D, Fmt::S, |a, e| {
            model::convert(Fmt::D, Fmt::S, a, e)
        }),
        ("fcvtxn", 0x2e61_6800, Fmt::D, Fmt::S, model::to_odd),
        ("bfcvtn", 0x0ea1_6800, Fmt::S, Fmt::B, model::to_bf16),
    ];
    for (name, word, from, to, convert) in forms {
        for (q, upper) in [(0, false), (1 << 30, true)] {
            let name = format!("{name} {from:?} to {to:?}, upper {upper}");
            list.whole(name, (from, from), word | q, move |[a, _, c], e| {
                let narrow = build(to, 64, |n| convert(lane(a, from, n), e));
                if upper {
                    c & u128::from(u64::MAX) | narrow << 64
                } else {
                    narrow
                }
            });
        }
    }
    for (from, to, word) in [(Fmt::H, Fmt::S, 0x0e21_7800), (Fmt::S, Fmt::D, 0x0e61_7800)] {
        for (q, first) in [(0, 0), (1 << 30, 64 / from.bits())] {
            let name = format!("fcvtl {from:?} to {to:?}, from {first}");
            list.whole(name, (from, from), word | q, move |[a, ..], e| {
                build(to, 128, |n| {
                    model::convert(from, to, lane(a, from, first + n), e)
                })
            });
        }
    }
    for op in &mut list.0 {
        op.alternative |= op.name.starts_with("fcvtl") || op.name.starts_with("fcvtn S to H");
    }
}
