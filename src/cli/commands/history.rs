//! `landfall history`: which versions an app has had, who brought them, and how long each step took.

use jiff::Timestamp;
use serde::Serialize;

use crate::config::{Loaded, decisions};
use crate::daemon::{
    self, AuditEvent, AuditedBranch, AuditedThing, ChangeFilter, Clock, Dora, LeadFrom, LeadTime, Median, VersionChange,
};
use crate::model::{ImageName, Version};
use crate::plan::trailer;
use crate::store::Store;

use super::{CliError, Context, Exit, Filters, Output, Paint, ago, bot, settings, short, table};

/// Arguments of `landfall history`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  landfall history web
  landfall history web --environment prod -o json
  landfall history --dora --since 30d
  landfall history --audit --environment prod -o json

The history is read from the repository: the bot's commits and everybody else's.
LANDED is when the running bot first saw the version up in a cluster; it is kept
in the bot's state folder, and is `-` if no bot was watching. LEAD is the time from
when the bot first saw the tag, or else from the commit, until then.

With --dora: deployment frequency, lead time for changes, change failure rate and
time to restore, for each environment; `-` if unknown.

With --audit: each change with its author and committer, whether the bot signed it,
what its commit records (policy, gates, evidence, overrides, reasons), and who
reviewed its pull request; and each commit that changed policies, freezes, holds or
other decisions, unless an app, environment or image is named. All but the reviews
can be found again in Git from the tips that are named with it.
Exit codes: 0 done · 1 nothing found · 2 error")]
pub(in crate::cli) struct HistoryArgs {
    /// The app [default: every app].
    app: Option<String>,
    #[command(flatten)]
    filters: Filters,
    /// Show the four DORA metrics of each environment instead of the changes.
    #[arg(long)]
    dora: bool,
    /// Show who decided, who approved, what was proved and what was overridden.
    #[arg(long, conflicts_with = "dora")]
    audit: bool,
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

#[derive(Debug, Default, Serialize)]
struct Audit {
    branches: Vec<AuditedBranch>,
    events: Vec<AuditEvent>,
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
    args.filters.check_repository(&loaded.settings)?;
    let mut gathered = bot::block_on(gather(args, context, &loaded, since))?;
    gathered.history.sort_by_key(|change| std::cmp::Reverse(change.merged));
    if args.dora {
        let dora = daemon::dora(&gathered.history, since, now);
        let answer = if dora.is_empty() { Exit::Negative } else { Exit::Done };
        context.output.data(&Measures { dora }, |measures| measures_text(&measures.dora))?;
        return Ok(answer);
    }
    if args.audit {
        let Audit { branches, mut events } = gathered.audit;
        events.sort_by_key(|event| std::cmp::Reverse(event.at));
        events.truncate(args.limit);
        let answer = if events.is_empty() { Exit::Negative } else { Exit::Done };
        context.output.data(&Audit { branches, events }, audit_text)?;
        return Ok(answer);
    }
    gathered.history.truncate(args.limit);
    let answer = if gathered.history.is_empty() { Exit::Negative } else { Exit::Done };
    let report = Report { history: gathered.history };
    context.output.data(&report, |report| text(&report.history, &context.output))?;
    Ok(answer)
}

/// What was read of all repositories: the changes, or what a reviewer asks about them.
#[derive(Debug, Default)]
struct Gathered {
    history: Vec<VersionChange>,
    audit: Audit,
}

async fn gather(
    args: &HistoryArgs,
    context: &Context,
    loaded: &Loaded,
    since: Timestamp,
) -> Result<Gathered, CliError> {
    let filters = &args.filters;
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
    let everything = filter.app.is_none() && filter.environment.is_none() && filters.images.image.is_none();
    let mut bot = bot::open(loaded).await?;
    let landed = daemon::landed(bot.lookup().store());
    let store = bot.lookup().store().clone();
    let mut gathered = Gathered::default();
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
        changes.retain(is_wanted);
        for change in &mut changes {
            let first_seen = first_seen(&store, change);
            change.remember(landed.of(&change.id, &change.arrived), first_seen);
        }
        if args.audit {
            let rules = everything.then_some(args.limit);
            let events = repository.audit(changes, rules).await;
            gathered.audit.events.extend(events.map_err(|error| failed(&error))?);
            gathered.audit.branches.extend(repository.audited());
        } else {
            gathered.history.extend(changes);
        }
    }
    filters.check_names(args.app.as_ref(), &bot)?;
    Ok(gathered)
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

fn audit_text(audit: &Audit) -> String {
    if audit.events.is_empty() {
        return "nothing found\n".to_owned();
    }
    let rows = audit.events.iter().map(|event| {
        let what = match &event.what {
            AuditedThing::Version { change } => {
                let environment = change.environment.as_deref().unwrap_or("-");
                format!("{} {environment}: {} {}", change.app, change.kind.as_str(), version(&change.to))
            }
            AuditedThing::Rules { files } => {
                let shown: Vec<&str> = files.iter().take(3).map(|file| file.path.as_str()).collect();
                let more =
                    files.len().checked_sub(4).map_or_else(String::new, |more| format!(" and {} more", more + 1));
                format!("{}{more}", shown.join(", "))
            }
        };
        let reviews = event.reviews.as_ref().map(|reviews| {
            reviews.iter().map(|review| format!("{}: {}", review.by, review.state)).collect::<Vec<_>>().join(", ")
        });
        let overridden = event.records.iter().find(|record| record.name == trailer::OVERRIDE);
        vec![
            format!("{:.0}", event.at),
            what,
            event.author.name.clone(),
            reviews.filter(|text| !text.is_empty()).unwrap_or_else(|| "-".to_owned()),
            overridden.map_or_else(|| "-".to_owned(), |record| record.value.clone()),
            event.commit.short().to_owned(),
        ]
    });
    let table = table(&["AT", "WHAT", "BY", "REVIEWED BY", "OVERRIDDEN", "COMMIT"], rows);
    let tips = audit.branches.iter().map(|it| format!("{} {}: {}\n", it.repository, it.branch, it.tip));
    format!("{table}\nRead at:\n{}", tips.collect::<String>())
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
