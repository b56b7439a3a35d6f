//! Compares policies with a repository: which match nothing, and which pins have no policy.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use crate::model::{ImageName, Pin, RepoPath, SkipReason, Skipped, Tag};
use crate::policy::{Effective, Policy, PolicyMatch, PolicySet, SourceLocation, Sourced, Write};
use crate::select::{self, TagPolicy};

use super::diagnostic::Diagnostic;

/// How many pins of one file are named before the rest are counted.
const NAMED: usize = 3;

/// Warnings about policies that match no pin in a repository, and about pins that no policy allows to be written. A pin
/// is given as its file, image and line. Also warns about places that were left alone although a policy would write
/// there.
#[must_use]
pub fn coverage(policies: &PolicySet, pins: &[(RepoPath, ImageName, usize)], skipped: &[Skipped]) -> Vec<Diagnostic> {
    let mut diagnostics = unused(policies, pins);
    diagnostics.extend(skipped.iter().filter_map(|skipped| left_alone(policies, skipped)));
    diagnostics.extend(left_ranges(policies, skipped));
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
    diagnostics.extend(loosened(policies, pins));
    diagnostics.extend(nowhere(policies, pins));
    let never = "nothing is written for it; widen a policy's `paths`, or set `write: never` if that is intended";
    diagnostics.extend(uncovered.iter().map(|(path, pins)| warn(path, pins, "no policy matches", never)));
    let add = "nothing is written for it; add `write` to one of the policies that match";
    diagnostics.extend(silent.iter().map(|(path, pins)| warn(path, pins, "no policy sets `write` for", add)));
    diagnostics
}

/// Warnings about current tags that their tag policy passes over: their updates are held, whatever the registry lists. One for
/// each tag policy.
#[must_use]
pub fn held_for_adoption(policies: &PolicySet, pins: &[Pin]) -> Vec<Diagnostic> {
    let mut held: BTreeMap<SourceLocation, (String, BTreeSet<String>)> = BTreeMap::new();
    for pin in pins {
        // A range is replaced by a version in it, whatever comes before or after.
        let Some(tag) = pin.version.tag.as_ref().filter(|tag| !tag.is_range()) else { continue };
        let effective = policies.effective(&pin.path, &pin.name);
        if let Some(tags) = passing_over(&effective, tag) {
            let (_, names) = held
                .entry(tags.origin.clone())
                .or_insert_with(|| (effective.policy.clone().unwrap_or_default(), BTreeSet::new()));
            names.insert(format!("{}:{tag} ({}:{})", pin.name, pin.path, pin.line));
        }
    }
    let warning = |(origin, (policy, names)): (SourceLocation, (String, BTreeSet<String>))| {
        let (these, tag, their) = match names.len() {
            1 => (some_of(names), "tag", "its"),
            _ => (some_of(names), "tags", "their"),
        };
        let message = format!(
            "policy `{policy}` would not choose the current {tag} {these}, so it is unknown whether another is newer and {their} \
             updates are held"
        );
        Diagnostic::warning(&origin, message)
            .with_hint("set `adopt: true` in the policy to take what it chooses, or write the first version by hand")
    };
    held.into_iter().map(warning).collect()
}

/// The tag policy that passes over a current tag, so that its updates are held until somebody adopts what it chooses.
#[must_use]
pub fn passing_over<'p>(effective: &'p Effective, tag: &Tag) -> Option<&'p Sourced<TagPolicy>> {
    let fields = &effective.fields;
    // A promotion takes what runs upstream.
    let free = effective.write == Write::Never
        || fields.promote_from.is_some()
        || fields.adopt.as_ref().is_some_and(|adopt| adopt.value);
    fields.tags.as_ref().filter(|tags| !free && select::passes_over(&tags.value, tag))
}

/// The first of some names, and how many more there are.
fn some_of(names: BTreeSet<String>) -> String {
    let more = names.len().saturating_sub(NAMED);
    let mut shown: Vec<String> = names.into_iter().take(NAMED).collect();
    shown.extend((more > 0).then(|| format!("{more} more")));
    shown.join(", ")
}

/// What one policy selects in a repository.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PolicySelection {
    /// The policy.
    pub policy: String,
    /// How the selected pins are written, after layering and caps.
    pub write: BTreeSet<String>,
    /// The environments.
    pub environments: BTreeSet<String>,
    /// The apps.
    pub apps: BTreeSet<String>,
    /// The number of images in files.
    pub images: usize,
}

/// What each policy selects; a pin that several policies match counts for each of them.
#[must_use]
pub fn selections(policies: &PolicySet, pins: &[(RepoPath, ImageName, usize)]) -> Vec<PolicySelection> {
    let row = |policy: &Policy| PolicySelection {
        policy: policy.name.value.clone(),
        write: BTreeSet::new(),
        environments: BTreeSet::new(),
        apps: BTreeSet::new(),
        images: 0,
    };
    let mut rows: Vec<PolicySelection> = policies.policies().iter().map(row).collect();
    for (path, image, _) in pins {
        let effective = policies.effective(path, image);
        for name in &effective.matched {
            let Some(row) = rows.iter_mut().find(|row| row.policy == name.value) else { continue };
            row.images += 1;
            row.write.insert(effective.write.to_string());
            row.apps.insert(effective.app.clone());
            row.environments.extend(effective.environment.clone());
        }
    }
    rows
}

/// Later policies that match everything that an earlier one matches, and more, and that write it more freely.
fn loosened(policies: &PolicySet, pins: &[(RepoPath, ImageName, usize)]) -> Vec<Diagnostic> {
    let freedom = |write: Write| match write {
        Write::Never => 0,
        Write::PullRequest => 1,
        Write::Commit => 2,
    };
    let mut matches: Vec<BTreeSet<usize>> = vec![BTreeSet::new(); policies.policies().len()];
    for (nth, (path, image, _)) in pins.iter().enumerate() {
        for (policy, (_, verdict)) in policies.verdicts(path, Some(image)).into_iter().enumerate() {
            if matches!(verdict, PolicyMatch::Matched { .. }) {
                matches[policy].insert(nth);
            }
        }
    }
    let mut found = Vec::new();
    for (at, later) in policies.policies().iter().enumerate() {
        let Some(write) = &later.fields.write else { continue };
        let strict = policies.policies()[..at].iter().enumerate().find(|(before, earlier)| {
            let stricter = earlier.fields.write.as_ref().is_some_and(|it| freedom(it.value) < freedom(write.value));
            stricter && !matches[*before].is_empty() && matches[*before].is_subset(&matches[at])
        });
        let Some((_, earlier)) = strict else { continue };
        let asked = earlier.fields.write.as_ref().map_or(Write::Never, |write| write.value);
        let message = format!(
            "`write: {}` of policy `{}` replaces `write: {asked}` of `{}`, whose files it all matches: later policies win",
            write.value, later.name.value, earlier.name.value
        );
        found.push(
            Diagnostic::warning(&write.origin, message)
                .with_hint(format!("put `{}` after it, or leave `write` out here", earlier.name.value)),
        );
    }
    found
}

/// Policies that write but have no environment, which freezes, promotions and clusters refer to.
fn nowhere(policies: &PolicySet, pins: &[(RepoPath, ImageName, usize)]) -> Vec<Diagnostic> {
    let mut without: BTreeSet<String> = BTreeSet::new();
    for (path, image, _) in pins {
        let effective = policies.effective(path, image);
        if effective.environment.is_none() && effective.write != Write::Never {
            without.extend(effective.policy);
        }
    }
    let warn = |policy: &Policy| {
        let name = &policy.name.value;
        let message = format!("policy `{name}` writes, but sets no `environment` for what it matches");
        Diagnostic::warning(&policy.name.origin, message).with_hint(
            "set one: freezes, promotions, clusters and alerts refer to it; or capture it as {env} in `paths`",
        )
    };
    policies.policies().iter().filter(|policy| without.contains(&policy.name.value)).map(warn).collect()
}

/// What policies request beyond the caps in the configuration, once per policy and cap.
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
        Diagnostic::warning(cap, format!("policy `{policy}` requests more than this cap allows: {what}"))
    };
    said.iter().map(warning).collect()
}

/// What a policy would have matched if it had not been left alone.
fn left_alone(policies: &PolicySet, skipped: &Skipped) -> Option<Diagnostic> {
    let path = RepoPath::parse(&skipped.path).ok().filter(|_| !skipped.reason.is_expected())?;
    let written = policies.effective_for(&path, skipped.image.as_ref()).write != Write::Never;
    let origin = SourceLocation { file: skipped.path.clone(), line: skipped.line.unwrap_or(1), column: 1 };
    written.then(|| Diagnostic::warning(&origin, format!("left alone: {}", skipped.reason)))
}

/// Warnings about ranges of charts' versions that nobody has said anything of: one for each policy that writes where they are.
fn left_ranges(policies: &PolicySet, skipped: &[Skipped]) -> Vec<Diagnostic> {
    let mut found: BTreeMap<SourceLocation, (String, BTreeSet<String>)> = BTreeMap::new();
    for range in skipped.iter().filter(|skipped| skipped.reason == SkipReason::ChartRange) {
        let Ok(path) = RepoPath::parse(&range.path) else { continue };
        let effective = policies.effective_for(&path, range.image.as_ref());
        let Some(write) = effective.fields.write.as_ref().filter(|_| effective.write != Write::Never) else { continue };
        if effective.fields.ranges.is_none() {
            let name = effective.policy.clone().unwrap_or_default();
            let (_, places) = found.entry(write.origin.clone()).or_insert_with(|| (name, BTreeSet::new()));
            places.insert(format!("{path}:{}", range.line.unwrap_or(1)));
        }
    }
    let warning = |(origin, (policy, places)): (SourceLocation, (String, BTreeSet<String>))| {
        let message = format!(
            "policy `{policy}` leaves ranges of charts' versions alone, in {}: what reads them chooses the newest version, and no \
             commit says when",
            some_of(places)
        );
        Diagnostic::warning(&origin, message).with_hint(
            "`ranges: pin` has each replaced by the greatest version in it; `ranges: keep` says that they are meant",
        )
    };
    found.into_iter().map(warning).collect()
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
    let images = some_of(pins.iter().map(|(_, image)| image.to_string()).collect());
    let line = pins.iter().map(|(line, _)| *line).min().unwrap_or(1);
    let origin = SourceLocation { file: path.to_string(), line, column: 1 };
    Diagnostic::warning(&origin, format!("{what} {images}")).with_hint(hint)
}
