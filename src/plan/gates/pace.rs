//! How fast updates may follow one another: bursts are collected, rates limited, storms stopped.
//!
//! The count is taken from Git: updates in the history of the branch, and those on the bot's own branches, which are
//! already waiting there and have been let through.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use crate::model::{Answer, ImageName, UpdateId};

use super::{is_overridden, words};
use crate::plan::candidates::{Choices, Chosen};
use crate::plan::ledger::UpdatePlace;
use crate::plan::{Attention, ForgeQuery, Gate, Hold, Snapshot};

/// How often one image may return to a tag in one place within an hour before something is wrong. New versions are not
/// a storm, however many there are: a debounce collects them.
const STORM: usize = 6;
/// The span in which they are counted.
const STORM_SPAN: SignedDuration = SignedDuration::from_hours(1);
/// A stream of new updates can delay the first of them by at most this many debounce intervals.
const PATIENCE: u32 = 5;

/// Since when an update has been waiting for the debounce.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gathered {
    /// When this update was first planned.
    pub at: Timestamp,
    /// When the first update that it replaced was first planned.
    pub first: Timestamp,
}

/// Environment, or otherwise policy: the scope of a rate and a debounce.
type Scope = String;

/// Holds updates that exceed a limit.
pub(in crate::plan) fn hold_back(snapshot: &Snapshot<'_>, choices: &mut Choices) {
    if choices.updates.is_empty() {
        return;
    }
    let flying: BTreeSet<&UpdateId> = snapshot.heads.values().flat_map(|head| &head.updates).collect();
    let (mut ready, on_their_way): (Vec<Chosen>, Vec<Chosen>) =
        std::mem::take(&mut choices.updates).into_iter().partition(|chosen| !flying.contains(&chosen.update.id));
    // An update that was refused last time must not take the others' turn forever.
    let refused = |chosen: &Chosen| snapshot.failed.is_some_and(|failed| failed.contains(&chosen.update.id));
    ready.sort_by(|a, b| {
        (refused(a), &a.update.overlay, &a.update.name).cmp(&(refused(b), &b.update.overlay, &b.update.name))
    });
    if !is_overridden(snapshot, Gate::Rate) {
        ready = storms(snapshot, ready, &mut choices.holds);
        ready = gather(snapshot, ready, &mut choices.holds);
        if snapshot.answers.open.is_none() && is_rated(snapshot, &ready) {
            choices.queries.forge.insert(ForgeQuery::Open);
        }
        ready = rates(snapshot, ready, &mut choices.holds);
    }
    choices.updates = ready.into_iter().chain(on_their_way).collect();
}

fn scope(chosen: &Chosen) -> Scope {
    chosen.update.environment.clone().unwrap_or_else(|| chosen.update.policy.clone())
}

/// An image that keeps moving back and forth in one place: two writers, or a tag that is pushed all the time.
fn storms(snapshot: &Snapshot<'_>, ready: Vec<Chosen>, holds: &mut Vec<Hold>) -> Vec<Chosen> {
    let since = snapshot.now.checked_sub(STORM_SPAN).unwrap_or(Timestamp::MIN);
    let mut tags: HashSet<(&str, &str, &str)> = HashSet::new();
    let mut made: BTreeMap<(&str, &str), Vec<Timestamp>> = BTreeMap::new();
    for (at, update) in snapshot.ledger.since(since, snapshot.now) {
        let (overlay, image) = (update.place.overlay.as_str(), update.place.image.as_str());
        if !tags.insert((overlay, image, update.tag.as_str())) {
            made.entry((overlay, image)).or_default().push(at);
        }
    }
    let mut names: BTreeMap<ImageName, String> = BTreeMap::new();
    let mut left = Vec::new();
    for chosen in ready {
        let name = names.entry(chosen.update.name.clone()).or_insert_with(|| chosen.update.name.to_string());
        let Some(times) = made.get(&(chosen.update.overlay.as_str(), name.as_str())).filter(|it| it.len() >= STORM)
        else {
            left.push(chosen);
            continue;
        };
        let until = times.iter().min().and_then(|first| first.checked_add(STORM_SPAN).ok());
        let reason = format!(
            "{name} came back to the same tags {} times within an hour here: another writer reverts it, or its tag is pushed \
             repeatedly; the bot pauses until that stops",
            times.len()
        );
        holds.push(Hold { attention: Attention::Incident, ..Hold::new(chosen.update, Gate::Rate, reason, until) });
    }
    left
}

/// Waits until no new update has arrived for the debounce interval.
fn gather(snapshot: &Snapshot<'_>, ready: Vec<Chosen>, holds: &mut Vec<Hold>) -> Vec<Chosen> {
    let Some(gathered) = snapshot.gathered else { return ready };
    let known = |chosen: &Chosen| {
        let fresh = Gathered { at: snapshot.now, first: snapshot.now };
        let known = gathered.get(&chosen.update.id).copied().unwrap_or(fresh);
        (known.first.min(snapshot.now), known.at.min(snapshot.now))
    };
    let mut spans: BTreeMap<Scope, (Timestamp, Timestamp)> = BTreeMap::new();
    for chosen in &ready {
        let (first, at) = known(chosen);
        let span = spans.entry(scope(chosen)).or_insert((first, at));
        *span = (span.0.min(first), span.1.max(at));
    }
    let mut left = Vec::new();
    for chosen in ready {
        let debounce = chosen.effective.fields.debounce.as_ref().map(|debounce| debounce.value);
        let until = debounce.and_then(|debounce| {
            let (earliest, latest) = spans.get(&scope(&chosen))?;
            let quiet = latest.checked_add(debounce).ok()?;
            Some(quiet.min(earliest.checked_add(debounce.checked_mul(PATIENCE)?).ok()?))
        });
        match (until, debounce) {
            (Some(until), Some(debounce)) if snapshot.now < until => {
                let reason = format!("updates are collected until no new one has arrived for {}", words(debounce));
                holds.push(Hold::new(chosen.update, Gate::Rate, reason, Some(until)));
            }
            _ => left.push(chosen),
        }
    }
    left
}

/// Whether a branch with updates may count for the limit of one of these.
fn is_rated(snapshot: &Snapshot<'_>, ready: &[Chosen]) -> bool {
    ready.iter().any(|chosen| chosen.effective.fields.rate.is_some())
        && snapshot.heads.values().any(|head| !head.carries.is_empty())
}

/// Whether a branch has an open pull request, as far as that is known: anybody may push a branch that is named like the bot's.
fn proposes(snapshot: &Snapshot<'_>, head: &str) -> bool {
    match &snapshot.answers.open {
        Some(Answer::Known(open)) => open.iter().any(|pull| pull.head.as_str() == head),
        Some(Answer::Absent { .. }) => false,
        Some(Answer::Failed { .. }) | None => true,
    }
}

/// Limits the updates of an environment in a span of time.
fn rates(snapshot: &Snapshot<'_>, ready: Vec<Chosen>, holds: &mut Vec<Hold>) -> Vec<Chosen> {
    let mut used: BTreeMap<(Scope, Duration), Vec<Timestamp>> = BTreeMap::new();
    let mut left = Vec::new();
    for mut chosen in ready {
        let Some(rate) = chosen.effective.fields.rate.clone() else {
            left.push(chosen);
            continue;
        };
        let span = SignedDuration::try_from(rate.value.per).unwrap_or(SignedDuration::MAX);
        let scope = scope(&chosen);
        let times = used.entry((scope.clone(), rate.value.per)).or_insert_with(|| {
            let since = snapshot.now.checked_sub(span).unwrap_or(Timestamp::MIN);
            let all = snapshot.ledger.since(since, snapshot.now).into_iter();
            let of = |place: &UpdatePlace| place.environment.as_ref().unwrap_or(&place.policy) == &scope;
            let own = all.filter(|(_, made)| of(&made.place));
            let made = own.map(|(at, _)| at);
            let carried =
                snapshot.heads.iter().filter(|(name, head)| !head.updates.is_empty() && proposes(snapshot, name));
            let waiting = carried.flat_map(|(_, head)| {
                let at = head.since.filter(|made| *made > since)?.min(snapshot.now);
                Some(
                    head.carries
                        .iter()
                        .filter(|it| it.environment.as_ref().unwrap_or(&it.policy) == &scope)
                        .map(move |_| at),
                )
            });
            made.chain(waiting.flatten()).collect()
        });
        let limit = usize::try_from(rate.value.updates).unwrap_or(usize::MAX);
        if times.len() < limit {
            times.push(snapshot.now);
            chosen.update.passed.push(Gate::Rate);
            left.push(chosen);
            continue;
        }
        let mut sorted = times.clone();
        sorted.sort();
        let until = sorted.get(sorted.len() - limit).and_then(|oldest| oldest.checked_add(span).ok());
        let reason = format!(
            "{scope} takes at most {} updates in {} ({}:{}), and this limit is reached",
            rate.value.updates,
            words(rate.value.per),
            rate.origin.file,
            rate.origin.line
        );
        holds.push(Hold::new(chosen.update, Gate::Rate, reason, until));
    }
    left
}
