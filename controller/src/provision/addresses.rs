//! Addresses of a Gateway's status, from what its Service got, and what of `spec.addresses` it did not get.
//!
//! Kind of Service | Address of the Gateway
//! --- | ---
//! `LoadBalancer` | what the load balancer reports: IP addresses and host names
//! none, on the network of the nodes | what the spec names and Envoy binds, or the addresses of the nodes
//! `NodePort`, `ClusterIP` | the Service's own, where the listeners' ports are those of the spec. Ports on nodes are others, so nodes are no address of the Gateway.

use std::collections::BTreeSet;
use std::net::IpAddr;

use k8s_openapi::api::core::v1::Service;
use serde::Serialize;

use super::names::Names;
use crate::api;
use crate::fault::Fault;
use crate::object::ObjectKey;

/// As many as `status.addresses` may have.
const MOST: usize = 16;

/// `GatewayStatusAddress`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct StatusAddress {
    /// What it is.
    #[serde(rename = "type")]
    pub kind: AddressType,
    /// The address.
    pub value: String,
}

/// `AddressType`, as far as a Service has such.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum AddressType {
    /// IPv4 or IPv6.
    IPAddress,
    /// A DNS name.
    Hostname,
}

/// Where a Gateway is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Addresses {
    /// `status.addresses`: with addresses in the spec, those of them that are usable.
    pub usable: Vec<StatusAddress>,
    /// Why the Gateway is not programmed (`AddressNotUsable`, `AddressNotAssigned`); empty where nothing is missing.
    pub faults: Vec<Fault>,
}

/// Addresses of a Gateway whose Service is as the API server has it; `None` where it is not there yet.
///
/// `AddressNotAssigned`: the environment has yet to choose an address. `AddressNotUsable`: an address of the spec is not
/// to be had (apis/v1/gateway_types.go). Nothing tells the one that comes late from the one that never comes, so an
/// address that the Service does not report is not usable.
pub fn addresses(key: &ObjectKey, gateway: &api::Gateway, service: Option<&Service>) -> Addresses {
    let reported = service.map(reported).unwrap_or_default();
    let has = |address: IpAddr| reported.iter().any(|its| its.value.parse() == Ok(address));
    let name = format!("Service \"{}/{}\"", key.namespace, Names::of(&key.name).base());
    let mut faults: Vec<Fault> = asked(gateway)
        .filter(|(_, address)| !has(*address))
        .map(|(at, address)| not_usable(at, address, &name, service, &reported))
        .collect();

    // An entry without a value leaves the choice to the environment, as no entry does.
    let spec = &gateway.spec.addresses;
    let any = spec.is_empty() || spec.iter().any(|address| address.value.is_empty());
    if any && reported.is_empty() {
        faults.push(not_assigned(&name, service));
    }
    let wanted: BTreeSet<IpAddr> = asked(gateway).map(|(_, address)| address).collect();
    let mut usable = reported;
    usable.retain(|its| any || its.value.parse().is_ok_and(|address| wanted.contains(&address)));
    usable.truncate(MOST);
    Addresses { usable, faults }
}

/// Addresses of a Gateway on the network of its nodes: those that it asks for and Envoy binds, or those of the `nodes`
/// that have a pod of it which takes traffic. `taken` is what another Gateway has.
pub fn host_addresses(gateway: &api::Gateway, nodes: &BTreeSet<IpAddr>, taken: &[Fault]) -> Addresses {
    let mut faults = taken.to_vec();
    if nodes.is_empty() {
        faults.push(Fault::new(
            "status.addresses",
            "AddressNotAssigned",
            "No pod of it is ready on any node.",
        ));
    }
    let asked: Vec<IpAddr> = asked(gateway).map(|(_, address)| address).collect();
    let addresses =
        if asked.is_empty() || nodes.is_empty() { nodes.iter().copied().collect() } else { asked };
    let usable = addresses.iter().take(MOST);
    let usable = usable.map(|it| StatusAddress { kind: AddressType::IPAddress, value: it.to_string() });
    Addresses { usable: usable.collect(), faults }
}

/// Addresses that the spec names, with their places. What is no address was refused by `translate`.
pub(super) fn asked(gateway: &api::Gateway) -> impl Iterator<Item = (usize, IpAddr)> {
    let addresses = gateway.spec.addresses.iter().enumerate();
    addresses
        .filter(|(_, address)| address.kind == "IPAddress")
        .filter_map(|(at, address)| Some((at, address.value.parse().ok()?)))
}

fn reported(service: &Service) -> Vec<StatusAddress> {
    let ip = |value: &String| StatusAddress { kind: AddressType::IPAddress, value: value.clone() };
    if kind(service) == "LoadBalancer" {
        let balancer = service.status.as_ref().and_then(|status| status.load_balancer.as_ref());
        let ingress = balancer.and_then(|balancer| balancer.ingress.as_ref()).into_iter().flatten();
        let host = |value: &String| StatusAddress { kind: AddressType::Hostname, value: value.clone() };
        return ingress
            .filter_map(|its| its.ip.as_ref().map(ip).or_else(|| its.hostname.as_ref().map(host)))
            .collect();
    }
    let own = service.spec.as_ref().and_then(|spec| spec.cluster_ips.as_ref()).into_iter().flatten();
    // A Service without an address says "None".
    own.filter(|value| value.parse::<IpAddr>().is_ok()).map(ip).collect()
}

fn kind(service: &Service) -> &str {
    service.spec.as_ref().and_then(|spec| spec.type_.as_deref()).unwrap_or("ClusterIP")
}

fn not_usable(
    at: usize,
    address: IpAddr,
    name: &str,
    service: Option<&Service>,
    reported: &[StatusAddress],
) -> Fault {
    let way_out = match service.map(kind) {
        None | Some("LoadBalancer") => "ask for one that the cluster's load balancer can give, or for none",
        Some(_) => "remove it, or run the controller with --service-type LoadBalancer",
    };
    let has = match reported {
        [] => "has no address".to_owned(),
        some => {
            let values: Vec<String> = some.iter().map(|its| format!("{:?}", its.value)).collect();
            format!("has {}", values.join(", "))
        }
    };
    let message = format!("\"{address}\" is not usable: {name} {has}; {way_out}.");
    Fault::new(format!("spec.addresses[{at}].value"), "AddressNotUsable", message)
}

fn not_assigned(name: &str, service: Option<&Service>) -> Fault {
    let message = match service.map(kind) {
        None => format!("{name} is not there yet."),
        Some("LoadBalancer") => format!(
            "{name} has no address yet; where the cluster has no load balancer, run the controller with \
             --service-type NodePort or ClusterIP."
        ),
        Some(_) => format!("{name} has no address yet."),
    };
    Fault::new("status.addresses", "AddressNotAssigned", message)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::provision::tests::{gateway, key};

    fn balanced(ingress: Value) -> Value {
        json!({"spec": {"type": "LoadBalancer"}, "status": {"loadBalancer": {"ingress": ingress}}})
    }

    /// Usable addresses, then faults.
    fn of(spec: Value, service: Value) -> (Vec<String>, Vec<String>) {
        let service: Option<Service> = serde_json::from_value(service).unwrap();
        let addresses = addresses(&key(), &gateway(json!({"addresses": spec})), service.as_ref());
        let usable = addresses.usable.iter().map(|its| format!("{:?} {}", its.kind, its.value)).collect();
        (usable, addresses.faults.iter().map(|fault| format!("{} {fault}", fault.reason)).collect())
    }

    fn fine(spec: Value, service: Value) -> Vec<String> {
        let (usable, faults) = of(spec, service);
        assert_eq!(faults, [""; 0]);
        usable
    }

    #[test]
    fn a_load_balancer_reports_addresses_and_names() {
        let service =
            balanced(json!([{"ip": "192.0.2.1"}, {"hostname": "lb.example.com"}, {"ip": "2001:db8::1"}]));
        let expected = ["IPAddress 192.0.2.1", "Hostname lb.example.com", "IPAddress 2001:db8::1"];
        assert_eq!(fine(json!([]), service.clone()), expected);
        assert_eq!(fine(json!([{"type": "IPAddress"}]), service), expected);
        let status = StatusAddress { kind: AddressType::IPAddress, value: "192.0.2.1".to_owned() };
        assert_eq!(json!(status), json!({"type": "IPAddress", "value": "192.0.2.1"}));
    }

    #[test]
    fn other_services_have_addresses_of_their_own() {
        for kind in ["NodePort", "ClusterIP"] {
            let spec =
                json!({"type": kind, "clusterIPs": ["10.0.0.1", "fd00::1"], "externalIPs": ["192.0.2.1"]});
            assert_eq!(fine(json!([]), json!({"spec": spec})), ["IPAddress 10.0.0.1", "IPAddress fd00::1"]);
        }
        let (usable, faults) = of(json!([]), json!({"spec": {"clusterIPs": ["None"]}}));
        assert_eq!(usable, [""; 0]);
        assert!(faults[0].starts_with("AddressNotAssigned status.addresses: "), "{faults:?}");
    }

    #[test]
    fn an_address_that_is_yet_to_come_is_not_assigned() {
        for service in [json!({"spec": {"type": "LoadBalancer"}}), balanced(json!([])), Value::Null] {
            for spec in [json!([]), json!([{"type": "IPAddress"}])] {
                let (usable, faults) = of(spec, service.clone());
                assert_eq!((usable.len(), faults.len()), (0, 1));
                let expected = "AddressNotAssigned status.addresses: Service \"infra/gatewasm-web\" ";
                assert!(faults[0].starts_with(expected), "{faults:?}");
            }
        }
    }

    #[test]
    fn an_address_of_the_spec_must_be_the_one_that_it_gets() {
        let service = balanced(json!([{"ip": "192.0.2.1"}]));
        assert_eq!(fine(json!([{"value": "192.0.2.1"}]), service.clone()), ["IPAddress 192.0.2.1"]);
        let (usable, faults) = of(json!([{"value": "192.0.2.9"}]), service);
        assert_eq!(usable, [""; 0]);
        assert_eq!(
            faults,
            ["AddressNotUsable spec.addresses[0].value: \"192.0.2.9\" is not usable: Service \
              \"infra/gatewasm-web\" has \"192.0.2.1\"; ask for one that the cluster's load balancer can give, or \
              for none."]
        );
    }

    /// One that is usable beside one that is not: the status has the one, the condition speaks of the other.
    #[test]
    fn of_several_addresses_the_usable_ones_are_listed() {
        let spec = json!([{"value": "192.0.2.9"}, {"value": "2001:DB8:0::1"}]);
        let (usable, faults) =
            of(spec.clone(), balanced(json!([{"ip": "2001:db8::1"}, {"ip": "192.0.2.2"}])));
        assert_eq!(usable, ["IPAddress 2001:db8::1"]);
        assert_eq!(faults.len(), 1);
        let (usable, faults) = of(spec, Value::Null);
        assert_eq!((usable.len(), faults.len()), (0, 2));
    }

    #[test]
    fn a_service_that_cannot_ask_says_so() {
        let service = json!({"spec": {"type": "NodePort", "clusterIPs": ["10.0.0.1"]}});
        let (_, faults) = of(json!([{"value": "192.0.2.9"}]), service);
        assert!(faults[0].contains("--service-type LoadBalancer"), "{faults:?}");
    }

    #[test]
    fn on_the_network_of_the_nodes_it_is_what_envoy_binds() {
        let of = |spec: Value, nodes: &[&str], taken: &[Fault]| {
            let nodes = nodes.iter().map(|node| node.parse().unwrap()).collect();
            let addresses = host_addresses(&gateway(json!({"addresses": spec})), &nodes, taken);
            let usable: Vec<String> = addresses.usable.into_iter().map(|its| its.value).collect();
            (usable, addresses.faults.iter().map(|fault| fault.reason).collect::<Vec<_>>())
        };
        let none: (Vec<String>, Vec<&str>) = (vec![], vec!["AddressNotAssigned"]);
        assert_eq!(of(json!([]), &[], &[]), none);
        assert_eq!(of(json!([{"value": "192.0.2.1"}]), &[], &[]), none);
        assert_eq!(of(json!([]), &["10.0.0.2", "10.0.0.1"], &[]).0, ["10.0.0.1", "10.0.0.2"]);
        assert_eq!(of(json!([{"value": "192.0.2.1"}]), &["10.0.0.1"], &[]).0, ["192.0.2.1"]);
        let taken = Fault::new("spec.addresses", "AddressNotUsable", "Taken.");
        assert_eq!(of(json!([]), &["10.0.0.1"], &[taken]).1, ["AddressNotUsable"]);
    }

    #[test]
    fn no_more_than_the_status_may_have() {
        let many: Vec<Value> = (0..20).map(|n| json!({"ip": format!("192.0.2.{n}")})).collect();
        assert_eq!(fine(json!([]), balanced(json!(many))).len(), 16);
    }
}
