//! What an answer says of the session of its request: the token that the client is to keep from then on, or that there
//! is none any more.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::token::{Tag, is_endpoint, tag};
use super::{Persistence, Presented};
use crate::action::headers::HeaderEdit;
use crate::config::SessionType;

/// The session of a request that is forwarded: what its answer depends on, whatever becomes of the table until then.
#[derive(Clone, Debug)]
pub struct Session {
    of: Arc<Persistence>,
    cluster: Tag,
    /// The endpoint that the client's token names.
    endpoint: Option<Box<str>>,
    /// Whether the client came by HTTPS.
    secure: bool,
}

/// What became of a request that was forwarded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// A backend has answered.
    Answered,
    /// A backend was reached, and it is not its answer that the client gets.
    Failed,
    /// No backend was reached.
    Unreachable,
}

impl Session {
    /// The session of a request that goes to this cluster, for what it has `presented`.
    pub(crate) fn new(of: &Arc<Persistence>, presented: &Presented, cluster: &str, secure: bool) -> Self {
        let endpoint = match presented {
            Presented::Held { endpoint, .. } => Some(endpoint.clone()),
            Presented::Nothing | Presented::Refused(_) => None,
        };
        Self { of: Arc::clone(of), cluster: tag(cluster), endpoint, secure }
    }

    /// The endpoint that Envoy is to take, if it is still there: `10.0.0.1:8080`.
    pub fn endpoint(&self) -> Option<&str> {
        self.endpoint.as_deref()
    }

    /// The same as the value of [`crate::wire::ENDPOINT`] for the request.
    pub fn endpoint_header(&self) -> Option<String> {
        self.endpoint().map(|endpoint| STANDARD.encode(endpoint))
    }

    /// What the client is told, given what became of its request and the value that Envoy has left in
    /// [`crate::wire::ENDPOINT`] of the answer: nothing where it has the right token.
    ///
    /// A session with an endpoint that cannot be reached is over, so that the client meets another one. Who has not
    /// answered gets no session.
    ///
    /// A token for another endpoint is a new session, and its time begins anew. `clock` gives seconds since the epoch;
    /// it is asked only where the sessions of the rule end by time.
    pub fn answer(
        &self,
        outcome: Outcome,
        endpoint: Option<&[u8]>,
        clock: &dyn Fn() -> u64,
    ) -> Option<HeaderEdit> {
        match outcome {
            Outcome::Answered => {}
            Outcome::Unreachable if self.endpoint.is_some() => return Some(self.tell("", Some(0))),
            Outcome::Unreachable | Outcome::Failed => return None,
        }
        let endpoint = String::from_utf8(STANDARD.decode(endpoint?).ok()?).ok()?;
        if !is_endpoint(&endpoint) || self.endpoint.as_deref() == Some(endpoint.as_str()) {
            return None;
        }
        let created = self.of.timeout.map(|_| clock());
        let token = self.of.seal.close(created, self.cluster, &endpoint);
        Some(self.tell(&token, self.of.timeout.filter(|_| self.of.permanent)))
    }

    /// Gives the client a token, an empty one for none.
    fn tell(&self, token: &str, max_age: Option<u64>) -> HeaderEdit {
        let name = self.of.name.clone();
        match self.of.kind {
            SessionType::Header => HeaderEdit::Set { name, value: token.into() },
            SessionType::Cookie => HeaderEdit::Add {
                name: "set-cookie".into(),
                value: self.cookie(&name, token, max_age).into(),
            },
        }
    }

    /// "`Permanent` … `Expires` or `Max-Age`", `Session` neither; "security-by-default …: enabling `Secure` and
    /// `HttpOnly`, and setting `SameSite` to `Strict`" (GEP-1619, "Cookie Attributes").
    fn cookie(&self, name: &str, token: &str, max_age: Option<u64>) -> String {
        let max_age = max_age.map(|seconds| format!("; Max-Age={seconds}")).unwrap_or_default();
        let secure = if self.secure { "; Secure" } else { "" };
        format!("{name}={token}; Path=/{max_age}{secure}; HttpOnly; SameSite=Strict")
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{COOKIE, KEY, held, persistence};
    use super::*;

    #[test]
    fn a_cookie_has_the_attributes_of_its_lifetime() {
        let cookie = |json: &str, secure| {
            let of = persistence(json, KEY, "rule");
            let session = Session::new(&of, &Presented::Nothing, "a", secure);
            match session.answer(Outcome::Answered, Some(STANDARD.encode("10.0.0.1:80").as_bytes()), &|| 0) {
                Some(HeaderEdit::Add { name, value }) if &*name == "set-cookie" => {
                    value.split_once(';').unwrap().1.to_owned()
                }
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(cookie(COOKIE, false), " Path=/; HttpOnly; SameSite=Strict");
        let timed = r#"{"sessionName": "s", "absoluteTimeout": 60}"#;
        assert_eq!(cookie(timed, true), " Path=/; Secure; HttpOnly; SameSite=Strict");
        let permanent = r#"{"sessionName": "s", "absoluteTimeout": 60, "lifetimeType": "Permanent"}"#;
        assert_eq!(cookie(permanent, false), " Path=/; Max-Age=60; HttpOnly; SameSite=Strict");
    }

    #[test]
    fn an_answer_that_names_no_endpoint_says_nothing() {
        let of = persistence(COOKIE, KEY, "rule");
        let session = Session::new(&of, &Presented::Nothing, "a", false);
        assert_eq!(session.endpoint(), None);
        assert_eq!(session.answer(Outcome::Answered, None, &|| 0), None);
        for said in ["", "?", "10.0.0.1:80", &STANDARD.encode("a pipe"), &STANDARD.encode("10.0.0.1")] {
            assert_eq!(session.answer(Outcome::Answered, Some(said.as_bytes()), &|| 0), None, "{said}");
        }
        let session = Session::new(&of, &held(1, "10.0.0.1:80"), "a", false);
        assert_eq!(session.endpoint(), Some("10.0.0.1:80"));
        assert_eq!(session.endpoint_header(), Some(STANDARD.encode("10.0.0.1:80")));
    }

    #[test]
    fn a_session_with_nobody_is_over() {
        let gone = STANDARD.encode("10.0.0.1:80");
        let told = |json: &str, presented: &Presented, outcome| {
            let session = Session::new(&persistence(json, KEY, "rule"), presented, "a", false);
            session.answer(outcome, Some(gone.as_bytes()), &|| 0)
        };
        let held = held(1, "10.0.0.1:80");
        let value = "s=; Path=/; Max-Age=0; HttpOnly; SameSite=Strict".into();
        assert_eq!(
            told(COOKIE, &held, Outcome::Unreachable),
            Some(HeaderEdit::Add { name: "set-cookie".into(), value })
        );
        assert_eq!(
            told(r#"{"sessionName": "x-s", "type": "Header"}"#, &held, Outcome::Unreachable),
            Some(HeaderEdit::Set { name: "x-s".into(), value: "".into() })
        );
        // It may be back in a moment, and has not given the client anything to begin a session with.
        assert_eq!(told(COOKIE, &held, Outcome::Failed), None);
        for outcome in [Outcome::Failed, Outcome::Unreachable] {
            assert_eq!(told(COOKIE, &Presented::Nothing, outcome), None);
        }
    }
}
