//! `gatewasm render`: what Envoy and the filter get, as a folder that stock Envoy runs without us, and as ConfigMaps.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write as _};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};

use super::inputs::{Inputs, Read, refused};
use super::{FINE, PROBLEMS};
use crate::filter_binary;
use crate::model::Model;
use crate::object::ObjectKey;
use crate::problem::{self, Problem};
use crate::render::bootstrap::{Address, Addresses};
use crate::render::extension::accepted;
use crate::render::{Bindings, ConfigSource, Resources, Settings, config_map, files, render};
use crate::translate::seal_sessions;

/// Name of the filter's file in the folder.
const WASM: &str = "gatewasm.wasm";

/// Arguments of `gatewasm render`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    inputs: Inputs,

    /// Folder to write; it is made where it does not exist.
    #[arg(short, long = "output-dir", value_name = "DIR")]
    output: PathBuf,

    /// The Gateway to render, where the manifests have several: namespace/name.
    #[arg(long, value_name = "GATEWAY")]
    gateway: Option<String>,

    /// Address that Envoy binds; a Gateway's spec.addresses come first.
    #[arg(long, value_name = "ADDRESS", default_value_t = IpAddr::V4(Ipv4Addr::UNSPECIFIED))]
    address: IpAddr,

    /// Added to every port that Envoy binds, to stay clear of privileged ones.
    #[arg(long, value_name = "N", default_value_t = 0)]
    port_offset: u16,

    /// Folder at which the ConfigMaps and the Secret are mounted in Envoy's container, as one projected volume.
    #[arg(long, value_name = "DIR", default_value = "/etc/gatewasm")]
    mount: PathBuf,

    /// Write Envoy's access log to its standard output.
    #[arg(long)]
    access_log: bool,

    /// Key by which sessions (sessionPersistence) are sealed: any text, the same in every Envoy. Whoever can read what
    /// is rendered can read it. Without one, clients can forge sessions.
    #[arg(long, value_name = "KEY")]
    session_key: Option<String>,

    /// Port of Envoy's admin interface on 127.0.0.1.
    #[arg(long, value_name = "PORT", default_value_t = 9901)]
    admin_port: u16,
}

pub(super) fn run(args: &Args) -> Result<u8> {
    let Read::Manifests { snapshot, translation } = args.inputs.read()? else {
        bail!("render takes manifests; a filter config is what it writes")
    };
    let mut problems = translation.problems;
    let mut model = translation.model;
    model.filter_config.access_log = args.access_log;
    let gateway = choose(&mut model, args.gateway.as_deref())?;
    seal_sessions(&mut model.filter_config, args.session_key.as_deref());
    fs::create_dir_all(&args.output).with_context(|| format!("make {}", args.output.display()))?;
    let folder = args.output.canonicalize().with_context(|| format!("find {}", args.output.display()))?;

    let written = files_in(args, &model, &gateway, &folder)?;
    for (name, text) in &written {
        write(&folder.join(name), text.as_bytes(), files::is_secret(name))?;
    }
    write(&folder.join(WASM), filter_binary::WASM, false)?;
    remove_others(&folder, files::is_secret, &written)?;

    let mounted = files_in(args, &model, &gateway, &args.mount)?;
    let manifests = config_map::manifests(&mounted, (WASM, filter_binary::WASM), &gateway)?;
    let kubernetes = folder.join("kubernetes");
    fs::create_dir_all(&kubernetes).with_context(|| format!("make {}", kubernetes.display()))?;
    for (name, text) in &manifests.files {
        write(&kubernetes.join(name), text.as_bytes(), name.starts_with("secret-"))?;
    }
    let object = |name: &str| name.starts_with("configmap-") || name.starts_with("secret-");
    remove_others(&kubernetes, object, &manifests.files)?;
    problems.extend(manifests.problems);
    report(&problems, snapshot.len(), &folder, &args.mount);
    Ok(if problems.is_empty() { FINE } else { PROBLEMS })
}

/// Leaves one Gateway in the model, with its listeners.
fn choose(model: &mut Model, wanted: Option<&str>) -> Result<ObjectKey> {
    let all: Vec<String> = model.gateways.keys().map(ToString::to_string).collect();
    let key = match (wanted, all.as_slice()) {
        (_, []) => bail!("the manifests have no Gateway that can be served; `gatewasm check` says why"),
        (Some(wanted), _) => wanted,
        (None, [one]) => one,
        (None, _) => {
            bail!("the manifests have several Gateways; choose one with --gateway: {}", all.join(", "))
        }
    };
    ensure!(all.iter().any(|name| name == key), "Gateway {key:?} is not among: {}", all.join(", "));
    model.gateways.retain(|gateway, _| gateway.to_string() == key);
    model.filter_config.listeners.retain(|listener| listener.gateway == key);
    model.gateways.keys().next().cloned().context("the chosen Gateway")
}

fn files_in(
    args: &Args,
    model: &Model,
    gateway: &ObjectKey,
    folder: &Path,
) -> Result<BTreeMap<String, String>> {
    let settings = Settings {
        bindings: bindings(args, model, gateway)?,
        source: ConfigSource::Files(folder.to_owned()),
        filter_path: folder.join(WASM),
        access_log: args.access_log,
    };
    if let Err(problems) = accepted(model, &settings) {
        bail!(refused("the translated filter config", &problems));
    }
    let addresses = Addresses {
        admin: Address::Socket((Ipv4Addr::LOCALHOST, args.admin_port).into()),
        probe: Address::Socket((Ipv4Addr::LOCALHOST, probe_port(args.admin_port)?).into()),
        agent: PathBuf::new(),
    };
    let resources: Resources = render(model, &settings);
    files::files(&resources, &settings, &addresses)
}

/// The probe listens beside the admin interface.
fn probe_port(admin: u16) -> Result<u16> {
    admin.checked_add(1).context("--admin-port leaves no port for the probe; choose a lower one")
}

fn bindings(args: &Args, model: &Model, key: &ObjectKey) -> Result<Bindings> {
    let gateway = model.gateways.get(key).context("the chosen Gateway")?;
    let address = gateway.addresses.first().copied().unwrap_or(args.address);
    gateway
        .listeners
        .values()
        .map(|listener| {
            let port = listener.port.checked_add(args.port_offset).with_context(|| {
                format!("port {} with --port-offset {} is above 65535", listener.port, args.port_offset)
            })?;
            Ok(((key.clone(), listener.port), SocketAddr::new(address, port)))
        })
        .collect()
}

fn write(path: &Path, bytes: &[u8], secret: bool) -> Result<()> {
    let written = if secret { write_secret(path, bytes) } else { fs::write(path, bytes) };
    written.with_context(|| format!("write {}", path.display()))
}

/// Nobody else may read the file at any time, also where it was there before.
fn write_secret(path: &Path, bytes: &[u8]) -> io::Result<()> {
    use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
    let mut file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
    file.set_permissions(fs::Permissions::from_mode(0o600))?;
    file.write_all(bytes)
}

/// Removes what an earlier run wrote and this one did not: a key that is no longer used, an object that would still be
/// applied.
fn remove_others(
    folder: &Path,
    ours: impl Fn(&str) -> bool,
    written: &BTreeMap<String, String>,
) -> Result<()> {
    for entry in fs::read_dir(folder).with_context(|| format!("read {}", folder.display()))? {
        let entry = entry?;
        let name = entry.file_name();
        if name.to_str().is_some_and(|name| ours(name) && !written.contains_key(name)) {
            fs::remove_file(entry.path()).with_context(|| format!("remove {}", entry.path().display()))?;
        }
    }
    Ok(())
}

fn report(problems: &[Problem], objects: usize, folder: &Path, mount: &Path) {
    if !problems.is_empty() {
        eprint!("{}", problem::print(problems, objects));
    }
    let (folder, mount) = (folder.display(), mount.display());
    eprintln!("Run it:    envoy -c {folder}/bootstrap.yaml --concurrency 1");
    // Without --server-side, kubectl keeps a copy in an annotation, which may have no more than 256 KiB.
    eprintln!("Apply it:  kubectl apply --server-side -f {folder}/kubernetes/");
    eprintln!(
        "           Mount all of it as one projected volume at {mount}: envoy -c {mount}/bootstrap.yaml"
    );
    eprintln!(
        "Clusters carry their endpoints (STATIC, or DNS where --backend gives a name): without an agent"
    );
    eprintln!("there is no EDS. Render again when endpoints change.");
}
