//! Random instances of rows, for tests and vectors.

use crate::{OpId, decode};

/// A random word that decodes to `op`; `rng` gives random bits.
///
/// Works by rejection, which the tables' constraints allow (the tightest row accepts one
/// pattern in about thirty). A generator that is not random gets the row's fixed bits.
pub fn arbitrary(op: OpId, rng: &mut impl FnMut() -> u32) -> u32 {
    let row = op.row();
    for _ in 0..100_000 {
        let word = (rng() & !(row.mask | row.ignored)) | row.value | row.ones;
        if decode(word) == Some(op) {
            return word;
        }
    }
    row.value | row.ones
}
