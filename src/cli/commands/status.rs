//! `landfall status`: how far every declared image has come.

use std::io::IsTerminal as _;
use std::time::{Duration, Instant};

use crate::cli::render::landings::{self, BudgetStatus, LandingsReport, UpdateStatus};
use crate::config::Loaded;
use crate::daemon::Rows;
use crate::meter;
use crate::model::Tracked;

use super::report::Detail;
use super::{CliError, Context, Exit, Filters, Format, bot, settings};

/// Arguments of `landfall status`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  landfall status                       every app in every environment
  landfall status web                   one app in detail
  landfall status -e prod --exit-code
  landfall status --watch               until Ctrl-C, on the screen
  landfall status -o json | jq '.updates[] | select(.state == \"stuck\")'

It reads the repositories, registries, forge and clusters afresh and writes nothing.
Exit codes:
  0 done · 1 with --exit-code: something is stuck or late · 2 error
  4 access was refused")]
pub(in crate::cli) struct StatusArgs {
    /// The app [default: every app].
    app: Option<String>,
    #[command(flatten)]
    filters: Filters,
    /// List every app and row, even if many have one cause.
    #[arg(long)]
    all: bool,
    /// Exit with 1 if something is stuck or has missed its deadline.
    #[arg(long)]
    exit_code: bool,
    /// Go on until Ctrl-C, and show what has changed.
    #[arg(long, conflicts_with = "exit_code")]
    watch: bool,
}

/// How often everything is read with `--watch`.
const WATCH: Duration = Duration::from_secs(5);

/// Shows the state of everything.
pub(super) fn run(args: &StatusArgs, context: &Context) -> Result<Exit, CliError> {
    let loaded = settings::load(context)?;
    args.filters.check_repository(&loaded.settings)?;
    if args.watch {
        return watch(args, &loaded, context);
    }
    let status = bot::block_on(async {
        let (status, bot) = bot::status(&loaded).await?;
        args.filters.check_names(args.app.as_ref(), &bot)?;
        Ok(status)
    })?;
    let report = report_of(args, &status);
    let bad = report.updates.iter().any(UpdateStatus::is_bad);
    context.output.data(&report, |report| shown(args, report, context))?;
    match (args.exit_code && bad, report.problems.is_empty()) {
        (true, _) => Ok(Exit::Negative),
        (false, false) => Err(CliError::new("not everything could be read; see the problems above")),
        (false, true) => Ok(Exit::Done),
    }
}

fn report_of(args: &StatusArgs, status: &Rows) -> LandingsReport {
    let app = args.filters.or_app(args.app.as_ref());
    let wanted = status.rows.iter().filter(|row: &&Tracked| args.filters.wants(row, app));
    let updates = wanted.map(|row| UpdateStatus::new(row.clone(), status.at)).collect();
    LandingsReport {
        updates,
        problems: status.problems.clone(),
        budgets: BudgetStatus::all(meter::quotas(Instant::now()), status.at),
    }
}

fn shown(args: &StatusArgs, report: &LandingsReport, context: &Context) -> String {
    let one = args.filters.or_app(args.app.as_ref()).is_some();
    let detail = if args.all || one { Detail::All } else { Detail::Grouped };
    landings::text(report, detail, one, &context.output)
}

/// Shows the state again whenever it has changed. On a terminal it takes the place of the former; elsewhere it follows it.
fn watch(args: &StatusArgs, loaded: &Loaded, context: &Context) -> Result<Exit, CliError> {
    if context.output.format() != Format::Table {
        return Err(CliError::new("--watch is for people to look at")
            .hint("for programs, run `landfall status -o json` again and again"));
    }
    bot::block_on_cores(async {
        let mut bot = bot::open(loaded).await?;
        let tracker = bot::tracker(loaded, &bot, Vec::new())?;
        let stopped = super::run::stopped();
        tokio::pin!(stopped);
        let (mut before, terminal) = (String::new(), std::io::stdout().is_terminal());
        loop {
            let look = async {
                tokio::time::sleep(if before.is_empty() { Duration::ZERO } else { WATCH }).await;
                bot.view(&tracker).await;
                tracker.listed(WATCH).await;
                tracker.look().await
            };
            let status = tokio::select! {
                () = &mut stopped => return Ok(Exit::Done),
                status = look => status,
            };
            let Some(status) = status else { continue };
            if before.is_empty() {
                args.filters.check_names(args.app.as_ref(), &bot)?;
            }
            let text = shown(args, &report_of(args, &status), context);
            if text != before {
                // Home, and everything below it cleared.
                let begin = if terminal { "\u{1b}[H\u{1b}[2J\u{1b}[3J" } else { "" };
                context.output.text(&format!("{begin}{:.0}\n{text}", status.at))?;
                before = text;
            }
        }
    })
}
