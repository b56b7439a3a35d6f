//! From Kubernetes objects as JSON to [`Object`]s: the only place that knows where each field is.
//!
//! Promise: never a panic, whatever the JSON holds. A field of the wrong type is absent in the result and listed in
//! [`Object::malformed`]; only an object that cannot be identified (no kind, no name) is refused. Pure: no I/O.

mod argo;
mod field;
mod flux;
mod meta;
mod workload;

use std::cell::RefCell;

use serde_json::Value;

use crate::model::observation::{Body, CROSSPLANE, Marks, Object, Other, Package, StatusPresence, group_of};
use crate::model::visible;

use field::{Field, Malformed};

/// Maximum number of malformed fields listed; an object with more is useless anyway.
const MAX_FAULTS: usize = 20;

/// Why a value is not a Kubernetes object.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// A string, a list, …
    #[error("it is no object")]
    NoObject,
    /// One of `apiVersion`, `kind`, `metadata.name` is absent or not a text.
    #[error("its {0} is missing or not a string")]
    Missing(&'static str),
}

/// Reads one object.
///
/// # Errors
/// If it cannot be identified: `apiVersion`, `kind` or `metadata.name` is absent.
pub fn read(value: &Value) -> Result<Object, Unreadable> {
    let text = |key| value.get(key).and_then(Value::as_str).filter(|text| !text.is_empty());
    if !value.is_object() {
        return Err(Unreadable::NoObject);
    }
    let kind = text("kind").ok_or(Unreadable::Missing("kind"))?;
    let api_version = text("apiVersion").ok_or(Unreadable::Missing("apiVersion"))?;
    read_as(api_version, kind, value)
}

/// Reads one object whose kind is known from elsewhere: items of a typed list do not have one.
///
/// # Errors
/// If it has no name.
pub fn read_as(api_version: &str, kind: &str, value: &Value) -> Result<Object, Unreadable> {
    if !value.is_object() {
        return Err(Unreadable::NoObject);
    }
    let faults: Malformed = RefCell::new(Vec::new());
    let root = Field::new(value, &faults);
    let metadata = root.get("metadata");
    // Kubernetes has no such names, but a server that is not Kubernetes's may: they are shown, so they are visible.
    let plain = |name: String| visible(&name).into_owned();
    let name = metadata.get("name").text().filter(|name| !name.is_empty()).map(plain);
    let name = name.ok_or(Unreadable::Missing("metadata.name"))?;
    let body = body(group_of(api_version), kind, root);
    let status = root.get("status");
    let mut object = Object {
        api_version: plain(api_version.to_owned()),
        kind: plain(kind.to_owned()),
        namespace: metadata.get("namespace").text().filter(|namespace| !namespace.is_empty()).map(plain),
        name,
        uid: metadata.get("uid").text(),
        labels: Marks::labels(meta::texts(metadata.get("labels"))),
        annotations: Marks::annotations(meta::texts(metadata.get("annotations"))),
        owners: meta::owners(metadata.get("ownerReferences")),
        generation: metadata.get("generation").int(),
        created: metadata.get("creationTimestamp").time(),
        deleting: metadata.get("deletionTimestamp").time(),
        finalizers: match metadata.get("deletionTimestamp").is_filled() {
            true => metadata.get("finalizers").texts(),
            false => Vec::new(),
        },
        image_writers: meta::image_writers(&body, metadata.get("managedFields")),
        malformed: Vec::new(),
        status: if status.is_filled() { StatusPresence::Present } else { StatusPresence::Absent },
        body,
    };
    // An object is being deleted even if the deletion time cannot be read.
    if object.deleting.is_none() && metadata.get("deletionTimestamp").is_filled() {
        object.deleting = Some(jiff::Timestamp::UNIX_EPOCH);
    }
    object.malformed = faults.into_inner();
    object.malformed.sort();
    object.malformed.dedup();
    object.malformed.truncate(MAX_FAULTS);
    Ok(object)
}

fn body(group: &str, kind: &str, root: Field<'_>) -> Body {
    match (group, kind) {
        ("argoproj.io", "Application") => Body::Application(Box::new(argo::application(root))),
        ("argoproj.io", "AppProject") => Body::AppProject(Box::new(argo::project(root))),
        ("argoproj.io", "ApplicationSet") => Body::ApplicationSet(Box::new(argo::application_set(root))),
        ("argoproj.io", "Rollout") => Body::Rollout(Box::new(workload::rollout(root))),
        ("source.toolkit.fluxcd.io", "HelmChart") => Body::HelmChart(Box::new(flux::helm_chart(root))),
        ("source.toolkit.fluxcd.io", _) => Body::Source(Box::new(flux::source(root))),
        ("kustomize.toolkit.fluxcd.io", "Kustomization") => Body::Kustomization(Box::new(flux::kustomization(root))),
        ("helm.toolkit.fluxcd.io", "HelmRelease") => Body::HelmRelease(Box::new(flux::helm_release(root))),
        ("apps" | "extensions", "Deployment") => Body::Deployment(Box::new(workload::deployment(root))),
        ("apps", "StatefulSet") => Body::StatefulSet(Box::new(workload::stateful_set(root))),
        ("apps" | "extensions", "DaemonSet") => Body::DaemonSet(Box::new(workload::daemon_set(root))),
        ("apps" | "extensions", "ReplicaSet") => Body::ReplicaSet(Box::new(workload::replica_set(root))),
        ("flagger.app", "Canary") => Body::Canary(Box::new(workload::canary(root))),
        ("batch", "Job") => Body::Job(Box::new(workload::job(root))),
        ("batch", "CronJob") => Body::CronJob(Box::new(workload::cron_job(root))),
        ("", "Pod") => Body::Pod(Box::new(workload::pod(root))),
        ("" | "events.k8s.io", "Event") => Body::Event(Box::new(workload::event(root))),
        _ => Body::Other(Box::new(Other {
            conditions: meta::conditions(root.get("status").get("conditions")),
            observed_generation: root.get("status").get("observedGeneration").quietly().int(),
            phase: root.get("status").get("phase").quietly().text(),
            message: root.get("status").get("message").quietly().text(),
            pods: workload::pod_owner(root).map(Box::new),
            package: (group == CROSSPLANE).then(|| package(root)).flatten(),
            resolved: match (group, kind) {
                ("serving.knative.dev", "Revision") => workload::resolved_images(root),
                _ => Vec::new(),
            },
        })),
    }
}

/// A package of Crossplane; its revisions have none.
fn package(root: Field<'_>) -> Option<Package> {
    let of_status = |name: &'static str| root.get("status").get(name).quietly().text();
    let wanted = root.get("spec").get("package").quietly().text()?;
    Some(Package { wanted, current: of_status("currentIdentifier"), revision: of_status("currentRevision") })
}

#[cfg(test)]
mod tests;
