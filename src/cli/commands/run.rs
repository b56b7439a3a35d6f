//! `landfall run`: runs cycle after cycle until it is stopped.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::config::{Loaded, ServerSettings};
use crate::daemon::{self, Bot, CycleOutcome, OnOutcome, Tracker};
use crate::git::Mirror;
use crate::server::{Server, ServerError, Shown, Stage};

use super::plan::{ApplyArgs, apply};
use super::{CliError, Context, Exit, News, bot, settings};

/// How often a running bot checks whether its inputs have changed.
const RELOAD: Duration = Duration::from_secs(10);

/// Arguments of `landfall run`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
A cycle starts at the `interval` or `schedule` in the configuration, and soon after
the repository moves. Ctrl-C or SIGTERM stops it after the current cycle.
With `server` in the configuration it also takes webhooks and serves /livez, /readyz
and /metrics. With `replicas` several of them share the repositories by Leases.
With `--log-level info` it also logs what each cycle found.")]
pub(in crate::cli) struct RunArgs {
    /// Run one cycle and stop, like `landfall apply`.
    #[arg(long)]
    once: bool,
}

/// `landfall run`: runs cycles until it is stopped.
pub(super) fn run(args: &RunArgs, context: &Context) -> Result<Exit, CliError> {
    if args.once {
        return apply(&ApplyArgs::default(), context);
    }
    let loaded = settings::load(context)?;
    bot::block_on_cores(async {
        let stop = CancellationToken::new();
        let signal = stop.clone();
        drop(tokio::spawn(async move {
            stopped().await;
            signal.cancel();
        }));
        let server = match &loaded.settings.server {
            Some(settings) => Some(serve(settings, &stop).await?),
            None => None,
        };
        let (news, output) = (News::new(context.log_format), context.output);
        news.start(&loaded.settings, &output);
        let on_outcome: OnOutcome = Arc::new(move |outcome: &CycleOutcome| news.tell(outcome, &output));
        let mut ready = Some(Ready::set_up(&loaded).await?);
        while let Some(Ready { bot, tracker, shown }) = ready {
            if let Some((_, stage)) = &server {
                stage.show(shown);
            }
            until_changed((bot, tracker), &loaded, &stop, Arc::clone(&on_outcome)).await;
            ready = next(&loaded, &stop).await;
        }
        if let Some((serving, _)) = server {
            drop(serving.await);
        }
        Ok(Exit::Done)
    })
}

/// Starts the web server, which goes on until `stop`, whatever becomes of the bot.
async fn serve(settings: &ServerSettings, stop: &CancellationToken) -> Result<(JoinHandle<()>, Stage), CliError> {
    let cannot = |error: &ServerError| CliError::caused("the web server cannot start", error);
    let server = Server::bind(settings, stop.clone()).await.map_err(|error| cannot(&error))?;
    let stage = server.stage();
    tracing::info!(sources = settings.webhooks.len(), "the web server listens on http://{}", server.address());
    Ok((tokio::spawn(server.run()), stage))
}

/// Runs the bot until it is stopped, or until a secret, certificate or policy file it was set up from has changed. A change that no bot
/// could start with is told, and this one goes on: it would be replaced by none.
async fn until_changed(
    (bot, tracker): (Bot, Arc<Tracker>),
    loaded: &Loaded,
    stop: &CancellationToken,
    on_outcome: OnOutcome,
) {
    let environment = settings::environment();
    let before = daemon::Fingerprint::take(&loaded.settings, &environment);
    let mirrors: Vec<Mirror> = bot.repositories.iter().map(|repository| repository.mirror().clone()).collect();
    let mut unusable = None;
    let own = stop.child_token();
    let run = bot.run(&loaded.settings.interval, &own, tracker, on_outcome);
    tokio::pin!(run);
    loop {
        tokio::select! {
            () = &mut run => return,
            () = tokio::time::sleep(RELOAD) => {}
        }
        let now = daemon::Fingerprint::take(&loaded.settings, &environment);
        if now.is_none() || now == before || now == unusable {
            continue;
        }
        if let Err(error) = bot::check(loaded, &mirrors) {
            tracing::error!(
                "a secret, certificate or policy file has changed, but the bot cannot start with it and keeps running with the previous one: {error}; next: correct it"
            );
            unusable = now;
            continue;
        }
        tracing::info!("a secret, certificate or policy file has changed; restarting with it");
        own.cancel();
        run.await;
        return;
    }
}

/// A bot with its tracker, and what the web server shows of them.
struct Ready {
    bot: Bot,
    tracker: Arc<Tracker>,
    shown: Shown,
}

impl Ready {
    async fn set_up(loaded: &Loaded) -> Result<Self, CliError> {
        let bot = bot::open_sharing(loaded).await?;
        let sinks = daemon::sinks(&loaded.settings, &settings::environment());
        let tracker = bot::tracker(loaded, &bot, sinks.map_err(|error| bot::cannot_start(&error))?)?;
        let shown = bot::shown(loaded, &bot, &tracker)?;
        Ok(Self { bot, tracker, shown })
    }
}

/// Sets up the next bot; whatever keeps it from starting is logged and retried until it is fixed.
async fn next(loaded: &Loaded, stop: &CancellationToken) -> Option<Ready> {
    while !stop.is_cancelled() {
        match Ready::set_up(loaded).await {
            Ok(ready) => return Some(ready),
            Err(error) => tracing::error!("{error}"),
        }
        tokio::select! {
            () = stop.cancelled() => {}
            () = tokio::time::sleep(RELOAD) => {}
        }
    }
    None
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
