//! A cluster as it takes part in a look, and how far what it says can be trusted.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;

use crate::cluster::{Difference, KindState, Snapshot, WatchedKind};
use crate::landing::watchers::{Coverage, KindCoverage, WatcherIndex, spec_unchanged};
use crate::landing::{DirtyKeys, ObjectChange, QueryIndex, World};
use crate::model::observation::{Object, ObjectKey};
use crate::model::{Cause, CauseCode, Landing, Rung, State};

/// What is known of a cluster from look to look.
#[derive(Debug, Default)]
pub(super) struct ClusterView {
    /// Kept in step with the snapshot.
    index: QueryIndex,
    /// As of the last look.
    snapshot: Option<Snapshot>,
    /// What was said about objects of it, as of the last look.
    events: Vec<Arc<Object>>,
}

/// What is new in a cluster since the last look.
#[derive(Debug)]
pub(super) enum ClusterDelta {
    /// Perhaps everything: who watches what may be otherwise, or how much is seen.
    All,
    /// What is answered from these.
    Of(DirtyKeys),
}

impl ClusterDelta {
    /// What it touches; `None`: perhaps everything.
    pub(super) fn touched(&self) -> Option<&DirtyKeys> {
        match self {
            Self::All => None,
            Self::Of(touched) => Some(touched),
        }
    }
}

impl ClusterView {
    /// Takes in how a cluster is now.
    pub(super) fn take(&mut self, snapshot: Snapshot, events: Vec<Object>) -> ClusterDelta {
        let Some(before) = self.snapshot.replace(snapshot) else {
            self.events = events.into_iter().map(Arc::new).collect();
            let objects = self.snapshot.iter().flat_map(Snapshot::objects);
            self.index = QueryIndex::of(objects.chain(&self.events).cloned());
            return ClusterDelta::All;
        };
        let Some(now) = &self.snapshot else { return ClusterDelta::All };
        let differences = now.differences(&before);
        let alike = |it: &Difference<'_>| spec_unchanged(it.before.map(AsRef::as_ref), it.after.map(AsRef::as_ref));
        let all = !now.sees_the_same(&before) || !differences.iter().all(alike);
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
        let touched = self.index.update(changes);
        if all { ClusterDelta::All } else { ClusterDelta::Of(touched) }
    }

    /// The next look begins from nothing.
    pub(super) fn close(&mut self) {
        self.snapshot = None;
    }

    /// The cluster as it was taken in, at one time.
    pub(super) fn seen<'a>(
        &'a self,
        (name, environments): (&'a str, &'a [String]),
        now: Timestamp,
    ) -> Option<ClusterInPass<'a>> {
        let snapshot = self.snapshot.as_ref()?;
        Some(ClusterInPass { name, environments, snapshot, world: World::new(&self.index, now) })
    }
}

/// A cluster as it takes part in a look.
pub(super) struct ClusterInPass<'a> {
    pub(super) name: &'a str,
    /// The environments that run there; empty: any.
    pub(super) environments: &'a [String],
    pub(super) snapshot: &'a Snapshot,
    pub(super) world: World<'a>,
}

impl<'a> ClusterInPass<'a> {
    /// Who watches what there.
    pub(super) fn index(&self) -> WatcherIndex<'a> {
        WatcherIndex::build(self.snapshot.objects().map(AsRef::as_ref), &coverage(self.snapshot))
    }

    pub(super) fn runs(&self, environment: Option<&String>) -> bool {
        self.environments.is_empty() || environment.is_some_and(|name| self.environments.contains(name))
    }
}

/// How much of each kind is seen, in the words of who ties Git to clusters.
fn coverage(snapshot: &Snapshot) -> Coverage {
    let sight = |state: &KindState| match state {
        KindState::Synced { .. } => KindCoverage::Complete,
        KindState::NotInstalled => KindCoverage::NotInstalled,
        state => KindCoverage::Partial(blindness(state)),
    };
    Coverage::new(snapshot.kinds.iter().map(|(kind, status)| (kind.name(), sight(&status.state))))
}

/// What is wrong with a cluster as a whole, one line per reason.
pub(super) fn troubles(snapshot: &Snapshot) -> Vec<String> {
    let mut reasons: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for (kind, status) in &snapshot.kinds {
        let reason = match &status.state {
            KindState::Disconnected { since, message } => format!("not heard of since {since:.0}: {message}"),
            KindState::Forbidden { rule, .. } => format!("not permitted; add to the bot's role:\n{rule}"),
            KindState::Starting => "not listed yet".to_owned(),
            KindState::Synced { .. } | KindState::NotInstalled => continue,
        };
        reasons.entry(reason).or_default().push(kind.name());
    }
    let line =
        |(reason, kinds): (String, Vec<&str>)| format!("cluster {}: {}: {reason}", snapshot.cluster, kinds.join(", "));
    reasons.into_iter().map(line).collect()
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

/// What is said about a cluster that is not heard, or seen in part only, is never "fine". `workloads` are those that use
/// the image: where there is none, it may be of a kind that is not seen.
pub(super) fn distrust(cluster: &ClusterInPass<'_>, mut landing: Landing, workloads: &[ObjectKey]) -> Landing {
    let concerned = |kind: WatchedKind| workloads.is_empty() || workloads.iter().any(|key| key.kind == kind.name());
    let needed = |kind: WatchedKind| match kind {
        WatchedKind::ApplicationSet | WatchedKind::AppProject | WatchedKind::HelmRepository => false,
        // Few apps are one of these: what is up as something else is not in doubt.
        WatchedKind::Rollout | WatchedKind::CronJob => concerned(kind),
        _ => true,
    };
    let gap = cluster.snapshot.gaps().find(|(kind, _)| needed(*kind));
    let Some((kind, status)) = gap else { return landing };
    if landing.state == State::Unknown && workloads.is_empty() {
        explain(&mut landing, kind, &status.state);
        return landing;
    }
    if !matches!(landing.state, State::Landed | State::Pending | State::Superseded) {
        return landing;
    }
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

/// No workload was found, and one kind of them is not fully seen: it may be there.
fn explain(landing: &mut Landing, kind: WatchedKind, state: &KindState) {
    let Some(cause) = &mut landing.cause else { return };
    let said = blindness(state);
    let why = if said.is_empty() { "some objects cannot be read".to_owned() } else { said };
    cause.evidence.push(format!("{kind} is not fully seen, and the workload may be one: {why}"));
    if let KindState::Forbidden { rule, .. } = state {
        cause.next = format!("add to the bot's role:\n{rule}");
    }
}
