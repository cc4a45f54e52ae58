//! Envoy clusters, one per port of a Service, and their endpoints.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use serde_json::{Value, json};

use super::listeners::{CONNECTION_BUFFER, socket_address};
use super::{ConfigSource, Settings, tls};
use crate::model::{BackendProtocol, Cluster, Endpoint, Model};

/// Requests, connections and waiting requests that one worker set may have with one cluster. Envoy's default of 1,024
/// answers 503 to the rest; here the limit is the backend's own, and this one only guards against running away.
const CIRCUIT_BREAKER: u32 = 100_000;

/// Name of a cluster's options for HTTP.
const HTTP_OPTIONS: &str = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions";

/// All clusters. With files, and where an endpoint has a name instead of an address, a cluster carries its endpoints.
pub(super) fn clusters(model: &Model, settings: &Settings) -> BTreeMap<String, Value> {
    let mirrors = model.policies.values().flat_map(|policy| &policy.mirrors);
    let mirrors: BTreeSet<&String> = mirrors.map(|mirror| &mirror.cluster).collect();
    let cluster = |(name, it): (&String, &Cluster)| {
        let mut cluster = cluster(name, it, settings);
        if mirrors.contains(name) {
            cluster["typed_extension_protocol_options"][HTTP_OPTIONS]["http_filters"] = for_copies();
        }
        (name.clone(), cluster)
    };
    model.clusters.iter().map(cluster).collect()
}

/// The endpoints of the clusters that get them by EDS.
pub(super) fn endpoints(model: &Model, settings: &Settings) -> BTreeMap<String, Value> {
    let by_eds = model.clusters.iter().filter(|(_, it)| discovery(it, settings) == Discovery::Eds);
    by_eds.map(|(name, it)| (name.clone(), load_assignment(name, it))).collect()
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Discovery {
    Eds,
    Static,
    /// One name: Envoy tries its addresses in turn, IPv6 and IPv4 ("happy eyeballs"), so that `localhost` finds a
    /// backend that listens on `::1` or on `127.0.0.1` alone.
    LogicalDns,
    StrictDns,
}

fn discovery(cluster: &Cluster, settings: &Settings) -> Discovery {
    let named = cluster.endpoints.iter().any(|it| it.host.parse::<IpAddr>().is_err());
    match (named, &settings.source) {
        (true, _) if cluster.endpoints.len() == 1 => Discovery::LogicalDns,
        (true, _) => Discovery::StrictDns,
        (false, ConfigSource::Ads) => Discovery::Eds,
        (false, ConfigSource::Files(_)) => Discovery::Static,
    }
}

fn cluster(name: &str, cluster: &Cluster, settings: &Settings) -> Value {
    let protocol = match cluster.protocol {
        BackendProtocol::Http1 => json!({"http_protocol_options": {}}),
        BackendProtocol::Http2 => json!({"http2_protocol_options": {}}),
    };
    let mut rendered = json!({
        "@type": "type.googleapis.com/envoy.config.cluster.v3.Cluster",
        "name": name,
        "connect_timeout": "5s",
        "lb_policy": "LEAST_REQUEST",
        "per_connection_buffer_limit_bytes": CONNECTION_BUFFER,
        "circuit_breakers": {
            "thresholds": [{
                "max_connections": CIRCUIT_BREAKER,
                "max_pending_requests": CIRCUIT_BREAKER,
                "max_requests": CIRCUIT_BREAKER,
                "max_retries": CIRCUIT_BREAKER,
            }],
        },
        "typed_extension_protocol_options": {
            HTTP_OPTIONS: {
                "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
                "explicit_http_config": protocol,
                // Shorter than the keep-alive of common servers (5 s), so that it is Envoy who closes an idle
                // connection, and no request races against the backend's close.
                "common_http_protocol_options": {"idle_timeout": "4s"},
            },
        },
    });
    if let Some(its_tls) = &cluster.tls {
        rendered["transport_socket"] = tls::to_backend(its_tls, Some(cluster.protocol), settings);
    }
    let more = match discovery(cluster, settings) {
        Discovery::Eds => {
            json!({"type": "EDS", "eds_cluster_config": {"eds_config": settings.source.reference("eds.yaml")}})
        }
        Discovery::Static => json!({"type": "STATIC"}),
        Discovery::LogicalDns => json!({"type": "LOGICAL_DNS", "dns_lookup_family": "ALL"}),
        Discovery::StrictDns => json!({"type": "STRICT_DNS", "dns_lookup_family": "V4_PREFERRED"}),
    };
    let inline = (discovery(cluster, settings) != Discovery::Eds)
        .then(|| json!({"load_assignment": without_type(load_assignment(name, cluster))}));
    for part in [Some(more), inline].into_iter().flatten() {
        if let (Value::Object(rendered), Value::Object(part)) = (&mut rendered, part) {
            rendered.extend(part);
        }
    }
    rendered
}

/// Envoy marks the copies that it sends to mirrors with a header, behind everything that a route can say of headers;
/// only a filter of the cluster can take it away.
fn for_copies() -> Value {
    json!([
        {
            "name": "copies",
            "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.filters.http.header_mutation.v3.HeaderMutation",
                "mutations": {"request_mutations": [{"remove": "x-envoy-internal"}]},
            },
        },
        {
            "name": "codec",
            "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.filters.http.upstream_codec.v3.UpstreamCodec",
            },
        },
    ])
}

fn load_assignment(name: &str, cluster: &Cluster) -> Value {
    let endpoint = |it: &Endpoint| json!({"endpoint": {"address": socket_address(&it.host, it.port)}});
    let endpoints: Vec<Value> = cluster.endpoints.iter().map(endpoint).collect();
    json!({
        "@type": "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment",
        "cluster_name": name,
        "endpoints": if endpoints.is_empty() { json!([]) } else { json!([{"lb_endpoints": endpoints}]) },
    })
}

pub(super) fn without_type(mut message: Value) -> Value {
    if let Some(fields) = message.as_object_mut() {
        fields.remove("@type");
    }
    message
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::tests::{gateway, settings};

    fn kinds(source: ConfigSource) -> Vec<(String, Value, usize)> {
        let endpoint = |host: &str| Endpoint { host: host.into(), port: 80 };
        let mut model = gateway(&[]);
        for (name, hosts) in [
            ("addresses", &["10.0.0.1", "::1"][..]),
            ("mixed", &["10.0.0.1", "localhost"]),
            ("name", &["localhost"]),
            ("none", &[]),
        ] {
            let endpoints = hosts.iter().map(|host| endpoint(host)).collect();
            model.clusters.insert(name.into(), Cluster { endpoints, ..Cluster::default() });
        }
        let settings = Settings { source, ..settings(&[]) };
        let by_eds = endpoints(&model, &settings);
        let rendered = clusters(&model, &settings);
        let inline = |cluster: &Value| cluster["load_assignment"]["endpoints"][0]["lb_endpoints"].clone();
        let count = |name: &String, cluster: &Value| match by_eds.get(name) {
            Some(by_eds) => inline(&json!({"load_assignment": by_eds})),
            None => inline(cluster),
        };
        let count = |name, cluster| count(name, cluster).as_array().map_or(0, Vec::len);
        rendered.iter().map(|(name, it)| (name.clone(), it["type"].clone(), count(name, it))).collect()
    }

    fn expected(kinds: [&str; 4]) -> Vec<(String, Value, usize)> {
        let [addresses, mixed, name, none] = kinds.map(Value::from);
        let of = |name: &str, kind, count| (name.to_owned(), kind, count);
        vec![of("addresses", addresses, 2), of("mixed", mixed, 2), of("name", name, 1), of("none", none, 0)]
    }

    #[test]
    fn each_cluster_speaks_its_protocol() {
        let mut model = gateway(&[]);
        for (name, protocol) in [("a", BackendProtocol::Http1), ("b", BackendProtocol::Http2)] {
            model.clusters.insert(name.into(), Cluster { protocol, ..Cluster::default() });
        }
        let rendered = clusters(&model, &settings(&[]));
        let config = |name: &str| {
            let options = &rendered[name]["typed_extension_protocol_options"];
            let options = &options["envoy.extensions.upstreams.http.v3.HttpProtocolOptions"];
            options["explicit_http_config"].to_string()
        };
        assert_eq!(config("a"), r#"{"http_protocol_options":{}}"#);
        assert_eq!(config("b"), r#"{"http2_protocol_options":{}}"#);
    }

    #[test]
    fn addresses_come_by_eds_where_there_is_an_agent_and_names_are_resolved_by_envoy() {
        assert_eq!(kinds(ConfigSource::Ads), expected(["EDS", "STRICT_DNS", "LOGICAL_DNS", "EDS"]));
        let files = kinds(ConfigSource::Files("/etc/gatewasm".into()));
        assert_eq!(files, expected(["STATIC", "STRICT_DNS", "LOGICAL_DNS", "STATIC"]));
    }
}
