//! One look: every declared image against every cluster it may run in.
//!
//! Design: who watches a file and how an image stands are decided by `landing`; here its questions are put together from
//! Git's facts. What Git says about a revision never changes, so it is asked once ([`Past`]).

use std::collections::{BTreeMap, HashMap, HashSet};

use jiff::{SignedDuration, Timestamp};

use crate::cluster::{Kind, KindState, Snapshot};
use crate::git::{Ancestry, GitError, History, Mirror, Origin, PinKey, ValueAt};
use crate::landing::watch::{self, Coverage, Place, Sight, Via, Watch, Watcher};
use crate::landing::{Contains, Git, Question, RevisionFact, Scope, World, judge};
use crate::model::observation::{Object, ObjectKey};
use crate::model::{
    BranchName, Cause, CauseCode, CommitId, ImageReference, Landing, Pin, PinKind, Rung, State, Version,
};
use crate::plan::Declared;

use super::view::{BranchView, View};
use super::{Row, declared_row};

/// How long nothing may watch a path before that is said: apps of apps and generators add controllers later.
const ORPHAN_GRACE: SignedDuration = SignedDuration::from_mins(10);

/// Most values of files that are remembered, half of them dropped when it is full.
const MAX_VALUES: usize = 200_000;

/// A cluster as it takes part in a look.
pub(super) struct Seen<'a> {
    pub(super) name: &'a str,
    /// The environments that run there; empty: any.
    pub(super) environments: &'a [String],
    pub(super) snapshot: &'a Snapshot,
    pub(super) world: World<'a>,
    pub(super) index: watch::Index<'a>,
}

impl<'a> Seen<'a> {
    pub(super) fn new(name: &'a str, environments: &'a [String], snapshot: &'a Snapshot, now: Timestamp) -> Self {
        let objects = || snapshot.objects().map(AsRef::as_ref);
        let index = watch::Index::build(objects(), &coverage(snapshot));
        Self { name, environments, snapshot, world: World::new(objects(), now), index }
    }

    fn runs(&self, environment: Option<&String>) -> bool {
        self.environments.is_empty() || environment.is_some_and(|name| self.environments.contains(name))
    }
}

/// How much of each kind is seen, in the words of who ties Git to clusters.
fn coverage(snapshot: &Snapshot) -> Coverage {
    let sight = |state: &KindState| match state {
        KindState::Synced { .. } => Sight::Complete,
        KindState::NotInstalled => Sight::NotInstalled,
        state => Sight::Partial(blindness(state)),
    };
    Coverage::new(snapshot.kinds.iter().map(|(kind, status)| (kind.name(), sight(&status.state))))
}

/// Why a kind is not seen, and what to do.
fn blindness(state: &KindState) -> String {
    match state {
        KindState::Starting => "it has not been listed yet".to_owned(),
        KindState::Forbidden { verb, resource, rule, .. } => {
            format!("the bot may not {verb} {resource}; add to its role: {}", rule.trim().replace('\n', " "))
        }
        KindState::Disconnected { since, message } => format!("not heard of since {since:.0}: {message}"),
        KindState::Synced { .. } | KindState::NotInstalled => String::new(),
    }
}

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
    /// These, for the sake of this pin.
    By(&'l Pin, Vec<Watcher>),
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
            if let Watched::By(pin, watchers) = watched {
                rows.push(self.judged(cluster, pin, watchers));
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

    fn source(&self) -> Option<&'l Source> {
        self.image.pins.iter().find_map(|pin| self.sources.get(&PinKey::from(pin.as_ref())))
    }

    fn watched(&self, cluster: &Seen<'_>) -> Watched<'l> {
        let image: &'l Declared = self.image;
        let (mut overridden, mut near, mut why) = (false, Vec::new(), Vec::new());
        for pin in &image.pins {
            let place = Place {
                source_ignore: &self.branch.source_ignore,
                ..Place::of(&self.view.repository, &self.branch.name, &self.branch.reach, pin)
            };
            match watch::watchers(&place, &cluster.index) {
                Watch::By { watchers, .. } => {
                    let counts = |watcher: &Watcher| match &watcher.via {
                        Via::Kustomization(folder, Some(_)) => {
                            !self.overrides.contains(&(folder.as_str(), &pin.name)) || pin.path.parent() == folder
                        }
                        _ => true,
                    };
                    let watchers: Vec<Watcher> = watchers.into_iter().filter(counts).collect();
                    if !watchers.is_empty() {
                        return Watched::By(pin, watchers);
                    }
                    overridden = true;
                }
                Watch::Nobody { near: misses } => near.extend(misses.iter().map(ToString::to_string)),
                Watch::CannotTell { why: blind, .. } => why.extend(blind.iter().map(ToString::to_string)),
            }
        }
        match (overridden, why.is_empty()) {
            (true, _) => Watched::Overridden,
            (false, false) => Watched::CannotTell(why),
            (false, true) => Watched::Nobody(near),
        }
    }

    fn row(&self, cluster: Option<&str>, landing: Landing) -> Row {
        let mut tracked = declared_row(&self.view.name, self.image, cluster, landing);
        if let Some(source) = self.source() {
            tracked.declared.commit.clone_from(&source.commit);
            tracked.declared.since = source.since;
            tracked.declared.by.clone_from(&source.by);
        }
        Row { tracked, within: self.image.land_within }
    }

    fn judged(&mut self, cluster: &Seen<'_>, pin: &Pin, watchers: &[Watcher]) -> Row {
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
            scope: Scope { controllers: Some(controllers), workloads: None },
            orphan_after: None,
            deadline: None,
        };
        let judgement = judge(&cluster.world, &question);
        let landing = distrust(cluster, judgement.landing);
        let mut row = self.row(Some(cluster.name), landing);
        row.tracked.live = judgement.live;
        row
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
        self.row(None, landing)
    }
}

fn unreadable(mirror: &Mirror, error: &GitError) -> Contains {
    tracing::debug!(remote = mirror.remote(), %error, "a revision cannot be read");
    Contains::Unknown
}

/// What is said about a cluster that is not heard, or seen in part only, is never "fine".
fn distrust(cluster: &Seen<'_>, landing: Landing) -> Landing {
    if !matches!(landing.state, State::Landed | State::Pending | State::Superseded) {
        return landing;
    }
    let needed = |kind: Kind| {
        !matches!(kind, Kind::ApplicationSet | Kind::AppProject | Kind::HelmRepository | Kind::Rollout | Kind::CronJob)
    };
    let gap = cluster.snapshot.gaps().find(|(kind, _)| needed(*kind));
    let Some((kind, status)) = gap else { return landing };
    let (code, next) = match &status.state {
        KindState::Forbidden { rule, .. } => (CauseCode::Forbidden, format!("add to the bot's role:\n{rule}")),
        KindState::Disconnected { .. } => {
            (CauseCode::Stale, "see that the cluster's API server answers the bot".to_owned())
        }
        _ => (CauseCode::Unknown, "wait until everything has been listed".to_owned()),
    };
    let said = blindness(&status.state);
    let why = if said.is_empty() { "some objects cannot be read".to_owned() } else { said };
    let cause = Cause {
        code,
        message: format!("cluster {}: {kind} is not fully seen: {why}", cluster.name),
        evidence: vec![format!("what was last known: {}", landing.state)],
        next,
    };
    Landing { state: State::Unknown, rung: landing.rung.or(Some(Rung::Running)), cause: Some(cause) }
}
