//! Build statuses on Bitbucket Data Center. Source: Atlassian's "Build status REST API", 1.0.

use serde_json::json;

use crate::forge::bitbucket::status_body;
use crate::http::status::{CommitState, CommitStatus, StatusSpeech};

pub(super) const SPEECH: StatusSpeech = StatusSpeech {
    authorize: |request, _, token| request.bearer_auth(token).header("X-Atlassian-Token", "no-check"),
    post: |status: &CommitStatus<'_>| {
        let mut body = status_body(status);
        if status.state == CommitState::Ended {
            body["state"] = json!("CANCELLED");
        }
        (format!("/build-status/1.0/commits/{}", status.commit), body)
    },
    missing: None,
    look: "/api/1.0/application-properties",
};
