//! Replaces bytes of a text, and knows where all others are afterwards.

use std::ops::Range;

use super::prove::ScalarChange;
use crate::model::{Pin, PinLocation, Span};

/// The text with these changes, sorted by position; `None` if its bytes are not what was scanned.
pub(super) fn splice(text: &str, changes: &[ScalarChange]) -> Option<String> {
    let (mut new, mut at) = (String::with_capacity(text.len() + 128 * changes.len()), 0);
    for change in changes {
        new.push_str(text.get(at..change.span.start)?);
        if text.get(change.span.start..change.span.end)? != change.old {
            return None;
        }
        new.push_str(&change.new);
        at = change.span.end;
    }
    new.push_str(text.get(at..)?);
    Some(new)
}

/// Where a byte outside every change is afterwards.
pub(super) fn shifted(at: usize, changes: &[ScalarChange]) -> usize {
    let before = changes.iter().take_while(|change| change.span.end <= at);
    before.fold(at, |at, change| at + change.new.len() - change.old.len())
}

/// Where a range is afterwards, and its text; each change must be inside it or apart from it.
pub(super) fn moved(text: &str, range: &Range<usize>, changes: &[ScalarChange]) -> Option<(Range<usize>, String)> {
    let inside: Vec<ScalarChange> = changes
        .iter()
        .filter(|change| change.span.start < range.end && range.start < change.span.end)
        .map(|change| {
            let start = change.span.start.checked_sub(range.start)?;
            let span = Span { start, end: start + (change.span.end - change.span.start) };
            (change.span.end <= range.end).then(|| ScalarChange { span, ..change.clone() })
        })
        .collect::<Option<_>>()?;
    let new = splice(text.get(range.clone())?, &inside)?;
    let start = shifted(range.start, changes);
    Some((start..start + new.len(), new))
}

/// The pin in the text after the changes, none of which may be its own.
pub(super) fn moved_pin(pin: &Pin, changes: &[ScalarChange]) -> Pin {
    let span = |span: Span| Span { start: shifted(span.start, changes), end: shifted(span.end, changes) };
    let location = match &pin.location {
        PinLocation::Reference(at) => PinLocation::Reference(span(*at)),
        PinLocation::Fields { name, tag, digest, missing } => PinLocation::Fields {
            name: name.map(span),
            tag: tag.map(span),
            digest: digest.map(span),
            missing: *missing,
        },
        PinLocation::Text { name, tag, digest, pattern } => PinLocation::Text {
            name: name.map(span),
            tag: tag.map(span),
            digest: digest.map(span),
            pattern: pattern.clone(),
        },
    };
    Pin { location, ..pin.clone() }
}
