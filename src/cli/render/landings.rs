//! The display of landings: a matrix of apps and environments, what needs attention, and in machine-readable form the
//! rows of `status`.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde::Serialize;

use crate::daemon::Rows;
use crate::model::{Cause, CauseCode, CommitId, Quota, Rung, State, Tracked, TrackedThing, Version};

use super::output::{Output, Paint};
use super::report::{Detail, grouped, some_of};
use super::table::table;
use super::{ago, short};

/// The output of `status`.
#[derive(Debug, Serialize)]
pub(in crate::cli) struct LandingsReport {
    /// The rows.
    pub(in crate::cli) updates: Vec<UpdateStatus>,
    /// What could not be read; rows may be missing because of it.
    pub(in crate::cli) problems: Vec<String>,
    /// What registries and forges say is left of their limits on requests.
    pub(in crate::cli) budgets: Vec<BudgetStatus>,
}

/// What a host says is left of a limit on requests.
#[derive(Debug, Serialize)]
pub(in crate::cli) struct BudgetStatus {
    host: String,
    /// What is limited, where the host has several limits.
    resource: Option<&'static str>,
    /// How many requests it still accepts.
    remaining: u64,
    /// How many it accepts in a whole window.
    limit: Option<u64>,
    /// When there are more again.
    reset: Option<Timestamp>,
}

impl BudgetStatus {
    /// From what is left of each host's limits, by host and by what is limited.
    pub(in crate::cli) fn all(quotas: BTreeMap<(String, &'static str), Quota>, now: Timestamp) -> Vec<Self> {
        let budget = |((host, resource), quota): ((String, &'static str), Quota)| Self {
            host,
            resource: Some(resource).filter(|resource| !resource.is_empty()),
            remaining: quota.remaining,
            limit: quota.limit,
            reset: quota.reset.and_then(|reset| now.checked_add(reset).ok()),
        };
        quotas.into_iter().map(budget).collect()
    }
}

/// One row in machine-readable form.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(in crate::cli) struct UpdateStatus {
    id: String,
    /// Whether it is about an image, or about a repository or cluster as a whole.
    thing: TrackedThing,
    repository: String,
    overlay: String,
    app: String,
    environment: Option<String>,
    policy: Option<String>,
    cluster: Option<String>,
    image: String,
    declared: DeclaredStatus,
    live: Vec<Version>,
    state: State,
    rung: Option<Rung>,
    since: Option<Timestamp>,
    deadline: Option<Timestamp>,
    /// Whether its deadline has passed and it has not landed.
    late: bool,
    pull_request: Option<String>,
    cause: Option<Cause>,
    /// Assumptions that were made.
    notes: Vec<String>,
    /// The last part of the image's name.
    #[serde(skip)]
    short_image: String,
    /// When this was read.
    #[serde(skip)]
    now: Timestamp,
    #[serde(skip)]
    severity: u8,
}

#[derive(Debug, Serialize)]
struct DeclaredStatus {
    #[serde(flatten)]
    version: Version,
    commit: Option<CommitId>,
    since: Option<Timestamp>,
    by: Option<String>,
}

impl UpdateStatus {
    pub(in crate::cli) fn new(row: Tracked, now: Timestamp) -> Self {
        Self {
            severity: row.severity(now),
            late: row.is_late(now),
            id: row.id.to_string(),
            thing: row.thing,
            repository: row.repository,
            overlay: row.overlay,
            app: row.app,
            environment: row.environment,
            policy: row.policy,
            cluster: row.cluster,
            short_image: row.image.short().to_owned(),
            image: row.image.to_string(),
            declared: DeclaredStatus {
                version: row.declared.version,
                commit: row.declared.commit,
                since: row.declared.since,
                by: row.declared.by,
            },
            live: row.live,
            state: row.landing.state,
            rung: row.landing.rung,
            since: row.since,
            deadline: row.deadline,
            pull_request: row.pull_request,
            cause: row.landing.cause,
            notes: row.notes,
            now,
        }
    }

    /// Whether it is stuck or late.
    pub(in crate::cli) fn is_bad(&self) -> bool {
        self.late || self.state == State::Stuck
    }

    /// Whether nothing is known beyond Git, because no cluster is configured for it.
    fn is_beyond_sight(&self) -> bool {
        let unproven = |cause: &Cause| cause.code == CauseCode::Unproven;
        self.state == State::Unknown && self.cluster.is_none() && self.cause.as_ref().is_some_and(unproven)
    }

    fn column(&self) -> String {
        let environment = self.environment.as_deref().unwrap_or("-");
        match &self.cluster {
            Some(cluster) => format!("{environment} ({cluster})"),
            None => environment.to_owned(),
        }
    }

    /// How closely an image is related to the app: it has the app's name, a part of it, or is another image, such as a
    /// sidecar's.
    fn foreign(&self) -> u8 {
        let parts = || self.app.split(['-', '_', '/', '.']);
        match () {
            () if self.short_image == self.app => 0,
            () if parts().any(|part| part == self.short_image) => 1,
            () => 2,
        }
    }
}

/// The output of `landfall status` for given rows.
pub(in crate::cli) fn shown(rows: &Rows, output: &Output) -> String {
    let report = LandingsReport { updates: updates(rows), problems: rows.problems.clone(), budgets: Vec::new() };
    text(&report, Detail::Grouped, false, output)
}

/// Only the matrix.
pub(in crate::cli) fn matrix_of(rows: &Rows, output: &Output) -> String {
    let updates = updates(rows);
    matrix(&updates.iter().filter(|row| row.thing == TrackedThing::Image).collect::<Vec<_>>(), output)
}

fn updates(rows: &Rows) -> Vec<UpdateStatus> {
    rows.rows.iter().map(|row| UpdateStatus::new(row.clone(), rows.at)).collect()
}

/// The report as text; landed rows appear only in the matrix, unless `landed` requests them.
pub(in crate::cli) fn text(report: &LandingsReport, detail: Detail, landed: bool, output: &Output) -> String {
    let (images, whole): (Vec<&UpdateStatus>, Vec<&UpdateStatus>) =
        report.updates.iter().partition(|row| row.thing == TrackedThing::Image);
    let mut text = String::new();
    // A matrix of nothing but unknown cells would repeat that for every app.
    if detail == Detail::All || !images.iter().all(|row| row.is_beyond_sight() || is_undecided(row)) {
        text.push_str(&matrix(&images, output));
        text.push('\n');
    }
    let mut rest: Vec<&UpdateStatus> =
        images.iter().copied().filter(|row| landed || row.state != State::Landed).collect();
    rest.sort_by_key(|row| (Reverse(row.severity), row.app.clone(), row.column()));
    let cause = |row: &&&UpdateStatus| {
        let next = row.cause.as_ref().map(|cause| (cause.code, cause.next.clone()));
        (row.state, row.late, next)
    };
    for group in grouped(&rest, cause, detail) {
        match group.as_slice() {
            [one] => text.push_str(&format!("{}\n", self::detail(one, output))),
            many => text.push_str(&format!("{}\n", together(many, output))),
        }
    }
    for row in &whole {
        text.push_str(&format!("{}\n", of_whole(row, output)));
    }
    let told = |problem: &&String| {
        whole.iter().any(|row| row.cause.as_ref().is_some_and(|cause| problem.ends_with(&cause.message)))
    };
    for problem in report.problems.iter().filter(|problem| !told(problem)) {
        text.push_str(&format!("{} {problem}\n", output.paint(Paint::Bad, "⚠ problem")));
    }
    text.push_str(&summary(&images));
    text.push('\n');
    text
}

/// Whether it is only about something that could not be queried.
fn is_undecided(row: &UpdateStatus) -> bool {
    row.state == State::Unknown && row.rung.is_none()
}

/// Apps down, environments and clusters across; each cell shows the app's worst image.
fn matrix(rows: &[&UpdateStatus], output: &Output) -> String {
    let columns: BTreeSet<String> = rows.iter().map(|row| row.column()).collect();
    let mut cells: BTreeMap<&str, BTreeMap<String, Vec<&UpdateStatus>>> = BTreeMap::new();
    for row in rows {
        cells.entry(&row.app).or_default().entry(row.column()).or_default().push(row);
    }
    let head: Vec<String> = std::iter::once("APP".to_owned()).chain(columns.iter().cloned()).collect();
    let head: Vec<&str> = head.iter().map(String::as_str).collect();
    table(
        &head,
        cells.into_iter().map(|(app, cells)| {
            let cell = |column: &String| cells.get(column).map_or_else(|| "·".to_owned(), |rows| cell(rows, output));
            std::iter::once(app.to_owned()).chain(columns.iter().map(cell)).collect()
        }),
    )
}

/// The worst of an app's images, preferring its own; another image is named.
fn cell(rows: &[&UpdateStatus], output: &Output) -> String {
    let Some(worst) = rows.iter().min_by_key(|row| (Reverse(row.severity), row.foreign(), is_undecided(row))) else {
        return String::new();
    };
    let own = rows.iter().map(|row| row.foreign()).min().unwrap_or_default();
    let named = if worst.foreign() > own { format!("{} ", worst.short_image) } else { String::new() };
    let others: BTreeSet<&str> =
        rows.iter().map(|row| row.image.as_str()).filter(|image| *image != worst.image).collect();
    let more = if others.is_empty() { String::new() } else { format!(" +{}", others.len()) };
    let (paint, mark) = mark(worst);
    let said = format!("{mark} {named}{} {}{more}", short(&worst.declared.version), word(worst));
    output.paint(paint, &said)
}

fn mark(row: &UpdateStatus) -> (Paint, &'static str) {
    match row.state {
        State::Stuck => (Paint::Bad, "✗"),
        _ if row.late => (Paint::Bad, "✗"),
        State::Landed => (Paint::Good, "✔"),
        State::Drifted | State::Shadowed | State::Unknown | State::Orphan => (Paint::Warn, "⚠"),
        State::RolledBack => (Paint::Warn, "↩"),
        State::Pending => (Paint::Warn, "…"),
        State::Paused => (Paint::Dim, "⏸"),
        State::Rejected | State::Superseded => (Paint::Dim, "–"),
    }
}

fn word(row: &UpdateStatus) -> String {
    match (row.state, &row.cause) {
        (State::Landed, _) => "landed".to_owned(),
        (_, Some(cause)) if row.late => format!("late: {}", cause.code),
        (_, None) if row.late => "late".to_owned(),
        (state, Some(cause)) if cause.code.to_string() != state.to_string() => format!("{state}: {}", cause.code),
        (state, _) => state.to_string(),
    }
}

/// One line for rows that wait for the same thing.
fn together(rows: &[&&UpdateStatus], output: &Output) -> String {
    let Some(first) = rows.first() else { return String::new() };
    let (paint, mark) = mark(first);
    let images: BTreeSet<(&str, String, &str)> =
        rows.iter().map(|row| (row.app.as_str(), row.column(), row.image.as_str())).collect();
    let columns: BTreeSet<String> = rows.iter().map(|row| row.column()).collect();
    let columns = some_of(columns.iter().map(String::as_str).collect());
    let apps = some_of(images.iter().map(|(app, ..)| *app).collect());
    let head = output.paint(paint, &format!("{mark} {} images in {columns}", images.len()));
    let cause = first.cause.as_ref().map_or(String::new(), |cause| {
        let alike = rows.iter().all(|row| row.cause.as_ref().is_some_and(|other| other.message == cause.message));
        let example = if alike { "" } else { "for example: " };
        format!(": {example}{}; next: {}", cause.message, cause.next)
    });
    format!("{head} {} ({apps}){cause}\n", word(first))
}

/// A repository or cluster about which nothing is known.
fn of_whole(row: &UpdateStatus, output: &Output) -> String {
    let what = match row.thing {
        TrackedThing::Image => "image",
        TrackedThing::Repository => "repository",
        TrackedThing::Cluster => "cluster",
    };
    let head = output.paint(Paint::Bad, &format!("⚠ {what} {}", row.app));
    let mut text = format!("{head} {}\n", word(row));
    push_cause(&mut text, row);
    text
}

/// Everything about one row.
pub(in crate::cli) fn detail(row: &UpdateStatus, output: &Output) -> String {
    let now = row.now;
    let (paint, mark) = mark(row);
    let head = format!("{mark} {} {}: {} {}", row.app, row.column(), row.image, short(&row.declared.version));
    let mut text = format!("{} {}\n", output.paint(paint, &head), word(row));
    if let Some(rung) = row.rung {
        let since = row.since.map_or(String::new(), |since| format!(", for {}", ago(since, now)));
        put(&mut text, "waits at", &format!("{rung}{since}"));
    }
    if let (Some(commit), by) = (&row.declared.commit, row.declared.by.as_deref().unwrap_or("somebody")) {
        let when = row.declared.since.map_or(String::new(), |since| format!(", {} ago", ago(since, now)));
        put(&mut text, "declared", &format!("{} by {by}{when}", commit.short()));
    }
    if !row.live.is_empty() {
        let live: Vec<String> = row.live.iter().map(short).collect();
        put(&mut text, "live", &live.join(", "));
    }
    if let Some(deadline) = row.deadline {
        let over = if row.late { format!(" ({} ago)", ago(deadline, now)) } else { String::new() };
        put(&mut text, "deadline", &format!("{deadline:.0}{over}"));
    }
    push_cause(&mut text, row);
    for note in &row.notes {
        put(&mut text, "note", note);
    }
    if let Some(url) = &row.pull_request {
        put(&mut text, "review", url);
    }
    put(&mut text, "overlay", if row.overlay.is_empty() { "." } else { &row.overlay });
    text
}

fn push_cause(text: &mut String, row: &UpdateStatus) {
    let Some(cause) = &row.cause else { return };
    put(text, "cause", &cause.message);
    for line in &cause.evidence {
        put(text, "", line);
    }
    put(text, "next", &cause.next);
}

fn put(text: &mut String, name: &str, value: &str) {
    text.push_str(&format!("    {name:<10} {value}\n"));
}

fn summary(rows: &[&UpdateStatus]) -> String {
    if rows.is_empty() {
        return "no policy covers and no controller watches any declared image".to_owned();
    }
    let mut counts: BTreeMap<State, usize> = BTreeMap::new();
    for row in rows {
        *counts.entry(row.state).or_default() += 1;
    }
    let late = rows.iter().filter(|row| row.late).count();
    let mut parts: Vec<String> = counts.into_iter().map(|(state, count)| format!("{count} {state}")).collect();
    if late > 0 {
        parts.push(format!("{late} late"));
    }
    parts.join(", ")
}
