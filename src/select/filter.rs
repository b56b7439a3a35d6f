//! Which tags a policy considers, by name: `filter` with `extract`, `ignore`, and the tags that are never images.
//!
//! Promise: a bad pattern, template or glob is an error when the policy is read, not when a tag is matched. Patterns
//! use the syntax of the `regex` crate (linear time for any pattern and tag), are not anchored, and are limited in
//! size.

use std::borrow::Cow;
use std::fmt;

use regex::bytes::{Regex, RegexBuilder};

use super::SelectError;
use crate::model::glob::{Glob, Separators};

/// Limit for a compiled pattern and for its matching cache. There is room for any real pattern, since tags and their
/// classes are ASCII. It is small enough for all policies of a repository to fit in memory, and for the slowest pattern
/// of that size to get through a hundred thousand tags in seconds.
const SIZE_LIMIT: usize = 32 << 10;
const CACHE_LIMIT: usize = 256 << 10;
/// Maximum length of a pattern, template or glob.
const MAX_LENGTH: usize = 2000;
/// Maximum length of a template, and maximum number of groups in it: its result is stored for every tag of a list.
const MAX_TEMPLATE: usize = 200;
const MAX_GROUPS: usize = 8;

/// A regular expression that tags must match, and the ordering key it extracts.
#[derive(Clone)]
pub struct Filter {
    pattern: Regex,
    extract: Option<Template>,
}

/// An `extract` template: text with references to groups of the pattern.
#[derive(Clone)]
struct Template {
    text: String,
    pieces: Vec<Piece>,
}

#[derive(Clone)]
enum Piece {
    Text(String),
    Group(usize),
}

impl Filter {
    /// Compiles a pattern and its template. In the template `$name`, `$1`, `${name}` and `${1}` stand for groups and
    /// `$$` for a dollar sign; a name is the longest run of letters, digits and `_`, as in Go and therefore in Flux.
    ///
    /// # Errors
    /// If the pattern is not a regular expression or too large (offset in the pattern), or if the template references a
    /// group that the pattern does not have, or no group at all (offset in the template).
    pub fn new(pattern: &str, extract: Option<&str>) -> Result<Self, SelectError> {
        limit(pattern, "pattern")?;
        let compiled = RegexBuilder::new(pattern)
            .unicode(false)
            .size_limit(SIZE_LIMIT)
            .dfa_size_limit(CACHE_LIMIT)
            .build()
            .map_err(|error| pattern_error(pattern, &error))?;
        let extract = extract.map(|text| Template::new(text, &compiled)).transpose()?;
        Ok(Self { pattern: compiled, extract })
    }

    /// The pattern as written.
    #[must_use]
    pub fn pattern(&self) -> &str {
        self.pattern.as_str()
    }

    /// The template as written.
    #[must_use]
    pub fn extract(&self) -> Option<&str> {
        self.extract.as_ref().map(|template| template.text.as_str())
    }

    /// The ordering key of a matching tag: the expanded template, or the tag itself without one.
    pub(super) fn key<'t>(&self, tag: &'t str) -> Option<Cow<'t, str>> {
        let Some(template) = &self.extract else {
            return self.pattern.is_match(tag.as_bytes()).then_some(Cow::Borrowed(tag));
        };
        let groups = self.pattern.captures(tag.as_bytes())?;
        // A tag is ASCII, so every group is valid UTF-8.
        let text = |group: usize| groups.get(group).and_then(|group| tag.get(group.range())).unwrap_or("");
        if let [Piece::Group(only)] = template.pieces.as_slice() {
            return Some(Cow::Borrowed(text(*only)));
        }
        let mut key = String::new();
        for piece in &template.pieces {
            match piece {
                Piece::Text(text) => key.push_str(text),
                Piece::Group(group) => key.push_str(text(*group)),
            }
        }
        Some(Cow::Owned(key))
    }
}

impl PartialEq for Filter {
    fn eq(&self, other: &Self) -> bool {
        self.pattern() == other.pattern() && self.extract() == other.extract()
    }
}

impl Eq for Filter {}

impl fmt::Debug for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Filter").field("pattern", &self.pattern()).field("extract", &self.extract()).finish()
    }
}

impl Template {
    fn new(text: &str, pattern: &Regex) -> Result<Self, SelectError> {
        if text.len() > MAX_TEMPLATE {
            return Err(SelectError::new(format!("the template is longer than {MAX_TEMPLATE} characters")));
        }
        let mut pieces = Vec::new();
        let mut literal = String::new();
        let mut at = 0;
        while let Some(found) = text[at..].find('$') {
            let dollar = at + found;
            literal.push_str(&text[at..dollar]);
            let rest = &text[dollar + 1..];
            if rest.starts_with('$') {
                literal.push('$');
                at = dollar + 2;
                continue;
            }
            let (name, end) = group_name(text, dollar)?;
            if !literal.is_empty() {
                pieces.push(Piece::Text(std::mem::take(&mut literal)));
            }
            pieces.push(Piece::Group(group_index(pattern, name, dollar)?));
            at = end;
        }
        literal.push_str(&text[at..]);
        if !literal.is_empty() {
            pieces.push(Piece::Text(literal));
        }
        let groups = pieces.iter().filter(|piece| matches!(piece, Piece::Group(_))).count();
        if groups > MAX_GROUPS {
            return Err(SelectError::new(format!("the template names more than {MAX_GROUPS} groups")));
        }
        if groups == 0 {
            return Err(SelectError::at(0, "the template names no group, so every tag would have the same key"));
        }
        Ok(Self { text: text.to_owned(), pieces })
    }
}

/// The group's name after the dollar sign, and where the text continues.
fn group_name(text: &str, dollar: usize) -> Result<(&str, usize), SelectError> {
    let rest = &text[dollar + 1..];
    if let Some(braced) = rest.strip_prefix('{') {
        return match braced.split_once('}') {
            Some((name, _)) if !name.is_empty() => Ok((name, dollar + 3 + name.len())),
            Some(_) => Err(SelectError::at(dollar, "`${}` names no group")),
            None => Err(SelectError::at(dollar, "`${` is not closed by `}`")),
        };
    }
    let end = rest.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).unwrap_or(rest.len());
    if end == 0 {
        return Err(SelectError::at(dollar, "`$` names no group; `$$` stands for a dollar sign"));
    }
    Ok((&rest[..end], dollar + 1 + end))
}

fn group_index(pattern: &Regex, name: &str, dollar: usize) -> Result<usize, SelectError> {
    let numbered = name.parse::<usize>().ok().filter(|number| *number < pattern.captures_len());
    let named = || pattern.capture_names().position(|group| group == Some(name));
    numbered.or_else(named).ok_or_else(|| {
        let groups: Vec<String> = pattern
            .capture_names()
            .enumerate()
            .skip(1)
            .map(|(number, name)| name.map_or_else(|| format!("${number}"), |name| format!("${name}")))
            .collect();
        let known = match groups.len() {
            0 => "it has none".to_owned(),
            _ => format!("it has {}", groups.join(", ")),
        };
        SelectError::at(dollar, format!("the pattern has no group `{}`; {known}", name.escape_debug()))
    })
}

fn limit(text: &str, what: &str) -> Result<(), SelectError> {
    if text.len() > MAX_LENGTH {
        return Err(SelectError::new(format!("the {what} is longer than {MAX_LENGTH} characters")));
    }
    Ok(())
}

/// The pattern's error with its position, which the compiler's own error contains only as a drawing.
fn pattern_error(pattern: &str, error: &regex::Error) -> SelectError {
    let fault = match regex_syntax::Parser::new().parse(pattern) {
        Err(regex_syntax::Error::Parse(fault)) => Some((fault.span().start.offset, fault.kind().to_string())),
        Err(regex_syntax::Error::Translate(fault)) => Some((fault.span().start.offset, fault.kind().to_string())),
        _ => None,
    };
    match (fault, error) {
        (Some((offset, kind)), _) => SelectError::at(offset, format!("not a regular expression: {kind}")),
        (None, regex::Error::CompiledTooBig(_)) => SelectError::new("the pattern is too large once compiled"),
        (None, error) => SelectError::new(format!("not a regular expression: {error}")),
    }
}

/// A glob that matches whole tags: `*`, `?`, `[a-z]`, `{a,b}`.
#[derive(Clone)]
pub struct IgnoreGlob {
    matcher: Glob,
}

impl IgnoreGlob {
    /// Compiles a glob.
    ///
    /// # Errors
    /// When it is empty or not a glob.
    pub fn new(glob: &str) -> Result<Self, SelectError> {
        limit(glob, "glob")?;
        if glob.is_empty() {
            return Err(SelectError::new("the glob is empty"));
        }
        let matcher = Glob::new(glob, Separators::Cross);
        Ok(Self { matcher: matcher.map_err(|reason| SelectError::new(format!("not a glob: {reason}")))? })
    }

    /// The glob as written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.matcher.as_str()
    }

    pub(super) fn matches(&self, tag: &str) -> bool {
        self.matcher.is_match(tag)
    }
}

impl PartialEq for IgnoreGlob {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

impl Eq for IgnoreGlob {}

impl fmt::Debug for IgnoreGlob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("IgnoreGlob").field(&self.as_str()).finish()
    }
}

/// Whether the tag holds metadata of an image instead of an image: cosign's `sha256-<hex>.sig`, `.att` and `.sbom`, and
/// the OCI referrers fallback `sha256-<hex>` (distribution specification, "Referrers tag schema").
pub(super) fn is_attachment(tag: &str) -> bool {
    let Some(rest) = tag.strip_prefix("sha256-").or_else(|| tag.strip_prefix("sha512-")) else { return false };
    let hex = rest.split('.').next().unwrap_or(rest);
    !hex.is_empty() && hex.bytes().all(|b| b.is_ascii_hexdigit())
}
