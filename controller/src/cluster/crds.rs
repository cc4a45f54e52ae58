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

    /// Whether the kind is there that a feature of the conformance suite is about: the name begins with it.
    pub fn have(&self, feature: &str) -> bool {
        let about = GATEWAY_API.iter().filter(|kind| feature.starts_with(kind.name));
        about.max_by_key(|kind| kind.name.len()).is_none_or(|kind| self.version(kind).is_some())
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
    use crate::status::ConditionStatus;

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
