//! Everything that is said to and heard from the API server. What the objects mean is not decided here.
//!
//! In: [`follow`] keeps a [`Store`] equal to what the API server holds.

mod crds;
mod document;
mod kinds;
mod own;
mod pods;
mod secrets;
mod state;
mod store;
mod watch;

#[cfg(test)]
mod fake;
#[cfg(test)]
mod tests;

pub use crds::{Crd, Crds};
pub use document::Held;
pub use own::{Facts, Own};
pub use pods::Pod;
pub use state::Revisions;
pub use store::{Store, View};
pub use watch::{follow, limit_waiting};
