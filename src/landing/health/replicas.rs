//! StatefulSets and DaemonSets. Neither ever reports a failure itself, and Argo CD and kstatus call both healthy if
//! pods are only replaced by hand or are below a partition.

use crate::model::observation::{Body, Counts, DaemonSet, Object, StatefulSet, UpdateStrategy};
use crate::model::{Cause, CauseCode, Verdict};

use super::deployment::{
    OldPods, Pods, counts_as_pod, failing, is_pod_of, moving, of_pod, others, refused, settled, unowned_pods, waiting,
};
use super::{Assessment, assess, pauser, unobserved};
use crate::landing::{World, cause, image};

/// Judges a StatefulSet.
pub(super) fn stateful_set(world: &World<'_>, object: &Object, set: &StatefulSet) -> Assessment {
    if let Some(found) = unobserved(object, set.observed_generation) {
        return found;
    }
    let (new, old) = pods(world, object, set);
    if let Some(failing) = failing(world, &staying(&new)) {
        return Assessment::because(Verdict::Failed, of_pod(object, failing));
    }
    // With OrderedReady the controller waits for each pod to become ready before it goes on. A broken pod never does,
    // even with a corrected template (kubernetes#67250). With Parallel it is replaced in its turn.
    let waits_for_old = set.strategy == UpdateStrategy::RollingUpdate && !set.parallel;
    let counts = StatefulCounts::of(set);
    if let Some(kept) = kept_below(world, object, set, (&new, &old), &counts) {
        return kept;
    }
    if waits_for_old && let Some((pod, found)) = failing(world, &staying(&old)) {
        return Assessment::because(Verdict::Failed, blocked(object, set, pod, found));
    }
    if counts.created < set.replicas
        && let Some(refused) = refused(world, object, &set.conditions, &[])
    {
        return refused;
    }
    let (wanted, kept) = match set.strategy {
        UpdateStrategy::OnDelete => (0, Some(KeptBy::OnDelete)),
        UpdateStrategy::RollingUpdate if set.partition > 0 => {
            ((set.replicas - set.partition).max(0), Some(KeptBy::Partition(set.partition)))
        }
        UpdateStrategy::RollingUpdate => (set.replicas, None),
    };
    // Before Kubernetes 1.22, the status does not count the available ones; where pods must stay ready for a while, it does.
    let available = if set.min_ready_seconds > 0 { set.counts.available } else { set.counts.ready };
    if counts.updated < wanted || available < set.replicas || counts.created != set.replicas {
        let counts = Counts { updated: counts.updated, available, ..set.counts };
        let old_block = if waits_for_old { OldPods::Block } else { OldPods::GoByThemselves };
        let rest = Pods { new: &new, others: &others(world.children(object), &new), old_block };
        return Assessment::because(Verdict::Progressing, moving(world, object, set.replicas, counts, &rest));
    }
    if let Some(waiting) = waiting(world, &new) {
        return Assessment::because(Verdict::Progressing, of_pod(object, waiting));
    }
    match kept {
        Some(why) if counts.updated < set.replicas => {
            kept_back(world, object, why, (counts.updated, set.replicas), &old)
        }
        _ => settled(object, set.replicas),
    }
}

/// Set if all pods above the partition are updated and up, and all that is unwell is below it. Such a pod keeps its
/// version on purpose and holds up nothing.
fn kept_below(
    world: &World<'_>,
    object: &Object,
    set: &StatefulSet,
    (new, old): (&[&Object], &[&Object]),
    counts: &StatefulCounts,
) -> Option<Assessment> {
    let wanted = (set.replicas - set.partition).max(0);
    let by_partition = set.strategy == UpdateStrategy::RollingUpdate && set.partition > 0;
    if !by_partition || counts.updated < wanted || counts.created != set.replicas || waiting(world, new).is_some() {
        return None;
    }
    let below = |pod: &&&Object| ordinal(pod).is_some_and(|ordinal| ordinal < set.partition);
    let below: Vec<&Object> = old.iter().filter(below).copied().collect();
    let unwell = below.iter().filter(|pod| assess(world, pod).verdict != Verdict::Current).count();
    if unwell == 0 || set.replicas - set.counts.ready > i64::try_from(unwell).unwrap_or(i64::MAX) {
        return None;
    }
    let (_, why) = failing(world, &below).or_else(|| waiting(world, &below))?;
    let mut kept = kept_back(world, object, KeptBy::Partition(set.partition), (counts.updated, set.replicas), old);
    if let Some(cause) = &mut kept.cause {
        cause.evidence.push(cause::clean(&format!("an old pod below the partition is unwell: {}", why.message)));
        cause.evidence.extend(why.evidence);
    }
    Some(kept)
}

/// The ordinal of a pod of a StatefulSet.
fn ordinal(pod: &Object) -> Option<i64> {
    pod.name.rsplit_once('-').and_then(|(_, ordinal)| ordinal.parse().ok())
}

/// Pods that their node ended are replaced by the controller; the others remain.
fn staying<'a>(pods: &[&'a Object]) -> Vec<&'a Object> {
    pods.iter().copied().filter(|pod| counts_as_pod(pod)).collect()
}

/// Counters of a StatefulSet. Once an update is complete, some versions leave `updatedReplicas` out or set it to 0, and
/// both revisions are the same.
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

/// What keeps old pods in place on purpose.
#[derive(Debug, Clone, Copy)]
enum KeptBy {
    /// Pods with a lower ordinal remain.
    Partition(i64),
    /// Each pod remains until somebody deletes it.
    OnDelete,
}

/// The assessment of a workload that people configured not to update on its own.
fn kept_back(
    world: &World<'_>,
    object: &Object,
    why: KeptBy,
    (updated, wanted): (i64, i64),
    old: &[&Object],
) -> Assessment {
    let head = format!("{}: {updated} of {wanted} pods are of the current template", object.label());
    let made = match why {
        KeptBy::Partition(partition) => cause::make(
            CauseCode::CanaryPaused,
            format!("{head}: pods below the partition {partition} keep the old one"),
            vec![format!("spec.updateStrategy.rollingUpdate.partition: {partition}")],
            pauser::of(world, object).map_or_else(
                || {
                    "lower spec.updateStrategy.rollingUpdate.partition once the new version has proved itself; a pod that is \
                     deleted below it comes back at the old version"
                        .to_owned()
                },
                |pauser| pauser.next,
            ),
        ),
        KeptBy::OnDelete => {
            // One at a time, the last first, as the controller itself would: a command with several names deletes all at once.
            let next_pod = old.iter().max_by_key(|pod| (ordinal(pod), &pod.name));
            let pod = next_pod.map_or("POD", |pod| pod.name.as_str());
            let mut evidence = vec!["spec.updateStrategy.type: OnDelete".to_owned()];
            evidence.extend(old.iter().take(5).map(|pod| format!("{} is of an old template", pod.name)));
            cause::make(
                CauseCode::Suspended,
                format!("{head}: pods are replaced only when somebody deletes them (OnDelete)"),
                evidence,
                format!(
                    "delete one old pod, wait until its replacement is ready, then go on with the next one: `kubectl {}delete pod {pod}`",
                    cause::in_namespace(object)
                ),
            )
        }
    };
    Assessment::because(Verdict::Paused, made)
}

fn blocked(object: &Object, set: &StatefulSet, pod: &Object, found: Cause) -> Cause {
    let message = format!(
        "{}: {} of the old template is broken and is never replaced automatically: {}",
        object.label(),
        pod.label(),
        found.message
    );
    let mut evidence =
        vec!["a StatefulSet waits for a pod to be ready before it replaces it (kubernetes#67250)".to_owned()];
    evidence.extend(found.evidence);
    let next = if ordinal(pod).is_some_and(|ordinal| ordinal < set.partition) {
        format!(
            "lower spec.updateStrategy.rollingUpdate.partition so that {} is updated, or correct what the old version needs: deleted, \
             it comes back at the old version",
            pod.name
        )
    } else {
        format!("delete pod {}: `kubectl {}delete pod {}`", pod.name, cause::in_namespace(pod), pod.name)
    };
    // The version that it runs is the one before: another new version would wait for it just the same.
    cause::of_platform(cause::make(found.code, message, evidence, next))
}

/// Pods of the current template, and the others.
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

/// A failed pod of a StatefulSet or DaemonSet counts: it blocks its replacement.
fn is_live_pod(object: &Object) -> bool {
    matches!(object.body, Body::Pod(_)) && object.deleting.is_none()
}

/// Judges a DaemonSet.
pub(super) fn daemon_set(world: &World<'_>, object: &Object, set: &DaemonSet) -> Assessment {
    if let Some(found) = unobserved(object, set.observed_generation) {
        return found;
    }
    let Some(desired) = set.desired else {
        let message = format!("{} does not say how many pods it should have", object.label());
        let next = cause::next(CauseCode::Unknown, object, None);
        return Assessment::because(Verdict::Unknown, cause::make(CauseCode::Unknown, message, Vec::new(), next));
    };
    let (new, old) = daemon_pods(world, object, set);
    if let Some(failing) = failing(world, &new) {
        return Assessment::because(Verdict::Failed, of_pod(object, failing));
    }
    let counts = Counts { replicas: desired, updated: set.updated, ready: set.ready, available: set.available };
    let on_delete = set.strategy == UpdateStrategy::OnDelete;
    let complete = (on_delete || set.updated >= desired) && set.available >= desired;
    if !complete {
        if let Some(refused) = refused(world, object, &set.conditions, &[]) {
            return refused;
        }
        // An old pod that is not available uses up what may be unavailable.
        let rest = Pods { new: &new, others: &others(world.children(object), &new), old_block: OldPods::Block };
        return Assessment::because(Verdict::Progressing, moving(world, object, desired, counts, &rest));
    }
    if let Some(waiting) = waiting(world, &new) {
        return Assessment::because(Verdict::Progressing, of_pod(object, waiting));
    }
    if on_delete && set.updated < desired {
        return kept_back(world, object, KeptBy::OnDelete, (set.updated, desired), &old);
    }
    if desired == 0 {
        let message = format!("{}: no node is selected, so nothing runs the image", object.label());
        let made = cause::make(CauseCode::Unproven, message, Vec::new(), "check its node selector and tolerations");
        return Assessment::because(Verdict::Current, made);
    }
    Assessment::new(Verdict::Current)
}

/// Pods of the current template, and the others. The controller creates pods of the newest revision; as soon as one pod
/// is counted as updated, the youngest one carries its hash. Images may have been rewritten on the way.
fn daemon_pods<'a>(world: &World<'a>, object: &'a Object, set: &DaemonSet) -> (Vec<&'a Object>, Vec<&'a Object>) {
    let all: Vec<&Object> =
        world.children(object).chain(unowned_pods(world, object)).filter(|pod| counts_as_pod(pod)).collect();
    let hash = |pod: &Object| pod.labels.get("controller-revision-hash").map(str::to_owned);
    let by_image = all.iter().find(|pod| is_pod_of(pod, &set.template)).and_then(|pod| hash(pod));
    let youngest = || {
        // A pod with a tag that the template does not have is of another template, however young it is.
        let may_be = |pod: &&&Object| matches!(&pod.body, Body::Pod(it) if image::may_be_of_template(&it.containers, &set.template));
        all.iter().filter(may_be).max_by_key(|pod| pod.created).and_then(|pod| hash(pod))
    };
    let newest = by_image.or_else(|| if set.updated > 0 { youngest() } else { None });
    let is_new = |pod: &&Object| match (hash(pod), &newest) {
        (Some(hash), Some(newest)) => hash == *newest,
        _ => is_pod_of(pod, &set.template),
    };
    all.into_iter().partition(is_new)
}
