//! Renovate: its configuration file, with the managers of container images and `packageRules`.
//!
//! Rules: Renovate's documentation of configuration options (44). Later rules win, as later policies do. Patterns between slashes
//! are regular expressions, `!` negates, anything else is a glob; `fileMatch` and `matchPackagePatterns` of older versions are regular
//! expressions. JSON5 is read as YAML's flow style, of which it is a part but for its comments.

use std::collections::BTreeSet;

use regex::{Regex, RegexBuilder};

use crate::model::RepoPath;
use crate::model::glob::{Glob, Separators};
use crate::overlay::{Documents, Value};

use super::{Source, TagRule, Tool, TranslatedPolicy, Translation, quoted};

pub(super) const TOOL: Tool =
    Tool { name: "renovate", summary: "its configuration file: managers of images and packageRules", read };

/// Where Renovate looks, in this order.
const FILES: &[&str] = &[
    "renovate.json",
    "renovate.json5",
    ".github/renovate.json",
    ".github/renovate.json5",
    ".gitlab/renovate.json",
    ".gitlab/renovate.json5",
    ".renovaterc",
    ".renovaterc.json",
    ".renovaterc.json5",
];

/// The managers that update container images in files that are scanned, and whether they do without being told where.
const MANAGERS: &[(&str, bool)] = &[
    ("kubernetes", false),
    ("kustomize", true),
    ("helm-values", true),
    ("argocd", false),
    ("flux", true),
    ("helmfile", true),
    ("tekton", false),
    ("fleet", true),
];

/// The largest regular expression, compiled, in bytes.
const MAX_PATTERN: usize = 1 << 20;

fn read(source: &Source<'_>, out: &mut Translation) {
    let found = FILES.iter().find_map(|name| source.files.iter().find(|(path, _)| path.as_str() == *name));
    let Some((path, bytes)) = found else { return };
    let text = uncommented(&String::from_utf8_lossy(bytes));
    let Some(documents) = Documents::parse(&text) else {
        return out.left((path, 1), path.file_name(), "it cannot be read");
    };
    let Some(root) = documents.iter().next() else { return };
    let reader = Reader { source, path };
    reader.presets(out, root);
    reader.base(out, root);
    for rule in root.items_at(&["packageRules"]) {
        reader.rule(out, rule);
    }
    reader.ignored(out, root);
    reader.rest(out, root);
}

/// The text without comments, line for line. In strings, `//` is no comment.
fn uncommented(text: &str) -> String {
    let (mut out, mut rest) = (String::with_capacity(text.len()), text);
    let mut quote = None;
    while let Some(c) = rest.chars().next() {
        let mut length = c.len_utf8();
        match quote {
            Some(open) => {
                if c == '\\' {
                    length += rest[1..].chars().next().map_or(0, char::len_utf8);
                } else if c == open {
                    quote = None;
                }
                out.push_str(&rest[..length]);
            }
            None if rest.starts_with("//") => {
                length = rest.find('\n').unwrap_or(rest.len());
            }
            None if rest.starts_with("/*") => {
                length = rest.find("*/").map_or(rest.len(), |end| end + 2);
                out.extend(rest[..length].chars().filter(|c| *c == '\n'));
            }
            None => {
                if matches!(c, '"' | '\'') {
                    quote = Some(c);
                }
                // YAML forbids tabs where it counts columns; in flow style they mean nothing.
                out.push(if c == '\t' { ' ' } else { c });
            }
        }
        rest = &rest[length..];
    }
    out
}

struct Reader<'r> {
    source: &'r Source<'r>,
    path: &'r RepoPath,
}

impl Reader<'_> {
    fn at(&self, value: Value<'_, '_>) -> (&RepoPath, usize) {
        (self.path, value.line())
    }

    fn presets(&self, out: &mut Translation, root: Value<'_, '_>) {
        for preset in root.items_at(&["extends"]) {
            let Some(name) = preset.text() else { continue };
            let at = self.at(preset);
            match name {
                "config:recommended"
                | "config:base"
                | "config:best-practices"
                | ":dependencyDashboard"
                | ":disableDependencyDashboard"
                | "mergeConfidence:all-badges" => {}
                ":semanticCommits" => {
                    out.conventional = true;
                    out.translated(at, name, "messages: conventional");
                }
                "docker:disable" => {
                    out.left(at, name, "policies are proposed nevertheless: remove what you do not want");
                }
                "docker:pinDigests" | "helpers:pinGitHubActionDigests" => {
                    out.left(at, name, "write `pin: digest` in the policies that should pin");
                }
                _ => out.left(at, name, "the preset is not read: translate what it does by hand"),
            }
        }
    }

    /// What the managers look at is updated by pull request.
    fn base(&self, out: &mut Translation, root: Value<'_, '_>) {
        let enabled: Vec<&str> = root.items_at(&["enabledManagers"]).into_iter().filter_map(Value::text).collect();
        let mut globs = BTreeSet::new();
        let mut any = false;
        for (manager, by_default) in MANAGERS {
            if !enabled.is_empty() && !enabled.contains(manager) {
                continue;
            }
            let own = root.get(manager);
            if own.and_then(|own| own.text_at(&["enabled"])) == Some("false") {
                continue;
            }
            let patterns = own.map(|own| self.file_patterns(out, own)).unwrap_or_default();
            if !patterns.is_empty() {
                any = true;
                globs.extend(self.source.cover(|path| patterns.iter().any(|pattern| pattern.matches(path.as_str()))));
            } else if *by_default {
                any = true;
                globs.extend(self.source.cover(|path| looked_at_by_default(manager, path)));
            }
        }
        if !any || globs.is_empty() {
            return out.left((self.path, root.line()), "managers", "none of them looks at a file with an image");
        }
        let mut fields = vec![("write", "pull-request".to_owned())];
        fields.extend(self.fields(out, root, Level::Whole));
        let policy = TranslatedPolicy {
            name: "renovate".to_owned(),
            origin: "what Renovate's managers look at".to_owned(),
            paths: globs,
            images: BTreeSet::new(),
            fields,
        };
        out.translated((self.path, root.line()), "managers", format!("policy {}", policy.name));
        out.policies.push(policy);
    }

    fn file_patterns(&self, out: &mut Translation, manager: Value<'_, '_>) -> Vec<Pattern> {
        let mut patterns = Vec::new();
        for (key, bare) in [("managerFilePatterns", Bare::Glob), ("fileMatch", Bare::Regex)] {
            patterns.extend(self.patterns(out, manager.items_at(&[key]), bare));
        }
        patterns
    }

    fn patterns(&self, out: &mut Translation, items: Vec<Value<'_, '_>>, bare: Bare) -> Vec<Pattern> {
        let mut patterns = Vec::new();
        for item in items {
            let Some(text) = item.text() else { continue };
            match Pattern::parse(text, bare) {
                Some(pattern) => patterns.push(pattern),
                None => out.left(self.at(item), text, "it is not a pattern that is understood"),
            }
        }
        patterns
    }

    fn rule(&self, out: &mut Translation, rule: Value<'_, '_>) {
        let at = self.at(rule);
        let what = format!("packageRules: {}", summary(rule));
        let texts = |key: &str| -> Vec<&str> { rule.items_at(&[key]).into_iter().filter_map(Value::text).collect() };
        let (managers, sources) = (texts("matchManagers"), texts("matchDatasources"));
        let about_images = (managers.is_empty() || managers.iter().any(|name| MANAGERS.iter().any(|it| it.0 == *name)))
            && (sources.is_empty() || sources.contains(&"docker"));
        if !about_images {
            return out.left(at, what, "it is not about container images");
        }
        for (key, reason) in [
            (
                "matchUpdateTypes",
                "policies do not distinguish major from minor updates: give the images a `semver` range",
            ),
            ("matchCurrentVersion", "a policy applies whatever runs now"),
            ("matchCurrentValue", "a policy applies whatever runs now"),
            ("matchDepTypes", "images have no such types"),
            ("matchBaseBranches", "write `branch` in a policy of its own"),
            ("matchCategories", "images have no categories"),
            ("matchSourceUrls", "sources of images are not looked up"),
            ("matchJsonata", "it cannot be decided here"),
        ] {
            if let Some(value) = rule.get(key) {
                return out.left(self.at(value), what, format!("{key}: {reason}"));
            }
        }
        let images = self.images(out, rule);
        let paths = self.paths(out, rule);
        if images.as_ref().is_some_and(BTreeSet::is_empty) || paths.as_ref().is_some_and(BTreeSet::is_empty) {
            return out.left(at, what, "it selects no image of this repository");
        }
        let mut fields = Vec::new();
        if rule.text_at(&["enabled"]) == Some("false") {
            fields.push(("write", "never".to_owned()));
        }
        fields.extend(self.tags(out, rule));
        fields.extend(self.fields(out, rule, Level::Rule));
        if fields.is_empty() {
            return out.left(at, what, "nothing that it says has a counterpart");
        }
        let policy = TranslatedPolicy {
            name: format!("renovate-{}", out.policies.len()),
            origin: what.clone(),
            paths: paths.unwrap_or_else(|| BTreeSet::from(["**".to_owned()])),
            images: images.unwrap_or_default(),
            fields,
        };
        out.translated(at, what, format!("policy {}", policy.name));
        out.policies.push(policy);
    }

    /// The images of a rule; `None` is all.
    fn images(&self, out: &mut Translation, rule: Value<'_, '_>) -> Option<BTreeSet<String>> {
        let (mut wanted, mut unwanted) = (Vec::new(), Vec::new());
        for (key, bare, exclude) in [
            ("matchPackageNames", Bare::Glob, false),
            ("matchDepNames", Bare::Glob, false),
            ("matchPackagePatterns", Bare::Regex, false),
            ("matchDepPatterns", Bare::Regex, false),
            ("matchPackagePrefixes", Bare::Prefix, false),
            ("excludePackageNames", Bare::Glob, true),
            ("excludePackagePatterns", Bare::Regex, true),
            ("excludePackagePrefixes", Bare::Prefix, true),
        ] {
            let patterns = self.patterns(out, rule.items_at(&[key]), bare);
            let (no, yes): (Vec<Pattern>, Vec<Pattern>) = patterns.into_iter().partition(|it| it.negated);
            unwanted.extend(no);
            if exclude { unwanted.extend(yes) } else { wanted.extend(yes) }
        }
        if wanted.is_empty() && unwanted.is_empty() {
            return None;
        }
        Some(self.source.images(|image| {
            // Renovate knows an image by the name as written.
            let full = image.to_string();
            let short = full.strip_prefix("docker.io/").unwrap_or(&full);
            let names = [full.as_str(), short, short.strip_prefix("library/").unwrap_or(short)];
            let any = |patterns: &[Pattern]| patterns.iter().any(|it| names.iter().any(|name| it.finds(name)));
            (wanted.is_empty() || any(&wanted)) && !any(&unwanted)
        }))
    }

    /// The files of a rule; `None` is all.
    fn paths(&self, out: &mut Translation, rule: Value<'_, '_>) -> Option<BTreeSet<String>> {
        let mut patterns = Vec::new();
        for key in ["matchFileNames", "matchPaths"] {
            patterns.extend(self.patterns(out, rule.items_at(&[key]), Bare::Glob));
        }
        if patterns.is_empty() {
            return None;
        }
        let (no, yes): (Vec<Pattern>, Vec<Pattern>) = patterns.into_iter().partition(|it| it.negated);
        Some(self.source.cover(|path| {
            let any = |patterns: &[Pattern]| patterns.iter().any(|it| it.finds(path.as_str()));
            (yes.is_empty() || any(&yes)) && !any(&no)
        }))
    }

    fn tags(&self, out: &mut Translation, rule: Value<'_, '_>) -> Option<(&'static str, String)> {
        if let Some(versioning) = rule.get("versioning") {
            let text = versioning.text().unwrap_or_default();
            if !matches!(text, "docker" | "semver" | "semver-coerced" | "loose" | "redhat" | "kubernetes-api") {
                let reason = "write `tags` with a `filter` and `extract` for these images";
                out.left(self.at(versioning), format!("versioning {text}"), reason);
            }
        }
        let allowed = rule.get("allowedVersions")?;
        let text = allowed.text()?;
        match text.strip_prefix('/').and_then(|rest| rest.strip_suffix('/')) {
            Some(pattern) => TagRule { filter: Some(pattern.to_owned()), ..TagRule::default() }.field(),
            None if text.starts_with('!') => {
                out.left(
                    self.at(allowed),
                    format!("allowedVersions {text}"),
                    "write the tags to leave out in `ignore`",
                );
                None
            }
            None => TagRule::semver(text).field(),
        }
    }

    /// Fields that a rule and the whole file have alike.
    fn fields(&self, out: &mut Translation, of: Value<'_, '_>, level: Level) -> Vec<(&'static str, String)> {
        let mut fields = Vec::new();
        let mut pull: Vec<String> = Vec::new();
        let texts = |key: &str| -> Vec<&str> { of.items_at(&[key]).into_iter().filter_map(Value::text).collect() };
        let list = |items: &[&str]| format!("[{}]", items.iter().map(|it| quoted(it)).collect::<Vec<_>>().join(", "));
        let labels: Vec<&str> = texts("labels").into_iter().chain(texts("addLabels")).collect();
        if !labels.is_empty() {
            pull.push(format!("labels: {}", list(&labels)));
        }
        let (teams, people): (Vec<&str>, Vec<&str>) =
            texts("reviewers").into_iter().partition(|name| name.starts_with("team:"));
        if !people.is_empty() {
            pull.push(format!("reviewers: {}", list(&people)));
        }
        if let (Some(team), Some(value)) = (teams.first(), of.get("reviewers")) {
            out.left(self.at(value), *team, "write a team as `organisation/team` in `reviewers`");
        }
        match of.text_at(&["automerge"]) {
            Some("true") => pull.push("automerge: true".to_owned()),
            Some("false") if level == Level::Rule => pull.push("automerge: false".to_owned()),
            _ => {}
        }
        if of.text_at(&["draftPR"]) == Some("true") {
            pull.push("draft: true".to_owned());
        }
        if let Some(group) = of.text_at(&["groupName"]) {
            pull.push(format!("group: {}", quoted(&group.replace(['{', '}'], "-"))));
        }
        if let Some(limit) =
            of.text_at(&["prConcurrentLimit"]).and_then(|text| text.parse::<u32>().ok()).filter(|it| *it > 0)
        {
            pull.push(format!("limit: {limit}"));
        }
        if !pull.is_empty() {
            fields.push(("pullRequest", format!("{{ {} }}", pull.join(", "))));
        }
        if of.text_at(&["pinDigests"]) == Some("true") {
            fields.push(("pin", "digest".to_owned()));
        }
        let age = of.get("minimumReleaseAge").or_else(|| of.get("stabilityDays"));
        if let Some(age) = age {
            match age.text().and_then(duration) {
                Some(duration) => fields.push(("minimumReleaseAge", duration)),
                None => out.left(self.at(age), "minimumReleaseAge", "it is not a number of days, hours or weeks"),
            }
        }
        for (key, reason) in [
            ("schedule", "write `windows` with a cron pattern"),
            ("automergeType", "the bot merges pull requests; for commits without one write `write: commit`"),
            ("automergeSchedule", "write `windows` with a cron pattern"),
            ("assignees", "pull requests have reviewers only"),
            ("prHourlyLimit", "write `rate`"),
            ("prPriority", "updates have no priorities"),
            ("commitMessagePrefix", "write `messages` of the repository in landfall.yaml"),
            ("commitMessageTopic", "write `messages` of the repository in landfall.yaml"),
            ("replacementName", "an image is not replaced by another one"),
        ] {
            if let Some(value) = of.get(key) {
                out.left(self.at(value), key, reason);
            }
        }
        fields
    }

    fn ignored(&self, out: &mut Translation, root: Value<'_, '_>) {
        for (key, name) in [("ignorePaths", "renovate-ignored-paths"), ("ignoreDeps", "renovate-ignored-images")] {
            let Some(value) = root.get(key) else { continue };
            let patterns = self.patterns(out, value.items(), Bare::Glob);
            let (mut paths, mut images) = (BTreeSet::from(["**".to_owned()]), BTreeSet::new());
            let chosen = if key == "ignorePaths" {
                // A bare folder means all that is in it.
                let within = |path: &RepoPath| patterns.iter().any(|it| it.finds(path.as_str()) || it.contains(path));
                paths = self.source.cover(within);
                &paths
            } else {
                images = self.source.images(|image| patterns.iter().any(|it| it.finds(&image.to_string())));
                &images
            };
            if chosen.is_empty() {
                out.left(self.at(value), key, "it selects nothing of this repository");
                continue;
            }
            let fields = vec![("write", "never".to_owned())];
            let origin = format!("Renovate's {key}");
            out.translated(self.at(value), key, format!("policy {name}"));
            out.policies.push(TranslatedPolicy { name: name.to_owned(), origin, paths, images, fields });
        }
    }

    /// Whatever else stands at the top.
    fn rest(&self, out: &mut Translation, root: Value<'_, '_>) {
        for (key, value) in root.entries() {
            let reason = match key {
                "customManagers" | "regexManagers" => {
                    "images that only such a pattern finds are left alone: mark them with a setter marker"
                }
                "hostRules" => "logins are configured under `registries` in landfall.yaml",
                "registryAliases" => "write `mirrors` of the registry in landfall.yaml",
                "baseBranches" | "baseBranchPatterns" => {
                    "write `branches` of the repository in landfall.yaml, and `branch` in policies"
                }
                "timezone" => "write `timeZone` in `windows`",
                "semanticCommits" if value.text() == Some("enabled") => {
                    out.conventional = true;
                    out.translated(self.at(value), key, "messages: conventional");
                    continue;
                }
                "vulnerabilityAlerts" | "osvVulnerabilityAlerts" => "advisories are not read",
                "major" | "minor" | "patch" | "digest" | "pin" => {
                    "policies do not distinguish major from minor updates: give the images a `semver` range"
                }
                "docker" => "its settings are not read: write them in the policies",
                _ => continue,
            };
            out.left(self.at(value), key, reason);
        }
    }
}

/// Which of a file's settings are read.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Level {
    Whole,
    Rule,
}

/// What a pattern without slashes around it is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Bare {
    Glob,
    Regex,
    Prefix,
}

struct Pattern {
    negated: bool,
    text: String,
    matcher: Matcher,
}

enum Matcher {
    Regex(Regex),
    Glob(Glob),
    Prefix,
}

impl Pattern {
    fn parse(text: &str, bare: Bare) -> Option<Self> {
        let (negated, rest) = text.strip_prefix('!').map_or((false, text), |rest| (true, rest));
        let body = rest.strip_prefix('/').and_then(|rest| rest.strip_suffix("/i").or_else(|| rest.strip_suffix('/')));
        let regex = |source: &str| {
            let any_case = body.is_some() && rest.ends_with("/i");
            RegexBuilder::new(source).size_limit(MAX_PATTERN).case_insensitive(any_case).build().ok()
        };
        let matcher = match (body, bare) {
            (Some(body), _) => Matcher::Regex(regex(body)?),
            (None, Bare::Regex) => Matcher::Regex(regex(rest)?),
            (None, Bare::Glob) => Matcher::Glob(Glob::new(rest, Separators::Stop).ok()?),
            (None, Bare::Prefix) => Matcher::Prefix,
        };
        Some(Self { negated, text: rest.to_owned(), matcher })
    }

    fn finds(&self, text: &str) -> bool {
        self.text == "*"
            || self.text == text
            || match &self.matcher {
                Matcher::Regex(regex) => regex.is_match(text),
                Matcher::Glob(glob) => glob.is_match(text),
                Matcher::Prefix => text.starts_with(&self.text),
            }
    }

    fn matches(&self, text: &str) -> bool {
        self.finds(text) != self.negated
    }

    /// Whether it names a folder that holds a path.
    fn contains(&self, path: &RepoPath) -> bool {
        let folder = self.text.trim_end_matches('/');
        path.as_str().strip_prefix(folder).is_some_and(|rest| rest.starts_with('/'))
    }
}

/// The files that a manager looks at without being told.
fn looked_at_by_default(manager: &str, path: &RepoPath) -> bool {
    let name = path.file_name();
    match manager {
        "kustomize" => matches!(name, "kustomization.yaml" | "kustomization.yml" | "Kustomization"),
        "helm-values" => name == "values.yaml" || name == "values.yml",
        "helmfile" => name.starts_with("helmfile.y") || path.as_str().contains("helmfile.d/"),
        "flux" => name == "gotk-components.yaml",
        "fleet" => name == "fleet.yaml",
        _ => false,
    }
}

/// A rule in a few words: what it calls itself, or whom it names.
fn summary(rule: Value<'_, '_>) -> String {
    if let Some(description) = rule.items_at(&["description"]).first().and_then(|text| text.text()) {
        return description.chars().take(80).collect();
    }
    let keys = [
        "groupName",
        "matchPackageNames",
        "matchPackagePatterns",
        "matchFileNames",
        "matchPaths",
        "matchManagers",
        "matchDatasources",
    ];
    let named = keys.iter().find_map(|key| rule.items_at(&[key]).first().and_then(|text| text.text()));
    named.unwrap_or("a rule").chars().take(80).collect()
}

/// `3 days`, `3d` or a number of days, as a duration of ours.
fn duration(text: &str) -> Option<String> {
    let text = text.trim();
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let number: u32 = number.parse().ok().filter(|number| *number > 0)?;
    let (number, unit) = match unit.trim() {
        "" | "d" | "day" | "days" => (number, 'd'),
        "h" | "hour" | "hours" => (number, 'h'),
        "m" | "min" | "minute" | "minutes" => (number, 'm'),
        "w" | "week" | "weeks" => (number.checked_mul(7)?, 'd'),
        "month" | "months" => (number.checked_mul(30)?, 'd'),
        _ => return None,
    };
    Some(format!("{number}{unit}"))
}
