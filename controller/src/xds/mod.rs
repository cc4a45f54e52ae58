//! Serving Envoy: resources as JSON in, acknowledged protocol buffers out, in a safe order.

pub mod agent;
pub mod encode;
pub mod kind;
pub mod lingering;
mod probe;
mod published;
mod server;
mod session;
