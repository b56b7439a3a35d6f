//! What waits, and for whom.

use std::collections::BTreeMap;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;

use crate::model::{PullState, Rung, State, Tracked, TrackedThing};
use crate::plan::{Gate, Hold};

use super::facts::Facts;
use super::filter::RowFilter;
use super::matrix::{is_ahead, quoted};
use super::tone::{Tone, tone, word};
use super::version::short;

/// Everything that waits.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Waits {
    /// The updates that wait, by whom they wait for, those that wait longest first.
    pub waits: Vec<WaitView>,
}

/// For whom or what an update waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum AwaitedParty {
    /// Whoever runs the bot: something is broken.
    Operator,
    /// Whoever reviews the pull request.
    Reviewers,
    /// Whoever decided to hold, freeze, revert or close.
    Decider,
    /// CI: the image is not complete.
    Builders,
    /// The proof in another environment.
    Upstream,
    /// The clock.
    Time,
    /// The bot itself: the next cycle.
    Bot,
}

impl AwaitedParty {
    /// All, in the order in which they are shown.
    pub const ALL: [Self; 7] =
        [Self::Operator, Self::Reviewers, Self::Decider, Self::Builders, Self::Upstream, Self::Time, Self::Bot];

    /// In words.
    #[must_use]
    pub fn as_words(self) -> &'static str {
        match self {
            Self::Operator => "for the operator",
            Self::Reviewers => "for a review",
            Self::Decider => "for the person who decided it",
            Self::Builders => "for the image to be complete",
            Self::Upstream => "for the soak upstream",
            Self::Time => "for its window or minimum age",
            Self::Bot => "for the next cycle",
        }
    }
}

/// An update that waits.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct WaitView {
    /// For whom.
    pub party: AwaitedParty,
    /// The repository.
    pub repository: String,
    /// The app.
    pub app: String,
    /// The environment.
    pub environment: Option<String>,
    /// The image.
    pub image: String,
    /// The version that Git declares, where known.
    pub from: Option<String>,
    /// The version that waits.
    pub to: String,
    /// The gate that holds it.
    pub gate: Option<&'static str>,
    /// Why, in words.
    pub reason: String,
    /// What to do.
    pub next: String,
    /// Since when it waits, where known.
    pub since: Option<Timestamp>,
    /// When the gate opens on its own.
    pub until: Option<Timestamp>,
    /// Its deadline.
    pub deadline: Option<Timestamp>,
    /// Its pull request.
    pub pull_request: Option<String>,
    /// The state in words.
    pub word: String,
    /// Its colour.
    pub tone: Tone,
    /// A command that may help.
    pub command: Option<String>,
}

/// The updates that wait.
#[must_use]
pub fn waits(facts: &Facts<'_>, filter: &RowFilter) -> Waits {
    let holds = facts.holds();
    let rows = facts.rows.iter().filter(|row| row.thing == TrackedThing::Image && is_ahead(row));
    let rows = rows.filter(|row| filter.wants(row, row.is_late(facts.now)));
    let mut waits: Vec<WaitView> =
        rows.map(|row| wait(facts, row, holds.get(&(row.repository.as_str(), &row.id)).copied())).collect();
    waits.sort_by_cached_key(|wait| {
        (wait.party, wait.since.unwrap_or(Timestamp::MAX), wait.app.clone(), wait.environment.clone())
    });
    Waits { waits }
}

/// How many wait for each party.
pub(super) fn by_party(waits: &Waits) -> BTreeMap<AwaitedParty, Vec<&WaitView>> {
    let mut parties: BTreeMap<AwaitedParty, Vec<&WaitView>> = BTreeMap::new();
    for wait in &waits.waits {
        parties.entry(wait.party).or_default().push(wait);
    }
    parties
}

fn wait(facts: &Facts<'_>, row: &Tracked, hold: Option<&Hold>) -> WaitView {
    let late = row.is_late(facts.now);
    let cause = row.landing.cause.as_ref();
    let reason = match (hold, cause) {
        (Some(hold), _) => hold.reason.clone(),
        (None, Some(cause)) => cause.message.clone(),
        (None, None) => String::new(),
    };
    let party = party(row, hold);
    WaitView {
        party,
        repository: row.repository.clone(),
        app: row.app.clone(),
        environment: row.environment.clone(),
        image: row.image.to_string(),
        from: hold.map(|hold| short(&hold.update.from)),
        to: short(&row.declared.version),
        gate: hold.map(|hold| hold.gate.as_str()),
        reason,
        next: cause.map_or_else(String::new, |cause| cause.next.clone()),
        since: row.declared.since.or(row.since),
        until: hold.and_then(|hold| hold.until),
        deadline: row.deadline,
        pull_request: row.pull_request.clone(),
        word: word(row, late),
        tone: tone(row, late),
        command: command(row, party, hold.map(|hold| hold.gate)),
    }
}

fn party(row: &Tracked, hold: Option<&Hold>) -> AwaitedParty {
    let Some(hold) = hold else {
        return match row.landing {
            _ if row.landing.state == State::Stuck => AwaitedParty::Operator,
            _ if row.pull_request.is_some() && row.landing.rung == Some(Rung::Merged) => AwaitedParty::Reviewers,
            _ => AwaitedParty::Bot,
        };
    };
    let answered = hold.pull.as_ref().is_some_and(|pull| pull.state != PullState::Open);
    match hold.gate {
        Gate::Approval if answered => AwaitedParty::Decider,
        Gate::Approval => AwaitedParty::Reviewers,
        Gate::Hold | Gate::Freeze => AwaitedParty::Decider,
        Gate::Platforms | Gate::Signature => AwaitedParty::Builders,
        Gate::Promotion => AwaitedParty::Upstream,
        Gate::Window | Gate::MinimumReleaseAge | Gate::Rate => AwaitedParty::Time,
    }
}

fn command(row: &Tracked, party: AwaitedParty, gate: Option<Gate>) -> Option<String> {
    let here = row.environment.as_ref().map_or(String::new(), |name| format!(" --environment {}", quoted(name)));
    let of = format!(" --repository {}", quoted(&row.repository));
    let app = quoted(&row.app);
    match party {
        AwaitedParty::Decider if gate == Some(Gate::Freeze) => {
            let environment = row.environment.as_deref().unwrap_or("*");
            Some(format!("landfall unfreeze {}{of} --reason 'WHY'", quoted(environment)))
        }
        AwaitedParty::Decider => Some(format!("landfall release {app}{here}{of}")),
        AwaitedParty::Upstream => {
            let environment = row.environment.as_deref()?;
            Some(format!("landfall promote {app} --to {}{of}", quoted(environment)))
        }
        AwaitedParty::Operator => Some("landfall doctor".to_owned()),
        _ => None,
    }
}
