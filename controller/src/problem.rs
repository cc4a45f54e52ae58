//! A thing that is wrong in the user's input. Data, not an error: the rest goes on working.

use std::fmt;

use serde::Serialize;
use serde::ser::SerializeStruct as _;

use crate::object::ObjectRef;

/// How bad a [`Problem`] is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Something asked for is not in effect.
    Error,
    /// Everything is in effect, but probably not as meant.
    Warning,
}

/// Where the faulty input is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Place {
    /// A Kubernetes object.
    Object(ObjectRef),
    /// A file that could not be read as Kubernetes objects: its path and, where known, the line (1-based).
    File {
        /// Path as given or found; `-` for standard input.
        path: String,
        /// Line, from 1.
        line: Option<usize>,
    },
}

/// One fault: the object, the field, what is wrong with its value, and the way out.
///
/// Message grammar: what is wrong, with the value quoted; what to do, if not obvious. A full sentence, no field path
/// in front (the printer puts it there).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Problem {
    /// The object or file.
    pub place: Place,
    /// Field path within the object, `spec.rules[0].matches[0].path.value`; empty for the object as a whole.
    pub field: String,
    /// Error or warning.
    pub severity: Severity,
    /// Stable CamelCase name of the kind of fault; a Gateway API condition reason where there is one.
    pub reason: String,
    /// What is wrong and what to do.
    pub message: String,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Error => "error",
            Self::Warning => "warning",
        })
    }
}

impl fmt::Display for Place {
    /// `HTTPRoute default/web`, `manifests/web.yaml:12`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Object(object) => object.fmt(f),
            Self::File { path, line: Some(line) } => write!(f, "{path}:{line}"),
            Self::File { path, line: None } => f.write_str(path),
        }
    }
}

impl Serialize for Problem {
    /// Flat: `object` (`kind`, `namespace`, `name`) or `file` and `line`, then `field`, `severity`, `reason`,
    /// `message`.
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Object<'a> {
            kind: &'a str,
            #[serde(skip_serializing_if = "Option::is_none")]
            namespace: Option<&'a str>,
            name: &'a str,
        }
        let mut fields = serializer.serialize_struct("Problem", 6)?;
        match &self.place {
            Place::Object(ObjectRef { kind, namespace, name }) => {
                fields.serialize_field("object", &Object { kind, namespace: namespace.as_deref(), name })?;
            }
            Place::File { path, line } => {
                fields.serialize_field("file", path)?;
                if let Some(line) = line {
                    fields.serialize_field("line", line)?;
                }
            }
        }
        if !self.field.is_empty() {
            fields.serialize_field("field", &self.field)?;
        }
        fields.serialize_field("severity", &self.severity)?;
        fields.serialize_field("reason", &self.reason)?;
        fields.serialize_field("message", &self.message)?;
        fields.end()
    }
}

/// Problems as people read them: grouped by place, columns aligned, a summary at the end. `objects` is how many
/// objects were looked at.
///
/// ```text
/// HTTPRoute default/web
///   error    spec.rules[0].backendRefs[1]  BackendNotFound  Service "default/api" does not exist.
/// 1 error in 14 objects
/// ```
pub fn print(problems: &[Problem], objects: usize) -> String {
    let mut sorted: Vec<&Problem> = problems.iter().collect();
    sorted.sort();
    sorted.dedup();
    let mut text = String::new();
    for group in sorted.chunk_by(|a, b| a.place == b.place) {
        let width =
            |column: fn(&Problem) -> &str| group.iter().map(|p| column(p).chars().count()).max().unwrap_or(0);
        let (field, reason) = (width(|p| &p.field), width(|p| &p.reason));
        if let Some(first) = group.first() {
            text += &format!("{}\n", first.place);
        }
        for problem in group {
            // A message of several lines stays in its column.
            let indent = 2 + 7 + 2 + if field == 0 { 0 } else { field + 2 } + reason + 2;
            let message = problem.message.replace('\n', &format!("\n{:indent$}", ""));
            let its_field = if field == 0 { String::new() } else { format!("{:field$}  ", problem.field) };
            text += &format!("  {:7}  {its_field}{:reason$}  {message}\n", problem.severity, problem.reason);
        }
    }
    text + &summary(&sorted, objects)
}

/// `1 error, 2 warnings in 14 objects`.
fn summary(problems: &[&Problem], objects: usize) -> String {
    let plural = |count: usize, word: &str| format!("{count} {word}{}", if count == 1 { "" } else { "s" });
    let count = |severity: Severity| problems.iter().filter(|problem| problem.severity == severity).count();
    let found: Vec<String> = [(count(Severity::Error), "error"), (count(Severity::Warning), "warning")]
        .into_iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, word)| plural(count, word))
        .collect();
    let found = if found.is_empty() { "No problems".to_owned() } else { found.join(", ") };
    format!("{found} in {}\n", plural(objects, "object"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(place: Place, field: &str, severity: Severity, message: &str) -> Problem {
        let (field, reason, message) = (field.to_owned(), "Reason".to_owned(), message.to_owned());
        Problem { place, field, severity, reason, message }
    }

    #[test]
    fn problems_are_grouped_and_aligned() {
        let route = Place::Object(ObjectRef {
            kind: "HTTPRoute".to_owned(),
            namespace: Some("default".to_owned()),
            name: "web".to_owned(),
        });
        let file = Place::File { path: "a.yaml".to_owned(), line: Some(3) };
        let problems = [
            problem(file, "", Severity::Error, "Broken."),
            problem(route.clone(), "spec.rules[0]", Severity::Warning, "One\ntwo."),
            problem(route, "spec", Severity::Error, "Three."),
        ];
        let expected = "HTTPRoute default/web\n  \
                        error    spec           Reason  Three.\n  \
                        warning  spec.rules[0]  Reason  One\n                                  two.\n\
                        a.yaml:3\n  \
                        error    Reason  Broken.\n\
                        2 errors, 1 warning in 14 objects\n";
        assert_eq!(print(&problems, 14), expected);
        assert_eq!(print(&[], 1), "No problems in 1 object\n");
    }

    #[test]
    fn json_is_flat() {
        let place = Place::File { path: "a.yaml".to_owned(), line: None };
        let json = serde_json::to_value(problem(place, "", Severity::Error, "Broken.")).unwrap();
        let expected = serde_json::json!({"file": "a.yaml", "severity": "error", "reason": "Reason", "message": "Broken."});
        assert_eq!(json, expected);
    }
}
