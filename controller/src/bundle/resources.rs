//! What is in which part: Envoy's resources and the filter config divided by name, and put together again.

use std::collections::BTreeMap;

use gatewasm_routing::config::{FilterConfig, Listener, Route};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::divide::{count, part};
use super::lines;
use super::part::{Kind, PartName};
use super::{Bundle, Incomplete, LIMIT, TooLarge};
use crate::render::{Resources, Settings};

/// Resources by name, as everywhere in [`Resources`].
type ByName = BTreeMap<String, Value>;

/// A part of kind [`Kind::Envoy`].
#[derive(Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct EnvoyPart {
    listeners: ByName,
    policies: ByName,
    clusters: ByName,
}

/// A part of kind [`Kind::Certificates`].
#[derive(Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "camelCase")]
struct CertificatesPart {
    #[serde(skip_serializing_if = "Option::is_none")]
    session_key: Option<String>,
    certificates: ByName,
}

pub(super) fn divide(resources: &Resources, config: &FilterConfig) -> Result<Bundle, TooLarge> {
    let mut bundle = Bundle::default();
    bundle.add(Kind::Routes, routes(config), 6)?;

    let mut size = 0;
    for named in [&resources.listeners, &resources.policies, &resources.clusters] {
        size += size_of(named);
    }
    let count_of_envoy = count(Kind::Envoy, size);
    let mut envoy = BTreeMap::from([(first(Kind::Envoy), EnvoyPart::default())]);
    let mut place = |named: &ByName, field: fn(&mut EnvoyPart) -> &mut ByName| {
        for (name, value) in named {
            let part = envoy.entry(part(Kind::Envoy, name, count_of_envoy)).or_default();
            field(part).insert(name.clone(), value.clone());
        }
    };
    place(&resources.listeners, |part| &mut part.listeners);
    place(&resources.policies, |part| &mut part.policies);
    place(&resources.clusters, |part| &mut part.clusters);
    bundle.add(Kind::Envoy, envoy, 2)?;

    bundle.add(Kind::Endpoints, by_name(Kind::Endpoints, &resources.endpoints), 1)?;

    let mut certificates: BTreeMap<PartName, CertificatesPart> =
        by_name(Kind::Certificates, &resources.secrets)
            .into_iter()
            .map(|(name, certificates)| (name, CertificatesPart { session_key: None, certificates }))
            .collect();
    if let Some(key) = &config.session_key {
        certificates.entry(first(Kind::Certificates)).or_default().session_key = Some(key.clone());
    }
    bundle.add(Kind::Certificates, certificates, 2)?;
    Ok(bundle)
}

pub(super) fn join(bundle: &Bundle, settings: &Settings) -> Result<Resources, Incomplete> {
    let mut config = FilterConfig::default();
    let mut listeners = BTreeMap::<String, Listener>::new();
    for share in bundle.read::<FilterConfig>(Kind::Routes)? {
        config.access_log |= share.access_log;
        for mut listener in share.listeners {
            match listeners.get_mut(&listener.name) {
                Some(known) => known.routes.append(&mut listener.routes),
                None => drop(listeners.insert(listener.name.clone(), listener)),
            }
        }
    }
    config.listeners = listeners.into_values().collect();
    for listener in &mut config.listeners {
        listener.routes.sort_by(|a, b| key(a).cmp(&key(b)));
    }
    let mut resources = Resources::default();
    for mut part in bundle.read::<EnvoyPart>(Kind::Envoy)? {
        resources.listeners.append(&mut part.listeners);
        resources.policies.append(&mut part.policies);
        resources.clusters.append(&mut part.clusters);
    }
    for mut part in bundle.read::<ByName>(Kind::Endpoints)? {
        resources.endpoints.append(&mut part);
    }
    for mut part in bundle.read::<CertificatesPart>(Kind::Certificates)? {
        resources.secrets.append(&mut part.certificates);
        config.session_key = config.session_key.or(part.session_key);
    }
    resources.set_filter_config(&config, settings);
    Ok(resources)
}

impl Bundle {
    /// Adds the texts of the parts of a kind, each with `depth` levels that have lines of their own.
    fn add(
        &mut self,
        kind: Kind,
        parts: BTreeMap<PartName, impl Serialize>,
        depth: usize,
    ) -> Result<(), TooLarge> {
        let texts: BTreeMap<PartName, String> =
            parts.into_iter().map(|(name, part)| (name, lines::to_string(&part, depth))).collect();
        if texts.iter().any(|(name, text)| name.file().len() + text.len() > LIMIT) {
            return Err(TooLarge { kind, size: texts.values().map(String::len).sum() });
        }
        self.parts.extend(texts.into_iter().map(|(name, text)| (name, text.into())));
        Ok(())
    }

    /// Reads all parts of a kind, in their order.
    fn read<T: DeserializeOwned>(&self, kind: Kind) -> Result<Vec<T>, Incomplete> {
        let parts = self.parts.iter().filter(|(name, _)| name.kind == kind);
        let read = |(name, text): (&PartName, &std::sync::Arc<str>)| {
            serde_json::from_str(text).map_err(|error| Incomplete::Unreadable(*name, error.to_string()))
        };
        parts.map(read).collect()
    }
}

/// The filter config by route, without what is secret. All listeners stand in the first part, and in the others those
/// whose routes they have.
fn routes(config: &FilterConfig) -> BTreeMap<PartName, FilterConfig> {
    let empty = |listener: &Listener| Listener {
        name: listener.name.clone(),
        gateway: listener.gateway.clone(),
        port: listener.port,
        protocol: listener.protocol,
        hostname: listener.hostname.clone(),
        routes: Vec::new(),
    };
    let share = |listeners| FilterConfig { session_key: None, listeners, ..*config };
    let all = config.listeners.iter().flat_map(|listener| &listener.routes);
    let count = count(Kind::Routes, all.map(size_of).sum());
    let mut shares =
        BTreeMap::from([(first(Kind::Routes), share(config.listeners.iter().map(empty).collect()))]);
    for listener in &config.listeners {
        for route in &listener.routes {
            let (kind, namespace, name) = key(route);
            let place = part(Kind::Routes, &format!("{kind:?} {namespace}/{name}"), count);
            let listeners = &mut shares.entry(place).or_insert_with(|| share(Vec::new())).listeners;
            match listeners.iter_mut().find(|known| known.name == listener.name) {
                Some(known) => known.routes.push(route.clone()),
                None => listeners.push(Listener { routes: vec![route.clone()], ..empty(listener) }),
            }
        }
    }
    shares
}

/// Resources of one kind by part.
fn by_name(kind: Kind, resources: &ByName) -> BTreeMap<PartName, ByName> {
    let count = count(kind, size_of(resources));
    let mut parts = BTreeMap::<PartName, ByName>::new();
    for (name, value) in resources {
        parts.entry(part(kind, name, count)).or_default().insert(name.clone(), value.clone());
    }
    parts
}

/// The order of a listener's routes, in which `translate` makes them too.
fn key(route: &Route) -> (gatewasm_routing::config::RouteKind, &str, &str) {
    (route.kind, &route.namespace, &route.name)
}

const fn first(kind: Kind) -> PartName {
    PartName { kind, index: 0 }
}

/// Bytes of a thing's JSON.
fn size_of(value: &impl Serialize) -> usize {
    struct Count(usize);
    impl std::io::Write for Count {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0 += bytes.len();
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let mut size = Count(0);
    // Counting does not fail, and every map of ours has strings as keys.
    let _ = serde_json::to_writer(&mut size, value);
    size.0
}
