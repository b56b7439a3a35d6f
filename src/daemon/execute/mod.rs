//! Carries out a plan on the remote: commits, pull requests, merges.

mod commit;
mod merge;
mod pull_request;
mod sources;
mod stale_base;

pub use commit::{ATTEMPTS, Timing};
pub(super) use commit::{Pushed, jittered};
