//! A smaller config and request about which the same is to be said: parts are left out as long as it holds.

use gatewasm_routing::config::FilterConfig;

use crate::Question;

/// Leaves out whatever can be left out while `holds` says yes.
pub fn shrink(
    config: &FilterConfig,
    question: &Question,
    holds: impl Fn(&FilterConfig, &Question) -> bool,
) -> (FilterConfig, Question) {
    let (mut config, mut question) = (config.clone(), question.clone());
    loop {
        let smaller = smaller_configs(&config).into_iter().find(|smaller| holds(smaller, &question));
        if let Some(smaller) = smaller {
            config = smaller;
            continue;
        }
        let smaller = smaller_questions(&question).into_iter().find(|smaller| holds(&config, smaller));
        let Some(smaller) = smaller else { return (config, question) };
        question = smaller;
    }
}

/// The same without one of the elements of a list.
fn without_one<T: Clone>(list: &[T]) -> impl Iterator<Item = Vec<T>> {
    (0..list.len()).map(|at| {
        let mut list = list.to_vec();
        list.remove(at);
        list
    })
}

/// The same with one of the elements of a list made smaller.
fn with_one<T: Clone>(list: &[T], smaller: impl Fn(&T) -> Vec<T>) -> Vec<Vec<T>> {
    let mut all = Vec::new();
    for (at, element) in list.iter().enumerate() {
        for smaller in smaller(element) {
            let mut list = list.to_vec();
            list[at] = smaller;
            all.push(list);
        }
    }
    all
}

/// Copies of `$it` whose field is, in turn, each of the lists.
macro_rules! each {
    ($it:expr, $field:ident, $lists:expr) => {
        $lists.into_iter().map(|list| {
            let mut copy = $it.clone();
            copy.$field = list;
            copy
        })
    };
}

fn smaller_configs(config: &FilterConfig) -> Vec<FilterConfig> {
    let mut all = Vec::new();
    all.extend(each!(config, listeners, without_one(&config.listeners)));
    let listeners = with_one(&config.listeners, |listener| {
        let routes = with_one(&listener.routes, |route| {
            let rules = with_one(&route.rules, |rule| {
                let matches = with_one(&rule.matches, |it| {
                    let mut all = Vec::new();
                    all.extend(each!(it, headers, without_one(&it.headers)));
                    all.extend(each!(it, query_params, without_one(&it.query_params)));
                    all.extend(each!(it, method, it.method.is_some().then_some(None)));
                    all.extend(each!(it, path, it.path.is_some().then_some(None)));
                    all
                });
                let backends = with_one(&rule.backends, |backend| {
                    let mut all = Vec::new();
                    all.extend(each!(backend, filters, without_one(&backend.filters)));
                    all.extend(each!(backend, weight, (backend.weight > 1).then_some(1)));
                    all.extend(each!(backend, policy, backend.policy.is_some().then_some(None)));
                    all
                });
                let mut all = Vec::new();
                all.extend(each!(rule, matches, without_one(&rule.matches)));
                all.extend(each!(rule, filters, without_one(&rule.filters)));
                all.extend(each!(rule, backends, without_one(&rule.backends)));
                all.extend(each!(rule, name, rule.name.is_some().then_some(None)));
                all.extend(each!(rule, policy, rule.policy.is_some().then_some(None)));
                all.extend(each!(rule, invalid, rule.invalid.is_some().then_some(None)));
                all.extend(each!(rule, matches, matches));
                all.extend(each!(rule, backends, backends));
                all
            });
            let mut all = Vec::new();
            all.extend(each!(route, rules, without_one(&route.rules)));
            all.extend(each!(route, hostnames, without_one(&route.hostnames)));
            let dated = route.creation_timestamp.is_some();
            all.extend(each!(route, creation_timestamp, dated.then_some(None)));
            all.extend(each!(route, rules, rules));
            all
        });
        let mut all = Vec::new();
        all.extend(each!(listener, routes, without_one(&listener.routes)));
        all.extend(each!(listener, hostname, listener.hostname.is_some().then_some(None)));
        all.extend(each!(listener, routes, routes));
        all
    });
    all.extend(each!(config, listeners, listeners));
    all
}

fn smaller_questions(question: &Question) -> Vec<Question> {
    let mut all = Vec::new();
    all.extend(each!(question, headers, without_one(&question.headers)));
    all.extend(each!(question, answer, without_one(&question.answer)));
    all.extend(each!(question, random, (question.random != 0).then_some(0)));
    // The query string's parameters, then all of it.
    let parts: Vec<&[u8]> = question.path.splitn(2, |byte| *byte == b'?').collect();
    if let [path, query] = parts.as_slice() {
        all.extend(each!(question, path, [path.to_vec()]));
        let parameters: Vec<&[u8]> = query.split(|byte| *byte == b'&').collect();
        let fewer = without_one(&parameters).filter(|fewer| !fewer.is_empty());
        let paths = fewer.map(|fewer| [path, fewer.join(&b'&').as_slice()].join(&b'?'));
        all.extend(each!(question, path, paths));
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::generate::{Options, rule_set};

    #[test]
    fn what_does_not_matter_is_left_out() {
        let set = rule_set(1, 1, 1, Options::default());
        let (config, question) =
            shrink(&set.config, &set.questions[0], |config, _| !config.listeners.is_empty());
        assert_eq!(config.listeners.len(), 1);
        assert!(config.listeners[0].routes.is_empty() && config.listeners[0].hostname.is_none());
        assert!(question.headers.is_empty() && question.answer.is_empty() && question.random == 0);
    }
}
