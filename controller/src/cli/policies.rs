//! Policies in a form for readers: what their names stand for.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use gatewasm_routing::Explanation;
use serde::Serialize;

use crate::model::{PER_MILLION, Policy};

/// What a policy asks of Envoy.
#[derive(Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Asked {
    #[serde(skip_serializing_if = "Option::is_none")]
    request_timeout: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    backend_request_timeout: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    retry: Option<Retries>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    mirrors: Vec<Copies>,
    /// Whether clients are pinned to the endpoint that their session names.
    pinned_sessions: bool,
}

/// When a request is tried again: on these codes, and on connection errors in any case.
#[derive(Debug, PartialEq, Serialize)]
struct Retries {
    attempts: u32,
    codes: BTreeSet<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    backoff: Option<String>,
}

/// Who gets copies, and of how many of a hundred requests.
#[derive(Debug, PartialEq, Serialize)]
struct Copies {
    cluster: String,
    percent: f64,
}

/// The policies that an explanation names, of those that are known.
pub(super) fn named(explanation: &Explanation, known: &BTreeMap<String, Policy>) -> BTreeMap<String, Asked> {
    let names = explanation.backends.iter().filter_map(|backend| backend.policy.as_ref());
    names.filter_map(|name| Some((name.clone(), known.get(name)?.into()))).collect()
}

impl From<&Policy> for Asked {
    fn from(policy: &Policy) -> Self {
        Self {
            request_timeout: policy.request_timeout.map(duration),
            backend_request_timeout: policy.backend_timeout.map(duration),
            retry: policy.retry.as_ref().map(|retry| Retries {
                attempts: retry.attempts,
                codes: retry.codes.clone(),
                backoff: retry.backoff.map(duration),
            }),
            mirrors: policy
                .mirrors
                .iter()
                .map(|mirror| Copies {
                    cluster: mirror.cluster.clone(),
                    percent: f64::from(mirror.per_million) * 100.0 / f64::from(PER_MILLION),
                })
                .collect(),
            pinned_sessions: policy.session,
        }
    }
}

impl std::fmt::Display for Asked {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut parts: Vec<String> = Vec::new();
        parts.extend(self.request_timeout.iter().map(|time| format!("request timeout {time}")));
        parts.extend(
            self.backend_request_timeout.iter().map(|time| format!("backend request timeout {time}")),
        );
        parts.extend(self.retry.iter().map(ToString::to_string));
        let mirror = |Copies { cluster, percent }: &Copies| format!("mirror {percent} % to {cluster}");
        parts.extend(self.mirrors.iter().map(mirror));
        if self.pinned_sessions {
            parts.push("clients pinned by their sessions".to_owned());
        }
        f.write_str(&parts.join(", "))
    }
}

impl std::fmt::Display for Retries {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let codes: Vec<_> = self.codes.iter().map(u16::to_string).collect();
        let word = if self.attempts == 1 { "retry" } else { "retries" };
        write!(f, "{} {word} on {}", self.attempts, codes.join(", "))?;
        write!(f, "{}connection errors", if codes.is_empty() { "" } else { " and " })?;
        self.backoff.iter().try_for_each(|backoff| write!(f, " (backoff {backoff})"))
    }
}

/// As manifests write it; they have nothing below a millisecond.
fn duration(time: Duration) -> String {
    let milliseconds = time.as_millis();
    if milliseconds.is_multiple_of(1000) {
        format!("{}s", time.as_secs())
    } else {
        format!("{milliseconds}ms")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Mirror, Retry};
    use serde_json::json;

    fn policy() -> Policy {
        Policy {
            request_timeout: Some(Duration::from_millis(1500)),
            backend_timeout: Some(Duration::from_secs(1)),
            retry: Some(Retry {
                attempts: 2,
                codes: [500, 503].into(),
                backoff: Some(Duration::from_millis(25)),
            }),
            mirrors: vec![Mirror { cluster: "n/m/80".into(), per_million: 125_000 }],
            session: true,
        }
    }

    #[test]
    fn a_policy_is_said_in_words() {
        assert_eq!(
            Asked::from(&policy()).to_string(),
            "request timeout 1500ms, backend request timeout 1s, 2 retries on 500, 503 and connection errors \
             (backoff 25ms), mirror 12.5 % to n/m/80, clients pinned by their sessions"
        );
        let retry = Some(Retry { attempts: 1, codes: [].into(), backoff: None });
        let small = Policy { retry, ..Policy::default() };
        assert_eq!(Asked::from(&small).to_string(), "1 retry on connection errors");
    }

    #[test]
    fn programs_get_the_same() {
        assert_eq!(
            serde_json::to_value(Asked::from(&policy())).unwrap(),
            json!({
                "requestTimeout": "1500ms", "backendRequestTimeout": "1s",
                "retry": {"attempts": 2, "codes": [500, 503], "backoff": "25ms"},
                "mirrors": [{"cluster": "n/m/80", "percent": 12.5}], "pinnedSessions": true,
            })
        );
        assert_eq!(
            serde_json::to_value(Asked::from(&Policy::default())).unwrap(),
            json!({"pinnedSessions": false})
        );
    }
}
