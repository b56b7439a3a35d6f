//! How far a change has come through one controller: what keeps it from the live template, and, if nothing does, why
//! the template still has another image.

use crate::model::observation::{ImageWriter, Object};
use crate::model::{Cause, CauseCode, Landing, Rung, State, Version};

pub(super) mod argo;
pub(super) mod flux;
pub(super) mod helm;
mod on_demand;

use super::cause;
use super::question::Contains;

/// A workload that uses another version of the image than the wanted one.
#[derive(Debug)]
pub(super) struct Live<'a> {
    /// The workload.
    pub(super) object: &'a Object,
    /// The version in its template.
    pub(super) version: Version,
}

/// How far the change has come through one controller.
#[derive(Debug)]
pub(super) struct ControllerProgress {
    /// Whether what it applied contains the change.
    pub(super) contains: Contains,
    /// Why the change is not applied yet; `None` if it is, or if nothing says that it is not.
    pub(super) before: Option<Landing>,
    /// What a template with another image means once the change is applied; without any template, how much the
    /// controller itself proves.
    pub(super) after: Landing,
    /// Set if the controller's status is too old to be trusted.
    pub(super) stale: Option<Cause>,
    /// Set if the controller has not finished the change successfully, although the image is up.
    pub(super) unfinished: Option<Landing>,
}

pub(super) fn landing(state: State, rung: Option<Rung>, cause: impl Into<Option<Cause>>) -> Landing {
    Landing { state, rung, cause: cause.into() }
}

pub(super) fn stuck(rung: Rung, cause: Cause) -> Landing {
    landing(State::Stuck, Some(rung), cause)
}

pub(super) fn pending(rung: Rung, cause: impl Into<Option<Cause>>) -> Landing {
    landing(State::Pending, Some(rung), cause)
}

pub(super) fn paused(rung: Rung, cause: Cause) -> Landing {
    landing(State::Paused, Some(rung), cause)
}

/// `fetched` if the change is known to be missing, otherwise `applied`.
pub(super) fn rung_for(contains: Contains) -> Rung {
    if contains == Contains::No { Rung::Fetched } else { Rung::Applied }
}

/// The person or tool that last wrote the image, unless that was a controller.
pub(super) fn written_by_hand(object: &Object) -> Option<&ImageWriter> {
    let newest = object.image_writers.iter().max_by_key(|writer| (writer.time, !is_controller(&writer.manager)))?;
    (!is_controller(&newest.manager)).then_some(newest)
}

fn is_controller(manager: &str) -> bool {
    let manager = manager.to_ascii_lowercase();
    [
        "argocd",
        "kustomize-controller",
        "helm-controller",
        "flux",
        "gotk",
        "rollouts-controller",
        "kube-controller-manager",
    ]
    .iter()
    .any(|name| manager.contains(name))
        || manager == "helm"
}

/// Changed by hand: who did it, with what, and when.
pub(super) fn drifted(object: &Object, version: &Version, writer: Option<&ImageWriter>, why: &str) -> Landing {
    let who = writer.map_or_else(
        || "by hand".to_owned(),
        |writer| {
            let at = writer.time.map_or_else(String::new, |time| format!(" at {time:.0}"));
            format!("by {}{at}", writer.manager)
        },
    );
    let message = format!("{} runs {version}, written {who}: {why}", object.label());
    let evidence = object.image_writers.iter().map(|writer| {
        let at = writer.time.map_or_else(|| "unknown time".to_owned(), |time| format!("{time:.0}"));
        format!("managedFields: image written by {} ({}) at {at}", writer.manager, writer.operation)
    });
    let made =
        cause::make(CauseCode::Drifted, message, evidence.collect(), cause::next(CauseCode::Drifted, object, None));
    landing(State::Drifted, None, made)
}

/// A later commit declares another version, or the cluster went back to an earlier one.
pub(super) fn passed(controller: &Object, live: Option<&Live<'_>>, what: LeftBehind, evidence: Vec<String>) -> Landing {
    let runs = live.map_or_else(String::new, |live| format!("; {} runs {}", live.object.label(), live.version));
    let (state, code, text, next) = match what {
        LeftBehind::Superseded => (
            State::Superseded,
            CauseCode::Superseded,
            format!("{} applied a later revision that declares another version{runs}", controller.label()),
            "nothing to do: see the later version".to_owned(),
        ),
        LeftBehind::RolledBack => (
            State::RolledBack,
            CauseCode::RolledBack,
            format!("{} went back to a revision before the change{runs}", controller.label()),
            cause::next(CauseCode::RolledBack, controller, None),
        ),
    };
    landing(state, None, cause::make(code, text, evidence, next))
}

/// How a change was left behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LeftBehind {
    /// By a later commit.
    Superseded,
    /// By a rollback.
    RolledBack,
}

/// A landing that nothing in the dump proves or disproves.
pub(super) fn unproven(rung: Rung, controller: &Object, message: &str, next: &str) -> Landing {
    let text = format!("{}: {message}", controller.label());
    landing(State::Unknown, Some(rung), cause::make(CauseCode::Unproven, text, Vec::new(), next))
}

/// The controller has not read the commit yet.
pub(super) fn not_fetched(controller: &Object, seen: &str, next: String) -> Cause {
    let message = format!("{} has not read the commit yet: it is at {seen}", controller.label());
    cause::make(CauseCode::NotFetched, message, Vec::new(), next)
}

/// A source that is pinned to a tag or a commit never reaches a later one.
pub(super) fn pinned(controller: &Object, field: &str, to: &str) -> Landing {
    let message = format!("{} is pinned to {to} by {field} and will never read the commit", controller.label());
    let next = format!("change {field} to a branch, or to a revision that contains the change");
    stuck(Rung::Fetched, cause::make(CauseCode::NotFetched, message, vec![format!("{field}: {to}")], next))
}

/// Whether one of the controllers of a workload has applied the change.
pub(super) fn contained(progress: &[ControllerProgress]) -> Contains {
    progress.iter().fold(Contains::Unknown, |all, it| all.or(it.contains))
}
