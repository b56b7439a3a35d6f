//! Harbor. Sources: Harbor's documentation, "Configure Webhook Notifications"; goharbor/harbor#11713.
//!
//! - the default payload has `type: PUSH_ARTIFACT` and `event_data`; CloudEvents have `harbor.artifact.pushed` (newer:
//!   `harbor.tag.created`) and the same below `data`
//! - one webhook may have several `resources`; the tag of one may be a digest, for the children of an index
//! - the `Authorization` header is the configured text as it is

use serde_json::Value;

use crate::webhooks::body::{Told, UnknownShape, host, is_one, list, needed, text};
use crate::webhooks::hint::WebhookHint;
use crate::webhooks::scheme::{RequestHead, Scheme};

use super::Sender;
use super::cloudevents::event_type;

/// What a push is called.
const PUSHES: [&str; 4] = ["PUSH_ARTIFACT", "pushImage", "harbor.artifact.pushed", "harbor.tag.created"];

pub(super) struct Harbor;

impl Sender for Harbor {
    const SCHEMES: &'static [Scheme] = &[Scheme::Header("authorization")];

    fn read(head: RequestHead<'_>, body: &Value) -> Told {
        let kind = event_type(head, body).ok_or(UnknownShape)?;
        if !is_one(Some(kind), &PUSHES) {
            return Ok(Vec::new());
        }
        let data = body.get("event_data").or_else(|| body.get("data")).unwrap_or(body);
        let name = needed(data, "/repository/repo_full_name")?;
        let urls = list(data, "/resources").iter().filter_map(|resource| text(resource, "/resource_url"));
        let mut hints: Vec<_> = urls.filter_map(|url| WebhookHint::image(host(url), name)).collect();
        hints.dedup();
        if hints.is_empty() {
            hints.extend(WebhookHint::image(None, name));
        }
        Ok(hints)
    }

    fn delivery(head: RequestHead<'_>, body: &Value) -> Option<String> {
        super::cloudevents::id(head, body)
    }
}
