//! The comparison: engine and reference are asked the same about many rule sets.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};
use gatewasm_routing::config::FilterConfig;
use gatewasm_routing::{RouteTable, compile};

use crate::cors::{Verdict, fault};
use crate::engine;
use crate::generate::{Options, rule_set};
use crate::outcome::{Action, Outcome, Question};
use crate::reference::{Expected, Expressions, Reference};
use crate::shrink::shrink;

/// How much is compared.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// What everything follows from.
    pub seed: u64,
    /// Pairs of rule set and request.
    pub pairs: u64,
    /// Requests of each rule set.
    pub requests: u64,
    /// Threads.
    pub threads: u64,
    /// What is generated.
    pub options: Options,
}

/// What was compared, and found equal.
#[derive(Debug, Default)]
pub struct Report {
    /// Pairs.
    pub pairs: u64,
    /// Rule sets.
    pub rule_sets: u64,
    /// Rules of all rule sets, as attached.
    pub rules: u64,
    /// How long it took.
    pub time: Duration,
    /// How often each kind of outcome was seen.
    pub outcomes: BTreeMap<String, u64>,
}

/// A question that engine and reference answer differently.
#[derive(Debug)]
pub struct Difference {
    /// Which pair it was, counted from the first.
    pub after: u64,
    /// The config, as small as it gets.
    pub config: FilterConfig,
    /// The request.
    pub question: Question,
    /// What the reference says.
    pub expected: Outcome,
    /// What the engine says.
    pub seen: Outcome,
    /// What is wrong, where the outcomes themselves do not show it.
    pub why: Option<String>,
}

/// Why two outcomes are not the same.
pub fn difference(expected: &Expected<'_>, seen: &Outcome, question: &Question) -> Option<String> {
    let own = &expected.outcome;
    let Some(cors) = expected.cors else {
        return (own != seen).then(|| "the outcomes differ".to_owned());
    };
    if own.listener != seen.listener || own.taken != seen.taken || own.action != seen.action {
        return Some("the outcomes differ".to_owned());
    }
    let preflight = matches!(own.action, Action::Preflight { .. });
    let right = Verdict::of(&own.answer, question, cors, preflight);
    let its = Verdict::of(&seen.answer, question, cors, preflight);
    if right != its {
        return Some(format!("a browser reads {its:?}\nand should read {right:?}"));
    }
    fault(&seen.answer, question, cors)
}

/// Compares as planned; the first difference ends it.
pub fn run(plan: Plan) -> Result<std::result::Result<Report, Box<Difference>>> {
    let begin = Instant::now();
    let (next, found) = (AtomicU64::new(0), AtomicBool::new(false));
    let rule_sets = plan.pairs.div_ceil(plan.requests);
    let results: Vec<Result<Worked>> = std::thread::scope(|scope| {
        let threads: Vec<_> =
            (0..plan.threads).map(|_| scope.spawn(|| work(plan, rule_sets, &next, &found))).collect();
        let ends = threads.into_iter().map(|thread| thread.join().map_err(|_| anyhow!("a thread panicked")));
        ends.map(Result::flatten).collect()
    });
    let mut report = Report::default();
    for worked in results {
        match worked? {
            Err(difference) => return Ok(Err(difference)),
            Ok(part) => {
                report.pairs += part.pairs;
                report.rule_sets += part.rule_sets;
                report.rules += part.rules;
                for (outcome, count) in part.outcomes {
                    *report.outcomes.entry(outcome).or_default() += count;
                }
            }
        }
    }
    report.time = begin.elapsed();
    Ok(Ok(report))
}

type Worked = std::result::Result<Report, Box<Difference>>;

fn work(plan: Plan, rule_sets: u64, next: &AtomicU64, found: &AtomicBool) -> Result<Worked> {
    let mut report = Report::default();
    let expressions = Expressions::default();
    let requests = usize::try_from(plan.requests)?;
    loop {
        let number = next.fetch_add(1, Ordering::Relaxed);
        if number >= rule_sets || found.load(Ordering::Relaxed) {
            return Ok(Ok(report));
        }
        let set = rule_set(plan.seed, number, requests, plan.options);
        let table = sound(&set.config).with_context(|| format!("rule set {number} of seed {}", plan.seed))?;
        let reference = Reference::new(&set.config, &expressions);
        report.rule_sets += 1;
        report.rules += u64::try_from(table.rule_count())?;
        for (index, question) in (1..).zip(&set.questions) {
            report.pairs += 1;
            let expected = reference.answer(question);
            let seen = engine::outcome(&table, question);
            *report.outcomes.entry(expected.outcome.kind()).or_default() += 1;
            if difference(&expected, &seen, question).is_some() {
                found.store(true, Ordering::Relaxed);
                return Ok(Err(Box::new(smallest(
                    &set.config,
                    question,
                    number * plan.requests + index,
                    &expressions,
                )?)));
            }
        }
    }
}

/// A generated config is sound: the engine must take it.
fn sound(config: &FilterConfig) -> Result<RouteTable> {
    compile(config).map_err(|problems| {
        let list: Vec<String> = problems.iter().map(ToString::to_string).collect();
        let text = serde_json::to_string(config).unwrap_or_default();
        anyhow!("the engine refuses a config that is sound:\n{}\n{text}", list.join("\n"))
    })
}

fn smallest(
    config: &FilterConfig,
    question: &Question,
    after: u64,
    expressions: &Expressions,
) -> Result<Difference> {
    let differs = |config: &FilterConfig, question: &Question| {
        compile(config).ok().and_then(|table| {
            let expected = Reference::new(config, expressions).answer(question);
            difference(&expected, &engine::outcome(&table, question), question)
        })
    };
    let (config, question) = shrink(config, question, |config, question| differs(config, question).is_some());
    let Some(why) = differs(&config, &question) else { bail!("the difference does not happen again") };
    let expected = Reference::new(&config, expressions).answer(&question).outcome;
    let seen = engine::outcome(&sound(&config)?, &question);
    let why = (expected == seen || !why.starts_with("the outcomes")).then_some(why);
    Ok(Difference { after, config, question, expected, seen, why })
}

/// How often each kind of outcome was seen, a line for each.
pub fn list(outcomes: &BTreeMap<String, u64>) -> String {
    outcomes.iter().map(|(outcome, count)| format!("{count:>10}  {outcome}\n")).collect()
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{} pairs over {} rule sets ({} rules) in {:.1} s: no difference",
            self.pairs,
            self.rule_sets,
            self.rules,
            self.time.as_secs_f64()
        )?;
        f.write_str(&list(&self.outcomes))
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let config = serde_json::to_string_pretty(&self.config).unwrap_or_default();
        writeln!(f, "difference after {} pairs\n\n{config}\n\n{:?}\n", self.after, self.question)?;
        writeln!(f, "the reference expects:\n{:?}\n\nthe engine says:\n{:?}", self.expected, self.seen)?;
        match &self.why {
            Some(why) => writeln!(f, "\n{why}"),
            None => Ok(()),
        }
    }
}
