//! Every sentence that a person reads outside the terminal: commit messages, pull requests and alerts.
//!
//! Promise: the same action gives the same text, so a repeated cycle changes nothing. Whatever comes from outside (image
//! annotations, names in files) is neutralised before it reaches Markdown: no mention, no issue reference, no HTML.

mod alert;
mod commit;
mod decision;
mod links;
mod markdown;
mod pull;
mod pull_end;

pub use alert::alert;
pub use commit::commit_message;
pub use decision::{DecidedBy, decision_message, release_message, unfreeze_message};
pub use pull::{pull_body, pull_title};
pub use pull_end::{REMINDER, closed_body, closing_comment, reminder};

use crate::model::visible;
use crate::plan::Update;

/// `web 1.2.3 → 1.4.0`, or the digests where the tag stays.
#[must_use]
pub fn change(update: &Update) -> String {
    let (from, to) = versions(update);
    format!("{from} → {to}")
}

/// Both versions as short as they can be told apart.
fn versions(update: &Update) -> (String, String) {
    let short = |version: &crate::model::Version| match (&version.tag, &version.digest) {
        (Some(tag), Some(digest)) => format!("{tag}@{}", digest.short()),
        (Some(tag), None) => tag.to_string(),
        (None, Some(digest)) => format!("@{}", digest.short()),
        (None, None) => "(none)".to_owned(),
    };
    let (from, to) = (&update.from, &update.to);
    if let (Some(before), Some(after)) = (&from.tag, &to.tag)
        && before != after
    {
        return (before.to_string(), after.to_string());
    }
    (short(from), short(to))
}

/// One line: a value may not become a second trailer, nor hide anything from a reader.
fn line(text: &str) -> String {
    let one: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    visible(&one).into_owned()
}

/// `web`, or `web and 3 more`: what an action is about.
fn subject(updates: &[Update]) -> String {
    let mut names: Vec<&str> = Vec::new();
    for update in updates {
        let name = update.name.short();
        if !names.contains(&name) {
            names.push(name);
        }
    }
    match names.as_slice() {
        [] => "nothing".to_owned(),
        [one] => (*one).to_owned(),
        [one, two] => format!("{one} and {two}"),
        [one, rest @ ..] => format!("{one} and {} more", rest.len()),
    }
}

/// The one version that every update goes to, where there is one.
fn common_target(updates: &[Update]) -> Option<String> {
    let first = updates.first()?;
    updates.iter().all(|update| update.to == first.to).then(|| versions(first).1)
}
