//! Proves that an edit made the intended changes and no others.
//!
//! Promise: [`prove`] succeeds only if both texts parse to the same events, except that each changed scalar has its new
//! value (and requested new keys follow it). Design: both texts are parsed side by side and compared event by event, so
//! nothing of a large file is kept. Documents without a change are not parsed again: their bytes must be the same.
//! Those with a change are distributed over the machine's cores. A change inside a literal block scalar (Argo CD's
//! `values: |`) is proved twice: the scalar's text is compared in the same way as a separate text, and the scalar must
//! be exactly that text.

use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};

use granit_parser::{Event, Parser, ScalarStyle};

use super::collector::is_empty_scalar;
use super::literal::Literal;
use super::tree::options;
use crate::model::Span;

/// Below this number of bytes to parse, one thread is faster than several.
const LARGE: usize = 200_000;
/// Adjacent documents are compared together up to this number of bytes.
const GROUP: usize = 64_000;

/// A change of one scalar. Its value consists of a head, which stays or is replaced, and of `old`, which becomes `new`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ScalarChange {
    /// The scalar in the old text, quotes included.
    pub(super) span: Span,
    /// The part before `old`.
    pub(super) head: ScalarHead,
    /// The current end of the value.
    pub(super) old: String,
    /// The new end of the value.
    pub(super) new: String,
    /// Keys and values to add right after it in its mapping.
    pub(super) add: Vec<(String, String)>,
}

/// The part of a scalar before the changed end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum ScalarHead {
    /// Nothing: the whole value changes.
    None,
    /// This name, possibly after `alias=`, which stays.
    Keep(String),
    /// The first name, possibly after `alias=`, which is replaced by the second.
    Replace(String, String),
}

impl ScalarHead {
    /// The new head for an existing one; `None` if the existing one is different.
    pub(super) fn apply(&self, head: &str) -> Option<String> {
        // The raw text of a kept name may contain escapes (`ghcr.io\/acme`); the proof compares its decoded value.
        match self {
            Self::None => head.is_empty().then(String::new),
            Self::Keep(name) if head.ends_with(name.as_str()) || head.contains('\\') => Some(head.to_owned()),
            Self::Keep(_) => None,
            Self::Replace(name, new) => Some(format!("{}{new}", alias(head.strip_suffix(name.as_str())?)?)),
        }
    }
}

/// Whether a text may precede a name: nothing, or `alias=`.
fn alias(text: &str) -> Option<&str> {
    (text.is_empty() || text.ends_with('=')).then_some(text)
}

impl ScalarChange {
    /// The new value for the old one; `None` if the old one is not what was scanned.
    fn apply(&self, value: &str, style: ScalarStyle) -> Option<String> {
        if self.old.is_empty() && is_empty_scalar(value, style) {
            return Some(self.new.clone());
        }
        let head = value.strip_suffix(self.old.as_str())?;
        if let ScalarHead::Keep(name) = &self.head {
            alias(head.strip_suffix(name.as_str())?)?;
        }
        Some(format!("{}{}", self.head.apply(head)?, self.new))
    }
}

/// One event and its bytes.
type Item<'a> = Result<(Event<'a>, Range<usize>), String>;

/// The events of a part of a text, and their positions in the whole text.
fn events(text: &str, part: Range<usize>) -> impl Iterator<Item = Item<'_>> {
    let at = part.start;
    Parser::new_from_str_with_options(text.get(part).unwrap_or(""), options(false)).map(move |next| {
        let (event, span) = next.map_err(|error| {
            let byte = error.marker().byte_offset().map_or(at, |offset| at + offset);
            format!("at byte {byte}: {}", error.info())
        })?;
        let range = span.byte_range().unwrap_or(0..0);
        Ok((event, at + range.start..at + range.end))
    })
}

/// Checks that `new` is `old` with exactly these changes, sorted by position; returns what is wrong otherwise.
pub(super) fn prove(old: &str, new: &str, changes: &[ScalarChange]) -> Result<(), String> {
    let parts = changed_parts(old, new, changes)?;
    let prove = |part: &Part<'_>| compare((old, part.old.clone()), (new, part.new.clone()), part.changes);
    let threads = match parts.iter().map(|part| part.old.len()).sum::<usize>() {
        ..LARGE => 1,
        _ => std::thread::available_parallelism().map_or(1, usize::from).min(parts.len()),
    };
    if threads == 1 {
        return parts.iter().try_for_each(prove);
    }
    let next = AtomicUsize::new(0);
    let work = || std::iter::from_fn(|| parts.get(next.fetch_add(1, Ordering::Relaxed))).try_for_each(prove);
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        workers
            .into_iter()
            .try_for_each(|worker| worker.join().unwrap_or_else(|_| Err("the proof failed unexpectedly".to_owned())))
    })
}

/// Corresponding documents of both texts, and the changes inside them.
struct Part<'a> {
    old: Range<usize>,
    new: Range<usize>,
    changes: &'a [ScalarChange],
}

/// The parts of both texts that have to be compared: every document with a change. Everything between them is
/// identical.
fn changed_parts<'a>(old: &str, new: &str, changes: &'a [ScalarChange]) -> Result<Vec<Part<'a>>, String> {
    let (was, is) = (documents(old), documents(new));
    if was.len() != is.len() {
        return Err("the new text has other documents".to_owned());
    }
    let mut parts: Vec<Part<'_>> = Vec::new();
    let (mut from, mut grows) = (0, false);
    for (was, is) in was.into_iter().zip(is) {
        let inside = changes[from..].partition_point(|change| change.span.start < was.end);
        if inside == 0 {
            if old.get(was.clone()) != new.get(is) {
                return Err(format!("something else changed, after byte {}", was.start));
            }
            grows = false;
            continue;
        }
        match parts.last_mut().filter(|part| grows && part.old.len() < GROUP) {
            Some(part) => {
                let first = from - part.changes.len();
                *part = Part {
                    old: part.old.start..was.end,
                    new: part.new.start..is.end,
                    changes: &changes[first..from + inside],
                };
            }
            None => parts.push(Part { old: was, new: is, changes: &changes[from..from + inside] }),
        }
        (from, grows) = (from + inside, true);
    }
    match changes.get(from) {
        Some(change) => Err(no_single_value(change)),
        None => Ok(parts),
    }
}

/// The documents of a text. A line that starts with `---` and white space always starts one: no scalar may contain such
/// a line (YAML 1.2.2, section 9.1.2, `c-forbidden`). Directives are before that line, so a text with a line that may
/// be a directive is taken as a whole.
fn documents(text: &str) -> Vec<Range<usize>> {
    let mut starts = vec![0];
    if !text.starts_with('%') && !text.contains("\n%") {
        let marks = text.match_indices("\n---").map(|(at, _)| at + 1);
        starts.extend(
            marks.filter(|at| matches!(text.as_bytes().get(at + 3), None | Some(b' ' | b'\t' | b'\r' | b'\n'))),
        );
    }
    let ends = starts.iter().skip(1).copied().chain([text.len()]);
    starts.iter().copied().zip(ends).map(|(start, end)| start..end).collect()
}

fn no_single_value(ScalarChange { span, .. }: &ScalarChange) -> String {
    format!("no single value stands at bytes {} to {}", span.start, span.end)
}

fn compare(
    (old, old_part): (&str, Range<usize>),
    (new, new_part): (&str, Range<usize>),
    changes: &[ScalarChange],
) -> Result<(), String> {
    let mut new_events = events(new, new_part);
    // Scalars come in the order of their bytes, as do the changes.
    let mut open = changes;
    for next in events(old, old_part) {
        let (was, range) = next?;
        let (is, new_range) = new_events.next().ok_or("the new text ends early")??;
        let first = open.first().filter(|change| change.span.start < range.end.max(range.start + 1));
        match (&was, first) {
            (Event::Scalar(..), Some(change)) if (change.span.start, change.span.end) == (range.start, range.end) => {
                changed(&was, &is, change)?;
                for (key, value) in &change.add {
                    added(key, &mut new_events)?;
                    added(value, &mut new_events)?;
                }
                open = open.get(1..).unwrap_or(&[]);
            }
            (Event::Scalar(_, ScalarStyle::Literal, ..), Some(change)) if change.span.start >= range.start => {
                let (inside, after) = open.split_at(open.partition_point(|change| change.span.end <= range.end));
                literal((old, &was, &range), (new, &is, &new_range), inside)?;
                open = after;
            }
            _ if was != is => return Err(format!("something else changed, at byte {}", range.start)),
            _ => {}
        }
    }
    if new_events.next().is_some() {
        return Err("the new text has more in it".to_owned());
    }
    match open.first() {
        Some(change) => Err(no_single_value(change)),
        None => Ok(()),
    }
}

/// A scalar that had to change did change, and is a string.
fn changed(was: &Event<'_>, is: &Event<'_>, change: &ScalarChange) -> Result<(), String> {
    let (Event::Scalar(was, style, anchor, tag), Event::Scalar(is, new_style, new_anchor, new_tag)) = (was, is) else {
        return Err("a value became something else".to_owned());
    };
    let wanted = change.apply(was, *style).ok_or("a value is not what was scanned")?;
    let quoted = *style == ScalarStyle::Plain && *new_style == ScalarStyle::DoubleQuoted;
    if *is != wanted || !(style == new_style || quoted) || anchor != new_anchor || tag != new_tag {
        return Err(format!("a value did not become {wanted}"));
    }
    Ok(())
}

fn added<'n>(wanted: &str, new: &mut impl Iterator<Item = Item<'n>>) -> Result<(), String> {
    match new.next() {
        Some(Ok((Event::Scalar(value, _, 0, None), _))) if value == wanted => Ok(()),
        Some(Err(error)) => Err(error),
        _ => Err(format!("{wanted} did not get where it belongs")),
    }
}

/// A block scalar whose text had to change.
fn literal(
    (old, was, range): (&str, &Event<'_>, &Range<usize>),
    (new, is, new_range): (&str, &Event<'_>, &Range<usize>),
    changes: &[ScalarChange],
) -> Result<(), String> {
    let (Event::Scalar(was, _, anchor, tag), Event::Scalar(is, ScalarStyle::Literal, new_anchor, new_tag)) = (was, is)
    else {
        return Err("a block scalar became something else".to_owned());
    };
    if anchor != new_anchor || tag != new_tag {
        return Err("a block scalar got other properties".to_owned());
    }
    let unclear = || "a block scalar does not map to bytes".to_owned();
    let before = Literal::new(old, range, was).ok_or_else(unclear)?;
    let after = Literal::new(new, new_range, is).ok_or_else(unclear)?;
    if before.indent != after.indent {
        return Err("a block scalar is indented otherwise".to_owned());
    }
    let mut inner = Vec::new();
    for change in changes {
        let (start, end) = (before.inner(change.span.start), before.inner(change.span.end));
        let span = Span { start: start.ok_or_else(unclear)?, end: end.ok_or_else(unclear)? };
        inner.push(ScalarChange { span, ..change.clone() });
    }
    compare((&before.text, 0..before.text.len()), (&after.text, 0..after.text.len()), &inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(text: &str, old: &str, new: &str) -> ScalarChange {
        let start = text.find(old).unwrap();
        let span = Span { start, end: start + old.len() };
        ScalarChange { span, head: ScalarHead::None, old: old.to_owned(), new: new.to_owned(), add: Vec::new() }
    }

    #[test]
    fn a_document_starts_where_every_reader_starts_one() {
        for (text, starts) in [
            ("a: 1\n", vec![0]),
            ("---\na: 1\n---\nb: 2\n", vec![0, 9]),
            ("a: 1\r\n---\r\nb: 2\n--- {c: 3}\n---", vec![0, 6, 16, 27]),
            ("a: |\n  ---\n  x\nb: ---c\n---d: 1\n", vec![0]),
            ("%TAG ! tag:example.com,2026:\n---\na: !x 1\n---\nb: 2\n", vec![0]),
            ("a: 1\n...\n%YAML 1.2\n---\nb: 2\n", vec![0]),
        ] {
            let found: Vec<usize> = documents(text).into_iter().map(|part| part.start).collect();
            assert_eq!(found, starts, "{text:?}");
        }
    }

    #[test]
    fn what_changes_beside_the_change_is_found_in_every_document() {
        let old = "a: x1\n---\nb: y\n---\nc: z1\n---\nd: w\n";
        let changes = [change(old, "x1", "x2"), change(old, "z1", "z2")];
        let new = old.replace("x1", "x2").replace("z1", "z2");
        assert_eq!(prove(old, &new, &changes), Ok(()));
        for (from, to) in [
            ("b: y", "b: v"),
            ("d: w", "d: v"),
            ("c:", "e:"),
            ("x2", "x3"),
            ("---\nd", "d"),
            ("b: y\n", "b: y\n---\n"),
            ("x2\n---\nb", "\"x2\n---\nb"),
            ("d: w\n", ""),
        ] {
            assert!(prove(old, &new.replacen(from, to, 1), &changes).is_err(), "{from} became {to}");
        }
        assert!(prove(old, &new, &changes[..1]).is_err(), "a change that was not asked for");
        let gone = ScalarChange { span: Span { start: 90, end: 92 }, ..changes[1].clone() };
        assert!(prove(old, &new, &[changes[0].clone(), gone]).is_err(), "a change beyond the end");
    }
}
