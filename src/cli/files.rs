//! Reads and scans the files below the paths of a command line; the only place where `scan` and `set-image` access the
//! disk.
//!
//! Nothing leads out of a folder: symlinks, and anything that is neither a file nor a folder, are reported and left
//! alone. `.git` is not entered; what `.landfallignore` at the folder's root matches is reported once and not read.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use super::CliError;
use crate::model::{HelmRepositories, KeyPaths, Pin, RepoPath, SkipReason, Skipped};
use crate::overlay::{
    FileChange, IGNORE_FILE, Ignore, MAX_BYTES, PinIndex, TreeScan, all_beside, beside, is_read, too_big,
};

/// How many bytes are read before they are scanned: a bound on memory for large trees.
const BATCH: u64 = 64_000_000;
/// Number of reading threads.
const READERS: usize = 4;

/// One PATH of the command line, scanned.
#[derive(Debug)]
pub(super) struct ScanTarget {
    /// The folder that pins' paths are relative to.
    root: PathBuf,
    /// For a PATH that is a file: the path as given.
    file: Option<String>,
    /// What was found.
    pub(super) found: TreeScan,
    /// What policies declare of its files.
    pub(super) declared: KeyPaths,
}

impl ScanTarget {
    /// Scans one PATH.
    pub(super) fn scan(path: &Path) -> Result<Self, CliError> {
        Self::scan_with(path, KeyPaths::default(), &|_| false)
    }

    /// Scans one PATH; `declared` is what policies declare, for paths below the PATH's folder, and `named` says which additional
    /// files are Helm values files.
    pub(super) fn scan_with(
        path: &Path,
        declared: KeyPaths,
        named: &dyn Fn(&RepoPath) -> bool,
    ) -> Result<Self, CliError> {
        let problem = |error: &io::Error| CliError::caused(format!("cannot read {}", path.display()), error);
        let kind = fs::symlink_metadata(path).map_err(|error| problem(&error))?;
        // The person named this PATH, so a symlink to a folder is followed; a file is only edited where it actually is.
        if path.is_dir() {
            let (found, repositories) = scan_folder(path, &declared, named).map_err(|error| problem(&error))?;
            let declared = declared.knowing(repositories);
            return Ok(Self { root: path.to_owned(), file: None, found, declared });
        }
        let name = path.file_name().and_then(|name| name.to_str()).and_then(|name| RepoPath::parse(name).ok());
        let Some(name) = name.filter(|_| kind.is_file()) else {
            return Err(CliError::new(format!("{} is neither a folder nor a regular file", path.display())));
        };
        if !is_read(&declared, &name) {
            return Err(CliError::new(format!(
                "{} is neither a YAML nor a JSON file, judging by its name",
                path.display()
            ))
            .hint("what is in other files is named by a policy's `keyPaths`"));
        }
        let root = path.parent().map(Path::to_owned).unwrap_or_default();
        let mut index = PinIndex::with(declared.clone());
        index.update(vec![read(path, name.clone())]);
        for other in all_beside(&name) {
            let place = root.join(other.as_str());
            if fs::symlink_metadata(&place).is_ok_and(|kind| kind.is_file()) {
                index.update(vec![read(&place, other)]);
            }
        }
        // A values file that was named explicitly is one.
        let found = only(&name, index.pins(&|_| true));
        let declared = declared.knowing(index.repositories());
        Ok(Self { root, file: Some(path.display().to_string()), found, declared })
    }

    /// A file's path as displayed: relative to the given folder, or as the file was given.
    pub(super) fn shown<'p>(&'p self, path: &'p str) -> &'p str {
        self.file.as_deref().unwrap_or(path)
    }

    /// What was left alone, with displayed paths.
    pub(super) fn skipped(&self) -> impl Iterator<Item = Skipped> {
        self.found
            .skipped
            .iter()
            .map(|skipped| Skipped { path: self.shown(&skipped.path).to_owned(), ..skipped.clone() })
    }

    /// Where the file of a pin is on disk.
    pub(super) fn on_disk(&self, path: &RepoPath) -> PathBuf {
        self.root.join(path.as_str())
    }

    /// Pins by file.
    pub(super) fn by_file(&self) -> BTreeMap<&RepoPath, Vec<&Pin>> {
        let mut files: BTreeMap<&RepoPath, Vec<&Pin>> = BTreeMap::new();
        for pin in &self.found.pins {
            files.entry(&pin.path).or_default().push(pin);
        }
        files
    }
}

/// What was found in one file. Where a file beside it decides a version, that is said.
fn only(name: &RepoPath, all: TreeScan) -> TreeScan {
    let (pins, elsewhere): (Vec<Pin>, Vec<Pin>) = all.pins.into_iter().partition(|pin| pin.path == *name);
    let variable = |pin: Pin| {
        let reason = SkipReason::VariableElsewhere { name: pin.key, file: pin.path.to_string() };
        Skipped { image: Some(pin.name), ..Skipped::file(name.as_str(), reason) }
    };
    let used = elsewhere.into_iter().filter(|pin| beside(&pin.path).contains(name));
    let own = all.skipped.into_iter().filter(|skipped| skipped.path == name.as_str());
    let mut skipped: Vec<Skipped> = own.chain(used.map(variable)).collect();
    skipped.sort();
    TreeScan { pins, skipped }
}

/// The content of a regular file that is small enough to be scanned.
pub(super) fn read_bytes(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let limit = u64::try_from(MAX_BYTES).unwrap_or(u64::MAX).saturating_add(1);
    fs::File::open(path)?.take(limit).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Replaces a file's content atomically, so that nobody ever sees half of it; permissions are kept.
///
/// # Errors
/// If the file is a symlink, no longer contains `old`, or cannot be written; it is then unchanged.
pub(super) fn replace(path: &Path, old: &[u8], new: &[u8]) -> io::Result<()> {
    let metadata = fs::symlink_metadata(path)?;
    if !metadata.is_file() {
        return Err(io::Error::other("it is no longer a regular file"));
    }
    let folder = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut file = tempfile::Builder::new().prefix(".landfall-").tempfile_in(folder)?;
    file.write_all(new)?;
    file.as_file().set_permissions(metadata.permissions())?;
    file.as_file().sync_all()?;
    if read_bytes(path)? != old {
        return Err(io::Error::other("somebody else changed it in the meantime"));
    }
    file.persist(path).map_err(|error| error.error)?;
    Ok(())
}

/// A file worth reading.
#[derive(Debug)]
struct Candidate {
    path: RepoPath,
    size: u64,
}

/// The files of a folder that may hold pins or say something about them, as they are on disk.
pub(super) fn contents(root: &Path) -> io::Result<Vec<(RepoPath, Vec<u8>)>> {
    let declared = KeyPaths::default();
    let ignore = Ignore::parse("").0;
    let mut walk = Walk { root, declared: &declared, ignore, candidates: Vec::new(), special: Vec::new() };
    walk.walk()?;
    let files = read_all(root, &walk.candidates).into_iter().filter_map(|change| match change {
        FileChange::File { path, bytes } => Some((path, bytes)),
        _ => None,
    });
    Ok(files.collect())
}

fn scan_folder(
    root: &Path,
    declared: &KeyPaths,
    named: &dyn Fn(&RepoPath) -> bool,
) -> io::Result<(TreeScan, HelmRepositories)> {
    let (ignore, problems) = match fs::symlink_metadata(root.join(IGNORE_FILE)) {
        Ok(metadata) if metadata.is_file() => Ignore::read(&read_bytes(&root.join(IGNORE_FILE))?),
        Ok(_) => Ignore::closed("it is not a regular file"),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ignore::parse(""),
        Err(error) => return Err(error),
    };
    let mut walk = Walk { root, declared, ignore, candidates: Vec::new(), special: Vec::new() };
    walk.walk()?;
    if walk.ignore.is_closed() {
        let skipped = problems.into_iter().chain(walk.ignore.overrun()).collect();
        return Ok((TreeScan { pins: Vec::new(), skipped }, HelmRepositories::default()));
    }
    let mut index = PinIndex::with(declared.clone());
    index.update(walk.special);
    let mut rest = walk.candidates.as_slice();
    while !rest.is_empty() {
        let mut size = 0;
        let fits = |candidate: &&Candidate| {
            size += candidate.size;
            size <= BATCH
        };
        let (batch, after) = rest.split_at(rest.iter().take_while(fits).count().max(1));
        index.update(read_all(root, batch));
        rest = after;
    }
    let mut found = index.pins(named);
    found.skipped.extend(problems);
    found.skipped.sort();
    Ok((found, index.repositories()))
}

/// A walk through a folder.
#[derive(Debug)]
struct Walk<'r> {
    root: &'r Path,
    declared: &'r KeyPaths,
    ignore: Ignore,
    candidates: Vec<Candidate>,
    special: Vec<FileChange>,
}

impl Walk<'_> {
    fn walk(&mut self) -> io::Result<()> {
        // Only the given folder must be readable; errors below it are reported.
        let mut open = Vec::new();
        self.folder("", &mut open)?;
        while let Some(folder) = open.pop() {
            if let Err(error) = self.folder(&folder, &mut open) {
                self.report(folder, unreadable(&error));
            }
        }
        Ok(())
    }

    fn folder(&mut self, folder: &str, open: &mut Vec<String>) -> io::Result<()> {
        for entry in fs::read_dir(self.root.join(folder))? {
            let entry = entry?;
            let name = entry.file_name();
            let shown = name.to_string_lossy();
            let path = if folder.is_empty() { shown.to_string() } else { format!("{folder}/{shown}") };
            if shown == ".git" {
                continue;
            }
            match entry.file_type() {
                Ok(kind) if path == IGNORE_FILE && kind.is_file() => {} // Read before the walk.
                Ok(kind) => self.entry(&entry, kind, path, name.to_str().is_some(), open),
                Err(error) => self.report(path, unreadable(&error)),
            }
        }
        Ok(())
    }

    fn entry(&mut self, entry: &fs::DirEntry, kind: fs::FileType, path: String, is_text: bool, open: &mut Vec<String>) {
        let parsed = RepoPath::parse(&path).ok();
        // Names that are not valid repository paths are reported if they could have held something.
        let wanted = kind.is_dir()
            || (kind.is_symlink() && fs::metadata(entry.path()).is_ok_and(|target| target.is_dir()))
            || parsed.as_ref().is_none_or(|path| is_read(self.declared, path));
        let Some(parsed) = parsed.filter(|_| is_text && wanted) else {
            if wanted {
                let reason = "it is not valid in a repository path".to_owned();
                self.report(path, SkipReason::BadName { reason });
            }
            return;
        };
        let ignored = if kind.is_dir() { self.ignore.matches_folder(&parsed) } else { self.ignore.matches(&parsed) };
        if ignored {
            self.report(path, SkipReason::Ignored);
        } else if kind.is_dir() {
            open.push(path);
        } else if kind.is_symlink() {
            self.report(path, SkipReason::SymbolicLink);
        } else if kind.is_file() {
            let size = entry.metadata().map_or(0, |metadata| metadata.len());
            self.candidates.push(Candidate { path: parsed, size });
        } else {
            self.report(path, SkipReason::NotRegular);
        }
    }

    fn report(&mut self, path: String, reason: SkipReason) {
        self.special.push(FileChange::Special { path, reason });
    }
}

/// Reads several files at once: with many small files, most of the time is spent waiting for the disk.
fn read_all(root: &Path, batch: &[Candidate]) -> Vec<FileChange> {
    let next = AtomicUsize::new(0);
    let work = || {
        let mut done = Vec::new();
        while let Some(candidate) = batch.get(next.fetch_add(1, Ordering::Relaxed)) {
            done.push(read(&root.join(candidate.path.as_str()), candidate.path.clone()));
        }
        done
    };
    let available = std::thread::available_parallelism().map_or(1, usize::from);
    let threads = available.min(READERS).min(batch.len().div_ceil(64));
    if threads < 2 {
        return work();
    }
    std::thread::scope(|scope| {
        let others: Vec<_> = (1..threads).map(|_| scope.spawn(work)).collect();
        let mut done = work();
        for other in others {
            done.extend(other.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
        }
        done
    })
}

fn unreadable(error: &io::Error) -> SkipReason {
    SkipReason::Unreadable { reason: error.to_string() }
}

fn read(path: &Path, name: RepoPath) -> FileChange {
    let special = |name: &RepoPath, reason| FileChange::Special { path: name.to_string(), reason };
    match fs::metadata(path) {
        Ok(metadata) if metadata.len() > u64::try_from(MAX_BYTES).unwrap_or(u64::MAX) => special(&name, too_big()),
        _ => match read_bytes(path) {
            Ok(bytes) => FileChange::File { path: name, bytes },
            Err(error) => special(&name, unreadable(&error)),
        },
    }
}
