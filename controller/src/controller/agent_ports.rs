//! Which port the agent of each Gateway has: the same for all, where every pod has an address of its own; on the network
//! of their nodes one for each Gateway, because pods of several may come to the same node. Pure.

use std::collections::{BTreeMap, BTreeSet};

use crate::object::ObjectKey;
use crate::provision::Network;
use crate::provision::pod::{AGENT_PORT, HOST_AGENT_PORTS};

/// Ports that were given.
#[derive(Debug, Default)]
pub(super) struct AgentPorts(BTreeMap<ObjectKey, u16>);

impl AgentPorts {
    /// The port of each of these Gateways. A port that is in a Gateway's Deployment is its claim, so that no pod is
    /// replaced for another port; with more Gateways than ports some cannot be on the same node.
    pub(super) fn give(
        &mut self,
        network: Network,
        claims: &BTreeMap<ObjectKey, Option<u16>>,
    ) -> &BTreeMap<ObjectKey, u16> {
        self.0.retain(|key, _| claims.contains_key(key));
        let mut taken: BTreeSet<u16> = self.0.values().copied().collect();
        if network == Network::Host {
            for (key, claim) in claims {
                if let Some(port) = claim.filter(|port| HOST_AGENT_PORTS.contains(port))
                    && !self.0.contains_key(key)
                    && taken.insert(port)
                {
                    self.0.insert(key.clone(), port);
                }
            }
        }
        for key in claims.keys() {
            let mut free = HOST_AGENT_PORTS.filter(|port| network == Network::Host && !taken.contains(port));
            self.0.entry(key.clone()).or_insert_with(|| free.next().unwrap_or(AGENT_PORT));
            taken.extend(self.0.get(key));
        }
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given<const N: usize>(
        ports: &mut AgentPorts,
        network: Network,
        claims: [(&str, Option<u16>); N],
    ) -> [u16; N] {
        let key = |name: &str| ObjectKey::new("infra", name);
        let of = claims.iter().map(|(name, claim)| (key(name), *claim)).collect();
        let given = ports.give(network, &of);
        assert_eq!(given.len(), N);
        claims.map(|(name, _)| given[&key(name)])
    }

    #[test]
    fn pods_with_an_address_of_their_own_have_the_same_port() {
        let claims = [("a", None), ("b", Some(19007))];
        assert_eq!(given(&mut AgentPorts::default(), Network::Pod, claims), [AGENT_PORT; 2]);
    }

    #[test]
    fn on_the_same_node_each_has_its_own_and_keeps_it() {
        let ports = &mut AgentPorts::default();
        let claims = [("b", None), ("c", Some(19001)), ("d", Some(19001)), ("e", Some(80))];
        assert_eq!(given(ports, Network::Host, claims), [19002, 19001, 19003, 19004]);
        // Those that were there first keep theirs, whatever their Deployments say by now.
        let claims = [("a", None), ("b", None), ("c", Some(19001)), ("d", Some(19001))];
        assert_eq!(given(ports, Network::Host, claims), [19004, 19002, 19001, 19003]);
        // After a restart the Deployments tell.
        let claims = [("a", Some(19004)), ("b", Some(19002)), ("f", None)];
        assert_eq!(given(&mut AgentPorts::default(), Network::Host, claims), [19004, 19002, 19001]);
    }

    #[test]
    fn with_too_many_gateways_some_share_a_port() {
        let many = HOST_AGENT_PORTS.count() + 1;
        let claims = (0..many).map(|n| (ObjectKey::new("infra", format!("g-{n}")), None)).collect();
        let mut ports = AgentPorts::default();
        let given = ports.give(Network::Host, &claims);
        assert_eq!(given.len(), many);
        assert_eq!(given.values().collect::<BTreeSet<_>>().len(), many - 1);
    }
}
