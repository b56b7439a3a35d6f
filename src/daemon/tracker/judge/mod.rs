//! One declared image in every cluster where it may run.
//!
//! Design: `landing` decides what watches a file and how far an image has come; here its questions are assembled from
//! facts in Git. What Git says about a revision never changes, so it is looked up once ([`Past`]).

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use jiff::Timestamp;

use crate::git::{GitError, History, PinKey, ValueOrigin};
use crate::landing::row::{LAND_WITHIN, PlaceKey, Row, RowSubject};
use crate::landing::watchers::{FoundWatchers, Via, WatchMemory, WatchedFile, Watcher, WatcherIndex, watchers_of};
use crate::landing::{judge, orphan};
use crate::model::{BranchName, CauseCode, CommitId, ImageName, Landing, Pin, PinRole, RepoPath, Rung, State, Version};
use crate::plan::Declared;

use super::cluster_view::{ClusterInPass, distrust};
use super::view::{BranchView, View};

mod builds;
mod facts;

pub(super) use builds::{Builds, Overrun};

/// Maximum number of objects per row whose Events are requested.
const MAX_UNWELL: usize = 3;

/// What was found out about the past of each branch.
#[derive(Debug, Default)]
pub(super) struct Past {
    histories: HashMap<(String, BranchName), History>,
    values: HashMap<(CommitId, PinKey), Option<Version>>,
}

/// Where the value of a pin comes from.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Source {
    /// The commit on the branch that brought it, if known.
    commit: Option<CommitId>,
    since: Option<Timestamp>,
    by: Option<String>,
}

/// The declared images of a branch, by image name.
pub(super) fn by_name(branch: &BranchView) -> HashMap<&ImageName, Vec<&Declared>> {
    let mut named: HashMap<&ImageName, Vec<&Declared>> = HashMap::new();
    for image in branch.declared.iter() {
        named.entry(&image.name).or_default().push(image);
    }
    named
}

/// Where the pins of a branch come from.
pub(super) fn sources(view: &View, branch: &BranchView, past: &mut Past) -> Result<HashMap<PinKey, Source>, GitError> {
    let kept_as = format!("landing {}", branch.name);
    let history = past.histories.entry((view.name.clone(), branch.name.clone()));
    let history = history.or_insert_with(|| History::open(&view.mirror, &kept_as));
    history.follow(&view.mirror, &branch.tip)?;
    let found = history.introduced(&view.mirror, &branch.pins)?;
    history.keep(&view.mirror, &kept_as);
    let source = |origin: ValueOrigin| match origin {
        ValueOrigin::Commit(introduced) => {
            let arrived = introduced.arrived();
            let (commit, since) = (Some(arrived.commit.clone()), Some(arrived.time));
            Source { commit, since, by: Some(introduced.wrote.author.clone()) }
        }
        ValueOrigin::Older(arrival) => Source { commit: None, since: Some(arrival.time), by: None },
    };
    Ok(found.into_iter().map(|(key, origin)| (key, source(origin))).collect())
}

/// Folders whose kustomization sets the version of an image itself: anything below does not count there.
pub(super) fn overrides(branch: &BranchView) -> HashSet<(&str, &ImageName)> {
    let kustomize = branch.pins.iter().filter(|pin| pin.kind.role == PinRole::Override);
    kustomize.map(|pin| (pin.path.parent(), &pin.name)).collect()
}

/// One declared image, and everything known about its place in Git.
pub(super) struct ImageInPass<'l> {
    pub(super) view: &'l View,
    pub(super) branch: &'l BranchView,
    pub(super) image: &'l Declared,
    pub(super) overrides: &'l HashSet<(&'l str, &'l ImageName)>,
    pub(super) sources: &'l HashMap<PinKey, Source>,
    pub(super) past: &'l mut Past,
    pub(super) watches: &'l mut WatchMemory,
    pub(super) now: Timestamp,
}

/// What watches an image's pins in one cluster.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Watched {
    /// The cluster is not one of the image's environment.
    Elsewhere,
    /// These watch it, each because of one pin.
    By(Vec<Watching>),
    /// They watch it, but with a version that is set elsewhere.
    Overridden,
    Orphan(Vec<String>),
    CannotTell(Vec<String>),
}

/// What watches one of an image's pins.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Watching {
    pin: Arc<Pin>,
    watchers: Vec<Watcher>,
    /// Versions of the same image that other places make the same controllers apply.
    others: Vec<Version>,
}

impl<'l> ImageInPass<'l> {
    /// The rows of the image.
    pub(super) fn rows(&mut self, clusters: &[ClusterInPass<'_>], watched: &[Watched]) -> Vec<Row> {
        let mut rows = self.all_rows(clusters, watched);
        let out: Vec<&str> = clusters.iter().filter(|it| it.is_out()).map(|it| it.name).collect();
        for Row { tracked, .. } in &mut rows {
            let out = || tracked.cluster.as_deref().is_some_and(|name| out.contains(&name));
            tracked.unseen = tracked.landing.state == State::Unknown && out();
        }
        rows
    }

    fn all_rows(&mut self, clusters: &[ClusterInPass<'_>], watched: &[Watched]) -> Vec<Row> {
        if !self.image.pins.iter().any(|pin| self.can_follow(pin)) {
            return self.image.policy.is_some().then(|| self.not_followed()).into_iter().collect();
        }
        let found = || clusters.iter().zip(watched).filter(|(_, watched)| !matches!(watched, Watched::Elsewhere));
        if found().next().is_none() {
            return self.image.policy.is_some().then(|| self.unwatched(clusters.is_empty())).into_iter().collect();
        }
        let (mut rows, mut gone) = (Vec::new(), Vec::new());
        for (cluster, watched) in found() {
            match watched {
                Watched::By(places) => {
                    let row = self.worst(cluster, places);
                    if row.is_some() {
                        let memory = self.memory(cluster.name);
                        self.watches.seen(memory, self.now);
                    }
                    rows.extend(row);
                }
                // In other clusters it may be fine; in this one that is not visible.
                Watched::CannotTell(why) if self.image.policy.is_some() => {
                    let memory = self.memory(cluster.name);
                    let missed = self.watches.missed(&memory, self.now).is_some();
                    if missed || cluster.snapshot.gaps().next().is_some() {
                        rows.push(self.row(Some(cluster.name), orphan::cannot_tell(cluster.name, why.clone())));
                    }
                }
                Watched::Orphan(near) if self.image.policy.is_some() => {
                    let memory = self.memory(cluster.name);
                    let last = self.watches.missed(&memory, self.now);
                    let gone_since = |last| orphan::gone(self.image, &self.branch.name, cluster.name, last, near);
                    gone.extend(last.map(|last| self.row(Some(cluster.name), gone_since(last))));
                }
                _ => {}
            }
        }
        // If nothing watches it anywhere, one row says so.
        if !rows.is_empty() {
            rows.append(&mut gone);
        }
        let overridden = found().any(|(_, watched)| matches!(watched, Watched::Overridden));
        if !rows.is_empty() || overridden || self.image.policy.is_none() {
            return rows;
        }
        let blind = found().find_map(|(cluster, watched)| match watched {
            Watched::CannotTell(why) => Some((cluster.name, why.clone())),
            _ => None,
        });
        let near = found().flat_map(|(_, watched)| match watched {
            Watched::Orphan(near) => near.as_slice(),
            _ => &[],
        });
        vec![match blind {
            Some((cluster, why)) => self.row(Some(cluster), orphan::cannot_tell(cluster, why)),
            // What a policy names may be read by anything.
            None if self.image.pins.iter().all(|pin| pin.kind.role == PinRole::Named) => self.not_followed(),
            None => {
                let since = self.source().and_then(|source| source.since);
                let found = orphan::everywhere(self.image, &self.branch.name, near.cloned(), since, self.now);
                self.row(None, found)
            }
        }]
    }

    /// Whether a version at this place can be found in a cluster: in a workload, or in the object that names it.
    fn can_follow(&self, pin: &Pin) -> bool {
        match pin.kind.role {
            PinRole::Object | PinRole::Override | PinRole::Input | PinRole::Named => true,
            PinRole::Artifact | PinRole::Chart => {
                self.branch.reach.declares(&pin.path).iter().any(|declares| declares.document == pin.document)
            }
            PinRole::Outside => false,
        }
    }

    fn not_followed(&self) -> Row {
        Row { within: None, ..self.row(None, orphan::not_followed(self.image)) }
    }

    /// What it is remembered by in a cluster, whatever its version.
    fn memory(&self, cluster: &str) -> PlaceKey {
        let (environment, image) = (self.image.environment.as_deref().unwrap_or_default(), self.image.name.to_string());
        PlaceKey::of([&self.view.name, self.branch.name.as_str(), &self.image.overlay, environment, &image, cluster])
    }

    /// No cluster is configured for it; its clock does not run.
    fn unwatched(&self, none_at_all: bool) -> Row {
        Row { within: None, ..self.row(None, orphan::unwatched(self.image, none_at_all)) }
    }

    /// Where the youngest of its pins comes from.
    pub(super) fn source(&self) -> Option<&'l Source> {
        let sources = self.image.pins.iter().filter_map(|pin| self.sources.get(&PinKey::from(pin.as_ref())));
        sources.max_by_key(|source| source.since)
    }

    /// The worst row of all places that declare it; `None` if other places set what is applied.
    fn worst(&mut self, cluster: &ClusterInPass<'_>, places: &[Watching]) -> Option<Row> {
        let rows: Vec<Row> = places.iter().filter_map(|watching| self.judged(cluster, watching)).collect();
        rows.into_iter().rev().max_by_key(|row| row.tracked.landing.state.severity())
    }

    /// What watches the image in one cluster.
    pub(super) fn watched(
        &self,
        cluster: &ClusterInPass<'_>,
        index: &WatcherIndex<'_>,
        named: &HashMap<&ImageName, Vec<&Declared>>,
        builds: &Builds<'_>,
    ) -> Watched {
        if !cluster.runs(self.image.environment.as_ref()) {
            return Watched::Elsewhere;
        }
        // Some of its pins may have been found: what watches the others may run another version.
        self.watchers(index, named, builds).unwrap_or_else(|Overrun| Watched::CannotTell(vec![Overrun::why()]))
    }

    fn watchers(
        &self,
        index: &WatcherIndex<'_>,
        named: &HashMap<&ImageName, Vec<&Declared>>,
        builds: &Builds<'_>,
    ) -> Result<Watched, Overrun> {
        let (mut overridden, mut near, mut why) = (false, Vec::new(), Vec::new());
        let mut places: Vec<Watching> = Vec::new();
        for pin in &self.image.pins {
            let place = WatchedFile {
                source_ignore: &self.branch.source_ignore,
                ..WatchedFile::of(&self.view.repository, &self.branch.name, &self.branch.reach, pin)
            };
            match watchers_of(&place, &*builds.of(&pin.path)?, index) {
                FoundWatchers::By { watchers: found, .. } => {
                    let mut watchers = Vec::new();
                    for watcher in found {
                        let counts = match &watcher.via {
                            Via::Kustomization(folder, Some(_)) => {
                                pin.path.parent() == folder || !self.is_overridden(pin, folder, builds)?
                            }
                            _ => true,
                        };
                        watchers.extend(counts.then_some(watcher));
                    }
                    overridden |= watchers.is_empty();
                    if !watchers.is_empty() && !places.iter().any(|other| other.watchers == watchers) {
                        let others = self.others((index, &watchers), named, builds)?;
                        places.push(Watching { pin: Arc::clone(pin), watchers, others });
                    }
                }
                FoundWatchers::Orphan { near: misses } => near.extend(misses.iter().map(ToString::to_string)),
                FoundWatchers::CannotTell { why: blind, .. } => why.extend(blind.iter().map(ToString::to_string)),
            }
        }
        if !places.is_empty() {
            return Ok(Watched::By(places));
        }
        Ok(match (overridden, why.is_empty()) {
            (true, _) => Watched::Overridden,
            (false, false) => Watched::CannotTell(why),
            (false, true) => Watched::Orphan(near),
        })
    }

    /// Whether a kustomization between a file and the watched folder sets the version of its image.
    fn is_overridden(&self, pin: &Pin, watched: &str, builds: &Builds<'_>) -> Result<bool, Overrun> {
        let built = builds.of(&pin.path)?;
        for folder in built.kustomizations.iter().map(|root| root.folder) {
            if folder == pin.path.parent() || !self.overrides.contains(&(folder, &pin.name)) {
                continue;
            }
            if folder == watched {
                return Ok(true);
            }
            let Ok(file) = RepoPath::parse(&format!("{folder}/kustomization.yaml")) else { continue };
            if builds.of(&file)?.kustomizations.iter().any(|root| root.folder == watched) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    pub(super) fn row(&self, cluster: Option<&str>, landing: Landing) -> Row {
        let mut tracked = Row::declared(&self.view.name, self.image, cluster, landing);
        if let Some(source) = self.source() {
            tracked.declared.commit.clone_from(&source.commit);
            tracked.declared.since = source.since;
            tracked.declared.by.clone_from(&source.by);
        }
        Row::new(tracked, RowSubject::Declared, Some(self.image.land_within.unwrap_or(LAND_WITHIN)))
    }

    /// The row of one place; `None` if it turns out that another place sets what is applied.
    fn judged(&mut self, cluster: &ClusterInPass<'_>, watching: &Watching) -> Option<Row> {
        let Watching { pin, watchers, .. } = watching;
        let (question, samples) = self.question(cluster, watching);
        let judgement = judge(&cluster.world, &question);
        // A base whose image a kustomization renames with `newName`: no workload uses the name written here.
        let renamed = |watcher: &Watcher| match &watcher.via {
            Via::Kustomization(folder, Some(_)) => self.overrides.iter().any(|(other, _)| other == folder),
            _ => false,
        };
        let unused = judgement.workloads.is_empty()
            && judgement.landing.cause.as_ref().is_some_and(|cause| cause.code == CauseCode::Unproven);
        if unused && pin.kind.role == PinRole::Object && watchers.iter().any(renamed) {
            return None;
        }
        let landing = distrust(cluster, judgement.landing, &judgement.workloads);
        let mut row = self.row(Some(cluster.name), landing);
        row.tracked.live = judgement.live;
        (row.digests, row.ready_since) = (judgement.digests, judgement.ready_since);
        row.samples = samples;
        let trusted = watchers.iter().flat_map(|it| it.notes.iter().map(|note| note.said_of(&it.object)));
        let trusted = judgement.notes.into_iter().chain(trusted);
        match &mut row.tracked.landing.cause {
            Some(cause) => cause.evidence.extend(trusted),
            None => row.tracked.notes = trusted.collect(),
        }
        if matches!(row.tracked.landing.state, State::Stuck | State::Pending)
            && matches!(row.tracked.landing.rung, Some(Rung::RolledOut | Rung::Running))
        {
            let unwell = judgement.workloads.iter().flat_map(|workload| cluster.world.unwell(workload));
            row.unwell = unwell.take(MAX_UNWELL).map(|object| Arc::new(object.clone())).collect();
        }
        Some(row)
    }
}
