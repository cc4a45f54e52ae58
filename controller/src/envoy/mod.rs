//! A running Envoy: finding the binary, starting and ending the process, and asking it questions.

pub mod admin;
