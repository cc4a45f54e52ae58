//! The translated configuration: what the data plane must do, free of Kubernetes and of Envoy.
//! `translate` makes it, `render` turns it into Envoy resources. Data only.

mod tls;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use gatewasm_routing::config::{self, FilterConfig};
use serde::Serialize;

use crate::object::ObjectKey;

pub use tls::*;

/// Everything that one set of Envoys serves.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Model {
    /// The accepted Gateways of ours.
    pub gateways: BTreeMap<ObjectKey, Gateway>,
    /// Every cluster that a rule or a mirror names, by its name: `namespace/service/port`, and behind it what is spoken
    /// where it is not HTTP/1.1: `/h2c`, `/tls`, or `/h2/tls`; and behind that the Secret with the certificate that
    /// backends are shown, `/namespace/name`.
    pub clusters: BTreeMap<String, Cluster>,
    /// Every L4 route that a listener forwards to, by its name: `TCPRoute/namespace/name`, and behind it `/tls` where
    /// TLS ends before and a backend is to be spoken TLS with; and behind that the Secret with the certificate that
    /// backends are shown, `/namespace/name`.
    pub splits: BTreeMap<String, Split>,
    /// Every policy that a rule names, by its name.
    pub policies: BTreeMap<String, Policy>,
    /// Certificates that TLS listeners and backends are shown, by Secret.
    pub certificates: BTreeMap<ObjectKey, Certificate>,
    /// Certificates of authorities that listeners and clusters name, in PEM, by the ConfigMaps that they are from:
    /// `namespace/name/ca`, several joined by `+`.
    pub authorities: BTreeMap<String, String>,
    /// The routes, as the filter takes them. Compiles without a refusal.
    pub filter_config: FilterConfig,
    /// What L4 routes are attached to and do not get. No data plane needs it; people ask for it.
    pub overruled: Vec<Overruled>,
}

impl Model {
    /// What the data plane of one Gateway needs of it, without a key for sessions: each has its own.
    pub fn only(&self, gateway: &ObjectKey) -> Self {
        let name = gateway.to_string();
        let listeners = self.filter_config.listeners.iter().filter(|listener| listener.gateway == name);
        let gateways: BTreeMap<_, _> = self.gateways.get_key_value(gateway).into_iter().collect();
        let mut model = Self {
            certificates: self.certificates.clone(),
            authorities: self.authorities.clone(),
            gateways: gateways.into_iter().map(|(key, it)| (key.clone(), it.clone())).collect(),
            clusters: self.clusters.clone(),
            splits: self.splits.clone(),
            policies: self.policies.clone(),
            filter_config: FilterConfig {
                session_key: None,
                listeners: listeners.cloned().collect(),
                ..self.filter_config
            },
            overruled: Vec::new(),
        };
        model.retain_used();
        model
    }

    /// The same without its routes and clusters.
    pub(crate) fn without_routes(&self) -> Self {
        Self { gateways: self.gateways.clone(), policies: self.policies.clone(), ..Self::default() }
    }

    /// Forgets clusters, splits and policies that nothing attached names, and what only they need.
    pub(crate) fn retain_used(&mut self) {
        let routes = self.filter_config.listeners.iter().flat_map(|listener| &listener.routes);
        let rules = routes.flat_map(|route| &route.rules);
        let backends = || rules.clone().flat_map(|rule| &rule.backends);
        let policies: BTreeSet<&String> = rules
            .clone()
            .filter_map(|rule| rule.policy.as_ref())
            .chain(backends().filter_map(|backend| backend.policy.as_ref()))
            .collect();
        self.policies.retain(|name, _| policies.contains(name));
        let mirrors = self.policies.values().flat_map(|policy| &policy.mirrors).map(|mirror| &mirror.cluster);
        let clusters: BTreeSet<&String> =
            backends().filter_map(|backend| backend.cluster.as_ref()).chain(mirrors).collect();
        self.clusters.retain(|name, _| clusters.contains(name));
        let listeners = self.gateways.values().flat_map(|gateway| gateway.listeners.values());
        let splits: BTreeSet<&String> =
            listeners.flat_map(|listener| &listener.forwards).filter_map(|it| it.split.as_ref()).collect();
        self.splits.retain(|name, _| splits.contains(name));
        self.retain_used_of_tls();
    }

    fn retain_used_of_tls(&mut self) {
        let listeners = || self.gateways.values().flat_map(|gateway| gateway.listeners.values());
        let shares = || self.splits.values().flat_map(|split| &split.shares);
        let backends = || {
            let clusters = self.clusters.values().filter_map(|cluster| cluster.tls.as_ref());
            clusters.chain(shares().filter_map(|share| share.tls.as_ref()))
        };
        let certificates: BTreeSet<&ObjectKey> = listeners()
            .flat_map(|listener| &listener.certificates)
            .chain(backends().filter_map(|tls| tls.client_certificate.as_ref()))
            .collect();
        self.certificates.retain(|key, _| certificates.contains(key));
        let of_backends = backends().filter_map(|tls| match &tls.authorities {
            Authorities::Named(name) => Some(name),
            Authorities::System => None,
        });
        let authorities: BTreeSet<&String> = listeners()
            .filter_map(|listener| Some(&listener.client_validation.as_ref()?.authorities))
            .chain(of_backends)
            .collect();
        self.authorities.retain(|name, _| authorities.contains(name));
    }
}

/// One accepted Gateway.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gateway {
    /// Addresses asked for by `spec.addresses`; empty where the environment chooses.
    pub addresses: Vec<IpAddr>,
    /// The listeners that can be served, by name (`sectionName`).
    pub listeners: BTreeMap<String, Listener>,
}

/// One listener that can be served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listener {
    /// `spec.listeners[].port`.
    pub port: u16,
    /// What is spoken on it.
    pub protocol: Protocol,
    /// Exact or `*.` hostname; `None` for every host. On HTTPS and TLS it is the SNI of the connections.
    pub hostname: Option<String>,
    /// Secrets with the certificates, in the order of `tls.certificateRefs`; empty where TLS does not end here.
    pub certificates: Vec<ObjectKey>,
    /// Who is let in; everybody where absent.
    pub client_validation: Option<ClientValidation>,
    /// Whether HTTP/3 is served as well: on HTTPS alone, and where no UDP listener has the port.
    pub http3: bool,
    /// Where connections and datagrams go that are not read as HTTP; empty on HTTP and HTTPS.
    pub forwards: Vec<Forward>,
}

/// What a listener speaks (`ProtocolType`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Protocol {
    /// HTTP without TLS.
    Http,
    /// HTTP over TLS that ends here.
    Https,
    /// TLS around anything. It ends here where the listener has certificates.
    Tls,
    /// Any bytes.
    Tcp,
    /// Datagrams.
    Udp,
}

impl Protocol {
    /// What carries it.
    pub fn transport(self) -> Transport {
        match self {
            Self::Http | Self::Https | Self::Tls | Self::Tcp => Transport::Tcp,
            Self::Udp => Transport::Udp,
        }
    }

    /// What the filter calls it, where the filter takes its requests.
    pub fn http(self) -> Option<config::Protocol> {
        match self {
            Self::Http => Some(config::Protocol::Http),
            Self::Https => Some(config::Protocol::Https),
            Self::Tls | Self::Tcp | Self::Udp => None,
        }
    }

    /// As it stands at the beginning of an address.
    pub fn scheme(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
            Self::Tls => "tls",
            Self::Tcp => "tcp",
            Self::Udp => "udp",
        }
    }

    /// Whether listeners with it can share a port, told apart by the server name that a client asks for.
    pub fn is_by_server_name(self) -> bool {
        matches!(self, Self::Https | Self::Tls)
    }
}

impl Listener {
    /// What carries it: both where HTTP/3 is served beside HTTPS.
    pub fn transports(&self) -> impl Iterator<Item = Transport> {
        [Some(self.protocol.transport()), self.http3.then_some(Transport::Udp)].into_iter().flatten()
    }
}

/// What carries a protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Transport {
    /// Connections.
    Tcp,
    /// Datagrams.
    Udp,
}

impl Transport {
    /// As Kubernetes writes it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Tcp => "TCP",
            Self::Udp => "UDP",
        }
    }
}

/// Where some connections of a listener go. No two of a port's have a hostname in common.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Forward {
    /// Exact and `*.` server names; none for every connection that no other takes.
    pub hostnames: Vec<String>,
    /// One of [`Model::splits`]; `None` where they are closed.
    pub split: Option<String>,
}

/// What an L4 route asked a listener for, and another gets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Overruled {
    /// `gateway namespace/gateway name/section`.
    pub listener: String,
    /// `TCPRoute/namespace/name`.
    pub route: String,
    /// The server name; `None` for all that no other says.
    pub hostname: Option<String>,
    /// Who gets it.
    pub by: OverruledBy,
}

/// Who gets what an L4 route does not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OverruledBy {
    /// A route that is older, or comes first by name: `TCPRoute/namespace/name`.
    Route(String),
    /// A listener of the same port whose hostname says more of the server name.
    Listener,
}

/// The backends of an L4 route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Split {
    /// Connections or datagrams.
    pub transport: Transport,
    /// The backends, in the order of the route.
    pub shares: Vec<Share>,
}

/// One backend of an L4 route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Share {
    /// `namespace/service/port`; `None` where it cannot be used.
    pub backend: Option<String>,
    /// Its part of all weights.
    pub weight: u32,
    /// Ready endpoints; without any, its connections are closed and its datagrams dropped.
    pub endpoints: BTreeSet<Endpoint>,
    /// How TLS is spoken with them; `None` for what clients send, as it is.
    pub tls: Option<BackendTls>,
}

impl Share {
    /// Of a backend that cannot be used.
    pub(crate) fn unusable(weight: u32) -> Self {
        Self { backend: None, weight, endpoints: BTreeSet::new(), tls: None }
    }
}

/// One port of one Service.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cluster {
    /// Ready endpoints; empty answers 503.
    pub endpoints: BTreeSet<Endpoint>,
    /// What is spoken with them.
    pub protocol: BackendProtocol,
    /// How TLS is spoken with them; `None` for clear text.
    pub tls: Option<BackendTls>,
}

/// What a backend is spoken to with, in clear text or in TLS.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum BackendProtocol {
    /// HTTP/1.1.
    #[default]
    Http1,
    /// HTTP/2 with prior knowledge.
    Http2,
}

/// Where a backend listens.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Endpoint {
    /// IP address, or a DNS name where `--backend` named one.
    pub host: String,
    /// Port.
    pub port: u16,
}

/// What a rule asks of Envoy's own machinery. The default asks for nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Policy {
    /// Limit of the whole request; `None` is none.
    pub request_timeout: Option<Duration>,
    /// Limit of each try; `None` is none.
    pub backend_timeout: Option<Duration>,
    /// Whether and when a request is tried again.
    pub retry: Option<Retry>,
    /// Who gets copies.
    pub mirrors: Vec<Mirror>,
    /// Whether a client is pinned to the endpoint that its session names.
    pub session: bool,
}

/// When a request is tried again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Retry {
    /// How often at most, not counting the first try.
    pub attempts: u32,
    /// Status codes that are tried again; broken connections are in any case.
    pub codes: BTreeSet<u16>,
    /// The time that should be between two tries.
    pub backoff: Option<Duration>,
}

/// A copy of requests.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Mirror {
    /// The cluster that gets it.
    pub cluster: String,
    /// Of how many requests, in parts of [`PER_MILLION`]; never 0.
    pub per_million: u32,
}

/// All requests, as a share of a [`Mirror`].
pub const PER_MILLION: u32 = 1_000_000;

/// A certificate with its key, already found to belong together.
#[derive(Clone, PartialEq, Eq)]
pub struct Certificate {
    /// PEM, leaf first.
    pub chain: String,
    /// PEM.
    pub private_key: String,
}

impl std::fmt::Debug for Certificate {
    /// Leaves the key out, so that it can never reach a log.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Certificate").field("chain", &self.chain).finish_non_exhaustive()
    }
}
