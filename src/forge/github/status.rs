//! Commit statuses in GitHub's format. Source: "REST API endpoints for commit statuses".

use http::StatusCode;
use serde_json::json;

use crate::http::status::{CommitState, CommitStatus, StatusSpeech, at_most};

pub(super) const SPEECH: StatusSpeech = StatusSpeech {
    authorize: |request, _, token| {
        let request = request.bearer_auth(token).header("X-GitHub-Api-Version", "2022-11-28");
        request.header(http::header::ACCEPT, "application/vnd.github+json")
    },
    post: |status: &CommitStatus<'_>| {
        let state = match status.state {
            CommitState::Succeeded => "success",
            CommitState::Pending => "pending",
            CommitState::Failed => "failure",
            CommitState::Ended => "error",
        };
        let body = json!({
            "state": state, "context": status.name, "description": at_most(status.description, 140), "target_url": status.page,
        });
        (format!("/statuses/{}", status.commit), body)
    },
    missing: Some(StatusCode::UNPROCESSABLE_ENTITY),
    look: "",
};
