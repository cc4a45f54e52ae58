//! `gatewasm render` as a user meets it: what it writes is what Envoy and Kubernetes take.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use gatewasm_tests::cli::{BACKENDS, manifests, on, stderr};
use gatewasm_tests::client::Request;
use gatewasm_tests::echo::Echo;
use gatewasm_tests::process::Process;
use gatewasm_tests::tools;
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use serde::de::DeserializeOwned;
use serde_json::Value;
use tempfile::TempDir;

/// An Envoy that `render`'s folder is for: addresses that are free here.
struct Rendered {
    folder: TempDir,
    http: SocketAddr,
    https: SocketAddr,
    root: String,
}

fn rendered(arguments: &[&str]) -> Result<Rendered> {
    let (folder, root) = manifests()?;
    let (offset, admin) = (free_offset(&[80, 443])?, free_offset(&[0, 1])?.to_string());
    let out = folder.path().join("out");
    let settings = [
        "-o",
        out.to_str().context("path")?,
        "--address",
        "127.0.0.1",
        "--port-offset",
        &offset.to_string(),
        "--admin-port",
        &admin,
    ];
    on(folder.path(), 0, "render", &[&settings[..], arguments].concat())?;
    let address = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port + offset));
    Ok(Rendered { http: address(80), https: address(443), folder, root })
}

/// A number by which all these ports can be moved up to ports that are free.
fn free_offset(ports: &[u16]) -> Result<u16> {
    for _ in 0..100 {
        let offset = tools::free_port()? - 500;
        if ports.iter().all(|port| tools::hold(offset + port)) {
            return Ok(offset);
        }
    }
    anyhow::bail!("no free ports for {ports:?}")
}

#[tokio::test]
async fn stock_envoy_runs_the_rendered_folder() -> Result<()> {
    let (cart, canary) = (Echo::start("cart").await?, Echo::start("cart-v2").await?);
    // By name, so that Envoy asks DNS, and by address.
    let cart_flag = format!("infra/cart=localhost:{}", cart.address.port());
    let canary_flag = format!("infra/cart-v2={}", canary.address);
    let rendered = rendered(&["--access-log", "--backend", &cart_flag, "--backend", &canary_flag])?;
    let bootstrap = rendered.folder.path().join("out/bootstrap.yaml");
    let bootstrap = bootstrap.to_str().context("path")?;
    let envoy = tools::envoy()?;

    let validated = Command::new(&envoy).args(["--mode", "validate", "-c", bootstrap]).output()?;
    ensure!(validated.status.success(), "{}", stderr(&validated));

    let arguments =
        ["-c", bootstrap, "--concurrency", "1", "--disable-hot-restart", "--log-level", "warning"];
    let envoy = Process::start(&envoy, &arguments)?;
    let request = Request::get("shop.example.com", "/cart").header("env", "canary");
    let answers = async || Ok(request.send(rendered.http).await.map(|_| true)?);
    envoy.until("an answer", Duration::from_secs(30), answers).await?;
    let answer = request.send(rendered.http).await?;
    assert_eq!((answer.status, answer.echoed()?.backend.as_str()), (200, "cart-v2"), "{}", envoy.output());
    let answer = request.send_tls(rendered.https, "shop.example.com", &rendered.root).await?;
    assert_eq!((answer.status, answer.echoed()?.backend.as_str()), (200, "cart-v2"));
    let mut seen = BTreeMap::<String, u32>::new();
    for _ in 0..100 {
        let answer = Request::get("shop.example.com", "/cart").send(rendered.http).await?;
        *seen.entry(answer.echoed()?.backend).or_default() += 1;
    }
    assert!(seen["cart"] > seen["cart-v2"], "{seen:?}");
    assert_eq!(Request::get("other.example.com", "/cart").send(rendered.http).await?.status, 404);
    Ok(())
}

#[test]
fn rendered_keys_are_kept_from_others() -> Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    let rendered = rendered(&BACKENDS)?;
    for file in ["out/sds.infra.web.yaml", "out/kubernetes/secret-certificates.yaml"] {
        let mode = std::fs::metadata(rendered.folder.path().join(file))?.permissions().mode();
        assert_eq!(mode & 0o077, 0, "{file}: {mode:o}");
    }
    Ok(())
}

#[test]
fn what_is_no_longer_rendered_is_removed() -> Result<()> {
    let rendered = rendered(&BACKENDS)?;
    let out = rendered.folder.path().join("out");
    let input = rendered.folder.path().join("in.yaml");
    let text = std::fs::read_to_string(&input)?;
    let (before, rest) = text.split_once("  - name: https").context("https")?;
    let (_, after) = rest.split_once("---").context("end of the Gateway")?;
    std::fs::write(&input, format!("{before}---{after}"))?;
    std::fs::write(out.join("notes.yaml"), "mine")?;
    on(
        rendered.folder.path(),
        0,
        "render",
        &[&BACKENDS[..], &["-o", out.to_str().context("path")?]].concat(),
    )?;
    for file in ["sds.infra.web.yaml", "kubernetes/secret-certificates.yaml"] {
        assert!(!out.join(file).exists(), "{file}");
    }
    assert!(out.join("notes.yaml").exists() && out.join("lds.yaml").exists());
    Ok(())
}

#[test]
fn kubernetes_takes_the_rendered_objects_and_they_make_the_folder() -> Result<()> {
    let rendered = rendered(&[&BACKENDS[..], &["--mount", "/etc/gatewasm"]].concat())?;
    let out = rendered.folder.path().join("out");
    let mut mounted = BTreeMap::<String, Vec<u8>>::new();
    let mut names = Vec::new();
    for entry in std::fs::read_dir(out.join("kubernetes"))? {
        let text = std::fs::read_to_string(entry?.path())?;
        let object: Value = serde_saphyr::from_str(&text)?;
        assert_eq!(object["apiVersion"], "v1");
        let (metadata, parts) = match object["kind"].as_str() {
            Some("ConfigMap") => {
                let map: ConfigMap = strictly(object.clone())?;
                let text = map.data.unwrap_or_default().into_iter().map(|(name, it)| (name, it.into_bytes()));
                let binary = map.binary_data.unwrap_or_default().into_iter().map(|(name, it)| (name, it.0));
                (map.metadata, text.chain(binary).collect::<Vec<_>>())
            }
            Some("Secret") => {
                let secret: Secret = strictly(object.clone())?;
                let text = secret.string_data.unwrap_or_default().into_iter();
                (secret.metadata, text.map(|(name, it)| (name, it.into_bytes())).collect())
            }
            other => anyhow::bail!("a {other:?}"),
        };
        let name = metadata.name.context("name")?;
        assert_eq!(metadata.namespace.as_deref(), Some("infra"));
        assert!(is_subdomain(&name), "{name}");
        // The limit of Kubernetes: the sum of the values (validation.ValidateConfigMap).
        assert!(
            parts.iter().map(|(_, bytes)| bytes.len()).sum::<usize>() <= 1024 * 1024,
            "{name} is too large"
        );
        for (key, bytes) in parts {
            assert!(
                key.len() <= 253
                    && key.chars().all(|char| char.is_ascii_alphanumeric() || "-._".contains(char)),
                "{key}"
            );
            assert!(mounted.insert(key.clone(), bytes).is_none(), "{key} stands in two objects");
        }
        names.push(name);
    }
    names.sort();
    assert_eq!(names, ["web-certificates", "web-envoy", "web-filter", "web-routes"]);

    // Mounted together they are the folder that Envoy runs here, but for the path in it.
    let mut folder = BTreeMap::new();
    for entry in std::fs::read_dir(&out)? {
        let entry = entry?;
        let name = entry.file_name().into_string().ok().context("name")?;
        if entry.file_type()?.is_file() && name != "filter.json" {
            folder.insert(name, std::fs::read(entry.path())?);
        }
    }
    let here = out.canonicalize()?;
    let here = here.to_str().context("path")?;
    assert_eq!(mounted.keys().collect::<Vec<_>>(), folder.keys().collect::<Vec<_>>());
    for (name, bytes) in &folder {
        let there = match std::str::from_utf8(bytes) {
            Ok(text) => text.replace(here, "/etc/gatewasm").into_bytes(),
            Err(_) => bytes.clone(),
        };
        assert!(there == mounted[name], "{name} differs");
    }
    Ok(())
}

/// Reads an object as Kubernetes' API server does with `fieldValidation=Strict`: no field that the schema lacks.
fn strictly<T: DeserializeOwned>(object: Value) -> Result<T> {
    let mut unknown = Vec::new();
    let read = serde_ignored::deserialize(object, |path| unknown.push(path.to_string()))?;
    ensure!(unknown.is_empty(), "unknown fields: {unknown:?}");
    Ok(read)
}

/// RFC 1123 subdomain, what names of ConfigMaps and Secrets must be.
fn is_subdomain(name: &str) -> bool {
    let alphanumeric = |char: char| char.is_ascii_lowercase() || char.is_ascii_digit();
    name.len() <= 253
        && name.split('.').all(|label| {
            label.starts_with(alphanumeric)
                && label.ends_with(alphanumeric)
                && label.chars().all(|char| alphanumeric(char) || char == '-')
        })
}
