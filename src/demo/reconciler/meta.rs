//! What objects of all kinds have: names, owners, conditions, and field managers.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use jiff::Timestamp;
use serde_json::{Value, json};

/// The letters of generated names: without vowels, so that they spell no words (`k8s.io/apimachinery`, `util/rand`).
const LETTERS: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";

/// A short name derived from its inputs.
pub(super) fn hash(parts: &[&str], length: usize) -> String {
    let mut hasher = DefaultHasher::new();
    parts.hash(&mut hasher);
    let mut rest = hasher.finish();
    let mut name = String::new();
    for _ in 0..length {
        let at = usize::try_from(rest % LETTERS.len() as u64).unwrap_or_default();
        name.push(char::from(LETTERS[at]));
        rest /= LETTERS.len() as u64;
    }
    name
}

/// Rounded to whole seconds, as Kubernetes writes it.
pub(super) fn time(at: Timestamp) -> String {
    format!("{at:.0}")
}

/// Kubernetes omits counters that are zero; `null` removes an existing one.
pub(super) fn count(n: i64) -> Value {
    if n == 0 { Value::Null } else { n.into() }
}

pub(super) fn text<'v>(value: &'v Value, pointer: &str) -> &'v str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

pub(super) fn number(value: &Value, pointer: &str) -> i64 {
    value.pointer(pointer).and_then(Value::as_i64).unwrap_or_default()
}

/// The entry of `ownerReferences` that a controller writes.
pub(super) fn owner(of: &Value) -> Value {
    json!([{
        "apiVersion": of["apiVersion"], "kind": of["kind"], "name": of["metadata"]["name"],
        "uid": of["metadata"]["uid"], "controller": true, "blockOwnerDeletion": true
    }])
}

/// Whether an object is of a kind and owned by another object.
pub(super) fn is_child(object: &Value, kind: &str, of: &Value) -> bool {
    let owners = object["metadata"]["ownerReferences"].as_array();
    object["kind"] == kind && owners.is_some_and(|all| all.iter().any(|one| one["uid"] == of["metadata"]["uid"]))
}

/// A condition that has been in its state since `since`.
pub(super) fn condition(kind: &str, status: &str, reason: &str, message: &str, since: &str) -> Value {
    json!({ "type": kind, "status": status, "reason": reason, "message": message, "lastTransitionTime": since })
}

/// Who last wrote the image.
#[derive(Debug, Clone, Copy)]
pub(super) struct StatusWriter<'a> {
    pub(super) manager: &'a str,
    /// `Update`, or `Apply` for server-side apply.
    pub(super) operation: &'a str,
    pub(super) time: Timestamp,
}

/// `managedFields` of a workload whose image was written by `writer`. `path` leads to its containers.
pub(super) fn managed(writer: StatusWriter<'_>, api_version: &str, path: &[&str], container: &str) -> Value {
    let mut fields = json!({ "f:containers": { format!("k:{{\"name\":\"{container}\"}}"): { "f:image": {} } } });
    for name in path.iter().rev() {
        fields = json!({ format!("f:{name}"): fields });
    }
    json!({
        "manager": writer.manager, "operation": writer.operation, "apiVersion": api_version,
        "time": time(writer.time), "fieldsType": "FieldsV1", "fieldsV1": fields
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_from_their_parts_and_hold_no_vowel() {
        let name = hash(&["web", "1.2.3"], 10);
        assert_eq!(name, hash(&["web", "1.2.3"], 10));
        assert_ne!(name, hash(&["web", "1.2.4"], 10));
        assert!(name.len() == 10 && name.bytes().all(|letter| LETTERS.contains(&letter)), "{name}");
    }

    #[test]
    fn managed_fields_lead_to_the_image() {
        let writer = StatusWriter { manager: "kubectl-set", operation: "Update", time: Timestamp::UNIX_EPOCH };
        let made = managed(writer, "apps/v1", &["spec", "template", "spec"], "web");
        let at = made.pointer("/fieldsV1/f:spec/f:template/f:spec/f:containers/k:{\"name\":\"web\"}/f:image");
        assert_eq!((at, text(&made, "/time")), (Some(&json!({})), "1970-01-01T00:00:00Z"));
    }
}
