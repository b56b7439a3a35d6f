//! The scans of a whole tree of files, updated by what changed.
//!
//! Promise: [`PinIndex::pins`] equals a fresh scan of the same files, ordered by path, line and column; but once
//! comparing a `.landfallignore` with all paths has taken too long, nothing is read until that file changes, where
//! there is no room for all files ([`PinIndex::is_short`]), a fresh scan may find room for others, and where looking for patterns has
//! cost what it may, it may find them in other files. Design: each
//! file is scanned once, when it changes. Which files are Helm values and which are ignored depends on other files, so
//! that is decided on demand; this looks at each file's name but parses nothing.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::compose::{Composed, EnvFile, env_beside};
use super::referred::in_namespace;
use super::scan::scan_among;
use super::values_names::ValuesNames;
use super::{FileScan, IGNORE_FILE, Ignore, Reach, chart_lock};
use crate::model::{
    HelmRepositories, HelmRepository, HelmRepositoryName, KeyPaths, Pin, PinRole, RepoPath, SkipReason, Skipped,
};

/// Number of threads for a large update.
const MAX_THREADS: usize = 4;
/// Updates below this number of bytes are not worth a thread.
const SMALL: usize = 100_000;

/// Files are scanned so many, or so many bytes, at a time: what is kept of them is counted before the next are.
const SLICE: usize = 256;
const SLICE_BYTES: usize = 2 << 20;
/// Maximum number of files that are named for want of room.
const MAX_REFUSED: usize = 20;

/// What happened to one path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FileChange {
    /// A new or changed regular file.
    File {
        /// The file.
        path: RepoPath,
        /// All its bytes.
        bytes: Vec<u8>,
    },
    /// The path no longer exists.
    Gone {
        /// The path.
        path: String,
    },
    /// Something that is not read: a symlink, a submodule, a file with an unusable name.
    Special {
        /// The path, converted lossily if it is not valid UTF-8.
        path: String,
        /// Why it is not read.
        reason: SkipReason,
    },
    /// A file that is not read, because there is no room for what is in it.
    Unread {
        /// The path.
        path: String,
    },
}

/// The result of scanning a tree of files.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TreeScan {
    /// The pins, by path, line and column.
    pub pins: Vec<Pin>,
    /// What was left alone, by path and line.
    pub skipped: Vec<Skipped>,
}

/// All files of one tree.
#[derive(Debug, Clone, Default)]
pub struct PinIndex {
    /// What policies declare.
    declared: KeyPaths,
    files: BTreeMap<String, Entry>,
    ignore: Ignore,
    ignore_problems: Vec<Skipped>,
    reach: Reach,
    /// How much is kept, and how much may be; `None`: as much as there is.
    places: usize,
    room: Option<usize>,
    refused: Refused,
}

/// Files for which there was no room.
#[derive(Debug, Clone, Default)]
struct Refused {
    count: usize,
    /// The first of them.
    paths: Vec<String>,
}

#[derive(Debug, Clone)]
enum Entry {
    File { path: RepoPath, scan: Arc<FileScan>, ignored: bool, values_by_name: bool },
    Special { reason: SkipReason },
}

impl Entry {
    fn places(&self) -> usize {
        match self {
            Self::File { scan, .. } => scan.places(),
            Self::Special { .. } => 1,
        }
    }
}

impl PinIndex {
    /// An index of no files.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// An index of no files, for what policies declare.
    #[must_use]
    pub fn with(declared: KeyPaths) -> Self {
        Self { declared, ..Self::default() }
    }

    /// What policies declare, as it was when the files were scanned.
    #[must_use]
    pub fn declared(&self) -> &KeyPaths {
        &self.declared
    }

    /// Lets it keep no more than so many places ([`FileScan::places`]) from now on. Files beyond are not read, and reported.
    pub fn set_room(&mut self, places: usize) {
        self.room = Some(places);
    }

    /// How many places it keeps.
    #[must_use]
    pub fn places(&self) -> usize {
        self.places
    }

    /// Whether there is room for more.
    #[must_use]
    pub fn has_room(&self) -> bool {
        self.room.is_none_or(|room| self.places < room)
    }

    /// Whether files were left out for want of room: then it is not known what changes of them would mean.
    #[must_use]
    pub fn is_short(&self) -> bool {
        self.refused.count > 0
    }

    /// Applies changes. Files that are not candidates may be included; their scan is empty.
    pub fn update(&mut self, changes: Vec<FileChange>) {
        let (mut slice, mut bytes) = (Vec::new(), 0);
        for change in changes {
            if slice.len() >= SLICE || bytes >= SLICE_BYTES {
                self.update_slice(std::mem::take(&mut slice));
                bytes = 0;
            }
            bytes += size(&change);
            slice.push(change);
        }
        self.update_slice(slice);
    }

    fn update_slice(&mut self, mut changes: Vec<FileChange>) {
        if !self.has_room() {
            changes.iter_mut().for_each(|change| unread(&self.declared, change));
        }
        let scans = scan_all(&self.declared, &changes);
        for (change, scan) in changes.into_iter().zip(scans) {
            match (change, scan) {
                (FileChange::File { path, bytes }, _) if path.as_str() == IGNORE_FILE => {
                    self.set_ignore(Ignore::read(&bytes));
                }
                (FileChange::File { path, .. }, Some(scan)) => self.set_file(&path, scan),
                (FileChange::File { path, .. }, None) => self.remove(path.as_str()),
                (FileChange::Gone { path }, _) => {
                    if path == IGNORE_FILE {
                        self.set_ignore(Ignore::parse(""));
                    }
                    self.remove(&path);
                }
                (FileChange::Special { path, reason }, _) if path == IGNORE_FILE => {
                    self.set_ignore(Ignore::closed(&reason.to_string()));
                }
                (FileChange::Special { path, reason }, _) => {
                    self.reach.remove(&path);
                    self.set(path, Entry::Special { reason });
                }
                (FileChange::Unread { path }, _) => self.refuse(path),
            }
        }
    }

    fn set_file(&mut self, path: &RepoPath, scan: FileScan) {
        // A path that stays is not compared again: only new ones take steps.
        let ignored = match self.files.get(path.as_str()) {
            Some(Entry::File { ignored, .. }) => *ignored,
            _ => self.ignore.matches(path),
        };
        let (name, values_by_name, scan) = (path.as_str().to_owned(), is_values_name(path), Arc::new(scan));
        let entry = Entry::File { ignored, values_by_name, scan: Arc::clone(&scan), path: path.clone() };
        if self.set(name, entry) {
            self.reach.set(path, &scan);
        }
    }

    /// Whether there was room for it.
    fn set(&mut self, path: String, entry: Entry) -> bool {
        let before = self.files.get(&path).map_or(0, Entry::places);
        let places = self.places - before + entry.places();
        if self.room.is_some_and(|room| places > room) {
            self.refuse(path);
            return false;
        }
        self.places = places;
        self.files.insert(path, entry);
        true
    }

    fn remove(&mut self, path: &str) {
        self.reach.remove(path);
        self.places -= self.files.remove(path).map_or(0, |entry| entry.places());
    }

    fn refuse(&mut self, path: String) {
        self.remove(&path);
        self.refused.count += 1;
        if self.refused.paths.len() < MAX_REFUSED {
            self.refused.paths.push(path);
        }
    }

    fn set_ignore(&mut self, read: (Ignore, Vec<Skipped>)) {
        (self.ignore, self.ignore_problems) = read;
        for entry in self.files.values_mut() {
            if let Entry::File { path, ignored, .. } = entry {
                *ignored = self.ignore.matches(path);
            }
        }
    }

    /// Which kustomizations and charts are built from which file.
    #[must_use]
    pub fn reach(&self) -> &Reach {
        &self.reach
    }

    /// The pins of all files. `named` says which files are named as Helm values elsewhere, in addition to those
    /// recognised by their name, by a `Chart.yaml` next to them or by another file of the tree.
    #[must_use]
    pub fn pins(&self, named: &dyn Fn(&RepoPath) -> bool) -> TreeScan {
        let values = self.values_files();
        let others = self.refused.count - self.refused.paths.len();
        let no_room = |path: &String| Skipped::file(path, SkipReason::NoRoom { places: self.places, others });
        let no_room = self.refused.paths.iter().map(no_room);
        let problems = self.ignore_problems.iter().cloned().chain(self.ignore.overrun()).chain(no_room);
        let mut found = TreeScan { pins: Vec::new(), skipped: problems.collect() };
        if self.ignore.is_closed() {
            return found;
        }
        found.skipped.extend(values.named.refused().map(|(path, reason)| Skipped::file(path.as_str(), reason)));
        let repositories = self.repositories();
        let mut templates: BTreeMap<&str, usize> = BTreeMap::new();
        for (path, entry) in &self.files {
            let skip = |reason: SkipReason| Skipped::file(path.as_str(), reason);
            let (path, scan, by_name) = match entry {
                Entry::Special { reason } => {
                    found.skipped.push(skip(reason.clone()));
                    continue;
                }
                Entry::File { ignored: true, .. } => {
                    found.skipped.push(skip(SkipReason::Ignored));
                    continue;
                }
                Entry::File { path, scan, values_by_name, .. } => (path, scan, *values_by_name),
            };
            if let Some(folder) = values.template_folder(path).filter(|_| is_template(scan)) {
                *templates.entry(folder).or_default() += 1;
                continue;
            }
            found.skipped.extend(scan.skipped.iter().cloned());
            let locked = self.locked_beside(path, scan);
            for pin in &scan.pins {
                match locked.as_ref().filter(|_| pin.kind.role == PinRole::Chart) {
                    None => found.pins.push(pin.clone()),
                    Some(reason) => found.skipped.push(left_locked(pin, reason)),
                }
            }
            let namespace = if scan.charts.is_empty() { None } else { self.reach.namespace(path) };
            for chart in &scan.charts {
                match chart.pin(&repositories, namespace) {
                    Ok(pin) => found.pins.push(pin),
                    Err(reason) => found.skipped.push(chart.skipped(reason)),
                }
            }
            if scan.values.is_empty() && scan.values_skipped.is_empty() {
                continue;
            }
            if by_name || values.contains(path) || named(path) {
                found.skipped.extend(scan.values_skipped.iter().cloned());
                found.pins.extend(scan.values.iter().cloned());
            } else if !scan.values.is_empty() {
                found.skipped.push(skip(unnamed_values(path)));
            } else if let SkipReason::ForeignFile = unnamed_values(path) {
                let names_images = scan.values_skipped.iter().any(names_an_image);
                found.skipped.extend(names_images.then(|| skip(SkipReason::ForeignFile)));
            } else {
                // Nothing in it could be written even if it were values, and what it names is said all the same.
                found.skipped.extend(scan.values_skipped.iter().filter(|skipped| names_an_image(skipped)).cloned());
            }
        }
        self.add_composed(&mut found);
        let grouped = templates.into_iter();
        found
            .skipped
            .extend(grouped.map(|(folder, files)| Skipped::file(folder, SkipReason::ChartTemplates { files })));
        // The map's paths are already in order, and a stable sort of nearly sorted data is cheap.
        found.pins.sort_by(|a, b| (&a.path, a.line, a.column).cmp(&(&b.path, b.line, b.column)));
        found.skipped.sort();
        found
    }

    /// Adds the images of Compose files that have variables in them.
    fn add_composed(&self, found: &mut TreeScan) {
        let mut composed = Composed::default();
        for entry in self.files.values() {
            let Entry::File { path, scan, ignored: false, .. } = entry else { continue };
            if scan.interpolated.is_empty() {
                continue;
            }
            let beside = env_beside(path);
            let environment = match beside.as_ref().map(|beside| self.files.get(beside.as_str())) {
                Some(Some(Entry::File { path, scan, ignored: false, .. })) => scan.environment_of(path),
                Some(Some(_)) | None => EnvFile::Unread,
                Some(None) => EnvFile::None,
            };
            composed.add(path, &scan.interpolated, environment);
        }
        let (pins, skipped) = composed.finish();
        // What a policy says of the same bytes counts.
        let new = pins.into_iter().filter(|pin| {
            let own = self.files.get(pin.path.as_str());
            let scan = own.and_then(|own| if let Entry::File { scan, .. } = own { Some(scan) } else { None });
            scan.is_none_or(|scan| !scan.pins.iter().any(|own| own.location.overlaps(&pin.location)))
        });
        found.pins.extend(new);
        found.skipped.extend(skipped);
    }

    /// Why the versions of a file with charts may not be changed, if a lock beside it does not let them: a chart's lock is kept true
    /// where it fits.
    fn locked_beside(&self, path: &RepoPath, scan: &FileScan) -> Option<SkipReason> {
        let lock = super::lock_of(path)?;
        let beside = self.files.get(path.beside(lock)?.as_str())?;
        if !chart_lock::is_chart_lock(lock) {
            return Some(SkipReason::LockBeside { lock: lock.to_owned() });
        }
        let unfit = |reason| SkipReason::LockUnfit { lock: lock.to_owned(), reason };
        let Entry::File { scan: locked, ignored: false, .. } = beside else { return Some(unfit("it is not read")) };
        let (Some(declared), Some(locked)) = (scan.dependencies.as_deref(), locked.dependencies.as_deref()) else {
            return Some(unfit("it cannot be read"));
        };
        let fits = match (declared, locked) {
            (Ok(declared), Ok(locked)) => declared.fit(locked),
            (Err(reason), _) | (_, Err(reason)) => Err(*reason),
        };
        fits.err().map(unfit)
    }

    /// The Helm repositories that its files declare, in the namespaces that their kustomizations say.
    #[must_use]
    pub fn repositories(&self) -> HelmRepositories {
        let declaring = self.files().filter(|(_, scan)| !scan.repositories.is_empty());
        HelmRepositories::of(declaring.flat_map(|(path, scan)| {
            let namespace = self.reach.namespace(path);
            let named = move |name: &HelmRepositoryName| in_namespace(name.clone(), namespace);
            scan.repositories.iter().map(move |it| HelmRepository { name: named(&it.name), ..it.clone() })
        }))
    }

    /// The files that are not ignored.
    fn files(&self) -> impl Iterator<Item = (&RepoPath, &Arc<FileScan>)> {
        self.files.values().filter_map(|entry| match entry {
            Entry::File { scan, ignored: false, path, .. } => Some((path, scan)),
            Entry::File { .. } | Entry::Special { .. } => None,
        })
    }

    fn values_files(&self) -> ValuesFiles<'_> {
        let files = || self.files();
        let charts = files().map(|(path, _)| path).filter(|path| path.file_name() == "Chart.yaml");
        ValuesFiles {
            named: ValuesNames::of(files().map(|(path, scan)| (path, scan.names_values.as_slice()))),
            charts: charts.map(RepoPath::parent).collect(),
        }
    }
}

/// Files known to be Helm values because of other files in the tree.
#[derive(Debug)]
struct ValuesFiles<'i> {
    named: ValuesNames<'i>,
    /// Folders with a `Chart.yaml`.
    charts: HashSet<&'i str>,
}

impl ValuesFiles<'_> {
    /// The `templates` folder of a chart that a file is in.
    fn template_folder<'p>(&self, path: &'p RepoPath) -> Option<&'p str> {
        super::ancestors(path.parent()).find(|folder| {
            let chart = folder.strip_suffix("templates").map(|chart| chart.trim_end_matches('/'));
            chart.is_some_and(|chart| self.charts.contains(chart))
        })
    }

    fn contains(&self, path: &RepoPath) -> bool {
        let beside_chart = self.charts.contains(path.parent()) && may_be_values(path.file_name());
        beside_chart || self.named.contains(path)
    }
}

/// Whether a file next to a `Chart.yaml` may hold values: not the chart itself, nor files of other tools that use the
/// same keys for images (CI systems, Compose).
fn may_be_values(name: &str) -> bool {
    name != "Chart.yaml"
        && !["docker-compose", "compose."].iter().any(|other| name.starts_with(other))
        && !name.starts_with('.')
}

/// Whether a file has a usual name for Helm values: `values.yaml`, `values-prod.yaml`, `prod-values.yaml`,
/// `web.values.yaml`, or anything in a folder `values`.
fn is_values_name(path: &RepoPath) -> bool {
    let name = path.file_name();
    let Some((stem, extension)) = name.rsplit_once('.') else { return false };
    let stem = stem.to_ascii_lowercase();
    ["yaml", "yml", "json"].iter().any(|known| extension.eq_ignore_ascii_case(known))
        && (stem == "values"
            || ["values-", "values_", "values."].iter().any(|start| stem.starts_with(start))
            || ["-values", "_values", ".values"].iter().any(|end| stem.ends_with(end))
            || path.parent().rsplit('/').next().is_some_and(|folder| folder == "values"))
}

/// The reason for a file that holds images like Helm values, but that nothing names as such.
fn unnamed_values(path: &RepoPath) -> SkipReason {
    let foreign = !may_be_values(path.file_name()) || path.as_str().split('/').any(|folder| folder.starts_with('.'));
    if foreign {
        return SkipReason::ForeignFile;
    }
    let extension = path.file_name().rsplit_once('.').map_or("yaml", |(_, extension)| extension);
    let folder = path.parent();
    let slash = if folder.is_empty() { "" } else { "/" };
    SkipReason::LooksLikeValues { pattern: format!("{folder}{slash}{{app}}.{extension}") }
}

/// The version of a chart that a lock beside it repeats.
fn left_locked(pin: &Pin, reason: &SkipReason) -> Skipped {
    let reason = reason.clone();
    Skipped { path: pin.path.to_string(), line: Some(pin.line), image: Some(pin.name.clone()), reason }
}

/// Whether all that there is in a file are templates.
fn is_template(scan: &FileScan) -> bool {
    let template = |skipped: &Skipped| matches!(skipped.reason, SkipReason::Template | SkipReason::TemplateFile);
    let left = || scan.skipped.iter().chain(&scan.values_skipped);
    scan.pins.is_empty()
        && scan.charts.is_empty()
        && scan.values.is_empty()
        && left().next().is_some()
        && left().all(template)
}

/// Whether what was left alone in a file of any kind is an image for containers, not a picture.
fn names_an_image(skipped: &Skipped) -> bool {
    let pictures = [".png", ".svg", ".jpg", ".jpeg", ".gif", ".ico", ".webp"];
    skipped.image.as_ref().is_some_and(|image| !pictures.iter().any(|end| image.short().ends_with(end)))
}

fn size(change: &FileChange) -> usize {
    if let FileChange::File { bytes, .. } = change { bytes.len() } else { 0 }
}

/// Turns a file that would have to be scanned into one that is not read.
fn unread(declared: &KeyPaths, change: &mut FileChange) {
    if let FileChange::File { path, .. } = change
        && super::is_read(declared, path)
        && path.as_str() != IGNORE_FILE
    {
        *change = FileChange::Unread { path: path.to_string() };
    }
}

/// The scan of each changed file; `None` for changes that are not files.
fn scan_all(declared: &KeyPaths, changes: &[FileChange]) -> Vec<Option<FileScan>> {
    let is_searched = |path: &RepoPath| declared.searches(path);
    let scan = |change: &FileChange, searched: bool| match change {
        FileChange::File { path, bytes } if super::is_read(declared, path) && is_searched(path) == searched => {
            Some(scan_among(declared, path, bytes))
        }
        _ => None,
    };
    // One after the other: which of them are beyond what searches may cost must not depend on the threads.
    let mut scans: Vec<Option<FileScan>> = changes.iter().map(|change| scan(change, true)).collect();
    let scan = |change: &FileChange| scan(change, false);
    let total: usize = changes.iter().map(size).sum();
    let available = std::thread::available_parallelism().map_or(1, usize::from);
    let threads = available.min(MAX_THREADS).min(changes.len()).min(total / SMALL + 1);
    if threads < 2 {
        for (slot, change) in scans.iter_mut().zip(changes) {
            *slot = slot.take().or_else(|| scan(change));
        }
        return scans;
    }
    let next = AtomicUsize::new(0);
    let work = || {
        let mut done = Vec::new();
        while let Some(at) = Some(next.fetch_add(1, Ordering::Relaxed)).filter(|at| *at < changes.len()) {
            done.extend(changes.get(at).and_then(scan).map(|scan| (at, scan)));
        }
        done
    };
    std::thread::scope(|scope| {
        let others: Vec<_> = (1..threads).map(|_| scope.spawn(work)).collect();
        let mut done = work();
        for other in others {
            // A scan never panics; if one does all the same, its files must not be lost silently.
            done.extend(other.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
        }
        for (at, scan) in done {
            if let Some(slot) = scans.get_mut(at) {
                *slot = Some(scan);
            }
        }
    });
    scans
}
