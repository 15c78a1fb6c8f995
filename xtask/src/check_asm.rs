//! `cargo xtask check-asm`: disassembles the release binary and proves that the interpreter's hot handlers are tail
//! calls: each ends in an indirect jump, none calls, none spills a frame.

use anyhow::{Context, Result, bail, ensure};
use std::{
    collections::BTreeMap,
    path::PathBuf,
    process::{Command, Stdio},
};

/// Part of the symbol of every hot handler.
const HOT: &str = "tuxlet_cpu::interp::hot::";

#[derive(clap::Args)]
pub(crate) struct Args {
    /// The binary to look at.
    #[arg(default_value = "")]
    binary: PathBuf,
    /// Print every handler that breaks the rules, with the instruction.
    #[arg(short, long)]
    verbose: bool,
}

/// Part of the symbol of everything that runs between two guest instructions.
const INTERPRETER: &str = "tuxlet_cpu::interp::";

/// Functions outside the chain of tail calls, which may call through a pointer: they run one instruction's body.
const CALLERS: &[&str] = &["slow_step", "as tuxlet_cpu::engine::Vcpu", "vcpu::"];

/// What was seen of one function.
#[derive(Default)]
struct Handler {
    hot: bool,
    indirect_jumps: usize,
    indirect_calls: usize,
    instructions: usize,
    offences: Vec<String>,
}

/// Whether a function is a handler of the hot path (and not a helper that happens to live beside them).
fn is_hot(symbol: &str) -> bool {
    symbol.contains(HOT)
        && ["hot1", "hot2", "hot3"]
            .iter()
            .any(|name| symbol.contains(&format!("{HOT}{name}")))
}

/// Whether a function belongs to the chain of handlers, hot or not: one that called the next handler instead of
/// jumping to it would use up the stack.
fn is_chained(symbol: &str) -> bool {
    symbol.contains(INTERPRETER)
        && !CALLERS.iter().any(|c| symbol.contains(c))
        && !symbol.contains("::tests::")
}

fn is_indirect_call(instruction: &str) -> bool {
    let mut words = instruction.split_whitespace();
    let operation = words.next().unwrap_or_default();
    let operand = words.next().unwrap_or_default();
    // A call of an import goes through the global offset table, relative to the instruction pointer.
    (operation.starts_with("call") && operand.starts_with('*') && !operand.contains("(%rip)"))
        || operation == "blr"
}

fn is_offence(instruction: &str) -> bool {
    let mut words = instruction.split_whitespace();
    let operation = words.next().unwrap_or_default();
    let operands = words.next().unwrap_or_default();
    operation.starts_with("call")
        || operation.starts_with("push")
        || operation == "bl"
        || operation == "blr"
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
    let binary = if args.binary.as_os_str().is_empty() {
        release_binary()?
    } else {
        args.binary.clone()
    };
    let handlers = scan(&binary)?;
    ensure!(
        !handlers.is_empty(),
        "{} has no hot handlers: is it a release build with symbols?",
        binary.display()
    );
    let mut bad = 0;
    let (handlers, chained): (BTreeMap<_, _>, BTreeMap<_, _>) =
        handlers.into_iter().partition(|(_, h)| h.hot);
    for (name, _) in chained.iter().filter(|(_, h)| h.indirect_calls > 0) {
        println!("{name}: calls through a pointer");
        bad += 1;
    }
    for (name, handler) in &handlers {
        let mut offences = handler.offences.clone();
        if handler.indirect_jumps == 0 {
            offences.push("does not end in an indirect jump".into());
        }
        if !offences.is_empty() {
            bad += 1;
            if args.verbose || bad <= 10 {
                println!("{name}: {}", offences.join("; "));
            }
        }
    }
    let total: usize = handlers.values().map(|h| h.instructions).sum();
    println!(
        "{} hot handlers with {:.1} instructions in the mean and {} other functions: {bad} break the rules",
        handlers.len(),
        total as f64 / handlers.len() as f64,
        chained.len()
    );
    if bad > 0 {
        bail!("{bad} hot handlers call, spill or do not end in an indirect jump");
    }
    Ok(())
}

fn release_binary() -> Result<PathBuf> {
    let target =
        std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| PathBuf::from("target"), PathBuf::from);
    Ok(target.join("release/tuxlet"))
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
        if is_offence(instruction) {
            handler.offences.push(instruction.trim().to_owned());
        }
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
    fn calls_and_frames_are_offences() {
        for bad in [
            "call   1234 <x>",
            "push   %rbx",
            "sub    $0x8,%rsp",
            "bl 1234 <x>",
            "sub sp, sp, #0x10",
        ] {
            assert!(is_offence(bad), "{bad}");
        }
        for good in [
            "sub    %rax,%rcx",
            "jmp    *%rax",
            "mov    0x8(%rdi),%rax",
            "add    $0x10,%rdi",
        ] {
            assert!(!is_offence(good), "{good}");
        }
        assert!(is_indirect_jump("jmp    *(%rdi)"));
        assert!(is_indirect_jump("br x4"));
        assert!(!is_indirect_jump("jmp    1234 <slow>"));
    }
}
