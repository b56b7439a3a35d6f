//! Argo CD Image Updater: annotations of Applications, and `ImageUpdater` objects.
//!
//! Rules: the annotations `argocd-image-updater.argoproj.io/…` of its documentation (0.12 to 0.18) and the API
//! `argocd-image-updater.argoproj.io/v1alpha1` (1.0). An image is `[alias=]name[:constraint]`; the default strategy is `semver`. It
//! writes into the cluster unless `write-back-method` is `git`; there, `git-branch: base:other` writes to another branch.

use std::collections::{BTreeMap, BTreeSet};

use crate::model::glob::{Glob, Separators};
use crate::model::{ImageName, RepoPath};
use crate::overlay::Value;

use super::{Source, TagRule, Tool, TranslatedPolicy, Translation, glob_of, label};

pub(super) const TOOL: Tool =
    Tool { name: "argocd-image-updater", summary: "annotations of Applications and ImageUpdater objects", read };

const PREFIX: &str = "argocd-image-updater.argoproj.io/";

/// Settings of an image, of an application or of all; a nearer one counts.
#[derive(Debug, Clone, Default)]
struct Settings {
    strategy: Option<String>,
    allow: Option<String>,
    ignore: Vec<String>,
    platforms: Vec<String>,
    write: Option<Write>,
}

/// How it writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Write {
    /// Into the Application in the cluster.
    Cluster,
    /// To the branch that Argo CD reads.
    Branch,
    /// To another one, for somebody to merge.
    OtherBranch,
}

struct Application {
    name: String,
    place: (RepoPath, usize),
    /// Where its manifests, values or parameters may be.
    paths: BTreeSet<String>,
}

struct WantedImage {
    alias: Option<String>,
    name: String,
    constraint: Option<String>,
    line: usize,
}

impl WantedImage {
    fn parse(text: &str, line: usize) -> Self {
        let (alias, image) = match text.split_once('=') {
            Some((alias, image)) => (Some(alias.trim().to_owned()), image.trim()),
            None => (None, text.trim()),
        };
        let at = image.rfind('/').map_or(0, |at| at + 1);
        let (name, constraint) = match image[at..].split_once(':') {
            Some((last, constraint)) => (format!("{}{last}", &image[..at]), Some(constraint.to_owned())),
            None => (image.to_owned(), None),
        };
        Self { alias, name, constraint: constraint.filter(|text| !text.is_empty()), line }
    }
}

fn read(source: &Source<'_>, out: &mut Translation) {
    let mut applications = Vec::new();
    source.objects(&["Application", "ApplicationSet"], |path, kind, object| {
        let object = if kind == "ApplicationSet" { object.at(&["spec", "template"]) } else { Some(object) };
        let Some(object) = object else { return };
        let name = object.text_at(&["metadata", "name"]).unwrap_or_default().to_owned();
        let application = Application { name, place: (path.clone(), object.line()), paths: paths(path, object) };
        annotated(source, out, &application, object);
        applications.push(application);
    });
    source.objects(&["ImageUpdater"], |path, _, object| updater(source, out, (path, object), &applications));
}

/// Globs over the folders of its sources and its own file, which may hold parameters. What is templated counts as anything.
fn paths(path: &RepoPath, object: Value<'_, '_>) -> BTreeSet<String> {
    let Some(spec) = object.get("spec") else { return BTreeSet::new() };
    let sources = spec.get("source").into_iter().chain(spec.items_at(&["sources"]));
    let mut paths = BTreeSet::from([glob_of(path.as_str())]);
    for source in sources {
        if let Some(folder) = source.text_at(&["path"]) {
            let folder = folder.trim_start_matches("./").trim_matches('/');
            paths.insert(match folder {
                "" | "." => "**".to_owned(),
                _ => format!("{}/**", templated(folder)),
            });
        }
        for file in source.items_at(&["helm", "valueFiles"]).into_iter().filter_map(Value::text) {
            // `$values/path` is read from the root of another source.
            if let Some((_, file)) = file.strip_prefix('$').and_then(|file| file.split_once('/')) {
                paths.insert(templated(file));
            }
        }
    }
    paths
}

/// `apps/{{path.basename}}` as a glob.
fn templated(text: &str) -> String {
    let (mut glob, mut rest) = (String::new(), text);
    while let Some((before, after)) = rest.split_once("{{") {
        glob.push_str(&glob_of(before));
        glob.push('*');
        rest = after.split_once("}}").map_or("", |(_, after)| after);
    }
    glob + &glob_of(rest)
}

fn annotated(source: &Source<'_>, out: &mut Translation, application: &Application, object: Value<'_, '_>) {
    let Some(annotations) = object.at(&["metadata", "annotations"]) else { return };
    let mut of: BTreeMap<&str, (&str, usize)> = BTreeMap::new();
    for (key, value) in annotations.entries() {
        if let (Some(key), Some(text)) = (key.strip_prefix(PREFIX), value.text()) {
            of.insert(key, (text, value.line()));
        }
    }
    let Some((list, line)) = of.remove("image-list") else {
        for (key, (_, line)) in of {
            out.left((&application.place.0, line), key, "the Application has no `image-list`");
        }
        return;
    };
    let images: Vec<WantedImage> = list
        .split([',', '\n'])
        .filter(|text| !text.trim().is_empty())
        .map(|text| WantedImage::parse(text, line))
        .collect();
    let general = settings(&of, None);
    for image in &images {
        let own = image.alias.as_deref().map(|alias| settings(&of, Some(alias))).unwrap_or_default();
        translate(source, out, (application, image), &own.or(&general));
    }
    for (key, (_, line)) in of {
        if let Some(reason) = without_counterpart(key) {
            out.left((&application.place.0, line), key, reason);
        }
    }
}

/// Why an annotation is not translated; `None` if it is, or if nothing is lost without it.
fn without_counterpart(key: &str) -> Option<&'static str> {
    let last = key.rsplit('.').next().unwrap_or(key);
    match last {
        "update-strategy" | "allow-tags" | "tag-match" | "ignore-tags" | "platforms" | "write-back-method"
        | "git-branch" => None,
        // Which key holds an image is found in the files.
        "image-name" | "image-tag" | "image-spec" | "write-back-target" => None,
        "pull-secret" => {
            Some("the login is configured under `registries` in landfall.yaml; it may read the same Secret")
        }
        "git-repository" => Some("another repository is an entry of its own under `repositories` in landfall.yaml"),
        "force-update" => Some("images are followed whether they run or not"),
        _ => Some("it is not known"),
    }
}

fn settings(of: &BTreeMap<&str, (&str, usize)>, alias: Option<&str>) -> Settings {
    let get = |key: &str| {
        let key = alias.map_or_else(|| key.to_owned(), |alias| format!("{alias}.{key}"));
        of.get(key.as_str()).map(|(text, _)| (*text).to_owned())
    };
    let branch = get("git-branch");
    let write = get("write-back-method").map(|method| write_of(&method, branch.as_deref()));
    Settings {
        strategy: get("update-strategy"),
        allow: get("allow-tags").or_else(|| get("tag-match")),
        ignore: get("ignore-tags").map(|list| split(&list)).unwrap_or_default(),
        platforms: get("platforms").map(|list| split(&list)).unwrap_or_default(),
        write,
    }
}

fn split(list: &str) -> Vec<String> {
    list.split(',').map(|item| item.trim().to_owned()).filter(|item| !item.is_empty()).collect()
}

fn write_of(method: &str, branch: Option<&str>) -> Write {
    match (method.starts_with("git"), branch) {
        (false, _) => Write::Cluster,
        (true, Some(branch)) if branch.contains(':') => Write::OtherBranch,
        (true, _) => Write::Branch,
    }
}

impl Settings {
    /// These, and where they say nothing, others.
    fn or(&self, other: &Self) -> Self {
        let list = |own: &Vec<String>, other: &Vec<String>| if own.is_empty() { other.clone() } else { own.clone() };
        Self {
            strategy: self.strategy.clone().or_else(|| other.strategy.clone()),
            allow: self.allow.clone().or_else(|| other.allow.clone()),
            ignore: list(&self.ignore, &other.ignore),
            platforms: list(&self.platforms, &other.platforms),
            write: self.write.or(other.write),
        }
    }
}

fn updater(
    source: &Source<'_>,
    out: &mut Translation,
    (path, object): (&RepoPath, Value<'_, '_>),
    applications: &[Application],
) {
    let Some(spec) = object.get("spec") else { return };
    let general = of_object(spec);
    for reference in spec.items_at(&["applicationRefs"]) {
        let pattern = reference.text_at(&["namePattern"]).unwrap_or_default();
        for (key, reason) in [
            ("labelSelectors", "applications are chosen by their names only"),
            ("useAnnotations", "the annotations of these applications are translated where they stand"),
        ] {
            if let Some(value) = reference.get(key) {
                out.left((path, value.line()), format!("{pattern}: {key}"), reason);
            }
        }
        let glob = Glob::new(pattern, Separators::Cross);
        let meant: Vec<&Application> = applications
            .iter()
            .filter(|application| glob.as_ref().is_ok_and(|glob| glob.is_match(&application.name)))
            .collect();
        if meant.is_empty() {
            let reason = "no Application of this name is in the repository";
            out.left((path, reference.line()), format!("applicationRefs {pattern}"), reason);
        }
        let nearer = of_object(reference).or(&general);
        for image in reference.items_at(&["images"]) {
            let Some(name) = image.text_at(&["imageName"]) else { continue };
            let mut wanted = WantedImage::parse(name, image.line());
            wanted.alias = image.text_at(&["alias"]).map(str::to_owned);
            let own = of_object(image).or(&nearer);
            for application in &meant {
                let here = Application {
                    place: (path.clone(), application.place.1),
                    name: application.name.clone(),
                    paths: application.paths.clone(),
                };
                translate(source, out, (&here, &wanted), &own);
            }
        }
    }
}

fn of_object(value: Value<'_, '_>) -> Settings {
    let list = |key: &str| -> Vec<String> {
        let items = value.items_at(&["commonUpdateSettings", key]);
        items.into_iter().filter_map(|item| Some(item.text()?.to_owned())).collect()
    };
    let text = |key: &str| value.text_at(&["commonUpdateSettings", key]).map(str::to_owned);
    let method = value.text_at(&["writeBackConfig", "method"]);
    let branch = value.text_at(&["writeBackConfig", "gitConfig", "branch"]);
    Settings {
        strategy: text("updateStrategy"),
        allow: text("allowTags"),
        ignore: list("ignoreTags"),
        platforms: list("platforms"),
        write: method.map(|method| write_of(method, branch)),
    }
}

fn translate(
    source: &Source<'_>,
    out: &mut Translation,
    (application, image): (&Application, &WantedImage),
    settings: &Settings,
) {
    let at = (&application.place.0, image.line);
    let what = format!("{}: {}", application.name, image.name);
    let Ok(name) = ImageName::parse(&image.name) else {
        return out.left(at, what, "it is not the name of an image");
    };
    if application.paths.is_empty() {
        return out.left(at, what, "the Application has no source");
    }
    let mut tags = match settings.strategy.as_deref().unwrap_or("semver") {
        "semver" => TagRule::semver(image.constraint.as_deref().unwrap_or("*")),
        "newest-build" | "latest" => TagRule { order: Some(("newestBuild", "true".to_owned())), ..TagRule::default() },
        "alphabetical" | "name" => TagRule { order: Some(("alphabetical", "asc".to_owned())), ..TagRule::default() },
        "digest" => TagRule { order: Some(("digest", "true".to_owned())), ..TagRule::default() },
        other => return out.left(at, what, format!("the update strategy `{other}` is not known")),
    };
    match settings.allow.as_deref().map(str::trim) {
        None | Some("" | "any") => {}
        Some(allow) => match allow.strip_prefix("regexp:") {
            Some(pattern) => tags.filter = Some(pattern.to_owned()),
            None => out.left(at, format!("{what}: allow-tags"), format!("`{allow}` is not known: write a `filter`")),
        },
    }
    tags.ignore.clone_from(&settings.ignore);
    tags.platforms.clone_from(&settings.platforms);
    let write = match settings.write.unwrap_or(Write::Cluster) {
        Write::Branch => "commit",
        Write::OtherBranch => "pull-request",
        Write::Cluster => {
            let reason = "it was written into the cluster; Landfall writes to Git, here by pull request";
            out.left(at, format!("{what}: write-back-method argocd"), reason);
            "pull-request"
        }
    };
    let mut fields = vec![("write", write.to_owned())];
    fields.extend(tags.field());
    let alias = image.alias.as_deref().unwrap_or_else(|| name.repository().rsplit('/').next().unwrap_or_default());
    let policy = TranslatedPolicy {
        name: format!("argocd-{}-{}", label(&templated(&application.name)), label(alias)),
        origin: format!("Application {}, image {}", application.name, image.name),
        paths: application.paths.clone(),
        images: BTreeSet::from([glob_of(&name.to_string())]),
        fields,
    };
    out.translated(at, what.clone(), format!("policy {}", policy.name));
    if !source.pins.iter().any(|pin| pin.name == name) {
        out.left(at, what, "the policy selects nothing yet: no file names this image; write its first version by hand");
    }
    out.policies.push(policy);
}
