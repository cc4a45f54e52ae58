//! JSON to protocol buffers: an Envoy resource, written as Envoy's documentation writes YAML (proto3 JSON with
//! `@type`), becomes the bytes that go over the wire. An unknown field or a wrong value is an error.

use envoy_types::pb::google::protobuf::Any;
use prost_reflect::{DescriptorPool, DynamicMessage};
use serde_json::Value;

use crate::render::Json;

const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/envoy.descriptors.bin"));

/// Knows the Envoy messages that we use.
#[derive(Clone, Debug)]
pub struct Encoder {
    pool: DescriptorPool,
}

/// A resource that is no message of Envoy's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("resource {resource:?}, field {field:?}: {message}")]
pub struct EncodeError {
    /// Name of the resource.
    pub resource: String,
    /// Path of the fault in its JSON; `.` for the resource as a whole.
    pub field: String,
    /// What is wrong.
    pub message: String,
}

impl Encoder {
    /// Reads the descriptors. They are made at build time, so this fails only when the build went wrong.
    pub fn new() -> anyhow::Result<Self> {
        Ok(Self { pool: DescriptorPool::decode(DESCRIPTORS)? })
    }

    /// The wire form of one resource with `@type`.
    pub fn encode(&self, resource: &str, json: &Json) -> Result<Any, EncodeError> {
        let fault =
            |field: String, message: String| EncodeError { resource: resource.to_owned(), field, message };
        let any = self
            .pool
            .get_message_by_name("google.protobuf.Any")
            .ok_or_else(|| fault(".".into(), "the descriptors lack google.protobuf.Any".into()))?;
        let mut track = serde_path_to_error::Track::new();
        let mut text = serde_json::Deserializer::from_str(json.text());
        let deserializer = serde_path_to_error::Deserializer::new(&mut text, &mut track);
        let message = DynamicMessage::deserialize(any, deserializer);
        let message = message.map_err(|error| fault(track.path().to_string(), error.to_string()))?;
        // The dynamic Any and the generated one are the same message: two fields, copied without a second encoding.
        let field = |name| message.get_field_by_name(name).map(std::borrow::Cow::into_owned);
        let (Some(prost_reflect::Value::String(type_url)), Some(prost_reflect::Value::Bytes(value))) =
            (field("type_url"), field("value"))
        else {
            return Err(fault(".".into(), "no @type".into()));
        };
        Ok(Any { type_url, value: value.to_vec() })
    }

    /// Decodes a resource to JSON; for messages and tests.
    pub fn decode(&self, any: &Any) -> anyhow::Result<Value> {
        let name = any.type_url.rsplit('/').next().unwrap_or_default();
        let descriptor =
            self.pool.get_message_by_name(name).ok_or_else(|| anyhow::anyhow!("unknown message {name:?}"))?;
        let message = DynamicMessage::decode(descriptor, any.value.as_slice())?;
        Ok(serde_json::to_value(&message)?)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn cluster() -> Value {
        json!({
            "@type": "type.googleapis.com/envoy.config.cluster.v3.Cluster",
            "name": "foo-ns/foo/8080",
            "type": "EDS",
            "connect_timeout": "5s",
        })
    }

    #[test]
    fn a_resource_survives_the_way_to_the_wire_and_back() {
        let encoder = Encoder::new().unwrap();
        let any = encoder.encode("foo", &cluster().into()).unwrap();
        assert_eq!(any.type_url, "type.googleapis.com/envoy.config.cluster.v3.Cluster");
        let back = encoder.decode(&any).unwrap();
        assert_eq!(back, json!({"name": "foo-ns/foo/8080", "type": "EDS", "connectTimeout": "5s"}));
    }

    #[test]
    fn a_message_inside_a_message_is_encoded() {
        let encoder = Encoder::new().unwrap();
        let json = json!({
            "@type": "type.googleapis.com/envoy.config.core.v3.TypedExtensionConfig",
            "name": "x",
            "typed_config": {"@type": "type.googleapis.com/google.protobuf.StringValue", "value": "{}"},
        });
        let any = encoder.encode("x", &json.clone().into()).unwrap();
        assert_eq!(encoder.decode(&any).unwrap()["typedConfig"], json["typed_config"]);
    }

    #[test]
    fn an_unknown_field_is_named_with_its_resource() {
        let encoder = Encoder::new().unwrap();
        let mut json = cluster();
        json["eds_cluster_config"] = json!({"eds_konfig": {}});
        let error = encoder.encode("foo-ns/foo/8080", &json.into()).unwrap_err();
        assert_eq!(error.resource, "foo-ns/foo/8080");
        assert_eq!(error.field, "eds_cluster_config");
        assert!(error.message.contains("eds_konfig"), "{error}");
    }

    #[test]
    fn a_wrong_value_is_an_error() {
        let encoder = Encoder::new().unwrap();
        for (field, value) in [
            ("connect_timeout", json!("soon")),
            ("type", json!("NEVER")),
            ("name", json!(7)),
            ("name", json!({})),
        ] {
            let mut json = cluster();
            json[field] = value;
            assert_eq!(encoder.encode("foo", &json.into()).unwrap_err().field, field);
        }
        assert!(
            encoder.encode("foo", &json!({"@type": "type.googleapis.com/no.such.Message"}).into()).is_err()
        );
        assert!(encoder.encode("foo", &json!({"name": "no type"}).into()).is_err());
    }
}
