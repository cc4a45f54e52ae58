//! The Filter way on real Envoy: the files of `envoy/`, the filter, and routes that change, with no controller.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use gatewasm::filter_binary::WASM;
use gatewasm_tests::client::{Request, raw};
use gatewasm_tests::http2::{Field, Http2};
use gatewasm_tests::load::{Load, send};
use gatewasm_tests::process::Process;
use gatewasm_tests::standalone::{Files, Standalone, read, routes_with, sha256};
use gatewasm_tests::tools;
use rustix::process::Signal;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::process::Command;

/// Longest wait for anything that has to happen.
const LIMIT: Duration = Duration::from_secs(20);

const FOO: &str = "foo.example.com";

fn foo() -> Request {
    Request::get(FOO, "/foo")
}

/// The filter config of the repository with all requests for foo going to one backend.
fn all_of_foo_to(files: &Files, cluster: &str) -> Result<String> {
    let mut config: Value = serde_json::from_str(files.config()?)?;
    config["listeners"][0]["routes"][0]["rules"][1]["backends"] = json!([{"cluster": cluster}]);
    Ok(config.to_string())
}

#[tokio::test]
async fn the_example_routes_are_served() -> Result<()> {
    let envoy = Standalone::start_as_it_stands().await?;
    let canary = envoy.send(&foo().header("env", "canary")).await?.echoed()?;
    assert_eq!(canary.backend, "foo-v2");
    let bar = envoy.send(&Request::get("bar.example.com", "/bar/x?y")).await?.echoed()?;
    assert_eq!((bar.backend.as_str(), bar.path.as_str()), ("bar", "/bar/x?y"));

    let no_route = envoy.send(&Request::get(FOO, "/foobar")).await?;
    assert_eq!((no_route.status, no_route.text().as_str()), (404, "no route matches\n"));
    let no_listener = envoy.send(&Request::get("example.org", "/foo")).await?;
    assert_eq!((no_listener.status, no_listener.text().as_str()), (404, "no listener for this host\n"));

    let shares = send(envoy.http, &foo(), 8, 5_000).await?;
    assert_eq!(shares.failures(), 0, "{shares:?}");
    let v1 = shares.backends["foo-v1"];
    // Four standard deviations around 80 %.
    assert!((3_887..=4_113).contains(&v1), "{shares:?}");
    Ok(())
}

/// Whatever a client sends under the names that Envoy and the filter use between them has no effect, in any case and
/// however often, and neither it nor what they set themselves reaches a backend.
#[tokio::test]
async fn a_client_cannot_speak_for_envoy_or_the_filter() -> Result<()> {
    let mut files = Files::read()?;
    let config = all_of_foo_to(&files, "foo-ns/foo-v1/8080")?;
    files.routes = serde_json::from_slice(&routes_with(&files.routes, &config))?;
    let envoy = Standalone::start(files, 1).await?;
    let forged = foo()
        .header("x-gw-cluster", "bar-ns/bar/8080")
        .header("X-GW-Cluster", "foo-ns/foo-v2/8080")
        .header("X-Gw-Listener", "gatewasm:probe")
        .header("x-gw-listener", "unknown")
        .header("x-gw-policy", "unknown")
        .header("x-gw-anything", "1")
        .header("x-envoy-upstream-rq-timeout-ms", "1")
        .header("x-envoy-retry-on", "5xx");
    let echoed = envoy.send(&forged).await?.echoed()?;
    assert_eq!(echoed.backend, "foo-v1");
    let internal: Vec<_> = echoed.headers.keys().filter(|name| name.starts_with("x-gw-")).collect();
    assert!(internal.is_empty(), "{internal:?}");
    assert!(!echoed.headers.contains_key("x-envoy-retry-on"));

    let unrouted =
        envoy.send(&Request::get("example.org", "/").header("x-gw-cluster", "bar-ns/bar/8080")).await?;
    assert_eq!(unrouted.status, 404);
    Ok(())
}

/// Neither do its trailers, which Envoy passes on to backends that HTTP/2 is spoken with.
#[tokio::test]
async fn trailers_of_ours_reach_no_backend() -> Result<()> {
    let mut files = Files::read()?;
    let bar = files.bootstrap["static_resources"]["clusters"]
        .as_array_mut()
        .and_then(|clusters| clusters.iter_mut().find(|cluster| cluster["name"] == "bar-ns/bar/8080"))
        .context("the cluster bar")?;
    bar["typed_extension_protocol_options"]["envoy.extensions.upstreams.http.v3.HttpProtocolOptions"] = json!({
        "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
        "explicit_http_config": {"http2_protocol_options": {}},
    });
    let envoy = Standalone::start(files, 1).await?;
    let mut client = Http2::open(TcpStream::connect(envoy.http).await?).await?;
    let fields: [Field<'_>; 4] = [
        (b":method", b"POST"),
        (b":scheme", b"http"),
        (b":authority", b"bar.example.com"),
        (b":path", b"/bar"),
    ];
    let trailers: [Field<'_>; 3] =
        [(b"x-gw-cluster", b"foo-ns/foo-v1/8080"), (b"x-envoy-internal", b"true"), (b"x-checksum", b"1")];
    let echoed = client.request_with_trailers(&fields, &trailers).await?.answer()?.echoed()?;
    assert_eq!((echoed.backend.as_str(), echoed.protocol.as_str()), ("bar", "HTTP/2.0"));
    assert_eq!(echoed.trailers, BTreeMap::from([("x-checksum".to_owned(), "1".to_owned())]));
    Ok(())
}

#[tokio::test]
async fn an_unknown_cluster_answers_500() -> Result<()> {
    let mut files = Files::read()?;
    let config = all_of_foo_to(&files, "foo-ns/nobody/8080")?;
    files.routes = serde_json::from_slice(&routes_with(&files.routes, &config))?;
    let envoy = Standalone::start(files, 1).await?;
    assert_eq!(envoy.send(&foo()).await?.status, 500);
    assert_eq!(envoy.send(&foo().header("env", "canary")).await?.status, 200);
    Ok(())
}

/// No client can ask for a policy, so the chain itself does.
#[tokio::test]
async fn an_unknown_policy_answers_500_and_none_is_none() -> Result<()> {
    for (policy, status) in [("p-unknown", 500), ("none", 200)] {
        let mut files = Files::read()?;
        let chain = files.connection_manager("http")?;
        chain["early_header_mutation_extensions"][0]["typed_config"]["mutations"]
            .as_array_mut()
            .context("mutations")?
            .push(json!({"append": {"header": {"key": "x-gw-policy", "value": policy}}}));
        let envoy = Standalone::start(files, 1).await?;
        assert_eq!(envoy.send(&foo()).await?.status, status, "{policy}");
    }
    Ok(())
}

/// A client may send any byte that HTTP/1.1 allows in a field (RFC 9110, 5.5: obs-text), and much that it does not.
#[tokio::test]
async fn no_request_harms_the_vm() -> Result<()> {
    let envoy = Standalone::start(Files::read()?, 1).await?;
    let before = envoy.probe().await?;
    let echoed =
        envoy.send(&foo().header("env", b"\xa1\xff").header("x-\u{7e}", b"\xff\xfe\x80")).await?.echoed()?;
    assert!(echoed.backend.starts_with("foo-"), "{echoed:?}");

    let head = "Host: foo.example.com\r\nConnection: close\r\n";
    let served: [(&str, Vec<u8>); 3] = [
        (
            "name and value",
            [b"GET /foo HTTP/1.1\r\n", head.as_bytes(), b"env: \xa1\xff\x80\r\n\r\n"].concat(),
        ),
        ("query", [b"GET /foo?\xa1\xff HTTP/1.1\r\n", head.as_bytes(), b"\r\n"].concat()),
        ("90 headers", format!("GET /foo HTTP/1.1\r\n{head}{}\r\n", "x: y\r\n".repeat(90)).into()),
    ];
    for (what, request) in served {
        let answer = raw(envoy.http, &request).await?;
        let answer = String::from_utf8_lossy(&answer);
        // Some of these Envoy's own parser refuses; what gets past it must be served.
        ensure!(answer.starts_with("HTTP/1.1 200") || answer.starts_with("HTTP/1.1 400"), "{what}: {answer}");
    }
    for request in [
        "OPTIONS * HTTP/1.1\r\nHost: foo.example.com\r\n\r\n".to_owned(),
        "CONNECT foo.example.com:443 HTTP/1.1\r\nHost: foo.example.com:443\r\n\r\n".to_owned(),
        "GET /foo HTTP/1.1\r\nHost: \u{ff}\r\n\r\n".to_owned(),
        "GET /foo HTTP/1.1\r\nHost: [::1\r\n\r\n".to_owned(),
        "GET /foo HTTP/1.1\r\nHost:\r\n\r\n".to_owned(),
        "GET http://foo.example.com HTTP/1.1\r\nHost: x\r\n\r\n".to_owned(),
        "G\u{e9}T /foo HTTP/1.1\r\nHost: foo.example.com\r\n\r\n".to_owned(),
        format!("GET /foo?{} HTTP/1.1\r\nHost: foo.example.com\r\n\r\n", "%".repeat(50_000)),
        format!("GET /foo HTTP/1.1\r\nHost: {}\r\n\r\n", "a.".repeat(20_000)),
    ] {
        let answer = raw(envoy.http, request.as_bytes()).await?;
        let answer = String::from_utf8_lossy(&answer);
        // 503 is how Envoy answers when the VM is gone.
        ensure!(!answer.contains(" 503 "), "{request:.60}: {answer}");
    }
    assert_eq!(envoy.probe().await?, before, "the VM was replaced");
    assert!(!envoy.envoy.output().contains("panicked"), "{}", envoy.envoy.output());
    Ok(())
}

/// Envoy's own default is 15 s; a rule without `timeouts` has none (Gateway API `HTTPRouteTimeouts`).
#[tokio::test]
async fn an_answer_that_takes_20_seconds_arrives() -> Result<()> {
    let envoy = Standalone::start(Files::read()?, 1).await?;
    let answer = envoy.send(&Request::get("bar.example.com", "/bar?delay=20000")).await?;
    assert_eq!(answer.echoed()?.backend, "bar");
    Ok(())
}

#[tokio::test]
async fn every_worker_answers_the_probe_with_the_hash_of_its_configuration() -> Result<()> {
    let files = Files::read()?;
    let envoy = Standalone::start(files.clone(), 2).await?;
    let answers = envoy.probe().await?;
    let vms: BTreeSet<_> = answers.iter().map(|answer| &answer.vm).collect();
    assert_eq!(vms.len(), 2, "{answers:?}");
    let hash = sha256(files.config()?.as_bytes());
    assert!(answers.iter().all(|answer| answer.config == hash), "{hash}: {answers:?}");
    assert_eq!(envoy.send(&Request::get("gatewasm:probe", "/")).await?.status, 404);
    Ok(())
}

/// Twenty new versions of the ConfigMap under load: each is in effect, no request fails, no connection is closed.
#[tokio::test]
async fn a_new_version_of_the_configmap_costs_no_request_and_no_connection() -> Result<()> {
    const CONNECTIONS: usize = 8;
    let files = Files::read()?;
    let mut envoy = Standalone::start(files.clone(), 2).await?;
    let load = Load::start(envoy.http, &foo(), CONNECTIONS, Duration::from_millis(1));
    let mut config = envoy.probe().await?.first().context("no worker")?.config.clone();
    for round in 0..20 {
        let (cluster, backend) =
            if round % 2 == 0 { ("foo-ns/foo-v2/8080", "foo-v2") } else { ("foo-ns/foo-v1/8080", "foo-v1") };
        envoy.publish(&all_of_foo_to(&files, cluster)?).await?;
        config = envoy.wait_for_another_config(&config).await?;
        assert_eq!(envoy.send(&foo()).await?.echoed()?.backend, backend);
    }
    let seen = load.stop().await?;
    assert_eq!(seen.failures(), 0, "{seen:?}");
    assert_eq!((seen.connects, seen.refused), (CONNECTIONS as u64, 0), "{seen:?}");
    assert!(seen.answers() > 100, "{seen:?}");
    for drained in ["downstream_cx_drain_close", "downstream_rq_5xx"] {
        assert_eq!(envoy.admin.sum(&format!("http.http.{drained}")).await?, 0, "{drained}");
    }
    assert_eq!(envoy.admin.sum("listener_manager.listener_modified").await?, 0);
    Ok(())
}

/// Envoy keeps what it has configured as long as a request lasts that began under it, and does not configure it again
/// when it comes back meanwhile.
#[tokio::test]
async fn a_change_that_is_undone_is_undone_even_while_an_old_request_lasts() -> Result<()> {
    let files = Files::read()?;
    let mut envoy = Standalone::start(files.clone(), 1).await?;
    let configs =
        [all_of_foo_to(&files, "foo-ns/foo-v1/8080")?, all_of_foo_to(&files, "foo-ns/foo-v2/8080")?];
    let first = envoy.probe().await?.first().context("no worker")?.config.clone();
    envoy.publish(&configs[0]).await?;
    let mut config = envoy.wait_for_another_config(&first).await?;
    let address = envoy.http;
    let lasting =
        tokio::spawn(async move { Request::get("bar.example.com", "/bar?delay=5000").send(address).await });
    let bar = &envoy.backends["bar-ns/bar/8080"];
    envoy.envoy.until("the request to arrive", LIMIT, async || Ok(bar.requests() > 0)).await?;
    for round in [1, 0, 1, 0] {
        envoy.publish(&configs[round]).await?;
        config = envoy.wait_for_another_config(&config).await?;
        assert_eq!(config, sha256(configs[round].as_bytes()));
        assert_eq!(envoy.send(&foo()).await?.echoed()?.backend, ["foo-v1", "foo-v2"][round]);
    }
    assert!(!lasting.is_finished(), "the old request did not last long enough to show anything");
    assert_eq!(lasting.await??.status, 200);
    Ok(())
}

/// What cannot be used is refused as a whole, whatever is wrong with it, and the next good version is taken.
#[tokio::test]
async fn a_broken_file_is_refused_and_the_old_routes_stay() -> Result<()> {
    let files = Files::read()?;
    let mut envoy = Standalone::start(files.clone(), 2).await?;
    let before = envoy.probe().await?;
    let good = files.config()?;
    let invalid_regex = good
        .replace(r#""type": "PathPrefix", "value": "/bar""#, r#""type": "RegularExpression", "value": "(""#);
    let deep = format!(r#"{{"version": 1, "listeners": {}{}}}"#, "[".repeat(100_000), "]".repeat(100_000));
    let large = format!(r#"{{"version": 1, "listeners": [], "padding": "{}"}}"#, "x".repeat(50 << 20));
    let with = |config: &str| routes_with(&files.routes, config);
    let broken: [(&str, Vec<u8>, &str); 10] = [
        ("truncated JSON", with(&good[..good.len() / 2]), "EOF while parsing"),
        (
            "version 2",
            with(&good.replace(r#""version": 1"#, r#""version": 2"#)),
            "version: the document is of version 2",
        ),
        ("unknown field", with(&good.replace("hostnames", "hostNames")), "unknown field `hostNames`"),
        ("invalid expression", with(&invalid_regex), "rules[0].matches[0].path.value"),
        ("deeply nested", with(&deep), "invalid type: sequence, expected a string"),
        ("50 MiB", with(&large), "at most"),
        ("no filter config", with(""), "the document is empty"),
        ("truncated YAML", files.routes.to_string().as_bytes()[..200].to_vec(), ""),
        ("no YAML", b"\0\xff{".to_vec(), ""),
        ("empty file", Vec::new(), ""),
    ];
    for (what, file, message) in broken {
        let refused = envoy.refused().await?;
        envoy.swap(&file).await?;
        assert_eq!(envoy.refused().await?, refused + 1, "{what}");
        // Envoy counts the refusal before its log line has arrived here.
        envoy.envoy.until_printed(message, Duration::from_secs(10)).await.context(what)?;
        assert_eq!(envoy.probe().await?, before, "{what}");
        assert_eq!(envoy.send(&foo().header("env", "canary")).await?.echoed()?.backend, "foo-v2", "{what}");
    }
    envoy.publish(&all_of_foo_to(&files, "bar-ns/bar/8080")?).await?;
    let before = &before.first().context("no worker")?.config;
    envoy.wait_for_another_config(before).await?;
    assert_eq!(envoy.send(&foo()).await?.echoed()?.backend, "bar");
    Ok(())
}

/// Envoy's access log names what the filter decided: with a single Envoy route, Envoy itself cannot.
#[tokio::test]
async fn the_access_log_names_listener_route_and_rule() -> Result<()> {
    let mut files = Files::read()?;
    let mut config: Value = serde_json::from_str(files.config()?)?;
    config["accessLog"] = json!(true);
    files.routes = serde_json::from_slice(&routes_with(&files.routes, &config.to_string()))?;
    files.connection_manager("http")?["access_log"] = json!([{
        "name": "stdout",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.access_loggers.stream.v3.StdoutAccessLog",
            "log_format": {"text_format_source": {"inline_string": concat!(
                "access %RESPONSE_CODE% %FILTER_STATE(wasm.gatewasm.listener:PLAIN)%|",
                "%FILTER_STATE(wasm.gatewasm.route:PLAIN)%|%FILTER_STATE(wasm.gatewasm.rule:PLAIN)%|",
                "%RESPONSE_CODE_DETAILS%\n",
            )}},
        },
    }]);
    let envoy = Standalone::start(files, 1).await?;
    envoy.send(&foo()).await?;
    envoy.send(&Request::get(FOO, "/")).await?;
    envoy.send(&Request::get("example.org", "/")).await?;
    for line in [
        "access 200 infra/web/http|HTTPRoute foo-ns/foo|1|via_upstream",
        "access 404 infra/web/http|-|-|gatewasm_no_route",
        "access 404 -|-|-|gatewasm_no_listener",
    ] {
        envoy.envoy.until_printed(line, LIMIT).await?;
    }
    Ok(())
}

/// The one line of the README, on its own ports: 8080, 8081 and 9901 must be free.
#[tokio::test]
async fn func_e_runs_the_bootstrap_as_it_stands() -> Result<()> {
    let repository = tools::repository();
    let wasm = repository.join("envoy/gatewasm.wasm");
    // Written whole before Envoy may see it, as `gatewasm filter -o` would.
    let written = tempfile::NamedTempFile::new_in(repository.join("envoy"))?;
    std::fs::write(written.path(), WASM)?;
    written.persist(&wasm)?;

    let home = tempfile::tempdir()?;
    let mut command = Command::new(tools::func_e()?);
    command.args(["run", "-c", "envoy/bootstrap.yaml"]).current_dir(repository);
    command.env("ENVOY_PATH", std::fs::canonicalize(tools::envoy()?)?).env("FUNC_E_HOME", home.path());
    let mut func_e = Process::spawn(command)?;
    func_e.until_printed("starting main dispatch loop", Duration::from_secs(60)).await?;
    let address = SocketAddr::from(([127, 0, 0, 1], 8080));
    // There need not be backends on the example's ports; 500 would mean that there is no filter or no cluster.
    let routed = foo().send(address).await?.status;
    assert!([200, 503].contains(&routed), "{routed}");
    assert_eq!(Request::get(FOO, "/").send(address).await?.text(), "no route matches\n");
    let probe = Request::get("probe", "/").send(SocketAddr::from(([127, 0, 0, 1], 8081))).await?;
    assert!(probe.text().contains(&sha256(Files::read()?.config()?.as_bytes())), "{}", probe.text());
    func_e.signal(Signal::TERM)?;
    func_e.wait(LIMIT).await?;
    Ok(())
}

/// The file of `envoy/` and the one in the ConfigMap of `manifests/examples/standalone/`.
#[tokio::test]
async fn envoy_finds_both_bootstraps_valid() -> Result<()> {
    let folder = tempfile::tempdir()?;
    std::fs::create_dir_all(folder.path().join("etc/gatewasm/routes"))?;
    std::fs::write(folder.path().join("etc/gatewasm/routes/routes.yaml"), example("routes.yaml")?)?;
    // Envoy wants the file of a subscription to exist.
    let mounted = example("bootstrap.yaml")?.replace("/etc/gatewasm", "etc/gatewasm");
    let own = std::fs::read_to_string(tools::repository().join("envoy/bootstrap.yaml"))?;
    for (name, text, at) in [("own.yaml", own, tools::repository()), ("mounted.yaml", mounted, folder.path())]
    {
        let file = folder.path().join(name);
        std::fs::write(&file, text)?;
        let mut command = Command::new(tools::envoy()?);
        command.current_dir(at).args(["--mode", "validate", "-c"]).arg(&file);
        let output = command.output().await?;
        assert!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(())
}

/// A VM that trapped must come back, and below 2 ms of `base_interval` Envoy itself crashes at its first reload.
#[test]
fn a_lost_vm_is_reloaded_after_a_while() -> Result<()> {
    let mounted: Value = serde_saphyr::from_str(&example("routes.yaml")?)?;
    for routes in [Files::read()?.routes, mounted] {
        let plugin = &routes["resources"][0]["typed_config"]["config"];
        assert_eq!(plugin["failure_policy"], "FAIL_RELOAD");
        assert_eq!(plugin["reload_config"]["backoff"]["base_interval"], "0.05s");
    }
    Ok(())
}

/// The standalone example serves the same routes by the same rules of trust; what differs is where files and backends
/// are.
#[test]
fn the_standalone_example_is_the_same_configuration() -> Result<()> {
    let files = Files::read()?;
    let mut routes: Value = serde_saphyr::from_str(&example("routes.yaml")?)?;
    let wasm = |routes: &Value| {
        routes["resources"][0]["typed_config"]["config"]["vm_config"]["code"]["local"].clone()
    };
    assert_eq!(wasm(&routes), json!({"filename": "/etc/gatewasm/wasm/gatewasm.wasm"}));
    routes["resources"][0]["typed_config"]["config"]["vm_config"]["code"]["local"] = wasm(&files.routes);
    assert_eq!(routes, files.routes);

    let bootstrap: Value = serde_saphyr::from_str(&example("bootstrap.yaml")?)?;
    let mut mounted = Files { bootstrap, routes };
    let mut own = files;
    for files in [&mut mounted, &mut own] {
        for listener in ["http", "probe"] {
            files.listener(listener)?["address"] = Value::Null;
            files.connection_manager(listener)?["http_filters"][0]["config_discovery"]["config_source"]["path_config_source"] =
                Value::Null;
        }
        for cluster in files.bootstrap["static_resources"]["clusters"].as_array_mut().context("clusters")? {
            for field in ["type", "dns_lookup_family", "load_assignment"] {
                cluster.as_object_mut().context("cluster")?.remove(field);
            }
        }
    }
    assert_eq!(mounted.bootstrap, own.bootstrap);
    Ok(())
}

/// The one file in a ConfigMap of the standalone example.
fn example(name: &str) -> Result<String> {
    let manifest = read(&tools::repository().join("manifests/examples/standalone").join(name))?;
    Ok(manifest["data"][name].as_str().with_context(|| format!("no {name} in the ConfigMap"))?.to_owned())
}
