//! `landfall pr list|show|approve|merge|close`: the pull requests of a local forge.

use clap::Subcommand;
use serde::Serialize;

use crate::daemon::Clock;
use crate::forge::LocalForge;
use crate::model::{CommitId, PullRequest, PullState};

use super::{CliError, Context, Exit, bot, settings, table};

/// Arguments of `landfall pr`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  landfall pr list --all
  landfall pr show 3
  landfall pr approve 3 --by ann
  landfall pr merge 3

A local forge (`forge: { kind: local }`) keeps pull requests in the Git
repository itself. Pull requests on GitHub are merged and closed there.")]
pub(in crate::cli) struct PrArgs {
    /// The repository's name in the configuration; required if several have a local forge.
    #[arg(long, global = true, value_name = "NAME")]
    repository: Option<String>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List open pull requests.
    List {
        /// Include closed and merged ones.
        #[arg(long)]
        all: bool,
    },
    /// Show one pull request.
    Show {
        /// Its number.
        number: u64,
    },
    /// Approve a pull request as it is now; later pushes are not approved.
    Approve {
        /// Its number.
        number: u64,
        /// Who approves.
        #[arg(long, value_name = "NAME", env = "USER")]
        by: String,
    },
    /// Merge a pull request into its base.
    Merge {
        /// Its number.
        number: u64,
    },
    /// Close a pull request without merging it; its versions are held until newer ones appear.
    Close {
        /// Its number.
        number: u64,
    },
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct List {
    pull_requests: Vec<PullRequest>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Changed {
    pull_request: PullRequest,
    merged_commit: Option<CommitId>,
}

/// Runs the command.
pub(super) fn run(args: &PrArgs, context: &Context) -> Result<Exit, CliError> {
    let loaded = settings::load(context)?;
    bot::block_on(async {
        let bot = bot::open(&loaded).await?;
        let local = local(&bot, args.repository.as_deref())?;
        let now = Clock::system().now();
        let failed = |error: crate::forge::PullError| CliError::new(error.message);
        match args.command {
            Command::List { all } => {
                let mut pull_requests = local.list().await.map_err(failed)?;
                pull_requests.retain(|pull| all || pull.state == PullState::Open);
                context.output.data(&List { pull_requests }, |list| rows(&list.pull_requests))?;
            }
            Command::Show { number } => {
                let pull = local.list().await.map_err(failed)?.into_iter().find(|pull| pull.number == number);
                let pull = pull.ok_or_else(|| CliError::new(format!("there is no pull request #{number}")))?;
                context.output.data(&pull, show)?;
            }
            Command::Approve { number, ref by } => {
                if by.trim().is_empty() || by.len() > 100 || by.chars().any(char::is_control) {
                    return Err(CliError::new("--by is not a valid name").hint("use up to 100 characters on one line"));
                }
                let pull_request = local.approve(number, by.trim(), now).await.map_err(failed)?;
                let changed = Changed { pull_request, merged_commit: None };
                context.output.data(&changed, |_| format!("✔ {} approves of #{number}", by.trim()))?;
            }
            Command::Merge { number } => {
                let (pull_request, commit) = local.merge(number, now).await.map_err(failed)?;
                let changed = Changed { pull_request, merged_commit: Some(commit) };
                context
                    .output
                    .data(&changed, |changed| format!("✔ merged #{number} into {}", changed.pull_request.base))?;
            }
            Command::Close { number } => {
                let pull_request = local.close(number, now).await.map_err(failed)?;
                let changed = Changed { pull_request, merged_commit: None };
                context
                    .output
                    .data(&changed, |_| format!("✔ closed #{number}; its versions are held until newer ones appear"))?;
            }
        }
        Ok(Exit::Done)
    })
}

fn local<'a>(bot: &'a crate::daemon::Bot, name: Option<&str>) -> Result<&'a LocalForge, CliError> {
    let named = bot.repositories.iter().filter(|repository| name.is_none_or(|name| name == repository.name()));
    let mut found = named.filter_map(|repository| repository.pulls().forge().local());
    let first = found.next().ok_or_else(|| {
        CliError::new("no repository of that name has a local forge")
            .hint("`forge: { kind: local }` in the configuration adds one")
    })?;
    if found.next().is_some() {
        return Err(CliError::new("several repositories have a local forge").hint("name one with --repository"));
    }
    Ok(first)
}

fn rows(pulls: &[PullRequest]) -> String {
    if pulls.is_empty() {
        return "no open pull requests".to_owned();
    }
    let rows = pulls.iter().map(|pull| {
        vec![
            format!("#{}", pull.number),
            state(pull).to_owned(),
            pull.title.clone(),
            format!("{} → {}", pull.head, pull.base),
        ]
    });
    table(&["NUMBER", "STATE", "TITLE", "BRANCH"], rows)
}

fn state(pull: &PullRequest) -> &'static str {
    match (pull.state, pull.draft) {
        (PullState::Open, true) => "draft",
        (PullState::Open, false) => "open",
        (PullState::Merged, _) => "merged",
        (PullState::Closed, _) => "closed",
    }
}

fn show(pull: &PullRequest) -> String {
    let labels = if pull.labels.is_empty() { String::new() } else { format!("\nlabels: {}", pull.labels.join(", ")) };
    format!("#{} {} ({})\n{} → {}{labels}\n\n{}", pull.number, pull.title, state(pull), pull.head, pull.base, pull.body)
}
