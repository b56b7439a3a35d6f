//! Google Artifact Registry and Container Registry, by Pub/Sub. Sources: Google's "Configure Pub/Sub notifications" and
//! "Push subscriptions".
//!
//! - `message.data` is base64 of `{"action": "INSERT" | "DELETE", "digest": "HOST/PATH@sha256:…", "tag": "HOST/PATH:TAG"}`;
//!   `tag` is missing for an untagged push
//! - the message is sent again until it is acknowledged, with the same `messageId`
//! - the sender proves itself by a token ([`crate::webhooks::jwt`])

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use crate::webhooks::body::{Told, UnknownShape, is_one, needed, text};
use crate::webhooks::hint::WebhookHint;
use crate::webhooks::scheme::{RequestHead, Scheme};

use super::Sender;

pub(super) struct Gar;

impl Sender for Gar {
    const SCHEMES: &'static [Scheme] = &[];

    fn read(_: RequestHead<'_>, body: &Value) -> Told {
        let data = STANDARD.decode(needed(body, "/message/data")?).map_err(|_| UnknownShape)?;
        let data: Value = serde_json::from_slice(&data).map_err(|_| UnknownShape)?;
        if !is_one(Some(needed(&data, "/action")?), &["INSERT"]) {
            return Ok(Vec::new());
        }
        Ok(text(&data, "/tag").and_then(WebhookHint::reference).into_iter().collect())
    }

    fn delivery(_: RequestHead<'_>, body: &Value) -> Option<String> {
        text(body, "/message/messageId").or_else(|| text(body, "/message/message_id")).map(str::to_owned)
    }
}
