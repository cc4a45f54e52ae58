//! The form of a result on stdout.

use std::io::{ErrorKind, Write};

use anyhow::Result;
use clap::ValueEnum;
use serde::Serialize;

pub(super) use crate::table::table;

/// Form of the result.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(super) enum Output {
    /// For people.
    #[default]
    Text,
    /// For programs.
    Json,
    /// For programs and people.
    Yaml,
}

impl Output {
    /// Prints `value` in this form; `text` makes the form for people.
    pub(super) fn print<T: Serialize>(self, value: &T, text: impl FnOnce(&T) -> String) -> Result<()> {
        let mut result = match self {
            Self::Text => text(value),
            Self::Json => serde_json::to_string_pretty(value)?,
            Self::Yaml => serde_saphyr::to_string(value)?,
        };
        if !result.is_empty() && !result.ends_with('\n') {
            result.push('\n');
        }
        write_stdout(result.as_bytes())
    }
}

/// Writes to stdout; a reader that has gone away (`| head`) is no failure.
pub(super) fn write_stdout(bytes: &[u8]) -> Result<()> {
    match std::io::stdout().lock().write_all(bytes) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(()),
    }
}
