//! `landfall history`: which versions an app has had, who brought them, and how long each step took.

use jiff::Timestamp;
use serde::Serialize;

use crate::config::decisions;
use crate::daemon::{self, ChangeFilter, Clock, Dora, LeadFrom, LeadTime, Median, VersionChange};
use crate::model::{ImageName, Version};
use crate::store::Store;

use super::{CliError, Context, Exit, Filters, Output, Paint, ago, bot, settings, short, table};

/// Arguments of `landfall history`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  landfall history web
  landfall history web --environment prod -o json
  landfall history --dora --since 30d

The history is read from the repository: the bot's commits and everybody else's.
LANDED is when the running bot first saw the version up in a cluster; it is kept
in the bot's state folder, and is `-` if no bot was watching. LEAD is the time from
when the bot first saw the tag, or else from the commit, until then.

With --dora: deployment frequency, lead time for changes, change failure rate and
time to restore, for each environment; `-` if unknown.
Exit codes: 0 done · 1 nothing found · 2 error")]
pub(in crate::cli) struct HistoryArgs {
    /// The app [default: every app].
    app: Option<String>,
    #[command(flatten)]
    filters: Filters,
    /// Show the four DORA metrics of each environment instead of the changes.
    #[arg(long)]
    dora: bool,
    /// How far back the metrics go: a duration such as 30d, or a time.
    #[arg(long, value_name = "TIME", default_value = "30d", requires = "dora")]
    since: String,
    /// Show at most this many changes.
    #[arg(long, value_name = "N", default_value_t = 50)]
    limit: usize,
}

#[derive(Debug, Serialize)]
struct Report {
    history: Vec<VersionChange>,
}

#[derive(Debug, Serialize)]
struct Measures {
    dora: Vec<Dora>,
}

/// Shows the history.
pub(super) fn run(args: &HistoryArgs, context: &Context) -> Result<Exit, CliError> {
    let now = Clock::system().now();
    let since = since(&args.since, now)?;
    let loaded = settings::load(context)?;
    let filters = &args.filters;
    filters.check_repository(&loaded.settings)?;
    // Of each repository as many: any of them may have the newest. Images are told apart afterwards.
    let all = args.dora || filters.images.image.is_some();
    let filter = ChangeFilter {
        app: filters.or_app(args.app.as_ref()),
        environment: filters.images.environment.as_deref(),
        limit: if all { usize::MAX } else { args.limit },
    };
    let is_wanted = |change: &VersionChange| {
        filters.images.image.is_none()
            || ImageName::parse(&change.image).is_ok_and(|image| filters.images.wants_image(&image))
    };
    // What was before is measured against, but not asked about.
    let asked = |change: &&mut VersionChange| (!args.dora || change.merged >= since) && is_wanted(change);
    let history = bot::block_on(async {
        let mut bot = bot::open(&loaded).await?;
        let landed = daemon::landed(bot.lookup().store());
        let mut all = Vec::new();
        for repository in &mut bot.repositories {
            let name = repository.name().to_owned();
            if !filters.wants_repository(&name) {
                continue;
            }
            let failed =
                |error: &dyn std::error::Error| CliError::new(format!("repository {name} cannot be read: {error}"));
            repository.refresh().await.map_err(|error| failed(&error))?;
            let changes = repository.changes(&filter, Timestamp::MIN);
            let mut changes = changes.map_err(|error| failed(&error))?;
            if let Err(error) = repository.look_up(changes.iter_mut().filter(asked)).await {
                context.output.message(&format!("it is unknown what pull requests of {name} brought: {error}"));
            }
            all.extend(changes);
        }
        filters.check_names(args.app.as_ref(), &bot)?;
        for change in &mut all {
            let first_seen = first_seen(bot.lookup().store(), change);
            change.remember(landed.of(&change.id, &change.arrived), first_seen);
        }
        Ok(all)
    })?;
    let mut history: Vec<VersionChange> = history.into_iter().filter(is_wanted).collect();
    history.sort_by_key(|change| std::cmp::Reverse(change.merged));
    if args.dora {
        let dora = daemon::dora(&history, since, now);
        let answer = if dora.is_empty() { Exit::Negative } else { Exit::Done };
        context.output.data(&Measures { dora }, |measures| measures_text(&measures.dora))?;
        return Ok(answer);
    }
    history.truncate(args.limit);
    let answer = if history.is_empty() { Exit::Negative } else { Exit::Done };
    context.output.data(&Report { history }, |report| text(&report.history, &context.output))?;
    Ok(answer)
}

/// The start of the measured period.
fn since(text: &str, now: Timestamp) -> Result<Timestamp, CliError> {
    let bad = |reason: String| CliError::new(format!("--since: {reason}"));
    match text.parse() {
        Ok(time) => Ok(time),
        Err(_) => {
            let span = decisions::duration(text).map_err(bad)?;
            now.checked_sub(span).map_err(|_| bad("it is too long ago".to_owned()))
        }
    }
}

/// When the bot first saw the tag in its registry.
fn first_seen(store: &Store, change: &VersionChange) -> Option<Timestamp> {
    let image = ImageName::parse(&change.image).ok()?;
    let tag = change.to.tag.as_ref()?;
    let (listing, _) = store.listing(&image)?;
    listing.tags.appeared(tag)
}

fn measures_text(dora: &[Dora]) -> String {
    if dora.is_empty() {
        return "no version changes found\n".to_owned();
    }
    let none = || "-".to_owned();
    let span = |median: &Median| {
        let zero = Timestamp::UNIX_EPOCH;
        let end = Timestamp::from_second(median.median_seconds).unwrap_or(zero);
        format!("{} ({})", ago(zero, end), median.count)
    };
    let rows = dora.iter().map(|dora| {
        vec![
            dora.environment.clone().unwrap_or_else(none),
            dora.deployments.to_string(),
            dora.deployment_frequency.map_or_else(none, |frequency| format!("{frequency:.2} a day")),
            dora.lead_time.as_ref().map_or_else(none, span),
            dora.change_failure_rate.map_or_else(none, |rate| format!("{:.0} %", rate * 100.0)),
            dora.time_to_restore.as_ref().map_or_else(none, span),
            format!("{:.0}", dora.since),
        ]
    });
    table(&["ENVIRONMENT", "DEPLOYMENTS", "FREQUENCY", "LEAD TIME", "FAILED", "RESTORED AFTER", "SINCE"], rows)
}

fn text(history: &[VersionChange], output: &Output) -> String {
    if history.is_empty() {
        return "no version changes found\n".to_owned();
    }
    let rows = history.iter().map(|change| {
        let from = change.from.as_ref().map_or_else(|| "-".to_owned(), version);
        vec![
            format!("{:.0}", change.merged),
            change.environment.clone().unwrap_or_else(|| "-".to_owned()),
            change.app.clone(),
            from,
            output.paint(Paint::Bold, &version(&change.to)),
            change.kind.as_str().to_owned(),
            change.by.clone(),
            change.commit.short().to_owned(),
            span(change.committed, change.merged),
            landed(change),
            change.lead_time.as_ref().map_or_else(|| "-".to_owned(), lead),
        ]
    });
    table(&["MERGED", "ENVIRONMENT", "APP", "FROM", "TO", "KIND", "BY", "COMMIT", "REVIEW", "LANDED", "LEAD"], rows)
}

fn lead(lead: &LeadTime) -> String {
    let from = match lead.from {
        LeadFrom::FirstSeen => "first seen",
        LeadFrom::Commit => "commit",
    };
    let zero = Timestamp::UNIX_EPOCH;
    format!("{} from {from}", span(zero, Timestamp::from_second(lead.seconds).unwrap_or(zero)))
}

/// When it was up in each cluster, and how long that took after it reached the branch.
fn landed(change: &VersionChange) -> String {
    if change.landed.is_empty() {
        return "-".to_owned();
    }
    let one = |(cluster, at): (&String, &Timestamp)| format!("{cluster}: after {}", span(change.merged, *at));
    change.landed.iter().map(one).collect::<Vec<_>>().join(", ")
}

fn version(version: &Version) -> String {
    short(version)
}

fn span(from: Timestamp, to: Timestamp) -> String {
    ago(from, to)
}
