//! The project's task runner: `cargo xtask`.

fn main() {}
