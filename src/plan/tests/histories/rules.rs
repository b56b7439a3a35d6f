//! What the policies of a history say, as values: written as YAML for the planner, read as they are by the oracle.

use std::fmt::Write as _;

use jiff::{SignedDuration, Timestamp};

use crate::config::parse_policies;
use crate::policy::PolicySet;

/// The environments, from the first to the last.
pub(super) const ENVIRONMENTS: [&str; 4] = ["dev", "staging", "prod-eu", "prod-us"];
/// How many sets of gates a history can change between.
pub(super) const VARIATIONS: usize = 3;

/// A span of each day in UTC, in hours; it may go past midnight.
#[derive(Debug, Clone, Copy)]
pub(super) struct Daily {
    pub(super) allow: bool,
    pub(super) from: i64,
    pub(super) hours: i64,
}

/// A promotion gate.
#[derive(Debug, Clone)]
pub(super) struct Promote {
    pub(super) from: Vec<usize>,
    pub(super) any: bool,
    pub(super) committed: bool,
    pub(super) soak: i64,
    pub(super) after: Option<(usize, i64)>,
}

/// What is in force in one environment; times in minutes.
#[derive(Debug, Clone)]
pub(super) struct Rule {
    pub(super) pulls: bool,
    pub(super) pin_digest: bool,
    pub(super) one_group: bool,
    pub(super) promote: Option<Promote>,
    pub(super) windows: Vec<Daily>,
    pub(super) age: Option<i64>,
    pub(super) rate: Option<(usize, i64)>,
    pub(super) debounce: Option<i64>,
}

/// The policies of a history.
#[derive(Debug)]
pub(super) struct Rules {
    pub(super) of: Vec<Rule>,
    pub(super) text: String,
    pub(super) set: PolicySet,
}

/// One of these.
pub(super) fn one<T: Clone>(rng: &mut fastrand::Rng, of: &[T]) -> T {
    of[rng.usize(..of.len())].clone()
}

/// One in so many.
pub(super) fn rarely(rng: &mut fastrand::Rng, n: usize) -> bool {
    rng.usize(..n) == 0
}

/// The variations of one shape: the same ways of writing, other gates.
pub(super) fn variations(seed: u64) -> Vec<Rules> {
    let mut rng = fastrand::Rng::with_seed(seed);
    let shape: Vec<Rule> = (0..ENVIRONMENTS.len()).map(|at| shape(&mut rng, at)).collect();
    (0..VARIATIONS)
        .map(|_| {
            let of: Vec<Rule> = shape.iter().map(|rule| gated(&mut rng, rule.clone())).collect();
            let text = text(&of);
            let set = PolicySet::new(parse_policies("policies.yaml", &text).expect("rules are policies"));
            Rules { of, text, set }
        })
        .collect()
}

fn shape(rng: &mut fastrand::Rng, at: usize) -> Rule {
    let from = match at {
        0 => Vec::new(),
        1 if rarely(rng, 3) => Vec::new(),
        1 => vec![0],
        _ if rarely(rng, 3) => vec![0, 1],
        _ => vec![1],
    };
    let promote = (!from.is_empty()).then(|| Promote {
        any: from.len() > 1 && rng.bool(),
        committed: rarely(rng, 4),
        soak: 0,
        after: (at == 3 && rng.bool()).then_some((2, 0)),
        from,
    });
    Rule {
        pulls: rng.usize(..4) < at,
        pin_digest: rarely(rng, 3),
        one_group: rarely(rng, 3),
        promote,
        windows: Vec::new(),
        age: None,
        rate: None,
        debounce: None,
    }
}

fn gated(rng: &mut fastrand::Rng, mut rule: Rule) -> Rule {
    let (day, night) = (Daily { allow: true, from: 8, hours: 9 }, Daily { allow: true, from: 20, hours: 10 });
    let (lunch, early) = (Daily { allow: false, from: 11, hours: 2 }, Daily { allow: false, from: 0, hours: 6 });
    let windows =
        [vec![], vec![], vec![], vec![day], vec![early], vec![day, lunch], vec![night, early], vec![day, night]];
    rule.windows = one(rng, &windows);
    rule.age = one(rng, &[None, None, None, Some(60), Some(720)]);
    rule.rate = one(rng, &[None, None, None, Some((1, 60)), Some((2, 30))]);
    rule.debounce = one(rng, &[None, None, None, Some(2), Some(10)]);
    if let Some(promote) = &mut rule.promote {
        promote.soak = one(rng, &[0, 30, 240, 1440]);
        promote.after = promote.after.map(|(wave, _)| (wave, one(rng, &[0, 60, 240])));
    }
    rule
}

fn text(rules: &[Rule]) -> String {
    let mut text = String::from("policies:\n");
    for (name, rule) in ENVIRONMENTS.iter().zip(rules) {
        let write = if rule.pulls { "pull-request" } else { "commit" };
        writeln!(text, "  - name: {name}\n    paths: [\"apps/{{app}}/{name}/**\"]\n    environment: {name}").unwrap();
        writeln!(text, "    write: {write}\n    tags: {{ semver: \"*\" }}").unwrap();
        if rule.pin_digest {
            text.push_str("    pin: digest\n");
        }
        if rule.one_group {
            text.push_str("    pullRequest: { group: all }\n");
        }
        if let Some(promote) = &rule.promote {
            promotion(&mut text, promote);
        }
        for (at, window) in rule.windows.iter().enumerate() {
            let kind = if window.allow { "allow" } else { "deny" };
            let head = if at == 0 { "    windows:\n" } else { "" };
            let Daily { from, hours, .. } = window;
            writeln!(text, "{head}      - {{ kind: {kind}, cron: \"0 {from} * * *\", duration: {hours}h }}").unwrap();
        }
        for (key, minutes) in [("minimumReleaseAge", rule.age), ("debounce", rule.debounce)] {
            minutes.iter().for_each(|minutes| writeln!(text, "    {key}: {minutes}m").unwrap());
        }
        if let Some((updates, per)) = rule.rate {
            writeln!(text, "    rate: {{ updates: {updates}, per: {per}m }}").unwrap();
        }
    }
    text
}

fn promotion(text: &mut String, promote: &Promote) {
    let names: Vec<&str> = promote.from.iter().map(|at| ENVIRONMENTS[*at]).collect();
    let require = if promote.committed { "committed" } else { "landed" };
    let key = if names.len() > 1 { "environments" } else { "environment" };
    let names = if names.len() > 1 { format!("[{}]", names.join(", ")) } else { names.join("") };
    // A time of nothing is written by leaving it out.
    let time = |key: &str, minutes: i64| if minutes == 0 { String::new() } else { format!(", {key}: {minutes}m") };
    let soak = time("soakTime", promote.soak);
    write!(text, "    promoteFrom: {{ {key}: {names}{soak}, require: {require}").unwrap();
    if promote.from.len() > 1 {
        write!(text, ", of: {}", if promote.any { "any" } else { "all" }).unwrap();
    }
    if let Some((wave, soak)) = promote.after {
        write!(text, ", after: [{}]{}", ENVIRONMENTS[wave], time("afterSoakTime", soak)).unwrap();
    }
    text.push_str(" }\n");
}

impl Rule {
    /// Whether its windows let anything through, by the hour of the day alone.
    pub(super) fn is_open(&self, now: Timestamp) -> bool {
        let minute = now.as_second().rem_euclid(86_400) / 60;
        let inside = |window: &Daily| (minute - window.from * 60).rem_euclid(1440) < window.hours * 60;
        let mut allows = self.windows.iter().filter(|window| window.allow).peekable();
        let allowed = allows.peek().is_none() || allows.any(inside);
        allowed && !self.windows.iter().any(|window| !window.allow && inside(window))
    }
}

/// So many minutes.
pub(super) fn minutes(count: i64) -> SignedDuration {
    SignedDuration::from_mins(count)
}
