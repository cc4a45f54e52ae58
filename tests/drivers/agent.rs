//! `gatewasm agent` beside a real Envoy, with the bundle mounted: what is taken and what is not, what restarts do, and
//! how a pod ends.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use gatewasm::agent::{Answer, InEffect};
use gatewasm::bundle::Manifest;
use gatewasm_tests::client::Request;
use gatewasm_tests::connection::Connection;
use gatewasm_tests::echo::Echo;
use gatewasm_tests::load::{Load, Seen};
use gatewasm_tests::pod::{Files, LIMIT, Pod, ask, bundle, files};
use gatewasm_tests::running::{class, gateway, http, route, service};
use gatewasm_tests::tools;
use gatewasm_tests::until::until;
use serde_json::Value;
use tokio::net::{TcpListener, TcpStream};

/// Two backends, and bundles of a Gateway with one route to either.
struct World {
    one: Echo,
    two: Echo,
    address: SocketAddr,
}

impl World {
    async fn new() -> Result<Self> {
        let (one, two) = (Echo::start("one").await?, Echo::start("two").await?);
        Ok(Self { one, two, address: tools::free_address()? })
    }

    /// A bundle whose route leads to `backend`.
    fn files(&self, backend: &str, counter: u64) -> Result<Files> {
        self.files_on(self.address, backend, counter)
    }

    fn files_on(&self, address: SocketAddr, backend: &str, counter: u64) -> Result<Files> {
        let mut objects: Vec<Value> = vec![class(), gateway("web", &[http("http", address.port())])];
        objects.push(route("foo", &["web"], backend));
        objects.extend(service("one", &[self.one.address]));
        objects.extend(service("two", &[self.two.address]));
        Ok(files(&bundle(&objects)?, counter))
    }

    fn load(&self) -> Load {
        load(self.address)
    }

    async fn backend(&self) -> Result<String> {
        get().send(self.address).await?.echoed().map(|echoed| echoed.backend)
    }
}

fn get() -> Request {
    Request::get("foo.example.com", "/foo")
}

/// About 200 requests a second.
fn load(address: SocketAddr) -> Load {
    Load::start(address, &get(), 20, Duration::from_millis(100))
}

fn assert_no_failure(seen: &Seen, at_least: u64) {
    assert!(seen.failures() == 0 && seen.refused == 0, "{seen:?}");
    assert!(seen.answers() >= at_least, "{seen:?}");
}

/// The content of a bundle, as it is mounted.
fn hash(files: &Files) -> Result<String> {
    Ok(Manifest::read(&files[Manifest::FILE])?.content_hash())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pod_is_ready_with_a_whole_bundle_in_effect() -> Result<()> {
    let world = World::new().await?;
    let mut pod = Pod::start(&Files::new()).await?;
    let ready = async |pod: &Pod| {
        let answer = pod.get("/ready").await?;
        anyhow::Ok((answer.status, answer.text()))
    };
    let nothing = (503, "no bundle is in effect\n".to_owned());
    assert_eq!(ready(&pod).await?, nothing);

    let whole = world.files("one", 3)?;
    let mut torn = whole.clone();
    torn.remove("envoy-0.json");
    // A question is answered when there is something to say.
    let asked = tokio::spawn(ask(pod.report, None));
    pod.mount(&torn)?;
    let expected = Answer { in_effect: None, not_taken: Some("bundle 3: part envoy-0 is missing".into()) };
    assert_eq!(asked.await??, expected);
    assert_eq!(ready(&pod).await?, nothing);
    assert!(TcpStream::connect(world.address).await.is_err());

    pod.mount(&whole)?;
    pod.until_ready().await?;
    let hash = hash(&whole)?;
    let in_effect = InEffect { counter: 3, hash: hash.clone(), late: None, refused: vec![] };
    assert_eq!(pod.answer().await?, Answer { in_effect: Some(in_effect), not_taken: None });
    assert_eq!(world.backend().await?, "one");

    let figures = pod.get("/metrics").await?.text();
    for line in ["bundles_total{source=\"mount\"} 1", "bundles_refused_total 1", "bundle 3", "bundle_late 0"]
    {
        assert!(figures.contains(&format!("gatewasm_agent_{line}\n")), "{line} is missing in\n{figures}");
    }

    // Without Envoy it is not ready, whatever is in effect.
    pod.kill_envoy().await?;
    assert_eq!(ready(&pod).await?, (503, "Envoy does not serve\n".to_owned()));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_question_about_the_next_bundle_is_answered_when_it_is_there() -> Result<()> {
    let world = World::new().await?;
    let mut pod = Pod::ready(&world.files("one", 1)?).await?;
    let known = pod.in_effect().await?;

    // Without news, after half a minute.
    let begin = Instant::now();
    assert_eq!(ask(pod.report, Some(known.clone())).await?.in_effect, Some(known.clone()));
    let took = begin.elapsed();
    assert!((29..35).contains(&took.as_secs()), "{took:?}");

    let asked = tokio::spawn(ask(pod.report, Some(known.clone())));
    let two = world.files("two", 2)?;
    pod.mount(&two)?;
    let news = asked.await??.in_effect;
    assert_eq!(news.map(|it| (it.counter, it.hash)), Some((2, hash(&two)?)));

    // The same content under another number is news as well, and nothing else is done about it.
    let asked = tokio::spawn(ask(pod.report, Some(pod.in_effect().await?)));
    pod.mount(&world.files("two", 5)?)?;
    let news = asked.await??.in_effect;
    assert_eq!(news.map(|it| (it.counter, it.hash)), Some((5, hash(&two)?)));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn each_of_a_hundred_changes_takes_effect_and_fails_no_request() -> Result<()> {
    let world = World::new().await?;
    let mut pod = Pod::ready(&world.files("one", 1)?).await?;
    let load = world.load();
    let mut took = Vec::new();
    for counter in 2..=101 {
        let backend = if counter % 2 == 0 { "two" } else { "one" };
        let files = world.files(backend, counter)?;
        let begin = Instant::now();
        pod.mount(&files)?;
        pod.until(&format!("change {counter}"), async || Ok(world.backend().await? == backend)).await?;
        took.push(begin.elapsed());
        assert_eq!(pod.until_in_effect(counter).await?.hash, hash(&files)?);
    }
    let seen = load.stop().await?;
    assert_no_failure(&seen, 1000);
    took.sort_unstable();
    println!(
        "a change, from the mount to the first new answer: median {:?}, longest {:?}",
        took[50], took[99]
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_a_whole_and_newer_bundle_changes_nothing() -> Result<()> {
    let world = World::new().await?;
    let good = world.files("one", 7)?;
    let mut pod = Pod::ready(&good).await?;
    let load = world.load();
    let older = world.files("two", 6)?;
    let next = world.files("two", 8)?;
    let with = |name: &str, text: &str| {
        let mut files = next.clone();
        files.insert(name.to_owned(), text.to_owned());
        files
    };
    let without = |name: &str| {
        let mut files = next.clone();
        files.remove(name);
        files
    };
    let routes = &next["routes-0.json"];
    let half = &routes[..routes.len() / 2];
    let mut flipped = routes.clone().into_bytes();
    flipped[half.len()] ^= 1;
    let flipped = String::from_utf8(flipped)?;
    let manifest = &next[Manifest::FILE];
    let version = manifest.replace("\"version\": 1", "\"version\": 2");
    let not_meant = "bundle 8: part routes-0 is not the one that the manifest names";
    let bad = [
        (without("routes-0.json"), "bundle 8: part routes-0 is missing"),
        (with("routes-0.json", half), not_meant),
        (with("routes-0.json", &flipped), not_meant),
        (with("routes-0.json", &good["routes-0.json"]), not_meant),
        (with("routes-0.json", ""), not_meant),
        (older, "bundle 6 is older than bundle 7, which was taken before"),
        (with(Manifest::FILE, &manifest[..manifest.len() / 2]), "not a manifest: EOF"),
        (with(Manifest::FILE, "{}"), "not a manifest: missing field `version`"),
        (with(Manifest::FILE, &version), "the manifest has version 2, and this build reads version 1"),
    ];
    let in_effect = pod.in_effect().await?;
    for (files, why) in bad {
        pod.mount(&files)?;
        let said = async || Ok(pod.answer().await?.not_taken.is_some_and(|said| said.starts_with(why)));
        pod.until(why, said).await?;
        assert_eq!(pod.in_effect().await?, in_effect, "{why}");
        assert_eq!(world.backend().await?, "one", "{why}");
        // Where the good one comes back, nothing is wrong any more.
        pod.mount(&good)?;
        pod.until("no complaint", async || Ok(pod.answer().await?.not_taken.is_none())).await?;
    }
    // No manifest is no news.
    pod.mount(&without(Manifest::FILE))?;
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(pod.answer().await?, Answer { in_effect: Some(in_effect), not_taken: None });

    // What was missing comes, by itself.
    pod.mount(&without("envoy-0.json"))?;
    pod.until("a complaint", async || Ok(pod.answer().await?.not_taken.is_some())).await?;
    pod.mount(&next)?;
    assert_eq!(pod.until_in_effect(8).await?.hash, hash(&next)?);
    assert_eq!(pod.answer().await?.not_taken, None);
    assert_eq!(world.backend().await?, "two");
    assert_no_failure(&load.stop().await?, 200);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn containers_that_are_started_again_serve_the_last_good_bundle() -> Result<()> {
    let world = World::new().await?;
    let good = world.files("one", 4)?;
    let mut pod = Pod::ready(&good).await?;
    let in_effect = pod.in_effect().await?;
    let updates = "(listener_manager.listener|cluster_manager.cluster)_(added|modified|removed)";
    let before = pod.admin().sum(updates).await?;

    // The agent alone: nobody notices, with the bundle mounted or without.
    let load = world.load();
    for files in [&good, &Files::new()] {
        pod.kill_agent().await?;
        pod.mount(files)?;
        tokio::time::sleep(Duration::from_millis(500)).await;
        let begin = Instant::now();
        pod.start_agent().await?;
        pod.until_ready().await?;
        println!("the agent, started again, is ready after {:?}", begin.elapsed());
        assert_eq!(pod.in_effect().await?, in_effect);
    }
    assert_eq!(pod.admin().sum(updates).await?, before);
    assert_no_failure(&load.stop().await?, 200);

    // What was taken before the crash is older by then; an older one is still refused.
    pod.mount(&world.files("two", 3)?)?;
    pod.until("a complaint", async || Ok(pod.answer().await?.not_taken.is_some())).await?;
    assert_eq!(pod.in_effect().await?, in_effect);
    pod.mount(&Files::new())?;

    // Envoy alone.
    pod.kill_envoy().await?;
    let begin = Instant::now();
    pod.start_envoy()?;
    pod.until_ready().await?;
    println!("Envoy, started again, serves after {:?}", begin.elapsed());
    assert_eq!(world.backend().await?, "one");
    assert_eq!(pod.in_effect().await?, in_effect);

    // Both, with nothing mounted.
    pod.kill_envoy().await?;
    pod.kill_agent().await?;
    pod.start_agent().await?;
    pod.start_envoy()?;
    pod.until_ready().await?;
    assert_eq!(world.backend().await?, "one");
    assert_eq!(pod.in_effect().await?, in_effect);

    // And it goes on from there.
    pod.mount(&world.files("two", 5)?)?;
    pod.until_in_effect(5).await?;
    assert_eq!(world.backend().await?, "two");
    Ok(())
}

/// Sends each connection to one of several addresses, as kube-proxy does.
struct Chooser {
    address: SocketAddr,
    chosen: Arc<AtomicUsize>,
}

impl Chooser {
    async fn start(targets: Vec<SocketAddr>) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let chosen = Arc::new(AtomicUsize::new(0));
        let choice = Arc::clone(&chosen);
        tokio::spawn(async move {
            while let Ok((mut client, _)) = listener.accept().await {
                let target = targets[choice.load(Ordering::Relaxed)];
                tokio::spawn(async move {
                    let mut server = TcpStream::connect(target).await?;
                    client.set_nodelay(true)?;
                    server.set_nodelay(true)?;
                    tokio::io::copy_bidirectional(&mut client, &mut server).await
                });
            }
        });
        Ok(Self { address, chosen })
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pod_that_drains_fails_no_request_and_says_when_it_is_done() -> Result<()> {
    let world = World::new().await?;
    let other = tools::free_address()?;
    let mut leaving = Pod::ready(&world.files("one", 1)?).await?;
    let staying = Pod::ready(&world.files_on(other, "two", 1)?).await?;
    let chooser = Chooser::start(vec![world.address, other]).await?;
    let load = load(chooser.address);
    until("requests", LIMIT, async || Ok(world.one.requests() > 200)).await?;

    let slow = Request::get("foo.example.com", "/foo?delay=2000");
    let address = world.address;
    let under_way = tokio::spawn(async move { slow.send(address).await });
    let report = leaving.report;
    let drained = tokio::spawn(async move { Request::get("agent", "/drained").send(report).await });
    let begin = Instant::now();
    let mut hook = leaving.drain()?;
    leaving.until("not ready", async || Ok(leaving.get("/ready").await?.status == 503)).await?;
    println!("a draining pod says so after {:?}", begin.elapsed());
    assert_eq!(leaving.get("/ready").await?.text(), "draining\n");
    // Whoever has not noticed is still served.
    while begin.elapsed() < Duration::from_millis(800) {
        assert_eq!(world.backend().await?, "one");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(!drained.is_finished());
    chooser.chosen.store(1, Ordering::Relaxed);

    let answer = drained.await??;
    assert_eq!((answer.status, answer.text().as_str()), (200, "drained\n"));
    let took = begin.elapsed();
    println!("drained after {took:?}");
    assert!((1..6).contains(&took.as_secs()), "{took:?}");
    // What was under way was waited for.
    assert!(under_way.is_finished());
    assert_eq!(under_way.await??.status, 200);
    ensure!(hook.wait(LIMIT).await?.success(), "{}", hook.output());
    // Asked again, it is done.
    assert_eq!(leaving.get("/drained").await?.status, 200);
    leaving.kill_envoy().await?;
    leaving.kill_agent().await?;

    let before = world.two.requests();
    until("requests", LIMIT, async || Ok(world.two.requests() > before + 200)).await?;
    assert_no_failure(&load.stop().await?, 400);
    assert_eq!(staying.get("/ready").await?.status, 200);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_is_idle_holds_up_no_drain() -> Result<()> {
    let world = World::new().await?;
    let pod = Pod::ready(&world.files("one", 1)?).await?;
    let mut idle = Connection::open(world.address, None).await?;
    assert_eq!(idle.send(&get()).await?.status, 200);
    let begin = Instant::now();
    let mut hook = pod.drain()?;
    ensure!(hook.wait(LIMIT).await?.success(), "{}", hook.output());
    let took = begin.elapsed();
    println!("drained of an idle connection after {took:?}");
    assert!((10..20).contains(&took.as_secs()), "{took:?}");
    // It was not cut, and is told to end when it is used.
    let answer = idle.send(&get()).await?;
    assert_eq!((answer.status, answer.headers.get("connection").map(String::as_str)), (200, Some("close")));
    Ok(())
}
