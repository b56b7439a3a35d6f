//! What is asked or heard outside, as the page shows it.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};

use crate::daemon::{Holder, RepositoryVitals};
use crate::meter::{self, LastAnswers, Protocol};
use crate::model::{State, TrackedThing};
use crate::page::{SourceKind, SourceView, Sources, Tone};

use super::super::{Shown, Site};

/// Maximum number of problems that are named of one source.
const PROBLEMS: usize = 20;

/// Everything outside, as of now.
pub(super) fn all(site: &Site, shown: &Shown) -> Sources {
    let now = shown.clock.now();
    let mut sources = repositories(shown);
    sources.extend(hosts(now));
    sources.extend(clusters(shown));
    sources.extend(webhooks(site, shown, now));
    Sources { sources }
}

/// The time that was so long ago.
fn before(now: Timestamp, age: Duration) -> Option<Timestamp> {
    now.checked_sub(SignedDuration::try_from(age).ok()?).ok()
}

fn repositories(shown: &Shown) -> Vec<SourceView> {
    let reports = shown.reports.subscribe().borrow().clone();
    let holders = shown.replicas.as_ref().map(|replicas| replicas.view().holders).unwrap_or_default();
    let view = |(name, vitals): (String, RepositoryVitals)| {
        let report = reports.get(&name);
        let mut problems: Vec<String> =
            report.iter().flat_map(|it| &it.outcome.problems).map(|it| it.problem.message.clone()).collect();
        let more = problems.len().saturating_sub(PROBLEMS);
        problems.truncate(PROBLEMS);
        problems.extend((more > 0).then(|| format!("and {more} more")));
        let long = shown.vitals.long(&name, tokio::time::Instant::now());
        problems.extend(long.map(|time| format!("the cycle that is running has taken {} s so far", time.as_secs())));
        let (tone, word) = match report {
            None => (Tone::Busy, "first cycle"),
            Some(it) if it.outcome.revision.is_none() => (Tone::Bad, "cannot be read"),
            Some(it) if it.outcome.incomplete() => (Tone::Warn, "incomplete"),
            Some(it) if it.outcome.failures().next().is_some() => (Tone::Bad, "cannot be written"),
            Some(_) => (Tone::Good, "good"),
        };
        // Here it is only read; how its cycles go is on the page of the replica that works for it.
        let elsewhere = match holders.get(&name) {
            None | Some(Holder::This { .. }) => None,
            Some(Holder::Other(by)) => Some((Tone::Quiet, format!("held by {by}"))),
            Some(Holder::Lapsed) => Some((Tone::Bad, "Lease not renewed".to_owned())),
            Some(Holder::Nobody) => Some((Tone::Busy, "held by nobody".to_owned())),
        };
        let (tone, word) = elsewhere.filter(|_| tone != Tone::Bad).unwrap_or((tone, word.to_owned()));
        SourceView {
            kind: SourceKind::Repository,
            detail: report.map_or_else(String::new, |it| it.address.clone()),
            last_success: vitals.last_success,
            word,
            tone,
            problems,
            counts: vec![
                format!("{} good cycles", vitals.good),
                format!("{} incomplete", vitals.incomplete),
                format!("{} written", vitals.actions.0),
                format!("{} failed", vitals.actions.1),
            ],
            name,
        }
    };
    shown.vitals.snapshot().into_iter().map(view).collect()
}

fn hosts(now: Timestamp) -> Vec<SourceView> {
    let last = meter::last(Instant::now());
    let mut hosts: BTreeMap<(String, Protocol), BTreeMap<&'static str, u64>> = BTreeMap::new();
    for (counted, count) in meter::counts() {
        let outcomes = hosts.entry((counted.host, counted.operation.protocol())).or_default();
        *outcomes.entry(counted.outcome).or_default() += count;
    }
    let view = |((name, protocol), outcomes): ((String, Protocol), BTreeMap<&'static str, u64>)| {
        let of: Vec<LastAnswers> = last
            .iter()
            .filter(|((host, operation), _)| *host == name && operation.protocol() == protocol)
            .map(|(_, last)| *last)
            .collect();
        let success = of.iter().filter_map(|last| last.success).min();
        let last_success = success.and_then(|age| before(now, age));
        let (tone, word) = match success {
            None => (Tone::Bad, "never answered well"),
            Some(_) if of.iter().any(LastAnswers::is_failing) => (Tone::Warn, "the last request failed"),
            Some(_) => (Tone::Good, "good"),
        };
        SourceView {
            kind: SourceKind::Host,
            name,
            detail: protocol.as_str().to_owned(),
            last_success,
            word: word.to_owned(),
            tone,
            problems: Vec::new(),
            counts: outcomes.into_iter().map(|(outcome, count)| format!("{count} {outcome}")).collect(),
        }
    };
    hosts.into_iter().map(view).collect()
}

fn clusters(shown: &Shown) -> Vec<SourceView> {
    let rows = shown.tracker.rows().borrow().clone();
    let view = |(name, heard): (String, Option<Timestamp>)| {
        let lost = rows.rows.iter().filter(|row| row.thing == TrackedThing::Cluster);
        let lost: Vec<String> = lost
            .filter(|row| row.cluster.as_deref() == Some(&name) && row.landing.state == State::Unknown)
            .filter_map(|row| {
                row.landing.cause.as_ref().map(|cause| format!("{}; next: {}", cause.message, cause.next))
            })
            .collect();
        let (tone, word) = match heard {
            _ if !lost.is_empty() => (Tone::Bad, "no contact"),
            None => (Tone::Busy, "not heard of yet"),
            Some(_) => (Tone::Good, "good"),
        };
        SourceView {
            kind: SourceKind::Cluster,
            detail: String::new(),
            last_success: heard,
            word: word.to_owned(),
            tone,
            problems: lost,
            counts: Vec::new(),
            name,
        }
    };
    shown.tracker.heard().into_iter().map(view).collect()
}

fn webhooks(site: &Site, shown: &Shown, now: Timestamp) -> Vec<SourceView> {
    let (counts, last) = (site.counts.snapshot(), site.counts.last(tokio::time::Instant::now()));
    let view = |name: &String| {
        let outcomes = counts.get(name).cloned().unwrap_or_default();
        let last = last.get(name).copied().unwrap_or_default();
        let last_success = last.proved.and_then(|age| before(now, age));
        let (tone, word) = match (last.proved, last.refused) {
            (None, Some(_)) => (Tone::Bad, "refused"),
            (None, None) => (Tone::Quiet, "nothing yet"),
            (Some(proved), Some(refused)) if refused < proved => (Tone::Warn, "the last one was refused"),
            (Some(_), _) => (Tone::Good, "good"),
        };
        SourceView {
            kind: SourceKind::Webhook,
            name: name.clone(),
            detail: format!("/webhooks/{name}"),
            last_success,
            word: word.to_owned(),
            tone,
            problems: Vec::new(),
            counts: outcomes.into_iter().map(|(outcome, count)| format!("{count} {outcome}")).collect(),
        }
    };
    shown.sources.keys().map(view).collect()
}
