//! Commit messages of people's decisions.

use crate::model::{About, Decision};
use crate::plan::{Update, trailer};

use super::line;

/// Maximum length of a subject line.
const SUBJECT: usize = 100;

/// Who reverses decisions, and why.
#[derive(Debug, Clone, Copy)]
pub struct DecidedBy<'a> {
    /// Who.
    pub by: &'a str,
    /// Why.
    pub reason: Option<&'a str>,
}

/// The message of the commit that writes a decision's file.
#[must_use]
pub fn decision_message(decision: &Decision) -> String {
    let (verb, what, environment) = match &decision.about {
        About::Freeze { environment } => {
            ("freeze", environment.clone().unwrap_or_else(|| "every environment".to_owned()), environment)
        }
        About::Hold { of, environment, version } | About::Release { of, environment, version } => {
            let version = version.as_ref().map_or(String::new(), |version| format!(" {version}"));
            let place = environment.as_ref().map_or(String::new(), |environment| format!(" in {environment}"));
            let verb = if matches!(decision.about, About::Hold { .. }) { "hold" } else { "release" };
            (verb, format!("{of}{version}{place}"), environment)
        }
    };
    let until = decision.until.map_or_else(
        || "Until it is removed.".to_owned(),
        |until| format!("Until {until:.0}, or until it is removed."),
    );
    let mut text = format!("{}\n\n{until}\n\n", subject(&format!("{verb} {what}: {}", decision.reason)));
    let mut add = |key: &str, value: &str| text.push_str(&format!("{key}: {}\n", line(value)));
    add(trailer::DECISION, verb);
    if let Some(environment) = environment {
        add(trailer::ENVIRONMENT, environment);
    }
    add(trailer::BY, &decision.author);
    add(trailer::REASON, &decision.reason);
    text
}

/// The message of the commit that removes freezes.
#[must_use]
pub fn unfreeze_message(environment: Option<&str>, taken_back: &[&Decision], word: DecidedBy<'_>) -> String {
    let what = environment.unwrap_or("every environment");
    let mut text = begin("unfreeze", what, word);
    list(&mut text, taken_back);
    text.push_str(&format!("{}: unfreeze\n", trailer::DECISION));
    if let Some(environment) = environment {
        text.push_str(&format!("{}: {}\n", trailer::ENVIRONMENT, line(environment)));
    }
    end(&mut text, word);
    text
}

/// The message of the commit that releases an app or image: which holds it removes, and which updates may be made
/// again.
#[must_use]
pub fn release_message(what: &str, taken_back: &[&Decision], released: &[&Update], word: DecidedBy<'_>) -> String {
    let mut text = begin("release", what, word);
    list(&mut text, taken_back);
    for update in released {
        let overlay = if update.overlay.is_empty() { "." } else { &update.overlay };
        text.push_str(&format!("- {}: {} may go to {}\n", line(overlay), line(&update.image), update.to));
    }
    if !released.is_empty() {
        text.push('\n');
    }
    text.push_str(&format!("{}: release\n", trailer::DECISION));
    end(&mut text, word);
    for update in released {
        let mut add = |key: &str, value: &str| text.push_str(&format!("{key}: {}\n", line(value)));
        add(trailer::RELEASE, update.id.as_str());
        add(trailer::IMAGE, &update.name.to_string());
        add(trailer::OVERLAY, &update.overlay);
        add(trailer::TO, &update.to.to_string());
        add(trailer::POLICY, &update.policy);
        if let Some(environment) = &update.environment {
            add(trailer::ENVIRONMENT, environment);
        }
    }
    text
}

fn begin(verb: &str, what: &str, word: DecidedBy<'_>) -> String {
    let why = word.reason.map_or(String::new(), |reason| format!(": {reason}"));
    format!("{}\n\n", subject(&format!("{verb} {what}{why}")))
}

fn list(text: &mut String, taken_back: &[&Decision]) {
    for decision in taken_back {
        let Decision { file, author, reason, .. } = decision;
        text.push_str(&format!("- {} of {}: {}\n", line(file), line(author), line(reason)));
    }
    if !taken_back.is_empty() {
        text.push('\n');
    }
}

fn end(text: &mut String, word: DecidedBy<'_>) {
    text.push_str(&format!("{}: {}\n", trailer::BY, line(word.by)));
    if let Some(reason) = word.reason {
        text.push_str(&format!("{}: {}\n", trailer::REASON, line(reason)));
    }
}

fn subject(text: &str) -> String {
    let text = line(text);
    match text.char_indices().nth(SUBJECT) {
        None => text,
        Some((end, _)) => format!("{}…", &text[..end]),
    }
}
