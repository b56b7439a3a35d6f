//! Knative: whether the revision that a change made can come up.
//!
//! A change of a Service makes a new Revision. If its image cannot be resolved, there is no Deployment at all; if its
//! container ends, the Deployment is scaled to zero. In both cases the revision before keeps serving, and only the
//! Revision says why. So the newest Revision is looked at, whatever Deployments there are.

use std::cmp::Reverse;

use crate::model::observation::{Body, Condition, ConditionStatus, Object, condition};
use crate::model::{CauseCode, ImageReference, Landing, Rung, State};

use super::cause::classify;
use super::chain::{pending, stuck};
use super::image::{Carries, SameImage, carries, same_image};
use super::question::Question;
use super::uses::Use;
use super::{World, cause};

/// The name of a Configuration, which is that of its Service, with its namespace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Configuration {
    namespace: String,
    name: String,
}

/// The Configurations behind these workloads and, where there are none, those of the Services that controllers list.
pub(super) fn configurations(world: &World<'_>, uses: &[Use<'_>], managers: &[&Object]) -> Vec<Configuration> {
    let mut found: Vec<Configuration> = uses.iter().filter_map(|used| of_workload(world, used.object)).collect();
    if uses.is_empty() {
        found.extend(managers.iter().flat_map(|manager| listed(manager)));
    }
    found.dedup();
    found
}

/// The Configuration that a workload is a revision of.
pub(super) fn of_workload(world: &World<'_>, object: &Object) -> Option<Configuration> {
    let owner = object.owners.iter().find(|owner| owner.kind == "Revision")?;
    let namespace = object.namespace.clone().unwrap_or_default();
    let revision = world.named("Revision", &namespace, &owner.name).next();
    let stem = || owner.name.rsplit_once('-').map(|(stem, _)| stem.to_owned());
    let name = revision.and_then(configuration_of).or_else(stem)?;
    Some(Configuration { namespace, name })
}

fn configuration_of(revision: &Object) -> Option<String> {
    revision.owners.iter().find(|owner| owner.kind == "Configuration").map(|owner| owner.name.clone())
}

fn listed(manager: &Object) -> Vec<Configuration> {
    let of = |group: &str, kind: &str, namespace: &Option<String>, name: &str| {
        let is = group == "serving.knative.dev" && matches!(kind, "Service" | "Configuration");
        is.then(|| Configuration { namespace: namespace.clone().unwrap_or_default(), name: name.to_owned() })
    };
    match &manager.body {
        Body::Application(app) => {
            app.resources.iter().flatten().filter_map(|it| of(&it.group, &it.kind, &it.namespace, &it.name)).collect()
        }
        Body::Kustomization(it) => {
            it.inventory.iter().flatten().filter_map(|it| of(&it.group, &it.kind, &it.namespace, &it.name)).collect()
        }
        _ => Vec::new(),
    }
}

/// Why the newest Revision of a Configuration is not up, if it has the wanted image; `None` if it is, or has another.
pub(super) fn unready(world: &World<'_>, question: &Question, at: &Configuration) -> Option<Landing> {
    let revisions = world.owned_by(&at.namespace, "Configuration", &at.name).filter(|it| it.kind == "Revision");
    // The numbers of revisions grow, and restored objects are all of one age.
    let newest = revisions.min_by_key(|it| Reverse((number(&it.name), it.created, it.name.clone())))?;
    let Body::Other(revision) = &newest.body else { return None };
    let is_wanted = |written: &str| {
        same_image(&question.image, written) != SameImage::Other
            && ImageReference::parse(written)
                .is_ok_and(|it| carries(&question.image.version, &it.version) != Carries::No)
    };
    let written = revision.resolved.iter().map(|it| it.written.as_str()).find(|written| is_wanted(written))?;
    match condition(&revision.conditions, "Ready") {
        Some(ready) if ready.status == ConditionStatus::True => None,
        Some(ready) if ready.status == ConditionStatus::False => Some(failed(newest, written, ready)),
        other => {
            let message = format!("{} is being deployed", newest.label());
            let evidence = other.map(cause::evidence).into_iter().collect();
            let next = format!("wait for it; if it persists, see `{}`", cause::describe(newest));
            Some(pending(Rung::RolledOut, cause::make(CauseCode::NotReady, message, evidence, next)))
        }
    }
}

/// The number at the end of a Revision's name: `web-00002`.
fn number(name: &str) -> Option<u64> {
    name.rsplit_once('-').and_then(|(_, number)| number.parse().ok())
}

fn failed(revision: &Object, image: &str, ready: &Condition) -> Landing {
    let said = if ready.message.is_empty() { &ready.reason } else { &ready.message };
    let reason = ready.reason.as_str();
    let (code, rung) = match reason {
        "ContainerMissing" | "ImagePullBackOff" | "ErrImagePull" => (classify::pull(reason, said), Rung::RolledOut),
        "OOMKilled" => (CauseCode::OutOfMemory, Rung::Running),
        "Unschedulable" => (CauseCode::Unschedulable, Rung::Running),
        "ProgressDeadlineExceeded" => (CauseCode::ProgressDeadline, Rung::Running),
        _ if reason.starts_with("ExitCode") || reason == "CrashLoopBackOff" => (CauseCode::CrashLoop, Rung::Running),
        _ => (classify::apply(said, CauseCode::NotReady), Rung::Running),
    };
    let message = format!("{} is not up, so the revision before keeps serving: {said}", revision.label());
    let place = cause::in_namespace(revision);
    let next = match code {
        CauseCode::CrashLoop => format!(
            "read the log of its last run: `kubectl {place}logs -l serving.knative.dev/revision={} --all-containers --previous`",
            revision.name
        ),
        _ => cause::next(code, revision, Some(image)),
    };
    let made = cause::make(code, message, vec![cause::evidence(ready)], next);
    let passes = code == CauseCode::ImagePull && classify::pull_may_pass(reason, said);
    if passes { pending(rung, made) } else { stuck(rung, made) }
}

/// Puts what the Revisions say in the place of what follows from their Deployments; a Deployment's own pods say more.
pub(super) fn decide(
    world: &World<'_>,
    question: &Question,
    (uses, managers): (&[Use<'_>], &[&Object]),
    answers: &mut Vec<Landing>,
) {
    for at in configurations(world, uses, managers) {
        let Some(found) = unready(world, question, &at) else { continue };
        let is_its = |used: &Use<'_>| of_workload(world, used.object).as_ref() == Some(&at);
        if uses.is_empty() {
            answers.clear();
            answers.push(found);
            continue;
        }
        let carried = uses.iter().any(|used| is_its(used) && used.carries != Carries::No);
        // A Deployment that is up while its Revision is not there yet speaks for itself; one that is scaled to zero proves
        // nothing.
        let replaces = |answer: &Landing| match answer.state {
            State::Stuck => false,
            State::Landed => found.state == State::Stuck || answer.cause.is_some(),
            _ => found.state == State::Stuck || !carried,
        };
        for (used, answer) in uses.iter().zip(answers.iter_mut()) {
            if is_its(used) && replaces(answer) {
                *answer = found.clone();
            }
        }
    }
}
