//! Gateways on the network of their nodes: who has an address and port that several ask for. The oldest Gateway has it;
//! the others are not served there, and say so. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use k8s_openapi::jiff::Timestamp;

use crate::fault::Fault;
use crate::model::Model;
use crate::object::ObjectKey;
use crate::status::{ConditionStatus, PROGRAMMED, Statuses};

/// A Gateway that has a port: where.
#[derive(Debug)]
struct Holder<'a> {
    gateway: &'a ObjectKey,
    addresses: BTreeSet<IpAddr>,
    port: u16,
}

/// Takes out the listeners whose address and port are another Gateway's. `created` tells the age of a Gateway, `nodes`
/// are addresses of nodes as far as they are known: a Gateway that names no address has those of all nodes, because its
/// pods may come to any. What the Gateways are to say is returned.
pub(super) fn withhold(
    model: &mut Model,
    statuses: &mut Statuses,
    created: impl Fn(&ObjectKey) -> Option<Timestamp>,
    nodes: &BTreeSet<IpAddr>,
) -> BTreeMap<ObjectKey, Vec<Fault>> {
    let mut by_age: Vec<ObjectKey> = model.gateways.keys().cloned().collect();
    by_age.sort_by_key(|key| (created(key), key.clone()));
    let mut holders: Vec<Holder<'_>> = Vec::new();
    let mut faults = BTreeMap::<ObjectKey, Vec<Fault>>::new();
    for key in &by_age {
        let Some(gateway) = model.gateways.get_mut(key) else { continue };
        let asked: BTreeSet<IpAddr> = gateway.addresses.iter().copied().collect();
        let ports: BTreeSet<u16> = gateway.listeners.values().map(|listener| listener.port).collect();
        for port in ports {
            // Whoever names no address and another one of these meet wherever both have a pod.
            let other = holders.iter().filter(|other| other.port == port).find_map(|other| {
                match (asked.is_empty(), other.addresses.is_empty()) {
                    (true, true) => Some((other, None)),
                    (true, false) => Some((other, Some(*other.addresses.intersection(nodes).next()?))),
                    (false, true) => Some((other, Some(*asked.intersection(nodes).next()?))),
                    (false, false) => Some((other, Some(*asked.intersection(&other.addresses).next()?))),
                }
            });
            let Some((other, address)) = other else {
                holders.push(Holder { gateway: key, addresses: asked.clone(), port });
                continue;
            };
            let fault = taken(&gateway.addresses, port, address, other.gateway);
            gateway.listeners.retain(|name, listener| {
                if listener.port == port {
                    refuse(statuses, key, name, &fault);
                }
                listener.port != port
            });
            faults.entry(key.clone()).or_default().push(fault);
        }
    }
    faults
}

fn taken(asked: &[IpAddr], port: u16, address: Option<IpAddr>, by: &ObjectKey) -> Fault {
    let what = match address {
        Some(address) => format!("port {port} of \"{address}\""),
        None => format!("port {port} of the nodes"),
    };
    let at = address.and_then(|address| asked.iter().position(|it| *it == address));
    let field = at.map_or_else(|| "spec.addresses".to_owned(), |at| format!("spec.addresses[{at}].value"));
    let message = format!("{what} is taken by Gateway \"{by}\"; use another port, or another address.");
    Fault::new(field, "AddressNotUsable", message)
}

/// Says of a listener that it is not served.
fn refuse(statuses: &mut Statuses, gateway: &ObjectKey, listener: &str, fault: &Fault) {
    let status = statuses.gateways.get_mut(gateway);
    let listeners = status.into_iter().flat_map(|status| &mut status.listeners);
    let conditions = listeners.filter(|its| its.name == listener).flat_map(|its| &mut its.conditions);
    for condition in conditions.filter(|it| it.kind == PROGRAMMED) {
        condition.status = ConditionStatus::False;
        condition.reason = "Invalid".to_owned();
        condition.message = fault.to_string();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Gateway, Listener, Protocol};
    use crate::status::{Condition, GatewayStatus, ListenerStatus};

    /// Gateways by name, age in seconds, addresses and ports; returned are the ports that each has, and the faults.
    fn withheld(
        gateways: &[(&str, i64, &[&str], &[u16])],
        nodes: &[&str],
    ) -> (Vec<String>, Vec<String>, Statuses) {
        let ip = |address: &&str| address.parse::<IpAddr>().unwrap();
        let listener = |port: u16| Listener {
            port,
            protocol: Protocol::Http,
            hostname: None,
            certificates: vec![],
            client_validation: None,
            http3: false,
            forwards: vec![],
        };
        let mut model = Model::default();
        let mut statuses = Statuses::default();
        let mut ages = BTreeMap::new();
        for (name, age, addresses, ports) in gateways {
            let key = ObjectKey::new("infra", *name);
            ages.insert(key.clone(), Timestamp::from_second(1_000_000 - age).unwrap());
            let listeners: BTreeMap<String, Listener> =
                ports.iter().map(|port| (format!("l-{port}"), listener(*port))).collect();
            let programmed = || Condition {
                kind: PROGRAMMED,
                status: ConditionStatus::True,
                reason: "Programmed".into(),
                message: "Said.".into(),
                observed_generation: 1,
            };
            let status = |name: &String| ListenerStatus {
                name: name.clone(),
                supported_kinds: vec![],
                attached_routes: 0,
                conditions: vec![programmed()],
            };
            let status = GatewayStatus {
                conditions: vec![programmed()],
                listeners: listeners.keys().map(status).collect(),
                attached_listener_sets: None,
                addresses: None,
            };
            statuses.gateways.insert(key.clone(), status);
            model.gateways.insert(key, Gateway { addresses: addresses.iter().map(ip).collect(), listeners });
        }
        let nodes = nodes.iter().map(ip).collect();
        let faults = withhold(&mut model, &mut statuses, |key| ages.get(key).copied(), &nodes);
        let has = model.gateways.iter().flat_map(|(key, gateway)| {
            gateway.listeners.values().map(|listener| format!("{} {}", key.name, listener.port))
        });
        let faults = faults.iter().flat_map(|(key, faults)| {
            faults.iter().map(|fault| format!("{} {} {fault}", key.name, fault.reason))
        });
        (has.collect(), faults.collect(), statuses)
    }

    #[test]
    fn of_two_gateways_the_older_one_has_it() {
        let (has, faults, statuses) = withheld(
            &[("a", 10, &["192.0.2.1"], &[80, 443]), ("b", 20, &["192.0.2.2", "192.0.2.1"], &[80])],
            &[],
        );
        assert_eq!(has, ["a 443", "b 80"]);
        let message = "spec.addresses[0].value: port 80 of \"192.0.2.1\" is taken by Gateway \"infra/b\"; use another \
                       port, or another address.";
        assert_eq!(faults, [format!("a AddressNotUsable {message}")]);
        let listeners = &statuses.gateways[&ObjectKey::new("infra", "a")].listeners;
        let said: Vec<(&str, &str)> =
            listeners.iter().map(|its| (its.name.as_str(), its.conditions[0].message.as_str())).collect();
        assert_eq!(said, [("l-443", "Said."), ("l-80", message)]);
    }

    #[test]
    fn other_addresses_and_other_ports_are_nobodys_business() {
        let (has, faults, _) = withheld(
            &[("a", 10, &["192.0.2.1"], &[80]), ("b", 20, &["192.0.2.2"], &[80]), ("c", 5, &[], &[81])],
            &["10.0.0.1"],
        );
        assert_eq!((has.len(), faults.len()), (3, 0));
    }

    #[test]
    fn without_an_address_it_is_that_of_every_node() {
        let (has, faults, _) = withheld(&[("a", 20, &[], &[80]), ("b", 10, &[], &[80])], &[]);
        assert_eq!(has, ["a 80"]);
        assert_eq!(
            faults,
            [
                "b AddressNotUsable spec.addresses: port 80 of the nodes is taken by Gateway \"infra/a\"; use another port, \
              or another address."
            ]
        );
        for (a, b) in [(20, 10), (10, 20)] {
            let gateways: [(&str, i64, &[&str], &[u16]); 2] =
                [("a", a, &[], &[80]), ("b", b, &["10.0.0.1"], &[80])];
            assert_eq!(withheld(&gateways, &[]).1, [""; 0]);
            assert_eq!(withheld(&gateways, &["10.0.0.1"]).1.len(), 1);
        }
    }

    /// What was lost to one is free for nobody else, and what was withheld is held against nobody.
    #[test]
    fn whoever_is_not_served_is_in_nobodys_way() {
        let (has, faults, _) = withheld(
            &[
                ("a", 30, &["192.0.2.1"], &[80]),
                ("b", 20, &["192.0.2.1", "192.0.2.2"], &[80]),
                ("c", 10, &["192.0.2.2"], &[80]),
            ],
            &[],
        );
        assert_eq!(has, ["a 80", "c 80"]);
        assert_eq!(faults.len(), 1);
    }
}
