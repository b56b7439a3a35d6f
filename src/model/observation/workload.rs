//! Workloads and what runs in them: Deployment, StatefulSet, DaemonSet, ReplicaSet, Pod, Job, CronJob, Argo Rollout, Event.

#![allow(missing_docs, reason = "fields without a comment carry the names and meaning of the Kubernetes API")]

use jiff::Timestamp;

use super::{Condition, ObjectRef};

/// A container of a pod template or of a pod.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Container {
    pub name: String,
    /// As written.
    pub image: String,
    pub role: ContainerRole,
}

/// What a container is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ContainerRole {
    /// Must finish before the main containers start.
    Init,
    /// An init container with `restartPolicy: Always`: must have started before the next ones, and keeps running.
    Sidecar,
    #[default]
    Main,
    /// Not a container, but an image mounted as a volume: `volumes[].image.reference`, under the volume's name.
    Volume,
}

/// `apps` Deployment.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Deployment {
    /// If absent, 1, as the API server defaults it.
    pub replicas: i64,
    pub paused: bool,
    pub progress_deadline_seconds: Option<i64>,
    pub template: Vec<Container>,
    pub observed_generation: Option<i64>,
    pub counts: Counts,
    pub conditions: Vec<Condition>,
}

/// Counters of a status. Kubernetes omits counters that are zero, so absent means zero if there is a status.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    pub replicas: i64,
    pub updated: i64,
    pub ready: i64,
    pub available: i64,
}

/// How a StatefulSet or a DaemonSet replaces pods.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum UpdateStrategy {
    #[default]
    RollingUpdate,
    OnDelete,
}

/// `apps` StatefulSet.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct StatefulSet {
    pub replicas: i64,
    pub strategy: UpdateStrategy,
    /// Pods with a lower ordinal keep the old revision.
    pub partition: i64,
    /// `podManagementPolicy` is `Parallel`.
    pub parallel: bool,
    /// How long a pod must be ready before it counts as available.
    pub min_ready_seconds: i64,
    pub template: Vec<Container>,
    pub observed_generation: Option<i64>,
    pub counts: Counts,
    pub current_revision: Option<String>,
    pub update_revision: Option<String>,
    pub conditions: Vec<Condition>,
}

/// `apps` DaemonSet.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DaemonSet {
    pub strategy: UpdateStrategy,
    pub template: Vec<Container>,
    pub observed_generation: Option<i64>,
    /// `desiredNumberScheduled`, which is written even if it is zero.
    pub desired: Option<i64>,
    /// `updatedNumberScheduled`.
    pub updated: i64,
    /// `numberReady`.
    pub ready: i64,
    /// `numberAvailable`.
    pub available: i64,
    pub conditions: Vec<Condition>,
}

/// `apps` ReplicaSet.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ReplicaSet {
    pub replicas: i64,
    pub template: Vec<Container>,
    pub observed_generation: Option<i64>,
    pub counts: Counts,
    pub conditions: Vec<Condition>,
}

/// A Pod.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Pod {
    pub containers: Vec<Container>,
    pub node: Option<String>,
    pub phase: Option<String>,
    /// `status.reason`, e.g. `Evicted`.
    pub reason: Option<String>,
    pub message: Option<String>,
    /// Init containers first.
    pub statuses: Vec<ContainerStatus>,
    /// `Ready`, `DisruptionTarget`, and all conditions that are not true.
    pub conditions: Vec<Condition>,
    pub restart_never: bool,
    /// `status.nominatedNodeName`: the node on which the scheduler is making room for it.
    pub nominated_node: Option<String>,
    /// Names of `spec.schedulingGates`.
    pub scheduling_gates: Vec<String>,
}

/// An entry of `initContainerStatuses` or `containerStatuses`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ContainerStatus {
    pub name: String,
    pub role: ContainerRole,
    /// `imageID`, with the digest of an index or of one platform's manifest. `image` is not kept: it can be another tag
    /// of the same digest.
    pub image_id: Option<String>,
    pub ready: bool,
    /// Whether its startup probe, if it has one, has passed.
    pub started: Option<bool>,
    pub restart_count: i64,
    pub state: ContainerState,
    pub last_terminated: Option<Terminated>,
}

/// `state` of a container.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum ContainerState {
    /// No state reported.
    #[default]
    Unknown,
    Waiting {
        reason: String,
        message: String,
    },
    Running {
        started_at: Option<Timestamp>,
    },
    Terminated(Terminated),
}

/// `terminated` of a container's state.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Terminated {
    pub reason: String,
    pub message: String,
    pub exit_code: i64,
    pub started_at: Option<Timestamp>,
    pub finished_at: Option<Timestamp>,
}

/// `batch` Job.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Job {
    pub suspend: bool,
    pub template: Vec<Container>,
    pub active: i64,
    pub succeeded: i64,
    pub failed: i64,
    pub backoff_limit: Option<i64>,
    pub start_time: Option<Timestamp>,
    pub completion_time: Option<Timestamp>,
    pub conditions: Vec<Condition>,
}

/// `batch` CronJob.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CronJob {
    pub suspend: bool,
    pub schedule: Option<String>,
    pub template: Vec<Container>,
    pub last_schedule: Option<Timestamp>,
    pub last_successful: Option<Timestamp>,
    pub active: Vec<ObjectRef>,
}

/// `argoproj.io` Rollout.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Rollout {
    pub replicas: i64,
    pub paused: bool,
    /// Empty if `workload_ref` refers to it.
    pub template: Vec<Container>,
    pub workload_ref: Option<ObjectRef>,
    /// `status.observedGeneration`: a string in the API; `None` if it is not a number.
    pub observed_generation: Option<i64>,
    /// `status.workloadObservedGeneration`: also a string.
    pub workload_observed_generation: Option<i64>,
    /// `Healthy`, `Degraded`, `Progressing`, `Paused`.
    pub phase: Option<String>,
    pub message: Option<String>,
    pub counts: Counts,
    pub stable_rs: Option<String>,
    pub current_pod_hash: Option<String>,
    pub abort: bool,
    pub controller_pause: bool,
    /// Reasons of `status.pauseConditions`.
    pub pause_reasons: Vec<String>,
    /// When its pause ends on its own, if it has a duration.
    pub goes_on: Option<Timestamp>,
    pub current_step: Option<i64>,
    pub steps: usize,
    pub conditions: Vec<Condition>,
}

/// A controller of another kind that creates pods from a template and counts them like a Deployment: an OpenKruise
/// CloneSet, and others with that convention.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PodOwner {
    /// If absent, 1.
    pub replicas: i64,
    pub template: Vec<Container>,
    pub counts: Counts,
    /// Pods that keep the old template on purpose: a number, or a percentage.
    pub partition: Option<String>,
    /// Whether its update strategy is paused.
    pub paused: bool,
}

/// `flagger.app` Canary: analyses each change of its target before it reaches the primary.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Canary {
    /// The workload that people change. Its copy, `<name>-primary`, is what serves.
    pub target: ObjectRef,
    /// `Initializing`, `Initialized`, `Waiting`, `Progressing`, `WaitingPromotion`, `Promoting`, `Finalising`,
    /// `Succeeded`, `Failed`, …
    pub phase: Option<String>,
    /// The percentage of the traffic that goes to the new version.
    pub weight: Option<i64>,
    pub failed_checks: Option<i64>,
    pub suspend: bool,
    pub observed_generation: Option<i64>,
    pub conditions: Vec<Condition>,
}

/// An Event of either API, `v1` or `events.k8s.io/v1`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Event {
    pub about: ObjectRef,
    pub about_uid: Option<String>,
    /// `Normal` or `Warning`.
    pub kind: String,
    pub reason: String,
    pub message: String,
    pub count: Option<i64>,
    pub last_seen: Option<Timestamp>,
}
