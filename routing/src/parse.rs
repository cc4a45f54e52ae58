//! Bytes to [`FilterConfig`]. Decides what is a document of this version; knows nothing of what the values mean.

use serde::Deserialize;

use crate::config::{FilterConfig, VERSION};
use crate::problem::ConfigProblem;

/// Largest document that is read. A config of 100,000 rules has about 20 MiB, and the filter holds the document and
/// the table at once, in each of Envoy's workers.
pub const MAX_BYTES: usize = 32 << 20;

/// Reads a filter config.
///
/// # Errors
/// The first fault with its place (a path with the feature `located`, else line and column): an empty or too large document, text that is no JSON, an unknown field, a value of
/// the wrong type, nesting deeper than 128 (the parser's limit), or another version than [`VERSION`]. A document of
/// another version is refused for that, whatever fields it has.
pub fn parse(json: &[u8]) -> Result<FilterConfig, ConfigProblem> {
    if json.len() > MAX_BYTES {
        return Err(whole(format!("the document has {} bytes; at most {MAX_BYTES} are read", json.len())));
    }
    if json.iter().all(u8::is_ascii_whitespace) {
        return Err(whole("the document is empty".to_owned()));
    }
    // The common case pays for one pass; only a faulty document is read again to find the place and the version.
    let config = match serde_json::from_slice::<FilterConfig>(json) {
        Ok(config) => config,
        Err(error) => {
            return Err(match stated_version(json) {
                Some(version) if version != VERSION.to_string() => other_version(&version),
                _ => located(json, &error),
            });
        }
    };
    if config.version == VERSION { Ok(config) } else { Err(other_version(&config.version.to_string())) }
}

/// The fault for which the document is no config. It is read again with the path of each value at hand.
#[cfg(feature = "located")]
fn located(json: &[u8], error: &serde_json::Error) -> ConfigProblem {
    let mut deserializer = serde_json::Deserializer::from_slice(json);
    match serde_path_to_error::deserialize::<_, FilterConfig>(&mut deserializer) {
        Err(error) => {
            // "?" stands for a field whose name was not read to its end, "." for the document.
            let path = error.path().to_string();
            let path = path.trim_end_matches('?').trim_end_matches('.').to_owned();
            ConfigProblem { path, message: error.into_inner().to_string() }
        }
        // Something stands behind the document.
        Ok(_) => whole(error.to_string()),
    }
}

/// The fault for which the document is no config, with line and column.
#[cfg(not(feature = "located"))]
fn located(_json: &[u8], error: &serde_json::Error) -> ConfigProblem {
    whole(error.to_string())
}

/// The document's version as written, where it has one that is a number.
fn stated_version(json: &[u8]) -> Option<String> {
    #[derive(Deserialize)]
    struct Stated {
        version: serde_json::Number,
    }
    serde_json::from_slice::<Stated>(json).ok().map(|stated| stated.version.to_string())
}

fn other_version(version: &str) -> ConfigProblem {
    ConfigProblem {
        path: "version".to_owned(),
        message: format!("the document is of version {version}; this build reads version {VERSION}"),
    }
}

fn whole(message: String) -> ConfigProblem {
    ConfigProblem { path: String::new(), message }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(json: &str) -> String {
        parse(json.as_bytes()).unwrap_err().to_string()
    }

    #[test]
    fn the_smallest_document() {
        let config = parse(br#"{"version": 1, "listeners": []}"#).unwrap();
        assert_eq!(config, FilterConfig::default());
    }

    #[test]
    fn another_version_is_refused_with_both_numbers() {
        let expected = "version: the document is of version 2; this build reads version 1";
        assert_eq!(refusal(r#"{"version": 2, "listeners": []}"#), expected);
        assert_eq!(refusal(r#"{"routes": [{"new": true}], "version": 2}"#), expected);
    }

    #[test]
    fn an_empty_document_is_refused() {
        assert_eq!(refusal(""), "the document is empty");
        assert_eq!(refusal(" \n"), "the document is empty");
    }

    #[test]
    fn a_truncated_document_is_refused() {
        let full = r#"{"version": 1, "listeners": []}"#;
        for length in 1..full.len() {
            let problem = parse(&full.as_bytes()[..length]).unwrap_err().to_string();
            assert!(problem.contains("EOF"), "{length}: {problem}");
        }
    }

    #[test]
    fn text_after_the_document_is_refused() {
        assert_eq!(
            refusal(r#"{"version": 1, "listeners": []} {}"#),
            "trailing characters at line 1 column 33"
        );
    }

    #[test]
    fn a_document_above_the_limit_is_refused() {
        let json = vec![b' '; 50_000_000];
        let problem = parse(&json).unwrap_err().to_string();
        assert_eq!(problem, "the document has 50000000 bytes; at most 33554432 are read");
    }

    #[test]
    fn deep_nesting_is_refused() {
        for (open, close) in [("[", "]"), (r#"{"a":"#, "}")] {
            let deep = format!("{}0{}", open.repeat(100_000), close.repeat(100_000));
            parse(deep.as_bytes()).unwrap_err();
            let inside = format!(r#"{{"version": 1, "listeners": {deep}}}"#);
            parse(inside.as_bytes()).unwrap_err();
            let unknown = format!(r#"{{"deep": {deep}, "version": 1, "listeners": []}}"#);
            parse(unknown.as_bytes()).unwrap_err();
        }
    }

    #[test]
    fn faults_name_their_place_and_value() {
        let listener = |fields: &str| {
            format!(
                r#"{{"version": 1, "listeners": [{{"name": "a/b/c", "gateway": "a/b", "port": 80, {fields}}}]}}"#
            )
        };
        for (json, expected) in [
            (
                listener(r#""protocol": "FTP""#),
                "listeners[0].protocol: unknown variant `FTP`, expected `HTTP` or `HTTPS`",
            ),
            (listener(r#""protocol": "HTTP", "host": "x""#), "listeners[0].host: unknown field `host`"),
            (
                listener(r#""protocol": "HTTP", "routes": [{"kind": "HTTPRoute", "namespace": 7}]"#),
                "listeners[0].routes[0].namespace: invalid type: integer `7`, expected a string",
            ),
            (
                listener(
                    r#""protocol": "HTTP", "routes": [{"kind": "HTTPRoute", "namespace": "n", "name": "n", "rules": [{"backends": [{"cluster": "c", "weight": -1}]}]}]"#,
                ),
                "listeners[0].routes[0].rules[0].backends[0].weight: invalid value: integer `-1`, expected u32",
            ),
            (
                r#"{"version": "1", "listeners": []}"#.to_owned(),
                "version: invalid type: string \"1\", expected u32",
            ),
            (r#"{"version": 1}"#.to_owned(), "missing field `listeners`"),
            ("[]".to_owned(), "invalid"),
            ("nonsense".to_owned(), "expected"),
        ] {
            let problem = refusal(&json);
            assert!(problem.starts_with(expected), "{json}\n  {problem}\n  {expected}");
        }
    }
}
