//! Backends: backendRefs into clusters with endpoints, and what cannot be used into shares that answer 500.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use gatewasm_routing::config;
use k8s_openapi::api::core::v1::{Service, ServicePort};
use k8s_openapi::api::discovery::v1::{EndpointPort, EndpointSlice};

use super::backend_tls::BackendTlsPolicies;
use super::policy::Policies;
use super::reference_grant::{From, Grants};
use super::{Options, Problems};
use crate::api::{BackendObjectReference, BackendRef, HttpBackendRef, Port};
use crate::model::{BackendProtocol, BackendTls, Cluster, Endpoint, Policy, Share, Transport};
use crate::object::{ObjectKey, ObjectRef};
use crate::problem::Problem;
use crate::snapshot::Snapshot;
use crate::status::{Fault, PolicyStatus};

const SERVICE_NAME_LABEL: &str = "kubernetes.io/service-name";

/// What a route speaks with its backends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Speaks {
    /// What the Service's port says, else HTTP/1.1.
    AsService,
    /// HTTP/2, as gRPC needs it ("Implementations MAY infer the protocol from the Route type", `GRPCBackendRef`).
    Http2,
}

/// What every reference to a backend has, whatever stands beside it.
#[derive(Clone, Copy)]
struct Reference<'r> {
    group: &'r str,
    kind: &'r str,
    name: &'r str,
    namespace: Option<&'r str>,
    port: Option<Port>,
}

macro_rules! reference_of {
    ($kind:ty) => {
        impl<'r> std::convert::From<&'r $kind> for Reference<'r> {
            fn from(it: &'r $kind) -> Self {
                let (group, kind, name) = (&it.group, &it.kind, &it.name);
                Self { group, kind, name, namespace: it.namespace.as_deref(), port: it.port }
            }
        }
    };
}
reference_of!(HttpBackendRef);
reference_of!(BackendObjectReference);
reference_of!(BackendRef);

/// A port of a Service.
struct Target<'a> {
    key: ObjectKey,
    service: &'a Service,
    port: &'a ServicePort,
    number: u16,
}

/// Everything that backends resolve against, and the clusters and policies found so far.
pub(super) struct Backends<'a> {
    snapshot: &'a Snapshot,
    options: &'a Options,
    grants: &'a Grants<'a>,
    slices: BTreeMap<(&'a str, &'a str), Vec<(&'a ObjectKey, &'a EndpointSlice)>>,
    clusters: BTreeMap<String, Cluster>,
    policies: Policies,
    tls: BackendTlsPolicies<'a>,
    /// The Services that the route refers to which is being translated.
    referred: BTreeSet<ObjectKey>,
    /// Ports of Services that something is sent to.
    used: BTreeSet<(ObjectKey, u16)>,
    problems: Vec<Problem>,
}

/// What came of all backendRefs.
pub(super) struct Found {
    /// Every cluster that a rule names.
    pub(super) clusters: BTreeMap<String, Cluster>,
    /// Every policy that a rule names.
    pub(super) policies: BTreeMap<String, Policy>,
    /// Certificates of authorities, of which clusters name some.
    pub(super) authorities: BTreeMap<String, String>,
    /// Of the BackendTLSPolicies that a Gateway is concerned with.
    pub(super) statuses: BTreeMap<ObjectKey, PolicyStatus>,
}

impl<'a> Backends<'a> {
    pub(super) fn new(snapshot: &'a Snapshot, options: &'a Options, grants: &'a Grants<'a>) -> Self {
        let mut slices: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for (key, slice) in &snapshot.endpoint_slices {
            if let Some(service) = slice.metadata.labels.as_ref().and_then(|l| l.get(SERVICE_NAME_LABEL)) {
                slices
                    .entry((key.namespace.as_str(), service.as_str()))
                    .or_default()
                    .push((key, slice.as_ref()));
            }
        }
        Self {
            snapshot,
            options,
            grants,
            slices,
            clusters: BTreeMap::new(),
            policies: Policies::default(),
            tls: BackendTlsPolicies::new(snapshot, grants),
            referred: BTreeSet::new(),
            used: BTreeSet::new(),
            problems: Vec::new(),
        }
    }

    /// The Services that were referred to, and might be, since this was asked last.
    pub(super) fn take_referred(&mut self) -> BTreeSet<ObjectKey> {
        std::mem::take(&mut self.referred)
    }

    /// Takes note of a route that is attached to a Gateway and sends requests to these Services.
    pub(super) fn used(&mut self, gateway: &ObjectKey, services: &BTreeSet<ObjectKey>) {
        self.tls.used(gateway, services);
    }

    /// The share of one backendRef of a route, and what is wrong with it.
    pub(super) fn resolve(
        &mut self,
        backend: &HttpBackendRef,
        from: From<'_>,
        speaks: Speaks,
        field: &str,
    ) -> (config::Backend, Option<Fault>) {
        let weight = backend.weight.get();
        match self.cluster(backend.into(), from, speaks, field) {
            Ok(cluster) => {
                (config::Backend { cluster: Some(cluster), weight, ..config::Backend::default() }, None)
            }
            Err(fault) => {
                let invalid = Some(fault.message.clone());
                (config::Backend { invalid, weight, ..config::Backend::default() }, Some(fault))
            }
        }
    }

    /// The name of the cluster that copies go to which a route in `from` sends to `backend`.
    pub(super) fn mirror(
        &mut self,
        backend: &BackendObjectReference,
        from: From<'_>,
        speaks: Speaks,
        field: &str,
    ) -> Result<String, Fault> {
        self.cluster(backend.into(), from, speaks, field)
    }

    /// The share of one backendRef of an L4 route, and what is wrong with it; and how a BackendTLSPolicy wants it to be
    /// spoken TLS with, or why that cannot be done. The share itself is without TLS.
    pub(super) fn share(
        &mut self,
        backend: &BackendRef,
        from: From<'_>,
        transport: Transport,
        field: &str,
    ) -> (Share, Option<Fault>, Option<Result<BackendTls, Fault>>) {
        let weight = backend.weight.get();
        match self.target(backend.into(), from, transport, field) {
            Ok(target) => {
                let refused = match transport {
                    Transport::Tcp => "connections are closed",
                    Transport::Udp => "datagrams are dropped",
                };
                let backend = Some(format!("{}/{}", target.key, target.number));
                let tls = self.tls.of_port(&target.key, target.port, field);
                (Share { backend, weight, endpoints: self.endpoints(&target, refused), tls: None }, None, tls)
            }
            Err(fault) => (Share::unusable(weight), Some(fault), None),
        }
    }

    /// The name of a policy, which is kept; none where it asks for nothing.
    pub(super) fn policy(&mut self, policy: Policy) -> Option<String> {
        self.policies.name(policy)
    }

    /// The Service of a backendRef that a route in `namespace` may use, where it has a session affinity of its own.
    pub(super) fn with_affinity(&self, backend: &HttpBackendRef, namespace: &str) -> Option<ObjectKey> {
        let key = ObjectKey::new(backend.namespace.as_deref().unwrap_or(namespace), &backend.name);
        let spec = self.snapshot.services.get(&key)?.spec.as_ref()?;
        (spec.session_affinity.as_deref() == Some("ClientIP")).then_some(key)
    }

    /// The name of the cluster that a backendRef means.
    fn cluster(
        &mut self,
        backend: Reference<'_>,
        from: From<'_>,
        speaks: Speaks,
        field: &str,
    ) -> Result<String, Fault> {
        let target = self.target(backend, from, Transport::Tcp, field)?;
        let Target { key, port, number, .. } = &target;
        let tls = self.tls.of_port(key, port, field).transpose()?;
        let protocol = protocol(port.app_protocol.as_deref(), speaks, tls.is_some()).map_err(|way_out| {
            let said = port.app_protocol.as_deref().unwrap_or_default();
            let message = format!(
                "Port {number} of Service \"{key}\" has appProtocol {said:?}, which is not supported; {way_out}."
            );
            Fault::new(field, "UnsupportedProtocol", message)
        })?;
        let spoken = match (protocol, &tls) {
            (BackendProtocol::Http1, None) => "",
            (BackendProtocol::Http2, None) => "/h2c",
            (BackendProtocol::Http1, Some(_)) => "/tls",
            (BackendProtocol::Http2, Some(_)) => "/h2/tls",
        };
        let name = format!("{key}/{number}{spoken}");
        if !self.clusters.contains_key(&name) {
            let refused = match protocol {
                BackendProtocol::Http1 => "requests are answered 503",
                BackendProtocol::Http2 => "requests are answered 503 (UNAVAILABLE)",
            };
            let endpoints = self.endpoints(&target, refused);
            self.clusters.insert(name.clone(), Cluster { endpoints, protocol, tls });
        }
        Ok(name)
    }

    /// The port of a Service that a backendRef means. Reasons as in `RouteConditionResolvedRefs`.
    fn target(
        &mut self,
        backend: Reference<'_>,
        from: From<'_>,
        transport: Transport,
        field: &str,
    ) -> Result<Target<'a>, Fault> {
        if !backend.group.is_empty() || backend.kind != "Service" {
            let Reference { kind, group, .. } = backend;
            let message = format!("Kind {kind:?} of group {group:?} is not supported; refer to a Service.");
            return Err(Fault::new(format!("{field}.kind"), "InvalidKind", message));
        }
        let key = ObjectKey::new(backend.namespace.unwrap_or(from.namespace), backend.name);
        if !self.grants.permit(from, "Service", &key) {
            // Said before anything is known of the Service, so that nobody learns whether it exists.
            let message = format!(
                "Service \"{key}\" is in another namespace and no ReferenceGrant in {:?} permits {}s of {:?} to use it.",
                key.namespace, from.kind, from.namespace
            );
            return Err(Fault::new(field, "RefNotPermitted", message));
        }
        self.referred.insert(key.clone());
        let Some(service) = self.snapshot.services.get(&key) else {
            return Err(Fault::new(field, "BackendNotFound", format!("Service \"{key}\" does not exist.")));
        };
        let spec = service.spec.as_ref();
        if spec.and_then(|spec| spec.type_.as_deref()) == Some("ExternalName") {
            let message = format!(
                "Service \"{key}\" is of type ExternalName, which could lead anywhere; use another type."
            );
            return Err(Fault::new(field, "UnsupportedValue", message));
        }
        let ports = spec.and_then(|spec| spec.ports.as_deref()).unwrap_or_default();
        let ports: Vec<&ServicePort> =
            ports.iter().filter(|port| is_over(port.protocol.as_deref(), transport)).collect();
        let numbers = || match ports.as_slice() {
            [] => "none".to_owned(),
            some => some.iter().map(|port| port.port.to_string()).collect::<Vec<_>>().join(", "),
        };
        let Some(number) = backend.port else {
            let message = format!("A Service needs a port; Service \"{key}\" has {}.", numbers());
            return Err(Fault::new(format!("{field}.port"), "UnsupportedValue", message));
        };
        let Some(port) = ports.iter().find(|port| port.port == i32::from(number.get())) else {
            let message =
                format!("Service \"{key}\" has no {} port {number}; it has {}.", transport.name(), numbers());
            return Err(Fault::new(format!("{field}.port"), "BackendNotFound", message));
        };
        Ok(Target { key, service, port, number: number.get() })
    }

    /// `refused` is what happens without any.
    fn endpoints(&mut self, target: &Target<'_>, refused: &str) -> BTreeSet<Endpoint> {
        let Target { key, port, number, .. } = target;
        self.used.insert((key.clone(), *number));
        let flags = self.options.backends.iter().filter(|flag| flag.is_for(key, *number));
        let mut endpoints: BTreeSet<Endpoint> = flags.map(super::BackendOverride::endpoint).collect();
        if endpoints.is_empty() {
            endpoints = self.endpoints_of_slices(key, port);
        }
        if endpoints.is_empty() {
            self.warn_of_no_endpoint(target, refused);
        }
        endpoints
    }

    /// Ready endpoints of the Service's slices. A slice's port belongs to the Service's port of the same name; it
    /// carries the number that the pods listen on (`EndpointPort`).
    fn endpoints_of_slices(&mut self, key: &ObjectKey, port: &ServicePort) -> BTreeSet<Endpoint> {
        let mut endpoints = BTreeSet::new();
        let transport =
            if is_over(port.protocol.as_deref(), Transport::Udp) { Transport::Udp } else { Transport::Tcp };
        let slices =
            self.slices.get(&(key.namespace.as_str(), key.name.as_str())).cloned().unwrap_or_default();
        for (slice_key, slice) in slices {
            let place = ObjectRef::namespaced("EndpointSlice", slice_key);
            if !matches!(slice.address_type.as_str(), "IPv4" | "IPv6") {
                let kind = &slice.address_type;
                let message = format!("Addresses of type {kind:?} are not supported; use IPv4 or IPv6.");
                self.error(&place, Fault::new("addressType", "UnsupportedAddress", message));
                continue;
            }
            let is_meant = |p: &&EndpointPort| {
                p.name.as_deref().unwrap_or_default() == port.name.as_deref().unwrap_or_default()
                    && is_over(p.protocol.as_deref(), transport)
            };
            let Some(target) = slice.ports.iter().flatten().find(is_meant) else { continue };
            let Some(target) = target.port.and_then(|number| u16::try_from(number).ok()).filter(|n| *n > 0)
            else {
                let message = format!(
                    "The port named {:?} has no number from 1 to 65535.",
                    target.name.as_deref().unwrap_or_default()
                );
                self.error(&place, Fault::new("ports", "UnsupportedValue", message));
                continue;
            };
            for (i, endpoint) in slice.endpoints.iter().flatten().enumerate() {
                // "A nil value should be interpreted as "true"" (`EndpointConditions.ready`).
                if endpoint.conditions.as_ref().and_then(|conditions| conditions.ready) == Some(false) {
                    continue;
                }
                for (j, address) in endpoint.addresses.iter().enumerate() {
                    match usable(address, self.options.local) {
                        Ok(address) => {
                            endpoints.insert(Endpoint { host: address.to_string(), port: target });
                        }
                        Err(why) => {
                            let field = format!("endpoints[{i}].addresses[{j}]");
                            self.error(
                                &place,
                                Fault::new(field, "UnsupportedAddress", format!("{address:?} {why}.")),
                            );
                        }
                    }
                }
            }
        }
        endpoints
    }

    fn warn_of_no_endpoint(&mut self, target: &Target<'_>, refused: &str) {
        let Target { key, service, port, number } = target;
        let message = if self.options.local {
            format!(
                "No endpoint is ready on port {number}, so {refused}; name one with \
                 --backend {key}:{number}=HOST:PORT, or add an EndpointSlice."
            )
        } else {
            format!("No endpoint is ready on port {number}, so {refused}.")
        };
        let index = service.spec.iter().flat_map(|spec| spec.ports.iter().flatten());
        let index = index.take_while(|other| other != port).count();
        let fault = Fault::new(format!("spec.ports[{index}]"), "NoEndpoints", message);
        let place = ObjectRef::namespaced("Service", key);
        self.problems.push(fault.problem(&place, crate::problem::Severity::Warning));
    }

    fn error(&mut self, place: &ObjectRef, fault: Fault) {
        self.problems.push(fault.problem(place, crate::problem::Severity::Error));
    }

    /// What the rules need and the statuses of BackendTLSPolicies; hands over the problems.
    pub(super) fn finish(self, problems: &mut Problems) -> Found {
        problems.0.extend(self.problems);
        for flag in &self.options.backends {
            let key = ObjectKey::new(&flag.namespace, &flag.service);
            if !self.used.iter().any(|(service, port)| flag.is_for(service, *port)) {
                let message = format!("No route sends requests to what \"--backend {flag}\" is for.");
                problems.warning(
                    &ObjectRef::namespaced("Service", &key),
                    &Fault::new("", "UnusedBackend", message),
                );
            }
        }
        let (statuses, authorities) = self.tls.finish(problems);
        Found { clusters: self.clusters, policies: self.policies.finish(), authorities, statuses }
    }
}

/// Whether a port with this `protocol` is one of `transport`.
fn is_over(protocol: Option<&str>, transport: Transport) -> bool {
    protocol.unwrap_or(Transport::Tcp.name()) == transport.name()
}

/// What is spoken with a port of a Service; where it cannot be what `appProtocol` says, the way out (GEP-1911).
///
/// WebSockets are HTTP/1.1 with an upgrade, which every HTTP/1.1 backend may do: "Absence of the appProtocol field does
/// not imply the implementation should disable any features". Where a BackendTLSPolicy asks for TLS, all of it is spoken
/// in TLS, also what is cleartext by its name.
fn protocol(app_protocol: Option<&str>, speaks: Speaks, tls: bool) -> Result<BackendProtocol, &'static str> {
    // Names of the IANA's registry have no case (RFC 6335 §5.1).
    let https = app_protocol.is_some_and(|said| said.eq_ignore_ascii_case("https"));
    match (app_protocol, speaks) {
        (None | Some("http" | "kubernetes.io/ws"), Speaks::AsService) => Ok(BackendProtocol::Http1),
        (Some("kubernetes.io/h2c"), Speaks::AsService) => Ok(BackendProtocol::Http2),
        (None | Some("http" | "kubernetes.io/h2c" | "grpc"), Speaks::Http2) => Ok(BackendProtocol::Http2),
        (Some("kubernetes.io/wss"), Speaks::AsService) if tls => Ok(BackendProtocol::Http1),
        (Some(_), Speaks::AsService) if https && tls => Ok(BackendProtocol::Http1),
        (Some(_), Speaks::Http2) if https && tls => Ok(BackendProtocol::Http2),
        // "Only if there is a corresponding BackendTLSPolicy" (GEP-1911): without one there is nothing to verify the
        // backend with.
        (Some("kubernetes.io/wss"), Speaks::AsService) => {
            Err("say how the backend is verified by a BackendTLSPolicy")
        }
        (Some(_), _) if https => Err("say how the backend is verified by a BackendTLSPolicy"),
        (Some(_), Speaks::AsService) => {
            Err("leave it out for HTTP/1.1 and WebSockets, or set \"kubernetes.io/h2c\" for HTTP/2")
        }
        (Some(_), Speaks::Http2) => {
            Err("a GRPCRoute speaks HTTP/2, so set \"kubernetes.io/h2c\" or leave it out")
        }
    }
}

/// An endpoint's address, unless it could be a way into what must not be reached: this machine, its network
/// configuration, cloud metadata. The API server refuses unspecified, loopback and link-local addresses in
/// EndpointSlices as well (`validation.ValidateEndpointSlice`); here loopback ones are allowed in local mode.
fn usable(text: &str, local: bool) -> Result<IpAddr, &'static str> {
    let address: IpAddr = text.parse().map_err(|_| "is not an IP address")?;
    // An IPv4 address in IPv6 clothes is judged as what it is.
    let is_link_local = match address.to_canonical() {
        IpAddr::V4(v4) => v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_unicast_link_local(),
    };
    let plain = address.to_canonical();
    if is_link_local {
        Err("is a link-local address, which is not served")
    } else if plain.is_unspecified() || plain.is_multicast() || plain == IpAddr::from([255, 255, 255, 255]) {
        Err("is not the address of one machine")
    } else if plain.is_loopback() && !local {
        Err("is a loopback address, which is served in local mode only")
    } else {
        Ok(plain)
    }
}

#[cfg(test)]
mod tests {
    use super::usable;

    #[test]
    fn addresses_that_lead_home_are_refused() {
        for bad in [
            "169.254.169.254",
            "::ffff:169.254.169.254",
            "fe80::1",
            "0.0.0.0",
            "::",
            "224.0.0.1",
            "ff02::1",
            "x",
        ] {
            assert!(usable(bad, true).is_err(), "{bad}");
        }
        for loopback in ["127.0.0.1", "127.8.8.8", "::1", "::ffff:127.0.0.1"] {
            assert!(usable(loopback, false).is_err(), "{loopback}");
            assert!(usable(loopback, true).is_ok(), "{loopback}");
        }
        for good in ["10.0.0.1", "fd00::1", "192.168.1.1"] {
            assert!(usable(good, false).is_ok(), "{good}");
        }
    }
}
