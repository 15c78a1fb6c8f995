//! The `.isa` text format; crates/a64/isa/README.md describes it.

use anyhow::{Context, Result, bail, ensure};

/// One encoding.
pub(super) struct Row {
    pub(super) name: String,
    /// The bit pattern as written, spaces included.
    pub(super) pattern: String,
    pub(super) mask: u32,
    pub(super) value: u32,
    /// Ignored ("should be") bits.
    pub(super) ignored: u32,
    /// Ignored bits that are encoded as one.
    pub(super) ones: u32,
    pub(super) syntax: Vec<Alternative>,
    pub(super) features: Vec<String>,
    pub(super) fields: Vec<Field>,
    /// Rust expression over the fields; false = unallocated.
    pub(super) valid: Option<String>,
    pub(super) status: Status,
}

/// Whether a row is executed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Status {
    Done,
    Absent,
    /// Of a feature that is deliberately not advertised: UNDEFINED, as on a core without it.
    Unadvertised,
}

impl Row {
    pub(super) fn done(&self) -> bool {
        self.status == Status::Done
    }
}

/// One way to print a row.
pub(super) struct Alternative {
    /// Rust expression over the fields; `None` = always.
    pub(super) when: Option<String>,
    pub(super) text: String,
}

/// One field of a row.
pub(super) struct Field {
    pub(super) name: String,
    /// (lowest bit, width), the most significant segment first.
    pub(super) segments: Vec<(u32, u32)>,
    /// Sign-extended, then shifted left by this many bits.
    pub(super) signed: Option<u32>,
    /// One bit, yet a number.
    pub(super) number: bool,
}

impl Field {
    pub(super) fn width(&self) -> u32 {
        self.segments.iter().map(|s| s.1).sum()
    }
}

impl Row {
    /// `AddImm` -> `add_imm`.
    pub(super) fn snake(&self) -> String {
        let mut out = String::new();
        for (i, c) in self.name.chars().enumerate() {
            if c.is_ascii_uppercase() && i > 0 {
                out.push('_');
            }
            out.push(c.to_ascii_lowercase());
        }
        out
    }
}

/// Parses a whole table.
pub(super) fn table(text: &str) -> Result<Vec<Row>> {
    let mut defaults: Vec<Declaration> = Vec::new();
    let mut rows = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let context = || format!("line {}: {line}", number + 1);
        if let Some(rest) = line.strip_prefix("@defaults") {
            defaults = declarations(rest).with_context(context)?;
        } else {
            rows.push(row(line, &defaults).with_context(context)?);
        }
    }
    Ok(rows)
}

/// `name=letters[:kind]`
#[derive(Clone)]
struct Declaration {
    name: String,
    letters: String,
    signed: Option<u32>,
    number: bool,
}

fn declarations(text: &str) -> Result<Vec<Declaration>> {
    let mut out = Vec::new();
    for word in text.split_whitespace().filter(|w| *w != "-") {
        let (name, rest) = word
            .split_once('=')
            .context("a field must be name=letters")?;
        let (letters, kind) = rest.split_once(':').unwrap_or((rest, ""));
        let mut decl = Declaration {
            name: name.to_owned(),
            letters: letters.to_owned(),
            signed: None,
            number: false,
        };
        match kind {
            "" => {}
            "u8" => decl.number = true,
            _ => {
                let scale = kind
                    .strip_prefix('s')
                    .with_context(|| format!("kind {kind}"))?;
                decl.signed = Some(if scale.is_empty() { 0 } else { scale.parse()? });
            }
        }
        out.push(decl);
    }
    Ok(out)
}

fn row(line: &str, defaults: &[Declaration]) -> Result<Row> {
    let columns: Vec<&str> = line.split(" | ").map(str::trim).collect();
    let [name, pattern, syntax, features, fields, valid, status] = columns[..] else {
        bail!("expected 7 columns, found {}", columns.len());
    };
    let bits: Vec<char> = pattern.chars().filter(|c| *c != ' ').collect();
    ensure!(bits.len() == 32, "the pattern has {} bits", bits.len());

    let (mut mask, mut value, mut ignored, mut ones) = (0, 0, 0, 0);
    let mut letters: Vec<char> = Vec::new();
    for (i, c) in bits.iter().enumerate() {
        let bit = 1_u32 << (31 - i);
        match c {
            '0' => mask |= bit,
            '1' => {
                mask |= bit;
                value |= bit;
            }
            '^' => {
                ignored |= bit;
                ones |= bit;
            }
            '_' => ignored |= bit,
            'a'..='z' | 'A'..='Z' => {
                if !letters.contains(c) {
                    letters.push(*c);
                }
            }
            _ => bail!("bad pattern character {c}"),
        }
    }

    let mut declared = declarations(fields)?;
    let used = |declared: &[Declaration], c: char| declared.iter().any(|d| d.letters.contains(c));
    for c in letters.iter().copied() {
        if used(&declared, c) {
            continue;
        }
        let default = defaults.iter().find(|d| d.letters.contains(c));
        declared.push(
            default
                .with_context(|| format!("no field for letter {c}"))?
                .clone(),
        );
    }
    let mut out = Vec::new();
    for decl in declared {
        let mut segments = Vec::new();
        for c in decl.letters.chars() {
            ensure!(letters.contains(&c), "letter {c} is not in the pattern");
            segments.extend(runs(&bits, c));
        }
        merge(&mut segments);
        out.push(Field {
            name: decl.name,
            segments,
            signed: decl.signed,
            number: decl.number,
        });
    }
    out.sort_by_key(|f| std::cmp::Reverse(f.segments[0].0));

    Ok(Row {
        name: name.to_owned(),
        pattern: pattern.to_owned(),
        mask,
        value,
        ignored,
        ones,
        syntax: alternatives(syntax)?,
        features: features.split('+').map(str::to_owned).collect(),
        fields: out,
        valid: (valid != "-").then(|| valid.to_owned()),
        status: match status {
            "done" => Status::Done,
            "absent" => Status::Absent,
            "unadvertised" => Status::Unadvertised,
            _ => bail!("the status is done, absent or unadvertised, not {status}"),
        },
    })
}

/// The runs of letter `c`, highest first.
fn runs(bits: &[char], c: char) -> Vec<(u32, u32)> {
    let mut out: Vec<(u32, u32)> = Vec::new();
    for (bit, _) in (0..32_u32).rev().zip(bits).filter(|(_, b)| **b == c) {
        match out.last_mut() {
            Some((low, width)) if *low == bit + 1 => {
                *low = bit;
                *width += 1;
            }
            _ => out.push((bit, 1)),
        }
    }
    out
}

/// Joins neighbouring segments.
fn merge(segments: &mut Vec<(u32, u32)>) {
    let mut out: Vec<(u32, u32)> = Vec::new();
    for &(low, width) in segments.iter() {
        match out.last_mut() {
            Some(last) if last.0 == low + width => {
                last.0 = low;
                last.1 += width;
            }
            _ => out.push((low, width)),
        }
    }
    *segments = out;
}

/// `[when] text // [when] text // text`
fn alternatives(text: &str) -> Result<Vec<Alternative>> {
    let mut out = Vec::new();
    for part in text.split(" // ") {
        let part = part.trim();
        if let Some(rest) = part.strip_prefix('[') {
            let (when, text) = rest.split_once("] ").context("unclosed [ in the syntax")?;
            out.push(Alternative {
                when: Some(when.to_owned()),
                text: text.to_owned(),
            });
        } else {
            out.push(Alternative {
                when: None,
                text: part.to_owned(),
            });
        }
    }
    let last = out.last().context("no syntax")?;
    ensure!(
        last.when.is_none(),
        "the last syntax alternative must be unconditional"
    );
    Ok(out)
}
