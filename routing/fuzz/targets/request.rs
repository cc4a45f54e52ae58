//! Requests with any bytes in any part, to every config of the request table.

#![no_main]

use std::sync::LazyLock;

use gatewasm_fuzz::{check::check, incoming::Incoming, of_config};
use gatewasm_routing::{RouteTable, compile};
use libfuzzer_sys::fuzz_target;

/// The compiled configs with their entries.
static TABLES: LazyLock<Vec<(Vec<String>, RouteTable)>> = LazyLock::new(|| {
    let tables = gatewasm_request_table::tables().unwrap_or_else(|fault| panic!("{fault}"));
    let compiled = tables.iter().map(|table| {
        let compiled = compile(&table.config).unwrap_or_else(|faults| panic!("{}: {faults:?}", table.file));
        (of_config::entries(&table.config), compiled)
    });
    compiled.collect()
});

fuzz_target!(|bytes: &[u8]| {
    let incoming = Incoming::read(bytes);
    let (entries, table) = &TABLES[incoming.table % TABLES.len()];
    let entry = &entries[incoming.entry % entries.len()];
    incoming.with(|request| check(table, entry.as_bytes(), request, incoming.random));
});
