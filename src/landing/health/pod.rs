//! One pod: is it up, and if not, why.
//!
//! Init containers count like the others. A crashing container is `running` between two crashes, so restarts and the
//! last termination are considered as well. Controllers are lenient here (kstatus takes a pod that cannot pull for one
//! in progress, Argo CD ignores init containers), which is why this is judged from the pod itself.
//!
//! An Event says what was true when it was written; if something later disproves it, it is ignored.

use jiff::{SignedDuration, Timestamp};

use super::Assessment;
use crate::landing::cause::classify::{self, StartFailure, VolumeFailure};
use crate::landing::{World, cause};
use crate::model::observation::{
    Condition, ConditionStatus, ContainerRole, ContainerState, ContainerStatus, Event, Object, Pod, Terminated,
    condition,
};
use crate::model::{Cause, CauseCode, Verdict};

/// The kubelet forgets a container's crashes after ten minutes without one.
const CRASH_MEMORY: SignedDuration = SignedDuration::from_mins(10);
/// From this many restarts on, a running container is not taken to be up.
const FLAPPING: i64 = 3;
/// A container that ran for so long before it ended was well.
const LONG_RUN: SignedDuration = SignedDuration::from_hours(1);
/// A container has survived a crash if it has run this many times as long as before the crash, and at least this long.
const SURVIVAL: (i32, SignedDuration) = (2, SignedDuration::from_secs(30));

/// A container of a pod.
struct ContainerOf<'a> {
    world: &'a World<'a>,
    object: &'a Object,
    pod: &'a Pod,
    status: &'a ContainerStatus,
    image: Option<&'a str>,
}

/// Judges a pod.
pub(super) fn assess(world: &World<'_>, object: &Object, pod: &Pod) -> Assessment {
    if pod.phase.as_deref() == Some("Succeeded") {
        return Assessment::new(Verdict::Current);
    }
    if let Some(found) = removed(object, pod) {
        return found;
    }
    for status in &pod.statuses {
        let named =
            |it: &&crate::model::observation::Container| it.name == status.name && it.role != ContainerRole::Volume;
        let image = pod.containers.iter().find(named).map(|c| c.image.as_str());
        if let Some(found) = container(&ContainerOf { world, object, pod, status, image }) {
            return found;
        }
    }
    match pod.phase.as_deref() {
        Some("Failed") => return failed(object, pod),
        Some("Unknown") | None => {
            let said = pod.reason.as_deref().unwrap_or("no phase");
            return unknown(object, &format!("{} does not report its state ({said})", object.label()));
        }
        Some(_) => {}
    }
    if let Some(found) = unschedulable(world, object, pod).or_else(|| cannot_start(world, object, pod)) {
        return found;
    }
    readiness(world, object, pod)
}

fn unknown(object: &Object, message: &str) -> Assessment {
    let next = format!("check whether its node is alive: `{}`", cause::describe(object));
    let made = cause::make(CauseCode::Unknown, message, Vec::new(), next);
    Assessment::because(Verdict::Unknown, cause::of_platform(made))
}

/// A pod that was ended by the kubelet or the control plane: evicted, its node shut down, or it did not fit. Its
/// containers may have terminated with an error as well, but that is not the reason.
fn removed(object: &Object, pod: &Pod) -> Option<Assessment> {
    const REASONS: [&str; 11] = [
        "Evicted",
        "Preempting",
        "NodeShutdown",
        "Shutdown",
        "Terminated",
        "NodeLost",
        "NodeAffinity",
        "UnexpectedAdmissionError",
        "OutOfcpu",
        "OutOfmemory",
        "OutOfpods",
    ];
    let by_reason = pod.reason.as_deref().filter(|reason| REASONS.contains(reason));
    let target = condition(&pod.conditions, "DisruptionTarget").filter(|c| c.status == ConditionStatus::True);
    if pod.phase.as_deref() != Some("Failed") {
        return None;
    }
    let reason = by_reason.or(target.map(|c| c.reason.as_str()))?;
    let said = pod.message.as_deref().or(target.map(|c| c.message.as_str())).filter(|said| !said.is_empty());
    let message = format!(
        "{} was terminated by its node or the control plane ({reason}): {}",
        object.label(),
        said.unwrap_or(reason)
    );
    let evidence = vec![format!("phase Failed, reason {reason}")];
    let node = pod.node.as_deref().map_or_else(String::new, |node| format!(" {node}"));
    let next = format!(
        "its controller creates another one; if this repeats, look at the node (`kubectl describe node{node}`) and at the pod's \
         requests and limits"
    );
    let made = cause::make(CauseCode::NotReady, message, evidence, next);
    Some(Assessment::because(Verdict::Failed, cause::of_platform(made)))
}

fn failed(object: &Object, pod: &Pod) -> Assessment {
    let said = pod.message.as_deref().or(pod.reason.as_deref()).unwrap_or("it ended with an error");
    let code = if of_job(object) { CauseCode::JobFailed } else { CauseCode::NotReady };
    let message = format!("{} failed: {said}", object.label());
    let evidence = vec![format!("phase Failed, reason {}", pod.reason.as_deref().unwrap_or("none"))];
    let next = format!("see why it ended: `{}`", cause::describe(object));
    Assessment::because(Verdict::Failed, cause::make(code, message, evidence, next))
}

fn of_job(object: &Object) -> bool {
    object.owners.iter().any(|owner| owner.kind == "Job")
}

/// What is wrong with a container, if anything.
fn container(at: &ContainerOf<'_>) -> Option<Assessment> {
    match &at.status.state {
        ContainerState::Waiting { reason, message } => waiting(at, reason, message),
        ContainerState::Terminated(end) if end.exit_code != 0 => Some(ended(at, end)),
        ContainerState::Running { started_at } if at.status.ready => flapping(at, *started_at),
        ContainerState::Unknown if at.status.ready => flapping(at, None),
        ContainerState::Running { started_at } => {
            // A container that has been running long enough since then is not ready for another reason.
            let end = at.status.last_terminated.as_ref().filter(|end| end.exit_code != 0)?;
            if (*started_at).max(end.finished_at).is_some_and(|time| at.world.since(time) >= CRASH_MEMORY) {
                return None;
            }
            let run = last_run(at);
            if run >= LONG_RUN {
                return None;
            }
            let sure = end.reason == "OOMKilled" || at.status.restart_count >= 2;
            Some(crashing(at, if sure && run < CRASH_MEMORY { Verdict::Failed } else { Verdict::Progressing }))
        }
        ContainerState::Terminated(_) | ContainerState::Unknown => None,
    }
}

/// How long the run before the last restart has lasted; zero where that is not known.
fn last_run(at: &ContainerOf<'_>) -> SignedDuration {
    let run = at.status.last_terminated.as_ref().and_then(|end| end.started_at.zip(end.finished_at));
    run.map_or(SignedDuration::ZERO, |(start, end)| end.duration_since(start).max(SignedDuration::ZERO))
}

/// Without a readiness probe, a container is ready as soon as it starts, even between two crashes. Restarts are counted over the pod's whole
/// life: those of reboots, weeks apart, are no loop.
fn flapping(at: &ContainerOf<'_>, started_at: Option<Timestamp>) -> Option<Assessment> {
    let end = at.status.last_terminated.as_ref();
    let ended_at = end.and_then(|end| end.finished_at);
    let began = started_at.max(ended_at);
    let run = last_run(at);
    let recent = began.is_none_or(|time| at.world.since(time) < CRASH_MEMORY);
    if at.status.restart_count >= FLAPPING && recent && run < CRASH_MEMORY {
        return Some(crashing(at, Verdict::Failed));
    }
    // After the first restart nobody knows yet whether it will hold.
    if at.status.restart_count == 0 || run >= LONG_RUN {
        return None;
    }
    let (times, least) = SURVIVAL;
    let survival = run.checked_mul(times).unwrap_or(CRASH_MEMORY).clamp(least, CRASH_MEMORY);
    (at.world.since(began?) < survival).then(|| crashing(at, Verdict::Progressing))
}

fn waiting(at: &ContainerOf<'_>, reason: &str, message: &str) -> Option<Assessment> {
    match reason {
        "ErrImagePull"
        | "ImagePullBackOff"
        | "InvalidImageName"
        | "ErrImageNeverPull"
        | "ImageInspectError"
        | "RegistryUnavailable"
        | "SignatureValidationFailed" => Some(cannot_pull(at, reason, message)),
        "CrashLoopBackOff" => Some(crashing(at, Verdict::Failed)),
        "CreateContainerConfigError"
        | "CreateContainerError"
        | "RunContainerError"
        | "PreCreateHookError"
        | "PreStartHookError"
        | "PostStartHookError" => Some(cannot_run(at, reason, message)),
        _ => None,
    }
}

fn cannot_run(at: &ContainerOf<'_>, reason: &str, message: &str) -> Assessment {
    let said = if message.is_empty() { reason } else { message };
    let failure = classify::start(said);
    let code = match failure {
        StartFailure::Platform => CauseCode::ImagePlatform,
        StartFailure::Memory => CauseCode::OutOfMemory,
        StartFailure::Runtime => CauseCode::NotReady,
        StartFailure::Config => CauseCode::ConfigError,
    };
    let message = format!("{} container {} cannot be started: {said}", at.object.label(), at.name());
    let evidence = vec![at.evidence(reason, said)];
    if failure == StartFailure::Runtime {
        let node = at.pod.node.as_deref().unwrap_or("the node");
        let next = format!(
            "wait: the kubelet retries automatically; if it persists, look at the container runtime and the disk of {node}"
        );
        let made = cause::of_platform(cause::make(code, message, evidence, next));
        return Assessment::because(Verdict::Progressing, made);
    }
    Assessment::because(Verdict::Failed, cause::make(code, message, evidence, cause::next(code, at.object, at.image)))
}

/// Older kubelets do not repeat the reason in `ImagePullBackOff`, but the event of the failed pull has it. The image
/// that cannot be pulled is not necessarily the container's own: the kubelet reports a failed image volume here too.
fn cannot_pull(at: &ContainerOf<'_>, reason: &str, message: &str) -> Assessment {
    let mut evidence = vec![at.evidence(reason, message)];
    let image = classify::pulled_image(message).or(at.image).unwrap_or("its image");
    let mut code = classify::pull(reason, message);
    let mut said = message.to_owned();
    if code == CauseCode::ImagePull {
        let mut events: Vec<_> = at
            .world
            .events(at.object)
            .filter(|event| event.reason == "Failed" && event.message.contains(image))
            .collect();
        events.sort_by_key(|event| event.last_seen);
        if let Some(event) = events.into_iter().rev().find(|e| classify::pull("", &e.message) != CauseCode::ImagePull) {
            code = classify::pull("", &event.message);
            said.clone_from(&event.message);
            evidence.push(format!("event Failed: {}", event.message));
        }
    }
    let why = match code {
        CauseCode::ImageNotFound => "is not in the registry",
        CauseCode::ImageUnauthorized => "may not be read with the credentials of this pod",
        CauseCode::ImageRateLimited => "is refused by the registry's rate limit",
        CauseCode::ImagePlatform => "is not built for the platform of the node",
        _ => "cannot be pulled",
    };
    let label = at.object.label();
    let message = match code {
        // If the reason is not known, the kubelet's message is all there is.
        CauseCode::ImagePull => {
            let said = if said.is_empty() { reason } else { &said };
            format!("{label} container {}: {image} {why}: {said}", at.name())
        }
        _ => format!("{label} container {}: {image} {why}", at.name()),
    };
    let mut next = cause::next(code, at.object, Some(image));
    if let Some(event) = newest(at.world, at.object, "FailedToRetrieveImagePullSecret") {
        evidence.push(format!("event {}: {}", event.reason, event.message));
        if code == CauseCode::ImageUnauthorized {
            let secrets =
                event.message.split_once('(').and_then(|(_, rest)| rest.split(')').next()).unwrap_or("it names");
            let namespace = at.object.namespace.as_deref().unwrap_or("default");
            next = format!(
                "create the image pull secret {secrets} in the namespace {namespace}: the pod refers to it, but it does not exist"
            );
        }
    }
    if code == CauseCode::ImagePull && classify::pull_may_pass(reason, &said) {
        let next = format!(
            "wait: the kubelet tries again; if it persists, see whether the node reaches the registry: `{}`",
            cause::describe(at.object)
        );
        return Assessment::because(Verdict::Progressing, cause::make(code, message, evidence, next));
    }
    Assessment::because(Verdict::Failed, cause::make(code, message, evidence, next))
}

fn newest<'w>(world: &World<'w>, object: &Object, reason: &str) -> Option<&'w Event> {
    world.events(object).filter(|event| event.reason == reason).max_by_key(|event| event.last_seen)
}

/// A container that terminated with an error, whether it will be restarted or not.
fn ended(at: &ContainerOf<'_>, end: &Terminated) -> Assessment {
    let again = at.status.restart_count > 0 || end.reason == "OOMKilled";
    if of_job(at.object) && end.reason != "OOMKilled" {
        let message = format!("{} container {} ended with exit code {}", at.object.label(), at.name(), end.exit_code);
        let next = format!("read its log: `{}`", at.logs(""));
        let evidence = vec![at.evidence(&end.reason, &end.message)];
        return Assessment::because(Verdict::Failed, cause::make(CauseCode::JobFailed, message, evidence, next));
    }
    crashing(at, if again { Verdict::Failed } else { Verdict::Progressing })
}

fn crashing(at: &ContainerOf<'_>, verdict: Verdict) -> Assessment {
    let end = match &at.status.state {
        ContainerState::Terminated(end) => Some(end),
        _ => at.status.last_terminated.as_ref(),
    };
    let reason = end.map_or("", |end| end.reason.as_str());
    let text = end.map_or("", |end| end.message.as_str());
    let code = match (reason, classify::start(text)) {
        ("OOMKilled", _) => CauseCode::OutOfMemory,
        (_, StartFailure::Platform) => CauseCode::ImagePlatform,
        ("ContainerCannotRun" | "StartError", _) => CauseCode::ConfigError,
        _ => CauseCode::CrashLoop,
    };
    let probe = (code == CauseCode::CrashLoop).then(|| killed_by_probe(at)).flatten();
    let what = match (code, &probe) {
        (CauseCode::OutOfMemory, _) => "was killed at its memory limit".to_owned(),
        (CauseCode::ImagePlatform, _) => "is built for another platform".to_owned(),
        (CauseCode::ConfigError, _) => "cannot be run".to_owned(),
        (_, Some((probe, _))) => format!("is killed repeatedly because its {probe} probe fails"),
        _ => "crashes".to_owned(),
    };
    let exit = end.map_or_else(String::new, |end| format!(", last exit code {}", end.exit_code));
    let times = at.status.restart_count;
    let message = format!("{} container {} {what} ({times} restarts{exit})", at.object.label(), at.name());
    let state = match &at.status.state {
        ContainerState::Waiting { reason, message } => at.evidence(reason, message),
        ContainerState::Running { .. } => at.evidence("running between restarts", ""),
        ContainerState::Terminated(_) | ContainerState::Unknown => String::new(),
    };
    let last = end.map_or_else(String::new, |end| at.evidence(&format!("last state {}", end.reason), &end.message));
    let mut evidence = vec![state, last];
    let next = match (code, probe) {
        (CauseCode::CrashLoop, Some((probe, event))) => {
            evidence.push(format!("event {}: {}", event.reason, event.message));
            format!(
                "fix the {probe} probe or the endpoint it checks, or give the container more time to start; its last log: `{}`",
                at.logs(" --previous")
            )
        }
        (CauseCode::CrashLoop, None) => format!("read the log of the last run: `{}`", at.logs(" --previous")),
        _ => cause::next(code, at.object, at.image),
    };
    Assessment::because(verdict, cause::make(code, message, evidence, next))
}

/// The probe because of which the kubelet kills a container, with the event that says so; the exit code alone would be
/// misleading.
fn killed_by_probe<'a>(at: &ContainerOf<'a>) -> Option<(&'static str, &'a Event)> {
    let of = |event: &Event| {
        let text = event.message.to_lowercase();
        let named = event.reason == "Unhealthy" || text.contains(&at.status.name.to_lowercase());
        match () {
            () if !named || !matches!(event.reason.as_str(), "Unhealthy" | "Killing") => None,
            () if text.contains("liveness probe") => Some("liveness"),
            () if text.contains("startup probe") => Some("startup"),
            () => None,
        }
    };
    let events = at.world.events(at.object).filter_map(|event| Some((of(event)?, event)));
    events.max_by_key(|(_, event)| event.last_seen)
}

impl ContainerOf<'_> {
    fn name(&self) -> String {
        let role = match self.status.role {
            ContainerRole::Init => " (init)",
            ContainerRole::Sidecar => " (sidecar)",
            ContainerRole::Main | ContainerRole::Volume => "",
        };
        format!("{}{role}", self.status.name)
    }

    /// The command that shows its log; without `-c`, kubectl shows the first container's.
    fn logs(&self, more: &str) -> String {
        let (place, pod) = (cause::in_namespace(self.object), &self.object.name);
        format!("kubectl {place}logs {pod} -c {}{more}", self.status.name)
    }

    fn evidence(&self, what: &str, message: &str) -> String {
        match message {
            "" => format!("{} {}: {what}", self.object.name, self.status.name),
            message => format!("{} {}: {what}: {message}", self.object.name, self.status.name),
        }
    }
}

/// What an autoscaler last said about a pod that does not fit.
enum Autoscaler<'a> {
    Acts(&'a Event),
    GaveUp(&'a Event),
}

fn autoscaler<'a>(world: &World<'a>, object: &Object) -> Option<Autoscaler<'a>> {
    let of = |event: &'a Event| match event.reason.as_str() {
        "TriggeredScaleUp" | "Nominated" | "ProvisioningTriggered" => Some(Autoscaler::Acts(event)),
        "NotTriggerScaleUp" => Some(Autoscaler::GaveUp(event)),
        // Karpenter's message; the scheduler's own starts with the number of nodes.
        "FailedScheduling" if event.message.starts_with("Failed to schedule pod") => Some(Autoscaler::GaveUp(event)),
        _ => None,
    };
    let said = world.events(object).filter_map(|event| Some((event.last_seen, of(event)?)));
    said.max_by_key(|(at, _)| *at).map(|(_, said)| said)
}

fn unschedulable(world: &World<'_>, object: &Object, pod: &Pod) -> Option<Assessment> {
    let scheduled = condition(&pod.conditions, "PodScheduled").filter(|c| c.status == ConditionStatus::False)?;
    if scheduled.reason == "SchedulingGated" {
        return Some(Assessment::because(Verdict::Progressing, gated(object, pod, scheduled)));
    }
    let code = CauseCode::Unschedulable;
    let mut message = format!("{} cannot be scheduled: {}", object.label(), scheduled.message);
    let mut evidence = vec![cause::evidence(scheduled)];
    if scheduled.reason == "SchedulerError" {
        let next = format!("wait: the scheduler tries again; if it persists, see `{}`", cause::describe(object));
        let made = cause::make(code, message, evidence, next);
        return Some(Assessment::because(Verdict::Progressing, made));
    }
    let mut next = match missing_claim(&scheduled.message) {
        Some(claim) => format!(
            "create the PersistentVolumeClaim {claim} that the pod names, or name one that exists: `kubectl {}get pvc`",
            cause::in_namespace(object)
        ),
        None => cause::next(code, object, None),
    };
    let verdict = match (autoscaler(world, object), &pod.nominated_node) {
        (Some(Autoscaler::Acts(event)), _) => {
            evidence.push(format!("event {}: {}", event.reason, event.message));
            next = format!(
                "wait for the node that the autoscaler adds; if none appears, see `{}`",
                cause::describe(object)
            );
            Verdict::Progressing
        }
        (_, Some(node)) => {
            evidence.push(format!("status.nominatedNodeName: {node}"));
            next =
                format!("wait: the scheduler makes room on {node}; if it persists, see `{}`", cause::describe(object));
            Verdict::Progressing
        }
        (Some(Autoscaler::GaveUp(event)), None) => {
            message = format!("{message} The autoscaler adds no node: {}", event.message);
            evidence.push(format!("event {}: {}", event.reason, event.message));
            // Beyond a limit, more of the same nodes help; where none is of the right kind, nothing but another kind does.
            let lacks_kind = ["incompatible with nodepool", "didn't match", "no instance type satisfied"]
                .iter()
                .any(|said| event.message.contains(said));
            next = if lacks_kind {
                format!(
                    "let a node pool offer nodes that fit the pod (its requests, selectors, tolerations and zones), or change these in the \
                     pod; the message says what does not fit: `{}`",
                    cause::describe(object)
                )
            } else {
                format!(
                    "raise the limit of a node group that fits, add nodes, or lower the pod's requests: `{}`",
                    cause::describe(object)
                )
            };
            Verdict::Failed
        }
        (None, None) => Verdict::Failed,
    };
    Some(Assessment::because(verdict, cause::make(code, message, evidence, next)))
}

/// The claim that the scheduler does not find: `persistentvolumeclaim "web-data" not found`.
fn missing_claim(message: &str) -> Option<&str> {
    let (_, rest) = message.split_once("persistentvolumeclaim \"")?;
    let (claim, rest) = rest.split_once('"')?;
    rest.trim_start().starts_with("not found").then_some(claim)
}

fn gated(object: &Object, pod: &Pod, scheduled: &Condition) -> Cause {
    let gates = match pod.scheduling_gates.as_slice() {
        [] => scheduled.message.clone(),
        gates => gates.join(", "),
    };
    let message = format!("{} waits for its scheduling gate to be removed: {gates}", object.label());
    let next = "see why the controller that set the gate does not remove it (a queue, a quota, an operator)";
    cause::of_platform(cause::make(CauseCode::Unschedulable, message, vec![cause::evidence(scheduled)], next))
}

/// A scheduled pod whose containers have not started: volumes and network come first, and only events report them. An
/// event that something later disproves is ignored.
fn cannot_start(world: &World<'_>, object: &Object, pod: &Pod) -> Option<Assessment> {
    let begun = pod.statuses.iter().any(|status| !matches!(status.state, ContainerState::Waiting { .. }));
    if pod.phase.as_deref() != Some("Pending") || begun {
        return None;
    }
    let is_over = |event: &Event| {
        let later = |reason: &str| match event.reason.as_str() {
            "FailedAttachVolume" => {
                matches!(reason, "SuccessfulAttachVolume" | "Pulling" | "Pulled" | "Created" | "Started")
            }
            _ => matches!(reason, "Pulling" | "Pulled" | "Created" | "Started"),
        };
        world.events(object).any(|other| later(&other.reason) && other.last_seen > event.last_seen)
    };
    let event = world
        .events(object)
        .filter(|e| matches!(e.reason.as_str(), "FailedMount" | "FailedAttachVolume" | "FailedCreatePodSandBox"))
        .filter(|event| !is_over(event))
        .max_by_key(|event| event.last_seen)?;
    let message = format!("{} cannot start: {}", object.label(), event.message);
    let evidence = vec![format!("event {}: {}", event.reason, event.message)];
    let found = |verdict, code, next: String| {
        let made = cause::make(code, message.as_str(), evidence.clone(), next);
        Assessment::because(verdict, if verdict == Verdict::Failed { made } else { cause::of_platform(made) })
    };
    let failure =
        if event.reason == "FailedCreatePodSandBox" { VolumeFailure::Other } else { classify::volume(&event.message) };
    let describe = cause::describe(object);
    Some(match failure {
        VolumeFailure::Missing => {
            found(Verdict::Failed, CauseCode::ConfigError, cause::next(CauseCode::ConfigError, object, None))
        }
        VolumeFailure::MultiAttach => found(
            Verdict::Progressing,
            CauseCode::NotReady,
            "the volume can be used by one node at a time and an old pod still holds it: set the update strategy to Recreate (or \
             maxSurge: 0), or delete the old pod that holds it"
                .to_owned(),
        ),
        VolumeFailure::Driver => found(
            Verdict::Progressing,
            CauseCode::NotReady,
            format!(
                "wait: a node that has just joined registers its drivers within a minute or two; if it persists, look at the CSI \
                 driver's DaemonSet on {}",
                pod.node.as_deref().unwrap_or("that node")
            ),
        ),
        VolumeFailure::Other => found(
            Verdict::Progressing,
            CauseCode::NotReady,
            format!("wait: it is retried; if it persists, see `{describe}`"),
        ),
    })
}

fn readiness(world: &World<'_>, object: &Object, pod: &Pod) -> Assessment {
    let ready = condition(&pod.conditions, "Ready");
    let containers: Vec<_> = pod.statuses.iter().filter(|status| status.role == ContainerRole::Main).collect();
    let all = !containers.is_empty() && containers.iter().all(|status| status.ready);
    let running = pod.phase.as_deref() == Some("Running");
    match ready.map(|condition| condition.status) {
        Some(ConditionStatus::True) if running && all => Assessment::new(Verdict::Current),
        None if running && all => Assessment::new(Verdict::Current),
        // Contradiction: the pod is Ready, but not all of its containers are, or they are not running.
        Some(ConditionStatus::True) => unknown(
            object,
            &format!("{} contradicts itself: it is Ready, but not all of its containers are", object.label()),
        ),
        Some(ConditionStatus::Unknown) => unknown(object, &format!("{}: its node does not report", object.label())),
        Some(ConditionStatus::False) if running && all && ready.is_some_and(|c| c.message.is_empty()) => {
            node_lost(object, pod, ready)
        }
        _ => not_ready(world, object, pod, ready),
    }
}

/// `Ready=False` without a message although all containers are ready: the control plane writes that when a node is
/// lost.
fn node_lost(object: &Object, pod: &Pod, ready: Option<&Condition>) -> Assessment {
    let node = pod.node.as_deref().unwrap_or("its node");
    let message = format!(
        "{} is marked not ready although its containers are: its node {node} no longer reports to the control plane",
        object.label()
    );
    let next = format!("see whether the node is alive: `kubectl describe node {node}`");
    let made = cause::make(CauseCode::NotReady, message, ready.map(cause::evidence).into_iter().collect(), next);
    Assessment::because(Verdict::Progressing, cause::of_platform(made))
}

/// The init container or native sidecar that the others wait for.
fn initializing(pod: &Pod) -> Option<&ContainerStatus> {
    let blocks = |status: &&ContainerStatus| match (status.role, &status.state) {
        (ContainerRole::Init, ContainerState::Running { .. }) => true,
        (ContainerRole::Sidecar, ContainerState::Running { .. }) => status.started == Some(false),
        _ => false,
    };
    pod.statuses.iter().find(blocks)
}

fn not_ready(world: &World<'_>, object: &Object, pod: &Pod, ready: Option<&Condition>) -> Assessment {
    let mut evidence: Vec<String> = ready.into_iter().map(cause::evidence).collect();
    if let Some(status) = initializing(pod) {
        let at = ContainerOf { world, object, pod, status, image: None };
        let since = match &status.state {
            ContainerState::Running { started_at: Some(at) } => format!(" for {}", in_words(world.since(*at))),
            _ => String::new(),
        };
        let what = if status.role == ContainerRole::Sidecar { "has been starting" } else { "has been running" };
        let message = format!("{} waits for its container {}, which {what}{since}", object.label(), at.name());
        evidence.extend(condition(&pod.conditions, "Initialized").map(cause::evidence));
        let next = format!("see what it waits for: `{}`", at.logs(""));
        return Assessment::because(Verdict::Progressing, cause::make(CauseCode::NotReady, message, evidence, next));
    }
    let probe = newest(world, object, "Unhealthy");
    evidence.extend(probe.map(|event| format!("event Unhealthy: {}", event.message)));
    let gates = pod.conditions.iter().filter(|c| c.kind.contains('/') && c.status != ConditionStatus::True);
    evidence.extend(gates.map(cause::evidence));
    let said =
        probe.map(|event| event.message.as_str()).or(ready.map(|c| c.message.as_str()).filter(|said| !said.is_empty()));
    let unready: Vec<&str> = pod
        .statuses
        .iter()
        .filter(|it| !it.ready && it.role == ContainerRole::Main)
        .map(|it| it.name.as_str())
        .collect();
    let said = match (said, unready.as_slice()) {
        (Some(said), _) => said.to_owned(),
        (None, []) => "it is starting".to_owned(),
        (None, names) => format!("container {} is not ready", names.join(", ")),
    };
    let message = format!("{} is not ready: {said}", object.label());
    let next = format!("see its probes and log: `{}`", cause::describe(object));
    Assessment::because(Verdict::Progressing, cause::make(CauseCode::NotReady, message, evidence, next))
}

/// A duration as a person would say it: `48 min`, `3 h`.
pub(super) fn in_words(time: SignedDuration) -> String {
    match time.as_secs() {
        seconds @ ..120 => format!("{seconds} s"),
        seconds @ 120..7_200 => format!("{} min", seconds / 60),
        seconds @ 7_200..172_800 => format!("{} h", seconds / 3_600),
        seconds => format!("{} days", seconds / 86_400),
    }
}

/// Why a pod that is being deleted still exists after its grace period.
pub(super) fn overdue(world: &World<'_>, object: &Object) -> Option<Cause> {
    let deadline = object.deleting?;
    if world.since(deadline) < SignedDuration::from_secs(30) {
        return None;
    }
    let since = in_words(world.since(deadline));
    let message = format!("{} has been terminating for {since} longer than its grace period", object.label());
    let node = match &object.body {
        crate::model::observation::Body::Pod(pod) => pod.node.as_deref(),
        _ => None,
    };
    let (why, next) = held(object, node);
    let made = cause::make(
        CauseCode::NotReady,
        format!("{message}: {why}"),
        vec![format!("metadata.deletionTimestamp: {deadline}")],
        next,
    );
    Some(cause::of_platform(made))
}

/// A pod that is being deleted and still within its grace period.
pub(super) fn leaving(object: &Object) -> Option<Cause> {
    let deadline = object.deleting.filter(|deadline| *deadline != Timestamp::UNIX_EPOCH)?;
    let message = format!("{} is terminating, within its grace period", object.label());
    let evidence = vec![format!("metadata.deletionTimestamp: {deadline}")];
    let next = format!("wait until it has terminated; if it persists, see `{}`", cause::describe(object));
    Some(cause::of_platform(cause::make(CauseCode::NotReady, message, evidence, next)))
}

/// What blocks the deletion of an object, and what to do about it.
pub(super) fn held(object: &Object, node: Option<&str>) -> (String, String) {
    match (object.finalizers.as_slice(), node) {
        ([], Some(node)) => (
            format!("its node {node} does not confirm that it has terminated"),
            format!(
                "see whether the node is alive: `kubectl describe node {node}`; if its machine is gone for good, remove the node from \
                 the cluster, and the pod goes with it"
            ),
        ),
        ([], None) => {
            ("what it owns is deleted first".to_owned(), format!("see what is left: `{}`", cause::describe(object)))
        }
        (finalizers, _) => {
            let names = finalizers.join(", ");
            (
                format!("the finalizer {names} blocks it"),
                format!(
                    "see why the controller behind {names} does not finish its clean-up; it removes the finalizer once it has"
                ),
            )
        }
    }
}
