//! How far a change has come through a HelmRelease. It knows versions of charts, never commits. Whether it has the
//! change is known from the Kustomization that declares it, or from the Git source of its chart.

use crate::model::observation::{ConditionStatus, HelmRelease, Object, ObjectRef, condition};
use crate::model::{CauseCode, Landing, Rung, State, Verdict};

use super::flux::source_contains;
use super::{ControllerProgress, Live, drifted, landing, paused, pending, stuck, unproven, written_by_hand};
use crate::landing::cause::classify::{self, Refusal};
use crate::landing::health::{assess, flux};
use crate::landing::question::{Contains, Question};
use crate::landing::{World, cause};

/// How far a HelmRelease has come.
pub(in crate::landing) fn helm_release<'a>(
    world: &'a World<'a>,
    question: &'a Question,
    object: &'a Object,
    it: &'a HelmRelease,
    live: Option<&Live<'_>>,
) -> ControllerProgress {
    let source = chart_source(world, object, it);
    let fetched = source_contains(question, source);
    let before = before_release(world, object, it, source);
    let after = after_release(world, question, object, it, live, fetched);
    ControllerProgress { contains: fetched, before, after, stale: None, unfinished: unfinished(object, it) }
}

/// Helm applies before it waits, runs hooks and runs tests: pods may be up long before a release is deployed, tested or
/// has failed. `Ready` sums that up, and leaves out tests whose failures are ignored (`spec.test.ignoreFailures`); source:
/// helm-controller, `internal/reconcile/release.go`, `summarize`.
fn unfinished(object: &Object, it: &HelmRelease) -> Option<Landing> {
    let tried = it.last_attempted_generation.is_some() && it.last_attempted_generation == object.generation;
    let untried = it.last_attempted_generation.is_some() && !tried;
    let ready = condition(&it.conditions, "Ready");
    let is = |status| ready.is_some_and(|ready| ready.status == status);
    // Where tests count, nothing but their success ends a release.
    if it.suspend || untried || !(tried || it.is_tested) || is(ConditionStatus::True) {
        return None;
    }
    let tests = condition(&it.conditions, "TestSuccess").filter(|_| it.is_tested);
    let failed_tests = tests.filter(|tests| tests.status == ConditionStatus::False);
    let failures = ["InstallFailed", "UpgradeFailed", "TestFailed"];
    let failed = ready
        .filter(|ready| ready.status == ConditionStatus::False && failures.contains(&ready.reason.as_str()))
        // Once its retries are spent, `Ready` says only that.
        .or(failed_tests.filter(|_| !is(ConditionStatus::Unknown)));
    if let Some(why) = failed {
        let made = cause::of_condition(object, flux::release_code(why), why);
        let outage = classify::refusal(&why.message).is_some_and(Refusal::mends_by_waiting);
        return Some(if outage { pending(Rung::Running, made) } else { stuck(Rung::Running, made) });
    }
    // A trouble that came later, such as with the chart's source, takes no success back.
    let untested = it.is_tested && tests.is_none_or(|tests| tests.status != ConditionStatus::True);
    let going = untested || (is(ConditionStatus::Unknown) && !is_deployed(it));
    going.then(|| {
        let message = format!("{}: Helm has not finished with the current values yet", object.label());
        let last = it.history.first();
        let status = last.and_then(|last| last.status.as_deref()).unwrap_or("none");
        let mut evidence: Vec<String> = ready.map(cause::evidence).into_iter().collect();
        evidence.push(format!("history[0].status: {status}"));
        evidence.extend(tests.map(cause::evidence));
        pending(
            Rung::Running,
            cause::make(
                CauseCode::NotReady,
                message,
                evidence,
                "wait for Helm: it may be waiting for pods, or running hooks or tests",
            ),
        )
    })
}

/// The chart's Git or OCI source, if known.
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
            // Separates "could not be applied" from "was applied and did not come up".
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
                format!("{} is Ready, but its last release was not made from its current values", object.label());
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

/// Whether the newest release is deployed and was made from the current values.
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
    if found.is_empty() && matches!(question.git, crate::landing::Git::Unknown) {
        let message = format!("{} is deployed, and {} runs {}", object.label(), live.object.label(), live.version);
        let next =
            "say which commit carries the image (`--revision SHA`), so that Landfall can check whether it was applied";
        return landing(
            State::Unknown,
            Some(Rung::Fetched),
            cause::make(CauseCode::Unknown, message, Vec::new(), next),
        );
    }
    let message = format!("{} is deployed, but {} runs {}", object.label(), live.object.label(), live.version);
    let next = if found.is_empty() {
        "render the chart with these values and check which image comes out".to_owned()
    } else {
        format!("change the version where it is set: {}", found.join("; "))
    };
    landing(State::Shadowed, None, cause::make(CauseCode::Shadowed, message, found, next))
}

/// A chart from Git is repackaged only when the version in its Chart.yaml changes, unless it follows revisions.
/// Otherwise a change of its values alone never arrives.
fn chart_version(object: &Object, it: &HelmRelease, fetched: Contains) -> Option<Landing> {
    let chart = it.chart.as_ref()?;
    let from_git = matches!(chart.source_ref.kind.as_deref(), Some("GitRepository" | "Bucket"));
    let by_version = chart.reconcile_strategy.as_deref().is_none_or(|strategy| strategy == "ChartVersion");
    if !from_git || !by_version || fetched == Contains::No {
        return None;
    }
    let message = format!(
        "{}: its chart {} is repackaged only when its version changes, and the version has not changed",
        object.label(),
        chart.chart
    );
    let evidence = vec!["spec.chart.spec.reconcileStrategy: ChartVersion".to_owned()];
    let next = "raise the version in Chart.yaml with each change, or set reconcileStrategy: Revision".to_owned();
    Some(stuck(Rung::Fetched, cause::make(CauseCode::NotFetched, message, evidence, next)))
}
