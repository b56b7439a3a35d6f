//! `landfall status`: how far every declared image has come, as a matrix of apps and environments.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde::Serialize;

use crate::daemon::Rows;
use crate::model::{Cause, CommitId, Rung, State, Tracked, Version};

use super::{CliError, Context, Exit, Output, Paint, ago, bot, settings, short, table};

/// Arguments of `landfall status`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  landfall status                       every app in every environment
  landfall status web                   one app in detail
  landfall status --environment prod --exit-code
  landfall status -o json | jq '.updates[] | select(.state == \"stuck\")'

It reads the repositories, registries, forge and clusters afresh and writes nothing.
Exit codes:
  0 done · 1 with --exit-code: something is stuck or late · 2 error
  4 access was refused")]
pub(in crate::cli) struct StatusArgs {
    /// The app; without it, every app.
    app: Option<String>,
    /// Only this environment.
    #[arg(long, value_name = "ENV")]
    environment: Option<String>,
    /// Exit with 1 if something is stuck or has missed its deadline.
    #[arg(long)]
    exit_code: bool,
}

/// What `status` prints.
#[derive(Debug, Serialize)]
struct Report {
    updates: Vec<UpdateStatus>,
    /// What could not be read, so that something may be missing.
    problems: Vec<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct UpdateStatus {
    id: String,
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
    /// Whether the deadline is over and it has not landed.
    late: bool,
    pull_request: Option<String>,
    cause: Option<Cause>,
    /// What is taken on trust.
    notes: Vec<String>,
    /// When this was looked at.
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
    pub(super) fn new(row: Tracked, now: Timestamp) -> Self {
        Self {
            severity: row.severity(now),
            late: row.is_late(now),
            id: row.id.to_string(),
            repository: row.repository,
            overlay: row.overlay,
            app: row.app,
            environment: row.environment,
            policy: row.policy,
            cluster: row.cluster,
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

    fn bad(&self) -> bool {
        self.late || self.state == State::Stuck
    }

    fn column(&self) -> String {
        let environment = self.environment.as_deref().unwrap_or("-");
        match &self.cluster {
            Some(cluster) => format!("{environment} ({cluster})"),
            None => environment.to_owned(),
        }
    }
}

/// Shows where everything stands.
pub(super) fn run(args: &StatusArgs, context: &Context) -> Result<Exit, CliError> {
    let loaded = settings::load(context)?;
    let status = bot::block_on(bot::status(&loaded))?;
    let (rows, problems, now) = (status.rows.clone(), status.problems.clone(), status.at);
    let known = rows.len();
    let wanted = |row: &Tracked| {
        args.app.as_ref().is_none_or(|app| row.app == *app)
            && args.environment.as_ref().is_none_or(|name| row.environment.as_ref() == Some(name))
    };
    let updates: Vec<UpdateStatus> = rows.into_iter().filter(wanted).map(|row| UpdateStatus::new(row, now)).collect();
    // Where something cannot be read, it may well be there.
    if updates.is_empty() && known > 0 && problems.is_empty() && args.app.is_some() {
        return Err(CliError::new(format!("there is no app `{}` there", args.app.as_deref().unwrap_or_default()))
            .hint("`landfall status` without a name lists every app"));
    }
    let bad = updates.iter().any(UpdateStatus::bad);
    let detailed = args.app.is_some();
    let incomplete = !problems.is_empty();
    context.output.data(&Report { updates, problems }, |report| text(report, detailed, &context.output))?;
    match (args.exit_code && bad, incomplete) {
        (true, _) => Ok(Exit::Negative),
        (false, true) => Err(CliError::new("not everything could be read; see the problems above")),
        (false, false) => Ok(Exit::Done),
    }
}

/// What `landfall status` prints of rows that are at hand.
pub(super) fn shown(rows: &Rows, output: &Output) -> String {
    let report = Report { updates: updates(rows), problems: rows.problems.clone() };
    text(&report, false, output)
}

/// The matrix of it alone.
pub(super) fn matrix_of(rows: &Rows, output: &Output) -> String {
    matrix(&updates(rows), output)
}

fn updates(rows: &Rows) -> Vec<UpdateStatus> {
    rows.rows.iter().map(|row| UpdateStatus::new(row.clone(), rows.at)).collect()
}

fn text(report: &Report, detailed: bool, output: &Output) -> String {
    let mut text = matrix(&report.updates, output);
    let mut rest: Vec<&UpdateStatus> =
        report.updates.iter().filter(|row| detailed || row.state != State::Landed).collect();
    rest.sort_by_key(|row| (Reverse(row.severity), row.app.clone(), row.column()));
    for row in rest {
        text.push('\n');
        text.push_str(&detail(row, output));
    }
    for problem in &report.problems {
        text.push_str(&format!("\n{} {problem}\n", output.paint(Paint::Bad, "⚠ problem")));
    }
    text.push('\n');
    text.push_str(&summary(&report.updates));
    text.push('\n');
    text
}

/// Apps down, environments and clusters across; in a cell the worst of its images.
fn matrix(rows: &[UpdateStatus], output: &Output) -> String {
    let columns: BTreeSet<String> = rows.iter().map(UpdateStatus::column).collect();
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

fn cell(rows: &[&UpdateStatus], output: &Output) -> String {
    let Some(worst) = rows.iter().rev().max_by_key(|row| row.severity) else { return String::new() };
    let more = match rows.len() - 1 {
        0 => String::new(),
        more => format!(" +{more}"),
    };
    let (paint, mark) = mark(worst);
    let said = format!("{mark} {} {}{more}", short(&worst.declared.version), word(worst));
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

/// Everything about one row.
pub(super) fn detail(row: &UpdateStatus, output: &Output) -> String {
    let now = row.now;
    let (paint, mark) = mark(row);
    let head = format!("{mark} {} {}: {} {}", row.app, row.column(), row.image, short(&row.declared.version));
    let mut text = format!("{} {}\n", output.paint(paint, &head), word(row));
    let mut put = |name: &str, value: &str| text.push_str(&format!("    {name:<10} {value}\n"));
    if let Some(rung) = row.rung {
        let since = row.since.map_or(String::new(), |since| format!(", for {}", ago(since, now)));
        put("waits at", &format!("{rung}{since}"));
    }
    if let (Some(commit), by) = (&row.declared.commit, row.declared.by.as_deref().unwrap_or("somebody")) {
        let when = row.declared.since.map_or(String::new(), |since| format!(", {} ago", ago(since, now)));
        put("declared", &format!("{} by {by}{when}", commit.short()));
    }
    if !row.live.is_empty() {
        let live: Vec<String> = row.live.iter().map(short).collect();
        put("live", &live.join(", "));
    }
    if let Some(deadline) = row.deadline {
        let over = if row.late { format!(" ({} ago)", ago(deadline, now)) } else { String::new() };
        put("deadline", &format!("{deadline:.0}{over}"));
    }
    if let Some(cause) = &row.cause {
        put("cause", &cause.message);
        for line in &cause.evidence {
            put("", line);
        }
        put("next", &cause.next);
    }
    for note in &row.notes {
        put("note", note);
    }
    if let Some(url) = &row.pull_request {
        put("review", url);
    }
    put("overlay", if row.overlay.is_empty() { "." } else { &row.overlay });
    text
}

fn summary(rows: &[UpdateStatus]) -> String {
    if rows.is_empty() {
        return "nothing is declared that a policy covers or a controller watches".to_owned();
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
