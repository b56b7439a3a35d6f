//! StatefulSets and DaemonSets: neither ever reports a failure itself, and Argo CD and kstatus take both for healthy where
//! pods are only replaced by hand or below a partition.

use crate::model::observation::{Body, Counts, DaemonSet, Object, StatefulSet, UpdateStrategy};
use crate::model::{Cause, CauseCode, Verdict};

use super::deployment::{counts_as_pod, failing, is_pod_of, moving, of_pod, refused, settled, unowned_pods, waiting};
use super::{Assessment, unobserved};
use crate::landing::{World, cause};

/// Judges a StatefulSet.
pub(super) fn stateful_set(world: &World<'_>, object: &Object, set: &StatefulSet) -> Assessment {
    if let Some(found) = unobserved(object, set.observed_generation) {
        return found;
    }
    let (new, old) = pods(world, object, set);
    if let Some(failing) = failing(world, &new) {
        return Assessment::because(Verdict::Failed, of_pod(object, failing));
    }
    // The controller waits for the old pod to be ready before it replaces it, which a broken one never is
    // (kubernetes#67250), also with the mended template in place.
    if set.strategy == UpdateStrategy::RollingUpdate
        && let Some((pod, found)) = failing(world, &old)
    {
        return Assessment::because(Verdict::Failed, blocked(object, pod, found));
    }
    let counts = StatefulCounts::of(set);
    if counts.created < set.replicas
        && let Some(refused) = refused(world, object, &set.conditions, &[])
    {
        return Assessment::because(Verdict::Failed, refused);
    }
    let (wanted, deliberate) = match set.strategy {
        UpdateStrategy::OnDelete => (0, Some("pods are only replaced when somebody deletes them (OnDelete)")),
        UpdateStrategy::RollingUpdate if set.partition > 0 => {
            ((set.replicas - set.partition).max(0), Some("pods below the partition keep the old template"))
        }
        UpdateStrategy::RollingUpdate => (set.replicas, None),
    };
    let whole = counts.updated >= set.replicas;
    if counts.updated < wanted || set.counts.ready < set.replicas || counts.created != set.replicas {
        let counts = Counts { updated: counts.updated, available: set.counts.ready, ..set.counts };
        return Assessment::because(Verdict::Progressing, moving(world, object, set.replicas, counts, &new));
    }
    if let Some(waiting) = waiting(world, &new) {
        return Assessment::because(Verdict::Progressing, of_pod(object, waiting));
    }
    match deliberate {
        Some(why) if !whole => unproven(object, why, counts.updated, set.replicas, &old),
        _ => settled(object, set.replicas),
    }
}

/// Counters of a StatefulSet: once an update is complete, `updatedReplicas` is left out or 0 in some versions, and both
/// revisions are the same.
struct StatefulCounts {
    created: i64,
    updated: i64,
}

impl StatefulCounts {
    fn of(set: &StatefulSet) -> Self {
        let same = set.update_revision.is_some() && set.update_revision == set.current_revision;
        let updated = if same { set.counts.replicas } else { set.counts.updated };
        Self { created: set.counts.replicas, updated }
    }
}

/// A result for what people decided not to update by itself.
fn unproven(object: &Object, why: &str, updated: i64, wanted: i64, old: &[&Object]) -> Assessment {
    let message = format!("{}: {updated} of {wanted} pods are of the current template: {why}", object.label());
    let names: Vec<&str> = old.iter().map(|pod| pod.name.as_str()).take(5).collect();
    let pods = if names.is_empty() { "the old pods".to_owned() } else { format!("pod {}", names.join(" ")) };
    let next = format!(
        "delete {pods} to update them, or lower the partition: `kubectl {}delete {pods}`",
        cause::in_namespace(object)
    );
    Assessment::because(Verdict::Current, cause::make(CauseCode::Unproven, message, Vec::new(), next))
}

fn blocked(object: &Object, pod: &Object, found: Cause) -> Cause {
    let message = format!(
        "{}: {} of the old template is broken and is never replaced by itself: {}",
        object.label(),
        pod.label(),
        found.message
    );
    let mut evidence =
        vec!["a StatefulSet waits for a pod to be ready before it replaces it (kubernetes#67250)".to_owned()];
    evidence.extend(found.evidence);
    let next = format!("delete pod {}: `kubectl {}delete pod {}`", pod.name, cause::in_namespace(pod), pod.name);
    cause::make(found.code, message, evidence, next)
}

/// Pods of the current template, and others.
pub(in crate::landing) fn pods<'a>(
    world: &World<'a>,
    object: &Object,
    set: &StatefulSet,
) -> (Vec<&'a Object>, Vec<&'a Object>) {
    let is_new = |pod: &&Object| match (pod.labels.get("controller-revision-hash"), &set.update_revision) {
        (Some(hash), Some(revision)) => hash == revision,
        _ => is_pod_of(pod, &set.template),
    };
    let stripped = unowned_pods(world, object).filter(|pod| is_pod_of(pod, &set.template));
    world.children(object).chain(stripped).filter(|pod| is_live_pod(pod)).partition(is_new)
}

/// A failed pod of a StatefulSet or DaemonSet counts: it stands in the place of the next.
fn is_live_pod(object: &Object) -> bool {
    matches!(object.body, Body::Pod(_)) && object.deleting.is_none()
}

/// Judges a DaemonSet.
pub(super) fn daemon_set(world: &World<'_>, object: &Object, set: &DaemonSet) -> Assessment {
    if let Some(found) = unobserved(object, set.observed_generation) {
        return found;
    }
    let Some(desired) = set.desired else {
        let message = format!("{} does not say how many pods it shall have", object.label());
        let next = cause::next(CauseCode::Unknown, object, None);
        return Assessment::because(Verdict::Unknown, cause::make(CauseCode::Unknown, message, Vec::new(), next));
    };
    let (new, old): (Vec<&Object>, Vec<&Object>) = world
        .children(object)
        .chain(unowned_pods(world, object))
        .filter(|pod| counts_as_pod(pod))
        .partition(|pod| is_pod_of(pod, &set.template));
    if let Some(failing) = failing(world, &new) {
        return Assessment::because(Verdict::Failed, of_pod(object, failing));
    }
    let counts = Counts { replicas: desired, updated: set.updated, ready: set.ready, available: set.available };
    let on_delete = set.strategy == UpdateStrategy::OnDelete;
    let complete = (on_delete || set.updated >= desired) && set.available >= desired;
    if !complete {
        if let Some(refused) = refused(world, object, &set.conditions, &[]) {
            return Assessment::because(Verdict::Failed, refused);
        }
        return Assessment::because(Verdict::Progressing, moving(world, object, desired, counts, &new));
    }
    if let Some(waiting) = waiting(world, &new) {
        return Assessment::because(Verdict::Progressing, of_pod(object, waiting));
    }
    if on_delete && set.updated < desired {
        let why = "pods are only replaced when somebody deletes them (OnDelete)";
        return unproven(object, why, set.updated, desired, &old);
    }
    if desired == 0 {
        let message = format!("{}: no node is selected, so nothing runs the image", object.label());
        let made = cause::make(CauseCode::Unproven, message, Vec::new(), "check its node selector and tolerations");
        return Assessment::because(Verdict::Current, made);
    }
    Assessment::new(Verdict::Current)
}
