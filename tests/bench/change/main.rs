//! What one change of a route costs, step by step, among 10, 1,000 and 3,000 routes, each with a Service of its own:
//! first the controller's steps, then the agent's. Milliseconds of one core, the median of the rounds.

use std::collections::BTreeMap;
use std::hint::black_box;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Instant;

use anyhow::{Result, ensure};
use gatewasm::bundle::{Bundle, Reader};
use gatewasm::object::ObjectKey;
use gatewasm::render::{ConfigSource, Settings, render};
use gatewasm::snapshot::Snapshot;
use gatewasm::source::{Input, Source};
use gatewasm::translate::{Options, translate};

const ROUNDS: usize = 15;
const ROUTES: [usize; 3] = [10, 1_000, 3_000];

fn main() -> Result<()> {
    println!("{:<12} {:>10} {:>10} {:>10}", "ms", ROUTES[0], ROUTES[1], ROUTES[2]);
    let mut table = BTreeMap::<(usize, &str), Vec<f64>>::new();
    for routes in ROUTES {
        let snapshot = snapshot(routes)?;
        for (index, (name, figure)) in steps(&snapshot)?.into_iter().enumerate() {
            table.entry((index, name)).or_default().push(figure);
        }
    }
    for ((_, name), figures) in table {
        print!("{name:<12}");
        figures.iter().for_each(|figure| print!(" {figure:>10.2}"));
        println!();
    }
    Ok(())
}

/// Each step's name and time.
fn steps(snapshot: &Snapshot) -> Result<Vec<(&'static str, f64)>> {
    let gateway = ObjectKey::new("infra", "web");
    let options = Options { access_log: true, ..Options::default() };
    let settings = settings();
    let mut times = BTreeMap::<(usize, &str), Vec<f64>>::new();
    for _ in 0..ROUNDS {
        let mut step = 0;
        let mut begin = Instant::now();
        let mut done = |name: &'static str| {
            times.entry((step, name)).or_default().push(begin.elapsed().as_secs_f64() * 1e3);
            step += 1;
            begin = Instant::now();
        };
        let translation = translate(snapshot, &options);
        done("translate");
        let model = translation.model.only(&gateway);
        done("share");
        let resources = render(&model, &settings);
        done("render");
        let bundle = Bundle::of(&resources)?;
        done("divide");
        let manifest = bundle.manifest("infra/web", 1);
        let taken = Bundle::collect(&manifest, bundle.parts())?;
        done("verify");
        black_box(Reader::default().resources(&taken, &settings)?);
        done("join");
    }
    Ok(times
        .into_iter()
        .map(|((_, name), mut times)| {
            times.sort_by(f64::total_cmp);
            (name, times[times.len() / 2])
        })
        .collect())
}

fn settings() -> Settings {
    Settings {
        bindings: [((ObjectKey::new("infra", "web"), 80), SocketAddr::from((Ipv4Addr::UNSPECIFIED, 80)))]
            .into(),
        source: ConfigSource::Ads,
        filter_path: "/filter.wasm".into(),
        access_log: true,
    }
}

/// So many routes of one Gateway, each with its hostname, two rules and a Service with two endpoints.
fn snapshot(routes: usize) -> Result<Snapshot> {
    let mut text = String::from(
        "{apiVersion: gateway.networking.k8s.io/v1, kind: GatewayClass, metadata: {name: c}, spec: {controllerName: gatewasm.dev/controller}}
---
{apiVersion: gateway.networking.k8s.io/v1, kind: Gateway, metadata: {name: web, namespace: infra}, spec: {gatewayClassName: c, listeners: [{name: http, port: 80, protocol: HTTP, allowedRoutes: {namespaces: {from: All}}}]}}
",
    );
    for route in 0..routes {
        let (high, low) = (route / 250, route % 250 + 1);
        text += &format!(
            "---
{{apiVersion: gateway.networking.k8s.io/v1, kind: HTTPRoute, metadata: {{name: r{route}, namespace: shop}}, spec: {{parentRefs: [{{name: web, namespace: infra}}], hostnames: [h{route}.example.com], rules: [{{matches: [{{path: {{type: PathPrefix, value: /a}}}}], backendRefs: [{{name: s{route}, port: 80}}]}}, {{matches: [{{path: {{type: Exact, value: /b}}}}], filters: [{{type: ResponseHeaderModifier, responseHeaderModifier: {{set: [{{name: x-version, value: \"1\"}}]}}}}], backendRefs: [{{name: s{route}, port: 80}}]}}]}}}}
---
{{apiVersion: v1, kind: Service, metadata: {{name: s{route}, namespace: shop}}, spec: {{ports: [{{port: 80, targetPort: 8080}}]}}}}
---
{{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, metadata: {{name: s{route}, namespace: shop, labels: {{kubernetes.io/service-name: s{route}}}}}, addressType: IPv4, ports: [{{port: 8080}}], endpoints: [{{addresses: [10.1.{high}.{low}]}}, {{addresses: [10.2.{high}.{low}]}}]}}
"
        );
    }
    let loaded = Source::default().update(&[Input { path: "bench.yaml".to_owned(), text: Ok(text) }]);
    ensure!(loaded.problems.is_empty(), "the benchmark's objects: {:?}", loaded.problems);
    Ok(loaded.snapshot)
}
