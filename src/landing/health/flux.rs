//! The health of Flux objects.
//!
//! A suspended object keeps its old `Ready=True`, and so does a changed one until its controller has reconciled it;
//! both are checked before `Ready` is.

use crate::model::observation::{
    Condition, ConditionStatus, HelmChart, HelmRelease, Kustomization, Object, ObjectRef, Source, condition,
};
use crate::model::{Cause, CauseCode, Verdict};

use super::{Assessment, assess, unobserved};
use crate::landing::cause::classify::{self, ArtifactFailure, Refusal};
use crate::landing::{World, cause};

/// Judges a source.
pub(super) fn source(object: &Object, it: &Source) -> Assessment {
    // A Helm repository in an OCI registry is only an address: its controller does not reconcile it.
    let is_address = object.kind == "HelmRepository" && it.url.as_deref().is_some_and(|url| url.starts_with("oci://"));
    if is_address && !it.suspend && it.conditions.is_empty() {
        return Assessment::new(Verdict::Current);
    }
    let code = |_: &Condition| CauseCode::FetchFailed;
    let found = by_conditions(object, it.suspend, it.observed_generation, &it.conditions, &code);
    // A source that has never fetched anything may have a wrong address just as well.
    let never =
        it.artifact.is_none() && condition(&it.conditions, "Ready").is_some_and(|c| c.reason == "GitOperationFailed");
    match found.verdict {
        Verdict::Progressing if never => Assessment { verdict: Verdict::Failed, ..found },
        _ => found,
    }
}

/// Judges a HelmChart.
pub(super) fn helm_chart(object: &Object, it: &HelmChart) -> Assessment {
    by_conditions(object, it.suspend, it.observed_generation, &it.conditions, &chart_code)
}

fn chart_code(ready: &Condition) -> CauseCode {
    match ready.reason.as_str() {
        "ChartPackageError" | "BuildFailed" | "DependencyBuildError" | "InvalidValuesFiles" => CauseCode::BuildFailed,
        "ChartPullError" | "FetchFailed" | "AuthenticationError" | "InvalidChartReference" => CauseCode::FetchFailed,
        _ => classify::render(&ready.message).code(),
    }
}

/// Judges a Kustomization.
pub(in crate::landing) fn kustomization(world: &World<'_>, object: &Object, it: &Kustomization) -> Assessment {
    if let Some(disabled) = disabled(object) {
        return Assessment::because(Verdict::Paused, disabled);
    }
    let found = by_conditions(object, it.suspend, it.observed_generation, &it.conditions, &kustomization_code);
    let found = with_dependency(world, object, &it.depends_on, "Kustomization", found);
    with_source(world, object, &it.source_ref, with_workloads(world, object, &it.conditions, found))
}

/// The cause code for the `Ready` condition of a Kustomization.
pub(super) fn kustomization_code(ready: &Condition) -> CauseCode {
    match ready.reason.as_str() {
        "ArtifactFailed" => artifact_code(&ready.message),
        "BuildFailed" => CauseCode::BuildFailed,
        "DependencyNotReady" => CauseCode::Dependency,
        "HealthCheckFailed" => classify::health(&ready.message),
        _ => classify::apply(&ready.message, CauseCode::SyncFailed),
    }
}

/// kustomize-controller and helm-controller use one reason for all that may be wrong with an artifact.
fn artifact_code(message: &str) -> CauseCode {
    match classify::artifact(message) {
        ArtifactFailure::Path => CauseCode::BuildFailed,
        ArtifactFailure::Unreachable => CauseCode::Dependency,
        ArtifactFailure::NotYet | ArtifactFailure::Other => CauseCode::FetchFailed,
    }
}

/// Judges a HelmRelease.
pub(in crate::landing) fn helm_release(world: &World<'_>, object: &Object, it: &HelmRelease) -> Assessment {
    if let Some(disabled) = disabled(object) {
        return Assessment::because(Verdict::Paused, disabled);
    }
    if !it.suspend
        && let Some(rolled_back) = remediated(object, it)
    {
        return Assessment::because(Verdict::Failed, rolled_back);
    }
    let found = by_conditions(object, it.suspend, it.observed_generation, &it.conditions, &release_code);
    if let Some(before) = failure_of_before(object, it).filter(|_| found.verdict == Verdict::Failed) {
        return Assessment::because(Verdict::Progressing, before);
    }
    let found = with_dependency(world, object, &it.depends_on, "HelmRelease", found);
    let found = with_workloads(world, object, &it.conditions, found);
    match (&found.cause, chart_of(world, object, it)) {
        (Some(_), Some(chart)) if condition(&it.conditions, "Ready").is_some_and(is_about_source) => {
            with_other(world, object, chart, found)
        }
        _ => found,
    }
}

/// Whether Helm has not tried the current specification: conditions carry its generation before that.
fn is_untried(object: &Object, it: &HelmRelease) -> bool {
    object.generation.is_some() && it.last_attempted_generation.is_some_and(|tried| Some(tried) != object.generation)
}

/// A failure of Helm that remains from the previous specification.
fn failure_of_before(object: &Object, it: &HelmRelease) -> Option<Cause> {
    let ready = condition(&it.conditions, "Ready").filter(|_| is_untried(object, it))?;
    let by_helm =
        ["Install", "Upgrade", "Rollback", "Uninstall", "Test"].iter().any(|action| ready.reason.starts_with(action));
    by_helm.then(|| {
        let message = format!(
            "{}: Helm has not tried its current values yet; the failure was with the previous ones",
            object.label()
        );
        let tried = it.last_attempted_generation.map_or_else(|| "none".to_owned(), |tried| tried.to_string());
        let evidence = vec![
            format!("generation {}, lastAttemptedGeneration {tried}", object.generation.unwrap_or_default()),
            cause::evidence(ready),
        ];
        cause::make(CauseCode::NotReady, message, evidence, "wait for the helm-controller's next attempt")
    })
}

/// The cause code for the `Ready` condition of a HelmRelease.
pub(in crate::landing) fn release_code(ready: &Condition) -> CauseCode {
    let text = ready.message.as_str();
    match ready.reason.as_str() {
        _ if is_about_source(ready) => match classify::artifact(text) {
            ArtifactFailure::NotYet => CauseCode::Dependency,
            _ => artifact_code(text),
        },
        "DependencyNotReady" => CauseCode::Dependency,
        "ValuesError" => CauseCode::ConfigError,
        "TestFailed" => CauseCode::Hook,
        _ if text.contains("timeout waiting") || text.contains("timed out") || text.contains("context deadline") => {
            match classify::refusal(text) {
                Some(Refusal::Hook) => CauseCode::Hook,
                Some(outage) if outage.mends_by_waiting() => outage.code(CauseCode::Dependency),
                _ => classify::health(text),
            }
        }
        _ => classify::apply(text, CauseCode::SyncFailed),
    }
}

/// Whether a HelmRelease has no chart to work with, which is not Helm's failure.
fn is_about_source(ready: &Condition) -> bool {
    let reasons = ["ArtifactFailed", "SourceNotReady", "HelmChartNotReady", "LoadChartError", "ChartPullError"];
    reasons.contains(&ready.reason.as_str())
        || (ready.message.contains("HelmChart") && ready.message.contains("not ready"))
}

/// A remediation that restored the previous version: the old image is live.
pub(in crate::landing) fn remediated(object: &Object, it: &HelmRelease) -> Option<Cause> {
    let found = condition(&it.conditions, "Remediated").filter(|c| c.status == ConditionStatus::True)?;
    // A newer specification has not been tried yet.
    if is_untried(object, it) {
        return None;
    }
    if found.observed_generation.is_some() && found.observed_generation != object.generation {
        return None;
    }
    if !found.reason.starts_with("Rollback") && !found.message.to_lowercase().contains("rollback") {
        return None;
    }
    let ready = condition(&it.conditions, "Ready");
    let released = condition(&it.conditions, "Released");
    let failed =
        released.into_iter().chain(ready).find(|c| c.status == ConditionStatus::False && c.reason != found.reason);
    let why = failed.map_or(found.message.as_str(), |c| c.message.as_str());
    let message = format!("{} was rolled back; the previous version runs: {why}", object.label());
    let evidence = [Some(found), released, ready].into_iter().flatten().map(cause::evidence).collect();
    Some(cause::make(CauseCode::RolledBack, message, evidence, cause::next(CauseCode::RolledBack, object, None)))
}

/// The HelmChart of a HelmRelease.
pub(in crate::landing) fn chart_of<'a>(world: &World<'a>, object: &Object, it: &HelmRelease) -> Option<&'a Object> {
    if let Some((namespace, name)) = it.helm_chart.as_deref().and_then(|text| text.split_once('/')) {
        return world.named("HelmChart", namespace, name).next();
    }
    if let Some(to) = &it.chart_ref {
        return world.referred(object, to, "HelmChart");
    }
    let namespace = it.chart.as_ref().and_then(|c| c.source_ref.namespace.as_deref()).or(object.namespace.as_deref());
    let name = format!("{}-{}", object.namespace.as_deref().unwrap_or_default(), object.name);
    world.named("HelmChart", namespace.unwrap_or_default(), &name).next()
}

/// The annotation that excludes an object from reconciliation.
pub(in crate::landing) fn disabled(object: &Object) -> Option<Cause> {
    let key = "kustomize.toolkit.fluxcd.io/reconcile";
    (object.annotations.get(key)? == "disabled").then(|| {
        let message = format!("{} is not reconciled: annotation {key} is disabled", object.label());
        cause::make(CauseCode::Suspended, message, vec![format!("{key}: disabled")], "remove the annotation")
    })
}

/// `spec.suspend`.
pub(in crate::landing) fn suspended(object: &Object) -> Cause {
    let message = format!("{} is suspended", object.label());
    let kind = match object.kind.as_str() {
        "GitRepository" => "source git",
        "OCIRepository" => "source oci",
        "HelmRepository" => "source helm",
        "HelmChart" => "source chart",
        "HelmRelease" => "helmrelease",
        _ => "kustomization",
    };
    let next =
        format!("resume it when it should go on: `flux {}resume {kind} {}`", cause::in_namespace(object), object.name);
    cause::make(CauseCode::Suspended, message, vec!["spec.suspend: true".to_owned()], next)
}

fn by_conditions(
    object: &Object,
    suspend: bool,
    observed: Option<i64>,
    conditions: &[Condition],
    code: &dyn Fn(&Condition) -> CauseCode,
) -> Assessment {
    if suspend {
        return Assessment::because(Verdict::Paused, suspended(object));
    }
    let ready = condition(conditions, "Ready");
    let stalled = condition(conditions, "Stalled").filter(|c| c.status == ConditionStatus::True);
    if let Some(stalled) = stalled {
        let why = ready.filter(|c| c.status == ConditionStatus::False && c.message.len() > stalled.message.len());
        let mut made = cause::of_condition(object, code(why.unwrap_or(stalled)), why.unwrap_or(stalled));
        cause::add(&mut made, &cause::evidence(stalled));
        return Assessment::because(Verdict::Failed, made);
    }
    let of_this = |c: &&Condition| c.observed_generation.is_none() || c.observed_generation == object.generation;
    let failing = ready.filter(|c| c.status == ConditionStatus::False).filter(of_this);
    if let Some(failing) = failing {
        let verdict = if waits(failing) { Verdict::Progressing } else { Verdict::Failed };
        return Assessment::because(verdict, cause::of_condition(object, code(failing), failing));
    }
    // `observedGeneration` is the last one that finished, so failures of the current one were handled above.
    if let Some(found) = unobserved(object, observed) {
        return found;
    }
    match ready {
        Some(c) if c.status == ConditionStatus::True => {
            let again = condition(conditions, "Reconciling").is_some_and(|c| c.status == ConditionStatus::True);
            match ready.filter(of_this) {
                Some(_) if !again => Assessment::new(Verdict::Current),
                _ => Assessment::new(Verdict::Progressing),
            }
        }
        Some(c) => {
            // "Reconciliation in progress" is temporary; the failure of the last attempt may persist, and other
            // conditions keep it.
            let lasting = |it: &&Condition| {
                matches!(it.kind.as_str(), "Released" | "Healthy" | "TestSuccess")
                    && it.status == ConditionStatus::False
            };
            let kept = conditions.iter().filter(of_this).find(lasting);
            let made = match kept {
                Some(kept) => cause::of_condition(object, code(kept), kept),
                None => cause::of_condition(object, CauseCode::NotReady, c),
            };
            Assessment::because(Verdict::Progressing, made)
        }
        None => {
            let message = format!("{} has no condition Ready", object.label());
            let next = cause::next(CauseCode::Stale, object, None);
            Assessment::because(Verdict::Unknown, cause::make(CauseCode::Unknown, message, Vec::new(), next))
        }
    }
}

/// Whether a controller's failure may be over at its next attempt without anybody changing something.
fn waits(failing: &Condition) -> bool {
    let fetches = matches!(failing.reason.as_str(), "ArtifactFailed" | "SourceNotReady" | "HelmChartNotReady")
        || (failing.message.contains("HelmChart") && failing.message.contains("not ready"));
    let artifact = classify::artifact(&failing.message);
    matches!(failing.reason.as_str(), "DependencyNotReady" | "HealthCheckCanceled" | "Progressing")
        || classify::refusal(&failing.message).is_some_and(Refusal::mends_by_waiting)
        || (fetches && matches!(artifact, ArtifactFailure::NotYet | ArtifactFailure::Unreachable))
        || (failing.reason == "GitOperationFailed" && classify::may_pass(&failing.message))
}

/// A dependency that has itself failed will not become ready by waiting.
fn with_dependency(
    world: &World<'_>,
    object: &Object,
    depends_on: &[ObjectRef],
    kind: &str,
    found: Assessment,
) -> Assessment {
    if found.cause.as_ref().is_none_or(|cause| cause.code != CauseCode::Dependency) {
        return found;
    }
    let mut out = found;
    for to in depends_on {
        let Some(target) = world.referred(object, &ObjectRef { kind: Some(kind.to_owned()), ..to.clone() }, kind)
        else {
            continue;
        };
        let (broken, why) = plain(target);
        if let (Some(cause), Some(why)) = (&mut out.cause, why) {
            cause::add(cause, &why);
        }
        if broken {
            out.verdict = Verdict::Failed;
        }
    }
    out
}

/// Whether an object has failed by its own conditions, without looking at what it depends on: dependencies may form
/// cycles.
fn plain(object: &Object) -> (bool, Option<String>) {
    use crate::model::observation::Body;
    let (conditions, suspend) = match &object.body {
        Body::Kustomization(it) => (&it.conditions, it.suspend),
        Body::HelmRelease(it) => (&it.conditions, it.suspend),
        _ => return (false, None),
    };
    if suspend {
        return (true, Some(format!("{} is suspended", object.label())));
    }
    let failing = condition(conditions, "Ready").filter(|c| c.status == ConditionStatus::False);
    (failing.is_some_and(|c| !waits(c)), failing.map(|c| format!("{}: {}", object.label(), cause::evidence(c))))
}

/// Explains a failed health check by the workload that it waited for.
fn with_workloads(world: &World<'_>, object: &Object, conditions: &[Condition], found: Assessment) -> Assessment {
    let ready = condition(conditions, "Ready");
    let timed_out = ready.is_some_and(|c| {
        c.reason == "HealthCheckFailed"
            || c.message.contains("timeout waiting")
            || c.message.contains("timed out waiting")
    });
    let paused = matches!(found.verdict, Verdict::Paused);
    let workloads = world.workloads(object);
    let failing = workloads.iter().map(|workload| assess(world, workload)).find(|w| w.verdict == Verdict::Failed);
    match failing.and_then(|failing| failing.cause) {
        // Without health checks, Ready says nothing about pods.
        Some(child) if !paused && (timed_out || found.verdict == Verdict::Current) => {
            let mut child = child;
            child.message = cause::clean(&format!("{}: {}", object.label(), child.message));
            if let Some(ready) = ready {
                cause::add(&mut child, &cause::evidence(ready));
            }
            Assessment::because(Verdict::Failed, child)
        }
        _ => found,
    }
}

/// Explains "Source artifact not found" by the source.
fn with_source(world: &World<'_>, object: &Object, to: &ObjectRef, found: Assessment) -> Assessment {
    let fetch = found.cause.as_ref().is_some_and(|cause| cause.code == CauseCode::FetchFailed);
    let Some(source) = world.referred(object, to, "GitRepository").filter(|_| fetch) else { return found };
    match assess(world, source).verdict {
        // It has not fetched yet, or has only just: the next attempt finds the artifact.
        Verdict::Progressing | Verdict::Current => {
            let message = format!("{} waits for {}, which has not fetched yet", object.label(), source.label());
            let evidence = found.cause.map(|cause| cause.message).into_iter().collect();
            let next = cause::next(CauseCode::NotFetched, object, None);
            Assessment::because(Verdict::Progressing, cause::make(CauseCode::NotFetched, message, evidence, next))
        }
        _ => with_other(world, object, source, found),
    }
}

fn with_other(world: &World<'_>, object: &Object, other: &Object, found: Assessment) -> Assessment {
    let of = assess(world, other);
    match (of.verdict, of.cause) {
        (Verdict::Failed, Some(why)) => {
            let mut made = why;
            made.message = cause::clean(&format!("{}: {}", object.label(), made.message));
            if let Some(found) = found.cause {
                cause::add(&mut made, &found.message);
            }
            Assessment::because(Verdict::Failed, made)
        }
        _ => found,
    }
}
