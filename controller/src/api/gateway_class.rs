//! `GatewayClass` (apis/v1/gatewayclass_types.go).

use serde::Deserialize;

use super::ObjectReference;

/// `GatewayClassSpec`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GatewayClassSpec {
    /// Whose class this is, `domain/path`.
    pub controller_name: String,
    /// Configuration of the controller for this class.
    pub parameters_ref: Option<ObjectReference>,
    /// For people.
    pub description: Option<String>,
}
