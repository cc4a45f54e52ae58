//! `ListenerSet` (apis/v1/listenerset_types.go).

use serde::Deserialize;

use super::{GROUP, Listener};

/// `ListenerSetSpec`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ListenerSetSpec {
    /// The Gateway that gets the listeners.
    pub parent_ref: ParentGatewayReference,
    /// The listeners (`ListenerEntry`).
    pub listeners: Vec<Listener>,
}

/// `ParentGatewayReference`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ParentGatewayReference {
    /// API group of the parent.
    #[serde(default = "gateway_group")]
    pub group: String,
    /// Kind of the parent.
    #[serde(default = "gateway_kind")]
    pub kind: String,
    /// Name.
    pub name: String,
    /// Namespace; the ListenerSet's own where absent.
    pub namespace: Option<String>,
}

fn gateway_group() -> String {
    GROUP.to_owned()
}

fn gateway_kind() -> String {
    "Gateway".to_owned()
}
