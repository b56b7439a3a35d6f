//! Pins: the places in files that fix an image's version.

use std::cmp::Ordering;
use std::hash::{Hash, Hasher};

use serde::{Serialize, Serializer};

use super::{ImageName, RepoPath, Version};

/// What kind of place a pin is (CLI.md, `scan`). The kinds themselves are in `overlay`, one a file; to
/// everything else a kind is its name and its role.
#[derive(Debug, Clone, Copy)]
pub struct PinKind {
    /// The word used in JSON and on the command line.
    pub name: &'static str,
    /// What it is, for the help.
    pub summary: &'static str,
    /// What a version that is written there decides.
    pub role: PinRole,
}

/// What a version decides by where it is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PinRole {
    /// It stands in the object that runs it, where nothing overrides it.
    Object,
    /// It replaces the version of its image in every object that its kustomization is built from.
    Override,
    /// It is an input of something that renders objects, such as a chart.
    Input,
}

impl PinKind {
    /// The word used in JSON and on the command line.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        self.name
    }
}

impl PartialEq for PinKind {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for PinKind {}

impl Hash for PinKind {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.name.hash(state);
    }
}

impl PartialOrd for PinKind {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for PinKind {
    fn cmp(&self, other: &Self) -> Ordering {
        self.name.cmp(other.name)
    }
}

impl Serialize for PinKind {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name)
    }
}

/// A half-open range of bytes in a file, quotes of a scalar included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Span {
    /// First byte.
    pub start: usize,
    /// One past the last byte.
    pub end: usize,
}

/// Which scalars of the file make up the pin.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum PinLocation {
    /// One scalar holds `name[:tag][@digest]`.
    Reference(Span),
    /// Separate scalars; a tag scalar may itself hold `tag@digest`.
    Fields {
        /// The scalar with the name (`newName`, `repository`), where there is one that may be changed.
        name: Option<Span>,
        /// The scalar with the tag.
        tag: Option<Span>,
        /// The scalar with the digest.
        digest: Option<Span>,
        /// Whether keys that are missing may be added beside the tag.
        missing: MissingKeys,
    },
}

/// What may be done where a version or a name needs a key that is not there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum MissingKeys {
    /// Nothing: whoever reads the file may not know the key.
    Refused,
    /// `digest` and `newName` are added, as in any entry of Kustomize's `images`.
    KustomizeEntry,
}

/// The name by which a kustomization's entry selects an image that it gives another one.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct PinAlias {
    /// The name as written.
    pub name: Box<str>,
    /// Its line, from 1.
    pub line: usize,
}

/// One place in a file that fixes an image's version.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Pin {
    /// The file.
    pub path: RepoPath,
    /// Line of the first character of the tag or digest, from 1.
    pub line: usize,
    /// Column of that character, in characters, from 1.
    pub column: usize,
    /// The kind of place.
    pub kind: PinKind,
    /// The document of the file that holds it, from 0.
    pub document: usize,
    /// The key path within its document, e.g. `images[0].newTag`; documents after the first are prefixed `[n].` with
    /// `n` counted from 0.
    pub key: String,
    /// The repository as written, after `newName`.
    pub image: String,
    /// The name by which a kustomization selects it, where that is another one.
    pub alias: Option<PinAlias>,
    /// The same, normalised.
    pub name: ImageName,
    /// What is written now.
    pub version: Version,
    /// Where it is written.
    pub location: PinLocation,
}
