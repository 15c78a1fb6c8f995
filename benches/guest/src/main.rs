//! Benchmark programs in one binary: `bench-guest NAME`. Each prints a checksum, which must not depend on who runs it.

mod kernels;
mod system;

fn main() {
    let name = std::env::args().nth(1).unwrap_or_default();
    let sum = match name.as_str() {
        "start" | "" => 0,
        "fib" => kernels::fib(35),
        "sieve" => kernels::sieve(3_000_000, 24),
        "sha256" => kernels::sha256(24 << 20),
        "matmul" => kernels::matmul(128, 20),
        "sort" => kernels::sort(3_000_000),
        "dispatch" => kernels::dispatch(60_000_000),
        "bytes" => kernels::bytes(4 << 20, 24),
        "nbody" => kernels::nbody(300_000),
        "getppid" => system::getppid(2_000_000),
        "readwrite" => system::readwrite(300_000),
        "forkexec" => system::forkexec(200),
        "fork" => system::fork(300),
        "threads" => system::threads(300),
        "files" => system::files(3000),
        "pipe" => system::pipe(50_000),
        other => {
            eprintln!("no benchmark {other}");
            std::process::exit(2);
        }
    };
    println!("{name} {sum:#x}");
}
