//! Gates that are valid individually but together let little or nothing through.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::Timestamp;

use crate::config::Diagnostic;
use crate::policy::{Policy, PolicySet, Window, WindowKind, WindowState, windows_state};

/// Where the search for windows starts: any fixed day will do.
const FROM: Timestamp = Timestamp::constant(1_735_689_600, 0);
/// How many openings of a window are examined: enough to cover nights, weekends and months.
const OPENINGS: usize = 40;

/// Errors and possible mistakes in the gates of all policies together.
pub(super) fn warnings(set: &PolicySet) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    for policy in set.policies() {
        found.extend(never_open(policy));
        found.extend(narrow_rate(policy));
        found.extend(drafts(policy));
        found.extend(unknown_upstream(policy, set));
        found.extend(long_soak(policy, set));
    }
    found.extend(cycles(set));
    found
}

fn environment(policy: &Policy) -> Option<&str> {
    policy.fields.environment.as_ref().map(|environment| environment.value.as_str())
}

fn never_open(policy: &Policy) -> Option<Diagnostic> {
    let windows = policy.fields.windows.as_ref()?;
    let never = matches!(windows_state(&windows.value, FROM), WindowState::Closed { opens: None });
    let message = format!("policy `{}`: these windows never open: some deny what others allow", policy.name.value);
    never.then(|| Diagnostic::error(&windows.origin, message).with_hint("shorten the windows of `kind: deny`"))
}

/// A rate whose span is longer than a window is open.
fn narrow_rate(policy: &Policy) -> Option<Diagnostic> {
    let (rate, windows) = (policy.fields.rate.as_ref()?, policy.fields.windows.as_ref()?);
    let longest = allowing(&windows.value).map(|window| window.duration).max()?;
    let message = format!(
        "policy `{}`: at most {} updates fit into one window, since `rate` counts over a longer time than a window is open; \
         with more to do, some wait forever",
        policy.name.value, rate.value.updates
    );
    (rate.value.per > longest)
        .then(|| Diagnostic::warning(&rate.origin, message).with_hint("raise `updates`, or shorten `per`"))
}

/// Drafts that the bot should merge: no forge merges one, and only people mark them as ready for review.
fn drafts(policy: &Policy) -> Option<Diagnostic> {
    let fields = &policy.fields.pull_request;
    let (draft, automerge) = (fields.draft.as_ref()?, fields.automerge.as_ref()?);
    let message = format!(
        "policy `{}`: with `draft: true` the bot merges nothing before somebody marks it as ready for review",
        policy.name.value
    );
    let hint = "correct if that is meant; otherwise remove `draft` or `automerge`";
    (draft.value && automerge.value).then(|| Diagnostic::warning(&draft.origin, message).with_hint(hint))
}

fn unknown_upstream(policy: &Policy, set: &PolicySet) -> Vec<Diagnostic> {
    let Some(promote) = &policy.fields.promote_from else { return Vec::new() };
    let named: BTreeSet<&str> = set.policies().iter().filter_map(environment).collect();
    // A capture may stand for any name, and another repository may have the environment.
    let open = named.iter().any(|name| name.contains('{')) || set.policies().iter().any(captures_environment);
    let unknown = promote.value.environments.iter().filter(|name| !open && !named.contains(name.as_str()));
    let warning = |name: &String| {
        let message = format!("policy `{}`: no policy here gives any path the environment `{name}`", policy.name.value);
        Diagnostic::warning(&promote.origin, message)
            .with_hint("correct if it is in another repository; otherwise nothing is ever promoted")
    };
    unknown.map(warning).collect()
}

fn captures_environment(policy: &Policy) -> bool {
    policy.fields.environment.is_none()
        && policy.paths.iter().any(|path| path.captures().iter().any(|name| name == "env"))
}

/// A soak time that is longer than the interval at which upstream takes the next version.
fn long_soak(policy: &Policy, set: &PolicySet) -> Vec<Diagnostic> {
    let Some(promote) = &policy.fields.promote_from else { return Vec::new() };
    let soak = promote.value.soak_time;
    let upstream = set.policies().iter().filter(|other| {
        environment(other).is_some_and(|name| promote.value.environments.iter().any(|upstream| upstream == name))
    });
    let warning = |other: &Policy| {
        let period = allowing(&other.fields.windows.as_ref()?.value).filter_map(period).min()?;
        let message = format!(
            "policy `{}`: the soak is longer than the time between two windows of `{}`; if every window brings a new \
             version, none ever completes its soak",
            policy.name.value, other.name.value
        );
        let hint = "shorten `soakTime`, or let upstream change less often";
        (soak > period).then(|| Diagnostic::warning(&promote.origin, message).with_hint(hint))
    };
    upstream.filter_map(warning).collect()
}

fn allowing(windows: &[Window]) -> impl Iterator<Item = &Window> {
    windows.iter().filter(|window| window.kind == WindowKind::Allow)
}

/// The longest time between two openings of a window, among the next ones.
fn period(window: &Window) -> Option<Duration> {
    let mut at = window.opens.next(FROM)?;
    let mut longest = Duration::ZERO;
    for _ in 0..OPENINGS {
        let next = window.opens.next(at)?;
        longest = longest.max(Duration::try_from(next.duration_since(at)).unwrap_or_default());
        at = next;
    }
    Some(longest)
}

/// Environments that wait for one another.
fn cycles(set: &PolicySet) -> Vec<Diagnostic> {
    let mut upstream: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for policy in set.policies() {
        let (Some(name), Some(promote)) = (environment(policy), &policy.fields.promote_from) else { continue };
        let from = promote.value.environments.iter().chain(&promote.value.after).map(String::as_str);
        upstream.entry(name).or_default().extend(from);
    }
    let reaches = |start: &str| {
        let mut open: Vec<&str> = upstream.get(start).into_iter().flatten().copied().collect();
        let mut seen = BTreeSet::new();
        while let Some(name) = open.pop() {
            if name == start {
                return true;
            }
            if seen.insert(name) {
                open.extend(upstream.get(name).into_iter().flatten().copied());
            }
        }
        false
    };
    let error = |policy: &Policy| {
        let (name, promote) = (environment(policy)?, policy.fields.promote_from.as_ref()?);
        let message = format!(
            "policy `{}`: `{name}` waits for {}, which waits for `{name}`: nothing is ever promoted",
            policy.name.value,
            promote.value.upstream()
        );
        reaches(name).then(|| Diagnostic::error(&promote.origin, message).with_hint("break the cycle"))
    };
    set.policies().iter().filter_map(error).collect()
}

#[cfg(test)]
mod tests {
    use crate::config::{parse_policies, policy_warnings};
    use crate::policy::PolicySet;

    const STAGING: &str = "  - { name: staging, paths: [\"staging/**\"], environment: staging, write: commit";

    fn said(rest: &str) -> Vec<String> {
        let text = format!("policies:\n{rest}");
        let set = PolicySet::new(parse_policies("policies.yaml", &text).unwrap());
        policy_warnings(&set).iter().map(|it| it.message.clone()).collect()
    }

    #[test]
    fn gates_that_starve_each_other_are_said() {
        let prod = |gates: &str| {
            format!(
                "{STAGING} }}\n  - {{ name: prod, paths: [\"prod/**\"], environment: prod, write: commit, {gates} }}\n"
            )
        };
        let night = "{ cron: \"0 22 * * *\", duration: 1h }";
        for (policies, expected) in [
            (prod("promoteFrom: { environment: staging, soakTime: 24h }"), None),
            (prod("promoteFrom: { environment: stagin }"), Some("`stagin`")),
            (prod(&format!("windows: [{night}], rate: {{ updates: 5, per: 1h }}")), None),
            (prod(&format!("windows: [{night}], rate: {{ updates: 5, per: 1d }}")), Some("fit into one window")),
            (
                prod(&format!("windows: [{night}, {{ cron: \"0 0 * * *\", duration: 1d, kind: deny }}]")),
                Some("never open"),
            ),
            (prod("promoteFrom: { environment: prod }"), Some("waits for `prod`")),
            (
                format!(
                    "{STAGING}, promoteFrom: {{ environment: prod }} }}\n  - {{ name: prod, paths: [\"prod/**\"], environment: prod, \
                     write: commit, promoteFrom: {{ environment: staging }} }}\n"
                ),
                Some("nothing is ever promoted"),
            ),
            (
                format!(
                    "{STAGING}, windows: [{night}] }}\n  - {{ name: prod, paths: [\"prod/**\"], environment: prod, write: commit, \
                     promoteFrom: {{ environment: staging, soakTime: 2d }} }}\n"
                ),
                Some("none ever completes its soak"),
            ),
        ] {
            let said = said(&policies);
            match expected {
                None => assert!(said.is_empty(), "{policies}: {said:?}"),
                Some(text) => assert!(said.iter().any(|message| message.contains(text)), "{policies}: {said:?}"),
            }
        }
    }
}
