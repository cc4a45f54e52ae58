//! The `gatewasm` command.

fn main() {}
