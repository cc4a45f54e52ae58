//! The path that is matched is the path that goes upstream, and the one in a redirect, however it was written: through
//! real Envoy, in HTTP/1 and HTTP/2, for everything that a rule can do to a path. What is protected is never reached.
//! A mirror gets the path that the backend gets.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use gatewasm_tests::client::Answer;
use gatewasm_tests::echo::KEY_HEADER;
use gatewasm_tests::exact::Exact;
use gatewasm_tests::hostile::{EXACT_HOST, Rig, paths::is_normal};
use gatewasm_tests::http2::{End, Field};
use gatewasm_tests::until::until;

/// Longest wait for copies.
const LIMIT: Duration = Duration::from_secs(30);

/// Targets, and what everybody takes them for; `None` where that is nothing: 400.
const TARGETS: &[(&str, Option<&str>)] = &[
    ("/", Some("/")),
    ("/x", Some("/x")),
    ("/x/", Some("/x/")),
    ("/api", Some("/api")),
    ("/api/", Some("/api/")),
    ("/api/x", Some("/api/x")),
    ("/admin", Some("/admin")),
    ("/admin/x?y", Some("/admin/x?y")),
    // Dot segments.
    ("/x/../admin", Some("/admin")),
    ("/x/./../admin", Some("/admin")),
    ("/../admin", Some("/admin")),
    ("/./admin", Some("/admin")),
    ("/admin/.", Some("/admin/")),
    ("/admin/..", Some("/")),
    ("/admin/../x", Some("/x")),
    ("/api/../admin", Some("/admin")),
    ("/api/../../../admin/", Some("/admin/")),
    ("/api/x/../../admin", Some("/admin")),
    ("/api/..", Some("/")),
    ("/api/.", Some("/api/")),
    ("/.../admin", Some("/.../admin")),
    ("/..admin", Some("/..admin")),
    // Encoded ones.
    ("/x/%2e%2e/admin", Some("/admin")),
    ("/x/%2E./admin", Some("/admin")),
    ("/%2e/admin", Some("/admin")),
    ("/api/%2e%2e/admin", Some("/admin")),
    ("/api%2e%2e/admin", Some("/api../admin")),
    ("/%252e%252e/admin", Some("/%252e%252e/admin")),
    ("/%c0%ae%c0%ae/admin", Some("/%c0%ae%c0%ae/admin")),
    // A prefix ends with an element.
    ("/api../admin", Some("/api../admin")),
    ("/api..;/admin", Some("/api..;/admin")),
    ("/api.", Some("/api.")),
    ("/apiadmin", Some("/apiadmin")),
    ("/administrator", Some("/administrator")),
    // Slashes.
    ("//admin", Some("/admin")),
    ("//x//admin", Some("/x/admin")),
    ("///admin///x", Some("/admin/x")),
    ("/api//admin", Some("/api/admin")),
    ("/api///", Some("/api/")),
    ("/x//..//admin", Some("/x/admin")),
    ("//", Some("/")),
    ("///?//", Some("/?//")),
    ("//evil.test/x", Some("/evil.test/x")),
    // Encoded slashes are data (decision 0004).
    ("/%2fadmin", Some("/%2fadmin")),
    ("/x%2Fadmin", Some("/x%2Fadmin")),
    ("/x/..%2fadmin", Some("/x/..%2fadmin")),
    ("/admin%2fx", Some("/admin%2fx")),
    ("/admin%5cx", Some("/admin%5cx")),
    ("/x/..%5cadmin", Some("/x/..%5cadmin")),
    // Backslashes are slashes.
    ("/\\admin", Some("/admin")),
    ("/x\\..\\admin", Some("/admin")),
    ("\\admin", None),
    // Parameters: dots with them are dots, elsewhere they are part of their element (decision 0004).
    ("/x/..;/admin", Some("/admin")),
    ("/x/..;y=z/admin", Some("/admin")),
    ("/x/.;y/../admin", Some("/admin")),
    ("/x/%2e%2e;/admin", None),
    ("/x/%2e%2e;y=z/admin", None),
    ("/x/.%2E;y/admin", None),
    ("/%2e;/admin", None),
    ("/x/..%3b/admin", Some("/x/..%3b/admin")),
    ("/admin;y=z", Some("/admin;y=z")),
    ("/;/admin", Some("/;/admin")),
    // Letters that need no encoding are decoded, others are not, and case counts.
    ("/adm%69n", Some("/admin")),
    ("/%61dmin/x", Some("/admin/x")),
    ("/x/..%2Fadm%69n", Some("/x/..%2Fadmin")),
    ("/ADMIN", Some("/ADMIN")),
    ("/admin%20", Some("/admin%20")),
    ("/admin%00", None),
    ("/admin%3fx", Some("/admin%3fx")),
    ("/admin%23x", Some("/admin%23x")),
    ("/%zz/../admin", Some("/admin")),
    ("/%", Some("/%")),
    ("/admin%", Some("/admin%")),
    // What is behind the path.
    ("/admin?", Some("/admin?")),
    ("/?/admin", Some("/?/admin")),
    ("/x?/../admin", Some("/x?/../admin")),
    ("/x?y=//z/..;a&b=%2e%2e", Some("/x?y=//z/..;a&b=%2e%2e")),
    ("/x#/../admin", None),
    ("/admin#x", None),
    // No path.
    ("admin", None),
    ("*/admin", None),
    ("/*", Some("/*")),
];

/// What a rule does to a path: the host that it is on, and the target behind it.
type Action = (&'static str, fn(&str) -> String);

const FORWARDED: &[Action] = &[
    ("match.test", str::to_owned),
    ("prefix.test", |target| below_api(target).map_or(target.to_owned(), |rest| format!("/v1{rest}"))),
    ("strip.test", |target| match below_api(target) {
        None => target.to_owned(),
        Some(rest) if rest.starts_with('/') => rest.to_owned(),
        Some(rest) => format!("/{rest}"),
    }),
    ("full.test", |target| format!("/fixed{}", query(target))),
];

const REDIRECTED: &[Action] = &[
    ("redirect.test", |target| below_api(target).map_or(target.to_owned(), |rest| format!("/v1{rest}"))),
    ("moved.test", |target| format!("/fixed{}", query(target))),
];

const MIRRORED: &[Action] = &[
    ("mirror.test", str::to_owned),
    ("mirror-prefix.test", |target| below_api(target).map_or(target.to_owned(), |rest| format!("/v1{rest}"))),
];

/// What is left of a target below `/api`.
fn below_api(target: &str) -> Option<&str> {
    target.strip_prefix("/api").filter(|rest| rest.is_empty() || rest.starts_with(['/', '?']))
}

fn query(target: &str) -> &str {
    target.find('?').map_or("", |at| &target[at..])
}

fn is_protected(target: &str) -> bool {
    let path = target.strip_suffix(query(target)).unwrap_or(target);
    path == "/admin" || path.starts_with("/admin/")
}

/// What is wrong with an answer, in words.
fn fault(
    host: &str,
    target: &str,
    normal: Option<&str>,
    action: fn(&str) -> String,
    end: End,
) -> Option<String> {
    let answer = match (end, normal) {
        (End::Answer(answer), _) => answer,
        (_, None) => return None,
        (other, Some(_)) => return Some(format!("no answer: {other:?}")),
    };
    let Some(normal) = normal else {
        // Without a slash it is no path to Envoy, which then finds no route.
        let refused = answer.status == 400 || (answer.status == 404 && !target.starts_with('/'));
        return (!refused).then(|| shown(&answer));
    };
    if is_protected(normal) {
        let is = answer.status == 500 && answer.text() == "the route has no backend\n";
        return (!is).then(|| format!("it is not the protecting rule's: {}", shown(&answer)));
    }
    let expected = action(normal);
    let (seen, status) = match answer.headers.get("location") {
        Some(location) => {
            (location.strip_prefix(&format!("http://{host}")).unwrap_or(location).to_owned(), 302)
        }
        None => (answer.echoed().map(|echoed| echoed.path).unwrap_or_default(), 200),
    };
    let is = seen == expected && answer.status == status && is_normal(&seen);
    (!is).then(|| format!("expected {expected:?}: {}", shown(&answer)))
}

fn shown(answer: &Answer) -> String {
    format!("{} {:?} {}", answer.status, answer.headers.get("location"), answer.text())
}

#[tokio::test(flavor = "multi_thread")]
async fn every_path_is_the_same_to_rule_backend_and_client() -> Result<()> {
    let rig = Rig::start(include_str!("../hostile/paths.yaml")).await?;
    let mut faults = Vec::new();
    let mut count = 0;
    for (target, normal) in TARGETS {
        for (host, action) in FORWARDED.iter().chain(REDIRECTED) {
            let request = Exact { method: "GET", target, host, headers: &[] };
            let over_http1 = End::Answer(request.send(rig.http, None).await?.answer);
            let fields = fields("http", host, target);
            let over_http2 = rig.http2().await?.request(&fields).await?;
            for (protocol, end) in [("HTTP/1", over_http1), ("HTTP/2", over_http2)] {
                let fault = fault(host, target, *normal, *action, end);
                faults.extend(fault.map(|fault| format!("{protocol} {host} {target}: {fault}")));
                count += 1;
            }
        }
        // With TLS it is the same code, and another chain of Envoy's filters.
        let over_tls = rig.http2_tls(EXACT_HOST).await?.request(&fields("https", EXACT_HOST, target)).await?;
        let fault = fault(EXACT_HOST, target, *normal, str::to_owned, over_tls);
        faults.extend(fault.map(|fault| format!("HTTPS {target}: {fault}")));
    }
    ensure!(faults.is_empty(), "{} of {count}:\n{}", faults.len(), faults.join("\n"));
    rig.stop().await
}

fn fields<'a>(scheme: &'a str, host: &'a str, path: &'a str) -> [Field<'a>; 4] {
    [
        (b":method", b"GET"),
        (b":scheme", scheme.as_bytes()),
        (b":authority", host.as_bytes()),
        (b":path", path.as_bytes()),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn every_path_is_the_same_to_a_mirror() -> Result<()> {
    let rig = Rig::start(include_str!("../hostile/paths.yaml")).await?;
    let copies = &rig.echoes["copies"];
    let (mut faults, mut expected) = (Vec::new(), Vec::new());
    for (target, normal) in TARGETS {
        for (host, action) in MIRRORED {
            let over_http1 = format!("HTTP/1 {host} {target}");
            let headers = [(KEY_HEADER.to_owned(), over_http1.clone())];
            let request = Exact { method: "GET", target, host, headers: &headers };
            let first = End::Answer(request.send(rig.http, None).await?.answer);
            let over_http2 = format!("HTTP/2 {host} {target}");
            let mut with_key = fields("http", host, target).to_vec();
            with_key.push((KEY_HEADER.as_bytes(), over_http2.as_bytes()));
            let second = rig.http2().await?.request(&with_key).await?;
            for (key, end) in [(over_http1, first), (over_http2, second)] {
                let fault = fault(host, target, *normal, *action, end);
                faults.extend(fault.map(|fault| format!("{key}: {fault}")));
                // What is refused or protected has no copy.
                let copied = normal.filter(|normal| !is_protected(normal)).map(action);
                expected.push((key, copied));
            }
        }
    }
    ensure!(faults.is_empty(), "{} of {}:\n{}", faults.len(), expected.len(), faults.join("\n"));
    let copied =
        |key: &String| -> Vec<_> { copies.arrivals(key).into_iter().map(|copy| copy.echoed.path).collect() };
    let all = async || Ok(expected.iter().all(|(key, path)| path.is_none() || !copied(key).is_empty()));
    until("a copy of every request", LIMIT, all).await?;
    for (key, path) in &expected {
        ensure!(copied(key) == Vec::from_iter(path.clone()), "{key}: {:?}, not {path:?}", copied(key));
    }
    rig.stop().await
}

/// A rule for the root alone takes it however it was written; the rule for everything else never does.
#[tokio::test(flavor = "multi_thread")]
async fn the_root_is_one_path() -> Result<()> {
    let rig = Rig::start(include_str!("../hostile/paths.yaml")).await?;
    for target in
        ["/", "//", "///", "/.", "/./", "/..", "/x/..", "/%2e", "/.;x", "/\\", "//?x", "http://match.test"]
    {
        let request = Exact { method: "GET", target, host: "match.test", headers: &[] };
        let answer = request.send(rig.http, None).await?.answer;
        let echoed = answer.echoed().with_context(|| target.to_owned())?;
        let path = echoed.path.split('?').next();
        ensure!(echoed.backend == "root" && path == Some("/"), "{target}: {echoed:?}");
    }
    rig.stop().await
}
