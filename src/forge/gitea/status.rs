//! Commit statuses in Gitea's and Forgejo's format. Source: Gitea's API description, `repoCreateStatus`.

use serde_json::json;

use crate::http::status::{CommitState, CommitStatus, StatusSpeech, at_most};

pub(super) const SPEECH: StatusSpeech = StatusSpeech {
    authorize: |request, _, token| {
        let Ok(mut value) = http::HeaderValue::from_str(&format!("token {token}")) else { return request };
        value.set_sensitive(true);
        request.header(http::header::AUTHORIZATION, value)
    },
    post: |status: &CommitStatus<'_>| {
        let state = match status.state {
            CommitState::Succeeded => "success",
            CommitState::Pending => "pending",
            CommitState::Failed => "failure",
            CommitState::Ended => "warning",
        };
        let body = json!({
            "state": state, "context": status.name, "description": at_most(status.description, 255), "target_url": status.page,
        });
        (format!("/statuses/{}", status.commit), body)
    },
    missing: None,
    look: "",
};
