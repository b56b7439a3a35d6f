//! `landfall reference`: the parts of the documentation that are made from the program. It is hidden: a test compares
//! the files in docs/reference with what it prints.

use clap::{Command, ValueEnum};

use crate::server::{METRICS, metrics_table};

use super::{CliError, Context, Exit, GLOBAL, WIDEST, grouped};

/// Arguments of `landfall reference`.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct ReferenceArgs {
    /// The part.
    part: Part,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Part {
    /// docs/reference/cli.md.
    Cli,
    /// The table of docs/reference/metrics.md.
    Metrics,
}

/// Prints it.
pub(super) fn run(args: &ReferenceArgs, context: &Context, command: Command) -> Result<Exit, CliError> {
    match args.part {
        Part::Cli => context.output.text(&cli(command))?,
        Part::Metrics => context.output.data(&METRICS, |_| metrics_table())?,
    }
    Ok(Exit::Done)
}

fn cli(command: Command) -> String {
    let mut command = command.term_width(WIDEST);
    let mut text = "# Command line\n\nThis page is what `landfall help` says, and is made from it. The global options stand once, in front; output\n\
                    formats and exit codes are in [Scripts](scripts.md).\n"
        .to_owned();
    block("landfall", &grouped(&command, WIDEST).to_string(), &mut text);
    command.build();
    below(&command, "landfall", &mut text);
    text
}

fn below(command: &Command, name: &str, text: &mut String) {
    for below_it in command.get_subcommands().filter(|it| !it.is_hide_set() && it.get_name() != "help") {
        let name = format!("{name} {}", below_it.get_name());
        let own = below_it.clone().mut_args(|arg| {
            let everywhere = arg.get_help_heading() == Some(GLOBAL) || arg.is_global_set();
            let hidden = everywhere || arg.get_id() == "help" || arg.get_id() == "version" || arg.is_hide_set();
            arg.hide(hidden)
        });
        block(&name, &own.clone().render_long_help().to_string(), text);
        below(below_it, &name, text);
    }
}

fn block(name: &str, help: &str, text: &mut String) {
    let lines: Vec<&str> = help.trim_end().lines().map(str::trim_end).collect();
    text.push_str(&format!("\n## {name}\n\n```help\n{}\n```\n", lines.join("\n")));
}
