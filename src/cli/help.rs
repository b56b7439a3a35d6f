//! `landfall --help`, with the commands in groups: what one comes for stands together.

use clap::builder::StyledStr;
use clap::{Command, CommandFactory as _};

use super::{Cli, wrapped};

/// Each group's heading, and its commands in the order in which one needs them.
const GROUPS: &[(&str, &[&str])] = &[
    ("Start", &["demo", "init", "github-app", "check", "doctor"]),
    ("Run", &["plan", "apply", "run"]),
    ("See", &["status", "history", "explain", "diagnose"]),
    ("Decide", &["promote", "rollback", "hold", "release", "freeze", "unfreeze", "pr"]),
    ("Files and tags", &["scan", "tags", "set-image"]),
    ("The program itself", &["schema", "completion", "man", "version", "help"]),
];

/// The width of the column of names.
const NAMES: usize = 11;
/// The widest that help becomes, and how wide it is where there is no terminal.
pub(super) const WIDEST: usize = 110;

/// The command line, with its own help.
pub(super) fn command() -> Command {
    let command = Cli::command();
    let width = terminal_size::terminal_size().map_or(WIDEST, |(width, _)| usize::from(width.0).min(WIDEST));
    let help = grouped(&command, width);
    command.override_help(help)
}

/// The help of the program: what clap says of everything but the commands, and the groups in between.
pub(super) fn grouped(command: &Command, width: usize) -> StyledStr {
    let names: Vec<String> = command.get_subcommands().map(|command| command.get_name().to_owned()).collect();
    let template = format!(
        "{{about-with-newline}}\n{{usage-heading}} {{usage}}\n\n{}{{all-args}}{{after-help}}",
        groups(command, width)
    );
    let bare = names.iter().fold(command.clone(), |bare, name| bare.mut_subcommand(name, |command| command.hide(true)));
    let bare = bare.disable_help_subcommand(true).override_usage("landfall [OPTIONS] <COMMAND>").term_width(width);
    bare.help_template(template).render_help()
}

fn groups(command: &Command, width: usize) -> String {
    let (header, literal) = (command.get_styles().get_header(), command.get_styles().get_literal());
    let mut text = String::new();
    for (heading, names) in GROUPS {
        text.push_str(&format!("{header}{heading}:{header:#}\n"));
        for name in *names {
            let about = command.find_subcommand(name).and_then(Command::get_about).map(ToString::to_string);
            let about = about.unwrap_or_else(|| "Print this, or the help of a command".to_owned());
            let pad = " ".repeat(NAMES.saturating_sub(name.len()));
            for (number, line) in wrapped(&about, width.saturating_sub(NAMES + 4).max(20)).iter().enumerate() {
                match number {
                    0 => text.push_str(&format!("  {literal}{name}{literal:#}{pad} {line}\n")),
                    _ => text.push_str(&format!("  {} {line}\n", " ".repeat(NAMES))),
                }
            }
        }
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_command_is_in_one_group() {
        let listed: Vec<&str> = GROUPS.iter().flat_map(|(_, names)| names.iter().copied()).collect();
        let command = Cli::command();
        let visible = command.get_subcommands().filter(|command| !command.is_hide_set()).map(Command::get_name);
        let all: BTreeSet<&str> = visible.chain(["help"]).collect();
        assert_eq!(listed.iter().copied().collect::<BTreeSet<_>>(), all);
        assert_eq!(listed.len(), all.len(), "one of them twice");
        assert!(listed.iter().all(|name| name.len() <= NAMES));
    }
}
