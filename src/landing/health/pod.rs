//! One pod: is it up, and if not, why.
//!
//! Init containers count as the others do. A container that crashes is `running` between two crashes, so restarts and the
//! last end are looked at, too. Controllers are lenient here (kstatus takes a pod that cannot pull for one in progress,
//! Argo CD does not look at init containers), which is why this is judged from the pod itself.

use jiff::{SignedDuration, Timestamp};

use crate::model::observation::{
    Condition, ConditionStatus, ContainerRole, ContainerState, ContainerStatus, Object, Pod, Terminated, condition,
};
use crate::model::{CauseCode, Verdict};

use super::Assessment;
use crate::landing::cause::classify;
use crate::landing::{World, cause};

/// The kubelet forgets a container's crashes after ten minutes without one.
const CRASH_MEMORY: SignedDuration = SignedDuration::from_mins(10);
/// Restarts from which on a container that is up at the moment is not believed.
const FLAPPING: i64 = 3;

/// A pod and a container of it.
struct At<'a> {
    world: &'a World<'a>,
    object: &'a Object,
    status: &'a ContainerStatus,
    image: Option<&'a str>,
}

/// Judges a pod.
pub(super) fn assess(world: &World<'_>, object: &Object, pod: &Pod) -> Assessment {
    if pod.phase.as_deref() == Some("Succeeded") {
        return Assessment::new(Verdict::Current);
    }
    for status in &pod.statuses {
        let image = pod.containers.iter().find(|c| c.name == status.name).map(|c| c.image.as_str());
        if let Some(found) = container(&At { world, object, status, image }) {
            return found;
        }
    }
    match pod.phase.as_deref() {
        Some("Failed") => return failed(object, pod),
        Some("Unknown") | None => {
            let said = pod.reason.as_deref().unwrap_or("no phase");
            return unknown(object, &format!("{} does not say how it is ({said})", object.label()));
        }
        Some(_) => {}
    }
    if let Some(found) = unschedulable(world, object, pod).or_else(|| cannot_start(world, object, pod)) {
        return found;
    }
    readiness(world, object, pod)
}

fn unknown(object: &Object, message: &str) -> Assessment {
    let next = format!("is its node alive? `{}`", cause::describe(object));
    Assessment::because(Verdict::Unknown, cause::make(CauseCode::Unknown, message, Vec::new(), next))
}

fn failed(object: &Object, pod: &Pod) -> Assessment {
    let said = pod.message.as_deref().or(pod.reason.as_deref()).unwrap_or("it ended with an error");
    let code = if object.owners.iter().any(|o| o.kind == "Job") { CauseCode::JobFailed } else { CauseCode::NotReady };
    let message = format!("{} failed: {said}", object.label());
    let evidence = vec![format!("phase Failed, reason {}", pod.reason.as_deref().unwrap_or("none"))];
    let next = format!("see why it ended: `{}`", cause::describe(object));
    Assessment::because(Verdict::Failed, cause::make(code, message, evidence, next))
}

/// What is wrong with a container, where something is.
fn container(at: &At<'_>) -> Option<Assessment> {
    match &at.status.state {
        ContainerState::Waiting { reason, message } => waiting(at, reason, message),
        ContainerState::Terminated(end) if end.exit_code != 0 => Some(ended(at, end)),
        ContainerState::Running { started_at } if at.status.ready => flapping(at, *started_at),
        ContainerState::Unknown if at.status.ready => flapping(at, None),
        ContainerState::Running { .. } => {
            let end = at.status.last_terminated.as_ref().filter(|end| end.exit_code != 0)?;
            let sure = end.reason == "OOMKilled" || at.status.restart_count >= 2;
            Some(crashing(at, if sure { Verdict::Failed } else { Verdict::Progressing }))
        }
        ContainerState::Terminated(_) | ContainerState::Unknown => None,
    }
}

/// Without a readiness probe a container is ready the moment it starts, also between two crashes.
fn flapping(at: &At<'_>, started_at: Option<Timestamp>) -> Option<Assessment> {
    let ended_at = at.status.last_terminated.as_ref().and_then(|end| end.finished_at);
    let fresh = started_at.max(ended_at).is_none_or(|time| at.world.since(time) < CRASH_MEMORY);
    (at.status.restart_count >= FLAPPING && fresh).then(|| crashing(at, Verdict::Failed))
}

fn waiting(at: &At<'_>, reason: &str, message: &str) -> Option<Assessment> {
    let code = match reason {
        "ErrImagePull"
        | "ImagePullBackOff"
        | "InvalidImageName"
        | "ErrImageNeverPull"
        | "ImageInspectError"
        | "RegistryUnavailable"
        | "SignatureValidationFailed" => return Some(cannot_pull(at, reason, message)),
        "CrashLoopBackOff" => return Some(crashing(at, Verdict::Failed)),
        "CreateContainerConfigError"
        | "CreateContainerError"
        | "RunContainerError"
        | "PreCreateHookError"
        | "PreStartHookError"
        | "PostStartHookError" => CauseCode::ConfigError,
        _ => return None,
    };
    let said = if message.is_empty() { reason } else { message };
    let message = format!("{} container {} cannot be started: {said}", at.object.label(), at.name());
    let next = cause::next(code, at.object, at.image);
    Some(Assessment::because(Verdict::Failed, cause::make(code, message, vec![at.evidence(reason, said)], next)))
}

/// `ImagePullBackOff` of older kubelets does not repeat why; the event of the failed pull does.
fn cannot_pull(at: &At<'_>, reason: &str, message: &str) -> Assessment {
    let mut evidence = vec![at.evidence(reason, message)];
    let mut code = classify::pull(reason, message);
    let mut said = message.to_owned();
    if code == CauseCode::ImagePull {
        let image = at.image.unwrap_or_default();
        let of_image = |text: &str| image.is_empty() || text.contains(image);
        let mut events: Vec<_> =
            at.world.events(at.object).filter(|event| event.reason == "Failed" && of_image(&event.message)).collect();
        events.sort_by_key(|event| event.last_seen);
        if let Some(event) = events.into_iter().rev().find(|e| classify::pull("", &e.message) != CauseCode::ImagePull) {
            code = classify::pull("", &event.message);
            said.clone_from(&event.message);
            evidence.push(format!("event Failed: {}", event.message));
        }
    }
    let image = at.image.unwrap_or("its image");
    let why = match code {
        CauseCode::ImageNotFound => "is not in the registry",
        CauseCode::ImageUnauthorized => "may not be read with the credentials of this pod",
        CauseCode::ImageRateLimited => "is refused by the registry's rate limit",
        CauseCode::ImagePlatform => "is not built for the platform of the node",
        _ => "cannot be pulled",
    };
    let label = at.object.label();
    let message = match code {
        // Where it is not known, the words of the kubelet are all there is.
        CauseCode::ImagePull => {
            let said = if said.is_empty() { reason } else { &said };
            format!("{label} container {}: {image} {why}: {said}", at.name())
        }
        _ => format!("{label} container {}: {image} {why}", at.name()),
    };
    let next = cause::next(code, at.object, at.image);
    Assessment::because(Verdict::Failed, cause::make(code, message, evidence, next))
}

/// A container in state `terminated` with an error: about to be restarted, or not.
fn ended(at: &At<'_>, end: &Terminated) -> Assessment {
    let again = at.status.restart_count > 0 || end.reason == "OOMKilled";
    if at.object.owners.iter().any(|owner| owner.kind == "Job") && end.reason != "OOMKilled" {
        let message = format!("{} container {} ended with exit code {}", at.object.label(), at.name(), end.exit_code);
        let next = format!("read its log: `kubectl {}logs {}`", cause::in_namespace(at.object), at.object.name);
        let evidence = vec![at.evidence(&end.reason, &end.message)];
        return Assessment::because(Verdict::Failed, cause::make(CauseCode::JobFailed, message, evidence, next));
    }
    crashing(at, if again { Verdict::Failed } else { Verdict::Progressing })
}

fn crashing(at: &At<'_>, verdict: Verdict) -> Assessment {
    let end = match &at.status.state {
        ContainerState::Terminated(end) => Some(end),
        _ => at.status.last_terminated.as_ref(),
    };
    let reason = end.map_or("", |end| end.reason.as_str());
    let text = end.map_or("", |end| end.message.as_str());
    let code = match reason {
        "OOMKilled" => CauseCode::OutOfMemory,
        _ if text.contains("exec format error") => CauseCode::ImagePlatform,
        "ContainerCannotRun" | "StartError" => CauseCode::ConfigError,
        _ => CauseCode::CrashLoop,
    };
    let what = match code {
        CauseCode::OutOfMemory => "was killed at its memory limit",
        CauseCode::ImagePlatform => "is built for another platform",
        CauseCode::ConfigError => "cannot be run",
        _ => "crashes",
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
    let next = cause::next(code, at.object, at.image);
    Assessment::because(verdict, cause::make(code, message, vec![state, last], next))
}

impl At<'_> {
    fn name(&self) -> String {
        let init = if self.status.role == ContainerRole::Init { " (init)" } else { "" };
        format!("{}{init}", self.status.name)
    }

    fn evidence(&self, what: &str, message: &str) -> String {
        match message {
            "" => format!("{} {}: {what}", self.object.name, self.status.name),
            message => format!("{} {}: {what}: {message}", self.object.name, self.status.name),
        }
    }
}

fn unschedulable(world: &World<'_>, object: &Object, pod: &Pod) -> Option<Assessment> {
    let scheduled = condition(&pod.conditions, "PodScheduled").filter(|c| c.status == ConditionStatus::False)?;
    if scheduled.reason == "SchedulingGated" {
        return Some(Assessment::new(Verdict::Progressing));
    }
    let code = CauseCode::Unschedulable;
    let message = format!("{} cannot be scheduled: {}", object.label(), scheduled.message);
    let made = cause::make(code, message, vec![cause::evidence(scheduled)], cause::next(code, object, None));
    // An autoscaler that answers is a reason to wait.
    let scaling = world.events(object).any(|event| event.reason == "TriggeredScaleUp");
    Some(Assessment::because(if scaling { Verdict::Progressing } else { Verdict::Failed }, made))
}

/// A pod that is scheduled but whose containers are not begun: volumes and network come first, and only events tell.
fn cannot_start(world: &World<'_>, object: &Object, pod: &Pod) -> Option<Assessment> {
    if pod.phase.as_deref() != Some("Pending") {
        return None;
    }
    let event = world
        .events(object)
        .filter(|e| matches!(e.reason.as_str(), "FailedMount" | "FailedAttachVolume" | "FailedCreatePodSandBox"))
        .max_by_key(|event| event.last_seen)?;
    let missing = event.reason == "FailedMount" && event.message.contains("not found");
    let code = if missing { CauseCode::ConfigError } else { CauseCode::NotReady };
    let verdict = if missing { Verdict::Failed } else { Verdict::Progressing };
    let message = format!("{} cannot start: {}", object.label(), event.message);
    let evidence = vec![format!("event {}: {}", event.reason, event.message)];
    Some(Assessment::because(verdict, cause::make(code, message, evidence, cause::next(code, object, None))))
}

fn readiness(world: &World<'_>, object: &Object, pod: &Pod) -> Assessment {
    let ready = condition(&pod.conditions, "Ready");
    let containers: Vec<_> = pod.statuses.iter().filter(|status| status.role == ContainerRole::Main).collect();
    let all = !containers.is_empty() && containers.iter().all(|status| status.ready);
    let running = pod.phase.as_deref() == Some("Running");
    match ready.map(|condition| condition.status) {
        Some(ConditionStatus::True) if running && all => Assessment::new(Verdict::Current),
        None if running && all => Assessment::new(Verdict::Current),
        // Contradiction: ready as a whole, but not all of its containers, or not running.
        Some(ConditionStatus::True) => {
            unknown(object, &format!("{} contradicts itself: Ready, but not all of it", object.label()))
        }
        Some(ConditionStatus::Unknown) => unknown(object, &format!("{}: its node does not report", object.label())),
        _ => not_ready(world, object, ready),
    }
}

fn not_ready(world: &World<'_>, object: &Object, ready: Option<&Condition>) -> Assessment {
    let mut evidence: Vec<String> = ready.into_iter().map(cause::evidence).collect();
    let probe = world.events(object).filter(|event| event.reason == "Unhealthy").max_by_key(|event| event.last_seen);
    evidence.extend(probe.map(|event| format!("event Unhealthy: {}", event.message)));
    let said = probe.map(|event| event.message.as_str()).or(ready.map(|c| c.message.as_str())).unwrap_or("starting");
    let message = format!("{} is not ready: {said}", object.label());
    let next = format!("see its probes and log: `{}`", cause::describe(object));
    Assessment::because(Verdict::Progressing, cause::make(CauseCode::NotReady, message, evidence, next))
}
