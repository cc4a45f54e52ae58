//! Everything that a table holds, in the order in which a request meets it.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::config::PathMatchType;
use crate::explain_rule::explain_backends;
use crate::explained::{ExplainedBackend, ExplainedRoute};
use crate::matching::host::Hostname;
use crate::matching::value::Value;
use crate::precedence::Precedence;
use crate::table::{Listener, Match, Route, RouteTable};

/// One match under one hostname.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Listed {
    /// Name of the listener.
    pub listener: String,
    /// The hostname; absent for every host.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hostname: Option<String>,
    /// How the path is compared.
    pub path_type: PathMatchType,
    /// The path, prefix or expression.
    pub path: String,
    /// The other conditions, as a person would write them: `GET`, `header env=canary`, `query v~"[0-9]+"`,
    /// `grpc service=helloworld.Greeter`.
    pub conditions: Vec<String>,
    /// The route that it comes from.
    pub route: ExplainedRoute,
    /// Index of its rule in the route.
    pub rule: usize,
    /// Its index in the rule.
    #[serde(rename = "match")]
    pub match_index: usize,
    /// Where its requests go.
    pub backends: Vec<ExplainedBackend>,
    /// Why the rule cannot be served; its requests are answered 500, those of a GRPCRoute UNAVAILABLE.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub invalid: Option<String>,
    /// The status by which the rule redirects; it then needs no backends.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub redirect: Option<u16>,
}

/// One match under one hostname, with its place among the others.
pub(crate) struct Ordered<'t> {
    pub(crate) precedence: Precedence<'t>,
    pub(crate) hostname: Hostname<'t>,
    pub(crate) of: &'t Match,
}

impl RouteTable {
    /// Every match of every listener, by listener and then in order of precedence: of two that match a request, the
    /// upper one takes it.
    pub fn list(&self) -> Vec<Listed> {
        let mut listeners: Vec<_> = self.listeners.iter().collect();
        listeners.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        let of = |listener| {
            let matches = self.in_order(listener).into_iter();
            matches.filter_map(|one| self.listed(listener, one.hostname, one.of))
        };
        listeners.into_iter().flat_map(of).collect()
    }

    /// The matches of a listener under each of their hostnames, in the order of [`RouteTable::list`].
    pub(crate) fn in_order<'t>(&'t self, listener: &Listener) -> Vec<Ordered<'t>> {
        let mut matches: Vec<Ordered<'_>> = Vec::new();
        for of in listener.matches.clone().filter_map(|id| self.match_at(id)) {
            for hostname in self.route_of(of).into_iter().flat_map(Route::hostnames) {
                let Some(precedence) = self.precedence(hostname.rank(), of) else { continue };
                matches.push(Ordered { precedence, hostname, of });
            }
        }
        matches.sort_unstable_by_key(|one| (one.precedence, one.hostname));
        // Hostnames of the same length are alternatives: each one's matches stand together.
        let mut places = BTreeMap::new();
        for (place, one) in matches.iter().enumerate() {
            places.entry(one.hostname).or_insert(place);
        }
        matches.sort_by_key(|one| places.get(&one.hostname).copied());
        matches
    }

    fn listed(&self, listener: &Listener, hostname: Hostname<'_>, of: &Match) -> Option<Listed> {
        let rule = self.rules.get(of.rule)?;
        let (wanted, mut conditions) = (of.conditions(), Vec::new());
        conditions.extend(wanted.method.map(|method| method.name().to_owned()));
        if let Some(grpc) = of.grpc() {
            conditions.extend(grpc.service.iter().map(|value| condition("grpc", "service", value)));
            conditions.extend(grpc.method.iter().map(|value| condition("grpc", "method", value)));
        }
        conditions
            .extend(wanted.headers.iter().map(|header| condition("header", &header.name, &header.value)));
        conditions
            .extend(wanted.query_params.iter().map(|query| condition("query", &query.name, &query.value)));
        Some(Listed {
            listener: listener.name.clone(),
            hostname: hostname.text(),
            path_type: of.path.kind(),
            path: of.path.value().to_owned(),
            conditions,
            route: (&self.routes.get(rule.route)?.id).into(),
            rule: rule.index,
            match_index: of.index,
            backends: explain_backends(rule),
            invalid: rule.invalid.clone(),
            redirect: rule.actions.as_ref().and_then(|actions| Some(actions.redirect.as_ref()?.status)),
        })
    }
}

/// No two conditions that differ are written alike: a name that could be taken for more than a name is quoted.
fn condition(what: &str, name: &str, value: &Value) -> String {
    let quoted = name.contains(['=', '~', '"']).then(|| format!("{name:?}"));
    let name = quoted.as_deref().unwrap_or(name);
    match value {
        Value::Exact(value) => format!("{what} {name}={value}"),
        Value::Expression(expression) => format!("{what} {name}~{:?}", expression.source()),
    }
}

#[cfg(test)]
mod tests {
    use crate::{compile, parse};

    #[test]
    fn matches_stand_in_order_of_precedence_by_hostname() {
        let config = r#"{"version": 1, "listeners": [{
            "name": "infra/web/http", "gateway": "infra/web", "port": 80, "protocol": "HTTP",
            "routes": [{
                "kind": "HTTPRoute", "namespace": "n", "name": "r", "hostnames": ["b.example.com", "a.example.com"],
                "rules": [
                    {"matches": [{"path": {"value": "/x"}}], "backends": [{"cluster": "one"}]},
                    {"matches": [{"path": {"type": "Exact", "value": "/y"}, "method": "GET",
                                  "headers": [{"name": "Env", "value": "canary"}],
                                  "queryParams": [{"type": "RegularExpression", "name": "v", "value": "[0-9]+"}]}]}
                ]
            }, {"kind": "HTTPRoute", "namespace": "n", "name": "s", "rules": [{"invalid": "no"}]},
            {"kind": "GRPCRoute", "namespace": "n", "name": "g", "rules": [{"matches": [
                {"grpcMethod": {"type": "RegularExpression", "service": "a.*"}},
                {"grpcMethod": {"service": "helloworld.Greeter", "method": "SayHello"}}]}]}]
        }]}"#;
        let table = compile(&parse(config.as_bytes()).unwrap()).unwrap();
        let list = table.list();
        let rows: Vec<_> = list
            .iter()
            .map(|row| format!("{} {}", row.hostname.as_deref().unwrap_or("*"), row.path))
            .collect();
        assert_eq!(
            rows,
            [
                "a.example.com /y",
                "a.example.com /x",
                "b.example.com /y",
                "b.example.com /x",
                "* /",
                "* /",
                "* /"
            ]
        );
        assert_eq!(list[0].conditions, ["GET", "header env=canary", "query v~\"[0-9]+\""]);
        assert_eq!(list[4].conditions, ["grpc service=helloworld.Greeter", "grpc method=SayHello"]);
        assert_eq!(list[5].conditions, ["grpc service~\"a.*\""]);
        assert_eq!(list[6].invalid.as_deref(), Some("no"));
    }
}
