//! The sentences of alerts: one title, and the same few lines as plain text, as Markdown and as Slack's mrkdwn.
//!
//! Promise: each alert names the thing, the place, the cause and the next step. Text from a cluster or a repository is
//! neutralised for each format: it makes no mention, link, heading or HTML anywhere.

use std::time::Duration;

use jiff::Timestamp;

use crate::model::{Notice, NoticeKind, Resolution, Rung, State, Texts, break_mentions, one_line};

/// Maximum length of a title, in characters: a Slack header takes 150, a commit status 140.
const MAX_TITLE: usize = 140;
/// Maximum length of a text in Slack, in characters; Slack's limit for a section is 3,000.
const MAX_SLACK: usize = 2_900;

/// All sentences of a notice, as of `now`.
#[must_use]
pub fn alert(notice: &Notice, now: Timestamp) -> Texts {
    let title = break_mentions(&one_line(&title(notice, now), MAX_TITLE));
    let facts = facts(notice, now);
    Texts {
        plain: plain(notice, &title, &facts),
        markdown: markdown(notice, &title, &facts),
        slack: slack(notice, &facts),
        links: links(notice).into_iter().map(|(word, url)| (word, url.to_owned())).collect(),
        evidence: evidence(notice).iter().map(|line| break_mentions(line)).collect(),
        facts: facts.into_iter().map(|(word, fact)| (word, break_mentions(&fact))).collect(),
        title,
    }
}

/// `prod/eu-1: web 1.3.0 → 1.4.0 is stuck at running: image-pull`.
fn title(notice: &Notice, now: Timestamp) -> String {
    let incident = &notice.incident;
    let change = change(notice);
    let what = match (notice.kind, &notice.resolution) {
        (NoticeKind::Test, _) => return "test message from Landfall: this receiver works".to_owned(),
        (NoticeKind::Landed, _) => format!("landed after {}", duration(notice.duration(notice.at))),
        (_, Some(resolution)) => resolved(resolution),
        _ if notice.oscillating => "keeps alternating between landing and failing".to_owned(),
        (NoticeKind::Reminder, _) => format!("still {} after {}", standing(notice), duration(notice.duration(now))),
        _ => standing(notice),
    };
    let code = match (notice.kind, &notice.resolution, incident.code) {
        (NoticeKind::Landed, ..) | (_, Some(_), _) | (_, _, None) => String::new(),
        // The state says the same.
        (_, _, Some(code)) if code.to_string() == incident.state.to_string() => String::new(),
        (_, _, Some(code)) => format!(": {code}"),
    };
    format!("{}: {} {change} {what}{code}", place(notice), incident.key.app)
}

fn resolved(resolution: &Resolution) -> String {
    match resolution {
        Resolution::Landed => "has landed".to_owned(),
        Resolution::Superseded { by: Some(by) } => format!("is over: superseded by {by}"),
        Resolution::Superseded { by: None } => "is over: superseded".to_owned(),
        Resolution::RolledBack => "is over: the cluster rolled it back; Git still declares it".to_owned(),
        Resolution::Rejected => "is over: its pull request was closed".to_owned(),
        Resolution::Released => "is moving again, within its deadline".to_owned(),
        Resolution::Committed { cluster } => format!("is in Git now and is followed in {cluster}"),
        Resolution::Gone => "is over: Git no longer declares it".to_owned(),
        Resolution::Cleared => "is over".to_owned(),
    }
}

/// Its state, as the rest of a sentence: `is stuck at running`.
fn standing(notice: &Notice) -> String {
    let still = if notice.kind == NoticeKind::Reminder { "" } else { "is " };
    let rung = |word: &str| match notice.incident.rung {
        Some(rung) => format!("{still}{word} {}", step(rung)),
        None => format!("{still}{word}").replace(" before", ""),
    };
    match notice.incident.state {
        State::Pending => rung("late before"),
        State::Stuck => rung("stuck before"),
        State::Drifted if notice.flapping => {
            format!("{still}flapping in the cluster: two writers fight over it")
        }
        State::Drifted => format!("{still}changed by hand in the cluster"),
        State::Shadowed => format!("{still}overridden: another image wins"),
        State::Orphan => format!("{still}not watched by any controller"),
        State::Paused => format!("{still}paused"),
        State::Unknown => format!("{still}of unknown state: there is too little recent information"),
        State::RolledBack => format!("{still}rolled back by the cluster"),
        other => format!("{still}{other}"),
    }
}

/// The step it did not get past, as a noun.
fn step(rung: Rung) -> &'static str {
    match rung {
        Rung::Committed => "its commit",
        Rung::Merged => "its merge",
        Rung::Fetched => "the controller's fetch",
        Rung::Applied => "being applied",
        Rung::RolledOut => "its rollout",
        Rung::Running => "running",
    }
}

/// `1.3.0 → 1.4.0`, or the target alone.
fn change(notice: &Notice) -> String {
    let short = |version: &str| match version.split_once("@sha256:") {
        Some((tag, hex)) if hex.len() > 12 && hex.is_ascii() => format!("{tag}@{}", &hex[..12]),
        _ => version.to_owned(),
    };
    let to = short(&notice.incident.key.version);
    match notice.from.as_slice() {
        [] => to,
        from => format!("{} → {to}", from.iter().map(|from| short(from)).collect::<Vec<_>>().join(", ")),
    }
}

/// `prod/eu-1`, `prod`, or the overlay if there is no environment.
fn place(notice: &Notice) -> String {
    let key = &notice.incident.key;
    let environment = key.environment.as_deref().unwrap_or(&notice.incident.overlay);
    match &key.cluster {
        Some(cluster) => format!("{environment}/{cluster}"),
        None => environment.to_owned(),
    }
}

/// `3d 4h`, `2h 5m`, `4m 10s`, `8s`: the two largest units.
fn duration(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let units = [(86_400, "d"), (3_600, "h"), (60, "m"), (1, "s")];
    let at = units.iter().position(|(size, _)| seconds >= *size).unwrap_or(3);
    let (size, unit) = units[at];
    let first = format!("{}{unit}", seconds / size);
    match units.get(at + 1) {
        Some((next, unit)) if seconds % size / next > 0 => format!("{first} {}{unit}", seconds % size / next),
        _ => first,
    }
}

/// The lines of an alert: a label and a text. Unknown facts are left out, except the cause.
fn facts(notice: &Notice, now: Timestamp) -> Vec<(&'static str, String)> {
    let incident = &notice.incident;
    if notice.kind == NoticeKind::Test {
        let text = "nothing is wrong; somebody ran `landfall doctor --notify`".replace('`', "");
        return vec![("Cause", text), ("Next", "nothing".to_owned())];
    }
    let mut facts = vec![("Image", format!("{} {}", incident.key.image, change(notice)))];
    let overlays = match notice.counts.overlays {
        0 | 1 => incident.overlay.clone(),
        n => format!("{} and {} more", incident.overlay, n - 1),
    };
    facts.push(("Where", format!("{}, {overlays} of {}", place(notice), incident.repository)));
    if notice.kind == NoticeKind::Landed {
        return facts;
    }
    facts.push(("Cause", cause(notice)));
    let since = format!("{:.0} ({})", incident.since, duration(notice.duration(now)));
    facts.push(("Since", since));
    if let Some(deadline) = incident.deadline.filter(|_| notice.resolution.is_none()) {
        let late = Duration::try_from(now.duration_since(deadline)).unwrap_or_default();
        let late = if late.is_zero() { "not reached yet".to_owned() } else { format!("late by {}", duration(late)) };
        facts.push(("Deadline", format!("{deadline:.0} ({late})")));
    }
    if notice.resolution.is_none() {
        facts.push(("Next", next(notice)));
    }
    if notice.counts.suppressed > 0 {
        let n = notice.counts.suppressed;
        facts.push(("Suppressed", format!("{n} change{} back and forth", if n == 1 { "" } else { "s" })));
    }
    facts
}

fn cause(notice: &Notice) -> String {
    match (notice.cause.as_str(), notice.incident.state) {
        ("", State::Pending) => "no reason reported; its deadline has passed".to_owned(),
        ("", State::Unknown) => "nothing usable reported".to_owned(),
        ("", _) => "no reason reported".to_owned(),
        (cause, _) => cause.to_owned(),
    }
}

/// The next step, if the cause does not have one.
fn next(notice: &Notice) -> String {
    if !notice.next.is_empty() {
        return notice.next.clone();
    }
    match (notice.incident.state, notice.incident.rung) {
        (State::Pending | State::Stuck, Some(Rung::Committed)) => "look at the bot's access to the repository",
        (State::Pending | State::Stuck, Some(Rung::Merged)) => "review, merge or close the pull request",
        (State::Pending | State::Stuck, Some(Rung::Fetched)) => {
            "look at the source of the Argo CD application or Flux kustomization"
        }
        (State::Pending | State::Stuck, Some(Rung::Applied)) => {
            "look at the controller's last sync of this application"
        }
        (State::Pending | State::Stuck, _) => "look at the workload's pods and events",
        (State::Drifted, _) => "revert the change, or commit it to Git",
        (State::Shadowed, _) => "find the override and remove it, or change the image there",
        (State::Orphan, _) => "point an application or kustomization at this path, or remove it",
        (State::Paused, _) => "resume it, or close the update",
        (State::RolledBack, _) => "revert the commit in Git, or fix the release",
        _ => "run landfall status, and look at the cluster's access and controllers",
    }
    .to_owned()
}

fn links(notice: &Notice) -> Vec<(&'static str, &str)> {
    let links = &notice.links;
    let all = [
        ("pull request", &links.pull_request),
        ("commit", &links.commit),
        ("controller", &links.controller),
        ("runbook", &links.runbook),
    ];
    all.into_iter().filter_map(|(word, url)| Some((word, url.as_deref()?))).collect()
}

fn plain(notice: &Notice, title: &str, facts: &[(&str, String)]) -> String {
    let mut text = format!("{title}\n");
    for (word, fact) in facts {
        text.push_str(&format!("{word}: {}\n", break_mentions(fact)));
    }
    for line in evidence(notice) {
        text.push_str(&format!("  > {}\n", break_mentions(line)));
    }
    for (word, url) in links(notice) {
        text.push_str(&format!("{word}: {url}\n"));
    }
    text
}

fn evidence(notice: &Notice) -> &[String] {
    if notice.resolution.is_some() { &[] } else { &notice.evidence }
}

/// All text from outside is in code spans and a fenced block, which GitHub does not interpret.
fn markdown(notice: &Notice, title: &str, facts: &[(&str, String)]) -> String {
    let mut text = format!("**{}** {}\n\n", notice.kind.as_str(), span(title));
    for (word, fact) in facts {
        text.push_str(&format!("- {word}: {}\n", span(fact)));
    }
    let lines = evidence(notice);
    if !lines.is_empty() {
        // A fence ends only at one of at least the same length.
        let ticks = lines.iter().map(|line| longest_run(line, '`')).max().unwrap_or(0).max(2) + 1;
        let fence = "`".repeat(ticks);
        text.push_str(&format!("\n{fence}text\n{}\n{fence}\n", lines.join("\n")));
    }
    let links: Vec<_> = links(notice).iter().map(|(word, url)| format!("[{word}]({url})")).collect();
    if !links.is_empty() {
        text.push_str(&format!("\n{}\n", links.join(" · ")));
    }
    text
}

/// A code span that holds any text of one line.
fn span(text: &str) -> String {
    let ticks = "`".repeat(longest_run(text, '`') + 1);
    let pad = if text.starts_with('`') || text.ends_with('`') || text.is_empty() { " " } else { "" };
    format!("{ticks}{pad}{text}{pad}{ticks}")
}

fn longest_run(text: &str, of: char) -> usize {
    text.split(|c| c != of).map(str::len).max().unwrap_or(0)
}

/// mrkdwn: `&`, `<` and `>` are escaped as Slack requires, which leaves no mention, link or channel. The title is
/// separate.
fn slack(notice: &Notice, facts: &[(&str, String)]) -> String {
    let lines: Vec<_> = facts.iter().map(|(word, fact)| format!("*{word}:* {}\n", mrkdwn(fact))).collect();
    let links = links(notice).into_iter().map(|(word, url)| format!("<{}|{word}>\n", escape(url)));
    let seen = evidence(notice).iter().map(|line| format!("```{}```\n", mrkdwn(&one_line(line, 200))));
    let mut text = String::new();
    // The least important lines come last and are dropped whole, because a truncated escape or link could become
    // something else.
    for piece in lines.into_iter().chain(links).chain(seen) {
        if text.chars().count() + piece.chars().count() <= MAX_SLACK {
            text.push_str(&piece);
        }
    }
    text
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// Text from outside in mrkdwn; formatting characters are replaced by lookalikes.
fn mrkdwn(text: &str) -> String {
    let text = text.replace('`', "'").replace('*', "∗").replace('~', "∼").replace('_', "\u{2}");
    // An underscore formats only next to blanks; inside names it is an ordinary character.
    let text = text.replace(" \u{2}", " ＿").replace("\u{2} ", "＿ ").replace('\u{2}', "_");
    escape(&break_mentions(&text))
}

#[cfg(test)]
mod tests;
