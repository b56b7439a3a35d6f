//! The command line: from arguments to settings, and then one call into the rest. Each command is a file in `commands`;
//! its output is made in `render`.
//!
//! The contract with scripts lives here (docs/reference/scripts.md): flags, exit codes (0 done, 1 a negative answer, 2 error, 4 refused), data on standard
//! output, messages on standard error. No prompt, ever.

mod bot;
mod commands;
mod decision;
mod error;
mod files;
mod filters;
mod help;
mod names;
mod policies;
mod registry;
mod remote;
mod render;
mod settings;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{FromArgMatches as _, Parser};
use tracing_subscriber::Layer as _;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

pub use error::CliError;
pub use render::output::{ColorChoice, Format, Output, Paint};
pub use render::table::table;

use commands::Command;
use filters::{Filters, ImageFilters};
use render::news::News;
use render::{ago, landings, report, short, wrapped};

/// The heading of the options that every command takes, so that they do not mix with a command's own.
const GLOBAL: &str = "Global options";

/// The end of `landfall --help`.
const AFTER_HELP: &str = "\
First steps:
  landfall demo           see what it does in 20 seconds; leaves nothing behind
  landfall init           in a checkout: propose a configuration and policies for it
  landfall check          check landfall.yaml and the policies
  landfall plan --diff    show what would be written; writes nothing
  landfall apply          run one cycle; `landfall run` repeats this until you stop it
  landfall status         show how far every declared image has come

Exit codes:
  0 done · 1 a negative answer · 2 error
  4 access refused by a registry, forge, Git remote or cluster";

/// GitOps image automation that never loses an update silently.
#[derive(Debug, Parser)]
#[command(name = "landfall", version, propagate_version = true, max_term_width = 110, after_help = AFTER_HELP)]
struct Cli {
    /// Output format: table (for people), json or yaml (for programs).
    #[arg(short, long, global = true, value_enum, value_name = "FORMAT", default_value_t = Format::Table)]
    #[arg(hide_possible_values = true, help_heading = GLOBAL)]
    output: Format,
    /// When to use colours: auto (on a terminal, unless `NO_COLOR` is set), always or never.
    #[arg(long, global = true, value_enum, value_name = "WHEN", default_value_t = ColorChoice::Auto)]
    #[arg(hide_possible_values = true, help_heading = GLOBAL)]
    color: ColorChoice,
    /// The configuration file [default: landfall.yaml, else config/landfall.yaml].
    #[arg(long, global = true, value_name = "FILE", env = "LANDFALL_CONFIG", hide_env_values = true)]
    #[arg(help_heading = GLOBAL)]
    config: Option<PathBuf>,
    /// Log level, on standard error: error, warn, info or debug.
    #[arg(long, global = true, value_enum, value_name = "LEVEL", default_value_t = LogLevel::Warn, env = "LANDFALL_LOG")]
    #[arg(hide_possible_values = true, hide_env_values = true, help_heading = GLOBAL)]
    log_level: LogLevel,
    /// Log format: text, or json with one object per line.
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

/// The format of log lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// The context of every command: where to write, and the global options.
#[derive(Debug)]
pub struct Context {
    /// Where to write, and in which format.
    pub output: Output,
    /// `--config`, if given.
    pub config: Option<PathBuf>,
    /// The format of log lines.
    log_format: LogFormat,
}

/// How a successful command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// Exit code 0.
    Done,
    /// Exit code 1: nothing selected, no pin matched, problems found, changes pending.
    Negative,
}

/// Runs the program: parses the arguments, runs the command, prints the error, returns the exit code.
#[must_use]
pub fn main() -> ExitCode {
    // An error means that a provider is already installed, which is just as good.
    drop(rustls::crypto::aws_lc_rs::default_provider().install_default());
    let cli = Cli::from_arg_matches(&help::command().get_matches()).unwrap_or_else(|error| error.exit());
    #[expect(clippy::disallowed_methods, reason = "the command line is where the environment is read")]
    let set = |name: &str| std::env::var_os(name);
    let no_color = set("NO_COLOR").is_some_and(|value| !value.is_empty());
    let clicolor_off = set("CLICOLOR").is_some_and(|value| value == "0");
    let output = Output::new(cli.output, cli.color, no_color, clicolor_off);
    log(cli.log_level, cli.log_format, output.color());
    let context = Context { output, config: cli.config, log_format: cli.log_format };
    match commands::run(cli.command, &context) {
        Ok(Exit::Done) => ExitCode::SUCCESS,
        Ok(Exit::Negative) => ExitCode::from(1),
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
    // Only our own lines: libraries log URLs and headers.
    let ours = tracing_subscriber::filter::Targets::new()
        .with_target("landfall", level)
        .with_target(render::news::TARGET, LevelFilter::INFO);
    let lines =
        tracing_subscriber::fmt::layer().with_writer(move || render::output::LogWriter(format)).with_target(false);
    let registry = tracing_subscriber::registry();
    let set = match format {
        LogFormat::Text => registry.with(lines.with_ansi(color).with_filter(ours)).try_init(),
        LogFormat::Json => registry.with(lines.json().with_filter(ours)).try_init(),
    };
    // This fails only if a subscriber is already set.
    drop(set);
}
