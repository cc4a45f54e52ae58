//! The text of a part, with its hash.

use std::ops::Deref;
use std::sync::Arc;

use super::sha256;

/// A part as it stands in its ConfigMap or Secret. Shared; it is hashed once, when it is made or read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Text {
    hash: Arc<str>,
    text: Arc<str>,
}

impl Text {
    /// SHA-256, in hexadecimal digits.
    pub(super) fn hash(&self) -> &str {
        &self.hash
    }

    /// Whether it is the very same, or one with the same content.
    pub(super) fn is(&self, other: &Self) -> bool {
        self.hash == other.hash
    }
}

impl<T: Into<Arc<str>>> From<T> for Text {
    fn from(text: T) -> Self {
        let text = text.into();
        Self { hash: sha256(&text).into(), text }
    }
}

impl Deref for Text {
    type Target = str;

    fn deref(&self) -> &str {
        &self.text
    }
}
