//! Rules of the v1.6.1 CRDs that the types of [`crate::api`] cannot hold: lengths of lists, uniqueness, members that
//! go together. An object that breaks one never reaches a cluster, so it is refused here as well.
//!
//! Left to conditions on purpose, because they say more than a refusal and cost only a rule or a listener: values of
//! paths and expressions, unknown enum values, what the members of a filter hold and which filters go together,
//! listeners that conflict, TLS settings that do not suit the protocol.

use std::collections::BTreeSet;

use crate::api::{
    BackendTlsPolicy, CookieLifetimeType, Gateway, GatewayClass, GrpcMethodMatch, GrpcRoute, Hostname,
    HttpBackendRef, HttpCorsFilter, HttpHeaderFilter, HttpPathModifier, HttpRoute, HttpRouteFilter,
    HttpRouteFilterType, HttpValueMatch, Listener, ListenerSet, ParentReference, ReferenceGrant, SectionName,
    SessionPersistence, StreamRouteRule, SubjectAltName, SubjectAltNameType, TcpRoute, TlsRoute,
};
use crate::fault::Fault;

/// Collects faults.
#[derive(Default)]
struct Checks(Vec<Fault>);

impl Checks {
    fn count(&mut self, field: &str, count: usize, least: usize, most: usize) {
        if count < least || count > most {
            self.0.push(Fault::invalid(
                field,
                format!("There are {count} items; there must be {least} to {most}."),
            ));
        }
    }

    fn unique<T: Ord + std::fmt::Debug>(&mut self, values: impl Iterator<Item = (String, T)>) {
        let mut seen = BTreeSet::new();
        for (field, value) in values {
            let text = format!("{value:?} is there twice.");
            if !seen.insert(value) {
                self.0.push(Fault::invalid(field, text));
            }
        }
    }

    fn text(&mut self, field: String, value: &str, least: usize, most: usize) {
        let count = value.chars().count();
        if count < least || count > most {
            let message = format!("The value has {count} characters; it must have {least} to {most}.");
            self.0.push(Fault::invalid(field, message));
        }
    }
}

/// What routes of several kinds have.
impl Checks {
    fn route(&mut self, parents: &[ParentReference], hostnames: &[Hostname]) {
        self.parents(parents);
        self.count("spec.hostnames", hostnames.len(), 0, 16);
    }

    fn parents(&mut self, parents: &[ParentReference]) {
        self.count("spec.parentRefs", parents.len(), 0, 32);
        let parents = parents.iter().enumerate();
        self.unique(parents.map(|(i, parent)| (format!("spec.parentRefs[{i}]"), parent)));
    }

    fn stream_rules(&mut self, rules: &[StreamRouteRule]) {
        self.count("spec.rules", rules.len(), 1, 1);
        for (i, rule) in rules.iter().enumerate() {
            self.count(&format!("spec.rules[{i}].backendRefs"), rule.backend_refs.len(), 1, 16);
        }
    }

    fn rule_names<'r>(&mut self, names: impl Iterator<Item = Option<&'r SectionName>>) {
        let names = names.enumerate().filter_map(|(i, name)| Some((i, name?)));
        self.unique(names.map(|(i, name)| (format!("spec.rules[{i}].name"), name)));
    }

    /// By the number of matches of each rule.
    fn matches(&mut self, counts: impl Iterator<Item = usize> + Clone) {
        self.count("spec.rules[*].matches", counts.clone().sum(), 0, 128);
        for (i, count) in counts.enumerate() {
            self.count(&format!("spec.rules[{i}].matches"), count, 0, 64);
        }
    }

    fn values(&mut self, field: &str, values: &[HttpValueMatch], most: usize) {
        self.count(field, values.len(), 0, 16);
        for (i, entry) in values.iter().enumerate() {
            self.text(format!("{field}[{i}].value"), &entry.value, 1, most);
        }
        let names = values.iter().enumerate();
        self.unique(names.map(|(i, entry)| (format!("{field}[{i}].name"), &entry.name)));
    }

    /// "One or both of 'service' or 'method' must be specified" (`GRPCMethodMatch`).
    fn grpc_method(&mut self, method: &GrpcMethodMatch, field: &str) {
        if method.service.is_none() && method.method.is_none() {
            let message = "A service, a method or both must be given; without this field all are matched.";
            self.0.push(Fault::invalid(field, message));
        }
        for (name, value) in [("service", &method.service), ("method", &method.method)] {
            self.text(format!("{field}.{name}"), value.as_deref().unwrap_or_default(), 0, 1024);
        }
    }

    fn rule(
        &mut self,
        field: &str,
        filters: &[HttpRouteFilter],
        backends: &[HttpBackendRef],
        session: Option<&SessionPersistence>,
    ) {
        self.filters(&format!("{field}.filters"), filters);
        self.count(&format!("{field}.backendRefs"), backends.len(), 0, 16);
        for (i, backend) in backends.iter().enumerate() {
            self.filters(&format!("{field}.backendRefs[{i}].filters"), &backend.filters);
        }
        if let Some(session) = session {
            self.session(session, &format!("{field}.sessionPersistence"));
        }
    }

    fn filters(&mut self, field: &str, filters: &[HttpRouteFilter]) {
        self.count(field, filters.len(), 0, 16);
        for (i, filter) in filters.iter().enumerate() {
            self.route_filter(filter, &format!("{field}[{i}]"));
        }
    }

    /// "AbsoluteTimeout must be specified when cookie lifetimeType is Permanent" (`SessionPersistence`).
    fn session(&mut self, session: &SessionPersistence, field: &str) {
        let name = session.session_name.as_deref().unwrap_or_default();
        self.text(format!("{field}.sessionName"), name, 0, 128);
        let lifetime = session.cookie_config.as_ref().and_then(|cookie| cookie.lifetime_type);
        if lifetime == Some(CookieLifetimeType::Permanent) && session.absolute_timeout.is_none() {
            let message = "This field is required for lifetimeType \"Permanent\".";
            self.0.push(Fault::new(format!("{field}.absoluteTimeout"), "MissingField", message));
        }
    }
}

impl Checks {
    fn route_filter(&mut self, filter: &HttpRouteFilter, field: &str) {
        self.0.extend(members_of_filter(filter, field));
        let modifiers = [
            ("requestHeaderModifier", &filter.request_header_modifier),
            ("responseHeaderModifier", &filter.response_header_modifier),
        ];
        for (member, modifier) in modifiers {
            if let Some(modifier) = modifier {
                self.header_modifier(modifier, &format!("{field}.{member}"));
            }
        }
        let redirect = filter.request_redirect.as_ref().and_then(|redirect| redirect.path.as_ref());
        let rewrite = filter.url_rewrite.as_ref().and_then(|rewrite| rewrite.path.as_ref());
        for (member, path) in [("requestRedirect", redirect), ("urlRewrite", rewrite)] {
            if let Some(path) = path {
                self.path_modifier(path, &format!("{field}.{member}.path"));
            }
        }
        if let Some(cors) = &filter.cors {
            self.cors(cors, &format!("{field}.cors"));
        }
    }

    fn cors(&mut self, cors: &HttpCorsFilter, field: &str) {
        self.set(&format!("{field}.allowOrigins"), &cors.allow_origins, 64);
        self.set(&format!("{field}.allowMethods"), &cors.allow_methods, 9);
        self.set(&format!("{field}.allowHeaders"), &cors.allow_headers, 64);
        self.set(&format!("{field}.exposeHeaders"), &cors.expose_headers, 64);
    }

    fn set<T: Ord + std::fmt::Debug>(&mut self, field: &str, items: &[T], most: usize) {
        self.count(field, items.len(), 0, most);
        self.unique(items.iter().enumerate().map(|(i, item)| (format!("{field}[{i}]"), item)));
    }

    fn header_modifier(&mut self, modifier: &HttpHeaderFilter, field: &str) {
        for (list, headers) in [("set", &modifier.set), ("add", &modifier.add)] {
            self.count(&format!("{field}.{list}"), headers.len(), 0, 16);
            for (i, header) in headers.iter().enumerate() {
                self.text(format!("{field}.{list}[{i}].name"), &header.name, 1, 256);
                self.text(format!("{field}.{list}[{i}].value"), &header.value, 1, 4096);
            }
        }
        self.count(&format!("{field}.remove"), modifier.remove.len(), 0, 16);
    }

    fn path_modifier(&mut self, path: &HttpPathModifier, field: &str) {
        let members = [
            ("replaceFullPath", &path.replace_full_path),
            ("replacePrefixMatch", &path.replace_prefix_match),
        ];
        for (member, value) in members {
            self.text(format!("{field}.{member}"), value.as_deref().unwrap_or_default(), 0, 1024);
        }
    }
}

impl Checks {
    fn listeners(&mut self, listeners: &[Listener]) {
        self.count("spec.listeners", listeners.len(), 1, 64);
        let names = listeners.iter().enumerate();
        self.unique(names.map(|(i, listener)| (format!("spec.listeners[{i}].name"), &listener.name)));
        for (i, listener) in listeners.iter().enumerate() {
            let field = format!("spec.listeners[{i}]");
            self.count(&format!("{field}.allowedRoutes.kinds"), listener.allowed_routes.kinds.len(), 0, 8);
            if let Some(tls) = &listener.tls {
                self.count(&format!("{field}.tls.certificateRefs"), tls.certificate_refs.len(), 0, 64);
                self.count(&format!("{field}.tls.options"), tls.options.len(), 0, 16);
            }
        }
    }
}

/// `GatewayClass`.
pub(super) fn gateway_class(class: &GatewayClass) -> Vec<Fault> {
    let mut checks = Checks::default();
    let name = &class.spec.controller_name;
    if !name.split_once('/').is_some_and(|(domain, path)| crate::api::is_dns_name(domain) && !path.is_empty())
    {
        let message = format!("{name:?} is not a controller's name (\"domain/path\").");
        checks.0.push(Fault::invalid("spec.controllerName", message));
    }
    checks.text("spec.description".to_owned(), class.spec.description.as_deref().unwrap_or_default(), 0, 64);
    checks.0
}

/// `Gateway`.
pub(super) fn gateway(gateway: &Gateway) -> Vec<Fault> {
    let mut checks = Checks::default();
    let spec = &gateway.spec;
    checks.count("spec.addresses", spec.addresses.len(), 0, 16);
    let addresses = spec.addresses.iter().enumerate().filter(|(_, address)| !address.value.is_empty());
    checks.unique(
        addresses.map(|(i, address)| (format!("spec.addresses[{i}].value"), (&address.kind, &address.value))),
    );
    checks.listeners(&spec.listeners);
    if let Some(frontend) = spec.tls.as_ref().and_then(|tls| tls.frontend.as_ref()) {
        let field = "spec.tls.frontend";
        checks.count(&format!("{field}.perPort"), frontend.per_port.len(), 0, 64);
        let ports = frontend.per_port.iter().enumerate();
        checks.unique(ports.map(|(i, entry)| (format!("{field}.perPort[{i}].port"), entry.port)));
        let per_port = frontend.per_port.iter().enumerate();
        let all = per_port.map(|(i, entry)| (format!("{field}.perPort[{i}].tls"), &entry.tls));
        for (field, tls) in all.chain([(format!("{field}.default"), &frontend.default)]) {
            if let Some(validation) = &tls.validation {
                let count = validation.ca_certificate_refs.len();
                checks.count(&format!("{field}.validation.caCertificateRefs"), count, 1, 16);
            }
        }
    }
    checks.0
}

/// `ListenerSet`.
pub(super) fn listener_set(set: &ListenerSet) -> Vec<Fault> {
    let mut checks = Checks::default();
    checks.listeners(&set.spec.listeners);
    checks.0
}

/// `HTTPRoute`.
pub(super) fn http_route(route: &HttpRoute) -> Vec<Fault> {
    let mut checks = Checks::default();
    let spec = &route.spec;
    checks.route(&spec.parent_refs, &spec.hostnames);
    checks.count("spec.rules", spec.rules.len(), 1, 16);
    checks.rule_names(spec.rules.iter().map(|rule| rule.name.as_ref()));
    checks.matches(spec.rules.iter().map(|rule| rule.matches.len()));
    for (i, rule) in spec.rules.iter().enumerate() {
        let field = format!("spec.rules[{i}]");
        for (j, matched) in rule.matches.iter().enumerate() {
            let field = format!("{field}.matches[{j}]");
            if let Some(path) = &matched.path {
                checks.text(format!("{field}.path.value"), &path.value, 0, 1024);
            }
            checks.values(&format!("{field}.headers"), &matched.headers, 4096);
            checks.values(&format!("{field}.queryParams"), &matched.query_params, 1024);
        }
        checks.rule(&field, &rule.filters, &rule.backend_refs, rule.session_persistence.as_ref());
    }
    checks.0
}

/// `GRPCRoute`.
pub(super) fn grpc_route(route: &GrpcRoute) -> Vec<Fault> {
    let mut checks = Checks::default();
    let spec = &route.spec;
    checks.route(&spec.parent_refs, &spec.hostnames);
    checks.count("spec.rules", spec.rules.len(), 0, 16);
    checks.rule_names(spec.rules.iter().map(|rule| rule.name.as_ref()));
    checks.matches(spec.rules.iter().map(|rule| rule.matches.len()));
    for (i, rule) in spec.rules.iter().enumerate() {
        let field = format!("spec.rules[{i}]");
        for (j, matched) in rule.matches.iter().enumerate() {
            let field = format!("{field}.matches[{j}]");
            if let Some(method) = &matched.method {
                checks.grpc_method(method, &format!("{field}.method"));
            }
            checks.values(&format!("{field}.headers"), &matched.headers, 4096);
        }
        checks.rule(&field, &rule.filters, &rule.backend_refs, rule.session_persistence.as_ref());
    }
    checks.0
}

/// `TLSRoute`.
pub(super) fn tls_route(route: &TlsRoute) -> Vec<Fault> {
    let mut checks = Checks::default();
    checks.parents(&route.spec.parent_refs);
    checks.count("spec.hostnames", route.spec.hostnames.len(), 1, 1024);
    checks.stream_rules(&route.spec.rules);
    checks.0
}

/// `TCPRoute`, `UDPRoute`.
pub(super) fn stream_route(route: &TcpRoute) -> Vec<Fault> {
    let mut checks = Checks::default();
    checks.parents(&route.spec.parent_refs);
    checks.stream_rules(&route.spec.rules);
    checks.0
}

/// The member that `type` names is set, and no other.
fn members_of_filter(filter: &HttpRouteFilter, field: &str) -> Vec<Fault> {
    use HttpRouteFilterType as Type;
    let members = [
        ("requestHeaderModifier", Type::RequestHeaderModifier, filter.request_header_modifier.is_some()),
        ("responseHeaderModifier", Type::ResponseHeaderModifier, filter.response_header_modifier.is_some()),
        ("requestMirror", Type::RequestMirror, filter.request_mirror.is_some()),
        ("requestRedirect", Type::RequestRedirect, filter.request_redirect.is_some()),
        ("urlRewrite", Type::UrlRewrite, filter.url_rewrite.is_some()),
        ("cors", Type::Cors, filter.cors.is_some()),
        ("externalAuth", Type::ExternalAuth, filter.external_auth.is_some()),
        ("extensionRef", Type::ExtensionRef, filter.extension_ref.is_some()),
    ];
    let kind = filter.kind.to_string();
    let mut faults = Vec::new();
    for (member, its_kind, is_set) in members {
        if filter.kind == its_kind && !is_set {
            let message = format!("This field is required for type {kind:?}.");
            faults.push(Fault::new(format!("{field}.{member}"), "MissingField", message));
        } else if filter.kind != its_kind && is_set {
            faults.push(Fault::invalid(
                format!("{field}.{member}"),
                format!("Type {kind:?} does not have this field."),
            ));
        }
    }
    faults
}

/// `ReferenceGrant`.
pub(super) fn reference_grant(grant: &ReferenceGrant) -> Vec<Fault> {
    let mut checks = Checks::default();
    checks.count("spec.from", grant.spec.from.len(), 1, 16);
    checks.count("spec.to", grant.spec.to.len(), 1, 16);
    checks.0
}

/// `BackendTLSPolicy`.
pub(super) fn backend_tls_policy(policy: &BackendTlsPolicy) -> Vec<Fault> {
    let mut checks = Checks::default();
    let spec = &policy.spec;
    checks.count("spec.targetRefs", spec.target_refs.len(), 1, 16);
    checks.count("spec.options", spec.options.len(), 0, 16);
    let targets = spec.target_refs.iter().enumerate();
    checks.unique(targets.map(|(i, target)| {
        let section = target.section_name.as_deref();
        (format!("spec.targetRefs[{i}]"), (&target.group, &target.kind, &target.name, section))
    }));
    for (i, target) in spec.target_refs.iter().enumerate() {
        let same = |other: &&crate::api::PolicyTargetReference| {
            (&other.group, &other.kind, &other.name) == (&target.group, &target.kind, &target.name)
        };
        if target.section_name.is_none() && spec.target_refs.iter().filter(same).count() > 1 {
            let message = format!("{:?} is there more than once; each needs a sectionName.", target.name);
            checks.0.push(Fault::invalid(format!("spec.targetRefs[{i}]"), message));
        }
    }
    let validation = &spec.validation;
    let field = "spec.validation";
    checks.count(&format!("{field}.caCertificateRefs"), validation.ca_certificate_refs.len(), 0, 8);
    let well_known = validation.well_known_ca_certificates.as_deref().unwrap_or_default();
    match (validation.ca_certificate_refs.is_empty(), well_known.is_empty()) {
        (true, true) => checks.0.push(Fault::new(
            format!("{field}.caCertificateRefs"),
            "MissingField",
            "This field or wellKnownCACertificates is required.",
        )),
        (false, false) => checks.0.push(Fault::invalid(
            format!("{field}.wellKnownCACertificates"),
            format!("{well_known:?} cannot be combined with caCertificateRefs; use one of the two."),
        )),
        _ => {}
    }
    checks.count(&format!("{field}.subjectAltNames"), validation.subject_alt_names.len(), 0, 5);
    for (i, name) in validation.subject_alt_names.iter().enumerate() {
        checks.subject_alt_name(name, &format!("{field}.subjectAltNames[{i}]"));
    }
    checks.0
}

impl Checks {
    fn subject_alt_name(&mut self, name: &SubjectAltName, field: &str) {
        let uri = name.uri.as_deref().filter(|uri| !uri.is_empty());
        let members = [
            ("hostname", SubjectAltNameType::Hostname, name.hostname.is_some()),
            ("uri", SubjectAltNameType::Uri, uri.is_some()),
        ];
        for (member, its_kind, is_set) in members {
            let field = format!("{field}.{member}");
            if name.kind == its_kind && !is_set {
                self.0.push(Fault::new(field, "MissingField", "This field is required for this type."));
            } else if name.kind != its_kind && is_set {
                self.0.push(Fault::invalid(field, "This type does not have this field."));
            }
        }
        if let Some(uri) = uri
            && !uri
                .split_once("://")
                .is_some_and(|(scheme, _)| !scheme.is_empty() && !scheme.contains(['/', '?', '#']))
        {
            let message = format!("{uri:?} is not an absolute URI (\"spiffe://example.com/name\").");
            self.0.push(Fault::invalid(format!("{field}.uri"), message));
        }
    }
}
