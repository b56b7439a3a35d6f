//! Grouping keys: which updates share a commit or a pull request.

use crate::model::ImageName;

use super::Effective;

/// Names that every template may use, in addition to the captures of the policy's own paths.
const NAMES: [&str; 5] = ["policy", "environment", "app", "image", "overlay"];
/// Maximum length of a template.
const MAX_TEMPLATE: usize = 200;

/// Why a template is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{}` is not a template: {reason}", text.escape_debug())]
pub struct TemplateError {
    /// The template, shortened.
    pub text: String,
    /// The rule it breaks.
    pub reason: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Part {
    Literal(String),
    Name(String),
}

/// A text with placeholders `{policy}`, `{environment}`, `{app}`, `{image}`, `{overlay}` and captures. Updates with the
/// same rendered text belong together.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct GroupTemplate {
    text: String,
    parts: Vec<Part>,
}

impl GroupTemplate {
    /// Parses a template; `captures` are the names that every path of the policy captures.
    ///
    /// # Errors
    /// When it is empty or too long, has a control character or an unclosed brace, or names something unknown.
    pub fn parse(text: &str, captures: &[&str]) -> Result<Self, TemplateError> {
        let bad = |reason: String| TemplateError { text: text.chars().take(MAX_TEMPLATE).collect(), reason };
        if text.is_empty() || text.len() > MAX_TEMPLATE || text.chars().any(char::is_control) {
            return Err(bad(format!("it is empty, longer than {MAX_TEMPLATE} characters, or has control characters")));
        }
        let parts = parts(text).map_err(|reason| bad(reason.to_owned()))?;
        let known = |name: &str| NAMES.contains(&name) || captures.contains(&name);
        for part in &parts {
            if let Part::Name(name) = part
                && !known(name)
            {
                let names: Vec<String> = NAMES
                    .iter()
                    .chain(captures.iter().filter(|c| !NAMES.contains(c)))
                    .map(|n| format!("{{{n}}}"))
                    .collect();
                return Err(bad(format!("`{{{name}}}` is unknown here; known are {}", names.join(", "))));
            }
        }
        Ok(Self { text: text.to_owned(), parts })
    }

    /// The text for one update; names without a value (no environment) are left out.
    #[must_use]
    pub fn render(&self, effective: &Effective, image: &ImageName) -> String {
        self.fill(|name| match name {
            "policy" => effective.policy.clone(),
            "environment" => effective.environment.clone(),
            "app" => Some(effective.app.clone()),
            "image" => Some(image.to_string()),
            "overlay" => Some(effective.overlay.clone()),
            _ => effective.captures.get(name).cloned(),
        })
    }

    fn fill(&self, value: impl Fn(&str) -> Option<String>) -> String {
        let mut out = String::new();
        for part in &self.parts {
            match part {
                Part::Literal(text) => out.push_str(text),
                Part::Name(name) => out.push_str(&value(name).unwrap_or_default()),
            }
        }
        out
    }

    /// The template as it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

pub(super) fn parts(text: &str) -> Result<Vec<Part>, &'static str> {
    let mut parts = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let Some(open) = rest.find(['{', '}']) else {
            parts.push(Part::Literal(rest.to_owned()));
            break;
        };
        if rest[open..].starts_with('}') {
            return Err("a `}` has no `{`");
        }
        if open > 0 {
            parts.push(Part::Literal(rest[..open].to_owned()));
        }
        let Some((name, after)) = rest[open + 1..].split_once('}') else { return Err("a `{` has no `}`") };
        parts.push(Part::Name(name.to_owned()));
        rest = after;
    }
    Ok(parts)
}

/// Fills in `{name}` from the captures of a matched path. `None` if a name has no value or the text is not a template:
/// an environment is named completely or not at all.
pub(super) fn expand(text: &str, captures: &std::collections::BTreeMap<String, String>) -> Option<String> {
    let mut out = String::new();
    for part in parts(text).ok()? {
        match part {
            Part::Literal(text) => out.push_str(&text),
            Part::Name(name) => out.push_str(captures.get(&name)?),
        }
    }
    Some(out)
}

/// The names in braces in a text.
///
/// # Errors
/// If a brace is not closed or not opened.
pub(crate) fn names(text: &str) -> Result<Vec<String>, &'static str> {
    let names = parts(text)?.into_iter().filter_map(|part| match part {
        Part::Name(name) => Some(name),
        Part::Literal(_) => None,
    });
    Ok(names.collect())
}
