//! `landfall promote APP --to ENV`: requests now what the promotion gate would otherwise allow on its own.

use std::collections::BTreeSet;

use crate::daemon::{CycleOutcome, Repository};
use crate::plan::{Gate, PromotionRequest};

use super::decision::{self, Who};
use super::report::Detail;
use super::{CliError, Context, Exit, bot, names, plan, settings};

/// Arguments of `landfall promote`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  landfall promote web --to prod --dry-run
  landfall promote web --to prod --override window --reason \"fixes the outage\"

It promotes the version that has soaked upstream, as every cycle does, and through
the same gates; nothing else is written. The commit records every gate that
--override opens, with the name and the reason.
Gates: window, freeze, minimum-release-age, platforms, promotion, rate, hold.

Exit codes:
  0 done · 1 there is nothing to promote, or a gate holds it
  2 something could not be written or read · 4 access was refused")]
pub(in crate::cli) struct PromoteArgs {
    /// The app.
    app: String,
    /// The environment to promote to.
    #[arg(long, value_name = "ENV")]
    to: String,
    /// Only this image of the app; the last part of its name is enough.
    #[arg(long, value_name = "IMAGE")]
    image: Option<String>,
    /// Open this gate; may be repeated.
    #[arg(long = "override", value_name = "GATE", requires = "reason", value_parser = gate)]
    overrides: Vec<Gate>,
    /// The reason, recorded in the commit.
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    #[command(flatten)]
    who: Who,
    /// Show what would be done without doing it.
    #[arg(long)]
    dry_run: bool,
}

/// The gates that a person may open. Approval is not among them: it is a person's decision already. Nor is the signature: what is not
/// signed is never written.
fn gate(text: &str) -> Result<Gate, String> {
    const OPENED: [Gate; 7] =
        [Gate::Window, Gate::Freeze, Gate::MinimumReleaseAge, Gate::Platforms, Gate::Promotion, Gate::Rate, Gate::Hold];
    let names = || OPENED.map(Gate::as_str).join(", ");
    OPENED.into_iter().find(|gate| gate.as_str() == text).ok_or_else(|| format!("gates are {}", names()))
}

/// Promotes.
pub(super) fn run(args: &PromoteArgs, context: &Context) -> Result<Exit, CliError> {
    let loaded = settings::load(context)?;
    let asked = PromotionRequest {
        app: args.app.clone(),
        environment: args.to.clone(),
        image: args.image.clone(),
        overrides: args.overrides.iter().copied().collect(),
        reason: args.reason.as_deref().map(decision::reason).transpose()?.unwrap_or_default(),
        // Unless a gate is opened, no name is recorded.
        by: if args.overrides.is_empty() { String::new() } else { args.who.name()? },
    };
    let outcomes = bot::block_on(async {
        let mut bot = bot::open(&loaded).await?;
        if let Some(name) = &args.who.repository {
            names::chosen(Some(name.as_str()), bot.repositories.iter().map(Repository::name))?;
            bot.repositories.retain(|repository| repository.name() == name);
        }
        for repository in &mut bot.repositories {
            repository.ask(asked.clone());
        }
        // Planning reads the repositories and finds out which of them need to know what is running.
        let known = bot.plan(false).await;
        if bot.promotes() {
            bot::prove(&loaded, &mut bot).await?;
        }
        let known: Vec<CycleOutcome> = known.into_iter().filter(|outcome| outcome.revision.is_none()).collect();
        let named: BTreeSet<(String, String)> = bot.repositories.iter().flat_map(Repository::places).collect();
        if known.is_empty() && !named.contains(&(args.app.clone(), args.to.clone())) {
            return Err(unknown(args, &named));
        }
        Ok(if args.dry_run { bot.plan(true).await } else { bot.apply().await })
    })?;
    let nothing = outcomes.iter().all(|outcome| outcome.actions.is_empty());
    plan::finish(&outcomes, Detail::All, context, if nothing { Exit::Negative } else { Exit::Done })
}

fn unknown(args: &PromoteArgs, places: &BTreeSet<(String, String)>) -> CliError {
    let environments: Vec<&str> =
        places.iter().filter(|(app, _)| *app == args.app).map(|(_, environment)| environment.as_str()).collect();
    match environments.is_empty() {
        true => names::unknown("app", &args.app, places.iter().map(|(app, _)| app.as_str())),
        false => CliError::new(format!("app {} is not in environment `{}`", args.app, args.to))
            .hint(format!("it is in {}", environments.join(", "))),
    }
}
