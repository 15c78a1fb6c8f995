//! Signals by name, as people and images give them.

use tuxlet_uapi::Signal;

/// The first real-time signal that programs see: glibc keeps two for itself, and Docker counts as it does.
const RTMIN: i32 = 34;
/// The last one.
const RTMAX: i32 = 64;

/// The number of a signal: `SIGTERM`, `term`, `15`, `SIGRTMIN+3`, `RTMAX-1`. `None` for what is none.
#[must_use]
pub fn signal_number(name: &str) -> Option<i32> {
    if let Ok(number) = name.parse::<i32>() {
        return Signal::new(number).ok().map(|_| number);
    }
    let upper = name.to_ascii_uppercase();
    let short = upper.strip_prefix("SIG").unwrap_or(&upper);
    let offset = |rest: &str, sign: char| -> Option<i32> {
        if rest.is_empty() {
            return Some(0);
        }
        rest.strip_prefix(sign)?.parse().ok()
    };
    let real_time = if let Some(rest) = short.strip_prefix("RTMIN") {
        Some(RTMIN + offset(rest, '+')?)
    } else if let Some(rest) = short.strip_prefix("RTMAX") {
        Some(RTMAX - offset(rest, '-')?)
    } else {
        None
    };
    if let Some(number) = real_time {
        return (RTMIN..=RTMAX).contains(&number).then_some(number);
    }
    (1..RTMIN).find(|&number| {
        Signal::new(number)
            .ok()
            .and_then(Signal::name)
            .is_some_and(|name| name.strip_prefix("SIG") == Some(short))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_have_numbers() {
        for (name, number) in [
            ("SIGTERM", Some(15)),
            ("term", Some(15)),
            ("SigQuit", Some(3)),
            ("9", Some(9)),
            ("SIGRTMIN", Some(34)),
            ("SIGRTMIN+3", Some(37)),
            ("rtmax-1", Some(63)),
            ("0", None),
            ("65", None),
            ("-9", None),
            ("SIG", None),
            ("", None),
            ("SIGRTMIN-1", None),
            ("SIGRTMIN+31", None),
            ("SIGRTMIN+9999999999", None),
            ("SIGFOO", None),
        ] {
            assert_eq!(signal_number(name), number, "{name}");
        }
    }
}
