//! Fields of workloads, pods and events.

use jiff::{SignedDuration, Timestamp};

use crate::model::observation::{
    Canary, Condition, ConditionStatus, Container, ContainerRole, ContainerState, ContainerStatus, Counts, CronJob,
    DaemonSet, Deployment, Event, Job, ObjectRef, Pod, PodOwner, ReplicaSet, ResolvedImage, Rollout, StatefulSet,
    Terminated, UpdateStrategy,
};

use super::field::{Field, exact};
use super::meta::{conditions, reference, references};

pub(super) fn deployment(root: Field<'_>) -> Deployment {
    let (spec, status) = (root.get("spec"), root.get("status"));
    Deployment {
        replicas: spec.get("replicas").int().unwrap_or(1),
        paused: spec.get("paused").flag(),
        progress_deadline_seconds: spec.get("progressDeadlineSeconds").int(),
        template: template(spec.get("template")),
        observed_generation: status.get("observedGeneration").int(),
        counts: counts(status),
        conditions: conditions(status.get("conditions")),
    }
}

fn counts(status: Field<'_>) -> Counts {
    Counts {
        replicas: status.get("replicas").count(),
        updated: status.get("updatedReplicas").count(),
        ready: status.get("readyReplicas").count(),
        available: status.get("availableReplicas").count(),
    }
}

/// The images of a pod template: those of init containers, of the other containers, and of volumes.
fn template(at: Field<'_>) -> Vec<Container> {
    containers(at.get("spec"))
}

fn containers(spec: Field<'_>) -> Vec<Container> {
    let list = |key, role| {
        spec.get(key).items().map(move |at: Field<'_>| Container {
            name: at.get("name").text_or_empty(),
            image: at.get("image").text_or_empty(),
            role: if role == ContainerRole::Init && always(at) { ContainerRole::Sidecar } else { role },
        })
    };
    let volumes = spec.get("volumes").items().filter_map(|at: Field<'_>| {
        let image = at.get("image").quietly().get("reference").text()?;
        Some(Container { name: at.get("name").text_or_empty(), image, role: ContainerRole::Volume })
    });
    exact(list("initContainers", ContainerRole::Init).chain(list("containers", ContainerRole::Main)).chain(volumes))
}

/// An init container that is always restarted is a sidecar.
fn always(container: Field<'_>) -> bool {
    container.get("restartPolicy").text().as_deref() == Some("Always")
}

fn strategy(at: Field<'_>) -> UpdateStrategy {
    match at.get("type").text().as_deref() {
        Some("OnDelete") => UpdateStrategy::OnDelete,
        _ => UpdateStrategy::RollingUpdate,
    }
}

pub(super) fn stateful_set(root: Field<'_>) -> StatefulSet {
    let (spec, status) = (root.get("spec"), root.get("status"));
    StatefulSet {
        replicas: spec.get("replicas").int().unwrap_or(1),
        strategy: strategy(spec.get("updateStrategy")),
        partition: spec.get("updateStrategy").get("rollingUpdate").get("partition").count(),
        min_ready_seconds: spec.get("minReadySeconds").int().unwrap_or(0),
        parallel: spec.get("podManagementPolicy").text().as_deref() == Some("Parallel"),
        template: template(spec.get("template")),
        observed_generation: status.get("observedGeneration").int(),
        counts: counts(status),
        current_revision: status.get("currentRevision").text(),
        update_revision: status.get("updateRevision").text(),
        conditions: conditions(status.get("conditions")),
    }
}

pub(super) fn daemon_set(root: Field<'_>) -> DaemonSet {
    let (spec, status) = (root.get("spec"), root.get("status"));
    DaemonSet {
        strategy: strategy(spec.get("updateStrategy")),
        template: template(spec.get("template")),
        observed_generation: status.get("observedGeneration").int(),
        desired: status.get("desiredNumberScheduled").int(),
        updated: status.get("updatedNumberScheduled").count(),
        ready: status.get("numberReady").count(),
        available: status.get("numberAvailable").count(),
        conditions: conditions(status.get("conditions")),
    }
}

pub(super) fn replica_set(root: Field<'_>) -> ReplicaSet {
    let (spec, status) = (root.get("spec"), root.get("status"));
    ReplicaSet {
        replicas: spec.get("replicas").int().unwrap_or(1),
        template: template(spec.get("template")),
        observed_generation: status.get("observedGeneration").int(),
        counts: counts(status),
        conditions: conditions(status.get("conditions")),
    }
}

/// Whether a pod condition says more than that a step is complete.
fn tells(condition: &Condition) -> bool {
    matches!(condition.kind.as_str(), "Ready" | "DisruptionTarget") || condition.status != ConditionStatus::True
}

pub(super) fn pod(root: Field<'_>) -> Pod {
    let (spec, status) = (root.get("spec"), root.get("status"));
    let containers = containers(spec);
    let role = |name: &str, role| {
        let known = containers.iter().find(|it| it.name == name && it.role != ContainerRole::Volume);
        known.map_or(role, |it| it.role)
    };
    let list = |key, list_role| {
        status.get(key).items().map(move |at| {
            let role = role(&at.get("name").text_or_empty(), list_role);
            container_status(at, role)
        })
    };
    let statuses =
        exact(list("initContainerStatuses", ContainerRole::Init).chain(list("containerStatuses", ContainerRole::Main)));
    Pod {
        node: spec.get("nodeName").text(),
        phase: status.get("phase").text(),
        reason: status.get("reason").text(),
        message: status.get("message").text(),
        statuses,
        containers,
        conditions: exact(conditions(status.get("conditions")).into_iter().filter(tells)),
        restart_never: spec.get("restartPolicy").text().as_deref() == Some("Never"),
        nominated_node: status.get("nominatedNodeName").text().filter(|name| !name.is_empty()),
        scheduling_gates: exact(spec.get("schedulingGates").items().filter_map(|at| at.get("name").text())),
    }
}

fn container_status(at: Field<'_>, role: ContainerRole) -> ContainerStatus {
    ContainerStatus {
        name: at.get("name").text_or_empty(),
        role,
        image_id: at.get("imageID").text().filter(|id| !id.is_empty()),
        ready: at.get("ready").flag(),
        started: at.get("started").maybe_flag(),
        restart_count: at.get("restartCount").count(),
        state: state(at.get("state")),
        last_terminated: terminated(at.get("lastState").get("terminated")),
    }
}

fn state(at: Field<'_>) -> ContainerState {
    let waiting = at.get("waiting");
    if waiting.raw().is_some() {
        let (reason, message) = (waiting.get("reason").text_or_empty(), waiting.get("message").text_or_empty());
        return ContainerState::Waiting { reason, message };
    }
    if at.get("running").raw().is_some() {
        return ContainerState::Running { started_at: at.get("running").get("startedAt").time() };
    }
    terminated(at.get("terminated")).map_or(ContainerState::Unknown, ContainerState::Terminated)
}

fn terminated(at: Field<'_>) -> Option<Terminated> {
    at.raw()?;
    Some(Terminated {
        reason: at.get("reason").text_or_empty(),
        message: at.get("message").text_or_empty(),
        exit_code: at.get("exitCode").count(),
        started_at: at.get("startedAt").time(),
        finished_at: at.get("finishedAt").time(),
    })
}

pub(super) fn job(root: Field<'_>) -> Job {
    let (spec, status) = (root.get("spec"), root.get("status"));
    Job {
        suspend: spec.get("suspend").flag(),
        template: template(spec.get("template")),
        active: status.get("active").count(),
        succeeded: status.get("succeeded").count(),
        failed: status.get("failed").count(),
        backoff_limit: spec.get("backoffLimit").int(),
        start_time: status.get("startTime").time(),
        completion_time: status.get("completionTime").time(),
        conditions: conditions(status.get("conditions")),
    }
}

pub(super) fn cron_job(root: Field<'_>) -> CronJob {
    let (spec, status) = (root.get("spec"), root.get("status"));
    CronJob {
        suspend: spec.get("suspend").flag(),
        schedule: spec.get("schedule").text(),
        template: template(spec.get("jobTemplate").get("spec").get("template")),
        last_schedule: status.get("lastScheduleTime").time(),
        last_successful: status.get("lastSuccessfulTime").time(),
        active: references(status.get("active")),
    }
}

/// When the pause of a rollout ends on its own: that of a canary step, or of a blue-green rollout before it promotes
/// itself.
fn pause_ends(spec: Field<'_>, status: Field<'_>) -> Option<Timestamp> {
    let strategy = spec.get("strategy");
    let step = status.get("currentStepIndex").quietly().int().and_then(|step| usize::try_from(step).ok());
    let pause = step.and_then(|step| strategy.get("canary").get("steps").items().nth(step)).map(|it| it.get("pause"));
    let of_step = pause.and_then(|pause| pause.get("duration").quietly().text());
    let of_blue_green = || strategy.get("blueGreen").get("autoPromotionSeconds").quietly().text();
    let duration = of_step.or_else(of_blue_green)?;
    let seconds =
        duration.parse().map(SignedDuration::from_secs).or_else(|_| duration.parse::<SignedDuration>()).ok()?;
    let began = status.get("pauseConditions").items().filter_map(|it| it.get("startTime").quietly().time()).min()?;
    began.checked_add(seconds).ok().filter(|_| seconds.is_positive())
}

pub(super) fn rollout(root: Field<'_>) -> Rollout {
    let (spec, status) = (root.get("spec"), root.get("status"));
    Rollout {
        replicas: spec.get("replicas").int().unwrap_or(1),
        paused: spec.get("paused").flag(),
        template: template(spec.get("template")),
        workload_ref: reference(spec.get("workloadRef")),
        observed_generation: status.get("observedGeneration").int_or_text(),
        workload_observed_generation: status.get("workloadObservedGeneration").int_or_text(),
        phase: status.get("phase").text(),
        message: status.get("message").text(),
        counts: counts(status),
        stable_rs: status.get("stableRS").text().filter(|hash| !hash.is_empty()),
        current_pod_hash: status.get("currentPodHash").text().filter(|hash| !hash.is_empty()),
        abort: status.get("abort").flag(),
        controller_pause: status.get("controllerPause").flag(),
        pause_reasons: status.get("pauseConditions").items().filter_map(|at| at.get("reason").text()).collect(),
        goes_on: pause_ends(spec, status),
        current_step: status.get("currentStepIndex").int(),
        steps: spec.get("strategy").get("canary").get("steps").items().count(),
        conditions: conditions(status.get("conditions")),
    }
}

pub(super) fn canary(root: Field<'_>) -> Canary {
    let (spec, status) = (root.get("spec"), root.get("status"));
    Canary {
        target: reference(spec.get("targetRef")).unwrap_or_default(),
        phase: status.get("phase").text().filter(|phase| !phase.is_empty()),
        weight: status.get("canaryWeight").int(),
        failed_checks: status.get("failedChecks").int(),
        suspend: spec.get("suspend").flag(),
        observed_generation: status.get("observedGeneration").int(),
        conditions: conditions(status.get("conditions")),
    }
}

/// The images of a Revision of Knative: the containers of its own specification, and the digests that it resolved their tags
/// to, empty as long as it has not.
pub(super) fn resolved_images(root: Field<'_>) -> Vec<ResolvedImage> {
    let (spec, status) = (root.get("spec"), root.get("status"));
    let digests = |key| {
        status.get(key).items().filter_map(|at: Field<'_>| {
            Some((at.get("name").text_or_empty(), at.get("imageDigest").text().filter(|digest| !digest.is_empty())?))
        })
    };
    let resolved: Vec<(String, String)> =
        digests("initContainerStatuses").chain(digests("containerStatuses")).collect();
    let of = |container: Container| {
        let found = resolved.iter().find(|(name, _)| *name == container.name);
        let by_digest = found.map_or_else(String::new, |(_, digest)| digest.clone());
        ResolvedImage { container: container.name, written: container.image, by_digest }
    };
    containers(spec).into_iter().map(of).collect()
}

/// What an unknown kind reports about its pods, if it has a pod template.
pub(super) fn pod_owner(root: Field<'_>) -> Option<PodOwner> {
    let (spec, status) = (root.get("spec").quietly(), root.get("status").quietly());
    let pod = spec.get("template").get("spec");
    let template = pod.get("containers").is_filled().then(|| template(spec.get("template")))?;
    // Other kinds with a template make something else from it and count nothing: a Knative Service makes Deployments.
    let counts_pods = spec.get("replicas").raw().is_some() || status.get("replicas").raw().is_some();
    if !counts_pods {
        return None;
    }
    let strategy = spec.get("updateStrategy");
    let partition = [strategy.get("partition"), strategy.get("rollingUpdate").get("partition")];
    Some(PodOwner {
        replicas: spec.get("replicas").int().unwrap_or(1),
        template,
        counts: counts(status),
        partition: partition.into_iter().find_map(Field::text).filter(|text| !matches!(text.as_str(), "0" | "0%")),
        paused: strategy.get("paused").flag() || strategy.get("rollingUpdate").get("paused").flag(),
    })
}

/// `involvedObject`, `message`, `lastTimestamp` in `v1`; `regarding`, `note`, `series` in `events.k8s.io/v1`.
pub(super) fn event(root: Field<'_>) -> Event {
    let regarding = root.get("regarding");
    let about = if regarding.is_filled() { regarding } else { root.get("involvedObject") };
    let times = [
        root.get("series").get("lastObservedTime").time(),
        root.get("lastTimestamp").time(),
        root.get("deprecatedLastTimestamp").time(),
        root.get("eventTime").time(),
    ];
    Event {
        about: reference(about).unwrap_or_else(|| ObjectRef { kind: about.get("kind").text(), ..ObjectRef::default() }),
        about_uid: about.get("uid").text(),
        kind: root.get("type").text_or_empty(),
        reason: root.get("reason").text_or_empty(),
        message: root.get("message").text().or_else(|| root.get("note").text()).unwrap_or_default(),
        count: root.get("count").int().or_else(|| root.get("series").get("count").int()),
        last_seen: times.into_iter().flatten().max(),
    }
}
