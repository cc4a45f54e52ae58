//! What holds for every config and every request.
#![cfg(not(target_arch = "wasm32"))]
// The helpers below are test code too, which the lints see only in functions marked as tests.
#![allow(clippy::arithmetic_side_effects, clippy::indexing_slicing, clippy::panic, clippy::unwrap_used)]

mod support;

use std::cmp::Ordering;
use std::collections::BTreeSet;

use gatewasm_routing::config::{FilterConfig, PathMatchType, RouteKind};
use gatewasm_routing::precedence::{HostnameRank, Precedence};
use gatewasm_routing::timestamp::Timestamp;
use gatewasm_routing::{
    Decision, DecisionType, ExplainedEdits, ExplainedUpstream, Explanation, HeaderEdit, Outcome, Request,
    RouteTable, compile, parse,
};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use support::generate::{Incoming, config, config_with_filters, crowded_config, incoming};
use support::reference::{self, Answer};

fn table(config: &FilterConfig) -> RouteTable {
    compile(config).unwrap_or_else(|problems| panic!("{problems:?}"))
}

fn decide(table: &RouteTable, entry: &str, incoming: &Incoming) -> Answer {
    incoming.with(|request| answer(table.decide(entry.as_bytes(), request, incoming.random)))
}

fn answer(decision: Decision<'_>) -> Answer {
    let (outcome, matched) = match decision {
        Decision::Forward { cluster, matched, .. } => (Ok(cluster.to_owned()), Some(matched)),
        Decision::Redirect { status, matched, .. } => (Err(status), Some(matched)),
        Decision::Respond { status, matched, .. } => (Err(status), matched),
    };
    let matched = matched.map(|matched| {
        let route = matched.route.label.clone();
        (matched.listener.to_owned(), route, matched.rule, matched.match_index)
    });
    Answer { outcome, matched }
}

proptest! {
    #[test]
    fn the_table_equals_a_naive_reading(config in config(), requests in vec(incoming(), 1..32)) {
        let table = table(&config);
        for incoming in requests {
            let entry = incoming.entry(&config);
            let expected = incoming.with(|request| reference::decide(&config, &entry, request, incoming.random));
            prop_assert_eq!(decide(&table, &entry, &incoming), expected, "{} {:?}", entry, incoming);
        }
    }

    #[test]
    fn the_order_of_listeners_and_routes_means_nothing(
        (config, shuffled) in config().prop_flat_map(|config| (Just(config.clone()), shuffled(config))),
        requests in vec(incoming(), 1..16),
    ) {
        let (one, other) = (table(&config), table(&shuffled));
        for incoming in requests {
            let entry = incoming.entry(&config);
            prop_assert_eq!(decide(&one, &entry, &incoming), decide(&other, &entry, &incoming));
            let explain = |table: &RouteTable| incoming.with(|request| table.explain(entry.as_bytes(), request));
            prop_assert_eq!(explain(&one), explain(&other));
        }
    }

    #[test]
    fn explain_agrees_with_decide(config in config_with_filters(), requests in vec(incoming(), 1..16)) {
        let table = table(&config);
        for incoming in requests {
            let entry = incoming.entry(&config);
            incoming.with(|request| {
                let decided = table.decide(entry.as_bytes(), request, incoming.random);
                agree(&table.explain(entry.as_bytes(), request), decided)
            })?;
        }
    }

    /// A client that keeps what it is told comes back to the same cluster, whatever is drawn, as long as the session lasts;
    /// a request of another rule, or with another key, is not bound by it.
    #[test]
    fn a_session_stays_where_it_began(
        config in config_with_filters(), requests in vec(incoming(), 1..16), randoms in vec(any::<u64>(), 1..4),
    ) {
        let table = table(&config);
        let other_key = compile(&FilterConfig { session_key: Some("another".to_owned()), ..config.clone() }).unwrap();
        for incoming in requests {
            let entry = incoming.entry(&config);
            let told = incoming.with(|request| {
                match table.decide_at(entry.as_bytes(), request, incoming.random, &|| 1_000) {
                    Decision::Forward { cluster, session: Some(session), .. } => {
                        let told = session.answer(Outcome::Answered, Some(b"MTAuMC4wLjE6ODA4MA=="), &|| 1_000);
                        told.map(|told| (cluster.to_owned(), told))
                    }
                    _ => None,
                }
            });
            let Some((cluster, told)) = told else { continue };
            let told = match &told {
                HeaderEdit::Set { name, value } => (&**name, &**value),
                HeaderEdit::Add { value, .. } => ("cookie", value.split(';').next().unwrap()),
                HeaderEdit::Remove { .. } | HeaderEdit::RemovePrefix { .. } => panic!("{told:?}"),
            };
            // What a header of this name had before was no session: in its place comes this one.
            let mut again = incoming.clone();
            again.headers.retain(|(name, _)| *name != told.0);
            let again = |random, now, table: &RouteTable| {
                again.with(|request| {
                    let headers: Vec<_> =
                        request.headers.iter().copied().chain([(told.0.as_bytes(), told.1.as_bytes())]).collect();
                    let request = Request { headers: &headers, ..*request };
                    let decision = table.decide_at(entry.as_bytes(), &request, random, &|| now);
                    let (to, endpoint) = match &decision {
                        Decision::Forward { cluster, session: Some(session), .. } => {
                            ((*cluster).to_owned(), session.endpoint().map(str::to_owned))
                        }
                        _ => (String::new(), None),
                    };
                    agree(&table.explain_at(entry.as_bytes(), &request, &|| now), decision).map(|()| (to, endpoint))
                })
            };
            for random in &randoms {
                let held = (cluster.clone(), Some("10.0.0.1:8080".to_owned()));
                prop_assert_eq!(again(*random, 1_000, &table)?, held);
                prop_assert_eq!(again(*random, 1_000, &other_key)?.1, None);
            }
            again(incoming.random, 1_060, &table)?;
        }
    }

    /// What is put together from a request and a config of normal paths is a normal path, or a safe location.
    #[test]
    fn edits_keep_paths_normal(config in config_with_filters(), requests in vec(incoming(), 1..16)) {
        let table = table(&config);
        for incoming in requests.into_iter().filter(|incoming| !incoming.path.contains("//")) {
            let entry = incoming.entry(&config);
            let path = incoming.with(|request| match table.decide(entry.as_bytes(), request, incoming.random) {
                Decision::Forward { edits, .. } => edits.path.map(|path| String::from_utf8(path).unwrap()),
                Decision::Redirect { location, .. } => {
                    location.split_once("://").and_then(|(_, rest)| Some(format!("/{}", rest.split_once('/')?.1)))
                }
                Decision::Respond { .. } => None,
            });
            let Some(path) = path else { continue };
            let query = |path: &str| path.split_once('?').map(|(_, query)| query.to_owned());
            prop_assert_eq!(query(&path), query(&incoming.path));
            let path = path.split('?').next().unwrap_or_default();
            prop_assert!(path.starts_with('/') && !path.contains("//") && !path.contains("/."), "{}", path);
        }
    }

    #[test]
    fn a_config_survives_being_written_and_read(config in config_with_filters()) {
        let json = serde_json::to_vec(&config).unwrap();
        let read = parse(&json).unwrap();
        prop_assert_eq!(&read, &config);
        prop_assert_eq!(serde_json::to_vec(&read).unwrap(), json);
        prop_assert!(compile(&read).is_ok());
    }

    #[test]
    fn any_bytes_can_be_asked_about(
        config in config_with_filters(),
        method in bytes(), authority in bytes(), path in bytes(),
        headers in vec((bytes(), bytes()), 0..4),
        entry in prop_oneof![Just(b"infra/a:80".to_vec()), bytes()],
        random in any::<u64>(),
    ) {
        let headers: Vec<_> = headers.iter().map(|(name, value)| (name.as_slice(), value.as_slice())).collect();
        let request = Request { method: &method, authority: &authority, path: &path, headers: &headers };
        let table = table(&config);
        let decided = table.decide(&entry, &request, random);
        if let Decision::Redirect { location, .. } = &decided {
            prop_assert!(location.bytes().all(|byte| byte.is_ascii_graphic()), "{}", location);
        }
        agree(&table.explain(&entry, &request), decided)?;
    }

    #[test]
    fn any_bytes_can_be_read(bytes in vec(any::<u8>(), 0..256)) {
        let _ = parse(&bytes).map(|config| compile(&config).is_ok());
    }

    #[test]
    fn a_damaged_config_can_be_read(config in config(), at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let mut json = serde_json::to_vec(&config).unwrap();
        *at.get_mut(&mut json) = byte;
        let _ = parse(&json).map(|config| compile(&config).is_ok());
    }

    #[test]
    fn any_text_can_be_a_value(text in ".{0,64}", name in ".{0,8}") {
        use gatewasm_routing::config::{GrpcMethodMatch, PathMatch, RouteMatch, ValueMatch, ValueMatchType};
        for kind in [PathMatchType::Exact, PathMatchType::PathPrefix, PathMatchType::RegularExpression] {
            let value = ValueMatch { kind: ValueMatchType::RegularExpression, name: name.clone(), value: text.clone() };
            let _ = gatewasm_routing::check_match(&RouteMatch {
                path: Some(PathMatch { kind, value: text.clone() }),
                grpc_method: Some(GrpcMethodMatch {
                    kind: ValueMatchType::Exact,
                    service: Some(text.clone()),
                    method: Some(name.clone()),
                }),
                headers: vec![value.clone()],
                query_params: vec![value],
                method: Some(text.clone()),
            });
        }
    }

    #[test]
    fn precedence_is_a_total_order(a in precedence(), b in precedence(), c in precedence()) {
        prop_assert_eq!(a.cmp(&b), b.cmp(&a).reverse());
        prop_assert_eq!(a.cmp(&b) == Ordering::Equal, a == b);
        if a <= b && b <= c {
            prop_assert!(a <= c);
        }
        let mut sorted = [c, a, b];
        sorted.sort();
        prop_assert!(sorted.is_sorted());
    }
}

proptest! {
    // Dozens of expressions are compiled for each.
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_crowd_on_one_hostname_is_told_apart(config in crowded_config(), requests in vec(incoming(), 16..32)) {
        let table = table(&config);
        for incoming in requests {
            let entry = "infra/a:80";
            let expected = incoming.with(|request| reference::decide(&config, entry, request, incoming.random));
            prop_assert_eq!(decide(&table, entry, &incoming), expected, "{:?}", incoming);
            incoming.with(|request| {
                let decided = table.decide(entry.as_bytes(), request, incoming.random);
                agree(&table.explain(entry.as_bytes(), request), decided)
            })?;
        }
    }
}

/// The explanation names the same listener, route, rule and match, and its decision is the one, or one of those that
/// the weights allow.
fn agree(explained: &Explanation, decision: Decision<'_>) -> Result<(), TestCaseError> {
    let edits = ExplainedEdits::from(&decision);
    let location = match &decision {
        Decision::Redirect { location, .. } => Some(location.clone()),
        _ => None,
    };
    let forwarded = match &decision {
        Decision::Forward { cluster, policy, .. } => Some(((*cluster).to_owned(), policy.map(str::to_owned))),
        _ => None,
    };
    let decided = &answer(decision);
    let route = explained.route.as_ref().map(ToString::to_string);
    let matched = decided.matched.clone();
    prop_assert_eq!(&route, &matched.as_ref().map(|(_, route, ..)| route.clone()));
    prop_assert_eq!(explained.rule, matched.as_ref().map(|(.., rule, _)| *rule));
    prop_assert_eq!(explained.match_index, matched.as_ref().map(|(.., index)| *index));
    if let Some((listener, ..)) = &matched {
        prop_assert_eq!(explained.listener.as_ref(), Some(listener));
    }
    let winners: Vec<_> = explained.candidates.iter().filter(|candidate| candidate.won).collect();
    prop_assert_eq!(winners.len(), usize::from(matched.is_some()));
    prop_assert!(explained.candidates.iter().all(|candidate| !candidate.because.is_empty()));
    let decision = &explained.decision;
    let allowed = match (&decided.outcome, decision.kind) {
        (Ok(cluster), DecisionType::Forward) => match &decision.cluster {
            Some(only) => only == cluster,
            None => explained
                .backends
                .iter()
                .any(|backend| backend.cluster.as_ref() == Some(cluster) && backend.weight > 0),
        },
        (Err(status), DecisionType::Respond) => decision.status == Some(*status) && location.is_none(),
        (Err(status), DecisionType::Redirect) => {
            decision.status == Some(*status) && decision.location == location && location.is_some()
        }
        // A share that redirects.
        (Err(_), DecisionType::Forward) if location.is_some() => {
            explained.backends.iter().any(|backend| backend.location == location && backend.weight > 0)
        }
        // A share that redirects, of a request that cannot be.
        (Err(400), DecisionType::Forward) => decision.cluster.is_none(),
        // A share of a backend that cannot be used.
        (Err(500), DecisionType::Forward) => {
            decision.cluster.is_none()
                && explained.backends.iter().any(|backend| backend.invalid.is_some() && backend.weight > 0)
        }
        _ => false,
    };
    prop_assert!(allowed, "{:?} {:?}", explained, decided);
    // What is explained for all shares, or for one of them.
    let of_shares = explained.backends.iter().filter(|backend| backend.weight > 0);
    let mut of_shares = of_shares.filter_map(|backend| backend.edits.as_ref()).peekable();
    let as_explained = match of_shares.peek() {
        None => explained.edits == edits,
        Some(_) => explained.edits.is_empty() && of_shares.any(|explained| *explained == edits),
    };
    prop_assert!(as_explained, "{:?} {:?}", explained, edits);
    // The same holds of the policy, and of what arrives.
    if let Some((cluster, policy)) = forwarded {
        let of_cluster = explained.backends.iter().filter(|backend| backend.cluster == Some(cluster.clone()));
        let policies: Vec<_> = of_cluster.map(|backend| backend.policy.clone()).collect();
        prop_assert!(policies.contains(&policy), "{:?} {:?}", explained, policy);
        prop_assert!(explained.decision.cluster.is_none() || explained.decision.policy == policy);
        let upstream = explained.upstream.iter();
        let mut upstream =
            upstream.chain(explained.backends.iter().filter_map(|backend| backend.upstream.as_ref()));
        let arrives = |upstream: &ExplainedUpstream| {
            edits.host.as_ref().is_none_or(|host| *host == upstream.host)
                && edits.path.as_ref().is_none_or(|path| *path == upstream.path)
        };
        prop_assert!(upstream.any(arrives), "{:?} {:?}", explained, edits);
    }
    Ok(())
}

fn shuffled(mut config: FilterConfig) -> impl Strategy<Value = FilterConfig> {
    let listeners = std::mem::take(&mut config.listeners);
    let routes_shuffled: Vec<_> = listeners
        .into_iter()
        .map(|listener| {
            let routes = Just(listener.routes.clone()).prop_shuffle();
            routes.prop_map(move |routes| gatewasm_routing::config::Listener { routes, ..listener.clone() })
        })
        .collect();
    routes_shuffled.prop_shuffle().prop_map(move |listeners| FilterConfig { listeners, ..config.clone() })
}

fn bytes() -> impl Strategy<Value = Vec<u8>> {
    // Bytes that mean something somewhere come up often.
    let telling = select(b"/.?&=%+:*[]ax \0\xff".to_vec());
    vec(prop_oneof![2 => telling, 1 => any::<u8>()], 0..300)
}

fn precedence() -> impl Strategy<Value = Precedence<'static>> {
    let path_type =
        select(vec![PathMatchType::Exact, PathMatchType::PathPrefix, PathMatchType::RegularExpression]);
    let created = select(vec![None, Some("2025-01-01T00:00:00Z"), Some("2026-01-01T00:00:00Z")]);
    let created = created.prop_map(|text| text.and_then(Timestamp::parse));
    let counts = (0..2_usize, 0..2_usize, 0..2_usize, 0..2_usize, 0..2_usize);
    let grpc = (select(vec![RouteKind::HttpRoute, RouteKind::GrpcRoute]), 0..2_usize, 0..2_usize);
    let places = (0..2_usize, 0..2_usize);
    (counts, grpc, path_type, any::<bool>(), created, select(vec!["a/x", "a-b/x"]), places).prop_map(
        |(
            (non_wildcard, any, path_length, headers, query_params),
            (kind, service_length, grpc_method_length),
            path_type,
            method,
            created,
            route,
            (rule, match_index),
        )| {
            let hostname = HostnameRank { non_wildcard, any };
            Precedence {
                hostname,
                kind,
                service_length,
                grpc_method_length,
                path_type,
                path_length,
                method,
                headers,
                query_params,
                created,
                route,
                rule,
                match_index,
            }
        },
    )
}

proptest! {
    /// The alphabet is small, so that many matches are shadowed and the requests meet them.
    #[test]
    fn what_is_shadowed_never_wins(config in config(), requests in vec(incoming(), 1..64)) {
        let table = table(&config);
        let shadowed: BTreeSet<_> = table
            .shadowed()
            .into_iter()
            .map(|it| (it.listener, format!("{}/{}", it.of.namespace, it.of.name), it.of.rule, it.of.match_index))
            .collect();
        for incoming in requests {
            let matched = decide(&table, &incoming.entry(&config), &incoming).matched;
            prop_assert!(!matched.as_ref().is_some_and(|it| shadowed.contains(it)), "{:?} {:?}", matched, incoming);
        }
    }

    /// A rule that stands twice in a route is found, whatever else there is.
    #[test]
    fn a_rule_that_stands_twice_is_shadowed(config in config(), pick in any::<prop::sample::Index>()) {
        let mut config = config;
        let mut routes: Vec<_> = config.listeners.iter_mut().flat_map(|listener| &mut listener.routes).collect();
        routes.retain(|route| !route.rules.is_empty());
        prop_assume!(!routes.is_empty());
        let at = pick.index(routes.len());
        let route = &mut *routes[at];
        route.rules.push(route.rules[0].clone());
        let (name, last) = ((route.namespace.clone(), route.name.clone()), route.rules.len() - 1);
        let count = route.rules[0].matches.len().max(1);
        let shadowed = table(&config).shadowed();
        let found = shadowed.iter().filter(|it| (&it.of.namespace, &it.of.name) == (&name.0, &name.1) && it.of.rule == last);
        prop_assert!(found.count() >= count, "{:?}", shadowed);
    }
}
