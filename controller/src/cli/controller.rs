//! `gatewasm controller`: serves the Gateways of a cluster.

use std::net::SocketAddr;
use std::num::NonZeroU16;

use anyhow::{Context as _, Result};

use super::FINE;
use crate::controller::{self, Options};
use crate::local::report::LogFormat;
use crate::provision::{ENVOY_IMAGE, ExternalTrafficPolicy, IMAGE, Network, ServiceType, Settings, Source};

/// Arguments of `gatewasm controller`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Image of gatewasm for the pods of Gateways.
    #[arg(long, value_name = "IMAGE", default_value = IMAGE)]
    image: String,

    /// Image of Envoy for the pods of Gateways.
    #[arg(long, value_name = "IMAGE", default_value = ENVOY_IMAGE)]
    envoy_image: String,

    /// Worker threads of each Envoy.
    #[arg(long, value_name = "N", default_value = "2")]
    concurrency: NonZeroU16,

    /// How bundles come to the pods of Gateways.
    #[arg(long, value_enum, default_value_t)]
    source: Source,

    /// Type of the Gateways' Services.
    #[arg(long, value_enum, default_value_t)]
    service_type: ServiceType,

    /// Which nodes pass traffic on to a Gateway; Local keeps the client's address.
    #[arg(long, value_enum, default_value_t)]
    external_traffic_policy: ExternalTrafficPolicy,

    /// The network of the Gateways' pods: with host there is no Service, and Envoy binds the Gateway's addresses, or that
    /// of its node.
    #[arg(long, value_enum, default_value_t)]
    network: Network,

    /// Namespace of the controller, for its Lease and its key of sessions.
    #[arg(long, value_name = "NAMESPACE", env = "POD_NAMESPACE", default_value = "gatewasm-system")]
    namespace: String,

    /// Name of this replica in the Lease and in Events.
    #[arg(long, value_name = "NAME", env = "POD_NAME", default_value = "gatewasm-controller")]
    name: String,

    /// Where /metrics, /healthz and /readyz are answered.
    #[arg(long, value_name = "ADDRESS", default_value = "0.0.0.0:8080")]
    listen: SocketAddr,

    /// Form of the log.
    #[arg(long, value_enum, default_value = "json")]
    log_format: LogFormat,
}

pub(super) fn run(args: Args) -> Result<u8> {
    super::log::to_stderr(args.log_format);
    let options = Options {
        provision: Settings {
            image: args.image,
            envoy_image: args.envoy_image,
            concurrency: args.concurrency,
            source: args.source,
            service_type: args.service_type,
            external_traffic_policy: args.external_traffic_policy,
            network: args.network,
        },
        namespace: args.namespace,
        name: args.name,
        listen: args.listen,
    };
    let runtime =
        tokio::runtime::Builder::new_multi_thread().enable_all().build().context("start the runtime")?;
    runtime.block_on(controller::run(options))?;
    Ok(FINE)
}
