//! Pin by pin: which version it should have, whether that is known, and what is in the way.

mod listed;
mod promoted;
mod upstream;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use crate::model::{Answer, Digest, FailureCode, ImageName, Manifest, Pin, PinRole, Scheme, Tag, UpdateId, Version};
use crate::policy::{Effective, PinStyle, Write};
use crate::select::{Order, SelectError, TagPolicy, VersionRange};

use self::listed::{Best, ListingCache};
use super::gates::signature::{self, SignatureState};
use super::gates::{self, reverts};
use super::gates::{GateHold, Manifests};
use super::retag::{self, Compared};
use super::{
    Answers, Attention, Evidence, Gate, Hold, Override, Problem, Queries, RegistryQuery, Snapshot, TagSighting, Update,
};

/// After how many versions without the demanded signatures no older one is considered: each costs several requests in every cycle.
const MOST_UNSIGNED: usize = 3;

/// What the manifest of a chart says that it is (Helm, "OCI support").
const CHART: &str = "application/vnd.cncf.helm.config.v1+json";

/// An update, with the policy that requested it.
#[derive(Debug)]
pub(super) struct Chosen {
    pub(super) update: Update,
    pub(super) effective: Arc<Effective>,
}

/// The result for every pin of the snapshot.
#[derive(Debug, Default)]
pub(super) struct Choices {
    pub(super) updates: Vec<Chosen>,
    pub(super) holds: Vec<Hold>,
    pub(super) problems: Vec<Problem>,
    pub(super) queries: Queries,
    pub(super) up_to_date: usize,
    pub(super) unmanaged: usize,
    /// Images in overlays that need nothing; only kept if the bot has branches.
    pub(super) settled: HashSet<(String, ImageName)>,
    /// What the branch declares, if a policy promotes: the last pass over the clusters may be older.
    pub(super) declared: HashMap<UnitKey, Vec<Version>>,
    /// What tags stand for now, for the records of them.
    pub(super) sightings: BTreeSet<TagSighting>,
    /// Images in overlays about which something is unknown; also only kept if the bot has branches.
    pub(super) undecided: HashSet<(String, ImageName)>,
}

/// The pins of one image in one overlay with the same effective policy: they move together.
pub(super) struct Unit {
    pub(super) effective: Arc<Effective>,
    pub(super) pins: Vec<Arc<Pin>>,
}

/// The pins that move to one version, and what is known about it.
#[derive(Default)]
pub(super) struct MovingPins {
    pins: Vec<Arc<Pin>>,
    /// What the registry says about it, and about the current version.
    manifest: Option<Box<Manifest>>,
    current: Option<Box<Manifest>>,
    /// Its evidence from elsewhere.
    promotion: Option<Evidence>,
    /// Why it has to wait, before any gate is checked.
    not_yet: Option<GateHold>,
    /// Gates that were already opened.
    overridden: Vec<Gate>,
    /// The digest that the tag stands for.
    digest: Option<Digest>,
}

impl MovingPins {
    /// Pins about which nothing more needs to be known.
    pub(super) fn of(pins: Vec<Arc<Pin>>) -> Self {
        Self { pins, ..Self::default() }
    }
}

/// A version that a pin should have.
pub(super) struct PinMove {
    pub(super) to: Version,
    /// The registry's manifest for it, if that was queried.
    pub(super) manifest: Option<Box<Manifest>>,
    /// The manifest of the current image, if a gate needs it.
    pub(super) current: Option<Box<Manifest>>,
    pub(super) promotion: Option<Evidence>,
    pub(super) overridden: Vec<Gate>,
    /// The digest that the tag stands for, whether or not it is written.
    pub(super) digest: Option<Digest>,
}

impl PinMove {
    /// The digest that would be written, or that the written tag stands for.
    pub(super) fn target(&self) -> Option<&Digest> {
        self.to.digest.as_ref().or(self.digest.as_ref())
    }
}

/// What to do with a pin.
pub(super) enum Choice {
    /// It has the version that it should have.
    Current,
    /// It should get this version.
    Move(Box<PinMove>),
    /// It should move, but a gate holds it.
    NotYet { to: Version, held: GateHold },
    /// Answers are missing: they have been requested, or a problem says why they are missing.
    Unknown,
    /// It cannot be decided.
    Problem { message: String, code: Option<FailureCode> },
}

pub(super) fn choose(snapshot: &Snapshot<'_>) -> Choices {
    let mut choices = Choices::default();
    let mut known = ListingCache::default();
    let units = units(snapshot, &mut choices);
    if snapshot.policies.promotes() {
        let versions = |units: &Vec<Unit>| {
            let versions = units.iter().flat_map(|unit| &unit.pins).map(|pin| &pin.version);
            versions.filter(|version| !version.is_range()).cloned().collect()
        };
        choices.declared = units.iter().map(|(key, units)| (key.clone(), versions(units))).collect();
    }
    for ((overlay, name, scope), units) in units {
        for (nth, unit) in units.iter().enumerate() {
            // Files in one folder under different rules are not one update: each differing file has a scope of its own.
            let scope = match unit.pins.first() {
                Some(pin) if nth > 0 => format!("{scope}\n{}", pin.path),
                _ => scope.clone(),
            };
            choose_unit(snapshot, (&overlay, &scope), &name, unit, &mut known, &mut choices);
        }
    }
    choices
}

/// Overlay, image, and environment or otherwise policy.
pub(super) type UnitKey = (String, ImageName, String);

pub(super) fn units(snapshot: &Snapshot<'_>, choices: &mut Choices) -> BTreeMap<UnitKey, Vec<Unit>> {
    let mut units: BTreeMap<UnitKey, Vec<Unit>> = BTreeMap::new();
    for pin in snapshot.pins {
        let effective = snapshot.policies.effective(&pin.path, &pin.name);
        if snapshot.request.is_some_and(|asked| !asked.is_about(&effective, &pin.name)) {
            continue;
        }
        // A range that one policy would have replaced, and another one keeps.
        let is_kept = pin.version.is_range() && !effective.fields.pins_ranges();
        if effective.write == Write::Never || is_kept {
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

/// Whether two effective policies are the same: a cap or a later policy may apply to only some files of an overlay.
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
    known: &mut ListingCache,
    choices: &mut Choices,
) {
    let mut moves: BTreeMap<Version, MovingPins> = BTreeMap::new();
    let mut unwritten: BTreeMap<Version, Vec<Arc<Pin>>> = BTreeMap::new();
    let mut settled = true;
    for pin in &unit.pins {
        let choice = choose_pin(snapshot, name, &unit.effective, pin, known, choices);
        let choice = compared(snapshot, name, (&unit.effective, pin), choice, (&mut unwritten, choices));
        match choice {
            Choice::Current => {}
            Choice::Move(found) => {
                let PinMove { to, manifest, current, promotion, overridden, digest } = *found;
                let fresh = || MovingPins { manifest, current, promotion, overridden, digest, ..MovingPins::default() };
                moves.entry(to).or_insert_with(fresh).pins.push(Arc::clone(pin));
            }
            Choice::NotYet { to, held } => {
                let fresh = || MovingPins { not_yet: Some(held), ..MovingPins::default() };
                moves.entry(to).or_insert_with(fresh).pins.push(Arc::clone(pin));
            }
            Choice::Unknown => settled = false,
            Choice::Problem { message, code } => {
                settled = false;
                let path = Some(pin.path.to_string());
                choices.problems.push(Problem {
                    path,
                    line: Some(pin.line),
                    image: Some(pin.name.clone()),
                    message,
                    code,
                });
            }
        }
    }
    if settled && moves.is_empty() {
        choices.up_to_date += 1;
    }
    if !snapshot.heads.is_empty() && (!settled || moves.is_empty()) {
        let which = if settled { &mut choices.settled } else { &mut choices.undecided };
        which.insert((place.0.to_owned(), name.clone()));
    }
    hold_unwritten(snapshot, (place, name), &unit.effective, unwritten, choices);
    for (to, moving) in moves {
        decide(snapshot, (place, name), unit, (to, moving), choices);
    }
}

/// Whether the pins of a unit that should move to one version may do so now.
fn decide(
    snapshot: &Snapshot<'_>,
    (place, name): ((&str, &str), &ImageName),
    unit: &Unit,
    (to, mut moving): (Version, MovingPins),
    choices: &mut Choices,
) {
    let mut update = update(snapshot, place, name, &unit.effective, to, &moving);
    let retag = retag::held(snapshot, &unit.effective, (&update, moving.manifest.as_deref()), choices);
    let decision = match reverts::past_decision(snapshot, place.1, &unit.effective, &update, &mut choices.queries) {
        // It is planned again once it is known.
        reverts::PastDecision::Pending => return,
        reverts::PastDecision::Held(held) => Some(held),
        reverts::PastDecision::None => None,
    };
    let signed = match &moving.not_yet {
        // Its own reason says what is missing.
        Some(_) => SignatureState::NotDemanded,
        None => {
            let digest = update.to.digest.as_ref().or(moving.digest.as_ref());
            signature::state(snapshot, &unit.effective, (name, digest), choices)
        }
    };
    let manifests = Manifests { to: moving.manifest.as_deref(), from: moving.current.as_deref() };
    // A person's decision comes first: whoever wants to release it must see it, whatever else holds the update.
    let decision = match decision {
        Some(_) if gates::is_overridden(snapshot, Gate::Hold) => {
            moving.overridden.push(Gate::Hold);
            None
        }
        decision => decision,
    };
    let passed = match decision.or_else(|| moving.not_yet.take()).or(retag) {
        Some(held) => Err(held),
        None => match signed {
            // It is planned again once it is known.
            SignatureState::Pending => return,
            signed => gates::pass(snapshot, &unit.effective, &update, (manifests, signed)),
        },
    };
    match passed {
        Err(held) => choices.holds.push(held.of(update)),
        Ok(passed) => {
            update.promotion = moving.promotion;
            if update.promotion.is_some() {
                update.passed.push(Gate::Promotion);
            }
            update.passed.extend(passed.open);
            update.age = passed.age;
            update.verified = passed.verified;
            let opened: Vec<Gate> = moving.overridden.into_iter().chain(passed.overridden).collect();
            update.overridden = snapshot.request.filter(|_| !opened.is_empty()).map(|asked| Override {
                gates: opened,
                by: asked.by.clone(),
                reason: asked.reason.clone(),
            });
            choices.updates.push(Chosen { update, effective: Arc::clone(&unit.effective) });
        }
    }
}

/// Holds what cannot be written: tags that were pushed again, of pins without a digest.
fn hold_unwritten(
    snapshot: &Snapshot<'_>,
    (place, name): ((&str, &str), &ImageName),
    effective: &Effective,
    unwritten: BTreeMap<Version, Vec<Arc<Pin>>>,
    choices: &mut Choices,
) {
    for (to, pins) in unwritten {
        let update = update(snapshot, place, name, effective, to, &MovingPins::of(pins));
        let held = retag::held(snapshot, effective, (&update, None), choices);
        choices.holds.extend(held.map(|held| held.of(update)));
    }
}

pub(super) fn update(
    snapshot: &Snapshot<'_>,
    (overlay, scope): (&str, &str),
    name: &ImageName,
    effective: &Effective,
    to: Version,
    moving: &MovingPins,
) -> Update {
    let manifest = moving.manifest.as_deref();
    let (image, from) = moving.pins.first().map_or_else(
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
        pins: moving.pins.clone(),
        source_url: manifest.and_then(Manifest::source_url).map(str::to_owned),
        source_revision: manifest.and_then(Manifest::source_revision).map(str::to_owned),
        from_revision: None,
        land_within: effective.fields.land_within.as_ref().map(|within| within.value),
        promotion: None,
        passed: Vec::new(),
        age: None,
        verified: None,
        overridden: None,
        rollback: None,
        chart: None,
    }
}

fn choose_pin(
    snapshot: &Snapshot<'_>,
    name: &ImageName,
    effective: &Effective,
    pin: &Pin,
    known: &mut ListingCache,
    choices: &mut Choices,
) -> Choice {
    let shape = TagPolicy::new(Order::Shape);
    let policy = effective.fields.tags.as_ref().map_or(&shape, |tags| &tags.value);
    let Some(current) = &pin.version.tag else {
        return problem(format!(
            "{name} is pinned by digest alone, so there is no tag to compare with or to follow; write it as tag@digest"
        ));
    };
    let ranged = match current.is_range().then(|| within_range(policy, current)).transpose() {
        Ok(ranged) => ranged,
        Err(error) => return problem(format!("`{current}` of {name} is no range of versions: {error}")),
    };
    let policy = ranged.as_ref().unwrap_or(policy);
    let asks_for_digest = effective.fields.pin.as_ref().is_some_and(|pin| pin.value == PinStyle::Digest);
    let with_digest =
        may_have_digest(pin) && (asks_for_digest || pin.version.digest.is_some() || policy.order == Order::Digest);
    if let Some(promote) = &effective.fields.promote_from {
        return promoted::choose(
            snapshot,
            (name, pin, current),
            (effective, promote),
            (policy, with_digest),
            (&known.orders, choices),
        );
    }
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
            Best::Adopts(tag) if effective.fields.adopt.as_ref().is_some_and(|adopt| adopt.value) => (vec![tag], false),
            Best::Adopts(tag) => {
                let reason = format!(
                    "the current tag {current} is not one that this policy would select, so it is unknown whether {tag} is newer: \
                     set `adopt: true` in the policy, or write the first version by hand"
                );
                let to = Version { tag: Some(tag), digest: None };
                let held = GateHold { attention: Attention::Undecidable, ..GateHold::new(Gate::Hold, reason, None) };
                return Choice::NotYet { to, held };
            }
        }
    };
    match first_ready(snapshot, (name, current, &pin.version), effective, tags, with_digest, choices) {
        Choice::Move(found) if found.to == pin.version => {
            if stale {
                Choice::Unknown
            } else {
                Choice::Current
            }
        }
        choice => choice,
    }
}

/// Whether a digest may be written at a pin: Helm and what runs it know no version of a chart with one.
pub(in crate::plan) fn may_have_digest(pin: &Pin) -> bool {
    pin.kind.role != PinRole::Chart
}

/// The rules for what replaces a range: a version in it that the policy's own rules allow, too. The greatest is wanted, whatever order they
/// give.
fn within_range(policy: &TagPolicy, written: &Tag) -> Result<TagPolicy, SelectError> {
    let range = VersionRange::of_chart(written.as_str())?;
    let range = match &policy.order {
        Order::Semver(asked) => range.within(asked.clone(), policy.prereleases),
        Order::Alphabetical(_) | Order::Numerical(_) | Order::NewestBuild | Order::Digest | Order::Shape => range,
    };
    let (filter, ignore) = (policy.filter.clone(), policy.ignore.clone());
    Ok(TagPolicy { order: Order::Semver(range), filter, ignore, prereleases: false })
}

/// The choice for a pin, now that its written tag is compared with its registry. What the tag stands for goes to `unwritten` if it
/// is another image than before and the pin names no digest.
fn compared(
    snapshot: &Snapshot<'_>,
    name: &ImageName,
    (effective, pin): (&Effective, &Arc<Pin>),
    choice: Choice,
    (unwritten, choices): (&mut BTreeMap<Version, Vec<Arc<Pin>>>, &mut Choices),
) -> Choice {
    // No registry has a tag that is called like a range.
    let Some(tag) = pin.version.tag.as_ref().filter(|tag| !tag.is_range()) else { return choice };
    let settled = matches!(choice, Choice::Current);
    if matches!(&choice, Choice::Move(found) if found.to.tag.as_ref() == Some(tag)) {
        return choice;
    }
    match retag::compare(snapshot, name, (effective, pin), choices) {
        Compared::Same => choice,
        Compared::Pending if settled => Choice::Unknown,
        Compared::Unknown(unknown) if settled => unknown,
        Compared::Pending | Compared::Unknown(_) => choice,
        Compared::Other(_) if settled && pin.version.digest.is_some() => {
            resolve(snapshot, (name, tag), effective, tag.clone(), true, choices)
        }
        Compared::Other(digest) => {
            let to = Version { tag: Some(tag.clone()), digest: Some(digest) };
            unwritten.entry(to).or_default().push(Arc::clone(pin));
            choice
        }
    }
}

/// The first of these tags, best first, that is held by nothing but a window or its own build; if there is none, the
/// best one.
///
/// Otherwise a registry with a new image every day would starve a policy that requires three days.
fn first_ready(
    snapshot: &Snapshot<'_>,
    (name, current, written): (&ImageName, &Tag, &Version),
    effective: &Effective,
    tags: Vec<Tag>,
    with_digest: bool,
    choices: &mut Choices,
) -> Choice {
    let mut best = None;
    let mut unsigned = 0;
    for tag in tags {
        match resolve(snapshot, (name, current), effective, tag, with_digest, choices) {
            // That is what is written already, which no signature is asked for.
            Choice::Move(found) if found.to == *written => return best.unwrap_or(Choice::Move(found)),
            Choice::Move(found) => {
                let manifests = Manifests { to: found.manifest.as_deref(), from: found.current.as_deref() };
                if gates::image_hold(snapshot, effective, (name, &found.to), manifests).is_none() {
                    match signature::state(snapshot, effective, (name, found.target()), choices) {
                        SignatureState::NotDemanded | SignatureState::Verified(_) => return Choice::Move(found),
                        SignatureState::Pending => return Choice::Unknown,
                        SignatureState::Held(_) => unsigned += 1,
                    }
                }
                best = best.or(Some(Choice::Move(found)));
                if unsigned >= MOST_UNSIGNED {
                    break;
                }
            }
            choice @ Choice::NotYet { .. } => best = best.or(Some(choice)),
            Choice::Unknown => return Choice::Unknown,
            choice => return best.unwrap_or(choice),
        }
    }
    best.unwrap_or(Choice::Unknown)
}

/// A mutable tag: the tag itself, if the digest it resolves to now differs from the written one.
fn follow(
    snapshot: &Snapshot<'_>,
    name: &ImageName,
    current: &Tag,
    pin: &Pin,
    choices: &mut Choices,
) -> Result<Tag, Choice> {
    let key = (name.clone(), current.clone());
    Err(match snapshot.answers.digests.get(&key) {
        None => ask(choices, RegistryQuery::Digest(key.0, key.1)),
        Some(Answer::Known(digest)) if pin.version.digest.as_ref() == Some(digest) => Choice::Current,
        Some(Answer::Known(_)) => return Ok(key.1),
        Some(Answer::Absent { message }) => problem(format!("the followed tag is gone: {message}")),
        Some(Answer::Failed { message, code, .. }) => failed(message, *code),
    })
}

/// Looks up a selected tag in its registry. Nothing is written before it is served and known to be the same type of
/// thing as the current version: one repository may hold images, charts and their attachments.
pub(super) fn resolve(
    snapshot: &Snapshot<'_>,
    (name, current): (&ImageName, &Tag),
    effective: &Effective,
    tag: Tag,
    with_digest: bool,
    choices: &mut Choices,
) -> Choice {
    let key = (name.clone(), tag);
    match snapshot.answers.manifests.get(&key) {
        None => ask(choices, RegistryQuery::Manifest(key.0, key.1)),
        Some(Answer::Known(manifest)) => {
            // Of two answers about a tag that is followed, one is older where they differ, and the next cycle knows better.
            let follows = effective.fields.tags.as_ref().is_some_and(|tags| tags.value.order == Order::Digest);
            if let Some(Answer::Known(digest)) = snapshot.answers.digests.get(&key).filter(|_| follows)
                && *digest != manifest.digest
            {
                return Choice::Unknown;
            }
            if current.is_range() && manifest.artifact.as_deref() != Some(CHART) {
                return no_chart(key.1);
            }
            // An image among a chart's tags is no version of the chart.
            if name.scheme() == Scheme::Oci && manifest.artifact.is_none() {
                match snapshot.answers.manifests.get(&(name.clone(), current.clone())) {
                    None => return ask(choices, RegistryQuery::Manifest(name.clone(), current.clone())),
                    Some(Answer::Known(now)) if now.artifact.is_some() => return no_artifact(key.1),
                    Some(_) => {}
                }
            }
            if let Some(kind) = manifest.artifact.as_ref().filter(|_| !current.is_range()) {
                // Only in that case is the current version checked: an image is what pods run, whatever was there
                // before.
                match snapshot.answers.manifests.get(&(name.clone(), current.clone())) {
                    None => return ask(choices, RegistryQuery::Manifest(name.clone(), current.clone())),
                    Some(Answer::Known(now)) if now.artifact.as_ref() == Some(kind) => {}
                    Some(_) => return no_image(key.1, kind),
                }
            }
            if let Some(choice) = elsewhere(snapshot, (name, current), effective, (&key.1, manifest), choices) {
                return choice;
            }
            let current = match present(snapshot, (name, current), effective, choices) {
                Ok(current) => current,
                Err(choice) => return choice,
            };
            let digest: Option<Digest> = with_digest.then(|| manifest.digest.clone());
            moves(Version { tag: Some(key.1), digest }, (&manifest.digest, Some(manifest)), current)
        }
        Some(Answer::Absent { message }) => not_there(key.1, message),
        Some(Answer::Failed { message, code, .. }) => failed(message, *code),
    }
}

/// What to do with an image that does not run everywhere where the current one does, such as one that was built on a
/// laptop. A policy that names platforms says itself which ones count, and what says nothing of its platforms is not
/// compared. A current one that is gone, or in a form that nobody reads any more, requires nothing.
fn elsewhere(
    snapshot: &Snapshot<'_>,
    (name, current): (&ImageName, &Tag),
    effective: &Effective,
    (tag, manifest): (&Tag, &Manifest),
    choices: &mut Choices,
) -> Option<Choice> {
    let says_nothing = manifest.platforms.is_empty() || current.is_range();
    if says_nothing || effective.fields.platforms.is_some() || tag == current {
        return None;
    }
    let key = (name.clone(), current.clone());
    let Answers { manifests, written, .. } = snapshot.answers;
    let now = match manifests.get(&key).or_else(|| written.get(&key)) {
        None => return Some(ask(choices, RegistryQuery::Written(key.0, key.1))),
        Some(Answer::Known(now)) => now,
        Some(Answer::Absent { .. } | Answer::Failed { code: FailureCode::Protocol, .. }) => return None,
        Some(Answer::Failed { message, code, .. }) => return Some(failed(message, *code)),
    };
    let runs = |platform: &&String| manifest.platforms.iter().any(|has| gates::serves(has, platform));
    let missing: Vec<&str> = now.platforms.iter().filter(|platform| !runs(platform)).map(String::as_str).collect();
    if missing.is_empty() {
        return None;
    }
    let reason = format!(
        "{tag} is built only for {}; {current}, which is written now, also supports {}; if that does not matter, name the \
         platforms that do in `tags.platforms`",
        manifest.platforms.join(", "),
        missing.join(", ")
    );
    let to = Version { tag: Some(tag.clone()), digest: None };
    Some(Choice::NotYet { to, held: GateHold::new(Gate::Platforms, reason, None) })
}

/// The manifest of the current image, if a gate needs it. If it is gone, it requires nothing.
pub(super) fn present<'s>(
    snapshot: &Snapshot<'s>,
    (name, current): (&ImageName, &Tag),
    effective: &Effective,
    choices: &mut Choices,
) -> Result<Option<&'s Manifest>, Choice> {
    if !gates::asks_of_the_current(effective) || current.is_range() {
        return Ok(None);
    }
    match snapshot.answers.manifests.get(&(name.clone(), current.clone())) {
        None => Err(ask(choices, RegistryQuery::Manifest(name.clone(), current.clone()))),
        Some(Answer::Known(manifest)) => Ok(Some(manifest)),
        Some(Answer::Absent { .. }) => Ok(None),
        Some(Answer::Failed { message, code, .. }) => Err(failed(message, *code)),
    }
}

pub(super) fn moves(
    to: Version,
    (digest, manifest): (&Digest, Option<&Manifest>),
    current: Option<&Manifest>,
) -> Choice {
    let boxed = |manifest: Option<&Manifest>| manifest.map(|manifest| Box::new(manifest.clone()));
    let (manifest, current) = (boxed(manifest), boxed(current));
    let digest = Some(digest.clone());
    Choice::Move(Box::new(PinMove { to, manifest, current, promotion: None, overridden: Vec::new(), digest }))
}

pub(super) fn not_there(tag: Tag, message: &str) -> Choice {
    let reason = format!("the tag is listed but its manifest is not there yet: {message}");
    Choice::NotYet { to: Version { tag: Some(tag), digest: None }, held: GateHold::new(Gate::Platforms, reason, None) }
}

fn no_image(tag: Tag, kind: &str) -> Choice {
    let reason = format!(
        "{tag} is `{kind}`, and neither a container image nor what is written now, so it is never written; exclude such tags with `filter` or `ignore`"
    );
    let held = GateHold { attention: Attention::Never, ..GateHold::new(Gate::Platforms, reason, None) };
    Choice::NotYet { to: Version { tag: Some(tag), digest: None }, held }
}

fn no_chart(tag: Tag) -> Choice {
    let reason = format!("{tag} is no chart, so it never replaces a range of a chart's versions");
    let held = GateHold { attention: Attention::Never, ..GateHold::new(Gate::Platforms, reason, None) };
    Choice::NotYet { to: Version { tag: Some(tag), digest: None }, held }
}

fn no_artifact(tag: Tag) -> Choice {
    let reason = format!("{tag} is a container image and what is written now is none, so it is never written");
    let held = GateHold { attention: Attention::Never, ..GateHold::new(Gate::Platforms, reason, None) };
    Choice::NotYet { to: Version { tag: Some(tag), digest: None }, held }
}

pub(super) fn ask(choices: &mut Choices, query: RegistryQuery) -> Choice {
    choices.queries.registry.insert(query);
    Choice::Unknown
}

pub(super) fn problem(message: String) -> Choice {
    Choice::Problem { message, code: None }
}

pub(super) fn failed(message: &str, code: FailureCode) -> Choice {
    Choice::Problem { message: message.to_owned(), code: Some(code) }
}
