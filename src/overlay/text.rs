//! Pins in files that are not YAML, and in any file as a text: what policies declare there.
//!
//! Promise: a declaration is refused as a whole if it matches nothing, or more than it says; each pin's bytes are exactly what it
//! reports.

use std::ops::Range;

use super::collector::MAX_PLACES;
use super::kinds::KEY_PATH;
use super::outline::{self, Content, OutlineKey};
use super::value::{ReadValue, read_value};
use super::{FileScan, Syntax};
use crate::model::{
    DeclaredValue, Digest, ImageName, KeyPlace, Matches, PathStep, Pin, PinKind, PinLocation, RepoPath, SkipReason,
    Skipped, Span, TextMatch, TextPattern, ValuePath,
};

/// Adds what is declared of a text to the scan of its file.
pub(super) fn declared(
    path: &RepoPath,
    text: &str,
    syntax: Syntax,
    declared: &[DeclaredValue<'_>],
    scan: &mut FileScan,
) {
    let mut texts = Texts::new(path, text);
    for one in declared {
        match &one.key_path.place {
            KeyPlace::Text(pattern) => texts.pattern(one, pattern),
            // In YAML, the kind reads the tree.
            KeyPlace::Path(_) if syntax == Syntax::Yaml => {}
            KeyPlace::Path(_) if syntax == Syntax::Text => {
                let origin = one.key_path.origin.to_string();
                texts.skip(None, SkipReason::NeedsPattern { origin }, None);
            }
            KeyPlace::Path(keys) => texts.path(one, syntax, keys),
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
    overflow: bool,
}

impl<'t> Texts<'t> {
    pub(super) fn new(path: &'t RepoPath, text: &'t str) -> Self {
        let lines =
            std::iter::once(0).chain(text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n').map(|(at, _)| at + 1));
        Self { path, text, lines: lines.collect(), pins: Vec::new(), skipped: Vec::new(), overflow: false }
    }

    fn has_room(&mut self) -> bool {
        self.overflow |= self.pins.len() + self.skipped.len() >= MAX_PLACES;
        !self.overflow
    }

    /// Reports a byte of the text, or the file.
    pub(super) fn skip(&mut self, at: Option<usize>, reason: SkipReason, image: Option<ImageName>) {
        if self.has_room() {
            let line = at.map(|at| self.line(at));
            self.skipped.push(Skipped { path: self.path.to_string(), line, image, reason });
        }
    }

    /// The line of a byte, from 1.
    fn line(&self, at: usize) -> usize {
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
        let twice =
            self.pins.iter().find(|pin| pin.location.spans().iter().any(|span| location.spans().contains(span)));
        match twice {
            Some(other) if other.name == read.name => return,
            Some(_) => return self.skip(Some(first.start), SkipReason::DeclaredTwice, Some(read.name)),
            None => {}
        }
        if !self.has_room() {
            return;
        }
        let line = self.line(first.start);
        let start = self.lines.get(line - 1).copied().unwrap_or_default();
        let before = self.text.get(start..first.start).unwrap_or_default();
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
        let found: Vec<TextMatch> = pattern.find(self.text).take(MAX_PLACES).collect();
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
        let mut read = read_value(group(&found.tag), written.or(declared))?;
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

    fn path(&mut self, one: &DeclaredValue<'_>, syntax: Syntax, keys: &ValuePath) {
        let mut found: Vec<(String, Range<usize>, Content)> = Vec::new();
        let visited = outline::visit(syntax, self.text, &mut |leaf| {
            if found.len() < MAX_PLACES && leads_to(keys.steps(), leaf.path) {
                found.push((outline::shown(leaf.path), leaf.span, leaf.content));
            }
        });
        if let Err((line, reason)) = visited {
            if !self.skipped.iter().any(|skipped| skipped.reason == reason) {
                self.skipped.push(Skipped { line, ..Skipped::file(self.path.as_str(), reason) });
            }
            return;
        }
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
                Content::Text(value, Ok(inner)) => read_value(&value, declared.as_deref()).map(|read| (inner, read)),
                Content::Text(_, Err(reason)) | Content::Other(reason) => Err(reason),
            };
            match read {
                Ok((inner, read)) => self.value(KEY_PATH, key, inner.start, read, None),
                Err(reason) => self.skip(Some(span.start), reason, image.clone()),
            }
        }
    }

    /// Enters what was found; what others say of the same bytes gives way.
    pub(super) fn into_scan(self, scan: &mut FileScan) {
        if self.overflow {
            *scan = FileScan {
                skipped: vec![Skipped::file(self.path.as_str(), SkipReason::TooManyPins)],
                ..FileScan::default()
            };
            return;
        }
        let overlap = |pin: &Pin| self.pins.iter().any(|own| own.location.overlaps(&pin.location));
        if !self.pins.is_empty() {
            scan.pins.retain(|pin| !overlap(pin));
            scan.values.retain(|pin| !overlap(pin));
            scan.charts.retain(|chart| !overlap(&chart.pin));
            let told = |skipped: &Skipped| {
                self.pins.iter().any(|pin| Some(pin.line) == skipped.line && Some(&pin.name) == skipped.image.as_ref())
            };
            scan.skipped.retain(|skipped| !told(skipped));
            scan.values_skipped.retain(|skipped| !told(skipped));
        }
        scan.pins.extend(self.pins);
        scan.pins.sort_by(|a, b| (a.line, a.column, &a.key).cmp(&(b.line, b.column, &b.key)));
        scan.skipped.extend(self.skipped);
        scan.skipped.sort();
        scan.skipped.dedup();
    }
}

/// Whether a path means a value; the number of a block may be left out of it.
fn leads_to(wanted: &[PathStep], path: &[OutlineKey]) -> bool {
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
