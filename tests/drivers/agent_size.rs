//! A Gateway with 20,000 rules and 500 certificates: its bundle has many parts, each fits into an object of Kubernetes,
//! and it is taken, served and changed as a small one is.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use gatewasm::bundle::{Bundle, Kind, LIMIT};
use gatewasm_tests::certificate::Certificate;
use gatewasm_tests::client::Request;
use gatewasm_tests::echo::Echo;
use gatewasm_tests::load::Load;
use gatewasm_tests::pod::{Files, Pod, bundle, files};
use gatewasm_tests::running::{class, gateway, http, route, service};
use gatewasm_tests::tools;
use serde_json::{Value, json};

/// A route has at most 16 rules, a Gateway 64 listeners.
const ROUTES: usize = 1250;
const RULES: usize = 16;
const SERVICES: usize = 200;
const CERTIFICATES: usize = 500;
const PER_LISTENER: usize = 8;

fn https(listener: usize, port: u16) -> Value {
    let all = listener * PER_LISTENER..CERTIFICATES.min((listener + 1) * PER_LISTENER);
    let references: Vec<Value> = all.map(|index| json!({"name": format!("certificate-{index}")})).collect();
    json!({
        "name": format!("https-{listener}"),
        "port": port,
        "protocol": "HTTPS",
        "hostname": format!("*.l-{listener}.example.com"),
        "tls": {"certificateRefs": references},
    })
}

/// The host of a certificate, on the listener that presents it.
fn host(certificate: usize) -> String {
    format!("c-{certificate}.l-{}.example.com", certificate / PER_LISTENER)
}

/// Route number `index`, for a host of its own on the HTTP listener; its last rule leads to `service`.
fn many_rules(index: usize, service: &str) -> Value {
    let rule = |rule: usize| {
        let service =
            if rule + 1 == RULES { service.to_owned() } else { format!("s-{}", (index + rule) % SERVICES) };
        json!({
            "matches": [{"path": {"type": "PathPrefix", "value": format!("/rule-{rule}")}}],
            "backendRefs": [{"name": service, "port": 80}],
        })
    };
    let mut route = route(&format!("route-{index}"), &["web"], "");
    route["spec"]["parentRefs"][0]["sectionName"] = json!("http");
    route["spec"]["hostnames"] = json!([format!("r-{index}.example.com")]);
    route["spec"]["rules"] = (0..RULES).map(rule).collect();
    route
}

fn print(bundle: &Bundle) {
    for kind in Kind::ALL {
        let sizes = bundle.parts().iter().filter(|(name, _)| name.kind == kind).map(|(_, text)| text.len());
        let (count, sum) = (sizes.clone().count(), sizes.clone().sum::<usize>());
        println!("{kind}: {count} parts, {sum} bytes, the largest {}", sizes.max().unwrap_or(0));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn many_rules_and_certificates_are_divided_taken_and_served() -> Result<()> {
    let (one, two) = (Echo::start("one").await?, Echo::start("two").await?);
    let (plain, tls) = (tools::free_address()?, tools::free_address()?);
    let mut listeners = vec![http("http", plain.port())];
    listeners.extend((0..CERTIFICATES.div_ceil(PER_LISTENER)).map(|listener| https(listener, tls.port())));
    let mut objects = vec![class(), gateway("web", &listeners), route("everything", &["web"], "s-0")];
    let mut certificates = Vec::new();
    for index in 0..CERTIFICATES {
        let certificate = Certificate::self_signed([host(index)])?;
        objects.push(certificate.secret(&format!("certificate-{index}")));
        certificates.push(certificate);
    }
    for index in 0..SERVICES {
        objects.extend(service(&format!("s-{index}"), &[one.address]));
    }
    objects.extend(service("two", &[two.address]));
    objects.extend((0..ROUTES).map(|index| many_rules(index, "s-0")));

    let begin = Instant::now();
    let before = bundle(&objects)?;
    println!("manifests to bundle: {:?}", begin.elapsed());
    print(&before);
    for kind in [Kind::Routes, Kind::Certificates] {
        let parts = before.parts().keys().filter(|name| name.kind == kind).count();
        assert!(parts > 1, "{parts} parts of {kind}");
    }
    assert!(before.parts().values().all(|text| text.len() < LIMIT));

    let begin = Instant::now();
    let mut pod = Pod::ready(&files(&before, 1)).await?;
    println!("ready after {:?}", begin.elapsed());
    let last = |path: &str| Request::get(&format!("r-{}.example.com", ROUTES - 1), path);
    assert_eq!(last("/rule-15/x").send(plain).await?.echoed()?.backend, "one");
    for index in [0, 7, 250, CERTIFICATES - 1] {
        let root = &certificates[index].chain;
        let answer = Request::get(&host(index), "/").send_tls(tls, &host(index), root).await;
        assert_eq!(answer.with_context(|| host(index))?.status, 200, "{}", host(index));
    }

    // One route of all changes.
    *objects.last_mut().context("routes")? = many_rules(ROUTES - 1, "two");
    let after = bundle(&objects)?;
    let changed = after.parts().iter().filter(|(name, text)| before.parts().get(name) != Some(text));
    let changed: Vec<String> = changed.map(|(name, text)| format!("{name} ({} bytes)", text.len())).collect();
    println!("changed by one route: {}", changed.join(", "));
    // The route, and the cluster that it leads to.
    assert!(changed.len() <= 3, "{changed:?}");
    let load = Load::start(plain, &last("/rule-0/x"), 10, Duration::from_millis(50));
    let begin = Instant::now();
    pod.mount(&files(&after, 2))?;
    let backend = async || last("/rule-15/x").send(plain).await?.echoed().map(|echoed| echoed.backend);
    pod.until("the change", async || Ok(backend().await? == "two")).await?;
    println!("a change takes {:?}", begin.elapsed());
    pod.until_in_effect(2).await?;
    println!("and is in effect after {:?}", begin.elapsed());
    let seen = load.stop().await?;
    assert!(seen.failures() == 0 && seen.refused == 0, "{seen:?}");

    // A restart serves it from disk.
    println!("{} bytes are kept", pod.kept()?);
    let in_effect = pod.in_effect().await?;
    pod.mount(&Files::new())?;
    pod.kill_agent().await?;
    pod.kill_envoy().await?;
    let begin = Instant::now();
    pod.start_agent().await?;
    pod.start_envoy()?;
    pod.until_ready().await?;
    println!("both started again, ready after {:?}", begin.elapsed());
    assert_eq!(pod.in_effect().await?, in_effect);
    assert_eq!(backend().await?, "two");
    Ok(())
}
