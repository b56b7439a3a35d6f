//! Azure Container Registry. Source: Microsoft's "Azure Container Registry webhook reference".
//!
//! - `action` is `push`, `chart_push`, `delete`, `quarantine` or `ping`
//! - `request.host` is the registry
//! - a webhook sends any configured headers; there are no signatures

use serde_json::Value;

use crate::webhooks::body::{Told, is_one, needed, text};
use crate::webhooks::hint::WebhookHint;
use crate::webhooks::scheme::{RequestHead, Scheme};

use super::Sender;

pub(super) struct Acr;

impl Sender for Acr {
    const SCHEMES: &'static [Scheme] = &[Scheme::Header("authorization"), Scheme::Header("x-webhook-secret")];

    fn read(_: RequestHead<'_>, body: &Value) -> Told {
        if !is_one(Some(needed(body, "/action")?), &["push", "chart_push"]) {
            return Ok(Vec::new());
        }
        let image = WebhookHint::image(text(body, "/request/host"), needed(body, "/target/repository")?);
        Ok(image.into_iter().collect())
    }

    fn delivery(_: RequestHead<'_>, body: &Value) -> Option<String> {
        text(body, "/id").map(str::to_owned)
    }
}
