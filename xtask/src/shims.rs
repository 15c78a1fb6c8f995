//! The product treats all guest programs alike: part of `cargo xtask tidy`.
//!
//! A userspace Linux is tempted to help programs that it runs badly: by knowing their names, by
//! adding options or variables when they start, by knowing where a build of theirs has its code.
//! Each of that is a bug that has not been found, and none of it may come into the product.

use std::path::Path;

/// Programs whose names no source below the command line may have in a string.
const PROGRAMS: &[&str] = &[
    "beam", "beam.smp", "bun", "busybox", "cargo", "chrome", "claude", "clojure", "codex", "deno",
    "dotnet", "erl", "gcc", "gdb", "git", "go", "hotspot", "java", "javac", "lua", "luajit",
    "mono", "node", "nodejs", "npm", "perl", "php", "pip", "pypy", "pypy3", "python", "python3",
    "ruby", "rustc", "v8", "zig",
];

/// Variables and options that change how a runtime works, in whatever crate.
const INJECTIONS: &[&str] = &[
    "DOTNET_",
    "GLIBC_TUNABLES",
    "GODEBUG",
    "GOGC",
    "GOMAXPROCS",
    "JAVA_TOOL_OPTIONS",
    "JSC_",
    "LD_BIND_NOW",
    "LD_PRELOAD",
    "MALLOC_ARENA",
    "NODE_OPTIONS",
    "OPENSSL_armcap",
    "PIP_PROGRESS",
    "PYTHONDONTWRITEBYTECODE",
    "PYTHONMALLOC",
    "UV_THREADPOOL_SIZE",
    "-XX:",
    "--jitless",
    "--max-old-space",
    "--no-opt",
    "asyncpreemptoff",
];

/// Crates that make a guest's world; the command and the images may talk of programs.
const WORLD: &[&str] = &[
    "cpu",
    "fakefs",
    "host",
    "hostfs",
    "kernel",
    "machine",
    "mem",
    "net",
    "overlayfs",
    "sync",
    "tmpfs",
    "tty",
    "uapi",
    "vfs",
];

/// Crates in which a number may be an address of a guest's.
const ADDRESSED: &[&str] = &["kernel", "machine", "mem"];

/// Smallest number that could be an address in a program's code or data.
const LOWEST_ADDRESS: u128 = 0x10_0000;

/// Large numbers of the product that are no addresses: of Linux's interface, masks and hashes.
const NUMBERS: &[u128] = &[
    0x7fff_f000, // MAX_RW_COUNT
    0x7fff_ffff, // INT_MAX, MAX_ARG_STRINGS
    0xffff_ffff, // 32 bits; PER_QUERY
    0xffff_0000, // the upper half of 32 bits
    0x1000_0000, // aio: most bytes of events
    0xc000_0000, // __AUDIT_ARCH_64BIT | __AUDIT_ARCH_LE
    0x0102_1994, // TMPFS_MAGIC
    0xa10a_10a1, // AIO_RING_MAGIC
    0x5475_7848, // the magic number of our file of a machine's settings
    0x9e37_79b9_7f4a_7c15,
    0xbf58_476d_1ce4_e5b9, // splitmix64
];

/// Names that hold a guest's program counter and its like.
const REGISTERS: &[&str] = &["pc", "lr", "elr", "return_address"];

/// What is wrong with a source file.
pub(crate) fn check(path: &Path, source: &str, problems: &mut Vec<String>) {
    let text = path.to_string_lossy();
    let crate_dir = text.split('/').nth(1).unwrap_or_default();
    let is_test = !text.contains("/src/") || text.contains("/tests") || text.ends_with("tests.rs");
    if is_test {
        return;
    }
    for (number, line) in source.lines().enumerate() {
        // Unit tests are at the ends of files.
        if line.trim_start().starts_with("#[cfg(test)]") {
            break;
        }
        if line.trim_start().starts_with("//") {
            continue;
        }
        if let Some(what) = shim(crate_dir, line) {
            problems.push(format!("{text}:{}: {what}", number + 1));
        }
    }
}

fn shim(crate_dir: &str, line: &str) -> Option<String> {
    if let Some(injection) = INJECTIONS.iter().find(|i| line.contains(**i)) {
        return Some(format!("{injection} is for the guest's user to set"));
    }
    if !WORLD.contains(&crate_dir) {
        return None;
    }
    // What a `Debug` calls a field is no program.
    let strings = if line.contains(".field(") { "" } else { line };
    for string in strings.split('"').skip(1).step_by(2) {
        let last = string.rsplit('/').next().unwrap_or_default();
        if PROGRAMS.contains(&last) {
            return Some(format!("{last} is a guest program"));
        }
    }
    let code = line.split("//").next().unwrap_or_default();
    let large = numbers(code).find(|n| *n >= LOWEST_ADDRESS)?;
    if ADDRESSED.contains(&crate_dir) && !NUMBERS.contains(&large) {
        return Some(format!(
            "{large:#x}: an address? If not, name it in xtask/src/shims.rs"
        ));
    }
    let compares = ["==", "!=", "<", ">", "..", "contains"]
        .iter()
        .any(|c| code.contains(c));
    if compares && words(code).any(|w| REGISTERS.contains(&w)) {
        return Some(format!(
            "a register of a guest's is compared with {large:#x}"
        ));
    }
    None
}

fn words(code: &str) -> impl Iterator<Item = &str> {
    code.split(|c: char| !c.is_ascii_alphanumeric() && c != '_')
}

/// The hexadecimal numbers of a line.
fn numbers(code: &str) -> impl Iterator<Item = u128> {
    words(code).filter_map(|word| {
        let digits: String = word.strip_prefix("0x")?.replace('_', "");
        let end = digits.find(|c: char| !c.is_ascii_hexdigit());
        u128::from_str_radix(&digits[..end.unwrap_or(digits.len())], 16).ok()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_what_others_do() {
        for (crate_dir, line) in [
            ("kernel", r#"if name == "node" { args.push("--jitless") }"#),
            ("kernel", r#"if path.ends_with("/bin/java") {"#),
            ("kernel", r#"matches!(comm, "python3" | "x")"#),
            ("cli", r#"env.push("GODEBUG=asyncpreemptoff=1");"#),
            ("machine", r#"("GOMAXPROCS", "2"),"#),
            ("kernel", "if (0x00f1_2340..0x00f1_2360).contains(&at) {"),
            ("mem", "const TRAMPOLINE: u64 = 0xb5a0_0000;"),
            ("cpu", "if s.pc >= 0xb000_0000 && s.pc < 0xf000_0000 {"),
        ] {
            assert!(shim(crate_dir, line).is_some(), "{line}");
        }
    }

    #[test]
    fn leaves_the_rest_alone() {
        for (crate_dir, line) in [
            (
                "cli",
                r#""tuxlet run --rm python:3.13 python3 -c 'print(1)'""#,
            ),
            ("kernel", r#"("devices/system/node/online", "0"),"#),
            ("kernel", "let low = mask & 0xffff_ffff;"),
            ("cpu", "if word & 0xff20_fc07 == 0x1e20_2000 {"),
            ("cpu", "let next = s.pc + 4;"),
        ] {
            assert_eq!(shim(crate_dir, line), None, "{line}");
        }
    }

    #[test]
    fn the_product_has_no_shims() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let mut problems = Vec::new();
        let mut dirs = vec![root.join("crates")];
        let mut seen = 0;
        while let Some(dir) = dirs.pop() {
            for entry in std::fs::read_dir(dir).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    dirs.push(path);
                } else if path.extension().is_some_and(|e| e == "rs") {
                    let source = std::fs::read_to_string(&path).unwrap();
                    check(path.strip_prefix(root).unwrap(), &source, &mut problems);
                    seen += 1;
                }
            }
        }
        assert!(seen > 100, "{seen} files");
        assert_eq!(problems, [""; 0]);
    }
}
