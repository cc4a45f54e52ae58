//! HTTP/3: how an HTTPS listener asks for it (an option of its `tls`), and what its answers say of it.

use crate::api;

/// The key in `tls.options`.
pub(crate) const OPTION: &str = "gatewasm.dev/http3";

/// For so many seconds a client may remember that there is HTTP/3: a day.
const REMEMBERED: u32 = 86_400;

/// Whether a listener asks for it, whatever its protocol; the value where that says neither yes nor no.
pub(crate) fn asked(listener: &api::Listener) -> Result<bool, &str> {
    let value = listener.tls.as_ref().and_then(|tls| tls.options.get(OPTION));
    match value.map(String::as_str) {
        None | Some("false") => Ok(false),
        Some("true") => Ok(true),
        Some(other) => Err(other),
    }
}

/// The value of `alt-svc` for HTTP/3 on this port of the host that was asked.
pub(crate) fn alt_svc(port: u16) -> String {
    format!("h3=\":{port}\"; ma={REMEMBERED}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_option_is_true_or_false() {
        let asked = |options: &str| {
            let json = format!(
                r#"{{"name": "https", "port": 443, "protocol": "HTTPS", "tls": {{"options": {options}}}}}"#
            );
            let listener: api::Listener = serde_json::from_str(&json).unwrap();
            super::asked(&listener).map_err(str::to_owned)
        };
        assert_eq!(asked("{}"), Ok(false));
        assert_eq!(asked(r#"{"gatewasm.dev/http3": "true"}"#), Ok(true));
        assert_eq!(asked(r#"{"gatewasm.dev/http3": "false"}"#), Ok(false));
        assert_eq!(asked(r#"{"gatewasm.dev/http3": "True"}"#), Err("True".to_owned()));
    }
}
