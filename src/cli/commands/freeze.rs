//! `landfall freeze` and `landfall unfreeze`: nothing changes in an environment until it is unfrozen, or until a given
//! time.

use crate::config::decisions::EVERYWHERE;
use crate::daemon::NewDecision;

use super::decision::{self, Who};
use super::{CliError, Context, Exit};

/// Arguments of `landfall freeze`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  landfall freeze prod --reason 'release week' --until 2026-12-27T06:00:00Z
  landfall freeze prod --reason 'incident 4711' --until 4h
  landfall freeze '*' --reason 'nobody is here'

It commits one file to the main branch, in the folder freezes/ next to the policies.
Removing that file has the same effect as unfreeze.
Exit codes:
  0 done · 2 error · 4 refused")]
pub(in crate::cli) struct FreezeArgs {
    /// The environment, or '*' for every environment.
    environment: String,
    /// When it ends: a time (in the local time zone unless it names one), or a duration from now such as 4h.
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
    /// The reason, shown with every update that it holds.
    #[arg(long, value_name = "TEXT")]
    reason: String,
    #[command(flatten)]
    who: Who,
}

/// Arguments of `landfall unfreeze`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example:
  landfall unfreeze prod --reason 'the fix is out'

It removes every file that freezes the environment, in one commit.
Exit codes:
  0 done · 1 it is not frozen · 2 error · 4 refused")]
pub(in crate::cli) struct UnfreezeArgs {
    /// The environment; '*' ends the freezes of all environments at once.
    environment: String,
    /// The reason.
    #[arg(long, value_name = "TEXT")]
    reason: String,
    #[command(flatten)]
    who: Who,
}

fn environment(named: &str) -> Option<String> {
    Some(named.to_owned()).filter(|named| named != EVERYWHERE)
}

/// Freezes.
pub(super) fn freeze(args: &FreezeArgs, context: &Context) -> Result<Exit, CliError> {
    let until = decision::until(args.until.as_deref(), decision::now(), &context.output)?;
    let what = NewDecision::Freeze { environment: environment(&args.environment), until };
    decision::run(&args.who, Some(decision::reason(&args.reason)?), what, context)
}

/// Ends freezes.
pub(super) fn unfreeze(args: &UnfreezeArgs, context: &Context) -> Result<Exit, CliError> {
    let what = NewDecision::Unfreeze { environment: environment(&args.environment) };
    decision::run(&args.who, Some(decision::reason(&args.reason)?), what, context)
}
