//! What to do next: join, renew, take, hand over.

use std::collections::BTreeSet;
use std::time::Duration;

use super::{Election, LeaseStanding, LeaseStep, slot_lease, slot_of};

/// After joining, a replica looks around for this part of a Lease's time before it takes anything: replicas that start
/// together see each other first.
const LOOKS_AROUND: u32 = 4;
/// What nobody takes for this many times of a Lease is taken by whoever sees it, whatever its share.
const LEFT_OVER: u32 = 2;

impl Election {
    /// What to do now. `busy` are the repositories' Leases under which a cycle runs.
    #[must_use]
    pub fn steps(&self, now: Duration, busy: &BTreeSet<String>) -> Vec<LeaseStep> {
        let mut steps = vec![self.own_slot(now)];
        let mine = self.units.iter().filter(|name| self.standing(name, now) == LeaseStanding::Mine);
        let mine: Vec<&String> = mine.collect();
        let (share, rank) = self.share(now);
        let settled = now.saturating_sub(self.members.1) >= self.duration;
        let surplus = mine.len() > share && settled && self.joined.is_some();
        let leaves = mine.iter().rev().find(|name| surplus && !busy.contains(**name)).copied();
        steps.extend(mine.iter().map(|name| match leaves {
            Some(leaves) if leaves == *name => LeaseStep::HandOver((*name).clone()),
            _ => LeaseStep::Renew((*name).clone()),
        }));
        if self.joined.is_some_and(|at| now.saturating_sub(at) >= self.duration / LOOKS_AROUND) {
            steps.extend(self.taken(now, share.saturating_sub(mine.len()), rank * share));
        }
        steps
    }

    /// The slot to renew, or the first one to be had.
    fn own_slot(&self, now: Duration) -> LeaseStep {
        if let Some(slot) = self.slot() {
            return LeaseStep::Renew(slot.to_owned());
        }
        let numbers: BTreeSet<u32> = self.seen.keys().filter_map(|name| slot_of(name)).collect();
        let free = |number: &u32| {
            matches!(
                self.standing(&slot_lease(*number), now),
                LeaseStanding::Free { .. } | LeaseStanding::Lapsed { .. }
            )
        };
        let next = (0..).find(|number| !numbers.contains(number)).unwrap_or_default();
        LeaseStep::Take(slot_lease(numbers.iter().copied().find(free).unwrap_or(next)))
    }

    /// How many repositories this replica should have at most, and its place among the living.
    fn share(&self, now: Duration) -> (usize, usize) {
        let living = self.living(now);
        // Those that are configured with others, in the middle of a rollout, do not take these.
        let peers: Vec<&str> = living.iter().filter(|it| it.same).map(|it| it.name.as_str()).collect();
        let rank = peers.iter().position(|name| *name == self.identity).unwrap_or_default();
        (self.units.len().div_ceil(peers.len().max(1)), rank)
    }

    /// The Leases to take: at most `room` of those that are free, each replica beginning elsewhere, and those that nobody takes.
    fn taken(&self, now: Duration, room: usize, from: usize) -> Vec<LeaseStep> {
        let free = |name: &&String| match self.standing(name, now) {
            LeaseStanding::Free { since } | LeaseStanding::Lapsed { since, .. } => Some(since),
            LeaseStanding::Mine | LeaseStanding::Theirs { .. } => None,
        };
        let (before, after): (Vec<_>, Vec<_>) = self.units.iter().enumerate().partition(|(at, _)| *at < from);
        let turned = after.into_iter().chain(before).map(|(_, name)| name);
        let free: Vec<(&String, Duration)> = turned.filter_map(|name| Some((name, free(&name)?))).collect();
        let left_over = |since: Duration| now.saturating_sub(since) >= self.duration * LEFT_OVER;
        let taken = free.iter().enumerate().filter(|(at, (_, since))| *at < room || left_over(*since));
        taken.map(|(_, (name, _))| LeaseStep::Take((*name).clone())).collect()
    }
}
