//! Pins in files that are not YAML, and in any file as a text: what policies declare there.
//!
//! Promise: a declaration is refused as a whole if it matches nothing, or more than it says; each pin's bytes are exactly what it
//! reports.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use super::collector::MAX_PLACES;
use super::kinds::KEY_PATH;
use super::outline::{self, Content, OutlineKey};
use super::secrets::Secrets;
use super::value::ReadValue;
use super::{FileScan, Syntax, skipped_text, weight};
use crate::model::{
    DeclaredValue, Digest, ImageName, KeyPlace, Matches, PathStep, Pin, PinKind, PinLocation, RepoPath, SkipReason,
    Skipped, Span, TextMatch, TextPattern, ValuePath,
};

/// Adds what is declared of a text to the scan of its file.
pub(super) fn declared(
    path: &RepoPath,
    text: &str,
    syntax: Syntax,
    (declared, secrets): (&[DeclaredValue<'_>], Secrets),
    scan: &mut FileScan,
) {
    let mut texts = Texts { secrets, ..Texts::new(path, text) };
    let mut found = texts.outline(syntax, declared).into_iter();
    for one in declared {
        match &one.key_path.place {
            KeyPlace::Text(pattern) => texts.pattern(one, pattern),
            // In YAML, the kind reads the tree.
            KeyPlace::Path(_) if syntax == Syntax::Yaml => {}
            KeyPlace::Path(_) if syntax == Syntax::Text => {
                let origin = one.key_path.origin.to_string();
                texts.skip(None, SkipReason::NeedsPattern { origin }, None);
            }
            KeyPlace::Path(keys) => texts.path(one, found.next(), keys),
        }
    }
    texts.into_scan(scan);
}

/// A text, and what was found in it.
pub(super) struct Texts<'t> {
    path: &'t RepoPath,
    text: &'t str,
    /// Where each line starts.
    lines: Vec<usize>,
    pins: Vec<Pin>,
    skipped: Vec<Skipped>,
    /// Where the pins' tags and digests are.
    places: Places,
    /// Which values are not shown.
    secrets: Secrets,
    /// How many places are kept, by the length of their texts.
    kept: usize,
    overflow: bool,
}

/// A value in an outline, with its key path.
type Found = (String, Range<usize>, Content);

/// The bytes of pins, no two of which overlap: from the first to behind the last, and which pin's they are.
#[derive(Default)]
struct Places(BTreeMap<usize, (usize, usize)>);

impl Places {
    fn add(&mut self, location: &PinLocation, pin: usize) {
        self.0.extend(location.spans().into_iter().map(|span| (span.start, (span.end, pin))));
    }

    /// The pins that a place has bytes in common with.
    fn at(&self, location: &PinLocation) -> BTreeSet<usize> {
        let mut pins = BTreeSet::new();
        for span in location.spans() {
            let before = self.0.range(..span.end).rev().map(|(_, place)| *place);
            pins.extend(before.take_while(|(end, _)| *end > span.start).map(|(_, pin)| pin));
        }
        pins
    }
}

impl<'t> Texts<'t> {
    pub(super) fn new(path: &'t RepoPath, text: &'t str) -> Self {
        let lines =
            std::iter::once(0).chain(text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n').map(|(at, _)| at + 1));
        Self {
            path,
            text,
            lines: lines.collect(),
            pins: Vec::new(),
            skipped: Vec::new(),
            places: Places::default(),
            secrets: Secrets::None,
            kept: 0,
            overflow: false,
        }
    }

    /// Whether another place with so long a text may be kept, which takes its room then.
    fn has_room(&mut self, text: usize) -> bool {
        self.kept += weight(text);
        self.overflow |= self.kept > MAX_PLACES;
        !self.overflow
    }

    /// Reports a byte of the text, or the file.
    pub(super) fn skip(&mut self, at: Option<usize>, reason: SkipReason, image: Option<ImageName>) {
        if self.overflow {
            return;
        }
        let line = at.map(|at| self.line(at));
        let skipped = Skipped { path: self.path.to_string(), line, image, reason };
        if self.has_room(skipped_text(&skipped)) {
            self.skipped.push(skipped);
        }
    }

    /// The line of a byte, from 1.
    pub(super) fn line(&self, at: usize) -> usize {
        self.lines.partition_point(|start| *start <= at)
    }

    /// A value and the bytes that it was read from.
    pub(super) fn value(
        &mut self,
        kind: PinKind,
        key: String,
        at: usize,
        read: ReadValue,
        pattern: Option<TextPattern>,
    ) {
        let span = |range: Range<usize>| Span { start: at + range.start, end: at + range.end };
        let (tag, digest) = (read.tag.clone().map(span), read.digest.clone().map(span));
        let location = PinLocation::Text { name: read.written_name.clone().map(span), tag, digest, pattern };
        self.pin(kind, key, read, location);
    }

    fn pin(&mut self, kind: PinKind, key: String, read: ReadValue, location: PinLocation) {
        let Some(first) = location.spans().into_iter().min() else { return };
        let twice = self.places.at(&location).first().and_then(|number| self.pins.get(*number));
        match twice {
            Some(other) if other.name == read.name && other.location.spans() == location.spans() => return,
            Some(_) => return self.skip(Some(first.start), SkipReason::DeclaredTwice, Some(read.name)),
            None => {}
        }
        if !self.has_room(self.path.as_str().len() + key.len() + 2 * read.image.len()) {
            return;
        }
        let line = self.line(first.start);
        let start = self.lines.get(line - 1).copied().unwrap_or_default();
        let before = self.text.get(start..first.start).unwrap_or_default();
        self.places.add(&location, self.pins.len());
        self.pins.push(Pin {
            path: self.path.clone(),
            line,
            column: before.trim_start_matches('\u{feff}').chars().count() + 1,
            kind,
            document: 0,
            key,
            image: read.image,
            alias: None,
            name: read.name,
            version: read.version,
            location,
        });
    }

    fn pattern(&mut self, one: &DeclaredValue<'_>, pattern: &TextPattern) {
        let origin = || one.key_path.origin.to_string();
        let place = || pattern.as_str().to_owned();
        let found = match pattern.find(self.text, one.budget()) {
            Ok(found) => found,
            Err(limit) => {
                let reason = SkipReason::NotSearched { place: place(), origin: origin(), limit };
                return self.skip(None, reason, None);
            }
        };
        match (found.as_slice(), pattern.matches()) {
            ([], _) => return self.skip(None, SkipReason::NothingMatches { place: place(), origin: origin() }, None),
            ([_, second, ..], Matches::One) => {
                let reason = SkipReason::SeveralMatch { place: place(), origin: origin(), count: found.len() };
                return self.skip(Some(second.tag.start), reason, None);
            }
            _ => {}
        }
        let declared = one.image(self.path);
        for (number, found) in found.into_iter().enumerate() {
            let key = match pattern.matches() {
                Matches::One => format!("/{pattern}/", pattern = pattern.as_str()),
                Matches::Every => format!("/{pattern}/[{number}]", pattern = pattern.as_str()),
            };
            let at = found.tag.start;
            if let Err(reason) = self.matched(key, found, declared.as_deref(), pattern) {
                let reason = self.secrets.at(at).hides(reason);
                self.skip(Some(at), reason, declared.as_deref().and_then(|image| ImageName::parse(image).ok()));
            }
        }
    }

    fn matched(
        &mut self,
        key: String,
        found: TextMatch,
        declared: Option<&str>,
        pattern: &TextPattern,
    ) -> Result<(), SkipReason> {
        let group = |range: &Range<usize>| self.text.get(range.clone()).unwrap_or_default();
        let written = found.image.as_ref().map(group);
        if let (Some(declared), Some(written)) = (declared, written)
            && ImageName::parse(declared).ok() != ImageName::parse(written).ok()
        {
            return Err(SkipReason::OtherImage { declared: declared.to_owned(), written: written.to_owned() });
        }
        let mut read = self.secrets.at(found.tag.start).read(group(&found.tag), written.or(declared))?;
        if group(&found.tag).contains(['\n', '\r']) {
            return Err(SkipReason::SeveralLines);
        }
        let start = found.tag.start;
        if let Some(apart) = found.digest.clone().filter(|digest| !digest.is_empty()) {
            if read.version.digest.is_some() {
                return Err(SkipReason::DigestTwice);
            }
            let digest = Digest::parse(group(&apart)).map_err(|error| super::collector::not_an_image(&error))?;
            read.version.digest = Some(digest);
        }
        let span = |range: Range<usize>| Span { start: range.start, end: range.end };
        let within = |range: Range<usize>| Span { start: start + range.start, end: start + range.end };
        let apart = found.digest.filter(|digest| !digest.is_empty()).map(span);
        let location = PinLocation::Text {
            name: read.written_name.clone().map(within).or(found.image.map(span)),
            tag: read.tag.clone().map(within),
            digest: apart.or(read.digest.clone().map(within)),
            pattern: Some(pattern.clone()),
        };
        self.pin(KEY_PATH, key, read, location);
        Ok(())
    }

    /// What each path of the declarations leads to, in one pass; nothing if the file cannot be read.
    fn outline(&mut self, syntax: Syntax, declared: &[DeclaredValue<'_>]) -> Vec<Vec<Found>> {
        let keys = declared.iter().filter_map(|one| match &one.key_path.place {
            KeyPlace::Path(keys) => Some(keys),
            KeyPlace::Text(_) => None,
        });
        let mut wanted: Vec<(&ValuePath, Vec<Found>)> = keys.map(|keys| (keys, Vec::new())).collect();
        // In YAML, the kind reads the tree.
        if wanted.is_empty() || matches!(syntax, Syntax::Yaml | Syntax::Text) {
            return Vec::new();
        }
        let mut left = MAX_PLACES;
        let visited = outline::visit(syntax, self.text, &mut |leaf| {
            for (keys, found) in &mut wanted {
                if left > 0 && leads_to(keys.steps(), leaf.path) {
                    let key = outline::shown(leaf.path);
                    left = usize::saturating_sub(left, weight(key.len() + leaf.span.len()));
                    found.push((key, leaf.span.clone(), leaf.content.clone()));
                }
            }
        });
        if let Err((line, reason)) = visited {
            if !self.skipped.iter().any(|skipped| skipped.reason == reason) {
                self.skipped.push(Skipped { line, ..Skipped::file(self.path.as_str(), reason) });
            }
            return Vec::new();
        }
        self.overflow |= left == 0;
        wanted.into_iter().map(|(_, found)| found).collect()
    }

    fn path(&mut self, one: &DeclaredValue<'_>, found: Option<Vec<Found>>, keys: &ValuePath) {
        let Some(found) = found else { return };
        let (origin, place) = (one.key_path.origin.to_string(), keys.as_str().to_owned());
        match found.as_slice() {
            [] => return self.skip(None, SkipReason::NothingMatches { place, origin }, None),
            [_, (_, second, _), ..] if !keys.is_for_several() => {
                let reason = SkipReason::SeveralMatch { place, origin, count: found.len() };
                return self.skip(Some(second.start), reason, None);
            }
            _ => {}
        }
        let declared = one.image(self.path);
        let image = declared.as_deref().and_then(|image| ImageName::parse(image).ok());
        for (key, span, content) in found {
            let read = match content {
                Content::Text(value, Ok(inner)) => {
                    self.secrets.at(span.start).read(&value, declared.as_deref()).map(|read| (inner, read))
                }
                Content::Text(_, Err(reason)) | Content::Other(reason) => Err(reason),
            };
            match read {
                Ok((inner, read)) => self.value(KEY_PATH, key, inner.start, read, None),
                Err(reason) => self.skip(Some(span.start), reason, image.clone()),
            }
        }
    }

    /// Enters what was found. What others say of the same bytes gives way if it is of the same image, and counts otherwise: the file
    /// itself names that one.
    pub(super) fn into_scan(mut self, scan: &mut FileScan) {
        if self.overflow {
            *scan = FileScan {
                skipped: vec![Skipped::file(self.path.as_str(), SkipReason::TooManyPins)],
                ..FileScan::default()
            };
            return;
        }
        let refused = self.refused(scan);
        let gives_way = |pin: &Pin| self.places.at(&pin.location).iter().any(|own| !refused.contains_key(own));
        scan.pins.retain(|pin| !gives_way(pin));
        scan.values.retain(|pin| !gives_way(pin));
        scan.charts.retain(|chart| !gives_way(&chart.pin));
        for (number, pin) in std::mem::take(&mut self.pins).into_iter().enumerate() {
            match refused.get(&number) {
                Some(reason) => self.skipped.push(Skipped {
                    path: self.path.to_string(),
                    line: Some(pin.line),
                    image: None,
                    reason: reason.clone(),
                }),
                None => self.pins.push(pin),
            }
        }
        let told: BTreeSet<(usize, &ImageName)> = self.pins.iter().map(|pin| (pin.line, &pin.name)).collect();
        let untold =
            |it: &Skipped| !it.line.zip(it.image.as_ref()).is_some_and(|(line, image)| told.contains(&(line, image)));
        scan.skipped.retain(untold);
        scan.values_skipped.retain(untold);
        scan.pins.extend(self.pins);
        scan.pins.sort_by(|a, b| (a.line, a.column, &a.key).cmp(&(b.line, b.column, &b.key)));
        scan.skipped.extend(self.skipped);
        scan.skipped.sort();
        scan.skipped.dedup();
    }

    /// The pins whose bytes are those of another image, and why they do not count.
    fn refused(&self, scan: &FileScan) -> BTreeMap<usize, SkipReason> {
        let mut refused = BTreeMap::new();
        for other in scan.pins.iter().chain(&scan.values) {
            for number in self.places.at(&other.location) {
                let Some(own) = self.pins.get(number).filter(|own| own.name != other.name) else { continue };
                let (declared, written) = (own.image.clone(), other.image.clone());
                let reason = match other.kind == KEY_PATH {
                    true => SkipReason::DeclaredTwice,
                    false => SkipReason::OtherImage { declared, written },
                };
                refused.insert(number, reason);
            }
        }
        refused
    }
}

/// Whether a path means a value; the number of a block may be left out of it.
fn leads_to(wanted: &[PathStep], path: &[OutlineKey]) -> bool {
    // Most values differ in their last key.
    let may_be = match (path.last(), wanted.last()) {
        (Some(OutlineKey::Name(key)), Some(want)) => want.takes_key(key) && wanted.len() <= path.len(),
        _ => wanted.len() <= path.len(),
    };
    if !may_be {
        return false;
    }
    // Which beginnings of the wanted path the value's path so far may be.
    let mut at = vec![false; wanted.len() + 1];
    if let Some(first) = at.first_mut() {
        *first = true;
    }
    for step in path {
        let mut next = vec![false; wanted.len() + 1];
        for (number, want) in wanted.iter().enumerate() {
            let takes = match step {
                OutlineKey::Name(key) => want.takes_key(key),
                OutlineKey::Item(item) | OutlineKey::Nth(item) => want.takes_item(*item),
            };
            next[number + 1] = at[number] && takes;
        }
        if let OutlineKey::Nth(_) = step {
            next.iter_mut().zip(&at).for_each(|(next, at)| *next |= at);
        }
        at = next;
    }
    at.last().copied().unwrap_or_default()
}
