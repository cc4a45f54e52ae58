//! The wasm filter.
