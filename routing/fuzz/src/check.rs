//! What holds of every decision, whatever the config and the request: decided and explained alike, and nothing that
//! was put together from the two leads a backend or a client elsewhere.

use gatewasm_routing::{
    Decision, DecisionType, ExplainedEdits, Explanation, HeaderEdit, Matched, Request, RouteTable, wire,
};

/// Decides and explains the request.
///
/// # Panics
/// Where something does not hold, with what it was.
pub fn check(table: &RouteTable, entry: &[u8], request: &Request<'_>, random: u64) {
    let decision = table.decide(entry, request, random);
    if !matches!(decision, Decision::Respond { .. }) {
        let (path, _) = halves(request.path);
        let dots = |element: &[u8]| element.starts_with(b".;") || element.starts_with(b"..;");
        assert!(!path.split(|byte| *byte == b'/').any(dots), "an ambiguous path was served: {decision:?}");
    }
    let explained = table.explain(entry, request);
    agree(&decision, &explained);
    match &decision {
        Decision::Forward { edits, .. } => {
            if let Some(path) = &edits.path {
                leads_on(request.path, path);
            }
            for edit in edits.request_headers.iter() {
                let (HeaderEdit::Set { name, .. }
                | HeaderEdit::Add { name, .. }
                | HeaderEdit::Remove { name }) = edit
                else {
                    panic!("a change of a request: {edit:?}")
                };
                assert!(!name.starts_with(wire::PREFIX) && !name.starts_with(':'), "an edit of {name}");
            }
        }
        Decision::Redirect { location, .. } => {
            assert!(location.bytes().all(|byte| byte.is_ascii_graphic()), "{location}");
            let rest = location.split_once("://").map(|(_, rest)| rest).unwrap_or_default();
            let slash = rest.find('/').unwrap_or_else(|| panic!("{location} has no path"));
            let (host, path) = rest.split_at(slash);
            let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._:[]".contains(&byte);
            assert!(!host.is_empty() && host.bytes().all(plain), "{location}");
            leads_on(request.path, path.as_bytes());
        }
        Decision::Respond { .. } => {}
    }
}

/// The explanation names the same listener, route, rule and match, and its decision is the one, or one of those that
/// the weights allow.
fn agree(decision: &Decision<'_>, explained: &Explanation) {
    // A session keeps its backend whatever the weight has become.
    let has_session = matches!(decision, Decision::Forward { session: Some(_), .. });
    let shares = || explained.backends.iter().filter(|backend| backend.weight > 0 || has_session);
    let explained_decision = &explained.decision;
    let (agrees, matched) = match decision {
        Decision::Forward { cluster, matched, .. } => {
            let named = shares().any(|backend| backend.cluster.as_deref() == Some(*cluster));
            let only = explained_decision.cluster.as_deref();
            let alone = only.is_none_or(|only| only == *cluster);
            (explained_decision.kind == DecisionType::Forward && named && alone, Some(matched))
        }
        Decision::Redirect { status, location, matched, .. } => {
            let agrees = match explained_decision.kind {
                DecisionType::Redirect => {
                    explained_decision.status == Some(*status)
                        && explained_decision.location.as_ref() == Some(location)
                }
                DecisionType::Forward => shares().any(|backend| backend.location.as_ref() == Some(location)),
                DecisionType::Respond => false,
            };
            (agrees, Some(matched))
        }
        Decision::Respond { status, matched, .. } => {
            let agrees = match explained_decision.kind {
                DecisionType::Respond => explained_decision.status == Some(*status),
                // A share that cannot be used, or that redirects a request which cannot be redirected.
                DecisionType::Forward => explained_decision.cluster.is_none() && shares().next().is_some(),
                DecisionType::Redirect => false,
            };
            (agrees, matched.as_ref())
        }
    };
    assert!(agrees, "decided {decision:?}, explained {explained:?}");

    let place = |matched: &Matched<'_>| (matched.route.label.clone(), matched.rule, matched.match_index);
    let explained_place = explained.route.as_ref().zip(explained.rule).zip(explained.match_index);
    let explained_place = explained_place.map(|((route, rule), of)| (route.to_string(), rule, of));
    assert_eq!(matched.map(place), explained_place, "decided {decision:?}, explained {explained:?}");
    if let Some(matched) = matched {
        assert_eq!(explained.listener.as_deref(), Some(matched.listener));
    }
    let winners = explained.candidates.iter().filter(|candidate| candidate.won).count();
    assert_eq!(winners, usize::from(matched.is_some()), "{explained:?}");
    assert!(explained.candidates.iter().all(|candidate| !candidate.because.is_empty()), "{explained:?}");

    // What is explained for all shares, or for one of them.
    let edits = ExplainedEdits::from(decision);
    let mut of_shares = shares().filter_map(|backend| backend.edits.as_ref()).peekable();
    let as_explained = match of_shares.peek() {
        None => explained.edits == edits,
        Some(_) => explained.edits.is_empty() && of_shares.any(|explained| *explained == edits),
    };
    assert!(as_explained, "decided {edits:?}, explained {explained:?}");
}

/// `new` is a path, and no other one to a server that resolves dot segments and empty elements, unless the client's
/// own was not in normal form (which Envoy sees to). The query is the client's.
fn leads_on(old: &[u8], new: &[u8]) {
    let shown = || format!("{:?} became {:?}", String::from_utf8_lossy(old), String::from_utf8_lossy(new));
    let ((old_path, old_query), (new_path, new_query)) = (halves(old), halves(new));
    assert!(new_path.starts_with(b"/"), "{}", shown());
    assert!(is_normal(new_path) || !is_normal(old_path), "{}", shown());
    // In a location what is no visible ASCII is escaped.
    let escaped =
        |query: &[u8]| -> String {
            query
                .iter()
                .map(|byte| {
                    if byte.is_ascii_graphic() {
                        char::from(*byte).to_string()
                    } else {
                        format!("%{byte:02X}")
                    }
                })
                .collect()
        };
    assert!(old_query == new_query || escaped(old_query).as_bytes() == new_query, "{}", shown());
}

fn halves(path: &[u8]) -> (&[u8], &[u8]) {
    let query = path.iter().position(|byte| *byte == b'?').unwrap_or(path.len());
    path.split_at(query)
}

/// Whether a server would take every element for itself: none is empty but the last, none is `.` or `..`, encoded or
/// with parameters.
fn is_normal(path: &[u8]) -> bool {
    let path = String::from_utf8_lossy(path).to_ascii_lowercase().replace("%2e", ".");
    let Some(path) = path.strip_prefix('/') else { return false };
    let elements: Vec<&str> = path.split('/').collect();
    let last = elements.len() - 1;
    elements.iter().enumerate().all(|(index, element)| {
        let name = element.split(';').next().unwrap_or_default();
        name != "." && name != ".." && (index == last || !element.is_empty())
    })
}
