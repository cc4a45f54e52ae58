//! The CORS filter of a rule, held to what the CRD says of each field of `HTTPCORSFilter`.

use gatewasm_routing::config;

use crate::api::{HttpCorsFilter, Method};
use crate::fault::Fault;

/// Seconds that a preflight's answer is kept where the filter does not say (`HTTPCORSFilter.maxAge`).
const DEFAULT_MAX_AGE: u32 = 5;

/// The filter for the filter config.
///
/// # Errors
///
/// Everything that is wrong with it. `field` is that of the CORS settings.
pub(super) fn translate(cors: &HttpCorsFilter, field: &str) -> Result<config::Cors, Vec<Fault>> {
    let mut faults = Vec::new();
    let mut refuse = |field: String, message: String| {
        faults.push(Fault::new(field, "UnsupportedValue", message));
    };
    for (i, origin) in cors.allow_origins.iter().enumerate() {
        if !is_origin(origin) {
            let message = format!(
                "{origin:?} is not an origin; use \"https://foo.example.com\", with a port where it is not the \
                 scheme's own, \"https://*.example.com\", or \"*\" alone."
            );
            refuse(format!("{field}.allowOrigins[{i}]"), message);
        }
    }
    for (i, method) in cors.allow_methods.iter().enumerate() {
        if method != "*" && Method::try_from(method.clone()).is_err() {
            let message = format!(
                "{method:?} is not a method; use one of GET, HEAD, POST, PUT, DELETE, CONNECT, OPTIONS, TRACE, \
                 PATCH, or \"*\" alone."
            );
            refuse(format!("{field}.allowMethods[{i}]"), message);
        }
    }
    for (name, list) in [("allowOrigins", &cors.allow_origins), ("allowMethods", &cors.allow_methods)] {
        if list.len() > 1 && list.iter().any(|item| item == "*") {
            let message = "\"*\" allows everything, so it must stand alone; remove it, or the others.";
            refuse(format!("{field}.{name}"), message.to_owned());
        }
    }
    let max_age = cors.max_age.unwrap_or(DEFAULT_MAX_AGE);
    if max_age == 0 || i32::try_from(max_age).is_err() {
        let message = format!("{max_age} is not a number of seconds from 1 to {}.", i32::MAX);
        refuse(format!("{field}.maxAge"), message);
    }
    if !faults.is_empty() {
        return Err(faults);
    }
    let names = |list: &[crate::api::HeaderName]| list.iter().map(ToString::to_string).collect();
    Ok(config::Cors {
        allow_origins: cors.allow_origins.clone(),
        allow_credentials: cors.allow_credentials == Some(true),
        allow_methods: cors.allow_methods.clone(),
        allow_headers: names(&cors.allow_headers),
        expose_headers: names(&cors.expose_headers),
        max_age,
    })
}

/// `CORSOrigin`: `*`, or scheme, host and perhaps port. The host is `*`, or has a `*` in place of its first labels, or
/// none.
fn is_origin(origin: &str) -> bool {
    if origin == "*" {
        return true;
    }
    let Some(rest) = origin.strip_prefix("https://").or_else(|| origin.strip_prefix("http://")) else {
        return false;
    };
    let (host, port) = match rest.split_once(':') {
        Some((host, port)) => (host, Some(port)),
        None => (rest, None),
    };
    let is_label = |label: &str| {
        !label.is_empty() && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    };
    let is_port = |port: &str| {
        port.bytes().all(|byte| byte.is_ascii_digit()) && port.parse::<u16>().is_ok_and(|port| port > 0)
    };
    origin.len() <= 253
        && (host == "*" || host.strip_prefix("*.").unwrap_or(host).split('.').all(is_label))
        && port.is_none_or(is_port)
}

#[cfg(test)]
mod tests {
    use super::is_origin;

    #[test]
    fn origins_are_scheme_host_and_port() {
        for good in [
            "*",
            "https://*",
            "http://*:8080",
            "https://foo.example.com",
            "http://*.example.com:81",
            "https://Foo",
            "http://127.0.0.1:8080",
        ] {
            assert!(is_origin(good), "{good}");
        }
        for bad in [
            "",
            "null",
            "foo.example.com",
            "ftp://foo.example.com",
            "HTTPS://foo.example.com",
            "https://",
            "https://foo.example.com/",
            "https://f*.example.com",
            "https://foo.*.com",
            "https://foo:0",
            "https://foo:65536",
            "https://foo:+1",
            "https://foo:",
            "https://foo..com",
            "https://user@foo",
        ] {
            assert!(!is_origin(bad), "{bad}");
        }
    }
}
