//! Finds pins in YAML text, and in any other that a policy declares, and changes their bytes in place.
//!
//! Promises:
//! - [`scan_file`] never fails and never panics, whatever the bytes. What it cannot read or must not touch is reported
//!   with a reason and, if possible, a line. Nothing that looks like a pin is skipped silently.
//! - [`edit()`] changes the bytes of tags and digests (and of names, if requested) and nothing else, or changes nothing
//!   and says why. Each result is parsed again and compared with the original event by event (G3).
//!
//! Invariants: pure (no I/O, no clock, no environment); linear in the size of its input; bounded in size, depth and
//! number of values; aliases are never expanded.
//!
//! Design: `tree` turns granit-parser's events into a flat tree with byte ranges; `kinds` decide which scalars make up
//! a pin; `collector` turns those into a pin or a reason; `edit` splices bytes; `prove` compares the events of both
//! texts. What policies declare of other files is read by `text`, TOML and HCL as an `outline`, edited by `splice` and proved by
//! `prove_text`. [`PinIndex`] keeps the scans of a whole tree of files, so that a change costs only the changed files, and
//! decides which files are Helm values. [`Reach`] knows which kustomizations and charts are built from a file.
//! [`Ignore`] is `.landfallignore`; [`Documents`] is for those who look for other things than pins.

mod chart_lock;
mod chart_values;
mod collector;
mod compose;
mod documents;
mod dotenv;
mod edit;
mod ignore;
mod index;
mod kinds;
mod links;
mod literal;
mod named;
mod outline;
mod prove;
mod prove_text;
mod quote;
mod reach;
mod referred;
mod scan;
mod secrets;
mod splice;
mod syntax;
mod terraform;
mod text;
mod tree;
mod value;
mod values_names;

#[cfg(test)]
mod tests;

pub use chart_lock::{chart_lock_of, chart_of_lock, lock_time, relock};
pub use chart_values::{chart_change, set_among};
pub use compose::{all_beside, beside, every_pin, variable_at};
pub use documents::{Documents, Value};
pub use edit::{EditError, OldDigest, PinEdit, edit, edit_with};
pub use ignore::Ignore;
pub use index::{FileChange, PinIndex, TreeScan};
pub use kinds::{PIN_KINDS, pin_kind};
pub use links::{Declares, Link, LinkField, Links};
pub(crate) use reach::ancestors;
pub use reach::{BuildRoot, MAX_ROOTS, Reach, Reached, normal_folder};
pub use referred::ReferredChart;
pub use scan::{scan_file, scan_with, too_big};
use syntax::Syntax;

use crate::model::{HelmRepository, KeyPaths, Pin, RepoPath, Skipped};

/// Maximum size of a file that is read, in bytes.
pub const MAX_BYTES: usize = 16_000_000;

/// The file at a tree's root that lists what to leave alone.
pub const IGNORE_FILE: &str = ".landfallignore";

/// The scan of one file.
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
    /// Values files that it names: paths from the repository's root, with `*` in place of templates.
    pub names_values: Vec<String>,
    /// What it refers to and declares.
    pub links: Links,
    /// Images of a Compose file that have variables in them.
    interpolated: Vec<compose::Interpolated>,
    /// The variables of a `.env`.
    environment: Option<dotenv::Variables>,
    /// Versions of charts whose repository is declared elsewhere.
    pub charts: Vec<ReferredChart>,
    /// Helm repositories that it declares.
    pub repositories: Vec<HelmRepository>,
    /// The dependencies of a chart or of its lock, or why they cannot be told.
    dependencies: Option<Box<Result<chart_lock::Dependencies, chart_lock::Unfit>>>,
}

impl FileScan {
    /// How much of it is kept, in places: about as much as so many images. What has a long text counts as several.
    #[must_use]
    pub fn places(&self) -> usize {
        let pins = self.pins.iter().chain(&self.values).map(pin_text);
        let skipped = self.skipped.iter().chain(&self.values_skipped).map(skipped_text);
        let links = self.links.links.iter().map(|link| link.to.len());
        let names = self.names_values.iter().chain(&self.links.remote).map(String::len);
        let declares = self.links.declares.iter().map(|it| it.object.namespace.len() + it.object.name.len());
        let repositories = self.repositories.iter().map(|it| it.name.name.len() + it.address.len());
        let small = links.chain(names).chain(declares).chain(repositories).map(weight).sum::<usize>();
        let composed = self.interpolated.iter().map(|image| 3 + weight(image.text.len() + image.key.len()));
        let variables = self.environment.as_ref().map_or(0, dotenv::Variables::len);
        let dependencies = self.dependencies.as_deref().and_then(|all| all.as_ref().ok()).map(|all| weight(all.text()));
        let small = small + composed.sum::<usize>() + variables + dependencies.unwrap_or(0);
        let charts = self.charts.iter().map(|chart| pin_text(&chart.pin) + chart.text());
        1 + pins.chain(skipped).chain(charts).map(weight).sum::<usize>() + small / 4
    }
}

/// How much these pins take of a room for places ([`FileScan::places`]).
#[must_use]
pub fn places_of(pins: &[Pin]) -> usize {
    pins.iter().map(pin_text).map(weight).sum()
}

/// Bytes of text that a place may have before it counts as two; paths and keys of real repositories stay far below.
const PLACE_TEXT: usize = 512;

fn weight(text: usize) -> usize {
    1 + text / PLACE_TEXT
}

fn pin_text(pin: &Pin) -> usize {
    let alias = pin.alias.as_ref().map_or(0, |alias| alias.name.len());
    pin.path.as_str().len() + pin.key.len() + pin.image.len() + pin.name.repository().len() + alias
}

fn skipped_text(skipped: &Skipped) -> usize {
    let image = skipped.image.as_ref().map_or(0, |image| image.repository().len());
    skipped.path.len() + image + skipped.reason.to_string().len()
}

/// Files with versions of charts, and what beside them repeats those with checksums.
const LOCKS: [(&str, &str); 4] = [
    ("Chart.yaml", "Chart.lock"),
    ("requirements.yaml", "requirements.lock"),
    ("helmfile.yaml", "helmfile.lock"),
    ("helmfile.yml", "helmfile.lock"),
];

/// The lock that a file with charts may have beside it.
fn lock_of(path: &RepoPath) -> Option<&'static str> {
    LOCKS.iter().find(|(name, _)| *name == path.file_name()).map(|(_, lock)| *lock)
}

/// Whether a file is worth reading: YAML, JSON, a `Kustomization`, Terraform, a `.env`, a lock of charts, or the root's `.landfallignore`.
#[must_use]
pub fn is_candidate(path: &RepoPath) -> bool {
    let name = path.file_name();
    let extension = name.rsplit_once('.').map_or("", |(_, extension)| extension);
    ["yaml", "yml", "json"].iter().any(|known| extension.eq_ignore_ascii_case(known))
        || kinds::is_kustomization_file(name)
        || path.as_str() == IGNORE_FILE
        || path.is_terraform()
        || dotenv::is_env_file(name)
        || LOCKS.iter().any(|(_, lock)| *lock == name)
}

/// The same where policies declare more ([`KeyPaths`]).
#[must_use]
pub fn is_read(declared: &KeyPaths, path: &RepoPath) -> bool {
    is_candidate(path) || declared.name(path)
}
