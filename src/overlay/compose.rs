//! Variables in Compose files, and the `.env` beside them that gives their values.
//!
//! Rules: Compose specification, "Interpolation"; Compose, "Set environment variables with .env": the file beside the Compose file
//! counts, and a variable that it has not takes its default. What the shell sets instead is not known here, and what only it
//! can set is said.
//!
//! Promise: a pin is where the version really comes from: in the Compose file itself, in a default, or in a line of `.env`. A line
//! that is the version of several images is none's.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use super::collector::not_an_image;
use super::dotenv::{EnvLine, Variables, is_env_file};
use super::kinds::COMPOSE;
use super::{FileScan, scan_with};
use crate::model::{
    ImageName, ImageReference, KeyPaths, Pin, PinLocation, RepoPath, SkipReason, Skipped, Span, Version,
};

/// The files that Compose reads by itself, beside which a `.env` is read.
const FILES: [&str; 8] = [
    "compose.yaml",
    "compose.yml",
    "docker-compose.yml",
    "docker-compose.yaml",
    "compose.override.yaml",
    "compose.override.yml",
    "docker-compose.override.yml",
    "docker-compose.override.yaml",
];

/// Whether a file is one of Compose: `docker-compose.yml`, `compose.prod.yaml`, …
pub(super) fn is_compose_file(name: &str) -> bool {
    let Some((stem, extension)) = name.rsplit_once('.') else { return false };
    let stem = stem.strip_prefix("docker-").unwrap_or(stem);
    let yaml = ["yaml", "yml"].iter().any(|known| extension.eq_ignore_ascii_case(known));
    yaml && stem.strip_prefix("compose").is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '-', '_']))
}

/// Maximum length of an image's text with variables, of the variables in it, and of what it comes to: longer ones are no images.
pub(super) const MAX_IMAGE_TEXT: usize = 1_000;
const MAX_VARIABLES: usize = 16;
const MAX_WHOLE: usize = 1_000;

/// Why a text, or what it comes to, is no image.
pub(super) fn too_long() -> SkipReason {
    SkipReason::NotAnImage { reason: format!("it is longer than {MAX_IMAGE_TEXT} characters") }
}

/// An image with variables in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Interpolated {
    /// The text, and its place: the first byte, its line and column, the document.
    pub(super) text: String,
    pub(super) start: usize,
    pub(super) line: usize,
    pub(super) column: usize,
    pub(super) document: usize,
    /// The key path.
    pub(super) key: String,
    /// Why the text itself must not be changed.
    pub(super) fixed: Result<(), SkipReason>,
}

/// A part of such a text.
#[derive(Debug, Clone, PartialEq, Eq)]
enum ImagePart {
    Fixed(Range<usize>),
    Variable { name: Range<usize>, default: Option<Range<usize>>, for_empty: bool },
}

/// Where a version comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
enum VersionSource<'e> {
    /// These bytes of the text.
    Here(Range<usize>),
    /// These bytes of the value of a variable of `.env`.
    Variable(&'e EnvLine, Range<usize>),
}

/// What a text comes to.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Resolved<'e> {
    image: String,
    name: ImageName,
    version: Version,
    source: VersionSource<'e>,
}

/// The parts of a text; `None` if it has something else than plain variables and defaults.
fn parts(text: &str) -> Option<Vec<ImagePart>> {
    let (mut parts, mut at) = (Vec::new(), 0);
    let name_length = |from: usize| {
        let rest = text.get(from..).unwrap_or_default();
        let first = rest.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
        first.then(|| rest.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).unwrap_or(rest.len()))
    };
    while let Some(dollar) = text.get(at..)?.find('$').map(|length| at + length) {
        parts.push(ImagePart::Fixed(at..dollar));
        if parts.len() > 2 * MAX_VARIABLES {
            return None;
        }
        let braces = text.get(dollar + 1..)?.starts_with('{');
        let start = dollar + 1 + usize::from(braces);
        let end = start + name_length(start)?;
        if !braces {
            parts.push(ImagePart::Variable { name: start..end, default: None, for_empty: false });
            at = end;
            continue;
        }
        let close = text.get(end..)?.find('}').map(|length| end + length)?;
        let rest = text.get(end..close)?;
        if rest.contains(['$', '{']) {
            return None;
        }
        let for_empty = rest.starts_with(':');
        let operator = end + usize::from(for_empty);
        let default = match text.get(operator..close)?.chars().next() {
            None if !for_empty => None,
            Some('-') => Some(operator + 1..close),
            Some('?') => None,
            _ => return None,
        };
        parts.push(ImagePart::Variable { name: start..end, default, for_empty });
        at = close + 1;
    }
    parts.push(ImagePart::Fixed(at..text.len()));
    Some(parts)
}

/// The names of the variables in a text.
fn variables(text: &str) -> impl Iterator<Item = &str> {
    let parts = parts(text).unwrap_or_default().into_iter();
    parts.filter_map(|part| match part {
        ImagePart::Variable { name, .. } => text.get(name),
        ImagePart::Fixed(_) => None,
    })
}

/// What a text comes to with these variables; `None`: they are not known.
fn resolve<'e>(text: &str, environment: Option<&'e Variables>) -> Result<Resolved<'e>, SkipReason> {
    let mut whole = String::new();
    let mut by_line = None;
    let mut sources: Vec<(Range<usize>, VersionSource<'e>)> = Vec::new();
    for part in parts(text).ok_or(SkipReason::Template)? {
        let (value, source) = match part {
            ImagePart::Fixed(range) => (text.get(range.clone()).unwrap_or_default(), VersionSource::Here(range)),
            ImagePart::Variable { name, default, for_empty } => {
                let name = text.get(name).unwrap_or_default();
                let unknown = || SkipReason::Variable { name: name.to_owned() };
                match (environment.ok_or_else(unknown)?.get(name), default) {
                    (Some(line), default) if default.is_none() || !for_empty || !line.value.is_empty() => {
                        line.fixed.clone()?;
                        by_line = Some(name);
                        (line.value.as_str(), VersionSource::Variable(line, 0..line.value.len()))
                    }
                    (_, Some(default)) => (text.get(default.clone()).unwrap_or_default(), VersionSource::Here(default)),
                    (_, None) => return Err(unknown()),
                }
            }
        };
        let start = whole.len();
        if start + value.len() > MAX_WHOLE {
            return Err(by_line.map_or_else(too_long, |name| SkipReason::VariableIsNoImage { name: name.to_owned() }));
        }
        whole.push_str(value);
        sources.push((start..whole.len(), source));
    }
    // A value of a `.env` may be a secret: where it makes no image, it is not shown.
    let said = |reason| by_line.map_or(reason, |name| SkipReason::VariableIsNoImage { name: name.to_owned() });
    let reference = ImageReference::parse(&whole).map_err(|error| said(not_an_image(&error)))?;
    if reference.version.tag.is_none() && reference.version.digest.is_none() {
        return Err(said(SkipReason::NoVersion { image: reference.written }));
    }
    let version = reference.written.len() + 1..whole.len();
    let holds = |range: &Range<usize>| range.start <= version.start && version.end <= range.end && !range.is_empty();
    let Some((range, source)) = sources.into_iter().find(|(range, _)| holds(range)) else {
        return Err(SkipReason::PutTogether);
    };
    let inside = |from: &Range<usize>| from.start + version.start - range.start..from.start + version.end - range.start;
    let source = match source {
        VersionSource::Here(from) => VersionSource::Here(inside(&from)),
        VersionSource::Variable(line, from) => VersionSource::Variable(line, inside(&from)),
    };
    Ok(Resolved { image: reference.written, name: reference.name, version: reference.version, source })
}

fn location(version: &Version, start: usize, range: &Range<usize>) -> PinLocation {
    let span = Some(Span { start: start + range.start, end: start + range.end });
    let (tag, digest) = if version.tag.is_some() { (span, None) } else { (None, span) };
    PinLocation::Text { name: None, tag, digest, pattern: None }
}

/// The pin of a default in the Compose file.
fn pin_here(path: &RepoPath, at: &Interpolated, found: Resolved<'_>, range: &Range<usize>) -> Pin {
    Pin {
        path: path.clone(),
        line: at.line,
        column: at.column + at.text.get(..range.start).map_or(0, |before| before.chars().count()),
        kind: COMPOSE,
        document: at.document,
        key: at.key.clone(),
        image: found.image,
        alias: None,
        name: found.name,
        location: location(&found.version, at.start, range),
        version: found.version,
    }
}

/// The pin of a line of `.env`.
fn pin_in_line(path: &RepoPath, line: &EnvLine, found: Resolved<'_>, range: &Range<usize>) -> Pin {
    Pin {
        path: path.clone(),
        line: line.line,
        column: line.column + line.value.get(..range.start).map_or(0, |before| before.chars().count()),
        kind: COMPOSE,
        document: 0,
        key: line.name.clone(),
        image: found.image,
        alias: None,
        name: found.name,
        location: location(&found.version, line.start, range),
        version: found.version,
    }
}

/// What is beside a Compose file.
#[derive(Debug, Clone, Copy)]
pub(super) enum EnvFile<'e> {
    /// No `.env`.
    None,
    /// One with these variables.
    Read(&'e RepoPath, &'e Variables),
    /// One that is not read.
    Unread,
}

/// The pin that a line of `.env` would be for an image, and where the image is.
type VariableUse = (Pin, RepoPath, usize);

/// The images of Compose files that have variables in them.
#[derive(Debug, Default)]
pub(super) struct Composed {
    pub(super) pins: Vec<Pin>,
    pub(super) skipped: Vec<Skipped>,
    /// Lines of `.env` files: path and line; each image with the place that uses it.
    lines: BTreeMap<(RepoPath, usize), Vec<VariableUse>>,
    /// The images that have such a line anywhere in them, also where it is not the version; `None`: no image that is known.
    mentions: BTreeMap<(RepoPath, usize), BTreeSet<Option<ImageName>>>,
}

impl Composed {
    /// Adds a Compose file.
    pub(super) fn add(&mut self, path: &RepoPath, images: &[Interpolated], environment: EnvFile<'_>) {
        let none = Variables::default();
        let variables = match environment {
            EnvFile::None => Some(&none),
            EnvFile::Read(_, variables) => Some(variables),
            EnvFile::Unread => None,
        };
        for at in images {
            let skip = |reason| Skipped { line: Some(at.line), ..Skipped::file(path.as_str(), reason) };
            let resolved = resolve(&at.text, variables);
            self.mention(&at.text, resolved.as_ref().ok().map(|found| &found.name), environment);
            match (resolved, environment) {
                (Err(reason), _) => self.skipped.push(skip(reason)),
                (Ok(found), EnvFile::Read(file, _))
                    if let VersionSource::Variable(line, range) = found.source.clone() =>
                {
                    if FILES.contains(&path.file_name()) {
                        let pin = pin_in_line(file, line, found, &range);
                        let users = self.lines.entry((file.clone(), line.line)).or_default();
                        users.push((pin, path.clone(), at.line));
                    } else {
                        let (name, file) = (line.name.clone(), file.to_string());
                        self.skipped.push(skip(SkipReason::VariableElsewhere { name, file }));
                    }
                }
                (Ok(_), _) if let Err(reason) = &at.fixed => self.skipped.push(skip(reason.clone())),
                (Ok(found), _) => {
                    if let VersionSource::Here(range) = found.source.clone() {
                        self.pins.push(pin_here(path, at, found, &range));
                    }
                }
            }
        }
    }

    fn mention(&mut self, text: &str, image: Option<&ImageName>, environment: EnvFile<'_>) {
        let EnvFile::Read(file, known) = environment else { return };
        for name in variables(text) {
            if let Some(line) = known.get(name) {
                self.mentions.entry((file.clone(), line.line)).or_default().insert(image.cloned());
            }
        }
    }

    /// Everything found; a line that several images use is no pin.
    pub(super) fn finish(mut self) -> (Vec<Pin>, Vec<Skipped>) {
        for (place, users) in std::mem::take(&mut self.lines) {
            let Some((first, ..)) = users.first() else { continue };
            let alone = |images: &BTreeSet<Option<ImageName>>| images.iter().all(|it| it.as_ref() == Some(&first.name));
            if self.mentions.get(&place).is_none_or(alone) {
                self.pins.push(first.clone());
                continue;
            }
            for (pin, path, line) in users {
                let reason = SkipReason::SharedVariable { name: pin.key, file: pin.path.to_string() };
                let image = Some(pin.name);
                self.skipped.push(Skipped { line: Some(line), image, ..Skipped::file(path.as_str(), reason) });
            }
        }
        (self.pins, self.skipped)
    }
}

/// The `.env` beside a file.
pub(super) fn env_beside(path: &RepoPath) -> Option<RepoPath> {
    path.beside(".env")
}

/// The files that may say what the versions in a file are of.
#[must_use]
pub fn beside(path: &RepoPath) -> Vec<RepoPath> {
    if !is_env_file(path.file_name()) {
        return Vec::new();
    }
    FILES.iter().filter_map(|name| path.beside(name)).collect()
}

/// The files in a file's folder on which it depends what its versions are, or whether they may be changed: the `.env` of a Compose
/// file and the other way around, the lock of a chart's dependencies.
#[must_use]
pub fn all_beside(path: &RepoPath) -> Vec<RepoPath> {
    let environment = is_compose_file(path.file_name()).then(|| env_beside(path)).flatten();
    let lock = super::lock_of(path).and_then(|lock| path.beside(lock));
    beside(path).into_iter().chain(environment).chain(lock).collect()
}

/// Every pin of a file by itself, those of Helm values included, and with the files [`beside`] it.
#[must_use]
pub fn every_pin(declared: &KeyPaths, path: &RepoPath, bytes: &[u8], others: &[(RepoPath, Vec<u8>)]) -> Vec<Pin> {
    let scan = scan_with(declared, path, bytes);
    let mut composed = Composed::default();
    for (other, bytes) in others {
        let images = scan_with(declared, other, bytes).interpolated;
        composed.add(other, &images, scan.environment_of(path));
    }
    let (found, _) = composed.finish();
    scan.with(path, found)
}

impl FileScan {
    /// What a Compose file beside it reads of this file, which is a `.env`.
    pub(super) fn environment_of<'e>(&'e self, path: &'e RepoPath) -> EnvFile<'e> {
        self.environment.as_ref().map_or(EnvFile::Unread, |variables| EnvFile::Read(path, variables))
    }

    /// Every pin of the file by itself, those of Helm values included.
    #[must_use]
    pub fn every_pin(self, path: &RepoPath) -> Vec<Pin> {
        self.with(path, Vec::new())
    }

    /// The same with what other files make of it, unless policies say more of the same bytes.
    fn with(self, path: &RepoPath, found: Vec<Pin>) -> Vec<Pin> {
        let mut composed = Composed::default();
        composed.add(path, &self.interpolated, EnvFile::None);
        let (own, _) = composed.finish();
        let mut pins: Vec<Pin> = self.pins.into_iter().chain(self.values).collect();
        for pin in own.into_iter().chain(found).filter(|pin| pin.path == *path) {
            if !pins.iter().any(|own| own.location.overlaps(&pin.location)) {
                pins.push(pin);
            }
        }
        pins
    }
}

/// What a variable of a `.env` file says of an image: the value of the pin at its line, if it is one.
#[must_use]
pub fn variable_at(path: &RepoPath, bytes: &[u8], name: &str, image: &ImageName) -> Option<Version> {
    if !is_env_file(path.file_name()) {
        return None;
    }
    let variables = super::dotenv::read(std::str::from_utf8(bytes).ok()?).ok()?;
    let line = variables.get(name)?;
    super::value::read_value(&line.value, Some(&image.to_string())).ok().map(|read| read.version)
}
