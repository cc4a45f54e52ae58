//! The one route configuration: requests go to the cluster that the filter named. Rules that need a policy of Envoy's
//! name it in a header, which the matcher tree looks up in constant time.

use std::collections::BTreeMap;

use gatewasm_routing::wire;
use serde_json::{Value, json};

/// File of the route configuration where there is no agent.
pub(super) const FILE: &str = "rds.yaml";

/// The policy of a rule that asks for nothing. A rule may name it or leave the header out.
const NO_POLICY: &str = "none";

/// The route configuration that every listener shares.
pub(super) fn routes() -> BTreeMap<String, Value> {
    let mut policies = BTreeMap::new();
    policies.insert(NO_POLICY, action(forward()));
    let configuration = json!({
        "@type": "type.googleapis.com/envoy.config.route.v3.RouteConfiguration",
        "name": wire::ROUTES,
        "virtual_hosts": [{
            "name": "all",
            "domains": ["*"],
            // Nothing of ours or of Envoy's own reaches a backend.
            "request_headers_to_remove":
                [wire::LISTENER, wire::CLUSTER, wire::POLICY, "x-envoy-external-address"],
            "matcher": {
                "matcher_tree": {
                    "input": {
                        "name": "policy",
                        "typed_config": {
                            "@type": "type.googleapis.com/envoy.type.matcher.v3.HttpRequestHeaderMatchInput",
                            "header_name": wire::POLICY,
                        },
                    },
                    "exact_match_map": {"map": policies},
                },
                "on_no_match": without_known_policy(),
            },
        }],
    });
    BTreeMap::from([(wire::ROUTES.to_owned(), configuration)])
}

/// No policy asked for: forward. One asked for that is unknown: 500, because serving without a policy that the rule
/// asks for could skip an authorisation.
fn without_known_policy() -> Value {
    let mut no_policy = forward();
    no_policy["match"]["headers"] = json!([{"name": wire::POLICY, "present_match": false}]);
    json!({
        "action": {
            "name": "route",
            "typed_config": {
                "@type": "type.googleapis.com/envoy.config.route.v3.RouteList",
                "routes": [
                    no_policy,
                    {"name": "unknown-policy", "match": {"prefix": "/"}, "direct_response": {"status": 500}},
                ],
            },
        },
    })
}

fn forward() -> Value {
    json!({
        "name": "forward",
        "match": {"prefix": "/"},
        "route": {
            "cluster_header": wire::CLUSTER,
            // The filter names only clusters that exist; anything else is our fault, not a missing page.
            "cluster_not_found_response_code": "INTERNAL_SERVER_ERROR",
            // A rule without `timeouts` has none (Gateway API HTTPRouteTimeouts); Envoy's own default is 15 s.
            "timeout": "0s",
        },
    })
}

fn action(mut route: Value) -> Value {
    route["@type"] = json!("type.googleapis.com/envoy.config.route.v3.Route");
    json!({"action": {"name": "route", "typed_config": route}})
}
