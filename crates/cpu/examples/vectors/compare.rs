//! Final states side by side.

use std::io::Write;

use tuxlet_a64 as a64;

use crate::image::{FPCR, FPSR, NZCV, SP, V, X};
use crate::program::{SIGNAL, SIGNAL_ADDR, SIGNAL_CODE};

/// One instance: what ran, from where, and how it ended here and there.
pub(crate) struct Pair<'a> {
    pub(crate) unit: &'a [u32],
    pub(crate) start: &'a [u8],
    pub(crate) want: &'a [u8],
    pub(crate) got: &'a [u8],
}

/// The 64 bits at an offset of a state.
pub(crate) fn word64(record: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(record[at..at + 8].try_into().unwrap_or_default())
}

fn word128(record: &[u8], at: usize) -> u128 {
    u128::from_le_bytes(record[at..at + 16].try_into().unwrap_or_default())
}

impl Pair<'_> {
    /// Whether anything differs.
    pub(crate) fn differs(&self) -> bool {
        self.want != self.got
    }

    /// The signals there and here; 0 for none.
    pub(crate) fn signals(&self) -> (u64, u64) {
        (word64(self.want, SIGNAL), word64(self.got, SIGNAL))
    }

    /// Whether all but the bytes of `except` (start and length) is the same.
    pub(crate) fn same_but(&self, except: &[(usize, usize)]) -> bool {
        let covered = |i: usize| except.iter().any(|&(at, len)| (at..at + len).contains(&i));
        (0..self.want.len()).all(|i| self.want[i] == self.got[i] || covered(i))
    }

    /// Whether these bytes are here what they were.
    pub(crate) fn unchanged_here(&self, at: usize, len: usize) -> bool {
        self.start[at..at + len] == self.got[at..at + len]
    }

    /// Prints what differs.
    pub(crate) fn describe(&self, out: &mut impl Write) -> std::io::Result<()> {
        let (start, want, got) = (self.start, self.want, self.got);
        for &word in self.unit {
            writeln!(out, "{word:08x}  {}", a64::disassemble(word, 0))?;
        }
        let word = self.unit[0];
        writeln!(
            out,
            "    fpcr {:08x} fpsr {:08x} nzcv {:x}",
            word64(start, FPCR),
            word64(start, FPSR),
            word64(start, NZCV) >> 28
        )?;
        for low in [0, 5, 16, 10] {
            let r = (word >> low & 31) as usize;
            let x = if r < 31 {
                word64(start, X + 8 * r)
            } else {
                word64(start, SP)
            };
            let v = word128(start, V + 16 * r);
            writeln!(out, "    before v{r:<2} {v:032x}  x{r:<2} {x:016x}")?;
        }
        let named = [
            ("sp", SP),
            ("nzcv", NZCV),
            ("fpcr", FPCR),
            ("fpsr", FPSR),
            ("signal", SIGNAL),
            ("si_code", SIGNAL_CODE),
            ("si_addr", SIGNAL_ADDR),
        ];
        let general = (0..31).map(|r| (format!("x{r}"), X + 8 * r));
        for (name, at) in general.chain(named.map(|(n, at)| (n.to_owned(), at))) {
            let (w, g) = (word64(want, at), word64(got, at));
            if w != g {
                writeln!(out, "    {name}: reference {w:016x}, ours {g:016x}")?;
            }
        }
        for r in 0..32 {
            let (w, g) = (word128(want, V + 16 * r), word128(got, V + 16 * r));
            if w != g {
                writeln!(out, "    v{r}: reference {w:032x}")?;
                writeln!(out, "    v{r}: ours      {g:032x}")?;
            }
        }
        Ok(())
    }
}
