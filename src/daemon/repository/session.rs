//! What one cycle leaves for the next: answers, updates being collected, updates that could not be written, the next
//! gate to open.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Instant;

use jiff::Timestamp;

use crate::model::{ImageName, UpdateId};
use crate::plan::{Answers, FilterTime, Gate, Gathered, Plan, PromotionRequest, RegistryQuery, Snapshot, SoakStates};

use super::reader::BranchReading;
use super::seen_heads::SeenHeads;
use crate::daemon::outcome::CycleOutcome;

/// What is remembered about a repository between cycles.
#[derive(Debug, Default)]
pub(super) struct Session {
    /// The answers of the last plan.
    pub(super) answers: Answers,
    /// Since when there is news from the forge: its answers must be newer.
    pub(super) forge_news: Option<Timestamp>,
    /// Queries that the last plan did without.
    pub(super) late: BTreeSet<RegistryQuery>,
    /// The health of images, as of the last pass over the clusters.
    pub(super) soak_states: Arc<SoakStates>,
    /// What a person requests now.
    pub(super) request: Option<PromotionRequest>,
    /// Since when the tips of the bot's branches have existed, as observed by the bot.
    pub(super) seen: SeenHeads,
    /// When the next gate opens on its own.
    pub(super) opens: Option<Timestamp>,
    /// When the updates that are being collected were first planned; `None`: nothing is collected.
    gathered: Option<BTreeMap<UpdateId, Gathered>>,
    /// The first of the updates being collected, by overlay and image: a newer version replaces it but keeps its time.
    first: BTreeMap<(String, ImageName), Timestamp>,
    /// Updates that could not be written last time.
    failed: BTreeSet<UpdateId>,
    /// What tag filters have taken in this cycle.
    filter_time: Option<FilterTime>,
}

impl Session {
    /// From now on updates are collected as the policies say.
    pub(super) fn gather(&mut self) {
        self.gathered.get_or_insert_default();
    }

    /// Starts a plan.
    pub(super) fn begin(&mut self) {
        self.answers = Answers::default();
        self.late.clear();
        let began = Instant::now();
        self.filter_time = Some(FilterTime::new(move || began.elapsed()));
    }

    /// The inputs for a branch's plan.
    pub(super) fn snapshot<'s>(&'s self, reading: &'s BranchReading<'_>, now: Timestamp) -> Snapshot<'s> {
        Snapshot {
            request: self.request.as_ref(),
            gathered: self.gathered.as_ref(),
            failed: Some(&self.failed),
            filter_time: self.filter_time.as_ref(),
            ..reading.snapshot(&self.answers, &self.soak_states, now)
        }
    }

    /// Remembers what could not be written: the others go first next time.
    pub(super) fn remember_failures(&mut self, outcome: &CycleOutcome) {
        let failed = outcome.failures().flat_map(|(failed, _)| &failed.action.updates);
        self.failed = failed.map(|update| update.id.clone()).collect();
    }

    /// Remembers which updates are on their way, and when the next one may proceed.
    pub(super) fn look_ahead(&mut self, plans: &[Plan], now: Timestamp) {
        let holds = || plans.iter().flat_map(|plan| &plan.holds);
        self.opens = holds().filter_map(|hold| hold.until).filter(|until| *until > now).min();
        let Some(gathered) = &mut self.gathered else { return };
        let gathering = holds().filter(|hold| hold.gate == Gate::Rate).map(|hold| &hold.update);
        let planned = plans.iter().flat_map(|plan| &plan.actions).flat_map(|action| &action.updates);
        let mut first = BTreeMap::new();
        let mut all = BTreeMap::new();
        for update in gathering.chain(planned) {
            let place = (update.overlay.clone(), update.name.clone());
            let since = self.first.get(&place).copied().unwrap_or(now);
            let at = gathered.get(&update.id).map_or(now, |known| known.at);
            all.insert(update.id.clone(), Gathered { at, first: since });
            first.insert(place, since);
        }
        self.first = first;
        *gathered = all;
    }
}
