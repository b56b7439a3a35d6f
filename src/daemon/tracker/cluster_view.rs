//! What is known about a cluster from pass to pass, and how far it can be trusted.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};

use crate::cluster::{Difference, KindState, KindStatus, Snapshot, WatchedKind};
use crate::landing::watchers::{Coverage, KindCoverage, WATCHING, WatcherIndex, spec_unchanged};
use crate::landing::{DirtyKeys, ObjectChange, QueryIndex, World};
use crate::model::observation::{Object, ObjectKey};
use crate::model::{Cause, Landing, Rung, State};

use super::super::unbroken::unbroken;

/// How long the query index of a cluster is only updated before it is rebuilt.
const REBUILD: SignedDuration = SignedDuration::from_mins(10);

/// What is known about a cluster from pass to pass.
#[derive(Debug, Default)]
pub(super) struct ClusterView {
    /// Kept in sync with the snapshot.
    index: QueryIndex,
    /// As of the last pass.
    snapshot: Option<Snapshot>,
    /// Events about its objects, as of the last pass.
    events: Vec<Arc<Object>>,
    /// When the index was last built from scratch.
    built: Option<Timestamp>,
    /// Objects at which taking them in breaks off, and in which words, until they change or the index is built from nothing.
    breaking: Vec<(Arc<Object>, String)>,
    broken: Option<Broken>,
}

/// A cluster as a whole could not be indexed, and no single object is the reason.
#[derive(Debug)]
struct Broken {
    /// The number of failures in a row.
    tried: u32,
    /// Not retried before this time.
    until: Timestamp,
}

/// The message about an object or cluster that causes a panic.
const FAULT: &str = "it cannot be judged because of a bug in the bot";

/// The first pause after a cluster as a whole could not be indexed; it doubles up to [`REBUILD`].
const PAUSE: SignedDuration = SignedDuration::from_secs(5);

/// What has changed in a cluster since the last pass.
#[derive(Debug, Default)]
pub(super) struct ClusterDelta {
    /// The keys whose answers changed.
    pub(super) dirty: DirtyKeys,
    /// Whether something else may watch a file now.
    pub(super) watchers: bool,
    /// Whether more or less of it is visible, so that everything about it may differ.
    pub(super) coverage: bool,
}

impl ClusterView {
    /// Takes the current state of a cluster. From time to time its index is rebuilt from scratch: for at most one
    /// cluster per pass, as permitted by `rebuild`. If an object causes a panic, the index is built without it, or
    /// otherwise without any object, and the cluster is recorded as incompletely known.
    pub(super) fn take(
        &mut self,
        mut snapshot: Snapshot,
        events: &[Object],
        rebuild: &mut bool,
        now: Timestamp,
    ) -> ClusterDelta {
        if let Some(stale) = self.snapshot.clone().filter(|_| self.broken.as_ref().is_some_and(|it| now < it.until)) {
            return self.take_in(stale, Vec::new(), &mut false, now);
        }
        if *rebuild && self.is_old(now) {
            self.breaking.clear();
        }
        self.leave_out_breaking(&mut snapshot);
        let before = self.snapshot.clone();
        let why = match unbroken(|| self.take_in(snapshot.clone(), events.to_vec(), rebuild, now)) {
            Ok(delta) => {
                let was_broken = self.broken.take().is_some();
                return ClusterDelta { coverage: delta.coverage || was_broken, ..delta };
            }
            Err(why) => why,
        };
        // What is half done is thrown away.
        let tried = self.broken.as_ref().map_or(0, |broken| broken.tried);
        *self = Self { breaking: std::mem::take(&mut self.breaking), ..Self::default() };
        self.breaking.extend(breaking(&snapshot));
        self.leave_out_breaking(&mut snapshot);
        let again = unbroken(|| self.take_in(snapshot.clone(), Vec::new(), rebuild, now));
        let delta = again.unwrap_or_else(|_| {
            tracing::error!("cluster {}: {FAULT}: {why}", snapshot.cluster);
            let pause = PAUSE.saturating_mul(1 << tried.min(10)).min(REBUILD);
            let broken = Broken { tried: tried + 1, until: now.saturating_add(pause).unwrap_or(now) };
            let empty = snapshot.emptied();
            let stale = before.unwrap_or_else(|| empty.clone()).lost(now, &format!("{FAULT}: {why}"));
            *self = Self { broken: Some(broken), ..Self::default() };
            let kept = unbroken(|| self.take_in(stale.clone(), Vec::new(), &mut false, now));
            kept.unwrap_or_else(|_| {
                *self = Self { broken: self.broken.take(), ..Self::default() };
                self.take_in(stale.emptied(), Vec::new(), &mut false, now)
            })
        });
        ClusterDelta { coverage: true, watchers: true, ..delta }
    }

    /// Whether the index is to be built from nothing.
    fn is_old(&self, now: Timestamp) -> bool {
        self.built.is_some_and(|built| now < built || now.duration_since(built) >= REBUILD)
    }

    /// Leaves out what breaks, as long as it is as it was.
    fn leave_out_breaking(&mut self, snapshot: &mut Snapshot) {
        self.breaking.retain(|(object, why)| {
            let same = snapshot.objects().any(|now| now == object);
            if same {
                snapshot.leave_out(object, &format!("{FAULT}: {why}"));
            }
            same
        });
    }

    fn take_in(&mut self, snapshot: Snapshot, events: Vec<Object>, rebuild: &mut bool, now: Timestamp) -> ClusterDelta {
        let old = self.is_old(now);
        let Some(before) = self.snapshot.take().filter(|_| !(old && std::mem::take(rebuild))) else {
            self.events = events.into_iter().map(Arc::new).collect();
            self.index = QueryIndex::of(snapshot.objects().chain(&self.events).cloned());
            let coverage = self.built.is_none();
            (self.snapshot, self.built) = (Some(snapshot), Some(now));
            return ClusterDelta { dirty: DirtyKeys::default(), watchers: true, coverage };
        };
        let differences = snapshot.differences(&before);
        let same = |it: &Difference<'_>| spec_unchanged(it.before.map(AsRef::as_ref), it.after.map(AsRef::as_ref));
        let coverage = !snapshot.sees_the_same(&before);
        let watchers = coverage || !differences.iter().all(same);
        let mut changes: Vec<ObjectChange> = Vec::new();
        for Difference { before, after } in &differences {
            let gone = before.map(|object| object.key()).filter(|key| after.is_none_or(|it| it.key() != *key));
            changes.extend(gone.map(ObjectChange::Gone));
            changes.extend(after.map(|object| ObjectChange::Is(Arc::clone(object))));
        }
        self.events.retain(|event| {
            let stays = events.contains(event);
            changes.extend((!stays).then(|| ObjectChange::Gone(event.key())));
            stays
        });
        for event in events {
            if !self.events.iter().any(|known| **known == event) {
                self.events.push(Arc::new(event));
                changes.extend(self.events.last().cloned().map(ObjectChange::Is));
            }
        }
        let dirty = self.index.update(changes);
        self.snapshot = Some(snapshot);
        ClusterDelta { dirty, watchers, coverage }
    }

    /// Why an essential part of it is not visible: what is missing, why, and what to do.
    pub(super) fn outage(&self) -> Option<Cause> {
        let snapshot = self.snapshot.as_ref()?;
        let (kind, status) = snapshot.outage()?;
        let (code, next) = status.state.remedy();
        let message = format!("cluster {} is out of reach: {kind}: {}", snapshot.cluster, status.state.why());
        Some(Cause { code, message, evidence: Vec::new(), next, blame: code.blame() })
    }

    /// What is wrong with it as a whole.
    pub(super) fn troubles(&self) -> Vec<String> {
        self.snapshot.as_ref().map(Snapshot::troubles).unwrap_or_default()
    }

    /// The cluster as last taken, at one point in time.
    pub(super) fn at<'a>(&'a self, settings: &'a WatchedCluster, now: Timestamp) -> Option<ClusterInPass<'a>> {
        let snapshot = self.snapshot.as_ref()?;
        let WatchedCluster { name, environments } = settings;
        Some(ClusterInPass { name, environments, snapshot, world: World::new(&self.index, now) })
    }
}

/// The settings of a cluster.
#[derive(Debug, Clone)]
pub(super) struct WatchedCluster {
    pub(super) name: String,
    /// The environments that run there; empty: any.
    pub(super) environments: Vec<String>,
}

/// A cluster in one pass.
pub(super) struct ClusterInPass<'a> {
    pub(super) name: &'a str,
    /// The environments that run there; empty: any.
    pub(super) environments: &'a [String],
    pub(super) snapshot: &'a Snapshot,
    pub(super) world: World<'a>,
}

impl<'a> ClusterInPass<'a> {
    /// What watches which files there. If an object causes a panic, this is unknown for that one.
    pub(super) fn watcher_index(&self) -> WatcherIndex<'a> {
        let snapshot: &'a Snapshot = self.snapshot;
        let all = || snapshot.objects().map(AsRef::as_ref);
        let coverage = coverage(snapshot);
        let why = match unbroken(|| WatcherIndex::build(all(), &coverage)) {
            Ok(index) => return index,
            Err(why) => why,
        };
        let breaks = |object: &&Object| unbroken(|| WatcherIndex::build([*object], &coverage)).is_err();
        let (broken, whole): (Vec<&'a Object>, Vec<&'a Object>) = all().partition(breaks);
        let named = broken.iter().map(|object| {
            let why = format!("{}: {FAULT}: {why}", object.key());
            tracing::error!("cluster {}: {why}", self.name);
            (object.kind.as_str(), KindCoverage::Partial(why))
        });
        let less = coverage.with(named);
        unbroken(|| WatcherIndex::build(whole, &less)).unwrap_or_else(|why| {
            let nothing = WATCHING.map(|kind| (kind, KindCoverage::Partial(format!("{FAULT}: {why}"))));
            WatcherIndex::build([], &Coverage::new(nothing))
        })
    }

    /// Whether unknown states there are unknown only because the cluster is out of reach.
    pub(super) fn is_out(&self) -> bool {
        self.snapshot.outage().is_some()
    }

    pub(super) fn runs(&self, environment: Option<&String>) -> bool {
        self.environments.is_empty() || environment.is_some_and(|name| self.environments.contains(name))
    }
}

/// The objects of a snapshot that make its index panic, with the messages.
fn breaking(snapshot: &Snapshot) -> Vec<(Arc<Object>, String)> {
    let breaks = |object: &Arc<Object>| {
        let why = unbroken(|| QueryIndex::of([Arc::clone(object)])).err()?;
        tracing::error!("cluster {}: {}: {FAULT}: {why}", snapshot.cluster, object.key());
        Some((Arc::clone(object), why))
    };
    snapshot.objects().filter_map(breaks).collect()
}

/// How much of each kind is visible, in the terms of `landing`.
fn coverage(snapshot: &Snapshot) -> Coverage {
    let sight = |state: &KindState| match state {
        KindState::Synced { .. } => KindCoverage::Complete,
        KindState::NotInstalled => KindCoverage::NotInstalled,
        state => KindCoverage::Partial(state.why()),
    };
    let of = |(kind, status): (&WatchedKind, &KindStatus)| match (&status.state, status.unreadable.iter().next()) {
        (KindState::Synced { .. }, Some((object, reason))) => {
            (kind.name(), KindCoverage::Partial(format!("{object} cannot be read: {reason}")))
        }
        (state, _) => (kind.name(), sight(state)),
    };
    Coverage::new(snapshot.kinds.iter().map(of))
}

/// A landing in a cluster that is out of reach, or only partly visible, is never reported as fine. `workloads` are
/// those that use the image; if there are none, the workload may be of a kind that is not visible.
pub(super) fn distrust(cluster: &ClusterInPass<'_>, mut landing: Landing, workloads: &[ObjectKey]) -> Landing {
    let unexplained = landing.state == State::Unknown && workloads.is_empty();
    let distrusted = matches!(landing.state, State::Landed | State::Pending | State::Superseded);
    let gap = cluster.snapshot.gaps().find_map(|(kind, status)| {
        // If no workload was found, an unreadable object may be it, and so may any other.
        let counts = unexplained || (distrusted && !(workloads.is_empty() && status.state.is_complete()));
        let why = unseen(kind, status, workloads).filter(|_| counts)?;
        Some((kind, &status.state, why))
    });
    let Some((kind, state, why)) = gap else { return landing };
    let (code, next) = state.remedy();
    if unexplained {
        if let Some(cause) = &mut landing.cause {
            cause.evidence.push(format!("{kind} is only partly visible, and the workload may be one: {why}"));
            if matches!(state, KindState::Forbidden { .. }) {
                cause.next = next;
            }
        }
        return landing;
    }
    let cause = Cause {
        code,
        blame: code.blame(),
        message: format!("cluster {}: {kind} is only partly visible: {why}", cluster.name),
        evidence: vec![format!("what was last known: {}", landing.state)],
        next,
    };
    Landing { state: State::Unknown, rung: landing.rung.or(Some(Rung::Running)), cause: Some(cause) }
}

/// Why a kind is not completely visible, if the result for these workloads depends on it.
fn unseen(kind: WatchedKind, status: &KindStatus, workloads: &[ObjectKey]) -> Option<String> {
    let concerned = workloads.is_empty() || workloads.iter().any(|key| key.kind == kind.name());
    let needed = match kind {
        WatchedKind::Rollout | WatchedKind::Canary | WatchedKind::Revision | WatchedKind::CronJob => concerned,
        kind => kind.is_essential(),
    };
    if !needed || !status.state.is_complete() {
        return needed.then(|| status.state.why());
    }
    // An unreadable object says nothing about workloads in another namespace.
    let may_concern = |object: &str| match object.split_once('/') {
        Some((namespace, _)) => workloads.is_empty() || workloads.iter().any(|key| key.namespace == namespace),
        None => true,
    };
    let (object, reason) = status.unreadable.iter().find(|(object, _)| may_concern(object))?;
    Some(format!("{object} cannot be read: {reason}"))
}
