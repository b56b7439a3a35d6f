//! The health of Argo CD Applications and ApplicationSets.
//!
//! Argo CD's health cannot be trusted as it is: it is older than the last sync until the controller has reconciled
//! again, it ignores pods, and it does not change while the controller cannot compare.

use jiff::{SignedDuration, Timestamp};

use crate::model::observation::{
    AppSource, Application, ApplicationSet, AutoSync, ConditionStatus, ManagedResource, Object, OperationState,
    ResourceResult, condition,
};
use crate::model::{Cause, CauseCode, Verdict};

use super::{Assessment, assess};
use crate::landing::cause::classify::{self, Refusal, RenderFailure, Subject};
use crate::landing::{World, cause, window};

/// Judges an Application.
pub(in crate::landing) fn application(world: &World<'_>, object: &Object, app: &Application) -> Assessment {
    if let Some(frozen) = frozen(object) {
        return Assessment::because(Verdict::Paused, frozen);
    }
    if let Some((failure, error)) = error(object, app) {
        let verdict = if failure.mends_by_waiting() { Verdict::Unknown } else { Verdict::Failed };
        return Assessment::because(verdict, error);
    }
    if let Some(stale) = stale(world, object, app) {
        return Assessment::because(Verdict::Unknown, stale);
    }
    if let Some(old) = about_old_spec(object, app) {
        return Assessment::because(Verdict::Progressing, old);
    }
    if let Some(found) = operation(world, object, app) {
        return found;
    }
    match app.sync_status.as_deref() {
        Some("Synced") => health(world, object, app),
        Some("OutOfSync") => out_of_sync(world, object, app),
        _ => unknown(object, "its sync status is unknown"),
    }
}

fn unknown(object: &Object, why: &str) -> Assessment {
    let message = format!("{}: {why}", object.label());
    let next = format!("ask for a refresh, then look again: `argocd app get {} --refresh`", object.name);
    Assessment::because(Verdict::Unknown, cause::make(CauseCode::Unknown, message, Vec::new(), next))
}

/// `skip-reconcile`: the status does not change.
pub(in crate::landing) fn frozen(object: &Object) -> Option<Cause> {
    let key = "argocd.argoproj.io/skip-reconcile";
    (object.annotations.get(key)? == "true").then(|| {
        let message = format!("{} is not reconciled: annotation {key} is set", object.label());
        let next = format!(
            "remove the annotation: `kubectl {}annotate application {} {key}-`",
            cause::in_namespace(object),
            object.name
        );
        cause::make(CauseCode::Suspended, message, vec![format!("{key}: true")], next)
    })
}

/// What keeps the controller from comparing at all.
pub(in crate::landing) fn error(object: &Object, app: &Application) -> Option<(RenderFailure, Cause)> {
    let found = app.conditions.iter().find(|c| matches!(c.kind.as_str(), "ComparisonError" | "InvalidSpecError"))?;
    let failure = classify::render(&found.message);
    let what = match failure {
        RenderFailure::Cluster => "the destination cluster cannot be reached: ",
        RenderFailure::RepoServer => "Argo CD's repo-server does not answer: ",
        RenderFailure::Cache => "Argo CD's own cache refuses it or does not answer: ",
        _ => "",
    };
    let message = format!("{}: {what}{}", object.label(), found.message);
    let next = cause::next_for_render(failure, object);
    let evidence = vec![format!("condition {}: {}", found.kind, found.message)];
    Some((failure, cause::make(failure.code(), message, evidence, next)))
}

/// When the controller last reconciled; if it does not say, when it last did anything.
fn last_sign(app: &Application) -> Option<Timestamp> {
    let deployed = app.history.iter().filter_map(|entry| entry.deployed_at);
    let finished = app.operation.as_ref().and_then(|operation| operation.finished_at.or(operation.started_at));
    app.reconciled_at.or_else(|| deployed.chain(finished).chain(app.health_since).max())
}

/// Set if the status is too old to be trusted.
pub(in crate::landing) fn stale(world: &World<'_>, object: &Object, app: &Application) -> Option<Cause> {
    let too_large = app.conditions.iter().find(|c| c.kind == "UnknownError");
    let (why, evidence) = if let Some(found) = too_large {
        ("its status cannot be written".to_owned(), format!("condition UnknownError: {}", found.message))
    } else {
        let at = last_sign(app).filter(|at| world.is_stale(*at))?;
        let age = world.since(at).as_secs() / 60;
        let field = if app.reconciled_at.is_some() { "status.reconciledAt" } else { "newest time of the status" };
        (format!("its status is {age} min old"), format!("{field} {at}"))
    };
    let message = format!("{}: {why}: it may be out of date", object.label());
    let next =
        "check whether the application controller is running and not overloaded: look at its pods and log".to_owned();
    let mut lines = vec![evidence];
    if let Some(refresh) = object.annotations.get("argocd.argoproj.io/refresh") {
        lines.push(format!("a requested refresh was not handled: argocd.argoproj.io/refresh: {refresh}"));
    }
    Some(cause::make(CauseCode::Stale, message, lines, next))
}

/// `comparedTo` is what the status is about; if it differs from the specification, the status is about an old one.
pub(in crate::landing) fn about_old_spec(object: &Object, app: &Application) -> Option<Cause> {
    let compared = app.compared_to.as_ref()?;
    let same = |a: &AppSource, b: &AppSource| {
        let target = |source: &AppSource| source.target_revision.clone().filter(|t| !t.is_empty() && t != "HEAD");
        a.repo_url == b.repo_url && a.path == b.path && a.chart == b.chart && target(a) == target(b)
    };
    let matches = compared.len() == app.sources.len() && compared.iter().zip(&app.sources).all(|(a, b)| same(a, b));
    // A hydrator compares with what it wrote, not with the dry source.
    if matches || compared.is_empty() || app.hydrator.is_some() {
        return None;
    }
    let message = format!("{}: its source was changed and has not been compared yet", object.label());
    let evidence = vec!["status.sync.comparedTo differs from spec".to_owned()];
    Some(cause::make(CauseCode::Stale, message, evidence, cause::next(CauseCode::NotFetched, object, None)))
}

/// What the last operation says, if it decides the matter.
fn operation(world: &World<'_>, object: &Object, app: &Application) -> Option<Assessment> {
    let operation = app.operation.as_ref()?;
    match operation.phase.as_deref() {
        Some("Running" | "Terminating") => {
            let flight = in_flight(world, object, app, operation);
            let verdict = match (&flight.cause, flight.hard) {
                (Some(cause), _) if cause.code == CauseCode::WindowClosed => Verdict::Paused,
                (_, true) => Verdict::Failed,
                _ => Verdict::Progressing,
            };
            Some(Assessment { verdict, cause: flight.cause })
        }
        Some("Failed" | "Error") => {
            // Once another revision has been compared, automated sync tries that one.
            let other = !app.sync_revisions.is_empty() && operation.revisions != app.sync_revisions;
            if other && app.auto_sync != AutoSync::Off && !operation.revisions.is_empty() {
                return None;
            }
            let synced = app.sync_status.as_deref() == Some("Synced");
            let failed = failure(object, operation);
            (!synced || failed.code == CauseCode::Hook).then(|| Assessment::because(Verdict::Failed, failed))
        }
        _ => {
            let error = app.conditions.iter().find(|c| c.kind == "SyncError")?;
            if app.sync_status.as_deref() == Some("Synced") {
                return None;
            }
            Some(Assessment::because(Verdict::Failed, sync_error(object, &error.message)))
        }
    }
}

/// `SyncError`: what the last operation reported, available even if its state is gone.
pub(in crate::landing) fn sync_error(object: &Object, said: &str) -> Cause {
    let message = format!("{}: {said}", object.label());
    cause::refused(object, CauseCode::SyncFailed, said, message, Vec::new())
}

/// A running operation.
pub(in crate::landing) struct Flight {
    /// What it is waiting for, or why it fails.
    pub(in crate::landing) cause: Option<Cause>,
    /// Whether waiting alone will not help.
    pub(in crate::landing) hard: bool,
}

/// Reads a running operation. `Running` with `finishedAt` means that it is waiting to retry.
pub(in crate::landing) fn in_flight(
    world: &World<'_>,
    object: &Object,
    app: &Application,
    operation: &OperationState,
) -> Flight {
    let said = operation.message.as_deref().unwrap_or_default();
    if said.contains("blocked by sync window") {
        let made = window::closed(world, object, app).unwrap_or_else(|| {
            let message = format!("{}: {said}", object.label());
            cause::make(
                CauseCode::WindowClosed,
                message,
                Vec::new(),
                cause::next(CauseCode::WindowClosed, object, None),
            )
        });
        return Flight { cause: Some(made), hard: false };
    }
    if operation.finished_at.is_some() || said.contains("Retrying attempt") {
        let mut failed = failure(object, operation);
        let count = operation.retry_count.unwrap_or(0);
        failed.evidence.push(cause::clean(&format!("it tries again (retryCount {count}): {said}")));
        let hard = refused(operation).1.is_some_and(Refusal::is_final);
        return Flight { cause: Some(failed), hard };
    }
    let hook_failed = operation.resources.iter().any(is_failed_hook);
    if hook_failed || said.contains("waiting for completion of hook") {
        return waits_for(world, object, app, said, "completion of hook ", CauseCode::Hook, hook_failed);
    }
    if said.contains("waiting for healthy state of") {
        return waits_for(world, object, app, said, "healthy state of ", CauseCode::Dependency, false);
    }
    Flight { cause: None, hard: false }
}

/// `waiting for … apps/StatefulSet/x and 8 more resources`: looks at that object, if it is known.
fn waits_for(
    world: &World<'_>,
    object: &Object,
    app: &Application,
    said: &str,
    before: &str,
    code: CauseCode,
    hard: bool,
) -> Flight {
    let named = said.split_once(before).map(|(_, rest)| rest.split([' ', ',']).next().unwrap_or(rest));
    let mut parts = named.unwrap_or_default().rsplit('/');
    let (name, kind) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    let place = app.destination.namespace.as_deref().unwrap_or_default();
    let target = world.named(kind, place, name).next().or_else(|| world.anywhere(kind, name).next());
    let mut evidence = vec![format!("operation: {said}")];
    let message = format!("{}: its sync is {said}", object.label());
    let Some(target) = target else {
        let gone = code == CauseCode::Hook && !name.is_empty();
        let next = if gone { end_operation(object) } else { cause::next(code, object, None) };
        let what = if gone {
            format!(
                ", but {kind} {name} no longer exists: it was deleted (by its TTL or by hand) before Argo CD saw it finish"
            )
        } else {
            String::new()
        };
        let started = app.operation.as_ref().and_then(|operation| operation.started_at);
        let long = started.is_some_and(|at| world.since(at) > HOOK_APPEARS);
        let made = cause::make(code, format!("{message}{what}"), evidence, next);
        return Flight { cause: Some(made), hard: hard || (gone && long) };
    };
    let found = assess(world, target);
    let broken = hard || found.verdict == Verdict::Failed;
    let Some(why) = found.cause else {
        let next = cause::next(code, object, None);
        return Flight { cause: Some(cause::make(code, message, evidence, next)), hard: broken };
    };
    evidence.extend(why.evidence);
    let made = cause::make(code, format!("{message}; {}", why.message), evidence, why.next);
    // A hook that cannot be scheduled or pulled says nothing about the version; an earlier wave is another app's.
    let blame = if code == CauseCode::Hook { why.blame } else { made.blame };
    Flight { cause: Some(Cause { blame, ..made }), hard: broken }
}

/// A hook that has not appeared this long after the operation started never will.
const HOOK_APPEARS: SignedDuration = SignedDuration::from_mins(5);

/// How to end an operation that waits for something that will never happen.
fn end_operation(object: &Object) -> String {
    format!(
        "terminate the operation that waits for it: `argocd app terminate-op {name}`, then sync again: `argocd app sync {name}`",
        name = object.name
    )
}

/// Whether the operation is not tried again.
fn has_ended(operation: &OperationState) -> bool {
    matches!(operation.phase.as_deref(), Some("Failed" | "Error"))
}

/// After an outage. A failed operation is not repeated for the same revision.
fn sync_again(object: &Object) -> String {
    format!(
        "once what the message names answers again, sync again: `argocd app sync {}`; automated sync does not retry a failed \
         revision",
        object.name
    )
}

/// After a failed hook: the operation has ended with it.
fn hook_failed(object: &Object, hook: Option<&ResourceResult>) -> String {
    let log = hook.filter(|hook| hook.kind == "Job").map_or_else(
        || "the log of the hook's pod".to_owned(),
        |hook| {
            let place = hook.namespace.as_ref().map_or_else(String::new, |namespace| format!("-n {namespace} "));
            format!("the log of its pod, if the Job still exists: `kubectl {place}logs job/{}`", hook.name)
        },
    );
    format!("read {log}; once the cause is mended, sync again: `argocd app sync {}`", object.name)
}

fn is_failed_hook(result: &ResourceResult) -> bool {
    let is_hook = result.hook_type.as_deref().is_some_and(|kind| !kind.is_empty());
    is_hook && matches!(result.hook_phase.as_deref(), Some("Failed" | "Error"))
}

/// Why an operation failed: the most specific message, and what it means.
fn refused(operation: &OperationState) -> (&str, Option<Refusal>) {
    let summary = operation.message.as_deref().unwrap_or("no reason given");
    let failed = operation.resources.iter().find(|it| it.status.as_deref() == Some("SyncFailed"));
    let said = failed.and_then(|it| it.message.as_deref()).unwrap_or(summary);
    (said, classify::refusal(said).or_else(|| classify::refusal(summary)))
}

/// Whether a hook of an operation failed that runs with or after what it applies.
pub(in crate::landing) fn has_failed_hook_after_sync(operation: &OperationState) -> bool {
    let after = |it: &ResourceResult| !matches!(it.hook_type.as_deref(), Some("PreSync" | "SyncFail"));
    operation.resources.iter().any(|it| is_failed_hook(it) && after(it))
}

/// The cause of a failed operation: the first refused object says more than the summary.
pub(in crate::landing) fn failure(object: &Object, operation: &OperationState) -> Cause {
    let summary = operation.message.as_deref().unwrap_or("no reason given");
    let failed: Vec<&ResourceResult> =
        operation.resources.iter().filter(|it| it.status.as_deref() == Some("SyncFailed")).collect();
    let hook = operation.resources.iter().find(|it| is_failed_hook(it));
    let (words, refusal) = refused(operation);
    let of_refusal = refusal.map(|refusal| refusal.code(CauseCode::SyncFailed));
    let (code, said) = match (failed.first(), hook) {
        (Some(it), _) => (of_refusal, format!("{} {}: {words}", it.kind, it.name)),
        (None, Some(it)) => {
            let said = it.message.as_deref().unwrap_or(summary);
            (Some(CauseCode::Hook), format!("hook {} {}: {said}", it.kind, it.name))
        }
        (None, None) => (of_refusal, summary.to_owned()),
    };
    let of = operation.revisions.first().map_or_else(String::new, |revision| format!(" of {}", revision.short()));
    let message = format!("{}: sync{of} failed: {said}", object.label());
    let mut evidence = vec![format!("operation {}: {summary}", operation.phase.as_deref().unwrap_or("none"))];
    for it in failed.iter().copied().chain(hook).take(5) {
        let place = it.namespace.as_deref().map_or_else(String::new, |namespace| format!("{namespace}/"));
        let state =
            it.hook_phase.as_deref().filter(|_| is_failed_hook(it)).or(it.status.as_deref()).unwrap_or_default();
        evidence.push(format!(
            "{} {place}{}: {state}: {}",
            it.kind,
            it.name,
            it.message.as_deref().unwrap_or_default()
        ));
    }
    let subject = failed.first().map(|it| Subject {
        kind: it.kind.clone(),
        namespace: it.namespace.clone(),
        name: it.name.clone(),
    });
    let next = match (code, refusal) {
        (_, Some(refusal)) if refusal.mends_by_waiting() && has_ended(operation) => sync_again(object),
        (Some(code), Some(refusal)) if refusal.code(code) == code => cause::next_for(refusal, object, subject.as_ref()),
        (Some(CauseCode::Hook), _) => hook_failed(object, hook),
        (Some(code), _) => cause::next(code, object, None),
        (None, _) => format!(
            "fix what it reports and commit: automated sync does not retry the same revision (or sync by hand: `argocd app sync {}`)",
            object.name
        ),
    };
    let made = cause::make(code.unwrap_or(CauseCode::SyncFailed), message, evidence, next);
    match refusal.map(Refusal::blame) {
        Some(blame) if hook.is_none() => Cause { blame, ..made },
        _ => made,
    }
}

fn out_of_sync(world: &World<'_>, object: &Object, app: &Application) -> Assessment {
    if let Some(paused) = not_automatic(object, app).or_else(|| window::closed(world, object, app)) {
        return Assessment::because(Verdict::Paused, paused);
    }
    let names: Vec<String> = out_of_sync_resources(app);
    if is_applied(app) && only_leftovers(world, app) {
        return health(world, object, app);
    }
    if is_applied(app) {
        let message = format!(
            "{} is OutOfSync although this revision was applied: something changed in the cluster",
            object.label()
        );
        let made = cause::make(CauseCode::Drifted, message, names, cause::next(CauseCode::Drifted, object, None));
        let heals = app.auto_sync == AutoSync::SelfHeal;
        return Assessment::because(if heals { Verdict::Progressing } else { Verdict::Failed }, made);
    }
    let message = format!("{} is OutOfSync and its automated sync has not begun", object.label());
    let made = cause::make(CauseCode::NotReady, message, names, format!("wait, or `argocd app sync {}`", object.name));
    Assessment::because(Verdict::Progressing, made)
}

/// Whether all differences are harmless leftovers: objects that Git no longer declares and that are not pruned, and
/// finished Jobs that Kubernetes removed.
pub(in crate::landing) fn only_leftovers(world: &World<'_>, app: &Application) -> bool {
    let differing: Vec<&ManagedResource> =
        app.resources.iter().flatten().filter(|it| it.status.as_deref() == Some("OutOfSync")).collect();
    !differing.is_empty() && differing.iter().all(|it| it.requires_pruning || is_removed_job(world, it))
}

/// A Job that no longer exists: its template cannot have been changed by hand.
fn is_removed_job(world: &World<'_>, it: &ManagedResource) -> bool {
    let namespace = it.namespace.as_deref().unwrap_or_default();
    it.kind == "Job"
        && (it.health.as_deref() == Some("Missing") || world.named("Job", namespace, &it.name).next().is_none())
}

/// The resources that are out of sync, as evidence.
pub(in crate::landing) fn out_of_sync_resources(app: &Application) -> Vec<String> {
    let differing = app.resources.iter().flatten().filter(|it| it.status.as_deref() == Some("OutOfSync"));
    differing.take(5).map(|it| format!("{} {} is OutOfSync", it.kind, it.name)).collect()
}

/// Whether the compared revision is the one that was last applied in full.
pub(in crate::landing) fn is_applied(app: &Application) -> bool {
    let whole = app.operation.as_ref().filter(|operation| !operation.partial);
    whole.is_some_and(|operation| {
        operation.phase.as_deref() == Some("Succeeded")
            && !operation.revisions.is_empty()
            && operation.revisions == app.sync_revisions
    })
}

/// Automated sync is off.
pub(in crate::landing) fn not_automatic(object: &Object, app: &Application) -> Option<Cause> {
    (app.auto_sync == AutoSync::Off).then(|| {
        let message = format!("{} is OutOfSync and automated sync is off", object.label());
        let next = format!("sync it by hand, `argocd app sync {}`, or switch automated sync on", object.name);
        cause::make(CauseCode::AutoSyncOff, message, out_of_sync_resources(app), next)
    })
}

fn health(world: &World<'_>, object: &Object, app: &Application) -> Assessment {
    // A Job that failed before this sync started belongs to an earlier version.
    let began = app.operation.as_ref().and_then(|operation| operation.started_at);
    let is_old = |workload: &&Object| workload.kind == "Job" && began.is_some() && workload.created < began;
    let workloads = world.workloads(object).into_iter().filter(|workload| !is_old(workload));
    let mut workloads = workloads.map(|workload| (workload, assess(world, workload)));
    let failing = workloads.find(|(_, found)| found.verdict == Verdict::Failed).and_then(|(_, found)| found.cause);
    if let Some(failing) = failing {
        return Assessment::because(Verdict::Failed, of_child(object, failing));
    }
    let said = app.health_message.as_deref().unwrap_or_default();
    let of = |code, what: &str| {
        let message = format!("{} {what}{}{said}", object.label(), if said.is_empty() { "" } else { ": " });
        let sick = app.resources.iter().flatten().filter(|it| it.health.as_deref().is_some_and(|h| h != "Healthy"));
        let line = |it: &ManagedResource| {
            let (health, message) = (it.health.as_deref().unwrap_or_default(), it.health_message.as_deref());
            format!("{} {}: {health}: {}", it.kind, it.name, message.unwrap_or_default())
        };
        cause::make(code, message, sick.map(line).collect(), cause::next(code, object, None))
    };
    match app.health_status.as_deref() {
        Some(health) if health == "Healthy" || (health == "Missing" && only_jobs_are_missing(world, app)) => {
            match health_before_sync(app) {
                false => Assessment::new(Verdict::Current),
                true => Assessment::because(
                    Verdict::Progressing,
                    of(CauseCode::Stale, "reports Healthy from before its last sync"),
                ),
            }
        }
        Some("Progressing" | "Missing") => {
            Assessment::because(Verdict::Progressing, of(CauseCode::NotReady, "is progressing"))
        }
        Some("Degraded") => Assessment::because(Verdict::Failed, of(CauseCode::NotReady, "is degraded")),
        Some("Suspended") => {
            let paused = world.workloads(object).into_iter().map(|workload| assess(world, workload));
            let paused =
                paused.into_iter().find(|found| found.verdict == Verdict::Paused).and_then(|found| found.cause);
            let made = paused.map_or_else(|| of(CauseCode::Suspended, "is suspended"), |child| of_child(object, child));
            Assessment::because(Verdict::Paused, made)
        }
        _ => unknown(object, "its health is unknown"),
    }
}

fn only_jobs_are_missing(world: &World<'_>, app: &Application) -> bool {
    let missing = |it: &&ManagedResource| it.health.as_deref() == Some("Missing");
    only_leftovers(world, app) && app.resources.iter().flatten().filter(missing).all(|it| is_removed_job(world, it))
}

/// Health is older than the sync until the controller has reconciled again.
pub(in crate::landing) fn health_before_sync(app: &Application) -> bool {
    let finished = app.operation.as_ref().and_then(|operation| operation.finished_at);
    matches!((app.reconciled_at, finished), (Some(looked), Some(finished)) if looked < finished)
}

fn of_child(object: &Object, mut child: Cause) -> Cause {
    child.message = cause::clean(&format!("{}: {}", object.label(), child.message));
    child
}

/// Judges an ApplicationSet by its conditions.
pub(super) fn application_set(object: &Object, set: &ApplicationSet) -> Assessment {
    let of = |kind| condition(&set.conditions, kind).filter(|c| c.status == ConditionStatus::True);
    if let Some(error) = of("ErrorOccurred") {
        return Assessment::because(
            Verdict::Failed,
            cause::of_condition(object, classify::render(&error.message).code(), error),
        );
    }
    if of("RolloutProgressing").is_some() {
        return Assessment::new(Verdict::Progressing);
    }
    if set.conditions.is_empty() {
        return Assessment::new(Verdict::Unknown);
    }
    Assessment::new(Verdict::Current)
}
