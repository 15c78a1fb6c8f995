//! Debian version numbers and their order (deb-version(7)).

use std::cmp::Ordering;

/// Compares two version numbers.
pub fn compare(a: &str, b: &str) -> Ordering {
    let ((ea, ua, ra), (eb, ub, rb)) = (split(a), split(b));
    ea.cmp(&eb)
        .then_with(|| part(ua, ub))
        .then_with(|| part(ra, rb))
}

/// Epoch, upstream version, revision.
fn split(version: &str) -> (u64, &str, &str) {
    let (epoch, rest) = match version.split_once(':') {
        Some((epoch, rest)) => (epoch.parse().unwrap_or(0), rest),
        None => (0, version),
    };
    let (upstream, revision) = rest.rsplit_once('-').unwrap_or((rest, ""));
    (epoch, upstream, revision)
}

/// `~` sorts before the end, the end before letters, letters before everything else.
fn weight(byte: Option<&u8>) -> i32 {
    match byte {
        Some(b'~') => -1,
        None => 0,
        Some(b) if b.is_ascii_digit() => 0,
        Some(b) if b.is_ascii_alphabetic() => i32::from(*b),
        Some(b) => i32::from(*b) + 256,
    }
}

fn part(a: &str, b: &str) -> Ordering {
    let (mut a, mut b) = (a.as_bytes(), b.as_bytes());
    while !a.is_empty() || !b.is_empty() {
        // The part without digits, byte by byte.
        while a.first().is_some_and(|c| !c.is_ascii_digit())
            || b.first().is_some_and(|c| !c.is_ascii_digit())
        {
            let order = weight(a.first()).cmp(&weight(b.first()));
            if order.is_ne() {
                return order;
            }
            a = a.get(1..).unwrap_or_default();
            b = b.get(1..).unwrap_or_default();
        }
        // The number, of any length.
        let digits = |s: &[u8]| s.iter().take_while(|c| c.is_ascii_digit()).count();
        let (na, nb) = (digits(a), digits(b));
        let significant = |s: &[u8]| s.iter().take_while(|&&c| c == b'0').count();
        let (da, db) = (&a[significant(&a[..na])..na], &b[significant(&b[..nb])..nb]);
        let order = da.len().cmp(&db.len()).then_with(|| da.cmp(db));
        if order.is_ne() {
            return order;
        }
        (a, b) = (&a[na..], &b[nb..]);
    }
    Ordering::Equal
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_manuals_examples() {
        for (a, b) in [
            ("1.0~beta1~svn1245", "1.0~beta1"),
            ("1.0~beta1", "1.0"),
            ("~~", "~~a"),
            ("~~a", "~"),
            ("~", ""),
            ("", "a"),
            ("1.0-1", "1.0-2"),
            ("1.0-9", "1.0-10"),
            ("1.0", "1.0-1"),
            ("2.0", "1:1.0"),
            ("1.2a", "1.2b"),
            ("1.2a", "1.2+"),
            ("1.2", "1.2a"),
            ("7.6p2-4", "7.6-0"),
            ("5.2.15-2+b7", "5.2.15-2+b10"),
            ("13.7+deb13u1", "13.7+deb13u2"),
        ] {
            let expected = if (a, b) == ("7.6p2-4", "7.6-0") {
                Ordering::Greater
            } else {
                Ordering::Less
            };
            assert_eq!(compare(a, b), expected, "{a} {b}");
            assert_eq!(compare(b, a), expected.reverse(), "{b} {a}");
        }
        for (a, b) in [("1.0", "0:1.0"), ("1.0", "1.00"), ("1-0", "1"), ("", "0")] {
            assert_eq!(compare(a, b), Ordering::Equal, "{a} {b}");
        }
    }
}
