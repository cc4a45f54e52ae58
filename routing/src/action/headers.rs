//! Header modifiers: which changes are sound, and the changes in their order.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde::Serialize;

use crate::config::{Header, HeaderModifier};
use crate::header_name;
use crate::problem::Problems;

/// One change of a header map. Names are in lower case.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "action", rename_all = "camelCase")]
pub enum HeaderEdit {
    /// The header gets this one value, whatever it had.
    Set {
        /// Name.
        name: Box<str>,
        /// Value.
        value: Box<str>,
    },
    /// The header gets this value behind what it had.
    Add {
        /// Name.
        name: Box<str>,
        /// Value.
        value: Box<str>,
    },
    /// The header goes away.
    Remove {
        /// Name.
        name: Box<str>,
    },
    /// Every header goes away whose name begins so. Of answers alone.
    RemovePrefix {
        /// Beginning of the name.
        prefix: Box<str>,
    },
}

/// Changes of a header map: the listener's, then the rule's, then the backend's, then those of CORS.
#[derive(Clone, Debug, Default)]
pub struct HeaderEdits<'t> {
    of_table: [Option<&'t Arc<[HeaderEdit]>>; 4],
    /// Those for this request alone.
    own: Option<Arc<[HeaderEdit]>>,
}

impl<'t> HeaderEdits<'t> {
    pub(crate) fn of(rule: Option<&'t Arc<[HeaderEdit]>>, backend: Option<&'t Arc<[HeaderEdit]>>) -> Self {
        Self { of_table: [None, rule, backend, None], own: None }
    }

    /// Those that a listener makes of every answer.
    pub(crate) fn of_listener(listener: Option<&'t Arc<[HeaderEdit]>>) -> Self {
        Self { of_table: [listener, None, None, None], own: None }
    }

    /// The same, after those of a listener.
    pub(crate) fn after(mut self, listener: Option<&'t Arc<[HeaderEdit]>>) -> Self {
        let [first, ..] = &mut self.of_table;
        *first = listener;
        self
    }

    /// The same, then these.
    pub(crate) fn then(mut self, shared: &'t Arc<[HeaderEdit]>, own: Option<Arc<[HeaderEdit]>>) -> Self {
        let [.., last] = &mut self.of_table;
        *last = Some(shared);
        self.own = own;
        self
    }

    /// Whether nothing changes.
    pub fn is_empty(&self) -> bool {
        self.iter().next().is_none()
    }

    /// The changes in the order in which they are made.
    pub fn iter(&self) -> impl Iterator<Item = &HeaderEdit> {
        self.lists().flat_map(|list| list.iter())
    }

    /// The same as lists that can be kept beyond the table, without copying.
    pub fn lists(&self) -> impl Iterator<Item = &Arc<[HeaderEdit]>> {
        self.of_table.iter().copied().flatten().chain(&self.own)
    }
}

/// Compiles a modifier. A name may have one action alone, without case (Gateway API `HTTPHeaderFilter`, whose lists
/// are maps by name).
pub(crate) fn compile(modifier: &HeaderModifier, problems: &mut Problems) -> Arc<[HeaderEdit]> {
    let mut seen = BTreeSet::new();
    let mut edits = Vec::new();
    let mut name = |path: String, text: &str, problems: &mut Problems| {
        let name = header_name::to_change(text).and_then(|name| {
            if seen.insert(name.clone()) { Ok(name) } else { Err(format!("\"{text}\" is changed twice")) }
        });
        name.map_err(|message| problems.add(path, message)).ok()
    };
    for (i, header) in modifier.set.iter().enumerate() {
        let named = name(format!("set[{i}].name"), &header.name, problems);
        if let (Some(name), Some(value)) = (named, value(format!("set[{i}].value"), header, problems)) {
            edits.push(HeaderEdit::Set { name, value });
        }
    }
    for (i, header) in modifier.add.iter().enumerate() {
        let named = name(format!("add[{i}].name"), &header.name, problems);
        if let (Some(name), Some(value)) = (named, value(format!("add[{i}].value"), header, problems)) {
            edits.push(HeaderEdit::Add { name, value });
        }
    }
    for (i, text) in modifier.remove.iter().enumerate() {
        if let Some(name) = name(format!("remove[{i}]"), text, problems) {
            edits.push(HeaderEdit::Remove { name });
        }
    }
    edits.into()
}

/// Compiles the `alt-svc` that a listener's answers get.
pub(crate) fn alt_svc(text: &str, problems: &mut Problems) -> Option<Arc<[HeaderEdit]>> {
    let value = checked("altSvc".to_owned(), text, problems)?;
    if value.is_empty() {
        problems.add("altSvc", "is empty; leave it out");
        return None;
    }
    Some([HeaderEdit::Set { name: "alt-svc".into(), value }].into())
}

fn value(path: String, header: &Header, problems: &mut Problems) -> Option<Box<str>> {
    checked(path, &header.value, problems)
}

/// Spaces around a value are no part of it (RFC 9110, 5.5); HTTP/2 refuses messages that have them.
fn checked(path: String, value: &str, problems: &mut Problems) -> Option<Box<str>> {
    let visible = |byte: u8| matches!(byte, b'\t' | b' '..=b'~');
    if value.bytes().all(visible) {
        return Some(value.trim_matches([' ', '\t']).into());
    }
    problems.add(path, format!("{value:?} has characters other than visible ASCII, spaces and tabs"));
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn compiled(json: &str) -> Result<Vec<HeaderEdit>, Vec<String>> {
        let mut problems = Problems::default();
        let edits = compile(&serde_json::from_str(json).unwrap(), &mut problems);
        let problems = problems.into_vec();
        if problems.is_empty() {
            Ok(edits.to_vec())
        } else {
            Err(problems.iter().map(ToString::to_string).collect())
        }
    }

    #[test]
    fn names_lose_their_case_and_values_their_margins() {
        let edits = compiled(
            r#"{"set": [{"name": "X-A", "value": " a\tb "}], "add": [{"name": "x-b", "value": ""}], "remove": ["X-C"]}"#,
        );
        let expected = vec![
            HeaderEdit::Set { name: "x-a".into(), value: "a\tb".into() },
            HeaderEdit::Add { name: "x-b".into(), value: "".into() },
            HeaderEdit::Remove { name: "x-c".into() },
        ];
        assert_eq!(edits, Ok(expected));
    }

    #[test]
    fn some_names_are_not_for_routes() {
        for name in [
            "",
            "a b",
            "a:",
            ":path",
            "Host",
            "X-GW-Cluster",
            "x-envoy-max-retries",
            "TE",
            "Content-Length",
            "é",
        ] {
            let faults = compiled(&format!(r#"{{"remove": ["{name}"]}}"#)).unwrap_err();
            assert!(faults[0].starts_with(&format!("remove[0]: \"{name}\" ")), "{faults:?}");
            let header = format!(r#"{{"name": "{name}", "value": "v"}}"#);
            assert!(compiled(&format!(r#"{{"set": [{header}]}}"#)).is_err(), "{name}");
            assert!(compiled(&format!(r#"{{"add": [{header}]}}"#)).is_err(), "{name}");
        }
    }

    #[test]
    fn a_value_has_no_line_breaks_and_no_other_bytes() {
        for value in [r"a\r\nb: c", r"a\nb", r"\u0000", r"\u007f", "é"] {
            let faults =
                compiled(&format!(r#"{{"add": [{{"name": "a", "value": "{value}"}}]}}"#)).unwrap_err();
            assert!(faults[0].starts_with("add[0].value: "), "{faults:?}");
        }
    }

    #[test]
    fn a_name_has_one_action() {
        let faults = compiled(
            r#"{"set": [{"name": "A", "value": "1"}], "add": [{"name": "a", "value": "2"}], "remove": ["b", "B"]}"#,
        );
        assert_eq!(
            faults,
            Err(vec![
                "add[0].name: \"a\" is changed twice".to_owned(),
                "remove[1]: \"B\" is changed twice".to_owned()
            ])
        );
    }
}
