//! What is watched: the kinds, in which version, and which of their objects.

use std::collections::BTreeSet;
use std::fmt;

use kube::api::{ApiResource, GroupVersionKind};

use super::crds::Crds;
use super::referenced::Referenced;
use crate::api::GROUP;
use crate::object::ObjectKey;
use crate::provision::labels::{GATEWASM, GATEWAY_NAME, MANAGED_BY};

/// One kind of the API.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Kind {
    pub(super) name: &'static str,
    pub(super) plural: &'static str,
    pub(super) group: &'static str,
    /// The versions that are read, the best first.
    pub(super) versions: &'static [&'static str],
}

impl Kind {
    const fn new(
        name: &'static str,
        plural: &'static str,
        group: &'static str,
        versions: &'static [&'static str],
    ) -> Self {
        Self { name, plural, group, versions }
    }
}

/// Kinds that are there when their CRDs are.
pub(super) static GATEWAY_API: [Kind; 10] = [
    Kind::new("GatewayClass", "gatewayclasses", GROUP, &["v1", "v1beta1"]),
    Kind::new("Gateway", "gateways", GROUP, &["v1", "v1beta1"]),
    Kind::new("ListenerSet", "listenersets", GROUP, &["v1"]),
    Kind::new("HTTPRoute", "httproutes", GROUP, &["v1", "v1beta1"]),
    Kind::new("GRPCRoute", "grpcroutes", GROUP, &["v1"]),
    Kind::new("TLSRoute", "tlsroutes", GROUP, &["v1"]),
    Kind::new("TCPRoute", "tcproutes", GROUP, &["v1"]),
    Kind::new("UDPRoute", "udproutes", GROUP, &["v1"]),
    Kind::new("BackendTLSPolicy", "backendtlspolicies", GROUP, &["v1"]),
    Kind::new("ReferenceGrant", "referencegrants", GROUP, &["v1", "v1beta1"]),
];

/// Kinds that are always there, and translated.
static CORE: [Kind; 3] = [
    Kind::new("Service", "services", "", &["v1"]),
    Kind::new("EndpointSlice", "endpointslices", "discovery.k8s.io", &["v1"]),
    Kind::new("Namespace", "namespaces", "", &["v1"]),
];

static SECRET: Kind = Kind::new("Secret", "secrets", "", &["v1"]);
static CONFIG_MAP: Kind = Kind::new("ConfigMap", "configmaps", "", &["v1"]);
static POD: Kind = Kind::new("Pod", "pods", "", &["v1"]);
static CRD: Kind =
    Kind::new("CustomResourceDefinition", "customresourcedefinitions", "apiextensions.k8s.io", &["v1"]);

static OWN_DEPLOYMENTS: Kind = Kind::new("Deployment", "deployments", "apps", &["v1"]);
static OWN_SERVICES: Kind = Kind::new("Service", "services", "", &["v1"]);
/// Kinds of our own objects of which the metadata says enough.
static OWN_OTHERS: [Kind; 6] = [
    Kind::new("ConfigMap", "configmaps", "", &["v1"]),
    Kind::new("PodDisruptionBudget", "poddisruptionbudgets", "policy", &["v1"]),
    Kind::new("Role", "roles", "rbac.authorization.k8s.io", &["v1"]),
    Kind::new("RoleBinding", "rolebindings", "rbac.authorization.k8s.io", &["v1"]),
    Kind::new("Secret", "secrets", "", &["v1"]),
    Kind::new("ServiceAccount", "serviceaccounts", "", &["v1"]),
];

/// Which objects of a kind, and what for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Which {
    /// All of them, to be translated.
    All,
    /// One that another object refers to, to be translated.
    Referenced(ObjectKey),
    /// The CRD of this kind of the Gateway API.
    CrdOf(&'static Kind),
    /// Those that gatewasm made, whole.
    Own,
    /// The metadata of those that gatewasm made.
    OwnMetadata,
    /// Pods of data planes.
    DataPlane,
}

/// One watch of the API server.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Watch {
    pub(super) kind: &'static Kind,
    pub(super) version: &'static str,
    pub(super) which: Which,
}

impl Watch {
    fn best(kind: &'static Kind, which: Which) -> Self {
        Self { kind, version: kind.versions.first().copied().unwrap_or_default(), which }
    }

    pub(super) fn api_resource(&self) -> ApiResource {
        let kind = GroupVersionKind::gvk(self.kind.group, self.version, self.kind.name);
        ApiResource::from_gvk_with_plural(&kind, self.kind.plural)
    }

    /// Selects the objects that gatewasm made for Gateways, and the pods of data planes.
    pub(super) fn label_selector(&self) -> Option<String> {
        matches!(self.which, Which::Own | Which::OwnMetadata | Which::DataPlane)
            .then(|| format!("{MANAGED_BY}={GATEWASM},{GATEWAY_NAME}"))
    }

    /// RBAC can permit such a watch by the object's name.
    pub(super) fn field_selector(&self) -> Option<String> {
        match &self.which {
            Which::Referenced(key) => Some(format!("metadata.name={}", key.name)),
            Which::CrdOf(kind) => Some(format!("metadata.name={}.{}", kind.plural, kind.group)),
            _ => None,
        }
    }
}

impl fmt::Display for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.kind.name;
        match &self.which {
            Which::All => write!(f, "{name} ({})", self.api_resource().api_version),
            Which::Referenced(key) => write!(f, "{name} {key}"),
            Which::CrdOf(kind) => write!(f, "{name} {}.{}", kind.plural, kind.group),
            Which::Own | Which::OwnMetadata => write!(f, "{name} of gatewasm"),
            Which::DataPlane => write!(f, "{name} of data planes"),
        }
    }
}

/// Every watch that is needed, given which CRDs there are and which objects are referred to.
pub(super) fn wanted(crds: &Crds, referenced: Referenced) -> BTreeSet<Watch> {
    let Referenced { secrets, config_maps } = referenced;
    let one = |kind: &'static Kind| move |key| Watch::best(kind, Which::Referenced(key));
    let definitions = GATEWAY_API.iter().map(|kind| Watch::best(&CRD, Which::CrdOf(kind)));
    let installed = GATEWAY_API.iter().filter_map(|kind| {
        let version = crds.version(kind)?;
        Some(Watch { kind, version, which: Which::All })
    });
    let own = [&OWN_DEPLOYMENTS, &OWN_SERVICES].map(|kind| Watch::best(kind, Which::Own));
    definitions
        .chain(installed)
        .chain(CORE.iter().map(|kind| Watch::best(kind, Which::All)))
        .chain(secrets.into_iter().map(one(&SECRET)))
        .chain(config_maps.into_iter().map(one(&CONFIG_MAP)))
        .chain(own)
        .chain(OWN_OTHERS.iter().map(|kind| Watch::best(kind, Which::OwnMetadata)))
        .chain([Watch::best(&POD, Which::DataPlane)])
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::crds::tests::crd;
    use super::*;

    #[test]
    fn a_kind_is_watched_in_the_best_version_that_its_crd_serves() {
        let of = |crds: &Crds| -> Vec<String> {
            let watches = wanted(crds, Referenced::default()).into_iter();
            watches.filter(|w| w.kind.group == GROUP).map(|w| w.to_string()).collect()
        };
        assert_eq!(of(&Crds::default()), [""; 0]);
        let mut crds = Crds::default();
        crds.0.insert("HTTPRoute".to_owned(), crd("v1.6.1", &["v1alpha2", "v1beta1", "v1"]));
        crds.0.insert("Gateway".to_owned(), crd("v1.6.1", &["v1beta1"]));
        crds.0.insert("GRPCRoute".to_owned(), crd("v1.6.1", &["v1alpha2"]));
        assert_eq!(
            of(&crds),
            ["Gateway (gateway.networking.k8s.io/v1beta1)", "HTTPRoute (gateway.networking.k8s.io/v1)"]
        );
    }

    #[test]
    fn secrets_config_maps_and_crds_are_watched_by_name() {
        let key = ObjectKey::new("default", "tls");
        let referenced = Referenced { secrets: [key.clone()].into(), config_maps: [key].into() };
        let watches = wanted(&Crds::default(), referenced);
        let fields: Vec<String> = watches.iter().filter_map(Watch::field_selector).collect();
        assert!(fields.contains(&"metadata.name=tls".to_owned()));
        assert!(fields.contains(&"metadata.name=httproutes.gateway.networking.k8s.io".to_owned()));
        for kind in ["Secret", "ConfigMap"] {
            let watches: Vec<&Watch> = watches.iter().filter(|w| w.kind.name == kind).collect();
            assert_eq!(watches.len(), 2);
            // None without a name or our label.
            assert!(watches.iter().all(|w| w.field_selector().or(w.label_selector()).is_some()));
        }
    }
}
