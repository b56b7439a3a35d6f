//! Causes: the one place where text of a cluster becomes text for people, and where each code has its next step.

pub(super) mod classify;
mod clean;

pub use clean::clean;

use crate::model::observation::{Condition, Object};
use crate::model::{Cause, CauseCode};

/// Most evidence lines of one cause.
const MAX_EVIDENCE: usize = 8;

/// A cause with every text cleaned.
pub(super) fn make(code: CauseCode, message: impl AsRef<str>, evidence: Vec<String>, next: impl AsRef<str>) -> Cause {
    let mut lines: Vec<String> = Vec::new();
    for line in evidence.into_iter().map(|line| clean(&line)).filter(|line| !line.is_empty()) {
        if !lines.contains(&line) && lines.len() < MAX_EVIDENCE {
            lines.push(line);
        }
    }
    Cause { code, message: clean(message.as_ref()), evidence: lines, next: clean(next.as_ref()) }
}

/// A cause from a condition, with the usual next step of its code.
pub(super) fn of_condition(object: &Object, code: CauseCode, condition: &Condition) -> Cause {
    let said = if condition.message.is_empty() { &condition.reason } else { &condition.message };
    make(code, format!("{}: {said}", object.label()), vec![evidence(condition)], next(code, object, None))
}

/// `Ready=False (BuildFailed): kustomize build failed …`
pub(super) fn evidence(condition: &Condition) -> String {
    let Condition { kind, status, reason, message, .. } = condition;
    match message.as_str() {
        "" => format!("{kind}={status:?} ({reason})"),
        message => format!("{kind}={status:?} ({reason}): {message}"),
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

/// What to do about a code at an object.
pub(super) fn next(code: CauseCode, object: &Object, image: Option<&str>) -> String {
    use CauseCode as C;
    let image = image.unwrap_or("the image");
    let (describe, get, label) = (describe(object), get(object), object.label());
    match code {
        C::ImageNotFound => {
            format!("push {image} to its registry, or declare a tag that is there; then the kubelet finds it by itself")
        }
        C::ImageUnauthorized => format!(
            "give the pod's service account an imagePullSecret that may read {image}; check that the repository exists and \
             that the secret has not expired"
        ),
        C::ImageRateLimited => {
            format!("pull {image} with an account or through a mirror; the limit passes, the next one comes")
        }
        C::ImagePlatform => {
            format!("build {image} for the platform of the nodes, or choose nodes that it is built for")
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
            format!("add nodes that fit, or lower requests, or correct selectors, taints and volumes: `{describe}`")
        }
        C::Quota => format!(
            "raise the quota of the namespace or lower what is asked for: `kubectl {}describe quota`",
            in_namespace(object)
        ),
        C::AdmissionDenied => "change what the policy refuses, or the policy; its message says which".to_owned(),
        C::ImmutableField => format!(
            "delete {label} so that it is made again (with Argo CD: sync option Replace=true or Force=true), or take the change \
             of the fixed field back"
        ),
        C::Forbidden => {
            "give the controller's service account the verb that the message names, by a Role or ClusterRole".to_owned()
        }
        C::ProgressDeadline | C::NotReady => format!("see which pods are not ready and why: `{describe}`"),
        C::Hook => {
            "look at the hook's pod log; delete the hook or terminate the operation if it must not block".to_owned()
        }
        C::Dependency => "bring what it waits for into order first".to_owned(),
        C::SyncFailed => format!("correct what the message says and commit, then sync again: `{get}`"),
        C::BuildFailed => "correct the manifests: render the same path locally, with the same tool".to_owned(),
        C::FetchFailed => "check URL, credentials and network of the source; see the message".to_owned(),
        C::NotFetched => "wait for the next poll, or ask for a refresh now".to_owned(),
        C::WindowClosed => "wait until the window opens, or sync by hand if the project allows it".to_owned(),
        C::AutoSyncOff => format!("sync {label} by hand, or switch automated sync on"),
        C::LostRace => "nothing to do: the next cycle plans again".to_owned(),
        C::Disk => "free space on the bot's volume, or let it write to its state folder".to_owned(),
        C::Suspended => format!("resume {label} when it shall go on"),
        C::Shadowed => "remove the override, or change the version there".to_owned(),
        C::Drifted => "take the change by hand back, or commit it".to_owned(),
        C::RolledBack => "find out why it was rolled back, and commit a version that holds".to_owned(),
        C::JobFailed => format!("read the log of its pods: `kubectl {}logs job/{}`", in_namespace(object), object.name),
        C::CanaryPaused => {
            format!(
                "look at the canary, then promote or abort: `kubectl argo rollouts {}promote {}`",
                in_namespace(object),
                object.name
            )
        }
        C::Orphan => "let a controller watch it, or remove it".to_owned(),
        C::Stale => "is the controller running? look at its pods and log".to_owned(),
        C::Superseded | C::Unproven | C::Unknown => format!("look at it: `{get}`"),
        C::ReviewPending | C::ReviewRejected | C::MergeConflict | C::PushRejected | C::Authentication => {
            "see the pull request".to_owned()
        }
    }
}
