//! ListenerSets on a real Envoy: their listeners come and go beside those of the Gateway, which notice nothing.

use anyhow::{Result, ensure};
use gatewasm_tests::client::Request;
use gatewasm_tests::connection::Connection;
use gatewasm_tests::echo::Echo;
use gatewasm_tests::running::{Running, class, gateway, route, service};
use gatewasm_tests::tools;
use serde_json::{Value, json};

fn http(name: &str, port: u16, hostname: &str) -> Value {
    json!({"name": name, "port": port, "protocol": "HTTP", "hostname": hostname})
}

#[tokio::test(flavor = "multi_thread")]
async fn listeners_of_a_set_come_and_go_beside_those_of_the_gateway() -> Result<()> {
    let (own, team) = (Echo::start("own").await?, Echo::start("team").await?);
    let (port, other) = (tools::free_port()?, tools::free_port()?);
    let mut web = gateway("web", &[http("http", port, "own.example.com")]);
    web["spec"]["allowedListeners"] = json!({"namespaces": {"from": "All"}});
    let set = json!({
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "ListenerSet",
        "metadata": {"name": "team", "namespace": "default"},
        "spec": {
            "parentRef": {"name": "web", "namespace": "infra"},
            "listeners": [http("http", port, "team.example.com"), http("more", other, "team.example.com")],
        },
    });
    let mut of_set = route("team", &[], "team");
    of_set["spec"]["parentRefs"] =
        json!([{"group": "gateway.networking.k8s.io", "kind": "ListenerSet", "name": "team"}]);
    let manifests = [
        ("gateway.yaml", vec![class(), web]),
        ("route.yaml", vec![route("own", &["web"], "own"), of_set]),
        ("own.yaml", service("own", &[own.address])),
        ("team.yaml", service("team", &[team.address])),
    ];
    let running = Running::start(&manifests, &[]).await?;
    let address = running.address("infra/web", "http")?;
    let mut kept = Connection::open(address, None).await?;
    let mut own =
        async || Ok::<_, anyhow::Error>(kept.send(&Request::get("own.example.com", "/")).await?.status);
    ensure!(own().await? == 200);
    let theirs = Request::get("team.example.com", "/");
    ensure!(theirs.send(address).await?.status == 404, "there is no such listener yet");

    running.write("set.yaml", std::slice::from_ref(&set))?;
    running.until("the set", async || Ok(theirs.send(address).await?.status == 200)).await?;
    ensure!(theirs.send(address).await?.echoed()?.backend == "team");
    let more =
        async || Ok(theirs.send(running.address("infra/web", "default/team/more")?).await?.status == 200);
    running.until("its other port", more).await?;
    // A route of the Gateway has nothing to say on a listener of the set.
    ensure!(own().await? == 200);
    running.write("set.yaml", &[])?;
    running.until("no set", async || Ok(theirs.send(address).await?.status == 404)).await?;
    ensure!(own().await? == 200, "a ListenerSet cut a connection of the Gateway");
    running.stop().await
}
