//! The release filter, `gatewasm.wasm`: built by a cargo of its own, because it is for another target, then reduced to
//! what Envoy has to see.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

use anyhow::{Context, Result, ensure};
use walrus::{ImportKind, Module, ModuleConfig};

const TARGET: &str = "wasm32-unknown-unknown";

/// The module's exports after linking: the name in the linked module, and the name that Envoy looks for.
///
/// The SDK exports every callback of proxy-wasm, and Envoy calls for each request those that it finds. What is not on
/// this list is deleted. `tests/drivers/exports.rs` holds the result to it.
const EXPORTS: [(&str, &str); 7] = [
    ("memory", "memory"),
    // The SDK's names: the ABI marker, and the allocator by which the host places bytes in the VM's memory.
    ("proxy_abi_version_0_2_1", "proxy_abi_version_0_2_1"),
    ("malloc", "proxy_on_memory_allocate"),
    // Ours (filter/src/host.rs): under their proper names they would collide with the SDK's.
    ("gatewasm_on_context_create", "proxy_on_context_create"),
    ("gatewasm_on_configure", "proxy_on_configure"),
    ("gatewasm_on_request_headers", "proxy_on_request_headers"),
    ("gatewasm_on_response_headers", "proxy_on_response_headers"),
];

/// What the filter calls (filter/src/host.rs). `tests/drivers/exports.rs` holds the result to it.
const IMPORTS: [&str; 14] = [
    "proxy_add_header_map_value",
    "proxy_get_buffer_bytes",
    "proxy_get_current_time_nanoseconds",
    "proxy_get_header_map_pairs",
    "proxy_get_header_map_value",
    "proxy_get_log_level",
    "proxy_get_property",
    "proxy_log",
    "proxy_remove_header_map_value",
    "proxy_replace_header_map_value",
    "proxy_send_local_response",
    "proxy_set_effective_context",
    "proxy_set_property",
    "random_get",
];

/// Writes `$OUT_DIR/gatewasm.wasm`.
pub(crate) fn build() -> Result<()> {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("folder of the workspace")?;
    for part in
        ["filter", "routing/src", "routing/Cargo.toml", "Cargo.toml", "Cargo.lock", ".cargo/config.toml"]
    {
        println!("cargo::rerun-if-changed={}", workspace.join(part).display());
    }
    let output = PathBuf::from(env::var_os("OUT_DIR").context("OUT_DIR")?);
    let linked = compile(workspace, &target_folder(&output)?)?;
    let module = fs::read(&linked).with_context(|| format!("read {}", linked.display()))?;
    fs::write(output.join("gatewasm.wasm"), reduce(&module)?).context("write gatewasm.wasm")
}

/// A target folder beside those of the outer build: the outer cargo holds a lock on its own, and debug and release
/// builds of the binary carry the same filter.
fn target_folder(output: &Path) -> Result<PathBuf> {
    // <target>/<profile>/build/<package>-<hash>/out
    Ok(output.ancestors().nth(4).context("target folder above OUT_DIR")?.join("filter-build"))
}

fn compile(workspace: &Path, target_folder: &Path) -> Result<PathBuf> {
    let mut cargo = Command::new(env::var_os("CARGO").context("CARGO")?);
    cargo
        .current_dir(workspace)
        .args([
            "build",
            "--locked",
            "--package",
            "gatewasm-filter",
            "--profile",
            "filter",
            "--target",
            TARGET,
        ])
        .arg("--target-dir")
        .arg(target_folder);
    // Flags and wrappers of the outer build are meant for its target; ours stand in .cargo/config.toml.
    for variable in
        ["RUSTFLAGS", "CARGO_ENCODED_RUSTFLAGS", "CARGO_BUILD_RUSTFLAGS", "RUSTC_WORKSPACE_WRAPPER"]
    {
        cargo.env_remove(variable);
    }
    let status = cargo.status().with_context(|| format!("run {cargo:?}"))?;
    ensure!(
        status.success(),
        "the wasm filter was not built ({status}, see above).\n\
         If the compiler cannot find `core` or `std`, the target is missing: rustup target add {TARGET}"
    );
    Ok(target_folder.join(TARGET).join("filter/gatewasm_filter.wasm"))
}

/// Deletes every export that is not in [`EXPORTS`], renames the rest, and drops the code that only the deleted ones
/// reached.
fn reduce(linked: &[u8]) -> Result<Vec<u8>> {
    let mut config = ModuleConfig::new();
    config.generate_name_section(false).generate_producers_section(false);
    let mut module = config.parse(linked).context("parse the linked module")?;
    let exports: Vec<_> = module.exports.iter().map(|export| (export.id(), export.name.clone())).collect();
    let mut kept = 0;
    for (id, name) in exports {
        match EXPORTS.iter().find(|(linked, _)| *linked == name) {
            Some((_, known)) => {
                module.exports.get_mut(id).name = (*known).to_owned();
                kept += 1;
            }
            None => module.exports.delete(id),
        }
    }
    ensure!(kept == EXPORTS.len(), "the linked module lacks one of the exports {EXPORTS:?}");
    close_unused_imports(&mut module)?;
    walrus::passes::gc::run(&mut module);
    Ok(module.emit_wasm())
}

/// Takes from the module the means to call what is not in [`IMPORTS`]. Code of the SDK's dispatcher stays in the table
/// of indirect calls, though nothing reaches it any more; its calls to the host become traps.
fn close_unused_imports(module: &mut Module) -> Result<()> {
    let unused: Vec<_> = module
        .imports
        .iter()
        .filter(|import| !IMPORTS.contains(&import.name.as_str()))
        .filter_map(|import| match import.kind {
            ImportKind::Function(function) => Some(function),
            _ => None,
        })
        .collect();
    for function in unused {
        module.replace_imported_func(function, |(body, _)| {
            body.unreachable();
        })?;
    }
    Ok(())
}
