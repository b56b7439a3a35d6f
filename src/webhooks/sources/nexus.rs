//! Sonatype Nexus. Source: Sonatype's "Working With Webhooks".
//!
//! - repository webhooks about components (`component.{format, name, version}`) and assets (`asset.{format, name}`,
//!   where the name is `v2/NAME/manifests/TAG`); `action` is `CREATED`, `UPDATED` or `DELETED`
//! - `X-Nexus-Webhook-Signature` is the HMAC-SHA1 of the body
//! - the address of the Docker connector is not in it: with `registry` in the configuration it is known

use serde_json::Value;

use crate::webhooks::body::{Told, UnknownShape, is_one, needed, text};
use crate::webhooks::hint::WebhookHint;
use crate::webhooks::scheme::{Algorithm, RequestHead, Scheme, Signed};

use super::Sender;

pub(super) struct Nexus;

impl Sender for Nexus {
    const SCHEMES: &'static [Scheme] =
        &[Scheme::Hmac(&[Signed { header: "x-nexus-webhook-signature", prefix: "", algorithm: Algorithm::Sha1 }])];

    fn read(_: RequestHead<'_>, body: &Value) -> Told {
        if !is_one(Some(needed(body, "/action")?), &["CREATED", "UPDATED"]) {
            return Ok(Vec::new());
        }
        let name = if let Some(component) = body.get("component") {
            if !is_one(text(component, "/format"), &["docker"]) {
                return Ok(Vec::new());
            }
            needed(component, "/name")?
        } else if let Some(asset) = body.get("asset") {
            let path = needed(asset, "/name")?.trim_start_matches('/');
            let manifest = path.strip_prefix("v2/").and_then(|path| path.split_once("/manifests/"));
            let Some((name, _)) = manifest.filter(|_| is_one(text(asset, "/format"), &["docker"])) else {
                return Ok(Vec::new());
            };
            name
        } else {
            return Err(UnknownShape);
        };
        let mut hints: Vec<_> = WebhookHint::image(None, name).into_iter().collect();
        // With path-based routing the repository's name comes first.
        hints.extend(
            text(body, "/repositoryName").and_then(|first| WebhookHint::image(None, &format!("{first}/{name}"))),
        );
        Ok(hints)
    }

    fn delivery(head: RequestHead<'_>, _: &Value) -> Option<String> {
        Some(head.header("x-nexus-webhook-delivery")).filter(|id| !id.is_empty()).map(str::to_owned)
    }
}
