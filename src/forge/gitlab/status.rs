//! Commit statuses in GitLab's format. Source: GitLab's "Commits API", *Set commit pipeline status*.
//!
//! A commit without a pipeline gets an external one for them. Deployments: GitLab's "Deployments API"; an environment that does not
//! exist is made with its first deployment, and nothing that has ended runs again.

use serde_json::json;
use url::form_urlencoded::Serializer;

use crate::http::status::{
    CommitDeployment, CommitState, CommitStatus, DeploymentSpeech, NumberedDeployments, StatusSpeech, at_most,
};

pub(super) const SPEECH: StatusSpeech = StatusSpeech {
    authorize: |request, _, token| {
        let Ok(mut value) = http::HeaderValue::from_str(token) else { return request };
        value.set_sensitive(true);
        request.header("PRIVATE-TOKEN", value)
    },
    post: |status: &CommitStatus<'_>| {
        let body = json!({
            "state": word(status.state), "name": status.name, "description": at_most(status.description, 255), "target_url": status.page,
        });
        (format!("/statuses/{}", status.commit), body)
    },
    missing: None,
    look: "",
};

pub(super) const DEPLOYMENTS: DeploymentSpeech = DeploymentSpeech::Numbered(NumberedDeployments {
    list: |environment| {
        let pairs = [("environment", environment), ("order_by", "id"), ("sort", "desc"), ("per_page", "100")];
        format!("/deployments?{}", Serializer::new(String::new()).extend_pairs(pairs).finish())
    },
    make: |deployment: &CommitDeployment<'_>| {
        let body = json!({
            "environment": deployment.environment, "sha": deployment.status.commit, "ref": deployment.branch, "tag": false,
            "status": word(deployment.status.state),
        });
        ("/deployments".to_owned(), body)
    },
    change: |id, state, now| {
        let changes = state != CommitState::Pending && now != Some(word(state));
        changes.then(|| (format!("/deployments/{id}"), json!({ "status": word(state) })))
    },
});

/// A state in the word that statuses and deployments have for it.
fn word(state: CommitState) -> &'static str {
    match state {
        CommitState::Succeeded => "success",
        CommitState::Pending => "running",
        CommitState::Failed => "failed",
        CommitState::Ended => "canceled",
    }
}
