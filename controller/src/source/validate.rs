//! Rules of the v1.6.1 CRDs that the types of [`crate::api`] cannot hold: lengths of lists, uniqueness, members that
//! go together. An object that breaks one never reaches a cluster, so it is refused here as well.
//!
//! Left to conditions on purpose, because they say more than a refusal and cost only a rule or a listener: values of
//! paths and expressions, unknown enum values, what the members of a filter hold and which filters go together,
//! listeners that conflict, TLS settings that do not suit the protocol.

use std::collections::BTreeSet;

use crate::api::{
    Gateway, GatewayClass, HttpHeaderFilter, HttpPathModifier, HttpRoute, HttpRouteFilter, ReferenceGrant,
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
    checks.count("spec.listeners", spec.listeners.len(), 1, 64);
    let names = spec.listeners.iter().enumerate();
    checks.unique(names.map(|(i, listener)| (format!("spec.listeners[{i}].name"), &listener.name)));
    let addresses = spec.addresses.iter().enumerate().filter(|(_, address)| !address.value.is_empty());
    checks.unique(
        addresses.map(|(i, address)| (format!("spec.addresses[{i}].value"), (&address.kind, &address.value))),
    );
    for (i, listener) in spec.listeners.iter().enumerate() {
        let field = format!("spec.listeners[{i}]");
        checks.count(&format!("{field}.allowedRoutes.kinds"), listener.allowed_routes.kinds.len(), 0, 8);
        if let Some(tls) = &listener.tls {
            checks.count(&format!("{field}.tls.certificateRefs"), tls.certificate_refs.len(), 0, 64);
            checks.count(&format!("{field}.tls.options"), tls.options.len(), 0, 16);
        }
    }
    checks.0
}

/// `HTTPRoute`.
pub(super) fn http_route(route: &HttpRoute) -> Vec<Fault> {
    let mut checks = Checks::default();
    let spec = &route.spec;
    checks.count("spec.parentRefs", spec.parent_refs.len(), 0, 32);
    let parents = spec.parent_refs.iter().enumerate();
    checks.unique(parents.map(|(i, parent)| (format!("spec.parentRefs[{i}]"), parent)));
    checks.count("spec.hostnames", spec.hostnames.len(), 0, 16);
    checks.count("spec.rules", spec.rules.len(), 1, 16);
    let matches = spec.rules.iter().map(|rule| rule.matches.len()).sum();
    checks.count("spec.rules[*].matches", matches, 0, 128);
    let names = spec.rules.iter().enumerate().filter_map(|(i, rule)| Some((i, rule.name.as_ref()?)));
    checks.unique(names.map(|(i, name)| (format!("spec.rules[{i}].name"), name)));
    for (i, rule) in spec.rules.iter().enumerate() {
        let field = format!("spec.rules[{i}]");
        checks.count(&format!("{field}.matches"), rule.matches.len(), 0, 64);
        checks.count(&format!("{field}.filters"), rule.filters.len(), 0, 16);
        checks.count(&format!("{field}.backendRefs"), rule.backend_refs.len(), 0, 16);
        for (j, matched) in rule.matches.iter().enumerate() {
            let field = format!("{field}.matches[{j}]");
            if let Some(path) = &matched.path {
                checks.text(format!("{field}.path.value"), &path.value, 0, 1024);
            }
            checks.count(&format!("{field}.headers"), matched.headers.len(), 0, 16);
            checks.count(&format!("{field}.queryParams"), matched.query_params.len(), 0, 16);
            for (k, header) in matched.headers.iter().enumerate() {
                checks.text(format!("{field}.headers[{k}].value"), &header.value, 1, 4096);
            }
            for (k, parameter) in matched.query_params.iter().enumerate() {
                checks.text(format!("{field}.queryParams[{k}].value"), &parameter.value, 1, 1024);
            }
            let headers = matched.headers.iter().enumerate();
            checks.unique(headers.map(|(k, header)| (format!("{field}.headers[{k}].name"), &header.name)));
            let parameters = matched.query_params.iter().enumerate();
            checks.unique(parameters.map(|(k, p)| (format!("{field}.queryParams[{k}].name"), &p.name)));
        }
        for (j, filter) in rule.filters.iter().enumerate() {
            checks.route_filter(filter, &format!("{field}.filters[{j}]"));
        }
        for (j, backend) in rule.backend_refs.iter().enumerate() {
            let field = format!("{field}.backendRefs[{j}]");
            checks.count(&format!("{field}.filters"), backend.filters.len(), 0, 16);
            for (k, filter) in backend.filters.iter().enumerate() {
                checks.route_filter(filter, &format!("{field}.filters[{k}]"));
            }
        }
    }
    checks.0
}

/// The member that `type` names is set, and no other.
fn members_of_filter(filter: &HttpRouteFilter, field: &str) -> Vec<Fault> {
    let members = [
        ("requestHeaderModifier", "RequestHeaderModifier", filter.request_header_modifier.is_some()),
        ("responseHeaderModifier", "ResponseHeaderModifier", filter.response_header_modifier.is_some()),
        ("requestMirror", "RequestMirror", filter.request_mirror.is_some()),
        ("requestRedirect", "RequestRedirect", filter.request_redirect.is_some()),
        ("urlRewrite", "URLRewrite", filter.url_rewrite.is_some()),
        ("cors", "CORS", filter.cors.is_some()),
        ("externalAuth", "ExternalAuth", filter.external_auth.is_some()),
        ("extensionRef", "ExtensionRef", filter.extension_ref.is_some()),
    ];
    let kind = filter.kind.to_string();
    let mut faults = Vec::new();
    for (member, its_kind, is_set) in members {
        if kind == its_kind && !is_set {
            let message = format!("This field is required for type {kind:?}.");
            faults.push(Fault::new(format!("{field}.{member}"), "MissingField", message));
        } else if kind != its_kind && is_set {
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
