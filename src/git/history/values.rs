//! What a file declared at a revision, read from that revision's tree and cached by content.

use std::collections::HashMap;
use std::sync::Arc;

use crate::git::error::GitError;
use crate::git::mirror::Mirror;
use crate::git::tree::{Blob, BlobId, TreeEntry};
use crate::model::{CommitId, ImageName, KeyPaths, Pin, PinKind, RepoPath, Version};
use crate::overlay::{scan_with, variable_at};

/// How many files with their pins are kept, at least half of them the most recently used.
const MAX_CACHED: usize = 100_000;

/// Identifies a pin of a file at any revision.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PinKey {
    /// The file.
    pub path: RepoPath,
    /// The kind of place.
    pub kind: PinKind,
    /// The key path in the file. It shifts when lists grow, so the image is matched first.
    pub key: String,
    /// The image.
    pub name: ImageName,
}

impl From<&Pin> for PinKey {
    fn from(pin: &Pin) -> Self {
        Self { path: pin.path.clone(), kind: pin.kind, key: pin.key.clone(), name: pin.name.clone() }
    }
}

/// What a tree declares at a pin's place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ValueAt {
    /// This image, in this version. The image differs if the place now belongs to another one.
    Declared(ImageName, Version),
    /// The file exists but declares no such image there.
    NoPin,
    /// The file declares the image several times with different versions, and not at that place.
    Ambiguous,
    /// There is no such file.
    NoFile,
    /// The file cannot be read: why.
    Unreadable(String),
    /// The mirror does not have the revision.
    UnknownRevision,
}

/// The pins of one file content, or why they cannot be read.
pub(super) type Pins = Result<Vec<(PinKind, String, ImageName, Version)>, String>;

/// A cache of two generations: entries move to the young one when used; when that is full, the old one is dropped.
#[derive(Debug, Default)]
pub(super) struct Values {
    young: HashMap<(BlobId, RepoPath), Arc<Pins>>,
    old: HashMap<(BlobId, RepoPath), Arc<Pins>>,
    weight: usize,
    /// What policies declared when they were read.
    declared: KeyPaths,
}

impl Values {
    pub(super) fn at(&mut self, mirror: &Mirror, revision: &CommitId, pin: &PinKey) -> Result<ValueAt, GitError> {
        let entry = match mirror.entry(revision, &pin.path) {
            Err(GitError::UnknownCommit { .. }) => return Ok(ValueAt::UnknownRevision),
            entry => entry?,
        };
        self.of_entry(mirror, entry, pin)
    }

    /// What the entry at the pin's path declares.
    pub(super) fn of_entry(
        &mut self,
        mirror: &Mirror,
        entry: Option<TreeEntry>,
        pin: &PinKey,
    ) -> Result<ValueAt, GitError> {
        let Some(TreeEntry::File { id, .. }) = entry else { return Ok(ValueAt::NoFile) };
        // What a variable of a `.env` is the version of, is said by a file beside it.
        if let Some(Blob::Body(bytes)) =
            is_variable(pin).then(|| mirror.read_blobs(&[id])).transpose()?.and_then(|mut it| it.pop())
            && let Some(version) = variable_at(&pin.path, &bytes, &pin.key, &pin.name)
        {
            return Ok(ValueAt::Declared(pin.name.clone(), version));
        }
        let pins = self.pins(mirror, id, &pin.path)?;
        Ok(match &*pins {
            Ok(pins) => select(pins, pin),
            Err(reason) => ValueAt::Unreadable(reason.clone()),
        })
    }

    /// What a file declares of images of this short name and tag, by the kind of place.
    pub(super) fn alike(
        &mut self,
        mirror: &Mirror,
        (path, id): (&RepoPath, BlobId),
        (pin, version): (&PinKey, &Version),
    ) -> Result<Option<(PinKey, Version)>, GitError> {
        let pins = self.pins(mirror, id, path)?;
        let Ok(pins) = &*pins else { return Ok(None) };
        let alike = |(kind, _, name, declared): &&(PinKind, String, ImageName, Version)| {
            *kind == pin.kind && name.short() == pin.name.short() && declared.tag == version.tag
        };
        // Prefer the same image in the same place of the file.
        let rank = |(_, key, name, _): &&(PinKind, String, ImageName, Version)| (*name == pin.name, *key == pin.key);
        let best = pins.iter().filter(alike).max_by_key(rank);
        Ok(best.map(|(kind, key, name, version)| {
            (PinKey { path: path.clone(), kind: *kind, key: key.clone(), name: name.clone() }, version.clone())
        }))
    }

    /// All that a file declares.
    pub(super) fn pins(&mut self, mirror: &Mirror, id: BlobId, path: &RepoPath) -> Result<Arc<Pins>, GitError> {
        // What a file's bytes mean depends on its name, and on what policies declare.
        let declared = mirror.declared();
        if declared != self.declared {
            *self = Self { declared: declared.clone(), ..Self::default() };
        }
        let key = (id, path.clone());
        if let Some(pins) = self.young.get(&key) {
            return Ok(Arc::clone(pins));
        }
        let pins = match self.old.remove(&key) {
            Some(pins) => pins,
            None => Arc::new(match mirror.read_blobs(&[id])?.pop() {
                Some(Blob::Body(bytes)) => scanned(&declared, path, &bytes),
                Some(Blob::TooLarge(size)) => Err(format!("{size} bytes is too large to be read")),
                None => Err("it has no content".to_owned()),
            }),
        };
        self.weight += 1 + pins.as_ref().as_ref().map_or(0, Vec::len);
        if self.weight > MAX_CACHED / 2 {
            self.old = std::mem::take(&mut self.young);
            self.weight = 0;
        }
        self.young.insert(key, Arc::clone(&pins));
        Ok(pins)
    }
}

/// Whether a pin is a variable of a `.env`.
fn is_variable(pin: &PinKey) -> bool {
    pin.path.file_name() == ".env"
}

fn scanned(declared: &KeyPaths, path: &RepoPath, bytes: &[u8]) -> Pins {
    let scan = scan_with(declared, path, bytes);
    let skipped = scan.skipped.iter().chain(&scan.values_skipped).next().map(|skipped| skipped.reason.to_string());
    let pins: Vec<_> = scan.every_pin(path).into_iter().map(|pin| (pin.kind, pin.key, pin.name, pin.version)).collect();
    match skipped {
        Some(reason) if pins.is_empty() => Err(reason),
        _ => Ok(pins),
    }
}

/// The image at its place; else the image wherever it is, if that is unambiguous; else what is now in its place.
fn select(pins: &[(PinKind, String, ImageName, Version)], wanted: &PinKey) -> ValueAt {
    let declared = |(_, _, name, version): &(PinKind, String, ImageName, Version)| {
        ValueAt::Declared(name.clone(), version.clone())
    };
    let of_kind = || pins.iter().filter(|(kind, ..)| *kind == wanted.kind);
    let same_image = || of_kind().filter(|(_, _, name, _)| *name == wanted.name);
    if let Some(exact) = same_image().find(|(_, key, ..)| *key == wanted.key) {
        return declared(exact);
    }
    if let Some(first) = same_image().next() {
        return if same_image().all(|pin| pin.3 == first.3) { declared(first) } else { ValueAt::Ambiguous };
    }
    of_kind().find(|(_, key, ..)| *key == wanted.key).map_or(ValueAt::NoPin, declared)
}
