//! Listeners: protocol, conflicts, TLS, and which kinds of routes they take.

use std::collections::BTreeMap;

use gatewasm_routing::config;

use super::certificate;
use super::client_validation;
use super::hostname;
use super::reference_grant::{From, Grants};
use super::stream::Stream;
use super::{Options, Problems};
use crate::api::{self, GROUP, RouteGroupKind, TlsMode};
use crate::http3;
use crate::model::{self, Forward, Protocol};
use crate::object::{ObjectKey, ObjectRef};
use crate::snapshot::Snapshot;
use crate::status::{Conditions, Fault, ListenerStatus};

/// Whose listener it is. What a Gateway and its ListenerSets have is served as one, and named by each on its own.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Owner<'a> {
    Gateway(&'a ObjectKey),
    ListenerSet(&'a ObjectKey),
}

impl<'a> Owner<'a> {
    pub(super) fn kind(self) -> &'static str {
        match self {
            Self::Gateway(_) => "Gateway",
            Self::ListenerSet(_) => "ListenerSet",
        }
    }

    pub(super) fn key(self) -> &'a ObjectKey {
        match self {
            Self::Gateway(key) | Self::ListenerSet(key) => key,
        }
    }

    fn place(self) -> ObjectRef {
        ObjectRef::namespaced(self.kind(), self.key())
    }
}

/// A listener of a Gateway of ours, accepted or not.
pub(super) struct Listener<'a> {
    pub(super) owner: Owner<'a>,
    pub(super) spec: &'a api::Listener,
    /// `spec.listeners[0]`.
    field: String,
    /// `None` where the protocol is not one of ours.
    protocol: Option<Protocol>,
    /// What keeps it from being accepted.
    faults: Vec<Fault>,
    /// The conflict, where there is one; it is among the faults as well.
    conflict: Option<Fault>,
    /// Another HTTPS listener of the port that shares hosts with it.
    overlap: Option<Fault>,
    /// References that do not resolve.
    ref_faults: Vec<Fault>,
    /// Certificates that can be used, in the order of the spec.
    certificate_order: Vec<ObjectKey>,
    pub(super) certificates: BTreeMap<ObjectKey, model::Certificate>,
    /// Who is let in; everybody where absent.
    client_validation: Option<model::ClientValidation>,
    pub(super) authorities: Option<(String, String)>,
    http3: bool,
    /// What is asked for and not in effect, although the listener is served.
    shortfalls: Vec<Fault>,
    supported_kinds: Vec<RouteGroupKind>,
    /// How many accepted routes are attached.
    pub(super) attached: u32,
    /// The attached HTTPRoutes and GRPCRoutes, by kind and key.
    pub(super) routes: Vec<config::Route>,
    /// The attached routes of other kinds, by kind and key.
    pub(super) streams: Vec<Stream>,
}

/// The listeners of a Gateway or of one of its ListenerSets.
pub(super) fn translate<'a>(
    owner: Owner<'a>,
    specs: &'a [api::Listener],
    (key, gateway): (&ObjectKey, &api::Gateway),
    snapshot: &Snapshot,
    grants: &Grants<'_>,
    options: &Options,
    problems: &mut Problems,
) -> Vec<Listener<'a>> {
    let place = owner.place();
    let mut listeners: Vec<Listener<'a>> = Vec::new();
    for (i, spec) in specs.iter().enumerate() {
        // The API server keeps names unique; whoever hands in two of one name gets the first.
        if listeners.iter().any(|listener| listener.spec.name == spec.name) {
            continue;
        }
        let field = format!("spec.listeners[{i}]");
        let mut listener = translate_one(owner, spec, &field);
        if options.reserved_ports.as_ref().is_some_and(|ports| ports.contains(&spec.port.get())) {
            let message = format!("Port {} is the data plane's own; use another one.", spec.port);
            listener.faults.push(Fault::new(format!("{field}.port"), "PortUnavailable", message));
        }
        if ends_tls(spec, listener.protocol) && listener.faults.is_empty() {
            read_certificates(&mut listener, &field, snapshot, grants);
            if let Some(validation) = client_validation::of_port(key, gateway, spec.port, snapshot, grants) {
                listener.client_validation = validation.client;
                listener.authorities = validation.authorities;
                listener.ref_faults.extend(validation.ref_faults);
                listener.faults.extend(validation.fault);
            }
            read_options(&mut listener, &place, problems);
        }
        listeners.push(listener);
    }
    listeners
}

/// Looks at all listeners that a Gateway serves, in the order of precedence: which of them can be served beside each
/// other.
pub(super) fn settle(listeners: &mut [Listener<'_>], problems: &mut Problems) {
    find_conflicts(listeners);
    find_overlaps(listeners);
    find_http3(listeners);
    for listener in listeners {
        problems.errors(&listener.owner.place(), &listener.faults);
        problems.errors(&listener.owner.place(), &listener.ref_faults);
        problems.errors(&listener.owner.place(), &listener.shortfalls);
    }
}

fn translate_one<'a>(owner: Owner<'a>, spec: &'a api::Listener, field: &str) -> Listener<'a> {
    let protocol = match spec.protocol.as_str() {
        "HTTP" => Some(Protocol::Http),
        "HTTPS" => Some(Protocol::Https),
        "TLS" => Some(Protocol::Tls),
        "TCP" => Some(Protocol::Tcp),
        "UDP" => Some(Protocol::Udp),
        _ => None,
    };
    let mut faults = Vec::new();
    match protocol {
        None => {
            let message =
                format!("Protocol {:?} is not supported; use HTTP, HTTPS, TLS, TCP or UDP.", spec.protocol);
            faults.push(Fault::new(format!("{field}.protocol"), "UnsupportedProtocol", message));
        }
        Some(Protocol::Http | Protocol::Tcp | Protocol::Udp) if spec.tls.is_some() => {
            let message = match protocol {
                Some(Protocol::Http) => {
                    "A listener of protocol HTTP cannot have TLS; use protocol \"HTTPS\", or remove it."
                }
                Some(Protocol::Tcp) => {
                    "A listener of protocol TCP cannot have TLS; use protocol \"TLS\", or remove it."
                }
                _ => "A listener of protocol UDP cannot have TLS; remove it.",
            };
            faults.push(Fault::new(format!("{field}.tls"), "UnsupportedValue", message));
        }
        Some(Protocol::Https) if spec.tls.as_ref().is_some_and(|tls| tls.mode != TlsMode::Terminate) => {
            let message = "A listener of protocol HTTPS ends TLS itself; use mode \"Terminate\".";
            faults.push(Fault::new(format!("{field}.tls.mode"), "UnsupportedValue", message));
        }
        Some(Protocol::Tcp | Protocol::Udp) if spec.hostname.is_some() => {
            let message = format!("Nothing that is read of {} names a host; remove it.", spec.protocol);
            faults.push(Fault::new(format!("{field}.hostname"), "UnsupportedValue", message));
        }
        Some(Protocol::Tls) if spec.tls.is_none() => {
            let message = "A listener of protocol TLS needs a mode, \"Passthrough\" or \"Terminate\".";
            faults.push(Fault::new(format!("{field}.tls.mode"), "UnsupportedValue", message));
        }
        Some(Protocol::Https | Protocol::Tls)
            if ends_tls(spec, protocol)
                && spec.tls.as_ref().is_none_or(|tls| tls.certificate_refs.is_empty()) =>
        {
            let message = format!(
                "A listener of protocol {} that ends TLS needs a certificate; name a Secret of type \
                 kubernetes.io/tls.",
                spec.protocol
            );
            faults.push(Fault::new(format!("{field}.tls.certificateRefs"), "UnsupportedValue", message));
        }
        Some(_) => {}
    }
    let mut listener = Listener {
        owner,
        spec,
        field: field.to_owned(),
        protocol,
        faults,
        conflict: None,
        overlap: None,
        ref_faults: Vec::new(),
        certificate_order: Vec::new(),
        certificates: BTreeMap::new(),
        client_validation: None,
        authorities: None,
        http3: false,
        shortfalls: Vec::new(),
        supported_kinds: Vec::new(),
        attached: 0,
        routes: Vec::new(),
        streams: Vec::new(),
    };
    set_kinds(&mut listener, field);
    listener
}

/// Whether a listener needs certificates.
fn ends_tls(spec: &api::Listener, protocol: Option<Protocol>) -> bool {
    match protocol {
        Some(Protocol::Https) => true,
        Some(Protocol::Tls) => spec.tls.as_ref().is_some_and(|tls| tls.mode == TlsMode::Terminate),
        _ => false,
    }
}

/// `supportedKinds`: what the protocol takes, narrowed by `allowedRoutes.kinds`.
fn set_kinds(listener: &mut Listener<'_>, field: &str) {
    // In alphabetical order.
    let (kinds, named): (&[&str], _) = match listener.protocol {
        None => return,
        Some(Protocol::Http | Protocol::Https) => (&["GRPCRoute", "HTTPRoute"], "HTTPRoutes and GRPCRoutes"),
        Some(Protocol::Tls) => (&["TLSRoute"], "TLSRoutes"),
        Some(Protocol::Tcp) => (&["TCPRoute"], "TCPRoutes"),
        Some(Protocol::Udp) => (&["UDPRoute"], "UDPRoutes"),
    };
    let group_kind = |kind: &&str| RouteGroupKind { group: GROUP.to_owned(), kind: (*kind).to_owned() };
    let ours: Vec<RouteGroupKind> = kinds.iter().map(group_kind).collect();
    let kinds = &listener.spec.allowed_routes.kinds;
    for (i, kind) in kinds.iter().enumerate().filter(|(_, kind)| !ours.contains(kind)) {
        let message = format!(
            "Routes of kind {:?} of group {:?} are not supported; a listener of protocol {} takes {named}.",
            kind.kind, kind.group, listener.spec.protocol
        );
        let field = format!("{field}.allowedRoutes.kinds[{i}]");
        listener.ref_faults.push(Fault::new(field, "InvalidRouteKinds", message));
    }
    listener.supported_kinds.extend(ours.into_iter().filter(|kind| kinds.is_empty() || kinds.contains(kind)));
}

fn read_certificates(listener: &mut Listener<'_>, field: &str, snapshot: &Snapshot, grants: &Grants<'_>) {
    let owner = listener.owner;
    let from = From { kind: owner.kind(), namespace: &owner.key().namespace };
    let refs = listener.spec.tls.iter().flat_map(|tls| &tls.certificate_refs);
    for (i, reference) in refs.enumerate() {
        let field = format!("{field}.tls.certificateRefs[{i}]");
        let place = certificate::Place { field: &field, invalid: "InvalidCertificateRef", from };
        match certificate::resolve(reference, place, snapshot, grants) {
            Ok((secret, certificate)) => {
                if listener.certificates.insert(secret.clone(), certificate).is_none() {
                    listener.certificate_order.push(secret);
                }
            }
            Err(fault) => listener.ref_faults.push(fault),
        }
    }
}

/// `tls.options`, of which one is known. A listener is served without what they ask for in vain.
fn read_options(listener: &mut Listener<'_>, place: &ObjectRef, problems: &mut Problems) {
    let spec = listener.spec;
    let options = spec.tls.iter().flat_map(|tls| tls.options.keys());
    let unknown: Vec<String> =
        options.filter(|key| *key != http3::OPTION).map(|key| format!("{key:?}")).collect();
    if !unknown.is_empty() {
        let message = format!(
            "{} has no effect; gatewasm knows the option {:?} alone.",
            unknown.join(", "),
            http3::OPTION
        );
        let field = format!("{}.tls.options", listener.field);
        problems.warning(place, &Fault::new(field, "UnsupportedValue", message));
    }
    let message = match http3::asked(spec) {
        Ok(false) => return,
        Ok(true) if listener.protocol == Some(Protocol::Https) => {
            listener.http3 = true;
            return;
        }
        Ok(true) => format!(
            "HTTP/3 is served on listeners of protocol HTTPS alone, and not on this one of protocol {}; remove the \
             option.",
            spec.protocol
        ),
        Err(value) => format!(
            "{value:?} is neither \"true\" nor \"false\", so HTTP/3 is not served; use one of these, or remove the \
             option."
        ),
    };
    listener.shortfalls.push(Fault::new(listener.field_of_http3(), "UnsupportedValue", message));
}

/// A port's datagrams are either HTTP/3 or those of a UDP listener, which has nothing else.
fn find_http3(listeners: &mut [Listener<'_>]) {
    let rival = |listener: &Listener<'_>| {
        let is_rival = |other: &&Listener<'_>| {
            other.protocol == Some(Protocol::Udp)
                && other.spec.port == listener.spec.port
                && other.is_accepted()
        };
        let other = listeners.iter().filter(|_| listener.http3).find(is_rival)?;
        let message = format!(
            "Listener {:?} has protocol \"UDP\" on the same port, so HTTP/3 is not served; use another port, or remove \
             the option.",
            other.section()
        );
        Some(Fault::new(listener.field_of_http3(), "PortUnavailable", message))
    };
    let rivals: Vec<Option<Fault>> = listeners.iter().map(rival).collect();
    for (listener, rival) in listeners.iter_mut().zip(rivals) {
        listener.http3 &= rival.is_none();
        listener.shortfalls.extend(rival);
    }
}

/// Listeners that cannot be told apart, or not be served on one port. Between those of one object no winner is picked,
/// and all are refused (`Listener` in gateway_types.go; `ListenerConditionConflicted`). Between objects the one that goes
/// before wins (`ListenerSetSpec.listeners`).
fn find_conflicts(listeners: &mut [Listener<'_>]) {
    let set = |listener: &mut Listener<'_>, conflict: Option<Fault>| {
        listener.faults.extend(conflict.clone());
        listener.faults.rotate_right(usize::from(conflict.is_some()));
        listener.conflict = conflict;
    };
    let mut begin = 0;
    while let Some(owner) = listeners.get(begin).map(|listener| listener.owner) {
        let (before, rest) = listeners.split_at_mut(begin);
        let count = rest.iter().take_while(|listener| listener.owner == owner).count();
        let own = &mut rest[..count];
        for listener in &mut *own {
            let conflict = conflict(listener, before);
            set(listener, conflict);
        }
        let conflicts: Vec<Option<Fault>> = own.iter().map(|listener| conflict(listener, own)).collect();
        for (listener, conflict) in own.iter_mut().zip(conflicts) {
            if listener.conflict.is_none() {
                set(listener, conflict);
            }
        }
        begin += count;
    }
}

/// Why this listener cannot be served beside `others`, of which those count that were not refused themselves. Protocols
/// that are not supported conflict with nothing, because they are not served at all.
fn conflict(listener: &Listener<'_>, others: &[Listener<'_>]) -> Option<Fault> {
    let protocol = listener.protocol?;
    let Listener { spec, field, .. } = listener;
    let rivals = || {
        others.iter().filter(|other| {
            !std::ptr::eq(*other, listener)
                && other.conflict.is_none()
                && other.spec.port == spec.port
                && other.protocol.is_some_and(|other| other.transport() == protocol.transport())
        })
    };
    let by_name = |other: &Protocol| other.is_by_server_name() && protocol.is_by_server_name();
    let clashes = |other: Protocol| other != protocol && !by_name(&other);
    if let Some(other) = rivals().find(|other| other.protocol.is_some_and(clashes)) {
        let message = format!(
            "Listener {:?} has protocol {:?} on the same port {}; use another port.",
            other.section(),
            other.spec.protocol,
            spec.port
        );
        return Some(Fault::new(format!("{field}.protocol"), "ProtocolConflict", message));
    }
    let other = rivals().find(|other| other.spec.hostname == spec.hostname)?;
    Some(match other.protocol {
        Some(other_protocol) if other_protocol != protocol => {
            let message = format!(
                "Listener {:?} has protocol {:?} on the same port with the same hostname; change the port or the \
                 hostname.",
                other.section(),
                other.spec.protocol
            );
            Fault::new(format!("{field}.protocol"), "ProtocolConflict", message)
        }
        _ if matches!(protocol, Protocol::Tcp | Protocol::Udp) => {
            let message = format!(
                "Listener {:?} has protocol {:?} on the same port; use another port.",
                other.section(),
                other.spec.protocol
            );
            Fault::new(format!("{field}.port"), "ProtocolConflict", message)
        }
        _ => {
            let message = format!(
                "Listener {:?} has the same port, protocol and hostname; change one of them.",
                other.section()
            );
            Fault::new(format!("{field}.hostname"), "HostnameConflict", message)
        }
    })
}

/// HTTPS and TLS listeners of one port that have hosts in common: a client may use the connection of one for a host of
/// the other, which has to be said (`ListenerConditionOverlappingTLSConfig`).
fn find_overlaps(listeners: &mut [Listener<'_>]) {
    let is_by_name = |listener: &Listener<'_>| {
        listener.protocol.is_some_and(Protocol::is_by_server_name) && listener.conflict.is_none()
    };
    let overlap = |listener: &Listener<'_>| {
        let other =
            listeners.iter().filter(|other| is_by_name(other) && is_by_name(listener)).find(|other| {
                !std::ptr::eq(*other, listener)
                    && other.spec.port == listener.spec.port
                    && hostname::overlap(other.spec.hostname.as_ref(), listener.spec.hostname.as_ref())
            })?;
        let effect = if listener.protocol == Some(Protocol::Https) {
            "a request on a connection that was opened for the other one is answered 421"
        } else {
            "a connection goes to the one whose hostname says more of its server name"
        };
        let message = format!("Some hosts are those of listener {:?} as well; {effect}.", other.section());
        Some(Fault::new(format!("{}.hostname", listener.field), "OverlappingHostnames", message))
    };
    let overlaps: Vec<Option<Fault>> = listeners.iter().map(overlap).collect();
    for (listener, overlap) in listeners.iter_mut().zip(overlaps) {
        listener.overlap = overlap;
    }
}

impl Listener<'_> {
    /// What its references are, for the Gateway's summary: `None` where it has none, else whether all of them resolve.
    pub(super) fn refs_resolve(&self) -> Option<bool> {
        (self.protocol == Some(Protocol::Https) || !self.ref_faults.is_empty())
            .then_some(self.ref_faults.is_empty())
    }

    fn field_of_http3(&self) -> String {
        format!("{}.tls.options[{}]", self.field, http3::OPTION)
    }

    /// Whether the listener's own settings are in order.
    pub(super) fn is_accepted(&self) -> bool {
        self.faults.is_empty()
    }

    /// Its name among all that the Gateway serves. No name of a listener has a `/`.
    pub(super) fn section(&self) -> String {
        match self.owner {
            Owner::Gateway(_) => self.spec.name.to_string(),
            Owner::ListenerSet(set) => format!("{set}/{}", self.spec.name),
        }
    }

    /// Whether routes of this kind may attach.
    pub(super) fn takes(&self, kind: &str) -> bool {
        self.supported_kinds.iter().any(|supported| supported.kind == kind)
    }

    /// What it speaks, if it is served.
    pub(super) fn is_served(&self) -> Option<Protocol> {
        let without_certificate = ends_tls(self.spec, self.protocol) && self.certificates.is_empty();
        self.protocol.filter(|_| self.is_accepted() && !without_certificate)
    }

    /// Whether TLS ends here.
    pub(super) fn ends_tls(&self) -> bool {
        ends_tls(self.spec, self.protocol)
    }

    /// The listener as it is served, if it is; `forwards` is what becomes of its streams.
    pub(super) fn served(&self, forwards: Vec<Forward>) -> Option<model::Listener> {
        let protocol = self.is_served()?;
        Some(model::Listener {
            port: self.spec.port.get(),
            protocol,
            hostname: self.spec.hostname.as_ref().map(ToString::to_string),
            certificates: self.certificate_order.clone(),
            client_validation: self.client_validation.clone(),
            http3: self.http3,
            forwards,
        })
    }

    /// The listener's status, once every route is attached.
    pub(super) fn status(&self, conditions: Conditions, gateway_accepted: bool) -> ListenerStatus {
        let mut list = vec![
            conditions.listener_accepted(&self.faults, &self.shortfalls),
            conditions
                .listener_programmed(gateway_accepted && self.is_served().is_some(), self.conflict.as_ref()),
            conditions.resolved_refs(&self.ref_faults),
        ];
        list.extend(self.conflict.as_ref().map(|conflict| conditions.conflicted(conflict)));
        list.extend(self.overlap.as_ref().map(|overlap| conditions.overlapping_tls(overlap)));
        ListenerStatus {
            name: self.spec.name.to_string(),
            supported_kinds: self.supported_kinds.clone(),
            attached_routes: self.attached,
            conditions: list,
        }
    }
}
