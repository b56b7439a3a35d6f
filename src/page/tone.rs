//! Colour and word of a state. Never colour alone: each tone has a mark, and the word always stands beside it.

use schemars::JsonSchema;
use serde::Serialize;

use crate::model::{CauseCode, State, Tracked};

use super::matrix::is_ahead;

/// How a state is coloured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Tone {
    /// It failed, or is late.
    Bad,
    /// Somebody should look.
    Warn,
    /// On its way.
    Busy,
    /// Nothing is known.
    Unknown,
    /// It waits as intended, or is over.
    Quiet,
    /// As it should be.
    Good,
}

impl Tone {
    /// Of a state that is on time.
    #[must_use]
    pub fn of(state: State) -> Self {
        match state {
            State::Stuck => Self::Bad,
            State::RolledBack | State::Drifted | State::Shadowed | State::Orphan => Self::Warn,
            State::Pending => Self::Busy,
            State::Unknown => Self::Unknown,
            State::Paused | State::Rejected | State::Superseded => Self::Quiet,
            State::Landed => Self::Good,
        }
    }

    /// The name, as in classes of the style sheet.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Bad => "bad",
            Self::Warn => "warn",
            Self::Busy => "busy",
            Self::Unknown => "unknown",
            Self::Quiet => "quiet",
            Self::Good => "good",
        }
    }

    /// The mark beside the word.
    #[must_use]
    pub fn mark(self) -> &'static str {
        match self {
            Self::Bad => "✕",
            Self::Warn => "!",
            Self::Busy => "→",
            Self::Unknown => "?",
            Self::Quiet => "–",
            Self::Good => "✓",
        }
    }
}

/// The tone of a row at a moment.
pub(super) fn tone(row: &Tracked, late: bool) -> Tone {
    match () {
        () if late => Tone::Bad,
        () if is_beyond_sight(row) => Tone::Quiet,
        () => Tone::of(row.landing.state),
    }
}

/// The state in words: `landed`, `late`, `stuck: crash loop`.
pub(super) fn word(row: &Tracked, late: bool) -> String {
    let state = if late && row.landing.state != State::Stuck {
        "late".to_owned()
    } else {
        spaced(&row.landing.state.to_string())
    };
    if is_beyond_sight(row) && !late {
        return "in Git, no cluster".to_owned();
    }
    if row.pull_request.is_some() && is_ahead(row) && row.landing.state == State::Pending && !late {
        return "in review".to_owned();
    }
    match &row.landing.cause {
        Some(cause) if row.landing.state != State::Landed => {
            let code = spaced(&cause.code.to_string());
            if code == state { state } else { format!("{state}: {code}") }
        }
        _ => state,
    }
}

/// Whether nothing is known beyond Git, because no cluster is configured for it.
pub(super) fn is_beyond_sight(row: &Tracked) -> bool {
    let unproven = row.landing.cause.as_ref().is_some_and(|cause| cause.code == CauseCode::Unproven);
    row.landing.state == State::Unknown && row.cluster.is_none() && unproven
}

/// A name of the contract as words.
pub(super) fn spaced(name: &str) -> String {
    name.replace('-', " ")
}
