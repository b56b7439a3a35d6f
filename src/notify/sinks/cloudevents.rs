//! CloudEvents 1.0: the JSON of [`webhook`](super::webhook), in an envelope.

use schemars::JsonSchema;
use serde::Deserialize;

use crate::document::check::Check;
use crate::document::fault::Mark;

use super::webhook::{Format, WebhookConfig, WebhookSettings};

/// The keys of a webhook.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(transparent)]
#[schemars(transparent)]
pub(crate) struct CloudEventsConfig(WebhookConfig);

impl CloudEventsConfig {
    pub(super) fn check(&self, at: Mark, check: &mut Check<'_, '_>) -> Option<WebhookSettings> {
        self.0.check_as(Format::CloudEvents, at, check)
    }
}
