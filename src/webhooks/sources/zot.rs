//! Zot. Sources: Zot's "Event generation" and project-zot/zot#3859.
//!
//! - CloudEvents of type `zotregistry.image.updated` with `{name, reference, digest, mediaType}`
//! - the registry's address is not in it: with `registry` in the configuration it is known
//! - the HTTP sink sends configured credentials

use serde_json::Value;

use crate::webhooks::body::{Told, UnknownShape, needed};
use crate::webhooks::hint::WebhookHint;
use crate::webhooks::scheme::{RequestHead, Scheme};

use super::Sender;
use super::cloudevents::{event_type, id};

pub(super) struct Zot;

impl Sender for Zot {
    const SCHEMES: &'static [Scheme] = &[Scheme::Header("authorization")];

    fn read(head: RequestHead<'_>, body: &Value) -> Told {
        if event_type(head, body).ok_or(UnknownShape)? != "zotregistry.image.updated" {
            return Ok(Vec::new());
        }
        let data = body.get("data").unwrap_or(body);
        Ok(WebhookHint::image(None, needed(data, "/name")?).into_iter().collect())
    }

    fn delivery(head: RequestHead<'_>, body: &Value) -> Option<String> {
        id(head, body)
    }
}
