//! Deployments and ReplicaSets.
//!
//! `Available=True` alone says nothing about an update: the old ReplicaSet may be what serves. Only pods of the current
//! template count; which they are is told by the ReplicaSet of the highest revision, or by their images.

use crate::model::observation::{
    Body, Condition, ConditionStatus, Container, Counts, Deployment, Object, ReplicaSet, condition,
};
use crate::model::{Cause, CauseCode, Verdict};

use super::{Assessment, assess as assess_any, unobserved};
use crate::landing::cause::classify;
use crate::landing::{World, cause, image};

/// Judges a Deployment.
pub(super) fn assess(world: &World<'_>, object: &Object, deployment: &Deployment) -> Assessment {
    let found = rolling(world, object, deployment);
    if !deployment.paused || matches!(found.verdict, Verdict::Failed | Verdict::Unknown) {
        return found;
    }
    let next = format!("kubectl {}rollout resume deployment/{}", cause::in_namespace(object), object.name);
    let message = format!("{} is paused", object.label());
    let evidence = found.cause.into_iter().map(|cause| cause.message).collect();
    Assessment::because(Verdict::Paused, cause::make(CauseCode::Suspended, message, evidence, next))
}

/// How far the pods are, whether or not it is paused.
pub(in crate::landing) fn rolling(world: &World<'_>, object: &Object, deployment: &Deployment) -> Assessment {
    if let Some(found) = unobserved(object, deployment.observed_generation) {
        return found;
    }
    let pods = new_pods(world, object, &deployment.template);
    if let Some(failing) = failing(world, &pods) {
        return Assessment::because(Verdict::Failed, of_pod(object, failing));
    }
    let refused = refused(world, object, &deployment.conditions, &deployment.template);
    let complete = is_complete(deployment.replicas, deployment.counts);
    if let Some(refused) = refused.filter(|_| !complete) {
        return Assessment::because(Verdict::Failed, refused);
    }
    let progressing = condition(&deployment.conditions, "Progressing");
    if let Some(late) =
        progressing.filter(|c| c.status == ConditionStatus::False && c.reason == "ProgressDeadlineExceeded")
    {
        return Assessment::because(Verdict::Failed, deadline(world, object, deployment, late, &pods));
    }
    let unavailable = condition(&deployment.conditions, "Available").is_some_and(|c| c.status != ConditionStatus::True);
    if !complete || (unavailable && deployment.replicas > 0) {
        return Assessment::because(
            Verdict::Progressing,
            moving(world, object, deployment.replicas, deployment.counts, &pods),
        );
    }
    if let Some(waiting) = waiting(world, &pods) {
        return Assessment::because(Verdict::Progressing, of_pod(object, waiting));
    }
    settled(object, deployment.replicas)
}

/// As many pods as asked for are of the new template and up, and no others are left.
fn is_complete(replicas: i64, counts: Counts) -> bool {
    counts.updated == replicas
        && counts.replicas == replicas
        && counts.available >= replicas
        && counts.ready >= replicas
}

/// All pods that shall be are up. None at all is no proof of anything.
pub(super) fn settled(object: &Object, replicas: i64) -> Assessment {
    if replicas > 0 {
        return Assessment::new(Verdict::Current);
    }
    let message = format!("{} is scaled to zero: the image is declared, and nothing runs it", object.label());
    let next = "scale it up to see whether the image runs".to_owned();
    Assessment::because(Verdict::Current, cause::make(CauseCode::Unproven, message, Vec::new(), next))
}

/// A pod that fails, with why. Pods that are going are not counted.
pub(in crate::landing) fn failing<'a>(world: &World<'_>, pods: &[&'a Object]) -> Option<(&'a Object, Cause)> {
    of_verdict(world, pods, Verdict::Failed)
}

/// A pod that is on its way or does not say, with why.
pub(in crate::landing) fn waiting<'a>(world: &World<'_>, pods: &[&'a Object]) -> Option<(&'a Object, Cause)> {
    of_verdict(world, pods, Verdict::Progressing).or_else(|| of_verdict(world, pods, Verdict::Unknown))
}

fn of_verdict<'a>(world: &World<'_>, pods: &[&'a Object], verdict: Verdict) -> Option<(&'a Object, Cause)> {
    pods.iter().find_map(|pod| {
        let found = assess_any(world, pod);
        if found.verdict == verdict { Some((*pod, found.cause?)) } else { None }
    })
}

/// The cause of a pod as that of its workload.
pub(super) fn of_pod(owner: &Object, (_, cause): (&Object, Cause)) -> Cause {
    let mut cause = cause;
    cause.message = cause::clean(&format!("{}: {}", owner.label(), cause.message));
    cause
}

fn deadline(world: &World<'_>, object: &Object, it: &Deployment, late: &Condition, pods: &[&Object]) -> Cause {
    let mut evidence = vec![cause::evidence(late), counts_line(it.replicas, it.counts)];
    if let Some((_, waiting)) = waiting(world, pods) {
        evidence.push(waiting.message);
        evidence.extend(waiting.evidence);
    }
    let seconds = it.progress_deadline_seconds.unwrap_or(600);
    let message = format!("{} made no progress for {seconds} s: {}", object.label(), late.message);
    cause::make(CauseCode::ProgressDeadline, message, evidence, cause::next(CauseCode::ProgressDeadline, object, None))
}

/// What is still missing.
pub(super) fn moving(world: &World<'_>, object: &Object, replicas: i64, counts: Counts, pods: &[&Object]) -> Cause {
    let mut evidence = vec![counts_line(replicas, counts)];
    if let Some((_, waiting)) = waiting(world, pods) {
        evidence.push(waiting.message);
        evidence.extend(waiting.evidence);
    }
    let Counts { updated, available, replicas: all, .. } = counts;
    let what = if updated < replicas {
        format!("{updated} of {replicas} pods are of the new template")
    } else if all > updated {
        format!("{} pods of the old template are still there", all - updated)
    } else {
        format!("{available} of {replicas} pods are available")
    };
    let message = format!("{}: {what}", object.label());
    cause::make(CauseCode::NotReady, message, evidence, cause::next(CauseCode::NotReady, object, None))
}

fn counts_line(replicas: i64, counts: Counts) -> String {
    let Counts { replicas: all, updated, ready, available } = counts;
    format!("wanted {replicas}, there {all}, updated {updated}, ready {ready}, available {available}")
}

/// Why pods cannot even be made: quota, admission, permission. The conditions say so before any deadline, events too.
pub(super) fn refused(
    world: &World<'_>,
    object: &Object,
    conditions: &[Condition],
    template: &[Container],
) -> Option<Cause> {
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
    let events = world.events(object).chain(set.into_iter().flat_map(|set| world.events(set)));
    let event = events.filter(|event| event.reason == "FailedCreate").max_by_key(|event| event.last_seen)?;
    Some(refusal(object, &event.message, format!("event FailedCreate: {}", event.message)))
}

/// The cause of pods that the API server refuses to make.
fn refusal(object: &Object, message: &str, evidence: String) -> Cause {
    let code = classify::apply(message, CauseCode::NotReady);
    let text = format!("{}: its pods are refused: {message}", object.label());
    cause::make(code, text, vec![evidence], cause::next(code, object, None))
}

/// The ReplicaSet of the current template: that of the highest revision, if it still carries the template.
pub(super) fn new_replica_set<'a>(world: &World<'a>, object: &Object, template: &[Container]) -> Option<&'a Object> {
    let revision = |set: &Object| {
        let annotation = set.annotations.get("deployment.kubernetes.io/revision");
        annotation.and_then(|text| text.parse::<u64>().ok()).unwrap_or(0)
    };
    let newest = world.children(object).filter(|child| child.kind == "ReplicaSet").max_by_key(|set| revision(set))?;
    let Body::ReplicaSet(set) = &newest.body else { return None };
    image::is_of_template(&set.template, template).then_some(newest)
}

/// Pods of the current template.
pub(in crate::landing) fn new_pods<'a>(world: &World<'a>, object: &Object, template: &[Container]) -> Vec<&'a Object> {
    if let Some(set) = new_replica_set(world, object, template) {
        return world.children(set).filter(|pod| counts_as_pod(pod)).collect();
    }
    let owned = pods_below(world, object).into_iter().chain(unowned_pods(world, object));
    owned.filter(|pod| is_pod_of(pod, template)).collect()
}

/// Pods of the ReplicaSets of a Deployment or Rollout, known or not: those are named after it and the pods' hash label.
pub(super) fn pods_below<'a>(world: &World<'a>, object: &Object) -> Vec<&'a Object> {
    world.pods_below(object).filter(|pod| counts_as_pod(pod)).collect()
}

/// Pods without an owner that are named as those of a workload are: stripped objects do not say who made them.
pub(super) fn unowned_pods<'a>(world: &World<'a>, object: &Object) -> impl Iterator<Item = &'a Object> {
    let prefix = format!("{}-", object.name);
    let namespace = object.namespace.as_deref().unwrap_or_default();
    world.pods_without_owner(namespace).filter(move |pod| pod.name.starts_with(&prefix))
}

/// Pods that are going, or that have failed and were replaced (evicted ones stay as a record), do not count.
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

/// Judges a ReplicaSet by itself: one scaled to zero is done.
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
        return Assessment::because(Verdict::Failed, refusal(object, &failure.message, cause::evidence(failure)));
    }
    let counts = Counts { updated: set.counts.replicas, ..set.counts };
    if is_complete(set.replicas, counts) {
        return Assessment::new(Verdict::Current);
    }
    Assessment::because(Verdict::Progressing, moving(world, object, set.replicas, counts, &pods))
}
