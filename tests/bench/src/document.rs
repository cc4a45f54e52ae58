//! A config as it arrives, in JSON: read, compiled, and kept in place of the one before.

use gatewasm_routing::{RouteTable, compile, parse};

/// What a reading of the document gave; kept, so that its end is not part of the time.
#[derive(Debug)]
pub enum Read {
    /// Nothing yet.
    Nothing,
    /// As plain JSON.
    Value(serde_json::Value),
    /// As the filter takes it.
    Table(Box<RouteTable>),
}

/// The document of so many mixed rules.
pub fn document(rules: usize) -> Vec<u8> {
    serde_json::to_vec(&crate::rules::mixed(rules)).unwrap_or_default()
}

/// Reads it as plain JSON: what the time of [`read_table`] is held against.
pub fn read_value(json: &[u8]) -> Read {
    serde_json::from_slice(json).map_or(Read::Nothing, Read::Value)
}

/// Reads it as the filter does.
pub fn read_table(json: &[u8]) -> Read {
    let table = parse(json).ok().and_then(|config| compile(&config).ok());
    table.map_or(Read::Nothing, |table| Read::Table(Box::new(table)))
}
