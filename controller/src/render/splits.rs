//! Envoy clusters of L4 routes: one per route, with its backends as localities by weight.
//!
//! A change of weights, backends or endpoints is a change of endpoints alone (EDS), which cuts no connection. There is
//! no weighted choice between clusters for datagrams, and one that is made in a listener changes the listener.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use serde_json::{Value, json};

use super::clusters::without_type;
use super::listeners::{CONNECTION_BUFFER, socket_address};
use super::{ConfigSource, Settings, tls};
use crate::model::{BackendTls, Endpoint, Model, Share, Split, Transport};

/// Connections that one worker set may have with one cluster: Envoy's default of 1,024 closes the rest.
const CIRCUIT_BREAKER: u32 = 100_000;
/// What Envoy allows as the sum of the weights of all localities, with room for what rounding adds.
const MOST_WEIGHT: f64 = 4_000_000_000.0;
/// Where Envoy looks for what chooses an endpoint's transport socket, and what it is called there.
const SOCKET_MATCH: &str = "envoy.transport_socket_match";
const BACKEND: &str = "backend";
/// Locality of what is refused.
const REFUSED: &str = "refused";

/// An endpoint that nothing ever answers from: the kernel refuses to connect to the broadcast address at once, whatever
/// listens where, and whatever the network is.
fn refusing() -> Endpoint {
    Endpoint { host: "255.255.255.255".to_owned(), port: 9 }
}

/// All clusters. With files, and where an endpoint has a name instead of an address, a cluster carries its endpoints.
pub(super) fn clusters(model: &Model, settings: &Settings) -> BTreeMap<String, Value> {
    model.splits.iter().map(|(name, it)| (name.clone(), cluster(name, it, settings))).collect()
}

/// The endpoints of the clusters that get them by EDS.
pub(super) fn endpoints(model: &Model, settings: &Settings) -> BTreeMap<String, Value> {
    let by_eds = model.splits.iter().filter(|(_, it)| kind(it, settings) == "EDS");
    by_eds.map(|(name, it)| (name.clone(), load_assignment(name, it))).collect()
}

fn kind(split: &Split, settings: &Settings) -> &'static str {
    let mut endpoints = split.shares.iter().flat_map(|share| &share.endpoints);
    let named = endpoints.any(|it| it.host.parse::<IpAddr>().is_err());
    match (named, &settings.source) {
        (true, _) => "STRICT_DNS",
        (false, ConfigSource::Ads) => "EDS",
        (false, ConfigSource::Files(_)) => "STATIC",
    }
}

fn cluster(name: &str, split: &Split, settings: &Settings) -> Value {
    let kind = kind(split, settings);
    let mut rendered = json!({
        "@type": "type.googleapis.com/envoy.config.cluster.v3.Cluster",
        "name": name,
        "connect_timeout": "5s",
        // Envoy counts no datagrams that wait for an answer.
        "lb_policy": if split.transport == Transport::Tcp { "LEAST_REQUEST" } else { "ROUND_ROBIN" },
        "common_lb_config": {"locality_weighted_lb_config": {}},
        "per_connection_buffer_limit_bytes": CONNECTION_BUFFER,
        "circuit_breakers": {
            "thresholds": [{
                "max_connections": CIRCUIT_BREAKER,
                "max_pending_requests": CIRCUIT_BREAKER,
                "max_requests": CIRCUIT_BREAKER,
            }],
        },
        "type": kind,
    });
    match kind {
        "EDS" => {
            rendered["eds_cluster_config"] = json!({"eds_config": settings.source.reference("eds.yaml")});
        }
        _ => rendered["load_assignment"] = without_type(load_assignment(name, split)),
    }
    let sockets = sockets(split, settings);
    if !sockets.is_empty() {
        rendered["transport_socket_matches"] = json!(sockets);
    }
    if kind == "STRICT_DNS" {
        rendered["dns_lookup_family"] = json!("V4_PREFERRED");
    }
    rendered
}

/// Where TLS is spoken with some backends: to their endpoints, each by its own policy.
fn sockets(split: &Split, settings: &Settings) -> Vec<Value> {
    let by_backend: BTreeMap<_, _> = speaking_tls(split).collect();
    let socket = |(backend, tls): (&str, &BackendTls)| {
        json!({
            "name": backend,
            "match": {BACKEND: backend},
            "transport_socket": tls::to_backend(tls, None, settings),
        })
    };
    by_backend.into_iter().map(socket).collect()
}

fn speaking_tls(split: &Split) -> impl Iterator<Item = (&str, &BackendTls)> {
    split.shares.iter().filter_map(|share| Some((share.backend.as_deref()?, share.tls.as_ref()?)))
}

fn load_assignment(name: &str, split: &Split) -> Value {
    let locality = |it: &Locality<'_>| {
        // What several backends have in common is spoken TLS with as soon as one of them says so.
        let spoken = speaking_tls(split).map(|(backend, _)| backend).find(|name| it.backends.contains(name));
        let endpoint = |it: &Endpoint| {
            let mut endpoint = json!({"endpoint": {"address": socket_address(&it.host, it.port)}});
            if let Some(backend) = spoken {
                endpoint["metadata"] = json!({"filter_metadata": {SOCKET_MATCH: {BACKEND: backend}}});
            }
            endpoint
        };
        let mut locality = json!({
            "locality": {"zone": it.backends.iter().copied().collect::<Vec<_>>().join(" ")},
            "lb_endpoints": it.endpoints.iter().map(endpoint).collect::<Vec<_>>(),
        });
        // Without a weight, it gets nothing new and keeps what it has.
        if it.weight > 0 {
            locality["load_balancing_weight"] = json!(it.weight);
        }
        locality
    };
    json!({
        "@type": "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment",
        "cluster_name": name,
        "endpoints": localities(&split.shares).iter().map(locality).collect::<Vec<_>>(),
    })
}

/// Endpoints that the same backends have, and their part of what comes in.
#[derive(Debug, PartialEq, Eq)]
struct Locality<'a> {
    /// Identity of the locality: as long as it stays, Envoy takes its endpoints for the same.
    backends: BTreeSet<&'a str>,
    weight: u32,
    endpoints: BTreeSet<Endpoint>,
}

/// The backends as localities, one for each where no two have an endpoint in common.
///
/// An endpoint can be in one locality only. So what several backends have in common gets one of its own, with the
/// weight that those endpoints have by all of them.
fn localities(shares: &[Share]) -> Vec<Locality<'_>> {
    let mut shares: Vec<(&str, u32, BTreeSet<Endpoint>)> = shares
        .iter()
        .filter(|share| share.weight > 0 || !share.endpoints.is_empty())
        .map(|share| match &share.backend {
            Some(backend) if !share.endpoints.is_empty() => {
                (backend.as_str(), share.weight, share.endpoints.clone())
            }
            _ => (REFUSED, share.weight, BTreeSet::from([refusing()])),
        })
        .collect();
    if shares.iter().all(|(_, weight, _)| *weight == 0) {
        // Envoy would fall back to all endpoints.
        shares.push((REFUSED, 1, BTreeSet::from([refusing()])));
    }
    let mut groups = BTreeMap::<BTreeSet<usize>, BTreeSet<Endpoint>>::new();
    for endpoint in shares.iter().flat_map(|(_, _, endpoints)| endpoints).collect::<BTreeSet<_>>() {
        let having = shares.iter().enumerate().filter(|(_, (_, _, endpoints))| endpoints.contains(endpoint));
        groups.entry(having.map(|(i, _)| i).collect()).or_default().insert(endpoint.clone());
    }
    let count = |endpoints: &BTreeSet<Endpoint>| u32::try_from(endpoints.len()).map_or(f64::MAX, f64::from);
    let part = |group: &BTreeSet<usize>, endpoints: &BTreeSet<Endpoint>| -> f64 {
        let shares = group.iter().filter_map(|i| shares.get(*i));
        shares.map(|(_, weight, all)| f64::from(*weight) * count(endpoints) / count(all)).sum()
    };
    let parts: Vec<f64> = groups.iter().map(|(group, endpoints)| part(group, endpoints)).collect();
    // Weights stay as they are written, unless parts of them are needed.
    let is_whole = parts.iter().all(|part| part.fract() == 0.0);
    let scale = if is_whole { 1.0 } else { MOST_WEIGHT / parts.iter().sum::<f64>() };
    let named =
        |group: &BTreeSet<usize>| group.iter().filter_map(|i| shares.get(*i)).map(|it| it.0).collect();
    groups
        .iter()
        .zip(parts)
        .map(|((group, endpoints), part)| Locality {
            backends: named(group),
            weight: rounded(part * scale),
            endpoints: endpoints.clone(),
        })
        .collect()
}

/// The nearest weight; what has any keeps some.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is within bounds")]
fn rounded(weight: f64) -> u32 {
    if weight > 0.0 { weight.round().clamp(1.0, f64::from(u32::MAX)) as u32 } else { 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn share(backend: Option<&str>, weight: u32, hosts: &[&str]) -> Share {
        let endpoint = |host: &&str| Endpoint { host: (*host).to_owned(), port: 80 };
        let endpoints = hosts.iter().map(endpoint).collect();
        Share { backend: backend.map(Into::into), weight, endpoints, tls: None }
    }

    /// `backends weight hosts` of each locality.
    fn shown(shares: &[Share]) -> Vec<String> {
        let join = |it: &Locality<'_>| {
            let hosts: Vec<&str> = it.endpoints.iter().map(|it| it.host.as_str()).collect();
            let backends: Vec<&str> = it.backends.iter().copied().collect();
            format!("{} {} {}", backends.join("+"), it.weight, hosts.join(","))
        };
        localities(shares).iter().map(join).collect()
    }

    #[test]
    fn each_backend_is_a_locality_with_its_weight_whatever_its_number_of_endpoints() {
        let shares = [share(Some("a"), 70, &["1", "2", "3"]), share(Some("b"), 30, &["4"])];
        assert_eq!(shown(&shares), ["a 70 1,2,3", "b 30 4"]);
    }

    #[test]
    fn what_cannot_be_used_takes_its_share_and_is_refused() {
        let shares = [
            share(Some("a"), 5, &["1"]),
            share(None, 2, &[]),
            share(Some("empty"), 3, &[]),
            share(None, 0, &[]),
        ];
        assert_eq!(shown(&shares), ["a 5 1", "refused 5 255.255.255.255"]);
        assert_eq!(shown(&[]), ["refused 1 255.255.255.255"]);
    }

    #[test]
    fn a_backend_of_weight_0_keeps_its_endpoints() {
        let shares = [share(Some("a"), 0, &["1"]), share(Some("b"), 1, &["2"])];
        assert_eq!(shown(&shares), ["a 0 1", "b 1 2"]);
        assert_eq!(shown(&shares[..1]), ["a 0 1", "refused 1 255.255.255.255"]);
    }

    #[test]
    fn endpoints_of_two_backends_get_what_both_give_them() {
        let same = [share(Some("a"), 1, &["1"]), share(Some("a"), 2, &["1"])];
        assert_eq!(shown(&same), ["a 3 1"]);
        // Half of a's 1 and all of b's 1.
        let shares = [share(Some("a"), 1, &["1", "2"]), share(Some("b"), 1, &["2"])];
        assert_eq!(shown(&shares), ["a 1000000000 1", "a+b 3000000000 2"]);
    }
}
