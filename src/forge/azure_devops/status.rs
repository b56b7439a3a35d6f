//! Commit statuses on Azure DevOps. Source: Microsoft's "Statuses - Create", 7.1.

use serde_json::json;

use crate::http::status::{CommitState, CommitStatus, StatusSpeech, at_most};

/// For an identity of Entra ID, whose tokens are bearers.
pub(super) const OF_IDENTITIES: StatusSpeech =
    StatusSpeech { authorize: |request, _, token| request.bearer_auth(token), ..SPEECH };

pub(super) const SPEECH: StatusSpeech = StatusSpeech {
    authorize: |request, _, token| request.basic_auth("", Some(token)),
    post: |status: &CommitStatus<'_>| {
        let state = match status.state {
            CommitState::Succeeded => "succeeded",
            CommitState::Pending => "pending",
            CommitState::Failed => "failed",
            CommitState::Ended => "notApplicable",
        };
        let (genre, name) = status.name.split_once('/').unwrap_or(("landfall", status.name));
        let body = json!({
            "state": state, "description": at_most(status.description, 255), "targetUrl": status.page,
            "context": { "genre": genre, "name": name },
        });
        (format!("/commits/{}/statuses?api-version=7.1", status.commit), body)
    },
    missing: None,
    look: "?api-version=7.1",
};
