//! What is said of a commit in one place, an environment and a cluster, wherever it is posted.

use http::StatusCode;

use crate::http::status::CommitState;
use crate::model::{Notice, NoticeKind, Resolution};
use crate::notify::client::{Failure, FailureKind};
use crate::notify::memory::SinkMemory;

use super::Delivery;

/// The id of a commit that does not exist.
pub(super) const NO_COMMIT: &str = "0000000000000000000000000000000000000000";

/// The content of a commit's status.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct CommitTold {
    pub(super) state: CommitState,
    pub(super) description: String,
}

/// Turns a permanent refusal of this part into a note that it was left out; any other failure remains one. A token that
/// is refused altogether (401) is a failure.
pub(super) fn tolerate(result: Result<(), Failure>) -> Result<Option<String>, Failure> {
    match result {
        Ok(()) => Ok(None),
        Err(failure) if failure.kind == FailureKind::Rejected => Ok(Some(failure.message)),
        Err(failure) if failure.kind == FailureKind::Refused && failure.status != Some(StatusCode::UNAUTHORIZED) => {
            Ok(Some(failure.message))
        }
        Err(failure) => Err(failure),
    }
}

/// What to report about the commit in the notice's place, including everything else that is known to be wrong with it
/// there.
pub(super) fn said(delivery: &Delivery<'_>, memory: &SinkMemory) -> Option<CommitTold> {
    let notice = delivery.notice;
    let here = |other: &Notice| other.incident.commit == notice.incident.commit && place(other) == place(notice);
    let others: Vec<&Notice> = memory
        .notified
        .iter()
        .filter(|(id, told)| **id != delivery.id && here(&told.notice))
        .map(|(_, told)| &told.notice)
        .collect();
    let wrong = |description: String| CommitTold { state: CommitState::Failed, description };
    if delivery.alarms() {
        return Some(wrong(match others.len() {
            0 => about(notice),
            n => format!("{} of this commit: {}", n + 1, about(notice)),
        }));
    }
    if let Some(first) = others.first() {
        let first = about(first);
        return Some(wrong(match others.len() {
            1 => first,
            n => format!("{n} of this commit: {first}"),
        }));
    }
    let app = &notice.incident.key.app;
    let (state, words) = match (&notice.kind, &notice.resolution) {
        (NoticeKind::Landed, _) | (_, Some(Resolution::Landed)) => (CommitState::Succeeded, "landed".to_owned()),
        (_, Some(Resolution::Released)) => (CommitState::Pending, "moves again".to_owned()),
        (_, Some(Resolution::Superseded { by: Some(by) })) => (CommitState::Ended, format!("superseded by {by}")),
        // The commit is new in Git: its own notices will say more.
        (_, Some(Resolution::Committed { .. }) | None) => return None,
        (_, Some(other)) => (CommitState::Ended, other.as_str().to_owned()),
    };
    Some(CommitTold { state, description: format!("{app} {}: {words}", notice.incident.key.version) })
}

/// `web 1.4.0: image-not-found: the registry has no tag 1.4.0`.
fn about(notice: &Notice) -> String {
    let incident = &notice.incident;
    let code = incident.code.map_or_else(|| incident.state.to_string(), |code| code.to_string());
    let cause = if notice.cause.is_empty() { String::new() } else { format!(": {}", notice.cause) };
    format!("{} {}: {code}{cause}", incident.key.app, incident.key.version)
}

/// `prod/eu-1`.
pub(super) fn place(notice: &Notice) -> String {
    let key = &notice.incident.key;
    let environment = key.environment.as_deref().unwrap_or(&notice.incident.overlay);
    key.cluster.as_ref().map_or_else(|| environment.to_owned(), |cluster| format!("{environment}/{cluster}"))
}

pub(super) fn page(notice: &Notice) -> Option<&str> {
    let links = &notice.links;
    links.controller.as_deref().or(links.runbook.as_deref()).or(links.pull_request.as_deref())
}
