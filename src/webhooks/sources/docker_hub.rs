//! Docker Hub. Source: Docker's documentation, "Webhooks".
//!
//! - every push of a tag is sent; nothing but the address can have a secret
//! - `callback_url` expects an answer, and is not contacted: it comes from outside

use serde_json::Value;

use crate::webhooks::body::{Told, needed};
use crate::webhooks::hint::WebhookHint;
use crate::webhooks::scheme::{RequestHead, Scheme};

use super::Sender;

pub(super) struct DockerHub;

impl Sender for DockerHub {
    const SCHEMES: &'static [Scheme] = &[Scheme::Address];

    fn read(_: RequestHead<'_>, body: &Value) -> Told {
        needed(body, "/push_data/tag")?;
        let name = needed(body, "/repository/repo_name")?;
        let official = !name.contains('/');
        let name = if official { format!("library/{name}") } else { name.to_owned() };
        Ok(WebhookHint::image(Some("docker.io"), &name).into_iter().collect())
    }
}
