//! One file per command: its arguments, its help, what it calls and which exit code that gives.

mod check;
mod completion;
mod demo;
mod diagnose;
mod doctor;
mod explain;
mod freeze;
mod history;
mod hold;
mod plan;
mod pr;
mod promote;
mod release;
mod rollback;
mod run;
mod scan;
mod schema;
mod set_image;
mod status;
mod tags;

use clap::{CommandFactory as _, Subcommand};

use super::{
    CliError, Context, Exit, News, Output, Paint, ago, bot, decision, files, registry, remote, report, settings, short,
    table,
};

/// One variant per command; each command's arguments and work are in the file of its name.
#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Tell the whole story in one process: a registry, a repository, a bot.
    Demo(demo::DemoArgs),
    /// Check configuration and policies, and what they match.
    Check(check::CheckArgs),
    /// Ask everything that is configured whether it answers; with --notify, send a test message.
    Doctor(doctor::DoctorArgs),
    /// Show what would be written now, and what waits; write nothing.
    Plan(plan::PlanArgs),
    /// Do one cycle: read, plan, write, read the remote again.
    Apply(plan::ApplyArgs),
    /// Do cycle after cycle until stopped.
    Run(run::RunArgs),
    /// Show how far every declared image has come, and why it is stuck.
    Status(status::StatusArgs),
    /// Show which versions came to an app, who brought them, and when they landed.
    History(history::HistoryArgs),
    /// Ask now for what upstream has proved, under the same gates as always.
    Promote(promote::PromoteArgs),
    /// Let nothing move in an environment, until a time or until unfreeze.
    Freeze(freeze::FreezeArgs),
    /// End the freezes of an environment.
    Unfreeze(freeze::UnfreezeArgs),
    /// Let an app or image stay where it is, until a time or until release.
    Hold(hold::HoldArgs),
    /// Let go on what is held by a person's word: a hold, a revert, a closed pull request.
    Release(release::ReleaseArgs),
    /// Let an app go back to the version that landed before, and hold the bad one.
    Rollback(rollback::RollbackArgs),
    /// List, show, merge and close the pull requests of a local forge.
    Pr(pr::PrArgs),
    /// Show which policy is in force for a file, and which line says so.
    Explain(explain::ExplainArgs),
    /// Say of dumped Kubernetes objects which are well, which are not, why, and what to do; has an image landed?
    Diagnose(diagnose::DiagnoseArgs),
    /// Find the image versions written in files, and what is left alone and why.
    Scan(scan::ScanArgs),
    /// Say which tag a policy chooses, and why not the others.
    #[command(alias = "select")]
    Tags(tags::TagsArgs),
    /// Write a version into files, wherever an image is pinned.
    SetImage(set_image::SetImageArgs),
    /// Print the JSON Schema of the configuration or of policy files.
    Schema(schema::SchemaArgs),
    /// Print the completion script of a shell.
    Completion(completion::CompletionArgs),
}

/// Runs a command.
pub(super) fn run(command: Command, context: &Context) -> Result<Exit, CliError> {
    match command {
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
        Command::Tags(args) => tags::run(&args, context),
        Command::Completion(args) => completion::run(&args, context, &mut super::Cli::command()),
    }
}
