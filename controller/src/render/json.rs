//! JSON that is made once and handed around: by the renderer, through bundles and ConfigMaps, to the ADS server. It is
//! shared and compared as text, so that thousands of resources that stay as they are cost next to nothing.

use std::sync::Arc;

use serde::{Deserialize, Deserializer};
use serde_json::Value;

/// The text of one JSON value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Json(Arc<str>);

impl Json {
    /// The text.
    pub fn text(&self) -> &str {
        &self.0
    }

    /// The value that the text stands for.
    pub fn value(&self) -> Value {
        // It was made of a value, or read as one.
        serde_json::from_str(&self.0).unwrap_or_default()
    }
}

impl From<Value> for Json {
    fn from(value: Value) -> Self {
        Self(value.to_string().into())
    }
}

impl From<String> for Json {
    /// Of a text that is known to be JSON.
    fn from(text: String) -> Self {
        Self(text.into())
    }
}

impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Value::deserialize(deserializer).map(Self::from)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_value_is_the_same_after_it_was_text() {
        let value = json!({"name": "x\n\"y\"", "list": [1, null, {}]});
        let json = Json::from(value.clone());
        assert_eq!(json.value(), value);
        let within: Vec<Json> = serde_json::from_str(&format!("[ {} ,1]", json.text())).unwrap();
        assert_eq!(within, [json, Json::from(json!(1))]);
    }
}
