//! Bytes as a filter config: read, compiled, and asked about the requests that it is for.

#![no_main]

use gatewasm_fuzz::{check::check, of_config};
use gatewasm_routing::{compile, parse};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Ok(config) = parse(bytes) else { return };
    let Ok(table) = compile(&config) else { return };
    for (entry, incoming) in of_config::requests(&config) {
        incoming.with(|request| check(&table, entry.as_bytes(), request, incoming.random));
    }
});
