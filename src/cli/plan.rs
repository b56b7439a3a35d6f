//! `landfall plan`, `landfall apply`, `landfall run`: the main job.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use tokio_util::sync::CancellationToken;

use crate::config::Loaded;
use crate::daemon::{self, Bot, Clock, RepositoryReport, Rows, SetupError, Tracker};

use crate::notify::SinkSettings;

use super::told::Told;
use super::{Answer, CliError, Context, config, report};

/// How long `status` waits for clusters to be listed.
const LISTING: Duration = Duration::from_secs(20);

/// How often a running bot looks whether what it was set up from has changed.
const RELOAD: Duration = Duration::from_secs(10);

/// Arguments of `landfall plan`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  landfall plan           a line for each update, each hold and each problem
  landfall plan --diff    and the change of every file
  landfall plan -o json | jq '.repositories[].actions[].updates[].to.tag'

Exit codes:
  0 done, also where there is something to do · 1 the same with --exit-code
  2 something could not be read or asked · 4 something was refused")]
pub(super) struct PlanArgs {
    /// Exit with 1 when there is something to do.
    #[arg(long)]
    exit_code: bool,
    /// Show what would change in the files.
    #[arg(long)]
    diff: bool,
}

/// Arguments of `landfall apply`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Commits are pushed and pull requests opened or updated; then the remote is
read again, and `verified` says that it has them. A lost race is planned and
pushed again. A second run right after finds nothing to do.

Exit codes:
  0 done · 2 something could not be written, read or asked
  4 something was refused")]
pub(super) struct ApplyArgs {}

/// Arguments of `landfall run`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
A cycle begins at the configuration's `interval` or `schedule`, and soon after
the repository has moved. Ctrl-C or SIGTERM ends it after the current cycle.
`--log-level info` also says what each cycle found.")]
pub(super) struct RunArgs {
    /// One cycle, then stop: the same as `landfall apply`.
    #[arg(long)]
    once: bool,
}

#[derive(Debug, Serialize)]
struct Report {
    repositories: Vec<RepositoryReport>,
}

/// `landfall plan`: what would be done now.
pub(super) fn plan(args: &PlanArgs, context: &Context) -> Result<Answer, CliError> {
    let loaded = config::load(context)?;
    let repositories = block_on(async {
        let mut bot = bot(&loaded).await?;
        let mut reports = bot.plan(args.diff).await;
        if bot.promotes() {
            prove(&loaded, &mut bot).await?;
            reports = bot.plan(args.diff).await;
        }
        Ok(reports)
    })?;
    let changes = repositories.iter().any(|repository| !repository.actions.is_empty());
    finish(repositories, context, if args.exit_code && changes { Answer::Negative } else { Answer::Done })
}

/// `landfall apply`: one cycle.
pub(super) fn apply(context: &Context) -> Result<Answer, CliError> {
    let loaded = config::load(context)?;
    let repositories = block_on(async {
        let mut bot = bot(&loaded).await?;
        // What needs no proof from a cluster does not wait for one.
        let mut reports = bot.apply().await;
        if bot.promotes() {
            prove(&loaded, &mut bot).await?;
            reports = bot.apply_again(reports).await;
        }
        Ok(reports)
    })?;
    finish(repositories, context, Answer::Done)
}

/// `landfall run`: cycles until it is told to stop.
pub(super) fn run(args: &RunArgs, context: &Context) -> Result<Answer, CliError> {
    if args.once {
        return apply(context);
    }
    let loaded = config::load(context)?;
    block_on(async {
        let stop = CancellationToken::new();
        let signal = stop.clone();
        drop(tokio::spawn(async move {
            stopped().await;
            signal.cancel();
        }));
        let told = Told::default();
        let mut bot = bot(&loaded).await?;
        while !stop.is_cancelled() {
            let sinks =
                daemon::sinks(&loaded.settings, &config::environment()).map_err(|error| cannot_start(&error))?;
            let tracker = tracker(&loaded, &bot, sinks)?;
            until_changed((bot, tracker), &loaded, &stop, &|report| told.tell(report, &context.output)).await;
            bot = match next(&loaded, &stop).await {
                Some(bot) => bot,
                None => break,
            };
        }
        Ok(Answer::Done)
    })
}

/// Runs the bot until it is told to stop, or a secret, certificate or policy file it was set up from has changed.
async fn until_changed(
    (bot, tracker): (Bot, Arc<Tracker>),
    loaded: &Loaded,
    stop: &CancellationToken,
    told: &(dyn Fn(&RepositoryReport) + Sync),
) {
    let environment = config::environment();
    let before = daemon::Fingerprint::take(&loaded.settings, &environment);
    let own = stop.child_token();
    let run = bot.run(&loaded.settings.interval, &own, tracker, told);
    tokio::pin!(run);
    loop {
        tokio::select! {
            () = &mut run => return,
            () = tokio::time::sleep(RELOAD) => {}
        }
        let now = daemon::Fingerprint::take(&loaded.settings, &environment);
        if now.is_some() && now != before {
            tracing::info!("a secret, certificate or policy file has changed; starting over with it");
            own.cancel();
            run.await;
            return;
        }
    }
}

/// The next bot; what keeps it from starting is said, and tried again until it is mended.
async fn next(loaded: &Loaded, stop: &CancellationToken) -> Option<Bot> {
    while !stop.is_cancelled() {
        match bot(loaded).await {
            Ok(bot) => return Some(bot),
            Err(error) => tracing::error!("{error}"),
        }
        tokio::select! {
            () = stop.cancelled() => {}
            () = tokio::time::sleep(RELOAD) => {}
        }
    }
    None
}

/// Prints the report; problems of any repository give exit code 2, or 4 where all of it is a matter of permission.
pub(super) fn finish(
    repositories: Vec<RepositoryReport>,
    context: &Context,
    answer: Answer,
) -> Result<Answer, CliError> {
    let failed = repositories.iter().any(RepositoryReport::failed);
    let incomplete = repositories.iter().any(RepositoryReport::incomplete);
    let refused = repositories.iter().any(RepositoryReport::refused);
    let output = context.output;
    context.output.data(&Report { repositories }, |report| report::text(&report.repositories, &output))?;
    match (refused, failed, incomplete) {
        (true, ..) => Err(CliError::new("something was refused; see the problems above").authentication()),
        (false, true, _) => Err(CliError::new("not everything could be done; see above")),
        // An answer that is missing may hide an update: that is never "nothing to do".
        (false, false, true) => Err(CliError::new("not everything could be known; see the problems above")),
        (false, false, false) => Ok(answer),
    }
}

/// Looks at the clusters, for policies that ask for proof from them.
pub(super) async fn prove(loaded: &Loaded, bot: &mut Bot) -> Result<(), CliError> {
    let tracker = tracker(loaded, bot, Vec::new())?;
    bot.prove(&tracker, LISTING).await;
    Ok(())
}

/// The bot of a configuration.
pub(super) async fn bot(loaded: &Loaded) -> Result<Bot, CliError> {
    daemon::bot(&loaded.settings, &config::environment(), Clock::system()).await.map_err(|error| match &error {
        // What is wrong is in files that a person wrote: the places and lines say more than a chain of causes.
        SetupError::Policies { repository, source } => {
            let places = source.render(false);
            CliError::new(format!("the policies of repository {repository} cannot be used\n{places}"))
        }
        _ => CliError::caused("the bot cannot start", &error),
    })
}

/// What watches the clusters of a configuration and tells people.
fn tracker(loaded: &Loaded, bot: &Bot, sinks: Vec<SinkSettings>) -> Result<Arc<Tracker>, CliError> {
    daemon::tracker(&loaded.settings, &config::environment(), Clock::system(), Arc::clone(bot.lookup()), sinks)
        .map_err(|error| cannot_start(&error))
}

fn cannot_start(error: &SetupError) -> CliError {
    CliError::caused("the bot cannot start", error)
}

/// How everything stands now, read anew; nothing is written and nobody told.
pub(super) async fn status(loaded: &Loaded) -> Result<Arc<Rows>, CliError> {
    let mut bot = bot(loaded).await?;
    let tracker = tracker(loaded, &bot, Vec::new())?;
    bot.view(&tracker).await;
    if bot.promotes() {
        bot.prove(&tracker, LISTING).await;
        bot.view(&tracker).await;
    }
    tracker.listed(LISTING).await;
    tracker.look().await.ok_or_else(|| CliError::new("the look at the clusters broke off; see the log"))
}

/// Runs a future to its end on a runtime of its own.
pub(super) fn block_on<T>(work: impl Future<Output = Result<T, CliError>>) -> Result<T, CliError> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| CliError::caused("the runtime cannot start", &error))?;
    runtime.block_on(work)
}

/// Ctrl-C, or SIGTERM as Kubernetes sends it.
pub(super) async fn stopped() {
    let mut terminate = match tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()) {
        Ok(signal) => signal,
        Err(error) => {
            tracing::warn!(%error, "SIGTERM cannot be caught");
            return drop(tokio::signal::ctrl_c().await);
        }
    };
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        _ = terminate.recv() => {}
    }
}
