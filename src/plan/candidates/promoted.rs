//! A pin whose versions come from another environment: the newest version that has proved itself there, with the digest
//! that ran there.

use std::cell::RefCell;
use std::collections::HashMap;

use crate::model::{Answer, CheckState, CommitId, Digest, ImageName, Manifest, Pin, Tag, TagList, TagRef, Version};
use crate::policy::{Effective, PromoteFrom, SourceLocation, Sourced};
use crate::select::{Order, TagEntry, TagPolicy, best, select};

use super::listed::{creation_times, in_time};
use super::upstream::{Candidate, NotProved, Ran, candidates};
use super::{Choice, Choices, MOST_UNSIGNED, ask, failed, moves, not_there, present, problem};
use crate::plan::gates::signature::{self, SignatureState};
use crate::plan::gates::{self, GateHold, Manifests};
use crate::plan::{ForgeQuery, Gate, RegistryQuery, Snapshot};

/// The choice for one pin under a promotion gate.
pub(in crate::plan) fn choose(
    snapshot: &Snapshot<'_>,
    (name, pin, current): (&ImageName, &Pin, &Tag),
    (effective, promote): (&Effective, &Sourced<PromoteFrom>),
    (policy, with_digest): (&TagPolicy, bool),
    (orders, choices): (&Orders, &mut Choices),
) -> Choice {
    let origin = effective.fields.tags.as_ref().map(|tags| &tags.origin);
    let newer = |a: &Tag, b: &Tag| orders.is_newer((policy, origin), a, b);
    // Most upstream versions are not newer, and then they need no proof.
    let matters = |tag: &Tag| match policy.order {
        Order::NewestBuild => true,
        Order::Digest => tag == current,
        _ => newer(tag, current) || (tag == current && with_digest && pin.version.digest.is_none()),
    };
    let found =
        match candidates(snapshot, &promote.value, (&effective.app, name), (&newer, &matters), &choices.declared) {
            Ok(found) if found.is_empty() => return Choice::Current,
            Ok(found) => found,
            Err(message) => return problem(message),
        };
    let ranked = match ranked(snapshot, name, (policy, origin), (pin, current, with_digest), found, choices) {
        Ok(ranked) => ranked,
        Err(choice) => return choice,
    };
    let place = PromotedPin { name, current, effective, promote, with_digest };
    let mut best: Option<Choice> = None;
    let mut unsigned = 0;
    for candidate in ranked {
        match place.consider(snapshot, candidate, choices) {
            Choice::Move(found) if found.to == pin.version => return best.unwrap_or(Choice::Current),
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
    best.unwrap_or(Choice::Current)
}

/// Which tags come after which, by policy: thousands of overlays compare the same few.
#[derive(Debug, Default)]
pub(in crate::plan) struct Orders(RefCell<Vec<(Option<SourceLocation>, Pairs)>>);

/// Tag → tag → whether the first comes after the second.
type Pairs = HashMap<Tag, HashMap<Tag, bool>>;

impl Orders {
    /// Whether `a` comes after `b` under a policy, which is identified by its place.
    fn is_newer(&self, (policy, origin): (&TagPolicy, Option<&SourceLocation>), a: &Tag, b: &Tag) -> bool {
        if a == b {
            return false;
        }
        let mut all = self.0.borrow_mut();
        let at = all.iter().position(|(known, _)| known.as_ref() == origin);
        let at = at.unwrap_or_else(|| {
            all.push((origin.cloned(), Pairs::new()));
            all.len() - 1
        });
        let Some((_, pairs)) = all.get_mut(at) else { return is_newer(policy, a, b) };
        if let Some(known) = pairs.get(a).and_then(|pairs| pairs.get(b)) {
            return *known;
        }
        let found = is_newer(policy, a, b);
        pairs.entry(a.clone()).or_default().insert(b.clone(), found);
        found
    }
}

fn is_newer(policy: &TagPolicy, a: &Tag, b: &Tag) -> bool {
    // The order of build times cannot be told from names: what was replaced may have been reverted.
    if matches!(policy.order, Order::NewestBuild | Order::Digest) {
        return a != b;
    }
    let entries = [TagEntry { tag: a.clone(), created: None }, TagEntry { tag: b.clone(), created: None }];
    let current = Some(b).filter(|tag| !tag.is_range());
    let entries = if current.is_some() { &entries[..] } else { &entries[..1] };
    select(policy, current, entries).selected.is_some_and(|selected| selected.tag == *a)
}

/// The candidates that are newer than the current version, best first.
fn ranked(
    snapshot: &Snapshot<'_>,
    name: &ImageName,
    (policy, origin): (&TagPolicy, Option<&SourceLocation>),
    (pin, current, with_digest): (&Pin, &Tag, bool),
    found: Vec<Candidate>,
    choices: &mut Choices,
) -> Result<Vec<Candidate>, Choice> {
    let same = |candidate: &Candidate| candidate.tag == *current;
    if policy.order == Order::Digest {
        // The tag stays; its digest follows upstream.
        return Ok(found.into_iter().filter(same).collect());
    }
    let written = Some(current).filter(|tag| !tag.is_range());
    let tags: TagList = found.iter().map(|candidate| &candidate.tag).chain(written).map(Tag::borrowed).collect();
    let created = match creation_times(snapshot, name, (policy, origin), &tags, choices) {
        Ok(Some(created)) => created,
        Ok(None) => return Err(Choice::Unknown),
        Err(best) => return Err(best.into()),
    };
    let created = |tag: TagRef<'_>| created.get(tag.as_str()).copied();
    let select = |over: &dyn Fn() -> bool| best(policy, written, &tags, created, (tags.len(), over));
    let selection = in_time(snapshot, (name, &tags), (policy, origin), select).map_err(Choice::from)?;
    let newer: Vec<&Tag> = match &selection.selected {
        Some(selected) if selected.tag != *current => {
            selection.candidates.iter().take_while(|tag| *tag != current).collect()
        }
        _ => Vec::new(),
    };
    let mut found = found;
    let mut ranked: Vec<Candidate> = Vec::new();
    for tag in newer {
        if let Some(at) = found.iter().position(|candidate| candidate.tag == *tag) {
            ranked.push(found.swap_remove(at));
        }
    }
    if ranked.is_empty() && with_digest && pin.version.digest.is_none() {
        // The version is right, and its digest is to be added.
        ranked.extend(found.into_iter().filter(same));
    }
    Ok(ranked)
}

/// A pin with its effective policy.
struct PromotedPin<'p> {
    name: &'p ImageName,
    current: &'p Tag,
    effective: &'p Effective,
    promote: &'p Sourced<PromoteFrom>,
    with_digest: bool,
}

impl PromotedPin<'_> {
    /// What to do about one candidate.
    fn consider(&self, snapshot: &Snapshot<'_>, candidate: Candidate, choices: &mut Choices) -> Choice {
        // For an image without a creation time, the age counts from when its tag was first listed.
        if self.effective.fields.minimum_release_age.is_some() && !snapshot.answers.listings.contains_key(self.name) {
            return ask(choices, RegistryQuery::Listing(self.name.clone()));
        }
        let Candidate { tag, declared, running, proved, commits } = candidate;
        let proved = proved
            .and_then(|evidence| checks_passed(snapshot, &self.promote.value, &commits, choices).map(|()| evidence));
        let overridden = gates::is_overridden(snapshot, Gate::Promotion);
        let (evidence, opened) = match proved {
            Ok(evidence) => (Some(evidence), Vec::new()),
            Err(_) if overridden => (None, vec![Gate::Promotion]),
            Err(why) => return self.not_yet(tag, &why),
        };
        let choice = self.on_its_digest(snapshot, (tag, declared, &running), choices);
        match choice {
            Choice::Move(mut found) => {
                found.promotion = evidence;
                found.overridden = opened;
                Choice::Move(found)
            }
            choice => choice,
        }
    }

    fn not_yet(&self, tag: Tag, why: &NotProved) -> Choice {
        let origin = &self.promote.origin;
        let reason = format!("{} ({}:{})", why.reason, origin.file, origin.line);
        let to = Version { tag: Some(tag), digest: None };
        Choice::NotYet { to, held: GateHold::new(Gate::Promotion, reason, why.until) }
    }

    /// The version with the exact digest that ran upstream, if the registry still has it.
    fn on_its_digest(
        &self,
        snapshot: &Snapshot<'_>,
        (tag, declared, running): (Tag, Option<Digest>, &[Ran]),
        choices: &mut Choices,
    ) -> Choice {
        let key = (self.name.clone(), tag);
        let manifest = match self.manifest(snapshot, &key, running, choices) {
            Ok(manifest) => manifest,
            Err(choice) => return choice,
        };
        let (digest, manifest) = manifest;
        let same = |reported: &Digest| *reported == digest || manifest.is_some_and(|manifest| manifest.is(reported));
        let other = running.iter().find(|(_, digests)| !digests.is_empty() && !digests.iter().all(same));
        if let Some((place, digests)) = other {
            let ran = digests.first().map_or_else(String::new, |digest| digest.short().to_owned());
            let why = format!(
                "{} is now a different image ({}) from the one that ran in {place} ({ran})",
                key.1,
                digest.short()
            );
            return self.not_yet(key.1, &NotProved { reason: why, until: None });
        }
        let current = match present(snapshot, (self.name, self.current), self.effective, choices) {
            Ok(current) => current,
            Err(choice) => return choice,
        };
        let declared = declared.filter(|declared| same(declared));
        let target = declared.filter(|_| self.with_digest).unwrap_or(digest);
        let digest = self.with_digest.then(|| target.clone());
        moves(Version { tag: Some(key.1), digest }, (&target, manifest), current)
    }

    /// What the registry has under the tag now: its digest, and its manifest if more than that is needed.
    fn manifest<'s>(
        &self,
        snapshot: &Snapshot<'s>,
        key: &(ImageName, Tag),
        running: &[Ran],
        choices: &mut Choices,
    ) -> Result<(Digest, Option<&'s Manifest>), Choice> {
        let is_plain = |digest: &Digest| running.iter().all(|(_, ran)| ran.iter().all(|ran| ran == digest));
        if !gates::asks_of_the_manifest(self.effective) {
            match snapshot.answers.digests.get(key) {
                None => return Err(ask(choices, RegistryQuery::Digest(key.0.clone(), key.1.clone()))),
                Some(Answer::Known(digest)) if is_plain(digest) => return Ok((digest.clone(), None)),
                // Nodes may report the digest of one platform; the index shows that.
                Some(Answer::Known(_)) => {}
                Some(Answer::Absent { message }) => return Err(gone(&key.1, message)),
                Some(Answer::Failed { message, code, .. }) => return Err(failed(message, *code)),
            }
        }
        match snapshot.answers.manifests.get(key) {
            None => Err(ask(choices, RegistryQuery::Manifest(key.0.clone(), key.1.clone()))),
            Some(Answer::Known(manifest)) => Ok((manifest.digest.clone(), Some(manifest))),
            Some(Answer::Absent { message }) => Err(gone(&key.1, message)),
            Some(Answer::Failed { message, code, .. }) => Err(failed(message, *code)),
        }
    }
}

fn gone(tag: &Tag, message: &str) -> Choice {
    not_there(tag.clone(), message)
}

/// Whether the policy's checks have passed on every commit that brought the version upstream.
fn checks_passed(
    snapshot: &Snapshot<'_>,
    promote: &PromoteFrom,
    commits: &[CommitId],
    choices: &mut Choices,
) -> Result<(), NotProved> {
    let because = |reason: String| Err(NotProved { reason, until: None });
    if promote.checks.is_empty() {
        return Ok(());
    }
    if commits.is_empty() {
        return because(format!(
            "it is unknown which commit brought it upstream, so nothing shows the state of {}",
            promote.checks.join(", ")
        ));
    }
    for commit in commits {
        let checks = match snapshot.answers.checks.get(commit) {
            None => {
                choices.queries.forge.insert(ForgeQuery::Checks(commit.clone()));
                return because(format!("the checks of {} have not been read yet", commit.short()));
            }
            Some(Answer::Known(checks)) => checks,
            Some(Answer::Absent { message } | Answer::Failed { message, .. }) => return because(message.clone()),
        };
        for name in &promote.checks {
            let how = match checks.get(name) {
                Some(CheckState::Passed) => continue,
                Some(CheckState::Pending) => "has not finished".to_owned(),
                Some(CheckState::Failed) => "did not pass".to_owned(),
                Some(CheckState::Unknown(word)) => format!("is `{word}`, which is not a known state"),
                None => "does not exist".to_owned(),
            };
            return because(format!("check {name} of {} {how}", commit.short()));
        }
    }
    Ok(())
}
