//! Settings of receivers: where they are, what they are notified of, and when they are muted.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use crate::document::secret::ReadSecrets;
use crate::model::{Notice, NoticeKind, Severity};

use super::client::Failure;
use super::notifier::Pace;
use super::opening::{Opening, StatusTarget};
use super::sinks::{Sink, SinkKind};

/// One receiver.
#[derive(Debug, Clone)]
pub struct SinkSettings {
    /// Its short name.
    pub name: String,
    /// Its kind and where it is.
    pub kind: SinkKind,
    /// What it is notified of.
    pub filter: Filter,
    /// When it is muted.
    pub mute: Mute,
    /// Certificates (PEM) to trust besides the system's.
    pub ca_pem: Option<Vec<u8>>,
    /// Its secrets, already read.
    pub secrets: ReadSecrets,
    /// The repositories, by name, whose forge accepts commit statuses.
    pub repositories: Arc<BTreeMap<String, StatusTarget>>,
}

impl SinkSettings {
    /// Opens the receiver; makes no connection.
    pub(super) fn open(&self, pace: &Pace) -> Result<Sink, Failure> {
        let opening = Opening {
            ca_pem: self.ca_pem.as_deref(),
            timeout: pace.request,
            repeat: pace.repeat,
            secrets: &self.secrets,
            repositories: &self.repositories,
        };
        Sink::open(&self.kind, &opening)
    }
}

/// What a receiver is notified of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Filter {
    /// Only these environments, and incidents that affect apps in several environments including one of these. Empty:
    /// everything, including incidents without an environment.
    pub environments: Vec<String>,
    /// Only what these policies cover; empty: everything.
    pub policies: Vec<String>,
    /// Only incidents of at least this severity.
    pub minimum_severity: Severity,
    /// Minimum time between two reminders of one incident; `None`: no minimum.
    pub reminder: Option<Duration>,
    /// Whether it is also notified of landings.
    pub landings: Landings,
}

impl Default for Filter {
    fn default() -> Self {
        Self {
            environments: Vec::new(),
            policies: Vec::new(),
            minimum_severity: Severity::Info,
            reminder: None,
            landings: Landings::Silent,
        }
    }
}

/// Whether a receiver is notified of landings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Landings {
    /// As change events.
    Notified,
    /// Never.
    Silent,
}

impl Filter {
    /// Whether this receiver should get a notice.
    #[must_use]
    pub fn wants(&self, notice: &Notice) -> bool {
        let incident = &notice.incident;
        let among = |list: &[String], name: Option<&String>| list.is_empty() || name.is_some_and(|n| list.contains(n));
        let bad_enough = match notice.kind {
            NoticeKind::Landed => self.landings == Landings::Notified,
            _ => incident.severity >= self.minimum_severity,
        };
        let covers = |environment: Option<&String>, policy: Option<&String>| {
            among(&self.environments, environment) && among(&self.policies, policy)
        };
        let covered = match (incident.key.environment.as_ref(), incident.policy.as_ref()) {
            // If it is not known whom an incident affects (a repository that was never read), it concerns everybody.
            (None, None) if incident.affects.is_empty() => true,
            (None, None) => incident.affects.iter().any(|it| covers(it.environment.as_ref(), it.policy.as_ref())),
            (environment, policy) => covers(environment, policy),
        };
        bad_enough && covered
    }
}

/// When a receiver is muted: returns until when, for a given time. Resolutions are sent even then.
#[derive(Clone)]
pub struct Mute(Arc<dyn Fn(Timestamp) -> Option<Timestamp> + Send + Sync>);

impl Mute {
    /// Never muted.
    #[must_use]
    pub fn never() -> Self {
        Self::from_fn(|_| None)
    }

    /// Muted as `until` returns.
    pub fn from_fn(until: impl Fn(Timestamp) -> Option<Timestamp> + Send + Sync + 'static) -> Self {
        Self(Arc::new(until))
    }

    /// Until when it is muted at `now`; `None` if it is not.
    #[must_use]
    pub fn until(&self, now: Timestamp) -> Option<Timestamp> {
        (self.0)(now).filter(|until| *until > now)
    }
}

impl fmt::Debug for Mute {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Mute")
    }
}
