//! The heartbeat: a ping after each good cycle to an external dead man's switch, which alerts when the pings stop.
//!
//! Promise: a cycle that failed or hangs sends no ping. Sending one delays the loop by a bounded time.

use std::time::Duration;

use jiff::Timestamp;
use secrecy::{ExposeSecret as _, SecretString};
use serde::Serialize;

use crate::http::SecretUrl;

use super::client::{Failure, FailureKind, SinkClient, address};

/// Maximum time for one ping.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Where the dead man's switch is.
#[derive(Debug, Clone)]
pub struct HeartbeatSettings {
    /// The URL to request, usually a secret.
    pub url: SecretString,
    /// Certificates (PEM) to trust besides the system's.
    pub ca_pem: Option<Vec<u8>>,
}

/// How a cycle ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum Cycle {
    /// Everything could be read.
    Good,
    /// Something could not be read.
    Failed,
}

/// The heartbeat.
#[derive(Debug)]
pub struct Heartbeat {
    client: SinkClient,
    url: SecretUrl,
    last: Option<Timestamp>,
}

impl Heartbeat {
    /// A heartbeat that has not been sent yet.
    ///
    /// # Errors
    /// When the address or the certificates cannot be used.
    pub fn new(settings: &HeartbeatSettings) -> Result<Self, Failure> {
        let client = SinkClient::new(settings.ca_pem.as_deref(), TIMEOUT, vec![settings.url.clone()])?;
        Ok(Self { client, url: SecretUrl(address(settings.url.expose_secret())?), last: None })
    }

    /// Pings after a good cycle, with at most one retry; does nothing after a failed cycle.
    ///
    /// # Errors
    /// If the dead man's switch does not answer. The next good cycle tries again.
    pub async fn after(&mut self, cycle: Cycle, now: Timestamp) -> Result<(), Failure> {
        if cycle == Cycle::Failed {
            return Ok(());
        }
        let mut result = self.ping().await;
        if matches!(&result, Err(failure) if failure.kind == FailureKind::Unavailable) {
            result = self.ping().await;
        }
        match result {
            Ok(()) => {
                self.last = Some(now);
                Ok(())
            }
            Err(failure) => {
                tracing::warn!(error = %failure, "the heartbeat was not delivered");
                Err(failure)
            }
        }
    }

    /// When the last ping arrived.
    #[must_use]
    pub fn last(&self) -> Option<Timestamp> {
        self.last
    }

    async fn ping(&self) -> Result<(), Failure> {
        self.client.send(self.client.http().get(self.url.0.clone())).await.map(drop)
    }
}
