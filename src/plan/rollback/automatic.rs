//! Automatic rollback: a version that the bot wrote and that has failed for longer than the policy allows is rolled
//! back.
//!
//! Rules: off unless a policy sets `rollback`. It applies only to versions that the bot itself wrote, so that nobody's
//! choice is undone; only goes back to a version that was seen running in that place; happens once per bad version,
//! whatever becomes of it later; and not if something newer is about to be written. Freezes, holds and caps hold it;
//! windows do not, because it repairs something that is broken now.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};

use crate::model::{Blame, State, Version};
use crate::policy::{Effective, GroupTemplate, Rollback, Sourced, Write};

use super::{PinLocation, RollbackDetails, all_pin_locations, signature_of};
use crate::plan::candidates::{Choices, Chosen};
use crate::plan::gates::reverts;
use crate::plan::gates::signature::SignatureState;
use crate::plan::{Gate, Problem, Snapshot, SoakEnd, SoakHealth, SoakState};

/// Adds automatic rollbacks to the choices.
pub(in crate::plan) fn roll_back(snapshot: &Snapshot<'_>, choices: &mut Choices) {
    let asks = |policy: &crate::policy::Policy| policy.fields.rollback.is_some();
    if snapshot.request.is_some() || !snapshot.policies.policies().iter().any(asks) {
        return;
    }
    for location in all_pin_locations(snapshot) {
        let Some(rule) = location.effective.fields.rollback.clone() else { continue };
        let coming = |chosen: &Chosen| chosen.update.overlay == location.overlay && chosen.update.name == location.name;
        if !choices.updates.iter().any(coming) {
            one(snapshot, &location, &rule, choices);
        }
    }
}

fn one(snapshot: &Snapshot<'_>, location: &PinLocation, rule: &Sourced<Rollback>, choices: &mut Choices) {
    let Some(current) = location.current().filter(|current| location.pins.iter().all(|pin| pin.version == **current))
    else {
        return;
    };
    let bad = location.id(snapshot.branch, current);
    let ledger = snapshot.ledger;
    // If somebody has gone back to a version since, that is the person's choice, although the bot wrote it once.
    let its_own = ledger.get(&bad).filter(|done| !done.superseded && !ledger.was_rolled_back(&bad));
    let Some(done) = its_own else { return };
    let Some((place, evidence)) = stuck(snapshot, location, current, rule) else { return };
    let was_bad = |version: &Version| ledger.rolled_back(&location.id(snapshot.branch, version)).is_some();
    let proven = place.before.iter().find(|proven| {
        let failed = place.last(proven.version.tag.as_ref()).is_some_and(|last| last.end == SoakEnd::Failed);
        proven.version != *current && !failed && !was_bad(&proven.version)
    });
    let origin = format!("{}:{}", rule.origin.file, rule.origin.line);
    let Some(proven) = proven else {
        let message = format!(
            "{} {current} is {evidence}, and {origin} requests a rollback, but nothing is known to have run there before; \
             `landfall rollback {} --environment {} --to TAG` goes back to the version you give",
            location.name, place.app, place.environment
        );
        return choices.problems.push(Problem {
            path: Some(location.overlay.clone()),
            image: None,
            line: None,
            message,
            code: None,
        });
    };
    let basis = format!(
        "{current}, brought by {}, is {evidence}; {} ran there from {:.0} to {:.0}",
        done.commit.short(),
        proven.version,
        proven.from,
        proven.until
    );
    let reason = Some(format!("{evidence} ({origin})"));
    let back = RollbackDetails { bad, by: None, reason, basis };
    let signed = signature_of(snapshot, location, &proven.version, choices);
    let mut to = proven.version.clone();
    if let SignatureState::Verified(evidence) = &signed
        && location.with_digest()
    {
        // What was declared by its tag alone goes back as what the tag was verified to be.
        to.digest.get_or_insert_with(|| evidence.digest.clone());
    }
    let Some(mut update) = location.back_to(snapshot, &to, back) else { return };
    let Some(effective) = effective(snapshot, location, &rule.value) else { return };
    let held = [Gate::Freeze, Gate::Hold].into_iter().find_map(|gate| reverts::written(snapshot, gate, &update));
    let held = match (held, signed) {
        // It is planned again once it is known.
        (None, SignatureState::Pending) => return,
        (None, SignatureState::Held(held)) => Some(held),
        (None, SignatureState::Verified(evidence)) => {
            update.passed.push(Gate::Signature);
            update.verified = Some(evidence);
            None
        }
        (held, _) => held,
    };
    match held {
        Some(held) => choices.holds.push(held.of(update)),
        None => choices.updates.push(Chosen { update, effective: Arc::new(effective) }),
    }
}

/// Where the version has been failing for too long, and the evidence as text.
fn stuck<'s>(
    snapshot: &'s Snapshot<'_>,
    location: &PinLocation,
    current: &Version,
    rule: &Sourced<Rollback>,
) -> Option<(&'s SoakState, String)> {
    let environment = location.effective.environment.as_deref()?;
    let after = SignedDuration::try_from(rule.value.after).ok()?;
    // Its state is that of the last pass, not of now: a bot that does not read the clusters knows nothing.
    let looked = snapshot.soaks.at()?;
    let own = |place: &&Arc<SoakState>| {
        place.repository == snapshot.repository && place.overlay == location.overlay && place.version == *current
    };
    let places = snapshot.soaks.of(environment, &location.effective.app, &location.name).iter().filter(own);
    places.into_iter().find_map(|place| {
        let SoakHealth::Not { state: State::Stuck, cause: Some(cause), blame, message, since: Some(since) } =
            &place.stand
        else {
            return None;
        };
        let long: bool = looked.min(snapshot.now).duration_since(*since) >= after;
        // A failure caused by the platform or a person would hold up any version.
        if !long || *blame != Blame::Version {
            return None;
        }
        let cluster = place.cluster.as_ref().map_or(String::new(), |cluster| format!(" in {cluster}"));
        Some((place.as_ref(), format!("stuck{cluster} since {} ({cause}: {message})", minute(*since))))
    })
}

/// The policy for the rollback: written as it says, within the caps, separate from other updates.
fn effective(snapshot: &Snapshot<'_>, location: &PinLocation, rule: &Rollback) -> Option<Effective> {
    let mut effective = location.effective.as_ref().clone();
    let asked = rule.write.unwrap_or(effective.write);
    let caps = || snapshot.policies.caps().iter();
    effective.write = location.pins.iter().fold(asked, |write, pin| {
        let here = caps().filter(|cap| cap.paths.iter().any(|paths| paths.matches(&pin.path).is_some()));
        here.fold(write, |write, cap| cap.limit(write))
    });
    if effective.write == Write::Never {
        return None;
    }
    let origin = effective.fields.rollback.as_ref()?.origin.clone();
    let group = GroupTemplate::parse("rollback/{app}", &[]).ok().map(|value| Sourced { value, origin });
    effective.fields.group.clone_from(&group);
    effective.fields.pull_request.group = group;
    Some(effective)
}

fn minute(time: Timestamp) -> impl std::fmt::Display {
    time.strftime("%Y-%m-%d %H:%M UTC")
}
