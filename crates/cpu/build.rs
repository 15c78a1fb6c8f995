//! Decides how interpreter handlers pass control to one another.
//!
//! Sibling calls become jumps only in optimised code without debug assertions; elsewhere the stack would grow with
//! every instruction, so a loop calls one handler after the other. Level 1 does not inline enough: handlers of vector
//! instructions keep frames there.

fn main() {
    println!("cargo::rustc-check-cfg=cfg(tail_calls)");
    println!("cargo::rerun-if-changed=build.rs");
    let optimised =
        std::env::var("OPT_LEVEL").is_ok_and(|level| matches!(level.as_str(), "2" | "3" | "s"));
    let assertions = std::env::var_os("CARGO_CFG_DEBUG_ASSERTIONS").is_some();
    let known =
        std::env::var("CARGO_CFG_TARGET_ARCH").is_ok_and(|a| a == "x86_64" || a == "aarch64");
    if optimised && !assertions && known {
        println!("cargo::rustc-cfg=tail_calls");
    }
}
