//! Routing decisions of the Kubernetes Gateway API: filter config in, decision out.
//!
//! This crate is pure: it performs no I/O, reads no clock, draws no random numbers, and contains no unsafe code. It
//! builds for wasm32 and natively, so that the filter, the controller's checks and `gatewasm explain` can never
//! disagree about a request.
//!
//! ```
//! use gatewasm_routing::{Decision, Request, compile, parse};
//!
//! let config = parse(br#"{"version": 1, "listeners": [{
//!     "name": "infra/web/http", "gateway": "infra/web", "port": 80, "protocol": "HTTP",
//!     "routes": [{
//!         "kind": "HTTPRoute", "namespace": "default", "name": "shop",
//!         "rules": [{"matches": [{"path": {"value": "/cart"}}], "backends": [{"cluster": "default/cart/8080"}]}]
//!     }]
//! }]}"#)?;
//! let table = compile(&config).map_err(|mut problems| problems.remove(0))?;
//!
//! let request = Request { method: b"GET", authority: b"shop.example.com", path: b"/cart/7?full", headers: &[] };
//! let Decision::Forward { cluster, matched, .. } = table.decide(b"infra/web:80", &request, 0) else { panic!() };
//! assert_eq!(cluster, "default/cart/8080");
//! assert_eq!(matched.route.label, "HTTPRoute default/shop");
//!
//! let why = table.explain(b"infra/web:80", &request);
//! assert_eq!(why.candidates[0].because, "the only match");
//! # Ok::<(), gatewasm_routing::ConfigProblem>(())
//! ```

mod action;
mod backend;
mod compile;
pub mod config;
mod decision;
mod explain;
mod explain_rule;
mod explained;
mod header_name;
mod index;
mod list;
mod matching;
mod openness;
mod parse;
pub mod precedence;
mod problem;
mod request;
mod serve;
mod session;
mod shadow;
mod table;
pub mod timestamp;
pub mod wire;

pub use action::Edits;
pub use action::headers::{HeaderEdit, HeaderEdits};
pub use compile::{check_filters, check_match, check_session_persistence, compile};
pub use decision::{Cause, Decision, Matched, RouteId};
pub use explained::{
    Candidate, DecisionType, ExplainedBackend, ExplainedCors, ExplainedDecision, ExplainedEdits,
    ExplainedRoute, ExplainedSession, ExplainedUpstream, Explanation,
};
pub use list::Listed;
pub use parse::{MAX_BYTES, parse};
pub use problem::ConfigProblem;
pub use request::Request;
pub use session::{Outcome, Session};
pub use shadow::{MatchId, Shadowed};
pub use table::RouteTable;
