//! What a cycle decided and did, in the JSON form of the contract (`plan`, `apply`). It is written at the very end and
//! never read back.

use jiff::Timestamp;
use serde::Serialize;

use crate::daemon::{ActionFailure, ActionOutcome, CycleOutcome, CycleProblem, Done, Step};
use crate::model::{
    CauseCode, ChartLink, ChartNotes, CommitId, FailureCode, SignatureEvidence, SignatureProof, SignedThing, Version,
};
use crate::plan::{ActionKind, Hold, Update, why_other_name};

/// The part of the report for one repository.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(in crate::cli) struct RepositoryReport {
    /// The repository's name in the configuration.
    name: String,
    /// The tip of its main branch at planning time; `null` if it could not be read.
    revision: Option<CommitId>,
    /// What would be done, or was done.
    actions: Vec<ActionReport>,
    /// Held updates.
    holds: Vec<HoldReport>,
    /// How many images in overlays are up to date.
    up_to_date: usize,
    /// How many pins are covered by no policy, or by one with `write: never`.
    unmanaged: usize,
    /// What could not be decided.
    problems: Vec<ProblemReport>,
}

impl From<&CycleOutcome> for RepositoryReport {
    fn from(outcome: &CycleOutcome) -> Self {
        Self {
            name: outcome.repository.clone(),
            revision: outcome.revision.clone(),
            actions: outcome.actions.iter().map(ActionReport::from).collect(),
            holds: outcome.holds.iter().map(HoldReport::from).collect(),
            up_to_date: outcome.up_to_date,
            unmanaged: outcome.unmanaged,
            problems: outcome.problems.iter().map(ProblemReport::from).collect(),
        }
    }
}

/// One commit or pull request.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(in crate::cli) struct ActionReport {
    /// `commit`, `pull-request`, `merge`, `close` or `remind`.
    kind: &'static str,
    /// The branch it goes into.
    branch: String,
    /// The branch that carries a pull request.
    head: Option<String>,
    /// The policy.
    policy: String,
    /// The environment.
    environment: Option<String>,
    /// The grouping key.
    group: String,
    /// The updates.
    updates: Vec<UpdateReport>,
    /// The open pull request to be merged, closed or reminded of.
    #[serde(skip_serializing_if = "Option::is_none")]
    pull_request: Option<String>,
    /// What an action without updates does, or why its branch has an unusual name; for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    note: Option<String>,
    /// The unified diff of its files, if requested.
    #[serde(skip_serializing_if = "Option::is_none")]
    diff: Option<String>,
    /// The result; `null` while it is only planned.
    result: Option<ActionResult>,
}

impl From<&ActionOutcome> for ActionReport {
    fn from(outcome: &ActionOutcome) -> Self {
        let action = &outcome.action;
        let (diff, result) = match &outcome.step {
            Step::Planned { diff } => (diff.clone(), None),
            Step::Done(done) => (None, Some(ActionResult::from(done))),
            Step::Failed(failure) => (None, Some(ActionResult::from(failure))),
        };
        Self {
            kind: action.kind.as_str(),
            branch: outcome.branch.to_string(),
            head: action.kind.head().map(ToString::to_string),
            policy: action.policy.clone(),
            environment: action.environment.clone(),
            group: action.group.clone(),
            updates: action.updates.iter().map(UpdateReport::from).collect(),
            pull_request: action.kind.open().map(|pull| pull.url.clone()),
            note: note(&action.kind),
            diff,
            result,
        }
    }
}

/// What an action without updates does, or why its branch has an unusual name.
pub(in crate::cli) fn note(kind: &ActionKind) -> Option<String> {
    match kind {
        ActionKind::Commit | ActionKind::Merge(_) => None,
        ActionKind::PullRequest(pull) => why_other_name(&pull.head),
        ActionKind::Close(close) => Some(format!("there is nothing left to do: {}", close.reasons.join("; "))),
        ActionKind::Update(_) => {
            Some("its branch is behind its base, and the forge requires it to be up to date".to_owned())
        }
        ActionKind::Dequeue(dequeue) => Some(dequeue.reason.clone()),
        ActionKind::Remind(remind) => Some(format!("it has been waiting since {:.0}", remind.since)),
    }
}

/// The result of an action.
#[derive(Debug, Clone, Serialize)]
#[serde(untagged)]
pub(in crate::cli) enum ActionResult {
    /// It is on the remote.
    #[serde(rename_all = "camelCase")]
    Done {
        /// The commit that carries it.
        commit: CommitId,
        /// Where the pull request is read.
        pull_request: Option<String>,
        /// Whether the remote ref was read again and holds the commit (G1).
        verified: bool,
    },
    /// It is not.
    Failed {
        /// Why.
        error: ActionError,
    },
}

impl From<&Done> for ActionResult {
    fn from(Done { commit, pull_request, verified }: &Done) -> Self {
        Self::Done { commit: commit.clone(), pull_request: pull_request.clone(), verified: *verified }
    }
}

impl From<&ActionFailure> for ActionResult {
    fn from(failure: &ActionFailure) -> Self {
        Self::Failed { error: ActionError { code: failure.code.cause(), message: failure.message.clone() } }
    }
}

/// Why an action failed.
#[derive(Debug, Clone, Serialize)]
pub(in crate::cli) struct ActionError {
    /// One of CLI.md's cause codes.
    code: CauseCode,
    /// For people.
    message: String,
}

/// One update.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(in crate::cli) struct UpdateReport {
    /// Its deterministic id.
    id: String,
    /// The application.
    app: String,
    /// The environment.
    environment: Option<String>,
    /// The policy.
    policy: String,
    /// The overlay's folder.
    overlay: String,
    /// The image's name as written.
    image: String,
    /// The current version.
    from: Version,
    /// The new version.
    to: Version,
    /// The files that change.
    files: Vec<String>,
    /// What proves its signatures, if they are demanded.
    #[serde(skip_serializing_if = "Option::is_none")]
    signatures: Option<SignaturesReport>,
    /// What changes in its chart, once that was looked up to write it.
    #[serde(skip_serializing_if = "Option::is_none")]
    chart: Option<ChartReport>,
}

/// What changes in a chart.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(in crate::cli) struct ChartReport {
    /// The version of the application before.
    app_version_from: Option<String>,
    /// The version of the application then.
    app_version_to: Option<String>,
    /// Where to read more.
    links: Vec<ChartLink>,
    /// What its author says, one line each.
    changes: Vec<String>,
    /// The values that the repository sets for it and that it no longer has.
    set_in_vain: Vec<String>,
    /// What could not be read, and why.
    #[serde(skip_serializing_if = "Option::is_none")]
    unread: Option<String>,
}

impl From<&ChartNotes> for ChartReport {
    fn from(ChartNotes { change, set_in_vain }: &ChartNotes) -> Self {
        Self {
            app_version_from: change.app_version_from.clone(),
            app_version_to: change.app_version_to.clone(),
            links: change.links.clone(),
            changes: change.changes.clone(),
            set_in_vain: set_in_vain.clone(),
            unread: change.unread.clone(),
        }
    }
}

/// The proof of an image's signatures.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(in crate::cli) struct SignaturesReport {
    /// The digest that is signed.
    digest: String,
    /// Each signature that counts.
    proofs: Vec<ProofReport>,
}

/// One signature.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(in crate::cli) struct ProofReport {
    /// The type of an attestation; `null` for a plain signature.
    attestation: Option<String>,
    /// Whose it is: a key's fingerprint, or an identity and its issuer.
    by: String,
    /// Its number in the transparency log, if that is proved.
    log_index: Option<u64>,
}

impl From<&SignatureEvidence> for SignaturesReport {
    fn from(evidence: &SignatureEvidence) -> Self {
        let proof = |proof: &SignatureProof| ProofReport {
            attestation: match &proof.what {
                SignedThing::Image => None,
                SignedThing::Attestation(kind) => Some(kind.to_string()),
            },
            by: proof.by.clone(),
            log_index: proof.log_index,
        };
        Self { digest: evidence.digest.to_string(), proofs: evidence.proofs.iter().map(proof).collect() }
    }
}

impl From<&Update> for UpdateReport {
    fn from(update: &Update) -> Self {
        Self {
            id: update.id.to_string(),
            app: update.app.clone(),
            environment: update.environment.clone(),
            policy: update.policy.clone(),
            overlay: update.overlay.clone(),
            image: update.image.clone(),
            from: update.from.clone(),
            to: update.to.clone(),
            files: update.files().into_iter().map(ToString::to_string).collect(),
            signatures: update.verified.as_ref().map(SignaturesReport::from),
            chart: update.chart.as_ref().map(ChartReport::from),
        }
    }
}

/// One held update.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(in crate::cli) struct HoldReport {
    /// The update.
    update: UpdateReport,
    /// The gate.
    gate: &'static str,
    /// Why.
    reason: String,
    /// Until when, if known.
    until: Option<Timestamp>,
    /// The pull request that it waits for, or that was closed.
    pull_request: Option<String>,
}

impl From<&Hold> for HoldReport {
    fn from(hold: &Hold) -> Self {
        Self {
            update: UpdateReport::from(&hold.update),
            gate: hold.gate.as_str(),
            reason: hold.reason.clone(),
            until: hold.until,
            pull_request: hold.pull.as_ref().map(|pull| pull.url.clone()),
        }
    }
}

/// One problem.
#[derive(Debug, Clone, Serialize)]
pub(in crate::cli) struct ProblemReport {
    /// The planned branch, if it is about one: with a branch per environment, the same path exists on each of them.
    branch: Option<String>,
    /// The file, if it is about one.
    path: Option<String>,
    /// The line in it.
    line: Option<usize>,
    /// The image, if it is about one.
    image: Option<String>,
    /// What is wrong and what to do.
    message: String,
    /// The kind of failure, if something outside failed.
    code: Option<FailureCode>,
}

impl From<&CycleProblem> for ProblemReport {
    fn from(CycleProblem { branch, problem }: &CycleProblem) -> Self {
        Self {
            branch: branch.as_ref().map(ToString::to_string),
            path: problem.path.clone(),
            line: problem.line,
            image: problem.image.as_ref().map(ToString::to_string),
            message: problem.message.clone(),
            code: problem.code,
        }
    }
}
