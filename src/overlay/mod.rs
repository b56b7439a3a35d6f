//! Finding pins in YAML text, and changing their bytes in place.
//!
//! Promises:
//! - [`scan_file`] never fails and never panics, whatever the bytes; what it cannot read or may not touch is reported
//!   with a reason and, where there is one, a line. Nothing that looks like a pin is passed over in silence.
//! - [`edit()`] changes the bytes of tags and digests (and of names, where asked) and nothing else, or changes nothing and
//!   says why. Each result was parsed again and compared event by event with the original (G3).
//!
//! Invariants: pure (no I/O, no clock, no environment); linear in the size of its input; bounded in size, depth and
//! number of values; aliases are never expanded.
//!
//! Design: `tree` turns granit-parser's events into a flat tree with byte ranges; `kinds` say which scalars
//! make up a pin; `collector` turns those into a pin or a reason; `edit`
//! splices bytes; `prove` compares the events of both texts. [`PinIndex`] keeps the scans of a whole tree of files, so that
//! a change costs its own files, and decides which files are Helm values; [`Reach`] says which kustomizations and charts
//! are built from a file. [`Ignore`] is `.landfallignore`.

mod collector;
mod edit;
mod ignore;
mod index;
mod kinds;
mod links;
mod literal;
mod named;
mod prove;
mod quote;
mod reach;
mod scan;
mod tree;

#[cfg(test)]
mod tests;

pub use edit::{EditError, OldDigest, PinEdit, edit, edit_with};
pub use ignore::Ignore;
pub use index::{FileChange, PinIndex, TreeScan};
pub use kinds::{PIN_KINDS, pin_kind};
pub use links::{Declares, Link, LinkField, Links};
pub(crate) use reach::ancestors;
pub use reach::{BuildRoot, MAX_ROOTS, Reach, Reached, normal_folder};
pub use scan::{scan_file, too_big};

use crate::model::{Pin, RepoPath, Skipped};

/// Largest file that is read, in bytes.
pub const MAX_BYTES: usize = 16_000_000;

/// The file at a tree's root that names what is to be left alone.
pub const IGNORE_FILE: &str = ".landfallignore";

/// What one file holds.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FileScan {
    /// Its pins, by line and column.
    pub pins: Vec<Pin>,
    /// What was left alone.
    pub skipped: Vec<Skipped>,
    /// Pins that count if the file is a Helm values file.
    pub values: Vec<Pin>,
    /// What was left alone if the file is a Helm values file.
    pub values_skipped: Vec<Skipped>,
    /// Values files that it names: paths from the repository's root, with `*` where a template stood.
    pub names_values: Vec<String>,
    /// What it refers to and declares.
    pub links: Links,
}

/// Whether a file is worth reading: YAML, JSON, a `Kustomization`, or the root's `.landfallignore`.
#[must_use]
pub fn is_candidate(path: &RepoPath) -> bool {
    let name = path.file_name();
    let extension = name.rsplit_once('.').map_or("", |(_, extension)| extension);
    ["yaml", "yml", "json"].iter().any(|known| extension.eq_ignore_ascii_case(known))
        || kinds::is_kustomization_file(name)
        || path.as_str() == IGNORE_FILE
}
