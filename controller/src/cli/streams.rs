//! L4 routes for readers: which of them a listener has, and which gets a connection, and why the others do not. Who gets
//! what is decided in `translate`; it is read from the model here.

use anyhow::{Context, Result, bail, ensure};
use serde::Serialize;

use super::output::table;
use crate::entry::{choose, specificity};
use crate::model::{Gateway, Listener, Model, OverruledBy, Protocol, Share, Split, Transport};
use crate::object::ObjectKey;

/// A listener with the name that it has everywhere, `namespace/gateway/section`.
type Named<'m> = (String, &'m Listener);

/// An L4 route, as it is written beside other routes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Route {
    kind: String,
    namespace: String,
    name: String,
}

impl Route {
    /// From the name of a split, `TCPRoute/namespace/name`; behind it may stand how its backends are spoken to.
    fn of(split: &str) -> Self {
        let mut parts = split.split('/').map(ToOwned::to_owned);
        let mut part = || parts.next().unwrap_or_default();
        Self { kind: part(), namespace: part(), name: part() }
    }
}

impl std::fmt::Display for Route {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}/{}", self.kind, self.namespace, self.name)
    }
}

/// A backend of an L4 route.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Backend {
    /// `namespace/service/port`, and what is spoken; absent where it cannot be used.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) cluster: Option<String>,
    pub(super) weight: u32,
}

fn backends(split: &Split) -> Vec<Backend> {
    let cluster = |share: &Share| {
        let spoken = if share.tls.is_some() { "/tls" } else { "" };
        share.backend.as_ref().map(|backend| format!("{backend}{spoken}"))
    };
    split.shares.iter().map(|it| Backend { cluster: cluster(it), weight: it.weight }).collect()
}

/// What becomes of what no backend gets.
fn failure(transport: Transport) -> &'static str {
    match transport {
        Transport::Tcp => "closes",
        Transport::Udp => "drops",
    }
}

/// One L4 route on one listener, under one server name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Listed {
    pub(super) listener: String,
    /// The server name; absent for every one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) hostname: Option<String>,
    pub(super) route: Route,
    pub(super) backends: Vec<Backend>,
    /// Who gets it in place of this route.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) overruled: Option<String>,
    #[serde(skip)]
    transport: Transport,
}

impl Listed {
    /// `None` where no backend gets anything.
    pub(super) fn failure(&self) -> &'static str {
        failure(self.transport)
    }
}

/// Every L4 route of every listener: by listener, and those that get something before those that do not.
pub(super) fn list(model: &Model) -> Vec<Listed> {
    let mut list = Vec::new();
    for (name, listener) in listeners(model) {
        for forward in &listener.forwards {
            let Some(split) = &forward.split else { continue };
            let row = |hostname: Option<&String>| Listed {
                listener: name.clone(),
                hostname: hostname.cloned(),
                route: Route::of(split),
                backends: model.splits.get(split).map(backends).unwrap_or_default(),
                overruled: None,
                transport: listener.protocol.transport(),
            };
            if forward.hostnames.is_empty() {
                list.push(row(None));
            }
            list.extend(forward.hostnames.iter().map(|hostname| row(Some(hostname))));
        }
        for lost in model.overruled.iter().filter(|lost| lost.listener == name) {
            list.push(Listed {
                listener: name.clone(),
                hostname: lost.hostname.clone(),
                route: Route::of(&lost.route),
                backends: Vec::new(),
                overruled: Some(match &lost.by {
                    OverruledBy::Route(split) => Route::of(split).to_string(),
                    OverruledBy::Listener => "another listener".to_owned(),
                }),
                transport: listener.protocol.transport(),
            });
        }
    }
    list
}

fn listeners(model: &Model) -> impl Iterator<Item = Named<'_>> {
    model.gateways.iter().flat_map(|(key, gateway)| of_gateway(key, gateway))
}

fn of_gateway<'m>(key: &'m ObjectKey, gateway: &'m Gateway) -> impl Iterator<Item = Named<'m>> {
    gateway.listeners.iter().map(move |(section, listener)| (format!("{key}/{section}"), listener))
}

/// What becomes of a connection, or of a client's datagrams.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Explained {
    decision: Decision,
    #[serde(skip_serializing_if = "Option::is_none")]
    listener: Option<String>,
    /// Whether TLS ends here, or with the backend.
    #[serde(skip_serializing_if = "Option::is_none")]
    tls: Option<TlsMode>,
    #[serde(skip_serializing_if = "Option::is_none")]
    route: Option<Route>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    backends: Vec<Backend>,
    candidates: Vec<Candidate>,
    #[serde(skip)]
    transport: Transport,
}

#[derive(Debug, Serialize)]
struct Decision {
    #[serde(rename = "type")]
    kind: DecisionType,
    /// The one backend that gets it, where there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    cluster: Option<String>,
    because: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
enum DecisionType {
    Forward,
    Close,
    Drop,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
enum TlsMode {
    Passthrough,
    Terminate,
}

#[derive(Debug, Serialize)]
struct Candidate {
    route: Route,
    listener: String,
    won: bool,
    because: String,
}

/// Whether the address is of a connection that is not read as HTTP.
pub(super) fn is_l4(address: &str) -> bool {
    ["tls://", "tcp://", "udp://"].iter().any(|scheme| address.starts_with(scheme))
}

/// Explains `tls://name:port`, `tcp://:port`, or `udp://:port`. `gateway` chooses among several Gateways with that
/// port; `sni` is the server name, where it is not the one of the address.
///
/// # Errors
///
/// When the address is none, no listener has its protocol and port, or several Gateways do and none is chosen.
pub(super) fn explain(
    model: &Model,
    address: &str,
    gateway: Option<&str>,
    sni: Option<&str>,
) -> Result<Explained> {
    let (protocol, name, port) = parse(address)?;
    let named = sni.or((!name.is_empty()).then_some(name)).map(str::to_ascii_lowercase);
    let server_name = named.as_deref().filter(|_| protocol == Protocol::Tls);
    let (gateway, on_port) = on_port(model, protocol, port, gateway)?;
    // HTTPS listeners of the port choose by server name as well.
    let best = on_port
        .iter()
        .flat_map(|named| chains(named).map(move |(hostname, split)| (hostname, split, named)))
        .filter_map(|(hostname, split, named)| Some((rank(hostname, server_name)?, hostname, split, named)))
        .max_by_key(|(rank, ..)| *rank);
    let chosen = best.map(|(_, hostname, split, (listener, _))| Chosen { listener, hostname, split });
    let mut candidates = Vec::new();
    for (listener, its) in &on_port {
        for forward in &its.forwards {
            let Some(split) = &forward.split else { continue };
            let won = chosen
                .as_ref()
                .is_some_and(|chosen| chosen.listener == listener && chosen.split == Some(split));
            let because = because(&forward.hostnames, server_name, won, chosen.as_ref());
            candidates.push(Candidate { route: Route::of(split), listener: listener.clone(), won, because });
        }
    }
    for lost in &model.overruled {
        let is_here = on_port.iter().any(|(name, _)| *name == lost.listener);
        // What a route does not get of other names is nothing to this one.
        let is_asked = protocol != Protocol::Tls || rank(lost.hostname.as_deref(), server_name).is_some();
        if !is_here || !is_asked {
            continue;
        }
        let what = lost.hostname.as_deref().unwrap_or("everything");
        let because = match &lost.by {
            OverruledBy::Route(split) => {
                format!("{what} goes to {}, which is older or comes first by name", Route::of(split))
            }
            OverruledBy::Listener => {
                format!("{what} belongs to another listener, whose hostname says more of it")
            }
        };
        let (route, listener) = (Route::of(&lost.route), lost.listener.clone());
        candidates.push(Candidate { route, listener, won: false, because });
    }
    candidates.sort_by_key(|candidate| !candidate.won);
    let mode = |listener: &Listener| match (listener.protocol, listener.certificates.is_empty()) {
        (Protocol::Tls, true) => Some(TlsMode::Passthrough),
        (Protocol::Tls | Protocol::Https, _) => Some(TlsMode::Terminate),
        _ => None,
    };
    let of_chosen = chosen.as_ref().and_then(|it| on_port.iter().find(|(name, _)| name == it.listener));
    let split = chosen.as_ref().and_then(|it| it.split);
    let backends = split.and_then(|split| model.splits.get(split)).map(backends).unwrap_or_default();
    let transport = protocol.transport();
    let decision = match (&chosen, of_chosen) {
        (Some(Chosen { split: Some(split), .. }), _) => to_backends(split, &backends, transport),
        (Some(chosen), Some((_, listener))) if listener.protocol == Protocol::Https => {
            let url = format!("https://{}:{port}/", server_name.unwrap_or("HOST"));
            let because = format!("{} reads it as HTTP: ask for GET {url}", chosen.listener);
            Decision { kind: DecisionType::Forward, cluster: None, because }
        }
        (Some(chosen), _) => nobody(transport, format!("{} has no route for it", chosen.listener)),
        (None, _) if protocol == Protocol::Tls => {
            let asked = server_name.map_or("no server name".to_owned(), |name| format!("{name:?}"));
            nobody(transport, format!("no listener of {gateway} on port {port} has a hostname for {asked}"))
        }
        (None, _) => nobody(transport, format!("no route is attached to port {port} of {gateway}")),
    };
    Ok(Explained {
        decision,
        listener: chosen.as_ref().map(|it| it.listener.to_owned()),
        tls: of_chosen.and_then(|(_, listener)| mode(listener)),
        route: split.map(|split| Route::of(split)),
        backends,
        candidates,
        transport,
    })
}

/// What takes a connection.
struct Chosen<'m> {
    listener: &'m str,
    hostname: Option<&'m str>,
    split: Option<&'m String>,
}

/// The server names that a listener tells connections apart by, and where these go.
fn chains<'m>(
    (_, listener): &'m Named<'m>,
) -> Box<dyn Iterator<Item = (Option<&'m str>, Option<&'m String>)> + 'm> {
    if listener.protocol == Protocol::Https {
        return Box::new(std::iter::once((listener.hostname.as_deref(), None)));
    }
    Box::new(listener.forwards.iter().flat_map(|forward| {
        let none = forward.hostnames.is_empty().then_some(None);
        let names = none.into_iter().chain(forward.hostnames.iter().map(|name| Some(name.as_str())));
        names.map(|name| (name, forward.split.as_ref()))
    }))
}

/// How much a hostname says of a server name, where there is one. `None` where it is not for it.
fn rank(hostname: Option<&str>, server_name: Option<&str>) -> Option<(bool, usize)> {
    match server_name {
        Some(server_name) => specificity(hostname, server_name),
        None => hostname.is_none().then_some((false, 0)),
    }
}

fn because(
    hostnames: &[String],
    server_name: Option<&str>,
    won: bool,
    chosen: Option<&Chosen<'_>>,
) -> String {
    let all = || hostnames.join(", ");
    let names = hostnames.iter().map(|name| Some(name.as_str()));
    let catch_all = hostnames.is_empty().then_some(None);
    let own = names.chain(catch_all).filter_map(|name| Some((rank(name, server_name)?, name)));
    match (own.max_by_key(|(rank, _)| *rank), won, server_name) {
        (Some((_, Some(name))), true, _) => format!("{name} says most of the server name"),
        (Some((_, None)), true, Some(_)) => "no hostname says more of the server name".to_owned(),
        (Some(_), true, None) | (None, true, _) => "the only one that is served".to_owned(),
        (Some((_, name)), false, _) => {
            let other = chosen.and_then(|chosen| chosen.hostname).unwrap_or("every name");
            format!("{} says less of the server name than {other}", name.unwrap_or("every name"))
        }
        (None, false, Some(_)) => format!("for {} alone", all()),
        (None, false, None) => format!("for {} alone, and there is no server name", all()),
    }
}

fn to_backends(split: &str, backends: &[Backend], transport: Transport) -> Decision {
    let usable: Vec<&String> =
        backends.iter().filter(|it| it.weight > 0).filter_map(|it| it.cluster.as_ref()).collect();
    let with_weight = backends.iter().filter(|it| it.weight > 0).count();
    match usable.as_slice() {
        [] => nobody(transport, format!("{} has no backend that can be used", Route::of(split))),
        [one] if with_weight == 1 => Decision {
            kind: DecisionType::Forward,
            cluster: Some((*one).clone()),
            because: "the only backend".to_owned(),
        },
        _ => {
            let because = "one of the backends, by weight".to_owned();
            Decision { kind: DecisionType::Forward, cluster: None, because }
        }
    }
}

fn nobody(transport: Transport, because: String) -> Decision {
    let kind = match transport {
        Transport::Tcp => DecisionType::Close,
        Transport::Udp => DecisionType::Drop,
    };
    Decision { kind, cluster: None, because }
}

/// Protocol, host and port of the address; the host may be missing.
fn parse(address: &str) -> Result<(Protocol, &str, u16)> {
    let (protocol, default, rest) = match address.split_once("://") {
        Some(("tls", rest)) => (Protocol::Tls, Some(443), rest),
        Some(("tcp", rest)) => (Protocol::Tcp, None, rest),
        Some(("udp", rest)) => (Protocol::Udp, None, rest),
        _ => bail!("{address:?} does not begin with tls://, tcp:// or udp://"),
    };
    ensure!(!rest.contains(['/', '?', '#']), "{address:?} has a path; name host and port alone");
    // An IPv6 address is in brackets.
    let (host, port) = match rest.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => {
            (host, Some(port.parse().with_context(|| format!("{port:?} is not a port"))?))
        }
        _ => (rest, default),
    };
    let port = port.with_context(|| format!("{address:?} names no port: {address}:5432"))?;
    Ok((protocol, host, port))
}

/// The Gateway that is meant, and all of its listeners on the port that share the transport.
fn on_port<'m>(
    model: &'m Model,
    protocol: Protocol,
    port: u16,
    gateway: Option<&str>,
) -> Result<(String, Vec<Named<'m>>)> {
    let its = |(key, gateway)| of_gateway(key, gateway).map(move |(_, listener)| (key, listener));
    let all: Vec<(&ObjectKey, &Listener)> = model.gateways.iter().flat_map(its).collect();
    let has = |listener: &Listener| listener.port == port && listener.protocol == protocol;
    let having = all.iter().filter(|(_, listener)| has(listener)).map(|(key, _)| key.to_string());
    let served = all.iter().map(|(key, it)| (it.protocol.scheme(), it.port, key.to_string()));
    let chosen = choose(protocol.scheme(), port, gateway, having.collect(), served.collect())?;
    let listeners = model.gateways.iter().filter(|(key, _)| key.to_string() == chosen);
    let listeners = listeners.flat_map(|(key, gateway)| of_gateway(key, gateway));
    let shared = listeners.filter(|(_, listener)| {
        listener.port == port && listener.protocol.transport() == protocol.transport()
    });
    let shared = shared.collect();
    Ok((chosen, shared))
}

impl Explained {
    /// In the form for people.
    pub(super) fn text(&self) -> String {
        let mut rows: Vec<Vec<String>> = Vec::new();
        let mut row = |name: &str, value: String| rows.push(vec![name.to_owned(), value]);
        let Decision { kind, cluster, because } = &self.decision;
        row(
            "decision",
            match (kind, cluster) {
                (DecisionType::Forward, Some(cluster)) => format!("forward to {cluster}"),
                (DecisionType::Forward, None) => format!("forward: {because}"),
                (DecisionType::Close, _) => format!("close: {because}"),
                (DecisionType::Drop, _) => format!("drop: {because}"),
            },
        );
        self.listener.iter().for_each(|listener| row("listener", listener.clone()));
        match self.tls {
            Some(TlsMode::Terminate) => row("tls", "ends here".to_owned()),
            Some(TlsMode::Passthrough) => row("tls", "passes through, to the backend".to_owned()),
            None => {}
        }
        self.route.iter().for_each(|route| row("route", format!("{route}  spec.rules[0]")));
        let total: u64 = self.backends.iter().map(|backend| u64::from(backend.weight)).sum();
        for backend in &self.backends {
            let target = match &backend.cluster {
                Some(cluster) => cluster.clone(),
                None => format!("cannot be used, {}", failure(self.transport)),
            };
            row("backend", format!("{target}  weight {} of {total}", backend.weight));
        }
        let mut text = table(&rows);
        if !self.candidates.is_empty() {
            let mut rows = vec![["", "CANDIDATE", "LISTENER", "BECAUSE"].map(str::to_owned).to_vec()];
            rows.extend(self.candidates.iter().map(|candidate| {
                let mark = if candidate.won { "*" } else { " " };
                let Candidate { route, listener, because, .. } = candidate;
                vec![mark.to_owned(), route.to_string(), listener.clone(), because.clone()]
            }));
            text.push('\n');
            text.push_str(&table(&rows));
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read() {
        assert_eq!(parse("tls://a.test").unwrap(), (Protocol::Tls, "a.test", 443));
        assert_eq!(parse("tls://a.test:8443").unwrap(), (Protocol::Tls, "a.test", 8443));
        assert_eq!(parse("tls://:8443").unwrap(), (Protocol::Tls, "", 8443));
        assert_eq!(parse("tcp://:5432").unwrap(), (Protocol::Tcp, "", 5432));
        assert_eq!(parse("udp://[::1]:53").unwrap(), (Protocol::Udp, "[::1]", 53));
        for (address, says) in [
            ("tcp://db", "names no port"),
            ("udp://[::1]", "names no port"),
            ("tcp://:no", "not a port"),
            ("tcp://:99999", "not a port"),
            ("tls://a.test/x", "has a path"),
            ("http://a.test", "does not begin with"),
        ] {
            let error = format!("{:#}", parse(address).unwrap_err());
            assert!(error.contains(says), "{address}: {error}");
        }
    }

    #[test]
    fn an_exact_name_says_most_then_the_longest_wildcard() {
        let asked = Some("a.b.test");
        let ranks = [None, Some("*.test"), Some("*.b.test"), Some("a.b.test")].map(|name| rank(name, asked));
        assert!(ranks.iter().all(Option::is_some) && ranks.is_sorted(), "{ranks:?}");
        assert_eq!(rank(Some("b.test"), asked), None);
        assert_eq!(rank(Some("*.b.test"), Some("b.test")), None);
        assert_eq!(rank(Some("*.b.test"), Some(".b.test")), None);
        assert_eq!(rank(Some("*.test"), None), None);
        assert!(rank(None, None).is_some());
    }
}
