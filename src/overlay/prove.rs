//! Proof that an edit changed what it was to change and nothing else.
//!
//! Promise: [`prove`] says yes only if both texts parse to the same events, except that every change's scalar has its
//! new value (and new keys follow it where they were asked for). Design: both texts are parsed side by side and compared
//! event by event, so nothing of a large file is kept; the second parser of a large file has a thread of its own.
//! A change inside a literal block scalar (Argo CD's `values: |`) is proved twice: the scalar's text is compared in the
//! same way as a text of its own, and the scalar must be exactly that text.

use std::ops::Range;
use std::sync::mpsc;

use granit_parser::{Event, Parser, ScalarStyle};

use super::collector::is_empty_scalar;
use super::literal::Literal;
use super::tree::options;
use crate::model::Span;

/// Above this many bytes the new text is parsed in a thread of its own.
const LARGE: usize = 200_000;
/// Events handed over at once.
const BATCH: usize = 2_048;

/// A change of one scalar: its value is a head, which stays or is replaced, and `old`, which becomes `new`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ScalarChange {
    /// The scalar in the old text, quotes included.
    pub(super) span: Span,
    /// What stands before `old`.
    pub(super) head: ScalarHead,
    /// What the value ends with now.
    pub(super) old: String,
    /// What it shall end with.
    pub(super) new: String,
    /// Keys and values to stand right after it in its mapping.
    pub(super) add: Vec<(String, String)>,
}

/// What stands before the changed end of a scalar.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum ScalarHead {
    /// Nothing: the whole value changes.
    None,
    /// This name, perhaps after `alias=`, which stays.
    Keep(String),
    /// The first name, perhaps after `alias=`, which becomes the second.
    Replace(String, String),
}

impl ScalarHead {
    /// The new head for a present one; `None` where the present one is another.
    pub(super) fn apply(&self, head: &str) -> Option<String> {
        // The raw text of a kept name may be escaped (`ghcr.io\/acme`); its decoded value is compared in the proof.
        match self {
            Self::None => head.is_empty().then(String::new),
            Self::Keep(name) if head.ends_with(name.as_str()) || head.contains('\\') => Some(head.to_owned()),
            Self::Keep(_) => None,
            Self::Replace(name, new) => Some(format!("{}{new}", alias(head.strip_suffix(name.as_str())?)?)),
        }
    }
}

/// What may stand before a name: nothing, or `alias=`.
fn alias(text: &str) -> Option<&str> {
    (text.is_empty() || text.ends_with('=')).then_some(text)
}

impl ScalarChange {
    /// The new value for the old one; `None` where the old one is not what was scanned.
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

fn events(text: &str) -> impl Iterator<Item = Item<'_>> {
    Parser::new_from_str_with_options(text, options(false)).map(|next| {
        let (event, span) = next.map_err(|error| format!("line {}: {}", error.marker().line(), error.info()))?;
        Ok((event, span.byte_range().unwrap_or(0..0)))
    })
}

/// Shows that `new` is `old` with these changes, sorted by place, and no other; says what is wrong otherwise.
pub(super) fn prove(old: &str, new: &str, changes: &[ScalarChange]) -> Result<(), String> {
    if new.len() < LARGE {
        return compare(old, new, changes, &mut events(new));
    }
    std::thread::scope(|scope| {
        let (to, from) = mpsc::sync_channel::<Vec<Item<'_>>>(4);
        scope.spawn(move || {
            let mut parser = events(new);
            loop {
                let batch: Vec<_> = parser.by_ref().take(BATCH).collect();
                // The receiver hangs up when it has seen enough.
                if batch.is_empty() || to.send(batch).is_err() {
                    return;
                }
            }
        });
        compare(old, new, changes, &mut from.into_iter().flatten())
    })
}

fn compare<'n>(
    old: &str,
    new: &'n str,
    changes: &[ScalarChange],
    new_events: &mut dyn Iterator<Item = Item<'n>>,
) -> Result<(), String> {
    // Scalars come in the order of their bytes, as the changes stand.
    let mut open = changes;
    for next in events(old) {
        let (was, range) = next?;
        let (is, new_range) = new_events.next().ok_or("the new text ends early")??;
        let first = open.first().filter(|change| change.span.start < range.end.max(range.start + 1));
        match (&was, first) {
            (Event::Scalar(..), Some(change)) if (change.span.start, change.span.end) == (range.start, range.end) => {
                changed(&was, &is, change)?;
                for (key, value) in &change.add {
                    added(key, new_events)?;
                    added(value, new_events)?;
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
        Some(ScalarChange { span, .. }) => {
            Err(format!("no single value stands at bytes {} to {}", span.start, span.end))
        }
        None => Ok(()),
    }
}

/// A scalar that was to change did, and is a string.
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

fn added<'n>(wanted: &str, new: &mut dyn Iterator<Item = Item<'n>>) -> Result<(), String> {
    match new.next() {
        Some(Ok((Event::Scalar(value, _, 0, None), _))) if value == wanted => Ok(()),
        Some(Err(error)) => Err(error),
        _ => Err(format!("{wanted} did not get where it belongs")),
    }
}

/// A block scalar whose text was to change.
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
    compare(&before.text, &after.text, &inner, &mut events(&after.text))
}
