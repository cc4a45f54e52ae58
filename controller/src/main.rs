//! The `gatewasm` command: see [`gatewasm::cli`].

use std::process::ExitCode;

/// A change makes and drops some hundred thousand small texts: with glibc's allocator this was 40 % of its time
/// (`bench_change`).
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    gatewasm::cli::main()
}
