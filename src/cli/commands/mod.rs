//! One file per command: its arguments, its help, what it calls, and its exit codes.

mod check;
mod completion;
mod demo;
mod diagnose;
mod doctor;
mod doctor_signatures;
mod explain;
mod freeze;
mod github_app;
mod history;
mod hold;
mod init;
mod man;
mod plan;
mod pr;
mod promote;
mod reference;
mod release;
mod rollback;
mod run;
mod scan;
mod schema;
mod set_image;
mod status;
mod tags;
mod version;

use clap::{CommandFactory as _, Subcommand};

use super::{
    CliError, Context, Exit, Filters, Format, GLOBAL, ImageFilters, News, Output, Paint, ago, bot, decision, files,
    help::{WIDEST, grouped},
    landings, names, policies, registry, remote, report, settings, short, table, wrapped,
};

/// One variant per command; its arguments and implementation are in the file with its name.
#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Show the whole story in one process: a registry, a repository, a cluster and the bot.
    Demo(demo::DemoArgs),
    /// Look through a checkout, and propose a configuration and policies for it.
    Init(init::InitArgs),
    /// Create a GitHub App for the bot: opens one link and prints the configuration to add.
    GithubApp(github_app::GithubAppArgs),
    /// Validate the configuration and policies, and show what they match.
    Check(check::CheckArgs),
    /// Test the connection to everything that is configured; with --notify, send a test message.
    Doctor(doctor::DoctorArgs),
    /// Show what would be written now and what is held, without writing anything.
    Plan(plan::PlanArgs),
    /// Run one cycle: read, plan, write, and verify on the remote.
    Apply(plan::ApplyArgs),
    /// Run cycle after cycle until you stop it.
    Run(run::RunArgs),
    /// Show how far every declared image has come, and why it is stuck if it is.
    Status(status::StatusArgs),
    /// Show which versions an app has had, who brought them and when they landed.
    History(history::HistoryArgs),
    /// Promote what has soaked upstream now, under the usual gates.
    Promote(promote::PromoteArgs),
    /// Freeze an environment: nothing changes there until a given time or until `unfreeze`.
    Freeze(freeze::FreezeArgs),
    /// End all freezes of an environment.
    Unfreeze(freeze::UnfreezeArgs),
    /// Hold an app or image at its version, until a given time or until `release`.
    Hold(hold::HoldArgs),
    /// Release what a person's decision holds: a hold, a revert, a closed pull request.
    Release(release::ReleaseArgs),
    /// Roll an app back to the version that landed before, and hold the bad one.
    Rollback(rollback::RollbackArgs),
    /// List, show, merge and close the pull requests of a local forge.
    Pr(pr::PrArgs),
    /// Show which policy applies to a file, and which line sets each field.
    Explain(explain::ExplainArgs),
    /// Judge dumped Kubernetes objects: which are healthy, which are not, why, what to do, and whether an image has landed.
    Diagnose(diagnose::DiagnoseArgs),
    /// List the image versions in files, and what is left alone and why.
    Scan(scan::ScanArgs),
    /// Show which tag a policy selects, and why it rejects the others.
    #[command(alias = "select")]
    Tags(tags::TagsArgs),
    /// Set the version of an image in files, wherever it is pinned.
    SetImage(set_image::SetImageArgs),
    /// Print the JSON Schema of the configuration or of policy files.
    Schema(schema::SchemaArgs),
    /// Print the version, and how this program was built.
    Version,
    /// Print the completion script for a shell.
    Completion(completion::CompletionArgs),
    /// Print the manual page, or write those of all commands into a folder.
    Man(man::ManArgs),
    /// Print a part of the documentation that is made from the program.
    #[command(hide = true)]
    Reference(reference::ReferenceArgs),
}

/// Runs a command.
pub(super) fn run(command: Command, context: &Context) -> Result<Exit, CliError> {
    match command {
        Command::Init(args) => init::run(&args, context),
        Command::GithubApp(args) => github_app::run(&args, context),
        Command::Check(args) => check::run(&args, context),
        Command::Doctor(args) => doctor::run(&args, context),
        Command::Explain(args) => explain::run(&args, context),
        Command::Plan(args) => plan::plan(&args, context),
        Command::Apply(args) => plan::apply(&args, context),
        Command::Run(args) => run::run(&args, context),
        Command::Status(args) => status::run(&args, context),
        Command::History(args) => history::run(&args, context),
        Command::Promote(args) => promote::run(&args, context),
        Command::Freeze(args) => freeze::freeze(&args, context),
        Command::Unfreeze(args) => freeze::unfreeze(&args, context),
        Command::Hold(args) => hold::run(&args, context),
        Command::Release(args) => release::run(&args, context),
        Command::Rollback(args) => rollback::run(&args, context),
        Command::Pr(args) => pr::run(&args, context),
        Command::Demo(args) => demo::run(&args, context),
        Command::Diagnose(args) => diagnose::run(&args, context),
        Command::Scan(args) => scan::run(&args, context),
        Command::SetImage(args) => set_image::run(&args, context),
        Command::Schema(args) => schema::run(&args, context),
        Command::Version => version::run(context),
        Command::Tags(args) => tags::run(&args, context),
        Command::Completion(args) => completion::run(&args, context, &mut super::Cli::command()),
        Command::Man(args) => man::run(&args, context, super::Cli::command()),
        Command::Reference(args) => reference::run(&args, context, super::Cli::command()),
    }
}
