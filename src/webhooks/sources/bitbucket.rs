//! Bitbucket Cloud and Data Center. Sources: Atlassian's "Event payloads" of both.
//!
//! - `X-Event-Key` names the event: `repo:push`, `repo:refs_changed`, `pullrequest:…` (Cloud), `pr:…` (Data Center)
//! - `X-Hub-Signature: sha256=HEX` is the HMAC of the body; `X-Request-UUID` (Cloud) and `X-Request-Id` name the delivery
//! - Cloud: `repository.links.html.href`; Data Center: `repository.links.self[].href`, of the form
//!   `https://HOST/projects/KEY/repos/SLUG/browse`, whose clones are at `https://HOST/scm/key/slug` and `ssh://HOST/key/slug`

use serde_json::Value;

use crate::webhooks::body::{Told, UnknownShape, list, text};
use crate::webhooks::hint::WebhookHint;
use crate::webhooks::scheme::{Algorithm, RequestHead, Scheme, Signed};

use super::Sender;

pub(super) struct Bitbucket;

impl Sender for Bitbucket {
    const SCHEMES: &'static [Scheme] =
        &[Scheme::Hmac(&[Signed { header: "x-hub-signature", prefix: "sha256=", algorithm: Algorithm::Sha256 }])];

    fn read(head: RequestHead<'_>, body: &Value) -> Told {
        let event = head.header("x-event-key");
        if event.is_empty() {
            return Err(UnknownShape);
        }
        if !["repo:", "pullrequest:", "pr:"].iter().any(|prefix| event.starts_with(prefix)) {
            return Ok(Vec::new());
        }
        let own = body.get("repository").or_else(|| body.pointer("/pullRequest/toRef/repository"));
        let own = own.ok_or(UnknownShape)?;
        let mut hints: Vec<_> = text(own, "/links/html/href").and_then(WebhookHint::repository).into_iter().collect();
        let clones = list(own, "/links/clone").iter().chain(list(own, "/links/self"));
        for address in clones.take(8).filter_map(|link| text(link, "/href")) {
            hints.extend(WebhookHint::repository(address));
            hints.extend(clones_of(address).into_iter().flatten().filter_map(|clone| WebhookHint::repository(&clone)));
        }
        if hints.is_empty() { Err(UnknownShape) } else { Ok(hints) }
    }

    fn delivery(head: RequestHead<'_>, _: &Value) -> Option<String> {
        let names = ["x-request-uuid", "x-request-id"].map(|name| head.header(name));
        names.into_iter().find(|id| !id.is_empty()).map(str::to_owned)
    }
}

/// The addresses of clones of a repository whose page this is.
fn clones_of(page: &str) -> Option<[String; 2]> {
    let (base, rest) = page.split_once("/projects/")?;
    let (key, rest) = rest.split_once("/repos/")?;
    let slug = rest.split('/').next()?;
    let key = key.to_lowercase();
    Some([format!("{base}/scm/{key}/{slug}"), format!("{base}/{key}/{slug}")])
}
