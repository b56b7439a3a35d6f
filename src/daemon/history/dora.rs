//! How well changes reach each environment, as the four DORA metrics, from Git and the tracker's records.
//!
//! - A **deployment** is a commit that moved an app to a version that it did not have before; one that goes back is a
//!   recovery.
//! - **Lead time** lasts from when the bot first saw the tag, or otherwise from the commit, until it landed.
//! - A deployment has **failed** if the next change of one of its images went back to an earlier version.
//! - **Time to restore** lasts from the landing of the failed version to that of the recovery, or from merge to merge
//!   if one of them was not seen to land.
//!
//! Unknown values are `None`, never 0.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

use crate::model::{CommitId, Version};
use crate::plan::CommitKind;

use super::{LeadFrom, VersionChange};

/// The four metrics of one environment.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Dora {
    /// The environment.
    pub environment: Option<String>,
    /// The start of the measured period: as requested, or the first change.
    pub since: Timestamp,
    /// Deployments in this period.
    pub deployments: usize,
    /// Deployments per day.
    pub deployment_frequency: Option<f64>,
    /// The median of lead times.
    pub lead_time: Option<Median>,
    /// Where lead times start, with the number of each.
    pub lead_time_from: BTreeMap<LeadFrom, usize>,
    /// The share of deployments that failed.
    pub change_failure_rate: Option<f64>,
    /// The median of times to restore.
    pub time_to_restore: Option<Median>,
}

/// The median of several durations.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Median {
    /// In seconds; for an even number of values, the greater of the two in the middle.
    pub median_seconds: i64,
    /// The number of values.
    pub count: usize,
}

/// The metrics of every environment, from changes in any order.
#[must_use]
pub fn dora(changes: &[VersionChange], since: Timestamp, now: Timestamp) -> Vec<Dora> {
    let mut environments: BTreeMap<Option<&str>, Vec<&VersionChange>> = BTreeMap::new();
    for change in changes {
        environments.entry(change.environment.as_deref()).or_default().push(change);
    }
    environments.into_iter().map(|(environment, changes)| measure(environment, &changes, since, now)).collect()
}

fn measure(environment: Option<&str>, changes: &[&VersionChange], since: Timestamp, now: Timestamp) -> Dora {
    let mut sums = Sums::default();
    for place in places(changes) {
        sums.add(&place, since, now);
    }
    let first = changes.iter().map(|change| change.merged).min().unwrap_or(since);
    let since = since.max(first);
    let days = now.duration_since(since).max(SignedDuration::from_hours(24)).as_secs_f64() / 86_400.0;
    let deployments = sums.deployments.len();
    let some = (deployments > 0).then_some(deployments);
    #[expect(clippy::cast_precision_loss, reason = "nobody deploys 2^52 times")]
    let share = |part: usize, whole: f64| part as f64 / whole;
    Dora {
        environment: environment.map(str::to_owned),
        since,
        deployments,
        deployment_frequency: some.map(|n| share(n, days)),
        lead_time: median(sums.leads),
        lead_time_from: sums.from,
        change_failure_rate: some.map(|n| share(sums.failed.len(), share(n, 1.0))),
        time_to_restore: median(sums.restores),
    }
}

/// The counts. A commit that moves several images of an app is one deployment.
#[derive(Default)]
struct Sums {
    deployments: BTreeSet<(String, CommitId)>,
    failed: BTreeSet<(String, CommitId)>,
    leads: Vec<i64>,
    from: BTreeMap<LeadFrom, usize>,
    restores: Vec<i64>,
}

impl Sums {
    /// One image in one overlay, oldest change first.
    fn add(&mut self, place: &[&VersionChange], since: Timestamp, now: Timestamp) {
        let mut had: BTreeSet<&Version> = BTreeSet::new();
        for (at, change) in place.iter().enumerate() {
            let first = had.is_empty();
            let back = goes_back(change, &had);
            had.extend(change.from.as_ref());
            had.insert(&change.to);
            // The first version of a new file is not a deployment, and neither is going back.
            if (first && change.from.is_none()) || back || change.merged < since || change.merged > now {
                continue;
            }
            let key = (change.app.clone(), change.commit.clone());
            self.deployments.insert(key.clone());
            if let Some(lead) = change.lead_time {
                self.leads.push(lead.seconds);
                *self.from.entry(lead.from).or_default() += 1;
            }
            if let Some(next) = place.get(at + 1).filter(|next| goes_back(next, &had)) {
                self.failed.insert(key);
                self.restores.push(restored(change, next));
            }
        }
    }
}

/// Whether a change goes back to an earlier version.
fn goes_back(change: &VersionChange, had: &BTreeSet<&Version>) -> bool {
    change.kind == CommitKind::Rollback || had.contains(&change.to)
}

/// How long the failed version was there, in seconds. A landing is never compared with a merge, which comes earlier.
fn restored(failed: &VersionChange, back: &VersionChange) -> i64 {
    let landed = |change: &VersionChange| change.landed.values().min().copied();
    let (from, to) = landed(failed).zip(landed(back)).unwrap_or((failed.merged, back.merged));
    to.duration_since(from).as_secs().max(0)
}

/// The changes of each image in each overlay, oldest first.
fn places<'c>(changes: &[&'c VersionChange]) -> Vec<Vec<&'c VersionChange>> {
    let mut places: BTreeMap<(&str, &str, &str), Vec<&VersionChange>> = BTreeMap::new();
    // Newest first, as in the history; changes within the same second keep their order.
    for change in changes.iter().rev() {
        places.entry((change.branch.as_str(), &change.overlay, &change.image)).or_default().push(change);
    }
    let mut places: Vec<Vec<&VersionChange>> = places.into_values().collect();
    places.iter_mut().for_each(|place| place.sort_by_key(|change| change.merged));
    places
}

fn median(mut spans: Vec<i64>) -> Option<Median> {
    spans.sort_unstable();
    let median_seconds = *spans.get(spans.len() / 2)?;
    Some(Median { median_seconds, count: spans.len() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{BranchName, ImageName, Tag, UpdateId};

    fn day(day: i64) -> Timestamp {
        Timestamp::from_second(1_790_000_000 + day * 86_400).unwrap()
    }

    fn version(tag: &str) -> Version {
        Version { tag: Some(Tag::parse(tag).unwrap()), digest: None }
    }

    /// On this day `app` went from one version to another; it landed an hour later, or nobody saw it.
    fn change(app: &str, at: i64, (from, to): (&str, &str), kind: CommitKind, landed: bool) -> VersionChange {
        let branch = BranchName::parse("main").unwrap();
        let image = ImageName::parse("ghcr.io/acme/web").unwrap();
        let mut change = VersionChange {
            id: UpdateId::of(&branch, app, "prod", &image, &version(to)),
            app: app.to_owned(),
            environment: Some("prod".to_owned()),
            branch,
            overlay: app.to_owned(),
            image: image.to_string(),
            from: (!from.is_empty()).then(|| version(from)),
            to: version(to),
            by: "Ada".to_owned(),
            commit: CommitId::parse(&format!("{at:040x}")).unwrap(),
            arrived: CommitId::parse(&format!("{at:040x}")).unwrap(),
            squashed: None,
            committed: day(at),
            merged: day(at),
            landed: BTreeMap::new(),
            kind,
            lead_time: None,
        };
        let hour = SignedDuration::from_hours(1);
        let seen = landed.then(|| ("eu".to_owned(), day(at) + hour));
        change.remember(seen.into_iter().collect(), Some(day(at) - hour));
        change
    }

    #[test]
    fn four_measures() {
        use CommitKind::{Bump, ByHand, Rollback};
        let bump = |at, versions, landed| change("web", at, versions, Bump, landed);
        type Expected = (usize, Option<f64>, Option<(i64, usize)>, Option<f64>, Option<(i64, usize)>);
        let cases: Vec<(&str, Vec<VersionChange>, Expected)> = vec![
            ("nothing", vec![bump(-20, ("", "1"), false)], (0, None, None, None, None)),
            (
                "one that landed",
                vec![bump(-20, ("", "1"), false), bump(-5, ("1", "2"), true)],
                (1, Some(0.1), Some((7_200, 1)), Some(0.0), None),
            ),
            (
                "one that nobody saw land",
                vec![bump(-20, ("", "1"), false), bump(-5, ("1", "2"), false)],
                (1, Some(0.1), None, Some(0.0), None),
            ),
            (
                "reverted after two days",
                vec![
                    bump(-20, ("", "1"), false),
                    bump(-8, ("1", "2"), true),
                    change("web", -6, ("2", "1"), ByHand, true),
                    bump(-5, ("1", "3"), true),
                ],
                (2, Some(0.2), Some((7_200, 2)), Some(0.5), Some((2 * 86_400, 1))),
            ),
            (
                "rolled back to what the history does not show",
                vec![bump(-8, ("1", "2"), true), change("web", -7, ("2", "0"), Rollback, true)],
                (1, Some(0.125), Some((7_200, 1)), Some(1.0), Some((86_400, 1))),
            ),
            (
                "rolled back within the hour, before it was seen to land",
                // In the same second: newest first, as in the history.
                vec![change("web", -8, ("2", "0"), Rollback, false), bump(-8, ("1", "2"), true)],
                (1, Some(0.125), Some((7_200, 1)), Some(1.0), Some((0, 1))),
            ),
            (
                "two apps in one commit",
                vec![
                    bump(-5, ("1", "2"), false),
                    change("api", -5, ("1", "2"), Bump, false),
                    bump(-20, ("", "1"), false),
                ],
                (2, Some(0.2), None, Some(0.0), None),
            ),
        ];
        for (case, mut changes, (deployments, frequency, lead, failures, restore)) in cases {
            changes.sort_by_key(|change| std::cmp::Reverse(change.merged));
            let dora = dora(&changes, day(-10), day(0));
            assert_eq!(dora.len(), 1, "{case}");
            let median = |median: Option<Median>| median.map(|median| (median.median_seconds, median.count));
            let found = &dora[0];
            assert_eq!(found.deployments, deployments, "{case}");
            assert_eq!((found.deployment_frequency, found.change_failure_rate), (frequency, failures), "{case}");
            assert_eq!((median(found.lead_time), median(found.time_to_restore)), (lead, restore), "{case}");
            assert!(found.lead_time_from.keys().all(|from| *from == LeadFrom::FirstSeen), "{case}");
        }
    }
}
