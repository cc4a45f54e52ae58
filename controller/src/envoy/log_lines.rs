//! Envoy's log in ours: each line with its level and component.

use tokio::io::{AsyncBufReadExt as _, AsyncRead, BufReader};

/// `--log-format` of Envoy: level, component, text. The first two never contain a blank.
pub(super) const FORMAT: &str = "%l %n %v";

/// Passes the lines on until the stream ends.
pub(super) async fn pass_on(stream: impl AsyncRead + Unpin) {
    let mut lines = BufReader::new(stream).split(b'\n');
    while let Ok(Some(line)) = lines.next_segment().await {
        let line = String::from_utf8_lossy(&line);
        let (level, component, text) = parse(&line);
        match level {
            Level::Error => tracing::error!(target: "envoy", component, "{text}"),
            Level::Warning => tracing::warn!(target: "envoy", component, "{text}"),
            Level::Info => tracing::info!(target: "envoy", component, "{text}"),
            Level::Debug => tracing::debug!(target: "envoy", component, "{text}"),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Level {
    Error,
    Warning,
    Info,
    Debug,
}

/// A line that is not in our format belongs to what Envoy prints before it has a log, or while it crashes.
fn parse(line: &str) -> (Level, &str, &str) {
    let mut parts = line.splitn(3, ' ');
    let (Some(level), Some(component), Some(text)) = (parts.next(), parts.next(), parts.next()) else {
        return (Level::Warning, "", line);
    };
    let level = match level {
        "critical" | "error" => Level::Error,
        "warning" => Level::Warning,
        "info" => Level::Info,
        "debug" | "trace" => Level::Debug,
        _ => return (Level::Warning, "", line),
    };
    (level, component, text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn level_and_component_are_read_and_other_lines_are_kept() {
        assert_eq!(parse("critical main starting: failed"), (Level::Error, "main", "starting: failed"));
        assert_eq!(parse("warning config a b c"), (Level::Warning, "config", "a b c"));
        assert_eq!(parse("info main "), (Level::Info, "main", ""));
        assert_eq!(parse("  at #3 frame"), (Level::Warning, "", "  at #3 frame"));
        assert_eq!(parse(""), (Level::Warning, "", ""));
    }
}
