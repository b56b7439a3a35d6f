//! Which of several replicas works for which repository: decided from what the Leases say, as values.
//!
//! Promise: a replica takes a repository only if nobody holds it, or if this process has not seen its holder renew it for
//! the whole time of the Lease. Repositories are spread evenly over the living replicas, and change hands only where
//! that evens them out.
//!
//! Invariants: time is the monotonic clock of this process, as the time since an origin of its own. A time that another
//! process wrote is never compared with it: a Lease is as old as the moment at which this process first saw it as it is.
//! No two replicas can take the same Lease, because whoever carries a [`LeaseStep`] out names the version that it was
//! decided on.
//!
//! Design: [`Election`] remembers what was seen and when, and says what to do next ([`Election::steps`]). Each living replica
//! holds one Lease of its own, a slot, by which the others count it; slots are reused, so that there are never more of
//! them than replicas were alive at once. `names` says what the Leases are called, `spread` what to do next.

mod names;
mod spread;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::model::Lease;

pub use names::{LeaseKind, MANAGED_BY, SELECTOR, labels, repository_lease, slot_lease, slot_of};

/// The annotation of a slot with a fingerprint of the repositories that its replica is configured with.
pub const WANTS: &str = "landfall/repositories";
/// The annotation of a slot that says how the cycles of its replica went last.
pub const CYCLES: &str = "landfall/cycles";
/// The annotation of a slot with how often repositories were hinted at that others hold.
pub const WOKEN: &str = "landfall/woken";
/// The annotation of a repository's Lease with what was told to receivers of alerts.
pub const TOLD: &str = "landfall/told";

/// The bounds of a Lease's time, whatever its holder wrote into it.
pub const SHORTEST: Duration = Duration::from_secs(5);
/// The longest time of a Lease.
pub const LONGEST: Duration = Duration::from_secs(600);

/// How a Lease stands for this replica.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LeaseStanding {
    /// This replica holds it, as far as the Lease says.
    Mine,
    /// Nobody holds it, or it does not exist yet.
    Free {
        /// Since when, as this process saw it.
        since: Duration,
    },
    /// Its holder has not renewed it in time.
    Lapsed {
        /// Who held it.
        by: String,
        /// Since when it may be taken.
        since: Duration,
    },
    /// Another replica holds it.
    Theirs {
        /// Who.
        by: String,
    },
}

/// What this replica is to do with a Lease, at the version that was last seen.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum LeaseStep {
    /// Renew it.
    Renew(String),
    /// Take it, or create it.
    Take(String),
    /// Give it up so that another replica takes it, once no cycle runs.
    HandOver(String),
}

/// A replica that is alive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Its name.
    pub name: String,
    /// Whether its last cycles knew all they needed, as it says.
    pub good: bool,
    /// Whether it is configured with the same repositories as this one.
    pub same: bool,
}

/// What one replica has seen of the Leases.
#[derive(Debug)]
pub struct Election {
    identity: String,
    duration: Duration,
    wants: String,
    /// The names of the repositories' Leases.
    units: BTreeSet<String>,
    seen: BTreeMap<String, Seen>,
    /// Leases that do not exist, since when.
    absent: BTreeMap<String, Duration>,
    /// Who was alive at the last look, and since when it was just those.
    members: (BTreeSet<String>, Duration),
    /// Since when this replica has had a slot.
    joined: Option<Duration>,
}

/// A Lease as it was last seen.
#[derive(Debug)]
struct Seen {
    lease: Lease,
    /// When this process first saw it held and renewed like this.
    since: Duration,
}

impl Election {
    /// A replica of this name, with Leases of this duration, for the repositories with these Leases.
    #[must_use]
    pub fn new(identity: &str, duration: Duration, units: BTreeSet<String>) -> Self {
        Self {
            identity: identity.to_owned(),
            duration,
            wants: names::fingerprint(&units),
            units,
            seen: BTreeMap::new(),
            absent: BTreeMap::new(),
            members: Default::default(),
            joined: None,
        }
    }

    /// Takes what the API server listed: everything that there is.
    pub fn observe(&mut self, listed: Vec<Lease>, now: Duration) {
        let mut before = std::mem::take(&mut self.seen);
        for lease in listed {
            let since = before.remove(&lease.name).filter(|seen| same_holding(&seen.lease, &lease));
            let since = since.map_or(now, |seen| seen.since);
            self.seen.insert(lease.name.clone(), Seen { lease, since });
        }
        self.absent.retain(|name, _| !self.seen.contains_key(name));
        for name in self.units.iter().filter(|name| !self.seen.contains_key(*name)) {
            self.absent.entry(name.clone()).or_insert(now);
        }
        let members = self.living(now).into_iter().map(|member| member.name).collect();
        if self.members.0 != members {
            self.members = (members, now);
        }
        let slot = self.slot();
        self.joined = slot.and(self.joined.or(Some(now)));
    }

    /// Takes a Lease as the API server answered a write of this replica.
    pub fn wrote(&mut self, lease: Lease, now: Duration) {
        self.absent.remove(&lease.name);
        self.seen.insert(lease.name.clone(), Seen { lease, since: now });
    }

    /// A Lease as last seen; one that does not exist has no version.
    #[must_use]
    pub fn lease(&self, name: &str) -> Lease {
        let new = || Lease { name: name.to_owned(), ..Lease::default() };
        self.seen.get(name).map_or_else(new, |seen| seen.lease.clone())
    }

    /// How a Lease stands.
    #[must_use]
    pub fn standing(&self, name: &str, now: Duration) -> LeaseStanding {
        let Some(Seen { lease, since }) = self.seen.get(name) else {
            return LeaseStanding::Free { since: self.absent.get(name).copied().unwrap_or(now) };
        };
        let Some(by) = lease.holder.clone() else { return LeaseStanding::Free { since: *since } };
        if by == self.identity {
            return LeaseStanding::Mine;
        }
        let ends = since.saturating_add(lease.duration.clamp(SHORTEST, LONGEST));
        if ends <= now { LeaseStanding::Lapsed { by, since: ends } } else { LeaseStanding::Theirs { by } }
    }

    /// The replicas that are alive, this one among them if it has a slot, by name.
    #[must_use]
    pub fn living(&self, now: Duration) -> Vec<Member> {
        let slots = self.seen.values().filter(|seen| slot_of(&seen.lease.name).is_some());
        let alive = slots.filter_map(|seen| {
            let name = match self.standing(&seen.lease.name, now) {
                LeaseStanding::Mine => self.identity.clone(),
                LeaseStanding::Theirs { by } => by,
                LeaseStanding::Free { .. } | LeaseStanding::Lapsed { .. } => return None,
            };
            let says = |key: &str, value: &str| seen.lease.annotations.get(key).is_some_and(|text| text == value);
            Some(Member { name, good: says(CYCLES, "good"), same: says(WANTS, &self.wants) })
        });
        let mut members: Vec<Member> = alive.collect();
        members.sort_by(|a, b| a.name.cmp(&b.name));
        members.dedup_by(|a, b| a.name == b.name);
        members
    }

    /// What the slots of all replicas say under a key, by replica.
    #[must_use]
    pub fn said(&self, key: &str) -> BTreeMap<String, &str> {
        let slots = self.seen.values().filter(|seen| slot_of(&seen.lease.name).is_some());
        let said =
            slots.filter_map(|seen| Some((seen.lease.holder.clone()?, seen.lease.annotations.get(key)?.as_str())));
        said.collect()
    }

    /// The fingerprint of the repositories that this replica is configured with.
    #[must_use]
    pub fn wants(&self) -> &str {
        &self.wants
    }

    /// The slot that this replica holds.
    #[must_use]
    pub fn slot(&self) -> Option<&str> {
        let own = |seen: &&Seen| seen.lease.holder.as_deref() == Some(&self.identity);
        let mut slots = self.seen.values().filter(own).map(|seen| seen.lease.name.as_str());
        slots.find(|name| slot_of(name).is_some())
    }
}

/// Whether nothing has happened to a Lease in between that its holder must have done.
fn same_holding(one: &Lease, other: &Lease) -> bool {
    let of = |lease: &Lease| (lease.holder.clone(), lease.acquired.clone(), lease.renewed.clone(), lease.transitions);
    of(one) == of(other)
}
