//! Shared by the commands for people's decisions: who decides, for which repository, and what is printed.

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use jiff::{Timestamp, Zoned};
use serde::Serialize;

use crate::config::decisions;
use crate::daemon::{self, Bot, Clock, DecideError, Decided, Deciding, NewDecision, Repository, Timing};
use crate::model::{CommitId, FailureCode};

use super::render::cycle_json::{HoldReport, UpdateReport};
use super::{CliError, Context, Exit, Output, Paint, bot, names, report, settings, short};

/// The first pause after a lost race.
pub(super) const PAUSE: std::time::Duration = std::time::Duration::from_millis(200);

/// Who decides, and where.
#[derive(Debug, clap::Args)]
pub(super) struct Who {
    /// Who decides, as recorded in the commit [default: $USER].
    #[arg(long, value_name = "NAME", env = "USER", hide_env = true)]
    pub(super) by: Option<String>,
    /// The repository's name in the configuration; required if there are several.
    #[arg(long, value_name = "NAME")]
    pub(super) repository: Option<String>,
}

impl Who {
    /// The name, as Git can store it.
    pub(super) fn name(&self) -> Result<String, CliError> {
        let by = self.by.as_deref().ok_or_else(|| {
            CliError::new("it is unknown who decides: USER is not set").hint("give a name with --by NAME")
        })?;
        decisions::author(by).map_err(|reason| CliError::new(format!("--by: {reason}")))
    }
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Report {
    repository: String,
    branch: String,
    commit: CommitId,
    /// Whether the remote was read again and has it; anything else is an error.
    verified: bool,
    files: Vec<String>,
    removed: Vec<String>,
    released: Vec<UpdateReport>,
    still_held: Vec<HoldReport>,
    /// What could not be queried; more may be held than was released.
    problems: Vec<String>,
}

/// The end of a decision: a time, or a duration from now. A time without a zone is in the local time zone, and a
/// message says so.
pub(super) fn until(text: Option<&str>, now: Timestamp, output: &Output) -> Result<Option<Timestamp>, CliError> {
    let Some(text) = text else { return Ok(None) };
    let bad = |reason: String| {
        CliError::new(format!("--until: {reason}")).hint(
            "write a time such as 2026-01-05T08:00:00Z, a local time such as 2026-01-05T08:00, or a \
             duration such as 2h or 3d",
        )
    };
    let end = if let Ok(time) = text.parse::<Timestamp>() {
        time
    } else if let Ok(time) = text.parse::<Zoned>() {
        time.timestamp()
    } else if let Ok(wall) = text.parse::<DateTime>() {
        let zone = TimeZone::system();
        let name = zone.iana_name().unwrap_or("this machine's time zone").to_owned();
        let time = zone.to_timestamp(wall).map_err(|error| bad(error.to_string()))?;
        output.message(&format!("--until: {text} has no time zone, so it is read in {name}: {time:.0}"));
        time
    } else {
        let span = decisions::duration(text).map_err(bad)?;
        now.checked_add(span).map_err(|_| bad("it is too far away".to_owned()))?
    };
    if end <= now {
        return Err(bad(format!("{end:.0} is in the past")));
    }
    // Files store whole seconds; rounding up does no harm.
    Ok(Timestamp::from_second(end.as_second() + i64::from(end.subsec_nanosecond() > 0)).ok())
}

/// A reason, as written to files and commits.
pub(super) fn reason(text: &str) -> Result<String, CliError> {
    decisions::reason(text).map_err(|reason| CliError::new(format!("--reason: {reason}")))
}

/// Writes a decision and prints the result.
pub(super) fn run(who: &Who, reason: Option<String>, what: NewDecision, context: &Context) -> Result<Exit, CliError> {
    let deciding = Deciding { by: who.name()?, reason, what };
    let loaded = settings::load(context)?;
    let result = bot::block_on(async {
        let mut bot = bot::open(&loaded).await?;
        let lookup = std::sync::Arc::clone(bot.lookup());
        let now = Clock::system().now();
        let timing = Timing { now, since: now, pause: PAUSE };
        let repository = choose(&mut bot, who.repository.as_deref())?;
        let (name, branch) = (repository.name().to_owned(), repository.branch().to_string());
        let decided = repository.decide(&deciding, &lookup, timing).await;
        lookup.flush();
        Ok((name, branch, decided))
    })?;
    let (repository, branch, decided) = result;
    let decided = match decided {
        Ok(decided) => decided,
        Err(DecideError::Nothing(message)) => {
            context.output.message(&message);
            return Ok(Exit::Negative);
        }
        Err(error) => return Err(failed(&repository, &error)),
    };
    let output = context.output;
    let report = Report {
        repository,
        branch,
        commit: decided.commit.clone(),
        verified: true,
        files: decided.written.clone(),
        removed: decided.removed.clone(),
        released: decided.released.iter().map(UpdateReport::from).collect(),
        still_held: decided.still_held.iter().map(HoldReport::from).collect(),
        problems: decided.problems.clone(),
    };
    context.output.data(&report, |report| text(report, &decided, &output))?;
    Ok(Exit::Done)
}

/// Selects the repository.
pub(super) fn choose<'b>(bot: &'b mut Bot, name: Option<&str>) -> Result<&'b mut Repository, CliError> {
    let all: Vec<String> = bot.repositories.iter().map(|repository| repository.name().to_owned()).collect();
    let wanted = names::chosen(name, all.iter().map(String::as_str))?.to_owned();
    let found = bot.repositories.iter_mut().find(|repository| repository.name() == wanted);
    found.ok_or_else(|| names::unknown("repository", &wanted, all.iter().map(String::as_str)))
}

/// An error of a decision, with its next step.
pub(super) fn failed(repository: &str, error: &DecideError) -> CliError {
    let failure = match error {
        DecideError::Rejected { by_hand, .. } => CliError::new(error.to_string()).hint(by_hand.clone()),
        DecideError::Unknown { .. } => CliError::new(error.to_string()),
        _ => CliError::caused(format!("repository {repository} cannot take the decision"), error),
    };
    if error.code() == Some(FailureCode::Authentication) { failure.authentication() } else { failure }
}

fn text(report: &Report, decided: &Decided, output: &Output) -> String {
    let mark = output.paint(Paint::Good, "✔ decided");
    let mut lines = vec![format!(
        "{mark} as {} on {} of {}, verified on the remote",
        report.commit.short(),
        report.branch,
        report.repository
    )];
    lines.extend(report.files.iter().map(|file| format!("  wrote {file}")));
    lines.extend(report.removed.iter().map(|file| format!("  removed {file}")));
    for update in &decided.released {
        let place = update.environment.as_deref().unwrap_or(&update.policy);
        lines.push(format!("  {place}: {} may go to {}", update.app, short(&update.to)));
    }
    for hold in &decided.still_held {
        lines.push(format!("  still {}", report::held(hold, output)));
    }
    lines.extend(report.problems.iter().map(|problem| format!("  unknown, so possibly still held: {problem}")));
    lines.join("\n") + "\n"
}

/// The clock, for ends given as durations.
pub(super) fn now() -> Timestamp {
    daemon::Clock::system().now()
}
