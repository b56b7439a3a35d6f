//! Templates of commit messages and pull requests: text with fields in braces, and no logic.
//!
//! Rules: a template knows its fields when it is read, so that a misspelled one is an error at its place and not a hole in
//! a message. What the bot itself reads back (its trailers) is never part of a template.

use super::template::{Part, TemplateError, parts};

/// The fields of every template.
const FIELDS: [&str; 10] = ["scope", "policy", "environment", "app", "image", "from", "to", "count", "type", "action"];
/// The fields of texts of several lines: a list of the changes.
const LISTS: [&str; 1] = ["changes"];
/// The field of a pull request's text: what it says without a template.
const TEXT: &str = "text";
/// Starts of lines that only the bot writes.
const RESERVED: [&str; 3] = ["landfall-", "signed-off-by:", "<!-- landfall"];

/// Which text a template is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TemplateUse {
    /// A commit message: a subject, and what follows it before the trailers.
    Commit,
    /// A pull request's title.
    Title,
    /// A pull request's text.
    Body,
}

impl TemplateUse {
    fn fields(self) -> Vec<&'static str> {
        let mut fields = FIELDS.to_vec();
        match self {
            Self::Title => {}
            Self::Commit => fields.extend(LISTS),
            Self::Body => fields.extend(LISTS.into_iter().chain([TEXT])),
        }
        fields
    }

    /// The longest template, in bytes.
    fn most(self) -> usize {
        match self {
            Self::Title => 200,
            Self::Commit => 2_000,
            Self::Body => 10_000,
        }
    }
}

/// A text with fields.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MessageTemplate {
    parts: Vec<Part>,
}

impl MessageTemplate {
    /// Reads a template.
    ///
    /// # Errors
    /// When it is empty or too long, has control characters, an unclosed brace or an unknown field, or a line that only the
    /// bot writes.
    pub fn parse(text: &str, to: TemplateUse) -> Result<Self, TemplateError> {
        let bad = |reason: String| TemplateError { text: text.chars().take(60).collect(), reason };
        let text = text.trim();
        if text.is_empty() || text.len() > to.most() {
            return Err(bad(format!("it is empty or longer than {} bytes", to.most())));
        }
        let breaks = |c: char| c.is_control() && (c != '\n' || to == TemplateUse::Title);
        if text.chars().any(breaks) {
            let lines = if to == TemplateUse::Title { " or line breaks" } else { "" };
            return Err(bad(format!("it has control characters{lines}")));
        }
        if let Some(line) = text.lines().find(|line| is_reserved(line)) {
            return Err(bad(format!(
                "the bot itself writes `{}`; for a sign-off there is `signOff: true`",
                line.trim()
            )));
        }
        let parts = parts(text).map_err(|reason| bad(reason.to_owned()))?;
        let known = to.fields();
        for part in &parts {
            if let Part::Name(name) = part
                && !known.contains(&name.as_str())
            {
                let known: Vec<String> = known.iter().map(|name| format!("{{{name}}}")).collect();
                return Err(bad(format!("`{{{name}}}` is unknown here; known are {}", known.join(", "))));
            }
        }
        Ok(Self { parts })
    }

    /// The text with the values of its fields.
    #[must_use]
    pub fn render(&self, value: impl Fn(&str) -> String) -> String {
        let part = |part: &Part| match part {
            Part::Literal(text) => text.clone(),
            Part::Name(name) => value(name),
        };
        self.parts.iter().map(part).collect()
    }
}

/// Whether a line looks like one that only the bot writes.
#[must_use]
pub fn is_reserved(line: &str) -> bool {
    let line = line.trim_start().to_ascii_lowercase();
    RESERVED.iter().any(|start| line.starts_with(start))
}

/// What the bot's commits and pull requests say; the default is its own words.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MessageTemplates {
    /// Commit messages, without their trailers.
    pub commit: Option<MessageTemplate>,
    /// Titles of pull requests.
    pub title: Option<MessageTemplate>,
    /// Texts of pull requests, without what the bot reads back.
    pub body: Option<MessageTemplate>,
    /// Whether commits have a `Signed-off-by`.
    pub sign_off: bool,
}

impl MessageTemplates {
    /// As Conventional Commits ask: `chore(prod): bump web to 1.4.0`, and `revert(prod): …` for a rollback.
    #[must_use]
    pub fn conventional() -> Self {
        let template = |text: &str, to| MessageTemplate::parse(text, to).ok();
        Self {
            commit: template("{type}({scope}): {action}\n\n{changes}", TemplateUse::Commit),
            title: template("{type}({scope}): {action}", TemplateUse::Title),
            ..Self::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_template_may_say() {
        let conventional = MessageTemplates::conventional();
        assert!(conventional.commit.is_some() && conventional.title.is_some());
        for (to, text, wrong) in [
            (TemplateUse::Commit, "ci: {action}\n\n{changes}\nRefs: OPS-1", None),
            (TemplateUse::Title, "{app} {from} -> {to}", None),
            (TemplateUse::Body, "## {app}\n\n{text}", None),
            (TemplateUse::Title, "{changes}", Some("`{changes}` is unknown here; known are {scope}, {policy}")),
            (TemplateUse::Commit, "{text}", Some("`{text}` is unknown here")),
            (TemplateUse::Commit, "{tag", Some("has no `}`")),
            (TemplateUse::Commit, " \n", Some("it is empty")),
            (TemplateUse::Title, "a\nb", Some("line breaks")),
            (TemplateUse::Commit, "a\u{1b}[0m", Some("control characters")),
            (TemplateUse::Commit, "x\n\n landfall-Update: {app}", Some("the bot itself writes")),
            (TemplateUse::Commit, "x\n\nSigned-off-by: me", Some("`signOff: true`")),
            (TemplateUse::Body, "<!-- landfall: {app} -->", Some("the bot itself writes")),
        ] {
            let read = MessageTemplate::parse(text, to).map_err(|error| error.to_string());
            match wrong {
                None => assert!(read.is_ok(), "{read:?}"),
                Some(words) => assert!(read.as_ref().is_err_and(|error| error.contains(words)), "{text}: {read:?}"),
            }
        }
    }
}
