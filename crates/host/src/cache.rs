//! The host processors' caches, for `/sys/devices/system/cpu` of guests.

/// One cache of the first processor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cache {
    /// 1 is nearest to the processor.
    pub level: u32,
    /// `Data`, `Instruction` or `Unified`.
    pub kind: String,
    /// Size in KiB.
    pub size_kib: u64,
    /// Size of a line in bytes.
    pub line: u32,
    /// Number of sets.
    pub sets: u32,
    /// Lines in a set.
    pub ways: u32,
}

/// The caches of the first processor; none where the host does not tell all of this.
#[must_use]
pub fn caches() -> Vec<Cache> {
    #[cfg(target_os = "linux")]
    let read = |name: &str| {
        let path = format!("/sys/devices/system/cpu/cpu0/cache/{name}");
        std::fs::read_to_string(path).ok()
    };
    // Darwin tells sizes, but not how the caches are built.
    #[cfg(not(target_os = "linux"))]
    let read = |_: &str| None;
    parse(read)
}

fn parse(read: impl Fn(&str) -> Option<String>) -> Vec<Cache> {
    let one = |index: usize| {
        let text = |name: &str| Some(read(&format!("index{index}/{name}"))?.trim().to_owned());
        let kind = text("type")?;
        let known = ["Data", "Instruction", "Unified"].contains(&kind.as_str());
        Some(Cache {
            level: text("level")?.parse().ok()?,
            size_kib: text("size")?.strip_suffix('K')?.parse().ok()?,
            line: text("coherency_line_size")?.parse().ok()?,
            sets: text("number_of_sets")?.parse().ok()?,
            ways: text("ways_of_associativity")?.parse().ok()?,
            kind: known.then_some(kind)?,
        })
    };
    (0..).map_while(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn caches_are_as_the_host_lists_them() {
        let list = |path: &str| {
            let (index, name) = path.split_once('/')?;
            let (level, kind, size) = match index {
                "index0" => ("1", "Data", "32K"),
                "index1" => ("2", "Unified", "1024K"),
                _ => return None,
            };
            let value = match name {
                "level" => level,
                "type" => kind,
                "size" => size,
                "coherency_line_size" => "64",
                "number_of_sets" => "128",
                "ways_of_associativity" => "8",
                _ => return None,
            };
            Some(format!("{value}\n"))
        };
        let caches = parse(list);
        assert_eq!(caches.len(), 2);
        assert_eq!((caches[0].kind.as_str(), caches[0].size_kib), ("Data", 32));
        assert_eq!((caches[1].level, caches[1].size_kib), (2, 1024));
    }

    #[test]
    fn a_host_that_does_not_tell_all_tells_nothing() {
        assert_eq!(parse(|_| None), []);
        assert_eq!(parse(|_| Some("x".into())), []);
    }
}
