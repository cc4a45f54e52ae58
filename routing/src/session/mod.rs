//! Session persistence: what the token that a client keeps is worth when it comes back (Gateway API
//! `SessionPersistence`, GEP-1619; decision record 0012).
//!
//! The engine chooses the backend from the token, before the weights. Which endpoint of it gets the request, Envoy
//! decides (`stateful_session`); the token tells it the endpoint of last time, and its answer names that of this time.

mod answer;
mod token;

use std::sync::Arc;

use crate::config::{self, CookieLifetimeType, RouteFilter, SessionType};
use crate::header_name::{self, is_token};
use crate::problem::Problems;
use crate::request::Request;
pub use answer::{Outcome, Session};
pub(crate) use token::Key;
use token::{Seal, Tag, tag};

/// So many values are tried where a request repeats the cookie or header.
const MAX_TRIES: usize = 8;

/// The sessions of one rule.
#[derive(Debug)]
pub(crate) struct Persistence {
    kind: SessionType,
    /// Of a cookie as it stands, of a header in lower case.
    pub(crate) name: Box<str>,
    /// Seconds.
    timeout: Option<u64>,
    permanent: bool,
    /// Keyed for this rule: what another has sealed does not open.
    seal: Seal,
    /// The clusters that the rule sends requests to, and their places among its backends.
    clusters: Box<[(Tag, usize)]>,
}

/// What a request has of a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Presented {
    Nothing,
    /// A token that does not count.
    Refused(Refusal),
    /// A session with this backend and endpoint.
    Held {
        share: usize,
        endpoint: Box<str>,
    },
}

/// Why a token does not count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    NotSealed,
    Over,
    Undated,
    NoSuchBackend,
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::NotSealed => "it was not sealed for this rule with this key",
            Self::Over => "its time is over",
            Self::Undated => "it says not when it began, and sessions of this rule end by now",
            Self::NoSuchBackend => "its backend is none of the rule's, or cannot be used",
        })
    }
}

impl Persistence {
    /// Compiles the sessions of a rule with these backends. "Route rules … MUST NOT share persistent sessions" (GEP-1619):
    /// `identity` is of this rule alone.
    pub(crate) fn compile(
        persistence: &config::SessionPersistence,
        backends: &[config::Backend],
        (key, identity): (&Key, &str),
        problems: &mut Problems,
    ) -> Arc<Self> {
        check(persistence, problems);
        let redirects = |filter: &RouteFilter| matches!(filter, RouteFilter::RequestRedirect { .. });
        let clusters = backends.iter().enumerate().filter_map(|(i, backend)| {
            let cluster = backend.cluster.as_deref().filter(|_| !backend.filters.iter().any(redirects));
            Some((tag(cluster?), i))
        });
        let name = persistence.session_name.as_str();
        Arc::new(Self {
            kind: persistence.kind,
            name: match persistence.kind {
                SessionType::Cookie => name.into(),
                SessionType::Header => name.to_ascii_lowercase().into(),
            },
            timeout: persistence.absolute_timeout,
            permanent: persistence.lifetime_type == CookieLifetimeType::Permanent,
            seal: key.derive(identity),
            clusters: clusters.collect(),
        })
    }

    /// What the request has of a session of this rule. Of several tokens the first that counts does: cookies of one name
    /// and different paths come together.
    pub(crate) fn presented(&self, request: &Request<'_>, clock: &dyn Fn() -> u64) -> Presented {
        let mut presented = Presented::Nothing;
        for token in self.tokens(request).take(MAX_TRIES) {
            match self.open(token, clock) {
                Ok((share, endpoint)) => return Presented::Held { share, endpoint },
                Err(refusal) => presented = Presented::Refused(refusal),
            }
        }
        presented
    }

    fn tokens<'r>(&self, request: &Request<'r>) -> impl Iterator<Item = &'r [u8]> {
        let (kind, name) = (self.kind, self.name.as_bytes());
        let header = match kind {
            SessionType::Cookie => b"cookie".as_slice(),
            SessionType::Header => name,
        };
        let lines = request.headers.iter().filter(move |(name, _)| *name == header);
        lines.flat_map(move |(_, line)| {
            line.split(move |byte| kind == SessionType::Cookie && *byte == b';').filter_map(move |part| {
                match kind {
                    SessionType::Cookie => part.trim_ascii().strip_prefix(name)?.strip_prefix(b"="),
                    SessionType::Header => Some(part),
                }
            })
        })
    }

    fn open(&self, token: &[u8], clock: &dyn Fn() -> u64) -> Result<(usize, Box<str>), Refusal> {
        let token = self.seal.open(token).ok_or(Refusal::NotSealed)?;
        if let Some(timeout) = self.timeout {
            let age = clock().saturating_sub(token.created.ok_or(Refusal::Undated)?.into());
            if age >= timeout {
                return Err(Refusal::Over);
            }
        }
        let share = self.clusters.iter().find(|(tag, _)| *tag == token.cluster);
        Ok((share.ok_or(Refusal::NoSuchBackend)?.1, token.endpoint))
    }

    pub(crate) fn kind(&self) -> SessionType {
        self.kind
    }
}

/// Finds what is wrong with the sessions of a rule.
pub(crate) fn check(persistence: &config::SessionPersistence, problems: &mut Problems) {
    let name = &persistence.session_name;
    let sound = match persistence.kind {
        // RFC 6265, 4.1.1. A `$` begins an attribute of the cookies before it.
        SessionType::Cookie if name.is_empty() || !name.bytes().all(is_token) || name.starts_with('$') => {
            Err(format!("{name:?} is not the name of a cookie"))
        }
        SessionType::Cookie => Ok(()),
        SessionType::Header => header_name::of_session(name).map(|_| ()),
    };
    if let Err(message) = sound {
        problems.add("sessionName", message);
    }
    if persistence.absolute_timeout == Some(0) {
        problems.add("absoluteTimeout", "0 would end every session as it begins; leave it out for no end");
    }
    if persistence.lifetime_type == CookieLifetimeType::Permanent {
        match persistence.kind {
            SessionType::Cookie if persistence.absolute_timeout.is_none() => {
                problems.add("absoluteTimeout", "must be given where lifetimeType is Permanent");
            }
            SessionType::Cookie => {}
            SessionType::Header => {
                problems
                    .add("lifetimeType", "Permanent is for cookies; a header is kept as the client likes");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;

    use super::*;
    use crate::action::headers::HeaderEdit;

    pub(super) const KEY: &str = "a key";

    pub(super) fn persistence(json: &str, key: &str, identity: &str) -> Arc<Persistence> {
        let backends = [
            config::Backend { invalid: Some("gone".to_owned()), ..Default::default() },
            config::Backend { cluster: Some("a".to_owned()), ..Default::default() },
            config::Backend { cluster: Some("b".to_owned()), weight: 0, ..Default::default() },
        ];
        let mut problems = Problems::default();
        let config = serde_json::from_str(json).unwrap();
        let compiled =
            Persistence::compile(&config, &backends, (&Key::new(Some(key)), identity), &mut problems);
        assert!(problems.is_empty(), "{problems:?}");
        compiled
    }

    fn presented(of: &Persistence, headers: &[(&str, &str)], now: u64) -> Presented {
        let headers: Vec<(&[u8], &[u8])> =
            headers.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes())).collect();
        let request = Request { method: b"GET", authority: b"a", path: b"/", headers: &headers };
        of.presented(&request, &|| now)
    }

    fn answer(
        of: &Arc<Persistence>,
        held: &Presented,
        cluster: &str,
        endpoint: &str,
        now: u64,
    ) -> Option<HeaderEdit> {
        let session = Session::new(of, held, cluster, false);
        session.answer(Outcome::Answered, Some(STANDARD.encode(endpoint).as_bytes()), &|| now)
    }

    fn token(of: &Arc<Persistence>, cluster: &str, endpoint: &str, now: u64) -> String {
        match answer(of, &Presented::Nothing, cluster, endpoint, now) {
            Some(HeaderEdit::Set { value, .. }) => value.to_string(),
            Some(HeaderEdit::Add { value, .. }) => {
                value.split_once('=').unwrap().1.split(';').next().unwrap().to_owned()
            }
            other => panic!("{other:?}"),
        }
    }

    pub(super) fn held(share: usize, endpoint: &str) -> Presented {
        Presented::Held { share, endpoint: endpoint.into() }
    }

    pub(super) const COOKIE: &str = r#"{"sessionName": "s"}"#;

    #[test]
    fn a_token_names_backend_and_endpoint() {
        let of = persistence(COOKIE, KEY, "rule");
        for (share, cluster, endpoint) in [(1, "a", "10.0.0.1:8080"), (2, "b", "[2001:db8::1]:443")] {
            let token = token(&of, cluster, endpoint, 0);
            assert!(token.len() < 60, "{token}");
            let line = format!("x=1; s={token}");
            assert_eq!(presented(&of, &[("cookie", &line)], 0), held(share, endpoint));
            // The client has it already.
            assert_eq!(answer(&of, &held(share, endpoint), cluster, endpoint, 0), None);
        }
        let gone = token(&of, "c", "10.0.0.1:8080", 0);
        let line = format!("s={gone}");
        assert_eq!(presented(&of, &[("cookie", &line)], 0), Presented::Refused(Refusal::NoSuchBackend));
    }

    #[test]
    fn of_several_cookies_the_first_that_counts_does() {
        let of = persistence(COOKIE, KEY, "rule");
        let (one, two) = (token(&of, "a", "10.0.0.1:1", 0), token(&of, "b", "10.0.0.2:2", 0));
        let lines = [
            ("cookie", format!("s=junk; ss={two};s={one}")),
            ("other", format!("s={two}")),
            ("cookie", format!("s={two}")),
        ];
        let lines: Vec<_> = lines.iter().map(|(name, value)| (*name, value.as_str())).collect();
        assert_eq!(presented(&of, &lines, 0), held(1, "10.0.0.1:1"));
        assert_eq!(presented(&of, &lines[1..], 0), held(2, "10.0.0.2:2"));
        assert_eq!(presented(&of, &lines[1..2], 0), Presented::Nothing);
        let many = format!("{}s={one}", "s=x;".repeat(MAX_TRIES));
        assert_eq!(presented(&of, &[("cookie", &many)], 0), Presented::Refused(Refusal::NotSealed));
    }

    #[test]
    fn what_was_not_sealed_here_does_not_count() {
        let of = persistence(COOKIE, KEY, "rule");
        let good = token(&of, "a", "10.0.0.1:8080", 0);
        let refused = Presented::Refused(Refusal::NotSealed);
        for i in 0..good.len() {
            let mut changed = good.clone().into_bytes();
            changed[i] = if changed[i] == b'A' { b'B' } else { b'A' };
            let line = format!("s={}", String::from_utf8(changed).unwrap());
            assert_eq!(presented(&of, &[("cookie", &line)], 0), refused, "{line}");
            let short: String = good.chars().take(i).collect();
            assert_eq!(presented(&of, &[("cookie", &format!("s={short}"))], 0), refused);
        }
        let long = format!("s={}", "A".repeat(10_000));
        assert_eq!(presented(&of, &[("cookie", &long)], 0), refused);
        let line = format!("s={good}");
        for other in [persistence(COOKIE, "another key", "rule"), persistence(COOKIE, KEY, "another rule")] {
            assert_eq!(presented(&other, &[("cookie", &line)], 0), refused);
        }
    }

    #[test]
    fn a_session_ends_with_its_time() {
        let of = persistence(r#"{"sessionName": "s", "absoluteTimeout": 60}"#, KEY, "rule");
        let line = format!("s={}", token(&of, "a", "10.0.0.1:8080", 1_000));
        let at = |now| presented(&of, &[("cookie", line.as_str())], now);
        for now in [999, 1_000, 1_059] {
            assert_eq!(at(now), held(1, "10.0.0.1:8080"), "{now}");
        }
        assert_eq!(at(1_060), Presented::Refused(Refusal::Over));
        // From before the rule had a time.
        let undated = persistence(COOKIE, KEY, "rule");
        let line = format!("s={}", token(&undated, "a", "10.0.0.1:8080", 0));
        assert_eq!(presented(&of, &[("cookie", &line)], 0), Presented::Refused(Refusal::Undated));
    }

    #[test]
    fn a_header_goes_both_ways() {
        let of = persistence(r#"{"sessionName": "X-Session", "type": "Header"}"#, KEY, "rule");
        let token = token(&of, "a", "10.0.0.1:8080", 0);
        assert_eq!(presented(&of, &[("x-session", &token)], 0), held(1, "10.0.0.1:8080"));
        let cookie = format!("x-session={token}");
        assert_eq!(presented(&of, &[("cookie", &cookie)], 0), Presented::Nothing);
        match answer(&of, &held(1, "10.0.0.1:8080"), "a", "10.0.0.2:8080", 0) {
            Some(HeaderEdit::Set { name, .. }) => assert_eq!(&*name, "x-session"),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn unsound_settings_are_refused() {
        for (json, expected) in [
            (r#"{"sessionName": ""}"#, "sessionName: \"\" is not the name of a cookie"),
            (r#"{"sessionName": "a=b"}"#, "sessionName: \"a=b\" is not the name of a cookie"),
            (r#"{"sessionName": "$a"}"#, "sessionName: \"$a\" is not the name of a cookie"),
            (r#"{"sessionName": "a b", "type": "Header"}"#, "sessionName: \"a b\" is not a header name"),
            (
                r#"{"sessionName": "X-GW-a", "type": "Header"}"#,
                "sessionName: \"X-GW-a\" cannot carry a session: names in x-gw- are reserved",
            ),
            (
                r#"{"sessionName": "Set-Cookie", "type": "Header"}"#,
                "sessionName: \"Set-Cookie\" cannot carry a session: it has a meaning of its own",
            ),
            (
                r#"{"sessionName": "a", "absoluteTimeout": 0}"#,
                "absoluteTimeout: 0 would end every session as it begins; leave it out for no end",
            ),
            (
                r#"{"sessionName": "a", "lifetimeType": "Permanent"}"#,
                "absoluteTimeout: must be given where lifetimeType is Permanent",
            ),
            (
                r#"{"sessionName": "a", "type": "Header", "lifetimeType": "Permanent"}"#,
                "lifetimeType: Permanent is for cookies; a header is kept as the client likes",
            ),
        ] {
            let mut problems = Problems::default();
            check(&serde_json::from_str(json).unwrap(), &mut problems);
            let shown: Vec<_> = problems.into_vec().iter().map(ToString::to_string).collect();
            assert_eq!(shown, [expected]);
        }
    }
}
