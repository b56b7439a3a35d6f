//! Argo Rollouts. The phase is only true for the observed generation, which the API writes as text.

use jiff::Timestamp;

use crate::model::observation::{Body, ConditionStatus, Container, Object, Rollout, condition};
use crate::model::{Cause, CauseCode, Verdict};

use super::deployment::{
    OldPods, Pods, counts_as_pod, failing, is_pod_of, moving, of_pod, others, pods_below, refused, settled, waiting,
};
use super::{Assessment, unobserved};
use crate::landing::{World, cause};

/// Judges a Rollout.
pub(super) fn assess(world: &World<'_>, object: &Object, it: &Rollout) -> Assessment {
    let message = it.message.as_deref().unwrap_or_default();
    if let Some(found) = unobserved(object, it.observed_generation).or_else(|| template_unobserved(object, it)) {
        return found;
    }
    let invalid = condition(&it.conditions, "InvalidSpec").filter(|c| c.status == ConditionStatus::True);
    if let Some(invalid) = invalid {
        let said = if invalid.message.is_empty() { message } else { invalid.message.as_str() };
        let text = format!("{} is not valid, so nothing is rolled out: {said}", object.label());
        let next = "correct the Rollout's specification as the message says, and commit";
        let made = cause::make(CauseCode::ConfigError, text, vec![cause::evidence(invalid)], next);
        return Assessment::because(Verdict::Failed, made);
    }
    // A rollout that was promoted long ago may still be aborted because of a deadline: then the stable version is the
    // declared one.
    let is_aborted = it.abort || message.starts_with("RolloutAborted");
    let serves = is_promoted(it) && it.counts.updated >= it.replicas && it.counts.available >= it.replicas;
    if is_aborted && !serves {
        return Assessment::because(Verdict::Failed, aborted(world, object, it));
    }
    let pods = new_pods(world, object, it);
    if let Some(failing) = failing(world, &pods) {
        return Assessment::because(Verdict::Failed, of_pod(object, failing));
    }
    if let Some(refused) =
        refused(world, object, &it.conditions, template(world, object, it)).filter(|_| it.counts.updated < it.replicas)
    {
        return refused;
    }
    if it.paused {
        let text = format!("{} is paused by its specification", object.label());
        let next = format!("kubectl argo rollouts {}resume {}", cause::in_namespace(object), object.name);
        return Assessment::because(Verdict::Paused, cause::make(CauseCode::Suspended, text, Vec::new(), next));
    }
    if !it.pause_reasons.is_empty() {
        let asks =
            it.pause_reasons.iter().any(|reason| !matches!(reason.as_str(), "CanaryPauseStep" | "BlueGreenPause"));
        return match it.goes_on.filter(|_| !asks) {
            Some(until) => Assessment::because(Verdict::Progressing, pausing(object, it, until)),
            None => Assessment::because(Verdict::Paused, canary(object, it)),
        };
    }
    match it.phase.as_deref() {
        Some("Degraded") if is_aborted => settled(object, it.replicas),
        Some("Degraded") => Assessment::because(Verdict::Failed, degraded(object, it, message)),
        // Paused without a remaining reason: it is about to go on, and the controller has not written that yet.
        Some("Paused") if it.controller_pause => Assessment::new(Verdict::Progressing),
        Some("Paused") => Assessment::because(Verdict::Paused, canary(object, it)),
        Some("Healthy") if it.replicas > 0 && !is_promoted(it) => {
            let text = format!("{} reports Healthy, but its stable version is not the current one", object.label());
            let evidence = vec![hashes(it)];
            let made = cause::make(CauseCode::NotReady, text, evidence, cause::next(CauseCode::NotReady, object, None));
            Assessment::because(Verdict::Progressing, made)
        }
        Some("Healthy") => match waiting(world, &pods) {
            Some(waiting) => Assessment::because(Verdict::Progressing, of_pod(object, waiting)),
            None => settled(object, it.replicas),
        },
        Some("Progressing") => {
            // Unhealthy stable pods count as unavailable, and the controller waits for them.
            let rest = Pods { new: &pods, others: &others(world.pods_below(object), &pods), old_block: OldPods::Block };
            Assessment::because(Verdict::Progressing, moving(world, object, it.replicas, it.counts, &rest))
        }
        _ => {
            let text = format!("{} does not say its phase", object.label());
            let made = cause::make(
                CauseCode::Unknown,
                text,
                Vec::new(),
                "check whether the Argo Rollouts controller is running",
            );
            Assessment::because(Verdict::Unknown, made)
        }
    }
}

fn is_promoted(it: &Rollout) -> bool {
    it.stable_rs.is_some() && it.stable_rs == it.current_pod_hash
}

fn hashes(it: &Rollout) -> String {
    let of = |hash: &Option<String>| hash.clone().unwrap_or_else(|| "none".to_owned());
    format!("stableRS {}, currentPodHash {}", of(&it.stable_rs), of(&it.current_pod_hash))
}

/// With `workloadRef`, the template is in another object and has a generation of its own.
fn template_unobserved(object: &Object, it: &Rollout) -> Option<Assessment> {
    it.workload_ref.as_ref()?;
    let wanted = object.annotations.get("rollout.argoproj.io/workload-generation")?.parse::<i64>().ok()?;
    if it.workload_observed_generation == Some(wanted) {
        return None;
    }
    let message =
        format!("{}: the workload that it refers to was changed and has not been observed yet", object.label());
    let seen = it.workload_observed_generation.map_or_else(|| "none".to_owned(), |seen| seen.to_string());
    let evidence = vec![format!("workload generation {wanted}, workloadObservedGeneration {seen}")];
    let made = cause::make(CauseCode::Stale, message, evidence, cause::next(CauseCode::Stale, object, None));
    Some(Assessment::because(Verdict::Progressing, made))
}

fn aborted(world: &World<'_>, object: &Object, it: &Rollout) -> Cause {
    let said = it.message.as_deref().unwrap_or("aborted");
    let message = format!("{} was aborted; the stable version serves: {said}", object.label());
    let mut evidence = vec![format!("phase {}: {said}", it.phase.as_deref().unwrap_or("none")), hashes(it)];
    if let Some((_, found)) = failing(world, &new_pods(world, object, it)) {
        evidence.push(found.message);
    }
    let runs = world.children(object).filter(|child| child.kind == "AnalysisRun");
    evidence.extend(runs.filter_map(|run| match &run.body {
        Body::Other(other) => {
            let phase = other.phase.as_deref().filter(|phase| matches!(*phase, "Failed" | "Error" | "Inconclusive"))?;
            Some(format!("{}: {phase}: {}", run.label(), other.message.as_deref().unwrap_or_default()))
        }
        _ => None,
    }));
    let (place, name) = (cause::in_namespace(object), &object.name);
    let next = format!(
        "find out why its analysis failed, then commit a version that works, or retry: `kubectl argo rollouts {place}retry rollout {name}`"
    );
    cause::make(CauseCode::RolledBack, message, evidence, next)
}

/// A pause with a duration: nobody has to end it.
fn pausing(object: &Object, it: &Rollout, until: Timestamp) -> Cause {
    let message = format!("{} waits{} until {until:.0}: {}", object.label(), step(it), it.pause_reasons.join(", "));
    let evidence = vec![hashes(it), it.message.clone().unwrap_or_default()];
    cause::make(CauseCode::CanaryPaused, message, evidence, "nothing to do: it continues on its own at that time")
}

/// ` at step 1 of 3`, where it has steps.
fn step(it: &Rollout) -> String {
    match (it.current_step, it.steps) {
        (Some(at), steps) if steps > 0 => format!(" at step {at} of {steps}"),
        _ => String::new(),
    }
}

fn canary(object: &Object, it: &Rollout) -> Cause {
    let reasons = if it.pause_reasons.is_empty() { "paused".to_owned() } else { it.pause_reasons.join(", ") };
    let message = format!("{} waits{}: {reasons}", object.label(), step(it));
    let evidence = vec![hashes(it), it.message.clone().unwrap_or_default()];
    cause::make(CauseCode::CanaryPaused, message, evidence, cause::next(CauseCode::CanaryPaused, object, None))
}

fn degraded(object: &Object, it: &Rollout, message: &str) -> Cause {
    let code = match message {
        text if text.contains("ProgressDeadlineExceeded") || text.contains("timed out progressing") => {
            CauseCode::ProgressDeadline
        }
        text if text.starts_with("InvalidSpec") => CauseCode::ConfigError,
        _ => CauseCode::NotReady,
    };
    let text = format!("{} is degraded: {message}", object.label());
    cause::make(code, text, vec![hashes(it)], cause::next(code, object, None))
}

/// Pods of the current template.
pub(in crate::landing) fn new_pods<'a>(world: &World<'a>, object: &Object, it: &Rollout) -> Vec<&'a Object> {
    let template = template(world, object, it);
    let is_new = |pod: &&Object| match (pod.labels.get("rollouts-pod-template-hash"), &it.current_pod_hash) {
        (Some(hash), Some(current)) => hash == current,
        _ => is_pod_of(pod, template),
    };
    let sets = world.children(object).filter(|child| child.kind == "ReplicaSet");
    let mut pods: Vec<&Object> = sets.flat_map(|set| world.children(set)).filter(|pod| counts_as_pod(pod)).collect();
    if pods.is_empty() {
        pods = pods_below(world, object);
    }
    pods.into_iter().filter(is_new).collect()
}

/// The pod template: its own, or that of the Deployment it refers to.
pub(in crate::landing) fn template<'w>(world: &World<'w>, object: &Object, it: &'w Rollout) -> &'w [Container] {
    let referred = it.workload_ref.as_ref().and_then(|to| world.referred(object, to, "Deployment"));
    match referred.map(|object| &object.body) {
        Some(Body::Deployment(deployment)) => &deployment.template,
        Some(Body::ReplicaSet(set)) => &set.template,
        _ => &it.template,
    }
}
