//! Routing decisions of the Kubernetes Gateway API: filter config in, decision out.
//!
//! This crate is pure: it performs no I/O, reads no clock, draws no random numbers, and contains no unsafe code. It
//! builds for wasm32 and natively, so that the filter, the controller's checks and `gatewasm explain` can never
//! disagree about a request.

pub mod config;
mod request;
pub mod wire;

pub use request::Request;
