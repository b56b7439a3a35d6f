//! The entries of a tree, and what changed between two trees.

use std::collections::HashMap;
use std::fmt;

use crate::model::RepoPath;

/// Larger files are not read: nothing that Landfall edits is so large.
pub const MAX_BLOB: u64 = 16 << 20;

/// The id of a file's content. Equal ids mean equal content, in every commit and repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BlobId(pub(super) gix::ObjectId);

#[cfg(test)]
impl BlobId {
    /// The id of this content.
    pub(crate) fn of(content: &[u8]) -> Self {
        Self(gix::objs::compute_hash(gix::hash::Kind::Sha1, gix::objs::Kind::Blob, content).unwrap())
    }
}

impl fmt::Display for BlobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// A file's content, unless it is too large.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Blob {
    /// The content.
    Body(Vec<u8>),
    /// Not read; its size in bytes.
    TooLarge(u64),
}

/// What a path is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TreeEntry {
    /// A regular file.
    File {
        /// Its content.
        id: BlobId,
        /// Whether it is marked executable.
        executable: bool,
    },
    /// A symbolic link: never followed, never changed.
    Symlink,
    /// A submodule: never entered.
    Submodule,
    /// A folder.
    Folder,
}

/// A path that differs between two commits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TreeChange {
    /// The path.
    pub path: TreePath,
    /// What it is now; `None`: it is gone. A folder is listed only if its name is odd and it was not entered.
    pub now: Option<TreeEntry>,
}

/// The entry at a path, or what blocks the path.
pub(super) enum PathLookup {
    Node(gix::objs::tree::EntryMode, gix::ObjectId),
    Nothing,
    /// A component before the last is this entry, not a folder.
    Through(String, TreeEntry),
}

/// A path as it stands in a tree, where anything may stand.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum TreePath {
    /// A path that can be read and written.
    Usable(RepoPath),
    /// A path that is reported but not touched.
    Odd {
        /// The path, with everything unprintable escaped.
        shown: String,
        /// What is wrong with it.
        reason: &'static str,
    },
}

impl fmt::Display for TreePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Usable(path) => path.fmt(f),
            Self::Odd { shown, .. } => f.write_str(shown),
        }
    }
}

impl TreePath {
    /// Classifies a path as it is written in a tree.
    pub(super) fn of(path: &[u8]) -> Self {
        let odd = |reason| Self::Odd { shown: path.escape_ascii().to_string(), reason };
        let Ok(text) = std::str::from_utf8(path) else { return odd("it is not UTF-8") };
        if text.chars().any(char::is_control) {
            return odd("it has a control character");
        }
        match RepoPath::parse(text) {
            // `./x` would be parsed as `x`, but that is not what a tree with `./x` means.
            Ok(path) if path.as_str() == text => Self::Usable(path),
            Ok(_) => odd("it has a . or .. component"),
            Err(error) => odd(error.reason),
        }
    }

    /// Whether it is this path, or one below it.
    pub fn is_within(&self, place: &str) -> bool {
        let path = match self {
            Self::Usable(path) => path.as_str(),
            Self::Odd { shown, .. } => shown,
        };
        path.strip_prefix(place).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }
}

/// A limit on what one comparison of trees may find: a few kilobytes of trees that repeat each other can describe
/// millions of paths.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TreeBudget {
    /// Paths that are found or still to be walked.
    pub entries: usize,
    /// The memory they use.
    pub bytes: usize,
}

impl TreeBudget {
    /// A whole repository: more than the largest real ones.
    pub const REPOSITORY: Self = Self { entries: 500_000, bytes: 64 << 20 };
    /// What one commit of the bot may change.
    pub const COMMIT: Self = Self { entries: 50_000, bytes: 8 << 20 };
}

/// The size of an entry without its path.
const ENTRY_BYTES: usize = 100;
/// No index and no file system accepts a longer path.
const MAX_PATH: usize = 4096;
/// A larger tree would be one folder with half a million files: refused before it is read.
const MAX_TREE: u64 = 16 << 20;

/// Why two trees could not be compared.
pub(super) enum DiffError {
    /// An object cannot be read.
    Object(gix::Error),
    /// The trees exceed the limits.
    TooLarge,
}

impl From<gix::Error> for DiffError {
    fn from(error: gix::Error) -> Self {
        Self::Object(error)
    }
}

/// A folder to compare: its path with a trailing slash, and its tree before and now.
struct FolderPair {
    path: Vec<u8>,
    old: Option<gix::ObjectId>,
    new: Option<gix::ObjectId>,
}

/// Every path that differs between the two trees, sorted. Equal folders are not entered; renames are not detected.
pub(super) fn diff(
    repo: &gix::Repository,
    old: Option<gix::ObjectId>,
    new: gix::ObjectId,
    budget: TreeBudget,
) -> Result<Vec<TreeChange>, DiffError> {
    let mut walk =
        Walk { folders: vec![FolderPair { path: Vec::new(), old, new: Some(new) }], changes: Vec::new(), bytes: 0 };
    let (mut old_buffer, mut new_buffer) = (Vec::new(), Vec::new());
    // An explicit stack: whoever wrote the repository controls how deep folders are nested.
    while let Some(folder) = walk.folders.pop() {
        if folder.old == folder.new {
            continue;
        }
        let mut before = entries(repo, folder.old, &mut old_buffer)?;
        for (name, new) in &entries(repo, folder.new, &mut new_buffer)? {
            let old = before.remove(name);
            walk.compare(&folder.path, name, old, Some(*new));
        }
        for (name, old) in before {
            walk.compare(&folder.path, name, Some(old), None);
        }
        if walk.changes.len() + walk.folders.len() > budget.entries || walk.bytes > budget.bytes {
            return Err(DiffError::TooLarge);
        }
    }
    walk.changes.sort_unstable_by(|a, b| a.path.cmp(&b.path));
    Ok(walk.changes)
}

type Node = (gix::objs::tree::EntryMode, gix::ObjectId);

fn entries<'a>(
    repo: &gix::Repository,
    id: Option<gix::ObjectId>,
    buffer: &'a mut Vec<u8>,
) -> Result<std::collections::BTreeMap<&'a [u8], Node>, DiffError> {
    use gix::objs::FindExt as _;
    let Some(id) = id.filter(|id| !id.is_empty_tree()) else { return Ok(std::collections::BTreeMap::new()) };
    if repo.find_header(id)?.size() > MAX_TREE {
        return Err(DiffError::TooLarge);
    }
    let tree = repo.objects.find_tree_iter(&id, buffer)?;
    let entries = tree.map(|entry| entry.map(|entry| (&**entry.filename, (entry.mode, entry.oid.to_owned()))));
    entries.collect::<Result<_, gix::Error>>().map_err(DiffError::from)
}

/// The entries at many paths; each folder is read once.
pub(super) fn find_all<'p>(
    repo: &gix::Repository,
    root: gix::ObjectId,
    paths: impl IntoIterator<Item = &'p RepoPath>,
) -> Result<HashMap<RepoPath, PathLookup>, gix::Error> {
    use gix::objs::FindExt as _;
    let watched = WatchedFiles::new(paths);
    let mut found = HashMap::new();
    let mut buffer = Vec::new();
    let mut open = vec![(root, String::new(), &watched)];
    while let Some((tree, prefix, watched)) = open.pop() {
        if tree.is_empty_tree() {
            continue;
        }
        for entry in repo.objects.find_tree_iter(&tree, &mut buffer)? {
            let entry = entry?;
            let (name, mode, id) = (&**entry.filename, entry.mode, entry.oid.to_owned());
            if let Some(path) = watched.files.get(name) {
                found.entry(path.clone()).or_insert(PathLookup::Node(mode, id));
            }
            let Some(below) = watched.folders.get(name) else { continue };
            let place = format!("{prefix}{}", String::from_utf8_lossy(name));
            if mode.is_tree() {
                open.push((id, format!("{place}/"), below));
                continue;
            }
            below.each(&mut |path| {
                drop(found.insert(path.clone(), PathLookup::Through(place.clone(), self::entry((mode, id)))));
            });
        }
    }
    watched.each(&mut |path| {
        found.entry(path.clone()).or_insert(PathLookup::Nothing);
    });
    Ok(found)
}

struct Walk {
    folders: Vec<FolderPair>,
    changes: Vec<TreeChange>,
    /// The size of all of them, including those already walked.
    bytes: usize,
}

impl Walk {
    fn compare(&mut self, folder: &[u8], name: &[u8], old: Option<Node>, new: Option<Node>) {
        if old == new {
            return;
        }
        let mut path = [folder, name].concat();
        self.bytes += path.len() + ENTRY_BYTES;
        let judged = TreePath::of(&path);
        let tree = |node: Option<Node>| node.filter(|(mode, _)| mode.is_tree()).map(|(_, id)| id);
        let usable = matches!(judged, TreePath::Usable(_)) && path.len() <= MAX_PATH;
        let (was, now) = (old.map(entry), new.map(entry));
        let leaf = |entry: Option<TreeEntry>| entry.filter(|entry| !usable || *entry != TreeEntry::Folder);
        if leaf(was) != leaf(now) || !usable {
            self.changes.push(TreeChange { path: judged, now: leaf(now) });
        }
        if usable && (tree(old).is_some() || tree(new).is_some()) {
            path.push(b'/');
            self.folders.push(FolderPair { path, old: tree(old), new: tree(new) });
        }
    }
}

/// Files to look for in trees, by folder.
#[derive(Debug, Default)]
pub struct WatchedFiles {
    folders: HashMap<Vec<u8>, WatchedFiles>,
    files: HashMap<Vec<u8>, RepoPath>,
}

impl WatchedFiles {
    /// Watches these files.
    #[must_use]
    pub fn new<'p>(paths: impl IntoIterator<Item = &'p RepoPath>) -> Self {
        let mut root = Self::default();
        for path in paths {
            let folders = path.parent().split('/').filter(|folder| !folder.is_empty());
            let at = folders.fold(&mut root, |at, folder| at.folders.entry(folder.as_bytes().to_vec()).or_default());
            at.files.insert(path.file_name().as_bytes().to_vec(), path.clone());
        }
        root
    }

    fn each(&self, visit: &mut dyn FnMut(&RepoPath)) {
        self.files.values().for_each(&mut *visit);
        self.folders.values().for_each(|below| below.each(visit));
    }
}

/// Those of the watched files that differ between the two trees, each with its entry in the old one. Equal folders are
/// not entered.
pub(super) fn changed(
    repo: &gix::Repository,
    old: Option<gix::ObjectId>,
    new: gix::ObjectId,
    watched: &WatchedFiles,
) -> Result<Vec<(RepoPath, Option<TreeEntry>)>, gix::Error> {
    let mut changes = Vec::new();
    let mut open = vec![(old, Some(new), watched)];
    let (mut old_buffer, mut new_buffer) = (Vec::new(), Vec::new());
    while let Some((old, new, watched)) = open.pop() {
        if old == new {
            continue;
        }
        for (name, was, now) in pairs(repo, (old, &mut old_buffer), (new, &mut new_buffer))? {
            if let Some(path) = watched.files.get(&name) {
                let leaf = |node: Option<Node>| node.map(entry).filter(|entry| *entry != TreeEntry::Folder);
                if leaf(was) != leaf(now) {
                    changes.push((path.clone(), leaf(was)));
                }
            }
            if let Some(folder) = watched.folders.get(&name) {
                let tree = |node: Option<Node>| node.filter(|(mode, _)| mode.is_tree()).map(|(_, id)| id);
                open.push((tree(was), tree(now), folder));
            }
        }
    }
    Ok(changes)
}

/// The name of an entry, and what it is in either of two trees.
type Pair = (Vec<u8>, Option<Node>, Option<Node>);

/// The names whose entries differ. A file that became a folder has two positions in Git's order, so it yields two
/// pairs: one that is gone and one that is new.
fn pairs(
    repo: &gix::Repository,
    (old, old_buffer): (Option<gix::ObjectId>, &mut Vec<u8>),
    (new, new_buffer): (Option<gix::ObjectId>, &mut Vec<u8>),
) -> Result<Vec<Pair>, gix::Error> {
    use std::cmp::Ordering;
    let (mut before, mut after) =
        (listed(repo, old, old_buffer)?.peekable(), listed(repo, new, new_buffer)?.peekable());
    let mut pairs = Vec::new();
    let node = |entry: &gix::objs::tree::EntryRef<'_>| (entry.mode, entry.oid.to_owned());
    loop {
        let order = match (before.peek(), after.peek()) {
            (Some(Ok(was)), Some(Ok(now))) => was.cmp(now),
            (Some(_), Some(Err(_)) | None) => Ordering::Less,
            (Some(Err(_)) | None, Some(_)) => Ordering::Greater,
            (None, None) => return Ok(pairs),
        };
        let was = if order.is_le() { before.next().transpose()? } else { None };
        let now = if order.is_ge() { after.next().transpose()? } else { None };
        let name = was.as_ref().or(now.as_ref()).map(|entry| entry.filename.to_vec()).unwrap_or_default();
        let (was, now) = (was.as_ref().map(node), now.as_ref().map(node));
        if was != now {
            pairs.push((name, was, now));
        }
    }
}

fn listed<'a>(
    repo: &gix::Repository,
    id: Option<gix::ObjectId>,
    buffer: &'a mut Vec<u8>,
) -> Result<impl Iterator<Item = Result<gix::objs::tree::EntryRef<'a>, gix::Error>>, gix::Error> {
    use gix::objs::FindExt as _;
    let found = match id.filter(|id| !id.is_empty_tree()) {
        Some(id) => Some(repo.objects.find_tree_iter(&id, buffer)?),
        None => None,
    };
    Ok(found.into_iter().flatten())
}

/// The kind of a tree's entry; anything but a tree, link or submodule counts as a file, as in Git.
pub(super) fn entry((mode, id): Node) -> TreeEntry {
    if mode.is_tree() {
        TreeEntry::Folder
    } else if mode.is_link() {
        TreeEntry::Symlink
    } else if mode.is_commit() {
        TreeEntry::Submodule
    } else {
        TreeEntry::File { id: BlobId(id), executable: mode.is_executable() }
    }
}
