//! `Chart.lock` and `requirements.lock`: what Helm writes beside a chart's dependencies.
//!
//! A lock has the versions that were chosen, when, and a digest over the dependencies as they are declared and as they were locked: the
//! SHA-256 of both as the JSON that Go makes of them (Helm, `internal/resolver`, `HashReq`). `helm dependency build` refuses a
//! lock whose digest does not fit. Where it fits, it is kept true together with the versions ([`relock`]); where it does not, nobody knows
//! what was meant, and the versions are left alone.
//!
//! Promise: a lock is only ever changed from one that fits to one that fits; of it change the versions that moved, the digest and the time,
//! byte for byte and proved like any edit. What is read that is not as Helm reads it can only make the digest another one, so that
//! nothing is written.

use granit_parser::ScalarStyle;
use jiff::Timestamp;

use super::edit::rewritten;
use super::prove::{ScalarChange, ScalarHead, prove};
use super::quote::is_no_text;
use super::tree::{self, Id, Tree};
use super::{MAX_BYTES, kinds};
use crate::model::{RepoPath, Span};

/// Maximum number of dependencies of a chart, and length of all that is read of them: far above any real one.
const MAX_DEPENDENCIES: usize = 1_000;
const MAX_TEXT: usize = 256 << 10;
/// Maximum nesting of `import-values`.
const MAX_DEPTH: usize = 8;
/// Maximum length of the time in a lock.
const MAX_TIME: usize = 40;

/// The dependencies that a chart declares, or that its lock has.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Dependencies {
    all: Vec<Dependency>,
    /// Of a lock, its digest.
    digest: Option<String>,
}

/// One dependency, in the fields that Helm hashes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Dependency {
    name: String,
    version: String,
    repository: String,
    condition: String,
    tags: Vec<String>,
    enabled: bool,
    /// As JSON.
    import_values: Vec<String>,
    alias: String,
}

/// Why a lock does not fit, or why that cannot be told; completes "…".
pub(super) type Unfit = &'static str;

const OTHER_FORM: Unfit = "it is not written as Helm writes it";
const OTHERS: Unfit = "it has other dependencies";
const OTHER_DIGEST: Unfit = "its digest is of other dependencies";

impl Dependencies {
    /// The length of its texts.
    pub(super) fn text(&self) -> usize {
        self.all.iter().map(Dependency::text).sum()
    }

    /// Those of the file of a chart.
    pub(super) fn of_chart(path: &RepoPath, tree: &Tree<'_>) -> Option<Result<Self, Unfit>> {
        kinds::is_chart_file(path.file_name()).then(|| {
            let [root] = tree.roots.as_slice() else { return Err("the chart's file has several documents") };
            let all = tree.read(*root, "dependencies").map_or(Ok(Vec::new()), |list| read(tree, list))?;
            Ok(Self { all, digest: None })
        })
    }

    /// Those of a lock.
    pub(super) fn of_lock(text: &str) -> Result<Self, Unfit> {
        let tree = tree::parse(text, "\0").map_err(|_| "it is not valid YAML")?;
        LockTree::of(&tree).map(|lock| lock.dependencies)
    }

    /// Whether a lock fits these.
    pub(super) fn fit(&self, lock: &Self) -> Result<(), Unfit> {
        let same = |(one, other): (&Dependency, &Dependency)| one.name == other.name;
        if self.all.len() != lock.all.len() || !self.all.iter().zip(&lock.all).all(same) {
            return Err(OTHERS);
        }
        let written = lock.digest.as_deref().unwrap_or_default();
        // Helm 2 hashed what is declared alone, and its locks still count.
        if written == self.digest_with(lock) || written == self.digest_of_helm_2() {
            return Ok(());
        }
        Err(OTHER_DIGEST)
    }

    /// The digest of a lock with these versions.
    fn digest_with(&self, lock: &Self) -> String {
        // A repository that is only named is hashed as the address that Helm knew for it, which is in the lock.
        let declared = self.all.iter().zip(&lock.all).map(|(declared, locked)| match declared.names_repository() {
            true => Dependency { repository: locked.repository.clone(), ..declared.clone() },
            false => declared.clone(),
        });
        let declared: Vec<Dependency> = declared.collect();
        sha256(&format!("[{},{}]", json_list(&declared), json_list(&lock.all)))
    }

    fn digest_of_helm_2(&self) -> String {
        sha256(&format!("{{\"dependencies\":{}}}", json_list(&self.all)))
    }
}

fn sha256(text: &str) -> String {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, text.as_bytes());
    let hex: String = digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{hex}")
}

impl Dependency {
    fn text(&self) -> usize {
        let lists = self.tags.iter().chain(&self.import_values).map(String::len).sum::<usize>();
        let texts = [&self.name, &self.version, &self.repository, &self.condition, &self.alias];
        lists + texts.iter().map(|text| text.len()).sum::<usize>()
    }

    /// Whether its repository is a name that Helm's own configuration resolves.
    fn names_repository(&self) -> bool {
        self.repository.starts_with('@') || self.repository.starts_with("alias:")
    }

    /// As Go's `encoding/json` writes it, in the order of Helm's fields.
    fn json(&self) -> String {
        let mut fields = vec![format!("\"name\":{}", json_text(&self.name))];
        let mut add = |key: &str, value: Option<String>| {
            fields.extend(value.map(|value| format!("\"{key}\":{value}")));
        };
        let text = |text: &String| (!text.is_empty()).then(|| json_text(text));
        add("version", text(&self.version));
        add("repository", Some(json_text(&self.repository)));
        add("condition", text(&self.condition));
        let tags: Vec<String> = self.tags.iter().map(|tag| json_text(tag)).collect();
        add("tags", (!tags.is_empty()).then(|| format!("[{}]", tags.join(","))));
        add("enabled", self.enabled.then(|| "true".to_owned()));
        let values = &self.import_values;
        add("import-values", (!values.is_empty()).then(|| format!("[{}]", values.join(","))));
        add("alias", text(&self.alias));
        format!("{{{}}}", fields.join(","))
    }
}

fn json_list(all: &[Dependency]) -> String {
    let all: Vec<String> = all.iter().map(Dependency::json).collect();
    format!("[{}]", all.join(","))
}

/// A text in JSON as Go writes it by default: what HTML would read is escaped.
fn json_text(text: &str) -> String {
    let mut json = String::from("\"");
    for c in text.chars() {
        match c {
            '"' => json.push_str("\\\""),
            '\\' => json.push_str("\\\\"),
            '\n' => json.push_str("\\n"),
            '\r' => json.push_str("\\r"),
            '\t' => json.push_str("\\t"),
            '\u{8}' => json.push_str("\\b"),
            '\u{c}' => json.push_str("\\f"),
            '<' | '>' | '&' | '\u{2028}' | '\u{2029}' | '\0'..='\u{1f}' => {
                json.push_str(&format!("\\u{:04x}", u32::from(c)));
            }
            c => json.push(c),
        }
    }
    json.push('"');
    json
}

/// The dependencies of a list.
fn read(tree: &Tree<'_>, list: Id) -> Result<Vec<Dependency>, Unfit> {
    let items = tree.items(tree.target(list));
    if items.len() > MAX_DEPENDENCIES {
        return Err("there are more dependencies than are read");
    }
    let mut left = MAX_TEXT;
    let mut all = Vec::with_capacity(items.len());
    for item in items {
        let item = tree.target(*item);
        let list = |key: &str| tree.read(item, key).map_or(&[][..], |list| tree.items(list));
        let text = |key: &str| tree.text_at(item, key).unwrap_or_default().to_owned();
        let tags = list("tags").iter().map(|tag| tree.scalar(tree.target(*tag)).map(|tag| tag.value.to_string()));
        let mut import_values = Vec::new();
        for value in list("import-values") {
            import_values.push(json_value(tree, *value, MAX_DEPTH, &mut left)?);
        }
        let dependency = Dependency {
            name: text("name"),
            version: text("version"),
            repository: text("repository"),
            condition: text("condition"),
            tags: tags.collect::<Option<Vec<_>>>().ok_or("a tag of a dependency is no text")?,
            enabled: text("enabled") == "true",
            import_values,
            alias: text("alias"),
        };
        left = left.checked_sub(dependency.text()).ok_or("the dependencies have more text than is read")?;
        all.push(dependency);
    }
    Ok(all)
}

/// A value as JSON, with the keys of mappings in order.
fn json_value(tree: &Tree<'_>, id: Id, depth: usize, left: &mut usize) -> Result<String, Unfit> {
    const OTHER: Unfit = "`import-values` of a dependency are not texts";
    let depth = depth.checked_sub(1).ok_or(OTHER)?;
    let id = tree.target(id);
    if let Some(scalar) = tree.scalar(id) {
        // What YAML reads as a number or the like is one in JSON, too, in a form of its own.
        if scalar.style == ScalarStyle::Plain && is_no_text(&scalar.value) {
            return Err(OTHER);
        }
        *left = left.checked_sub(scalar.value.len()).ok_or(OTHER)?;
        return Ok(json_text(&scalar.value));
    }
    if tree.is_mapping(id) {
        let mut entries = Vec::new();
        for (key, value) in tree.entries(id) {
            let key = tree.scalar(key).map(|key| key.value.to_string()).filter(|key| key != "<<").ok_or(OTHER)?;
            *left = left.checked_sub(key.len() + 1).ok_or(OTHER)?;
            entries.push((key, json_value(tree, value, depth, left)?));
        }
        entries.sort();
        let entries: Vec<String> = entries.iter().map(|(key, value)| format!("{}:{value}", json_text(key))).collect();
        return Ok(format!("{{{}}}", entries.join(",")));
    }
    let mut items = Vec::new();
    for item in tree.items(id) {
        *left = left.checked_sub(1).ok_or(OTHER)?;
        items.push(json_value(tree, *item, depth, left)?);
    }
    Ok(format!("[{}]", items.join(",")))
}

/// A lock with the places of what changes in it.
struct LockTree {
    dependencies: Dependencies,
    versions: Vec<Id>,
    digest: Id,
    generated: Id,
}

impl LockTree {
    fn of(tree: &Tree<'_>) -> Result<Self, Unfit> {
        let [root] = tree.roots.as_slice() else { return Err(OTHER_FORM) };
        let known = |key: Id| {
            tree.scalar(key).is_some_and(|key| matches!(&*key.value, "dependencies" | "digest" | "generated"))
        };
        let (Some(list), Some(digest), Some(generated)) =
            (tree.get(*root, "dependencies"), tree.get(*root, "digest"), tree.get(*root, "generated"))
        else {
            return Err(OTHER_FORM);
        };
        let versions: Option<Vec<Id>> = tree.items(list).iter().map(|item| tree.get(*item, "version")).collect();
        let versions = versions.ok_or(OTHER_FORM)?;
        // Each of them may be changed, and nothing else changes with it.
        let plain =
            |id: &Id| tree.lock_of(*id).is_none() && tree.scalar(*id).is_some_and(|it| it.one_line && it.tag.is_none());
        if tree.entries(*root).any(|(key, _)| !known(key)) || !versions.iter().chain([&digest, &generated]).all(plain) {
            return Err(OTHER_FORM);
        }
        let written = tree.scalar(digest).map(|digest| digest.value.to_string());
        let dependencies = Dependencies { all: read(tree, list)?, digest: written };
        Ok(Self { dependencies, versions, digest, generated })
    }
}

/// The lock beside the file of a chart, once that became `after`: with the versions that moved, their digest, and this time.
///
/// # Errors
/// If it did not fit before, is written in another way, or cannot be proved to fit afterwards: then nothing of both files may be
/// written.
pub fn relock((before, after): (&[u8], &[u8]), lock: &[u8], generated: &str) -> Result<Vec<u8>, String> {
    let (before, after) = (chart(before)?, chart(after)?);
    if lock.len() > MAX_BYTES {
        return Err("it is too large".to_owned());
    }
    let text = std::str::from_utf8(lock).map_err(|_| "it is not valid UTF-8".to_owned())?;
    let tree = tree::parse(text, "\0").map_err(|_| "it is not valid YAML".to_owned())?;
    let now = LockTree::of(&tree)?;
    before.fit(&now.dependencies)?;
    let mut then = now.dependencies.clone();
    let mut changes = Vec::new();
    let mut change = |id: Id, new: &str| {
        let node = tree.node(id);
        let span = Span { start: node.start as usize, end: node.end as usize };
        let old = tree.scalar(id).map_or_else(String::new, |scalar| scalar.value.to_string());
        changes.push(ScalarChange { span, head: ScalarHead::None, old, new: new.to_owned(), add: Vec::new() });
    };
    let pairs = before.all.iter().zip(&after.all);
    for (((was, is), locked), at) in pairs.zip(&mut then.all).zip(&now.versions) {
        if was.version != is.version {
            change(*at, &is.version);
            locked.version.clone_from(&is.version);
        }
    }
    let digest = after.digest_with(&then);
    change(now.digest, &digest);
    change(now.generated, generated);
    changes.sort_by_key(|change| change.span);
    let new = spliced(text, &changes).ok_or("it has escape sequences")?;
    prove(text, &new, &changes)?;
    after.fit(&Dependencies::of_lock(&new)?)?;
    Ok(new.into_bytes())
}

fn chart(bytes: &[u8]) -> Result<Dependencies, String> {
    let text = std::str::from_utf8(bytes).map_err(|_| "the chart's file is not valid UTF-8".to_owned())?;
    let tree = tree::parse(text, "\0").map_err(|_| "the chart's file is not valid YAML".to_owned())?;
    let [root] = tree.roots.as_slice() else { return Err("the chart's file has several documents".to_owned()) };
    let all = tree.read(*root, "dependencies").map_or(Ok(Vec::new()), |list| read(&tree, list))?;
    Ok(Dependencies { all, digest: None })
}

fn spliced(text: &str, changes: &[ScalarChange]) -> Option<String> {
    let (mut new, mut at) = (String::with_capacity(text.len() + 100), 0);
    for change in changes {
        new.push_str(text.get(at..change.span.start)?);
        new.push_str(&rewritten(text.get(change.span.start..change.span.end)?, change, false)?);
        at = change.span.end;
    }
    new.push_str(text.get(at..)?);
    Some(new)
}

/// The time in a lock, if it is one.
#[must_use]
pub fn lock_time(lock: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(lock).ok().filter(|text| text.len() <= MAX_BYTES)?;
    let tree = tree::parse(text, "\0").ok()?;
    let generated = tree.scalar(LockTree::of(&tree).ok()?.generated)?.value.to_string();
    let known = |b: u8| b.is_ascii_digit() || b"TZ:+-.".contains(&b);
    let is_time = generated.len() <= MAX_TIME && generated.bytes().all(known) && generated.parse::<Timestamp>().is_ok();
    is_time.then_some(generated)
}

/// The lock that may be beside the file of a chart.
#[must_use]
pub fn chart_lock_of(path: &RepoPath) -> Option<RepoPath> {
    super::lock_of(path).filter(|lock| is_chart_lock(lock)).and_then(|lock| path.beside(lock))
}

/// The file of a chart of which this is the lock.
#[must_use]
pub fn chart_of_lock(path: &RepoPath) -> Option<RepoPath> {
    let (chart, _) = super::LOCKS.iter().find(|(_, lock)| *lock == path.file_name())?;
    path.beside(chart).filter(|_| is_chart_lock(path.file_name()))
}

/// Whether a file of this name is a lock as Helm writes it.
pub(super) fn is_chart_lock(name: &str) -> bool {
    matches!(name, "Chart.lock" | "requirements.lock")
}
