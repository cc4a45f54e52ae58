//! The log, on standard error.

use std::io::IsTerminal as _;

use tracing_subscriber::EnvFilter;

use crate::local::report::LogFormat;

/// Our log and Envoy's. `RUST_LOG` chooses what is written: `gatewasm=debug`, `envoy=info`.
pub(super) fn to_stderr(format: LogFormat) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    let subscriber = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let subscriber = subscriber.with_ansi(std::io::stderr().is_terminal());
    match format {
        LogFormat::Text => subscriber.compact().without_time().init(),
        LogFormat::Json => subscriber.json().flatten_event(true).init(),
    }
}
