//! What another tool of the field was told to do, as policies.
//!
//! Promise: nothing is lost in silence. Whatever of a tool's configuration is recognised becomes fields of a policy, or a note
//! that says why it does not; what no policy of the tool named stays unwritten. What a pattern of the tool selects is decided on
//! the repository's own files and images, so that the policies name them and need no foreign syntax.
//!
//! Design: a tool is one file with a `TOOL`, and a line in the table below.

mod argocd_image_updater;
mod flux;
mod renovate;

use std::collections::{BTreeMap, BTreeSet};

use crate::model::{ImageName, Pin, RepoPath};
use crate::overlay::{Documents, Value};

use super::quoted;

/// A tool whose configuration is understood.
#[derive(Debug, Clone, Copy)]
pub struct Tool {
    /// Its name, as `--from` takes it.
    pub name: &'static str,
    /// What is read of it, for the help.
    pub summary: &'static str,
    read: fn(&Source<'_>, &mut Translation),
}

/// Every tool.
pub const TOOLS: &[Tool] = &[flux::TOOL, argocd_image_updater::TOOL, renovate::TOOL];

impl Tool {
    /// The tool of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        TOOLS.iter().find(|tool| tool.name == name).copied()
    }

    /// Translates what this tool was told in a repository with these files and pins.
    #[must_use]
    pub fn translate(&self, files: &[(RepoPath, Vec<u8>)], pins: &[Pin]) -> Translation {
        let mut translation = Translation { tool: self.name, ..Translation::default() };
        (self.read)(&Source { files, pins }, &mut translation);
        translation.name_apart();
        translation
    }
}

/// What is translated: the files of the repository, and the pins in them.
#[derive(Debug)]
struct Source<'s> {
    files: &'s [(RepoPath, Vec<u8>)],
    pins: &'s [Pin],
}

/// What became of a tool's configuration.
#[derive(Debug, Clone, Default)]
pub struct Translation {
    /// The tool's name.
    pub tool: &'static str,
    /// In the order in which they apply.
    pub policies: Vec<TranslatedPolicy>,
    /// What was read, in the order of the files.
    pub notes: Vec<Note>,
    /// Whether commits and titles follow Conventional Commits.
    pub conventional: bool,
}

/// A policy that says what the tool did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TranslatedPolicy {
    /// Its name.
    pub name: String,
    /// What it comes from, for people.
    pub origin: String,
    /// Globs over paths.
    pub paths: BTreeSet<String>,
    /// Globs over images; none means all.
    pub images: BTreeSet<String>,
    /// Its other fields, each as its key and a value in YAML.
    pub fields: Vec<(&'static str, String)>,
}

/// A line of the tool's configuration, and what became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    /// The file.
    pub path: RepoPath,
    /// The line, from 1.
    pub line: usize,
    /// What stands there.
    pub what: String,
    /// What became of it.
    pub fate: Fate,
}

/// What became of a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fate {
    /// It is this field, or the policy of this name.
    Translated(String),
    /// It has no counterpart, for this reason.
    Left(String),
}

impl Translation {
    fn translated(&mut self, (path, line): (&RepoPath, usize), what: impl Into<String>, into: impl Into<String>) {
        self.notes.push(Note { path: path.clone(), line, what: what.into(), fate: Fate::Translated(into.into()) });
    }

    fn left(&mut self, (path, line): (&RepoPath, usize), what: impl Into<String>, reason: impl Into<String>) {
        self.notes.push(Note { path: path.clone(), line, what: what.into(), fate: Fate::Left(reason.into()) });
    }

    /// No two policies may have one name.
    fn name_apart(&mut self) {
        let mut taken: BTreeMap<String, usize> = BTreeMap::new();
        for policy in &mut self.policies {
            let count = taken.entry(policy.name.clone()).or_default();
            *count += 1;
            if *count > 1 {
                policy.name = format!("{}-{count}", policy.name);
            }
        }
    }
}

impl Source<'_> {
    /// The files that hold YAML with one of these words, parsed; each with its text.
    fn yaml(&self, words: &[&str]) -> impl Iterator<Item = (&RepoPath, &str)> {
        self.files.iter().filter_map(move |(path, bytes)| {
            let name = path.file_name();
            let text = std::str::from_utf8(bytes).ok()?;
            let yaml = [".yaml", ".yml", ".json"].iter().any(|end| name.ends_with(end));
            (yaml && words.iter().any(|word| text.contains(word))).then_some((path, text))
        })
    }

    /// Hands over every object of these kinds, with its file.
    fn objects(&self, kinds: &[&str], mut each: impl FnMut(&RepoPath, &str, Value<'_, '_>)) {
        for (path, text) in self.yaml(kinds) {
            let Some(documents) = Documents::parse(text) else { continue };
            for root in documents.iter() {
                // A List of objects, as `kubectl get -o yaml` prints it.
                let items = if root.text_at(&["kind"]).is_some_and(|kind| kind.ends_with("List")) {
                    root.items_at(&["items"])
                } else {
                    vec![root]
                };
                for object in items {
                    let kind = object.text_at(&["kind"]).unwrap_or_default();
                    if kinds.contains(&kind) {
                        each(path, kind, object);
                    }
                }
            }
        }
    }

    /// The images of pins for which this holds.
    fn images(&self, holds: impl Fn(&ImageName) -> bool) -> BTreeSet<String> {
        let images: BTreeSet<&ImageName> = self.pins.iter().map(|pin| &pin.name).collect();
        images.into_iter().filter(|image| holds(image)).map(|image| glob_of(&image.to_string())).collect()
    }

    /// The fewest globs that select, of the files with pins, exactly those for which this holds.
    fn cover(&self, holds: impl Fn(&RepoPath) -> bool) -> BTreeSet<String> {
        let all: BTreeSet<&RepoPath> = self.pins.iter().map(|pin| &pin.path).collect();
        let wanted: BTreeSet<&str> = all.iter().filter(|path| holds(path)).map(|path| path.as_str()).collect();
        let all: Vec<&str> = all.iter().map(|path| path.as_str()).collect();
        let mut globs = BTreeSet::new();
        cover(&all, &wanted, "", &mut globs);
        globs
    }
}

fn cover(all: &[&str], wanted: &BTreeSet<&str>, folder: &str, globs: &mut BTreeSet<String>) {
    if all.iter().all(|path| wanted.contains(path)) && !all.is_empty() {
        globs.insert(format!("{}**", glob_of(folder)));
        return;
    }
    let mut below: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for path in all {
        match path[folder.len()..].split_once('/') {
            Some((name, _)) => below.entry(&path[..folder.len() + name.len() + 1]).or_default().push(path),
            None if wanted.contains(path) => drop(globs.insert(glob_of(path))),
            None => {}
        }
    }
    for (folder, paths) in below {
        cover(&paths, wanted, folder, globs);
    }
}

/// A text as a glob that selects only this text.
fn glob_of(text: &str) -> String {
    let mut glob = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '*' | '?' | '[' | ']' | '{' | '}' | '!' | '\\' => glob.extend(['[', c, ']']),
            _ => glob.push(c),
        }
    }
    glob
}

/// A text as part of a policy's name.
fn label(text: &str) -> String {
    let plain: String = text.chars().map(|c| if c.is_ascii_alphanumeric() || c == '.' { c } else { '-' }).collect();
    let plain = plain.trim_matches(['-', '.']);
    plain.chars().take(60).collect()
}

/// The tags of a policy, as a field.
#[derive(Debug, Default)]
struct TagRule {
    /// What orders them: a key of `tags` and its value in YAML.
    order: Option<(&'static str, String)>,
    filter: Option<String>,
    extract: Option<String>,
    ignore: Vec<String>,
    platforms: Vec<String>,
}

impl TagRule {
    /// Orders by a range of semantic versions.
    fn semver(range: &str) -> Self {
        Self { order: Some(("semver", quoted(range))), ..Self::default() }
    }

    fn field(&self) -> Option<(&'static str, String)> {
        let mut parts: Vec<String> = self.order.iter().map(|(key, value)| format!("{key}: {value}")).collect();
        // A prerelease in the range asks for prereleases; Masterminds' semver says the same.
        if self.order.as_ref().is_some_and(|(key, range)| *key == "semver" && asks_for_prereleases(range)) {
            parts.push("prereleases: true".to_owned());
        }
        parts.extend(self.filter.iter().map(|filter| format!("filter: {}", quoted(filter))));
        parts.extend(self.extract.iter().map(|extract| format!("extract: {}", quoted(extract))));
        for (key, list) in [("ignore", &self.ignore), ("platforms", &self.platforms)] {
            if !list.is_empty() {
                let list: Vec<String> = list.iter().map(|text| quoted(text)).collect();
                parts.push(format!("{key}: [{}]", list.join(", ")));
            }
        }
        (!parts.is_empty()).then(|| ("tags", format!("{{ {} }}", parts.join(", "))))
    }
}

/// `>=1.0.0-0` and `>1.0-beta` name prereleases; `1.2 - 1.4` does not.
fn asks_for_prereleases(range: &str) -> bool {
    let bytes = range.as_bytes();
    bytes.windows(3).any(|three| three[0].is_ascii_digit() && three[1] == b'-' && three[2].is_ascii_alphanumeric())
}

#[cfg(test)]
mod tests;
