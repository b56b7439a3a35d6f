//! One look: every declared image against every cluster it may run in.
//!
//! Design: who watches a file and how an image stands are decided by `landing`; here its questions are put together from
//! Git's facts. What Git says about a revision never changes, so it is asked once ([`Past`]).

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use crate::git::{Ancestry, GitError, History, Mirror, Origin, PinKey, ValueAt};
use crate::landing::watch::{self, Place, Via, Watch, Watcher};
use crate::landing::{Contains, Git, Question, RevisionFact, Scope, World, judge};
use crate::model::observation::{Object, ObjectKey};
use crate::model::{
    BranchName, Cause, CauseCode, CommitId, ImageReference, Landing, Pin, PinKind, Rung, State, Version,
};
use crate::plan::Declared;

use super::seen::{Seen, distrust};
use super::view::{BranchView, View};
use super::{About, Row, declared_row};

/// How long nothing may watch a path before that is said: apps of apps and generators add controllers later.
const ORPHAN_GRACE: SignedDuration = SignedDuration::from_mins(10);

/// How long a landing may take where no policy says.
const LAND_WITHIN: Duration = Duration::from_secs(3600);

/// Most objects of one row whose Events are asked for.
const MAX_UNWELL: usize = 3;

/// Most values of files that are remembered, half of them dropped when it is full.
const MAX_VALUES: usize = 200_000;

/// What was found out about the past of each branch.
#[derive(Debug, Default)]
pub(super) struct Past {
    histories: HashMap<(String, BranchName), History>,
    values: HashMap<(CommitId, PinKey), Option<Version>>,
}

/// Where the value of a pin comes from.
#[derive(Debug, Clone)]
struct Source {
    /// The commit of the branch that brought it, where that is known.
    commit: Option<CommitId>,
    since: Option<Timestamp>,
    by: Option<String>,
}

/// The rows of one repository.
pub(super) fn rows(view: &View, clusters: &[Seen<'_>], past: &mut Past, now: Timestamp) -> Vec<Row> {
    let mut rows = Vec::new();
    for branch in &view.branches {
        let sources = match sources(view, branch, past) {
            Ok(sources) => sources,
            Err(error) => {
                tracing::warn!(repository = view.name, branch = %branch.name, %error, "its history cannot be read");
                HashMap::new()
            }
        };
        let overrides = overrides(branch);
        for image in branch.declared.iter() {
            let mut look = Look { view, branch, image, overrides: &overrides, sources: &sources, past, now };
            rows.extend(look.rows(clusters));
        }
    }
    rows
}

fn sources(view: &View, branch: &BranchView, past: &mut Past) -> Result<HashMap<PinKey, Source>, GitError> {
    let history = past.histories.entry((view.name.clone(), branch.name.clone())).or_default();
    history.follow(&view.mirror, &branch.tip)?;
    let found = history.introduced(&view.mirror, &branch.pins)?;
    let source = |origin: Origin| match origin {
        Origin::Commit(introduced) => {
            let arrived = introduced.arrived();
            let (commit, since) = (Some(arrived.commit.clone()), Some(arrived.time));
            Source { commit, since, by: Some(introduced.wrote.author.clone()) }
        }
        Origin::Older(arrival) => Source { commit: None, since: Some(arrival.time), by: None },
    };
    Ok(found.into_iter().map(|(key, origin)| (key, source(origin))).collect())
}

/// Folders whose kustomization sets the version of an image by itself: what stands below does not count there.
fn overrides(branch: &BranchView) -> HashSet<(&str, &crate::model::ImageName)> {
    let kustomize = branch.pins.iter().filter(|pin| pin.kind == PinKind::Kustomize);
    kustomize.map(|pin| (pin.path.parent(), &pin.name)).collect()
}

/// One declared image and all that is known about its place in Git.
struct Look<'l> {
    view: &'l View,
    branch: &'l BranchView,
    image: &'l Declared,
    overrides: &'l HashSet<(&'l str, &'l crate::model::ImageName)>,
    sources: &'l HashMap<PinKey, Source>,
    past: &'l mut Past,
    now: Timestamp,
}

/// Who watches an image's pins in one cluster.
enum Watched<'l> {
    /// These, each for the sake of one pin.
    By(Vec<(&'l Pin, Vec<Watcher>)>),
    /// They do, but with a version that is set elsewhere.
    Overridden,
    Nobody(Vec<String>),
    CannotTell(Vec<String>),
}

impl<'l> Look<'l> {
    fn rows(&mut self, clusters: &[Seen<'_>]) -> Vec<Row> {
        let eligible = || clusters.iter().filter(|cluster| cluster.runs(self.image.environment.as_ref()));
        if eligible().next().is_none() {
            return self.image.policy.is_some().then(|| self.unwatched(clusters.is_empty())).into_iter().collect();
        }
        let found: Vec<(&Seen<'_>, Watched<'l>)> = eligible().map(|cluster| (cluster, self.watched(cluster))).collect();
        let mut rows = Vec::new();
        for (cluster, watched) in &found {
            match watched {
                Watched::By(places) => rows.extend(self.worst(cluster, places)),
                // Elsewhere it may be fine; here nobody can see.
                Watched::CannotTell(why) if cluster.snapshot.gaps().next().is_some() => {
                    if self.image.policy.is_some() {
                        rows.push(self.cannot_tell(cluster.name, why.clone()));
                    }
                }
                Watched::CannotTell(_) | Watched::Overridden | Watched::Nobody(_) => {}
            }
        }
        let overridden = found.iter().any(|(_, watched)| matches!(watched, Watched::Overridden));
        if !rows.is_empty() || overridden || self.image.policy.is_none() {
            return rows;
        }
        let blind = found.iter().find_map(|(cluster, watched)| match watched {
            Watched::CannotTell(why) => Some((cluster.name, why.clone())),
            _ => None,
        });
        vec![match blind {
            Some((cluster, why)) => self.cannot_tell(cluster, why),
            None => self.orphan(found.into_iter().flat_map(|(_, watched)| match watched {
                Watched::Nobody(near) => near,
                _ => Vec::new(),
            })),
        }]
    }

    /// Where the youngest of its pins comes from.
    fn source(&self) -> Option<&'l Source> {
        let sources = self.image.pins.iter().filter_map(|pin| self.sources.get(&PinKey::from(pin.as_ref())));
        sources.max_by_key(|source| source.since)
    }

    /// The worst row of all places that declare it; `None` where other places set what is applied.
    fn worst(&mut self, cluster: &Seen<'_>, places: &[(&'l Pin, Vec<Watcher>)]) -> Option<Row> {
        let rows = places.iter().filter_map(|(pin, watchers)| self.judged(cluster, pin, watchers));
        let rows: Vec<Row> = rows.collect();
        rows.into_iter().min_by_key(|row| badness(row.tracked.landing.state))
    }

    fn watched(&self, cluster: &Seen<'_>) -> Watched<'l> {
        let image: &'l Declared = self.image;
        let (mut overridden, mut near, mut why) = (false, Vec::new(), Vec::new());
        let mut places: Vec<(&'l Pin, Vec<Watcher>)> = Vec::new();
        for pin in &image.pins {
            let place = Place {
                source_ignore: &self.branch.source_ignore,
                ..Place::of(&self.view.repository, &self.branch.name, &self.branch.reach, pin)
            };
            match watch::watchers(&place, &cluster.index) {
                Watch::By { watchers, .. } => {
                    let counts = |watcher: &Watcher| match &watcher.via {
                        Via::Kustomization(folder, Some(_)) => {
                            pin.path.parent() == folder || !self.is_overridden(pin, folder)
                        }
                        _ => true,
                    };
                    let watchers: Vec<Watcher> = watchers.into_iter().filter(counts).collect();
                    overridden |= watchers.is_empty();
                    if !watchers.is_empty() && !places.iter().any(|(_, others)| *others == watchers) {
                        places.push((pin, watchers));
                    }
                }
                Watch::Nobody { near: misses } => near.extend(misses.iter().map(ToString::to_string)),
                Watch::CannotTell { why: blind, .. } => why.extend(blind.iter().map(ToString::to_string)),
            }
        }
        if !places.is_empty() {
            return Watched::By(places);
        }
        match (overridden, why.is_empty()) {
            (true, _) => Watched::Overridden,
            (false, false) => Watched::CannotTell(why),
            (false, true) => Watched::Nobody(near),
        }
    }

    /// Whether a kustomization between a file and the watched folder sets the version of its image.
    fn is_overridden(&self, pin: &Pin, watched: &str) -> bool {
        let built = self.branch.reach.of(&pin.path);
        built.kustomizations.iter().map(|root| root.folder).any(|folder| {
            let leads = || {
                let file = crate::model::RepoPath::parse(&format!("{folder}/kustomization.yaml"));
                let above =
                    file.map(|file| self.branch.reach.of(&file).kustomizations.iter().any(|it| it.folder == watched));
                folder == watched || above.unwrap_or(false)
            };
            folder != pin.path.parent() && self.overrides.contains(&(folder, &pin.name)) && leads()
        })
    }

    fn row(&self, cluster: Option<&str>, landing: Landing) -> Row {
        let mut tracked = declared_row(&self.view.name, self.image, cluster, landing);
        tracked.pull_request = self.view.pulls.get(&self.image.id).cloned();
        if let Some(source) = self.source() {
            tracked.declared.commit.clone_from(&source.commit);
            tracked.declared.since = source.since;
            tracked.declared.by.clone_from(&source.by);
        }
        Row::new(tracked, About::Declared, Some(self.image.land_within.unwrap_or(LAND_WITHIN)))
    }

    /// The row of one place; `None` where it turns out that another place sets what is applied.
    fn judged(&mut self, cluster: &Seen<'_>, pin: &Pin, watchers: &[Watcher]) -> Option<Row> {
        let controllers: Vec<ObjectKey> = watchers.iter().map(|watcher| watcher.object.clone()).collect();
        let origins = watchers.iter().filter_map(|watcher| watcher.origin.as_ref());
        let objects: Vec<&Object> =
            controllers.iter().chain(origins).filter_map(|key| cluster.world.get(key)).collect();
        let question = Question {
            image: ImageReference {
                written: pin.image.clone(),
                name: self.image.name.clone(),
                version: self.image.version.clone(),
            },
            git: Git::Facts(self.facts(pin, World::revisions_of(objects))),
            scope: Scope {
                others: self.others(cluster, &controllers),
                controllers: Some(controllers),
                workloads: None,
            },
            orphan_after: None,
            deadline: None,
        };
        let judgement = judge(&cluster.world, &question);
        // A base that a kustomization gives another name by `newName`: no workload uses the name that is written here.
        let renamed = |watcher: &Watcher| match &watcher.via {
            Via::Kustomization(folder, Some(_)) => self.overrides.iter().any(|(other, _)| other == folder),
            _ => false,
        };
        let unused = judgement.workloads.is_empty()
            && judgement.landing.cause.as_ref().is_some_and(|cause| cause.code == CauseCode::Unproven);
        if unused && pin.kind == PinKind::Container && watchers.iter().any(renamed) {
            return None;
        }
        let landing = distrust(cluster, judgement.landing);
        let mut row = self.row(Some(cluster.name), landing);
        row.tracked.live = judgement.live;
        (row.digests, row.ready_since) = (judgement.digests, judgement.ready_since);
        if matches!(row.tracked.landing.state, State::Stuck | State::Pending)
            && matches!(row.tracked.landing.rung, Some(Rung::RolledOut | Rung::Running))
        {
            let unwell = judgement.workloads.iter().flat_map(|workload| cluster.world.unwell(workload));
            row.unwell = unwell.take(MAX_UNWELL).map(|object| Arc::new(object.clone())).collect();
        }
        Some(row)
    }

    /// Versions of the same image that other places tell the same controllers to apply.
    fn others(&self, cluster: &Seen<'_>, controllers: &[ObjectKey]) -> Vec<Version> {
        let same = |other: &&Declared| other.name == self.image.name && other.version != self.image.version;
        let applied = |other: &&Declared| {
            other.pins.iter().any(|pin| {
                let place = Place::of(&self.view.repository, &self.branch.name, &self.branch.reach, pin);
                watch::watchers(&place, &cluster.index)
                    .controllers()
                    .is_some_and(|found| found.iter().any(|key| controllers.contains(key)))
            })
        };
        let others = self.branch.declared.iter().filter(same).filter(applied);
        others.map(|other| other.version.clone()).collect()
    }

    /// What Git says about the revisions that controllers name.
    fn facts(&mut self, pin: &Pin, revisions: std::collections::BTreeSet<String>) -> BTreeMap<String, RevisionFact> {
        let key = PinKey::from(pin);
        let commit = self.sources.get(&key).and_then(|source| source.commit.clone());
        let mut facts = BTreeMap::new();
        for revision in revisions {
            let Ok(id) = CommitId::parse(&revision) else { continue };
            let declares = self.value(&id, &key);
            let by_value = match &declares {
                Some(version) if *version == self.image.version => Contains::Yes,
                Some(_) => Contains::No,
                None => Contains::Unknown,
            };
            let contains = commit.as_ref().map_or(Contains::Unknown, |commit| self.contains(&id, commit));
            let contains = if contains == Contains::Unknown { by_value } else { contains };
            facts.insert(revision, RevisionFact { contains, declares });
        }
        facts
    }

    fn contains(&mut self, revision: &CommitId, commit: &CommitId) -> Contains {
        let key = (self.view.name.clone(), self.branch.name.clone());
        let history = self.past.histories.entry(key).or_default();
        match history.contains(&self.view.mirror, revision, commit) {
            Ok(Ancestry::Contains) => Contains::Yes,
            Ok(Ancestry::DoesNot) => Contains::No,
            Ok(Ancestry::Unknown(_)) => Contains::Unknown,
            Err(error) => unreadable(&self.view.mirror, &error),
        }
    }

    fn value(&mut self, revision: &CommitId, pin: &PinKey) -> Option<Version> {
        let known = (revision.clone(), pin.clone());
        if let Some(value) = self.past.values.get(&known) {
            return value.clone();
        }
        let key = (self.view.name.clone(), self.branch.name.clone());
        let history = self.past.histories.entry(key).or_default();
        let value = match history.value_at(&self.view.mirror, revision, pin) {
            Ok(ValueAt::Declared(name, version)) if name == pin.name => Some(version),
            // It may be fetched later.
            Ok(ValueAt::UnknownRevision) => return None,
            Ok(_) => None,
            Err(error) => {
                unreadable(&self.view.mirror, &error);
                return None;
            }
        };
        if self.past.values.len() >= MAX_VALUES {
            let mut odd = false;
            self.past.values.retain(|_, _| {
                odd = !odd;
                odd
            });
        }
        self.past.values.insert(known, value.clone());
        value
    }

    fn orphan(&self, near: impl Iterator<Item = String>) -> Row {
        let pin = self.image.pins.first();
        let path = pin.map_or(self.image.overlay.as_str(), |pin| pin.path.as_str());
        let cause = Cause {
            code: CauseCode::Orphan,
            message: format!("nothing in any cluster watches {path} on branch {}", self.branch.name),
            evidence: near.take(5).collect(),
            next: "let an Argo CD Application or a Flux Kustomization watch it, or take it out of the policy"
                .to_owned(),
        };
        let grace = self.source().and_then(|source| source.since?.checked_add(ORPHAN_GRACE).ok());
        match grace.is_some_and(|until| self.now < until) {
            true => self.row(None, Landing { state: State::Pending, rung: Some(Rung::Fetched), cause: Some(cause) }),
            false => self.row(None, Landing { state: State::Orphan, rung: None, cause: Some(cause) }),
        }
    }

    fn cannot_tell(&self, cluster: &str, why: Vec<String>) -> Row {
        let cause = Cause {
            code: CauseCode::Unknown,
            message: format!("who watches this overlay in cluster {cluster} cannot be told"),
            evidence: why.into_iter().take(5).collect(),
            next: "permit or mend what is named above".to_owned(),
        };
        self.row(Some(cluster), Landing { state: State::Unknown, rung: Some(Rung::Fetched), cause: Some(cause) })
    }

    /// No cluster is configured for it: nothing beyond Git can be told, which is no incident.
    fn unwatched(&self, none_at_all: bool) -> Row {
        let environment = self.image.environment.as_deref().unwrap_or("-");
        let message = match none_at_all {
            true => "no cluster is configured, so that nothing is known beyond Git".to_owned(),
            false => format!("no cluster is configured for environment {environment}"),
        };
        let cause = Cause {
            code: CauseCode::Unproven,
            message,
            evidence: Vec::new(),
            next: "add it to `clusters` in the configuration".to_owned(),
        };
        let landing = Landing { state: State::Unknown, rung: Some(Rung::Fetched), cause: Some(cause) };
        Row { within: None, ..self.row(None, landing) }
    }
}

/// The worst first.
fn badness(state: State) -> u8 {
    match state {
        State::Stuck => 0,
        State::RolledBack => 1,
        State::Drifted | State::Shadowed => 2,
        State::Unknown | State::Orphan => 3,
        State::Paused => 4,
        State::Pending => 5,
        State::Rejected | State::Superseded => 6,
        State::Landed => 7,
    }
}

fn unreadable(mirror: &Mirror, error: &GitError) -> Contains {
    tracing::debug!(remote = mirror.remote(), %error, "a revision cannot be read");
    Contains::Unknown
}
