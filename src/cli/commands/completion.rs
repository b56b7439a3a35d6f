//! `landfall completion`: completion scripts for shells.

use clap_complete::Shell;

use super::{CliError, Context, Exit};

/// Arguments of `landfall completion`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  landfall completion bash > ~/.local/share/bash-completion/completions/landfall
  landfall completion zsh > ~/.zfunc/_landfall      # with ~/.zfunc in $fpath
  landfall completion fish > ~/.config/fish/completions/landfall.fish")]
pub(in crate::cli) struct CompletionArgs {
    /// The shell.
    shell: Shell,
}

/// Prints the script.
pub(super) fn run(args: &CompletionArgs, context: &Context, command: &mut clap::Command) -> Result<Exit, CliError> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, command, "landfall", &mut script);
    context.output.text(&String::from_utf8_lossy(&script))?;
    Ok(Exit::Done)
}
