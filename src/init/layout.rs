//! Where the environments of a repository are, seen from the places of its pins.
//!
//! An environment is a folder (`apps/web/overlays/prod/…`, `clusters/prod/web/…`) or part of a file's name (`values-prod.yaml`). Places
//! of the same depth are one shape, from which a policy's path pattern is made: what differs nearest before the environment is the app.

use std::collections::{BTreeMap, BTreeSet};

use super::stage::{Certainty, Stage, stage_of};
use crate::model::{Pin, RepoPath};

/// Folders that hold apps rather than being one.
const CONTAINERS: &[&str] = &[
    "apps",
    "applications",
    "app",
    "services",
    "service",
    "components",
    "workloads",
    "projects",
    "charts",
    "helm",
    "releases",
    "deployments",
    "namespaces",
    "tenants",
    "teams",
    "infrastructure",
    "infra",
    "platform",
    "addons",
];

/// Folders between an app and its environment that say nothing.
const FILLERS: &[&str] = &[
    "overlays",
    "overlay",
    "envs",
    "env",
    "environments",
    "environment",
    "config",
    "configs",
    "deploy",
    "k8s",
    "kubernetes",
    "manifests",
    "kustomize",
    "chart",
    "helm",
    "values",
    "variants",
    "rings",
    "clusters",
    "stages",
];

/// The endings of files that may hold pins.
const ENDINGS: &[&str] = &[".yaml", ".yml", ".json"];

/// The environments of a repository.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Layout {
    /// In the order of their stages.
    pub environments: Vec<EnvironmentLayout>,
    /// How many pins are outside of all of them: in bases, or in a repository with one environment.
    pub rest: usize,
}

/// One environment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EnvironmentLayout {
    /// Its name, as its folders are called.
    pub name: String,
    /// Its stage.
    pub stage: Stage,
    /// The path patterns that select it, without any other environment.
    pub patterns: BTreeSet<String>,
    /// How many pins are in it.
    pub pins: usize,
}

/// Where in a path an environment is named.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Position {
    /// The folder at this depth.
    Folder(usize),
    /// The file's own name, at this depth.
    File(usize),
}

/// A pin's path, and the environment in it.
struct Place<'p> {
    segments: Vec<&'p str>,
    position: Position,
    name: &'p str,
    stage: Stage,
}

impl Layout {
    /// The layout that pins show.
    #[must_use]
    pub fn of(pins: &[Pin]) -> Self {
        let mut by_path: BTreeMap<&RepoPath, usize> = BTreeMap::new();
        for pin in pins {
            *by_path.entry(&pin.path).or_default() += 1;
        }
        let certain: BTreeSet<Position> = by_path
            .keys()
            .flat_map(|path| named(path).into_iter().filter(|(.., sure)| *sure == Certainty::Certain))
            .map(|(position, ..)| position)
            .collect();
        let (mut places, mut rest) = (Vec::new(), 0);
        for (path, count) in &by_path {
            // The first one names the environment: what is below it belongs to it.
            match named(path)
                .into_iter()
                .find(|(position, _, _, sure)| *sure == Certainty::Certain || certain.contains(position))
            {
                Some((position, name, stage, _)) => {
                    places
                        .push((Place { segments: path.as_str().split('/').collect(), position, name, stage }, *count));
                }
                None => rest += count,
            }
        }
        Self { environments: environments(&places), rest }
    }
}

/// What in a path may name an environment, from the root on.
fn named(path: &RepoPath) -> Vec<(Position, &str, Stage, Certainty)> {
    let segments: Vec<&str> = path.as_str().split('/').collect();
    let Some((file, folders)) = segments.split_last() else { return Vec::new() };
    let of_folder = |(depth, name): (usize, &&'_ str)| stage_of(name).map(|(stage, sure)| (depth, stage, sure));
    let mut found: Vec<_> = folders
        .iter()
        .enumerate()
        .filter_map(|at| {
            of_folder(at).map(|(depth, stage, sure)| (Position::Folder(depth), folders[depth], stage, sure))
        })
        .collect();
    let stem = ENDINGS.iter().find_map(|ending| file.strip_suffix(ending)).unwrap_or(file);
    // `values-prod.yaml`, `values.prod.yaml`, `prod-values.yaml`, `prod.yaml`
    let word = stem
        .strip_prefix("values-")
        .or_else(|| stem.strip_prefix("values."))
        .or_else(|| stem.strip_prefix("values_"))
        .or_else(|| stem.strip_suffix("-values"))
        .or_else(|| stem.strip_suffix(".values"))
        .unwrap_or(stem);
    if let Some((stage, sure)) = stage_of(word) {
        found.push((Position::File(folders.len()), word, stage, sure));
    }
    found
}

fn environments(places: &[(Place<'_>, usize)]) -> Vec<EnvironmentLayout> {
    let mut shapes: BTreeMap<(Position, &str), Vec<&Place<'_>>> = BTreeMap::new();
    for (place, _) in places {
        shapes.entry((place.position, place.root())).or_default().push(place);
    }
    let mut found: BTreeMap<(Stage, &str), EnvironmentLayout> = BTreeMap::new();
    // Places that differ in nothing that a pattern is made from have the same one: it looks at the whole shape.
    let mut patterns: BTreeMap<(Position, &str, &str, &str), Option<String>> = BTreeMap::new();
    for (place, count) in places {
        let (position, root) = (place.position, place.root());
        let pattern = patterns
            .entry((position, root, place.name, place.file()))
            .or_insert_with(|| shapes.get(&(position, root)).map(|shape| pattern(place, shape)));
        let environment = found.entry((place.stage, place.name)).or_insert_with(|| EnvironmentLayout {
            name: place.name.to_owned(),
            stage: place.stage,
            patterns: BTreeSet::new(),
            pins: 0,
        });
        environment.patterns.extend(pattern.clone());
        environment.pins += count;
    }
    found.into_values().collect()
}

impl<'p> Place<'p> {
    /// The folder at the repository's root, unless that is the environment itself.
    fn root(&self) -> &'p str {
        match self.position {
            Position::Folder(0) | Position::File(0) => "",
            _ => self.segments.first().copied().unwrap_or_default(),
        }
    }

    /// The file's name, if that is what names the environment.
    fn file(&self) -> &'p str {
        match self.position {
            Position::Folder(_) => "",
            Position::File(_) => self.segments.last().copied().unwrap_or_default(),
        }
    }

    fn depth(&self) -> usize {
        match self.position {
            Position::Folder(depth) | Position::File(depth) => depth,
        }
    }
}

/// The pattern for a place, from all places of its shape.
fn pattern(place: &Place<'_>, shape: &[&Place<'_>]) -> String {
    let depth = place.depth();
    let values =
        |at: usize| -> BTreeSet<&str> { shape.iter().filter_map(|other| other.segments.get(at).copied()).collect() };
    let before: Vec<BTreeSet<&str>> = (0..depth).map(values).collect();
    let app = app_before(&before);
    let mut parts: Vec<String> = before
        .iter()
        .enumerate()
        .map(|(at, names)| match names.iter().next() {
            _ if app == Some(at) => "{app}".to_owned(),
            Some(name) if names.len() == 1 => literal(name),
            _ => "*".to_owned(),
        })
        .collect();
    match place.position {
        Position::File(_) => parts.extend(place.segments.last().map(|file| literal(file))),
        Position::Folder(_) => {
            parts.push(literal(place.name));
            // `clusters/prod/web/…`: the app is below the environment, if every file is in a folder there.
            let all_deeper = shape.iter().all(|other| other.segments.len() > depth + 2);
            if app.is_none() && all_deeper {
                // A folder that holds apps is not one.
                let holds = values(depth + 1).iter().all(|name| CONTAINERS.contains(name));
                let deeper = holds && shape.iter().all(|other| other.segments.len() > depth + 3);
                if deeper {
                    parts.push("*".to_owned());
                }
                if deeper || !holds {
                    parts.push("{app}".to_owned());
                }
            }
            parts.push("**".to_owned());
        }
    }
    parts.join("/")
}

/// Which folder before the environment is the app: the last one that differs, or the one in a folder that holds apps.
fn app_before(before: &[BTreeSet<&str>]) -> Option<usize> {
    let all = |names: &BTreeSet<&str>, words: &[&str]| names.iter().all(|name| words.contains(name));
    let differs = before.iter().rposition(|names| names.len() > 1 && !all(names, FILLERS) && !all(names, CONTAINERS));
    differs.or_else(|| {
        let last = before.iter().rposition(|names| !all(names, FILLERS) && !all(names, CONTAINERS))?;
        let held = last.checked_sub(1).and_then(|at| before.get(at)).is_some_and(|names| all(names, CONTAINERS));
        held.then_some(last)
    })
}

/// A name in a pattern; characters that mean something there stand for any name.
fn literal(name: &str) -> String {
    if name.contains(['*', '?', '[', ']', '{', '}', '\\', '!']) { "*".to_owned() } else { name.to_owned() }
}
