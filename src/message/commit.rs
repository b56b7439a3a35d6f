//! Commit messages with the trailers of CLI.md.

use crate::plan::{Update, trailer};

use super::{change, common_target, line, links, subject};

/// Longest subject line; the rest of the change stands in the body.
const SUBJECT: usize = 100;

/// The message of the commit that carries these updates: a subject, a line per update, the trailers.
#[must_use]
pub fn commit_message(policy: &str, environment: Option<&str>, updates: &[Update]) -> String {
    let mut text = headline(environment.unwrap_or(policy), updates);
    text.push_str("\n\n");
    for update in updates {
        let overlay = if update.overlay.is_empty() { "." } else { &update.overlay };
        text.push_str(&format!("- {}: {} {}\n", line(overlay), line(&update.image), change(update)));
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
    }
    text
}

/// `dev: bump web and api to 1.4.0`.
pub(super) fn headline(scope: &str, updates: &[Update]) -> String {
    let target = match updates {
        [_] => common_target(updates).map(|to| format!(" to {to}")),
        _ => common_target(updates)
            .map(|to| format!(" to {to}"))
            .or_else(|| Some(format!(" ({} updates)", updates.len()))),
    };
    let headline = format!("{}: bump {}{}", line(scope), subject(updates), target.unwrap_or_default());
    match headline.char_indices().nth(SUBJECT) {
        None => headline,
        Some((end, _)) => format!("{}…", &headline[..end]),
    }
}
