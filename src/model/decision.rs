//! Decisions of people that stand as files in the repository: freezes, holds and releases.

use jiff::Timestamp;

use super::{ImageName, Version};

/// One decision: nothing moves there until it is over or taken back, or what a person's word held may move again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// The file it stands in, from the repository's root.
    pub file: String,
    /// What it is about.
    pub about: About,
    /// Why.
    pub reason: String,
    /// Who decided.
    pub author: String,
    /// When it was decided. It is in force from its commit on, whatever this says.
    pub since: Timestamp,
    /// When it ends by itself; `None`: when somebody takes it back.
    pub until: Option<Timestamp>,
}

/// What a decision is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum About {
    /// A freeze: nothing moves in this environment; `None`: in any.
    Freeze {
        /// The environment.
        environment: Option<String>,
    },
    /// A hold: one app or image does not move.
    Hold {
        /// The app or image.
        of: Held,
        /// Only in this environment.
        environment: Option<String>,
        /// Only to this version.
        version: Option<Version>,
    },
    /// A release: what was decided against an app or image until then counts no more.
    Release {
        /// The app or image.
        of: Held,
        /// Only in this environment.
        environment: Option<String>,
        /// Only to this version.
        version: Option<Version>,
    },
}

/// What a hold or a release is about.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Held {
    /// Every image of an app.
    App(String),
    /// An image, whichever app uses it.
    Image(ImageName),
}

impl Decision {
    /// Whether its end is over.
    #[must_use]
    pub fn is_over(&self, now: Timestamp) -> bool {
        self.until.is_some_and(|until| until <= now)
    }
}

impl std::fmt::Display for Held {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::App(app) => f.write_str(app),
            Self::Image(image) => image.fmt(f),
        }
    }
}
