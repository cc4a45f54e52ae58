//! CORS: which origins may use a rule, what their preflight requests are answered, and what every other answer of the
//! rule carries (Gateway API `HTTPCORSFilter`; Fetch standard, "CORS protocol"; decision record 0011).
//!
//! A client that has an origin is held to it by itself: the gateway says what it may do, and stops no request.

use std::collections::BTreeSet;
use std::sync::{Arc, LazyLock};

use crate::action::headers::HeaderEdit;
use crate::action::origin::{Origin, Origins};
use crate::config;
use crate::header_name::{self, is_token};
use crate::matching::header::value_of;
use crate::matching::method::Method;
use crate::problem::Problems;
use crate::request::Request;

/// Stands for everything of a list.
const EVERY: &str = "*";

const ALLOW_ORIGIN: &str = "access-control-allow-origin";
const ALLOW_CREDENTIALS: &str = "access-control-allow-credentials";
const EXPOSE_HEADERS: &str = "access-control-expose-headers";
const ALLOW_METHODS: &str = "access-control-allow-methods";
const ALLOW_HEADERS: &str = "access-control-allow-headers";
const MAX_AGE: &str = "access-control-max-age";
/// Everything that anybody says about other origins begins so. Where the gateway speaks about them, it alone does.
const EVERYTHING: &str = "access-control-";

/// Changes of the answer to a request without an origin: caches must not give it to one that has an origin.
static WITHOUT_ORIGIN: LazyLock<Arc<[HeaderEdit]>> = LazyLock::new(|| [vary()].into());

/// Changes of the answer to a request of an origin that may not use the rule.
static REFUSED: LazyLock<Arc<[HeaderEdit]>> = LazyLock::new(|| [remove_all(), vary()].into());

/// A compiled CORS filter.
#[derive(Debug)]
pub(crate) struct Cors {
    origins: Origins,
    methods: Allowed,
    headers: Allowed,
    max_age: u32,
    /// Changes of the answer to an origin that may use the rule, which are the same for every such origin.
    allowed: Arc<[HeaderEdit]>,
}

/// The methods or headers that a script may use.
#[derive(Debug)]
enum Allowed {
    /// What needs no permission.
    NoneNamed,
    Every,
    /// Joined by commas.
    These(Box<str>),
}

/// What a rule with CORS says to the origin of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict<'r> {
    /// The request has none.
    NoOrigin,
    Allowed(&'r str),
    Refused,
}

/// The method that a preflight request asks about, if the request is one: "OPTIONS" with an origin and
/// `access-control-request-method` (Fetch, "CORS-preflight request").
pub(crate) fn preflight<'r>(request: &Request<'r>) -> Option<&'r [u8]> {
    if request.method != b"OPTIONS" {
        return None;
    }
    values(request, "origin").next()?;
    values(request, "access-control-request-method").next()
}

/// What a request is to the rule that takes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// The rule takes it as it is.
    Itself,
    /// The rule takes the request that it asks about, and answers this one itself.
    Preflight,
}

/// What `find` finds for the request, and in which role. A preflight request belongs to the rule that would take the
/// request it asks about, if that rule has CORS; else it is a request like any other (decision record 0011).
pub(crate) fn find_as<'r, T>(
    request: &Request<'r>,
    find: impl Fn(&Request<'r>) -> T,
    has_cors: impl Fn(&T) -> bool,
) -> (T, Role) {
    let asked = preflight(request).map(|method| find(&Request { method, ..*request })).filter(has_cors);
    asked.map_or_else(|| (find(request), Role::Itself), |found| (found, Role::Preflight))
}

fn values<'r>(request: &Request<'r>, name: &'static str) -> impl Iterator<Item = &'r [u8]> {
    request.headers.iter().filter(move |header| header.0 == name.as_bytes()).map(|header| header.1)
}

impl Cors {
    pub(crate) fn compile(cors: &config::Cors, problems: &mut Problems) -> Self {
        if cors.max_age == 0 {
            problems.add("maxAge", "0 is too small; it is at least 1");
        }
        let every = is_every("allowOrigins", &cors.allow_origins, problems);
        let origins = each("allowOrigins", &cors.allow_origins, problems, |text| match text {
            EVERY => Ok(None),
            text => Origin::parse(text).map(Some),
        });
        let origins =
            if every { Origins::Every } else { Origins::These(origins.into_iter().flatten().collect()) };
        each("allowMethods", &cors.allow_methods, problems, |text| match text {
            EVERY => Ok(()),
            text => Method::parse(text).map(|_| ()).map_err(|message| format!("{message}, *")),
        });
        each("allowHeaders", &cors.allow_headers, problems, check_name);
        each("exposeHeaders", &cors.expose_headers, problems, check_name);
        let exposed: Vec<_> = cors
            .expose_headers
            .iter()
            // "The gateway cannot use the `*`" where there are credentials: to a browser it is then a header's name.
            .filter(|name| !(cors.allow_credentials && *name == EVERY))
            .map(String::as_str)
            .collect();
        let credentials = cors.allow_credentials.then(|| set(ALLOW_CREDENTIALS, "true"));
        let expose = (!exposed.is_empty()).then(|| set(EXPOSE_HEADERS, &exposed.join(", ")));
        Self {
            origins,
            methods: Allowed::compile("allowMethods", &cors.allow_methods, problems),
            headers: Allowed::compile("allowHeaders", &cors.allow_headers, problems),
            max_age: cors.max_age,
            allowed: [remove_all()].into_iter().chain(credentials).chain(expose).chain([vary()]).collect(),
        }
    }

    /// What the rule says to the origin of the request. Two origins are no origin that could be compared.
    pub(crate) fn verdict<'r>(&self, request: &Request<'r>) -> Verdict<'r> {
        let mut origins = values(request, "origin");
        let Some(origin) = origins.next() else { return Verdict::NoOrigin };
        match self.origins.allowed(origin) {
            Some(text) if origins.next().is_none() => Verdict::Allowed(text),
            _ => Verdict::Refused,
        }
    }

    /// The changes of an answer, whoever gives it: those that are the same for other requests, then those for this one.
    pub(crate) fn edits(
        &self,
        request: &Request<'_>,
        role: Role,
    ) -> (&Arc<[HeaderEdit]>, Option<Arc<[HeaderEdit]>>) {
        let origin = match self.verdict(request) {
            Verdict::NoOrigin => return (&WITHOUT_ORIGIN, None),
            Verdict::Refused => return (&REFUSED, None),
            Verdict::Allowed(origin) => origin,
        };
        // The origin is always named, also where `*` might be: the answer differs from that without an origin anyway.
        let mut own = vec![set(ALLOW_ORIGIN, origin)];
        if role == Role::Preflight {
            let methods = self.methods.answer(|| {
                let asked = preflight(request)?;
                asked.iter().copied().all(is_token).then_some(asked.into())
            });
            let headers = self.headers.answer(|| value_of("access-control-request-headers", request));
            own.extend(methods.map(|methods| set(ALLOW_METHODS, &methods)));
            own.extend(headers.map(|headers| set(ALLOW_HEADERS, &headers)));
            own.push(set(MAX_AGE, &self.max_age.to_string()));
        }
        (&self.allowed, Some(own.into()))
    }
}

impl Allowed {
    fn compile(field: &str, names: &[String], problems: &mut Problems) -> Self {
        if is_every(field, names, problems) {
            Self::Every
        } else if names.is_empty() {
            Self::NoneNamed
        } else {
            Self::These(names.join(", ").into())
        }
    }

    /// What a preflight request is told: the names as they are listed, or, of `*`, those that it asks about. Browsers
    /// take a `*` for a name where there are credentials, and never for `authorization`.
    fn answer<'r>(&self, asked: impl FnOnce() -> Option<std::borrow::Cow<'r, [u8]>>) -> Option<String> {
        match self {
            Self::NoneNamed => None,
            Self::These(names) => Some(names.to_string()),
            Self::Every => {
                let asked = String::from_utf8(asked()?.into_owned()).ok()?;
                let visible = |byte: u8| matches!(byte, b'\t' | b' '..=b'~');
                Some(asked).filter(|asked| !asked.is_empty() && asked.bytes().all(visible))
            }
        }
    }
}

/// Whether a list is `*`, which has to stand alone: "cannot contain '*' alongside other" ones (the CRD's validation).
fn is_every(field: &str, list: &[String], problems: &mut Problems) -> bool {
    let every = list.iter().any(|text| text == EVERY);
    if every && list.len() > 1 {
        problems.add(field, "\"*\" cannot stand beside others: it stands for all of them");
    }
    every
}

/// Checks every entry, and that none stands twice: the lists are sets.
fn each<T>(
    field: &str,
    list: &[String],
    problems: &mut Problems,
    parse: impl Fn(&str) -> Result<T, String>,
) -> Vec<T> {
    let mut seen = BTreeSet::new();
    let mut parsed = Vec::with_capacity(list.len());
    for (i, text) in list.iter().enumerate() {
        match parse(text) {
            Ok(one) => parsed.push(one),
            Err(message) => problems.add(format_args!("{field}[{i}]"), message),
        }
        if !seen.insert(text) {
            problems.add(format_args!("{field}[{i}]"), format!("{text:?} stands twice"));
        }
    }
    parsed
}

/// `*` stands for every header, and is a name.
fn check_name(text: &str) -> Result<(), String> {
    header_name::parse(text).map(|_| ()).map_err(|message| format!("{message}, nor * for every header"))
}

fn set(name: &str, value: &str) -> HeaderEdit {
    HeaderEdit::Set { name: name.into(), value: value.into() }
}

fn remove_all() -> HeaderEdit {
    HeaderEdit::RemovePrefix { prefix: EVERYTHING.into() }
}

/// The answer depends on the request's origin (RFC 9110, 12.5.5).
fn vary() -> HeaderEdit {
    HeaderEdit::Add { name: "vary".into(), value: "origin".into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn compiled(json: &str) -> Result<Cors, Vec<String>> {
        let mut problems = Problems::default();
        let cors = Cors::compile(&serde_json::from_str(json).unwrap(), &mut problems);
        let problems = problems.into_vec();
        if problems.is_empty() { Ok(cors) } else { Err(problems.iter().map(ToString::to_string).collect()) }
    }

    fn verdict(cors: &Cors, origins: &[&str]) -> Option<bool> {
        let headers: Vec<(&[u8], &[u8])> =
            origins.iter().map(|origin| (b"origin".as_slice(), origin.as_bytes())).collect();
        let request = Request { method: b"GET", authority: b"a", path: b"/", headers: &headers };
        match cors.verdict(&request) {
            Verdict::NoOrigin => None,
            Verdict::Allowed(origin) => {
                assert_eq!(origins, [origin]);
                Some(true)
            }
            Verdict::Refused => Some(false),
        }
    }

    #[test]
    fn two_origins_are_none() {
        let cors = compiled(r#"{"allowOrigins": ["*"]}"#).unwrap();
        assert_eq!(verdict(&cors, &[]), None);
        assert_eq!(verdict(&cors, &["https://foo.com"]), Some(true));
        assert_eq!(verdict(&cors, &["https://foo.com", "https://foo.com"]), Some(false));
        assert_eq!(verdict(&compiled("{}").unwrap(), &["https://foo.com"]), Some(false));
    }

    #[test]
    fn unsound_settings_are_refused() {
        for (json, expected) in [
            (r#"{"maxAge": 0}"#, vec!["maxAge: 0 is too small; it is at least 1"]),
            (
                r#"{"allowOrigins": ["*", "https://foo.com"]}"#,
                vec!["allowOrigins: \"*\" cannot stand beside others: it stands for all of them"],
            ),
            (
                r#"{"allowMethods": ["*", "GET"]}"#,
                vec!["allowMethods: \"*\" cannot stand beside others: it stands for all of them"],
            ),
            (
                r#"{"allowHeaders": ["*", "x"]}"#,
                vec!["allowHeaders: \"*\" cannot stand beside others: it stands for all of them"],
            ),
            (r#"{"exposeHeaders": ["*", "x"]}"#, vec![]),
            (
                r#"{"allowMethods": ["get"]}"#,
                vec![
                    "allowMethods[0]: \"get\" is not one of GET, HEAD, POST, PUT, DELETE, CONNECT, OPTIONS, TRACE, \
                     PATCH, *",
                ],
            ),
            (
                r#"{"allowHeaders": ["x y"]}"#,
                vec!["allowHeaders[0]: \"x y\" is not a header name, nor * for every header"],
            ),
            (
                r#"{"exposeHeaders": [""]}"#,
                vec!["exposeHeaders[0]: \"\" is not a header name, nor * for every header"],
            ),
            (r#"{"allowMethods": ["GET", "GET"]}"#, vec!["allowMethods[1]: \"GET\" stands twice"]),
        ] {
            assert_eq!(compiled(json).err().unwrap_or_default(), expected, "{json}");
        }
        let faults = compiled(r#"{"allowOrigins": ["foo.com"]}"#).err().unwrap_or_default();
        assert!(
            faults.len() == 1 && faults[0].starts_with("allowOrigins[0]: \"foo.com\" is not"),
            "{faults:?}"
        );
    }

    fn answered(json: &str, method: &str, asked: &[(&str, &str)]) -> Vec<String> {
        let cors = compiled(json).unwrap();
        let mut headers = vec![("origin", "https://foo.com")];
        headers.extend(asked);
        let headers: Vec<(&[u8], &[u8])> =
            headers.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes())).collect();
        let request = Request { method: method.as_bytes(), authority: b"a", path: b"/", headers: &headers };
        let role = preflight(&request).map_or(Role::Itself, |_| Role::Preflight);
        let (shared, own) = cors.edits(&request, role);
        let edits = shared.iter().chain(own.iter().flat_map(|own| own.iter()));
        let mut said: Vec<_> = edits
            .filter_map(|edit| match edit {
                HeaderEdit::Set { name, value } => {
                    Some(format!("{}: {value}", name.trim_start_matches("access-control-")))
                }
                _ => None,
            })
            .collect();
        said.sort();
        said
    }

    /// The table of `HTTPCORSFilter`: `*` of each list, with and without credentials.
    #[test]
    fn wildcards_and_credentials() {
        let asked = [
            ("access-control-request-method", "PUT"),
            ("access-control-request-headers", "x-a"),
            ("access-control-request-headers", "authorization"),
        ];
        let every = |credentials: bool| {
            format!(
                r#"{{"allowOrigins": ["*"], "allowMethods": ["*"], "allowHeaders": ["*"], "exposeHeaders": ["*", "x-b"],
                     "allowCredentials": {credentials}}}"#
            )
        };
        let preflighted =
            ["allow-headers: x-a,authorization", "allow-methods: PUT", "allow-origin: https://foo.com"];
        let with = ["allow-credentials: true", "expose-headers: x-b", "max-age: 5"];
        let without = ["expose-headers: *, x-b", "max-age: 5"];
        let sorted = |parts: &[&str]| {
            let mut all: Vec<_> = preflighted.iter().chain(parts).map(|part| (*part).to_owned()).collect();
            all.sort();
            all
        };
        assert_eq!(answered(&every(true), "OPTIONS", &asked), sorted(&with));
        assert_eq!(answered(&every(false), "OPTIONS", &asked), sorted(&without));
        // What is not asked about is not answered, and neither is what cannot be sent back.
        for asked in
            [vec![("access-control-request-method", "a b")], vec![("access-control-request-method", "")]]
        {
            let said = answered(&every(true), "OPTIONS", &asked);
            assert!(!said.iter().any(|line| line.starts_with("allow-methods")), "{said:?}");
            assert!(!said.iter().any(|line| line.starts_with("allow-headers")), "{said:?}");
        }
        // Any other answer says nothing about methods and headers.
        assert_eq!(
            answered(&every(true), "PUT", &asked),
            ["allow-credentials: true", "allow-origin: https://foo.com", "expose-headers: x-b"]
        );
        let named = r#"{"allowOrigins": ["https://foo.com"], "allowMethods": ["PUT", "GET"], "allowHeaders": ["X-A", "x-b"],
            "maxAge": 60}"#;
        assert_eq!(
            answered(named, "OPTIONS", &asked),
            [
                "allow-headers: X-A, x-b",
                "allow-methods: PUT, GET",
                "allow-origin: https://foo.com",
                "max-age: 60"
            ]
        );
    }
}
