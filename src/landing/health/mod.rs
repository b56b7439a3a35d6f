//! The health of one object, judged together with what it owns.

pub(super) mod argo;
pub(super) mod canary;
mod crossplane;
pub(super) mod deployment;
pub(super) mod flux;
mod jobs;
mod pauser;
mod pod;
pub(super) mod replicas;
pub(super) mod rollout;

use jiff::{SignedDuration, Timestamp};

use super::{World, cause};
use crate::model::observation::{Body, ConditionStatus, Object, Other, StatusPresence, condition};
use crate::model::{Cause, CauseCode, Verdict};

/// The health of one object, with what it owns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Assessment {
    /// The verdict.
    pub verdict: Verdict,
    /// The reason, if there is anything to say.
    pub cause: Option<Cause>,
}

impl Assessment {
    pub(super) fn new(verdict: Verdict) -> Self {
        Self { verdict, cause: None }
    }

    fn because(verdict: Verdict, cause: Cause) -> Self {
        Self { verdict, cause: Some(cause) }
    }
}

/// Judges one object together with what it owns.
#[must_use]
pub fn assess(world: &World<'_>, object: &Object) -> Assessment {
    world.assessed(object, || assess_anew(world, object))
}

fn assess_anew(world: &World<'_>, object: &Object) -> Assessment {
    if let Some(since) = object.deleting {
        return terminating(world, object, since);
    }
    let found = match &object.body {
        Body::Application(app) => argo::application(world, object, app),
        Body::AppProject(_) => Assessment::new(Verdict::Current),
        Body::ApplicationSet(set) => argo::application_set(object, set),
        Body::Source(source) => flux::source(object, source),
        Body::Kustomization(it) => flux::kustomization(world, object, it),
        Body::HelmRelease(release) => flux::helm_release(world, object, release),
        Body::HelmChart(chart) => flux::helm_chart(object, chart),
        Body::Deployment(deployment) => deployment::assess(world, object, deployment),
        Body::StatefulSet(set) => replicas::stateful_set(world, object, set),
        Body::DaemonSet(set) => replicas::daemon_set(world, object, set),
        Body::ReplicaSet(set) => deployment::replica_set(world, object, set),
        Body::Pod(it) => pod::assess(world, object, it),
        Body::Job(job) => jobs::job(world, object, job),
        Body::CronJob(job) => jobs::cron_job(world, object, job),
        Body::Rollout(it) => rollout::assess(world, object, it),
        Body::Canary(it) => canary::assess(object, it),
        Body::Event(_) => Assessment::new(Verdict::Current),
        Body::Other(other) => match &other.pods {
            Some(pods) => deployment::pod_owner(world, object, other, pods),
            None => match &other.package {
                Some(package) => crossplane::package(world, object, other, package),
                None => anything(object, other),
            },
        },
    };
    distrust(object, found)
}

/// How long deleting an object without finalizers may take before it is reported: what it owns goes first.
const CASCADE: SignedDuration = SignedDuration::from_mins(5);

/// An object that is being deleted: if it takes long, since when, and what blocks it.
fn terminating(world: &World<'_>, object: &Object, since: Timestamp) -> Assessment {
    let (node, allowed) = match &object.body {
        Body::Pod(pod) => (pod.node.as_deref(), SignedDuration::from_secs(30)),
        _ => (None, CASCADE),
    };
    if object.finalizers.is_empty() && world.since(since) < allowed {
        return Assessment::new(Verdict::Terminating);
    }
    let (why, next) = pod::held(object, node);
    let long = if since == Timestamp::UNIX_EPOCH {
        String::new()
    } else {
        format!(" for {}", pod::in_words(world.since(since)))
    };
    let message = format!("{} has been terminating{long}: {why}", object.label());
    let evidence = object.finalizers.iter().map(|name| format!("metadata.finalizers: {name}")).collect();
    let made = cause::make(CauseCode::NotReady, message, evidence, next);
    Assessment::because(Verdict::Terminating, cause::of_platform(made))
}

/// An object that cannot be read completely is never called current.
fn distrust(object: &Object, found: Assessment) -> Assessment {
    if object.malformed.is_empty() || !matches!(found.verdict, Verdict::Current) {
        return found;
    }
    let message = format!("{} has fields that cannot be read: {}", object.label(), object.malformed.join(", "));
    let next =
        format!("look at it with `{}`; an object that is only partly readable proves nothing", cause::get(object));
    Assessment::because(Verdict::Unknown, cause::make(CauseCode::Unknown, message, Vec::new(), next))
}

/// Judges conditions by the API conventions: Stalled, Reconciling, Ready. An object without any is current.
fn anything(object: &Object, other: &Other) -> Assessment {
    if let Some(stale) = unobserved(object, other.observed_generation) {
        return stale;
    }
    if let Some(found) = by_phase(object, other) {
        return found;
    }
    let of = |kind| condition(&other.conditions, kind);
    if let Some(stalled) = of("Stalled").filter(|c| c.status == ConditionStatus::True) {
        return Assessment::because(Verdict::Failed, cause::of_condition(object, CauseCode::NotReady, stalled));
    }
    if of("Reconciling").is_some_and(|c| c.status == ConditionStatus::True) {
        return Assessment::new(Verdict::Progressing);
    }
    match of("Ready").or_else(|| of("Available")).map(|c| (c.status, c)) {
        Some((ConditionStatus::False, c)) => {
            Assessment::because(Verdict::Progressing, cause::of_condition(object, CauseCode::NotReady, c))
        }
        Some((ConditionStatus::Unknown, _)) => Assessment::new(Verdict::Unknown),
        Some((ConditionStatus::True, _)) | None => Assessment::new(Verdict::Current),
    }
}

/// Kinds whose phase says more than their conditions.
fn by_phase(object: &Object, other: &Other) -> Option<Assessment> {
    let phase = other.phase.as_deref()?;
    let verdict = match (object.kind.as_str(), phase) {
        ("PersistentVolumeClaim", "Bound") | ("AnalysisRun" | "Experiment", "Successful") => Verdict::Current,
        ("PersistentVolumeClaim", "Pending") | ("AnalysisRun" | "Experiment", "Pending" | "Running") => {
            Verdict::Progressing
        }
        ("PersistentVolumeClaim", "Lost") | ("AnalysisRun" | "Experiment", "Failed" | "Error") => Verdict::Failed,
        ("AnalysisRun" | "Experiment", "Inconclusive") => Verdict::Paused,
        _ => return None,
    };
    if verdict == Verdict::Current {
        return Some(Assessment::new(verdict));
    }
    let said = other.message.as_deref().unwrap_or(phase);
    let message = format!("{} is {phase}: {said}", object.label());
    let next = cause::next(CauseCode::NotReady, object, None);
    Some(Assessment::because(verdict, cause::make(CauseCode::NotReady, message, Vec::new(), next)))
}

/// `progressing` if the controller has not observed the latest change, `unknown` without any status.
fn unobserved(object: &Object, observed: Option<i64>) -> Option<Assessment> {
    if observed.is_none() && object.status == StatusPresence::Absent && !matches!(object.body, Body::Other(_)) {
        let message = format!("{} has no status yet: its controller has not observed it", object.label());
        let next =
            format!("wait for its controller; if this persists, check whether it is running: `{}`", cause::get(object));
        let evidence = object.generation.map(|generation| format!("generation {generation}"));
        let made = cause::make(CauseCode::Stale, message, evidence.into_iter().collect(), next);
        return Some(Assessment::because(Verdict::Progressing, made));
    }
    let (generation, observed) = match (object.generation, observed) {
        (None, _) => return None,
        // Kinds whose controllers do not follow that convention report nothing, and need not.
        (Some(_), None) if matches!(object.body, Body::Other(_)) => return None,
        (Some(generation), observed) => (generation, observed),
    };
    let Some(observed) = observed else {
        let message = format!("{} has no observedGeneration: its controller has not observed it", object.label());
        let next = format!("check whether its controller is running: `{}`", cause::get(object));
        return Some(Assessment::because(
            Verdict::Unknown,
            cause::make(CauseCode::Stale, message, vec![format!("generation {generation}")], next),
        ));
    };
    if observed == generation {
        return None;
    }
    let message = format!("{} was changed and its controller has not observed the change yet", object.label());
    let evidence = vec![format!("generation {generation}, observedGeneration {observed}")];
    let next = "wait for the controller; if this persists, look at its log".to_owned();
    let stale = cause::make(CauseCode::Stale, message, evidence, next);
    // A status with a future generation belongs to another object of the same name.
    let verdict = if observed > generation { Verdict::Unknown } else { Verdict::Progressing };
    Some(Assessment::because(verdict, stale))
}
