//! Who watches what: one table per tool, and what is said when nobody does.

mod address;
mod argo;
mod flux;
mod silence;

use serde_json::Value;

use super::{Coverage, Follows, FoundWatchers, Miss, RepositoryAddresses, Via, WatchedFile, WatcherIndex, watchers};
use crate::cluster::object::read;
use crate::model::observation::Object;
use crate::model::{BranchName, RepoPath};
use crate::overlay::{FileChange, PinIndex as Files};

const URL: &str = "https://github.com/acme/deploys.git";

/// An object from the YAML of its metadata and the rest.
fn object(api_version: &str, kind: &str, metadata: &str, rest: &str) -> Object {
    let text = format!("apiVersion: {api_version}\nkind: {kind}\nmetadata: {{{metadata}}}\n{rest}\n");
    let value: Value = serde_saphyr::from_str(&text).unwrap_or_else(|error| panic!("{text}: {error}"));
    read(&value).unwrap()
}

/// An Application `web` of this specification.
fn app(spec: &str) -> Object {
    object("argoproj.io/v1alpha1", "Application", "name: web, namespace: argocd", &format!("spec: {spec}"))
}

/// An Application with one source of the repository.
fn source(fields: &str) -> Object {
    app(&format!("{{source: {{repoURL: '{URL}', targetRevision: main, {fields}}}}}"))
}

/// A GitRepository `deploys` of the repository.
fn git_repository(fields: &str) -> Object {
    let spec = format!("spec: {{url: '{URL}', ref: {{branch: main}}, {fields}}}");
    object("source.toolkit.fluxcd.io/v1", "GitRepository", "name: deploys, namespace: flux-system", &spec)
}

/// A Flux Kustomization `apps` of that source.
fn kustomization(fields: &str) -> Object {
    let spec = format!("spec: {{sourceRef: {{kind: GitRepository, name: deploys}}, {fields}}}");
    object("kustomize.toolkit.fluxcd.io/v1", "Kustomization", "name: apps, namespace: flux-system", &spec)
}

fn files(files: &[(&str, &str)]) -> Files {
    let mut index = Files::new();
    let change = |(path, text): &(&str, &str)| FileChange::File {
        path: RepoPath::parse(path).unwrap(),
        bytes: text.as_bytes().to_vec(),
    };
    index.update(files.iter().map(change).collect());
    index
}

fn ask(tree: &[(&str, &str)], objects: &[Object], file: &str, coverage: &Coverage) -> FoundWatchers {
    let repository = RepositoryAddresses::new([URL], Some(BranchName::parse("main").unwrap()));
    ask_of(&repository, tree, objects, file, coverage)
}

fn ask_of(
    repository: &RepositoryAddresses,
    tree: &[(&str, &str)],
    objects: &[Object],
    file: &str,
    coverage: &Coverage,
) -> FoundWatchers {
    let (files, branch, path) = (files(tree), BranchName::parse("main").unwrap(), RepoPath::parse(file).unwrap());
    let place = WatchedFile {
        repository,
        branch: &branch,
        path: &path,
        document: 0,
        tree: files.reach(),
        source_ignore: "/ignored/\n",
    };
    watchers(&place, &WatcherIndex::build(objects, coverage))
}

/// The answer in a line.
fn shown(watch: &FoundWatchers) -> String {
    let misses = |near: &[super::NearMiss]| {
        let word = |near: &super::NearMiss| format!("{} {}", near.object.name, miss(&near.why));
        near.iter().map(word).collect::<Vec<_>>().join(", ")
    };
    match watch {
        FoundWatchers::By { watchers, .. } => {
            let one = |watcher: &super::Watcher| {
                let source = watcher.source.map_or_else(String::new, |source| format!("[{source}]"));
                let notes: String = watcher.notes.iter().map(|note| format!(" {note:?}")).collect();
                format!("{}{source} {}{}{notes}", watcher.object.name, via(&watcher.via), follows(&watcher.follows))
            };
            watchers.iter().map(one).collect::<Vec<_>>().join(", ")
        }
        FoundWatchers::Orphan { near } => format!("nobody: {}", misses(near)),
        FoundWatchers::CannotTell { why, .. } => {
            let words =
                why.iter().map(|blind| format!("{blind:?}").chars().take_while(|c| c.is_alphabetic()).collect());
            format!("cannot tell: {}", words.collect::<Vec<String>>().join(", "))
        }
    }
}

fn via(via: &Via) -> String {
    match via {
        Via::Path => "path".to_owned(),
        Via::ValueFile => "values".to_owned(),
        Via::RefValueFile(name) => format!("values ${name}"),
        Via::FileParameter => "parameter".to_owned(),
        Via::Kustomization(folder, None) => format!("kustomization {folder}"),
        Via::Kustomization(folder, Some(field)) => format!("kustomization {folder} {}", field.as_str()),
        Via::Chart(folder, None) => format!("chart {folder}"),
        Via::Chart(folder, Some(field)) => format!("chart {folder} {}", field.as_str()),
    }
}

fn follows(follows: &Follows) -> String {
    match follows {
        Follows::Branch => String::new(),
        other => format!(" {other:?}"),
    }
}

fn miss(miss: &Miss) -> String {
    match miss {
        Miss::Revision(which) => format!("reads {which}"),
        Miss::Pinned(which) => format!("pinned to {which}"),
        Miss::NotRecursive(_) => "not recursive".to_owned(),
        Miss::Filtered(field, _) => format!("filtered by {field}"),
        Miss::NotReached(folder) => format!("not reached from {folder}"),
        Miss::NotNamed(folder) => format!("not named by {folder}"),
        Miss::NotManifest => "no manifest".to_owned(),
        Miss::Ignored(_) => "ignored".to_owned(),
        Miss::NotCheckedOut(_) => "not checked out".to_owned(),
        Miss::Elsewhere(folder) => format!("elsewhere {folder}"),
        Miss::OtherAddress(address) => format!("at {address}"),
        Miss::AppliedByHand => "by hand".to_owned(),
    }
}

/// Each case: what it shows, the tree, the objects, the file, and the answer when everything is seen.
type Case<'t> = (&'t str, &'t [(&'t str, &'t str)], Vec<Object>, &'t str, &'t str);

fn check(cases: &[Case<'_>]) {
    for (what, tree, objects, file, expected) in cases {
        assert_eq!(shown(&ask(tree, objects, file, &Coverage::complete())), *expected, "{what}");
    }
}
