//! How far a change has come through Flux: source and Kustomization.
//!
//! `lastAppliedRevision` moves only after health checks have passed, `lastAttemptedRevision` before anything is built;
//! the reason of `Ready` shows what happened in between.

use crate::model::observation::{Body, Condition, ConditionStatus, Kustomization, Object, Revision, Source, condition};
use crate::model::{Cause, CauseCode, Landing, Rung, State, Verdict};

use super::on_demand::{self, Applied};
use super::{
    ControllerProgress, LeftBehind, Live, drifted, landing, not_fetched, passed, paused, pending, pinned, rung_for,
    stuck, unproven, written_by_hand,
};
use crate::landing::health::{assess, flux};
use crate::landing::image::{Carries, SameImage, carries, same_image};
use crate::landing::question::{Contains, Question};
use crate::landing::{World, cause};

/// How far a Kustomization has come.
pub(in crate::landing) fn kustomization<'a>(
    world: &'a World<'a>,
    question: &'a Question,
    object: &'a Object,
    it: &'a Kustomization,
    live: Option<&Live<'_>>,
) -> ControllerProgress {
    let git = &question.git;
    let of = |revisions: [&Option<Revision>; 2]| {
        let all: Vec<Revision> = revisions.into_iter().flatten().cloned().collect();
        git.contained(&all)
    };
    let applied = of([&it.last_applied, &it.last_applied_origin]);
    let attempted = of([&it.last_attempted, &it.last_attempted_origin]);
    let listed = applied_once(it).any(|revision| contains(question, Some(revision)));
    let source = world.referred(object, &it.source_ref, "GitRepository");
    let fetched = source_contains(question, source).or(attempted);
    let ready = condition(&it.conditions, "Ready");
    let checks = ["Reconciling", "Healthy"].iter().filter_map(|kind| condition(&it.conditions, kind));
    let checking = checks.into_iter().any(runs_health_checks);
    let tried = attempted == Contains::Yes && (ready.is_some_and(has_applied) || checking);
    let contains = match (applied, tried || listed) {
        (Contains::Yes, _) | (_, true) => Contains::Yes,
        (Contains::Unknown, false) => attempted,
        (Contains::No, false) => Contains::No,
    };
    let step = Step { world, object, conditions: &it.conditions, fetched, attempted };
    let before = if contains == Contains::Yes { None } else { step.before_kustomization(question, it, source) };
    let after = after_kustomization(&step, question, it, live, applied, listed);
    ControllerProgress { contains, before, after, stale: None, unfinished: None }
}

/// Whether the reason of `Ready` says that the objects of the attempted revision were applied.
fn has_applied(ready: &Condition) -> bool {
    match ready.reason.as_str() {
        "ReconciliationSucceeded" | "HealthCheckFailed" | "HealthCheckCanceled" | "PruneFailed" => true,
        "Progressing" | "ProgressingWithRetry" => runs_health_checks(ready),
        _ => false,
    }
}

/// "Running health checks for revision …": at that point all objects are applied.
fn runs_health_checks(condition: &Condition) -> bool {
    condition.message.contains("health check")
}

/// Revisions in the history whose objects were applied; the history has entries for failures too.
fn applied_once(it: &Kustomization) -> impl Iterator<Item = &Revision> {
    let applied = |status: &str| matches!(status, "ReconciliationSucceeded" | "HealthCheckFailed" | "PruneFailed");
    let entries = it.history.iter().filter(move |entry| entry.status.as_deref().is_none_or(applied));
    entries.filter_map(|entry| entry.revision.as_ref())
}

pub(super) fn source_contains(question: &Question, source: Option<&Object>) -> Contains {
    let revision = match source.map(|source| &source.body) {
        Some(Body::Source(it)) => it.artifact.as_ref().map(|artifact| artifact.revision.clone()),
        Some(Body::HelmChart(it)) => it.observed_source_revision.clone(),
        _ => None,
    };
    revision.map_or(Contains::Unknown, |revision| question.git.contained(&[revision]))
}

/// A Flux controller and what is known about its revisions.
struct Step<'a> {
    world: &'a World<'a>,
    object: &'a Object,
    conditions: &'a [Condition],
    fetched: Contains,
    attempted: Contains,
}

impl Step<'_> {
    fn before_kustomization(
        &self,
        question: &Question,
        it: &Kustomization,
        source: Option<&Object>,
    ) -> Option<Landing> {
        if it.suspend {
            return Some(paused(rung_for(self.fetched), flux::suspended(self.object)));
        }
        if let Some(disabled) = flux::disabled(self.object) {
            return Some(paused(rung_for(self.fetched), disabled));
        }
        // Ready at this generation, and nothing is known from Git: nothing says that it is not applied.
        if let Some(found) = self.at_source(question, source) {
            return Some(found);
        }
        let ready = condition(self.conditions, "Ready");
        let verdict = flux::kustomization(self.world, self.object, it);
        if self.attempted == Contains::No {
            // The attempted revision is written only after the artifact has been read, so this is about the newest one.
            let unread = ready.is_some_and(|c| c.status == ConditionStatus::False && c.reason == "ArtifactFailed");
            return Some(match (verdict.verdict, verdict.cause) {
                (Verdict::Failed, Some(cause)) if unread && self.fetched == Contains::Yes => {
                    stuck(Rung::Applied, cause)
                }
                (_, Some(cause)) if unread && cause.code == CauseCode::Dependency => pending(Rung::Applied, cause),
                (_, cause) => self.behind(cause, ready),
            });
        }
        match (verdict.verdict, verdict.cause, ready) {
            (Verdict::Current, ..) => None,
            (_, Some(cause), Some(ready)) if ready.status == ConditionStatus::False && !has_applied(ready) => {
                let rung = if matches!(cause.code, CauseCode::FetchFailed | CauseCode::NotFetched) {
                    rung_for(self.fetched.or(Contains::No))
                } else {
                    Rung::Applied
                };
                let waits = verdict.verdict != Verdict::Failed;
                Some(if waits { pending(rung, cause) } else { stuck(rung, cause) })
            }
            (_, _, Some(ready)) if has_applied(ready) => None,
            (Verdict::Unknown, cause, _) => Some(landing(State::Unknown, Some(Rung::Applied), cause)),
            (_, cause, _) => Some(pending(Rung::Applied, cause)),
        }
    }

    /// The source has the change, but the Kustomization has not tried it yet.
    fn behind(&self, cause: Option<crate::model::Cause>, ready: Option<&Condition>) -> Landing {
        let waits_for = cause.filter(|cause| cause.code == CauseCode::Dependency);
        if let Some(dependency) = waits_for {
            let broken = ready.is_some() && {
                let found = assess(self.world, self.object);
                found.verdict == Verdict::Failed
            };
            return if broken { stuck(Rung::Applied, dependency) } else { pending(Rung::Applied, dependency) };
        }
        let rung = if self.fetched == Contains::Yes { Rung::Applied } else { Rung::Fetched };
        let place = cause::in_namespace(self.object);
        let next = format!(
            "wait for its interval, or: `flux {place}reconcile kustomization {} --with-source`",
            self.object.name
        );
        let message = format!("{} has not tried the revision with the change yet", self.object.label());
        let evidence = ready.into_iter().map(cause::evidence).collect();
        let code = if rung == Rung::Applied { CauseCode::NotReady } else { CauseCode::NotFetched };
        pending(rung, cause::make(code, message, evidence, next))
    }

    /// Why the source does not have the change.
    fn at_source(&self, question: &Question, source: Option<&Object>) -> Option<Landing> {
        let source = source?;
        let has = source_contains(question, Some(source));
        let Body::Source(it) = &source.body else { return None };
        if has == Contains::Yes || (self.fetched == Contains::Yes) {
            return None;
        }
        let found = assess(self.world, source);
        match (found.verdict, found.cause.clone()) {
            (Verdict::Paused, Some(cause)) => return Some(paused(Rung::Fetched, cause)),
            (Verdict::Failed, Some(cause)) => return Some(stuck(Rung::Fetched, cause)),
            (Verdict::Unknown, cause) => return Some(landing(State::Unknown, Some(Rung::Fetched), cause)),
            (Verdict::Progressing, Some(cause)) if cause.code == CauseCode::FetchFailed => {
                return Some(pending(Rung::Fetched, cause));
            }
            _ => {}
        }
        if it.artifact.is_none() && has == Contains::Unknown {
            let next = cause::next(CauseCode::NotFetched, source, None);
            return Some(pending(
                Rung::Fetched,
                found.cause.unwrap_or_else(|| not_fetched(source, "no artifact", next)),
            ));
        }
        if has == Contains::Unknown {
            return None;
        }
        if let Some((field, to)) = pin(it) {
            return Some(pinned(source, field, to));
        }
        let seen = it.artifact.as_ref().map_or_else(|| "no artifact".to_owned(), |artifact| artifact.revision.short());
        let kind = if source.kind == "OCIRepository" { "oci" } else { "git" };
        let next = format!(
            "wait for its interval, or: `flux {}reconcile source {kind} {}`",
            cause::in_namespace(source),
            source.name
        );
        Some(pending(Rung::Fetched, not_fetched(source, &seen, next)))
    }
}

/// A reference that never moves. `commit` takes precedence over everything, `name` over the rest.
fn pin(it: &Source) -> Option<(&'static str, &str)> {
    let at = &it.reference;
    match (&at.commit, &at.name, &at.semver, &at.tag, &at.digest) {
        (Some(commit), ..) => Some(("spec.ref.commit", commit)),
        (None, Some(_), ..) | (None, None, Some(_), ..) => None,
        (None, None, None, Some(tag), _) => Some(("spec.ref.tag", tag)),
        (None, None, None, None, Some(digest)) => Some(("spec.ref.digest", digest)),
        _ => None,
    }
}

fn after_kustomization(
    step: &Step<'_>,
    question: &Question,
    it: &Kustomization,
    live: Option<&Live<'_>>,
    applied: Contains,
    listed: bool,
) -> Landing {
    let object = step.object;
    let Some(live) = live else { return by_itself(step, it, applied) };
    let current = it.last_applied.iter().chain(&it.last_applied_origin).cloned().collect::<Vec<_>>();
    if applied == Contains::No && listed {
        let older = applied_once(it).skip_while(|revision| !contains(question, Some(revision))).skip(1);
        let back = older.into_iter().any(|revision| current.contains(revision));
        let what = if back { LeftBehind::RolledBack } else { LeftBehind::Superseded };
        let evidence =
            vec![format!("lastAppliedRevision: {}", current.first().map(Revision::to_string).unwrap_or_default())];
        return passed(object, Some(live), what, evidence);
    }
    if let Some(declared) = question.git.declares(&current)
        && carries(&question.image.version, declared) == Carries::No
    {
        return passed(
            object,
            Some(live),
            LeftBehind::Superseded,
            vec![format!("lastAppliedRevision declares {declared}")],
        );
    }
    if let Some(left_alone) = left_alone(live.object) {
        return paused(Rung::Applied, left_alone);
    }
    if let Some(writer) = written_by_hand(live.object) {
        return drifted(live.object, &live.version, Some(writer), "Git declares another version");
    }
    let mut found: Vec<String> = Vec::new();
    for entry in it.images.iter().filter(|entry| same_image(&question.image, &entry.name) != SameImage::Other) {
        let to = entry.new_tag.as_deref().or(entry.digest.as_deref()).or(entry.new_name.as_deref()).unwrap_or_default();
        found.push(format!("spec.images: {} → {to}", entry.name));
    }
    for (is, what) in [(it.has_patches, "spec.patches"), (it.has_post_build, "spec.postBuild")] {
        if is {
            found.push(what.to_owned());
        }
    }
    if applied == Contains::Unknown && found.is_empty() {
        let message = format!("{} is applied, and {} runs {}", object.label(), live.object.label(), live.version);
        let next =
            "say which commit carries the image (`--revision SHA`), so that Landfall can check whether it was applied";
        let made = cause::make(CauseCode::Unknown, message, Vec::new(), next);
        return landing(State::Unknown, Some(Rung::Fetched), made);
    }
    let message =
        format!("{} has applied the change, but {} runs {}", object.label(), live.object.label(), live.version);
    let next = if found.is_empty() {
        "look for anything that sets the image after the build: patches, variables, a webhook".to_owned()
    } else {
        format!("remove the override, or change the version there: {}", found.join("; "))
    };
    landing(State::Shadowed, None, cause::make(CauseCode::Shadowed, message, found, next))
}

/// An annotation that makes Flux leave the object alone.
fn left_alone(object: &Object) -> Option<Cause> {
    let stops = |key: &str, value: &str| match key {
        "kustomize.toolkit.fluxcd.io/reconcile" => value == "disabled",
        "kustomize.toolkit.fluxcd.io/ssa" => matches!(value, "Ignore" | "IfNotPresent"),
        _ => false,
    };
    let (key, value) = object.annotations.iter().find(|(key, value)| stops(key, value))?;
    let message = format!("Flux leaves {} alone: its annotation {key} is {value}", object.label());
    let next = format!(
        "remove the annotation when it should be updated again, in Git or with `kubectl {}annotate {} {} {key}-`",
        cause::in_namespace(object),
        object.kind.to_lowercase(),
        object.name
    );
    Some(cause::make(CauseCode::Suspended, message, vec![format!("{key}: {value}")], next))
}

fn contains(question: &Question, revision: Option<&Revision>) -> bool {
    revision.is_some_and(|revision| question.git.contained(std::slice::from_ref(revision)) == Contains::Yes)
}

/// Without any workload: health checks show how it is, but not which image it is.
fn by_itself(step: &Step<'_>, it: &Kustomization, applied: Contains) -> Landing {
    let found = flux::kustomization(step.world, step.object, it);
    match (found.verdict, found.cause) {
        (Verdict::Failed, cause) => landing(State::Stuck, Some(Rung::Running), cause),
        (Verdict::Progressing, cause) => landing(State::Pending, Some(Rung::Running), cause),
        (Verdict::Unknown, cause) => landing(State::Unknown, Some(Rung::Running), cause),
        _ => {
            let listed = it.inventory.iter().flatten().map(Applied::from);
            if applied == Contains::Yes
                && let Some(landed) = on_demand::landed(step.world, step.object, listed)
            {
                return landed;
            }
            let next = "add the workloads to the dump: a Kustomization alone does not show which image is live";
            unproven(Rung::Applied, step.object, "nothing shows which image is live", next)
        }
    }
}
