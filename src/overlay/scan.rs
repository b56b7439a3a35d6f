//! From a file's bytes to its pins, and to what is left alone.

use std::sync::{Mutex, PoisonError};

use super::collector::{Collector, Frame};
use super::secrets::Secrets;
use super::tree::{self, Id, Tree};
use super::{
    FileScan, MAX_BYTES, ReferredChart, Syntax, chart_lock, dotenv, kinds, outline, referred, terraform, text,
    values_names,
};
use crate::model::{DeclaredValue, KeyPaths, RangePins, RepoPath, SkipReason, Skipped};

/// The start of the pointer that Git LFS stores in place of a file.
const LFS_POINTER: &str = "version https://git-lfs.github.com/spec/";

/// From this number of bytes on, a file's tree is large.
const LARGE: usize = 1 << 20;
/// Held while a large file of any repository is scanned.
static LARGE_TREE: Mutex<()> = Mutex::new(());

/// Finds the pins of a file. Never fails: what cannot be read or must not be touched is in `skipped`, with the reason.
#[must_use]
pub fn scan_file(path: &RepoPath, bytes: &[u8]) -> FileScan {
    scan_with(&KeyPaths::default(), path, bytes)
}

/// The same where policies declare more values, and other files Helm repositories.
#[must_use]
pub fn scan_with(declared: &KeyPaths, path: &RepoPath, bytes: &[u8]) -> FileScan {
    referred::alone(declared, scan_among(declared, path, bytes))
}

/// The scan of a file among others, which may say more about what is in it.
pub(super) fn scan_among(declared: &KeyPaths, path: &RepoPath, bytes: &[u8]) -> FileScan {
    // A tree takes many times the bytes of its text: of large ones there is one at a time.
    let _alone = (bytes.len() > large(path)).then(|| LARGE_TREE.lock().unwrap_or_else(PoisonError::into_inner));
    let (closed, open): (Vec<_>, Vec<_>) = declared.of(path).into_iter().partition(|it| it.closed_by().is_some());
    let mut scan = read((&open, declared.ranges(path)), path, bytes).unwrap_or_else(|whole| left_alone(path, whole));
    if !closed.is_empty() {
        scan.skipped.extend(closed.iter().filter_map(|it| {
            let (place, origin) = (it.key_path.place.to_string(), it.key_path.origin.to_string());
            let reason = SkipReason::NotDeclarable { place, origin, cap: it.closed_by()?.to_owned() };
            Some(Skipped::file(path.as_str(), reason))
        }));
        scan.skipped.sort();
    }
    scan
}

/// From which size on a file's tree is large.
fn large(path: &RepoPath) -> usize {
    match Syntax::of(path) {
        Syntax::Toml | Syntax::Hcl => outline::LARGE,
        Syntax::Yaml | Syntax::Json | Syntax::Text => LARGE,
    }
}

fn left_alone(path: &RepoPath, (line, reason): Whole) -> FileScan {
    FileScan { skipped: vec![Skipped { line, ..Skipped::file(path.as_str(), reason) }], ..FileScan::default() }
}

/// Why a whole file is left alone, and the line that shows it.
type Whole = (Option<usize>, SkipReason);

/// What policies say of a file: of its values, and of ranges of versions in it.
type Said<'d> = (&'d [DeclaredValue<'d>], RangePins);

fn read((declared, ranges): Said<'_>, path: &RepoPath, bytes: &[u8]) -> Result<FileScan, Whole> {
    if bytes.len() > MAX_BYTES {
        return Err((None, too_big()));
    }
    let text = std::str::from_utf8(bytes).map_err(|error| {
        let line = bytes[..error.valid_up_to()].iter().filter(|b| **b == b'\n').count() + 1;
        (Some(line), SkipReason::NotUtf8)
    })?;
    if text.starts_with(LFS_POINTER) {
        return Err((None, SkipReason::LfsPointer));
    }
    let syntax = Syntax::of(path);
    let (mut scan, mut secrets) = match syntax {
        // What is not YAML as it stands may still be a text.
        Syntax::Yaml => match yaml((declared, ranges), path, text) {
            Err((_, SkipReason::Sops)) => return Err((None, SkipReason::Sops)),
            read => read.unwrap_or_else(|whole| (left_alone(path, whole), Secrets::of_text(text))),
        },
        _ if chart_lock::is_chart_lock(path.file_name()) => {
            let dependencies = chart_lock::Dependencies::of_lock(text);
            (FileScan { dependencies: Some(Box::new(dependencies)), ..FileScan::default() }, Secrets::None)
        }
        _ if declared.is_empty() && !path.is_terraform() && !dotenv::is_env_file(path.file_name()) => {
            return Ok(FileScan::default());
        }
        _ if text.contains("ENC[AES256") => return Err((None, SkipReason::Sops)),
        _ => (FileScan::default(), Secrets::None),
    };
    if path.is_terraform() {
        terraform::scan(path, (syntax, ranges), text, &mut scan);
    }
    if dotenv::is_env_file(path.file_name()) {
        match dotenv::read(text) {
            Ok(variables) => scan.environment = Some(variables),
            Err(reason) => scan.skipped.push(Skipped::file(path.as_str(), reason)),
        }
        secrets = Secrets::Variables;
    }
    if !declared.is_empty() {
        text::declared(path, text, syntax, (declared, secrets), &mut scan);
    }
    Ok(scan)
}

fn yaml((declared, ranges): Said<'_>, path: &RepoPath, text: &str) -> Result<(FileScan, Secrets), Whole> {
    let tree = tree::parse(text, kinds::SETTER).map_err(|error| {
        let reason = match text.contains("{{") {
            true => SkipReason::TemplateFile,
            false => SkipReason::NotYaml { reason: error.reason },
        };
        (Some(error.line), reason)
    })?;
    let encrypted = text.contains("ENC[AES256");
    if tree.roots.iter().any(|root| has_sops(&tree, *root) || (encrypted && has_encrypted(&tree, *root))) {
        return Err((None, SkipReason::Sops));
    }
    let secrets = if declared.is_empty() { Secrets::None } else { Secrets::of_tree(&tree) };
    let scan = collect((declared, ranges), path, &tree).ok_or((None, SkipReason::TooManyPins))?;
    Ok((scan, secrets))
}

/// Why a file of this size is not read.
#[must_use]
pub fn too_big() -> SkipReason {
    SkipReason::TooLarge { megabytes: MAX_BYTES / 1_000_000 }
}

fn collect((declared, ranges): Said<'_>, path: &RepoPath, tree: &Tree<'_>) -> Option<FileScan> {
    let mut collector = Collector { declared, ranges, ..Collector::new(path, tree, Frame::File) };
    let dependencies = chart_lock::Dependencies::of_chart(path, tree).map(Box::new);
    let mut scan = FileScan { dependencies, ..FileScan::default() };
    for (number, root) in tree.roots.iter().enumerate() {
        collector.document(*root);
        collector.named_values(*root, &mut scan.names_values);
        collector.links(number, *root, &mut scan.links);
        collector.helm_repositories(*root, &mut scan.repositories);
    }
    collector.whole_file();
    if collector.overflow {
        return None;
    }
    scan.interpolated = collector.interpolated;
    for draft in collector.drafts {
        match draft.of {
            Some(of) => scan.charts.push(ReferredChart { pin: draft.pin, of }),
            None if draft.values => scan.values.push(draft.pin),
            None => scan.pins.push(draft.pin),
        }
    }
    for skip in collector.skips {
        let list = if skip.values { &mut scan.values_skipped } else { &mut scan.skipped };
        list.push(skip.skipped);
    }
    // A SealedSecret that fills the whole file is reported for the file, not for a line of it.
    if let ([_], [only]) = (tree.roots.as_slice(), scan.skipped.as_mut_slice())
        && only.reason == SkipReason::SealedSecret
    {
        only.line = None;
    }
    for pins in [&mut scan.pins, &mut scan.values] {
        pins.sort_by(|a, b| (a.line, a.column, &a.key).cmp(&(b.line, b.column, &b.key)));
    }
    scan.skipped.sort();
    scan.values_skipped.sort();
    scan.names_values.sort();
    scan.names_values.dedup();
    if let Some(reason) = values_names::bound(&mut scan.names_values) {
        scan.skipped.push(Skipped::file(path.as_str(), reason));
        scan.skipped.sort();
    }
    Some(scan)
}

/// SOPS writes its metadata under a top-level `sops` key, with a checksum over all values, encrypted or not.
fn has_sops(tree: &Tree<'_>, root: Id) -> bool {
    let Some(sops) = tree.get(root, "sops").filter(|sops| tree.is_mapping(*sops)) else { return false };
    ["mac", "lastmodified", "encrypted_regex"].iter().any(|key| tree.get(sops, key).is_some())
}

fn has_encrypted(tree: &Tree<'_>, root: Id) -> bool {
    (root..tree.node(root).last).any(|id| tree.scalar(id).is_some_and(|scalar| scalar.value.starts_with("ENC[AES256")))
}
