//! How far a change has come through an Argo CD Application.
//!
//! `status.sync.revision` is what was compared, not what was applied. After a failed render it holds the unresolved
//! name. A retried operation stays with the revision it started with. The history holds only complete, successful
//! syncs, and none for commits that change nothing.

use crate::model::observation::{Application, AutoSync, Body, Object, OperationState, Revision};
use crate::model::{CauseCode, ImageReference, Landing, Rung, State};

use super::on_demand::{self, Applied};
use super::{
    ControllerProgress, LeftBehind, Live, drifted, landing, not_fetched, passed, paused, pending, pinned, rung_for,
    stuck, unproven, written_by_hand,
};
use crate::landing::cause::classify::{self, Hydration, RenderFailure};
use crate::landing::health::argo;
use crate::landing::image::{Carries, SameImage, carries, same_image};
use crate::landing::question::{Contains, Question};
use crate::landing::{World, cause, window};

/// Everything the decision depends on.
struct At<'a> {
    world: &'a World<'a>,
    question: &'a Question,
    object: &'a Object,
    app: &'a Application,
    live: Option<&'a Live<'a>>,
    /// Whether the compared revision contains the change.
    compared: Contains,
    /// Whether the last applied revision contains it.
    applied: Contains,
}

/// How far an Application has come.
pub(in crate::landing) fn progress<'a>(
    world: &'a World<'a>,
    question: &'a Question,
    object: &'a Object,
    app: &'a Application,
    live: Option<&'a Live<'a>>,
) -> ControllerProgress {
    let git = &question.git;
    let dry: Vec<Revision> = app.hydration.iter().filter_map(|it| it.last_dry_sha.clone()).collect();
    let hydrated = app.hydrator.is_some() || app.hydration.is_some();
    let compared = if hydrated { git.contained(&dry) } else { git.contained(&app.sync_revisions) };
    let succeeded = app.operation.as_ref().filter(|it| it.phase.as_deref() == Some("Succeeded") && !it.partial);
    let applied = succeeded.map_or(Contains::Unknown, |it| git.contained(&it.revisions));
    let listed = app.history.iter().any(|entry| git.contained(&entry.revisions) == Contains::Yes);
    let at = At { world, question, object, app, live, compared, applied };
    let before = before(&at, listed);
    let contains = match compared {
        Contains::Yes => Contains::Yes,
        _ if listed || applied == Contains::Yes => Contains::Yes,
        other => other,
    };
    let frozen = argo::frozen(object).is_some();
    let stale = if frozen { None } else { argo::stale(world, object, app) };
    ControllerProgress { contains, before, after: after(&at, listed), stale, unfinished: unfinished(&at, listed) }
}

/// A hook after the sync that failed: to Argo CD the sync has failed, although it applied everything and the image is up. Its history
/// lists what succeeded with all its hooks: once the change is in there, a later failure is another change's.
fn unfinished(at: &At<'_>, listed: bool) -> Option<Landing> {
    if listed {
        return None;
    }
    let operation = at.app.operation.as_ref().filter(|it| matches!(it.phase.as_deref(), Some("Failed" | "Error")))?;
    let about = at.question.git.contained(&operation.revisions) != Contains::No;
    let failed = about && operation.revisions == at.app.sync_revisions && argo::has_failed_hook_after_sync(operation);
    failed.then(|| stuck(Rung::Running, argo::failure(at.object, operation)))
}

/// Why the change is not applied yet.
fn before(at: &At<'_>, listed: bool) -> Option<Landing> {
    let (object, app) = (at.object, at.app);
    if let Some(back) = rolled_back(at, listed) {
        return Some(back);
    }
    if let Some(frozen) = argo::frozen(object) {
        return (at.compared != Contains::Yes || !argo::is_applied(app)).then(|| paused(rung_for(at.compared), frozen));
    }
    if listed && at.compared != Contains::Yes {
        // It was applied once; another revision is being compared now.
        return None;
    }
    if let Some((failure, error)) = argo::error(object, app) {
        // After a failed render, a single source shows its unresolved name: the error is about the newest commit.
        let unread = error.code == CauseCode::FetchFailed || failure == RenderFailure::Cache;
        let rung = if unread { Rung::Fetched } else { rung_for(at.compared) };
        return Some(if failure.mends_by_waiting() { pending(rung, error) } else { stuck(rung, error) });
    }
    if let Some(found) = hydrator(at) {
        return Some(found);
    }
    if at.compared != Contains::Yes
        && let Some(stale) = argo::stale(at.world, object, app)
    {
        return Some(landing(State::Unknown, Some(Rung::Fetched), stale));
    }
    if let Some(old) = argo::about_old_spec(object, app) {
        return Some(pending(Rung::Fetched, old));
    }
    if let Some(found) = operation(at) {
        return Some(found);
    }
    if at.compared == Contains::No {
        return Some(not_compared(at));
    }
    match app.sync_status.as_deref() {
        Some("Synced") => None,
        Some("OutOfSync") if at.applied != Contains::No && argo::is_applied(app) => None,
        Some("OutOfSync") => Some(waits(at)),
        _ => {
            let next = format!("ask for a refresh: `argocd app get {} --refresh`", object.name);
            let message = format!("{}: its sync status is unknown", object.label());
            let made = cause::make(CauseCode::Unknown, message, Vec::new(), next);
            Some(landing(State::Unknown, Some(rung_for(at.compared)), made))
        }
    }
}

/// The last sync went to a revision from before the change, after one that contained it.
fn rolled_back(at: &At<'_>, listed: bool) -> Option<Landing> {
    let history = &at.app.history;
    let last = history.last()?;
    if !listed || at.question.git.contained(&last.revisions) != Contains::No || at.live.is_none() {
        return None;
    }
    let had = history.iter().position(|entry| at.question.git.contained(&entry.revisions) == Contains::Yes)?;
    let before = history[..had].iter().any(|entry| entry.revisions == last.revisions);
    // The compared revision still contains the change, but something older was applied after it.
    let known = matches!(at.question.git, crate::landing::Git::Facts(_)) || at.compared == Contains::Yes;
    (before || known).then(|| {
        let line = |entry: &crate::model::observation::HistoryEntry| {
            let at = entry.deployed_at.map_or_else(String::new, |time| format!(" at {time:.0}"));
            let revision = entry.revisions.first().map(Revision::short).unwrap_or_default();
            format!("history: {revision}{at}")
        };
        let evidence = history.iter().rev().take(3).map(line).collect();
        passed(at.object, at.live, LeftBehind::RolledBack, evidence)
    })
}

/// The hydrator renders the dry source into another branch; until it has, there is nothing to compare.
fn hydrator(at: &At<'_>) -> Option<Landing> {
    let it = at.app.hydration.as_ref()?;
    if it.phase.as_deref() != Some("Failed") || at.compared == Contains::Yes {
        return None;
    }
    let said = it.message.as_deref().unwrap_or("no reason given");
    let message = format!("{}: hydration failed: {said}", at.object.label());
    let evidence = vec![format!(
        "sourceHydrator.currentOperation: Failed at {}",
        it.dry_sha.as_ref().map(Revision::short).unwrap_or_default()
    )];
    let made = match classify::hydration(said) {
        Hydration::Push => {
            let next = "give Argo CD's commit-server credentials that may push to the hydrated branch (a repository-write Secret); \
                        the message names who was refused";
            cause::make(CauseCode::PushRejected, message, evidence, next)
        }
        Hydration::Build => {
            cause::make(CauseCode::BuildFailed, message, evidence, cause::next(CauseCode::BuildFailed, at.object, None))
        }
    };
    Some(stuck(Rung::Applied, made))
}

/// An operation that is about the change, or is in its way.
fn operation(at: &At<'_>) -> Option<Landing> {
    let operation = at.app.operation.as_ref()?;
    let about = at.question.git.contained(&operation.revisions);
    match operation.phase.as_deref() {
        Some("Running" | "Terminating") if about != Contains::No => {
            let flight = argo::in_flight(at.world, at.object, at.app, operation);
            let window = flight.cause.as_ref().is_some_and(|cause| cause.code == CauseCode::WindowClosed);
            Some(match flight.cause {
                Some(cause) if window => paused(Rung::Applied, cause),
                Some(cause) if flight.hard => stuck(Rung::Applied, cause),
                cause => pending(Rung::Applied, cause),
            })
        }
        Some("Running" | "Terminating") if at.compared == Contains::Yes => Some(on_old_revision(at, operation)),
        Some("Failed" | "Error") if about != Contains::No && at.app.sync_status.as_deref() != Some("Synced") => {
            let other = about == Contains::Unknown
                && !at.app.sync_revisions.is_empty()
                && operation.revisions != at.app.sync_revisions
                && at.app.auto_sync != AutoSync::Off;
            // It is over whatever the reason: Argo CD spent its retries, and does not try the same revision again.
            (!other).then(|| stuck(Rung::Applied, argo::failure(at.object, operation)))
        }
        _ => sync_error(at),
    }
}

/// `SyncError: Failed last sync attempt to [sha]: …` is there even if the operation's state is not.
fn sync_error(at: &At<'_>) -> Option<Landing> {
    let error = at.app.conditions.iter().find(|condition| condition.kind == "SyncError")?;
    if at.app.sync_status.as_deref() == Some("Synced") || at.compared == Contains::No {
        return None;
    }
    let sha = error.message.split_once('[').and_then(|(_, rest)| rest.split(']').next());
    let about = sha.map_or(Contains::Unknown, |sha| at.question.git.contained(&[Revision::new(sha)]));
    if about == Contains::No {
        return None;
    }
    Some(stuck(Rung::Applied, argo::sync_error(at.object, &error.message)))
}

/// A retry stays with the revision it started with, unless `retry.refresh` is set; the new revision waits behind it.
fn on_old_revision(at: &At<'_>, operation: &OperationState) -> Landing {
    let flight = argo::in_flight(at.world, at.object, at.app, operation);
    let old = operation.revisions.first().map(Revision::short).unwrap_or_default();
    let said = operation.message.as_deref().unwrap_or_default();
    let code = flight.cause.as_ref().map_or(CauseCode::Dependency, |cause| cause.code);
    let message = format!("{}: an operation on the older revision {old} is still running: {said}", at.object.label());
    let mut evidence = vec![format!("operation on {old}, retryCount {}", operation.retry_count.unwrap_or(0))];
    evidence.extend(flight.cause.into_iter().flat_map(|cause| cause.evidence));
    let next = format!("terminate it so that the new revision is synced: `argocd app terminate-op {}`", at.object.name);
    let made = cause::make(code, message, evidence, next);
    let endless = at.app.retry.is_some_and(|retry| retry.limit.is_some_and(|limit| limit < 0) && !retry.refresh);
    // A hook or an earlier wave that has failed for good blocks the operation until somebody terminates it.
    let blocked = flight.hard && operation.finished_at.is_none();
    if endless || blocked { stuck(Rung::Applied, made) } else { pending(Rung::Applied, made) }
}

fn not_compared(at: &At<'_>) -> Landing {
    let (object, app) = (at.object, at.app);
    if let Some(pin) =
        app.sources.iter().find_map(|source| pinned_to(source.target_revision.as_deref()?, source.chart.is_some()))
    {
        return pinned(object, "targetRevision", &pin);
    }
    let held = argo::not_automatic(object, app).or_else(|| window::closed(at.world, object, app));
    if let Some(mut held) = held {
        held.evidence.push(format!("compared: {}", seen(app)));
        return paused(Rung::Fetched, held);
    }
    let next = format!("wait for the next poll, or ask for a refresh: `argocd app get {} --refresh`", object.name);
    pending(Rung::Fetched, not_fetched(object, &seen(app), next))
}

fn seen(app: &Application) -> String {
    let all: Vec<String> = app.sync_revisions.iter().map(Revision::short).collect();
    if all.is_empty() { "no revision".to_owned() } else { all.join(", ") }
}

/// Whether the target revision is a commit or a version tag. Charts always have versions, and ranges move.
fn pinned_to(target: &str, is_chart: bool) -> Option<String> {
    let is_commit = matches!(target.len(), 40 | 64) && target.bytes().all(|b| b.is_ascii_hexdigit());
    let version = target.strip_prefix("refs/tags/").unwrap_or(target);
    let digits = version.strip_prefix('v').unwrap_or(version);
    let is_tag = semver::parse(digits) || target.starts_with("refs/tags/");
    (is_commit || (is_tag && !is_chart)).then(|| target.to_owned())
}

/// Three numbers: people use that for release tags, hardly ever for branches.
mod semver {
    pub(super) fn parse(text: &str) -> bool {
        let core = text.split(['-', '+']).next().unwrap_or(text);
        let parts: Vec<&str> = core.split('.').collect();
        parts.len() == 3 && parts.iter().all(|part| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit()))
    }
}

/// OutOfSync, and no operation is running.
fn waits(at: &At<'_>) -> Landing {
    let (object, app) = (at.object, at.app);
    if let Some(step) = rolling_sync(at) {
        return step;
    }
    if let Some(held) = argo::not_automatic(object, app).or_else(|| window::closed(at.world, object, app)) {
        return paused(Rung::Applied, held);
    }
    let message = format!("{} is OutOfSync and its automated sync has not begun", object.label());
    let evidence = argo::out_of_sync_resources(app);
    let next = format!("wait, or sync by hand: `argocd app sync {}`", object.name);
    pending(Rung::Applied, cause::make(CauseCode::NotReady, message, evidence, next))
}

/// An ApplicationSet that updates its Applications step by step.
fn rolling_sync(at: &At<'_>) -> Option<Landing> {
    let owner = at.object.owners.iter().find(|owner| owner.kind == "ApplicationSet")?;
    let namespace = at.object.namespace.as_deref().unwrap_or_default();
    let set = at.world.named("ApplicationSet", namespace, &owner.name).next()?;
    let Body::ApplicationSet(it) = &set.body else { return None };
    let step = it.applications.iter().find(|step| step.application == at.object.name)?;
    matches!(step.status.as_str(), "Waiting" | "Pending").then(|| {
        let number = step.step.as_deref().map_or_else(String::new, |step| format!(" in step {step}"));
        let message = format!("{} waits for its turn in {}{number}: {}", at.object.label(), set.label(), step.message);
        let others = it.applications.iter().filter(|other| !matches!(other.status.as_str(), "Healthy" | "Waiting"));
        let evidence = others.map(|other| format!("{}: {}: {}", other.application, other.status, other.message));
        let next = cause::next(CauseCode::Dependency, at.object, None);
        paused(Rung::Applied, cause::make(CauseCode::Dependency, message, evidence.collect(), next))
    })
}

/// What another image in the template means once the change is applied; without a template, what the Application
/// proves.
fn after(at: &At<'_>, listed: bool) -> Landing {
    let Some(live) = at.live else { return by_itself(at) };
    if at.compared != Contains::Yes && listed {
        let evidence = vec![format!("compared and applied: {}", seen(at.app))];
        return passed(at.object, at.live, LeftBehind::Superseded, evidence);
    }
    if let Some(declared) = at.question.git.declares(&at.app.sync_revisions)
        && carries(&at.question.image.version, declared) == Carries::No
    {
        let evidence = vec![format!("{} declares {declared}", seen(at.app))];
        return passed(at.object, at.live, LeftBehind::Superseded, evidence);
    }
    if let Some(writer) = written_by_hand(live.object) {
        return drifted(live.object, &live.version, Some(writer), "Git declares another version");
    }
    if at.app.sync_status.as_deref() == Some("OutOfSync") {
        return drifted(
            live.object,
            &live.version,
            None,
            "the revision with the change was applied, and the live object differs",
        );
    }
    if at.compared == Contains::Unknown && overrides(at.app, &at.question.image).is_empty() {
        let message = format!("{} is Synced, and {} runs {}", at.object.label(), live.object.label(), live.version);
        let next = "say which commit carries the image (`--revision SHA`), so that Landfall can check whether the controller has read it";
        let made = cause::make(CauseCode::Unknown, message, vec![format!("compared: {}", seen(at.app))], next);
        return landing(State::Unknown, Some(Rung::Fetched), made);
    }
    shadowed(at, live)
}

fn shadowed(at: &At<'_>, live: &Live<'_>) -> Landing {
    let found = overrides(at.app, &at.question.image);
    let mut evidence: Vec<String> = found.clone();
    let paths = at.object.annotations.get("argocd.argoproj.io/manifest-generate-paths");
    if let Some(paths) = paths {
        evidence
            .push(format!("manifest-generate-paths: {paths}: files elsewhere do not invalidate the cached manifests"));
    }
    let next = match (found.is_empty(), paths) {
        (false, _) => format!(
            "remove the override in the Application's source, or change the version there: {}",
            found.join("; ")
        ),
        (true, Some(_)) => format!(
            "name the changed file's folder in the annotation argocd.argoproj.io/manifest-generate-paths, and do a hard refresh: `argocd app get {} --hard-refresh`",
            at.object.name
        ),
        (true, None) => format!(
            "look for an override (.argocd-source files, values, patches, ignoreDifferences), then do a hard refresh, since a cached render may be old: `argocd app get {} --hard-refresh`",
            at.object.name
        ),
    };
    let message = format!(
        "{} is Synced at {}, but {} runs {}",
        at.object.label(),
        seen(at.app),
        live.object.label(),
        live.version
    );
    landing(State::Shadowed, None, cause::make(CauseCode::Shadowed, message, evidence, next))
}

/// The Application's own settings that override an image.
fn overrides(app: &Application, image: &ImageReference) -> Vec<String> {
    let mut found = Vec::new();
    for source in &app.sources {
        for entry in &source.kustomize_images {
            let (from, to) = entry.split_once('=').unwrap_or((entry, entry));
            if [from, to].iter().any(|name| same_image(image, name) != SameImage::Other) || from == image.written {
                found.push(format!("kustomize.images: {entry}"));
            }
        }
        for (name, value) in &source.parameters {
            let key = name.to_lowercase();
            if key.contains("image") || key.ends_with("tag") {
                found.push(format!("helm.parameters: {name}={value}"));
            }
        }
        if source.has_values && source.reference.is_none() {
            found.push("helm.values of the Application".to_owned());
        }
    }
    found
}

/// Without any workload: the images that were rendered and applied, and the health that was seen afterwards.
fn by_itself(at: &At<'_>) -> Landing {
    let (object, app) = (at.object, at.app);
    let wanted = &at.question.image;
    let applied = app.operation.iter().flat_map(|operation| operation.resources.iter().flat_map(|it| &it.images));
    let versions: Vec<_> = applied
        .filter(|text| same_image(wanted, text) != SameImage::Other)
        .filter_map(|text| ImageReference::parse(text).ok())
        .collect();
    let proven = !versions.is_empty() && versions.iter().all(|it| carries(&wanted.version, &it.version) != Carries::No);
    let found = argo::application(at.world, object, app);
    if !proven && found.verdict == crate::model::Verdict::Current {
        let is_applied = at.compared == Contains::Yes || at.applied == Contains::Yes;
        let listed = app.resources.iter().flatten().map(Applied::from);
        if is_applied && let Some(landed) = on_demand::landed(at.world, object, listed) {
            return landed;
        }
        let next =
            "add the workloads to the dump: an Application alone does not show which image is in the live template";
        return unproven(Rung::Applied, object, "nothing shows which image is live", next);
    }
    let finished = app.operation.as_ref().and_then(|operation| operation.finished_at);
    if found.verdict == crate::model::Verdict::Current && (app.reconciled_at.is_none() || finished.is_none()) {
        let next = "add the workloads to the dump, or the whole status of the Application";
        return unproven(Rung::Running, object, "nothing shows that its health was checked after its last sync", next);
    }
    match found.verdict {
        crate::model::Verdict::Current => landing(State::Landed, None, None),
        crate::model::Verdict::Failed => landing(State::Stuck, Some(Rung::Running), found.cause),
        crate::model::Verdict::Paused => landing(State::Paused, Some(Rung::Running), found.cause),
        crate::model::Verdict::Unknown => landing(State::Unknown, Some(Rung::Running), found.cause),
        _ => landing(State::Pending, Some(Rung::Running), found.cause),
    }
}
