//! People's decisions: freezes and holds as the repository has them, and how a new one is written.

mod files;
mod write;

pub(super) use files::DecisionFiles;
pub use write::{DecideError, Decided, Deciding, NewDecision};
