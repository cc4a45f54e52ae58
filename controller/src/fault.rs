//! One thing that is wrong with one field of an object: the common source of a refusal, of a condition's message and of
//! the problem that `check` prints.

use crate::object::ObjectRef;
use crate::problem::{Place, Problem, Severity};

/// A fault without the object it is in.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Fault {
    /// `spec.rules[0].backendRefs[1]`.
    pub field: String,
    /// Reason of the condition that it leads to, or another stable CamelCase name of the kind of fault.
    pub reason: &'static str,
    /// What is wrong and what to do.
    pub message: String,
}

impl Fault {
    /// A fault at `field`.
    pub(crate) fn new(field: impl Into<String>, reason: &'static str, message: impl Into<String>) -> Self {
        Self { field: field.into(), reason, message: message.into() }
    }

    /// A value that the CRDs do not allow.
    pub(crate) fn invalid(field: impl Into<String>, message: impl Into<String>) -> Self {
        Self::new(field, "InvalidValue", message)
    }

    /// As a problem of `object`.
    pub(crate) fn problem(&self, object: &ObjectRef, severity: Severity) -> Problem {
        Problem {
            place: Place::Object(object.clone()),
            field: self.field.clone(),
            severity,
            reason: self.reason.to_owned(),
            message: self.message.clone(),
        }
    }
}

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.field, self.message)
    }
}

/// Words of serde or of the routing engine, which begin in lower case and have no full stop, as a sentence.
pub(crate) fn sentence(message: &str) -> String {
    let mut letters = message.chars();
    match letters.next() {
        Some(first) => format!("{}{}.", first.to_uppercase(), letters.as_str()),
        None => "This value is not valid.".to_owned(),
    }
}
