//! Commit messages with the trailers of CLI.md.

use crate::plan::{Gate, Update, trailer};

use super::{change, common_target, line, links, subject};

/// Longest subject line; the rest of the change stands in the body.
const SUBJECT: usize = 100;

/// The message of the commit that carries these updates: a subject, a line per update, the trailers.
#[must_use]
pub fn commit_message(policy: &str, environment: Option<&str>, updates: &[Update]) -> String {
    let mut text = headline(environment.unwrap_or(policy), updates);
    text.push_str("\n\n");
    if let Some(back) = updates.iter().find_map(|update| update.rollback.as_ref()) {
        let who = back.by.as_deref().unwrap_or("the bot itself");
        let why = back.reason.as_ref().map_or(String::new(), |reason| format!(": {}", line(reason)));
        text.push_str(&format!("Rolled back by {}{why}\n\n", line(who)));
    }
    for update in updates {
        let overlay = if update.overlay.is_empty() { "." } else { &update.overlay };
        text.push_str(&format!("- {}: {} {}\n", line(overlay), line(&update.image), change(update)));
        if let Some(back) = &update.rollback {
            text.push_str(&format!("  {}\n", line(&back.basis)));
        }
    }
    text.push('\n');
    for update in updates {
        let mut add = |key: &str, value: &str| text.push_str(&format!("{key}: {}\n", line(value)));
        add(trailer::UPDATE, update.id.as_str());
        add(trailer::IMAGE, &update.name.to_string());
        add(trailer::OVERLAY, &update.overlay);
        add(trailer::FROM, &update.from.to_string());
        add(trailer::TO, &update.to.to_string());
        add(trailer::POLICY, &update.policy);
        if let Some(environment) = &update.environment {
            add(trailer::ENVIRONMENT, environment);
        }
        if let Some(url) = links::source_commit(update) {
            add(trailer::SOURCE, &url);
        }
        proof(update, &mut add);
        if let Some(back) = &update.rollback {
            add(trailer::ROLLBACK, back.bad.as_str());
        }
    }
    if let Some(back) = updates.iter().find_map(|update| update.rollback.as_ref()) {
        if let Some(by) = &back.by {
            text.push_str(&format!("{}: {}\n", trailer::BY, line(by)));
        }
        if let Some(reason) = &back.reason {
            text.push_str(&format!("{}: {}\n", trailer::REASON, line(reason)));
        }
    }
    text
}

/// What the update has passed, what it has proved, and what a person has opened for it.
fn proof(update: &Update, add: &mut impl FnMut(&str, &str)) {
    let words = |gates: &[Gate]| gates.iter().map(|gate| gate.as_str()).collect::<Vec<_>>().join(", ");
    if !update.passed.is_empty() {
        add(trailer::GATES, &words(&update.passed));
    }
    if let Some(age) = &update.age {
        add(trailer::AGE, &format!("{} {:.0}", age.clock.as_str(), age.since));
    }
    for place in update.promotion.iter().flat_map(|evidence| &evidence.places) {
        let commit = place.commit.as_ref().map_or(String::new(), |commit| format!("@{commit}"));
        let how = match &place.cluster {
            Some(cluster) => format!("healthy in {cluster}"),
            None => "committed".to_owned(),
        };
        let since = format!("{how} since {:.0}", place.since);
        add(trailer::PROMOTED_FROM, &format!("{}{commit} {} {since}", place.environment, place.overlay));
    }
    if let Some(opened) = &update.overridden {
        add(trailer::OVERRIDE, &format!("{}; by {}; {}", words(&opened.gates), opened.by, opened.reason));
    }
}

/// `dev: bump web and api to 1.4.0`.
pub(super) fn headline(scope: &str, updates: &[Update]) -> String {
    let target = match updates {
        [_] => common_target(updates).map(|to| format!(" to {to}")),
        _ => common_target(updates)
            .map(|to| format!(" to {to}"))
            .or_else(|| Some(format!(" ({} updates)", updates.len()))),
    };
    let target = target.unwrap_or_default();
    let headline = match updates.iter().any(|update| update.rollback.is_some()) {
        false => format!("{}: bump {}{target}", line(scope), subject(updates)),
        true => format!("{}: roll {} back{target}", line(scope), subject(updates)),
    };
    match headline.char_indices().nth(SUBJECT) {
        None => headline,
        Some((end, _)) => format!("{}…", &headline[..end]),
    }
}
