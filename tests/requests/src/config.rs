//! The short form of a filter config that the files use: the config itself, with what most cases share left out.

use gatewasm_routing::config::{FilterConfig, VERSION};
use serde_json::{Map, Value, json};

/// Fills in what was left out, then reads the result as any filter config.
pub(crate) fn expand(listeners: Vec<Value>, session_key: Option<String>) -> Result<FilterConfig, String> {
    let listeners = listeners.into_iter().map(listener).collect::<Result<Vec<_>, _>>()?;
    let mut json = json!({"version": VERSION, "listeners": listeners});
    if let Some(key) = session_key {
        json["sessionKey"] = key.into();
    }
    gatewasm_routing::parse(json.to_string().as_bytes()).map_err(|problem| problem.to_string())
}

/// Without a slash in its name a listener is one of the Gateway `infra/web`; it is HTTP unless it says otherwise.
fn listener(value: Value) -> Result<Value, String> {
    let mut listener = object(value, "a listener")?;
    let name = listener.get("name").and_then(Value::as_str).unwrap_or("http");
    let name = if name.contains('/') { name.to_owned() } else { format!("infra/web/{name}") };
    let gateway = name.rsplit_once('/').map_or("", |(gateway, _)| gateway).to_owned();
    listener.insert("name".to_owned(), name.into());
    listener.entry("gateway").or_insert(gateway.into());
    let protocol = listener.entry("protocol").or_insert("HTTP".into());
    let port = if protocol == "HTTPS" { 443 } else { 80 };
    listener.entry("port").or_insert(port.into());
    each(&mut listener, "routes", route)?;
    Ok(Value::Object(listener))
}

fn route(value: Value) -> Result<Value, String> {
    let mut route = object(value, "a route")?;
    route.entry("kind").or_insert("HTTPRoute".into());
    route.entry("namespace").or_insert("default".into());
    each(&mut route, "rules", rule)?;
    Ok(Value::Object(route))
}

/// `match` is short for one match, `cluster` for one backend.
fn rule(value: Value) -> Result<Value, String> {
    let mut rule = object(value, "a rule")?;
    if let Some(one) = rule.remove("match") {
        rule.insert("matches".to_owned(), json!([one]));
    }
    if let Some(cluster) = rule.remove("cluster") {
        rule.insert("backends".to_owned(), json!([{"cluster": cluster}]));
    }
    Ok(Value::Object(rule))
}

fn each(
    parent: &mut Map<String, Value>,
    key: &str,
    part: fn(Value) -> Result<Value, String>,
) -> Result<(), String> {
    if let Some(Value::Array(list)) = parent.get_mut(key) {
        for value in list {
            *value = part(value.take())?;
        }
    }
    Ok(())
}

fn object(value: Value, what: &str) -> Result<Map<String, Value>, String> {
    match value {
        Value::Object(object) => Ok(object),
        other => Err(format!("{other} is not {what}")),
    }
}
