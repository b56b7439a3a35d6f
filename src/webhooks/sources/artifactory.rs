//! JFrog Artifactory. Source: JFrog's "Webhooks", event types of domain `docker`.
//!
//! - `domain: docker`, `event_type: pushed`, `data.{repo_key, image_name, tag}`, `jpd_origin` with the platform's address
//! - the registry's host and path depend on the set-up: `HOST/REPO_KEY/IMAGE`, `REPO_KEY.HOST/IMAGE`, or a proxy's own
//! - `X-JFrog-Event-Auth` is the secret, or the HMAC-SHA256 of the body where "use secret for payload signing" is on

use serde_json::Value;

use crate::webhooks::body::{Told, host, is_one, needed, text};
use crate::webhooks::hint::WebhookHint;
use crate::webhooks::scheme::{Algorithm, RequestHead, Scheme, Signed};

use super::Sender;

pub(super) struct Artifactory;

impl Sender for Artifactory {
    const SCHEMES: &'static [Scheme] = &[
        Scheme::Hmac(&[Signed { header: "x-jfrog-event-auth", prefix: "", algorithm: Algorithm::Sha256 }]),
        Scheme::Header("x-jfrog-event-auth"),
    ];

    fn read(_: RequestHead<'_>, body: &Value) -> Told {
        let is_push = is_one(Some(needed(body, "/domain")?), &["docker"])
            && is_one(text(body, "/event_type"), &["pushed", "promoted"]);
        if !is_push {
            return Ok(Vec::new());
        }
        let (key, image) = (needed(body, "/data/repo_key")?, needed(body, "/data/image_name")?);
        let (path, platform) = (format!("{key}/{image}"), text(body, "/jpd_origin").and_then(host));
        let own = platform.map(|platform| format!("{key}.{platform}"));
        let hints = [WebhookHint::image(platform, &path), WebhookHint::image(own.as_deref(), image)];
        Ok(hints.into_iter().flatten().collect())
    }
}
