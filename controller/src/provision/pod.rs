//! The pod of a data plane: stock Envoy, the agent beside it, and the filter handed over before either starts. The agent
//! shares the constants here.
//!
//! The template depends on the settings, on the port of the agent, and on the Gateway's name, labels and annotations
//! alone. What Envoy serves
//! (listeners, ports, routes, certificates) comes by the bundle, so that a change of it replaces no pod.

use std::ops::RangeInclusive;

use serde_json::{Value, json};

use super::labels::pod_metadata;
use super::names::Names;
use super::{Network, Settings, Source};
use crate::api;
use crate::object::ObjectKey;

/// Folder that agent and Envoy share: the filter, Envoy's bootstrap, and their sockets.
pub const RUN: &str = "/run/gatewasm";
/// Where the filter is laid down.
pub const FILTER: &str = "/run/gatewasm/gatewasm.wasm";
/// Envoy's bootstrap configuration. The agent writes it.
pub const BOOTSTRAP: &str = "/run/gatewasm/bootstrap.yaml";
/// Folder of the agent's own: the last good bundle, for a restart of the container.
pub const STATE: &str = "/var/lib/gatewasm";
/// Folder where the bundle is mounted: the manifest and every part, as far as they exist.
pub const BUNDLE: &str = "/etc/gatewasm/bundle";
/// Port of the agent's HTTP endpoint, on all addresses of the pod. No listener of a Gateway can have it.
pub const AGENT_PORT: u16 = 19001;
/// On the network of a node, each Gateway's agents have one of these ports, on the node's address.
pub const HOST_AGENT_PORTS: RangeInclusive<u16> = AGENT_PORT..=19999;
/// Name of the agent's container.
pub const AGENT: &str = "agent";
/// Name of that port.
pub const AGENT_PORT_NAME: &str = "agent";
/// Seconds that a pod has to end. The agent's drain must be done before.
pub const GRACE_SECONDS: u32 = 120;

/// Where clients of the API server look for their token.
const TOKEN: &str = "/var/run/secrets/kubernetes.io/serviceaccount";
/// Lifetime of the token in seconds; the kubelet renews it before its end.
const TOKEN_SECONDS: u32 = 3600;
/// The user whose processes they are: the one without rights in distroless images.
const USER: u32 = 65532;

/// `spec.template` of the Deployment.
pub(super) fn template(
    key: &ObjectKey,
    gateway: &api::Gateway,
    settings: &Settings,
    agent_port: u16,
) -> Value {
    let names = Names::of(&key.name);
    let mut template = json!({
        "metadata": pod_metadata(key, gateway),
        "spec": {
            "serviceAccountName": names.base(),
            // The agent alone has a token, by a volume of its own.
            "automountServiceAccountToken": false,
            // Variables for every Service of the namespace are of no use to anybody here.
            "enableServiceLinks": false,
            "terminationGracePeriodSeconds": GRACE_SECONDS,
            "securityContext": {
                "runAsNonRoot": true,
                "runAsUser": USER,
                "runAsGroup": USER,
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "initContainers": [filter(settings), agent(key, &names, settings, agent_port)],
            "containers": [envoy(settings, agent_port)],
            "volumes": volumes(&names, settings),
        },
    });
    let pod = &mut template["spec"];
    match settings.network {
        // Envoy binds the Gateway's own ports, 80 among them, without any capability.
        Network::Pod => {
            pod["securityContext"]["sysctls"] =
                json!([{"name": "net.ipv4.ip_unprivileged_port_start", "value": "0"}]);
        }
        // The same sysctl is the node's there, and nothing that a pod may set.
        Network::Host => {
            pod["hostNetwork"] = json!(true);
            pod["dnsPolicy"] = json!("ClusterFirstWithHostNet");
        }
    }
    template
}

/// Lays down the filter, then ends.
fn filter(settings: &Settings) -> Value {
    json!({
        "name": "filter",
        "image": settings.image,
        "args": ["filter", "-o", FILTER],
        "resources": requests("10m", "16Mi"),
        "securityContext": security(),
        "volumeMounts": [{"name": "run", "mountPath": RUN}],
    })
}

/// A sidecar: it starts before Envoy, and is ended after it.
fn agent(key: &ObjectKey, names: &Names, settings: &Settings, port: u16) -> Value {
    let mut mounts = vec![
        json!({"name": "run", "mountPath": RUN}),
        json!({"name": "state", "mountPath": STATE}),
        json!({"name": "bundle", "mountPath": BUNDLE, "readOnly": true}),
    ];
    if settings.source == Source::Watch {
        mounts.push(json!({"name": "token", "mountPath": TOKEN, "readOnly": true}));
    }
    let mut agent = json!({
        "name": AGENT,
        "image": settings.image,
        "restartPolicy": "Always",
        "args": [
            "agent",
            "--namespace", key.namespace,
            "--name", names.base(),
            "--concurrency", settings.concurrency.to_string(),
            "--source", settings.source.as_str(),
        ],
        "ports": [{"name": AGENT_PORT_NAME, "containerPort": port, "protocol": "TCP"}],
        // Envoy starts when its bootstrap is written and the agent's sockets are open.
        "startupProbe": probe("/startup", 60),
        "readinessProbe": probe("/ready", 3),
        // The kubelet runs the hooks of all containers at once: this one starts the drain, Envoy's waits for its end.
        "lifecycle": {"preStop": {"exec": {"command": ["gatewasm", "agent", "--drain"]}}},
        "resources": requests("10m", "32Mi"),
        "securityContext": security(),
        "volumeMounts": mounts,
    });
    if settings.network == Network::Host {
        // Without this the scheduler would put two pods of a Gateway on one node, where only one can have the ports.
        agent["ports"][0]["hostPort"] = json!(port);
        agent["env"] =
            json!([{"name": "NODE_ADDRESS", "valueFrom": {"fieldRef": {"fieldPath": "status.hostIP"}}}]);
        if let Some(args) = agent["args"].as_array_mut() {
            let more =
                ["--port".to_owned(), port.to_string(), "--address".to_owned(), "$(NODE_ADDRESS)".to_owned()];
            args.extend(more.map(Value::from));
        }
    }
    agent
}

fn envoy(settings: &Settings, agent_port: u16) -> Value {
    json!({
        "name": "envoy",
        "image": settings.envoy_image,
        "args": [
            "-c", BOOTSTRAP,
            "--concurrency", settings.concurrency.to_string(),
            "--disable-hot-restart",
            // A connection that is to end is told so with its next response.
            "--drain-strategy", "immediate",
            // What Envoy has against a configuration is told to the agent by ADS; its log would say it twice.
            "--log-level", "warning",
            "--component-log-level", "config:error",
        ],
        "lifecycle": {"preStop": {"httpGet": {"path": "/drained", "port": agent_port}}},
        "resources": requests("20m", "64Mi"),
        "securityContext": security(),
        "volumeMounts": [{"name": "run", "mountPath": RUN}],
    })
}

fn volumes(names: &Names, settings: &Settings) -> Vec<Value> {
    let source = |kind: &str, name: String| json!({kind: {"name": name, "optional": true}});
    let bundle: Vec<Value> = [names.manifest()]
        .into_iter()
        .chain(names.config_maps())
        .map(|name| source("configMap", name))
        .chain(names.secrets().into_iter().map(|name| source("secret", name)))
        .collect();
    let mut volumes = vec![
        json!({"name": "run", "emptyDir": {}}),
        json!({"name": "state", "emptyDir": {}}),
        json!({"name": "bundle", "projected": {"sources": bundle}}),
    ];
    if settings.source == Source::Watch {
        let namespace = json!({"path": "namespace", "fieldRef": {"fieldPath": "metadata.namespace"}});
        let authority = json!({"key": "ca.crt", "path": "ca.crt"});
        volumes.push(json!({"name": "token", "projected": {"sources": [
            {"serviceAccountToken": {"path": "token", "expirationSeconds": TOKEN_SECONDS}},
            {"configMap": {"name": "kube-root-ca.crt", "items": [authority]}},
            {"downwardAPI": {"items": [namespace]}},
        ]}}));
    }
    volumes
}

/// Asked every second: what is ready is to be known soon. A machine that is busy may take its time.
fn probe(path: &str, failures: u32) -> Value {
    json!({
        "httpGet": {"path": path, "port": AGENT_PORT_NAME},
        "periodSeconds": 1,
        "timeoutSeconds": 5,
        "failureThreshold": failures,
    })
}

/// What an idle one takes. There are no limits: that of CPU would delay requests, that of memory end them.
fn requests(cpu: &str, memory: &str) -> Value {
    json!({"requests": {"cpu": cpu, "memory": memory}})
}

/// What the restricted Pod Security level asks of each container, and a root that nothing writes to.
fn security() -> Value {
    json!({
        "allowPrivilegeEscalation": false,
        "capabilities": {"drop": ["ALL"]},
        "readOnlyRootFilesystem": true,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::provision::tests::{gateway, key};

    fn pod(settings: &Settings) -> Value {
        template(&key(), &gateway(json!({})), settings, AGENT_PORT)["spec"].take()
    }

    fn containers(pod: &Value) -> impl Iterator<Item = &Value> {
        let of = |field: &str| pod[field].as_array().unwrap().iter();
        of("initContainers").chain(of("containers"))
    }

    fn mounts<'a>(pod: &'a Value, container: &str) -> Vec<&'a str> {
        let container = containers(pod).find(|its| its["name"] == container).unwrap();
        container["volumeMounts"]
            .as_array()
            .unwrap()
            .iter()
            .map(|its| its["name"].as_str().unwrap())
            .collect()
    }

    /// The controls of the restricted level (Pod Security Standards), one after the other.
    #[test]
    fn the_pod_is_of_the_restricted_level() {
        let pod = pod(&Settings::default());
        let security = &pod["securityContext"];
        assert_eq!(security["runAsNonRoot"], true);
        assert_ne!(security["runAsUser"], 0);
        assert_eq!(security["seccompProfile"]["type"], "RuntimeDefault");
        // The one sysctl here is among those that the level allows.
        assert_eq!(security["sysctls"].as_array().unwrap().len(), 1);
        assert_eq!(security["sysctls"][0]["name"], "net.ipv4.ip_unprivileged_port_start");
        for field in ["hostNetwork", "hostPID", "hostIPC"] {
            assert_eq!(pod[field], Value::Null, "{field}");
        }
        for volume in pod["volumes"].as_array().unwrap() {
            assert!(volume["emptyDir"].is_object() || volume["projected"].is_object(), "{volume}");
        }
        assert_eq!(containers(&pod).count(), 3);
        for container in containers(&pod) {
            let security = &container["securityContext"];
            assert_eq!(security["allowPrivilegeEscalation"], false);
            assert_eq!(security["capabilities"], json!({"drop": ["ALL"]}));
            assert_eq!(security["readOnlyRootFilesystem"], true);
            for field in ["privileged", "procMount", "runAsUser", "runAsNonRoot", "seccompProfile"] {
                assert_eq!(security[field], Value::Null, "{field}");
            }
            for port in container["ports"].as_array().into_iter().flatten() {
                assert_eq!(port["hostPort"], Value::Null);
            }
        }
    }

    #[test]
    fn keys_and_token_are_the_agents_alone() {
        let pod = pod(&Settings::default());
        assert_eq!(mounts(&pod, "agent"), ["run", "state", "bundle", "token"]);
        assert_eq!(mounts(&pod, "envoy"), ["run"]);
        assert_eq!(mounts(&pod, "filter"), ["run"]);
        assert_eq!(pod["automountServiceAccountToken"], false);
    }

    #[test]
    fn without_a_watch_there_is_no_token() {
        let pod = pod(&Settings { source: Source::Mount, ..Settings::default() });
        assert_eq!(mounts(&pod, "agent"), ["run", "state", "bundle"]);
        assert!(!pod.to_string().contains("serviceAccountToken"), "{pod}");
        assert!(pod.to_string().contains(r#""--source","mount""#), "{pod}");
    }

    /// A pod starts when parts are missing, and with whatever parts come later.
    #[test]
    fn every_part_is_mounted_and_none_is_needed() {
        let pod = pod(&Settings::default());
        let sources = pod["volumes"][2]["projected"]["sources"].as_array().unwrap();
        assert_eq!(sources.len(), 1 + 16 + 8 + 8 + 8);
        for source in sources {
            let its = source.get("configMap").or_else(|| source.get("secret")).unwrap();
            assert_eq!(its["optional"], true, "{source}");
        }
        let name = |source: &Value, kind: &str| source[kind]["name"].as_str().map(str::to_owned);
        assert_eq!(name(&sources[0], "configMap").unwrap(), "gatewasm-web-manifest");
        assert_eq!(name(&sources[16], "configMap").unwrap(), "gatewasm-web-routes-15");
        assert_eq!(name(&sources[40], "secret").unwrap(), "gatewasm-web-certificates-7");
    }

    #[test]
    fn on_the_network_of_the_node_the_agent_has_a_port_and_address_of_its_own() {
        let settings = Settings { network: Network::Host, ..Settings::default() };
        let pod = template(&key(), &gateway(json!({})), &settings, 19007)["spec"].take();
        assert_eq!(
            (&pod["hostNetwork"], &pod["dnsPolicy"]),
            (&json!(true), &json!("ClusterFirstWithHostNet"))
        );
        // The API server refuses a sysctl of the node's network.
        assert_eq!(pod["securityContext"].get("sysctls"), None);
        let agent = &pod["initContainers"][1];
        assert_eq!(agent["ports"][0]["hostPort"], 19007);
        assert_eq!(agent["ports"][0]["containerPort"], 19007);
        let args = agent["args"].to_string();
        assert!(args.ends_with(r#""--port","19007","--address","$(NODE_ADDRESS)"]"#), "{args}");
        assert_eq!(agent["env"][0]["name"], "NODE_ADDRESS");
        assert_eq!(pod["containers"][0]["lifecycle"]["preStop"]["httpGet"]["port"], 19007);
        // And nothing else has a port.
        assert_eq!(pod["containers"][0].get("ports"), None);
    }

    #[test]
    fn the_settings_arrive() {
        let settings = Settings {
            image: "registry.example/gatewasm:1".to_owned(),
            envoy_image: "registry.example/envoy:2".to_owned(),
            concurrency: 7.try_into().unwrap(),
            ..Settings::default()
        };
        let pod = pod(&settings);
        let images: Vec<&Value> = containers(&pod).map(|container| &container["image"]).collect();
        assert_eq!(images, [&settings.image, &settings.image, &settings.envoy_image]);
        assert!(pod["containers"][0]["args"].to_string().contains(r#""--concurrency","7""#));
        assert!(pod["initContainers"][1]["args"].to_string().contains(r#""--concurrency","7""#));
    }
}
