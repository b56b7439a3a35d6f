//! Round after round: renew what is held, list everything, take or hand over what is decided.
//!
//! Invariants: a renewal counts from before it was sent, so that no other replica can have seen it earlier. Nothing waits
//! longer for the API server than a fifth of a Lease, so that there is time for a second attempt.

use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures::{FutureExt as _, StreamExt as _};
use jiff::Timestamp;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::{Replicas, Table, Trouble};
use crate::cluster::{LeaseError, LeaseWrite, Leases};
use crate::daemon::clock::Clock;
use crate::election::{
    CYCLES, Election, LeaseKind, LeaseStanding, LeaseStep, SELECTOR, TOLD, WANTS, WOKEN, labels, slot_of,
};
use crate::model::Lease;

/// There are this many rounds in a Lease's time.
const ROUNDS: u32 = 5;
/// How many Leases are written at a time.
const AT_ONCE: usize = 8;
/// How long the release of all Leases may take when the bot stops, ...
const RELEASE: Duration = Duration::from_millis(1_500);
/// ... and a round that is under way.
const LAST_ROUND: Duration = Duration::from_millis(500);
/// The shortest time between two rounds.
const SHORTEST: Duration = Duration::from_millis(250);

/// A step as it was carried out.
struct Written {
    step: LeaseStep,
    sent: Instant,
    result: Result<LeaseWrite, LeaseError>,
}

impl Replicas {
    /// Takes part until `stop`, and then gives everything up at once.
    pub(in crate::daemon) async fn run(self: Arc<Self>, leases: Leases, clock: Clock, stop: CancellationToken) {
        let units = self.table().units.values().map(|unit| unit.lease.clone()).collect();
        let mut election = Election::new(&self.identity, self.duration, units);
        tracing::info!(replica = self.identity, "sharing the repositories with other replicas by Leases");
        while !stop.is_cancelled() {
            tokio::select! {
                round = AssertUnwindSafe(self.round(&mut election, &leases, &clock)).catch_unwind() => {
                    if round.is_err() {
                        tracing::error!("a round over the Leases failed because of a bug in the bot; the next one follows");
                    }
                }
                () = late(&stop) => break,
            }
            let pause = (self.duration / ROUNDS).mul_f64(0.9 + 0.1 * fastrand::f64());
            tokio::select! {
                () = stop.cancelled() => {}
                () = tokio::time::sleep(pause) => {}
                () = async { tokio::time::sleep(SHORTEST).await; self.nudge.notified().await; } => {}
            }
        }
        let released = tokio::time::timeout(RELEASE, self.release(&mut election, &leases, &clock)).await;
        if released.is_err() {
            tracing::warn!("not all Leases could be released in time; other replicas take them once they have lapsed");
        }
    }

    fn now(&self) -> Duration {
        self.origin.elapsed()
    }

    async fn round(&self, election: &mut Election, leases: &Leases, clock: &Clock) {
        let renewals = election.steps(self.now(), &self.busy());
        // What is to be handed over may turn out to be in use: it is renewed like the others until then.
        let renewals = renewals.into_iter().filter_map(|step| match step {
            LeaseStep::Renew(name) | LeaseStep::HandOver(name) => Some(LeaseStep::Renew(name)),
            LeaseStep::Take(_) => None,
        });
        let renewals = renewals.collect();
        let mut failed = self.carry_out(renewals, election, leases, clock).await;
        match leases.list(SELECTOR, self.duration / ROUNDS).await {
            Ok(listed) => {
                election.observe(listed, self.now());
                self.table().looked = true;
                self.publish(election);
                let steps = election.steps(self.now(), &self.busy()).into_iter();
                let steps = steps.filter(|step| !matches!(step, LeaseStep::Renew(_)) && self.lets_go(step)).collect();
                let more = self.carry_out(steps, election, leases, clock).await;
                failed = failed.or(more);
            }
            Err(error) => failed = failed.or(Some(error)),
        }
        self.publish(election);
        self.note(failed, clock.now());
    }

    /// Whether a repository that is to be handed over can be: no cycle of it runs, and from now on none begins.
    fn lets_go(&self, step: &LeaseStep) -> bool {
        let LeaseStep::HandOver(lease) = step else { return true };
        let mut table = self.table();
        let Some(unit) = table.units.values_mut().find(|unit| unit.lease == *lease) else { return false };
        unit.leaving = !unit.busy;
        unit.leaving
    }

    /// Writes what each step asks for; returns what went wrong, if anything.
    async fn carry_out(
        &self,
        steps: Vec<LeaseStep>,
        election: &mut Election,
        leases: &Leases,
        clock: &Clock,
    ) -> Option<LeaseError> {
        let writes = steps.into_iter().map(|step| {
            let lease = self.made(&step, election, clock.now());
            async move {
                let sent = Instant::now();
                let result = leases.write(&lease, self.duration / ROUNDS).await;
                Written { step, sent, result }
            }
        });
        let writes: Vec<_> = writes.collect();
        let mut done = futures::stream::iter(writes).buffer_unordered(AT_ONCE);
        let mut failed = None;
        while let Some(written) = done.next().await {
            failed = self.settle(written, election, clock.now()).err().or(failed);
        }
        failed
    }

    /// The Lease as it is to be after a step.
    fn made(&self, step: &LeaseStep, election: &Election, now: Timestamp) -> Lease {
        let (LeaseStep::Renew(name) | LeaseStep::Take(name) | LeaseStep::HandOver(name)) = step;
        let mut lease = election.lease(name);
        let time = Some(format!("{now:.6}"));
        let taken = matches!(step, LeaseStep::Take(_));
        lease.holder = (!matches!(step, LeaseStep::HandOver(_))).then(|| self.identity.clone());
        lease.duration = self.duration;
        lease.renewed.clone_from(&time);
        if taken {
            lease.acquired = time;
            lease.transitions = lease.transitions.saturating_add(1);
        }
        if slot_of(name).is_some() {
            lease.labels.extend(labels(LeaseKind::Replica));
            let table = self.table();
            let good = if table.good { "good" } else { "incomplete" };
            let woken = serde_json::to_string(&table.woken).unwrap_or_default();
            let says = [(WANTS, election.wants()), (CYCLES, good), (WOKEN, &woken)];
            lease.annotations.extend(says.map(|(key, value)| (key.to_owned(), value.to_owned())));
        } else {
            lease.labels.extend(labels(LeaseKind::Repository));
            if let Some(told) = self.told_of(name, lease.transitions) {
                lease.annotations.insert(TOLD.to_owned(), told);
            }
        }
        lease
    }

    /// What the Lease of a repository is to say about notices; nothing where the tracker does not know yet what it said.
    fn told_of(&self, lease: &str, term: u32) -> Option<String> {
        let repository = {
            let table = self.table();
            let (name, _) = table.units.iter().find(|(_, unit)| unit.lease == lease && unit.adopted == Some(term))?;
            name.clone()
        };
        (self.told.get()?)(&repository)
    }

    /// Takes note of what became of a write.
    fn settle(&self, written: Written, election: &mut Election, at: Timestamp) -> Result<(), LeaseError> {
        let Written { step, sent, result } = written;
        let (LeaseStep::Renew(name) | LeaseStep::Take(name) | LeaseStep::HandOver(name)) = &step;
        let before = election.lease(name);
        let mut table = self.table();
        let unit = table.units.iter_mut().find(|(_, unit)| unit.lease == *name);
        let lease = match result {
            Ok(LeaseWrite::Written(lease)) => *lease,
            Ok(LeaseWrite::Overtaken) => {
                // What is there now, the list of this round or of the next one says.
                if let Some((_, unit)) = unit {
                    (unit.until, unit.leaving) = (None, false);
                }
                return Ok(());
            }
            Err(error) => {
                if let Some((_, unit)) = unit {
                    // It may have been handed over all the same.
                    if matches!(step, LeaseStep::HandOver(_)) {
                        unit.until = None;
                    }
                    unit.leaving = false;
                }
                return Err(error);
            }
        };
        if let Some((repository, unit)) = unit {
            unit.leaving = false;
            if lease.holder.is_some() {
                if unit.term != Some(lease.transitions) {
                    unit.term = Some(lease.transitions);
                    unit.told = before.annotations.get(TOLD).cloned();
                    unit.since = Some(at);
                    tracing::info!(
                        repository,
                        replica = self.identity,
                        term = lease.transitions,
                        "this replica holds the repository's Lease"
                    );
                }
                // The last third is for what has begun by then.
                unit.until = Some(sent + self.duration * 2 / 3);
                unit.standing = Some(LeaseStanding::Mine);
            } else {
                (unit.until, unit.standing) = (None, Some(LeaseStanding::Free { since: self.now() }));
                tracing::info!(repository, replica = self.identity, "the repository's Lease is handed over");
            }
        }
        drop(table);
        election.wrote(lease, self.now());
        self.tell_of_changes();
        Ok(())
    }

    /// Publishes how all Leases stand, after they were listed.
    fn publish(&self, election: &Election) {
        let now = self.now();
        let mut table = self.table();
        table.members = election.living(now);
        for (repository, unit) in &mut table.units {
            let standing = election.standing(&unit.lease, now);
            if standing != LeaseStanding::Mine {
                if let (Some(LeaseStanding::Mine), LeaseStanding::Theirs { by }) = (&unit.standing, &standing) {
                    tracing::warn!(repository, holder = by, "another replica has taken the repository's Lease");
                }
                unit.until = None;
            }
            unit.standing = Some(standing);
        }
        self.hear(&mut table, election);
        drop(table);
        self.tell_of_changes();
    }

    /// Takes the hints that other replicas have passed on since the last look.
    fn hear(&self, table: &mut Table, election: &Election) {
        let said = election.said(WOKEN).into_iter().filter(|(name, _)| *name != self.identity);
        let said: BTreeMap<String, BTreeMap<String, u64>> =
            said.filter_map(|(name, text)| Some((name, serde_json::from_str(text).ok()?))).collect();
        for (name, woken) in &said {
            // Whoever is new has said nothing about what this replica has heard.
            let before = table.heard.get(name);
            for (repository, times) in woken {
                let news = before.is_none_or(|before| before.get(repository) != Some(times));
                if let Some(unit) = table.units.get_mut(repository).filter(|_| news) {
                    unit.woken += 1;
                }
            }
        }
        table.heard = said;
    }

    /// Takes note of whether the API server answers, and says so once.
    fn note(&self, failed: Option<LeaseError>, now: Timestamp) {
        let mut table = self.table();
        let before = table.trouble.take();
        let Some(error) = failed else {
            table.reached = Some((Instant::now(), now));
            if let Some(before) = before {
                tracing::info!(since = %before.since, "the Leases can be read and written again");
            }
            return;
        };
        let message = error.to_string();
        if before.as_ref().is_none_or(|before| before.message != message) {
            tracing::warn!(
                %error,
                "the Leases cannot be kept; what this replica holds, it goes on with for two thirds of a Lease's time, and then writes nothing until they can"
            );
        }
        let since = before.map_or(now, |before| before.since);
        table.trouble = Some(Trouble { since, message });
    }

    /// Gives up everything: first that this replica is alive, so that the others count without it.
    async fn release(&self, election: &mut Election, leases: &Leases, clock: &Clock) {
        for unit in self.table().units.values_mut() {
            unit.leaving = true;
        }
        self.tell_of_changes();
        let slot: Vec<LeaseStep> =
            election.slot().map(|slot| LeaseStep::HandOver(slot.to_owned())).into_iter().collect();
        let held = election.steps(self.now(), &Default::default()).into_iter().filter_map(|step| match step {
            LeaseStep::Renew(name) | LeaseStep::HandOver(name) if slot_of(&name).is_none() => {
                Some(LeaseStep::HandOver(name))
            }
            LeaseStep::Renew(_) | LeaseStep::HandOver(_) | LeaseStep::Take(_) => None,
        });
        let steps = slot.into_iter().chain(held).collect();
        if let Some(error) = self.carry_out(steps, election, leases, clock).await {
            tracing::warn!(%error, "a Lease could not be released; another replica takes it once it has lapsed");
        }
    }
}

/// Returns a while after `stop`.
async fn late(stop: &CancellationToken) {
    stop.cancelled().await;
    tokio::time::sleep(LAST_ROUND).await;
}
