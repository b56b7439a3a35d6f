//! The editor: writes new versions into the bytes of pins.
//!
//! Promise: the result differs from the original only in the pins' scalars, or there is no result. Every edit first
//! checks that the bytes still say what the pin says, and is proved afterwards (`prove`). Quotes are kept; a plain
//! scalar is quoted only if YAML would read the new value as something other than a string, or the file is JSON.
//!
//! Tag and digest move together. A digest that would be left behind is refused, or removed if the caller says so. A new
//! digest goes where its kind of pin keeps it: behind the tag, or into a `digest` key.

use super::collector::{is_empty_scalar, unquoted};
use super::prove::{ScalarChange, ScalarHead, prove};
use super::quote::{needs_json_quotes, needs_quotes};
use super::{MAX_BYTES, prove_text, splice as texts, too_big};
use crate::model::{
    Digest, ImageName, MissingKeys, Pin, PinLocation, PinRole, RepoPath, Span, Tag, TextPattern, Version,
};

/// A pin and what to write into it.
#[derive(Debug, Clone)]
pub struct PinEdit<'a> {
    /// The pin, as found by a scan of these bytes.
    pub pin: &'a Pin,
    /// The version to write.
    pub to: Version,
    /// The new name, if the name is to be changed too.
    pub rename: Option<&'a str>,
}

/// What happens to an existing digest if the new version has none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OldDigest {
    /// The edit is refused, because the digest belongs to another tag.
    Refuse,
    /// The digest is removed: a person asked for exactly this tag.
    Drop,
}

/// Why nothing was edited.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EditError {
    /// The file is not text that can be edited.
    #[error("{path} cannot be edited: {reason}")]
    Unreadable {
        /// The file.
        path: String,
        /// Why.
        reason: String,
    },
    /// The bytes are not those in which the pin was found.
    #[error("{path}:{line}: the file is not the one that was scanned: {image} is no longer there")]
    Moved {
        /// The file.
        path: String,
        /// The pin's line.
        line: usize,
        /// The pin's image.
        image: String,
    },
    /// This version or name cannot be written into this pin.
    #[error("{path}:{line}: {image}: {reason}")]
    Refused {
        /// The file.
        path: String,
        /// The pin's line.
        line: usize,
        /// The pin's image.
        image: String,
        /// Why.
        reason: String,
    },
    /// The result could not be proved to differ only as intended.
    #[error("{path}: the edit was given up, because its result would not be right: {reason}")]
    Unproven {
        /// The file.
        path: String,
        /// What was wrong with the result.
        reason: String,
    },
}

/// Writes new versions into a file; a digest that would be left behind is refused.
///
/// # Errors
/// If a pin is no longer there, a version does not fit its pin, or the result cannot be proved. In that case nothing in
/// the file may be written.
pub fn edit(path: &RepoPath, bytes: &[u8], edits: &[PinEdit<'_>]) -> Result<Vec<u8>, EditError> {
    edit_with(path, bytes, edits, OldDigest::Refuse)
}

/// [`edit`], with a choice of what to do with digests that the new version does not have.
///
/// # Errors
/// As [`edit`].
pub fn edit_with(
    path: &RepoPath,
    bytes: &[u8],
    edits: &[PinEdit<'_>],
    old_digest: OldDigest,
) -> Result<Vec<u8>, EditError> {
    let unreadable = |reason: String| EditError::Unreadable { path: path.to_string(), reason };
    if bytes.len() > MAX_BYTES {
        return Err(unreadable(too_big().to_string()));
    }
    let text = std::str::from_utf8(bytes).map_err(|_| unreadable("not valid UTF-8".to_owned()))?;
    if let Some(edit) = edits.iter().find(|edit| edit.pin.path != *path) {
        return Err(moved(edit.pin));
    }
    let (texts, rest): (Vec<&PinEdit<'_>>, Vec<_>) =
        edits.iter().partition(|edit| matches!(edit.pin.location, PinLocation::Text { .. }));
    if texts.is_empty() {
        return edit_yaml(path, text, &rest, old_digest);
    }
    let (new, changes) = edit_text(path, text, &texts, old_digest)?;
    // What is left is where those changes have moved it.
    let pins: Vec<Pin> = rest.iter().map(|edit| texts::moved_pin(edit.pin, &changes)).collect();
    let rest = pins.iter().zip(&rest).map(|(pin, edit)| PinEdit { pin, ..(*edit).clone() });
    let rest: Vec<PinEdit<'_>> = rest.collect();
    if rest.is_empty() {
        Ok(new.into_bytes())
    } else {
        edit_yaml(path, &new, &rest.iter().collect::<Vec<_>>(), old_digest)
    }
}

/// The edit of a text that is not read as YAML, and its changes.
fn edit_text(
    path: &RepoPath,
    text: &str,
    edits: &[&PinEdit<'_>],
    old_digest: OldDigest,
) -> Result<(String, Vec<ScalarChange>), EditError> {
    let (mut changes, mut patterns): (Vec<_>, Vec<&TextPattern>) = (Vec::new(), Vec::new());
    for edit in edits {
        plan(edit, old_digest, &mut changes)?;
        if let PinLocation::Text { pattern: Some(pattern), .. } = &edit.pin.location
            && !patterns.contains(&pattern)
        {
            patterns.push(pattern);
        }
    }
    let (pins, changes) = merge(path, changes)?;
    let new = texts::splice(text, &changes);
    let gone =
        || EditError::Unproven { path: path.to_string(), reason: "it is not the file that was scanned".to_owned() };
    let new = new.ok_or_else(|| pins.first().map_or_else(gone, |pin| moved(pin)))?;
    prove_text::prove(path, (text, &new), &changes, patterns)
        .map_err(|reason| EditError::Unproven { path: path.to_string(), reason })?;
    Ok((new, changes))
}

fn edit_yaml(path: &RepoPath, text: &str, edits: &[&PinEdit<'_>], old_digest: OldDigest) -> Result<Vec<u8>, EditError> {
    let mut changes = Vec::new();
    for edit in edits {
        plan(edit, old_digest, &mut changes)?;
    }
    let (pins, changes) = merge(path, changes)?;
    let mut reason = String::new();
    let json = needs_json_quotes(path, text);
    // The look of a line decides where a new key goes. A line that looks like a block mapping may be part of a
    // multi-line flow mapping; the proof detects that.
    for style in [Insertion::ByLine, Insertion::Flow] {
        let new = splice(text, (&pins, &changes), style, json)?;
        match prove(text, &new, &changes) {
            Ok(()) => return Ok(new.into_bytes()),
            Err(error) => reason = error,
        }
        if changes.iter().all(|change| change.add.is_empty()) {
            break;
        }
    }
    Err(EditError::Unproven { path: path.to_string(), reason })
}

/// How a new key is written next to a tag.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Insertion {
    /// On a line of its own, if the tag's line looks like part of a block mapping.
    ByLine,
    /// Behind the tag, after a comma.
    Flow,
}

fn moved(pin: &Pin) -> EditError {
    EditError::Moved { path: pin.path.to_string(), line: pin.line, image: pin.image.clone() }
}

fn refused(pin: &Pin, reason: impl Into<String>) -> EditError {
    EditError::Refused { path: pin.path.to_string(), line: pin.line, image: pin.image.clone(), reason: reason.into() }
}

/// The scalar changes for one edit.
fn plan<'p>(
    edit: &PinEdit<'p>,
    old_digest: OldDigest,
    into: &mut Vec<(&'p Pin, ScalarChange)>,
) -> Result<(), EditError> {
    let (pin, to) = (edit.pin, spelled(edit.pin, target(edit, old_digest)?));
    if let Some(name) = edit.rename {
        ImageName::image(name).map_err(|error| refused(pin, error.to_string()))?;
    }
    let changes = match &pin.location {
        PinLocation::Reference(span) => {
            let head = edit.rename.map_or(ScalarHead::Keep(pin.image.clone()), |name| {
                ScalarHead::Replace(pin.image.clone(), name.to_owned())
            });
            vec![ScalarChange { span: *span, head, old: tail(&pin.version), new: tail(&to), add: Vec::new() }]
        }
        PinLocation::Fields { name, tag, digest, missing } => fields(edit, &to, (*name, *tag, *digest), *missing)?,
        PinLocation::Text { name, tag, digest, .. } => fields(edit, &to, (*name, *tag, *digest), MissingKeys::Refused)?,
    };
    into.extend(changes.into_iter().map(|change| (pin, change)));
    Ok(())
}

/// The version to write: never a digest of another tag, and never a tag if the pin has only a digest.
fn target(edit: &PinEdit<'_>, old_digest: OldDigest) -> Result<Version, EditError> {
    let (pin, to) = (edit.pin, &edit.to);
    let from = &pin.version;
    let drop = old_digest == OldDigest::Drop;
    let is_reference = matches!(pin.location, PinLocation::Reference(_));
    if pin.kind.role == PinRole::Chart && to.digest.is_some() {
        return Err(refused(pin, "a chart's version has no digest"));
    }
    match (&to.tag, &to.digest) {
        (None, None) => Err(refused(pin, "no version to write: neither a tag nor a digest is given")),
        (Some(_), None) if from.digest.is_some() && !drop => {
            Err(refused(pin, "it is pinned by digest, and no digest is given for the new tag"))
        }
        (Some(_), None) if from.tag.is_none() && !is_reference => {
            Err(refused(pin, "only a digest is written here: there is no tag to change"))
        }
        (None, Some(_)) if from.tag.is_some() && !(drop && is_reference) => {
            Err(refused(pin, "a tag is written here: a digest alone would leave the old tag in place"))
        }
        // If only a digest is written, the digest moves; a person who gives both gets both.
        (Some(_), Some(digest)) if from.tag.is_none() && !(drop && is_reference) => {
            Ok(Version { tag: None, digest: Some(digest.clone()) })
        }
        _ => Ok(to.clone()),
    }
}

/// The version as its place has to say it: only a chart's version has build metadata, which a registry's tag has behind `_`.
fn spelled(pin: &Pin, to: Version) -> Version {
    match pin.kind.role {
        PinRole::Chart => to,
        PinRole::Object
        | PinRole::Override
        | PinRole::Input
        | PinRole::Artifact
        | PinRole::Outside
        | PinRole::Named => Version { tag: to.tag.map(|tag| tag.in_registry()), digest: to.digest },
    }
}

/// The changes for scalars that hold name, tag and digest separately.
fn fields(
    edit: &PinEdit<'_>,
    to: &Version,
    (name, tag, digest): (Option<Span>, Option<Span>, Option<Span>),
    missing: MissingKeys,
) -> Result<Vec<ScalarChange>, EditError> {
    let (pin, from) = (edit.pin, &spelled(edit.pin, edit.pin.version.clone()));
    let whole =
        |span, old: String, new: String| ScalarChange { span, head: ScalarHead::None, old, new, add: Vec::new() };
    let text = |digest: &Option<Digest>| digest.as_ref().map_or_else(String::new, ToString::to_string);
    // The digest goes into its own scalar if there is one, even an empty one, unless it is already written behind the
    // tag.
    let apart = digest.filter(|span| match &from.digest {
        Some(digest) => span.end - span.start >= digest.as_str().len(),
        None => true,
    });
    let may_add = missing == MissingKeys::KustomizeEntry;
    let insert = may_add && apart.is_none() && from.digest.is_none() && to.digest.is_some();
    let (mut changes, mut add) = (Vec::new(), Vec::new());
    if let Some(tag) = tag {
        let behind = |version: &Version, with: bool| {
            Version { tag: version.tag.clone(), digest: version.digest.clone().filter(|_| with) }.to_string()
        };
        changes.push(whole(tag, behind(from, apart.is_none()), behind(to, apart.is_none() && !insert)));
    }
    if insert {
        add.push(("digest".to_owned(), text(&to.digest)));
    }
    if let Some(span) = apart.filter(|_| from.digest.is_some() || to.digest.is_some()) {
        changes.push(whole(span, text(&from.digest), text(&to.digest)));
    }
    match (edit.rename.filter(|new| *new != pin.image), name) {
        (Some(new), Some(span)) => changes.push(whole(span, pin.image.clone(), new.to_owned())),
        (Some(new), None) if may_add => add.push(("newName".to_owned(), new.to_owned())),
        (Some(_), None) => {
            return Err(refused(pin, "there is no single value with its name, so it cannot be renamed"));
        }
        (None, _) => {}
    }
    if let Some(first) = changes.first_mut() {
        first.add = add;
    }
    Ok(changes)
}

/// The part of a reference after the name.
fn tail(version: &Version) -> String {
    let tag = version.tag.as_ref().map(|tag: &Tag| format!(":{tag}")).unwrap_or_default();
    let digest = version.digest.as_ref().map(|digest| format!("@{digest}")).unwrap_or_default();
    tag + &digest
}

/// Sorts changes by position. Identical changes are merged; two different changes of one scalar are an error.
fn merge<'p>(
    path: &RepoPath,
    mut changes: Vec<(&'p Pin, ScalarChange)>,
) -> Result<(Vec<&'p Pin>, Vec<ScalarChange>), EditError> {
    changes.sort_by_key(|(_, change)| change.span);
    changes.dedup_by(|(_, a), (_, b)| a == b);
    for pair in changes.windows(2) {
        if let [(_, a), (pin, b)] = pair
            && b.span.start < a.span.end.max(a.span.start + 1)
        {
            return Err(refused(pin, format!("two different changes of one value in {path}")));
        }
    }
    Ok(changes.into_iter().unzip())
}

/// The text with all changes made; each change belongs to the pin at the same index in `pins`.
fn splice(
    text: &str,
    (pins, changes): (&[&Pin], &[ScalarChange]),
    style: Insertion,
    json: bool,
) -> Result<String, EditError> {
    let mut new = String::with_capacity(text.len() + 128 * changes.len());
    let mut at = 0;
    for (pin, change) in pins.iter().zip(changes) {
        let Span { start, end } = change.span;
        let (Some(before), Some(raw)) = (text.get(at..start), text.get(start..end)) else {
            return Err(moved(pin));
        };
        new.push_str(before);
        at = end;
        if raw.is_empty() {
            // The parser places an absent value right behind its key; the new one goes behind the colon.
            let colon = text.get(end..).and_then(|rest| rest.find(|c| c != ' ' && c != '\t').map(|n| end + n));
            let colon = colon.filter(|colon| text[*colon..].starts_with(':')).ok_or_else(|| moved(pin))?;
            new.push_str(&text[end..=colon]);
            new.push(' ');
            at = colon + 1;
        }
        new.push_str(&rewritten(raw, change, json).ok_or_else(|| moved(pin))?);
        if !change.add.is_empty() {
            let (to, added) = insertion(text, change, style)
                .ok_or_else(|| refused(pin, "there is no simple place for a new key next to its tag"))?;
            new.push_str(text.get(end..to).ok_or_else(|| moved(pin))?);
            new.push_str(&added);
            at = to;
        }
    }
    new.push_str(text.get(at..).unwrap_or(""));
    Ok(new)
}

/// A scalar's new bytes; `None` if its bytes have changed. In JSON, a text is always quoted.
pub(super) fn rewritten(raw: &str, change: &ScalarChange, json: bool) -> Option<String> {
    let inner = unquoted(raw);
    let plain = inner.len() == raw.len();
    let value = if change.old.is_empty() && is_empty_scalar(inner, granit_parser::ScalarStyle::Plain) {
        change.new.clone()
    } else {
        let head = inner.strip_suffix(change.old.as_str())?;
        format!("{}{}", change.head.apply(head)?, change.new)
    };
    if !plain {
        let quote = raw.get(..1)?;
        return Some(format!("{quote}{value}{quote}"));
    }
    if value == inner || !(json || needs_quotes(&value)) {
        return Some(value);
    }
    (!value.contains(['"', '\\'])).then(|| format!("\"{value}\""))
}

/// Where new keys go next to a changed scalar, and their text.
fn insertion(text: &str, change: &ScalarChange, style: Insertion) -> Option<(usize, String)> {
    let Span { start, end } = change.span;
    let is_break = ['\n', '\r'];
    let line_start = text.get(..start)?.rfind(is_break).map_or(0, |at| at + 1);
    let line_end = text.get(end..)?.find(is_break).map_or(text.len(), |at| end + at);
    let before = text.get(line_start..start)?.trim_end_matches([' ', '\t']).strip_suffix(':')?.trim_end();
    let key = before.rfind([' ', '\t', '{', ',', '\u{feff}']).map_or(before, |at| &before[at + 1..]);
    let indent = before.get(..before.len() - key.len())?;
    let rest = text.get(end..line_end)?.trim_start();
    let block = style == Insertion::ByLine
        && indent.bytes().all(|b| matches!(b, b' ' | b'-'))
        && (rest.is_empty() || rest.starts_with('#'));
    let added = change.add.iter();
    if block {
        let after = text.get(line_end..)?;
        let ending = match after {
            after if after.starts_with("\r\n") => "\r\n",
            after if after.starts_with('\r') => "\r",
            after if after.starts_with('\n') => "\n",
            _ if text.contains("\r\n") => "\r\n",
            _ => "\n",
        };
        let indent = " ".repeat(indent.len());
        let lines = added.map(|(key, value)| format!("{ending}{indent}{key}: {}", quoted_if_needed(value)));
        return Some((line_end, lines.collect()));
    }
    let json = key.starts_with('"');
    let entries = added.map(|(key, value)| {
        if json { format!(", \"{key}\": \"{value}\"") } else { format!(", {key}: {}", quoted_if_needed(value)) }
    });
    Some((end, entries.collect()))
}

fn quoted_if_needed(value: &str) -> String {
    if needs_quotes(value) { format!("\"{value}\"") } else { value.to_owned() }
}
