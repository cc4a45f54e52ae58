//! What works as written and is probably not meant: one file for each kind of finding, all of them warnings, one for
//! requests to try, and one for what expressions match.
//!
//! It looks at the filter config and asks the routing engine, so that it knows as little of matching as everything
//! else here. Nothing depends on it: what it finds changes neither status nor traffic.

mod backends;
mod expression;
mod hostnames;
mod never;
mod redirect;
mod rewrite;
mod sample;
mod shadow;

use gatewasm_routing::RouteTable;
use gatewasm_routing::config::{FilterConfig, Listener, Route, RouteFilter, RouteKind, Rule};

use crate::api::HttpRouteFilterType;
use crate::object::{ObjectKey, ObjectRef};
use crate::problem::{Place, Problem, Severity};
use crate::snapshot::Snapshot;

/// What a filter config was made from: findings are about that.
#[derive(Clone, Copy)]
pub(crate) enum Origin<'a> {
    /// These objects.
    Objects(&'a Snapshot),
    /// It was written by hand, into the file of this path.
    File(&'a str),
}

/// Everything that is found in a filter config and its table.
pub(crate) fn lint(config: &FilterConfig, table: &RouteTable, origin: Origin<'_>) -> Vec<Problem> {
    let lint = Lint { config, table, origin };
    let mut problems = Vec::new();
    shadow::find(&lint, &mut problems);
    never::find(&lint, &mut problems);
    hostnames::find(&lint, &mut problems);
    redirect::find(&lint, &mut problems);
    rewrite::find(&lint, &mut problems);
    backends::find(&lint, &mut problems);
    // A route has the same findings for each listener that it is attached to.
    problems.sort();
    problems.dedup_by(|a, b| (&a.place, &a.field, &a.reason) == (&b.place, &b.field, &b.reason));
    problems
}

struct Lint<'a> {
    config: &'a FilterConfig,
    table: &'a RouteTable,
    origin: Origin<'a>,
}

/// A route as attached to a listener, by its place in the config.
#[derive(Clone, Copy)]
struct Attached<'a> {
    listener: (usize, &'a Listener),
    route: (usize, &'a Route),
}

impl<'a> Lint<'a> {
    fn attached(&self) -> impl Iterator<Item = Attached<'a>> + use<'a> {
        self.config.listeners.iter().enumerate().flat_map(|listener| {
            listener.1.routes.iter().enumerate().map(move |route| Attached { listener, route })
        })
    }

    /// A warning about a field of a route: `field` is relative to the route's spec.
    fn warning(&self, at: Attached<'_>, field: &str, reason: &str, message: String) -> Problem {
        let route = at.route.1;
        let (place, field) = match self.origin {
            Origin::Objects(_) => {
                let key = ObjectKey::new(&route.namespace, &route.name);
                let object = ObjectRef::namespaced(&route.kind.to_string(), &key);
                (Place::Object(object), format!("spec.{field}"))
            }
            Origin::File(path) => {
                let field = format!("listeners[{}].routes[{}].{field}", at.listener.0, at.route.0);
                (Place::File { path: path.to_owned(), line: None }, field)
            }
        };
        Problem { place, field, severity: Severity::Warning, reason: reason.to_owned(), message }
    }

    /// The field of a filter, which is the only one of its type in the rule, or in the backend. An object may have
    /// filters that the config does not.
    fn filter_field(&self, at: Attached<'_>, of: Owner, kind: &HttpRouteFilterType, place: usize) -> String {
        let place = self.objects_filter(at, of, kind).unwrap_or(place);
        format!("{}.filters[{place}]", self.owner_field(of))
    }

    fn owner_field(&self, of: Owner) -> String {
        let rule = format!("rules[{}]", of.rule);
        of.backend.map_or(rule.clone(), |backend| format!("{rule}.{}[{backend}]", self.backends_field()))
    }

    /// What the list of a rule's backends is called.
    fn backends_field(&self) -> &'static str {
        match self.origin {
            Origin::Objects(_) => "backendRefs",
            Origin::File(_) => "backends",
        }
    }

    /// Where a hostname of the config stands in the object. One that came of its listener's stands nowhere.
    fn hostname_of_object(&self, at: Attached<'_>, hostname: usize) -> Option<usize> {
        let Origin::Objects(snapshot) = self.origin else { return None };
        let text = at.route.1.hostnames.get(hostname)?;
        let key = ObjectKey::new(&at.route.1.namespace, &at.route.1.name);
        let own = match at.route.1.kind {
            RouteKind::HttpRoute => &snapshot.http_routes.get(&key)?.spec.hostnames,
            RouteKind::GrpcRoute => &snapshot.grpc_routes.get(&key)?.spec.hostnames,
        };
        own.iter().position(|own| **own == **text)
    }

    /// HTTPRoutes alone have filters that anything is found in.
    fn objects_filter(&self, at: Attached<'_>, of: Owner, kind: &HttpRouteFilterType) -> Option<usize> {
        let (Origin::Objects(snapshot), RouteKind::HttpRoute) = (self.origin, at.route.1.kind) else {
            return None;
        };
        let key = ObjectKey::new(&at.route.1.namespace, &at.route.1.name);
        let rule = snapshot.http_routes.get(&key)?.spec.rules.get(of.rule)?;
        let filters = match of.backend {
            Some(backend) => &rule.backend_refs.get(backend)?.filters,
            None => &rule.filters,
        };
        filters.iter().position(|filter| filter.kind == *kind)
    }
}

/// What has filters: a rule, or one of its backends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Owner {
    rule: usize,
    backend: Option<usize>,
}

impl<'a> Attached<'a> {
    /// The rules that are served, with their indexes.
    fn sound_rules(self) -> impl Iterator<Item = (usize, &'a Rule)> {
        self.route.1.rules.iter().enumerate().filter(|(_, rule)| rule.invalid.is_none())
    }

    /// The rules that are served and, behind each, their backends: all that has filters.
    fn owners(self) -> impl Iterator<Item = (Owner, &'a Rule, &'a [RouteFilter])> {
        self.sound_rules().flat_map(|(rule, it)| {
            let own = (Owner { rule, backend: None }, it, it.filters.as_slice());
            let backends = it.backends.iter().enumerate();
            let backends = backends.map(move |(backend, one)| {
                (Owner { rule, backend: Some(backend) }, it, one.filters.as_slice())
            });
            std::iter::once(own).chain(backends)
        })
    }
}

/// The hostnames that a host in lower case is matched by: itself, and wildcards.
fn hostnames_of(host: &str) -> Vec<String> {
    let suffixes = host.match_indices('.').filter_map(|(dot, _)| host.get(dot..));
    std::iter::once(host.to_owned()).chain(suffixes.map(|suffix| format!("*{suffix}"))).collect()
}

/// `HTTPRoute default/web`.
fn name(route: &Route) -> String {
    format!("{} {}/{}", route.kind, route.namespace, route.name)
}

/// The first filter that is asked for, with its place.
fn filter<'a, T>(filters: &'a [RouteFilter], wanted: fn(&'a RouteFilter) -> Option<T>) -> Option<(usize, T)> {
    filters.iter().enumerate().find_map(|(i, filter)| Some((i, wanted(filter)?)))
}

#[cfg(test)]
mod tests {
    use gatewasm_routing::{compile, parse};

    use super::*;

    /// The findings for this reason in a filter config with these listeners: field and message.
    pub(super) fn findings(reason: &str, listeners: &str) -> Vec<(String, String)> {
        let config = parse(format!(r#"{{"version": 1, "listeners": [{listeners}]}}"#).as_bytes()).unwrap();
        let table = compile(&config).unwrap();
        let found = lint(&config, &table, Origin::File("x.json"));
        assert!(found.iter().all(|it| it.severity == Severity::Warning), "{found:?}");
        let wanted = found.into_iter().filter(|it| it.reason == reason);
        wanted.map(|it| (it.field, it.message)).collect()
    }

    /// A listener for HTTP on port 80, or for HTTPS on port 443.
    pub(super) fn listener(name: &str, protocol: &str, routes: &[String]) -> String {
        let port = if protocol == "HTTP" { 80 } else { 443 };
        let routes = routes.join(", ");
        format!(
            r#"{{"name": "infra/web/{name}", "gateway": "infra/web", "port": {port}, "protocol": "{protocol}",
                "routes": [{routes}]}}"#
        )
    }

    /// An HTTPRoute `namespace/name` with these fields besides.
    pub(super) fn route(name: &str, fields: &str) -> String {
        let (namespace, name) = name.split_once('/').unwrap();
        format!(r#"{{"kind": "HTTPRoute", "namespace": "{namespace}", "name": "{name}", {fields}}}"#)
    }

    #[test]
    fn a_route_of_two_listeners_is_reported_once_as_an_object() {
        let rule = r#"{"backends": [{"cluster": "c"}]}"#;
        let routes = [route("a/x", &format!(r#""rules": [{rule}, {rule}]"#))];
        let text = [listener("http", "HTTP", &routes), listener("https", "HTTPS", &routes)].join(", ");
        assert_eq!(findings("Shadowed", &text).len(), 2);
        let config = parse(format!(r#"{{"version": 1, "listeners": [{text}]}}"#).as_bytes()).unwrap();
        let found = lint(&config, &compile(&config).unwrap(), Origin::Objects(&Snapshot::default()));
        let found: Vec<_> =
            found.iter().map(|it| format!("{} {} {}", it.place, it.field, it.reason)).collect();
        assert_eq!(found, ["HTTPRoute a/x spec.rules[1] Shadowed"]);
    }
}
