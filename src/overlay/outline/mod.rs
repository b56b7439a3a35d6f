//! The values of a file in TOML or HCL with their keys and their bytes.
//!
//! Promise: a value's range is exactly its bytes, quotes included, and a text that may be changed is, between its quotes, byte for
//! byte what it says. Files are bounded in size, and what their parsers nest in depth. Invariant: nothing is written with these
//! parsers; an edit replaces bytes, and both outlines are compared ([`prove`](super::prove_text)).

use std::ops::Range;

use super::Syntax;
use super::tree::MAX_KEY_PATH;
use crate::model::SkipReason;

mod hcl;
mod json;
mod toml;

/// Maximum size of a file, in bytes: its parsers take up to 175 times that. Hand-written files and locks of real repositories stay
/// below.
pub(super) const MAX_BYTES: usize = 512 << 10;
/// From this size on, a file is large: its outline is made when no other large one is.
pub(super) const LARGE: usize = 128 << 10;

/// One key on the way to a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum OutlineKey {
    /// A key, or the label of a block.
    Name(String),
    /// An item of a list.
    Item(usize),
    /// Which of the blocks of one name, from 0; a path need not say it.
    Nth(usize),
}

/// A value that has no others in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Content {
    /// A text, and the bytes between its quotes, or why those must not be changed.
    Text(String, Result<Range<usize>, SkipReason>),
    /// Something else: why it is not a fixed text.
    Other(SkipReason),
}

/// A value and its place.
#[derive(Debug)]
pub(super) struct Leaf<'s> {
    /// Its keys.
    pub(super) path: &'s [OutlineKey],
    /// Its bytes.
    pub(super) span: Range<usize>,
    /// What it is.
    pub(super) content: Content,
}

/// Takes every value, in the file's order as far as its parser keeps that; maybe on another thread.
pub(super) type Visit<'v> = &'v mut (dyn FnMut(Leaf<'_>) + Send);

/// Visits the values of a file.
///
/// # Errors
/// Why it cannot be read, and the line.
pub(super) fn visit(syntax: Syntax, text: &str, visit: Visit<'_>) -> Result<(), (Option<usize>, SkipReason)> {
    if text.len() > MAX_BYTES {
        return Err((None, SkipReason::TooLargeOutline { kilobytes: MAX_BYTES >> 10 }));
    }
    let broken = |at: Option<usize>, reason: String| {
        (at.map(|at| line_of(text, at)), SkipReason::NotParsed { syntax: syntax.name(), reason })
    };
    let mut long = None;
    let mut bounded = |leaf: Leaf<'_>| {
        if long.is_none() && key_bytes(leaf.path) > MAX_KEY_PATH {
            long = Some(leaf.span.start);
        }
        if long.is_none() {
            visit(leaf);
        }
    };
    let visit: Visit<'_> = &mut bounded;
    let visited = match syntax {
        Syntax::Toml => toml::visit(text, visit).map_err(|(at, reason)| broken(at, reason)),
        Syntax::Hcl => hcl::visit(text, visit)
            .map_err(|(line, reason)| (line, SkipReason::NotParsed { syntax: syntax.name(), reason })),
        Syntax::Json => json::visit(text, visit)
            .map_err(|(line, reason)| (line, SkipReason::NotParsed { syntax: syntax.name(), reason })),
        Syntax::Yaml | Syntax::Text => Ok(()),
    };
    match long {
        // It would be kept with each value below it.
        Some(at) if visited.is_ok() => Err((Some(line_of(text, at)), SkipReason::LongKey { bytes: MAX_KEY_PATH })),
        _ => visited,
    }
}

/// The length of all keys on the way to a value.
fn key_bytes(path: &[OutlineKey]) -> usize {
    let bytes = |key: &OutlineKey| if let OutlineKey::Name(name) = key { name.len() } else { 0 };
    path.iter().map(bytes).sum()
}

/// The line of a byte, from 1.
fn line_of(text: &str, at: usize) -> usize {
    text.as_bytes().iter().take(at).filter(|byte| **byte == b'\n').count() + 1
}

/// A text between quotes, if its bytes are what it says.
fn quoted(text: &str, span: &Range<usize>, value: &str, quotes: &[&str]) -> Content {
    let raw = text.get(span.clone()).unwrap_or_default();
    let inner =
        quotes.iter().find_map(|quote| raw.strip_prefix(quote)?.strip_suffix(quote).map(|inner| (inner, quote.len())));
    let inner = match inner {
        Some((inner, quote)) if inner == value && !value.contains(['\n', '\r']) => {
            Ok(span.start + quote..span.end - quote)
        }
        Some(_) if raw.contains(['\n', '\r']) => Err(SkipReason::SeveralLines),
        _ => Err(SkipReason::Escaped),
    };
    Content::Text(value.to_owned(), inner)
}

/// A key path as people write it: `resource.docker_image.web.name`, `servers[0].image`.
pub(super) fn shown(path: &[OutlineKey]) -> String {
    let mut text = String::new();
    for step in path {
        match step {
            OutlineKey::Name(key) => {
                let part = super::tree::key_part(key);
                if !text.is_empty() && !part.starts_with('[') {
                    text.push('.');
                }
                text.push_str(&part);
            }
            OutlineKey::Item(number) | OutlineKey::Nth(number) => text.push_str(&format!("[{number}]")),
        }
    }
    text
}
