//! `--backend namespace/service[:port]=host:port`: endpoints of a Service, named by hand. People's own manifests have
//! Services with selectors and no EndpointSlices, which only a cluster fills in.

use std::net::{IpAddr, Ipv6Addr};
use std::str::FromStr;

use crate::api::is_dns_name;
use crate::model::Endpoint;
use crate::object::ObjectKey;

/// One endpoint of a Service, in place of its EndpointSlices.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BackendOverride {
    /// Namespace of the Service.
    pub namespace: String,
    /// Name of the Service.
    pub service: String,
    /// Port of the Service; every port where absent.
    pub port: Option<u16>,
    /// IP address or DNS name.
    pub host: String,
    /// Port of `host`.
    pub target_port: u16,
}

impl BackendOverride {
    /// Whether it is about this port of this Service.
    pub(super) fn is_for(&self, service: &ObjectKey, port: u16) -> bool {
        self.namespace == service.namespace
            && self.service == service.name
            && self.port.is_none_or(|mine| mine == port)
    }

    pub(super) fn endpoint(&self) -> Endpoint {
        Endpoint { host: self.host.clone(), port: self.target_port }
    }
}

impl std::fmt::Display for BackendOverride {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.namespace, self.service)?;
        if let Some(port) = self.port {
            write!(f, ":{port}")?;
        }
        if self.host.contains(':') {
            write!(f, "=[{}]:{}", self.host, self.target_port)
        } else {
            write!(f, "={}:{}", self.host, self.target_port)
        }
    }
}

impl FromStr for BackendOverride {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let form = "write namespace/service[:port]=host:port, for example default/web:80=127.0.0.1:8080";
        let (service, target) = text.split_once('=').ok_or_else(|| format!("there is no \"=\"; {form}"))?;
        let (namespace, service) =
            service.split_once('/').ok_or_else(|| format!("{service:?} names no namespace; {form}"))?;
        let (service, own_port) = match service.split_once(':') {
            Some((service, port)) => (service, Some(port_number(port)?)),
            None => (service, None),
        };
        for name in [namespace, service] {
            if !is_dns_name(name) {
                return Err(format!("{name:?} is not the name of a Kubernetes object; {form}"));
            }
        }
        let (host, target_port) =
            target.rsplit_once(':').ok_or_else(|| format!("{target:?} has no port; {form}"))?;
        Ok(Self {
            namespace: namespace.to_owned(),
            service: service.to_owned(),
            port: own_port,
            host: host_name(host)?,
            target_port: port_number(target_port)?,
        })
    }
}

fn port_number(text: &str) -> Result<u16, String> {
    match text.parse() {
        Ok(0) | Err(_) => Err(format!("{text:?} is not a port (1 to 65535)")),
        Ok(port) => Ok(port),
    }
}

fn host_name(text: &str) -> Result<String, String> {
    if let Some(address) = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        let address: Ipv6Addr =
            address.parse().map_err(|_| format!("{address:?} in brackets is not an IPv6 address"))?;
        return Ok(address.to_string());
    }
    if text.parse::<Ipv6Addr>().is_ok() {
        return Err(format!("an IPv6 address stands in brackets: [{text}]"));
    }
    let lower = text.to_ascii_lowercase();
    if text.parse::<IpAddr>().is_ok() || is_dns_name(&lower) {
        return Ok(lower);
    }
    Err(format!("{text:?} is neither an IP address nor a DNS name"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_sides_are_read() {
        let flag: BackendOverride = "shop/web:80=127.0.0.1:8080".parse().unwrap();
        assert_eq!((flag.port, flag.host.as_str(), flag.target_port), (Some(80), "127.0.0.1", 8080));
        let flag: BackendOverride = "shop/web=[::1]:8080".parse().unwrap();
        assert_eq!((flag.port, flag.host.as_str()), (None, "::1"));
        let flag: BackendOverride = "shop/web=LocalHost:1".parse().unwrap();
        assert_eq!(flag.host, "localhost");
    }

    #[test]
    fn what_is_written_is_read_again() {
        for text in ["a/b:1=127.0.0.1:2", "a/b=[::1]:2", "a/b=localhost:3"] {
            assert_eq!(text.parse::<BackendOverride>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn errors_name_the_part_that_is_wrong() {
        for (text, part) in [
            ("web", "no \"=\""),
            ("web=127.0.0.1:80", "no namespace"),
            ("a/web=127.0.0.1", "no port"),
            ("a/web=127.0.0.1:0", "not a port"),
            ("a/web:x=127.0.0.1:1", "not a port"),
            ("a/web=::1:80", "brackets"),
            ("a/web=fe80::1:80:90", "brackets"),
            ("a/web=[1.2.3.4]:80", "not an IPv6 address"),
            ("a/web=a_b:80", "neither"),
            ("A/web=a:80", "not the name"),
            ("a/=a:80", "not the name"),
        ] {
            let error = text.parse::<BackendOverride>().unwrap_err();
            assert!(error.contains(part), "{text}: {error}");
        }
    }
}
