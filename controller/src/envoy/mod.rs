//! A running Envoy: finding the binary, starting and ending the process, and asking it questions.

pub mod admin;
pub mod find;
mod log_lines;
pub mod process;
pub mod supervisor;
mod version;

pub use version::{MINIMUM_VERSION, Version};
