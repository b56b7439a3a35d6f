//! What the policies of a branch say of a pull request, in Azure DevOps' JSON.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use crate::model::{MergeMethod, one_line};

/// What a policy of the branch says of a pull request.
#[derive(Debug, Deserialize)]
pub(super) struct AzureEvaluation {
    #[serde(default)]
    pub(super) status: String,
    pub(super) configuration: AzurePolicy,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct AzurePolicy {
    #[serde(default)]
    is_blocking: bool,
    #[serde(default)]
    is_enabled: bool,
    #[serde(rename = "type")]
    kind: AzurePolicyKind,
    #[serde(default)]
    settings: BTreeMap<String, Value>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct AzurePolicyKind {
    id: String,
    #[serde(default)]
    display_name: String,
}

/// The policy *Limit merge types*.
const MERGE_TYPES: &str = "fa4e907d-c16b-4a4c-9dfa-4916e5d171ab";

impl AzureEvaluation {
    /// Its name, if it is in the way of a merge.
    pub(super) fn blocks(&self) -> Option<String> {
        let policy = &self.configuration;
        let open =
            policy.is_blocking && policy.is_enabled && !matches!(self.status.as_str(), "approved" | "notApplicable");
        open.then(|| one_line(&policy.kind.display_name, 80))
    }

    /// Whether it may still pass by itself.
    pub(super) fn is_running(&self) -> bool {
        matches!(self.status.as_str(), "queued" | "running")
    }

    /// The merge strategies that it allows, if that is what it is about.
    fn strategies(&self) -> Option<Vec<&'static str>> {
        let policy = &self.configuration;
        if policy.kind.id != MERGE_TYPES || !policy.is_enabled || !policy.is_blocking {
            return None;
        }
        let allows = |key: &str| policy.settings.get(key).and_then(Value::as_bool) == Some(true);
        let all = [
            ("allowNoFastForward", "noFastForward"),
            ("allowSquash", "squash"),
            ("allowRebase", "rebase"),
            ("allowRebaseMerge", "rebaseMerge"),
        ];
        Some(all.into_iter().filter(|(key, _)| allows(key)).map(|(_, strategy)| strategy).collect())
    }
}

/// The strategy to merge by, if the policies allow that way.
pub(super) fn strategy(evaluations: &[AzureEvaluation], method: MergeMethod) -> Option<&'static str> {
    let names: &[&'static str] = match method {
        MergeMethod::Merge => &["noFastForward", "rebaseMerge"],
        MergeMethod::Squash => &["squash"],
        MergeMethod::Rebase => &["rebase"],
    };
    let limits: Vec<Vec<&str>> = evaluations.iter().filter_map(AzureEvaluation::strategies).collect();
    names.iter().copied().find(|name| limits.iter().all(|limit| limit.contains(name)))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn policies_limit_how_it_is_merged() {
        let evaluation = |blocking: bool| -> AzureEvaluation {
            serde_json::from_value(json!({ "status": "approved", "configuration": {
                "isBlocking": blocking, "isEnabled": true, "type": { "id": MERGE_TYPES, "displayName": "Merge" },
                "settings": { "allowSquash": true, "allowRebaseMerge": true },
            } }))
            .unwrap()
        };
        let ways = |all: &[AzureEvaluation]| MergeMethod::ALL.map(|method| strategy(all, method));
        assert_eq!(ways(&[]), [Some("noFastForward"), Some("squash"), Some("rebase")]);
        assert_eq!(ways(&[evaluation(true)]), [Some("rebaseMerge"), Some("squash"), None]);
        assert_eq!(ways(&[evaluation(false)])[0], Some("noFastForward"));
    }
}
