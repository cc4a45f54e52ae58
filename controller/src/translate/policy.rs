//! Policies: what a rule asks of Envoy's own machinery (timeouts, retries, mirrors, pinned sessions). Rules that ask for
//! the same share one, because its name is made from its content.

use std::collections::{BTreeMap, BTreeSet};

use super::backend::{Backends, Speaks};
use super::reference_grant::From;
use crate::api::{
    HttpRequestMirrorFilter, HttpRouteFilter, HttpRouteFilterType, HttpRouteRetry, HttpRouteTimeouts,
};
use crate::digest::digits;
use crate::fault::Fault;
use crate::model::{Mirror, PER_MILLION, Policy, Retry};

/// Retries where `attempts` is absent, as with the two implementations that most people come from (Istio, Envoy
/// Gateway). The specification leaves it open (`HTTPRouteRetry.attempts`).
const DEFAULT_ATTEMPTS: u32 = 2;

/// The mirrors of one list of filters.
#[derive(Debug, Default)]
pub(super) struct Mirrors {
    pub(super) mirrors: Vec<Mirror>,
    /// Values that are not served: the rule answers 500.
    pub(super) unsupported: Vec<Fault>,
    /// References that do not resolve: "If the referent cannot be found, this BackendRef is invalid and must be dropped
    /// from the Gateway" (`HTTPRequestMirrorFilter.backendRef`). Everything else of the rule is served.
    pub(super) unresolved: Vec<Fault>,
}

/// The policies of the rules so far, by name.
#[derive(Debug, Default)]
pub(super) struct Policies(BTreeMap<String, Policy>);

impl Policies {
    /// The name of this policy; none where it asks for nothing.
    pub(super) fn name(&mut self, policy: Policy) -> Option<String> {
        if policy == Policy::default() {
            return None;
        }
        let name = name(&policy);
        self.0.insert(name.clone(), policy);
        Some(name)
    }

    /// All of them.
    pub(super) fn finish(self) -> BTreeMap<String, Policy> {
        self.0
    }
}

/// `p-` and a digest of the content.
pub(super) fn name(policy: &Policy) -> String {
    // Numbers, lists and texts always have a JSON form.
    let content = serde_json::to_vec(policy).unwrap_or_default();
    format!("p-{}", digits(content))
}

/// What timeouts and retries of a rule ask for, and what of them is not served. `field` is that of the rule.
pub(super) fn limits(
    timeouts: Option<&HttpRouteTimeouts>,
    retry: Option<&HttpRouteRetry>,
    field: &str,
) -> (Policy, Vec<Fault>) {
    let mut faults = Vec::new();
    let mut policy = Policy::default();
    if let Some(timeouts) = timeouts {
        // "Setting a timeout to the zero duration (e.g. "0s") SHOULD disable the timeout completely".
        let some = |timeout: &Option<crate::api::Duration>| {
            timeout.as_ref().filter(|timeout| !timeout.is_zero()).map(crate::api::Duration::get)
        };
        policy.request_timeout = some(&timeouts.request);
        policy.backend_timeout = some(&timeouts.backend_request);
        if let (Some(request), Some(backend)) = (policy.request_timeout, policy.backend_timeout)
            && backend > request
        {
            let message = format!("{backend:?} is longer than timeouts.request, {request:?}.");
            faults.push(Fault::new(format!("{field}.timeouts.backendRequest"), "UnsupportedValue", message));
        }
    }
    if let Some(retry) = retry {
        policy.retry = translate_retry(retry, &format!("{field}.retry"), &mut faults);
    }
    (policy, faults)
}

fn translate_retry(retry: &HttpRouteRetry, field: &str, faults: &mut Vec<Fault>) -> Option<Retry> {
    for (i, code) in retry.codes.iter().enumerate() {
        if !(400..600).contains(code) {
            let message = format!("{code} is not a status code of an error (400 to 599).");
            faults.push(Fault::new(format!("{field}.codes[{i}]"), "UnsupportedValue", message));
        }
    }
    let attempts = retry.attempts.unwrap_or(DEFAULT_ATTEMPTS);
    let codes: BTreeSet<u16> = retry.codes.iter().copied().collect();
    let backoff = retry.backoff.as_ref().filter(|time| !time.is_zero()).map(crate::api::Duration::get);
    // Not to try again is what happens without retries.
    (attempts > 0).then_some(Retry { attempts, codes, backoff })
}

/// The mirrors of a list of filters of a route in `from`. `field` is that of the list.
pub(super) fn mirrors(
    filters: &[HttpRouteFilter],
    backends: &mut Backends<'_>,
    from: From<'_>,
    speaks: Speaks,
    field: &str,
) -> Mirrors {
    let mut found = Mirrors::default();
    let redirects = filters.iter().any(|filter| filter.kind == HttpRouteFilterType::RequestRedirect);
    for (i, filter) in filters.iter().enumerate() {
        let (HttpRouteFilterType::RequestMirror, Some(mirror)) = (&filter.kind, &filter.request_mirror)
        else {
            continue;
        };
        let place = format!("{field}[{i}]");
        if redirects {
            let message =
                "A redirect is answered here, so that there is no request to mirror; use one of the two.";
            found.unsupported.push(Fault::new(format!("{place}.type"), "IncompatibleFilters", message));
        }
        let field = format!("{place}.requestMirror");
        let share = per_million(mirror, &field).unwrap_or_else(|fault| {
            found.unsupported.push(fault);
            0
        });
        match backends.mirror(&mirror.backend_ref, from, speaks, &format!("{field}.backendRef")) {
            Ok(cluster) if share > 0 => found.mirrors.push(Mirror { cluster, per_million: share }),
            // Of no request, for ever.
            Ok(_) => {}
            Err(fault) => found.unresolved.push(fault),
        }
    }
    found
}

/// How many of a million requests are mirrored. "If neither Fraction or Percent is specified, then 100% of requests
/// will be mirrored" (`HTTPRequestMirrorFilter`).
fn per_million(mirror: &HttpRequestMirrorFilter, field: &str) -> Result<u32, Fault> {
    let refuse = |member: &str, message: String| {
        Err(Fault::new(format!("{field}.{member}"), "UnsupportedValue", message))
    };
    match (mirror.percent, mirror.fraction) {
        (Some(_), Some(_)) => refuse("fraction", "Percent is set as well; use one of the two.".to_owned()),
        (Some(percent @ 0..=100), None) => Ok(u32::from(percent) * (PER_MILLION / 100)),
        (Some(percent), None) => refuse("percent", format!("{percent} is more than 100.")),
        (None, Some(fraction)) => {
            let (numerator, denominator) = (fraction.numerator, fraction.denominator.unwrap_or(100));
            if denominator == 0 {
                return refuse("fraction.denominator", "0 is not a denominator (1 or more).".to_owned());
            }
            if numerator > denominator {
                let message = format!("{numerator} is more than the denominator, {denominator}.");
                return refuse("fraction.numerator", message);
            }
            let exact = u64::from(numerator) * u64::from(PER_MILLION);
            let rounded = (exact + u64::from(denominator) / 2) / u64::from(denominator);
            // Some is never none, and not all is never all.
            let (least, most) = (u32::from(numerator > 0), PER_MILLION - u32::from(numerator < denominator));
            Ok(u32::try_from(rounded).unwrap_or(PER_MILLION).clamp(least, most))
        }
        (None, None) => Ok(PER_MILLION),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::api::{BackendObjectReference, Fraction};

    fn share(percent: Option<u8>, fraction: Option<(u32, Option<u32>)>) -> Result<u32, String> {
        let backend_ref = BackendObjectReference {
            group: String::new(),
            kind: "Service".into(),
            name: "shop".into(),
            namespace: None,
            port: None,
        };
        let fraction = fraction.map(|(numerator, denominator)| Fraction { numerator, denominator });
        let mirror = HttpRequestMirrorFilter { backend_ref, percent, fraction };
        per_million(&mirror, "m").map_err(|fault| fault.field)
    }

    #[test]
    fn shares_of_mirrors_are_parts_of_a_million() {
        assert_eq!(share(None, None), Ok(1_000_000));
        assert_eq!(share(Some(0), None), Ok(0));
        assert_eq!(share(Some(35), None), Ok(350_000));
        assert_eq!(share(None, Some((25, Some(50)))), Ok(500_000));
        assert_eq!(share(None, Some((7, None))), Ok(70_000));
        assert_eq!(share(None, Some((1, Some(3)))), Ok(333_333));
        assert_eq!(share(None, Some((0, Some(3)))), Ok(0));
        assert_eq!(share(None, Some((1, Some(u32::MAX)))), Ok(1));
        assert_eq!(share(None, Some((u32::MAX - 1, Some(u32::MAX)))), Ok(999_999));
        assert_eq!(share(None, Some((u32::MAX, Some(u32::MAX)))), Ok(1_000_000));
    }

    #[test]
    fn shares_that_are_none_are_refused() {
        assert_eq!(share(Some(101), None), Err("m.percent".into()));
        assert_eq!(share(Some(1), Some((1, None))), Err("m.fraction".into()));
        assert_eq!(share(None, Some((1, Some(0)))), Err("m.fraction.denominator".into()));
        assert_eq!(share(None, Some((101, None))), Err("m.fraction.numerator".into()));
    }

    fn timeouts(request: &str, backend_request: &str) -> (Policy, Vec<Fault>) {
        let duration = |text: &str| Some(crate::api::Duration::try_from(text.to_owned()).unwrap());
        let timeouts =
            HttpRouteTimeouts { request: duration(request), backend_request: duration(backend_request) };
        limits(Some(&timeouts), None, "spec.rules[0]")
    }

    #[test]
    fn one_try_may_not_take_longer_than_all_of_them_unless_they_may_take_for_ever() {
        let (policy, faults) = timeouts("1s", "1000ms");
        let second = Some(Duration::from_secs(1));
        assert_eq!((policy.request_timeout, policy.backend_timeout, faults), (second, second, vec![]));
        let (policy, faults) = timeouts("0s", "1h");
        assert_eq!(
            (policy.request_timeout, policy.backend_timeout, faults.len()),
            (None, Some(Duration::from_secs(3600)), 0)
        );
        assert_eq!(timeouts("1s", "1001ms").1[0].field, "spec.rules[0].timeouts.backendRequest");
    }

    #[test]
    fn what_asks_for_nothing_has_no_name_and_the_same_has_the_same() {
        let mut policies = Policies::default();
        assert_eq!(policies.name(timeouts("0s", "0h0ms").0), None);
        let first = policies.name(timeouts("1s", "500ms").0).unwrap();
        assert_eq!(policies.name(timeouts("1000ms", "0s500ms").0), Some(first.clone()));
        assert_ne!(policies.name(timeouts("1s", "501ms").0), Some(first.clone()));
        assert_eq!(first.len(), 18);
        assert_eq!(policies.finish().len(), 2);
    }

    fn retry(attempts: Option<u32>, codes: &[u16]) -> (Option<Retry>, Vec<Fault>) {
        let retry = HttpRouteRetry { attempts, codes: codes.to_vec(), backoff: None };
        let (policy, faults) = limits(None, Some(&retry), "spec.rules[0]");
        (policy.retry, faults)
    }

    #[test]
    fn retries_have_a_default_and_an_end() {
        assert_eq!(retry(None, &[503, 500]).0.unwrap().attempts, 2);
        assert_eq!(retry(Some(0), &[503]).0, None);
        assert_eq!(retry(Some(1), &[503, 500]).0.unwrap().codes, [500, 503].into());
        assert_eq!(retry(None, &[500, 399]).1[0].field, "spec.rules[0].retry.codes[1]");
        assert_eq!(retry(None, &[600]).1[0].field, "spec.rules[0].retry.codes[0]");
    }
}
