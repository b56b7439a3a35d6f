//! Anything that can send JSON and an HMAC, such as the last step of a CI job.
//!
//! - body: `{"image": "ghcr.io/acme/web:1.2.3"}`, or `images` with a list; `{"repository": "https://…"}`, or
//!   `repositories` with a list. A tag or digest of an image may be there and is not looked at
//! - `X-Signature: sha256=HEX` or `sha512=HEX`, as Flux's `generic-hmac`; `X-Hub-Signature-256`, as GitHub; or
//!   `X-Landfall-Signature-256`, as this program's own notifications

use serde_json::Value;

use crate::webhooks::body::{Told, UnknownShape, list, text};
use crate::webhooks::hint::WebhookHint;
use crate::webhooks::scheme::{Algorithm, RequestHead, Scheme, Signed};

use super::Sender;

/// How signatures are sent.
pub(super) const SIGNED: Scheme = Scheme::Hmac(&[
    Signed { header: "x-signature", prefix: "sha256=", algorithm: Algorithm::Sha256 },
    Signed { header: "x-signature", prefix: "sha512=", algorithm: Algorithm::Sha512 },
    Signed { header: "x-hub-signature-256", prefix: "sha256=", algorithm: Algorithm::Sha256 },
    Signed { header: "x-landfall-signature-256", prefix: "sha256=", algorithm: Algorithm::Sha256 },
]);

pub(super) struct Generic;

impl Sender for Generic {
    const SCHEMES: &'static [Scheme] = &[SIGNED];

    fn read(_: RequestHead<'_>, body: &Value) -> Told {
        named(body)
    }
}

/// What a body names.
pub(super) fn named(body: &Value) -> Told {
    let many = |key| list(body, key).iter().filter_map(Value::as_str);
    let images = text(body, "/image").into_iter().chain(many("/images"));
    let repositories = text(body, "/repository").into_iter().chain(many("/repositories"));
    let hints = images.filter_map(WebhookHint::reference).chain(repositories.filter_map(WebhookHint::repository));
    let hints: Vec<_> = hints.collect();
    if hints.is_empty() { Err(UnknownShape) } else { Ok(hints) }
}
