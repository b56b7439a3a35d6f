//! Everything that is known from pass to pass, and the pass itself: which images are judged again.
//!
//! An image is judged again in a pass for one of these reasons, which are decided here and nowhere else:
//!
//! 1. **An object changed.** Whoever judges notes the keys of the query index that were read ([`Reads`]); a change
//!    dirties the keys under which the object was or is indexed ([`DirtyKeys`](crate::landing::DirtyKeys)). If the two
//!    overlap, the image is dirty.
//! 2. **Its watchers may differ**, because a controller's specification or the branch changed. They are looked up for
//!    every image, which costs microseconds; an image is judged only if the result, its declaration or its origin
//!    differs.
//! 3. **More or less of a cluster is visible.** All images are judged, because everything about them depends on that.
//! 4. **Time passed.** Verdicts depend on ages, so all images take turns in slices ([`Depth::Slice`]); nothing waits
//!    longer than for one slice. This also heals any mistake of 1 and 2, together with the query index of each cluster,
//!    which is rebuilt from scratch every ten minutes.

use std::cell::LazyCell;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};

use crate::cluster::Snapshot;
use crate::git::PinKey;
use crate::landing::row::Row;
use crate::landing::watchers::{WatchMemory, WatcherIndex};
use crate::landing::{Reads, orphan};
use crate::model::observation::Object;
use crate::model::{CommitId, UpdateId};
use crate::plan::{Declared, SoakStates};

use super::Rows;
use super::cluster_view::{ClusterDelta, ClusterInPass, ClusterView, WatchedCluster};
use super::events::Unwell;
use super::judge::{Builds, ImageInPass, Overrun, Past, Source, Watched, by_name, overrides, sources};
use super::memory::RowMemory;
use super::pre_merge;
use super::view::{BranchView, View};

/// How long verdicts are valid if nothing changes.
pub(super) const SWEEP: SignedDuration = SignedDuration::from_secs(15);

/// The inputs of a pass.
#[derive(Debug)]
pub(super) struct PassInput {
    /// The current state of each cluster, with its Events.
    pub(super) clusters: Vec<(Snapshot, Vec<Object>)>,
    /// Repositories after a cycle.
    pub(super) views: Vec<View>,
    /// Repositories in which no cycle has ended for too long.
    pub(super) stalled: BTreeSet<String>,
    pub(super) depth: Depth,
    pub(super) now: Timestamp,
}

/// What to judge besides what changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Depth {
    /// Nothing; if nothing changed, there are no new rows either.
    Changes,
    /// This many images, in turn.
    Slice(usize),
    /// Nothing, but rows are made in any case, because their other content may have changed.
    Rows,
    /// Everything, if verdicts are too old or a cycle has ended.
    Due,
    /// Everything.
    Everything,
}

/// The result of a pass.
#[derive(Debug)]
pub(super) struct Passed {
    pub(super) rows: Rows,
    pub(super) soak_states: SoakStates,
    /// Objects in clusters whose Events may say more.
    pub(super) unwell: Vec<Unwell>,
    /// Repositories with missing rows: nothing is concluded from a row's absence.
    pub(super) unread: BTreeSet<String>,
    /// The number of images.
    pub(super) images: usize,
}

/// Everything that is known; built from scratch after a restart.
#[derive(Debug, Default)]
pub(super) struct TrackerState {
    settings: Vec<WatchedCluster>,
    clusters: Vec<ClusterView>,
    repositories: BTreeMap<String, RepositoryState>,
    past: Past,
    /// The next image in turn.
    turn: usize,
    /// When all images were last judged at once.
    everything: Option<Timestamp>,
    /// The image at which judging panics.
    #[cfg(test)]
    pub(super) poisoned: Option<usize>,
}

#[derive(Debug)]
struct RepositoryState {
    view: View,
    branches: Vec<BranchState>,
    pre_merge: Vec<Row>,
}

/// What is known about a branch at one tip.
#[derive(Debug, Default)]
struct BranchState {
    /// Absent if its history could not be read.
    tip: Option<CommitId>,
    declared: Arc<Vec<Declared>>,
    sources: HashMap<PinKey, Source>,
    /// In the order of declaration.
    images: Vec<ImageState>,
    /// Whether it was not found out for all of them what watches them, because that takes too long.
    overran: bool,
}

#[derive(Debug, Default)]
struct ImageState {
    /// By cluster.
    watched: Vec<Watched>,
    /// By cluster: what the rows were based on.
    reads: Vec<Reads>,
    rows: Vec<Row>,
    /// Whether it was judged in its current declaration.
    judged: bool,
}

impl TrackerState {
    pub(super) fn new(settings: Vec<WatchedCluster>) -> Self {
        let clusters = settings.iter().map(|_| ClusterView::default()).collect();
        Self { settings, clusters, ..Self::default() }
    }

    /// Starts again from only the last cycles' reports.
    pub(super) fn anew(self) -> Self {
        let mut anew = Self::new(self.settings);
        for (_, repository) in self.repositories {
            anew.publish(repository.view);
        }
        anew
    }

    /// One pass; `None` if there is nothing new.
    pub(super) fn pass(&mut self, input: PassInput, memory: &mut RowMemory) -> Option<Passed> {
        let PassInput { clusters, views, stalled, depth, now } = input;
        let mut rebuild = true;
        let taken = self.clusters.iter_mut().zip(clusters);
        let deltas: Vec<ClusterDelta> =
            taken.map(|(view, (snapshot, events))| view.take(snapshot, &events, &mut rebuild, now)).collect();
        let published = !views.is_empty();
        // Whoever asks after a cycle gets current ages.
        let depth = if published && depth == Depth::Due { Depth::Everything } else { depth };
        let mut watchers = deltas.iter().any(|delta| delta.watchers);
        for view in views {
            watchers |= self.publish(view);
        }
        let judged = self.judge(&deltas, watchers, depth, &mut memory.watches, now);
        let coverage = deltas.iter().any(|delta| delta.coverage);
        let quiet = matches!(depth, Depth::Changes | Depth::Due) && !judged && !published && !coverage;
        (!quiet).then(|| self.passed(&stalled, memory, now))
    }

    /// Records the state of a repository after a cycle; returns whether its images may have other watchers now.
    fn publish(&mut self, view: View) -> bool {
        let before = self.repositories.remove(&view.name);
        let same_repository = before.as_ref().is_some_and(|before| before.view.repository == view.repository);
        let mut known: HashMap<_, BranchState> = HashMap::new();
        if let Some(before) = before {
            known.extend(before.view.branches.into_iter().map(|branch| branch.name).zip(before.branches));
        }
        let mut changed = !same_repository;
        let mut branches = Vec::new();
        for branch in &view.branches {
            let before = known.remove(&branch.name).unwrap_or_default();
            let same = before.tip.as_ref() == Some(&branch.tip) && Arc::ptr_eq(&before.declared, &branch.declared);
            changed |= !same;
            branches.push(if same { before } else { BranchState::new(&view, branch, before, &mut self.past) });
        }
        let pre_merge = pre_merge::all(&view);
        self.repositories.insert(view.name.clone(), RepositoryState { view, branches, pre_merge });
        changed
    }

    /// Judges what has to be judged; returns whether anything was.
    fn judge(
        &mut self,
        deltas: &[ClusterDelta],
        watchers: bool,
        depth: Depth,
        watches: &mut WatchMemory,
        now: Timestamp,
    ) -> bool {
        let coverage = deltas.iter().any(|delta| delta.coverage);
        let everything = coverage || depth == Depth::Everything || (depth == Depth::Due && self.is_due(now));
        if everything {
            self.everything = Some(now);
        }
        let slice = self.slice(depth);
        let views = self.clusters.iter().zip(&self.settings);
        let Some(clusters) = views.map(|(view, settings)| view.at(settings, now)).collect::<Option<Vec<_>>>() else {
            return false;
        };
        let indexes: LazyCell<Vec<WatcherIndex<'_>>, _> =
            LazyCell::new(|| clusters.iter().map(ClusterInPass::watcher_index).collect());
        let (mut number, mut any) = (0, false);
        for RepositoryState { view, branches, .. } in self.repositories.values_mut() {
            for (branch, state) in view.branches.iter().zip(branches) {
                let named = LazyCell::new(|| by_name(branch));
                let overrides = LazyCell::new(|| overrides(branch));
                let builds = Builds::new(&branch.reach);
                let BranchState { sources, images, overran, .. } = state;
                for (image, state) in branch.declared.iter().zip(images) {
                    let swept = everything || slice.contains(&number);
                    number += 1;
                    let read_dirty = || deltas.iter().zip(&state.reads).any(|(delta, reads)| delta.dirty.meets(reads));
                    let mut due = swept || !state.judged || read_dirty();
                    if !due && !watchers {
                        continue;
                    }
                    let (past, watches) = (&mut self.past, &mut *watches);
                    let mut it =
                        ImageInPass { view, branch, image, overrides: &overrides, sources, past, watches, now };
                    let judge = || {
                        #[cfg(test)]
                        assert_ne!(self.poisoned, Some(number - 1), "on purpose");
                        // In turn, with all that a pass may take, each would be found; beside the others of the last full pass, that
                        // would be known now and then.
                        let in_turn = swept && !*overran;
                        if watchers || everything || in_turn || !state.judged {
                            let found = clusters.iter().zip(&*indexes);
                            let found: Vec<Watched> =
                                found.map(|(cluster, index)| it.watched(cluster, index, &named, &builds)).collect();
                            due |= found != state.watched;
                            state.watched = found;
                        }
                        if due {
                            clusters.iter().for_each(|cluster| cluster.world.note());
                            state.rows = it.rows(&clusters, &state.watched);
                            state.reads = clusters.iter().map(|cluster| cluster.world.noted()).collect();
                            state.judged = true;
                        }
                    };
                    if catch_unwind(AssertUnwindSafe(judge)).is_err() {
                        state.broke_off(&it);
                        due = true;
                    }
                    any |= due;
                }
                // Where only some were asked about, the others are as they were.
                *overran = builds.overran() || (*overran && !(watchers || everything));
            }
        }
        any
    }

    /// Whether verdicts are too old; a clock that was set back makes them so.
    fn is_due(&self, now: Timestamp) -> bool {
        self.everything.is_none_or(|then| now < then || now.duration_since(then) >= SWEEP)
    }

    /// The images whose turn it is.
    fn slice(&mut self, depth: Depth) -> Range<usize> {
        let Depth::Slice(count) = depth else { return 0..0 };
        let from = if self.turn < self.images() { self.turn } else { 0 };
        self.turn = from.saturating_add(count);
        from..self.turn
    }

    fn images(&self) -> usize {
        self.repositories.values().flat_map(|it| &it.branches).map(|branch| branch.images.len()).sum()
    }

    /// What follows from all rows.
    fn passed(&self, stalled: &BTreeSet<String>, memory: &mut RowMemory, now: Timestamp) -> Passed {
        let mut rows: Vec<Row> = Vec::new();
        for RepositoryState { view, branches, pre_merge } in self.repositories.values() {
            let declared = branches.iter().flat_map(|branch| &branch.images).flat_map(|image| &image.rows);
            rows.extend(declared.cloned().map(|mut row| {
                row.tracked.pull_request = view.pulls.get(&row.tracked.id).cloned();
                row
            }));
            rows.extend(pre_merge.iter().cloned());
            rows.extend(stalled.contains(&view.name).then(|| pre_merge::stalled(view)).flatten());
        }
        for (cluster, settings) in self.clusters.iter().zip(&self.settings) {
            let row = cluster.outage().and_then(|cause| Row::of_lost_cluster(&settings.name, cause, &rows));
            rows.extend(row);
        }
        let views = || self.repositories.values().map(|repository| &repository.view);
        let blind = views().filter(|view| view.outcome.revision.is_none() || view.outcome.blocked());
        let blind: Vec<&str> = blind.map(|view| view.name.as_str()).collect();
        let soak_states = memory.take(&mut rows, &blind, now);
        let unread = views().filter(|view| {
            view.outcome.revision.is_none() || pre_merge::whole(view).is_some() || stalled.contains(&view.name)
        });
        let unread = unread.map(|view| view.name.clone()).collect();
        let unreadable = views().filter(|view| view.outcome.revision.is_none());
        let mut problems: Vec<String> = unreadable
            .flat_map(|view| view.outcome.problems.iter().map(|it| format!("{}: {}", view.name, it.problem.message)))
            .collect();
        let branches =
            self.repositories.values().flat_map(|it| it.view.branches.iter().zip(&it.branches).map(move |of| (it, of)));
        let overran = branches.filter(|(_, (_, state))| state.overran);
        problems.extend(
            overran.map(|(it, (branch, _))| format!("{}: branch {}: {}", it.view.name, branch.name, Overrun::why())),
        );
        problems.extend(self.clusters.iter().flat_map(ClusterView::troubles));
        let unwell = rows.iter_mut().flat_map(|row| {
            let cluster = row.tracked.cluster.clone().unwrap_or_default();
            std::mem::take(&mut row.unwell).into_iter().map(move |object| (cluster.clone(), object))
        });
        let unwell = unwell.collect();
        let rows = rows.into_iter().map(|row| row.tracked).collect();
        let rows = Rows { rows, problems, at: now };
        Passed { rows, soak_states, unwell, unread, images: self.images() }
    }
}

impl ImageState {
    /// Judging the image panicked: that costs only its own rows, until its next turn.
    fn broke_off(&mut self, it: &ImageInPass<'_>) {
        let place = format!("{} in {}", it.image.name, it.image.overlay);
        tracing::error!("judging {place} failed because of a bug in the bot; the others are still judged");
        if self.rows.is_empty() {
            self.rows.push(it.row(None, orphan::broken_off()));
        }
        for row in &mut self.rows {
            row.tracked.landing = orphan::broken_off();
        }
        (self.judged, self.watched) = (true, Vec::new());
    }
}

impl BranchState {
    /// A branch at a new tip. Images declared as before, by the same commit, are not judged again because of it.
    fn new(view: &View, branch: &BranchView, before: Self, past: &mut Past) -> Self {
        let read = sources(view, branch, past);
        if let Err(error) = &read {
            tracing::warn!(repository = view.name, branch = %branch.name, %error, "its history cannot be read");
        }
        let tip = read.is_ok().then(|| branch.tip.clone());
        let sources = read.unwrap_or_default();
        let mut known: HashMap<&UpdateId, (&Declared, ImageState)> =
            before.declared.iter().zip(before.images).map(|(image, state)| (&image.id, (image, state))).collect();
        let of = |image: &Declared| {
            let (declared, mut state) = known.remove(&image.id)?;
            let keys = || image.pins.iter().map(|pin| PinKey::from(pin.as_ref()));
            let same_origin = keys().all(|key| sources.get(&key) == before.sources.get(&key));
            state.judged &= declared == image && same_origin;
            Some(state)
        };
        let images = branch.declared.iter().map(of).map(Option::unwrap_or_default).collect();
        Self { tip, declared: Arc::clone(&branch.declared), sources, images, overran: false }
    }
}

#[cfg(test)]
impl TrackerState {
    /// Simulates a mistake: an image without its rows that counts as judged.
    pub(super) fn forget_rows_of(&mut self, number: usize) {
        let images = self.repositories.values_mut().flat_map(|it| &mut it.branches).flat_map(|it| &mut it.images);
        images.skip(number).take(1).for_each(|image| image.rows.clear());
    }
}
