//! Text of a manifest file into documents: YAML or JSON, many in one file, each with the line it begins at. A
//! document that cannot be parsed does not cost the others.

use serde_json::Value;
use serde_saphyr::MessageFormatter as _;

/// One document that could be parsed.
pub(super) struct Document {
    /// Line of its first content, from 1.
    pub(super) line: usize,
    /// Its content. Members that are null are left out, as the API server does.
    pub(super) value: Value,
}

/// A document that could not.
pub(super) struct Malformed {
    /// Line of the fault, from 1.
    pub(super) line: usize,
    /// What the parser says.
    pub(super) message: String,
}

/// Every document of a text.
pub(super) fn documents(text: &str) -> Vec<Result<Document, Malformed>> {
    chunks(text.trim_start_matches('\u{feff}'))
        .into_iter()
        .filter_map(|(line, chunk)| parse(line, chunk))
        .collect()
}

/// Cuts at the lines that begin with `---`, as YAML and kubectl do: (line of the first character, text). No scalar
/// can hold such a line.
fn chunks(text: &str) -> Vec<(usize, &str)> {
    let mut chunks = Vec::new();
    let (mut start, mut start_line, mut at) = (0, 1, 0);
    for (index, line) in text.split_inclusive('\n').enumerate() {
        if let Some(rest) = line.strip_prefix("---")
            && (rest.is_empty() || rest.starts_with([' ', '\t', '\r', '\n']))
        {
            chunks.push((start_line, &text[start..at]));
            (start, start_line) = (at + 3, index + 1);
        }
        at += line.len();
    }
    chunks.push((start_line, &text[start..]));
    chunks
}

/// `None` where there is nothing but comments and directives.
fn parse(line: usize, chunk: &str) -> Option<Result<Document, Malformed>> {
    let first = chunk.lines().position(|text| {
        let text = text.trim();
        !(text.is_empty() || text.starts_with('#') || text.starts_with('%') || text == "...")
    })?;
    // JSON is YAML but for tabs and long keys; as JSON it is also read faster.
    if chunk.trim_start().starts_with('{')
        && let Ok(value) = serde_json::from_str(chunk)
    {
        return Some(Ok(Document { line: line + first, value: without_nulls(value) }));
    }
    let options = serde_saphyr::options! {
        budget: serde_saphyr::budget! { max_events: 100_000_000, max_nodes: 50_000_000 },
        // The booleans of YAML 1.2: a name or value that reads `on` or `y` is a text.
        strict_booleans: true,
        with_snippet: false,
    };
    Some(match serde_saphyr::from_str_with_options::<Value>(chunk, options) {
        Ok(value) => Ok(Document { line: line + first, value: without_nulls(value) }),
        Err(error) => Err(Malformed {
            line: error.location().map_or(line + first, |at| line + (at.line() as usize).saturating_sub(1)),
            // Without the parser's own line, which counts from the beginning of the document.
            message: serde_saphyr::UserMessageFormatter
                .format_message(error.without_snippet())
                .replace(char::is_control, "\u{fffd}"),
        }),
    })
}

fn without_nulls(value: Value) -> Value {
    match value {
        Value::Object(members) => Value::Object(
            members
                .into_iter()
                .filter(|(_, value)| !value.is_null())
                .map(|(name, value)| (name, without_nulls(value)))
                .collect(),
        ),
        Value::Array(items) => Value::Array(items.into_iter().map(without_nulls).collect()),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Vec<Result<(usize, Value), (usize, String)>> {
        documents(text)
            .into_iter()
            .map(|document| match document {
                Ok(document) => Ok((document.line, document.value)),
                Err(malformed) => Err((malformed.line, malformed.message)),
            })
            .collect()
    }

    #[test]
    fn a_file_holds_many_documents_and_each_knows_its_line() {
        let read = read("# head\na: 1\n---\n\n# only a comment\n---\nb: 2\n--- # c\nc: null\nd: 3\n");
        let lines: Vec<_> = read.iter().map(|d| d.as_ref().unwrap().0).collect();
        assert_eq!(lines, [2, 7, 9]);
        assert_eq!(read[2].as_ref().unwrap().1, serde_json::json!({"d": 3}));
    }

    #[test]
    fn a_broken_document_costs_only_itself_and_names_its_line() {
        let read = read("a: 1\n---\nb: [1\nc: 2\n---\nd: 4\n");
        assert!(read[0].is_ok());
        let (line, message) = read[1].as_ref().unwrap_err();
        assert!((3..=5).contains(line), "{line}");
        // The line is that of the file, and no other stands beside it.
        assert!(!message.is_empty() && !message.contains("line"), "{message}");
        assert!(read[2].is_ok());
    }

    #[test]
    fn json_with_tabs_is_read() {
        assert_eq!(read("{\n\t\"a\": [1]\n}\n")[0].as_ref().unwrap().1, serde_json::json!({"a": [1]}));
    }

    #[test]
    fn deep_nesting_is_refused_not_crashed_on() {
        assert!(read(&"[".repeat(100_000))[0].is_err());
        assert!(read(&format!("{{\"a\":{}", "[".repeat(100_000)))[0].is_err());
        let deep: String = (0..5000).map(|n| format!("{}a:\n", " ".repeat(n))).collect();
        assert!(read(&deep)[0].is_err());
    }
}
