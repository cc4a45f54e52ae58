//! The filter config as texts: each route is written once, and what does not change is not written again. The whole
//! text is also what a person reads in a ConfigMap: every listener, route and rule begins a line.

use gatewasm_routing::config::{FilterConfig, Listener, Route, RouteKind};

use super::Json;

/// A filter config, in pieces.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FilterText {
    /// The config without its listeners.
    pub(crate) whole: FilterConfig,
    /// Its listeners.
    pub(crate) listeners: Vec<ListenerText>,
}

/// A listener with the texts of its routes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ListenerText {
    /// The listener without its routes.
    pub(crate) listener: Listener,
    pub(crate) routes: Vec<RouteText>,
}

/// A route's text, with what it is found by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RouteText {
    pub(crate) kind: RouteKind,
    /// `namespace/name`.
    pub(crate) name: String,
    pub(crate) text: Json,
}

impl FilterText {
    /// Writes `config`; what was the same in another one is taken from the texts of that.
    pub(crate) fn of(config: &FilterConfig, before: Option<(&FilterConfig, &Self)>) -> Self {
        let whole =
            FilterConfig { listeners: Vec::new(), session_key: config.session_key.clone(), ..*config };
        let listener = |it: &Listener| {
            let known = before.and_then(|(config, texts)| {
                let place = config.listeners.iter().position(|known| known.name == it.name)?;
                Some(config.listeners.get(place)?.routes.iter().zip(&texts.listeners.get(place)?.routes))
            });
            ListenerText { listener: bare(it), routes: routes(&it.routes, known.into_iter().flatten()) }
        };
        Self { whole, listeners: config.listeners.iter().map(listener).collect() }
    }

    /// Adds the listeners and routes of another one. [`FilterText::sort`] brings them in order.
    pub(crate) fn add(&mut self, other: Self) {
        self.whole.access_log |= other.whole.access_log;
        for mut listener in other.listeners {
            match self.listeners.iter_mut().find(|known| known.listener.name == listener.listener.name) {
                Some(known) => known.routes.append(&mut listener.routes),
                None => self.listeners.push(listener),
            }
        }
    }

    /// The order in which `translate` makes them.
    pub(crate) fn sort(&mut self) {
        self.listeners.sort_by(|a, b| a.listener.name.cmp(&b.listener.name));
        for listener in &mut self.listeners {
            listener.routes.sort_by(|a, b| (a.kind, &a.name).cmp(&(b.kind, &b.name)));
        }
    }

    /// The text, as the filter reads it.
    pub fn text(&self) -> String {
        // Texts, numbers and lists always have a JSON form; without one the filter refuses the configuration.
        let mut text = serde_json::to_string(&self.whole).unwrap_or_default();
        insert(&mut text, "]}", "\n ", &self.listeners, |listener, text| {
            let mut its = serde_json::to_string(&listener.listener).unwrap_or_default();
            if !listener.routes.is_empty() {
                its.truncate(its.len().saturating_sub(1));
                its += r#","routes":[]}"#;
                insert(&mut its, "]}", "\n  ", &listener.routes, |route, text| {
                    text.push_str(route.text.text())
                });
            }
            text.push_str(&its);
        });
        text
    }
}

/// The texts of routes, in the order of `all` and of `known` alike.
fn routes<'a>(all: &[Route], known: impl Iterator<Item = (&'a Route, &'a RouteText)>) -> Vec<RouteText> {
    let mut known = known.peekable();
    let text = |route: &Route| {
        while known.next_if(|(it, _)| key(it) < key(route)).is_some() {}
        match known.next_if(|(it, _)| key(it) == key(route)) {
            Some((it, text)) if it == route => text.clone(),
            _ => RouteText {
                kind: route.kind,
                name: format!("{}/{}", route.namespace, route.name),
                text: write(route),
            },
        }
    };
    all.iter().map(text).collect()
}

fn key(route: &Route) -> (RouteKind, &str, &str) {
    (route.kind, &route.namespace, &route.name)
}

fn write(route: &Route) -> Json {
    let head = Route {
        kind: route.kind,
        namespace: route.namespace.clone(),
        name: route.name.clone(),
        creation_timestamp: route.creation_timestamp.clone(),
        hostnames: route.hostnames.clone(),
        rules: Vec::new(),
    };
    let mut text = serde_json::to_string(&head).unwrap_or_default();
    insert(&mut text, "]}", "\n   ", &route.rules, |rule, text| {
        text.push_str(&serde_json::to_string(rule).unwrap_or_default());
    });
    text.into()
}

fn bare(listener: &Listener) -> Listener {
    Listener {
        name: listener.name.clone(),
        gateway: listener.gateway.clone(),
        port: listener.port,
        protocol: listener.protocol,
        hostname: listener.hostname.clone(),
        alt_svc: listener.alt_svc.clone(),
        routes: Vec::new(),
    }
}

/// Writes items into the empty list that `text` ends with, each behind a line break.
fn insert<T>(text: &mut String, end: &str, line: &str, items: &[T], mut write: impl FnMut(&T, &mut String)) {
    if items.is_empty() || !text.ends_with(end) {
        return;
    }
    text.truncate(text.len() - end.len());
    for (i, item) in items.iter().enumerate() {
        text.push_str(if i > 0 { "," } else { "" });
        text.push_str(line);
        write(item, text);
    }
    text.push_str(end);
}
