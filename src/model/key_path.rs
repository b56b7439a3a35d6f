//! Key paths: what policies say about values that no kind of pin recognises by itself.
//!
//! Promise: a declaration is valid, and finding what it names takes bounded time and memory whatever the file. Design: data only;
//! `overlay` looks the values up, and refuses a declaration that matches nothing, or more than it says.

use std::fmt;
use std::sync::Arc;

use super::text_pattern::{Matches, SearchBudget, TextPattern};
use super::{HelmRepositories, PathPattern, RepoPath};

/// Maximum length of a path, a pattern or an image's name.
pub(super) const MAX_TEXT: usize = 1024;
/// Maximum number of keys in a path: deeper than what is read of any file.
const MAX_STEPS: usize = 64;
/// Why a declaration is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{}` {reason}", text.escape_debug())]
pub struct KeyPathError {
    /// The text, shortened.
    pub text: String,
    /// The rule it breaks.
    pub reason: String,
}

pub(super) fn refused(text: &str, reason: impl Into<String>) -> KeyPathError {
    KeyPathError { text: text.chars().take(200).collect(), reason: reason.into() }
}

/// One key of a path.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum PathStep {
    /// This key of a mapping, or the item of a list with this number.
    Key(Box<str>),
    /// `*`: each of them.
    Each,
}

impl PathStep {
    /// Whether it means a key.
    #[must_use]
    pub fn takes_key(&self, key: &str) -> bool {
        match self {
            Self::Key(wanted) => **wanted == *key,
            Self::Each => true,
        }
    }

    /// Whether it means an item of a list.
    #[must_use]
    pub fn takes_item(&self, number: usize) -> bool {
        match self {
            Self::Key(wanted) => wanted.parse() == Ok(number),
            Self::Each => true,
        }
    }
}

/// Where a value is in a file: keys from its root.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ValuePath {
    text: Box<str>,
    steps: Arc<[PathStep]>,
}

impl ValuePath {
    /// Parses a JSON Pointer (`/services/0/image`, RFC 6901) or a path as `landfall scan` prints it
    /// (`services[0].image`, `a["x.y"].b`); in both, `*` is each key or item.
    ///
    /// # Errors
    /// If it is empty, too long, or has an empty key or an unclosed bracket.
    pub fn parse(text: &str) -> Result<Self, KeyPathError> {
        if text.is_empty() || text.len() > MAX_TEXT {
            return Err(refused(text, format!("is no key path: it is empty or longer than {MAX_TEXT} characters")));
        }
        let steps = match text.strip_prefix('/') {
            Some(pointer) => pointer.split('/').map(pointer_step).collect::<Option<Vec<_>>>(),
            None => dotted(text),
        };
        let steps = steps.ok_or_else(|| {
            refused(
                text,
                "is no key path: write it like `services.web.image`, `items[0].tag`, `a[\"x.y\"].b` or `/a/0/b`",
            )
        })?;
        if steps.len() > MAX_STEPS {
            return Err(refused(text, format!("is no key path: it has more than {MAX_STEPS} keys")));
        }
        Ok(Self { text: text.into(), steps: steps.into() })
    }

    /// The path as written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Its keys.
    #[must_use]
    pub fn steps(&self) -> &[PathStep] {
        &self.steps
    }

    /// Whether it may mean several values.
    #[must_use]
    pub fn is_for_several(&self) -> bool {
        self.steps.contains(&PathStep::Each)
    }
}

/// A part of a JSON Pointer, in which `~1` is a slash and `~0` a tilde.
fn pointer_step(part: &str) -> Option<PathStep> {
    if part == "*" {
        return Some(PathStep::Each);
    }
    let mut key = String::new();
    let mut rest = part.chars();
    while let Some(next) = rest.next() {
        key.push(match next {
            '~' => match rest.next()? {
                '0' => '~',
                '1' => '/',
                _ => return None,
            },
            other => other,
        });
    }
    Some(PathStep::Key(key.into()))
}

fn dotted(text: &str) -> Option<Vec<PathStep>> {
    let step = |text: &str| if text == "*" { PathStep::Each } else { PathStep::Key(text.into()) };
    let (mut steps, mut rest) = (Vec::new(), text);
    while !rest.is_empty() {
        rest = if let Some(inside) = rest.strip_prefix('[') {
            let (key, after) = match inside.starts_with('"') {
                true => {
                    let mut read = serde_json::Deserializer::from_str(inside).into_iter::<String>();
                    let key = read.next()?.ok()?;
                    (PathStep::Key(key.into()), inside.get(read.byte_offset()..)?.strip_prefix(']')?)
                }
                false => {
                    let (key, after) = inside.split_once(']')?;
                    let number = key == "*" || (!key.is_empty() && key.bytes().all(|b| b.is_ascii_digit()));
                    (number.then(|| step(key))?, after)
                }
            };
            steps.push(key);
            after
        } else {
            let (key, after) = rest.split_at(rest.find(['.', '[']).unwrap_or(rest.len()));
            if key.is_empty() || key.contains([']', '"']) {
                return None;
            }
            steps.push(step(key));
            after
        };
        match rest.strip_prefix('.') {
            Some("") => return None,
            Some(after) => rest = after,
            None if rest.is_empty() || rest.starts_with('[') => {}
            None => return None,
        }
    }
    Some(steps)
}

/// An image's name, which may have captures of the file's path in it: `ghcr.io/acme/{app}`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ImageTemplate {
    text: Box<str>,
    parts: Arc<[Part]>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Part {
    Text(Box<str>),
    Capture(Box<str>),
}

impl ImageTemplate {
    /// Parses a name; `captures` are the names that every glob of the file captures.
    ///
    /// # Errors
    /// If it is empty or too long, a brace is not closed, or it names something that is not captured.
    pub fn parse(text: &str, captures: &[&str]) -> Result<Self, KeyPathError> {
        if text.is_empty() || text.len() > MAX_TEXT {
            return Err(refused(text, format!("is no image: it is empty or longer than {MAX_TEXT} characters")));
        }
        let (mut parts, mut rest) = (Vec::new(), text);
        while let Some((before, after)) = rest.split_once('{') {
            let (name, after) = after.split_once('}').ok_or_else(|| refused(text, "has a brace that is not closed"))?;
            if !captures.contains(&name) {
                return Err(refused(text, format!("uses `{{{name}}}`, which not every one of `files` captures")));
            }
            parts.extend([Part::Text(before.into()), Part::Capture(name.into())]);
            rest = after;
        }
        parts.push(Part::Text(rest.into()));
        Ok(Self { text: text.into(), parts: parts.into() })
    }

    /// The name as written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    fn fill(&self, value: impl Fn(&str) -> Option<String>) -> String {
        let part = |part: &Part| match part {
            Part::Text(text) => text.to_string(),
            Part::Capture(name) => value(name).unwrap_or_default(),
        };
        self.parts.iter().map(part).collect()
    }
}

/// Where a declaration finds its values in a file.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum KeyPlace {
    /// By keys, in YAML, JSON, TOML and HCL.
    Path(ValuePath),
    /// By a pattern, in any text.
    Text(TextPattern),
}

impl fmt::Display for KeyPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Path(path) => path.as_str(),
            Self::Text(pattern) => pattern.as_str(),
        })
    }
}

/// One declaration: in which files which value is the version of which image.
#[derive(Debug, Clone, PartialEq)]
pub struct KeyPath {
    /// The `paths` of its policy: it says nothing of other files.
    pub paths: Arc<[PathPattern]>,
    /// The files.
    pub files: Vec<PathPattern>,
    /// Where in them.
    pub place: KeyPlace,
    /// The image; `None`: the value says so itself.
    pub image: Option<ImageTemplate>,
    /// Who declares it, and where, for people.
    pub origin: Arc<str>,
}

/// A declaration for one file.
#[derive(Debug, Clone, Copy)]
pub struct DeclaredValue<'k> {
    /// The declaration.
    pub key_path: &'k KeyPath,
    file: &'k PathPattern,
    below: &'k str,
    budget: &'k SearchBudget,
    closed: Option<&'k str>,
}

impl DeclaredValue<'_> {
    /// The image's name for this file, as the declaration says; it may be none that is valid.
    #[must_use]
    pub fn image(&self, path: &RepoPath) -> Option<String> {
        let template = self.key_path.image.as_ref()?;
        let captures = in_repository(self.below, path).and_then(|path| self.file.matches(&path));
        Some(template.fill(|name| captures.as_ref()?.values.get(name).cloned()))
    }

    /// The cap that does not allow it in this file, if one does not.
    #[must_use]
    pub fn closed_by(&self) -> Option<&str> {
        self.closed
    }

    /// What looking for its pattern may cost.
    #[must_use]
    pub fn budget(&self) -> &SearchBudget {
        self.budget
    }
}

/// Files in which declarations do not count.
#[derive(Debug, Clone, PartialEq)]
pub struct ClosedFiles {
    /// The files.
    pub paths: Vec<PathPattern>,
    /// What closes them, for people: the place of a cap.
    pub cap: Arc<str>,
}

/// What a range of versions in a file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RangePins {
    /// Whatever reads it chooses a version; nothing is written there.
    LeftAlone,
    /// A place where a version of it may be written.
    Pins,
}

/// All declarations of a repository, and what a single file of it does not say. Cheap to clone and, as a rule, to compare.
#[derive(Debug, Clone, Default)]
pub struct KeyPaths {
    all: Option<Arc<[KeyPath]>>,
    closed: Arc<[ClosedFiles]>,
    /// The folder that paths are relative to, from the repository's root; empty for the root itself.
    below: Arc<str>,
    /// The `paths` of policies that have ranges of versions replaced (`ranges: pin`).
    ranges: Arc<[PathPattern]>,
    /// What files of the repository say of others.
    repositories: HelmRepositories,
    /// What looking for patterns may still cost in this cycle, whoever looks.
    budget: SearchBudget,
}

impl KeyPaths {
    /// These declarations.
    #[must_use]
    pub fn new(all: Vec<KeyPath>) -> Self {
        Self { all: (!all.is_empty()).then(|| all.into()), ..Self::default() }
    }

    /// The same, which do not count in these files.
    #[must_use]
    pub fn closed_to(mut self, closed: Vec<ClosedFiles>) -> Self {
        self.closed = closed.into();
        self
    }

    /// The same, where ranges of versions in these files are versions to be written, too.
    #[must_use]
    pub fn pinning_ranges(mut self, paths: Vec<PathPattern>) -> Self {
        self.ranges = paths.into();
        self
    }

    /// What a range of versions in a file is.
    #[must_use]
    pub fn ranges(&self, path: &RepoPath) -> RangePins {
        if self.ranges.is_empty() {
            return RangePins::LeftAlone;
        }
        let path = in_repository(&self.below, path);
        match path.is_some_and(|path| self.ranges.iter().any(|pattern| pattern.matches(&path).is_some())) {
            true => RangePins::Pins,
            false => RangePins::LeftAlone,
        }
    }

    /// The same for paths that are relative to a folder of the repository.
    #[must_use]
    pub fn below(&self, folder: &str) -> Self {
        Self { below: folder.into(), ..self.clone() }
    }

    /// The same, for reading files one by one where these Helm repositories are declared in others.
    #[must_use]
    pub fn knowing(mut self, repositories: HelmRepositories) -> Self {
        self.repositories = repositories;
        self
    }

    /// The Helm repositories that other files declare.
    #[must_use]
    pub fn repositories(&self) -> &HelmRepositories {
        &self.repositories
    }

    /// Each declaration.
    #[must_use]
    pub fn all(&self) -> &[KeyPath] {
        self.all.as_deref().unwrap_or_default()
    }

    /// The declarations for a file, in their order, with those that do not count there.
    #[must_use]
    pub fn of(&self, path: &RepoPath) -> Vec<DeclaredValue<'_>> {
        if self.all().is_empty() {
            return Vec::new();
        }
        let Some(path) = in_repository(&self.below, path) else { return Vec::new() };
        let is_closed = |it: &&ClosedFiles| it.paths.iter().any(|pattern| pattern.matches(&path).is_some());
        let closed = self.closed.iter().find(is_closed).map(|it| &*it.cap);
        let declared = self.all().iter().filter_map(|key_path| {
            let file = key_path.files.iter().find(|file| file.matches(&path).is_some())?;
            key_path.paths.iter().find(|paths| paths.matches(&path).is_some())?;
            Some(DeclaredValue { key_path, file, below: &self.below, budget: &self.budget, closed })
        });
        declared.collect()
    }

    /// From now on, looking for patterns may cost what it may in a cycle again.
    pub fn begin_cycle(&self) {
        self.budget.refill();
    }

    /// Whether a pattern is looked for in a file.
    #[must_use]
    pub fn searches(&self, path: &RepoPath) -> bool {
        let text = |it: &KeyPath| matches!(it.place, KeyPlace::Text(_));
        self.all().iter().any(text) && self.of(path).iter().any(|it| text(it.key_path))
    }

    /// Whether there is a declaration for a file.
    #[must_use]
    pub fn name(&self, path: &RepoPath) -> bool {
        !self.of(path).is_empty()
    }

    /// A text that differs where declarations differ.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        let mut text = String::new();
        for it in self.all() {
            let files: Vec<&str> = it.files.iter().map(PathPattern::as_str).collect();
            let paths: Vec<&str> = it.paths.iter().map(PathPattern::as_str).collect();
            let image = it.image.as_ref().map(ImageTemplate::as_str);
            let kind = match &it.place {
                KeyPlace::Path(_) => "path",
                KeyPlace::Text(pattern) if pattern.matches() == Matches::One => "one",
                KeyPlace::Text(_) => "every",
            };
            text.push_str(&format!("{paths:?} {files:?} {kind} {:?} {image:?}\n", it.place.to_string()));
        }
        for it in &*self.closed {
            let paths: Vec<&str> = it.paths.iter().map(PathPattern::as_str).collect();
            text.push_str(&format!("closed {paths:?}\n"));
        }
        if !self.ranges.is_empty() {
            let paths: Vec<&str> = self.ranges.iter().map(PathPattern::as_str).collect();
            text.push_str(&format!("ranges {paths:?}\n"));
        }
        text.push_str(&self.repositories.fingerprint());
        text
    }
}

fn in_repository(below: &str, path: &RepoPath) -> Option<RepoPath> {
    if below.is_empty() { Some(path.clone()) } else { RepoPath::parse(&format!("{below}/{path}")).ok() }
}

impl PartialEq for KeyPaths {
    fn eq(&self, other: &Self) -> bool {
        let same = match (&self.all, &other.all) {
            (Some(one), Some(other)) => Arc::ptr_eq(one, other) || one == other,
            (one, other) => one.is_none() && other.is_none(),
        };
        let files = self.closed == other.closed && self.ranges == other.ranges && self.below == other.below;
        same && files && self.repositories == other.repositories
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn steps(text: &str) -> String {
        let path = ValuePath::parse(text).unwrap();
        let shown = |step: &PathStep| match step {
            PathStep::Key(key) => format!("<{key}>"),
            PathStep::Each => "*".to_owned(),
        };
        path.steps().iter().map(shown).collect()
    }

    #[test]
    fn paths_are_read_as_scan_prints_them_and_as_json_pointers() {
        for (text, expected) in [
            ("image", "<image>"),
            ("services.web.image", "<services><web><image>"),
            ("images[0].newTag", "<images><0><newTag>"),
            ("images[*].newTag", "<images>*<newTag>"),
            ("images.*.newTag", "<images>*<newTag>"),
            ("a[\"x.y\"].b[\"\\\"\"]", "<a><x.y><b><\">"),
            ("[\"x.y\"]", "<x.y>"),
            ("[0].tag", "<0><tag>"),
            ("/a/0/b~1c~0d", "<a><0><b/c~d>"),
            ("/a/*/x.y", "<a>*<x.y>"),
            ("app.kubernetes/x-y_z", "<app><kubernetes/x-y_z>"),
        ] {
            assert_eq!(steps(text), expected, "{text}");
        }
        let deep = vec!["a"; 65].join(".");
        for text in [
            "",
            ".",
            "a.",
            ".a",
            "a..b",
            "a[",
            "a[]",
            "a[x]",
            "a[0",
            "a[0]b",
            "a[\"x]",
            "a]",
            "/a~2",
            "/a~",
            deep.as_str(),
        ] {
            assert!(ValuePath::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_declaration_says_nothing_of_files_beside_the_paths_of_its_policy() {
        let patterns = |all: &[&str]| all.iter().map(|text| PathPattern::parse(text).unwrap()).collect::<Vec<_>>();
        let all = |paths: &[&str]| {
            let place = KeyPlace::Path(ValuePath::parse("a").unwrap());
            let files = patterns(&["a/**", "b/**"]);
            KeyPaths::new(vec![KeyPath {
                paths: patterns(paths).into(),
                files,
                place,
                image: None,
                origin: "p".into(),
            }])
        };
        let path = |text: &str| RepoPath::parse(text).unwrap();
        assert!(all(&["a/**"]).name(&path("a/x.yaml")) && !all(&["a/**"]).name(&path("b/x.yaml")));
        assert!(all(&["a/**"]).below("a").name(&path("x.yaml")) && !all(&["a/**"]).below("b").name(&path("x.yaml")));
        assert!(!all(&[]).name(&path("a/x.yaml")));
        assert_ne!(all(&["a/**"]).fingerprint(), all(&["b/**"]).fingerprint());
    }

    #[test]
    fn an_image_takes_what_the_glob_captures() {
        let files = vec![PathPattern::parse("image-tags/{env}/{app}").unwrap()];
        let image = ImageTemplate::parse("ghcr.io/acme/{app}", &["env", "app"]).unwrap();
        assert!(ImageTemplate::parse("x/{name}", &["app"]).is_err());
        assert!(ImageTemplate::parse("x/{app", &["app"]).is_err());
        let place = KeyPlace::Path(ValuePath::parse("a").unwrap());
        let all = KeyPaths::new(vec![KeyPath {
            paths: vec![PathPattern::parse("**").unwrap()].into(),
            files,
            place,
            image: Some(image),
            origin: "p".into(),
        }]);
        let path = |text: &str| RepoPath::parse(text).unwrap();
        let named = |all: &KeyPaths, text: &str| all.of(&path(text)).first().and_then(|it| it.image(&path(text)));
        assert_eq!(named(&all, "image-tags/dev/web").as_deref(), Some("ghcr.io/acme/web"));
        assert_eq!(named(&all, "image-tags/dev"), None);
        assert_eq!(named(&all.below("image-tags"), "dev/web").as_deref(), Some("ghcr.io/acme/web"));
        assert!(all == all.clone() && all != KeyPaths::default() && all != all.below("x"));
    }
}
