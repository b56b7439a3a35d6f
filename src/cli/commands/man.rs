//! `landfall man`: manual pages, made from the help.

use std::path::{Path, PathBuf};

use clap::Command;
use clap_mangen::Man;

use super::{CliError, Context, Exit};

/// Arguments of `landfall man`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  landfall man | man -l -
  landfall man ~/.local/share/man/man1      # then: man landfall-plan")]
pub(in crate::cli) struct ManArgs {
    /// Write the pages of the program and of each command into this folder, which is made if it is absent.
    #[arg(value_name = "DIR")]
    folder: Option<PathBuf>,
}

/// Prints or writes them.
pub(super) fn run(args: &ManArgs, context: &Context, mut command: Command) -> Result<Exit, CliError> {
    command.build();
    match &args.folder {
        None => context.output.text(&page(&command, "landfall")?)?,
        Some(folder) => {
            std::fs::create_dir_all(folder).map_err(|error| cannot(folder, &error))?;
            let written = write(&command, "landfall", folder)?;
            context.output.message(&format!("{written} pages are in {}", folder.display()));
        }
    }
    Ok(Exit::Done)
}

/// Writes the page of a command and those of the ones below it; returns how many.
fn write(command: &Command, name: &str, folder: &Path) -> Result<usize, CliError> {
    let path = folder.join(format!("{name}.1"));
    std::fs::write(&path, page(command, name)?).map_err(|error| cannot(&path, &error))?;
    let mut written = 1;
    let below = command.get_subcommands().filter(|below| !below.is_hide_set() && below.get_name() != "help");
    for below in below {
        written += write(below, &format!("{name}-{}", below.get_name()), folder)?;
    }
    Ok(written)
}

fn page(command: &Command, name: &str) -> Result<String, CliError> {
    let mut page = Vec::new();
    // As `man` calls it; the usage keeps the words that are typed.
    Man::new(command.clone())
        .title(name)
        .render(&mut page)
        .map_err(|error| CliError::caused("the page cannot be made", &error))?;
    Ok(String::from_utf8_lossy(&page).into_owned())
}

fn cannot(path: &Path, error: &std::io::Error) -> CliError {
    CliError::caused(format!("cannot write {}", path.display()), error)
}
