//! Titles and texts of pull requests.

use std::collections::BTreeSet;

use crate::plan::Update;

use super::commit::headline;
use super::links;
use super::markdown::{code, link};
use super::versions;

/// Most bytes of a text; forges refuse longer ones (GitHub: 65,536 characters).
const LIMIT: usize = 60_000;

/// Most rows of the table, and lines of the list of sources: more than a person reads.
const ROWS: usize = 150;

/// Most lines that say who asked.
const ASKED: usize = 20;

/// The title: the same words as the commit's subject.
#[must_use]
pub fn pull_title(policy: &str, environment: Option<&str>, updates: &[Update]) -> String {
    headline(environment.unwrap_or(policy), updates)
}

/// The text: a table of what changes, who asked for it, what happens next, and the hidden trailer.
///
/// The trailer, an HTML comment with the ids, is what the planner reads back; a squash merge may lose the commit's own.
#[must_use]
pub fn pull_body(updates: &[Update]) -> String {
    let ids: Vec<&str> = updates.iter().map(|update| update.id.as_str()).collect();
    let mut end = format!("\n{}", bounded(asked_by(updates), ASKED, LIMIT / 6, "policies"));
    end.push_str(
        "\n**What happens next.** Merge it, and the change is in Git. Close it, and this version is held until a newer \
         one is there. Push to the branch, and it is left alone. A newer tag updates this pull request in place.\n",
    );
    end.push_str(&format!("\n<!-- landfall: {} -->\n", ids.join(" ")));
    let room = LIMIT.saturating_sub(end.len());
    let mut text = String::from("| image | overlay | from | to |\n|---|---|---|---|\n");
    text.push_str(&bounded(updates.iter().map(row), ROWS, room * 2 / 3, "updates; the commit's message lists all"));
    let sources = bounded(sources(updates), ROWS, room / 4, "sources");
    if !sources.is_empty() {
        text.push_str("\n**Source**\n\n");
        text.push_str(&sources);
    }
    text.push_str(&end);
    text
}

/// As many of the lines as there is room for, and how many are left out.
fn bounded(lines: impl IntoIterator<Item = String>, most: usize, room: usize, what: &str) -> String {
    let mut text = String::new();
    let mut lines = lines.into_iter().enumerate().peekable();
    while let Some((_, line)) = lines.next_if(|(at, line)| *at < most && text.len() + line.len() <= room) {
        text.push_str(&line);
    }
    match lines.count() {
        0 => {}
        left => text.push_str(&format!("\n… and {left} more {what}.\n")),
    }
    text
}

fn row(update: &Update) -> String {
    let (from, to) = versions(update);
    let overlay = if update.overlay.is_empty() { "." } else { &update.overlay };
    format!("| {} | {} | {} | {} |\n", image(update), code(overlay), code(&from), code(&to))
}

fn image(update: &Update) -> String {
    match links::registry_page(&update.name) {
        Some(url) => link(&update.image, &url),
        None => code(&update.image),
    }
}

/// One line per image whose annotations tell where it was built from.
fn sources(updates: &[Update]) -> BTreeSet<String> {
    let mut lines = BTreeSet::new();
    for update in updates {
        let (_, to) = versions(update);
        let line = match (links::source_commit(update), links::source(update)) {
            (Some(url), _) => {
                let short =
                    update.source_revision.as_deref().and_then(|revision| revision.get(..7)).unwrap_or("commit");
                format!("- {} {}: built from {}\n", code(update.name.short()), code(&to), link(short, &url))
            }
            (None, Some(url)) => {
                format!("- {} {}: built from {}\n", code(update.name.short()), code(&to), link(&url, &url))
            }
            (None, None) => continue,
        };
        lines.insert(line);
    }
    lines
}

fn asked_by(updates: &[Update]) -> BTreeSet<String> {
    let mut lines = BTreeSet::new();
    for update in updates {
        let origin = update.policy_origin.as_ref().map_or(String::new(), |origin| format!(" ({})", code(origin)));
        let environment =
            update.environment.as_ref().map_or(String::new(), |environment| format!(" for {}", code(environment)));
        let line = format!("Asked for by policy {}{environment}{origin}.\n", code(&update.policy));
        lines.insert(line);
    }
    lines
}
