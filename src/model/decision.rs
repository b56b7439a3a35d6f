//! People's decisions, which are files in the repository: freezes, holds and releases.

use jiff::Timestamp;

use super::{ImageName, Version};

/// One decision. A freeze or a hold stops updates until it ends or is removed; a release lets updates go on that a
/// person had stopped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// The file, relative to the repository's root.
    pub file: String,
    /// What it is about.
    pub about: About,
    /// Why.
    pub reason: String,
    /// Who decided.
    pub author: String,
    /// When it was decided. It takes effect with its commit, whatever this says.
    pub since: Timestamp,
    /// When it ends on its own; `None`: when somebody removes it.
    pub until: Option<Timestamp>,
}

/// What a decision is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum About {
    /// A freeze: nothing changes in this environment; `None`: in any environment.
    Freeze {
        /// The environment.
        environment: Option<String>,
    },
    /// A hold: one app or image is not updated.
    Hold {
        /// The app or image.
        of: Held,
        /// Only in this environment.
        environment: Option<String>,
        /// Only to this version.
        version: Option<Version>,
    },
    /// A release: earlier decisions against updating an app or image no longer count.
    Release {
        /// The app or image.
        of: Held,
        /// Only in this environment.
        environment: Option<String>,
        /// Only to this version.
        version: Option<Version>,
    },
}

/// What a hold or a release applies to.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Held {
    /// Every image of an app.
    App(String),
    /// An image, whichever app uses it.
    Image(ImageName),
}

impl Decision {
    /// Whether it has ended.
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
