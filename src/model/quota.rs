//! What a server says is left of a limit on requests.

use std::time::Duration;

/// What is left of a limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quota {
    /// How many requests the server still accepts.
    pub remaining: u64,
    /// How many it accepts in a whole window.
    pub limit: Option<u64>,
    /// How long a window is.
    pub window: Option<Duration>,
    /// After how long there is more.
    pub reset: Option<Duration>,
}
