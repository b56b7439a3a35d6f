//! `landfall history`: which versions came to an app, who brought them, and how long each step took.

use jiff::Timestamp;
use serde::Serialize;

use crate::daemon::{self, Change};
use crate::model::Version;

use super::{Answer, CliError, Context, Output, Paint, config, plan, table};

/// Arguments of `landfall history`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  landfall history web
  landfall history web --environment prod -o json

It is read from the repository: every commit counts, the bot's and people's.
LANDED is when the running bot first saw the version up in a cluster; it is
kept in the bot's state folder, and `-` where no bot was there to see.
Exit codes: 0 done · 1 nothing found · 2 error")]
pub(super) struct Args {
    /// The app; every app without it.
    app: Option<String>,
    /// Only this environment.
    #[arg(long, value_name = "ENV")]
    environment: Option<String>,
    /// At most so many changes.
    #[arg(long, value_name = "N", default_value_t = 50)]
    limit: usize,
}

#[derive(Debug, Serialize)]
struct Report {
    history: Vec<Change>,
}

/// Shows the history.
pub(super) fn run(args: &Args, context: &Context) -> Result<Answer, CliError> {
    let loaded = config::load(context)?;
    let history = plan::block_on(async {
        let mut bot = plan::bot(&loaded).await?;
        let landed = daemon::landed(bot.lookup().store());
        let mut all = Vec::new();
        for repository in &mut bot.repositories {
            let name = repository.name().to_owned();
            let failed =
                |error: &dyn std::error::Error| CliError::new(format!("repository {name} cannot be read: {error}"));
            repository.refresh().await.map_err(|error| failed(&error))?;
            // All of them: a limit before the environment is known would cut the wrong ones.
            let changes = repository.changes(args.app.as_deref(), usize::MAX, Timestamp::MIN);
            all.extend(changes.map_err(|error| failed(&error))?);
        }
        for change in &mut all {
            change.landed = landed.of(&change.id);
        }
        Ok(all)
    })?;
    let wanted = |change: &Change| args.environment.is_none() || change.environment == args.environment;
    let mut history: Vec<Change> = history.into_iter().filter(wanted).collect();
    history.sort_by_key(|change| std::cmp::Reverse(change.merged));
    history.truncate(args.limit);
    let answer = if history.is_empty() { Answer::Negative } else { Answer::Done };
    context.output.data(&Report { history }, |report| text(&report.history, &context.output))?;
    Ok(answer)
}

fn text(history: &[Change], output: &Output) -> String {
    if history.is_empty() {
        return "no version of it came or went\n".to_owned();
    }
    let rows = history.iter().map(|change| {
        let from = change.from.as_ref().map_or_else(|| "-".to_owned(), version);
        vec![
            format!("{:.0}", change.merged),
            change.environment.clone().unwrap_or_else(|| "-".to_owned()),
            change.app.clone(),
            from,
            output.paint(Paint::Bold, &version(&change.to)),
            change.by.clone(),
            change.commit.short().to_owned(),
            span(change.committed, change.merged),
            landed(change),
        ]
    });
    table(&["MERGED", "ENVIRONMENT", "APP", "FROM", "TO", "BY", "COMMIT", "REVIEW", "LANDED"], rows)
}

/// When it was up in each cluster, and how long after it had come to the branch.
fn landed(change: &Change) -> String {
    if change.landed.is_empty() {
        return "-".to_owned();
    }
    let one = |(cluster, at): (&String, &Timestamp)| format!("{cluster}: after {}", span(change.merged, *at));
    change.landed.iter().map(one).collect::<Vec<_>>().join(", ")
}

fn version(version: &Version) -> String {
    super::status::short(version)
}

fn span(from: Timestamp, to: Timestamp) -> String {
    super::status::ago(from, to)
}
