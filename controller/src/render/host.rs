//! Envoy listeners on the network of their node, where other programs listen as well: on addresses that are the
//! Gateway's, never on all of them, and nobody shares a port.

use std::net::IpAddr;

use serde_json::{Value, json};

use super::Resources;

/// Binds every listener to these addresses too.
pub fn bind_also(resources: &mut Resources, addresses: &[IpAddr]) {
    for json in resources.listeners.values_mut().filter(|_| !addresses.is_empty()) {
        let mut listener = json.value();
        let with = |address: &IpAddr| {
            let mut its = listener["address"].clone();
            its["socket_address"]["address"] = json!(address);
            json!({"address": its})
        };
        listener["additional_addresses"] = addresses.iter().map(with).collect();
        *json = listener.into();
    }
}

/// Puts the address of the node in the place of "every address", and lets nobody listen beside Envoy: by default it
/// shares its ports with any process of the same user, which another Gateway's Envoy is. Datagrams are another matter:
/// Envoy's workers can share a port in no other way, and it refuses such a listener.
pub fn settle(resources: &mut Resources, node: IpAddr) {
    for json in resources.listeners.values_mut() {
        let mut listener = json.value();
        let address = &mut listener["address"]["socket_address"]["address"];
        let is_any = |it: &Value| {
            it.as_str().and_then(|it| it.parse::<IpAddr>().ok()).is_none_or(|it| it.is_unspecified())
        };
        if is_any(address) {
            *address = json!(node);
        }
        if listener["address"]["socket_address"]["protocol"] != "UDP" {
            listener["enable_reuse_port"] = json!(false);
        }
        *json = listener.into();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::listeners::{socket_address, udp_address};

    fn resources(address: &str) -> Resources {
        let mut resources = Resources::default();
        resources
            .listeners
            .insert("infra/web:80".to_owned(), json!({"address": socket_address(address, 80)}).into());
        resources
    }

    #[test]
    fn every_address_becomes_that_of_the_node_and_others_stay() {
        for (address, expected) in [("0.0.0.0", "10.0.0.7"), ("::", "10.0.0.7"), ("192.0.2.1", "192.0.2.1")] {
            let mut resources = resources(address);
            settle(&mut resources, "10.0.0.7".parse().unwrap());
            let listener = resources.listeners["infra/web:80"].value();
            assert_eq!(listener["address"], socket_address(expected, 80), "{address}");
            assert_eq!(listener["enable_reuse_port"], false);
        }
    }

    #[test]
    fn datagrams_stay_datagrams_and_are_shared_by_workers() {
        let mut resources = resources("192.0.2.1");
        let address = udp_address("192.0.2.1:80".parse().unwrap());
        resources.listeners.insert("infra/web:80".to_owned(), json!({"address": address}).into());
        bind_also(&mut resources, &["192.0.2.2".parse().unwrap()]);
        settle(&mut resources, "10.0.0.7".parse().unwrap());
        let listener = resources.listeners["infra/web:80"].value();
        let expected = json!([{"address": udp_address("192.0.2.2:80".parse().unwrap())}]);
        assert_eq!(listener["additional_addresses"], expected);
        assert_eq!(listener.get("enable_reuse_port"), None);
    }

    #[test]
    fn envoy_knows_these_fields() {
        let mut resources = resources("192.0.2.1");
        bind_also(&mut resources, &["2001:db8::1".parse().unwrap()]);
        settle(&mut resources, "10.0.0.7".parse().unwrap());
        let mut listener = resources.listeners["infra/web:80"].value();
        listener["@type"] = json!("type.googleapis.com/envoy.config.listener.v3.Listener");
        let encoder = crate::xds::encode::Encoder::new().unwrap();
        encoder.encode("infra/web:80", &listener.into()).unwrap();
    }

    #[test]
    fn further_addresses_have_the_same_port() {
        let mut resources = resources("192.0.2.1");
        bind_also(&mut resources, &[]);
        assert_eq!(resources.listeners["infra/web:80"].value().get("additional_addresses"), None);
        bind_also(&mut resources, &["2001:db8::1".parse().unwrap()]);
        let expected = json!([{"address": socket_address("2001:db8::1", 80)}]);
        assert_eq!(resources.listeners["infra/web:80"].value()["additional_addresses"], expected);
    }
}
