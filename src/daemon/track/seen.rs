//! A cluster as it takes part in a look, and how far what it says can be trusted.

use jiff::Timestamp;

use crate::cluster::{Kind, KindState, Snapshot};
use crate::landing::World;
use crate::landing::watch::{self, Coverage, Sight};
use crate::model::observation::{Object, ObjectKey};
use crate::model::{Cause, CauseCode, Landing, Rung, State};

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
    pub(super) fn new(
        (name, environments): (&'a str, &'a [String]),
        snapshot: &'a Snapshot,
        events: &'a [Object],
        now: Timestamp,
    ) -> Self {
        let objects = || snapshot.objects().map(AsRef::as_ref);
        let index = watch::Index::build(objects(), &coverage(snapshot));
        Self { name, environments, snapshot, world: World::new(objects().chain(events), now), index }
    }

    pub(super) fn runs(&self, environment: Option<&String>) -> bool {
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

/// What is said about a cluster that is not heard, or seen in part only, is never "fine". `workloads` are those that use
/// the image: where there is none, it may be of a kind that is not seen.
pub(super) fn distrust(cluster: &Seen<'_>, mut landing: Landing, workloads: &[ObjectKey]) -> Landing {
    let concerned = |kind: Kind| workloads.is_empty() || workloads.iter().any(|key| key.kind == kind.name());
    let needed = |kind: Kind| match kind {
        Kind::ApplicationSet | Kind::AppProject | Kind::HelmRepository => false,
        // Few apps are one of these: what is up as something else is not in doubt.
        Kind::Rollout | Kind::CronJob => concerned(kind),
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
fn explain(landing: &mut Landing, kind: Kind, state: &KindState) {
    let Some(cause) = &mut landing.cause else { return };
    let said = blindness(state);
    let why = if said.is_empty() { "some objects cannot be read".to_owned() } else { said };
    cause.evidence.push(format!("{kind} is not fully seen, and the workload may be one: {why}"));
    if let KindState::Forbidden { rule, .. } = state {
        cause.next = format!("add to the bot's role:\n{rule}");
    }
}
