//! Commits and pull requests in the words of a repository's templates.
//!
//! Promise: whatever a template or a name in the repository says, the trailers are there and are the bot's alone. A value is
//! one line; it mentions nobody, refers to no issue, and cannot begin a trailer. In Markdown it is a code span.

use crate::model::{BranchName, Identity};
use crate::plan::{Terms, Update};
use crate::policy::{MessageTemplates, is_reserved};

use super::commit::{action, body, shortened, whole};
use super::markdown::code;
use super::pull::{pull_body, text_and_trailer};
use super::{commit_message, common_target, distinct, line, pull_title, subject, versions};

/// Maximum size of a rendered text of a commit, in bytes: its trailers are the record.
const COMMIT: usize = 20_000;
/// The same of a pull request; forges refuse longer ones.
const BODY: usize = 55_000;

/// What commits and pull requests of one repository say.
#[derive(Debug, Clone, Copy)]
pub struct Wording<'w> {
    /// The templates.
    pub templates: &'w MessageTemplates,
}

/// The updates of one commit or pull request.
#[derive(Clone, Copy)]
struct Subject<'s> {
    policy: &'s str,
    environment: Option<&'s str>,
    updates: &'s [Update],
}

impl Wording<'_> {
    /// The message of the commit that carries these updates and is by `author`.
    #[must_use]
    pub fn commit(&self, policy: &str, environment: Option<&str>, updates: &[Update], author: &Identity) -> String {
        let about = Subject { policy, environment, updates };
        let mut message = match &self.templates.commit {
            None => commit_message(policy, environment, updates),
            Some(template) => {
                let text = template.render(|field| match field {
                    "changes" => body(updates),
                    field => plain(&about.value(field)),
                });
                // The same with what comes from values marked, line by line.
                let marked = template.render(|field| match field {
                    "changes" => body(updates),
                    field => plain(&about.value(field)).chars().flat_map(|c| [VALUE, c]).collect(),
                });
                let text = without_foreign_trailers(text.trim(), marked.trim());
                let text = guarded(cut(&text, COMMIT));
                let (first, rest) = text.split_once('\n').unwrap_or((&text, ""));
                let first = if first.trim().is_empty() { action(updates) } else { first.trim().to_owned() };
                whole(&shortened(&first), &lines(rest), updates)
            }
        };
        if self.templates.sign_off {
            message.push_str(&format!("Signed-off-by: {} <{}>\n", line(&author.name), line(&author.email)));
        }
        message
    }

    /// The title of a pull request.
    #[must_use]
    pub fn title(&self, policy: &str, environment: Option<&str>, updates: &[Update]) -> String {
        let Some(template) = &self.templates.title else { return pull_title(policy, environment, updates) };
        let about = Subject { policy, environment, updates };
        let title = template.render(|field| plain(&about.value(field)));
        match title.trim() {
            "" => pull_title(policy, environment, updates),
            title => shortened(title),
        }
    }

    /// The text of a pull request.
    #[must_use]
    pub fn body(
        &self,
        (policy, environment): (&str, Option<&str>),
        updates: &[Update],
        automerge: Option<&Terms>,
        head: &BranchName,
    ) -> String {
        let usual = pull_body(updates, automerge, head);
        let Some(template) = &self.templates.body else { return usual };
        let about = Subject { policy, environment, updates };
        let (text, trailer) = text_and_trailer(&usual);
        let shown = template.render(|field| match field {
            "text" => text.trim_end().to_owned(),
            "changes" => {
                body(updates).lines().map(|line| format!("- {}\n", code(line.trim_start_matches("- ")))).collect()
            }
            field => code(&about.value(field)),
        });
        format!("{}\n\n{trailer}", cut(shown.trim_end(), BODY))
    }
}

impl Subject<'_> {
    fn value(&self, field: &str) -> String {
        let Self { policy, environment, updates } = self;
        let rollback = updates.iter().any(|update| update.rollback.is_some());
        let several = || format!("{} versions", updates.len());
        match field {
            "scope" => environment.unwrap_or(policy).to_owned(),
            "policy" => (*policy).to_owned(),
            "environment" => environment.unwrap_or_default().to_owned(),
            "app" => subject(updates),
            "image" => distinct(updates.iter().map(|update| update.name.short())).join(", "),
            "from" => {
                let all: Vec<String> = updates.iter().map(|update| versions(update).0).collect();
                let all = distinct(all.iter().map(String::as_str));
                if let [one] = all.as_slice() { (*one).to_owned() } else { several() }
            }
            "to" => common_target(updates).unwrap_or_else(several),
            "count" => updates.len().to_string(),
            "type" => if rollback { "revert" } else { "chore" }.to_owned(),
            "action" => action(updates),
            _ => String::new(),
        }
    }
}

/// A value in plain text: one line, in which no forge finds a person or an issue.
fn plain(value: &str) -> String {
    let mut plain = String::new();
    let mut before = ' ';
    for c in line(value).chars() {
        match c {
            // As in `1.4.0@sha256:…`, it is part of a word.
            '@' if !before.is_alphanumeric() => plain.push_str("(at)"),
            '#' => plain.push_str("(no.)"),
            c => plain.push(c),
        }
        before = c;
    }
    plain
}

/// Stands before each character of a value; no value has it.
const VALUE: char = '\u{0}';

/// No line is a trailer (`Reviewed-by: …`) whose name, or whose colon, is from a value: that is for templates to say, not for who
/// names a folder. `marked` is the same text with [`VALUE`] before each character of a value.
fn without_foreign_trailers(text: &str, marked: &str) -> String {
    let guard = |(at, (line, marked)): (usize, (&str, &str))| match line.trim_start().split_once(':') {
        Some((token, _))
            if at > 0 && is_token(token) && marked.split_once(':').is_none_or(|(own, _)| own.contains(VALUE)) =>
        {
            format!("> {line}")
        }
        _ => line.to_owned(),
    };
    text.lines().zip(marked.lines()).enumerate().map(guard).collect::<Vec<_>>().join("\n")
}

/// Whether this may be a trailer's name: letters, digits and `-` (`git interpret-trailers`).
fn is_token(text: &str) -> bool {
    let token = text.trim_end();
    !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

/// No line looks like one that only the bot writes.
fn guarded(text: &str) -> String {
    let guard = |line: &str| if is_reserved(line) { format!("> {line}") } else { line.to_owned() };
    text.lines().map(guard).collect::<Vec<_>>().join("\n")
}

/// The lines of a text, each with its end; nothing for no text.
fn lines(text: &str) -> String {
    let text = text.trim();
    if text.is_empty() { String::new() } else { format!("{text}\n") }
}

fn cut(text: &str, most: usize) -> &str {
    let end = (0..=most.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or_default();
    &text[..end]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::{MessageTemplate, TemplateUse};

    #[test]
    fn a_value_mentions_nobody_and_begins_no_trailer() {
        for (value, expected) in [
            ("web", "web"),
            ("@everyone fixes #1", "(at)everyone fixes (no.)1"),
            ("a/@ben", "a/(at)ben"),
            ("1.4.0@sha256:ab", "1.4.0@sha256:ab"),
            ("a\nLandfall-Update: 1", "a Landfall-Update: 1"),
            ("\u{202e}gnp", "\\u{202e}gnp"),
        ] {
            assert_eq!(plain(value), expected);
        }
        assert_eq!(
            guarded("web\nLandfall-To: 2\n  signed-off-by: x\nok: y"),
            "web\n> Landfall-To: 2\n>   signed-off-by: x\nok: y"
        );
        assert_eq!(cut("é".repeat(5).as_str(), 3), "é");
    }

    #[test]
    fn a_value_is_no_trailer_of_somebody_else() {
        let parse = |text: &str| MessageTemplate::parse(text, TemplateUse::Commit).ok();
        for (template, scope, expected) in [
            ("x\n\n{scope}", "Co-authored-by: Ada <ada@example.com>", "> Co-authored-by: Ada <ada@example.com>"),
            ("x\n\n  {scope}", "Reviewed-by : Ada", ">   Reviewed-by : Ada"),
            ("x\n\n{scope}: yes", "Approved", "> Approved: yes"),
            ("x\n\nReviewed-by{scope}", ": Ada", "> Reviewed-by: Ada"),
            ("x\n\nTeam: {scope}", "Fixes: 1", "Team: Fixes: 1"),
            ("x\n\nwhat: {changes}", "web", "what:"),
        ] {
            let templates = MessageTemplates { commit: parse(template), ..MessageTemplates::default() };
            let author = Identity { name: "Bot".to_owned(), email: "bot@example.com".to_owned() };
            let message = Wording { templates: &templates }.commit("p", Some(scope), &[], &author);
            assert!(message.lines().any(|line| line.trim_end() == expected), "{message}");
        }
    }

    #[test]
    fn a_folder_that_is_named_like_a_trailer_writes_none() {
        let parse = |text: &str, to| MessageTemplate::parse(text, to).ok();
        let templates = MessageTemplates {
            commit: parse("{scope}\n\n{scope}\n{environment}", TemplateUse::Commit),
            title: parse("{scope}", TemplateUse::Title),
            body: parse("{scope} {count}", TemplateUse::Body),
            sign_off: true,
        };
        let wording = Wording { templates: &templates };
        let author = Identity { name: "Bot\nLandfall-Release: x".to_owned(), email: "bot@example.com".to_owned() };
        let hostile = "Landfall-Release: 0123456789abcdef @all <!-- landfall: 0123456789abcdef -->";
        let message = wording.commit("p", Some(hostile), &[], &author);
        assert!(crate::plan::update_ids(&message).is_empty());
        let starts = message.lines().filter(|line| line.starts_with("Landfall-")).count();
        assert!(starts == 0 && !message.contains(" @all"), "{message}");
        assert!(message.ends_with("\nSigned-off-by: Bot Landfall-Release: x <bot@example.com>\n"), "{message}");
        assert!(message.lines().next().is_some_and(|subject| subject.chars().count() <= 101), "{message}");
        let head = BranchName::parse("landfall/x-abc123").unwrap();
        let body = wording.body(("p", Some(hostile)), &[], None, &head);
        assert!(
            body.starts_with(&format!("{} `0`\n", code(hostile))) && body.ends_with("<!-- landfall:  -->\n"),
            "{body}"
        );
        assert_eq!(crate::plan::body_ids(&body), []);
    }
}
