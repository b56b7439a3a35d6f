//! People's decisions: the freezes and holds of a repository, and how a new one is written.

mod files;
mod write;

pub(super) use files::DecisionFiles;
pub use write::{DecideError, Decided, Deciding, NewDecision};
