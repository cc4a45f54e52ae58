//! Which address and port of this machine each Gateway gets. Pure: whether an address can be bound is asked.

use std::collections::BTreeSet;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, UdpSocket};

use crate::fault::Fault;
use crate::model::{Gateway, Listener, Model, Transport};
use crate::object::{ObjectKey, ObjectRef};
use crate::problem::{Problem, Severity};
use crate::render::Bindings;

/// The last loopback address that is tried: 127.0.0.1 to 127.0.0.254.
const LAST_LOOPBACK: u8 = 254;

/// Why an address cannot be bound.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refused {
    /// Another program listens there.
    InUse,
    /// Ports below 1024 may need a right that we lack.
    NotPermitted,
    /// This machine has no such address (of the loopback addresses, macOS has only 127.0.0.1).
    NoSuchAddress,
    /// Something else, in the system's words.
    Other(String),
}

/// What became of the wishes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// The ports that can be bound.
    pub bindings: Bindings,
    /// The others, and what to do about each.
    pub problems: Vec<Problem>,
}

/// Tries to bind an address, as Envoy will.
pub fn can_bind(address: SocketAddr, transport: Transport) -> Result<(), Refused> {
    let bound = match transport {
        Transport::Tcp => TcpListener::bind(address).map(drop),
        Transport::Udp => UdpSocket::bind(address).map(drop),
    };
    bound.map_err(|error| match error.kind() {
        io::ErrorKind::AddrInUse => Refused::InUse,
        io::ErrorKind::PermissionDenied => Refused::NotPermitted,
        io::ErrorKind::AddrNotAvailable => Refused::NoSuchAddress,
        _ => Refused::Other(error.to_string()),
    })
}

/// Gives every port of every Gateway an address: the one that `spec.addresses` asks for, or else 127.0.0.1, or the
/// next loopback address on which no other Gateway wants one of the same ports. A port that may not be bound is moved
/// up by `port_offset`.
///
/// A port of a Gateway has the same address for connections and datagrams.
///
/// What `previous` holds is kept, so that a Gateway stays where it is when others come and go; it is not asked for,
/// because our own Envoy listens there.
pub fn plan(
    model: &Model,
    previous: &Bindings,
    port_offset: u16,
    can_bind: impl Fn(SocketAddr, Transport) -> Result<(), Refused>,
) -> Plan {
    let mut planner = Planner {
        plan: Plan::default(),
        taken: BTreeSet::new(),
        held: previous.values().copied().collect(),
        port_offset,
        can_bind,
    };
    // What stays is taken before anything new may want it.
    for (key, gateway) in &model.gateways {
        for port in ports(gateway) {
            let place = (key.clone(), port);
            if let Some(address) = previous.get(&place).filter(|it| fits(gateway, it.ip())) {
                planner.take(place, *address);
            }
        }
    }
    for (key, gateway) in &model.gateways {
        planner.place(key, gateway);
    }
    planner.plan.problems.sort();
    planner.plan
}

struct Planner<F> {
    plan: Plan,
    taken: BTreeSet<SocketAddr>,
    held: BTreeSet<SocketAddr>,
    port_offset: u16,
    can_bind: F,
}

impl<F: Fn(SocketAddr, Transport) -> Result<(), Refused>> Planner<F> {
    /// The port that a Gateway wants is its own on that address even where it got another.
    fn take(&mut self, place: (ObjectKey, u16), address: SocketAddr) {
        self.taken.extend([address, SocketAddr::new(address.ip(), place.1)]);
        self.plan.bindings.insert(place, address);
    }

    fn place(&mut self, key: &ObjectKey, gateway: &Gateway) {
        let new: BTreeSet<u16> =
            ports(gateway).filter(|port| !self.plan.bindings.contains_key(&(key.clone(), *port))).collect();
        if new.is_empty() {
            return;
        }
        let stays = self.plan.bindings.iter().find(|((gateway, _), _)| gateway == key).map(|(_, it)| it.ip());
        let candidates = candidates(gateway, stays);
        let home = candidates.first().copied().filter(|_| gateway.addresses.is_empty());
        // All ports of a Gateway on one address where that can be.
        let free = |ip: &&IpAddr| new.iter().all(|port| !self.is_taken(SocketAddr::new(**ip, *port)));
        let together = candidates.iter().find(free).copied();
        for port in new {
            let mut order: Vec<IpAddr> = together.into_iter().collect();
            order.extend(candidates.iter().filter(|ip| Some(**ip) != together));
            match self.find(&order, home, port, &transports(gateway, port)) {
                Ok(address) => self.take((key.clone(), port), address),
                Err((address, why)) => self.plan.problems.push(problem(key, gateway, port, address, &why)),
            }
        }
    }

    /// The first address for a port; where there is none, the address that was meant and why it cannot be.
    /// `home` is where a port is moved when this machine has no further loopback address.
    fn find(
        &self,
        order: &[IpAddr],
        home: Option<IpAddr>,
        port: u16,
        transports: &BTreeSet<Transport>,
    ) -> Result<SocketAddr, (SocketAddr, Refused)> {
        let mut failed = None;
        for ip in order {
            let address = SocketAddr::new(*ip, port);
            let refused = match self.check(address, transports) {
                Ok(()) => return Ok(address),
                Err(refused) => refused,
            };
            match refused {
                // Of another Gateway of ours: try the next address.
                Refused::InUse if self.is_taken(address) => {}
                Refused::NotPermitted => return self.shifted(address, transports).ok_or((address, refused)),
                Refused::NoSuchAddress if home.is_some_and(|home| home != *ip) => {
                    let home = SocketAddr::new(home.unwrap_or(*ip), port);
                    return self.shifted(home, transports).ok_or((home, Refused::InUse));
                }
                refused => return Err((address, refused)),
            }
            failed.get_or_insert((address, refused));
        }
        let nowhere = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), port);
        Err(failed.unwrap_or((nowhere, Refused::NoSuchAddress)))
    }

    fn check(&self, address: SocketAddr, transports: &BTreeSet<Transport>) -> Result<(), Refused> {
        if self.is_taken(address) {
            return Err(Refused::InUse);
        }
        if self.held.contains(&address) {
            return Ok(());
        }
        transports.iter().try_for_each(|transport| (self.can_bind)(address, *transport))
    }

    /// The first port that is free, in steps of the offset.
    fn shifted(&self, address: SocketAddr, transports: &BTreeSet<Transport>) -> Option<SocketAddr> {
        let step = usize::from(self.port_offset.max(1));
        let ports = (usize::from(address.port())..=usize::from(u16::MAX)).step_by(step).skip(1);
        let mut shifted =
            ports.filter_map(|port| Some(SocketAddr::new(address.ip(), u16::try_from(port).ok()?)));
        shifted.find(|address| self.check(*address, transports).is_ok())
    }

    /// Whether a Gateway of ours has the port on that address, or on all addresses.
    fn is_taken(&self, address: SocketAddr) -> bool {
        let meets = |it: &&SocketAddr| {
            it.ip() == address.ip() || it.ip().is_unspecified() || address.ip().is_unspecified()
        };
        self.taken.iter().filter(|it| it.port() == address.port()).any(|it| meets(&it))
    }
}

fn ports(gateway: &Gateway) -> impl Iterator<Item = u16> + '_ {
    let ports: BTreeSet<u16> = gateway.listeners.values().map(|listener| listener.port).collect();
    ports.into_iter()
}

fn transports(gateway: &Gateway, port: u16) -> BTreeSet<Transport> {
    let listeners = gateway.listeners.values().filter(|listener| listener.port == port);
    listeners.flat_map(Listener::transports).collect()
}

fn fits(gateway: &Gateway, ip: IpAddr) -> bool {
    if gateway.addresses.is_empty() { ip.is_loopback() } else { gateway.addresses.contains(&ip) }
}

fn candidates(gateway: &Gateway, stays: Option<IpAddr>) -> Vec<IpAddr> {
    if !gateway.addresses.is_empty() {
        return gateway.addresses.clone();
    }
    let loopback = (1..=LAST_LOOPBACK).map(|last| IpAddr::V4(Ipv4Addr::new(127, 0, 0, last)));
    let mut all: Vec<IpAddr> = stays.into_iter().collect();
    all.extend(loopback.filter(|ip| Some(*ip) != stays));
    all
}

fn problem(key: &ObjectKey, gateway: &Gateway, port: u16, address: SocketAddr, why: &Refused) -> Problem {
    let names = gateway.listeners.iter().filter(|(_, listener)| listener.port == port);
    let names: Vec<String> = names.map(|(name, _)| format!("{name:?}")).collect();
    let plural = if names.len() == 1 { "" } else { "s" };
    let why = match why {
        Refused::InUse => format!(
            "{address} is in use; end the program that listens there, choose another port, or give the Gateway \
             another address in spec.addresses"
        ),
        Refused::NotPermitted => format!(
            "{address} may not be bound without privileges, and no port above it is free in steps of --port-offset; \
             choose another port or offset"
        ),
        Refused::NoSuchAddress => {
            format!("this machine has no address {}; choose another in spec.addresses", address.ip())
        }
        Refused::Other(error) => format!("{address} cannot be bound: {error}"),
    };
    let message = format!("Listener{plural} {} with port {port}: {why}.", names.join(", "));
    let object = ObjectRef::namespaced("Gateway", key);
    Fault::new("spec.listeners", "AddressNotUsable", message).problem(&object, Severity::Error)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Protocol;

    fn model(gateways: &[(&str, &[&str], &[u16])]) -> Model {
        let gateways = gateways.iter().map(|(name, addresses, ports)| {
            let listener = |port: &u16| {
                let listener = Listener {
                    port: *port,
                    protocol: Protocol::Http,
                    hostname: None,
                    certificates: vec![],
                    client_validation: None,
                    http3: false,
                    forwards: vec![],
                };
                (format!("http-{port}"), listener)
            };
            let gateway = Gateway {
                addresses: addresses.iter().map(|it| it.parse().unwrap()).collect(),
                listeners: ports.iter().map(listener).collect(),
            };
            (ObjectKey::new("infra", *name), gateway)
        });
        Model { gateways: gateways.collect(), ..Model::default() }
    }

    fn free(_: SocketAddr, _: Transport) -> Result<(), Refused> {
        Ok(())
    }

    fn shown(plan: &Plan) -> Vec<String> {
        plan.bindings.iter().map(|((key, port), address)| format!("{}:{port} {address}", key.name)).collect()
    }

    #[test]
    fn a_gateway_gets_the_first_loopback_address_and_the_next_one_the_next_for_the_same_port() {
        let model = model(&[("a", &[], &[80, 443]), ("b", &[], &[80, 8080]), ("c", &[], &[9090])]);
        let plan = plan(&model, &Bindings::new(), 10_000, free);
        let expected = [
            "a:80 127.0.0.1:80",
            "a:443 127.0.0.1:443",
            "b:80 127.0.0.2:80",
            "b:8080 127.0.0.2:8080",
            "c:9090 127.0.0.1:9090",
        ];
        assert_eq!(shown(&plan), expected);
        assert!(plan.problems.is_empty());
    }

    #[test]
    fn what_is_asked_for_is_given() {
        let model = model(&[("a", &["127.0.0.7"], &[80]), ("b", &["::1", "127.0.0.9"], &[80])]);
        let plan = plan(&model, &Bindings::new(), 10_000, free);
        assert_eq!(shown(&plan), ["a:80 127.0.0.7:80", "b:80 [::1]:80"]);
    }

    #[test]
    fn gateways_stay_where_they_are() {
        let both = model(&[("a", &[], &[80]), ("b", &[], &[80])]);
        let first = plan(&both, &Bindings::new(), 10_000, free);
        let in_use = |_, _| Err(Refused::InUse);
        assert_eq!(plan(&both, &first.bindings, 10_000, in_use).bindings, first.bindings);
        let only_b = model(&[("b", &[], &[80])]);
        let second = plan(&only_b, &first.bindings, 10_000, in_use);
        assert_eq!(shown(&second), ["b:80 127.0.0.2:80"]);
        let with_new = model(&[("a0", &[], &[80]), ("b", &[], &[80])]);
        let third = plan(&with_new, &second.bindings, 10_000, free);
        assert_eq!(shown(&third), ["a0:80 127.0.0.1:80", "b:80 127.0.0.2:80"]);
    }

    #[test]
    fn an_address_that_our_own_envoy_gives_up_can_be_taken_over() {
        let previous = plan(&model(&[("a", &[], &[80])]), &Bindings::new(), 10_000, free).bindings;
        let plan = plan(&model(&[("b", &[], &[80])]), &previous, 10_000, |_, _| Err(Refused::InUse));
        assert_eq!(shown(&plan), ["b:80 127.0.0.1:80"]);
    }

    #[test]
    fn a_new_port_that_another_gateway_has_goes_to_the_next_address() {
        let previous =
            plan(&model(&[("a", &[], &[80]), ("b", &[], &[81])]), &Bindings::new(), 0, free).bindings;
        let plan = plan(&model(&[("a", &[], &[80, 81]), ("b", &[], &[81])]), &previous, 0, free);
        assert_eq!(shown(&plan), ["a:80 127.0.0.1:80", "a:81 127.0.0.2:81", "b:81 127.0.0.1:81"]);
    }

    #[test]
    fn a_port_that_may_not_be_bound_is_moved_up() {
        let low = |it: SocketAddr, _| if it.port() < 1024 { Err(Refused::NotPermitted) } else { Ok(()) };
        let model = model(&[("a", &[], &[80, 8080]), ("b", &[], &[80])]);
        let plan = plan(&model, &Bindings::new(), 10_000, low);
        assert_eq!(shown(&plan), ["a:80 127.0.0.1:10080", "a:8080 127.0.0.1:8080", "b:80 127.0.0.2:10080"]);
    }

    #[test]
    fn with_one_loopback_address_the_second_gateway_gets_a_shifted_port() {
        let one = |it: SocketAddr, _| {
            if it.ip() == IpAddr::V4(Ipv4Addr::LOCALHOST) { Ok(()) } else { Err(Refused::NoSuchAddress) }
        };
        let model = model(&[("a", &[], &[8080]), ("b", &[], &[8080])]);
        let plan = plan(&model, &Bindings::new(), 10_000, one);
        assert_eq!(shown(&plan), ["a:8080 127.0.0.1:8080", "b:8080 127.0.0.1:18080"]);
    }

    #[test]
    fn a_port_of_another_program_is_a_problem_of_that_port_alone() {
        let used = |it: SocketAddr, _| if it.port() == 8080 { Err(Refused::InUse) } else { Ok(()) };
        let plan = plan(&model(&[("a", &[], &[8080, 8081])]), &Bindings::new(), 10_000, used);
        assert_eq!(shown(&plan), ["a:8081 127.0.0.1:8081"]);
        let [problem] = plan.problems.as_slice() else { panic!("{:?}", plan.problems) };
        assert_eq!(problem.place.to_string(), "Gateway infra/a");
        assert!(
            problem.message.starts_with("Listener \"http-8080\" with port 8080: 127.0.0.1:8080 is in use")
        );
    }

    #[test]
    fn two_gateways_that_ask_for_the_same_address_and_port_are_told() {
        let model =
            model(&[("a", &["127.0.0.1"], &[80]), ("b", &["127.0.0.1"], &[80]), ("c", &["0.0.0.0"], &[80])]);
        let plan = plan(&model, &Bindings::new(), 10_000, free);
        assert_eq!(shown(&plan), ["a:80 127.0.0.1:80"]);
        assert_eq!(plan.problems.len(), 2);
    }

    #[test]
    fn a_port_of_datagrams_is_tried_with_datagrams() {
        let mut model = model(&[("a", &[], &[53])]);
        for listener in model.gateways.values_mut().flat_map(|it| it.listeners.values_mut()) {
            listener.protocol = Protocol::Udp;
        }
        let used = |_: SocketAddr, it| if it == Transport::Udp { Ok(()) } else { Err(Refused::InUse) };
        assert_eq!(shown(&plan(&model, &Bindings::new(), 0, used)), ["a:53 127.0.0.1:53"]);
    }

    #[test]
    fn a_port_of_http3_is_tried_with_both() {
        let mut model = model(&[("a", &[], &[443])]);
        for listener in model.gateways.values_mut().flat_map(|it| it.listeners.values_mut()) {
            listener.protocol = Protocol::Https;
            listener.http3 = true;
        }
        for used in [Transport::Tcp, Transport::Udp] {
            let can_bind = |it: SocketAddr, transport| match transport == used && it.port() == 443 {
                true => Err(Refused::NotPermitted),
                false => Ok(()),
            };
            assert_eq!(shown(&plan(&model, &Bindings::new(), 10_000, can_bind)), ["a:443 127.0.0.1:10443"]);
        }
    }

    #[test]
    fn an_address_of_another_machine_is_a_problem() {
        let plan = plan(&model(&[("a", &["192.0.2.1"], &[80])]), &Bindings::new(), 10_000, |_, _| {
            Err(Refused::NoSuchAddress)
        });
        assert!(plan.problems[0].message.contains("no address 192.0.2.1"), "{:?}", plan.problems);
    }
}
