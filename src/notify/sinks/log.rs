//! The log as a receiver: one structured line per notice, which cannot fail.

use crate::model::{Severity, Texts};

use super::Delivery;

pub(super) fn deliver(delivery: &Delivery<'_>) {
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
