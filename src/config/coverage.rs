//! Policies held against a repository: which match nothing, and which pins nobody is responsible for.

use std::collections::{BTreeMap, BTreeSet};

use crate::model::{ImageName, RepoPath, Skipped};
use crate::policy::{PolicyMatch, PolicySet, SourceLocation, Write};

use super::diagnostic::Diagnostic;

/// How many pins of one file are named before the rest is counted.
const NAMED: usize = 3;

/// Warnings about policies that match no pin of a repository, and about pins that no policy lets be written.
/// A pin is its file, its image and its line. What was left alone where a policy would write is among them.
#[must_use]
pub fn coverage(policies: &PolicySet, pins: &[(RepoPath, ImageName, usize)], skipped: &[Skipped]) -> Vec<Diagnostic> {
    let mut diagnostics = unused(policies, pins);
    diagnostics.extend(skipped.iter().filter_map(|skipped| left_alone(policies, skipped)));
    let mut uncovered: BTreeMap<&RepoPath, Vec<(usize, &ImageName)>> = BTreeMap::new();
    let mut silent: BTreeMap<&RepoPath, Vec<(usize, &ImageName)>> = BTreeMap::new();
    for (path, image, line) in pins {
        let effective = policies.effective(path, image);
        if effective.matched.is_empty() {
            uncovered.entry(path).or_default().push((*line, image));
        } else if effective.write == Write::Never && effective.fields.write.is_none() {
            silent.entry(path).or_default().push((*line, image));
        }
    }
    diagnostics.extend(beyond(policies, pins));
    let never = "nothing is written for it; widen a policy's `paths`, or say `write: never` to make it intended";
    diagnostics.extend(uncovered.iter().map(|(path, pins)| warn(path, pins, "no policy matches", never)));
    let add = "nothing is written for it; add `write` to one of the policies that match";
    diagnostics.extend(silent.iter().map(|(path, pins)| warn(path, pins, "no policy says `write` for", add)));
    diagnostics
}

/// What policies ask for beyond the caps of the configuration, once for each policy and cap.
fn beyond(policies: &PolicySet, pins: &[(RepoPath, ImageName, usize)]) -> Vec<Diagnostic> {
    let mut said = BTreeSet::new();
    for (path, image, _) in pins {
        let effective = policies.effective(path, image);
        let policy = effective.policy.unwrap_or_default();
        said.extend(effective.beyond.into_iter().map(|it| (it.origin, policy.clone(), it.value)));
        if let Some(capped) = effective.capped {
            let what = format!("`write: {}` is not allowed there, so it is `{}`", capped.asked, effective.write);
            said.insert((capped.cap, policy, what));
        }
    }
    let warning = |(cap, policy, what): &(SourceLocation, String, String)| {
        Diagnostic::warning(cap, format!("policy `{policy}` asks for more than this cap allows: {what}"))
    };
    said.iter().map(warning).collect()
}

/// What a policy would be about, had it not been left alone.
fn left_alone(policies: &PolicySet, skipped: &Skipped) -> Option<Diagnostic> {
    let path = RepoPath::parse(&skipped.path).ok().filter(|_| !skipped.reason.is_expected())?;
    let written = policies.effective_for(&path, skipped.image.as_ref()).write != Write::Never;
    let origin = SourceLocation { file: skipped.path.clone(), line: skipped.line.unwrap_or(1), column: 1 };
    written.then(|| Diagnostic::warning(&origin, format!("left alone: {}", skipped.reason)))
}

fn unused(policies: &PolicySet, pins: &[(RepoPath, ImageName, usize)]) -> Vec<Diagnostic> {
    let mut used: BTreeSet<&str> = BTreeSet::new();
    let mut path_only: BTreeSet<&str> = BTreeSet::new();
    for (path, image, _) in pins {
        for (policy, verdict) in policies.verdicts(path, Some(image)) {
            match verdict {
                PolicyMatch::Matched { .. } => used.insert(&policy.name.value),
                PolicyMatch::OtherImage => path_only.insert(&policy.name.value),
                PolicyMatch::OtherPath => false,
            };
        }
    }
    let idle = policies.policies().iter().filter(|policy| !used.contains(policy.name.value.as_str()));
    idle.map(|policy| {
        let name = &policy.name.value;
        let (what, hint) = if path_only.contains(name.as_str()) {
            (
                "its `paths` match, but its `images` match no image there",
                "check `images`, which are globs over whole names",
            )
        } else {
            ("its `paths` match no file with an image", "check `paths`, which start at the repository's root")
        };
        Diagnostic::warning(&policy.name.origin, format!("policy `{name}` matches nothing: {what}")).with_hint(hint)
    })
    .collect()
}

fn warn(path: &RepoPath, pins: &[(usize, &ImageName)], what: &str, hint: &str) -> Diagnostic {
    let images: BTreeSet<String> = pins.iter().map(|(_, image)| image.to_string()).collect();
    let mut names: Vec<String> = images.iter().take(NAMED).cloned().collect();
    if images.len() > NAMED {
        names.push(format!("{} more", images.len() - NAMED));
    }
    let line = pins.iter().map(|(line, _)| *line).min().unwrap_or(1);
    let origin = SourceLocation { file: path.to_string(), line, column: 1 };
    Diagnostic::warning(&origin, format!("{what} {}", names.join(", "))).with_hint(hint)
}
