//! What happens to a request once it is known which rule takes it: the rule's own answers, its backend, what changes on
//! the way. And what comes before: which rule that is, for requests that ask about another one.

use crate::action::cors::{self, Role, Verdict};
use crate::action::{Actions, Edits, response_headers};
use crate::backend::{Share, Target};
use crate::config::Protocol;
use crate::decision::{Cause, Decision, Matched};
use crate::matching::host::Host;
use crate::request::Request;
use crate::session::{Persistence, Presented, Session};
use crate::table::{Listener, Match, RouteTable, Rule};

/// A rule that takes a request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Taken<'t> {
    pub(crate) listener: &'t Listener,
    pub(crate) found: &'t Match,
    pub(crate) rule: &'t Rule,
    pub(crate) role: Role,
}

impl RouteTable {
    /// Decides about a request, with a clock that stands at 0: sessions do not end.
    ///
    /// `entry` is the value of [`crate::wire::LISTENER`]; `random` is uniform over all of `u64` and chooses by weight.
    pub fn decide<'t>(&'t self, entry: &[u8], request: &Request<'_>, random: u64) -> Decision<'t> {
        self.decide_at(entry, request, random, &|| 0)
    }

    /// Decides about a request, as [`RouteTable::decide`]. `clock` gives the seconds since the epoch; it is asked only
    /// for a request with a session that ends by time.
    pub fn decide_at<'t>(
        &'t self,
        entry: &[u8],
        request: &Request<'_>,
        random: u64,
        clock: &dyn Fn() -> u64,
    ) -> Decision<'t> {
        if request.is_ambiguous() {
            return Decision::not_taken(Cause::AmbiguousPath, None, request);
        }
        let host = Host::of(request.authority);
        let listener = match self.listener(entry, &host) {
            Ok(listener) => listener,
            Err(cause) => return Decision::not_taken(cause, None, request),
        };
        let Some(taken) = self.taken(listener, &host, request) else {
            return Decision::not_taken(Cause::NoRoute, Some(listener), request);
        };
        let presented = taken.presented(request, clock);
        let held = taken.held(&presented);
        let share = held.or_else(|| taken.rule.backends.choose(random));
        self.serve(taken, share, &presented, request)
    }

    /// The rule that takes a request of this listener, or the one that it asks about.
    fn taken<'t>(&'t self, listener: &'t Listener, host: &Host, request: &Request<'_>) -> Option<Taken<'t>> {
        let find = |request: &Request<'_>| {
            let found = self.find(listener, host, request)?;
            Some((found, self.rules.get(found.rule)?))
        };
        let has_cors = |found: &Option<(_, &Rule)>| found.is_some_and(|(_, rule)| rule.has_cors());
        let (found, role) = cors::find_as(request, find, has_cors);
        found.map(|(found, rule)| Taken { listener, found, rule, role })
    }

    /// What happens to a request that a rule takes, with this share of its backends and what it has of a session.
    ///
    /// A redirect of the rule needs no backend, and one of a backend is for its share alone. Each is made from the
    /// request as it came, whatever the other filters would change of it.
    pub(crate) fn serve<'t>(
        &'t self,
        taken: Taken<'t>,
        share: Option<&'t Share>,
        presented: &Presented,
        request: &Request<'_>,
    ) -> Decision<'t> {
        let Taken { listener, found, rule, role } = taken;
        let Some(route) = self.routes.get(rule.route) else {
            return Decision::not_taken(Cause::NoRoute, Some(listener), request);
        };
        let matched = Matched {
            listener: &listener.name,
            route: &route.id,
            rule: rule.index,
            match_index: found.index,
        };
        let of_rule = rule.actions.as_deref();
        let of_listener = listener.answers.as_ref();
        let answers = |of_backend: Option<&'t Actions>| {
            response_headers(of_rule, of_backend, request, role).after(of_listener)
        };
        let respond = |cause: Cause, of_backend: Option<&'t Actions>| Decision::Respond {
            status: cause.status(),
            grpc_status: cause.grpc_status(Some(route.id.kind), request),
            cause,
            listener: Some(&listener.name),
            matched: Some(matched),
            response_headers: answers(of_backend),
        };
        if rule.invalid.is_some() {
            return respond(Cause::InvalidRule, None);
        }
        if let Some(cors) = of_rule.and_then(|actions| actions.cors.as_ref())
            && role == Role::Preflight
        {
            let allowed = matches!(cors.verdict(request), Verdict::Allowed(_));
            return respond(if allowed { Cause::Preflight } else { Cause::OriginRefused }, None);
        }
        let redirect_of =
            |actions: Option<&'t Actions>| actions.and_then(|actions| actions.redirect.as_ref());
        let early = redirect_of(of_rule);
        let of_share = if early.is_some() { None } else { share };
        let of_backend = of_share.and_then(|share| share.actions.as_deref());
        match (of_share.map(|share| &share.target), early.or(redirect_of(of_backend))) {
            (Some(Target::Invalid(_)), _) => respond(Cause::InvalidBackend, of_backend),
            (_, Some(redirect)) => {
                let from = (listener.protocol, listener.port);
                let Some(location) = redirect.location(request, &found.path, from) else {
                    return respond(Cause::NoLocation, of_backend);
                };
                let response_headers = answers(of_backend);
                Decision::Redirect { status: redirect.status, location, matched, response_headers }
            }
            (Some(Target::Cluster(cluster)), None) => {
                let session = of_rule.and_then(|actions| actions.session.as_ref()).map(|of| {
                    let secure = listener.protocol == Protocol::Https;
                    Box::new(Session::new(of, presented, cluster, secure))
                });
                let policy = policy(of_rule, of_backend);
                let mut edits = Edits::of(of_rule, of_backend, request, &found.path);
                edits.response_headers = edits.response_headers.after(of_listener);
                Decision::Forward { cluster, policy, matched, edits, session }
            }
            (None, None) => respond(Cause::NoBackends, of_backend),
        }
    }
}

/// The policy of the backend, "in place of the rule's".
pub(crate) fn policy<'t>(rule: Option<&'t Actions>, backend: Option<&'t Actions>) -> Option<&'t str> {
    [backend, rule].into_iter().flatten().find_map(|actions| actions.policy.as_deref())
}

impl<'t> Taken<'t> {
    /// What the request has of a session, where the rule has sessions and sends requests to backends.
    pub(crate) fn presented(&self, request: &Request<'_>, clock: &dyn Fn() -> u64) -> Presented {
        self.sessions().map_or(Presented::Nothing, |sessions| sessions.presented(request, clock))
    }

    pub(crate) fn sessions(&self) -> Option<&'t Persistence> {
        let actions = self.rule.actions.as_deref()?;
        let forwards = self.rule.invalid.is_none() && actions.redirect.is_none() && self.role == Role::Itself;
        actions.session.as_deref().filter(|_| forwards)
    }

    /// The backend of the session, "even if the weight is set to 0" (GEP-1619, "Traffic Splitting").
    pub(crate) fn held(&self, presented: &Presented) -> Option<&'t Share> {
        match presented {
            Presented::Held { share, .. } => self.rule.backends.get(*share),
            Presented::Nothing | Presented::Refused(_) => None,
        }
    }
}

impl Rule {
    pub(crate) fn has_cors(&self) -> bool {
        self.actions.as_ref().is_some_and(|actions| actions.cors.is_some())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{HeaderEdit, compile, parse};

    const CONFIG: &str = r#"{"version": 1, "accessLog": true, "listeners": [
        {"name": "a/b/http", "gateway": "a/b", "port": 80, "protocol": "HTTP", "routes": [
            {"kind": "HTTPRoute", "namespace": "ns", "name": "r", "rules": [
                {"matches": [{"path": {"value": "/ok"}}], "policy": "p-rule",
                 "backends": [{"cluster": "c"}, {"cluster": "d", "policy": "p-backend"}]},
                {"matches": [{"path": {"value": "/invalid"}}], "invalid": "not supported", "backends": [{"cluster": "c"}]},
                {"matches": [{"path": {"value": "/none"}}]},
                {"matches": [{"path": {"value": "/gone"}}], "backends": [{"invalid": "gone"}]},
                {"matches": [{"path": {"value": "/cors"}, "method": "PUT"}],
                 "filters": [{"type": "CORS", "cors": {"allowOrigins": ["https://a.test"]}}]},
                {"matches": [{"path": {"value": "/cors"}, "method": "DELETE"}], "backends": [{"cluster": "d"}]},
                {"matches": [{"path": {"value": "/cors"}, "method": "OPTIONS"}], "backends": [{"cluster": "o"}]}]}]},
        {"name": "a/b/one", "gateway": "a/b", "port": 443, "protocol": "HTTPS", "hostname": "one.test"},
        {"name": "a/b/two", "gateway": "a/b", "port": 443, "protocol": "HTTPS", "hostname": "two.test"}]}"#;

    fn table() -> RouteTable {
        compile(&parse(CONFIG.as_bytes()).unwrap()).unwrap()
    }

    #[test]
    fn every_cause_has_its_status() {
        let table = table();
        for (entry, authority, path, expected) in [
            ("unknown", "one.test", "/", (404, Cause::NoListener)),
            ("a/b/one", "three.test", "/", (404, Cause::NoListener)),
            ("a/b/one", "two.test", "/", (421, Cause::Misdirected)),
            ("a/b/one", "one.test", "/", (404, Cause::NoRoute)),
            ("a/b:80", "any.test", "/", (404, Cause::NoRoute)),
            ("a/b:80", "any.test", "/invalid", (500, Cause::InvalidRule)),
            ("a/b:80", "any.test", "/none", (500, Cause::NoBackends)),
            ("a/b:80", "any.test", "/gone", (500, Cause::InvalidBackend)),
        ] {
            let (authority, path) = (authority.as_bytes(), path.as_bytes());
            let grpc: &[(&[u8], &[u8])] = &[(b"content-type", b"application/grpc")];
            for headers in [&[], grpc] {
                let request = Request { method: b"GET", authority, path, headers };
                let Decision::Respond { status, cause, grpc_status, .. } =
                    table.decide(entry.as_bytes(), &request, 0)
                else {
                    panic!("{entry} is served");
                };
                assert_eq!((status, cause), expected);
                // What an HTTPRoute answers, Envoy translates.
                let unimplemented = request.is_grpc() && matches!(cause, Cause::NoListener | Cause::NoRoute);
                assert_eq!(grpc_status, unimplemented.then_some(12), "{cause:?}");
            }
        }
    }

    #[test]
    fn every_answer_of_a_listener_tells_where_else_it_is() {
        let config = CONFIG
            .replace(r#""protocol": "HTTP","#, r#""protocol": "HTTP", "altSvc": " h3=\":80\" ","#)
            .replace(r#""hostname": "one.test""#, r#""hostname": "one.test", "altSvc": "h3=\":443\"""#);
        let table = compile(&parse(config.as_bytes()).unwrap()).unwrap();
        let set = |value: &str| vec![HeaderEdit::Set { name: "alt-svc".into(), value: value.into() }];
        for (entry, authority, path, expected) in [
            ("a/b:80", "any.test", "/ok", set("h3=\":80\"")),
            ("a/b:80", "any.test", "/none", set("h3=\":80\"")),
            ("a/b:80", "any.test", "/", set("h3=\":80\"")),
            ("a/b/one", "one.test", "/", set("h3=\":443\"")),
            ("a/b/two", "two.test", "/", vec![]),
            // Clients have to ignore it there (RFC 7838, 6).
            ("a/b/one", "two.test", "/", vec![]),
        ] {
            let (authority, path) = (authority.as_bytes(), path.as_bytes());
            let request = Request { method: b"GET", authority, path, headers: &[] };
            let edits = match table.decide(entry.as_bytes(), &request, 0) {
                Decision::Forward { edits, .. } => edits.response_headers,
                Decision::Redirect { response_headers, .. } | Decision::Respond { response_headers, .. } => {
                    response_headers
                }
            };
            assert_eq!(edits.iter().cloned().collect::<Vec<_>>(), expected, "{entry} {path:?}");
        }
    }

    #[test]
    fn a_rule_has_the_last_word_on_where_else_it_is() {
        let config = CONFIG
            .replace(r#""protocol": "HTTP","#, r#""protocol": "HTTP", "altSvc": "h3=\":80\"","#)
            .replace(
                r#""policy": "p-rule","#,
                r#""filters": [{"type": "ResponseHeaderModifier",
                    "responseHeaderModifier": {"set": [{"name": "Alt-Svc", "value": "clear"}]}}],"#,
            );
        let table = compile(&parse(config.as_bytes()).unwrap()).unwrap();
        let request = Request { method: b"GET", authority: b"any.test", path: b"/ok", headers: &[] };
        let Decision::Forward { edits, .. } = table.decide(b"a/b:80", &request, 0) else {
            panic!("not forwarded");
        };
        let last = edits.response_headers.iter().last().unwrap();
        assert_eq!(*last, HeaderEdit::Set { name: "alt-svc".into(), value: "clear".into() });
    }

    #[test]
    fn what_was_matched_is_named_for_logs() {
        let table = table();
        let request = Request { method: b"GET", authority: b"any.test", path: b"/ok/x", headers: &[] };
        let Decision::Forward { cluster, matched, policy, .. } = table.decide(b"a/b:80", &request, 7) else {
            panic!("not forwarded");
        };
        assert_eq!((cluster, matched.listener, policy), ("c", "a/b/http", Some("p-rule")));
        assert_eq!(
            (matched.route.label.as_str(), matched.rule, matched.match_index),
            ("HTTPRoute ns/r", 0, 0)
        );
        let Decision::Forward { cluster, policy, .. } = table.decide(b"a/b:80", &request, u64::MAX) else {
            panic!("not forwarded");
        };
        assert_eq!((cluster, policy), ("d", Some("p-backend")));
        assert!(table.access_log());
        assert_eq!((table.listener_count(), table.rule_count()), (3, 7));
    }

    #[test]
    fn a_preflight_request_meets_the_rule_that_it_asks_about() {
        let table = table();
        let decide = |method: &str, origin: Option<&str>, asked: Option<&str>| {
            let mut headers: Vec<(&[u8], &[u8])> = Vec::new();
            headers.extend(origin.map(|origin| (b"origin".as_slice(), origin.as_bytes())));
            headers
                .extend(asked.map(|asked| (b"access-control-request-method".as_slice(), asked.as_bytes())));
            let request = Request {
                method: method.as_bytes(),
                authority: b"a.test",
                path: b"/cors",
                headers: &headers,
            };
            match table.decide(b"a/b:80", &request, 0) {
                Decision::Respond { cause, matched, .. } => Err((cause, matched.map(|matched| matched.rule))),
                Decision::Forward { cluster, .. } => Ok(cluster),
                other => panic!("{other:?}"),
            }
        };
        let origin = Some("https://a.test");
        assert_eq!(decide("OPTIONS", origin, Some("PUT")), Err((Cause::Preflight, Some(4))));
        assert_eq!(
            decide("OPTIONS", Some("https://b.test"), Some("PUT")),
            Err((Cause::OriginRefused, Some(4)))
        );
        // That rule has no CORS, or there is none: an OPTIONS request like any other.
        assert_eq!(decide("OPTIONS", origin, Some("DELETE")), Ok("o"));
        assert_eq!(decide("OPTIONS", origin, Some("GET")), Ok("o"));
        assert_eq!(decide("OPTIONS", origin, None), Ok("o"));
        assert_eq!(decide("OPTIONS", None, Some("PUT")), Ok("o"));
        // The request itself.
        assert_eq!(decide("PUT", origin, Some("DELETE")), Err((Cause::NoBackends, Some(4))));
    }
}
