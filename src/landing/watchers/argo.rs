//! What an Argo CD Application reads.

use crate::model::RepoPath;
use crate::model::glob::{Glob, Separators};
use crate::model::observation::{AppSource, Application, Hydrator, Object};
use crate::overlay::normal_folder;

use super::address::Address;
use super::index::{EntryInput, EntryOrigin, WatchEntry};
use super::revision::FollowedRevision;
use super::say::{Miss, is_manifest};
use super::{Via, WatchNote};

/// A source's folder.
#[derive(Debug)]
pub(super) struct Folder<'a> {
    pub(super) path: String,
    pub(super) plugin: bool,
    pub(super) hydrated: bool,
    recurse: bool,
    include: Option<&'a str>,
    exclude: Option<&'a str>,
}

/// Everything that an Application reads from Git.
pub(super) fn entries<'a>(object: &'a Object, app: &'a Application, put: &mut dyn FnMut(WatchEntry<'a>)) {
    if let Some(hydrator) = &app.hydrator {
        hydrated(object, hydrator, put);
    }
    for (number, source) in app.sources.iter().enumerate() {
        source_entries(object, app, number, source, put);
    }
}

fn hydrated<'a>(object: &'a Object, hydrator: &'a Hydrator, put: &mut dyn FnMut(WatchEntry<'a>)) {
    let path = normal_folder(hydrator.dry_path.as_deref().unwrap_or("."));
    let (Some(address), Some(path)) = (Address::parse(&hydrator.dry_repo_url), path) else { return };
    let folder = Folder { path, plugin: false, hydrated: true, recurse: false, include: None, exclude: None };
    put(WatchEntry {
        object,
        source: None,
        origin: EntryOrigin::Address(address),
        target: FollowedRevision::argo(hydrator.dry_target_revision.as_deref()),
        reads: EntryInput::Argo(folder),
    });
}

fn source_entries<'a>(
    object: &'a Object,
    app: &'a Application,
    number: usize,
    source: &'a AppSource,
    put: &mut dyn FnMut(WatchEntry<'a>),
) {
    let filled = |text: &'a Option<String>| text.as_deref().filter(|text| !text.trim().is_empty());
    let is_chart = filled(&source.chart).is_some();
    // A source with `ref` and no path only provides files to others.
    let path = match filled(&source.path) {
        Some(path) => Some(path),
        None => (source.reference.is_none() && !is_chart).then_some("."),
    };
    let folder = path.and_then(normal_folder).filter(|_| !is_chart);
    let address = Address::parse(&source.repo_url);
    if let (Some(path), Some(address)) = (&folder, &address) {
        let reads = EntryInput::Argo(Folder {
            path: path.clone(),
            plugin: source.has_plugin,
            hydrated: false,
            recurse: source.directory_recurse == Some(true),
            include: filled(&source.directory_include),
            exclude: filled(&source.directory_exclude),
        });
        let target = FollowedRevision::argo(source.target_revision.as_deref());
        put(WatchEntry { object, source: Some(number), origin: EntryOrigin::Address(address.clone()), target, reads });
    }
    let values = source.value_files.iter().map(|file| (file, Via::ValueFile));
    let parameters = source.file_parameters.iter().map(|file| (file, Via::FileParameter));
    for (file, via) in values.chain(parameters) {
        let file = substituted(file, object, app);
        let Some((at, path, via)) = resolved(app, number, folder.as_deref(), &file, via) else { continue };
        let Some(lender) = app.sources.get(at) else { continue };
        let Some(address) = Address::parse(&lender.repo_url) else { continue };
        put(WatchEntry {
            object,
            source: Some(at),
            origin: EntryOrigin::Address(address),
            target: FollowedRevision::argo(lender.target_revision.as_deref()),
            reads: EntryInput::File { path, via },
        });
    }
}

/// Substitutes the build environment of Argo CD in the names of value files (argo-cd: `util/argo/argo.go`, docs "Build
/// Environment"), as far as the specification determines it.
fn substituted(file: &str, object: &Object, app: &Application) -> String {
    if !file.contains("ARGOCD_APP_") {
        return file.to_owned();
    }
    let namespace = app.destination.namespace.as_deref().unwrap_or_default();
    let project = app.project.as_deref().unwrap_or("default");
    let mut file = file.to_owned();
    for (name, value) in [
        ("ARGOCD_APP_NAMESPACE", namespace),
        ("ARGOCD_APP_PROJECT_NAME", project),
        ("ARGOCD_APP_NAME", object.name.as_str()),
    ] {
        file = file.replace(&format!("${{{name}}}"), value).replace(&format!("${name}"), value);
    }
    file
}

/// Which source's repository a value file is in, and its path from that repository's root.
fn resolved(
    app: &Application,
    number: usize,
    folder: Option<&str>,
    file: &str,
    via: Via,
) -> Option<(usize, String, Via)> {
    if file.contains("://") {
        return None;
    }
    if let Some(rest) = file.strip_prefix('$')
        && let Some((name, path)) = rest.split_once('/')
        && let Some(at) = app.sources.iter().position(|source| {
            source.reference.as_deref().is_some_and(|reference| reference.trim_start_matches('$') == name)
        })
    {
        return Some((at, normal_folder(path)?, Via::RefValueFile(name.to_owned())));
    }
    // `/file` starts at the repository's root, whatever the source's path.
    let path = match file.strip_prefix('/') {
        Some(path) => normal_folder(path),
        None => normal_folder(&format!("{}/{file}", folder?)),
    };
    Some((number, path?, via))
}

impl Folder<'_> {
    /// Whether a plain directory, without a kustomization or a chart, applies this file.
    pub(super) fn takes(&self, path: &RepoPath) -> Result<Via, Miss> {
        if !is_manifest(path) {
            return Err(Miss::NotManifest);
        }
        if path.parent() != self.path && !self.recurse {
            return Err(Miss::NotRecursive(self.path.clone()));
        }
        let inside = path.as_str().strip_prefix(self.path.as_str()).unwrap_or(path.as_str()).trim_start_matches('/');
        if let Some(exclude) = self.exclude.filter(|pattern| matches(pattern, inside)) {
            return Err(Miss::Filtered("exclude", exclude.to_owned()));
        }
        if let Some(include) = self.include.filter(|pattern| !matches(pattern, inside)) {
            return Err(Miss::Filtered("include", include.to_owned()));
        }
        Ok(Via::Path)
    }
}

/// Matches as Argo CD does: `*` also crosses `/`; an invalid pattern matches nothing.
fn matches(pattern: &str, path: &str) -> bool {
    Glob::new(pattern, Separators::Cross).is_ok_and(|glob| glob.is_match(path))
}

/// The note for an Application whose `manifest-generate-paths` leaves a file out.
pub(super) fn generate_paths(object: &Object, reads: &EntryInput<'_>, path: &RepoPath) -> Option<WatchNote> {
    let annotation = object.annotations.get("argocd.argoproj.io/manifest-generate-paths")?;
    let folder = reads.folder().unwrap_or_default();
    let covers = |written: &str| {
        let written = written.trim();
        let at = match written.strip_prefix('/') {
            Some(path) => normal_folder(path),
            None => normal_folder(&format!("{folder}/{written}")),
        };
        at.is_some_and(|at| is_below(&at, path.as_str()) || at == path.as_str() || matches(&at, path.as_str()))
    };
    let mut paths = annotation.split(';').filter(|path| !path.trim().is_empty()).peekable();
    (paths.peek().is_some() && !paths.any(covers)).then_some(WatchNote::OutsideGeneratePaths)
}

/// Whether a path is inside a folder, on whole components.
pub(super) fn is_below(folder: &str, path: &str) -> bool {
    folder.is_empty() || path.strip_prefix(folder).is_some_and(|rest| rest.starts_with('/'))
}
