//! Amazon ECR, by EventBridge. Sources: Amazon's "Sample ECR events"; Argo CD Image Updater's documentation of its input
//! transformer.
//!
//! - as it is: `detail-type: ECR Image Action`, `detail.{action-type: PUSH, result: SUCCESS, repository-name}`, and
//!   `account` and `region`, which make the registry's host
//! - transformed to a CloudEvent: type `com.amazon.ecr.image.push`, `data.{repositoryName, registryId}`, `source` or
//!   `data.region` with the region
//! - an API destination sends a configured header

use serde_json::Value;

use crate::webhooks::body::{Told, is_one, needed, text};
use crate::webhooks::hint::WebhookHint;
use crate::webhooks::scheme::{RequestHead, Scheme};

use super::Sender;
use super::cloudevents::event_type;

pub(super) struct Ecr;

impl Sender for Ecr {
    const SCHEMES: &'static [Scheme] =
        &[Scheme::Header("x-webhook-secret"), Scheme::Header("x-api-key"), Scheme::Header("authorization")];

    fn read(head: RequestHead<'_>, body: &Value) -> Told {
        if let Some(kind) = event_type(head, body) {
            if kind != "com.amazon.ecr.image.push" {
                return Ok(Vec::new());
            }
            let data = body.get("data").unwrap_or(body);
            let host = host(text(data, "/registryId"), text(data, "/region"));
            let image = WebhookHint::image(host.as_deref(), needed(data, "/repositoryName")?);
            return Ok(image.into_iter().collect());
        }
        let is_push = is_one(Some(needed(body, "/detail-type")?), &["ECR Image Action"])
            && is_one(text(body, "/detail/action-type"), &["PUSH"])
            && is_one(text(body, "/detail/result"), &["SUCCESS"]);
        if !is_push {
            return Ok(Vec::new());
        }
        let host = host(text(body, "/account"), text(body, "/region"));
        let image = WebhookHint::image(host.as_deref(), needed(body, "/detail/repository-name")?);
        Ok(image.into_iter().collect())
    }

    fn delivery(_: RequestHead<'_>, body: &Value) -> Option<String> {
        text(body, "/id").map(str::to_owned)
    }
}

/// The registry of an account in a region; China has a domain of its own.
fn host(account: Option<&str>, region: Option<&str>) -> Option<String> {
    let (account, region) = (account?, region?);
    let china = if region.starts_with("cn-") { ".cn" } else { "" };
    Some(format!("{account}.dkr.ecr.{region}.amazonaws.com{china}"))
}
