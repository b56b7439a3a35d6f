//! Several replicas of the bot share the repositories by Leases.
//!
//! Promise: this replica plans and writes for a repository, and tells of it, only while it holds the repository's Lease
//! and has renewed it within two thirds of its time, by this process's monotonic clock. That is asked again right
//! before each write and notice ([`Replicas::fence`]), so that a replica that was frozen does nothing when it wakes up. The
//! last third is for what had begun.
//!
//! A Lease is no more than that: whether a push goes through is decided by Git, which compares the branch with what it was
//! planned at, and so two replicas that both believed to hold a repository would still write nothing twice (G1).
//!
//! Design: [`Election`](crate::election::Election) decides as values; `rounds` lists, renews, takes and hands over; this file is what both have in
//! common with the tasks of the repositories and whoever shows how it stands.

mod rounds;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use crate::cluster::Leases;
use crate::election::{LeaseStanding, Member, repository_lease};
use crate::model::{Fence, NotHeld};

/// What a replica begins with: itself, and the Leases.
#[derive(Debug)]
pub struct Sharing {
    /// This replica.
    pub replicas: Arc<Replicas>,
    /// The Leases of all.
    pub leases: Leases,
}

/// This replica, and what it knows of the others.
pub struct Replicas {
    identity: String,
    duration: Duration,
    /// The beginning of this process's time, as [`Election`](crate::election::Election) has it.
    origin: Instant,
    table: Mutex<Table>,
    changed: watch::Sender<u64>,
    /// Something is to be written before the next round is due.
    nudge: Notify,
    told: OnceLock<Box<Told>>,
}

/// Gives what a repository's Lease is to say about notices.
type Told = dyn Fn(&str) -> Option<String> + Send + Sync;

#[derive(Debug)]
struct Table {
    /// By repository.
    units: BTreeMap<String, Unit>,
    members: Vec<Member>,
    /// Since when the Leases cannot be read or written, and why.
    trouble: Option<Trouble>,
    /// When they last could.
    reached: Option<(Instant, Timestamp)>,
    /// Whether all Leases were ever listed.
    looked: bool,
    /// Whether the last cycles of this replica knew all they needed.
    good: bool,
    /// How often each repository that another replica holds was hinted at here.
    woken: BTreeMap<String, u64>,
    /// The same as other replicas said it last.
    heard: BTreeMap<String, BTreeMap<String, u64>>,
}

/// A repository and its Lease.
#[derive(Debug, Default)]
struct Unit {
    lease: String,
    /// Until when this replica may begin to write.
    until: Option<Instant>,
    /// How often the Lease had gone to another holder when it was last written here.
    term: Option<u32>,
    /// Since when it is held in this term.
    since: Option<Timestamp>,
    /// The last term in which the tracker was given what had been told.
    adopted: Option<u32>,
    /// What had been told when it was taken.
    told: Option<String>,
    standing: Option<LeaseStanding>,
    busy: bool,
    leaving: bool,
    /// How often other replicas passed on a hint.
    woken: u64,
}

#[derive(Debug, Clone)]
struct Trouble {
    since: Timestamp,
    message: String,
}

/// How a repository stands for its task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Holding {
    /// It may be written, in this term.
    Held {
        /// Which term.
        term: u32,
    },
    /// Its Lease is this replica's, but was not renewed in time.
    Lapsed,
    /// Nobody's or another's.
    Elsewhere,
}

/// A cycle runs: the repository is not handed over before this is dropped.
#[derive(Debug)]
pub(super) struct Busy {
    replicas: Arc<Replicas>,
    repository: String,
}

/// Who holds a repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Holder {
    /// This replica.
    This {
        /// Since when.
        since: Option<Timestamp>,
    },
    /// This replica, which has not been able to renew its Lease and writes nothing.
    Lapsed,
    /// Another one.
    Other(String),
    /// Nobody, as far as is known.
    Nobody,
}

/// How the replicas stand, for whoever shows it.
#[derive(Debug, Clone)]
pub struct ReplicasView {
    /// The name of this replica.
    pub identity: String,
    /// The replicas that are alive, as this one sees them.
    pub living: Vec<String>,
    /// Who holds each repository.
    pub holders: BTreeMap<String, Holder>,
    /// Why the Leases cannot be read or written, and since when; `None`: they can.
    pub trouble: Option<String>,
    /// Whether the Leases were ever listed.
    pub looked: bool,
    /// Whether they could not be kept for so long that this replica writes nothing.
    pub cut_off: bool,
    /// When all of them were last read and written as they should be.
    pub last_success: Option<Timestamp>,
}

impl Replicas {
    /// A replica of this name that holds nothing yet; repositories by name, each with its address.
    #[must_use]
    pub fn new<'r>(
        identity: String,
        duration: Duration,
        repositories: impl IntoIterator<Item = (&'r str, &'r str)>,
    ) -> Arc<Self> {
        let unit = |(name, address)| {
            let unit = Unit { lease: repository_lease(name, address), ..Unit::default() };
            (name.to_owned(), unit)
        };
        let table = Table {
            units: repositories.into_iter().map(unit).collect(),
            members: Vec::new(),
            trouble: None,
            reached: None,
            looked: false,
            good: true,
            woken: BTreeMap::new(),
            heard: BTreeMap::new(),
        };
        Arc::new(Self {
            identity,
            duration,
            origin: Instant::now(),
            table: Mutex::new(table),
            changed: watch::Sender::new(0),
            nudge: Notify::new(),
            told: OnceLock::new(),
        })
    }

    /// Refuses a write where this replica does not hold the repository at that moment.
    #[must_use]
    pub fn fence(self: &Arc<Self>) -> Fence {
        let replicas = Arc::clone(self);
        Fence::new(move |repository| match replicas.holding(repository) {
            Holding::Held { .. } => Ok(()),
            Holding::Lapsed => Err(NotHeld(format!(
                "the Lease of repository {repository} could not be renewed in time, so that another replica may have taken it; this one goes on once it is renewed"
            ))),
            Holding::Elsewhere => Err(NotHeld(format!(
                "this replica does not hold the Lease of repository {repository}; another one goes on with it"
            ))),
        })
    }

    /// How everything stands now.
    #[must_use]
    pub fn view(&self) -> ReplicasView {
        let now = Instant::now();
        let table = self.table();
        let holder = |unit: &Unit| match (unit.holding(now), &unit.standing) {
            (Holding::Held { .. }, _) => Holder::This { since: unit.since },
            (Holding::Lapsed, _) => Holder::Lapsed,
            (Holding::Elsewhere, Some(LeaseStanding::Theirs { by })) => Holder::Other(by.clone()),
            (Holding::Elsewhere, _) => Holder::Nobody,
        };
        ReplicasView {
            identity: self.identity.clone(),
            living: table.members.iter().map(|member| member.name.clone()).collect(),
            holders: table.units.iter().map(|(name, unit)| (name.clone(), holder(unit))).collect(),
            trouble: table.trouble.as_ref().map(|trouble| format!("{}, since {:.0}", trouble.message, trouble.since)),
            looked: table.looked,
            cut_off: table.trouble.is_some()
                && table.reached.is_none_or(|(at, _)| now.duration_since(at) >= self.duration * 2 / 3),
            last_success: table.reached.map(|(_, at)| at),
        }
    }

    /// Changes whenever it may have changed who holds what.
    pub(super) fn changes(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    /// How a repository stands.
    pub(super) fn holding(&self, repository: &str) -> Holding {
        let now = Instant::now();
        self.table().units.get(repository).map_or(Holding::Elsewhere, |unit| unit.holding(now))
    }

    /// Begins a cycle of a repository, if it is held.
    pub(super) fn begin(self: &Arc<Self>, repository: &str) -> Option<Busy> {
        let now = Instant::now();
        let mut table = self.table();
        let unit = table.units.get_mut(repository)?;
        if !matches!(unit.holding(now), Holding::Held { .. }) {
            return None;
        }
        unit.busy = true;
        Some(Busy { replicas: Arc::clone(self), repository: repository.to_owned() })
    }

    /// The tracker is given what had been told when this term of a repository began.
    pub(super) fn adopt(&self, repository: &str, term: u32) -> Option<String> {
        let mut table = self.table();
        let unit = table.units.get_mut(repository)?;
        unit.adopted = Some(term);
        unit.told.take()
    }

    /// From now on Leases say this about notices.
    pub(super) fn carry(&self, told: impl Fn(&str) -> Option<String> + Send + Sync + 'static) {
        drop(self.told.set(Box::new(told)));
    }

    /// Records whether the last cycles of this replica knew all they needed.
    pub(super) fn report(&self, good: bool) {
        self.table().good = good;
    }

    /// Whether every repository is held by a replica that is alive, and all others say that their cycles are good.
    pub(super) fn others_are_good(&self) -> bool {
        let now = Instant::now();
        let table = self.table();
        let held = |unit: &Unit| {
            matches!(unit.holding(now), Holding::Held { .. })
                || matches!(unit.standing, Some(LeaseStanding::Theirs { .. }))
        };
        let mut peers = table.members.iter().filter(|member| member.name != self.identity);
        table.trouble.is_none() && table.units.values().all(held) && peers.all(|member| member.good)
    }

    /// A repository that another replica holds was hinted at here: the other one is to hear of it.
    pub(super) fn pass_on(&self, repository: &str) {
        *self.table().woken.entry(repository.to_owned()).or_default() += 1;
        self.nudge.notify_one();
    }

    /// How often other replicas passed on a hint at a repository.
    pub(super) fn woken(&self, repository: &str) -> u64 {
        self.table().units.get(repository).map_or(0, |unit| unit.woken)
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tell_of_changes(&self) {
        self.changed.send_modify(|times| *times += 1);
    }

    fn busy(&self) -> BTreeSet<String> {
        self.table().units.values().filter(|unit| unit.busy).map(|unit| unit.lease.clone()).collect()
    }
}

impl Unit {
    fn holding(&self, now: Instant) -> Holding {
        match (self.until, self.term) {
            (Some(until), Some(term)) if now < until && !self.leaving => Holding::Held { term },
            _ if self.standing == Some(LeaseStanding::Mine) && !self.leaving => Holding::Lapsed,
            _ => Holding::Elsewhere,
        }
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        if let Some(unit) = self.replicas.table().units.get_mut(&self.repository) {
            unit.busy = false;
        }
    }
}

impl fmt::Debug for Replicas {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Replicas").field("identity", &self.identity).finish_non_exhaustive()
    }
}
