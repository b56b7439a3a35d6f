//! Deployments and ReplicaSets.
//!
//! `Available=True` alone says nothing about an update: the old ReplicaSet may be what serves. Only pods of the current
//! template count; they are found through the ReplicaSet of the highest revision, or by their images.

use crate::model::observation::{
    Body, Condition, ConditionStatus, Container, Counts, Deployment, Object, Other, PodOwner, ReplicaSet, condition,
};
use crate::model::{Cause, CauseCode, Verdict};

use super::{Assessment, assess as assess_any, pauser, pod, unobserved};
use crate::landing::cause::classify;
use crate::landing::{World, cause, image, tie};

/// Judges a Deployment.
pub(super) fn assess(world: &World<'_>, object: &Object, deployment: &Deployment) -> Assessment {
    let found = rolling(world, object, deployment);
    if !deployment.paused || matches!(found.verdict, Verdict::Failed | Verdict::Unknown) {
        return found;
    }
    let mut evidence: Vec<String> = found.cause.into_iter().map(|cause| cause.message).collect();
    if let Some(pauser) = pauser::of(world, object) {
        evidence.insert(0, pauser.evidence);
        let message = format!("{} is paused by {}, which replaces its pods step by step", object.label(), pauser.who);
        return Assessment::because(
            Verdict::Paused,
            cause::make(CauseCode::CanaryPaused, message, evidence, pauser.next),
        );
    }
    let next = format!(
        "resume it once it is known who paused it and why: `kubectl {}rollout resume deployment/{}`",
        cause::in_namespace(object),
        object.name
    );
    let message = format!("{} is paused", object.label());
    Assessment::because(Verdict::Paused, cause::make(CauseCode::Suspended, message, evidence, next))
}

/// The state of the rollout, whether it is paused or not.
pub(in crate::landing) fn rolling(world: &World<'_>, object: &Object, deployment: &Deployment) -> Assessment {
    if let Some(found) = unobserved(object, deployment.observed_generation) {
        return found;
    }
    let pods = new_pods(world, object, &deployment.template);
    if let Some(failing) = failing(world, &pods) {
        return Assessment::because(Verdict::Failed, of_pod(object, failing));
    }
    let complete = is_complete(deployment.replicas, deployment.counts);
    let all_made = deployment.counts.updated >= deployment.replicas;
    if !all_made && let Some(refused) = refused(world, object, &deployment.conditions, &deployment.template) {
        return refused;
    }
    let unavailable = condition(&deployment.conditions, "Available").is_some_and(|c| c.status != ConditionStatus::True);
    let unavailable = unavailable && deployment.replicas > 0;
    let late = condition(&deployment.conditions, "Progressing")
        .filter(|c| c.status == ConditionStatus::False && c.reason == "ProgressDeadlineExceeded");
    // If all are up, the condition is about the previous rollout and has not been updated yet.
    if let Some(late) = late.filter(|_| !complete || unavailable) {
        return Assessment::because(Verdict::Failed, deadline(world, object, deployment, late, &pods));
    }
    if !complete || unavailable {
        let rest =
            Pods { new: &pods, others: &others(world.pods_below(object), &pods), old_block: OldPods::GoByThemselves };
        return Assessment::because(
            Verdict::Progressing,
            moving(world, object, deployment.replicas, deployment.counts, &rest),
        );
    }
    if let Some(waiting) = waiting(world, &pods) {
        return Assessment::because(Verdict::Progressing, of_pod(object, waiting));
    }
    settled(object, deployment.replicas)
}

/// As many pods as wanted are of the new template and available, and no others are left.
fn is_complete(replicas: i64, counts: Counts) -> bool {
    counts.updated == replicas
        && counts.replicas == replicas
        && counts.available >= replicas
        && counts.ready >= replicas
}

/// All wanted pods are up. With zero replicas, that proves nothing.
pub(super) fn settled(object: &Object, replicas: i64) -> Assessment {
    if replicas > 0 {
        return Assessment::new(Verdict::Current);
    }
    let message = format!("{} is scaled to zero: the image is declared, and nothing runs it", object.label());
    let next = "scale it up to see whether the image runs".to_owned();
    Assessment::because(Verdict::Current, cause::make(CauseCode::Unproven, message, Vec::new(), next))
}

/// A failing pod, and why it fails. Pods that are being deleted do not count.
pub(in crate::landing) fn failing<'a>(world: &World<'_>, pods: &[&'a Object]) -> Option<(&'a Object, Cause)> {
    all_of_verdict(world, pods, Verdict::Failed).next()
}

/// A pod that is still starting or does not say, and why. A pod with a more specific reason than "not ready" comes
/// first.
pub(in crate::landing) fn waiting<'a>(world: &World<'_>, pods: &[&'a Object]) -> Option<(&'a Object, Cause)> {
    let on_their_way: Vec<(&Object, Cause)> = all_of_verdict(world, pods, Verdict::Progressing).collect();
    let specific = on_their_way.iter().position(|(_, cause)| cause.code != CauseCode::NotReady).unwrap_or(0);
    on_their_way.into_iter().nth(specific).or_else(|| all_of_verdict(world, pods, Verdict::Unknown).next())
}

fn all_of_verdict<'a>(
    world: &World<'_>,
    pods: &[&'a Object],
    verdict: Verdict,
) -> impl Iterator<Item = (&'a Object, Cause)> {
    pods.iter().filter_map(move |pod| {
        let found = assess_any(world, pod);
        if found.verdict == verdict { Some((*pod, found.cause?)) } else { None }
    })
}

/// Turns the cause of a pod into that of its workload.
pub(super) fn of_pod(owner: &Object, (_, cause): (&Object, Cause)) -> Cause {
    let mut cause = cause;
    cause.message = cause::clean(&format!("{}: {}", owner.label(), cause.message));
    cause
}

fn deadline(world: &World<'_>, object: &Object, it: &Deployment, late: &Condition, pods: &[&Object]) -> Cause {
    let mut evidence = vec![cause::evidence(late), counts_line(it.replicas, it.counts)];
    let seconds = it.progress_deadline_seconds.unwrap_or(600);
    let message = format!("{} made no progress for {seconds} s", object.label());
    let code = CauseCode::ProgressDeadline;
    let Some((_, waiting)) = waiting(world, pods) else {
        let message = format!("{message}: {}", late.message);
        return cause::make(code, message, evidence, cause::next(code, object, None));
    };
    evidence.extend(waiting.evidence);
    let made = cause::make(code, format!("{message}: {}", waiting.message), evidence, waiting.next);
    Cause { blame: waiting.blame, ..made }
}

/// The pods of a rollout.
pub(super) struct Pods<'a> {
    /// Those of the current template.
    pub(super) new: &'a [&'a Object],
    /// All others that the workload owns, including those being deleted.
    pub(super) others: &'a [&'a Object],
    pub(super) old_block: OldPods,
}

/// Whether unhealthy old pods block a rollout.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum OldPods {
    /// They are replaced like any other pod.
    GoByThemselves,
    /// The controller waits for them, or they use up what may be unavailable.
    Block,
}

/// The pods that are not among these.
pub(super) fn others<'a>(all: impl Iterator<Item = &'a Object>, pods: &[&Object]) -> Vec<&'a Object> {
    let is_other = |pod: &&'a Object| {
        matches!(&pod.body, Body::Pod(it) if !matches!(it.phase.as_deref(), Some("Failed" | "Succeeded")))
            && !pods.iter().any(|new| std::ptr::eq(*new, *pod))
    };
    all.filter(is_other).collect()
}

/// The pod that the rollout is waiting for.
fn blocker(world: &World<'_>, pods: &Pods<'_>) -> Option<Cause> {
    let new = waiting(world, pods.new).map(|(_, cause)| match cause.code {
        // A pod in an unknown state is not ready as far as the workload is concerned.
        CauseCode::Unknown => Cause { code: CauseCode::NotReady, ..cause },
        _ => cause,
    });
    if new.as_ref().is_some_and(|cause| cause.code != CauseCode::NotReady) {
        return new;
    }
    let going = pods.others.iter().find_map(|pod| pod::overdue(world, pod));
    let old = || {
        let old: Vec<&Object> = pods.others.iter().copied().filter(|pod| pod.deleting.is_none()).collect();
        let (_, why) = failing(world, &old).or_else(|| waiting(world, &old))?;
        let what = match pods.old_block {
            OldPods::Block => "an unhealthy old pod holds it up",
            OldPods::GoByThemselves => "an old pod is not well either",
        };
        let made = cause::make(CauseCode::NotReady, format!("{what}: {}", why.message), why.evidence, why.next);
        Some(cause::of_platform(made))
    };
    let leaving = || pods.others.iter().find_map(|pod| pod::leaving(pod));
    going.or(new).or_else(old).or_else(leaving)
}

/// The newest pod of the current template that its node has ended: where no other takes its place, the rollout waits.
fn ended<'a>(world: &World<'a>, object: &'a Object) -> Option<Cause> {
    let template = tie::own_template(object);
    let is_ended = |pod: &&Object| {
        matches!(&pod.body, Body::Pod(it) if it.phase.as_deref() == Some("Failed"))
            && pod.deleting.is_none()
            && is_pod_of(pod, template)
    };
    let all = world.pods_below(object).chain(world.children(object)).filter(is_ended);
    let newest = all.max_by_key(|pod| (pod.created, &pod.name))?;
    assess_any(world, newest).cause
}

/// What is still missing, and the pod that blocks it.
pub(super) fn moving(world: &World<'_>, object: &Object, replicas: i64, counts: Counts, pods: &Pods<'_>) -> Cause {
    let mut evidence = vec![counts_line(replicas, counts)];
    let Counts { updated, available, replicas: all, .. } = counts;
    let what = if updated < replicas {
        format!("{updated} of {replicas} pods have the new template")
    } else if all > updated {
        format!("{} pods of the old template are still there", all - updated)
    } else {
        format!("{available} of {replicas} pods are available")
    };
    let message = format!("{}: {what}", object.label());
    let Some(blocker) = blocker(world, pods).or_else(|| ended(world, object)) else {
        let code = CauseCode::NotReady;
        return cause::make(code, message, evidence, cause::next(code, object, None));
    };
    evidence.extend(blocker.evidence);
    let made = cause::make(blocker.code, format!("{message}; {}", blocker.message), evidence, blocker.next);
    Cause { blame: blocker.blame, ..made }
}

fn counts_line(replicas: i64, counts: Counts) -> String {
    let Counts { replicas: all, updated, ready, available } = counts;
    format!("wanted {replicas}, there {all}, updated {updated}, ready {ready}, available {available}")
}

/// Why pods cannot even be created: quota, admission, permission. The conditions say so before any deadline; so do
/// events, until a later one says that a pod was created.
pub(super) fn refused(
    world: &World<'_>,
    object: &Object,
    conditions: &[Condition],
    template: &[Container],
) -> Option<Assessment> {
    let failure = condition(conditions, "ReplicaFailure").filter(|c| c.status == ConditionStatus::True);
    let set = new_replica_set(world, object, template);
    let of_set = set.and_then(|set| match &set.body {
        Body::ReplicaSet(it) => {
            condition(&it.conditions, "ReplicaFailure").filter(|c| c.status == ConditionStatus::True)
        }
        _ => None,
    });
    if let Some(failure) = failure.or(of_set) {
        return Some(refusal(object, &failure.message, cause::evidence(failure)));
    }
    let about = || world.events(object).chain(set.into_iter().flat_map(|set| world.events(set)));
    let last = |reason: &str| about().filter(|event| event.reason == reason).max_by_key(|event| event.last_seen);
    let event = last("FailedCreate")?;
    if last("SuccessfulCreate").is_some_and(|made| made.last_seen > event.last_seen) {
        return None;
    }
    Some(refusal(object, &event.message, format!("event FailedCreate: {}", event.message)))
}

/// Pods that the API server refuses to create.
fn refusal(object: &Object, said: &str, evidence: String) -> Assessment {
    let text = format!("{}: its pods are refused: {said}", object.label());
    let made = cause::refused(object, CauseCode::NotReady, said, text, vec![evidence]);
    let waits = classify::refusal(said).is_some_and(classify::Refusal::mends_by_waiting);
    Assessment::because(if waits { Verdict::Progressing } else { Verdict::Failed }, made)
}

/// The ReplicaSet of the current template: the one with the highest revision, if it still has the template.
pub(super) fn new_replica_set<'a>(world: &World<'a>, object: &Object, template: &[Container]) -> Option<&'a Object> {
    let revision = |set: &Object| {
        let annotation = set.annotations.get("deployment.kubernetes.io/revision");
        annotation.and_then(|text| text.parse::<u64>().ok()).unwrap_or(0)
    };
    let newest = world.children(object).filter(|child| child.kind == "ReplicaSet").max_by_key(|set| revision(set))?;
    let Body::ReplicaSet(set) = &newest.body else { return None };
    // Both carry the number of the rollout; webhooks may have rewritten the images.
    let numbered = revision(object) > 0 && revision(object) == revision(newest);
    (numbered || image::is_of_template(&set.template, template)).then_some(newest)
}

/// Pods of the current template.
pub(in crate::landing) fn new_pods<'a>(world: &World<'a>, object: &Object, template: &[Container]) -> Vec<&'a Object> {
    if let Some(set) = new_replica_set(world, object, template) {
        return world.children(set).filter(|pod| counts_as_pod(pod)).collect();
    }
    let direct = world.children(object).filter(|pod| counts_as_pod(pod));
    let owned = pods_below(world, object).into_iter().chain(unowned_pods(world, object)).chain(direct);
    owned.filter(|pod| is_pod_of(pod, template)).collect()
}

/// Pods of the ReplicaSets of a Deployment or Rollout. ReplicaSets that are not visible are recognised by name: the
/// workload's name and the pods' hash label.
pub(super) fn pods_below<'a>(world: &World<'a>, object: &Object) -> Vec<&'a Object> {
    world.pods_below(object).filter(|pod| counts_as_pod(pod)).collect()
}

/// Pods without an owner that are named like those of a workload: stripped objects do not name their owner.
pub(super) fn unowned_pods<'a>(world: &World<'a>, object: &Object) -> impl Iterator<Item = &'a Object> {
    let prefix = format!("{}-", object.name);
    let namespace = object.namespace.as_deref().unwrap_or_default();
    world.pods_without_owner(namespace).filter(move |pod| pod.name.starts_with(&prefix))
}

/// Pods that are being deleted, or that failed and were replaced (evicted ones remain as a record), do not count.
pub(super) fn counts_as_pod(object: &Object) -> bool {
    match &object.body {
        Body::Pod(pod) => object.deleting.is_none() && pod.phase.as_deref() != Some("Failed"),
        _ => false,
    }
}

/// Whether a pod was made from a template.
pub(super) fn is_pod_of(object: &Object, template: &[Container]) -> bool {
    matches!(&object.body, Body::Pod(pod) if image::is_of_template(&pod.containers, template))
}

/// Judges a ReplicaSet on its own: one scaled to zero is done.
pub(super) fn replica_set(world: &World<'_>, object: &Object, set: &ReplicaSet) -> Assessment {
    if let Some(found) = unobserved(object, set.observed_generation) {
        return found;
    }
    if set.replicas == 0 && set.counts.replicas == 0 {
        return Assessment::new(Verdict::Current);
    }
    let pods: Vec<_> = world.children(object).filter(|pod| counts_as_pod(pod)).collect();
    if let Some(failing) = failing(world, &pods) {
        return Assessment::because(Verdict::Failed, of_pod(object, failing));
    }
    let failure = condition(&set.conditions, "ReplicaFailure").filter(|c| c.status == ConditionStatus::True);
    if let Some(failure) = failure {
        return refusal(object, &failure.message, cause::evidence(failure));
    }
    let counts = Counts { updated: set.counts.replicas, ..set.counts };
    if is_complete(set.replicas, counts) {
        return Assessment::new(Verdict::Current);
    }
    let rest = Pods { new: &pods, others: &others(world.children(object), &pods), old_block: OldPods::GoByThemselves };
    Assessment::because(Verdict::Progressing, moving(world, object, set.replicas, counts, &rest))
}

/// Judges a controller of any other kind that creates pods from a template, by its pods and its counters.
pub(super) fn pod_owner(world: &World<'_>, object: &Object, other: &Other, it: &PodOwner) -> Assessment {
    if let Some(found) = unobserved(object, other.observed_generation) {
        return found;
    }
    let pods = new_pods(world, object, &it.template);
    if let Some(failing) = failing(world, &pods) {
        return Assessment::because(Verdict::Failed, of_pod(object, failing));
    }
    if it.counts.updated < it.replicas
        && let Some(refused) = refused(world, object, &other.conditions, &[])
    {
        return refused;
    }
    let kept = it.partition.is_some() || it.paused;
    let counts = it.counts;
    if kept && counts.updated < it.replicas && counts.ready >= it.replicas {
        let message = format!(
            "{}: {} of {} pods are of the current template: its update strategy keeps the others",
            object.label(),
            counts.updated,
            it.replicas
        );
        let evidence =
            it.partition.iter().map(|partition| format!("spec.updateStrategy.partition: {partition}")).collect();
        let next = pauser::of(world, object).map_or_else(
            || "lower the partition, or resume the update, once the new version has proved itself".to_owned(),
            |pauser| pauser.next,
        );
        return Assessment::because(Verdict::Paused, cause::make(CauseCode::CanaryPaused, message, evidence, next));
    }
    let available = counts.available.max(counts.ready);
    if counts.updated < it.replicas || available < it.replicas || counts.replicas > counts.updated.max(it.replicas) {
        let counts = Counts { available, ..counts };
        let owned = world.children(object).chain(world.pods_below(object));
        let rest = Pods { new: &pods, others: &others(owned, &pods), old_block: OldPods::Block };
        return Assessment::because(Verdict::Progressing, moving(world, object, it.replicas, counts, &rest));
    }
    match waiting(world, &pods) {
        Some(waiting) => Assessment::because(Verdict::Progressing, of_pod(object, waiting)),
        None => settled(object, it.replicas),
    }
}
