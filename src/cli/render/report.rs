//! How a cycle's report looks to a person.

use crate::daemon::{ActionReport, ActionResult, HoldReport, ProblemReport, RepositoryReport, UpdateReport};

use super::output::{Output, Paint, table};
use super::short;

/// A whole report as text.
pub(in crate::cli) fn text(repositories: &[RepositoryReport], output: &Output) -> String {
    let mut text = String::new();
    for repository in repositories {
        if repositories.len() > 1 || repository.revision.is_none() {
            put(&mut text, &output.paint(Paint::Bold, &repository.name));
        }
        repository_text(repository, output, &mut text);
    }
    text
}

fn repository_text(report: &RepositoryReport, output: &Output, text: &mut String) {
    let planned = report.actions.iter().filter(|action| action.result.is_none());
    let rows: Vec<Vec<String>> =
        planned.clone().flat_map(|action| action.updates.iter().map(|u| row(action, u))).collect();
    if !rows.is_empty() {
        text.push_str(&table(&["WRITE", "ENVIRONMENT", "APP", "IMAGE", "FROM", "TO", "OVERLAY"], rows));
    }
    for action in planned.clone().filter(|action| action.note.is_some()) {
        put(text, &done(action, output));
    }
    let mut shown = false;
    for diff in planned.filter_map(|action| action.diff.as_deref()) {
        text.push('\n');
        text.push_str(&colored_diff(diff, output));
        shown = true;
    }
    if shown {
        text.push('\n');
    }
    for action in report.actions.iter().filter(|action| action.result.is_some()) {
        put(text, &done(action, output));
    }
    for hold in &report.holds {
        put(text, &held(hold, output));
    }
    for problem in &report.problems {
        put(text, &trouble(problem, output));
    }
    put(text, &summary(report));
}

fn row(action: &ActionReport, update: &UpdateReport) -> Vec<String> {
    let environment = update.environment.clone().unwrap_or_else(|| "-".to_owned());
    let overlay = if update.overlay.is_empty() { ".".to_owned() } else { update.overlay.clone() };
    let (from, to) = (short(&update.from), short(&update.to));
    vec![action.kind.to_owned(), environment, update.app.clone(), update.image.clone(), from, to, overlay]
}

/// One line for what was done, or was not.
pub(in crate::cli) fn done(action: &ActionReport, output: &Output) -> String {
    let scope = action.environment.as_deref().unwrap_or(&action.policy);
    let what = what(action);
    match &action.result {
        Some(ActionResult::Done { pull_request: Some(url), .. }) if action.kind != "pull-request" => {
            let word = match action.kind {
                "merge" => "✔ merged",
                "close" => "✔ closed",
                _ => "✔ reminded",
            };
            format!("{} {scope}: {what} into {}: {url}", output.paint(Paint::Good, word), action.branch)
        }
        Some(ActionResult::Done { commit, pull_request: None, verified }) => {
            let seen = if *verified { "verified on the remote" } else { "not verified" };
            let mark = output.paint(Paint::Good, "✔ committed");
            format!("{mark} {scope}: {what} as {} to {}, {seen}", commit.short(), action.branch)
        }
        Some(ActionResult::Done { pull_request: Some(url), .. }) => {
            format!("{} {scope}: {what} into {}: {url}", output.paint(Paint::Good, "✔ pull request"), action.branch)
        }
        Some(ActionResult::Failed { error }) => {
            format!("{} {scope}: {what}: {} ({})", output.paint(Paint::Bad, "✗ failed"), error.message, error.code)
        }
        None => {
            let url = action.pull_request.as_ref().map_or(String::new(), |url| format!(": {url}"));
            format!("► {} {scope}: {what}{url}", action.kind)
        }
    }
}

fn what(action: &ActionReport) -> String {
    let one = |update: &UpdateReport| format!("{} {} → {}", update.app, short(&update.from), short(&update.to));
    match action.updates.as_slice() {
        [] => action.note.clone().unwrap_or_default(),
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

/// One line for what waits.
pub(in crate::cli) fn held(hold: &HoldReport, output: &Output) -> String {
    let update = &hold.update;
    let scope = update.environment.as_deref().unwrap_or(&update.policy);
    let until = hold.until.map_or(String::new(), |until| format!(" (until {until:.0})"));
    let mark = output.paint(Paint::Warn, &format!("⏸ {}", waits(hold.gate)));
    format!("{mark} {scope}: {} {} → {}: {}{until}", update.app, short(&update.from), short(&update.to), hold.reason)
}

/// A gate in words: what an update that it holds does.
fn waits(gate: &str) -> String {
    match gate {
        "hold" => "held".to_owned(),
        "minimum-release-age" => "waits for its age".to_owned(),
        "platforms" => "waits for the image".to_owned(),
        "rate" => "waits for its turn".to_owned(),
        "approval" | "window" | "promotion" => format!("waits for {gate}"),
        other => format!("waits ({other})"),
    }
}

/// One line for what could not be decided.
pub(in crate::cli) fn trouble(problem: &ProblemReport, output: &Output) -> String {
    let place = match (&problem.path, problem.line) {
        (Some(path), Some(line)) => format!("{path}:{line}: "),
        (Some(path), None) => format!("{path}: "),
        _ => String::new(),
    };
    format!("{} {place}{}", output.paint(Paint::Bad, "⚠ problem"), problem.message)
}

/// One line of counts.
pub(in crate::cli) fn summary(report: &RepositoryReport) -> String {
    let count = |which: fn(&Option<ActionResult>) -> bool| -> usize {
        report.actions.iter().filter(|action| which(&action.result)).map(|action| action.updates.len()).sum()
    };
    let of_kind = |kind: &str| -> usize {
        let done = report.actions.iter().filter(|action| action.kind == kind && action.is_done());
        done.map(|action| action.updates.len().max(1)).sum()
    };
    let failed = count(|result| matches!(result, Some(ActionResult::Failed { .. })));
    let done = [
        (of_kind("commit"), "committed"),
        (of_kind("pull-request"), "proposed"),
        (of_kind("merge"), "merged"),
        (of_kind("close"), "closed"),
        (failed, "failed"),
    ];
    let mut parts: Vec<String> =
        done.iter().filter(|(count, _)| *count > 0).map(|(count, word)| format!("{count} {word}")).collect();
    if parts.is_empty() {
        parts.push(format!("{} to update", count(Option::is_none)));
    }
    parts.push(format!("{} up to date", report.up_to_date));
    for (count, one, many) in [
        (report.holds.len(), "held", "held"),
        (report.problems.len(), "problem", "problems"),
        (report.unmanaged, "pin without a policy that writes", "pins without a policy that writes"),
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
