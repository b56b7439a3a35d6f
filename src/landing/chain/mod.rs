//! How far a change has come through one controller: what stands before the live template, and what explains it when the
//! template is another one although nothing does.

use crate::model::observation::{ImageWriter, Object};
use crate::model::{Cause, CauseCode, Landing, Rung, State, Version};

pub(super) mod argo;
pub(super) mod flux;
pub(super) mod helm;

use super::cause;
use super::question::Contains;

/// A workload that uses the image in another version than asked for.
#[derive(Debug)]
pub(super) struct Live<'a> {
    /// The workload.
    pub(super) object: &'a Object,
    /// The version in its template.
    pub(super) version: Version,
}

/// How far one controller has come.
#[derive(Debug)]
pub(super) struct ControllerProgress {
    /// Whether what it applied contains the change.
    pub(super) contains: Contains,
    /// Why the change is not applied yet; `None` where it is, or where nothing says that it is not.
    pub(super) before: Option<Landing>,
    /// What a template with another image means once the change is applied; without any template, how far the controller
    /// itself proves it.
    pub(super) after: Landing,
    /// Set where the controller's status is too old to be believed.
    pub(super) stale: Option<Cause>,
    /// Set where the controller has not come to a good end with the change, although the image is up.
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

/// `fetched` where the change is known not to be there, else `applied`.
pub(super) fn rung_for(contains: Contains) -> Rung {
    if contains == Contains::No { Rung::Fetched } else { Rung::Applied }
}

/// The person or tool that wrote the image last, where it was not a controller.
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

/// Changed by hand: who, with what, when.
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

/// A later commit declares another version, or the cluster went back.
pub(super) fn passed(controller: &Object, live: Option<&Live<'_>>, what: LeftBehind, evidence: Vec<String>) -> Landing {
    let runs = live.map_or_else(String::new, |live| format!("; {} runs {}", live.object.label(), live.version));
    let (state, code, text, next) = match what {
        LeftBehind::Superseded => (
            State::Superseded,
            CauseCode::Superseded,
            format!("{} applied a later revision that declares another version{runs}", controller.label()),
            "nothing to do here: follow the later version".to_owned(),
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

/// Which way a change was left behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LeftBehind {
    /// By a later commit.
    Superseded,
    /// By going back.
    RolledBack,
}

/// For what nothing in the dump proves or disproves.
pub(super) fn unproven(rung: Rung, controller: &Object, message: &str, next: &str) -> Landing {
    let text = format!("{}: {message}", controller.label());
    landing(State::Unknown, Some(rung), cause::make(CauseCode::Unproven, text, Vec::new(), next))
}

/// The controller has not read the commit yet.
pub(super) fn not_fetched(controller: &Object, seen: &str, next: String) -> Cause {
    let message = format!("{} has not read the commit yet: it is at {seen}", controller.label());
    cause::make(CauseCode::NotFetched, message, Vec::new(), next)
}

/// A source that is pinned to a tag or a commit never comes to a later one.
pub(super) fn pinned(controller: &Object, field: &str, to: &str) -> Landing {
    let message = format!("{} is pinned to {to} by {field} and never reads the commit", controller.label());
    let next = format!("change {field} to a branch, or to a revision that contains the change");
    stuck(Rung::Fetched, cause::make(CauseCode::NotFetched, message, vec![format!("{field}: {to}")], next))
}

/// Whether one of the controllers of a workload has applied the change.
pub(super) fn contained(progress: &[ControllerProgress]) -> Contains {
    progress.iter().fold(Contains::Unknown, |all, it| all.or(it.contains))
}
