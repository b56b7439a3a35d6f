//! `landfall schema`: JSON Schemas, for editors and for other tools.

use clap::ValueEnum;

use crate::config::{self, FileKind};

use super::{CliError, Context, Exit};

/// Arguments of `landfall schema`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example, with the YAML language server (VS Code and others):
  landfall schema policy > .landfall/schema.json
and as the first line of a policy file:
  # yaml-language-server: $schema=schema.json")]
pub(in crate::cli) struct SchemaArgs {
    /// The kind of file: config (landfall.yaml) or policy (policy files).
    #[arg(hide_possible_values = true)]
    kind: Kind,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Kind {
    /// The bot's configuration, landfall.yaml.
    Config,
    /// A policy file.
    Policy,
}

/// Prints the schema, as JSON unless YAML is requested.
pub(super) fn run(args: &SchemaArgs, context: &Context) -> Result<Exit, CliError> {
    let kind = match args.kind {
        Kind::Config => FileKind::Config,
        Kind::Policy => FileKind::Policy,
    };
    context.output.data(&config::schema(kind), |schema| format!("{schema:#}"))?;
    Ok(Exit::Done)
}
