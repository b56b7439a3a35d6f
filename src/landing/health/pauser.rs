//! Who holds a workload back in steps of its own: resuming it by hand would skip the rest of them.

use crate::landing::{World, cause};
use crate::model::observation::{Body, Object};

/// Another controller that paused a workload, or keeps its partition.
pub(super) struct Pauser {
    /// Its name, as in a sentence.
    pub(super) who: String,
    /// What shows it.
    pub(super) evidence: String,
    /// What to do instead of resuming the workload.
    pub(super) next: String,
}

/// OpenKruise Rollouts writes its own name on a workload while it replaces its pods.
const KRUISE: &str = "rollouts.kruise.io/in-progressing";

/// The controller that holds a workload back, if any is known to.
pub(super) fn of(world: &World<'_>, object: &Object) -> Option<Pauser> {
    kruise(object).or_else(|| argo_rollouts(world, object)).or_else(|| flagger(world, object))
}

fn kruise(object: &Object) -> Option<Pauser> {
    let said = object.annotations.get(KRUISE)?;
    let name = said.split_once("\"rolloutName\":\"").and_then(|(_, rest)| rest.split('"').next());
    let name = name.filter(|name| !name.is_empty()).unwrap_or(&object.name);
    let place = cause::in_namespace(object);
    Some(Pauser {
        who: format!("the OpenKruise Rollout {name}"),
        evidence: format!("{KRUISE}: {said}"),
        next: format!(
            "leave the workload as it is and look at the Rollout's step: `kubectl {place}describe rollouts.rollouts.kruise.io {name}`; \
             approve it there once the new version has proved itself"
        ),
    })
}

fn argo_rollouts(world: &World<'_>, object: &Object) -> Option<Pauser> {
    drop(world.controllers(object));
    world.is_only_a_template(object).then(|| Pauser {
        who: "an Argo Rollouts Rollout".to_owned(),
        evidence: "spec.workloadRef of a Rollout names it".to_owned(),
        next: format!(
            "leave the workload as it is and look at the Rollout that refers to it: `kubectl argo rollouts {}list rollouts`",
            cause::in_namespace(object)
        ),
    })
}

fn flagger(world: &World<'_>, object: &Object) -> Option<Pauser> {
    let namespace = object.namespace.as_deref().unwrap_or_default();
    let canary = world
        .named("Canary", namespace, &object.name)
        .find(|canary| matches!(&canary.body, Body::Canary(it) if it.target.name == object.name))?;
    Some(Pauser {
        who: format!("Flagger's {}", canary.label()),
        evidence: format!("{} targets it", canary.label()),
        next: format!("leave the workload as it is and look at the Canary: `{}`", cause::describe(canary)),
    })
}
