//! Layering: from all policies of a repository to the effective one for a path and an image.

use std::collections::BTreeMap;

use crate::model::{ClosedFiles, ImageName, KeyPaths, RepoPath, without_extension};

use super::{Cap, Captures, Fields, PathPattern, Policy, SourceLocation, Sourced, Write, template};

/// Folder names that describe the layout of a repository, not an app.
const LAYOUT: [&str; 21] = [
    "app",
    "apps",
    "base",
    "charts",
    "cluster",
    "clusters",
    "components",
    "deploy",
    "env",
    "envs",
    "environment",
    "environments",
    "helm",
    "k8s",
    "kubernetes",
    "kustomize",
    "manifests",
    "overlay",
    "overlays",
    "releases",
    "values",
];

/// The policies of one repository in layering order, and the caps on them.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct PolicySet {
    policies: Vec<Policy>,
    caps: Vec<Cap>,
    by: DeclaredBy,
}

/// Whose policies they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum DeclaredBy {
    /// Those of a repository, which people may change who do not run the bot.
    #[default]
    Repository,
    /// Those beside the configuration.
    Configuration,
}

/// Why a policy does or does not apply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PolicyMatch {
    /// It applies, because of this pattern.
    Matched {
        /// The first of its `paths` that matches.
        pattern: String,
    },
    /// None of its `paths` matches.
    OtherPath,
    /// A path matches but none of its `images`.
    OtherImage,
}

/// A cap that changed what a policy requested.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Capped {
    /// What the policies requested.
    pub asked: Write,
    /// Where the cap was written.
    pub cap: SourceLocation,
    /// The cap's paths as written.
    pub paths: Vec<String>,
}

/// The effective policy for one image in one file.
#[derive(Debug, Clone, PartialEq)]
pub struct Effective {
    /// The policies that apply, in order.
    pub matched: Vec<Sourced<String>>,
    /// The deciding policy: the last one that sets `write`, otherwise the last one that applies. Commits and groups are
    /// named after it.
    pub policy: Option<String>,
    /// How updates are written, after caps. Never if no policy applies or none sets it.
    pub write: Write,
    /// The cap that changed `write`, if any.
    pub capped: Option<Capped>,
    /// Where `write: commit` stands, if it is a pull request here: the file is Terraform's, and the policy names no such files but
    /// everything in a folder.
    pub reviewed: Option<SourceLocation>,
    /// What the policies requested beyond the other limits of caps, as text, each with its cap.
    pub beyond: Vec<Sourced<String>>,
    /// All fields, each from the last policy that sets it, within the caps.
    pub fields: Fields,
    /// The app: the `{app}` capture. Without one, the deepest folder that is neither the environment nor a layout word
    /// (`apps`, `overlays`, …) in what the deciding pattern matches before a final `**`, or in the file's folder; then
    /// the first such folder below that; then the image's short name.
    pub app: String,
    /// The environment: the `environment` field, otherwise the `{env}` capture.
    pub environment: Option<String>,
    /// All captures, each from the last policy that has it.
    pub captures: BTreeMap<String, String>,
    /// The folder or values file that declares this app in this environment; see [`PathPattern`].
    pub overlay: String,
}

impl Effective {
    /// The key under which updates share a commit: the `group` field, by default `{policy}/{environment}`.
    #[must_use]
    pub fn commit_group(&self, image: &ImageName) -> String {
        match &self.fields.group {
            Some(template) => template.value.render(self, image),
            None => {
                format!(
                    "{}/{}",
                    self.policy.as_deref().unwrap_or_default(),
                    self.environment.as_deref().unwrap_or_default()
                )
            }
        }
    }

    /// The key under which updates share a pull request: the `pullRequest.group` field, by default `{app}`.
    #[must_use]
    pub fn pull_request_group(&self, image: &ImageName) -> String {
        match &self.fields.pull_request.group {
            Some(template) => template.value.render(self, image),
            None => self.app.clone(),
        }
    }
}

/// A policy that applies, and how it matched.
struct Match<'a> {
    policy: &'a Policy,
    pattern: &'a PathPattern,
    captures: Captures,
}

impl PolicySet {
    /// Policies in the order in which they are layered: file by file in name order, then as they appear.
    #[must_use]
    pub fn new(policies: Vec<Policy>) -> Self {
        Self { policies, ..Self::default() }
    }

    /// The same policies, of this one.
    #[must_use]
    pub fn declared_by(mut self, by: DeclaredBy) -> Self {
        self.by = by;
        self
    }

    /// What the policies declare of values that no kind of pin recognises, in order. Where a cap does not say otherwise, those of a
    /// repository do not count in its files: they would make anything there a version that another policy writes.
    #[must_use]
    pub fn key_paths(&self) -> KeyPaths {
        let all = KeyPaths::new(self.policies.iter().flat_map(|policy| policy.key_paths.iter().cloned()).collect());
        let closing = self.caps.iter().filter(|cap| self.by == DeclaredBy::Repository && !cap.key_paths);
        let closed = |cap: &Cap| {
            let place = format!("{}:{}", cap.origin.file, cap.origin.line);
            ClosedFiles { paths: cap.paths.clone(), cap: place.into() }
        };
        let pinning = self.policies.iter().filter(|policy| policy.fields.pins_ranges());
        let ranges = pinning.flat_map(|policy| policy.paths.iter().cloned()).collect();
        all.closed_to(closing.map(closed).collect()).pinning_ranges(ranges)
    }

    /// The policies, in order.
    #[must_use]
    pub fn policies(&self) -> &[Policy] {
        &self.policies
    }

    /// Whether any policy or cap requires promotion.
    #[must_use]
    pub fn promotes(&self) -> bool {
        self.policies.iter().any(|policy| policy.fields.promote_from.is_some())
            || self.caps.iter().any(|cap| cap.promote_from.is_some())
    }

    /// The caps.
    #[must_use]
    pub fn caps(&self) -> &[Cap] {
        &self.caps
    }

    /// The same policies with caps; every cap whose paths match applies.
    #[must_use]
    pub fn with_caps(mut self, caps: Vec<Cap>) -> Self {
        self.caps = caps;
        self
    }

    /// The effective policy for one image in one file.
    #[must_use]
    pub fn effective(&self, path: &RepoPath, image: &ImageName) -> Effective {
        self.effective_for(path, Some(image))
    }

    /// The same; without an image, policies for specific images only count as matching.
    #[must_use]
    pub fn effective_for(&self, path: &RepoPath, image: Option<&ImageName>) -> Effective {
        let matches: Vec<Match<'_>> =
            self.policies.iter().filter_map(|policy| find(policy, path, image).ok()).collect();
        let mut fields = Fields::default();
        let mut captures = BTreeMap::new();
        let mut environment = None;
        for found in &matches {
            fields.overlay(&found.policy.fields);
            // Filled in with the policy's own captures, before another policy's can take their names. If that is not
            // possible, the field counts as not set.
            if let Some(written) = &found.policy.fields.environment
                && let Some(value) = template::expand(&written.value, &found.captures.values)
            {
                environment = Some(Sourced { value, origin: written.origin.clone() });
            }
            captures.extend(found.captures.values.clone());
        }
        fields.environment = environment;
        let deciding =
            matches.iter().rev().find(|found| found.policy.fields.write.is_some()).or_else(|| matches.last());
        let environment = fields.environment.as_ref().map(|e| e.value.clone()).or_else(|| captures.get("env").cloned());
        let overlay = deciding.map_or_else(|| path.parent().to_owned(), |d| overlay(d, path, environment.as_deref()));
        let asked = fields.write.as_ref().map_or(Write::Never, |write| write.value);
        let (write, capped) = self.cap(path, image, asked);
        let reviewed = fields.write.as_ref().filter(|_| write == Write::Commit && is_reviewed(path, deciding));
        let reviewed = reviewed.map(|written| written.origin.clone());
        let write = if reviewed.is_some() { Write::PullRequest } else { write };
        let caps = self.caps.iter().filter(|cap| cap.is_for(path));
        let beyond = caps.flat_map(|cap| {
            cap.tighten(&mut fields).into_iter().map(|value| Sourced { value, origin: cap.origin.clone() })
        });
        let beyond = beyond.collect();
        let app = match captures.get("app") {
            Some(app) => app.clone(),
            None => app(path, deciding, environment.as_deref(), image),
        };
        Effective {
            matched: matches.iter().map(|found| found.policy.name.clone()).collect(),
            policy: deciding.map(|found| found.policy.name.value.clone()),
            write,
            capped,
            reviewed,
            beyond,
            fields,
            app,
            environment,
            captures,
            overlay,
        }
    }

    /// Whether a policy may write something below a folder, whatever is there.
    #[must_use]
    pub fn may_write_below(&self, folder: &str) -> bool {
        let writes = |policy: &Policy| policy.fields.write.as_ref().is_none_or(|write| write.value != Write::Never);
        let patterns = self.policies.iter().filter(|policy| writes(policy)).flat_map(|policy| &policy.paths);
        patterns.into_iter().any(|pattern| pattern.may_match_below(folder))
    }

    /// For each policy, in order, why it does or does not apply.
    #[must_use]
    pub fn verdicts(&self, path: &RepoPath, image: Option<&ImageName>) -> Vec<(&Policy, PolicyMatch)> {
        let verdict = |policy| match find(policy, path, image) {
            Ok(found) => PolicyMatch::Matched { pattern: found.pattern.as_str().to_owned() },
            Err(verdict) => verdict,
        };
        self.policies.iter().map(|policy| (policy, verdict(policy))).collect()
    }

    /// Whether a policy's path pattern names this very file (`charts/*/values-{env}.yaml`, not `apps/**` or `*.yaml`),
    /// so that it may be read as a Helm values file.
    #[must_use]
    pub fn names_file(&self, path: &RepoPath) -> bool {
        let mut patterns = self.policies.iter().flat_map(|policy| &policy.paths);
        patterns.any(|pattern| pattern.names_files() && pattern.matches(path).is_some())
    }

    fn cap(&self, path: &RepoPath, image: Option<&ImageName>, asked: Write) -> (Write, Option<Capped>) {
        let mut write = asked;
        let mut capped = None;
        for cap in self.caps.iter().filter(|cap| cap.is_for(path)) {
            let allowed = image.is_none_or(|image| cap.allows(image));
            let limited = if allowed { cap.limit(write) } else { Write::Never };
            if limited != write {
                let paths = cap.paths.iter().map(|pattern| pattern.as_str().to_owned()).collect();
                capped = Some(Capped { asked, cap: cap.origin.clone(), paths });
                write = limited;
            }
        }
        (write, capped)
    }
}

fn find<'a>(policy: &'a Policy, path: &RepoPath, image: Option<&ImageName>) -> Result<Match<'a>, PolicyMatch> {
    let mut patterns = policy.paths.iter();
    let (pattern, captures) =
        patterns.find_map(|pattern| Some((pattern, pattern.matches(path)?))).ok_or(PolicyMatch::OtherPath)?;
    let for_image =
        policy.images.is_empty() || image.is_none_or(|image| policy.images.iter().any(|glob| glob.matches(image)));
    if for_image { Ok(Match { policy, pattern, captures }) } else { Err(PolicyMatch::OtherImage) }
}

/// Whether a file's changes are reviewed unless a policy names such files: what Terraform applies is not undone by a revert.
fn is_reviewed(path: &RepoPath, deciding: Option<&Match<'_>>) -> bool {
    let names_them = deciding.is_some_and(|found| {
        let last = found.pattern.as_str().rsplit('/').next().unwrap_or_default();
        [".tf", ".tofu", "{tf", "{tofu", ",tf", ",tofu"].iter().any(|part| last.contains(part))
    });
    path.is_terraform() && !names_them
}

/// The overlay from the pattern. If the pattern names a file with its environment in the name (`values-dev.yaml`), the
/// overlay is that file alone, as with a capture there, because its neighbours declare other environments.
fn overlay(found: &Match<'_>, path: &RepoPath, environment: Option<&str>) -> String {
    let stem = without_extension(path.file_name());
    let mut words = stem.split(|c: char| !c.is_alphanumeric());
    if found.pattern.names_files() && environment.is_some_and(|name| stem == name || words.any(|word| word == name)) {
        return without_extension(path.as_str()).to_owned();
    }
    found.captures.overlay.clone()
}

fn app(path: &RepoPath, deciding: Option<&Match<'_>>, environment: Option<&str>, image: Option<&ImageName>) -> String {
    let names_app = |segment: &&str| !segment.is_empty() && !LAYOUT.contains(segment) && Some(*segment) != environment;
    let folder = deciding.and_then(|found| found.captures.anchor.as_deref()).unwrap_or(path.parent());
    let below = path.parent().strip_prefix(folder).unwrap_or_default();
    folder
        .rsplit('/')
        .find(names_app)
        .or_else(|| below.split('/').find(names_app))
        .or_else(|| image.map(ImageName::short))
        .unwrap_or_default()
        .to_owned()
}

#[cfg(test)]
mod tests;
