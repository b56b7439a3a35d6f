//! Commit statuses in GitLab's format. Source: GitLab's "Commits API", *Set commit pipeline status*.
//!
//! A commit without a pipeline gets an external one for them.

use serde_json::json;

use crate::http::status::{CommitState, CommitStatus, StatusSpeech, at_most};

pub(super) const SPEECH: StatusSpeech = StatusSpeech {
    authorize: |request, _, token| {
        let Ok(mut value) = http::HeaderValue::from_str(token) else { return request };
        value.set_sensitive(true);
        request.header("PRIVATE-TOKEN", value)
    },
    post: |status: &CommitStatus<'_>| {
        let state = match status.state {
            CommitState::Succeeded => "success",
            CommitState::Pending => "running",
            CommitState::Failed => "failed",
            CommitState::Ended => "canceled",
        };
        let body = json!({
            "state": state, "name": status.name, "description": at_most(status.description, 255), "target_url": status.page,
        });
        (format!("/statuses/{}", status.commit), body)
    },
    missing: None,
    look: "",
};
