//! One image in one place: everything that is known of it, and the ladder that it climbs.

use std::cmp::Reverse;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;

use crate::model::{Cause, CauseCode, Rung, State, Tracked, TrackedThing, Version};

use super::facts::Facts;
use super::filter::RowFilter;
use super::tone::{Tone, tone, word};

/// Rows as `landfall status -o json` has them.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Updates {
    /// When the rows were judged; `null` before the first time.
    pub judged: Option<Timestamp>,
    /// The rows.
    pub updates: Vec<UpdateView>,
    /// What could not be read; rows may be missing because of it.
    pub problems: Vec<String>,
}

/// One declared image in one cluster, an update that is not in Git yet, or a repository or cluster out of reach.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct UpdateView {
    /// The update's id.
    pub id: String,
    /// What it is about.
    pub thing: TrackedThing,
    /// The repository.
    pub repository: String,
    /// The overlay's folder.
    pub overlay: String,
    /// The app; for a repository or cluster, its name.
    pub app: String,
    /// The environment.
    pub environment: Option<String>,
    /// The policy that covers it.
    pub policy: Option<String>,
    /// The cluster.
    pub cluster: Option<String>,
    /// The image.
    pub image: String,
    /// What Git declares or, before that, will declare.
    pub declared: DeclaredView,
    /// What is running.
    pub live: Vec<VersionView>,
    /// The state.
    pub state: State,
    /// The first rung not reached.
    pub rung: Option<Rung>,
    /// When the state began.
    pub since: Option<Timestamp>,
    /// When it must have landed.
    pub deadline: Option<Timestamp>,
    /// Whether that has passed, and it has not landed.
    pub late: bool,
    /// Its pull request.
    pub pull_request: Option<String>,
    /// Why it is in that state.
    pub cause: Option<CauseView>,
    /// Assumptions that were made.
    pub notes: Vec<String>,
    /// The state and its cause in words.
    pub word: String,
    /// Its colour.
    pub tone: Tone,
    /// The ladder; empty for what is no image.
    pub ladder: Vec<LadderStep>,
}

/// A version, and where it comes from.
#[derive(Debug, Serialize, JsonSchema)]
pub struct DeclaredView {
    /// The version.
    #[serde(flatten)]
    pub version: VersionView,
    /// The commit that brought it.
    pub commit: Option<String>,
    /// When.
    pub since: Option<Timestamp>,
    /// Its author.
    pub by: Option<String>,
}

/// A version.
#[derive(Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct VersionView {
    /// The tag, where there is one.
    pub tag: Option<String>,
    /// The digest, where there is one.
    pub digest: Option<String>,
}

impl From<&Version> for VersionView {
    fn from(version: &Version) -> Self {
        Self {
            tag: version.tag.as_ref().map(ToString::to_string),
            digest: version.digest.as_ref().map(ToString::to_string),
        }
    }
}

/// Why something is in its state.
#[derive(Debug, Serialize, JsonSchema)]
pub struct CauseView {
    /// Which cause.
    pub code: CauseCode,
    /// What is wrong and where.
    pub message: String,
    /// What was seen.
    pub evidence: Vec<String>,
    /// What to do next.
    pub next: String,
}

impl From<&Cause> for CauseView {
    fn from(cause: &Cause) -> Self {
        let Cause { code, message, evidence, next, .. } = cause;
        Self { code: *code, message: message.clone(), evidence: evidence.clone(), next: next.clone() }
    }
}

/// A rung of the ladder.
#[derive(Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct LadderStep {
    /// Which.
    pub rung: Rung,
    /// Whether it was reached.
    pub state: StepState,
    /// When it was reached, or since when it is waited for, as far as the bot knows.
    pub at: Option<Timestamp>,
}

/// Whether a rung was reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum StepState {
    /// It was.
    Reached,
    /// It is the next one.
    Waiting,
    /// It comes later.
    Ahead,
    /// It is unknown whether it was.
    Unknown,
}

/// Every rung, in order.
pub(super) const RUNGS: [Rung; 6] =
    [Rung::Committed, Rung::Merged, Rung::Fetched, Rung::Applied, Rung::RolledOut, Rung::Running];

/// The rows that the filter lets through, the most urgent first.
#[must_use]
pub fn updates(facts: &Facts<'_>, filter: &RowFilter) -> Updates {
    let mut rows: Vec<&Tracked> = facts.rows.iter().collect();
    rows.retain(|row| filter.wants(row, row.is_late(facts.now)));
    rows.sort_by_cached_key(|row| (Reverse(row.severity(facts.now)), row.app.clone(), row.environment.clone()));
    Updates {
        judged: facts.judged,
        updates: rows.into_iter().map(|row| UpdateView::new(facts, row)).collect(),
        problems: facts.problems.to_vec(),
    }
}

impl UpdateView {
    /// The view of a row.
    #[must_use]
    pub fn new(facts: &Facts<'_>, row: &Tracked) -> Self {
        let late = row.is_late(facts.now);
        Self {
            id: row.id.to_string(),
            thing: row.thing,
            repository: row.repository.clone(),
            overlay: row.overlay.clone(),
            app: row.app.clone(),
            environment: row.environment.clone(),
            policy: row.policy.clone(),
            cluster: row.cluster.clone(),
            image: row.image.to_string(),
            declared: DeclaredView {
                version: VersionView::from(&row.declared.version),
                commit: row.declared.commit.as_ref().map(ToString::to_string),
                since: row.declared.since,
                by: row.declared.by.clone(),
            },
            live: row.live.iter().map(VersionView::from).collect(),
            state: row.landing.state,
            rung: row.landing.rung,
            since: row.since,
            deadline: row.deadline,
            late,
            pull_request: row.pull_request.clone(),
            cause: row.landing.cause.as_ref().map(CauseView::from),
            notes: row.notes.clone(),
            word: word(row, late),
            tone: tone(row, late),
            ladder: if row.thing == TrackedThing::Image { ladder(facts, row) } else { Vec::new() },
        }
    }
}

/// The ladder of a row. Without a rung to wait for, all are reached if it has landed, and nobody knows if it has not.
fn ladder(facts: &Facts<'_>, row: &Tracked) -> Vec<LadderStep> {
    let observed = facts.chronicle.rungs(row);
    let waiting = row.landing.rung;
    let landed = row.landing.state == State::Landed;
    let in_git = !super::matrix::is_ahead(row);
    let step = |rung: Rung| {
        let state = match waiting {
            Some(waiting) if rung < waiting => StepState::Reached,
            Some(waiting) if rung == waiting => StepState::Waiting,
            Some(_) => StepState::Ahead,
            None if landed || (in_git && rung <= Rung::Merged) => StepState::Reached,
            None => StepState::Unknown,
        };
        let at = match (state, rung) {
            (StepState::Reached, Rung::Committed | Rung::Merged) => row.declared.since,
            (StepState::Reached, Rung::Running) => row.since,
            (StepState::Reached, _) => observed.get(rung as usize).copied().flatten(),
            (StepState::Waiting, _) => row.since,
            (StepState::Ahead | StepState::Unknown, _) => None,
        };
        LadderStep { rung, state, at }
    };
    RUNGS.map(step).into()
}
