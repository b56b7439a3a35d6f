//! `landfall rollback`: an app goes back to the version that landed before, and the bad version is held.

use serde::Serialize;

use crate::daemon::{ActionFailureCode, ActionOutcome, Clock, DecideError, RollbackAsk, RollbackOutcome, Timing};
use crate::model::Tag;

use super::decision::{self, PAUSE, Who};
use super::{CliError, Context, Exit, Paint, bot, report, settings};
use crate::cli::render::cycle_json::ActionReport;

/// Arguments of `landfall rollback`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  landfall rollback web --environment prod --reason 'it leaks'
  landfall rollback web --environment prod --to 1.4.2
  landfall rollback web --environment prod --image ghcr.io/acme/web

Without --to it goes back to the last version that was seen running there or, if no bot
was watching, to the one that Git declared before; the commit says which of the two.
Of several images, those that have such a version go back, and the others are listed.
The policy decides whether it is a commit or a pull request. Windows and freezes do not
hold it. The bad version is held until a newer version appears or someone runs
`landfall release`.
Exit codes:
  0 done · 1 nothing to go back to · 2 error · 4 refused")]
pub(in crate::cli) struct RollbackArgs {
    /// The app, or an image that only one app has; the last part of the image's name is enough.
    app: String,
    /// The environment.
    #[arg(long, value_name = "ENV")]
    environment: String,
    /// Only this image of the app; the last part of its name is enough.
    #[arg(long, value_name = "IMAGE")]
    image: Option<String>,
    /// The version to go back to.
    #[arg(long, value_name = "TAG")]
    to: Option<String>,
    /// The reason.
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    #[command(flatten)]
    who: Who,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Report {
    repository: String,
    actions: Vec<ActionReport>,
    /// Why other images of the app stay at their version.
    left: Vec<String>,
}

/// Rolls back.
pub(super) fn run(args: &RollbackArgs, context: &Context) -> Result<Exit, CliError> {
    let to = args.to.as_deref().map(Tag::parse).transpose();
    let ask = RollbackAsk {
        app: args.app.clone(),
        environment: args.environment.clone(),
        image: args.image.clone(),
        to: to.map_err(|error| CliError::caused("--to cannot be used", &error))?,
        by: args.who.name()?,
        reason: args.reason.as_deref().map(decision::reason).transpose()?,
    };
    let loaded = settings::load(context)?;
    let (repository, done) = bot::block_on(async {
        let mut bot = bot::open(&loaded).await?;
        let lookup = std::sync::Arc::clone(bot.lookup());
        let now = Clock::system().now();
        let repository = decision::choose(&mut bot, args.who.repository.as_deref())?;
        let name = repository.name().to_owned();
        let done = repository.roll_back(&ask, &lookup, Timing { now, since: now, pause: PAUSE }).await;
        lookup.flush();
        Ok((name, done))
    })?;
    let RollbackOutcome { actions, left } = match done {
        Ok(done) => done,
        Err(DecideError::Nothing(message)) => {
            context.output.message(&message);
            return Ok(Exit::Negative);
        }
        Err(error) => return Err(decision::failed(&repository, &error)),
    };
    let refused = |action: &ActionOutcome| Some(action.failure()?.code == ActionFailureCode::Authentication);
    let failures: Vec<bool> = actions.iter().filter_map(refused).collect();
    let output = context.output;
    let lines = |report: &Report| {
        let done = actions.iter().map(|action| report::told(action, &output));
        let left = report.left.iter().map(|why| format!("{} {why}", output.paint(Paint::Warn, "– left")));
        done.chain(left).collect::<Vec<_>>().join("\n") + "\n"
    };
    let report = Report { repository, actions: actions.iter().map(ActionReport::from).collect(), left };
    context.output.data(&report, lines)?;
    match failures.first() {
        None => Ok(Exit::Done),
        Some(true) => Err(CliError::new("the rollback was refused; see above").authentication()),
        Some(false) => Err(CliError::new("the rollback was not written; see above")),
    }
}
