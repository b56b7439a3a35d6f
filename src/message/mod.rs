//! Every sentence for people outside the terminal: commit messages, pull requests and alerts.
//!
//! Promise: the same action gives the same text, so a repeated cycle changes nothing. Everything from outside (image
//! annotations, names in files) is neutralised before it reaches Markdown: no mention, no issue reference, no HTML.

mod alert;
mod commit;
mod decision;
mod links;
mod markdown;
mod policy_text;
mod pull;
mod pull_end;
mod wording;

pub use alert::alert;
pub use commit::commit_message;
pub use decision::{DecidedBy, decision_message, release_message, unfreeze_message};
pub use policy_text::{PolicyFieldText, policy_fields};
pub use pull::{pull_body, pull_title};
pub use pull_end::{REMINDER, closed_body, closing_comment, dequeuing_comment, reminder};
pub use wording::Wording;

use crate::model::visible;
use crate::plan::Update;

/// `web 1.2.3 → 1.4.0`, or the digests if the tag stays the same.
#[must_use]
pub fn change(update: &Update) -> String {
    let (from, to) = versions(update);
    format!("{from} → {to}")
}

/// Both versions, as short as possible while still distinguishable.
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

/// Makes a value one line: it may neither become a second trailer nor hide anything from a reader.
fn line(text: &str) -> String {
    let one: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    visible(&one).into_owned()
}

/// `web`, `web (envoy)`, or `web and 3 more`: the apps of an action, and the image if it is not the app's own.
fn subject(updates: &[Update]) -> String {
    let apps = distinct(updates.iter().map(|update| update.app.as_str()));
    let images = distinct(updates.iter().map(|update| update.name.short()));
    match (apps.as_slice(), images.as_slice()) {
        ([], _) => "nothing".to_owned(),
        ([app], [image]) if app != image => format!("{app} ({image})"),
        ([app], _) => (*app).to_owned(),
        ([one, two], _) => format!("{one} and {two}"),
        ([one, rest @ ..], _) => format!("{one} and {} more", rest.len()),
    }
}

/// Each text once, in order of first appearance.
fn distinct<'a>(all: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let mut once = Vec::new();
    for one in all {
        if !once.contains(&one) {
            once.push(one);
        }
    }
    once
}

/// The one version that every update goes to, if there is one.
fn common_target(updates: &[Update]) -> Option<String> {
    let first = updates.first()?;
    updates.iter().all(|update| update.to == first.to).then(|| versions(first).1)
}

#[cfg(test)]
mod tests {
    use super::distinct;

    #[test]
    fn each_is_named_once() {
        assert_eq!(distinct(["web", "api", "web"].into_iter()), ["web", "api"]);
    }
}
