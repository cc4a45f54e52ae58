//! The `gatewasm` command: see [`gatewasm::cli`].

use std::process::ExitCode;

fn main() -> ExitCode {
    gatewasm::cli::main()
}
