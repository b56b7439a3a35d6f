//! Build statuses on Bitbucket Data Center. Source: Atlassian's "Build status REST API", 1.0.
//!
//! Deployments, since 7.16: its REST API, *Create or update a deployment*. One is known by its key, its environment's key and a number.

use serde_json::json;

use crate::forge::bitbucket::status_body;
use crate::http::status::{CommitDeployment, CommitState, CommitStatus, DeploymentSpeech, StatusSpeech, at_most};

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

pub(super) const DEPLOYMENTS: DeploymentSpeech = DeploymentSpeech::Keyed(|deployment: &CommitDeployment<'_>| {
    let CommitDeployment { status, environment, repository, .. } = deployment;
    let state = match status.state {
        CommitState::Succeeded => "SUCCESSFUL",
        CommitState::Pending => "IN_PROGRESS",
        CommitState::Failed => "FAILED",
        CommitState::Ended => "CANCELLED",
    };
    let environment = at_most(environment, 255);
    let body = json!({
        // One of each commit in each place: the key says which, and the number need not.
        "key": format!("landfall-{}", status.commit), "deploymentSequenceNumber": 1,
        "displayName": at_most(status.name, 255), "description": at_most(status.description, 255), "state": state,
        "url": status.page, "environment": { "key": environment, "displayName": environment },
    });
    let (project, slug) = repository.split_once('/').unwrap_or((repository, ""));
    (format!("/api/1.0/projects/{project}/repos/{slug}/commits/{}/deployments", status.commit), body)
});
