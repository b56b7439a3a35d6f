//! CloudEvents 1.0: what [`webhook`](super::webhook) posts as JSON, in an envelope.

use schemars::JsonSchema;
use serde::Deserialize;

use crate::document::check::Check;
use crate::document::fault::Mark;

pub(super) use super::webhook::Sink;
use super::webhook::{self, Format};

pub(crate) use super::webhook::Settings;

/// The keys of a webhook.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(transparent)]
#[schemars(transparent)]
pub(crate) struct Config(webhook::Config);

impl Config {
    pub(super) fn check(&self, at: Mark, check: &mut Check<'_, '_>) -> Option<Settings> {
        self.0.check_as(Format::CloudEvents, at, check)
    }
}
