//! How many requests a host still accepts, and how they are spread so that they last. Pure: the time is an argument.
//!
//! Promise: the last requests of a limit are not used up at once: from half of it on, requests are sent at growing
//! distances, so that what is left lasts until there is more. Only requests of the kinds that the host counts are held
//! back, by its own word: Docker Hub counts manifests, and no lists of tags. It says what is left in the answer to a `HEAD` of
//! a manifest, too, which it does not count (<https://docs.docker.com/docker-hub/usage/pulls/>, *View pull rate and limit*).

use std::collections::BTreeMap;
use std::time::Duration;

use http::{HeaderMap, Method};
use tokio::time::Instant;
use url::Url;

use crate::model::Quota;

/// The window of a host that names neither a window nor a time at which there is more.
const UNNAMED_WINDOW: Duration = Duration::from_secs(60);
/// What is taken for the whole of a limit that the host does not name.
const UNNAMED_LIMIT: u64 = 100;
/// The longest distance between two requests: what a host says of later is believed when it says it again.
const LONGEST: Duration = Duration::from_secs(3600);
/// Says whom Docker Hub counts pulls of; no other registry sends it but one that passes on its answers.
const DOCKER_HUB_LIMIT: &str = "docker-ratelimit-source";

/// The kinds of requests that hosts count apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Counted {
    Listing,
    ManifestHead,
    Manifest,
    Other,
}

impl Counted {
    pub(super) fn of(method: &Method, url: &Url) -> Self {
        let path = url.path();
        match () {
            () if path.contains("/manifests/") && *method == Method::HEAD => Self::ManifestHead,
            () if path.contains("/manifests/") => Self::Manifest,
            () if path.ends_with("/tags/list") => Self::Listing,
            () => Self::Other,
        }
    }

    /// Of which kind of requests an answer says how many are left.
    pub(super) fn told_by(self, headers: &HeaderMap) -> Self {
        match self {
            Self::ManifestHead if headers.contains_key(DOCKER_HUB_LIMIT) => Self::Manifest,
            kind => kind,
        }
    }
}

/// The budgets of a host, by kind of request.
#[derive(Debug, Default)]
pub(super) struct Budget(BTreeMap<Counted, Allowance>);

#[derive(Debug)]
struct Allowance {
    quota: Quota,
    /// When the host said so.
    at: Instant,
    /// The earliest time for the next request.
    next: Instant,
}

impl Budget {
    /// Takes in what an answer said. A kind of request about which nothing is said any more is free again.
    pub(super) fn heard(&mut self, kind: Counted, quota: Option<Quota>, now: Instant) {
        match (quota, self.0.get_mut(&kind)) {
            (None, _) => drop(self.0.remove(&kind)),
            // Answers may overtake each other; within a window less is left, not more.
            (Some(quota), Some(known)) => {
                let fresh = Allowance { quota, at: now, next: known.next.min(now + distance(&quota)) };
                *known = fresh;
            }
            (Some(quota), None) => drop(self.0.insert(kind, Allowance { quota, at: now, next: now })),
        }
    }

    /// How long a request of this kind has to wait; its turn is taken if that is within `patience`.
    ///
    /// # Errors
    /// The time to wait, if it is longer.
    pub(super) fn turn(&mut self, kind: Counted, patience: Duration, now: Instant) -> Result<Duration, Duration> {
        let Some(known) = self.0.get_mut(&kind) else { return Ok(Duration::ZERO) };
        if known.quota.reset.is_some_and(|reset| now >= known.at + reset) {
            // There is more by now, and the next answer says how much.
            self.0.remove(&kind);
            return Ok(Duration::ZERO);
        }
        let between = distance(&known.quota);
        let next = match known.quota.remaining {
            0 => known.next.max(known.at + between),
            _ => known.next,
        };
        let wait = next.saturating_duration_since(now);
        if wait > patience {
            return Err(wait);
        }
        known.next = next.max(now) + between;
        // Until the answer says more, this one is spent.
        known.quota.remaining = known.quota.remaining.saturating_sub(1);
        Ok(wait)
    }

    /// The least that is left, and after how long there is more, if that is known.
    pub(super) fn left(&self, now: Instant) -> Option<Quota> {
        let least = self.0.values().min_by_key(|it| (it.quota.remaining, it.at))?;
        let reset = least.quota.reset.map(|reset| (least.at + reset).saturating_duration_since(now));
        Some(Quota { reset, ..least.quota })
    }
}

/// The time between two requests: none while more than half is left, then more and more up to an even share of the rest of
/// the window.
fn distance(quota: &Quota) -> Duration {
    let limit = quota.limit.unwrap_or(UNNAMED_LIMIT).max(1);
    let until = quota.reset.or(quota.window).unwrap_or(UNNAMED_WINDOW).min(LONGEST * 24);
    if quota.remaining == 0 {
        // Where windows slide, there is more after one request's share of it.
        let share = u32::try_from(limit).map_or(Duration::ZERO, |limit| until / limit);
        return quota.reset.unwrap_or(share).min(LONGEST);
    }
    #[expect(clippy::cast_precision_loss, reason = "a share of a time, which need not be exact")]
    let used = 1.0 - (2.0 * quota.remaining as f64 / limit as f64);
    if used <= 0.0 {
        return Duration::ZERO;
    }
    // Billions are as good as no limit.
    let left = u32::try_from(quota.remaining).unwrap_or(u32::MAX);
    (until / left).mul_f64(used).min(LONGEST)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn quota(remaining: u64, limit: u64, window: Option<u64>, reset: Option<u64>) -> Option<Quota> {
        Some(Quota { remaining, limit: Some(limit), window: window.map(seconds), reset: reset.map(seconds) })
    }

    #[test]
    fn what_is_left_lasts_until_there_is_more() {
        let (mut budget, begin) = (Budget::default(), Instant::now());
        let (mut now, mut left, mut sent) = (begin, 20, 0);
        while now < begin + seconds(100) {
            let reset = (begin + seconds(100) - now).as_secs() + 1;
            budget.heard(Counted::Manifest, quota(left, 20, None, Some(reset)), now);
            now += budget.turn(Counted::Manifest, seconds(120), now).unwrap();
            if now >= begin + seconds(100) {
                break;
            }
            left = u64::checked_sub(left, 1).expect("the budget was used up before its end");
            sent += 1;
            // The answer takes a tenth of a second.
            now += Duration::from_millis(100);
        }
        assert!(sent >= 15, "only {sent} of 20 were sent");
    }

    #[test]
    fn half_of_it_is_free_and_the_end_is_slow() {
        let (mut budget, now) = (Budget::default(), Instant::now());
        budget.heard(Counted::Manifest, quota(60, 100, Some(21_600), None), now);
        for _ in 0..10 {
            assert_eq!(budget.turn(Counted::Manifest, seconds(1), now), Ok(Duration::ZERO));
        }
        budget.heard(Counted::Manifest, quota(10, 100, Some(21_600), None), now);
        assert_eq!(budget.turn(Counted::Manifest, seconds(1), now), Ok(Duration::ZERO));
        let wait = budget.turn(Counted::Manifest, seconds(120), now).unwrap_err();
        assert!(wait > seconds(1000), "{wait:?}");
        assert_eq!(budget.turn(Counted::Listing, seconds(0), now), Ok(Duration::ZERO), "the host does not count lists");
        assert_eq!(budget.left(now).map(|left| left.remaining), Some(9));
        assert!(budget.turn(Counted::Manifest, seconds(120), now + wait).is_ok(), "its time comes");
    }

    #[test]
    fn an_empty_budget_waits_for_its_reset_and_not_longer() {
        let (mut budget, now) = (Budget::default(), Instant::now());
        budget.heard(Counted::Listing, quota(0, 100, None, Some(30)), now);
        assert_eq!(budget.turn(Counted::Listing, seconds(60), now), Ok(seconds(30)));
        budget.heard(Counted::Listing, quota(0, 100, None, Some(300)), now);
        assert_eq!(budget.turn(Counted::Listing, seconds(60), now), Err(seconds(300)));
        assert_eq!(budget.turn(Counted::Listing, seconds(60), now + seconds(300)), Ok(Duration::ZERO));
        assert_eq!(budget.left(now), None, "what there was is over");
    }

    #[test]
    fn billions_are_as_good_as_no_limit() {
        let (mut budget, now) = (Budget::default(), Instant::now());
        for (left, limit) in [(5_000_000_000, 5_000_000_000), (u64::MAX / 4, u64::MAX), (5_000_000_000, u64::MAX)] {
            budget.heard(Counted::Manifest, quota(left, limit, Some(3_600), Some(3_600)), now);
            let waits = [(); 3].map(|()| budget.turn(Counted::Manifest, seconds(1), now).unwrap());
            assert!(waits.iter().all(|wait| *wait < Duration::from_millis(1)), "{left}: {waits:?}");
        }
    }

    #[test]
    fn a_head_that_docker_hub_does_not_count_says_what_is_left_and_never_waits() {
        let (mut budget, now) = (Budget::default(), Instant::now());
        let hub = HeaderMap::from_iter([(DOCKER_HUB_LIMIT.parse().unwrap(), "192.0.2.1".parse().unwrap())]);
        let told = Counted::ManifestHead.told_by(&hub);
        budget.heard(told, quota(0, 100, Some(21_600), None), now);
        assert_eq!(budget.turn(Counted::ManifestHead, seconds(0), now), Ok(Duration::ZERO));
        assert!(budget.turn(Counted::Manifest, seconds(60), now).is_err(), "there is none left to read");
        assert_eq!(budget.left(now).map(|left| left.remaining), Some(0));
        for kind in [Counted::Listing, Counted::Manifest, Counted::Other] {
            assert_eq!(kind.told_by(&hub), kind);
        }
        // Another registry counts what it says it counts.
        assert_eq!(Counted::ManifestHead.told_by(&HeaderMap::new()), Counted::ManifestHead);
    }

    #[test]
    fn nonsense_costs_no_more_than_an_hour() {
        let (mut budget, now) = (Budget::default(), Instant::now());
        for said in [
            quota(0, 0, None, None),
            quota(1, u64::MAX, Some(604_800), None),
            quota(0, 1, Some(604_800), Some(604_800)),
        ] {
            budget.heard(Counted::Other, said, now);
            let _first = budget.turn(Counted::Other, seconds(7200), now);
            budget.heard(Counted::Other, said, now);
            let wait = budget.turn(Counted::Other, seconds(7200), now).unwrap();
            assert!(wait <= seconds(7200), "{wait:?}");
        }
        budget.heard(Counted::Other, None, now);
        assert_eq!(budget.turn(Counted::Other, seconds(0), now), Ok(Duration::ZERO));
    }
}
