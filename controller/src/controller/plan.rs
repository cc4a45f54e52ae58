//! From a translation to what each Gateway's data plane is to be. Pure.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use crate::bundle::Bundle;
use crate::model::{Gateway, Model};
use crate::object::ObjectKey;
use crate::provision::{Network, pod};
use crate::render::extension::readable;
use crate::render::{Before, ConfigSource, Settings, host, parts};

/// Envoy binds the Gateway's own ports on every address of its pod; on the network of a node, its agent puts the node's
/// address in the place of this one.
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
        network: Network,
        session_key: impl Fn(&ObjectKey) -> String,
    ) -> BTreeMap<ObjectKey, Result<Arc<Bundle>, String>> {
        self.0.retain(|key, _| model.gateways.contains_key(key));
        let mut bundles = BTreeMap::new();
        for key in model.gateways.keys() {
            let mut its = model.only(key);
            crate::translate::seal_sessions(&mut its.filter_config, Some(&session_key(key)));
            let plan = match self.0.remove(key) {
                Some(plan) if plan.rendered.model == its => plan,
                before => Plan::new(its, network, before.map(|plan| plan.rendered)),
            };
            bundles.insert(key.clone(), plan.bundle.clone());
            self.0.insert(key.clone(), plan);
        }
        bundles
    }
}

impl Plan {
    /// What the data plane of one Gateway is to be, given what it was.
    fn new(model: Model, network: Network, before: Option<Before>) -> Self {
        // Elsewhere the addresses of the spec are those of the Service in front.
        let asked = |gateway: &Gateway| match network {
            Network::Pod => vec![],
            Network::Host => gateway.addresses.clone(),
        };
        let bindings = model.gateways.iter().flat_map(|(key, gateway)| {
            let address = asked(gateway).first().copied().unwrap_or(EVERYWHERE);
            let ports = gateway.listeners.values().map(|listener| listener.port);
            ports.map(move |port| ((key.clone(), port), SocketAddr::new(address, port)))
        });
        let settings = Settings {
            bindings: bindings.collect(),
            source: ConfigSource::Ads,
            filter_path: pod::FILTER.into(),
            access_log: true,
        };
        let mut resources = parts(&model, &settings, before.as_ref());
        for gateway in model.gateways.values() {
            host::bind_also(&mut resources, asked(gateway).get(1..).unwrap_or_default());
        }
        let bundle = readable(&model.filter_config, &resources.filter)
            .map_err(|problems| problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))
            .and_then(|()| Bundle::of(&resources).map(Arc::new).map_err(|error| error.to_string()));
        Self { rendered: Before { model, settings, resources }, bundle }
    }
}
