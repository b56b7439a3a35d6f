//! What one cycle leaves to the next: what is being gathered, what could not be written, when a gate opens.

use std::collections::BTreeMap;

use jiff::Timestamp;

use crate::plan::{Gate, Gathered, Plan};

use super::Repository;
use crate::daemon::outcome::CycleOutcome;

impl Repository {
    /// From now on bursts of updates are gathered where policies say so: there are cycles to come.
    pub fn gather(&mut self) {
        self.gathered.get_or_insert_default();
    }

    /// When the next gate opens by itself, as of the last plan.
    #[must_use]
    pub fn opens(&self) -> Option<Timestamp> {
        self.opens
    }

    /// The gate that was waited for is open: it is not waited for again.
    pub(in crate::daemon) fn has_opened(&mut self) {
        self.opens = None;
    }

    /// Remembers what could not be written: the others go first the next time.
    pub(in crate::daemon) fn remember_failures(&mut self, outcome: &CycleOutcome) {
        let failed = outcome.failures().flat_map(|(failed, _)| &failed.action.updates);
        self.failed = failed.map(|update| update.id.clone()).collect();
    }

    /// Remembers which updates are on their way, and when the next one may go on.
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
