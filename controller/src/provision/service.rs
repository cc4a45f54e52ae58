//! The Service in front of a data plane: under which address, and on which ports, clients find it.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::names::Names;
use super::pod::AGENT_PORT;
use super::{Network, ServiceType, Settings, addresses, labels};
use crate::api;
use crate::http3;
use crate::model::Transport;
use crate::object::ObjectKey;

/// Ports that a Gateway's Service has: those of its listeners, served or not. A listener that cannot be served for a
/// while, as when its Secret is replaced, must not cost the Service its node port.
pub fn ports<'l>(listeners: impl Iterator<Item = &'l api::Listener>) -> BTreeSet<(u16, Transport)> {
    let ports = |listener: &api::Listener| {
        let transports: &[Transport] = match listener.protocol.as_str() {
            "HTTPS" if http3::asked(listener) == Ok(true) => &[Transport::Tcp, Transport::Udp],
            "HTTP" | "HTTPS" | "TLS" | "TCP" => &[Transport::Tcp],
            "UDP" => &[Transport::Udp],
            _ => &[],
        };
        let port = listener.port.get();
        transports.iter().map(move |transport| (port, *transport))
    };
    listeners.flat_map(ports).collect()
}

/// None without a port: the API server takes no such Service. And none where Envoy is at the addresses itself.
pub(super) fn service(
    key: &ObjectKey,
    gateway: &api::Gateway,
    ports: &BTreeSet<(u16, Transport)>,
    settings: &Settings,
) -> Option<Value> {
    // The agent speaks of the inside of the data plane, and is no client's business.
    let ports: Vec<Value> = ports
        .iter()
        .filter(|(port, _)| *port != AGENT_PORT)
        .map(|(port, transport)| {
            let protocol = transport.name();
            let name = format!("{}-{port}", protocol.to_lowercase());
            json!({"name": name, "port": port, "targetPort": port, "protocol": protocol})
        })
        .collect();
    if ports.is_empty() || settings.network == Network::Host {
        return None;
    }
    let mut spec = json!({
        "type": settings.service_type,
        "selector": labels::selector(key),
        "ports": ports,
    });
    if settings.service_type != ServiceType::ClusterIP {
        spec["externalTrafficPolicy"] = json!(settings.external_traffic_policy);
    }
    // One address is all that a Service can ask for.
    let asked = addresses::asked(gateway).next();
    if let (ServiceType::LoadBalancer, Some((_, address))) = (settings.service_type, asked) {
        spec["loadBalancerIP"] = json!(address);
    }
    Some(json!({
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": labels::metadata(key, gateway, Names::of(&key.name).base()),
        "spec": spec,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::provision::ExternalTrafficPolicy;
    use crate::provision::tests::{gateway, key};

    fn spec(gateway: &api::Gateway, settings: &Settings) -> Value {
        service(&key(), gateway, &[(443, Transport::Tcp), (80, Transport::Tcp)].into(), settings).unwrap()["spec"].take()
    }

    #[test]
    fn there_is_one_port_per_number_and_transport() {
        let listener =
            |name: &str, port: u16, protocol: &str| json!({"name": name, "port": port, "protocol": protocol});
        let gateway = gateway(json!({"listeners": [
            listener("a", 8080, "HTTP"),
            listener("b", 443, "HTTPS"),
            listener("c", 8080, "HTTP"),
            listener("d", 99, "example.com/own"),
            listener("e", 443, "TLS"),
            listener("f", 443, "UDP"),
        ]}));
        let tcp = |port| (port, Transport::Tcp);
        assert_eq!(ports(gateway.spec.listeners.iter()), [tcp(443), (443, Transport::Udp), tcp(8080)].into());
        let service =
            service(&key(), &gateway, &ports(gateway.spec.listeners.iter()), &Settings::default()).unwrap();
        assert_eq!(
            service["spec"]["ports"],
            json!([
                {"name": "tcp-443", "port": 443, "targetPort": 443, "protocol": "TCP"},
                {"name": "udp-443", "port": 443, "targetPort": 443, "protocol": "UDP"},
                {"name": "tcp-8080", "port": 8080, "targetPort": 8080, "protocol": "TCP"},
            ])
        );
    }

    #[test]
    fn http3_has_a_port_of_its_own() {
        let listener = |protocol: &str, port: u16, asked: &str| {
            let tls = json!({"options": {"gatewasm.dev/http3": asked}});
            json!({"name": format!("l-{port}"), "port": port, "protocol": protocol, "tls": tls})
        };
        let gateway = gateway(json!({"listeners": [
            listener("HTTPS", 443, "true"),
            listener("HTTPS", 444, "false"),
            listener("HTTPS", 445, "yes"),
            listener("TLS", 446, "true"),
        ]}));
        let tcp = |port| (port, Transport::Tcp);
        let expected = [tcp(443), (443, Transport::Udp), tcp(444), tcp(445), tcp(446)];
        assert_eq!(ports(gateway.spec.listeners.iter()), expected.into());
    }

    #[test]
    fn the_agent_is_never_exposed() {
        let of = |ports: &[u16]| {
            let ports = ports.iter().map(|port| (*port, Transport::Tcp)).collect();
            service(&key(), &gateway(json!({})), &ports, &Settings::default())
        };
        assert_eq!(of(&[AGENT_PORT]), None);
        assert_eq!(of(&[]), None);
        assert_eq!(of(&[80, AGENT_PORT]).unwrap()["spec"]["ports"].as_array().unwrap().len(), 1);
    }

    #[test]
    fn the_type_is_the_settings() {
        let of = |service_type| {
            let external_traffic_policy = ExternalTrafficPolicy::Local;
            let settings = Settings { service_type, external_traffic_policy, ..Settings::default() };
            spec(&gateway(json!({"addresses": [{"value": "192.0.2.7"}, {"value": "192.0.2.8"}]})), &settings)
        };
        let balanced = of(ServiceType::LoadBalancer);
        assert_eq!(
            (&balanced["type"], &balanced["loadBalancerIP"]),
            (&json!("LoadBalancer"), &json!("192.0.2.7"))
        );
        assert_eq!(balanced["externalTrafficPolicy"], "Local");
        let nodes = of(ServiceType::NodePort);
        assert_eq!((&nodes["type"], nodes.get("loadBalancerIP")), (&json!("NodePort"), None));
        assert_eq!(nodes["externalTrafficPolicy"], "Local");
        // Refused by the API server where nothing comes from outside.
        let inside = of(ServiceType::ClusterIP);
        assert_eq!((&inside["type"], inside.get("externalTrafficPolicy")), (&json!("ClusterIP"), None));
    }

    #[test]
    fn an_address_without_a_value_asks_for_none() {
        let gateway = gateway(json!({"addresses": [{"type": "IPAddress"}]}));
        assert!(spec(&gateway, &Settings::default()).get("loadBalancerIP").is_none());
    }
}
