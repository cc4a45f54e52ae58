//! The place of a listener among those of its Gateway and port, and the filter chain that requests for it come in by.
//! Decides which listeners cannot stand beside each other; knows nothing of their routes.

use std::collections::BTreeMap;

use super::{Compiler, Port};
use crate::config::{self, Protocol};
use crate::matching::host::{HostMap, Hostname};
use crate::table::Entry;
use crate::wire;

impl<'c> Compiler<'c> {
    /// Gives the listener its place among those of its Gateway and port, and its entry.
    pub(super) fn register(
        &mut self,
        listener: &'c config::Listener,
        hostname: Option<Hostname<'c>>,
        index: usize,
    ) {
        if !self.names.insert(&listener.name) {
            self.problems.add("name", format!("\"{}\" is the name of another listener too", listener.name));
        }
        let new = self.ports.len();
        let key = (listener.gateway.as_str(), listener.port);
        let port = self.ports.entry(key).or_insert_with(|| Port {
            index: new,
            protocol: listener.protocol,
            hostnames: BTreeMap::new(),
        });
        if port.protocol != listener.protocol {
            let message = format!(
                "port {} of Gateway {} has listeners of another protocol",
                listener.port, listener.gateway
            );
            self.problems.add("protocol", message);
            return;
        }
        if port.index == new {
            self.table.ports.push(HostMap::default());
        }
        let Some(hostname) = hostname else { return };
        if let Some(other) = port.hostnames.insert(hostname, &listener.name) {
            let message = format!(
                "\"{other}\" serves {hostname} on port {} of Gateway {} too",
                listener.port, listener.gateway
            );
            self.problems.add("hostname", message);
        }
        if let Some(listeners) = self.table.ports.get_mut(port.index) {
            listeners.insert(hostname, index);
        }
        let (name, own) = match listener.protocol {
            Protocol::Http => (wire::entry_of_port(&listener.gateway, listener.port), None),
            Protocol::Https => (listener.name.clone(), Some(index)),
        };
        let entry = Entry { port: port.index, listener: own };
        let known = self.table.entries.insert(name.clone().into_bytes().into(), entry);
        if known.is_some_and(|known| known.port != entry.port) {
            self.problems.add("name", format!("\"{name}\" already stands for a port of another Gateway"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::in_config;

    #[test]
    fn where_else_it_is_goes_into_a_header() {
        let listener = |value: &str| {
            in_config(&format!(
                r#"{{"name": "a/b/c", "gateway": "a/b", "port": 80, "protocol": "HTTP", "altSvc": "{value}"}}"#
            ))
        };
        assert_eq!(listener("clear"), [""; 0]);
        assert_eq!(listener(" "), ["listeners[0].altSvc: is empty; leave it out"]);
        assert_eq!(
            listener("a\\nb"),
            [r#"listeners[0].altSvc: "a\nb" has characters other than visible ASCII, spaces and tabs"#]
        );
    }

    #[test]
    fn listeners_in_conflict() {
        let listener = |name: &str, gateway: &str, rest: &str| {
            format!(r#"{{"name": "{name}", "gateway": "{gateway}", {rest}}}"#)
        };
        let pair = |first: String, second: String| in_config(&format!("{first},{second}"));
        let http = r#""port": 80, "protocol": "HTTP""#;
        assert_eq!(pair(listener("a/b/c", "a/b", http), listener("d/e/f", "d/e", http)), [""; 0]);
        assert_eq!(
            pair(listener("a/b/c", "a/b", http), listener("a/b/c", "d/e", http)),
            ["listeners[1].name: \"a/b/c\" is the name of another listener too"]
        );
        assert_eq!(
            pair(listener("a/b/c", "a/b", http), listener("a/b/d", "a/b", http)),
            ["listeners[1].hostname: \"a/b/c\" serves every host on port 80 of Gateway a/b too"]
        );
        let hostname = r#""port": 80, "protocol": "HTTP", "hostname": "*.com""#;
        assert_eq!(pair(listener("a/b/c", "a/b", http), listener("a/b/d", "a/b", hostname)), [""; 0]);
        assert_eq!(
            pair(listener("a/b/c", "a/b", hostname), listener("a/b/d", "a/b", hostname)),
            ["listeners[1].hostname: \"a/b/c\" serves \"*.com\" on port 80 of Gateway a/b too"]
        );
        let https = r#""port": 80, "protocol": "HTTPS", "hostname": "*.com""#;
        assert_eq!(
            pair(listener("a/b/c", "a/b", http), listener("a/b/d", "a/b", https)),
            ["listeners[1].protocol: port 80 of Gateway a/b has listeners of another protocol"]
        );
        assert_eq!(
            pair(listener("a/b/c", "a/b", http), listener("a/b:80", "d/e", https)),
            ["listeners[1].name: \"a/b:80\" already stands for a port of another Gateway"]
        );
    }
}
