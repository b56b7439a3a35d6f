//! The log as a receiver: one structured line per notice. It cannot fail.

use schemars::JsonSchema;
use serde::Deserialize;

use crate::document::check::Check;
use crate::document::fault::Mark;
use crate::model::{Severity, Texts};
use crate::notify::client::Failure;
use crate::notify::memory::SinkMemory;
use crate::notify::opening::Opening;

use super::{Delivered, Delivery, Receiver};

/// The log has no keys of its own.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct LogConfig {}

/// There is nothing to configure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogSettings;

impl LogConfig {
    pub(super) fn check(&self, _: Mark, _: &mut Check<'_, '_>) -> Option<LogSettings> {
        Some(LogSettings)
    }
}

#[derive(Debug)]
pub(crate) struct LogSink;

impl Receiver for LogSink {
    type Settings = LogSettings;

    fn open(_: &LogSettings, _: &Opening<'_>) -> Result<Self, Failure> {
        Ok(Self)
    }

    async fn deliver(&self, delivery: &Delivery<'_>, _: &mut SinkMemory) -> Delivered {
        write(delivery);
        Ok(None)
    }
}

fn write(delivery: &Delivery<'_>) {
    let (notice, Texts { title, .. }) = (delivery.notice, &delivery.texts);
    let incident = &notice.incident;
    let code = incident.code.map(|code| code.to_string()).unwrap_or_default();
    macro_rules! line {
        ($level:ident) => {
            tracing::$level!(
                kind = notice.kind.as_str(),
                id = %incident.key.id(),
                severity = incident.severity.as_str(),
                environment = incident.key.environment.as_deref().unwrap_or_default(),
                cluster = incident.key.cluster.as_deref().unwrap_or_default(),
                app = incident.key.app,
                image = incident.key.image,
                to = incident.key.version,
                from = notice.from.join(","),
                state = %incident.state,
                code,
                resolution = notice.resolution.as_ref().map(|over| over.as_str()).unwrap_or_default(),
                since = %incident.since,
                cause = notice.cause,
                next = notice.next,
                "{title}"
            )
        };
    }
    match incident.severity {
        _ if !delivery.alarms() => line!(info),
        Severity::Info => line!(info),
        Severity::Warning => line!(warn),
        Severity::Error | Severity::Critical => line!(error),
    }
}
