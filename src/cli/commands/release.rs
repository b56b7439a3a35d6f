//! `landfall release`: lets updates go on that a person's decision holds.

use crate::daemon::NewDecision;

use super::decision::{self, Who};
use super::{CliError, Context, Exit};

/// Arguments of `landfall release`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  landfall release web
  landfall release web --environment prod --reason 'it was the database'

It removes the holds of the app or image and releases versions that are held because
they were reverted, downgraded, chosen by hand or rolled back, or because their pull
request was closed: one commit whose trailers (Landfall-Release) list the updates that
may be made again. Updates held by another gate stay held, and it lists them.
Exit codes:
  0 done · 1 nothing was held · 2 error · 4 refused")]
pub(in crate::cli) struct ReleaseArgs {
    /// The app, or the image without a tag.
    #[arg(value_name = "APP|IMAGE")]
    subject: String,
    /// Only in this environment.
    #[arg(long, value_name = "ENV")]
    environment: Option<String>,
    /// The reason.
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    #[command(flatten)]
    who: Who,
}

/// Releases.
pub(super) fn run(args: &ReleaseArgs, context: &Context) -> Result<Exit, CliError> {
    let reason = args.reason.as_deref().map(decision::reason).transpose()?;
    let what = NewDecision::Release { subject: args.subject.clone(), environment: args.environment.clone() };
    decision::run(&args.who, reason, what, context)
}
