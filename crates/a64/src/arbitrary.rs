//! Random instances of rows, for tests and vectors.

use crate::{OpId, decode};

/// A random word that decodes to `op`; `rng` gives random bits.
///
/// Works by rejection, which the tables' constraints allow (the rarest row accepts one
/// pattern in a few hundred); a generator that is not random ends in the row's plainest form.
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
