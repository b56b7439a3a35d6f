//! Azure DevOps. Source: Microsoft's "Service hooks events".
//!
//! - `eventType` is `git.push`, `git.pullrequest.created|updated|merged` or `ms.vss-code.git-pullrequest-comment-event`
//! - `resource.repository.{remoteUrl, sshUrl, webUrl}`, or the same below `resource.pullRequest`
//! - `build.complete` has `resource.repository.url` where the subscription's resource version is 2.0, and no repository in 1.0
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
        let is_build = event == "build.complete";
        if is_build && body.pointer("/resource/repository").is_none() {
            return Ok(Vec::new());
        }
        if !is_build && !event.starts_with("git.") && !event.starts_with("ms.vss-code.") {
            return Ok(Vec::new());
        }
        repository(
            body,
            &[
                "/resource/repository/remoteUrl",
                "/resource/repository/sshUrl",
                "/resource/repository/webUrl",
                // An address of the API in the other events, which is no repository's.
                if is_build { "/resource/repository/url" } else { "/resource/pullRequest/repository/webUrl" },
                "/resource/pullRequest/repository/remoteUrl",
            ],
        )
    }

    fn delivery(_: RequestHead<'_>, body: &Value) -> Option<String> {
        text(body, "/id").map(str::to_owned)
    }
}
