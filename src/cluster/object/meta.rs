//! Metadata, conditions and references: what objects of every kind have.

use serde_json::Value;

use crate::model::observation::{Body, Condition, ConditionStatus, ImageWriter, ObjectRef, Owner, group_of};

use super::field::{Field, exact};

/// How deep `fieldsV1` is searched; a pod template's image is at depth 8, a CronJob's at 10.
const MAX_DEPTH: usize = 16;

/// The entries of a map that are texts.
pub(super) fn texts<'v>(at: Field<'v>) -> impl Iterator<Item = (&'v str, &'v str)> {
    let map = match at.raw() {
        Some(Value::Object(map)) => Some(map),
        _ => None,
    };
    map.into_iter().flatten().filter_map(|(key, value)| Some((key.as_str(), value.as_str()?)))
}

pub(super) fn owners(at: Field<'_>) -> Vec<Owner> {
    let owner = |at: Field<'_>| {
        let api_version = at.get("apiVersion").text().unwrap_or_default();
        let group = Some(group_of(&api_version)).filter(|group| group.contains('.')).unwrap_or_default().to_owned();
        Some(Owner { group, kind: at.get("kind").text()?, name: at.get("name").text()?, uid: at.get("uid").text() })
    };
    exact(at.items().filter_map(owner))
}

/// The writers of image fields, for objects with a pod template; not needed for others.
pub(super) fn image_writers(body: &Body, at: Field<'_>) -> Vec<ImageWriter> {
    let has_template = matches!(
        body,
        Body::Deployment(_)
            | Body::StatefulSet(_)
            | Body::DaemonSet(_)
            | Body::Job(_)
            | Body::CronJob(_)
            | Body::Rollout(_)
    ) || matches!(body, Body::Other(other) if other.pods.is_some());
    if !has_template {
        return Vec::new();
    }
    let at = at.quietly();
    let writes = at.items().filter(|entry| entry.get("fieldsV1").raw().is_some_and(|fields| owns_image(fields, 0)));
    writes
        .map(|entry| ImageWriter {
            manager: entry.get("manager").text_or_empty(),
            operation: entry.get("operation").text_or_empty(),
            time: entry.get("time").time(),
        })
        .collect()
}

fn owns_image(fields: &Value, depth: usize) -> bool {
    let Value::Object(map) = fields else { return false };
    depth < MAX_DEPTH && (map.contains_key("f:image") || map.values().any(|value| owns_image(value, depth + 1)))
}

pub(super) fn conditions(at: Field<'_>) -> Vec<Condition> {
    let condition = |at: Field<'_>| {
        let status = at.get("status");
        Some(Condition {
            kind: at.get("type").text()?,
            status: match status.raw() {
                // The API has texts; hand-written YAML often lacks the quotes.
                Some(Value::Bool(true)) => ConditionStatus::True,
                Some(Value::Bool(false)) => ConditionStatus::False,
                _ => match status.text().as_deref() {
                    Some("True") => ConditionStatus::True,
                    Some("False") => ConditionStatus::False,
                    _ => ConditionStatus::Unknown,
                },
            },
            reason: at.get("reason").text_or_empty(),
            message: at.get("message").text_or_empty(),
            last_transition: at.get("lastTransitionTime").time(),
            last_update: at.get("lastUpdateTime").time(),
            observed_generation: at.get("observedGeneration").int(),
        })
    };
    exact(at.items().filter_map(condition))
}

pub(super) fn reference(at: Field<'_>) -> Option<ObjectRef> {
    Some(ObjectRef {
        api_version: at.get("apiVersion").text(),
        kind: at.get("kind").text(),
        namespace: at.get("namespace").text(),
        name: at.get("name").text()?,
    })
}

pub(super) fn references(at: Field<'_>) -> Vec<ObjectRef> {
    exact(at.items().filter_map(reference))
}
