//! Values of charts: which keys a new version no longer has, and which of them a file sets.
//!
//! A chart's `values.yaml` says which keys it has. Below a mapping with keys of its own, a key that was there and is not any more is gone; what
//! is empty there (`{}`, `[]`, null) or no mapping may take any keys. Helm ignores a key that a chart does not know, so that nobody is told
//! that it means nothing any more.
//!
//! Promise: bounded whatever is in the files, and a key that may still mean something is never reported.

use super::kinds::sources;
use super::tree::{self, Id, Tree};
use crate::model::observation::group_of;
use crate::model::{ChartChange, ChartFiles, ChartLink, Pin, ValueKey};

/// Maximum depth of keys, number of keys that are reported, and of values of a file.
const MAX_DEPTH: usize = 32;
const MAX_GONE: usize = 2_000;
const MAX_SET: usize = 20_000;
/// Maximum length of all reported keys, and of one text of `Chart.yaml`.
const MAX_KEYS: usize = 64 << 10;
const MAX_TEXT: usize = 300;
/// Maximum number of lines of what an author says of a version, and of characters of one.
const MAX_CHANGES: usize = 10;
const MAX_LINE: usize = 200;

/// What changes from one version of a chart to another; without the former one, what the new one says of itself.
#[must_use]
pub fn chart_change(from: Option<&ChartFiles>, to: &ChartFiles) -> ChartChange {
    let mut change = ChartChange::default();
    if let Some(from) = from {
        change.app_version_from = with_root(&from.chart, |tree, root| text(tree, root, "appVersion")).flatten();
        change.gone = gone(&from.values, &to.values);
    }
    with_root(&to.chart, |tree, root| {
        change.app_version_to = text(tree, root, "appVersion");
        let link = |what: &str, url: Option<String>| {
            let url = url.filter(|url| url.starts_with("https://") || url.starts_with("http://"))?;
            Some(ChartLink { what: what.to_owned(), url })
        };
        let first = tree.read(root, "sources").and_then(|list| tree.items(list).first().copied());
        let source = first.and_then(|it| short(tree.scalar(tree.target(it))?.value.as_ref()));
        change.links.extend(link("home", text(tree, root, "home")));
        change
            .links
            .extend(link("source", source).filter(|source| !change.links.iter().any(|it| it.url == source.url)));
        let annotations = tree.read(root, "annotations");
        let said = annotations.and_then(|all| tree.text_at(all, "artifacthub.io/changes"));
        change.changes = said.map(changes).unwrap_or_default();
    });
    change
}

/// The changes that Artifact Hub's annotation lists: texts, or mappings with `kind` and `description`.
fn changes(text: &str) -> Vec<String> {
    with_root(text, |tree, root| {
        let line = |item: &Id| {
            let item = tree.target(*item);
            match tree.scalar(item) {
                Some(scalar) => line_of(&scalar.value),
                None => {
                    let description = tree.text_at(item, "description")?;
                    let kind = tree.text_at(item, "kind").map_or(String::new(), |kind| format!("{kind}: "));
                    line_of(&format!("{kind}{description}"))
                }
            }
        };
        tree.items(root).iter().take(MAX_CHANGES).filter_map(line).collect()
    })
    .unwrap_or_default()
}

fn with_root<T>(text: &str, read: impl FnOnce(&Tree<'_>, Id) -> T) -> Option<T> {
    let tree = tree::parse(text, "\0").ok()?;
    let root = *tree.roots.first()?;
    Some(read(&tree, root))
}

fn text(tree: &Tree<'_>, root: Id, key: &str) -> Option<String> {
    short(tree.text_at(root, key)?)
}

/// A text of one line that is neither empty nor long.
fn short(text: &str) -> Option<String> {
    let text = text.trim();
    let line = text.lines().next().unwrap_or_default();
    (!line.is_empty() && line.len() <= MAX_TEXT).then(|| line.to_owned())
}

/// The beginning of a text, on one line.
fn line_of(text: &str) -> Option<String> {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(MAX_LINE) {
        Some((end, _)) => Some(format!("{}…", &line[..end])),
        None => Some(line).filter(|line| !line.is_empty()),
    }
}

/// The topmost keys of the former values that the new ones have not.
fn gone(from: &str, to: &str) -> Vec<ValueKey> {
    let (Ok(from), Ok(to)) = (tree::parse(from, "\0"), tree::parse(to, "\0")) else { return Vec::new() };
    let (Some(was), Some(is)) = (from.roots.first(), to.roots.first()) else { return Vec::new() };
    let mut lost = Lost { from: &from, to: &to, keys: Vec::new(), found: Vec::new(), length: 0 };
    lost.compare(*was, *is);
    lost.found
}

struct Lost<'t> {
    from: &'t Tree<'t>,
    to: &'t Tree<'t>,
    keys: ValueKey,
    found: Vec<ValueKey>,
    length: usize,
}

impl Lost<'_> {
    fn compare(&mut self, was: Id, is: Id) {
        let (was, is) = (self.from.target(was), self.to.target(is));
        // What has no keys of its own takes any.
        if self.keys.len() >= MAX_DEPTH || self.to.entries(is).next().is_none() {
            return;
        }
        for (key, value) in self.from.entries(was) {
            let Some(key) = self.from.scalar(key).map(|key| key.value.as_ref()) else { continue };
            if self.found.len() >= MAX_GONE || self.length >= MAX_KEYS {
                return;
            }
            self.keys.push(key.to_owned());
            match self.to.read(is, key) {
                Some(now) => self.compare(value, now),
                None => {
                    self.length += self.keys.iter().map(String::len).sum::<usize>();
                    self.found.push(self.keys.clone());
                }
            }
            self.keys.pop();
        }
    }
}

/// Which of these keys of its chart a file sets where a pin is: in the values of a HelmRelease, in the values and parameters of a source
/// of Argo CD, in those of a chart's dependency (`values`, beside its `Chart.yaml`). As people write them: `image.pullPolicy`.
#[must_use]
pub fn set_among(keys: &[ValueKey], pin: &Pin, text: &str, values: Option<&str>) -> Vec<String> {
    let Ok(tree) = tree::parse(text, "\0") else { return Vec::new() };
    let Some(root) = tree.roots.get(pin.document).copied() else { return Vec::new() };
    let mut set = SetKeys { keys, found: Vec::new(), left: MAX_SET };
    let version = group_of(tree.text_at(root, "apiVersion").unwrap_or(""));
    match (version, tree.text_at(root, "kind").unwrap_or("")) {
        ("helm.toolkit.fluxcd.io", "HelmRelease") => {
            if let Some(values) = tree.at(root, &["spec", "values"]) {
                set.below(&tree, values, &mut Vec::new());
            }
        }
        ("argoproj.io", _) => {
            if let Some(source) = source_of(&tree, root, pin) {
                set.argo(&tree, source);
            }
        }
        _ => {
            if let (Some(name), Some(values)) = (dependency(&tree, root, pin), values) {
                with_root(values, |tree, root| {
                    if let Some(values) = tree.read(root, &name) {
                        set.below(tree, values, &mut Vec::new());
                    }
                });
            }
        }
    }
    set.found.sort();
    set.found.dedup();
    set.found
}

/// The source of Argo CD with the version of a pin.
fn source_of(tree: &Tree<'_>, root: Id, pin: &Pin) -> Option<Id> {
    let is_it = |source: &Id| {
        let version = tree.get(*source, "targetRevision");
        version.and_then(|version| tree.path(version)).is_some_and(|path| pin.key.ends_with(&path))
    };
    let specs = (root..tree.node(root).last).filter(|id| tree.key(*id) == Some("spec"));
    specs.flat_map(|spec| sources(tree, spec)).find(is_it)
}

/// Under which key the values of a dependency are.
fn dependency(tree: &Tree<'_>, root: Id, pin: &Pin) -> Option<String> {
    let number = pin.key.strip_suffix("].version")?.rsplit_once("dependencies[")?.1.parse::<usize>().ok()?;
    let list = tree.items(tree.read(root, "dependencies")?);
    let item = tree.target(*list.get(number)?);
    let alias = tree.text_at(item, "alias").filter(|alias| !alias.is_empty());
    alias.or_else(|| tree.text_at(item, "name")).map(str::to_owned)
}

/// Keys that are set, among those that matter.
struct SetKeys<'k> {
    keys: &'k [ValueKey],
    found: Vec<String>,
    left: usize,
}

impl SetKeys<'_> {
    fn argo(&mut self, tree: &Tree<'_>, source: Id) {
        let Some(helm) = tree.read(source, "helm") else { return };
        if let Some(values) = tree.read(helm, "valuesObject") {
            self.below(tree, values, &mut Vec::new());
        }
        if let Some(values) = tree.text_at(helm, "values") {
            with_root(values, |tree, root| self.below(tree, root, &mut Vec::new()));
        }
        for parameter in tree.read(helm, "parameters").map_or(&[][..], |list| tree.items(list)) {
            if let Some(name) = tree.text_at(tree.target(*parameter), "name").filter(|name| !name.contains('\\')) {
                let keys = name.split('.').map(|key| key.split('[').next().unwrap_or(key).to_owned());
                self.add(&keys.collect::<Vec<_>>());
            }
        }
    }

    /// All keys with a value below a mapping.
    fn below(&mut self, tree: &Tree<'_>, mapping: Id, keys: &mut ValueKey) {
        if keys.len() >= MAX_DEPTH {
            return;
        }
        for (key, value) in tree.entries(tree.target(mapping)) {
            let Some(key) = tree.scalar(key) else { continue };
            let Some(left) = self.left.checked_sub(1) else { return };
            self.left = left;
            keys.push(key.value.to_string());
            let value = tree.target(value);
            if tree.entries(value).next().is_some() {
                self.below(tree, value, keys);
            } else {
                self.add(keys);
            }
            keys.pop();
        }
    }

    fn add(&mut self, set: &[String]) {
        if self.keys.iter().any(|gone| set.starts_with(gone)) && self.found.len() < MAX_GONE {
            self.found.push(set.join("."));
        }
    }
}
