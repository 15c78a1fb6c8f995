//! `cargo xtask check-asm`: disassembles the release binary and proves that the interpreter's hot handlers are tail
//! calls: none calls, uses the stack or fails to end in an indirect jump.

use anyhow::{Context, Result, ensure};
use std::{
    collections::BTreeMap,
    path::PathBuf,
    process::{Command, Stdio},
};

/// Part of the symbols of what is in the module of hot handlers.
const HOT: &str = "tuxlet_cpu::interp::hot::";

/// Functions of that module that choose handlers, and are none.
const NOT_HANDLERS: &[&str] = &["vector::handler", "vector::sets_flags", "pair::fused"];

/// Hot handlers elsewhere.
const ALSO_HOT: &[&str] = &[
    "tuxlet_cpu::interp::control::jump",
    "tuxlet_cpu::interp::control::call",
    "tuxlet_cpu::interp::control::indirect",
];

#[derive(clap::Args)]
pub(crate) struct Args {
    /// The binary to look at; the release build's without one.
    binary: Option<PathBuf>,
    /// Print every handler that breaks the rules, not only the first 20.
    #[arg(short, long)]
    verbose: bool,
}

/// Parts of the symbols of all functions with a handler's signature, hot or not: each hands over to the next op by a
/// jump; one that called it would use up the stack.
const CHAINED: &[&str] = &[
    "tuxlet_cpu::interp::hot::",
    "tuxlet_cpu::interp::rows::handler",
    "tuxlet_cpu::interp::rows::vector_handler",
    "tuxlet_cpu::interp::control::slow_entry",
    "tuxlet_cpu::interp::control::kick_entry",
    "tuxlet_cpu::interp::control::stub",
    "tuxlet_cpu::interp::control::slow_settled",
    "tuxlet_cpu::interp::control::evaluate_flags",
    "tuxlet_cpu::interp::control::remap",
    "tuxlet_cpu::interp::control::jump",
    "tuxlet_cpu::interp::control::call",
    "tuxlet_cpu::interp::control::indirect",
    "tuxlet_cpu::interp::stack::check",
];

/// What was seen of one function.
#[derive(Default)]
struct Handler {
    hot: bool,
    indirect_jumps: usize,
    indirect_calls: usize,
    calls: usize,
    frames: usize,
    instructions: usize,
}

/// Whether a function is a handler of the hot path.
fn is_hot(symbol: &str) -> bool {
    let is = |name: &str| {
        symbol
            .strip_prefix(name)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with("::<") || rest.starts_with(' '))
    };
    match symbol.strip_prefix(HOT) {
        Some(_) => !NOT_HANDLERS.iter().any(|name| is(&format!("{HOT}{name}"))),
        None => ALSO_HOT.iter().any(|name| is(name)),
    }
}

/// Whether a function is one of a chain of tail calls.
fn is_chained(symbol: &str) -> bool {
    CHAINED.iter().any(|part| symbol.contains(part))
}

fn is_indirect_call(instruction: &str) -> bool {
    let mut words = instruction.split_whitespace();
    let operation = words.next().unwrap_or_default();
    let operand = words.next().unwrap_or_default();
    // A call of an import goes through the global offset table, relative to the instruction pointer.
    (operation.starts_with("call") && operand.starts_with('*') && !operand.contains("(%rip)"))
        || operation == "blr"
}

fn is_call(instruction: &str) -> bool {
    let operation = instruction.split_whitespace().next().unwrap_or_default();
    operation.starts_with("call") || operation == "bl" || operation == "blr"
}

fn is_frame(instruction: &str) -> bool {
    let mut words = instruction.split_whitespace();
    let operation = words.next().unwrap_or_default();
    let operands = words.next().unwrap_or_default();
    operation.starts_with("push")
        || instruction.contains("(%rsp)")
        || instruction.contains("[sp")
        || (matches!(operation, "sub" | "add" | "lea") && operands.ends_with("%rsp"))
        || (operation == "sub" && operands.starts_with("sp,"))
}

fn is_indirect_jump(instruction: &str) -> bool {
    let mut words = instruction.split_whitespace();
    let operation = words.next().unwrap_or_default();
    let operand = words.next().unwrap_or_default();
    operation == "br"
        || (matches!(operation, "jmp" | "jmpq" | "notrack") && operand.contains('*'))
        || (operation == "notrack" && instruction.contains('*'))
}

/// Checks the binary.
pub(crate) fn run(args: &Args) -> Result<()> {
    let binary = args.binary.clone().unwrap_or_else(release_binary);
    let handlers = scan(&binary)?;
    ensure!(
        !handlers.is_empty(),
        "{} has no hot handlers: is it a release build with symbols?",
        binary.display()
    );
    let mut broken = Vec::new();
    for (name, handler) in &handlers {
        if handler.indirect_calls > 0 {
            broken.push(format!("{name}: calls through a pointer"));
        }
        if handler.hot && handler.calls > 0 {
            broken.push(format!("{name}: calls"));
        }
        if handler.hot && handler.frames > 0 {
            broken.push(format!("{name}: uses the stack"));
        }
        if handler.hot && handler.indirect_jumps == 0 {
            broken.push(format!("{name}: does not end in an indirect jump"));
        }
    }
    let hot: Vec<_> = handlers.iter().filter(|(_, h)| h.hot).collect();
    let total: usize = hot.iter().map(|(_, h)| h.instructions).sum();
    println!(
        "{} hot handlers, {:.1} instructions in the mean; {} other handlers",
        hot.len(),
        total as f64 / hot.len() as f64,
        handlers.len() - hot.len(),
    );
    let shown = if args.verbose { broken.len() } else { 20 };
    for line in broken.iter().take(shown) {
        println!("{line}");
    }
    ensure!(
        broken.is_empty(),
        "{} handlers call, use the stack or do not end in an indirect jump",
        broken.len()
    );
    Ok(())
}

fn release_binary() -> PathBuf {
    let target =
        std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| PathBuf::from("target"), PathBuf::from);
    target.join("release/tuxlet")
}

fn scan(binary: &PathBuf) -> Result<BTreeMap<String, Handler>> {
    ensure!(
        binary.exists(),
        "{} is missing: cargo build --release first",
        binary.display()
    );
    let out = Command::new("objdump")
        .args(["-d", "--no-show-raw-insn", "-C"])
        .arg(binary)
        .stderr(Stdio::inherit())
        .output()
        .context("objdump cannot be run; it comes with the C compiler (binutils)")?;
    ensure!(out.status.success(), "objdump failed");
    let text = String::from_utf8_lossy(&out.stdout);
    let mut handlers: BTreeMap<String, Handler> = BTreeMap::new();
    let mut current: Option<&mut Handler> = None;
    for line in text.lines() {
        if let Some((address, symbol)) = line.strip_suffix(">:").and_then(|l| l.split_once(" <")) {
            // Several instances may demangle to the same name: the address tells them apart.
            current = is_chained(symbol).then(|| {
                let name = format!("{symbol} at {}", address.trim_start_matches('0'));
                let hot = is_hot(symbol);
                handlers.entry(name).or_insert_with(|| Handler {
                    hot,
                    ..Handler::default()
                })
            });
            continue;
        }
        let (Some(handler), Some((_, instruction))) =
            (current.as_deref_mut(), line.split_once(":\t"))
        else {
            continue;
        };
        handler.instructions += 1;
        handler.calls += usize::from(is_call(instruction));
        handler.frames += usize::from(is_frame(instruction));
        if is_indirect_call(instruction) {
            handler.indirect_calls += 1;
        }
        if is_indirect_jump(instruction) {
            handler.indirect_jumps += 1;
        }
    }
    Ok(handlers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_frames_and_jumps_are_told_apart() {
        assert!(is_call("call   1234 <x>") && is_call("bl 1234 <x>"));
        assert!(is_indirect_call("call   *(%rdi)") && !is_indirect_call("call   *0x1234(%rip)"));
        for frame in [
            "push   %rbx",
            "sub    $0x8,%rsp",
            "mov    %rbx,-0x8(%rsp)",
            "sub sp, sp, #0x10",
            "str x19, [sp, #-16]!",
        ] {
            assert!(is_frame(frame), "{frame}");
        }
        for plain in [
            "sub    %rax,%rcx",
            "mov    0x8(%rdi),%rax",
            "add    $0x10,%rdi",
        ] {
            assert!(!is_frame(plain) && !is_call(plain), "{plain}");
        }
        for (symbol, hot) in [
            ("tuxlet_cpu::interp::hot::hot3", true),
            ("tuxlet_cpu::interp::hot::vector::run", true),
            ("tuxlet_cpu::interp::hot::vector::handler", false),
            ("tuxlet_cpu::interp::control::jump", true),
            ("tuxlet_cpu::interp::control::jump_miss", false),
        ] {
            assert_eq!(is_hot(symbol), hot, "{symbol}");
        }
        assert!(is_indirect_jump("jmp    *(%rdi)"));
        assert!(is_indirect_jump("br x4"));
        assert!(!is_indirect_jump("jmp    1234 <slow>"));
    }
}
