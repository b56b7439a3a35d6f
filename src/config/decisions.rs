//! Freezes, holds and releases: text ⇄ [`Decision`].
//!
//! Both commands and people write these files, so parsing is strict, and an unreadable file is reported. Writing a
//! decision and reading it again gives the same decision.

use std::collections::BTreeSet;

use jiff::Timestamp;

use crate::model::{About, Decision, Digest, Held, ImageName, Tag, Version};
use crate::policy::SourceLocation;

use super::at::At;
use super::decode::decode;
use super::diagnostic::Diagnostic;
use super::fault::{Mark, Sink};
use super::{raw_decision as raw, value, yaml};

/// Maximum size of a decision's file; real ones have a few hundred bytes.
pub const MAX_DECISION: usize = 64 << 10;
/// Maximum length of a reason.
const MAX_REASON: usize = 1_000;
/// Maximum length of an app's name, which is the name of a folder.
const MAX_APP: usize = 255;
/// The environment of a freeze that applies to all of them.
pub const EVERYWHERE: &str = "*";

/// The kind of decision in a file, determined by its folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum DecisionKind {
    /// A freeze.
    Freeze,
    /// A hold.
    Hold,
    /// A release.
    Release,
}

impl DecisionKind {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Freeze, Self::Hold, Self::Release];

    /// The folder of such files, below the policies' folder.
    #[must_use]
    pub fn folder(self) -> &'static str {
        match self {
            Self::Freeze => "freezes",
            Self::Hold => "holds",
            Self::Release => "releases",
        }
    }
}

/// Parses a file; `file` is its path in the repository.
///
/// # Errors
/// Everything that is wrong with it, in the order of the file.
pub fn parse_decision(kind: DecisionKind, file: &str, text: &str) -> Result<Decision, Vec<Diagnostic>> {
    let mut sink = Sink::new(file);
    let decision = match tree(text) {
        Ok(root) => match kind {
            DecisionKind::Freeze => {
                let (raw, faults) = decode::<raw::Freeze>(&root);
                sink.shape(faults);
                raw.and_then(|raw| freeze(file, &raw, &mut sink))
            }
            DecisionKind::Hold | DecisionKind::Release => {
                let (raw, faults) = decode::<raw::Hold>(&root);
                sink.shape(faults);
                raw.and_then(|raw| hold(kind, file, &raw, &mut sink))
            }
        },
        Err(fault) => {
            sink.fault(fault);
            None
        }
    };
    let mut diagnostics = sink.finish();
    match decision.filter(|_| diagnostics.is_empty()) {
        Some(decision) => Ok(decision),
        None => {
            if diagnostics.is_empty() {
                let mut sink = Sink::new(file);
                sink.error(Mark::START, "the decision cannot be read");
                diagnostics = sink.finish();
            }
            Err(diagnostics)
        }
    }
}

fn tree(text: &str) -> Result<yaml::Node, super::fault::Fault> {
    if text.len() > MAX_DECISION {
        let message = format!("the file is larger than {} KiB", MAX_DECISION / 1024);
        return Err(super::fault::Fault::new(Mark::START, message));
    }
    yaml::parse(text)
}

fn freeze(file: &str, raw: &raw::Freeze, sink: &mut Sink<'_>) -> Option<Decision> {
    let environment = match raw.environment.value.as_str() {
        EVERYWHERE => Some(None),
        _ => sink.read(&raw.environment, |text| value::name(text)).map(|name| Some(name.value)),
    };
    let rest = rest((&raw.reason, &raw.author), (&raw.since, raw.until.as_ref()), sink);
    let (reason, author, since, until) = rest?;
    let about = About::Freeze { environment: environment? };
    Some(Decision { file: file.to_owned(), about, reason, author, since, until })
}

fn hold(kind: DecisionKind, file: &str, raw: &raw::Hold, sink: &mut Sink<'_>) -> Option<Decision> {
    let of = match (&raw.app, &raw.image) {
        (Some(app), None) => sink.read(app, |text| app_name(text)).map(|app| Held::App(app.value)),
        (None, Some(image)) => sink.read(image, |text| ImageName::parse(text)).map(|image| Held::Image(image.value)),
        (Some(_), Some(image)) => {
            sink.error_with_hint(
                image.mark,
                "`app` and `image` are both set",
                "a decision is about one of them: write two decisions",
            );
            None
        }
        (None, None) => {
            sink.absent(Mark::START, "neither `app` nor `image` is set");
            None
        }
    };
    let environment = match &raw.environment {
        None => Some(None),
        Some(at) => sink.read(at, |text| value::name(text)).map(|name| Some(name.value)),
    };
    let version = match &raw.version {
        None => Some(None),
        Some(at) => sink.read(at, |text| version(text)).map(|version| Some(version.value)),
    };
    let rest = rest((&raw.reason, &raw.author), (&raw.since, raw.until.as_ref()), sink);
    let (reason, author, since, until) = rest?;
    let (of, environment, version) = (of?, environment?, version?);
    let about = match kind {
        DecisionKind::Release => About::Release { of, environment, version },
        DecisionKind::Freeze | DecisionKind::Hold => About::Hold { of, environment, version },
    };
    Some(Decision { file: file.to_owned(), about, reason, author, since, until })
}

type Rest = (String, String, Timestamp, Option<Timestamp>);

/// The keys that freezes and holds share; all of them are read, so that every error is reported.
fn rest(
    (why, who): (&At<String>, &At<String>),
    (since, until): (&At<String>, Option<&At<String>>),
    sink: &mut Sink<'_>,
) -> Option<Rest> {
    let why = sink.read(why, |text| reason(text));
    let who = sink.read(who, |text| value::identity(text));
    let since = sink.read(since, |text| time(text));
    let until = match until {
        None => Some(None),
        Some(at) => sink.read(at, |text| time(text)).map(|until| Some(until.value)),
    };
    Some((why?.value, who?.value, since?.value, until?))
}

/// The reason for a decision: one line.
///
/// # Errors
/// When it is empty, too long, or has control characters.
pub fn reason(text: &str) -> Result<String, String> {
    let text = text.trim();
    if text.is_empty() || text.len() > MAX_REASON || text.chars().any(char::is_control) {
        return Err(format!("the reason is empty, longer than {MAX_REASON} bytes, or not one line of text"));
    }
    Ok(text.to_owned())
}

/// The name of the person who decides, as Git can store it.
///
/// # Errors
/// When it is empty, too long, or has characters that Git cannot store.
pub fn author(text: &str) -> Result<String, String> {
    value::identity(text)
}

/// A duration in the notation of configuration and policies, such as `2h`.
///
/// # Errors
/// If it is not a duration.
pub fn duration(text: &str) -> Result<std::time::Duration, String> {
    value::duration(text)
}

fn app_name(text: &str) -> Result<String, String> {
    if text.is_empty() || text.len() > MAX_APP || text.contains('/') || text.chars().any(char::is_control) {
        return Err("an app is the name of a folder, without `/` and control characters".to_owned());
    }
    Ok(text.to_owned())
}

fn time(text: &str) -> Result<Timestamp, String> {
    text.parse().map_err(|_| {
        format!("`{}` is not a time such as 2026-01-05T08:00:00Z", text.chars().take(60).collect::<String>())
    })
}

/// A version as people write it: a tag, a digest, or `tag@digest`.
///
/// # Errors
/// When it is none of them.
pub fn version(text: &str) -> Result<Version, String> {
    let wrong = |error: crate::model::ImageError| format!("`{}` is not a version: {}", error.text, error.reason);
    let (tag, digest) = match text.split_once('@') {
        Some((tag, digest)) => (Some(tag).filter(|tag| !tag.is_empty()), Some(digest)),
        None if text.starts_with("sha256:") => (None, Some(text)),
        None => (Some(text), None),
    };
    Ok(Version {
        tag: tag.map(Tag::parse).transpose().map_err(wrong)?,
        digest: digest.map(Digest::parse).transpose().map_err(wrong)?,
    })
}

/// The text of a decision's file.
#[must_use]
pub fn decision_text(decision: &Decision) -> String {
    let mut text = String::new();
    let mut add = |key: &str, value: &str| text.push_str(&format!("{key}: {}\n", scalar(value)));
    match &decision.about {
        About::Freeze { environment } => add("environment", environment.as_deref().unwrap_or(EVERYWHERE)),
        About::Hold { of, environment, version } | About::Release { of, environment, version } => {
            match of {
                Held::App(app) => add("app", app),
                Held::Image(image) => add("image", &image.to_string()),
            }
            if let Some(environment) = environment {
                add("environment", environment);
            }
            if let Some(version) = version {
                add("version", &version.to_string());
            }
        }
    }
    add("reason", &decision.reason);
    add("author", &decision.author);
    add("since", &format!("{:.0}", decision.since));
    if let Some(until) = decision.until {
        add("until", &format!("{until:.0}"));
    }
    text
}

/// Warns about a decision that is valid but has no effect: it has ended, or no policy has its environment.
#[must_use]
pub fn decision_warning(decision: &Decision, environments: &BTreeSet<String>, now: Timestamp) -> Option<Diagnostic> {
    let place = SourceLocation { file: decision.file.clone(), line: 1, column: 1 };
    if let Some(until) = decision.until.filter(|_| decision.is_over(now)) {
        let message = format!("the decision of {} ended at {until:.0}", decision.author);
        return Some(Diagnostic::warning(&place, message).with_hint("remove the file"));
    }
    let (About::Freeze { environment } | About::Hold { environment, .. } | About::Release { environment, .. }) =
        &decision.about;
    let named = environment.as_ref().filter(|name| !environments.contains(*name) && !environments.is_empty())?;
    let message = format!(
        "no policy gives any file the environment `{named}`, so, to be safe, this decision applies to all of them"
    );
    let there = environments.iter().map(String::as_str).collect::<Vec<_>>().join(", ");
    Some(Diagnostic::warning(&place, message).with_hint(format!("there are {there}")))
}

/// A YAML scalar on one line: plain if every reader takes it for text, otherwise in double quotes with JSON's escapes.
fn scalar(text: &str) -> String {
    const WORDS: [&str; 9] = ["true", "false", "null", "yes", "no", "on", "off", "y", "n"];
    let plain = text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b'/'))
        && !WORDS.contains(&text.to_ascii_lowercase().as_str());
    if plain { text.to_owned() } else { serde_json::Value::from(text).to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn what_is_written_is_read_again() {
        let image = ImageName::parse("ghcr.io/acme/web").unwrap();
        for (kind, about) in [
            (DecisionKind::Freeze, About::Freeze { environment: None }),
            (DecisionKind::Freeze, About::Freeze { environment: Some("no".to_owned()) }),
            (DecisionKind::Hold, About::Hold { of: Held::App("1".to_owned()), environment: None, version: None }),
            (
                DecisionKind::Release,
                About::Release { of: Held::App("web".to_owned()), environment: None, version: None },
            ),
            (
                DecisionKind::Hold,
                About::Hold {
                    of: Held::Image(image),
                    environment: Some("prod".to_owned()),
                    version: Some(version("1.10").unwrap()),
                },
            ),
        ] {
            for until in [None, Some(at("2026-02-01T00:00:00Z"))] {
                let decision = Decision {
                    file: "x.yaml".to_owned(),
                    about: about.clone(),
                    reason: "a: \"b\" # {c} ü \\".to_owned(),
                    author: "Ada Lovelace".to_owned(),
                    since: at("2026-01-05T08:00:00Z"),
                    until,
                };
                let text = decision_text(&decision);
                assert_eq!(parse_decision(kind, "x.yaml", &text).as_ref(), Ok(&decision), "{text}");
            }
        }
    }

    #[test]
    fn what_is_wrong_has_its_place() {
        let fine = "reason: r\nauthor: Ada\nsince: 2026-01-05T08:00:00Z\n";
        for (kind, text, place, message) in [
            (DecisionKind::Freeze, format!("{fine}environmnt: prod\n"), (4, 1), "unknown key `environmnt`"),
            (DecisionKind::Freeze, fine.to_owned(), (1, 1), "environment"),
            (DecisionKind::Freeze, format!("environment: 'a b'\n{fine}"), (1, 14), "not a name"),
            (DecisionKind::Freeze, format!("environment: prod\nuntil: tomorrow\n{fine}"), (2, 8), "not a time"),
            (DecisionKind::Freeze, String::new(), (1, 1), "empty"),
            (DecisionKind::Freeze, "x".repeat(MAX_DECISION + 1), (1, 1), "64 KiB"),
            (DecisionKind::Hold, fine.to_owned(), (1, 1), "neither `app` nor `image`"),
            (DecisionKind::Hold, format!("app: web\nimage: web\n{fine}"), (2, 8), "both"),
            (DecisionKind::Hold, format!("image: web:1.0\n{fine}"), (1, 8), "not an image"),
            (DecisionKind::Hold, format!("app: web\nversion: '@@'\n{fine}"), (2, 10), "not a version"),
            (
                DecisionKind::Hold,
                "app: web\nreason: ' '\nauthor: a\nsince: 2026-01-05T08:00:00Z".to_owned(),
                (2, 9),
                "reason",
            ),
        ] {
            let diagnostics = parse_decision(kind, "x.yaml", &text).unwrap_err();
            let first = &diagnostics[0];
            assert_eq!((first.line, first.column), place, "{text}: {diagnostics:?}");
            assert!(first.message.contains(message), "{message}: {diagnostics:?}");
        }
    }
}
