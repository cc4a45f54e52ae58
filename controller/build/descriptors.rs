//! The protocol buffer descriptors of the Envoy resources that we write, cut out of the full set that the crate
//! `envoy-types` ships beside its sources. They let `xds` turn JSON into wire bytes, and refuse unknown fields.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::process::Command;
use std::{env, fs};

use anyhow::{Context, Result, ensure};
use prost::Message as _;
use prost_types::{FileDescriptorProto, FileDescriptorSet};

/// The files whose messages stand in our resources; what they import comes along.
const ROOTS: &[&str] = &[
    "envoy/config/cluster/v3/cluster.proto",
    "envoy/config/core/v3/extension.proto",
    "envoy/config/endpoint/v3/endpoint.proto",
    "envoy/config/listener/v3/listener.proto",
    "envoy/config/route/v3/route.proto",
    "envoy/extensions/access_loggers/stream/v3/stream.proto",
    "envoy/extensions/filters/http/header_mutation/v3/header_mutation.proto",
    "envoy/extensions/filters/http/router/v3/router.proto",
    "envoy/extensions/filters/http/stateful_session/v3/stateful_session.proto",
    "envoy/extensions/filters/http/upstream_codec/v3/upstream_codec.proto",
    "envoy/extensions/filters/http/wasm/v3/wasm.proto",
    "envoy/extensions/filters/listener/tls_inspector/v3/tls_inspector.proto",
    "envoy/extensions/filters/network/direct_response/v3/config.proto",
    "envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager.proto",
    "envoy/extensions/filters/network/tcp_proxy/v3/tcp_proxy.proto",
    "envoy/extensions/filters/udp/udp_proxy/v3/route.proto",
    "envoy/extensions/filters/udp/udp_proxy/v3/udp_proxy.proto",
    "envoy/extensions/http/early_header_mutation/header_mutation/v3/header_mutation.proto",
    "envoy/extensions/http/stateful_session/header/v3/header.proto",
    "envoy/extensions/retry/host/previous_hosts/v3/previous_hosts.proto",
    "envoy/extensions/transport_sockets/quic/v3/quic_transport.proto",
    "envoy/extensions/transport_sockets/tls/v3/tls.proto",
    "envoy/extensions/upstreams/http/v3/http_protocol_options.proto",
    "envoy/service/discovery/v3/discovery.proto",
    "envoy/type/matcher/v3/http_inputs.proto",
    "google/protobuf/wrappers.proto",
];

/// Writes `$OUT_DIR/envoy.descriptors.bin`.
pub(crate) fn write() -> Result<()> {
    println!("cargo::rerun-if-changed=build/descriptors.rs");
    let source = package_folder("envoy-types")?.join("src/generated/types.bin");
    println!("cargo::rerun-if-changed={}", source.display());
    let bytes = fs::read(&source).with_context(|| format!("read {}", source.display()))?;
    let all = FileDescriptorSet::decode(bytes.as_slice()).context("decode the descriptors of envoy-types")?;
    let pruned = prune(all)?;
    let target = PathBuf::from(env::var_os("OUT_DIR").context("OUT_DIR")?).join("envoy.descriptors.bin");
    fs::write(&target, pruned.encode_to_vec()).with_context(|| format!("write {}", target.display()))
}

/// Keeps the roots and everything they import, without comments and positions.
fn prune(all: FileDescriptorSet) -> Result<FileDescriptorSet> {
    let mut files: BTreeMap<String, FileDescriptorProto> =
        all.file.into_iter().map(|file| (file.name().to_owned(), file)).collect();
    let mut wanted: Vec<String> = ROOTS.iter().map(ToString::to_string).collect();
    let mut seen = BTreeSet::new();
    let mut kept = Vec::new();
    while let Some(name) = wanted.pop() {
        if !seen.insert(name.clone()) {
            continue;
        }
        let mut file = files.remove(&name).with_context(|| format!("envoy-types has no {name}"))?;
        wanted.extend(file.dependency.iter().cloned());
        file.source_code_info = None;
        kept.push(file);
    }
    kept.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(FileDescriptorSet { file: kept })
}

/// Where cargo keeps the sources of the dependency `name`.
fn package_folder(name: &str) -> Result<PathBuf> {
    let cargo = env::var_os("CARGO").context("CARGO")?;
    let manifest = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").context("CARGO_MANIFEST_DIR")?);
    let output = Command::new(cargo)
        .args(["metadata", "--format-version=1", "--locked", "--filter-platform"])
        .arg(env::var_os("TARGET").context("TARGET")?)
        .arg("--manifest-path")
        .arg(manifest.join("Cargo.toml"))
        .output()
        .context("run cargo metadata")?;
    ensure!(output.status.success(), "cargo metadata: {}", String::from_utf8_lossy(&output.stderr));
    let metadata: serde_json::Value =
        serde_json::from_slice(&output.stdout).context("parse cargo metadata")?;
    let packages = metadata["packages"].as_array().context("cargo metadata without packages")?;
    let package = packages
        .iter()
        .find(|package| package["name"] == name)
        .with_context(|| format!("{name} is no dependency"))?;
    let path = package["manifest_path"].as_str().context("package without manifest_path")?;
    Ok(PathBuf::from(path).parent().context("manifest_path without folder")?.to_owned())
}
