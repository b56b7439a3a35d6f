//! What has proved itself in another environment: candidates come from there, not from the registry's listing.
//!
//! A version has proved itself in an environment if every place there (overlay and cluster) has run it healthily for
//! the soak time without a break: now, or before it was replaced by a newer one. A version that upstream has rolled
//! back is not a candidate. Unknown is never proof.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};

use crate::model::{CommitId, Digest, ImageName, RepoPath, SkipWeight, Tag, Version};
use crate::policy::{Enough, PromoteFrom, Require};

use super::UnitKey;
use crate::plan::gates::{roughly, words};
use crate::plan::soak::{PastSoak, SoakEnd, SoakHealth, SoakState};
use crate::plan::{Evidence, Proof, Snapshot};

/// A version that upstream has, or had.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::plan) struct Candidate {
    pub(in crate::plan) tag: Tag,
    /// The digest that Git declares with it upstream, if any.
    pub(in crate::plan) declared: Option<Digest>,
    /// What its pods report, by place.
    pub(in crate::plan) running: Vec<Ran>,
    pub(in crate::plan) proved: Result<Evidence, NotProved>,
    /// Commits that brought it upstream.
    pub(in crate::plan) commits: Vec<CommitId>,
}

/// Maximum age of a pass over the clusters.
const FRESH: SignedDuration = SignedDuration::from_mins(10);

/// Whether one tag comes after another by the policy's order.
pub(in crate::plan) type Newer<'n> = dyn Fn(&Tag, &Tag) -> bool + 'n;

/// A place, and the digests that its pods report.
pub(in crate::plan) type Ran = (String, Vec<Digest>);

/// Why a version may not be promoted yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::plan) struct NotProved {
    pub(in crate::plan) reason: String,
    /// When it will have proved itself if nothing changes.
    pub(in crate::plan) until: Option<Timestamp>,
}

impl NotProved {
    fn because(reason: String) -> Self {
        Self { reason, until: None }
    }
}

/// The relevant versions of an image in an app's upstream; `newer` orders tags.
///
/// # Errors
/// If upstream has none, with the reason: then there is nothing to promote, and somebody must be told.
pub(in crate::plan) fn candidates(
    snapshot: &Snapshot<'_>,
    promote: &PromoteFrom,
    (app, name): (&str, &ImageName),
    (newer, matters): (&Newer<'_>, &dyn Fn(&Tag) -> bool),
    declared: &HashMap<UnitKey, Vec<Version>>,
) -> Result<Vec<Candidate>, String> {
    let Some(looked) = snapshot.soaks.at() else {
        return Err(format!("what runs in {} is not known yet", promote.upstream()));
    };
    if snapshot.now.duration_since(looked) > FRESH {
        return Err(format!("what runs in {} was last read at {looked:.0}, which is too long ago", promote.upstream()));
    }
    if let Some(why) = unread(snapshot, promote, app) {
        return Err(why);
    }
    let upstream = promote.environments.iter().chain(&promote.after);
    let places = upstream.flat_map(|environment| snapshot.soaks.of_wave(environment, app, name));
    // Observations of a version that Git no longer declares there prove nothing.
    let outdated = |place: &&Arc<SoakState>| {
        let key = (place.overlay.clone(), place.image.clone(), place.environment.clone());
        place.repository == snapshot.repository
            && declared.get(&key).is_some_and(|versions| !versions.contains(&place.version))
    };
    if let Some(place) = places.into_iter().find(outdated) {
        return Err(format!("{} has declared another version since it was last read", label(place)));
    }
    let mut absent = Vec::new();
    let mut tags: BTreeMap<&Tag, ()> = BTreeMap::new();
    for environment in &promote.environments {
        let places = snapshot.soaks.of(environment, app, name);
        if places.is_empty() {
            absent.push(missing(snapshot, environment, app, name));
        }
        let offered = places.iter().flat_map(|place| offered(place, (newer, matters)));
        tags.extend(offered.map(|tag| (tag, ())));
    }
    let enough = match promote.of {
        Enough::All => absent.is_empty(),
        Enough::Any => absent.len() < promote.environments.len(),
    };
    if !enough {
        return Err(absent.join("; "));
    }
    Ok(tags.into_keys().map(|tag| candidate(snapshot, promote, (app, name), (tag, newer))).collect())
}

/// What may hide an upstream place: an unreadable file, or an unreadable repository.
fn unread(snapshot: &Snapshot<'_>, promote: &PromoteFrom, app: &str) -> Option<String> {
    let upstream = |name: &String| promote.environments.contains(name) || promote.after.contains(name);
    let hidden = snapshot.skipped.iter().filter(|skipped| skipped.reason.weight() == SkipWeight::Hidden);
    let here = hidden.into_iter().find(|skipped| {
        let effective = RepoPath::parse(&skipped.path).map(|path| snapshot.policies.effective_for(&path, None));
        effective.is_ok_and(|it| it.app == app && it.environment.as_ref().is_some_and(upstream))
    });
    if let Some(skipped) = here {
        return Some(format!("{} is upstream and cannot be read: {}", skipped.path, skipped.reason));
    }
    let blind = promote.environments.iter().chain(&promote.after).find(|name| snapshot.soaks.is_blind(name))?;
    Some(format!("a repository that has declared {blind} cannot be read now"))
}

fn missing(snapshot: &Snapshot<'_>, environment: &str, app: &str, name: &ImageName) -> String {
    let others: Vec<String> = snapshot.soaks.images(environment, app).map(ToString::to_string).collect();
    match (snapshot.soaks.knows(environment), others.is_empty()) {
        (false, _) => {
            format!("promoteFrom names environment `{environment}`, in which nothing is known to be declared")
        }
        (true, true) => format!("app {app} is not in environment {environment}, so there is nothing to promote"),
        (true, false) => {
            format!("app {app} has no image {name} in environment {environment}; it has {}", others.join(", "))
        }
    }
}

/// The current version of a place, and its earlier ones that are not newer: a newer one was reverted there.
fn offered<'p>(
    place: &'p SoakState,
    (newer, matters): (&'p Newer<'p>, &'p dyn Fn(&Tag) -> bool),
) -> impl Iterator<Item = &'p Tag> {
    let now = place.version.tag.as_ref();
    let earlier = place.before.iter().filter_map(|proven| proven.version.tag.as_ref());
    earlier.filter(|tag| matters(tag) && !went_back(place, tag, newer)).chain(now.filter(|tag| matters(tag)))
}

/// Whether a place now has another version that is not newer, so that this one, if it ever ran there, was reverted.
fn went_back(place: &SoakState, tag: &Tag, newer: &Newer<'_>) -> bool {
    place.version.tag.as_ref().is_none_or(|now| newer(tag, now))
}

fn candidate(
    snapshot: &Snapshot<'_>,
    promote: &PromoteFrom,
    (app, name): (&str, &ImageName),
    (tag, newer): (&Tag, &Newer<'_>),
) -> Candidate {
    let mut found = Candidate {
        tag: tag.clone(),
        declared: None,
        running: Vec::new(),
        proved: Err(NotProved::because(String::new())),
        commits: Vec::new(),
    };
    let mut proofs = Vec::new();
    let mut open: Vec<NotProved> = Vec::new();
    let mut enough = 0;
    for environment in &promote.environments {
        let places = snapshot.soaks.of(environment, app, name);
        match proved_in(snapshot.now, places, (tag, newer), (promote.require, promote.soak_time), &mut found) {
            Ok(more) if !more.is_empty() => {
                enough += 1;
                proofs.extend(more);
            }
            Ok(_) => open.push(NotProved::because(missing(snapshot, environment, app, name))),
            Err(why) => open.push(why),
        }
    }
    let needed = match promote.of {
        Enough::All => promote.environments.len(),
        Enough::Any => 1,
    };
    found.proved = if enough < needed {
        Err(first(open))
    } else {
        waves(snapshot, promote, (app, name), (tag, newer))
            .map(|()| Evidence { environments: promote.environments.clone(), places: proofs })
    };
    found
}

/// Of several reasons, the one that lasts longest; those without an end come first.
fn first(mut open: Vec<NotProved>) -> NotProved {
    open.sort_by_key(|why| (why.until.is_some(), std::cmp::Reverse(why.until)));
    open.into_iter().next().unwrap_or_else(|| NotProved::because("nothing proves it".to_owned()))
}

/// The proofs of every place in one environment.
fn proved_in(
    now: Timestamp,
    places: &[Arc<SoakState>],
    (tag, newer): (&Tag, &Newer<'_>),
    (require, soak): (Require, std::time::Duration),
    found: &mut Candidate,
) -> Result<Vec<Proof>, NotProved> {
    let mut proofs = Vec::new();
    let mut open = Vec::new();
    for place in places {
        match proof(now, place, (tag, newer), (require, soak)) {
            Ok((proof, digests)) => {
                found.running.push((label(place), digests));
                found.commits.extend(proof.commit.clone());
                proofs.push(proof);
            }
            Err(why) => open.push(why),
        }
        if place.version.tag.as_ref() == Some(tag) {
            found.declared = found.declared.take().or_else(|| place.version.digest.clone());
        }
    }
    if open.is_empty() { Ok(proofs) } else { Err(first(open)) }
}

/// The name of a place for people.
fn label(place: &SoakState) -> String {
    match &place.cluster {
        Some(cluster) => format!("{}/{cluster}", place.environment),
        None => place.environment.clone(),
    }
}

fn proof(
    now: Timestamp,
    place: &SoakState,
    (tag, newer): (&Tag, &Newer<'_>),
    (require, soak): (Require, std::time::Duration),
) -> Result<(Proof, Vec<Digest>), NotProved> {
    let at = label(place);
    let is_here = place.version.tag.as_ref() == Some(tag);
    let ran = || place.before.iter().any(|proven| proven.version.tag.as_ref() == Some(tag));
    if !is_here && ran() && went_back(place, tag, newer) {
        return Err(NotProved::because(format!("{at} went back from {tag} to {}", place.version)));
    }
    if !is_here {
        return earlier(place, tag, soak).ok_or_else(|| superseded(place, tag, soak, &at));
    }
    let since = match (require, &place.stand) {
        (Require::Committed, _) => match place.committed {
            Some(committed) => committed,
            None => return Err(NotProved::because(format!("it is unknown since when {at} has declared {tag}"))),
        },
        (Require::Landed, SoakHealth::Healthy { since }) => *since,
        (Require::Landed, SoakHealth::Not { message, .. }) if place.cluster.is_none() => {
            return Err(NotProved::because(format!(
                "nothing proves that {tag} runs in {at}: {message}; `require: committed` does not need this proof"
            )));
        }
        (Require::Landed, SoakHealth::Not { state, message, .. }) => {
            return Err(NotProved::because(format!("{tag} is {state} in {at}: {message}")));
        }
    };
    let until = end(since, soak);
    if now < until {
        let so_far = roughly(std::time::Duration::try_from(now.duration_since(since)).unwrap_or_default());
        let (word, asked) = (if require == Require::Landed { "healthy" } else { "declared" }, words(soak));
        let mut reason = format!("{tag} has been {word} in {at} for {so_far} of {asked}");
        if let Some(anew) = place.began_anew().filter(|_| require == Require::Landed) {
            reason.push_str(&format!(" ({anew})"));
        }
        return Err(NotProved { reason, until: Some(until) });
    }
    let mut digests = place.digests.clone();
    digests.extend(place.version.digest.clone());
    Ok((proof_of(place, place.commit.clone(), since, now), digests))
}

fn proof_of(place: &SoakState, commit: Option<CommitId>, since: Timestamp, until: Timestamp) -> Proof {
    Proof {
        environment: place.environment.clone(),
        overlay: place.overlay.clone(),
        cluster: place.cluster.clone(),
        commit,
        since,
        until,
    }
}

fn end(since: Timestamp, soak: std::time::Duration) -> Timestamp {
    SignedDuration::try_from(soak).ok().and_then(|soak| since.checked_add(soak).ok()).unwrap_or(Timestamp::MAX)
}

/// A version that proved itself here before it was replaced.
fn earlier(place: &SoakState, tag: &Tag, soak: std::time::Duration) -> Option<(Proof, Vec<Digest>)> {
    let soak = SignedDuration::try_from(soak).unwrap_or(SignedDuration::MAX);
    let long = |proven: &&PastSoak| proven.version.tag.as_ref() == Some(tag) && proven.span() >= soak;
    // A version that failed in the end is not good because it was healthy earlier.
    if place.last(Some(tag)).is_some_and(|last| last.end == SoakEnd::Failed) {
        return None;
    }
    let proven = place.before.iter().find(long)?;
    let mut digests = proven.digests.clone();
    digests.extend(proven.version.digest.clone());
    Some((proof_of(place, proven.commit.clone(), proven.from, proven.until), digests))
}

fn superseded(place: &SoakState, tag: &Tag, soak: std::time::Duration, at: &str) -> NotProved {
    let span = place.before.iter().filter(|proven| proven.version.tag.as_ref() == Some(tag)).map(PastSoak::span).max();
    if place.last(Some(tag)).is_some_and(|last| last.end == SoakEnd::Failed) {
        return NotProved::because(format!("{tag} failed in {at} before {} replaced it", place.version));
    }
    NotProved::because(match span.and_then(|span| std::time::Duration::try_from(span).ok()) {
        Some(span) => {
            let (span, soak) = (roughly(span), words(soak));
            format!("{tag} was healthy in {at} for only {span} of {soak} before {} replaced it", place.version)
        }
        None => format!("{at} declares {}, and {tag} is not known to have run there", place.version),
    })
}

/// Whether the version has landed in all waves that come first.
fn waves(
    snapshot: &Snapshot<'_>,
    promote: &PromoteFrom,
    (app, name): (&str, &ImageName),
    (tag, newer): (&Tag, &Newer<'_>),
) -> Result<(), NotProved> {
    for wave in &promote.after {
        let places = snapshot.soaks.of_wave(wave, app, name);
        if places.is_empty() {
            let why =
                if snapshot.soaks.knows(wave) { "it does not have this image" } else { "nothing is known about it" };
            return Err(NotProved::because(format!("{tag} must land in {wave} first, and {why}")));
        }
        let open = places.iter().filter_map(|place| {
            proof(snapshot.now, place, (tag, newer), (Require::Landed, promote.after_soak_time)).err()
        });
        let open: Vec<NotProved> = open.collect();
        if !open.is_empty() {
            let why = first(open);
            return Err(NotProved { reason: format!("{wave} comes first: {}", why.reason), until: why.until });
        }
    }
    Ok(())
}
