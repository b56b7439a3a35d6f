//! How far a change has come through Flux: source, Kustomization, HelmRelease.
//!
//! `lastAppliedRevision` moves only once health checks have passed, `lastAttemptedRevision` before anything is built; what
//! lies between is told by the reason of `Ready`. A HelmRelease knows versions of charts, never commits.

use crate::model::observation::{
    Body, Condition, ConditionStatus, HelmRelease, Kustomization, Object, ObjectRef, Revision, Source, condition,
};
use crate::model::{CauseCode, Landing, Rung, State, Verdict};

use super::chain::{
    Live, Passed, Stand, drifted, landing, not_fetched, passed, paused, pending, pinned, rung_for, stuck, unproven,
    written_by_hand,
};
use super::image::{Carries, SameImage, carries, same_image};
use super::question::{Contains, Question};
use super::{World, assess, cause, flux};

/// Where a Kustomization stands.
pub(super) fn kustomization<'a>(
    world: &'a World<'a>,
    question: &'a Question,
    object: &'a Object,
    it: &'a Kustomization,
    live: Option<&Live<'_>>,
) -> Stand {
    let git = &question.git;
    let of = |revisions: [&Option<Revision>; 2]| {
        let all: Vec<Revision> = revisions.into_iter().flatten().cloned().collect();
        git.contained(&all)
    };
    let applied = of([&it.last_applied, &it.last_applied_origin]);
    let attempted = of([&it.last_attempted, &it.last_attempted_origin]);
    let once = it.history.iter().filter_map(|entry| entry.revision.clone());
    let listed = once.into_iter().any(|revision| git.contained(&[revision]) == Contains::Yes);
    let source = world.referred(object, &it.source_ref, "GitRepository");
    let fetched = source_contains(question, source).or(attempted);
    let ready = condition(&it.conditions, "Ready");
    let tried = attempted == Contains::Yes && ready.is_some_and(has_applied);
    let contains = match (applied, tried || listed) {
        (Contains::Yes, _) | (_, true) => Contains::Yes,
        (Contains::Unknown, false) => attempted,
        (Contains::No, false) => Contains::No,
    };
    let step = Step { world, object, conditions: &it.conditions, fetched, attempted };
    let before = if contains == Contains::Yes { None } else { step.before_kustomization(question, it, source) };
    let after = after_kustomization(&step, question, it, live, applied, listed);
    Stand { contains, before, after, stale: None }
}

/// Whether the reason of `Ready` says that the objects of the attempted revision were applied.
fn has_applied(ready: &Condition) -> bool {
    match ready.reason.as_str() {
        "ReconciliationSucceeded" | "HealthCheckFailed" | "HealthCheckCanceled" | "PruneFailed" => true,
        "Progressing" | "ProgressingWithRetry" => ready.message.contains("health check"),
        _ => false,
    }
}

fn source_contains(question: &Question, source: Option<&Object>) -> Contains {
    let revision = match source.map(|source| &source.body) {
        Some(Body::Source(it)) => it.artifact.as_ref().map(|artifact| artifact.revision.clone()),
        Some(Body::HelmChart(it)) => it.observed_source_revision.clone(),
        _ => None,
    };
    revision.map_or(Contains::Unknown, |revision| question.git.contained(&[revision]))
}

/// A controller of Flux and what is known of its revisions.
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
        // Ready and of this generation with nothing known of Git: nothing says that it is not applied.
        if let Some(found) = self.at_source(question, source) {
            return Some(found);
        }
        let ready = condition(self.conditions, "Ready");
        let verdict = flux::kustomization(self.world, self.object, it);
        if self.attempted == Contains::No {
            return Some(self.behind(verdict.cause, ready));
        }
        match (verdict.verdict, verdict.cause, ready) {
            (Verdict::Current, ..) => None,
            (_, Some(cause), Some(ready)) if ready.status == ConditionStatus::False && !has_applied(ready) => {
                let rung = if cause.code == CauseCode::FetchFailed {
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

    /// The source has the change, and the Kustomization has not tried it.
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

    /// What keeps the source from having the change.
    fn at_source(&self, question: &Question, source: Option<&Object>) -> Option<Landing> {
        let source = source?;
        let has = source_contains(question, Some(source));
        let Body::Source(it) = &source.body else { return None };
        if has == Contains::Yes || (self.fetched == Contains::Yes) {
            return None;
        }
        let found = assess(self.world, source);
        match (found.verdict, found.cause) {
            (Verdict::Paused, Some(cause)) => return Some(paused(Rung::Fetched, cause)),
            (Verdict::Failed, Some(cause)) => return Some(stuck(Rung::Fetched, cause)),
            (Verdict::Unknown, cause) => return Some(landing(State::Unknown, Some(Rung::Fetched), cause)),
            _ => {}
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

/// A reference that does not move. `commit` wins over everything, `name` over the rest.
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
    let Some(live) = live else { return by_itself(step, it) };
    let current = it.last_applied.iter().chain(&it.last_applied_origin).cloned().collect::<Vec<_>>();
    if applied == Contains::No && listed {
        let newest = it.history.iter().position(|entry| contains(question, entry.revision.as_ref()));
        let older = newest.map_or(&[][..], |at| &it.history[at + 1..]);
        let back = older.iter().any(|entry| entry.revision.as_ref().is_some_and(|revision| current.contains(revision)));
        let what = if back { Passed::RolledBack } else { Passed::Superseded };
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
            Passed::Superseded,
            vec![format!("lastAppliedRevision declares {declared}")],
        );
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
    for (key, value) in &live.object.annotations {
        if key == "kustomize.toolkit.fluxcd.io/ssa"
            || (key == "kustomize.toolkit.fluxcd.io/reconcile" && value == "disabled")
        {
            found.push(format!("annotation of {}: {key}: {value}", live.object.label()));
        }
    }
    if applied == Contains::Unknown && found.is_empty() {
        let message = format!("{} is applied, and {} runs {}", object.label(), live.object.label(), live.version);
        let next =
            "say which commit carries the image (`--revision SHA`), so that it can be told whether it was applied";
        let made = cause::make(CauseCode::Unknown, message, Vec::new(), next);
        return landing(State::Unknown, Some(Rung::Fetched), made);
    }
    let message =
        format!("{} has applied the change, but {} runs {}", object.label(), live.object.label(), live.version);
    let next = if found.is_empty() {
        "look for what sets the image after the build: patches, variables, a webhook".to_owned()
    } else {
        format!("remove the override, or change the version there: {}", found.join("; "))
    };
    landing(State::Shadowed, None, cause::make(CauseCode::Shadowed, message, found, next))
}

fn contains(question: &Question, revision: Option<&Revision>) -> bool {
    revision.is_some_and(|revision| question.git.contained(std::slice::from_ref(revision)) == Contains::Yes)
}

/// Without any workload at hand: health checks say how it is, but not which image it is.
fn by_itself(step: &Step<'_>, it: &Kustomization) -> Landing {
    let found = flux::kustomization(step.world, step.object, it);
    match (found.verdict, found.cause) {
        (Verdict::Failed, cause) => landing(State::Stuck, Some(Rung::Running), cause),
        (Verdict::Progressing, cause) => landing(State::Pending, Some(Rung::Running), cause),
        (Verdict::Unknown, cause) => landing(State::Unknown, Some(Rung::Running), cause),
        _ => {
            let next = "add the workloads to the dump: a Kustomization alone does not show which image is live";
            unproven(Rung::Applied, step.object, "nothing shows which image is live", next)
        }
    }
}

/// Where a HelmRelease stands.
pub(super) fn helm_release<'a>(
    world: &'a World<'a>,
    question: &'a Question,
    object: &'a Object,
    it: &'a HelmRelease,
    live: Option<&Live<'_>>,
) -> Stand {
    let source = chart_source(world, object, it);
    let fetched = source_contains(question, source);
    let before = before_release(world, object, it, source);
    let after = after_release(world, question, object, it, live, fetched);
    Stand { contains: fetched, before, after, stale: None }
}

/// The Git or OCI source of the chart, where it is known.
fn chart_source<'a>(world: &World<'a>, object: &Object, it: &HelmRelease) -> Option<&'a Object> {
    let to = it.chart.as_ref().map(|chart| &chart.source_ref).or(it.chart_ref.as_ref())?;
    let kind = to.kind.clone().unwrap_or_else(|| "HelmRepository".to_owned());
    world.referred(object, &ObjectRef { kind: Some(kind.clone()), ..to.clone() }, &kind)
}

fn before_release(world: &World<'_>, object: &Object, it: &HelmRelease, source: Option<&Object>) -> Option<Landing> {
    if it.suspend {
        return Some(paused(Rung::Applied, flux::suspended(object)));
    }
    if let Some(disabled) = flux::disabled(object) {
        return Some(paused(Rung::Applied, disabled));
    }
    if let Some(back) = flux::remediated(object, it) {
        return Some(landing(State::RolledBack, None, back));
    }
    let found = flux::helm_release(world, object, it);
    let ready = condition(&it.conditions, "Ready");
    match (found.verdict, found.cause) {
        (Verdict::Failed, Some(cause)) => {
            // What could not be applied is told apart from what was, and then did not come up.
            let running = ready.is_some_and(|c| {
                c.message.contains("timeout waiting")
                    || c.message.contains("timed out waiting")
                    || c.message.contains("context deadline exceeded")
            });
            let rung = if running && cause.code != CauseCode::Hook { Rung::Running } else { Rung::Applied };
            Some(stuck(rung, cause))
        }
        (Verdict::Current, _) if !is_deployed(it) => {
            let message =
                format!("{} is Ready, but its last release is not the values that it has now", object.label());
            let evidence = it.history.first().map(|last| {
                format!(
                    "history[0]: {} {}",
                    last.chart_version.as_deref().unwrap_or_default(),
                    last.status.as_deref().unwrap_or_default()
                )
            });
            let next = cause::next(CauseCode::NotReady, object, None);
            let made = cause::make(CauseCode::NotReady, message, evidence.into_iter().collect(), next);
            Some(pending(Rung::Applied, made))
        }
        (Verdict::Current, _) => {
            let of = source.map(|source| assess(world, source))?;
            match (of.verdict, of.cause) {
                (Verdict::Paused, Some(cause)) => Some(paused(Rung::Applied, cause)),
                (Verdict::Failed, Some(cause)) => Some(stuck(Rung::Applied, cause)),
                _ => None,
            }
        }
        (Verdict::Unknown, cause) => Some(landing(State::Unknown, Some(Rung::Applied), cause)),
        (_, cause) => Some(pending(Rung::Applied, cause)),
    }
}

/// The newest release is deployed and made from the values of now.
fn is_deployed(it: &HelmRelease) -> bool {
    let Some(last) = it.history.first() else { return true };
    let same = match (&last.config_digest, &it.last_attempted_config_digest) {
        (Some(last), Some(attempted)) => last == attempted,
        _ => true,
    };
    same && last.status.as_deref().is_none_or(|status| status == "deployed")
}

fn after_release(
    world: &World<'_>,
    question: &Question,
    object: &Object,
    it: &HelmRelease,
    live: Option<&Live<'_>>,
    fetched: Contains,
) -> Landing {
    let Some(live) = live else {
        let next = "add the workloads to the dump: a HelmRelease alone does not show which image is live";
        return unproven(Rung::Applied, object, "nothing shows which image is live", next);
    };
    let drift = condition(&it.conditions, "Drifted").filter(|c| c.status == ConditionStatus::True);
    let writer = written_by_hand(live.object);
    if drift.is_some() || writer.is_some() {
        return drifted(live.object, &live.version, writer, "the release declares another version");
    }
    if let Some(frozen) = chart_version(object, it, fetched) {
        return frozen;
    }
    let mut found: Vec<String> = it
        .values_from
        .iter()
        .map(|from| format!("spec.valuesFrom: {} {}", from.kind.as_deref().unwrap_or_default(), from.name))
        .collect();
    if it.has_post_renderers {
        found.push("spec.postRenderers".to_owned());
    }
    let failing = flux::chart_of(world, object, it).map(|chart| assess(world, chart));
    if let Some((Verdict::Failed, Some(cause))) = failing.map(|found| (found.verdict, found.cause)) {
        return stuck(Rung::Applied, cause);
    }
    if found.is_empty() && matches!(question.git, super::Git::Unknown) {
        let message = format!("{} is deployed, and {} runs {}", object.label(), live.object.label(), live.version);
        let next =
            "say which commit carries the image (`--revision SHA`), so that it can be told whether it was applied";
        return landing(
            State::Unknown,
            Some(Rung::Fetched),
            cause::make(CauseCode::Unknown, message, Vec::new(), next),
        );
    }
    let message = format!("{} is deployed, but {} runs {}", object.label(), live.object.label(), live.version);
    let next = if found.is_empty() {
        "render the chart with these values and see what it makes of the image".to_owned()
    } else {
        format!("change the version where it is set: {}", found.join("; "))
    };
    landing(State::Shadowed, None, cause::make(CauseCode::Shadowed, message, found, next))
}

/// A chart from Git is packaged again only when the version in its Chart.yaml changes, unless it is told to follow
/// revisions: values that changed alone never arrive.
fn chart_version(object: &Object, it: &HelmRelease, fetched: Contains) -> Option<Landing> {
    let chart = it.chart.as_ref()?;
    let from_git = matches!(chart.source_ref.kind.as_deref(), Some("GitRepository" | "Bucket"));
    let by_version = chart.reconcile_strategy.as_deref().is_none_or(|strategy| strategy == "ChartVersion");
    if !from_git || !by_version || fetched == Contains::No {
        return None;
    }
    let message = format!(
        "{}: its chart {} is packaged again only when its version changes, and that stayed",
        object.label(),
        chart.chart
    );
    let evidence = vec!["spec.chart.spec.reconcileStrategy: ChartVersion".to_owned()];
    let next = "raise the version in Chart.yaml with each change, or set reconcileStrategy: Revision".to_owned();
    Some(stuck(Rung::Fetched, cause::make(CauseCode::NotFetched, message, evidence, next)))
}
