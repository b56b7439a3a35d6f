//! Semantic versions as written in tags.
//!
//! Promise: precedence is that of Semantic Versioning 2.0.0, section 11, for numbers of any length. More is accepted
//! than section 9 allows, because registries contain it: a leading `v` or `V`, zero-padded numbers (`2025.07.03`), and
//! `_` instead of `+` before build metadata (a tag cannot contain `+`; Helm and others write `_`). Build metadata has
//! no precedence. A version has exactly three numbers: `1.2` is a moving tag, `917005` may be a short commit hash.

use std::cmp::Ordering;

use super::number::{compare_digits, is_digits};
use super::shape::Shape;

/// A version; compares by precedence, so two spellings of one version are equal.
#[derive(Debug, Clone, Copy)]
pub(super) struct ParsedVersion<'t> {
    /// The three numbers, and a fourth that is `0` unless the current tag has one.
    core: [&'t str; 4],
    pre: Option<&'t str>,
}

impl<'t> ParsedVersion<'t> {
    /// Parses a version of three parts.
    pub(super) fn parse(text: &'t str) -> Option<Self> {
        let text = strip_v(text);
        let (text, build) = match text.find(['+', '_']) {
            Some(at) => (&text[..at], Some(&text[at + 1..])),
            None => (text, None),
        };
        if build == Some("") {
            return None;
        }
        let (core, pre) = match text.split_once('-') {
            Some((core, pre)) => (core, Some(pre)),
            None => (text, None),
        };
        let mut parts = core.split('.');
        let (major, minor, patch) = (parts.next()?, parts.next()?, parts.next()?);
        let whole = parts.next().is_none() && [major, minor, patch].into_iter().all(is_digits);
        (whole && pre.is_none_or(is_prerelease)).then_some(Self { core: [major, minor, patch, "0"], pre })
    }

    /// The version of a current tag that does not have three parts, so that nothing older replaces it: `1.2`,
    /// `7-alpine`, `release-1.9.0`, `1.2.3.4`. A suffix is a prerelease here only if it is a known word.
    ///
    /// A single number counts if it has at most three digits: longer ones are build numbers, dates, or hashes.
    pub(super) fn loose(text: &'t str) -> Option<Self> {
        let shape = Shape::of(text).ok()?;
        let numbers = shape.dotted_numbers()?;
        if numbers.len() == 1 && numbers[0].len() > 3 {
            return None;
        }
        let part = |at: usize| numbers.get(at).copied().unwrap_or("0");
        Some(Self { core: [part(0), part(1), part(2), part(3)], pre: shape.prerelease_text() })
    }

    /// Whether it is a prerelease.
    pub(super) fn is_prerelease(&self) -> bool {
        self.pre.is_some()
    }

    /// Whether both are releases or prereleases of the same version.
    pub(super) fn same_core(&self, other: &Self) -> bool {
        self.compare_core(other) == Ordering::Equal
    }

    /// Compares only the first numbers, as many as `parts` has (at most three).
    pub(super) fn compare_parts(&self, parts: &[String]) -> Ordering {
        let pairs = self.core.iter().zip(parts);
        pairs.map(|(mine, theirs)| compare_digits(mine, theirs)).find(|o| o.is_ne()).unwrap_or(Ordering::Equal)
    }

    /// Compares the prerelease with one of the same version.
    pub(super) fn compare_pre(&self, other: Option<&str>) -> Ordering {
        match (self.pre, other) {
            (None, None) => Ordering::Equal,
            (None, Some(_)) => Ordering::Greater,
            (Some(_), None) => Ordering::Less,
            (Some(mine), Some(theirs)) => compare_prerelease(mine, theirs),
        }
    }

    fn compare_core(&self, other: &Self) -> Ordering {
        let pairs = self.core.iter().zip(&other.core);
        pairs.map(|(mine, theirs)| compare_digits(mine, theirs)).find(|o| o.is_ne()).unwrap_or(Ordering::Equal)
    }
}

impl Ord for ParsedVersion<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.compare_core(other).then_with(|| self.compare_pre(other.pre))
    }
}

impl PartialOrd for ParsedVersion<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for ParsedVersion<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for ParsedVersion<'_> {}

/// The text without a `v` or `V` before a digit.
pub(super) fn strip_v(text: &str) -> &str {
    match text.strip_prefix(['v', 'V']) {
        Some(rest) if rest.starts_with(|c: char| c.is_ascii_digit()) => rest,
        _ => text,
    }
}

/// Whether a text consists of dot-separated identifiers of letters, digits and hyphens, none empty.
pub(super) fn is_prerelease(text: &str) -> bool {
    text.split('.').all(|part| !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-'))
}

/// Why a text is not a version.
pub(super) fn not_a_version(text: &str) -> &'static str {
    let numeric = strip_v(text).split(['-', '_', '+']).next().unwrap_or(text);
    if numeric.split('.').all(is_digits) { "not a semantic version (three parts)" } else { "not a semantic version" }
}

/// Section 11.4: identifiers from left to right; numbers by value and below words; fewer identifiers below more.
fn compare_prerelease(left: &str, right: &str) -> Ordering {
    let (mut left, mut right) = (left.split('.'), right.split('.'));
    loop {
        let order = match (left.next(), right.next()) {
            (None, None) => return Ordering::Equal,
            (None, Some(_)) => return Ordering::Less,
            (Some(_), None) => return Ordering::Greater,
            (Some(mine), Some(theirs)) => match (is_digits(mine), is_digits(theirs)) {
                (true, true) => compare_digits(mine, theirs),
                (true, false) => Ordering::Less,
                (false, true) => Ordering::Greater,
                (false, false) => mine.cmp(theirs),
            },
        };
        if order != Ordering::Equal {
            return order;
        }
    }
}
