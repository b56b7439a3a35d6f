//! Kinds that carry images and start pods only when something asks for it: until then, nothing runs them, as with a
//! CronJob between two runs.

use crate::landing::{World, cause};
use crate::model::observation::{InventoryEntry, ManagedResource, Object};
use crate::model::{CauseCode, Landing, State};

use super::landing;

/// An object that a controller says it applies.
pub(super) struct Applied<'a> {
    group: &'a str,
    kind: &'a str,
    namespace: &'a str,
    name: &'a str,
}

impl<'a> From<&'a ManagedResource> for Applied<'a> {
    fn from(it: &'a ManagedResource) -> Self {
        let namespace = it.namespace.as_deref().unwrap_or_default();
        Self { group: &it.group, kind: &it.kind, namespace, name: &it.name }
    }
}

impl<'a> From<&'a InventoryEntry> for Applied<'a> {
    fn from(it: &'a InventoryEntry) -> Self {
        let namespace = it.namespace.as_deref().unwrap_or_default();
        Self { group: &it.group, kind: &it.kind, namespace, name: &it.name }
    }
}

/// Group and kind.
const ON_DEMAND: [(&str, &str); 11] = [
    ("tekton.dev", "Task"),
    ("tekton.dev", "ClusterTask"),
    ("tekton.dev", "StepAction"),
    ("tekton.dev", "Pipeline"),
    ("triggers.tekton.dev", "TriggerTemplate"),
    ("argoproj.io", "WorkflowTemplate"),
    ("argoproj.io", "ClusterWorkflowTemplate"),
    ("argoproj.io", "CronWorkflow"),
    ("argoproj.io", "Sensor"),
    ("argoproj.io", "AnalysisTemplate"),
    ("keda.sh", "ScaledJob"),
];

/// Kinds that run pods of their own; if one of these is not visible, it may be what has the image.
const RUNNING: [&str; 8] = ["Deployment", "StatefulSet", "DaemonSet", "ReplicaSet", "Pod", "Job", "CronJob", "Rollout"];

/// Kinds that make objects which are listed elsewhere, or nowhere.
const MAKERS: [&str; 4] = ["HelmRelease", "Application", "ApplicationSet", "Kustomization"];

/// `landed`, unproven: the change is applied, and the only kinds that can have it start pods on demand.
pub(super) fn landed<'a>(
    world: &World<'_>,
    controller: &Object,
    applied: impl Iterator<Item = Applied<'a>>,
) -> Option<Landing> {
    let mut found: Option<Applied<'a>> = None;
    for it in applied {
        let is_hidden = || world.named(it.kind, it.namespace, it.name).next().is_none();
        let makes = MAKERS.contains(&it.kind) || it.group == "serving.knative.dev";
        if makes || (RUNNING.contains(&it.kind) && is_hidden()) {
            return None;
        }
        if ON_DEMAND.contains(&(it.group, it.kind)) {
            found = found.or(Some(it));
        }
    }
    let it = found?;
    let message = format!(
        "{} has applied the change, and {} {} starts pods only on demand: nothing has run the image yet",
        controller.label(),
        it.kind,
        it.name
    );
    let next = "wait for its next run, or start one, to see whether the image runs";
    let made = cause::make(CauseCode::Unproven, message, Vec::new(), next);
    Some(landing(State::Landed, None, made))
}
