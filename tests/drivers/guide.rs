//! The guide, manifests/examples/guide, step by step on a real Envoy.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use gatewasm_tests::client::Request;
use gatewasm_tests::echo::Echo;
use gatewasm_tests::load::{self, Load};
use gatewasm_tests::process::Process;
use gatewasm_tests::tools;
use rustix::process::Signal;
use tempfile::TempDir;

const READY: Duration = Duration::from_secs(60);

/// The guide, running on a copy of its folder.
struct Guide {
    folder: PathBuf,
    ready: PathBuf,
    gateway: Process,
    _backends: [Echo; 3],
    _work: TempDir,
}

impl Guide {
    async fn start() -> Result<Self> {
        let work = tempfile::tempdir()?;
        let folder = work.path().join("guide");
        fs::create_dir_all(folder.join("steps"))?;
        for part in ["", "steps"] {
            for file in fs::read_dir(tools::repository().join("manifests/examples/guide").join(part))? {
                let file = file?;
                if file.file_type()?.is_file() {
                    fs::copy(file.path(), folder.join(part).join(file.file_name()))?;
                }
            }
        }
        let backends =
            [Echo::start("foo-v1").await?, Echo::start("foo-v2").await?, Echo::start("bar").await?];
        let [foo_v1, foo_v2, bar] = &backends;
        let ready = work.path().join("ready.json");
        let mut command = tokio::process::Command::new(tools::gatewasm()?);
        command
            .env("ENVOY_PATH", tools::envoy()?)
            .args(["run", "--concurrency", "2", "-f"])
            .arg(&folder)
            .arg("--ready-file")
            .arg(&ready)
            .args(["--backend", &format!("foo-ns/foo-v1={}", foo_v1.address)])
            .args(["--backend", &format!("foo-ns/foo-v2={}", foo_v2.address)])
            .args(["--backend", &format!("bar-ns/bar={}", bar.address)]);
        let mut gateway = Process::spawn(command)?;
        gateway.wait_for_file(&ready, READY).await?;
        Ok(Self { folder, ready, gateway, _backends: backends, _work: work })
    }

    /// Puts a later version of a file into effect, as `cp` does, and waits until it is.
    async fn step(&mut self, step: &str, file: &str, done: impl AsyncFn() -> Result<bool>) -> Result<()> {
        fs::copy(self.folder.join("steps").join(step), self.folder.join(file))?;
        until(done).await.with_context(|| format!("{step}; printed:\n{}", self.gateway.output()))
    }

    fn address(&self, listener: &str) -> Result<SocketAddr> {
        let ready: serde_json::Value = serde_json::from_slice(&fs::read(&self.ready)?)?;
        let found = ready["listeners"]
            .as_array()
            .and_then(|all| all.iter().find(|one| one["listener"] == listener))
            .with_context(|| format!("listener {listener:?} in {ready}"))?;
        ensure!(found["namespace"] == "infra" && found["name"] == "web", "Gateway of {found}");
        let address = found["address"].as_str().context("address")?;
        let port = found["port"].as_u64().context("port")?;
        Ok(format!("{address}:{port}").parse()?)
    }

    async fn stop(mut self) -> Result<()> {
        self.gateway.signal(Signal::TERM)?;
        let status = self.gateway.wait(Duration::from_secs(60)).await?;
        ensure!(status.success(), "ended with {status}; printed:\n{}", self.gateway.output());
        Ok(())
    }
}

async fn until(done: impl AsyncFn() -> Result<bool>) -> Result<()> {
    let end = Instant::now() + Duration::from_secs(20);
    loop {
        let last = done().await;
        if matches!(last, Ok(true)) {
            return Ok(());
        }
        ensure!(Instant::now() < end, "not in effect after 20 seconds: {last:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
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

fn self_signed(folder: &Path) -> Result<String> {
    let (key, certificate) = (folder.join("web.key"), folder.join("web.crt"));
    let status = Command::new("openssl")
        .args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "30", "-subj", "/CN=*.example.com"])
        .args([
            "-addext",
            "subjectAltName=DNS:*.example.com",
            "-addext",
            "basicConstraints=CA:FALSE",
            "-keyout",
        ])
        .arg(&key)
        .arg("-out")
        .arg(&certificate)
        .stderr(std::process::Stdio::null())
        .status()?;
    ensure!(status.success(), "openssl: {status}");
    let encoded = |path: &Path| -> Result<String> {
        let output = Command::new("base64").arg("-w0").arg(path).output()?;
        Ok(String::from_utf8(output.stdout)?)
    };
    let secret = format!(
        "apiVersion: v1\nkind: Secret\nmetadata: {{namespace: infra, name: web-certificate}}\n\
         type: kubernetes.io/tls\ndata:\n  tls.crt: {}\n  tls.key: {}\n",
        encoded(&certificate)?,
        encoded(&key)?
    );
    fs::write(folder.join("certificate.yaml"), secret)?;
    Ok(fs::read_to_string(&certificate)?)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_guide_holds_from_the_first_step_to_the_last() -> Result<()> {
    let mut guide = Guide::start().await?;
    let http = guide.address("http")?;
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
    guide.step("foo-80-20.yaml", "foo.yaml", async || Ok(share_of_v2(http, 200).await? > 1.0)).await?;
    let share = share_of_v2(http, 20_000).await?;
    assert!((18.0..=22.0).contains(&share), "foo-v2 got {share} % instead of 20 %");
    assert_eq!(backend(http, &canary).await?, "foo-v2");
    guide.step("foo-0-100.yaml", "foo.yaml", async || Ok(share_of_v2(http, 200).await? > 99.9)).await?;
    let share = share_of_v2(http, 20_000).await?;
    assert!(share > 99.999, "foo-v2 got {share} % instead of 100 %");
    let seen = load.stop().await?;
    assert_eq!(seen.failures(), 0, "{seen:?}");
    assert_eq!(seen.connects, 4, "connections were drained: {seen:?}");
    assert!(seen.backends.contains_key("foo-v1") && seen.backends.contains_key("foo-v2"), "{seen:?}");

    // 3. A route whose hostname does not intersect is not attached, and says why.
    fs::copy(guide.folder.join("steps/stray.yaml"), guide.folder.join("stray.yaml"))?;
    guide.gateway.wait_for_output("NoMatchingListenerHostname", Duration::from_secs(20)).await?;
    assert_eq!(Request::get("stray.example.org", "/").send(http).await?.status, 404);
    assert_eq!(backend(http, &foo).await?, "foo-v2");
    fs::remove_file(guide.folder.join("stray.yaml"))?;

    // 4. HTTPS, while the cleartext listener goes on.
    let load = Load::start(http, &foo, 2, Duration::from_millis(1));
    let root = self_signed(&guide.folder)?;
    fs::copy(guide.folder.join("steps/foo-https.yaml"), guide.folder.join("foo.yaml"))?;
    fs::copy(guide.folder.join("steps/gateway-https.yaml"), guide.folder.join("gateway.yaml"))?;
    until(async || Ok(guide.address("https").is_ok())).await?;
    let https = guide.address("https")?;
    until(async || Ok(foo.send_tls(https, "foo.example.com", &root).await?.status == 200)).await?;
    let answer = foo.send_tls(https, "foo.example.com", &root).await?;
    assert_eq!(answer.echoed()?.backend, "foo-v2");
    let seen = load.stop().await?;
    assert_eq!((seen.failures(), seen.connects), (0, 2), "{seen:?}");

    guide.stop().await
}

#[test]
fn routes_shows_what_is_programmed() -> Result<()> {
    let output = Command::new(tools::gatewasm()?)
        .args(["routes", "-f"])
        .arg(tools::repository().join("manifests/examples/guide"))
        .output()?;
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
