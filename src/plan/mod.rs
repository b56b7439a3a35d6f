//! What would be done now, as data.
//!
//! Promise: [`plan`] is a function of its snapshot alone. The same snapshot gives the same plan, on any replica and
//! after any restart; `landfall plan` prints the value that `landfall apply` carries out.
//!
//! Invariants: an update never goes to an older version (G9), nor to one that was applied before and reverted (G8).
//! Every pin that a policy covers is up to date, in an action, held with a reason, or a problem; none disappears.
//!
//! Design: the planner cannot query anything. It returns what it is missing as [`Queries`]; the daemon finds the
//! answers and plans again until nothing is missing. A registry query is made once, however many overlays share it.

mod branches;
mod candidates;
mod declared;
mod filter_time;
mod gates;
mod grouping;
mod ledger;
mod pull_requests;
mod queries;
mod recognise;
mod request;
mod retag;
mod rollback;
mod soak;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;

use crate::model::{
    BranchName, ChartNotes, CommitId, FailureCode, ImageName, Pin, PullRequest, PullState, RepoPath, SignatureEvidence,
    Skipped, UpdateId, Version,
};
use crate::policy::PolicySet;

pub use branches::{BRANCH_PREFIXES, BRANCH_ROOT, head_branch, is_in_place_of_another, is_own_branch, why_other_name};
pub use declared::{Declared, declared};
pub use filter_time::FilterTime;
pub use gates::decisions::{Assumed, Decisions, KnownNames, Mentions, Subject, Unreadable, decision_file_name};
pub use gates::pace::Gathered;
pub use ledger::{
    CommitKind, CommitProof, Ledger, MovedPin, PastUpdate, RecordLimit, Release, ReleaseAuthority, Releases,
    RolledBack, UpdatePlace, is_recorded, kind_of_commit, recorded, trailer_lines, update_ids, verdicts,
};
pub use pull_requests::{
    CarriedUpdate, CloseAction, DequeueAction, MergeAction, OpenPull, RemindAction, Terms, UpdateAction, UpdateWay,
    body_ids, carried, replaced_by,
};
pub use queries::{
    Answers, Brought, ForgeQuery, FormerPlace, Head, HistoryQuery, Origin, Queries, RegistryQuery, Writer,
};
pub use request::{Evidence, Override, PromotionRequest, Proof};
pub use retag::{PushedAgain, TagRecord, TagRecords, TagSighting};
pub use rollback::{
    PastVersion, PinLocation, RollbackDetails, RollbackProof, apps_with, pin_locations, rollback_actions,
    rollback_proof, version_before,
};
pub use soak::{PastSoak, SoakEnd, SoakHealth, SoakState, SoakStates};

/// The trailers that carry the ledger in commit messages.
pub mod trailer {
    pub use super::ledger::{
        AGE, BY, DECISION, ENVIRONMENT, FROM, GATES, IMAGE, MARK, OVERLAY, OVERRIDE, POLICY, PROMOTED_FROM, REASON,
        RELEASE, ROLLBACK, SOURCE, TO, UPDATE, VERIFIED,
    };
}

/// All inputs of a plan.
#[derive(Debug, Clone, Copy)]
pub struct Snapshot<'a> {
    /// The repository's name in the configuration.
    pub repository: &'a str,
    /// The planned branch.
    pub branch: &'a BranchName,
    /// Its tip, at which the pins were read.
    pub revision: &'a CommitId,
    /// The main branch, on which policies and decisions are.
    pub main: &'a BranchName,
    /// Its tip.
    pub rules: &'a CommitId,
    /// The pins at that tip, sorted by path and position.
    pub pins: &'a [Arc<Pin>],
    /// The policies that apply to this branch.
    pub policies: &'a PolicySet,
    /// Answers so far.
    pub answers: &'a Answers,
    /// The past updates.
    pub ledger: &'a Ledger,
    /// What could not be read at that tip, except files that are left alone on purpose.
    pub skipped: &'a [Skipped],
    /// Every branch and record on the remote, by full name; only the names matter.
    pub refs: &'a BTreeMap<String, CommitId>,
    /// The bot's own branches among them, by short name.
    pub heads: &'a BTreeMap<String, Head>,
    /// The health of every image in every environment.
    pub soaks: &'a SoakStates,
    /// Freezes and holds.
    pub decisions: &'a Decisions,
    /// What a person requests now; in that case nothing else is planned.
    pub request: Option<&'a PromotionRequest>,
    /// When updates that are being collected were first planned; `None`: the caller does not wait.
    pub gathered: Option<&'a BTreeMap<UpdateId, Gathered>>,
    /// Updates that could not be written last time; the others go first.
    pub failed: Option<&'a BTreeSet<UpdateId>>,
    /// What tags stood for before; `None`: nothing is known of that.
    pub tags: Option<&'a TagRecords>,
    /// The time left for tag filters; `None`: unlimited.
    pub filter_time: Option<&'a FilterTime>,
    /// The current time.
    pub now: Timestamp,
}

impl Snapshot<'_> {
    /// Whether a person has released an update, or its place, since then.
    #[must_use]
    pub fn is_released(&self, update: &Update, since: Timestamp) -> bool {
        let place = UpdatePlace::of(update);
        self.ledger.releases().since(&update.id, &place, since).is_some() || self.is_decided(update, &place, since)
    }

    /// The same for what a commit of this branch records: of releases in the same history, the order counts and not the time.
    #[must_use]
    pub fn is_released_after(&self, update: &Update, (at, nth): (Timestamp, usize)) -> bool {
        let place = UpdatePlace::of(update);
        let since = at.min(self.now);
        self.ledger.releases().after(&update.id, &place, nth).is_some() || self.is_decided(update, &place, since)
    }

    /// Whether the decisions on the main branch have released it since then.
    fn is_decided(&self, update: &Update, place: &UpdatePlace, since: Timestamp) -> bool {
        let subject = Subject {
            app: &update.app,
            image: &update.name,
            environment: update.environment.as_deref(),
            to: &update.to,
        };
        self.decisions.releases().since(&update.id, place, since).is_some()
            || self.decisions.releasing(&subject, (since, self.now))
    }
}

/// What would be done on one branch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// The branch.
    pub branch: BranchName,
    /// The tip at planning time.
    pub revision: CommitId,
    /// The main branch, on which policies and decisions are.
    pub main: BranchName,
    /// Its tip.
    pub rules: CommitId,
    /// What to do, in a fixed order.
    pub actions: Vec<Action>,
    /// What has to wait, and why.
    pub holds: Vec<Hold>,
    /// How many images in overlays are up to date.
    pub up_to_date: usize,
    /// How many pins are covered by no policy, or by one with `write: never`.
    pub unmanaged: usize,
    /// What could not be decided, and why.
    pub problems: Vec<Problem>,
    /// What the tags stand for of which a policy wants to know when they are pushed again.
    pub sightings: BTreeSet<TagSighting>,
}

/// One commit or one pull request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Action {
    /// How it is written.
    pub kind: ActionKind,
    /// The policy that requests it.
    pub policy: String,
    /// The environment it is for.
    pub environment: Option<String>,
    /// The rendered grouping key.
    pub group: String,
    /// The updates, sorted by overlay and image.
    pub updates: Vec<Update>,
}

/// How an action is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ActionKind {
    /// A commit on the planned branch.
    Commit,
    /// A pull request into the planned branch.
    PullRequest(PullAction),
    /// The merge of an open pull request.
    Merge(MergeAction),
    /// The closing of a pull request that has nothing left to do.
    Close(CloseAction),
    /// A comment that reminds the reviewers of a pull request.
    Remind(RemindAction),
    /// The branch of an open pull request gets what its base has by now, and nothing else.
    Update(UpdateAction),
    /// A pull request leaves the merge queue that it is in.
    Dequeue(DequeueAction),
}

impl ActionKind {
    /// The branch of the pull request, if there is one.
    #[must_use]
    pub fn head(&self) -> Option<&BranchName> {
        match self {
            Self::Commit => None,
            Self::PullRequest(pull) => Some(&pull.head),
            Self::Merge(_) | Self::Close(_) | Self::Remind(_) | Self::Update(_) | Self::Dequeue(_) => {
                self.open().map(|pull| &pull.head)
            }
        }
    }

    /// The open pull request that the action is about, unless it is only updated.
    #[must_use]
    pub fn open(&self) -> Option<&OpenPull> {
        match self {
            Self::Commit | Self::PullRequest(_) => None,
            Self::Merge(merge) => Some(&merge.pull),
            Self::Close(close) => Some(&close.pull),
            Self::Remind(remind) => Some(&remind.pull),
            Self::Update(update) => Some(&update.pull),
            Self::Dequeue(dequeue) => Some(&dequeue.pull),
        }
    }

    /// The name in the contract (CLI.md, `plan`).
    #[must_use]
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Commit => "commit",
            Self::PullRequest(_) => "pull-request",
            Self::Merge(_) => "merge",
            Self::Close(_) => "close",
            Self::Remind(_) => "remind",
            Self::Update(_) => "update",
            Self::Dequeue(_) => "dequeue",
        }
    }
}

/// What a pull request needs besides its updates.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PullAction {
    /// The branch that carries it.
    pub head: BranchName,
    /// The tip of that branch to replace; `None` if the branch does not exist yet.
    pub replaces: Option<CommitId>,
    /// Whether the branch already carries exactly these updates, so that only the pull request is missing or out of
    /// date.
    pub pushed: bool,
    /// The name under which it continues if the remote does not allow rewriting the branch; `None`: there is none left.
    pub next: Option<BranchName>,
    /// The open pull request, if there is one.
    pub open: Option<Box<PullRequest>>,
    /// Labels to give it.
    pub labels: Vec<String>,
    /// Who is asked to review.
    pub reviewers: Vec<String>,
    /// Whether the code owners of the changed files are asked too.
    pub code_owners: bool,
    /// Open it as a draft.
    pub draft: bool,
    /// Labels that approve its current content, to be removed before the content changes.
    pub withdraw: Vec<String>,
    /// The terms under which the bot will merge it; `None`: a person merges.
    pub automerge: Option<Terms>,
}

/// One image, from → to, in one overlay: all pins that must move together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Update {
    /// Its deterministic id.
    pub id: UpdateId,
    /// The application.
    pub app: String,
    /// The environment.
    pub environment: Option<String>,
    /// The policy.
    pub policy: String,
    /// Where that policy is, `file:line`.
    pub policy_origin: Option<String>,
    /// The overlay's folder.
    pub overlay: String,
    /// The image's name, as the first pin writes it.
    pub image: String,
    /// The same, normalised.
    pub name: ImageName,
    /// The current version of the first pin.
    pub from: Version,
    /// The new version of every pin.
    pub to: Version,
    /// The pins.
    pub pins: Vec<Arc<Pin>>,
    /// `org.opencontainers.image.source`, if the image has it. No decision depends on it, so it may be queried as late
    /// as when the update is written.
    pub source_url: Option<String>,
    /// `org.opencontainers.image.revision`, if the image has it.
    pub source_revision: Option<String>,
    /// The same for the previous version.
    pub from_revision: Option<String>,
    /// How long it may take from now to running.
    pub land_within: Option<Duration>,
    /// What it has proved elsewhere, if the policy requires that.
    pub promotion: Option<Evidence>,
    /// The gates that it has passed.
    pub passed: Vec<Gate>,
    /// How old the image is, if a gate required that.
    pub age: Option<ReleaseAge>,
    /// What proves its signatures, if they are demanded: the digest in it is the one that is written.
    pub verified: Option<SignatureEvidence>,
    /// The gates that a person has opened for it.
    pub overridden: Option<Override>,
    /// Why it goes back to an older version, if it does.
    pub rollback: Option<RollbackDetails>,
    /// What is told of a chart's new version. No decision depends on it, so it is looked up when the update is written.
    pub chart: Option<ChartNotes>,
}

impl Update {
    /// The files that change, without duplicates.
    #[must_use]
    pub fn files(&self) -> BTreeSet<&RepoPath> {
        self.pins.iter().map(|pin| &pin.path).collect()
    }
}

/// An update that has to wait.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hold {
    /// The update.
    pub update: Update,
    /// The gate that holds it.
    pub gate: Gate,
    /// Why, for people.
    pub reason: String,
    /// When the gate opens on its own, if known.
    pub until: Option<Timestamp>,
    /// The pull request that it waits for, or that a person has answered.
    pub pull: Option<HeldBy>,
    /// How long a review may take before somebody is notified.
    pub review_within: Option<Duration>,
    /// Whether it is an incident.
    pub attention: Attention,
}

impl Hold {
    /// A hold with the text of its gate.
    #[must_use]
    pub fn new(update: Update, gate: Gate, reason: String, until: Option<Timestamp>) -> Self {
        Self { update, gate, reason, until, pull: None, review_within: None, attention: Attention::Expected }
    }
}

/// Whether a hold is intended, or somebody must be notified.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Attention {
    /// It follows from a policy or a person's decision.
    Expected,
    /// The policy cannot choose: somebody has to change it, or decide once by hand. The reason says how.
    Undecidable,
    /// This version can never be written; nothing waits for it. Only who asks for the reason is told.
    Never,
    /// It stops something that is going wrong: an incident.
    Incident,
    /// A tag was pushed again as another image, which a policy calls an incident.
    PushedAgain,
}

/// The pull request behind a hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeldBy {
    /// Where a person reads it.
    pub url: String,
    /// Its state.
    pub state: PullState,
    /// The branch that carries it.
    pub head: BranchName,
}

impl From<&PullRequest> for HeldBy {
    fn from(pull: &PullRequest) -> Self {
        Self { url: pull.url.clone(), state: pull.state, head: pull.head.clone() }
    }
}

/// What can hold an update (CLI.md, `plan`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Gate {
    /// Outside the policy's windows.
    Window,
    /// The image is too young.
    MinimumReleaseAge,
    /// It has not proved itself upstream yet.
    Promotion,
    /// A platform is missing, or the manifest does not exist yet.
    Platforms,
    /// The environment is frozen.
    Freeze,
    /// The policy's limit for this span of time is reached.
    Rate,
    /// A person reverted it, closed it, or is working on it.
    Hold,
    /// Waiting for a review.
    Approval,
    /// A demanded signature is not proved.
    Signature,
}

impl Gate {
    /// The name in the contract.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Window => "window",
            Self::MinimumReleaseAge => "minimum-release-age",
            Self::Promotion => "promotion",
            Self::Platforms => "platforms",
            Self::Freeze => "freeze",
            Self::Rate => "rate",
            Self::Hold => "hold",
            Self::Approval => "approval",
            Self::Signature => "signature",
        }
    }
}

/// Something that could not be decided or read; visible, never silent.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Problem {
    /// The file or overlay, if it is about one.
    pub path: Option<String>,
    /// The line in it.
    pub line: Option<usize>,
    /// The image, if it is about one.
    pub image: Option<ImageName>,
    /// What is wrong and what to do.
    pub message: String,
    /// The kind of failure, if something outside refused or failed.
    pub code: Option<FailureCode>,
}

/// A plan, and what it needs to become complete.
#[derive(Debug, Clone)]
pub struct Planned {
    /// The plan, as far as it is known.
    pub plan: Plan,
    /// What is missing; empty when the plan is complete.
    pub queries: Queries,
}

/// Since when an image exists, and which clock says so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReleaseAge {
    /// The clock.
    pub clock: AgeClock,
    /// Since when.
    pub since: Timestamp,
}

/// The clock for the age of an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AgeClock {
    /// Its own creation time, which is later than when it was first seen.
    Created,
    /// When the bot first saw its digest.
    FirstSeen,
}

impl AgeClock {
    /// The name in trailers.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::FirstSeen => "first seen",
        }
    }
}

/// Plans one branch.
#[must_use]
pub fn plan(snapshot: &Snapshot<'_>) -> Planned {
    let mut chosen = candidates::choose(snapshot);
    pull_requests::take_out_answered(snapshot, &mut chosen);
    gates::pace::hold_back(snapshot, &mut chosen);
    rollback::automatic::roll_back(snapshot, &mut chosen);
    // A rollback's pull request can be answered like any other.
    pull_requests::take_out_answered(snapshot, &mut chosen);
    let mut actions = Vec::new();
    grouping::group(snapshot, std::mem::take(&mut chosen.updates), &mut actions, &mut chosen);
    chosen.holds.sort_by(|a, b| (&a.update.overlay, &a.update.name).cmp(&(&b.update.overlay, &b.update.name)));
    chosen.problems.sort();
    chosen.problems.dedup();
    Planned {
        plan: Plan {
            branch: snapshot.branch.clone(),
            revision: snapshot.revision.clone(),
            main: snapshot.main.clone(),
            rules: snapshot.rules.clone(),
            actions,
            holds: chosen.holds,
            up_to_date: chosen.up_to_date,
            unmanaged: chosen.unmanaged,
            problems: chosen.problems,
            sightings: chosen.sightings,
        },
        queries: chosen.queries,
    }
}

#[cfg(test)]
mod tests;
