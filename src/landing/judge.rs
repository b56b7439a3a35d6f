//! Decides whether an image has landed, both for dumps and for the daemon.
//!
//! Every workload that uses the image is judged together with its controllers; the worst result counts. A workload
//! whose template carries the image is judged by its pods, whatever its controller says. The exception: if its
//! controller is known not to have the change, somebody set the image by hand.

use jiff::Timestamp;

use crate::model::observation::{Body, Object, ObjectKey, Owner, condition};
use crate::model::{Cause, CauseCode, Digest, Landing, Rung, Scheme, State, Verdict, Version};

use super::chain::{ControllerProgress, Live, contained, landing, paused, pending, stuck};
use super::chain::{argo, flux, helm};
use super::clocks::late;
use super::health::{Assessment, assess, deployment, replicas, rollout};
use super::image::{Carries, digest_of_id};
use super::question::{Contains, Git, Question};
use super::uses::{CanaryOf, Use, uses};
use super::{World, artifact, cause, knative, tie};

/// A judgement and what it is based on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Judgement {
    /// How far it has come.
    pub landing: Landing,
    /// The versions in the live templates, without duplicates.
    pub live: Vec<Version>,
    /// The workloads that use the image.
    pub workloads: Vec<ObjectKey>,
    /// The controllers that were taken into account.
    pub controllers: Vec<ObjectKey>,
    /// The digests reported by the pods, if it has landed.
    pub digests: Vec<Digest>,
    /// When the last of those pods became ready.
    pub ready_since: Option<Timestamp>,
    /// Assumptions, such as taking another registry host for a mirror.
    pub notes: Vec<String>,
}

/// Judges the landing of an image.
#[must_use]
pub fn judge(world: &World<'_>, question: &Question) -> Judgement {
    if question.image.name.scheme() != Scheme::Image || artifact::is_package(question) {
        return of_artifact(world, question);
    }
    let uses = uses(world, question);
    let mut controllers: Vec<ObjectKey> = Vec::new();
    let mut answers: Vec<Landing> = Vec::new();
    for used in &uses {
        let managed = managers(world, question, Some(used.object));
        controllers.extend(managed.iter().map(|object| object.key()));
        answers.push(of_use(world, question, used, &managed));
    }
    let all = if uses.is_empty() { managers(world, question, None) } else { Vec::new() };
    if uses.is_empty() {
        controllers.extend(all.iter().map(|object| object.key()));
        answers.push(without_workload(world, question, &all));
    }
    knative::decide(world, question, (&uses, &all), &mut answers);
    controllers.sort();
    controllers.dedup();
    let mut live: Vec<Version> = uses.iter().map(|used| used.version.clone()).collect();
    live.sort();
    live.dedup();
    let worst = answers.into_iter().reduce(Landing::worse);
    let mut landing = worst.unwrap_or_else(|| landing(State::Unknown, Some(Rung::Applied), None));
    late(&mut landing, question.deadline, world.now());
    let notes = uses.iter().filter(|used| used.mirror).map(|used| {
        let (label, written, image) = (used.object.label(), &used.written, &question.image.name);
        super::clean(&format!("{label} uses {written}: another registry, assumed to be a mirror of {image}"))
    });
    let notes = notes.collect();
    let up = if landing.state == State::Landed { uses.as_slice() } else { &[] };
    let mut digests: Vec<Digest> = up.iter().flat_map(|used| digests(world, used.serving())).collect();
    digests.sort();
    digests.dedup();
    let ready_since = up.iter().filter_map(|used| ready_since(world, used.serving())).max();
    let workloads = uses.iter().map(|used| used.object.key()).collect();
    Judgement { landing, live, workloads, controllers, digests, ready_since, notes }
}

/// Judges the landing of a chart or another artifact, or of a package of Crossplane.
fn of_artifact(world: &World<'_>, question: &Question) -> Judgement {
    let holders = artifact::holders(world, question);
    let (mut controllers, mut answers) = (Vec::new(), Vec::new());
    for holder in &holders {
        let managers = match &question.scope.controllers {
            Some(keys) => keys.iter().filter_map(|key| world.get(key)).collect(),
            None => world.controllers(holder.object),
        };
        controllers.extend(managers.iter().map(|object| object.key()));
        controllers.push(holder.object.key());
        answers.push(artifact::judge(world, question, holder, &managers));
    }
    if holders.is_empty() {
        let all = managers(world, question, None);
        controllers.extend(all.iter().map(|object| object.key()));
        answers.push(artifact::without_holder(question, without_workload(world, question, &all)));
    }
    controllers.sort();
    controllers.dedup();
    let mut live: Vec<Version> = holders.into_iter().map(|holder| holder.version).collect();
    live.sort();
    live.dedup();
    let worst = answers.into_iter().reduce(Landing::worse);
    let mut landing = worst.unwrap_or_else(|| landing(State::Unknown, Some(Rung::Applied), None));
    late(&mut landing, question.deadline, world.now());
    Judgement {
        landing,
        live,
        workloads: Vec::new(),
        controllers,
        digests: Vec::new(),
        ready_since: None,
        notes: Vec::new(),
    }
}

/// The controllers of a workload, or, without a workload, all that may be responsible. The last one in the list comes
/// first in the chain.
fn managers<'a>(world: &'a World<'a>, question: &Question, workload: Option<&Object>) -> Vec<&'a Object> {
    if let Some(keys) = &question.scope.controllers {
        let mut given: Vec<&Object> = keys.iter().filter_map(|key| world.get(key)).collect();
        let mut held: Vec<&Object> = question.scope.held.iter().filter_map(|key| world.get(key)).collect();
        if let Some(workload) = workload {
            let tied = world.controllers(workload);
            let ties = |controller: &&Object| tied.iter().any(|other| other.key() == controller.key());
            held.retain(ties);
            // Whatever applies an object that holds the pin manages that object's workloads too.
            given.retain(|controller| !held.is_empty() || tied.is_empty() || ties(controller));
            for release in tied.iter().filter(|controller| matches!(controller.body, Body::HelmRelease(_))) {
                if !given.iter().chain(&held).any(|other| other.key() == release.key()) {
                    given.insert(0, release);
                }
            }
        }
        held.extend(given);
        return held;
    }
    match workload {
        Some(workload) => world.controllers(workload),
        None => {
            let is_controller = |object: &&Object| {
                matches!(object.body, Body::Application(_) | Body::Kustomization(_) | Body::HelmRelease(_))
            };
            let mut all = world.objects();
            all.retain(is_controller);
            all.sort_by_key(|object| !matches!(object.body, Body::HelmRelease(_)));
            all
        }
    }
}

pub(super) fn controller_progress<'a>(
    world: &'a World<'a>,
    question: &'a Question,
    controller: &'a Object,
    live: Option<&'a Live<'a>>,
) -> Option<ControllerProgress> {
    match &controller.body {
        // The pin is in the Application's own specification, so the revisions in its status belong to something else.
        Body::Application(app) if question.scope.held.contains(&controller.key()) => {
            let apart = Question { git: Git::Unknown, ..question.clone() };
            Some(argo::progress(world, &apart, controller, app, live))
        }
        Body::Application(app) => Some(argo::progress(world, question, controller, app, live)),
        Body::Kustomization(it) => Some(flux::kustomization(world, question, controller, it, live)),
        Body::HelmRelease(it) => Some(helm::helm_release(world, question, controller, it, live)),
        _ => None,
    }
}

/// Judges one workload with its controllers.
fn of_use(world: &World<'_>, question: &Question, used: &Use<'_>, managers: &[&Object]) -> Landing {
    if let Some(successor) = used.successor {
        return leaving(used, successor);
    }
    let live = Live { object: used.object, version: used.version.clone() };
    let other = (used.carries == Carries::No).then_some(&live);
    let mut progress: Vec<ControllerProgress> =
        managers.iter().filter_map(|it| controller_progress(world, question, it, other.or(Some(&live)))).collect();
    let has = contained(&progress);
    if used.carries != Carries::No && has != Contains::No {
        let found = match &used.canary {
            Some(canary) => of_canary(world, question, used, canary),
            None => of_pods(world, question, used),
        };
        if found.state == State::Pending {
            return given_up(world, used.object, managers).unwrap_or(found);
        }
        if found.state != State::Landed {
            return found;
        }
        let asked = !matches!(question.git, Git::Unknown);
        if asked && has == Contains::Unknown && !progress.is_empty() {
            return no_commit(used.object, managers);
        }
        if let Some(unfinished) = progress.iter_mut().find_map(|it| it.unfinished.take()) {
            return unfinished;
        }
        return match progress.into_iter().find_map(|it| it.stale) {
            Some(stale) => landing(State::Unknown, Some(Rung::Running), stale),
            None => found,
        };
    }
    if progress.is_empty() {
        return orphan(world, question, used);
    }
    let found = explain(progress, used.carries);
    match used.object.owners.first() {
        Some(owner) if found.state == State::Shadowed => not_replaced(used, owner),
        _ => found,
    }
}

/// The object that the change is in was applied, and its operator has not acted on it yet. What it made still runs the
/// version before.
fn not_replaced(used: &Use<'_>, owner: &Owner) -> Landing {
    let (kind, name) = (&owner.kind, &owner.name);
    let message = format!(
        "the change is applied, and {} still runs {}: the operator behind {kind} {name} has not replaced it yet",
        used.object.label(),
        used.version
    );
    let next = format!(
        "wait for the operator; if it persists, see what it says: `kubectl {}describe {} {name}`",
        cause::in_namespace(used.object),
        kind.to_lowercase()
    );
    let evidence = vec![format!("template: {}", used.written)];
    pending(Rung::RolledOut, cause::of_platform(cause::make(CauseCode::NotReady, message, evidence, next)))
}

/// The old pods or the old revision still run next to the new one.
fn leaving(used: &Use<'_>, successor: &Object) -> Landing {
    let message = format!("{} still runs {} alongside {}", used.object.label(), used.version, successor.label());
    let next =
        format!("wait until it is gone; if it persists, see what still needs it: `{}`", cause::describe(used.object));
    let rung = if matches!(used.object.body, Body::Pod(_)) { Rung::RolledOut } else { Rung::Running };
    pending(rung, cause::make(CauseCode::NotReady, message, vec![format!("template: {}", used.written)], next))
}

/// A workload that Flagger analyses: the primary shows which version serves, the Canary what happens to the change.
fn of_canary(world: &World<'_>, question: &Question, used: &Use<'_>, it: &CanaryOf<'_>) -> Landing {
    let promoted = it.primary.as_deref().filter(|primary| primary.carries != Carries::No);
    let Some((object, canary)) = it.canary else {
        return match (promoted, it.primary.as_deref()) {
            (Some(primary), _) => of_pods(world, question, primary),
            (None, Some(primary)) => unpromoted(used, primary),
            (None, None) => of_pods(world, question, used),
        };
    };
    let found = assess(world, object);
    // A failure from before the change says nothing about the change.
    let decided = condition(&canary.conditions, "Promoted").and_then(|promoted| promoted.last_transition);
    let written = used.object.image_writers.iter().filter_map(|writer| writer.time).max();
    let is_before = matches!((decided, written), (Some(decided), Some(written)) if decided < written);
    match (found.verdict, found.cause) {
        (Verdict::Failed, Some(cause)) if !is_before => landing(State::RolledBack, None, cause),
        (Verdict::Paused, Some(cause)) => paused(Rung::Running, cause),
        (Verdict::Current, _) if promoted.is_some() || it.primary.is_none() => {
            of_pods(world, question, promoted.unwrap_or(used))
        }
        (Verdict::Progressing, cause) => {
            let pods = of_pods(world, question, used);
            if pods.state == State::Stuck { pods } else { pending(Rung::Running, cause) }
        }
        _ => {
            let message = format!("{} has not picked up the change to {} yet", object.label(), used.object.label());
            let next = format!("wait for its next interval; if this persists, see `{}`", cause::describe(object));
            pending(Rung::Running, cause::make(CauseCode::NotReady, message, Vec::new(), next))
        }
    }
}

/// Flagger's primary serves another version, and the Canary is not visible.
fn unpromoted(used: &Use<'_>, primary: &Use<'_>) -> Landing {
    let (label, copy) = (used.object.label(), primary.object.label());
    let message = format!(
        "{label} has the image, but its Flagger primary {copy} serves {}: the analysis is running or has failed",
        primary.version
    );
    let next = "look at the Canary, or add it to the dump: `kubectl get canary -A -o yaml`";
    let made =
        cause::make(CauseCode::Unproven, message, vec![format!("template of the primary: {}", primary.written)], next);
    landing(State::Unknown, Some(Rung::Running), made)
}

/// A controller whose own health check timed out while the workload still counts as progressing.
fn given_up(world: &World<'_>, object: &Object, managers: &[&Object]) -> Option<Landing> {
    let of = |controller: &&Object| {
        let found = assess(world, controller);
        let health = |cause: &Cause| matches!(cause.code, CauseCode::NotReady | CauseCode::ProgressDeadline);
        found.cause.filter(|cause| found.verdict == Verdict::Failed && health(cause))
    };
    let mut made = managers.iter().find_map(of)?;
    made.evidence.extend(assess(world, object).cause.into_iter().flat_map(|why| {
        let mut lines = vec![why.message];
        lines.extend(why.evidence);
        lines
    }));
    Some(stuck(rung_of_failure(world, object, &made), made))
}

/// The image is live, but no controller names a commit: somebody may have set it by hand.
fn no_commit(object: &Object, managers: &[&Object]) -> Landing {
    let names: Vec<String> = managers.iter().map(|controller| controller.label()).collect();
    let message = format!("{} is up with the image, but {} names no commit", object.label(), names.join(", "));
    let next = "add the objects that read Git to the dump: the Application's status, or the GitRepository and the Kustomization";
    landing(State::Unknown, Some(Rung::Fetched), cause::make(CauseCode::Unproven, message, Vec::new(), next))
}

/// Why the live template does not have the change yet. Parents come before what they declare.
pub(super) fn explain(mut progress: Vec<ControllerProgress>, carries: Carries) -> Landing {
    let by_hand = carries != Carries::No;
    for at in (0..progress.len()).rev() {
        if let Some(mut before) = progress[at].before.take() {
            if by_hand && let Some(cause) = &mut before.cause {
                cause.evidence.push("the live template already has the image: somebody set it by hand".to_owned());
            }
            return before;
        }
    }
    progress.swap_remove(0).after
}

/// A workload with another version that no controller manages.
fn orphan(world: &World<'_>, question: &Question, used: &Use<'_>) -> Landing {
    let message = format!("{} runs {} and no visible controller manages it", used.object.label(), used.version);
    let evidence = vec![format!("template: {}", used.written)];
    let next = "let an Argo CD Application or a Flux Kustomization watch the path, or add them to the dump";
    let made = cause::make(CauseCode::Orphan, message, evidence, next);
    if question.orphan_after.is_some_and(|grace| world.now() < grace) {
        return pending(Rung::Fetched, made);
    }
    landing(State::Orphan, None, made)
}

/// No workload uses the image: the controllers' progress decides.
fn without_workload(world: &World<'_>, question: &Question, managers: &[&Object]) -> Landing {
    let held = |object: &Object| question.scope.held.contains(&object.key());
    let through = managers.iter().any(|object| held(object));
    let progress = managers.iter().filter_map(|it| Some((held(it), controller_progress(world, question, it, None)?)));
    let progress: Vec<(bool, ControllerProgress)> = progress.collect();
    let known_none = question.scope.controllers.as_ref().is_some_and(Vec::is_empty);
    if progress.is_empty() {
        let image = &question.image.name;
        let message = format!("no workload uses {image}, and there is no controller to ask");
        if known_none {
            let next = "let a controller watch the path, or remove it";
            let made = cause::make(CauseCode::Orphan, message, Vec::new(), next);
            let early = question.orphan_after.is_some_and(|grace| world.now() < grace);
            return if early { pending(Rung::Fetched, made) } else { landing(State::Orphan, None, made) };
        }
        let next = "add the workloads and their controllers to the dump";
        let made = cause::make(CauseCode::Unknown, message, Vec::new(), next);
        return landing(State::Unknown, Some(Rung::Applied), made);
    }
    let of_controller = |(held, found): (bool, ControllerProgress)| match (found.before, found.stale) {
        (Some(before), _) => Some(before),
        (None, Some(stale)) => Some(landing(State::Unknown, Some(Rung::Running), stale)),
        // A controller that applied the object with the pin has done its part.
        (None, None) => (held || !through).then_some(found.after),
    };
    let all = progress.into_iter().filter_map(of_controller);
    let worst = all.reduce(Landing::worse);
    worst.unwrap_or_else(|| landing(State::Unknown, Some(Rung::Applied), None))
}

/// A workload whose template carries the image: its pods decide.
fn of_pods(world: &World<'_>, question: &Question, used: &Use<'_>) -> Landing {
    let object = used.object;
    let found = assess(world, object);
    let Assessment { verdict, cause } = found;
    match verdict {
        Verdict::Current => landed(world, question, used, cause),
        Verdict::Failed => match cause {
            Some(cause) if cause.code == CauseCode::RolledBack => landing(State::RolledBack, None, cause),
            Some(cause) => stuck(rung_of_failure(world, object, &cause), cause),
            None => landing(State::Stuck, Some(Rung::Running), None),
        },
        Verdict::Progressing => pending(rung_of(object), cause),
        Verdict::Paused if is_up(world, object) => landed(world, question, used, None),
        // Old pods are kept on purpose.
        Verdict::Paused if matches!(object.body, Body::StatefulSet(_) | Body::DaemonSet(_) | Body::Other(_)) => {
            landing(State::Paused, Some(Rung::RolledOut), cause)
        }
        Verdict::Paused => landing(State::Paused, Some(rung_of(object)), cause),
        Verdict::Terminating => {
            let made = cause.unwrap_or_else(|| {
                let message = format!("{} is being deleted", object.label());
                let next = cause::next(CauseCode::NotReady, object, None);
                cause::make(CauseCode::NotReady, message, Vec::new(), next)
            });
            pending(Rung::Running, made)
        }
        Verdict::Unknown => landing(State::Unknown, Some(Rung::Running), cause),
    }
}

/// Whether something paused is fully up all the same: suspended with the image live counts as landed.
fn is_up(world: &World<'_>, object: &Object) -> bool {
    match &object.body {
        Body::Deployment(it) => deployment::rolling(world, object, it).verdict == Verdict::Current,
        Body::CronJob(_) => true,
        Body::Rollout(it) => {
            it.stable_rs.is_some()
                && it.stable_rs == it.current_pod_hash
                && it.counts.updated >= it.replicas
                && it.counts.available >= it.replicas
                && deployment::waiting(world, &rollout::new_pods(world, object, it)).is_none()
        }
        _ => false,
    }
}

/// Everything is up. Adds a note about what this does not prove.
fn landed(world: &World<'_>, question: &Question, used: &Use<'_>, cause: Option<Cause>) -> Landing {
    if matches!(used.object.body, Body::CronJob(_))
        && cause.is_none()
        && assess(world, used.object).verdict == Verdict::Paused
    {
        let message = format!("{} is suspended: it carries the image and does not run", used.object.label());
        let next = "resume it to see whether the image runs";
        return landing(State::Landed, None, cause::make(CauseCode::Unproven, message, Vec::new(), next));
    }
    if cause.is_none() && used.carries == Carries::TagOnly {
        let running = digests(world, used);
        let wanted = question.image.version.digest.as_ref();
        if !running.iter().any(|digest| Some(digest) == wanted) {
            let message =
                format!("{} names no digest, and its pods do not report the declared one", used.object.label());
            let seen = running.iter().map(|digest| format!("imageID {digest}")).collect();
            let next =
                "it may be the digest of one platform of the same index: compare with the registry, and pin the digest";
            let made = cause::make(CauseCode::Unproven, message, seen, next);
            // Without a tag in common, nothing shows that it is the same image.
            return match question.image.version.tag {
                Some(_) => landing(State::Landed, None, made),
                None => landing(State::Unknown, Some(Rung::Applied), made),
            };
        }
    }
    landing(State::Landed, None, cause)
}

/// The pods of a workload's current template.
fn new_pods<'a>(world: &World<'a>, object: &'a Object) -> Vec<&'a Object> {
    match &object.body {
        Body::Deployment(it) => deployment::new_pods(world, object, &it.template),
        Body::StatefulSet(it) => replicas::pods(world, object, it).0,
        Body::Rollout(it) => rollout::new_pods(world, object, it),
        Body::Pod(_) => vec![object],
        Body::Other(it) => {
            it.pods.as_ref().map_or_else(Vec::new, |pods| deployment::new_pods(world, object, &pods.template))
        }
        _ => world.children(object).collect(),
    }
}

/// When the last of a workload's pods became ready.
fn ready_since(world: &World<'_>, used: &Use<'_>) -> Option<Timestamp> {
    let ready = |object: &Object| match &object.body {
        Body::Pod(pod) => condition(&pod.conditions, "Ready").and_then(|ready| ready.last_transition),
        _ => None,
    };
    new_pods(world, used.object).into_iter().filter_map(ready).max()
}

/// Digests that the pods of a workload run for the image.
fn digests(world: &World<'_>, used: &Use<'_>) -> Vec<Digest> {
    let object = used.object;
    let pods = new_pods(world, object);
    let names: Vec<&str> = tie::template(world, object)
        .iter()
        .filter(|container| container.image == used.written)
        .map(|container| container.name.as_str())
        .collect();
    let statuses = pods.iter().flat_map(|pod| match &pod.body {
        Body::Pod(pod) => pod.statuses.as_slice(),
        _ => &[],
    });
    let ids =
        statuses.filter(|status| names.contains(&status.name.as_str())).filter_map(|status| status.image_id.as_deref());
    let mut found: Vec<_> = ids.filter_map(digest_of_id).collect();
    found.sort();
    found.dedup();
    found
}

/// The rung of something in progress: `rolled-out` until the controller has created all pods.
fn rung_of(object: &Object) -> Rung {
    let unobserved = |observed: Option<i64>| observed != object.generation && object.generation.is_some();
    let made = match &object.body {
        Body::Deployment(it) => !unobserved(it.observed_generation) && it.counts.updated >= it.replicas,
        Body::StatefulSet(it) => {
            let all = it.update_revision.is_some() && it.update_revision == it.current_revision;
            let wanted = (it.replicas - it.partition).max(0);
            !unobserved(it.observed_generation)
                && (it.counts.updated >= wanted || (all && it.counts.replicas >= it.replicas))
        }
        Body::DaemonSet(it) => {
            !unobserved(it.observed_generation) && it.desired.is_some_and(|desired| it.updated >= desired)
        }
        Body::Rollout(it) => !unobserved(it.observed_generation) && it.counts.updated >= it.replicas,
        Body::ReplicaSet(it) => it.counts.replicas >= it.replicas,
        Body::Other(it) => it.pods.as_ref().is_none_or(|pods| pods.counts.updated >= pods.replicas),
        Body::Job(it) => it.active > 0 || it.succeeded > 0 || it.failed > 0,
        _ => true,
    };
    if made { Rung::Running } else { Rung::RolledOut }
}

/// Whether the controller has created no pod of the current template.
fn made_none(object: &Object) -> bool {
    match &object.body {
        Body::Deployment(it) => it.counts.updated == 0,
        Body::ReplicaSet(it) => it.counts.replicas == 0,
        Body::StatefulSet(it) => it.counts.updated == 0,
        Body::DaemonSet(it) => it.updated == 0,
        Body::Rollout(it) => it.counts.updated == 0,
        Body::Job(it) => it.active == 0 && it.succeeded == 0 && it.failed == 0,
        Body::Other(it) => it.pods.as_ref().is_some_and(|pods| pods.counts.updated == 0),
        _ => false,
    }
}

/// The rung of a failure: either pods cannot be created, or created pods do not come up.
fn rung_of_failure(world: &World<'_>, object: &Object, cause: &Cause) -> Rung {
    match cause.code {
        CauseCode::Quota | CauseCode::AdmissionDenied | CauseCode::Forbidden | CauseCode::Dependency => Rung::RolledOut,
        // A missing reference can show up before pods are created or when their containers start.
        CauseCode::ConfigError if made_none(object) => Rung::RolledOut,
        CauseCode::ProgressDeadline | CauseCode::NotReady => match &object.body {
            Body::Deployment(it) if it.counts.updated == 0 => Rung::RolledOut,
            Body::Rollout(it) if it.counts.updated == 0 && it.replicas > 0 => Rung::RolledOut,
            _ => Rung::Running,
        },
        _ => match &object.body {
            // A broken pod of the old template keeps the new one from being created.
            Body::StatefulSet(it) => {
                let (new, _) = replicas::pods(world, object, it);
                if deployment::failing(world, &new).is_some() { Rung::Running } else { Rung::RolledOut }
            }
            _ => Rung::Running,
        },
    }
}
