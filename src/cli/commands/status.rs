//! `landfall status`: how far every declared image has come.

use crate::cli::render::landings::{self, LandingsReport, UpdateStatus};
use crate::daemon::Rows;
use crate::model::{Tracked, TrackedThing};

use super::report::Detail;
use super::{CliError, Context, Exit, bot, settings};

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
    /// The app [default: every app].
    app: Option<String>,
    /// Only this environment.
    #[arg(long, value_name = "ENV")]
    environment: Option<String>,
    /// List every app and row, even if many have one cause.
    #[arg(long)]
    all: bool,
    /// Exit with 1 if something is stuck or has missed its deadline.
    #[arg(long)]
    exit_code: bool,
}

/// Shows the state of everything.
pub(super) fn run(args: &StatusArgs, context: &Context) -> Result<Exit, CliError> {
    let loaded = settings::load(context)?;
    let status = bot::block_on(bot::status(&loaded))?;
    let now = status.at;
    let wanted = |row: &&Tracked| {
        let app = args.app.as_ref().is_none_or(|app| row.thing == TrackedThing::Image && row.app == *app);
        app && args.environment.as_ref().is_none_or(|name| row.environment.as_ref() == Some(name))
    };
    let updates = status.rows.iter().filter(wanted).map(|row| UpdateStatus::new(row.clone(), now));
    let report = LandingsReport { updates: updates.collect(), problems: status.problems.clone() };
    if let Some(app) = &args.app
        && report.updates.is_empty()
        // If something could not be read, the app may well exist.
        && report.problems.is_empty()
    {
        return Err(unknown(app, &status));
    }
    let bad = report.updates.iter().any(UpdateStatus::is_bad);
    let detail = if args.all || args.app.is_some() { Detail::All } else { Detail::Grouped };
    let landed = args.app.is_some();
    context.output.data(&report, |report| landings::text(report, detail, landed, &context.output))?;
    match (args.exit_code && bad, report.problems.is_empty()) {
        (true, _) => Ok(Exit::Negative),
        (false, false) => Err(CliError::new("not everything could be read; see the problems above")),
        (false, true) => Ok(Exit::Done),
    }
}

fn unknown(app: &str, status: &Rows) -> CliError {
    let apps = status.rows.iter().filter(|row| row.thing == TrackedThing::Image).map(|row| row.app.as_str());
    super::names::unknown("app", app, apps)
}
