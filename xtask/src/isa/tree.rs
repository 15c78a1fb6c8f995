//! Builds the decision tree of the decoder: each node indexes a table with a window of
//! the word's bits, each leaf is a short list of candidate rows.

use std::{cmp::Reverse, collections::HashMap};

use anyhow::{Context, Result, ensure};

use super::{
    Group,
    emit::{HEADER, put},
};

/// A leaf may hold this many candidates.
const LEAF: usize = 2;
/// The widest window.
const WIDEST: u32 = 8;

struct Pattern {
    mask: u32,
    value: u32,
}

struct Builder {
    patterns: Vec<Pattern>,
    /// Nodes and leaves, see `emit`.
    tree: Vec<u32>,
    leaves: Vec<u16>,
    known: HashMap<(Vec<u16>, u32), u32>,
}

/// The text of `generated/tree.rs`.
///
/// An entry of `TREE` is either a node: bit 31 clear, `first << 9 | shift << 4 | width`, whose
/// children are `TREE[first + bits]`; or a leaf: bit 31 set, `first << 4 | count` of `LEAVES`.
pub(super) fn emit(groups: &[Group]) -> Result<String> {
    let patterns = groups
        .iter()
        .flat_map(|g| &g.rows)
        .map(|r| Pattern {
            mask: r.mask,
            value: r.value,
        })
        .collect::<Vec<_>>();
    let all: Vec<u16> = (0..u16::try_from(patterns.len()).context("too many rows")?).collect();
    let mut builder = Builder {
        patterns,
        tree: vec![0],
        leaves: Vec::new(),
        known: HashMap::new(),
    };
    builder.tree[0] = builder.build(all, 0)?;

    let mut out = format!("//! {HEADER}\n\n");
    put(
        &mut out,
        format_args!(
            "/// Nodes; the first entry is the root, see `decode::decode`.\n#[rustfmt::skip]\npub(crate) static TREE: [u32; {}] = [\n",
            builder.tree.len()
        ),
    );
    for line in builder.tree.chunks(12) {
        out.push_str("   ");
        for entry in line {
            put(&mut out, format_args!(" {entry:#x},"));
        }
        out.push('\n');
    }
    put(
        &mut out,
        format_args!(
            "];\n\n/// `OpId`s of the candidates of the leaves.\n#[rustfmt::skip]\npub(crate) static LEAVES: [u16; {}] = [\n",
            builder.leaves.len()
        ),
    );
    for line in builder.leaves.chunks(20) {
        out.push_str("   ");
        for entry in line {
            put(&mut out, format_args!(" {entry},"));
        }
        out.push('\n');
    }
    out.push_str("];\n");
    Ok(out)
}

impl Builder {
    /// `used`: the bits that the way here has already looked at.
    fn build(&mut self, rows: Vec<u16>, used: u32) -> Result<u32> {
        let telling = rows.iter().fold(0, |all, &r| all | self.pattern(r).mask);
        let key = (rows, used & telling);
        if let Some(&entry) = self.known.get(&key) {
            return Ok(entry);
        }
        let rows = &key.0;
        let window = if rows.len() > LEAF {
            self.best_window(rows, used)
        } else {
            None
        };
        let entry = if let Some((shift, width)) = window {
            let first = self.tree.len();
            self.tree.resize(first + (1 << width), 0);
            for bits in 0..1_u32 << width {
                let child = self.select(rows, shift, width, bits);
                self.tree[first + bits as usize] =
                    self.build(child, used | window_mask(shift, width))?;
            }
            u32::try_from(first)? << 9 | shift << 4 | width
        } else {
            let first = u32::try_from(self.leaves.len())?;
            let mut sorted = rows.clone();
            // The more specific row wins.
            sorted.sort_by_key(|&r| Reverse(self.pattern(r).mask.count_ones()));
            self.leaves.extend(&sorted);
            ensure!(sorted.len() < 16, "too many rows overlap: {sorted:?}");
            1 << 31 | first << 4 | sorted.len() as u32
        };
        self.known.insert(key, entry);
        Ok(entry)
    }

    fn pattern(&self, row: u16) -> &Pattern {
        &self.patterns[usize::from(row)]
    }

    fn select(&self, rows: &[u16], shift: u32, width: u32, bits: u32) -> Vec<u16> {
        let window = window_mask(shift, width);
        rows.iter()
            .copied()
            .filter(|&r| {
                let p = self.pattern(r);
                p.mask & window & ((bits << shift) ^ p.value) == 0
            })
            .collect()
    }

    /// The window after which the fewest candidates are left, weighed against its size.
    fn best_window(&self, rows: &[u16], used: u32) -> Option<(u32, u32)> {
        let mut best: Option<(f64, u32, u32)> = None;
        for width in 1..=WIDEST {
            for shift in 0..=(32 - width) {
                let window = window_mask(shift, width);
                if used & window != 0 {
                    continue;
                }
                let size = 1_usize << width;
                let mut counts = vec![0_usize; size];
                for &row in rows {
                    let p = self.pattern(row);
                    let fixed = (p.value & window) >> shift;
                    let free = (!p.mask & window) >> shift;
                    // All subsets of the free bits.
                    let mut subset = free;
                    loop {
                        counts[(fixed | subset) as usize] += 1;
                        if subset == 0 {
                            break;
                        }
                        subset = (subset - 1) & free;
                    }
                }
                if counts.iter().all(|&c| c == rows.len()) {
                    continue;
                }
                // Expected candidates for a random row, plus the cost of a sparse table.
                let squares: usize = counts.iter().map(|c| c * c).sum();
                let total: usize = counts.iter().sum();
                let expected = squares as f64 / total as f64;
                let cost = expected + size as f64 / rows.len() as f64 * 0.5;
                if best.is_none_or(|b| cost < b.0) {
                    best = Some((cost, shift, width));
                }
            }
        }
        best.map(|b| (b.1, b.2))
    }
}

fn window_mask(shift: u32, width: u32) -> u32 {
    ((1 << width) - 1) << shift
}
