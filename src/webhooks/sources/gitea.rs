//! Gitea and Forgejo. Sources: Gitea's "Webhooks" and its `modules/structs/hook.go`; Forgejo's "Webhooks".
//!
//! - the event is in `X-Gitea-Event`, `X-Forgejo-Event` or, older, `X-Gogs-Event`
//! - signatures are the HMAC-SHA256 of the body: in `X-Gitea-Signature` and `X-Forgejo-Signature` as it is, in
//!   `X-Hub-Signature-256` after `sha256=`
//! - `package`: `action: created`, `package.{type: container, name, version, owner.login, html_url}`; the registry is at the
//!   host of the server itself

use serde_json::Value;

use crate::webhooks::body::{Told, UnknownShape, host, is_one, needed, repository, text};
use crate::webhooks::hint::WebhookHint;
use crate::webhooks::scheme::{Algorithm, RequestHead, Scheme, Signed};

use super::Sender;

const fn signed(header: &'static str, prefix: &'static str) -> Signed {
    Signed { header, prefix, algorithm: Algorithm::Sha256 }
}

pub(super) struct Gitea;

impl Sender for Gitea {
    const SCHEMES: &'static [Scheme] = &[Scheme::Hmac(&[
        signed("x-gitea-signature", ""),
        signed("x-forgejo-signature", ""),
        signed("x-hub-signature-256", "sha256="),
    ])];

    fn read(head: RequestHead<'_>, body: &Value) -> Told {
        let names = ["x-gitea-event", "x-forgejo-event", "x-gogs-event"].map(|name| head.header(name));
        match names.into_iter().find(|name| !name.is_empty()).ok_or(UnknownShape)? {
            "package" => package(body),
            "push" | "create" | "delete" | "status" | "workflow_job" | "workflow_run" => addresses(body),
            // Comments and reviews have names of their own: pull_request_approved, pull_request_comment, …
            event if event.starts_with("pull_request") => addresses(body),
            _ => Ok(Vec::new()),
        }
    }

    fn delivery(head: RequestHead<'_>, _: &Value) -> Option<String> {
        let names = ["x-gitea-delivery", "x-forgejo-delivery", "x-gogs-delivery"].map(|name| head.header(name));
        names.into_iter().find(|id| !id.is_empty()).map(str::to_owned)
    }
}

fn addresses(body: &Value) -> Told {
    repository(body, &["/repository/clone_url", "/repository/ssh_url", "/repository/html_url"])
}

fn package(body: &Value) -> Told {
    let is_push =
        is_one(Some(needed(body, "/action")?), &["created"]) && is_one(text(body, "/package/type"), &["container"]);
    if !is_push {
        return Ok(Vec::new());
    }
    let owner = text(body, "/package/owner/login").or_else(|| text(body, "/package/owner/username"));
    let path = format!("{}/{}", owner.ok_or(UnknownShape)?, needed(body, "/package/name")?).to_lowercase();
    let page = text(body, "/package/html_url").or_else(|| text(body, "/package/owner/avatar_url"));
    Ok(WebhookHint::image(page.and_then(host), &path).into_iter().collect())
}
