//! Flux image automation: `ImageRepository`, `ImagePolicy`, `ImageUpdateAutomation` and setter markers.
//!
//! Rules: the image automation API of Flux (`image.toolkit.fluxcd.io`). A marker names a policy by its namespace and name; an
//! automation updates the markers below `spec.update.path` of its source, on the branch `spec.git.push.branch` if that is another one
//! than it checks out. Everything without a marker is left alone.

use std::collections::{BTreeMap, BTreeSet};

use crate::model::{ImageName, RepoPath};
use crate::overlay::Value;

use super::{Source, TagRule, Tool, TranslatedPolicy, Translation, glob_of, label};

pub(super) const TOOL: Tool =
    Tool { name: "flux", summary: "ImagePolicy, ImageRepository, ImageUpdateAutomation and their markers", read };

/// The namespace of objects that name none: `flux bootstrap` uses it.
const NAMESPACE: &str = "flux-system";

type Key = (String, String);
type Place = (RepoPath, usize);

/// A policy, before it is known where it applies.
struct ImagePolicy {
    place: Place,
    repository: Key,
    tags: TagRule,
    pin: bool,
    labels: BTreeMap<String, String>,
}

/// What writes.
struct Automation {
    folder: String,
    write: &'static str,
    labels: BTreeMap<String, String>,
}

#[derive(Default)]
struct Read {
    repositories: BTreeMap<Key, (Place, String)>,
    policies: BTreeMap<Key, ImagePolicy>,
    automations: Vec<Automation>,
}

fn read(source: &Source<'_>, out: &mut Translation) {
    let mut read = Read::default();
    source.objects(&["ImageRepository", "ImagePolicy", "ImageUpdateAutomation"], |path, kind, object| {
        let name = key_of(object, &["metadata"], NAMESPACE);
        let place = (path.clone(), object.line());
        match kind {
            "ImageRepository" => repository(&mut read, out, (name, place), object),
            "ImagePolicy" => policy(&mut read, out, (name, place), object),
            _ => automation(&mut read, out, (name, place), object),
        }
    });
    let markers = markers(source);
    for (name, policy) in &read.policies {
        translate(source, out, &read, (name, policy), markers.get(name));
    }
    for (name, files) in &markers {
        if !read.policies.contains_key(name)
            && let Some((path, line)) = files.first()
        {
            let reason = "there is no ImagePolicy of this name in the repository";
            out.left((path, *line), format!("marker {}:{}", name.0, name.1), reason);
        }
    }
}

fn key_of(value: Value<'_, '_>, keys: &[&str], namespace: &str) -> Key {
    let text = |key: &str| value.at(keys).and_then(|at| at.text_at(&[key])).map(str::to_owned);
    (text("namespace").unwrap_or_else(|| namespace.to_owned()), text("name").unwrap_or_default())
}

fn repository(read: &mut Read, out: &mut Translation, (name, place): (Key, Place), object: Value<'_, '_>) {
    let Some(image) = object.text_at(&["spec", "image"]) else { return };
    let at = (&place.0, place.1);
    for (key, reason) in [
        ("secretRef", "the login is configured under `registries` in landfall.yaml; it may read the same Secret"),
        ("certSecretRef", "certificates are configured under `registries` in landfall.yaml"),
        ("serviceAccountName", "the login is configured under `registries` in landfall.yaml"),
        ("exclusionList", "add the tags that must not be chosen to `ignore` of the policy's `tags`"),
        ("accessFrom", "policies of one repository are not kept apart"),
    ] {
        if let Some(value) = object.at(&["spec", key]) {
            out.left((&place.0, value.line()), format!("ImageRepository {}: {key}", name.1), reason);
        }
    }
    if object.text_at(&["spec", "insecure"]) == Some("true") {
        let reason = "write `plainHttp: true` for its host under `registries` in landfall.yaml";
        out.left(at, format!("ImageRepository {}: insecure", name.1), reason);
    }
    let provider = object.text_at(&["spec", "provider"]).filter(|provider| *provider != "generic");
    if let Some(provider) = provider {
        let reason = format!("write `credentials: {{ {} }}` for its host under `registries`", login(provider));
        out.left(at, format!("ImageRepository {}: provider {provider}", name.1), reason);
    }
    read.repositories.insert(name, (place.clone(), image.to_owned()));
}

fn login(provider: &str) -> &'static str {
    match provider {
        "aws" => "aws: {}",
        "azure" => "azure: {}",
        _ => "google: {}",
    }
}

fn policy(read: &mut Read, out: &mut Translation, (name, place): (Key, Place), object: Value<'_, '_>) {
    let Some(spec) = object.get("spec") else { return };
    let direction = |kind: &str| spec.text_at(&["policy", kind, "order"]).unwrap_or("asc").to_ascii_lowercase();
    let mut tags = if let Some(range) = spec.text_at(&["policy", "semver", "range"]) {
        TagRule::semver(range)
    } else if spec.at(&["policy", "alphabetical"]).is_some() {
        TagRule { order: Some(("alphabetical", direction("alphabetical"))), ..TagRule::default() }
    } else if spec.at(&["policy", "numerical"]).is_some() {
        TagRule { order: Some(("numerical", direction("numerical"))), ..TagRule::default() }
    } else {
        out.left((&place.0, place.1), format!("ImagePolicy {}", name.1), "its policy type is not recognised");
        return;
    };
    tags.filter = spec.text_at(&["filterTags", "pattern"]).filter(|text| !text.is_empty()).map(str::to_owned);
    tags.extract = spec.text_at(&["filterTags", "extract"]).filter(|text| !text.is_empty()).map(str::to_owned);
    let reflection = spec.text_at(&["digestReflectionPolicy"]).unwrap_or("Never");
    if let Some(interval) = spec.get("interval") {
        let reason = "how often digests are read follows `interval` in landfall.yaml";
        out.left((&place.0, interval.line()), format!("ImagePolicy {}: interval", name.1), reason);
    }
    let repository = key_of(spec, &["imageRepositoryRef"], &name.0);
    let pin = reflection != "Never";
    read.policies
        .insert(name, ImagePolicy { place, repository, tags, pin, labels: labels(object, &["metadata", "labels"]) });
}

fn labels(object: Value<'_, '_>, keys: &[&str]) -> BTreeMap<String, String> {
    let entries = object.at(keys).map(Value::entries).unwrap_or_default();
    entries.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value.text()?.to_owned()))).collect()
}

fn automation(read: &mut Read, out: &mut Translation, (name, place): (Key, Place), object: Value<'_, '_>) {
    let Some(spec) = object.get("spec") else { return };
    let what = |key: &str| format!("ImageUpdateAutomation {}: {key}", name.1);
    if spec.text_at(&["suspend"]) == Some("true") {
        out.left((&place.0, place.1), what("suspend"), "it is suspended, so nothing is written (`write: never`)");
        return;
    }
    let checked_out = spec.text_at(&["git", "checkout", "ref", "branch"]);
    let pushed = spec.text_at(&["git", "push", "branch"]);
    let write = if pushed.is_none() || pushed == checked_out { "commit" } else { "pull-request" };
    for (keys, reason) in [
        (
            &["git", "push", "refspec"][..],
            "a push elsewhere is not known; the policies write to the repository's branch",
        ),
        (&["git", "push", "options"], "push options are not set"),
        (&["git", "commit", "signingKey"], "write `signing` of the repository in landfall.yaml"),
        (&["git", "commit", "messageTemplate"], "write `messages` of the repository in landfall.yaml"),
        (&["git", "commit", "author"], "write `commit: { author: … }` in landfall.yaml"),
        (&["interval"], "one `interval` in landfall.yaml holds for all"),
        (&["policySelector", "matchExpressions"], "only `matchLabels` are followed: check which policies it may write"),
    ] {
        if let Some(value) = spec.at(keys) {
            out.left((&place.0, value.line()), what(&keys.join(".")), reason);
        }
    }
    let folder = spec.text_at(&["update", "path"]).unwrap_or(".");
    let folder = folder.trim_start_matches("./").trim_matches('/');
    let folder = if matches!(folder, "" | ".") { String::new() } else { format!("{folder}/") };
    let labels = labels(spec, &["policySelector", "matchLabels"]);
    let into = format!("write: {write} below {}", if folder.is_empty() { "the whole repository" } else { &folder });
    out.translated((&place.0, place.1), format!("ImageUpdateAutomation {}", name.1), into);
    read.automations.push(Automation { folder, write, labels });
}

/// The files and lines with markers, by policy.
fn markers(source: &Source<'_>) -> BTreeMap<Key, Vec<(RepoPath, usize)>> {
    let mut found: BTreeMap<Key, Vec<(RepoPath, usize)>> = BTreeMap::new();
    for (path, text) in source.yaml(&["$imagepolicy"]) {
        for (number, line) in text.lines().enumerate() {
            let Some((_, rest)) = line.split_once("\"$imagepolicy\"") else { continue };
            let Some(value) = rest.trim_start_matches([':', ' ']).strip_prefix('"') else { continue };
            let Some((value, _)) = value.split_once('"') else { continue };
            let mut parts = value.split(':');
            if let (Some(namespace), Some(name)) = (parts.next(), parts.next()) {
                let key = (namespace.to_owned(), name.to_owned());
                found.entry(key).or_default().push((path.clone(), number + 1));
            }
        }
    }
    found
}

fn translate(
    source: &Source<'_>,
    out: &mut Translation,
    read: &Read,
    (name, policy): (&Key, &ImagePolicy),
    markers: Option<&Vec<(RepoPath, usize)>>,
) {
    let at = (&policy.place.0, policy.place.1);
    let what = format!("ImagePolicy {}/{}", name.0, name.1);
    let Some((_, image)) = read.repositories.get(&policy.repository) else {
        let reason =
            format!("its ImageRepository {}/{} is not in the repository", policy.repository.0, policy.repository.1);
        return out.left(at, what, reason);
    };
    let Some(markers) = markers else {
        return out.left(at, what, "no marker names it, so that nothing follows it");
    };
    let mut by_write: BTreeMap<&str, BTreeSet<&RepoPath>> = BTreeMap::new();
    for (path, line) in markers {
        let writes = |automation: &&Automation| {
            let below = path.as_str().starts_with(&automation.folder);
            below && automation.labels.iter().all(|(key, value)| policy.labels.get(key) == Some(value))
        };
        // The innermost folder says it best.
        match read.automations.iter().filter(writes).max_by_key(|automation| automation.folder.len()) {
            Some(automation) => drop(by_write.entry(automation.write).or_default().insert(path)),
            None => out.left((path, *line), format!("marker of {}", name.1), "no ImageUpdateAutomation writes it"),
        }
    }
    for (write, files) in by_write {
        let marked =
            |pin: &&crate::model::Pin| markers.iter().any(|(path, line)| *path == pin.path && *line == pin.line);
        let own = source.pins.iter().filter(marked).map(|pin| glob_of(&pin.name.to_string()));
        let named = ImageName::parse(image).map(|image| glob_of(&image.to_string()));
        let mut fields = vec![("write", write.to_owned())];
        fields.extend(policy.tags.field());
        fields.extend(policy.pin.then(|| ("pin", "digest".to_owned())));
        let policy = TranslatedPolicy {
            name: format!("flux-{}-{}", label(&name.0), label(&name.1)),
            origin: what.clone(),
            paths: files.into_iter().map(|path| glob_of(path.as_str())).collect(),
            images: own.chain(named).collect(),
            fields,
        };
        out.translated(at, what.clone(), format!("policy {}", policy.name));
        out.policies.push(policy);
    }
}
