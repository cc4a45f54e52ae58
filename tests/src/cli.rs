//! The binary's commands that end by themselves, run on manifests as a user runs them.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use tempfile::TempDir;

use crate::certificate::Certificate;
use crate::tools;

/// A Gateway with HTTP and HTTPS, a route with a canary by header, and backends without endpoints. The Secret is added
/// by [`manifests()`].
pub const MANIFESTS: &str = r#"
apiVersion: gateway.networking.k8s.io/v1
kind: GatewayClass
metadata: {name: gatewasm}
spec: {controllerName: gatewasm.dev/controller}
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: web, namespace: infra}
spec:
  gatewayClassName: gatewasm
  listeners:
  - {name: http, port: 80, protocol: HTTP, hostname: "*.example.com"}
  - name: https
    port: 443
    protocol: HTTPS
    hostname: "*.example.com"
    tls: {certificateRefs: [{name: web}]}
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: shop, namespace: infra}
spec:
  parentRefs: [{name: web}]
  hostnames: [shop.example.com]
  rules:
  - matches:
    - path: {value: /cart}
      headers: [{name: env, value: canary}]
    backendRefs: [{name: cart-v2, port: 80}]
  - matches: [{path: {value: /cart}}]
    backendRefs: [{name: cart, port: 80, weight: 9}, {name: cart-v2, port: 80, weight: 1}]
---
apiVersion: v1
kind: Service
metadata: {name: cart, namespace: infra}
spec: {ports: [{port: 80}]}
---
apiVersion: v1
kind: Service
metadata: {name: cart-v2, namespace: infra}
spec: {ports: [{port: 80}]}
"#;

/// A Gateway with TLS that passes through, TCP and UDP, and for each more routes than can have it. Services have no
/// endpoints, and one backend is missing.
pub const STREAMS: &str = r#"
apiVersion: gateway.networking.k8s.io/v1
kind: GatewayClass
metadata: {name: gatewasm}
spec: {controllerName: gatewasm.dev/controller}
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: l4, namespace: infra}
spec:
  gatewayClassName: gatewasm
  listeners:
  - {name: tls, port: 443, protocol: TLS, hostname: "*.example.com", tls: {mode: Passthrough}}
  - {name: special, port: 443, protocol: TLS, hostname: special.example.com, tls: {mode: Passthrough}}
  - {name: postgres, port: 5432, protocol: TCP}
  - {name: nobody, port: 5433, protocol: TCP}
  - {name: dns, port: 53, protocol: UDP}
---
apiVersion: gateway.networking.k8s.io/v1
kind: TLSRoute
metadata: {name: exact, namespace: infra, creationTimestamp: "2026-01-01T00:00:00Z"}
spec:
  parentRefs: [{name: l4, sectionName: tls}]
  hostnames: [a.example.com]
  rules: [{backendRefs: [{name: db, port: 5432}]}]
---
apiVersion: gateway.networking.k8s.io/v1
kind: TLSRoute
metadata: {name: exact-late, namespace: infra, creationTimestamp: "2026-01-02T00:00:00Z"}
spec:
  parentRefs: [{name: l4, sectionName: tls}]
  hostnames: [a.example.com, b.example.com, special.example.com]
  rules: [{backendRefs: [{name: db, port: 5432}]}]
---
apiVersion: gateway.networking.k8s.io/v1
kind: TLSRoute
metadata: {name: wildcard, namespace: infra}
spec:
  parentRefs: [{name: l4, sectionName: tls}]
  hostnames: ["*.example.com"]
  rules: [{backendRefs: [{name: db, port: 5432}]}]
---
apiVersion: gateway.networking.k8s.io/v1
kind: TCPRoute
metadata: {name: db, namespace: infra, creationTimestamp: "2026-01-01T00:00:00Z"}
spec:
  parentRefs: [{name: l4, sectionName: postgres}]
  rules: [{backendRefs: [{name: db, port: 5432, weight: 3}, {name: gone, port: 5432, weight: 1}]}]
---
apiVersion: gateway.networking.k8s.io/v1
kind: TCPRoute
metadata: {name: db-late, namespace: infra, creationTimestamp: "2026-01-02T00:00:00Z"}
spec:
  parentRefs: [{name: l4, sectionName: postgres}]
  rules: [{backendRefs: [{name: db, port: 5432}]}]
---
apiVersion: gateway.networking.k8s.io/v1
kind: UDPRoute
metadata: {name: dns, namespace: infra}
spec:
  parentRefs: [{name: l4, sectionName: dns}]
  rules: [{backendRefs: [{name: dns, port: 53}]}]
---
apiVersion: v1
kind: Service
metadata: {name: db, namespace: infra}
spec: {ports: [{port: 5432}]}
---
apiVersion: v1
kind: Service
metadata: {name: dns, namespace: infra}
spec: {ports: [{port: 53, protocol: UDP}]}
"#;

/// `--backend` for both Services.
pub const BACKENDS: [&str; 4] =
    ["--backend", "infra/cart=127.0.0.1:9001", "--backend", "infra/cart-v2=127.0.0.1:9002"];

/// The manifests with their certificate, in a file; and the certificate.
///
/// # Errors
///
/// Fails when they cannot be written.
pub fn manifests() -> Result<(TempDir, String)> {
    let certificate = Certificate::self_signed(["shop.example.com"])?;
    let folder = tempfile::tempdir()?;
    std::fs::write(
        folder.path().join("in.yaml"),
        format!("{MANIFESTS}---\n{}\n", certificate.secret("web")),
    )?;
    Ok((folder, certificate.chain))
}

/// Runs the binary with `input` as its standard input.
///
/// # Errors
///
/// Fails when it cannot be run.
pub fn gatewasm<'a>(input: &str, arguments: impl IntoIterator<Item = &'a str>) -> Result<Output> {
    let mut command = Command::new(tools::gatewasm()?);
    // Whoever runs the tests may have a cluster, which is not to be asked.
    command.args(arguments).env("KUBECONFIG", "/nowhere");
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn()?;
    // A command that reads no input may have ended before.
    let _ = child.stdin.take().context("stdin")?.write_all(input.as_bytes());
    Ok(child.wait_with_output()?)
}

/// Runs the binary on the manifests and expects the exit code.
///
/// # Errors
///
/// Fails when it cannot be run, or ends otherwise.
pub fn on(folder: &Path, code: i32, command: &str, arguments: &[&str]) -> Result<Output> {
    let path = folder.join("in.yaml");
    let all = [command, "-f", path.to_str().context("path")?].into_iter().chain(arguments.iter().copied());
    let output = gatewasm("", all)?;
    ensure!(
        output.status.code() == Some(code),
        "{command} {arguments:?}: {}\n{}\n{}",
        output.status,
        stdout(&output),
        stderr(&output)
    );
    Ok(output)
}

/// What it wrote to its standard output.
pub fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// What it wrote to its standard error.
pub fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// What it wrote to its standard output, as JSON.
///
/// # Errors
///
/// Fails when it is none.
pub fn json_of(output: &Output) -> Result<Value> {
    serde_json::from_slice(&output.stdout).with_context(|| stdout(output))
}
