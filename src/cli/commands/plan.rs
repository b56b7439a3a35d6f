//! `landfall plan` and `landfall apply`: one plan, or one cycle.

use std::time::Duration;

use serde::Serialize;
use tokio::time::Instant;

use crate::cli::render::cycle_json::RepositoryReport;
use crate::config::decisions::duration;
use crate::daemon::CycleOutcome;

use super::report::Detail;
use super::{CliError, Context, Exit, Filters, bot, report, settings};

/// Arguments of `landfall plan`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  landfall plan           one line per update, hold and problem
  landfall plan --diff    and the diff of every file
  landfall plan -e prod --app web
  landfall plan -o json | jq '.repositories[].actions[].updates[].to.tag'

Exit codes:
  0 done, whether or not there is something to do · 1 with --exit-code: there is
  2 something could not be read · 4 access was refused")]
pub(in crate::cli) struct PlanArgs {
    /// Exit with 1 if there is something to do.
    #[arg(long)]
    exit_code: bool,
    /// Show the diff of every file.
    #[arg(long)]
    diff: bool,
    /// List every hold and problem, even if many have one cause.
    #[arg(long)]
    all: bool,
    #[command(flatten)]
    patience: Patience,
    #[command(flatten)]
    filters: Filters,
}

/// How long a plan or cycle may take.
#[derive(Debug, clap::Args)]
struct Patience {
    /// How long to wait for registries that do not answer, such as 90s or 5m. Whatever is unknown by then is reported
    /// as a problem; everything else is done before that, and Git operations in progress are finished.
    #[arg(long, value_name = "DURATION", default_value = "60s", value_parser = duration)]
    timeout: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self { timeout: Duration::from_secs(60) }
    }
}

impl Patience {
    /// The deadline, counted from now.
    fn deadline(&self) -> Instant {
        Instant::now() + self.timeout
    }
}

/// Arguments of `landfall apply`.
#[derive(Debug, Default, clap::Args)]
#[command(after_help = "\
It pushes commits and opens or updates pull requests, then reads the remote again:
`verified` means that the remote has them. After a lost race it plans and pushes
again. A second run right afterwards finds nothing to do.

Exit codes:
  0 done · 2 something could not be written or read
  4 access was refused")]
pub(in crate::cli) struct ApplyArgs {
    /// List every hold and problem, even if many have one cause.
    #[arg(long)]
    all: bool,
    #[command(flatten)]
    patience: Patience,
}

#[derive(Debug, Serialize)]
struct Report {
    repositories: Vec<RepositoryReport>,
}

/// `landfall plan`: what would be done now.
pub(super) fn plan(args: &PlanArgs, context: &Context) -> Result<Exit, CliError> {
    let loaded = settings::load(context)?;
    args.filters.check_repository(&loaded.settings)?;
    let mut outcomes = bot::block_on(async {
        let mut bot = bot::open(&loaded).await?.until(args.patience.deadline());
        let mut outcomes = bot.plan(args.diff).await;
        if bot.promotes() {
            bot::prove(&loaded, &mut bot).await?;
            outcomes = bot.plan(args.diff).await;
        }
        args.filters.check_names(None, &bot)?;
        Ok(outcomes)
    })?;
    args.filters.keep(&mut outcomes);
    let changes = outcomes.iter().any(|repository| !repository.actions.is_empty());
    let answer = if args.exit_code && changes { Exit::Negative } else { Exit::Done };
    finish(&outcomes, detail(args.all), context, answer)
}

fn detail(all: bool) -> Detail {
    if all { Detail::All } else { Detail::Grouped }
}

/// `landfall apply`: one cycle.
pub(super) fn apply(args: &ApplyArgs, context: &Context) -> Result<Exit, CliError> {
    let loaded = settings::load(context)?;
    let outcomes = bot::block_on(async {
        let mut bot = bot::open(&loaded).await?.until(args.patience.deadline());
        // Updates that need no proof from a cluster do not wait for one.
        let mut outcomes = bot.apply().await;
        if bot.promotes() {
            bot::prove(&loaded, &mut bot).await?;
            outcomes = bot.apply_again(outcomes).await;
        }
        Ok(outcomes)
    })?;
    finish(&outcomes, detail(args.all), context, Exit::Done)
}

/// Prints the report; problems in any repository give exit code 2, or 4 if all of them are refusals of access.
pub(super) fn finish(
    outcomes: &[CycleOutcome],
    detail: Detail,
    context: &Context,
    answer: Exit,
) -> Result<Exit, CliError> {
    let failed = outcomes.iter().any(CycleOutcome::failed);
    let incomplete = outcomes.iter().any(CycleOutcome::incomplete);
    let refused = outcomes.iter().any(CycleOutcome::refused);
    let output = context.output;
    let report = Report { repositories: outcomes.iter().map(RepositoryReport::from).collect() };
    context.output.data(&report, |_| report::text(outcomes, detail, &output))?;
    match (refused, failed, incomplete) {
        (true, ..) => Err(CliError::new("something was refused; see the problems above").authentication()),
        (false, true, _) => Err(CliError::new("not everything could be done; see above")),
        // A missing answer may hide an update; that is never "nothing to do".
        (false, false, true) => Err(CliError::new("not everything could be known; see the problems above")),
        (false, false, false) => Ok(answer),
    }
}
