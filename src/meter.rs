//! Counts of what is asked outside: HTTP requests and operations of git, by host and outcome; and how many requests hosts say
//! that they still accept.
//!
//! Promise: counting waits for a short lock and nothing else. The number of hosts is bounded: what the configuration and Git
//! name is far below `MOST`, and what servers redirect to beyond that is counted as one.
//!
//! Design: one table for the process, as its sockets are. Who counts is below the edges; who shows it is the web server.

use std::collections::BTreeMap;
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::model::Quota;

/// Maximum number of hosts that are counted each on their own.
const MOST: usize = 200;
/// All hosts beyond that.
const OTHERS: &str = "others";

/// What a request or operation is counted under.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Counted {
    /// The host; `local` for paths.
    pub host: String,
    /// What was done.
    pub operation: Operation,
    /// What came of it.
    pub outcome: &'static str,
}

/// What a host was asked to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Operation {
    /// An HTTP request.
    Http,
    /// `git fetch`.
    Fetch,
    /// `git ls-remote`.
    LsRemote,
    /// `git push`.
    Push,
    /// Another command of git.
    Other,
}

/// In what a host was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Protocol {
    /// HTTP requests of the bot itself.
    Http,
    /// Git.
    Git,
}

/// How long ago a host last answered.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LastAnswers {
    /// Well.
    pub success: Option<Duration>,
    /// With an error, or not at all.
    pub failure: Option<Duration>,
}

/// A table of counts.
#[derive(Debug, Default)]
pub struct Meter {
    counts: BTreeMap<Counted, u64>,
    /// When each host last answered, by what it was asked.
    last: BTreeMap<(String, Operation), Last>,
    /// What each host last said is left of its limits, and when, by what is limited.
    quotas: BTreeMap<(String, &'static str), (Quota, Instant)>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Last {
    success: Option<Instant>,
    failure: Option<Instant>,
}

impl Operation {
    /// The word in metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Fetch => "fetch",
            Self::LsRemote => "ls-remote",
            Self::Push => "push",
            Self::Other => "other",
        }
    }

    /// In what it is asked.
    #[must_use]
    pub fn protocol(self) -> Protocol {
        match self {
            Self::Http => Protocol::Http,
            Self::Fetch | Self::LsRemote | Self::Push | Self::Other => Protocol::Git,
        }
    }
}

impl Protocol {
    /// Its name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Http => "HTTP",
            Self::Git => "Git",
        }
    }
}

impl LastAnswers {
    /// Whether the last answer was not a good one.
    #[must_use]
    pub fn is_failing(&self) -> bool {
        match (self.success, self.failure) {
            (_, None) => false,
            (None, Some(_)) => true,
            (Some(success), Some(failure)) => failure < success,
        }
    }
}

static METER: LazyLock<Mutex<Meter>> = LazyLock::new(Mutex::default);

fn meter() -> MutexGuard<'static, Meter> {
    METER.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Counts an HTTP request: its status, or that there was no answer.
pub fn http(host: Option<&str>, status: Option<u16>) {
    let (outcome, good) = match status {
        None => ("no-answer", false),
        Some(200..=399) => ("ok", true),
        Some(404) => ("not-found", true),
        Some(401 | 403) => ("refused", false),
        Some(429) => ("rate-limited", false),
        Some(500..) => ("server-error", false),
        Some(_) => ("client-error", false),
    };
    meter().count(host.unwrap_or("local"), Operation::Http, outcome, (good, Instant::now()));
}

/// Keeps what an answer said is left of a limit. Of hosts that are not counted on their own nothing is kept.
pub fn quota(host: Option<&str>, resource: &'static str, quota: Quota) {
    meter().heard(host.unwrap_or("local"), resource, quota, Instant::now());
}

/// What is left of each host's limits, by what is limited (empty if the host names nothing); not of windows that are over.
#[must_use]
pub fn quotas(now: Instant) -> BTreeMap<(String, &'static str), Quota> {
    meter().quotas.iter().filter_map(|(key, (quota, at))| Some((key.clone(), left(*quota, *at, now)?))).collect()
}

/// What is left of a limit at a later time, as far as that is known without asking.
fn left(quota: Quota, at: Instant, now: Instant) -> Option<Quota> {
    let passed = now.saturating_duration_since(at);
    // A host that names no window has an hour: what it said once must not stand for ever.
    let over = passed >= quota.reset.or(quota.window).unwrap_or(Duration::from_hours(1));
    (!over).then(|| Quota { reset: quota.reset.map(|reset| reset.saturating_sub(passed)), ..quota })
}

/// Counts an operation of git on a remote at this address.
pub fn git(address: &str, operation: &str, good: bool) {
    let known = [Operation::Fetch, Operation::LsRemote, Operation::Push];
    let operation = known.into_iter().find(|known| known.as_str() == operation).unwrap_or(Operation::Other);
    let outcome = if good { "ok" } else { "failed" };
    meter().count(host_of(address), operation, outcome, (good, Instant::now()));
}

/// All counts.
#[must_use]
pub fn counts() -> BTreeMap<Counted, u64> {
    meter().counts.clone()
}

/// How each host did last, by what it was asked.
#[must_use]
pub fn last(now: Instant) -> BTreeMap<(String, Operation), LastAnswers> {
    let age = |at: Option<Instant>| at.map(|at| now.saturating_duration_since(at));
    let answers = |last: &Last| LastAnswers { success: age(last.success), failure: age(last.failure) };
    meter().last.iter().map(|(key, last)| (key.clone(), answers(last))).collect()
}

impl Meter {
    fn count(&mut self, host: &str, operation: Operation, outcome: &'static str, (good, now): (bool, Instant)) {
        let known = |key: &Counted| key.host == host;
        let hosts = || {
            let mut hosts: Vec<&str> = self.counts.keys().map(|key| key.host.as_str()).collect();
            hosts.dedup();
            hosts.len()
        };
        let fits = host.len() <= 255 && (self.counts.keys().any(known) || hosts() < MOST);
        let host = if fits { host.to_owned() } else { OTHERS.to_owned() };
        let last = self.last.entry((host.clone(), operation)).or_default();
        *(if good { &mut last.success } else { &mut last.failure }) = Some(now);
        *self.counts.entry(Counted { host, operation, outcome }).or_default() += 1;
    }

    fn heard(&mut self, host: &str, resource: &'static str, quota: Quota, at: Instant) {
        if self.counts.keys().any(|counted| counted.host == host) {
            self.quotas.insert((host.to_owned(), resource), (quota, at));
        }
    }
}

/// The host of an address of git, without user and port.
fn host_of(address: &str) -> &str {
    let rest = match address.split_once("://") {
        Some(("file", _)) => return "local",
        Some((_, rest)) => rest,
        None if address.starts_with('/') || !address.contains(':') => return "local",
        None => address,
    };
    let authority = rest.split('/').next().unwrap_or(rest);
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    match host.strip_prefix('[').and_then(|host| host.split_once(']')) {
        Some((host, _)) => host,
        None => host.split(':').next().unwrap_or(host),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_taken_from_each_form_of_address() {
        for (address, host) in [
            ("https://git.example:8443/acme/a.git", "git.example"),
            ("ssh://git@git.example:22/acme/a.git", "git.example"),
            ("git@git.example:acme/a.git", "git.example"),
            ("https://[::1]:8080/a.git", "::1"),
            ("/srv/git/a.git", "local"),
            ("file:///srv/git/a.git", "local"),
            ("remotes/a.git", "local"),
        ] {
            assert_eq!(host_of(address), host, "{address}");
        }
    }

    #[test]
    fn what_is_left_of_a_limit_is_told_until_its_window_is_over() {
        let (mut meter, now) = (Meter::default(), Instant::now());
        let seconds = Duration::from_secs;
        let quota = |reset, window| Quota { remaining: 7, limit: Some(100), window, reset };
        meter.count("r.example", Operation::Http, "ok", (true, now));
        meter.heard("r.example", "", quota(Some(seconds(60)), None), now);
        meter.heard("unknown.example", "", quota(None, None), now);
        assert_eq!(meter.quotas.keys().map(|(host, _)| host.as_str()).collect::<Vec<_>>(), ["r.example"]);
        let told =
            |quota, after| left(quota, now, now + seconds(after)).map(|it| it.reset.map(|reset| reset.as_secs()));
        assert_eq!(told(quota(Some(seconds(60)), None), 20), Some(Some(40)));
        assert_eq!(told(quota(Some(seconds(60)), None), 60), None);
        assert_eq!(told(quota(None, Some(seconds(60))), 61), None);
        assert_eq!([told(quota(None, None), 3_599), told(quota(None, None), 3_600)], [Some(None), None]);
    }

    #[test]
    fn hosts_beyond_the_bound_are_one() {
        let (mut meter, now) = (Meter::default(), Instant::now());
        for number in 0..3 * MOST {
            meter.count(&format!("host-{number}"), Operation::Http, "ok", (true, now));
        }
        meter.count("host-0", Operation::Http, "ok", (true, now));
        meter.count(&"x".repeat(300), Operation::Http, "ok", (true, now));
        assert_eq!((meter.counts.len(), meter.last.len()), (MOST + 1, MOST + 1));
        let counted = |host: &str| Counted { host: host.to_owned(), operation: Operation::Http, outcome: "ok" };
        let count = |host: &str| meter.counts[&counted(host)];
        assert_eq!((count("host-0"), count(OTHERS)), (2, 2 * MOST as u64 + 1));
    }
    #[test]
    fn a_failure_is_over_when_an_answer_came_after_it() {
        let second = Duration::from_secs(1);
        for (success, failure, failing) in [
            (None, None, false),
            (None, Some(second), true),
            (Some(second), None, false),
            (Some(second), Some(2 * second), false),
            (Some(2 * second), Some(second), true),
        ] {
            assert_eq!(LastAnswers { success, failure }.is_failing(), failing, "{success:?} {failure:?}");
        }
    }
}
