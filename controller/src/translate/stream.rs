//! TLSRoutes, TCPRoutes and UDPRoutes: connections and datagrams go by weight to backends, whatever they carry; and
//! which route gets which of a port's, because each can go one way only.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::Problems;
use super::backend::Backends;
use super::gateway::Gateway;
use super::hostname;
use super::listener::Listener;
use super::parents::{self, Header, Verdict};
use crate::api::{BackendRef, StreamRouteRule, TcpRoute, TlsRoute, UdpRoute};
use crate::model::{BackendTls, Forward, Overruled, OverruledBy, Protocol, Share, Split, Transport};
use crate::object::{ObjectKey, ObjectRef};
use crate::snapshot::Snapshot;
use crate::status::{Conditions, Fault, RouteStatus};

/// A route of one of the three kinds.
pub(super) struct Route<'r> {
    pub(super) header: Header<'r>,
    transport: Transport,
    /// The kinds allow one rule.
    backend_refs: &'r [BackendRef],
}

/// A route as attached to one listener. In the order of precedence: "the oldest Route based on creation timestamp",
/// then "the Route appearing first in alphabetical order by {namespace}/{name}" (GEP-1364, guides/api-design).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Stream {
    created: Option<Time>,
    route: ObjectRef,
    /// As far as the listener serves them; empty for all of the listener's.
    hostnames: Vec<String>,
    /// What the route sends where: a name in the model's splits.
    split: String,
}

impl<'r> Route<'r> {
    pub(super) fn tls(key: &'r ObjectKey, route: &'r TlsRoute) -> Self {
        let spec = &route.spec;
        let header = Header {
            kind: "TLSRoute",
            key,
            metadata: &route.metadata,
            parent_refs: &spec.parent_refs,
            use_default_gateways: spec.use_default_gateways,
            hostnames: &spec.hostnames,
        };
        Self::new(header, Transport::Tcp, &spec.rules)
    }

    pub(super) fn tcp(key: &'r ObjectKey, route: &'r TcpRoute) -> Self {
        Self::without_hostnames("TCPRoute", Transport::Tcp, key, route)
    }

    pub(super) fn udp(key: &'r ObjectKey, route: &'r UdpRoute) -> Self {
        Self::without_hostnames("UDPRoute", Transport::Udp, key, route)
    }

    fn without_hostnames(
        kind: &'static str,
        transport: Transport,
        key: &'r ObjectKey,
        route: &'r TcpRoute,
    ) -> Self {
        let spec = &route.spec;
        let header = Header {
            kind,
            key,
            metadata: &route.metadata,
            parent_refs: &spec.parent_refs,
            use_default_gateways: spec.use_default_gateways,
            hostnames: &[],
        };
        Self::new(header, transport, &spec.rules)
    }

    fn new(header: Header<'r>, transport: Transport, rules: &'r [StreamRouteRule]) -> Self {
        let backend_refs = rules.first().map_or(&[][..], |rule| &rule.backend_refs);
        Self { header, transport, backend_refs }
    }
}

/// Translates a route and attaches it; what it sends where goes into `splits`. `None` where no Gateway of ours is a
/// parent.
pub(super) fn translate(
    route: &Route<'_>,
    snapshot: &Snapshot,
    gateways: &mut BTreeMap<ObjectKey, Gateway<'_>>,
    backends: &mut Backends<'_>,
    splits: &mut BTreeMap<String, Split>,
    problems: &mut Problems,
) -> Option<RouteStatus> {
    let header = &route.header;
    let parents = parents::of(header, snapshot, gateways, problems)?;
    let place = header.place();
    let refused = parents::default_gateways(header);
    backends.take_referred();
    let mut unresolved = Vec::new();
    let mut shares = Vec::new();
    let mut encrypted = Encrypted::default();
    for (i, backend) in route.backend_refs.iter().enumerate() {
        let field = format!("spec.rules[0].backendRefs[{i}]");
        let (share, fault, tls) = backends.share(backend, header.referrer(), route.transport, &field);
        unresolved.extend(fault);
        if header.kind == "TCPRoute" && tls.is_some() {
            let message = "The Service has a BackendTLSPolicy, which is not for TCPRoutes: bytes go there as clients \
                           send them. Use a TLSRoute on a listener that ends TLS.";
            problems.warning(&place, &Fault::new(&field, "NotEncrypted", message));
        }
        encrypted.push(&share, tls);
        shares.push(share);
    }
    let services = backends.take_referred();
    if !shares.is_empty() && shares.iter().all(|share| share.weight == 0) {
        let message = match route.transport {
            Transport::Tcp => "All weights are 0, so connections are closed.",
            Transport::Udp => "All weights are 0, so datagrams are dropped.",
        };
        problems.warning(&place, &Fault::new("spec.rules[0].backendRefs", "NoWeight", message));
    }
    if refused.is_some() {
        shares.clear();
        encrypted.shares.clear();
    }
    let (transport, split) = (route.transport, split_name(&place));
    let inside = encrypted.differs.then(|| format!("{split}/tls"));
    splits.insert(split.clone(), Split { transport, shares });
    if let Some(inside) = &inside {
        splits.insert(inside.clone(), Split { transport, shares: encrypted.shares });
    }
    // The Gateways where TLS ends before a connection goes on.
    let mut ended = BTreeSet::new();
    let mut attached = |gateway: &ObjectKey, listener: &mut Listener<'_>, hostnames| {
        let is_ended = listener.ends_tls();
        if is_ended {
            ended.insert(gateway.clone());
        }
        // Two parentRefs can mean the same listener.
        let is_new = listener.streams.last().is_none_or(|last| last.route != place);
        if is_new {
            let created = header.metadata.creation_timestamp.clone();
            let split = inside.as_ref().filter(|_| is_ended).unwrap_or(&split).clone();
            listener.streams.push(Stream { created, route: place.clone(), hostnames, split });
        }
        is_new
    };
    let refused = refused.as_slice();
    let verdict = Verdict { refused, unresolved: &unresolved, more: None };
    let mut status = parents::attach(header, &parents, &verdict, snapshot, gateways, problems, &mut attached);
    problems.errors(&place, refused);
    problems.errors(&place, &unresolved);
    if !ended.is_empty() {
        // "HTTPRoute, GRPCRoute, TLSRoute with termination" (`BackendTLSPolicySpec.targetRefs`): policies are nothing to
        // the parents where clients speak TLS with the backend themselves.
        problems.errors(&place, &encrypted.faults);
        let unresolved: Vec<Fault> = unresolved.iter().chain(&encrypted.faults).cloned().collect();
        let condition = Conditions::of(header.metadata).resolved_refs(&unresolved);
        let its = parents.iter().zip(&mut status.parents).filter(|(it, _)| ended.contains(&it.gateway));
        for existing in its.flat_map(|(_, its)| &mut its.conditions).filter(|it| it.kind == condition.kind) {
            *existing = condition.clone();
        }
        ended.iter().for_each(|gateway| backends.used(gateway, &services));
    }
    Some(status)
}

/// The shares of a route where TLS ends before: with TLS to those backends that have a policy. One with a policy that
/// cannot be followed gets nothing, never clear text.
#[derive(Default)]
struct Encrypted {
    shares: Vec<Share>,
    /// Whether any policy makes them others than those without TLS.
    differs: bool,
    faults: Vec<Fault>,
}

impl Encrypted {
    fn push(&mut self, share: &Share, tls: Option<Result<BackendTls, Fault>>) {
        self.differs |= tls.is_some();
        let share = match tls.transpose() {
            Ok(tls) => Share { tls, ..share.clone() },
            Err(fault) => {
                self.faults.push(fault);
                Share::unusable(share.weight)
            }
        };
        self.shares.push(share);
    }
}

/// `TCPRoute/namespace/name`.
fn split_name(route: &ObjectRef) -> String {
    format!("{}/{}/{}", route.kind, route.namespace.as_deref().unwrap_or_default(), route.name)
}

/// Where the connections and datagrams of `listener` go, which is one of a Gateway's.
///
/// Of several routes that want the same, the first in the order of precedence gets it, and the others are told. A
/// server name belongs to the listener of its port whose hostname says most of it, also when that one has no route for
/// it: then its connections are closed ("requests SHOULD match at most one Listener", `GatewaySpec.listeners`).
/// What a route asked for and does not get goes into `overruled`.
pub(super) fn forwards(
    listener: &Listener<'_>,
    all: &[Listener<'_>],
    gateway: &ObjectKey,
    overruled: &mut Vec<Overruled>,
    problems: &mut Problems,
) -> Vec<Forward> {
    let Some(protocol) = listener.is_served() else { return Vec::new() };
    let mut streams: Vec<&Stream> = listener.streams.iter().collect();
    // A route without a time is new.
    streams.sort_by_cached_key(|it| (it.created.is_none(), it.created.clone(), split_name(&it.route)));
    let own = listener.spec.hostname.as_deref();
    let rivals: Vec<Option<&str>> = all
        .iter()
        .filter(|other| other.spec.port == listener.spec.port && !std::ptr::eq(*other, listener))
        .filter(|other| other.is_served().is_some_and(Protocol::is_by_server_name))
        .map(|other| other.spec.hostname.as_deref())
        .collect();
    let is_anothers = |name: Option<&str>| {
        rivals
            .iter()
            .any(|other| hostname::rank(*other) > hostname::rank(own) && hostname::is_within(name, *other))
    };
    let mut taken = BTreeMap::<Option<&str>, &ObjectRef>::new();
    let mut forwards = Vec::new();
    for stream in streams {
        let names: Vec<Option<&str>> = if stream.hostnames.is_empty() {
            vec![own]
        } else {
            stream.hostnames.iter().map(|name| Some(name.as_str())).collect()
        };
        let mut hostnames = BTreeSet::new();
        for name in names {
            let by = match taken.get(&name) {
                _ if is_anothers(name) => OverruledBy::Listener,
                Some(winner) => {
                    warn_of_loss(stream, winner, name, listener, gateway, problems);
                    OverruledBy::Route(split_name(winner))
                }
                None => {
                    taken.insert(name, &stream.route);
                    hostnames.insert(name);
                    continue;
                }
            };
            overruled.push(Overruled {
                listener: format!("{gateway}/{}", listener.section()),
                route: split_name(&stream.route),
                hostname: name.map(ToOwned::to_owned),
                by,
            });
        }
        if !hostnames.is_empty() {
            let hostnames = hostnames.into_iter().flatten().map(ToOwned::to_owned).collect();
            forwards.push(Forward { hostnames, split: Some(stream.split.clone()) });
        }
    }
    if matches!(protocol, Protocol::Tls | Protocol::Tcp) && !taken.contains_key(&own) {
        forwards.push(Forward { hostnames: own.map(ToOwned::to_owned).into_iter().collect(), split: None });
    }
    forwards
}

fn warn_of_loss(
    loser: &Stream,
    winner: &ObjectRef,
    name: Option<&str>,
    listener: &Listener<'_>,
    gateway: &ObjectKey,
    problems: &mut Problems,
) {
    let what = name.map_or("Everything".to_owned(), |name| format!("Everything for {name:?}"));
    let message = format!(
        "{what} on listener {:?} of Gateway \"{gateway}\" goes to {winner}, which is older or comes first by name; \
         nothing of it comes here.",
        listener.section()
    );
    problems.warning(&loser.route, &Fault::new("spec.parentRefs", "Overruled", message));
}
