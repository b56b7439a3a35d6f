//! The display of a cycle's outcome for people.

use std::collections::BTreeSet;

use crate::daemon::{ActionOutcome, CycleOutcome, CycleProblem, Done, Step};
use crate::model::{BranchName, FailureCode, ImageName};
use crate::plan::{Action, ActionKind, Gate, Hold, Update};

use super::cycle_json::note;
use super::output::{Output, Paint};
use super::short;
use super::table::table;

/// Whether items with one cause are combined.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::cli) enum Detail {
    /// Many holds or problems with one cause are one line.
    Grouped,
    /// Each has its own line.
    All,
}

/// From this many on, lines with one cause are combined.
const MANY: usize = 4;

/// A whole report as text.
pub(in crate::cli) fn text(repositories: &[CycleOutcome], detail: Detail, output: &Output) -> String {
    let mut text = String::new();
    for repository in repositories {
        if repositories.len() > 1 || repository.revision.is_none() {
            put(&mut text, &output.paint(Paint::Bold, &repository.repository));
        }
        repository_text(repository, detail, output, &mut text);
    }
    text
}

fn repository_text(outcome: &CycleOutcome, detail: Detail, output: &Output, text: &mut String) {
    let planned = outcome.actions.iter().filter(|action| matches!(action.step, Step::Planned { .. }));
    let rows: Vec<Vec<String>> =
        planned.clone().flat_map(|it| it.action.updates.iter().map(|update| row(&it.action.kind, update))).collect();
    if !rows.is_empty() {
        text.push_str(&table(&["WRITE", "ENVIRONMENT", "APP", "IMAGE", "FROM", "TO", "OVERLAY"], rows));
    }
    for action in planned.clone().filter(|it| note(&it.action.kind).is_some()) {
        put(text, &told(action, output));
    }
    let mut shown = false;
    for diff in planned.filter_map(diff) {
        text.push('\n');
        text.push_str(&colored_diff(diff, output));
        shown = true;
    }
    if shown {
        text.push('\n');
    }
    for action in outcome.actions.iter().filter(|action| !matches!(action.step, Step::Planned { .. })) {
        put(text, &told(action, output));
    }
    let cause = |hold: &&Hold| (hold.gate, hold.update.environment.clone(), hold.reason.clone(), hold.until);
    for group in grouped(&outcome.holds, cause, detail) {
        put(text, &holds(&group, output));
    }
    for group in grouped(&outcome.problems, problem_cause, detail) {
        put(text, &troubles(&group, output));
    }
    put(text, &summary(outcome));
}

/// What problems with one cause have in common: the registry that fails for several images, or otherwise the exact
/// message.
fn problem_cause(it: &&CycleProblem) -> (Option<BranchName>, Option<FailureCode>, String) {
    let CycleProblem { branch, problem } = it;
    let about = match (&problem.image, problem.code) {
        (Some(image), Some(_)) => image.registry().to_owned(),
        _ => problem.message.clone(),
    };
    (branch.clone(), problem.code, about)
}

/// Groups items with one cause if there are many; in order of first appearance.
pub(super) fn grouped<'a, T, K: PartialEq>(
    all: &'a [T],
    cause: impl Fn(&&'a T) -> K,
    detail: Detail,
) -> Vec<Vec<&'a T>> {
    if detail == Detail::All {
        return all.iter().map(|one| vec![one]).collect();
    }
    let mut groups: Vec<(K, Vec<&T>)> = Vec::new();
    for one in all {
        let key = cause(&one);
        match groups.iter_mut().find(|(other, _)| *other == key) {
            Some((_, group)) => group.push(one),
            None => groups.push((key, vec![one])),
        }
    }
    let parts = |group: Vec<&'a T>| match group.len() {
        MANY.. => vec![group],
        _ => group.into_iter().map(|one| vec![one]).collect(),
    };
    groups.into_iter().flat_map(|(_, group)| parts(group)).collect()
}

/// `a, b, c and 37 more`.
pub(in crate::cli) fn some_of(mut names: Vec<&str>) -> String {
    names.dedup();
    match names.len().checked_sub(3) {
        None | Some(0) => names.join(", "),
        Some(more) => format!("{} and {more} more", names[..3].join(", ")),
    }
}

/// One line for holds with one cause.
fn holds(group: &[&Hold], output: &Output) -> String {
    let [first, _, ..] = group else { return group.first().map_or_else(String::new, |hold| held(hold, output)) };
    let scope = first.update.environment.as_deref().unwrap_or(&first.update.policy);
    let until = until(first);
    let mark = output.paint(Paint::Warn, &format!("⏸ {}", waits(first.gate)));
    let apps = some_of(group.iter().map(|hold| hold.update.app.as_str()).collect());
    format!("{mark} {scope}: {} updates of {apps}: {}{until}", group.len(), first.reason)
}

/// One line for problems with one cause.
fn troubles(group: &[&CycleProblem], output: &Output) -> String {
    let [first, _, ..] = group else { return group.first().map_or_else(String::new, |it| trouble(it, output)) };
    let mark = output.paint(Paint::Bad, "⚠ problem");
    let messages: BTreeSet<&str> = group.iter().map(|it| it.problem.message.as_str()).collect();
    if let (Some(image), true) = (&first.problem.image, messages.len() > 1) {
        let images: BTreeSet<&ImageName> = group.iter().filter_map(|it| it.problem.image.as_ref()).collect();
        let count = images.len();
        let names = some_of(images.into_iter().map(ImageName::repository).collect());
        let (host, example) = (image.registry(), &first.problem.message);
        let images = if count == 1 { "image" } else { "images" };
        return format!("{mark} {host} did not answer for {count} {images} ({names}); for example: {example}");
    }
    let paths = some_of(group.iter().filter_map(|it| it.problem.path.as_deref()).collect());
    let places = if paths.is_empty() { String::new() } else { format!(": {paths}") };
    format!("{mark} {} ({} times{places})", first.problem.message, group.len())
}

fn diff(outcome: &ActionOutcome) -> Option<&str> {
    match &outcome.step {
        Step::Planned { diff } => diff.as_deref(),
        Step::Done(_) | Step::Failed(_) => None,
    }
}

fn row(kind: &ActionKind, update: &Update) -> Vec<String> {
    let environment = update.environment.clone().unwrap_or_else(|| "-".to_owned());
    let overlay = if update.overlay.is_empty() { ".".to_owned() } else { update.overlay.clone() };
    let (from, to) = (short(&update.from), short(&update.to));
    vec![kind.as_str().to_owned(), environment, update.app.clone(), update.image.clone(), from, to, overlay]
}

/// One line for an action's result.
pub(in crate::cli) fn told(outcome: &ActionOutcome, output: &Output) -> String {
    let action = &outcome.action;
    let scope = action.environment.as_deref().unwrap_or(&action.policy);
    let mut what = what(action);
    if let (Some(note), false) = (note(&action.kind), action.updates.is_empty()) {
        what.push_str(&format!(" ({note})"));
    }
    match &outcome.step {
        Step::Done(done) => told_done(outcome, done, &format!("{scope}: {what}"), output),
        Step::Failed(failure) => {
            let code = failure.code.cause();
            format!("{} {scope}: {what}: {} ({code})", output.paint(Paint::Bad, "✗ failed"), failure.message)
        }
        Step::Planned { .. } => {
            let url = action.kind.open().map_or(String::new(), |pull| format!(": {}", pull.url));
            format!("► {} {scope}: {what}{url}", action.kind.as_str())
        }
    }
}

fn told_done(outcome: &ActionOutcome, done: &Done, what: &str, output: &Output) -> String {
    let word = match outcome.action.kind {
        ActionKind::Commit => "✔ committed",
        ActionKind::PullRequest(_) => "✔ pull request",
        ActionKind::Merge(_) => "✔ merged",
        ActionKind::Close(_) => "✔ closed",
        ActionKind::Remind(_) => "✔ reminded",
        ActionKind::Dequeue(_) => "✔ taken out of the merge queue",
        ActionKind::Update(_) => "✔ brought up to date",
    };
    let mark = output.paint(Paint::Good, word);
    match &done.pull_request {
        Some(url) if matches!(outcome.action.kind, ActionKind::Merge(_)) && !done.verified => {
            let (commit, branch) = (done.commit.short(), &outcome.branch);
            format!("{mark} {what}: {url}, but its commit {commit} was not found on {branch}; look where it went")
        }
        Some(url) => format!("{mark} {what} into {}: {url}", outcome.branch),
        None => {
            let seen = if done.verified { "verified on the remote" } else { "not verified" };
            format!("{mark} {what} as {} to {}, {seen}", done.commit.short(), outcome.branch)
        }
    }
}

fn what(action: &Action) -> String {
    let one = |update: &Update| format!("{} {} → {}", update.app, short(&update.from), short(&update.to));
    match action.updates.as_slice() {
        [] => note(&action.kind).unwrap_or_default(),
        few if few.len() <= 3 => few.iter().map(one).collect::<Vec<_>>().join(", "),
        many => {
            let mut apps: Vec<&str> = many.iter().map(|update| update.app.as_str()).collect();
            apps.dedup();
            let more = apps.len().saturating_sub(3);
            let rest = if more > 0 { format!(" and {more} more") } else { String::new() };
            let apps: Vec<&str> = apps.into_iter().take(3).collect();
            format!("{} updates of {}{rest}", many.len(), apps.join(", "))
        }
    }
}

/// One line for a hold.
pub(in crate::cli) fn held(hold: &Hold, output: &Output) -> String {
    let update = &hold.update;
    let scope = update.environment.as_deref().unwrap_or(&update.policy);
    let until = until(hold);
    let mark = output.paint(Paint::Warn, &format!("⏸ {}", waits(hold.gate)));
    format!("{mark} {scope}: {} {} → {}: {}{until}", update.app, short(&update.from), short(&update.to), hold.reason)
}

/// When the gate opens; the reason of a window says so itself, in the window's time zone.
fn until(hold: &Hold) -> String {
    let until = hold.until.filter(|_| hold.gate != Gate::Window);
    until.map_or(String::new(), |until| format!(" (until {until:.0})"))
}

/// What an update held by this gate waits for.
fn waits(gate: Gate) -> String {
    match gate {
        Gate::Hold => "held".to_owned(),
        Gate::MinimumReleaseAge => "waits for its minimum age".to_owned(),
        Gate::Platforms => "not usable".to_owned(),
        Gate::Rate => "waits for its turn".to_owned(),
        Gate::Signature => "signature not proved".to_owned(),
        Gate::Approval | Gate::Window | Gate::Promotion => format!("waits for {}", gate.as_str()),
        Gate::Freeze => "waits (freeze)".to_owned(),
    }
}

/// One line for a problem.
pub(in crate::cli) fn trouble(CycleProblem { problem, .. }: &CycleProblem, output: &Output) -> String {
    let place = match (&problem.path, problem.line) {
        (Some(path), Some(line)) => format!("{path}:{line}: "),
        (Some(path), None) => format!("{path}: "),
        _ => String::new(),
    };
    format!("{} {place}{}", output.paint(Paint::Bad, "⚠ problem"), problem.message)
}

/// One line of counts.
pub(in crate::cli) fn summary(outcome: &CycleOutcome) -> String {
    let count = |which: fn(&Step) -> bool| -> usize {
        outcome.actions.iter().filter(|it| which(&it.step)).map(|it| it.action.updates.len()).sum()
    };
    let of_kind = |which: fn(&ActionKind) -> bool| -> usize {
        let done = outcome.actions.iter().filter(|it| which(&it.action.kind) && it.is_done());
        done.map(|it| it.action.updates.len().max(1)).sum()
    };
    let done = [
        (of_kind(|kind| matches!(kind, ActionKind::Commit)), "committed"),
        (of_kind(|kind| matches!(kind, ActionKind::PullRequest(_))), "proposed"),
        (of_kind(|kind| matches!(kind, ActionKind::Merge(_))), "merged"),
        (of_kind(|kind| matches!(kind, ActionKind::Close(_))), "closed"),
        (count(|step| matches!(step, Step::Failed(_))), "failed"),
    ];
    let mut parts: Vec<String> =
        done.iter().filter(|(count, _)| *count > 0).map(|(count, word)| format!("{count} {word}")).collect();
    if parts.is_empty() {
        parts.push(format!("{} to update", count(|step| matches!(step, Step::Planned { .. }))));
    }
    parts.push(format!("{} up to date", outcome.up_to_date));
    for (count, one, many) in [
        (outcome.holds.len(), "held", "held"),
        (outcome.problems.len(), "problem", "problems"),
        (outcome.unmanaged, "pin without a policy that writes", "pins without a policy that writes"),
    ] {
        match count {
            0 => {}
            1 => parts.push(format!("1 {one}")),
            _ => parts.push(format!("{count} {many}")),
        }
    }
    parts.join(", ")
}

fn colored_diff(diff: &str, output: &Output) -> String {
    let mut text = String::new();
    for line in diff.split_inclusive('\n') {
        let (body, end) = line.strip_suffix('\n').map_or((line, ""), |body| (body, "\n"));
        let paint = match body.as_bytes().first() {
            Some(b'+') => Some(Paint::Good),
            Some(b'-') => Some(Paint::Bad),
            Some(b'@') => Some(Paint::Dim),
            _ => None,
        };
        text.push_str(&paint.map_or_else(|| body.to_owned(), |paint| output.paint(paint, body)));
        text.push_str(end);
    }
    text
}

fn put(text: &mut String, line: &str) {
    text.push_str(line);
    text.push('\n');
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::render::output::{ColorChoice, Format};

    #[test]
    fn one_image_is_one_image() {
        let problem = |message: &str| CycleProblem {
            branch: None,
            problem: crate::plan::Problem {
                path: None,
                line: None,
                image: ImageName::parse("ghcr.io/acme/web").ok(),
                message: message.to_owned(),
                code: Some(FailureCode::Network),
            },
        };
        let (one, other) = (problem("refused"), problem("reset"));
        let text = troubles(&[&one, &other], &Output::new(Format::Table, ColorChoice::Never, true, true));
        assert!(text.contains("did not answer for 1 image (acme/web)"), "{text}");
    }

    #[test]
    fn many_of_one_cause_are_one_group() {
        let all = ["a1", "b1", "a2", "a3", "a4", "c1", "b2"];
        let cause = |one: &&&str| one.chars().next();
        let groups = |detail| grouped(&all, cause, detail).iter().map(Vec::len).collect::<Vec<_>>();
        assert_eq!(groups(Detail::Grouped), [4, 1, 1, 1]);
        assert_eq!(groups(Detail::All), [1; 7]);
        assert_eq!(some_of(vec!["a", "a", "b", "c", "d", "e"]), "a, b, c and 2 more");
    }
}
