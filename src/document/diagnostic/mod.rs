//! What is wrong or suspicious in a file, and how it is displayed.

use std::fmt;

use annotate_snippets::renderer::DecorStyle;
use annotate_snippets::{AnnotationKind, Level, Origin, Renderer, Snippet};
use serde::Serialize;

use crate::model::visible;
use crate::policy;

/// Maximum length of a displayed line; for longer ones only the place is named.
const MAX_LINE: usize = 2_000;
/// Parts of keys whose values may be secrets, even if the key is misspelt.
const SECRET_WORDS: [&str; 7] = ["pas", "pwd", "token", "secret", "key", "webhook", "cred"];

/// How severe it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The file cannot be used.
    Error,
    /// The file can be used, but may not do what was intended.
    Warning,
}

/// One problem and its place. Contains no secret; nor does the output of [`render`](Self::render).
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Diagnostic {
    /// How severe it is.
    pub severity: Severity,
    /// The file.
    pub file: String,
    /// The line, from 1.
    pub line: usize,
    /// The column, from 1, in characters.
    pub column: usize,
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
    /// The number of characters it covers.
    #[serde(skip)]
    pub width: usize,
    /// Whether the line may contain a secret and is never shown.
    #[serde(skip)]
    pub secret: bool,
}

impl Diagnostic {
    /// A warning about something in a file.
    #[must_use]
    pub fn warning(origin: &policy::SourceLocation, message: impl Into<String>) -> Self {
        Self {
            severity: Severity::Warning,
            file: origin.file.clone(),
            line: origin.line,
            column: origin.column,
            message: message.into(),
            hint: None,
            width: 1,
            secret: false,
        }
    }

    /// An error about something in a file.
    #[must_use]
    pub fn error(origin: &policy::SourceLocation, message: impl Into<String>) -> Self {
        Self { severity: Severity::Error, ..Self::warning(origin, message) }
    }

    /// The same with a next step.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Whether it is an error.
    #[must_use]
    pub fn is_error(&self) -> bool {
        self.severity == Severity::Error
    }

    /// The diagnostic as text for people, with its line of `source` (the full text of the file) and a caret below it.
    #[must_use]
    pub fn render(&self, source: Option<&str>, color: bool) -> String {
        let level = match self.severity {
            Severity::Error => Level::ERROR,
            Severity::Warning => Level::WARNING,
        };
        let message = visible(&self.message);
        let path = visible(&self.file);
        let line = source.and_then(|source| self.shown_line(source));
        let mut group = level.primary_title(&*message).elements(Vec::<annotate_snippets::Element<'_>>::new());
        if let Some((text, range)) = &line {
            let annotation = AnnotationKind::Primary.span(range.clone());
            group =
                group.element(Snippet::source(text.as_str()).line_start(self.line).path(&*path).annotation(annotation));
        } else {
            group = group.element(Origin::path(&*path).line(self.line).char_column(self.column));
        }
        let hint = self.hint.as_deref().map(visible);
        if let Some(hint) = &hint {
            group = group.element(Level::HELP.message(&**hint));
        }
        let renderer = if color { Renderer::styled() } else { Renderer::plain() };
        renderer.decor_style(DecorStyle::Ascii).render(&[group])
    }

    /// The line and the byte range to mark, if it can be shown.
    fn shown_line(&self, source: &str) -> Option<(String, std::ops::Range<usize>)> {
        let line = source.lines().nth(self.line.checked_sub(1)?)?;
        if self.secret || line.len() > MAX_LINE || may_hold_secret(line) {
            return None;
        }
        let line = if self.line == 1 { line.trim_start_matches('\u{feff}') } else { line };
        let byte = |characters: usize| line.char_indices().nth(characters).map_or(line.len(), |(at, _)| at);
        let start = byte(self.column.saturating_sub(1));
        let end = byte(self.column.saturating_sub(1).saturating_add(self.width.max(1)));
        Some((line.to_owned(), start..end.max(start)))
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}: {}", visible(&self.file), self.line, self.column, visible(&self.message))
    }
}

/// Renders several diagnostics of one file, separated by blank lines.
#[must_use]
pub fn render_all(diagnostics: &[Diagnostic], source: Option<&str>, color: bool) -> String {
    let texts: Vec<String> = diagnostics.iter().map(|diagnostic| diagnostic.render(source, color)).collect();
    texts.join("\n\n")
}

/// Whether a line has a scalar or list under a key that sounds like a secret, or a URL with a password.
fn may_hold_secret(line: &str) -> bool {
    let lower = line.to_ascii_lowercase();
    let value_after = |word: &str| {
        lower.match_indices(word).any(|(at, _)| {
            let rest =
                lower[at..].trim_start_matches(|c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '"' | '\''));
            rest.trim_start().strip_prefix(':').is_some_and(|value| {
                let value = value.trim_start();
                !value.is_empty() && !value.starts_with(['{', '#'])
            })
        })
    };
    let userinfo = lower.split("://").skip(1).any(|rest| {
        let authority = rest.split(['/', '?', '#', ' ']).next().unwrap_or(rest);
        authority.contains('@') && !authority.starts_with("git@")
    });
    userinfo || SECRET_WORDS.iter().any(|word| value_after(word))
}

#[cfg(test)]
mod tests;
