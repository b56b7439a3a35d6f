//! Pins: the places in files that fix an image's version.

use std::cmp::Ordering;
use std::hash::{Hash, Hasher};

use serde::{Serialize, Serializer};

use super::{ImageName, RepoPath, TextPattern, Version};

/// The kind of a pin (CLI.md, `scan`). The kinds themselves are in `overlay`, one per file; for everything else a kind
/// is its name and its role.
#[derive(Debug, Clone, Copy)]
pub struct PinKind {
    /// The name used in JSON and on the command line.
    pub name: &'static str,
    /// A description for the help.
    pub summary: &'static str,
    /// What a version written there decides.
    pub role: PinRole,
}

/// What a version decides, depending on where it is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PinRole {
    /// It is in the object that runs it; nothing overrides it there.
    Object,
    /// It replaces the version of its image in every object built by its kustomization.
    Override,
    /// It is an input to something that renders objects, such as a chart.
    Input,
    /// A controller fetches exactly this tag or digest from a registry; no container runs it.
    Artifact,
    /// It is the version of a chart, which Helm looks up; no container runs it.
    Chart,
    /// Something that is in no cluster reads it: Compose, Terraform.
    Outside,
    /// A policy names it, and what reads it is not known.
    Named,
}

impl PinKind {
    /// The name used in JSON and on the command line.
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

/// A half-open range of bytes in a file, including the quotes of a scalar.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Span {
    /// First byte.
    pub start: usize,
    /// One past the last byte.
    pub end: usize,
}

/// Which scalars of a file make up a pin.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum PinLocation {
    /// One scalar holds `name[:tag][@digest]`.
    Reference(Span),
    /// Separate scalars; a tag scalar may itself hold `tag@digest`.
    Fields {
        /// The scalar with the name (`newName`, `repository`), if there is one that may be changed.
        name: Option<Span>,
        /// The scalar with the tag.
        tag: Option<Span>,
        /// The scalar with the digest.
        digest: Option<Span>,
        /// Whether missing keys may be added next to the tag.
        missing: MissingKeys,
    },
    /// Bytes of a file that is not YAML, or that is read as a text: each exactly what it holds, without quotes.
    Text {
        /// The name, if it may be changed.
        name: Option<Span>,
        /// The tag, which may be followed by `@digest`.
        tag: Option<Span>,
        /// The digest, if it is apart from the tag.
        digest: Option<Span>,
        /// The pattern that found it, which must find it again.
        pattern: Option<TextPattern>,
    },
}

impl PinLocation {
    /// Whether two have bytes in common.
    #[must_use]
    pub fn overlaps(&self, other: &Self) -> bool {
        let others = other.spans();
        self.spans().iter().any(|one| others.iter().any(|other| one.start < other.end && other.start < one.end))
    }

    /// The places of tag and digest.
    #[must_use]
    pub fn spans(&self) -> Vec<Span> {
        match self {
            Self::Reference(span) => vec![*span],
            Self::Fields { tag, digest, .. } | Self::Text { tag, digest, .. } => {
                [*tag, *digest].into_iter().flatten().collect()
            }
        }
    }
}

/// What to do if a version or a name needs a key that is missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum MissingKeys {
    /// Nothing: whatever reads the file may not know the key.
    Refused,
    /// `digest` and `newName` are added, as in any entry of Kustomize's `images`.
    KustomizeEntry,
}

/// The name by which a kustomization entry selects an image, if it replaces that name.
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
    /// The name by which a kustomization selects it, if different.
    pub alias: Option<PinAlias>,
    /// The normalised repository.
    pub name: ImageName,
    /// What is written now.
    pub version: Version,
    /// Where it is written.
    pub location: PinLocation,
}
