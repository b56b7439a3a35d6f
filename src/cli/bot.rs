//! The bot of a configuration, as commands use it: setting it up, reading the clusters, running it to an end.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use crate::config::Loaded;
use crate::daemon::{self, Bot, Clock, Rows, SetupError, Tracker};
use crate::git::Mirror;
use crate::notify::SinkSettings;
use crate::server::Shown;

use super::{CliError, settings};

/// How long `status` waits for clusters to be listed.
const LISTING: Duration = Duration::from_secs(20);

/// Reads the clusters, if any policy needs proof from them.
pub(super) async fn prove(loaded: &Loaded, bot: &mut Bot) -> Result<(), CliError> {
    let tracker = tracker(loaded, bot, Vec::new())?;
    bot.prove(&tracker, LISTING).await;
    Ok(())
}

/// The bot of a configuration.
pub(super) async fn open(loaded: &Loaded) -> Result<Bot, CliError> {
    daemon::bot(&loaded.settings, &settings::environment(), Clock::system()).await.map_err(|error| cannot_start(&error))
}

/// The same as one of several replicas, if the configuration says that there are several.
pub(super) async fn open_sharing(loaded: &Loaded) -> Result<Bot, CliError> {
    let bot = open(loaded).await?;
    let sharing = daemon::sharing(&loaded.settings, &settings::environment(), &Clock::system());
    Ok(match sharing.map_err(|error| cannot_start(&error))? {
        Some(sharing) => bot.sharing(sharing),
        None => bot,
    })
}

/// Checks that a bot could start with the inputs as they are now, next to the one that runs with these mirrors.
pub(super) fn check(loaded: &Loaded, mirrors: &[Mirror]) -> Result<(), CliError> {
    daemon::check(&loaded.settings, &settings::environment(), Clock::system(), mirrors)
        .map_err(|error| cannot_start(&error))
}

/// The tracker of a configuration, with its receivers of alerts.
pub(super) fn tracker(loaded: &Loaded, bot: &Bot, sinks: Vec<SinkSettings>) -> Result<Arc<Tracker>, CliError> {
    let of = (Arc::clone(bot.lookup()), bot.replicas().cloned());
    daemon::tracker_of(&loaded.settings, &settings::environment(), Clock::system(), of, sinks)
        .map_err(|error| cannot_start(&error))
}

/// What the web server shows of a bot, and the sources of its webhooks.
pub(super) fn shown(loaded: &Loaded, bot: &Bot, tracker: &Arc<Tracker>) -> Result<Shown, CliError> {
    let environment = settings::environment();
    let sources = daemon::webhook_sources(&loaded.settings, &environment).map_err(|error| cannot_start(&error))?;
    let token = daemon::server_token(&loaded.settings, &environment).map_err(|error| cannot_start(&error))?;
    Ok(Shown::new(&loaded.settings, bot, tracker, (sources, token), Clock::system()))
}

pub(super) fn cannot_start(error: &SetupError) -> CliError {
    match error {
        // The errors are in files that a person wrote: places and lines help more than a chain of causes.
        SetupError::Policies { repository, source } => {
            let places = source.render(false);
            CliError::new(format!("the policies of repository {repository} cannot be used\n{places}"))
        }
        _ => CliError::caused("the bot cannot start", error),
    }
}

/// The current state, freshly read, and the bot that has read it; writes nothing and notifies nobody.
pub(super) async fn status(loaded: &Loaded) -> Result<(Arc<Rows>, Bot), CliError> {
    let mut bot = open(loaded).await?;
    let tracker = tracker(loaded, &bot, Vec::new())?;
    bot.view(&tracker).await;
    if bot.promotes() {
        bot.prove(&tracker, LISTING).await;
        bot.view(&tracker).await;
    }
    tracker.listed(LISTING).await;
    let rows = tracker.look().await;
    let rows = rows.ok_or_else(|| CliError::new("reading the clusters failed unexpectedly; see the log"))?;
    Ok((rows, bot))
}

/// How long unfinished work may take to stop when a command ends.
const ENDING: Duration = Duration::from_secs(1);

/// How many threads a command runs on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Threads {
    /// The current one; blocking work (Git, parsing) still runs on threads of its own.
    One,
    /// One per core.
    Cores,
}

/// Runs a command that ends on its own. It spends most of its time waiting, so one thread is enough.
pub(super) fn block_on<T>(work: impl Future<Output = Result<T, CliError>>) -> Result<T, CliError> {
    run_on(Threads::One, work)
}

/// Runs a command that goes on until it is stopped, or that serves others.
pub(super) fn block_on_cores<T>(work: impl Future<Output = Result<T, CliError>>) -> Result<T, CliError> {
    run_on(Threads::Cores, work)
}

fn run_on<T>(threads: Threads, work: impl Future<Output = Result<T, CliError>>) -> Result<T, CliError> {
    let mut builder = match threads {
        Threads::One => tokio::runtime::Builder::new_current_thread(),
        Threads::Cores => tokio::runtime::Builder::new_multi_thread(),
    };
    // Everything that this process and its Git children create from here on is for this user alone, whatever umask they
    // started with.
    rustix::process::umask(rustix::fs::Mode::RWXG | rustix::fs::Mode::RWXO);
    let runtime = builder.enable_all().build().map_err(|error| CliError::caused("the runtime cannot start", &error))?;
    let done = runtime.block_on(work);
    // Anything still computing or blocking in an abandoned cycle ends with the process.
    runtime.shutdown_timeout(ENDING);
    done
}
