//! Quay. Source: Quay's documentation, "Repository notifications".
//!
//! - a push of several tags is one webhook with all of them in `updated_tags`
//! - notifications about builds and vulnerabilities have none
//! - nothing but the address can have a secret

use serde_json::Value;

use crate::webhooks::body::{Told, list, needed};
use crate::webhooks::hint::WebhookHint;
use crate::webhooks::scheme::{RequestHead, Scheme};

use super::Sender;

pub(super) struct Quay;

impl Sender for Quay {
    const SCHEMES: &'static [Scheme] = &[Scheme::Address];

    fn read(_: RequestHead<'_>, body: &Value) -> Told {
        let image = WebhookHint::reference(needed(body, "/docker_url")?);
        Ok(image.filter(|_| !list(body, "/updated_tags").is_empty()).into_iter().collect())
    }
}
