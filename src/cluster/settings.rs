//! What is configured about a cluster, and how patient its watches are.

use std::path::PathBuf;
use std::time::Duration;

use secrecy::SecretString;

/// A cluster to watch. `Debug` shows no secret.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Its short name, unique among the clusters.
    pub name: String,
    /// How it is reached.
    pub access: Access,
    /// The context of the kubeconfig; `None`: its current one.
    pub context: Option<String>,
    /// The environments that run there.
    pub environments: Vec<String>,
    /// Only these namespaces are read; empty: all.
    pub namespaces: Vec<String>,
    /// How patient its watches are.
    pub pace: Pace,
}

/// Where the address and the credentials of a cluster come from.
#[derive(Debug, Clone)]
pub enum Access {
    /// The service account of the pod that this process runs in.
    InCluster,
    /// A kubeconfig file, read again when the server refuses what was in it.
    File(PathBuf),
    /// The text of a kubeconfig.
    Text(SecretString),
}

/// Times and sizes of a watch.
#[derive(Debug, Clone)]
pub struct Pace {
    /// Most time to connect.
    pub connect: Duration,
    /// Most time for one answer; for a watch, until it begins.
    pub request: Duration,
    /// How long the server is asked to keep one watch open, in whole seconds.
    pub watch: Duration,
    /// A watch on which nothing comes for so long, not even its end, is dead. More than `watch`, since bookmarks are a
    /// courtesy that a server need not show.
    pub idle: Duration,
    /// Everything is listed again after this time, up to a tenth later, in case a change was lost on the way.
    pub relist: Duration,
    /// What is not installed or not permitted is tried again after this time.
    pub probe: Duration,
    /// The first pause after a failure; doubled each time, with jitter.
    pub backoff: Duration,
    /// The longest pause after a failure.
    pub max_backoff: Duration,
    /// Objects of one page of a list.
    pub page: u32,
    /// Most bytes of a page of more than one object: it comes in time also over a slow line.
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
