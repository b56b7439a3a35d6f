//! What came of webhooks, and how often that is told in the log.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::outcome::WebhookOutcome;

/// At most one line about refused webhooks of a source in this time.
pub(super) const TELL: Duration = Duration::from_secs(60);
/// A source's webhooks are parsed up to this many at once, and then one in each of these times; beyond that everything is
/// taken to have changed, which costs less than reading what.
const PARSED: (u32, Duration) = (1000, Duration::from_millis(2));

/// Counts by source and outcome. Sources are those of the configuration, so that there is a bounded number.
#[derive(Debug, Default)]
pub(super) struct WebhookCounts(Mutex<BTreeMap<String, SourceCounts>>);

#[derive(Debug, Default)]
struct SourceCounts {
    outcomes: BTreeMap<&'static str, u64>,
    /// When one was last received that its sender has proved, and one whose sender has not.
    proved: Option<Instant>,
    refused: Option<Instant>,
    told: Option<Instant>,
    untold: u64,
    parsed: Option<(u32, Instant)>,
}

/// How long ago the last webhooks of a source came.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct LastWebhooks {
    /// The last that its sender has proved.
    pub(super) proved: Option<Duration>,
    /// The last that was refused.
    pub(super) refused: Option<Duration>,
}

impl WebhookCounts {
    /// Counts an outcome.
    pub(super) fn count(&self, source: &str, outcome: WebhookOutcome, now: Instant) {
        let mut all = self.all();
        let counts = all.entry(source.to_owned()).or_default();
        *counts.outcomes.entry(outcome.as_str()).or_default() += 1;
        if outcome.is_proved() {
            counts.proved = Some(now);
        } else if outcome == WebhookOutcome::Refused {
            counts.refused = Some(now);
        }
    }

    /// How each source did last.
    pub(super) fn last(&self, now: Instant) -> BTreeMap<String, LastWebhooks> {
        let age = |at: Option<Instant>| at.map(|at| now.saturating_duration_since(at));
        let last = |counts: &SourceCounts| LastWebhooks { proved: age(counts.proved), refused: age(counts.refused) };
        self.all().iter().map(|(name, counts)| (name.clone(), last(counts))).collect()
    }

    /// How many lines to write about a trouble with a source, this one included; `None`: none now.
    pub(super) fn tell(&self, source: &str, now: Instant) -> Option<u64> {
        let mut all = self.all();
        let counts = all.entry(source.to_owned()).or_default();
        counts.untold += 1;
        if counts.told.is_some_and(|told| now.saturating_duration_since(told) < TELL) {
            return None;
        }
        counts.told = Some(now);
        Some(std::mem::take(&mut counts.untold))
    }

    /// Whether a source's webhook may be parsed now.
    pub(super) fn may_parse(&self, source: &str, now: Instant) -> bool {
        let mut all = self.all();
        let counts = all.entry(source.to_owned()).or_default();
        let (left, since) = counts.parsed.unwrap_or((PARSED.0, now));
        let passed = now.saturating_duration_since(since).as_nanos() / PARSED.1.as_nanos();
        let back = u32::try_from(passed).unwrap_or(u32::MAX);
        let left = left.saturating_add(back).min(PARSED.0);
        let since = if left == PARSED.0 { now } else { since + PARSED.1 * back };
        counts.parsed = Some((left.saturating_sub(1), since));
        left > 0
    }

    /// The counts of all sources.
    pub(super) fn snapshot(&self) -> BTreeMap<String, BTreeMap<&'static str, u64>> {
        self.all().iter().map(|(name, counts)| (name.clone(), counts.outcomes.clone())).collect()
    }

    fn all(&self) -> MutexGuard<'_, BTreeMap<String, SourceCounts>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trouble_is_told_once_a_minute_with_its_count() {
        let (counts, begin) = (WebhookCounts::default(), Instant::now());
        let tell = |seconds| counts.tell("hub", begin + Duration::from_secs(seconds));
        assert_eq!([0, 1, 59, 60, 61].map(tell), [Some(1), None, None, Some(3), None]);
    }

    #[test]
    fn a_refusal_is_over_when_a_proved_one_came_after_it() {
        let (counts, begin) = (WebhookCounts::default(), Instant::now());
        let at = |seconds| begin + Duration::from_secs(seconds);
        for (outcome, seconds) in
            [(WebhookOutcome::Refused, 1), (WebhookOutcome::Unreadable, 2), (WebhookOutcome::Scheduled, 3)]
        {
            counts.count("hub", outcome, at(seconds));
        }
        let last = LastWebhooks { proved: Some(Duration::from_secs(2)), refused: Some(Duration::from_secs(4)) };
        assert_eq!(counts.last(at(5))["hub"], last);
        assert_eq!(counts.snapshot()["hub"], BTreeMap::from([("accepted", 1), ("refused", 1), ("unreadable", 1)]));
    }

    #[test]
    fn a_flood_is_parsed_at_a_bounded_rate() {
        let (counts, begin) = (WebhookCounts::default(), Instant::now());
        let at = |milliseconds| begin + Duration::from_millis(milliseconds);
        let parsed = (0..10_000).filter(|number| counts.may_parse("hub", at(number / 10))).count();
        assert!((1450..=1500).contains(&parsed), "{parsed} of ten thousand in a second");
        assert!(counts.may_parse("other", at(1000)), "another source has its own");
        assert!(counts.may_parse("hub", at(2000)));
    }
}
