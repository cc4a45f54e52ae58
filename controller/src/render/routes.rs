//! The one route configuration: requests go to the cluster that the filter named. Rules that need a policy of Envoy's
//! name it in a header, which the matcher tree looks up in constant time.

use std::collections::BTreeMap;

use gatewasm_routing::wire;
use serde_json::{Value, json};

use super::{Json, policy};
use crate::model::{Model, Policy};

/// File of the route configuration where there is no agent.
pub(super) const FILE: &str = "rds.yaml";

/// Name of the route of a rule that asks for nothing.
const FORWARD: &str = "forward";

/// The policy of a rule that asks for nothing. A rule may name it or leave the header out.
const NO_POLICY: &str = "none";

/// The routes of all policies, by name.
pub(super) fn policies(model: &Model) -> BTreeMap<String, Value> {
    model.policies.iter().map(|(name, it)| (name.clone(), policy::route(name, it))).collect()
}

/// The route configuration that every listener shares, with these routes of policies.
pub fn routes(policies: &BTreeMap<String, Json>) -> BTreeMap<String, Json> {
    let forward = policy::route(FORWARD, &Policy::default());
    let mut actions = BTreeMap::from([(NO_POLICY, action(&forward))]);
    actions.extend(policies.iter().map(|(name, route)| (name.as_str(), action(&route.value()))));
    let configuration = json!({
        "@type": "type.googleapis.com/envoy.config.route.v3.RouteConfiguration",
        "name": wire::ROUTES,
        "virtual_hosts": [{
            "name": "all",
            "domains": ["*"],
            // Nothing of ours or of Envoy's own reaches a backend.
            "request_headers_to_remove":
                [wire::LISTENER, wire::CLUSTER, wire::POLICY, wire::ENDPOINT, "x-envoy-external-address"],
            // Envoy itself says under this name which endpoint took a request; a backend has no say in it.
            "response_headers_to_remove": [wire::ENDPOINT],
            "matcher": {
                "matcher_tree": {
                    "input": {
                        "name": "policy",
                        "typed_config": {
                            "@type": "type.googleapis.com/envoy.type.matcher.v3.HttpRequestHeaderMatchInput",
                            "header_name": wire::POLICY,
                        },
                    },
                    "exact_match_map": {"map": actions},
                },
                "on_no_match": without_known_policy(forward),
            },
        }],
    });
    BTreeMap::from([(wire::ROUTES.to_owned(), configuration.into())])
}

/// No policy asked for: forward. One asked for that is unknown: 500, because serving without a policy that the rule
/// asks for could skip an authorisation.
fn without_known_policy(mut forward: Value) -> Value {
    forward["match"]["headers"] = json!([{"name": wire::POLICY, "present_match": false}]);
    json!({
        "action": {
            "name": "route",
            "typed_config": {
                "@type": "type.googleapis.com/envoy.config.route.v3.RouteList",
                "routes": [
                    forward,
                    {"name": "unknown-policy", "match": {"prefix": "/"}, "direct_response": {"status": 500}},
                ],
            },
        },
    })
}

fn action(route: &Value) -> Value {
    let mut route = route.clone();
    route["@type"] = json!("type.googleapis.com/envoy.config.route.v3.Route");
    json!({"action": {"name": "route", "typed_config": route}})
}
