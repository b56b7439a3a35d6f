//! Which folders are built from a file: the graph of kustomizations and charts of a tree, updated by what changed.
//!
//! Promise: [`Reach::of`] finds every kustomization for which `kustomize build` would read the file, through any number
//! of bases and components, and every chart that packages it. Cycles end; beyond [`MAX_ROOTS`] the result is marked as
//! truncated. Nothing outside the repository is followed: [`Reach::remote`] lists what that leaves open.
//!
//! Design: edges are stored backwards, from the named file to the files that name it, so that a query costs what it
//! returns. A change costs the links of its own file.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::FileScan;
use super::kinds::{KUSTOMIZATION_FILES, is_kustomization_file};
use super::links::{Declares, LinkField, Links, join};
use crate::model::RepoPath;

/// Maximum number of folders that one file is traced to.
pub const MAX_ROOTS: usize = 20_000;

/// Maximum number of times that a file, and what is built from it, is named, for its namespace to be known.
const MAX_NAMING: usize = 64;

/// The graph.
#[derive(Debug, Clone, Default)]
pub struct Reach {
    /// Files with links, or that declare objects.
    files: HashMap<String, Links>,
    /// Folders with a kustomization → whether it could be read.
    kustomizations: BTreeMap<String, Build>,
    /// Folders with a `Chart.yaml`.
    charts: HashSet<String>,
    /// Path → the files that name it.
    named_by: HashMap<String, Vec<(String, LinkField)>>,
}

/// Whether it is known what a kustomization is built from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Build {
    Read,
    Unreadable,
}

/// A folder that is built from a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BuildRoot<'r> {
    /// The folder; empty for the repository's root.
    pub folder: &'r str,
    /// The field through which it leads to the file; `None` if the file is its own.
    pub field: Option<LinkField>,
}

/// Everything that is built from a file.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Reached<'r> {
    /// Folders with a kustomization, nearest first.
    pub kustomizations: Vec<BuildRoot<'r>>,
    /// Folders with a chart that packages it, nearest first.
    pub charts: Vec<BuildRoot<'r>>,
    /// Whether there were more than [`MAX_ROOTS`].
    pub truncated: bool,
    /// How many links were followed: what finding this has cost.
    pub followed: usize,
}

impl Reach {
    /// A graph of no files.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a new or changed file.
    pub fn set(&mut self, path: &RepoPath, scan: &FileScan) {
        self.remove(path.as_str());
        let folder = path.parent().to_owned();
        if is_kustomization_file(path.file_name()) {
            // A file that is left alone as a whole has one reason and no links.
            let unread = scan.links == Links::default() && scan.pins.is_empty() && !scan.skipped.is_empty();
            self.kustomizations.insert(folder, if unread { Build::Unreadable } else { Build::Read });
        } else if path.file_name() == "Chart.yaml" {
            self.charts.insert(folder);
        }
        if scan.links != Links::default() {
            for link in &scan.links.links {
                self.named_by.entry(link.to.clone()).or_default().push((path.as_str().to_owned(), link.field));
            }
            self.files.insert(path.as_str().to_owned(), scan.links.clone());
        }
    }

    /// Removes a path.
    pub fn remove(&mut self, path: &str) {
        let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
        if is_kustomization_file(name) {
            self.kustomizations.remove(folder);
        } else if name == "Chart.yaml" {
            self.charts.remove(folder);
        }
        for link in self.files.remove(path).map(|links| links.links).unwrap_or_default() {
            if let Some(names) = self.named_by.get_mut(&link.to) {
                names.retain(|(from, _)| from != path);
                if names.is_empty() {
                    self.named_by.remove(&link.to);
                }
            }
        }
    }

    /// Whether a folder has a kustomization.
    #[must_use]
    pub fn has_kustomization(&self, folder: &str) -> bool {
        self.kustomizations.contains_key(folder)
    }

    /// Whether a folder has a kustomization that cannot be read, so that it is unknown what it is built from.
    #[must_use]
    pub fn is_unreadable(&self, folder: &str) -> bool {
        self.kustomizations.get(folder) == Some(&Build::Unreadable)
    }

    /// Whether a folder is a chart.
    #[must_use]
    pub fn has_chart(&self, folder: &str) -> bool {
        self.charts.contains(folder)
    }

    /// Objects in a file whose own specification may hold pins.
    #[must_use]
    pub fn declares(&self, path: &RepoPath) -> &[Declares] {
        self.files.get(path.as_str()).map_or(&[], |links| &links.declares)
    }

    /// Addresses outside the repository that a folder's kustomization is built from.
    #[must_use]
    pub fn remote(&self, folder: &str) -> Vec<&str> {
        let links = KUSTOMIZATION_FILES.iter().filter_map(|name| self.files.get(&join(folder, name)?));
        links.flat_map(|links| &links.remote).map(String::as_str).collect()
    }

    /// The namespace that a file's objects get from the kustomizations which are built from it, if all that nothing else is built from
    /// give the same; of two on one way, the outer one counts, as in `kustomize build`. `None`, too, where there are very many of them.
    #[must_use]
    pub fn namespace(&self, path: &RepoPath) -> Option<&str> {
        let mut open = vec![(path.as_str(), None)];
        let (mut left, mut known) = (MAX_NAMING, None);
        while let Some((place, inner)) = open.pop() {
            let mut is_root = true;
            for (from, field) in self.named_by.get(place).into_iter().flatten() {
                left = usize::checked_sub(left, 1)?;
                let (folder, name) = from.rsplit_once('/').unwrap_or(("", from));
                let lists = matches!(field, LinkField::Resources | LinkField::Bases | LinkField::Components);
                if lists && is_kustomization_file(name) {
                    is_root = false;
                    let outer = self.files.get(from).and_then(|links| links.namespace.as_deref());
                    open.push((folder, outer.or(inner)));
                }
            }
            if is_root && *known.get_or_insert(inner) != inner {
                return None;
            }
        }
        known.flatten()
    }

    /// What is built from a file.
    #[must_use]
    pub fn of(&self, path: &RepoPath) -> Reached<'_> {
        let mut search = Search { reach: self, found: Reached::default(), seen: HashSet::new(), open: Vec::new() };
        if is_kustomization_file(path.file_name())
            && let Some((folder, _)) = self.kustomizations.get_key_value(path.parent())
        {
            search.kustomization(folder, None);
        }
        search.named(path.as_str());
        for folder in ancestors(path.parent()) {
            if let Some(folder) = self.charts.get(folder)
                && is_packaged(folder, path.as_str())
            {
                search.chart(folder, None);
            }
        }
        search.run();
        search.found
    }
}

/// A folder and its parents, with the repository's root last.
pub(crate) fn ancestors(folder: &str) -> impl Iterator<Item = &str> {
    std::iter::successors(Some(folder), |folder| {
        (!folder.is_empty()).then(|| folder.rsplit_once('/').map_or("", |(parent, _)| parent))
    })
}

/// Converts a folder as a person writes it (`./apps/web/`, `/`, `.`) into a path from the repository's root; `None` if
/// it leaves the repository.
#[must_use]
pub fn normal_folder(text: &str) -> Option<String> {
    join("", text.trim_start_matches('/'))
}

/// Whether a chart's own build reads a file in its folder; other files there count only if something names them.
fn is_packaged(chart: &str, path: &str) -> bool {
    let inside = if chart.is_empty() { Some(path) } else { path.strip_prefix(chart).and_then(|p| p.strip_prefix('/')) };
    inside.is_some_and(|inside| {
        matches!(inside, "values.yaml" | "Chart.yaml")
            || ["templates/", "crds/", "charts/"].iter().any(|folder| inside.starts_with(folder))
    })
}

struct Search<'r> {
    reach: &'r Reach,
    found: Reached<'r>,
    seen: HashSet<(&'r str, bool)>,
    open: Vec<&'r str>,
}

impl<'r> Search<'r> {
    /// Visits all that name a file or folder.
    fn named(&mut self, what: &str) {
        for (file, field) in self.reach.named_by.get(what).map_or(&[][..], Vec::as_slice) {
            self.found.followed += 1;
            let (folder, _) = file.rsplit_once('/').unwrap_or(("", file));
            if *field == LinkField::ChartDependency {
                self.chart(folder, Some(*field));
            } else {
                self.kustomization(folder, Some(*field));
            }
        }
    }

    fn kustomization(&mut self, folder: &'r str, field: Option<LinkField>) {
        if self.is_new(folder, false) {
            self.found.kustomizations.push(BuildRoot { folder, field });
        }
    }

    fn chart(&mut self, folder: &'r str, field: Option<LinkField>) {
        if self.is_new(folder, true) {
            self.found.charts.push(BuildRoot { folder, field });
        }
    }

    fn is_new(&mut self, folder: &'r str, chart: bool) -> bool {
        if self.seen.contains(&(folder, chart)) {
            return false;
        }
        if self.seen.len() >= MAX_ROOTS {
            self.found.truncated = true;
            return false;
        }
        self.seen.insert((folder, chart));
        self.open.push(folder);
        true
    }

    fn run(&mut self) {
        let mut next = 0;
        while let Some(folder) = self.open.get(next).copied() {
            next += 1;
            self.named(folder);
        }
    }
}
