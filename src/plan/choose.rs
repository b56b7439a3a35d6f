//! Pin by pin: which version it should hold, whether that is known, and what stands in the way.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::model::{Digest, Fact, FailureCode, ImageName, Manifest, Pin, Tag, UpdateId, Version};
use crate::policy::{Effective, PinStyle, Write};
use crate::select::{Order, TagPolicy};

use super::best::{Best, Known};
use super::{Hold, Problem, Snapshot, Update, Want, gate};

/// An update with the policy that asked for it.
#[derive(Debug)]
pub(super) struct Chosen {
    pub(super) update: Update,
    pub(super) effective: Arc<Effective>,
}

/// The outcome for every pin of the snapshot.
#[derive(Debug, Default)]
pub(super) struct Choices {
    pub(super) updates: Vec<Chosen>,
    pub(super) holds: Vec<Hold>,
    pub(super) problems: Vec<Problem>,
    pub(super) wants: BTreeSet<Want>,
    pub(super) up_to_date: usize,
    pub(super) unmanaged: usize,
}

/// The pins of one image in one overlay for which the same is in force: what moves together.
struct Unit {
    effective: Arc<Effective>,
    pins: Vec<Arc<Pin>>,
}

/// The pins that move to one version, what the registry says about it, and why it has to wait.
type Moving = (Vec<Arc<Pin>>, Option<Box<Manifest>>, Option<String>);

/// What to do with one pin.
enum Choice {
    /// It holds what it should.
    Current,
    /// It should hold this; `manifest` is what the registry says about it.
    Move { to: Version, manifest: Option<Box<Manifest>> },
    /// It should move, but the gate says wait.
    NotYet { to: Version, reason: String },
    /// Answers are missing: they have been asked for, or a problem says why they are.
    Unknown,
    /// It cannot be decided.
    Problem { message: String, code: Option<FailureCode> },
}

pub(super) fn choose(snapshot: &Snapshot<'_>) -> Choices {
    let mut choices = Choices::default();
    let mut known = Known::default();
    for ((overlay, name, scope), units) in units(snapshot, &mut choices) {
        for (nth, unit) in units.iter().enumerate() {
            // Files of one folder under different rules are not one update: each file that differs has a scope of its own.
            let scope = match unit.pins.first() {
                Some(pin) if nth > 0 => format!("{scope}\n{}", pin.path),
                _ => scope.clone(),
            };
            choose_unit(snapshot, (&overlay, &scope), &name, unit, &mut known, &mut choices);
        }
    }
    choices
}

/// Overlay, image, and environment or else policy.
type UnitKey = (String, ImageName, String);

fn units(snapshot: &Snapshot<'_>, choices: &mut Choices) -> BTreeMap<UnitKey, Vec<Unit>> {
    let mut units: BTreeMap<UnitKey, Vec<Unit>> = BTreeMap::new();
    for pin in snapshot.pins {
        let effective = snapshot.policies.effective(&pin.path, &pin.name);
        if effective.write == Write::Never {
            choices.unmanaged += 1;
            continue;
        }
        let scope = effective.environment.clone().or_else(|| effective.policy.clone()).unwrap_or_default();
        let units = units.entry((effective.overlay.clone(), pin.name.clone(), scope)).or_default();
        match units.iter_mut().find(|unit| alike(&unit.effective, &effective, &pin.name)) {
            Some(unit) => unit.pins.push(Arc::clone(pin)),
            None => units.push(Unit { effective: Arc::new(effective), pins: vec![Arc::clone(pin)] }),
        }
    }
    units
}

/// Whether the same is in force: a cap or a later policy may be for some files of an overlay only.
fn alike(one: &Effective, other: &Effective, name: &ImageName) -> bool {
    (one.write, &one.policy, &one.environment) == (other.write, &other.policy, &other.environment)
        && one.fields == other.fields
        && match one.write {
            Write::PullRequest => one.pull_request_group(name) == other.pull_request_group(name),
            Write::Commit | Write::Never => one.commit_group(name) == other.commit_group(name),
        }
}

fn choose_unit(
    snapshot: &Snapshot<'_>,
    place: (&str, &str),
    name: &ImageName,
    unit: &Unit,
    known: &mut Known,
    choices: &mut Choices,
) {
    let mut moves: BTreeMap<Version, Moving> = BTreeMap::new();
    let mut settled = true;
    for pin in &unit.pins {
        match choose_pin(snapshot, name, &unit.effective, pin, known, choices) {
            Choice::Current => {}
            Choice::Move { to, manifest } => {
                moves.entry(to).or_insert((Vec::new(), manifest, None)).0.push(Arc::clone(pin));
            }
            Choice::NotYet { to, reason } => {
                moves.entry(to).or_insert((Vec::new(), None, Some(reason))).0.push(Arc::clone(pin));
            }
            Choice::Unknown => settled = false,
            Choice::Problem { message, code } => {
                settled = false;
                let path = Some(pin.path.to_string());
                choices.problems.push(Problem { path, line: Some(pin.line), message, code });
            }
        }
    }
    if settled && moves.is_empty() {
        choices.up_to_date += 1;
    }
    for (to, (pins, manifest, not_yet)) in moves {
        let update = update(snapshot, place, name, &unit.effective, to, pins, manifest.as_deref());
        let hold = match not_yet {
            Some(reason) => Some((super::Gate::Platforms, reason, None)),
            None => gate::hold(snapshot, &unit.effective, &update, manifest.as_deref()),
        };
        match hold {
            Some((gate, reason, until)) => {
                choices.holds.push(Hold { update, gate, reason, until, pull: None, review_within: None });
            }
            None => choices.updates.push(Chosen { update, effective: Arc::clone(&unit.effective) }),
        }
    }
}

fn update(
    snapshot: &Snapshot<'_>,
    (overlay, scope): (&str, &str),
    name: &ImageName,
    effective: &Effective,
    to: Version,
    pins: Vec<Arc<Pin>>,
    manifest: Option<&Manifest>,
) -> Update {
    let (image, from) = pins.first().map_or_else(
        || (name.to_string(), Version { tag: None, digest: None }),
        |pin| (pin.image.clone(), pin.version.clone()),
    );
    Update {
        id: UpdateId::of(snapshot.branch, overlay, scope, name, &to),
        app: effective.app.clone(),
        environment: effective.environment.clone(),
        policy: effective.policy.clone().unwrap_or_default(),
        policy_origin: effective.fields.write.as_ref().map(|w| format!("{}:{}", w.origin.file, w.origin.line)),
        overlay: overlay.to_owned(),
        image,
        name: name.clone(),
        from,
        to,
        pins,
        source_url: manifest.and_then(Manifest::source_url).map(str::to_owned),
        source_revision: manifest.and_then(Manifest::source_revision).map(str::to_owned),
        land_within: effective.fields.land_within.as_ref().map(|within| within.value),
        promotion: None,
        passed: Vec::new(),
        overridden: None,
    }
}

fn choose_pin(
    snapshot: &Snapshot<'_>,
    name: &ImageName,
    effective: &Effective,
    pin: &Pin,
    known: &mut Known,
    choices: &mut Choices,
) -> Choice {
    let shape = TagPolicy::new(Order::Shape);
    let policy = effective.fields.tags.as_ref().map_or(&shape, |tags| &tags.value);
    let Some(current) = &pin.version.tag else {
        return problem(format!(
            "{name} is pinned by digest alone, so there is no tag to compare with or to follow; write it as tag@digest"
        ));
    };
    let with_digest = effective.fields.pin.as_ref().is_some_and(|pin| pin.value == PinStyle::Digest)
        || pin.version.digest.is_some()
        || policy.order == Order::Digest;
    let (tags, stale) = if policy.order == Order::Digest {
        match follow(snapshot, name, current, pin, choices) {
            Ok(tag) => (vec![tag], false),
            Err(choice) => return choice,
        }
    } else {
        let origin = effective.fields.tags.as_ref().map(|tags| &tags.origin);
        match known.best(snapshot, name, (policy, origin), current, choices) {
            Best::Unknown => return Choice::Unknown,
            Best::Problem { message, code } => return Choice::Problem { message, code },
            Best::Stays { stale } if !with_digest || pin.version.digest.is_some() => {
                return if stale { Choice::Unknown } else { Choice::Current };
            }
            Best::Stays { stale } => (vec![current.clone()], stale),
            Best::Newer(tags) => (tags, false),
        }
    };
    match first_ready(snapshot, name, effective, tags, with_digest, choices) {
        Choice::Move { to, .. } if to == pin.version => {
            if stale {
                Choice::Unknown
            } else {
                Choice::Current
            }
        }
        choice => choice,
    }
}

/// The first of these tags, best first, that nothing but time or its own build holds back; where there is none, the best.
///
/// Otherwise a registry with a new image every day would starve a policy that asks for three days.
fn first_ready(
    snapshot: &Snapshot<'_>,
    name: &ImageName,
    effective: &Effective,
    tags: Vec<Tag>,
    with_digest: bool,
    choices: &mut Choices,
) -> Choice {
    let mut best = None;
    for tag in tags {
        match resolve(snapshot, name, effective, tag, with_digest, choices) {
            Choice::Move { to, manifest } => {
                if gate::ripens(snapshot, effective, (name, &to), manifest.as_deref()).is_none() {
                    return Choice::Move { to, manifest };
                }
                best = best.or(Some(Choice::Move { to, manifest }));
            }
            choice @ Choice::NotYet { .. } => best = best.or(Some(choice)),
            Choice::Unknown => return Choice::Unknown,
            choice => return best.unwrap_or(choice),
        }
    }
    best.unwrap_or(Choice::Unknown)
}

/// A mutable tag: itself, where the digest it resolves to now is not the one that is written.
fn follow(
    snapshot: &Snapshot<'_>,
    name: &ImageName,
    current: &Tag,
    pin: &Pin,
    choices: &mut Choices,
) -> Result<Tag, Choice> {
    let key = (name.clone(), current.clone());
    Err(match snapshot.facts.digests.get(&key) {
        None => want(choices, Want::Digest(key.0, key.1)),
        Some(Fact::Known(digest)) if pin.version.digest.as_ref() == Some(digest) => Choice::Current,
        Some(Fact::Known(_)) => return Ok(key.1),
        Some(Fact::Absent { message }) => problem(format!("the tag that is followed is gone: {message}")),
        Some(Fact::Failed { message, code, .. }) => failed(message, *code),
    })
}

/// What the registry says of a chosen tag: nothing is written before it is served. Its manifest where that is written or a
/// gate asks about it, which costs the registry two or three times as much as the question whether it is there.
fn resolve(
    snapshot: &Snapshot<'_>,
    name: &ImageName,
    effective: &Effective,
    tag: Tag,
    with_digest: bool,
    choices: &mut Choices,
) -> Choice {
    let key = (name.clone(), tag);
    if !(with_digest || gate::asks_of_the_manifest(effective)) {
        return match snapshot.facts.digests.get(&key) {
            None => want(choices, Want::Digest(key.0, key.1)),
            Some(Fact::Known(_)) => Choice::Move { to: Version { tag: Some(key.1), digest: None }, manifest: None },
            Some(Fact::Absent { message }) => not_there(key.1, message),
            Some(Fact::Failed { message, code, .. }) => failed(message, *code),
        };
    }
    match snapshot.facts.manifests.get(&key) {
        None => want(choices, Want::Manifest(key.0, key.1)),
        Some(Fact::Known(manifest)) => {
            let digest: Option<Digest> = with_digest.then(|| manifest.digest.clone());
            Choice::Move { to: Version { tag: Some(key.1), digest }, manifest: Some(Box::new(manifest.clone())) }
        }
        Some(Fact::Absent { message }) => not_there(key.1, message),
        Some(Fact::Failed { message, code, .. }) => failed(message, *code),
    }
}

fn not_there(tag: Tag, message: &str) -> Choice {
    Choice::NotYet {
        to: Version { tag: Some(tag), digest: None },
        reason: format!("the tag is listed but its manifest is not there yet: {message}"),
    }
}

fn want(choices: &mut Choices, want: Want) -> Choice {
    choices.wants.insert(want);
    Choice::Unknown
}

fn problem(message: String) -> Choice {
    Choice::Problem { message, code: None }
}

fn failed(message: &str, code: FailureCode) -> Choice {
    Choice::Problem { message: message.to_owned(), code: Some(code) }
}
