//! `landfall rollback`: an app's images in an environment go back, all of their pins together, and the bad version is
//! held.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use crate::model::{Answer, BranchName, ImageName, SignatureEvidence, Tag, Version};
use crate::plan::{
    Action, ActionKind, Answers, Gate, KnownNames, PastVersion, PinLocation, Plan, Queries, RegistryQuery,
    RollbackDetails, RollbackProof, Snapshot, apps_with, pin_locations, rollback_actions, rollback_proof,
    version_before,
};
use crate::policy::Write;

use crate::daemon::decisions::DecideError;
use crate::daemon::execute::{Attempt, retry_on_lost_race, still_verified};
use crate::daemon::history::{ChangeFilter, VersionChange};
use crate::daemon::outcome::ActionOutcome;
use crate::daemon::queries::Lookup;
use crate::daemon::repository::{BranchReading, Repository, Timing};
use crate::daemon::tracker::{Landed, SoakPlace, landed};

/// A requested rollback.
#[derive(Debug, Clone)]
pub struct RollbackAsk {
    /// The application, or one of its images.
    pub app: String,
    /// The environment.
    pub environment: String,
    /// The image, by any of its names; `None`: all images of the app.
    pub image: Option<String>,
    /// The version; `None`: the last one that landed there before.
    pub to: Option<Tag>,
    /// Who requests it.
    pub by: String,
    /// The reason.
    pub reason: Option<String>,
}

/// The result of a rollback.
#[derive(Debug, Clone)]
pub struct RollbackOutcome {
    /// What was written, or was not.
    pub actions: Vec<ActionOutcome>,
    /// Why other images of the app stay at their version.
    pub left: Vec<String>,
}

/// What a rollback would write, and what it leaves out.
struct RollbackPlan {
    plans: Vec<Plan>,
    left: Vec<String>,
}

impl Repository {
    /// Rolls back: reads the remote, chooses the versions, writes a commit or opens a pull request, and reads the
    /// remote again.
    ///
    /// # Errors
    /// If the remote cannot be read, or there is nothing to go back to. Refusals are in the outcome.
    pub async fn roll_back(
        &mut self,
        ask: &RollbackAsk,
        lookup: &Lookup,
        timing: Timing,
    ) -> Result<RollbackOutcome, DecideError> {
        // The bad version is the one that was there when the rollback was requested, not one that somebody has written
        // since.
        let mut bad = BTreeMap::new();
        let raced = retry_on_lost_race(timing.pause, async |_| {
            self.refresh().await?;
            let RollbackPlan { mut plans, mut left } = self.rollback_plans(ask, lookup, timing.now, &mut bad).await?;
            still_verified::hold_moved(&mut plans, lookup).await;
            left.extend(plans.iter().flat_map(|plan| &plan.holds).map(|hold| hold.reason.clone()));
            let mut outcomes = Vec::new();
            let mut lost = None;
            for plan in &plans {
                let pushed = self.executor.commits(plan, timing.now).await;
                outcomes.extend(pushed.outcomes);
                lost = pushed.lost.or(lost);
            }
            // Where a part is done, another attempt would take that for somebody else's change.
            if let Some(message) = lost
                && !outcomes.iter().any(ActionOutcome::is_done)
            {
                return Ok(Attempt::LostRace(message));
            }
            for plan in &plans {
                outcomes.extend(self.pull_requests(plan, timing.now).await.actions);
            }
            Ok::<_, DecideError>(Attempt::Over(RollbackOutcome { actions: outcomes, left }))
        });
        let raced = raced.await?;
        raced.map_err(|lost| DecideError::LostRace { branch: self.branch().to_string(), lost: lost.to_string() })
    }

    async fn rollback_plans(
        &mut self,
        ask: &RollbackAsk,
        lookup: &Lookup,
        now: Timestamp,
        bad: &mut BTreeMap<(String, ImageName), Option<Version>>,
    ) -> Result<RollbackPlan, DecideError> {
        let known = self.reader.known();
        self.check_environment(&ask.environment, &known)?;
        let (app, image) = self.app_of(ask, &known, now)?;
        let landed = landed(lookup.store());
        let mut past = self.changes(&ChangeFilter::of_app(&app), Timestamp::MIN)?;
        for change in &mut past {
            change.landed = landed.of(&change.id, &change.arrived);
        }
        let mut plans = Vec::new();
        let mut left = Vec::new();
        let mut found = 0;
        for branch in self.reader.branch_names() {
            let Some(reading) = self.reader.reading(&branch)? else { continue };
            let answers = Answers::default();
            let snapshot = reading.snapshot(&answers, self.soak_states(), now);
            let mut here = pin_locations(&snapshot, &app, &ask.environment);
            here.retain(|location| image.as_ref().is_none_or(|image| location.name.is_called(image)));
            found += here.len();
            let mut targets = Vec::new();
            for location in here {
                let there = location.current().cloned();
                let asked =
                    bad.entry((location.overlay.clone(), location.name.clone())).or_insert_with(|| there.clone());
                if *asked != there {
                    let now = there.map_or_else(String::new, |version| version.to_string());
                    return Err(DecideError::Nothing(format!(
                        "somebody else changed it first: {} in {} is now {now}",
                        location.name, location.overlay
                    )));
                }
                let target = self.target(ask, (&branch, &reading), &location, (&past, &landed), lookup).await;
                let proved = match target {
                    Ok(target) => self.signed(&reading, (&location, target), lookup, now).await,
                    Err(why) => Err(why),
                };
                match proved {
                    Ok(target) => targets.push((location, target)),
                    Err(why) => left.push(why),
                }
            }
            let actions = actions(ask, &app, &snapshot, targets);
            unless_foreign(&snapshot, &actions)?;
            plans.push(reading.plan_of(actions));
        }
        if found == 0 {
            let what = image.map_or_else(|| "image".to_owned(), |image| format!("image {image}"));
            let message = format!(
                "{app} declares no {what} in {} that a policy allows to be written; `landfall scan` shows what there is",
                ask.environment
            );
            return Err(DecideError::Nothing(message));
        }
        if plans.iter().all(|plan| plan.actions.is_empty()) {
            return Err(DecideError::Nothing(match left.is_empty() {
                true => format!("{app} in {} is already at that version", ask.environment),
                false => left.join("; "),
            }));
        }
        Ok(RollbackPlan { plans, left })
    }

    /// A target with the proof of its signatures, if they are demanded there; or why it cannot be written. A person's rollback
    /// passes that gate like everything else.
    async fn signed(
        &self,
        reading: &BranchReading<'_>,
        (location, (to, basis)): (&PinLocation, (Version, String)),
        lookup: &Lookup,
        now: Timestamp,
    ) -> Result<Target, String> {
        let mut answers = Answers::default();
        let mut asked = Queries::default();
        for _ in 0..PROOF_ROUNDS {
            let missing = match rollback_proof(&reading.snapshot(&answers, self.soak_states(), now), location, &to) {
                RollbackProof::NotDemanded => return Ok(Target { to, basis, verified: None }),
                RollbackProof::Verified(evidence) => {
                    // What was declared by its tag alone goes back as what the tag was verified to be.
                    let digest = to.digest.clone().or_else(|| location.with_digest().then(|| evidence.digest.clone()));
                    return Ok(Target { to: Version { digest, ..to }, basis, verified: Some(evidence) });
                }
                RollbackProof::Held(reason) => {
                    return Err(format!(
                        "{} in {} does not go back to {to}: {reason}; next: sign that version, choose another with --to TAG, or revert the \
                         commit in Git by hand",
                        location.name, location.overlay
                    ));
                }
                RollbackProof::Missing(missing) => missing.without(&asked),
            };
            lookup.answer(&missing.registry, now, &mut answers).await;
            asked.extend(missing);
        }
        Err(format!("whether {} at {to} is signed is unknown: there was no answer", location.name))
    }

    /// Which app is meant, and which image: a name that is not an app's may be that of an image that only one app has.
    fn app_of(
        &self,
        ask: &RollbackAsk,
        known: &KnownNames,
        now: Timestamp,
    ) -> Result<(String, Option<String>), DecideError> {
        if known.apps.contains(&ask.app) {
            return Ok((ask.app.clone(), ask.image.clone()));
        }
        let mut apps = BTreeSet::new();
        for branch in self.reader.branch_names() {
            let Some(reading) = self.reader.reading(&branch)? else { continue };
            let answers = Answers::default();
            let snapshot = reading.snapshot(&answers, self.soak_states(), now);
            apps.extend(apps_with(&snapshot, &ask.environment, &ask.app));
        }
        let apps: Vec<String> = apps.into_iter().collect();
        match apps.as_slice() {
            [] => Err(self.unknown("app", &ask.app, known.apps.iter())),
            [only] => Ok((only.clone(), ask.image.clone().or_else(|| Some(ask.app.clone())))),
            several => Err(DecideError::Nothing(format!(
                "{} is an image of {} in {}: name the app",
                ask.app,
                several.join(", "),
                ask.environment
            ))),
        }
    }

    /// The version that a place goes back to, and why; or why it cannot.
    async fn target(
        &self,
        ask: &RollbackAsk,
        (branch, reading): (&BranchName, &BranchReading<'_>),
        location: &PinLocation,
        (past, landed): (&[VersionChange], &Landed),
        lookup: &Lookup,
    ) -> Result<(Version, String), String> {
        let place = format!("{} in {}", location.name, location.overlay);
        let current = location.current().cloned().unwrap_or(Version { tag: None, digest: None });
        let own = |change: &&VersionChange| {
            change.branch == *branch && change.overlay == location.overlay && change.image == location.name.to_string()
        };
        let there = SoakPlace {
            repository: self.name(),
            overlay: &location.overlay,
            image: &location.name,
            environment: &ask.environment,
        };
        let once = |change: &VersionChange| PastVersion {
            version: change.to.clone(),
            merged: change.merged,
            landed: change.landed.values().min().copied().or_else(|| landed.ran(&there, &change.to)),
        };
        let past: Vec<PastVersion> = past.iter().filter(own).map(once).collect();
        let Some(tag) = &ask.to else {
            let bad = |version: &Version| reading.was_rolled_back(&location.id(branch, version));
            return version_before(&past, &current, bad).ok_or_else(|| {
                format!("the history has no version of {place} before {current}; give one with --to TAG")
            });
        };
        let basis = format!("{} requested this version", ask.by);
        if let Some(once) = past.iter().find(|once| once.version.tag.as_ref() == Some(tag) && once.version != current)
            && (once.version.digest.is_some() || !location.with_digest())
        {
            return Ok((once.version.clone(), basis));
        }
        let want = RegistryQuery::Digest(location.name.clone(), tag.clone());
        let mut answers = Answers::default();
        lookup.answer(&BTreeSet::from([want]), Timestamp::MIN, &mut answers).await;
        match answers.digests.remove(&(location.name.clone(), tag.clone())) {
            Some(Answer::Known(digest)) => {
                let digest = location.with_digest().then_some(digest);
                Ok((Version { tag: Some(tag.clone()), digest }, basis))
            }
            Some(Answer::Absent { message } | Answer::Failed { message, .. }) => Err(format!(
                "{place} was never at {tag}, and the registry does not confirm that the tag exists: {message}"
            )),
            None => Err(format!("there was no answer about {}:{tag}", location.name)),
        }
    }
}

/// How often what is missing for a proof is asked for: a digest, then its signatures.
const PROOF_ROUNDS: usize = 4;

/// The version that a place goes back to.
struct Target {
    to: Version,
    /// Why that one.
    basis: String,
    /// What proves its signatures, if they are demanded.
    verified: Option<SignatureEvidence>,
}

/// Leaves a pull request's branch with other people's commits alone.
fn unless_foreign(snapshot: &Snapshot<'_>, actions: &[Action]) -> Result<(), DecideError> {
    let foreign = actions.iter().find_map(|action| {
        let ActionKind::PullRequest(pull) = &action.kind else { return None };
        let head = snapshot.heads.get(pull.head.as_str())?;
        Some((&pull.head, head.foreign.as_ref()?))
    });
    match foreign {
        None => Ok(()),
        Some((head, who)) => Err(DecideError::Nothing(format!(
            "branch {head} has commits by {who}, so it is left alone; merge it, or delete it to start over"
        ))),
    }
}

fn actions(ask: &RollbackAsk, app: &str, snapshot: &Snapshot<'_>, targets: Vec<(PinLocation, Target)>) -> Vec<Action> {
    let mut updates = Vec::new();
    for (location, Target { to, basis, verified }) in targets {
        debug_assert_ne!(location.effective.write, Write::Never, "such pins are no pin_locations");
        let Some(bad) = location.pins.iter().find(|pin| pin.version != to).map(|pin| pin.version.clone()) else {
            continue;
        };
        let back = RollbackDetails {
            bad: location.id(snapshot.branch, &bad),
            by: Some(ask.by.clone()),
            reason: ask.reason.clone(),
            basis,
        };
        let update = location.back_to(snapshot, &to, back).map(|mut update| {
            update.passed.extend(verified.as_ref().map(|_| Gate::Signature));
            update.verified = verified;
            update
        });
        updates.extend(update.map(|update| (location, update)));
    }
    rollback_actions(snapshot, app, updates)
}
