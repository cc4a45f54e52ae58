//! What is in which part: Envoy's resources and the filter config divided by name. A person can read the texts: whatever
//! has a name begins a line.

use std::collections::BTreeMap;

use gatewasm_routing::config::FilterConfig;

use super::divide::{count, part};
use super::part::{Kind, PartName};
use super::{Bundle, LIMIT, TooLarge};
use crate::render::{FilterText, Json, ListenerText, Resources};

/// Resources by name, as everywhere in [`Resources`].
type ByName = BTreeMap<String, Json>;

pub(super) fn divide(resources: &Resources) -> Result<Bundle, TooLarge> {
    let Resources { listeners, policies, clusters, endpoints, secrets, filter, .. } = resources;
    let mut bundle = Bundle::default();
    bundle.add(Kind::Routes, routes(filter))?;

    let shares = shares(Kind::Envoy, [listeners, policies, clusters]);
    let envoy = |lists: &[Vec<Item<'_>>; 3]| {
        let [listeners, policies, clusters] = lists.each_ref().map(|list| object(list, 1));
        object(&[("listeners", &listeners), ("policies", &policies), ("clusters", &clusters)], 0)
    };
    bundle.add(
        Kind::Envoy,
        with_first(Kind::Envoy, shares).iter().map(|(name, lists)| (*name, envoy(lists))),
    )?;

    let endpoints = self::shares(Kind::Endpoints, [endpoints]);
    bundle.add(Kind::Endpoints, endpoints.iter().map(|(name, [list])| (*name, object(list, 0))))?;

    let mut certificates = self::shares(Kind::Certificates, [secrets]);
    let key = filter.whole.session_key.as_ref().map(|key| serde_json::Value::from(key.as_str()).to_string());
    if key.is_some() {
        certificates = with_first(Kind::Certificates, certificates);
    }
    let secret = |(name, [list]): (&PartName, &[Vec<Item<'_>>; 1])| {
        let list = object(list, 1);
        let key =
            key.as_deref().filter(|_| *name == first(Kind::Certificates)).map(|key| ("sessionKey", key));
        let fields: Vec<Item<'_>> = key.into_iter().chain([("certificates", list.as_str())]).collect();
        (*name, object(&fields, 0))
    };
    bundle.add(Kind::Certificates, certificates.iter().map(secret))?;
    Ok(bundle)
}

impl Bundle {
    /// Adds the texts of the parts of a kind.
    fn add(
        &mut self,
        kind: Kind,
        texts: impl IntoIterator<Item = (PartName, String)>,
    ) -> Result<(), TooLarge> {
        let mut texts: Vec<(PartName, String)> = texts.into_iter().collect();
        texts.iter_mut().for_each(|(_, text)| text.push('\n'));
        if texts.iter().any(|(name, text)| name.file().len() + text.len() > LIMIT) {
            return Err(TooLarge { kind, size: texts.iter().map(|(_, text)| text.len()).sum() });
        }
        self.parts.extend(texts.into_iter().map(|(name, text)| (name, text.into())));
        Ok(())
    }
}

/// A name and its JSON.
type Item<'a> = (&'a str, &'a str);

/// Resources of one kind of part, by part; each of them has the same lists.
fn shares<'a, const N: usize>(kind: Kind, lists: [&'a ByName; N]) -> BTreeMap<PartName, [Vec<Item<'a>>; N]> {
    let sizes = lists.iter().flat_map(|list| list.iter()).map(|(name, json)| name.len() + json.text().len());
    let count = count(kind, sizes.sum());
    let mut shares = BTreeMap::new();
    for (place, list) in lists.into_iter().enumerate() {
        for (name, json) in list {
            let share = shares.entry(part(kind, name, count)).or_insert_with(|| [const { Vec::new() }; N]);
            share.iter_mut().skip(place).take(1).for_each(|share| share.push((name.as_str(), json.text())));
        }
    }
    shares
}

/// With the first part of a kind, even if there is nothing in it.
fn with_first<const N: usize>(
    kind: Kind,
    mut shares: BTreeMap<PartName, [Vec<Item<'_>>; N]>,
) -> BTreeMap<PartName, [Vec<Item<'_>>; N]> {
    shares.entry(first(kind)).or_insert_with(|| [const { Vec::new() }; N]);
    shares
}

/// The filter config by route, without what is secret. All listeners stand in the first part, and in the others those
/// whose routes they have.
fn routes(filter: &FilterText) -> impl Iterator<Item = (PartName, String)> {
    let whole = FilterConfig { session_key: None, listeners: Vec::new(), ..filter.whole };
    let share = |listeners| FilterText { whole: whole.clone(), listeners };
    let bare = |it: &ListenerText| ListenerText { listener: it.listener.clone(), routes: Vec::new() };
    let all = filter.listeners.iter().flat_map(|listener| &listener.routes);
    let count = count(Kind::Routes, all.map(|route| route.text.text().len()).sum());
    let mut shares =
        BTreeMap::from([(first(Kind::Routes), share(filter.listeners.iter().map(bare).collect()))]);
    for listener in &filter.listeners {
        for route in &listener.routes {
            let place = part(Kind::Routes, &format!("{:?} {}", route.kind, route.name), count);
            let listeners = &mut shares.entry(place).or_insert_with(|| share(Vec::new())).listeners;
            let known = listeners.iter_mut().find(|known| known.listener.name == listener.listener.name);
            match known {
                Some(known) => known.routes.push(route.clone()),
                None => listeners.push(ListenerText { routes: vec![route.clone()], ..bare(listener) }),
            }
        }
    }
    shares.into_iter().map(|(name, share)| (name, share.text()))
}

const fn first(kind: Kind) -> PartName {
    PartName { kind, index: 0 }
}

/// A JSON object with a line for each item, `depth` levels deep in another one.
fn object(items: &[Item<'_>], depth: usize) -> String {
    let mut text = String::from("{");
    for (i, (name, json)) in items.iter().enumerate() {
        text.push_str(if i > 0 { ",\n " } else { "\n " });
        (0..depth).for_each(|_| text.push(' '));
        text.push_str(&serde_json::Value::from(*name).to_string());
        text.push_str(": ");
        text.push_str(json);
    }
    if !items.is_empty() {
        text.push('\n');
        (0..depth).for_each(|_| text.push(' '));
    }
    text.push('}');
    text
}
