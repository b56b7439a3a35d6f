//! `landfall release`: what a person's word holds may go on.

use crate::daemon::NewDecision;

use super::decision::{self, Who};
use super::{CliError, Context, Exit};

/// Arguments of `landfall release`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  landfall release web
  landfall release web --environment prod --reason 'it was the database'

It removes the holds of the app or image, and releases what is held because it was
reverted, downgraded, chosen by hand, rolled back, or its pull request closed: one
commit whose trailers (Landfall-Release) say which updates may be made again. What
waits for anything else goes on waiting; it says what that is.
Exit codes:
  0 done · 1 nothing was held · 2 error · 4 refused")]
pub(in crate::cli) struct ReleaseArgs {
    /// The app, or the image without a tag.
    #[arg(value_name = "APP|IMAGE")]
    subject: String,
    /// Only in this environment.
    #[arg(long, value_name = "ENV")]
    environment: Option<String>,
    /// Why.
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
