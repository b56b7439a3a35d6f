//! GitLab. Sources: GitLab's "Webhook events"; gitlab-org/gitlab!230944 for signatures.
//!
//! - `X-Gitlab-Event` names the event; `project.{git_http_url, git_ssh_url, web_url}` is its repository
//! - `X-Gitlab-Token` is the secret; newer versions sign instead, as Standard Webhooks, over the time too
//! - `Idempotency-Key` is the same when a webhook is sent again
//! - there is no webhook about GitLab's container registry: that is the registry's own ([`super::distribution`])

use serde_json::Value;

use crate::webhooks::body::{Told, UnknownShape, repository};
use crate::webhooks::scheme::{RequestHead, Scheme};

use super::Sender;

/// Events after which a plan may differ.
const EVENTS: [&str; 8] = [
    "Push Hook",
    "Tag Push Hook",
    "Merge Request Hook",
    "Pipeline Hook",
    "Job Hook",
    "Note Hook",
    "Deployment Hook",
    "System Hook",
];

pub(super) struct GitLab;

impl Sender for GitLab {
    const SCHEMES: &'static [Scheme] = &[Scheme::Standard, Scheme::Header("x-gitlab-token")];

    fn read(head: RequestHead<'_>, body: &Value) -> Told {
        match head.header("x-gitlab-event") {
            "" => Err(UnknownShape),
            // An event of the whole instance may have no project.
            "System Hook" if body.get("project").is_none() => Ok(Vec::new()),
            event if EVENTS.contains(&event) => repository(
                body,
                &["/project/git_http_url", "/project/git_ssh_url", "/project/web_url", "/repository/git_http_url"],
            ),
            _ => Ok(Vec::new()),
        }
    }

    fn delivery(head: RequestHead<'_>, _: &Value) -> Option<String> {
        let ids = ["webhook-id", "idempotency-key"].into_iter().map(|name| head.header(name));
        ids.into_iter().find(|id| !id.is_empty()).map(str::to_owned)
    }
}
