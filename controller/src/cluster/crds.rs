//! Which kinds of the Gateway API the cluster has, in which versions, and from which release of it they are.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition as ApiCondition, ObjectMeta};
use serde::Deserialize;

use super::document::resource_of_any_kind;
use super::kinds::{GATEWAY_API, Kind};
use crate::GATEWAY_API_VERSION;
use crate::status::{Condition, Conditions};

const BUNDLE_VERSION: &str = "gateway.networking.k8s.io/bundle-version";
const CHANNEL: &str = "gateway.networking.k8s.io/channel";

/// Features of the conformance suite about `HTTPRoute.spec.rules[].retry`, which the standard channel does not have.
/// The other two that pkg/features counts to the experimental channel need no field of it, and work in both.
const OF_EXPERIMENTAL_FIELDS: [&str; 3] =
    ["HTTPRouteRetry", "HTTPRouteRetryBackendTimeout", "HTTPRouteRetryConnectionError"];

/// What is known of one CustomResourceDefinition.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Crd {
    /// Versions that are served; none before the API server has established the kind.
    pub served: Vec<String>,
    /// The release of the Gateway API, as the CRD is annotated.
    pub bundle_version: Option<String>,
    /// `standard` or `experimental`, as the CRD is annotated.
    pub channel: Option<String>,
}

/// The CRDs of the kinds that gatewasm reads, by kind.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Crds(pub BTreeMap<String, Crd>);

impl Crds {
    /// The best version in which a kind can be watched, if there is one.
    pub(super) fn version(&self, kind: &Kind) -> Option<&'static str> {
        let crd = self.0.get(kind.name)?;
        kind.versions.iter().copied().find(|version| crd.served.iter().any(|served| served == version))
    }

    /// Whether the kind is there that a feature of the conformance suite is about, with the fields that it needs. A
    /// feature's name begins with its kind.
    pub fn have(&self, feature: &str) -> bool {
        let about = GATEWAY_API.iter().filter(|kind| feature.starts_with(kind.name));
        let Some(kind) = about.max_by_key(|kind| kind.name.len()) else { return true };
        self.version(kind).is_some() && !(OF_EXPERIMENTAL_FIELDS.contains(&feature) && self.is_standard(kind))
    }

    fn is_standard(&self, kind: &Kind) -> bool {
        self.0.get(kind.name).is_some_and(|crd| crd.channel.as_deref() == Some("standard"))
    }

    /// `SupportedVersion` of a GatewayClass: whether the CRDs are of a release that gatewasm knows.
    pub fn supported_version(&self, class: &ObjectMeta) -> Condition {
        let found: BTreeSet<Option<&str>> =
            self.0.values().map(|crd| crd.bundle_version.as_deref()).collect();
        let unknown: Vec<String> = found
            .into_iter()
            .filter(|version| !version.is_some_and(is_known))
            .map(|version| match version {
                Some(version) => format!("{version:?}"),
                None => format!("none (no annotation {BUNDLE_VERSION})"),
            })
            .collect();
        Conditions::of(class).class_version(&unknown)
    }
}

/// Whether a release has the objects that gatewasm reads: every patch of the minor release that it follows.
fn is_known(version: &str) -> bool {
    let minor = GATEWAY_API_VERSION.rsplit_once('.').map(|(minor, _)| minor);
    version.rsplit_once('.').is_some_and(|(its_minor, patch)| {
        Some(its_minor) == minor && !patch.is_empty() && patch.bytes().all(|byte| byte.is_ascii_digit())
    })
}

/// A CustomResourceDefinition without its schemas, which are most of its half a megabyte.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct CrdDocument {
    pub(super) metadata: ObjectMeta,
    spec: CrdSpec,
    #[serde(default)]
    status: CrdStatus,
}

#[derive(Clone, Debug, Deserialize)]
struct CrdSpec {
    versions: Vec<CrdVersion>,
}

#[derive(Clone, Debug, Deserialize)]
struct CrdVersion {
    name: String,
    served: bool,
}

#[derive(Clone, Debug, Default, Deserialize)]
struct CrdStatus {
    conditions: Option<Vec<ApiCondition>>,
}

resource_of_any_kind!(CrdDocument);

impl From<CrdDocument> for Crd {
    fn from(document: CrdDocument) -> Self {
        let conditions = document.status.conditions.unwrap_or_default();
        let established =
            conditions.iter().any(|condition| condition.type_ == "Established" && condition.status == "True");
        let served = document.spec.versions.into_iter().filter(|version| established && version.served);
        let annotation = |name| document.metadata.annotations.as_ref()?.get(name).cloned();
        Self {
            served: served.map(|version| version.name).collect(),
            bundle_version: annotation(BUNDLE_VERSION),
            channel: annotation(CHANNEL),
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use serde_json::json;

    use super::*;
    use crate::api::CONTROLLER_NAME;
    use crate::source::{Input, Source};
    use crate::status::ConditionStatus;
    use crate::translate::{self, translate};

    /// The kinds of v1.6.1 with the versions that the standard channel serves (config/crd/standard). The experimental
    /// one serves these, and older ones of some.
    const SERVED: [(&str, &[&str]); 10] = [
        ("BackendTLSPolicy", &["v1"]),
        ("GRPCRoute", &["v1"]),
        ("Gateway", &["v1", "v1beta1"]),
        ("GatewayClass", &["v1", "v1beta1"]),
        ("HTTPRoute", &["v1", "v1beta1"]),
        ("ListenerSet", &["v1"]),
        ("ReferenceGrant", &["v1", "v1beta1"]),
        ("TCPRoute", &["v1"]),
        ("TLSRoute", &["v1"]),
        ("UDPRoute", &["v1"]),
    ];

    /// All of v1.6.1, of this channel.
    fn bundle(channel: &str) -> Crds {
        let crd = |served| Crd { channel: Some(channel.to_owned()), ..crd("v1.6.1", served) };
        Crds(SERVED.iter().map(|(kind, served)| ((*kind).to_owned(), crd(served))).collect())
    }

    /// What a GatewayClass claims and these CRDs do not have.
    fn dropped(crds: &Crds) -> Vec<&'static str> {
        let class = format!(
            r#"{{"apiVersion": "gateway.networking.k8s.io/v1", "kind": "GatewayClass", "metadata": {{"name": "c"}},
                "spec": {{"controllerName": "{CONTROLLER_NAME}"}}}}"#
        );
        let input = Input { path: "class.json".to_owned(), text: Ok(class) };
        let snapshot = Source::default().update(&[input]).snapshot;
        let statuses = translate(&snapshot, &translate::Options::default()).statuses;
        let claimed = statuses.gateway_classes["c"].supported_features.clone();
        claimed.into_iter().map(|feature| feature.name).filter(|name| !crds.have(name)).collect()
    }

    pub(in super::super) fn crd(bundle_version: &str, served: &[&str]) -> Crd {
        Crd {
            served: served.iter().map(|&version| version.to_owned()).collect(),
            bundle_version: (!bundle_version.is_empty()).then(|| bundle_version.to_owned()),
            channel: Some("standard".to_owned()),
        }
    }

    fn crds(versions: &[&str]) -> Crds {
        let named = versions.iter().enumerate();
        Crds(named.map(|(i, version)| (i.to_string(), crd(version, &["v1"]))).collect())
    }

    #[test]
    fn a_crd_is_read_without_its_schemas() {
        let document = |established: &str| {
            let document: CrdDocument = serde_json::from_value(json!({
                "metadata": {"name": "x", "annotations": {BUNDLE_VERSION: "v1.6.1", CHANNEL: "experimental"}},
                "spec": {"group": "g", "versions": [
                    {"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": {}}},
                    {"name": "v1alpha2", "served": false}
                ]},
                "status": {"conditions": [{"type": "Established", "status": established, "reason": "r",
                    "message": "", "lastTransitionTime": "2026-01-01T00:00:00Z"}]},
            }))
            .unwrap();
            Crd::from(document)
        };
        let expected = Crd {
            served: vec!["v1".to_owned()],
            bundle_version: Some("v1.6.1".to_owned()),
            channel: Some("experimental".to_owned()),
        };
        assert_eq!(document("True"), expected);
        assert_eq!(document("False"), Crd { served: Vec::new(), ..expected });
    }

    #[test]
    fn a_feature_is_there_with_its_kind() {
        let mut crds = Crds::default();
        crds.0.insert("Gateway".to_owned(), crd("v1.6.1", &["v1"]));
        crds.0.insert("GRPCRoute".to_owned(), crd("v1.6.1", &["v1alpha2"]));
        assert!(crds.have("GatewayPort8080"));
        assert!(!crds.have("GRPCRouteNamedRouteRule") && !crds.have("HTTPRoute"));
        crds.0.insert("GRPCRoute".to_owned(), crd("v1.6.1", &["v1"]));
        assert!(crds.have("GRPCRoute") && crds.have("GRPCRouteNamedRouteRule"));
    }

    #[test]
    fn the_standard_channel_has_no_retries() {
        assert_eq!(dropped(&bundle("experimental")), [""; 0]);
        assert_eq!(dropped(&bundle("standard")), OF_EXPERIMENTAL_FIELDS);
        // Each CRD says for itself where it is from; one that says nothing is taken for what it should be.
        let mut mixed = bundle("standard");
        mixed.0.get_mut("HTTPRoute").unwrap().channel = Some("experimental".to_owned());
        assert_eq!(dropped(&mixed), [""; 0]);
        mixed.0.get_mut("HTTPRoute").unwrap().channel = None;
        assert_eq!(dropped(&mixed), [""; 0]);
    }

    #[test]
    fn every_kind_of_either_channel_can_be_read() {
        for channel in ["standard", "experimental"] {
            let crds = bundle(channel);
            let unread: Vec<_> = GATEWAY_API.iter().filter(|kind| crds.version(kind) != Some("v1")).collect();
            assert!(unread.is_empty(), "{channel}: {unread:?}");
            assert_eq!(crds.0.len(), GATEWAY_API.len());
        }
    }

    #[test]
    fn kinds_that_are_not_there_take_their_features_with_them() {
        let mut crds = bundle("standard");
        for kind in ["BackendTLSPolicy", "ListenerSet", "TCPRoute", "TLSRoute", "UDPRoute"] {
            crds.0.remove(kind);
        }
        let mut expected = OF_EXPERIMENTAL_FIELDS.to_vec();
        expected.extend(["BackendTLSPolicy", "BackendTLSPolicySANValidation", "ListenerSet"]);
        expected.extend(["TCPRoute", "TLSRoute", "TLSRouteModeMixed", "TLSRouteModeTerminate", "UDPRoute"]);
        expected.sort_unstable();
        assert_eq!(dropped(&crds), expected);
    }

    #[test]
    fn every_patch_of_the_release_is_supported() {
        let condition = crds(&["v1.6.0", "v1.6.12"]).supported_version(&ObjectMeta::default());
        assert_eq!(
            (condition.kind, condition.status, condition.reason.as_str()),
            ("SupportedVersion", ConditionStatus::True, "SupportedVersion")
        );
    }

    #[test]
    fn another_release_is_named_with_the_way_out() {
        for (versions, named) in [
            (&["v1.6.1", "v1.5.1"][..], "\"v1.5.1\""),
            (&["v1.60.1"], "\"v1.60.1\""),
            (&["v1.6.1-rc.1"], "\"v1.6.1-rc.1\""),
            (&["v1.6."], "\"v1.6.\""),
            (&[""], "none"),
        ] {
            let class = ObjectMeta { generation: Some(3), ..ObjectMeta::default() };
            let condition = crds(versions).supported_version(&class);
            assert_eq!(
                (condition.status, condition.reason.as_str(), condition.observed_generation),
                (ConditionStatus::False, "UnsupportedVersion", 3)
            );
            assert!(condition.message.contains(named), "{}", condition.message);
            assert!(condition.message.contains("v1.6.1"), "{}", condition.message);
        }
    }
}
