//! The guide, manifests/examples/guide, step by step on a real Envoy.

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use gatewasm_tests::client::Request;
use gatewasm_tests::echo::Echo;
use gatewasm_tests::load::{self, Load};
use gatewasm_tests::running::Running;
use gatewasm_tests::tools;

/// A saved file is in effect within this time.
const LIMIT: Duration = Duration::from_secs(20);

fn folder() -> PathBuf {
    tools::repository().join("manifests/examples/guide")
}

/// Puts a later version of a file into effect, as `cp` does, and waits until it is.
async fn step<F: Future<Output = Result<bool>>>(
    running: &Running,
    step: &str,
    file: &str,
    done: impl Fn() -> F,
) -> Result<()> {
    fs::copy(folder().join("steps").join(step), running.manifests().join(file))?;
    running.process.until(step, LIMIT, done).await
}

async fn backend(address: SocketAddr, request: &Request) -> Result<String> {
    let answer = request.send(address).await?;
    ensure!(answer.status == 200, "status {}: {}", answer.status, answer.text());
    Ok(answer.echoed()?.backend)
}

/// The share of foo-v2 among `count` requests, in percent; all must be answered 200.
async fn share_of_v2(address: SocketAddr, count: u64) -> Result<f64> {
    let seen = load::send(address, &Request::get("foo.example.com", "/foo"), 8, count).await?;
    ensure!(seen.answers() == count && seen.failures() == 0, "{seen:?}");
    let v2 = seen.backends.get("foo-v2").copied().unwrap_or(0);
    Ok(100.0 * f64::from(u32::try_from(v2)?) / f64::from(u32::try_from(count)?))
}

/// Makes the certificate and its Secret by the README's own commands; returns the certificate.
fn certificate(running: &Running) -> Result<String> {
    let readme = fs::read_to_string(folder().join("README.md"))?;
    let (_, section) = readme.split_once("## 5. HTTPS").context("section 5")?;
    let block = section.split("```").nth(1).context("commands")?;
    let commands = block.strip_prefix("sh\n").context("commands for a shell")?;
    let (commands, _) = commands.split_once("\ncp ").context("what follows the certificate")?;
    let work = tempfile::tempdir()?;
    let (manifests, folder) = (running.manifests(), work.path().display());
    let commands = commands
        .replace("/tmp/web.", &format!("{folder}/web."))
        .replace("/tmp/guide/", &format!("{}/", manifests.display()));
    let output = Command::new("bash").args(["-euc", &commands]).output()?;
    ensure!(output.status.success(), "{commands}\n{}", String::from_utf8_lossy(&output.stderr));
    Ok(fs::read_to_string(work.path().join("web.crt"))?)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_guide_holds_from_the_first_step_to_the_last() -> Result<()> {
    let backends = [Echo::start("foo-v1").await?, Echo::start("foo-v2").await?, Echo::start("bar").await?];
    let flags = ["foo-ns/foo-v1", "foo-ns/foo-v2", "bar-ns/bar"].iter().zip(&backends);
    let flags: Vec<String> =
        flags.map(|(service, backend)| format!("--backend={service}={}", backend.address)).collect();
    let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
    let running = Running::start_with_copy_of(&folder(), &flags).await?;
    let http = running.address("infra/web", "http")?;
    let foo = Request::get("foo.example.com", "/foo");
    let canary = foo.clone().header("env", "canary");

    // 1. Routes and the canary.
    assert_eq!(backend(http, &foo).await?, "foo-v1");
    assert_eq!(backend(http, &canary).await?, "foo-v2");
    assert_eq!(backend(http, &Request::get("bar.example.com", "/bar/x")).await?, "bar");
    assert_eq!(Request::get("bar.example.com", "/foo").send(http).await?.status, 404);
    assert_eq!(Request::get("foo.example.com", "/foobar").send(http).await?.status, 404);
    assert_eq!(Request::get("foo.example.org", "/foo").send(http).await?.status, 404);

    // 2. Weights: 80/20, then 0/100, under load that must not notice.
    let load = Load::start(http, &foo, 4, Duration::from_millis(1));
    step(&running, "foo-80-20.yaml", "foo.yaml", async || Ok(share_of_v2(http, 200).await? > 1.0)).await?;
    let share = share_of_v2(http, 20_000).await?;
    assert!((18.0..=22.0).contains(&share), "foo-v2 got {share} % instead of 20 %");
    assert_eq!(backend(http, &canary).await?, "foo-v2");
    step(&running, "foo-0-100.yaml", "foo.yaml", async || Ok(share_of_v2(http, 200).await? > 99.9)).await?;
    let share = share_of_v2(http, 20_000).await?;
    assert!(share > 99.999, "foo-v2 got {share} % instead of 100 %");
    let seen = load.stop().await?;
    assert_eq!(seen.failures(), 0, "{seen:?}");
    assert_eq!(seen.connects, 4, "connections were drained: {seen:?}");
    assert!(seen.backends.contains_key("foo-v1") && seen.backends.contains_key("foo-v2"), "{seen:?}");

    // 3. A route whose hostname does not intersect is not attached, and says why.
    let named = async || Ok(running.process.output().contains("NoMatchingListenerHostname"));
    step(&running, "stray.yaml", "stray.yaml", named).await?;
    assert_eq!(Request::get("stray.example.org", "/").send(http).await?.status, 404);
    assert_eq!(backend(http, &foo).await?, "foo-v2");
    fs::remove_file(running.manifests().join("stray.yaml"))?;

    // 4. HTTPS, while the cleartext listener goes on.
    let load = Load::start(http, &foo, 2, Duration::from_millis(1));
    let root = certificate(&running)?;
    fs::copy(folder().join("steps/foo-https.yaml"), running.manifests().join("foo.yaml"))?;
    let served = async || running.address("infra/web", "https").map(|_| true);
    step(&running, "gateway-https.yaml", "gateway.yaml", served).await?;
    let https = running.address("infra/web", "https")?;
    let answered = async || Ok(foo.send_tls(https, "foo.example.com", &root).await?.status == 200);
    running.process.until("an answer over TLS", LIMIT, answered).await?;
    let answer = foo.send_tls(https, "foo.example.com", &root).await?;
    assert_eq!(answer.echoed()?.backend, "foo-v2");
    let seen = load.stop().await?;
    assert_eq!((seen.failures(), seen.connects), (0, 2), "{seen:?}");

    running.stop().await
}

#[test]
fn routes_shows_what_is_programmed() -> Result<()> {
    let output = Command::new(tools::gatewasm()?).args(["routes", "-f"]).arg(folder()).output()?;
    let text = String::from_utf8(output.stdout)?;
    let rows: Vec<Vec<&str>> = text.lines().map(|line| line.split_whitespace().collect()).collect();
    let expected = [
        "infra/web/http foo.example.com PathPrefix /foo header env=canary HTTPRoute foo-ns/foo rules[0].matches[0] foo-ns/foo-v2/8080",
        "infra/web/http foo.example.com PathPrefix /foo - HTTPRoute foo-ns/foo rules[1].matches[0] foo-ns/foo-v1/8080",
        "infra/web/http bar.example.com PathPrefix /bar - HTTPRoute bar-ns/bar rules[0].matches[0] bar-ns/bar/8080",
    ];
    let found: Vec<String> = rows.iter().skip(1).map(|row| row.join(" ")).collect();
    let mut sorted = found.clone();
    sorted.sort();
    let mut wanted = expected.map(str::to_owned).to_vec();
    wanted.sort();
    assert_eq!(sorted, wanted);
    // Of the two that match the same path, the canary comes first.
    let place = |text: &str| found.iter().position(|row| row == text);
    assert!(place(expected[0]) < place(expected[1]));
    Ok(())
}
