//! Routing decisions of the Kubernetes Gateway API: filter config in, decision out.
//!
//! This crate is pure: it performs no I/O, reads no clock, draws no random numbers, and contains no unsafe code. It
//! builds for wasm32 and natively, so that the filter, the controller's checks and `gatewasm explain` can never
//! disagree about a request.

mod backend;
mod compile;
pub mod config;
mod explain;
mod list;
mod matching;
mod parse;
pub mod precedence;
mod problem;
mod request;
mod table;
pub mod timestamp;
pub mod wire;

pub use compile::{MAX_WEIGHT, check_match, compile};
pub use explain::{
    Candidate, DecisionType, ExplainedBackend, ExplainedDecision, ExplainedRoute, Explanation,
};
pub use list::Listed;
pub use parse::{MAX_BYTES, parse};
pub use problem::ConfigProblem;
pub use request::Request;
pub use table::{Cause, Decision, Matched, RouteId, RouteTable};
