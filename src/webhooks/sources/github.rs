//! GitHub. Sources: GitHub's "Webhook events and payloads" and "Validating webhook deliveries"; for packages akuity/kargo.
//!
//! - `X-GitHub-Event` names the event; packages come as `package` or `registry_package`
//! - a package's `tag.name` may be empty, its `package_type` has any case, and its `namespace` may be missing: its owner
//!   and name are always there
//! - `X-Hub-Signature-256: sha256=HEX` is the HMAC of the body; `X-GitHub-Delivery` is the same when it is redelivered
//! - an event has one repository: `repository.{clone_url, ssh_url, html_url}`

use serde_json::Value;

use crate::webhooks::body::{Told, UnknownShape, is_one, needed, repository, text};
use crate::webhooks::hint::WebhookHint;
use crate::webhooks::scheme::{Algorithm, RequestHead, Scheme, Signed};

use super::Sender;

/// Events after which a plan may differ.
const EVENTS: [&str; 13] = [
    "push",
    "create",
    "delete",
    "pull_request",
    "pull_request_review",
    "pull_request_review_thread",
    "check_run",
    "check_suite",
    "status",
    "workflow_run",
    "merge_group",
    "issue_comment",
    "branch_protection_rule",
];

pub(super) struct GitHub;

impl Sender for GitHub {
    const SCHEMES: &'static [Scheme] =
        &[Scheme::Hmac(&[Signed { header: "x-hub-signature-256", prefix: "sha256=", algorithm: Algorithm::Sha256 }])];

    fn read(head: RequestHead<'_>, body: &Value) -> Told {
        match head.header("x-github-event") {
            "" => Err(UnknownShape),
            event @ ("package" | "registry_package") => package(body.get(event).ok_or(UnknownShape)?, body),
            event if EVENTS.contains(&event) => {
                repository(body, &["/repository/clone_url", "/repository/ssh_url", "/repository/html_url"])
            }
            _ => Ok(Vec::new()),
        }
    }

    fn delivery(head: RequestHead<'_>, _: &Value) -> Option<String> {
        Some(head.header("x-github-delivery")).filter(|id| !id.is_empty()).map(str::to_owned)
    }
}

fn package(package: &Value, body: &Value) -> Told {
    let is_push = is_one(text(package, "/package_type"), &["container"])
        && is_one(Some(needed(body, "/action")?), &["published", "updated"]);
    if !is_push {
        return Ok(Vec::new());
    }
    let (owner, name) = (needed(package, "/owner/login")?, needed(package, "/name")?);
    let path = format!("{owner}/{name}").to_ascii_lowercase();
    // On a GitHub server, the registry's host is in the address of the package's version.
    let url = text(package, "/package_version/package_url").or_else(|| text(package, "/registry/url"));
    let there = url.and_then(WebhookHint::reference).filter(|hint| {
        matches!(hint, WebhookHint::Image { registry: Some(host), repository } if host != "docker.io" && *repository == path)
    });
    Ok(there.or_else(|| WebhookHint::image(Some("ghcr.io"), &path)).into_iter().collect())
}
