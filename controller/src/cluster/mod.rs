//! Everything that is said to the API server and heard from it. What the objects mean, and what is to be written, is
//! decided elsewhere.

pub mod apply;
pub mod election;
pub mod events;
pub mod failure;
pub mod lease;
pub mod metrics;
pub mod pace;
pub mod serve;
pub mod status;

#[cfg(test)]
mod mock;
