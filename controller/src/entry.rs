//! From a URL to the point of entry: the Gateway, port and filter chain on which such a request arrives.

use std::collections::BTreeSet;

use anyhow::{Context, Result, bail, ensure};
use gatewasm_routing::config::{FilterConfig, Listener, Protocol};
use gatewasm_routing::wire;
use hyper::http::uri::Authority;

/// A request's way in.
#[derive(Debug)]
pub(crate) struct Entry {
    /// `http` or `https`.
    pub(crate) scheme: &'static str,
    /// What Envoy's filter chain tells the filter ([`wire::LISTENER`]).
    pub(crate) listener: String,
    /// Host with port, as it stands in the URL.
    pub(crate) authority: String,
    /// Path with query, as a client sends it.
    pub(crate) path: String,
}

/// Finds the filter chain on which a request for `url` arrives.
///
/// `gateway` (`namespace/name`) chooses among several Gateways with that port. On HTTPS, `sni` is the server name of
/// the TLS handshake; without it, it is the URL's host.
///
/// # Errors
///
/// When the URL is not absolute, no listener has its protocol and port, several Gateways do and none is chosen, or no
/// certificate would be presented for the server name.
pub(crate) fn find(
    config: &FilterConfig,
    url: &str,
    gateway: Option<&str>,
    sni: Option<&str>,
) -> Result<Entry> {
    let (scheme, protocol, default_port, rest) = match url.split_once("://") {
        Some(("http", rest)) => ("http", Protocol::Http, 80, rest),
        Some(("https", rest)) => ("https", Protocol::Https, 443, rest),
        _ => bail!("{url:?} does not begin with http:// or https://"),
    };
    // A fragment is never sent (RFC 9110, 4.2.5). The rest is taken as it stands: clients send paths that are no URLs.
    let rest = rest.split('#').next().unwrap_or_default();
    let (authority, target) = rest.split_at(rest.find(['/', '\\', '?']).unwrap_or(rest.len()));
    let authority: Authority = authority.parse().with_context(|| format!("{url:?} names no host"))?;
    let port = authority.port_u16().unwrap_or(default_port);
    let on_port = |listener: &&Listener| listener.port == port && listener.protocol == protocol;
    let gateways = config.listeners.iter().filter(on_port).map(|listener| listener.gateway.clone());
    let served = config.listeners.iter().map(|it| (scheme_of(it.protocol), it.port, it.gateway.clone()));
    let chosen = &choose(scheme, port, gateway, gateways.collect(), served.collect())?;
    let listener = match protocol {
        Protocol::Http => wire::entry_of_port(chosen, port),
        Protocol::Https => {
            let server_name = sni.unwrap_or(authority.host()).to_ascii_lowercase();
            let chains = config.listeners.iter().filter(on_port).filter(|l| l.gateway == *chosen);
            chains
                .filter_map(|listener| Some((specificity(listener.hostname.as_deref(), &server_name)?, listener)))
                .max_by_key(|(specificity, _)| *specificity)
                .map(|(_, listener)| listener.name.clone())
                .with_context(|| format!("no listener of {chosen} on port {port} has a certificate for {server_name:?}: the TLS handshake fails"))?
        }
    };
    let path = if target.starts_with('/') { target.to_owned() } else { format!("/{target}") };
    Ok(Entry { scheme, listener, authority: authority.as_str().to_owned(), path })
}

/// The one Gateway of those with such a listener on a port, or the one that `gateway` names of them. `served` is what
/// there is instead: scheme, port and Gateway of each listener.
///
/// # Errors
///
/// When there is none, not the one that is named, or several and none is named.
pub(crate) fn choose(
    scheme: &str,
    port: u16,
    gateway: Option<&str>,
    mut having: Vec<String>,
    served: BTreeSet<(&str, u16, String)>,
) -> Result<String> {
    having.sort_unstable();
    having.dedup();
    let names = having.join(", ");
    match (gateway, having.as_slice()) {
        (_, []) => {
            let all = served.iter().map(|(scheme, port, gateway)| format!("{scheme} on {port} ({gateway})"));
            let all: Vec<_> = all.collect();
            let all = if all.is_empty() { "none".to_owned() } else { all.join(", ") };
            bail!("no listener serves {scheme} on port {port}; there are: {all}")
        }
        (Some(gateway), all) => {
            ensure!(
                all.iter().any(|it| it == gateway),
                "Gateway {gateway:?} has no such listener on port {port}; these have: {names}"
            );
            Ok(gateway.to_owned())
        }
        (None, [one]) => Ok(one.clone()),
        (None, _) => bail!("several Gateways have port {port}; choose one with --gateway: {names}"),
    }
}

fn scheme_of(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::Http => "http",
        Protocol::Https => "https",
    }
}

/// How well a filter chain's server name matches: exact before the longest wildcard before none
/// (Envoy, `FilterChainMatch.server_names`). `None` where it does not.
pub(crate) fn specificity(hostname: Option<&str>, server_name: &str) -> Option<(bool, usize)> {
    let Some(hostname) = hostname else { return Some((false, 0)) };
    match hostname.strip_prefix('*') {
        Some(suffix) => {
            let labels = server_name.strip_suffix(&suffix.to_ascii_lowercase())?;
            (!labels.is_empty()).then_some((false, suffix.len()))
        }
        None => hostname.eq_ignore_ascii_case(server_name).then_some((true, hostname.len())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config() -> FilterConfig {
        let listener = |name: &str, gateway: &str, port, protocol, hostname: Option<&str>| Listener {
            name: name.into(),
            gateway: gateway.into(),
            port,
            protocol,
            hostname: hostname.map(Into::into),
            alt_svc: None,
            routes: Vec::new(),
        };
        FilterConfig {
            listeners: vec![
                listener("infra/web/http", "infra/web", 80, Protocol::Http, None),
                listener("infra/web/https", "infra/web", 443, Protocol::Https, Some("*.example.com")),
                listener("infra/web/exact", "infra/web", 443, Protocol::Https, Some("a.example.com")),
                listener("infra/one/http", "infra/one", 8080, Protocol::Http, None),
                listener("infra/two/http", "infra/two", 8080, Protocol::Http, None),
            ],
            ..FilterConfig::default()
        }
    }

    fn entry(url: &str, gateway: Option<&str>, sni: Option<&str>) -> Result<String, String> {
        find(&config(), url, gateway, sni).map(|entry| entry.listener).map_err(|error| error.to_string())
    }

    #[test]
    fn http_enters_by_port_and_https_by_server_name() {
        assert_eq!(entry("http://x/", None, None).unwrap(), "infra/web:80");
        assert_eq!(entry("https://A.example.com/", None, None).unwrap(), "infra/web/exact");
        assert_eq!(entry("https://b.c.example.com/", None, None).unwrap(), "infra/web/https");
        assert_eq!(entry("https://a.example.com/", None, Some("b.example.com")).unwrap(), "infra/web/https");
    }

    #[test]
    fn what_cannot_be_entered_is_said() {
        assert!(entry("https://example.com/", None, None).unwrap_err().contains("TLS handshake fails"));
        assert!(entry("http://x:81/", None, None).unwrap_err().contains("http on 80 (infra/web)"));
        assert!(entry("http://x:8080/", None, None).unwrap_err().contains("--gateway: infra/one, infra/two"));
        assert_eq!(entry("http://x:8080/", Some("infra/two"), None).unwrap(), "infra/two:8080");
        assert!(entry("/foo", None, None).is_err());
        assert!(entry("http:///foo", None, None).unwrap_err().contains("names no host"));
    }

    #[test]
    fn the_path_is_taken_as_it_stands() {
        let path = |url: &str| find(&config(), url, None, None).map(|entry| entry.path).unwrap();
        assert_eq!(path("http://x"), "/");
        assert_eq!(path("http://x?a=b"), "/?a=b");
        assert_eq!(path("http://x:80/a/../b|c?d#e"), "/a/../b|c?d");
    }
}
