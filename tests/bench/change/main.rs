//! What one change of one route costs, step by step, among 10, 1,000 and 3,000 routes, each with a Service of its own:
//! first the controller's steps, then the agent's, each with what it has kept of the last change. Milliseconds of one
//! core, the median of the rounds.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Instant;

use anyhow::{Result, ensure};
use gatewasm::bundle::{Bundle, Reader};
use gatewasm::object::ObjectKey;
use gatewasm::render::{Before, ConfigSource, Settings, parts};
use gatewasm::source::{Input, Source};
use gatewasm::translate::{Options, translate};

const ROUNDS: usize = 15;
const ROUTES: [usize; 3] = [10, 1_000, 3_000];

/// As in `gatewasm` itself.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> Result<()> {
    println!("{:<12} {:>10} {:>10} {:>10}", "ms", ROUTES[0], ROUTES[1], ROUTES[2]);
    let mut table = BTreeMap::<(usize, &str), Vec<f64>>::new();
    for routes in ROUTES {
        for (index, (name, figure)) in steps(routes)?.into_iter().enumerate() {
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
fn steps(routes: usize) -> Result<Vec<(&'static str, f64)>> {
    let gateway = ObjectKey::new("infra", "web");
    let options = Options { access_log: true, ..Options::default() };
    let mut objects = objects(routes);
    let mut source = Source::default();
    let mut before: Option<Before> = None;
    let mut reader = Reader::default();
    let mut times = BTreeMap::<(usize, &str), Vec<f64>>::new();
    for round in 0..=ROUNDS {
        // The route in the middle.
        objects[routes / 2].text = Ok(route(routes / 2, round));
        let loaded = source.update(&objects);
        ensure!(loaded.problems.is_empty(), "the benchmark's objects: {:?}", loaded.problems);
        let mut step = 0;
        let mut begin = Instant::now();
        let mut done = |name: &'static str| {
            // In the first round everything is new.
            if round > 0 {
                times.entry((step, name)).or_default().push(begin.elapsed().as_secs_f64() * 1e3);
            }
            step += 1;
            begin = Instant::now();
        };
        let translation = translate(&loaded.snapshot, &options);
        done("translate");
        let model = translation.model.only(&gateway);
        done("share");
        let settings = settings();
        let resources = parts(&model, &settings, before.as_ref());
        done("render");
        let bundle = Bundle::of(&resources)?;
        done("divide");
        let manifest = bundle.manifest("infra/web", 1);
        let taken = Bundle::collect(&manifest, bundle.parts())?;
        done("verify");
        let joined = reader.resources(&taken, &settings)?;
        done("join");
        ensure!(joined.filter_config.contains(&format!("\"v{round}\"")), "the change is not there");
        before = Some(Before { model, settings, resources });
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

/// So many routes of one Gateway, each with its hostname, two rules and a Service with two endpoints; a file for each.
fn objects(routes: usize) -> Vec<Input> {
    let gateway = "{apiVersion: gateway.networking.k8s.io/v1, kind: GatewayClass, metadata: {name: c}, spec: {controllerName: gatewasm.dev/controller}}
---
{apiVersion: gateway.networking.k8s.io/v1, kind: Gateway, metadata: {name: web, namespace: infra}, spec: {gatewayClassName: c, listeners: [{name: http, port: 80, protocol: HTTP, allowedRoutes: {namespaces: {from: All}}}]}}
";
    let routes =
        (0..routes).map(|number| Input { path: format!("{number}.yaml"), text: Ok(route(number, 0)) });
    routes.chain([Input { path: "gateway.yaml".to_owned(), text: Ok(gateway.to_owned()) }]).collect()
}

/// One of them, in a version.
fn route(number: usize, version: usize) -> String {
    let (high, low) = (number / 250, number % 250 + 1);
    format!(
        "{{apiVersion: gateway.networking.k8s.io/v1, kind: HTTPRoute, metadata: {{name: r{number}, namespace: shop}}, spec: {{parentRefs: [{{name: web, namespace: infra}}], hostnames: [h{number}.example.com], rules: [{{matches: [{{path: {{type: PathPrefix, value: /a}}}}], backendRefs: [{{name: s{number}, port: 80}}]}}, {{matches: [{{path: {{type: Exact, value: /b}}}}], filters: [{{type: ResponseHeaderModifier, responseHeaderModifier: {{set: [{{name: x-version, value: v{version}}}]}}}}], backendRefs: [{{name: s{number}, port: 80}}]}}]}}}}
---
{{apiVersion: v1, kind: Service, metadata: {{name: s{number}, namespace: shop}}, spec: {{ports: [{{port: 80, targetPort: 8080}}]}}}}
---
{{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, metadata: {{name: s{number}, namespace: shop, labels: {{kubernetes.io/service-name: s{number}}}}}, addressType: IPv4, ports: [{{port: 8080}}], endpoints: [{{addresses: [10.1.{high}.{low}]}}, {{addresses: [10.2.{high}.{low}]}}]}}
"
    )
}
