//! From an instruction word to its row.

use crate::generated::{
    DONE, Feature, OpId,
    rows::ROWS,
    tree::{LEAVES, TREE},
};

/// The constant part of a table row.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) op: OpId,
    pub(crate) name: &'static str,
    /// The fixed bits.
    pub(crate) mask: u32,
    pub(crate) value: u32,
    /// Ignored bits.
    pub(crate) ignored: u32,
    /// Ignored bits that an encoder sets to one.
    pub(crate) ones: u32,
    /// False for unallocated field values.
    pub(crate) valid: Option<fn(u32) -> bool>,
    pub(crate) features: &'static [Feature],
}

impl Row {
    pub(crate) fn matches(&self, word: u32) -> bool {
        word & self.mask == self.value && self.valid.is_none_or(|valid| valid(word))
    }
}

/// The row that `word` is an instance of, or `None` when it is unallocated (or outside the
/// scope of the tables). Where one row is a special case of another the special one wins.
#[inline]
#[must_use]
pub fn decode(word: u32) -> Option<OpId> {
    let mut entry = TREE[0];
    while entry >> 31 == 0 {
        let (first, shift, width) = (entry >> 9, entry >> 4 & 31, entry & 15);
        entry = TREE[(first + (word >> shift & ((1 << width) - 1))) as usize];
    }
    let first = (entry >> 4 & 0x07ff_ffff) as usize;
    let candidates = &LEAVES[first..first + (entry & 15) as usize];
    candidates
        .iter()
        .map(|&index| &ROWS[usize::from(index)])
        .find(|row| row.matches(word))
        .map(|row| row.op)
}

impl OpId {
    /// The number of rows.
    pub const COUNT: usize = ROWS.len();

    /// All rows, in table order.
    pub fn all() -> impl Iterator<Item = Self> {
        ROWS.iter().map(|row| row.op)
    }

    pub(crate) fn row(self) -> &'static Row {
        &ROWS[self as usize]
    }

    /// The row's fixed bits: (mask, value).
    #[must_use]
    pub fn fixed_bits(self) -> (u32, u32) {
        (self.row().mask, self.row().value)
    }

    /// Bits that mean nothing: (mask, value that an encoder gives them).
    #[must_use]
    pub fn ignored_bits(self) -> (u32, u32) {
        (self.row().ignored, self.row().ones)
    }

    /// Whether `word` is an instance of this row; a special case may still have its own row.
    #[must_use]
    pub fn matches(self, word: u32) -> bool {
        self.row().matches(word)
    }

    /// The row's name, for instance `AddImm`.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.row().name
    }

    /// The feature to which the row belongs (the first, when it needs several).
    #[must_use]
    pub fn feature(self) -> Feature {
        self.row().features[0]
    }

    /// All features to which the row belongs.
    #[must_use]
    pub fn features(self) -> &'static [Feature] {
        self.row().features
    }

    /// Whether the tables mark the row as implemented by the cpu crate.
    #[must_use]
    pub fn is_done(self) -> bool {
        DONE.binary_search(&self).is_ok()
    }
}

impl Feature {
    /// Whether every row of this feature is implemented, so that it may be advertised.
    #[must_use]
    pub fn is_complete(self) -> bool {
        ROWS.iter()
            .filter(|row| row.features.contains(&self))
            .all(|row| row.op.is_done())
    }
}

/// The struct of a row, for generic code.
pub trait Insn: Copy + core::fmt::Debug {
    /// The row.
    const OP: OpId;
    /// Whether the instruction touches no general register and no memory.
    const VECTOR_ONLY: bool;
    /// Takes the fields out of an instruction word.
    fn from_word(word: u32) -> Self;
    /// The instruction word with these fields.
    fn to_word(self) -> u32;
}

macro_rules! impl_insn {
    ($(($row:ident, $snake:ident))*) => {
        $(
            impl Insn for crate::$row {
                const OP: OpId = OpId::$row;
                const VECTOR_ONLY: bool = Self::VECTOR_ONLY;
                #[inline]
                fn from_word(word: u32) -> Self {
                    Self::from_word(word)
                }
                #[inline]
                fn to_word(self) -> u32 {
                    self.to_word()
                }
            }
        )*
    };
}
crate::for_each_insn!(impl_insn);
