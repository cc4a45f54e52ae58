//! The wasm filter that stock Envoy loads: glue between Envoy's proxy-wasm interface and `gatewasm-routing`.
//!
//! It speaks the proxy-wasm ABI 0.2.1 itself and exports four callbacks: a context, a configuration, the headers of a
//! request, the headers of an answer. The SDK lends its types, its allocator and the ABI marker, but not its dispatcher,
//! which would cost several more calls from Envoy into the VM and back for every request
//! (`docs/decisions/0005-raw-abi-filter.md`).
//!
//! The module that `cargo build` leaves is not yet what Envoy loads: the build of `gatewasm` drops the SDK's callbacks
//! and gives ours their names (`controller/build/filter.rs`).

pub mod pairs;
pub mod pending;

#[cfg(target_family = "wasm")]
mod host;
#[cfg(target_family = "wasm")]
mod plugin;
#[cfg(target_family = "wasm")]
mod random;
#[cfg(target_family = "wasm")]
mod stream;
