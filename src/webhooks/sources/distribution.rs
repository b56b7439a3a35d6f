//! The distribution registry. Source: distribution's documentation, "Work with notifications".
//!
//! - an envelope `application/vnd.docker.distribution.events.v1+json` has several events
//! - blobs have events too; only those of manifests that were pushed by tag have `target.tag`
//! - `request.host` is the name under which the pusher reached the registry
//! - an endpoint sends any configured headers; there are no signatures

use serde_json::Value;

use crate::webhooks::body::{Told, UnknownShape, is_one, list, needed, text};
use crate::webhooks::hint::WebhookHint;
use crate::webhooks::scheme::{RequestHead, Scheme};

use super::Sender;

pub(super) struct Distribution;

impl Sender for Distribution {
    const SCHEMES: &'static [Scheme] = &[Scheme::Header("authorization"), Scheme::Header("x-webhook-secret")];

    fn read(_: RequestHead<'_>, body: &Value) -> Told {
        if !body.get("events").is_some_and(Value::is_array) {
            return Err(UnknownShape);
        }
        let mut hints = Vec::new();
        for event in list(body, "/events") {
            if is_one(text(event, "/action"), &["push"]) && text(event, "/target/tag").is_some() {
                hints.extend(WebhookHint::image(text(event, "/request/host"), needed(event, "/target/repository")?));
            }
        }
        hints.dedup();
        Ok(hints)
    }

    fn delivery(_: RequestHead<'_>, body: &Value) -> Option<String> {
        let events = list(body, "/events").iter();
        events.map(|event| text(event, "/id")).collect::<Option<Vec<_>>>().map(|ids| ids.join(" "))
    }
}
