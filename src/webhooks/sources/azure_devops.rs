//! Azure DevOps. Source: Microsoft's "Service hooks events".
//!
//! - `eventType` is `git.push`, `git.pullrequest.created|updated|merged` or `ms.vss-code.git-pullrequest-comment-event`
//! - `resource.repository.{remoteUrl, sshUrl, webUrl}`, or the same below `resource.pullRequest`
//! - a web hook sends a basic login or configured headers; `id` is the same when it is sent again

use serde_json::Value;

use crate::webhooks::body::{Told, needed, repository, text};
use crate::webhooks::scheme::{RequestHead, Scheme};

use super::Sender;

pub(super) struct AzureDevOps;

impl Sender for AzureDevOps {
    const SCHEMES: &'static [Scheme] = &[Scheme::Header("authorization"), Scheme::Header("x-webhook-secret")];

    fn read(_: RequestHead<'_>, body: &Value) -> Told {
        let event = needed(body, "/eventType")?;
        if !event.starts_with("git.") && !event.starts_with("ms.vss-code.") {
            return Ok(Vec::new());
        }
        repository(
            body,
            &[
                "/resource/repository/remoteUrl",
                "/resource/repository/sshUrl",
                "/resource/repository/webUrl",
                "/resource/pullRequest/repository/remoteUrl",
            ],
        )
    }

    fn delivery(_: RequestHead<'_>, body: &Value) -> Option<String> {
        text(body, "/id").map(str::to_owned)
    }
}
