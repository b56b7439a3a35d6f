//! Settings of a cluster, and the timing of its watches.

use std::path::PathBuf;
use std::time::Duration;

use secrecy::SecretString;

/// A cluster to watch. `Debug` shows no secret.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Its short name, unique among the clusters.
    pub name: String,
    /// How it is accessed.
    pub access: Access,
    /// The context of the kubeconfig; `None`: its current one.
    pub context: Option<String>,
    /// The environments that run there.
    pub environments: Vec<String>,
    /// Only these namespaces are read; empty: all.
    pub namespaces: Vec<String>,
    /// The timing of its watches.
    pub pace: Pace,
}

/// Where the address and the credentials of a cluster come from.
#[derive(Debug, Clone)]
pub enum Access {
    /// The service account of the pod that this process runs in.
    InCluster,
    /// A kubeconfig file, which is read again if the server refuses the credentials in it.
    File(PathBuf),
    /// The content of a kubeconfig.
    Text(SecretString),
}

/// Times and sizes for watches.
#[derive(Debug, Clone)]
pub struct Pace {
    /// Maximum time to connect.
    pub connect: Duration,
    /// Maximum time for an answer; for a watch, until it starts.
    pub request: Duration,
    /// How long the server is asked to keep a watch open, in whole seconds.
    pub watch: Duration,
    /// A watch without any message for this long, not even its end, is dead. Longer than `watch`, since servers are not
    /// obliged to send bookmarks.
    pub idle: Duration,
    /// Everything is listed again after this time, plus up to a tenth, in case a change was lost.
    pub relist: Duration,
    /// Kinds that are not installed or not permitted are retried after this time.
    pub probe: Duration,
    /// The first pause after a failure; it doubles each time, with jitter.
    pub backoff: Duration,
    /// The longest pause after a failure.
    pub max_backoff: Duration,
    /// Number of objects per page of a list.
    pub page: u32,
    /// Maximum size of a page with more than one object, so that it arrives in time over a slow connection.
    pub page_bytes: usize,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(10),
            request: Duration::from_secs(60),
            watch: Duration::from_secs(240),
            idle: Duration::from_secs(270),
            relist: Duration::from_secs(30 * 60),
            probe: Duration::from_secs(60),
            backoff: Duration::from_secs(1),
            max_backoff: Duration::from_secs(30),
            page: 250,
            page_bytes: 32 * 1024 * 1024,
        }
    }
}

/// The next pause after a failure.
#[derive(Debug)]
pub(super) struct Backoff {
    failures: u32,
}

impl Backoff {
    pub(super) fn new() -> Self {
        Self { failures: 0 }
    }

    pub(super) fn reset(&mut self) {
        self.failures = 0;
    }

    pub(super) fn is_fresh(&self) -> bool {
        self.failures == 0
    }

    pub(super) fn next(&mut self, pace: &Pace) -> Duration {
        let doubled = pace.backoff.saturating_mul(1 << self.failures.min(16));
        self.failures = self.failures.saturating_add(1);
        doubled.min(pace.max_backoff).mul_f64(0.5 + fastrand::f64() / 2.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_a_bound_and_start_again() {
        let (pace, mut backoff) = (Pace::default(), Backoff::new());
        let pauses: Vec<Duration> = (0..40).map(|_| backoff.next(&pace)).collect();
        assert!(pauses[0] <= Duration::from_secs(1));
        assert!(pauses[5..].iter().all(|pause| (15..=30).contains(&pause.as_secs())), "{pauses:?}");
        backoff.reset();
        assert!(backoff.next(&pace) <= Duration::from_secs(1));
    }

    #[test]
    fn a_kubeconfig_is_not_printed() {
        let access = Access::Text("token: hunter2".into());
        assert!(!format!("{access:?}").contains("hunter2"));
    }
}
