//! Everything that is said to and heard from the API server, and asked of the agents. What the objects mean, and what is
//! to be written, is decided elsewhere.
//!
//! In: [`follow`] keeps a [`Store`] equal to what the API server holds.

pub(crate) mod agents;
pub mod apply;
pub(crate) mod clear;
mod crds;
pub(crate) mod deliver;
mod document;
pub mod election;
pub mod events;
pub mod failure;
mod kinds;
pub mod lease;
pub mod metrics;
mod once;
mod own;
pub mod pace;
mod pods;
mod referenced;
pub mod rollout;
pub mod serve;
mod state;
pub mod status;
mod store;
mod watch;

#[cfg(test)]
pub(crate) mod fake;
#[cfg(test)]
mod mock;
#[cfg(test)]
mod tests;

pub use document::Held;
pub use once::read;
pub use own::Facts;
pub use pods::Pod;
pub use state::Revisions;
pub use store::{Store, View};
pub use watch::{follow, limit_waiting};
