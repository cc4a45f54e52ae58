//! The Kubernetes Gateway API on stock Envoy, with every routing decision in a small wasm filter.

pub mod agent;
pub mod api;
mod as_envoy;
mod authority;
pub mod bundle;
mod certificate;
pub mod cli;
pub mod cluster;
pub mod controller;
pub mod data_plane;
mod digest;
mod entry;
pub mod envoy;
mod fault;
pub mod filter_binary;
mod http3;
mod lint;
pub mod local;
pub mod model;
mod normal_path;
pub mod object;
pub mod problem;
pub mod provision;
pub mod render;
pub mod snapshot;
pub mod source;
pub mod status;
mod table;
pub mod translate;
mod watch;
pub mod xds;

/// Version of the Gateway API whose objects are read.
pub const GATEWAY_API_VERSION: &str = "v1.6.1";
