//! `landfall rollback`: an app goes back to the version that landed before, and the bad one is held.

use serde::Serialize;

use crate::daemon::{ActionFailureCode, ActionOutcome, Clock, DecideError, RollbackAsk, Timing};
use crate::model::{ImageName, Tag};

use super::decision::{self, PAUSE, Who};
use super::{CliError, Context, Exit, bot, report, settings};
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
The policy decides whether it is a commit or a pull request. Windows and freezes do not
hold it. The bad version is held until a newer version appears or someone runs
`landfall release`.
Exit codes:
  0 done · 1 nothing to go back to · 2 error · 4 refused")]
pub(in crate::cli) struct RollbackArgs {
    /// The app.
    app: String,
    /// The environment.
    #[arg(long, value_name = "ENV")]
    environment: String,
    /// Only this image of the app.
    #[arg(long, value_name = "IMAGE")]
    image: Option<String>,
    /// The version to go to.
    #[arg(long, value_name = "TAG")]
    to: Option<String>,
    /// Why.
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
}

/// Rolls back.
pub(super) fn run(args: &RollbackArgs, context: &Context) -> Result<Exit, CliError> {
    let wrong = |option: &'static str| move |error: crate::model::ImageError| CliError::caused(option, &error);
    let ask = RollbackAsk {
        app: args.app.clone(),
        environment: args.environment.clone(),
        image: args.image.as_deref().map(ImageName::parse).transpose().map_err(wrong("--image cannot be used"))?,
        to: args.to.as_deref().map(Tag::parse).transpose().map_err(wrong("--to cannot be used"))?,
        by: args.who.name()?,
        reason: args.reason.as_deref().map(decision::reason).transpose()?,
    };
    let loaded = settings::load(context)?;
    let (repository, actions) = bot::block_on(async {
        let mut bot = bot::open(&loaded).await?;
        let lookup = std::sync::Arc::clone(bot.lookup());
        let now = Clock::system().now();
        let repository = decision::choose(&mut bot, args.who.repository.as_deref())?;
        let name = repository.name().to_owned();
        let done = repository.roll_back(&ask, &lookup, Timing { now, since: now, pause: PAUSE }).await;
        lookup.flush();
        Ok((name, done))
    })?;
    let actions = match actions {
        Ok(actions) => actions,
        Err(DecideError::Nothing(message)) => {
            context.output.message(&message);
            return Ok(Exit::Negative);
        }
        Err(error) => return Err(decision::failed(&repository, &error)),
    };
    let refused = |action: &ActionOutcome| Some(action.failure()?.code == ActionFailureCode::Authentication);
    let failures: Vec<bool> = actions.iter().filter_map(refused).collect();
    let output = context.output;
    let lines = |_: &Report| {
        let lines: Vec<String> = actions.iter().map(|action| report::told(action, &output)).collect();
        lines.join("\n") + "\n"
    };
    context.output.data(&Report { repository, actions: actions.iter().map(ActionReport::from).collect() }, lines)?;
    match failures.first() {
        None => Ok(Exit::Done),
        Some(true) => Err(CliError::new("the rollback was refused; see above").authentication()),
        Some(false) => Err(CliError::new("the rollback was not written; see above")),
    }
}
