//! `landfall demo`: the main job in an embedded world, told as a story.

use std::io::IsTerminal;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::config::{self, ServerSettings};
use crate::daemon::{Clock, CycleOutcome, Rows};
use crate::demo::{self, DemoWorld, Detail, Received, StoryClock, Tale, Teller};
use crate::model::{NoticeKind, Severity};
use crate::server::Server;

use super::{CliError, Context, Exit, Output, Paint, bot, landings, report, settings, wrapped};

/// How long a reader has for each scene, in milliseconds: the short story has seven pauses and takes about twenty seconds,
/// the full one has some twenty-five and stays below a minute.
const PAUSE: u64 = 1_500;

/// How often the controllers of the kept cluster reconcile.
const RECONCILE: Duration = Duration::from_secs(2);

/// How often the page's bot reads everything.
const VIEW: Duration = Duration::from_secs(4);

/// The width at which alerts are printed.
const WIDTH: usize = 104;

/// Arguments of `landfall demo`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
A registry, a Git server, a cluster (an API server with the controllers of
Argo CD, Flux and workloads, as far as the story needs them) and the bot run in
this process, on the loopback interface and in one folder. It tells four scenes in
20 seconds (a bump, a missing image, a revert that holds, a promotion by proof),
and with --full everything in less than a minute; --fast does not wait for readers.
With --keep you can then try every other command on the folder, in another terminal.")]
pub(in crate::cli) struct DemoArgs {
    /// Keep the folder, so that every other command can be tried on it; on a terminal, the registry and the cluster
    /// also keep running, and the web page is served.
    #[arg(long)]
    keep: bool,
    /// Make the world in this folder, which must be empty or absent [default: a temporary one].
    #[arg(long, value_name = "DIR")]
    folder: Option<PathBuf>,
    /// Tell everything: refused, changed by hand, paused, frozen and rolled-back updates as well.
    #[arg(long)]
    full: bool,
    /// Do not pause between scenes.
    #[arg(long)]
    fast: bool,
}

/// Runs the demo.
pub(super) fn run(args: &DemoArgs, context: &Context) -> Result<Exit, CliError> {
    let temporary = tempfile::Builder::new()
        .prefix("landfall-demo-")
        .tempdir()
        .map_err(|error| CliError::caused("cannot make a temporary folder", &error))?;
    let folder = folder(args, temporary.path())?;
    let failed = |error: anyhow::Error| CliError::caused("the demo stopped", error.as_ref());
    let terminal = std::io::stdout().is_terminal();
    bot::block_on_cores(async {
        let tale = if args.full { Tale::Full } else { Tale::Short };
        let clock = StoryClock::behind(Clock::system(), tale);
        let world = DemoWorld::create(&folder, &clock.reader()).await.map_err(failed)?;
        let pause = Duration::from_millis(if args.fast || !terminal { 0 } else { PAUSE });
        tokio::select! {
            told = tell(&world, &clock, context, (pause, tale)) => told.map_err(failed)?,
            // Ends like any other error, so that the temporary folder is removed.
            () = super::run::stopped() => return Err(CliError::new("the demo was stopped")),
        }
        if args.keep {
            world.push("worker", "v0.10.0", clock.reader().now()).map_err(failed)?;
        }
        context.output.text(&ending(&world, args.keep.then_some(tale), context))?;
        if args.keep && terminal {
            goes_on(&world, &clock.reader(), context).await;
        }
        if args.keep {
            world.outlive().map_err(failed)?;
        }
        Ok(())
    })?;
    if args.keep && args.folder.is_none() {
        // As requested, the folder outlives the process.
        drop(temporary.keep());
    }
    Ok(Exit::Done)
}

fn folder(args: &DemoArgs, temporary: &std::path::Path) -> Result<PathBuf, CliError> {
    let Some(folder) = &args.folder else { return Ok(temporary.to_owned()) };
    let made = std::fs::create_dir_all(folder)
        .and_then(|()| std::fs::read_dir(folder))
        .map(|mut entries| entries.next().is_none());
    match made {
        Ok(true) => std::path::absolute(folder).map_err(|error| CliError::caused("the folder has no path", &error)),
        Ok(false) => Err(CliError::new(format!("{} is not empty", folder.display())).hint("name a new folder")),
        Err(error) => Err(CliError::caused(format!("cannot use {}", folder.display()), &error)),
    }
}

/// Keeps the servers running until Ctrl-C: the controllers reconcile every two seconds, the receiver's notices are printed,
/// and the page is served.
async fn goes_on(world: &DemoWorld, clock: &Clock, context: &Context) {
    let output = context.output;
    output.message("\nRegistry and cluster keep running until Ctrl-C; use another terminal. Alerts are printed here.");
    // Ends with the process.
    match page(world, context).await {
        Ok(address) => {
            output.message(&format!("The page, which shows what you do and writes nothing: http://{address}/"));
        }
        Err(error) => output.message(&format!("the page cannot be shown: {error}")),
    }
    let stopped = super::run::stopped();
    tokio::pin!(stopped);
    loop {
        tokio::select! {
            () = &mut stopped => return,
            told = world.receiver.next() => match told {
                Some(told) => drop(output.text(&alert(&told, Detail::Whole, &output))),
                None => return,
            },
            () = tokio::time::sleep(RECONCILE) => {
                if let Err(error) = world.cluster.reconcile(clock.now()).await {
                    output.message(&format!("the demo's cluster has stopped: {error:#}"));
                }
            }
        }
    }
}

/// Serves the page of a bot that reads and plans, and writes nothing, so that there is something left to try.
async fn page(world: &DemoWorld, context: &Context) -> Result<SocketAddr, CliError> {
    let mut loaded = config::load(&world.config).map_err(|error| settings::failed(&error, context))?;
    let stop = CancellationToken::new();
    let own = ServerSettings::on_loopback();
    let cannot = |error| CliError::caused("the web server cannot start", &error);
    let server = Server::bind(&own, stop.clone()).await.map_err(cannot)?;
    loaded.settings.server = Some(own);
    let mut bot = bot::open(&loaded).await?;
    let tracker = bot::tracker(&loaded, &bot, Vec::new())?;
    server.stage().show(bot::shown(&loaded, &bot, &tracker)?);
    let address = server.address();
    drop(tokio::spawn(server.run()));
    drop(tokio::spawn(Arc::clone(&tracker).run(stop)));
    drop(tokio::spawn(async move {
        loop {
            bot.view(&tracker).await;
            tokio::time::sleep(VIEW).await;
        }
    }));
    Ok(address)
}

/// An alert as its receiver would show it.
fn alert(told: &Received, detail: Detail, output: &Output) -> String {
    let notice = &told.notice;
    let (paint, word) = match notice.kind {
        NoticeKind::Resolved => (Paint::Good, "✔ resolved"),
        NoticeKind::Landed => (Paint::Good, "✔ landed  "),
        _ if notice.incident.severity >= Severity::Error => (Paint::Bad, "✗ alert   "),
        _ => (Paint::Warn, "⚠ alert   "),
    };
    let mut text = format!("  {} {}\n", output.paint(paint, word), told.title);
    if detail == Detail::Whole && !matches!(notice.kind, NoticeKind::Resolved | NoticeKind::Landed) {
        // A long line of evidence only repeats the cause.
        let seen = notice.evidence.iter().filter(|line| line.chars().count() <= 2 * WIDTH).map(|line| ("seen", line));
        for (name, said) in [("cause", &notice.cause)].into_iter().chain(seen).chain([("next", &notice.next)]) {
            for (number, line) in wrapped(said, WIDTH - 14).iter().enumerate() {
                let name = if number == 0 { name } else { "" };
                text.push_str(&format!("      {} {line}\n", output.paint(Paint::Dim, &format!("{name:<7}"))));
            }
        }
    }
    text
}

async fn tell(
    world: &DemoWorld,
    clock: &StoryClock,
    context: &Context,
    (pause, tale): (Duration, Tale),
) -> anyhow::Result<()> {
    let output = context.output;
    let say = |text: &str| drop(output.text(&format!("{text}\n")));
    let indented = |text: &str| text.lines().for_each(|line| say(format!("  {line}").trim_end()));
    let teller = Teller {
        scene: &|text| say(&format!("\n{}", output.paint(Paint::Bold, &format!("► {text}")))),
        line: &say,
        report: &|cycle: &CycleOutcome| {
            indented(&report::text(std::slice::from_ref(cycle), report::Detail::All, &output));
        },
        alert: &|told: &Received, detail| drop(output.text(&alert(told, detail, &output))),
        status: &|rows: &Rows, detail| match detail {
            Detail::Title => indented(&landings::matrix_of(rows, &output)),
            Detail::Whole => indented(&landings::shown(rows, &output)),
        },
        pause,
    };
    demo::tell(world, clock, &settings::environment(), &teller, tale).await
}

/// What to try next.
fn ending(world: &DemoWorld, kept: Option<Tale>, context: &Context) -> String {
    let heading = context.output.paint(Paint::Bold, "► Try it yourself:");
    let program = program();
    let name = program.as_deref().unwrap_or("landfall");
    let Some(tale) = kept else {
        return format!(
            "\n{heading}\n  {name} demo --full\n  tells more: refused, changed by hand, paused, frozen and rolled back.\n  \
             {name} demo --keep\n  leaves its folder, for every other command to be tried on.\n"
        );
    };
    let alias = program.as_ref().map_or(String::new(), |program| format!("  alias landfall={program}\n"));
    format!(
        "\n{heading} CI has just pushed worker v0.10.0.\n{alias}  cd {}\n  landfall status                   how far everything has come, while the demo runs\n  \
         landfall plan --diff              what would be written now\n  landfall apply                    write it\n  \
         landfall pr list                  then: landfall pr merge {}\n  \
         landfall explain apps/web/overlays/prod/kustomization.yaml\n  git clone git/deploys.git checkout && landfall scan checkout\n",
        world.folder.display(),
        tale.left_open()
    )
}

/// The program's path, if it was started by path (`cargo run`, `target/release/landfall`) and not found by name.
fn program() -> Option<String> {
    let by_path = std::env::args_os().next()?.to_string_lossy().contains('/');
    let path = by_path.then(std::env::current_exe)?.ok()?;
    Some(path.display().to_string())
}
