//! Causes: the one place where text from a cluster becomes text for people, and where each cause code has its next
//! step.
//!
//! Promise: following a next step to the letter breaks nothing that works. None deletes an Application, a
//! Kustomization, a HelmRelease, a namespace or a volume claim, and none force-deletes a pod on a node that may be
//! alive.

pub(super) mod classify;
mod clean;

pub use clean::clean;

use crate::model::observation::{Condition, Object};
use crate::model::{Blame, Cause, CauseCode};

use classify::{Refusal, RenderFailure, Subject};

/// Maximum number of evidence lines in a cause.
const MAX_EVIDENCE: usize = 8;

/// A cause with all its text cleaned.
pub(super) fn make(code: CauseCode, message: impl AsRef<str>, evidence: Vec<String>, next: impl AsRef<str>) -> Cause {
    let mut lines: Vec<String> = Vec::new();
    for line in evidence.into_iter().map(|line| clean(&line)).filter(|line| !line.is_empty()) {
        if !lines.contains(&line) && lines.len() < MAX_EVIDENCE {
            lines.push(line);
        }
    }
    Cause { code, message: clean(message.as_ref()), evidence: lines, next: clean(next.as_ref()), blame: code.blame() }
}

/// Adds a line of evidence, unless it is there already or there is enough.
pub(super) fn add(cause: &mut Cause, line: &str) {
    let line = clean(line);
    if cause.evidence.len() < MAX_EVIDENCE && !line.is_empty() && !cause.evidence.contains(&line) {
        cause.evidence.push(line);
    }
}

/// The same cause, marked as not the fault of any version.
pub(super) fn of_platform(cause: Cause) -> Cause {
    Cause { blame: Blame::Platform, ..cause }
}

/// A cause from a message of the API server or an admission plugin, with the matching next step; `otherwise` is the
/// code if the message is not recognised.
pub(super) fn refused(
    object: &Object,
    otherwise: CauseCode,
    said: &str,
    message: impl AsRef<str>,
    evidence: Vec<String>,
) -> Cause {
    match classify::refusal(said) {
        Some(refusal) => {
            let next = next_for(refusal, object, classify::subject(said).as_ref());
            let made = make(refusal.code(otherwise), message, evidence, next);
            Cause { blame: refusal.blame(), ..made }
        }
        None => make(otherwise, message, evidence, next(otherwise, object, None)),
    }
}

/// A cause from a condition, with the matching next step.
pub(super) fn of_condition(object: &Object, code: CauseCode, condition: &Condition) -> Cause {
    let said = if condition.message.is_empty() { &condition.reason } else { &condition.message };
    let message = format!("{}: {said}", object.label());
    let evidence = vec![evidence(condition)];
    match classify::refusal(said) {
        Some(refusal) if refusal.code(code) == code => {
            let made = make(code, message, evidence, next_for(refusal, object, classify::subject(said).as_ref()));
            Cause { blame: refusal.blame(), ..made }
        }
        _ => make(code, message, evidence, next(code, object, None)),
    }
}

/// `Ready=False (BuildFailed): kustomize build failed …`
pub(super) fn evidence(condition: &Condition) -> String {
    let Condition { kind, status, reason, message, .. } = condition;
    let reason = if reason.is_empty() { String::new() } else { format!(" ({reason})") };
    match message.as_str() {
        "" => format!("{kind}={status:?}{reason}"),
        message => format!("{kind}={status:?}{reason}: {message}"),
    }
}

/// The command that shows an object.
pub(super) fn get(object: &Object) -> String {
    format!("kubectl {}get {} {} -o yaml", in_namespace(object), object.kind.to_lowercase(), object.name)
}

/// The command that describes an object with its events.
pub(super) fn describe(object: &Object) -> String {
    format!("kubectl {}describe {} {}", in_namespace(object), object.kind.to_lowercase(), object.name)
}

pub(super) fn in_namespace(object: &Object) -> String {
    object.namespace.as_ref().map_or_else(String::new, |namespace| format!("-n {namespace} "))
}

/// The next step for a code at an object.
pub(super) fn next(code: CauseCode, object: &Object, image: Option<&str>) -> String {
    use CauseCode as C;
    let image = image.unwrap_or("the image");
    let (describe, get, label) = (describe(object), get(object), object.label());
    match code {
        C::ImageNotFound => {
            format!("push {image} to its registry, or declare a tag that exists; the kubelet then finds it on its own")
        }
        C::ImageUnauthorized => format!(
            "give the pod's service account an imagePullSecret that may read {image}; check that the repository exists and \
             that the secret has not expired"
        ),
        C::ImageRateLimited => {
            format!(
                "pull {image} with an account or through a mirror; this limit will pass, but it will be reached again"
            )
        }
        C::ImagePlatform => {
            format!("build {image} for the platform of the nodes, or select nodes that it is built for")
        }
        C::ImagePull => format!("see why the node cannot pull {image}: `{describe}`"),
        C::CrashLoop => {
            format!("read the log of the last run: `kubectl {}logs {} --previous`", in_namespace(object), object.name)
        }
        C::OutOfMemory => {
            "raise the container's memory limit or find the leak; the kernel kills it at its limit".to_owned()
        }
        C::ConfigError => {
            format!("add or correct what the container refers to (secret, config map, key, command): `{describe}`")
        }
        C::Unschedulable => {
            format!("add nodes that fit, lower the requests, or correct selectors, taints and volumes: `{describe}`")
        }
        C::Quota => format!(
            "raise the namespace's quota or lower what is requested: `kubectl {}describe quota`",
            in_namespace(object)
        ),
        C::AdmissionDenied => "change what the policy rejects, or the policy; its message says which".to_owned(),
        C::ImmutableField => "revert the change of the field that cannot be changed; its message names it".to_owned(),
        C::Forbidden => {
            "give the controller's service account the verb that the message names, by a Role or ClusterRole".to_owned()
        }
        C::ProgressDeadline | C::NotReady => format!("see which pods are not ready and why: `{describe}`"),
        C::Hook => {
            "read the log of the hook's pod; if the hook can never finish, terminate the operation that waits for it"
                .to_owned()
        }
        C::Dependency => "fix what it waits for first".to_owned(),
        C::SyncFailed => format!("correct what the message says and commit, then sync again: `{get}`"),
        C::BuildFailed => "correct the manifests: render the same path locally, with the same tool".to_owned(),
        C::FetchFailed => "check URL, credentials and network of the source; see the message".to_owned(),
        C::NotFetched => "wait for the next poll, or ask for a refresh now".to_owned(),
        C::WindowClosed => "wait until the window opens, or sync by hand if the project allows it".to_owned(),
        C::AutoSyncOff => format!("sync {label} by hand, or turn automated sync on"),
        C::LostRace => "nothing to do: the next cycle plans again".to_owned(),
        C::Disk => "free space on the bot's volume, or let it write to its state folder".to_owned(),
        C::Suspended => format!("resume {label} when it should go on"),
        C::Shadowed => "remove the override, or change the version there".to_owned(),
        C::Drifted => "revert the manual change, or commit it".to_owned(),
        C::RolledBack => "find out why it was rolled back, and commit a version that works".to_owned(),
        C::JobFailed => format!("read the log of its pods: `kubectl {}logs job/{}`", in_namespace(object), object.name),
        C::CanaryPaused => format!(
            "look at the canary, then promote or abort it: `kubectl argo rollouts {}promote {}`",
            in_namespace(object),
            object.name
        ),
        C::Retagged => format!("find out who pushed {image} again and what is in it"),
        C::Orphan => {
            "let a controller watch the path, or remove the path from the repository if nothing should deploy it"
                .to_owned()
        }
        C::Stale => "check whether the controller is running: look at its pods and log".to_owned(),
        C::Superseded | C::Unproven | C::Unknown => format!("look at it: `{get}`"),
        C::ReviewPending | C::ReviewRejected | C::MergeConflict | C::PushRejected | C::Authentication => {
            "see the pull request".to_owned()
        }
    }
}

/// The next step for a refusal of `subject`, which is seldom the object that reports it.
pub(super) fn next_for(refusal: Refusal, object: &Object, subject: Option<&Subject>) -> String {
    let place = in_namespace(object);
    match refusal {
        Refusal::Immutable => immutable(object, subject),
        Refusal::LimitRange => {
            format!("change the container's requests and limits, or the namespace's LimitRange: `kubectl {place}describe limitrange`")
        }
        Refusal::ServiceAccount => {
            "create the ServiceAccount that the message names, or name one that exists in `serviceAccountName`".to_owned()
        }
        Refusal::PriorityClass => {
            "create the PriorityClass that the message names, or name one that exists in `priorityClassName`".to_owned()
        }
        Refusal::RuntimeClass => {
            "create the RuntimeClass that the message names, or name one that exists in `runtimeClassName`".to_owned()
        }
        Refusal::NamespaceTerminating => {
            "the namespace is being deleted: find out who deleted it and what keeps it (`kubectl get namespace -o yaml` shows \
             its finalizers and conditions); it must be gone before it can be made again"
                .to_owned()
        }
        Refusal::NamespaceMissing => {
            "create the namespace that the message names (with Argo CD: sync option CreateNamespace=true)".to_owned()
        }
        Refusal::KindMissing => "install the CustomResourceDefinition that the message names first".to_owned(),
        Refusal::WebhookDown => {
            "see why the conversion or admission webhook that the message names does not answer: its Service has no ready pods, or cannot be \
             reached from the API server; the request is retried automatically"
                .to_owned()
        }
        Refusal::ServerUnreachable => {
            "see why what the message names does not answer: the server itself, the network in between, and the address that is \
             configured; the request is retried automatically"
                .to_owned()
        }
        Refusal::ReleaseLocked => {
            let name = &object.name;
            format!(
                "see whether another Helm operation is still running (`helm {place}history {name}`); if one was interrupted and the \
                 last revision stays pending, go back to the last good one: `helm {place}rollback {name} REVISION`"
            )
        }
        Refusal::Invalid => "correct the field that the message names, and commit".to_owned(),
        Refusal::NoNamespace => {
            "give the object that the message names a `metadata.namespace`, or set the controller's target namespace".to_owned()
        }
        Refusal::Quota => {
            let namespace = subject.and_then(|it| it.namespace.as_ref()).map(|name| format!("-n {name} "));
            let place = namespace.unwrap_or_else(|| in_namespace_of_workload(object));
            format!("raise the namespace's quota or lower what is requested: `kubectl {place}describe quota`")
        }
        Refusal::ServerBusy => "wait: the request is retried; if it persists, look at the API server and etcd".to_owned(),
        Refusal::Project => {
            "allow it in the AppProject that the message names, or put the Application into another project".to_owned()
        }
        Refusal::Policy | Refusal::Rbac | Refusal::Hook => {
            next(refusal.code(CauseCode::Unknown), object, None)
        }
    }
}

/// The next step for an immutable field. A finished Job can be deleted and is created again; for anything that serves
/// or holds data, only reverting the change is harmless.
fn immutable(object: &Object, subject: Option<&Subject>) -> String {
    let Some(subject) = subject else {
        return next(CauseCode::ImmutableField, object, None);
    };
    let namespace =
        subject.namespace.as_ref().map_or_else(|| in_namespace_of_workload(object), |name| format!("-n {name} "));
    let (kind, name) = (subject.kind.as_str(), subject.name.as_str());
    match kind {
        "Job" => format!(
            "delete the Job {name} once it has finished, so that it is made again: `kubectl {namespace}delete job {name}` (or \
             give each version's Job its own name)"
        ),
        "PersistentVolumeClaim" | "PersistentVolume" => format!(
            "revert the change of the fixed field of {kind} {name}: replacing it would lose its data; to change it, make a new claim \
             with another name and copy the data"
        ),
        _ => format!(
            "revert the change of the fixed field of {kind} {name}; if it must change, plan the replacement of {kind} {name}, \
             since making it again interrupts what it serves"
        ),
    }
}

/// The namespace of a workload. A controller's own namespace is not where its objects are.
fn in_namespace_of_workload(object: &Object) -> String {
    let is_controller = matches!(object.kind.as_str(), "Application" | "Kustomization" | "HelmRelease");
    if is_controller { String::new() } else { in_namespace(object) }
}

/// The next step for a revision that could not be compared or rendered.
pub(super) fn next_for_render(failure: RenderFailure, object: &Object) -> String {
    match failure {
        RenderFailure::Cluster => {
            "see why Argo CD cannot reach the destination cluster: its API server, the network between them, and the \
             credentials in the cluster's Secret (`argocd cluster list`)"
                .to_owned()
        }
        RenderFailure::ClusterUnknown => {
            "register the destination cluster (`argocd cluster add`), or correct `spec.destination`".to_owned()
        }
        RenderFailure::RepoServer => {
            "see whether Argo CD's repo-server is up and not overloaded: its pods and their log; it is retried automatically"
                .to_owned()
        }
        RenderFailure::Cache => {
            "see why Argo CD cannot use its own Redis: its pods, and the password in the Secret argocd-redis, which all of Argo CD's \
             components must share (restart those that have an old one)"
                .to_owned()
        }
        RenderFailure::ProjectMissing => {
            "create the AppProject that the message names, or name one that exists in `spec.project`".to_owned()
        }
        RenderFailure::ProjectForbids => {
            "allow it in the AppProject that the message names, or change the Application's source or destination".to_owned()
        }
        RenderFailure::Fetch | RenderFailure::Build => next(failure.code(), object, None),
    }
}
