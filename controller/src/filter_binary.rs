//! The wasm filter inside this binary: what `gatewasm filter` writes out and what Envoy is given, so that filter and
//! controller are never of different versions by accident.

/// The module, as `controller/build/filter.rs` left it.
pub const WASM: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/gatewasm.wasm"));
