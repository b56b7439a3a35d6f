//! The command line: arguments → settings → one call into the rest; one file per command.
//!
//! The contract with scripts lives here (README.md, "Scripts"): flags, exit codes (0 done, 1 a negative answer, 2 error, 4 refused), data on standard
//! output, messages on standard error. No prompt, ever.

mod ask;
mod check;
mod completion;
mod config;
mod decide;
mod demo;
mod diagnose;
mod doctor;
mod error;
mod explain;
mod freeze;
mod history;
mod hold;
mod output;
mod plan;
mod pr;
mod promote;
mod release;
mod remote;
mod report;
mod rollback;
mod scan;
mod schema;
mod set_image;
mod status;
mod tags;
mod told;
mod walk;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};
use tracing_subscriber::Layer as _;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

pub use error::CliError;
pub use output::{ColorChoice, Format, Output, Paint, table};

/// The heading of what every command takes, so that it does not stand between a command's own options.
const GLOBAL: &str = "Options of every command";

/// What `landfall --help` ends with.
const AFTER_HELP: &str = "\
First steps:
  landfall demo           the whole story in a minute; nothing stays behind
  landfall scan .         the image versions in this folder's files
  landfall check          are landfall.yaml and the policies valid?
  landfall plan --diff    what would be written now; writes nothing
  landfall apply          one cycle; `landfall run` is the same for ever
  landfall status         how far every declared image has come

Exit codes:
  0 done · 1 a negative answer · 2 error · 4 refused by registry, forge or Git";

/// GitOps image automation in which no update is lost in silence.
#[derive(Debug, Parser)]
#[command(name = "landfall", version, propagate_version = true, max_term_width = 110, after_help = AFTER_HELP)]
struct Cli {
    /// How to print data: table (for people), json or yaml (for programs).
    #[arg(short, long, global = true, value_enum, value_name = "FORMAT", default_value_t = Format::Table)]
    #[arg(hide_possible_values = true, help_heading = GLOBAL)]
    output: Format,
    /// When to colour: auto (on a terminal, unless `NO_COLOR` is set), always or never.
    #[arg(long, global = true, value_enum, value_name = "WHEN", default_value_t = ColorChoice::Auto)]
    #[arg(hide_possible_values = true, help_heading = GLOBAL)]
    color: ColorChoice,
    /// The configuration file [default: landfall.yaml, else config/landfall.yaml].
    #[arg(long, global = true, value_name = "FILE", env = "LANDFALL_CONFIG", hide_env_values = true)]
    #[arg(help_heading = GLOBAL)]
    config: Option<PathBuf>,
    /// How much to log, on standard error: error, warn, info or debug.
    #[arg(long, global = true, value_enum, value_name = "LEVEL", default_value_t = LogLevel::Warn, env = "LANDFALL_LOG")]
    #[arg(hide_possible_values = true, hide_env_values = true, help_heading = GLOBAL)]
    log_level: LogLevel,
    /// How log lines look: text, or one json object a line.
    #[arg(long, global = true, value_enum, value_name = "FORMAT", default_value_t = LogFormat::Text)]
    #[arg(hide_possible_values = true, help_heading = GLOBAL)]
    log_format: LogFormat,
    #[command(subcommand)]
    command: Command,
}

/// How much is logged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum LogLevel {
    Error,
    Warn,
    Info,
    Debug,
    Trace,
}

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// One variant per command; each command's arguments and work are in the file of its name.
#[derive(Debug, Subcommand)]
enum Command {
    /// Tell the whole story in one process: a registry, a repository, a bot.
    Demo(demo::Args),
    /// Check configuration and policies, and what they match.
    Check(check::Args),
    /// Ask everything that is configured whether it answers; with --notify, send a test message.
    Doctor(doctor::Args),
    /// Show what would be written now, and what waits; write nothing.
    Plan(plan::PlanArgs),
    /// Do one cycle: read, plan, write, read the remote again.
    Apply(plan::ApplyArgs),
    /// Do cycle after cycle until stopped.
    Run(plan::RunArgs),
    /// Show how far every declared image has come, and why it is stuck.
    Status(status::Args),
    /// Show which versions came to an app, who brought them, and when they landed.
    History(history::Args),
    /// Ask now for what upstream has proved, under the same gates as always.
    Promote(promote::Args),
    /// Let nothing move in an environment, until a time or until unfreeze.
    Freeze(freeze::FreezeArgs),
    /// End the freezes of an environment.
    Unfreeze(freeze::UnfreezeArgs),
    /// Let an app or image stay where it is, until a time or until release.
    Hold(hold::Args),
    /// Let go on what is held by a person's word: a hold, a revert, a closed pull request.
    Release(release::Args),
    /// Let an app go back to the version that landed before, and hold the bad one.
    Rollback(rollback::Args),
    /// List, show, merge and close the pull requests of a local forge.
    Pr(pr::Args),
    /// Show which policy is in force for a file, and which line says so.
    Explain(explain::Args),
    /// Say of dumped Kubernetes objects which are well, which are not, why, and what to do; has an image landed?
    Diagnose(diagnose::Args),
    /// Find the image versions written in files, and what is left alone and why.
    Scan(scan::Args),
    /// Say which tag a policy chooses, and why not the others.
    #[command(alias = "select")]
    Tags(tags::Args),
    /// Write a version into files, wherever an image is pinned.
    SetImage(set_image::Args),
    /// Print the JSON Schema of the configuration or of policy files.
    Schema(schema::Args),
    /// Print the completion script of a shell.
    Completion(completion::Args),
}

/// What every command gets: where to write, and what was said globally.
#[derive(Debug)]
pub struct Context {
    /// Where to write and how.
    pub output: Output,
    /// `--config`, where given.
    pub config: Option<PathBuf>,
}

/// How a command that did not fail ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// Exit code 0.
    Done,
    /// Exit code 1: nothing selected, no pin matched, problems found, changes there.
    Negative,
}

/// Runs the program: parses the arguments, runs the command, prints the error, gives the exit code.
#[must_use]
pub fn main() -> ExitCode {
    // An error means that a provider is installed already, which is as good.
    drop(rustls::crypto::aws_lc_rs::default_provider().install_default());
    let cli = Cli::parse();
    #[expect(clippy::disallowed_methods, reason = "the command line is where the environment is read")]
    let set = |name: &str| std::env::var_os(name);
    let no_color = set("NO_COLOR").is_some_and(|value| !value.is_empty());
    let clicolor_off = set("CLICOLOR").is_some_and(|value| value == "0");
    let output = Output::new(cli.output, cli.color, no_color, clicolor_off);
    log(cli.log_level, cli.log_format, output.color());
    let context = Context { output, config: cli.config };
    match run(cli.command, &context) {
        Ok(Answer::Done) => ExitCode::SUCCESS,
        Ok(Answer::Negative) => ExitCode::from(1),
        Err(error) => {
            output.message(&error.to_string());
            ExitCode::from(error.exit_code())
        }
    }
}

/// Sends log lines to standard error.
fn log(level: LogLevel, format: LogFormat, color: bool) {
    use tracing_subscriber::filter::LevelFilter;
    let level = match level {
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Trace => LevelFilter::TRACE,
    };
    // Only our own lines: libraries log addresses and headers.
    let ours = tracing_subscriber::filter::Targets::new().with_target("landfall", level);
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_target(false);
    let registry = tracing_subscriber::registry();
    let set = match format {
        LogFormat::Text => registry.with(lines.with_ansi(color).with_filter(ours)).try_init(),
        LogFormat::Json => registry.with(lines.json().with_filter(ours)).try_init(),
    };
    // It fails only where a subscriber is set already.
    drop(set);
}

fn run(command: Command, context: &Context) -> Result<Answer, CliError> {
    match command {
        Command::Check(args) => check::run(&args, context),
        Command::Doctor(args) => doctor::run(&args, context),
        Command::Explain(args) => explain::run(&args, context),
        Command::Plan(args) => plan::plan(&args, context),
        Command::Apply(plan::ApplyArgs {}) => plan::apply(context),
        Command::Run(args) => plan::run(&args, context),
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
        Command::Completion(args) => completion::run(&args, context, &mut Cli::command()),
    }
}
