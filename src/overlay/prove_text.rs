//! Proves that an edit of a text made the intended changes and no others.
//!
//! Promise: [`prove`] succeeds only if each pattern that found a changed value finds the same places again, with the new version in
//! them; and if the file, read as YAML, TOML or HCL, has the same values as before but for those. All other bytes are the old ones,
//! because an edit copies them.

use std::ops::Range;

use granit_parser::{Event, Parser, ScalarStyle};

use super::Syntax;
use super::dotenv::{self, EnvLine, is_env_file};
use super::outline::{self, Content};
use super::prove::ScalarChange;
use super::quote::{is_no_text, needs_json_quotes};
use super::splice::moved;
use super::tree::options;
use crate::model::{RepoPath, SearchBudget, SkipReason, TextMatch, TextPattern};

/// Checks that `new` is `old` with exactly these changes, sorted by position; returns what is wrong otherwise.
pub(super) fn prove<'p>(
    path: &RepoPath,
    (old, new): (&str, &str),
    changes: &[ScalarChange],
    patterns: impl IntoIterator<Item = &'p TextPattern>,
) -> Result<(), String> {
    for pattern in patterns {
        matches_again(pattern, (old, new), changes)?;
    }
    if is_env_file(path.file_name()) {
        return same_variables((old, new), changes);
    }
    match Syntax::of(path) {
        Syntax::Yaml | Syntax::Json => same_yaml((old, new), changes, needs_json_quotes(path, old)),
        syntax @ (Syntax::Toml | Syntax::Hcl) => same_outline(syntax, (old, new), changes),
        Syntax::Text => Ok(()),
    }
}

fn matches_again(pattern: &TextPattern, (old, new): (&str, &str), changes: &[ScalarChange]) -> Result<(), String> {
    let wrong = || format!("`{}` would no longer find the same places", pattern.as_str().escape_debug());
    // What is edited was found within the repository's own bounds; here, those of one text hold.
    let budget = SearchBudget::default();
    let find = |text| pattern.find(text, &budget).map_err(|limit| limit.to_string());
    let mut now = find(new)?.into_iter();
    for was in find(old)? {
        let is = now.next().ok_or_else(wrong)?;
        let (version, _) = moved(old, &version(&was), changes).ok_or_else(wrong)?;
        let image = match &was.image {
            Some(image) => Some(moved(old, image, changes).ok_or_else(wrong)?.0),
            None => None,
        };
        if version != self::version(&is) || image != is.image {
            return Err(wrong());
        }
    }
    if now.next().is_some() { Err(wrong()) } else { Ok(()) }
}

/// From the tag to the end of the digest, which may be written behind the tag from now on.
fn version(found: &TextMatch) -> Range<usize> {
    let digest = found.digest.as_ref().filter(|digest| !digest.is_empty()).unwrap_or(&found.tag);
    found.tag.start.min(digest.start)..found.tag.end.max(digest.end)
}

/// A file that is no YAML as it stands, such as a chart's template, has nothing to compare.
fn same_yaml((old, new): (&str, &str), changes: &[ScalarChange], json: bool) -> Result<(), String> {
    let parse = |text| Parser::new_from_str_with_options(text, options(false));
    if parse(old).any(|event| event.is_err()) {
        return Ok(());
    }
    let mut now = parse(new);
    for was in parse(old) {
        let (Ok((was, span)), Some(Ok((is, new_span)))) = (was, now.next()) else {
            return Err("the file would no longer be the same YAML".to_owned());
        };
        let (range, new_range) = (span.byte_range().unwrap_or(0..0), new_span.byte_range().unwrap_or(0..0));
        let same = match (&was, &is) {
            (Event::Scalar(..), Event::Scalar(..)) if range.start < range.end => moved(old, &range, changes)
                .is_some_and(|(expected, text)| expected == new_range && Some(&*text) == new.get(new_range)),
            _ => was == is,
        };
        if !same {
            return Err(format!("something else would change, at byte {}", range.start));
        }
        if let Event::Scalar(value, ScalarStyle::Plain, ..) = &is
            && was != is
            && (json || is_no_text(value))
        {
            return Err(no_text(old, range.start, value));
        }
    }
    if now.next().is_some() { Err("the new text has more in it".to_owned()) } else { Ok(()) }
}

/// A version that would be read as a number or the like.
fn no_text(old: &str, at: usize, value: &str) -> String {
    let line = old.as_bytes().iter().take(at).filter(|byte| **byte == b'\n').count() + 1;
    let value = value.escape_debug();
    format!("without quotes, `{value}` in line {line} would not be read as a text; write the value there in quotes")
}

fn same_variables((old, new): (&str, &str), changes: &[ScalarChange]) -> Result<(), String> {
    let refused = |reason: SkipReason| reason.to_string();
    let (before, after) = (dotenv::read(old).map_err(refused)?, dotenv::read(new).map_err(refused)?);
    let same = |was: &EnvLine, is: &EnvLine| {
        let value = moved(old, &(was.start..was.start + was.value.len()), changes);
        was.name == is.name && value.is_some_and(|(range, value)| range.start == is.start && value == is.value)
    };
    if before.len() == after.len() && before.lines().zip(after.lines()).all(|(was, is)| same(was, is)) {
        return Ok(());
    }
    Err("another variable would change".to_owned())
}

fn same_outline(syntax: Syntax, (old, new): (&str, &str), changes: &[ScalarChange]) -> Result<(), String> {
    let leaves = |text: &str| {
        let mut leaves = Vec::new();
        let visited = outline::visit(syntax, text, &mut |leaf| leaves.push((leaf.span, leaf.content)));
        visited.map(|()| leaves)
    };
    let Ok(before) = leaves(old) else { return Ok(()) };
    let after = leaves(new).map_err(|(_, reason)| reason.to_string())?;
    if before.len() != after.len() {
        return Err("the file would no longer have the same values".to_owned());
    }
    for ((span, content), (new_span, new_content)) in before.iter().zip(&after) {
        let expected =
            moved(old, span, changes).filter(|(range, text)| range == new_span && new.get(range.clone()) == Some(text));
        let same_kind = match (content, new_content) {
            (Content::Text(_, Ok(_)), Content::Text(_, Ok(_))) => true,
            (was, is) => was == is || matches!((was, is), (Content::Text(_, Err(_)), Content::Text(_, Err(_)))),
        };
        if expected.is_none() || !same_kind {
            return Err(format!("something else would change, at byte {}", span.start));
        }
        if let Some(change) = changes.iter().find(|it| it.span.start < span.end && span.start < it.span.end)
            && !is_in_text(old, span, content, change)
        {
            return Err(no_text(old, span.start, new.get(new_span.clone()).unwrap_or_default()));
        }
    }
    Ok(())
}

/// Whether a changed part of a value is a text or in one; within an expression, it is between quotes.
fn is_in_text(old: &str, span: &Range<usize>, content: &Content, change: &ScalarChange) -> bool {
    match content {
        Content::Other(SkipReason::NotText) => false,
        Content::Other(SkipReason::Expression) => {
            let before = old.get(span.start..change.span.start).unwrap_or_default();
            before.bytes().filter(|byte| *byte == b'"').count() % 2 == 1
        }
        Content::Text(..) | Content::Other(_) => true,
    }
}
