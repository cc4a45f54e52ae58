//! From a translation to what each Gateway's data plane is to be. Pure.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use crate::bundle::Bundle;
use crate::model::Model;
use crate::object::ObjectKey;
use crate::provision::pod;
use crate::render::extension::readable;
use crate::render::{Before, ConfigSource, Settings, parts};

/// Envoy binds the Gateway's own ports on every address of its pod.
const EVERYWHERE: IpAddr = IpAddr::V4(Ipv4Addr::UNSPECIFIED);

/// The bundle of each Gateway, kept as long as it stays the same.
#[derive(Debug, Default)]
pub(super) struct Plans(BTreeMap<ObjectKey, Plan>);

#[derive(Debug)]
struct Plan {
    rendered: Before,
    bundle: Result<Arc<Bundle>, String>,
}

impl Plans {
    /// The bundles for `model`, or why a Gateway's cannot be delivered. `session_key` is asked for a Gateway's key.
    pub(super) fn of(
        &mut self,
        model: &Model,
        session_key: impl Fn(&ObjectKey) -> String,
    ) -> BTreeMap<ObjectKey, Result<Arc<Bundle>, String>> {
        self.0.retain(|key, _| model.gateways.contains_key(key));
        let mut bundles = BTreeMap::new();
        for key in model.gateways.keys() {
            let mut its = model.only(key);
            crate::translate::seal_sessions(&mut its.filter_config, Some(&session_key(key)));
            let plan = match self.0.remove(key) {
                Some(plan) if plan.rendered.model == its => plan,
                before => Plan::new(its, before.map(|plan| plan.rendered)),
            };
            bundles.insert(key.clone(), plan.bundle.clone());
            self.0.insert(key.clone(), plan);
        }
        bundles
    }
}

impl Plan {
    /// What the data plane of one Gateway is to be, given what it was.
    fn new(model: Model, before: Option<Before>) -> Self {
        let bindings = model.gateways.iter().flat_map(|(key, gateway)| {
            gateway.listeners.values().map(move |listener| {
                ((key.clone(), listener.port), SocketAddr::new(EVERYWHERE, listener.port))
            })
        });
        let settings = Settings {
            bindings: bindings.collect(),
            source: ConfigSource::Ads,
            filter_path: pod::FILTER.into(),
            access_log: true,
        };
        let resources = parts(&model, &settings, before.as_ref());
        let bundle = readable(&model.filter_config, &resources.filter)
            .map_err(|problems| problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))
            .and_then(|()| Bundle::of(&resources).map(Arc::new).map_err(|error| error.to_string()));
        Self { rendered: Before { model, settings, resources }, bundle }
    }
}
