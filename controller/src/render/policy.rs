//! Policies as Envoy routes: each forwards to the cluster that the filter named, and says how.

use std::time::Duration;

use gatewasm_routing::wire;
use serde_json::{Value, json};

use super::session;
use crate::model::{Mirror, PER_MILLION, Policy, Retry};

/// `stream_idle_timeout` of every connection manager. A longer request timeout takes its place.
pub(super) const SILENCE: Duration = Duration::from_secs(3600);

/// Bytes of a request's body that Envoy keeps so that it can be tried again; a longer one is sent once. Envoy would take
/// the buffer of the connection for it (32 KiB).
const KEPT_FOR_RETRIES: u32 = 1024 * 1024;

/// Conditions of Envoy's under which a rule with retries tries again: "Implementations SHOULD retry on connection errors
/// (disconnect, reset, timeout, TCP failure) if a retry stanza is configured" (`HTTPRouteRetry`).
const CONNECTION_ERRORS: &str = "connect-failure,refused-stream,reset";

/// The condition under which a rule with sessions goes on to another endpoint, though it has no retries: nothing was
/// sent yet.
const UNREACHABLE: &str = "connect-failure";

/// How often another endpoint is drawn for a retry, until it is none that has failed. Of two endpoints the wrong one comes
/// as often in a row once in 65,536 times; drawing costs nothing beside a request.
const DRAWS: u32 = 16;

/// The route of a policy. That of the default only forwards.
pub(super) fn route(name: &str, policy: &Policy) -> Value {
    let mut action = json!({
        "cluster_header": wire::CLUSTER,
        // The filter names only clusters that exist; anything else is our fault, not a missing page.
        "cluster_not_found_response_code": "INTERNAL_SERVER_ERROR",
        "timeout": duration(request_timeout(policy)),
    });
    if request_timeout(policy) > SILENCE {
        action["idle_timeout"] = duration(request_timeout(policy));
    }
    if let Some(retry) = &policy.retry {
        action["retry_policy"] = retry_policy(retry, policy.backend_timeout);
    } else if policy.session {
        action["retry_policy"] = another_endpoint(UNREACHABLE, 1);
    }
    if !policy.mirrors.is_empty() {
        action["request_mirror_policies"] = policy.mirrors.iter().map(mirror).collect();
    }
    let mut route = json!({"name": name, "match": {"prefix": "/"}, "route": action});
    if policy.retry.is_some() {
        route["request_body_buffer_limit"] = json!(KEPT_FOR_RETRIES);
    }
    if policy.session {
        route["typed_per_filter_config"] = session::pinned();
    }
    route
}

/// Without `timeouts` there is no limit (Gateway API `HTTPRouteTimeouts`); Envoy's own default is 15 s. Where there is
/// one try only, its limit is that of the whole: unlike Envoy's limit of a try, it covers the answer's body as well.
fn request_timeout(policy: &Policy) -> Duration {
    let of_try = policy.backend_timeout.filter(|_| policy.retry.is_none());
    [policy.request_timeout, of_try].into_iter().flatten().min().unwrap_or_default()
}

fn retry_policy(retry: &Retry, of_try: Option<Duration>) -> Value {
    let mut conditions = CONNECTION_ERRORS.to_owned();
    if !retry.codes.is_empty() {
        conditions += ",retriable-status-codes";
    }
    let mut policy = another_endpoint(&conditions, retry.attempts);
    policy["retriable_status_codes"] = json!(retry.codes);
    if let Some(backoff) = retry.backoff {
        // Envoy waits at random between nothing and an interval that begins with the base and doubles with every try.
        // Twice the time asked for makes that time the mean of the first wait. What it comes to is measured in
        // `docs/conformance.md`.
        policy["retry_back_off"] =
            json!({"base_interval": duration(backoff * 2), "max_interval": duration(backoff * 20)});
    }
    if let Some(of_try) = of_try {
        policy["per_try_timeout"] = duration(of_try);
    }
    policy
}

/// Tries again at another endpoint, if there is one. Envoy heeds a session in the first try alone.
fn another_endpoint(conditions: &str, attempts: u32) -> Value {
    json!({
        "retry_on": conditions,
        "num_retries": attempts,
        "retry_host_predicate": [{
            "name": "envoy.retry_host_predicates.previous_hosts",
            "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate",
            },
        }],
        "host_selection_retry_max_attempts": DRAWS,
    })
}

fn mirror(mirror: &Mirror) -> Value {
    let mut policy = json!({
        "cluster": mirror.cluster,
        // The copy is for the same host.
        "disable_shadow_host_suffix_append": true,
    });
    if mirror.per_million < PER_MILLION {
        let share = json!({"numerator": mirror.per_million, "denominator": "MILLION"});
        policy["runtime_fraction"] = json!({"default_value": share});
    }
    policy
}

/// As proto3 JSON writes a duration.
fn duration(time: Duration) -> Value {
    let (seconds, milliseconds) = (time.as_secs(), time.subsec_millis());
    json!(if milliseconds == 0 { format!("{seconds}s") } else { format!("{seconds}.{milliseconds:03}s") })
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn seconds(number: u64) -> Option<Duration> {
        Some(Duration::from_secs(number))
    }

    fn retry(backoff: Option<Duration>) -> Option<Retry> {
        Some(Retry { attempts: 3, codes: [503].into(), backoff })
    }

    fn action(policy: &Policy) -> Value {
        route("p", policy)["route"].clone()
    }

    #[test]
    fn a_policy_that_asks_for_nothing_has_no_limit() {
        let action = action(&Policy::default());
        assert_eq!(action["timeout"], "0s");
        assert_eq!(action.as_object().unwrap().len(), 3);
    }

    #[test]
    fn the_limit_of_the_only_try_is_that_of_the_whole() {
        let of = |request_timeout, backend_timeout, retry| {
            let action = action(&Policy { request_timeout, backend_timeout, retry, ..Policy::default() });
            (action["timeout"].clone(), action["retry_policy"]["per_try_timeout"].clone())
        };
        assert_eq!(of(seconds(3), seconds(2), None), (json!("2s"), Value::Null));
        assert_eq!(of(None, seconds(2), None), (json!("2s"), Value::Null));
        assert_eq!(of(seconds(3), seconds(2), retry(None)), (json!("3s"), json!("2s")));
        assert_eq!(of(None, seconds(2), retry(None)), (json!("0s"), json!("2s")));
    }

    #[test]
    fn a_request_that_may_take_long_may_be_silent_as_long() {
        let idle = |request_timeout| {
            action(&Policy { request_timeout, ..Policy::default() })["idle_timeout"].clone()
        };
        assert_eq!(idle(seconds(3600)), Value::Null);
        assert_eq!(idle(seconds(3601)), "3601s");
    }

    #[test]
    fn the_mean_of_the_first_wait_is_what_was_asked_for() {
        let policy = Policy { retry: retry(Some(Duration::from_millis(250))), ..Policy::default() };
        let back_off = &action(&policy)["retry_policy"]["retry_back_off"];
        assert_eq!(*back_off, json!({"base_interval": "0.500s", "max_interval": "5s"}));
    }

    #[test]
    fn a_mirror_of_all_requests_draws_no_lots() {
        let mirror = |per_million| mirror(&Mirror { cluster: "a".into(), per_million });
        assert_eq!(mirror(PER_MILLION)["runtime_fraction"], Value::Null);
        assert_eq!(mirror(PER_MILLION - 1)["runtime_fraction"]["default_value"]["numerator"], 999_999);
    }
}
