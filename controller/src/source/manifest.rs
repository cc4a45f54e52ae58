//! One document into one typed object. A manifest is held to what a Kubernetes API server with strict validation would
//! take: unknown fields, wrong types and missing required fields are refused, and named with their path and value. From
//! an object that an API server holds, only what is known here is taken: its CRDs may be newer.

use std::sync::Arc;

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Secret, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::validate;
use crate::api::{
    BackendTlsPolicy, GROUP, Gateway, GatewayClass, GrpcRoute, HttpRoute, ListenerSet, ReferenceGrant,
    TcpRoute, TlsRoute, UdpRoute, is_dns_name,
};
use crate::authority;
use crate::certificate;
use crate::fault::{Fault, sentence};
use crate::object::{ObjectKey, ObjectRef};
use crate::snapshot::Snapshot;

/// An object of a kind that gatewasm reads.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Manifest {
    GatewayClass(Arc<GatewayClass>),
    Gateway(Arc<Gateway>),
    ListenerSet(Arc<ListenerSet>),
    HttpRoute(Arc<HttpRoute>),
    GrpcRoute(Arc<GrpcRoute>),
    TlsRoute(Arc<TlsRoute>),
    TcpRoute(Arc<TcpRoute>),
    UdpRoute(Arc<UdpRoute>),
    BackendTlsPolicy(Arc<BackendTlsPolicy>),
    ReferenceGrant(Arc<ReferenceGrant>),
    Service(Arc<Service>),
    EndpointSlice(Arc<EndpointSlice>),
    Namespace(Arc<Namespace>),
    Secret(Arc<Secret>),
    ConfigMap(Arc<ConfigMap>),
}

impl Manifest {
    /// This manifest as the successor of `known`.
    ///
    /// # Errors
    ///
    /// When a certificate that was sound, a listener's or an authority's, is not any more. An API server would take it
    /// and what needs it would go, but a gateway that is running keeps what it serves.
    pub(super) fn after(self, known: Option<&Self>) -> Result<Self, Vec<Fault>> {
        let fault = match (&self, known) {
            (Self::Secret(new), Some(Self::Secret(old))) => certificate::read(new)
                .err()
                .filter(|_| certificate::read(old).is_ok())
                .map(|why| Fault::new("data", "InvalidCertificate", format!("The Secret {why}."))),
            (Self::ConfigMap(new), Some(Self::ConfigMap(old))) => authority::read(new)
                .err()
                .filter(|_| authority::read(old).is_ok())
                .map(|why| Fault::new("data", "InvalidCACertificate", format!("The ConfigMap {why}."))),
            _ => None,
        };
        fault.map_or(Ok(self), |fault| Err(vec![fault]))
    }
}

/// What a document turned out to be.
pub(crate) enum Read {
    /// An object of a kind that is read: its identity, and itself unless it is refused.
    Object(ObjectRef, Result<Manifest, Vec<Fault>>),
    /// An object of another kind: `apiVersion`, `kind`, and its identity if it has a name.
    Other(String, String, Option<ObjectRef>),
    /// Not an object at all, or one without a name.
    Nothing(String),
}

/// The members of a `List`, or the document itself.
pub(super) fn flatten(value: Value) -> Vec<Value> {
    match value {
        Value::Object(mut members)
            if members.get("kind").is_some_and(|kind| kind == "List")
                && members.get("items").is_some_and(Value::is_array) =>
        {
            match members.remove("items") {
                Some(Value::Array(items)) => items.into_iter().flat_map(flatten).collect(),
                _ => Vec::new(),
            }
        }
        other => vec![other],
    }
}

/// What becomes of fields that a type does not have.
#[derive(Clone, Copy)]
enum Unknown {
    Refused,
    Ignored,
}

/// Reads one document of a manifest.
pub(super) fn read(value: Value) -> Read {
    read_with(value, Unknown::Refused)
}

/// Reads one object that an API server holds.
pub(crate) fn read_served(value: Value) -> Read {
    read_with(value, Unknown::Ignored)
}

fn read_with(value: Value, unknown: Unknown) -> Read {
    let text = |path: &str| value.pointer(path).and_then(Value::as_str);
    let (Some(api_version), Some(kind)) = (text("/apiVersion"), text("/kind")) else {
        return Read::Nothing("This is no Kubernetes object: it has no apiVersion and kind.".to_owned());
    };
    let Some(name) = text("/metadata/name") else {
        if is_read(api_version, kind) {
            return Read::Nothing(format!("This {kind} has no metadata.name."));
        }
        return Read::Other(api_version.to_owned(), kind.to_owned(), None);
    };
    let cluster_scoped = matches!(kind, "GatewayClass" | "Namespace");
    let namespace = text("/metadata/namespace").unwrap_or("default");
    let object = if cluster_scoped {
        ObjectRef::cluster(kind, name)
    } else {
        ObjectRef::namespaced(kind, &ObjectKey::new(namespace, name))
    };
    if !is_read(api_version, kind) {
        return Read::Other(api_version.to_owned(), kind.to_owned(), Some(object));
    }
    let read = match kind {
        "GatewayClass" => gateway_api(value, unknown, validate::gateway_class).map(Manifest::GatewayClass),
        "Gateway" => gateway_api(value, unknown, validate::gateway).map(Manifest::Gateway),
        "ListenerSet" => gateway_api(value, unknown, validate::listener_set).map(Manifest::ListenerSet),
        "HTTPRoute" => gateway_api(value, unknown, validate::http_route).map(Manifest::HttpRoute),
        "GRPCRoute" => gateway_api(value, unknown, validate::grpc_route).map(Manifest::GrpcRoute),
        "TLSRoute" => gateway_api(value, unknown, validate::tls_route).map(Manifest::TlsRoute),
        "TCPRoute" => gateway_api(value, unknown, validate::stream_route).map(Manifest::TcpRoute),
        "UDPRoute" => gateway_api(value, unknown, validate::stream_route).map(Manifest::UdpRoute),
        "BackendTLSPolicy" => {
            gateway_api(value, unknown, validate::backend_tls_policy).map(Manifest::BackendTlsPolicy)
        }
        "ReferenceGrant" => {
            gateway_api(value, unknown, validate::reference_grant).map(Manifest::ReferenceGrant)
        }
        "Service" => core(value, unknown).map(Manifest::Service),
        "EndpointSlice" => core(value, unknown).map(Manifest::EndpointSlice),
        "Namespace" => core(value, unknown).map(Manifest::Namespace),
        "ConfigMap" => core(value, unknown).map(Manifest::ConfigMap),
        _ => secret(value, unknown).map(Manifest::Secret),
    };
    let read = check_names(&object).and(read);
    Read::Object(object, read)
}

/// Whether objects of this kind are read: of the Gateway API in every version that v1.6.1 serves.
fn is_read(api_version: &str, kind: &str) -> bool {
    match api_version {
        "v1" => matches!(kind, "Service" | "Namespace" | "Secret" | "ConfigMap"),
        "discovery.k8s.io/v1" => kind == "EndpointSlice",
        _ => match api_version.split_once('/') {
            Some((GROUP, "v1")) if matches!(kind, "GRPCRoute" | "ListenerSet" | "BackendTLSPolicy") => true,
            Some((GROUP, "v1" | "v1alpha2")) if matches!(kind, "TCPRoute" | "UDPRoute") => true,
            Some((GROUP, "v1" | "v1alpha2" | "v1alpha3")) if kind == "TLSRoute" => true,
            Some((GROUP, "v1" | "v1beta1")) => {
                matches!(kind, "GatewayClass" | "Gateway" | "HTTPRoute" | "ReferenceGrant")
            }
            _ => false,
        },
    }
}

/// Names of objects become parts of names in Envoy, with `/` between them.
fn check_names(object: &ObjectRef) -> Result<(), Vec<Fault>> {
    let mut faults = Vec::new();
    if object.name.len() > 253 || !is_dns_name(&object.name) {
        faults.push(Fault::invalid("metadata.name", format!("{:?} is not a valid name.", object.name)));
    }
    if let Some(namespace) = &object.namespace
        && (namespace.len() > 63 || namespace.contains('.') || !is_dns_name(namespace))
    {
        faults.push(Fault::invalid("metadata.namespace", format!("{namespace:?} is not a valid namespace.")));
    }
    if faults.is_empty() { Ok(()) } else { Err(faults) }
}

fn gateway_api<T: DeserializeOwned>(
    mut value: Value,
    unknown: Unknown,
    validate: fn(&T) -> Vec<Fault>,
) -> Result<Arc<T>, Vec<Fault>> {
    if let Value::Object(members) = &mut value {
        members.retain(|name, _| !matches!(name.as_str(), "apiVersion" | "kind" | "status"));
    }
    let object: T = typed(&value, unknown)?;
    let faults = validate(&object);
    if faults.is_empty() { Ok(Arc::new(object)) } else { Err(faults) }
}

fn core<T: DeserializeOwned>(value: Value, unknown: Unknown) -> Result<Arc<T>, Vec<Fault>> {
    typed(&value, unknown).map(Arc::new)
}

/// A Secret: `stringData` goes into `data`, as the API server does. No message holds a value.
fn secret(value: Value, unknown: Unknown) -> Result<Arc<Secret>, Vec<Fault>> {
    let mut secret: Secret = typed(&value, unknown).map_err(|faults| {
        faults
            .into_iter()
            .map(|fault| Fault {
                message: "This is not a valid value (it is not shown here).".to_owned(),
                ..fault
            })
            .collect::<Vec<_>>()
    })?;
    for (name, text) in secret.string_data.take().unwrap_or_default() {
        secret.data.get_or_insert_default().insert(name, ByteString(text.into_bytes()));
    }
    Ok(Arc::new(secret))
}

fn typed<T: DeserializeOwned>(value: &Value, unknown: Unknown) -> Result<T, Vec<Fault>> {
    match unknown {
        Unknown::Refused => strict(value),
        Unknown::Ignored => serde_path_to_error::deserialize(value).map_err(|error| vec![refusal(&error)]),
    }
}

/// Deserializes, and refuses fields that the type does not have.
fn strict<T: DeserializeOwned>(value: &Value) -> Result<T, Vec<Fault>> {
    let mut unknown = Vec::new();
    let mut note = |path: serde_ignored::Path<'_>| unknown.push(field_path(&path));
    let object = serde_path_to_error::deserialize(serde_ignored::Deserializer::new(value, &mut note));
    let mut faults: Vec<Fault> = unknown
        .into_iter()
        .map(|(field, pointer)| {
            let shown = value.pointer(&pointer).map(shown).unwrap_or_default();
            Fault::new(field, "UnknownField", format!("There is no such field (value {shown})."))
        })
        .collect();
    match object {
        Ok(object) if faults.is_empty() => Ok(object),
        Ok(_) => Err(faults),
        Err(error) => {
            faults.push(refusal(&error));
            Err(faults)
        }
    }
}

/// serde's error as a fault. A missing field is named itself, not its parent.
fn refusal(error: &serde_path_to_error::Error<serde_json::Error>) -> Fault {
    let parent = error.path().to_string();
    let parent = if parent == "." { "" } else { parent.as_str() };
    let message = error.inner().to_string();
    match message.strip_prefix("missing field `").and_then(|rest| rest.strip_suffix('`')) {
        Some(name) => {
            let field = if parent.is_empty() { name.to_owned() } else { format!("{parent}.{name}") };
            Fault::new(field, "MissingField", "This field is required.")
        }
        None => Fault::invalid(parent, sentence(&message)),
    }
}

/// A path of serde_ignored as `spec.rules[0].name` and as a JSON pointer.
fn field_path(path: &serde_ignored::Path<'_>) -> (String, String) {
    use serde_ignored::Path;
    match path {
        Path::Root => (String::new(), String::new()),
        Path::Seq { parent, index } => {
            let (field, pointer) = field_path(parent);
            (format!("{field}[{index}]"), format!("{pointer}/{index}"))
        }
        Path::Map { parent, key } => {
            let (field, pointer) = field_path(parent);
            let field = if field.is_empty() { key.clone() } else { format!("{field}.{key}") };
            (field, format!("{pointer}/{}", key.replace('~', "~0").replace('/', "~1")))
        }
        Path::Some { parent } | Path::NewtypeStruct { parent } | Path::NewtypeVariant { parent } => {
            field_path(parent)
        }
    }
}

/// A value as a message shows it: its JSON, cut where it is long.
fn shown(value: &Value) -> String {
    let text = value.to_string();
    match text.char_indices().nth(80) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

impl Manifest {
    /// Puts the object into a snapshot.
    pub(crate) fn insert(self, object: &ObjectRef, snapshot: &mut Snapshot) {
        let (name, key) = (object.name.clone(), key(object));
        match self {
            Self::GatewayClass(class) => drop(snapshot.gateway_classes.insert(name, class)),
            Self::Gateway(gateway) => drop(snapshot.gateways.insert(key, gateway)),
            Self::ListenerSet(set) => drop(snapshot.listener_sets.insert(key, set)),
            Self::HttpRoute(route) => drop(snapshot.http_routes.insert(key, route)),
            Self::GrpcRoute(route) => drop(snapshot.grpc_routes.insert(key, route)),
            Self::TlsRoute(route) => drop(snapshot.tls_routes.insert(key, route)),
            Self::TcpRoute(route) => drop(snapshot.tcp_routes.insert(key, route)),
            Self::UdpRoute(route) => drop(snapshot.udp_routes.insert(key, route)),
            Self::BackendTlsPolicy(policy) => drop(snapshot.backend_tls_policies.insert(key, policy)),
            Self::ReferenceGrant(grant) => drop(snapshot.reference_grants.insert(key, grant)),
            Self::Service(service) => drop(snapshot.services.insert(key, service)),
            Self::EndpointSlice(slice) => drop(snapshot.endpoint_slices.insert(key, slice)),
            Self::Namespace(namespace) => drop(snapshot.namespaces.insert(name, namespace)),
            Self::Secret(secret) => drop(snapshot.secrets.insert(key, secret)),
            Self::ConfigMap(map) => drop(snapshot.config_maps.insert(key, map)),
        }
    }

    /// Whether a snapshot has this very object.
    pub(crate) fn is_in(&self, object: &ObjectRef, snapshot: &Snapshot) -> bool {
        let (name, key) = (&object.name, key(object));
        match self {
            Self::GatewayClass(class) => snapshot.gateway_classes.get(name) == Some(class),
            Self::Gateway(gateway) => snapshot.gateways.get(&key) == Some(gateway),
            Self::ListenerSet(set) => snapshot.listener_sets.get(&key) == Some(set),
            Self::HttpRoute(route) => snapshot.http_routes.get(&key) == Some(route),
            Self::GrpcRoute(route) => snapshot.grpc_routes.get(&key) == Some(route),
            Self::TlsRoute(route) => snapshot.tls_routes.get(&key) == Some(route),
            Self::TcpRoute(route) => snapshot.tcp_routes.get(&key) == Some(route),
            Self::UdpRoute(route) => snapshot.udp_routes.get(&key) == Some(route),
            Self::BackendTlsPolicy(policy) => snapshot.backend_tls_policies.get(&key) == Some(policy),
            Self::ReferenceGrant(grant) => snapshot.reference_grants.get(&key) == Some(grant),
            Self::Service(service) => snapshot.services.get(&key) == Some(service),
            Self::EndpointSlice(slice) => snapshot.endpoint_slices.get(&key) == Some(slice),
            Self::Namespace(namespace) => snapshot.namespaces.get(name) == Some(namespace),
            Self::Secret(secret) => snapshot.secrets.get(&key) == Some(secret),
            Self::ConfigMap(map) => snapshot.config_maps.get(&key) == Some(map),
        }
    }
}

/// Takes an object of a kind that is read out of a snapshot. Whether it was there.
pub(crate) fn remove(object: &ObjectRef, snapshot: &mut Snapshot) -> bool {
    let (name, key) = (&object.name, key(object));
    match object.kind.as_str() {
        "GatewayClass" => snapshot.gateway_classes.remove(name).is_some(),
        "Gateway" => snapshot.gateways.remove(&key).is_some(),
        "ListenerSet" => snapshot.listener_sets.remove(&key).is_some(),
        "HTTPRoute" => snapshot.http_routes.remove(&key).is_some(),
        "GRPCRoute" => snapshot.grpc_routes.remove(&key).is_some(),
        "TLSRoute" => snapshot.tls_routes.remove(&key).is_some(),
        "TCPRoute" => snapshot.tcp_routes.remove(&key).is_some(),
        "UDPRoute" => snapshot.udp_routes.remove(&key).is_some(),
        "BackendTLSPolicy" => snapshot.backend_tls_policies.remove(&key).is_some(),
        "ReferenceGrant" => snapshot.reference_grants.remove(&key).is_some(),
        "Service" => snapshot.services.remove(&key).is_some(),
        "EndpointSlice" => snapshot.endpoint_slices.remove(&key).is_some(),
        "Namespace" => snapshot.namespaces.remove(name).is_some(),
        "Secret" => snapshot.secrets.remove(&key).is_some(),
        "ConfigMap" => snapshot.config_maps.remove(&key).is_some(),
        _ => false,
    }
}

fn key(object: &ObjectRef) -> ObjectKey {
    ObjectKey::new(object.namespace.clone().unwrap_or_default(), object.name.clone())
}
