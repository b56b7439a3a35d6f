//! Titles and texts of pull requests.

use std::collections::BTreeSet;

use crate::model::{BranchName, ChartNotes, SignatureProof, SignedThing};
use crate::plan::{Evidence, Terms, Update, is_in_place_of_another, why_other_name};

use super::commit::headline;
use super::links;
use super::markdown::{code, link};
use super::versions;

/// Maximum size of a text in bytes; forges refuse longer ones (GitHub: 65,536 characters).
const LIMIT: usize = 60_000;

/// Maximum number of table rows, and of lines in the list of sources: more than a person reads.
const ROWS: usize = 150;

/// Maximum number of lines that name the requesting policies.
const ASKED: usize = 20;

/// The title: the same as the commit's subject.
#[must_use]
pub fn pull_title(policy: &str, environment: Option<&str>, updates: &[Update]) -> String {
    headline(environment.unwrap_or(policy), updates)
}

/// The text: a table of the changes, the evidence, where to read more, which policies requested it, what happens next,
/// and the hidden trailer. `automerge` has the terms under which the bot merges; `None`: a person merges. `head` is its
/// branch.
///
/// The planner reads the trailer back, an HTML comment with the ids; a squash merge may lose the commit's own trailers.
#[must_use]
pub fn pull_body(updates: &[Update], automerge: Option<&Terms>, head: &BranchName) -> String {
    let ids: Vec<&str> = updates.iter().map(|update| update.id.as_str()).collect();
    let mut end = format!("\n{}", bounded(asked_by(updates), ASKED, LIMIT / 6, "policies"));
    end.push_str(&format!(
        "\n**What happens next.** {} Close it to hold this version until a newer one appears. If somebody else pushes to \
         the branch, Landfall leaves it alone. {}\n",
        merging(automerge),
        match is_in_place_of_another(head) {
            false => "A newer tag updates this pull request in place.",
            true => "A newer tag opens another pull request, and this one is then closed.",
        }
    ));
    end.extend(why_other_name(head).map(|why| format!("\nThis pull request is {why}.\n")));
    end.push_str(&format!("\n<!-- landfall: {} -->\n", ids.join(" ")));
    let room = LIMIT.saturating_sub(end.len());
    let mut text = String::from("| image | overlay | from | to |\n|---|---|---|---|\n");
    text.push_str(&bounded(updates.iter().map(row), ROWS, room * 2 / 3, "updates; the commit's message lists all"));
    for (title, lines, what) in [
        ("Proved", proved(updates), "proofs"),
        ("Signatures", signed(updates), "signatures"),
        ("Opened by hand", opened(updates), "gates"),
        ("Chart", charts(updates), "charts"),
        ("Source", sources(updates), "sources"),
    ] {
        let lines = bounded(lines, ROWS, room / 10, what);
        if !lines.is_empty() {
            text.push_str(&format!("\n**{title}**\n\n{lines}"));
        }
    }
    text.push_str(&end);
    text
}

/// The part for people, and the hidden trailer.
pub(super) fn text_and_trailer(body: &str) -> (&str, &str) {
    body.rfind("<!-- landfall:").map_or((body, ""), |at| body.split_at(at))
}

/// How it gets into Git.
fn merging(automerge: Option<&Terms>) -> String {
    let Some(terms) = automerge else { return "Merge it to apply the change.".to_owned() };
    let mut wants = Vec::new();
    if terms.draft {
        wants.push("somebody has marked it as ready for review".to_owned());
    }
    match terms.approvals {
        0 => {}
        1 => wants.push("somebody has approved".to_owned()),
        count => wants.push(format!("{count} people have approved")),
    }
    wants.extend(terms.labels.iter().map(|label| format!("it has the label {}", code(label))));
    wants.push(match terms.checks.as_slice() {
        [] => "its checks pass".to_owned(),
        checks => format!("{} passed", checks.iter().map(|check| code(check)).collect::<Vec<_>>().join(", ")),
    });
    let wants = wants.join(", ");
    format!("Landfall merges it once {wants} and no gate holds it; you may merge it earlier.")
}

/// One line per place in which an update has proved itself.
fn proved(updates: &[Update]) -> BTreeSet<String> {
    let mut lines = BTreeSet::new();
    for update in updates {
        for proof in update.promotion.iter().flat_map(|Evidence { places, .. }| places) {
            let (_, to) = versions(update);
            let place = match &proof.cluster {
                Some(cluster) => format!("{}/{cluster}", proof.environment),
                None => proof.environment.clone(),
            };
            let hours = proof.until.duration_since(proof.since).as_hours();
            let what = match (&proof.cluster, hours) {
                (None, _) => format!("committed in {} at {:.0}", code(&place), proof.since),
                (Some(_), 0) => format!("landed in {} at {:.0}, healthy since", code(&place), proof.since),
                (Some(_), hours) => format!("landed in {} at {:.0}, healthy for {hours} h", code(&place), proof.since),
            };
            let commit =
                proof.commit.as_ref().map_or(String::new(), |commit| format!(", commit {}", code(commit.short())));
            lines.insert(format!("- {} {}: {what}{commit}\n", code(update.name.short()), code(&to)));
        }
    }
    lines
}

/// One line per proof of a signature: of which digest, and by whom.
fn signed(updates: &[Update]) -> BTreeSet<String> {
    let mut lines = BTreeSet::new();
    for update in updates {
        let Some(evidence) = &update.verified else { continue };
        for SignatureProof { what, by, log_index } in &evidence.proofs {
            let log = log_index.map_or(String::new(), |index| format!(", number {index} in the transparency log"));
            let what = match what {
                SignedThing::Image => "signed".to_owned(),
                SignedThing::Attestation(kind) => format!("attestation {}", code(kind.as_str())),
            };
            lines.insert(format!(
                "- {} {} ({}): {what} by {}{log}\n",
                code(update.name.short()),
                code(&versions(update).1),
                code(evidence.digest.as_str()),
                code(by)
            ));
        }
    }
    lines
}

/// One line per gate that a person opened.
fn opened(updates: &[Update]) -> BTreeSet<String> {
    let mut lines = BTreeSet::new();
    for update in updates {
        let Some(by) = &update.overridden else { continue };
        let gates: Vec<String> = by.gates.iter().map(|gate| code(gate.as_str())).collect();
        lines.insert(format!(
            "- {} {}: {} by {}: {}\n",
            code(update.name.short()),
            code(&versions(update).1),
            gates.join(", "),
            code(&by.by),
            code(&by.reason)
        ));
    }
    lines
}

/// As many lines as there is room for, and how many are left out.
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

/// Maximum number of keys of values that are named for one chart, and of characters of one.
const KEYS: usize = 20;
const KEY: usize = 100;

/// One entry per chart: its application's version, where to read more, what its author says, and the values that are set in vain.
fn charts(updates: &[Update]) -> BTreeSet<String> {
    let mut entries = BTreeSet::new();
    for update in updates {
        let Some(ChartNotes { change, set_in_vain }) = &update.chart else { continue };
        let mut told: Vec<String> = Vec::new();
        told.extend(match (&change.app_version_from, &change.app_version_to) {
            (Some(from), Some(to)) if from != to => {
                Some(format!("its application goes from {} to {}", code(from), code(to)))
            }
            (Some(_), Some(same)) => Some(format!("its application stays at {}", code(same))),
            (None, Some(to)) => Some(format!("its application has version {}", code(to))),
            (_, None) => None,
        });
        told.extend(change.links.iter().map(|it| link(&it.what, &it.url)));
        told.extend(change.unread.as_ref().map(|why| format!("what changes in it could not be read: {}", code(why))));
        if told.is_empty() && change.changes.is_empty() && set_in_vain.is_empty() {
            continue;
        }
        let overlay = if update.overlay.is_empty() { "." } else { &update.overlay };
        let of = format!("{} {}", code(update.name.short()), code(&versions(update).1));
        let mut entry =
            format!("- {of}: {}\n", if told.is_empty() { "it changes".to_owned() } else { told.join(", ") });
        for said in &change.changes {
            entry.push_str(&format!("  - {}\n", code(said)));
        }
        if !set_in_vain.is_empty() {
            let short = |key: &String| code(&key.chars().take(KEY).collect::<String>());
            let keys: Vec<String> = set_in_vain.iter().take(KEYS).map(short).collect();
            let more = set_in_vain.len().saturating_sub(KEYS);
            let more = if more > 0 { format!(" and {more} more") } else { String::new() };
            entry.push_str(&format!(
                "  - **values that {} sets and the chart no longer has**: {}{more}\n",
                code(overlay),
                keys.join(", ")
            ));
        }
        entries.insert(entry);
    }
    entries
}

/// One line per image whose annotations name its source: the commit, the changes since, the release notes.
fn sources(updates: &[Update]) -> BTreeSet<String> {
    let mut lines = BTreeSet::new();
    for update in updates {
        let (_, to) = versions(update);
        let built = match (links::source_commit(update), links::source(update)) {
            (Some(url), _) => {
                let short =
                    update.source_revision.as_deref().and_then(|revision| revision.get(..7)).unwrap_or("commit");
                link(short, &url)
            }
            (None, Some(url)) => link(&url, &url),
            (None, None) => continue,
        };
        let compare = links::compare(update).map_or(String::new(), |url| format!(", {}", link("changes", &url)));
        let notes = links::release(update).map_or(String::new(), |url| format!(", {}", link("release notes", &url)));
        lines.insert(format!("- {} {}: built from {built}{compare}{notes}\n", code(update.name.short()), code(&to)));
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
