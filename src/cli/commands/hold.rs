//! `landfall hold`: an app or image is not updated until somebody releases it, or until a given time.

use crate::config::decisions;
use crate::daemon::NewDecision;

use super::decision::{self, Who};
use super::{CliError, Context, Exit};

/// Arguments of `landfall hold`.
#[derive(Debug, clap::Args)]
#[command(
    disable_version_flag = true,
    after_help = "\
Examples:
  landfall hold web --reason 'load test until Friday' --until 3d
  landfall hold web --environment prod --version 1.4.0 --reason 'it leaks'
  landfall hold ghcr.io/acme/web --reason 'not before the migration'

It commits one file to the main branch, in the folder holds/ next to the policies.
Removing that file has the same effect as release.
Exit codes:
  0 done · 2 error · 4 refused"
)]
pub(in crate::cli) struct HoldArgs {
    /// The app, or the image without a tag.
    #[arg(value_name = "APP|IMAGE")]
    subject: String,
    /// Only in this environment.
    #[arg(long, value_name = "ENV")]
    environment: Option<String>,
    /// Only this version: a tag, or a digest.
    #[arg(long, value_name = "TAG")]
    version: Option<String>,
    /// When it ends: a time (in the local time zone unless it names one), or a duration from now such as 3d.
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
    /// The reason, shown with every update that it holds.
    #[arg(long, value_name = "TEXT")]
    reason: String,
    #[command(flatten)]
    who: Who,
}

/// Holds.
pub(super) fn run(args: &HoldArgs, context: &Context) -> Result<Exit, CliError> {
    let until = decision::until(args.until.as_deref(), decision::now(), &context.output)?;
    let version = args.version.as_deref().map(decisions::version).transpose();
    let version = version.map_err(|reason| CliError::new(format!("--version: {reason}")))?;
    let what =
        NewDecision::Hold { subject: args.subject.clone(), environment: args.environment.clone(), version, until };
    decision::run(&args.who, Some(decision::reason(&args.reason)?), what, context)
}
