//! What the targets share: requests as text, requests that a config asks for, and what must hold of every decision.

pub mod check;
pub mod incoming;
pub mod of_config;
