//! A thing that is wrong in the user's input. Data, not an error: the rest goes on working.

use crate::object::ObjectRef;

/// How bad a [`Problem`] is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
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
